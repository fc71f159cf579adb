package linux

import (
	"math"
	"sync"
	"sync/atomic"

	"gosv/kernel/metal"
)

// never is the deadline of those who wait without one. Deadlines are times of
// metal.Now, CLOCK_MONOTONIC.
const never = math.MaxUint64

// How a thread waits: it makes itself known to those who will wake it (a
// Queue, a futex bucket, a timer), looks whether what it wants is there, calls
// pause if not, and looks again. wake leaves a token that the next pause takes,
// so nothing is lost in between; pause may return for no reason.

// pause blocks t until wake. It returns eRestartSys at once or when woken if a
// signal must be handled or t must exit, ETIMEDOUT if deadline has passed.
func (t *Thread) pause(deadline uint64) Errno {
	if t.interrupted() {
		return eRestartSys
	}
	if deadline == never {
		t.park()
		return 0
	}
	if metal.Now() >= deadline {
		return ETIMEDOUT
	}
	t.sleeper.arm(deadline)
	t.park()
	t.sleeper.disarm()
	return 0
}

// park blocks t, interruptible or not, until wake.
func (t *Thread) park() {
	if t.regs.Pin != 0 {
		t.leaveSeat()
	}
	t.suspend()
}

// suspend is park of a thread that has no seat to give up.
func (t *Thread) suspend() {
	t.waits.Add(1)
	t.stopClock()
	t.parker.park()
	t.startClock()
}

// wake ends t's pause, or its next one. It never blocks. If there are more threads than CPUs
// the one that wakes t makes room for it.
func (t *Thread) wake() {
	if t.parker.wake() && metal.Crowded() {
		if by := (*Thread)(profLabel()); by != nil {
			by.makeRoom()
		}
	}
}

// wakeTurn is how much CPU time a thread uses before it makes room again for those that it
// wakes, in ns: Linux's sched_wakeup_granularity. Threads that wake each other all
// the time and wait use less.
const wakeTurn = 1_000_000

// makeRoom has t let others run as soon as it leaves the kernel, if it has run for long
// since it last did.
func (t *Thread) makeRoom() {
	if ran := t.ran(); ran-t.madeRoom.Load() > wakeTurn {
		t.madeRoom.Store(ran)
		t.work.Or(workYield)
	}
}

// Queue holds those who wait for something about an object to change.
type Queue struct {
	mu   sync.Mutex
	head atomic.Pointer[Waiter] // changed under mu
	tail *Waiter
}

// Waiter stands in one Queue at a time. Its Thread is woken, or its Notify
// called, with the queue locked: Notify must not block nor touch this queue. Of those that
// are exclusive only the first is told whose Notify returns true.
type Waiter struct {
	Thread *Thread
	Notify func(w *Waiter, events uint32) bool

	exclusive bool
	told      atomic.Bool // its Thread was woken, and has not looked since

	queue      *Queue
	next, prev *Waiter
}

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
		case w.Thread != nil:
			w.told.Store(true)
			w.Thread.wake()
		case !w.exclusive:
			w.Notify(w, events)
		case !taken:
			taken = w.Notify(w, events)
		}
	}
	q.mu.Unlock()
}

// sleeps says whether a thread waits in q that was not told to look.
func (q *Queue) sleeps() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for w := q.head.Load(); w != nil; w = w.next {
		if w.Thread != nil && !w.told.Load() {
			return true
		}
	}
	return false
}

// Wait blocks t in q until ready returns true. It returns eRestartSys if a
// signal came first (a handler passes it on; it becomes EINTR or a restart),
// ETIMEDOUT when the deadline has passed.
func (t *Thread) Wait(q *Queue, deadline uint64, ready func() bool) (err Errno) {
	if ready() {
		return 0
	}
	w := &t.waiter
	w.Thread = t
	w.told.Store(false)
	q.Add(w)
	for ; !ready(); w.told.Store(false) {
		if err = t.pause(deadline); err != 0 {
			if err == ETIMEDOUT && ready() {
				err = 0
			}
			break
		}
	}
	q.Remove(w)
	return err
}
