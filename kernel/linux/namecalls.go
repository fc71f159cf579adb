package linux

import "gosv/kernel/fs"

// The calls that make, move and remove names, and those that change what an
// inode says of itself.

func (t *Thread) makeNode(dirfd, addr uintptr, n fs.New) (uintptr, Errno) {
	at, path, err := t.path(dirfd, addr)
	if err != 0 {
		return 0, err
	}
	return 0, at.Make(path, n)
}

func sysMkdir(t *Thread, a *Args) (uintptr, Errno) { return t.mkdir(cwdFD, a.Arg1(), a.Arg2()) }
func sysMkdirat(t *Thread, a *Args) (uintptr, Errno) {
	return t.mkdir(a.Arg1(), a.Arg2(), a.Arg3())
}

func (t *Thread) mkdir(dirfd, addr, mode uintptr) (uintptr, Errno) {
	return t.makeNode(dirfd, addr, fs.New{Mode: fs.Directory | uint32(mode)&(0o777|fs.Sticky)&^t.umask()})
}

func sysMknod(t *Thread, a *Args) (uintptr, Errno) {
	return t.mknod(cwdFD, a.Arg1(), uint32(a.Arg2()), a.Arg3())
}
func sysMknodat(t *Thread, a *Args) (uintptr, Errno) {
	return t.mknod(a.Arg1(), a.Arg2(), uint32(a.Arg3()), a.Arg4())
}

func (t *Thread) mknod(dirfd, addr uintptr, mode uint32, dev uintptr) (uintptr, Errno) {
	switch mode & fs.TypeMask {
	case 0:
		mode |= fs.Regular
	case fs.Regular, fs.Char, fs.Block, fs.FIFO, fs.Socket:
	case fs.Directory:
		return 0, EPERM
	default:
		return 0, EINVAL
	}
	return t.makeNode(dirfd, addr, fs.New{Mode: mode&fs.TypeMask | mode&fs.PermMask&^t.umask(), Rdev: uint32(dev)})
}

func sysSymlink(t *Thread, a *Args) (uintptr, Errno) {
	return t.symlink(a.Arg1(), cwdFD, a.Arg2())
}
func sysSymlinkat(t *Thread, a *Args) (uintptr, Errno) {
	return t.symlink(a.Arg1(), a.Arg2(), a.Arg3())
}

func (t *Thread) symlink(target, dirfd, addr uintptr) (uintptr, Errno) {
	to, err := t.copyInPath(target)
	if err != 0 {
		return 0, err
	}
	if to == "" {
		return 0, ENOENT
	}
	return t.makeNode(dirfd, addr, fs.New{Mode: fs.Symlink | 0o777, Target: to})
}

func sysLink(t *Thread, a *Args) (uintptr, Errno) {
	return t.link(cwdFD, a.Arg1(), cwdFD, a.Arg2(), 0)
}
func sysLinkat(t *Thread, a *Args) (uintptr, Errno) {
	return t.link(a.Arg1(), a.Arg2(), a.Arg3(), a.Arg4(), a.Arg5())
}

func (t *Thread) link(fromfd, from, tofd, to, flags uintptr) (uintptr, Errno) {
	if flags&^(atSymlinkFollow|atEmptyPath) != 0 {
		return 0, EINVAL
	}
	if flags&atSymlinkFollow == 0 {
		flags |= atSymlinkNofollow
	}
	p, f, err := t.place(fromfd, from, flags)
	if f != nil {
		defer f.Release()
	}
	if err != 0 {
		return 0, err
	}
	if p.Inode == nil {
		return 0, EXDEV
	}
	at, path, err := t.path(tofd, to)
	if err != 0 {
		return 0, err
	}
	return 0, at.Link(p, path)
}

func sysUnlink(t *Thread, a *Args) (uintptr, Errno) { return t.unlink(cwdFD, a.Arg1(), 0) }
func sysRmdir(t *Thread, a *Args) (uintptr, Errno)  { return t.unlink(cwdFD, a.Arg1(), atRemoveDir) }
func sysUnlinkat(t *Thread, a *Args) (uintptr, Errno) {
	return t.unlink(a.Arg1(), a.Arg2(), a.Arg3())
}

func (t *Thread) unlink(dirfd, addr, flags uintptr) (uintptr, Errno) {
	if flags&^atRemoveDir != 0 {
		return 0, EINVAL
	}
	at, path, err := t.path(dirfd, addr)
	if err != 0 {
		return 0, err
	}
	if flags != 0 {
		return 0, at.Rmdir(path)
	}
	return 0, at.Unlink(path)
}

func sysRename(t *Thread, a *Args) (uintptr, Errno) {
	return t.rename(cwdFD, a.Arg1(), cwdFD, a.Arg2(), 0)
}
func sysRenameat(t *Thread, a *Args) (uintptr, Errno) {
	return t.rename(a.Arg1(), a.Arg2(), a.Arg3(), a.Arg4(), 0)
}
func sysRenameat2(t *Thread, a *Args) (uintptr, Errno) {
	return t.rename(a.Arg1(), a.Arg2(), a.Arg3(), a.Arg4(), a.Arg5())
}

func (t *Thread) rename(fromfd, from, tofd, to, flags uintptr) (uintptr, Errno) {
	if flags&^(fs.NoReplace|fs.Exchange) != 0 || flags == fs.NoReplace|fs.Exchange {
		return 0, EINVAL
	}
	src, srcPath, err := t.path(fromfd, from)
	if err != 0 {
		return 0, err
	}
	dst, dstPath, err := t.path(tofd, to)
	if err != 0 {
		return 0, err
	}
	return 0, src.Rename(srcPath, &dst, dstPath, uint32(flags))
}

// withInode calls f with the inode that a path, or dirfd itself, stands for.
func (t *Thread) withInode(dirfd, path, flags uintptr, f func(c *fs.Caller, n fs.Inode) Errno) (uintptr, Errno) {
	p, file, err := t.place(dirfd, path, flags)
	if file != nil {
		defer file.Release()
	}
	if err != 0 {
		return 0, err
	}
	if p.Inode == nil {
		return 0, 0 // what has no place has nothing that would remember it
	}
	return 0, f(&t.proc.files.caller, p.Inode)
}

// withOpenInode is withInode for an open file.
func (t *Thread) withOpenInode(fd uintptr, f func(c *fs.Caller, n fs.Inode) Errno) (uintptr, Errno) {
	file, err := t.ioFile(fd)
	if err != 0 {
		return 0, err
	}
	defer file.Release()
	if file.place.Inode == nil {
		return 0, 0
	}
	return 0, f(&t.proc.files.caller, file.place.Inode)
}

func chmodTo(mode uintptr) func(c *fs.Caller, n fs.Inode) Errno {
	return func(c *fs.Caller, n fs.Inode) Errno { return c.Chmod(n, uint32(mode)&fs.PermMask) }
}

func sysChmod(t *Thread, a *Args) (uintptr, Errno) {
	return t.withInode(cwdFD, a.Arg1(), 0, chmodTo(a.Arg2()))
}
func sysFchmod(t *Thread, a *Args) (uintptr, Errno) {
	return t.withOpenInode(a.Arg1(), chmodTo(a.Arg2()))
}
func sysFchmodat(t *Thread, a *Args) (uintptr, Errno) {
	return t.withInode(a.Arg1(), a.Arg2(), 0, chmodTo(a.Arg3()))
}

func chownTo(uid, gid uintptr) func(c *fs.Caller, n fs.Inode) Errno {
	return func(c *fs.Caller, n fs.Inode) Errno { return c.Chown(n, uint32(uid), uint32(gid)) }
}

func sysChown(t *Thread, a *Args) (uintptr, Errno) {
	return t.withInode(cwdFD, a.Arg1(), 0, chownTo(a.Arg2(), a.Arg3()))
}
func sysLchown(t *Thread, a *Args) (uintptr, Errno) {
	return t.withInode(cwdFD, a.Arg1(), atSymlinkNofollow, chownTo(a.Arg2(), a.Arg3()))
}
func sysFchown(t *Thread, a *Args) (uintptr, Errno) {
	return t.withOpenInode(a.Arg1(), chownTo(a.Arg2(), a.Arg3()))
}
func sysFchownat(t *Thread, a *Args) (uintptr, Errno) {
	if a.Arg5()&^(atSymlinkNofollow|atEmptyPath) != 0 {
		return 0, EINVAL
	}
	return t.withInode(a.Arg1(), a.Arg2(), a.Arg5(), chownTo(a.Arg3(), a.Arg4()))
}

func sysTruncate(t *Thread, a *Args) (uintptr, Errno) {
	size := int64(a.Arg2())
	if size < 0 {
		return 0, EINVAL
	}
	return t.withInode(cwdFD, a.Arg1(), 0, func(c *fs.Caller, n fs.Inode) Errno { return c.Truncate(n, size) })
}

func sysFtruncate(t *Thread, a *Args) (uintptr, Errno) {
	size := int64(a.Arg2())
	f, err := t.ioFile(a.Arg1())
	if err != 0 {
		return 0, err
	}
	defer f.Release()
	o, ok := f.regular()
	if size < 0 || !ok || !f.canWrite() {
		return 0, EINVAL
	}
	return 0, o.inode.Truncate(size)
}

// regular returns f's object if it is a regular file.
func (f *File) regular() (*inodeFile, bool) {
	switch o := f.io.(type) {
	case *inodeFile:
		return o, fs.IsRegular(o.inode.Mode())
	case *memoryFile:
		return &o.inodeFile, true
	}
	return nil, false
}

func sysFallocate(t *Thread, a *Args) (uintptr, Errno) {
	mode, off, n := uint32(a.Arg2()), int64(a.Arg3()), int64(a.Arg4())
	f, err := t.ioFile(a.Arg1())
	if err != 0 {
		return 0, err
	}
	defer f.Release()
	switch {
	case off < 0 || n <= 0:
		return 0, EINVAL
	case off+n < 0:
		return 0, EFBIG
	case mode != 0 && mode != fs.KeepSize && mode != fs.KeepSize|fs.PunchHole:
		return 0, EOPNOTSUPP
	case !f.canWrite():
		return 0, EBADF
	}
	o, ok := f.regular()
	if !ok {
		if d, isInode := f.io.(*inodeFile); isInode && fs.IsDir(d.inode.Mode()) {
			return 0, EISDIR
		}
		return 0, ESPIPE
	}
	return 0, o.inode.Allocate(mode, off, n)
}

// Values of a nanosecond field in utimensat(2).
const (
	utimeNow  = 1<<30 - 1
	utimeOmit = 1<<30 - 2
)

// setTimes sets the access and modification times as utimensat(2) gives them; nil means now.
func (t *Thread) setTimes(ts *[2]timespec) (func(c *fs.Caller, n fs.Inode) Errno, Errno) {
	present := FileTime()
	ch := fs.Change{Set: fs.SetAtime | fs.SetMtime, Atime: present, Mtime: present}
	isNow := true
	if ts != nil {
		for i, s := range ts {
			at, bit := &ch.Atime, uint32(fs.SetAtime)
			if i == 1 {
				at, bit = &ch.Mtime, fs.SetMtime
			}
			switch {
			case s.nsec == utimeNow:
			case s.nsec == utimeOmit:
				ch.Set &^= bit
				isNow = false
			case s.nsec < 0 || s.nsec >= 1e9:
				return nil, EINVAL
			default:
				*at = fs.Time{Sec: s.sec, Nsec: uint32(s.nsec)}
				isNow = false
			}
		}
	}
	return func(c *fs.Caller, n fs.Inode) Errno {
		if ch.Set == 0 {
			return 0
		}
		return c.SetTimes(n, ch, isNow)
	}, 0
}

func sysUtimensat(t *Thread, a *Args) (uintptr, Errno) {
	var ts *[2]timespec
	if p := a.Arg3(); p != 0 {
		ts = new([2]timespec)
		if err := copyIn(t, ts, p); err != 0 {
			return 0, err
		}
	}
	set, err := t.setTimes(ts)
	if err != 0 {
		return 0, err
	}
	if a.Arg2() == 0 { // futimens
		if int32(a.Arg1()) == atFDCWD {
			return 0, EFAULT
		}
		return t.withOpenInode(a.Arg1(), set)
	}
	if a.Arg4()&^(atSymlinkNofollow|atEmptyPath) != 0 {
		return 0, EINVAL
	}
	return t.withInode(a.Arg1(), a.Arg2(), a.Arg4(), set)
}

// utimes is the older calls, with times in microseconds.
func (t *Thread) utimes(dirfd, path, times uintptr) (uintptr, Errno) {
	var ts *[2]timespec
	if times != 0 {
		var tv [2]timeval
		if err := copyIn(t, &tv, times); err != 0 {
			return 0, err
		}
		ts = new([2]timespec)
		for i, v := range tv {
			if v.usec < 0 || v.usec >= 1e6 {
				return 0, EINVAL
			}
			ts[i] = timespec{v.sec, v.usec * 1000}
		}
	}
	set, err := t.setTimes(ts)
	if err != 0 {
		return 0, err
	}
	return t.withInode(dirfd, path, 0, set)
}

func sysUtimes(t *Thread, a *Args) (uintptr, Errno) { return t.utimes(cwdFD, a.Arg1(), a.Arg2()) }
func sysFutimesat(t *Thread, a *Args) (uintptr, Errno) {
	return t.utimes(a.Arg1(), a.Arg2(), a.Arg3())
}

func sysUtime(t *Thread, a *Args) (uintptr, Errno) {
	var ts *[2]timespec
	if p := a.Arg2(); p != 0 {
		var v [2]int64
		if err := copyIn(t, &v, p); err != 0 {
			return 0, err
		}
		ts = &[2]timespec{{v[0], 0}, {v[1], 0}}
	}
	set, err := t.setTimes(ts)
	if err != 0 {
		return 0, err
	}
	return t.withInode(cwdFD, a.Arg1(), 0, set)
}

// sysSync and its kin: everything is where it will ever be.
func sysSync(t *Thread, a *Args) (uintptr, Errno) { return 0, 0 }

func sysFsync(t *Thread, a *Args) (uintptr, Errno) {
	f, err := t.ioFile(a.Arg1())
	if err != 0 {
		return 0, err
	}
	defer f.Release()
	switch f.io.(type) {
	case *inodeFile, *memoryFile:
		return 0, 0
	}
	return 0, EINVAL
}

// Extended attributes: as on a file system without them.
func sysXattrPath(t *Thread, a *Args) (uintptr, Errno) {
	if _, _, err := t.place(cwdFD, a.Arg1(), 0); err != 0 {
		return 0, err
	}
	return 0, EOPNOTSUPP
}

func sysXattrFD(t *Thread, a *Args) (uintptr, Errno) {
	f, err := t.ioFile(a.Arg1())
	if err != 0 {
		return 0, err
	}
	f.Release()
	return 0, EOPNOTSUPP
}
