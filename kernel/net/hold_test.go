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
	waits := 0 // of rounds in which frames are held, and each is long
	for range 2000 {
		if send(2); h.sent(100) {
			waits++
		}
		h.sent(100)
		h.since -= 2 * longHeld
		h.flush()
	}
	if waits > 2000/mostDoubts+10 {
		t.Errorf("of 2000 rounds frames waited long in %d", waits)
	}
	for range 2 * mostDoubts {
		send(2)
	}
	if h.sent(1 << 16) {
		t.Error("a large frame is held")
	}
	h.flush()
	busy = false
	if n := send(5); n != 5 {
		t.Errorf("%d notifications of five frames with nobody to flush", n)
	}
}
