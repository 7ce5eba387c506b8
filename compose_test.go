package postrider

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"
)

func TestComposeReadsBackRepeatedly(t *testing.T) {
	m := &Message{From: Addr("Ada", "ada@example.com"), To: []Address{Addr("", "bob@example.org")}, Text: "hello\n", MessageID: "1@example.com", Date: time.Unix(0, 0).UTC()}
	c, err := m.compose(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	var want strings.Builder
	if _, err := m.WriteTo(&want); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		r, err := c.open()
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || string(got) != want.String() || int64(len(got)) != c.size {
			t.Fatalf("got %q, %v; want %q", got, err, want.String())
		}
		r.Close()
	}
}
