// Package elf checks that a file is a program which gosv can run: an ELF
// executable for x86-64, static, or static and position independent (System V
// ABI, gABI chapter 5, and its x86-64 supplement). Host and kernel share it, so
// that both say the same of a bad file.
package elf

import "gosv/internal/le"

const (
	headerSize  = 64
	programSize = 56
	pageSize    = 4096

	// UserTop is the end of the application's half of the address space.
	UserTop = 1<<47 - pageSize

	// MaxLoads is the most PT_LOAD segments that a file may have.
	MaxLoads = 32

	typeExec, typeDyn = 2, 3
	machineX86_64     = 62

	ptLoad, ptDynamic, ptInterp = 1, 2, 3

	// Bits of Segment.Flags.
	Execute = 1
	Write   = 2
	Read    = 4
)

// Segment is a PT_LOAD program header.
type Segment struct {
	Flags                            uint32
	Offset, Vaddr, FileSize, MemSize uint64 // in bytes
}

// File is what a loader needs of an executable.
type File struct {
	PIE    bool   // linked at 0: to be loaded anywhere
	Entry  uint64 // address, before a PIE is moved
	Phdr   uint64 // address of the program headers in memory, 0 if they are not loaded
	Phnum  int
	Loads  [MaxLoads]Segment // sorted, not overlapping, pages included
	NLoads int
	Low    uint64 // page-aligned bounds of all segments
	High   uint64
}

// Error says why a file cannot be run.
type Error struct {
	What   string
	Detail string
}

func (e *Error) Error() string {
	if e.Detail == "" {
		return e.What
	}
	return e.What + ": " + e.Detail
}

//go:noinline
func fail(what string) error { return &Error{What: what} }

// Check parses an executable. head is the file's beginning, which must hold
// header, program headers and the interpreter's name if there is one (4 KiB
// do for every real file, all of it is best); size is the whole file's, in bytes.
func Check(head []byte, size int64) (f File, err error) {
	r := head
	switch {
	case len(r) < 4 || string(r[:4]) != "\x7fELF":
		return f, fail("not an ELF file")
	case len(r) < headerSize:
		return f, fail("a truncated ELF file: its header is cut short")
	case r[4] == 1:
		return f, fail("a 32-bit ELF file: only x86-64 programs can be run")
	case r[4] != 2 || r[6] != 1:
		return f, fail("an ELF file of an unknown class or version")
	case r[5] != 1:
		return f, fail("a big-endian ELF file: only x86-64 programs can be run")
	}
	if m := le.U16(r, 18); m != machineX86_64 {
		return f, &Error{"an ELF file for another machine", machineName(m) + ", where x86-64 is needed"}
	}
	switch le.U16(r, 16) {
	case typeExec:
	case typeDyn:
		f.PIE = true
	default:
		return f, fail("an ELF file, but not an executable (an object file or a core dump)")
	}
	f.Entry = le.U64(r, 24)
	phoff, n := le.U64(r, 32), int(le.U16(r, 56))
	if le.U16(r, 54) != programSize || n == 0 {
		return f, fail("an ELF file without program headers")
	}
	if phoff > uint64(len(r)) || uint64(n)*programSize > uint64(len(r))-phoff {
		return f, fail("a truncated ELF file: its program headers lie beyond its end")
	}
	f.Phnum = n
	dynamic := false
	for i := range n {
		p := r[int(phoff)+i*programSize:]
		switch le.U32(p, 0) {
		case ptInterp:
			return f, interpreter(r, le.U64(p, 8), le.U64(p, 32))
		case ptDynamic:
			dynamic = true
		case ptLoad:
			s := Segment{le.U32(p, 4), le.U64(p, 8), le.U64(p, 16), le.U64(p, 32), le.U64(p, 40)}
			if s.MemSize == 0 {
				continue
			}
			if err := f.add(s, size); err != nil {
				return f, err
			}
			if s.Offset <= phoff && phoff-s.Offset < s.FileSize {
				f.Phdr = s.Vaddr + phoff - s.Offset
			}
		}
	}
	if f.NLoads == 0 {
		return f, fail("an ELF file without anything to load")
	}
	if f.PIE && !dynamic {
		return f, fail("a position independent ELF file without a dynamic section to relocate itself by")
	}
	last := f.Loads[f.NLoads-1]
	f.Low = f.Loads[0].Vaddr &^ (pageSize - 1)
	f.High = (last.Vaddr + last.MemSize + pageSize - 1) &^ (pageSize - 1)
	for _, s := range f.Loads[:f.NLoads] {
		if s.Flags&Execute != 0 && f.Entry >= s.Vaddr && f.Entry-s.Vaddr < s.MemSize {
			return f, nil
		}
	}
	return f, fail("an ELF file whose entry point lies in no executable segment")
}

// add checks a segment and appends it: they come in order of address.
func (f *File) add(s Segment, size int64) error {
	bad := func(what string) error { return &Error{"a malformed ELF file", what} }
	switch {
	case s.FileSize > s.MemSize:
		return bad("a segment is larger in the file than in memory")
	case s.FileSize > 0 && (s.Offset > uint64(size) || s.FileSize > uint64(size)-s.Offset):
		return &Error{What: "a truncated ELF file: a segment lies beyond its end"}
	case s.Vaddr >= UserTop || s.MemSize > UserTop-s.Vaddr:
		return bad("a segment lies outside the application's half of the address space")
	case !f.PIE && s.Vaddr < pageSize:
		return bad("a segment lies in the first page, which is never mapped")
	case s.Offset%pageSize != s.Vaddr%pageSize:
		return bad("a segment's address and file offset do not lie at the same place in a page")
	case f.NLoads == MaxLoads:
		return bad("it has too many segments")
	}
	if f.NLoads > 0 {
		prev := f.Loads[f.NLoads-1]
		if end := (prev.Vaddr + prev.MemSize + pageSize - 1) &^ (pageSize - 1); s.Vaddr&^(pageSize-1) < end {
			return bad("its segments overlap or are not in order")
		}
	}
	f.Loads[f.NLoads] = s
	f.NLoads++
	return nil
}

// interpreter is the error for a dynamic executable.
func interpreter(r []byte, off, n uint64) error {
	name := "?"
	if n > 1 && n < pageSize && off <= uint64(len(r)) && n <= uint64(len(r))-off {
		name = string(r[off : off+n-1])
	}
	return &Error{"a dynamic executable, which cannot be run yet: it needs the interpreter " + name,
		"link it statically (Go: CGO_ENABLED=0; C: -static)"}
}

func machineName(m uint16) string {
	switch m {
	case 3:
		return "i386"
	case 8:
		return "MIPS"
	case 20, 21:
		return "PowerPC"
	case 22:
		return "s390"
	case 40:
		return "ARM"
	case 183:
		return "ARM64"
	case 243:
		return "RISC-V"
	}
	return "an unknown one"
}
