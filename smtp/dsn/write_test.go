package dsn_test

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/smtp/dsn"
)

var update = flag.Bool("update", false, "write the golden files anew")

const original = "Message-ID: <orig@example.com>\r\nSubject: hello\r\nTo: bob@example.org\r\n\r\nHello, Bob\r\n"

// reports are the golden ones.
func reports() map[string]*dsn.Report {
	at := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	base := dsn.Report{
		To: "ada@example.com", MessageID: "report@mx.example.com", Date: at, ReportingMTA: "mx.example.com",
		EnvelopeID: "env-1", ReceivedFrom: "app.example.com", ArrivalDate: at.Add(-time.Hour),
		Returned: []byte(original),
	}
	bob := dsn.Recipient{Address: "bob@example.org", Original: "robert@example.org", Action: dsn.Failed,
		Status: smtp.EnhancedCode{5, 1, 1}, RemoteMTA: "mx.example.org",
		Diagnostic: "550 5.1.1 <bob@example.org>: Recipient address rejected: User unknown in virtual mailbox table", LastAttempt: at}
	failed, delayed, utf8, global, eightbit, complaint := base, base, base, base, base, base
	failed.Recipients = []dsn.Recipient{bob, {Address: "carol@example.net", Action: dsn.Failed, Status: smtp.EnhancedCode{4, 4, 1}, Diagnostic: "no server answered"}}
	delayed.Recipients = []dsn.Recipient{{Address: "bob@example.org", Action: dsn.Delayed, Diagnostic: "451 4.3.0 later", WillRetryUntil: at.Add(24 * time.Hour)},
		{Address: "eve@example.org", Action: dsn.Delivered}, {Address: "list@example.org", Action: dsn.Expanded}, {Address: "out@example.org", Action: dsn.Relayed}}
	delayed.HeadersOnly = true
	utf8.Recipients = []dsn.Recipient{{Address: "jürgen@example.org", Action: dsn.Failed, Diagnostic: "550 5.1.1 Benutzer unbekannt: jürgen"}}
	utf8.Returned = []byte(strings.Replace(original, "hello", "Grüße aus Köln, und zwar so lange, dass die Zeile des Betreffs geteilt werden muss", 1))
	global = utf8
	global.To = "用户@example.com"
	eightbit.Recipients = failed.Recipients[1:]
	eightbit.Returned = []byte(original + "Grüße\r\n")
	complaint.Returned = []byte(original)
	complaint.To = "abuse@example.net"
	complaint.Complaint = &dsn.Complaint{Type: "abuse", UserAgent: "mx/1", MailFrom: "spam@example.net", RcptTo: []string{"a@example.com", "b@example.com"},
		SourceIP: netip.MustParseAddr("2001:db8::1"), Domains: []string{"example.net"}, URIs: []string{"https://example.net/x"},
		AuthenticationResults: "mx.example.com; dkim=pass header.d=example.net", Incidents: 2}
	return map[string]*dsn.Report{"failed": &failed, "delayed": &delayed, "utf8": &utf8, "global": &global, "eightbit": &eightbit, "complaint": &complaint}
}

func write(t *testing.T, r *dsn.Report) []byte {
	t.Helper()
	var b bytes.Buffer
	n, err := r.WriteTo(&b)
	if err != nil || n != int64(b.Len()) {
		t.Fatalf("%d of %d octets, %v", n, b.Len(), err)
	}
	return b.Bytes()
}

func TestGolden(t *testing.T) {
	for name, r := range reports() {
		got := write(t, r)
		file := filepath.Join("testdata", "golden-"+name+".eml")
		if *update {
			if err := os.WriteFile(file, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s:\n%s", file, got)
		}
		lawful(t, name, got)
	}
}

// lawful checks what holds for every mail: line ends, lengths, octets.
func lawful(t *testing.T, name string, mail []byte) {
	t.Helper()
	for line := range bytes.Lines(mail) {
		body, ok := bytes.CutSuffix(line, []byte("\r\n"))
		if !ok || bytes.ContainsAny(body, "\r\n\x00") || len(body) > 998 {
			t.Errorf("%s: bad line %.100q", name, line)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	for name, r := range reports() {
		got, err := dsn.Parse(bytes.NewReader(write(t, r)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for i := range got.Recipients {
			g, want := &got.Recipients[i], r.Recipients[i]
			if want.Status == (smtp.EnhancedCode{}) {
				want.Status = map[string]smtp.EnhancedCode{"bob": {4, 3, 0}, "jürgen": {5, 1, 1}, "eve": {2}, "list": {2}, "out": {2}}[strings.Split(want.Address, "@")[0]]
			}
			if name == "utf8" { // the diagnostic is made ASCII
				want.Diagnostic = strings.ReplaceAll(want.Diagnostic, "ü", "?")
			}
			normal(g, &want)
			if !reflect.DeepEqual(*g, want) {
				t.Errorf("%s:\n got %+v\nwant %+v", name, *g, want)
			}
		}
		if len(got.Recipients) != len(r.Recipients) || !reflect.DeepEqual(got.Complaint, r.Complaint) {
			t.Errorf("%s: %+v", name, got)
		}
		if got.EnvelopeID != r.EnvelopeID || got.ReportingMTA != r.ReportingMTA || !got.ArrivalDate.Equal(r.ArrivalDate) ||
			got.To != r.To || got.MessageID != r.MessageID || !got.Date.Equal(r.Date) || got.ReturnedField("message-id") != "<orig@example.com>" {
			t.Errorf("%s: %+v", name, got)
		}
		if name == "failed" && (string(got.Returned) != original || got.HeadersOnly) {
			t.Errorf("returned %q", got.Returned)
		}
	}
}

// normal makes times comparable.
func normal(a, b *dsn.Recipient) {
	for _, p := range []*time.Time{&a.LastAttempt, &b.LastAttempt, &a.WillRetryUntil, &b.WillRetryUntil} {
		*p = p.UTC()
	}
}

// TestInjection puts controls and line ends into every string, and looks for fields that were not asked for.
func TestInjection(t *testing.T) {
	const evil = "x\r\nX-Injected: yes\r\n\r\n--=_\nX-Injected: yes\rX-Injected: yes"
	r := &dsn.Report{To: "ada@example.com", ReportingMTA: "mx.example.com", Subject: evil, MessageID: evil, EnvelopeID: evil, ReceivedFrom: evil, Text: evil,
		Recipients: []dsn.Recipient{{Address: evil, Original: evil, Action: dsn.Action(evil), RemoteMTA: evil, Diagnostic: evil}},
		Returned:   []byte("Subject: " + evil + "\r\nMessage-ID: <" + evil + ">\r\n\r\n"), HeadersOnly: true}
	mail := write(t, r)
	lawful(t, "injection", mail)
	head, rest, _ := bytes.Cut(mail, []byte("\r\n\r\n"))
	status, _, _ := bytes.Cut(rest[bytes.Index(rest, []byte("Reporting-MTA")):], []byte("\r\n--=_"))
	if bytes.Contains(head, []byte("\r\nX-Injected")) || bytes.Contains(status, []byte("\r\nX-Injected")) {
		t.Errorf("%s", mail)
	}
	r.Complaint = &dsn.Complaint{Type: evil, UserAgent: evil, MailFrom: evil, RcptTo: []string{evil}, Domains: []string{evil}, URIs: []string{evil}, AuthenticationResults: evil}
	mail = write(t, r)
	lawful(t, "complaint", mail)
	_, rest, _ = bytes.Cut(mail, []byte("\r\nFeedback-Type"))
	if fields, _, _ := bytes.Cut(rest, []byte("\r\n--=_")); bytes.Contains(fields, []byte("\r\nX-Injected")) {
		t.Errorf("%s", fields)
	}
	for _, change := range []func(*dsn.Report){
		func(r *dsn.Report) { r.To = "" },
		func(r *dsn.Report) { r.To = "a@b\r\nX: y" },
		func(r *dsn.Report) { r.To = "a@b>, <c@d" },
		func(r *dsn.Report) { r.To = "a b@c" },
		func(r *dsn.Report) { r.From = "a@b\r\nX: y" },
		func(r *dsn.Report) { r.ReportingMTA = "" },
		func(r *dsn.Report) { r.ReportingMTA = "mx example" },
		func(r *dsn.Report) { r.Recipients, r.Complaint = nil, nil },
	} {
		bad := *r
		change(&bad)
		if n, err := bad.WriteTo(io.Discard); err == nil || n != 0 {
			t.Errorf("written: %+v", bad)
		}
	}
}

// TestReturnedAsItCanGo has messages that may not go as they are.
func TestReturnedAsItCanGo(t *testing.T) {
	for _, test := range []struct{ returned, want string }{
		{"A: b\n\nbare LF\n", "message/rfc822\r\nContent-Transfer-Encoding: 7bit"},
		{"A: b\r\n\r\nbare\rCR\r\n", "text/rfc822-headers\r\nContent-Transfer-Encoding: 7bit"},
		{"A: b\r\n\r\nNUL\x00\r\n", "text/rfc822-headers\r\n"},
		{"A: b\r\n\r\n" + strings.Repeat("x", 999), "text/rfc822-headers\r\n"},
		{"A: " + strings.Repeat("x", 999) + "\r\n\r\n", "text/rfc822-headers; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable"},
		{"A: \xff\r\n\r\n", "text/rfc822-headers; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable"},
		{"A: b\r\n\r\n\xc3\xa9\r\n", "message/rfc822\r\nContent-Transfer-Encoding: 8bit"},
		{"A: b", "message/rfc822\r\n"},
	} {
		r := &dsn.Report{To: "a@b.test", ReportingMTA: "mx", Recipients: []dsn.Recipient{{Address: "x@y.test"}}, Returned: []byte(test.returned)}
		mail := write(t, r)
		lawful(t, test.returned, mail)
		if !bytes.Contains(mail, []byte("Content-Type: "+test.want)) {
			t.Errorf("%.40q: want %s in\n%.2000s", test.returned, test.want, mail)
		}
		if back, err := dsn.Parse(bytes.NewReader(mail)); err != nil || back.Recipients[0].Address != "x@y.test" || len(back.Returned) == 0 {
			t.Errorf("%.40q: %+v, %v", test.returned, back, err)
		}
	}
}

func TestReturn(t *testing.T) {
	for _, test := range []struct {
		message string
		limit   int64
		want    string
		only    bool
	}{
		{original, 1000, original, false},
		{original, int64(len(original)), original, false},
		{original, int64(len(original)) - 1, original[:strings.Index(original, "Hello")], true},
		{original, 0, original[:strings.Index(original, "Hello")], true},
		{"A: b\r\n", 0, "A: b\r\n", true},
		{"A: b\r\n", 100, "A: b\r\n", false},
	} {
		var r dsn.Report
		if err := r.Return(strings.NewReader(test.message), test.limit); err != nil || string(r.Returned) != test.want || r.HeadersOnly != test.only {
			t.Errorf("%q at %d: %q, %v, %v", test.message, test.limit, r.Returned, r.HeadersOnly, err)
		}
	}
	var r dsn.Report
	broken := errors.New("disk")
	if err := r.Return(io.MultiReader(strings.NewReader("A: b\r\n"), iotest.ErrReader(broken)), 0); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	if err := r.Return(strings.NewReader(strings.Repeat("A: b\r\n", 1<<17)), 0); err == nil {
		t.Error("a header without end was returned")
	}
	if err := r.Return(strings.NewReader(strings.Repeat("x", 1<<20)), 0); err == nil {
		t.Error("a line without end was returned")
	}
}

func TestWanted(t *testing.T) {
	const all = smtp.NotifySuccess | smtp.NotifyFailure | smtp.NotifyDelay
	for _, test := range []struct {
		from    string
		notify  smtp.Notify
		failed  bool
		delayed bool
		success bool
	}{
		{"a@b", 0, true, true, false},
		{"a@b", smtp.NotifyNever, false, false, false},
		{"a@b", smtp.NotifySuccess, false, false, true},
		{"a@b", smtp.NotifyFailure, true, false, false},
		{"a@b", all, true, true, true},
		{"", all, false, false, false},
	} {
		got := []bool{dsn.Wanted(test.from, test.notify, dsn.Failed), dsn.Wanted(test.from, test.notify, dsn.Delayed),
			dsn.Wanted(test.from, test.notify, dsn.Delivered), dsn.Wanted(test.from, test.notify, dsn.Expanded)}
		if want := []bool{test.failed, test.delayed, test.success, test.success}; !reflect.DeepEqual(got, want) {
			t.Errorf("%+v: %v", test, got)
		}
	}
}

func TestEnvelope(t *testing.T) {
	r := reports()["eightbit"]
	e, err := r.Envelope()
	if err != nil {
		t.Fatal(err)
	}
	body, err := e.Open()
	if err != nil {
		t.Fatal(err)
	}
	mail, _ := io.ReadAll(body)
	if e.From != "" || e.To[0].Address != "ada@example.com" || e.Size != int64(len(mail)) || !e.EightBit || e.UTF8 || !bytes.Equal(mail, write(t, r)) {
		t.Errorf("%+v", e)
	}
	if e, _ := reports()["global"].Envelope(); !e.UTF8 || !e.EightBit {
		t.Errorf("%+v", e)
	}
	if e, _ := reports()["utf8"].Envelope(); e.UTF8 || e.EightBit {
		t.Errorf("%+v", e)
	}
	if _, err := (&dsn.Report{}).Envelope(); err == nil {
		t.Error("a report for nobody")
	}
}

func TestFromResult(t *testing.T) {
	at := time.Now()
	reply := smtp.Reply{Code: 550, Enhanced: smtp.EnhancedCode{5, 1, 1}, Text: "no such user"}
	got := dsn.FromResult(smtp.Result{Recipient: "a@b", Err: &smtp.ReplyError{Reply: reply}, Reply: reply, Host: "mx", Started: at})
	want := dsn.Recipient{Address: "a@b", Action: dsn.Failed, Status: reply.Enhanced, RemoteMTA: "mx", Diagnostic: "550 5.1.1 no such user", LastAttempt: at}
	if got != want {
		t.Errorf("%+v", got)
	}
	if got := dsn.FromResult(smtp.Result{Recipient: "a@b"}); got.Action != dsn.Relayed || got.Diagnostic != "" {
		t.Errorf("%+v", got)
	}
	if got := dsn.FromResult(smtp.Result{Err: smtp.ErrUnsure}); got.Diagnostic != smtp.ErrUnsure.Error() {
		t.Errorf("%+v", got)
	}
}

// TestPython has Python's email package read what we write, and complain.
func TestPython(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Fatal("python3 is needed as the second opinion: ", err)
	}
	const program = `
import sys, email, email.policy
m = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)
bad = [str(d) for p in m.walk() for d in p.defects]
bad += [str(d) for p in m.walk() for h in p.values() for d in getattr(h, "defects", [])]
bad = [d for d in bad if "on-ASCII" not in d or sys.argv[1] != "global"] # it knows no RFC 6532
parts = [p.get_content_type() for p in m.iter_parts()]
assert not bad, bad
assert m.get_content_type() == "multipart/report", m.get_content_type()
assert len(parts) == 3, parts
assert m["auto-submitted"].startswith("auto-"), m["auto-submitted"]
print(m["subject"])
`
	for name, r := range reports() {
		cmd := exec.Command(python, "-c", program, name)
		cmd.Stdin = bytes.NewReader(write(t, r))
		cmd.Env = append(os.Environ(), "PYTHONIOENCODING=utf-8")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		if name == "utf8" && strings.TrimSpace(string(out)) != "Undeliverable: Grüße aus Köln, und zwar so lange, dass die Zeile des Betreffs geteilt werden muss" {
			t.Errorf("subject %q", out)
		}
	}
}
