package postrider

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/postrider/postrider/queue"
	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/smtp/dsn"
)

const (
	// bounceLife is how long a notification is tried: shorter than mail, for it has no other reader.
	bounceLife = 24 * time.Hour
	// fullPatience is how long a notification waits for room in the queue. Events are acknowledged in their order, so
	// that all wait with it; and a disk that is full of our own mail gets room only by acknowledgements.
	fullPatience = 10 * time.Minute
)

// bounces says whether the item has come to an end of which its sender should hear.
func bounces(i *queue.Item) bool {
	return i.State == queue.Failed || i.State == queue.Expired || i.State == queue.Damaged
}

// bounce queues a notification of failure to the return path (RFC 5321 s. 6.1), if one is wanted. It runs before
// the event is acknowledged, and its key is the item's: told again, it is not sent again. Mail with the null
// return path, as notifications have, gets none, so that there is no loop (s. 4.5.5).
func (c *Client) bounce(ctx context.Context, i *queue.Item, e *Event) error {
	if !bounces(i) {
		return nil
	}
	var p parcel
	var l label
	if err := json.Unmarshal(i.Common, &p); err != nil {
		return nil // nobody to tell
	}
	_ = json.Unmarshal(i.Meta, &l)
	if c.NoBounces || !dsn.Wanted(p.From, l.Notify, dsn.Failed) {
		return nil
	}
	report := c.report(i, e, &p, &l)
	if body, err := c.Queue.Open(ctx, i.ID.Message); err == nil {
		if r, err := body.Open(); err == nil {
			if report.Return(r, 0) != nil {
				report.Returned = nil // damaged: the report goes without
			}
			r.Close()
		}
	}
	if err := c.putReport(ctx, report, i); err != nil {
		return fmt.Errorf("no notification of failure to %s of mail to %s: %w", p.From, i.To, err)
	}
	return nil
}

// waits says whether a notification that could not be queued may be queued later, that long after its event. What the
// queue refuses for what it is will be refused again.
func waits(ctx context.Context, err error, since time.Duration) bool {
	switch {
	case ctx.Err() != nil, errors.Is(err, queue.ErrClosed):
		return true // for the next Run
	case errors.Is(err, ErrInvalid), errors.Is(err, queue.ErrKeyConflict):
		return false
	case errors.Is(err, queue.ErrFull):
		return since < fullPatience
	}
	return since < bounceLife
}

func (c *Client) report(i *queue.Item, e *Event, p *parcel, l *label) *dsn.Report {
	domain := p.From[strings.LastIndexByte(p.From, '@')+1:]
	r := &dsn.Report{
		// The domain of the return path is ours: it can be signed for, and its DMARC policy holds.
		From: "MAILER-DAEMON@" + domain, To: p.From, ReportingMTA: c.hostname(domain),
		EnvelopeID: p.EnvelopeID, ArrivalDate: i.Created, HeadersOnly: true,
		Recipients: []dsn.Recipient{{
			Address: i.To, Original: l.Original, Action: dsn.Failed, Status: cmp.Or(parseStatus(e.Status), smtp.EnhancedCode{5, 0, 0}),
			RemoteMTA: e.Host, Diagnostic: e.Reason,
		}},
	}
	if i.Attempts > 0 {
		r.Recipients[0].LastAttempt = i.Due
	}
	return r
}

// hostname is the name that this host goes by.
func (c *Client) hostname(otherwise string) string {
	if d, ok := c.transport().(*Direct); ok && d.Hello != "" {
		return d.Hello
	}
	if name, err := os.Hostname(); err == nil && name != "" {
		return name
	}
	return otherwise
}

// putReport signs a report and puts it into the queue.
func (c *Client) putReport(ctx context.Context, report *dsn.Report, about *queue.Item) error {
	var message bytes.Buffer
	if _, err := report.WriteTo(&message); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	finished, err := composeRaw(ctx, bytes.NewReader(message.Bytes()), "", c.Signer)
	if err != nil && c.Signer != nil {
		// A key that does not fit the domain shall not keep the sender from knowing.
		finished, err = composeRaw(ctx, bytes.NewReader(message.Bytes()), "", nil)
	}
	if err != nil {
		return err
	}
	defer finished.close()
	e := finished.envelope("", smtp.Addresses(report.To), report.UTF8())
	now := time.Now()
	short := c.Runner.Schedule
	short.GiveUp = bounceLife
	_, err = c.Queue.Put(ctx, &queue.Batch{
		Now: now, Key: "bounce:" + about.ID.String(), Tenant: about.Tenant, Keep: max(c.Keep, bounceLife),
		Common: marshal(parcel{MessageID: finished.messageID, EightBit: e.EightBit, UTF8: e.UTF8, Notification: true}),
		Body:   sealed{e},
		Items:  []queue.Item{{To: report.To, Lane: lane(c.transport(), report.To), Expires: short.Expires(now, time.Time{})}},
	})
	if err != nil {
		return queueError(err)
	}
	return nil
}
