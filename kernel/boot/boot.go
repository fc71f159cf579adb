// Package boot reads what the loader and the firmware left in memory: where
// RAM is, the command line, the initrd, the CPUs, the way to switch off.
//
// Its functions are pure: they take physical memory as bytes and return
// numbers. The kernel calls them before the Go runtime is up and again while
// it dies, so nothing here allocates, panics or recurses. The bytes are
// believed no further than they can be checked: a loop ends by a bound of its
// own, and an address is followed only inside the memory that was given.
//
// Sources: the Linux/x86 boot protocol (Documentation/arch/x86/boot.rst and
// zero-page.rst), Xen's PVH ABI (public/arch-x86/hvm/start_info.h), ACPI 6.5
// and Intel's MultiProcessor Specification 1.4.
package boot

// Protocol is the way the kernel was entered.
type Protocol uint8

const (
	Linux64 Protocol = iota // the 64-bit entry of the Linux boot protocol, with a zero page
	PVH                     // Xen's direct boot, with hvm_start_info
)

// MaxRanges is how many separate ranges of RAM are kept.
const MaxRanges = 32

// Range is the physical addresses from Start up to but not including End.
type Range struct{ Start, End uint64 }

// Info is what the loader said of the machine.
type Info struct {
	Protocol Protocol

	// RAM[:NRAM] is the usable memory: whole pages, sorted, no two ranges
	// touching. Boot data, command line and initrd lie in it.
	RAM  [MaxRanges]Range
	NRAM int

	// Data is what all this was read from, for who reads it again.
	Data [3]Range

	CmdLine Range  // the kernel command line without its NUL
	Initrd  Range  // inside the memory map, but not necessarily RAM; empty if there is none
	RSDP    uint64 // ACPI's root pointer as handed over, unchecked; 0 if it was not
}

// Status is the outcome of parsing boot data: 0, or what was wrong.
type Status uint8

const (
	OK Status = iota
	BadZeroPage
	BadStartInfo
	NoMemoryMap
	BadMemoryMap
	NoRAM
	BadCmdLine
	LongCmdLine
	BadInitrd
)

// String returns a message for the user. It is a constant.
func (s Status) String() string {
	switch s {
	case OK:
		return "ok"
	case BadZeroPage:
		return "no Linux boot parameters where RSI points: the loader does not speak the 64-bit boot protocol"
	case BadStartInfo:
		return "no hvm_start_info where EBX points: the loader does not speak PVH"
	case NoMemoryMap:
		return "the loader gave no memory map (PVH needs hvm_start_info version 1)"
	case BadMemoryMap:
		return "the memory map is out of reach or too long"
	case NoRAM:
		return "the memory map has no usable RAM"
	case BadCmdLine:
		return "the command line is out of reach"
	case LongCmdLine:
		return "the command line is longer than 64 KiB"
	case BadInitrd:
		return "the initrd lies outside the memory map"
	}
	return "unknown status"
}

// maxCmdLine bounds the command line, in bytes without the NUL: as much as
// Cloud Hypervisor passes, the most of all loaders.
const maxCmdLine = 64 << 10

// readCmdLine sets info.CmdLine to the NUL-terminated string at pa, if any.
// Size fields are not asked: loaders fill them in differently, or not at all.
func (info *Info) readCmdLine(mem Memory, pa uint64) Status {
	if pa == 0 {
		return OK
	}
	for n := uint64(0); n <= maxCmdLine; n++ {
		b, ok := mem.U8(pa + n)
		if !ok {
			return BadCmdLine
		}
		if b == 0 {
			info.CmdLine = Range{pa, pa + n}
			return OK
		}
	}
	return LongCmdLine
}

// setInitrd notes an initrd of size bytes at pa, if size is not 0.
func (info *Info) setInitrd(pa, size uint64) Status {
	if size == 0 {
		return OK
	}
	if pa+size < pa {
		return BadInitrd
	}
	info.Initrd = Range{pa, pa + size}
	return OK
}
