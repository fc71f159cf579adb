package mm

import (
	"sync"
	"unsafe"

	"gosv/kernel/metal"
)

// Space is an address space: the mappings, and the page tables that are
// filled from them on page faults.
type Space struct {
	mu   sync.Mutex
	root uintptr // physical address of the top page table
	maps vmaSet

	brkStart, brkEnd uintptr // brk(2): the heap is [brkStart, brkEnd)
	limits           Limits
	stats            Stats
	lockFuture       bool // mlockall(MCL_FUTURE)

	others    Others
	noMemory  func()
	wanted    Backing // by a fault that has to wait, with a reference
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
	pteAddr     = 1<<52 - PageSize
)

// Limits are those of setrlimit(2) that memory is held to, in bytes.
type Limits struct{ Stack, AS, Data uintptr }

// Stats is what a space has come to.
type Stats struct {
	Size     uintptr // bytes mapped
	Resident uintptr // frames that belong to it, without page tables
	Peak     uintptr // the most Resident has been
	Faults   uint64  // page faults
}

// Others have memory that a space can get when there is none: caches, a balloon.
type Others interface {
	// GiveBack frees pages if of total bytes only free are. It returns how many,
	// waits for nothing and takes no lock of a space.
	GiveBack(free, total uint64) int

	// Relieve is the last resort of those who cannot wait.
	Relieve() bool

	// Reclaim frees pages, for which it may wait, and returns how many.
	Reclaim() int
}

// New returns an empty address space, or nil if there is no memory. It calls
// noMemory when there is no frame for a page that the application may touch.
func New(others Others, noMemory func()) *Space {
	if heap.others == nil {
		heap.others, heap.least = others, metal.KernelMemory()
	}
	s := &Space{others: others, noMemory: noMemory}
	if s.root = s.tableFrame(); s.root == 0 {
		return nil
	}
	kernel := (*[512]uint64)(metal.Phys(metal.KernelRoot()))
	copy((*[512]uint64)(metal.Phys(s.root))[256:], kernel[256:])
	return s
}

// Activate makes it the address space that this CPU runs in, and all that follow.
func (s *Space) Activate() { metal.SetRoot(s.root) }

// SetLimits sets what the space is held to from now on.
func (s *Space) SetLimits(l Limits) {
	s.mu.Lock()
	s.limits = l
	s.mu.Unlock()
}

// Stats returns what the space has come to.
func (s *Space) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// AllowHuge says whether the space may use large pages (PR_SET_THP_DISABLE).
func (s *Space) AllowHuge(may bool) {
	s.mu.Lock()
	s.noHuge = !may
	s.mu.Unlock()
}

// AllowsHuge is what AllowHuge said last; at first it may.
func (s *Space) AllowsHuge() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.noHuge
}

// View calls f with all mappings in the order of their addresses, which stay as they
// are meanwhile. They must not be kept.
func (s *Space) View(f func(all []*VMA)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s.maps.v)
}

// Present returns how many of v's pages are there that belong to the space, and how
// many are a file's; within View.
func (s *Space) Present(v *VMA) (own, file uint64) {
	s.walk(v.Lo, v.Hi, func(va uintptr, e *uint64) {
		switch {
		case *e&pteFile != 0:
			file++
		case *e&pteHuge != 0:
			own += uint64(min(va+hugeSize, v.Hi)-max(va, v.Lo)) / PageSize
		default:
			own++
		}
	})
	return own, file
}

// Frames calls f for the physical addresses of v's pages that are there, and of the
// file's only with files; within View.
func (s *Space) Frames(v *VMA, files bool, f func(va, frame uintptr)) {
	s.walk(v.Lo, v.Hi, func(va uintptr, e *uint64) {
		frame := uintptr(*e & pteAddr)
		if *e&pteHuge != 0 {
			for i := uintptr(0); i < hugeSize; i += PageSize {
				if va+i >= v.Lo && va+i < v.Hi {
					f(va+i, frame+i)
				}
			}
		} else if files || *e&pteFile == 0 {
			f(va, frame)
		}
	})
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
		for end := min(hi, (va>>21+1)<<21); va < end; va += PageSize {
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
	if prot&Write != 0 {
		b |= pteWrite
	}
	if prot&Exec == 0 {
		b |= pteNX
	}
	return b
}

// unmap takes all mappings and pages out of [lo, hi).
func (s *Space) unmap(lo, hi uintptr) {
	s.stats.Size -= s.mapped(lo, hi)
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
		first, last = min(first, va), va+PageSize
	})
	s.bury(dead[:n], first, last)
}

// bury frees frames after all CPUs have forgotten the translations of
// [first, last), where they were mapped.
func (s *Space) bury(dead []uintptr, first, last uintptr) {
	if first < last {
		metal.Flush(first, last)
	}
	s.stats.Resident -= uintptr(len(dead))
	k := copy(s.frames[s.nframes:], dead)
	s.nframes += k
	metal.FreeFrames(dead[k:])
}
