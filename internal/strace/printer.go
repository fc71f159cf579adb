package strace

import (
	"fmt"
	"io"
	"strings"
	"time"

	"gosv/internal/abi"
	"gosv/internal/diag"
	"gosv/internal/trace"
)

// Describe returns a call's name, the call with its arguments, and its result, "?"
// while there is none.
func Describe(plan map[int]trace.CallPlan, c *trace.Call) (name, text, result string) {
	a := abi.ByNumber(c.NR)
	if a == nil || len(a.Args) != len(c.Args) {
		return fmt.Sprintf("syscall_%d", c.NR), "", ""
	}
	l := &line{Call: c, abi: a, plan: plan[c.NR]}
	before, after := l.format()
	if !c.Over {
		return a.Name, before + ")", "?"
	}
	return a.Name, before + after + ")", strings.TrimPrefix(l.value(), "= ")
}

// Printer prints events as strace(1) does. A call that waits is printed as far as
// it is known; when another line comes in between, "<unfinished ...>" follows,
// and "<... resumed>" later.
type Printer struct {
	w    io.Writer
	plan map[int]trace.CallPlan // of what to print

	threads map[int]bool // that live
	status  map[int]int  // what a thread gave exit(2)
	open    int          // the thread whose call the last line is about, if it is not complete; or 0
	column  int          // how much of that line there is
}

// NewPrinter returns a Printer of the calls in plan.
func NewPrinter(w io.Writer, plan map[int]trace.CallPlan) *Printer {
	return &Printer{w: w, plan: plan, threads: map[int]bool{}, status: map[int]int{}}
}

// Event prints an event, if it is one to be printed.
func (p *Printer) Event(e trace.Event) {
	switch e := e.(type) {
	case trace.Thread:
		p.threads[e.TID] = true
	case *trace.Call:
		if a := abi.ByNumber(e.NR); a != nil && len(a.Args) == len(e.Args) {
			p.call(e, a)
		}
	case trace.Lost:
		p.unfinished()
		fmt.Fprintf(p.w, "gosv: %d records lost, for they were not taken fast enough\n", e.Records)
	case trace.Signal:
		p.line(e.TID, "--- "+signalLine(e.Info[:])+" ---")
	case trace.Gone:
		if len(p.threads) > 1 { // the last one's end is the process's
			p.line(e.TID, fmt.Sprintf("+++ exited with %d +++", p.status[e.TID]))
		}
		delete(p.threads, e.TID)
	case trace.End:
		switch {
		case e.Signal == 0:
			p.line(e.TID, fmt.Sprintf("+++ exited with %d +++", e.Status))
		case e.Core:
			p.line(e.TID, "+++ killed by "+signalName(uint64(e.Signal))+" (core dumped) +++")
		default:
			p.line(e.TID, "+++ killed by "+signalName(uint64(e.Signal))+" +++")
		}
	}
}

// Close ends a line that is not complete: of a call that never returned.
func (p *Printer) Close() { p.unfinished() }

func (p *Printer) unfinished() {
	if p.open != 0 {
		io.WriteString(p.w, " <unfinished ...>\n")
		p.open = 0
	}
}

// prefix says which thread a line is about, where there are several.
func (p *Printer) prefix(tid int) string {
	if len(p.threads) > 1 {
		return fmt.Sprintf("[pid %5d] ", tid)
	}
	return ""
}

func (p *Printer) line(tid int, s string) {
	p.unfinished()
	io.WriteString(p.w, p.prefix(tid)+s+"\n")
}

func (p *Printer) call(c *trace.Call, a *abi.Call) {
	plan, ok := p.plan[c.NR]
	if plan.NoReturn && c.Args != nil {
		p.status[c.TID] = int(c.Args[0] & 0xff)
	}
	if !ok {
		return
	}
	l := &line{Call: c, abi: a, plan: plan}
	before, after := l.format()
	var s string
	switch {
	case c.Waited && c.Over && p.open == c.TID:
		s = after
	case c.Waited && c.Over:
		p.unfinished()
		prefix := p.prefix(c.TID)
		s = prefix + "<... " + l.abi.Name + " resumed>" + after
		p.column = -len(prefix)
	case c.Over:
		p.unfinished()
		prefix := p.prefix(c.TID)
		s = prefix + before + after
		p.column = -len(prefix)
	case plan.NoReturn:
		p.unfinished()
		io.WriteString(p.w, p.prefix(c.TID)+pad(before+after+")", 0)+"= ?\n")
		return
	default:
		p.unfinished()
		prefix := p.prefix(c.TID)
		io.WriteString(p.w, prefix+before)
		p.open, p.column = c.TID, len(before)
		return
	}
	io.WriteString(p.w, pad(s+")", p.column)+l.result()+"\n")
	p.open = 0
}

// pad makes room before a call's result, which begins in column 40 if it can.
func pad(s string, column int) string {
	const results = 40
	return s + strings.Repeat(" ", max(results-column-len(s), 1))
}

// line is a call being formatted.
type line struct {
	*trace.Call
	abi  *abi.Call
	plan trace.CallPlan
	b    strings.Builder
}

func (l *line) failed() bool { return l.Errno != 0 }

// data returns what was captured of argument i before the call, or on exit.
func (l *line) data(i int, onExit bool) trace.Data {
	for k, c := range l.plan.Captures {
		if c.OnExit == onExit && (c.Arg == i || c.Arg == diag.StackPointer) {
			return l.Data[k]
		}
	}
	return trace.Data{}
}

// onExit says whether argument i can be printed only when the call is over.
func (l *line) onExit(i int) bool {
	in, out := false, false
	for _, c := range l.plan.Captures {
		if c.Arg == i {
			in, out = in || !c.OnExit, out || c.OnExit
		}
	}
	return out && !in || l.abi.Name == "ioctl" && i == 2
}

// format returns the call up to the first argument that is known only when it is
// over, and the rest without the closing parenthesis; the rest is empty while it
// is not over.
func (l *line) format() (before, after string) {
	args := l.arguments()
	l.b.WriteString(l.abi.Name + "(")
	cut := -1
	for n, a := range args {
		if n > 0 {
			l.b.WriteString(", ")
		}
		if a.onExit && cut < 0 {
			cut = l.b.Len()
			if !l.Over {
				break
			}
		}
		l.b.WriteString(a.label)
		if a.word != "" {
			l.arg(a.word, a.index)
		}
	}
	s := l.b.String()
	if cut < 0 {
		cut = len(s)
	}
	return s[:cut], s[cut:]
}

// argument is one to be printed.
type argument struct {
	label  string
	word   string
	index  int
	onExit bool
}

// result is what follows the call's arguments: its value and how long it took.
func (l *line) result() string {
	return l.value() + fmt.Sprintf(" <%d.%06d>", l.Duration/time.Second, l.Duration%time.Second/time.Microsecond)
}

// value is "=" and what the call returned.
func (l *line) value() string {
	var s string
	switch v := l.Result; {
	case l.failed():
		s = "= " + errorText(l.Errno)
	case l.abi.Name == "mmap" || l.abi.Name == "brk" || l.abi.Name == "mremap" || l.abi.Name == "shmat":
		s = fmt.Sprintf("= %#x", v)
	case l.abi.Name == "umask":
		s = "= " + octal(v)
	default:
		s = fmt.Sprintf("= %d", int64(v))
		if note, whole := l.note(); whole != "" {
			s = "= " + whole
		} else if note != "" {
			s += " (" + note + ")"
		}
	}
	return s
}
