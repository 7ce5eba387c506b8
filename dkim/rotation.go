package dkim

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"net"
	"time"
)

// ErrNotPublished says that the DNS does not have the public half of a key: publish Key.Record under Key.Name, and
// wait until it is seen.
var ErrNotPublished = errors.New("dkim: the key is not published")

// Published asks the DNS for the key's record and compares it with the key. It returns the record as it is
// published, and an error that is ErrNotPublished where verifiers could not use it; another error means that the
// DNS did not answer. A nil lookup uses the system's resolver.
func (k Key) Published(ctx context.Context, lookup LookupTXT) (Record, error) {
	name, err := k.Name()
	if err != nil {
		return Record{}, err
	}
	want, err := k.Record()
	if err != nil {
		return Record{}, err
	}
	if lookup == nil {
		lookup = net.DefaultResolver.LookupTXT
	}
	r, result, err := findRecord(ctx, name, lookup)
	switch {
	case err != nil && result == TempError:
		return r, err
	case err != nil:
		return r, fmt.Errorf("%w: %w", ErrNotPublished, err)
	case !sameKey(r.Key, want.Key):
		return r, fmt.Errorf("%w: the record at %s has another key", ErrNotPublished, name)
	}
	return r, nil
}

func sameKey(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

// Phase is what a Rotation waits for.
type Phase string

// The phases, in their order.
const (
	// Publish: the new key's record is not seen. Publish it; the old key signs.
	Publish Phase = "publish"
	// Wait: the record is seen, but resolvers may still remember that it was not there. The old key signs.
	Wait Phase = "wait"
	// Keep: the new key signs. The old record must stay for mail that is on its way.
	Keep Phase = "keep"
	// Retire: publish the old record with an empty p=, which revokes the key, or remove it, and destroy the
	// old private key.
	Retire Phase = "retire"
	// Done: the old key is revoked.
	Done Phase = "done"
)

// Rotation replaces a key of a domain by a key under another selector, so that at no time a
// message is signed with a key that a verifier cannot find. Call Step from time to time, say each hour
// and at each start, and sign with Key. A domain with an RSA and an Ed25519 key has two rotations. It is for
// one goroutine at a time.
type Rotation struct {
	Old, New Key
	// LookupTXT asks the DNS. Nil: the system's resolver.
	LookupTXT LookupTXT
	// Visible is how long the new record must have been seen before the new key signs: as long as
	// resolvers remember that a name is not there, 3 hours at most by RFC 2308 s. 5. Zero: 24 hours.
	Visible time.Duration
	// Queued is how long mail signed with the old key may be on its way. Zero: 7 days.
	Queued time.Duration

	// Seen is since when the new record is seen, Switched is when the new key began to sign. Step sets
	// them; store them, for a program that starts again to go on where it was.
	Seen, Switched time.Time
}

// Key returns the key to sign with now.
func (r *Rotation) Key() Key {
	if r.Switched.IsZero() {
		return r.Old
	}
	return r.New
}

// Step looks at the DNS and the clock, and returns what the rotation waits for. After an error the rotation stands
// where it stood.
func (r *Rotation) Step(ctx context.Context) (Phase, error) {
	oldName, err := r.Old.Name()
	if err != nil {
		return "", err
	}
	if newName, err := r.New.Name(); err != nil || newName == oldName {
		return "", errors.Join(err, fmt.Errorf("dkim: the new key needs a selector of its own, not that of %s", oldName))
	}
	if r.Switched.IsZero() {
		return r.toSwitch(ctx)
	}
	if time.Since(r.Switched) < orDefault(r.Queued, 7*24*time.Hour) {
		return Keep, nil
	}
	switch _, err := r.Old.Published(ctx, r.LookupTXT); {
	case errors.Is(err, ErrNotPublished):
		return Done, nil
	case err != nil:
		return "", err
	}
	return Retire, nil
}

// toSwitch decides whether the new key may sign.
func (r *Rotation) toSwitch(ctx context.Context) (Phase, error) {
	switch _, err := r.New.Published(ctx, r.LookupTXT); {
	case errors.Is(err, ErrNotPublished):
		r.Seen = time.Time{}
		return Publish, nil
	case err != nil:
		return "", err
	}
	if r.Seen.IsZero() {
		r.Seen = time.Now()
	}
	if time.Since(r.Seen) < orDefault(r.Visible, 24*time.Hour) {
		return Wait, nil
	}
	r.Switched = time.Now()
	return Keep, nil
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}
