package metal

import (
	"math/bits"
	"unsafe"
)

// Signals to the Go runtime itself: SIGURG to preempt a goroutine, SIGSEGV and
// its like for faults of kernel code. Handlers run as on Linux, on the
// thread's signal stack, with a ucontext to change and return by
// rt_sigreturn (man 2 sigreturn; struct sigframe of the x86-64 Linux ABI).
const (
	sigill, sigtrap, sigbus, sigfpe, sigsegv = 4, 5, 7, 8, 11
	sigurg                                   = 23

	saOnStack = 0x08000000

	siKernel, siTkill = 0x80, -6
)

// handlers has a struct sigaction per signal, as the kernel sees it; 0 is unused.
// kernelsyscall reads and sets them.
var handlers [65]struct{ handler, flags, restorer, mask uintptr }

func sigprocmask(t *thread) uintptr {
	const block, unblock, setmask = 0, 1, 2
	old := t.mask
	if t.SI != 0 {
		m := uint64(ld(t.SI))
		switch t.DI {
		case block:
			t.mask |= m
		case unblock:
			t.mask &^= m
		case setmask:
			t.mask = m
		}
	}
	if t.DX != 0 {
		st(t.DX, uintptr(old))
	}
	return 0
}

func sigaltstack(t *thread) uintptr {
	const disable = 2
	if t.SI != 0 {
		flags := uint32(0)
		if t.altSP == 0 {
			flags = disable
		}
		st(t.SI, t.altSP)
		st32(t.SI+8, flags)
		st(t.SI+16, t.altSize)
	}
	if t.DI != 0 {
		t.altSP, t.altSize = ld(t.DI), ld(t.DI+16)
		if ld32(t.DI+8)&disable != 0 {
			t.altSP = 0
		}
	}
	return 0
}

// kill makes a signal pending for a thread, and the thread notice.
func kill(c *CPU, tid, sig uintptr) uintptr {
	if tid == 0 || tid > nthreads || sig == 0 || sig >= uintptr(len(handlers)) {
		return errno(esrch)
	}
	if handlers[sig].handler == 0 && sig != sigurg {
		fatalRuntime(c) // the runtime kills itself after a fatal error
	}
	t := threadAt(tid - 1)
	t.pending |= 1 << (sig - 1)
	if t.state > runnable && t.pending&^t.mask != 0 {
		t.AX = errno(eintr)
		ready(c, t)
		setWant(c)
	} else if d := t.cpu; d != nil && d != c && d.cur == t {
		c.kick |= 1 << d.id // it runs there now
	}
	return 0
}

// deliverPending makes the thread about to run on c run a signal handler.
func deliverPending(c *CPU) {
	t := c.cur
	if p := t.pending &^ t.mask; p != 0 {
		sig := uintptr(bits.TrailingZeros64(p)) + 1
		t.pending &^= 1 << (sig - 1)
		if handlers[sig].handler > 1 {
			code := siTkill
			deliver(t, sig, uintptr(code), 0, 0, 0)
		}
	}
}

// Offsets in the frame that a handler is entered with: return address, struct
// ucontext, siginfo_t.
const (
	frameUcontext = 8
	frameSiginfo  = frameUcontext + 304
	frameSize     = frameSiginfo + 128

	ucStack    = 16
	ucMcontext = 40
	ucSigmask  = 296
	mcFPState  = 23 * 8
)

// deliver makes t run the handler of sig on its signal stack.
func deliver(t *thread, sig, code, cr2, err, vec uintptr) {
	h := &handlers[sig]
	sp := t.SP - 128 // the red zone
	if h.flags&saOnStack != 0 && t.altSP != 0 && (t.SP <= t.altSP || t.SP > t.altSP+t.altSize) {
		sp = t.altSP + t.altSize
	}
	sp = (sp - fpArea) &^ 63
	fp := uintptr(0)
	if t.Full != 0 {
		fp = sp
		copyBytes(fp, addressOf(&t.FP), fpArea)
	}
	f := (sp-frameSize)&^15 - 8 // as after a CALL
	clear(unsafe.Slice((*byte)(unsafe.Pointer(f)), frameSize))
	st(f, h.restorer)
	uc := f + frameUcontext
	st(uc+ucStack, t.altSP)
	st(uc+ucStack+16, t.altSize)
	for i, v := range [...]uintptr{t.R8, t.R9, t.R10, t.R11, t.R12, t.R13, t.R14, t.R15,
		t.DI, t.SI, t.BP, t.BX, t.DX, t.AX, t.CX, t.SP, t.IP, t.FL, UCode, err, vec, uintptr(t.mask), cr2} {
		st(uc+ucMcontext+uintptr(i)*8, v)
	}
	st(uc+ucMcontext+mcFPState, fp)
	st(uc+ucSigmask, uintptr(t.mask))
	info := f + frameSiginfo
	st32(info, uint32(sig))
	st32(info+8, uint32(code))
	st(info+16, cr2)
	t.DI, t.SI, t.DX = sig, info, uc
	t.SP = f
	t.IP = h.handler
	t.mask |= uint64(h.mask) | 1<<(sig-1)
	t.Full = 0
	t.FL = flagsUser
}

// UCode is what CS is in ring 3; a handler of the runtime sees it too.
const UCode = 0x33

func sigreturn(t *thread) {
	uc := t.SP
	g := uc + ucMcontext
	for i, r := range [...]*uintptr{&t.R8, &t.R9, &t.R10, &t.R11, &t.R12, &t.R13, &t.R14, &t.R15,
		&t.DI, &t.SI, &t.BP, &t.BX, &t.DX, &t.AX, &t.CX, &t.SP, &t.IP, &t.FL} {
		*r = ld(g + uintptr(i)*8)
	}
	t.mask = uint64(ld(uc + ucSigmask))
	t.Full = 1
	if fp := ld(g + mcFPState); fp != 0 {
		copyBytes(addressOf(&t.FP), fp, fpArea)
	} else {
		t.ResetFP()
	}
}
