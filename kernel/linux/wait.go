package linux

import (
	"gosv/kernel/metal"
	"gosv/kernel/wait"
)

const never = wait.Never

// How a thread waits: it makes itself known to those who will wake it (a
// wait.Queue, a futex bucket, a timer), looks whether what it wants is there, calls
// pause if not, and looks again. wake leaves a token that the next pause takes,
// so nothing is lost in between; pause may return for no reason.

// pause blocks t until wake. It returns eRestartSys at once or when woken if a
// signal must be handled or t must exit, ETIMEDOUT if deadline has passed.
func (t *Thread) pause(deadline uint64) Errno {
	if t.work.Load()&(workExit|workSignal|workStop|workWaiting) != 0 {
		if t.interrupted() {
			return eRestartSys
		}
		t.reportWaiting()
	}
	runTimers() // an alarm comes a little late, and then need not come
	if deadline == never {
		t.park()
		return 0
	}
	if metal.Now() >= deadline {
		return ETIMEDOUT
	}
	t.sleeper.arm(deadline)
	t.park()
	t.sleeper.disarm()
	return 0
}

// park blocks t, interruptible or not, until wake.
func (t *Thread) park() {
	if t.regs.Pin != 0 {
		t.leaveSeat()
	}
	t.suspend()
}

// suspend is park of a thread that has no seat to give up.
func (t *Thread) suspend() {
	t.waits.Add(1)
	t.flush()
	t.stopClock()
	t.parker.park()
	t.startClock()
}

// flush has the network send what t has it hold back, unless other threads can go on and will do so.
func (t *Thread) flush() {
	if !metal.Crowded() {
		t.proc.kernel.flush()
	}
}

func (k *Kernel) flush() {
	if k.Network != nil {
		k.Network.Flush()
	}
}

// wake ends t's pause, or its next one. It never blocks. If there are more threads than CPUs
// the one that wakes t makes room for it.
func (t *Thread) wake() {
	if t.parker.wake() && metal.Crowded() {
		if by := (*Thread)(profLabel()); by != nil {
			by.makeRoom()
		}
	}
}

// wakeTurn is how much CPU time a thread uses before it makes room again for those that it
// wakes, in ns: Linux's sched_wakeup_granularity. Threads that wake each other all
// the time and wait use less.
const wakeTurn = 1_000_000

// makeRoom has t let others run as soon as it leaves the kernel, if it has run for long
// since it last did.
func (t *Thread) makeRoom() {
	if ran := t.ran(); ran-t.madeRoom.Load() > wakeTurn {
		t.madeRoom.Store(ran)
		t.work.Or(workYield)
	}
}

// Wait blocks t in q until ready returns true. It returns eRestartSys if a
// signal came first (a handler passes it on; it becomes EINTR or a restart),
// ETIMEDOUT when the deadline has passed.
func (t *Thread) Wait(q *wait.Queue, deadline uint64, ready func() bool) (err Errno) {
	if ready() {
		return 0
	}
	w := &t.waiter
	w.Sleeper = t
	w.Looks()
	q.Add(w)
	for ; !ready(); w.Looks() {
		if err = t.pause(deadline); err != 0 {
			if err == ETIMEDOUT && ready() {
				err = 0
			}
			break
		}
	}
	q.Remove(w)
	return err
}
