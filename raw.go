package postrider

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/postrider/postrider/smtp"
)

const mostRawHeader = 1 << 20 // octets of a finished message's header

// lineReaders are used again: a new buffer costs more than reading a small message with it.
var lineReaders = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 64<<10) }}

// composeRaw checks a finished message line by line, completes its header, and signs it.
func composeRaw(ctx context.Context, message io.Reader, from string, s Signer) (*composed, error) {
	lines := lineReaders.Get().(*bufio.Reader)
	lines.Reset(message)
	defer func() { lines.Reset(nil); lineReaders.Put(lines) }()
	raw := &rawMessage{lines: lines}
	if err := raw.readHeader(); err != nil {
		return nil, err
	}
	raw.complete(from)
	sp := newSpool()
	out := output{ctx: ctx, sink: sp, chunk: chunks.Get().(*[chunkSize]byte)}
	out.Write(raw.header)
	err := raw.copyBody(&out)
	out.flush()
	if out.chunk != nil {
		chunks.Put(out.chunk)
	}
	if err == nil {
		err = out.err
	}
	c := &composed{size: sp.size, eightBit: raw.eightBit, utf8: raw.utf8, messageID: raw.messageID, date: raw.date, spool: sp, tlsOptional: raw.tlsOptional}
	if err == nil {
		err = c.sign(ctx, s)
	}
	if err != nil {
		sp.close()
		return nil, err
	}
	return c, nil
}

// rawMessage is a finished message while it is read.
type rawMessage struct {
	lines          *bufio.Reader
	number         int    // of the line that was read last, for errors
	header         []byte // complete fields with CRLF, and the empty line
	from, hasDate  bool
	messageID      string
	date           time.Time
	eightBit, utf8 bool
	tlsOptional    bool // TLS-Required: No
}

// line reads one line, checks it, and returns it without its end. The result is valid until the next
// call. At the end of the message the error is io.EOF.
func (m *rawMessage) line() ([]byte, error) {
	line, err := m.lines.ReadSlice('\n')
	switch {
	case err == io.EOF && len(line) > 0, err == bufio.ErrBufferFull:
	case err != nil:
		return nil, err
	}
	m.number++
	line = bytes.TrimSuffix(line, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	switch {
	case len(line) > lineMax:
		return nil, fmt.Errorf("%w: line %d is longer than %d octets", ErrInvalid, m.number, lineMax)
	case bytes.IndexByte(line, '\r') >= 0:
		return nil, fmt.Errorf("%w: line %d has a bare CR", ErrInvalid, m.number)
	case bytes.IndexByte(line, 0) >= 0:
		return nil, fmt.Errorf("%w: line %d has a NUL", ErrInvalid, m.number)
	}
	return line, nil
}

// readHeader reads up to the empty line and leaves Bcc out.
func (m *rawMessage) readHeader() error {
	keep := false // the field that continuation lines belong to
	for {
		line, err := m.line()
		if err == io.EOF || err == nil && len(line) == 0 {
			break
		}
		if err != nil {
			return rawError(err)
		}
		if line[0] == ' ' || line[0] == '\t' {
			if m.number == 1 {
				return fmt.Errorf("%w: the message begins with white space", ErrInvalid)
			}
		} else if keep, err = m.field(line); err != nil {
			return err
		}
		if keep {
			m.header = append(append(m.header, line...), "\r\n"...)
			m.utf8 = m.utf8 || !ascii(line)
		}
		if len(m.header) > mostRawHeader {
			return fmt.Errorf("%w: the header is larger than %d octets", ErrInvalid, mostRawHeader)
		}
	}
	if !m.from {
		return fmt.Errorf("%w: the message has no From field", ErrInvalid)
	}
	return nil
}

// field looks at the first line of a field and says whether it is kept.
func (m *rawMessage) field(line []byte) (keep bool, err error) {
	name, value, ok := bytes.Cut(line, []byte(":"))
	name = bytes.TrimRight(name, " \t")
	if !ok || !fieldName(name) {
		return false, fmt.Errorf("%w: line %d is not a header field", ErrInvalid, m.number)
	}
	switch strings.ToLower(string(name)) {
	case "bcc", "resent-bcc":
		return false, nil
	case "from":
		if m.from {
			// Two authors are read in different ways by different receivers (RFC 5322 s. 3.6).
			return false, fmt.Errorf("%w: line %d: a second From field", ErrInvalid, m.number)
		}
		m.from = true
	case "date":
		m.hasDate = true
	case "tls-required":
		m.tlsOptional = isNo(string(value))
	case "message-id":
		m.messageID = strings.Trim(string(bytes.TrimSpace(value)), "<>")
	}
	return true, nil
}

func fieldName(name []byte) bool {
	for _, c := range name {
		if c <= ' ' || c > '~' || c == ':' {
			return false
		}
	}
	return len(name) > 0
}

func ascii(line []byte) bool {
	for len(line) >= 8 {
		if binary.LittleEndian.Uint64(line)&0x8080808080808080 != 0 {
			return false
		}
		line = line[8:]
	}
	for _, c := range line {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

// complete adds Date and Message-ID where they are missing (RFC 6409 s. 8.2 and 8.3).
func (m *rawMessage) complete(from string) {
	var added []byte
	m.date = time.Now()
	if !m.hasDate {
		added = fmt.Appendf(added, "Date: %s\r\n", m.date.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	}
	if m.messageID == "" {
		_, domain, _ := strings.Cut(from, "@")
		if domain == "" {
			domain = "localhost" // a notification with the null reverse-path
		}
		m.messageID = rand.Text() + "@" + domain
		added = fmt.Appendf(added, "Message-ID: <%s>\r\n", m.messageID)
	}
	m.header = append(append(added, m.header...), "\r\n"...)
}

func (m *rawMessage) copyBody(out *output) error {
	for out.err == nil {
		line, err := m.line()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return rawError(err)
		}
		m.eightBit = m.eightBit || !ascii(line)
		out.Write(line)
		out.WriteString("\r\n")
	}
	return out.err
}

// rawError tells a message that is wrong from a source that fails.
func rawError(err error) error {
	if errors.Is(err, ErrInvalid) {
		return err
	}
	return fmt.Errorf("postrider: reading the message: %w", err)
}

// rawPath checks the addresses of an envelope.
func rawPath(from string, to []string) (path string, recipients []smtp.Recipient, utf8 bool, err error) {
	var errs []error
	if from != "" && from != "<>" {
		path, utf8, err = parseAddress(from)
		errs = append(errs, inField("from", err))
	}
	seen := make(map[string]bool, len(to))
	for _, address := range to {
		a, u, err := parseAddress(address)
		if err != nil {
			errs = append(errs, inField("to", err))
			continue
		}
		utf8 = utf8 || u
		at := strings.LastIndexByte(a, '@') // the domain is the same in any case, the local part is not
		if key := a[:at] + strings.ToLower(a[at:]); !seen[key] {
			seen[key] = true
			recipients = append(recipients, smtp.Recipient{Address: a})
		}
	}
	if len(to) == 0 {
		errs = append(errs, inField("to", errNoRecipient))
	}
	return path, recipients, utf8, errors.Join(errs...)
}

// inField makes an error of the message's content that names the field.
func inField(field string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %s: %w", ErrInvalid, field, err)
}

// path is the envelope of a message: every recipient once, in the order To, Cc, Bcc.
func (m *Message) path() (from string, to []smtp.Recipient, utf8 bool, err error) {
	from = m.ReturnPath
	if from == "" {
		from = m.Sender.Address
	}
	if from == "" {
		from = m.From.Address
	}
	all := make([]string, 0, len(m.To)+len(m.Cc)+len(m.Bcc))
	for _, list := range [][]Address{m.To, m.Cc, m.Bcc} {
		for _, a := range list {
			all = append(all, a.Address)
		}
	}
	return rawPath(from, all)
}

// tlsOptional says that the header waives policies (RFC 8689 s. 5).
func (m *Message) tlsOptional() bool {
	return slices.ContainsFunc(m.Header, func(f Field) bool { return strings.EqualFold(f.Name, "TLS-Required") && isNo(f.Value) })
}

func isNo(value string) bool { return strings.EqualFold(strings.TrimSpace(value), "no") }

// CheckAddress says what is wrong with an address by the grammar of RFC 5321 s. 4.1.2: nil means
// that mail can be addressed to it, not that it exists. Domains may be given as U-labels.
func CheckAddress(address string) error {
	_, _, err := parseAddress(address)
	return inField("address", err)
}

// envelope puts the finished message into an envelope.
func (c *composed) envelope(from string, to []smtp.Recipient, utf8 bool) *smtp.Envelope {
	return &smtp.Envelope{From: from, To: to, Size: c.size, Open: c.open, EightBit: c.eightBit, UTF8: c.utf8 || utf8}
}
