package linux

import (
	"strconv"
	"unsafe"

	"gosv/kernel/mm"
)

// What /proc tells of a process's memory.

func procMaps(s *subject, b *text) {
	sp := s.p.space
	lo, hi := sp.Heap()
	sp.View(func(all []*mm.VMA) {
		for _, v := range all {
			b.mapping(v, lo, hi)
		}
	})
}

// mapping writes v's line of /proc/PID/maps; brk(2) has mapped [heapLo, heapHi).
func (b *text) mapping(v *mm.VMA, heapLo, heapHi uintptr) {
	line := len(b.b)
	b.hex(uint64(v.Lo), 8)
	b.str("-")
	b.hex(uint64(v.Hi), 8)
	rights := [5]byte{' ', '-', '-', '-', 'p'}
	for i, c := range []byte("rwx") {
		if v.Prot>>i&1 != 0 {
			rights[1+i] = c
		}
	}
	if v.Flags&mm.Shared != 0 {
		rights[4] = 's'
	}
	b.str(string(rights[:]), " ")
	var dev, ino uint64
	var name string
	switch {
	case v.File != nil:
		dev, ino, name = v.File.MapsName()
	case v.Lo <= heapHi && v.Hi > heapLo && heapHi > heapLo:
		name = "[heap]"
	case v.Hi == stackTop && v.Flags&mm.Stack != 0:
		name = "[stack]"
	}
	b.hex(uint64(v.Off), 8)
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

func usageOf(s *mm.Space) (u usage) {
	m := s.Stats()
	u = usage{size: uint64(m.Size) / pageSize, resident: uint64(m.Resident), peak: uint64(m.Peak), faults: m.Faults}
	s.View(func(all []*mm.VMA) {
		for _, v := range all {
			n := uint64(v.Hi-v.Lo) / pageSize
			if v.File != nil {
				_, file := s.Present(v)
				u.file += file
			}
			if v.Flags&mm.Locked != 0 {
				u.locked += n
			}
			switch {
			case v.Flags&mm.Stack != 0 && v.Hi == stackTop:
				u.stack += n
			case v.Prot&mm.Exec != 0 && v.File != nil:
				u.code += n
			case v.Prot&mm.Write != 0 && v.Flags&mm.Shared == 0:
				u.data += n
			}
		}
	})
	return u
}

// procSmaps writes /proc/PID/smaps, or the sums of it. All pages are private: there is
// nobody to share them with.
func procSmaps(s *mm.Space, b *text, sums bool) {
	lo, hi := s.Heap()
	s.View(func(all []*mm.VMA) {
		var size, own, file uint64
		for i, v := range all {
			o, f := s.Present(v)
			size, own, file = size+uint64(v.Hi-v.Lo), own+o*pageSize, file+f*pageSize
			switch {
			case !sums:
				b.mapping(v, lo, hi)
				b.smapsSizes(size, own, file)
				b.str("VmFlags:")
				for bit, name := range [...]string{" rd", " wr", " ex"} {
					if v.Prot>>bit&1 != 0 {
						b.str(name)
					}
				}
				b.str(" mr mw me\n")
				size, own, file = 0, 0, 0
			case i == len(all)-1:
				line := len(b.b)
				b.hex(uint64(all[0].Lo), 8)
				b.str("-")
				b.hex(uint64(v.Hi), 8)
				b.str(" ---p 00000000 00:00 0 ")
				b.pad(line, 73)
				b.str("[rollup]\n")
				b.smapsSizes(0, own, file)
			}
		}
	})
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
		sp.ReadSome(unsafe.Pointer(&v), addr, 8)
		return v
	}
	start := s.p.begin.sp
	addr := start + 8*(1+uintptr(word(start))+1)
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
