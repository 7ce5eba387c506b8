package dkim_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	msgauth "github.com/emersion/go-msgauth/dkim"
	"github.com/postrider/postrider/dkim"
)

const benchHeader = "From: Ada Lovelace <ada@example.com>\r\nTo: Bob <bob@example.org>\r\nSubject: The invoice of this month\r\n" +
	"Date: Mon, 1 Jan 2024 10:00:00 +0000\r\nMessage-ID: <20240101100000.1@example.com>\r\nMIME-Version: 1.0\r\n" +
	"Content-Type: multipart/mixed; boundary=\"b1946ac92492d2347c6235b4d2611184\"\r\n\r\n"

const (
	benchText = "It may be desirable to explain, that by the word operation, we mean any\r\nprocess which alters the mutual relation of two or more things, be this\r\nrelation of what kind it may.\r\n\r\n"
	benchHTML = "  <tr>\r\n    <td style=\"padding: 0 4px\">\r\n      <a href=\"https://example.com/invoice/42\">The invoice</a>\r\n    </td>\r\n  </tr>\r\n"
	benchFile = "JVBERi0xLjcKJcOkw7zDtsOfCjIgMCBvYmoKPDwvTGVuZ3RoIDMgMCBSL0ZpbHRlci9GbGF0ZURl\r\n"
)

// fill repeats the text up to the size.
func fill(text string, size int) string {
	return strings.Repeat(text, size/len(text)+1)[:size-2] + "\r\n"
}

// BenchmarkSign measures a signature against its floor: the hash of the message and the bare
// signing operations, in the same run.
func BenchmarkSign(b *testing.B) {
	mail := benchHeader + fill(benchText, 3<<10) + fill(benchHTML, 3<<10) + fill(benchFile, 4<<10)
	file := benchHeader + fill(benchText, 2<<10) + fill(benchFile, 8<<20)
	text := benchHeader + fill(benchText, 4<<20) + fill(benchHTML, 4<<20)
	ed, rsa := both("example.com")[:1], both("example.com")[1:]
	for _, c := range []struct {
		name    string
		keys    []dkim.Key
		message string
	}{
		{"ed25519-10KB", ed, mail},
		{"rsa2048-10KB", rsa, mail},
		{"both-10KB", both("example.com"), mail},
		{"ed25519-8MB", ed, file},
		{"ed25519-8MB-text", ed, text},
	} {
		signer := dkim.Signer{Keys: c.keys, Ed25519Alone: true}
		message := []byte(c.message)
		b.Run(c.name, func(b *testing.B) {
			versusFloor(b, message, c.keys, func() {
				g := signer.NewSignature(b.Context())
				g.Write(message)
				if _, err := g.Fields(); err != nil {
					b.Fatal(err)
				}
			})
		})
		b.Run(c.name+"-gomsgauth", func(b *testing.B) {
			versusFloor(b, message, c.keys, func() { msgauthSign(b, message, c.keys) })
		})
	}
}

// versusFloor runs product and floor by turns, so that noise meets both, and reports the product's
// figures and the ratio. The first tenth of the sorted times counts: the others tell how busy the machine is.
func versusFloor(b *testing.B, message []byte, keys []dkim.Key, product func()) {
	floor := func() {
		digest := sha256.Sum256(message)
		for _, k := range keys {
			var opts crypto.SignerOpts = crypto.SHA256
			if k.Selector == "ed" {
				opts = crypto.Hash(0)
			}
			if _, err := k.Signer.Sign(rand.Reader, digest[:], opts); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportAllocs()
	const most = 1 << 16
	var ours, bare []time.Duration
	for b.Loop() {
		t0 := time.Now()
		product()
		t1 := time.Now()
		floor()
		if len(ours) < most {
			ours, bare = append(ours, t1.Sub(t0)), append(bare, time.Since(t1))
		}
	}
	slices.Sort(ours)
	slices.Sort(bare)
	time, least := ours[len(ours)/10], bare[len(bare)/10]
	b.ReportMetric(float64(time), "ns/op")
	b.ReportMetric(float64(time)/float64(least), "x-floor")
	b.ReportMetric(float64(len(message))/1e6/time.Seconds(), "MB/s")
	var before, after runtime.MemStats
	const runs = 5
	runtime.ReadMemStats(&before)
	for range runs {
		product()
	}
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/runs, "B/op")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/runs, "allocs/op")
}

func msgauthSign(b *testing.B, message []byte, keys []dkim.Key) {
	var list []*msgauth.Signer
	var all []io.Writer
	for _, k := range keys {
		s, err := msgauth.NewSigner(&msgauth.SignOptions{Domain: k.Domain, Selector: k.Selector, Signer: k.Signer,
			HeaderCanonicalization: msgauth.CanonicalizationRelaxed, BodyCanonicalization: msgauth.CanonicalizationRelaxed,
			HeaderKeys: []string{"From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type"}})
		if err != nil {
			b.Fatal(err)
		}
		list, all = append(list, s), append(all, s)
	}
	if _, err := io.Copy(io.MultiWriter(all...), bytes.NewReader(message)); err != nil {
		b.Fatal(err)
	}
	for _, s := range list {
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
