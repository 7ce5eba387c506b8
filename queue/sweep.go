package queue

import "time"

// sweep expires what is due to be, and every minute forgets what was kept long enough.
func (x *run) sweep(now time.Time) error {
	if x.trouble.runs(now) {
		return nil
	}
	if x.woken || !within(x.expired, now, time.Second) {
		x.woken, x.expired = false, now
		if err := x.update(Expire, now); err != nil {
			return err
		}
	}
	if !within(x.forgot, now, time.Minute) {
		x.forgot = now
		return x.update(Forget, now)
	}
	return nil
}

// within says that then is less than d before now. A time in the future, before the clock was set back, is not.
func within(then, now time.Time, d time.Duration) bool {
	return !now.Before(then) && now.Sub(then) < d
}

func (x *run) update(op Op, now time.Time) error {
	for x.stop.Err() == nil {
		c, err := x.Store.Update(x.store, Change{Now: now, Op: op})
		if err != nil {
			return x.failed(string(op), err, now)
		}
		if c.Items > 0 {
			x.nudge()
		}
		if !c.More {
			break
		}
	}
	return nil
}
