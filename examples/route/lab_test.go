package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// labCommand runs a program of the lab.
func labCommand(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "../../.ci/lab/lab", append([]string{"exec"}, args...)...).CombinedOutput()
	if err != nil && ctx.Err() != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return string(out) // posttls-finger's status says nothing about its verdict
}

// The verdicts on the lab's domains, and those of posttls-finger where it can judge: it knows DANE.
func TestLabVerdicts(t *testing.T) {
	if os.Getenv("LAB_DIR") == "" {
		t.Skip("lab is not running: see .ci/lab/README.md")
	}
	const verified, untrusted, none = "Verified TLS connection", "Untrusted TLS connection", ""
	for _, c := range []struct {
		domain string
		status int
		says   string
		finger string // what posttls-finger says of its one host; none: it is not asked
	}{
		{"dane.test", 0, "verdict: passes (dane)", verified},
		{"ta.dane.test", 0, "verdict: passes (dane)", verified},
		{"roll.dane.test", 0, "verdict: passes (dane)", verified},
		{"self.dane.test", 0, "verdict: passes (dane)", verified},
		{"old.dane.test", 0, "verdict: passes (dane)", verified},
		{"unusable.dane.test", 0, "verdict: passes (encrypted)", untrusted},
		{"plain.dane.test", 0, "verdict: passes (opportunistic)", untrusted},
		{"badane.test", 75, "verdict: FAILS the demand (dane)", untrusted},
		{"notls.badane.test", 75, "verdict: FAILS the demand (dane): STARTTLS is not offered", none}, // it says nothing without STARTTLS
		{"name.badane.test", 75, "verdict: FAILS the demand (dane)", untrusted},
		{"second.badane.test", 0, "verdict: FAILS the demand (dane)", untrusted}, // and the second host passes
		{"bogustlsa.test", 75, "TLSA lookup", "TLSA lookup error"},
		{"bogus.test", 75, "SERVFAIL", "address lookup failed"},
		{"example.test", 0, "verdict: passes (opportunistic)", untrusted},

		{"sts.test", 0, "verdict: passes (verified)", none},
		{"ststesting.test", 0, "verdict: passes (opportunistic)", none},
		{"stsnomatch.test", 75, "no mail server is in the domain's MTA-STS policy", none},
		{"stswrong.test", 75, "verdict: FAILS the demand (verified)", none},
		{"stsnone.test", 0, "verdict: passes (opportunistic)", none},
		{"sts404.test", 0, "verdict: passes (opportunistic)", none},
		{"stsredirect.test", 0, "verdict: passes (opportunistic)", none},
		{"stsbadcert.test", 0, "verdict: passes (opportunistic)", none},
		{"stsbadtxt.test", 0, "verdict: passes (opportunistic)", none},
		{"null.test", 69, "null MX", none},
		{"nothing.test", 69, "no MX record", none},
		{"alldead.test", 75, "cannot be reached", none},
		{"multi.test", 0, "verdict: passes (opportunistic)", none},
	} {
		t.Run(c.domain, func(t *testing.T) {
			var out bytes.Buffer
			status := run(t.Context(), []string{"-resolver", os.Getenv("LAB_RESOLVER"), "-ca", os.Getenv("LAB_CA"),
				"-allow", "loopback", "-probe", "-timeout", "10s", c.domain}, &out, &out)
			if status != c.status || !strings.Contains(out.String(), c.says) {
				t.Errorf("status %d, want %d with %q:\n%s", status, c.status, c.says, &out)
			}
			if c.finger == none {
				return
			}
			if peer := labCommand(t, "posttls-finger", "-c", "-l", "dane", c.domain); !strings.Contains(peer, c.finger) {
				t.Errorf("posttls-finger does not say %q:\n%s", c.finger, peer)
			}
		})
	}
}
