package queue_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"github.com/postrider/postrider/queue"
)

// The life of one message with two recipients, as a worker drives it. A Runner does all this.
func ExampleStore() {
	var store queue.Store = &queue.Memory{}
	ctx, now := context.Background(), time.Date(2030, 1, 2, 15, 0, 0, 0, time.UTC)

	stored, err := store.Put(ctx, &queue.Batch{
		Now: now, Key: "invoice-42", Fingerprint: "sha256:…", Priority: queue.Urgent,
		Body: queue.Bytes("Subject: tea\r\n\r\nAt four?\r\n"),
		Items: []queue.Item{
			{To: "bob@example.org", Lane: "example.org"},
			{To: "eve@example.org", Lane: "example.org"},
		},
	})
	if err != nil {
		log.Fatal(err)
	}

	lease, err := store.Claim(ctx, queue.ClaimRequest{Now: now, Lease: time.Minute, Max: 10})
	if err != nil {
		log.Fatal(err)
	}
	var body queue.Body
	if body, err = store.Open(ctx, stored.Message); err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(lease.Items), "items,", body.Size(), "octets")

	_, err = store.Settle(ctx, queue.Settlement{Now: now, Token: lease.Token, Outcomes: []queue.Outcome{
		{ID: lease.Items[0].ID, State: queue.Delivered},
		{ID: lease.Items[1].ID, State: queue.Waiting, Due: now.Add(time.Minute)},
	}})
	if err != nil {
		log.Fatal(err)
	}
	events, err := store.Events(ctx, queue.EventsRequest{Now: now, Lease: time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range events {
		fmt.Println(e.Item.To, e.Item.State, e.Item.Attempts)
	}
	fmt.Println(store.Ack(ctx, events))
	// Output:
	// 2 items, 26 octets
	// bob@example.org waiting 0
	// eve@example.org waiting 0
	// bob@example.org delivered 1
	// eve@example.org waiting 1
	// <nil>
}

// What waits for a domain is looked at, and held until its servers are well again.
func ExampleChange() {
	store := &queue.Memory{}
	ctx, now := context.Background(), time.Date(2030, 1, 2, 15, 0, 0, 0, time.UTC)
	for _, to := range []string{"bob@example.org", "eve@example.net"} {
		_, err := store.Put(ctx, &queue.Batch{Now: now, Body: queue.Bytes("…"), Items: []queue.Item{{To: to, Lane: to[4:]}}})
		if err != nil {
			log.Fatal(err)
		}
	}
	changed, err := store.Update(ctx, queue.Change{Now: now, Op: queue.Hold, Where: queue.Query{Lane: "example.org"}})
	fmt.Println(changed.Items, err)
	items, err := store.List(ctx, queue.Query{})
	for _, i := range items {
		fmt.Println(i.To, i.State)
	}
	fmt.Println(err)
	// Output:
	// 1 <nil>
	// bob@example.org held
	// eve@example.net waiting
	// <nil>
}

// printer delivers to standard output.
type printer struct{ done context.CancelFunc }

func (printer) Deliver(ctx context.Context, b queue.Body, items []queue.Item) []queue.Result {
	text, err := b.Open()
	if err != nil {
		return nil // tried again
	}
	defer text.Close()
	fmt.Print("to ", items[0].To, ": ")
	if _, err := io.Copy(os.Stdout, text); err != nil {
		return []queue.Result{{State: queue.Waiting, LaneDown: true}}
	}
	return []queue.Result{{State: queue.Delivered}}
}

// Record is told what happened, and ends the example after the last event.
func (p printer) Record(ctx context.Context, events []queue.Event) error {
	for _, e := range events {
		fmt.Println(e.Item.To, e.Item.State)
		if e.Item.State.Ended() {
			p.done()
		}
	}
	return nil
}

// A Runner gives what is due to a Handler and tells a Recorder. A failed attempt is made again by the
// Schedule.
func ExampleRunner() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	store := &queue.Memory{}
	_, err := store.Put(ctx, &queue.Batch{Now: time.Now(), Body: queue.Bytes("At four?\n"), Items: []queue.Item{{To: "bob@example.org", Lane: "example.org"}}})
	if err != nil {
		log.Fatal(err)
	}

	var handler queue.Handler = printer{}
	var recorder queue.Recorder = printer{done: cancel}
	runner := &queue.Runner{
		Store: store, Handler: handler, Recorder: recorder,
		Schedule: queue.Schedule{Delays: []time.Duration{time.Minute, 5 * time.Minute}, GiveUp: 24 * time.Hour},
	}
	fmt.Println(runner.Run(ctx))
	// Unordered output:
	// to bob@example.org: At four?
	// bob@example.org waiting
	// bob@example.org delivered
	// <nil>
}
