package dkim

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Signature makes the signatures of one message. The message is written to it in pieces of any
// size; it costs memory for the header only. It is for one goroutine.
type Signature struct {
	ctx    context.Context
	signer Signer
	err    error // of an earlier call; every later one returns it

	header headerBuffer
	body   relaxedBody
	keys   []signingKey
}

// Write takes the next part of the message. An error says why the message cannot be signed: a
// malformed header, a CR or LF alone, no key.
func (g *Signature) Write(p []byte) (int, error) {
	if g.err != nil {
		return 0, g.err
	}
	rest, err := p, error(nil)
	if !g.header.done {
		if rest, err = g.header.write(p); err == nil && g.header.done {
			err = g.begin()
		}
	}
	if err == nil && g.header.done {
		err = g.body.write(rest)
	}
	if err != nil {
		g.err = err
		return 0, err
	}
	return len(p), nil
}

// begin checks the header and chooses the keys, so that mail which cannot be signed fails before its body is
// read.
func (g *Signature) begin() error {
	author, err := checkHeader(g.header.raw, false)
	if err != nil {
		return err
	}
	g.body = relaxedBody{h: sha256.New(), small: make([]byte, 0, smallRoom)}
	g.keys, err = g.signer.choose(g.ctx, author)
	return err
}

// Fields ends the message and returns its DKIM-Signature fields, each ended by CRLF: those of RSA
// keys first, for a receiver that looks at one signature only most likely looks at the first.
func (g *Signature) Fields() ([]byte, error) {
	if g.err == nil && !g.header.done {
		if g.err = g.header.end(); g.err == nil {
			g.err = g.begin()
		}
	}
	if g.err == nil {
		g.err = g.body.close()
	}
	if g.err != nil {
		return nil, g.err
	}
	g.err = errors.New("dkim: Fields was called before")
	if len(g.keys) == 0 {
		return nil, nil
	}
	return g.fields()
}

func (g *Signature) fields() ([]byte, error) {
	h := selectHeader(g.header.raw, g.signer.Header)
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
