package linux

import (
	"slices"
	"unsafe"

	"gosv/internal/diag"
	"gosv/kernel/console"
	"gosv/kernel/metal"
	"gosv/kernel/mm"
)

// diagnosis is what the kernel tells the host about the application, in the
// form that package diag describes and by the plan that the host sent along: the
// kernel sends numbers and bytes, and knows no names.
//
// A thread whose calls are reported has another table of calls, in which they
// lead to sysReported: the others pay nothing.
type diagnosis struct {
	send  func(record []byte)
	plan  []byte
	at    [numCalls]uint16 // where the call is in plan, 0 if it is not reported
	calls [numCalls]call   // the table of threads that are reported on
}

// flags are those of the plan.
func (d *diagnosis) flags() byte { return d.plan[0] }

// Diagnose makes the kernel report by plan and with send, which takes one record at
// a time: on processes that are started later, or are told (see Process.diagnose).
// It returns false if it cannot make sense of the plan.
func (k *Kernel) Diagnose(plan []byte, send func(record []byte)) bool {
	if len(plan) == 0 || len(plan) > 1<<16 {
		return false
	}
	if len(plan) == 1 && plan[0] == 0 {
		k.diag.Store(nil)
		return true
	}
	d := &diagnosis{send: send, plan: plan, calls: *k.calls}
	for at := 1; at < len(plan); {
		if at+diag.PlanHeader > len(plan) {
			return false
		}
		nr, n := int(binary16(plan[at:])), int(plan[at+4])
		if nr >= numCalls || plan[at+2] > 6 || at+diag.PlanHeader+n*diag.CaptureSize > len(plan) {
			return false
		}
		d.at[nr] = uint16(at)
		d.calls[nr].run = sysReported
		for at += diag.PlanHeader; n > 0; n-- {
			c := plan[at : at+diag.CaptureSize]
			if c[0] > diag.StackPointer || c[1]&^diag.OnExit > diag.Strings || c[2] > diag.At+5 || binary16(c[3:]) == 0 {
				return false
			}
			at += diag.CaptureSize
		}
	}
	k.diag.Store(d)
	return true
}

// SendRecord sends a record to the host.
func SendRecord(record []byte) { console.Write(metal.Records, record) }

// diagnose makes plan the one by which p is reported on, and answers the host. A thread
// takes it over on its next way to ring 3; one that waits in a system call says first which
// that is.
func (p *Process) diagnose(plan []byte) {
	p.kernel.showing.Lock()
	defer p.kernel.showing.Unlock()
	if len(plan) > 0 && plan[0]&diag.Heap != 0 && !mm.KernelRoom(heapTables) {
		answer(ENOMEM)
		return
	}
	if !p.kernel.Diagnose(plan, SendRecord) {
		answer(EINVAL)
		return
	}
	sampleHeap(plan[0]&diag.Heap != 0)
	threads := p.allThreads()
	for _, t := range threads {
		t.reportName()
	}
	for _, t := range threads {
		t.work.Or(workReport | workWaiting)
		t.kick()
		t.wake() // if it waits, it does so again
	}
	go p.kernel.profile()
	answer(0)
}

// record is one being made. Its first two bytes are for its size.
type record []byte

const sizeBytes = 2 // hold up to 16,383

// begin empties r for a record of the given kind.
func (r *record) begin(kind byte) { *r = append((*r)[:0], 0, 0, kind) }

//go:noinline
func (r *record) num(v uint64) {
	for ; v >= 0x80; v >>= 7 {
		*r = append(*r, byte(v)|0x80)
	}
	*r = append(*r, byte(v))
}

//go:noinline
func (r *record) nums(v ...uint64) {
	for _, v := range v {
		r.num(v)
	}
}

// put16 sets two bytes to a number below 16,384.
func put16(b []byte, n int) { b[0], b[1] = byte(n)|0x80, byte(n>>7) }

func (d *diagnosis) emit(r record) {
	put16(r, len(r)-sizeBytes)
	d.send(r)
}

// report sends a record that consists of numbers, and a text if it has one.
func (d *diagnosis) report(kind byte, text string, nums ...uint64) {
	r := make(record, 0, 64)
	r.begin(kind)
	r.nums(nums...)
	d.emit(append(r, text...))
}

// ReportBoot tells when the stages of the boot were reached, if that is wanted.
func (p *Process) ReportBoot() {
	if d := p.kernel.diag.Load(); d != nil && d.flags()&diag.Schedule != 0 {
		metal.Marks(func(stage string, ns, ticks uint64) { d.report(diag.Mark, stage, ns) })
	}
}

// threadReport is what is to be reported of a thread.
type threadReport struct {
	*diagnosis
	call    record // the call that it is in
	start   uint64 // when that began, or we looked
	pending bool   // it has not been sent yet
	late    bool   // it was not reported when it began: see reportWaiting
}

// reported makes the kernel's plan that for t. The caller is t, or makes it.
func (t *Thread) reported() {
	if d := t.proc.kernel.diag.Load(); d != nil {
		t.report, t.calls = &threadReport{diagnosis: d}, &d.calls
	} else {
		t.report, t.calls = nil, t.proc.kernel.calls
	}
}

// reportName tells t's name.
func (t *Thread) reportName() {
	if d := t.proc.kernel.diag.Load(); d != nil {
		d.report(diag.Thread, t.comm(), uint64(t.tid), metal.Now())
	}
}

func (t *Thread) reportSignal(info *sigInfo) {
	if r := t.report; r != nil {
		b := make(record, 0, 64)
		b.begin(diag.Signal)
		b.nums(uint64(t.tid), metal.Now())
		b = append(b, (*[diag.SigInfo]byte)(unsafe.Pointer(info))[:]...)
		r.emit(b)
	}
}

// reportRun tells that t, which does not go on now, ran from start to now, and
// what call it is in.
func (t *Thread) reportRun(start, now uint64) {
	r := t.report
	if r.pending {
		r.pending = false
		r.call[sizeBytes] = diag.Entered
		r.emit(r.call)
	}
	if r.flags()&diag.Schedule != 0 {
		r.report(diag.Ran, "", uint64(t.tid), uint64(metal.ThisCPU()), start, now-start)
	}
}

// reportFault tells of a page fault that came at start.
func (t *Thread) reportFault(start uint64, a mm.Access, result mm.Fault) {
	if r := t.report; r.flags()&diag.Schedule != 0 {
		failed := uint64(0)
		if result != mm.FaultOK {
			failed = 1
		}
		r.report(diag.Fault, "", uint64(t.tid), start, metal.Now()-start, uint64(t.regs.CR2), uint64(a), failed)
	}
}

// sysReported makes a call and reports it. What the call reads is captured
// before: it may overwrite it.
func sysReported(t *Thread, a *Args) (uintptr, Errno) {
	r := t.report
	plan := r.plan[r.at[t.nr]:]
	r.start = metal.Now()
	args := t.beginCall(diag.Call, plan)
	r.pending = true
	noReturn := plan[3] == diag.NoReturn
	if noReturn {
		r.pending = false
		r.call[sizeBytes] = diag.Entered
		r.emit(r.call)
	}
	v, err := uintptr(0), ENOSYS
	if run := t.proc.kernel.calls[t.nr].run; run != nil {
		v, err = run(t, a)
	}
	if noReturn {
		return v, err
	}
	if err != 0 {
		v = 0
	}
	t.endCall(plan, &args, v, err)
	return v, err
}

// callArgs are the arguments of the call that t is in and, with the last index, the stack
// pointer.
func (t *Thread) callArgs() [7]uintptr {
	a := (*Args)(t.regs)
	return [7]uintptr{a.Arg1(), a.Arg2(), a.Arg3(), a.Arg4(), a.Arg5(), a.Arg6(), a.SP}
}

// beginCall makes t.report.call a record of the call that t is in, which began at
// t.report.start, and returns its arguments.
func (t *Thread) beginCall(kind byte, plan []byte) [7]uintptr {
	r, args := t.report, t.callArgs()
	r.call.begin(kind)
	r.call.nums(uint64(t.tid), uint64(t.nr), r.start)
	for _, v := range args[:plan[2]] {
		r.call.num(uint64(v))
	}
	t.captures(plan, &args, 0, 0)
	return args
}

// endCall sends the rest of that record, or its end if it has been sent.
func (t *Thread) endCall(plan []byte, args *[7]uintptr, result uintptr, err Errno) {
	r, end := t.report, metal.Now()
	if !r.pending {
		r.call.begin(diag.Left)
		r.call.num(uint64(t.tid))
	}
	r.pending = false
	r.call.nums(end-r.start, uint64(err), uint64(result))
	t.captures(plan, args, diag.OnExit, result)
	r.emit(r.call)
}

// reportWaiting tells the host, which has just begun to look, that t waits in a call. One that
// was reported before is so once more, for others know of it.
func (t *Thread) reportWaiting() {
	t.work.And(^uint32(workWaiting))
	if d := t.proc.kernel.diag.Load(); d == nil || t.nr >= numCalls || d.at[t.nr] == 0 {
		return
	}
	if r := t.report; r == nil || r.at[t.nr] == 0 {
		t.reported()
		t.report.start, t.report.late = metal.Now(), true
	}
	if r := t.report; !r.pending { // or it will be, in a moment
		t.beginCall(diag.Entered, r.plan[r.at[t.nr]:])
		r.emit(r.call)
	}
}

// reportWaited tells of the end of a call whose begin only reportWaiting has told.
func (t *Thread) reportWaited(err Errno) {
	r := t.report
	if r == nil || !r.late || t.proc.kernel.diag.Load() == nil {
		return
	}
	v, args := t.regs.AX, t.callArgs()
	if err != 0 {
		v = 0
	}
	t.endCall(r.plan[r.at[t.nr]:], &args, v, err)
}

// captures adds what a call's plan says of the memory before it, or on exit.
func (t *Thread) captures(plan []byte, args *[7]uintptr, when byte, result uintptr) {
	for n, at := plan[4], diag.PlanHeader; n > 0; n, at = n-1, at+diag.CaptureSize {
		if c := plan[at:]; c[1]&diag.OnExit == when {
			t.capture(c, args, result)
		}
	}
}

func (t *Thread) capture(c []byte, args *[7]uintptr, result uintptr) {
	addr, size, most := args[c[0]], uintptr(binary16(c[3:])), uintptr(binary16(c[5:]))
	if addr == 0 {
		t.report.call = append(t.report.call, 0)
		return
	}
	var n uintptr
	switch count := c[2]; {
	case count < diag.Result:
		n = args[count]
	case count == diag.Result:
		n = result
	case count == diag.One:
		n = 1
	default:
		var v uint32
		if at := args[count-diag.At]; at != 0 {
			copyIn(t, &v, at)
		}
		n = uintptr(v)
	}
	switch how := c[1] &^ diag.OnExit; how {
	case diag.Bytes:
		t.captureBytes(addr, min(n, most/size)*size)
	case diag.String:
		t.captureString(addr, most)
	case diag.Strings:
		t.captureVector(addr, diag.MaxVector, most, 0, true)
	case diag.Vector:
		left := uintptr(1<<64 - 1)
		if c[1]&diag.OnExit != 0 {
			left = result
		}
		t.captureVector(addr, min(n, diag.MaxVector), most, left, false)
	}
}

// captureBytes adds n bytes, or as many as can be read.
func (t *Thread) captureBytes(addr, n uintptr) {
	b := append(t.report.call, 0, 0)
	at := len(b)
	b = slices.Grow(b, int(n))[:at+int(n)]
	got := t.CopyInSome(b[at:], addr)
	if got == 0 && n > 0 {
		t.report.call = append(b[:at-2], 0)
		return
	}
	put16(b[at-2:], got+1)
	t.report.call = b[:at+got]
}

// captureString adds what comes before the first zero byte, at most n bytes.
func (t *Thread) captureString(addr, n uintptr) {
	const step = 64 // divides a page: nothing is read that need not be there
	b := append(t.report.call, 0, 0)
	at := len(b)
	for ok := false; ; ok = true {
		k := min(step-addr%step, n-uintptr(len(b)-at))
		end := len(b)
		b = slices.Grow(b, step)[:end+int(k)]
		got := t.CopyInSome(b[end:], addr)
		zero := slices.Index(b[end:end+got], 0)
		if zero >= 0 {
			got = zero
		}
		b = b[:end+got]
		switch {
		case got == 0 && zero < 0 && !ok && n > 0:
			t.report.call = append(b[:at-2], 0)
			return
		case zero >= 0 || got < int(k) || k == 0:
			put16(b[at-2:], len(b)-at+1)
			t.report.call = b
			return
		}
		addr += k
	}
}

// captureVector adds n elements of struct iovec, or pointers to strings up to a
// null pointer, and up to most bytes of what each is about, of left in all.
func (t *Thread) captureVector(addr, n, most, left uintptr, strings bool) {
	r := t.report
	r.call = append(r.call, 0)
	count := len(r.call) - 1
	for i := range n {
		v := iovec{}
		if strings {
			if copyIn(t, &v.base, addr+i*8) != 0 || v.base == 0 {
				break
			}
		} else if copyIn(t, &v, addr+i*16) != 0 {
			break
		}
		r.call.nums(uint64(v.base), uint64(v.len))
		if strings {
			t.captureString(v.base, most)
		} else {
			k := min(v.len, left)
			left -= k
			if v.base == 0 {
				r.call = append(r.call, 0)
			} else {
				t.captureBytes(v.base, min(k, most))
			}
		}
		r.call[count] = byte(i) + 2
	}
	var probe byte
	if r.call[count] == 0 && (n == 0 || strings && copyIn(t, &probe, addr) == 0) {
		r.call[count] = 1 // empty, but there
	}
}
