package pci

import (
	"errors"
	"unsafe"

	"gosv/kernel/boot"
)

// Bits of a base address register (PCI 6.2.5.1).
const (
	barIO       = 1 << 0
	barTypeMask = 3 << 1
	bar64       = 2 << 1
	barFlags    = 0xf // of one for memory
	barIOFlags  = 3
)

// numBARs is how many there are: two of a bridge.
func (f *Function) numBARs() int {
	if f.kind == typeBridge {
		return 2
	}
	return 6
}

var (
	errNoBAR  = errors.New("it has no such registers")
	errInRAM  = errors.New("its registers would be in RAM")
	errNoRoom = errors.New("there are no addresses for its registers")
	errNoMap  = errors.New("there is no memory to map its registers")
)

// Ports returns the I/O port that BAR i names, the first of n.
func (f *Function) Ports(i, n int) (port uint16, err error) {
	if !f.isBAR(i) {
		return 0, errNoBAR
	}
	v := f.bar(i)
	port = uint16(v &^ barIOFlags)
	if v&barIO == 0 || port == 0 || v>>16 != 0 || int(port)+n > 0x10000 {
		return 0, errNoBAR
	}
	return port, nil
}

// IsIO says whether BAR i names ports.
func (f *Function) IsIO(i int) bool { return f.isBAR(i) && f.bar(i)&barIO != 0 }

// bar returns what is in BAR i. Nobody but this package changes it, and each look is
// a VM exit.
func (f *Function) bar(i int) uint32 {
	if f.barsRead>>i&1 == 0 {
		f.bars[i] = f.Config(regBAR + i*4)
		f.barsRead |= 1 << i
	}
	return f.bars[i]
}

func (f *Function) setBAR(i int, v uint32) {
	f.bars[i] = v
	f.SetConfig(regBAR+i*4, v)
}

// isWide says whether BAR i is for memory at 64-bit addresses, and so is half of
// two.
func (f *Function) isWide(i int) bool { return f.bar(i)&(barIO|barTypeMask) == bar64 }

// isBAR says whether there is a BAR i, which is not the second half of one.
func (f *Function) isBAR(i int) bool {
	n := f.numBARs()
	if i >= n {
		return false
	}
	first := i // behind one that is not wide, whatever that is, there is a first half
	for first > 0 && f.isWide(first-1) {
		first--
	}
	return (i-first)%2 == 0 && (i+1 < n || !f.isWide(i))
}

// Map returns where the n bytes of registers at off of BAR i can be accessed.
// A BAR that the firmware has not set is set.
func (f *Function) Map(i int, off, n uint64) (unsafe.Pointer, error) {
	const most = 1 << 30 // of the kernel's address space
	addr, err := f.memory(i)
	if err != nil {
		return nil, err
	}
	if off > most || n > most {
		return nil, errNoBAR
	}
	if f.bus.machine.IsRAM(addr+off, n) {
		return nil, errInRAM
	}
	p := mapDevice(uintptr(addr+off), uintptr(n))
	if p == nil {
		return nil, errNoMap
	}
	return p, nil
}

// memory returns the address in BAR i.
func (f *Function) memory(i int) (addr uint64, err error) {
	if !f.isBAR(i) || f.bar(i)&barIO != 0 {
		return 0, errNoBAR
	}
	addr = uint64(f.bar(i) &^ barFlags)
	if f.isWide(i) {
		addr |= uint64(f.bar(i+1)) << 32
	}
	if addr != 0 {
		return addr, nil
	}
	return f.assign(i)
}

// assign gives addresses to BAR i.
func (f *Function) assign(i int) (addr uint64, err error) {
	wide, flags := f.isWide(i), f.bar(i)&barFlags
	size := f.size(regBAR+i*4, wide)
	if size == 0 {
		return 0, errNoBAR
	}
	if f.bridge != nil { // whose window there would have to be opened
		return 0, errNoRoom
	}
	addr = f.bus.take(size, wide)
	if addr == 0 {
		return 0, errNoRoom
	}
	f.setBAR(i, uint32(addr)|flags)
	if wide {
		f.setBAR(i+1, uint32(addr>>32))
	}
	return addr, nil
}

// size returns how many bytes the BAR at reg stands for: writing ones shows which
// bits there are (PCI 6.2.5.1). Meanwhile the function must not decode.
func (f *Function) size(reg int, wide bool) uint64 {
	command := f.Config(regCommand) & commandWritable
	f.SetConfig(regCommand, command&^(commandIO|commandMemory))
	f.SetConfig(reg, 0xffffffff)
	mask := uint64(f.Config(reg)&^barFlags) | 0xffffffff<<32
	if wide {
		f.SetConfig(reg+4, 0xffffffff)
		mask = mask&0xffffffff | uint64(f.Config(reg+4))<<32
		f.SetConfig(reg+4, 0)
	}
	f.SetConfig(reg, 0)
	f.SetConfig(regCommand, command)
	if uint32(mask) == 0 && !wide {
		return 0
	}
	return mask & -mask // the lowest bit that can be set
}

// window is a range of the host bridge from which nothing above next is given
// away yet.
type window struct{ next, end uint64 }

// take returns size addresses of the host bridge's windows, at a multiple of
// size, which is a power of two; 0 if there are none.
func (b *Bus) take(size uint64, wide bool) uint64 {
	if b.windows == nil {
		for _, w := range b.machine.Windows {
			b.windows = append(b.windows, window{w.Start, w.End})
		}
		b.reserve()
	}
	for i := range b.windows {
		w := &b.windows[i]
		if w.end > 1<<32 && !wide {
			continue
		}
		addr := alignUp(w.next, size)
		for addr != 0 && addr+size > addr && addr+size <= w.end {
			end := b.takenUpTo(addr, addr+size)
			if end == 0 {
				w.next = addr + size
				return addr
			}
			addr = alignUp(end, size)
		}
	}
	return 0
}

// alignUp rounds up to a multiple of a power of two; 0 if that is none.
func alignUp(v, size uint64) uint64 { return (v + size - 1) &^ (size - 1) }

// takenUpTo returns the end of something in [start, end), 0 if there is nothing.
func (b *Bus) takenUpTo(start, end uint64) uint64 {
	for _, r := range b.taken {
		if r.Start < end && start < r.End {
			return r.End
		}
	}
	return 0
}

// reserve notes what lies in the windows before anything is assigned.
func (b *Bus) reserve() {
	take := func(start, n uint64) { b.taken = append(b.taken, boot.Range{Start: start, End: start + n}) }
	for _, e := range b.machine.ECAM {
		take(e.Addr+uint64(e.First)<<20, (uint64(e.Last-e.First)+1)<<20)
	}
	for _, d := range b.machine.MMIO {
		take(d.Addr, d.Size)
	}
	for _, f := range b.Functions {
		for i := 0; i < f.numBARs(); i++ {
			if f.bar(i)&barIO != 0 {
				continue
			}
			addr := uint64(f.bar(i) &^ barFlags)
			if f.isWide(i) && i+1 < f.numBARs() {
				i++
				addr |= uint64(f.bar(i)) << 32
			}
			if addr != 0 {
				take(addr, addr&-addr) // no more than that: it is a multiple of its size
			}
		}
	}
}
