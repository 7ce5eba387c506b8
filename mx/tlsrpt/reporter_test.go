package tlsrpt_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/mail"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/postrider/postrider/mx"
	"github.com/postrider/postrider/mx/internal/web/webtest"
	"github.com/postrider/postrider/mx/mxtest"
	"github.com/postrider/postrider/mx/tlsrpt"
)

var ctx = context.Background()

// handshake is the state of a finished one; nobody looks into it here.
var handshake = &tls.ConnectionState{HandshakeComplete: true}

// desk is a reporter whose mail and posts are kept.
type desk struct {
	*tlsrpt.Reporter
	*webtest.Server
	zone *mxtest.Zone

	mu     sync.Mutex
	mails  []string // "to\n" and the message
	posts  [][]byte
	status int
	err    error // of Mail
}

func newDesk(t *testing.T) *desk {
	d := &desk{status: 201, zone: mxtest.MustParse(`
		_smtp._tls.a.test. TXT "v=TLSRPTv1; rua=mailto:" "reports@a.test"
		_smtp._tls.web.test. TXT "v=TLSRPTv1; rua=https://reports.web.test/tls?x=y"
		_smtp._tls.both.test. TXT "v=TLSRPTv1; rua=https://reports.web.test/tls,mailto:x@both.test"
		_smtp._tls.two.test. TXT "v=TLSRPTv1; rua=mailto:x@two.test"
		_smtp._tls.two.test. TXT "v=TLSRPTv1; rua=mailto:y@two.test"
		reports.web.test. A 9.0.0.9
	`)}
	d.Server = webtest.Start(http.HandlerFunc(d.serve), "reports.web.test")
	t.Cleanup(func() {
		d.Stop()
		time.Sleep(time.Minute) // in the bubble
	})
	d.Reporter = &tlsrpt.Reporter{
		Organization: "Example Inc.", Contact: "tls@sender.test", Resolver: d.zone,
		Dial: d.Server.Dial, TLS: &tls.Config{RootCAs: d.Server.Roots},
		Mail: func(_ context.Context, to string, message []byte) error {
			d.mails = append(d.mails, to+"\n"+string(message))
			return d.err
		},
	}
	return d
}

func (d *desk) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	d.mu.Lock()
	defer d.mu.Unlock()
	if r.Method == http.MethodPost && r.Header.Get("Content-Type") == "application/tlsrpt+gzip" && r.URL.Path == "/tls" {
		d.posts = append(d.posts, body)
	}
	w.Header().Set("Location", "https://reports.web.test/tls")
	w.WriteHeader(d.status)
}

// bubble runs a test with a desk in a synctest bubble, which begins at midnight.
func bubble(t *testing.T, f func(t *testing.T, d *desk)) {
	synctest.Test(t, func(t *testing.T) { f(t, newDesk(t)) })
}

// send waits until everything of today is due, and sends.
func (d *desk) send(t *testing.T, want string) {
	t.Helper()
	time.Sleep(28 * time.Hour)
	err := d.Send(ctx)
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("Send: %v, want %q", err, want)
	}
}

func gunzip(t *testing.T, b []byte) string {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// routeTo is a route with findings.
func routeTo(domain string, findings ...mx.Finding) *mx.Route {
	return &mx.Route{Domain: domain, Findings: findings}
}

var (
	sts  = mx.Finding{Type: "sts", Domain: "a.test", Hosts: []string{"mx1.a.test"}, Text: []string{"version: STSv1", "mode: enforce"}, MX: []string{"*.a.test"}, Enforced: true}
	tlsa = mx.Finding{Type: "tlsa", Domain: "mx1.a.test", Hosts: []string{"mx1.a.test"}, Text: []string{"3 1 1 abcd"}, Enforced: true}
)

func TestMailedReport(t *testing.T) {
	bubble(t, func(t *testing.T, d *desk) {
		wrong := x509.HostnameError{Host: "mx1.a.test", Certificate: &x509.Certificate{DNSNames: []string{"x.test"}}}
		bad := tlsrpt.Outcome{Host: "mx1.a.test", TLS: handshake, Err: wrong, Hello: "mx.x.test\r\nX: y",
			Local: netip.MustParseAddr("9.0.0.1"), Remote: netip.MustParseAddr("::ffff:9.0.0.2")}
		good := tlsrpt.Outcome{Host: "mx1.a.test", TLS: handshake}
		for range 3 {
			d.Record(routeTo("a.test", sts), good, bad)
		}
		d.Record(routeTo("a.test", sts, tlsa), good)
		d.Record(routeTo("a.test"), good, tlsrpt.Outcome{Host: "mx1.a.test", NotOffered: true})
		d.send(t, "")
		if len(d.mails) != 1 || len(d.posts) != 0 {
			t.Fatalf("%d mails, %d posts", len(d.mails), len(d.posts))
		}
		to, text, _ := strings.Cut(d.mails[0], "\n")
		if to != "reports@a.test" || strings.Count(text, "\n") != strings.Count(text, "\r\n") {
			t.Errorf("to %q:\n%s", to, text)
		}
		report := attachment(t, text)
		id := report[strings.Index(report, `"report-id"`)+13:]
		id = id[:strings.IndexByte(id, '"')]
		want := `{"organization-name":"Example Inc.","date-range":{"start-datetime":"2000-01-01T00:00:00Z","end-datetime":"2000-01-01T23:59:59Z"},` +
			`"contact-info":"tls@sender.test","report-id":"` + id + `","policies":[` +
			`{"policy":{"policy-type":"sts","policy-string":["version: STSv1","mode: enforce"],"policy-domain":"a.test","mx-host":["*.a.test"]},` +
			`"summary":{"total-successful-session-count":3,"total-failure-session-count":3},"failure-details":[` +
			`{"result-type":"certificate-host-mismatch","sending-mta-ip":"9.0.0.1","receiving-mx-hostname":"mx1.a.test","receiving-mx-helo":"mx.x.test??X: y","receiving-ip":"9.0.0.2",` +
			`"failed-session-count":3,"failure-reason-code":"x509: certificate is valid for x.test, not mx1.a.test"}]},` +
			`{"policy":{"policy-type":"tlsa","policy-string":["3 1 1 abcd"],"policy-domain":"mx1.a.test","mx-host":["mx1.a.test"]},` +
			`"summary":{"total-successful-session-count":1,"total-failure-session-count":0}},` +
			`{"policy":{"policy-type":"no-policy-found","policy-domain":"a.test"},` +
			`"summary":{"total-successful-session-count":1,"total-failure-session-count":1},"failure-details":[` +
			`{"result-type":"starttls-not-supported","receiving-mx-hostname":"mx1.a.test","failed-session-count":1}]}]}`
		if report != want {
			t.Errorf("report\n%s\nwant\n%s", report, want)
		}
		if !strings.HasPrefix(id, "2000-01-01.") || !strings.HasSuffix(id, "@sender.test") {
			t.Errorf("id %q", id)
		}
		d.send(t, "")
		if len(d.mails) != 1 {
			t.Errorf("the report was sent %d times", len(d.mails))
		}
	})
}

// attachment checks the message and returns the report in it.
func attachment(t *testing.T, text string) string {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"From": "<tls@sender.test>", "To": "<reports@a.test>", "TLS-Report-Domain": "a.test", "TLS-Report-Submitter": "sender.test",
		"TLS-Required": "No", "Date": "Sun, 02 Jan 2000 04:00:00 +0000", "MIME-Version": "1.0",
	} {
		if got := m.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if s := m.Header.Get("Subject"); !strings.HasPrefix(s, "Report Domain: a.test Submitter: sender.test Report-ID: <2000-01-01.") {
		t.Errorf("Subject: %q", s)
	}
	media, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || media != "multipart/report" || params["report-type"] != "tlsrpt" {
		t.Fatalf("Content-Type %q: %v", m.Header.Get("Content-Type"), err)
	}
	for line := range strings.SplitSeq(text, "\r\n") {
		if len(line) > 78 {
			t.Errorf("long line %q", line)
		}
	}
	parts := multipart.NewReader(m.Body, params["boundary"])
	first, err := parts.NextPart()
	if err != nil || !strings.HasPrefix(first.Header.Get("Content-Type"), "text/plain") {
		t.Fatalf("first part %v: %v", first, err)
	}
	second, err := parts.NextPart()
	if err != nil || second.Header.Get("Content-Type") != "application/tlsrpt+gzip" || second.FileName() != "sender.test!a.test!946684800!946771199.json.gz" {
		t.Fatalf("second part %+v: %v", second, err)
	}
	body, err := io.ReadAll(base64.NewDecoder(base64.StdEncoding, second))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parts.NextPart(); err != io.EOF {
		t.Errorf("a third part: %v", err)
	}
	return gunzip(t, body)
}

func TestPostedReport(t *testing.T) {
	bubble(t, func(t *testing.T, d *desk) {
		d.Record(routeTo("web.test"), tlsrpt.Outcome{Host: "mx.web.test", TLS: handshake})
		d.send(t, "")
		if len(d.posts) != 1 || len(d.mails) != 0 {
			t.Fatalf("%d posts, %d mails", len(d.posts), len(d.mails))
		}
		var r tlsrpt.Report
		if err := json.Unmarshal([]byte(gunzip(t, d.posts[0])), &r); err != nil || r.Policies[0].Summary.Successful != 1 {
			t.Errorf("%+v, %v", r, err)
		}
		if got := d.Dialled(); len(got) != 1 || got[0] != "tcp 9.0.0.9:443" {
			t.Errorf("dialled %q", got)
		}
	})
}

// A domain names the place: it must not have us knock at our own doors, follow it around, or send
// the report to somebody else.
func TestPostIsGuarded(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(d *desk)
		want  string
	}{
		"loopback":    {func(d *desk) { d.zone.Load(strings.Replace(webZone, "9.0.0.9", "127.0.0.1", 1)) }, "refused"},
		"redirect":    {func(d *desk) { d.status = 302 }, "302"},
		"error":       {func(d *desk) { d.status = 500 }, "500"},
		"certificate": {func(d *desk) { d.TLS.RootCAs = x509.NewCertPool() }, "x509"},
		"down":        {func(d *desk) { d.Down(true) }, "connection refused"},
		"DNS":         {func(d *desk) { d.zone.Fail("reports.web.test", mxtest.Fault{Rcode: dns.RcodeServerFailure}) }, "SERVFAIL"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *desk) {
				c.spoil(d)
				d.Record(routeTo("web.test"), tlsrpt.Outcome{Host: "mx.web.test", TLS: handshake})
				d.send(t, c.want)
				if n := len(d.Dialled()); name == "loopback" && n != 0 || n > 1 {
					t.Errorf("%d connections", n)
				}
			})
		})
	}
}

const webZone = `
	_smtp._tls.web.test. TXT "v=TLSRPTv1; rua=https://reports.web.test/tls"
	reports.web.test. A 9.0.0.9
`

func TestSendingIsTriedForADay(t *testing.T) {
	bubble(t, func(t *testing.T, d *desk) {
		d.err = errors.New("queue is full")
		d.Record(routeTo("a.test"), tlsrpt.Outcome{Host: "mx1.a.test", TLS: handshake})
		for range 80 {
			time.Sleep(time.Hour)
			d.Send(ctx)
		}
		if n := len(d.mails); n < 20 || n > 30 {
			t.Errorf("%d tries, want those of a day", n)
		}
		if err := d.Send(ctx); err != nil {
			t.Errorf("the report was not given up: %v", err)
		}
	})
}

func TestOnePlaceIsEnough(t *testing.T) {
	bubble(t, func(t *testing.T, d *desk) {
		d.status = 404
		d.Record(routeTo("both.test"), tlsrpt.Outcome{Host: "mx", TLS: handshake})
		d.send(t, "")
		if len(d.mails) != 1 {
			t.Errorf("%d mails", len(d.mails))
		}
	})
}

func TestNothingToSend(t *testing.T) {
	var off *tlsrpt.Reporter
	off.Record(routeTo("a.test"), tlsrpt.Outcome{})
	if err := off.Send(ctx); err != nil {
		t.Error(err)
	}
	if err := new(tlsrpt.Reporter).Send(ctx); err == nil {
		t.Error("a reporter without a name sends")
	}
	bubble(t, func(t *testing.T, d *desk) {
		d.Record(routeTo("web.test", sts))
		d.Record(routeTo("norecord.test"), tlsrpt.Outcome{Host: "x", TLS: handshake})
		d.Record(routeTo("[9.0.0.1]"), tlsrpt.Outcome{Host: "x", TLS: handshake})
		d.Record(routeTo("two.test"), tlsrpt.Outcome{Host: "x", TLS: handshake})
		if err := d.Send(ctx); err != nil {
			t.Error("sent before the day is over")
		}
		d.send(t, "more than one")
		if len(d.mails)+len(d.posts) != 0 {
			t.Errorf("%q %q", d.mails, d.posts)
		}
		d.Mail = nil
		d.Record(routeTo("a.test"), tlsrpt.Outcome{Host: "x", TLS: handshake})
		d.send(t, "Mail is nil")
	})
}

// reported sends and returns the policies of the one report.
func (d *desk) reported(t *testing.T) []*tlsrpt.PolicyResult {
	t.Helper()
	time.Sleep(28 * time.Hour)
	if err := d.Send(ctx); err != nil || len(d.posts) != 1 {
		t.Fatalf("%d posts, %v", len(d.posts), err)
	}
	var r tlsrpt.Report
	if err := json.Unmarshal([]byte(gunzip(t, d.posts[0])), &r); err != nil {
		t.Fatal(err)
	}
	return r.Policies
}

func brief(policies []*tlsrpt.PolicyResult) string {
	var b strings.Builder
	for _, p := range policies {
		fmt.Fprintf(&b, "%s %d/%d", p.Policy.Type, p.Summary.Successful, p.Summary.Failed)
		for _, f := range p.Failures {
			fmt.Fprintf(&b, " %s×%d", f.Type, f.Sessions)
		}
		b.WriteString("; ")
	}
	return strings.TrimSuffix(b.String(), "; ")
}

func TestCounting(t *testing.T) {
	testing_ := sts
	testing_.Enforced = false
	unfetched := mx.Finding{Type: "sts", Domain: "web.test", Result: "sts-policy-fetch-error", Reason: "timeout"}
	stale := sts
	stale.Result, stale.Reason = "sts-policy-fetch-error", "timeout"
	bogus := mx.Finding{Type: "tlsa", Domain: "mx1.a.test", Hosts: []string{"mx1.a.test"}, Result: "dnssec-invalid", Reason: "SERVFAIL"}
	unusable := tlsa
	unusable.Result = "tlsa-invalid"
	good := tlsrpt.Outcome{Host: "mx1.a.test", TLS: handshake}
	failed := func(err error) tlsrpt.Outcome { return tlsrpt.Outcome{Host: "mx1.a.test", TLS: handshake, Err: err} }
	for name, c := range map[string]struct {
		findings []mx.Finding
		outcomes []tlsrpt.Outcome
		want     string
	}{
		"no policy":            {nil, []tlsrpt.Outcome{good}, "no-policy-found 1/0"},
		"plaintext":            {nil, []tlsrpt.Outcome{{Host: "mx1.a.test"}}, "no-policy-found 0/1 starttls-not-supported×1"},
		"expired":              {[]mx.Finding{sts}, []tlsrpt.Outcome{failed(x509.CertificateInvalidError{Reason: x509.Expired})}, "sts 0/1 certificate-expired×1"},
		"not a CA":             {[]mx.Finding{sts}, []tlsrpt.Outcome{failed(x509.CertificateInvalidError{Reason: x509.NotAuthorizedToSign})}, "sts 0/1 certificate-not-trusted×1"},
		"unknown authority":    {[]mx.Finding{sts}, []tlsrpt.Outcome{failed(x509.UnknownAuthorityError{})}, "sts 0/1 certificate-not-trusted×1"},
		"handshake":            {[]mx.Finding{tlsa}, []tlsrpt.Outcome{failed(errors.New("tls: alert"))}, "tlsa 0/1 validation-failure×1"},
		"DANE before MTA-STS":  {[]mx.Finding{tlsa, sts}, []tlsrpt.Outcome{good}, "tlsa 1/0"},
		"the other host":       {[]mx.Finding{tlsa, sts}, []tlsrpt.Outcome{{Host: "mx2.a.test", TLS: handshake}}, "sts 1/0"},
		"testing, no match":    {[]mx.Finding{testing_}, []tlsrpt.Outcome{{Host: "mx2.a.test", TLS: handshake}}, "sts 0/1 validation-failure×1"},
		"testing, good":        {[]mx.Finding{testing_}, []tlsrpt.Outcome{good}, "sts 1/0"},
		"policy not fetched":   {[]mx.Finding{unfetched}, []tlsrpt.Outcome{good}, "sts 0/1 sts-policy-fetch-error×1; no-policy-found 1/0"},
		"policy not refreshed": {[]mx.Finding{stale}, []tlsrpt.Outcome{good}, "sts 1/0 sts-policy-fetch-error×1"},
		"bogus TLSA":           {[]mx.Finding{bogus}, nil, "tlsa 0/1 dnssec-invalid×1"},
		"unusable TLSA":        {[]mx.Finding{unusable}, []tlsrpt.Outcome{good}, "tlsa 1/0 tlsa-invalid×1"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *desk) {
				d.Record(routeTo("web.test", c.findings...), c.outcomes...)
				if got := brief(d.reported(t)); got != c.want {
					t.Errorf("got %s, want %s", got, c.want)
				}
			})
		})
	}
}

// In testing mode nobody has verified the certificate: the reporter does.
func TestTestingModeIsJudged(t *testing.T) {
	bubble(t, func(t *testing.T, d *desk) {
		policy := mx.Finding{Type: "sts", Domain: "web.test", Hosts: []string{"reports.web.test", "x.web.test"}, Text: []string{"mode: testing"}}
		conn, err := d.Server.Dial(ctx, "tcp", "")
		if err != nil {
			t.Fatal(err)
		}
		c := tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		state := c.ConnectionState()
		c.Close()
		d.Reporter.Roots = d.Server.Roots
		d.Record(routeTo("web.test", policy), tlsrpt.Outcome{Host: "reports.web.test", TLS: &state}, tlsrpt.Outcome{Host: "x.web.test", TLS: &state})
		if got := brief(d.reported(t)); got != "sts 1/1 certificate-host-mismatch×1" {
			t.Errorf("got %s", got)
		}
	})
}

func TestBounds(t *testing.T) {
	bubble(t, func(t *testing.T, d *desk) {
		d.Limit = 3
		for i := range 10 {
			d.Record(routeTo(fmt.Sprintf("x%d.test", i)), tlsrpt.Outcome{Host: "mx", TLS: handshake})
		}
		d.send(t, "")
		for i := range 1000 {
			f := mx.Finding{Type: "tlsa", Domain: "mx.web.test", Hosts: []string{"mx.web.test"}, Text: []string{fmt.Sprintf("3 1 1 %d", i/10)}}
			d.Record(routeTo("web.test", f), tlsrpt.Outcome{Host: "mx.web.test", TLS: handshake, Err: fmt.Errorf("error %d %s", i, strings.Repeat("x", 1000))})
		}
		for i := range 1000 {
			d.Record(routeTo("web.test"), tlsrpt.Outcome{Host: "mx.web.test", NotOffered: true, Hello: fmt.Sprint(i)})
		}
		policies := d.reported(t)
		var sessions, details int64
		for _, p := range policies {
			sessions += p.Summary.Failed
			var sum int64
			for _, f := range p.Failures {
				sum += f.Sessions
				details++
				if len(f.Reason) > 200 {
					t.Errorf("a reason of %d octets", len(f.Reason))
				}
			}
			if sum != p.Summary.Failed {
				t.Errorf("details sum up to %d, want %d", sum, p.Summary.Failed)
			}
		}
		if len(policies) != 20 || sessions != 2000 || details > 1000 {
			t.Errorf("%d policies, %d sessions, %d details", len(policies), sessions, details)
		}
	})
}

// Hostile domains together cannot take more than the bound.
func TestMemoryIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T, d *desk) {
		long := strings.Repeat("x", 60000)
		for i := range 3000 {
			f := mx.Finding{Type: "sts", Domain: "web.test", Text: []string{fmt.Sprint(i), long}, Enforced: true}
			d.Record(routeTo(fmt.Sprintf("d%d.test", i/2), f), tlsrpt.Outcome{Host: "mx", TLS: handshake})
		}
		d.Record(routeTo("web.test"), tlsrpt.Outcome{Host: "mx", TLS: handshake})
		d.send(t, "") // forgets all of them
		if n := strings.Count(strings.Join(d.zone.Asked(), " "), "_smtp._tls.d"); n < 400 || n > 600 {
			t.Errorf("%d domains were counted, want about 64 MB of 120 KB each", n)
		}
		d.Record(routeTo("web.test"), tlsrpt.Outcome{Host: "mx", TLS: handshake})
		d.posts = nil
		if got := brief(d.reported(t)); got != "no-policy-found 1/0" {
			t.Errorf("after the bound was reached: %s", got)
		}
	})
}

func ExampleReporter() {
	reporter := &tlsrpt.Reporter{
		Organization: "Example Inc.", Contact: "tls-reports@example.com",
		Resolver: mxtest.MustParse(`_smtp._tls.example.net. TXT "v=TLSRPTv1; rua=mailto:tls@example.net"`),
		Mail: func(_ context.Context, to string, message []byte) error {
			fmt.Println("a report for", to) // sign and send it
			return nil
		},
	}
	route := &mx.Route{Domain: "example.net"} // of mx.Router
	reporter.Record(route, tlsrpt.Outcome{Host: "mx1.example.net", NotOffered: true})
	fmt.Println(reporter.Send(context.Background())) // the day is not over
	// Output: <nil>
}

func ExampleReport() {
	day := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	report := &tlsrpt.Report{Contact: "tls-reports@example.com", Domain: "example.net",
		Dates: tlsrpt.DateRange{Start: day, End: day.Add(24*time.Hour - time.Second)}}
	fmt.Println(report.Filename())
	// Output: example.com!example.net!1795392000!1795478399.json.gz
}

func ExampleClassify() {
	fmt.Println(tlsrpt.Classify(x509.UnknownAuthorityError{}), tlsrpt.Classify(errors.New("tls: protocol error")))
	// Output: certificate-not-trusted validation-failure
}
