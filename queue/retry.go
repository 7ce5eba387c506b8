package queue

import "time"

// Schedule says when a failed attempt is repeated, and for how long. The zero value tries again after about
// 1, 3, 8, 20 and 45 minutes, then hourly, later every 4 hours, for 5 days: early, since most mail that is deferred is
// greylisted or met a short trouble, and without a long gap, since somebody waits for it (RFC 5321
// s. 4.5.4.1 asks for 30 minutes between attempts in general, sooner at first, and for 4 to 5 days).
type Schedule struct {
	// Delays are the pauses after the first, second and later attempts; the last one repeats. Nil: as above.
	Delays []time.Duration
	// GiveUp is how long attempts go on after the first was allowed. Zero: 5 days.
	GiveUp time.Duration
}

var usualDelays = []time.Duration{
	1 * time.Minute, 3 * time.Minute, 8 * time.Minute, 20 * time.Minute, 45 * time.Minute,
	time.Hour, time.Hour, time.Hour, 2 * time.Hour, 2 * time.Hour, 3 * time.Hour, 4 * time.Hour,
}

func (s *Schedule) delays() []time.Duration {
	if len(s.Delays) > 0 {
		return s.Delays
	}
	return usualDelays
}

// Delay is the pause after that many attempts. A Runner adds jitter, up to a tenth either way, so that what failed
// together does not come back together.
func (s *Schedule) Delay(attempts int) time.Duration {
	d := s.delays()
	return d[min(max(attempts, 1), len(d))-1]
}

// Expires is when an item is given up whose first attempt is allowed at that time. The deadline is the caller's
// own; zero: none.
func (s *Schedule) Expires(first, deadline time.Time) time.Time {
	end := s.GiveUp
	if end <= 0 {
		end = 5 * 24 * time.Hour
	}
	if t := first.Add(end); deadline.IsZero() || t.Before(deadline) {
		return t
	}
	return deadline
}
