package linux

import (
	"unsafe"

	"gosv/kernel/metal"
)

// What the application finds on its stack in a signal handler: struct
// rt_sigframe (arch/x86/include/asm/sigframe.h) below the FP state, which is
// an FXSAVE or XSAVE image with a description in bytes that the processor
// leaves alone (struct _fpx_sw_bytes, uapi/asm/sigcontext.h).

type sigFrame struct {
	restorer uintptr // return address of the handler
	uc       ucontext
	info     sigInfo
}

type ucontext struct {
	flags uintptr
	_     uintptr // link
	stack sigStack
	mc    sigContext
	mask  sigSet
}

// sigStack is stack_t (sigaltstack(2)).
type sigStack struct {
	sp    uintptr
	flags int32
	_     int32
	size  uintptr
}

type sigContext struct {
	r8, r9, r10, r11, r12, r13, r14, r15   uintptr
	di, si, bp, bx, dx, ax, cx, sp, ip, fl uintptr
	cs, _, _, ss                           uint16
	err, trapno                            uintptr
	oldmask                                sigSet
	cr2, fpstate                           uintptr
	_                                      [8]uint64
}

const (
	ucFPXState      = 1 // there is XSAVE state
	ucSigContextSS  = 2 // ss is right
	ucStrictRestore = 4

	userCS = 0x33
	userSS = 0x2b

	ssOnStack    = 1
	ssDisable    = 2
	ssAutodisarm = -1 << 31 // as flags has it

	redZone = 128 // below SP belongs to the function that was interrupted
)

// fpSW is what FP state in a frame says about itself, at byte 464.
type fpSW struct {
	magic1, extendedSize uint32
	features             uint64
	size                 uint32
	_                    [7]uint32
}

const (
	fpMagic1   = 0x46505853
	fpMagic2   = 0x46505845
	fpSWOffset = 464
	fxSize     = 512      // of an FXSAVE image
	xsHeader   = fxSize   // XSTATE_BV, XCOMP_BV and reserved bytes
	xsMinimum  = 512 + 64 // with the header
	mxcsrAt    = 24
	mxcsrMask  = 0xffff
)

// Flags that sigreturn takes from the application (FIX_EFLAGS,
// arch/x86/include/asm/sighandling.h); the others stay as ring 3 always has them.
const (
	flCF = 1 << 0
	flTF = 1 << 8
	flIF = 1 << 9
	flDF = 1 << 10
	flRF = 1 << 16

	flUser  = 0x40000 | flRF | 0x800 | flDF | flTF | 0x80 | 0x40 | 0x10 | 4 | flCF // AC RF OF DF TF SF ZF AF PF CF
	flFixed = flIF | 2
)

// frameAt returns where on a stack whose top is sp a frame and its FP state go.
// The frame is aligned as after a CALL, the FP state to 64 bytes.
func frameAt(sp, fpSize uintptr) (frame, fp uintptr) {
	fp = (sp - fpSize) &^ 63
	frame = (fp-unsafe.Sizeof(sigFrame{}))&^15 - 8
	return frame, fp
}

// sigFrameMax is the most that a signal frame can take of a stack, for
// AT_MINSIGSTKSZ.
func sigFrameMax(fpSize int) uintptr {
	const align = 63 + 15 + 8
	return (unsafe.Sizeof(sigFrame{}) + uintptr(fpSize) + 4 + align + 15) &^ 15
}

// fill saves the registers in r, in mid-call or not, for sigreturn.
func (f *sigFrame) fill(r *metal.Regs, fp uintptr, xsave bool) {
	c := &f.uc.mc
	c.r8, c.r9, c.r10, c.r11 = r.R8, r.R9, r.R10, r.R11
	c.r12, c.r13, c.r14, c.r15 = r.R12, r.R13, r.R14, r.R15
	c.di, c.si, c.bp, c.bx = r.DI, r.SI, r.BP, r.BX
	c.dx, c.ax, c.cx, c.sp = r.DX, r.AX, r.CX, r.SP
	c.ip, c.fl = r.IP, r.FL
	if r.Full == 0 { // SYSCALL put these there
		c.cx, c.r11 = r.IP, r.FL
	}
	c.cs, c.ss = userCS, userSS
	c.err, c.trapno, c.cr2 = r.Err, r.Vec, r.CR2
	c.fpstate = fp
	f.uc.flags = ucSigContextSS | ucStrictRestore
	if xsave {
		f.uc.flags |= ucFPXState
	}
}

// restore is the way back. It returns false if the application could not
// have been where the frame says, and r must not be entered.
func (c *sigContext) restore(r *metal.Regs) bool {
	r.R8, r.R9, r.R10, r.R11 = c.r8, c.r9, c.r10, c.r11
	r.R12, r.R13, r.R14, r.R15 = c.r12, c.r13, c.r14, c.r15
	r.DI, r.SI, r.BP, r.BX = c.di, c.si, c.bp, c.bx
	r.DX, r.AX, r.CX, r.SP = c.dx, c.ax, c.cx, c.sp
	r.FL = c.fl&flUser | flFixed
	r.Full = 1 // CX and R11 are what they were
	r.IP = c.ip
	return c.ip <= userTop && c.cs == userCS && c.ss == userSS
}

// describeFP writes into the FP state of r, of size bytes, what it holds.
func describeFP(r *metal.Regs, size int, mask uint64) {
	sw := (*fpSW)(unsafe.Pointer(&r.FP[fpSWOffset]))
	*sw = fpSW{}
	if mask != 0 {
		sw.magic1, sw.extendedSize = fpMagic1, uint32(size)+4
		sw.features, sw.size = mask, uint32(size)
		*(*uint64)(unsafe.Pointer(&r.FP[xsHeader])) |= 3 // for those who don't know XSAVE
	}
}

// checkFP makes an FP state that came from the application one that the
// processor takes without a fault: XRSTOR checks the header and MXCSR (Intel
// SDM vol. 1 13.8). Components that are not among features are reset.
func checkFP(r *metal.Regs, features, mask uint64) {
	*(*uint32)(unsafe.Pointer(&r.FP[mxcsrAt])) &= mxcsrMask
	if mask != 0 {
		header := (*[8]uint64)(unsafe.Pointer(&r.FP[xsHeader]))
		*header = [8]uint64{header[0] & features & mask}
	}
}

// resetFP gives r the FP state of a new program. With XSAVE it is enough to
// say that no component holds anything.
func resetFP(r *metal.Regs) {
	if metal.FPMask() == 0 {
		r.ResetFP()
		return
	}
	*(*uint16)(unsafe.Pointer(&r.FP[0])) = 0x37f
	*(*uint32)(unsafe.Pointer(&r.FP[mxcsrAt])) = 0x1f80
	*(*[8]uint64)(unsafe.Pointer(&r.FP[xsHeader])) = [8]uint64{}
}

// pushFrame puts a frame for a handler of info on t's stack and makes t run
// the handler. It returns false if there is no stack to put it on.
func (t *Thread) pushFrame(act *sigAction, info *sigInfo, mask sigSet) bool {
	r := t.regs
	sp := r.SP - redZone
	if st := &t.sig.stack; act.flags&saOnStack != 0 && st.usable() && !st.holds(r.SP) {
		sp = st.sp + st.size
	}
	fpSize, fpMask := metal.FPSize(), metal.FPMask()
	fpUse := fpSize
	if fpMask != 0 {
		fpUse += 4
	}
	at, fp := frameAt(sp, uintptr(fpUse))
	if st := &t.sig.stack; st.holds(r.SP) && !st.holds(at) && act.flags&saOnStack != 0 {
		return false // the alternate stack is full
	}
	var f sigFrame
	f.fill(r, fp, fpMask != 0)
	f.restorer = act.restorer
	f.uc.stack = t.sig.stack
	f.uc.mask, f.uc.mc.oldmask = mask, mask
	f.info = *info
	describeFP(r, fpSize, fpMask)
	magic2 := uint32(fpMagic2)
	if t.CopyOut(fp, r.FP[:fpSize]) != 0 ||
		fpMask != 0 && copyOut(t, fp+uintptr(fpSize), &magic2) != 0 ||
		copyOut(t, at, &f) != 0 {
		return false
	}
	if t.sig.stack.flags&ssAutodisarm != 0 {
		t.sig.stack = sigStack{flags: ssDisable}
	}
	r.DI, r.SI, r.DX, r.AX = uintptr(info.signo), at+unsafe.Offsetof(f.info), at+unsafe.Offsetof(f.uc), 0
	r.SP, r.IP = at, act.handler
	r.FL &^= flDF | flRF | flTF
	resetFP(r)
	return true
}

// popFrame undoes pushFrame, with what the handler has changed in the frame.
// It returns false if there is no frame at SP.
func (t *Thread) popFrame() bool {
	r := t.regs
	var uc ucontext
	if copyIn(t, &uc, r.SP) != 0 { // RET took the return address off
		return false
	}
	ok := uc.mc.restore(r) && t.restoreFP(uc.mc.fpstate)
	t.setMask(uc.mask)
	t.sig.stack.restore(&uc.stack, r.SP)
	return ok
}

// restoreFP loads the FP state at user address fp, 0 for that of a new program.
func (t *Thread) restoreFP(fp uintptr) bool {
	r := t.regs
	if fp == 0 {
		resetFP(r)
		return true
	}
	size, mask := metal.FPSize(), metal.FPMask()
	if t.CopyIn(r.FP[:fxSize], fp) != 0 || *(*uint32)(unsafe.Pointer(&r.FP[mxcsrAt]))&^mxcsrMask != 0 {
		resetFP(r)
		return false
	}
	if mask == 0 {
		checkFP(r, 0, 0)
		return true
	}
	sw := *(*fpSW)(unsafe.Pointer(&r.FP[fpSWOffset]))
	var magic2 uint32
	if sw.magic1 != fpMagic1 || sw.size < xsMinimum || int(sw.size) > size || sw.extendedSize < sw.size+4 ||
		copyIn(t, &magic2, fp+uintptr(sw.size)) != 0 || magic2 != fpMagic2 {
		// Somebody made a plain FXSAVE image.
		*(*[8]uint64)(unsafe.Pointer(&r.FP[xsHeader])) = [8]uint64{3}
		checkFP(r, 3, mask)
		return true
	}
	ok := t.CopyIn(r.FP[fxSize:sw.size], fp+fxSize) == 0
	checkFP(r, sw.features, mask)
	return ok
}

// usable says whether there is an alternate stack.
func (s *sigStack) usable() bool { return s.size != 0 && s.flags&ssDisable == 0 }

// holds says whether sp is on it.
func (s *sigStack) holds(sp uintptr) bool {
	return s.usable() && s.flags&ssAutodisarm == 0 && sp > s.sp && sp-s.sp <= s.size
}

// report is s as sigaltstack and signal frames show it to one whose stack
// pointer is sp.
func (s *sigStack) report(sp uintptr) sigStack {
	r := *s
	switch {
	case !s.usable():
		r.flags = ssDisable | s.flags&ssAutodisarm
	case s.holds(sp):
		r.flags |= ssOnStack
	}
	return r
}

// restore sets the alternate stack on return from a handler, if it is a
// valid one and not in use; errors are ignored, as on Linux.
func (s *sigStack) restore(n *sigStack, sp uintptr) {
	if !s.holds(sp) {
		s.set(n)
	}
}

// minSigStack is MINSIGSTKSZ, the least that sigaltstack accepts.
const minSigStack = 2048

// set installs n.
func (s *sigStack) set(n *sigStack) Errno {
	switch n.flags &^ ssAutodisarm {
	case 0, ssOnStack:
		if n.size < minSigStack {
			return ENOMEM
		}
		*s = sigStack{sp: n.sp, size: n.size, flags: n.flags & ssAutodisarm}
	case ssDisable:
		*s = sigStack{flags: ssDisable | n.flags&ssAutodisarm}
	default:
		return EINVAL
	}
	return 0
}
