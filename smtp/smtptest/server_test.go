package smtptest_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/smtp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/smtp/smtptest"
)

// client is the crudest client: it says what it is told.
type client struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func connect(t *testing.T, s *smtptest.Server) *client {
	t.Helper()
	c, err := s.Dial(t.Context(), "tcp", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &client{t, c, bufio.NewReader(c)}
}

// say writes in one piece and reads that many replies, each on one line; continuation lines are
// joined by "|".
func (c *client) say(text string, replies int) []string {
	c.t.Helper()
	go io.WriteString(c, text)
	var all []string
	for range replies {
		var reply []string
		for {
			line, err := c.r.ReadString('\n')
			if err != nil {
				return append(all, "EOF")
			}
			line = strings.TrimSuffix(line, "\r\n")
			reply = append(reply, line)
			if len(line) < 4 || line[3] == ' ' {
				break
			}
		}
		all = append(all, strings.Join(reply, "|"))
	}
	return all
}

func (c *client) want(text string, replies ...string) {
	c.t.Helper()
	got := c.say(text, len(replies))
	for i := range replies {
		if i >= len(got) || !strings.HasPrefix(got[i], replies[i]) {
			c.t.Errorf("%q:\n got %q\nwant %q", text, got, replies)
			return
		}
	}
}

func start(t *testing.T, s *smtptest.Server) *smtptest.Server {
	t.Helper()
	s.Start()
	t.Cleanup(s.Close)
	return s
}

const letter = "Subject: hi\r\n\r\n..dot\r\n"

func TestDataAndPipelinedBdat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, &smtptest.Server{Listener: smtptest.NewPipe(), Record: true})
		c := connect(t, s)
		c.want("", "220 mx.example.test ESMTP")
		c.want("EHLO a.test\r\n", "250-mx.example.test|250-PIPELINING|250-SIZE 52428800|250-8BITMIME|250-SMTPUTF8|250-DSN|250-CHUNKING|250-STARTTLS|250 ENHANCEDSTATUSCODES")
		c.want("MAIL FROM:<a@a.test> SIZE=22 RET=HDRS\r\nRCPT TO:<b@b.test> NOTIFY=SUCCESS,DELAY\r\nDATA\r\n", "250", "250", "354")
		c.want("Subject: hi\r\n\r\n...dot\r\n.\r\n", "250 2.0.0")
		before := s.Turns()
		c.want("MAIL FROM:<>\r\nRCPT TO:<\"b c\"@b.test>\r\nBDAT 22 LAST\r\n"+letter, "250", "250", "250 2.0.0")
		c.want("QUIT\r\n", "221")
		if got := s.Turns() - before; got != 2 {
			t.Errorf("%d turns for a BDAT flight and QUIT, want 2", got)
		}
		m := smtptest.Expect(t, s, 2)
		if string(m[0].Data) != letter || string(m[1].Data) != letter {
			t.Errorf("data %q, %q", m[0].Data, m[1].Data)
		}
		if m[0].From != "a@a.test" || m[0].Params["RET"] != "HDRS" || m[0].RcptParams[0]["NOTIFY"] != "SUCCESS,DELAY" || m[0].Chunks != 0 {
			t.Errorf("%+v", m[0])
		}
		if m[1].From != "" || m[1].To[0] != `"b c"@b.test` || m[1].Chunks != 1 || m[1].Hello != "a.test" {
			t.Errorf("%+v", m[1])
		}
		if !strings.Contains(s.Transcript(), "1 C: QUIT\n1 S: 221 2.0.0 bye\n") {
			t.Error(s.Transcript())
		}
	})
}

// TestViolations sends what must not be sent, and looks for the complaint.
func TestViolations(t *testing.T) {
	const hello = "EHLO a.test\r\n"
	const begin = hello + "MAIL FROM:<a@a.test>\r\nRCPT TO:<b@b.test>\r\nDATA\r\n"
	for _, test := range []struct{ say, complaint string }{
		{"NOOP\n", "CRLF"},
		{"NO\rOP\r\n", "CRLF"},
		{strings.Repeat("x", 3000) + "\r\n", "too long"},
		{"EHLO a b\r\n", "neither a domain"},
		{"EHLO [1.2.3]\r\n", "neither a domain"},
		{"FOO\r\n", "unknown command"},
		{"LHLO a.test\r\n", "speaks ESMTP"},
		{hello + "MAIL FROM: <a@a.test>\r\n", "bad path"},
		{hello + "MAIL FROM:a@a.test\r\n", "bad path"},
		{hello + "MAIL FROM:<a@b> SIZE=1 BODY=8BITMIME X=<>\r\n", "unknown parameter X"},
		{hello + "MAIL FROM:<a@b>  SIZE=1\r\n", "one space"},
		{hello + "MAIL FROM:<a@b> SIZE=1 \r\n", "one space"},
		{hello + "MAIL FROM:<a@b> SIZE=x\r\n", "bad value"},
		{hello + "MAIL FROM:<a@b> RET=FULL RET=FULL\r\n", "twice"},
		{hello + "MAIL FROM:<a@b> ENVID=a+b\r\n", "bad value"},
		{hello + "MAIL FROM:<a@b> REQUIRETLS\r\n", "not offered"},
		{hello + "MAIL FROM:<a@b> BODY=BINARYMIME\r\n", "not offered"},
		{hello + "MAIL FROM:<\xc3\xa9@b>\r\n", "without SMTPUTF8"},
		{hello + "MAIL FROM:<a b@b>\r\n", "bad path"},
		{hello + "MAIL FROM:<a..b@b>\r\n", "bad path"},
		{hello + "MAIL FROM:<a@b>\r\nMAIL FROM:<a@b>\r\n", "within a transaction"},
		{hello + "MAIL FROM:<a@b>\r\nRCPT TO:<>\r\n", "empty forward-path"},
		{hello + "MAIL FROM:<a@b>\r\nRCPT TO:<a@b> NOTIFY=NEVER,DELAY\r\n", "bad value"},
		{"MAIL FROM:<a@b>\r\n", "before EHLO"},
		{hello + "NOOP\r\nNOOP\r\n", "last of its group"},
		{begin + "a\nb\r\n.\r\n", "bare LF"},
		{begin + "a\rb\r\n.\r\n", "bare CR"},
		{begin + "a\r\n.b\r\n.\r\n", "single dot"},
		{begin + "\xc3\xa9\r\n.\r\n", "BODY=8BITMIME"},
		{begin + "a\x00\r\n.\r\n", "NUL"},
		{begin + strings.Repeat("x", 999) + "\r\n.\r\n", "more than 1000"},
		{hello + "BDAT x LAST\r\n", "bad"},
		{hello + "MAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\nBDAT 1\r\naDATA\r\n", "after BDAT"},
		{hello + "MAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\nBDAT 1 LAST\r\na", "not ended by CRLF"},
		{hello + "STARTTLS\r\nEHLO a.test\r\n", "must be the last"},
		{hello + "AUTH PLAIN =\r\n", "not offered"},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := start(t, &smtptest.Server{Listener: smtptest.NewPipe()})
			c := connect(t, s)
			go io.Copy(io.Discard, c)
			io.WriteString(c, test.say)
			synctest.Wait()
			v := s.Violations()
			if len(v) == 0 || !strings.Contains(strings.Join(v, "\n"), test.complaint) {
				t.Errorf("%q: violations %q, want %q", test.say, v, test.complaint)
			}
			if len(s.Messages()) > 0 {
				t.Errorf("%q: accepted", test.say)
			}
		})
	}
}

func TestPipeliningNotOffered(t *testing.T) {
	s := start(t, &smtptest.Server{Listener: smtptest.NewPipe(), Extensions: []string{}})
	c := connect(t, s)
	c.want("", "220")
	c.want("EHLO a.test\r\n", "250 mx.example.test")
	c.want("MAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\n", "250 sender ok", "250 recipient ok")
	if v := s.Violations(); len(v) != 1 || !strings.Contains(v[0], "PIPELINING was not offered") {
		t.Error(v)
	}
}

func TestScript(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, &smtptest.Server{
			Listener: smtptest.NewPipe(),
			Refuse:   map[string]string{"no@b.test": "550 5.1.1 unknown\nreally", "gone@b.test": smtptest.Drop},
			Replies:  map[string]string{"MAIL": "250 fine by me", "RCPT TO:<later@b.test>": "450 4.2.0 later"},
			Delay:    map[string]time.Duration{"END": time.Hour},
			Reply: func(verb, line string) string {
				if verb == "END" {
					return "451 4.3.0 not today"
				}
				return ""
			},
		})
		c := connect(t, s)
		c.want("", "220")
		c.want("EHLO a.test\r\n", "250")
		c.want("MAIL FROM:<a@a.test>\r\n", "250 fine by me")
		c.want("RCPT TO:<no@b.test>\r\n", "550-5.1.1 unknown|550 really")
		c.want("RCPT TO:<later@b.test>\r\n", "450 4.2.0 later")
		c.want("DATA\r\n", "554 5.5.1 no valid")
		c.want("RCPT TO:<yes@b.test>\r\nDATA\r\n", "250", "354")
		begin := time.Now()
		c.want(".\r\n", "451 4.3.0 not today")
		if d := time.Since(begin); d != time.Hour {
			t.Errorf("END took %v, want 1h", d)
		}
		c.want("MAIL FROM:<a@a.test>\r\n", "250")
		c.want("RCPT TO:<gone@b.test>\r\n", "EOF")
		smtptest.Expect(t, s, 0)
	})
}

func TestLoseAndHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, &smtptest.Server{Listener: smtptest.NewPipe(), Replies: map[string]string{"END": smtptest.Lose, "RSET": smtptest.Hang}})
		c := connect(t, s)
		c.want("", "220")
		c.want("EHLO a.test\r\n", "250")
		c.want("MAIL FROM:<a@a.test>\r\nRCPT TO:<b@b.test>\r\nDATA\r\n", "250", "250", "354")
		c.want("hi\r\n.\r\n", "EOF")
		smtptest.Expect(t, s, 1)
		c = connect(t, s)
		c.want("", "220")
		c.SetReadDeadline(time.Now().Add(24 * time.Hour))
		if _, err := io.WriteString(c, "RSET\r\n"); err != nil {
			t.Fatal(err)
		}
		var timeout net.Error
		if _, err := c.Read(make([]byte, 1)); !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("%v, want a timeout", err)
		}
	})
}

func TestLMTP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, &smtptest.Server{Listener: smtptest.NewPipe(), LMTP: true, Reply: func(verb, line string) string {
			if verb == "END" && line == "full@b.test" {
				return "452 4.2.2 full"
			}
			return ""
		}})
		c := connect(t, s)
		c.want("", "220 mx.example.test LMTP")
		c.want("LHLO a.test\r\n", "250")
		c.want("MAIL FROM:<a@a.test>\r\nRCPT TO:<x@b.test>\r\nRCPT TO:<full@b.test>\r\nRCPT TO:<y@b.test>\r\nDATA\r\n", "250", "250", "250", "250", "354")
		c.want("hi\r\n.\r\n", "250", "452 4.2.2 full", "250")
		if m := smtptest.Expect(t, s, 1); !slices.Equal(m[0].To, []string{"x@b.test", "y@b.test"}) {
			t.Errorf("to %q", m[0].To)
		}
	})
}

// TestStandardClient has net/smtp deliver over STARTTLS with AUTH on a real port.
func TestStandardClient(t *testing.T) {
	s := start(t, &smtptest.Server{Users: map[string]string{"alice": "wonderland"}, AuthRequired: true})
	c, err := smtp.Dial(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, err := range []error{
		c.Hello("a.test"), c.StartTLS(s.TLSClient()),
		c.Auth(smtp.PlainAuth("", "alice", "wonderland", "127.0.0.1")),
		c.Mail("a@a.test"), c.Rcpt("b@b.test"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	w, err := c.Data()
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, letter)
	if err := errors.Join(w.Close(), c.Quit()); err != nil {
		t.Fatal(err)
	}
	m := smtptest.Expect(t, s, 1)[0]
	if m.User != "alice" || m.TLS == nil || m.Field("subject") != "hi" {
		t.Errorf("%+v", m)
	}
}

func TestImplicitTLSInBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, &smtptest.Server{Listener: smtptest.NewPipe(), ImplicitTLS: true, Name: "mx.b.test"})
		raw, err := s.Dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		c := tls.Client(raw, s.TLSClient())
		line, err := bufio.NewReader(c).ReadString('\n')
		if err != nil || line != "220 mx.b.test ESMTP ready\r\n" {
			t.Errorf("%q, %v", line, err)
		}
		c.Close()
	})
}

func TestWaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, &smtptest.Server{Listener: smtptest.NewPipe()})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := s.Wait(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want DeadlineExceeded", err)
		}
	})
}
