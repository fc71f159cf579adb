package net

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestWheelTurns: each timer is due at its tick, however far away it was and whatever ticks
// the wheel is asked for, unless it was removed.
func TestWheelTurns(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	w := &wheel{now: 12345}
	removed, fired, set := 0, 0, 0
	var some []*timer
	for w.now < 5*wheelSlots*wheelSlots {
		for range r.IntN(4) {
			set++
			timer := &timer{wheel: w, tick: w.now + uint64(r.IntN(1<<(1+r.IntN(19))))}
			w.insert(timer)
			some = append(some, timer)
		}
		if n := len(some); n > 0 && r.IntN(3) == 0 {
			if timer := some[r.IntN(n)]; timer.in != nil {
				timer.remove()
				removed++
			}
		}
		to := w.now + uint64(r.IntN(1<<r.IntN(13)))
		for {
			w.advance(to)
			timer := w.due.first
			if timer == nil {
				break
			}
			timer.remove()
			fired++
			if timer.tick != w.now {
				t.Fatalf("the timer of %d is due at %d", timer.tick, w.now)
			}
		}
		if w.now != to {
			t.Fatalf("advanced to %d, not %d", w.now, to)
		}
	}
	left := 0
	for _, timer := range some {
		if timer.in != nil {
			left++
			if timer.tick <= w.now {
				t.Errorf("the timer of %d is not due at %d", timer.tick, w.now)
			}
		}
	}
	if removed+fired+left != set || fired < set/2 {
		t.Errorf("of %d timers %d fired, %d were removed, %d are left", set, fired, removed, left)
	}
}

// TestWheelFires: timers fire, not before their time, and not when they were stopped; one
// that is set again fires again.
func TestWheelFires(t *testing.T) {
	w := new(wheel)
	fired := make(chan time.Duration, 9)
	start := time.Now()
	f := func() { fired <- time.Since(start) }
	stopped := w.AfterFunc(20*time.Millisecond, f)
	far := w.AfterFunc(time.Hour, f)
	again := w.AfterFunc(0, f)
	<-fired
	if again.Stop() || !stopped.Stop() || stopped.Stop() {
		t.Error("stop does not tell what it stopped")
	}
	again.Reset(50 * time.Millisecond)
	if d := <-fired; d < 50*time.Millisecond {
		t.Errorf("one for 50 ms fired after %v", d)
	}
	if !far.Stop() {
		t.Error("one for an hour is not there any more")
	}
	// A function may set its own timer.
	var own interface{ Reset(time.Duration) }
	set, n := make(chan bool), 0
	own = w.AfterFunc(time.Millisecond, func() {
		<-set
		if n++; n < 3 {
			own.Reset(time.Millisecond)
		}
		f()
	})
	close(set)
	for range 3 {
		<-fired
	}
}
