package queue

import "time"

// sweep expires what is due to be, and every minute forgets what was kept long enough. It makes one step: if there is
// more, the loop comes again at once, but claims before.
func (x *run) sweep(now time.Time) error {
	x.more = false
	if x.trouble.runs(now) || x.unswept.runs(now) {
		return nil
	}
	if x.woken || !within(x.expired, now, time.Second) {
		x.woken, x.expired = false, now
		if err := x.update(Expire, now); err != nil {
			return err
		}
		x.woken = x.more
	}
	if !x.more && !within(x.forgot, now, time.Minute) {
		x.forgot = now
		if err := x.update(Forget, now); err != nil {
			return err
		}
		if x.more {
			x.forgot = time.Time{}
		}
	}
	return nil
}

// within says that then is less than d before now. A time in the future, before the clock was set back, is not.
func within(then, now time.Time, d time.Duration) bool {
	return !now.Before(then) && now.Sub(then) < d
}

func (x *run) update(op Op, now time.Time) error {
	c, err := x.Store.Update(x.store, Change{Now: now, Op: op})
	if err != nil {
		x.unswept.begin(now)
		x.report(string(op), err)
		return err
	}
	x.unswept.reset()
	if c.Items > 0 {
		x.nudge()
	}
	x.more = c.More
	return nil
}
