package smtp_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/smtp/smtptest"
)

// TestExtensionsNeeded asks for things that a server has or lacks.
func TestExtensionsNeeded(t *testing.T) {
	binary := "Subject: x\r\n\r\na\nb\rc\x00" + strings.Repeat("x", 2000)
	for _, test := range []struct {
		name   string
		has    string
		change func(*smtp.Envelope)
		params string // of MAIL
		lacks  string // the extension, and the status
	}{
		{"nothing", "8BITMIME SMTPUTF8 DSN PIPELINING CHUNKING BINARYMIME", func(e *smtp.Envelope) {}, "", ""},
		{"8 bit", "8BITMIME", func(e *smtp.Envelope) { e.EightBit = true }, "BODY=8BITMIME", ""},
		{"8 bit", "", func(e *smtp.Envelope) { e.EightBit = true }, "", "8BITMIME 5.6.3"},
		{"8 bit, not said", "8BITMIME", body("ü\r\n"), "BODY=8BITMIME", ""},
		{"8 bit, not said", "", body("ü\r\n"), "", "8BITMIME 5.6.3"},
		{"UTF8", "SMTPUTF8", func(e *smtp.Envelope) { e.UTF8 = true }, "SMTPUTF8", ""},
		{"UTF8, by address", "SMTPUTF8", func(e *smtp.Envelope) { e.To = smtp.Addresses("ü@example.test") }, "SMTPUTF8", ""},
		{"UTF8, by address", "8BITMIME", func(e *smtp.Envelope) { e.To = smtp.Addresses("ü@example.test") }, "", "SMTPUTF8 5.6.7"},
		{"binary", "8BITMIME CHUNKING BINARYMIME", func(e *smtp.Envelope) { e.Binary = true; body(binary)(e) }, "BODY=BINARYMIME", ""},
		{"binary", "8BITMIME CHUNKING", func(e *smtp.Envelope) { e.Binary = true; body(binary)(e) }, "", "BINARYMIME 5.6.3"},
		{"size", "SIZE 20", func(e *smtp.Envelope) {}, "", "SIZE 5.3.4"},
		{"size", "SIZE 22", func(e *smtp.Envelope) {}, "SIZE=22", ""},
		{"size unknown", "SIZE 20", func(e *smtp.Envelope) { e.Size = -1 }, "", "SIZE 5.3.4"},
		{"DSN", "DSN", func(e *smtp.Envelope) { e.Return, e.EnvelopeID = smtp.ReturnFull, "x" }, "ENVID=x RET=FULL", ""},
		{"DSN", "", func(e *smtp.Envelope) { e.Return, e.EnvelopeID = smtp.ReturnFull, "x" }, "", ""},
		{"REQUIRETLS", "STARTTLS REQUIRETLS", func(e *smtp.Envelope) { e.RequireTLS = true }, "REQUIRETLS=", ""},
		{"REQUIRETLS", "STARTTLS", func(e *smtp.Envelope) { e.RequireTLS = true }, "", "REQUIRETLS 5.7.30"},
		{"REQUIRETLS in the clear", "REQUIRETLS", func(e *smtp.Envelope) { e.RequireTLS = true }, "", "REQUIRETLS 5.7.30"},
		{"priority", "MT-PRIORITY", func(e *smtp.Envelope) { e.Priority = 4 }, "MT-PRIORITY=4", ""},
		{"priority", "", func(e *smtp.Envelope) { e.Priority = 4 }, "", ""},
		{"deliver by", "DELIVERBY", func(e *smtp.Envelope) { e.DeliverBy = time.Now().Add(time.Minute) }, "BY=60;R", ""},
		{"deliver by, too soon", "DELIVERBY 100", func(e *smtp.Envelope) { e.DeliverBy = time.Now().Add(time.Minute) }, "", ""},
		{"deliver by, past", "DELIVERBY", func(e *smtp.Envelope) { e.DeliverBy = time.Now().Add(-time.Minute) }, "", " 5.4.7"},
		{"hold", "FUTURERELEASE 100 2001-01-01T00:00:00Z", func(e *smtp.Envelope) { e.HoldUntil = time.Now().Add(time.Minute) }, "HOLDUNTIL=2000-01-01T00:01:00Z", ""},
		{"hold, too long", "FUTURERELEASE 10 2001-01-01T00:00:00Z", func(e *smtp.Envelope) { e.HoldUntil = time.Now().Add(time.Minute) }, "", "FUTURERELEASE 5.3.3"},
		{"hold", "", func(e *smtp.Envelope) { e.HoldUntil = time.Now().Add(time.Minute) }, "", "FUTURERELEASE 5.3.3"},
		{"hold, past", "", func(e *smtp.Envelope) { e.HoldUntil = time.Now().Add(-time.Minute) }, "", ""},
	} {
		t.Run(test.name+"/"+test.has, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				extensions := []string{}
				for _, x := range strings.Fields(test.has) {
					if x != "8BITMIME" && x[0] >= '0' && x[0] <= '9' {
						extensions[len(extensions)-1] += " " + x
					} else {
						extensions = append(extensions, x)
					}
				}
				w := newWorld(t, &smtptest.Server{Extensions: extensions})
				defer w.close(t)
				w.to.Security = smtp.Opportunistic
				e := envelope("a@example.test", short, "b@example.test")
				test.change(e)
				r := w.pool.Deliver(t.Context(), w.to, e)[0]
				var wrong *smtp.EnvelopeError
				if errors.As(r.Err, &wrong) {
					if got := wrong.Extension + " " + wrong.Status.String(); got != test.lacks || r.Phase != smtp.PhaseLocal || wrong.Temporary() {
						t.Errorf("lacks %s at %s, want %s: %v", got, r.Phase, test.lacks, r.Err)
					}
					return
				}
				if r.Err != nil || test.lacks != "" {
					t.Fatalf("%v, want lack of %s", r.Err, test.lacks)
				}
				m := smtptest.Expect(t, w.Server, 1)[0]
				var params []string
				for _, k := range []string{"BODY", "SMTPUTF8", "SIZE", "ENVID", "RET", "REQUIRETLS", "MT-PRIORITY", "BY", "HOLDUNTIL"} {
					if v, ok := m.Params[k]; ok {
						params = append(params, strings.TrimSuffix(k+"="+v, map[bool]string{true: "=", false: "\x00"}[k == "SMTPUTF8"]))
					}
				}
				if got := strings.Join(params, " "); got != test.params {
					t.Errorf("parameters %q, want %q", got, test.params)
				}
			})
		})
	}
}

func body(text string) func(*smtp.Envelope) {
	return func(e *smtp.Envelope) { e.Size, e.Open = int64(len(text)), opener(text) }
}

// TestBinaryNeverByDATA: to a server that offers BDAT and does not know it, or has been found to mishandle pipelining,
// mail goes by DATA; binary mail, in which any octets may be, does not go.
func TestBinaryNeverByDATA(t *testing.T) {
	for name, refusal := range map[string]string{"BDAT": "502 5.5.1 what?", "pipelining": "503 5.5.0 improper pipelining"} {
		for _, learned := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				byData := false
				w := newWorld(t, &smtptest.Server{Extensions: []string{"PIPELINING", "CHUNKING", "8BITMIME", "BINARYMIME"}, Record: true, Reply: func(verb, line string) string {
					switch {
					case verb == "DATA":
						byData = true
					case verb == "END" && !byData:
						return refusal
					case verb == "END":
						byData = false
					}
					return ""
				}})
				defer w.close(t)
				w.to.Security = smtp.Plaintext
				if learned {
					w.deliverMany(t, 1)
				}
				e := envelope("a@example.test", "Subject: x\r\n\r\na\n.\nb\r\n.\r\n\x00", "b@example.test")
				e.Binary = true
				r := w.pool.Deliver(t.Context(), w.to, e)[0]
				lacks, _ := errors.AsType[*smtp.EnvelopeError](r.Err)
				if lacks == nil || lacks.Extension != "BINARYMIME" || !lacks.Temporary() || strings.Contains(w.Transcript(), "DATA") != learned {
					t.Errorf("%s, learned %v: %v\n%s", name, learned, r.Err, w.Transcript())
				}
			})
		}
	}
}

// TestRequireTLSByLMTP: where the way of a mail ends TLS is demanded, but REQUIRETLS is only said to a server that knows it.
func TestRequireTLSByLMTP(t *testing.T) {
	for _, test := range []struct {
		has, want string
		security  smtp.Security
	}{
		{"STARTTLS", "b final ok 250 accepted", smtp.Encrypted},
		{"STARTTLS REQUIRETLS", "b final ok 250 accepted", smtp.Encrypted},
		{"STARTTLS REQUIRETLS", "b local permanent", smtp.Plaintext},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, &smtptest.Server{LMTP: true, Extensions: strings.Fields(test.has)})
			defer w.close(t)
			w.to.LMTP, w.to.Security = true, test.security
			e := envelope("a@example.test", short, "b@example.test")
			e.RequireTLS = true
			if got := fates(w.pool.Deliver(t.Context(), w.to, e)); got != test.want+"\n" {
				t.Errorf("%s: got %s, want %s", test.has, got, test.want)
			}
			for _, m := range w.Messages() {
				if _, said := m.Params["REQUIRETLS"]; said != strings.Contains(test.has, "REQUIRETLS") {
					t.Errorf("%s: said %v", test.has, m.Params)
				}
			}
		})
	}
}

// TestBadEnvelopes are refused before anything is sent.
func TestBadEnvelopes(t *testing.T) {
	for name, change := range map[string]func(*smtp.Envelope){
		"no message":             func(e *smtp.Envelope) { e.Open = nil },
		"sender":                 func(e *smtp.Envelope) { e.From = "a@b> SIZE=1" },
		"sender with CRLF":       func(e *smtp.Envelope) { e.From = "a@b\r\nRSET" },
		"recipient":              func(e *smtp.Envelope) { e.To[0].Address = "a" },
		"recipient with NUL":     func(e *smtp.Envelope) { e.To[0].Address = "a\x00@b" },
		"RET":                    func(e *smtp.Envelope) { e.Return = "FULL X=1" },
		"ENVID":                  func(e *smtp.Envelope) { e.EnvelopeID = "a\r\n" },
		"ENVID, long":            func(e *smtp.Envelope) { e.EnvelopeID = strings.Repeat("x", 101) },
		"NOTIFY":                 func(e *smtp.Envelope) { e.To[0].Notify = smtp.NotifyNever | smtp.NotifyDelay },
		"priority":               func(e *smtp.Envelope) { e.Priority = 10 },
		"TLS and the contrary":   func(e *smtp.Envelope) { e.RequireTLS, e.TLSOptional = true, true },
		"ORCPT without measure":  func(e *smtp.Envelope) { e.To[0].Original = strings.Repeat("x", 1000) },
		"a large binary message": func(e *smtp.Envelope) { e.Binary, e.Size = true, -1; e.Open = opener(strings.Repeat("x", 300<<10)) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, &smtptest.Server{})
				defer w.close(t)
				e := envelope("a@example.test", short, "b@example.test")
				change(e)
				r := w.pool.Deliver(t.Context(), w.to, e)
				var wrong *smtp.EnvelopeError
				if !errors.As(r[0].Err, &wrong) {
					t.Errorf("%v", r[0].Err)
				}
				if strings.Contains(w.Transcript(), "MAIL") {
					t.Error("something was sent")
				}
			})
		})
	}
}

// TestLimits: a server's limits part the recipients.
func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &smtptest.Server{Extensions: []string{"PIPELINING", "CHUNKING", "LIMITS RCPTMAX=3 RCPTDOMAINMAX=2"}})
		defer w.close(t)
		w.to.Security = smtp.Plaintext
		to := []string{"a@one.test", "b@ONE.test", "c@one.test", "d@one.test", "e@two.test", "f@three.test", "g@four.test", "h@four.test"}
		for i, r := range w.pool.Deliver(t.Context(), w.to, envelope("a@b.test", short, to...)) {
			if r.Recipient != to[i] || r.Err != nil {
				t.Errorf("%s: %v", r.Recipient, r.Err)
			}
		}
		var got []string
		for _, m := range smtptest.Expect(t, w.Server, 3) {
			got = append(got, fmt.Sprint(m.To))
		}
		if s := strings.Join(got, ""); s != "[a@one.test b@ONE.test c@one.test][d@one.test e@two.test][f@three.test g@four.test h@four.test]" {
			t.Error(s)
		}
	})
}
