package dsn

import (
	"fmt"
	"strings"
	"time"
)

// words is the text for people when the caller gave none.
func (r *Report) words(headersOnly bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "This is the mail system at %s.\n\n", r.ReportingMTA)
	if r.Complaint != nil {
		fmt.Fprintf(&b, "A message that was received from your system was reported as: %s.\n", clean(r.Complaint.Type))
		return b.String()
	}
	for _, s := range []struct {
		action Action
		intro  string
	}{
		{Failed, "Your message could not be delivered to the recipients below. It will not be\ntried again."},
		{Delayed, "Your message has not been delivered yet to the recipients below. It will be\ntried again; you need not do anything."},
		{Delivered, "Your message was delivered to the recipients below."},
		{Relayed, "Your message was handed over for the recipients below, to servers that may\nsend no further notice."},
		{Expanded, "Your message was handed to the members of the lists below."},
	} {
		if !r.has(s.action) {
			continue
		}
		fmt.Fprintf(&b, "%s\n\n", s.intro)
		for _, f := range r.Recipients {
			if f.Action == s.action {
				f.describe(&b)
			}
		}
	}
	switch {
	case len(r.Returned) == 0:
	case headersOnly:
		b.WriteString("The header of your message is attached.\n")
	default:
		b.WriteString("Your message is attached.\n")
	}
	return b.String()
}

func (f Recipient) describe(b *strings.Builder) {
	fmt.Fprintf(b, "<%s>\n", clean(f.Address))
	if original := clean(f.Original); original != "" && original != clean(f.Address) {
		fmt.Fprintf(b, "    (you wrote to <%s>)\n", original)
	}
	if said := clean(f.Diagnostic); said != "" {
		if host := clean(f.RemoteMTA); host != "" {
			said = host + " said: " + said
		}
		fmt.Fprintf(b, "    %s\n", said)
	}
	if f.Action == Delayed && !f.WillRetryUntil.IsZero() {
		fmt.Fprintf(b, "    It will be tried until %s.\n", f.WillRetryUntil.Format(time.RFC1123Z))
	}
	b.WriteString("\n")
}
