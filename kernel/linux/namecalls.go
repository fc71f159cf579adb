package linux

import "gosv/kernel/fs"

// The calls that make, move and remove names, and those that change what an
// inode says of itself.

func (t *Thread) makeNode(dirfd, addr uintptr, n fs.New) (uintptr, Errno) {
	at, path, err := t.path(dirfd, addr, 0)
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
	return t.link(a.Arg1(), a.Arg2(), a.Arg3(), a.Arg4(), a.Int5())
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
	at, path, err := t.path(tofd, to, 0)
	if err != 0 {
		return 0, err
	}
	return 0, at.Link(p, path)
}

func sysUnlink(t *Thread, a *Args) (uintptr, Errno) { return t.unlink(cwdFD, a.Arg1(), 0) }
func sysRmdir(t *Thread, a *Args) (uintptr, Errno)  { return t.unlink(cwdFD, a.Arg1(), atRemoveDir) }
func sysUnlinkat(t *Thread, a *Args) (uintptr, Errno) {
	return t.unlink(a.Arg1(), a.Arg2(), a.Int3())
}

func (t *Thread) unlink(dirfd, addr, flags uintptr) (uintptr, Errno) {
	if flags&^atRemoveDir != 0 {
		return 0, EINVAL
	}
	at, path, err := t.path(dirfd, addr, 0)
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
	return t.rename(a.Arg1(), a.Arg2(), a.Arg3(), a.Arg4(), a.Int5())
}

func (t *Thread) rename(fromfd, from, tofd, to, flags uintptr) (uintptr, Errno) {
	if flags&^(fs.NoReplace|fs.Exchange|fs.Whiteout) != 0 || flags&fs.Exchange != 0 && flags != fs.Exchange {
		return 0, EINVAL
	}
	src, srcPath, err := t.path(fromfd, from, 0)
	if err != 0 {
		return 0, err
	}
	dst, dstPath, err := t.path(tofd, to, 0)
	dst.Err = err
	return 0, src.Rename(srcPath, &dst, dstPath, uint32(flags))
}

// withInode calls f with the inode that a path, or dirfd itself, stands for, and
// tells who watches it that event happened.
func (t *Thread) withInode(dirfd, path, flags uintptr, event uint32, f func(c *fs.Caller, n fs.Inode) Errno) (uintptr, Errno) {
	p, file, err := t.place(dirfd, path, flags)
	if file != nil {
		defer file.Release()
	}
	if err != 0 {
		return 0, err
	}
	if p.Inode == nil {
		return 0, t.changeOpen(file, event, f)
	}
	if err := f(&t.proc.files.caller, p.Inode); err != 0 {
		return 0, err
	}
	t.proc.kernel.inotify.happened(&p, event)
	return 0, 0
}

// withOpenInode is withInode for an open file.
func (t *Thread) withOpenInode(fd uintptr, event uint32, f func(c *fs.Caller, n fs.Inode) Errno) (uintptr, Errno) {
	file, err := t.ioFile(fd)
	if err != 0 {
		return 0, err
	}
	defer file.Release()
	return 0, t.changeOpen(file, event, f)
}

func (t *Thread) changeOpen(file *File, event uint32, f func(c *fs.Caller, n fs.Inode) Errno) Errno {
	n := file.inode()
	if n == nil {
		return 0 // nothing that would remember it
	}
	if err := f(&t.proc.files.caller, n); err != 0 {
		return err
	}
	file.tell(event)
	return 0
}

func chmodTo(mode uintptr) func(c *fs.Caller, n fs.Inode) Errno {
	return func(c *fs.Caller, n fs.Inode) Errno { return c.Chmod(n, uint32(mode)&fs.PermMask) }
}

func sysChmod(t *Thread, a *Args) (uintptr, Errno) {
	return t.withInode(cwdFD, a.Arg1(), 0, inAttrib, chmodTo(a.Arg2()))
}
func sysFchmod(t *Thread, a *Args) (uintptr, Errno) {
	return t.withOpenInode(a.Arg1(), inAttrib, chmodTo(a.Arg2()))
}
func sysFchmodat(t *Thread, a *Args) (uintptr, Errno) {
	return t.withInode(a.Arg1(), a.Arg2(), 0, inAttrib, chmodTo(a.Arg3()))
}
func sysFchmodat2(t *Thread, a *Args) (uintptr, Errno) {
	if a.Arg4()&^(atSymlinkNofollow|atEmptyPath) != 0 {
		return 0, EINVAL
	}
	return t.withInode(a.Arg1(), a.Arg2(), a.Arg4(), inAttrib, chmodTo(a.Arg3()))
}

func chownTo(uid, gid uintptr) (event uint32, f func(c *fs.Caller, n fs.Inode) Errno) {
	if uint32(uid) != noID || uint32(gid) != noID {
		event = inAttrib
	}
	return event, func(c *fs.Caller, n fs.Inode) Errno { return c.Chown(n, uint32(uid), uint32(gid)) }
}

func (t *Thread) chown(dirfd, path, flags, uid, gid uintptr) (uintptr, Errno) {
	event, change := chownTo(uid, gid)
	return t.withInode(dirfd, path, flags, event, change)
}

func sysChown(t *Thread, a *Args) (uintptr, Errno) {
	return t.chown(cwdFD, a.Arg1(), 0, a.Arg2(), a.Arg3())
}
func sysLchown(t *Thread, a *Args) (uintptr, Errno) {
	return t.chown(cwdFD, a.Arg1(), atSymlinkNofollow, a.Arg2(), a.Arg3())
}
func sysFchown(t *Thread, a *Args) (uintptr, Errno) {
	event, change := chownTo(a.Arg2(), a.Arg3())
	return t.withOpenInode(a.Arg1(), event, change)
}
func sysFchownat(t *Thread, a *Args) (uintptr, Errno) {
	if a.Int5()&^(atSymlinkNofollow|atEmptyPath) != 0 {
		return 0, EINVAL
	}
	return t.chown(a.Arg1(), a.Arg2(), a.Int5(), a.Arg3(), a.Arg4())
}

func sysTruncate(t *Thread, a *Args) (uintptr, Errno) {
	size := int64(a.Arg2())
	if size < 0 {
		return 0, EINVAL
	}
	return t.withInode(cwdFD, a.Arg1(), 0, inModify, func(c *fs.Caller, n fs.Inode) Errno {
		return t.resize(size, nil, n, func(size int64) Errno { return c.Truncate(n, size) })
	})
}

func sysFtruncate(t *Thread, a *Args) (uintptr, Errno) {
	size := int64(a.Arg2())
	if size < 0 {
		return 0, EINVAL
	}
	f, err := t.ioFile(a.Arg1())
	if err != 0 {
		return 0, err
	}
	defer f.Release()
	o, ok := f.regular()
	if !ok || !f.canWrite() {
		return 0, EINVAL
	}
	event := uint32(inModify)
	if t.proc.files.caller.Written(o.inode) {
		event |= inAttrib
	}
	if err := t.resize(size, o.memfd, o.inode, o.inode.Truncate); err != 0 {
		return 0, err
	}
	f.tell(event)
	return 0, 0
}

// regular returns f's object if it is a regular file.
func (f *File) regular() (*inodeFile, bool) {
	o, ok := f.io.(*inodeFile)
	return o, ok && fs.IsRegular(o.inode.Mode())
}

func sysFallocate(t *Thread, a *Args) (uintptr, Errno) {
	mode, off, n := uint32(a.Arg2()), int64(a.Arg3()), int64(a.Arg4())
	f, err := t.ioFile(a.Arg1())
	if err != 0 {
		return 0, err
	}
	defer f.Release()
	const collapse, zero, insert, unshare = 0x08, 0x10, 0x20, 0x40
	known := false
	switch kind, keeps := mode&^fs.KeepSize, mode&fs.KeepSize != 0; kind {
	case 0, zero:
		known = true
	case fs.PunchHole:
		known = keeps
	case collapse, insert, unshare:
		known = !keeps
	}
	switch {
	case off < 0 || n <= 0:
		return 0, EINVAL
	case !known:
		return 0, EOPNOTSUPP
	case !f.canWrite():
		return 0, EBADF
	}
	if d := f.disk(); d != nil {
		return 0, d.allocate(t, mode, off, n)
	}
	o, ok := f.regular()
	if !ok {
		if f.io.attr().Mode&fs.TypeMask == fs.FIFO {
			return 0, ESPIPE
		}
		return 0, ENODEV // a directory cannot be open for writing
	}
	size := o.inode.Attr().Size
	switch {
	case off+n < 0:
		return 0, EFBIG
	case mode&^(fs.KeepSize|fs.PunchHole) != 0:
		return 0, EOPNOTSUPP
	case mode&fs.PunchHole != 0:
		if err := o.memfd.mayWrite(); err != 0 {
			return 0, err
		}
	case off+n > size && uint64(off+n) > t.proc.limit(rlimitFsize):
		return 0, t.tooLarge()
	default:
		if err := o.memfd.mayResize(0, max(off+n-size, 0)); err != 0 {
			return 0, err
		}
	}
	t.proc.files.caller.Written(o.inode)
	if err := o.inode.Allocate(mode, off, n); err != 0 {
		return 0, err
	}
	f.tell(inModify)
	return 0, 0
}

// Values of a nanosecond field in utimensat(2).
const (
	utimeNow  = 1<<30 - 1
	utimeOmit = 1<<30 - 2
)

// setTimes returns what sets the access and modification times as utimensat(2) gives
// them, where nil means now, and which event that is. It returns nil if both stay,
// whatever the file.
func (t *Thread) setTimes(ts *[2]timespec) (set func(c *fs.Caller, n fs.Inode) Errno, event uint32) {
	present := FileTime()
	ch := fs.Change{Set: fs.SetAtime | fs.SetMtime, Atime: present, Mtime: present}
	isNow, valid := true, true
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
				valid = false
			default:
				*at = fs.Time{Sec: s.sec, Nsec: uint32(s.nsec)}
				isNow = false
			}
		}
	}
	switch ch.Set {
	case 0:
		return nil, 0
	case fs.SetAtime:
		event = inAccess
	case fs.SetMtime:
		event = inModify
	default:
		event = inAttrib
	}
	return func(c *fs.Caller, n fs.Inode) Errno {
		if !valid {
			return EINVAL
		}
		return c.SetTimes(n, ch, isNow)
	}, event
}

func sysUtimensat(t *Thread, a *Args) (uintptr, Errno) {
	var ts *[2]timespec
	if p := a.Arg3(); p != 0 {
		ts = new([2]timespec)
		if err := copyIn(t, ts, p); err != 0 {
			return 0, err
		}
	}
	return t.setTimesOf(a.Arg1(), a.Arg2(), a.Int4(), ts)
}

// setTimesOf sets the times of a path, or without one of an open file.
func (t *Thread) setTimesOf(dirfd, path, flags uintptr, ts *[2]timespec) (uintptr, Errno) {
	set, event := t.setTimes(ts)
	switch {
	case set == nil:
		return 0, 0
	case path == 0 && int32(dirfd) != atFDCWD: // futimens
		if flags != 0 {
			return 0, EINVAL
		}
		return t.withOpenInode(dirfd, event, set)
	case flags&^(atSymlinkNofollow|atEmptyPath) != 0:
		return 0, EINVAL
	}
	return t.withInode(dirfd, path, flags, event, set)
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
	return t.setTimesOf(dirfd, path, 0, ts)
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
	return t.setTimesOf(cwdFD, a.Arg1(), 0, ts)
}
