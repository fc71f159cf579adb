// Package wait is how files tell those who wait for them, threads and others, that
// something has changed: a Queue in each, and what poll(2) says of it.
package wait

import (
	"math"
	"sync"
	"sync/atomic"
)

// Never is the deadline of those who wait without one. Deadlines are times of
// metal.Now, CLOCK_MONOTONIC.
const Never = math.MaxUint64

// Events of poll(2) and epoll(7): the same bits.
const (
	In     = 0x001
	Pri    = 0x002
	Out    = 0x004
	Err    = 0x008
	Hup    = 0x010
	Nval   = 0x020
	RdNorm = 0x040
	RdBand = 0x080
	WrNorm = 0x100
	WrBand = 0x200
	RdHup  = 0x2000
)

// Queue holds those who wait for something about an object to change.
type Queue struct {
	mu   sync.Mutex
	head atomic.Pointer[Waiter] // changed under mu
	tail *Waiter
}

// Sleeper is who sleeps until it is woken. Wake ends its sleep, or the next one. It does
// not block.
type Sleeper interface{ Wake() }

// Waiter stands in one Queue at a time. Its Sleeper is woken, or its Notify
// called, with the queue locked: Notify must not block nor touch this queue. Of those that
// are Exclusive only the first is told whose Notify returns true.
type Waiter struct {
	Sleeper Sleeper
	Notify  func(w *Waiter, events uint32) bool

	Exclusive bool
	told      atomic.Bool // its Sleeper was woken, and has not looked since

	queue      *Queue
	next, prev *Waiter
}

// Looks says that w's Sleeper is about to look whether there is what it waits for.
func (w *Waiter) Looks() { w.told.Store(false) }

// Add puts w at the end of q.
func (q *Queue) Add(w *Waiter) {
	q.mu.Lock()
	w.queue, w.prev, w.next = q, q.tail, nil
	if q.tail != nil {
		q.tail.next = w
	} else {
		q.head.Store(w)
	}
	q.tail = w
	q.mu.Unlock()
}

// AddFirst puts w at the front of q, to be told before all others.
func (q *Queue) AddFirst(w *Waiter) {
	q.mu.Lock()
	w.queue, w.prev, w.next = q, nil, q.head.Load()
	if w.next != nil {
		w.next.prev = w
	} else {
		q.tail = w
	}
	q.head.Store(w)
	q.mu.Unlock()
}

// Remove takes w out of q, if it is there.
func (q *Queue) Remove(w *Waiter) {
	q.mu.Lock()
	if w.queue == q {
		if w.prev != nil {
			w.prev.next = w.next
		} else {
			q.head.Store(w.next)
		}
		if w.next != nil {
			w.next.prev = w.prev
		} else {
			q.tail = w.prev
		}
		w.queue, w.next, w.prev = nil, nil, nil
	}
	q.mu.Unlock()
}

// Wake tells all who wait in q to look again. They stay in it until they
// remove themselves. Who adds himself looks again after that, so that one who
// changes something first and then finds nobody here need not lock.
func (q *Queue) Wake() { q.WakeFor(^uint32(0)) }

// WakeFor is Wake where only some of poll's events may have come: those that an
// edge-triggered epoll did not ask for are none to it.
func (q *Queue) WakeFor(events uint32) {
	if q.head.Load() != nil {
		q.wakeAll(events)
	}
}

func (q *Queue) wakeAll(events uint32) {
	q.mu.Lock()
	taken := false
	for w := q.head.Load(); w != nil; w = w.next {
		switch {
		case w.Sleeper != nil:
			w.told.Store(true)
			w.Sleeper.Wake()
		case !w.Exclusive:
			w.Notify(w, events)
		case !taken:
			taken = w.Notify(w, events)
		}
	}
	q.mu.Unlock()
}

// Sleeps says whether somebody waits in q that was not told to look.
func (q *Queue) Sleeps() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for w := q.head.Load(); w != nil; w = w.next {
		if w.Sleeper != nil && !w.told.Load() {
			return true
		}
	}
	return false
}
