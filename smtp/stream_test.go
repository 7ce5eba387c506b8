package smtp_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/smtp/smtptest"
)

// lateEnd is a source that gives its octets at once, and says a second later what comes then.
type lateEnd struct {
	io.Reader
	then []byte
	err  error
	said bool
}

func (l *lateEnd) Read(p []byte) (int, error) {
	if n, err := l.Reader.Read(p); err == nil {
		return n, nil
	}
	if !l.said {
		l.said = true
		<-time.After(time.Second)
		if len(l.then) > 0 {
			return copy(p, l.then), nil
		}
	}
	return 0, l.err
}

// A large message is whole when its source has ended, not before: until then the server must not have its last octet, with which a BDAT of
// that size is complete.
func TestStreamHoldsBackTheLast(t *testing.T) {
	message := strings.Repeat("A line of a large message.\r\n", 12_000) // more than is held in memory
	for what, end := range map[string]lateEnd{
		"ends late":           {err: io.EOF},
		"is longer than said": {then: []byte("more\r\n"), err: io.EOF},
		"fails at its end":    {err: errors.New("disk")},
	} {
		for _, extensions := range [][]string{{"PIPELINING", "CHUNKING"}, {"PIPELINING"}} {
			t.Run(what+" "+strings.Join(extensions, " "), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					server := (&smtptest.Server{Listener: smtptest.NewPipe(), Extensions: extensions}).Start()
					defer server.Close()
					pool := &smtp.Pool{Hello: "client.example.test", Dial: server.Dial}
					e := envelope("ada@a.test", message, "bob@b.test")
					e.Open = func() (io.ReadCloser, error) {
						end := end
						end.Reader = strings.NewReader(message)
						return io.NopCloser(&end), nil
					}
					r := pool.Deliver(t.Context(), &smtp.Server{Host: "mx.example.test", Security: smtp.Plaintext}, e)[0]
					if err := pool.Close(t.Context()); err != nil {
						t.Error(err)
					}
					got := server.Messages()
					if what == "ends late" {
						if r.Err != nil || len(got) != 1 || !bytes.Equal(got[0].Data, []byte(message)) {
							t.Errorf("%d messages, %v", len(got), r.Err)
						}
						return
					}
					if r.Err == nil || errors.Is(r.Err, smtp.ErrUnsure) || len(got) > 0 {
						t.Errorf("the server has %d messages, the result is %v", len(got), r.Err)
					}
				})
			})
		}
	}
}
