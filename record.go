package postrider

import (
	"context"
	"errors"
	"io"
	"net/mail"
	"slices"
	"strings"
	"sync"

	"github.com/postrider/postrider/smtp"
)

// Record is a Transport that keeps the mail, for tests and for development without real
// mail. The zero value accepts everything.
type Record struct {
	// Transport delivers the mail as well. Nil: all recipients are accepted and nothing is sent.
	Transport Transport

	mu   sync.Mutex
	mail []Recorded
}

// Recorded is one mail that a Record saw.
type Recorded struct {
	// Envelope is the envelope as the transport saw it.
	Envelope smtp.Envelope
	// Message are the octets of the message.
	Message []byte
	// Results are what was answered.
	Results []smtp.Result
}

// Header returns the header fields of the message.
func (r Recorded) Header() (mail.Header, error) {
	m, err := mail.ReadMessage(strings.NewReader(string(r.Message)))
	if err != nil {
		return nil, err
	}
	return m.Header, nil
}

// Deliver keeps the mail.
func (r *Record) Deliver(ctx context.Context, e *smtp.Envelope) []smtp.Result {
	message, err := readAll(e)
	if err != nil {
		return smtp.Failed(e, smtp.PhaseLocal, "", err)
	}
	var results []smtp.Result
	if r.Transport != nil {
		results = r.Transport.Deliver(ctx, e)
	} else {
		for _, to := range e.To {
			results = append(results, smtp.Result{Recipient: to.Address, Phase: smtp.PhaseFinal, Host: "record", Size: int64(len(message)),
				Reply: smtp.Reply{Code: 250, Enhanced: smtp.EnhancedCode{2, 0, 0}, Text: "kept"}})
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mail = append(r.mail, Recorded{*e, message, results})
	return results
}

func readAll(e *smtp.Envelope) ([]byte, error) {
	if e.Open == nil {
		return nil, errors.New("the envelope has no message")
	}
	source, err := e.Open()
	if err != nil {
		return nil, err
	}
	defer source.Close()
	return io.ReadAll(source)
}

// Mail returns what was sent so far, in its order.
func (r *Record) Mail() []Recorded {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.mail)
}
