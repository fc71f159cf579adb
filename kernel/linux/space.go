package linux

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"gosv/kernel/metal"
)

// Space is an address space: the mappings, and the page tables that are
// filled from them on page faults.
type Space struct {
	mu   sync.Mutex
	root uintptr // physical address of the top page table
	maps vmas

	brkStart, brkEnd uintptr // brk(2): the heap is [brkStart, brkEnd)
	stackLimit       uintptr // RLIMIT_STACK, bytes
	asLimit          uintptr // RLIMIT_AS, bytes
	dataLimit        uintptr // RLIMIT_DATA, bytes
	size             uintptr // bytes mapped
	resident         uintptr // frames that belong to it, without page tables
	peak             uintptr // the most resident has been
	faults           uint64  // page faults, for getrusage
	lockFuture       bool    // mlockall(MCL_FUTURE)
	barriers         bool    // registered for membarrier(2)

	// What the application was given at exec, for /proc and core dumps.
	argLo, argHi, envHi uintptr
	startSP             uintptr // where the stack began

	// noMemory is called when there is no frame for a page that the application
	// may touch.
	noMemory func()

	disks     *disks                   // whose caches give memory back; nil: there are none
	balloon   *atomic.Pointer[Balloon] // nil, or of nil: there is none
	wanted    Backing                  // by a fault that has to wait, with a reference
	wantedOff int64

	frames  [32]uintptr // ready to use, contents undefined
	nframes int
	huges   int  // large pages mapped: huge.go
	noHuge  bool // PR_SET_THP_DISABLE
}

// Page-table entries (Intel SDM vol. 3A 4.5). An entry that is not zero but
// not present keeps the frame of a page with PROT_NONE.
const (
	ptePresent  = 1 << 0
	pteWrite    = 1 << 1
	pteUser     = 1 << 2
	pteAccessed = 1 << 5
	pteDirty    = 1 << 6
	pteHuge     = 1 << 7 // maps 2 MiB
	pteFile     = 1 << 9 // ours: the frame belongs to a file
	pteNX       = 1 << 63
	pteAddr     = 1<<52 - pageSize
)

// newSpace returns an empty address space, or nil if there is no memory.
func newSpace() *Space {
	s := &Space{}
	if s.root = s.tableFrame(); s.root == 0 {
		return nil
	}
	kernel := (*[512]uint64)(metal.Phys(metal.KernelRoot()))
	copy((*[512]uint64)(metal.Phys(s.root))[256:], kernel[256:])
	return s
}

// frame returns a frame with undefined contents, or 0.
func (s *Space) frame() uintptr {
	if s.nframes == 0 {
		if s.nframes = s.allocFrames(s.frames[:]); s.nframes == 0 {
			return 0
		}
	}
	s.nframes--
	return s.frames[s.nframes]
}

// tableFrame returns a frame for a page table, zero, or 0.
func (s *Space) tableFrame() uintptr {
	f := s.frame()
	if f != 0 {
		metal.ZeroFrame(f)
	}
	return f
}

// entry returns the page-table entry of va, making the tables that lead to
// it; nil if there is no memory for them.
func (s *Space) entry(va uintptr) *uint64 { return s.entryAt(va, 12) }

// entryAt returns the entry for va that stands for 1<<level bytes.
func (s *Space) entryAt(va uintptr, level int) *uint64 {
	table := s.root
	for shift := 39; shift > level; shift -= 9 {
		e := (*uint64)(unsafe.Add(metal.Phys(table), va>>shift&511*8))
		if *e == 0 {
			f := s.tableFrame()
			if f == 0 {
				return nil
			}
			*e = uint64(f) | ptePresent | pteWrite | pteUser
		}
		table = uintptr(*e & pteAddr)
	}
	return (*uint64)(unsafe.Add(metal.Phys(table), va>>level&511*8))
}

// walk calls f for every entry in use in [lo, hi). One of a large page has pteHuge
// set, and is f's business as a whole if a part of the page is in the range.
func (s *Space) walk(lo, hi uintptr, f func(va uintptr, e *uint64)) {
next:
	for va := lo; va < hi; {
		table := s.root
		for shift := 39; shift > 12; shift -= 9 {
			e := (*uint64)(unsafe.Add(metal.Phys(table), va>>shift&511*8))
			if *e&pteHuge != 0 {
				f(va&^(hugeSize-1), e)
			}
			if *e == 0 || *e&pteHuge != 0 { // nothing more in all of its range
				va = (va>>shift + 1) << shift
				continue next
			}
			table = uintptr(*e & pteAddr)
		}
		for end := min(hi, (va>>21+1)<<21); va < end; va += pageSize {
			if e := (*uint64)(unsafe.Add(metal.Phys(table), va>>12&511*8)); *e != 0 {
				f(va, e)
			}
		}
	}
}

// pteRights translates a protection. On x86 whatever is mapped is readable.
func pteRights(prot uint8) uint64 {
	if prot == 0 {
		return 0
	}
	b := uint64(ptePresent | pteUser)
	if prot&protWrite != 0 {
		b |= pteWrite
	}
	if prot&protExec == 0 {
		b |= pteNX
	}
	return b
}

// unmap takes all mappings and pages out of [lo, hi).
func (s *Space) unmap(lo, hi uintptr) {
	s.size -= s.mapped(lo, hi)
	// Pages first: they may belong to a file that goes with its mapping.
	s.drop(lo, hi, true)
	s.maps.remove(lo, hi)
}

// drop takes the pages of [lo, hi) away and frees their frames; only a file's
// without own.
func (s *Space) drop(lo, hi uintptr, own bool) {
	if s.huges != 0 {
		s.dropHuge(lo, hi, own)
	}
	var dead [64]uintptr
	n := 0
	first, last := hi, lo
	s.walk(lo, hi, func(va uintptr, e *uint64) {
		if n == len(dead) {
			s.bury(dead[:], first, last)
			n, first, last = 0, hi, lo
		}
		if *e&pteFile == 0 {
			if !own {
				return
			}
			dead[n] = uintptr(*e & pteAddr)
			n++
		}
		*e = 0
		first, last = min(first, va), va+pageSize
	})
	s.bury(dead[:n], first, last)
}

// bury frees frames after all CPUs have forgotten the translations of
// [first, last), where they were mapped.
func (s *Space) bury(dead []uintptr, first, last uintptr) {
	if first < last {
		metal.Flush(first, last)
	}
	s.resident -= uintptr(len(dead))
	k := copy(s.frames[s.nframes:], dead)
	s.nframes += k
	metal.FreeFrames(dead[k:])
}
