package disk

import "slices"

// standing is where a message stands in the schedule. Its slices are not changed: a new standing takes the place of the old.
type standing struct {
	entries []int64 // by lane: when its first item there can be claimed; never: nowhere
	times   []spot  // when something becomes of it by itself
}

// The kinds of times.
const (
	claimable = iota
	expiring
)

func (a *standing) equal(b *standing) bool {
	return slices.Equal(a.entries, b.entries) && slices.Equal(a.times, b.times)
}

func (a *standing) clone() standing {
	if len(a.entries) == 1 && len(a.times) <= 2 { // as most are: one object for the garbage collector
		var room struct {
			entry [1]int64
			times [2]spot
		}
		return standing{append(room.entry[:0], a.entries...), append(room.times[:0], a.times...)}
	}
	return standing{slices.Clone(a.entries), slices.Clone(a.times)}
}

// standing is where the message stands by its items; it takes the room of old.
func (m *message) standing(old standing) standing {
	at := standing{old.entries[:0], old.times[:0]}
	for range m.lanes {
		at.entries = append(at.entries, never)
	}
	if m.forgotten {
		return at
	}
	for n := range m.items {
		i := &m.items[n]
		t, ok := i.ready()
		if !ok {
			continue
		}
		if e := &at.entries[i.lane]; *e == never || t < *e {
			*e = t
		}
		at.times = append(at.times, spot{claimable, t, m.seq})
		if i.expires != never {
			at.times = append(at.times, spot{expiring, i.expires, m.seq})
		}
	}
	if len(m.items) > 1 {
		slices.SortFunc(at.times, spot.compare)
		at.times = slices.Compact(at.times)
	}
	return at
}
