// Package core writes the core dumps that the kernel sends, as ELF files that gdb
// opens (core(5)): what Linux writes (fs/binfmt_elf.c).
package core

import (
	"bytes"
	"cmp"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"gosv/internal/trace"
)

// Writer writes core dumps to a file, the last one over those before.
type Writer struct {
	Files map[string]string // where gdb finds files of the image, by their names in it

	name   string
	f      *os.File
	err    error
	dumps  int  // complete ones
	begun  bool // the last one is not complete
	laid   bool // and its file has been begun
	begin  trace.CoreBegin
	comm   string // of the program: its first thread's name
	thread []trace.CoreThread
	maps   []trace.CoreMapping
	memory []trace.CoreMemory
	loads  []load

	auxvAt, psargsAt int64 // in the file
}

// load is a segment.
type load struct {
	lo, hi uint64
	prot   int
	off    int64 // in the file, 0 if it has no contents there
}

// Partial is what the name of a file has at its end before the dump is complete.
const Partial = ".part"

// NewWriter returns a Writer of a file with the given name, which is made when the
// first dump comes.
func NewWriter(name string) *Writer { return &Writer{name: name} }

// Dumps returns how many core dumps there were, and whether the last one is
// incomplete.
func (w *Writer) Dumps() (n int, incomplete bool) { return w.dumps, w.begun }

// Event takes an event. Those that have nothing to do with core dumps it ignores.
func (w *Writer) Event(e trace.Event) {
	switch e := e.(type) {
	case trace.Thread:
		if w.comm == "" {
			w.comm = e.Name
		}
	case trace.CoreBegin:
		w.err = errors.Join(w.err, w.close())
		w.begin, w.begun, w.laid = e, true, false
		w.thread, w.maps, w.memory, w.loads = nil, nil, nil, nil
	case trace.CoreThread:
		w.thread = append(w.thread, e)
	case trace.CoreMapping:
		w.maps = append(w.maps, e)
	case trace.CoreMemory:
		w.memory = append(w.memory, e)
	case trace.CoreData:
		w.do(w.layOut)
		w.do(func() error { return w.data(e.Addr, e.Bytes) })
	case trace.CoreEnd:
		w.do(w.layOut)
		w.do(w.complete)
	}
}

// do calls f, unless something went wrong before or there is no dump.
func (w *Writer) do(f func() error) {
	if w.begun && w.err == nil {
		w.err = f()
	}
}

// Close returns what went wrong.
func (w *Writer) Close() error {
	err := errors.Join(w.err, w.close())
	if err != nil {
		return fmt.Errorf("the core dump: %w", err)
	}
	return nil
}

func (w *Writer) close() error {
	if w.f == nil {
		return nil
	}
	f := w.f
	w.f = nil
	return f.Close()
}

const (
	pageSize = 4096
	userTop  = 1 << 47

	// A mapping of anonymous memory is in the file as a whole, with holes, unless
	// it is larger, or they are in sum: then only what has been touched is.
	wholeMapping = 256 << 20
	wholeTotal   = 64 << 30
	nearPages    = 16 * pageSize // untouched ones between touched ones

	maxLoads = 1<<16 - 2 // with PT_NOTE below PN_XNUM
)

var (
	errLies = errors.New("what the kernel says of the program's memory makes no sense")
	errMany = errors.New("too many pieces of memory for an ELF file")
)

// layOut decides what goes where and writes all but the memory.
func (w *Writer) layOut() error {
	if w.laid {
		return nil
	}
	w.laid = true
	if err := w.check(); err != nil {
		return err
	}
	total := uint64(0)
	for i := range w.maps {
		m := &w.maps[i]
		if !m.File && m.Prot != 0 && m.Size <= wholeMapping && total+m.Size <= wholeTotal {
			total += m.Size
			w.loads = append(w.loads, load{lo: m.Lo, hi: m.Lo + m.Size, prot: m.Prot, off: 1})
			continue
		}
		w.pieces(m)
	}
	if len(w.loads) > maxLoads {
		return errMany
	}
	const ehdrSize, phdrSize = 64, 56
	notes := w.notes()
	at := int64(ehdrSize + phdrSize*(1+len(w.loads)))
	w.auxvAt += at
	w.psargsAt += at
	off := (at + int64(len(notes)) + pageSize - 1) &^ (pageSize - 1)
	progs := []elf.Prog64{{Type: uint32(elf.PT_NOTE), Off: uint64(at), Filesz: uint64(len(notes)), Align: 4}}
	for i := range w.loads {
		l := &w.loads[i]
		p := elf.Prog64{Type: uint32(elf.PT_LOAD), Vaddr: l.lo, Memsz: l.hi - l.lo, Align: pageSize, Flags: elfFlags(l.prot), Off: uint64(off)}
		if l.off != 0 {
			l.off = off
			p.Filesz = p.Memsz
			off += int64(p.Filesz)
		}
		progs = append(progs, p)
	}
	head := elf.Header64{Type: uint16(elf.ET_CORE), Machine: uint16(elf.EM_X86_64), Version: 1, Phoff: ehdrSize,
		Ehsize: ehdrSize, Phentsize: phdrSize, Phnum: uint16(len(progs))}
	copy(head.Ident[:], "\x7fELF\x02\x01\x01") // 64 bits, little endian
	var b bytes.Buffer
	binary.Write(&b, binary.LittleEndian, head)
	binary.Write(&b, binary.LittleEndian, progs)
	b.Write(notes)
	f, err := os.OpenFile(w.name+Partial, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600) // it may hold secrets
	if err != nil {
		return err
	}
	w.f = f
	if err := f.Truncate(off); err != nil {
		return err
	}
	_, err = f.WriteAt(b.Bytes(), 0)
	return err
}

// check makes sure that mappings and memory are what they are taken for: in
// order, without overlap, memory in mappings.
func (w *Writer) check() error {
	end := uint64(0)
	for _, m := range w.maps {
		if m.Lo%pageSize != 0 || m.Size%pageSize != 0 || m.Size == 0 || m.Lo < end || m.Lo > userTop || m.Size > userTop-m.Lo {
			return errLies
		}
		end = m.Lo + m.Size
	}
	end = 0
	for _, r := range w.memory {
		if r.Lo%pageSize != 0 || r.Size%pageSize != 0 || r.Lo < end || r.Lo > userTop || r.Size > userTop-r.Lo {
			return errLies
		}
		end = r.Lo + r.Size
	}
	if len(w.thread) == 0 {
		return errLies
	}
	return nil
}

// pieces makes segments of a mapping by what there is of its memory.
func (w *Writer) pieces(m *trace.CoreMapping) {
	end := m.Lo + m.Size
	at := m.Lo
	add := func(lo, hi uint64, contents int64) {
		if n := len(w.loads); contents != 0 && n > 0 && w.loads[n-1].off != 0 && w.loads[n-1].hi == lo && lo > m.Lo {
			w.loads[n-1].hi = hi
		} else if lo < hi {
			w.loads = append(w.loads, load{lo, hi, m.Prot, contents})
		}
	}
	i, _ := slices.BinarySearchFunc(w.memory, m.Lo, func(r trace.CoreMemory, a uint64) int {
		if r.Lo+r.Size <= a {
			return -1
		}
		return 1
	})
	for ; i < len(w.memory) && w.memory[i].Lo < end; i++ {
		lo, hi := max(w.memory[i].Lo, m.Lo), min(w.memory[i].Lo+w.memory[i].Size, end)
		gap := lo - at
		if !m.File && at > m.Lo && gap > 0 && gap <= nearPages {
			add(at, lo, 1)
		} else {
			add(at, lo, 0)
		}
		add(lo, hi, 1)
		at = hi
	}
	add(at, end, 0)
}

// elfFlags translates a protection, whose bits are the other way round.
func elfFlags(prot int) (f uint32) {
	for i, bit := range []elf.ProgFlag{elf.PF_R, elf.PF_W, elf.PF_X} {
		if prot>>i&1 != 0 {
			f |= uint32(bit)
		}
	}
	return f
}

// place returns where memory at addr is in the file, and how much of it follows
// there.
func (w *Writer) place(addr uint64) (off int64, n uint64) {
	i, found := slices.BinarySearchFunc(w.loads, addr, func(l load, a uint64) int { return cmp.Compare(l.lo, a) })
	if !found {
		i--
	}
	if i < 0 || w.loads[i].hi <= addr || w.loads[i].off == 0 {
		return 0, 0
	}
	l := &w.loads[i]
	return l.off + int64(addr-l.lo), l.hi - addr
}

// data writes what is in memory at addr.
func (w *Writer) data(addr uint64, p []byte) error {
	for len(p) > 0 { // it may go on in the next mapping
		off, n := w.place(addr)
		if n == 0 {
			return errLies
		}
		k := min(uint64(len(p)), n)
		if _, err := w.f.WriteAt(p[:k], off); err != nil {
			return err
		}
		addr += k
		p = p[k:]
	}
	return nil
}

// read reads memory that has been written, as much as there is of n bytes.
func (w *Writer) read(addr uint64, n int) []byte {
	off, most := w.place(addr)
	b := make([]byte, min(uint64(n), most))
	k, _ := w.f.ReadAt(b, off)
	return b[:k]
}

// complete adds to the notes what is known from the memory, and ends the dump.
func (w *Writer) complete() error {
	if _, err := w.f.WriteAt(w.auxv(), w.auxvAt); err != nil {
		return err
	}
	if _, err := w.f.WriteAt(w.arguments(), w.psargsAt); err != nil {
		return err
	}
	if err := w.close(); err != nil {
		return err
	}
	w.begun = false
	w.dumps++
	return os.Rename(w.name+Partial, w.name)
}

// auxv finds the auxiliary vector where the program's stack began: behind the
// argument and environment pointers.
func (w *Writer) auxv() []byte {
	const most = 6 << 20 // of a stack's beginning
	b := w.read(w.begin.StackStart, most)
	word := func(i int) (v uint64, ok bool) {
		if i*8+8 > len(b) {
			return 0, false
		}
		return binary.LittleEndian.Uint64(b[i*8:]), true
	}
	i := 1
	for range 2 { // the lists of pointers
		for {
			v, ok := word(i)
			if !ok {
				return nil
			}
			i++
			if v == 0 {
				break
			}
		}
	}
	first := i
	for ; i-first < maxAuxv; i += 2 {
		if tag, ok := word(i); !ok || tag == 0 {
			break
		}
	}
	return b[min(first*8, len(b)):min(i*8, len(b))]
}

// arguments are the program's, as ps shows them.
func (w *Writer) arguments() []byte {
	if w.begin.ArgHi < w.begin.ArgLo {
		return nil
	}
	b := w.read(w.begin.ArgLo, int(min(w.begin.ArgHi-w.begin.ArgLo, psargsSize-1)))
	return bytes.TrimRight(bytes.ReplaceAll(b, []byte{0}, []byte{' '}), " ")
}

// Notes (include/uapi/linux/elf.h, elfcore.h; sys/procfs.h).
const (
	ntPRStatus  = 1
	ntFPRegSet  = 2
	ntPRPSInfo  = 3
	ntAuxv      = 6
	ntFile      = 0x46494c45
	ntSigInfo   = 0x53494749
	ntX86XState = 0x202

	maxAuxv    = 64 // words
	psargsSize = 80
	fxSize     = 512
	xsMinimum  = fxSize + 64
	xcr0At     = 464 // in the state: where gdb looks for it
)

// notes makes the contents of PT_NOTE, with room for what complete adds.
func (w *Writer) notes() []byte {
	var b []byte
	note := func(owner string, kind uint32, desc []byte) (at int) {
		b = le32(b, uint32(len(owner)+1), uint32(len(desc)), kind)
		b = align(append(append(b, owner...), 0))
		at = len(b)
		b = align(append(b, desc...))
		return at
	}
	signal := binary.LittleEndian.Uint32(w.begin.Info[:])
	for i, t := range w.thread {
		note("CORE", ntPRStatus, w.prstatus(&t, signal))
		if i == 0 {
			psinfo := w.prpsinfo()
			w.psargsAt = int64(note("CORE", ntPRPSInfo, psinfo) + len(psinfo) - psargsSize)
			note("CORE", ntSigInfo, append(w.begin.Info[:], make([]byte, 128-len(w.begin.Info))...))
			w.auxvAt = int64(note("CORE", ntAuxv, make([]byte, maxAuxv*8+16)))
			note("CORE", ntFile, w.files())
		}
		if len(t.FP) < fxSize {
			continue
		}
		w.initFP(t.FP)
		note("CORE", ntFPRegSet, t.FP[:fxSize])
		if w.begin.FPMask != 0 && len(t.FP) >= xsMinimum {
			binary.LittleEndian.PutUint64(t.FP[xcr0At:], w.begin.FPMask)
			note("LINUX", ntX86XState, t.FP)
		}
	}
	return b
}

func align(b []byte) []byte { return append(b, make([]byte, -len(b)&3)...) }

func le32(b []byte, v ...uint32) []byte {
	for _, v := range v {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return b
}

func le64(b []byte, v ...uint64) []byte {
	for _, v := range v {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return b
}

// prstatus is struct elf_prstatus.
func (w *Writer) prstatus(t *trace.CoreThread, signal uint32) []byte {
	code := binary.LittleEndian.Uint32(w.begin.Info[8:])
	b := le32(nil, signal, code, 0, signal) // si_signo, si_code, si_errno, pr_cursig with padding
	b = le64(b, 0, t.Blocked)
	pid := uint32(w.begin.PID)
	b = le32(b, uint32(t.TID), 0, pid, pid)
	b = append(b, make([]byte, 4*16)...) // times
	b = append(b, t.Regs[:]...)
	return le32(b, 1, 0) // pr_fpvalid
}

// prpsinfo is struct elf_prpsinfo, without the arguments.
func (w *Writer) prpsinfo() []byte {
	b := []byte{0, 'R', 0, 0, 0, 0, 0, 0}
	b = le64(b, 0)
	pid := uint32(w.begin.PID)
	b = le32(b, uint32(w.begin.UID), uint32(w.begin.GID), pid, 0, pid, pid)
	name := make([]byte, 16)
	copy(name[:15], w.comm)
	b = append(b, name...)
	return append(b, make([]byte, psargsSize)...)
}

// files is what NT_FILE says: which files are mapped where.
func (w *Writer) files() []byte {
	var places, names []byte
	n := uint64(0)
	for _, m := range w.maps {
		if m.File && strings.HasPrefix(m.Name, "/") {
			places = le64(places, m.Lo, m.Lo+m.Size, m.Offset/pageSize)
			name := m.Name
			if here, ok := w.Files[name]; ok {
				name = here
			}
			names = append(append(names, name...), 0)
			n++
		}
	}
	return append(append(le64(nil, n, pageSize), places...), names...)
}

// initFP puts the initial values into those legacy parts of an XSAVE image that its
// header says hold none.
func (w *Writer) initFP(fp []byte) {
	const x87, sse, stAt, xmmAt, xmmEnd = 1, 2, 32, 160, 416
	if w.begin.FPMask == 0 || len(fp) < xsMinimum {
		return
	}
	have := binary.LittleEndian.Uint64(fp[fxSize:])
	if have&x87 == 0 {
		clear(fp[:24])
		binary.LittleEndian.PutUint16(fp, 0x37f)
		clear(fp[stAt:xmmAt])
	}
	if have&sse == 0 {
		clear(fp[xmmAt:xmmEnd])
	}
}
