// Program throughput measures how fast messages go over one connection: postrider beside Postfix's own
// load generator smtp-source, both against Postfix's smtp-sink, in turns, each in a process of its own.
//
//	smtp-source ─┐
//	postrider   ─┼─► one connection over loopback ─► smtp-sink
//	floor       ─┘
//
//	go run ./throughput                         with Postfix installed
//	go run ./throughput -postfix DIR            with Postfix unpacked in DIR (.ci/lab/lab install does so)
//
// It prints the median of the rounds: messages a second, processor time of the client for each message, and both as a
// ratio to smtp-source's in the same round. postrider-16 has sixteen goroutines that share the connection, as mail
// from a queue does; postrider-1 sends the next message when the last one is accepted, as smtp-source does; floor writes
// prepared octets and counts replies.
//
// Standards: RFC 5321 (SMTP), RFC 2920 (PIPELINING).
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"time"
)

func main() {
	log.SetFlags(0)
	postfix := flag.String("postfix", "", "folder that a Postfix package was unpacked in; empty: smtp-sink and smtp-source from the PATH")
	n := flag.Int("messages", 10000, "messages in a round")
	size := flag.Int("size", 10<<10, "octets of a message")
	rounds := flag.Int("rounds", 7, "rounds")
	client := flag.String("client", "", "be this client and send to -to (used by the program itself)")
	to := flag.String("to", "", "address of the sink")
	profile := flag.String("profile", "", "file for the client's processor profile")
	flag.Parse()
	if *client != "" {
		if err := runClient(*client, *to, *n, *size, *profile); err != nil {
			log.Fatal(err)
		}
		return
	}
	if err := run(*postfix, *n, *size, *rounds); err != nil {
		log.Fatal(err)
	}
}

// program is a command of Postfix's.
func program(ctx context.Context, postfix, name string, args ...string) *exec.Cmd {
	if postfix == "" {
		return exec.CommandContext(ctx, name, args...)
	}
	cmd := exec.CommandContext(ctx, filepath.Join(postfix, "usr/sbin", name), args...)
	cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+filepath.Join(postfix, "usr/lib/postfix"))
	return cmd
}

// figure is what one client did in one round.
type figure struct{ rate, cpu float64 } // messages a second, µs a message

func run(postfix string, n, size, rounds int) error {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	addr, stop, err := startSink(ctx, postfix)
	if err != nil {
		return err
	}
	defer stop()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	count, length := fmt.Sprint(n), fmt.Sprint(size)
	own := func(name string) func() *exec.Cmd {
		return func() *exec.Cmd {
			return exec.CommandContext(ctx, self, "-client", name, "-to", addr, "-messages", count, "-size", length)
		}
	}
	clients := []struct {
		name string
		cmd  func() *exec.Cmd
	}{
		{"smtp-source", func() *exec.Cmd {
			return program(ctx, postfix, "smtp-source", "-d", "-s", "1", "-m", count, "-l", length, "-f", sender, "-t", recipient, addr)
		}},
		{"postrider-1", own("postrider-1")},
		{"postrider-16", own("postrider-16")},
		{"floor", own("floor")},
	}
	figures := make([][]figure, len(clients))
	for range rounds {
		for i, c := range clients {
			f, err := measure(c.cmd(), n)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			figures[i] = append(figures[i], f)
		}
	}
	fmt.Printf("%d rounds of %d messages of %d octets over one connection; medians\n\n", rounds, n, size)
	fmt.Printf("%-14s %8s %12s %12s %12s\n", "client", "msgs/s", "of-source", "cpu-µs/msg", "cpu-of-source")
	for i, c := range clients {
		f, source := figures[i], figures[0]
		fmt.Printf("%-14s %8.0f %12.2f %12.1f %12.2f\n", c.name,
			median(f, func(j int) float64 { return f[j].rate }), median(f, func(j int) float64 { return f[j].rate / source[j].rate }),
			median(f, func(j int) float64 { return f[j].cpu }), median(f, func(j int) float64 { return f[j].cpu / source[j].cpu }))
	}
	return nil
}

func median(f []figure, value func(int) float64) float64 {
	v := make([]float64, len(f))
	for i := range v {
		v[i] = value(i)
	}
	slices.Sort(v)
	return v[len(v)/2]
}

// measure runs a client to its end. Both kinds of clients pay for their start.
func measure(cmd *exec.Cmd, n int) (figure, error) {
	cmd.Stderr = os.Stderr
	begin := time.Now()
	if err := cmd.Run(); err != nil {
		return figure{}, err
	}
	wall, cpu := time.Since(begin), cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime()
	return figure{float64(n) / wall.Seconds(), float64(cpu.Microseconds()) / float64(n)}, nil
}

// startSink runs smtp-sink on a free port of loopback.
func startSink(ctx context.Context, postfix string) (addr string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	addr = l.Addr().String()
	l.Close()
	args := []string{addr, "100"}
	if os.Geteuid() == 0 {
		args = append([]string{"-u", "nobody"}, args...)
	}
	cmd := program(ctx, postfix, "smtp-sink", args...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() {
		cmd.Process.Kill()
		cmd.Wait()
	}
	for range 100 {
		if c, err := net.Dial("tcp", addr); err == nil {
			return addr, stop, c.Close()
		}
		<-time.After(50 * time.Millisecond)
	}
	stop()
	return "", nil, fmt.Errorf("smtp-sink does not listen at %s", addr)
}
