package net

import (
	"sync"
	"sync/atomic"
)

// hold decides whether a device is notified of frames now, which is a VM exit and has the host
// look after a single one, or of several at once when the program has done what there was to do: when it
// waits, or asks what to do next (Flush). That cannot be known before, so what it did last counts: it
// sent more than one frame then, and did not compute for long meanwhile. Who does gets an interrupt at the end
// of its turn, up to 10 ms later: frames that waited for that are trust lost. An alarm would bound it
// better, but is two VM exits for each time that something is held.
type hold struct {
	busy    func() bool   // all CPUs have something to run: who will flush
	pending atomic.Uint32 // frames since the last Flush

	mu     sync.Mutex // guards
	since  int64      // when the first of those was sent of which the device was not notified, in ns of nanotime
	held   uint32     // how many these are, but for those that it shall be notified of now
	prompt bool       // what was done last
	late   bool       // what is being done takes long
	waited bool       // and frames did
	trust  trust
}

// trust is how often frames may be held of a program that does not always flush soon.
type trust struct{ doubts, rounds, kept uint32 }

// lose has it show twice as often as the last time that it is prompt.
func (t *trust) lose() {
	t.doubts = min(2*t.doubts+1, mostDoubts)
	t.rounds, t.kept = t.doubts, 0
}

// keep says whether who has been prompt is trusted again.
func (t *trust) keep() bool {
	if t.rounds > 0 {
		t.rounds--
		return false
	}
	if t.kept++; t.kept > forgotten {
		t.doubts = 0
	}
	return true
}

const (
	mostHeld  = 8         // the device is to have something to do meanwhile
	longHeld  = 4_000_000 // ns; who computes has turns of 10 ms
	largeHeld = 8 << 10   // bytes that are worth a notification

	slowTurns  = 1_000_000_000 // ns since boot: until then turns are longer
	mostDoubts = 15            // times that a program is prompt for one that it may not be
	forgotten  = 256           // times that it was
)

// sent says whether the device need not be notified of frames of so many bytes that are being sent.
func (h *hold) sent(size int) bool {
	if h.busy == nil || !h.busy() {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pending.Add(1)
	now := nanotime()
	if h.held == 0 {
		h.since = now
	}
	h.held++
	late := now-h.since > longHeld
	if late {
		h.waited = h.waited || h.prompt
		h.prompt, h.late = false, true
	}
	if late || h.held >= mostHeld || size > largeHeld {
		h.held = 0
		return false
	}
	return h.prompt
}

// flush notes that the program has done what there was to do, and says whether anything was held.
func (h *hold) flush() bool {
	if h.pending.Load() == 0 {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	several := h.pending.Swap(0) > 1
	held := h.prompt && h.held > 0
	if h.held > 0 && nanotime()-h.since > longHeld {
		h.late, h.waited = true, h.waited || held
	}
	if h.waited {
		h.trust.lose()
	}
	h.prompt = several && !h.late && h.since > slowTurns && h.trust.keep()
	h.held, h.late, h.waited = 0, false, false
	return held
}

// Flush implements linux.Network.
func (n *Network) Flush() {
	if n.hold.flush() {
		n.mu.Lock()
		devices := n.devices
		n.mu.Unlock()
		for _, d := range devices {
			d.Flush()
		}
	}
}
