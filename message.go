package postrider

import (
	"context"
	"net/mail"
	"time"
)

// Address is a mailbox: a display name, which may be empty, and an address. It is net/mail's type, so
// that what other packages parse can be used as it is; its grammar is checked when a message is
// composed or sent. The address is written as RFC 5321 s. 4.1.2 has it: a local part with spaces or
// special characters needs its quotes, and there are no comments.
type Address = mail.Address

// Addr makes an Address from a display name, which may be empty, and an address.
func Addr(name, address string) Address { return Address{Name: name, Address: address} }

// Message is a mail as a program sees it. Only From and one recipient are required. Sending never
// writes to it: one Message can be sent many times and by several goroutines at once.
type Message struct {
	// From is the author. Sender is the mailbox that sent it for him (RFC 5322 s. 3.6.2). Zero: no
	// Sender field.
	From, Sender Address
	// To, Cc and Bcc are the recipients; Bcc is never written into the message. ReplyTo is where
	// answers go. Empty: to From.
	To, Cc, Bcc, ReplyTo []Address
	// Subject, Text and HTML are UTF-8. Text alone makes text/plain, both make an alternative. HTML without
	// Text gets a plain form made by PlainText.
	Subject, Text, HTML string
	// Flowed marks Text as format=flowed (RFC 3676): each of its lines is a paragraph, which readers wrap
	// to their window.
	Flowed bool
	// EightBit writes text as 8bit where that is possible, instead of quoted-printable or base64. The
	// message then needs 8BITMIME (RFC 6152), and a server without it refuses it.
	EightBit bool
	// Alternatives are further forms of the same content: a calendar invitation, an AMP page.
	Alternatives []Part
	// Attachments follow the text, or are shown inside the HTML when Inline.
	Attachments []Attachment
	// Protect turns the content into another that signs or encrypts it (RFC 1847): S/MIME and PGP/MIME. It
	// is given the MIME entity, Content fields first, with CRLF line ends, in 7bit, and returns the one
	// that takes its place. Both are in memory. It may be called by several goroutines at once. Nil: the
	// content goes as it is.
	Protect func(ctx context.Context, entity []byte) ([]byte, error)
	// Header holds further fields, written in their order. Fields that the Message has a place for, and
	// those that are written by servers on the way, are an error.
	Header Header
	// MessageID is given without angle brackets. Empty: made from the author's domain.
	MessageID string
	// Date of the message, written in its own zone. Zero: now.
	Date time.Time
	// InReplyTo is the Message-ID of the message that this one answers, References those of the thread,
	// oldest first (RFC 5322 s. 3.6.4). Angle brackets may be left out. References empty: InReplyTo.
	InReplyTo  string
	References []string
	// AutoSubmitted says that no person wrote this: auto-generated, auto-replied or auto-notified
	// (RFC 3834 s. 5). It keeps vacation programs from answering. Empty: no field.
	AutoSubmitted string
	// FeedbackID names the mail in the reports of Gmail's Postmaster Tools: up to three identifiers and
	// the sender's, "campaign:customer:kind:sender". Empty: no field.
	FeedbackID string
	// Importance is shown by the reader's program: "high", "normal" or "low". Empty: no field.
	Importance string
	// ReadReceipt is asked to be told when the message is displayed (RFC 8098 s. 2.1). Zero: nobody.
	ReadReceipt Address
	// Unsubscribe adds List-Unsubscribe and List-Unsubscribe-Post (RFC 2369, RFC 8058).
	Unsubscribe *Unsubscribe
	// RequireTLS lets the mail go only where every hop speaks TLS with a server that is surely the right
	// one (RFC 8689). The opposite is the Header field "TLS-Required: No": the mail shall arrive even where a
	// policy would stop it.
	RequireTLS bool
	// ReturnPath is the envelope sender, to which bounces go. Empty: Sender, or else From. "<>" is the null
	// path of mail that must not bounce.
	ReturnPath string
	// Key makes sending by a Queue idempotent: as long as the Queue knows of mail of this Tenant and Key (see
	// Client.Keep), the same mail is not queued again, and the Receipt is that of the first; other mail is
	// queue.ErrKeyConflict. It is the same if the sender, the recipients in their order, the header, the content and
	// RequireTLS are, and Protect is set or not as before. A MessageID that is given is part of the header; else it
	// follows from Tenant and Key. What a caller may compute anew for a retry need not be the same, and stays as it was given
	// first: Date, NotBefore, Deadline, Priority, Tags, and what a Signer or Protect makes of the same content.
	Key string
	// Tenant names for whom the mail is sent; a queue shares its capacity fairly among tenants.
	Tenant string
	// Tags are carried into the events.
	Tags []string
	// Priority orders mail in a queue. Zero: normal.
	Priority Priority
	// NotBefore delays the first attempt, Deadline ends the attempts: the mail is useless later. Zero: at
	// once, and as long as the queue tries.
	NotBefore, Deadline time.Time
}

// Priority orders mail in a queue.
type Priority int

// The priorities.
const (
	PriorityBulk   Priority = -1
	PriorityNormal Priority = 0
	PriorityUrgent Priority = 1
)

// Unsubscribe says how a recipient leaves a list.
type Unsubscribe struct {
	// URL is an https URL with an opaque token for recipient and list; receivers POST to it (RFC 8058).
	URL string
	// Mailto is an address, or a mailto URI, that takes unsubscriptions. Empty: none.
	Mailto string
}

// Part is a form of the message's content beside Text and HTML: a member of multipart/alternative.
// Text/x-amp-html is put between the two, since readers without AMP take the last form they know; other
// parts follow the HTML.
type Part struct {
	// ContentType is the media type with its parameters, without charset: "text/calendar; method=REQUEST".
	ContentType string
	// Content is UTF-8 text.
	Content string
}
