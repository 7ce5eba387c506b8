package queue

// heap is a binary heap of things that know their place in it, so that any of them can be taken out.
type heap[T any] struct {
	less  func(a, b T) bool
	place func(t T, i int) // -1: not in the heap
	all   []T
}

func (h *heap[T]) len() int { return len(h.all) }
func (h *heap[T]) top() T   { return h.all[0] }

func (h *heap[T]) push(t T) {
	h.all = append(h.all, t)
	h.place(t, len(h.all)-1)
	h.up(len(h.all) - 1)
}

// remove takes out the thing at place i.
func (h *heap[T]) remove(i int) T {
	t, last := h.all[i], len(h.all)-1
	h.swap(i, last)
	var none T
	h.all[last] = none
	h.all = h.all[:last]
	if cap(h.all) > 1024 && len(h.all) < cap(h.all)/4 {
		h.all = append(make([]T, 0, cap(h.all)/2), h.all...) // a peak must not keep its memory
	}
	h.place(t, -1)
	if i < last {
		h.fix(i)
	}
	return t
}

// fix puts the thing at place i where it belongs after its order changed.
func (h *heap[T]) fix(i int) {
	if !h.down(i) {
		h.up(i)
	}
}

func (h *heap[T]) swap(i, j int) {
	h.all[i], h.all[j] = h.all[j], h.all[i]
	h.place(h.all[i], i)
	h.place(h.all[j], j)
}

func (h *heap[T]) up(i int) {
	for i > 0 && h.less(h.all[i], h.all[(i-1)/2]) {
		h.swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
}

func (h *heap[T]) down(i int) (moved bool) {
	for {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < len(h.all); c++ {
			if h.less(h.all[c], h.all[least]) {
				least = c
			}
		}
		if least == i {
			return moved
		}
		h.swap(i, least)
		i, moved = least, true
	}
}
