package smtp_test

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/smtp"
)

// babbler is a server that knows no protocol: whenever the client has said something and waits, it says the next
// piece of its text, whatever that is. It keeps what the client said.
type babbler struct {
	pieces []string // parted by NUL
	stall  bool     // says nothing at the end, instead of hanging up

	mu   sync.Mutex
	said [][]byte // by the client, for each connection
}

func (b *babbler) dial(ctx context.Context, network, address string) (net.Conn, error) {
	near, far := net.Pipe()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.said = append(b.said, nil)
	go b.serve(len(b.said)-1, far)
	return near, nil
}

func (b *babbler) serve(i int, c net.Conn) {
	defer c.Close()
	heard := make(chan struct{}, 1)
	go func() {
		defer close(heard)
		p := make([]byte, 4096)
		for {
			n, err := c.Read(p)
			b.mu.Lock()
			b.said[i] = append(b.said[i], p[:n]...)
			b.mu.Unlock()
			if err != nil {
				return
			}
			select {
			case heard <- struct{}{}:
			default:
			}
		}
	}()
	for n, piece := range b.pieces {
		if n > 0 {
			if _, ok := <-heard; !ok {
				return
			}
		}
		time.Sleep(time.Second) // the client has said all that it has to say
		if _, err := io.WriteString(c, piece); err != nil {
			return
		}
	}
	for b.stall {
		if _, ok := <-heard; !ok {
			return
		}
	}
}

// whole says whether the client has said a message on one of its connections to its end.
func (b *babbler) whole(message string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	dots := strings.ReplaceAll(message, "\r\n.", "\r\n..") + ".\r\n"
	for _, octets := range b.said {
		said := string(octets)
		if _, after, ok := strings.Cut(said, " LAST\r\n"); ok && strings.Contains(after, message) || strings.Contains(said, "DATA\r\n") && strings.Contains(said, dots) {
			return true
		}
	}
	return false
}

// babble is a text by which two mails are delivered, the second one to one recipient of two.
const babble = "220 mx\r\n\x00250-mx\r\n250-CHUNKING\r\n250 PIPELINING\r\n" +
	"\x00250 a\r\n250 b\r\n250 c\r\n250 ok\r\n\x00250 a\r\n250 b\r\n550 5.1.1 c\r\n250 ok\r\n"

// TestBabbler: the server of FuzzDialogue can be understood.
func TestBabbler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &babbler{pieces: strings.Split(babble, "\x00")}
		pool, got := &smtp.Pool{Dial: b.dial}, ""
		for range 2 {
			got += fates(pool.Deliver(t.Context(), clear, envelope("a@a.test", short, "b@b.test", "c@b.test")))
		}
		if want := "b final ok 250 ok\nc final ok 250 ok\nb final ok 250 ok\nc rcpt permanent 550 5.1.1 c\n"; got != want || !b.whole(short) {
			t.Errorf("got:\n%swant:\n%s", got, want)
		}
		pool.Close(t.Context())
	})
}

// FuzzDialogue sends two mails to a server that says anything at all. Deliver returns, with one fate for each
// recipient; nothing is called delivered that was not sent to its end and answered with a 250; the memory for it
// is bounded.
func FuzzDialogue(f *testing.F) {
	for _, seed := range []string{
		babble,
		"220 mx\r\n\x00250-mx\r\n250 PIPELINING\r\n\x00250 a\r\n250 b\r\n451 4.0.0 c\r\n354 go\r\n\x00250 ok\r\n\x00421 4.3.2 bye\r\n",
		"220 mx\r\n\x00250 mx\r\n\x00250 a\r\n\x00250 b\r\n\x00550 c\r\n\x00354 go\r\n\x00250 ok\r\n\x00500 what\r\n",
		"220 Dovecot\r\n\x00250-mx\r\n250-SIZE 10\r\n250-LIMITS RCPTMAX=1\r\n250 CHUNKING\r\n",
		"220 mx\r\n\x00500 what\r\n\x00250 mx\r\n\x00250-\r\n250 a\r\n\x00",
		"220 mx\r\n\x00250-mx\r\n250-CHUNKING\r\n250 PIPELINING\r\n\x00550 a\r\n250 b\r\n250 c\r\n250 ok\r\n\x00503 improper use of pipelining\r\n",
		"220-" + strings.Repeat("x", 5000),
	} {
		f.Add(seed, false, false)
		f.Add(seed, true, true)
	}
	f.Fuzz(func(t *testing.T, text string, stall, lmtp bool) {
		if len(text) > 64<<10 {
			return
		}
		synctest.Test(t, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			b := &babbler{pieces: strings.Split(text, "\x00"), stall: stall}
			pool := &smtp.Pool{Hello: "c.test", Dial: b.dial}
			to := &smtp.Server{Host: "mx", Security: smtp.Plaintext, LMTP: lmtp}
			begin := time.Now()
			for _, sender := range []string{"a@a.test", "b@b.test"} {
				message := "From: " + sender + "\r\n\r\n.\r\n..x\r\n"
				results := pool.Deliver(t.Context(), to, envelope(sender, message, "b@b.test", "c@b.test"))
				for i, r := range results {
					if r.Recipient != []string{"b@b.test", "c@b.test"}[i] || r.Phase == "" || r.Host != "mx" {
						t.Errorf("%+v", r)
					}
					positive := r.Reply.Positive() && r.Reply.Code < 300
					if r.Err == nil && (!positive || r.Phase != smtp.PhaseFinal || !b.whole(message)) {
						t.Errorf("called delivered: %+v", r)
					}
					if errors.Is(r.Err, smtp.ErrUnsure) && !b.whole(message) {
						t.Errorf("called unsure: %+v", r)
					}
				}
			}
			pool.Close(t.Context())
			if took := time.Since(begin); took > 5*time.Hour {
				t.Errorf("took %v", took)
			}
			time.Sleep(time.Minute)
			runtime.ReadMemStats(&after)
			if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20+20*uint64(len(text)) {
				t.Errorf("%d octets of memory for a text of %d", n, len(text))
			}
		})
	})
}
