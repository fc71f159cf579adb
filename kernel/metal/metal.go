package metal

import (
	"sync/atomic"
	"unsafe"

	"gosv/kernel/boot"
)

// Regs is the state of an application thread while it is not in ring 3. The
// memory must be 64-byte aligned: use NewRegs.
//
// IP and FS and GS must be canonical addresses of the lower half and FL, FP as
// EnterUser left them or checked by the caller: the instructions that load
// them fault at ring 0 otherwise.
type Regs struct {
	AX, BX, CX, DX, SI, DI, BP, SP uintptr
	R8, R9, R10, R11, R12, R13     uintptr
	R14, R15, IP, FL               uintptr
	Full                           uintptr // 1: CX and R11 count too (after a fault, an interrupt, sigreturn)
	FS                             uintptr // base address
	Vec, Err, CR2                  uintptr // of the last exception
	GS                             uintptr // base address
	Attention                      uint32  // atomic: EnterUser shall return Preempt, and clear it: see Kick
	Pin                            uint32  // atomic: one more than the only CPU to run it in ring 3 on; 0 for any, a large number for none
	_                              [56]byte
	FP                             [fpArea]byte // XSAVE image, or FXSAVE without XSAVE
}

// fpArea holds x87, SSE, AVX and AVX-512 state in the standard XSAVE format:
// 2,696 bytes (Intel SDM vol. 1 13.5), to a multiple of 64.
const fpArea = 2752

// What EnterUser returns for, besides exception vectors (0-31) and interrupt
// vectors (32-255, already acknowledged).
const (
	Syscall   = 256 // the application executed SYSCALL
	Preempt   = 257 // the Go runtime, an interrupt or Kick wants this goroutine's attention
	Elsewhere = 258 // this CPU is not the one that Regs.Pin names: see Move
	Sample    = 259 // an interrupt, and a sample is to be taken: see Profile
)

// EnterUser runs r in ring 3 until a system call, an exception or an
// interrupt, and returns which. The goroutine keeps its P meanwhile: a P
// stands for a CPU, and the CPU is busy.
//
//go:noescape
func EnterUser(r *Regs) uintptr

// Kick makes the EnterUser that runs r, or else the next one, return soon.
func Kick(r *Regs) {
	atomic.StoreUint32(&r.Attention, 1)
	if ncpu > 1 {
		mcall(sysKick, 0, 0, 0)
	}
}

// NewRegs returns a register file with everything zero and the FP state as
// after FNINIT and reset of MXCSR.
func NewRegs() *Regs {
	r := new(Regs)
	r.FL = flagsUser
	r.ResetFP()
	return r
}

// ResetFP gives r the FP state of a new program.
func (r *Regs) ResetFP() {
	clear(r.FP[:])
	*(*uint16)(unsafe.Pointer(&r.FP[0])) = 0x37f
	*(*uint32)(unsafe.Pointer(&r.FP[24])) = 0x1f80
}

// FPSize is the number of bytes of Regs.FP in use, FPMask the state components
// in it (XCR0), 0 if the machine has no XSAVE and FP is an FXSAVE image.
func FPSize() int    { return int(fpSize) }
func FPMask() uint64 { return uint64(fpMask) }

// Copy copies n bytes between kernel and user memory, in either direction, and
// returns how many are left when it meets a page that is not there or not
// writable: 0 for all copied. The user's range must lie in the lower half.
//
//go:noescape
func Copy(dst, src, n uintptr) (left uintptr)

// Load32 atomically reads a word of user memory; !ok if it is not there.
func Load32(addr uintptr) (v uint32, ok bool) {
	fault, w := load32(addr, 0, 0)
	return uint32(w), fault == 0
}

// CompareAndSwap32 atomically replaces old by new in a word of user memory;
// !ok if it is not there or not writable.
func CompareAndSwap32(addr uintptr, old, new uint32) (swapped, ok bool) {
	fault, w := cas32(addr, uintptr(old), uintptr(new))
	return w != 0, fault == 0
}

func load32(addr, _, _ uintptr) (fault, v uintptr)
func cas32(addr, old, new uintptr) (fault, swapped uintptr)

// AllocFrames fills dst with physical addresses of 4 KiB frames and returns
// how many it got. Their contents are undefined. It stops at the reserve that
// the kernel itself lives on.
func AllocFrames(dst []uintptr) int {
	if len(dst) == 0 {
		return 0
	}
	return int(mcall(sysFrames, uintptr(unsafe.Pointer(&dst[0])), uintptr(len(dst)), 0))
}

// FreeFrames gives frames back. No CPU may still have a translation to them.
func FreeFrames(src []uintptr) {
	if len(src) > 0 {
		mcall(sysFreeFrames, uintptr(unsafe.Pointer(&src[0])), uintptr(len(src)), 0)
	}
}

// AllocHuge returns 2 MiB of memory, aligned, as 512 frames of undefined contents;
// 0 if there is no such piece. It may be given back piecemeal by FreeFrames, or
// whole by FreeHuge.
func AllocHuge() uintptr { return mcall(sysHuge, 0, 0, 0) }

// FreeHuge gives back what AllocHuge gave.
func FreeHuge(pa uintptr) { mcall(sysFreeHuge, pa, 0, 0) }

// AllocRun returns the physical address of n frames in a row of undefined contents, from
// memory that was never used; 0 if that has no such piece left, which it has
// while the machine is young. FreeFrames takes them back.
func AllocRun(n int) uintptr { return mcall(sysRun, uintptr(n), 0, 0) }

// AllocReturned and AllocReturnedHuge are AllocFrames and AllocHuge of memory
// only that was given out and came back, so that the host has it in use. Returned
// counts the frames that came back.
func AllocReturned(dst []uintptr) int {
	if len(dst) == 0 {
		return 0
	}
	return int(mcall(sysReturned, uintptr(unsafe.Pointer(&dst[0])), uintptr(len(dst)), 0))
}
func AllocReturnedHuge() uintptr { return mcall(sysReturnedHuge, 0, 0, 0) }
func Returned() uint64           { return uint64(framesBack) }

// Hide makes the machine n frames smaller, which the caller has allocated, or
// with a negative n larger again, before it frees them.
func Hide(n int) { mcall(sysHide, uintptr(n), 0, 0) }

// FreeMemory returns the bytes that AllocFrames could still give, and all
// that the machine has for kernel and application.
func FreeMemory() (free, total uint64) {
	n := framesFree
	if n < frameReserve {
		n = frameReserve
	}
	return uint64(n-frameReserve) << 12, uint64(framesTotal) << 12
}

// Reserve returns the bytes that are left of what AllocFrames leaves to the kernel itself, and all of that.
func Reserve() (left, all uint64) {
	return uint64(min(framesFree, frameReserve)) << 12, uint64(frameReserve) << 12
}

// KernelMemory returns the bytes that the kernel itself takes, without its image.
func KernelMemory() uint64 { return uint64(framesTotal-framesFree-framesGiven) << 12 }

// ZeroFrame clears a frame.
func ZeroFrame(pa uintptr) { zeroPage(DirectMap + pa) }

// Phys returns where physical memory can be read and written, PhysOf the
// physical address of such a pointer.
func Phys(pa uintptr) unsafe.Pointer  { return unsafe.Pointer(DirectMap + pa) }
func PhysOf(p unsafe.Pointer) uintptr { return uintptr(p) - DirectMap }

// KernelRoot is the physical address of the page-table root whose entries 256
// to 511 every address space shares.
func KernelRoot() uintptr { return kernelRoot }

// SetRoot makes the page table at pml4 (physical) that of all CPUs.
func SetRoot(pml4 uintptr) { mcall(sysRoot, pml4, 0, 0) }

// Flush returns when no CPU uses translations of [lo, hi) from before it. An
// INVLPG by the caller would not do: a goroutine may change CPUs any time.
func Flush(lo, hi uintptr) {
	if lo < hi {
		mcall(sysFlush, lo, hi-lo, 0)
	}
}

// Now is the time since boot in nanoseconds: CLOCK_MONOTONIC.
func Now() uint64

// TSC reads the time stamp counter; BootTSC is what it was at the kernel's
// first instruction and TSCHz its rate.
func TSC() uint64     { return rdtsc() }
func BootTSC() uint64 { return tsc0 }
func TSCHz() uint64   { return tscHz }

// Deadline asks for what an interrupt of a device causes to happen at time t of Now: that
// the IRQEventFD becomes readable, or that a thread comes back from ring 3.
func Deadline(t uint64) { mcall(sysDeadline, uintptr(t), 0, 0) }

// NoDeadline takes the Deadline back, or says that its timer is looked at: no thread
// need come back for it any more.
func NoDeadline() {
	atomic.StoreUint64(&userDeadline, 0)
	atomic.StoreUint32(&onEntry.recall, 0)
	if HasIRQ() {
		atomic.StoreUint32(&onEntry.recall, 1)
	}
}

// Runnable counts n more of the application's threads that run or could; n may be
// negative. While there are any, there is a tick every 10 ms, every 100 in the first second. When
// there are more than CPUs they take turns: whoever is in ring 3 at a tick comes back to Go.
func Runnable(n int32) {
	if runnables.Add(n); n > 0 && atomic.LoadUint64(&turnEnd) == 0 {
		mcall(sysTurns, 0, 0, 0)
	}
}

// Profile has each CPU sampled when it was busy for period ns, again and again, until it is
// called with 0. Samples of ring 3 are what EnterUser returns; for one of the kernel it
// notes in buf how many addresses follow, and these: where it is, and where it
// will return to. It returns how many words of the last buf are filled, and how
// many samples had no room there.
func Profile(period uint64, buf []uintptr) (filled, lost int) {
	var p uintptr
	if len(buf) > 0 {
		p = uintptr(unsafe.Pointer(&buf[0]))
	}
	v := mcall(sysProfile, uintptr(period), p, uintptr(len(buf)))
	return int(uint32(v)), int(v >> 32)
}

// Move lets the caller go on on a CPU, where it takes the place of what runs there; false
// if that one is still starting. On the way back from ring 3 it may be moved again.
func Move(cpu int) bool { return mcall(sysMove, uintptr(cpu), 0, 0) != 0 }

// Busy says whether each CPU has one of the application's threads to run.
func Busy() bool { return uintptr(runnables.Load()) >= ncpu }

// Crowded says whether more threads of the application could run than there are CPUs.
func Crowded() bool { return uintptr(runnables.Load()) > ncpu }

// Ticks counts the ticks of all time; the last interrupt was for that many of them. A
// thread that it found in ring 3 returns from EnterUser with it: one that is not OfDevice.
func Ticks() (all, last uint32) {
	v := atomic.LoadUint64(&ticks)
	return uint32(v), uint32(v >> 32)
}

// OfDevice says whether the interrupt that EnterUser returned for was a device's.
func OfDevice(vec uintptr) bool { return vec >= vecDevice }

// Online is the set of CPUs that run, or are still starting: tables may tell of some that
// are not there.
func Online() (set uint64) {
	const startTime = 5_000_000_000 // ns since boot
	starting := Now() < startTime
	for i := uintptr(0); i < ncpu; i++ {
		if cpus[i].online || starting {
			set |= 1 << i
		}
	}
	return set
}

// CPUs is the number of CPUs, ThisCPU the one the caller is (or just was) on.
func CPUs() int { return int(ncpu) }
func ThisCPU() int

// CmdLine is the kernel's command line, Initrd the module that came with it,
// in the direct map and page-aligned; both are empty if there is none.
func CmdLine() string {
	return unsafe.String((*byte)(unsafe.Pointer(DirectMap+cmdline.start)), cmdline.end-cmdline.start)
}
func Initrd() []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(DirectMap+initrd.start)), initrd.end-initrd.start)
}

// In8 and its siblings read and write I/O ports.
func In8(port uint16) uint8       { return uint8(inb(uintptr(port))) }
func In16(port uint16) uint16     { return uint16(inw(uintptr(port))) }
func In32(port uint16) uint32     { return uint32(inl(uintptr(port))) }
func Out8(port uint16, v uint8)   { outb(uintptr(port), uintptr(v)) }
func Out16(port uint16, v uint16) { outw(uintptr(port), uintptr(v)) }
func Out32(port uint16, v uint32) { outl(uintptr(port), uintptr(v)) }

// PendingIRQs returns the device interrupts that came in since it was called
// last, as a bit set, and clears them.
func PendingIRQs() uint64 { return atomic.SwapUint64(&irqPending, 0) }

// HasIRQ says whether PendingIRQs would return any.
func HasIRQ() bool { return atomic.LoadUint64(&irqPending) != 0 }

// IRQEventFD is a descriptor, good for the Go runtime's netpoller only, that
// is readable when an interrupt came in or the Deadline is past.
func IRQEventFD() uintptr { return mcall(sysIRQFD, 0, 0, 0) }

// ReadEvent makes an IRQEventFD unreadable again.
func ReadEvent(fd uintptr) {
	var n uint64
	mcall(linuxRead, fd, uintptr(unsafe.Pointer(&n)), 8)
}

// CPUID executes the instruction. Under a hypervisor each is a VM exit.
func CPUID(leaf, sub uint32) (ax, bx, cx, dx uint32) {
	a, b, c, d := cpuid(uintptr(leaf), uintptr(sub))
	return uint32(a), uint32(b), uint32(c), uint32(d)
}

// Random64 is a number from the CPU's generator; !ok if it has none or that
// gives nothing now.
func Random64() (v uint64, ok bool) {
	const tries = 10 // Intel SDM vol. 1 7.3.17.1
	for i := 0; i < tries && features.leaf1.c>>30&1 != 0; i++ {
		if v, ok = rdrand(); ok {
			return v, true
		}
	}
	return 0, false
}

func rdrand() (v uint64, ok bool)

// CPUFeatures returns CPUID(1).ECX and EDX and CPUID(7).EBX, without the cost
// of asking again.
func CPUFeatures() (c1, d1, b7 uint32) {
	return features.leaf1.c, features.leaf1.d, features.leaf7.b
}

// Device interrupts come to the boot CPU, as bits of PendingIRQs: NumIRQs
// vectors that can be given to devices, and then one for all others.
const (
	NumIRQs  = vecStray - vecDevice
	StrayIRQ = NumIRQs
)

// OpenIRQs makes the machine ready for device interrupts.
func OpenIRQs() { mcall(sysOpenIRQs, 0, 0, 0) }

// Registers of an I/O APIC (82093AA, 3.0).
const (
	ioapicSelect      = 0x00
	ioapicWindow      = 0x10
	ioapicRedirection = 0x10 // two registers for each pin

	redirectLow    = 1 << 13
	redirectMasked = 1 << 16
)

// RouteIRQ makes edges at a pin of the I/O APIC at base (physical address) come
// in as interrupt n.
func RouteIRQ(base uintptr, pin, n uint32, activeLow bool) {
	low := vecDevice + n
	if activeLow {
		low |= redirectLow
	}
	p := DirectMap + base
	st32(p+ioapicSelect, ioapicRedirection+pin*2+1)
	st32(p+ioapicWindow, cpu0.apic<<24)
	st32(p+ioapicSelect, ioapicRedirection+pin*2)
	st32(p+ioapicWindow, low)
}

// MaskIRQ closes a pin that RouteIRQ opened.
func MaskIRQ(base uintptr, pin uint32) {
	p := DirectMap + base
	st32(p+ioapicSelect, ioapicRedirection+pin*2)
	st32(p+ioapicWindow, redirectMasked)
}

// MSI is what a device writes, and where, to send interrupt n (Intel SDM vol. 3
// 11.11).
func MSI(n uint32) (addr uint64, data uint32) {
	return apicBase | uint64(cpu0.apic)<<12, vecDevice + n
}

// TellPanicAt says where a pvpanic device's register is mapped: it is told when
// the kernel fails.
func TellPanicAt(p unsafe.Pointer) { panicRegister = uintptr(p) }

// MapDevice returns where n bytes of device registers, or more, at physical
// address pa can be accessed, uncached; nil if there is no memory for the page
// tables. The mapping stays.
func MapDevice(pa, n uintptr) unsafe.Pointer {
	return unsafe.Pointer(mcall(sysMapDevice, pa, n, 0))
}

// BootData is what the loader left: all of low memory, the way that the kernel
// was entered, and the address that it was given.
func BootData() (mem boot.Memory, protocol boot.Protocol, data uint64) {
	return physMemory(), boot.Protocol(bootProtocol), uint64(bootData)
}

// Exit ends the machine and reports code to the host.
func Exit(code int) {
	mcall(sysExit, uintptr(code), 0, 0)
}

// mcall is a system call to metal beneath the runtime.
//
//go:noescape
func mcall(nr, a, b, c uintptr) uintptr

const (
	sysFrames = 1000 + iota
	sysFreeFrames
	sysHuge
	sysFreeHuge
	sysRun
	sysReturned
	sysReturnedHuge
	sysHide
	sysDeadline
	sysFlush
	sysRoot
	sysExit
	sysIRQFD
	sysOpenIRQs
	sysMapDevice
	sysKick
	sysWake
	sysMove
	sysTurns
	sysProfile
	sysFail
)

// Fail makes the world beneath the runtime fail, for tests of what is printed then.
func Fail(how uintptr) { mcall(sysFail, how, 0, 0) }

// Ways to fail.
const (
	FailFault       = iota // a page fault
	FailDoubleFault        // and no stack to report it on
	FailHang               // with interrupts off
)

// growStack makes the goroutine's stack 16 KiB. Growing a stack costs some
// 7,000 instructions, less while few frames are on it; the main goroutine,
// which also runs everybody's init after this one, needs more than its first
// 2 KiB for sure.
func growStack()

func init() { growStack() }
