package postrider

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/postrider/postrider/mx"
)

// domain: bounces and answers must find a way back, and receivers look whether they would.
func (x *examination) domain(ctx context.Context) {
	x.returns(ctx, x.report.Domain)
	if x.spfDomain != x.report.Domain {
		from := x.facts["domain"]
		x.returns(ctx, x.spfDomain)
		if from.state == bad {
			x.facts["domain"] = from
		}
	}
}

// returns looks whether a domain takes mail.
func (x *examination) returns(ctx context.Context, domain string) {
	const by = "Gmail, Yahoo, Microsoft, Apple, RFC 5321"
	list, err := x.dns.LookupMX(ctx, domain)
	switch {
	case len(list) == 1 && list[0].Host == ".":
		x.add("mx-null", SeverityFailure, "Gmail, Yahoo, Microsoft, Apple, RFC 7505", domain+" publishes a null MX: it takes no mail, so mail from it is refused (RFC 7505 s. 4.2)",
			fmt.Sprintf("publish its mail server: %s. IN MX 10 mail.%s.", domain, domain))
		x.settle("domain", bad, "mx-null")
	case len(list) > 0:
		x.add("mx-pass", SeverityPass, "", fmt.Sprintf("%s takes mail at %s", domain, strings.TrimSuffix(list[0].Host, ".")), "")
		x.settle("domain", good)
	case !notFound(err):
		x.trouble("MX of "+domain, err)
		x.settle("domain", unknown, "dns-trouble")
	default:
		if addrs, err := x.dns.addrs(ctx, domain); len(addrs) > 0 {
			x.add("mx-implicit", SeverityNotice, "RFC 5321", domain+" has no MX; mail to it goes to its own address", fmt.Sprintf("publish %s. IN MX 10 mail.%s.", domain, domain))
			x.settle("domain", good)
		} else if !notFound(err) {
			x.trouble("address of "+domain, err)
			x.settle("domain", unknown, "dns-trouble")
		} else {
			x.add("mx-missing", SeverityFailure, by, domain+" has neither MX nor address: bounces and answers cannot come back",
				fmt.Sprintf("publish its mail server: %s. IN MX 10 mail.%s.", domain, domain))
			x.settle("domain", bad, "mx-missing")
		}
	}
}

// reverse: each address that mail leaves from needs a name that leads back to it, and the EHLO name should be one.
func (x *examination) reverse(ctx context.Context) {
	if len(x.report.Sources) == 0 {
		if len(x.way.direct) == 0 {
			x.settle("reverse", good) // the relay's affair, or nothing is sent at all
		} else {
			x.settle("reverse", unknown, "source-unknown")
		}
		return
	}
	x.settle("reverse", good)
	for _, addr := range x.report.Sources {
		x.reverseOf(ctx, addr)
	}
	x.helloName(ctx)
}

func (x *examination) reverseOf(ctx context.Context, addr netip.Addr) {
	const by = "Gmail, Yahoo, Apple, Microsoft"
	if mx.Guard(addr, nil) != nil && len(x.doctor.Sources) == 0 {
		return
	}
	names, err := x.dns.LookupAddr(ctx, addr.String())
	switch {
	case notFound(err):
		x.add("ptr-missing", SeverityFailure, by, fmt.Sprintf("%s has no name in the reverse DNS", addr),
			fmt.Sprintf("have the owner of the address publish: %s IN PTR %s.", reverseName(addr), x.report.Hello))
		x.settle("reverse", bad, "ptr-missing")
		return
	case err != nil:
		x.trouble(fmt.Sprintf("name of %s", addr), err)
		x.unsure("reverse")
		return
	}
	confirmed, unanswered := "", error(nil)
	for _, name := range names[:min(len(names), 10)] {
		addrs, err := x.dns.addrs(ctx, name)
		for _, a := range addrs {
			if a == addr && confirmed == "" {
				confirmed = strings.TrimSuffix(name, ".")
			}
		}
		if err != nil && !notFound(err) {
			unanswered = err
		}
	}
	first := strings.TrimSuffix(names[0], ".")
	switch {
	case confirmed == "" && unanswered != nil:
		x.trouble("address of "+first, unanswered)
		x.unsure("reverse")
	case confirmed == "":
		kind := "A"
		if addr.Is6() {
			kind = "AAAA"
		}
		x.add("ptr-unconfirmed", SeverityFailure, by, fmt.Sprintf("%s is named %s, and that name does not lead back to it", addr, first),
			fmt.Sprintf("publish %s. IN %s %s", first, kind, addr))
		x.settle("reverse", bad, "ptr-unconfirmed")
	case generic(confirmed, addr):
		x.add("ptr-generic", SeverityWarning, "", fmt.Sprintf("%s is named %s, as dial-up addresses are", addr, confirmed),
			fmt.Sprintf("have the owner of the address publish: %s IN PTR %s.", reverseName(addr), x.report.Hello))
	default:
		x.add("ptr-pass", SeverityPass, "", fmt.Sprintf("%s is named %s, and that name leads back to it", addr, confirmed), "")
	}
}

// unsure lowers a fact to unknown, unless it is bad already.
func (x *examination) unsure(name string) {
	if x.facts[name].state != bad {
		x.settle(name, unknown, "dns-trouble")
	}
}

// generic tells whether a name is made from the address.
func generic(name string, addr netip.Addr) bool {
	if !addr.Is4() {
		return false
	}
	b := addr.As4()
	digits := strings.FieldsFunc(name, func(r rune) bool { return r < '0' || r > '9' })
	found := 0
	for _, octet := range b {
		for i, d := range digits {
			if strings.TrimLeft(d, "0") == strings.TrimLeft(fmt.Sprint(octet), "0") {
				digits[i] = "-"
				found++
				break
			}
		}
	}
	return found >= 3
}

// helloName: RFC 5321 s. 4.1.4 asks for a name that exists.
func (x *examination) helloName(ctx context.Context) {
	name := x.report.Hello
	remedy := "set Hello to the name that the reverse DNS has for the address"
	if _, err := parseDomain(name); err != nil || !strings.Contains(name, ".") {
		x.add("helo-invalid", SeverityWarning, "RFC 5321", fmt.Sprintf("the EHLO name %q is not a full domain name", name), remedy)
		return
	}
	addrs, err := x.dns.addrs(ctx, name)
	switch {
	case err != nil && !notFound(err):
		x.trouble("address of "+name, err)
	case len(addrs) == 0:
		x.add("helo-unresolvable", SeverityWarning, "RFC 5321", fmt.Sprintf("the EHLO name %s has no address", name), remedy)
	default:
		for _, s := range x.report.Sources {
			if !contains(addrs, s) {
				x.add("helo-mismatch", SeverityNotice, "", fmt.Sprintf("the EHLO name %s does not lead to %s", name, s), remedy)
				return
			}
		}
		x.add("helo-pass", SeverityPass, "", fmt.Sprintf("the EHLO name %s leads to the source", name), "")
	}
}

func contains(list []netip.Addr, a netip.Addr) bool {
	for _, b := range list {
		if a.Unmap() == b.Unmap() {
			return true
		}
	}
	return false
}

// reverseName is where the name of an address is published.
func reverseName(addr netip.Addr) string {
	b := addr.Unmap().AsSlice()
	var s strings.Builder
	for i := len(b) - 1; i >= 0; i-- {
		if len(b) == 4 {
			fmt.Fprintf(&s, "%d.", b[i])
		} else {
			fmt.Fprintf(&s, "%x.%x.", b[i]&15, b[i]>>4)
		}
	}
	if len(b) == 4 {
		return s.String() + "in-addr.arpa."
	}
	return s.String() + "ip6.arpa."
}

// printable makes what strangers publish fit for a line of a terminal, and cuts it.
func printable(s string) string {
	const most = 1000
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) && r != '\n' && r != '\t' {
			return '?'
		}
		return r
	}, s)
}
