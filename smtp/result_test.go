package smtp_test

import (
	"crypto/tls"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gosmtp "github.com/emersion/go-smtp"

	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/smtp/smtptest"
)

// TestResult looks at every field of the results of one mail.
func TestResult(t *testing.T) {
	s := (&smtptest.Server{Refuse: map[string]string{"no@b.test": "550-no such\n550 5.1.1 user"}}).Start()
	defer s.Close()
	pool := &smtp.Pool{Hello: "c.test"}
	defer pool.Close(t.Context())
	addr := netip.MustParseAddrPort(s.Addr())
	to := &smtp.Server{Host: "mx.example.test", Addrs: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.99:1"), addr}, TLS: s.TLSClient()}
	begin := time.Now()
	results := pool.Deliver(t.Context(), to, envelope("a@a.test", hello, "no@b.test", "yes@b.test"))
	took := time.Since(begin)
	for i, want := range []smtp.Result{
		{Recipient: "no@b.test", Phase: smtp.PhaseRcpt, Reply: smtp.Reply{Code: 550, Enhanced: smtp.EnhancedCode{5, 1, 1}, Text: "no such\nuser"}},
		{Recipient: "yes@b.test", Phase: smtp.PhaseFinal, Reply: smtp.Reply{Code: 250, Enhanced: smtp.EnhancedCode{2, 0, 0}, Text: "accepted"}},
	} {
		r := results[i]
		if r.Recipient != want.Recipient || r.Phase != want.Phase || r.Reply != want.Reply || r.Host != "mx.example.test" || r.Addr != addr || r.Size != int64(len(hello)) {
			t.Errorf("%+v", r)
		}
		if r.TLS == nil || r.TLS.Version != tls.VersionTLS13 || len(r.TLS.VerifiedChains) == 0 {
			t.Errorf("TLS: %+v", r.TLS)
		}
		if r.Started.Before(begin) || r.Duration <= 0 || r.Duration > took {
			t.Errorf("started %v after the call, took %v of %v", r.Started.Sub(begin), r.Duration, took)
		}
		refused, ok := errors.AsType[*gosmtp.SMTPError](r.Err)
		if ok != (i == 0) || ok && (refused.Code != 550 || refused.EnhancedCode != gosmtp.EnhancedCode{5, 1, 1} || refused.Message != "no such\nuser") {
			t.Errorf("as an error of go-smtp: %+v of %v", refused, r.Err)
		}
	}
}

// TestRset: where mails come one after another it goes before MAIL after a transaction that failed and nowhere else
// (in flight: TestMixed and testdata/dialogue/nested.smtp), and no answer to it or to QUIT harms a mail. NOOP is never said. When a connection ends at RSET and a whole mail was behind it, nobody knows.
func TestRset(t *testing.T) {
	for _, reply := range []string{"", "250 ok", "451 4.3.0 later", "502 5.5.1 what?", "421 4.3.2 closing", "354 go", smtptest.Drop, smtptest.Lose, smtptest.Hang} {
		for name, extensions := range map[string][]string{"chunking": nil, "pipelining": {"PIPELINING"}, "lockstep": {}} {
			t.Run(reply+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, &smtptest.Server{Extensions: extensions, Record: true, Replies: map[string]string{"RSET": reply, "QUIT": reply},
						Refuse: map[string]string{"no@b.test": "550 5.1.1 no"}})
					w.to.Security = smtp.Plaintext
					send := func(to, want string) {
						t.Helper()
						if got := fates(w.pool.Deliver(t.Context(), w.to, envelope("a@a.test", hello, to+"@b.test"))); !strings.HasPrefix(got, to+" "+want) {
							t.Errorf("got %s want %s", got, want)
						}
					}
					send("b", "final ok")
					send("b", "final ok")
					send("no", "rcpt permanent 550")
					want, mails := "final ok", 4
					if name == "chunking" && (reply == smtptest.Drop || reply == smtptest.Lose || reply == smtptest.Hang) {
						want, mails = "mail unsure", 3
					}
					send("b", want)
					send("b", "final ok")
					if err := w.pool.Close(t.Context()); err != nil {
						t.Error(err)
					}
					w.Close()
					if n := len(w.Messages()); n != mails {
						t.Errorf("%d messages, want %d", n, mails)
					}
					if n := strings.Count(w.Transcript(), "C: RSET"); n != 1 || strings.Contains(w.Transcript(), "NOOP") {
						t.Errorf("RSET %d times:\n%s", n, w.Transcript())
					}
				})
			})
		}
	}
}

// TestNoRset: no transaction that succeeds is followed by RSET, one after the other or many at once. Only BDAT behind
// BDAT that is not answered yet has it within the flight, where Exim needs it (see mustReset).
func TestNoRset(t *testing.T) {
	for name, test := range map[string]struct {
		extensions []string
		inFlight   int
		most       int // RSET among 40 mails at once
	}{
		"chunking": {nil, 0, 39}, "chunking, one at a time": {nil, 1, 0}, "pipelining": {[]string{"PIPELINING"}, 0, 0},
		"lockstep": {[]string{}, 0, 0}, "lockstep, chunking": {[]string{"CHUNKING"}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, &smtptest.Server{Extensions: test.extensions, Record: true})
				w.to.Security, w.pool.MaxConns, w.pool.InFlight = smtp.Plaintext, 1, test.inFlight
				for range 5 {
					w.deliverMany(t, 1)
				}
				if dialogue := w.Transcript(); strings.Contains(dialogue, "RSET") {
					t.Errorf("one after the other:\n%s", dialogue)
				}
				w.deliverMany(t, 40)
				w.close(t)
				smtptest.Expect(t, w.Server, 45)
				if n := strings.Count(w.Transcript(), "C: RSET"); n > test.most {
					t.Errorf("many at once: %d times, want at most %d", n, test.most)
				} else {
					t.Logf("%d times", n)
				}
			})
		})
	}
}
