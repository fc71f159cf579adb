// Package interrupt hands device interrupts to ordinary Go. A handler runs on
// a goroutine: that of an application thread the interrupt took out of ring 3,
// or one of its own that sleeps in the runtime's netpoller, like a reader of a
// socket. So interrupts need no thread, and no lock beneath the runtime.
package interrupt

import (
	"math/bits"
	"sync"
	_ "unsafe" // go:linkname

	"gosv/kernel/metal"
)

var (
	mu       sync.Mutex
	handlers [metal.NumIRQs]func()
	inUse    int
)

// Handle makes f the handler of a new vector, and returns its number below
// metal.NumIRQs; !ok if there is none left. Calls of handlers never overlap.
func Handle(f func()) (n int, ok bool) {
	mu.Lock()
	defer mu.Unlock()
	if inUse == len(handlers) {
		return 0, false
	}
	handlers[inUse] = f
	inUse++
	if inUse == 1 {
		go poll()
	}
	return inUse - 1, true
}

// Dispatch calls the handlers of interrupts that came in. A thread that comes
// back from EnterUser calls it when metal.HasIRQ says so.
func Dispatch() {
	mu.Lock()
	for p := metal.PendingIRQs(); p != 0; p &= p - 1 {
		if f := handlers[bits.TrailingZeros64(p)]; f != nil {
			f()
		}
	}
	mu.Unlock()
}

// poll dispatches what comes in while no thread is in ring 3.
func poll() {
	const read = 'r'
	pollServerInit()
	fd := metal.IRQEventFD()
	pd, errno := pollOpen(fd)
	if errno != 0 {
		panic("interrupt: the runtime's poller refused the event descriptor")
	}
	for {
		pollReset(pd, read)
		Dispatch()
		pollWait(pd, read)
		metal.ReadEvent(fd)
	}
}

// The runtime's poller, by the names that it offers to internal/poll.

//go:linkname pollServerInit internal/poll.runtime_pollServerInit
func pollServerInit()

//go:linkname pollOpen internal/poll.runtime_pollOpen
func pollOpen(fd uintptr) (pd uintptr, errno int)

//go:linkname pollReset internal/poll.runtime_pollReset
func pollReset(pd uintptr, mode int) int

//go:linkname pollWait internal/poll.runtime_pollWait
func pollWait(pd uintptr, mode int) int
