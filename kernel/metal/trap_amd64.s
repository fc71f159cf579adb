#include "textflag.h"
#include "go_asm.h"
#include "macros_amd64.h"

// Stacks, chosen by the IST field of each vector's gate (Intel SDM vol. 3
// 6.14.5), for a goroutine's stack may have no room for a frame:
//
//	IST1	interrupts. The CPU's kernel stack: it is empty whenever they are on.
//	IST2	NMI, double fault, machine check: fatal, at any instruction.
//	IST3	other exceptions: also in the world beneath the runtime.

// intr is the common path. On the stack: vector, error code, IP, CS, FLAGS,
// SP, SS.
TEXT intr<>(SB),NOSPLIT|NOFRAME,$0
	TESTB	$3, 24(SP)
	JNE	user
	CMPL	CPU_inKernel(GS), $0
	JNE	nested
	PUSHQ	R11
	MOVQ	CPU_cur(GS), R11
	SAVETRAP
	MOVQ	$1, Regs_Full(R11)
	MOVL	$1, CPU_inKernel(GS)
	SAVEFP(R11)
	MOVQ	0(SP), CX	// vector
	MOVQ	8(SP), DI	// error code
	MOVQ	CR2, SI
	MOVQ	CPU_stack(GS), SP
	GOWORLD
	MOVQ	CPU_self(GS), AX
	MOVQ	R11, BX
	CALLGO(·trapFn)
	JMP	·resume(SB)
user:
	SWAPGS
	JMP	·userTrap(SB)
nested:	// an exception in the world beneath the runtime: stay on this stack
	PUSHQ	R11
	MOVQ	CPU_stack(GS), R11
	SUBQ	$const_nestBelow, R11
	SAVETRAP
	SAVEFP(R11)
	MOVQ	0(SP), CX
	MOVQ	8(SP), DI
	MOVQ	CR2, SI
	GOWORLD
	MOVQ	CPU_self(GS), AX
	MOVQ	R11, BX
	LEAQ	-const_stackHeadroom(SP), SP	// where nestedFn may spill its arguments
	CALLGO(·nestedFn)	// returns if it was a missing page of the heap
	LEAQ	const_stackHeadroom(SP), SP
	MOVQ	CPU_stack(GS), R11
	SUBQ	$const_nestBelow, R11
	LOADFP(R11)
	LOAD(R11)
	MOVQ	Regs_CX(R11), CX
	MOVQ	Regs_R11(R11), R11
	ADDQ	$16, SP
	IRETQ

// fatal is intr for the vectors of IST2, which may come when GS is still or
// already the application's. The CPU's own block is noted above the stack.
TEXT fatal<>(SB),NOSPLIT|NOFRAME,$0
	PUSHQ	R11
	PUSHQ	AX
	MOVQ	72(SP), R11
	WRGSBASEQ	R11
	MOVQ	CPU_stack(R11), R11
	SUBQ	$const_nestBelow, R11
	POPQ	AX
	SAVETRAP
	MOVQ	0(SP), CX
	MOVQ	8(SP), DI
	MOVQ	CR2, SI
	GOWORLD
	MOVQ	CPU_self(GS), AX
	MOVQ	R11, BX
	LEAQ	-const_stackHeadroom(SP), SP
	CALLGO(·fatalFn)
	INT	$3	// not reached: fatalFn does not return

// One stub of 16 bytes per vector: push 0 unless the CPU pushed an error
// code, push the vector, jump.
#define PAD BYTE $0xcc; BYTE $0xcc; BYTE $0xcc; BYTE $0xcc; BYTE $0xcc; BYTE $0xcc; BYTE $0xcc
#define STUB(v) BYTE $0x6a; BYTE $0x00; BYTE $0x6a; BYTE $v; JMP intr<>(SB); PAD
#define STUBERR(v) BYTE $0x90; BYTE $0x90; BYTE $0x6a; BYTE $v; JMP intr<>(SB); PAD
#define STUBFATAL(v) BYTE $0x6a; BYTE $0x00; BYTE $0x6a; BYTE $v; JMP fatal<>(SB); PAD
#define STUBFATALERR(v) BYTE $0x90; BYTE $0x90; BYTE $0x6a; BYTE $v; JMP fatal<>(SB); PAD
#define STUBS(v) STUB(v); STUB(v+1); STUB(v+2); STUB(v+3); STUB(v+4); STUB(v+5); STUB(v+6); STUB(v+7)
TEXT ·stubs(SB),NOSPLIT|NOFRAME,$0
	STUB(0)
	STUB(1)
	STUBFATAL(2)
	STUB(3)
	STUB(4)
	STUB(5)
	STUB(6)
	STUB(7)
	STUBFATALERR(8)
	STUB(9)
	STUBERR(10)
	STUBERR(11)
	STUBERR(12)
	STUBERR(13)
	STUBERR(14)
	STUB(15)
	STUB(16)
	STUBERR(17)
	STUBFATAL(18)
	STUB(19)
	STUB(20)
	STUBERR(21)
	STUB(22)
	STUB(23)
	STUB(24)
	STUB(25)
	STUB(26)
	STUB(27)
	STUB(28)
	STUBERR(29)
	STUBERR(30)
	STUB(31)
	STUBS(32)
	STUBS(40)
	STUBS(48)
	STUBS(56)
	STUBS(64)
	STUBS(72)
	STUBS(80)
	STUBS(88)
	STUBS(96)

// tlbInterrupt (vecTLB) is the whole of catchUp, from ring 3 or 0: the
// generation is read before CR3 is written.
TEXT ·tlbInterrupt(SB),NOSPLIT|NOFRAME,$0
	PUSHQ	AX
	PUSHQ	CX
	PUSHQ	DX
	TESTB	$3, 32(SP)
	JEQ	2(PC)
	SWAPGS
	MOVQ	·tlbGen(SB), AX
	MOVQ	·root(SB), CX
	MOVQ	CX, CR3
	MOVQ	AX, CPU_seen(GS)
	MOVQ	·xapicEOI(SB), CX
	XORL	AX, AX
	TESTQ	CX, CX
	JEQ	x2
	MOVL	AX, (CX)
	JMP	eoi
x2:
	XORL	DX, DX
	MOVL	$0x80b, CX
	WRMSR
eoi:
	TESTB	$3, 32(SP)
	JEQ	2(PC)
	SWAPGS
	POPQ	DX
	POPQ	CX
	POPQ	AX
	IRETQ
