package smtp

import (
	"bytes"
	"strconv"
	"strings"
	"time"
)

// extensions are what a server offers in its reply to EHLO (RFC 5321 s. 4.1.1.1).
type extensions struct {
	pipelining    bool // RFC 2920
	chunking      bool // RFC 3030
	binary        bool // BINARYMIME, RFC 3030
	eightBit      bool // 8BITMIME, RFC 6152
	utf8          bool // SMTPUTF8, RFC 6531
	size          bool // RFC 1870
	sizeLimit     int64
	dsn           bool // RFC 3461
	startTLS      bool // RFC 3207
	requireTLS    bool // RFC 8689
	deliverBy     bool // RFC 2852
	deliverByMin  time.Duration
	priority      bool // MT-PRIORITY, RFC 6710
	futureRelease bool // RFC 4865
	holdMost      time.Duration
	holdUntil     time.Time
	limits        limits
	auth          []string // RFC 4954
}

// limits are those of RFC 9422. Zero: not given.
type limits struct{ mail, rcpt, domains int }

// parseExtensions reads the text of a reply to EHLO or LHLO; its first line is a greeting. Keywords
// are compared without case; what is malformed is as if it was not offered.
func parseExtensions(text []byte) (x extensions) {
	_, text, _ = bytes.Cut(text, []byte("\n"))
	for line := range bytes.Lines(text) {
		fields := strings.Fields(string(line))
		if len(fields) == 0 {
			continue
		}
		keyword, args := strings.ToUpper(fields[0]), fields[1:]
		// Some old servers say "AUTH=PLAIN LOGIN".
		if rest, ok := strings.CutPrefix(keyword, "AUTH="); ok {
			keyword, args = "AUTH", append([]string{rest}, args...)
		}
		x.add(keyword, args)
	}
	return x
}

func (x *extensions) add(keyword string, args []string) {
	switch keyword {
	case "PIPELINING":
		x.pipelining = true
	case "CHUNKING":
		x.chunking = true
	case "BINARYMIME":
		x.binary = true
	case "8BITMIME":
		x.eightBit = true
	case "SMTPUTF8":
		x.utf8 = true
	case "SIZE":
		x.size = true
		x.sizeLimit = number(args, 0)
	case "DSN":
		x.dsn = true
	case "STARTTLS":
		x.startTLS = true
	case "REQUIRETLS":
		x.requireTLS = true
	case "DELIVERBY":
		x.deliverBy = true
		x.deliverByMin = seconds(number(args, 0))
	case "MT-PRIORITY":
		x.priority = true
	case "FUTURERELEASE":
		x.futureRelease = true
		x.holdMost = seconds(number(args, 0))
		if len(args) > 1 {
			x.holdUntil, _ = time.Parse(time.RFC3339, args[1])
		}
	case "LIMITS":
		x.addLimits(args)
	case "AUTH":
		for _, m := range args {
			if len(x.auth) < 32 {
				x.auth = append(x.auth, strings.ToUpper(m))
			}
		}
	}
}

func (x *extensions) addLimits(args []string) {
	for _, a := range args {
		name, value, _ := strings.Cut(strings.ToUpper(a), "=")
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 {
			continue
		}
		switch name {
		case "MAILMAX":
			x.limits.mail = n
		case "RCPTMAX":
			x.limits.rcpt = n
		case "RCPTDOMAINMAX":
			x.limits.domains = n
		}
	}
}

// number reads a decimal argument; what is missing, malformed or too large is 0.
func number(args []string, i int) int64 {
	if i >= len(args) {
		return 0
	}
	n, err := strconv.ParseInt(args[i], 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// seconds is bounded, so that no server makes it overflow.
func seconds(n int64) time.Duration { return time.Duration(min(n, 1<<32)) * time.Second }
