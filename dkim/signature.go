package dkim

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"
)

// maxHeader bounds the memory that a header can take.
const maxHeader = 1 << 20

// Signature makes the signatures of one message. The message is written to it in pieces of any
// size; it costs memory for the header only. It is for one goroutine.
type Signature struct {
	ctx    context.Context
	signer Signer
	err    error // of an earlier call; every later one returns it

	raw    []byte // the header as it came, with the blank line
	inBody bool
	body   bodyHash
	keys   []signingKey
}

// Write takes the next part of the message. An error says why the message cannot be signed: a
// malformed header, a CR or LF alone, no key.
func (g *Signature) Write(p []byte) (int, error) {
	if g.err != nil {
		return 0, g.err
	}
	n := len(p)
	if !g.inBody {
		p = g.writeHeader(p)
	}
	if g.err == nil && g.inBody {
		g.err = g.body.write(p)
	}
	if g.err != nil {
		return 0, g.err
	}
	return n, nil
}

var blankLine = []byte("\r\n\r\n")

// writeHeader gathers the header and returns what follows the blank line.
func (g *Signature) writeHeader(p []byte) []byte {
	if g.raw == nil {
		g.raw = make([]byte, 0, 2048)
	}
	old := len(g.raw)
	// The blank line may have begun in an earlier piece: three octets of this one show it.
	g.raw = append(g.raw, p[:min(len(p), 3)]...)
	from := max(0, old-3)
	end := bytes.Index(g.raw[from:], blankLine)
	if end >= 0 {
		end += from
	} else if end = bytes.Index(p[:min(len(p), maxHeader)], blankLine); end >= 0 {
		end += old
	}
	switch {
	case bytes.HasPrefix(g.raw, blankLine[:2]):
		g.err = errNoFrom
	case end > maxHeader, end < 0 && old+len(p) > maxHeader:
		g.err = fmt.Errorf("dkim: the header is longer than %d octets", maxHeader)
	case end < 0:
		g.raw = append(g.raw[:old], p...)
	default:
		p, rest := p[:end+4-old], p[end+4-old:]
		g.raw = append(g.raw[:old], p...)
		g.endHeader(g.raw[:end+2])
		return rest
	}
	return nil
}

// endHeader checks the header and chooses the keys, so that mail which cannot be signed fails before
// its body is read.
func (g *Signature) endHeader(header []byte) {
	g.inBody = true
	g.raw = header
	author, err := checkHeader(header)
	if err == nil {
		g.keys, err = g.signer.choose(g.ctx, author)
	}
	g.err = err
	g.body = bodyHash{h: sha256.New(), small: make([]byte, 0, smallRoom)}
}

// Fields ends the message and returns its DKIM-Signature fields, each ended by CRLF: those of RSA
// keys first, for a receiver that looks at one signature only most likely looks at the first.
func (g *Signature) Fields() ([]byte, error) {
	if g.err == nil && !g.inBody {
		// RFC 5322 s. 3.5: a message without body needs no blank line.
		if !bytes.HasSuffix(g.raw, []byte("\r\n")) {
			g.err = errNoFrom
			if len(g.raw) > 0 {
				g.err = fmt.Errorf("dkim: the header ends within a line")
			}
		} else {
			g.endHeader(g.raw)
		}
	}
	if g.err == nil {
		g.err = g.body.close()
	}
	if g.err != nil {
		return nil, g.err
	}
	g.err = fmt.Errorf("dkim: Fields was called before")
	if len(g.keys) == 0 {
		return nil, nil
	}
	return g.fields()
}

func (g *Signature) fields() ([]byte, error) {
	h := selectHeader(g.raw, g.signer.Header)
	var sum [sha256.Size]byte
	bodyHash := g.body.h.Sum(sum[:0])
	now := time.Now()
	out := make([]byte, 0, len(g.keys)*(len(h.names)+900))
	data := h.data
	for _, k := range g.keys {
		start := len(out)
		out = appendField(out, &k, h.names, bodyHash, now, g.signer.Expiration)
		// The field itself is signed too, without its last CRLF and with b= empty (RFC 6376 s. 3.7).
		data = appendRelaxed(data[:len(h.data)], out[start:])
		digest := sha256.Sum256(data)
		sig, err := k.sign(g.ctx, digest[:])
		if err != nil {
			return nil, fmt.Errorf("dkim: sign with %s: %w", k.name(), err)
		}
		out = appendSignature(out, start, sig)
	}
	return slices.Clip(out), nil
}

// sign signs the digest of the header. Ed25519 takes the digest as its message (RFC 8463 s. 3).
func (k *signingKey) sign(ctx context.Context, digest []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var opts crypto.SignerOpts = crypto.SHA256
	if !k.rsa {
		opts = crypto.Hash(0)
	}
	if s, ok := k.signer.(ContextSigner); ok {
		return s.SignContext(ctx, rand.Reader, digest, opts)
	}
	return k.signer.Sign(rand.Reader, digest, opts)
}
