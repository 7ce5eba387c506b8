package dsn_test

import (
	"bytes"
	"fmt"
	gosmtp "net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/smtp/dsn"
)

// maildir is the new mail of a user of the lab. It is read from the disk, for the program "lab imap"
// stumbles over literals in a BODYSTRUCTURE.
func maildir(t *testing.T, user string) []*dsn.Report {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(os.Getenv("LAB_MAIL"), user, "Maildir", "[nc]*", "*lab*")) // new and cur: in tmp a message is being written
	if err != nil {
		t.Fatal(err)
	}
	var all []*dsn.Report
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		r, err := dsn.Parse(f)
		f.Close()
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		all = append(all, r)
	}
	return all
}

// waitFor polls the maildir, for real servers have no other way to tell.
func waitFor(t *testing.T, user string, want int, about string) []*dsn.Report {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); ; {
		var ours []*dsn.Report
		for _, r := range maildir(t, user) {
			if r.ReturnedField("Message-ID") == about {
				ours = append(ours, r)
			}
		}
		if len(ours) >= want {
			return ours
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %d reports about %s, want %d", user, len(ours), about, want)
		}
		<-tick.C
	}
}

// TestLabBounces has Postfix and Exim write reports, of success by NOTIFY and of failure by mail that goes
// nowhere, and reads them.
func TestLabBounces(t *testing.T) {
	if os.Getenv("LAB_DIR") == "" {
		t.Skip("lab is not running: see .ci/lab/README.md")
	}
	for _, test := range []struct{ server, address, domain, sendmail string }{
		{"postfix", os.Getenv("LAB_POSTFIX"), "postfix.example.test", "sendmail"},
		{"exim", os.Getenv("LAB_EXIM"), "exim.example.test", "exim4"},
	} {
		t.Run(test.server, func(t *testing.T) {
			user := "t-smtpkit-dsn-" + test.server
			id := fmt.Sprintf("<%d@%s>", time.Now().UnixNano(), test.domain)
			mail := "From: " + user + "@" + test.domain + "\r\nSubject: a report, please\r\nMessage-ID: " + id + "\r\n\r\nhi\r\n"
			success(t, test.address, user+"@"+test.domain, "t-smtpkit-other@"+test.domain, mail)
			cmd := exec.Command("../../.ci/lab/lab", "exec", test.sendmail, "-f", user+"@"+test.domain, "one@nowhere.invalid")
			cmd.Stdin = strings.NewReader(strings.ReplaceAll(mail, "\r\n", "\n"))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			actions := map[dsn.Action]dsn.Recipient{}
			for _, r := range waitFor(t, user, 2, id) {
				if r.Guessed || r.ReportingMTA == "" || r.To != user+"@"+test.domain || len(r.Recipients) != 1 {
					t.Errorf("%+v", r)
				}
				actions[r.Recipients[0].Action] = r.Recipients[0]
			}
			if r := actions[dsn.Delivered]; r.Address != "t-smtpkit-other@"+test.domain || r.Original != "asked@example.test" || r.Status[0] != 2 {
				t.Errorf("delivered: %+v", r)
			}
			if r := actions[dsn.Failed]; r.Address != "one@nowhere.invalid" || r.Status[0] != 5 {
				t.Errorf("failed: %+v", r)
			}
		})
	}
}

func success(t *testing.T, address, from, to, mail string) {
	t.Helper()
	c, err := gosmtp.Dial(address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Hello("client.example.test"); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"MAIL FROM:<" + from + "> RET=HDRS ENVID=env-7", "RCPT TO:<" + to + "> NOTIFY=SUCCESS ORCPT=rfc822;asked@example.test"} {
		id, err := c.Text.Cmd("%s", line)
		if err != nil {
			t.Fatal(err)
		}
		c.Text.StartResponse(id)
		_, _, err = c.Text.ReadResponse(250)
		c.Text.EndResponse(id)
		if err != nil {
			t.Fatal(err)
		}
	}
	w, err := c.Data()
	if err != nil {
		t.Fatal(err)
	}
	w.Write([]byte(mail))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	c.Quit()
}

// TestLabReadsOurs has the lab's MIME reader look at what we write.
func TestLabReadsOurs(t *testing.T) {
	if os.Getenv("LAB_DIR") == "" {
		t.Skip("lab is not running: see .ci/lab/README.md")
	}
	for name, r := range reports() {
		file := filepath.Join(t.TempDir(), name+".eml")
		if err := os.WriteFile(file, write(t, r), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("../../.ci/lab/lab", "parse-mime", file).Output()
		if err != nil || !bytes.Contains(out, []byte("multipart/report")) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}
