package postrider

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// Wherever in the tree a file fails, and in whichever way, no mail comes of it.
func TestFileFailsAnywhere(t *testing.T) {
	broken := errors.New("gone")
	ways := map[string]func(data string) func() (io.ReadCloser, error){
		"open": func(string) func() (io.ReadCloser, error) {
			return func() (io.ReadCloser, error) { return nil, broken }
		},
		"read": func(data string) func() (io.ReadCloser, error) {
			return func() (io.ReadCloser, error) {
				return io.NopCloser(io.MultiReader(strings.NewReader(data[:len(data)/2]), iotest.ErrReader(broken))), nil
			}
		},
		"close": func(data string) func() (io.ReadCloser, error) {
			return func() (io.ReadCloser, error) { return failingCloser{strings.NewReader(data), broken}, nil }
		},
	}
	kinds := []Attachment{{Name: "logo.png", Inline: true}, {Name: "report.pdf"}, {Name: "old.eml"}}
	for way, open := range ways {
		for layout := range 1 << len(kinds) { // which kinds are there
			for failing, kind := range kinds {
				if layout>>failing&1 == 0 {
					continue
				}
				for _, html := range []string{"", `<img src="cid:logo.png">`} {
					m := &Message{From: Addr("", "a@example.com"), To: []Address{Addr("", "b@example.org")}, Text: "x", HTML: html}
					const data = "From: x@example.com\r\n\r\nhello hello hello\r\n"
					for i, a := range kinds {
						if layout>>i&1 == 0 {
							continue
						}
						a.Size, a.Open = -1, Bytes("", []byte(data)).Open
						if a.Name == kind.Name {
							a.Open = open(data)
						}
						m.Attachments = append(m.Attachments, a)
					}
					name := fmt.Sprintf("%s of %s in layout %03b, HTML %v", way, kind.Name, layout, html != "")
					if c, err := m.compose(t.Context(), nil); !errors.Is(err, broken) || c != nil {
						t.Errorf("%s: %v", name, err)
					}
					if _, err := m.WriteTo(io.Discard); !errors.Is(err, broken) {
						t.Errorf("%s: WriteTo: %v", name, err)
					}
				}
			}
		}
	}
}

type failingCloser struct {
	io.Reader
	err error
}

func (f failingCloser) Close() error { return f.err }
