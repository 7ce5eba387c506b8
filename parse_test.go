package postrider_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-message"

	"github.com/postrider/postrider"
)

// shape is the tree of a mail as go-message reads it: types, names and contents.
func shape(t testing.TB, eml []byte) string {
	t.Helper()
	e, err := message.Read(bytes.NewReader(eml))
	if err != nil && !message.IsUnknownCharset(err) {
		t.Fatalf("%v\n%s", err, eml)
	}
	var b strings.Builder
	err = e.Walk(func(path []int, e *message.Entity, err error) error {
		if err != nil && !message.IsUnknownCharset(err) {
			return err
		}
		media, _, err := e.Header.ContentType()
		if err != nil {
			return err
		}
		disposition, params, _ := e.Header.ContentDisposition()
		fmt.Fprintf(&b, "%v %s %s %q %s\n", path, media, disposition, params["filename"], e.Header.Get("Content-Id"))
		if !strings.HasPrefix(media, "multipart/") {
			data, err := io.ReadAll(e.Body)
			fmt.Fprintf(&b, "%q\n", bytes.TrimRight(data, "\r\n"))
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func compose(t testing.TB, m *postrider.Message) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := m.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// everything is a message that uses every place.
func everything() *postrider.Message {
	logo := postrider.Bytes("logo.png", []byte("\x89PNG\r\n\x00"))
	logo.Inline, logo.ContentID, logo.ContentType = true, "logo@example.com", "image/png"
	eml := postrider.Bytes("old.eml", []byte("From: x@example.com\r\nSubject: old\r\n\r\nold text\r\n"))
	eml.ContentType = "message/rfc822"
	csv := postrider.Bytes("Übersicht \"2026\".csv", []byte("a;b\n"))
	csv.ContentType = "text/csv; charset=utf-8"
	return &postrider.Message{
		From: postrider.Addr("Ada Løvelace", "ada@example.com"), Sender: postrider.Addr("", "robot@example.com"),
		To: []postrider.Address{postrider.Addr("Bob", "bob@example.org"), postrider.Addr("", `"b c"@example.org`)},
		Cc: []postrider.Address{postrider.Addr("Карл", "carl@example.org")}, ReplyTo: []postrider.Address{postrider.Addr("", "answers@example.com")},
		Subject: "Grüße, und =?utf-8?q?kein?= Wort", Text: "Guten Tag,\n\n.\nFrom hier\n", HTML: "<p>Guten Tag</p>\n",
		Alternatives: []postrider.Part{{ContentType: "text/calendar; method=REQUEST", Content: "BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nEND:VCALENDAR\r\n"}},
		Attachments:  []postrider.Attachment{logo, csv, eml},
		Header:       postrider.Header{{Name: "X-One", Value: "eins ü"}, {Name: "List-Id", Value: "<news.example.com>"}, {Name: "X-One", Value: "again"}},
		MessageID:    "1@example.com", Date: time.Date(2026, 11, 23, 10, 0, 0, 0, time.FixedZone("", 3600)),
		InReplyTo: "0@example.org", References: []string{"a@example.org", "0@example.org"},
		AutoSubmitted: "auto-generated", FeedbackID: "a:b:c:d", Importance: "high", ReadReceipt: postrider.Addr("", "ada@example.com"),
		Unsubscribe: &postrider.Unsubscribe{URL: "https://example.com/u/1", Mailto: "mailto:leave@example.com"},
	}
}

// What is composed reads back equal, and composes to the same octets.
func TestParseMessage(t *testing.T) {
	m := everything()
	eml := compose(t, m)
	got, err := postrider.ParseMessage(bytes.NewReader(eml))
	if err != nil {
		t.Fatal(err)
	}
	if again := compose(t, got); !bytes.Equal(again, eml) {
		t.Errorf("composes to something else:\n%s\nand was\n%s", again, eml)
	}
	for i := range got.Attachments {
		if !bytes.Equal(content(t, got.Attachments[i]), content(t, m.Attachments[i])) {
			t.Errorf("attachment %d differs", i)
		}
		got.Attachments[i].Open, m.Attachments[i].Open = nil, nil
	}
	got.Date, m.Date = got.Date.UTC(), m.Date.UTC()
	got.Alternatives[0].Content, m.Alternatives[0].Content = "", ""
	if !reflect.DeepEqual(got, m) {
		t.Errorf("reads back as\n%+v, was\n%+v", got, m)
	}
}

func content(t testing.TB, a postrider.Attachment) []byte {
	r, err := a.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// The mail of others composes back to an equal tree.
func TestParseMessageOfOthers(t *testing.T) {
	const start = "From: a@example.com\r\nTo: b@example.org\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\n"
	for name, eml := range map[string]string{
		"plain":       start + "\r\nhello\r\n",
		"empty":       start + "\r\n",
		"latin-1":     start + "Subject: =?iso-8859-1?q?Gr=FC=DFe?=\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe\r\n",
		"html alone":  start + "Content-Type: text/html; charset=utf-8\r\n\r\n<img src=x>\r\n",
		"alternative": start + "Content-Type: multipart/alternative; boundary=x\r\n\r\n--x\r\nContent-Type: text/plain\r\n\r\na\r\n--x\r\nContent-Type: text/html\r\n\r\n<b>a</b>\r\n--x--\r\n",
		"mixed": start + "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/plain\r\n\r\na\r\n--x\r\nContent-Type: application/pdf; name=\"r.pdf\"\r\n" +
			"Content-Disposition: attachment; filename=\"r.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEC\r\n--x--\r\n",
	} {
		m, err := postrider.ParseMessage(strings.NewReader(eml))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, want := shape(t, compose(t, m)), shape(t, []byte(eml)); got != want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
	}
}

// A text attachment in another character set is decoded, and says so; one that nobody knows stays as it is.
func TestParseCharsets(t *testing.T) {
	const eml = "From: a@example.com\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/csv; charset=iso-8859-1; name=a.csv\r\n\r\n\xfc\r\n" +
		"--x\r\nContent-Type: text/plain; charset=klingon\r\n\r\n\xfc\r\n--x--\r\n"
	m, err := postrider.ParseMessage(strings.NewReader(eml))
	if err != nil || len(m.Attachments) != 2 {
		t.Fatalf("%+v, %v", m, err)
	}
	for i, want := range []string{"text/csv; charset=utf-8 ü", "text/plain; charset=klingon \xfc"} {
		if got := m.Attachments[i].ContentType + " " + string(content(t, m.Attachments[i])); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestParseFlowed(t *testing.T) {
	m := hello("bob@example.org")
	m.Flowed = true
	m.Text = strings.Repeat("word ", 40) + "end\n\n> quoted " + strings.Repeat("text ", 30) + "x\n>> deeper\nFrom here\n  indented\n-- \nAda\n"
	got, err := postrider.ParseMessage(bytes.NewReader(compose(t, m)))
	if err != nil || !got.Flowed || got.Text != m.Text {
		t.Errorf("%v\n got %q\nwant %q", err, got.Text, m.Text)
	}
}

func TestParseMessageRefuses(t *testing.T) {
	deep := "From: a@example.com\r\n"
	for i := range 40 {
		deep += fmt.Sprintf("Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	for name, eml := range map[string]string{
		"two From":   "From: a@example.com\r\nFrom: b@example.com\r\n\r\n",
		"bad From":   "From: nobody\r\n\r\n",
		"two in one": "From: a@example.com, b@example.com\r\n\r\n",
		"deep":       deep,
		"many":       "Content-Type: multipart/mixed; boundary=x\r\n\r\n" + strings.Repeat("--x\r\n\r\n\r\n", 1500) + "--x--\r\n",
		"long":       "X: " + strings.Repeat("x", 2<<20) + "\r\n\r\n",
	} {
		if m, err := postrider.ParseMessage(strings.NewReader(eml)); !errors.Is(err, postrider.ErrInvalid) {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
}

// What can be read can be composed, or is refused with a reason, and what was composed reads back to the
// same message.
func FuzzParseMessage(f *testing.F) {
	f.Add([]byte("From: a@example.com\r\nTo: b@example.org\r\n\r\nhello\r\n"))
	f.Add(compose(f, everything()))
	f.Fuzz(func(t *testing.T, eml []byte) {
		m, err := postrider.ParseMessage(bytes.NewReader(eml))
		if err != nil {
			return
		}
		var first, second bytes.Buffer
		m.MessageID, m.Date = "1@example.com", time.Unix(0, 0).UTC()
		if _, err := m.WriteTo(&first); err != nil {
			return
		}
		again, err := postrider.ParseMessage(bytes.NewReader(first.Bytes()))
		if err != nil {
			t.Fatalf("what was composed cannot be read: %v\n%s", err, first.Bytes())
		}
		if _, err := again.WriteTo(&second); err != nil {
			t.Fatalf("what was read cannot be composed: %v\n%s", err, first.Bytes())
		}
		if got, want := shape(t, second.Bytes()), shape(t, first.Bytes()); got != want {
			t.Errorf("trees differ:\n%s\n%s", got, want)
		}
	})
}
