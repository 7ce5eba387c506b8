package postrider

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/mail"
	"strings"

	"github.com/emersion/go-message"
	_ "github.com/emersion/go-message/charset" // mail of others comes in many character sets
)

const (
	mostParsed  = 128 << 20 // octets of decoded content that ParseMessage takes
	mostParts   = 1000
	mostNesting = 20 // multiparts in one another
)

// ParseMessage reads a mail (RFC 5322) into a Message that composes back to an equal tree of parts:
// the first plain text becomes Text, the first HTML becomes HTML, other forms of the same content
// Alternatives, and everything else Attachments, which are kept in memory. Fields with a place in Message go
// there; fields that servers wrote on the way, such as Received and DKIM-Signature, are left out; the others go to
// Header. Bcc is read, if the mail has it.
//
// An error is ErrInvalid where the mail is no mail, or is larger than 128 MB decoded, or has more than
// 1,000 parts or multiparts nested deeper than 20. It does not say whether the Message can be sent: Send does.
func ParseMessage(r io.Reader) (*Message, error) {
	e, err := message.ReadWithOptions(r, &message.ReadOptions{MaxHeaderBytes: mostRawHeader})
	if err != nil && !message.IsUnknownCharset(err) && !message.IsUnknownEncoding(err) {
		return nil, parseError(err)
	}
	p := &parser{m: &Message{}, left: mostParsed}
	if err := p.header(&e.Header); err != nil {
		return nil, err
	}
	if err := p.entity(e, 0, "", message.IsUnknownCharset(err)); err != nil {
		return nil, parseError(err)
	}
	return p.m, nil
}

func parseError(err error) error {
	if errors.Is(err, ErrInvalid) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrInvalid, err)
}

// parser fills a Message.
type parser struct {
	m      *Message
	left   int64 // octets that may still be read
	parts  int
	leaves bool // a leaf was taken
	text   bool // Text is taken
	html   bool // HTML is taken
}

// entity takes one part; inside is the multipart that it stands in. Foreign says that its character set is not
// known, so that its text cannot be had as UTF-8.
func (p *parser) entity(e *message.Entity, depth int, inside string, foreign bool) error {
	if p.parts++; p.parts > mostParts || depth > mostNesting {
		return fmt.Errorf("%w: more than %d parts, or nested deeper than %d", ErrInvalid, mostParts, mostNesting)
	}
	media, params, err := e.Header.ContentType()
	if err != nil {
		media, params = octetStream, nil
	}
	if multi := e.MultipartReader(); multi != nil {
		return p.multipart(multi, depth, strings.TrimPrefix(media, "multipart/"))
	}
	data, err := io.ReadAll(io.LimitReader(e.Body, p.left+1))
	if err != nil {
		return err
	}
	if p.left -= int64(len(data)); p.left < 0 {
		return fmt.Errorf("%w: more than %d octets of content", ErrInvalid, mostParsed)
	}
	if !foreign && params["charset"] != "" && strings.HasPrefix(media, "text/") {
		params["charset"] = "utf-8" // it was decoded
	}
	p.leaf(e, parsedPart{media: media, params: params, data: data, inside: inside, foreign: foreign})
	return nil
}

func (p *parser) multipart(multi message.MultipartReader, depth int, subtype string) error {
	for {
		e, err := multi.NextPart()
		if err == io.EOF {
			return nil
		}
		if err != nil && !message.IsUnknownCharset(err) && !message.IsUnknownEncoding(err) {
			return err
		}
		if err := p.entity(e, depth+1, subtype, message.IsUnknownCharset(err)); err != nil {
			return err
		}
	}
}

// parsedPart is a part that is no multipart, decoded; text is UTF-8 unless it is foreign.
type parsedPart struct {
	media   string
	params  map[string]string
	data    []byte
	inside  string
	foreign bool
}

// leaf finds the place of a part in the Message.
func (p *parser) leaf(e *message.Entity, l parsedPart) {
	disposition, file, err := e.Header.ContentDisposition()
	if err != nil {
		disposition = ""
	}
	name := file["filename"]
	if name == "" {
		name = l.params["name"]
	}
	if w := (&mime.WordDecoder{}); name != "" {
		if decoded, err := w.DecodeHeader(name); err == nil {
			name = decoded // encoded words in parameters are wrong, and common
		}
	}
	id := strings.Trim(strings.TrimSpace(e.Header.Get("Content-Id")), "<>")
	content := disposition != "attachment" && name == "" && !l.foreign
	first := !p.leaves // such as a calendar invitation that is all of the mail
	p.leaves = true
	switch {
	case content && l.media == "text/plain" && !p.text:
		p.text = true
		p.m.Text = lines(l.data)
		if strings.EqualFold(l.params["format"], "flowed") {
			p.m.Flowed = true
			p.m.Text = unflow(p.m.Text, strings.EqualFold(l.params["delsp"], "yes"))
		}
	case content && l.media == "text/html" && !p.html:
		p.html = true
		p.m.HTML = lines(l.data)
	case content && (l.inside == "alternative" || first) && strings.HasPrefix(l.media, "text/"):
		delete(l.params, "charset")
		p.m.Alternatives = append(p.m.Alternatives, Part{ContentType: mime.FormatMediaType(l.media, l.params), Content: lines(l.data)})
	default:
		delete(l.params, "name")
		a := Bytes(name, l.data)
		a.ContentType = mime.FormatMediaType(l.media, l.params)
		a.Inline = l.inside == "related" || disposition == "inline" && id != ""
		a.ContentID = id
		p.m.Attachments = append(p.m.Attachments, a)
	}
}

// lines is text with LF line ends, as Go programs have it.
func lines(data []byte) string { return string(bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))) }

// unflow joins the lines of format=flowed text to paragraphs (RFC 3676 s. 4.2), one on each line.
func unflow(s string, delsp bool) string {
	var b strings.Builder
	b.Grow(len(s))
	flowing, depthBefore := false, 0
	for line := range strings.Lines(s) {
		text := strings.TrimSuffix(line, "\n")
		ended := len(text) < len(line)
		depth := 0
		for depth < len(text) && text[depth] == '>' {
			depth++
		}
		quote := text[:depth]
		text = strings.TrimPrefix(text[depth:], " ")
		if flowing && depth != depthBefore {
			b.WriteByte('\n') // the depth changed: the paragraph was not finished (s. 4.5)
			flowing = false
		}
		if !flowing {
			b.WriteString(quote)
			if depth > 0 && text != "" {
				b.WriteByte(' ')
			}
		}
		flowing = strings.HasSuffix(text, " ") && text != "-- " && ended
		depthBefore = depth
		if flowing && delsp {
			text = text[:len(text)-1]
		}
		b.WriteString(text)
		if ended && !flowing {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// addressParser reads names in any character set that is known.
var addressParser = mail.AddressParser{WordDecoder: &mime.WordDecoder{CharsetReader: message.CharsetReader}}
