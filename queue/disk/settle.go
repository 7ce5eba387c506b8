package disk

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/postrider/postrider/queue"
)

// Settle stores fates.
func (s *Store) Settle(ctx context.Context, st queue.Settlement) (lost []queue.ID, err error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	room := roomOfChanges
	for _, o := range st.Outcomes {
		switch o.State {
		case queue.Delivered, queue.Failed, queue.Expired, queue.Damaged, queue.Waiting, queue.Leased:
		default:
			return nil, fmt.Errorf("%w: %q is not an outcome", queue.ErrInvalid, o.State)
		}
		room += 80 + int64(len(o.Note))
	}
	var gone []queue.ID
	err = s.do(ctx, func() (durable bool, err error) {
		gone, durable, err = s.settle(ctx, &st, room)
		return durable, err
	})
	if err != nil {
		return nil, err
	}
	return gone, nil
}

func (s *Store) settle(ctx context.Context, st *queue.Settlement, room int64) (lost []queue.ID, durable bool, err error) {
	if err := s.usable(ctx); err != nil {
		return nil, false, err
	}
	token, err := strconv.ParseUint(st.Token, 10, 64)
	if err != nil {
		token = 0
	}
	var found []*message
	for _, o := range st.Outcomes { // before anything is changed: their notes are written again
		m := s.find(o.ID.Message)
		if m != nil && o.ID.N >= 0 && o.ID.N < len(m.items) {
			room += int64(len(m.items[o.ID.N].note))
		}
		found = append(found, m)
	}
	if err := s.log.ensure(room, true); err != nil {
		return nil, false, err
	}
	c := changes{now: micros(st.Now), event: s.eventSeq}
	touched := map[*message]bool{}
	for k := range st.Outcomes {
		o, m := &st.Outcomes[k], found[k]
		if m != nil && s.messages[m.seq] != nil {
			m = s.messages[m.seq] // one message may be named many times
		}
		if m == nil || m.forgotten || o.ID.N < 0 || o.ID.N >= len(m.items) || token == 0 || m.items[o.ID.N].token != token {
			lost = append(lost, o.ID)
			continue
		}
		to, tell := settled(m.items[o.ID.N], o, c.now)
		c.add(m, o.ID.N, &to, tell)
		s.change(m, o.ID.N, to, tell, c.now)
		s.wake(&m.items[o.ID.N])
		touched[m] = true
	}
	for m := range touched {
		s.reindex(m)
	}
	if s.broken != nil || c.n == 0 {
		return lost, false, s.broken
	}
	return lost, true, s.write(setRecord, c.event, c.encode(0))
}

// settled is what an outcome makes of an item, and whether there is an event.
func settled(i item, o *queue.Outcome, now int64) (item, bool) {
	switch {
	case o.State == queue.Leased:
		i.until = micros(o.Due)
		i.due = max(i.due, i.until)
		return i, false
	case o.State == queue.Waiting:
		i.state, i.due, i.until, i.token = waiting, micros(o.Due), never, 0
		if o.Untried {
			i.attempts--
			return i, false
		}
		i.note = bytes.Clone(o.Note)
		return i, true
	}
	i.state, i.due, i.until, i.token = stateOf(o.State), now, never, 0
	if o.State == queue.Expired && o.Untried {
		i.attempts--
		return i, true
	}
	i.note = bytes.Clone(o.Note)
	return i, true
}

// find finds a message by its id.
func (s *Store) find(id string) *message {
	seq, ok := s.number(id)
	if !ok {
		return nil
	}
	return s.load(seq)
}

func (s *Store) number(id string) (uint64, bool) {
	digits, ok := strings.CutPrefix(id, s.prefix)
	if !ok || digits == "" || digits[0] < '1' || digits[0] > '9' {
		return 0, false
	}
	seq, err := strconv.ParseUint(digits, 10, 64)
	return seq, err == nil
}
