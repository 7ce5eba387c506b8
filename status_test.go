package postrider_test

import (
	"testing"
	"time"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/queue"
	"github.com/postrider/postrider/smtp"
)

// Status tells when the latest event was, where that is kept, and never a time to come but as Next.
func TestStatusTimes(t *testing.T) {
	answer := func(to string, attempt int) smtp.Result {
		if attempt == 1 {
			return refused(smtp.PhaseRcpt, 450, 4, 7, 1)
		}
		return smtp.Result{}
	}
	posted(t, answer, func(t *testing.T, c *postrider.Client, r *receiver, d *diary) {
		const never = -1
		begun := time.Now()
		m := hello("bob@example.org")
		m.NotBefore, m.Key = begun.Add(48*time.Hour), "known for a day"
		id := send(t, c, m).QueueID
		at := func(after time.Duration) time.Time {
			if after == never {
				return time.Time{}
			}
			return begun.Add(after)
		}
		expect := func(what postrider.EventType, when, next time.Duration) {
			t.Helper()
			events, err := c.Status(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			// The schedule has a jitter of a tenth.
			if e := events[0]; e.Type != what || !e.Time.Equal(at(when)) || e.Next.Sub(at(next)).Abs() > 6*time.Second {
				t.Errorf("%s at %v, next %v; want %s at %v, next %v", e.Type, e.Time, e.Next, what, at(when), at(next))
			}
		}
		change := func(op queue.Op, due time.Duration) {
			t.Helper()
			done, err := c.Queue.Update(t.Context(), queue.Change{Now: time.Now(), Op: op, Where: queue.Query{Message: id}, Due: at(due)})
			if err != nil || done.Items != 1 {
				t.Errorf("%s: %+v, %v", op, done, err)
			}
		}
		pass(time.Hour)
		expect(postrider.EventQueued, 0, 48*time.Hour)
		change(queue.Hold, never)
		pass(time.Hour)
		expect(postrider.EventHeld, never, never)
		change(queue.Requeue, 4*time.Hour)
		expect(postrider.EventQueued, 0, 4*time.Hour)
		pass(2*time.Hour + time.Second)
		expect(postrider.EventDeferred, never, 4*time.Hour+time.Minute)
		change(queue.Hold, never)
		pass(time.Hour)
		expect(postrider.EventHeld, never, never)
		change(queue.Requeue, 6*time.Hour)
		pass(2 * time.Hour)
		expect(postrider.EventDelivered, 6*time.Hour, never)
	})
}

// Mail that a delivery has in hand stands as it stood before it.
func TestStatusInHand(t *testing.T) {
	posted(t, func(string, int) smtp.Result {
		<-time.After(time.Hour)
		return smtp.Result{}
	}, func(t *testing.T, c *postrider.Client, r *receiver, d *diary) {
		begun := time.Now()
		m := hello("bob@example.org")
		m.Key = "known for a day"
		id := send(t, c, m).QueueID
		pass(30 * time.Minute)
		events, err := c.Status(t.Context(), id)
		if err != nil || events[0].Type != postrider.EventQueued || !events[0].Time.Equal(begun) || events[0].Attempt != 1 {
			t.Errorf("%+v, %v", events, err)
		}
		pass(time.Hour)
		if got, want := status(t, c, id), "bob@example.org delivered"; got != want {
			t.Errorf("status %q, want %q", got, want)
		}
	})
}
