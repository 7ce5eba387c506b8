package disk_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postrider/postrider/queue"
	"github.com/postrider/postrider/queue/disk"
)

// backlog fills a spool with messages of 1 KB in 100 lanes, for bulk.
func backlog(b testing.TB, dir string, messages int) {
	s, err := disk.Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	body := random(1024)
	var all sync.WaitGroup
	const callers = 256
	for c := range callers {
		all.Go(func() {
			for n := c; n < messages; n += callers {
				_, err := s.Put(context.Background(), &queue.Batch{Now: time.Now(), Body: queue.Bytes(body), Common: envelope, Priority: queue.Bulk,
					Items: []queue.Item{{To: "bob@example.org", Lane: fmt.Sprint(n % 100)}}})
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkRestart opens a spool of a million messages (DISK_BACKLOG: of so many) in a process of its own: the time until it has the
// first lease and body, its memory then, and how long an urgent message waits behind the bulk.
func BenchmarkRestart(b *testing.B) {
	messages := 1_000_000
	if n, err := strconv.Atoi(os.Getenv("DISK_BACKLOG")); err == nil {
		messages = n
	}
	dir := b.TempDir()
	begun := time.Now()
	backlog(b, dir, messages)
	fill := float64(messages) / time.Since(begun).Seconds()
	for b.Loop() {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "DISK_RESTART_DIR="+dir)
		out, err := cmd.Output()
		if err != nil {
			b.Fatal(err)
		}
		var lease, urgent, dead, rss float64
		if _, err := fmt.Sscan(string(out), &lease, &urgent, &dead, &rss); err != nil {
			b.Fatalf("%q: %v", out, err)
		}
		b.ReportMetric(fill, "fill-msg/s")
		b.ReportMetric(lease, "ms-to-lease")
		b.ReportMetric(urgent, "ms-urgent")
		b.ReportMetric(dead, "of-lone-lane")
		b.ReportMetric(rss, "MB-rss")
	}
	b.ReportMetric(0, "ns/op")
}

// restart is the process of BenchmarkRestart. The binary it is and bbolt's mapped pages are in its memory.
func restart(dir string) {
	ms := func(since time.Time) float64 { return float64(time.Since(since).Microseconds()) / 1000 }
	ctx := context.Background()
	begun := time.Now()
	s, err := disk.Open(dir)
	check(err)
	l, err := s.Claim(ctx, queue.ClaimRequest{Now: time.Now(), Lease: time.Minute, Max: 1})
	check(err)
	_, err = read(s, l.Items[0].ID.Message)
	check(err)
	lease := ms(begun)
	rss := resident()

	begun = time.Now()
	_, err = s.Put(ctx, &queue.Batch{Now: time.Now(), Priority: queue.Urgent, Body: queue.Bytes("x"), Items: []queue.Item{{Lane: "7"}}})
	check(err)
	l, err = s.Claim(ctx, queue.ClaimRequest{Now: time.Now(), Lease: time.Minute, Max: 1})
	check(err)
	if l.Items[0].Priority != queue.Urgent {
		check(fmt.Errorf("the urgent message was not first"))
	}
	urgent := ms(begun)

	// A lane that is dead (no place in it) with all its items due, and one that is not: against one lane alone.
	one := func() time.Duration {
		begun := time.Now()
		for range 200 {
			_, err := s.Put(ctx, &queue.Batch{Now: time.Now(), Body: queue.Bytes("x"), Items: []queue.Item{{Lane: "alive"}}})
			check(err)
			l, err := s.Claim(ctx, queue.ClaimRequest{Now: time.Now(), Lease: time.Minute, Max: 1, PerLane: -1, Lanes: map[string]int{"alive": 1}})
			check(err)
			if len(l.Items) != 1 {
				check(fmt.Errorf("nothing to claim"))
			}
		}
		return time.Since(begun)
	}
	with := one()
	check(s.Close())
	empty, err := os.MkdirTemp(filepath.Dir(dir), "empty")
	check(err)
	defer os.RemoveAll(empty)
	s, err = disk.Open(empty)
	check(err)
	without := one()
	fmt.Println(lease, urgent, float64(with)/float64(without), rss)
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// resident is the memory of this process in MB.
func resident() float64 {
	b, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kb / 1024
		}
	}
	return 0
}
