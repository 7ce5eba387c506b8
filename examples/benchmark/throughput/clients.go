package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postrider/postrider/smtp"
)

const sender, recipient, hello = "a@client.example.test", "b@example.test", "client.example.test"

func runClient(name, to string, n, size int, profile string) error {
	if profile != "" {
		f, err := os.Create(profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	switch name {
	case "postrider-1":
		return postrider(to, n, size, 1)
	case "postrider-16":
		return postrider(to, n, size, 16)
	case "floor":
		return floor(to, n, size)
	}
	return fmt.Errorf("unknown client %q", name)
}

func message(size int) []byte {
	m := []byte("From: <" + sender + ">\r\nTo: <" + recipient + ">\r\nSubject: throughput\r\n\r\n")
	for len(m) < size {
		m = append(append(m, strings.Repeat("X", min(78, max(0, size-len(m)-2)))...), "\r\n"...)
	}
	return m
}

// postrider delivers by so many callers that share one connection.
func postrider(to string, n, size, callers int) error {
	addr, err := netip.ParseAddrPort(to)
	if err != nil {
		return err
	}
	data := message(size)
	server := &smtp.Server{Host: "sink", Addrs: []netip.AddrPort{addr}, Security: smtp.Plaintext}
	pool := &smtp.Pool{Hello: hello, MaxConns: 1, MaxMessages: n, MaxAge: time.Hour, InFlight: callers}
	envelope := &smtp.Envelope{From: sender, To: smtp.Addresses(recipient), Size: int64(len(data)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }}
	ctx := context.Background()
	var next atomic.Int64
	var wait sync.WaitGroup
	errs := make([]error, callers)
	for i := range callers {
		wait.Go(func() {
			for errs[i] == nil && next.Add(1) <= int64(n) {
				errs[i] = pool.Deliver(ctx, server, envelope)[0].Err
			}
		})
	}
	wait.Wait()
	return errors.Join(append(errs, pool.Close(ctx))...)
}

// floor is what the protocol costs when nothing is prepared, checked or reported: the body, its dot and the
// next message's commands in one write, and a count of replies.
func floor(to string, n, size int) error {
	c, err := net.Dial("tcp", to)
	if err != nil {
		return err
	}
	defer c.Close()
	r := bufio.NewReader(c)
	await := func(codes ...string) error {
		for len(codes) > 0 {
			line, err := r.ReadSlice('\n')
			switch {
			case err != nil:
				return err
			case len(line) < 4 || string(line[:3]) != codes[0]:
				return fmt.Errorf("%q instead of %s", line, codes[0])
			case line[3] == ' ':
				codes = codes[1:]
			}
		}
		return nil
	}
	commands := []byte("MAIL FROM:<" + sender + ">\r\nRCPT TO:<" + recipient + ">\r\nDATA\r\n")
	last := append(message(size), ".\r\n"...)
	flight := append(bytes.Clone(last), commands...)

	err = await("220")
	write := func(data []byte, codes ...string) {
		if err == nil {
			if _, err = c.Write(data); err == nil {
				err = await(codes...)
			}
		}
	}
	write([]byte("EHLO "+hello+"\r\n"), "250")
	write(commands, "250", "250", "354")
	for range n - 1 {
		write(flight, "250", "250", "250", "354")
	}
	write(last, "250")
	return err
}
