package postrider_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/queue"
	"github.com/postrider/postrider/smtp/dsn"
	"github.com/postrider/postrider/smtp/smtptest"
)

// A process that sends and delivers is killed without warning, again and again. Nothing that was accepted is lost or changed,
// mail comes twice only where a kill cut its delivery, and each recipient has one end. POSTRIDER_KILLS says how often.
func TestKill(t *testing.T) {
	kills := 12
	if n, err := strconv.Atoi(os.Getenv("POSTRIDER_KILLS")); err == nil {
		kills = n
	}
	server := (&smtptest.Server{
		Refuse: map[string]string{"nobody@example.org": "550 5.1.1 no such mailbox"},
		Delay:  map[string]time.Duration{"END": time.Millisecond},
	}).Start()
	defer server.Close()
	dir := t.TempDir()
	h := &killed{
		victim: victim{
			URL:    "smtp://" + server.Addr() + "?tls=none&hello=client.example.com&queue=disk:" + filepath.Join(dir, "spool"),
			Events: filepath.Join(dir, "events"),
		},
		accepted: map[string]string{}, names: map[string]string{}, cut: map[string]int{}, arrived: map[string]int{},
	}
	for h.Round = range kills {
		if h.round(t, time.Duration(20+rand.IntN(230))*time.Millisecond); t.Failed() {
			return
		}
	}
	h.drain(t)
	h.mail(t, server)
	h.again(t, h.events(t))
	t.Logf("%d kills, %d mails accepted, %d of them asked about again, of which %d were known",
		kills, len(h.accepted), h.retried, h.known)
}

// killed is what is known of the victims so far.
type killed struct {
	victim
	accepted       map[string]string // keys and the ids in the queue
	retried, known int
	names          map[string]string // keys and recipients of items
	cut            map[string]int    // deliveries of items that a kill may have cut before their end was stored
	arrived        map[string]int    // deliveries by the server's account
}

// round lets a victim live for a while and reads what it says.
func (h *killed) round(t *testing.T, life time.Duration) {
	text, err := json.Marshal(&h.victim)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "POSTRIDER_VICTIM="+string(text))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait() // its error is the kill
	h.retried += len(h.Retry)
	asked := map[string]bool{}
	for _, key := range h.Retry {
		asked[key] = true
	}
	flying := map[string]int{}
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			break // a line that is torn was told to nobody
		}
		switch f := strings.Fields(line); f[0] {
		case "ready":
			time.AfterFunc(life, func() { cmd.Process.Kill() })
		case "try":
			asked[f[1]] = true
		case "accepted":
			delete(asked, f[1])
			h.accepted[f[1]] = f[2]
			if f[3] == "true" {
				h.known++
			}
		case "claimed":
			h.names[f[1]] = f[2] + " " + f[3]
			flying[f[1]]++
		case "settled":
			flying[f[1]]--
		default:
			t.Errorf("the victim says %s", line)
		}
	}
	h.Retry = nil
	for key := range asked {
		h.Retry = append(h.Retry, key)
	}
	for id, n := range flying {
		h.cut[h.names[id]] += n
	}
}

// drain asks about the mail whose acceptance was cut, and delivers what is left, in this process.
func (h *killed) drain(t *testing.T) {
	c, err := openVictim(h.URL, h.Events)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Queue.Close()
	h.retried += len(h.Retry)
	for _, key := range h.Retry {
		r := send(t, c, killMail(key))
		if h.accepted[key] = r.QueueID; r.Known {
			h.known++
		}
	}
	left := func() bool {
		for _, state := range []queue.State{queue.Waiting, queue.Leased} {
			items, err := c.Queue.List(t.Context(), queue.Query{State: state, Limit: 1})
			if err != nil {
				t.Fatal(err)
			}
			if len(items) > 0 {
				return true
			}
		}
		return false
	}
	for again := true; again; again = left() { // the end of Run may tell of a failure, of which there is a notification
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		over := make(chan error)
		go func() { over <- c.Run(ctx) }()
		tick := time.NewTicker(10 * time.Millisecond)
		for left() && ctx.Err() == nil {
			<-tick.C
		}
		tick.Stop()
		if ctx.Err() != nil {
			t.Error("the queue does not get empty")
		}
		cancel()
		if err := <-over; err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.FailNow()
		}
	}
}

// mail holds what arrived against what was accepted.
func (h *killed) mail(t *testing.T, server *smtptest.Server) {
	messages := server.Messages()
	for _, m := range messages {
		if m.From == "" {
			h.notification(t, m)
			continue
		}
		key, _, _ := strings.Cut(m.Field("Message-ID"), "@")
		key = strings.TrimPrefix(key, "<")
		var want bytes.Buffer
		if _, err := killMail(key).WriteTo(&want); err != nil {
			t.Fatal(err)
		}
		if h.accepted[key] == "" || sha256.Sum256(m.Data) != sha256.Sum256(want.Bytes()) {
			t.Errorf("mail with other octets, or that nobody sent:\n%.500s", m.Data)
		}
		for _, to := range m.To {
			h.arrived[key+" "+to]++
		}
	}
	lost, twice, inFlight, notifications := 0, 0, 0, 0
	for key, id := range h.accepted {
		for n, to := range killMail(key).To {
			name := key + " " + to.Address
			if to.Address == "nobody@example.org" {
				name = fmt.Sprintf("bounce:%s/%d ada@example.com", id, n)
				notifications++
			}
			count := h.arrived[name]
			if count == 0 {
				lost++
				t.Errorf("%s is lost", name)
			}
			if twice += max(count-1, 0); count > 1+h.cut[name] {
				t.Errorf("%s arrived %d times, and a kill can have cut %d deliveries", name, count, h.cut[name])
			}
			delete(h.arrived, name)
		}
	}
	for name := range h.arrived {
		t.Errorf("%s was not sent", name)
	}
	for _, n := range h.cut {
		inFlight += n
	}
	t.Logf("%d messages arrived, %d deliveries lost, %d too many; %d were in flight when a kill came; %d notifications of failure",
		len(messages), lost, twice, inFlight, notifications)
}

// notification counts a notification of failure by the item that it is about.
func (h *killed) notification(t *testing.T, m *smtptest.Message) {
	report, err := dsn.Parse(bytes.NewReader(m.Data))
	if err != nil {
		t.Fatal(err)
	}
	key, _, _ := strings.Cut(strings.TrimPrefix(report.ReturnedField("Message-ID"), "<"), "@")
	for n, to := range killMail(key).To {
		if to.Address == report.Recipients[0].Address {
			h.arrived[fmt.Sprintf("bounce:%s/%d %s", h.accepted[key], n, m.To[0])]++
			return
		}
	}
	t.Errorf("a notification about no mail:\n%s", m.Data)
}

// events reads the file of events, and returns the ends by id in the queue and recipient.
func (h *killed) events(t *testing.T) map[string]postrider.Event {
	file, err := os.ReadFile(h.Events)
	if err != nil {
		t.Fatal(err)
	}
	seen, ends := map[string]time.Time{}, map[string]postrider.Event{}
	again, torn := 0, 0
	for line := range bytes.Lines(file) {
		var e postrider.Event
		if len(line) == 1 {
			continue
		}
		if json.Unmarshal(line, &e) != nil {
			torn++ // it was not acknowledged, and is told again
			continue
		}
		if at, ok := seen[e.ID]; ok {
			if again++; !at.Equal(e.Time) {
				t.Errorf("event %s is of %v and of %v", e.ID, at, e.Time)
			}
			continue
		}
		seen[e.ID] = e.Time
		if e.Type == postrider.EventQueued || e.Type == postrider.EventDeferred {
			continue
		}
		name := e.QueueID + " " + e.Recipient
		if _, ok := ends[name]; ok {
			t.Errorf("%s has more than one end", name)
		}
		ends[name] = e
	}
	t.Logf("%d events, %d of them ends, %d told again, %d lines torn", len(seen), len(ends), again, torn)
	return ends
}

// again asks after another restart about all mail: by Status, which has to agree with the events, and by the same Send.
func (h *killed) again(t *testing.T, ends map[string]postrider.Event) {
	c, err := openVictim(h.URL, h.Events)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Queue.Close()
	for key, id := range h.accepted {
		m := killMail(key)
		events, err := c.Status(t.Context(), id)
		if err != nil || len(events) != len(m.To) {
			t.Errorf("status of %s: %d recipients, %v", key, len(events), err)
		}
		for _, e := range events {
			want := postrider.EventDelivered
			if e.Recipient == "nobody@example.org" {
				want = postrider.EventBounced
			}
			if end := ends[id+" "+e.Recipient]; e.Type != want || end.Type != want || !end.Time.Equal(e.Time) {
				t.Errorf("%s to %s: status %s at %v, event %s at %v; want %s", key, e.Recipient, e.Type, e.Time, end.Type, end.Time, want)
			}
			delete(ends, id+" "+e.Recipient)
		}
		if r := send(t, c, m); !r.Known || r.QueueID != id {
			t.Errorf("%s sent again: %+v, and it is %s", key, r, id)
		}
	}
	for name, e := range ends {
		if !e.Notification || e.Type != postrider.EventDelivered {
			t.Errorf("an end of %s that nobody sent: %+v", name, e)
		}
	}
}
