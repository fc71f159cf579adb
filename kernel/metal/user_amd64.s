#include "textflag.h"
#include "go_asm.h"
#include "macros_amd64.h"

// GS as the application has it in place of ours, just before leaving: no
// (GS) and no fault after it. And the other way round. Clobber AX.
#define USERGS(b) \
	MOVQ	Regs_GS(b), AX \
	SWAPGS \
	WRGSBASEQ	AX
#define SAVEGS(b) \
	SWAPGS \
	RDGSBASEQ	AX \
	SWAPGS \
	MOVQ	AX, Regs_GS(b)

// Back to the goroutine that called EnterUser: SP is the one it had below its
// frame pointer, AX EnterUser's result. g is in TLS again; the ABI wrapper
// reloads R14 and X15.
#define RETURN \
	MOVQ	0(SP), BP \
	LEAQ	8(SP), SP \
	MOVQ	AX, 16(SP) \
	STI \
	RET

// func EnterUser(r *Regs) uintptr
//
// Returns Preempt at once if the runtime has asked this goroutine to yield, or
// an interrupt any (recall), tested with interrupts off: what comes later comes
// as an interrupt in ring 3.
TEXT ·EnterUser(SB),NOSPLIT|NOFRAME,$0-16
	MOVQ	r+8(SP), R11
	LEAQ	-8(SP), SP	// PUSHQ, but the assembler wants them balanced
	MOVQ	BP, 0(SP)
look:
	CLI
	MOVQ	(TLS), AX
	CMPQ	const_gStackguard0(AX), $const_stackPreempt
	JEQ	preempt
	CMPQ	·onEntry(SB), $0
	JNE	asked
quiet:
	CMPQ	Regs_Attention(R11), $0	// and Pin
	JNE	special
enter:
	INCL	CPU_trips(GS)	// odd
	MOVQ	SP, CPU_goSP(GS)
	MOVQ	R11, CPU_user(GS)
	LOADFP(R11)
	MOVQ	Regs_FS(R11), AX
	WRFSBASEQ	AX
	CMPQ	Regs_Full(R11), $0
	JNE	full
	USERGS(R11)
	LOAD(R11)
	MOVQ	Regs_IP(R11), CX
	MOVQ	Regs_SP(R11), SP
	MOVQ	Regs_FL(R11), R11
	BYTE	$0x48; SYSRET	// with REX.W: to 64-bit mode
asked:
	CMPL	·onEntry+0(SB), $0	// recall
	JNE	preempt
	CMPL	·onEntry+4(SB), $const_seekers
	JNE	wake
	MOVQ	const_gM(AX), AX	// is there work for them?
	MOVQ	const_mP(AX), AX
	MOVL	const_pRunqHead(AX), CX
	CMPL	CX, const_pRunqTail(AX)
	JNE	wake
	CMPQ	const_pRunNext(AX), $0
	JNE	wake
	CMPL	runtime·sched+const_schedRunqSize(SB), $0
	JEQ	quiet
wake:
	MOVL	$const_sysWake, AX
	SYSCALL
	MOVQ	16(SP), R11	// r
	JMP	look
special:
	CMPL	Regs_Attention(R11), $0
	JNE	preempt
	MOVQ	CPU_id(GS), AX
	INCQ	AX
	CMPL	AX, Regs_Pin(R11)
	JEQ	enter
	MOVL	$const_Elsewhere, AX
	RETURN
preempt:
	MOVL	$0, ·onEntry+0(SB)
	MOVL	$0, Regs_Attention(R11)
	MOVL	$const_Preempt, AX
	RETURN
full:
	MOVQ	CPU_stack(GS), SP
	PUSHQ	$UDATA
	PUSHQ	Regs_SP(R11)
	PUSHQ	Regs_FL(R11)
	PUSHQ	$UCODE
	PUSHQ	Regs_IP(R11)
	USERGS(R11)
	LOAD(R11)
	MOVQ	Regs_CX(R11), CX
	MOVQ	Regs_R11(R11), R11
	IRETQ

// userSyscall (LSTAR) makes EnterUser return Syscall. CX = IP, R11 = FLAGS,
// interrupts are off (SFMASK), SP is the application's.
TEXT ·userSyscall(SB),NOSPLIT|NOFRAME,$0
	SWAPGS
	MOVQ	SP, CPU_userSP(GS)
	MOVQ	CPU_user(GS), SP
	SAVE(SP)
	MOVQ	CX, Regs_IP(SP)
	MOVQ	R11, Regs_FL(SP)
	MOVQ	CPU_userSP(GS), AX
	MOVQ	AX, Regs_SP(SP)
	MOVQ	$0, Regs_Full(SP)
	SAVEFP(SP)
	RDFSBASEQ	AX
	MOVQ	AX, Regs_FS(SP)
	SAVEGS(SP)
	MOVQ	CPU_fs(GS), AX
	WRFSBASEQ	AX
	INCL	CPU_trips(GS)	// even
	MOVQ	CPU_goSP(GS), SP
	MOVL	$const_Syscall, AX
	RETURN

// userTrap comes from intr: an exception or interrupt in ring 3. An exception
// is EnterUser's result; an interrupt is handled first, which may run
// another thread before this one returns to Go.
TEXT ·userTrap(SB),NOSPLIT|NOFRAME,$0
	PUSHQ	R11
	MOVQ	CPU_user(GS), R11
	SAVETRAP
	MOVQ	8(SP), AX
	MOVQ	AX, Regs_Err(R11)
	MOVQ	$1, Regs_Full(R11)
	MOVQ	CR2, AX
	MOVQ	AX, Regs_CR2(R11)
	SAVEFP(R11)
	RDFSBASEQ	AX
	MOVQ	AX, Regs_FS(R11)
	SAVEGS(R11)
	MOVQ	CPU_fs(GS), AX
	WRFSBASEQ	AX
	INCL	CPU_trips(GS)	// even
	MOVQ	0(SP), AX
	MOVQ	AX, Regs_Vec(R11)
	CMPQ	AX, $32
	JCC	irq
	MOVQ	CPU_goSP(GS), SP
	RETURN
irq:	// the thread goes on at userReturn, with the vector in AX
	MOVQ	AX, CX
	MOVQ	CPU_cur(GS), BX
	MOVQ	CX, Regs_AX(BX)
	MOVQ	CPU_goSP(GS), AX
	MOVQ	AX, Regs_SP(BX)
	MOVQ	·userReturnPC(SB), AX
	MOVQ	AX, Regs_IP(BX)
	MOVQ	$0, Regs_Full(BX)
	MOVL	$1, CPU_inKernel(GS)
	MOVQ	CPU_stack(GS), SP
	GOWORLD
	MOVQ	CPU_self(GS), AX
	CALLGO(·trapFn)
	JMP	·resume(SB)

TEXT ·userReturn(SB),NOSPLIT|NOFRAME,$0
	RETURN

// func Copy(dst, src, n uintptr) (left uintptr)
//
// In big steps first. A page fault in one of them goes on at copyRep, which
// does the step again and finds out where exactly; a page fault there, at
// loadWord or casWord goes on at copyFault (trap.go) with CX saying what is left.
TEXT ·Copy(SB),NOSPLIT|NOFRAME,$0-32
	MOVQ	dst+8(SP), DI
	MOVQ	src+16(SP), SI
	MOVQ	n+24(SP), CX
	JMP	·copySteps(SB)
TEXT ·copySteps(SB),NOSPLIT|NOFRAME,$0
	CMPQ	CX, $16	// CX is what is left, at every instruction that may fault
	JCS	word
	CMPQ	CX, $128
	JCS	two
	TESTL	$4, ·fpMask(SB)
	JEQ	sse
avx:
	VMOVDQU	0(SI), Y0
	VMOVDQU	32(SI), Y1
	VMOVDQU	64(SI), Y2
	VMOVDQU	96(SI), Y3
	VMOVDQU	Y0, 0(DI)
	VMOVDQU	Y1, 32(DI)
	VMOVDQU	Y2, 64(DI)
	VMOVDQU	Y3, 96(DI)
	SUBQ	$-128, SI
	SUBQ	$-128, DI
	ADDQ	$-128, CX
	CMPQ	CX, $128
	JCC	avx
	VZEROUPPER
	CMPQ	CX, $16
	JCS	word
sse:
	CMPQ	CX, $64
	JCS	two
four:
	MOVOU	0(SI), X0
	MOVOU	16(SI), X1
	MOVOU	32(SI), X2
	MOVOU	48(SI), X3
	MOVOU	X0, 0(DI)
	MOVOU	X1, 16(DI)
	MOVOU	X2, 32(DI)
	MOVOU	X3, 48(DI)
	ADDQ	$64, SI
	ADDQ	$64, DI
	SUBQ	$64, CX
	CMPQ	CX, $64
	JCC	four
	CMPQ	CX, $16
	JCS	word
two:
	MOVOU	(SI), X0
	MOVOU	X0, (DI)
	ADDQ	$16, SI
	ADDQ	$16, DI
	SUBQ	$16, CX
	CMPQ	CX, $16
	JCC	two
word:
	CMPQ	CX, $8
	JCS	tail
	MOVQ	(SI), AX
	MOVQ	AX, (DI)
	ADDQ	$8, SI
	ADDQ	$8, DI
	SUBQ	$8, CX
tail:
	TESTQ	CX, CX
	JEQ	done	// REP takes its time to do nothing
	JMP	·copyRep(SB)
done:
	MOVQ	CX, left+32(SP)
	RET
TEXT ·copyRep(SB),NOSPLIT|NOFRAME,$0
	REP
	MOVSB
	MOVQ	CX, left+32(SP)
	RET

// copyFault: Copy, Load32 and CompareAndSwap32 all find their result slot at
// 32(SP): left for Copy, and the others put theirs so that it is !ok there.
TEXT ·copyFault(SB),NOSPLIT|NOFRAME,$0
	MOVQ	CX, 32(SP)
	RET

// func load32(addr, _, _ uintptr) (fault, v uintptr)
TEXT ·load32(SB),NOSPLIT|NOFRAME,$0-40
	MOVQ	addr+8(SP), SI
	MOVL	$1, CX
	JMP	·loadWord(SB)
TEXT ·loadWord(SB),NOSPLIT|NOFRAME,$0
	MOVL	(SI), AX
	MOVQ	AX, v+40(SP)
	MOVQ	$0, fault+32(SP)
	RET

// func cas32(addr, old, new uintptr) (fault, swapped uintptr)
TEXT ·cas32(SB),NOSPLIT|NOFRAME,$0-40
	MOVQ	addr+8(SP), SI
	MOVQ	old+16(SP), AX
	MOVQ	new+24(SP), DX
	MOVL	$1, CX
	JMP	·casWord(SB)
TEXT ·casWord(SB),NOSPLIT|NOFRAME,$0
	LOCK
	CMPXCHGL	DX, (SI)
	SETEQ	AX
	MOVBLZX	AX, AX
	MOVQ	AX, swapped+40(SP)
	MOVQ	$0, fault+32(SP)
	RET

// func rdrand() (v uint64, ok bool)
TEXT ·rdrand(SB),NOSPLIT|NOFRAME,$0-16
	BYTE	$0x48; BYTE $0x0f; BYTE $0xc7; BYTE $0xf0	// RDRAND AX
	SETCS	BX
	MOVQ	AX, v+8(SP)
	MOVB	BX, ok+16(SP)
	RET


// func growStack()
TEXT ·growStack(SB),0,$12288-0
	RET
