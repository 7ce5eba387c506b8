package postrider

import (
	"fmt"
	"strings"
	"time"
)

// The corpus: messages that mail libraries get wrong. Each is composed, read back by two readers that
// know nothing of the composer, compared with what went in, and its signature is verified.

// nasty is one message of the corpus.
type nasty struct {
	name   string
	change func(m *Message)
}

// plainMessage is what the cases change.
func plainMessage() *Message {
	return &Message{
		From:      Addr("Ada Lovelace", "ada@example.com"),
		To:        []Address{Addr("Bob", "bob@example.org")},
		Subject:   "Notes",
		Text:      "Dear Bob,\n\nsee below.\n",
		MessageID: "1@example.com",
		Date:      time.Date(2024, 2, 29, 23, 59, 59, 0, time.FixedZone("", 3600)),
	}
}

func (n nasty) message() *Message {
	m := plainMessage()
	n.change(m)
	return m
}

// ownBoundary is what parts the multipart/mixed of the corpus' messages, by the golden files.
const ownBoundary = "--=_m_4a30277a7ca42298f0e1467c"

const (
	family  = "👨‍👩‍👧‍👦"                   // four people with joiners
	hebrew  = "שלום עולם, מה שלומך היום?" // right to left
	arabic  = "مرحبا بالعالم"             // right to left, joined
	german  = "Größe, Übermaß und Ärger"  // two-octet letters among ASCII
	chinese = "你好世界，这是一封测试邮件"             // three-octet letters
	flags   = "🇩🇪🇫🇷🇯🇵🇧🇷🇺🇦🇳🇬🇦🇺🇨🇦🇲🇽🇮🇳"      // pairs of regional indicators
	zalgo   = "Z̵̢̛͖̱̈́a̷̗͑͝l̵̰͐g̶̹̈́ǫ̸͘" // letters under heaps of marks
	skins   = "👍🏻👍🏼👍🏽👍🏾👍🏿🏴󠁧󠁢󠁳󠁣󠁴󠁿☎️1️⃣"    // modifiers, tags, selectors
)

// corpus has the cases in groups.
func corpus() []nasty {
	var all []nasty
	for _, group := range [][]nasty{corpusHeaders(), corpusAddresses(), corpusTexts(), corpusFiles(), corpusTrees(), corpusDates()} {
		all = append(all, group...)
	}
	return all
}

func subject(name, s string) nasty {
	return nasty{"subject-" + name, func(m *Message) { m.Subject = s }}
}

func corpusHeaders() []nasty {
	list := []nasty{
		subject("empty", ""),
		subject("umlauts", german),
		subject("emoji-joiners", strings.Repeat(family, 60)),
		subject("flags", strings.Repeat(flags, 8)),
		subject("marks", strings.Repeat(zalgo, 12)),
		subject("one-huge-cluster", "e"+strings.Repeat("\u0301", 200)),
		subject("modifiers", strings.Repeat(skins, 10)),
		subject("right-to-left", strings.Repeat(hebrew+" ", 10)+arabic),
		subject("chinese", strings.Repeat(chinese, 20)),
		subject("cyrillic-500", strings.Repeat("Ж", 500)),
		subject("looks-encoded", "=?utf-8?Q?not_encoded?= and =?x?B?eA==?="),
		subject("looks-half-encoded", "=? a ?= =?utf-8?Q?x"),
		subject("spaces", "  leading, double  and trailing "),
		subject("double-space-short", "a  b"),
		subject("double-space-long", strings.Repeat("word  ", 30)+"end"),
		subject("only-spaces", "   "),
		subject("trailing-space", "end "),
		subject("underscores", "snake_case and other_things with = and ? für alle"),
		subject("ascii-unbroken-989", strings.Repeat("x", 989)), // the longest line
		subject("ascii-unbroken-990", strings.Repeat("x", 990)),
		subject("tab", "a\tb"),
		subject("ascii-long", strings.Repeat("The quick brown fox jumps over the lazy dog. ", 30)+"End"),
		subject("ascii-unbroken-900", strings.Repeat("x", 900)),
		subject("ascii-unbroken-1500", strings.Repeat("x", 1500)),
		subject("77-columns", strings.Repeat("y", 66)+" z"),
		subject("colons-quotes", `Re: "quoted" <angle> (comment) \backslash, a=b; 100% =20 =`),
		subject("line-separators", "a\u2028b\u2029c\ufeffd"),
		subject("mixed-long", strings.Repeat("ASCII words and "+chinese+" then ", 12)+"end"),
		{"header-own-fields", func(m *Message) {
			m.Header = Header{{"X-Campaign", "spring"}, {"X-Note", german}, {"X-Json", `{"a":  "b", "c": [1, 2]}`}, {"X-Empty", ""},
				{"X-Note", "a second one of the same name"}, {"List-Id", "Friends of maths <maths.example.com>"}, {"Organization", strings.Repeat(chinese+" ", 10) + "x"}}
		}},
		{"header-thread", func(m *Message) {
			m.InReplyTo = "<parent+x/y=z@mail.example.org>"
			for i := range 60 {
				m.References = append(m.References, fmt.Sprintf("%d.%s@mail.example.org", i, strings.Repeat("r", i)))
			}
		}},
		{"header-one-click", func(m *Message) {
			m.Unsubscribe = &Unsubscribe{URL: "https://example.com/u/" + strings.Repeat("t0k3n,", 60), Mailto: "leave+a/b?c&d@example.com"}
		}},
		{"header-wishes", func(m *Message) {
			m.AutoSubmitted, m.FeedbackID, m.Importance = "auto-generated", "spring:acme:bulk:example", "high"
			m.ReadReceipt = Addr("Ada, the First", "ada@example.com")
		}},
	}
	return list
}

func corpusAddresses() []nasty {
	many := func(n int, name string) []Address {
		var list []Address
		for i := range n {
			list = append(list, Addr(fmt.Sprintf("%s %d", name, i), fmt.Sprintf("user%d@example.org", i)))
		}
		return list
	}
	to := func(name string, list ...Address) nasty {
		return nasty{"to-" + name, func(m *Message) { m.To = list }}
	}
	return []nasty{
		to("200", many(200, "Jürgen Groß")...),
		to("200-ascii", many(200, "Doe, John")...),
		to("name-500-runes", Addr(strings.Repeat("ñ", 500), "a@example.org")),
		to("name-500-ascii", Addr(strings.Repeat("word ", 100)+"x", "a@example.org")),
		to("name-unbroken", Addr(strings.Repeat("n", 300), "a@example.org")),
		to("name-specials", Addr(`Doe, "Johnny" \ (x) <y@z>; [a]: b@c`, "a@example.org"), Addr("a.b", "b@example.org"), Addr("O'Neil & Söhne, GmbH", "c@example.org")),
		to("name-looks-encoded", Addr("=?utf-8?Q?evil?=", "a@example.org"), Addr("x =?utf-8?B?eA==?= y", "b@example.org")),
		to("name-emoji", Addr(family+" Family", "a@example.org"), Addr(hebrew, "b@example.org")),
		to("name-spaces", Addr("  two  spaces  ", "a@example.org")),
		to("quoted-local", Addr("", `"a b\"c\\d"@example.org`), Addr("X", `"<>"@example.org`), Addr("", `"plain.dots"@example.org`)),
		to("literals", Addr("", "a@[127.0.0.1]"), Addr("", "b@[IPv6:2001:db8::1]")),
		to("idn", Addr("Jürgen", "info@münchen.example"), Addr("", "x@例え.テスト"), Addr("", "y@faß.example")),
		to("odd-atoms", Addr("", "!#$%&'*+-/=?^_`{|}~@example.org"), Addr("", "a+b=c@x-y.example.org")),
		to("smtputf8", Addr("Jürgen", "jürgen@example.org"), Addr(`Ж, "x"`, "用户@例え.テスト"), Addr("", `"ö ä"@example.org`)),
		{"smtputf8-text", func(m *Message) {
			m.To = []Address{Addr(strings.Repeat("Größe ", 30)+"x", "jürgen@example.org")}
			m.Subject = strings.Repeat(german+" ", 12) + "=?utf-8?Q?x?="
		}},
		{"bcc-only", func(m *Message) {
			m.To, m.Bcc = nil, []Address{Addr("Secret Person", "secret@example.net")}
		}},
		{"all-fields", func(m *Message) {
			m.Sender = Addr("Sekretär", "office@example.com")
			m.ReplyTo = []Address{Addr("", "a@example.com"), Addr("B", "b@example.com")}
			m.Cc = many(3, "Cc")
			m.Bcc = []Address{Addr("Hidden", "hidden1@example.net"), Addr("", "hidden2@example.net")}
		}},
	}
}

func text(name, s string) nasty {
	return nasty{"text-" + name, func(m *Message) { m.Text, m.HTML = s, "<p>x</p>" }}
}

func corpusTexts() []nasty {
	var every strings.Builder // every octet below 128, but no line break
	for c := range 128 {
		if c != '\n' {
			every.WriteByte(byte(c))
		}
	}
	return []nasty{
		text("lf", "one\ntwo\n\n\nthree\n"),
		text("crlf", "one\r\ntwo\r\n\r\nthree\r\n"),
		text("no-newline", "one"),
		text("no-newline-utf8", "eins zwei drei vier fünf"),
		text("only-newlines", "\n\n\n"),
		text("bare-cr", "one\rtwo\r\rthree\r"),
		text("nul", "one\x00two\n"),
		text("every-octet", every.String()),
		text("998", strings.Repeat("a", 998)+"\n"+strings.Repeat("b", 998)),
		text("999", strings.Repeat("a", 999)+"\n"),
		text("10000", strings.Repeat("word ", 2000)+"\nshort\n"+strings.Repeat("x", 10000)),
		text("10000-utf8", strings.Repeat(german, 400)),
		text("dots", ".\n..\n.hidden\n\n.\n"),
		text("from-lines", "From here\n>From there\nFrom \nfrom\n"),
		text("trailing-space", "a \nb\t\nc  \n"+strings.Repeat("x", 75)+" \n"+strings.Repeat("y", 74)+"ü \n \n\t\n ü"),
		text("boundary", ownBoundary+"\n"+strings.Replace(ownBoundary, "m", "a", 1)+"\n"+strings.Replace(ownBoundary, "m", "a", 1)+"--\n--\n----\n"),
		text("boundary-start", "--=_a\n"),
		text("qp-edges", qpEdges()),
		text("chinese", strings.Repeat(chinese+"\n", 50)),
		text("equals", strings.Repeat("=", 400)),
		text("emoji", strings.Repeat(family, 100)),
		text("bom", "\ufeffwith a byte order mark\n"),
		{"text-alone", func(m *Message) { m.Text = "just text, no end" }},
		{"text-alone-utf8", func(m *Message) { m.Text = german + "\n" }},
		{"text-alone-base64", func(m *Message) { m.Text = chinese + "\n" }},
		{"text-empty", func(m *Message) { m.Text = "" }},
		{"html-alone", func(m *Message) { m.Text, m.HTML = "", "<!doctype html><p>"+german+"</p>" }},
		{"text-eight-bit", func(m *Message) { m.Text, m.EightBit = german+"\n"+chinese, true }},
		{"text-eight-bit-long", func(m *Message) { m.Text, m.EightBit = strings.Repeat(german, 100)+"\n", true }},
	}
}

// qpEdges has lines of every length about the limit, with an escape at every place near it.
func qpEdges() string {
	var b strings.Builder
	for n := 70; n < 80; n++ {
		for _, s := range []string{"ü", "=", " ", "€", "👍", "x"} {
			b.WriteString(strings.Repeat("a", n) + s + "\n" + strings.Repeat("a", n) + s + "b\n")
		}
	}
	return b.String()
}
