package profile

import (
	"bytes"
	"cmp"
	"debug/elf"
	"debug/gosym"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
)

// symbols names the functions of a program.
type symbols struct {
	progs []elf.ProgHeader
	id    string       // its build ID, in hexadecimal
	goSym *gosym.Table // may be nil
	elf   []elf.Symbol // functions, by address
}

// readSymbols reads those of an ELF file: Go's own table, which a stripped program keeps,
// or else the file's. A program may have none.
func readSymbols(file []byte) (*symbols, error) {
	f, err := elf.NewFile(bytes.NewReader(file))
	if err != nil {
		return nil, err
	}
	s := &symbols{id: buildID(f)}
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD {
			s.progs = append(s.progs, p.ProgHeader)
		}
	}
	text, table := f.Section(".text"), f.Section(".gopclntab")
	if table == nil {
		table = f.Section(".data.rel.ro.gopclntab") // of -buildmode=pie
	}
	if text != nil && table != nil {
		if b, err := table.Data(); err == nil {
			if t, err := gosym.NewTable(nil, gosym.NewLineTable(b, text.Addr)); err == nil && len(t.Funcs) > 0 {
				s.goSym = t
			}
		}
	}
	all, err := f.Symbols()
	if err != nil && !errors.Is(err, elf.ErrNoSymbols) {
		return nil, err
	}
	for _, sym := range all {
		if elf.ST_TYPE(sym.Info) == elf.STT_FUNC && sym.Section != elf.SHN_UNDEF {
			s.elf = append(s.elf, sym)
		}
	}
	slices.SortStableFunc(s.elf, func(a, b elf.Symbol) int {
		return cmp.Or(cmp.Compare(a.Value, b.Value), rank(b)-rank(a))
	})
	return s, nil
}

// rank says which of several names of a function is the best.
func rank(s elf.Symbol) int {
	switch {
	case elf.ST_BIND(s.Info) == elf.STB_GLOBAL && !strings.HasPrefix(s.Name, "_"):
		return 2
	case !strings.HasPrefix(s.Name, "_"):
		return 1
	}
	return 0
}

// name returns the function at an address of the file, "" if it is not known.
func (s *symbols) name(addr uint64) (function, file string, line int) {
	if s.goSym != nil {
		if file, line, f := s.goSym.PCToLine(addr); f != nil {
			return f.Name, file, line
		}
		return "", "", 0
	}
	i, found := slices.BinarySearchFunc(s.elf, addr, func(sym elf.Symbol, addr uint64) int {
		return cmp.Compare(sym.Value, addr)
	})
	if !found {
		i--
	}
	for i > 0 && s.elf[i-1].Value == s.elf[i].Value {
		i--
	}
	if i < 0 || addr >= s.elf[i].Value+max(s.elf[i].Size, 1) && s.elf[i].Size > 0 {
		return "", "", 0
	}
	return s.elf[i].Name, "", 0
}

// address returns where the byte at an offset in the file is.
func (s *symbols) address(offset uint64) (addr uint64, ok bool) {
	for _, p := range s.progs {
		if offset >= p.Off && offset < p.Off+p.Filesz {
			return offset - p.Off + p.Vaddr, true
		}
	}
	return 0, false
}

// buildID returns what the linker noted (Go's own is no number).
func buildID(f *elf.File) string {
	s := f.Section(".note.gnu.build-id")
	if s == nil {
		return ""
	}
	b, err := s.Data()
	const head = 16 // sizes, type, "GNU"
	if err != nil || len(b) <= head {
		return ""
	}
	return hex.EncodeToString(b[head:])
}
