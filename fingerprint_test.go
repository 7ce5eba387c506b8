package postrider_test

import (
	"context"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/queue"
)

// sealing is a Protect whose octets are others each time, as encryption has it.
func sealing(context.Context, []byte) ([]byte, error) {
	return []byte("Content-Type: application/pkcs7-mime\r\n\r\n" + rand.Text() + "\r\n"), nil
}

// What changes the mail, or how safely it goes, is a conflict with the first mail of the key; what a caller may have computed
// anew for a retry is not.
func TestKeySameMail(t *testing.T) {
	now := time.Now()
	for _, test := range []struct {
		name     string
		change   func(m *postrider.Message)
		conflict bool
	}{
		{"nothing", func(m *postrider.Message) {}, false},
		{"Date", func(m *postrider.Message) { m.Date = now.Add(time.Minute) }, false},
		{"NotBefore", func(m *postrider.Message) { m.NotBefore = now.Add(time.Hour) }, false},
		{"Deadline", func(m *postrider.Message) { m.Deadline = now.Add(time.Hour) }, false},
		{"Priority", func(m *postrider.Message) { m.Priority = postrider.PriorityBulk }, false},
		{"Tags", func(m *postrider.Message) { m.Tags = []string{"retry"} }, false},

		{"RequireTLS", func(m *postrider.Message) { m.RequireTLS = true }, true},
		{"TLS-Required", func(m *postrider.Message) { m.Header = postrider.Header{{Name: "TLS-Required", Value: "No"}} }, true},
		{"Protect", func(m *postrider.Message) { m.Protect = sealing }, true},
		{"Text", func(m *postrider.Message) { m.Text += "More.\n" }, true},
		{"Subject", func(m *postrider.Message) { m.Subject += "!" }, true},
		{"Attachments", func(m *postrider.Message) { m.Attachments = []postrider.Attachment{postrider.Bytes("a", nil)} }, true},
		{"Bcc", func(m *postrider.Message) { m.Bcc = []postrider.Address{postrider.Addr("", "eve@example.org")} }, true},
		{"ReturnPath", func(m *postrider.Message) { m.ReturnPath = "<>" }, true},
		{"MessageID", func(m *postrider.Message) { m.MessageID = "other@example.com" }, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := &postrider.Client{Transport: &postrider.Record{}, Queue: &queue.Memory{}}
			m := hello("bob@example.org")
			m.Key, m.Date = "k", now
			first := send(t, c, m)
			test.change(m)
			again, err := c.Send(t.Context(), m)
			switch {
			case test.conflict && !errors.Is(err, queue.ErrKeyConflict):
				t.Errorf("%+v, %v; want a conflict", again, err)
			case !test.conflict && (err != nil || !again.Known || again.QueueID != first.QueueID):
				t.Errorf("%+v, %v; want that it is known", again, err)
			}
		})
	}
}

// Mail that is sealed anew for a retry is the same by what was sealed.
func TestKeySealed(t *testing.T) {
	c := &postrider.Client{Transport: &postrider.Record{}, Queue: &queue.Memory{}}
	m := hello("bob@example.org")
	m.Key, m.Protect = "k", sealing
	send(t, c, m)
	if again := send(t, c, m); !again.Known {
		t.Error("a retry was queued again")
	}
	m.Text += "More.\n"
	if _, err := c.Send(t.Context(), m); !errors.Is(err, queue.ErrKeyConflict) {
		t.Errorf("other mail, sealed: %v", err)
	}
	m.Text, m.Protect = hello("bob@example.org").Text, nil
	if _, err := c.Send(t.Context(), m); !errors.Is(err, queue.ErrKeyConflict) {
		t.Errorf("the same, not sealed: %v", err)
	}
}
