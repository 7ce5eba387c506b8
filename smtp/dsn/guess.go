package dsn

import (
	"bytes"
	"regexp"
	"strings"

	"github.com/emersion/go-message"
)

// guess finds recipients in bounces that are text only: those of qmail, whose form is fixed (QSBMF), and
// those with the field X-Failed-Recipients of Exim.
func (p *parser) guess(e *message.Entity) {
	text := p.report.Text
	if text == "" {
		text = humanText(read(e.Body, maxHuman))
	}
	if list := clean(e.Header.Get("X-Failed-Recipients")); list != "" {
		for a := range strings.SplitSeq(list, ",") {
			p.add(address(a), "")
		}
	} else if strings.HasPrefix(text, "Hi. This is the") {
		p.qmail(text)
	}
	if len(p.report.Recipients) == 0 {
		return
	}
	p.report.Guessed = true
	if p.report.Text == "" {
		p.report.Text = text
	}
	p.cutReturned(text)
}

func (p *parser) add(a, diagnostic string) {
	if a == "" || !strings.Contains(a, "@") || len(p.report.Recipients) == maxRecipients {
		return
	}
	r := Recipient{Address: a, Action: Failed, Diagnostic: diagnostic}
	r.infer()
	p.report.Recipients = append(p.report.Recipients, r)
}

// qmailRecipient begins the paragraph of a recipient, the break of QSBMF begins the message.
var (
	qmailRecipient = regexp.MustCompile(`^<([^<>\s]+@[^<>\s]+)>:$`)
	returnedCopy   = regexp.MustCompile(`(?m)^-{2,6} ?(Below this line|This is a copy of the message).*$`)
)

// qmail reads "<bob@example.org>:" and the lines below it (QSBMF, the qmail-send bounce message format).
func (p *parser) qmail(text string) {
	if i := returnedCopy.FindStringIndex(text); i != nil {
		text = text[:i[0]]
	}
	for paragraph := range strings.SplitSeq(text, "\n\n") {
		first, rest, _ := strings.Cut(strings.TrimSpace(paragraph), "\n")
		if m := qmailRecipient.FindStringSubmatch(strings.TrimSpace(first)); m != nil {
			p.add(m[1], clean(rest))
		}
	}
}

// cutReturned finds the copy of the message below the text.
func (p *parser) cutReturned(text string) {
	if p.report.Returned != nil {
		return
	}
	if i := returnedCopy.FindStringIndex(text); i != nil {
		p.report.Returned = bytes.TrimLeft([]byte(text[i[1]:]), "\r\n")
	}
}
