package postrider

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
)

// protected writes what Message.Protect makes of the content.
func (c *composer) protected() error {
	c.out.Write(c.h.b)
	c.h.b = c.h.b[:0]
	var entity bytes.Buffer
	outer := c.out
	c.out = output{ctx: outer.ctx, sink: writerSink{&entity}, chunk: chunks.Get().(*[chunkSize]byte)}
	err := c.content()
	c.out.flush()
	if err == nil {
		err = c.out.err
	}
	c.out.free()
	c.out = outer
	if err != nil {
		return err
	}
	if c.eightBit && !c.f.utf8Header {
		return &fieldError{field: "Attachments", err: errors.New("an attached message is 8bit: what is signed must be 7bit (RFC 1847 s. 2.1); attach it with another ContentType")}
	}
	sum := sha256.Sum256(entity.Bytes())
	c.plain = sum[:]
	wrapped, err := c.m.Protect(c.out.ctx, entity.Bytes())
	if err != nil {
		return fmt.Errorf("postrider: Protect: %w", err)
	}
	if err := checkEntity(wrapped); err != nil {
		return fmt.Errorf("postrider: Protect: %w", err)
	}
	_, err = c.out.Write(wrapped)
	return err
}

// checkEntity sees to it that Content fields and a body in 7bit came back, and nothing that could end the
// header early or add to it.
func checkEntity(entity []byte) error {
	header, body, ok := bytes.Cut(entity, []byte("\r\n\r\n"))
	if !ok {
		return errors.New("the entity has no body")
	}
	if err := checkFields(append(header[:len(header):len(header)], "\r\n"...)); err != nil {
		return errors.New("the entity begins with something else than header fields")
	}
	for line := range bytes.SplitSeq(header, []byte("\r\n")) {
		if line[0] == ' ' || line[0] == '\t' {
			continue
		}
		if name, _, _ := bytes.Cut(line, []byte(":")); !strings.HasPrefix(strings.ToLower(string(name)), "content-") {
			return fmt.Errorf("field %q is not one of the content", name)
		}
	}
	for line := range bytes.SplitSeq(body, []byte("\r\n")) {
		switch {
		case len(line) > lineMax:
			return fmt.Errorf("a line of %d octets", len(line))
		case bytes.ContainsAny(line, "\r\n\x00"):
			return errors.New("a CR or LF alone, or a NUL")
		case !ascii(line):
			return errors.New("the body is not 7bit")
		}
	}
	return nil
}
