package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/mail"
	"os"
	"os/user"
	"strings"
)

const mostHeader = 1 << 20 // octets of a header that are read

// readMessage reads the header, completes it, and takes the sender and with -t the
// recipients from it. The body is left to be streamed.
func readMessage(in io.Reader, a *arguments) (io.Reader, error) {
	body := bufio.NewReader(in)
	if !a.keepDots {
		body = bufio.NewReader(&dotReader{lines: body})
	}
	fields, err := readHeader(body)
	if err != nil {
		return nil, fmt.Errorf("reading the message: %w", err)
	}
	from, err := addresses(fields, "From")
	if err != nil {
		return nil, err
	}
	if len(from) == 0 {
		from = []string{localSender(a)}
		address := mail.Address{Name: a.fullName, Address: from[0]}
		fields = append([]string{"From: " + address.String() + "\n"}, fields...)
	}
	if !a.senderSet {
		a.sender = from[0]
	}
	if a.fromHeader {
		for _, name := range []string{"To", "Cc", "Bcc"} {
			list, err := addresses(fields, name)
			if err != nil {
				return nil, err
			}
			a.recipients = append(a.recipients, list...)
		}
		if len(a.recipients) == 0 {
			return nil, errors.New("no recipient in To, Cc or Bcc")
		}
	}
	head := strings.Join(fields, "") + "\n"
	return io.MultiReader(strings.NewReader(head), body), nil
}

// readHeader reads fields with their line breaks up to the empty line. A message whose first lines are no
// fields is all body, as sendmail has it.
func readHeader(r *bufio.Reader) (fields []string, err error) {
	for size := 0; ; {
		ahead, _ := r.Peek(1000)
		if len(ahead) == 0 {
			_, err := r.Peek(1)
			if err == io.EOF {
				err = nil
			}
			return fields, err
		}
		switch {
		case ahead[0] == '\n' || bytes.HasPrefix(ahead, []byte("\r\n")):
			_, err := r.ReadString('\n')
			return fields, err
		case (ahead[0] == ' ' || ahead[0] == '\t') && len(fields) > 0:
		case size == 0 && bytes.HasPrefix(ahead, []byte("From ")):
			if _, err := r.ReadString('\n'); err != nil && err != io.EOF { // an mbox line
				return nil, err
			}
			continue
		case !isField(ahead):
			return fields, nil
		}
		line, err := r.ReadString('\n')
		if err != nil && err != io.EOF {
			return nil, err
		}
		if size += len(line); size > mostHeader {
			return nil, fmt.Errorf("the header is larger than %d octets", mostHeader)
		}
		line = strings.TrimRight(line, "\r\n") + "\n"
		if line[0] == ' ' || line[0] == '\t' {
			fields[len(fields)-1] += line
		} else {
			fields = append(fields, line)
		}
	}
}

// isField says that the line begins as a header field does: printable octets, then a colon.
func isField(line []byte) bool {
	for i, c := range line {
		if c == ':' {
			return i > 0
		}
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return false
}

// addresses returns the addresses of all fields of this name.
func addresses(fields []string, name string) (list []string, err error) {
	parser := mail.AddressParser{WordDecoder: &mime.WordDecoder{
		// Names are not used here, so an unknown character set does no harm.
		CharsetReader: func(_ string, in io.Reader) (io.Reader, error) { return in, nil },
	}}
	for _, f := range fields {
		field, value, _ := strings.Cut(f, ":")
		value = strings.Join(strings.Fields(value), " ")
		if !strings.EqualFold(field, name) || value == "" {
			continue
		}
		parsed, err := parser.ParseList(value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for _, p := range parsed {
			list = append(list, quoteLocal(p.Address))
		}
	}
	return list, nil
}

// quoteLocal puts the quotes back that net/mail takes off a local part.
func quoteLocal(address string) string {
	s := (&mail.Address{Address: address}).String()
	return strings.TrimSuffix(strings.TrimPrefix(s, "<"), ">")
}

// localSender is the address of the calling user.
func localSender(a *arguments) string {
	if a.sender != "" {
		return a.sender
	}
	name, host := "postmaster", "localhost"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if h, err := os.Hostname(); err == nil {
		host = h
	}
	return name + "@" + host
}

// dotReader ends at a line with a lone dot.
type dotReader struct {
	lines *bufio.Reader
	rest  []byte
	mid   bool // the next octets go on a line that was longer than the buffer
	err   error
}

func (d *dotReader) Read(p []byte) (int, error) {
	for len(d.rest) == 0 {
		if d.err != nil {
			return 0, d.err
		}
		var line []byte
		line, d.err = d.lines.ReadSlice('\n')
		long := d.err == bufio.ErrBufferFull
		if long {
			d.err = nil
		}
		if !d.mid && string(bytes.TrimRight(line, "\r\n")) == "." {
			d.err = io.EOF
			return 0, io.EOF
		}
		d.mid, d.rest = long, line
	}
	n := copy(p, d.rest)
	d.rest = d.rest[n:]
	return n, nil
}
