package metal

import (
	"sync/atomic"
	"unsafe"
)

// The kernel's end when something is wrong with it. What is printed goes to
// the console byte by byte: nothing here may depend on what just broke.

// exitKernelFault is what the host's gosv run exits with after one.
const exitKernelFault = 123

var exceptionNames = [...]string{"divide error", "debug", "NMI", "breakpoint", "overflow", "bound range", "invalid opcode",
	"no FPU", "double fault", "", "invalid TSS", "segment not present", "stack fault", "general protection", "page fault",
	"", "x87 error", "alignment check", "machine check", "SIMD error"}

// failing is the id of the CPU that reports a failure, plus one.
var failing atomic.Uint32

// beginFatal lets one CPU report a failure, and that once: the others are stopped, or
// the program would go on meanwhile, write and perhaps end, and a report that fails
// itself is cut short.
func beginFatal(c *CPU) {
	me := uint32(c.id) + 1
	if failing.CompareAndSwap(0, me) {
		for i := uintptr(0); i < ncpu; i++ {
			if d := cpus[i]; d != c && d.online {
				writeICR(d.apic, icrNMI)
			}
		}
		showFuncs()
		return
	}
	if failing.Load() != me {
		leaves.haltForever()
	}
	if again := failing.Swap(^uint32(0)); again == me {
		kernelMessage("\ngosv kernel: and another fault while that one was reported\n")
		powerOff(c, exitKernelFault)
	}
	leaves.tripleFault(addressOf(&noIDT))
}

// fatalFault reports an exception that nobody handles, with a symbolised
// trace, and ends the machine.
func fatalFault(c *CPU, r *Regs, vec, err, cr2 uintptr) {
	beginFatal(c)
	name := ""
	if vec < uintptr(len(exceptionNames)) {
		name = exceptionNames[vec]
	}
	kernelMessage("\ngosv kernel: ")
	kernelMessage(name)
	kernelMessage(" (vector ")
	printDec(vec)
	kernelMessage(", error ")
	printHex(err)
	kernelMessage(") at ")
	printHex(r.IP)
	if vec == excPage {
		kernelMessage(", address ")
		printHex(cr2)
	}
	kernelMessage(" on CPU ")
	printDec(c.id)
	kernelMessage("\n")
	r.CR2 = cr2
	fatalState(c, r)
}

// fatalState prints where c is, with registers r, and ends the machine.
func fatalState(c *CPU, r *Regs) {
	printRegs(r)
	printTrace(c, r)
	if t := c.cur; t != nil && r != &t.Regs && c.inKernel != 0 {
		kernelMessage("  beneath:\n")
		printTrace(c, &t.Regs)
	}
	fatalEnd(c)
}

// fatalRuntime ends the machine after the Go runtime reported why: a panic of
// the kernel, or a throw.
func fatalRuntime(c *CPU) {
	beginFatal(c)
	kernelMessage("\ngosv kernel: the kernel failed, see above\n")
	fatalEnd(c)
}

// fatalMemory ends the machine when not even the reserve is left: with what the
// application asked of the kernel, so that it is the application that is killed.
func fatalMemory(c *CPU) {
	beginFatal(c)
	const killed = 128 + 9
	kernelMessage("\nout of memory: what the kernel keeps for the program takes all that is left; give the machine more (-m)\n")
	powerOff(c, killed)
}

// fail fails on purpose: see Fail.
func fail(c *CPU, how uintptr) {
	switch how {
	case FailHang:
		for {
		}
	case FailDoubleFault:
		st(addressOf(&c.tss)+tssIST3, KernelBase) // below the image
	}
	ld(KernelBase)
}

func fatalEnd(c *CPU) {
	if u := c.user; u != nil {
		kernelMessage("the application, when this CPU last left it:\n")
		printRegs(u)
	}
	powerOff(c, exitKernelFault)
}

// fatalBoot ends a machine that the kernel cannot start on.
func fatalBoot(why string) {
	kernelMessage("gosv kernel: ")
	kernelMessage(why)
	kernelMessage("\n")
	const cannotRun = 125
	powerOff(&cpu0, cannotRun)
}

func printRegs(r *Regs) {
	for i, v := range [...]uintptr{r.AX, r.BX, r.CX, r.DX, r.SI, r.DI, r.BP, r.SP, r.R8, r.R9, r.R10, r.R11,
		r.R12, r.R13, r.R14, r.R15, r.IP, r.FL, r.FS, r.CR2} {
		kernelMessage([...]string{"  ax ", "  bx ", "  cx ", "  dx ", "  si ", "  di ", "  bp ", "  sp ", "  r8 ", "  r9 ",
			" r10 ", " r11 ", " r12 ", " r13 ", " r14 ", " r15 ", "  ip ", "  fl ", "  fs ", " cr2 "}[i])
		printHex(v)
		if i%4 == 3 {
			kernelMessage("\n")
		}
	}
}

// printTrace follows the frame pointers from r.
func printTrace(c *CPU, r *Regs) {
	borrowG(c)
	printFrame(c, r.IP)
	const maxFrames = 40
	for n, bp := 0, r.BP; n < maxFrames && bp&7 == 0 && readable(bp) && readable(bp+8); n++ {
		ip := ld(bp + 8)
		if ip == 0 {
			break
		}
		printFrame(c, ip-1)
		next := ld(bp)
		if next <= bp {
			break
		}
		bp = next
	}
}

// readable says whether the kernel has a page at va.
func readable(va uintptr) bool {
	if va < DirectMap || kernelRoot == 0 {
		return false
	}
	t := kernelRoot
	for level := uint(4); level >= 1; level-- {
		e := ld(directMap + t + va>>(12+9*(level-1))&511*8)
		if e&ptePresent == 0 {
			return false
		}
		if e&pteHuge != 0 && level > 1 {
			return true
		}
		t = e & pteAddr
	}
	return true
}

// What the report's calls of the runtime find in TLS: a g like the thread's, but
// without a stack whose bounds could be checked. (In the thread's own, another
// CPU may write a request to yield any time.)
var report struct {
	tls uintptr
	g   [64]uintptr
}

func borrowG(c *CPU) {
	const fsBase = 0xc0000100 // MSR
	if g := threadG(c); g != 0 {
		report.tls, report.g[gM/8] = addressOf(&report.g), ld(g+gM)
		wrmsr(fsBase, addressOf(&report.tls)+8)
	}
}

// threadG is the g of the thread on c, 0 if it has none.
func threadG(c *CPU) uintptr {
	if !readable(c.fs - 8) {
		return 0
	}
	return ld(c.fs - 8)
}

func printFrame(c *CPU, pc uintptr) {
	kernelMessage("  ")
	printHex(pc)
	if threadG(c) != 0 {
		if f := findfunc(pc); f.valid != nil {
			kernelMessage(" ")
			kernelMessage(funcname(f))
			if file, line := funcline(f, pc); line > 0 {
				kernelMessage(" ")
				kernelMessage(file)
				kernelMessage(":")
				printDec(uintptr(line))
			} else { // mkkernel left its lines out: see docs/debugging.md
				kernelMessage("+")
				printHex(pc - text - uintptr(*(*uint32)(f.valid))) // _func.entryOff
			}
		}
	}
	kernelMessage("\n")
}

// text is where mkkernel has the text linked.
const text = KernelBase + imagePhys + 0x1000

// The runtime's own symbol table, read without allocating.
type funcInfo struct{ valid, _ unsafe.Pointer }

//go:linkname findfunc runtime.findfunc
func findfunc(pc uintptr) funcInfo

//go:linkname funcname runtime.funcname
func funcname(f funcInfo) string

//go:linkname funcline runtime.funcline
func funcline(f funcInfo, pc uintptr) (file string, line int32)

func printHex(v uintptr) {
	var b [18]byte
	i := len(b)
	for {
		i--
		b[i] = "0123456789abcdef"[v&15]
		v >>= 4
		if v == 0 {
			break
		}
	}
	b[i-1], b[i-2] = 'x', '0'
	kernelMessage(unsafe.String(&b[i-2], len(b)-i+2))
}

func printDec(v uintptr) {
	var b [20]byte
	i := len(b)
	for {
		i--
		b[i] = byte('0' + v%10)
		v /= 10
		if v == 0 {
			break
		}
	}
	kernelMessage(unsafe.String(&b[i], len(b)-i))
}
