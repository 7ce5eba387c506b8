package postrider

import (
	"io"
	"net/mail"
	"time"
)

// Address is a mailbox: a display name, which may be empty, and an address. It is net/mail's type, so
// that what other packages parse can be used as it is; its grammar is checked when a message is
// composed or sent.
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
	// Subject, Text and HTML are UTF-8. Text alone makes text/plain, both make an alternative.
	Subject, Text, HTML string
	// Attachments follow the text, or are shown inside the HTML when Inline.
	Attachments []Attachment
	// Header holds further fields, written in their order.
	Header Header
	// MessageID is given without angle brackets. Empty: made from the sender's domain.
	MessageID string
	// Date of the message. Zero: now.
	Date time.Time
	// Unsubscribe adds List-Unsubscribe and List-Unsubscribe-Post (RFC 2369, RFC 8058).
	Unsubscribe *Unsubscribe
	// ReturnPath is the envelope sender, to which bounces go. Empty: Sender, or else From.
	ReturnPath string
	// Key makes sending idempotent: the same key is the same mail. Tenant names for whom the mail is
	// sent; a queue shares its capacity fairly among tenants.
	Key, Tenant string
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

// Header is a list of header fields in their order.
type Header []Field

// Field is one header field. Value is UTF-8 text without line breaks; it is encoded and folded when written.
type Field struct{ Name, Value string }

// Attachment is a file that goes with a message.
type Attachment struct {
	// Name is the file name shown to the recipient.
	Name string
	// ContentType is a media type. Empty: from the name, or else application/octet-stream.
	ContentType string
	// ContentID is the id for "cid:" links, without angle brackets. Empty: made from Name when Inline.
	ContentID string
	// Inline says that the HTML shows the file.
	Inline bool
	// Size is the number of octets that Open's reader yields; more or fewer is an error. -1: not known
	// before it is read. Zero means empty.
	Size int64
	// Open is called once for each attempt to compose.
	Open func() (io.ReadCloser, error)
}
