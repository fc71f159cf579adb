package net

import "testing"

// TestHold: a device hears of each frame while the program sends one at a time or is not there to flush, and of
// eight at once while it sends many.
func TestHold(t *testing.T) {
	busy := true
	h := hold{busy: func() bool { return busy }}
	send := func(n int) (notified int) {
		for range n {
			if !h.sent(100) {
				notified++
			}
		}
		if h.flush() {
			notified++
		}
		return notified
	}
	for range 3 {
		if n := send(1); n != 1 {
			t.Fatalf("%d notifications of one frame", n)
		}
	}
	if n := send(20); n < 18 { // nobody knew
		t.Errorf("%d notifications of the first twenty", n)
	}
	if n := send(20); n != 3 {
		t.Errorf("%d notifications of twenty frames", n)
	}
	if n := send(1); n != 1 {
		t.Errorf("%d notifications of a frame after many", n)
	}
	if n := send(2); n != 2 {
		t.Errorf("%d notifications of two frames after one", n)
	}
	if n := send(2); n != 1 {
		t.Errorf("%d notifications of two frames after two", n)
	}
	h.sent(100)
	h.since -= 2 * longHeld
	if held := h.sent(100); held {
		t.Error("a frame is held after a long time")
	}
	if h.flush(); send(3) != 3 {
		t.Error("who takes long is trusted")
	}
	send(2)
	if h.sent(1 << 16) {
		t.Error("a large frame is held")
	}
	h.flush()
	busy = false
	if n := send(5); n != 5 {
		t.Errorf("%d notifications of five frames with nobody to flush", n)
	}
}
