package main

import (
	"bytes"
	"debug/elf"
	"debug/gosym"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
)

// linkedKernel is a kernel as the toolchain links it.
var linkedKernel = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "mkkernel")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "kernel.elf")
	if err := link(name, smallKernel, false, "auto"); err != nil {
		return nil, err
	}
	return os.ReadFile(name)
})

// TestCompact compares what the Go runtime finds in the tables of a kernel
// before and after, for each byte of its text.
func TestCompact(t *testing.T) {
	linked, err := linkedKernel()
	if err != nil {
		t.Fatal(err)
	}
	small, err := compact(bytes.Clone(linked), false)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes, %d before", len(small), len(linked))
	if len(small) > len(linked)-300_000 {
		t.Error("that is hardly less")
	}
	a, b := newReader(t, linked), newReader(t, small)
	if a.functions() != b.functions() {
		t.Fatalf("%d functions, %d before", b.functions(), a.functions())
	}
	all := func(string) bool { return true }
	lines, maps, inlined := 0, 0, 0
	for i := range a.functions() {
		entry, end := a.entry(i), a.entry(i+1)
		f, g := a.find(entry), b.find(entry)
		if g.name != shortName(f.name) || b.find(end-1).name != g.name || g.word(0) != uint32(entry-a.text) {
			t.Fatalf("at %#x: %q, %q before", entry, g.name, f.name)
		}
		for word, what := range map[int]string{2: "args", 3: "deferreturn"} {
			if f.word(word) != g.word(word) {
				t.Errorf("%s: %s %d, %d before", f.name, what, g.word(word), f.word(word))
			}
		}
		if f.bytes[40] != g.bytes[40] || f.bytes[41] != g.bytes[41] {
			t.Errorf("%s: other flags", f.name)
		}
		size := int(end - entry)
		same := func(what string, before, after []int32) {
			if !reflect.DeepEqual(before, after) {
				t.Errorf("%s: other values of %s", f.name, what)
			}
		}
		same("pcsp", f.values(f.word(4), size), g.values(g.word(4), size))
		same("PanicBounds", f.pcdata(pcPanicBounds, size), g.pcdata(pcPanicBounds, size))
		runtime := ofRuntime(f.name)
		if !runtime {
			same("UnsafePoint", f.pcdata(pcUnsafePoint, size), g.pcdata(pcUnsafePoint, size))
		}
		index, index2 := f.pcdata(pcStackMapIndex, size), g.pcdata(pcStackMapIndex, size)
		for _, kind := range []int{fdArgsPointerMaps, fdLocalsPointerMaps} {
			m, m2 := f.funcdata(kind), g.funcdata(kind)
			if (m == nil) != (m2 == nil) {
				t.Errorf("%s: has lost a stack map", f.name)
				continue
			}
			for pc := 0; pc < size && m != nil; pc++ {
				before, after := stackMap(m, index[pc]), stackMap(m2, index2[pc])
				if !bytes.Equal(before, after) {
					t.Errorf("%s+%#x: pointer map %x, %x before", f.name, pc, after, before)
				}
				maps++
			}
		}
		if o, o2 := f.funcdata(fdStackObjects), g.funcdata(fdStackObjects); (o == nil) != (o2 == nil) ||
			o != nil && !bytes.Equal(o[:8+16*le.Uint32(o)], o2[:8+16*le.Uint32(o)]) {
			t.Errorf("%s: other stack objects", f.name)
		}
		if d, d2 := f.funcdata(fdOpenCodedDeferInfo), g.funcdata(fdOpenCodedDeferInfo); (d == nil) != (d2 == nil) {
			t.Errorf("%s: other deferred calls", f.name)
		} else if d != nil {
			before, n := uvarint(d)
			slots, _ := uvarint(d[n:])
			after, n := uvarint(d2)
			if slots2, _ := uvarint(d2[n:]); before != after || slots != slots2 {
				t.Errorf("%s: other deferred calls", f.name)
			}
		}
		if runtime {
			continue
		}
		in, in2 := f.pcdata(pcInlTreeIndex, size), g.pcdata(pcInlTreeIndex, size)
		places := make([]int, size)
		for pc := range size {
			before, place := f.inlinedAt(in, pc, keepInlined)
			places[pc] = place
			after, _ := g.inlinedAt(in2, pc, all)
			if !reflect.DeepEqual(before, after) {
				t.Fatalf("%s+%#x: inlined %v, %v before", f.name, pc, after, before)
			}
			// isAsyncSafePoint goes by the innermost.
			if every, _ := f.inlinedAt(in, pc, all); len(every) > 0 && strings.Contains(every[0].name, "runtime") &&
				!reflect.DeepEqual(every[:1], after[:min(1, len(after))]) {
				t.Fatalf("%s+%#x: inlined %v, %v before", f.name, pc, after, every)
			}
			inlined++
		}
		if !ours(f.name) {
			continue
		}
		line, line2 := f.values(f.word(6), size), g.values(g.word(6), size)
		files, files2 := f.values(f.word(5), size), g.values(g.word(5), size)
		for pc := range size {
			at := places[pc]
			if line[at] != line2[pc] || f.file(files[at]) != g.file(files2[pc]) {
				t.Fatalf("%s+%#x: in %s:%d, %s:%d before", f.name, pc, g.file(files2[pc]), line2[pc], f.file(files[at]), line[at])
			}
			lines++
		}
	}
	if lines < 100_000 || maps < 100_000 || inlined < 1000 {
		t.Errorf("compared %d lines, %d stack maps, %d inlined calls: too few", lines, maps, inlined)
	}
	// debug/gosym, with which gosv pprof names functions, finds the same.
	table := b.file.Section(".gopclntab")
	pclntab, err := table.Data()
	if err != nil {
		t.Fatal(err)
	}
	sym, err := gosym.NewTable(nil, gosym.NewLineTable(pclntab, b.text))
	if err != nil || len(sym.Funcs) != b.functions() {
		t.Fatalf("debug/gosym finds %d functions of %d: %v", len(sym.Funcs), b.functions(), err)
	}
	for i := range b.functions() {
		if f := sym.PCToFunc(b.entry(i)); f == nil || f.Name != b.find(b.entry(i)).name {
			t.Fatalf("debug/gosym finds %v, not %s", f, b.find(b.entry(i)).name)
		}
	}
	for _, field := range []int{mdMinPC, mdText} {
		if le.Uint64(a.md[field:]) != le.Uint64(b.md[field:]) {
			t.Errorf("other moduledata at %d", field)
		}
	}
	n := int(le.Uint64(a.md[mdItabLinks+8:]))
	if !bytes.Equal(a.at(le.Uint64(a.md[mdItabLinks:]))[:n*8], b.at(le.Uint64(b.md[mdItabLinks:]))[:n*8]) {
		t.Error("other itabs")
	}
	for _, s := range a.file.Sections { // and all else is as it was
		switch s.Name {
		case ".gopclntab", ".typelink", ".itablink", ".go.module", "":
			continue
		}
		s2 := b.file.Section(s.Name)
		if s.Type == elf.SHT_NOBITS {
			if s2.Addr != s.Addr || s2.Size != s.Size {
				t.Errorf("%s moved", s.Name)
			}
			continue
		}
		before, _ := s.Data()
		after, err := s2.Data()
		if err != nil || !bytes.Equal(before, after) || s2.Addr != s.Addr || s.Addr != 0 && !bytes.Equal(b.at(s.Addr)[:s.Size], before) {
			t.Errorf("%s is different: %v", s.Name, err)
		}
	}
}

// reader reads a kernel's tables the way package runtime does, functions by
// functions of the same names in runtime/symtab.go.
type reader struct {
	*image
	text uint64
}

func newReader(t *testing.T, b []byte) *reader {
	img, err := openImage(b)
	if err != nil {
		t.Fatal(err)
	}
	return &reader{img, le.Uint64(img.md[mdText:])}
}

func (r *reader) slice(field int) []byte { return r.at(le.Uint64(r.md[field:])) }

func (r *reader) functions() int { return int(le.Uint64(r.md[mdFuncTab+8:])) - 1 }

func (r *reader) entry(i int) uint64 { return r.text + uint64(le.Uint32(r.slice(mdFuncTab)[i*8:])) }

func (r *reader) str(field int, off uint32) string {
	if field == mdFuncNames && off == 0 {
		return ""
	}
	return cstring(r.slice(field)[off:])
}

type funcInfo struct {
	*reader
	bytes []byte
	name  string
}

// find is findfunc.
func (r *reader) find(pc uint64) funcInfo {
	x := pc - r.text
	bucket := r.slice(mdFindFunc)[x/4096*20:]
	i := int(le.Uint32(bucket) + uint32(bucket[4+x%4096/256]))
	for r.entry(i+1) <= pc {
		i++
	}
	f := funcInfo{reader: r, bytes: r.slice(mdFuncs)[le.Uint32(r.slice(mdFuncTab)[i*8+4:]):]}
	f.name = r.str(mdFuncNames, f.word(1))
	return f
}

func (f funcInfo) word(i int) uint32 { return le.Uint32(f.bytes[i*4:]) }

// values is pcvalue for each of a function's addresses, of which the last may
// be padding that no table covers.
func (f funcInfo) values(off uint32, size int) []int32 {
	out := make([]int32, size)
	p := f.slice(mdPCTab)[off:]
	value, pc := int32(-1), uint32(0)
	for i := range out {
		for off != 0 && pc <= uint32(i) {
			if p[0] == 0 && pc != 0 {
				off, value = 0, -1<<31
				break
			}
			v, n := uvarint(p)
			d, m := uvarint(p[n:])
			value += int32(-(v & 1) ^ v>>1)
			pc += d
			p = p[n+m:]
		}
		out[i] = value
	}
	return out
}

// uvarint is readvarint.
func uvarint(p []byte) (v uint32, n int) {
	for shift := 0; ; shift += 7 {
		v |= uint32(p[n]&0x7f) << shift
		n++
		if p[n-1] < 0x80 {
			return v, n
		}
	}
}

func (f funcInfo) pcdata(table uint32, size int) []int32 {
	off := uint32(0)
	if table < f.word(7) {
		off = f.word(11 + int(table))
	}
	return f.values(off, size)
}

func (f funcInfo) funcdata(kind int) []byte {
	if kind >= int(f.bytes[43]) {
		return nil
	}
	off := f.word(11 + int(f.word(7)) + kind)
	if off == 1<<32-1 {
		return nil
	}
	return f.slice(mdFuncData)[off:]
}

// stackMap is the bitmap that getStackMap takes, with its number of bits.
func stackMap(m []byte, index int32) []byte {
	n, bits := int32(le.Uint32(m)), int32(le.Uint32(m[4:]))
	index = max(index, 0)
	if index >= n {
		if bits == 0 {
			return nil
		}
		return []byte("none")
	}
	size := (bits + 7) / 8
	return append(bytes.Clone(m[4:8]), m[8+index*size:8+(index+1)*size]...)
}

// inlinedAt names the calls to functions to keep that are inlined at pc, from the
// innermost out, and where the code of the innermost is.
func (f funcInfo) inlinedAt(index []int32, pc int, keep func(name string) bool) (calls []inlinedCall, at int) {
	tree := f.funcdata(fdInlTree)
	at = pc
	for i := index[pc]; i >= 0; i = index[pc] {
		c := tree[i*16:]
		pc = int(le.Uint32(c[8:]))
		if name := f.str(mdFuncNames, le.Uint32(c[4:])); keep(name) {
			calls = append(calls, inlinedCall{c[0], shortName(name), uint32(pc), 0})
		} else if calls == nil {
			at = pc
		}
	}
	return calls, at
}

func (f funcInfo) file(number int32) string {
	if number < 0 {
		return ""
	}
	return f.str(mdFiles, le.Uint32(f.slice(mdCUs)[(f.word(8)+uint32(number))*4:]))
}

// TestRefuse: tables that are not understood are not rewritten.
func TestRefuse(t *testing.T) {
	linked, err := linkedKernel()
	if err != nil {
		t.Fatal(err)
	}
	img, err := openImage(linked)
	if err != nil {
		t.Fatal(err)
	}
	sections := img.file.Sections
	tables := sections[img.tables]
	for what, spoil := range map[string]func(b []byte){
		"magic":   func(b []byte) { b[tables.Offset]++ },
		"pcdata":  func(b []byte) { le.PutUint32(b[tables.Offset+le.Uint64(b[tables.Offset+64:])+4:], 1<<30) },
		"order":   func(b []byte) { le.PutUint32(b[tables.Offset+le.Uint64(b[tables.Offset+64:]):], 1<<30) },
		"pointer": func(b []byte) { le.PutUint64(b[img.file.Section(".data").Offset:], tables.Addr+100) },
	} {
		b := bytes.Clone(linked)
		spoil(b)
		if _, err := compact(b, false); err == nil {
			t.Errorf("%s: no error", what)
		} else if what != "pointer" && !errors.Is(err, errTables) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := compact([]byte("text"), false); err == nil {
		t.Error("no ELF file: no error")
	}
}
