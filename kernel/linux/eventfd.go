package linux

import (
	"sync"

	"gosv/kernel/metal"
)

// eventFD is eventfd(2): a counter.
type eventFD struct {
	noObject
	semaphore bool

	mu    sync.Mutex
	count uint64
	queue Queue
}

const maxEvents = 1<<64 - 2

func sysEventfd(t *Thread, a *Args) (uintptr, Errno) { return t.eventfd(a.Arg1(), 0) }
func sysEventfd2(t *Thread, a *Args) (uintptr, Errno) {
	return t.eventfd(a.Arg1(), a.Arg2())
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
func (t *Thread) block(f *File, q *Queue, ready func() bool) Errno {
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
	var b [8]byte
	putUint64(b[:], v)
	return u.Put(b[:]), 0
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

func (e *eventFD) write(t *Thread, f *File, u *userIO) (int, Errno) {
	var b [8]byte
	if u.left < len(b) {
		return 0, EINVAL
	}
	if u.Get(b[:]) < len(b) {
		return 0, EFAULT
	}
	v := getUint64(b[:])
	if v == 1<<64-1 {
		return 0, EINVAL
	}
	err := t.block(f, &e.queue, func() bool { return e.add(v) })
	if err != 0 {
		return 0, err
	}
	e.queue.Wake()
	return len(b), 0
}

func (e *eventFD) poll(*File) (ready uint32, q *Queue) {
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

func (e *eventFD) name() string { return "anon_inode:[eventfd]" }

// timerFD is timerfd_create(2).
type timerFD struct {
	noObject
	realtime bool

	mu       sync.Mutex
	timer    timer
	interval uint64 // ns, 0: once
	expired  uint64
	queue    Queue
}

func sysTimerfdCreate(t *Thread, a *Args) (uintptr, Errno) {
	const realtime, monotonic, boottime = 0, 1, 7
	clock, flags := a.Arg1(), a.Arg2()
	if flags&^(oNonblock|oCloexec) != 0 || clock != realtime && clock != monotonic && clock != boottime {
		return 0, EINVAL
	}
	d := &timerFD{realtime: clock == realtime}
	d.timer.fire = d.fire
	d.realtime = clock == realtime
	return t.install(newFile(d, oRdwr|uint32(flags)&oNonblock), 0, flags&oCloexec != 0)
}

func (d *timerFD) fire(now uint64) {
	d.mu.Lock()
	d.expired++
	if d.interval != 0 {
		next := d.timer.when + d.interval
		if next <= now {
			missed := (now-next)/d.interval + 1
			d.expired += missed
			next += missed * d.interval
		}
		d.timer.arm(next)
	}
	d.mu.Unlock()
	d.queue.Wake()
}

// setting is struct itimerspec now.
func (d *timerFD) setting() (s [2]timespec) {
	d.mu.Lock()
	defer d.mu.Unlock()
	ts := func(ns uint64) timespec { return timespec{int64(ns / 1e9), int64(ns % 1e9)} }
	s[0] = ts(d.interval)
	if d.timer.index != 0 {
		s[1] = ts(max(d.timer.when-min(d.timer.when, metal.Now()), 1))
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
	if a.Arg2()&^(absolute|cancelOnSet) != 0 {
		return 0, EINVAL
	}
	var s [2]timespec
	if err := copyIn(t, &s, a.Arg3()); err != 0 {
		return 0, err
	}
	for _, v := range s {
		if v.sec < 0 || v.nsec < 0 || v.nsec >= 1e9 {
			return 0, EINVAL
		}
	}
	f, d, err := t.timerFD(a.Arg1())
	if err != 0 {
		return 0, err
	}
	defer f.Release()
	old := d.setting()
	ns := func(v timespec) uint64 { return uint64(min(v.sec, 1<<33))*1e9 + uint64(v.nsec) }
	when := ns(s[1])
	d.mu.Lock()
	d.timer.disarm()
	d.expired, d.interval = 0, ns(s[0])
	if when != 0 {
		switch {
		case a.Arg2()&absolute == 0:
			when += metal.Now()
		case d.realtime:
			when -= min(when, metal.WallBase())
		}
		d.timer.arm(when)
	}
	d.mu.Unlock()
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
	err := t.block(f, &d.queue, func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		v, d.expired = d.expired, 0
		return v != 0
	})
	if err != 0 {
		return 0, err
	}
	var b [8]byte
	putUint64(b[:], v)
	return u.Put(b[:]), 0
}

func (d *timerFD) poll(*File) (ready uint32, q *Queue) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.expired > 0 {
		ready = pollIn
	}
	return ready, &d.queue
}

func (d *timerFD) name() string { return "anon_inode:[timerfd]" }

func (d *timerFD) close(*File) { d.timer.disarm() }
