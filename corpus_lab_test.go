package postrider

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/postrider/postrider/dkim"
	"github.com/postrider/postrider/smtp"
)

// The corpus goes through real servers into a mailbox, and arrives octet for octet.
func TestLabCorpus(t *testing.T) {
	if os.Getenv("LAB_DIR") == "" {
		t.Skip("lab is not running: see .ci/lab/README.md")
	}
	var signer dkim.Signer
	for selector, variable := range map[string]string{"rsa": "LAB_DKIM_RSA", "ed": "LAB_DKIM_ED25519"} {
		key, err := dkim.LoadKey(os.Getenv(variable))
		if err != nil {
			t.Fatal(err)
		}
		signer.Keys = append(signer.Keys, dkim.Key{Domain: "example.test", Selector: selector, Signer: key})
	}
	for name, variable := range map[string]string{"postfix": "LAB_POSTFIX", "exim": "LAB_EXIM"} {
		t.Run(name, func(t *testing.T) {
			user := fmt.Sprintf("t-corpus.%s.%d", name, time.Now().UnixNano())
			sent := sendCorpus(t, os.Getenv(variable), user+"@"+name+".example.test", signer)
			for i, raw := range arrived(t, user, len(sent)) {
				if sent[i] == nil {
					t.Fatalf("mail %d arrived, but was not sent", i)
				}
				n := corpus()[i].name
				if !bytes.HasSuffix(raw, sent[i]) {
					t.Errorf("%s arrived as\n%q\nwant\n%q", n, cut(raw), cut(sent[i]))
				}
				if name == "postfix" && slices.Contains(verified, n) {
					verify(t, n, raw)
				}
			}
		})
	}
}

// verified are the cases that verifiers of other languages judge too; go-msgauth judges them all.
var verified = []string{"subject-spaces", "header-one-click", "to-200", "smtputf8-text", "text-trailing-space", "text-every-octet", "file-chinese-long", "tree-full"}

func verify(t *testing.T, name string, raw []byte) {
	t.Helper()
	file := filepath.Join(t.TempDir(), name+".eml")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), filepath.Join(".ci", "lab", "lab"), "verify-dkim", file).CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", name, err, out)
	}
}

func cut(b []byte) []byte { return b[:min(len(b), 4000)] }

// sendCorpus sends each case to one mailbox, whatever stands in its header, and returns what it sent.
func sendCorpus(t *testing.T, server, mailbox string, signer Signer) (sent [][]byte) {
	host, port, err := net.SplitHostPort(server)
	if err != nil {
		t.Fatal(err)
	}
	n, _ := strconv.Atoi(port)
	var pool smtp.Pool
	defer pool.Close(context.Background())
	relay := &Relay{Host: host, Port: uint16(n), Security: smtp.Plaintext, Pool: &pool}
	for i, c := range corpus() {
		m := c.message()
		m.From.Address, m.MessageID = "ada@example.test", fmt.Sprintf("%d.corpus@example.test", i)
		done, err := m.compose(t.Context(), signer)
		if err != nil {
			t.Fatal(err)
		}
		e := done.envelope("ada@example.test", smtp.Addresses(mailbox), false)
		r, err := done.open()
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := b.ReadFrom(r); err != nil {
			t.Fatal(err)
		}
		sent = append(sent, b.Bytes())
		for _, result := range relay.Deliver(t.Context(), e) {
			if result.Err != nil {
				t.Errorf("%s: %v", c.name, result.Err)
			}
		}
		r.Close()
		done.close()
	}
	return sent
}

// arrived reads the mails of a mailbox from its Maildir, when n of them are there, by the number in their
// Message-ID. The store keeps lines with LF.
func arrived(t *testing.T, user string, n int) map[int][]byte {
	t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	var files []string
	for range 600 {
		files, _ = filepath.Glob(filepath.Join(os.Getenv("LAB_MAIL"), user, "Maildir", "new", "*"))
		if len(files) >= n {
			break
		}
		<-tick.C
	}
	if len(files) != n {
		t.Errorf("%d mails arrived, %d were sent", len(files), n)
	}
	all := map[int][]byte{}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := bytes.Cut(raw, []byte("\nMessage-ID: <"))
		number, _, _ := bytes.Cut(rest, []byte("."))
		i, err := strconv.Atoi(string(number))
		if err != nil {
			t.Fatalf("a mail of somebody else: %q", cut(raw))
		}
		all[i] = bytes.ReplaceAll(bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
	}
	return all
}
