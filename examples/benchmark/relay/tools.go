//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
)

// bringByTool lets smtp-source bring the messages of a round.
func (b *bench) bringByTool(ctx context.Context, addr string) error {
	source := b.command(ctx, "smtp-source", "-d", "-s", fmt.Sprint(b.sessions), "-m", fmt.Sprint(b.n), "-l", fmt.Sprint(b.size),
		"-f", sender, "-t", recipient, addr)
	if out, err := source.CombinedOutput(); err != nil {
		return fmt.Errorf("smtp-source: %w: %s", err, out)
	}
	return nil
}

// startSinkTool starts smtp-sink, which shows its counters.
func (b *bench) startSinkTool(ctx context.Context) (*sink, error) {
	addr, err := freePort()
	if err != nil {
		return nil, err
	}
	s := &sink{addr: addr}
	cmd := b.command(ctx, "smtp-sink", "-u", "nobody", "-c", addr, "1000")
	cmd.Stdout, cmd.Stderr = &counters{sink: s}, os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s.end = func() error { return end(cmd) }
	starting, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := await(starting, addr); err != nil {
		s.end()
		return nil, err
	}
	return s, nil
}

// counters takes what smtp-sink -c prints: "sess=1 quit=0 mesg=7" and a CR, again and again.
type counters struct {
	sink *sink
	rest []byte
}

func (c *counters) Write(p []byte) (int, error) {
	c.rest = append(c.rest, p...)
	for {
		line, rest, found := strings.Cut(string(c.rest), "\r")
		if !found {
			return len(p), nil
		}
		if _, text, found := strings.Cut(line, "mesg="); found {
			var n int64
			fmt.Sscan(text, &n)
			c.sink.count.Store(n)
		}
		c.rest = []byte(rest)
	}
}
