package postrider

import (
	"context"
	"time"

	"github.com/postrider/postrider/smtp"
)

// Sink takes events. Record may be called by many goroutines at once and may see an event
// again after a crash: Event.ID tells.
type Sink interface {
	Record(ctx context.Context, events ...Event) error
}

// EventType names what happened.
type EventType string

// The event types. Delivered, Bounced, Expired and Cancelled are terminal: a recipient of a queued mail
// gets exactly one of them.
const (
	EventQueued    EventType = "queued"
	EventDelivered EventType = "delivered"
	EventDeferred  EventType = "deferred"
	EventBounced   EventType = "bounced"
	EventExpired   EventType = "expired"
	EventCancelled EventType = "cancelled"
	// EventNotice is about no recipient: its Reason tells the operator something that should be seen to, such
	// as that no resolver is trusted, so that DANE protects nothing.
	EventNotice EventType = "notice"
	// EventHeld is never told to a Sink: Status says it of mail that waits for a person.
	EventHeld EventType = "held"
)

// Event is one thing that happened to one recipient of a mail.
type Event struct {
	// ID is the same when an event is told again. Empty: it is told once.
	ID   string    `json:"id,omitempty"`
	Type EventType `json:"type"`
	// Time is when it happened. Zero: by Status, where it is not kept.
	Time time.Time `json:"time,omitzero"`
	// QueueID is the Receipt's. Empty: the mail was not queued.
	QueueID string `json:"queue_id,omitempty"`
	// MessageID is the Message-ID without angle brackets.
	MessageID string `json:"message_id"`
	Recipient string `json:"recipient"`
	// Notification says that the mail is not the program's but a notification of failure, made by the Client for a return
	// path.
	Notification bool     `json:"notification,omitempty"`
	Tenant       string   `json:"tenant,omitempty"`
	Tags         []string `json:"tags,omitempty"`
	// Status is the enhanced status code of the outcome, such as "5.1.1", local trouble included.
	Status string `json:"status,omitempty"`
	// Reason says in words what happened: the server's reply, or the local cause.
	Reason string `json:"reason,omitempty"`
	// Host is the server that was asked, Phase the step that decided, TLS the protocol version.
	Host  string     `json:"host,omitempty"`
	Phase smtp.Phase `json:"phase,omitempty"`
	TLS   string     `json:"tls,omitempty"`
	// Attempt is the number of attempts at queued mail so far, Next the time of the next one. Zero: there is none.
	Attempt int       `json:"attempt,omitempty"`
	Next    time.Time `json:"next,omitzero"`
}
