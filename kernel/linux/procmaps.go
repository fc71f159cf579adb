package linux

import (
	"strconv"
	"unsafe"
)

// What /proc tells of a process's memory.

func procMaps(s *subject, b *text) {
	sp := s.p.space
	sp.mu.Lock()
	defer sp.mu.Unlock()
	for _, v := range sp.maps.v {
		sp.describe(b, v)
	}
}

// describe writes v's line of /proc/PID/maps; s.mu is held.
func (s *Space) describe(b *text, v *vma) {
	line := len(b.b)
	b.hex(uint64(v.lo), 8)
	b.str("-")
	b.hex(uint64(v.hi), 8)
	rights := [5]byte{' ', '-', '-', '-', 'p'}
	for i, c := range []byte("rwx") {
		if v.prot>>i&1 != 0 {
			rights[1+i] = c
		}
	}
	if v.flags&vmaShared != 0 {
		rights[4] = 's'
	}
	b.str(string(rights[:]), " ")
	var dev, ino uint64
	var name string
	switch {
	case v.file != nil:
		dev, ino, name = v.file.MapsName()
	case v.lo <= s.brkEnd && v.hi > s.brkStart && s.brkEnd > s.brkStart:
		name = "[heap]"
	case v.hi == stackTop && v.flags&vmaStack != 0:
		name = "[stack]"
	}
	b.hex(uint64(v.off), 8)
	b.str(" ")
	b.hex(dev>>8&0xfff, 2)
	b.str(":")
	b.hex(dev&0xff, 2)
	b.str(" ")
	b.num(ino)
	b.str(" ")
	if name != "" {
		b.pad(line, 73)
		b.str(name)
	}
	b.str("\n")
}

// usage is what the files below tell of a process's memory, in pages.
type usage struct {
	size, resident, peak, file, data, stack, code uint64
	locked, faults                                uint64
}

func (s *Space) usage() (u usage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u = usage{size: uint64(s.size), resident: uint64(s.resident), peak: uint64(s.peak), faults: s.faults}
	for _, v := range s.maps.v {
		n := uint64(v.hi-v.lo) / pageSize
		if v.file != nil {
			_, file := s.present(v)
			u.file += file
		}
		if v.flags&vmaLocked != 0 {
			u.locked += n
		}
		switch {
		case v.flags&vmaStack != 0 && v.hi == stackTop:
			u.stack += n
		case v.prot&protExec != 0 && v.file != nil:
			u.code += n
		case v.prot&protWrite != 0 && v.flags&vmaShared == 0:
			u.data += n
		}
	}
	u.size /= pageSize
	return u
}

// present returns how many of v's pages are there that belong to the process, and
// how many are a file's; s.mu is held.
func (s *Space) present(v *vma) (own, file uint64) {
	s.walk(v.lo, v.hi, func(va uintptr, e *uint64) {
		switch {
		case *e&pteFile != 0:
			file++
		case *e&pteHuge != 0:
			own += uint64(min(va+hugeSize, v.hi)-max(va, v.lo)) / pageSize
		default:
			own++
		}
	})
	return own, file
}

// smaps writes /proc/PID/smaps, or the sums of it. All pages are private: there is
// nobody to share them with.
func (s *Space) smaps(b *text, sums bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var size, own, file uint64
	for i, v := range s.maps.v {
		o, f := s.present(v)
		size, own, file = size+uint64(v.hi-v.lo), own+o*pageSize, file+f*pageSize
		switch {
		case !sums:
			s.describe(b, v)
			b.smapsSizes(size, own, file)
			b.str("VmFlags:")
			for bit, name := range [...]string{" rd", " wr", " ex"} {
				if v.prot>>bit&1 != 0 {
					b.str(name)
				}
			}
			b.str(" mr mw me\n")
			size, own, file = 0, 0, 0
		case i == len(s.maps.v)-1:
			line := len(b.b)
			b.hex(uint64(s.maps.v[0].lo), 8)
			b.str("-")
			b.hex(uint64(v.hi), 8)
			b.str(" ---p 00000000 00:00 0 ")
			b.pad(line, 73)
			b.str("[rollup]\n")
			b.smapsSizes(0, own, file)
		}
	}
}

// smapsSizes writes the lines with sizes, in bytes; without a size, those of the
// sums.
func (b *text) smapsSizes(size, own, file uint64) {
	for i, l := range [...]struct {
		name string
		n    uint64
	}{
		{"Size:", size}, {"KernelPageSize:", pageSize}, {"MMUPageSize:", pageSize}, {"Rss:", own + file}, {"Pss:", own + file}, {"Pss_Dirty:", own},
		{"Shared_Clean:", 0}, {"Shared_Dirty:", 0}, {"Private_Clean:", file}, {"Private_Dirty:", own}, {"Referenced:", own + file},
		{"Anonymous:", own}, {"LazyFree:", 0}, {"AnonHugePages:", 0}, {"ShmemPmdMapped:", 0}, {"FilePmdMapped:", 0}, {"Shared_Hugetlb:", 0},
		{"Private_Hugetlb:", 0}, {"Swap:", 0}, {"SwapPss:", 0}, {"Locked:", 0},
	} {
		const onlyOfOne = 3 // lines
		if size == 0 && i < onlyOfOne {
			continue
		}
		b.str(l.name)
		b.right(strconv.FormatUint(l.n>>10, 10), 24-len(l.name))
		b.str(" kB\n")
	}
	if size != 0 {
		b.str("THPeligible:           0\n")
	}
}

// procAuxv is /proc/PID/auxv: the auxiliary vector as it is on the stack now,
// behind the pointers to arguments and environment.
func procAuxv(s *subject, b *text) {
	sp := s.p.space
	word := func(addr uintptr) (v uint64) {
		sp.readSome(unsafe.Pointer(&v), addr, 8)
		return v
	}
	addr := sp.startSP + 8*(1+uintptr(word(sp.startSP))+1)
	const most = maxArgTotal / 8 // words; the program may have written there
	for i := 0; i < most && word(addr) != 0; i++ {
		addr += 8
	}
	for range 64 {
		tag := word(addr + 8)
		for _, w := range [...]uint64{tag, word(addr + 16)} {
			b.b = append(b.b, "12345678"...)
			putUint64(b.b[len(b.b)-8:], w)
		}
		if tag == 0 {
			break
		}
		addr += 16
	}
}

// residentBytes is how much memory belongs to the process.
func (s *Space) residentBytes() uintptr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.resident * pageSize
}
