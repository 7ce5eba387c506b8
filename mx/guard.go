package mx

import (
	"fmt"
	"net/netip"
)

// Mail for a domain is dialled wherever that domain's owner says. The guard keeps its pointer away from
// the sender's own machine and network: an address must be public, and so must the IPv4 address that a
// translator would make of it.

// nowhere are the IPv4 ranges that are not on the public Internet (IANA special-purpose registry,
// RFC 6890), and multicast. For IPv6 the public range is named instead.
var nowhere = []struct {
	prefix netip.Prefix
	why    string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "unspecified"},
	{netip.MustParsePrefix("10.0.0.0/8"), "private"},
	{netip.MustParsePrefix("100.64.0.0/10"), "shared by carriers"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local"},
	{netip.MustParsePrefix("172.16.0.0/12"), "private"},
	{netip.MustParsePrefix("192.0.0.0/24"), "reserved"},
	{netip.MustParsePrefix("192.0.2.0/24"), "for documentation"},
	{netip.MustParsePrefix("192.88.99.0/24"), "reserved"},
	{netip.MustParsePrefix("192.168.0.0/16"), "private"},
	{netip.MustParsePrefix("198.18.0.0/15"), "for measurements"},
	{netip.MustParsePrefix("198.51.100.0/24"), "for documentation"},
	{netip.MustParsePrefix("203.0.113.0/24"), "for documentation"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved"},
	{netip.MustParsePrefix("2001::/23"), "reserved"}, // Teredo, ORCHID and other protocols
	{netip.MustParsePrefix("2001:db8::/32"), "for documentation"},
	{netip.MustParsePrefix("3fff::/20"), "for documentation"},
}

var (
	public6 = netip.MustParsePrefix("2000::/3") // all of IPv6 that is given out (RFC 4291 s. 2.4)
	nat64   = netip.MustParsePrefix("64:ff9b::/96")
	sixto4  = netip.MustParsePrefix("2002::/16")
)

// Guard says why an address that a domain points to must not be dialled: it is not on the public
// Internet and not in one of the allowed ranges. Nil when it may be.
func Guard(addr netip.Addr, allow []netip.Prefix) error {
	if why := refusal(addr, allow); why != "" {
		return fmt.Errorf("the address %s is refused: it is %s, not on the public Internet", addr, why)
	}
	return nil
}

// refusal says why an address must not be dialled; empty when it may be.
func refusal(addr netip.Addr, allow []netip.Prefix) string {
	for _, p := range allow {
		if p.Contains(addr) || p.Contains(addr.Unmap()) {
			return ""
		}
	}
	if inner, ok := embedded(addr); ok {
		return refusal(inner, allow)
	}
	for i := range nowhere {
		if nowhere[i].prefix.Contains(addr) {
			return nowhere[i].why
		}
	}
	if addr.Is4() || public6.Contains(addr) {
		return ""
	}
	switch {
	case addr.IsLoopback():
		return "loopback"
	case addr.IsUnspecified():
		return "unspecified"
	case addr.IsPrivate():
		return "private"
	case addr.IsLinkLocalUnicast():
		return "link-local"
	case addr.IsMulticast():
		return "multicast"
	}
	return "reserved"
}

// embedded is the IPv4 address to which packets for an IPv6 address finally go: mapped (RFC 4291
// s. 2.5.5.2), translated (NAT64, RFC 6052) or tunnelled (6to4, RFC 3056).
func embedded(addr netip.Addr) (netip.Addr, bool) {
	b := addr.As16()
	switch {
	case addr.Is4In6():
		return addr.Unmap(), true
	case nat64.Contains(addr):
		return netip.AddrFrom4([4]byte(b[12:16])), true
	case sixto4.Contains(addr):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	}
	return netip.Addr{}, false
}
