package postrider

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"
)

const (
	clipSize   = 102 << 10 // octets of HTML after which Gmail shows "Message clipped"
	styleSize  = 8192      // octets of a style element over which Gmail drops it
	mostSize   = 25 << 20  // octets of a whole message that Gmail and many others accept
	mostShown  = 50        // addresses in To and Cc that look like a mailing to many
	longScreen = 78        // characters of a subject; most lists show fewer
)

// Lint lists what receivers and readers dislike in a message that is valid otherwise, each with rule
// and remedy. Signing are the domains that sign it with DKIM; none: nothing is said about that. It opens no
// attachment.
func (m *Message) Lint(signing ...string) []Finding {
	l := &linter{m: m}
	l.subject()
	l.forms()
	l.bulk()
	l.identity(signing)
	l.attachments()
	l.html()
	return l.findings
}

// linter collects findings about a message.
type linter struct {
	m        *Message
	findings []Finding
}

func (l *linter) add(rule string, s Severity, by, evidence, remedy string) {
	f := Finding{Rule: rule, Severity: s, Evidence: evidence, Remedy: remedy}
	if by != "" {
		f.By = strings.Split(by, ", ")
	}
	l.findings = append(l.findings, f)
}

func (l *linter) subject() {
	s := l.m.Subject
	letters := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return -1
	}, s)
	switch n := len([]rune(s)); {
	case strings.TrimSpace(s) == "":
		l.add("subject-empty", SeverityWarning, "", "the subject is empty", "say what the mail is about")
	case n > longScreen:
		l.add("subject-long", SeverityNotice, "", fmt.Sprintf("the subject has %d characters", n), "say the most important thing in the first 50")
	}
	if len(letters) >= 10 && letters == strings.ToUpper(letters) {
		l.add("subject-shouts", SeverityNotice, "SpamAssassin", "the subject is all capitals", "write it as a sentence")
	}
	if first, _, ok := strings.Cut(strings.ToLower(s), ":"); ok && slices.Contains([]string{"re", "fw", "fwd", "aw", "wg"}, first) && l.m.InReplyTo == "" && len(l.m.References) == 0 {
		l.add("subject-false-reply", SeverityWarning, "Gmail", "the subject looks like an answer, and there is no InReplyTo", `set InReplyTo, or leave "`+first+`:" out`)
	}
}

// forms: what the content consists of.
func (l *linter) forms() {
	text, page := strings.TrimSpace(l.m.Text), strings.TrimSpace(l.m.HTML)
	switch {
	case text == "" && page == "":
		l.add("text-empty", SeverityWarning, "SpamAssassin", "there is neither Text nor HTML", "write a sentence about what is attached")
	case text == "":
		l.add("text-missing", SeverityNotice, "SpamAssassin", "there is HTML and no Text; it is made from the HTML", "write Text that reads well by itself")
	}
	if n := len(l.m.HTML); n > clipSize {
		l.add("html-large", SeverityWarning, "Gmail", fmt.Sprintf("the HTML has %d octets; Gmail clips it at %d", n, clipSize), "shorten it, or link to the rest")
	}
	if n := len(l.m.To) + len(l.m.Cc); n > mostShown {
		l.add("recipients-shown", SeverityWarning, "", fmt.Sprintf("every recipient sees %d others", n-1), "send one message to each")
	}
	if d := l.m.Date; !d.IsZero() && (time.Since(d) > 48*time.Hour || time.Until(d) > time.Hour) {
		l.add("date-off", SeverityWarning, "SpamAssassin", "Date is "+d.Format(time.RFC1123Z), "leave it empty")
	}
}

// bulk: mail to many must be easy to leave.
func (l *linter) bulk() {
	if l.m.Priority != PriorityBulk && !l.has("List-ID") && !l.has("Precedence") {
		return
	}
	u := l.m.Unsubscribe
	switch {
	case u == nil && !l.has("List-Unsubscribe"):
		l.add("unsubscribe-missing", SeverityFailure, "Gmail, Yahoo, RFC 8058", "bulk mail without List-Unsubscribe", "set Unsubscribe with an https URL that takes a POST")
	case u != nil && u.URL == "" || u == nil && !l.has("List-Unsubscribe-Post"):
		l.add("unsubscribe-not-one-click", SeverityFailure, "Gmail, Yahoo, RFC 8058", "bulk mail cannot be left with one click", "set Unsubscribe.URL to an https URL that takes a POST")
	}
	if !strings.Contains(strings.ToLower(l.m.HTML+l.m.Text), "unsubscribe") && u != nil && u.URL != "" && !strings.Contains(l.m.HTML+l.m.Text, u.URL) {
		l.add("unsubscribe-not-shown", SeverityNotice, "Gmail, Microsoft", "the text shows no way to unsubscribe", "add a link at its end")
	}
}

func (l *linter) has(field string) bool {
	return slices.ContainsFunc(l.m.Header, func(f Field) bool { return strings.EqualFold(f.Name, field) })
}

// identity: DMARC asks that the author's domain is the one that signs or that takes the bounces, or of
// the same organisation (RFC 9989 s. 4.4).
func (l *linter) identity(signing []string) {
	author := domainOf(l.m.From.Address)
	if len(signing) > 0 && !slices.ContainsFunc(signing, func(d string) bool { return sameSite(d, author) }) {
		l.add("from-not-aligned", SeverityFailure, "Gmail, Yahoo, Microsoft, RFC 9989",
			fmt.Sprintf("From is at %s, signed is by %s", author, strings.Join(signing, ", ")), "sign with a key of "+author)
	}
	from, _, _, err := l.m.path()
	if path := domainOf(from); err == nil && path != "" && !sameSite(path, author) {
		l.add("return-path-not-aligned", SeverityNotice, "RFC 9989", fmt.Sprintf("bounces go to %s, From is at %s: SPF does not count for DMARC", path, author),
			"use a return path below "+author)
	}
}

func domainOf(address string) string {
	d, err := parseDomain(address[strings.LastIndexByte(address, '@')+1:])
	if err != nil {
		return ""
	}
	return strings.ToLower(d)
}

// sameSite says whether two domains belong to one organisation, as far as their names tell.
func sameSite(a, b string) bool {
	if strings.EqualFold(a, b) {
		return true
	}
	x, err := publicsuffix.EffectiveTLDPlusOne(strings.ToLower(a))
	if err != nil {
		return false
	}
	y, err := publicsuffix.EffectiveTLDPlusOne(strings.ToLower(b))
	return err == nil && x == y
}

// blockedFiles are types that Gmail and Outlook refuse, also inside archives.
var blockedFiles = strings.Fields(`.ade .adp .apk .appx .appxbundle .bat .cab .chm .cmd .com .cpl .diagcab .diagcfg .diagpkg .dll .dmg .ex .ex_ .exe
	.hta .img .ins .iso .isp .jar .jnlp .js .jse .lib .lnk .mde .mjs .msc .msi .msix .msixbundle .msp .mst .nsh .pif .ps1 .scr .sct .shb .sys .vb
	.vbe .vbs .vhd .vxd .wsc .wsf .wsh .xll`)

func (l *linter) attachments() {
	var size int64
	for _, a := range l.m.Attachments {
		size += max(0, a.Size)
		if ext := strings.ToLower(path.Ext(a.Name)); slices.Contains(blockedFiles, ext) {
			l.add("attachment-blocked", SeverityFailure, "Gmail, Microsoft", fmt.Sprintf("%q: mail with %s files is refused", a.Name, ext), "offer it for download")
		}
	}
	// Base64 and its line ends make 78 octets of 57.
	if n := size/57*78 + int64(len(l.m.HTML)+len(l.m.Text)); n > mostSize {
		l.add("message-large", SeverityFailure, "Gmail", fmt.Sprintf("about %d MB with attachments; many servers take %d MB", n>>20, mostSize>>20), "offer large files for download")
	}
}

// knownSuffix says that a name ends as the names of hosts do, and is not just words with a dot.
func knownSuffix(host string) bool {
	suffix, icann := publicsuffix.PublicSuffix(host)
	return (icann || strings.Contains(suffix, ".")) && suffix != host
}
