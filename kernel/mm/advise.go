package mm

import "gosv/kernel/errno"

// Advice to madvise(2).
const (
	advNormal         = 0
	advRandom         = 1
	advSequential     = 2
	advWillNeed       = 3
	advDontNeed       = 4
	advFree           = 8
	advRemove         = 9
	advDontFork       = 10
	advDoFork         = 11
	advHugePage       = 14
	advNoHugePage     = 15
	advDontDump       = 16
	advDoDump         = 17
	advWipeOnFork     = 18
	advKeepOnFork     = 19
	advCold           = 20
	advPageOut        = 21
	advPopulateRead   = 22
	advPopulateWrite  = 23
	advDontNeedLocked = 24
)

// Advise is madvise(2).
func (s *Space) Advise(addr, n uintptr, advice int32) errno.Errno {
	switch advice {
	case advNormal, advRandom, advSequential, advWillNeed, advDontNeed, advFree, advDontFork, advDoFork,
		advHugePage, advNoHugePage, advDontDump, advDoDump, advWipeOnFork, advKeepOnFork, advCold, advPageOut,
		advPopulateRead, advPopulateWrite, advDontNeedLocked:
	case advRemove:
		return s.removePages(addr, n)
	default:
		return errno.EINVAL
	}
	lo, hi := addr, addr+PageUp(n)
	if addr&pageMask != 0 || PageUp(n) < n || hi < lo {
		return errno.EINVAL
	}
	if advice == advPopulateRead || advice == advPopulateWrite {
		for va := lo; va < hi; va += PageSize {
			s.mu.Lock()
			v := s.maps.at(va)
			unreadable := v != nil && advice == advPopulateRead && v.Prot&Read == 0 // though the machine would allow it
			s.mu.Unlock()
			if unreadable {
				return errno.EINVAL
			}
			if err := s.populatePage(va, Access(advice-advPopulateRead), errno.EINVAL); err != 0 {
				return err
			}
		}
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	err := errno.Errno(0)
	for lo < hi {
		i := s.maps.find(lo) // anew: mappings are split and joined on the way
		if i == len(s.maps.v) {
			return errno.ENOMEM
		}
		v := s.maps.v[i]
		if v.Lo > lo { // a hole: go on, but say so
			err = errno.ENOMEM
			if lo = v.Lo; lo >= hi {
				return errno.ENOMEM
			}
		}
		end := min(v.Hi, hi)
		switch advice {
		case advDontNeed, advFree, advDontNeedLocked:
			anonymous := v.File == nil && v.Flags&Shared == 0
			if v.Flags&Locked != 0 && advice != advDontNeedLocked || advice == advFree && !anonymous {
				return errno.EINVAL
			}
			if anonymous || v.File != nil {
				s.drop(lo, end, true)
			}
		case advCold, advPageOut:
			if v.Flags&Locked != 0 {
				return errno.EINVAL
			}
		case advHugePage, advNoHugePage:
			s.setFlag(lo, end, huge, advice == advHugePage)
			s.setFlag(lo, end, noHuge, advice == advNoHugePage)
		case advDontFork, advDoFork:
			s.setFlag(lo, end, dontFork, advice == advDontFork)
		case advDontDump, advDoDump:
			s.setFlag(lo, end, dontDump, advice == advDontDump)
		case advWipeOnFork, advKeepOnFork:
			if advice == advWipeOnFork && (v.File != nil || v.Flags&Shared != 0) {
				return errno.EINVAL
			}
			s.setFlag(lo, end, wipeOnFork, advice == advWipeOnFork)
		}
		lo = end
	}
	return err
}

// removePages is MADV_REMOVE: it makes holes in the files that [addr, addr+n) shows.
func (s *Space) removePages(addr, n uintptr) errno.Errno {
	lo, hi := addr, addr+PageUp(n)
	if addr&pageMask != 0 || PageUp(n) < n || hi < lo {
		return errno.EINVAL
	}
	hole := errno.Errno(0)
	for lo < hi {
		s.mu.Lock()
		i := s.maps.find(lo)
		if i == len(s.maps.v) || s.maps.v[i].Lo >= hi {
			s.mu.Unlock()
			return errno.ENOMEM
		}
		v := s.maps.v[i]
		if v.Lo > lo { // go on, but say so
			lo, hole = v.Lo, errno.ENOMEM
		}
		var file Puncher
		err := errno.Errno(0)
		switch {
		case v.Flags&Locked != 0 || v.File == nil:
			err = errno.EINVAL
		case !v.WritesFile():
			err = errno.EACCES
		default:
			var ok bool
			if file, ok = v.File.(Puncher); !ok {
				err = errno.EOPNOTSUPP
				break
			}
			file.Retain()
		}
		if err != 0 {
			s.mu.Unlock()
			return err
		}
		off, end := v.Offset(lo), min(v.Hi, hi)
		s.mu.Unlock() // the file has its own locks above it
		err = file.Punch(off, int64(end-lo))
		file.Release()
		if err != 0 {
			return err
		}
		lo = end
	}
	return hole
}

// setFlag changes a flag of [lo, hi), which lies in one mapping.
func (s *Space) setFlag(lo, hi uintptr, flag Flags, on bool) {
	i := s.maps.split(lo)
	s.maps.split(hi)
	if v := s.maps.v[i]; on {
		v.Flags |= flag
	} else {
		v.Flags &^= flag
	}
	s.maps.join(i, i)
}

// Residency fills in which pages of up to n bytes at lo are in memory; a file's always
// are. It returns how many bytes of a mapping these were.
func (s *Space) Residency(lo, n uintptr, there *[256]byte) uintptr {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.maps.at(lo)
	if v == nil {
		return 0
	}
	n = min(n, v.Hi-lo)
	for i := range n >> 12 {
		if v.File != nil {
			there[i] = 1
		}
	}
	s.walk(lo, lo+n, func(va uintptr, e *uint64) {
		size := uintptr(PageSize)
		if *e&pteHuge != 0 {
			size = hugeSize
		}
		for at := max(va, lo); at < min(va+size, lo+n); at += PageSize {
			there[(at-lo)>>12] = 1
		}
	})
	return n
}

// Populate brings the pages of [lo, hi) in as far as it can, for writing where
// that is allowed.
func (s *Space) Populate(lo, hi uintptr) errno.Errno {
	for va := lo; va < hi; va += PageSize {
		s.mu.Lock()
		a := ToRead
		if v := s.maps.at(va); v != nil && v.Prot&Write != 0 && v.Flags&Shared == 0 {
			a = ToWrite
		}
		s.mu.Unlock()
		if err := s.populatePage(va, a, errno.EFAULT); err != 0 {
			return err
		}
	}
	return 0
}

// populatePage brings a page in; denied is its error where the rights do not
// allow that.
func (s *Space) populatePage(va uintptr, a Access, denied errno.Errno) errno.Errno {
	switch s.Fault(va, a) {
	case FaultOK:
		return 0
	case FaultUnmapped:
		return errno.ENOMEM
	case FaultBeyond:
		return errno.EFAULT
	case FaultNoMemory:
		return errno.EAGAIN
	}
	return denied
}

// lockedIn is how much of [lo, hi) is locked; s.mu is held.
func (s *Space) lockedIn(lo, hi uintptr) (n uintptr) {
	for _, v := range s.maps.v {
		if a, b := max(lo, v.Lo), min(hi, v.Hi); v.Flags&Locked != 0 && a < b {
			n += b - a
		}
	}
	return n
}

// lockFits says whether who may lock n bytes more; s.mu is held.
func (s *Space) lockFits(who Locker, n uintptr) bool {
	limit := who.LockLimit()
	return limit == Unlimited || s.lockedIn(0, UserTop)+n <= limit
}

// Lock marks the mappings of [lo, hi) as locked, or not, up to the first hole: ENOMEM. No
// page ever leaves memory, so that is all.
func (s *Space) Lock(lo, hi uintptr, on bool, who Locker) errno.Errno {
	s.mu.Lock()
	defer s.mu.Unlock()
	if on && !s.lockFits(who, hi-lo-s.lockedIn(lo, hi)) {
		return errno.ENOMEM
	}
	for lo < hi {
		v := s.maps.at(lo)
		if v == nil {
			return errno.ENOMEM
		}
		end := min(v.Hi, hi)
		s.setFlag(lo, end, Locked, on)
		lo = end
	}
	return 0
}

// LockAll is mlockall(2) without bringing pages in, and munlockall(2) if it is for
// neither those that are there nor future ones.
func (s *Space) LockAll(current, future bool, who Locker) errno.Errno {
	s.mu.Lock()
	defer s.mu.Unlock()
	if current && !s.lockFits(who, s.stats.Size-s.lockedIn(0, UserTop)) {
		return errno.ENOMEM
	}
	s.lockFuture = future
	for _, v := range s.maps.v {
		if current {
			v.Flags |= Locked
		} else if !future {
			v.Flags &^= Locked
		}
	}
	if !current && !future {
		s.maps.join(0, len(s.maps.v)-1)
	}
	return 0
}

// Next returns a copy of the first mapping that has something of [lo, hi), with a
// reference to its file.
func (s *Space) Next(lo, hi uintptr) (v VMA, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.maps.find(lo)
	if i == len(s.maps.v) || s.maps.v[i].Lo >= hi {
		return VMA{}, false
	}
	v = *s.maps.v[i]
	if v.File != nil {
		v.File.Retain()
	}
	return v, true
}

// Synced says why [lo, hi), all of whose changes have reached their files, cannot be
// called synchronized: ENOMEM for a hole, EBUSY for locked pages with invalidate.
func (s *Space) Synced(lo, hi uintptr, invalidate bool) errno.Errno {
	s.mu.Lock()
	defer s.mu.Unlock()
	if invalidate {
		for i := s.maps.find(lo); i < len(s.maps.v) && s.maps.v[i].Lo < hi; i++ {
			if s.maps.v[i].Flags&Locked != 0 {
				return errno.EBUSY
			}
		}
	}
	if !s.maps.covered(lo, hi) {
		return errno.ENOMEM
	}
	return 0
}
