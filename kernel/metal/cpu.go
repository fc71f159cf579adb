package metal

import "unsafe"

// CPU is what the assembly finds at GS in the kernel (SWAPGS on the way from
// and to ring 3). What is not atomic or under the lock is the CPU's own.
type CPU struct {
	self     *CPU
	cur      *thread // runs here
	stack    uintptr // top of the kernel stack, empty while interrupts are on
	fs       uintptr // what FS's base is
	user     *Regs   // of the EnterUser under way, or the last one
	goSP     uintptr // its goroutine's stack pointer
	userSP   uintptr // scratch of userSyscall
	seen     uint64  // atomic: the TLB is as of this generation
	id       uintptr
	inKernel uint32 // in the world beneath the runtime
	lazy     uint32 // atomic: idle, catches up with the TLB before it goes on
	apic     uint32 // local APIC id
	armed    uint64 // time the timer is set for, 0 for none
	want     uint64 // time it must fire at the latest, 0 for none
	kick     uint64 // CPUs to send vecWake to once the lock is free
	idle     *thread
	clock    *pvclock // if perCPU
	trips    uint32   // see progress

	sampleAt, sampleLeft uint64 // when c is to be sampled, 0 while it idles; how much later that is when it does not

	locked bool // holds the lock
	// ---- under the lock
	next   *thread // that comes here and nowhere else, before all others
	idling bool    // may be given a thread, with an IPI
	online bool

	watched struct { // by the watchdog
		trips, samples uint32
		since          uint64
	}

	gdt [10]uint64
	tss [14]uint64
	dtr [4]uint64
}

const (
	maxCPUs = 64

	// A CPU's stacks, from low to high: IST2, IST3, IST1, and below them the
	// Regs of an exception beneath the runtime. See trap_amd64.s.
	nestRegs      = 4 << 10
	fatalStack    = 8 << 10
	faultStack    = 8 << 10
	kernelStack   = 32 << 10
	allStacks     = nestRegs + fatalStack + faultStack + kernelStack
	nestBelow     = fatalStack + faultStack + kernelStack + nestRegs - 128 // from CPU.stack; 64-byte aligned
	stackHeadroom = 64                                                     // above each stack's top: Go may spill a call's arguments there; above IST2 lies the CPU's address

	flagsUser = 0x202 // IF and the bit that is always 1

	tssIST1, tssIST2, tssIST3 = 36, 44, 52 // Intel SDM vol. 3 figure 9-11

	vecTimer, vecWake, vecTLB, vecSpurious = 32, 33, 34, 35
	vecDevice                              = 40 // the first of 63 for devices
	vecStray                               = vecDevice + 63
	numStubs                               = vecStray + 1
	numVectors                             = 256
)

var (
	cpu0      CPU
	cpu0Stack [allStacks]byte
	cpus      [maxCPUs]*CPU
	ncpu      uintptr
	idt       [2 * numVectors]uint64

	// Set by findfeatures: CR4 and XCR0 (0 without XSAVE) of every CPU, and what
	// CPUID says.
	cr4, fpMask uint32
	features    struct{ leaf0, leaf1, leaf7, leaf80000000, leaf80000001 struct{ a, b, c, d uint32 } }
	fpSize      uintptr

	// nog is the g of Go beneath the runtime: all zero.
	nog [512]byte
)

// initIDT fills the interrupt descriptor table that all CPUs share, but for the
// devices' part: see openGates.
func initIDT(stubs, tlb uintptr) {
	i := uintptr(0)
	for ; i < 32; i++ {
		setGate(i, stubs+i*16, 3)
	}
	for ; i < vecDevice; i++ {
		setGate(i, stubs+i*16, 1)
	}
	for _, i := range [...]uintptr{2, 8, 18} { // NMI, double fault, machine check
		setGate(i, stubs+i*16, 2)
	}
	setGate(vecTLB, tlb, 1)
	idt[3*2] |= 3 << 45 // INT3 and INTO may be executed in ring 3
	idt[4*2] |= 3 << 45
}

// openGates fills the rest of the table, before the first device gets a
// vector. What comes in with a vector that nobody was given is one too.
func openGates() {
	_, _, _, stubs, _, _ := leaves.entries()
	for i := uintptr(vecSpurious + 1); i < numVectors; i++ {
		stub := i
		if i < vecDevice || i > vecStray {
			stub = vecStray
		}
		setGate(i, stubs+stub*16, 1)
	}
}

// setGate makes handler that of vector i, on stack ist of the TSS.
func setGate(i, handler, ist uintptr) {
	const gate = 0x8e // present, DPL 0, 64-bit interrupt gate
	idt[i*2+1] = uint64(handler >> 32)
	idt[i*2] = uint64(handler&0xffff | 0x08<<16 | ist<<32 | gate<<40 | handler>>16&0xffff<<48)
}

// loadCPU loads c's descriptor tables and system call entry.
func loadCPU(c *CPU, syscall uintptr) {
	c.gdt[1] = 0x00af9b000000ffff // KCODE
	c.gdt[2] = 0x00cf93000000ffff // KDATA
	c.gdt[5] = 0x00cff3000000ffff // UDATA
	c.gdt[6] = 0x00affb000000ffff // UCODE
	tss := uintptr(unsafe.Pointer(&c.tss))
	c.gdt[7] = uint64(0x67 | tss&0xffffff<<16 | 0x89<<40 | tss>>24&0xff<<56)
	c.gdt[8] = uint64(tss >> 32)
	c.gdt[9] = 0x0040f10000000000 | uint64(c.id) // its limit tells ring 3 the CPU: see stubs/vdso.c
	ist3 := c.stack - kernelStack
	ist2 := ist3 - faultStack
	st(tss+tssIST1, c.stack)
	st(tss+tssIST2, ist2)
	st(tss+tssIST3, ist3)
	st32(tss+100, 0x68<<16) // the I/O permission bitmap lies behind the limit: ring 3 has no ports
	st(ist2, uintptr(unsafe.Pointer(c)))
	d := uintptr(unsafe.Pointer(&c.dtr))
	*(*uint16)(unsafe.Pointer(d)) = uint16(unsafe.Sizeof(c.gdt) - 1)
	st(d+2, uintptr(unsafe.Pointer(&c.gdt)))
	*(*uint16)(unsafe.Pointer(d + 16)) = uint16(unsafe.Sizeof(idt) - 1)
	st(d+18, uintptr(unsafe.Pointer(&idt)))
	leaves.loadTables(d, d+16)
	wrmsr(0xC0000101, uintptr(unsafe.Pointer(c))) // GS_BASE: the null selector may have cleared it
	wrmsr(0xC0000102, 0)                          // KERNEL_GS_BASE: the application's
	wrmsr(0xC0000081, 0x08<<32|0x23<<48)          // STAR: SYSRET takes 0x23+8 and 0x23+16
	wrmsr(0xC0000082, syscall)                    // LSTAR
	wrmsr(0xC0000084, 0x47700)                    // SFMASK: AC, NT, DF, IF, TF and the arithmetic flags
}

// ld, st and their kin read and write memory by address.
func ld(p uintptr) uintptr     { return *(*uintptr)(unsafe.Pointer(p)) }
func st(p, v uintptr)          { *(*uintptr)(unsafe.Pointer(p)) = v }
func ld32(p uintptr) uint32    { return *(*uint32)(unsafe.Pointer(p)) }
func st32(p uintptr, v uint32) { *(*uint32)(unsafe.Pointer(p)) = v }
