package postrider

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/postrider/postrider/mx"
)

// Preflight judges the sending identity of mail from an address as large receivers will, before the
// first mail: the address's domain, SPF, DKIM with the keys in use, DMARC, and the addresses that
// mail leaves from. It sends nothing but DNS questions. A Doctor can be told more, and refuse mail.
func (c *Client) Preflight(ctx context.Context, from string) (*Report, error) {
	return (&Doctor{Client: c}).Preflight(ctx, from)
}

// Doctor judges sending identities. Its fields are not changed after the first use; its methods are safe
// for concurrent use.
type Doctor struct {
	// Client is whose mail it is: the Doctor looks at its Signer and Transport. Nil: a zero Client.
	Client *Client
	// Resolver asks the DNS. Nil: that of the client's Direct transport, or else an mx.Cache over
	// /etc/resolv.conf.
	Resolver mx.Resolver
	// Sources are the public addresses that mail leaves from. Nil: those of this host, or else, behind
	// NAT, those that the EHLO name has in the DNS; none where mail leaves by a Relay.
	Sources []netip.Addr
	// Hello is the name said in EHLO. Empty: that of the client's Direct transport, or else this host's name.
	Hello string
	// ReturnPath is the envelope sender. Empty: the From address.
	ReturnPath string
	// Bulk judges by the rules for those who send 5,000 mails a day or more to one receiver.
	Bulk bool
	// Sample is a mail as it will be sent; what Message.Lint finds in it is reported too. Nil: nothing is
	// said about one-click unsubscribing, which bulk mail must have.
	Sample *Message

	// ownAddrs stands in for the addresses of this host in tests.
	ownAddrs func() []netip.Addr
}

// Report is what a Doctor found.
type Report struct {
	// From is the address that was judged, and Domain its domain in A-labels.
	From   string `json:"from"`
	Domain string `json:"domain"`
	// Hello is the EHLO name, and Sources are the addresses that mail leaves from, if known.
	Hello   string       `json:"hello,omitempty"`
	Sources []netip.Addr `json:"sources,omitempty"`
	// Bulk says that it was judged by the rules for bulk mail.
	Bulk bool `json:"bulk,omitempty"`
	// Findings are in the order in which they were made, good ones too.
	Findings []Finding `json:"findings"`
	// Judgements are those of Gmail, Yahoo, Microsoft and Apple.
	Judgements []Judgement `json:"judgements"`
}

// Judgement is what a receiver will make of mail.
type Judgement struct {
	// Receiver is its name.
	Receiver string `json:"receiver"`
	// Result is "pass"; "at risk": it may go to the spam folder, or be refused, or could not be judged; or "refused".
	Result string `json:"result"`
	// Because names the rules of the findings that speak against the mail.
	Because []string `json:"because,omitempty"`
}

// Err is nil where no receiver refuses, and otherwise says who does and why.
func (r *Report) Err() error {
	var list []string
	for _, j := range r.Judgements {
		if j.Result == refused {
			list = append(list, fmt.Sprintf("%s (%s)", j.Receiver, strings.Join(j.Because, ", ")))
		}
	}
	if list == nil {
		return nil
	}
	return fmt.Errorf("postrider: mail from %s is refused by %s", r.Domain, strings.Join(list, ", "))
}

// Preflight looks at the identity. An error says that the address is none, or that ctx has ended; what the DNS
// does not answer is a finding.
func (d *Doctor) Preflight(ctx context.Context, from string) (*Report, error) {
	address, _, err := parseAddress(from)
	if err != nil {
		return nil, fmt.Errorf("%w: From: %w", ErrInvalid, err)
	}
	path := address
	if d.ReturnPath != "" {
		if path, _, err = parseAddress(d.ReturnPath); err != nil {
			return nil, fmt.Errorf("%w: ReturnPath: %w", ErrInvalid, err)
		}
	}
	client := d.Client
	if client == nil {
		client = new(Client)
	}
	x := &examination{doctor: d, client: client, way: wayOf(client.transport()), path: path, facts: map[string]fact{}}
	x.report = Report{From: address, Domain: domainOf(address), Bulk: d.Bulk}
	x.dns = asker{d.resolver(&x.way)}
	x.spfDomain = domainOf(path)
	for _, look := range []func(context.Context){x.sources, x.domain, x.spf, x.dkim, x.dmarc, x.reverse, x.transport, x.inbound, x.bimi, x.sample} {
		look(ctx)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	x.judge()
	return &x.report, nil
}

func (d *Doctor) resolver(w *way) mx.Resolver {
	if d.Resolver != nil {
		return d.Resolver
	}
	for _, t := range w.direct {
		if t.Router != nil && t.Router.Resolver != nil {
			return t.Router.Resolver
		}
	}
	return new(mx.Cache)
}

// way is how mail leaves.
type way struct {
	direct []*Direct
	relay  []*Relay
}

// wayOf looks into combined transports.
func wayOf(t Transport) way {
	var w way
	add := func(list []Transport) {
		for _, t := range list {
			v := wayOf(t)
			w.direct, w.relay = append(w.direct, v.direct...), append(w.relay, v.relay...)
		}
	}
	switch t := t.(type) {
	case *Direct:
		w.direct = append(w.direct, t)
	case *Relay:
		w.relay = append(w.relay, t)
	case Failover:
		add(t)
	case *RoundRobin:
		add(t.Transports)
	case *Record:
		if t.Transport != nil {
			return wayOf(t.Transport)
		}
	}
	return w
}

// examination is one look at one identity.
type examination struct {
	doctor    *Doctor
	client    *Client
	way       way
	dns       asker
	path      string // the envelope sender
	spfDomain string
	report    Report
	facts     map[string]fact
	verified  []sampleSignature // signatures of a sample
}

func (x *examination) add(rule string, s Severity, by, evidence, remedy string) {
	f := Finding{Rule: rule, Severity: s, Evidence: printable(strings.ReplaceAll(evidence, "\n", "?")), Remedy: printable(remedy)}
	if by != "" {
		f.By = strings.Split(by, ", ")
	}
	x.report.Findings = append(x.report.Findings, f)
}

// trouble reports that the DNS did not answer.
func (x *examination) trouble(what string, err error) {
	x.add("dns-trouble", SeverityWarning, "", fmt.Sprintf("%s: %v", what, err), "see that the DNS servers of the domain answer, and ask again")
}

// sources finds out where mail leaves from, and under which name.
func (x *examination) sources(ctx context.Context) {
	x.report.Hello = x.hello()
	switch own := x.doctor.ownAddrs; {
	case x.doctor.Sources != nil:
		x.report.Sources = x.doctor.Sources
		return
	case len(x.way.direct) == 0 && len(x.way.relay) > 0:
		x.add("source-relay", SeverityNotice, "", "mail leaves by a relay, whose addresses are not known",
			"set Sources to the relay's addresses to have SPF and reverse DNS judged")
		return
	case own != nil:
		x.report.Sources = public(own())
	default:
		x.report.Sources = public(ownAddrs())
	}
	if len(x.report.Sources) > 0 {
		return
	}
	addrs, _ := x.dns.addrs(ctx, x.report.Hello)
	if x.report.Sources = public(addrs); len(x.report.Sources) > 0 {
		x.add("source-by-name", SeverityNotice, "", fmt.Sprintf("this host has no public address: mail is taken to leave from those of its name %s", x.report.Hello),
			"set Sources if that is wrong")
		return
	}
	x.add("source-unknown", SeverityWarning, "", "it is not known from which address mail leaves", "set Sources to the public addresses of this host")
}

func (x *examination) hello() string {
	if x.doctor.Hello != "" {
		return x.doctor.Hello
	}
	for _, t := range x.way.direct {
		if t.Hello != "" {
			return t.Hello
		}
		if t.Pool != nil && t.Pool.Hello != "" {
			return t.Pool.Hello
		}
	}
	for _, t := range x.way.relay {
		if t.Hello != "" {
			return t.Hello
		}
	}
	name, _ := os.Hostname()
	return name
}

// ownAddrs are those from which this host would speak to the public Internet. Nothing is sent.
func ownAddrs() []netip.Addr {
	var list []netip.Addr
	for _, to := range []string{"192.0.2.1:25", "[2001:db8::1]:25"} {
		c, err := net.DialTimeout("udp", to, time.Second)
		if err != nil {
			continue
		}
		if a, ok := c.LocalAddr().(*net.UDPAddr); ok {
			list = append(list, a.AddrPort().Addr().Unmap())
		}
		c.Close()
	}
	return list
}

// public takes out the addresses that cannot be seen from elsewhere.
func public(list []netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(list), func(a netip.Addr) bool { return mx.Guard(a, nil) != nil })
}
