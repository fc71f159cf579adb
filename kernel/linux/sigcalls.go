package linux

import "unsafe"

const sigSetSize = unsafe.Sizeof(sigSet(0))

func sysRtSigaction(t *Thread, a *Args) (uintptr, Errno) {
	sig := int(a.Int1())
	if a.Arg4() != sigSetSize || sig < 1 || sig > numSig {
		return 0, EINVAL
	}
	var act sigAction
	if p := a.Arg2(); p != 0 {
		if err := copyIn(t, &act, p); err != 0 {
			return 0, err
		}
		if unblockable.has(sig) {
			return 0, EINVAL
		}
		act.mask &^= unblockable
		act.flags &= saKnown // so a program can find out what there is
	}
	p := t.proc
	p.sig.mu.Lock()
	old := p.sig.actions[sig]
	if a.Arg2() != 0 {
		p.sig.actions[sig] = act
		if p.sig.ignores(sig) {
			p.flushAll(sigBit(sig))
		}
	}
	p.sig.mu.Unlock()
	if a.Arg3() != 0 {
		return 0, copyOut(t, a.Arg3(), &old)
	}
	return 0, 0
}

func sysRtSigprocmask(t *Thread, a *Args) (uintptr, Errno) {
	const block, unblock, setMask = 0, 1, 2
	if a.Arg4() != sigSetSize {
		return 0, EINVAL
	}
	old := t.sig.mask
	if p := a.Arg2(); p != 0 {
		var set sigSet
		if err := copyIn(t, &set, p); err != 0 {
			return 0, err
		}
		switch int32(a.Arg1()) {
		case block:
			t.setMask(old | set)
		case unblock:
			t.setMask(old &^ set)
		case setMask:
			t.setMask(set)
		default:
			return 0, EINVAL
		}
	}
	if p := a.Arg3(); p != 0 {
		return 0, copyOut(t, p, &old)
	}
	return 0, 0
}

func sysRtSigpending(t *Thread, a *Args) (uintptr, Errno) {
	if a.Arg2() > sigSetSize {
		return 0, EINVAL
	}
	p := t.proc
	p.sig.mu.Lock()
	set := (t.sig.pending.set | p.sig.pending.set) & t.sig.mask
	p.sig.mu.Unlock()
	b := (*[sigSetSize]byte)(unsafe.Pointer(&set))
	return 0, t.CopyOut(a.Arg1(), b[:a.Arg2()])
}

// copyInSigSet reads the signal set of a call that also has its size.
func (t *Thread) copyInSigSet(addr, size uintptr) (set sigSet, err Errno) {
	if size != sigSetSize {
		return 0, EINVAL
	}
	err = copyIn(t, &set, addr)
	return set, err
}

func sysRtSigsuspend(t *Thread, a *Args) (uintptr, Errno) {
	set, err := t.copyInSigSet(a.Arg1(), a.Arg2())
	if err != 0 {
		return 0, err
	}
	t.setTempMask(set)
	for t.pause(never) == 0 {
	}
	return 0, eRestartNoHand
}

func sysPause(t *Thread, a *Args) (uintptr, Errno) {
	for t.pause(never) == 0 {
	}
	return 0, eRestartNoHand
}

func sysRtSigreturn(t *Thread, a *Args) (uintptr, Errno) {
	if !t.popFrame() {
		t.force(killInfo(SIGSEGV, siKernel, 0))
	}
	return t.regs.AX, 0
}

func sysSigaltstack(t *Thread, a *Args) (uintptr, Errno) {
	old := t.sig.stack.report(t.regs.SP)
	if p := a.Arg1(); p != 0 {
		var st sigStack
		if err := copyIn(t, &st, p); err != 0 {
			return 0, err
		}
		if t.sig.stack.holds(t.regs.SP) {
			return 0, EPERM
		}
		if err := t.sig.stack.set(&st); err != 0 {
			return 0, err
		}
	}
	if p := a.Arg2(); p != 0 {
		return 0, copyOut(t, p, &old)
	}
	return 0, 0
}

// validSignal says whether kill may send sig; 0 only asks.
func validSignal(sig uintptr) bool { return uint32(sig) <= numSig }

func sysKill(t *Thread, a *Args) (uintptr, Errno) {
	pid, sig := int(int32(a.Arg1())), int(a.Arg2())
	k := t.proc.kernel
	var to *Process
	switch {
	case pid > 0:
		to = k.process(pid)
	case pid == 0, pid == -t.proc.pid: // its process group, which is just it
		to = t.proc
	}
	if to == nil { // also -1: all but the caller and init
		return 0, ESRCH
	}
	if !validSignal(a.Arg2()) {
		return 0, EINVAL
	}
	if sig == 0 {
		return 0, 0
	}
	info := t.killInfo(sig, siUser)
	to.signal(nil, &info)
	return 0, 0
}

func sysTkill(t *Thread, a *Args) (uintptr, Errno) {
	info := t.killInfo(int(a.Arg2()), siTKill)
	return 0, t.signalThread(-1, int(int32(a.Arg1())), &info)
}

func sysTgkill(t *Thread, a *Args) (uintptr, Errno) {
	pid := int(int32(a.Arg1()))
	if pid <= 0 {
		return 0, EINVAL
	}
	info := t.killInfo(int(a.Arg3()), siTKill)
	return 0, t.signalThread(pid, int(int32(a.Arg2())), &info)
}

// signalThread sends a signal to thread tid of process pid, or of any with -1.
func (t *Thread) signalThread(pid, tid int, info *sigInfo) Errno {
	if tid <= 0 || !validSignal(uintptr(info.signo)) {
		return EINVAL
	}
	to := t
	if tid != t.tid {
		if pid == t.proc.pid {
			to = t.proc.thread(tid)
		} else {
			to = t.proc.kernel.thread(tid)
		}
	}
	if to == nil || pid != -1 && to.proc.pid != pid {
		return ESRCH
	}
	if info.signo == 0 {
		return 0
	}
	return to.proc.signal(to, info)
}

func sysRtSigqueueinfo(t *Thread, a *Args) (uintptr, Errno) {
	var info sigInfo
	if err := t.copyInSigInfo(&info, a.Arg3(), a.Arg2(), int(int32(a.Arg1()))); err != 0 {
		return 0, err
	}
	to := t.proc.kernel.process(int(int32(a.Arg1())))
	switch {
	case to == nil:
		return 0, ESRCH
	case info.signo == 0:
		return 0, 0
	}
	return 0, to.signal(nil, &info)
}

func sysRtTgsigqueueinfo(t *Thread, a *Args) (uintptr, Errno) {
	pid := int(int32(a.Arg1()))
	var info sigInfo
	if err := t.copyInSigInfo(&info, a.Arg4(), a.Arg3(), pid); err != 0 {
		return 0, err
	}
	if pid <= 0 {
		return 0, EINVAL
	}
	return 0, t.signalThread(pid, int(int32(a.Arg2())), &info)
}

// copyInSigInfo reads what a process sends with a signal. It cannot make
// another one believe that it came from the kernel or from kill.
func (t *Thread) copyInSigInfo(info *sigInfo, addr, sig uintptr, pid int) Errno {
	head := (*[48]byte)(unsafe.Pointer(info)) // all that Linux has in it
	if err := copyIn(t, head, addr); err != 0 {
		return err
	}
	if known := info.code >= -7 && info.code <= 6 || info.code == siKernel || info.code == -60; !known { // 6: NSIGPOLL; -60: SI_ASYNCNL
		var rest [len(sigInfo{}.field)*8 + 16 - len(head)]byte
		if err := copyIn(t, &rest, addr+unsafe.Sizeof(*head)); err != 0 {
			return err
		}
		if rest != [len(rest)]byte{} {
			return E2BIG
		}
	}
	if !validSignal(sig) {
		return EINVAL
	}
	info.signo = int32(sig)
	if (info.code >= 0 || info.code == siTKill) && pid != t.proc.pid {
		return EPERM
	}
	return 0
}

func sysRtSigtimedwait(t *Thread, a *Args) (uintptr, Errno) {
	set, err := t.copyInSigSet(a.Arg1(), a.Arg4())
	if err != 0 {
		return 0, err
	}
	deadline := uint64(never)
	if p := a.Arg3(); p != 0 {
		var ts timespec
		if err := copyIn(t, &ts, p); err != 0 {
			return 0, err
		}
		if !ts.valid() {
			return 0, EINVAL
		}
		deadline = after(ts)
	}
	info, err := t.awaitSignal(set&^unblockable, deadline)
	if err != 0 {
		return 0, err
	}
	if p := a.Arg2(); p != 0 {
		if err := copyOut(t, p, &info); err != 0 {
			return 0, err
		}
	}
	return uintptr(info.signo), 0
}

// awaitSignal takes a signal out of set, blocked or not, waiting for one if
// need be.
func (t *Thread) awaitSignal(set sigSet, deadline uint64) (info sigInfo, err Errno) {
	p := t.proc
	p.sig.mu.Lock()
	defer p.sig.mu.Unlock()
	for {
		if t.nextSignal(set, &info) {
			t.review()
			return info, 0
		}
		if err != 0 {
			break
		}
		// While it waits, what it waits for does not count as blocked by it.
		t.sig.awaited = set
		t.review()
		p.sig.mu.Unlock()
		err = t.pause(deadline)
		p.sig.mu.Lock()
		t.sig.awaited = 0
	}
	t.review()
	if err == ETIMEDOUT {
		return info, EAGAIN
	}
	return info, EINTR
}
