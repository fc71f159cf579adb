package linux

import (
	"runtime"
	"sync/atomic"
	"unsafe"

	"gosv/kernel/fs"
	"gosv/kernel/interrupt"
	"gosv/kernel/metal"
	"gosv/kernel/mm"
	"gosv/kernel/socket"
	"gosv/kernel/wait"
)

// Thread is a thread of the application, a task in Linux's words.
type Thread struct {
	regs  *metal.Regs
	calls *[numCalls]call
	nr    uintptr       // the system call it made last
	work  atomic.Uint32 // what to do before it returns to ring 3
	space *mm.Space     // its process's
	proc  *Process
	tid   int
	name  [16]byte  // comm: PR_SET_NAME, with its final zero byte
	who   fs.Caller // for the path that it looks up

	parker  parker      // see wait.go
	waiter  wait.Waiter // for waits in one queue
	sleeper timer       // ends its pause

	sig      threadSignals
	clearTID uintptr // set_tid_address(2)
	robust   uintptr // set_robust_list(2)
	futex    futexWaiter
	pi       piThread

	sched    schedState
	affinity atomic.Uint64   // CPUs that it may run on, 0 for all: affinity.go
	slack    uintptr         // PR_SET_TIMERSLACK, in ns
	io       userIO          // of the read or write call it is in,
	msg      socket.Envelope // and if that is about a socket

	report *threadReport // what the host wants to know of it, or nil

	continuation func() (uintptr, Errno) // of an interrupted call, for restart_syscall

	cpuTime atomic.Uint64 // ns it ran, up to started
	waits   atomic.Uint64 // how often it gave up its CPU to wait,
	yields  atomic.Uint64 // and otherwise
	started atomic.Uint64 // when it began to run, 0 if it does not
	ready   atomic.Bool   // it lets others run, and would go on

	madeRoom atomic.Uint64 // CPU time when it last let one run that it woke

	ticks     cpuTicks      // that hit it
	ticksSeen atomic.Uint32 // metal.Ticks when it looked last
	split     cpuSplit
}

// Bits of Thread.work.
const (
	workExit    = 1 << iota // end
	workSignal              // a signal that it does not block is pending
	workMask                // a temporary signal mask ends
	workHold                // a core dump is made
	workStop                // the process is stopped
	workYield               // a thread that it woke waits for a CPU
	workReport              // the host wants something else reported,
	workWaiting             // and to know what call it waits in
)

// interrupted says whether t must not wait now.
func (t *Thread) interrupted() bool { return t.work.Load()&(workExit|workSignal|workStop) != 0 }

// newThread returns a thread of p that does not run yet.
func (p *Process) newThread(tid int) *Thread {
	t := &Thread{
		regs:  metal.NewRegs(),
		calls: p.kernel.calls,
		proc:  p,
		space: p.space,
		tid:   tid,
		slack: defaultTimerSlack,
	}
	t.sleeper.thread = t
	return t
}

// run is the life of a thread.
func (t *Thread) run() {
	setProfLabel(unsafe.Pointer(t))
	t.startClock()
	if t.work.Load() != 0 && !t.leave() {
		return
	}
	r := t.regs
	for {
		switch why := metal.EnterUser(r); {
		case why == metal.Syscall:
			t.nr = r.AX
			v, err := uintptr(0), ENOSYS
			if t.nr < numCalls && t.calls[t.nr].run != nil {
				v, err = t.calls[t.nr].run(t, (*Args)(r))
			}
			if err != 0 {
				v = err.Result()
			}
			r.AX = v
			if t.work.Load() != 0 && !t.leaveCall(err) {
				return
			}
			continue
		case why == metal.Preempt:
			t.yield()
		case why == metal.Elsewhere:
			t.settle()
		case why == metal.Sample:
			t.sample()
			t.countTicks(true)
			t.yield()
		case why == vecPageFault:
			t.pageFault()
		case why < 32:
			t.exception(why)
		default: // an interrupt, already acknowledged
			t.countTicks(!metal.OfDevice(why))
			t.yield()
		}
		if t.work.Load() != 0 && !t.leave() {
			return
		}
	}
}

// yield lets others run: interrupts, timers that are due, and other goroutines.
func (t *Thread) yield() {
	irq := metal.HasIRQ()
	if irq {
		interrupt.Dispatch()
	} else {
		t.proc.kernel.flush() // at the end of a turn
	}
	fired := runTimers()
	if metal.Crowded() {
		t.yields.Add(1)
	}
	if t.regs.Pin != 0 {
		t.offerSeat()
	}
	t.ready.Store(true)
	t.stopClock()
	if irq || fired {
		goyield() // to whom that woke, before all others: Gosched may come straight back
	} else {
		runtime.Gosched()
	}
	t.startClock()
	t.ready.Store(false)
}

// stopClock and startClock keep t's CPU time.
func (t *Thread) stopClock() {
	now := metal.Now()
	start := t.started.Swap(0)
	t.cpuTime.Add(now - start)
	t.countTicks(false)
	if t.report != nil {
		t.reportRun(start, now)
	}
}

func (t *Thread) startClock() {
	all, _ := metal.Ticks()
	t.ticksSeen.Store(all)
	t.started.Store(metal.Now())
}

// ran returns the CPU time that t has used, in ns.
func (t *Thread) ran() uint64 {
	n := t.cpuTime.Load()
	if s := t.started.Load(); s != 0 {
		if now := metal.Now(); now > s {
			n += now - s
		}
	}
	return n
}

// kick makes t notice its work word soon if it is in ring 3 now.
func (t *Thread) kick() { metal.Kick(t.regs) }
