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

// powerOff reports code and ends the machine, by ACPI's S5 where the tables
// offer it, else by the keyboard controller's reset line, else by a triple
// fault. On Firecracker only the second is a clean end.
func powerOff(c *CPU, code int) {
	reportExit(code)
	if directMap != 0 {
		p := boot.FindPower(physMemory(), rsdp)
		const sleepEnable, sleepShift, pm1Enable, pm1Shift = 1 << 5, 2, 1 << 13, 10
		switch {
		case p.HasS5 && p.SleepControl.Addr != 0:
			writeRegister(p.SleepControl, p.S5Type<<sleepShift|sleepEnable)
		case p.HasS5 && p.PM1aControl != 0:
			outw(uintptr(p.PM1aControl), uintptr(p.S5Type)<<pm1Shift|pm1Enable)
		}
	}
	const keyboardCommand, resetLine = 0x64, 0xfe
	outb(keyboardCommand, resetLine)
	waitForEnd()
	leaves.tripleFault(addressOf(&noIDT))
}

func writeRegister(r boot.Register, v uint8) {
	if r.Space == boot.SystemIO {
		outb(uintptr(r.Addr), uintptr(v))
	} else if r.Addr < 4*pageSize1G {
		*(*uint8)(unsafe.Pointer(directMap + uintptr(r.Addr))) = v
	}
}

// waitForEnd waits a second: the VMM's other thread is about to end us, and
// a fault now would win that race. It does not halt, for which a timer would
// have to work that may just have failed.
func waitForEnd() {
	ticks := tscHz
	if ticks == 0 {
		ticks = 3e9
	}
	for start := rdtsc(); rdtsc()-start < ticks; {
		pause()
	}
}
