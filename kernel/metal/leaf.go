package metal

// leaves are the assembly routines that Go beneath the runtime calls. A
// direct call would go through an ABI wrapper that reloads g from a TLS that
// is not set there; a call through a function variable does not. kernelentry
// fills them, in this order, from leaftable.
var leaves leafTable

type leafTable struct {
	rdtsc       func() uint64
	outb        func(port, v uintptr)
	inb         func(port uintptr) uintptr
	outw        func(port, v uintptr)
	outs        func(port, p, n uintptr)
	wrmsr       func(msr, v uintptr)
	rdmsr       func(msr uintptr) uintptr
	cpuid       func(leaf, sub uintptr) (ax, bx, cx, dx uintptr)
	setcr3      func(root uintptr)
	invlpg      func(va uintptr)
	loadTables  func(gdtr, idtr uintptr)
	zeroPage    func(va uintptr)
	copyBytes   func(dst, src, n uintptr)
	idle        func()
	pause       func()
	haltForever func()
	tripleFault func(idtr uintptr)
	cpuNow      func() uint64
	entries     func() (rt0, clock, syscall, stubs, tlb, ap uintptr)
	inw         func(port uintptr) uintptr
	inl         func(port uintptr) uintptr
	outl        func(port, v uintptr)
}

const numLeaves = 22

func rdtsc() uint64                                    { return leaves.rdtsc() }
func outb(port, v uintptr)                             { leaves.outb(port, v) }
func inb(port uintptr) uintptr                         { return leaves.inb(port) }
func inw(port uintptr) uintptr                         { return leaves.inw(port) }
func outw(port, v uintptr)                             { leaves.outw(port, v) }
func inl(port uintptr) uintptr                         { return leaves.inl(port) }
func outl(port, v uintptr)                             { leaves.outl(port, v) }
func outs(port, p, n uintptr)                          { leaves.outs(port, p, n) }
func wrmsr(msr, v uintptr)                             { leaves.wrmsr(msr, v) }
func rdmsr(msr uintptr) uintptr                        { return leaves.rdmsr(msr) }
func setcr3(root uintptr)                              { leaves.setcr3(root) }
func invlpg(va uintptr)                                { leaves.invlpg(va) }
func zeroPage(va uintptr)                              { leaves.zeroPage(va) }
func copyBytes(dst, src, n uintptr)                    { leaves.copyBytes(dst, src, n) }
func pause()                                           { leaves.pause() }
func cpuid(leaf, sub uintptr) (ax, bx, cx, dx uintptr) { return leaves.cpuid(leaf, sub) }
