package postrider_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/queue"
)

func TestMain(m *testing.M) {
	if text := os.Getenv("POSTRIDER_VICTIM"); text != "" {
		var v victim
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			panic(err)
		}
		v.live()
	}
	os.Exit(m.Run())
}

// victim is a process that sends and delivers until it is killed. It says on its standard output, in a write a line, what it is
// about to do and what it was told:
//
//	ready
//	try KEY                      before Send
//	accepted KEY QUEUEID KNOWN   after it
//	claimed ID KEY RECIPIENT     before a delivery
//	settled ID                   after its end is stored
//	error TEXT
type victim struct {
	URL, Events string
	Round       int
	Retry       []string // keys of which no victim before was told that they are accepted

	mu sync.Mutex
}

func (v *victim) live() {
	c, err := openVictim(v.URL, v.Events)
	v.must(err)
	c.Queue = told{c.Queue, v.say}
	v.say("ready")
	go func() { v.must(c.Run(context.Background())) }()
	for _, key := range v.Retry {
		v.send(c, key)
	}
	var senders sync.WaitGroup
	for s := range 4 {
		senders.Go(func() {
			tick := time.NewTicker(8 * time.Millisecond)
			for n := 0; ; n++ {
				v.send(c, fmt.Sprintf("%d-%d-%d", v.Round, s, n))
				<-tick.C
			}
		})
	}
	senders.Wait()
}

func (v *victim) send(c *postrider.Client, key string) {
	v.say("try %s", key)
	r, err := c.Send(context.Background(), killMail(key))
	v.must(err)
	v.say("accepted %s %s %t", key, r.QueueID, r.Known)
}

func (v *victim) say(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	fmt.Printf(format+"\n", args...) // one write: whole or not at all
}

func (v *victim) must(err error) {
	if err != nil {
		v.say("error %v", err)
		os.Exit(1)
	}
}

// openVictim opens a client with a queue whose events go to a file. What a victim had in hand is soon tried again.
func openVictim(url, events string) (*postrider.Client, error) {
	c, err := postrider.Open(url)
	if err != nil {
		return nil, err
	}
	c.Runner.Lease = 500 * time.Millisecond
	c.Runner.Schedule.Delays = []time.Duration{300 * time.Millisecond}
	f, err := os.OpenFile(events, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	c.Events = eventFile{f}
	_, err = f.WriteString("\n") // after a line that a kill tore
	return c, err
}

// eventFile is a Sink that appends events to a file, in one write each.
type eventFile struct{ f *os.File }

func (e eventFile) Record(_ context.Context, events ...postrider.Event) error {
	for _, event := range events {
		line, err := json.Marshal(event)
		if err != nil {
			return err
		}
		if _, err := e.f.Write(append(line, '\n')); err != nil {
			return err
		}
	}
	return nil
}

// told is a store that tells of the deliveries in flight.
type told struct {
	queue.Store
	say func(format string, args ...any)
}

func (s told) Claim(ctx context.Context, r queue.ClaimRequest) (queue.Lease, error) {
	l, err := s.Store.Claim(ctx, r)
	for _, i := range l.Items {
		s.say("claimed %s %s %s", i.ID, i.Key, i.To)
	}
	return l, err
}

func (s told) Settle(ctx context.Context, st queue.Settlement) ([]queue.ID, error) {
	lost, err := s.Store.Settle(ctx, st)
	for _, o := range st.Outcomes {
		if err == nil && o.State != queue.Leased && !slices.Contains(lost, o.ID) {
			s.say("settled %s", o.ID)
		}
	}
	return lost, err
}

// killMail is the mail of a key, always the same: whoever reads it knows its octets.
func killMail(key string) *postrider.Message {
	rng := rand.New(rand.NewChaCha8(sha256.Sum256([]byte(key))))
	m := &postrider.Message{
		From: postrider.Addr("", "ada@example.com"), Subject: "mail " + key, Key: key,
		MessageID: key + "@example.com", Date: time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC),
		Text: strings.Repeat(fmt.Sprintln("line", rng.Uint64()), 1+rng.IntN(100)),
	}
	for _, to := range [][]string{
		{"bob@example.org"}, {"bob@example.org", "eve@example.net"}, {"nobody@example.org", "bob@example.org"}, {"nobody@example.org"},
	}[rng.IntN(4)] {
		m.To = append(m.To, postrider.Addr("", to))
	}
	if rng.IntN(50) == 0 {
		m.Attachments = []postrider.Attachment{postrider.Bytes("large.bin", make([]byte, 200_000))}
	}
	return m
}
