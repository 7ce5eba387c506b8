package mx_test

import (
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/postrider/postrider/mx"
	"github.com/postrider/postrider/mx/mxtest"
)

// Forged messages arrive before the true one. Whatever they are, they must not be believed.
func TestForgedAnswers(t *testing.T) {
	evil := func(a *dns.Msg) *dns.Msg {
		rr, _ := dns.NewRR("a.test. A 6.6.6.6")
		return &dns.Msg{MsgHdr: a.MsgHdr, Question: a.Question, Answer: []dns.RR{rr}}
	}
	for name, forge := range map[string]func(a *dns.Msg) *dns.Msg{
		"id": func(a *dns.Msg) *dns.Msg { m := evil(a); m.Id++; return m },
		"name": func(a *dns.Msg) *dns.Msg {
			m := evil(a)
			m.Question = question("b.test.", dns.TypeA).Question
			return m
		},
		"type": func(a *dns.Msg) *dns.Msg {
			m := evil(a)
			m.Question = question("a.test.", dns.TypeMX).Question
			return m
		},
		"no question": func(a *dns.Msg) *dns.Msg { m := evil(a); m.Question = nil; return m },
		"a question":  func(a *dns.Msg) *dns.Msg { m := evil(a); m.Response = false; return m },
		"two questions": func(a *dns.Msg) *dns.Msg {
			m := evil(a)
			m.Question = append(m.Question[:1:1], m.Question...)
			return m
		},
	} {
		t.Run(name, func(t *testing.T) {
			zone := mxtest.MustParse("a.test. A 9.0.0.1")
			var sockets counter
			d := &mx.DNS{Servers: []string{listen(t, zone).Addr}, Timeout: time.Second, Attempts: 1, Dial: sockets.dial}
			zone.Fail(".", mxtest.Fault{Times: 1, Mangle: func(a *dns.Msg) []*dns.Msg { return []*dns.Msg{forge(a), a} }})
			if got := text(d.Exchange(t.Context(), question("a.test.", dns.TypeA))); got != "NOERROR 9.0.0.1" {
				t.Error(got)
			}
			if s := sockets.tcp.Load(); s != 1 {
				t.Errorf("%d TCP connections: where somebody guesses, TCP is asked", s)
			}
			zone.Fail(".", mxtest.Fault{Mangle: func(a *dns.Msg) []*dns.Msg { return []*dns.Msg{forge(a)} }})
			if got := text(d.Exchange(t.Context(), question("a.test.", dns.TypeA))); !strings.Contains(got, "an answer to another question") {
				t.Errorf("forged over TCP too: %s", got)
			}
		})
	}
}

func TestMalformedAnswers(t *testing.T) {
	for name, reply := range map[string]func(q []byte) []byte{
		"nothing":     func(q []byte) []byte { return nil },
		"short":       func(q []byte) []byte { return q[:11] },
		"header only": func(q []byte) []byte { return []byte{q[0], q[1], 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0} },
		"counts lie":  func(q []byte) []byte { return []byte{q[0], q[1], 0x80, 0, 0, 1, 255, 255, 255, 255, 255, 255} },
		"pointer loop": func(q []byte) []byte {
			return append([]byte{q[0], q[1], 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0}, 0xc0, 12, 0, 1, 0, 1)
		},
		"forward point": func(q []byte) []byte {
			return append([]byte{q[0], q[1], 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0}, 0xc0, 200, 0, 1, 0, 1)
		},
		"random": func(q []byte) []byte { return append([]byte{q[0], q[1], 0x80}, strings.Repeat("\xab", 500)...) },
	} {
		d := &mx.DNS{Servers: []string{rawServer(t, reply)}, Timeout: time.Second, Attempts: 1}
		if a, err := d.Exchange(t.Context(), question("a.test.", dns.TypeA)); err == nil {
			t.Errorf("%s: %v", name, a)
		}
	}
}
