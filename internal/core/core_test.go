package core

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gosv/internal/trace"
)

const (
	textAt, dataAt, stackAt, hugeAt = 0x400000, 0x500000, 0x7ffff000, 0x10000000000
)

// dump is a small core dump.
func dump() []trace.Event {
	stack := func(words ...uint64) (b []byte) { return le64(b, words...) }
	b := trace.CoreBegin{PID: 1, TID: 2, StackStart: stackAt, ArgLo: stackAt + 0x800, ArgHi: stackAt + 0x808, FPMask: 7}
	b.Info[0] = 11
	fp := make([]byte, 832)
	copy(fp, "stale")
	t := trace.CoreThread{TID: 2, FP: fp}
	t.Regs[16*8] = 0x99 // rip
	return []trace.Event{
		trace.Thread{TID: 1, Name: "prog"},
		b, t, trace.CoreThread{TID: 1, FP: make([]byte, 832)},
		trace.CoreMapping{Lo: textAt, Size: 0x3000, Prot: 5, File: true, Offset: 0x1000, Name: "/bin/prog"},
		trace.CoreMapping{Lo: dataAt, Size: 0x3000, Prot: 3, File: true, Offset: 0x4000, Name: "/bin/prog"},
		trace.CoreMapping{Lo: stackAt, Size: 0x2000, Prot: 3},
		trace.CoreMapping{Lo: hugeAt, Size: 1 << 40, Prot: 3},
		trace.CoreMemory{Lo: dataAt + 0x1000, Size: 0x1000},
		trace.CoreMemory{Lo: stackAt, Size: 0x1000},
		trace.CoreMemory{Lo: hugeAt + 0x10000, Size: 0x1000},
		trace.CoreMemory{Lo: hugeAt + 0x12000, Size: 0x1000}, // near: one piece
		trace.CoreData{Addr: dataAt + 0x1010, Bytes: []byte("data")},
		trace.CoreData{Addr: stackAt, Bytes: stack(1, stackAt+0x800, 0, 0, 6, 4096, 9, textAt, 0, 0)},
		trace.CoreData{Addr: stackAt + 0x800, Bytes: []byte("prog\x00-x\x00")},
		trace.CoreData{Addr: hugeAt + 0x12ff8, Bytes: []byte("the end.")},
		trace.CoreEnd{},
	}
}

func write(t *testing.T, events []trace.Event) (string, *Writer, error) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "core")
	w := NewWriter(name)
	w.Files = map[string]string{"/bin/prog": "/here/prog"}
	for _, e := range events {
		w.Event(e)
	}
	return name, w, w.Close()
}

func TestWriter(t *testing.T) {
	name, w, err := write(t, dump())
	if n, incomplete := w.Dumps(); err != nil || n != 1 || incomplete {
		t.Fatal(n, incomplete, err)
	}
	f, err := elf.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Type != elf.ET_CORE || f.Machine != elf.EM_X86_64 {
		t.Errorf("%+v", f.FileHeader)
	}
	type seg struct {
		lo, mem, file uint64
		flags         elf.ProgFlag
	}
	want := []seg{
		{textAt, 0x3000, 0, elf.PF_R | elf.PF_X},
		{dataAt, 0x1000, 0, elf.PF_R | elf.PF_W}, {dataAt + 0x1000, 0x1000, 0x1000, elf.PF_R | elf.PF_W}, {dataAt + 0x2000, 0x1000, 0, elf.PF_R | elf.PF_W},
		{stackAt, 0x2000, 0x2000, elf.PF_R | elf.PF_W},
		{hugeAt, 0x10000, 0, elf.PF_R | elf.PF_W}, {hugeAt + 0x10000, 0x3000, 0x3000, elf.PF_R | elf.PF_W}, {hugeAt + 0x13000, 1<<40 - 0x13000, 0, elf.PF_R | elf.PF_W},
	}
	var notes []byte
	for _, p := range f.Progs {
		if p.Type == elf.PT_NOTE {
			notes = make([]byte, p.Filesz)
			p.ReadAt(notes, 0)
			continue
		}
		if len(want) == 0 || (seg{p.Vaddr, p.Memsz, p.Filesz, p.Flags}) != want[0] {
			t.Fatalf("a segment %+v, want %+v", p.ProgHeader, want)
		}
		want = want[1:]
	}
	if len(want) > 0 {
		t.Errorf("no segments %+v", want)
	}
	at := func(addr uint64, n int) string {
		b := make([]byte, n)
		for _, p := range f.Progs {
			if p.Vaddr <= addr && addr < p.Vaddr+p.Filesz {
				p.ReadAt(b, int64(addr-p.Vaddr))
			}
		}
		return string(b)
	}
	for addr, s := range map[uint64]string{dataAt + 0x1010: "data\x00", hugeAt + 0x12ff8: "the end.", stackAt + 0x805: "-x", stackAt + 0x1000: "\x00"} {
		if got := at(addr, len(s)); got != s {
			t.Errorf("at %#x there is %q, want %q", addr, got, s)
		}
	}

	var kinds []uint32
	var threads []uint32
	for len(notes) >= 12 {
		u32 := binary.LittleEndian.Uint32
		nameSize, size, kind := u32(notes), u32(notes[4:]), u32(notes[8:])
		desc := notes[12+(nameSize+3)&^3:][:size]
		notes = notes[12+(nameSize+3)&^3+(size+3)&^3:]
		kinds = append(kinds, kind)
		switch kind {
		case ntPRStatus:
			threads = append(threads, u32(desc[32:]))
			if len(desc) != 336 || len(threads) == 1 && (desc[112+16*8] != 0x99 || desc[12] != 11) {
				t.Errorf("prstatus: %x", desc)
			}
		case ntPRPSInfo:
			if len(desc) != 136 || !bytes.HasPrefix(desc[40:], []byte("prog\x00")) || !bytes.HasPrefix(desc[56:], []byte("prog -x\x00")) {
				t.Errorf("prpsinfo: %q", desc)
			}
		case ntAuxv:
			if !bytes.HasPrefix(desc, le64(nil, 6, 4096, 9, textAt, 0, 0)) {
				t.Errorf("auxv: %x", desc)
			}
		case ntFile:
			if !bytes.HasPrefix(desc, le64(nil, 2, 4096, textAt, textAt+0x3000, 1, dataAt, dataAt+0x3000, 4)) || !strings.HasSuffix(string(desc), "/here/prog\x00") {
				t.Errorf("files: %q", desc)
			}
		case ntFPRegSet:
			if len(desc) != fxSize || binary.LittleEndian.Uint16(desc) != 0x37f || bytes.Contains(desc, []byte("ale")) {
				t.Errorf("fpregset: %x", desc)
			}
		case ntX86XState:
			if len(desc) != 832 || binary.LittleEndian.Uint64(desc[xcr0At:]) != 7 {
				t.Errorf("xstate: %x", desc)
			}
		}
	}
	if len(kinds) != 10 || len(threads) != 2 || threads[0] != 2 || threads[1] != 1 {
		t.Errorf("notes %x of threads %d", kinds, threads)
	}
}

// A dump replaces the one before; half a dump is not passed off as one.
func TestSeveral(t *testing.T) {
	all := append(dump(), dump()...)
	if _, w, err := write(t, all); err != nil || w.dumps != 2 {
		t.Error(w.dumps, err)
	}
	name, w, err := write(t, all[:len(all)-1])
	if _, perr := os.Stat(name + Partial); err != nil || w.dumps != 1 || !w.begun || perr != nil {
		t.Error(w.dumps, w.begun, err, perr)
	}
	name, w, err = write(t, nil)
	if _, serr := os.Stat(name); err != nil || w.dumps != 0 || serr == nil {
		t.Error("a file without a dump")
	}
}

// A kernel that lies about memory is found out.
func TestLies(t *testing.T) {
	change := func(at int, e trace.Event) []trace.Event {
		d := dump()
		d[at] = e
		return d
	}
	for name, events := range map[string][]trace.Event{
		"overlap":         change(5, trace.CoreMapping{Lo: textAt + 0x1000, Size: 0x3000}),
		"unaligned":       change(5, trace.CoreMapping{Lo: dataAt + 1, Size: 0x3000}),
		"the kernel's":    change(7, trace.CoreMapping{Lo: 1 << 63, Size: 0x3000}),
		"around":          change(7, trace.CoreMapping{Lo: hugeAt, Size: 1<<64 - 0x1000}),
		"backwards":       change(9, trace.CoreMemory{Lo: textAt, Size: 0x1000}),
		"endless memory":  change(11, trace.CoreMemory{Lo: hugeAt + 0x12000, Size: 1<<64 - 0x1000}),
		"data in no page": change(12, trace.CoreData{Addr: dataAt, Bytes: []byte("x")}),
		"data too long":   change(12, trace.CoreData{Addr: dataAt + 0x1ffc, Bytes: []byte("12345678")}),
	} {
		if _, w, err := write(t, events); err == nil || w.dumps != 0 {
			t.Errorf("%s: %d dumps, %v", name, w.dumps, err)
		}
	}
	for cut := range dump() { // without what should be there
		d := dump()
		write(t, append(d[:cut:cut], d[cut+1:]...))
	}
}

// Whatever the kernel sends, nothing else happens than a file or an error.
func FuzzWriter(f *testing.F) {
	f.Add([]byte("\x0cB\x01\x01\x01\x00\x00\x07\x00\x00\x00\x00"), uint64(textAt), uint64(0x1000))
	f.Fuzz(func(t *testing.T, in []byte, addr, size uint64) {
		var events []trace.Event
		r := trace.NewReader(&trace.Plan{Core: true}, func(e trace.Event) { events = append(events, e) })
		r.Write(in)
		write(t, events)
		d := dump()
		d[4] = trace.CoreMapping{Lo: addr, Size: size % (1 << 32), Prot: 3}
		d[8] = trace.CoreMemory{Lo: addr, Size: size % (1 << 20)}
		d[12] = trace.CoreData{Addr: addr + size%0x2000, Bytes: in}
		write(t, d)
	})
}
