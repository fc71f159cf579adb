package test

import (
	"testing"
	"time"
)

// TestTimes: clocks, usage, limits and ids, as Linux has them.
func TestTimes(t *testing.T) {
	t.Parallel()
	same(t, options{}, cProgram(t, glibc, "times"))
	same(t, options{flags: []string{"-c", "4"}}, cProgram(t, glibc, "times"))
}

// TestCPUTime: what of a thread's time is told to be in ring 3, and what in the kernel, and that a limit is noticed. It is measured on QEMU's count of
// instructions: while the host does something else no time passes.
func TestCPUTime(t *testing.T) {
	t.Parallel()
	m := append(microvm[:len(microvm):len(microvm)], "--vmm-arg=-icount", "--vmm-arg=shift=3,sleep=off")
	expect(t, run(t, m, options{}, cProgram(t, glibc, "times"), "divided"),
		"in ring 3: 1\nin the kernel: 1\nITIMER_VIRTUAL: 1, 1\ntimes: 1, thread: 1\nstat: 1\nSIGXCPU 1\n")
}

// TestClockSet: who goes by the time of day notices that it is set.
func TestClockSet(t *testing.T) {
	t.Parallel()
	expect(t, run(t, microvm, options{}, cProgram(t, glibc, "times"), "set"), `timer_create: 0
timer_settime: 0
cancel on set: 0
due: 0
relative: 0
clock_settime: 0
sleeper: 0
poll: 1
read: -1 Operation canceled
read: 8
relative: -1 Resource temporarily unavailable
back by 5 s: 1
read: -1 Operation canceled
1
`)
}

// TestLongSleep: longer than the local APIC's timer counts (4.3 s), with nobody else who would
// look at timers meanwhile.
func TestLongSleep(t *testing.T) {
	t.Parallel()
	start := time.Now()
	expect(t, run(t, microvm, options{}, busybox(t), "sleep", "6"), "")
	if d := time.Since(start); d < 6*time.Second {
		t.Errorf("it is over after %v", d)
	}
}
