package disk_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postrider/postrider/queue"
	"github.com/postrider/postrider/queue/disk"
)

// The floors of a Put, measured in the same run and the same folder: raw is a group commit of bodies alone, one write and one
// fdatasync into a file whose room is allocated, as that of new segments is; recycled is the same into a file that was
// written to before, as segments are later: the file system then has nothing to note. file is one file and one fsync for each body.
// They and the store, of which all segments are new, are run in turns, and the turns' medians compared. x-written is what the
// process wrote, index and Close included, over the bytes of the messages; where the system does not count it, it is zero.
func BenchmarkPut(b *testing.B) {
	for _, c := range []struct{ callers, size int }{{1, 4 << 10}, {64, 4 << 10}, {64, 32 << 10}} {
		b.Run(fmt.Sprintf("%dx%dKB", c.callers, c.size>>10), func(b *testing.B) {
			b.ReportAllocs()
			var ours, raw, recycled, file, written rates
			for b.Loop() {
				dir := b.TempDir()
				for range 5 {
					raw.add(rawGroupCommit(b, dir, c.callers, c.size, false))
					recycled.add(rawGroupCommit(b, dir, c.callers, c.size, true))
					before := writtenBytes()
					rate, n := puts(b, dir, c.callers, c.size)
					ours.add(rate)
					written.add(float64(writtenBytes()-before) / float64(n*(c.size+len(envelope))))
					file.add(filePerMessage(b, dir, c.callers, c.size))
				}
			}
			report(b, ours, raw, file, written)
			b.ReportMetric(ours.median()/recycled.median(), "of-recycled")
		})
	}
}

func report(b *testing.B, ours, raw, file, written rates) {
	b.ReportMetric(ours.median(), "msg/s")
	b.ReportMetric(ours.median()/raw.median(), "of-raw")
	b.ReportMetric(ours.median()/file.median(), "x-file")
	b.ReportMetric(written.median(), "x-written")
	b.ReportMetric(0, "ns/op")
}

// writtenBytes is what the process has made the disk write, as Linux counts it.
func writtenBytes() (n int64) {
	b, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		fmt.Sscanf(line, "write_bytes: %d", &n)
	}
	return n
}

const turn = 400 * time.Millisecond

type rates []float64

func (r *rates) add(v float64) { *r = append(*r, v) }

func (r rates) median() float64 {
	s := append(rates(nil), r...)
	for i := range s {
		for k := i; k > 0 && s[k] < s[k-1]; k-- {
			s[k], s[k-1] = s[k-1], s[k]
		}
	}
	return s[len(s)/2]
}

// load calls one from many callers for a turn, and gives the calls a second.
func load(callers int, one func(caller, n int)) (rate float64, calls int) {
	var n atomic.Int64
	var all sync.WaitGroup
	begun := time.Now()
	for c := range callers {
		all.Go(func() {
			for k := 0; time.Since(begun) < turn; k++ {
				one(c, k)
				n.Add(1)
			}
		})
	}
	all.Wait()
	return float64(n.Load()) / time.Since(begun).Seconds(), int(n.Load())
}

func random(size int) []byte {
	b := make([]byte, size)
	rand.Read(b)
	return b
}

var bench atomic.Int64 // for names of folders

func fresh(b *testing.B, dir string) string {
	d := filepath.Join(dir, fmt.Sprint(bench.Add(1)))
	if err := os.Mkdir(d, 0o700); err != nil {
		b.Fatal(err)
	}
	return d
}

func puts(b *testing.B, dir string, callers, size int) (rate float64, n int) {
	dir = fresh(b, dir)
	defer os.RemoveAll(dir)
	s, err := disk.Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	body := random(size)
	return load(callers, func(c, n int) { put(b, s, body, fmt.Sprint(c%50)) })
}

func put(b testing.TB, s queue.Store, body []byte, lane string) {
	_, err := s.Put(context.Background(), &queue.Batch{Now: time.Now(), Body: queue.Bytes(body), Common: envelope,
		Items: []queue.Item{{To: "bob@example.org", Lane: lane}}})
	if err != nil {
		b.Error(err)
	}
}

var envelope = make([]byte, 200)

// rawGroupCommit is the least that a durable accept costs. Nothing is written twice, or all was written before.
func rawGroupCommit(b *testing.B, dir string, callers, size int, recycled bool) float64 {
	length := int64(2 << 30)
	if recycled {
		length = 64 << 20
	}
	f, err := disk.Preallocated(filepath.Join(fresh(b, dir), "raw"), length)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { f.Close(); os.Remove(f.Name()) }()
	if recycled {
		if err := disk.WriteSync(f, [][]byte{make([]byte, length)}, 0); err != nil {
			b.Fatal(err)
		}
	}
	type group struct {
		parts [][]byte
		done  chan struct{}
	}
	var mu sync.Mutex
	wake := sync.NewCond(&mu)
	g, over := &group{done: make(chan struct{})}, false
	go func() {
		for off := int64(0); ; {
			mu.Lock()
			for len(g.parts) == 0 && !over {
				wake.Wait()
			}
			now := g
			g = &group{done: make(chan struct{})}
			mu.Unlock()
			if len(now.parts) == 0 {
				return
			}
			if n := int64(len(now.parts) * size); off+n > length {
				off = 0
			}
			if err := disk.WriteSync(f, now.parts, off); err != nil {
				b.Error(err)
			}
			off += int64(len(now.parts) * size)
			close(now.done)
		}
	}()
	body := random(size)
	rate, _ := load(callers, func(int, int) {
		mu.Lock()
		mine := g
		mine.parts = append(mine.parts, append([]byte(nil), body...))
		mu.Unlock()
		wake.Signal()
		<-mine.done
	})
	mu.Lock()
	over = true
	mu.Unlock()
	wake.Signal()
	return rate
}

// filePerMessage is what Postfix does: a new file and one fsync for each message.
func filePerMessage(b *testing.B, dir string, callers, size int) float64 {
	dir = fresh(b, dir)
	defer os.RemoveAll(dir)
	body := random(size + 300)
	rate, _ := load(callers, func(c, n int) { writeFile(b, filepath.Join(dir, fmt.Sprint(c, "-", n)), body) })
	return rate
}

func writeFile(b *testing.B, path string, body []byte) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		b.Error(err)
		return
	}
	f.Write(body)
	if err := f.Sync(); err != nil {
		b.Error(err)
	}
	f.Close()
}

// A cycle is a Put, a Claim, reading the body, a Settle, and the events: accepted, delivered, told. A file is created, read and removed.
func BenchmarkCycle(b *testing.B) {
	for _, size := range []int{4 << 10, 32 << 10} {
		b.Run(fmt.Sprintf("64x%dKB", size>>10), func(b *testing.B) {
			b.ReportAllocs()
			var ours, file, raw, written rates
			for b.Loop() {
				dir := b.TempDir()
				for range 5 {
					raw.add(rawGroupCommit(b, dir, 64, size, true))
					before := writtenBytes()
					rate, n := cycles(b, dir, size)
					ours.add(rate)
					written.add(float64(writtenBytes()-before) / float64(n*(size+len(envelope))))
					file.add(fileCycles(b, dir, size))
				}
			}
			report(b, ours, raw, file, written)
		})
	}
}

// cycles gives the rate of the deliveries, and how many messages were put.
func cycles(b *testing.B, dir string, size int) (rate float64, puts int) {
	dir = fresh(b, dir)
	defer os.RemoveAll(dir)
	s, err := disk.Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	var delivered atomic.Int64
	begun := time.Now()
	room, news := make(chan struct{}, 4000), make(chan struct{}, 1) // for messages; for the outbox
	nudge := func() {
		select {
		case news <- struct{}{}:
		default:
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	work := make(chan queue.Lease, 64)
	all.Go(func() { // the runner
		defer close(work)
		for ctx.Err() == nil {
			l, err := s.Claim(ctx, queue.ClaimRequest{Now: time.Now(), Lease: time.Minute, Max: 64})
			if err != nil || len(l.Items) == 0 {
				if _, earlier, err := s.Next(ctx, time.Now()); err == nil {
					select {
					case <-earlier:
					case <-ctx.Done():
					}
				}
				continue
			}
			for k := 0; k < len(l.Items); k += 8 {
				work <- queue.Lease{Token: l.Token, Items: l.Items[k:min(k+8, len(l.Items))]}
			}
		}
	})
	all.Go(func() { // the outbox
		for {
			select {
			case <-news:
			case <-ctx.Done():
				return
			}
			for {
				e, err := s.Events(ctx, queue.EventsRequest{Now: time.Now(), Lease: time.Minute})
				if err != nil || len(e) == 0 {
					break
				}
				s.Ack(ctx, e)
			}
		}
	})
	for range 64 {
		all.Go(func() { // deliveries, each settled for itself
			buf := make([]byte, 32<<10)
			for l := range work {
				for _, i := range l.Items {
					readBody(b, s, i.ID.Message, size, buf)
					s.Settle(context.Background(), queue.Settlement{Now: time.Now(), Token: l.Token, Outcomes: []queue.Outcome{{ID: i.ID, State: queue.Delivered}}})
					delivered.Add(1)
					nudge()
					<-room
				}
			}
		})
	}
	body := random(size)
	_, puts = load(64, func(c, n int) {
		room <- struct{}{}
		put(b, s, body, fmt.Sprint(c%50))
		nudge()
	})
	rate = float64(delivered.Load()) / time.Since(begun).Seconds()
	stop()
	all.Wait()
	return rate, puts
}

func readBody(b *testing.B, s queue.Store, id string, size int, buf []byte) {
	body, err := s.Open(context.Background(), id)
	if err != nil {
		b.Error(err)
		return
	}
	r, err := body.Open()
	if err != nil {
		b.Error(err)
		return
	}
	defer r.Close()
	n := 0
	for {
		k, err := r.Read(buf)
		n += k
		if err != nil {
			break
		}
	}
	if n != size {
		b.Errorf("the body has %d bytes", n)
	}
}

func fileCycles(b *testing.B, dir string, size int) float64 {
	dir = fresh(b, dir)
	defer os.RemoveAll(dir)
	body := random(size + 300)
	rate, _ := load(64, func(c, n int) {
		path := filepath.Join(dir, fmt.Sprint(c, "-", n))
		writeFile(b, path, body)
		os.ReadFile(path)
		os.Remove(path)
	})
	return rate
}
