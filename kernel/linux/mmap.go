package linux

import (
	"gosv/kernel/fs"
	"gosv/kernel/metal"
)

// Flags of mmap(2).
const (
	mapShared         = 0x1
	mapPrivate        = 0x2
	mapSharedValidate = 0x3
	mapTypeMask       = 0xf
	mapFixed          = 0x10
	mapAnonymous      = 0x20
	map32Bit          = 0x40
	mapGrowsDown      = 0x100
	mapDenyWrite      = 0x800
	mapExecutable     = 0x1000
	mapLocked         = 0x2000
	mapNoReserve      = 0x4000
	mapPopulate       = 0x8000
	mapNonblock       = 0x10000
	mapStack          = 0x20000
	mapHugeTLB        = 0x40000
	mapSync           = 0x80000
	mapFixedNoReplace = 0x100000
	mapHugeSize       = 0x7c000000 // logarithm of a huge page's size

	// What MAP_SHARED_VALIDATE accepts (LEGACY_MAP_MASK).
	mapKnown = mapTypeMask | mapFixed | mapAnonymous | map32Bit | mapGrowsDown | mapDenyWrite | mapExecutable |
		mapLocked | mapNoReserve | mapPopulate | mapNonblock | mapStack | mapHugeTLB | mapFixedNoReplace | mapHugeSize

	protSem       = 8 // accepted and without effect
	protGrowsDown = 0x01000000
	protGrowsUp   = 0x02000000
	protRWX       = protRead | protWrite | protExec

	// Where MAP_32BIT puts mappings (arch/x86/kernel/sys_x86_64.c).
	low32, high32 = 0x40000000, 0x80000000
)

func pageUp(n uintptr) uintptr { return (n + pageMask) &^ pageMask }

func sysMmap(t *Thread, a *Args) (uintptr, Errno) {
	addr, n, flags, off := a.Arg1(), a.Arg2(), a.Arg4(), a.Arg6()
	if off&pageMask != 0 {
		return 0, EINVAL
	}
	// What is wrong is told in the order in which Linux looks.
	v := vma{prot: uint8(a.Arg3() & protRWX)}
	var file Backing // nil for the like of /dev/zero
	var canRead, canWrite bool
	var err, noDevice Errno
	if flags&mapAnonymous == 0 {
		if file, canRead, canWrite, noDevice = t.proc.files.backing(int32(a.Arg5())); noDevice == EBADF {
			return 0, EBADF
		}
		if file != nil {
			defer file.Release()
		}
	}
	if flags&mapHugeTLB != 0 {
		if flags&mapAnonymous == 0 {
			return 0, EINVAL
		}
		return 0, ENOMEM // the pool of huge pages is empty
	}
	if n == 0 {
		return 0, EINVAL
	}
	if n = pageUp(n); n == 0 || n > userTop {
		return 0, ENOMEM
	}
	s := t.space
	if v.prot&protRead != 0 && t.proc.readsExecute() {
		v.prot |= protExec
	}
	if flags&mapLocked != 0 {
		if err := t.mayLock(); err != 0 {
			return 0, err
		}
	}
	if flags&(mapFixed|mapFixedNoReplace) != 0 {
		s.mu.Lock()
		_, err = s.choose(addr, n, flags)
		s.mu.Unlock()
		if err != 0 {
			return 0, err
		}
	}
	if flags&mapAnonymous == 0 {
		if off+n < off || file != nil && int64(off+n) < 0 {
			return 0, EOVERFLOW
		}
		switch flags & mapTypeMask {
		case mapShared:
			flags &= mapKnown
			fallthrough
		case mapSharedValidate:
			if flags&^mapKnown != 0 {
				return 0, EOPNOTSUPP
			}
			if v.prot&protWrite != 0 && !canWrite || !canRead {
				return 0, EACCES
			}
			if p, ok := file.(*inodePages); ok && p.memfd.sealed(sealWrite|sealFutureWrite) {
				if v.prot&protWrite != 0 {
					return 0, EPERM
				}
				canWrite = false
			}
			if canWrite {
				v.flags |= vmaMayWrite
			}
			if d, ok := file.(*diskPages); ok && canWrite && d.volume.ReadOnly() {
				noDevice = EINVAL
			}
		case mapPrivate:
			if !canRead {
				return 0, EACCES
			}
		default:
			return 0, EINVAL
		}
		if noDevice != 0 {
			return 0, noDevice
		}
		if flags&mapGrowsDown != 0 {
			return 0, EINVAL
		}
		v.file, v.off = file, int64(off)
	} else {
		switch flags & mapTypeMask {
		case mapShared:
			if flags&mapGrowsDown != 0 {
				return 0, EINVAL
			}
			v.flags |= vmaMayWrite
		case mapPrivate:
		default:
			return 0, EINVAL
		}
	}
	if flags&mapTypeMask != mapPrivate {
		if v.flags |= vmaShared; v.file == nil { // memory that is shared is a file, too
			file, err := t.proc.kernel.sharedMemory(&v, n)
			if err != 0 {
				return 0, err
			}
			defer file.Release()
			v.file, v.off = file, 0
		}
	}
	if flags&mapGrowsDown != 0 {
		v.flags |= vmaGrowsDown
	}
	if flags&mapNoReserve != 0 {
		v.flags |= vmaNoReserve
	}
	if flags&mapLocked != 0 {
		v.flags |= vmaLocked
	}
	s.mu.Lock()
	if s.lockFuture {
		v.flags |= vmaLocked
	}
	addr, err = s.choose(addr, n, flags)
	if err == 0 && v.flags&vmaLocked != 0 && !t.lockFits(n) {
		err = EAGAIN
	}
	if err == 0 {
		v.lo, v.hi = addr, addr+n
		err = s.place(&v)
	}
	s.mu.Unlock()
	if err != 0 {
		return 0, err
	}
	if v.flags&vmaLocked != 0 || flags&(mapPopulate|mapNonblock) == mapPopulate {
		s.populate(v.lo, v.hi)
	}
	return addr, 0
}

// choose returns where n bytes go that were asked for at addr.
func (s *Space) choose(addr, n, flags uintptr) (uintptr, Errno) {
	if flags&(mapFixed|mapFixedNoReplace) != 0 {
		switch {
		case addr > userTop-n:
			return 0, ENOMEM
		case addr&pageMask != 0:
			return 0, EINVAL
		case addr < mapBottom:
			return 0, EPERM
		case flags&mapFixedNoReplace != 0 && s.maps.taken(addr, addr+n):
			return 0, EEXIST
		}
		return addr, 0
	}
	if addr &^= pageMask; addr != 0 {
		addr = max(addr, mapBottom)
		if addr <= userTop-n && !s.maps.taken(addr, addr+n) && (flags&map32Bit == 0 || addr+n <= high32) {
			return addr, 0
		}
	}
	if flags&map32Bit != 0 {
		addr = s.maps.gapFrom(low32, high32, n)
	} else {
		addr = s.maps.gap(n)
	}
	if addr == 0 {
		return 0, ENOMEM
	}
	return addr, 0
}

// place makes v, whose addresses are right, one of the mappings; what was there is
// gone. It takes a reference to v's file of its own.
func (s *Space) place(v *vma) Errno {
	n := v.hi - v.lo
	replaced := s.mapped(v.lo, v.hi)
	if s.size-replaced+n > s.asLimit || v.isData() && s.dataFull(n-min(n, replaced)) || !s.maps.canAdd(1) {
		return ENOMEM
	}
	if v.isData() && v.overcommits(n) {
		return ENOMEM
	}
	if replaced != 0 {
		s.unmap(v.lo, v.hi)
	}
	if v.file != nil {
		v.file.Retain()
	}
	s.maps.insert(*v)
	s.size += n
	return 0
}

// overcommits says whether v, if writable, promises n bytes, which are more than the
// machine has (vm.overcommit_memory=0: "obvious overcommits are refused"). On
// a small machine a little more than that is not obvious: every Go program
// asks for 32 MiB at once, for a table that it hardly touches.
func (v *vma) overcommits(n uintptr) bool {
	const always = 64 << 20
	if v.flags&vmaNoReserve != 0 || n <= always {
		return false
	}
	_, total := metal.FreeMemory()
	return uint64(n) > total
}

// sharedMemory returns a file without a name for n bytes of anonymous memory that
// v shares.
func (k *Kernel) sharedMemory(v *vma, n uintptr) (Backing, Errno) {
	if v.overcommits(n) {
		return nil, ENOMEM
	}
	inode, err := k.anonymous(fs.New{Mode: fs.Regular | 0o777})
	if err == 0 {
		err = inode.Truncate(int64(n))
	}
	if err != 0 {
		return nil, ENOMEM
	}
	file := &inodePages{inode: inode, path: "/dev/zero (deleted)", anonymous: true}
	file.Retain()
	return file, 0
}

// dataFull says whether n bytes more of private memory to write to are more
// than RLIMIT_DATA allows.
func (s *Space) dataFull(n uintptr) bool {
	if s.dataLimit == unlimited {
		return false
	}
	for _, v := range s.maps.v {
		if v.isData() {
			n += v.hi - v.lo
		}
	}
	return n > s.dataLimit
}

// mapped returns how many bytes of [lo, hi) are mapped.
func (s *Space) mapped(lo, hi uintptr) (n uintptr) {
	for i := s.maps.find(lo); i < len(s.maps.v) && s.maps.v[i].lo < hi; i++ {
		v := s.maps.v[i]
		n += min(hi, v.hi) - max(lo, v.lo)
	}
	return n
}

// populate brings the pages of [lo, hi) in as far as it can, for writing where
// that is allowed.
func (s *Space) populate(lo, hi uintptr) Errno {
	for va := lo; va < hi; va += pageSize {
		s.mu.Lock()
		a := accessRead
		if v := s.maps.at(va); v != nil && v.prot&protWrite != 0 && v.flags&vmaShared == 0 {
			a = accessWrite
		}
		s.mu.Unlock()
		if err := s.populatePage(va, a, EFAULT); err != 0 {
			return err
		}
	}
	return 0
}

// populatePage brings a page in; denied is its error where the rights do not
// allow that.
func (s *Space) populatePage(va uintptr, a access, denied Errno) Errno {
	switch s.fault(va, a) {
	case faultOK:
		return 0
	case faultUnmapped:
		return ENOMEM
	case faultBeyond:
		return EFAULT
	case faultNoMemory:
		return EAGAIN
	}
	return denied
}

func sysMunmap(t *Thread, a *Args) (uintptr, Errno) {
	addr, n := a.Arg1(), a.Arg2()
	if addr&pageMask != 0 || n == 0 || !userRange(addr, n) {
		return 0, EINVAL
	}
	s := t.space
	s.mu.Lock()
	defer s.mu.Unlock()
	lo, hi := addr, addr+pageUp(n)
	if !s.maps.canAdd(1) {
		if v := s.maps.at(lo); v != nil && v.lo < lo && hi < v.hi {
			return 0, ENOMEM // one more than there may be
		}
	}
	s.unmap(lo, hi)
	return 0, 0
}

func sysMprotect(t *Thread, a *Args) (uintptr, Errno) {
	addr, n, prot := a.Arg1(), a.Arg2(), a.Arg3()
	if prot&(protGrowsDown|protGrowsUp) == protGrowsDown|protGrowsUp || addr&pageMask != 0 {
		return 0, EINVAL
	}
	if n == 0 {
		return 0, 0
	}
	if n = pageUp(n); n == 0 || addr+n < addr {
		return 0, ENOMEM
	}
	if prot&^(protRWX|protSem|protGrowsDown|protGrowsUp) != 0 {
		return 0, EINVAL
	}
	if prot&protRead != 0 && t.proc.readsExecute() {
		prot |= protExec
	}
	return 0, t.space.protect(addr, addr+n, prot)
}

// protect changes the rights of [lo, hi), up to the first page where it cannot.
func (s *Space) protect(lo, hi, prot uintptr) Errno {
	s.mu.Lock()
	defer s.mu.Unlock()
	rights := uint8(prot & protRWX)
	i := s.maps.find(lo)
	if i == len(s.maps.v) {
		return ENOMEM
	}
	switch v := s.maps.v[i]; {
	case prot&protGrowsDown != 0: // from the beginning of a mapping that does
		if v.lo >= hi {
			return ENOMEM
		}
		if v.flags&vmaGrowsDown == 0 {
			return EINVAL
		}
		lo = v.lo
	case v.lo > lo:
		return ENOMEM
	case prot&protGrowsUp != 0:
		return EINVAL // no mapping does
	}
	if !s.maps.canAdd(2) {
		return ENOMEM
	}
	first := s.maps.split(lo)
	err := Errno(0)
	for i = first; lo < hi; i++ {
		if i == len(s.maps.v) || s.maps.v[i].lo != lo {
			err = ENOMEM
			break
		}
		v := s.maps.v[i]
		if v.hi > hi {
			s.maps.split(hi)
		}
		if rights&protWrite != 0 && v.flags&vmaShared != 0 && v.flags&vmaMayWrite == 0 {
			err = EACCES
			break
		}
		if rights&protWrite != 0 && v.prot&protWrite == 0 && v.flags&vmaShared == 0 && (v.overcommits(v.hi-v.lo) || s.dataFull(v.hi-v.lo)) {
			err = ENOMEM
			break
		}
		if v.prot != rights {
			if !s.split(v.lo, 0) || !s.split(v.hi, 0) {
				err = ENOMEM
				break
			}
			v.prot = rights
			s.setRights(v)
		}
		lo = v.hi
	}
	s.maps.join(first, i)
	return err
}

// setRights gives v's pages those of v.
func (s *Space) setRights(v *vma) {
	rights := pteRights(v.prot)
	first, last := v.hi, v.lo // where rights were taken away
	s.walk(v.lo, v.hi, func(va uintptr, e *uint64) {
		old, now := *e, rights
		if old&pteFile != 0 {
			now = v.fileRights()
			if _, ok := v.file.(*diskPages); ok { // they are not written to unnoticed
				now &= old | ^uint64(pteWrite)
			}
		}
		*e = old&(pteAddr|pteHuge) | now
		if old&ptePresent > now&ptePresent || old&pteWrite > now&pteWrite || old&pteNX < now&pteNX {
			first, last = min(first, va), va+pageSize
			if old&pteHuge != 0 {
				last = va + hugeSize
			}
		}
	})
	if first < last {
		metal.Flush(first, last)
	}
}

func sysBrk(t *Thread, a *Args) (uintptr, Errno) {
	s := t.space
	s.mu.Lock()
	defer s.mu.Unlock()
	end := a.Arg1()
	if end < s.brkStart || end > userTop || end-s.brkStart > uintptr(t.proc.limit(rlimitData)) {
		return s.brkEnd, 0
	}
	was, is := pageUp(s.brkEnd), pageUp(end)
	switch {
	case is < was:
		s.unmap(is, was)
	case is > was:
		v := vma{lo: was, hi: is, prot: protRead | protWrite}
		if s.lockFuture {
			v.flags |= vmaLocked
		}
		if t.proc.readsExecute() {
			v.prot |= protExec
		}
		if s.maps.taken(was, is+pageSize) || v.flags&vmaLocked != 0 && !t.lockFits(is-was) || s.place(&v) != 0 {
			return s.brkEnd, 0
		}
	}
	s.brkEnd = end
	return end, 0
}

// mremap(2).
const (
	mremapMayMove   = 1
	mremapFixed     = 2
	mremapDontUnmap = 4
)

func sysMremap(t *Thread, a *Args) (uintptr, Errno) {
	addr, flags, to := a.Arg1(), a.Arg4(), a.Arg5()
	oldN, n := pageUp(a.Arg2()), pageUp(a.Arg3())
	switch {
	case flags&^(mremapMayMove|mremapFixed|mremapDontUnmap) != 0,
		flags&(mremapFixed|mremapDontUnmap) != 0 && flags&mremapMayMove == 0,
		flags&mremapDontUnmap != 0 && oldN != n,
		addr&pageMask != 0, n == 0:
		return 0, EINVAL
	case n > userTop:
		return 0, ENOMEM
	}
	if flags&(mremapFixed|mremapDontUnmap) != 0 && (to&pageMask != 0 || to > userTop-n || to < addr+oldN && addr < to+n) {
		return 0, EINVAL
	}
	s := t.space
	s.mu.Lock()
	if v := s.maps.at(addr); n > oldN && v != nil && v.flags&vmaLocked != 0 && !t.lockFits(n-oldN) {
		s.mu.Unlock()
		return 0, EAGAIN
	}
	got, locked, err := s.remap(addr, oldN, n, flags, to)
	s.mu.Unlock()
	if err == 0 && locked && n > oldN {
		s.populate(got+oldN, got+n)
	}
	return got, err
}

func (s *Space) remap(addr, oldN, n, flags, to uintptr) (got uintptr, locked bool, err Errno) {
	v := s.maps.at(addr)
	if v == nil {
		return 0, false, EFAULT
	}
	if oldN == 0 && (v.flags&vmaShared == 0 || v.file == nil) {
		return 0, false, EINVAL // only what is shared can be there twice
	}
	locked = v.flags&vmaLocked != 0
	if n < oldN && !userRange(addr, oldN) {
		return 0, false, EINVAL
	}
	if flags&(mremapFixed|mremapDontUnmap) == 0 {
		if oldN >= n && oldN != 0 {
			s.unmap(addr+n, addr+oldN)
			return addr, locked, 0
		}
	} else if n < oldN {
		s.unmap(addr+n, addr+oldN)
		oldN = n
	}
	if oldN > v.hi-addr {
		return 0, false, EFAULT
	}
	if v.file != nil && v.offset(addr)+int64(n) < 0 {
		return 0, false, EINVAL
	}
	if n > oldN {
		if s.size+n-oldN > s.asLimit || v.isData() && (v.overcommits(n-oldN) || s.dataFull(n-oldN)) {
			return 0, false, ENOMEM
		}
		if flags&(mremapFixed|mremapDontUnmap) == 0 && oldN != 0 && addr+oldN == v.hi &&
			n <= userTop-addr && !s.maps.taken(v.hi, addr+n) {
			s.size += addr + n - v.hi
			v.hi = addr + n
			s.maps.join(s.maps.find(addr), s.maps.find(addr)+1)
			return addr, locked, 0
		}
	}
	if flags&mremapMayMove == 0 {
		return 0, false, ENOMEM
	}
	if flags&mremapFixed != 0 {
		if to < mapBottom {
			return 0, false, EPERM
		}
		s.unmap(to, to+n)
	} else {
		if flags&mremapDontUnmap != 0 && to >= mapBottom && !s.maps.taken(to, to+n) {
			// a hint
		} else if to = s.maps.gap(n); to == 0 {
			return 0, false, ENOMEM
		}
	}
	if !s.maps.canAdd(3) {
		return 0, false, ENOMEM
	}
	return to, locked, s.move(addr, oldN, to, n, flags&mremapDontUnmap != 0)
}

// move moves the mapping of [addr, addr+oldN) to where n bytes are free, with its
// pages. It leaves an empty one if keep is set.
func (s *Space) move(addr, oldN, to, n uintptr, keep bool) Errno {
	enough := s.splitAll(addr, addr+oldN)
	s.walk(addr, addr+oldN, func(va uintptr, e *uint64) {
		enough = enough && s.entry(to+va-addr) != nil
	})
	if !enough {
		return ENOMEM
	}
	old := s.maps.at(addr)
	v := *old
	if keep {
		old.flags &^= vmaLocked
	}
	v.off = v.offset(addr)
	v.lo, v.hi = to, to+n
	if v.file != nil {
		v.file.Retain()
	}
	s.maps.insert(v)
	s.size += n
	first, last := addr+oldN, addr
	s.walk(addr, addr+oldN, func(va uintptr, e *uint64) {
		*s.entry(to + va - addr) = *e
		*e = 0
		first, last = min(first, va), va+pageSize
	})
	if first < last {
		metal.Flush(first, last)
	}
	if !keep && oldN != 0 {
		s.unmap(addr, addr+oldN)
	}
	return 0
}

// madvise(2).
const (
	madvNormal         = 0
	madvRandom         = 1
	madvSequential     = 2
	madvWillNeed       = 3
	madvDontNeed       = 4
	madvFree           = 8
	madvRemove         = 9
	madvDontFork       = 10
	madvDoFork         = 11
	madvHugePage       = 14
	madvNoHugePage     = 15
	madvDontDump       = 16
	madvDoDump         = 17
	madvWipeOnFork     = 18
	madvKeepOnFork     = 19
	madvCold           = 20
	madvPageOut        = 21
	madvPopulateRead   = 22
	madvPopulateWrite  = 23
	madvDontNeedLocked = 24
)

func sysMadvise(t *Thread, a *Args) (uintptr, Errno) {
	return 0, t.space.advise(a.Arg1(), a.Arg2(), int32(a.Arg3()))
}

func (s *Space) advise(addr, n uintptr, advice int32) Errno {
	switch advice {
	case madvNormal, madvRandom, madvSequential, madvWillNeed, madvDontNeed, madvFree, madvDontFork, madvDoFork,
		madvHugePage, madvNoHugePage, madvDontDump, madvDoDump, madvWipeOnFork, madvKeepOnFork, madvCold, madvPageOut,
		madvPopulateRead, madvPopulateWrite, madvDontNeedLocked:
	case madvRemove:
		return s.removePages(addr, n)
	default:
		return EINVAL
	}
	lo, hi := addr, addr+pageUp(n)
	if addr&pageMask != 0 || pageUp(n) < n || hi < lo {
		return EINVAL
	}
	if advice == madvPopulateRead || advice == madvPopulateWrite {
		for va := lo; va < hi; va += pageSize {
			s.mu.Lock()
			v := s.maps.at(va)
			unreadable := v != nil && advice == madvPopulateRead && v.prot&protRead == 0 // though the machine would allow it
			s.mu.Unlock()
			if unreadable {
				return EINVAL
			}
			if err := s.populatePage(va, access(advice-madvPopulateRead), EINVAL); err != 0 {
				return err
			}
		}
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	err := Errno(0)
	for lo < hi {
		i := s.maps.find(lo) // anew: mappings are split and joined on the way
		if i == len(s.maps.v) {
			return ENOMEM
		}
		v := s.maps.v[i]
		if v.lo > lo { // a hole: go on, but say so
			err = ENOMEM
			if lo = v.lo; lo >= hi {
				return ENOMEM
			}
		}
		end := min(v.hi, hi)
		switch advice {
		case madvDontNeed, madvFree, madvDontNeedLocked:
			anonymous := v.file == nil && v.flags&vmaShared == 0
			if v.flags&vmaLocked != 0 && advice != madvDontNeedLocked || advice == madvFree && !anonymous {
				return EINVAL
			}
			if anonymous || v.file != nil {
				s.drop(lo, end, true)
			}
		case madvCold, madvPageOut:
			if v.flags&vmaLocked != 0 {
				return EINVAL
			}
		case madvHugePage, madvNoHugePage:
			s.setFlag(lo, end, vmaHuge, advice == madvHugePage)
			s.setFlag(lo, end, vmaNoHuge, advice == madvNoHugePage)
		case madvDontFork, madvDoFork:
			s.setFlag(lo, end, vmaDontFork, advice == madvDontFork)
		case madvDontDump, madvDoDump:
			s.setFlag(lo, end, vmaDontDump, advice == madvDontDump)
		case madvWipeOnFork, madvKeepOnFork:
			if advice == madvWipeOnFork && (v.file != nil || v.flags&vmaShared != 0) {
				return EINVAL
			}
			s.setFlag(lo, end, vmaWipeOnFork, advice == madvWipeOnFork)
		}
		lo = end
	}
	return err
}

// removePages is MADV_REMOVE: it makes holes in the files that [addr, addr+n) shows.
func (s *Space) removePages(addr, n uintptr) Errno {
	lo, hi := addr, addr+pageUp(n)
	if addr&pageMask != 0 || pageUp(n) < n || hi < lo {
		return EINVAL
	}
	hole := Errno(0)
	for lo < hi {
		s.mu.Lock()
		i := s.maps.find(lo)
		if i == len(s.maps.v) || s.maps.v[i].lo >= hi {
			s.mu.Unlock()
			return ENOMEM
		}
		v := s.maps.v[i]
		if v.lo > lo { // go on, but say so
			lo, hole = v.lo, ENOMEM
		}
		var file *inodePages
		err := Errno(0)
		switch {
		case v.flags&vmaLocked != 0 || v.file == nil:
			err = EINVAL
		case !v.writesFile():
			err = EACCES
		default:
			var ok bool
			if file, ok = v.file.(*inodePages); !ok {
				err = EOPNOTSUPP
				break
			}
			file.Retain()
		}
		if err != 0 {
			s.mu.Unlock()
			return err
		}
		off, end := v.offset(lo), min(v.hi, hi)
		s.mu.Unlock() // the file has its own locks above it
		if err = file.memfd.mayWrite(); err == 0 {
			err = file.inode.Allocate(fs.PunchHole|fs.KeepSize, off, int64(end-lo))
		}
		file.Release()
		if err != 0 {
			return err
		}
		lo = end
	}
	return hole
}

// setFlag changes a flag of [lo, hi), which lies in one mapping.
func (s *Space) setFlag(lo, hi uintptr, flag vmaFlags, on bool) {
	i := s.maps.split(lo)
	s.maps.split(hi)
	if v := s.maps.v[i]; on {
		v.flags |= flag
	} else {
		v.flags &^= flag
	}
	s.maps.join(i, i)
}

func sysMincore(t *Thread, a *Args) (uintptr, Errno) {
	addr, n := a.Arg1(), pageUp(a.Arg2())
	if addr&pageMask != 0 {
		return 0, EINVAL
	}
	if !userRange(addr, a.Arg2()) {
		return 0, ENOMEM
	}
	if !userRange(a.Arg3(), n>>12) {
		return 0, EFAULT
	}
	for done := uintptr(0); done < n; {
		var there [256]byte
		chunk := t.space.residency(addr+done, min(n-done, uintptr(len(there))*pageSize), &there)
		if chunk == 0 {
			return 0, ENOMEM
		}
		if err := t.CopyOut(a.Arg3()+done>>12, there[:chunk>>12]); err != 0 {
			return 0, err
		}
		done += chunk
	}
	return 0, 0
}

// residency fills in which pages of up to n bytes at lo are in memory; a file's always
// are. It returns how many bytes of a mapping these were.
func (s *Space) residency(lo, n uintptr, there *[256]byte) uintptr {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.maps.at(lo)
	if v == nil {
		return 0
	}
	n = min(n, v.hi-lo)
	for i := range n >> 12 {
		if v.file != nil {
			there[i] = 1
		}
	}
	s.walk(lo, lo+n, func(va uintptr, e *uint64) {
		size := uintptr(pageSize)
		if *e&pteHuge != 0 {
			size = hugeSize
		}
		for at := max(va, lo); at < min(va+size, lo+n); at += pageSize {
			there[(at-lo)>>12] = 1
		}
	})
	return n
}

func sysMsync(t *Thread, a *Args) (uintptr, Errno) {
	const async, invalidate, sync = 1, 2, 4
	addr, n, flags := a.Arg1(), pageUp(a.Arg2()), a.Arg3()
	switch {
	case flags&^(async|invalidate|sync) != 0, addr&pageMask != 0, flags&(async|sync) == async|sync:
		return 0, EINVAL
	case addr+n < addr:
		return 0, ENOMEM
	case n == 0:
		return 0, 0
	}
	s := t.space
	if flags&sync != 0 {
		if err := s.syncMapped(t, addr, addr+n); err != 0 {
			return 0, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if flags&invalidate != 0 {
		for i := s.maps.find(addr); i < len(s.maps.v) && s.maps.v[i].lo < addr+n; i++ {
			if s.maps.v[i].flags&vmaLocked != 0 {
				return 0, EBUSY
			}
		}
	}
	if !s.maps.covered(addr, addr+n) {
		return 0, ENOMEM
	}
	return 0, 0 // shared mappings of files are the file
}

func sysMlock(t *Thread, a *Args) (uintptr, Errno) {
	return 0, t.lockPages(a.Arg1(), a.Arg2(), true, true)
}

func sysMlock2(t *Thread, a *Args) (uintptr, Errno) {
	const onFault = 1
	if a.Arg3()&^onFault != 0 {
		return 0, EINVAL
	}
	return 0, t.lockPages(a.Arg1(), a.Arg2(), true, a.Arg3() == 0)
}

func sysMunlock(t *Thread, a *Args) (uintptr, Errno) {
	return 0, t.lockPages(a.Arg1(), a.Arg2(), false, false)
}

// lockedIn is how much of [lo, hi) is locked; s.mu is held.
func (s *Space) lockedIn(lo, hi uintptr) (n uintptr) {
	for _, v := range s.maps.v {
		if a, b := max(lo, v.lo), min(hi, v.hi); v.flags&vmaLocked != 0 && a < b {
			n += b - a
		}
	}
	return n
}

// mayLock says whether t may lock anything (can_do_mlock).
func (t *Thread) mayLock() Errno {
	if t.proc.limit(rlimitMemlock) == 0 && !t.can(capIPCLock) {
		return EPERM
	}
	return 0
}

// lockFits says whether t may lock n bytes more; space.mu is held.
func (t *Thread) lockFits(n uintptr) bool {
	limit := t.proc.limit(rlimitMemlock) &^ pageMask
	return limit == unlimited&^pageMask || uint64(t.space.lockedIn(0, userTop)+n) <= limit || t.can(capIPCLock)
}

// lockPages marks mappings as locked or not. No page ever leaves memory, so
// that is all, but for bringing them in.
func (t *Thread) lockPages(addr, n uintptr, on, bringIn bool) Errno {
	s := t.space
	if on {
		if err := t.mayLock(); err != 0 {
			return err
		}
	}
	lo := addr &^ pageMask
	hi := pageUp(addr + n)
	if hi < lo {
		return EINVAL
	}
	s.mu.Lock()
	if on && !t.lockFits(hi-lo-s.lockedIn(lo, hi)) {
		s.mu.Unlock()
		return ENOMEM
	}
	err := Errno(0)
	for at := lo; at < hi; { // up to the first hole
		v := s.maps.at(at)
		if v == nil {
			err = ENOMEM
			break
		}
		end := min(v.hi, hi)
		s.setFlag(at, end, vmaLocked, on)
		at = end
	}
	s.mu.Unlock()
	if err == 0 && bringIn {
		err = s.populate(lo, hi)
		if err == EFAULT { // rights that do not allow it, or a file's end
			err = ENOMEM
		}
	}
	return err
}

func sysMlockall(t *Thread, a *Args) (uintptr, Errno) {
	const current, future, onFault = 1, 2, 4
	flags := a.Arg1()
	if flags == 0 || flags&^(current|future|onFault) != 0 || flags == onFault {
		return 0, EINVAL
	}
	if err := t.mayLock(); err != 0 {
		return 0, err
	}
	s := t.space
	s.mu.Lock()
	if flags&current != 0 && !t.lockFits(s.size-s.lockedIn(0, userTop)) {
		s.mu.Unlock()
		return 0, ENOMEM
	}
	s.lockFuture = flags&future != 0
	if flags&current != 0 {
		for _, v := range s.maps.v {
			v.flags |= vmaLocked
		}
	}
	s.mu.Unlock()
	if flags&(current|onFault) == current {
		for lo := uintptr(0); ; {
			s.mu.Lock()
			i := s.maps.find(lo)
			if i == len(s.maps.v) {
				s.mu.Unlock()
				break
			}
			v := *s.maps.v[i]
			s.mu.Unlock()
			if v.prot != 0 {
				s.populate(v.lo, v.hi)
			}
			lo = v.hi
		}
	}
	return 0, 0
}

func sysMunlockall(t *Thread, a *Args) (uintptr, Errno) {
	s := t.space
	s.mu.Lock()
	s.lockFuture = false
	for _, v := range s.maps.v {
		v.flags &^= vmaLocked
	}
	s.maps.join(0, len(s.maps.v)-1)
	s.mu.Unlock()
	return 0, 0
}

// membarrier(2).
const (
	membarrierQuery                    = 0
	membarrierGlobal                   = 1
	membarrierGlobalExpedited          = 2
	membarrierRegisterGlobalExpedited  = 4
	membarrierPrivateExpedited         = 8
	membarrierRegisterPrivateExpedited = 16
	membarrierAll                      = 31
)

func sysMembarrier(t *Thread, a *Args) (uintptr, Errno) {
	if a.Arg2() != 0 {
		return 0, EINVAL
	}
	s := t.space
	switch int32(a.Arg1()) {
	case membarrierQuery:
		return membarrierAll, 0
	case membarrierRegisterGlobalExpedited:
		return 0, 0
	case membarrierRegisterPrivateExpedited:
		s.mu.Lock()
		s.barriers = true
		s.mu.Unlock()
		return 0, 0
	case membarrierPrivateExpedited:
		s.mu.Lock()
		registered := s.barriers
		s.mu.Unlock()
		if !registered {
			return 0, EPERM
		}
	case membarrierGlobal, membarrierGlobalExpedited:
	default:
		return 0, EINVAL
	}
	// A flush makes every CPU that runs something answer an interrupt.
	metal.Flush(0, pageSize)
	return 0, 0
}

// Protection keys: x86-64 machines without the feature have none to give out.

func sysPkeyAlloc(t *Thread, a *Args) (uintptr, Errno) {
	if a.Arg1() != 0 || a.Arg2()&^3 != 0 {
		return 0, EINVAL
	}
	return 0, EINVAL
}

func sysPkeyFree(t *Thread, a *Args) (uintptr, Errno) { return 0, EINVAL }

func sysPkeyMprotect(t *Thread, a *Args) (uintptr, Errno) {
	if int32(a.Arg4()) != -1 {
		return 0, EINVAL
	}
	return sysMprotect(t, a)
}
