package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"

	"gosv/internal/core"
	"gosv/internal/perfetto"
	"gosv/internal/strace"
	"gosv/internal/trace"
)

// diagFlags say what the user wants to know about the program.
type diagFlags struct {
	strace string
	output string
	trace  string
	core   string
}

func (f *diagFlags) add(fl *pflag.FlagSet) {
	fl.StringVar(&f.strace, "strace", "", "print the program's signals and system calls, or only some `CALLS`: --strace=open,mmap, --strace=%file, --strace=!read")
	fl.Lookup("strace").NoOptDefVal = "all"
	fl.StringVar(&f.trace, "trace", "", "write a trace of boot, system calls, page faults and scheduling to `FILE`, for ui.perfetto.dev")
	fl.StringVar(&f.core, "core", "", "write a core dump to `FILE` when a signal ends the program that makes one on Linux, or when gosv gets SIGQUIT")
	fl.StringVarP(&f.output, "output", "o", "", "print what --strace finds to `FILE` (default standard error)")
}

// watch is what follows a program's run for the user.
type watch struct {
	flags   *diagFlags
	wanted  trace.Plan             // of the kernel
	printed map[int]trace.CallPlan // by --strace
	files   map[string]string      // where files of the image are here
	done    []func() error         // what to do when the run is over
	core    *core.Writer           // of --core, or nil
	reader  *trace.Reader
}

// watch returns nil if there is nothing that the user wants to know.
func (f *diagFlags) watch() (*watch, error) {
	w := &watch{flags: f}
	if f.output != "" && f.strace == "" {
		return nil, fmt.Errorf("-o %s: that is where --strace prints to; without it there is nothing to print", f.output)
	}
	if f.strace != "" {
		var err error
		if w.printed, err = strace.Select(f.strace); err != nil {
			return nil, fmt.Errorf("--strace=%s: %w", f.strace, err)
		}
		w.wanted.Calls = w.printed
	}
	if f.trace != "" {
		w.wanted.Schedule = true
		var err error
		if w.wanted.Calls, err = strace.Select("all"); err != nil {
			return nil, err
		}
	}
	w.wanted.Core = f.core != ""
	if w.wanted.Encode() == nil {
		return nil, nil
	}
	return w, nil
}

// plan is what the kernel is told.
func (w *watch) plan() []byte {
	if w == nil {
		return nil
	}
	return w.wanted.Encode()
}

// has tells where a file of the image is here.
func (w *watch) has(inImage, here string) {
	if abs, err := filepath.Abs(here); w != nil && err == nil {
		w.files = map[string]string{inImage: abs}
	}
}

// open returns what takes the kernel's records. The terminal is in raw mode if
// tty is set.
func (w *watch) open(tty bool) (io.Writer, error) {
	var sinks []func(trace.Event)
	if w.flags.strace != "" {
		out := io.Writer(os.Stderr)
		if w.flags.output != "" {
			f, err := os.Create(w.flags.output)
			if err != nil {
				return nil, err
			}
			b := bufio.NewWriter(f)
			w.done = append(w.done, b.Flush, f.Close)
			out = b
		} else if tty {
			out = rawTerminal{out}
		}
		p := strace.NewPrinter(out, w.printed)
		w.done = append([]func() error{func() error { p.Close(); return nil }}, w.done...)
		sinks = append(sinks, p.Event)
	}
	if w.flags.trace != "" {
		f, err := os.Create(w.flags.trace)
		if err != nil {
			return nil, err
		}
		p := perfetto.NewWriter(f, w.wanted.Calls)
		w.done = append(w.done, p.Close, f.Close)
		sinks = append(sinks, p.Event)
	}
	if w.flags.core != "" {
		if _, err := os.Stat(filepath.Dir(w.flags.core)); err != nil { // better now than after the crash
			return nil, fmt.Errorf("--core %s: %w", w.flags.core, err)
		}
		w.core = core.NewWriter(w.flags.core)
		w.core.Files = w.files
		w.done = append(w.done, w.core.Close)
		sinks = append(sinks, w.core.Event)
	}
	all, err := allCalls() // who looks later may want others
	if err != nil {
		return nil, err
	}
	w.reader = trace.NewReader(all, func(e trace.Event) {
		for _, sink := range sinks {
			sink(e)
		}
	})
	return w.reader, nil
}

// close completes what was written.
func (w *watch) close() (err error) {
	for _, done := range w.done {
		if derr := done(); err == nil {
			err = derr
		}
	}
	w.done = nil
	return err
}

// rawTerminal is a terminal that does not return to the first column by itself.
type rawTerminal struct{ w io.Writer }

func (t rawTerminal) Write(p []byte) (int, error) {
	_, err := t.w.Write(bytes.ReplaceAll(p, []byte("\n"), []byte("\r\n")))
	return len(p), err
}
