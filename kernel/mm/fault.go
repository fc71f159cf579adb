package mm

import (
	"unsafe"

	"gosv/kernel/errno"
	"gosv/kernel/metal"
)

// Access is what a page fault was about.
type Access uint8

const (
	ToRead Access = iota
	ToWrite
	ToExec
)

// Fault says what became of a page fault.
type Fault uint8

const (
	FaultOK       Fault = iota
	FaultUnmapped       // SEGV_MAPERR
	FaultDenied         // SEGV_ACCERR
	FaultBeyond         // BUS_ADRERR: beyond the end of the file
	FaultNoMemory       // the process is being ended
	faultWait           // the page has to be fetched: Space.fetchWanted
)

// Pages that a fault brings in at most: of a file, those in the same aligned
// block; of anonymous memory, those that follow, when the page before is there.
const (
	FileAround = 32
	anonAhead  = 4
)

// stackGap is what stays free below a mapping that grows down
// (stack_guard_gap, mm/mmap.c).
const stackGap = 256 * PageSize

// BringIn makes the page at va accessible to the kernel on behalf of the
// application, if the application may access it that way.
func (s *Space) BringIn(va uintptr, a Access) bool { return s.Fault(va, a) == FaultOK }

// Fault makes the page at va accessible.
func (s *Space) Fault(va uintptr, a Access) Fault {
	s.mu.Lock()
	r := s.faultLocked(va&^pageMask, a)
	for again := true; again; {
		if r == faultWait {
			switch s.fetchWanted() {
			case 0:
			case errno.ENOMEM:
				r = FaultNoMemory
			default:
				r = FaultBeyond
			}
		}
		if again = r == faultWait || r == FaultNoMemory && s.reclaim(); again {
			r = s.faultLocked(va&^pageMask, a)
		}
	}
	s.mu.Unlock()
	if r == FaultNoMemory && s.noMemory != nil {
		s.noMemory()
	}
	return r
}

// reclaim gets memory from others; s.mu is held before and after.
func (s *Space) reclaim() bool {
	if s.others == nil {
		return false
	}
	s.mu.Unlock()
	defer s.mu.Lock()
	return s.others.Reclaim() > 0 || collectLast()
}

func (s *Space) faultLocked(va uintptr, a Access) Fault {
	s.stats.Faults++
	i := s.maps.find(va)
	if i == len(s.maps.v) {
		return FaultUnmapped
	}
	v := s.maps.v[i]
	if va < v.Lo && !s.grow(i, va) {
		return FaultUnmapped
	}
	if v.Prot == 0 || a == ToWrite && v.Prot&Write == 0 || a == ToExec && v.Prot&Exec == 0 {
		return FaultDenied
	}
	if v.File == nil && (s.huges != 0 || v.Flags&huge != 0 || va&(hugeSize-1) == 0) && s.faultHuge(v, va) {
		return FaultOK
	}
	e := s.entry(va)
	switch {
	case e == nil:
		return FaultNoMemory
	case *e == 0 && v.File == nil:
		return s.fillAnonymous(v, va, e)
	case *e == 0 && a == ToWrite && v.Flags&Shared == 0:
		return s.fillCopy(v, va, e)
	case *e == 0:
		if v.File.Tracked() {
			return s.fillTracked(v, va, e, a)
		}
		return s.fillFile(v, va, e)
	case a == ToWrite && *e&pteWrite == 0: // a file's page, mapped privately
		if v.File != nil && v.Flags&Shared != 0 && v.File.Tracked() {
			return s.shareTracked(v, va, e)
		}
		return s.copyOnWrite(v, va, e)
	}
	return FaultOK // another thread was faster
}

// fillAnonymous gives the page at va a zero frame, and some that follow if
// memory is being filled upwards.
func (s *Space) fillAnonymous(v *VMA, va uintptr, e *uint64) Fault {
	n := uintptr(1)
	if i := va >> 12 & 511; i != 0 && *(*uint64)(unsafe.Add(unsafe.Pointer(e), -8)) != 0 {
		n = min(anonAhead, (v.Hi-va)>>12, 512-i)
	}
	rights := pteRights(v.Prot)
	for k := range n {
		if *e != 0 {
			break
		}
		f := s.frame()
		if f == 0 {
			if k > 0 {
				break
			}
			return FaultNoMemory
		}
		metal.ZeroFrame(f)
		*e = uint64(f) | rights
		s.addResident(1)
		e = (*uint64)(unsafe.Add(unsafe.Pointer(e), 8))
	}
	return FaultOK
}

// fillFile maps the page at va and those around it that are not there from
// where they are in the file. Those of a mapping through which the file can be
// written are the file's own from the start, holes too.
func (s *Space) fillFile(v *VMA, va uintptr, e *uint64) Fault {
	// An aligned block lies in one page table.
	const block = FileAround * PageSize
	lo, hi := max(va&^(block-1), v.Lo), min(va&^(block-1)+block, v.Hi)
	write := v.WritesFile()
	if write {
		lo, hi = va, va+PageSize
	}
	rights := v.fileRights()
	for at := lo; at < hi; {
		pages, err := v.File.Pages(v.Offset(at), int((hi-at)>>12), write)
		if err == errno.ENOMEM {
			return FaultNoMemory
		}
		if err == errno.EAGAIN {
			if at == va {
				return s.waitFor(v.File, v.Offset(va))
			}
			at += PageSize
			continue
		}
		if err != 0 || len(pages) == 0 {
			break
		}
		n := min(uintptr(len(pages)), hi-at) &^ pageMask
		p := (*uint64)(unsafe.Add(unsafe.Pointer(e), (int(at)-int(va))>>9))
		at += n
		next := uint64(metal.PhysOf(unsafe.Pointer(&pages[0]))) | rights
		for end := next + uint64(n); next < end; next += PageSize {
			if *p == 0 {
				*p = next
			}
			p = (*uint64)(unsafe.Add(unsafe.Pointer(p), 8))
		}
	}
	if *e == 0 {
		return FaultBeyond
	}
	return FaultOK
}

// fillCopy gives the page at va a private copy of the file's page.
func (s *Space) fillCopy(v *VMA, va uintptr, e *uint64) Fault {
	page, err := v.File.Pages(v.Offset(va), 1, false)
	switch {
	case err == errno.ENOMEM:
		return FaultNoMemory
	case err == errno.EAGAIN:
		return s.waitFor(v.File, v.Offset(va))
	case err != 0 || len(page) < PageSize:
		return FaultBeyond
	}
	f := s.frame()
	if f == 0 {
		return FaultNoMemory
	}
	*(*[PageSize]byte)(metal.Phys(f)) = *(*[PageSize]byte)(page)
	*e = uint64(f) | pteRights(v.Prot)
	s.addResident(1)
	return FaultOK
}

// copyOnWrite replaces a page of a file by a private copy.
func (s *Space) copyOnWrite(v *VMA, va uintptr, e *uint64) Fault {
	f := s.frame()
	if f == 0 {
		return FaultNoMemory
	}
	*(*[PageSize]byte)(metal.Phys(f)) = *(*[PageSize]byte)(metal.Phys(uintptr(*e & pteAddr)))
	*e = uint64(f) | pteRights(v.Prot)
	s.addResident(1)
	metal.Flush(va, va+PageSize)
	return FaultOK
}

func (s *Space) addResident(n uintptr) {
	s.stats.Resident += n
	s.stats.Peak = max(s.stats.Peak, s.stats.Resident)
}

// grow extends the mapping with index i, which lies above va, down to va, if
// it is one that grows and may.
func (s *Space) grow(i int, va uintptr) bool {
	v := s.maps.v[i]
	if v.Flags&GrowsDown == 0 || v.Hi-va > s.limits.Stack || va < MapBottom {
		return false
	}
	if i > 0 {
		if below := s.maps.v[i-1]; below.Prot != 0 && below.Flags&GrowsDown == 0 && va < below.Hi+stackGap || va < below.Hi {
			return false
		}
	}
	if more := v.Lo - va; s.stats.Size+more > s.limits.AS {
		return false
	}
	s.stats.Size += v.Lo - va
	v.Lo = va
	return true
}
