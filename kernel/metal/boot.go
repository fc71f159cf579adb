package metal

import (
	"runtime"
	"unsafe"

	"gosv/kernel/boot"
)

// imagePhys is where the VMM loads the image's first page, the one with the
// ELF header: cmd/mkkernel links it so.
const imagePhys = 0x100000

// Of the first 640 KiB of memory the lowest are left alone: the loader's tables and the page
// where other CPUs start (see smp.go) are there. So is all above, up to the image: what
// firmware leaves there is not always in the memory map.
const (
	lowMemory    = 0x10000
	lowMemoryEnd = 0x9f000
)

// Behind the image lie three pages with the boot stub's page tables.
const stubPages = 3

var (
	bootFn       = start
	bootData     uintptr // physical address of hvm_start_info or the zero page
	bootProtocol uintptr // a boot.Protocol

	bootInfo boot.Info
	cmdline  physRange
	initrd   physRange
	rsdp     uint64
)

type physRange struct{ start, end uintptr }

// start is the kernel's first Go code, on the boot stub's page tables. It
// leaves the first thread, about to run the Go runtime's first instruction,
// as the CPU's current one.
func start() {
	initConsole()
	runtime.MemProfileRate = 0 // which the runtime does too late for its own first allocations
	rt0, clock, sys, stubs, tlb, ap := leaves.entries()
	c := &cpu0
	cpus[0], ncpu = c, 1
	c.online = true
	if features.leaf7.b&1 == 0 {
		fatalBoot("this CPU has no FSGSBASE instructions: use a newer one (QEMU: -cpu max or host)")
	}
	fpSize = fpBytes(fpMask)
	readBootData()
	Mark("boot data read")
	end := imageEnd() - KernelBase
	end = (end + 4095) &^ 4095
	bootInfo.Reserve(boot.Range{Start: 0, End: lowMemory})
	bootInfo.Reserve(boot.Range{Start: lowMemoryEnd, End: imagePhys})
	reserveImage()
	bootInfo.Reserve(boot.Range{Start: uint64(end), End: uint64(end) + stubPages<<12})
	for _, r := range bootInfo.Data {
		bootInfo.Reserve(r) // devices are found by it: see BootData
	}
	bootInfo.Reserve(boot.Range{Start: uint64(cmdline.start), End: uint64(cmdline.end)})
	bootInfo.Reserve(boot.Range{Start: uint64(initrd.start), End: uint64(initrd.end)})
	initFrames(&bootInfo)
	ramEnd := uintptr(0)
	if n := bootInfo.NRAM; n > 0 {
		ramEnd = uintptr(bootInfo.RAM[n-1].End)
	}
	if !mapKernel(max(ramEnd, initrd.end)) || framesFree < 64 {
		fatalBoot("too little memory for the kernel: give the machine more (gosv run -m)")
	}
	setcr3(kernelRoot)
	directMap, root = DirectMap, kernelRoot
	for i := uintptr(0); i < stubPages; i++ {
		freeFrame(end + i<<12)
	}

	Mark("page tables made")
	x2apic = features.leaf1.c>>21&1 != 0
	tscDeadline = features.leaf1.c>>24&1 != 0
	if !x2apic {
		xapicEOI = DirectMap + apicBase + apicEOI
	}
	c.apic = features.leaf1.b >> 24
	initAPIC(apicBootCPU)
	initClock()
	readOptions()
	initIDT(stubs, tlb)
	loadCPU(c, sys)
	st(vdsoClockSym, clock)

	c.idle = idleThread()
	t := newThread()
	if c.idle == nil || t == nil {
		fatalBoot("too little memory for the kernel: give the machine more (gosv run -m)")
	}
	startCPUs(ap)
	hideFuncs()
	useItabs()
	t.SP = runtimeStack()
	t.IP = rt0
	c.cur, t.cpu = t, c
	endCalibration()
	Mark("descriptors, APIC and clock set up")
}

// reserveImage keeps the frames that the image fills. There is a hole in it, where
// mkkernel has shortened a segment.
func reserveImage() {
	h := elfHeader()
	ph := h + ld(h+32)
	for n := ld32(h+56) & 0xffff; n > 0; n-- {
		if ld32(ph) == 1 { // PT_LOAD
			pa := uint64(ld(ph + 24))
			bootInfo.Reserve(boot.Range{Start: pa, End: pa + uint64(ld(ph+40))})
		}
		ph += 56
	}
}

// readBootData parses what the loader left, while the first GiB is mapped.
func readBootData() {
	mem := boot.Memory(unsafe.Slice((*byte)(unsafe.Pointer(uintptr(KernelBase))), pageSize1G))
	var status boot.Status
	if boot.Protocol(bootProtocol) == boot.PVH {
		status = boot.ParseStartInfo(mem, uint64(bootData), &bootInfo)
	} else {
		status = boot.ParseZeroPage(mem, uint64(bootData), &bootInfo)
	}
	if status != 0 {
		fatalBoot(status.String())
	}
	cmdline = physRange{uintptr(bootInfo.CmdLine.Start), uintptr(bootInfo.CmdLine.End)}
	initrd = physRange{uintptr(bootInfo.Initrd.Start), uintptr(bootInfo.Initrd.End)}
	rsdp = bootInfo.RSDP
}

// readOptions picks from the command line what concerns this layer.
func readOptions() {
	if token, ok := boot.Option(CmdLine(), "gosv.report"); ok && len(token) == len(reportToken) {
		copy(reportToken[:], token)
	}
}

// fpBytes is the size of the XSAVE area for the components in mask (Intel SDM
// vol. 1 13.4), an upper bound where CPUs differ; or of an FXSAVE image.
func fpBytes(mask uint32) uintptr {
	switch {
	case mask == 0:
		return 512
	case mask&0xe0 != 0:
		return 2688
	case mask&4 != 0:
		return 832
	}
	return 576
}

// runtimeStack makes the first thread's stack, with what a Linux program
// finds on it, and returns its top. The runtime takes its settings from the
// environment: its heap must not take the application's memory.
func runtimeStack() uintptr {
	const size = 64 << 10
	base := nextVA
	nextVA += size
	mapHeap(base + size - 4096)
	sp := base + size - 1024
	text := sp + 512
	str := func(s string) uintptr {
		p := text
		copy(unsafe.Slice((*byte)(unsafe.Pointer(text)), len(s)), s)
		text += uintptr(len(s)) + 1
		return p
	}
	rnd := text
	getrandom(rnd, 16)
	text += 16
	limit := text
	text += uintptr(copy(unsafe.Slice((*byte)(unsafe.Pointer(text)), 11), "GOMEMLIMIT="))
	text += putDec(text, heapLimit()) + 1
	const atPagesz, atRandom = 6, 25
	for i, v := range [...]uintptr{1, str("gosv-kernel"), 0, limit, str("GOTRACEBACK=all"), 0,
		atPagesz, 4096, atRandom, rnd, 0, 0} {
		st(sp+uintptr(i)*8, v)
	}
	return sp
}

// heapLimit is what the kernel's Go heap may grow to before its collector
// works harder, until somebody knows better: a quarter of memory, and at least
// what its start takes.
func heapLimit() uintptr {
	return max(framesTotal<<12/4, 3<<20)
}

func putDec(p, v uintptr) (n uintptr) {
	if v >= 10 {
		n = putDec(p, v/10)
	}
	*(*uint8)(unsafe.Pointer(p + n)) = uint8('0' + v%10)
	return n + 1
}
