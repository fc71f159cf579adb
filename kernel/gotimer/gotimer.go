// Package gotimer has the Go runtime's timers without package time, which
// brings environment variables, time zones and debug settings with it: 8,000
// instructions of the boot and 90 KB of the kernel.
package gotimer

import "unsafe"

// Timer calls a function, on a goroutine of its own, when it is due.
type Timer struct{ rt unsafe.Pointer }

// Start makes a timer that calls f in delay nanoseconds.
func Start(delay uint64, f func()) *Timer {
	return &Timer{newTimer(at(delay), 0, run, f, nil)}
}

// Reset lets t call its function in delay nanoseconds from now instead of when
// it was to do so before, if it has not yet, or else again.
func (t *Timer) Reset(delay uint64) { resetTimer(t.rt, at(delay), 0) }

// Stop keeps t from calling its function, if it has not yet.
func (t *Timer) Stop() { stopTimer(t.rt) }

// Sleep pauses the calling goroutine for that many nanoseconds.
func Sleep(ns int64) { sleep(ns) }

// run is what the runtime calls: where it must not block.
func run(arg any, _ uintptr, _ int64) { go arg.(func())() }

// at is the runtime's time in delay nanoseconds.
func at(delay uint64) int64 {
	const farthest = 1<<63 - 1
	if now := nanotime(); delay < farthest-uint64(now) {
		return now + int64(delay)
	}
	return farthest
}

// The runtime's functions, by the names that it offers to package time
// (runtime/time.go of the pinned Go version).

//go:linkname newTimer time.newTimer
func newTimer(when, period int64, f func(arg any, seq uintptr, delay int64), arg any, c unsafe.Pointer) unsafe.Pointer

//go:linkname resetTimer time.resetTimer
func resetTimer(t unsafe.Pointer, when, period int64) bool

//go:linkname stopTimer time.stopTimer
func stopTimer(t unsafe.Pointer) bool

//go:linkname sleep time.Sleep
func sleep(ns int64)

//go:linkname nanotime runtime.nanotime
func nanotime() int64
