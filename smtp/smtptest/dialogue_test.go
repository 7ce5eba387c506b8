package smtptest_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/smtp/smtptest"
)

func newReader(c net.Conn) *bufio.Reader { return bufio.NewReader(c) }

func TestDialogue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dial := smtptest.Dialogue(t, nil, "testdata/dialogue.smtp")
		raw, err := dial(t.Context(), "tcp", "mx.example.test:25")
		if err != nil {
			t.Fatal(err)
		}
		c := &client{t, raw, newReader(raw)}
		c.want("", "220 mx")
		c.want("EHLO a.test\r\n", "250-mx|250 PIPELINING")
		c.want("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 4 LAST\r\nhi\r\n", "250 ok", "250 ok", "250 ok")
		begin := time.Now()
		c.want("QUIT\r\n", "221 bye")
		if d := time.Since(begin); d != 5*time.Minute {
			t.Errorf("waited %v, want 5m", d)
		}
		c.Close()
		if _, err := dial(t.Context(), "tcp", "mx.example.test:25"); err == nil {
			t.Error("the second connection is to be refused")
		}
		c = &client{t: t}
		c.Conn, err = dial(context.Background(), "tcp", "mx.example.test:25")
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(c); string(b) != "421 x\n" || err != nil {
			t.Errorf("%q, %v", b, err)
		}
	})
}

// TestPlayComplains plays against clients that depart from the dialogue.
func TestPlayComplains(t *testing.T) {
	for _, test := range []struct{ script, say, complaint string }{
		{"C: NOOP\n", "RSET\r\n", `:1: client sent "RSET", want "NOOP"`},
		{"C: NOOP\n", "NOOP\n", "without CR"},
		{"C~ EHLO [a-z]+\n", "EHLO 1\r\n", "want"},
		{"# two\nC= \"ab\\r\\n\"\n", "ac\r\n", `:2: client sent "ac\r\n"`},
		{"C: BDAT 5\nBODY\n", "BDAT 5\r\nabc", "body was cut"},
		{"C: DATA\nBODY\n", "DATA\r\na\r\n", "body was cut"},
		{"EOF\n", "more", `client sent "more"`},
		{"C: QUIT\n", "", "ended"},
		{"What\n", "", "unknown step"},
		{"WAIT soon\n", "", "invalid duration"},
	} {
		file := filepath.Join(t.TempDir(), "x.smtp")
		if err := os.WriteFile(file, []byte(test.script), 0o600); err != nil {
			t.Fatal(err)
		}
		client, server := net.Pipe()
		go func() {
			fmt.Fprint(client, test.say)
			client.Close()
		}()
		err := smtptest.Play(server, nil, file)
		server.Close()
		if err == nil || !strings.Contains(err.Error(), test.complaint) {
			t.Errorf("%q: %v, want %s", test.script, err, test.complaint)
		}
	}
}
