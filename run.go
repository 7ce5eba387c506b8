package postrider

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/postrider/postrider/queue"
	"github.com/postrider/postrider/smtp"
)

// Run delivers the mail in the Queue until ctx ends. Then it begins no more attempts, gives the running ones
// Runner.Grace to finish, gives back what was not tried, and returns nil. Without Run nothing that was
// queued is ever delivered; several processes may run a Queue that can be shared.
//
// Every recipient gets exactly one terminal event. What is told to Events may be told again after a crash, with the same
// ID.
func (c *Client) Run(ctx context.Context) error {
	if c.Queue == nil {
		return fmt.Errorf("%w: Run needs a Queue", ErrInvalid)
	}
	r := c.Runner
	r.Store, r.Handler, r.Recorder = c.Queue, courier{c}, clerk{c}
	if r.Log == nil {
		r.Log = c.Log
	}
	if d, ok := c.transport().(*Direct); ok {
		ctx, cancel := context.WithCancel(context.WithValue(ctx, noticeKey{}, c))
		var upkeep sync.WaitGroup
		upkeep.Go(func() { d.Upkeep(ctx) })
		defer upkeep.Wait() // nothing goes on when Run has returned, be it for a closed Queue
		defer cancel()
	}
	return r.Run(ctx)
}

// courier attempts deliveries for the queue.
type courier struct{ c *Client }

// Deliver makes an envelope again of what was put, and classifies the results.
func (k courier) Deliver(ctx context.Context, b queue.Body, items []queue.Item) []queue.Result {
	e, m, err := unpack(b, items)
	results := make([]queue.Result, len(items))
	if err != nil {
		// It was written by another version of this program, or by somebody else.
		note := marshal(note{Status: "4.3.0", Reason: err.Error(), Phase: smtp.PhaseLocal})
		for n := range results {
			results[n] = queue.Result{State: queue.Waiting, Note: note}
		}
		return results
	}
	for n, r := range k.c.attempt(ctx, e) {
		results[n] = fate(m, r, ctx.Err() != nil)
	}
	return results
}

// unpack makes the envelope of a delivery.
func unpack(b queue.Body, items []queue.Item) (*smtp.Envelope, mailing, error) {
	var p parcel
	if err := json.Unmarshal(items[0].Common, &p); err != nil {
		return nil, mailing{}, fmt.Errorf("the queue has an envelope that cannot be read: %w", err)
	}
	e := &smtp.Envelope{
		From: p.From, To: make([]smtp.Recipient, len(items)), Size: b.Size(), Open: func() (io.ReadCloser, error) { return b.Open() },
		EightBit: p.EightBit, UTF8: p.UTF8, Binary: p.Binary, RequireTLS: p.RequireTLS, TLSOptional: p.TLSOptional,
		EnvelopeID: p.EnvelopeID, Return: p.Return,
	}
	for n, i := range items {
		var l label
		if len(i.Meta) > 0 {
			if err := json.Unmarshal(i.Meta, &l); err != nil {
				return nil, mailing{}, fmt.Errorf("the queue has a recipient that cannot be read: %w", err)
			}
		}
		e.To[n] = smtp.Recipient{Address: i.To, Notify: l.Notify, Original: l.Original}
	}
	return e, mailing{p.MessageID, items[0].Tenant, p.Tags}, nil
}

// note is what the queue keeps of an attempt: Item.Note, in JSON.
type note struct {
	Status string     `json:"status,omitempty"`
	Reason string     `json:"reason,omitempty"`
	Host   string     `json:"host,omitempty"`
	Phase  smtp.Phase `json:"phase,omitempty"`
	TLS    string     `json:"tls,omitempty"`
}

const longestReason = 2000 // octets of a reason that are kept

// fate tells the queue what a result means.
func fate(m mailing, r smtp.Result, cut bool) queue.Result {
	e, v := resultEvent(m, r), Classify(r)
	if len(e.Reason) > longestReason {
		e.Reason = e.Reason[:longestReason]
	}
	q := queue.Result{Note: marshal(note{e.Status, e.Reason, e.Host, e.Phase, e.TLS})}
	switch v.Fate {
	case FateDelivered:
		q.State = queue.Delivered
	case FateUnknown:
		q.Unsure = true
	case FatePermanent:
		q.State = queue.Failed
		if v.Ours {
			q.State = queue.Waiting // somebody mends the configuration, and the mail goes out
		}
	}
	if r.Err != nil && !cut {
		q.LaneDown, q.LaneBusy = health(r)
	}
	return q
}

// health says how the lane fared: down if there was no session to speak of, busy if the server
// closed one for lack of resources (421, RFC 5321 s. 3.8). A refusal of this mail says nothing of the lane.
func health(r smtp.Result) (down, busy bool) {
	var reply *smtp.ReplyError
	if errors.As(r.Err, &reply) && reply.Reply.Permanent() {
		return false, false
	}
	switch r.Phase {
	case smtp.PhaseRoute, smtp.PhaseConnect, smtp.PhaseGreeting, smtp.PhaseHello, smtp.PhaseTLS:
		return Classify(r).Fate == FateTemporary, false
	}
	return false, r.Reply.Code == 421
}

// clerk writes down events of the queue.
type clerk struct{ c *Client }

// Record sends notifications and tells the Sink. As long as a notification waits for the queue, no event is told.
func (k clerk) Record(ctx context.Context, events []queue.Event) error {
	told := make([]Event, 0, len(events))
	var lost []error // notifications
	for _, e := range events {
		if k.c.Events == nil && !bounces(&e.Item) { // nobody listens
			continue
		}
		t := itemEvent(&e.Item)
		t.Time = e.At
		t.ID = fmt.Sprintf("%s.%d.%s", e.Item.ID, e.Item.Attempts, t.Type)
		if err := k.c.bounce(ctx, &e.Item, &t); err != nil {
			if waits(ctx, err, time.Since(e.At)) {
				return err
			}
			lost = append(lost, err)
		}
		told = append(told, t)
	}
	if k.c.Events != nil {
		if err := k.c.Events.Record(ctx, told...); err != nil {
			return err
		}
	}
	if k.c.Log != nil {
		for _, err := range lost {
			k.c.Log.ErrorContext(ctx, "a notification is given up", "error", err)
		}
	}
	return nil
}

// itemEvent is the latest event of an item. Its Time is zero where the queue does not keep it.
func itemEvent(i *queue.Item) Event {
	var p parcel
	var n note
	// What cannot be read stays empty: an event without details is better than none.
	_ = json.Unmarshal(i.Common, &p)
	_ = json.Unmarshal(i.Note, &n)
	e := Event{
		Type: EventDeferred, QueueID: i.ID.Message, MessageID: p.MessageID, Recipient: i.To, Tenant: i.Tenant, Tags: p.Tags,
		Notification: p.Notification, Status: n.Status, Reason: n.Reason, Host: n.Host, Phase: n.Phase, TLS: n.TLS, Attempt: i.Attempts,
	}
	if i.State.Ended() {
		e.Time = i.Due
	}
	switch i.State {
	case queue.Delivered:
		e.Type = EventDelivered
	case queue.Failed:
		e.Type = EventBounced
	case queue.Damaged:
		e.Type, e.Status, e.Reason = EventBounced, "5.3.0", "the queue's copy of the message is damaged"
	case queue.Expired:
		// RFC 3463 s. 3.5: delivery time expired.
		e.Type, e.Status, e.Reason = EventExpired, "5.4.7", cmp.Or(e.Reason, "there was no attempt before it was too late")
	case queue.Cancelled:
		e.Type, e.Status, e.Reason = EventCancelled, "", string(i.Note)
		if json.Valid(i.Note) { // the note of an attempt before
			e.Reason = n.Reason
		}
	case queue.Held:
		e.Type = EventHeld
	default:
		if e.Next = i.Due; len(i.Note) == 0 {
			e.Type, e.Time = EventQueued, i.Created
		}
	}
	return e
}

// Status says where each recipient of queued mail stands: its latest event. The id is the Receipt's. The error is
// queue.ErrNotFound when the queue does not know the mail, or not any more: see Keep.
//
//	Type                                     Time         Next
//	queued: no attempt has ended             of the Send  first attempt
//	deferred                                 not kept     next attempt
//	held: until a person requeues it         not kept     none
//	delivered, bounced, expired, cancelled   of the end   none
//
// What is not kept, and none, is zero. Mail stands as before while an attempt runs; Attempt counts it, and Next is
// when another begins if nothing more is heard of it.
func (c *Client) Status(ctx context.Context, id string) ([]Event, error) {
	if c.Queue == nil {
		return nil, fmt.Errorf("%w: Status needs a Queue", ErrInvalid)
	}
	var events []Event
	q := queue.Query{Message: id, Limit: 500}
	for id != "" {
		items, err := c.Queue.List(ctx, q)
		if err != nil {
			return nil, fmt.Errorf("postrider: %w", err)
		}
		for _, i := range items {
			events = append(events, itemEvent(&i))
		}
		if len(items) < q.Limit {
			break
		}
		q.After = items[len(items)-1].ID
	}
	if len(events) == 0 {
		return nil, fmt.Errorf("postrider: %w", queue.ErrNotFound)
	}
	return events, nil
}
