//go:build linux

// Program relay measures a whole mail server that is made of postrider: it accepts mail by SMTP, signs it with
// Ed25519, stores it durably, and relays it. Beside it, in turns, Postfix does the same (it does not sign).
//
//	source ─► SMTP ─► sign ─► queue/disk ─► Run ─► Relay ─► sink
//	    goroutines ─► sign ─► queue/disk ─► Run ─► Relay ─► sink   (embedded)
//	source ─►                  Postfix                   ─► sink
//
//	go run ./relay -exec "../../.ci/lab/lab exec"           Postfix of the lab, as root, while the lab runs
//	go run ./relay -exec "../../.ci/lab/lab exec" -tools    with Postfix's smtp-source and smtp-sink
//	go run ./relay -postfix=false                           without Postfix
//
// Source and sink are the same for all and part of this program: they do next to nothing, for on a machine with few
// processors what they take is taken from the servers. Those of Postfix take most of two.
//
// All mail goes to one site, so the relay's one lane begins at its greatest width. Postfix runs with its defaults, which let as many
// deliveries run at once (default_process_limit 100), but 20 to one destination.
//
// The SMTP server before postrider is go-smtp's, with replies gathered for each flight; embedded is a program that calls SendRaw itself, from as many goroutines as
// the others have connections.
//
// A round ends when the sink has all messages. It prints for each server the median of the rounds: messages a second accepted and
// end to end, seconds of processor time for 1000 messages (of Postfix: of all its processes), and the ratios to
// Postfix in the same round.
package main

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	log.SetFlags(0)
	prefix := flag.String("exec", "", "words before each of Postfix's commands")
	postfix := flag.Bool("postfix", true, "measure Postfix, too")
	n := flag.Int("messages", 2000, "messages in a round")
	sessions := flag.Int("sessions", 64, "connections that bring mail")
	tools := flag.Bool("tools", false, "bring and take the mail by Postfix's smtp-source and smtp-sink")
	size := flag.Int("size", 10<<10, "octets of a message")
	rounds := flag.Int("rounds", 3, "rounds")
	listen := flag.String("listen", "", "be the relay that listens here (used by the program itself)")
	to := flag.String("to", "", "where the relay delivers")
	spool := flag.String("spool", "", "the relay's folder")
	profile := flag.String("profile", "", "file for the relay's processor profile")
	flag.Parse()
	if *listen != "" {
		if *profile != "" {
			f, err := os.Create(*profile)
			if err != nil {
				log.Fatal(err)
			}
			defer f.Close()
			if err := pprof.StartCPUProfile(f); err != nil {
				log.Fatal(err)
			}
			defer pprof.StopCPUProfile()
		}
		if err := relay(*listen, *to, *spool, os.Stdin, os.Stdout); err != nil {
			log.Fatal(err)
		}
		return
	}
	b := &bench{prefix: strings.Fields(*prefix), n: *n, sessions: *sessions, size: *size, profile: *profile, tools: *tools}
	if err := b.run(*rounds, *postfix); err != nil {
		log.Fatal(err)
	}
}

type bench struct {
	prefix            []string
	n, sessions, size int
	dir, profile      string
	tools             bool
	bring             func(ctx context.Context, addr string) error
	sink              *sink
}

// server is one that is measured. Its process and the descendants are what it costs.
type server struct {
	name, addr string
	cmd        *exec.Cmd
	send       func() error // nil: the source does
	stop       func() error
	rounds     []figure
}

type figure struct{ accepts, all, cpu float64 }

func (b *bench) run(rounds int, postfix bool) (err error) {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if b.dir, err = os.MkdirTemp("", "relay"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	if err := os.Chmod(b.dir, 0o755); err != nil {
		return err
	}
	if b.tools {
		b.bring = b.bringByTool
		b.sink, err = b.startSinkTool(ctx)
	} else {
		b.bring = func(ctx context.Context, addr string) error { return bring(ctx, addr, b.n, b.sessions, b.size) }
		b.sink, err = startSink()
	}
	if err != nil {
		return err
	}
	defer b.sink.end()
	starts := []func(context.Context) (*server, error){
		func(context.Context) (*server, error) { return b.startPostrider(false) },
		func(context.Context) (*server, error) { return b.startPostrider(true) },
	}
	if postfix {
		starts = append(starts, b.startPostfix)
	}
	var servers []*server
	for _, start := range starts {
		s, err := start(ctx)
		if err != nil {
			return err
		}
		defer s.stop()
		servers = append(servers, s)
	}
	for range rounds {
		for _, s := range servers {
			f, err := b.round(ctx, s)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			s.rounds = append(s.rounds, f)
		}
	}
	b.print(servers)
	return nil
}

func (b *bench) print(servers []*server) {
	last := servers[len(servers)-1].rounds
	fmt.Printf("%d rounds of %d messages of %d octets over %d connections; medians\n\n", len(last), b.n, b.size, b.sessions)
	fmt.Printf("%-10s %10s %10s %12s %10s %12s\n", "server", "accepts/s", "msgs/s", "of-last", "cpu-s/1000", "cpu-of-last")
	for _, s := range servers {
		f := s.rounds
		fmt.Printf("%-10s %10.0f %10.0f %12.2f %10.3f %12.2f\n", s.name,
			median(f, func(i int) float64 { return f[i].accepts }),
			median(f, func(i int) float64 { return f[i].all }), median(f, func(i int) float64 { return f[i].all / last[i].all }),
			median(f, func(i int) float64 { return f[i].cpu }), median(f, func(i int) float64 { return f[i].cpu / last[i].cpu }))
	}
}

func median(f []figure, value func(int) float64) float64 {
	v := make([]float64, len(f))
	for i := range v {
		v[i] = value(i)
	}
	slices.Sort(v)
	return v[len(v)/2]
}

// round sends the messages to the server and waits until the sink has them.
func (b *bench) round(ctx context.Context, s *server) (figure, error) {
	cpu := processorTime(s.cmd.Process.Pid)
	until := b.sink.count.Load() + int64(b.n)
	begin := time.Now()
	send := s.send
	if send == nil {
		send = func() error { return b.bring(ctx, s.addr) }
	}
	if err := send(); err != nil {
		return figure{}, err
	}
	accepted := time.Since(begin)
	for b.sink.count.Load() < until {
		if ctx.Err() != nil || time.Since(begin) > 5*time.Minute {
			return figure{}, fmt.Errorf("the sink lacks %d messages", until-b.sink.count.Load())
		}
		<-time.After(time.Millisecond)
	}
	all := time.Since(begin)
	cpu = processorTime(s.cmd.Process.Pid) - cpu
	n := float64(b.n)
	return figure{n / accepted.Seconds(), n / all.Seconds(), cpu.Seconds() / n * 1000}, nil
}

func (b *bench) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	words := append(slices.Clone(b.prefix), name)
	cmd := exec.CommandContext(ctx, words[0], append(words[1:], args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that end reaches what the words in front start
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	return cmd
}

// end ends a command with all it has started.
func end(cmd *exec.Cmd) error {
	syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
	return cmd.Wait()
}

func (b *bench) startPostrider(embedded bool) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	spool, profile := "queue", b.profile
	if embedded {
		spool, profile = "embedded", ""
	}
	cmd := exec.Command(self, "-listen", "127.0.0.1:0", "-to", b.sink.addr, "-spool", filepath.Join(b.dir, spool), "-profile", profile)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewReader(stdout)
	line, err := lines.ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("the relay did not start: %w", err)
	}
	s := &server{name: "postrider", addr: strings.TrimSpace(line), cmd: cmd, stop: func() error {
		stdin.Close()
		return cmd.Wait()
	}}
	if !embedded {
		return s, nil
	}
	s.name = "embedded"
	s.send = func() error {
		fmt.Fprintln(stdin, b.n, b.size, b.sessions)
		var accepted int
		if _, err := fmt.Fscanln(lines, &accepted); err != nil || accepted != b.n {
			return fmt.Errorf("%d of %d messages accepted: %w", accepted, b.n, err)
		}
		return nil
	}
	return s, nil
}

// freePort is an address of loopback where nobody listens.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// await waits until somebody listens at addr.
func await(ctx context.Context, addr string) error {
	for {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			return c.Close()
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("nobody listens at %s: %w", addr, err)
		}
	}
}

// processorTime is what a process and its descendants, the ended ones included, have used.
func processorTime(pid int) time.Duration {
	type process struct {
		parent int
		ticks  int64
	}
	all := map[int]process{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended: its parent has its time
		}
		var id, parent int
		fmt.Sscan(string(text), &id)
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])) // proc(5): from state, the third
		var p [4]int64
		fmt.Sscan(fields[1], &parent)
		for i := range p {
			fmt.Sscan(fields[11+i], &p[i]) // utime, stime, cutime, cstime
		}
		all[id] = process{parent, p[0] + p[1] + p[2] + p[3]}
	}
	var ticks int64
	for id, p := range all {
		for up := id; up != 0; up = all[up].parent {
			if up == pid {
				ticks += p.ticks
				break
			}
		}
	}
	return time.Duration(ticks) * time.Second / 100 // USER_HZ
}
