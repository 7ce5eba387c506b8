package disk

import (
	"cmp"
	"math/rand/v2"
)

// spot is where something stands in an order: by kind, then by time, then by number.
type spot struct {
	kind uint8
	t    int64 // microseconds since 1970
	id   uint64
}

func (a spot) compare(b spot) int {
	return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.t, b.t), cmp.Compare(a.id, b.id))
}

func (a spot) after(b spot) bool { return a.compare(b) > 0 }

// ordered is a set in order, with a value for each spot: a treap.
type ordered[V any] struct {
	root *node[V]
	n    int
}

type node[V any] struct {
	at          spot
	value       V
	rank        uint32
	left, right *node[V]
}

// put adds a spot, or changes its value.
func (o *ordered[V]) put(at spot, v V) {
	if n := o.find(at); n != nil {
		n.value = v
		return
	}
	low, high := split(o.root, at)
	o.root = join(join(low, &node[V]{at: at, value: v, rank: rand.Uint32()}), high)
	o.n++
}

// remove takes a spot out, if it is in.
func (o *ordered[V]) remove(at spot) {
	link := &o.root
	for *link != nil {
		n := *link
		switch c := at.compare(n.at); {
		case c < 0:
			link = &n.left
		case c > 0:
			link = &n.right
		default:
			*link = join(n.left, n.right)
			o.n--
			return
		}
	}
}

func (o *ordered[V]) find(at spot) *node[V] {
	n := o.root
	for n != nil && n.at != at {
		if at.compare(n.at) < 0 {
			n = n.left
		} else {
			n = n.right
		}
	}
	return n
}

// first is the first node, nil if there is none.
func (o *ordered[V]) first() *node[V] {
	n := o.root
	for n != nil && n.left != nil {
		n = n.left
	}
	return n
}

// next is the first node after a spot that need not be in the set.
func (o *ordered[V]) next(at spot) (found *node[V]) {
	for n := o.root; n != nil; {
		if n.at.after(at) {
			found, n = n, n.left
		} else {
			n = n.right
		}
	}
	return found
}

// split divides a tree in what stands before a spot and the rest.
func split[V any](n *node[V], at spot) (low, high *node[V]) {
	if n == nil {
		return nil, nil
	}
	if n.at.compare(at) < 0 {
		n.right, high = split(n.right, at)
		return n, high
	}
	low, n.left = split(n.left, at)
	return low, n
}

func join[V any](low, high *node[V]) *node[V] {
	switch {
	case low == nil:
		return high
	case high == nil:
		return low
	case low.rank > high.rank:
		low.right = join(low.right, high)
		return low
	default:
		high.left = join(low, high.left)
		return high
	}
}
