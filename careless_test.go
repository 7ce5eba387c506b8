package postrider_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/smtp"
)

// What a careless caller leaves out is an error, or has a meaning; it is never a panic, and never a mail to
// somewhere else.
func TestCarelessCallers(t *testing.T) {
	record := &postrider.Record{}
	send := func(c *postrider.Client) error {
		_, err := c.Send(t.Context(), hello("bob@example.org"))
		return err
	}
	for name, test := range map[string]struct {
		run  func() error
		want error // nil: success
	}{
		"nil message": {func() error { _, err := (&postrider.Client{}).Send(t.Context(), nil); return err }, postrider.ErrInvalid},
		"nil raw message": {func() error {
			_, err := (&postrider.Client{}).SendRaw(t.Context(), "", []string{"a@example.org"}, nil)
			return err
		}, postrider.ErrInvalid},
		"empty raw message": {func() error {
			_, err := (&postrider.Client{}).SendRaw(t.Context(), "", []string{"a@example.org"}, strings.NewReader(""))
			return err
		}, postrider.ErrInvalid},
		"nil filter":           {func() error { return send(&postrider.Client{Transport: record, Filters: []postrider.Filter{nil}}) }, nil},
		"nil among transports": {func() error { return send(&postrider.Client{Transport: postrider.Failover{nil, record}}) }, nil},
		"only nil transports":  {func() error { return send(&postrider.Client{Transport: postrider.Failover{nil}}) }, postrider.ErrTemporary},
		"no transports":        {func() error { return send(&postrider.Client{Transport: &postrider.RoundRobin{}}) }, postrider.ErrTemporary},
		"relay without a host": {func() error { return send(&postrider.Client{Transport: &postrider.Relay{}}) }, postrider.ErrTemporary},
		"envelope without a message": {func() error {
			return record.Deliver(t.Context(), &smtp.Envelope{To: smtp.Addresses("a@example.org")})[0].Err
		}, errAny},
		"direct without a message": {func() error {
			return (&postrider.Direct{}).Deliver(t.Context(), &smtp.Envelope{To: smtp.Addresses("a@[127.0.0.1]")})[0].Err
		}, errAny},
		"too few results in failover": {func() error {
			return send(&postrider.Client{Transport: postrider.Failover{transportFunc(func(*smtp.Envelope) []smtp.Result { return nil }), record}})
		}, smtp.ErrUnsure},
	} {
		err := test.run()
		switch {
		case test.want == nil && err != nil, test.want != nil && err == nil, test.want != nil && test.want != errAny && !errors.Is(err, test.want):
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	if r := (&postrider.Direct{}).Deliver(context.Background(), &smtp.Envelope{}); len(r) != 0 {
		t.Errorf("no recipient: %v", r)
	}
}

var errAny = errors.New("any error")
