// Package perfetto writes what the kernel reports as a trace that
// ui.perfetto.dev and chrome://tracing show: the Trace Event Format, JSON.
//
// The program is a process with its threads as tracks, on which each system
// call and each page fault is a slice. The machine is another process: the stages
// of the boot, and for each CPU the threads that ran there.
package perfetto

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"gosv/internal/strace"
	"gosv/internal/trace"
)

// Track numbers of the machine.
const (
	machine   = 0 // as a process
	bootTrack = 0
	firstCPU  = 1
)

// Writer writes a trace.
type Writer struct {
	w    *bufio.Writer
	plan map[int]trace.CallPlan // of the calls that are reported
	err  error
	some bool // there is an event

	pid   int            // of the program: its first thread's id
	names map[int]string // of threads
	open  map[int]*trace.Call
	until map[int]time.Duration // where the last slice of a thread's track ends
	cpus  map[int]time.Duration // and of a CPU's
	boot  time.Duration         // and of the boot's
	last  time.Duration         // the latest time there was
}

// NewWriter returns a Writer to w.
func NewWriter(w io.Writer, plan map[int]trace.CallPlan) *Writer {
	p := &Writer{w: bufio.NewWriter(w), plan: plan, names: map[int]string{}, open: map[int]*trace.Call{},
		until: map[int]time.Duration{}, cpus: map[int]time.Duration{}}
	p.text(`{"displayTimeUnit":"ns","traceEvents":[`)
	p.name("process_name", machine, 0, "machine")
	p.name("thread_name", machine, bootTrack, "boot")
	return p
}

// event is one in the Trace Event Format. Times are microseconds.
type event struct {
	Name  string         `json:"name"`
	Cat   string         `json:"cat,omitempty"`
	Phase string         `json:"ph"`
	TS    json.Number    `json:"ts,omitempty"`
	Dur   json.Number    `json:"dur,omitempty"`
	PID   int            `json:"pid"`
	TID   int            `json:"tid"`
	Scope string         `json:"s,omitempty"`
	Args  map[string]any `json:"args,omitempty"`
}

// us is a time in microseconds, exactly.
func us(t time.Duration) json.Number {
	return json.Number(strconv.FormatInt(int64(t/time.Microsecond), 10) + fmt.Sprintf(".%03d", t%time.Microsecond))
}

func (p *Writer) text(s string) {
	if p.err == nil {
		_, p.err = p.w.WriteString(s)
	}
}

func (p *Writer) put(e event) {
	b, err := json.Marshal(e)
	if err != nil { // of strings and numbers: cannot be
		panic(err)
	}
	sep := ",\n"
	if !p.some {
		sep, p.some = "\n", true
	}
	p.text(sep + string(b))
}

func (p *Writer) name(what string, pid, tid int, name string) {
	p.put(event{Name: what, Phase: "M", PID: pid, TID: tid, Args: map[string]any{"name": name}})
}

// slice puts one on a track, on which the last one ended at *until: they do not
// overlap, whatever the kernel says.
func (p *Writer) slice(e event, start, length time.Duration, until *time.Duration) {
	end := start + length
	start = max(start, *until)
	if end < start {
		return
	}
	e.Phase, e.TS, e.Dur = "X", us(start), us(end-start)
	*until = end
	p.last = max(p.last, end)
	p.put(e)
}

// threadSlice puts one on a thread's track.
func (p *Writer) threadSlice(e event, tid int, start, length time.Duration) {
	until := p.until[tid]
	e.PID, e.TID = p.pid, tid
	p.slice(e, start, length, &until)
	p.until[tid] = until
}

// Event writes an event.
func (p *Writer) Event(e trace.Event) {
	switch e := e.(type) {
	case trace.Mark:
		p.slice(event{Name: e.Stage, Cat: "boot", PID: machine, TID: bootTrack}, p.boot, e.Time-p.boot, &p.boot)
	case trace.Thread:
		if p.pid == 0 {
			p.pid = e.TID
		}
		if e.TID == p.pid {
			p.name("process_name", p.pid, e.TID, e.Name)
		}
		p.names[e.TID] = e.Name
		p.name("thread_name", p.pid, e.TID, e.Name)
	case *trace.Call:
		if e.Over {
			delete(p.open, e.TID)
			p.call(e, e.Duration, "")
		} else {
			kept := *e
			p.open[e.TID] = &kept
		}
	case trace.Fault:
		name := "page fault"
		if e.Signal {
			name = "bad page fault"
		}
		p.threadSlice(event{Name: name, Cat: "fault", Args: map[string]any{"address": fmt.Sprintf("%#x", e.Addr),
			"access": []string{"read", "write", "fetch"}[min(e.Access, 2)]}}, e.TID, e.Start, e.Duration)
	case trace.Signal:
		sig := syscall.Signal(e.Info[0])
		name := unix.SignalName(sig)
		if name == "" {
			name = fmt.Sprintf("signal %d", sig)
		}
		p.instant(name, e.TID, e.Time)
	case trace.Ran:
		until, known := p.cpus[e.CPU]
		if !known {
			p.name("thread_name", machine, firstCPU+e.CPU, fmt.Sprintf("CPU %d", e.CPU))
		}
		p.slice(event{Name: fmt.Sprintf("%s (%d)", p.names[e.TID], e.TID), Cat: "run", PID: machine, TID: firstCPU + e.CPU}, e.Start, e.Duration, &until)
		p.cpus[e.CPU] = until
	case trace.Gone:
		p.last = max(p.last, e.Time)
		p.unfinished(e.TID)
	case trace.End:
		name := fmt.Sprintf("exited with %d", e.Status)
		if e.Signal != 0 {
			name = "killed by " + unix.SignalName(syscall.Signal(e.Signal))
		}
		p.instant(name, e.TID, e.Time)
	}
}

func (p *Writer) instant(name string, tid int, at time.Duration) {
	p.last = max(p.last, at)
	p.put(event{Name: name, Cat: "signal", Phase: "i", Scope: "t", TS: us(at), PID: p.pid, TID: tid})
}

func (p *Writer) call(c *trace.Call, length time.Duration, result string) {
	name, text, r := strace.Describe(p.plan, c)
	if result == "" {
		result = r
	}
	p.threadSlice(event{Name: name, Cat: "call", Args: map[string]any{"call": text, "result": result}}, c.TID, c.Start, length)
}

// unfinished ends the call that a thread did not return from at the latest time.
func (p *Writer) unfinished(tid int) {
	if c := p.open[tid]; c != nil {
		delete(p.open, tid)
		p.call(c, max(p.last-c.Start, 0), "?")
	}
}

// Close completes the trace.
func (p *Writer) Close() error {
	for _, tid := range slices.Sorted(maps.Keys(p.open)) {
		p.unfinished(tid)
	}
	p.text("\n]}\n")
	if p.err != nil {
		return p.err
	}
	return p.w.Flush()
}
