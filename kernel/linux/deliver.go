package linux

import (
	"sync/atomic"
	"unsafe"

	"gosv/internal/diag"
	"gosv/kernel/metal"
	"gosv/kernel/mm"
)

// leave does t's work before it returns to ring 3 from anything but a system
// call. It returns false if t ends.
func (t *Thread) leave() bool { return t.finish(0) }

// leaveCall does t's work on the way out of a system call whose handler
// returned err. It returns false if t ends.
func (t *Thread) leaveCall(err Errno) bool {
	if t.sig.hasSaved && err != EINTR && err < eRestartSys {
		t.restoreMask()
	}
	return t.finish(err)
}

// finish delivers signals. err is that of the system call t is leaving; an
// interrupted one becomes EINTR or is made again.
func (t *Thread) finish(err Errno) bool {
	p := t.proc
	if t.work.Load()&workYield != 0 {
		t.work.And(^uint32(workYield))
		t.yield()
	}
	// What t is kicked for from here on it may see too late.
	atomic.SwapUint32(&t.regs.Attention, 0)
	if t.work.Load()&workReport != 0 {
		t.work.And(^uint32(workReport | workWaiting))
		t.reportWaited(err)
		t.reported()
	}
	for t.work.Load()&(workExit|workSignal|workMask|workHold|workStop) != 0 || err >= eRestartSys {
		t.hold()
		if t.work.Load()&workExit != 0 {
			t.exit()
			return false
		}
		p.sig.mu.Lock()
		var info sigInfo
		if !t.nextSignal(^t.sig.mask, &info) {
			t.review()
			p.sig.mu.Unlock()
			t.restoreMask()
			if err >= eRestartSys {
				t.restart(err)
			}
			return true
		}
		sig := int(info.signo)
		act := p.sig.actions[sig]
		if act.handler > sigIgnore && act.flags&saResetHand != 0 {
			p.sig.actions[sig].handler = sigDefault
		}
		// Those that stop by a terminal's wish do not: the process's group is what POSIX
		// calls orphaned, so there is no shell that could continue it.
		ignored := act.handler == sigDefault && (ignoredByDef|stopping).has(sig) || act.handler == sigIgnore
		t.review()
		if sig == SIGSTOP {
			p.stop()
		}
		p.sig.mu.Unlock()
		t.reportSignal(&info)
		switch {
		case ignored:
		case act.handler == sigDefault:
			if dumpsCore.has(sig) {
				p.dumpCore(t, &info)
			}
			p.exit(128+sig, sig)
		default:
			t.interruptCall(err, act.flags&saRestart != 0)
			err = 0
			t.handle(&act, &info)
		}
	}
	return true
}

// handle makes t run a handler.
func (t *Thread) handle(act *sigAction, info *sigInfo) {
	p, sig := t.proc, int(info.signo)
	mask := t.sig.mask
	if t.sig.hasSaved {
		mask, t.sig.hasSaved = t.sig.saved, false
		t.work.And(^uint32(workMask))
	}
	if act.flags&saRestorer == 0 || !t.pushFrame(act, info, mask) {
		p.sig.mu.Lock()
		p.sig.actions[SIGSEGV].handler = sigDefault
		p.sig.mu.Unlock()
		t.force(killInfo(SIGSEGV, siKernel, 0))
		return
	}
	blocked := act.mask | t.sig.mask
	if act.flags&saNoDefer == 0 {
		blocked |= sigBit(sig)
	}
	t.setMask(blocked)
	if act.handler > userTop {
		t.lost()
	}
}

// restoreMask ends a temporary signal mask.
func (t *Thread) restoreMask() {
	if t.sig.hasSaved {
		t.sig.hasSaved = false
		t.work.And(^uint32(workMask))
		t.setMask(t.sig.saved)
	}
}

// interruptCall decides what becomes of a call that a handler interrupts.
func (t *Thread) interruptCall(err Errno, restart bool) {
	switch {
	case err < eRestartSys:
	case err == eRestartNoIntr, err == eRestartSys && restart:
		t.again(t.nr)
	default:
		t.regs.AX = EINTR.Result()
	}
}

// restart makes an interrupted call again, as no handler ran.
func (t *Thread) restart(err Errno) {
	if err == eRestartBlock {
		t.again(nrRestartSyscall)
	} else {
		t.again(t.nr)
	}
}

// restartAs is the result of an interrupted call that goes on by f, not by being
// made again from the start, unless a handler ran: one with a relative timeout.
func (t *Thread) restartAs(f func() (uintptr, Errno)) Errno {
	t.continuation = f
	return eRestartBlock
}

func sysRestartSyscall(t *Thread, a *Args) (uintptr, Errno) {
	f := t.continuation
	if f == nil {
		return 0, EINTR
	}
	t.continuation = nil
	return f()
}

// again lets t execute its SYSCALL instruction, which is two bytes long, once more.
func (t *Thread) again(nr uintptr) {
	t.regs.AX = nr
	t.regs.IP -= 2
}

const nrRestartSyscall = 219

// force sends t a signal that it cannot ignore or block: it is about what t
// itself has just done.
func (t *Thread) force(info sigInfo) {
	p, sig := t.proc, int(info.signo)
	p.sig.mu.Lock()
	if a := &p.sig.actions[sig]; a.handler == sigIgnore || t.sig.mask.has(sig) {
		a.handler = sigDefault
		t.sig.mask &^= sigBit(sig)
	}
	t.sig.pending.add(&queuedSignal{sigInfo: info}, &p.sig.queued, unlimited)
	t.work.Or(workSignal)
	p.sig.mu.Unlock()
}

// Exception vectors (Intel SDM vol. 3A 6.15).
const (
	vecDivide     = 0
	vecDebug      = 1
	vecBreakpoint = 3
	vecOverflow   = 4
	vecBound      = 5
	vecInvalid    = 6
	vecProtection = 13
	vecPageFault  = 14
	vecFP         = 16
	vecAlignment  = 17
	vecSIMD       = 19
)

// lost brings upon t the fault of going on at an address that is not the application's.
// It must not be tried: SYSRET would fault in ring 0.
func (t *Thread) lost() {
	r := t.regs
	if r.IP>>47 == 1<<17-1 {
		const fetchByUser = 0x15
		r.Vec, r.Err, r.CR2 = vecPageFault, fetchByUser, r.IP
		t.force(faultInfo(SIGSEGV, segvMapErr, r.IP))
		return
	}
	r.Vec, r.Err = vecProtection, 0
	t.force(killInfo(SIGSEGV, siKernel, 0))
}

// pageFault handles one of t's in ring 3.
func (t *Thread) pageFault() {
	r := t.regs
	var start uint64
	if t.report != nil {
		start = metal.Now()
	}
	a := mm.ToRead
	switch {
	case r.Err&2 != 0:
		a = mm.ToWrite
	case r.Err&16 != 0:
		a = mm.ToExec
	}
	result := mm.FaultUnmapped
	if r.CR2 < userTop {
		result = t.space.Fault(r.CR2, a)
	}
	switch result {
	case mm.FaultUnmapped:
		t.force(faultInfo(SIGSEGV, segvMapErr, r.CR2))
	case mm.FaultDenied:
		t.force(faultInfo(SIGSEGV, segvAccErr, r.CR2))
	case mm.FaultBeyond:
		t.force(faultInfo(SIGBUS, busAdrErr, r.CR2))
	}
	if t.report != nil {
		t.reportFault(start, a, result)
	}
}

// exception turns one of t's other exceptions into a signal (exc_* in
// arch/x86/kernel/traps.c).
func (t *Thread) exception(vec uintptr) {
	r := t.regs
	switch vec {
	case vecDivide:
		t.force(faultInfo(SIGFPE, fpeIntDiv, r.IP))
	case vecDebug:
		t.force(faultInfo(SIGTRAP, trapTrace, r.IP))
	case vecBreakpoint:
		t.force(killInfo(SIGTRAP, siKernel, 0))
	case vecInvalid:
		t.force(faultInfo(SIGILL, illOpn, r.IP))
	case vecFP, vecSIMD:
		t.force(faultInfo(SIGFPE, fpeCode(r, vec), r.IP))
	case vecAlignment:
		t.force(faultInfo(SIGBUS, busAdrAln, 0))
	default: // general protection and what is left
		t.force(killInfo(SIGSEGV, siKernel, 0))
	}
}

// fpeCode says which unmasked floating point exception there was (Intel SDM
// vol. 1 8.1.3, 10.2.3).
func fpeCode(r *metal.Regs, vec uintptr) int32 {
	var raised uint32
	if vec == vecFP {
		control := binary16(r.FP[0:])
		raised = binary16(r.FP[2:]) &^ control
	} else {
		mxcsr := *(*uint32)(unsafe.Pointer(&r.FP[mxcsrAt]))
		raised = mxcsr &^ (mxcsr >> 7)
	}
	switch {
	case raised&1 != 0:
		return fpeFltInv
	case raised&4 != 0:
		return fpeFltDiv
	case raised&8 != 0:
		return fpeFltOvf
	case raised&(16|2) != 0: // underflow, denormal
		return fpeFltUnd
	case raised&32 != 0:
		return fpeFltRes
	}
	return siUser
}

func binary16(b []byte) uint32 { return uint32(b[0]) | uint32(b[1])<<8 }

// exit ends t, and its process if it was the last thread.
func (t *Thread) exit() {
	t.releaseFutexes()
	if t.regs.Pin != 0 {
		t.leaveSeat()
	}
	t.stopClock()
	t.proc.kernel.flush()
	metal.Runnable(-1)
	p := t.proc
	if t.report != nil {
		t.report.report(diag.Gone, "", uint64(t.tid), metal.Now())
	}
	p.deadTime.Add(t.cpuTime.Load())
	p.deadTicks.user.Add(t.ticks.user.Load())
	p.deadTicks.system.Add(t.ticks.system.Load())
	p.deadWaits.Add(t.waits.Load())
	p.deadYields.Add(t.yields.Load())
	left := p.unlink(t)
	p.sig.mu.Lock()
	t.sig.pending.flush(^sigSet(0), &p.sig.queued)
	p.sig.mu.Unlock()
	if left == 0 {
		p.finish()
	}
}

// exit makes all threads of p end, with an exit status as a shell shows it;
// sig is the signal that did it, or 0. The first one to call it decides.
func (p *Process) exit(code, sig int) {
	if !p.exiting.CompareAndSwap(false, true) {
		p.endThreads()
		return
	}
	p.code, p.exitSignal = code, sig
	if d := p.kernel.diag.Load(); d != nil {
		core := uint64(0)
		if p.core.dumped {
			core = 1
		}
		d.report(diag.End, "", uint64(p.pid), metal.Now(), uint64(code), uint64(sig), core)
	}
	if p == p.kernel.init {
		p.kernel.disks.lastSync()
		p.kernel.vsockets.Drain()
		p.kernel.Exit(code)
	}
	p.endThreads()
}

func (p *Process) endThreads() {
	p.eachThread(func(t *Thread) bool {
		t.work.Or(workExit)
		t.wake()
		t.kick()
		return true
	})
}

// finish frees what p has when its last thread is gone.
func (p *Process) finish() {
	p.exit(p.leaderCode, 0) // the last thread may have ended by exit(2)
	p.kernel.remove(p)
}
