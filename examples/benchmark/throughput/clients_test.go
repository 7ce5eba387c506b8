package main

import (
	"bytes"
	"testing"

	"github.com/postrider/postrider/smtp/smtptest"
)

// Each client sends as many messages as it shall, over one connection, and whole.
func TestClients(t *testing.T) {
	for _, name := range []string{"postrider-1", "postrider-16", "floor"} {
		t.Run(name, func(t *testing.T) {
			s := (&smtptest.Server{}).Start()
			defer s.Close()
			if err := runClient(name, s.Addr(), 40, 10<<10, ""); err != nil {
				t.Fatal(err)
			}
			for _, m := range smtptest.Expect(t, s, 40) {
				if !bytes.Equal(m.Data, message(10<<10)) || m.From != sender || len(m.To) != 1 || m.To[0] != recipient {
					t.Fatalf("from %s to %s: %d octets", m.From, m.To, len(m.Data))
				}
			}
			if n := s.Sessions(); n != 1 {
				t.Errorf("%d connections", n)
			}
		})
	}
	if err := runClient("nobody", "", 1, 1, ""); err == nil {
		t.Error("an unknown client sends")
	}
	if n := len(message(10 << 10)); n < 10<<10 || n > 10<<10+80 {
		t.Errorf("message of %d octets", n)
	}
}

func TestMedian(t *testing.T) {
	f := []figure{{rate: 5}, {rate: 1}, {rate: 3}}
	if got := median(f, func(i int) float64 { return f[i].rate }); got != 3 {
		t.Errorf("median %v", got)
	}
}
