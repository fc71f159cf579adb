package linux

import (
	"sync/atomic"
	"unsafe"

	"gosv/internal/diag"
	"gosv/kernel/console"
	"gosv/kernel/gotimer"
	"gosv/kernel/metal"
	"gosv/kernel/mm"
)

// Core dumps: when a signal ends a process, or when the host asks for one, the
// kernel stops the process's threads and sends their registers, the mappings, and
// what is in memory that is neither zero nor in a file. The host makes an ELF file
// of it (internal/core).

// dumpsCore are the signals whose default action is to dump core (signal(7)).
const dumpsCore = sigSet(1<<(SIGQUIT-1) | 1<<(SIGILL-1) | 1<<(SIGTRAP-1) | 1<<(SIGABRT-1) | 1<<(SIGBUS-1) | 1<<(SIGFPE-1) |
	1<<(SIGSEGV-1) | 1<<(SIGXCPU-1) | 1<<(SIGXFSZ-1) | 1<<(SIGSYS-1))

// coreState is a process's part in core dumps.
type coreState struct {
	dumping atomic.Bool // somebody dumps it
	dumped  bool        // for good: it ends
}

// offerCore lets the host ask for a core dump of p.
func (p *Process) offerCore() {
	if d := p.kernel.diag.Load(); d != nil && d.flags()&diag.Core != 0 {
		console.OnDump(func() { go p.dumpCore(nil, &sigInfo{}) })
	}
}

// dumpCore sends a core dump of p, if the host wants any: t is the thread that
// info ends, or nil if p goes on.
func (p *Process) dumpCore(t *Thread, info *sigInfo) {
	d := p.kernel.diag.Load()
	if d == nil || d.flags()&diag.Core == 0 {
		return
	}
	for !p.core.dumping.CompareAndSwap(false, true) {
		if t == nil {
			return // there is one on the way
		}
		t.yield()
		t.hold()
	}
	p.stopOthers(t)
	p.core.dumped = t != nil
	d.core(p, t, info)
	p.eachThread(func(o *Thread) bool {
		o.work.And(^uint32(workHold))
		o.wake()
		return true
	})
	p.core.dumping.Store(false)
}

// hold keeps t from ring 3 while a core dump is made or its process is stopped.
func (t *Thread) hold() {
	for w := t.work.Load(); w&workHold != 0 || w&(workStop|workExit) == workStop; w = t.work.Load() {
		t.park()
	}
}

// stopOthers waits until no thread of p but t is in ring 3 or about to go there. A
// thread that does not come out of the kernel for long is taken as it is:
// its registers do not change there.
func (p *Process) stopOthers(t *Thread) {
	const step, patience = 100_000, second // ns
	for until := metal.Now() + patience; ; gotimer.Sleep(step) {
		running := false
		p.eachThread(func(o *Thread) bool {
			if o != t {
				o.work.Or(workHold)
				if o.started.Load() != 0 {
					running = true
					o.kick()
				}
			}
			return true
		})
		if !running || metal.Now() > until {
			return
		}
	}
}

// core sends the records of a core dump.
func (d *diagnosis) core(p *Process, t *Thread, info *sigInfo) {
	tid := 0
	if t != nil {
		tid = t.tid
	}
	p.cred.mu.Lock()
	uid, gid := p.cred.uid.real, p.cred.gid.real
	p.cred.mu.Unlock()
	threads := p.allThreads()
	r := make(record, 0, pageSize+64)
	r.begin(diag.CoreBegin)
	r.nums(uint64(p.pid), uint64(tid), metal.Now(), uint64(uid), uint64(gid), uint64(metal.FPMask()),
		uint64(p.begin.sp), uint64(p.begin.argLo), uint64(p.begin.argHi))
	d.emit(append(r, (*[diag.SigInfo]byte)(unsafe.Pointer(info))[:]...))
	if t != nil {
		d.coreThread(&r, t)
	}
	for _, o := range threads {
		if o != t {
			d.coreThread(&r, o)
		}
	}
	p.space.View(func(all []*mm.VMA) { d.coreMemory(&r, p.space, all) })
	r.begin(diag.CoreEnd)
	d.emit(r)
}

// coreMemory sends the mappings of a core dump and what is in them.
func (d *diagnosis) coreMemory(r *record, s *mm.Space, all []*mm.VMA) {
	for _, v := range all {
		name, flags := "", uint64(v.Prot)
		if v.File != nil {
			_, _, name = v.File.MapsName()
			flags |= diag.CoreFile
		}
		r.begin(diag.CoreMapping)
		r.nums(uint64(v.Lo), uint64(v.Hi-v.Lo), flags, uint64(v.Off))
		d.emit(append(*r, name...))
	}
	// The frames that go into it: those that no file has, or one that is nowhere else.
	frames := func(f func(va, frame uintptr)) {
		for _, v := range all {
			s.Frames(v, v.Flags&mm.Shared != 0 || v.File == mm.Backing(&vdsoPage), f)
		}
	}
	// First where there is memory, so that the host can lay out its file, then what
	// is in it.
	var lo, hi uintptr
	run := func() {
		if lo < hi {
			r.begin(diag.CoreMemory)
			r.nums(uint64(lo), uint64(hi-lo))
			d.emit(*r)
		}
	}
	frames(func(va, frame uintptr) {
		if va != hi {
			run()
			lo = va
		}
		hi = va + pageSize
	})
	run()
	frames(func(va, frame uintptr) { d.corePage(r, va, (*corePage)(metal.Phys(frame))) })
}

// coreThread sends a thread's registers, in the order of struct user_regs_struct
// (sys/user.h), and its FP state.
func (d *diagnosis) coreThread(rec *record, t *Thread) {
	r := *t.regs
	orig := ^uintptr(0) // orig_rax
	if r.Full == 0 {    // it is in a system call, or just was
		r.CX, r.R11, orig = r.IP, r.FL, t.nr
	}
	regs := [27]uintptr{r.R15, r.R14, r.R13, r.R12, r.BP, r.BX, r.R11, r.R10, r.R9, r.R8, r.AX, r.CX, r.DX, r.SI, r.DI,
		orig, r.IP, userCS, r.FL, r.SP, userSS, r.FS, r.GS}
	rec.begin(diag.CoreThread)
	rec.nums(uint64(t.tid), uint64(t.sig.mask))
	*rec = append(*rec, (*[len(regs) * 8]byte)(unsafe.Pointer(&regs))[:]...)
	d.emit(append(*rec, r.FP[:metal.FPSize()]...))
}

// corePage is a page as words.
type corePage [pageSize / 8]uint64

// corePage sends what is not zero of the page at va, in pieces between which there
// are enough zeros to be worth it.
func (d *diagnosis) corePage(r *record, va uintptr, p *corePage) {
	const gap = 4 // words: more than a record's overhead
	for i := 0; i < len(p); i++ {
		if p[i] == 0 {
			continue
		}
		first, last := i, i
		for ; i < len(p) && i-last <= gap; i++ {
			if p[i] != 0 {
				last = i
			}
		}
		r.begin(diag.CoreData)
		r.num(uint64(va) + uint64(first)*8)
		d.emit(append(*r, unsafe.Slice((*byte)(unsafe.Pointer(&p[first])), (last-first+1)*8)...))
	}
}
