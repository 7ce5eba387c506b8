package smtptest

import (
	"sync"
	"time"
)

// deadline is a time limit that may be moved while somebody waits for it.
type deadline struct {
	mu    sync.Mutex
	timer *time.Timer
	done  chan struct{}
}

func newDeadline() *deadline { return &deadline{done: make(chan struct{})} }

// passed is closed when the limit has passed. A waiter that had it before the limit was moved
// forward still sees the new limit.
func (d *deadline) passed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.done
}

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	over := false
	select {
	case <-d.done:
		over = true
	default:
	}
	if t.IsZero() || time.Until(t) > 0 {
		if over {
			d.done = make(chan struct{})
		}
		if !t.IsZero() {
			done := d.done
			d.timer = time.AfterFunc(time.Until(t), func() { d.expire(done) })
		}
	} else if !over {
		close(d.done)
	}
}

func (d *deadline) expire(done chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	select {
	case <-done:
	default:
		close(done)
	}
}
