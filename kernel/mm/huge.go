package mm

import (
	"unsafe"

	"gosv/kernel/metal"
)

// Large pages, 2 MiB: they take one fault instead of hundreds, and no page table.
// Anonymous memory gets them where it is filled from one end to the other, or
// where madvise(2) asks for them, as long as memory is plentiful: a page that is
// hardly used would cost more than it saves. They come apart again when only a
// part of one changes.

const hugeSize = 2 << 20

// directory returns the page-directory entry of va, which is that of a large page, of
// a page table or 0; nil if there is none.
func (s *Space) directory(va uintptr) *uint64 {
	table := s.root
	for shift := 39; shift > 21; shift -= 9 {
		e := *(*uint64)(unsafe.Add(metal.Phys(table), va>>shift&511*8))
		if e == 0 {
			return nil
		}
		table = uintptr(e & pteAddr)
	}
	return (*uint64)(unsafe.Add(metal.Phys(table), va>>21&511*8))
}

// faultHuge makes va in v, anonymous memory, accessible by a large page; false if it
// takes a small one.
func (s *Space) faultHuge(v *VMA, va uintptr) bool {
	e := s.directory(va)
	if e != nil && *e&pteHuge != 0 {
		return true // another thread was faster
	}
	lo := va &^ (hugeSize - 1)
	if e != nil && *e != 0 || lo < v.Lo || lo+hugeSize > v.Hi || v.Flags&noHuge != 0 || s.noHuge || v.Flags&huge == 0 && !s.filling(v, va) {
		return false
	}
	if free, total := FreeMemory(); free < total/8+hugeSize {
		return false
	}
	if e = s.entryAt(va, 21); e == nil {
		return false
	}
	f := metal.AllocHuge()
	if f == 0 {
		return false
	}
	for at := f; at < f+hugeSize; at += PageSize {
		metal.ZeroFrame(at)
	}
	*e = uint64(f) | pteRights(v.Prot) | pteHuge
	s.huges++
	s.addResident(hugeSize / PageSize)
	return true
}

// filling says whether va follows upon memory that is there: the last page of the
// 2 MiB before, or any of a large page.
func (s *Space) filling(v *VMA, va uintptr) bool {
	before := va&^(hugeSize-1) - PageSize
	if before < v.Lo {
		return false
	}
	e := s.directory(before)
	if e == nil || *e == 0 {
		return false
	}
	if *e&pteHuge != 0 {
		return true
	}
	return va&(hugeSize-1) < PageSize && *(*uint64)(unsafe.Add(metal.Phys(uintptr(*e&pteAddr)), 511*8)) != 0
}

// split makes small pages of the large one that a lies in the midst of, if it does;
// false if there is no memory for the page table. The frame spare becomes that
// if it is not 0: it is one of the large page's own, which is to go anyway.
func (s *Space) split(a, spare uintptr) bool {
	if s.huges == 0 || a&(hugeSize-1) == 0 {
		return true
	}
	e := s.directory(a)
	if e == nil || *e&pteHuge == 0 {
		return true
	}
	table := s.frame()
	lo, first := a&^(hugeSize-1), *e&^pteHuge
	if table == 0 {
		if spare == 0 {
			return false
		}
		table = uintptr(first&pteAddr) + spare - lo
		*e = 0
		metal.Flush(lo, lo+hugeSize)
		s.stats.Resident--
	}
	entries := (*[512]uint64)(metal.Phys(table))
	for i := range entries {
		if frame := first + uint64(i)*PageSize; uintptr(frame&pteAddr) != table {
			entries[i] = frame
		} else {
			entries[i] = 0
		}
	}
	*e = uint64(table) | ptePresent | pteWrite | pteUser
	s.huges--
	return true
}

// splitAll makes small pages of all large ones in [lo, hi).
func (s *Space) splitAll(lo, hi uintptr) bool {
	ok := true
	if s.huges != 0 {
		s.walk(lo, hi, func(va uintptr, e *uint64) {
			if *e&pteHuge != 0 {
				ok = ok && s.split(va+PageSize, 0)
			}
		})
	}
	return ok
}

// dropHuge takes away the large pages in [lo, hi), and splits those that lie there
// in part.
func (s *Space) dropHuge(lo, hi uintptr, own bool) {
	if !own {
		return
	}
	s.split(lo, lo)
	s.split(hi, max(lo, hi&^(hugeSize-1)))
	s.walk(lo, hi, func(va uintptr, e *uint64) {
		if *e&pteHuge == 0 {
			return
		}
		f := uintptr(*e & pteAddr)
		*e = 0
		metal.Flush(va, va+hugeSize)
		metal.FreeHuge(f)
		s.huges--
		s.stats.Resident -= hugeSize / PageSize
	})
}
