package postrider

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/postrider/postrider/queue"
	"github.com/postrider/postrider/smtp"
)

// Transport carries an envelope and says what became of each recipient, in their order. It
// returns exactly one result for each recipient and is safe for concurrent use.
type Transport interface {
	Deliver(ctx context.Context, e *smtp.Envelope) []smtp.Result
}

// Signer reads a message (RFC 5322, CRLF line ends) and returns complete header fields, each
// ended by CRLF, to be put before it. dkim.Signer is one.
type Signer interface {
	Sign(message io.Reader) (fields []byte, err error)
}

// Filter looks at a message before it is composed, and may change it: it is given a copy whose
// lists are its own. An error stops the sending.
type Filter func(ctx context.Context, m *Message) error

// Client sends mail. The zero value delivers directly to the servers of the recipients. Its
// fields are not changed after the first use; its methods are safe for concurrent use.
type Client struct {
	// Transport carries the mail. Nil: a *Direct with its zero value.
	Transport Transport
	// Signer signs every message. Nil: mail is not signed.
	Signer Signer
	// Filters see every message before it is composed, in their order.
	Filters []Filter
	// Queue keeps the mail until Run has delivered it: Send then returns when the mail is stored.
	// Nil: Send delivers before it returns.
	Queue queue.Store
	// Runner is how Run works the Queue: the schedule of attempts, how many at a time, the grace at the end.
	// Run sets its Store, Handler, Recorder and, where it is nil, Log.
	Runner queue.Runner
	// Keep is how long Status knows of queued mail after its end. Zero: 10 minutes, or a day for mail
	// with a Key, which is guarded against a second Send as long. Negative: not at all.
	Keep time.Duration
	// NoBounces stops the notifications to the return path of queued mail that could not be delivered
	// (RFC 5321 s. 6.1): Events alone tells.
	NoBounces bool
	// Events is told what happened to each recipient. Nil: nobody. For queued mail it must be set on the client that
	// runs the Queue.
	Events Sink
	// Log takes what cannot be told by a result, such as an event that the Sink refused. Nil:
	// nothing is logged.
	Log *slog.Logger

	direct Direct // stands in where Transport is nil
}

// Receipt says what became of a message.
type Receipt struct {
	// QueueID is what Status asks for. Empty: the mail was not queued.
	QueueID string
	// Known says that mail with the same Key was queued before: this is its QueueID, and nothing was
	// queued now.
	Known bool
	// MessageID is the Message-ID without angle brackets.
	MessageID string
	// Size is the number of octets of the finished message.
	Size int64
	// Results are the fates of the recipients: To, Cc and Bcc in their order, each address once.
	// Queued mail has none yet.
	Results []smtp.Result
}

// Send checks, composes and signs the message, delivers it, and returns once the fate of every
// recipient in this attempt is known. The error is nil when somebody else has taken
// responsibility for the mail to every recipient (RFC 5321 s. 4.2.5 and 6.1), and only then.
//
// An error that is ErrInvalid says that nothing was sent, because of the message. An *Error says
// what became of each recipient, as the Receipt does: errors.Is finds ErrTemporary,
// ErrPermanent, ErrPartial and smtp.ErrUnsure in it.
//
// With a Queue, Send returns when the mail is stored as durably as the Queue stores, which then has the
// responsibility. An error that is ErrTemporary says that the Queue could not take the mail, or not tell: with a Key it
// is safe to send again. One that is queue.ErrKeyConflict says that the Key belongs to different mail.
func (c *Client) Send(ctx context.Context, m *Message) (*Receipt, error) {
	m, err := c.filtered(ctx, c.keyed(m))
	if err != nil {
		return nil, err
	}
	if err := c.checkTimes(m); err != nil {
		return nil, err
	}
	finished, err := m.compose(ctx, c.Signer)
	if err != nil {
		return nil, err
	}
	defer finished.close()
	from, to, utf8, err := m.path()
	if err != nil {
		return nil, err
	}
	e := finished.envelope(from, to, utf8)
	e.RequireTLS, e.TLSOptional = m.RequireTLS, !m.RequireTLS && m.tlsOptional()
	mail := mailing{finished.messageID, m.Tenant, m.Tags}
	if c.Queue != nil {
		return c.enqueue(ctx, e, mail, m, finished.plain)
	}
	return c.deliver(ctx, e, mail)
}

// SendRaw sends a finished message (RFC 5322) to the envelope recipients in to; from is the
// envelope sender, and empty for the null reverse-path. Lines may end in LF or CRLF. Nothing is
// changed but that Bcc fields are removed, and Date and Message-ID are added where they are missing
// (RFC 6409 s. 8). Errors are those of Send.
func (c *Client) SendRaw(ctx context.Context, from string, to []string, message io.Reader) (*Receipt, error) {
	if message == nil {
		return nil, fmt.Errorf("%w: no message", ErrInvalid)
	}
	path, recipients, utf8, err := rawPath(from, to)
	if err != nil {
		return nil, err
	}
	finished, err := composeRaw(ctx, message, path, c.Signer)
	if err != nil {
		return nil, err
	}
	defer finished.close()
	e := finished.envelope(path, recipients, utf8)
	e.TLSOptional = finished.tlsOptional
	mail := mailing{messageID: finished.messageID}
	if c.Queue != nil {
		return c.enqueue(ctx, e, mail, &Message{}, nil)
	}
	return c.deliver(ctx, e, mail)
}

// filtered returns a copy of the message after the filters.
func (c *Client) filtered(ctx context.Context, m *Message) (*Message, error) {
	if m == nil {
		return nil, fmt.Errorf("%w: nil Message", ErrInvalid)
	}
	if len(c.Filters) == 0 {
		return m, nil
	}
	m = m.clone()
	for _, f := range c.Filters {
		if f == nil {
			continue
		}
		if err := f(ctx, m); err != nil {
			return nil, fmt.Errorf("postrider: filter: %w", err)
		}
	}
	return m, nil
}

// clone copies the message and its lists, so that a filter may append to them and change them.
func (m *Message) clone() *Message {
	n := *m
	for _, list := range []*[]Address{&n.To, &n.Cc, &n.Bcc, &n.ReplyTo} {
		*list = slices.Clone(*list)
	}
	n.Attachments = slices.Clone(n.Attachments)
	n.Alternatives = slices.Clone(n.Alternatives)
	n.References = slices.Clone(n.References)
	n.Header = slices.Clone(n.Header)
	n.Tags = slices.Clone(n.Tags)
	if n.Unsubscribe != nil {
		u := *n.Unsubscribe
		n.Unsubscribe = &u
	}
	return &n
}

// checkTimes refuses times that cannot be kept.
func (c *Client) checkTimes(m *Message) error {
	now := time.Now()
	if !m.Deadline.IsZero() && !now.Before(m.Deadline) {
		return fmt.Errorf("%w: Deadline has passed", ErrInvalid)
	}
	if !m.Deadline.IsZero() && m.Deadline.Before(m.NotBefore) {
		return fmt.Errorf("%w: Deadline lies before NotBefore", ErrInvalid)
	}
	if m.NotBefore.After(now) && c.Queue == nil {
		return fmt.Errorf("%w: NotBefore lies in the future, which needs a Queue", ErrInvalid)
	}
	return nil
}

// mailing is what events carry of a message.
type mailing struct {
	messageID, tenant string
	tags              []string
}

// deliver makes one attempt and tells the sink about it.
func (c *Client) deliver(ctx context.Context, e *smtp.Envelope, m mailing) (*Receipt, error) {
	results := c.attempt(ctx, e)
	c.record(ctx, m, results)
	receipt := &Receipt{MessageID: m.messageID, Size: e.Size, Results: results}
	if slices.ContainsFunc(results, func(r smtp.Result) bool { return r.Err != nil }) {
		return receipt, &Error{Results: results}
	}
	return receipt, nil
}

// attempt lets the transport deliver, and sees to it that every recipient has a result.
func (c *Client) attempt(ctx context.Context, e *smtp.Envelope) []smtp.Result {
	results := c.transport().Deliver(context.WithValue(ctx, noticeKey{}, c), e)
	if len(results) != len(e.To) {
		results = miscounted(e, len(results))
	}
	return results
}

// miscounted is what a transport that breaks its contract leaves: a fate that was not told is not known, for
// the mail may be on its way.
func miscounted(e *smtp.Envelope, n int) []smtp.Result {
	return smtp.Failed(e, smtp.PhaseFinal, "", fmt.Errorf("%w: the transport returned %d results for %d recipients", smtp.ErrUnsure, n, len(e.To)))
}

func (c *Client) transport() Transport {
	if c.Transport != nil {
		return c.Transport
	}
	return &c.direct
}

// record tells the sink what became of the recipients.
func (c *Client) record(ctx context.Context, m mailing, results []smtp.Result) {
	if c.Events == nil {
		return
	}
	events := make([]Event, len(results))
	for i, r := range results {
		events[i] = resultEvent(m, r)
	}
	c.tell(ctx, events...)
}

// tell gives events to the sink. A sink that fails never turns a success into a failure: it is logged.
func (c *Client) tell(ctx context.Context, events ...Event) {
	for i := range events {
		if events[i].Time.IsZero() {
			events[i].Time = time.Now()
		}
	}
	if err := c.Events.Record(context.WithoutCancel(ctx), events...); err != nil && c.Log != nil {
		c.Log.ErrorContext(ctx, "events were not recorded", "message-id", events[0].MessageID, "error", err)
	}
}

// Close ends idle connections of the client's transport, after transactions in flight have ended or
// ctx has. The client is not used after it.
func (c *Client) Close(ctx context.Context) error {
	if t, ok := c.transport().(interface{ Close(context.Context) error }); ok {
		return t.Close(ctx)
	}
	return nil
}

var errNoRecipient = errors.New("no recipient")
