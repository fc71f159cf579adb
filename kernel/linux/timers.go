package linux

import (
	"sync"
	"sync/atomic"

	"gosv/kernel/interrupt"
	"gosv/kernel/metal"
	"gosv/kernel/wait"
)

// timer is something that is due at a time of metal.Now: a thread that is
// woken, or a function.
type timer struct {
	when   uint64
	wall   uint64           // what CLOCK_REALTIME shows then, if that counts even when it is set; else 0
	index  int              // in the heap, plus 1; 0 if it is not armed
	thread *Thread          // to be woken, or
	fire   func(now uint64) // to be called, no lock held
}

// timers are the armed ones. When the earliest is due metal has runTimers called, by
// a thread that comes back from ring 3 or by package interrupt, as for the
// interrupt of a device: Go's own timers are looked at by idle Ps only.
var timers struct {
	mu   sync.Mutex
	heap timerHeap
	next atomic.Uint64 // no later than the earliest, 0 for none
	set  wait.Queue    // woken when CLOCK_REALTIME has been set
}

// arm starts t, or starts it anew; armAt for when CLOCK_REALTIME shows wall.
func (t *timer) arm(when uint64)   { t.start(when, 0) }
func (t *timer) armAt(wall uint64) { t.start(0, wall) }

func (t *timer) start(when, wall uint64) {
	timers.mu.Lock()
	if t.index != 0 {
		timers.heap.remove(t)
	}
	if t.wall = wall; wall != 0 {
		when = wallDeadline(wall)
	}
	t.when = when
	timers.heap.add(t)
	if next := timers.next.Load(); next == 0 || when < next {
		setAlarm(when)
	}
	timers.mu.Unlock()
}

// disarm stops t and says whether it was armed. The alarm is left as it is: if
// nothing is due then it is set again.
func (t *timer) disarm() bool {
	timers.mu.Lock()
	armed := t.index != 0
	if armed {
		timers.heap.remove(t)
	}
	timers.mu.Unlock()
	return armed
}

// setWallBase sets the wall clock, and with it when the timers are due that go by it.
func setWallBase(base uint64) {
	timers.mu.Lock()
	defer timers.mu.Unlock()
	metal.SetWallBase(base)
	all := append([]*timer(nil), timers.heap...)
	timers.heap = timers.heap[:0]
	for _, t := range all {
		if t.wall != 0 {
			t.when = wallDeadline(t.wall)
		}
		timers.heap.add(t)
	}
	if len(all) > 0 {
		setAlarm(timers.heap[0].when)
	}
}

// onHost is set by tests, which have no metal: nothing is ever due there.
var onHost bool

// setAlarm makes runTimers be called at when.
func setAlarm(when uint64) {
	timers.next.Store(when)
	if onHost {
		return
	}
	interrupt.OnDeadline(runTimers)
	metal.Deadline(when)
}

// runTimers fires what is due, and says whether anything was. It costs little when
// nothing is.
func runTimers() (fired bool) {
	next := timers.next.Load()
	if next == 0 || metal.Now() < next {
		return false
	}
	for {
		timers.mu.Lock()
		metal.NoDeadline() // until the next setAlarm
		now := metal.Now()
		var due *timer
		for due == nil && len(timers.heap) > 0 && timers.heap[0].when <= now {
			t := timers.heap[0]
			timers.heap.remove(t)
			fired = true
			if t.thread != nil {
				t.thread.wake()
			} else {
				due = t
			}
		}
		if due == nil {
			if len(timers.heap) > 0 {
				setAlarm(timers.heap[0].when)
			} else {
				timers.next.Store(0)
			}
		}
		timers.mu.Unlock()
		if due == nil {
			return fired
		}
		due.fire(now)
	}
}

// timerHeap has the earliest timer at its root.
type timerHeap []*timer

func (h *timerHeap) add(t *timer) {
	*h = append(*h, t)
	h.up(t, len(*h)-1)
}

func (h *timerHeap) remove(t *timer) {
	old, i := *h, t.index-1
	last := len(old) - 1
	moved := old[last]
	old[last] = nil
	*h = old[:last]
	t.index = 0
	if i < last {
		h.down(moved, i)
		h.up(moved, moved.index-1)
	}
}

// up puts t, which belongs at index i or nearer to the root, in its place.
func (h timerHeap) up(t *timer, i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if h[parent].when <= t.when {
			break
		}
		h[i] = h[parent]
		h[i].index = i + 1
		i = parent
	}
	h[i], t.index = t, i+1
}

// down puts t, which belongs at index i or farther from the root, in its place.
func (h timerHeap) down(t *timer, i int) {
	for {
		child := 2*i + 1
		if child >= len(h) {
			break
		}
		if child+1 < len(h) && h[child+1].when < h[child].when {
			child++
		}
		if t.when <= h[child].when {
			break
		}
		h[i] = h[child]
		h[i].index = i + 1
		i = child
	}
	h[i], t.index = t, i+1
}
