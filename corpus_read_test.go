package postrider

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-message"
	"github.com/emersion/go-message/mail"
)

// reading is what a reader made of a message, and what it should have made of it.
type reading struct {
	Subject, MessageID, InReplyTo string
	References                    string
	Date                          time.Time
	From, Sender, ReplyTo, To, Cc []string
	Extra                         []string // "name: value" of Header and of the wishes
	Shape                         string
	Leaves                        []leaf
	Defects                       []string
}

type leaf struct{ Type, Name, Disposition, ID, Sum string }

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:8])
}

// canonical is text with CRLF line ends; a CR by itself is data.
func canonical(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\n", "\r\n")
}

// expected says what a reader should find. It is written from the documentation, not from the composer.
func expected(m *Message) reading {
	if plain := PlainText(m.HTML); m.Text == "" && plain != "" {
		with := *m
		with.Text, m = plain, &with
	}
	r := reading{Subject: m.Subject, MessageID: "<" + m.MessageID + ">", Date: m.Date.Truncate(time.Second)}
	show := func(list ...Address) (all []string) {
		for _, a := range list {
			if a != (Address{}) {
				spec, _, _ := parseAddress(a.Address)
				all = append(all, a.Name+" <"+spec+">")
			}
		}
		return all
	}
	r.From, r.Sender, r.ReplyTo, r.To, r.Cc = show(m.From), show(m.Sender), show(m.ReplyTo...), show(m.To...), show(m.Cc...)
	bracket := func(id string) string { return "<" + strings.Trim(id, "<>") + ">" }
	if m.InReplyTo != "" {
		r.InReplyTo = bracket(m.InReplyTo)
	}
	var ids []string
	for _, id := range m.References {
		ids = append(ids, bracket(id))
	}
	r.References = strings.Join(ids, " ")
	for _, f := range m.Header {
		r.Extra = append(r.Extra, f.Name+": "+f.Value)
	}
	var forms []string
	add := func(kind, s string) {
		if len(m.Attachments) == 0 && kindCount(m) == 1 && !strings.HasSuffix(s, "\n") && s != "" {
			s += "\n" // a message ends with a line end
		}
		forms = append(forms, kind)
		r.Leaves = append(r.Leaves, leaf{Type: kind, Sum: sum([]byte(canonical(s)))})
	}
	if m.Text != "" || kindCount(m) == 0 && len(m.Attachments) == 0 {
		add("text/plain", m.Text)
	}
	kind := func(p Part) string { kind, _, _ := strings.Cut(p.ContentType, ";"); return kind }
	for _, p := range m.Alternatives {
		if kind(p) == "text/x-amp-html" {
			add(kind(p), p.Content)
		}
	}
	var related []string
	if m.HTML != "" {
		add("text/html", m.HTML)
		for _, a := range m.Attachments {
			if a.Inline {
				r.Leaves = append(r.Leaves, expectedFile(a))
				related = append(related, r.Leaves[len(r.Leaves)-1].Type)
			}
		}
		if related != nil {
			forms[len(forms)-1] = "multipart/related(" + strings.Join(append([]string{"text/html"}, related...), " ") + ")"
		}
	}
	for _, p := range m.Alternatives {
		if kind(p) != "text/x-amp-html" {
			add(kind(p), p.Content)
		}
	}
	if len(forms) > 1 {
		forms = []string{"multipart/alternative(" + strings.Join(forms, " ") + ")"}
	}
	mixed := false
	for _, a := range m.Attachments {
		if m.HTML == "" || !a.Inline {
			mixed = true
			r.Leaves = append(r.Leaves, expectedFile(a))
			forms = append(forms, r.Leaves[len(r.Leaves)-1].Type)
		}
	}
	r.Shape = strings.Join(forms, " ")
	if mixed {
		r.Shape = "multipart/mixed(" + r.Shape + ")"
	}
	return r
}

// kindCount is the number of forms beside an empty text.
func kindCount(m *Message) int {
	n := len(m.Alternatives)
	for _, s := range []string{m.Text, m.HTML} {
		if s != "" {
			n++
		}
	}
	return n
}

func expectedFile(a Attachment) leaf {
	l := leaf{Name: a.Name, Disposition: "attachment"}
	l.Type, _, _ = strings.Cut(a.ContentType, ";")
	if l.Type = strings.ToLower(l.Type); l.Type == "" {
		l.Type, _, _ = strings.Cut(contentType(a.Name), ";")
	}
	if a.Inline {
		l.Disposition, l.ID = "inline", "<"+strings.ReplaceAll(a.Name, " ", "_")+">"
	}
	if a.ContentID != "" {
		l.ID = "<" + strings.Trim(a.ContentID, "<>") + ">"
	}
	r, _ := a.Open()
	data, _ := io.ReadAll(r)
	if l.Type == "message/rfc822" {
		data = []byte(canonical(string(data)))
		rest := strings.ReplaceAll(string(data), "\r\n", "")
		if strings.Contains(rest, strings.Repeat("x", 999)) || strings.ContainsAny(rest, "\r\x00") || strings.Contains(rest, ownBoundary) {
			l.Type = octetStream // it cannot go as it is
		}
	}
	l.Sum = sum(data)
	return l
}

// readByGoMessage reads with github.com/emersion/go-message.
func readByGoMessage(raw []byte) (r reading, err error) {
	e, err := message.Read(bytes.NewReader(raw))
	if err != nil && !message.IsUnknownCharset(err) {
		return r, err
	}
	h := mail.Header{Header: e.Header}
	note := func(err error) {
		if err != nil {
			r.Defects = append(r.Defects, err.Error())
		}
	}
	addresses := func(name string) (all []string) {
		list, err := h.AddressList(name)
		note(err)
		for _, a := range list {
			spec := a.Address
			if at := strings.LastIndexByte(spec, '@'); !isDotString(spec[:at]) {
				spec = quote(spec[:at]) + spec[at:] // net/mail takes the quotes away
			}
			all = append(all, a.Name+" <"+spec+">")
		}
		return all
	}
	r.Subject, err = h.Subject()
	note(err)
	r.Date, err = h.Date()
	note(err)
	r.MessageID, r.InReplyTo, r.References = h.Get("Message-Id"), h.Get("In-Reply-To"), strings.Join(strings.Fields(h.Get("References")), " ")
	r.From, r.Sender, r.ReplyTo, r.To, r.Cc = addresses("From"), addresses("Sender"), addresses("Reply-To"), addresses("To"), addresses("Cc")
	for f := e.Header.Fields(); f.Next(); {
		s, err := f.Text()
		note(err)
		r.Extra = append(r.Extra, f.Key()+": "+s)
	}
	r.Shape, err = r.goEntity(e)
	return r, err
}

func (r *reading) goEntity(e *message.Entity) (shape string, err error) {
	kind, _, err := e.Header.ContentType()
	if err != nil {
		return "", err
	}
	if mr := e.MultipartReader(); mr != nil {
		var shapes []string
		for {
			p, err := mr.NextPart()
			if err == io.EOF {
				return kind + "(" + strings.Join(shapes, " ") + ")", nil
			}
			if err != nil && !message.IsUnknownCharset(err) {
				return "", err
			}
			s, err := r.goEntity(p)
			if err != nil {
				return "", err
			}
			shapes = append(shapes, s)
		}
	}
	data, err := io.ReadAll(e.Body)
	if err != nil {
		return "", err
	}
	l := leaf{Type: kind, Sum: sum(data), ID: e.Header.Get("Content-Id")}
	if e.Header.Has("Content-Disposition") {
		disposition, params, err := e.Header.ContentDisposition()
		if err != nil {
			return "", err
		}
		l.Disposition, l.Name = disposition, params["filename"]
	}
	r.Leaves = append(r.Leaves, l)
	return kind, nil
}

// readByPython reads files with Python's email package, all in one process.
func readByPython(t *testing.T, files []string) []reading {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	const loop = `import runpy, sys
for f in sys.argv[2:]:
    tool, sys.argv[1:2] = sys.argv[1], [f]
    runpy.run_path(tool, run_name="__main__")
    sys.argv[1] = tool`
	out, err := exec.CommandContext(context.Background(), python, append([]string{"-c", loop, filepath.Join(".ci", "lab", "tools", "mime.py")}, files...)...).Output()
	if err != nil {
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			t.Fatalf("%v\n%s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	var all []reading
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var n pythonNode
		if err := d.Decode(&n); err != nil {
			t.Fatal(err)
		}
		all = append(all, n.reading())
	}
	if len(all) != len(files) {
		t.Fatalf("%d readings of %d files", len(all), len(files))
	}
	return all
}

// pythonNode is what mime.py prints.
type pythonNode struct {
	Type    string
	Headers []struct {
		Name, Value, Datetime string
		Addresses             []struct{ Name, Addr string }
		Defects               []string
	}
	Defects     []string
	Filename    string
	Disposition string
	ContentID   string `json:"content_id"`
	Sha256      string
	Parts       []pythonNode
	EightBit    bool `json:"eight_bit"`
}

func (n *pythonNode) reading() (r reading) {
	for _, h := range n.Headers {
		var list []string
		for _, a := range h.Addresses {
			list = append(list, a.Name+" <"+a.Addr+">")
		}
		switch strings.ToLower(h.Name) {
		case "subject":
			r.Subject = h.Value
		case "message-id":
			r.MessageID = h.Value
		case "in-reply-to":
			r.InReplyTo = h.Value
		case "references":
			r.References = h.Value
		case "date":
			r.Date, _ = time.Parse("2006-01-02T15:04:05-07:00", h.Datetime)
		case "from":
			r.From = list
		case "sender":
			r.Sender = list
		case "reply-to":
			r.ReplyTo = list
		case "to":
			r.To = list
		case "cc":
			r.Cc = list
		}
		r.Extra = append(r.Extra, h.Name+": "+h.Value)
	}
	r.Shape = r.pythonEntity(n)
	return r
}

func (r *reading) pythonEntity(n *pythonNode) string {
	for _, h := range n.Headers {
		for _, d := range h.Defects {
			r.Defects = append(r.Defects, h.Name+": "+d)
		}
	}
	for _, d := range n.Defects {
		r.Defects = append(r.Defects, n.Type+": "+d)
	}
	if strings.HasPrefix(n.Type, "multipart/") {
		var shapes []string
		for i := range n.Parts {
			shapes = append(shapes, r.pythonEntity(&n.Parts[i]))
		}
		return n.Type + "(" + strings.Join(shapes, " ") + ")"
	}
	l := leaf{Type: n.Type, Name: n.Filename, Disposition: n.Disposition, ID: n.ContentID}
	if len(n.Sha256) > 16 {
		l.Sum = n.Sha256[:16]
	}
	r.Leaves = append(r.Leaves, l)
	return n.Type
}

// differences compares what was read with what should have been.
func (want reading) differences(got reading) (all []string) {
	is := func(name string, got, want any) {
		if g, w := fmt.Sprintf("%q", got), fmt.Sprintf("%q", want); g != w {
			all = append(all, fmt.Sprintf("%s\n     got %s\n    want %s", name, g, w))
		}
	}
	is("subject", got.Subject, want.Subject)
	is("message id", got.MessageID, want.MessageID)
	is("in reply to", got.InReplyTo, want.InReplyTo)
	if want.References != "" {
		is("references", got.References, want.References)
	}
	if !got.Date.Equal(want.Date) {
		is("date", got.Date.String(), want.Date.String())
	}
	is("from", got.From, want.From)
	is("sender", got.Sender, want.Sender)
	is("reply to", got.ReplyTo, want.ReplyTo)
	is("to", got.To, want.To)
	is("cc", got.Cc, want.Cc)
	for _, f := range want.Extra {
		if !slices.ContainsFunc(got.Extra, func(g string) bool { return strings.EqualFold(g, f) }) {
			all = append(all, fmt.Sprintf("no field %q among %q", f, got.Extra))
		}
	}
	is("shape", got.Shape, want.Shape)
	if len(got.Leaves) == len(want.Leaves) {
		for i := range want.Leaves {
			is(fmt.Sprintf("part %d", i), got.Leaves[i], want.Leaves[i])
		}
	}
	is("defects", got.Defects, want.Defects)
	return all
}

func writeFiles(t *testing.T, raw [][]byte) (files []string) {
	dir := t.TempDir()
	for i, b := range raw {
		f := filepath.Join(dir, fmt.Sprintf("%03d.eml", i))
		if err := os.WriteFile(f, b, 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	return files
}
