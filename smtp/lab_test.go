package smtp_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postrider/postrider/smtp"
)

// labServer is a server of the lab by the variable that holds its address.
func labServer(t *testing.T, env, host string, security smtp.Security) *smtp.Server {
	t.Helper()
	config := labRoots(t)
	addr, err := netip.ParseAddrPort(os.Getenv(env))
	if err != nil {
		t.Fatalf("%s: %v", env, err)
	}
	return &smtp.Server{Host: host, Addrs: []netip.AddrPort{addr}, TLS: config, Security: security}
}

// labMailbox is a mailbox of this test's own.
type labMailbox string

func newMailbox(t *testing.T) labMailbox {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(t.Name()))
	return labMailbox(fmt.Sprintf("t-%s-%d", name, time.Now().UnixNano()%1e9))
}

func (m labMailbox) address() string { return string(m) + "@example.test" }

// expect waits for messages, in any order, and compares them octet by octet. A server puts fields before
// them, and a mailbox may keep lines without CR.
func (m labMailbox) expect(t *testing.T, messages ...string) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		arrived := m.read(t)
		if len(arrived) >= len(messages) || time.Now().After(deadline) {
			m.compare(t, arrived, messages)
			return
		}
		<-time.After(50 * time.Millisecond)
	}
}

func (m labMailbox) read(t *testing.T) (arrived [][]byte) {
	files, err := filepath.Glob(filepath.Join(os.Getenv("LAB_MAIL"), string(m), "Maildir", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if dir := filepath.Base(filepath.Dir(f)); dir != "new" && dir != "cur" {
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		arrived = append(arrived, bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")))
	}
	return arrived
}

func (m labMailbox) compare(t *testing.T, arrived [][]byte, messages []string) {
	t.Helper()
	if len(arrived) != len(messages) {
		t.Errorf("%d messages arrived, want %d", len(arrived), len(messages))
	}
	for _, message := range messages {
		want := []byte(strings.ReplaceAll(message, "\r\n", "\n"))
		found := 0
		for _, a := range arrived {
			if bytes.HasSuffix(a, want) {
				found++
			}
		}
		if found != 1 {
			t.Errorf("found %d times: %.200q; arrived: %.1500q", found, want, arrived)
		}
	}
}

// labMessage is a message with all that servers could damage.
func labMessage(subject string, more string) string {
	return "Date: Mon, 23 Nov 2026 12:00:00 +0000\r\nMessage-ID: <" + strings.ReplaceAll(subject, " ", ".") + "@example.test>\r\n" +
		"From: a@example.test\r\nTo: b@example.test\r\nSubject: " + subject + "\r\n\r\n" +
		".\r\n..\r\n.dot\r\nFrom the begin\r\n" + strings.Repeat("x", 998) + "\r\n\t trailing \t\r\n" + more
}

// sendLab delivers one message and reports what happened when it was not accepted.
func sendLab(t *testing.T, pool *smtp.Pool, to *smtp.Server, e *smtp.Envelope) []smtp.Result {
	t.Helper()
	var dialogue smtp.Transcript
	results := pool.Deliver(smtp.WithTrace(t.Context(), dialogue.Trace()), to, e)
	for _, r := range results {
		if r.Err != nil {
			t.Logf("%s: %v\n%s", r.Recipient, r.Err, dialogue.String())
		}
	}
	return results
}

// TestLabPaths sends over every path that the servers offer.
func TestLabPaths(t *testing.T) {
	alice := &smtp.Auth{Username: "alice", Password: "wonderland"}
	for _, test := range []struct {
		name, env, host string
		security        smtp.Security
		auth            *smtp.Auth
		lmtp, plain     bool // plain: no 8BITMIME
		tls             bool // is expected
	}{
		{name: "postfix", env: "LAB_POSTFIX", host: "mx1.example.test", security: smtp.Plaintext},
		{name: "postfix STARTTLS", env: "LAB_POSTFIX", host: "mx1.example.test", tls: true},
		{name: "postfix opportunistic", env: "LAB_POSTFIX", host: "mx1.example.test", security: smtp.Opportunistic, tls: true},
		{name: "postfix submission", env: "LAB_POSTFIX_SUBMISSION", host: "mx1.example.test", auth: alice, tls: true},
		{name: "postfix submissions", env: "LAB_POSTFIX_SMTPS", host: "mx1.example.test", security: smtp.ImplicitTLS, auth: alice, tls: true},
		{name: "postfix without TLS", env: "LAB_POSTFIX_NOTLS", host: "notls.example.test", security: smtp.Opportunistic},
		{name: "postfix with TLS only", env: "LAB_POSTFIX_TLSONLY", host: "tlsonly.example.test", security: smtp.Opportunistic, tls: true},
		{name: "postfix self-signed", env: "LAB_POSTFIX_SELFSIGNED", host: "selfsigned.example.test", security: smtp.Encrypted, tls: true},
		{name: "postfix without extensions", env: "LAB_POSTFIX_OLD", host: "old.example.test", security: smtp.Opportunistic, plain: true},
		{name: "exim", env: "LAB_EXIM", host: "mx2.example.test", security: smtp.Plaintext},
		{name: "exim STARTTLS", env: "LAB_EXIM", host: "mx2.example.test", tls: true},
		{name: "exim submission", env: "LAB_EXIM_SUBMISSION", host: "mx2.example.test", auth: alice, tls: true},
		{name: "exim submissions", env: "LAB_EXIM_SMTPS", host: "mx2.example.test", security: smtp.ImplicitTLS, auth: alice, tls: true},
		{name: "opensmtpd", env: "LAB_OPENSMTPD", host: "mx3.example.test", security: smtp.Plaintext},
		{name: "dovecot submission", env: "LAB_DOVECOT_SUBMISSION", host: "imap.example.test", auth: alice, tls: true},
		{name: "dovecot LMTP", env: "LAB_LMTP", host: "imap.example.test", security: smtp.Plaintext, lmtp: true},
		{name: "dovecot LMTP STARTTLS", env: "LAB_LMTP", host: "imap.example.test", lmtp: true, tls: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			to := labServer(t, test.env, test.host, test.security)
			to.Auth, to.LMTP = test.auth, test.lmtp
			pool := &smtp.Pool{Hello: "client.example.test"}
			defer pool.Close(t.Context())
			box := newMailbox(t)
			from := "alice@example.test"
			umlauts := "Grüße\r\n"
			if test.plain {
				umlauts = ""
			}
			large := strings.Repeat(".a line with a dot at its begin, and more behind it\r\n", 20000)
			messages := []string{labMessage("short", umlauts), labMessage("again", umlauts), labMessage("large", umlauts+large), labMessage("unknown size", umlauts+large)}
			for i, m := range messages {
				e := envelope(from, m, box.address())
				e.EightBit = !test.plain
				if i == 3 {
					e.Size = -1
				}
				for _, r := range sendLab(t, pool, to, e) {
					if r.Err != nil || (r.TLS != nil) != test.tls || r.Size != int64(len(m)) || r.Reply.Code != 250 {
						t.Errorf("TLS %v, size %d of %d, %s: %v", r.TLS != nil, r.Size, len(m), r.Reply, r.Err)
					}
				}
			}
			var wait sync.WaitGroup
			for i := range 30 {
				m := labMessage(fmt.Sprint("many ", i), umlauts)
				messages = append(messages, m)
				wait.Go(func() {
					e := envelope(from, m, box.address())
					if r := pool.Deliver(t.Context(), to, e)[0]; r.Err != nil {
						t.Error(r.Err)
					}
				})
			}
			wait.Wait()
			box.expect(t, messages...)
		})
	}
}

// TestLabRefusals mixes senders and recipients that are refused with others, in flight on one connection: nobody
// gets another's mail or fate.
func TestLabRefusals(t *testing.T) {
	for _, server := range []struct{ name, env, host string }{
		{"postfix", "LAB_POSTFIX", "mx1.example.test"}, {"exim", "LAB_EXIM", "mx2.example.test"}, {"opensmtpd", "LAB_OPENSMTPD", "mx3.example.test"},
	} {
		t.Run(server.name, func(t *testing.T) {
			to := labServer(t, server.env, server.host, smtp.Opportunistic)
			if server.name == "opensmtpd" {
				to.Security = smtp.Plaintext
			}
			pool := &smtp.Pool{Hello: "client.example.test", MaxConns: 1}
			defer pool.Close(t.Context())
			box := newMailbox(t)
			var messages []string
			var wait sync.WaitGroup
			for i := range 40 {
				m := labMessage(fmt.Sprint("mail ", i), "")
				sender := fmt.Sprintf("sender%d@example.test", i%3)
				// Postfix counts errors and then slows down and hangs up: an eighth of the mail has nobody to go to.
				recipients := []string{box.address()}
				switch {
				case i%8 == 3:
					recipients = []string{"reject@example.test"}
				case i%8 == 5 && server.name != "opensmtpd":
					sender = "badsender@example.test"
				case i%8 == 7:
					recipients = []string{"reject@example.test", box.address()}
				}
				lost := i%8 == 3 || sender == "badsender@example.test"
				if !lost {
					messages = append(messages, m)
				}
				wait.Go(func() {
					for _, r := range pool.Deliver(t.Context(), to, envelope(sender, m, recipients...)) {
						bad := lost || strings.HasPrefix(r.Recipient, "reject")
						if !bad && r.Err != nil || bad && (r.Err == nil || !r.Reply.Permanent()) {
							t.Errorf("%s from %s: %v", r.Recipient, sender, r.Err)
						}
					}
				})
			}
			wait.Wait()
			box.expect(t, messages...)
			box.senders(t)
		})
	}
}

// senders checks that each mail came under its own sender.
func (m labMailbox) senders(t *testing.T) {
	for _, a := range m.read(t) {
		var i int
		_, rest, _ := bytes.Cut(a, []byte("\nSubject: mail "))
		if _, err := fmt.Sscan(string(rest[:min(4, len(rest))]), &i); err != nil {
			t.Errorf("no subject: %v", err)
		}
		if want := fmt.Sprintf("return-path: <sender%d@example.test>", i%3); !bytes.HasPrefix(bytes.ToLower(a), []byte(want)) {
			t.Errorf("mail %d lacks %s: %.300q", i, want, a)
		}
	}
}

// TestLabDemands asks for more than servers can do, and for what Postfix and Exim can.
func TestLabDemands(t *testing.T) {
	pool := &smtp.Pool{Hello: "client.example.test"}
	defer pool.Close(t.Context())
	big := labMessage("big", strings.Repeat("more and more\r\n", 2000))
	for _, test := range []struct {
		name, env, host string
		security        smtp.Security
		change          func(*smtp.Server, *smtp.Envelope)
		want            string
	}{
		{"wrong name", "LAB_POSTFIX_WRONGNAME", "wrongname.example.test", smtp.StartTLS, nil, "tls temporary"},
		{"self-signed", "LAB_POSTFIX_SELFSIGNED", "selfsigned.example.test", smtp.StartTLS, nil, "tls temporary"},
		{"expired", "LAB_POSTFIX_EXPIRED", "expired.example.test", smtp.StartTLS, nil, "tls temporary"},
		{"no TLS", "LAB_POSTFIX_NOTLS", "notls.example.test", smtp.Encrypted, nil, "tls temporary"},
		{"wrong name, whatever", "LAB_POSTFIX_WRONGNAME", "wrongname.example.test", smtp.Opportunistic, nil, "final ok"},
		{"decided by Verify", "LAB_POSTFIX", "mx1.example.test", smtp.Opportunistic, func(s *smtp.Server, e *smtp.Envelope) {
			s.Verify = func(tls.ConnectionState) error { return io.ErrUnexpectedEOF }
		}, "tls temporary"},
		{"greylisting", "LAB_POSTFIX_GREY", "grey.example.test", smtp.Opportunistic, nil, "rcpt temporary 450"},
		{"too large", "LAB_POSTFIX_SIZE", "size.example.test", smtp.Opportunistic, func(s *smtp.Server, e *smtp.Envelope) {
			e.Size, e.Open = int64(len(big)), opener(big)
		}, "local permanent"},
		{"8 bit without 8BITMIME", "LAB_POSTFIX_OLD", "old.example.test", smtp.Opportunistic, func(s *smtp.Server, e *smtp.Envelope) {
			e.Size, e.Open = -1, opener(labMessage("umlaut", "ü\r\n"))
		}, "local permanent"},
		{"SMTPUTF8 without it", "LAB_OPENSMTPD", "mx3.example.test", smtp.Plaintext, func(s *smtp.Server, e *smtp.Envelope) {
			e.To = smtp.Addresses("jürgen@example.test")
		}, "local permanent"},
		{"SMTPUTF8", "LAB_POSTFIX", "mx1.example.test", smtp.StartTLS, func(s *smtp.Server, e *smtp.Envelope) {
			e.To = smtp.Addresses("jürgen@example.test")
		}, "final ok"},
		{"SMTPUTF8", "LAB_EXIM", "mx2.example.test", smtp.StartTLS, func(s *smtp.Server, e *smtp.Envelope) {
			e.To = smtp.Addresses("用户@example.test")
		}, "final ok"},
		{"REQUIRETLS", "LAB_POSTFIX", "mx1.example.test", smtp.StartTLS, func(s *smtp.Server, e *smtp.Envelope) { e.RequireTLS = true }, "local permanent"},
		{"FUTURERELEASE", "LAB_POSTFIX", "mx1.example.test", smtp.StartTLS, func(s *smtp.Server, e *smtp.Envelope) {
			e.HoldUntil = time.Now().Add(time.Hour)
		}, "local permanent"},
		{"quoted", "LAB_POSTFIX", "mx1.example.test", smtp.StartTLS, func(s *smtp.Server, e *smtp.Envelope) {
			e.To = smtp.Addresses(`"quoted local"@example.test`)
		}, "final ok"},
		{"DSN", "LAB_EXIM", "mx2.example.test", smtp.StartTLS, askDSN, "final ok"},
		{"DSN", "LAB_POSTFIX", "mx1.example.test", smtp.StartTLS, askDSN, "final ok"},
	} {
		t.Run(test.name+" "+test.host, func(t *testing.T) {
			to := labServer(t, test.env, test.host, test.security)
			to.Policy = test.name
			m := labMessage("demand", "")
			e := envelope("a@example.test", m, newMailbox(t).address())
			if test.change != nil {
				test.change(to, e)
			}
			got := fates(sendLab(t, pool, to, e))
			if _, rest, _ := strings.Cut(got, " "); !strings.Contains(" "+rest, " "+test.want) {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func askDSN(s *smtp.Server, e *smtp.Envelope) {
	e.Return, e.EnvelopeID = smtp.ReturnHeaders, "id+1="
	e.To[0].Notify, e.To[0].Original = smtp.NotifyFailure|smtp.NotifyDelay, "Someone+else@example.test"
}
