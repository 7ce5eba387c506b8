package smtptest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxMessage bounds what is kept of one message when no SIZE does.
const maxMessage = 256 << 20

func (s *session) dataCommand(rest string) (string, func()) {
	switch {
	case rest != "":
		s.violation("DATA with a parameter")
		return "501 5.5.4 no parameters", nil
	case s.chunks > 0 || s.broken != "":
		s.violation("DATA after BDAT (RFC 3030 s. 3)")
		return "503 5.5.1 DATA after BDAT", nil
	case s.params["BODY"] == "BINARYMIME":
		s.violation("DATA with BODY=BINARYMIME (RFC 3030 s. 3)")
		return "503 5.5.1 use BDAT", nil
	case !s.open:
		return "503 5.5.1 no transaction", nil
	case len(s.to) == 0:
		// The effect stands, for a script may answer 354 all the same.
		return "554 5.5.1 no valid recipients", s.readData
	}
	return "354 go ahead", s.readData
}

// readData reads up to the line with the dot (RFC 5321 s. 4.5.2).
func (s *session) readData() {
	s.turn()
	for {
		line, err := s.r.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			s.done = true // cut off: there is no message
			return
		}
		if string(line) == ".\r\n" {
			break
		}
		if line[0] == '.' && (len(s.data) == 0 || bytes.HasSuffix(s.data, []byte("\r\n"))) {
			if line = line[1:]; line[0] != '.' {
				s.wrong = "a line begins with a single dot"
			}
		}
		if len(s.data) < maxMessage {
			s.data = append(s.data, line...)
		}
	}
	if len(s.to) == 0 && len(s.data) > 0 {
		s.violation("the message was sent although no recipient was accepted")
	}
	s.end()
}

// bdat takes a chunk (RFC 3030 s. 2). The octets are read whatever the answer is.
func (s *session) bdat(line, rest string) {
	size, lastWord, _ := strings.Cut(rest, " ")
	n, err := strconv.ParseInt(size, 10, 64)
	isLast := strings.EqualFold(lastWord, "LAST")
	if err != nil || n < 0 || n > maxMessage || lastWord != "" && !isLast {
		s.violation("bad %.80q", line)
		s.send("501 5.5.4 bad BDAT")
		s.done = true // where the next command begins is not known
		return
	}
	refusal := s.bdatRefusal(line)
	if refusal != "" {
		_, err = io.CopyN(io.Discard, s.r, n)
	} else {
		old := len(s.data)
		s.data = slices.Grow(s.data, int(n))[:old+int(n)]
		_, err = io.ReadFull(s.r, s.data[old:])
		s.chunks++
	}
	if err != nil {
		s.done = true // cut off: there is no message
		return
	}
	if !s.offered("PIPELINING") && s.r.Buffered() > 0 {
		s.violation("more octets after %.80q and its chunk, but PIPELINING was not offered", line)
	}
	switch {
	case refusal != "":
		s.broken = refusal
		s.step("BDAT", line, func() (string, func()) { return refusal, nil })
		if isLast {
			s.transaction = s.afterwards(true)
		}
	case isLast:
		s.end()
	default:
		s.step("BDAT", line, func() (string, func()) { return fmt.Sprintf("250 2.0.0 %d octets received", n), nil })
	}
}

func (s *session) bdatRefusal(line string) string {
	switch {
	case !s.offered("CHUNKING"):
		s.violation("%.80q, but CHUNKING was not offered", line)
		return "502 5.5.1 no BDAT"
	case s.broken != "":
		return "503 5.5.1 an earlier chunk failed"
	case !s.open:
		return "503 5.5.1 no transaction"
	case len(s.to) == 0:
		return "554 5.5.1 no valid recipients"
	}
	return ""
}

// end answers for a whole message, in LMTP once for each accepted recipient (RFC 2033 s. 4.2).
func (s *session) end() {
	m := s.message()
	own := s.judge(m)
	failed := s.afterwards(m.Chunks > 0)
	s.transaction = transaction{data: s.reuse()}
	if !s.srv.LMTP {
		accepted := false
		s.step("END", "", func() (string, func()) { return own, func() { accepted = true } })
		if accepted && own[0] == '2' {
			s.srv.keep(m)
		} else {
			s.transaction = failed
		}
		return
	}
	to, params := m.To, m.RcptParams
	m.To, m.RcptParams = nil, nil
	for i := range to {
		if s.done {
			break
		}
		s.step("END", to[i], func() (string, func()) {
			return own, func() { m.To, m.RcptParams = append(m.To, to[i]), append(m.RcptParams, params[i]) }
		})
	}
	if len(m.To) > 0 && own[0] == '2' {
		s.srv.keep(m)
	}
}

// afterwards is what a message that was refused leaves.
func (s *session) afterwards(chunks bool) transaction {
	if chunks && s.srv.Sticky {
		return transaction{open: s.open, from: s.from, params: s.params}
	}
	return transaction{}
}

// reuse gives the buffer to the next message when nobody keeps it.
func (s *session) reuse() []byte {
	if s.srv.Discard {
		return s.data[:0]
	}
	return nil
}

func (s *session) message() *Message {
	return &Message{From: s.from, To: s.to, Params: maps.Clone(s.params), RcptParams: s.rcptParams,
		Data: s.data, Chunks: s.chunks, Session: s.id, Hello: s.hello, User: s.user, TLS: s.tls,
		Remote: s.raw.RemoteAddr(), Received: time.Now()}
}

// judge is the server's own opinion on a message.
func (s *session) judge(m *Message) string {
	if len(m.To) == 0 {
		return "554 5.5.1 no valid recipients"
	}
	if s.srv.MaxSize > 0 && int64(len(m.Data)) > s.srv.MaxSize {
		return "552 5.3.4 message too big"
	}
	wrong := s.wrong
	if wrong == "" {
		wrong = check(m.Data, m.Params["BODY"])
	}
	if wrong != "" {
		s.violation("message: %s", wrong)
		return "554 5.6.0 " + wrong
	}
	return "250 2.0.0 accepted"
}

// check looks for octets that must not be sent (RFC 5321 s. 2.3.8, 4.5.3.1.6; RFC 6152).
func check(data []byte, body string) string {
	if body == "BINARYMIME" {
		return ""
	}
	for n := 1; len(data) > 0; n++ {
		end := bytes.IndexByte(data, '\n')
		line := data[:end+1]
		switch {
		case end < 0:
			return fmt.Sprintf("line %d is not ended by CRLF", n)
		case !bytes.HasSuffix(line, []byte("\r\n")):
			return fmt.Sprintf("line %d has a bare LF", n)
		case bytes.IndexByte(line[:end-1], '\r') >= 0:
			return fmt.Sprintf("line %d has a bare CR", n)
		case len(line) > 1000:
			return fmt.Sprintf("line %d has %d octets, more than 1000", n, len(line))
		case bytes.IndexByte(line, 0) >= 0:
			return fmt.Sprintf("line %d has a NUL", n)
		case body != "8BITMIME" && !ascii(line):
			return fmt.Sprintf("line %d has octets above 127, but BODY=8BITMIME was not said", n)
		}
		data = data[end+1:]
	}
	return ""
}

func ascii(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}
