package smtp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode"
	"unicode/utf8"
)

// Bounds of one reply. RFC 5321 s. 4.5.3.1.5 allows 512 octets a line; real servers send more, and
// hostile ones without end.
const (
	mostReplyLine   = 4096
	mostReplyLines  = 128
	mostReplyOctets = 64 << 10
)

var errReply = errors.New("malformed reply")

// replyReader reads replies from a connection. One reply is valid until the next is read.
type replyReader struct {
	r        *bufio.Reader
	code     int
	enhanced EnhancedCode
	text     []byte // lines without codes, joined by "\n", as they came

	lines, octets int    // of a reply that is being read
	part          []byte // of a line whose reading a deadline has interrupted
}

func newReplyReader(r io.Reader) *replyReader {
	return &replyReader{r: bufio.NewReaderSize(r, mostReplyLine)}
}

// buffered says how many octets were read that belong to no reply yet.
func (r *replyReader) buffered() int { return r.lines + len(r.part) + r.r.Buffered() }

// read reads the next reply. An error that wraps errReply says that the server broke the protocol. After a
// deadline of the connection has passed, the next call reads on where this one was.
// A line feed alone is taken as the end of a line, as most clients do: it cannot be mistaken here.
func (r *replyReader) read() error {
	if r.lines == 0 {
		r.code, r.enhanced, r.text = 0, EnhancedCode{}, r.text[:0]
	}
	for {
		line, err := r.readLine()
		if err != nil {
			if err == io.EOF && r.buffered() > 0 {
				return io.ErrUnexpectedEOF
			}
			return err
		}
		r.lines++
		r.octets += len(line)
		if r.lines > mostReplyLines || r.octets > mostReplyOctets {
			return fmt.Errorf("%w: more than %d lines or %d octets", errReply, mostReplyLines, mostReplyOctets)
		}
		more, err := r.line(bytes.TrimSuffix(line[:len(line)-1], []byte("\r")), r.lines == 1)
		if err != nil || !more {
			r.lines, r.octets = 0, 0
			return err
		}
	}
}

// readLine reads a line with its end. It is valid until the next is read.
func (r *replyReader) readLine() ([]byte, error) {
	line, err := r.r.ReadSlice('\n')
	if len(r.part) > 0 || err != nil {
		r.part = append(r.part, line...)
		line = r.part
	}
	if err == bufio.ErrBufferFull || len(line) > mostReplyLine {
		return nil, fmt.Errorf("%w: a line of more than %d octets", errReply, mostReplyLine)
	}
	if err == nil {
		r.part = r.part[:0]
	}
	return line, err
}

// line takes one line of a reply and says whether more follow (RFC 5321 s. 4.2.1).
func (r *replyReader) line(line []byte, first bool) (more bool, err error) {
	if len(line) < 3 || line[0] < '2' || line[0] > '5' || !digit(line[1]) || !digit(line[2]) {
		return false, fmt.Errorf("%w: %q", errReply, line[:min(len(line), 64)])
	}
	code := int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
	if !first && code != r.code {
		// "the reply code on each of the lines MUST be the same": two codes may be two replies of
		// which one was damaged, and to count them wrong is to give a recipient another's fate.
		return false, fmt.Errorf("%w: codes %d and %d in one", errReply, r.code, code)
	}
	if bytes.IndexByte(line, '\r') >= 0 {
		// Two replies may be one line because its LF was lost: all that follow would be taken for another's.
		return false, fmt.Errorf("%w: a CR within a line", errReply)
	}
	r.code = code
	line = line[3:]
	if len(line) > 0 {
		if line[0] != '-' && line[0] != ' ' {
			return false, fmt.Errorf("%w: %q after the code", errReply, line[:min(len(line), 64)])
		}
		more, line = line[0] == '-', line[1:]
	}
	if c, rest, ok := cutEnhanced(line); ok && c[0] == code/100 {
		if r.enhanced == (EnhancedCode{}) {
			r.enhanced = c
		}
		line = rest
	}
	if !first {
		r.text = append(r.text, '\n')
	}
	r.text = append(r.text, line...)
	return more, nil
}

// reply returns a copy of the reply for people, with at most most octets of text.
func (r *replyReader) reply(most int) Reply {
	return Reply{Code: r.code, Enhanced: r.enhanced, Text: harmless(r.text, most)}
}

func (r *replyReader) class() int { return r.code / 100 }

// cutEnhanced takes an enhanced status code off the front of a line (RFC 2034, RFC 3463 s. 2).
func cutEnhanced(line []byte) (c EnhancedCode, rest []byte, ok bool) {
	part, digits, i := 0, 0, 0
	for ; i < len(line); i++ {
		b := line[i]
		if digit(b) && digits < 3 {
			c[part], digits = c[part]*10+int(b-'0'), digits+1
		} else if b == '.' && digits > 0 && part < 2 {
			part, digits = part+1, 0
		} else {
			break
		}
	}
	if part != 2 || digits == 0 || c[0] != 2 && c[0] != 4 && c[0] != 5 || i < len(line) && line[i] != ' ' {
		return EnhancedCode{}, line, false
	}
	return c, bytes.TrimLeft(line[i:], " "), true
}

// harmless makes text of a server fit for logs and terminals: controls and what is not UTF-8
// become "?", and the length is bounded.
func harmless(b []byte, most int) string {
	plain := len(b) <= most
	for i := 0; plain && i < len(b); i++ {
		plain = b[i] >= ' ' && b[i] < 0x7f || b[i] == '\n'
	}
	if plain {
		return string(b)
	}
	clean := make([]byte, 0, min(len(b), most)+utf8.UTFMax)
	for len(b) > 0 && len(clean) < most {
		c, n := utf8.DecodeRune(b)
		b = b[n:]
		switch {
		case c == '\n':
		case c == '\t':
			c = ' '
		case c == utf8.RuneError && n == 1, !unicode.IsPrint(c):
			c = '?'
		}
		clean = utf8.AppendRune(clean, c)
	}
	return string(clean)
}

func digit(b byte) bool { return b >= '0' && b <= '9' }
