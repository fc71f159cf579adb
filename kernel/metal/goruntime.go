package metal

import "unsafe"

// What this package knows of the Go runtime's structures: where fields lie in
// them, in bytes (runtime/runtime2.go and time.go of the pinned Go version).
const (
	gStackguard0 = 16
	gM           = 48

	mTLS      = 128
	mP        = 208
	mSpinning = 276 // bool: it has no work and looks for some
	mPark     = 344 // where it waits when it has none

	pRunqHead = 400 // u32
	pRunqTail = 404 // u32
	pRunNext  = 2456
	pNextWhen = 9416 + 48 // the earliest of its timers, 0 for none

	schedPollUntil = 16
	schedRunqSize  = 144 // u32

	stackPreempt = -1314 // stackguard0 of a goroutine that is to yield
)

var (
	sched uintptr // address of the runtime's sched

	//go:linkname allp runtime.allp
	allp []uintptr
)

// m is the runtime's thread that t is, once t has told us its TLS.
func (t *thread) m() uintptr { return t.FS - 8 - mTLS }

// seeksWork says whether t was woken to look for work, and nothing else.
func (t *thread) seeksWork() bool {
	return t.waitAddr != 0 && t.waitAddr == t.m()+mPark && *(*bool)(unsafe.Pointer(t.m() + mSpinning))
}

// hasWork says whether such a thread would find any soon: a goroutine that waits for the
// P of t, who is about to enter ring 3 with it, or for any P, or a timer.
func (t *thread) hasWork() bool {
	p := ld(t.m() + mP)
	if ld32(p+pRunqHead) != ld32(p+pRunqTail) || ld(p+pRunNext) != 0 || ld32(sched+schedRunqSize) != 0 {
		return true
	}
	when := nextTimer()
	return when != 0 && when < now()+slice
}

// nextTimer is when the earliest of the runtime's timers is due, 0 if there are none.
func nextTimer() (next uint64) {
	for _, p := range allp {
		if when := uint64(ld(p + pNextWhen)); when != 0 && (next == 0 || when < next) {
			next = when
		}
	}
	return next
}
