package postrider_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/smtp"
)

// fates is a Transport that answers by the address and counts what it was asked for.
type fates struct {
	answer func(address string) smtp.Result
	asked  []string
}

func (f *fates) Deliver(_ context.Context, e *smtp.Envelope) []smtp.Result {
	results := make([]smtp.Result, len(e.To))
	for i, r := range e.To {
		f.asked = append(f.asked, r.Address)
		results[i] = f.answer(r.Address)
		results[i].Recipient = r.Address
	}
	return results
}

func always(r smtp.Result) func(string) smtp.Result { return func(string) smtp.Result { return r } }

// Failover asks the next transport for what may still succeed, and only for that.
func TestFailover(t *testing.T) {
	first := &fates{answer: func(address string) smtp.Result {
		switch address[0] {
		case 'd':
			return refused(smtp.PhaseFinal, 451)
		case 'n':
			return refused(smtp.PhaseRcpt, 550, 5, 1, 1)
		case 'u':
			return failed(smtp.PhaseFinal, smtp.ErrUnsure)
		case 'a':
			return refused(smtp.PhaseAuth, 535)
		}
		return smtp.Result{}
	}}
	second := &fates{answer: always(smtp.Result{Host: "second"})}
	e := &smtp.Envelope{To: smtp.Addresses("ok@x", "d@x", "n@x", "u@x", "a@x")}
	results := postrider.Failover{first, second}.Deliver(t.Context(), e)
	if got := strings.Join(second.asked, " "); got != "d@x a@x" {
		t.Errorf("the second transport was asked for %q", got)
	}
	for i, want := range []postrider.Fate{"delivered", "delivered", "permanent", "unknown", "delivered"} {
		if got := postrider.Classify(results[i]).Fate; got != want || results[i].Recipient != e.To[i].Address {
			t.Errorf("%s: %s %v, want %s", e.To[i].Address, got, results[i].Err, want)
		}
	}
}

// Both failures are visible when all transports fail.
func TestFailoverShowsAllFailures(t *testing.T) {
	one, two := errors.New("one is down"), errors.New("two is down")
	f := postrider.Failover{&fates{answer: always(failed(smtp.PhaseConnect, one))}, &fates{answer: always(failed(smtp.PhaseConnect, two))}}
	r := f.Deliver(t.Context(), &smtp.Envelope{To: smtp.Addresses("bob@x")})[0]
	if !errors.Is(r.Err, one) || !errors.Is(r.Err, two) {
		t.Errorf("error %v hides a cause", r.Err)
	}
}

func TestRoundRobin(t *testing.T) {
	a, b := &fates{answer: always(smtp.Result{})}, &fates{answer: always(smtp.Result{})}
	r := &postrider.RoundRobin{Transports: []postrider.Transport{a, b}}
	for range 4 {
		r.Deliver(t.Context(), &smtp.Envelope{To: smtp.Addresses("bob@x")})
	}
	if len(a.asked) != 2 || len(b.asked) != 2 {
		t.Errorf("asked %d and %d times, want 2 and 2", len(a.asked), len(b.asked))
	}
	none := &postrider.RoundRobin{}
	if r := none.Deliver(t.Context(), &smtp.Envelope{To: smtp.Addresses("bob@x")}); len(r) != 1 || r[0].Err == nil {
		t.Errorf("no transport: %v", r)
	}
}
