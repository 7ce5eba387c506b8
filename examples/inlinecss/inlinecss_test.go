package inlinecss_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/examples/inlinecss"
)

func TestFilter(t *testing.T) {
	m := &postrider.Message{HTML: `<html><head><style>p { color: red } .b { font-weight: bold } @media (max-width: 600px) { p { color: blue } }</style></head>` +
		`<body><p class="b" style="margin:0">Grüße &amp; mehr</p><img src="cid:logo.png" alt="x"></body></html>`}
	if err := inlinecss.Filter(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"color:red", "font-weight:bold", "margin:0", "@media", "Grüße &amp; mehr", `src="cid:logo.png"`} {
		if !strings.Contains(m.HTML, want) {
			t.Errorf("%q is missing in %s", want, m.HTML)
		}
	}
}

// HTML without styles, and HTML that is too large, is not touched.
func TestFilterLeaves(t *testing.T) {
	for _, page := range []string{"", "<p>x", "<style>p{color:red}</style>" + strings.Repeat("<p>x</p>", 200_000)} {
		m := &postrider.Message{HTML: page}
		if err := inlinecss.Filter(t.Context(), m); err != nil || m.HTML != page {
			t.Errorf("%.30q became %.30q, %v", page, m.HTML, err)
		}
	}
}

func Example() {
	record := &postrider.Record{}
	client := &postrider.Client{Transport: record, Filters: []postrider.Filter{inlinecss.Filter}}
	_, err := client.Send(context.Background(), &postrider.Message{
		From: postrider.Addr("", "ada@example.com"), To: []postrider.Address{postrider.Addr("", "bob@example.org")},
		HTML: "<style>b { color: red }</style><p>very <b>important</b></p>",
	})
	fmt.Println(strings.Contains(string(record.Mail()[0].Message), `<b style="color:red">important</b>`), err)
	// Output: true <nil>
}
