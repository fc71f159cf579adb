package linux

import (
	"math"
	"sync"
	"sync/atomic"
	"unsafe"

	"gosv/kernel/metal"
	"gosv/kernel/mm"
)

// appTimer is a timer of the application: one of setitimer(2)'s three, or one of
// timer_create(2)'s.
type appTimer struct {
	timer
	mu       sync.Mutex
	proc     *Process
	realtime bool     // of CLOCK_REALTIME
	wall     bool     // expires is an absolute time of that clock
	cpu      cpuClock // what it measures, if not a clock that always runs
	onCPU    bool
	expires  uint64 // on its clock, 0 if it is not set
	interval uint64

	id      int32 // in Process.timers
	notify  int32
	target  *Thread // SIGEV_THREAD_ID
	info    sigInfo
	overrun atomic.Uint64 // expirations that the last signal taken stood for, less one
}

// clock is what relative times count from, now what expires is compared with.
func (tm *appTimer) clock() uint64 {
	if tm.onCPU {
		return tm.cpu.read()
	}
	return metal.Now()
}

func (tm *appTimer) now() uint64 {
	if tm.wall {
		return realtime()
	}
	return tm.clock()
}

// set starts tm, or stops it with expires 0, and returns what it was set to.
func (tm *appTimer) set(expires, interval uint64, wall bool) (left, oldInterval uint64) {
	tm.disarm()
	tm.mu.Lock()
	defer tm.mu.Unlock()
	left, oldInterval = tm.remaining(), tm.interval
	tm.expires, tm.interval, tm.wall = expires, interval, wall
	tm.overrun.Store(0)
	switch {
	case expires != 0:
		tm.armReal()
	case !tm.onCPU: // CPU clocks keep it
		tm.interval = 0
	}
	return left, oldInterval
}

// get returns the time until tm expires, 0 if it does not, and its interval.
func (tm *appTimer) get() (left, interval uint64) {
	tm.mu.Lock()
	defer tm.mu.Unlock()
	return tm.remaining(), tm.interval
}

func (tm *appTimer) remaining() uint64 {
	if tm.expires == 0 {
		return 0
	}
	if now := tm.now(); now < tm.expires {
		return tm.expires - now
	}
	return 1 // due, but not yet handled
}

// armReal arms the machine's timer for the earliest time that tm can expire. A CPU
// clock is looked at then: it may have run slower.
func (tm *appTimer) armReal() {
	switch {
	case tm.wall:
		tm.armAt(tm.expires)
		return
	case !tm.onCPU:
		tm.arm(tm.expires)
		return
	}
	wait := uint64(1)
	if now := tm.cpu.read(); now < tm.expires {
		wait = tm.expires - now
		if tm.cpu.proc != nil { // it may run on all CPUs at once
			wait /= uint64(metal.CPUs())
		}
	}
	tm.arm(metal.Now() + max(wait, minCPUTimer))
}

// minCPUTimer keeps a CPU timer of a process that sleeps from asking all the time.
const minCPUTimer = 1_000_000

// expire is called when the machine's timer fires.
func (tm *appTimer) expire(uint64) {
	tm.mu.Lock()
	now := tm.now()
	if tm.expires == 0 || tm.index != 0 {
		tm.mu.Unlock()
		return // set anew meanwhile
	}
	if now < tm.expires {
		tm.armReal()
		tm.mu.Unlock()
		return
	}
	missed := uint64(0)
	if tm.interval != 0 {
		missed = (now - tm.expires) / tm.interval
		tm.expires += (missed + 1) * tm.interval
		tm.armReal()
	} else {
		tm.expires = 0
	}
	s := queuedSignal{sigInfo: tm.info}
	if s.code == siTimer {
		s.timer = tm
		s.field[0] |= uint64(uint32(missed)) << 32
	}
	p, target, notify := tm.proc, tm.target, tm.notify
	tm.mu.Unlock()
	if notify != sigevNone {
		p.send(target, &s)
	}
}

// Notification by a POSIX timer (sigevent(7)).
const (
	sigevSignal   = 0
	sigevNone     = 1
	sigevThread   = 2
	sigevThreadID = 4
)

// Interval timers (setitimer(2)).
const (
	itimerReal    = 0
	itimerVirtual = 1
	itimerProf    = 2
	cpuLimitSoft  = 3 // not for setitimer: RLIMIT_CPU
	cpuLimitHard  = 4
	numITimers    = 5
)

// itimer returns p's interval timer of a kind.
func (p *Process) itimer(kind int) *appTimer {
	p.timerMu.Lock()
	defer p.timerMu.Unlock()
	tm := p.itimers[kind]
	if tm == nil {
		tm = &appTimer{proc: p, cpu: cpuClock{proc: p, user: kind == itimerVirtual}, onCPU: kind != itimerReal}
		tm.fire = tm.expire
		tm.info = sigInfo{signo: [numITimers]int32{SIGALRM, SIGVTALRM, SIGPROF, SIGXCPU, SIGKILL}[kind], code: siKernel}
		p.itimers[kind] = tm
	}
	return tm
}

func sysSetitimer(t *Thread, a *Args) (uintptr, Errno) {
	var v [2]timeval // interval, time to the next
	if p := a.Arg2(); p != 0 {
		if err := copyIn(t, &v, p); err != 0 {
			return 0, err
		}
		if !v[0].valid() || !v[1].valid() {
			return 0, EINVAL
		}
	}
	kind := a.Int1()
	if kind > itimerProf {
		return 0, EINVAL
	}
	tm := t.proc.itimer(int(kind))
	expires := v[1].ns()
	if expires != 0 {
		expires += tm.clock()
	}
	left, interval := tm.set(expires, v[0].ns(), false)
	if p := a.Arg3(); p != 0 {
		old := [2]timeval{toTimeval(interval), toTimeval(left)}
		return 0, copyOut(t, p, &old)
	}
	return 0, 0
}

func sysGetitimer(t *Thread, a *Args) (uintptr, Errno) {
	kind := a.Int1()
	if kind > itimerProf {
		return 0, EINVAL
	}
	left, interval := t.proc.itimer(int(kind)).get()
	v := [2]timeval{toTimeval(interval), toTimeval(left)}
	return 0, copyOut(t, a.Arg2(), &v)
}

func sysAlarm(t *Thread, a *Args) (uintptr, Errno) {
	tm := t.proc.itimer(itimerReal)
	expires := uint64(uint32(a.Arg1())) * second
	if expires != 0 {
		expires += metal.Now()
	}
	left, _ := tm.set(expires, 0, false)
	if left == 0 {
		return 0, 0
	}
	return uintptr(max(1, (left+second/2)/second)), 0
}

// maxTimers bounds what timer_create gives out (RLIMIT_SIGPENDING on Linux).
const maxTimers = maxPending

// sigEvent is struct sigevent as far as it is looked at.
type sigEvent struct {
	value         uint64
	signo, notify int32
	tid           int32
	_             [44]byte
}

func sysTimerCreate(t *Thread, a *Args) (uintptr, Errno) {
	p := t.proc
	tm := &appTimer{proc: p, notify: sigevSignal}
	tm.fire = tm.expire
	ev := sigEvent{signo: SIGALRM}
	if addr := a.Arg2(); addr != 0 {
		if err := copyIn(t, &ev, addr); err != 0 {
			return 0, err
		}
	}
	noClock := Errno(0) // one of CPU time is looked for last
	switch id := int32(a.Arg1()); id {
	case clockRealtime, clockMonotonic, clockBoottime, clockTAI:
		tm.realtime = id == clockRealtime || id == clockTAI
	case clockMonotonicRaw, clockRealtimeCoarse, clockMonoCoarse:
		return 0, EOPNOTSUPP
	default:
		tm.cpu, noClock = t.cpuClock(id)
		if noClock != 0 && id >= 0 {
			return 0, noClock
		}
		tm.onCPU = true
	}
	if a.Arg2() != 0 {
		switch ev.notify {
		case sigevNone:
		case sigevSignal, sigevThread, sigevThreadID | sigevSignal:
			if ev.signo < 1 || ev.signo > numSig {
				return 0, EINVAL
			}
			if ev.notify == sigevThreadID {
				if tm.target = p.thread(int(ev.tid)); tm.target == nil {
					return 0, EINVAL
				}
			}
		default:
			return 0, EINVAL
		}
		tm.notify = ev.notify
	}
	if !mm.KernelRoom(int(unsafe.Sizeof(*tm))) {
		return 0, EAGAIN
	}
	p.timerMu.Lock()
	if len(p.timers) == maxTimers {
		p.timerMu.Unlock()
		return 0, EAGAIN
	}
	if p.timers == nil {
		p.timers = map[int32]*appTimer{}
	}
	for p.timers[p.nextTimer] != nil {
		p.nextTimer = (p.nextTimer + 1) & math.MaxInt32
	}
	tm.id = p.nextTimer
	p.nextTimer = (p.nextTimer + 1) & math.MaxInt32 // that of a timer that was is not used again soon
	p.timers[tm.id] = tm
	p.timerMu.Unlock()
	if a.Arg2() == 0 {
		ev.value = uint64(tm.id)
	}
	tm.info = sigInfo{signo: ev.signo, code: siTimer}
	tm.info.field[0] = uint64(tm.id)
	tm.info.field[1] = ev.value
	err := copyOut(t, a.Arg3(), &tm.id)
	if err == 0 {
		err = noClock
	}
	if err != 0 {
		p.deleteTimer(tm.id)
	}
	return 0, err
}

// timer returns p's timer with an id, or nil.
func (p *Process) timer(id uintptr) *appTimer {
	p.timerMu.Lock()
	defer p.timerMu.Unlock()
	return p.timers[int32(id)]
}

func (p *Process) deleteTimer(id int32) {
	p.timerMu.Lock()
	tm := p.timers[id]
	delete(p.timers, id)
	p.timerMu.Unlock()
	tm.set(0, 0, false)
}

// itimerSpec is struct itimerspec.
type itimerSpec struct{ interval, value timespec }

func sysTimerSettime(t *Thread, a *Args) (uintptr, Errno) {
	const absolute = 1
	var v itimerSpec
	if a.Arg3() == 0 {
		return 0, EINVAL
	}
	if err := copyIn(t, &v, a.Arg3()); err != 0 {
		return 0, err
	}
	if !v.interval.valid() || !v.value.valid() {
		return 0, EINVAL
	}
	tm := t.proc.timer(a.Arg1())
	if tm == nil {
		return 0, EINVAL
	}
	expires := v.value.ns()
	wall := tm.realtime && a.Arg2()&absolute != 0
	if expires != 0 && a.Arg2()&absolute == 0 {
		expires += tm.clock()
	}
	left, interval := tm.set(expires, v.interval.ns(), wall)
	if p := a.Arg4(); p != 0 {
		old := itimerSpec{toTimespec(interval), toTimespec(left)}
		return 0, copyOut(t, p, &old)
	}
	return 0, 0
}

func sysTimerGettime(t *Thread, a *Args) (uintptr, Errno) {
	tm := t.proc.timer(a.Arg1())
	if tm == nil {
		return 0, EINVAL
	}
	left, interval := tm.get()
	v := itimerSpec{toTimespec(interval), toTimespec(left)}
	return 0, copyOut(t, a.Arg2(), &v)
}

func sysTimerGetoverrun(t *Thread, a *Args) (uintptr, Errno) {
	tm := t.proc.timer(a.Arg1())
	if tm == nil {
		return 0, EINVAL
	}
	return uintptr(min(tm.overrun.Load(), 1<<31-1)), 0
}

func sysTimerDelete(t *Thread, a *Args) (uintptr, Errno) {
	tm := t.proc.timer(a.Arg1())
	if tm == nil {
		return 0, EINVAL
	}
	t.proc.deleteTimer(tm.id)
	return 0, 0
}
