package mx

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// String explains the route for people, over several lines: how it was found, each host with its
// addresses, what is demanded of a connection to it and why, and the notes. Its wording may change.
func (r *Route) String() string {
	var b strings.Builder
	way := "by MX"
	if r.Implicit {
		way = "by its own addresses, for it has no MX record"
	} else if strings.HasPrefix(r.Domain, "[") {
		way = "by address"
	}
	fmt.Fprintf(&b, "%s: %s, %s\n", r.Domain, way, r.authenticity())
	for i := range r.Hosts {
		r.Hosts[i].explain(&b)
	}
	for _, note := range r.Notes {
		fmt.Fprintf(&b, "  note: %s\n", printable(note))
	}
	return b.String()
}

func (r *Route) authenticity() string {
	switch {
	case r.Authentic:
		return "authenticated by DNSSEC"
	case r.Trusted:
		return "not signed by DNSSEC"
	}
	return "not authenticated: the resolver is not trusted to validate DNSSEC"
}

func (h *Host) explain(b *strings.Builder) {
	fmt.Fprintf(b, "  %5d %s\n", h.Preference, h.Name)
	if h.Canonical != "" && h.Canonical != h.Name {
		fmt.Fprintf(b, "        an alias of %s\n", h.Canonical)
	}
	if h.Err != nil {
		fmt.Fprintf(b, "        cannot be used: %s\n", printable(h.Err.Error()))
		return
	}
	b.WriteString("       ")
	for _, addr := range h.Addrs {
		b.WriteString(" " + addr.String())
	}
	fmt.Fprintf(b, "\n        %s\n", printable(h.Demand.explain(h.Name)))
}

// explain says in words what is demanded of a connection to the host, and why.
func (d *Demand) explain(host string) string {
	names := d.Names
	if len(names) == 0 {
		names = []string{host}
	}
	var text string
	switch d.Level {
	case Opportunistic:
		text = "TLS where it is offered, with whatever certificate"
	case Encrypted:
		text = "TLS, with whatever certificate"
	case Verified:
		text = "TLS with a valid certificate for " + strings.Join(names, " or ")
	case DANE:
		text = "TLS with the key that the domain's TLSA records name"
	default:
		text = fmt.Sprintf("level %d", d.Level)
	}
	if d.Level < DANE && d.Verify != nil {
		text += ", and a policy's own check"
	}
	why := d.Why
	if why == "" {
		why = "no policy asks for more"
	}
	return fmt.Sprintf("%s: %s (%s)", d.Level, text, why)
}

// printable is text that is fit for a line of a log or a terminal: what callers give and what domains
// publish may be anything.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}
