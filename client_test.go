package postrider_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/smtp"
)

func hello(to ...string) *postrider.Message {
	m := &postrider.Message{From: postrider.Addr("Ada", "ada@example.com"), Subject: "Hello", Text: "Hello.\n"}
	for _, a := range to {
		m.To = append(m.To, postrider.Addr("", a))
	}
	return m
}

func recipients(e smtp.Envelope) string {
	var all []string
	for _, r := range e.To {
		all = append(all, r.Address)
	}
	return strings.Join(all, " ")
}

func TestSend(t *testing.T) {
	record := &postrider.Record{}
	client := &postrider.Client{Transport: record}
	m := hello("bob@example.org", "BOB@example.org", "bob@EXAMPLE.org")
	m.Cc = []postrider.Address{postrider.Addr("", "bob@example.org"), postrider.Addr("Jörg", "joerg@bücher.example")}
	m.Bcc = []postrider.Address{postrider.Addr("", "secret@example.net")}
	receipt, err := client.Send(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	mail := record.Mail()[0]
	if got, want := recipients(mail.Envelope), "bob@example.org BOB@example.org joerg@xn--bcher-kva.example secret@example.net"; got != want {
		t.Errorf("recipients %q, want %q", got, want)
	}
	if mail.Envelope.From != "ada@example.com" || mail.Envelope.UTF8 || mail.Envelope.EightBit {
		t.Errorf("envelope %+v", mail.Envelope)
	}
	if strings.Contains(string(mail.Message), "secret@") {
		t.Error("the message shows Bcc")
	}
	if receipt.Size != int64(len(mail.Message)) || receipt.Size != mail.Envelope.Size || len(receipt.Results) != 4 {
		t.Errorf("receipt %+v for %d octets", receipt, len(mail.Message))
	}
	header, err := mail.Header()
	if err != nil || header.Get("Message-ID") != "<"+receipt.MessageID+">" {
		t.Errorf("Message-ID %q, %v", header.Get("Message-ID"), err)
	}
}

// Nothing is handed to the transport when something is wrong with the message.
func TestSendRefuses(t *testing.T) {
	broken := errors.New("disk on fire")
	for name, change := range map[string]func(m *postrider.Message){
		"recipient": func(m *postrider.Message) { m.To = nil },
		"From":      func(m *postrider.Message) { m.From.Address = "ada" },
		"Bcc":       func(m *postrider.Message) { m.Bcc = []postrider.Address{postrider.Addr("", "x@y>\r\nRCPT TO:<z@z")} },
		"Subject":   func(m *postrider.Message) { m.Subject = "x\r\nBcc: y@z" },
		"Deadline":  func(m *postrider.Message) { m.Deadline = time.Now().Add(-time.Second) },
		"NotBefore": func(m *postrider.Message) { m.NotBefore = time.Now().Add(time.Hour) },
	} {
		record := &postrider.Record{}
		m := hello("bob@example.org")
		change(m)
		_, err := (&postrider.Client{Transport: record}).Send(t.Context(), m)
		if !errors.Is(err, postrider.ErrInvalid) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v", name, err)
		}
		if len(record.Mail()) > 0 {
			t.Errorf("%s: something was sent", name)
		}
	}
	record := &postrider.Record{}
	m := hello("bob@example.org")
	m.Attachments = []postrider.Attachment{{Name: "x", Size: -1, Open: func() (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(strings.NewReader("half"), iotest.ErrReader(broken))), nil
	}}}
	if _, err := (&postrider.Client{Transport: record}).Send(t.Context(), m); !errors.Is(err, broken) || len(record.Mail()) > 0 {
		t.Errorf("broken attachment: %v, %d sent", err, len(record.Mail()))
	}
}

func TestSendPartial(t *testing.T) {
	transport := &fates{answer: func(address string) smtp.Result {
		if strings.HasPrefix(address, "no") {
			return refused(smtp.PhaseRcpt, 550, 5, 1, 1)
		}
		return smtp.Result{}
	}}
	var sink sink
	client := &postrider.Client{Transport: transport, Events: &sink}
	receipt, err := client.Send(t.Context(), hello("yes@example.org", "no@example.org"))
	var all *postrider.Error
	if !errors.As(err, &all) || len(all.Results) != 2 || !errors.Is(err, postrider.ErrPartial) {
		t.Fatalf("error %v", err)
	}
	if receipt == nil || receipt.Results[0].Err != nil || receipt.Results[1].Err == nil {
		t.Errorf("receipt %+v", receipt)
	}
	var types []string
	for _, e := range sink.events {
		types = append(types, string(e.Type)+" "+e.Recipient+" "+e.Status)
	}
	if want := []string{"delivered yes@example.org 2.0.0", "bounced no@example.org 5.1.1"}; !slices.Equal(types, want) {
		t.Errorf("events %q, want %q", types, want)
	}
}

type sink struct {
	events []postrider.Event
	err    error
}

func (s *sink) Record(_ context.Context, events ...postrider.Event) error {
	s.events = append(s.events, events...)
	return s.err
}

// A sink that fails never turns a success into a failure.
func TestSinkFailureIsNoFailure(t *testing.T) {
	client := &postrider.Client{Transport: &postrider.Record{}, Events: &sink{err: errors.New("full")}}
	if _, err := client.Send(t.Context(), hello("bob@example.org")); err != nil {
		t.Error(err)
	}
}

// A transport that breaks its contract leaves the fate unknown.
func TestTransportWithTooFewResults(t *testing.T) {
	short := transportFunc(func(*smtp.Envelope) []smtp.Result { return nil })
	_, err := (&postrider.Client{Transport: short}).Send(t.Context(), hello("bob@example.org"))
	if !errors.Is(err, smtp.ErrUnsure) {
		t.Errorf("error %v", err)
	}
}

type transportFunc func(e *smtp.Envelope) []smtp.Result

func (f transportFunc) Deliver(_ context.Context, e *smtp.Envelope) []smtp.Result { return f(e) }

// Filters work on a copy: sending never writes to the caller's message.
func TestFiltersSeeACopy(t *testing.T) {
	record := &postrider.Record{}
	client := &postrider.Client{Transport: record, Filters: []postrider.Filter{func(_ context.Context, m *postrider.Message) error {
		m.Subject = "changed"
		m.To[0].Address = "filtered@example.org"
		m.Alternatives[0].Content = "changed"
		m.References[0] = "changed@example.com"
		m.Header = append(m.Header, postrider.Field{Name: "X-Filtered", Value: "yes"})
		return nil
	}}}
	m := hello("bob@example.org")
	m.Alternatives, m.References = []postrider.Part{{ContentType: "text/x-amp-html", Content: "<p>x</p>"}}, []string{"1@example.com"}
	if _, err := client.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if m.Alternatives[0].Content != "<p>x</p>" || m.References[0] != "1@example.com" {
		t.Errorf("the lists were changed: %+v", m)
	}
	if m.Subject != "Hello" || m.To[0].Address != "bob@example.org" || len(m.Header) > 0 {
		t.Errorf("the message was changed: %+v", m)
	}
	mail := record.Mail()[0]
	if header, _ := mail.Header(); recipients(mail.Envelope) != "filtered@example.org" || header.Get("X-Filtered") != "yes" || header.Get("Subject") != "changed" {
		t.Errorf("the filter had no effect: %s", mail.Message)
	}
	stop := errors.New("suppressed")
	client.Filters = []postrider.Filter{func(context.Context, *postrider.Message) error { return stop }}
	if _, err := client.Send(t.Context(), m); !errors.Is(err, stop) || len(record.Mail()) != 1 {
		t.Errorf("error %v", err)
	}
}
