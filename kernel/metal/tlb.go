package metal

import "sync/atomic"

// Translation lookaside buffers: whoever takes away a translation makes a new
// generation and waits until every CPU has seen it, except idle ones, who look
// before they touch anything. That is sound because page-table pages are not
// freed while a CPU may be lazy. Wherever a CPU waits with interrupts off it
// must call catchUp.
var (
	tlbGen     uint64
	root       uintptr // what CR3 shall be
	kernelRoot uintptr
)

func catchUp(c *CPU) {
	if g := atomic.LoadUint64(&tlbGen); c.seen != g {
		setcr3(atomic.LoadUintptr(&root))
		atomic.StoreUint64(&c.seen, g)
	}
}

// flush returns when no CPU uses translations of [va, va+n) from before it.
func flush(c *CPU, va, n uintptr) {
	g := atomic.AddUint64(&tlbGen, 1)
	const few = 32 // INVLPGs that cost about what refilling the TLB does
	if c.seen == g-1 && n <= few<<12 {
		for end := va + n; va < end; va += 4096 {
			invlpg(va)
		}
		atomic.StoreUint64(&c.seen, g)
	}
	catchUp(c)
	if ncpu == 1 {
		return
	}
	for i := uintptr(0); i < ncpu; i++ {
		if d := cpus[i]; d != c && atomic.LoadUint32(&d.lazy) == 0 {
			sendIPI(d, vecTLB)
		}
	}
	for i := uintptr(0); i < ncpu; i++ {
		d := cpus[i]
		var p patience
		for d != c && atomic.LoadUint32(&d.lazy) == 0 && int64(atomic.LoadUint64(&d.seen)-g) < 0 {
			p.wait(c, d)
		}
	}
}
