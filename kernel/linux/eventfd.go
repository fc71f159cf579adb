package linux

import (
	"strconv"
	"sync"

	"gosv/kernel/metal"
	"gosv/kernel/wait"
)

// eventFD is eventfd(2): a counter.
type eventFD struct {
	noObject
	semaphore bool

	mu    sync.Mutex
	count uint64
	queue wait.Queue
}

const maxEvents = 1<<64 - 2

func sysEventfd(t *Thread, a *Args) (uintptr, Errno) { return t.eventfd(a.Arg1(), 0) }
func sysEventfd2(t *Thread, a *Args) (uintptr, Errno) {
	return t.eventfd(a.Arg1(), a.Int2())
}

func (t *Thread) eventfd(count, flags uintptr) (uintptr, Errno) {
	const semaphore = 1
	if flags&^(semaphore|oNonblock|oCloexec) != 0 {
		return 0, EINVAL
	}
	e := &eventFD{count: uint64(uint32(count)), semaphore: flags&semaphore != 0}
	return t.install(newFile(e, oRdwr|uint32(flags)&oNonblock), 0, flags&oCloexec != 0)
}

// block waits in q until ready, unless f is not to wait.
func (t *Thread) block(f *File, q *wait.Queue, ready func() bool) Errno {
	if ready() {
		return 0
	}
	if f.nonblock() {
		return EAGAIN
	}
	return t.Wait(q, never, ready)
}

func (e *eventFD) read(t *Thread, f *File, u *userIO) (int, Errno) {
	if u.left < 8 {
		return 0, EINVAL
	}
	var v uint64
	err := t.block(f, &e.queue, func() bool { v = e.take(); return v != 0 })
	if err != 0 {
		return 0, err
	}
	e.queue.Wake()
	return u.putCounter(v)
}

// putCounter is what reads of eventfds and timerfds end with: a part of the number is
// nothing.
func (u *userIO) putCounter(v uint64) (int, Errno) {
	var b [8]byte
	putUint64(b[:], v)
	if u.Put(b[:]) < len(b) {
		return 0, EFAULT
	}
	return len(b), 0
}

// take returns what a read gets: 0 for nothing yet.
func (e *eventFD) take() uint64 {
	e.mu.Lock()
	v := e.count
	if e.semaphore {
		v = min(v, 1)
	}
	e.count -= v
	e.mu.Unlock()
	return v
}

// add adds v, unless that would be too much.
func (e *eventFD) add(v uint64) bool {
	e.mu.Lock()
	ok := v <= maxEvents-e.count
	if ok {
		e.count += v
	}
	e.mu.Unlock()
	return ok
}

// write: Linux has writev write each buffer by itself, and stop at one that is not
// written whole.
func (e *eventFD) write(t *Thread, f *File, u *userIO) (done int, err Errno) {
	for {
		n := u.first()
		if n < 8 {
			err = EINVAL
		} else {
			err = e.writeOne(t, f, u)
		}
		switch {
		case err != 0 && done > 0:
			return done, 0
		case err != 0:
			return 0, err
		}
		if done += 8; n > 8 || u.left == 0 {
			return done, 0
		}
		u.part() // those of no bytes are left out, but not the first
	}
}

func (e *eventFD) writeOne(t *Thread, f *File, u *userIO) Errno {
	var b [8]byte
	if u.Get(b[:]) < len(b) {
		return EFAULT
	}
	v := getUint64(b[:])
	if v == 1<<64-1 {
		return EINVAL
	}
	err := t.block(f, &e.queue, func() bool { return e.add(v) })
	if err == 0 {
		e.queue.Wake()
	}
	return err
}

func (e *eventFD) poll(*File) (ready uint32, q *wait.Queue) {
	e.mu.Lock()
	n := e.count
	e.mu.Unlock()
	if n > 0 {
		ready = pollIn
	}
	if n < maxEvents {
		ready |= pollOut
	}
	return ready, &e.queue
}

// info implements fileInfo.
func (e *eventFD) info(x *text) {
	e.mu.Lock()
	n := e.count
	e.mu.Unlock()
	x.str("eventfd-count: ")
	x.right(strconv.FormatUint(n, 16), 16)
	x.str("\n")
}

func (e *eventFD) name() string { return "anon_inode:[eventfd]" }

// timerFD is timerfd_create(2).
type timerFD struct {
	noObject
	realtime bool
	clock    uintptr

	mu       sync.Mutex
	flags    uintptr // of timerfd_settime
	timer    timer
	wall     bool   // next is a time of CLOCK_REALTIME
	next     uint64 // when it expires, if timer is armed
	interval uint64 // ns, 0: once
	expired  uint64
	queue    wait.Queue

	// TFD_TIMER_CANCEL_ON_SET.
	watcher  wait.Waiter // in timers.set
	canceled bool        // the clock was set
}

func sysTimerfdCreate(t *Thread, a *Args) (uintptr, Errno) {
	clock, flags := a.Int1(), a.Int2()
	if flags&^(oNonblock|oCloexec) != 0 || clock != clockRealtime && clock != clockMonotonic && clock != clockBoottime {
		return 0, EINVAL
	}
	d := &timerFD{realtime: clock == clockRealtime, clock: clock}
	d.timer.fire = d.fire
	d.watcher.Notify = d.clockSet
	return t.install(newFile(d, oRdwr|uint32(flags)&oNonblock), 0, flags&oCloexec != 0)
}

func (d *timerFD) now() uint64 {
	if d.wall {
		return realtime()
	}
	return metal.Now()
}

func (d *timerFD) arm() {
	if d.wall {
		d.timer.armAt(d.next)
	} else {
		d.timer.arm(d.next)
	}
}

func (d *timerFD) fire(uint64) {
	d.mu.Lock()
	d.expired++
	if d.interval != 0 {
		d.next += d.interval
		if now := d.now(); d.next <= now {
			missed := (now-d.next)/d.interval + 1
			d.expired += missed
			d.next += missed * d.interval
		}
		d.arm()
	}
	d.mu.Unlock()
	d.queue.Wake()
}

// clockSet is called when CLOCK_REALTIME has been set.
func (d *timerFD) clockSet(_ *wait.Waiter, _ uint32) bool {
	d.mu.Lock()
	d.canceled = true
	d.mu.Unlock()
	d.queue.Wake()
	return true
}

// setting is struct itimerspec now.
func (d *timerFD) setting() (s [2]timespec) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s[0] = toTimespec(d.interval)
	if d.timer.index != 0 {
		s[1] = toTimespec(max(d.next-min(d.next, d.now()), 1))
	}
	return s
}

func (t *Thread) timerFD(fd uintptr) (*File, *timerFD, Errno) {
	f, err := t.ioFile(fd)
	if err != 0 {
		return nil, nil, err
	}
	d, ok := f.io.(*timerFD)
	if !ok {
		f.Release()
		return nil, nil, EINVAL
	}
	return f, d, 0
}

func sysTimerfdSettime(t *Thread, a *Args) (uintptr, Errno) {
	const absolute, cancelOnSet = 1, 2
	var s [2]timespec
	if err := copyIn(t, &s, a.Arg3()); err != 0 {
		return 0, err
	}
	if a.Int2()&^(absolute|cancelOnSet) != 0 {
		return 0, EINVAL
	}
	for _, v := range s {
		if !v.valid() {
			return 0, EINVAL
		}
	}
	f, d, err := t.timerFD(a.Arg1())
	if err != 0 {
		return 0, err
	}
	defer f.Release()
	f.mu.Lock() // one at a time
	defer f.mu.Unlock()
	old := d.setting()
	timers.set.Remove(&d.watcher)
	d.mu.Lock()
	d.timer.disarm()
	d.expired, d.interval, d.canceled, d.flags = 0, s[0].ns(), false, a.Int2()
	d.wall = d.realtime && a.Int2()&absolute != 0
	if d.next = s[1].ns(); d.next != 0 {
		if a.Int2()&absolute == 0 {
			d.next += metal.Now()
		}
		d.arm()
	}
	d.mu.Unlock()
	if d.wall && a.Int2()&cancelOnSet != 0 {
		timers.set.Add(&d.watcher)
	}
	if p := a.Arg4(); p != 0 {
		return 0, copyOut(t, p, &old)
	}
	return 0, 0
}

func sysTimerfdGettime(t *Thread, a *Args) (uintptr, Errno) {
	f, d, err := t.timerFD(a.Arg1())
	if err != 0 {
		return 0, err
	}
	defer f.Release()
	s := d.setting()
	return 0, copyOut(t, a.Arg2(), &s)
}

func (d *timerFD) read(t *Thread, f *File, u *userIO) (int, Errno) {
	if u.left < 8 {
		return 0, EINVAL
	}
	var v uint64
	canceled := false
	err := t.block(f, &d.queue, func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		v, d.expired = d.expired, 0
		canceled, d.canceled = d.canceled, false
		return v != 0 || canceled
	})
	switch {
	case err != 0:
		return 0, err
	case canceled:
		return 0, ECANCELED
	}
	return u.putCounter(v)
}

func (d *timerFD) poll(*File) (ready uint32, q *wait.Queue) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.expired > 0 || d.canceled {
		ready = pollIn
	}
	return ready, &d.queue
}

// info implements fileInfo.
func (d *timerFD) info(x *text) {
	s := d.setting()
	d.mu.Lock()
	defer d.mu.Unlock()
	x.str("clockid: ")
	x.num(uint64(d.clock))
	x.str("\nticks: ")
	x.num(d.expired)
	x.str("\nsettime flags: 0", strconv.FormatUint(uint64(d.flags), 8))
	for i, name := range [...]string{"\nit_value: (", "\nit_interval: ("} {
		ts := s[1-i]
		x.str(name)
		x.num(uint64(ts.sec))
		x.str(", ")
		x.num(uint64(ts.nsec))
		x.str(")")
	}
	x.str("\n")
}

func (d *timerFD) name() string { return "anon_inode:[timerfd]" }

func (d *timerFD) close(*File) {
	d.timer.disarm()
	timers.set.Remove(&d.watcher)
}
