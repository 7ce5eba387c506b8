package smtp_test

import (
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/smtp/smtptest"
)

// TestTimeouts lets servers hang and waits for the limits.
func TestTimeouts(t *testing.T) {
	limits := smtp.Timeouts{Connect: time.Second, Greeting: 2 * time.Second, Command: 3 * time.Second, Data: 4 * time.Second, Block: 5 * time.Second, Final: 6 * time.Second}
	for _, test := range []struct {
		hang  string
		limit time.Duration
		want  string
		count int64 // connections: a first pipelined flight that is not answered to its end is tried in lockstep
	}{
		{"CONNECT", limits.Greeting, "b greeting temporary", 1},
		{"EHLO", limits.Command, "b hello temporary", 1},
		{"STARTTLS", limits.Command, "b tls temporary", 1},
		{"MAIL", limits.Command, "b mail temporary", 1},
		{"RCPT", limits.Command, "b rcpt temporary", 2},
		{"DATA", limits.Data, "b data temporary", 2},
		{"END", limits.Final, "b final unsure", 1},
	} {
		for _, zero := range []bool{false, true} {
			t.Run(test.hang, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, &smtptest.Server{Extensions: []string{"PIPELINING", "STARTTLS"}, Reply: func(verb, line string) string {
						if verb == test.hang {
							return smtptest.Hang
						}
						return ""
					}})
					defer w.Close()
					limit := test.limit
					if w.pool.Timeouts = limits; zero {
						w.pool.Timeouts = smtp.Timeouts{}
						limit = map[string]time.Duration{"DATA": 2 * time.Minute, "END": 10 * time.Minute}[test.hang]
						if limit == 0 {
							limit = 5 * time.Minute
						}
					}
					var open atomic.Int32
					w.pool.Dial = countOpen(w.pool.Dial, &open)
					begin := time.Now()
					results := w.pool.Deliver(t.Context(), w.to, envelope("a@example.test", hello, "b@example.test"))
					took := time.Since(begin)
					if open.Load() > 0 {
						t.Error("a late reply could be taken for another: the connection stands")
					}
					if want := limit * time.Duration(test.count); took < want || took > want+2*time.Second {
						t.Errorf("returned after %v, want %v", took, want)
					}
					if got := strings.TrimSpace(fates(results)); got != test.want || !errors.Is(results[0].Err, os.ErrDeadlineExceeded) {
						t.Errorf("got %s (%v), want %s", got, results[0].Err, test.want)
					}
					if w.Sessions() != test.count {
						t.Errorf("%d connections", w.Sessions())
					}
					w.pool.Close(t.Context())
				})
			})
		}
	}
}
