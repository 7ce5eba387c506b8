package dsn

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"time"
	"unicode/utf8"
)

// WriteTo writes the report as a message. It needs To, ReportingMTA, and Recipients or a Complaint. The
// message is ASCII unless an addressee or a returned message is not; Envelope says so to the server.
func (r *Report) WriteTo(w io.Writer) (int64, error) {
	if err := r.check(); err != nil {
		return 0, err
	}
	returned, headersOnly := r.returnedPart()
	parts := []part{r.textPart(headersOnly), r.fieldsPart()}
	if len(r.Returned) > 0 {
		parts = append(parts, returned)
	}
	boundary := boundary(parts)
	var b bytes.Buffer
	r.writeHeader(&b, boundary)
	for _, p := range parts {
		fmt.Fprintf(&b, "--%s\r\n", boundary)
		fmt.Fprintf(&b, "Content-Type: %s\r\nContent-Transfer-Encoding: %s\r\n", p.mediaType, p.encoding)
		fmt.Fprintf(&b, "Content-Description: %s\r\n\r\n", p.description)
		b.Write(p.body)
		b.WriteString("\r\n")
	}
	fmt.Fprintf(&b, "--%s--\r\n", boundary)
	return b.WriteTo(w)
}

func (r *Report) check() error {
	switch {
	case r.To == "":
		return errors.New("dsn: To is empty: mail with the null reverse-path is not reported on")
	case r.ReportingMTA == "" || strings.ContainsFunc(r.ReportingMTA, func(c rune) bool { return c <= ' ' || c >= 0x7f }):
		return fmt.Errorf("dsn: bad ReportingMTA %q", r.ReportingMTA)
	case r.Complaint == nil && len(r.Recipients) == 0:
		return errors.New("dsn: neither Recipients nor a Complaint")
	}
	for _, a := range []string{r.To, r.From} {
		if a != "" && (strings.ContainsAny(a, "<>") || clean(a) != a || !parses(a)) {
			return fmt.Errorf("dsn: bad address %q", a)
		}
	}
	return nil
}

func parses(address string) bool {
	_, err := mail.ParseAddress("<" + address + ">")
	return err == nil
}

func (r *Report) writeHeader(b *bytes.Buffer, boundary string) {
	from := mail.Address{Name: "Mail Delivery System", Address: cmp.Or(r.From, "MAILER-DAEMON@"+r.ReportingMTA)}
	date, id := r.Date, clean(r.MessageID)
	if date.IsZero() {
		date = time.Now()
	}
	if id == "" || strings.ContainsAny(id, "<> ") {
		id = rand.Text() + "@" + r.ReportingMTA
	}
	writeField(b, "From", from.String())
	writeField(b, "To", (&mail.Address{Address: r.To}).String())
	writeSubject(b, r.subject())
	writeField(b, "Date", date.Format(time.RFC1123Z))
	writeField(b, "Message-ID", "<"+id+">")
	if about := r.returnedID(); about != "" {
		writeField(b, "In-Reply-To", about)
		writeField(b, "References", about)
	}
	// RFC 3834 s. 5.2: "auto-replied" answers a message; a complaint is about one that was for others.
	submitted, kind := "auto-replied", "delivery-status"
	if r.Complaint != nil {
		submitted, kind = "auto-generated", "feedback-report"
	}
	writeField(b, "Auto-Submitted", submitted)
	writeField(b, "MIME-Version", "1.0")
	writeField(b, "Content-Type", fmt.Sprintf("multipart/report; report-type=%s; boundary=\"%s\"", kind, boundary))
	b.WriteString("\r\n")
}

// returnedID is the Message-ID of the returned message, for mail programs to put both together.
func (r *Report) returnedID() string {
	id := clean(r.ReturnedField("Message-ID"))
	if len(id) < 3 || len(id) > 500 || id[0] != '<' || id[len(id)-1] != '>' || strings.ContainsAny(id[1:len(id)-1], "<> ") || !isASCII(id) {
		return ""
	}
	return id
}

func (r *Report) subject() string {
	if s := clean(r.Subject); s != "" {
		return s
	}
	prefix := "Delivered"
	if r.Complaint != nil {
		prefix = "Complaint"
	} else if r.has(Failed) {
		prefix = "Undeliverable"
	} else if r.has(Delayed) {
		prefix = "Delayed"
	}
	about := clean(r.ReturnedField("Subject"))
	if decoded, err := new(mime.WordDecoder).DecodeHeader(about); err == nil {
		about = clean(decoded)
	}
	if about == "" {
		return prefix
	}
	if n := 100; utf8.RuneCountInString(about) > n {
		about = string([]rune(about)[:n]) + "..."
	}
	return prefix + ": " + about
}

func (r *Report) has(action Action) bool {
	for _, f := range r.Recipients {
		if f.Action == action {
			return true
		}
	}
	return false
}

// part is one of the three parts.
type part struct {
	mediaType, encoding, description string
	body                             []byte
}

// boundary cannot occur in the parts, for it is made of their hash.
func boundary(parts []part) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write(p.body)
	}
	return "=_" + hex.EncodeToString(h.Sum(nil)[:16])
}

func (r *Report) textPart(headersOnly bool) part {
	text := r.Text
	if text == "" {
		text = r.words(headersOnly)
	}
	p := part{mediaType: "text/plain; charset=utf-8", encoding: "7bit", description: "Notification"}
	text = strings.ReplaceAll(humanText([]byte(text))+"\n", "\n", "\r\n")
	p.body = []byte(text)
	if !plain(p.body) {
		p.encoding, p.body = "quoted-printable", toQP(p.body)
	}
	return p
}

// plain says that the octets may go as 7bit: ASCII, lines of at most 998 octets, ended by CRLF.
func plain(b []byte) bool { return isASCII(string(b)) && canonical(b) }

// canonical says that lines are ended by CRLF and not longer than 998 octets, without stray CR, LF or NUL.
func canonical(b []byte) bool {
	for line := range bytes.Lines(b) {
		body := bytes.TrimSuffix(line, []byte("\r\n"))
		if len(body) > 998 || bytes.ContainsAny(body, "\r\n\x00") {
			return false
		}
	}
	return true
}

func toQP(b []byte) []byte {
	var out bytes.Buffer
	w := quotedprintable.NewWriter(&out)
	w.Write(b)
	w.Close()
	return out.Bytes()
}

// returnedPart carries the message or its header. A message that cannot go as it is goes as its header.
func (r *Report) returnedPart() (p part, headersOnly bool) {
	b := bytes.ReplaceAll(bytes.ReplaceAll(r.Returned, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
	end := bytes.Index(b, []byte("\r\n\r\n"))
	head := b
	if end >= 0 {
		head = b[:end+2]
	}
	utf8Header := !isASCII(string(head))
	p = part{encoding: "7bit", description: "Message", body: b}
	if !isASCII(string(b)) {
		p.encoding = "8bit"
	}
	if !r.HeadersOnly && canonical(b) && utf8.Valid(head) && (!utf8Header || r.UTF8()) {
		p.mediaType = "message/rfc822"
		if utf8Header {
			p.mediaType = "message/global" // RFC 6532 s. 3.7
		}
		return p, false
	}
	p.description, p.body = "Header of the message", head
	switch {
	case plain(head):
		p.mediaType, p.encoding = "text/rfc822-headers", "7bit"
	case r.UTF8() && canonical(head) && utf8.Valid(head):
		p.mediaType = "message/global-headers" // RFC 6533 s. 6
	default:
		p.mediaType, p.encoding, p.body = "text/rfc822-headers; charset=utf-8", "quoted-printable", toQP(head)
	}
	return p, true
}
