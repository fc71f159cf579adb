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

var noIDT [2]uint64 // limit 0

// powerOff ends the machine.
func powerOff(c *CPU, code int) {
	reportExit(code)
	leaves.tripleFault(addressOf(&noIDT))
}
