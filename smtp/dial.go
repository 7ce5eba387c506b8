package smtp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

const (
	// attemptDelay is after how long the next address is tried while the last one has not answered
	// (RFC 8305 s. 5, the recommended value).
	attemptDelay = 250 * time.Millisecond
	// maxAddrs bounds the addresses of one host, for they come from somebody's DNS.
	maxAddrs = 16
)

// attempt is how one dial ended.
type attempt struct {
	conn net.Conn
	addr netip.AddrPort
	err  error
}

// dialAddrs connects to the first of the addresses that answers (Happy Eyeballs, RFC 8305 s. 5): the
// families take turns, a slow address does not hold up the next one, a failed one starts it at
// once, and whatever connects after the winner is closed. The error names every failure; addr is
// then the last address that failed.
func dialAddrs(ctx context.Context, dial func(ctx context.Context, network, address string) (net.Conn, error), network string, addrs []netip.AddrPort) (net.Conn, netip.AddrPort, error) {
	addrs = interleave(addrs)
	if len(addrs) == 0 {
		return nil, netip.AddrPort{}, errors.New("smtp: no address to dial")
	}
	ctx, cancel := context.WithCancel(ctx)
	results, over := make(chan attempt), make(chan struct{})
	defer close(over)
	defer cancel()
	try := func(addr netip.AddrPort) {
		c, err := dial(ctx, network, addr.String())
		select {
		case results <- attempt{c, addr, err}:
		case <-over:
			if err == nil {
				c.Close()
			}
		}
	}
	var failures error
	var last netip.AddrPort
	running := 0
	timer := time.NewTimer(0)
	defer timer.Stop()
	for len(addrs) > 0 || running > 0 {
		var start <-chan time.Time
		if len(addrs) > 0 {
			start = timer.C
		}
		select {
		case <-start:
			go try(addrs[0])
			addrs = addrs[1:]
			running++
			timer.Reset(attemptDelay)
		case a := <-results:
			if a.err == nil {
				return a.conn, a.addr, nil
			}
			running--
			failures, last = also(failures, a.err), a.addr
			timer.Reset(0)
		case <-ctx.Done():
			return nil, last, also(failures, context.Cause(ctx))
		}
	}
	return nil, last, failures
}

// also joins errors on one line, where errors.Join would make many.
func also(all, err error) error {
	switch {
	case all == nil:
		return err
	case err == nil:
		return all
	}
	return fmt.Errorf("%w; %w", all, err)
}

// interleave lets the families take turns, beginning with that of the first address (RFC 8305
// s. 4). Within a family the order stays.
func interleave(addrs []netip.AddrPort) []netip.AddrPort {
	if len(addrs) < 2 {
		return addrs
	}
	var first, second, mixed []netip.AddrPort
	six := func(a netip.AddrPort) bool { return a.Addr().Unmap().Is6() }
	for _, a := range addrs {
		if six(a) == six(addrs[0]) {
			first = append(first, a)
		} else {
			second = append(second, a)
		}
	}
	for i := 0; len(mixed) < len(addrs) && len(mixed) < maxAddrs; i++ {
		if i < len(first) {
			mixed = append(mixed, first[i])
		}
		if i < len(second) {
			mixed = append(mixed, second[i])
		}
	}
	return mixed[:min(len(mixed), maxAddrs)]
}
