package mx

import (
	"bufio"
	"cmp"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// servers says whom to ask, and how patiently.
type servers struct {
	addrs    []string // host:port
	timeout  time.Duration
	attempts int
	trusted  bool // all are on loopback addresses, or marked by trust-ad
}

const (
	defaultTimeout  = 5 * time.Second // resolv.conf(5)
	defaultAttempts = 2
	maxServers      = 3        // MAXNS of resolv.conf(5)
	maxResolvConf   = 64 << 10 // octets that are read of the file
)

// parseResolvConf reads what resolv.conf(5) says about name servers, timeout, attempts and trust-ad.
// Lines that mean nothing are passed over, as the C library does. Without servers the one on
// this machine is meant.
func parseResolvConf(r io.Reader, port string) servers {
	s := servers{timeout: defaultTimeout, attempts: defaultAttempts}
	loopback, marked := true, false
	lines := bufio.NewScanner(io.LimitReader(r, maxResolvConf))
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) < 2 {
			continue
		}
		switch words[0] {
		case "nameserver":
			addr, err := netip.ParseAddr(words[1])
			if err != nil || len(s.addrs) == maxServers {
				continue
			}
			s.addrs = append(s.addrs, joinPort(addr, port))
			loopback = loopback && addr.Unmap().IsLoopback()
		case "options":
			for _, option := range words[1:] {
				name, value, _ := strings.Cut(option, ":")
				n, err := strconv.Atoi(value)
				switch {
				case name == "timeout" && err == nil:
					s.timeout = time.Duration(min(max(n, 1), 30)) * time.Second
				case name == "attempts" && err == nil:
					s.attempts = min(max(n, 1), 5)
				case option == "trust-ad":
					marked = true
				}
			}
		}
	}
	if len(s.addrs) == 0 {
		s.addrs = []string{"127.0.0.1:" + port, "[::1]:" + port}
	}
	s.trusted = loopback || marked
	return s
}

func joinPort(addr netip.Addr, port string) string {
	if addr.Is6() {
		return "[" + addr.String() + "]:" + port
	}
	return addr.String() + ":" + port
}

// systemServers is /etc/resolv.conf, read again when it changes.
type systemServers struct {
	path    string // empty: /etc/resolv.conf
	mu      sync.Mutex
	checked time.Time
	changed time.Time
	servers servers
}

func (s *systemServers) get(port string) servers {
	const interval = 5 * time.Second
	s.mu.Lock()
	defer s.mu.Unlock()
	path := cmp.Or(s.path, "/etc/resolv.conf")
	now := time.Now()
	if s.servers.addrs != nil && now.Sub(s.checked) < interval {
		return s.servers
	}
	s.checked = now
	var changed time.Time
	if info, err := os.Stat(path); err == nil {
		changed = info.ModTime()
	}
	if s.servers.addrs != nil && changed.Equal(s.changed) {
		return s.servers
	}
	s.changed = changed
	file, err := os.Open(path)
	if err != nil {
		s.servers = parseResolvConf(strings.NewReader(""), port)
		return s.servers
	}
	defer file.Close()
	s.servers = parseResolvConf(file, port)
	return s.servers
}
