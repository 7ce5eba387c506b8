package postrider_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/postrider/postrider"
)

func sendRaw(t *testing.T, message string) (postrider.Recorded, error) {
	t.Helper()
	record := &postrider.Record{}
	client := &postrider.Client{Transport: record}
	_, err := client.SendRaw(t.Context(), "ada@example.com", []string{"bob@example.org"}, strings.NewReader(message))
	if err != nil {
		if len(record.Mail()) > 0 {
			t.Errorf("an error and something sent: %q", message)
		}
		return postrider.Recorded{}, err
	}
	return record.Mail()[0], nil
}

const rawStart = "Date: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@example.com>\r\nFrom: ada@example.com\r\n"

func TestSendRaw(t *testing.T) {
	for _, test := range []struct{ name, message, want string }{
		{"as it is", rawStart + "Subject: x\r\n\r\nbody\r\n", rawStart + "Subject: x\r\n\r\nbody\r\n"},
		{"LF line ends", strings.ReplaceAll(rawStart+"\r\nbody\r\n\r\n.\r\n", "\r\n", "\n"), rawStart + "\r\nbody\r\n\r\n.\r\n"},
		{"no last line end", rawStart + "\r\nbody", rawStart + "\r\nbody\r\n"},
		{"no body", rawStart, rawStart + "\r\n"},
		{"Bcc with continuation", rawStart + "bCC: secret@example.net,\r\n\tmore@example.net\r\nResent-Bcc: x@example.net\r\nTo: b@c\r\n\r\n", rawStart + "To: b@c\r\n\r\n"},
		{"Bcc in the body stays", rawStart + "\r\nBcc: x\r\n", rawStart + "\r\nBcc: x\r\n"},
		{"long line", rawStart + "\r\n" + strings.Repeat("x", 998) + "\r\n", rawStart + "\r\n" + strings.Repeat("x", 998) + "\r\n"},
	} {
		mail, err := sendRaw(t, test.message)
		if err != nil || string(mail.Message) != test.want || mail.Envelope.EightBit || mail.Envelope.UTF8 {
			t.Errorf("%s: %v\n got %q\nwant %q", test.name, err, mail.Message, test.want)
		}
	}
}

func TestSendRawCompletesHeader(t *testing.T) {
	mail, err := sendRaw(t, "From: ada@example.com\n\nbody\n")
	if err != nil {
		t.Fatal(err)
	}
	header, err := mail.Header()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := header.Date(); err != nil {
		t.Error(err)
	}
	if id := header.Get("Message-ID"); !strings.HasSuffix(id, "@example.com>") {
		t.Errorf("Message-ID %q", id)
	}
}

func TestSendRawKnowsItsNeeds(t *testing.T) {
	if mail, err := sendRaw(t, rawStart+"\r\nGrüße\r\n"); err != nil || !mail.Envelope.EightBit || mail.Envelope.UTF8 {
		t.Errorf("8-bit body: %+v, %v", mail.Envelope, err)
	}
	if mail, err := sendRaw(t, rawStart+"Subject: Grüße\r\n\r\n"); err != nil || !mail.Envelope.UTF8 {
		t.Errorf("UTF-8 header: %+v, %v", mail.Envelope, err)
	}
}

func TestSendRawRefuses(t *testing.T) {
	for name, message := range map[string]string{
		"empty":               "",
		"no header":           "\r\nbody\r\n",
		"no From":             "Subject: x\r\n\r\nbody\r\n",
		"two From":            rawStart + "From: eve@example.com\r\n\r\n",
		"not a field":         rawStart + "just text\r\n\r\n",
		"space in field name": rawStart + "X Y: z\r\n\r\n",
		"begins folded":       " x\r\n" + rawStart + "\r\n",
		"bare CR":             rawStart + "\r\na\rb\r\n",
		"smuggling":           rawStart + "\r\na\r.\r\r\nb\r\n",
		"NUL":                 rawStart + "\r\na\x00b\r\n",
		"NUL in header":       rawStart + "Subject: a\x00b\r\n\r\n",
		"line of 999":         rawStart + "\r\n" + strings.Repeat("x", 999) + "\r\n",
		"endless line":        rawStart + "\r\n" + strings.Repeat("x", 200<<10) + "\r\n",
		"endless header":      rawStart + strings.Repeat("X-Y: "+strings.Repeat("z", 900)+"\r\n", 1300) + "\r\n",
	} {
		if _, err := sendRaw(t, message); !errors.Is(err, postrider.ErrInvalid) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	broken := errors.New("pipe broke")
	record := &postrider.Record{}
	_, err := (&postrider.Client{Transport: record}).SendRaw(t.Context(), "ada@example.com", []string{"bob@example.org"},
		io.MultiReader(strings.NewReader(rawStart+"\r\nhalf of it\r\n"), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) || errors.Is(err, postrider.ErrInvalid) || len(record.Mail()) > 0 {
		t.Errorf("a source that fails: %v, %d sent", err, len(record.Mail()))
	}
	for _, address := range []string{"", "bob", "bob@", "a b@c", "<bob@example.org>", "bob@example.org\r\n"} {
		_, err := (&postrider.Client{Transport: record}).SendRaw(t.Context(), "ada@example.com", []string{address}, strings.NewReader(rawStart))
		if !errors.Is(err, postrider.ErrInvalid) {
			t.Errorf("recipient %q: error %v", address, err)
		}
	}
	if _, err := (&postrider.Client{Transport: record}).SendRaw(t.Context(), "", []string{"bob@example.org"}, strings.NewReader(rawStart)); err != nil {
		t.Errorf("null reverse-path: %v", err)
	}
}

// An octet above 127 is seen wherever it stands in a line.
func TestSendRawSeesEightBit(t *testing.T) {
	for length := range 20 {
		for at := -1; at < length; at++ {
			line := []byte(strings.Repeat("~", length))
			if at >= 0 {
				line[at] = 0x80
			}
			mail, err := sendRaw(t, "From: ada@example.com\r\n\r\n"+string(line)+"\r\n")
			if err != nil || mail.Envelope.EightBit != (at >= 0) {
				t.Errorf("%q: eight bits %t, %v", line, mail.Envelope.EightBit, err)
			}
		}
	}
}
