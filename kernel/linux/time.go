package linux

import (
	"math"
	"unsafe"

	"gosv/kernel/fs"
	"gosv/kernel/metal"
)

// timespec and timeval as on Linux for 64-bit machines.
type timespec struct{ sec, nsec int64 }
type timeval struct{ sec, usec int64 }

const second = 1_000_000_000 // in ns

func (ts timespec) valid() bool { return ts.sec >= 0 && uint64(ts.nsec) < second }
func (tv timeval) valid() bool  { return tv.sec >= 0 && uint64(tv.usec) < 1_000_000 }

// ns is ts in nanoseconds, or the greatest time short of never (in 292 years).
func (ts timespec) ns() uint64 {
	if ts.sec >= math.MaxInt64/second {
		return math.MaxInt64
	}
	return uint64(ts.sec)*second + uint64(ts.nsec)
}

func (tv timeval) ns() uint64 { return timespec{tv.sec, tv.usec * 1000}.ns() }

func toTimespec(ns uint64) timespec { return timespec{int64(ns / second), int64(ns % second)} }
func toTimeval(ns uint64) timeval   { return timeval{int64(ns / second), int64(ns % second / 1000)} }

// after is the deadline that lies d in the future.
func after(d timespec) uint64 { return metal.Now() + d.ns() }

// realtime is CLOCK_REALTIME. It takes long to find it out the first time.
func realtime() uint64 {
	w := metal.WallBase()
	return w + metal.Now()
}

// FileTime is the time for files' time stamps.
func FileTime() fs.Time {
	now := realtime()
	return fs.Time{Sec: int64(now / second), Nsec: uint32(now % second)}
}

// wallDeadline is the deadline at which CLOCK_REALTIME shows wall, as it goes now:
// 1 if that was before the machine started.
func wallDeadline(wall uint64) uint64 { return max(wall, metal.WallBase()+1) - metal.WallBase() }

// Clocks (clock_gettime(2)).
const (
	clockRealtime       = 0
	clockMonotonic      = 1
	clockProcessCPU     = 2
	clockThreadCPU      = 3
	clockMonotonicRaw   = 4
	clockRealtimeCoarse = 5
	clockMonoCoarse     = 6
	clockBoottime       = 7
	clockTAI            = 11 // 8 and 9 wake a machine by its RTC: EINVAL without one that can

	coarseTick = 4_000_000 // resolution of the coarse clocks, as with HZ=250
)

// readClock returns the time of a clock in ns.
func (t *Thread) readClock(id int32) (uint64, Errno) {
	switch id {
	case clockRealtime, clockRealtimeCoarse, clockTAI:
		return realtime(), 0
	case clockMonotonic, clockMonotonicRaw, clockMonoCoarse, clockBoottime:
		return metal.Now(), 0
	}
	c, err := t.cpuClock(id)
	if err != 0 {
		return 0, err
	}
	return c.read(), 0
}

// cpuClock is the CPU time of a thread or of a process.
type cpuClock struct {
	thread *Thread // or
	proc   *Process
	user   bool // only what it spent in ring 3
}

func (c cpuClock) read() (ns uint64) {
	switch {
	case c.user && c.thread != nil:
		ns, _ = c.thread.times()
	case c.user:
		ns, _ = c.proc.times()
	case c.thread != nil:
		ns = c.thread.ran()
	default:
		ns = c.proc.ran()
	}
	return ns
}

// cpuClock returns the CPU clock with a given id, which for others than the
// caller's own has the complement of a pid or tid above three bits that say what to
// measure (include/linux/posix-timers.h).
func (t *Thread) cpuClock(id int32) (cpuClock, Errno) {
	const perThread, kind, virtual, scheduled = 4, 3, 1, 2
	switch {
	case id == clockProcessCPU:
		return cpuClock{proc: t.proc}, 0
	case id == clockThreadCPU:
		return cpuClock{thread: t}, 0
	case id >= 0 || id&kind > scheduled:
		return cpuClock{}, EINVAL
	}
	of := int(^id >> 3)
	if id&perThread != 0 {
		c := cpuClock{thread: t, user: id&kind == virtual}
		if of != 0 {
			c.thread = t.proc.thread(of)
		}
		if c.thread == nil {
			return c, EINVAL
		}
		return c, 0
	}
	c := cpuClock{proc: t.proc, user: id&kind == virtual}
	if of != 0 {
		c.proc = t.proc.kernel.process(of)
	}
	if c.proc == nil {
		return c, EINVAL
	}
	return c, 0
}

// ran is the CPU time that p's threads have used, dead ones too.
func (p *Process) ran() uint64 {
	n := p.deadTime.Load()
	p.eachThread(func(t *Thread) bool {
		n += t.ran()
		return true
	})
	return n
}

// switches is how often they gave up their CPU: to wait, and otherwise.
func (p *Process) switches() (waits, yields uint64) {
	waits, yields = p.deadWaits.Load(), p.deadYields.Load()
	p.eachThread(func(t *Thread) bool {
		waits += t.waits.Load()
		yields += t.yields.Load()
		return true
	})
	return waits, yields
}

func sysClockGettime(t *Thread, a *Args) (uintptr, Errno) {
	n, err := t.readClock(int32(a.Arg1()))
	if err != 0 {
		return 0, err
	}
	ts := toTimespec(n)
	return 0, copyOut(t, a.Arg2(), &ts)
}

func sysClockGetres(t *Thread, a *Args) (uintptr, Errno) {
	ts := timespec{nsec: 1}
	switch id := int32(a.Arg1()); id {
	case clockRealtimeCoarse, clockMonoCoarse:
		ts.nsec = coarseTick
	default:
		if _, err := t.readClock(id); err != 0 {
			return 0, err
		}
	}
	if a.Arg2() == 0 {
		return 0, 0
	}
	return 0, copyOut(t, a.Arg2(), &ts)
}

func sysClockSettime(t *Thread, a *Args) (uintptr, Errno) {
	if int32(a.Arg1()) != clockRealtime {
		return 0, EINVAL
	}
	var ts timespec
	if err := copyIn(t, &ts, a.Arg2()); err != 0 {
		return 0, err
	}
	if !ts.valid() {
		return 0, EINVAL
	}
	return 0, t.setWall(ts.ns())
}

// setWall makes CLOCK_REALTIME show now.
func (t *Thread) setWall(now uint64) Errno {
	if !t.can(capSysTime) {
		return EPERM
	}
	mono := metal.Now()
	if now <= mono { // it would have been before 1970 when the machine started
		return EINVAL
	}
	setWallBase(now - mono)
	timers.set.Wake()
	return 0
}

func sysGettimeofday(t *Thread, a *Args) (uintptr, Errno) {
	if p := a.Arg1(); p != 0 {
		tv := toTimeval(realtime())
		if err := copyOut(t, p, &tv); err != 0 {
			return 0, err
		}
	}
	if p := a.Arg2(); p != 0 {
		var zone [2]int32
		return 0, copyOut(t, p, &zone)
	}
	return 0, 0
}

func sysSettimeofday(t *Thread, a *Args) (uintptr, Errno) {
	if a.Arg1() == 0 {
		return 0, 0 // a time zone is nothing to us
	}
	var tv timeval
	if err := copyIn(t, &tv, a.Arg1()); err != 0 {
		return 0, err
	}
	if !tv.valid() {
		return 0, EINVAL
	}
	return 0, t.setWall(tv.ns())
}

func sysTime(t *Thread, a *Args) (uintptr, Errno) {
	now := uintptr(realtime() / second)
	if p := a.Arg1(); p != 0 {
		if err := copyOut(t, p, &now); err != 0 {
			return 0, err
		}
	}
	return now, 0
}

// sleep blocks t until the deadline. rest, if it is not 0, is where the time that
// is left goes when a signal handler interrupts it.
func (t *Thread) sleep(deadline uint64, rest uintptr) Errno {
	err := t.pause(deadline)
	for err == 0 {
		err = t.pause(deadline)
	}
	if err == ETIMEDOUT {
		return 0
	}
	if rest != 0 {
		left := timespec{}
		if now := metal.Now(); now < deadline {
			left = toTimespec(deadline - now)
		}
		if err := copyOut(t, rest, &left); err != 0 {
			return err
		}
	}
	return t.restartAs(func() (uintptr, Errno) { return 0, t.sleep(deadline, rest) })
}

func sysNanosleep(t *Thread, a *Args) (uintptr, Errno) {
	var ts timespec
	if err := copyIn(t, &ts, a.Arg1()); err != 0 {
		return 0, err
	}
	if !ts.valid() {
		return 0, EINVAL
	}
	return 0, t.sleep(after(ts), a.Arg2())
}

func sysClockNanosleep(t *Thread, a *Args) (uintptr, Errno) {
	const absolute = 1
	id := int32(a.Arg1())
	switch id {
	case clockThreadCPU, clockMonotonicRaw, clockRealtimeCoarse, clockMonoCoarse:
		return 0, EOPNOTSUPP
	}
	if id >= 0 { // one of CPU time is looked for last
		if _, err := t.readClock(id); err != 0 {
			return 0, err
		}
	}
	var ts timespec
	if err := copyIn(t, &ts, a.Arg3()); err != 0 {
		return 0, err
	}
	if !ts.valid() {
		return 0, EINVAL
	}
	now, err := t.readClock(id)
	if err != 0 {
		return 0, err
	}
	switch id {
	case clockRealtime, clockMonotonic, clockBoottime, clockTAI:
	default:
		return 0, t.sleepCPU(id, now, ts, a.Arg2()&absolute != 0)
	}
	if a.Arg2()&absolute == 0 {
		return 0, t.sleep(after(ts), a.Arg4())
	}
	if id == clockRealtime || id == clockTAI {
		err = t.sleepToTime(ts.ns())
	} else {
		err = t.sleep(ts.ns(), 0)
	}
	if err != 0 {
		err = eRestartNoHand
	}
	return 0, err
}

// sleepToTime blocks t until CLOCK_REALTIME shows wall, though that may be set
// meanwhile.
func (t *Thread) sleepToTime(wall uint64) Errno {
	for realtime() < wall {
		if t.interrupted() {
			return eRestartSys
		}
		t.sleeper.armAt(wall)
		t.park()
		t.sleeper.disarm()
	}
	return 0
}

// sleepCPU sleeps until a CPU clock, which shows now, has advanced by ts or to it.
func (t *Thread) sleepCPU(id int32, now uint64, ts timespec, absolute bool) Errno {
	target := ts.ns()
	if !absolute {
		target += now
	}
	for {
		now, err := t.readClock(id)
		switch {
		case err != 0:
			return err
		case now >= target:
			return 0
		}
		if err := t.pause(metal.Now() + target - now); err != 0 && err != ETIMEDOUT {
			return t.restartAs(func() (uintptr, Errno) { return 0, t.sleepCPU(id, 0, toTimespec(target), true) })
		}
	}
}

// tms is struct tms, in clock ticks of 1/100 s (times(2)).
type tms struct {
	user, system int64
	_            [2]int64 // the children's
}

const clockTick = second / 100

func sysTimes(t *Thread, a *Args) (uintptr, Errno) {
	if p := a.Arg1(); p != 0 {
		user, system := t.proc.times()
		v := tms{user: int64(user / clockTick), system: int64(system / clockTick)}
		if err := copyOut(t, p, &v); err != 0 {
			return 0, err
		}
	}
	return uintptr(metal.Now() / clockTick), 0
}

// rusage is struct rusage (getrusage(2)).
type rusage struct {
	user, system                  timeval
	maxRSS                        int64 // KiB
	_                             [3]int64
	minorFaults                   int64
	_                             [7]int64
	voluntarySwitches, preemption int64
}

const _ = 144 - unsafe.Sizeof(rusage{}) // and so not larger than Linux's

func sysGetrusage(t *Thread, a *Args) (uintptr, Errno) {
	const self, children, thread = 0, -1, 1
	var u rusage
	var user, system, waits, yields uint64
	switch int32(a.Arg1()) {
	case self:
		user, system = t.proc.times()
		waits, yields = t.proc.switches()
	case thread:
		user, system = t.times()
		waits, yields = t.waits.Load(), t.yields.Load()
	case children:
		return 0, copyOut(t, a.Arg2(), &u)
	default:
		return 0, EINVAL
	}
	u.user, u.system = toTimeval(user), toTimeval(system)
	u.voluntarySwitches, u.preemption = int64(waits), int64(yields)
	memory := t.space.Stats()
	u.maxRSS = int64(memory.Peak * pageSize >> 10)
	u.minorFaults = int64(memory.Faults)
	return 0, copyOut(t, a.Arg2(), &u)
}
