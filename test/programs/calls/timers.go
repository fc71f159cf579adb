package main

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// blockQueued blocks the signals that are sent, for good: Linux would not know what to do
// with them but end the program.
func (g *world) blockQueued() {
	set := uint64(queued)
	unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_BLOCK, uintptr(unsafe.Pointer(&set)), 0, 8, 0, 0)
}

// posixTimer is a timer that was made. Its numbers are not the same everywhere.
type posixTimer struct {
	id    int32
	fires bool // it may go off: its signal is blocked, or there is none
	ofCPU bool // its clock is one of CPU time
	tells bool // it sends nothing, but can be asked
}

const sigevNone, sigevThreadID = 1, 4

// sigevent is a struct sigevent. It decides whether the timer may fire.
func sigevent(g *world) (uintptr, string, after) {
	g.fires, g.tells = false, false
	if g.n(8) == 0 {
		return 0, "NULL", nil
	}
	return given(func(g *world, v *[64]byte) string {
		signo := pick(g.source, 34, 35, 40, 41, 34, 35, 40, 41, 0, 65, -1)
		notify := pick(g.source, sigevThreadID, sigevThreadID, sigevThreadID, sigevThreadID, sigevNone, sigevNone, 0, 2, 3, 6, 8)
		tid, who := unix.Gettid(), "self"
		if g.oneIn(8) {
			tid, who = pick(g.source, 0, 1<<22+1, -1), "nobody"
		}
		v[0] = byte(g.n(5))
		binary.LittleEndian.PutUint32(v[8:], uint32(signo))
		binary.LittleEndian.PutUint32(v[12:], uint32(notify))
		binary.LittleEndian.PutUint32(v[16:], uint32(tid))
		g.tells = notify == sigevNone
		g.fires = (notify == sigevNone || notify == sigevThreadID) && !g.ofCPU
		return fmt.Sprintf("{%d %d %d %s}", v[0], signo, notify, who)
	})(g)
}

// newTimer is where a timer's number comes.
func newTimer(g *world) (uintptr, string, after) {
	if g.oneIn(20) {
		at, text := g.wild()
		return at, text, nil
	}
	b := g.buffer(4)
	return addr(b), "out", func(uintptr) string {
		g.timers = append(g.timers, posixTimer{int32(binary.LittleEndian.Uint32(b)), g.fires, g.ofCPU, g.tells})
		return fmt.Sprint(" timer ", len(g.timers))
	}
}

// someTimer is a timer.
func someTimer(g *world) (uintptr, string, after) {
	g.fires, g.ofCPU, g.tells = false, false, false
	if len(g.timers) == 0 || g.oneIn(16) {
		v := pick(g.source, -1, 1<<30)
		return uintptr(v), fmt.Sprint(v), nil
	}
	i := max(0, len(g.timers)-4)
	i += g.n(len(g.timers) - i)
	g.fires, g.ofCPU, g.tells = g.timers[i].fires, g.timers[i].ofCPU, g.timers[i].tells
	return uintptr(g.timers[i].id), fmt.Sprint("timer ", i+1), nil
}

// setting is when a timer shall fire: never, in a long time, or at once, if that is allowed.
func setting(g *world) (uintptr, string, after) {
	return given(func(g *world, v *[4]int64) string {
		*v = [4]int64{int64(pick(g.source, 0, 1<<30, -1)), int64(pick(g.source, 0, 0, 999999999, 1000000000)), int64(pick(g.source, 0, 0, 1<<40, -1)), int64(pick(g.source, 0, 1, 1, -1))}
		if !g.fires && v[2] == 0 {
			v[3] = 0
		}
		if g.ofCPU && v[2] == 0 && v[3] == 0 { // whether it keeps its interval has changed
			v[0], v[1] = 0, 0
		}
		if g.tells && v[2] == 0 && v[3] == 0 { // disarmed, it still tells when it would have gone off
			v[3] = 1
		}
		if v[0] == 0 && v[2] == 0 && v[3] == 1 { // a short interval would go off often
			v[1] = 0
		}
		return fmt.Sprint(*v)
	})(g)
}

// quiet takes all signals that are pending before anything happens to a timer: what becomes of
// one that it has sent has changed.
func quiet(a arg) arg {
	return func(g *world) (uintptr, string, after) {
		takeSignals()
		return a(g)
	}
}

// fired waits until the timer has fired if it is about to: what is left of it is then 1 ns.
func fired(a arg) arg {
	return func(g *world) (uintptr, string, after) {
		v, text, _ := a(g)
		return v, text, func(uintptr) string {
			for range 1000 {
				var left [4]int64
				unix.RawSyscall(unix.SYS_TIMER_GETTIME, v, uintptr(unsafe.Pointer(&left)), 0)
				if left[2] != 0 || left[3] != 1 {
					break
				}
				unix.Nanosleep(&unix.Timespec{Nsec: 1e6}, nil)
			}
			return ""
		}
	}
}

// takenOut is what came with a signal: of a timer's, not its number.
var takenOut = filled(func(v *[128]byte) string {
	signo, code := int32(binary.LittleEndian.Uint32(v[0:])), int32(binary.LittleEndian.Uint32(v[8:]))
	if code == -2 {
		return fmt.Sprintf("{%d timer overrun %d value %d}", signo, int32(binary.LittleEndian.Uint32(v[20:])), v[24])
	}
	return fmt.Sprintf("{%d %d value %d}", signo, code, v[24])
})

var longTimer = given(func(g *world, v *[4]int64) string {
	*v = [4]int64{int64(pick(g.source, 0, 1<<30, -1)), int64(pick(g.source, 0, 999999, 1000000, -1)), int64(pick(g.source, 0, 1<<30, -1)), int64(pick(g.source, 0, 1, 1000000))}
	if v[2] == 0 && v[3] < 1000000 { // SIGALRM is not to come
		v[3] = 0
	}
	return fmt.Sprint(*v)
})

// wallClocks are clocks that go on by themselves: one of CPU time may stand still.
func wallClocks(g *world) (uintptr, string, after) {
	g.ofCPU = false
	v := pick(g.source, 0, 1, 7)
	return uintptr(v), fmt.Sprint(v), nil
}

// showLeft shows a timer of CPU time, too: its end is not told to the last second.
func showLeft(v *[4]int64) string { return fmt.Sprint(v[0], v[1], v[2] > 0 || v[3] > 0) }

func timerClocks(g *world) (uintptr, string, after) {
	v := pick(g.source, 0, 1, 1, 1, 7, 2, 3, 4, 5, 6, 10, 12, -1)
	g.ofCPU = v == unix.CLOCK_PROCESS_CPUTIME_ID || v == unix.CLOCK_THREAD_CPUTIME_ID
	return uintptr(v), fmt.Sprint(v), nil
}

var timerCalls = []call{
	{"timer_create", unix.SYS_TIMER_CREATE, []arg{timerClocks, sigevent, newTimer}, number},
	{"timer_create", unix.SYS_TIMER_CREATE, []arg{wallClocks, sigevent, newTimer}, number},
	{"timer_settime", unix.SYS_TIMER_SETTIME, []arg{quiet(fired(someTimer)), val(0, 0, 1, 2), setting, orNull(filled(showLeft))}, number},
	{"timer_settime", unix.SYS_TIMER_SETTIME, []arg{quiet(fired(someTimer)), val(0, 1), setting, val(0)}, number},
	{"timer_gettime", unix.SYS_TIMER_GETTIME, []arg{someTimer, filled(showLeft)}, number},
	{"timer_getoverrun", unix.SYS_TIMER_GETOVERRUN, []arg{someTimer}, number},
	{"timer_delete", unix.SYS_TIMER_DELETE, []arg{quiet(someTimer)}, number},
	{"rt_sigtimedwait", unix.SYS_RT_SIGTIMEDWAIT, []arg{set, orNull(takenOut), noTime, val(8, 8, 8, 4)}, number},
	{"rt_sigtimedwait", unix.SYS_RT_SIGTIMEDWAIT, []arg{set, takenOut, noTime, val(8)}, number},
	{"rt_sigpending", unix.SYS_RT_SIGPENDING, []arg{setOut, val(8)}, number},
	{"queue", unix.SYS_RT_TGSIGQUEUEINFO, []arg{pid, tid, val(34, 35, 40), info}, number},
	{"setitimer", unix.SYS_SETITIMER, []arg{val(0, 0, 1, 2, 3, -1), longTimer, orNull(filled(showLeft))}, number},
	{"getitimer", unix.SYS_GETITIMER, []arg{val(0, 1, 2, 3), filled(showLeft)}, number},
	{"alarm", unix.SYS_ALARM, []arg{val(0, 0, 1<<20, -1)}, some},
	{"clock_nanosleep", unix.SYS_CLOCK_NANOSLEEP, []arg{val(0, 1, 7, 3, 4, 5, 6, 10, 12, -1), val(0, 1), noTime, val(0)}, number},
}

// signalsRead are what a read of a signalfd brings.
func signalsRead(g *world) (uintptr, string, after) {
	b := g.buffer(1024)
	return addr(b), "out", func(r uintptr) string {
		var text strings.Builder
		for b := b[:r]; len(b) >= 128; b = b[128:] {
			word := func(at int) int32 { return int32(binary.LittleEndian.Uint32(b[at:])) }
			fmt.Fprintf(&text, " {%d %d %d self %v uid %d int %d}", word(0), word(4), word(8), word(12) == int32(unix.Getpid()), word(16), word(44))
		}
		return text.String()
	}
}

// untold is a, but what comes is not told: it names the process.
func untold(a arg) arg {
	return func(g *world) (uintptr, string, after) {
		v, text, _ := a(g)
		return v, text, nil
	}
}

// signalSets are sets of signals that are sent.
var signalSets = given(func(g *world, v *uint64) string {
	*v = pick(g.source, uint64(0), 1<<(34-1), 1<<(35-1), 1<<(40-1)|1<<(34-1), 3<<(40-1), queued, queued)
	return fmt.Sprintf("%#x", *v)
})

var signalfdCalls = []call{
	{"signalfd4", unix.SYS_SIGNALFD4, []arg{val(-1), signalSets, val(8, 8, 4, 16), val(unix.SFD_NONBLOCK, unix.SFD_NONBLOCK|unix.SFD_CLOEXEC, 1<<5)}, newFD},
	{"signalfd4", unix.SYS_SIGNALFD4, []arg{fd, signalSets, val(8), val(unix.SFD_NONBLOCK)}, newFD},
	{"queue", unix.SYS_RT_TGSIGQUEUEINFO, []arg{pid, tid, val(34, 35, 40, 41), info}, number},
	{"queue", unix.SYS_RT_TGSIGQUEUEINFO, []arg{pid, tid, val(34, 35, 40, 41), info}, number},
	{"tgkill", unix.SYS_TGKILL, []arg{pid, tid, val(34, 35, 40, 41)}, number},
	{"tkill", unix.SYS_TKILL, []arg{tid, val(34, 40, 0, 65)}, number},
	{"read", unix.SYS_READ, []arg{fd, signalsRead, val(128, 256, 300, 1024, 127, 0)}, number},
	{"read", unix.SYS_READ, []arg{fd, signalsRead, val(128, 1024)}, number},
	{"readv", unix.SYS_READV, []arg{fd, untold(vector(true, 100, 128, 200)), val(1, 2, 4)}, number},
	{"write", unix.SYS_WRITE, []arg{fd, in, val(1)}, number},
	{"rt_sigtimedwait", unix.SYS_RT_SIGTIMEDWAIT, []arg{set, infoOut, noTime, val(8)}, number},
	{"rt_sigpending", unix.SYS_RT_SIGPENDING, []arg{setOut, val(8, 4, 0, 16)}, number},
	{"poll", unix.SYS_POLL, []arg{polled, val(4), val(0)}, number},
	{"epoll_create1", unix.SYS_EPOLL_CREATE1, []arg{val(0)}, newFD},
	{"epoll_ctl", unix.SYS_EPOLL_CTL, []arg{fd, val(unix.EPOLL_CTL_ADD, unix.EPOLL_CTL_MOD, unix.EPOLL_CTL_DEL), fd, event}, number},
	{"epoll_wait", unix.SYS_EPOLL_WAIT, []arg{fd, events, val(16), val(0)}, number},
	{"dup", unix.SYS_DUP, []arg{fd}, newFD},
	{"close", unix.SYS_CLOSE, []arg{fd}, oldFD},
	{"fstat", unix.SYS_FSTAT, []arg{fd, filled(func(s *unix.Stat_t) string { return fmt.Sprintf("%o", s.Mode) })}, number},
}

// lockOut is a lock, and the one that is in its way.
func lockOut(types ...int16) arg {
	draw := lock(types...)
	return func(g *world) (uintptr, string, after) {
		v, text, _ := draw(g)
		if text[0] != '{' {
			return v, text, nil
		}
		return v, text, func(uintptr) string {
			l := *(*unix.Flock_t)(ptr(v))
			if int(l.Pid) == unix.Getpid() {
				l.Pid = 1
			}
			return fmt.Sprint(" ", l)
		}
	}
}

var lockCalls = []call{
	{"openat", unix.SYS_OPENAT, []arg{val(unix.AT_FDCWD), pathOf("c", "e"), val(unix.O_RDWR|unix.O_CREAT, unix.O_RDWR|unix.O_CREAT, unix.O_RDONLY|unix.O_CREAT, unix.O_WRONLY|unix.O_CREAT, unix.O_PATH), val(0o600)}, newFD},
	{"openat", unix.SYS_OPENAT, []arg{val(unix.AT_FDCWD), pathOf("c", "a"), val(unix.O_RDONLY), val(0)}, newFD},
	{"memfd_create", unix.SYS_MEMFD_CREATE, []arg{path, val(0)}, newFD},
	{"pipe2", unix.SYS_PIPE2, []arg{twoFDs, val(unix.O_NONBLOCK)}, number},
	{"dup", unix.SYS_DUP, []arg{fd}, newFD},
	{"close", unix.SYS_CLOSE, []arg{fd}, oldFD},
	{"lseek", unix.SYS_LSEEK, []arg{fd, val(0, 5, 100, 6000), val(0, 1, 2)}, number},
	{"flock", unix.SYS_FLOCK, []arg{fd, val(unix.LOCK_SH|unix.LOCK_NB, unix.LOCK_EX|unix.LOCK_NB, unix.LOCK_EX|unix.LOCK_NB, unix.LOCK_UN, 3, 0, unix.LOCK_SH|unix.LOCK_EX|unix.LOCK_NB)}, number},
	{"flock", unix.SYS_FLOCK, []arg{fd, val(unix.LOCK_SH|unix.LOCK_NB, unix.LOCK_EX|unix.LOCK_NB, unix.LOCK_UN)}, number},
	{"fcntl", unix.SYS_FCNTL, []arg{fd, val(unix.F_SETLK, unix.F_OFD_SETLK), lockOut(unix.F_RDLCK, unix.F_WRLCK, unix.F_UNLCK, 9)}, number},
	{"fcntl", unix.SYS_FCNTL, []arg{fd, val(unix.F_SETLK, unix.F_OFD_SETLK), lockOut(unix.F_RDLCK, unix.F_WRLCK)}, number},
	{"fcntl", unix.SYS_FCNTL, []arg{fd, val(unix.F_OFD_SETLK), lockOut(unix.F_RDLCK, unix.F_WRLCK, unix.F_UNLCK)}, number},
	{"fcntl", unix.SYS_FCNTL, []arg{fd, val(unix.F_GETLK, unix.F_OFD_GETLK), lockOut(unix.F_RDLCK, unix.F_WRLCK)}, number},
	{"fcntl", unix.SYS_FCNTL, []arg{fd, val(unix.F_GETLK, unix.F_OFD_GETLK), lockOut(unix.F_RDLCK, unix.F_WRLCK)}, number},
}

// pathOf is one of some names.
func pathOf(names ...string) arg {
	return func(g *world) (uintptr, string, after) {
		name := pick(g.source, names...)
		b := g.buffer(len(name) + 1)
		copy(b, name+"\x00")
		return addr(b), fmt.Sprintf("%q", name), nil
	}
}

// word is a futex: in memory of the world, nowhere, not aligned, or not to be written.
func word(g *world) (uintptr, string, after) {
	at := pick(g.source, g.area, g.area, g.area+4, g.area+8, g.area+2, g.area+pageSize, g.area+3*pageSize, g.area+2*pageSize, stillAt, 0, 1<<47-4, 1<<47, ^uintptr(0)-3)
	return at, fmt.Sprintf("%#x", at), func(uintptr) string {
		b := unsafe.Slice((*int32)(ptr(g.area)), 3)
		return fmt.Sprint(" ", b)
	}
}

func futexWorld(g *world) {
	unix.RawSyscall(unix.SYS_MUNMAP, g.area+2*pageSize, pageSize, 0)
	unix.RawSyscall(unix.SYS_MPROTECT, g.area+3*pageSize, pageSize, unix.PROT_READ)
	copy(unsafe.Slice((*int32)(ptr(g.area)), 3), []int32{0, 5, 0x7fffffff})
}

const futexPrivate, futexRealtime = 128, 256

// piLock is a futex with priority inheritance, which now is free, ours or somebody's whom
// there is not. A thread's number is not told.
func piLock(g *world) (uintptr, string, after) {
	at := g.area + 16
	if g.oneIn(8) {
		at = pick(g.source, g.area+18, g.area+2*pageSize, g.area+3*pageSize, 0, 1<<47)
		return at, fmt.Sprintf("%#x", at), nil
	}
	v := (*uint32)(ptr(at))
	const waiters, died, nobody = 1 << 31, 1 << 30, 1<<22 + 1
	tid := uint32(unix.Gettid())
	switch g.n(8) {
	case 0:
		*v = 0
	case 1:
		*v = tid
	case 2:
		*v = nobody
	case 3:
		*v |= died
	case 4:
		*v = waiters
	}
	show := func() string {
		text := fmt.Sprintf("%#x", *v&^(1<<30-1))
		switch *v & (1<<30 - 1) {
		case 0:
		case tid:
			text += " self"
		default:
			text += " nobody"
		}
		return text
	}
	return at, show(), func(uintptr) string { return " " + show() }
}

func futexOps(ops ...int) arg {
	list := slices.Clone(ops)
	for _, op := range ops {
		list = append(list, op|futexPrivate)
	}
	list = append(list, ops[0]|futexRealtime, ops[0]|1<<10)
	return val(list...)
}

var futexCalls = []call{
	{"futex wait", unix.SYS_FUTEX, []arg{word, futexOps(0, 9), val(0, 5, 1), noTime, val(0), val(-1, 1, 0)}, number},
	{"futex wait", unix.SYS_FUTEX, []arg{word, futexOps(0), val(0, 5), noTime, val(0), val(-1)}, number},
	{"futex wake", unix.SYS_FUTEX, []arg{word, futexOps(1, 10), val(0, 1, -1, 1<<31-1), val(0, 8), val(0), val(-1, 1, 0)}, number},
	{"futex requeue", unix.SYS_FUTEX, []arg{word, futexOps(3, 4), val(0, 1, -1), val(0, 1, -1), word, val(0, 5, 1)}, number},
	{"futex wake_op", unix.SYS_FUTEX, []arg{word, futexOps(5), val(0, 1, -1), val(0, 1, -1), word, wakeOp}, number},
	{"futex nothing", unix.SYS_FUTEX, []arg{word, val(2, 14, 127, 128|14, -1, 99), val(0), val(0), val(0), val(0)}, number},
	{"set_robust_list", unix.SYS_SET_ROBUST_LIST, []arg{val(0, 8), val(24, 24, 0, 23, -1)}, number},
	{"get_robust_list", unix.SYS_GET_ROBUST_LIST, []arg{val(0, 0, 1<<22+1, -1), filled(func(v *uint64) string { return fmt.Sprint(*v) }), filled(func(v *uint64) string { return fmt.Sprint(*v) })}, number},
	{"futex lock_pi", unix.SYS_FUTEX, []arg{piLock, futexOps(8, 6, 13), val(0, 7), noTime, val(0), val(0)}, number},
	{"futex unlock_pi", unix.SYS_FUTEX, []arg{piLock, futexOps(7), val(0, 7), val(0), val(0), val(0)}, number},
	{"futex unlock_pi", unix.SYS_FUTEX, []arg{piLock, val(7, 7|futexPrivate), val(0), val(0), val(0), val(0)}, number},
	{"futex requeue_pi", unix.SYS_FUTEX, []arg{word, futexOps(12), val(1, 1, 0, 2, -1), val(0, 1, -1), piLock, val(0, 5, 1)}, number},
	{"futex wait_requeue_pi", unix.SYS_FUTEX, []arg{word, futexOps(11), val(0, 5, 1), noTime, piLock, val(0, 1, 1<<31)}, number},
}

// wakeOp is what FUTEX_WAKE_OP does (man 2 futex).
func wakeOp(g *world) (uintptr, string, after) {
	v := g.n(8)<<28 | g.n(8)<<24 | pick(g.source, 0, 1, 5, 31, 32, 0xfff, 0x800)<<12 | pick(g.source, 0, 1, 5, 0xfff)
	if g.n(2) == 0 {
		v |= 8 << 28
	}
	return uintptr(v), fmt.Sprintf("%#x", v), nil
}
