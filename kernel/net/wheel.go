package net

import (
	"math/bits"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// A connection has half a dozen timers, nearly all of which are stopped or put off before
// they fire. The runtime's are for few and exact ones: each is in a heap, and fires on a
// goroutine of its own, whose stack has to grow first. Netstack's are in a timing wheel, as
// Linux's are, with Linux's resolution (jiffies, at HZ=250): to set one is to put it into a
// list. One goroutine calls all functions, one after the other, so none of them waits for
// another one.

const (
	wheelTick  = 4 * time.Millisecond
	wheelSlots = 256 // of one tick each in the inner wheel, and of a turn of that in the outer one
)

// wheel is a clock for netstack, with timers that fire up to a tick late.
type wheel struct {
	clock

	mu           sync.Mutex // guards what follows, and the fields of timers
	now          uint64     // the tick whose timers are due, or were
	due          timers
	inner, outer ring
	alarm        *time.Timer // wakes the goroutine; nil before the first timer
	until        uint64      // the tick of alarm
}

// ring is one of the wheels: slots of timers. Where there are some is marked, and
// maybe where there were some.
type ring struct {
	slots  [wheelSlots]timers
	marked [wheelSlots / 64]uint64
}

// timers is a list of them.
type timers struct{ first *timer }

// timer implements tcpip.Timer.
type timer struct {
	wheel      *wheel
	f          func()
	tick       uint64
	in         *timers // nil for one that does not run
	prev, next *timer
}

func (l *timers) push(t *timer) {
	t.in, t.prev, t.next = l, nil, l.first
	if t.next != nil {
		t.next.prev = t
	}
	l.first = t
}

func (t *timer) remove() {
	if t.prev == nil {
		t.in.first = t.next
	} else {
		t.prev.next = t.next
	}
	if t.next != nil {
		t.next.prev = t.prev
	}
	t.in, t.prev, t.next = nil, nil, nil
}

func (r *ring) put(t *timer, n uint64) {
	n %= wheelSlots
	r.slots[n].push(t)
	r.marked[n/64] |= 1 << (n % 64)
}

// take empties the slot n, into the list to.
func (r *ring) take(n uint64, to func(*timer)) {
	n %= wheelSlots
	r.marked[n/64] &^= 1 << (n % 64)
	for l := &r.slots[n]; l.first != nil; {
		t := l.first
		t.remove()
		to(t)
	}
}

// next returns how many slots after the slot n the next marked one is, from 1 to
// wheelSlots, or 0 if there is none.
func (r *ring) next(n uint64) uint64 {
	for d := uint64(1); d <= wheelSlots; {
		i := (n + d) % wheelSlots
		if w := r.marked[i/64] >> (i % 64); w != 0 {
			if d += uint64(bits.TrailingZeros64(w)); d <= wheelSlots {
				return d
			}
			return 0
		}
		d += 64 - i%64
	}
	return 0
}

// AfterFunc implements tcpip.Clock.
func (w *wheel) AfterFunc(d time.Duration, f func()) tcpip.Timer {
	t := &timer{wheel: w, f: f}
	t.Reset(d)
	return t
}

// Reset implements tcpip.Timer.
func (t *timer) Reset(d time.Duration) {
	w := t.wheel
	now := nanotime()
	at := now
	if d > 0 {
		at = now + min(int64(d), 1<<62) + int64(wheelTick) - 1
	}
	w.mu.Lock()
	if t.in != nil {
		t.remove()
	}
	if w.alarm == nil {
		w.now = uint64(now) / uint64(wheelTick)
		w.alarm, w.until = time.NewTimer(0), w.now
		go w.run()
	}
	t.tick = uint64(at) / uint64(wheelTick)
	w.insert(t)
	if t.tick < w.until {
		w.until = t.tick
		w.alarm.Reset(max(time.Duration(t.tick)*wheelTick-time.Duration(now), 0))
	}
	w.mu.Unlock()
}

// Stop implements tcpip.Timer.
func (t *timer) Stop() bool {
	t.wheel.mu.Lock()
	defer t.wheel.mu.Unlock()
	if t.in == nil {
		return false
	}
	t.remove()
	return true
}

// insert puts t where it belongs; w.mu is held.
func (w *wheel) insert(t *timer) {
	switch turns := t.tick/wheelSlots - w.now/wheelSlots; {
	case t.tick <= w.now:
		w.due.push(t)
	case t.tick-w.now <= wheelSlots:
		w.inner.put(t, t.tick)
	case turns < wheelSlots:
		w.outer.put(t, t.tick/wheelSlots)
	default: // it is looked at again before its time
		w.outer.put(t, w.now/wheelSlots+wheelSlots-1)
	}
}

// next is the next tick at which there is something to do, or far; w.mu is held.
func (w *wheel) next() uint64 {
	const far = 1 << 62 / uint64(wheelTick)
	tick := uint64(far)
	if d := w.inner.next(w.now); d > 0 {
		tick = w.now + d
	}
	if d := w.outer.next(w.now / wheelSlots); d > 0 {
		tick = min(tick, (w.now/wheelSlots+d)*wheelSlots)
	}
	return tick
}

// advance turns the wheels until something is due, or to a tick; w.mu is held.
func (w *wheel) advance(to uint64) {
	for w.due.first == nil && w.now < to {
		tick := w.next()
		if tick > to {
			w.now = to
			return
		}
		w.now = tick
		if tick%wheelSlots == 0 {
			w.outer.take(tick/wheelSlots, w.insert)
		}
		w.inner.take(tick, w.due.push)
	}
}

// run calls the functions of timers that are due, for ever.
func (w *wheel) run() {
	for {
		w.mu.Lock()
		now := nanotime()
		w.advance(uint64(now) / uint64(wheelTick))
		if t := w.due.first; t != nil {
			t.remove()
			w.until = 0 // who sets a timer need not wake this
			w.mu.Unlock()
			t.f()
			continue
		}
		w.until = w.next()
		w.alarm.Reset(time.Duration(w.until)*wheelTick - time.Duration(now))
		w.mu.Unlock()
		<-w.alarm.C
	}
}
