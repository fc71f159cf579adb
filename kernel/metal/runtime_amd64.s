#include "textflag.h"
#include "go_asm.h"
#include "macros_amd64.h"

// kernelsyscall is where every SYSCALL of the Go runtime goes: the kernel is
// assembled with SYSCALL defined as LEAQ 5(IP),CX; JMP kernelsyscall(SB), so
// that LSTAR is left to ring 3. The contract is that of SYSCALL: CX is the
// return address, nothing has been pushed, R11 is free.
//
// Two calls that the runtime makes by the dozen at its start are answered
// here: rt_sigaction for all signals, before there is a second thread, and
// mmap with hints for its heap in the half that is not ours.
TEXT kernelsyscall(SB),NOSPLIT|NOFRAME,$0
	CLI
	CMPQ	AX, $13	// rt_sigaction(DI signal, SI new, DX old)
	JEQ	sigaction
	CMPQ	AX, $9	// mmap(DI hint, ...)
	JNE	enter
	TESTQ	DI, DI
	JLE	enter
	MOVQ	$-12, AX	// ENOMEM
	STI
	JMP	CX
sigaction:
	LEAQ	-1(DI), R11
	CMPQ	R11, $64
	JCC	enter
	MOVQ	DI, R11
	SHLQ	$5, R11	// a handlers element is a struct sigaction: 32 bytes
	LEAQ	·handlers(SB), AX
	ADDQ	AX, R11
	TESTQ	DX, DX
	JEQ	noold
	MOVQ	0(R11), AX
	MOVQ	AX, 0(DX)
	MOVQ	8(R11), AX
	MOVQ	AX, 8(DX)
	MOVQ	16(R11), AX
	MOVQ	AX, 16(DX)
	MOVQ	24(R11), AX
	MOVQ	AX, 24(DX)
noold:
	TESTQ	SI, SI
	JEQ	nonew
	MOVQ	0(SI), AX
	MOVQ	AX, 0(R11)
	MOVQ	8(SI), AX
	MOVQ	AX, 8(R11)
	MOVQ	16(SI), AX
	MOVQ	AX, 16(R11)
	MOVQ	24(SI), AX
	MOVQ	AX, 24(R11)
nonew:
	XORL	AX, AX
	STI
	JMP	CX
enter:
	MOVQ	CPU_cur(GS), R11
	SAVE(R11)
	MOVQ	SP, Regs_SP(R11)
	MOVQ	CX, Regs_IP(R11)
	MOVQ	$0, Regs_Full(R11)
	MOVL	$1, CPU_inKernel(GS)
	MOVQ	CPU_stack(GS), SP
	GOWORLD
	MOVQ	CPU_self(GS), AX
	MOVQ	R11, BX
	CALLGO(·syscallFn)
	JMP	·resume(SB)

// resume leaves the world beneath the runtime for the CPU's current thread:
// by a jump after a system call, by IRET where all registers count.
TEXT ·resume(SB),NOSPLIT|NOFRAME,$0
	MOVQ	CPU_cur(GS), R11
	MOVL	$0, CPU_inKernel(GS)
	MOVQ	Regs_FS(R11), AX
	CMPQ	AX, CPU_fs(GS)
	JEQ	fsok
	MOVQ	AX, CPU_fs(GS)
	WRFSBASEQ	AX
fsok:
	CMPQ	Regs_Full(R11), $0
	JNE	full
	LOAD(R11)
	MOVQ	Regs_SP(R11), SP
	MOVQ	Regs_IP(R11), CX
	STI
	JMP	CX
full:
	LOADFP(R11)
	MOVQ	CPU_stack(GS), SP
	PUSHQ	$KDATA
	PUSHQ	Regs_SP(R11)
	PUSHQ	Regs_FL(R11)
	PUSHQ	$KCODE
	PUSHQ	Regs_IP(R11)
	LOAD(R11)
	MOVQ	Regs_CX(R11), CX
	MOVQ	Regs_R11(R11), R11
	IRETQ

// The time since boot in ns to AX, as now in clock.go. Clobbers CX, DX, R8 to R11.
#define TSCNOW \
	CMPL	·perCPU(SB), $0 \
	JEQ	3(PC) \
	CALL	·cpuNow(SB) \
	JMP	10(PC) \
	RDTSC \
	SHLQ	$32, DX \
	ORQ	DX, AX \
	SUBQ	·tsc0(SB), AX \
	MULQ	·tscMult(SB) \
	SHRQ	$32, AX \
	SHLQ	$32, DX \
	ORQ	DX, AX \
	INCQ	AX

// cpuNow() uint64, from Go and from assembly, asks KVM's clock of the CPU that
// it runs on. It may change CPUs in between, and the clock: it tries again then.
TEXT ·cpuNow(SB),NOSPLIT|NOFRAME,$0
again:
	MOVQ	CPU_clock(GS), R8
	MOVL	pvclock_version(R8), R9
	LFENCE
	RDTSC
	SHLQ	$32, DX
	ORQ	DX, AX
	SUBQ	pvclock_tsc(R8), AX
	MOVL	pvclock_mult(R8), R10
	MOVBLSX	pvclock_shift(R8), CX
	TESTL	CX, CX
	JLT	right
	SHLQ	CX, AX
	JMP	scale
right:
	NEGL	CX
	SHRQ	CX, AX
scale:
	MULQ	R10
	SHRQ	$32, AX
	SHLQ	$32, DX
	ORQ	DX, AX
	ADDQ	pvclock_ns(R8), AX
	TESTL	$1, R9
	JNE	again
	CMPL	R9, pvclock_version(R8)
	JNE	again
	CMPQ	R8, CPU_clock(GS)
	JNE	again
	SUBQ	·kvmBoot(SB), AX
	MOVQ	AX, R9
	MOVQ	·lastNow(SB), AX
later:
	CMPQ	R9, AX
	JLE	done	// another CPU's is ahead: AX
	LOCK
	CMPXCHGQ	R9, ·lastNow(SB)
	JNE	later
	MOVQ	R9, AX
done:
	RET

// vdsoClock has the C signature of __vdso_clock_gettime(DI clock, SI
// timespec): the runtime calls it through runtime·vdsoClockgettimeSym, without
// entering the world beneath it. Every clock but CLOCK_REALTIME (0) is Now.
TEXT ·vdsoClock(SB),NOSPLIT|NOFRAME,$0
	TSCNOW
	TESTL	DI, DI
	JNE	2(PC)
	ADDQ	·wallBase(SB), AX
	XORL	DX, DX
	MOVL	$1000000000, CX
	DIVQ	CX
	MOVQ	AX, 0(SI)
	MOVQ	DX, 8(SI)
	XORL	AX, AX
	RET

// func mcall(nr, a, b, c uintptr) uintptr
TEXT ·mcall(SB),NOSPLIT|NOFRAME,$0-40
	MOVQ	nr+8(SP), AX
	MOVQ	a+16(SP), DI
	MOVQ	b+24(SP), SI
	MOVQ	c+32(SP), DX
	SYSCALL
	MOVQ	AX, ret+40(SP)
	RET

// func Now() uint64
TEXT ·Now(SB),NOSPLIT|NOFRAME,$0-8
	TSCNOW
	MOVQ	AX, ret+8(SP)
	RET

// func ThisCPU() int
TEXT ·ThisCPU(SB),NOSPLIT|NOFRAME,$0-8
	MOVQ	CPU_id(GS), AX
	MOVQ	AX, ret+8(SP)
	RET
