package metal

import (
	"sync/atomic"
	"unsafe"
)

// thread is one of the Go runtime's Ms: a Linux thread to it.
type thread struct {
	Regs
	tid      uintptr
	state    uintptr
	cpu      *CPU    // runs there or ran there last; has its timer
	next     *thread // run queue
	wakeAt   uint64  // 0: no timeout
	slack    uint64  // how much later than wakeAt will do
	waitAddr uintptr // futex
	waitFD   uintptr // epoll
	events   uintptr // epoll: where to put them
	mask     uint64  // blocked signals
	pending  uint64
	altSP    uintptr // signal stack
	altSize  uintptr
}

// State of a thread.
const (
	free = iota
	runnable
	inFutex // from here on: blocked
	inSleep
	inEpoll
)

// A thread takes a frame of its own. There are few: one per CPU, sysmon, and
// those the runtime starts when others block.
const maxThreads = 512

var (
	threads        [maxThreads]uintptr // of *thread, hidden from the collector: they are not in its heap
	nthreads       uintptr
	runHead        *thread // the run queue, nearly always empty
	runTail        *thread
	userDeadline   uint64 // interrupt ring 3 then (see Deadline)
	userDeadlineAt *CPU   // armed there
)

// In ns: how long a thread runs while another waits for its CPU, which has no P
// or takes over that of one about to block; and how late ring 3 may be
// interrupted, as on Linux (prctl(2), PR_SET_TIMERSLACK).
const (
	slice         = 100_000_000
	deadlineSlack = 50_000
)

func threadAt(i uintptr) *thread { return (*thread)(unsafe.Pointer(threads[i])) }

// newThread returns a runnable thread, or nil.
func newThread() *thread {
	for i := uintptr(0); i < nthreads; i++ {
		if t := threadAt(i); t.state == free {
			tid := t.tid
			zeroPage(addressOf(t))
			t.tid, t.state, t.FL = tid, runnable, flagsUser
			return t
		}
	}
	if nthreads == maxThreads {
		return nil
	}
	t := idleThread()
	if t == nil {
		return nil
	}
	threads[nthreads] = addressOf(t)
	nthreads++
	t.tid, t.state = nthreads, runnable
	return t
}

// idleThread returns a thread that is in no list: a CPU's, when it has none.
func idleThread() *thread {
	f := zeroFrame()
	if f == 0 {
		return nil
	}
	t := (*thread)(unsafe.Pointer(DirectMap + f))
	t.FL = flagsUser
	return t
}

// ready queues t and gives it to an idle CPU, if there is one, best the one
// it ran on (whose idling is still set when its own timer wakes t). It tells
// whether another CPU was kicked for it.
func ready(c *CPU, t *thread) (kicked bool) {
	t.state = runnable
	t.wakeAt = 0
	t.next = nil
	if runHead == nil {
		runHead = t
	} else {
		runTail.next = t
	}
	runTail = t
	d := t.cpu
	for i := uintptr(0); (d == nil || !d.idling) && i < ncpu; i++ {
		d = cpus[i]
	}
	if d.idling {
		d.idling = false
		if d != c {
			c.kick |= 1 << d.id
			return true
		}
	}
	return false
}

// wake readies t, whose system call returns result.
func wake(c *CPU, t *thread, result uintptr) {
	t.AX = result
	ready(c, t)
	setWant(c)
}

// wakeTimers readies the sleepers of c that are due at time n; left says whether
// some must be run by c itself.
func wakeTimers(c *CPU, n uint64) (left bool) {
	for i := uintptr(0); i < nthreads; i++ {
		t := threadAt(i)
		if t.state > runnable && t.cpu == c && t.wakeAt != 0 && t.wakeAt <= n {
			t.AX = 0
			if t.state == inFutex {
				t.AX = errno(etimedout)
			}
			if !ready(c, t) {
				left = true
			}
		}
	}
	return left
}

// schedule makes c run the next thread: the caller unlocks and goes to
// resume. With none it idles and does not return.
func schedule(c *CPU) {
	if t := runHead; t != nil {
		runHead = t.next
		c.cur, t.cpu = t, c
		setWant(c)
		return
	}
	setWant(c)
	c.cur = c.idle
	c.idling = true
	atomic.StoreUint32(&c.lazy, 1)
	unlock(c)
	leaves.idle()
}

// setWant computes when c's timer must fire.
func setWant(c *CPU) {
	var next uint64
	for i := uintptr(0); i < nthreads; i++ {
		t := threadAt(i)
		if t.state > runnable && t.cpu == c && t.wakeAt != 0 && (next == 0 || t.wakeAt+t.slack < next) {
			next = t.wakeAt + t.slack
		}
	}
	if runHead != nil && c.cur.tid != sysmon { // that one is soon asleep again
		if s := now() + slice; next == 0 || s < next {
			next = s
		}
	}
	if userDeadline != 0 && userDeadlineAt == c && (next == 0 || userDeadline+deadlineSlack < next) {
		next = userDeadline + deadlineSlack
	}
	c.want = next
}

// block takes t, which runs on c, off it.
func block(c *CPU, t *thread, state uintptr, until uint64) {
	t.state = state
	t.slack = 0
	t.wakeAt = until
	schedule(c)
}

// reschedule makes every thread in ring 3 return to Go, so that its P looks at
// the timers and pollers. With a CPU idle some M sleeps in epoll_pwait, with
// the next timer as its timeout.
func reschedule(c *CPU) {
	for i := uintptr(0); i < ncpu; i++ {
		if cpus[i].idling {
			return
		}
	}
	for i := uintptr(0); i < ncpu; i++ {
		switch d := cpus[i]; {
		case d == c && c.cur.IP == userReturnPC && c.cur.Full == 0:
			// on its way from ring 3 to Go already
		case d.online:
			atomic.StoreUint32(&d.resched, 1)
			if d != c {
				c.kick |= 1 << d.id
			}
		}
	}
}
