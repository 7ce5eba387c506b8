package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/postrider/postrider/smtp/smtptest"
)

// sendmail runs the program against a server.
func sendmail(t *testing.T, srv *smtptest.Server, in string, args ...string) (code int, stderr string) {
	t.Helper()
	var errw strings.Builder
	url := "smtp://" + srv.Addr() + "?tls=none&hello=client.example.test&timeout=5s"
	code = run(t.Context(), args, url, strings.NewReader(in), &errw)
	return code, errw.String()
}

const letter = "From: Ada <ada@example.test>\nTo: Bob <bob@example.test>,\n carol@example.test\nCc: \"d e\"@example.test\nBcc: secret@example.test\nSubject: x\n\nHello.\n.\nmore\n"

func start(t *testing.T, srv *smtptest.Server) *smtptest.Server {
	srv.Start()
	t.Cleanup(srv.Close)
	return srv
}

func TestSends(t *testing.T) {
	for _, test := range []struct {
		name, in string
		args     []string
		from, to string
		want     string // in the message
	}{
		{"recipients as arguments", letter, []string{"-i", "-f", "env@example.test", "--", "x@example.test", "y@example.test"}, "env@example.test", "x@example.test y@example.test", "\r\n.\r\nmore\r\n"},
		{"header", letter, []string{"-t", "-i"}, "ada@example.test", `bob@example.test carol@example.test "d e"@example.test secret@example.test`, "\r\n.\r\nmore\r\n"},
		{"header and arguments", letter, []string{"-t", "-oi", "-fenv@example.test", "z@example.test"}, "env@example.test", `z@example.test bob@example.test carol@example.test "d e"@example.test secret@example.test`, "more\r\n"},
		{"a dot ends", letter, []string{"x@example.test"}, "ada@example.test", "x@example.test", "\r\nHello.\r\n"},
		{"null sender", letter, []string{"-i", "-f", "<>", "x@example.test"}, "", "x@example.test", "more\r\n"},
		{"no header at all", "just text\n", []string{"-i", "-f", "cron@example.test", "-F", "Cron Dæmon", "x@example.test"}, "cron@example.test", "x@example.test", "From: =?utf-8?q?Cron_D=C3=A6mon?= <cron@example.test>"},
		{"mbox line", "From x Mon Nov 23 2026\n" + letter, []string{"-i", "x@example.test"}, "ada@example.test", "x@example.test", "Subject: x\r\n"},
		{"options of every sendmail", letter, []string{"-bm", "-oem", "-i", "-B8BITMIME", "x@example.test"}, "ada@example.test", "x@example.test", "more\r\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := start(t, &smtptest.Server{})
			code, stderr := sendmail(t, srv, test.in, test.args...)
			if code != 0 || stderr != "" {
				t.Fatalf("exit %d, %s", code, stderr)
			}
			m := smtptest.Expect(t, srv, 1)[0]
			if m.From != test.from || strings.Join(m.To, " ") != test.to {
				t.Errorf("from %q to %q", m.From, m.To)
			}
			if data := string(m.Data); !strings.Contains(data, test.want) || strings.Contains(data, "secret") {
				t.Errorf("message %q lacks %q, or shows Bcc", data, test.want)
			}
			if test.name == "a dot ends" && strings.Contains(string(m.Data), "more") {
				t.Errorf("the message goes on after the dot: %q", m.Data)
			}
			smtptest.NoViolations(t, srv)
		})
	}
}

func TestExitCodes(t *testing.T) {
	srv := start(t, &smtptest.Server{Refuse: map[string]string{
		"nobody@example.test": "550 5.1.1 no such user", "plain@example.test": "550 who?", "spam@example.test": "554 5.7.1 go away",
		"later@example.test": "450 4.2.0 later",
	}})
	for _, test := range []struct {
		to   string
		code int
		line string
	}{
		{"ok", 0, ""},
		{"nobody", exitNoUser, "nobody@example.test permanent rcpt 550 5.1.1 no such user\n"},
		{"ok plain", exitNoUser, "plain@example.test permanent rcpt 550 5.1.0 who?\n"},
		{"spam", exitUnavailable, "spam@example.test permanent rcpt 554 5.7.1 go away\n"},
		{"nobody spam", exitUnavailable, "nobody@example.test permanent rcpt 550 5.1.1 no such user\nspam@example.test permanent rcpt 554 5.7.1 go away\n"},
		{"spam later nobody ok", exitTempFail, "later@example.test temporary rcpt 450 4.2.0 later\n"},
	} {
		args := []string{"-i", "--"}
		for name := range strings.FieldsSeq(test.to) {
			args = append(args, name+"@example.test")
		}
		code, stderr := sendmail(t, srv, letter, args...)
		if code != test.code || !strings.Contains(stderr, test.line) {
			t.Errorf("%s: exit %d, want %d; %s", test.to, code, test.code, stderr)
		}
	}
}

// The answer to the last octet is lost: that is unknown, and to be tried again.
func TestUnknownFate(t *testing.T) {
	srv := start(t, &smtptest.Server{Reply: func(verb, _ string) string {
		if verb == "END" {
			return smtptest.Drop
		}
		return ""
	}})
	code, stderr := sendmail(t, srv, letter, "-i", "x@example.test")
	if code != exitTempFail || !strings.HasPrefix(stderr, "x@example.test unknown ") {
		t.Errorf("exit %d, %s", code, stderr)
	}
}

// Nothing is sent where the usage or the message is wrong.
func TestRefuses(t *testing.T) {
	srv := start(t, &smtptest.Server{})
	for _, test := range []struct {
		in   string
		args []string
		code int
	}{
		{letter, nil, exitUsage},
		{letter, []string{"-x", "a@example.test"}, exitUsage},
		{letter, []string{"-f"}, exitUsage},
		{letter, []string{"-i", "nowhere"}, exitUsage},
		{letter, []string{"-i", "-f", "a b", "a@example.test"}, exitUsage},
		{letter, []string{"-bs"}, exitUsage},
		{letter, []string{"-transport", "nothing://", "a@example.test"}, exitUsage},
		{letter, []string{"-transport", "smtp://localhost?secret=1", "a@example.test"}, exitUsage},
		{"From: ada\n\nx\n", []string{"-i", "a@example.test"}, exitDataErr},
		{"From: ada@example.test\nTo: nonsense\n\nx\n", []string{"-t"}, exitDataErr},
		{"From: ada@example.test\n\nx\n", []string{"-t"}, exitDataErr},
		{"From: ada@example.test\n\na\rb\n", []string{"-i", "a@example.test"}, exitDataErr},
		{"From: ada@example.test\n\n" + strings.Repeat("x", 2000) + "\n", []string{"-i", "a@example.test"}, exitDataErr},
	} {
		if code, stderr := sendmail(t, srv, test.in, test.args...); code != test.code || stderr == "" {
			t.Errorf("%q %q: exit %d, want %d; %s", test.in, test.args, code, test.code, stderr)
		}
	}
	code := run(t.Context(), []string{"-i", "a@example.test"}, "smtp://"+srv.Addr()+"?tls=none", io.MultiReader(strings.NewReader(letter), iotest.ErrReader(errors.New("broken pipe"))), io.Discard)
	if code != exitIOErr {
		t.Errorf("input that fails: exit %d", code)
	}
	if n := srv.Count(); n > 0 {
		t.Errorf("%d messages were sent", n)
	}
}

// TLS is required and verified unless the URL says otherwise, and the transcript shows no password.
func TestTranscript(t *testing.T) {
	srv := start(t, &smtptest.Server{Users: map[string]string{"ada": "top-secret"}, AuthRequired: true, Name: "127.0.0.1"})
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, srv.CA.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	url := fmt.Sprintf("smtp://ada:top-secret@%s?ca=%s", srv.Addr(), ca)
	var errw strings.Builder
	code := run(t.Context(), []string{"-transcript", "-transport", url, "-i", "x@example.test"}, "smtp://unused.example", strings.NewReader(letter), &errw)
	if code != 0 {
		t.Fatalf("exit %d\n%s", code, errw.String())
	}
	for _, want := range []string{"C: EHLO ", "C: STARTTLS", "C: AUTH ", "C: MAIL FROM:<ada@example.test>", "S: 250"} {
		if !strings.Contains(errw.String(), want) {
			t.Errorf("the transcript lacks %q", want)
		}
	}
	for _, secret := range []string{"top-secret", "dG9wLXNlY3JldA", "AGFkYQB0b3Atc2VjcmV0"} {
		if strings.Contains(errw.String(), secret) {
			t.Errorf("the transcript shows the password:\n%s", errw.String())
		}
	}
	if code, _ := sendmail(t, srv, letter, "-transport", strings.Replace(url, "?ca="+ca, "", 1), "x@example.test"); code != exitTempFail {
		t.Errorf("an unknown CA: exit %d", code)
	}
}
