package smtp_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/smtp"
)

// TestConnectTimeout has a network that never answers: the limit is that of all addresses together.
func TestConnectTimeout(t *testing.T) {
	for set, want := range map[time.Duration]time.Duration{0: 30 * time.Second, 7 * time.Second: 7 * time.Second} {
		for addrs := range 4 {
			synctest.Test(t, func(t *testing.T) {
				pool := &smtp.Pool{Timeouts: smtp.Timeouts{Connect: set}, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
					<-ctx.Done()
					return nil, ctx.Err()
				}}
				to := *clear
				for i := range addrs {
					to.Addrs = append(to.Addrs, netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 25))
				}
				begin := time.Now()
				r := pool.Deliver(t.Context(), &to, envelope("a@a.test", short, "b@b.test"))[0]
				if took := time.Since(begin); took != want || r.Phase != smtp.PhaseConnect || !errors.Is(r.Err, context.DeadlineExceeded) {
					t.Errorf("%d addresses: %v in phase %s after %v, want %v", addrs, r.Err, r.Phase, took, want)
				}
			})
		}
	}
}
