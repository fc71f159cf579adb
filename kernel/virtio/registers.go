package virtio

import (
	"sync/atomic"
	"unsafe"
)

// Registers are those of a device, in memory or behind I/O ports. Each access
// has the width given, in bytes: 1, 2 or 4, and is a VM exit.
type Registers interface {
	Read(off, width int) uint32
	Write(off, width int, v uint32)
}

// write64 writes a field of 64 bits, in halves, as section 4.1.3.1 has it.
func write64(r Registers, off int, v uint64) {
	r.Write(off, 4, uint32(v))
	r.Write(off+4, 4, uint32(v>>32))
}

// InMemory are registers at an address in the kernel's address space.
type InMemory struct{ At unsafe.Pointer }

// Read implements Registers.
func (m InMemory) Read(off, width int) uint32 {
	p := unsafe.Add(m.At, off)
	switch width {
	case 1:
		return uint32(load8(p))
	case 2:
		return uint32(load16(p))
	}
	return atomic.LoadUint32((*uint32)(p))
}

// Write implements Registers.
func (m InMemory) Write(off, width int, v uint32) {
	p := unsafe.Add(m.At, off)
	switch width {
	case 1:
		store8(p, uint8(v))
	case 2:
		store16(p, uint16(v))
	default:
		store32(p, v)
	}
}

// Accesses that the compiler shall neither leave out nor join, nor make with
// the bus locked, as those of package atomic are: that would be two of them.

//go:noinline
func load8(p unsafe.Pointer) uint8 { return *(*uint8)(p) }

//go:noinline
func load16(p unsafe.Pointer) uint16 { return *(*uint16)(p) }

//go:noinline
func store8(p unsafe.Pointer, v uint8) { *(*uint8)(p) = v }

//go:noinline
func store16(p unsafe.Pointer, v uint16) { *(*uint16)(p) = v }

//go:noinline
func store32(p unsafe.Pointer, v uint32) { *(*uint32)(p) = v }
