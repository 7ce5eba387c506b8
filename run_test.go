package postrider_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/queue"
	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/smtp/dsn"
)

// receiver is a Transport for a queue: it keeps the mail and answers by recipient and attempt.
type receiver struct {
	answer func(to string, attempt int) smtp.Result // a zero Result accepts

	mu    sync.Mutex
	tries map[string]int
	mail  []postrider.Recorded
}

func (r *receiver) Deliver(ctx context.Context, e *smtp.Envelope) []smtp.Result {
	keep := &postrider.Record{}
	results := keep.Deliver(ctx, e)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mail = append(r.mail, keep.Mail()...)
	for i, to := range e.To {
		if r.tries == nil {
			r.tries = map[string]int{}
		}
		r.tries[to.Address]++
		if r.answer != nil {
			if a := r.answer(to.Address, r.tries[to.Address]); a.Err != nil {
				a.Recipient = to.Address
				results[i] = a
			}
		}
	}
	return results
}

func (r *receiver) letters() []postrider.Recorded {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.mail)
}

// diary is a Sink.
type diary struct {
	mu     sync.Mutex
	events []postrider.Event
}

func (d *diary) Record(_ context.Context, events ...postrider.Event) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.events = append(d.events, events...)
	return nil
}

func (d *diary) all() []postrider.Event {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.events)
}

// of writes the events of a recipient: type, attempt, status.
func (d *diary) of(to string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var s []string
	for _, e := range d.events {
		if e.Recipient == to {
			s = append(s, fmt.Sprint(e.Type, " ", e.Attempt, " ", e.Status))
		}
	}
	return strings.Join(s, ", ")
}

// posted runs a client with a queue in a bubble.
func posted(t *testing.T, answer func(to string, attempt int) smtp.Result, test func(t *testing.T, c *postrider.Client, r *receiver, d *diary),
	settings ...func(*postrider.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r, d := &receiver{answer: answer}, &diary{}
		c := &postrider.Client{Transport: r, Queue: &queue.Memory{}, Events: d}
		for _, set := range settings {
			set(c)
		}
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan error)
		go func() { over <- c.Run(ctx) }()
		test(t, c, r, d)
		cancel()
		if err := <-over; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func send(t *testing.T, c *postrider.Client, m *postrider.Message) *postrider.Receipt {
	t.Helper()
	receipt, err := c.Send(t.Context(), m)
	if err != nil {
		t.Fatalf("Send: %v", err)
	}
	return receipt
}

func status(t *testing.T, c *postrider.Client, id string) string {
	t.Helper()
	events, err := c.Status(t.Context(), id)
	if err != nil {
		return err.Error()
	}
	var s []string
	for _, e := range events {
		s = append(s, fmt.Sprint(e.Recipient, " ", e.Type))
	}
	return strings.Join(s, ", ")
}

// What is queued is what is sent, on every attempt.
func TestQueued(t *testing.T) {
	posted(t, func(to string, attempt int) smtp.Result {
		if to == "slow@example.net" && attempt < 3 {
			return refused(smtp.PhaseRcpt, 450, 4, 7, 1)
		}
		return smtp.Result{}
	}, func(t *testing.T, c *postrider.Client, r *receiver, d *diary) {
		m := hello("bob@example.org", "slow@example.net", "eve@EXAMPLE.org")
		m.Attachments = []postrider.Attachment{postrider.Bytes("a.bin", bytes.Repeat([]byte("0123456789"), 5000))}
		m.Tenant, m.Tags = "shop", []string{"invoice"}
		receipt := send(t, c, m)
		if receipt.QueueID == "" || receipt.Known || len(receipt.Results) > 0 || receipt.Size == 0 {
			t.Errorf("receipt %+v", receipt)
		}
		pass(time.Second)
		if got, want := status(t, c, receipt.QueueID), "bob@example.org delivered, slow@example.net deferred, eve@EXAMPLE.org delivered"; got != want {
			t.Errorf("status %q, want %q", got, want)
		}
		events, _ := c.Status(t.Context(), receipt.QueueID)
		if in := time.Until(events[1].Next); in < 50*time.Second || in > 70*time.Second {
			t.Errorf("next attempt in %v", in)
		}
		pass(time.Hour)
		if got, want := d.of("slow@example.net"), "queued 0 , deferred 1 4.7.1, deferred 2 4.7.1, delivered 3 2.0.0"; got != want {
			t.Errorf("events %q, want %q", got, want)
		}
		ids := map[string]bool{}
		for _, e := range d.all() {
			if ids[e.ID] || e.QueueID != receipt.QueueID || e.MessageID != receipt.MessageID || e.Tenant != "shop" || !slices.Equal(e.Tags, []string{"invoice"}) || e.Time.IsZero() {
				t.Errorf("event %+v", e)
			}
			ids[e.ID] = true
		}
		if len(r.letters()) != 4 {
			t.Fatalf("%d deliveries, want 4", len(r.letters()))
		}
		for _, mail := range r.letters() {
			if !bytes.Equal(mail.Message, r.letters()[0].Message) || mail.Envelope.From != "ada@example.com" || mail.Envelope.Size != receipt.Size {
				t.Errorf("another mail: %s", recipients(mail.Envelope))
			}
			if got := recipients(mail.Envelope); got != "bob@example.org eve@EXAMPLE.org" && got != "slow@example.net" {
				t.Errorf("delivered together: %s", got)
			}
		}
		if got := status(t, c, receipt.QueueID); !strings.Contains(got, queue.ErrNotFound.Error()) {
			t.Errorf("status after Keep: %s", got)
		}
	})
}

func TestQueuedKey(t *testing.T) {
	posted(t, nil, func(t *testing.T, c *postrider.Client, r *receiver, d *diary) {
		m := hello("bob@example.org")
		m.Key, m.HTML = "invoice-42", "<p>Hello</p>"
		first := send(t, c, m)
		pass(2 * time.Hour)
		again := send(t, c, m)
		if !again.Known || again.QueueID != first.QueueID || again.MessageID != first.MessageID {
			t.Errorf("second receipt %+v, first %+v", again, first)
		}
		m.Text = "Something else.\n"
		if _, err := c.Send(t.Context(), m); !errors.Is(err, queue.ErrKeyConflict) {
			t.Errorf("other mail with the same key: %v", err)
		}
		m.Tenant = "other"
		if other := send(t, c, m); other.Known || other.MessageID == first.MessageID {
			t.Errorf("receipt of another tenant %+v", other)
		}
		pass(time.Second)
		if len(r.letters()) != 2 {
			t.Errorf("%d deliveries, want 2", len(r.letters()))
		}
		if m.MessageID != "" {
			t.Error("Send wrote to the message")
		}
	})
}

func TestQueuedTimes(t *testing.T) {
	posted(t, always450, func(t *testing.T, c *postrider.Client, r *receiver, d *diary) {
		m := hello("bob@example.org")
		m.NotBefore, m.Deadline = time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
		receipt := send(t, c, m)
		pass(59 * time.Minute)
		if got := status(t, c, receipt.QueueID); got != "bob@example.org queued" || len(r.letters()) > 0 {
			t.Errorf("before its time: %s, %d attempts", got, len(r.letters()))
		}
		pass(62 * time.Minute)
		if got := d.of("bob@example.org"); !strings.HasPrefix(got, "queued 0 , deferred 1 4.7.1, ") || !strings.HasSuffix(got, "expired 5 5.4.7") {
			t.Errorf("events %s", got)
		}
		m.NotBefore, m.Deadline = time.Now().Add(2*time.Hour), time.Now().Add(time.Hour)
		if _, err := c.Send(t.Context(), m); !errors.Is(err, postrider.ErrInvalid) {
			t.Errorf("a deadline before the first attempt: %v", err)
		}
	})
}

func always450(string, int) smtp.Result { return refused(smtp.PhaseRcpt, 450, 4, 7, 1) }

// A failure is told to the return path, once, and never in a loop.
func TestQueuedBounce(t *testing.T) {
	posted(t, func(to string, attempt int) smtp.Result { return refused(smtp.PhaseRcpt, 550, 5, 1, 1) },
		func(t *testing.T, c *postrider.Client, r *receiver, d *diary) {
			m := hello("nobody@example.org")
			m.ReturnPath = "bounces@example.com"
			receipt := send(t, c, m)
			pass(24 * time.Hour)
			if got, want := d.of("nobody@example.org"), "queued 0 , bounced 1 5.1.1"; got != want {
				t.Errorf("events %q, want %q", got, want)
			}
			if got, want := d.of("bounces@example.com"), "queued 0 , bounced 1 5.1.1"; got != want {
				t.Errorf("events of the notification %q, want %q", got, want)
			}
			if len(r.letters()) != 2 {
				t.Fatalf("%d deliveries, want 2", len(r.letters()))
			}
			bounce := r.letters()[1]
			if bounce.Envelope.From != "" || recipients(bounce.Envelope) != "bounces@example.com" {
				t.Errorf("notification from %q to %s", bounce.Envelope.From, recipients(bounce.Envelope))
			}
			report, err := dsn.Parse(bytes.NewReader(bounce.Message))
			if err != nil {
				t.Fatal(err)
			}
			to := report.Recipients[0]
			if to.Address != "nobody@example.org" || to.Action != dsn.Failed || to.Status != (smtp.EnhancedCode{5, 1, 1}) ||
				report.ReturnedField("Message-ID") != "<"+receipt.MessageID+">" || !strings.Contains(to.Diagnostic, "550") {
				t.Errorf("report %+v", report)
			}
		})
}

func TestQueuedNoBounces(t *testing.T) {
	silent := func(c *postrider.Client) { c.NoBounces = true }
	posted(t, func(to string, attempt int) smtp.Result { return refused(smtp.PhaseRcpt, 550, 5, 1, 1) },
		func(t *testing.T, c *postrider.Client, r *receiver, d *diary) {
			send(t, c, hello("nobody@example.org"))
			pass(time.Hour)
			if len(r.letters()) != 1 {
				t.Errorf("%d deliveries, want 1", len(r.letters()))
			}
		}, silent)
}

// What is wrong on our side is no bounce: the mail waits until it is mended.
func TestQueuedOurFault(t *testing.T) {
	posted(t, func(to string, attempt int) smtp.Result {
		if attempt < 4 {
			return refused(smtp.PhaseAuth, 535, 5, 7, 8)
		}
		return smtp.Result{}
	}, func(t *testing.T, c *postrider.Client, r *receiver, d *diary) {
		send(t, c, hello("bob@example.org"))
		pass(2 * time.Hour)
		if got := d.of("bob@example.org"); !strings.HasPrefix(got, "queued 0 , deferred 1 5.7.8, ") || !strings.HasSuffix(got, "delivered 4 2.0.0") {
			t.Errorf("events %s", got)
		}
	})
}

func TestQueuedUnsure(t *testing.T) {
	lost := func(to string, attempt int) smtp.Result {
		if attempt == 1 {
			return failed(smtp.PhaseFinal, smtp.ErrUnsure)
		}
		return smtp.Result{}
	}
	posted(t, lost, func(t *testing.T, c *postrider.Client, r *receiver, d *diary) {
		send(t, c, hello("bob@example.org"))
		pass(time.Hour)
		if got, want := d.of("bob@example.org"), "queued 0 , deferred 1 4.4.2, delivered 2 2.0.0"; got != want {
			t.Errorf("events %q, want %q", got, want)
		}
	})
}

func TestQueueTrouble(t *testing.T) {
	c := &postrider.Client{Transport: &postrider.Record{}, Queue: &queue.Memory{Limit: 2000}}
	m := hello("bob@example.org")
	m.Text = strings.Repeat("x", 4000)
	if _, err := c.Send(t.Context(), m); !errors.Is(err, postrider.ErrTemporary) || !errors.Is(err, queue.ErrFull) {
		t.Errorf("full: %v", err)
	}
	m.Priority = 7
	if _, err := c.Send(t.Context(), m); !errors.Is(err, postrider.ErrInvalid) {
		t.Errorf("priority 7: %v", err)
	}
	if err := new(postrider.Client).Run(t.Context()); !errors.Is(err, postrider.ErrInvalid) {
		t.Errorf("Run without a Queue: %v", err)
	}
	if _, err := new(postrider.Client).Status(t.Context(), "x"); !errors.Is(err, postrider.ErrInvalid) {
		t.Errorf("Status without a Queue: %v", err)
	}
	if _, err := c.Status(t.Context(), "x"); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("Status of nothing: %v", err)
	}
}

// Finished messages, and mail through a relay, go the same way: one lane for the relay.
func TestQueuedRaw(t *testing.T) {
	store := &queue.Memory{}
	c := &postrider.Client{Transport: &postrider.Relay{Host: "relay.example"}, Queue: store}
	raw := "From: ada@example.com\nSubject: x\n\nHello.\n"
	receipt, err := c.SendRaw(t.Context(), "ada@example.com", []string{"bob@example.org", "eve@example.net"}, strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	items, err := store.List(t.Context(), queue.Query{Message: receipt.QueueID, Lane: "relay"})
	if err != nil || len(items) != 2 {
		t.Errorf("%d items in the relay's lane, %v", len(items), err)
	}
	c.Transport = &postrider.Direct{}
	receipt, err = c.SendRaw(t.Context(), "", []string{"bob@Example.ORG"}, strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	if items, _ = store.List(t.Context(), queue.Query{Message: receipt.QueueID}); items[0].Lane != "example.org" {
		t.Errorf("lane %q", items[0].Lane)
	}
}
