package linux

import (
	"sync/atomic"
	"unsafe"

	"gosv/kernel/gotimer"
	"gosv/kernel/metal"
)

// parker is where one goroutine at a time sleeps until somebody wakes it: a
// channel of capacity one that nobody needs to select on, for a fifth of the
// price. It holds 0, a token, or the goroutine (of type g in the runtime, which
// never frees one).
type parker struct{ state atomic.Uintptr }

const parkToken = 1

// park sleeps until wake, or not at all if wake was called since the last
// park.
func (p *parker) park() {
	if !p.state.CompareAndSwap(parkToken, 0) {
		keepWaiting()
		gopark(commitPark, unsafe.Pointer(p), 0, 0, 1)
		p.state.CompareAndSwap(parkToken, 0) // if it came while parking
	}
}

// commitPark is called by the runtime when the goroutine no longer runs. It
// returns false if it is to go on after all.
//
//go:norace
//go:nosplit
func commitPark(g uintptr, p unsafe.Pointer) bool {
	if !(*parker)(p).state.CompareAndSwap(0, g) {
		return false
	}
	metal.Runnable(-1)
	return true
}

// wake ends p's park, or the next one. It says whether one slept.
func (p *parker) wake() (slept bool) {
	for {
		switch s := p.state.Load(); s {
		case parkToken:
			return false
		case 0:
			if p.state.CompareAndSwap(0, parkToken) {
				return false
			}
		default:
			if p.state.CompareAndSwap(s, 0) {
				metal.Runnable(1)
				goready(s, 1)
				return true
			}
		}
	}
}

// keepWaiting keeps the runtime from taking a machine whose threads all wait for
// good for a deadlock of its own: it does not as long as there is a timer.
func keepWaiting() {
	if !waitingKept.Load() && !waitingKept.Swap(true) {
		gotimer.Start(1<<63, func() {})
	}
}

var waitingKept atomic.Bool

// The runtime's primitives beneath channels and mutexes, by the names that it
// keeps for others who need them (runtime/proc.go of the pinned Go version).

//go:linkname gopark runtime.gopark
func gopark(commit func(g uintptr, p unsafe.Pointer) bool, p unsafe.Pointer, reason uint8, traceReason uint8, traceSkip int)

//go:linkname goready runtime.goready
func goready(g uintptr, traceSkip int)

// Each goroutine has a pointer for a profiler, which the kernel has none of, and gives it to
// those that it starts: the Thread that it is, or that started it.
//
//go:linkname setProfLabel runtime/pprof.runtime_setProfLabel
func setProfLabel(p unsafe.Pointer)

//go:linkname profLabel runtime/pprof.runtime_getProfLabel
func profLabel() unsafe.Pointer

// goyield is runtime.Gosched, but the caller goes to the end of its P's queue.
//
//go:linkname goyield runtime.goyield
func goyield()
