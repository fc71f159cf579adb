package metal

import (
	"unsafe"

	"gosv/kernel/boot"
	"gosv/kernel/platform"
)

// physMemory is the first 4 GiB of physical memory, where firmware and
// loaders leave their tables.
func physMemory() boot.Memory {
	return unsafe.Slice((*byte)(unsafe.Pointer(directMap)), 4*pageSize1G)
}

var noIDT [2]uint64 // of limit 0

// powerOff reports code and ends the machine in the ways that it offers. A VMM
// ends at its leisure, and a triple fault would win that race, so each way is
// given a second.
func powerOff(c *CPU, code int) {
	reportExit(code)
	if directMap == 0 { // too early to read tables: Firecracker's way, at least
		const keyboardCommand, resetLine = 0x64, 0xfe
		outb(keyboardCommand, resetLine)
		waitForEnd(1e9)
	} else {
		ways := boot.FindPower(physMemory(), rsdp)
		if code == exitKernelFault {
			tellPanic(ways.Panic)
		}
		for _, s := range platform.PowerOff(ways) {
			switch s.Kind {
			case platform.WriteLivePort:
				outb(uintptr(s.Addr), uintptr(s.Value))
				waitForEnd(1e6) // which mostly comes before this other VM exit
				if inb(uintptr(s.Addr)) == 0xff {
					continue
				}
			case platform.WritePort:
				if s.Width == 1 {
					outb(uintptr(s.Addr), uintptr(s.Value))
				} else {
					outw(uintptr(s.Addr), uintptr(s.Value))
				}
			case platform.WriteMemory:
				if s.Addr >= 4*pageSize1G {
					continue
				}
				*(*uint8)(unsafe.Pointer(directMap + uintptr(s.Addr))) = uint8(s.Value)
			default:
				leaves.tripleFault(addressOf(&noIDT))
			}
			waitForEnd(1e9)
		}
	}
	leaves.tripleFault(addressOf(&noIDT))
}

// panicRegister is the address of pvpanic-pci's register, 0 if there is none.
var panicRegister uintptr

// tellPanic tells the VMM that the kernel has failed, if it offers a pvpanic device
// (QEMU, docs/specs/pvpanic.txt), at port or in memory. It may end the machine
// at once.
func tellPanic(port uint16) {
	const panicked = 1 // also the bit that says that this can be told
	if port != 0 && inb(uintptr(port))&panicked != 0 {
		outb(uintptr(port), panicked)
	}
	if p := panicRegister; p != 0 && *(*uint8)(unsafe.Pointer(p))&panicked != 0 {
		*(*uint8)(unsafe.Pointer(p)) = panicked
	}
}

// waitForEnd waits for some nanoseconds: the VMM's other thread is about to end us, and
// a fault now would win that race. It does not halt, for which a timer would
// have to work that may just have failed.
func waitForEnd(ns uint64) {
	hz := tscHz
	if hz == 0 {
		hz = 3e9
	}
	for start := rdtsc(); rdtsc()-start < hz/1e6*ns/1e3; {
		pause()
	}
}
