package smtp

import "time"

// Timeouts bound each wait of a dialogue. Zero fields take the values of RFC 5321 s. 4.5.3.2. Any limit
// that passes closes the connection, for a late reply could be taken for that to another command.
type Timeouts struct {
	Connect  time.Duration // 30 s for all addresses together, and for a TLS handshake (RFC 5321 gives none)
	Greeting time.Duration // 5 min
	Command  time.Duration // 5 min: EHLO, STARTTLS, AUTH, MAIL, RCPT, RSET
	Data     time.Duration // 2 min: the 354
	Block    time.Duration // 3 min: each write of message octets
	Final    time.Duration // 10 min: the reply after the last octet
}

func (t *Timeouts) connect() time.Duration  { return or(t.Connect, 30*time.Second) }
func (t *Timeouts) greeting() time.Duration { return or(t.Greeting, 5*time.Minute) }
func (t *Timeouts) command() time.Duration  { return or(t.Command, 5*time.Minute) }
func (t *Timeouts) data() time.Duration     { return or(t.Data, 2*time.Minute) }
func (t *Timeouts) block() time.Duration    { return or(t.Block, 3*time.Minute) }
func (t *Timeouts) final() time.Duration    { return or(t.Final, 10*time.Minute) }

func or[T comparable](value, zero T) T {
	var none T
	if value == none {
		return zero
	}
	return value
}
