package metal

import (
	"sync/atomic"
	"unsafe"

	"gosv/kernel/boot"
)

// trampolinePage is where a started CPU begins, in real mode; see
// trampoline.S. It must lie below lowMemory, or it would be in use.
const trampolinePage = 0x8000

var (
	apFn     = startedCPU
	apTicket uint32 // of started CPUs, see apentry
)

// startCPUs starts the other CPUs and does not wait for them: until they come
// to schedule they look like idle ones that cannot be woken.
func startCPUs(ap uintptr) {
	var ids [boot.MaxCPUs]uint32
	n := uintptr(boot.CPUs(physMemory(), rsdp, &ids))
	if n <= 1 {
		return
	}
	page := uintptr(trampolinePage)
	if cmdline.start < page+4096 && page < cmdline.end {
		page = (cmdline.end + 4095) &^ 4095
	}
	if page >= lowMemory {
		return // no place for the trampoline: one CPU is better than none
	}
	copyBytes(DirectMap+page, uintptr(unsafe.Pointer(unsafe.StringData(trampoline))), uintptr(len(trampoline)))
	tail := DirectMap + page + uintptr(len(trampoline))
	st32(tail-28, ld32(tail-28)+uint32(page)) // the GDT's address
	st32(tail-24, ld32(tail-24)+uint32(page)) // the far jump's target
	st(tail-16, kernelRoot)
	st(tail-8, ap)
	e := pte(page, 1, true) // only this page: address 0 stays unmapped
	if e == 0 {
		return
	}
	st(e, page|ptePresent)
	i := uintptr(1)
	for k := uintptr(0); k < n && i < maxCPUs; k++ {
		if ids[k] == cpu0.apic {
			continue
		}
		c := newCPU()
		if c == nil {
			break
		}
		c.id = i
		cpus[i] = c
		i++
	}
	ncpu = i
	splitClock()
	for k, started := uintptr(0), uintptr(1); k < n && started < ncpu; k++ {
		if id := ids[k]; id != cpu0.apic {
			const initIPI, startIPI = 0x4500, 0x4600
			writeICR(id, initIPI)
			writeICR(id, startIPI|page>>12)
			started++
		}
	}
}

// newCPU makes the block and stacks of a further CPU, out of the heap's
// address space with all pages present: its stacks may not fault.
func newCPU() *CPU {
	size := (unsafe.Sizeof(CPU{}) + 4095) &^ 4095
	p := nextVA + 4096 // a page in between stays unmapped: a stack that overflows faults
	nextVA = p + allStacks + 4096 + size
	for va := p; va < nextVA; va += 4096 {
		if !mapHeap(va) {
			return nil
		}
	}
	c := (*CPU)(unsafe.Pointer(p + allStacks + 4096))
	c.stack = p + allStacks - stackHeadroom
	c.self = c
	c.lazy = 1
	c.idle = idleThread()
	c.cur = c.idle
	if c.idle == nil {
		return nil
	}
	if cpu0.clock != nil {
		f := zeroFrame()
		if f == 0 {
			return nil
		}
		c.clock = (*pvclock)(unsafe.Pointer(DirectMap + f))
	}
	return c
}

// startedCPU is start for the other CPUs.
func startedCPU(c *CPU) {
	_, _, sys, _, _, _ := leaves.entries()
	loadCPU(c, sys)
	if c.clock != nil {
		c.clock.enable(uintptr(unsafe.Pointer(c.clock)) - DirectMap)
	}
	initAPIC(0)
	enablePVEOI(c)
	c.apic = apicRead(apicID)
	if !x2apic {
		c.apic >>= 24
	}
	atomic.SwapUint32(&c.lazy, 0)
	catchUp(c)
	lock(c)
	c.online = true
	schedule(c)
	deliverPending(c)
	unlock(c)
}
