package queue

import "time"

// lanes knows how many deliveries each lane can take. The scheme is Postfix's (SCHEDULER_README), with its constants
// and with feedback of 1/N, which deferred least there: a lane starts with 5 deliveries at a time; N good ones
// at a concurrency of N allow one more, up to 20; N failures to reach it take one away; when as many in a row fail
// as run at a time, a cohort, the lane is dead and rests. Departures: a rest grows from 1 to 15 minutes
// as long as the lane stays dead; one delivery at a time tries whether it lives again; and a lane that asks for less is
// heard too.
type lanes struct {
	initial, most int
	all           map[string]*laneState
	limits        map[string]int // free places by name, for Claim
	rests         time.Time      // the earliest end of a rest
	unproven      [3]int         // deliveries that run in lanes not known to answer, by priority
}

type laneState struct {
	name    string
	running int
	by      [3]int  // running, by priority
	window  int     // allowed to run
	success float64 // part of the next place to be won
	failure float64 // part of the next place to be lost
	cohorts float64 // failures in a row, in windows
	deaths  int
	rests   time.Time // until then
	proven  bool      // the last news of it was good
	full    bool      // it had no free place at the last claim
	used    time.Time
}

const (
	knownLanes = 10_000 // more are forgotten
	firstRest  = time.Minute
	longRest   = 15 * time.Minute
)

func newLanes(initial, most int) *lanes {
	if initial <= 0 {
		initial = 5
	}
	if most <= 0 {
		most = max(20, initial)
	}
	return &lanes{initial: min(initial, most), most: most, all: map[string]*laneState{}, limits: map[string]int{}}
}

func (ls *lanes) get(name string) *laneState {
	l := ls.all[name]
	if l == nil {
		l = &laneState{name: name, window: ls.initial}
		ls.all[name] = l
	}
	return l
}

// start notes that a delivery begins, whose first item this is.
func (ls *lanes) start(i *Item, now time.Time) {
	l := ls.get(i.Lane)
	ls.run(l, i.Priority, 1)
	l.used = now
	ls.publish(l, now)
}

// run notes that one delivery more or less runs.
func (ls *lanes) run(l *laneState, p Priority, n int) {
	l.running += n
	l.by[p-Bulk] += n
	if !l.proven {
		ls.unproven[p-Bulk] += n
	}
}

// prove notes whether a lane is known to answer.
func (ls *lanes) prove(l *laneState, proven bool) {
	if l.proven == proven {
		return
	}
	l.proven = proven
	for p, n := range l.by {
		if proven {
			n = -n
		}
		ls.unproven[p] += n
	}
}

// finish notes the end of a delivery, and says whether the lane had been full.
func (ls *lanes) finish(i *Item, s signal, tried bool, now time.Time) bool {
	l := ls.get(i.Lane)
	was := l.full
	switch {
	case !tried:
	case s == laneOpen:
		ls.prove(l, true)
		l.good(ls)
	default:
		if s == laneDown {
			ls.prove(l, false)
		}
		l.bad(s, now)
	}
	ls.run(l, i.Priority, -1)
	ls.publish(l, now)
	if len(ls.all) > knownLanes {
		ls.forget(now)
	}
	return was
}

func (l *laneState) good(ls *lanes) {
	if l.deaths > 0 {
		l.deaths, l.window = 0, ls.initial
	}
	l.cohorts = 0
	if l.window >= ls.most || l.window >= l.running+ls.initial {
		return // no place is won that nobody wants
	}
	if l.success += 1 / float64(l.window); l.success >= 1-1e-9 {
		l.success, l.failure = 0, 0
		l.window++
	}
}

func (l *laneState) bad(s signal, now time.Time) {
	feedback := 1 / float64(l.window)
	if s == laneDown {
		if l.cohorts += feedback; l.cohorts >= 1-1e-9 {
			l.die(now)
			return
		}
	}
	// The place is lost at the first failure of a cycle and won at the last success of one.
	if l.failure -= feedback; l.failure < -1e-9 {
		l.failure++
		l.success = 0
		l.window = max(l.window-1, 1)
	}
}

func (l *laneState) die(now time.Time) {
	if now.Before(l.rests) {
		return // news from before the rest
	}
	l.rests = now.Add(min(firstRest<<min(l.deaths, 10), longRest))
	l.deaths++
	l.window, l.success, l.failure, l.cohorts = 1, 0, 0, 0
}

// publish writes the lane's free places into limits.
func (ls *lanes) publish(l *laneState, now time.Time) {
	free := l.window - l.running
	if now.Before(l.rests) {
		free = 0
		if ls.rests.IsZero() || l.rests.Before(ls.rests) {
			ls.rests = l.rests
		}
	}
	l.full = free <= 0
	ls.limits[l.name] = free
}

// wake ends the rests that are over, and says whether one was.
func (ls *lanes) wake(now time.Time) bool {
	if ls.rests.IsZero() || now.Before(ls.rests) {
		return false
	}
	ls.rests = time.Time{}
	for _, l := range ls.all {
		switch {
		case l.rests.IsZero():
		case !now.Before(l.rests):
			l.rests = time.Time{}
			ls.publish(l, now)
		case ls.rests.IsZero() || l.rests.Before(ls.rests):
			ls.rests = l.rests
		}
	}
	return true
}

// setBack shortens the rests that no lane is given.
func (ls *lanes) setBack(now time.Time) {
	for _, l := range ls.all {
		if longest := now.Add(longRest); l.rests.After(longest) {
			l.rests, ls.rests = longest, now // wake finds the earliest
		}
	}
}

// answering are the limits of the lanes that are known to answer.
func (ls *lanes) answering() map[string]int {
	m := make(map[string]int)
	for name, l := range ls.all {
		if free := ls.limits[name]; l.proven && free > 0 {
			m[name] = free
		}
	}
	return m
}

// forget drops lanes that are idle, the ones that are well first.
func (ls *lanes) forget(now time.Time) {
	for _, dead := range []bool{false, true} {
		for name, l := range ls.all {
			if l.running == 0 && (l.deaths > 0) == dead {
				delete(ls.all, name)
				delete(ls.limits, name)
			}
			if len(ls.all) <= knownLanes*3/4 {
				return
			}
		}
	}
}
