package metal

import (
	"sync/atomic"
	"unsafe"
)

// Linux error and system call numbers that the Go runtime uses, and what its
// calls mean here. Everything else is ENOSYS.
const (
	eperm, enoent, esrch, eintr, ebadf = 1, 2, 3, 4, 9
	eagain, enomem, enodev, einval     = 11, 12, 19, 22
	emfile, enosys, etimedout          = 24, 38, 110

	linuxRead, linuxWrite, linuxClose, linuxMmap      = 0, 1, 3, 9
	linuxMunmap, linuxSigaction, linuxSigprocmask     = 11, 13, 14
	linuxSigreturn, linuxAccess, linuxSchedYield      = 15, 21, 24
	linuxMadvise, linuxNanosleep, linuxGetpid         = 28, 35, 39
	linuxClone, linuxExit, linuxFcntl                 = 56, 60, 72
	linuxSigaltstack, linuxPrctl, linuxArchPrctl      = 131, 157, 158
	linuxGettid, linuxTkill, linuxFutex               = 186, 200, 202
	linuxGetaffinity, linuxClockGettime               = 204, 228
	linuxExitGroup, linuxEpollCtl, linuxTgkill        = 231, 233, 234
	linuxOpenat, linuxEpollPwait, linuxEventfd2       = 257, 281, 290
	linuxEpollCreate1, linuxPrlimit64, linuxGetrandom = 291, 302, 318
)

func errno(n uintptr) uintptr { return -n }

var syscallFn = syscall

// syscall answers a system call of thread t, which runs on c.
func syscall(c *CPU, t *thread) {
	if t.AX >= sysFrames {
		progress(c)
	}
	switch t.AX { // what needs no lock
	case sysFlush:
		flush(c, t.DI, t.SI)
		t.AX = 0
		return
	case sysRoot:
		atomic.StoreUintptr(&root, t.DI)
		flush(c, 0, 1<<47)
		t.AX = 0
		return
	case sysExit:
		powerOff(c, int(t.DI))
	case sysFail:
		fail(c, t.DI)
	case linuxExitGroup: // the runtime gave up: it has said why
		fatalRuntime(c)
	case linuxNanosleep:
		if d := timespec(t.DI); d <= shortNap {
			spinFor(c, d)
			t.AX = 0
			return
		}
	case linuxWrite:
		if t.DI == 1 || t.DI == 2 {
			kernelMessage(unsafe.String((*byte)(unsafe.Pointer(t.SI)), t.DX))
			t.AX = t.DX
			return
		}
	}
	lock(c)
	lockedSyscall(c, t)
	deliverPending(c)
	unlock(c)
}

// shortNap is what is not worth a timer, in ns: the runtime sleeps for 3 us when it finds
// work that another thread is about to do itself.
const shortNap = 5_000

func spinFor(c *CPU, ns uint64) {
	for end := now() + ns; now() < end; {
		catchUp(c)
		pause()
	}
}

func lockedSyscall(c *CPU, t *thread) {
	switch t.AX {
	case sysFrames:
		t.AX = takeFrames(t.DI, t.SI)
	case sysFreeFrames:
		for i := uintptr(0); i < t.SI; i++ {
			freeFrame(ld(t.DI + i*8))
		}
		framesGiven -= t.SI
		framesBack += t.SI
		t.AX = 0
	case sysReturned:
		t.AX = takeReturned(t.DI, t.SI)
	case sysReturnedHuge:
		t.AX = takeReturnedHuge()
	case sysHide:
		hide(t.DI)
		t.AX = 0
	case sysRun:
		t.AX = takeRun(t.DI)
	case sysHuge:
		t.AX = takeHuge()
	case sysFreeHuge:
		giveHuge(t.DI)
	case sysDeadline:
		userDeadline, userDeadlineAt = uint64(t.DI), c
		setWant(c)
	case sysIRQFD:
		t.AX = newEvent(eventIRQ)
	case sysOpenIRQs:
		openGates()
	case sysMapDevice:
		t.AX = mapDevice(t.DI, t.SI)
	case sysKick:
		kickOthers(c)
	case sysMove:
		t.AX = move(c, t, cpus[t.DI])
	case sysWake:
		wakeForWork(c, t)
	case sysProfile:
		t.AX = startProfile(c, uint64(t.DI), t.SI, t.DX)
	case sysTurns:
		startTurn(c)
		setWant(c)

	case linuxFutex:
		futex(c, t)
	case linuxNanosleep:
		t.AX = 0
		d := timespec(t.DI)
		if t.tid == sysmon {
			monitorSleep(c, t, d)
		} else {
			block(c, t, inSleep, now()+d, 0)
		}
	case linuxSchedYield:
		t.AX = 0
		if runHead != nil {
			ready(c, t)
			schedule(c)
		}
	case linuxClone:
		clone(c, t)
	case linuxExit:
		t.state = free
		schedule(c)
	case linuxArchPrctl:
		const setFS = 0x1002
		if t.DI == setFS {
			t.FS = t.SI
			t.AX = 0
			return
		}
		t.AX = errno(einval)
	case linuxGetpid:
		t.AX = 1
	case linuxGettid:
		t.AX = t.tid
	case linuxGetaffinity:
		st(t.DX, 1<<ncpu-1)
		t.AX = 8
	case linuxClockGettime: // before the runtime has found vdsoClock
		n := now()
		st(t.SI, uintptr(n/1e9))
		st(t.SI+8, uintptr(n%1e9))
		t.AX = 0

	case linuxMmap:
		showFuncs() // the first call of the runtime that sets up its heap, right after the check
		t.AX = mmap(t.DI, t.SI, t.R10)
	case linuxMunmap:
		unmapHeap(c, t.DI, (t.SI+4095)&^4095)
		t.AX = 0
	case linuxMadvise:
		const dontNeed = 4
		if t.DX == dontNeed {
			unmapHeap(c, t.DI, (t.SI+4095)&^4095)
		}
		t.AX = 0

	case linuxSigaction: // with a signal number that kernelsyscall refused
		t.AX = errno(einval)
	case linuxSigprocmask:
		t.AX = sigprocmask(t)
	case linuxSigaltstack:
		t.AX = sigaltstack(t)
	case linuxSigreturn:
		sigreturn(t)
	case linuxTkill:
		t.AX = kill(c, t.DI, t.SI)
	case linuxTgkill:
		t.AX = kill(c, t.SI, t.DX)

	case linuxEventfd2:
		t.AX = newEvent(eventFD)
	case linuxEpollCreate1:
		t.AX = newEvent(eventEpoll)
	case linuxEpollCtl:
		t.AX = epollCtl(t.SI, t.DX, t.R10)
	case linuxEpollPwait:
		epollPwait(c, t)
	case linuxRead, linuxWrite:
		t.AX = readWrite(c, t)
	case linuxClose:
		if e := eventAt(t.DI); e != nil {
			e.kind, e.registered = eventFree, false
		}
		t.AX = 0
	case linuxFcntl:
		const getFL, readWriteMode = 3, 2
		t.AX = 0
		if t.DI > 2 {
			t.AX = errno(ebadf)
		} else if t.SI == getFL {
			t.AX = readWriteMode
		}
	case linuxOpenat, linuxAccess:
		t.AX = errno(enoent)
	case linuxGetrandom:
		t.AX = getrandom(t.DI, t.SI)
	case linuxPrctl: // EINVAL keeps the runtime from naming its mappings
		t.AX = errno(einval)
	case linuxPrlimit64:
		t.AX = errno(eperm)
	default:
		t.AX = errno(enosys)
	}
}

// futex knows the private WAIT and WAKE that the runtime uses.
func futex(c *CPU, t *thread) {
	const wait, wakeUp, private = 0, 1, 128
	switch t.SI &^ private {
	case wait:
		if ld32(t.DI) != uint32(t.DX) {
			t.AX = errno(eagain)
			return
		}
		until := uint64(0)
		if t.R10 != 0 {
			until = now() + timespec(t.R10)
		}
		t.AX = 0
		t.waitAddr = t.DI
		block(c, t, inFutex, until, 0)
	case wakeUp:
		n := uintptr(0)
		for i := uintptr(0); i < nthreads && n < t.DX; i++ {
			if w := threadAt(i); w.state == inFutex && w.waitAddr == t.DI {
				w.AX = 0
				readyLater(w)
				n++
			}
		}
		t.AX = n
		if n > 0 {
			setWant(c)
		}
	default:
		t.AX = errno(enosys)
	}
}

// timespec reads a struct timespec in ns.
func timespec(p uintptr) uint64 { return uint64(ld(p))*1e9 + uint64(ld(p+8)) }

// sysmon is the runtime's monitor: its first thread but one.
const sysmon = 2

// monitorSleep is nanosleep of the runtime's monitor, for d ns. It starts with
// sleeps of 20 us, made for many threads in blocking system calls, of which
// there are none here. Its preemption works in steps of 10 ms, but threads of the
// application take turns without it: a tick of that length with a lot of slack.
func monitorSleep(c *CPU, t *thread, d uint64) {
	const tick, slack = 10_000_000, 90_000_000
	block(c, t, inSleep, now()+max(d, tick), slack)
}

// clone starts a thread: the runtime always asks for CLONE_VM and CLONE_THREAD.
func clone(c *CPU, t *thread) {
	const setTLS = 0x80000
	n := newThread()
	if n == nil {
		t.AX = errno(eagain)
		return
	}
	n.BX, n.DX, n.SI, n.DI, n.BP = t.BX, t.DX, t.SI, t.DI, t.BP
	n.R8, n.R9, n.R10, n.R12, n.R13, n.R14, n.R15 = t.R8, t.R9, t.R10, t.R12, t.R13, t.R14, t.R15
	n.SP, n.IP, n.FS, n.mask = t.SI, t.IP, t.FS, t.mask
	if t.DI&setTLS != 0 {
		n.FS = t.R8
	}
	t.AX = n.tid
	readyLater(n)
	setWant(c)
}

func epollPwait(c *CPU, t *thread) {
	ms := int32(t.R10)
	if t.AX = epollReady(t.SI); t.AX != 0 || ms == 0 {
		return
	}
	// The runtime names a timer, with a timeout in ms, if it has found one; not all threads look for
	// those of all Ps. Who goes idle and knows of an earlier one breaks this off. So it
	// waits for the earliest, and says so.
	const never = 1 << 62
	until := nextTimer()
	if named := uint64(ld(sched + schedPollUntil)); ms > 0 && named < until {
		until = named
	}
	st(sched+schedPollUntil, uintptr(until))
	if until >= never { // package linux has such a one
		until = 0
	}
	t.events = t.SI
	block(c, t, inEpoll, until, timerSlack)
}

func readWrite(c *CPU, t *thread) uintptr {
	e := eventAt(t.DI)
	switch {
	case e == nil || e.kind == eventEpoll:
		return errno(ebadf)
	case t.AX == linuxRead:
		return readEvent(e, t.SI)
	}
	signalEvent(c, e, uint64(ld(t.SI)))
	return 8
}

// getrandom seeds the runtime's hash and its own generator.
func getrandom(p, n uintptr) uintptr {
	x := rdtsc()*0x9E3779B97F4A7C15 | 1
	for i := uintptr(0); i < n; i++ {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		*(*uint8)(unsafe.Pointer(p + i)) = uint8(x >> 24)
	}
	return n
}
