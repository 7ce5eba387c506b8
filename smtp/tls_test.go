package smtp_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/smtp/smtptest"
)

var errVerify = errors.New("no TLSA record matches")

// TestSecurity tries each demand on servers with and without TLS and with the wrong certificate.
func TestSecurity(t *testing.T) {
	ca := smtptest.NewCA()
	verify := func(err error) func(*smtp.Server) {
		return func(s *smtp.Server) { s.Verify = func(tls.ConnectionState) error { return err } }
	}
	for _, test := range []struct {
		name     string
		server   *smtptest.Server
		security smtp.Security
		change   func(*smtp.Server)
		want     string // fate and TLS
	}{
		{"required", &smtptest.Server{}, smtp.StartTLS, nil, "ok tls"},
		{"required, not offered", &smtptest.Server{Extensions: []string{}}, smtp.StartTLS, nil, "tls: TLS is not as demanded"},
		{"required, refused", &smtptest.Server{Replies: map[string]string{"STARTTLS": "454 4.7.0 no"}}, smtp.StartTLS, nil, "tls: TLS is not as demanded"},
		{"required, wrong name", &smtptest.Server{TLS: ca.Server("other.example.test")}, smtp.StartTLS, nil, "tls: TLS is not as demanded"},
		{"required, other authority", &smtptest.Server{}, smtp.StartTLS, func(s *smtp.Server) { s.TLS = ca.Client("") }, "tls: TLS is not as demanded"},
		{"required, too old", &smtptest.Server{TLS: tooOld(ca)}, smtp.StartTLS, nil, "tls: TLS is not as demanded"},
		{"encrypted, wrong name", &smtptest.Server{TLS: ca.Server("other.example.test")}, smtp.Encrypted, nil, "ok tls"},
		{"encrypted, not offered", &smtptest.Server{Extensions: []string{}}, smtp.Encrypted, nil, "tls: TLS is not as demanded"},
		{"encrypted, verified", &smtptest.Server{}, smtp.Encrypted, verify(nil), "ok tls"},
		{"encrypted, not verified", &smtptest.Server{}, smtp.Encrypted, verify(errVerify), "tls: no TLSA record matches"},
		{"opportunistic", &smtptest.Server{TLS: ca.Server("other.example.test")}, smtp.Opportunistic, nil, "ok tls"},
		{"opportunistic, not offered", &smtptest.Server{Extensions: []string{}}, smtp.Opportunistic, nil, "ok clear"},
		{"opportunistic, refused", &smtptest.Server{Replies: map[string]string{"STARTTLS": "454 4.7.0 no"}}, smtp.Opportunistic, nil, "ok clear"},
		{"opportunistic, handshake fails", &smtptest.Server{TLS: tooOld(ca)}, smtp.Opportunistic, nil, "ok clear"},
		{"opportunistic, not verified", &smtptest.Server{}, smtp.Opportunistic, verify(errVerify), "tls: no TLSA record matches"},
		{"implicit", &smtptest.Server{ImplicitTLS: true}, smtp.ImplicitTLS, nil, "ok tls"},
		{"implicit, wrong name", &smtptest.Server{ImplicitTLS: true, TLS: ca.Server("other.example.test")}, smtp.ImplicitTLS, nil, "tls: TLS is not as demanded"},
		{"plaintext", &smtptest.Server{}, smtp.Plaintext, nil, "ok clear"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				foreign := test.server.TLS != nil
				w := newWorld(t, test.server)
				defer w.Close()
				if foreign {
					w.to.TLS = ca.Client("")
				}
				w.to.Security = test.security
				if test.change != nil {
					test.change(w.to)
				}
				r := w.pool.Deliver(t.Context(), w.to, envelope("a@example.test", hello, "b@example.test"))[0]
				got := "ok clear"
				if r.Err != nil {
					got = string(r.Phase) + ": " + r.Err.Error()
				} else if r.TLS != nil {
					got = "ok tls"
				}
				if !strings.HasPrefix(got, strings.Split(test.want, ":")[0]) || !strings.Contains(got, strings.TrimPrefix(test.want, "tls: ")) {
					t.Errorf("got %s, want %s", got, test.want)
				}
				if r.Err != nil && !errors.Is(r.Err, smtp.ErrTLS) {
					t.Errorf("%v is not ErrTLS", r.Err)
				}
				if r.Err != nil && w.Count() > 0 {
					t.Error("the mail came all the same")
				}
				w.pool.Close(t.Context())
				time.Sleep(time.Second) // for what is on the link
			})
		})
	}
}

func tooOld(ca *smtptest.CA) *tls.Config {
	config := ca.Server("mx.example.test")
	config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	return config
}

// TestBeforeHello: when TLS is not as demanded, nothing more is said, for Verify as for a certificate.
func TestBeforeHello(t *testing.T) {
	for name, change := range map[string]func(*smtp.Server){
		"certificate": func(s *smtp.Server) { s.ServerName = "other.example.test" },
		"authority":   func(s *smtp.Server) { s.TLS = nil },
		"Verify": func(s *smtp.Server) {
			s.Verify = func(cs tls.ConnectionState) error {
				if !cs.HandshakeComplete || len(cs.PeerCertificates) == 0 {
					return errors.New("no state to decide on")
				}
				return errVerify
			}
		},
	} {
		for _, implicit := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, &smtptest.Server{Record: true, ImplicitTLS: implicit})
				defer w.Close()
				if implicit {
					w.to.Security = smtp.ImplicitTLS
				}
				change(w.to)
				r := w.pool.Deliver(t.Context(), w.to, envelope("a@a.test", hello, "b@b.test"))[0]
				if !errors.Is(r.Err, smtp.ErrTLS) || r.Phase != smtp.PhaseTLS || name == "Verify" && !errors.Is(r.Err, errVerify) {
					t.Errorf("%s: %s: %v", name, r.Phase, r.Err)
				}
				time.Sleep(time.Second)                                                                               // for what is on the link
				if said := strings.Count(w.Transcript(), " C: "); said != map[bool]int{false: 2, true: 0}[implicit] { // EHLO and STARTTLS
					t.Errorf("%s:\n%s", name, w.Transcript())
				}
			})
		}
	}
}

// TestOldTLS: no configuration lets TLS 1.1 through.
func TestOldTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := smtptest.NewCA()
		w := newWorld(t, &smtptest.Server{TLS: tooOld(ca)})
		defer w.Close()
		w.to.TLS = ca.Client("mx.example.test")
		w.to.TLS.MinVersion = tls.VersionTLS10
		r := w.pool.Deliver(t.Context(), w.to, envelope("a@a.test", hello, "b@b.test"))[0]
		if !errors.Is(r.Err, smtp.ErrTLS) || !strings.Contains(r.Err.Error(), "version") {
			t.Error(r.Err)
		}
	})
}

// TestNoSecretInClear: what Security allows does not let a password go out in the clear.
func TestNoSecretInClear(t *testing.T) {
	for name, test := range map[string]struct {
		server   *smtptest.Server
		security smtp.Security
	}{
		"plaintext":                {&smtptest.Server{}, smtp.Plaintext},
		"opportunistic, not there": {&smtptest.Server{Extensions: []string{}}, smtp.Opportunistic},
		"opportunistic, refused":   {&smtptest.Server{Replies: map[string]string{"STARTTLS": "454 4.7.0 no"}}, smtp.Opportunistic},
		"opportunistic, fails":     {&smtptest.Server{TLS: tooOld(smtptest.NewCA())}, smtp.Opportunistic},
	} {
		synctest.Test(t, func(t *testing.T) {
			test.server.Users, test.server.Record = map[string]string{"ada": "secret"}, true
			w := newWorld(t, test.server)
			defer w.Close()
			w.to.Security, w.to.Auth = test.security, &smtp.Auth{Username: "ada", Password: "secret"}
			r := w.pool.Deliver(t.Context(), w.to, envelope("a@a.test", hello, "b@b.test"))[0]
			if r.Err == nil || r.Phase != smtp.PhaseAuth || strings.Contains(w.Transcript(), "C: AUTH") {
				t.Errorf("%s: %s: %v\n%s", name, r.Phase, r.Err, w.Transcript())
			}
			time.Sleep(time.Second)
		})
	}
}

// TestResumption: the second connection resumes the session of the first.
func TestResumption(t *testing.T) {
	s := (&smtptest.Server{}).Start()
	defer s.Close()
	pool := &smtp.Pool{MaxIdle: -1}
	defer pool.Close(t.Context())
	to := smtp.Server{Host: "mx.example.test", Addrs: []netip.AddrPort{netip.MustParseAddrPort(s.Addr())}, TLS: s.TLSClient()}
	for i := range 3 {
		r := pool.Deliver(t.Context(), &to, envelope("a@example.test", hello, "b@example.test"))[0]
		if r.Err != nil || r.TLS.DidResume != (i > 0) {
			t.Errorf("connection %d: resumed %v, %v", i, r.TLS.DidResume, r.Err)
		}
	}
	// Under another policy nothing is shared, also not a session.
	to.Policy = "other"
	if r := pool.Deliver(t.Context(), &to, envelope("a@example.test", hello, "b@example.test"))[0]; r.Err != nil || r.TLS.DidResume {
		t.Errorf("another policy: resumed, %v", r.Err)
	}
}

// TestNotShared: what distinguishes Servers keeps their connections apart.
func TestNotShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &smtptest.Server{Users: map[string]string{"ada": "secret", "bob": "secret"}})
		defer w.close(t)
		w.to.Security = smtp.Encrypted
		ada, bob := &smtp.Auth{Username: "ada", Password: "secret"}, &smtp.Auth{Username: "bob", Password: "secret"}
		for i, change := range []func(*smtp.Server){
			func(s *smtp.Server) {},
			func(s *smtp.Server) { s.Policy = "dane" },
			func(s *smtp.Server) { s.Security = smtp.StartTLS },
			func(s *smtp.Server) { s.Security = smtp.Plaintext },
			func(s *smtp.Server) { s.Auth = ada },
			func(s *smtp.Server) { s.Auth = bob },
			func(s *smtp.Server) { s.Verify = func(tls.ConnectionState) error { return nil } },
			func(s *smtp.Server) { s.TLS = s.TLS.Clone() },
			func(s *smtp.Server) { s.Port = 26 },
			func(s *smtp.Server) {}, // the first again
		} {
			to := *w.to
			change(&to)
			if r := w.pool.Deliver(t.Context(), &to, envelope("a@example.test", hello, "b@example.test"))[0]; r.Err != nil {
				t.Errorf("%d: %v", i, r.Err)
			}
			if want := int64(min(i+1, 9)); w.Sessions() != want {
				t.Errorf("%d: %d connections, want %d", i, w.Sessions(), want)
			}
		}
		for _, m := range w.Messages() {
			if m.Session == 5 && m.User != "ada" || m.Session == 6 && m.User != "bob" {
				t.Errorf("connection %d of %q", m.Session, m.User)
			}
		}
	})
}

// TestHello: without a name the client says the address literal, and never a name that is none.
func TestHello(t *testing.T) {
	for hello, want := range map[string]string{"bad name": "hello temporary", "x\r\nRSET": "hello temporary", "[192.0.2.1]": "final ok 250", "mx.example.test": "final ok 250"} {
		synctest.Test(t, func(t *testing.T) {
			s := (&smtptest.Server{Listener: smtptest.NewPipe()}).Start()
			defer s.Close()
			pool := &smtp.Pool{Hello: hello, Dial: s.Dial}
			if got := fates(pool.Deliver(t.Context(), clear, envelope("a@b.test", short, "c@b.test"))); !strings.HasPrefix(got, "c "+want) {
				t.Errorf("%q: %s", hello, got)
			}
			pool.Close(t.Context())
			smtptest.NoViolations(t, s)
		})
	}
	s := (&smtptest.Server{}).Start()
	defer s.Close()
	pool := &smtp.Pool{}
	host, _, _ := net.SplitHostPort(s.Addr())
	pool.Deliver(context.Background(), &smtp.Server{Host: host, Port: s.Port(), Security: smtp.Plaintext}, envelope("a@b.test", short, "c@b.test"))
	pool.Close(context.Background())
	for _, m := range smtptest.Expect(t, s, 1) {
		if !strings.Contains(m.Hello, ".") {
			t.Errorf("said %q", m.Hello)
		}
	}
}
