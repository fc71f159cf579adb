package linux

import (
	"math/bits"
	"sync"
	"unsafe"

	"gosv/kernel/mm"
	"gosv/kernel/wait"
)

// Signal numbers (signal(7)).
const (
	SIGHUP = 1 + iota
	SIGINT
	SIGQUIT
	SIGILL
	SIGTRAP
	SIGABRT
	SIGBUS
	SIGFPE
	SIGKILL
	SIGUSR1
	SIGSEGV
	SIGUSR2
	SIGPIPE
	SIGALRM
	SIGTERM
	SIGSTKFLT
	SIGCHLD
	SIGCONT
	SIGSTOP
	SIGTSTP
	SIGTTIN
	SIGTTOU
	SIGURG
	SIGXCPU
	SIGXFSZ
	SIGVTALRM
	SIGPROF
	SIGWINCH
	SIGIO
	SIGPWR
	SIGSYS

	sigRTMin = 32 // from here on signals queue
	numSig   = 64
)

// Codes of sigInfo (sigaction(2)).
const (
	siUser   = 0
	siKernel = 0x80
	siQueue  = -1
	siTimer  = -2
	siTKill  = -6

	segvMapErr = 1
	segvAccErr = 2
	busAdrAln  = 1
	busAdrErr  = 2
	fpeIntDiv  = 1
	fpeFltDiv  = 3
	fpeFltOvf  = 4
	fpeFltUnd  = 5
	fpeFltRes  = 6
	fpeFltInv  = 7
	illOpn     = 2
	trapBrkpt  = 1
	trapTrace  = 2
)

// sigSet is a set of signals, signal n as bit n-1.
type sigSet uint64

func sigBit(sig int) sigSet       { return 1 << (sig - 1) }
func (s sigSet) has(sig int) bool { return s&sigBit(sig) != 0 }
func (s sigSet) first() int       { return bits.TrailingZeros64(uint64(s)) + 1 }

const (
	unblockable  = sigSet(1<<(SIGKILL-1) | 1<<(SIGSTOP-1))
	synchronous  = sigSet(1<<(SIGSEGV-1) | 1<<(SIGBUS-1) | 1<<(SIGILL-1) | 1<<(SIGTRAP-1) | 1<<(SIGFPE-1) | 1<<(SIGSYS-1))
	ignoredByDef = sigSet(1<<(SIGCHLD-1) | 1<<(SIGCONT-1) | 1<<(SIGURG-1) | 1<<(SIGWINCH-1))
	stopping     = sigSet(1<<(SIGSTOP-1) | 1<<(SIGTSTP-1) | 1<<(SIGTTIN-1) | 1<<(SIGTTOU-1))
)

// sigAction is struct sigaction as the system call has it.
type sigAction struct {
	handler, flags, restorer uintptr
	mask                     sigSet
}

const (
	sigDefault = 0
	sigIgnore  = 1

	saNoCldStop = 0x1
	saNoCldWait = 0x2
	saSigInfo   = 0x4
	saExposeTag = 0x800
	saRestorer  = 0x04000000
	saOnStack   = 0x08000000
	saRestart   = 0x10000000
	saNoDefer   = 0x40000000
	saResetHand = 0x80000000
	saKnown     = saNoCldStop | saNoCldWait | saSigInfo | saExposeTag | saRestorer | saOnStack | saRestart | saNoDefer | saResetHand
)

// sigInfo is siginfo_t, 128 bytes.
type sigInfo struct {
	signo, errno, code int32
	_                  int32
	field              [14]uint64 // a union, by what sent it
}

// killInfo describes a signal that process pid sent by kill or the like.
func killInfo(sig int, code int32, pid int) sigInfo {
	i := sigInfo{signo: int32(sig), code: code}
	i.field[0] = uint64(uint32(pid)) // and the user id 0
	return i
}

// killInfo describes a signal that t sends.
func (t *Thread) killInfo(sig int, code int32) sigInfo {
	i := killInfo(sig, code, t.proc.pid)
	uid, _ := t.ids()
	i.field[0] |= uint64(uid.real) << 32
	return i
}

// faultInfo describes a fault of the thread at addr.
func faultInfo(sig int, code int32, addr uintptr) sigInfo {
	i := sigInfo{signo: int32(sig), code: code}
	i.field[0] = uint64(addr)
	return i
}

// pendingSignals are those sent and not yet taken. queue has one entry for a
// standard signal, any number for a real-time one, in order of arrival.
type pendingSignals struct {
	set   sigSet
	queue []queuedSignal
}

type queuedSignal struct {
	sigInfo
	timer *appTimer // that sent it, or nil
}

// maxPending is what RLIMIT_SIGPENDING is at first.
const maxPending = 4096

// add queues a signal of which the process has *queued others, and may have
// limit. EAGAIN if that is too many for a real-time one; one by kill(2) then
// comes without information, as on Linux.
func (q *pendingSignals) add(s *queuedSignal, queued *int, limit uint64) Errno {
	sig := int(s.signo)
	switch {
	case s.timer != nil:
		for i := range q.queue {
			if e := &q.queue[i]; e.timer == s.timer { // still there: this is an overrun
				e.field[0] += s.field[0]&^(1<<32-1) + 1<<32
				return 0
			}
		}
	case sig < sigRTMin:
		if q.set.has(sig) {
			return 0 // once is enough
		}
	case uint64(*queued) >= min(limit, queueBound), len(q.queue) == cap(q.queue) && !mm.KernelRoom(len(q.queue)*int(unsafe.Sizeof(*s))*3/2):
		if s.code != siUser {
			return EAGAIN
		}
		q.set |= sigBit(sig)
		return 0
	}
	q.queue = append(q.queue, *s)
	q.set |= sigBit(sig)
	*queued++
	return 0
}

// queueBound is how many signals can be queued whatever the limit.
const queueBound = 1 << 16

// take removes the next signal out of those in set.
func (q *pendingSignals) take(set sigSet, info *sigInfo, queued *int) (ok bool) {
	set &= q.set
	if set == 0 {
		return false
	}
	if s := set & synchronous; s != 0 {
		set = s
	}
	sig := int32(set.first())
	more := false
	at := -1
	for i := range q.queue {
		if q.queue[i].signo == sig {
			if at >= 0 {
				more = true
				break
			}
			at = i
		}
	}
	if !more {
		q.set &^= sigBit(int(sig))
	}
	if at < 0 {
		*info = sigInfo{signo: sig}
		return true
	}
	*info = q.queue[at].sigInfo
	if tm := q.queue[at].timer; tm != nil {
		tm.overrun.Store(info.field[0] >> 32)
	}
	copy(q.queue[at:], q.queue[at+1:])
	q.queue = q.queue[:len(q.queue)-1]
	*queued--
	return true
}

// flush drops the signals in set.
func (q *pendingSignals) flush(set sigSet, queued *int) {
	if q.set&set != 0 {
		n := 0
		for i := range q.queue {
			if !set.has(int(q.queue[i].signo)) {
				q.queue[n] = q.queue[i]
				n++
			}
		}
		*queued -= len(q.queue) - n
		q.queue = q.queue[:n]
		q.set &^= set
	}
}

// signalState is what the threads of a process share.
type signalState struct {
	mu      sync.Mutex
	actions [numSig + 1]sigAction
	pending pendingSignals
	queued  int        // those pending for the process and for its threads
	stopped bool       // by SIGSTOP, and not yet continued
	queue   wait.Queue // woken when a signal arrives, for signalfd
}

// threadSignals is a thread's own part, guarded by its process's sig.mu.
type threadSignals struct {
	mask    sigSet // blocked
	pending pendingSignals
	awaited sigSet // what sigtimedwait waits for
	stack   sigStack

	// The mask to return to after a call that set another one for its
	// duration (sigsuspend, ppoll, ...).
	saved    sigSet
	hasSaved bool
}

// ignores says whether the process would do nothing on sig.
func (s *signalState) ignores(sig int) bool {
	switch s.actions[sig].handler {
	case sigIgnore:
		return true
	case sigDefault:
		return ignoredByDef.has(sig)
	}
	return false
}

// signal sends a signal to p, or to its thread t if that is not nil.
func (p *Process) signal(t *Thread, info *sigInfo) Errno {
	return p.send(t, &queuedSignal{sigInfo: *info})
}

func (p *Process) send(t *Thread, s *queuedSignal) Errno {
	p.sig.mu.Lock()
	err := p.sendLocked(t, s)
	p.sig.mu.Unlock()
	return err
}

func (p *Process) sendLocked(t *Thread, s *queuedSignal) (err Errno) {
	sig, limit := int(s.signo), p.limit(rlimitSigpending)
	if sig == SIGCONT {
		p.resume()
	} else if stopping.has(sig) {
		p.flushAll(sigBit(SIGCONT))
	}
	if p.sig.ignores(sig) && !p.wanted(t, sig) {
		return 0
	}
	if t != nil {
		err = t.sig.pending.add(s, &p.sig.queued, limit)
	} else {
		err = p.sig.pending.add(s, &p.sig.queued, limit)
		t = p.taker(sig)
	}
	if t != nil && (!t.sig.mask.has(sig) || t.sig.awaited.has(sig)) {
		if sig == SIGKILL {
			t.work.And(^uint32(workStop))
		}
		t.alert()
	}
	p.sig.queue.Wake()
	return err
}

// wanted says whether somebody blocks an ignored signal or waits for it: by
// the time it is unblocked, it may no longer be ignored.
func (p *Process) wanted(t *Thread, sig int) bool {
	if t != nil {
		return t.sig.mask.has(sig) || t.sig.awaited.has(sig)
	}
	found := false
	p.eachThread(func(t *Thread) bool {
		found = t.sig.mask.has(sig) || t.sig.awaited.has(sig)
		return !found
	})
	return found
}

// taker picks the thread that shall handle a signal to all of p: the first
// one that does not block it, or nil.
func (p *Process) taker(sig int) (taker *Thread) {
	p.eachThread(func(t *Thread) bool {
		if !t.sig.mask.has(sig) || t.sig.awaited.has(sig) {
			taker = t
		}
		return taker == nil
	})
	return taker
}

func (p *Process) flushAll(set sigSet) {
	p.sig.pending.flush(set, &p.sig.queued)
	p.eachThread(func(t *Thread) bool {
		t.sig.pending.flush(set, &p.sig.queued)
		return true
	})
}

// stop stops p's threads until SIGCONT or SIGKILL comes. What they wait for in system
// calls is waited for again then. The caller holds sig.mu.
func (p *Process) stop() {
	p.sig.stopped = true
	p.eachThread(func(t *Thread) bool {
		t.work.Or(workStop)
		t.wake()
		t.kick()
		return true
	})
}

// resume lets p's threads go on that were stopped or would be. The caller holds sig.mu.
func (p *Process) resume() {
	p.flushAll(stopping)
	if p.sig.stopped {
		p.sig.stopped = false
		p.eachThread(func(t *Thread) bool {
			t.work.And(^uint32(workStop))
			t.wake()
			return true
		})
	}
}

// alert makes t look at its signals soon.
func (t *Thread) alert() {
	t.work.Or(workSignal)
	t.wake()
	t.kick()
}

// setMask changes what t blocks.
func (t *Thread) setMask(mask sigSet) {
	p := t.proc
	p.sig.mu.Lock()
	t.setMaskLocked(mask)
	p.sig.mu.Unlock()
}

func (t *Thread) setMaskLocked(mask sigSet) {
	mask &^= unblockable
	// What t was to take for all and now blocks is for another thread.
	for set := t.proc.sig.pending.set & mask &^ t.sig.mask; set != 0; set &= set - 1 {
		t.sig.mask = mask
		if other := t.proc.taker(set.first()); other != nil {
			other.alert()
		}
	}
	t.sig.mask = mask
	t.review()
}

// review sets workSignal if t has a signal to handle, and clears it if not.
// The caller holds sig.mu.
func (t *Thread) review() {
	if (t.sig.pending.set|t.proc.sig.pending.set)&^t.sig.mask != 0 {
		t.work.Or(workSignal)
	} else if t.work.Load()&workSignal != 0 {
		t.work.And(^uint32(workSignal))
	}
}

// setTempMask changes what t blocks until its call is over: afterwards, or after the
// handler that interrupts it, the old mask is back.
func (t *Thread) setTempMask(mask sigSet) {
	p := t.proc
	p.sig.mu.Lock()
	t.sig.saved, t.sig.hasSaved = t.sig.mask, true
	t.setMaskLocked(mask)
	t.work.Or(workMask)
	p.sig.mu.Unlock()
}

// nextSignal takes the next signal for t to handle.
func (t *Thread) nextSignal(set sigSet, info *sigInfo) (ok bool) {
	queued := &t.proc.sig.queued
	return t.sig.pending.take(set, info, queued) || t.proc.sig.pending.take(set, info, queued)
}
