package metal

import "sync/atomic"

// Local APIC registers (Intel SDM vol. 3 table 10-1), as offsets of the
// memory-mapped xAPIC; in x2APIC mode they are MSRs 0x800 + offset/16.
const (
	apicBase = 0xfee00000 // where it is after reset, and on every VMM

	// Bits of MSR IA32_APIC_BASE.
	apicBootCPU = 1 << 8
	apicX2APIC  = 1<<11 | 1<<10 // with the one that enables it at all

	apicID         = 0x20
	apicEOI        = 0xb0
	apicSVR        = 0xf0
	apicICRLow     = 0x300
	apicICRHigh    = 0x310
	apicLVTTimer   = 0x320
	apicLVTLINT0   = 0x350
	apicLVTLINT1   = 0x360
	apicTimerCount = 0x380
	apicTimerNow   = 0x390
	apicTimerDiv   = 0x3e0

	lvtNMI         = 4 << 8
	lvtMasked      = 1 << 16
	lvtTSCDeadline = 2 << 17
	divideBy1      = 0xb
)

var (
	x2apic      bool
	xapicEOI    uintptr // address of the xAPIC's EOI register, 0 in x2APIC mode
	tscDeadline bool
)

func apicWrite(reg, v uintptr) {
	if x2apic {
		wrmsr(0x800+reg>>4, v)
	} else {
		st32(DirectMap+apicBase+reg, uint32(v))
	}
}

func apicRead(reg uintptr) uint32 {
	if x2apic {
		return uint32(rdmsr(0x800 + reg>>4))
	}
	return ld32(DirectMap + apicBase + reg)
}

// initAPIC switches this CPU's local APIC on, with its timer one-shot. Which is
// apicBootCPU or 0.
func initAPIC(which uintptr) {
	if x2apic {
		wrmsr(0x1b, apicBase|apicX2APIC|which)
	}
	// The 8259's line, which firmware and Firecracker leave open, before the APIC
	// itself: what the 8259 has asked for already, QEMU's APIC forgets at the
	// next write to SVR only, and would deliver as vector -1 otherwise. The 8259
	// need not be masked then.
	apicWrite(apicLVTLINT0, lvtMasked)
	if which == apicBootCPU {
		apicWrite(apicLVTLINT1, lvtNMI) // from outside: QEMU's monitor has a command
	}
	apicWrite(apicSVR, 0x100|vecSpurious)
	setTimerMode()
}

// setTimerMode makes this CPU's timer one-shot: at a TSC value if it can do
// that, else after a count.
func setTimerMode() {
	if tscDeadline {
		apicWrite(apicLVTTimer, lvtTSCDeadline|vecTimer)
		return
	}
	apicWrite(apicTimerDiv, divideBy1)
	apicWrite(apicLVTTimer, vecTimer)
}

// armTimer makes c's timer fire at t, or soon if that is past; or earlier, at c.armed, if it cannot
// count so far. The caller is on c with interrupts off.
func armTimer(c *CPU, t uint64) {
	c.armed = t
	if tscDeadline {
		wrmsr(0x6e0, uintptr(tscAt(t)))
		return
	}
	const least, most = 100, 0xfffffff0 // 1 ns a tick on QEMU and KVM
	n, delta := now(), uint64(least)
	if t > n+delta {
		delta = t - n
	}
	if delta > most {
		delta = most
		c.armed = n + most
	}
	apicWrite(apicTimerCount, uintptr(delta))
}

// pvEOI has a word for each CPU. KVM sets it with an interrupt whose end is told
// by clearing it, without a VM exit (Linux, Documentation/virt/kvm/x86/msr.rst,
// MSR_KVM_PV_EOI_EN).
var (
	pvEOI        [maxCPUs]uint32
	pvEOIOffered bool
)

// enablePVEOI has KVM use c's word of pvEOI, if it can. The caller runs on c.
func enablePVEOI(c *CPU) {
	const msrPVEOI, enable = 0x4b564d04, 1
	if pvEOIOffered {
		wrmsr(msrPVEOI, addressOf(&pvEOI[c.id])-KernelBase|enable)
	}
}

// endInterrupt tells c's local APIC, which c runs on, that its interrupt was taken.
func endInterrupt(c *CPU) {
	if atomic.SwapUint32(&pvEOI[c.id], 0) == 0 {
		apicWrite(apicEOI, 0)
	}
}

// icrNMI makes an interprocessor interrupt an NMI.
const icrNMI = 0x4400

func sendIPI(d *CPU, vec uintptr) { writeICR(d.apic, 0x4000|vec) }

// writeICR sends an interprocessor interrupt (Intel SDM vol. 3 10.6).
func writeICR(apic uint32, v uintptr) {
	if x2apic {
		atomic.AddUint32(&apTicket, 0) // a fence: WRMSR to x2APIC does not wait for earlier stores
		wrmsr(0x830, uintptr(apic)<<32|v)
		return
	}
	for apicRead(apicICRLow)&0x1000 != 0 { // delivery pending
		pause()
	}
	apicWrite(apicICRHigh, uintptr(apic)<<24)
	apicWrite(apicICRLow, v)
}
