package metal

import "sync/atomic"

var (
	trapFn   = trap
	nestedFn = nested
	fatalFn  = fatalTrap

	// Where user memory is touched, and where to go on if it is not there.
	copyStepsPC, copyRepPC, loadWordPC, casWordPC, copyFaultPC uintptr
	userReturnPC                                               uintptr
)

// Exception vectors (Intel SDM vol. 3 table 6-1).
const (
	excDivide, excNMI, excBreakpoint = 0, 2, 3
	excOpcode                        = 6
	excProtection, excPage           = 13, 14
)

// userEnd is the end of the lower half.
const userEnd = 1 << 47

// trap handles interrupts anywhere, and exceptions of goroutines in ring 0.
func trap(c *CPU, t *thread, vec, err, cr2 uintptr) {
	if vec >= 32 {
		interrupt(c, t, vec)
		return
	}
	if vec == excPage {
		if cr2 < userEnd { // else it is the kernel's side of a copy
			ip := t.IP
			if ip >= copyStepsPC && ip < copyRepPC {
				t.IP = copyRepPC
				return
			}
			if ip == copyRepPC || ip == loadWordPC || ip == casWordPC {
				t.IP = copyFaultPC
				return
			}
		}
		if err&ptePresent == 0 && cr2 >= heapBase && cr2 < heapEnd {
			lock(c)
			ok := mapHeap(cr2 &^ 4095)
			unlock(c)
			if ok {
				return
			}
			if framesFree == 0 {
				fatalMemory(c)
			}
		}
	}
	sig, code := uintptr(sigsegv), uintptr(1)
	switch vec {
	case excDivide:
		sig = sigfpe
	case excBreakpoint:
		sig, code = sigtrap, siKernel
	case excOpcode:
		sig, code = sigill, 2
	case excProtection:
		code = siKernel
	}
	if handlers[sig].handler <= 1 || t.mask>>(sig-1)&1 != 0 {
		fatalFault(c, &t.Regs, vec, err, cr2)
	}
	lock(c)
	deliver(t, sig, code, cr2, err, vec)
	unlock(c)
}

func interrupt(c *CPU, t *thread, vec uintptr) {
	if vec == vecSpurious {
		return
	}
	endInterrupt(c)
	if t == c.idle {
		atomic.SwapUint32(&c.lazy, 0)
		catchUp(c)
	}
	lock(c)
	left := false
	switch {
	case vec == vecTimer:
		due := max(now(), c.armed) // the host's clock and the TSC may differ a little
		c.armed, c.want = 0, 0
		if profile.period != 0 {
			sampleDue(c, due)
		}
		watch(c, due)
		left = deadlineDue(c)
		turnDue(c)
		left = wakeTimers(c, due) || left || runHead != nil && t.cpu == c && allBusy()
	case vec >= vecDevice:
		atomic.OrUint64(&irqPending, 1<<(vec-vecDevice))
		left = tell(c)
	}
	switch {
	case t == c.idle:
		c.idling = false
		schedule(c)
	case left || c.next != nil: // sleepers go first, then round robin
		ready(c, t)
		schedule(c)
	case vec == vecTimer || vec == vecWake && profile.period != 0:
		setWant(c)
	}
	if onEntry.wake != 0 {
		wakeIdle(c)
	}
	deliverPending(c)
	unlock(c)
}

// irqEvent is the descriptor that interrupts make readable, or nil.
func irqEvent() *event {
	for i := range eventFDs {
		if e := &eventFDs[i]; e.kind == eventIRQ {
			return e
		}
	}
	return nil
}

// nested handles an exception in the world beneath the runtime, on a stack of
// its own: a page of the Go heap that is touched there first. The CPU may or
// may not hold the lock.
//
// An interrupt cannot come here, for they are off, and is fatal. One that QEMU's SVM delivers
// twice does (see tools/kvmbox): it has ruined the stack.
func nested(c *CPU, r *Regs, vec, err, cr2 uintptr) {
	if vec == excPage && err&ptePresent == 0 {
		held := c.locked
		if !held {
			lock(c)
		}
		ok := mapHeap(cr2 &^ 4095)
		if !held {
			c.locked = false
			atomic.StoreUint32(&lockWord, 0)
		}
		if ok {
			return
		}
		if framesFree == 0 {
			fatalMemory(c)
		}
	}
	fatalFault(c, r, vec, err, cr2)
}

// fatalTrap is NMI, double fault and machine check.
func fatalTrap(c *CPU, r *Regs, vec, err, cr2 uintptr) {
	if vec == excNMI && hanging.Load() == c {
		fatalHang(c, r)
	}
	fatalFault(c, r, vec, err, cr2)
}
