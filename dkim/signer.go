package dkim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// ErrNoKey says that no key is there for the domain of a message's author. Add a key for the
// domain, or set Signer.Unsigned to let such mail go without a signature.
var ErrNoKey = errors.New("dkim: no key for the author's domain")

// Signer signs messages with the keys of their author's domain. It is a value without hidden state:
// it can be copied, and used by several goroutines at once, as long as nobody changes it.
type Signer struct {
	// Keys are searched for those of the domain in the From field: of that domain itself, or
	// else of the nearest parent domain that belongs to the same organisation, so that the signature is
	// aligned with the author (RFC 9989 s. 4.4.1). All keys of the domain found sign.
	Keys []Key
	// Lookup finds the keys of a domain, in A-labels and lower case, when there are too many
	// for a list or when they live in a database. It is asked after Keys had none, for the
	// domain itself and then for its parents, until it returns some. Nil: there are only Keys.
	Lookup func(ctx context.Context, domain string) ([]Key, error)
	// Expiration is the age at which the signature becomes invalid (x=), in whole seconds. Mail may wait
	// in queues for days; less than a week is for special uses. Zero: it does not expire.
	Expiration time.Duration
	// Header names further fields to sign, each against change and addition. From, Subject, To,
	// Cc, Reply-To, Date, Message-ID, the MIME fields and those of mailing lists are always signed.
	Header []string

	// Unsigned lets mail go without signature when its author's domain has no key. Otherwise
	// signing fails with ErrNoKey.
	Unsigned bool
	// ShortRSA allows RSA keys from 1024 to 2047 bits. RFC 8301 s. 3.2 wants 2048; shorter than 1024 is
	// always refused.
	ShortRSA bool
	// Ed25519Alone allows a domain to sign with Ed25519 and without RSA. Large receivers ignore
	// Ed25519 signatures: to them such mail is unsigned.
	Ed25519Alone bool
}

// KeysOf returns the keys that sign for an author at this domain. The error is ErrNoKey where there is none.
func (s Signer) KeysOf(ctx context.Context, domain string) ([]Key, error) {
	name, err := domainName(domain)
	if err != nil {
		return nil, err
	}
	keys, err := s.find(ctx, name)
	if err == nil && len(keys) == 0 {
		err = fmt.Errorf("%w: %s", ErrNoKey, name)
	}
	return keys, err
}

// Sign reads a message, with CRLF line ends, and returns one DKIM-Signature field for each key, to be put
// before the message. It returns no field and no error when Unsigned allows that.
func (s Signer) Sign(message io.Reader) ([]byte, error) {
	g := s.NewSignature(context.Background())
	if _, err := io.Copy(g, message); err != nil {
		return nil, err
	}
	return g.Fields()
}

// NewSignature begins to sign a message, which is then written to it. The context is for Lookup and
// for keys that are held elsewhere (see ContextSigner).
func (s Signer) NewSignature(ctx context.Context) *Signature {
	return &Signature{ctx: ctx, signer: s}
}
