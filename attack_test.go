package postrider_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/mx"
	"github.com/postrider/postrider/mx/dane"
	"github.com/postrider/postrider/mx/memory"
	"github.com/postrider/postrider/mx/mtasts"
	"github.com/postrider/postrider/mx/mxtest"
	"github.com/postrider/postrider/mx/tlsrpt"
	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/smtp/smtptest"
)

// field is where attacks take place: four domains with an honest server, an attacker with a server
// and, when an attack says so, on the way to the honest one or in the DNS.
//
//	signed.test   DNSSEC and TLSA records
//	pledged.test  an MTA-STS policy in mode enforce, fetched an hour ago
//	known.test    no promise, but mail went there before, over TLS with a valid certificate
//	plain.test    no promise
type field struct {
	t            *testing.T
	zone         *mxtest.Zone
	resolver     mx.Resolver
	honest, evil *smtptest.Server
	inTheMiddle  bool                                    // the attacker takes connections to the honest server
	dialEvil     func(context.Context) (net.Conn, error) // instead of the evil server
	sts          *mtasts.Policy
	reports      *tlsrpt.Reporter
	direct       *postrider.Direct
}

var (
	authority = smtptest.NewCA() // trusted
	stranger  = smtptest.NewCA() // not
	honestTLS = authority.Server("mx.signed.test", "mx.pledged.test", "mx.known.test", "mx.plain.test")
)

const fieldZone = `
	signed.test.  MX 10 mx.signed.test.
	pledged.test. MX 10 mx.pledged.test.
	known.test.   MX 10 mx.known.test.
	plain.test.   MX 10 mx.plain.test.
	mx.signed.test.  A 9.0.0.1
	mx.pledged.test. A 9.0.0.1
	mx.known.test.   A 9.0.0.1
	mx.plain.test.   A 9.0.0.1
	evil.test.            A 9.0.0.66
	evil.mx.pledged.test. A 9.0.0.66
	_mta-sts.pledged.test. TXT "v=STSv1; id=1"
	mta-sts.pledged.test.  A 9.0.0.20
	_25._tcp.mx.signed.test. TLSA 3 1 1 %x
`

// newField prepares peace. The attacker's server has a certificate of an authority that nobody trusts.
func newField(t *testing.T) *field { return newFieldWith(t, nil, nil) }

// newFieldWith lets the servers listen elsewhere than on loopback.
func newFieldWith(t *testing.T, honest, evil net.Listener) *field {
	leaf, err := x509.ParseCertificate(honestTLS.Certificates[0].Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	f := &field{t: t, zone: mxtest.MustParse(fmt.Sprintf(fieldZone, sha256.Sum256(leaf.RawSubjectPublicKeyInfo)))}
	f.zone.Authenticate("signed.test")
	f.resolver = f.zone
	f.honest = (&smtptest.Server{Name: "mx.honest.test", Listener: honest, TLS: honestTLS, Extensions: append(smtptest.DefaultExtensions(), "REQUIRETLS")}).Start()
	f.evil = &smtptest.Server{Name: "mx.honest.test", Listener: evil, TLS: stranger.Server("mx.signed.test", "mx.pledged.test", "mx.known.test", "mx.plain.test")}
	f.sts = &mtasts.Policy{
		Cache: &mtasts.File{},
		Dial: func(context.Context, string, string) (net.Conn, error) {
			return nil, errors.New("the policy host is down")
		},
		TLS:    &tls.Config{RootCAs: authority.Pool()},
		Notice: func(context.Context, string) {},
	}
	f.policy(time.Now().Add(-time.Hour))
	t.Cleanup(f.honest.Close)
	return f
}

// policy makes it that pledged.test's policy was fetched at that time; it is valid for a week.
func (f *field) policy(fetched time.Time) {
	err := f.sts.Cache.Put("pledged.test", mtasts.Entry{ID: "1", Fetched: fetched, Document: mtasts.Document{
		Mode: mtasts.Enforce, MX: []string{"mx.pledged.test"}, MaxAge: 7 * 24 * time.Hour,
	}})
	if err != nil {
		f.t.Fatal(err)
	}
}

// begin ends the preparation: mail has gone to known.test, and the attacker is there from now on.
func (f *field) begin(attack func(f *field)) {
	seen := &memory.Policy{Roots: authority.Pool()}
	policies := []mx.Policy{&dane.Policy{}, f.sts, seen}
	f.start(f.zone, policies)
	if got := f.deliver(&smtp.Envelope{}, "known.test"); got != "safe" {
		f.t.Fatalf("in peace the mail is %s", got)
	}
	attack(f)
	f.evil.Start()
	f.t.Cleanup(f.evil.Close)
	f.start(f.resolver, policies)
}

// start makes a sender without connections and without a cache of DNS answers.
func (f *field) start(resolver mx.Resolver, policies []mx.Policy) {
	f.direct = &postrider.Direct{
		Hello:   "sender.test",
		Reports: f.reports,
		Router:  &mx.Router{Resolver: resolver, TrustAD: true, Policies: policies},
		TLS:     &tls.Config{RootCAs: authority.Pool()},
		Pool: &smtp.Pool{Hello: "sender.test", MaxIdle: -1, Dial: f.dial,
			Timeouts: smtp.Timeouts{Greeting: 5 * time.Second, Command: 5 * time.Second}},
	}
}

func (f *field) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if !strings.HasPrefix(address, "9.0.0.66:") && !f.inTheMiddle {
		return f.honest.Dial(ctx, network, address)
	}
	if f.dialEvil != nil {
		return f.dialEvil(ctx)
	}
	return f.evil.Dial(ctx, network, address)
}

// deliver sends a mail to somebody at the domain and says where it is now:
//
//	safe        the honest server has it, and it came over TLS
//	clear       the honest server has it, and it came in plaintext
//	stolen      the attacker has it
//	temporary   nobody has it, and it will be tried again
//	permanent   nobody has it, and the sender is told
func (f *field) deliver(e *smtp.Envelope, domain string) string {
	const text = "From: ada@sender.test\r\nSubject: secret\r\n\r\nsecret\r\n"
	e.From, e.To, e.Size = "ada@sender.test", smtp.Addresses("bob@"+domain), int64(len(text))
	e.Open = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }
	ctx, cancel := context.WithTimeout(f.t.Context(), time.Minute)
	defer cancel()
	before := len(f.honest.Messages())
	result := f.direct.Deliver(ctx, e)[0]
	f.t.Logf("%-12s %v %v", domain, postrider.Classify(result), result.Err)
	got := f.honest.Messages()[before:]
	switch {
	case f.evil.Count() > 0:
		return "stolen"
	case (len(got) == 1) != (result.Err == nil):
		f.t.Fatalf("%d mails have come, and the result is %v", len(got), result.Err)
	case result.Err != nil:
		return string(postrider.Classify(result).Fate)
	case got[0].TLS == nil:
		return "clear"
	}
	return "safe"
}

// forgeMX lets the DNS answer that the domain's mail goes to the attacker, and to others. A resolver that
// validates does not hand out such an answer for a signed domain: it fails.
func (f *field) forgeMX(domain string, mxs ...string) {
	f.zone.Fail(domain, mxtest.Fault{Type: dns.TypeMX, Mangle: func(m *dns.Msg) []*dns.Msg {
		m.AuthenticatedData, m.Answer = false, nil
		for i, name := range mxs {
			m.Answer = append(m.Answer, &dns.MX{Hdr: dns.RR_Header{Name: m.Question[0].Name, Rrtype: dns.TypeMX, Class: dns.ClassINET, Ttl: 60},
				Preference: uint16(i), Mx: name})
		}
		return []*dns.Msg{m}
	}})
}

func (f *field) forgeAllMX() {
	f.zone.Fail("signed.test", mxtest.Fault{Type: dns.TypeMX, Rcode: dns.RcodeServerFailure})
	for _, domain := range []string{"pledged.test", "known.test", "plain.test"} {
		f.forgeMX(domain, "evil.test.")
	}
}

// stripped is an attacker who takes STARTTLS out of the offers.
func stripped(f *field) {
	f.inTheMiddle = true
	f.evil.Extensions = []string{"PIPELINING", "8BITMIME"}
}

// scripted is an attacker on the way who says these lines, one for each of the client's, and then only listens.
func scripted(f *field, lines ...string) {
	f.inTheMiddle = true
	f.dialEvil = func(context.Context) (net.Conn, error) {
		here, there := net.Pipe()
		go func() {
			defer there.Close()
			there.SetDeadline(time.Now().Add(10 * time.Second))
			buf := make([]byte, 4096)
			for _, line := range lines {
				if _, err := io.WriteString(there, line); err != nil {
					return
				}
				if _, err := there.Read(buf); err != nil {
					return
				}
			}
			io.Copy(io.Discard, there)
		}()
		return here, nil
	}
}

// TestAttacks: each attack against each domain has its verdict. Nothing is delivered against what a domain
// promises; where nothing is promised and nothing was seen before, an active attacker wins, as
// RFC 7435 accepts.
func TestAttacks(t *testing.T) {
	t.Logf("%-53s signed.test  pledged.test known.test   plain.test", "attack")
	for _, c := range []struct {
		name                          string
		attack                        func(f *field)
		signed, pledged, known, plain string
	}{
		{"peace", func(*field) {}, "safe", "safe", "safe", "safe"},
		{"STARTTLS stripped", stripped, "temporary", "temporary", "temporary", "stolen"},
		{"STARTTLS refused", func(f *field) {
			f.inTheMiddle = true
			f.evil.Replies = map[string]string{"STARTTLS": "454 4.7.0 not now"}
		}, "temporary", "temporary", "temporary", "stolen"},
		{"replies injected after STARTTLS", func(f *field) {
			scripted(f, "220 mx.honest.test\r\n", "250-mx\r\n250 STARTTLS\r\n", "220 go\r\n250-mx\r\n250 PIPELINING\r\n250 ok\r\n")
		}, "temporary", "temporary", "temporary", "temporary"},
		{"broken handshake", func(f *field) {
			scripted(f, "220 mx.honest.test\r\n", "250-mx\r\n250 STARTTLS\r\n", "220 go\r\n", "HTTP/1.1 400 Bad Request\r\n\r\n")
		}, "temporary", "temporary", "temporary", "temporary"},
		{"wrong certificate", func(f *field) { f.inTheMiddle = true }, "temporary", "temporary", "temporary", "stolen"},
		{"a trusted certificate for another name", func(f *field) {
			f.inTheMiddle = true
			f.evil.TLS = authority.Server("evil.test")
		}, "temporary", "temporary", "temporary", "stolen"},
		{"a trusted certificate for the right name", func(f *field) { // an authority was deceived: only DANE helps
			f.inTheMiddle = true
			f.evil.TLS = authority.Server("mx.signed.test", "mx.pledged.test", "mx.known.test", "mx.plain.test")
		}, "temporary", "stolen", "stolen", "stolen"},
		{"forged MX, plaintext", func(f *field) {
			f.forgeAllMX()
			f.evil.Extensions = []string{}
		}, "temporary", "temporary", "temporary", "stolen"},
		{"forged MX, trusted certificate for its own name", func(f *field) { // memory knows servers, not who they are
			f.forgeAllMX()
			f.evil.TLS = authority.Server("evil.test")
		}, "temporary", "temporary", "stolen", "stolen"},
		{"forged MX before the true one", func(f *field) {
			f.evil.TLS = authority.Server("evil.test")
			f.forgeMX("pledged.test", "evil.test.", "mx.pledged.test.")
		}, "safe", "safe", "safe", "safe"},
		{"forged MX below the true name", func(f *field) {
			f.forgeMX("pledged.test", "evil.mx.pledged.test.")
		}, "safe", "temporary", "safe", "safe"},
		{"policy hidden, STARTTLS stripped", func(f *field) {
			stripped(f)
			f.zone.Fail("_mta-sts.pledged.test", mxtest.Fault{Rcode: dns.RcodeNameError})
		}, "temporary", "temporary", "temporary", "stolen"},
		{"policy host down and a new id, STARTTLS stripped", func(f *field) {
			stripped(f)
			f.zone.Fail("_mta-sts.pledged.test", mxtest.Fault{Mangle: func(m *dns.Msg) []*dns.Msg {
				m.Answer[0].(*dns.TXT).Txt = []string{"v=STSv1; id=2"}
				return []*dns.Msg{m}
			}})
		}, "temporary", "temporary", "temporary", "stolen"},
		{"policy expired, policy host down, STARTTLS stripped", func(f *field) { // RFC 8461 s. 10.2: the limit of the pledge
			stripped(f)
			f.policy(time.Now().Add(-8 * 24 * time.Hour))
		}, "temporary", "stolen", "temporary", "stolen"},
		{"policy expired, policy host down", func(f *field) { f.policy(time.Now().Add(-8 * 24 * time.Hour)) }, "safe", "safe", "safe", "safe"},
		{"TLSA answers bogus", func(f *field) {
			f.zone.Fail("_tcp.mx.signed.test", mxtest.Fault{Rcode: dns.RcodeServerFailure})
		}, "temporary", "safe", "safe", "safe"},
		{"TLSA answers bogus, STARTTLS stripped", func(f *field) {
			stripped(f)
			f.zone.Fail("_tcp.mx.signed.test", mxtest.Fault{Rcode: dns.RcodeServerFailure})
		}, "temporary", "temporary", "temporary", "stolen"},
		{"answers truncated", func(f *field) { f.zone.Fail(".", mxtest.Fault{Truncate: true}) }, "temporary", "temporary", "temporary", "temporary"},
		{"answers to other questions", func(f *field) {
			f.zone.Fail(".", mxtest.Fault{Mangle: func(m *dns.Msg) []*dns.Msg {
				m.Question[0].Name = "other.test."
				return []*dns.Msg{m}
			}})
		}, "temporary", "temporary", "temporary", "temporary"},
		{"spoofed datagrams", wire, "safe", "safe", "safe", "safe"},
		{"addresses of the sender's own network", func(f *field) {
			f.zone.Fail(".", mxtest.Fault{Type: dns.TypeA, Mangle: func(m *dns.Msg) []*dns.Msg {
				if len(m.Answer) > 0 {
					m.Answer[0].(*dns.A).A = net.IPv4(127, 0, 0, 1)
				}
				return []*dns.Msg{m}
			}})
		}, "permanent", "permanent", "permanent", "permanent"},
	} {
		row := ""
		t.Run(c.name, func(t *testing.T) {
			domains := []string{"signed.test", "pledged.test", "known.test", "plain.test"}
			for i, want := range []string{c.signed, c.pledged, c.known, c.plain} {
				f := newField(t)
				f.begin(c.attack)
				got := f.deliver(&smtp.Envelope{}, domains[i])
				if row += fmt.Sprintf(" %-12s", got); got != want {
					t.Errorf("%s: the mail is %s, want %s", domains[i], got, want)
				}
			}
		})
		t.Logf("%-53s%s", c.name, row)
	}
}

// wire puts the zone behind sockets. Each question is asked over UDP at first, where forged answers
// come before the true one; the forger does not know the question's id, or not its name. He cannot
// reach into TCP.
func wire(f *field) {
	server, err := f.zone.Listen("127.0.0.1:0")
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { server.Close() })
	f.resolver = &mx.DNS{Servers: []string{server.Addr}}
	var mu sync.Mutex
	asked := map[dns.Question]bool{}
	f.zone.Fail(".", mxtest.Fault{Mangle: func(m *dns.Msg) []*dns.Msg {
		mu.Lock()
		defer mu.Unlock()
		question := dns.Question{Name: strings.ToLower(m.Question[0].Name), Qtype: m.Question[0].Qtype}
		if asked[question] {
			return []*dns.Msg{m}
		}
		asked[question] = true
		blind := m.Copy()
		blind.Id++
		blind.Answer = []dns.RR{&dns.MX{Hdr: dns.RR_Header{Name: m.Question[0].Name, Rrtype: dns.TypeMX, Class: dns.ClassINET, Ttl: 60}, Mx: "evil.test."}}
		lucky := blind.Copy()
		lucky.Id = m.Id
		lucky.Question[0].Name = "other.test."
		return []*dns.Msg{blind, lucky, m}
	}})
}

// What the sender wishes for one mail (RFC 8689).
func TestAttacksOnWishes(t *testing.T) {
	for _, c := range []struct {
		name     string
		attack   func(f *field)
		envelope smtp.Envelope
		want     map[string]string
	}{
		{"REQUIRETLS", func(*field) {}, smtp.Envelope{RequireTLS: true},
			map[string]string{"signed.test": "safe", "pledged.test": "safe", "known.test": "permanent", "plain.test": "permanent"}},
		{"REQUIRETLS is not offered", func(f *field) {
			f.inTheMiddle = true
			f.evil.TLS, f.evil.Extensions = honestTLS, []string{"STARTTLS", "8BITMIME"}
		}, smtp.Envelope{RequireTLS: true},
			map[string]string{"signed.test": "permanent", "pledged.test": "permanent"}},
		{"REQUIRETLS, STARTTLS stripped", stripped, smtp.Envelope{RequireTLS: true},
			map[string]string{"signed.test": "temporary", "pledged.test": "temporary", "plain.test": "permanent"}},
		{"TLS-Required: No", func(f *field) { // the sender prefers that it arrives
			f.inTheMiddle = true
			f.evil.Extensions = []string{}
		}, smtp.Envelope{TLSOptional: true},
			map[string]string{"signed.test": "stolen", "pledged.test": "stolen", "known.test": "stolen", "plain.test": "stolen"}},
		{"both wishes", stripped, smtp.Envelope{RequireTLS: true, TLSOptional: true},
			map[string]string{"signed.test": "permanent", "pledged.test": "permanent", "plain.test": "permanent"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for domain, want := range c.want {
				f := newField(t)
				f.begin(c.attack)
				e := c.envelope
				if got := f.deliver(&e, domain); got != want {
					t.Errorf("%s: the mail is %s, want %s", domain, got, want)
				}
			}
		})
	}
}
