package metal

import "unsafe"

// The upper half of the address space. Every slot of the root that is ever
// used there exists before the first address space copies it.
const (
	KernelBase = 0xffffffff80000000 // the image
	DirectMap  = 0xffff800000000000 // physical memory
	heapBase   = 0xffffc00000000000 // the Go runtime's mappings

	// Heap arenas lie far from other mappings and from each other, since
	// each grows upwards; the first is not aligned, or the runtime would keep
	// the spare part of what it asked for to align it.
	arenaBase = heapBase + 1<<38 - 4096
	heapEnd   = heapBase + 1<<39

	ptePresent  = 1 << 0
	pteWrite    = 1 << 1
	pteUncached = 1<<3 | 1<<4 // PWT, PCD: type UC in the PAT as it is after reset
	pteHuge     = 1 << 7
	pteGlobal   = 1 << 8
	pteNX       = 1 << 63
	pteAddr     = 0x000ffffffffff000
	pageSize2M  = 2 << 20
	pageSize1G  = 1 << 30
	cpuid1GPage = 1 << 26 // CPUID(0x80000001).EDX
)

var nextVA, nextArena uintptr = heapBase, arenaBase

// pte returns the address of the entry for va in the kernel's page table of
// the given level (1: 4 KiB pages, 2: 2 MiB, 3: 1 GiB). Tables on the way are
// made if create is set; 0 if one is missing or there is no memory for it.
func pte(va uintptr, level uint, create bool) uintptr {
	t := kernelRoot
	for l := uint(4); ; l-- {
		e := directMap + t + va>>(12+9*(l-1))&511*8
		if l == level {
			return e
		}
		v := ld(e)
		if v&ptePresent == 0 {
			if !create {
				return 0
			}
			f := zeroFrame()
			if f == 0 {
				return 0
			}
			v = f | ptePresent | pteWrite
			st(e, v)
		}
		t = v & pteAddr
	}
}

// mapKernel builds the kernel's page tables: the direct map of the first
// 4 GiB, with devices and tables that lie there, and of all RAM; the image
// with its segments' rights; the heap's slot. False if memory is too small.
func mapKernel(ramEnd uintptr) bool {
	kernelRoot = zeroFrame()
	if kernelRoot == 0 {
		return false
	}
	top := max(ramEnd, 4*pageSize1G)
	for a := uintptr(0); a < top; a += pageSize1G {
		if features.leaf80000001.d&cpuid1GPage != 0 {
			e := pte(DirectMap+a, 3, true)
			if e == 0 {
				return false
			}
			st(e, a|pteNX|pteGlobal|pteHuge|pteWrite|ptePresent)
			continue
		}
		e := pte(DirectMap+a, 2, true)
		if e == 0 {
			return false
		}
		for b := a; b < a+pageSize1G; b += pageSize2M {
			st(e, b|pteNX|pteGlobal|pteHuge|pteWrite|ptePresent)
			e += 8
		}
	}
	return mapImage() && pte(heapBase, 3, true) != 0
}

// mapImage maps what the program headers of the kernel's own ELF header page
// name (System V ABI, figure 5-1): text is not writable, data not executable.
func mapImage() bool {
	h := elfHeader()
	ph := h + ld(h+32)
	for n := ld32(h+56) & 0xffff; n > 0; n-- {
		if ld32(ph) == 1 { // PT_LOAD
			va := ld(ph+16) &^ 4095
			end := ld(ph+16) + ld(ph+40)
			bits := uintptr(pteGlobal | ptePresent)
			if fl := ld32(ph + 4); fl&1 == 0 {
				bits |= pteNX
				if fl&2 != 0 {
					bits |= pteWrite
				}
			}
			for va < end {
				e := pte(va, 1, true)
				if e == 0 {
					return false
				}
				n := min((end-va+4095)>>12, (4096-e&4095)/8) // as many as are in this table
				p := va - KernelBase | bits
				va += n << 12
				for ; n > 0; n-- {
					st(e, p)
					p += 4096
					e += 8
				}
			}
		}
		ph += 56
	}
	return true
}

// elfHeader is the address of the image's first page; imageEnd that of the
// first byte behind it.
func elfHeader() uintptr { return KernelBase + imagePhys }

func imageEnd() (end uintptr) {
	h := elfHeader()
	ph := h + ld(h+32)
	for n := ld32(h+56) & 0xffff; n > 0; n-- {
		if ld32(ph) == 1 {
			end = max(end, ld(ph+16)+ld(ph+40))
		}
		ph += 56
	}
	return end
}

// heapTable is the page table that mapHeap used last. No table of the kernel is
// ever freed.
var heapTable struct{ region, entries uintptr } // number of its 2 MiB, address of the table

// mapHeap backs the page of the Go heap at va; false if va is not of the heap
// or there is no memory.
func mapHeap(va uintptr) bool {
	if va < heapBase || va >= heapEnd || va >= nextVA && (va < arenaBase || va >= nextArena) {
		return false
	}
	if va>>21 != heapTable.region {
		e := pte(va&^(pageSize2M-1), 1, true)
		if e == 0 {
			return false
		}
		heapTable.region, heapTable.entries = va>>21, e
	}
	if e := heapTable.entries + va>>12&511*8; ld(e)&ptePresent == 0 {
		f := zeroFrame()
		if f == 0 {
			return false
		}
		st(e, f|pteNX|pteWrite|ptePresent)
	}
	return true
}

// mapDevice is MapDevice: in the heap's address space, for a device may lie far
// above the direct map.
func mapDevice(pa, n uintptr) uintptr {
	va, offset, end := nextVA, pa&4095, pa+n
	for pa -= offset; pa < end; pa += 4096 {
		e := pte(nextVA, 1, true)
		if e == 0 {
			return 0
		}
		st(e, pa|pteNX|pteUncached|pteWrite|ptePresent)
		nextVA += 4096
	}
	return va + offset
}

// unmapHeap takes away what backs [va, va+n) of the Go heap: it reads as
// zeros again.
func unmapHeap(c *CPU, va, n uintptr) {
	const batch = 64
	var freed [batch]uintptr
	nfreed, from := 0, va
	for end := va + n; va < end; {
		e := pte(va, 1, false)
		if e == 0 { // nothing in this 2 MiB, perhaps not in this 1 GiB
			hole := uintptr(pageSize2M)
			if pte(va, 2, false) == 0 {
				hole = pageSize1G
			}
			va = (va + hole) &^ (hole - 1)
			continue
		}
		if f := ld(e); f&ptePresent != 0 {
			st(e, 0)
			freed[nfreed] = f & pteAddr
			nfreed++
		}
		va += 4096
		if nfreed == batch {
			release(c, from, va, &freed, nfreed)
			nfreed, from = 0, va
		}
	}
	release(c, from, va, &freed, nfreed)
}

// release frees frames that were mapped in [from, to), when no CPU can still
// reach them.
func release(c *CPU, from, to uintptr, freed *[64]uintptr, n int) {
	if n == 0 {
		return
	}
	flush(c, from, to-from)
	for _, f := range freed[:n] {
		freeFrame(f)
	}
}

// mmap answers the Go runtime, which only ever asks for anonymous memory.
// Nothing is backed before it is touched, and no address is given out twice.
func mmap(a, n, flags uintptr) uintptr {
	const (
		mapFixed  = 0x10
		mapAnon   = 0x20
		arenaSize = 128 << 20 // an arena of 64 MiB and as much to align it
	)
	n = (n + 4095) &^ 4095
	switch {
	case flags&mapAnon == 0:
		return errno(enodev)
	case flags&mapFixed != 0:
		return a
	case a >= arenaBase && a < heapEnd && a+n <= heapEnd: // an arena grows
		nextArena = max(nextArena, a+n)
		return a
	case a != 0: // a hint in the half that is not ours
		return errno(enomem)
	case n == arenaSize:
		a = nextArena
		nextArena += 1 << 36
		return a
	}
	a = nextVA
	nextVA += n
	return a
}

// pointer arithmetic on our own objects
func addressOf[T any](p *T) uintptr { return uintptr(unsafe.Pointer(p)) }
