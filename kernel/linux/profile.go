package linux

import (
	"gosv/internal/diag"
	"gosv/kernel/gotimer"
	"gosv/kernel/metal"
)

// profiler sends samples of what the CPUs do, while the host wants some.
type profiler struct {
	bufs [2][]uintptr // of the kernel's samples: metal fills one
	rec  record
}

const (
	samplePeriod = 10_000_000  // ns
	sampleBatch  = 100_000_000 // ns between two looks at what there is
	sampleRoom   = 4096        // words
)

// profiled says whether d wants samples.
func (d *diagnosis) profiled() bool { return d != nil && d.flags()&diag.Profile != 0 }

// profile sends samples for as long as they are wanted.
func (k *Kernel) profile() {
	for k.diag.Load().profiled() {
		p := &profiler{}
		if !k.profiler.CompareAndSwap(nil, p) {
			return
		}
		for i := range p.bufs {
			p.bufs[i] = make([]uintptr, sampleRoom)
		}
		for i := 1; k.diag.Load().profiled(); i ^= 1 {
			n, lost := metal.Profile(samplePeriod, p.bufs[i])
			p.send(k.diag.Load(), p.bufs[i^1][:n], lost)
			gotimer.Sleep(sampleBatch)
		}
		metal.Profile(0, nil)
		k.profiler.Store(nil)
	}
}

// send sends the kernel's samples. Of an address its lower half is enough.
func (p *profiler) send(d *diagnosis, words []uintptr, lost int) {
	if d == nil {
		return
	}
	for len(words) > 0 {
		n := 1 + int(words[0])
		p.rec.begin(diag.Sample)
		p.rec.num(0)
		for _, pc := range words[1:n] {
			p.rec.num(uint64(uint32(pc)))
		}
		d.emit(p.rec)
		words = words[n:]
	}
	for ; lost > 0; lost-- { // where they were taken is not known
		d.report(diag.Sample, "", 0)
	}
}

// sample sends where t is in ring 3, and, as far as it keeps frame pointers, where it will
// return to.
func (t *Thread) sample() {
	d := t.proc.kernel.diag.Load()
	if !d.profiled() {
		return
	}
	const most = 48 // addresses
	r := make(record, 0, 16+most*9)
	r.begin(diag.Sample)
	r.nums(uint64(t.tid), uint64(t.regs.IP))
	bp := t.regs.BP
	for n := 1; n < most; n++ {
		var frame [2]uintptr // the caller's frame pointer, where to return to
		if bp == 0 || bp&7 != 0 || copyIn(t, &frame, bp) != 0 || frame[1] == 0 {
			break
		}
		r.num(uint64(frame[1]))
		if frame[0] <= bp {
			break
		}
		bp = frame[0]
	}
	d.emit(r)
}
