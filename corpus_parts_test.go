package postrider

import (
	"fmt"
	"strings"
	"testing/fstest"
	"time"
)

func file(name, fileName string) nasty {
	return nasty{"file-" + name, func(m *Message) {
		m.Attachments = []Attachment{Bytes(fileName, []byte("content of "+fileName))}
	}}
}

func inline(name string, data []byte) Attachment {
	a := Bytes(name, data)
	a.Inline = true
	return a
}

func corpusFiles() []nasty {
	return []nasty{
		file("umlauts", "Übersicht März.pdf"),
		file("chinese-long", strings.Repeat("很长的文件名", 30)+".docx"),
		file("emoji-500", strings.Repeat(family, 20)+".png"),
		file("ascii-long", strings.Repeat("a long name ", 30)+".tar.gz"),
		file("ascii-unbroken", strings.Repeat("n", 240)+".txt"),
		file("quotes", `say "hi" \ there.txt`),
		file("quotes-long", strings.Repeat(`"\`, 60)+".txt"),
		file("slashes", "../../etc/passwd"),
		file("percent", "100%25 'sure' *.txt"),
		file("semicolons", "a;b=c,d(e)f@g:h?.txt"),
		file("extended-specials", "100% *größer* 'als' gestern.txt"),
		file("looks-encoded", "=?utf-8?Q?x?=.txt"),
		file("looks-extended", "utf-8''x%20y.txt"),
		file("right-to-left", hebrew+".pdf"),
		file("spaces", "  a  b  .txt"),
		file("dots", "..."),
		file("none", ""),
		file("long-extension", "x."+strings.Repeat("e", 100)),
		{"files-empty-and-sized", func(m *Message) {
			for _, n := range []int{0, 1, 2, 3, 56, 57, 58, 113, 114, 115, 32774, 32775, 32776, 70000} {
				m.Attachments = append(m.Attachments, Bytes(fmt.Sprintf("%d.bin", n), noise(n)))
			}
		}},
		{"files-fs", func(m *Message) {
			fsys := fstest.MapFS{"dir/report.pdf": {Data: noise(5000)}, "dir/Bild.PNG": {Data: noise(100)}}
			m.Attachments = []Attachment{FileFS(fsys, "dir/report.pdf"), FileFS(fsys, "dir/Bild.PNG")}
		}},
		{"file-without-text", func(m *Message) { m.Text, m.Attachments = "", []Attachment{Bytes("a.pdf", noise(10))} }},
		{"file-types", func(m *Message) {
			a := Bytes("data.txt", []byte("x"))
			a.ContentType = `Text/Plain; charset=iso-8859-1; note="a; \"b\""; long=` + strings.Repeat("v", 200)
			b := Bytes("x", []byte("y"))
			b.ContentType = "application/vnd.example+json; name=other"
			m.Attachments = []Attachment{a, b}
		}},
		{"file-large", func(m *Message) { m.Attachments = []Attachment{Bytes("large.bin", noise(3<<20))} }},
	}
}

const (
	invitation = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Example//EN\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nUID:1@example.com\r\n" +
		"DTSTAMP:20240229T120000Z\r\nDTSTART:20240301T120000Z\r\nSUMMARY:Größe\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
	ampPage  = "<!doctype html><html ⚡4email><head><meta charset=\"utf-8\"></head><body>Hi</body></html>\n"
	original = "From: Carol <carol@example.net>\r\nTo: ada@example.com\r\nSubject: Before\r\nMessage-ID: <0@example.net>\r\n" +
		"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
)

func corpusTrees() []nasty {
	both := func(m *Message) { m.HTML = `<p>Größe <img src="cid:logo.png"></p>` }
	message := func(name, body string) nasty {
		return nasty{"message-" + name, func(m *Message) {
			m.Attachments = []Attachment{Bytes("before.eml", []byte(strings.ReplaceAll(original+body, "\r\n", "\n")))}
		}}
	}
	return []nasty{
		{"tree-related", func(m *Message) { both(m); m.Attachments = []Attachment{inline("logo.png", noise(300))} }},
		{"tree-full", func(m *Message) {
			both(m)
			m.Alternatives = []Part{{"text/calendar; method=REQUEST", invitation}, {"text/x-amp-html", ampPage}}
			m.Attachments = []Attachment{Bytes("a.pdf", noise(100)), inline("logo.png", noise(300)), Bytes("b.txt", []byte(german)), inline("zwei te.png", noise(1))}
		}},
		{"tree-html-related-only", func(m *Message) {
			both(m)
			m.Text, m.Attachments = "", []Attachment{inline("logo.png", noise(300))}
		}},
		{"tree-inline-without-html", func(m *Message) { m.Attachments = []Attachment{inline("logo.png", noise(300))} }},
		{"tree-content-ids", func(m *Message) {
			both(m)
			a, b := inline("logo.png", noise(3)), inline("logo.png", noise(4))
			a.ContentID, b.ContentID = "<a$b@example.com>", strings.Repeat("i", 200)+"@example.com"
			m.Attachments = []Attachment{a, b}
		}},
		{"tree-calendar", func(m *Message) {
			m.Alternatives = []Part{{`text/calendar; method="REQUEST"; charset=UTF-8`, invitation}}
		}},
		{"tree-calendar-alone", func(m *Message) { m.Text, m.Alternatives = "", []Part{{"text/calendar; method=REQUEST", invitation}} }},
		{"tree-amp", func(m *Message) { both(m); m.Alternatives = []Part{{"text/x-amp-html", ampPage}} }},
		{"tree-empty-parts", func(m *Message) {
			m.HTML, m.Attachments = "\n", []Attachment{Bytes("empty.txt", nil)}
			m.Alternatives = []Part{{"text/markdown", ""}}
		}},
		message("seven-bit", "hello\r\n"),
		message("eight-bit", german+"\r\n"),
		message("long-lines", strings.Repeat("x", 2000)+"\r\n"),
		message("no-end", "hello"),
		message("bare-cr", "a\rb\r\n"),
		message("nul", "a\x00b\r\n"),
		message("our-boundary", ownBoundary+"--\r\n"),
		message("other-boundary", "--=_m_\r\n--=_m_000000000000000000000000--\r\n"),
	}
}

func corpusDates() []nasty {
	date := func(name string, t time.Time) nasty { return nasty{"date-" + name, func(m *Message) { m.Date = t }} }
	at := time.Date(2026, 11, 3, 4, 5, 6, 789, time.UTC)
	list := []nasty{
		date("utc", at),
		date("seconds-in-zone", at.In(time.FixedZone("LMT", 1172))),
		date("impossible-zone", at.In(time.FixedZone("", 200*3600))),
		date("early", time.Date(1901, 1, 1, 0, 0, 0, 0, time.UTC)),
		date("late", time.Date(9998, 12, 31, 23, 59, 59, 0, time.UTC)),
	}
	for _, minutes := range []int{-12 * 60, -9*60 - 30, -3*60 - 30, -60, 60, 5*60 + 45, 12*60 + 45, 14 * 60} {
		list = append(list, date(fmt.Sprintf("zone%+d", minutes), at.In(time.FixedZone("", minutes*60))))
	}
	return list
}
