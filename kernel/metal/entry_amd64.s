#include "textflag.h"
#include "go_asm.h"
#include "macros_amd64.h"

// KEEPCPUID executes CPUID and keeps the answer in leaf i of features, at DI.
#define KEEPCPUID(i) \
	BYTE	$0x0f; BYTE $0xa2 \
	MOVL	AX, (i*16+0)(DI) \
	MOVL	BX, (i*16+4)(DI) \
	MOVL	CX, (i*16+8)(DI) \
	MOVL	DX, (i*16+12)(DI)

// kernelentry is where both boot stubs (stub.S) come: long mode, the first
// GiB mapped at 0 and at KernelBase, IF=0, no stack.
//
// In: DI the physical address of hvm_start_info or the zero page, SI which
// (a boot.Protocol).
TEXT kernelentry(SB),NOSPLIT|NOFRAME,$0
	CLI
	RDTSC
	SHLQ	$32, DX
	ORQ	DX, AX
	MOVQ	AX, ·tsc0(SB)
	MOVQ	DI, ·bootData(SB)
	MOVQ	SI, ·bootProtocol(SB)
	LEAQ	·cpu0Stack+(const_allStacks-const_stackHeadroom)(SB), SP
	ANDQ	$~63, SP
	CALL	findfeatures<>(SB)
	CALL	controlregs<>(SB)
	LEAQ	·cpu0(SB), AX
	MOVQ	SP, CPU_stack(AX)
	MOVQ	AX, CPU_self(AX)
	CALL	setgs<>(SB)
	GOWORLD
	// Leaves that Go calls through variables.
	LEAQ	runtime·vdsoClockgettimeSym(SB), AX
	MOVQ	AX, ·vdsoClockSym(SB)
	LEAQ	runtime·sched(SB), AX
	MOVQ	AX, ·sched(SB)
	LEAQ	·leaves(SB), AX
	LEAQ	leaftable<>(SB), BX
	MOVL	$const_numLeaves, CX
next:	MOVQ	BX, (AX)
	ADDQ	$8, AX
	ADDQ	$8, BX
	DECL	CX
	JNE	next
	CALLGO(·bootFn)
	JMP	·resume(SB)

// apentry is where the trampoline leaves every further CPU: long mode, our
// page tables, no stack. A ticket picks one of the blocks startCPUs made.
TEXT apentry<>(SB),NOSPLIT|NOFRAME,$0
	MOVL	$1, AX
	LOCK
	XADDL	AX, ·apTicket(SB)
	LEAQ	·cpus(SB), CX
	MOVQ	8(CX)(AX*8), R8
	MOVQ	CPU_stack(R8), SP
	CALL	controlregs<>(SB)
	MOVQ	R8, AX
	CALL	setgs<>(SB)
	GOWORLD
	MOVQ	R8, AX
	CALLGO(·apFn)
	JMP	·resume(SB)

// findfeatures asks the CPU what it can do, once for all: under a hypervisor each
// CPUID is a VM exit. It decides about CR4 and XCR0.
// Clobbers AX, BX, CX, DX, SI, DI.
TEXT findfeatures<>(SB),NOSPLIT|NOFRAME,$0
	LEAQ	·features(SB), DI
	MOVL	$0x6a0, SI	// PAE, PGE, OSFXSR, OSXMMEXCPT
	XORL	AX, AX
	KEEPCPUID(0)
	CMPL	AX, $7
	JLT	noleaf7
	MOVL	$7, AX
	XORL	CX, CX
	KEEPCPUID(2)
	BTL	$0, BX	// FSGSBASE
	JCC	2(PC)
	ORQ	$0x10000, SI
	BTL	$7, BX	// SMEP
	JCC	2(PC)
	ORQ	$0x100000, SI
noleaf7:
	MOVL	$0x80000001, AX
	KEEPCPUID(4)
	MOVL	$0x80000001, (3*16)(DI)	// the last one, for all that anybody asks
	MOVL	$1, AX
	KEEPCPUID(1)
	XORL	AX, AX
	BTL	$26, CX	// XSAVE
	JCC	noxsave
	ORQ	$0x40000, SI	// OSXSAVE
	BTSL	$27, (1*16+8)(DI)	// CPUID tells of it too
	MOVL	$3, AX	// x87, SSE
	BTL	$28, CX	// AVX
	JCC	noxsave
	ORL	$4, AX
	BTL	$16, (2*16+4)(DI)	// AVX512F: opmask, ZMM_Hi256, Hi16_ZMM
	JCC	noxsave
	ORL	$0xe0, AX
noxsave:
	MOVL	SI, ·cr4(SB)
	MOVL	AX, ·fpMask(SB)
	RET

// controlregs sets CR4 and XCR0 as findfeatures has decided; the entry stubs have
// set CR0 and EFER. Clobbers AX, CX, DX.
TEXT controlregs<>(SB),NOSPLIT|NOFRAME,$0
	MOVL	·cr4(SB), AX
	MOVQ	AX, CR4
	MOVL	·fpMask(SB), AX
	TESTL	AX, AX
	JEQ	done
	XORL	CX, CX
	XORL	DX, DX
	XSETBV
done:	RET

// kernelcpuid is where every CPUID of the Go runtime goes: the kernel is
// assembled with CPUID defined as a call of it. What findfeatures has asked
// already costs no VM exit.
TEXT kernelcpuid(SB),NOSPLIT|NOFRAME,$0
	LEAQ	·features(SB), DX
	CMPL	AX, $0
	JEQ	known
	ADDQ	$16, DX
	CMPL	AX, $1
	JEQ	known
	ADDQ	$16, DX
	CMPL	AX, $7
	JEQ	subleaf
	ADDQ	$16, DX
	CMPL	AX, $0x80000000
	JEQ	known
	ADDQ	$16, DX
	CMPL	AX, $0x80000001
	JEQ	known
ask:	BYTE	$0x0f; BYTE $0xa2	// CPUID
	RET
subleaf:
	TESTL	CX, CX
	JNE	ask
known:
	MOVL	0(DX), AX
	MOVL	4(DX), BX
	MOVL	8(DX), CX
	MOVL	12(DX), DX
	RET

// setgs makes AX the base of GS. Clobbers CX, DX.
TEXT setgs<>(SB),NOSPLIT|NOFRAME,$0
	MOVQ	AX, DX
	SHRQ	$32, DX
	MOVL	$0xC0000101, CX
	WRMSR
	RET

// entries(): where Go beneath the runtime finds code that is no function.
// Out: AX the runtime's first instruction, BX the clock for
// runtime·vdsoClockgettimeSym, CX the application's SYSCALL, DI the interrupt stubs, SI the TLB interrupt, R8 apentry.
TEXT entries<>(SB),NOSPLIT|NOFRAME,$0
	LEAQ	·copySteps(SB), R9
	MOVQ	R9, ·copyStepsPC(SB)
	LEAQ	·copyRep(SB), R9
	MOVQ	R9, ·copyRepPC(SB)
	LEAQ	·loadWord(SB), R9
	MOVQ	R9, ·loadWordPC(SB)
	LEAQ	·casWord(SB), R9
	MOVQ	R9, ·casWordPC(SB)
	LEAQ	·copyFault(SB), R9
	MOVQ	R9, ·copyFaultPC(SB)
	LEAQ	·userReturn(SB), R9
	MOVQ	R9, ·userReturnPC(SB)
	LEAQ	_rt0_amd64_linux(SB), AX
	LEAQ	·vdsoClock(SB), BX
	LEAQ	·userSyscall(SB), CX
	LEAQ	·stubs(SB), DI
	LEAQ	·tlbInterrupt(SB), SI
	LEAQ	apentry<>(SB), R8
	RET

// ---- leaves: called from Go through function variables, hence with
// ABIInternal registers: AX, BX, CX, DI in; AX, BX, CX, DI out.

// rdtsc() uint64
TEXT rdtsc<>(SB),NOSPLIT|NOFRAME,$0
	RDTSC
	SHLQ	$32, DX
	ORQ	DX, AX
	RET

// outb(port, v uintptr)
TEXT outb<>(SB),NOSPLIT|NOFRAME,$0
	MOVQ	AX, DX
	MOVQ	BX, AX
	OUTB
	RET

// inb(port uintptr) uintptr
TEXT inb<>(SB),NOSPLIT|NOFRAME,$0
	MOVQ	AX, DX
	XORL	AX, AX
	INB
	RET

// inw(port uintptr) uintptr
TEXT inw<>(SB),NOSPLIT|NOFRAME,$0
	MOVQ	AX, DX
	XORL	AX, AX
	INW
	RET

// inl(port uintptr) uintptr
TEXT inl<>(SB),NOSPLIT|NOFRAME,$0
	MOVQ	AX, DX
	INL
	RET

// outl(port, v uintptr)
TEXT outl<>(SB),NOSPLIT|NOFRAME,$0
	MOVQ	AX, DX
	MOVQ	BX, AX
	OUTL
	RET

// outw(port, v uintptr)
TEXT outw<>(SB),NOSPLIT|NOFRAME,$0
	MOVQ	AX, DX
	MOVQ	BX, AX
	OUTW
	RET

// outs(port, p, n uintptr): n bytes at p, n not 0. KVM leaves once more for REP
// OUTSB than there are bytes.
TEXT outs<>(SB),NOSPLIT|NOFRAME,$0
	MOVQ	AX, DX
	MOVQ	BX, SI
next:	LODSB
	OUTB
	LOOP	next
	RET

// wrmsr(msr, v uintptr)
TEXT wrmsr<>(SB),NOSPLIT|NOFRAME,$0
	MOVQ	AX, CX
	MOVQ	BX, AX
	MOVQ	BX, DX
	SHRQ	$32, DX
	WRMSR
	RET

// rdmsr(msr uintptr) uintptr
TEXT rdmsr<>(SB),NOSPLIT|NOFRAME,$0
	MOVQ	AX, CX
	RDMSR
	SHLQ	$32, DX
	ORQ	DX, AX
	RET

// cpuid(leaf, sub uintptr) (ax, bx, cx, dx uintptr)
TEXT cpuid<>(SB),NOSPLIT|NOFRAME,$0
	MOVQ	BX, CX
	BYTE	$0x0f; BYTE $0xa2	// CPUID
	MOVQ	DX, DI
	RET

// setcr3(root uintptr)
TEXT setcr3<>(SB),NOSPLIT|NOFRAME,$0
	MOVQ	AX, CR3
	RET

// invlpg(va uintptr)
TEXT invlpg<>(SB),NOSPLIT|NOFRAME,$0
	INVLPG	(AX)
	RET

// loadTables(gdtr, idtr uintptr): also reloads the segment registers, LDTR and TR.
// GS's base is lost.
TEXT loadTables<>(SB),NOSPLIT|NOFRAME,$0
	LGDT	(AX)
	LIDT	(BX)
	MOVQ	0(SP), CX	// return address
	MOVQ	$KCODE, 0(SP)
	PUSHQ	CX
	MOVL	$KDATA, AX
	MOVW	AX, SS
	MOVW	AX, DS
	MOVW	AX, ES
	XORL	AX, AX
	MOVW	AX, FS
	MOVW	AX, GS
	BYTE	$0x0f; BYTE $0x00; BYTE $0xd0	// LLDT AX: none
	MOVL	$0x38, AX
	LTR	AX
	BYTE	$0x48; BYTE $0xcb	// RETFQ: pops IP, CS

// zeroPage(va uintptr): 4 KiB, with AVX where there is. Clobbers X0.
TEXT zeroPage<>(SB),NOSPLIT|NOFRAME,$0
	LEAQ	4096(AX), CX
	TESTL	$4, ·fpMask(SB)
	JEQ	sse
	VPXOR	Y0, Y0, Y0
avx:
	VMOVDQA	Y0, 0(AX)
	VMOVDQA	Y0, 32(AX)
	VMOVDQA	Y0, 64(AX)
	VMOVDQA	Y0, 96(AX)
	VMOVDQA	Y0, 128(AX)
	VMOVDQA	Y0, 160(AX)
	VMOVDQA	Y0, 192(AX)
	VMOVDQA	Y0, 224(AX)
	VMOVDQA	Y0, 256(AX)
	VMOVDQA	Y0, 288(AX)
	VMOVDQA	Y0, 320(AX)
	VMOVDQA	Y0, 352(AX)
	VMOVDQA	Y0, 384(AX)
	VMOVDQA	Y0, 416(AX)
	VMOVDQA	Y0, 448(AX)
	VMOVDQA	Y0, 480(AX)
	VMOVDQA	Y0, 512(AX)
	VMOVDQA	Y0, 544(AX)
	VMOVDQA	Y0, 576(AX)
	VMOVDQA	Y0, 608(AX)
	VMOVDQA	Y0, 640(AX)
	VMOVDQA	Y0, 672(AX)
	VMOVDQA	Y0, 704(AX)
	VMOVDQA	Y0, 736(AX)
	VMOVDQA	Y0, 768(AX)
	VMOVDQA	Y0, 800(AX)
	VMOVDQA	Y0, 832(AX)
	VMOVDQA	Y0, 864(AX)
	VMOVDQA	Y0, 896(AX)
	VMOVDQA	Y0, 928(AX)
	VMOVDQA	Y0, 960(AX)
	VMOVDQA	Y0, 992(AX)
	ADDQ	$1024, AX
	CMPQ	AX, CX
	JNE	avx
	VZEROUPPER
	RET
sse:
	MOVO	X15, 0(AX)
	MOVO	X15, 16(AX)
	MOVO	X15, 32(AX)
	MOVO	X15, 48(AX)
	MOVO	X15, 64(AX)
	MOVO	X15, 80(AX)
	MOVO	X15, 96(AX)
	MOVO	X15, 112(AX)
	SUBQ	$-128, AX
	CMPQ	AX, CX
	JNE	sse
	RET

// copyBytes(dst, src, n uintptr): dst not inside src
TEXT copyBytes<>(SB),NOSPLIT|NOFRAME,$0
	MOVQ	BX, SI
	MOVQ	AX, DI
	REP
	MOVSB
	RET

// idle() halts with interrupts on. It uses no stack and does not return: the
// interrupt that ends it finds nothing here worth saving.
TEXT idle<>(SB),NOSPLIT|NOFRAME,$0
	MOVL	$0, CPU_inKernel(GS)
	STI
	HLT
	JMP	-1(PC)

// pause()
TEXT pause<>(SB),NOSPLIT|NOFRAME,$0
	PAUSE
	RET

// haltForever(): interrupts off.
TEXT haltForever<>(SB),NOSPLIT|NOFRAME,$0
	CLI
	HLT
	JMP	-2(PC)

// tripleFault(idtr uintptr): an IDT of limit 0, and an exception. UD2 and not
// INT3: some KVMs cannot emulate the latter here and hang.
TEXT tripleFault<>(SB),NOSPLIT|NOFRAME,$0
	LIDT	(AX)
	BYTE	$0x0f; BYTE $0x0b	// UD2
	HLT
	RET

// The order of type leafTable in leaf.go.
DATA leaftable<>+0x00(SB)/8, $rdtsc<>(SB)
DATA leaftable<>+0x08(SB)/8, $outb<>(SB)
DATA leaftable<>+0x10(SB)/8, $inb<>(SB)
DATA leaftable<>+0x18(SB)/8, $outw<>(SB)
DATA leaftable<>+0x20(SB)/8, $outs<>(SB)
DATA leaftable<>+0x28(SB)/8, $wrmsr<>(SB)
DATA leaftable<>+0x30(SB)/8, $rdmsr<>(SB)
DATA leaftable<>+0x38(SB)/8, $cpuid<>(SB)
DATA leaftable<>+0x40(SB)/8, $setcr3<>(SB)
DATA leaftable<>+0x48(SB)/8, $invlpg<>(SB)
DATA leaftable<>+0x50(SB)/8, $loadTables<>(SB)
DATA leaftable<>+0x58(SB)/8, $zeroPage<>(SB)
DATA leaftable<>+0x60(SB)/8, $copyBytes<>(SB)
DATA leaftable<>+0x68(SB)/8, $idle<>(SB)
DATA leaftable<>+0x70(SB)/8, $pause<>(SB)
DATA leaftable<>+0x78(SB)/8, $haltForever<>(SB)
DATA leaftable<>+0x80(SB)/8, $tripleFault<>(SB)
DATA leaftable<>+0x88(SB)/8, $·cpuNow(SB)
DATA leaftable<>+0x90(SB)/8, $entries<>(SB)
DATA leaftable<>+0x98(SB)/8, $inw<>(SB)
DATA leaftable<>+0xa0(SB)/8, $inl<>(SB)
DATA leaftable<>+0xa8(SB)/8, $outl<>(SB)
GLOBL leaftable<>(SB),RODATA|NOPTR,$0xb0
