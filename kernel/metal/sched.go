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

// What holds whenever the lock is free:
//
//   - A thread is current on one CPU, or next on one, or in the run queue, or blocked, or free.
//   - A CPU that has a next was sent vecWake, or is about to schedule.
//   - While a thread is in the queue no CPU has idling set, one that had was sent
//     vecWake, and finds the thread or that another CPU took it; or onEntry.wake is.
//   - A blocked thread's timeout, userDeadline and turnEnd are in the want of the CPU
//     that they belong to, and its timer is armed for no later than want, or has
//     fired and the interrupt is about to come in.
//   - Signals that a thread does not block are pending only while it is in the queue,
//     or current on a CPU that was sent vecWake.

// A thread takes a frame of its own. There are few: one per CPU, sysmon, and
// those the runtime starts when others block.
const maxThreads = 512

var (
	threads        [maxThreads]uintptr // of *thread, hidden from the collector: they are not in its heap
	nthreads       uintptr
	runHead        *thread // the run queue, nearly always empty
	runTail        *thread
	userDeadline   uint64 // see Deadline; others than NoDeadline hold the lock
	userDeadlineAt *CPU   // armed there

	runnables  atomic.Int32 // threads of the application that run or could (see Runnable)
	turnEnd    uint64       // when the next tick is and they shall change, 0 if there are none; atomic
	turnEndAt  *CPU         // armed there
	firstTurn  uint64       // when the first ends: a short-lived program does not see it
	pitStopped bool

	ticks uint64 // what Ticks returns, all in the lower half; atomic

	// onEntry is what EnterUser looks at, both at once. Atomic.
	onEntry struct {
		_ [0]uint64

		// recall is set while some thread shall come back from ring 3, or not go there,
		// and look at timers and device interrupts. Who clears it looks.
		recall uint32

		// wake is set while threads may be in the queue that an idle CPU could run: see
		// readyLater. It is seekers while all they want is to look for work.
		wake uint32
	}
)

const (
	anyone = 1 + iota // of onEntry.wake
	seekers
)

// In ns: how long a thread runs while another waits for its CPU, which has no P
// or takes over that of one about to block; and how late ring 3 may be
// interrupted, as on Linux (prctl(2), PR_SET_TIMERSLACK): epoll_pwait's timeout
// has the same, so that one interrupt does for both.
const (
	slice      = 100_000_000
	turn       = 10_000_000 // of the application's threads, the first ten in one
	turnSlack  = 9 * turn   // if nobody waits for its end,
	turnExact  = 1e9        // and only until then
	timerSlack = 50_000
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

// ready queues t and gives it to an idle CPU, if there is one: best c itself (whose
// idling is still set when an interrupt came) or the one it ran on. It tells whether
// another CPU was kicked for it.
func ready(c *CPU, t *thread) (kicked bool) {
	enqueue(t)
	d := c
	if !d.idling && t.cpu != nil {
		d = t.cpu
	}
	for i := uintptr(0); !d.idling && i < ncpu; i++ {
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

// enqueue makes t runnable, at the end of the queue.
func enqueue(t *thread) {
	t.state = runnable
	t.wakeAt = 0
	t.next = nil
	if runHead == nil {
		runHead = t
	} else {
		runTail.next = t
	}
	runTail = t
}

// readyLater is ready for a thread that the runtime woke: mostly to look for work, whenever
// a goroutine becomes runnable. Often the CPU has nothing to do itself a moment later
// and runs the thread without waking another. If it enters ring 3 instead
// wakeForWork decides, and an interrupt puts an end to it.
func readyLater(t *thread) {
	enqueue(t)
	if someIdle() {
		atomic.StoreUint32(&onEntry.wake, anyone)
	}
}

// wakeForWork wakes idle CPUs for the threads in the queue before t enters ring 3, unless
// they would only look for work and find none.
func wakeForWork(c *CPU, t *thread) {
	if !t.hasWork() {
		q := runHead
		for q != nil && q.seeksWork() {
			q = q.next
		}
		if q == nil && runHead != nil {
			atomic.StoreUint32(&onEntry.wake, seekers)
			return
		}
	}
	wakeIdle(c)
}

// wakeIdle kicks as many idle CPUs as there are threads for them in the queue.
func wakeIdle(c *CPU) {
	atomic.StoreUint32(&onEntry.wake, 0)
	t := runHead
	for i := uintptr(0); i < ncpu && t != nil; i++ { // those that are coming
		if d := cpus[i]; d.online && d.cur == d.idle && !d.idling {
			t = t.next
		}
	}
	for i := uintptr(0); i < ncpu && t != nil; i++ {
		if d := cpus[i]; d.idling {
			d.idling = false
			c.kick |= 1 << d.id
			t = t.next
		}
	}
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
	t := c.next
	if t != nil {
		c.next = nil
	} else if t = runHead; t != nil {
		if runHead = t.next; runHead == nil {
			atomic.StoreUint32(&onEntry.wake, 0)
		}
	}
	if t != nil {
		c.cur, t.cpu = t, c
		setWant(c)
		return
	}
	c.cur = c.idle
	progress(c)
	c.idling = true
	setWant(c)
	atomic.StoreUint32(&c.lazy, 1)
	stopPIT(c)
	unlock(c)
	leaves.idle()
}

// stopPIT stops the 8254, whose channel 0 keeps QEMU busy 37 times a second from reset
// on. It is a VM exit, so not before the boot CPU idles for long.
func stopPIT(c *CPU) {
	const control, channel0Mode0 = 0x43, 0x30 // a mode that counts once, and no count
	if !pitStopped && c == &cpu0 && (c.want == 0 || c.want > now()+1e9) {
		pitStopped = true
		outb(control, channel0Mode0)
	}
}

// move sends t, which runs on c, to d. Another one may be on its way there: then it
// stays for now.
func move(c *CPU, t *thread, d *CPU) uintptr {
	switch {
	case !d.online:
		return 0
	case d != c && d.next == nil:
		t.state, t.AX = runnable, 1
		d.next = t
		d.idling = false
		c.kick |= 1 << d.id
		schedule(c)
	}
	return 1
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
	if runHead != nil && c.cur.tid != sysmon && allBusy() { // that one is soon asleep again
		if s := now() + slice; next == 0 || s < next {
			next = s
		}
	}
	if d := atomic.LoadUint64(&userDeadline); d != 0 && userDeadlineAt == c && (next == 0 || d+timerSlack < next) {
		next = d + timerSlack
	}
	if turnEnd != 0 && turnEndAt == c {
		end := turnEnd
		if end < turnExact && !Crowded() {
			end += turnSlack
		}
		if next == 0 || end < next {
			next = end
		}
	}
	if profile.period != 0 {
		next = wantSample(c, next)
	}
	if w := watchAt(c, next); w != 0 {
		next = w
	}
	c.want = next
}

// allBusy says whether each CPU runs a thread: none will come for one in the queue
// before one of these gives up its own.
func allBusy() bool {
	for i := uintptr(0); i < ncpu; i++ {
		if d := cpus[i]; d.cur == d.idle {
			return false
		}
	}
	return true
}

// someIdle says whether a CPU idles that can be woken.
func someIdle() bool {
	for i := uintptr(0); i < ncpu; i++ {
		if cpus[i].idling {
			return true
		}
	}
	return false
}

// block takes t, which runs on c, off it, until it is woken or up to slack after
// until, if that is not 0.
func block(c *CPU, t *thread, state uintptr, until, slack uint64) {
	t.state = state
	t.slack = slack
	t.wakeAt = until
	schedule(c)
}

// recallUser makes one thread come back from ring 3 to Go: the one that c took an
// interrupt from, or else the next that is about to go there, or another CPU's. One
// is enough, for it looks on behalf of all.
func recallUser(c *CPU) {
	if fromUser(c) {
		return // on its way already
	}
	atomic.StoreUint32(&onEntry.recall, 1)
	for i := uintptr(0); i < ncpu; i++ {
		if d := cpus[i]; d != c && d.online && !d.idling && d.cur.tid != sysmon {
			c.kick |= 1 << d.id
			return
		}
	}
}

// fromUser says whether c's thread comes back from ring 3, where c took an interrupt.
func fromUser(c *CPU) bool { return c.cur.IP == userReturnPC && c.cur.Full == 0 }

// tell has somebody above look at timers and interrupts, c having taken an interrupt: a
// thread that polls, if there is a CPU for it, and else one that was in ring 3. It
// tells whether c shall run another thread for that.
func tell(c *CPU) (left bool) {
	idle, e := someIdle(), irqEvent()
	if woken := e != nil && signalEvent(c, e, 1); !woken || !idle {
		recallUser(c)
		return runHead != nil && allBusy()
	}
	return false
}

// deadlineDue handles userDeadline when it is past, like an interrupt of a device. The timer
// may fire early, by a hundredth of what it was set to (see calibration): who looks then would find
// nothing due, and the deadline be lost.
func deadlineDue(c *CPU) (left bool) {
	if d := atomic.LoadUint64(&userDeadline); d == 0 || d > now() {
		return false
	}
	atomic.StoreUint64(&userDeadline, 0)
	return !fromUser(c) && tell(c)
}

// startTurn begins a turn of the application's threads if there are any. Turns end at
// multiples of their length: what runs for less meets one as often as it should.
func startTurn(c *CPU) {
	atomic.StoreUint64(&turnEnd, 0) // before looking: who makes one more looks afterwards
	if runnables.Load() > 0 {
		n := now()
		if firstTurn == 0 {
			firstTurn = n + 25*turn
		}
		turnEndAt = c
		atomic.StoreUint64(&turnEnd, max((n/turn+1)*turn, firstTurn))
	}
}

// turnDue makes all threads in ring 3 come back when a turn is over: for others, if some
// wait for a CPU, or to count the tick. One that it finds in the kernel does so before
// the next interrupt, which must not be taken for it.
func turnDue(c *CPU) {
	t := now()
	if turnEnd == 0 || turnEnd > t {
		return
	}
	late := (t-turnEnd)/turn + 1
	atomic.StoreUint64(&ticks, uint64(uint32(ticks)+uint32(late))|late<<32)
	n := runnables.Load()
	startTurn(c)
	if n > 0 {
		recallUser(c)
	}
	if n > 1 {
		kickOthers(c)
	}
}

// kickOthers interrupts the CPUs that are not idle. Who is in ring 3, or on its way
// there, cannot be told without a fence in EnterUser.
func kickOthers(c *CPU) {
	for i := uintptr(0); i < ncpu; i++ {
		if d := cpus[i]; d != c && d.online && !d.idling {
			c.kick |= 1 << d.id
		}
	}
}
