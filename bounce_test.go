package postrider_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/queue"
	"github.com/postrider/postrider/report"
	"github.com/postrider/postrider/smtp"
)

// picky is a store that refuses notifications with an error until a time.
type picky struct {
	queue.Store
	err   error
	until time.Time
}

func (s picky) Put(ctx context.Context, b *queue.Batch) (queue.Stored, error) {
	if strings.HasPrefix(b.Key, "bounce:") && time.Now().Before(s.until) {
		return queue.Stored{}, s.err
	}
	return s.Store.Put(ctx, b)
}

// journal is a log in memory.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

// nobody refuses the addresses of nobody.
func nobody(to string, _ int) smtp.Result {
	if strings.HasPrefix(to, "nobody@") {
		return refused(smtp.PhaseRcpt, 550, 5, 1, 1)
	}
	return smtp.Result{}
}

// A notification waits for a store that does not take it now, and the event with it, so that a crash loses neither. A full store
// gets its room by the acknowledgement at last; what cannot get better is given up at once.
func TestBounceWaitsForStore(t *testing.T) {
	broken := errors.New("input/output error")
	for _, test := range []struct {
		name        string
		err         error
		lasts       time.Duration
		after, told time.Duration // when the event is told
		arrives     bool
	}{
		{"full for a minute", queue.ErrFull, time.Minute, 59 * time.Second, 3 * time.Minute, true},
		{"full for long", fmt.Errorf("%w: no space left on device", queue.ErrFull), 8 * time.Minute, 7 * time.Minute, 10 * time.Minute, true},
		{"full for ever", queue.ErrFull, 1000 * time.Hour, 9 * time.Minute, 12 * time.Minute, false},
		{"out of order for hours", broken, 3 * time.Hour, 2 * time.Hour, 4 * time.Hour, true},
		{"never takes it", broken, 1000 * time.Hour, 23 * time.Hour, 25 * time.Hour, false},
		{"key of other mail", queue.ErrKeyConflict, 1000 * time.Hour, 0, time.Second, false},
		{"too large", fmt.Errorf("%w: too many bytes beside the body", queue.ErrInvalid), 1000 * time.Hour, 0, time.Second, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			var log journal
			posted(t, nobody, func(t *testing.T, c *postrider.Client, r *receiver, d *diary) {
				send(t, c, hello("nobody@example.org"))
				pass(test.after)
				if got := d.of("nobody@example.org"); test.after > 0 && strings.Contains(got, "bounced") {
					t.Errorf("events %q before there was a notification", got)
				}
				pass(test.told - test.after)
				if got, want := d.of("nobody@example.org"), "queued 0 , bounced 1 5.1.1"; got != want {
					t.Errorf("events %q, want %q", got, want)
				}
				pass(time.Minute)
				letters := 0
				for _, mail := range r.letters() {
					if mail.Envelope.From == "" {
						letters++
					}
				}
				if arrived := letters == 1; letters > 1 || arrived != test.arrives {
					t.Errorf("%d notifications", letters)
				}
				if lost := strings.Count(log.String(), "a notification is given up"); lost > 1 || lost == 1 == test.arrives {
					t.Errorf("log:\n%s", log.String())
				}
			}, func(c *postrider.Client) {
				c.Queue = picky{c.Queue, test.err, time.Now().Add(test.lasts)}
				c.Log = slog.New(slog.NewTextHandler(&log, nil))
				if test.told > time.Hour {
					c.Runner.Poll = 20 * time.Minute // or it is tried each ten seconds of the day
				}
			})
		})
	}
}

// However many notifications a full store refuses, the events are behind by no more than the first had to wait, and each
// loss is logged once.
func TestBounceFullStoreGoesOn(t *testing.T) {
	var log journal
	posted(t, nobody, func(t *testing.T, c *postrider.Client, r *receiver, d *diary) {
		for n := range 30 {
			send(t, c, hello(fmt.Sprintf("nobody@d%d.example.org", n)))
			pass(time.Minute)
		}
		pass(14 * time.Minute)
		ended := 0
		for _, e := range d.all() {
			if e.Type == postrider.EventBounced {
				ended++
			}
		}
		if lost := strings.Count(log.String(), "a notification is given up"); ended != 30 || lost != 30 {
			t.Errorf("%d ends are told and %d losses logged, want 30", ended, lost)
		}
	}, func(c *postrider.Client) {
		c.Queue = picky{c.Queue, queue.ErrFull, time.Now().Add(1000 * time.Hour)}
		c.Log = slog.New(slog.NewTextHandler(&log, nil))
	})
}

// The events of a notification say that it is one, on every way, and statistics count the program's own mail alone.
func TestBounceEventsAreMarked(t *testing.T) {
	posted(t, nobody, func(t *testing.T, c *postrider.Client, r *receiver, d *diary) {
		send(t, c, hello("nobody@example.org"))
		m := hello("bob@example.org")
		m.ReturnPath = "<>" // mail like any other, but for its bounces
		send(t, c, m)
		pass(time.Minute)
		for _, e := range d.all() {
			if e.Notification != (e.Recipient == "ada@example.com") {
				t.Errorf("%+v", e)
			}
		}
		var stats report.Stats
		if err := stats.Record(t.Context(), d.all()...); err != nil {
			t.Fatal(err)
		}
		for _, row := range stats.Rows() {
			if row.Domain != "example.org" {
				t.Errorf("%+v", row)
			}
		}
		notes, err := c.Queue.List(t.Context(), queue.Query{To: "ada@example.com"})
		if err != nil || len(notes) != 1 {
			t.Fatalf("%d notifications, %v", len(notes), err)
		}
		if events, err := c.Status(t.Context(), notes[0].ID.Message); err != nil || !events[0].Notification {
			t.Errorf("status %+v, %v", events, err)
		}
	})
}
