package metal

import (
	"unsafe"

	"gosv/kernel/boot"
)

// physMemory is the first 4 GiB of physical memory, where firmware and
// loaders leave their tables.
func physMemory() boot.Memory {
	return unsafe.Slice((*byte)(unsafe.Pointer(directMap)), 4*pageSize1G)
}

var noIDT [2]uint64 // of limit 0

// powerOff reports code and ends the machine in the way that it offers.
func powerOff(c *CPU, code int) {
	reportExit(code)
	if directMap != 0 {
		for _, s := range boot.PowerOff(physMemory(), rsdp) {
			switch s.Kind {
			case boot.WritePort:
				if s.Width == 1 {
					outb(uintptr(s.Addr), uintptr(s.Value))
				} else {
					outw(uintptr(s.Addr), uintptr(s.Value))
				}
			case boot.WriteMemory:
				if s.Addr < 4*pageSize1G {
					*(*uint8)(unsafe.Pointer(directMap + uintptr(s.Addr))) = uint8(s.Value)
				}
			case boot.Halt:
				waitForEnd(c)
			case boot.TripleFault:
				leaves.tripleFault(addressOf(&noIDT))
			}
		}
	}
	leaves.tripleFault(addressOf(&noIDT))
}

// waitForEnd waits a second: the VMM's other thread is about to end us, and
// a fault now would win that race. It does not halt, for which a timer would
// have to work that may just have failed.
func waitForEnd(c *CPU) {
	ticks := tscHz
	if ticks == 0 {
		ticks = 3e9
	}
	for start := rdtsc(); rdtsc()-start < ticks; {
		pause()
	}
}
