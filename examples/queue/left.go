package main

import (
	"context"
	"sync"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/queue"
)

// left is a Sink that says when nothing is left in the queue.
type left struct {
	queue *postrider.Client
	done  func()
	once  sync.Once
}

// Record looks at the queue after each event with which a mail may have ended.
func (l *left) Record(ctx context.Context, events ...postrider.Event) error {
	for _, state := range []queue.State{queue.Waiting, queue.Leased} {
		items, err := l.queue.Queue.List(ctx, queue.Query{State: state, Limit: 1})
		if err != nil || len(items) > 0 {
			return err
		}
	}
	l.once.Do(l.done)
	return nil
}
