package postrider_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/mx"
	"github.com/postrider/postrider/queue"
)

// refreshing is a policy that counts its refreshes, of which the second fails.
type refreshing struct{ n atomic.Int64 }

func (r *refreshing) Apply(context.Context, *mx.Route) error { return nil }

func (r *refreshing) Refresh(context.Context) error {
	if r.n.Add(1) == 2 {
		return errors.New("policy host is down")
	}
	return nil
}

// Run keeps the policies of its transport fresh, every hour, and tells what goes wrong.
func TestUpkeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var policy refreshing
		var events sink
		client := &postrider.Client{
			Transport: &postrider.Direct{Router: &mx.Router{Policies: []mx.Policy{&policy}}},
			Queue:     &queue.Memory{}, Events: &events,
		}
		ctx, cancel := context.WithTimeout(t.Context(), 150*time.Minute)
		defer cancel()
		if err := client.Run(ctx); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := policy.n.Load(); n != 3 {
			t.Errorf("%d refreshes in two hours and a half, want 3", n)
		}
		if len(events.events) != 1 || events.events[0].Type != postrider.EventNotice || !strings.Contains(events.events[0].Reason, "policy host is down") {
			t.Errorf("events %+v", events.events)
		}
	})
}

// Nothing goes on when Run has returned because its queue was closed.
func TestUpkeepEndsWithRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var policy refreshing
		client := &postrider.Client{Transport: &postrider.Direct{Router: &mx.Router{Policies: []mx.Policy{&policy}}}, Queue: &queue.Memory{}}
		time.AfterFunc(time.Minute, func() { client.Queue.Close() })
		if err := client.Run(t.Context()); !errors.Is(err, queue.ErrClosed) {
			t.Errorf("Run: %v", err)
		}
		time.Sleep(3 * time.Hour)
		if n := policy.n.Load(); n != 1 {
			t.Errorf("%d refreshes, want only the one at the start", n)
		}
	})
}
