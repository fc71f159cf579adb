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
	SAVE(R11)
	MOVQ	CX, Regs_CX(R11)
	POPQ	AX
	MOVQ	AX, Regs_R11(R11)
	MOVQ	16(SP), AX
	MOVQ	AX, Regs_IP(R11)
	MOVQ	32(SP), AX
	MOVQ	AX, Regs_FL(R11)
	MOVQ	40(SP), AX
	MOVQ	AX, Regs_SP(R11)
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
	SAVE(R11)
	MOVQ	CX, Regs_CX(R11)
	POPQ	AX
	MOVQ	AX, Regs_R11(R11)
	MOVQ	16(SP), AX
	MOVQ	AX, Regs_IP(R11)
	MOVQ	32(SP), AX
	MOVQ	AX, Regs_FL(R11)
	MOVQ	40(SP), AX
	MOVQ	AX, Regs_SP(R11)
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
	SAVE(R11)
	MOVQ	CX, Regs_CX(R11)
	POPQ	AX
	MOVQ	AX, Regs_R11(R11)
	MOVQ	16(SP), AX
	MOVQ	AX, Regs_IP(R11)
	MOVQ	32(SP), AX
	MOVQ	AX, Regs_FL(R11)
	MOVQ	40(SP), AX
	MOVQ	AX, Regs_SP(R11)
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
	STUB(32)
	STUB(33)
	STUB(34)
	STUB(35)
	STUB(36)
	STUB(37)
	STUB(38)
	STUB(39)
	STUB(40)
	STUB(41)
	STUB(42)
	STUB(43)
	STUB(44)
	STUB(45)
	STUB(46)
	STUB(47)
	STUB(48)
	STUB(49)
	STUB(50)
	STUB(51)
	STUB(52)
	STUB(53)
	STUB(54)
	STUB(55)
	STUB(56)
	STUB(57)
	STUB(58)
	STUB(59)
	STUB(60)
	STUB(61)
	STUB(62)
	STUB(63)
	STUB(64)
	STUB(65)
	STUB(66)
	STUB(67)
	STUB(68)
	STUB(69)
	STUB(70)
	STUB(71)
	STUB(72)
	STUB(73)
	STUB(74)
	STUB(75)
	STUB(76)
	STUB(77)
	STUB(78)
	STUB(79)
	STUB(80)
	STUB(81)
	STUB(82)
	STUB(83)
	STUB(84)
	STUB(85)
	STUB(86)
	STUB(87)
	STUB(88)
	STUB(89)
	STUB(90)
	STUB(91)
	STUB(92)
	STUB(93)
	STUB(94)
	STUB(95)
	STUB(96)
	STUB(97)
	STUB(98)
	STUB(99)
	STUB(100)
	STUB(101)
	STUB(102)
	STUB(103)

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
