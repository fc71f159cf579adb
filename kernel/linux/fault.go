package linux

import (
	"unsafe"

	"gosv/kernel/metal"
)

// access is what a page fault was about.
type access uint8

const (
	accessRead access = iota
	accessWrite
	accessExec
)

// faultResult says what became of a page fault.
type faultResult uint8

const (
	faultOK       faultResult = iota
	faultUnmapped             // SEGV_MAPERR
	faultDenied               // SEGV_ACCERR
	faultBeyond               // BUS_ADRERR: beyond the end of the file
	faultNoMemory             // the process is being ended
	faultWait                 // the page has to be fetched: Space.fetchWanted
)

// Pages that a fault brings in at most: of a file, those in the same aligned
// block; of anonymous memory, those that follow, when the page before is there.
const (
	fileAround = 32
	anonAhead  = 4
)

// stackGap is what stays free below a mapping that grows down
// (stack_guard_gap, mm/mmap.c).
const stackGap = 256 * pageSize

// bringIn makes the page at va accessible to the kernel on behalf of the
// application, if the application may access it that way.
func (s *Space) bringIn(va uintptr, a access) bool { return s.fault(va, a) == faultOK }

// fault makes the page at va accessible.
func (s *Space) fault(va uintptr, a access) faultResult {
	s.mu.Lock()
	r := s.faultLocked(va&^pageMask, a)
	for again := true; again; {
		if r == faultWait {
			switch s.fetchWanted() {
			case 0:
			case ENOMEM:
				r = faultNoMemory
			default:
				r = faultBeyond
			}
		}
		if again = r == faultWait || r == faultNoMemory && s.reclaim(); again {
			r = s.faultLocked(va&^pageMask, a)
		}
	}
	s.mu.Unlock()
	if r == faultNoMemory && s.noMemory != nil {
		s.noMemory()
	}
	return r
}

// reclaim gets memory from the caches of disks; s.mu is held before and after.
func (s *Space) reclaim() bool {
	if s.disks == nil {
		return false
	}
	s.mu.Unlock()
	n := s.disks.reclaim()
	s.mu.Lock()
	return n > 0
}

func (s *Space) faultLocked(va uintptr, a access) faultResult {
	s.faults++
	i := s.maps.find(va)
	if i == len(s.maps.v) {
		return faultUnmapped
	}
	v := s.maps.v[i]
	if va < v.lo && !s.grow(i, va) {
		return faultUnmapped
	}
	if v.prot == 0 || a == accessWrite && v.prot&protWrite == 0 || a == accessExec && v.prot&protExec == 0 {
		return faultDenied
	}
	if v.file == nil && (s.huges != 0 || v.flags&vmaHuge != 0 || va&(hugeSize-1) == 0) && s.faultHuge(v, va) {
		return faultOK
	}
	e := s.entry(va)
	switch {
	case e == nil:
		return faultNoMemory
	case *e == 0 && v.file == nil:
		return s.fillAnonymous(v, va, e)
	case *e == 0 && a == accessWrite && v.flags&vmaShared == 0:
		return s.fillCopy(v, va, e)
	case *e == 0:
		if d, ok := v.file.(*diskPages); ok {
			return s.fillDisk(v, d, va, e, a)
		}
		return s.fillFile(v, va, e)
	case a == accessWrite && *e&pteWrite == 0: // a file's page, mapped privately
		if d, ok := v.file.(*diskPages); ok && v.flags&vmaShared != 0 {
			return s.shareDisk(v, d, va, e)
		}
		return s.copyOnWrite(v, va, e)
	}
	return faultOK // another thread was faster
}

// fillAnonymous gives the page at va a zero frame, and some that follow if
// memory is being filled upwards.
func (s *Space) fillAnonymous(v *vma, va uintptr, e *uint64) faultResult {
	n := uintptr(1)
	if i := va >> 12 & 511; i != 0 && *(*uint64)(unsafe.Add(unsafe.Pointer(e), -8)) != 0 {
		n = min(anonAhead, (v.hi-va)>>12, 512-i)
	}
	rights := pteRights(v.prot)
	for k := range n {
		if *e != 0 {
			break
		}
		f := s.frame()
		if f == 0 {
			if k > 0 {
				break
			}
			return faultNoMemory
		}
		metal.ZeroFrame(f)
		*e = uint64(f) | rights
		s.addResident(1)
		e = (*uint64)(unsafe.Add(unsafe.Pointer(e), 8))
	}
	return faultOK
}

// fillFile maps the page at va and those around it that are not there from
// where they are in the file. Those of a mapping through which the file can be
// written are the file's own from the start, holes too.
func (s *Space) fillFile(v *vma, va uintptr, e *uint64) faultResult {
	// An aligned block lies in one page table.
	const block = fileAround * pageSize
	lo, hi := max(va&^(block-1), v.lo), min(va&^(block-1)+block, v.hi)
	write := v.writesFile()
	if write {
		lo, hi = va, va+pageSize
	}
	rights := v.fileRights()
	for at := lo; at < hi; {
		pages, err := v.file.Pages(v.offset(at), int((hi-at)>>12), write)
		if err == ENOMEM || err == ENOSPC && at == va && v.file.(*inodePages).anonymous {
			return faultNoMemory
		}
		if err == EAGAIN {
			if at == va {
				return s.waitFor(v.file, v.offset(va))
			}
			at += pageSize
			continue
		}
		if err != 0 || len(pages) == 0 {
			break
		}
		n := min(uintptr(len(pages)), hi-at) &^ pageMask
		p := (*uint64)(unsafe.Add(unsafe.Pointer(e), (int(at)-int(va))>>9))
		at += n
		next := uint64(metal.PhysOf(unsafe.Pointer(&pages[0]))) | rights
		for end := next + uint64(n); next < end; next += pageSize {
			if *p == 0 {
				*p = next
			}
			p = (*uint64)(unsafe.Add(unsafe.Pointer(p), 8))
		}
	}
	if *e == 0 {
		return faultBeyond
	}
	return faultOK
}

// fillCopy gives the page at va a private copy of the file's page.
func (s *Space) fillCopy(v *vma, va uintptr, e *uint64) faultResult {
	page, err := v.file.Pages(v.offset(va), 1, false)
	switch {
	case err == ENOMEM:
		return faultNoMemory
	case err == EAGAIN:
		return s.waitFor(v.file, v.offset(va))
	case err != 0 || len(page) < pageSize:
		return faultBeyond
	}
	f := s.frame()
	if f == 0 {
		return faultNoMemory
	}
	*(*[pageSize]byte)(metal.Phys(f)) = *(*[pageSize]byte)(page)
	*e = uint64(f) | pteRights(v.prot)
	s.addResident(1)
	return faultOK
}

// copyOnWrite replaces a page of a file by a private copy.
func (s *Space) copyOnWrite(v *vma, va uintptr, e *uint64) faultResult {
	f := s.frame()
	if f == 0 {
		return faultNoMemory
	}
	*(*[pageSize]byte)(metal.Phys(f)) = *(*[pageSize]byte)(metal.Phys(uintptr(*e & pteAddr)))
	*e = uint64(f) | pteRights(v.prot)
	s.addResident(1)
	metal.Flush(va, va+pageSize)
	return faultOK
}

func (s *Space) addResident(n uintptr) {
	s.resident += n
	s.peak = max(s.peak, s.resident)
}

// grow extends the mapping with index i, which lies above va, down to va, if
// it is one that grows and may.
func (s *Space) grow(i int, va uintptr) bool {
	v := s.maps.v[i]
	if v.flags&vmaGrowsDown == 0 || v.hi-va > s.stackLimit || va < mapBottom {
		return false
	}
	if i > 0 {
		if below := s.maps.v[i-1]; below.prot != 0 && below.flags&vmaGrowsDown == 0 && va < below.hi+stackGap || va < below.hi {
			return false
		}
	}
	if more := v.lo - va; s.size+more > s.asLimit {
		return false
	}
	s.size += v.lo - va
	v.lo = va
	return true
}
