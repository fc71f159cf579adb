package trace

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"gosv/internal/diag"
)

// An Event is one of the types below.
type Event any

// Thread: a thread began, or got another name.
type Thread struct {
	TID  int
	Time time.Duration // since boot, as all times
	Name string
}

// Call is a system call that is over, or waits.
type Call struct {
	TID, NR  int
	Start    time.Duration
	Args     []uint64
	Data     []Data // as the plan's captures; those on exit are there when it is over
	Waited   bool   // there was an event before, when it began to wait
	Over     bool
	Duration time.Duration
	Errno    int
	Result   uint64
}

// Data is what a capture got.
type Data struct {
	OK    bool // it could be read
	Bytes []byte
	Parts []Part // of vectors
}

// Part is an element of a vector.
type Part struct {
	Base, Len uint64
	OK        bool
	Bytes     []byte
}

// Sample: what a CPU did when it was busy for a while: thread TID in ring 3 or, if that is
// 0, the kernel, of whose addresses there are the lower halves. The first is where it was, the others
// are where it would return to. Without any it was lost.
type Sample struct {
	TID int
	PCs []uint64
}

// Lost: records were lost, for nobody took them.
type Lost struct{ Records int }

// Signal: a thread is about to handle a signal.
type Signal struct {
	TID  int
	Time time.Duration
	Info [diag.SigInfo]byte // of siginfo_t
}

// Gone: a thread ended.
type Gone struct {
	TID  int
	Time time.Duration
}

// End: the process ended, as thread TID wanted or by a signal.
type End struct {
	TID    int
	Time   time.Duration
	Status int
	Signal int
	Core   bool
}

// Mark: a stage of the boot was reached.
type Mark struct {
	Time  time.Duration
	Stage string
}

// Ran: a thread was on a CPU.
type Ran struct {
	TID, CPU int
	Start    time.Duration
	Duration time.Duration
}

// Fault: a page fault.
type Fault struct {
	TID      int
	Start    time.Duration
	Duration time.Duration
	Addr     uint64
	Access   int // 0 read, 1 write, 2 fetch
	Signal   bool
}

// CoreBegin begins a core dump of process PID.
type CoreBegin struct {
	PID, TID     int // TID is the thread that a signal ended, 0 if it goes on
	Time         time.Duration
	UID, GID     int
	FPMask       uint64 // XCR0, or 0 if there is no XSAVE
	StackStart   uint64 // the stack pointer that the program was started with
	ArgLo, ArgHi uint64
	Info         [diag.SigInfo]byte
}

// CoreThread is a thread in a core dump.
type CoreThread struct {
	TID     int
	Blocked uint64
	Regs    [diag.NumRegs * 8]byte
	FP      []byte
}

// CoreMapping is a mapping in a core dump.
type CoreMapping struct {
	Lo, Size uint64
	Prot     int
	File     bool
	Offset   uint64
	Name     string
}

// CoreMemory says where there is memory that the dump has.
type CoreMemory struct{ Lo, Size uint64 }

// CoreData is what is in memory, where it is not zero.
type CoreData struct {
	Addr  uint64
	Bytes []byte
}

// CoreEnd ends a core dump.
type CoreEnd struct{}

// Reader takes records apart. It is an io.Writer for the console's stream, and
// never fails: after a malformed record, which a kernel that works does not
// send, it ignores the rest and keeps the reason.
type Reader struct {
	plan    *Plan
	events  func(Event)
	buf     []byte
	waiting map[int]*Call // by thread
	err     error
}

// NewReader returns a Reader that passes events on. The plan is the one that the
// kernel was given.
func NewReader(plan *Plan, events func(Event)) *Reader {
	return &Reader{plan: plan, events: events, waiting: map[int]*Call{}}
}

// Err says what was wrong with the records, if anything was.
func (r *Reader) Err() error { return r.err }

// MaxRecord bounds a record, in bytes: the kernel sends none of more than a few pages.
const MaxRecord = 1 << 20

var errLong = errors.New("a record without end")

// Write implements io.Writer.
func (r *Reader) Write(p []byte) (int, error) {
	if r.err != nil {
		return len(p), nil
	}
	r.buf = append(r.buf, p...)
	at := 0
	for r.err == nil {
		size, n := binary.Uvarint(r.buf[at:])
		if n < 0 || n > 0 && (size > MaxRecord || size == 0) {
			r.err = errLong
			break
		}
		if n == 0 || uint64(len(r.buf)-at-n) < size {
			break
		}
		body := r.buf[at+n:][:size]
		at += n + int(size)
		f := fields{b: body[1:]}
		e := r.event(body[0], &f)
		if f.bad || len(f.b) > 0 {
			r.err = fmt.Errorf("a malformed record of kind %q: %x", body[0], body)
			break
		}
		if e != nil {
			r.events(e)
		}
	}
	r.buf = append(r.buf[:0], r.buf[at:]...)
	return len(p), nil
}

// event takes a record apart; nil if there is nothing to pass on.
func (r *Reader) event(kind byte, f *fields) Event {
	switch kind {
	case diag.Thread:
		return Thread{f.int(), f.time(), string(f.rest())}
	case diag.Call, diag.Entered:
		c := &Call{TID: f.int()}
		r.entered(c, f)
		if kind == diag.Call {
			r.left(c, f)
		} else {
			if w := r.waiting[c.TID]; w != nil && w.NR == c.NR && w.Start == c.Start {
				return nil // said again for somebody else
			}
			c.Waited = true
			kept := *c
			r.waiting[c.TID] = &kept
		}
		return c
	case diag.Left:
		c := r.waiting[f.int()]
		if c == nil { // it was entered before we looked
			f.rest()
			return nil
		}
		delete(r.waiting, c.TID)
		r.left(c, f)
		return c
	case diag.Sample:
		s := Sample{TID: f.int()}
		for len(f.b) > 0 {
			s.PCs = append(s.PCs, f.num())
		}
		return s
	case diag.Lost:
		return Lost{f.int()}
	case diag.Signal:
		s := Signal{TID: f.int(), Time: f.time()}
		copy(s.Info[:], f.take(diag.SigInfo))
		return s
	case diag.Gone:
		return Gone{f.int(), f.time()}
	case diag.End:
		return End{f.int(), f.time(), f.int(), f.int(), f.num() != 0}
	case diag.Mark:
		return Mark{f.time(), string(f.rest())}
	case diag.Ran:
		return Ran{f.int(), f.int(), f.time(), f.time()}
	case diag.Fault:
		return Fault{f.int(), f.time(), f.time(), f.num(), f.int(), f.num() != 0}
	case diag.CoreBegin:
		e := CoreBegin{f.int(), f.int(), f.time(), f.int(), f.int(), f.num(), f.num(), f.num(), f.num(), [diag.SigInfo]byte{}}
		copy(e.Info[:], f.take(diag.SigInfo))
		return e
	case diag.CoreThread:
		e := CoreThread{TID: f.int(), Blocked: f.num()}
		copy(e.Regs[:], f.take(len(e.Regs)))
		e.FP = f.rest()
		return e
	case diag.CoreMapping:
		e := CoreMapping{Lo: f.num(), Size: f.num()}
		flags := f.int()
		e.Prot, e.File = flags&^diag.CoreFile, flags&diag.CoreFile != 0
		e.Offset, e.Name = f.num(), string(f.rest())
		return e
	case diag.CoreMemory:
		return CoreMemory{f.num(), f.num()}
	case diag.CoreData:
		return CoreData{f.num(), f.rest()}
	case diag.CoreEnd:
		return CoreEnd{}
	}
	f.bad = true
	return nil
}

func (r *Reader) entered(c *Call, f *fields) {
	c.NR, c.Start = f.int(), f.time()
	plan, ok := r.plan.Calls[c.NR]
	if !ok {
		f.bad = true
		return
	}
	c.Args = make([]uint64, plan.Args)
	for i := range c.Args {
		c.Args[i] = f.num()
	}
	c.Data = make([]Data, len(plan.Captures))
	f.captures(plan, c.Data, false)
}

func (r *Reader) left(c *Call, f *fields) {
	c.Over, c.Duration, c.Errno, c.Result = true, f.time(), f.int(), f.num()
	f.captures(r.plan.Calls[c.NR], c.Data, true)
}

// fields are what is left of a record.
type fields struct {
	b   []byte
	bad bool
}

func (f *fields) num() uint64 {
	v, n := binary.Uvarint(f.b)
	if n <= 0 {
		f.bad, f.b = true, nil
		return 0
	}
	f.b = f.b[n:]
	return v
}

// int is a number that is small if the kernel works.
func (f *fields) int() int {
	v := f.num()
	if v >= 1<<31 {
		f.bad = true
		return 0
	}
	return int(v)
}

func (f *fields) time() time.Duration {
	v := f.num()
	if v >= 1<<63 {
		f.bad = true
		return 0
	}
	return time.Duration(v)
}

func (f *fields) take(n int) []byte {
	if n > len(f.b) {
		f.bad, f.b = true, nil
		return nil
	}
	p := f.b[:n:n]
	f.b = f.b[n:]
	return append([]byte(nil), p...)
}

func (f *fields) rest() []byte { return f.take(len(f.b)) }

// blob is bytes with their number+1 before them, or 0.
func (f *fields) blob() ([]byte, bool) {
	n := f.num()
	if n == 0 {
		return nil, false
	}
	if n > MaxRecord {
		f.bad = true
		return nil, false
	}
	return f.take(int(n - 1)), true
}

func (f *fields) captures(plan CallPlan, data []Data, onExit bool) {
	for i, k := range plan.Captures {
		if k.OnExit != onExit || f.bad {
			continue
		}
		d := &data[i]
		if k.How == diag.Bytes || k.How == diag.String {
			d.Bytes, d.OK = f.blob()
			continue
		}
		n := f.num()
		if n > diag.MaxVector+1 {
			f.bad = true
			return
		}
		d.OK = n > 0
		for range max(n, 1) - 1 {
			p := Part{Base: f.num(), Len: f.num()}
			p.Bytes, p.OK = f.blob()
			d.Parts = append(d.Parts, p)
		}
	}
}
