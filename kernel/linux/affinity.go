package linux

import (
	"sync"
	"sync/atomic"

	"gosv/kernel/metal"
)

// A thread with an affinity mask (sched_setaffinity(2)) enters ring 3 on one CPU
// of the mask only, its seat: metal.Regs.Pin. It is another thread's seat
// meanwhile to none: who finds all seats of its mask taken waits like for
// anything else, and without a P, which others can use on their CPUs. A thread keeps
// its seat while it runs, in the kernel too, until it waits or its turn is over.
//
// Threads without a mask have no seat: they make room where one of these comes.
type seats struct {
	mu      sync.Mutex
	holder  []*Thread // by CPU; made when the first mask is set
	waiting []*Thread // for a seat, in order of arrival
}

// nowhere is Regs.Pin of a thread with a mask that has no seat.
const nowhere = 1<<32 - 1

// allowed says whether t may run on a CPU.
func (t *Thread) allowed(cpu int) bool {
	mask := t.affinity.Load()
	return mask == 0 || mask>>cpu&1 != 0
}

// seat returns the CPU that t has, -1 if it has none. The caller is t or holds seats.mu.
func (t *Thread) seat() int {
	if pin := atomic.LoadUint32(&t.regs.Pin); pin != 0 && pin != nowhere {
		return int(pin) - 1
	}
	return -1
}

// take makes a CPU that no one else has t's seat: best the one named, which it runs on.
func (p *seats) take(t *Thread, here int) bool {
	free, there := -1, allCPUs()
	for cpu, h := range p.holder {
		if h == nil && t.allowed(cpu) && there>>cpu&1 != 0 && (free < 0 || cpu == here) {
			free = cpu
		}
	}
	if free >= 0 {
		p.give(free, t)
	}
	return free >= 0
}

// give makes a CPU t's seat, who may wait for one.
func (p *seats) give(cpu int, t *Thread) {
	p.holder[cpu] = t
	p.forget(t)
	atomic.StoreUint32(&t.regs.Pin, uint32(cpu)+1)
}

// forget takes t out of those who wait.
func (p *seats) forget(t *Thread) {
	for i, w := range p.waiting {
		if w == t {
			p.waiting = append(p.waiting[:i], p.waiting[i+1:]...)
			return
		}
	}
}

// heir is the first of those who wait that may run on a CPU, or nil.
func (p *seats) heir(cpu int) *Thread {
	for _, w := range p.waiting {
		if w.allowed(cpu) {
			return w
		}
	}
	return nil
}

// leave takes t's seat away, if it has one, for whoever waits for it.
func (p *seats) leave(t *Thread) {
	cpu := t.seat()
	if cpu < 0 {
		return
	}
	atomic.StoreUint32(&t.regs.Pin, nowhere)
	p.holder[cpu] = nil
	if w := p.heir(cpu); w != nil {
		p.give(cpu, w)
		w.wake()
	}
}

// settle brings t, which EnterUser found elsewhere, to its seat, or waits until it
// may have one.
func (t *Thread) settle() {
	p := &t.proc.kernel.seats
	p.mu.Lock()
	if t.seat() < 0 && !p.take(t, metal.ThisCPU()) {
		p.forget(t)
		p.waiting = append(p.waiting, t)
		p.mu.Unlock()
		// One that runs there shall give it up when its turn is over: there are more threads
		// than CPUs, whatever the others do.
		metal.Runnable(int32(metal.CPUs()))
		t.suspend()
		metal.Runnable(-int32(metal.CPUs()))
		return
	}
	cpu := t.seat()
	p.mu.Unlock()
	if metal.Move(cpu) {
		return
	}
	switch there := allCPUs(); {
	case there>>cpu&1 != 0:
		t.yield() // it is still starting
	case t.affinity.Load()&there != 0:
		t.leaveSeat()
	default:
		t.setAffinity(t, 0) // as when Linux takes CPUs away
	}
}

// leaveSeat lets others have t's seat, since it waits or ends.
func (t *Thread) leaveSeat() {
	p := &t.proc.kernel.seats
	p.mu.Lock()
	p.leave(t)
	p.forget(t)
	p.mu.Unlock()
}

// offerSeat gives t's seat away if another thread waits for it.
func (t *Thread) offerSeat() {
	p := &t.proc.kernel.seats
	p.mu.Lock()
	if cpu := t.seat(); cpu >= 0 && p.heir(cpu) != nil {
		p.leave(t)
	}
	p.mu.Unlock()
}

// setAffinity makes mask that of a thread, and returns when it runs on no other CPU. 0 is
// for all CPUs.
func (t *Thread) setAffinity(of *Thread, mask uint64) {
	p := &t.proc.kernel.seats
	p.mu.Lock()
	if p.holder == nil {
		p.holder = make([]*Thread, metal.CPUs())
	}
	of.affinity.Store(mask)
	if cpu := of.seat(); cpu >= 0 && !of.allowed(cpu) || mask == 0 {
		p.leave(of)
	}
	switch {
	case mask == 0:
		p.forget(of)
		atomic.StoreUint32(&of.regs.Pin, 0)
	case of.seat() < 0:
		atomic.StoreUint32(&of.regs.Pin, nowhere)
	}
	p.mu.Unlock()
	if of == t {
		return
	}
	of.wake() // it may wait for a seat
	of.kick()
	for s := of.started.Load(); s != 0 && of.started.Load() == s; {
		t.yield()
	}
}

// cpu is the one that t runs on in ring 3, as far as that is known.
func (t *Thread) cpu() int {
	if cpu := t.seat(); cpu >= 0 {
		return cpu
	}
	return metal.ThisCPU()
}

func sysSchedGetaffinity(t *Thread, a *Args) (uintptr, Errno) {
	n := a.Int2()
	if uintptr(uint32(n*8)) < uintptr(metal.CPUs()) || n&7 != 0 {
		return 0, EINVAL
	}
	of, err := t.schedThread(a.Arg1())
	if err != 0 {
		return 0, err
	}
	mask := of.cpusAllowed()
	return 8, copyOut(t, a.Arg3(), &mask)
}

func sysSchedSetaffinity(t *Thread, a *Args) (uintptr, Errno) {
	var mask uint64
	var b [8]byte
	if err := t.CopyIn(b[:min(a.Arg2(), 8)], a.Arg3()); err != 0 {
		return 0, err
	}
	for i, v := range b {
		mask |= uint64(v) << (8 * i)
	}
	of, err := t.schedThread(a.Arg1())
	if err != 0 {
		return 0, err
	}
	switch mask &= allCPUs(); mask {
	case 0:
		return 0, EINVAL
	case allCPUs():
		mask = 0
	}
	t.setAffinity(of, mask)
	return 0, 0
}

// cpusAllowed is the set of CPUs that t may run on.
func (t *Thread) cpusAllowed() uint64 {
	if mask := t.affinity.Load(); mask != 0 {
		return mask
	}
	return allCPUs()
}

// allCPUs is the set of CPUs there are: at most 64.
func allCPUs() uint64 { return metal.Online() }

// sysGetcpu tells the CPU the thread runs on; there is one memory node.
func sysGetcpu(t *Thread, a *Args) (uintptr, Errno) {
	cpu, node := uint32(t.cpu()), uint32(0)
	if p := a.Arg1(); p != 0 {
		if err := copyOut(t, p, &cpu); err != 0 {
			return 0, err
		}
	}
	if p := a.Arg2(); p != 0 {
		return 0, copyOut(t, p, &node)
	}
	return 0, 0
}
