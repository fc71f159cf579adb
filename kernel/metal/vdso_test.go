package metal

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"slices"
	"strings"
	"testing"
)

var vdsoFunctions = []string{"__vdso_clock_getres", "__vdso_clock_gettime", "__vdso_getcpu", "__vdso_gettimeofday", "__vdso_time"}

func vdsoFile(t *testing.T) *elf.File {
	t.Helper()
	f, err := elf.NewFile(strings.NewReader(VDSO))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestVDSO: the image is one page that may be loaded anywhere, as it is.
func TestVDSO(t *testing.T) {
	f := vdsoFile(t)
	if f.Type != elf.ET_DYN || f.Machine != elf.EM_X86_64 || f.Class != elf.ELFCLASS64 || len(VDSO) > 4096 {
		t.Errorf("%v, %d bytes", f.FileHeader, len(VDSO))
	}
	loads := 0
	for _, p := range f.Progs {
		if p.Vaddr != p.Off || p.Filesz != p.Memsz || p.Flags&elf.PF_W != 0 {
			t.Errorf("%+v", p.ProgHeader)
		}
		if p.Type == elf.PT_LOAD {
			loads++
			if p.Off != 0 || p.Flags != elf.PF_R|elf.PF_X {
				t.Errorf("%+v", p.ProgHeader)
			}
		}
	}
	if loads != 1 {
		t.Errorf("%d segments to load", loads)
	}
	for _, s := range f.Sections {
		if s.Flags&elf.SHF_ALLOC != 0 && (s.Addr != s.Offset || s.Type == elf.SHT_NOBITS || s.Type == elf.SHT_REL || s.Type == elf.SHT_RELA) {
			t.Errorf("%+v", s.SectionHeader)
		}
	}
	if names, err := f.DynString(elf.DT_SONAME); err != nil || !slices.Equal(names, []string{"linux-vdso.so.1"}) {
		t.Error(names, err)
	}
	if libs, err := f.ImportedLibraries(); err != nil || len(libs) != 0 {
		t.Error(libs, err)
	}
}

func TestVDSOSymbols(t *testing.T) {
	f := vdsoFile(t)
	syms, err := f.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	text := f.Section(".text")
	var names []string
	for _, s := range syms {
		if elf.ST_TYPE(s.Info) != elf.STT_FUNC {
			continue
		}
		names = append(names, s.Name)
		if s.Version != "LINUX_2.6" || elf.ST_BIND(s.Info) != elf.STB_GLOBAL || s.Section == elf.SHN_UNDEF {
			t.Errorf("%+v", s)
		}
		if s.Value < text.Addr || s.Value+s.Size > text.Addr+text.Size {
			t.Errorf("%+v is not in %+v", s, text.SectionHeader)
		}
	}
	slices.Sort(names)
	if !slices.Equal(names, vdsoFunctions) {
		t.Error(names)
	}
}

// TestVDSOHash looks the functions up by both hash tables, as C libraries and Go's runtime do.
func TestVDSOHash(t *testing.T) {
	f := vdsoFile(t)
	word := func(section string) func(i uint32) uint32 {
		data, err := f.Section(section).Data()
		if err != nil {
			t.Fatal(err)
		}
		return func(i uint32) uint32 { return binary.LittleEndian.Uint32(data[4*i:]) }
	}
	syms, err := f.DynamicSymbols() // without the first, which is none
	if err != nil {
		t.Fatal(err)
	}
	nameOf := func(i uint32) string { return syms[i-1].Name }

	sysv, gnu := word(".hash"), word(".gnu.hash")
	for _, name := range vdsoFunctions {
		h := uint32(0)
		for _, c := range []byte(name) {
			h = h<<4 + uint32(c)
			h ^= h >> 28 << 4 & 0xf0
			h &= 0x0fffffff
		}
		buckets, found := sysv(0), false
		for i := sysv(2 + h%buckets); i != 0 && !found; i = sysv(2 + buckets + i) {
			found = nameOf(i) == name
		}
		if !found {
			t.Errorf("%s is not found by DT_HASH", name)
		}

		h = 5381
		for _, c := range []byte(name) {
			h = h*33 + uint32(c)
		}
		buckets, first, bloom := gnu(0), gnu(1), gnu(2)
		found = false
		for i := gnu(4 + 2*bloom + h%buckets); i >= first && !found; i++ {
			chain := gnu(4 + 2*bloom + buckets + i - first)
			found = chain|1 == h|1 && nameOf(i) == name
			if chain&1 != 0 {
				break
			}
		}
		shift := gnu(3)
		filter := uint64(gnu(4+2*(h/64%bloom))) | uint64(gnu(4+2*(h/64%bloom)+1))<<32
		if !found || filter>>(h%64)&1 == 0 || filter>>(h>>shift%64)&1 == 0 {
			t.Errorf("%s is not found by DT_GNU_HASH", name)
		}
	}
}

// TestVDSONote: C libraries that look at the kernel's version find it here.
func TestVDSONote(t *testing.T) {
	for _, p := range vdsoFile(t).Progs {
		if p.Type != elf.PT_NOTE {
			continue
		}
		b := make([]byte, p.Filesz)
		if _, err := p.ReadAt(b, 0); err != nil {
			t.Fatal(err)
		}
		if want := []byte("\x06\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00Linux\x00\x00\x00\x00\x01\x06\x00"); !bytes.Equal(b, want) {
			t.Errorf("% x", b)
		}
		return
	}
	t.Error("no note")
}
