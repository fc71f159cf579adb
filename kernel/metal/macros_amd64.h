// Registers as Regs keeps them, but for CX and R11, which SYSCALL destroys.
#define SAVE(b) \
	MOVQ	AX, Regs_AX(b) \
	MOVQ	BX, Regs_BX(b) \
	MOVQ	DX, Regs_DX(b) \
	MOVQ	SI, Regs_SI(b) \
	MOVQ	DI, Regs_DI(b) \
	MOVQ	BP, Regs_BP(b) \
	MOVQ	R8, Regs_R8(b) \
	MOVQ	R9, Regs_R9(b) \
	MOVQ	R10, Regs_R10(b) \
	MOVQ	R12, Regs_R12(b) \
	MOVQ	R13, Regs_R13(b) \
	MOVQ	R14, Regs_R14(b) \
	MOVQ	R15, Regs_R15(b)

#define LOAD(b) \
	MOVQ	Regs_AX(b), AX \
	MOVQ	Regs_BX(b), BX \
	MOVQ	Regs_DX(b), DX \
	MOVQ	Regs_SI(b), SI \
	MOVQ	Regs_DI(b), DI \
	MOVQ	Regs_BP(b), BP \
	MOVQ	Regs_R8(b), R8 \
	MOVQ	Regs_R9(b), R9 \
	MOVQ	Regs_R10(b), R10 \
	MOVQ	Regs_R12(b), R12 \
	MOVQ	Regs_R13(b), R13 \
	MOVQ	Regs_R14(b), R14 \
	MOVQ	Regs_R15(b), R15

// All of them after an interrupt or exception, to the Regs at R11: on the stack are R11 as
// it was, vector, error code, IP, CS, FLAGS, SP, SS. Takes R11 off it. Clobbers AX.
#define SAVETRAP \
	SAVE(R11) \
	MOVQ	CX, Regs_CX(R11) \
	POPQ	AX \
	MOVQ	AX, Regs_R11(R11) \
	MOVQ	16(SP), AX \
	MOVQ	AX, Regs_IP(R11) \
	MOVQ	32(SP), AX \
	MOVQ	AX, Regs_FL(R11) \
	MOVQ	40(SP), AX \
	MOVQ	AX, Regs_SP(R11)

// FP state to and from Regs: XSAVE, or FXSAVE where the machine has no XSAVE.
// Clobber AX and DX.
#define SAVEFP(b) \
	MOVL	·fpMask(SB), AX \
	XORL	DX, DX \
	TESTL	AX, AX \
	JEQ	3(PC) \
	XSAVE	Regs_FP(b) \
	JMP	2(PC) \
	FXSAVE	Regs_FP(b)

#define LOADFP(b) \
	MOVL	·fpMask(SB), AX \
	XORL	DX, DX \
	TESTL	AX, AX \
	JEQ	3(PC) \
	XRSTOR	Regs_FP(b) \
	JMP	2(PC) \
	FXRSTOR	Regs_FP(b)

// The world of Go code beneath the runtime: a g whose stackguard is 0, so that
// stack checks pass, and what ABIInternal wants of X15 and the flags. The
// caller has set SP.
#define GOWORLD \
	LEAQ	·nog(SB), R14 \
	XORPS	X15, X15 \
	XORL	BP, BP \
	CLD

// Calls the Go function that variable f holds, arguments in AX, BX, CX, DI,
// SI, R8. Clobbers everything.
#define CALLGO(f) \
	MOVQ	f(SB), DX \
	MOVQ	(DX), R9 \
	CALL	R9

// Selectors in every CPU's GDT (cpu.go).
#define KCODE 0x08
#define KDATA 0x10
#define UDATA 0x2b
#define UCODE 0x33
