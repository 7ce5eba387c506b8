//go:build linux

package main

import (
	"bufio"
	"bytes"
	"io"
	"net/netip"
	"strings"
	"testing"

	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/smtp/smtptest"
)

// What the relay has accepted arrives, signed, and nothing is left when it ends.
func TestRelay(t *testing.T) {
	far := (&smtptest.Server{}).Start()
	defer far.Close()
	control, hangUp := io.Pipe()
	lines, out := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- relay("127.0.0.1:0", far.Addr(), t.TempDir(), control, out) }()
	read := bufio.NewReader(lines)
	line, err := read.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}

	const message = "From: <" + sender + ">\r\nTo: <" + recipient + ">\r\nSubject: relay\r\n\r\nHello.\r\n"
	pool := new(smtp.Pool)
	to := &smtp.Server{Host: "relay", Addrs: []netip.AddrPort{netip.MustParseAddrPort(strings.TrimSpace(line))}, Security: smtp.Plaintext}
	for _, r := range pool.Deliver(t.Context(), to, &smtp.Envelope{From: sender, To: smtp.Addresses(recipient), Size: int64(len(message)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(message)), nil }}) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	m := smtptest.Expect(t, far, 1)[0]
	if m.From != sender || len(m.To) != 1 || m.To[0] != recipient {
		t.Errorf("from %s to %s", m.From, m.To)
	}
	if got := m.Field("DKIM-Signature"); !strings.Contains(got, "a=ed25519-sha256") || !strings.Contains(got, "d=client.example.test") {
		t.Errorf("signature %q", got)
	}
	if !bytes.HasSuffix(m.Data, []byte("\r\n\r\nHello.\r\n")) {
		t.Errorf("%q", m.Data)
	}
	if err := pool.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := io.WriteString(hangUp, "20 1000 4\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := read.ReadString('\n'); line != "20\n" || err != nil {
		t.Errorf("accepted %q, %v", line, err)
	}
	if _, err := far.Wait(t.Context(), 21); err != nil { // late is not lost: the runner asks the store now and then
		t.Error(err)
	}
	hangUp.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestCounters(t *testing.T) {
	s := new(sink)
	c := &counters{sink: s}
	for _, p := range []string{"sess=1 quit=0 me", "sg=3\rsess=1 quit=0 mesg=12\rsess=2 quit=1 mesg=1"} {
		if n, err := c.Write([]byte(p)); n != len(p) || err != nil {
			t.Fatal(n, err)
		}
	}
	if n := s.count.Load(); n != 12 {
		t.Errorf("counted %d", n)
	}
}
