package disk_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/postrider/postrider/queue"
	"github.com/postrider/postrider/queue/disk"
)

// What was put is there when the spool is opened again.
func ExampleOpen() {
	dir, err := os.MkdirTemp("", "spool")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	store, err := disk.Open(dir)
	if err != nil {
		panic(err)
	}
	ctx, now := context.Background(), time.Now()
	_, err = store.Put(ctx, &queue.Batch{Now: now, Body: queue.Bytes("Hello"), Items: []queue.Item{{To: "bob@example.org", Lane: "example.org"}}})
	if err != nil {
		panic(err)
	}
	store.Close()

	store, err = disk.Open(dir)
	if err != nil {
		panic(err)
	}
	defer store.Close()
	lease, err := store.Claim(ctx, queue.ClaimRequest{Now: now, Lease: time.Minute, Max: 1})
	fmt.Println(lease.Items[0].To, err)
	// Output: bob@example.org <nil>
}

// A Store is a queue.Store: a queue.Runner works it.
func ExampleStore() {
	dir, err := os.MkdirTemp("", "spool")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	var store queue.Store
	store, err = disk.Open(dir)
	if err != nil {
		panic(err)
	}
	defer store.Close()
	items, err := store.List(context.Background(), queue.Query{})
	fmt.Println(len(items), err)
	// Output: 0 <nil>
}

// Smaller files for a small disk.
func ExampleConfig() {
	dir, err := os.MkdirTemp("", "spool")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	store, err := disk.Config{Dir: dir, Segment: 4 << 20}.Open()
	fmt.Println(err, store.Close())
	// Output: <nil> <nil>
}
