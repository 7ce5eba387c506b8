package postrider

import (
	"context"
	"io"

	"github.com/postrider/postrider/smtp"
)

// Transport carries an envelope and says what became of each recipient, in their order. It
// is safe for concurrent use.
type Transport interface {
	Deliver(ctx context.Context, e *smtp.Envelope) []smtp.Result
}

// Signer reads a message (RFC 5322, CRLF line ends) and returns complete header fields, each
// ended by CRLF, to be put before it. dkim.Signer is one.
type Signer interface {
	Sign(message io.Reader) (fields []byte, err error)
}

// Filter looks at a message before it is composed, and may change it: it is given a copy. An error stops
// the sending.
type Filter func(ctx context.Context, m *Message) error

// Client sends mail. The zero value delivers directly to the recipients' servers.
type Client struct {
	// Transport carries the mail. Nil: &Direct{}.
	Transport Transport
	// Signer signs every message. Nil: mail is not signed.
	Signer Signer
	// Filters see every message before it is composed, in their order.
	Filters []Filter
}
