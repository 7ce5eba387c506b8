package postrider_test

import (
	"strings"
	"testing"

	"github.com/postrider/postrider"
)

func TestPlainText(t *testing.T) {
	for _, test := range []struct{ name, html, want string }{
		{"empty", "", ""},
		{"only tags", "<p></p><div> </div>", ""},
		{"words", "  Hello,\n <b>Bob</b>!  ", "Hello, Bob!\n"},
		{"entities", "a &lt; b &amp; c&nbsp;d &#x1F600;", "a < b & c d \U0001F600\n"},
		{"paragraphs", "<h1>Title</h1><p>One<br>two</p><p>Three</p>", "Title\n\nOne\ntwo\n\nThree\n"},
		{"divisions", "<div>a</div><div>b</div>", "a\nb\n"},
		{"hidden", "<html><head><title>T</title><style>p{}</style></head><body><script>x()</script>seen</body></html>", "seen\n"},
		{"link", `See <a href="https://example.com/a?b=c&amp;d">the page</a>.`, "See the page (https://example.com/a?b=c&d).\n"},
		{"link that shows itself", `<a href="https://example.com/">example.com</a> <a href="mailto:a@b.c">a@b.c</a> <a href="#x">up</a>`, "example.com a@b.c up\n"},
		{"link around an image", `<a href="https://example.com/x"><img src="cid:y"></a>`, "https://example.com/x\n"},
		{"image", `<p><img src="x.png" alt="A chart"> here</p>`, "A chart here\n"},
		{"bullets", "<p>List:</p><ul><li>one<li>two<ul><li>deep</ul></ul>end", "List:\n\n- one\n- two\n\n  - deep\n\nend\n"},
		{"numbers", "<ol><li><p>one</p></li><li>two</li></ol>", "1. one\n\n2. two\n"},
		{"quotation", "<p>He said:</p><blockquote><p>a</p><p>b</p></blockquote><p>c</p>", "He said:\n\n> a\n>\n> b\n\nc\n"},
		{"table", "<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>", "a b\n1 2\n"},
		{"pre", "<pre>if x {\n    y()\n}</pre>", "if x {\n    y()\n}\n"},
		{"rule", "a<hr>b", "a\n\n---\n\nb\n"},
		{"unclosed", "<p>a<b>c<a href='https://example.org/z'>d", "acd (https://example.org/z)\n"},
		{"unbalanced ends", "</ul></blockquote></pre></a>a", "a\n"},
	} {
		if got := postrider.PlainText(test.html); got != test.want {
			t.Errorf("%s:\n got %q\nwant %q", test.name, got, test.want)
		}
	}
}

// However deep a page is nested, time and the length of the lines stay in bounds.
func TestPlainTextDeep(t *testing.T) {
	const n = 20_000
	for _, tag := range []string{"blockquote", "ul", "ol", "pre", "head", "a href='https://example.org'"} {
		page := strings.Repeat("<"+tag+">", n) + "x<li>y"
		if got := postrider.PlainText(page); len(got) > 2*len(page) {
			t.Errorf("%s: %d octets", tag, len(got))
		}
	}
}

func FuzzPlainText(f *testing.F) {
	f.Add(`<p>a <a href="x">b</a><ul><li>c</ul><pre>d</pre>`)
	f.Fuzz(func(t *testing.T, page string) {
		got := postrider.PlainText(page)
		if strings.HasSuffix(got, "\n\n") || strings.Contains(got, "\n\n\n\n") && !strings.Contains(page, "pre") {
			t.Errorf("%q gives %q", page, got)
		}
	})
}

// A message with HTML alone is sent with a plain form too.
func TestPlainFormOfHTML(t *testing.T) {
	m := hello("bob@example.org")
	m.Text, m.HTML = "", "<p>Dear <b>Bob</b></p>"
	var b strings.Builder
	if _, err := m.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	if s := b.String(); !strings.Contains(s, "multipart/alternative") || !strings.Contains(s, "\r\n\r\nDear Bob\r\n") {
		t.Errorf("%s", s)
	}
}
