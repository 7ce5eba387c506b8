package spf

import (
	"context"
	"errors"
	"net"
	"strings"
)

// counter is a DNS that counts the lookups as RFC 7208 s. 4.6.4 does: one for each term that asks, not one for each
// question. The addresses of MX hosts and of names from the reverse DNS are not counted.
type counter struct {
	DNS
	domain string
	record string
	last   string // whose record was asked for last
	broken error  // the syntax error that ended the check

	fetched        bool // the first record, which is free
	lookups, voids int
	free           map[string]int // hosts whose addresses come with a term that was counted
}

func (c *counter) LookupTXT(ctx context.Context, name string) ([]string, error) {
	first := !c.fetched
	c.fetched, c.last = true, name
	if !first { // include or redirect
		c.lookups++
	}
	list, err := c.DNS.LookupTXT(ctx, name)
	if err != nil {
		return nil, err
	}
	var records []string
	for _, text := range list {
		if !isRecord(text) {
			continue
		}
		records = append(records, text)
	}
	if first && len(records) == 1 {
		c.record = records[0]
	}
	if len(records) == 1 {
		if err := Validate(records[0]); err != nil {
			c.broken = err
			return nil, err
		}
	}
	return records, nil
}

// isRecord: RFC 7208 s. 4.5.
func isRecord(text string) bool {
	const version = "v=spf1"
	return len(text) >= len(version) && strings.EqualFold(text[:len(version)], version) &&
		(len(text) == len(version) || text[len(version)] == ' ')
}

func (c *counter) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	c.lookups++
	list, err := c.DNS.LookupMX(ctx, name)
	c.void(len(list), err)
	for _, m := range list {
		c.spare(m.Host)
	}
	return list, err
}

func (c *counter) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	c.lookups++
	list, err := c.DNS.LookupAddr(ctx, addr)
	c.void(len(list), err)
	for _, name := range list {
		c.spare(name)
	}
	return list, err
}

func (c *counter) LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error) {
	list, err := c.DNS.LookupIPAddr(ctx, host)
	if c.free[host] > 0 {
		c.free[host]--
		return list, err
	}
	c.lookups++
	c.void(len(list), err)
	return list, err
}

func (c *counter) spare(host string) {
	if c.free == nil {
		c.free = make(map[string]int)
	}
	c.free[host]++
}

func (c *counter) void(n int, err error) {
	var missing *net.DNSError
	if n == 0 && (err == nil || errors.As(err, &missing) && missing.IsNotFound) {
		c.voids++
	}
}
