package mm

import (
	"gosv/kernel/errno"
	"gosv/kernel/metal"
)

// Flags of mmap(2) that say where a mapping goes.
const (
	MapFixed          = 0x10
	Map32Bit          = 0x40
	MapFixedNoReplace = 0x100000
)

// Where Map32Bit puts mappings (arch/x86/kernel/sys_x86_64.c).
const low32, high32 = 0x40000000, 0x80000000

// Flags of mprotect(2) beside the rights.
const (
	ProtGrowsDown = 0x01000000
	ProtGrowsUp   = 0x02000000
)

// Flags of mremap(2).
const (
	RemapMayMove   = 1
	RemapFixed     = 2
	RemapDontUnmap = 4
)

// Map maps n bytes, whole pages, as v says, whose addresses it fills in: at addr, which
// flags may demand or which is a hint. It takes a reference to v's file of its own.
// ENOMEM, and EAGAIN if who may not lock that much.
func (s *Space) Map(v *VMA, addr, n, flags uintptr, who Locker) errno.Errno {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lockFuture {
		v.Flags |= Locked
	}
	addr, err := s.choose(addr, n, flags)
	if err == 0 && v.Flags&Locked != 0 && !s.lockFits(who, n) {
		err = errno.EAGAIN
	}
	if err != 0 {
		return err
	}
	v.Lo, v.Hi = addr, addr+n
	return s.place(v)
}

// Check says why n bytes cannot be mapped at addr, if flags demand that.
func (s *Space) Check(addr, n, flags uintptr) errno.Errno {
	if flags&(MapFixed|MapFixedNoReplace) == 0 {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.choose(addr, n, flags)
	return err
}

// Place makes v, whose addresses are right, one of the mappings; what was there is
// gone. It takes a reference to v's file of its own.
func (s *Space) Place(v *VMA) errno.Errno {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.place(v)
}

// Gap returns the highest address below which n bytes are free, or 0.
func (s *Space) Gap(n uintptr) uintptr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.maps.gap(n)
}

// choose returns where n bytes go that were asked for at addr.
func (s *Space) choose(addr, n, flags uintptr) (uintptr, errno.Errno) {
	if flags&(MapFixed|MapFixedNoReplace) != 0 {
		switch {
		case addr > UserTop-n:
			return 0, errno.ENOMEM
		case addr&pageMask != 0:
			return 0, errno.EINVAL
		case addr < MapBottom:
			return 0, errno.EPERM
		case flags&MapFixedNoReplace != 0 && s.maps.taken(addr, addr+n):
			return 0, errno.EEXIST
		}
		return addr, 0
	}
	if addr &^= pageMask; addr != 0 {
		addr = max(addr, MapBottom)
		if addr <= UserTop-n && !s.maps.taken(addr, addr+n) && (flags&Map32Bit == 0 || addr+n <= high32) {
			return addr, 0
		}
	}
	if flags&Map32Bit != 0 {
		addr = s.maps.gapFrom(low32, high32, n)
	} else {
		addr = s.maps.gap(n)
	}
	if addr == 0 {
		return 0, errno.ENOMEM
	}
	return addr, 0
}

// place is Place with s.mu held.
func (s *Space) place(v *VMA) errno.Errno {
	n := v.Hi - v.Lo
	replaced := s.mapped(v.Lo, v.Hi)
	if s.stats.Size-replaced+n > s.limits.AS || v.isData() && s.dataFull(n-min(n, replaced)) || !s.maps.canAdd(1) {
		return errno.ENOMEM
	}
	if v.isData() && v.Overcommits(n) {
		return errno.ENOMEM
	}
	if replaced != 0 {
		s.unmap(v.Lo, v.Hi)
	}
	if v.File != nil {
		v.File.Retain()
	}
	s.maps.insert(*v)
	s.stats.Size += n
	return 0
}

// Overcommits says whether v, if writable, promises n bytes, which are more than the
// machine has (vm.overcommit_memory=0: "obvious overcommits are refused"). On
// a small machine a little more than that is not obvious: every Go program
// asks for 32 MiB at once, for a table that it hardly touches.
func (v *VMA) Overcommits(n uintptr) bool {
	const always = 64 << 20
	if v.Flags&NoReserve != 0 || n <= always {
		return false
	}
	_, total := metal.FreeMemory()
	return uint64(n) > total
}

// dataFull says whether n bytes more of private memory to write to are more
// than RLIMIT_DATA allows.
func (s *Space) dataFull(n uintptr) bool {
	if s.limits.Data == Unlimited {
		return false
	}
	for _, v := range s.maps.v {
		if v.isData() {
			n += v.Hi - v.Lo
		}
	}
	return n > s.limits.Data
}

// mapped returns how many bytes of [lo, hi) are mapped.
func (s *Space) mapped(lo, hi uintptr) (n uintptr) {
	for i := s.maps.find(lo); i < len(s.maps.v) && s.maps.v[i].Lo < hi; i++ {
		v := s.maps.v[i]
		n += min(hi, v.Hi) - max(lo, v.Lo)
	}
	return n
}

// Unmap takes all mappings and pages out of [lo, hi), whole pages; ENOMEM if that
// makes more mappings than there may be.
func (s *Space) Unmap(lo, hi uintptr) errno.Errno {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.maps.canAdd(1) {
		if v := s.maps.at(lo); v != nil && v.Lo < lo && hi < v.Hi {
			return errno.ENOMEM // one more than there may be
		}
	}
	s.unmap(lo, hi)
	return 0
}

// Forget drops the pages of files from byte lo up to hi of them, which is what which
// returns. Private copies go with copies only.
func (s *Space) Forget(which func(Backing) (lo, hi int64), copies bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.maps.v {
		if v.File == nil {
			continue
		}
		if lo, hi := which(v.File); v.Off < hi && v.endOff() > lo {
			s.drop(v.Lo+uintptr(max(lo-v.Off, 0)), v.Hi-uintptr(max(v.endOff()-hi, 0)), copies)
		}
	}
}

// StartBreak puts the heap of brk(2) at addr.
func (s *Space) StartBreak(addr uintptr) { s.brkStart, s.brkEnd = addr, addr }

// Heap returns what brk(2) has mapped.
func (s *Space) Heap() (lo, hi uintptr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.brkStart, s.brkEnd
}

// Break is brk(2), of at most limit bytes with rights prot: it returns where the heap
// ends then.
func (s *Space) Break(end, limit uintptr, prot uint8, who Locker) uintptr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if end < s.brkStart || end > UserTop || end-s.brkStart > limit {
		return s.brkEnd
	}
	was, is := PageUp(s.brkEnd), PageUp(end)
	switch {
	case is < was:
		s.unmap(is, was)
	case is > was:
		v := VMA{Lo: was, Hi: is, Prot: prot}
		if s.lockFuture {
			v.Flags |= Locked
		}
		if s.maps.taken(was, is+PageSize) || v.Flags&Locked != 0 && !s.lockFits(who, is-was) || s.place(&v) != 0 {
			return s.brkEnd
		}
	}
	s.brkEnd = end
	return end
}

// Protect changes the rights of [lo, hi), up to the first page where it cannot.
func (s *Space) Protect(lo, hi, prot uintptr) errno.Errno {
	s.mu.Lock()
	defer s.mu.Unlock()
	rights := uint8(prot & (Read | Write | Exec))
	i := s.maps.find(lo)
	if i == len(s.maps.v) {
		return errno.ENOMEM
	}
	switch v := s.maps.v[i]; {
	case prot&ProtGrowsDown != 0: // from the beginning of a mapping that does
		if v.Lo >= hi {
			return errno.ENOMEM
		}
		if v.Flags&GrowsDown == 0 {
			return errno.EINVAL
		}
		lo = v.Lo
	case v.Lo > lo:
		return errno.ENOMEM
	case prot&ProtGrowsUp != 0:
		return errno.EINVAL // no mapping does
	}
	if !s.maps.canAdd(2) {
		return errno.ENOMEM
	}
	first := s.maps.split(lo)
	err := errno.Errno(0)
	for i = first; lo < hi; i++ {
		if i == len(s.maps.v) || s.maps.v[i].Lo != lo {
			err = errno.ENOMEM
			break
		}
		v := s.maps.v[i]
		if v.Hi > hi {
			s.maps.split(hi)
		}
		if rights&Write != 0 && v.Flags&Shared != 0 && v.Flags&MayWrite == 0 {
			err = errno.EACCES
			break
		}
		if rights&Write != 0 && v.Prot&Write == 0 && v.Flags&Shared == 0 && (v.Overcommits(v.Hi-v.Lo) || s.dataFull(v.Hi-v.Lo)) {
			err = errno.ENOMEM
			break
		}
		if v.Prot != rights {
			if !s.split(v.Lo, 0) || !s.split(v.Hi, 0) {
				err = errno.ENOMEM
				break
			}
			v.Prot = rights
			s.setRights(v)
		}
		lo = v.Hi
	}
	s.maps.join(first, i)
	return err
}

// setRights gives v's pages those of v.
func (s *Space) setRights(v *VMA) {
	rights := pteRights(v.Prot)
	first, last := v.Hi, v.Lo // where rights were taken away
	s.walk(v.Lo, v.Hi, func(va uintptr, e *uint64) {
		old, now := *e, rights
		if old&pteFile != 0 {
			now = v.fileRights()
			if v.File.Tracked() { // they are not written to unnoticed
				now &= old | ^uint64(pteWrite)
			}
		}
		*e = old&(pteAddr|pteHuge) | now
		if old&ptePresent > now&ptePresent || old&pteWrite > now&pteWrite || old&pteNX < now&pteNX {
			first, last = min(first, va), va+PageSize
			if old&pteHuge != 0 {
				last = va + hugeSize
			}
		}
	})
	if first < last {
		metal.Flush(first, last)
	}
}

// Remap is mremap(2) of oldN bytes at addr to n bytes, at to if flags demand that. All
// are whole pages, and have been looked at as far as can be without the mappings.
func (s *Space) Remap(addr, oldN, n, flags, to uintptr, who Locker) (uintptr, errno.Errno) {
	s.mu.Lock()
	if v := s.maps.at(addr); n > oldN && v != nil && v.Flags&Locked != 0 && !s.lockFits(who, n-oldN) {
		s.mu.Unlock()
		return 0, errno.EAGAIN
	}
	got, locked, err := s.remap(addr, oldN, n, flags, to)
	s.mu.Unlock()
	if err == 0 && locked && n > oldN {
		s.Populate(got+oldN, got+n)
	}
	return got, err
}

func (s *Space) remap(addr, oldN, n, flags, to uintptr) (got uintptr, locked bool, err errno.Errno) {
	v := s.maps.at(addr)
	if v == nil {
		return 0, false, errno.EFAULT
	}
	if oldN == 0 && (v.Flags&Shared == 0 || v.File == nil) {
		return 0, false, errno.EINVAL // only what is shared can be there twice
	}
	locked = v.Flags&Locked != 0
	if n < oldN && !UserRange(addr, oldN) {
		return 0, false, errno.EINVAL
	}
	if flags&(RemapFixed|RemapDontUnmap) == 0 {
		if oldN >= n && oldN != 0 {
			s.unmap(addr+n, addr+oldN)
			return addr, locked, 0
		}
	} else if n < oldN {
		s.unmap(addr+n, addr+oldN)
		oldN = n
	}
	if oldN > v.Hi-addr {
		return 0, false, errno.EFAULT
	}
	if v.File != nil && v.Offset(addr)+int64(n) < 0 {
		return 0, false, errno.EINVAL
	}
	if n > oldN {
		if s.stats.Size+n-oldN > s.limits.AS || v.isData() && (v.Overcommits(n-oldN) || s.dataFull(n-oldN)) {
			return 0, false, errno.ENOMEM
		}
		if flags&(RemapFixed|RemapDontUnmap) == 0 && oldN != 0 && addr+oldN == v.Hi &&
			n <= UserTop-addr && !s.maps.taken(v.Hi, addr+n) {
			s.stats.Size += addr + n - v.Hi
			v.Hi = addr + n
			s.maps.join(s.maps.find(addr), s.maps.find(addr)+1)
			return addr, locked, 0
		}
	}
	if flags&RemapMayMove == 0 {
		return 0, false, errno.ENOMEM
	}
	if flags&RemapFixed != 0 {
		if to < MapBottom {
			return 0, false, errno.EPERM
		}
		s.unmap(to, to+n)
	} else {
		if flags&RemapDontUnmap != 0 && to >= MapBottom && !s.maps.taken(to, to+n) {
			// a hint
		} else if to = s.maps.gap(n); to == 0 {
			return 0, false, errno.ENOMEM
		}
	}
	if !s.maps.canAdd(3) {
		return 0, false, errno.ENOMEM
	}
	return to, locked, s.move(addr, oldN, to, n, flags&RemapDontUnmap != 0)
}

// move moves the mapping of [addr, addr+oldN) to where n bytes are free, with its
// pages. It leaves an empty one if keep is set.
func (s *Space) move(addr, oldN, to, n uintptr, keep bool) errno.Errno {
	enough := s.splitAll(addr, addr+oldN)
	s.walk(addr, addr+oldN, func(va uintptr, e *uint64) {
		enough = enough && s.entry(to+va-addr) != nil
	})
	if !enough {
		return errno.ENOMEM
	}
	old := s.maps.at(addr)
	v := *old
	if keep {
		old.Flags &^= Locked
	}
	v.Off = v.Offset(addr)
	v.Lo, v.Hi = to, to+n
	if v.File != nil {
		v.File.Retain()
	}
	s.maps.insert(v)
	s.stats.Size += n
	first, last := addr+oldN, addr
	s.walk(addr, addr+oldN, func(va uintptr, e *uint64) {
		*s.entry(to + va - addr) = *e
		*e = 0
		first, last = min(first, va), va+PageSize
	})
	if first < last {
		metal.Flush(first, last)
	}
	if !keep && oldN != 0 {
		s.unmap(addr, addr+oldN)
	}
	return 0
}
