package postrider

import (
	"io"
	"strconv"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// PlainText makes plain text of HTML, as a person would type it: paragraphs parted by empty lines, lists
// with "-" or numbers, quotations with ">", the target behind a link, the alt text for an image. It is
// what a Message with HTML and no Text is sent with. Lines are not wrapped.
func PlainText(page string) string {
	p := plainWriter{tokens: html.NewTokenizer(strings.NewReader(page))}
	for {
		switch p.tokens.Next() {
		case html.ErrorToken:
			if p.tokens.Err() != io.EOF {
				p.out.WriteString(" ") // a token over the limit: what came before it stands
			}
			return p.text()
		case html.TextToken:
			p.words(string(p.tokens.Text()))
		case html.StartTagToken:
			p.start(false)
		case html.SelfClosingTagToken:
			p.start(true)
		case html.EndTagToken:
			name, _ := p.tokens.TagName()
			p.end(atom.Lookup(name))
		}
	}
}

const plainNesting = 32 // lists and quotations in one another that are still told apart

// plainWriter turns tokens into text.
type plainWriter struct {
	tokens *html.Tokenizer
	out    strings.Builder
	breaks int    // line ends owed before the next word
	space  bool   // a space is owed before the next word
	any    bool   // a word was written
	hidden int    // depth inside elements that are not shown
	pre    int    // depth inside <pre>
	quotes int    // depth inside <blockquote>
	quoted int    // that depth at the last word
	lists  []int  // for each open list the number of its next item; negative: bullets
	marker string // of a list item, owed before its first word
	href   string // of the open link
	label  strings.Builder
}

// hiddenElements have content that is not shown.
var hiddenElements = map[atom.Atom]bool{atom.Head: true, atom.Script: true, atom.Style: true, atom.Title: true, atom.Template: true, atom.Noscript: true}

// blockElements part what stands before and after them by this many line ends.
var blockElements = map[atom.Atom]int{
	atom.P: 2, atom.H1: 2, atom.H2: 2, atom.H3: 2, atom.H4: 2, atom.H5: 2, atom.H6: 2, atom.Ul: 2, atom.Ol: 2, atom.Dl: 2,
	atom.Table: 2, atom.Blockquote: 2, atom.Pre: 2, atom.Figure: 2,
	atom.Div: 1, atom.Section: 1, atom.Article: 1, atom.Header: 1, atom.Footer: 1, atom.Main: 1, atom.Nav: 1, atom.Aside: 1,
	atom.Address: 1, atom.Center: 1, atom.Form: 1, atom.Fieldset: 1, atom.Li: 1, atom.Dt: 1, atom.Dd: 1, atom.Tr: 1, atom.Body: 1,
	atom.Caption: 1, atom.Figcaption: 1, atom.Details: 1, atom.Summary: 1,
}

func (p *plainWriter) start(closed bool) {
	name, more := p.tokens.TagName()
	tag := atom.Lookup(name)
	if hiddenElements[tag] && !closed {
		p.hidden++
	}
	if p.hidden > 0 {
		return
	}
	p.owe(blockElements[tag])
	switch tag {
	case atom.Br:
		p.breaks++
	case atom.Hr:
		p.owe(2)
		p.write("---")
		p.owe(2)
	case atom.Img:
		p.words(p.attribute(more, "alt"))
	case atom.A:
		p.closeLink()
		p.href = strings.TrimSpace(p.attribute(more, "href"))
		p.label.Reset()
	case atom.Pre:
		p.pre++
	case atom.Blockquote:
		p.quotes++
	case atom.Ul:
		p.lists = append(p.lists, -1)
	case atom.Ol:
		p.lists = append(p.lists, 1)
	case atom.Li:
		p.item()
	case atom.Td, atom.Th:
		p.space = true
	}
}

func (p *plainWriter) end(tag atom.Atom) {
	if hiddenElements[tag] && p.hidden > 0 {
		p.hidden--
		return
	}
	if p.hidden > 0 {
		return
	}
	switch tag {
	case atom.A:
		p.closeLink()
	case atom.Pre:
		p.pre = max(0, p.pre-1)
	case atom.Ul, atom.Ol:
		if len(p.lists) > 0 {
			p.lists = p.lists[:len(p.lists)-1]
		}
	case atom.Td, atom.Th:
		p.space = true
	}
	p.owe(blockElements[tag])
	if tag == atom.Blockquote {
		p.quotes = max(0, p.quotes-1)
	}
}

// attribute returns the value of an attribute of the current tag.
func (p *plainWriter) attribute(more bool, name string) string {
	for more {
		var key, value []byte
		key, value, more = p.tokens.TagAttr()
		if string(key) == name {
			return string(value)
		}
	}
	return ""
}

// owe asks for at least n line ends before the next word.
func (p *plainWriter) owe(n int) { p.breaks = max(p.breaks, n) }

// item begins a list item. Lists in lists need no empty line between their items.
func (p *plainWriter) item() {
	if len(p.lists) == 0 {
		p.marker = "- "
		return
	}
	if last := &p.lists[len(p.lists)-1]; *last < 0 {
		p.marker = "- "
	} else {
		p.marker = strconv.Itoa(*last) + ". "
		*last++
	}
}

// closeLink writes the target behind the text, unless the text shows it.
func (p *plainWriter) closeLink() {
	href, label := p.href, strings.TrimSpace(p.label.String())
	p.href = ""
	shown := strings.TrimPrefix(strings.TrimPrefix(href, "mailto:"), "tel:")
	if href == "" || strings.HasPrefix(href, "#") || strings.EqualFold(label, shown) || label == href ||
		strings.TrimSuffix(href, "/") == label || strings.HasSuffix(href, "://"+label) || strings.HasSuffix(href, "://"+label+"/") {
		return
	}
	if label == "" {
		p.write(shown)
		return
	}
	p.space = true
	p.write("(" + shown + ")")
}

// words writes text with its white space folded, except in <pre>.
func (p *plainWriter) words(s string) {
	if p.hidden > 0 {
		return
	}
	if p.pre > 0 {
		for line := range strings.Lines(s) {
			text := strings.TrimRight(line, "\r\n")
			if text != "" {
				p.write(text)
			}
			if len(text) < len(line) {
				p.breaks++
			}
		}
		return
	}
	for len(s) > 0 {
		i := strings.IndexFunc(s, notSpace)
		if i != 0 {
			p.space = p.space || p.any
		}
		if i < 0 {
			return
		}
		s = s[i:]
		if i = strings.IndexFunc(s, htmlSpace); i < 0 {
			i = len(s)
		}
		p.write(s[:i])
		s = s[i:]
	}
}

// htmlSpace is white space that HTML folds. A no-break space is not.
func htmlSpace(r rune) bool { return r == ' ' || r == '\n' || r == '\t' || r == '\r' || r == '\f' }
func notSpace(r rune) bool  { return !htmlSpace(r) }

// write writes a word with what is owed before it.
func (p *plainWriter) write(word string) {
	if word == "" {
		return
	}
	switch {
	case p.breaks > 0 && p.any:
		for range min(p.breaks, 2) - 1 {
			p.out.WriteString("\n" + strings.Repeat(">", min(p.quotes, p.quoted, plainNesting)))
		}
		p.out.WriteString("\n")
		p.indent()
	case !p.any:
		p.indent()
	case p.space:
		p.out.WriteByte(' ')
	}
	if p.href != "" && p.label.Len() < 4096 {
		if p.space {
			p.label.WriteByte(' ')
		}
		p.label.WriteString(word)
	}
	p.breaks, p.space, p.any, p.quoted = 0, false, true, p.quotes
	p.out.WriteString(strings.ReplaceAll(word, "\u00a0", " "))
}

// indent begins a line: quotation marks, the indentation of lists, the item's marker.
func (p *plainWriter) indent() {
	if n := min(p.quotes, plainNesting); n > 0 {
		p.out.WriteString(strings.Repeat(">", n) + " ")
	}
	if n := min(len(p.lists), plainNesting); n > 1 {
		p.out.WriteString(strings.Repeat("  ", n-1))
	}
	if p.marker != "" {
		p.out.WriteString(p.marker)
		p.marker = ""
	} else if len(p.lists) > 0 {
		p.out.WriteString("  ")
	}
}

// text is the result, which ends in one line end.
func (p *plainWriter) text() string {
	p.closeLink()
	s := strings.TrimRight(p.out.String(), " \n")
	if s == "" {
		return ""
	}
	return s + "\n"
}
