package linux

import (
	"unsafe"

	"gosv/kernel/metal"
	"gosv/kernel/mm"
)

// Flags of clone(2).
const (
	cloneVM            = 0x100
	cloneFS            = 0x200
	cloneFiles         = 0x400
	cloneSigHand       = 0x800
	clonePidFD         = 0x1000
	cloneVfork         = 0x4000
	cloneThread        = 0x10000
	cloneSysVSem       = 0x40000
	cloneSetTLS        = 0x80000
	cloneParentSetTID  = 0x100000
	cloneChildClearTID = 0x200000
	cloneDetached      = 0x400000
	cloneChildSetTID   = 0x1000000
	cloneSettable      = cloneVM | cloneFS | cloneFiles | cloneSigHand | cloneThread | cloneSysVSem | cloneSetTLS |
		cloneParentSetTID | cloneChildClearTID | cloneDetached | cloneChildSetTID
	exitSignalMask = 0xff
)

// cloneArgs is struct clone_args, which may grow.
type cloneArgs struct {
	flags, pidFD, childTID, parentTID, exitSignal uint64
	stack, stackSize, tls                         uint64
	setTID, setTIDSize, cgroup                    uint64
}

func sysClone(t *Thread, a *Args) (uintptr, Errno) {
	return t.clone(&cloneArgs{
		flags:     uint64(a.Arg1()) &^ exitSignalMask,
		stack:     uint64(a.Arg2()),
		parentTID: uint64(a.Arg3()),
		childTID:  uint64(a.Arg4()),
		tls:       uint64(a.Arg5()),
	})
}

func sysClone3(t *Thread, a *Args) (uintptr, Errno) {
	var c cloneArgs
	switch n := a.Arg2(); {
	case n < 64:
		return 0, EINVAL
	case n > pageSize:
		return 0, E2BIG
	}
	const known = unsafe.Sizeof(c)
	if err := t.CopyIn((*[known]byte)(unsafe.Pointer(&c))[:min(a.Arg2(), known)], a.Arg1()); err != 0 {
		return 0, err
	}
	for at := known; at < a.Arg2(); at++ { // what we don't know must not be asked for
		var b uint8
		if err := copyIn(t, &b, a.Arg1()+at); err != 0 {
			return 0, err
		}
		if b != 0 {
			return 0, E2BIG
		}
	}
	switch {
	case c.flags&(exitSignalMask|cloneDetached) != 0, c.flags>>34 != 0,
		c.stack == 0 != (c.stackSize == 0), c.setTID == 0 != (c.setTIDSize == 0),
		c.exitSignal&^exitSignalMask != 0, c.exitSignal != 0 && c.flags&cloneThread != 0:
		return 0, EINVAL
	}
	c.stack += c.stackSize
	return t.clone(&c)
}

// clone starts a thread. What would be another process is not there.
func (t *Thread) clone(c *cloneArgs) (uintptr, Errno) {
	switch {
	case c.flags&cloneSigHand != 0 && c.flags&cloneVM == 0, c.flags&cloneThread != 0 && c.flags&cloneSigHand == 0:
		return 0, EINVAL
	case c.flags&cloneThread == 0:
		return 0, ENOSYS
	case c.flags&^cloneSettable != 0:
		return 0, EINVAL
	}
	count, room := t.proc.kernel.countThreads(), mm.KernelRoom
	if count < fewThreads {
		room = mm.LastRoom
	}
	if !room(threadSize) || count >= maxThreads || uint64(count) >= t.proc.limit(rlimitNproc) && t.bound() {
		return 0, EAGAIN
	}
	n := t.proc.newThread(t.proc.kernel.newID())
	n.slack = t.slack
	*n.regs = *t.regs
	n.regs.AX, n.regs.Attention = 0, 0
	if mask := t.affinity.Load(); mask != 0 {
		n.affinity.Store(mask)
		n.regs.Pin = nowhere
	}
	if c.stack != 0 {
		n.regs.SP = uintptr(c.stack)
	}
	if c.flags&cloneSetTLS != 0 {
		if c.tls > userTop {
			return 0, EPERM
		}
		n.regs.FS = uintptr(c.tls)
	}
	n.name, n.sched = t.name, t.sched
	n.sig.mask = t.sig.mask
	n.sig.stack.flags = ssDisable
	id := uint32(n.tid)
	if c.flags&cloneParentSetTID != 0 {
		if err := copyOut(t, uintptr(c.parentTID), &id); err != 0 {
			return 0, err
		}
	}
	if c.flags&cloneChildSetTID != 0 {
		copyOut(t, uintptr(c.childTID), &id) // Linux ignores the error too
	}
	if c.flags&cloneChildClearTID != 0 {
		n.clearTID = uintptr(c.childTID)
	}
	t.proc.link(n)
	n.reported() // by a plan that came before, or else it is told
	n.reportName()
	if t.proc.exiting.Load() { // it may have missed n
		n.work.Or(workExit)
	}
	t.proc.sig.mu.Lock()
	if t.proc.sig.stopped { // so may this
		n.work.Or(workStop)
	}
	t.proc.sig.mu.Unlock()
	metal.Runnable(1)
	go n.run()
	return uintptr(n.tid), 0
}

// bound says whether RLIMIT_NPROC counts for t.
func (t *Thread) bound() bool {
	uid, _ := t.ids()
	return uid.real != 0 && !t.can(capSysResource) && !t.can(capSysAdmin)
}

// threadSize is what a thread takes of the kernel's heap, about.
const threadSize = 16 << 10

// fewThreads are what a runtime has for itself; Go's ends the program if it does not get one.
const fewThreads = 16

// maxThreads bounds the threads of all processes (kernel.threads-max).
const maxThreads = 32000

func sysExit(t *Thread, a *Args) (uintptr, Errno) {
	if t.tid == t.proc.pid {
		t.proc.leaderCode = int(a.Arg1() & 0xff)
	}
	t.work.Or(workExit)
	return 0, 0
}

func sysExitGroup(t *Thread, a *Args) (uintptr, Errno) {
	t.proc.exit(int(a.Arg1()&0xff), 0)
	return 0, 0
}

func sysSetTIDAddress(t *Thread, a *Args) (uintptr, Errno) {
	t.clearTID = a.Arg1()
	return uintptr(t.tid), 0
}

func sysGetpid(t *Thread, a *Args) (uintptr, Errno) { return uintptr(t.proc.pid), 0 }
func sysGettid(t *Thread, a *Args) (uintptr, Errno) { return uintptr(t.tid), 0 }

func sysGetppid(t *Thread, a *Args) (uintptr, Errno) {
	if p := t.proc.parent; p != nil {
		return uintptr(p.pid), 0
	}
	return 0, 0
}

// arch_prctl(2).
const (
	archSetGS    = 0x1001
	archSetFS    = 0x1002
	archGetFS    = 0x1003
	archGetGS    = 0x1004
	archGetCPUID = 0x1011
	archSetCPUID = 0x1012
)

func sysArchPrctl(t *Thread, a *Args) (uintptr, Errno) {
	v, r := a.Arg2(), t.regs
	switch a.Arg1() {
	case archSetFS, archSetGS:
		if v > userTop {
			return 0, EPERM
		}
		if a.Arg1() == archSetFS {
			r.FS = v
		} else {
			r.GS = v
		}
		return 0, 0
	case archGetFS:
		return 0, copyOut(t, v, &r.FS)
	case archGetGS:
		return 0, copyOut(t, v, &r.GS)
	case archGetCPUID:
		return 1, 0
	case archSetCPUID:
		return 0, ENODEV // CPUID cannot be made to fault
	}
	return 0, EINVAL
}

// prctl(2).
const (
	prSetPDeathSig      = 1
	prGetPDeathSig      = 2
	prGetDumpable       = 3
	prSetDumpable       = 4
	prGetKeepCaps       = 7
	prSetKeepCaps       = 8
	prGetTiming         = 13
	prSetName           = 15
	prGetName           = 16
	prGetSeccomp        = 21
	prCapBSetRead       = 23
	prCapBSetDrop       = 24
	prGetTSC            = 25
	prGetSecureBits     = 27
	prSetTimerSlack     = 29
	prGetTimerSlack     = 30
	prGetChildSubreaper = 37
	prSetNoNewPrivs     = 38
	prGetNoNewPrivs     = 39
	prGetTIDAddress     = 40
	prSetTHPDisable     = 41
	prGetTHPDisable     = 42
	prCapAmbient        = 47

	defaultTimerSlack = 50_000 // ns
)

func sysPrctl(t *Thread, a *Args) (uintptr, Errno) {
	arg := a.Arg2()
	switch int32(a.Arg1()) {
	case prSetName:
		name, err := t.copyInName(arg)
		if err == 0 {
			t.name = name
			t.reportName()
		}
		return 0, err
	case prGetName:
		return 0, copyOut(t, arg, &t.name)
	case prSetPDeathSig:
		if arg > numSig {
			return 0, EINVAL
		}
		t.proc.deathSignal = int32(arg)
		return 0, 0
	case prGetPDeathSig:
		return 0, copyOut(t, arg, &t.proc.deathSignal)
	case prGetDumpable:
		return flagResult(!t.proc.secret.Load()), 0
	case prSetDumpable:
		if arg > 1 {
			return 0, EINVAL
		}
		t.proc.secret.Store(arg == 0)
		return 0, 0
	case prGetTiming, prGetSeccomp, prGetSecureBits:
		return 0, 0
	case prSetTHPDisable, prGetTHPDisable:
		if a.Arg3()|a.Arg4()|a.Arg5() != 0 || int32(a.Arg1()) == prGetTHPDisable && arg != 0 {
			return 0, EINVAL
		}
		if int32(a.Arg1()) == prGetTHPDisable {
			return flagResult(!t.space.AllowsHuge()), 0
		}
		t.space.AllowHuge(arg == 0)
		return 0, 0
	case prGetKeepCaps:
		return flagResult(t.credFlag(&t.proc.cred.keepCaps)), 0
	case prSetKeepCaps:
		if arg > 1 {
			return 0, EINVAL
		}
		return t.changeCreds(func(c *credentials) Errno {
			c.keepCaps = arg != 0
			return 0
		})
	case prCapBSetRead:
		if arg > lastCapability {
			return 0, EINVAL
		}
		c := &t.proc.cred
		c.mu.Lock()
		defer c.mu.Unlock()
		return uintptr(c.bounding >> arg & 1), 0
	case prCapBSetDrop:
		return t.changeCreds(func(c *credentials) Errno {
			switch {
			case !c.can(capSetPCap):
				return EPERM
			case arg > lastCapability:
				return EINVAL
			}
			c.bounding &^= 1 << arg
			return 0
		})
	case prCapAmbient:
		return t.ambientCaps(arg, a.Arg3())
	case prGetTSC:
		enabled := uint32(1)
		return 0, copyOut(t, arg, &enabled)
	case prSetTimerSlack: // timers are exact whatever it is
		if t.slack = arg; int(arg) <= 0 {
			t.slack = defaultTimerSlack
		}
		return 0, 0
	case prGetTimerSlack:
		return t.slack, 0
	case prGetChildSubreaper:
		none := uint32(0)
		return 0, copyOut(t, arg, &none)
	case prSetNoNewPrivs:
		if arg != 1 || a.Arg3()|a.Arg4()|a.Arg5() != 0 {
			return 0, EINVAL
		}
		return t.changeCreds(func(c *credentials) Errno {
			c.noNewPrivs = true
			return 0
		})
	case prGetNoNewPrivs:
		if arg|a.Arg3()|a.Arg4()|a.Arg5() != 0 {
			return 0, EINVAL
		}
		return flagResult(t.credFlag(&t.proc.cred.noNewPrivs)), 0
	case prGetTIDAddress:
		return 0, copyOut(t, arg, &t.clearTID)
	}
	return 0, EINVAL
}

// credFlag reads a flag of the credentials of t's process.
func (t *Thread) credFlag(flag *bool) bool {
	c := &t.proc.cred
	c.mu.Lock()
	defer c.mu.Unlock()
	return *flag
}

func flagResult(set bool) uintptr {
	if set {
		return 1
	}
	return 0
}

// copyInName reads a thread's name: up to 15 bytes and a zero byte.
func (t *Thread) copyInName(addr uintptr) (name [16]byte, err Errno) {
	n := t.CopyInSome(name[:15], addr)
	for i, c := range name[:n] {
		if c == 0 {
			clear(name[i:])
			return name, 0
		}
	}
	if n < 15 {
		return name, EFAULT
	}
	return name, 0
}
