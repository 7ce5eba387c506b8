package mx_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/postrider/postrider/mx"
	"github.com/postrider/postrider/mx/mxtest"
)

// guarded says for one address of each kind why it is refused; empty: it is not.
var guarded = map[string]string{
	"8.8.8.8": "", "9.255.255.255": "", "100.63.255.255": "", "100.128.0.0": "", "172.15.255.255": "", "172.32.0.0": "",
	"192.0.1.0": "", "198.17.255.255": "", "198.20.0.0": "", "223.255.255.255": "",
	"0.0.0.0": "unspecified", "0.1.2.3": "unspecified",
	"10.0.0.0": "private", "10.255.255.255": "private", "172.16.0.1": "private", "172.31.255.255": "private", "192.168.1.1": "private",
	"100.64.0.1": "shared by carriers", "100.127.255.255": "shared by carriers",
	"127.0.0.1": "loopback", "127.255.255.255": "loopback", "169.254.169.254": "link-local",
	"192.0.0.8": "reserved", "192.88.99.1": "reserved", "240.0.0.1": "reserved", "255.255.255.255": "reserved",
	"192.0.2.1": "for documentation", "198.51.100.1": "for documentation", "203.0.113.1": "for documentation",
	"198.18.0.1": "for measurements", "198.19.255.255": "for measurements",
	"224.0.0.1": "multicast", "239.255.255.255": "multicast",

	"2600::1": "", "2a00::1": "", "2001:4860:4860::8888": "", "2001:200::1": "",
	"::": "unspecified", "::1": "loopback", "fe80::1": "link-local", "fc00::1": "private", "fdff::1": "private",
	"ff02::1": "multicast", "fec0::1": "reserved", "100::1": "reserved", "5f00::1": "reserved", "4000::1": "reserved",
	"2001:db8::1": "for documentation", "3fff::1": "for documentation", "2001::1": "reserved", "2001:1ff::1": "reserved",
	"::ffff:8.8.8.8": "", "::ffff:127.0.0.1": "loopback", "::ffff:10.0.0.1": "private", "::127.0.0.1": "reserved",
	"64:ff9b::8.8.8.8": "", "64:ff9b::127.0.0.1": "loopback", "64:ff9b::a00:1": "private", "64:ff9b:1::8.8.8.8": "reserved",
	"2002:808:808::1": "", "2002:7f00:1::1": "loopback", "2002:a00:1::1": "private", "2002:c0a8:101::": "private",
}

func TestGuard(t *testing.T) {
	for text, why := range guarded {
		addr := netip.MustParseAddr(text)
		got := mx.Guard(addr, nil)
		if why == "" && got != nil || why != "" && (got == nil || !strings.Contains(got.Error(), "it is "+why+",")) {
			t.Errorf("%s: got %v, want %q", text, got, why)
		}
		if err := mx.Guard(addr, prefixes("0.0.0.0/0", "::/0")); err != nil {
			t.Errorf("%s with everything allowed: %v", text, err)
		}
	}
	for _, c := range []struct {
		addr, allow string
		refused     bool
	}{
		{"10.0.0.1", "10.0.0.0/24", false},
		{"10.0.1.1", "10.0.0.0/24", true},
		{"::ffff:10.0.0.1", "10.0.0.0/24", false},
		{"64:ff9b::10.0.0.1", "10.0.0.0/24", false},
		{"2002:a00:1::1", "10.0.0.0/24", false},
		{"fd00::1", "10.0.0.0/24", true},
		{"fd00::1", "fd00::/8", false},
		{"::1", "127.0.0.0/8", true},
	} {
		if err := mx.Guard(netip.MustParseAddr(c.addr), prefixes(c.allow)); (err != nil) != c.refused {
			t.Errorf("%s with %s allowed: %v", c.addr, c.allow, err)
		}
	}
}

// However a domain points to an address, the guard stands before it.
func TestGuardOnEveryWay(t *testing.T) {
	for text, why := range guarded {
		addr := netip.MustParseAddr(text)
		rr := "A"
		literal := "[" + text + "]"
		if addr.Is6() {
			rr, literal = "AAAA", "[IPv6:"+text+"]"
		}
		router := &mx.Router{Resolver: mxtest.MustParse(fmt.Sprintf(`
			own.test.   %[1]s %[2]s
			mx.test.    MX 10 own.test.
			alias.test. CNAME own.test.
			both.test.  MX 10 alias.test.`, rr, text))}
		for _, domain := range []string{"own.test", "mx.test", "alias.test", "both.test", literal} {
			route, err := router.Route(t.Context(), domain)
			if (err == nil) != (why == "") {
				t.Errorf("%s by %s: %s", text, domain, brief(route, err))
			}
		}
	}
}
