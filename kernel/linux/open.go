package linux

import "gosv/kernel/fs"

// atFDCWD stands for the working directory in the *at calls (AT_FDCWD).
const atFDCWD = -100

// Flags of the *at calls.
const (
	atSymlinkNofollow = 0x100
	atEaccess         = 0x200 // the same bit is AT_REMOVEDIR
	atRemoveDir       = 0x200
	atSymlinkFollow   = 0x400
	atNoAutomount     = 0x800
	atEmptyPath       = 0x1000
	atStatxSync       = 0x6000

	atMaybeNull = 1 << 32 // for placeFor: as an empty path NULL will do, too
)

// at returns from where, and for whom, a path that a call names is resolved.
func (t *Thread) at(dirfd uintptr, path string) (fs.At, Errno) {
	s := &t.proc.files
	s.mu.Lock()
	t.who = s.caller
	t.who.TID = t.tid
	at := fs.At{Caller: &t.who, Root: s.root, Base: s.cwd, Watcher: t.proc.kernel}
	s.mu.Unlock()
	if int32(dirfd) == atFDCWD || path != "" && path[0] == '/' {
		return at, 0
	}
	f, err := t.file(dirfd)
	if err != 0 {
		return at, err
	}
	at.Base = f.place
	f.Release()
	if at.Base.Inode == nil || path != "" && !fs.IsDir(at.Base.Inode.Mode()) {
		return at, ENOTDIR
	}
	return at, 0
}

// path copies a path in and returns from where it is resolved, which may be under
// flags of fs.At.
func (t *Thread) path(dirfd, addr uintptr, resolve uint32) (at fs.At, path string, err Errno) {
	if path, err = t.copyInPath(addr); err != 0 {
		return
	}
	if path == "" {
		return at, "", ENOENT
	}
	if resolve&fs.InRoot != 0 && path[0] == '/' { // which is dirfd
		path = "." + path
	}
	at, err = t.at(dirfd, path)
	return
}

// place is placeFor with t's usual permissions.
func (t *Thread) place(dirfd, addr, flags uintptr) (fs.Place, *File, Errno) {
	return t.placeFor(nil, dirfd, addr, flags)
}

// placeFor resolves a path for c; with atEmptyPath in flags an empty one means dirfd
// itself, which the file that is returned with a reference stands for.
func (t *Thread) placeFor(c *fs.Caller, dirfd, addr, flags uintptr) (fs.Place, *File, Errno) {
	path, err := t.copyInPath(addr)
	if err == EFAULT && addr == 0 && flags&(atEmptyPath|atMaybeNull) == atEmptyPath|atMaybeNull {
		err = 0
	}
	if err != 0 {
		return fs.Place{}, nil, err
	}
	if path == "" {
		if flags&atEmptyPath == 0 {
			return fs.Place{}, nil, ENOENT
		}
		if int32(dirfd) == atFDCWD {
			t.proc.files.mu.Lock()
			defer t.proc.files.mu.Unlock()
			return t.proc.files.cwd, nil, 0
		}
		f, err := t.file(dirfd)
		if err != 0 {
			return fs.Place{}, nil, err
		}
		return f.place, f, 0
	}
	at, err := t.at(dirfd, path)
	if err != 0 {
		return fs.Place{}, nil, err
	}
	if flags&atSymlinkNofollow != 0 {
		at.Flags |= fs.NoFollow
	}
	if c != nil {
		at.Caller = c
	}
	p, err := at.Lookup(path)
	return p, nil, err
}

func sysOpen(t *Thread, a *Args) (uintptr, Errno) {
	return t.open(ptr(^uintptr(99)), a.Arg1(), uint32(a.Arg2()), uint32(a.Arg3()), 0)
}

func sysCreat(t *Thread, a *Args) (uintptr, Errno) {
	return t.open(ptr(^uintptr(99)), a.Arg1(), oCreat|oWronly|oTrunc, uint32(a.Arg2()), 0)
}

func sysOpenat(t *Thread, a *Args) (uintptr, Errno) {
	return t.open(ptr(a.Arg1()), a.Arg2(), uint32(a.Arg3()), uint32(a.Arg4()), 0)
}

func sysOpenat2(t *Thread, a *Args) (uintptr, Errno) {
	var how struct{ flags, mode, resolve uint64 }
	const size = 24
	switch n := a.Arg4(); {
	case n < size:
		return 0, EINVAL
	case n > pageSize:
		return 0, E2BIG
	case n > size: // of a newer kernel: what we do not know must be zero
		rest := make([]byte, n-size)
		if err := t.CopyIn(rest, a.Arg3()+size); err != 0 {
			return 0, err
		}
		for _, b := range rest {
			if b != 0 {
				return 0, E2BIG
			}
		}
	}
	if err := copyIn(t, &how, a.Arg3()); err != 0 {
		return 0, err
	}
	const noXdev, noMagic, noSymlinks, beneath, inRoot, cached = 1, 2, 4, 8, 16, 32
	creates := how.flags&(oCreat|oTmpfile&^oDir) != 0
	switch {
	case how.flags&^oKnown != 0, how.resolve&^(noXdev|noMagic|noSymlinks|beneath|inRoot|cached) != 0,
		how.resolve&(beneath|inRoot) == beneath|inRoot, !creates && how.mode != 0, how.mode&^fs.PermMask != 0,
		how.flags&oPath != 0 && how.flags&^(oPath|oDir|oNofollow|oCloexec) != 0:
		return 0, EINVAL
	case how.resolve&cached != 0:
		return 0, EAGAIN // nothing is promised to be cached
	}
	flags := uint32(0)
	for _, m := range [...]struct {
		bit  uint64
		flag uint32
	}{{noXdev, fs.NoXDev}, {noMagic, fs.NoMagicLinks}, {noSymlinks, fs.NoSymlinks}, {beneath, fs.Beneath}, {inRoot, fs.InRoot}} {
		if how.resolve&m.bit != 0 {
			flags |= m.flag
		}
	}
	return t.open(ptr(a.Arg1()), a.Arg2(), uint32(how.flags), uint32(how.mode), flags)
}

// open is all of open(2)'s kin; resolve has flags of fs.At.
func (t *Thread) open(dirfd *uintptr, addr uintptr, flags, mode, resolve uint32) (uintptr, Errno) {
	if err := fs.ValidOpen(flags); err != 0 {
		return 0, err
	}
	at, path, err := t.path(*dirfd, addr, resolve)
	if full := t.proc.files.room(t.proc.limit(rlimitNofile)); full != 0 && err != ENOENT && err != EFAULT && err != ENAMETOOLONG {
		err = full // before anything is made
	}
	if err != 0 {
		return 0, err
	}
	at.Flags |= resolve
	p, err := at.Open(path, flags, mode&fs.PermMask&^t.umask())
	if err != 0 {
		return 0, err
	}
	f, err := t.openPlace(p, flags)
	if err != 0 {
		return 0, err
	}
	if flags&oPath == 0 {
		f.inotify = &t.proc.kernel.inotify
		f.tell(inOpen)
		if at.Emptied {
			f.tell(inModify)
		}
	}
	return t.install(f, 0, flags&oCloexec != 0)
}

// openPlace returns a file description of what was found.
func (t *Thread) openPlace(p fs.Place, flags uint32) (*File, Errno) {
	status := flags & oKnown &^ (oCreat | oExcl | oNoctty | oTrunc | oCloexec)
	if flags&oPath != 0 {
		f := newFile(&pathObject{inode: p.Inode}, flags&(oPath|oDir|oNofollow))
		f.place = p
		return f, 0
	}
	status |= oLarge
	if n, ok := p.Inode.(*fileInode); ok {
		return n.reopen(status)
	}
	var io object
	var err Errno
	switch mode := p.Inode.Mode(); mode & fs.TypeMask {
	case fs.Regular, fs.Directory:
		var n fs.Inode
		if n, err = p.Inode.Open(); err == 0 {
			io = &inodeFile{inode: n}
		}
	case fs.Char:
		io, err = t.openDevice(p.Inode, flags)
	case fs.FIFO:
		return t.openFIFO(p, status)
	case fs.Symlink:
		err = ELOOP
	case fs.Block:
		io, err = t.openDisk(p.Inode, flags)
	default: // sockets
		err = ENXIO
	}
	if err != 0 {
		return nil, err
	}
	f := newFile(io, status)
	f.place = p
	return f, 0
}

// pathObject is what O_PATH opens: a place, and nothing to be done with it.
type pathObject struct {
	noObject
	inode fs.Inode
}

func (o *pathObject) attr() fs.Attr { return o.inode.Attr() }
func (o *pathObject) name() string  { return "" }

func (t *Thread) umask() uint32 {
	s := &t.proc.files
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.umask
}

func sysUmask(t *Thread, a *Args) (uintptr, Errno) {
	s := &t.proc.files
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.umask
	s.umask = uint32(a.Arg1()) & 0o777
	return uintptr(old), 0
}
