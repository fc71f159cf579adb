package main

import (
	"bytes"
	"slices"
	"strings"
)

// slim drops what the kernel does not need.
func (m *module) slim() {
	for i := range m.funcs {
		f := &m.funcs[i]
		f.startLine = 0 // only in profiles
		for j := range f.inlined {
			f.inlined[j].startLine = 0
		}
		// Live arguments are only printed, and not without ArgInfo.
		f.pcdata[pcArgLiveIndex] = nil
		// The kernel's own lines are worth their place. Those of the standard
		// library are found by address: see docs/debugging.md.
		if !ours(f.name) {
			f.file, f.line, f.files = nil, nil, nil
		}
		// Functions of these packages are never preempted, whatever is inlined
		// (see runtime.isAsyncSafePoint), and none calls recover. Nobody else
		// asks but traces, which tell the function and not what is inlined then.
		if ofRuntime(f.name) {
			f.inlined, f.pcdata[pcInlTreeIndex], f.pcdata[pcUnsafePoint] = nil, nil, nil
		}
		f.slimMaps()
		f.uninline()
		f.name = shortName(f.name)
		for j := range f.inlined {
			f.inlined[j].name = shortName(f.inlined[j].name)
		}
	}
}

// ours says whether a function is the kernel's, not the standard library's. One
// whose name has no package is in assembly.
func ours(name string) bool {
	return strings.HasPrefix(name, "gosv/") || strings.HasPrefix(name, "main.") || !strings.Contains(name, ".")
}

func ofRuntime(name string) bool {
	return strings.HasPrefix(name, "runtime.") || strings.HasPrefix(name, "internal/runtime/")
}

// slimMaps drops the index into the stack maps where it selects nothing: the
// runtime takes the first map if there is none (see stkframe.getStackMap).
func (f *function) slimMaps() {
	for _, kind := range []int{fdArgsPointerMaps, fdLocalsPointerMaps} {
		b := f.funcdata[kind]
		if b == nil {
			continue
		}
		n, size := le.Uint32(b), (len(b)-8)/max(1, int(le.Uint32(b)))
		for i := 1; i < int(n); i++ {
			if !bytes.Equal(b[8:8+size], b[8+i*size:8+(i+1)*size]) {
				return
			}
		}
	}
	f.pcdata[pcStackMapIndex] = nil
	for _, kind := range []int{fdArgsPointerMaps, fdLocalsPointerMaps} {
		if b := f.funcdata[kind]; b != nil && le.Uint32(b) > 1 {
			b = append(le.AppendUint32(nil, 1), b[4:8+(len(b)-8)/int(le.Uint32(b))]...)
			f.funcdata[kind] = b
		}
	}
}

// uninline gives the code of the standard library's functions that is inlined to
// what calls them: the line is that of the call.
func (f *function) uninline() {
	index := pcValues(f.pcdata[pcInlTreeIndex])
	// place is the instruction at pc, or the call that it is inlined for.
	place := func(pc uint32) uint32 {
		for i := index[pc]; i >= 0 && !keepInlined(f.inlined[i].name); i = index[pc] {
			pc = f.inlined[i].parentPC
		}
		return pc
	}
	move := func(table []byte) []byte {
		values := pcValues(table)
		moved := slices.Clone(values)
		for pc := range min(len(values), len(index)) {
			moved[pc] = values[place(uint32(pc))]
		}
		return pcTable(moved)
	}
	if !slices.ContainsFunc(f.inlined, func(c inlinedCall) bool { return !keepInlined(c.name) }) {
		return
	}
	if f.line != nil {
		f.line, f.file = move(f.line), move(f.file)
		files := make([]string, 0, len(f.files))
		for run := range pcRuns(f.file) {
			files = append(files, make([]string, max(0, int(run.value)+1-len(files)))...)
			if run.value >= 0 {
				files[run.value] = f.files[run.value]
			}
		}
		f.files = files
	}
	moved := pcValues(move(f.pcdata[pcInlTreeIndex]))
	var kept []inlinedCall
	number := make([]int32, len(f.inlined))
	for i, c := range f.inlined {
		number[i] = int32(len(kept))
		if keepInlined(c.name) {
			kept = append(kept, c)
		}
	}
	for pc, i := range moved {
		if i >= 0 {
			moved[pc] = number[i]
		}
	}
	f.inlined, f.pcdata[pcInlTreeIndex] = kept, nil
	if len(kept) > 0 {
		f.pcdata[pcInlTreeIndex] = pcTable(moved)
	}
}

// keepInlined says whether inlined calls of a function are told: the kernel's
// in traces, and those that runtime.isAsyncSafePoint asks for.
func keepInlined(name string) bool {
	return ours(name) || ofRuntime(name) || strings.HasPrefix(name, "reflect.")
}

// packagePaths are what all names of the kernel's and of netstack's packages start with.
var packagePaths = strings.NewReplacer("gosv/kernel/", "", "gvisor.dev/gvisor/pkg/", "")

// shortName is what traces print of a function's name: without the types of
// generic functions, as runtime.funcNameForPrint makes it, and without where
// packages are.
func shortName(name string) string {
	if i, j := strings.IndexByte(name, '['), strings.LastIndexByte(name, ']'); i >= 0 && j > i {
		name = name[:i] + "[...]" + name[j+1:]
	}
	return packagePaths.Replace(name)
}
