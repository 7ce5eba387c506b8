package mtasts_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/postrider/postrider/mx"
	"github.com/postrider/postrider/mx/mtasts"
	"github.com/postrider/postrider/mx/mxtest"
)

// A policy that was fetched once protects its domain though an attacker hides all traces of it.
func ExamplePolicy() {
	cache := &mtasts.File{} // with a Path it survives restarts
	cache.Put("example.com", mtasts.Entry{ID: "1", Fetched: time.Now(), Document: mtasts.Document{
		Mode: mtasts.Enforce, MX: []string{"*.mail.example.com"}, MaxAge: 7 * 24 * time.Hour,
	}})
	route := &mx.Route{Domain: "example.com", Resolver: mxtest.MustParse(""), Hosts: []mx.Host{
		{Name: "mx.attacker.example"}, {Name: "mx1.mail.example.com"},
	}}
	policy := &mtasts.Policy{Cache: cache}
	err := policy.Apply(context.Background(), route)
	for _, h := range route.Hosts {
		fmt.Println(h.Name, h.Demand.Level, err)
	}
	for _, note := range route.Notes {
		fmt.Println(note)
	}
	// Output:
	// mx1.mail.example.com verified <nil>
	// MTA-STS: policy 1 of example.com, mode enforce
	// MTA-STS: mx.attacker.example is not in the policy and is not used
}

func ExampleFile() {
	dir, _ := os.MkdirTemp("", "mtasts")
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "policies")
	before := &mtasts.File{Path: path}
	before.Put("example.com", mtasts.Entry{ID: "1", Fetched: time.Now(), Document: mtasts.Document{Mode: mtasts.None}})
	after := &mtasts.File{Path: path} // another process, later
	entry, err := after.Get("example.com")
	fmt.Println(entry.ID, entry.Document.Mode, err)
	// Output: 1 none <nil>
}

func ExampleEntry() {
	entry := mtasts.Entry{
		Fetched:  time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		Document: mtasts.Document{MaxAge: 48 * time.Hour},
	}
	fmt.Println(entry.Expires().Format(time.DateOnly))
	// Output: 2026-01-03
}
