package postrider

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// html looks at links, images and what mail programs do not show. Each rule is reported once, with its first
// case and the number of cases.
func (l *linter) html() {
	if l.m.HTML == "" {
		return
	}
	p := &pageLinter{linter: l, tokens: html.NewTokenizer(strings.NewReader(l.m.HTML)), seen: make(map[string]int), shown: make(map[string]bool)}
	p.read()
	for i, a := range l.m.Attachments {
		id := strings.Trim(a.ContentID, "<>")
		if id == "" {
			id = contentID(a.Name)
		}
		if a.Inline && !p.shown[id] {
			p.once("inline-unused", SeverityNotice, "", fmt.Sprintf("Attachments[%d] %q is Inline, and no image shows cid:%s", i, a.Name, id), "show it, or make it a plain attachment")
		}
		delete(p.shown, id)
	}
	for id := range p.shown {
		p.once("inline-missing", SeverityWarning, "", "an image shows cid:"+id+", and no attachment has that ContentID", "attach it with Inline and ContentID")
	}
	for i := range p.findings {
		f := &p.findings[i]
		if n := p.seen[f.Rule]; n > 1 {
			f.Evidence += fmt.Sprintf(" (and %d more)", n-1)
		}
	}
}

// pageLinter reads a page.
type pageLinter struct {
	*linter
	tokens *html.Tokenizer
	seen   map[string]int
	shown  map[string]bool // content ids
	href   string
	label  strings.Builder
	style  bool
}

// once reports the first case of a rule and counts the others.
func (p *pageLinter) once(rule string, s Severity, by, evidence, remedy string) {
	if p.seen[rule]++; p.seen[rule] == 1 {
		p.add(rule, s, by, evidence, remedy)
	}
}

func (p *pageLinter) read() {
	for {
		switch p.tokens.Next() {
		case html.ErrorToken:
			p.link()
			return
		case html.TextToken:
			text := p.tokens.Text()
			if p.href != "" && p.label.Len() < 1000 {
				p.label.Write(text)
			}
			if p.style && len(text) > styleSize {
				p.once("style-large", SeverityWarning, "Gmail", fmt.Sprintf("a style element of %d octets; Gmail drops those over %d", len(text), styleSize), "split it, or put styles on the elements")
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			token := p.tokens.Token()
			p.element(&token)
		case html.EndTagToken:
			name, _ := p.tokens.TagName()
			if atom.Lookup(name) == atom.A {
				p.link()
			}
			p.style = false
		}
	}
}

func value(t *html.Token, name string) (string, bool) {
	for _, a := range t.Attr {
		if a.Key == name {
			return a.Val, true
		}
	}
	return "", false
}

func (p *pageLinter) element(t *html.Token) {
	p.style = t.DataAtom == atom.Style
	switch t.DataAtom {
	case atom.A:
		p.link()
		p.href, _ = value(t, "href")
		p.href = strings.TrimSpace(p.href)
		p.label.Reset()
		p.target(p.href)
	case atom.Img:
		p.image(t)
	case atom.Script, atom.Iframe, atom.Object, atom.Embed, atom.Form:
		p.once("element-not-shown", SeverityWarning, "Gmail, Microsoft, Apple", "<"+t.Data+"> is removed by mail programs, and suspect", "link to a page that has it")
	case atom.Link:
		if rel, _ := value(t, "rel"); strings.EqualFold(rel, "stylesheet") {
			p.once("stylesheet-external", SeverityWarning, "Gmail, Microsoft", "an external stylesheet is not loaded", "put styles on the elements")
		}
	}
}

func (p *pageLinter) image(t *html.Token) {
	src, _ := value(t, "src")
	src = strings.TrimSpace(src)
	if _, ok := value(t, "alt"); !ok {
		p.once("image-without-alt", SeverityNotice, "", fmt.Sprintf("image %.60q has no alt", src), `say what it shows; alt="" for decoration`)
	}
	scheme, rest, _ := strings.Cut(src, ":")
	switch strings.ToLower(scheme) {
	case "cid":
		if id, err := url.PathUnescape(rest); err == nil {
			p.shown[id] = true
		}
	case "data":
		p.once("image-data-uri", SeverityWarning, "Gmail, Microsoft", "an image is a data: URI, which is not shown", "attach it with Inline and show cid:NAME")
	case "http":
		p.once("link-plain-http", SeverityNotice, "Apple, Gmail", fmt.Sprintf("%.80q is not https", src), "use https")
	case "https":
	default:
		p.once("image-relative", SeverityWarning, "", fmt.Sprintf("image %.60q has no place of its own", src), "use an https URL or cid:NAME")
	}
}

// target looks at where a link leads.
func (p *pageLinter) target(href string) {
	u, err := url.Parse(href)
	if err != nil {
		p.once("link-broken", SeverityWarning, "", fmt.Sprintf("%.80q is not a URL", href), "percent-encode it")
		return
	}
	switch strings.ToLower(u.Scheme) {
	case "http":
		p.once("link-plain-http", SeverityNotice, "Apple, Gmail", fmt.Sprintf("%.80q is not https", href), "use https")
	case "javascript", "data", "file":
		p.once("link-scheme", SeverityFailure, "Gmail, Microsoft", fmt.Sprintf("a link with %s:", u.Scheme), "link to an https page")
	case "":
		if href != "" && !strings.HasPrefix(href, "#") {
			p.once("link-relative", SeverityWarning, "", fmt.Sprintf("%.80q leads nowhere from a mail", href), "use a whole URL")
		}
	}
	if _, err := netip.ParseAddr(u.Hostname()); err == nil {
		p.once("link-to-address", SeverityWarning, "SpamAssassin", fmt.Sprintf("%.80q has an IP address for a host", href), "use a name")
	}
}

// link judges a finished link: one whose text shows another host than its target looks like phishing.
func (p *pageLinter) link() {
	href, label := p.href, strings.ToLower(strings.TrimSpace(p.label.String()))
	p.href = ""
	u, err := url.Parse(href)
	if err != nil || u.Hostname() == "" {
		return
	}
	shown := hostShown(label)
	if shown != "" && !sameSite(shown, u.Hostname()) {
		p.once("link-text-lies", SeverityWarning, "Gmail, Microsoft, SpamAssassin", fmt.Sprintf("a link shows %s and leads to %s", shown, u.Hostname()), "show words instead of a URL, or the URL it leads to")
	}
}

// hostShown is the host that a link's text seems to name; empty: none.
func hostShown(label string) string {
	label = strings.TrimPrefix(strings.TrimPrefix(label, "https://"), "http://")
	if i := strings.IndexAny(label, "/?#"); i >= 0 {
		label = label[:i]
	}
	if strings.ContainsAny(label, " \t\n@") || !strings.Contains(label, ".") {
		return ""
	}
	host, err := parseDomain(strings.TrimSuffix(label, "."))
	if err != nil || !knownSuffix(host) {
		return ""
	}
	return host
}
