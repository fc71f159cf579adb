package metal

import "sync/atomic"

// The watchdog notices a CPU that hangs in the kernel: which for hangTime has neither
// idled, nor been in ring 3, nor called metal from above, though it was looked at hangSamples
// times meanwhile: a machine that the host does not run hangs no more than it runs.
// Nor is it a hang when the host takes the console's output slowly: many a VMM does not
// run a CPU until it has. Every CPU's timer looks at all of them. A machine that idles
// is not looked at.
//
// Who waits with interrupts off for another CPU has patience for as long (see wait).
const (
	watchEvery  = 1_000_000_000 // ns
	hangTime    = 10_000_000_000
	hangSamples = 8
	hangSpins   = 1 << 22 // some tenths of a second of looking without a pause
)

var (
	lastWatch uint64
	hanging   atomic.Pointer[CPU] // asked by an NMI to say what it does
)

// progress notes that c does not hang. Its count is odd while it is in ring 3.
func progress(c *CPU) { c.trips += 2 }

// watch looks at all CPUs. The caller is c's timer and holds the lock.
func watch(c *CPU, n uint64) {
	if n-lastWatch < watchEvery {
		return
	}
	lastWatch = n
	for i := uintptr(0); i < ncpu; i++ {
		d := cpus[i]
		w, trips := &d.watched, atomic.LoadUint32(&d.trips)
		if !d.online || d.cur == d.idle || d.cur == sender.Load() || trips&1 != 0 || trips != w.trips {
			w.trips, w.since, w.samples = trips, n, 0
		} else if w.samples++; w.samples >= hangSamples && n-w.since >= hangTime {
			hang(c, d)
		}
	}
}

// watchAt is when c's timer must fire for the watchdog, 0 for never: it does nothing more
// if it does so soon anyway, or an idle CPU before it, or all of them idle.
func watchAt(c *CPU, next uint64) uint64 {
	if c.cur == c.idle {
		busy, earlier := false, false
		for i := uintptr(0); i < ncpu; i++ {
			d := cpus[i]
			busy = busy || d.online && d.cur != d.idle
			earlier = earlier || i < c.id && d.idling
		}
		if !busy || earlier {
			return 0
		}
	}
	n := now()
	soon := n + 2*watchEvery
	if next != 0 && next < soon || c.armed != 0 && c.armed < soon {
		return 0
	}
	return n + watchEvery
}

// A patience is that of a CPU that waits with interrupts off.
type patience struct {
	spins uint32
	since uint64
}

// wait is called while c, which must catch up with the TLB meanwhile, waits for d.
func (p *patience) wait(c, d *CPU) {
	catchUp(c)
	pause()
	if p.spins++; p.spins%hangSpins != 0 {
		return
	}
	n := now()
	if p.since == 0 || d.cur == sender.Load() {
		p.since = n
	}
	if n-p.since >= hangTime && d != c && failing.Load() == 0 {
		hang(c, d)
	}
}

// hang has d, which hangs, say where, and ends the machine. It may be c itself, where its
// own timer found it.
func hang(c, d *CPU) {
	if d == c {
		fatalHang(c, &c.cur.Regs)
	}
	hanging.Store(d)
	writeICR(d.apic, icrNMI)
	waitForEnd(5e9) // an NMI of d's ends this
	beginFatal(c)
	kernelMessage("\ngosv kernel: CPU ")
	printDec(d.id)
	kernelMessage(" hangs, and takes no NMI\n")
	fatalEnd(c)
}

// fatalHang ends the machine with a trace of c, which hangs with registers r.
func fatalHang(c *CPU, r *Regs) {
	const interruptFlag = 1 << 9
	beginFatal(c)
	kernelMessage("\ngosv kernel: CPU ")
	printDec(c.id)
	kernelMessage(" hangs: for ")
	printDec(hangTime / 1e9)
	kernelMessage(" s it has not left the kernel, with interrupts ")
	if r.FL&interruptFlag != 0 {
		kernelMessage("on")
	} else {
		kernelMessage("off")
	}
	kernelMessage(". This is a fault of the kernel: please report it, with the trace\n")
	fatalState(c, r)
}
