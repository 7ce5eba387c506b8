package postrider

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"mime/quotedprintable"
	"os"
	"strings"
	"testing"
	"time"
)

// BenchmarkCompose composes messages into a spool, as Send does, and compares the time with the floor:
// base64 of the files into a reused buffer in lines of 57 octets, and the standard library's
// quoted-printable of the texts. x-floor is the time over the floor, measured in the same run.
func BenchmarkCompose(b *testing.B) {
	small := benchMessage(1<<10, 2<<10)
	large := benchMessage(4<<10, 6<<10)
	large.Attachments = []Attachment{
		Bytes("Übersicht.pdf", noise(100<<10)),
		{Name: "logo.png", Inline: true, Size: 20 << 10, Open: Bytes("", noise(20<<10)).Open},
	}
	b.Run("text-html-3KB", func(b *testing.B) { benchCompose(b, small) })
	b.Run("130KB", func(b *testing.B) { benchCompose(b, large) })
	b.Run("25MB-signed", benchLarge)
}

// benchLarge composes and signs a message with a file of 25 MB. The floor reads the file, encodes, hashes
// and writes it to a temporary file. MB-above is the peak of a process's memory over that of one that
// does everything else.
func benchLarge(b *testing.B) {
	m, signer := largeMessage(b)
	read, err := m.Attachments[0].Open()
	if err != nil {
		b.Fatal(err)
	}
	defer read.Close()
	source := read.(*os.File)
	in, out := make([]byte, 57<<10), make([]byte, 128<<10)
	floor := func() {
		f, err := os.CreateTemp("", "floor")
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		os.Remove(f.Name())
		sum := sha256.New()
		for off := int64(0); ; off += int64(len(in)) {
			n, _ := source.ReadAt(in, off)
			floorBase64(io.MultiWriter(sum, f), out, in[:n])
			if n < len(in) {
				break
			}
		}
	}
	compose := func() {
		c, err := m.compose(context.Background(), signer)
		if err != nil {
			b.Fatal(err)
		}
		c.close()
	}
	ratio := timeRatio(compose, floor, 8)
	b.ReportAllocs()
	b.SetBytes(25 << 20)
	for b.Loop() {
		compose()
	}
	b.ReportMetric(ratio, "x-floor")
	b.ReportMetric(float64(peak(b, true)-peak(b, false))/1024, "MB-above")
}

func benchCompose(b *testing.B, m *Message) {
	floor := newFloor(m)
	compose := func() {
		c, err := m.compose(context.Background(), nil)
		if err != nil {
			b.Fatal(err)
		}
		c.close()
	}
	ratio := timeRatio(compose, floor.run, 60)
	b.ReportAllocs()
	for b.Loop() {
		compose()
	}
	b.ReportMetric(ratio, "x-floor")
}

// timeRatio measures two functions in turn and returns the ratio of their best times, which other
// programs on the machine disturb least.
func timeRatio(f, floor func(), rounds int) float64 {
	best := func(f func(), n int) time.Duration {
		start := time.Now()
		for range n {
			f()
		}
		return time.Since(start)
	}
	n := 1
	for best(floor, n) < 2*time.Millisecond {
		n *= 2
	}
	tf, t0 := time.Duration(1<<62), time.Duration(1<<62)
	for range rounds {
		tf, t0 = min(tf, best(f, n)), min(t0, best(floor, n))
	}
	return float64(tf) / float64(t0)
}

type floor struct {
	texts []string
	files [][]byte
	line  []byte
}

func newFloor(m *Message) *floor {
	f := &floor{texts: []string{m.Text, m.HTML}, line: make([]byte, 64<<10)}
	for _, a := range m.Attachments {
		r, _ := a.Open()
		data, _ := io.ReadAll(r)
		f.files = append(f.files, data)
	}
	return f
}

func (f *floor) run() {
	for _, t := range f.texts {
		w := quotedprintable.NewWriter(io.Discard)
		io.WriteString(w, t)
		w.Close()
	}
	for _, data := range f.files {
		floorBase64(io.Discard, f.line, data)
	}
}

// floorBase64 encodes in lines of 76 into a reused buffer.
func floorBase64(w io.Writer, buf, data []byte) {
	n := 0
	for len(data) > 0 {
		k := min(57, len(data))
		base64.StdEncoding.Encode(buf[n:], data[:k])
		n += base64.StdEncoding.EncodedLen(k)
		buf[n], buf[n+1] = '\r', '\n'
		n += 2
		data = data[k:]
		if n > len(buf)-78 {
			w.Write(buf[:n])
			n = 0
		}
	}
	w.Write(buf[:n])
}

func benchMessage(text, html int) *Message {
	return &Message{
		From:    Addr("Jörg Müller", "joerg@example.com"),
		To:      []Address{Addr("Ada Lovelace", "ada@example.org")},
		Subject: "Rechnung für März: Übersicht und Grüße",
		Text:    prose("Die Übersicht für März ist fertig; viele Grüße aus dem schönen Büro.\n", text),
		HTML:    prose("<p style=\"margin:0 0 12px\">Die <b>Übersicht</b> für März ist fertig &amp; liegt bei.</p>\n", html),
	}
}

func prose(line string, n int) string { return strings.Repeat(line, n/len(line)+1)[:n] }

func noise(n int) []byte {
	b := make([]byte, n)
	x := uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}
