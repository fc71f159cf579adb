//go:build netstack

package sync

import "sync/atomic"

// FreeList is a Pool with a few objects before it that are for all CPUs. A packet takes a
// dozen objects, and a Pool takes 190 instructions for each.
type FreeList struct {
	New  func() any
	Size int // how many objects it has before the Pool, at most len(list); 0 is as many

	busy atomic.Bool // guards what follows
	n    uint
	list [64]any // those from n on are in use, or dropped

	rest Pool
}

// Get returns an object.
func (l *FreeList) Get() any {
	if l.busy.CompareAndSwap(false, true) {
		if l.n > 0 {
			l.n--
			x := l.list[l.n%uint(len(l.list))]
			l.busy.Store(false)
			return x
		}
		l.busy.Store(false)
	}
	if x := l.rest.Get(); x != nil {
		return x
	}
	return l.New()
}

// Put gives one back.
func (l *FreeList) Put(x any) {
	if l.busy.CompareAndSwap(false, true) {
		if l.n < uint(len(l.list)) && (l.Size == 0 || l.n < uint(l.Size)) {
			l.list[l.n] = x
			l.n++
			l.busy.Store(false)
			return
		}
		l.busy.Store(false)
	}
	l.rest.Put(x)
}
