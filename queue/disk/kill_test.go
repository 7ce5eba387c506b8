package disk_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postrider/postrider/queue"
	"github.com/postrider/postrider/queue/disk"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("DISK_KILL_DIR"); dir != "" {
		victim(dir)
		return
	}
	if dir := os.Getenv("DISK_RESTART_DIR"); dir != "" {
		restart(dir)
		return
	}
	os.Exit(m.Run())
}

// victim works a spool until it is killed, and says on its standard output what it was told: "put id digest" after Put
// returned, "sent id digest" when the far side has the body, "done id" after Settle returned.
func victim(dir string) {
	config := disk.Config{Dir: dir, Segment: 1 << 20}
	if os.Getenv("DISK_KILL_RESTLESS") != "" {
		config = config.Restless()
	}
	s, err := config.Open()
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	var mu sync.Mutex
	say := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Printf(format+"\n", args...) // one write: whole or not at all
	}
	say("ready")
	ctx := context.Background()
	for c := range 8 {
		go func() {
			for {
				body := make([]byte, 100+rand.IntN(8000))
				for i := range body {
					body[i] = byte(rand.Uint32())
				}
				st, err := s.Put(ctx, &queue.Batch{Now: time.Now(), Body: queue.Bytes(body), Items: []queue.Item{{To: "bob", Lane: fmt.Sprint(c)}}})
				if err != nil {
					say("error Put %v", err)
					os.Exit(1)
				}
				say("put %s %x", st.Message, sha256.Sum256(body))
			}
		}()
	}
	go func() {
		for {
			e, err := s.Events(ctx, queue.EventsRequest{Now: time.Now(), Lease: time.Minute})
			if err == nil && len(e) > 0 {
				s.Ack(ctx, e)
			}
		}
	}()
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for {
				// What a killed worker had is tried again some rounds later.
				l, err := s.Claim(ctx, queue.ClaimRequest{Now: time.Now(), Lease: 2 * time.Second, Max: 4})
				if err != nil {
					say("error Claim %v", err)
					os.Exit(1)
				}
				for _, i := range l.Items {
					deliver(s, l.Token, i.ID, say)
				}
			}
		})
	}
	workers.Wait()
}

func deliver(s *disk.Store, token string, id queue.ID, say func(string, ...any)) {
	body, err := read(s, id.Message)
	if err != nil {
		return // it was settled meanwhile by a worker whose lease had lapsed
	}
	say("sent %s %x", id.Message, sha256.Sum256([]byte(body)))
	lost, err := s.Settle(context.Background(), queue.Settlement{Now: time.Now(), Token: token,
		Outcomes: []queue.Outcome{{ID: id, State: queue.Delivered}}})
	if err == nil && len(lost) == 0 {
		say("done %s", id.Message)
	} else {
		say("lost %s", id.Message)
	}
}

// A process that works a spool is killed, again and again, every second time in the midst of checkpoints. DISK_KILLS says
// how often.
func TestKill(t *testing.T) {
	kills := 15
	if n, err := strconv.Atoi(os.Getenv("DISK_KILLS")); err == nil {
		kills = n
	}
	dir := t.TempDir()
	h := history{put: map[string]string{}, sent: map[string]int{}, done: map[string]bool{}, lost: map[string]int{}}
	for n := range kills {
		var env []string
		if n%2 == 1 {
			env = []string{"DISK_KILL_RESTLESS=1"}
		}
		h.round(t, dir, time.Duration(10+rand.IntN(150))*time.Millisecond, env...)
		if t.Failed() {
			return
		}
	}
	h.finish(t, dir)
	missing, twice, window := 0, 0, 0
	for id := range h.put {
		if h.sent[id] == 0 {
			missing++
		}
	}
	for _, n := range h.sent {
		if n > 1 {
			twice++
		}
	}
	for id, n := range h.sent {
		// Each sending but the last must have been cut before its Settle returned, or been refused because the
		// lease had lapsed.
		if n > 1 && n-1 > h.cut[id]+h.lost[id] {
			window++
			t.Errorf("message %s was sent %d times; %d times a kill cut it, %d times its lease had gone to another", id, n, h.cut[id], h.lost[id])
		}
	}
	if missing > 0 || h.again > 0 {
		t.Errorf("%d messages that were accepted are lost, %d were sent after they had been settled", missing, h.again)
	}
	t.Logf("%d kills, %d messages accepted, %d sent more than once, %d of them outside the window, %d lost", kills, len(h.put), twice, window, missing)
}

type history struct {
	put   map[string]string // digests
	sent  map[string]int
	done  map[string]bool
	lost  map[string]int // settles that were refused
	cut   map[string]int // sendings that a kill may have cut before the settle
	again int
}

// round runs a victim for a while and reads what it says.
func (h *history) round(t *testing.T, dir string, life time.Duration, env ...string) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), "DISK_KILL_DIR="+dir), env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	running := map[string]int{}
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			break // the last line may be torn: then nobody was told
		}
		f := strings.Fields(line)
		switch f[0] {
		case "ready":
			time.AfterFunc(life, func() { cmd.Process.Kill() })
		case "put":
			h.put[f[1]] = f[2]
		case "sent":
			h.see(t, f[1], f[2])
			running[f[1]]++
		case "done":
			h.done[f[1]] = true
			running[f[1]]--
		case "lost":
			h.lost[f[1]]++
			running[f[1]]--
		case "error":
			t.Errorf("the victim says %s", line)
		}
	}
	cmd.Wait()
	if h.cut == nil {
		h.cut = map[string]int{}
	}
	for id, n := range running {
		h.cut[id] += n
	}
}

func (h *history) see(t *testing.T, id, digest string) {
	if want, ok := h.put[id]; ok && want != digest {
		t.Errorf("message %s was sent with another body", id)
	} else if !ok {
		h.put[id] = digest // the Put was cut: it is stored, and nobody was told
	}
	if h.done[id] {
		h.again++
	}
	h.sent[id]++
}

// finish delivers what is left.
func (h *history) finish(t *testing.T, dir string) {
	s := open(t, disk.Config{Dir: dir, Segment: 1 << 20})
	for {
		now := time.Now().Add(time.Hour)
		l, err := s.Claim(t.Context(), queue.ClaimRequest{Now: now, Lease: time.Minute, Max: 1000})
		if err != nil {
			t.Fatal(err)
		}
		if len(l.Items) == 0 {
			return
		}
		st := queue.Settlement{Now: now, Token: l.Token}
		for _, i := range l.Items {
			body, err := read(s, i.ID.Message)
			if err != nil {
				t.Fatalf("the body of %v: %v", i.ID, err)
			}
			h.see(t, i.ID.Message, fmt.Sprintf("%x", sha256.Sum256([]byte(body))))
			st.Outcomes = append(st.Outcomes, queue.Outcome{ID: i.ID, State: queue.Delivered})
		}
		if _, err := s.Settle(t.Context(), st); err != nil {
			t.Fatal(err)
		}
	}
}
