package mxtest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/postrider/postrider/mx"
	"github.com/postrider/postrider/mx/mxtest"
)

var _ mx.Resolver = (*mxtest.Zone)(nil)

const text = `
$TTL 600
example.test.       SOA   ns.example.test. hostmaster.example.test. 1 7200 3600 1209600 60
example.test.       MX    10 mx1.example.test.
example.test.       MX    20 mx2.example.test.
example.test.       TXT   "v=spf1 mx -all" " more"
mx1.example.test.   A     192.0.2.1
mx1.example.test.   AAAA  2001:db8::1
mx2.example.test.   CNAME mx1.example.test.
_25._tcp.mx1.example.test. TLSA 3 1 1 0123456789012345678901234567890123456789012345678901234567890123
_submission._tcp.example.test. SRV 0 1 587 mx1.example.test.
1.2.0.192.in-addr.arpa. PTR mx1.example.test.
*.wild.test.        A     192.0.2.9
deep.wild.test.     TXT   "covers no wildcard"
a.loop.test.        CNAME b.loop.test.
b.loop.test.        CNAME a.loop.test.
away.example.test.  CNAME host.plain.test.
host.plain.test.    A     192.0.2.3
dangling.test.      CNAME nobody.test.
null.test.          MX    0 .
`

func ask(t *testing.T, r mx.Resolver, name string, qtype uint16) *dns.Msg {
	t.Helper()
	q := new(dns.Msg).SetQuestion(name, qtype)
	q.SetEdns0(1232, true)
	a, err := r.Exchange(t.Context(), q)
	if err != nil {
		t.Fatalf("%s %s: %v", name, dns.TypeToString[qtype], err)
	}
	return a
}

// short writes an answer as its code and the data of its records.
func short(a *dns.Msg) string {
	words := []string{dns.RcodeToString[a.Rcode]}
	for _, rr := range a.Answer {
		h := rr.Header()
		words = append(words, strings.TrimPrefix(rr.String(), h.String()))
	}
	return strings.Join(words, " | ")
}

func TestAnswers(t *testing.T) {
	z := mxtest.MustParse(text)
	for _, c := range []struct {
		name  string
		qtype uint16
		want  string
	}{
		{"example.test.", dns.TypeMX, "NOERROR | 10 mx1.example.test. | 20 mx2.example.test."},
		{"EXAMPLE.Test.", dns.TypeTXT, `NOERROR | "v=spf1 mx -all" " more"`},
		{"mx1.example.test.", dns.TypeA, "NOERROR | 192.0.2.1"},
		{"mx1.example.test.", dns.TypeAAAA, "NOERROR | 2001:db8::1"},
		{"mx1.example.test.", dns.TypeMX, "NOERROR"},
		{"mx2.example.test.", dns.TypeA, "NOERROR | mx1.example.test. | 192.0.2.1"},
		{"mx2.example.test.", dns.TypeCNAME, "NOERROR | mx1.example.test."},
		{"_25._tcp.mx1.example.test.", dns.TypeTLSA, "NOERROR | 3 1 1 0123456789012345678901234567890123456789012345678901234567890123"},
		{"_tcp.mx1.example.test.", dns.TypeTLSA, "NOERROR"}, // an empty non-terminal exists
		{"_submission._tcp.example.test.", dns.TypeSRV, "NOERROR | 0 1 587 mx1.example.test."},
		{"1.2.0.192.in-addr.arpa.", dns.TypePTR, "NOERROR | mx1.example.test."},
		{"any.wild.test.", dns.TypeA, "NOERROR | 192.0.2.9"},
		{"a.b.wild.test.", dns.TypeA, "NOERROR | 192.0.2.9"},
		{"deep.wild.test.", dns.TypeA, "NOERROR"},
		{"x.deep.wild.test.", dns.TypeA, "NXDOMAIN"}, // deep.wild.test is the closest encloser
		{"a.loop.test.", dns.TypeA, "NOERROR | b.loop.test. | a.loop.test."},
		{"dangling.test.", dns.TypeA, "NXDOMAIN | nobody.test."},
		{"null.test.", dns.TypeMX, "NOERROR | 0 ."},
		{"nobody.test.", dns.TypeMX, "NXDOMAIN"},
	} {
		if got := short(ask(t, z, c.name, c.qtype)); got != c.want {
			t.Errorf("%s %s: got %s, want %s", c.name, dns.TypeToString[c.qtype], got, c.want)
		}
	}
	if a := ask(t, z, "no.example.test.", dns.TypeA); len(a.Ns) != 1 || a.Ns[0].Header().Rrtype != dns.TypeSOA {
		t.Errorf("negative answer without the zone's SOA: %v", a.Ns)
	}
	if asked := z.Asked(); asked[0] != "example.test. MX" || len(asked) != 20 {
		t.Errorf("Asked: %d, first %q", len(asked), asked[0])
	}
}

func TestIndentedText(t *testing.T) {
	z := mxtest.MustParse(`
		a.test.  A  192.0.2.1
		         A  192.0.2.2

		b.test.  A  192.0.2.3`)
	if got := short(ask(t, z, "a.test.", dns.TypeA)); got != "NOERROR | 192.0.2.1 | 192.0.2.2" {
		t.Errorf("a.test: %s", got)
	}
	if got := short(ask(t, z, "b.test.", dns.TypeA)); got != "NOERROR | 192.0.2.3" {
		t.Errorf("b.test: %s", got)
	}
}

func TestAuthenticate(t *testing.T) {
	z := mxtest.MustParse(text)
	z.Authenticate("example.test")
	for name, want := range map[string]bool{
		"mx1.example.test.":  true,
		"no.example.test.":   true, // denial is authenticated too
		"away.example.test.": false,
		"host.plain.test.":   false,
	} {
		if got := ask(t, z, name, dns.TypeA).AuthenticatedData; got != want {
			t.Errorf("%s: AD %v, want %v", name, got, want)
		}
	}
	a, err := z.Exchange(t.Context(), new(dns.Msg).SetQuestion("mx1.example.test.", dns.TypeA))
	if err != nil || a.AuthenticatedData {
		t.Errorf("AD without being asked for: %v, %v", a, err)
	}
}

func TestFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := mxtest.MustParse(text)
		z.Fail("example.test", mxtest.Fault{Type: dns.TypeMX, Rcode: dns.RcodeServerFailure, Times: 2})
		for i, want := range []string{"SERVFAIL", "SERVFAIL", "NOERROR | 10 mx1.example.test. | 20 mx2.example.test."} {
			if got := short(ask(t, z, "example.test.", dns.TypeMX)); got != want {
				t.Errorf("question %d: got %s, want %s", i, got, want)
			}
		}
		z.Fail("mx1.example.test", mxtest.Fault{Delay: 3 * time.Second, Truncate: true})
		start := time.Now()
		if a := ask(t, z, "mx1.example.test.", dns.TypeA); !a.Truncated || len(a.Answer) > 0 || time.Since(start) != 3*time.Second {
			t.Errorf("truncated %v with %d records after %v", a.Truncated, len(a.Answer), time.Since(start))
		}
		z.Fail(".", mxtest.Fault{Drop: true})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := z.Exchange(ctx, new(dns.Msg).SetQuestion("mx1.example.test.", dns.TypeA))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("dropped question: %v", err)
		}
		z.Heal()
		z.Fail(".", mxtest.Fault{Mangle: func(a *dns.Msg) []*dns.Msg {
			a.Id++
			return []*dns.Msg{a}
		}})
		q := new(dns.Msg).SetQuestion("mx1.example.test.", dns.TypeA)
		if a, err := z.Exchange(t.Context(), q); err != nil || a.Id == q.Id {
			t.Errorf("mangled: %v, %v", a, err)
		}
	})
}

func TestLoadKeepsTheOldRecordsOnError(t *testing.T) {
	z := mxtest.MustParse("a.test. A 192.0.2.1")
	if err := z.Load("a.test. A 192.0.2.300"); err == nil {
		t.Error("a bad address passed")
	}
	if got := short(ask(t, z, "a.test.", dns.TypeA)); got != "NOERROR | 192.0.2.1" {
		t.Errorf("after the error: %s", got)
	}
	if err := z.Load("b.test. A 192.0.2.2"); err != nil {
		t.Fatal(err)
	}
	if got := short(ask(t, z, "a.test.", dns.TypeA)); got != "NXDOMAIN" {
		t.Errorf("after the load: %s", got)
	}
}

func TestListen(t *testing.T) {
	var lines []string
	for i := range 60 {
		lines = append(lines, fmt.Sprintf("big.test. MX 10 a-host-with-a-long-name-%d.big.test.", i))
	}
	z := mxtest.MustParse(strings.Join(lines, "\n") + "\nsmall.test. A 192.0.2.1")
	s, err := z.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	var got []string
	for _, network := range []string{"udp", "tcp"} {
		for _, name := range []string{"small.test.", "big.test."} {
			q := new(dns.Msg).SetQuestion(name, dns.TypeMX)
			if name == "small.test." {
				q.Question[0].Qtype = dns.TypeA
			}
			a, _, err := (&dns.Client{Net: network}).Exchange(q, s.Addr)
			if err != nil {
				t.Fatalf("%s over %s: %v", name, network, err)
			}
			word := "whole"
			if a.Truncated {
				word = "truncated"
			} else if name == "big.test." && len(a.Answer) != 60 {
				t.Errorf("%d records over %s", len(a.Answer), network)
			}
			got = append(got, network+" "+word)
		}
	}
	if want := []string{"udp whole", "udp truncated", "tcp whole", "tcp whole"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
