package postrider_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/queue"
	"github.com/postrider/postrider/report"
	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/smtp/dsn"
)

// What people do to mail that waits is told: an end as one event, a hold by Status only. None of it is a bounce to
// the return path, but an expiry is.
func TestQueuedChangedByPeople(t *testing.T) {
	stats := &report.Stats{}
	posted(t, always450, func(t *testing.T, c *postrider.Client, r *receiver, d *diary) {
		change := func(op queue.Op, id string) {
			t.Helper()
			if done, err := c.Queue.Update(t.Context(), queue.Change{Now: time.Now(), Op: op, Where: queue.Query{Message: id}, Note: []byte("by hand")}); err != nil || done.Items != 1 {
				t.Errorf("%s: %+v, %v", op, done, err)
			}
		}
		id := send(t, c, hello("bob@example.org")).QueueID
		pass(time.Second)
		change(queue.Hold, id)
		pass(24 * time.Hour)
		if got := status(t, c, id); got != "bob@example.org held" {
			t.Errorf("status %q", got)
		}
		change(queue.Cancel, id)
		pass(time.Minute)
		if got, want := d.of("bob@example.org"), "queued 0 , deferred 1 4.7.1, cancelled 1 "; got != want {
			t.Errorf("events %q, want %q", got, want)
		}
		if events := d.all(); events[len(events)-1].Reason != "by hand" {
			t.Errorf("last event %+v", events[len(events)-1])
		}
		if len(r.letters()) != 1 {
			t.Errorf("%d deliveries, want 1 and no notification", len(r.letters()))
		}
		if err := stats.Record(t.Context(), d.all()...); err != nil {
			t.Fatal(err)
		}
	})
	var rows string
	for _, row := range stats.Rows() {
		rows += fmt.Sprint(row.Day, " ", row.Domain, " ", row.Type, " ", row.Class, " ", row.Count, "; ")
	}
	if want := "2000-01-01 example.org deferred policy 1; 2000-01-01 example.org queued  1; 2000-01-02 example.org cancelled  1; "; rows != want {
		t.Errorf("statistics %q, want %q", rows, want)
	}
}

// Mail that nobody would take until it was too late ends once, as expired, and its sender is told.
func TestQueuedExpires(t *testing.T) {
	posted(t, func(to string, attempt int) smtp.Result {
		if to == "bob@example.org" {
			return refused(smtp.PhaseRcpt, 450, 4, 7, 1)
		}
		return smtp.Result{}
	}, func(t *testing.T, c *postrider.Client, r *receiver, d *diary) {
		m := hello("bob@example.org")
		m.Deadline = time.Now().Add(10 * time.Minute)
		send(t, c, m)
		pass(time.Hour)
		letters := r.letters()
		last := letters[len(letters)-1]
		if last.Envelope.From != "" || recipients(last.Envelope) != "ada@example.com" {
			t.Fatalf("the last mail is from %q to %s, want a notification", last.Envelope.From, recipients(last.Envelope))
		}
		told, err := dsn.Parse(bytes.NewReader(last.Message))
		if err != nil || told.Recipients[0].Action != dsn.Failed || told.Recipients[0].Status != (smtp.EnhancedCode{5, 4, 7}) {
			t.Errorf("notification %+v, %v", told, err)
		}
	})
}

// rotten is a store whose bodies are damaged.
type rotten struct{ queue.Store }

func (s rotten) Open(ctx context.Context, id string) (queue.Body, error) {
	return nil, fmt.Errorf("%s: %w", id, queue.ErrDamaged)
}

// A message whose copy is damaged is never attempted; it ends as bounced, and its sender is told without it.
func TestQueuedDamaged(t *testing.T) {
	posted(t, nil, func(t *testing.T, c *postrider.Client, r *receiver, d *diary) {
		id := send(t, c, hello("bob@example.org")).QueueID
		pass(time.Minute)
		if got, want := d.of("bob@example.org"), "queued 0 , bounced 1 5.3.0"; got != want {
			t.Errorf("events %q, want %q", got, want)
		}
		if got := status(t, c, id); got != "bob@example.org bounced" {
			t.Errorf("status %q", got)
		}
		if got, want := d.of("ada@example.com"), "queued 0 , bounced 1 5.3.0"; got != want {
			t.Errorf("events of the notification, which this store damages too: %q, want %q", got, want)
		}
		if len(r.letters()) != 0 {
			t.Errorf("%d deliveries of damaged mail", len(r.letters()))
		}
	}, func(c *postrider.Client) { c.Queue = rotten{c.Queue} })
}
