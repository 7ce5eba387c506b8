package smtp_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/postrider/postrider/smtp"
)

// labRoots is the certificate authority of the lab.
func labRoots(t *testing.T) *tls.Config {
	t.Helper()
	if os.Getenv("LAB_DIR") == "" {
		t.Skip("lab is not running: see .ci/lab/README.md")
	}
	pem, err := os.ReadFile(os.Getenv("LAB_CA"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatal("no certificate in LAB_CA")
	}
	return &tls.Config{RootCAs: roots}
}

// TestLabAuth logs in at Postfix (Dovecot's SASL), Exim and Dovecot by every mechanism that they offer, as a
// user whose password is ASCII and one whose is not.
func TestLabAuth(t *testing.T) {
	config := labRoots(t)
	dovecot := "PLAIN LOGIN CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-256"
	for _, server := range []struct{ name, env, host, mechanisms string }{
		{"postfix", "LAB_POSTFIX_SUBMISSION", "mx1.example.test", dovecot},
		{"postfix smtps", "LAB_POSTFIX_SMTPS", "mx1.example.test", dovecot},
		{"exim", "LAB_EXIM_SUBMISSION", "mx2.example.test", "PLAIN LOGIN CRAM-MD5"},
		{"exim smtps", "LAB_EXIM_SMTPS", "mx2.example.test", "PLAIN LOGIN CRAM-MD5"},
		{"dovecot", "LAB_DOVECOT_SUBMISSION", "imap.example.test", dovecot},
	} {
		for _, user := range []struct{ name, password string }{{"alice", "wonderland"}, {"carol", "pässwörd ☃"}} {
			for _, mech := range append(strings.Fields(server.mechanisms), "best", "wrong") {
				t.Run(server.name+"/"+user.name+"/"+mech, func(t *testing.T) {
					auth := &smtp.Auth{Username: user.name, Password: user.password, Mechanisms: []string{mech}}
					switch mech {
					case "best":
						auth.Mechanisms = nil
					case "wrong":
						auth.Mechanisms, auth.Password = nil, "not the password"
					}
					labLogin(t, server.env, server.host, config, auth, mech == "wrong")
				})
			}
		}
	}
}

func labLogin(t *testing.T, env, host string, config *tls.Config, auth *smtp.Auth, wrong bool) {
	t.Helper()
	addr, err := netip.ParseAddrPort(os.Getenv(env))
	if err != nil {
		t.Fatalf("%s: %v", env, err)
	}
	to := &smtp.Server{Host: host, Addrs: []netip.AddrPort{addr}, TLS: config, Auth: auth}
	if addr.Port() == 465 {
		to.Security = smtp.ImplicitTLS
	}
	pool := &smtp.Pool{Hello: "client.example.test"}
	defer pool.Close(t.Context())
	var dialogue smtp.Transcript
	from := auth.Username + "@example.test"
	r := pool.Deliver(smtp.WithTrace(t.Context(), dialogue.Trace()), to, envelope(from, "From: "+from+"\r\nSubject: AUTH\r\n\r\nhi\r\n", "t-smtpkit-auth@example.test"))[0]
	if strings.Contains(dialogue.String(), auth.Password) {
		t.Error("the password is in the transcript")
	}
	if !wrong {
		if r.Err != nil {
			t.Errorf("%v\n%s", r.Err, dialogue.String())
		}
		return
	}
	var refused *smtp.ReplyError
	if !errors.As(r.Err, &refused) || refused.Phase != smtp.PhaseAuth || refused.Reply.Code != 535 {
		t.Errorf("%v\n%s", r.Err, dialogue.String())
	}
}
