package linux

import (
	"gosv/kernel/fs"
	"gosv/kernel/metal"
	"gosv/kernel/mm"
)

// Flags of mmap(2).
const (
	mapShared         = 0x1
	mapPrivate        = 0x2
	mapSharedValidate = 0x3
	mapTypeMask       = 0xf
	mapFixed          = mm.MapFixed
	mapAnonymous      = 0x20
	map32Bit          = mm.Map32Bit
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
	mapFixedNoReplace = mm.MapFixedNoReplace
	mapHugeSize       = 0x7c000000 // logarithm of a huge page's size

	// What MAP_SHARED_VALIDATE accepts (LEGACY_MAP_MASK).
	mapKnown = mapTypeMask | mapFixed | mapAnonymous | map32Bit | mapGrowsDown | mapDenyWrite | mapExecutable |
		mapLocked | mapNoReserve | mapPopulate | mapNonblock | mapStack | mapHugeTLB | mapFixedNoReplace | mapHugeSize

	protSem = 8 // accepted and without effect
	protRWX = mm.Read | mm.Write | mm.Exec
)

func sysMmap(t *Thread, a *Args) (uintptr, Errno) {
	addr, n, flags, off := a.Arg1(), a.Arg2(), a.Arg4(), a.Arg6()
	if off&pageMask != 0 {
		return 0, EINVAL
	}
	// What is wrong is told in the order in which Linux looks.
	v := mm.VMA{Prot: uint8(a.Arg3() & protRWX)}
	var file mm.Backing // nil for the like of /dev/zero
	var canRead, canWrite bool
	var noDevice Errno
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
	if n = mm.PageUp(n); n == 0 || n > userTop {
		return 0, ENOMEM
	}
	s := t.space
	if v.Prot&mm.Read != 0 && t.proc.readsExecute() {
		v.Prot |= mm.Exec
	}
	if flags&mapLocked != 0 {
		if err := t.mayLock(); err != 0 {
			return 0, err
		}
	}
	if err := s.Check(addr, n, flags); err != 0 {
		return 0, err
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
			if v.Prot&mm.Write != 0 && !canWrite || !canRead {
				return 0, EACCES
			}
			if p, ok := file.(*inodePages); ok && p.memfd.sealed(sealWrite|sealFutureWrite) {
				if v.Prot&mm.Write != 0 {
					return 0, EPERM
				}
				canWrite = false
			}
			if canWrite {
				v.Flags |= mm.MayWrite
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
		v.File, v.Off = file, int64(off)
	} else {
		switch flags & mapTypeMask {
		case mapShared:
			if flags&mapGrowsDown != 0 {
				return 0, EINVAL
			}
			v.Flags |= mm.MayWrite
		case mapPrivate:
		default:
			return 0, EINVAL
		}
	}
	if flags&mapTypeMask != mapPrivate {
		if v.Flags |= mm.Shared; v.File == nil { // memory that is shared is a file, too
			file, err := t.proc.kernel.sharedMemory(&v, n)
			if err != 0 {
				return 0, err
			}
			defer file.Release()
			v.File, v.Off = file, 0
		}
	}
	if flags&mapGrowsDown != 0 {
		v.Flags |= mm.GrowsDown
	}
	if flags&mapNoReserve != 0 {
		v.Flags |= mm.NoReserve
	}
	if flags&mapLocked != 0 {
		v.Flags |= mm.Locked
	}
	if err := s.Map(&v, addr, n, flags, t); err != 0 {
		return 0, err
	}
	if v.Flags&mm.Locked != 0 || flags&(mapPopulate|mapNonblock) == mapPopulate {
		s.Populate(v.Lo, v.Hi)
	}
	return v.Lo, 0
}

// sharedMemory returns a file without a name for n bytes of anonymous memory that
// v shares.
func (k *Kernel) sharedMemory(v *mm.VMA, n uintptr) (mm.Backing, Errno) {
	if v.Overcommits(n) {
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

func sysMunmap(t *Thread, a *Args) (uintptr, Errno) {
	addr, n := a.Arg1(), a.Arg2()
	if addr&pageMask != 0 || n == 0 || !userRange(addr, n) {
		return 0, EINVAL
	}
	return 0, t.space.Unmap(addr, addr+mm.PageUp(n))
}

func sysMprotect(t *Thread, a *Args) (uintptr, Errno) {
	addr, n, prot := a.Arg1(), a.Arg2(), a.Arg3()
	if prot&(mm.ProtGrowsDown|mm.ProtGrowsUp) == mm.ProtGrowsDown|mm.ProtGrowsUp || addr&pageMask != 0 {
		return 0, EINVAL
	}
	if n == 0 {
		return 0, 0
	}
	if n = mm.PageUp(n); n == 0 || addr+n < addr {
		return 0, ENOMEM
	}
	if prot&^(protRWX|protSem|mm.ProtGrowsDown|mm.ProtGrowsUp) != 0 {
		return 0, EINVAL
	}
	if prot&mm.Read != 0 && t.proc.readsExecute() {
		prot |= mm.Exec
	}
	return 0, t.space.Protect(addr, addr+n, prot)
}

func sysBrk(t *Thread, a *Args) (uintptr, Errno) {
	prot := uint8(mm.Read | mm.Write)
	if t.proc.readsExecute() {
		prot |= mm.Exec
	}
	return t.space.Break(a.Arg1(), uintptr(t.proc.limit(rlimitData)), prot, t), 0
}

func sysMremap(t *Thread, a *Args) (uintptr, Errno) {
	addr, flags, to := a.Arg1(), a.Arg4(), a.Arg5()
	oldN, n := mm.PageUp(a.Arg2()), mm.PageUp(a.Arg3())
	switch {
	case flags&^(mm.RemapMayMove|mm.RemapFixed|mm.RemapDontUnmap) != 0,
		flags&(mm.RemapFixed|mm.RemapDontUnmap) != 0 && flags&mm.RemapMayMove == 0,
		flags&mm.RemapDontUnmap != 0 && oldN != n,
		addr&pageMask != 0, n == 0:
		return 0, EINVAL
	case n > userTop:
		return 0, ENOMEM
	}
	if flags&(mm.RemapFixed|mm.RemapDontUnmap) != 0 && (to&pageMask != 0 || to > userTop-n || to < addr+oldN && addr < to+n) {
		return 0, EINVAL
	}
	return t.space.Remap(addr, oldN, n, flags, to, t)
}

func sysMadvise(t *Thread, a *Args) (uintptr, Errno) {
	return 0, t.space.Advise(a.Arg1(), a.Arg2(), int32(a.Arg3()))
}

func sysMincore(t *Thread, a *Args) (uintptr, Errno) {
	addr, n := a.Arg1(), mm.PageUp(a.Arg2())
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
		chunk := t.space.Residency(addr+done, min(n-done, uintptr(len(there))*pageSize), &there)
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

func sysMsync(t *Thread, a *Args) (uintptr, Errno) {
	const async, invalidate, sync = 1, 2, 4
	addr, n, flags := a.Arg1(), mm.PageUp(a.Arg2()), a.Arg3()
	switch {
	case flags&^(async|invalidate|sync) != 0, addr&pageMask != 0, flags&(async|sync) == async|sync:
		return 0, EINVAL
	case addr+n < addr:
		return 0, ENOMEM
	case n == 0:
		return 0, 0
	}
	if flags&sync != 0 {
		if err := t.syncMapped(addr, addr+n); err != 0 {
			return 0, err
		}
	}
	return 0, t.space.Synced(addr, addr+n, flags&invalidate != 0) // shared mappings of files are the file
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

// mayLock says whether t may lock anything (can_do_mlock).
func (t *Thread) mayLock() Errno {
	if t.proc.limit(rlimitMemlock) == 0 && !t.can(capIPCLock) {
		return EPERM
	}
	return 0
}

// LockLimit implements mm.Locker.
func (t *Thread) LockLimit() uintptr {
	limit := t.proc.limit(rlimitMemlock)
	if limit == unlimited || t.can(capIPCLock) {
		return mm.Unlimited
	}
	return uintptr(limit) &^ pageMask
}

// lockPages marks mappings as locked or not, and brings their pages in.
func (t *Thread) lockPages(addr, n uintptr, on, bringIn bool) Errno {
	if on {
		if err := t.mayLock(); err != 0 {
			return err
		}
	}
	lo := addr &^ pageMask
	hi := mm.PageUp(addr + n)
	if hi < lo {
		return EINVAL
	}
	err := t.space.Lock(lo, hi, on, t)
	if err == 0 && bringIn {
		err = t.space.Populate(lo, hi)
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
	if err := t.space.LockAll(flags&current != 0, flags&future != 0, t); err != 0 {
		return 0, err
	}
	if flags&(current|onFault) == current {
		for v, ok := t.space.Next(0, userTop); ok; v, ok = t.space.Next(v.Hi, userTop) {
			if v.Prot != 0 {
				t.space.Populate(v.Lo, v.Hi)
			}
			if v.File != nil {
				v.File.Release()
			}
		}
	}
	return 0, 0
}

func sysMunlockall(t *Thread, a *Args) (uintptr, Errno) {
	return 0, t.space.LockAll(false, false, t)
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
	switch int32(a.Arg1()) {
	case membarrierQuery:
		return membarrierAll, 0
	case membarrierRegisterGlobalExpedited:
		return 0, 0
	case membarrierRegisterPrivateExpedited:
		t.proc.barriers.Store(true)
		return 0, 0
	case membarrierPrivateExpedited:
		if !t.proc.barriers.Load() {
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
