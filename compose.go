package postrider

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/postrider/postrider/dkim"
)

// composed is a finished message: its octets do not change any more.
type composed struct {
	size           int64 // octets of what open's reader yields
	eightBit, utf8 bool  // what the envelope needs
	messageID      string
	date           time.Time
	fields         []byte // the signer's
	tlsOptional    bool   // a finished message has "TLS-Required: No"
	plain          []byte // SHA-256 of what Protect was given. Nil: there is no Protect
	spool          *spool
}

// open returns the message from its first octet. It may be called repeatedly and concurrently.
func (c *composed) open() (io.ReadCloser, error) { return c.spool.open(c.fields) }

// close removes the spool, as soon as the open readers are closed.
func (c *composed) close() error { return c.spool.close() }

// WriteTo writes the composed, unsigned message, while it is composed: after an error w has a part of
// it. Message-ID and Date are new for each call unless they are given.
func (m *Message) WriteTo(w io.Writer) (int64, error) {
	var p problems
	facts := m.check(&p)
	if len(p.list) > 0 {
		return 0, p.all(m)
	}
	c := newComposer(context.Background(), m, facts, writerSink{w})
	defer c.free()
	err := c.write()
	return c.out.total, err
}

// compose builds the message and signs it. Everything is checked and read before it returns, so that
// nothing of a message that cannot be finished ever reaches a server.
func (m *Message) compose(ctx context.Context, s Signer) (*composed, error) {
	var p problems
	facts := m.check(&p)
	if len(p.list) > 0 {
		return nil, p.all(m)
	}
	sp := newSpool()
	c := newComposer(ctx, m, facts, sp)
	defer c.free()
	var signature *dkim.Signature
	if s, ok := s.(streamSigner); ok {
		signature = s.NewSignature(ctx)
		c.out.hash = signature
	}
	if err := c.write(); err != nil {
		sp.close()
		return nil, err
	}
	done := &composed{
		size: sp.size, eightBit: c.eightBit, utf8: facts.utf8,
		messageID: c.messageID, date: c.date, spool: sp, plain: c.plain,
	}
	if signature == nil {
		err := done.sign(ctx, s)
		if err != nil {
			sp.close()
			return nil, err
		}
		return done, nil
	}
	fields, err := signature.Fields()
	if err != nil {
		sp.close()
		return nil, fmt.Errorf("postrider: signing: %w", err)
	}
	done.fields = fields
	done.size += int64(len(fields))
	return done, nil
}

// streamSigner is a Signer that is written to while the message is composed: dkim.Signer.
type streamSigner interface {
	NewSignature(ctx context.Context) *dkim.Signature
}

// sign lets a signer read the finished message.
func (c *composed) sign(ctx context.Context, s Signer) error {
	if s == nil {
		return nil
	}
	r, err := c.open()
	if err != nil {
		return err
	}
	defer r.Close()
	fields, err := s.Sign(r)
	if err == nil {
		err = checkFields(fields)
	}
	if err != nil {
		return fmt.Errorf("postrider: signing: %w", err)
	}
	c.fields = fields
	c.size += int64(len(fields))
	return ctx.Err()
}

// checkFields sees to it that a signer returned whole header fields and nothing else.
func checkFields(fields []byte) error {
	rest := string(fields)
	for i := 0; rest != ""; i++ {
		line, after, ok := strings.Cut(rest, "\r\n")
		name, _, colon := strings.Cut(line, ":")
		folded := i > 0 && line != "" && (line[0] == ' ' || line[0] == '\t')
		if !ok || len(line) > lineMax || strings.ContainsAny(line, "\r\n\x00") || !folded && (!colon || checkFieldName(name) != nil) {
			return errors.New("the signer returned something else than header fields")
		}
		rest = after
	}
	return nil
}

// composer writes one message.
type composer struct {
	m    *Message
	f    facts
	h    headerWriter // fields not yet written
	out  output
	seed [sha256.Size]byte // of the boundaries
	// breaks says that a CRLF must be written before the next boundary.
	breaks    bool
	eightBit  bool
	messageID string
	date      time.Time
	plain     []byte // see composed
}

var composers = sync.Pool{New: func() any {
	return &composer{h: headerWriter{b: make([]byte, 0, 2048)}}
}}

func newComposer(ctx context.Context, m *Message, f facts, to sink) *composer {
	c := composers.Get().(*composer)
	*c = composer{m: m, f: f, h: headerWriter{b: c.h.b[:0], utf8: f.utf8Header}}
	c.out = output{ctx: ctx, sink: to, chunk: chunks.Get().(*[chunkSize]byte)}
	c.eightBit = f.utf8Header
	c.messageID = trimID(m.MessageID)
	if c.messageID == "" {
		c.messageID = rand.Text() + "@" + f.domain
	}
	if c.date = m.Date; c.date.IsZero() {
		c.date = time.Now()
	}
	c.seed = sha256.Sum256([]byte(c.messageID))
	return c
}

func (c *composer) free() {
	c.out.free()
	if cap(c.h.b) > 64<<10 {
		return // a message with thousands of recipients; its buffer shall not stay
	}
	*c = composer{h: headerWriter{b: c.h.b[:0]}}
	composers.Put(c)
}

// write writes the whole message.
//
//	multipart/mixed           if there are attachments
//	    multipart/alternative if the content comes in several forms
//	        text/plain
//	        text/x-amp-html
//	        multipart/related if the HTML shows files
//	            text/html
//	            image/png ...
//	        text/calendar ...
//	    application/pdf ...
func (c *composer) write() error {
	c.header()
	content := c.content
	if c.m.Protect != nil {
		content = c.protected
	}
	if err := content(); err != nil {
		return err
	}
	c.out.endLine()
	c.out.flush()
	return c.out.err
}

// content writes the entity of the message: its Content fields and its body.
func (c *composer) content() error {
	if !c.f.mixed {
		return c.forms()
	}
	c.openMultipart("mixed", "")
	if c.f.forms > 0 {
		c.delimit("mixed")
		if err := c.forms(); err != nil {
			return err
		}
	}
	for i := range c.m.Attachments {
		if c.f.related && c.m.Attachments[i].Inline {
			continue
		}
		c.delimit("mixed")
		if err := c.attachment(i); err != nil {
			return err
		}
	}
	c.closeMultipart("mixed")
	return c.out.err
}

// forms writes the content in all its forms.
func (c *composer) forms() error {
	several := c.f.forms > 1
	if several {
		c.openMultipart("alternative", "")
	}
	if c.f.hasText {
		if several {
			c.delimit("alternative")
		}
		c.textPart(mediaType{full: "text/plain"}, c.f.text)
	}
	for i := range c.f.parts {
		if c.f.parts[i].early() {
			c.part(i, several)
		}
	}
	if c.m.HTML != "" {
		if several {
			c.delimit("alternative")
		}
		if err := c.html(); err != nil {
			return err
		}
	}
	for i := range c.f.parts {
		if !c.f.parts[i].early() {
			c.part(i, several)
		}
	}
	if several {
		c.closeMultipart("alternative")
	}
	return c.out.err
}

// html writes the HTML and the files it shows (RFC 2387).
func (c *composer) html() error {
	if !c.f.related {
		c.textPart(mediaType{full: "text/html"}, c.f.html)
		return nil
	}
	c.openMultipart("related", "text/html")
	c.delimit("related")
	c.textPart(mediaType{full: "text/html"}, c.f.html)
	for i := range c.m.Attachments {
		if !c.m.Attachments[i].Inline {
			continue
		}
		c.delimit("related")
		if err := c.attachment(i); err != nil {
			return err
		}
	}
	c.closeMultipart("related")
	return nil
}

func (c *composer) part(i int, several bool) {
	if several {
		c.delimit("alternative")
	}
	c.textPart(c.f.parts[i].media, c.f.parts[i].content)
}

// textPart writes one text as an entity.
func (c *composer) textPart(t mediaType, text content) {
	c.h.contentType(t)
	if strings.HasPrefix(t.full, "text/") {
		c.h.param("charset", "utf-8")
	}
	if c.m.Flowed && t.full == "text/plain" {
		c.h.param("format", "flowed")
	}
	c.h.end()
	c.h.plain("Content-Transfer-Encoding", text.enc.String())
	c.endHeader()
	c.out.text(text)
	c.breaks = text.enc != base64Encoded
	c.eightBit = c.eightBit || text.enc == eightBit
}

// endHeader writes the fields collected and the empty line behind them.
func (c *composer) endHeader() {
	c.h.end()
	c.out.Write(c.h.b)
	c.h.b = c.h.b[:0]
}

// boundary of a multipart. It has "=_", which neither quoted-printable nor base64 can contain, and
// scan sees to it that no line of other text begins in this way. It depends on the Message-ID alone, so
// that the same message is always written in the same octets.
func (c *composer) appendBoundary(b []byte, kind string) []byte {
	b = append(b, "=_"...)
	b = append(b, kind[0])
	b = append(b, '_')
	return hex.AppendEncode(b, c.seed[:12])
}

func (c *composer) openMultipart(kind, rootType string) {
	c.h.begin("Content-Type")
	c.h.word("multipart/"+kind, "")
	if rootType != "" {
		c.h.param("type", rootType)
	}
	var buf [64]byte
	b := c.appendBoundary(buf[:0], kind)
	c.h.b = append(c.h.b, ';')
	c.h.next(len(`boundary=""`) + len(b))
	c.h.b = append(c.h.b, `boundary="`...)
	c.h.b = append(c.h.b, b...)
	c.h.b = append(c.h.b, '"')
	c.h.end()
	c.endHeader()
	c.breaks = false
}

func (c *composer) delimit(kind string) { c.delimiter(kind, "\r\n") }

func (c *composer) closeMultipart(kind string) {
	c.delimiter(kind, "--\r\n")
	c.breaks = false
}

func (c *composer) delimiter(kind, end string) {
	if c.breaks {
		c.out.WriteString("\r\n")
	}
	c.breaks = false
	dst := c.out.space(64)
	b := append(dst[:0], "--"...)
	b = c.appendBoundary(b, kind)
	b = append(b, end...)
	c.out.used(len(b))
}
