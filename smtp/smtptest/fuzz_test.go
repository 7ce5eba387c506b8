package smtptest_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/smtp/smtptest"
)

// FuzzServer says anything to the server, in one write or octet by octet, and then hangs up. The server ends, what
// it kept is a message by its own rules, and whatever is no SMTP is told as a violation.
func FuzzServer(f *testing.F) {
	for _, seed := range []string{
		"EHLO a.test\r\nMAIL FROM:<a@b.test> SIZE=5 BODY=8BITMIME\r\nRCPT TO:<c@d.test> NOTIFY=NEVER\r\nBDAT 3\r\na\r\nBDAT 5 LAST\r\n.\r\n\r\nRSET\r\nQUIT\r\n",
		"EHLO a.test\r\nMAIL FROM:<> ENVID=a+20b RET=HDRS SMTPUTF8\r\nRCPT TO:<\"q q\"@[192.0.2.1]> ORCPT=rfc822;x\r\nDATA\r\n..\r\n.a\r\n.\r\n",
		"LHLO [IPv6:::1]\r\nMAIL FROM:<a@b>\r\nRCPT TO:<postmaster>\r\nRCPT TO:<c@d>\r\nDATA\r\na\n\r\n.\r\n",
		"EHLO a\r\nAUTH PLAIN AGFkYQBzZWNyZXQ=\r\nAUTH LOGIN\r\nYWRh\r\nc2VjcmV0\r\nAUTH SCRAM-SHA-256\r\n*\r\nSTARTTLS\r\n\x16\x03\x01",
		"HELO a\nBDAT 99999999999999999999 LAST\r\n", "BDAT -1\r\n", "\r\n", "NOOP\r\nVRFY x\r\nHELP\r\n",
	} {
		f.Add([]byte(seed), false, false)
		f.Add([]byte(seed), true, true)
	}
	ca := smtptest.NewCA()
	f.Fuzz(func(t *testing.T, said []byte, lmtp, octets bool) {
		synctest.Test(t, func(t *testing.T) {
			s := (&smtptest.Server{Listener: smtptest.NewPipe(), CA: ca, LMTP: lmtp, Record: true, MaxSize: 1 << 20,
				Users: map[string]string{"ada": "secret"}, Tokens: map[string]string{"ada": "token"},
				Mechanisms: []string{"PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256", "XOAUTH2", "OAUTHBEARER", "EXTERNAL"}}).Start()
			c, err := s.Dial(context.Background(), "tcp", "")
			if err != nil {
				t.Fatal(err)
			}
			go io.Copy(io.Discard, c)
			for piece := said; len(piece) > 0; {
				n := len(piece)
				if octets {
					n = 1
				}
				if _, err := c.Write(piece[:n]); err != nil {
					break // the server has hung up
				}
				piece = piece[n:]
			}
			c.Close()
			synctest.Wait()
			s.Close()
			for _, m := range s.Messages() {
				if len(m.To) == 0 || len(m.To) != len(m.RcptParams) || len(m.Data) > 1<<20 || m.Hello == "" || m.Params["BODY"] != "BINARYMIME" && len(m.Data) > 0 && !strings.HasSuffix(string(m.Data), "\r\n") {
					t.Errorf("kept %+v of %q", m, said)
				}
			}
			if len(s.Messages()) == 0 && strings.Contains(s.Transcript(), " 5") && len(s.Violations()) > 100 {
				t.Errorf("%d violations are kept", len(s.Violations()))
			}
		})
	})
}

// FuzzPlay plays any file against a client that says anything. It is refused as a whole or played to an end.
func FuzzPlay(f *testing.F) {
	files, err := filepath.Glob("../testdata/dialogue/*.smtp")
	if err != nil || len(files) == 0 {
		f.Fatal("no dialogues: ", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text), "EHLO c.test\r\n")
	}
	f.Add("S= \"220 \\x00\\n\"\nC~ (a|b)+\nWAIT 5m\nC= \"a\"\nBODY 3\nBODY\nEOF\nSTALL\nREFUSE", "aab\r\naxyz.\r\n.\r\n")
	f.Add("C: BDAT 3 LAST\nBODY\nS: 250 ok\nDROP", "BDAT 3 LAST\r\nabc")
	file := filepath.Join(f.TempDir(), "fuzz.smtp")
	f.Fuzz(func(t *testing.T, script, said string) {
		if strings.Contains(script, "WAIT") && strings.ContainsAny(script, "hµ") || strings.Contains(script, "TLS") {
			return // a bubble cannot wait for a hundred years, and TLS is not this test's
		}
		if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
			t.Fatal(err)
		}
		synctest.Test(t, func(t *testing.T) {
			pipe := smtptest.NewPipe()
			go func() {
				c, err := pipe.Dial(context.Background(), "tcp", "")
				if err != nil {
					return
				}
				go io.Copy(io.Discard, c)
				io.WriteString(c, said)
				time.Sleep(time.Second)
				c.Close()
			}()
			c, err := pipe.Accept()
			if err != nil {
				t.Fatal(err)
			}
			err = smtptest.Play(c, nil, file)
			if _, open := c.Write(nil); open == nil {
				if _, open = c.Read(make([]byte, 1)); open == nil {
					t.Errorf("the connection is open after %v", err)
				}
			}
			if err != nil && !strings.Contains(fmt.Sprint(err), "fuzz.smtp:") {
				t.Errorf("%v: no line of the file is named", err)
			}
			c.Close()
			time.Sleep(time.Minute)
		})
	})
}

// FuzzParts reads the MIME tree of anything.
func FuzzParts(f *testing.F) {
	f.Add([]byte("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\na\r\n--b\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename*=utf-8''x\r\n\r\niVBO\r\n--b--\r\n"))
	f.Add([]byte("Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na=3Db=\r\n"))
	f.Add([]byte("Content-Type: multipart/mixed; boundary=\r\n\r\n"))
	f.Add([]byte("Content-Type: ;\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m := &smtptest.Message{Data: data}
		parts, err := m.Parts()
		total := 0
		for _, p := range parts {
			if p.Type == "" && err == nil {
				t.Errorf("a part without a type: %+v", p)
			}
			total += len(p.Body)
		}
		if total > len(data) {
			t.Errorf("%d octets of parts in a message of %d", total, len(data))
		}
		if text, html := m.Text(), m.HTML(); err != nil && text+html != "" {
			t.Errorf("%v, though %q and %q are read", err, text, html)
		}
		m.Field("Subject")
	})
}
