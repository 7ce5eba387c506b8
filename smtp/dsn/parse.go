package dsn

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/mail"
	"strings"

	"github.com/emersion/go-message"
)

// ErrNoReport says that a message is neither a delivery status notification nor a feedback report:
// it may be a reply by a person or a machine.
var ErrNoReport = errors.New("dsn: the message is no report")

// Bounds on what is read of a message.
const (
	maxMessage    = 64 << 20
	maxStatus     = 1 << 20 // the part with the fields
	maxHuman      = 64 << 10
	maxParts      = 64
	maxDepth      = 6
	maxRecipients = 10000
)

// Parse reads a report from a message. It takes what the standards describe and what is met besides:
// fields without types, missing status codes, reports inside other multiparts, and the bounces of
// qmail and old Exims, which are text only (Report.Guessed). It never reads more than 64 MB and
// keeps little of it. The error is ErrNoReport when the message is something else.
func Parse(r io.Reader) (*Report, error) {
	entity, err := message.ReadWithOptions(io.LimitReader(r, maxMessage), &message.ReadOptions{MaxHeaderBytes: maxHeader})
	if entity == nil {
		return nil, fmt.Errorf("dsn: %w", err)
	}
	p := parser{report: new(Report)}
	p.header(entity)
	p.walk(entity, 0)
	if p.report.Complaint == nil && len(p.report.Recipients) == 0 {
		p.guess(entity)
	}
	if p.report.Complaint == nil && len(p.report.Recipients) == 0 {
		return nil, ErrNoReport
	}
	return p.report, nil
}

type parser struct {
	report *Report
	parts  int
}

// header reads what the report says about itself.
func (p *parser) header(e *message.Entity) {
	get := func(name string) string {
		v := e.Header.Get(name)
		if decoded, err := new(mime.WordDecoder).DecodeHeader(v); err == nil {
			v = decoded
		}
		return clean(v)
	}
	p.report.From, p.report.To = mailbox(e.Header.Get("From")), mailbox(e.Header.Get("To"))
	p.report.Subject = get("Subject")
	p.report.MessageID = strings.Trim(get("Message-Id"), "<> ")
	p.report.Date = date(e.Header.Get("Date"))
}

// mailbox is the address in a header field, or "".
func mailbox(value string) string {
	value = clean(value)
	if a, err := mail.ParseAddress(value); err == nil {
		return a.Address
	}
	if i, j := strings.LastIndexByte(value, '<'), strings.LastIndexByte(value, '>'); i >= 0 && i < j {
		return value[i+1 : j]
	}
	return value
}

// walk looks through the MIME tree. It does not look inside returned messages: a report that somebody
// forwards is not about mail of ours.
func (p *parser) walk(e *message.Entity, depth int) {
	if p.parts++; p.parts > maxParts || depth > maxDepth {
		return
	}
	if mr := e.MultipartReader(); mr != nil {
		for p.parts <= maxParts {
			part, err := mr.NextPart()
			if part == nil || err != nil && !message.IsUnknownCharset(err) && !message.IsUnknownEncoding(err) {
				return
			}
			p.walk(part, depth+1)
		}
		return
	}
	kind, _, _ := e.Header.ContentType()
	switch strings.ToLower(kind) {
	case "message/delivery-status", "message/global-delivery-status":
		p.status(read(e.Body, maxStatus))
	case "message/feedback-report":
		p.complaint(read(e.Body, maxStatus))
	case "message/rfc822", "message/global":
		p.returned(e.Body, false)
	case "text/rfc822-headers", "message/rfc822-headers", "message/global-headers":
		p.returned(e.Body, true)
	case "text/plain":
		if p.report.Text == "" && depth > 0 {
			p.report.Text = humanText(read(e.Body, maxHuman))
		}
	}
}

// read reads a part as far as it can be read.
func read(r io.Reader, limit int64) []byte {
	b, _ := io.ReadAll(io.LimitReader(r, limit))
	return b
}

func (p *parser) returned(r io.Reader, headersOnly bool) {
	if p.report.Returned == nil {
		p.report.Returned = bytes.TrimLeft(read(r, maxReturned), "\r\n")
		p.report.HeadersOnly = headersOnly
	}
}

// humanText keeps line ends and tabs and nothing else that is no character.
func humanText(b []byte) string {
	var lines []string
	for line := range strings.Lines(string(b)) {
		trailing := strings.TrimRight(line, "\r\n \t")
		indent := len(trailing) - len(strings.TrimLeft(trailing, " \t"))
		lines = append(lines, strings.Repeat(" ", min(indent, 40))+clean(trailing))
	}
	return strings.TrimSpace(strings.Join(lines, "\n"))
}

// status reads the per-message fields and the groups of the recipients (RFC 3464 s. 2.2, 2.3).
func (p *parser) status(block []byte) {
	for i, group := range parseGroups(block, maxRecipients+1) {
		fate, isRecipient := p.fate(group)
		if isRecipient && len(p.report.Recipients) < maxRecipients {
			p.report.Recipients = append(p.report.Recipients, fate)
		}
		if i > 0 && isRecipient {
			continue
		}
		for _, f := range group { // some put all in one group
			switch strings.ToLower(f.name) {
			case "reporting-mta":
				_, p.report.ReportingMTA = afterType(f.value)
			case "received-from-mta":
				_, p.report.ReceivedFrom = afterType(f.value)
			case "original-envelope-id":
				p.report.EnvelopeID = clean(f.value)
			case "arrival-date":
				p.report.ArrivalDate = date(f.value)
			}
		}
	}
}

// fate reads one recipient.
func (p *parser) fate(group []field) (r Recipient, ok bool) {
	for _, f := range group {
		switch strings.ToLower(f.name) {
		case "final-recipient":
			r.Address = address(f.value)
		case "original-recipient":
			r.Original = address(f.value)
		case "action":
			word, _, _ := strings.Cut(strings.ToLower(clean(f.value)), " ")
			r.Action = Action(strings.TrimRight(word, ";,."))
		case "status":
			r.Status = findStatus(clean(f.value))
		case "remote-mta":
			_, r.RemoteMTA = afterType(f.value)
		case "diagnostic-code":
			r.Diagnostic = diagnostic(f.value)
		case "last-attempt-date":
			r.LastAttempt = date(f.value)
		case "will-retry-until":
			r.WillRetryUntil = date(f.value)
		}
	}
	if r.Address == "" {
		r.Address = r.Original
	}
	r.infer()
	return r, r.Address != ""
}

// diagnostic drops the type of a diagnostic code, if it is one.
func diagnostic(value string) string {
	kind, rest, ok := strings.Cut(value, ";")
	kind = strings.TrimSpace(kind)
	if !ok || kind == "" || len(kind) > 40 || strings.ContainsAny(kind, " \t:,") {
		return clean(value)
	}
	return clean(rest)
}

// infer fills what was left out. The reply knows more than "5.0.0", which some put for all they
// do not want to think about.
func (r *Recipient) infer() {
	found := findStatus(r.Diagnostic)
	if m := replyCode.FindStringSubmatch(r.Diagnostic); found[0] == 0 && m != nil {
		found[0] = int(m[1][0] - '0')
	}
	if r.Status[0] == 0 || r.Status[1] == 0 && r.Status[2] == 0 && found[0] == r.Status[0] {
		r.Status = found
	}
	switch r.Action {
	case Failed, Delayed, Delivered, Relayed, Expanded:
	default:
		r.Action = map[int]Action{2: Delivered, 4: Delayed}[r.Status[0]]
		if r.Action == "" {
			r.Action = Failed // what nobody understands is at least not good news
		}
	}
	if r.Status[0] == 0 {
		r.Status[0] = r.Action.class()
	}
}

// class is the class of status codes that goes with the action.
func (a Action) class() int {
	switch a {
	case Failed:
		return 5
	case Delayed:
		return 4
	}
	return 2
}
