package postrider

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/postrider/postrider/queue"
	"github.com/postrider/postrider/smtp"
)

// parcel is what the queue keeps of a message beside its octets: Item.Common, in JSON.
type parcel struct {
	From         string      `json:"from,omitempty"`
	MessageID    string      `json:"id,omitempty"`
	Tags         []string    `json:"tags,omitempty"`
	EightBit     bool        `json:"8bit,omitempty"`
	UTF8         bool        `json:"utf8,omitempty"`
	Binary       bool        `json:"binary,omitempty"`
	RequireTLS   bool        `json:"requiretls,omitempty"`
	TLSOptional  bool        `json:"tlsoptional,omitempty"`
	EnvelopeID   string      `json:"envid,omitempty"`
	Return       smtp.Return `json:"ret,omitempty"`
	Notification bool        `json:"notification,omitempty"`
}

// label is what the queue keeps of a recipient beside its address: Item.Meta, in JSON; empty for a plain one.
type label struct {
	Notify   smtp.Notify `json:"notify,omitempty"`
	Original string      `json:"orcpt,omitempty"`
}

// keyed gives mail with a Key a Message-ID that follows from the key, so that the same mail is composed in the same
// octets again, and a receiver too can tell that it is the same.
func (c *Client) keyed(m *Message) *Message {
	if c.Queue == nil || m == nil || m.Key == "" || m.MessageID != "" {
		return m
	}
	address, _, err := parseAddress(m.From.Address)
	if err != nil {
		return m // compose says what is wrong
	}
	k := *m
	sum := sha256.Sum256([]byte(m.Tenant + "\x00" + m.Key))
	k.MessageID = base32.StdEncoding.EncodeToString(sum[:15]) + address[strings.LastIndexByte(address, '@'):]
	return &k
}

// enqueue puts finished mail into the queue. Of m it reads the key, tenant, priority and times; plain is that of
// composed.
func (c *Client) enqueue(ctx context.Context, e *smtp.Envelope, mail mailing, m *Message, plain []byte) (*Receipt, error) {
	now := time.Now()
	first := now
	if m.NotBefore.After(now) {
		first = m.NotBefore
	}
	b := &queue.Batch{
		Now: now, Key: m.Key, Tenant: m.Tenant, Priority: queue.Priority(m.Priority), Keep: c.keep(m.Key),
		Body: sealed{e}, Items: make([]queue.Item, len(e.To)),
	}
	b.Common = marshal(parcel{
		From: e.From, MessageID: mail.messageID, Tags: mail.tags, EightBit: e.EightBit, UTF8: e.UTF8, Binary: e.Binary,
		RequireTLS: e.RequireTLS, TLSOptional: e.TLSOptional, EnvelopeID: e.EnvelopeID, Return: e.Return,
	})
	for i, to := range e.To {
		b.Items[i] = queue.Item{To: to.Address, Lane: lane(c.transport(), to.Address), Due: first,
			Expires: c.Runner.Schedule.Expires(first, m.Deadline)}
		if l := (label{to.Notify, to.Original}); l != (label{}) {
			b.Items[i].Meta = marshal(l)
		}
	}
	if m.Key != "" {
		var err error
		if b.Fingerprint, err = fingerprint(e, plain); err != nil {
			return nil, err
		}
	}
	stored, err := c.Queue.Put(ctx, b)
	if err != nil {
		return nil, queueError(err)
	}
	return &Receipt{QueueID: stored.Message, Known: stored.Known, MessageID: mail.messageID, Size: e.Size}, nil
}

// keep is how long the queue knows of mail after its end.
func (c *Client) keep(key string) time.Duration {
	switch {
	case c.Keep < 0:
		return 0
	case c.Keep > 0:
		return c.Keep
	case key != "":
		return 24 * time.Hour
	}
	return 10 * time.Minute
}

// queueError says what to do about an error of the queue.
func queueError(err error) error {
	switch {
	case errors.Is(err, queue.ErrKeyConflict):
		return fmt.Errorf("postrider: %w", err)
	case errors.Is(err, queue.ErrInvalid):
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return fmt.Errorf("%w: %w", ErrTemporary, err)
}

// marshal writes what always can be written as JSON.
func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// sealed is an envelope's content as a body for the queue.
type sealed struct{ e *smtp.Envelope }

func (s sealed) Open() (io.ReadCloser, error) { return s.e.Open() }
func (s sealed) Size() int64                  { return s.e.Size }

// lane is the destination that a recipient's deliveries share a limit with: its domain, or the relay that
// takes the mail for all domains.
func lane(t Transport, address string) string {
	if relayed(t) {
		return "relay"
	}
	return strings.ToLower(address[strings.LastIndexByte(address, '@')+1:])
}

// relayed says that a transport hands all mail to relays.
func relayed(t Transport) bool {
	var inner []Transport
	switch t := t.(type) {
	case *Relay:
		return true
	case Failover:
		inner = t
	case *RoundRobin:
		inner = t.Transports
	}
	for _, t := range inner {
		if !relayed(t) {
			return false
		}
	}
	return len(inner) > 0
}
