package smtp_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/smtp/smtptest"
)

// TestTrace: what a program sees of a mail.
func TestTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &smtptest.Server{Users: map[string]string{"ada": "secret"}})
		defer w.close(t)
		w.to.Auth = &smtp.Auth{Username: "ada", Password: "secret"}
		flights := 0
		w.pool.Trace = &smtp.Trace{Flight: func(octets int) { flights++ }}
		var out strings.Builder
		ctx := smtp.WithTrace(t.Context(), smtp.NewTranscript(&out).Trace())
		for range 2 {
			w.pool.Deliver(ctx, w.to, envelope("a@example.test", hello, "b@example.test"))
		}
		want := `*  connected to mx.example.test:25
S: 220 mx.example.test ESMTP ready
C: EHLO client.example.test
S: 250 mx.example.test
C: STARTTLS
S: 220 2.0.0 go ahead
*  TLS 1.3 TLS_AES_128_GCM_SHA256, certificate for mx.example.test
C: EHLO client.example.test
S: 250 mx.example.test
C: AUTH PLAIN [secret]
S: 235 2.7.0 authenticated
C: MAIL FROM:<a@example.test> SIZE=61
C: RCPT TO:<b@example.test>
C: BDAT 61 LAST
C: [message of 61 octets]
S: 250 2.1.0 sender ok
S: 250 2.1.5 recipient ok
S: 250 2.0.0 accepted
*  the connection to mx.example.test is reused
C: MAIL FROM:<a@example.test> SIZE=61
C: RCPT TO:<b@example.test>
C: BDAT 61 LAST
C: [message of 61 octets]
S: 250 2.1.0 sender ok
S: 250 2.1.5 recipient ok
S: 250 2.0.0 accepted
`
		var got []string
		for line := range strings.Lines(out.String()) {
			if s, ok := strings.CutPrefix(line, "S: 250 "); !ok || !strings.Contains("PIPELINING CHUNKING STARTTLS 8BITMIME SMTPUTF8 ENHANCEDSTATUSCODES DSN SIZE AUTH", strings.Fields(s)[0]) {
				got = append(got, line)
			}
		}
		if got := strings.Join(got, ""); got != want {
			t.Errorf("got:\n%s\nwant:\n%s", got, want)
		}
		if flights != 2 {
			t.Errorf("%d flights", flights)
		}
	})
}

// TestLog: connections are logged at Info, failures at Warn, the dialogue at Debug, and no secret at all.
func TestLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &smtptest.Server{Users: map[string]string{"ada": "s3cret"}, Extensions: []string{"STARTTLS"}})
		defer w.close(t)
		w.to.Auth = &smtp.Auth{Username: "ada", Password: "s3cret"}
		var out strings.Builder
		dialed := 0
		trace := smtp.LogTrace(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug,
			ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey {
					return slog.Attr{}
				}
				return a
			}})))
		trace.Dial = func(network, address string) { dialed++ }
		ctx := smtp.WithTrace(t.Context(), trace)
		for range 2 {
			w.pool.Deliver(ctx, w.to, envelope("a@a.test", hello, "b@b.test"))
		}
		to := *w.to
		to.ServerName = "other.example.test"
		w.pool.Deliver(ctx, &to, envelope("a@a.test", hello, "b@b.test"))
		time.Sleep(time.Second)
		w.Server.Close()
		to.Policy = "another"
		w.pool.Deliver(ctx, &to, envelope("a@a.test", hello, "b@b.test"))
		for line, want := range map[string]int{
			`level=INFO msg="smtp: connected" network=tcp address=mx.example.test:25`:               2,
			`level=INFO msg="smtp: TLS" state="TLS 1.3 `:                                            1,
			`level=WARN msg="smtp: TLS failed" error=`:                                              1,
			`level=WARN msg="smtp: connection failed" network=tcp address=mx.example.test:25 error`: 1,
			`level=DEBUG msg="smtp: connection reused" host=mx.example.test`:                        1,
			`level=DEBUG msg="smtp: command" line="AUTH PLAIN [secret]"`:                            1,
			`level=DEBUG msg="smtp: command" line="MAIL FROM:<a@a.test>"`:                           2,
			fmt.Sprintf(`level=DEBUG msg="smtp: message" octets=%d`, len(hello)):                    2,
			`level=DEBUG msg="smtp: reply" code=250 status="" text=accepted`:                        2,
		} {
			if got := strings.Count(out.String(), line); got != want {
				t.Errorf("%d times, not %d: %s", got, want, line)
			}
		}
		if strings.Contains(out.String(), "s3cret") || strings.Contains(out.String(), "Hello.") || dialed != 3 {
			t.Errorf("dialled %d times\n%s", dialed, out.String())
		}
		if t.Failed() {
			t.Log(out.String())
		}
	})
}
