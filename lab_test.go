package postrider_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/dkim"
	"github.com/postrider/postrider/mx"
	"github.com/postrider/postrider/smtp"
)

// lab runs a command of the lab's program and returns what it printed.
func lab(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(".ci", "lab", "lab"), args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("lab %s: %v\n%s%s", strings.Join(args, " "), err, out, stderr.Bytes())
	}
	return out
}

func needLab(t *testing.T) {
	t.Helper()
	if os.Getenv("LAB_DIR") == "" {
		t.Skip("lab is not running: see .ci/lab/README.md")
	}
}

// mailbox makes the name of a mailbox that only this test uses.
func mailbox(t *testing.T) string {
	name := strings.ToLower(strings.NewReplacer("/", ".", "_", "-").Replace(strings.TrimPrefix(t.Name(), "TestLab")))
	return fmt.Sprintf("t-%s.%d", name, time.Now().UnixNano())
}

// fetch reads the one mail of a mailbox over IMAP, waiting for it to arrive.
func fetch(t *testing.T, user string) []byte {
	t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for range 100 {
		var mails []struct{ Raw string }
		if err := json.Unmarshal(lab(t, "imap", user, "--raw"), &mails); err != nil {
			t.Fatal(err)
		}
		if len(mails) > 0 {
			raw, err := base64.StdEncoding.DecodeString(mails[0].Raw)
			if err != nil || len(mails) > 1 {
				t.Fatalf("%d mails, %v", len(mails), err)
			}
			return raw
		}
		<-tick.C
	}
	t.Fatalf("no mail for %s", user)
	return nil
}

// labSigner signs with both of the lab's keys.
func labSigner(t *testing.T) *dkim.Signer {
	s := &dkim.Signer{}
	for selector, variable := range map[string]string{"rsa": "LAB_DKIM_RSA", "ed": "LAB_DKIM_ED25519"} {
		key, err := dkim.LoadKey(os.Getenv(variable))
		if err != nil {
			t.Fatal(err)
		}
		s.Keys = append(s.Keys, dkim.Key{Domain: "example.test", Selector: selector, Signer: key})
	}
	return s
}

func labTLS(t *testing.T) *tls.Config {
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

func labDirect(t *testing.T) *postrider.Direct {
	return &postrider.Direct{
		Hello: "client.example.test",
		TLS:   labTLS(t),
		Router: &mx.Router{
			Resolver: &mx.DNS{Servers: []string{os.Getenv("LAB_RESOLVER")}},
			Allow:    []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		},
	}
}

func labRelay(t *testing.T, variable string, security smtp.Security) *postrider.Relay {
	_, port, err := net.SplitHostPort(os.Getenv(variable))
	if err != nil {
		t.Fatal(err)
	}
	n, _ := strconv.Atoi(port)
	return &postrider.Relay{Host: "mx1.example.test", Port: uint16(n), Security: security, TLS: labTLS(t), Hello: "client.example.test",
		Auth: &smtp.Auth{Username: "alice", Password: "wonderland"}, Pool: &smtp.Pool{Hello: "client.example.test", Dial: dialTo(os.Getenv(variable))}}
}

// labMessage has one of everything.
func labMessage(to string) *postrider.Message {
	picture := bytes.Repeat([]byte{0x89, 'P', 'N', 'G', 0, 255}, 3000)
	return &postrider.Message{
		From:    postrider.Addr("Ada Løvelace", "ada@example.test"),
		To:      []postrider.Address{postrider.Addr("Bob 用户", to)},
		Bcc:     []postrider.Address{postrider.Addr("", "t-secret@example.test")},
		ReplyTo: []postrider.Address{postrider.Addr("", "answers@example.test")},
		Subject: "Grüße aus dem Labor — 実験室からのご挨拶 und noch etwas mehr, damit gefaltet wird",
		Text:    "Hallo,\n.\n.ein Punkt am Anfang\nund Umlaute: äöü\n",
		HTML:    `<p>Hallo <b>Bob</b></p><img alt="" src="cid:picture@example.test">`,
		Header:  postrider.Header{{Name: "X-Campaign", Value: "lab"}},
		Attachments: []postrider.Attachment{
			{Name: "picture.png", ContentType: "image/png", ContentID: "picture@example.test", Inline: true, Size: int64(len(picture)), Open: postrider.Bytes("", picture).Open},
			postrider.Bytes("Übersicht 2026.csv", []byte("a;b\r\n1;2\r\n")),
			postrider.FileFS(fstest.MapFS{"report.bin": {Data: bytes.Repeat([]byte("\x00\xff\r\n."), 5000)}}, "report.bin"),
		},
		Unsubscribe: &postrider.Unsubscribe{URL: "https://example.test/u/opaque"},
	}
}

// A message with one of everything goes to each server by each way, comes back unharmed, and others verify it.
func TestLabDelivers(t *testing.T) {
	needLab(t)
	ways := []struct {
		name, domain string
		transport    func(t *testing.T) postrider.Transport
		ownMIME      bool
	}{
		{name: "direct/postfix", domain: "postfix.example.test", transport: func(t *testing.T) postrider.Transport { return labDirect(t) }},
		{name: "direct/exim", domain: "exim.example.test", transport: func(t *testing.T) postrider.Transport { return labDirect(t) }},
		{name: "direct/opensmtpd", domain: "opensmtpd.example.test", transport: func(t *testing.T) postrider.Transport { return labDirect(t) }},
		{name: "direct/multi", domain: "multi.test", transport: func(t *testing.T) postrider.Transport { return labDirect(t) }},
		{name: "submission", domain: "example.test", transport: func(t *testing.T) postrider.Transport { return labRelay(t, "LAB_POSTFIX_SUBMISSION", smtp.StartTLS) }},
		{name: "smtps", domain: "example.test", transport: func(t *testing.T) postrider.Transport { return labRelay(t, "LAB_POSTFIX_SMTPS", smtp.ImplicitTLS) }},
	}
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			user := mailbox(t)
			client := &postrider.Client{Transport: way.transport(t), Signer: labSigner(t)}
			defer client.Close(t.Context())
			m := labMessage(user + "@" + way.domain)
			m.Bcc = nil
			receipt, err := client.Send(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s: %s", receipt.Results[0].Host, receipt.Results[0].Reply)
			file := filepath.Join(t.TempDir(), "arrived.eml")
			if err := os.WriteFile(file, fetch(t, user), 0o600); err != nil {
				t.Fatal(err)
			}
			t.Logf("%s", lab(t, "verify-dkim", file))
			checkTree(t, lab(t, "parse-mime", file), m, receipt)
		})
	}
}

// tree is a MIME part as Python's email package sees it.
type labTree struct {
	Type, Filename, Text, SHA256 string
	Disposition                  string
	ContentID                    string `json:"content_id"`
	Defects                      []string
	BareLF                       int `json:"bare_lf"`
	LongestLine                  int `json:"longest_line"`
	Headers                      []struct {
		Name, Value string
		Defects     []string
	}
	Parts []labTree
}

func (n *labTree) leaves() (all []*labTree) {
	if len(n.Parts) == 0 {
		return []*labTree{n}
	}
	for i := range n.Parts {
		all = append(all, n.Parts[i].leaves()...)
	}
	return all
}

func (n *labTree) defects() (all []string) {
	all = slices.Clone(n.Defects)
	for _, h := range n.Headers {
		all = append(all, h.Defects...)
	}
	for i := range n.Parts {
		all = append(all, n.Parts[i].defects()...)
	}
	return all
}

func (n *labTree) header(name string) string {
	for _, h := range n.Headers {
		if strings.EqualFold(h.Name, name) {
			return h.Value
		}
	}
	return ""
}

// checkTree compares what arrived with what was sent.
func checkTree(t *testing.T, parsed []byte, m *postrider.Message, receipt *postrider.Receipt) {
	t.Helper()
	var root labTree
	if err := json.Unmarshal(parsed, &root); err != nil {
		t.Fatal(err)
	}
	if d := root.defects(); len(d) > 0 {
		t.Errorf("defects: %v", d)
	}
	for name, want := range map[string]string{"Subject": m.Subject, "X-Campaign": "lab", "Bcc": "", "Message-ID": "<" + receipt.MessageID + ">"} {
		if got := root.header(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	leaves := root.leaves()
	var types []string
	for _, l := range leaves {
		types = append(types, l.Type)
	}
	if got, want := strings.Join(types, " "), "text/plain text/html image/png text/csv application/octet-stream"; got != want {
		t.Fatalf("parts %q, want %q", got, want)
	}
	if got := strings.ReplaceAll(leaves[0].Text, "\r\n", "\n"); got != m.Text {
		t.Errorf("text %q", got)
	}
	if got := strings.TrimSuffix(leaves[1].Text, "\n"); got != m.HTML {
		t.Errorf("HTML %q", got)
	}
	for i, a := range m.Attachments {
		leaf := leaves[2+i]
		if leaf.Filename != a.Name || leaf.SHA256 != digest(t, a) {
			t.Errorf("attachment %q arrived as %q with digest %s", a.Name, leaf.Filename, leaf.SHA256)
		}
	}
	if leaves[2].ContentID != "<picture@example.test>" || leaves[2].Disposition != "inline" {
		t.Errorf("picture: %q, %q", leaves[2].ContentID, leaves[2].Disposition)
	}
}

func digest(t *testing.T, a postrider.Attachment) string {
	r, err := a.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(r); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b.Bytes())
	return hex.EncodeToString(sum[:])
}

// One refused recipient does not stop the others, and the caller learns why.
func TestLabPartial(t *testing.T) {
	needLab(t)
	user := mailbox(t)
	client := &postrider.Client{Transport: labDirect(t)}
	defer client.Close(t.Context())
	m := labMessage(user + "@postfix.example.test")
	m.Cc = []postrider.Address{postrider.Addr("", "reject@postfix.example.test"), postrider.Addr("", "later@exim.example.test"), postrider.Addr("", "bob@null.test")}
	m.Bcc = nil
	receipt, err := client.Send(t.Context(), m)
	if receipt == nil {
		t.Fatal(err)
	}
	want := []string{"delivered final", "permanent rcpt 550 5.1.1", "temporary rcpt", "permanent route"}
	for i, r := range receipt.Results {
		got := fmt.Sprint(postrider.Classify(r).Fate, " ", r.Phase, " ", r.Reply)
		if !strings.HasPrefix(got, want[i]) {
			t.Errorf("%s: %s (%v), want %s", r.Recipient, got, r.Err, want[i])
		}
	}
	fetch(t, user)
}
