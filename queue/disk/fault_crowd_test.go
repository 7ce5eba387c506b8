package disk

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/postrider/postrider/queue"
)

// crowds lets many call at the same time, a few times, so that one write and one sync are for all of them.
func (l *life) crowds(rng *rand.Rand) error {
	for k := range 4 {
		l.now = l.now.Add(2 * time.Minute)
		lease, err := l.claim(4)
		if err != nil {
			return err
		}
		var calls []func() func() error
		for n, i := range lease.Items {
			o := queue.Outcome{ID: i.ID, State: queue.Delivered}
			if n%3 == 2 {
				o.State, o.Due = queue.Waiting, l.now.Add(time.Minute)
			}
			calls = append(calls, l.settling(queue.Settlement{Now: l.now, Token: lease.Token, Outcomes: []queue.Outcome{o}}))
		}
		for n := range 6 { // some of them do not fit into the segment
			b := &queue.Batch{Items: []queue.Item{{To: fmt.Sprint("crowd-", k, "-", n), Lane: "crowd"}}}
			calls = append(calls, l.putting(rng, rng.IntN(4000), b))
		}
		rng.Shuffle(len(calls), func(i, j int) { calls[i], calls[j] = calls[j], calls[i] })
		if err := l.together(calls); err != nil {
			return err
		}
		if err := l.drain(2); err != nil {
			return err
		}
		if err := l.s.checkpoint(false); err != nil && !errors.Is(err, queue.ErrFull) {
			return err
		}
		l.s.tidy()
	}
	return nil
}

// together makes calls of which the committer finds all waiting at once, in their order, and returns the first error.
func (l *life) together(calls []func() func() error) error {
	inside, release := make(chan bool), make(chan bool)
	holds := make(chan error, 1)
	go func() {
		holds <- l.s.do(context.Background(), func() (bool, error) {
			close(inside)
			<-release
			return false, nil
		})
	}()
	select {
	case <-inside:
	case err := <-holds:
		return err
	}
	var returned atomic.Int32
	notes := make([]func() error, len(calls))
	over := make(chan bool, len(calls))
	for n, call := range calls {
		go func() {
			notes[n] = call()
			returned.Add(1)
			over <- true
		}()
		for begun := time.Now(); int(returned.Load())+l.waiting() <= n; runtime.Gosched() {
			if time.Since(begun) > 10*time.Second {
				l.t.Fatalf("call %d of %d neither waits nor returns", n, len(calls))
			}
		}
	}
	before := l.files.operations()
	close(release)
	for range calls {
		<-over
	}
	err := <-holds
	if n := l.files.operations() - before; l.files.at == 0 && n >= 2*len(calls) {
		l.t.Errorf("%d operations for %d calls: they were not taken together", n, len(calls))
	}
	for _, note := range notes {
		if told := note(); err == nil && !errors.Is(told, queue.ErrFull) {
			err = told
		}
	}
	return err
}

// waiting is how many calls the committer has before it.
func (l *life) waiting() int {
	l.s.log.mu.Lock()
	defer l.s.log.mu.Unlock()
	return len(l.s.log.calls)
}
