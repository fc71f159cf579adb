package linux

import "gosv/kernel/fs"

// stat is struct stat of x86-64 (stat(2)).
type stat struct {
	dev, ino, nlink uint64
	mode, uid, gid  uint32
	_               uint32
	rdev            uint64
	size, blksize   int64
	blocks          int64
	atime, mtime    timespec
	ctime           timespec
	_               [3]int64
}

// anonymous is the device number of Linux's file system for what has no name.
const anonymous = 13

// attrOf returns what is to be told of a place or an open file, and its device.
func attrOf(p fs.Place, f *File) (a fs.Attr, dev uint64) {
	if f != nil {
		a = f.io.attr()
	} else {
		a = p.Inode.Attr()
	}
	dev = anonymous
	if p.Inode != nil {
		dev = p.Inode.FS().Device()
	}
	return a, dev
}

func makeStat(a *fs.Attr, dev uint64) *stat {
	ts := func(t fs.Time) timespec { return timespec{t.Sec, int64(t.Nsec)} }
	return &stat{dev: dev, ino: a.Ino, nlink: uint64(a.Nlink), mode: a.Mode, uid: a.UID, gid: a.GID, rdev: uint64(a.Rdev),
		size: a.Size, blksize: int64(a.BlockSize), blocks: a.Blocks, atime: ts(a.Atime), mtime: ts(a.Mtime), ctime: ts(a.Ctime)}
}

// statPath is the stat calls that name a path.
func (t *Thread) statPath(dirfd, path, flags, buf uintptr) (uintptr, Errno) {
	p, f, err := t.place(dirfd, path, flags|atMaybeNull)
	if err != 0 {
		return 0, err
	}
	a, dev := attrOf(p, f)
	if f != nil {
		f.Release()
	}
	return 0, copyOut(t, buf, makeStat(&a, dev))
}

const cwdFD = ^uintptr(99) // atFDCWD as an argument

func sysStat(t *Thread, a *Args) (uintptr, Errno) { return t.statPath(cwdFD, a.Arg1(), 0, a.Arg2()) }
func sysLstat(t *Thread, a *Args) (uintptr, Errno) {
	return t.statPath(cwdFD, a.Arg1(), atSymlinkNofollow, a.Arg2())
}

func sysNewfstatat(t *Thread, a *Args) (uintptr, Errno) {
	if a.Int4()&^(atSymlinkNofollow|atNoAutomount|atEmptyPath|atStatxSync) != 0 {
		return 0, EINVAL
	}
	return t.statPath(a.Arg1(), a.Arg2(), a.Int4(), a.Arg3())
}

func sysFstat(t *Thread, a *Args) (uintptr, Errno) {
	f, err := t.file(a.Arg1())
	if err != 0 {
		return 0, err
	}
	at, dev := attrOf(f.place, f)
	f.Release()
	return 0, copyOut(t, a.Arg2(), makeStat(&at, dev))
}

// statxTime and statxBuf are struct statx_timestamp and struct statx (statx(2)).
type statxTime struct {
	sec  int64
	nsec uint32
	_    int32
}

type statxBuf struct {
	mask, blksize              uint32
	_                          uint64 // attributes
	nlink, uid, gid            uint32
	mode                       uint16
	_                          uint16
	ino, size, blocks          uint64
	_                          uint64 // attributes that may be set
	atime, btime, ctime, mtime statxTime
	rdevMajor, rdevMinor       uint32
	devMajor, devMinor         uint32
	mountID                    uint64
	_                          [13]uint64
}

func sysStatx(t *Thread, a *Args) (uintptr, Errno) {
	const basic, btime, mountID, reserved = 0x7ff, 0x800, 0x1000, 0x80000000
	flags := a.Int3()
	if flags&^(atSymlinkNofollow|atNoAutomount|atEmptyPath|atStatxSync) != 0 || flags&atStatxSync == atStatxSync ||
		a.Arg4()&reserved != 0 {
		return 0, EINVAL
	}
	p, f, err := t.place(a.Arg1(), a.Arg2(), flags|atMaybeNull)
	if err != 0 {
		return 0, err
	}
	at, dev := attrOf(p, f)
	if f != nil {
		f.Release()
	}
	ts := func(t fs.Time) statxTime { return statxTime{sec: t.Sec, nsec: t.Nsec} }
	x := statxBuf{mask: basic | mountID, mountID: p.MountID(), blksize: at.BlockSize, nlink: at.Nlink, uid: at.UID, gid: at.GID, mode: uint16(at.Mode), ino: at.Ino,
		size: uint64(at.Size), blocks: uint64(at.Blocks), atime: ts(at.Atime), btime: ts(at.Btime), ctime: ts(at.Ctime),
		mtime: ts(at.Mtime)}
	if at.Btime != (fs.Time{}) {
		x.mask |= btime
	}
	x.rdevMajor, x.rdevMinor = major(uint64(at.Rdev)), minor(uint64(at.Rdev))
	x.devMajor, x.devMinor = major(dev), minor(dev)
	return 0, copyOut(t, a.Arg5(), &x)
}

func major(dev uint64) uint32 { return uint32(dev >> 8 & 0xfff) }
func minor(dev uint64) uint32 { return uint32(dev&0xff | dev>>12&0xfff00) }

func sysAccess(t *Thread, a *Args) (uintptr, Errno) { return t.access(cwdFD, a.Arg1(), a.Int2(), 0) }
func sysFaccessat(t *Thread, a *Args) (uintptr, Errno) {
	return t.access(a.Arg1(), a.Arg2(), a.Int3(), 0)
}
func sysFaccessat2(t *Thread, a *Args) (uintptr, Errno) {
	return t.access(a.Arg1(), a.Arg2(), a.Int3(), a.Int4())
}

// access checks permissions, those of the real ids unless asked for the effective
// ones.
func (t *Thread) access(dirfd, path, mode, flags uintptr) (uintptr, Errno) {
	if mode&^7 != 0 || flags&^(atEaccess|atSymlinkNofollow|atEmptyPath) != 0 {
		return 0, EINVAL
	}
	c := t.caller()
	if flags&atEaccess == 0 {
		c = t.realCaller(c)
	}
	p, f, err := t.placeFor(&c, dirfd, path, flags)
	if f != nil {
		defer f.Release()
	}
	if err != 0 || mode == 0 {
		return 0, err
	}
	if p.Inode == nil {
		return 0, 0
	}
	if mode&fs.MayWrite != 0 && p.Inode.FS().(fs.FileSystem).Usage().ReadOnly {
		return 0, EROFS
	}
	return 0, c.Access(p.Inode, uint32(mode))
}

func sysReadlink(t *Thread, a *Args) (uintptr, Errno) {
	return t.readlink(cwdFD, a.Arg1(), a.Arg2(), a.Arg3())
}
func sysReadlinkat(t *Thread, a *Args) (uintptr, Errno) {
	return t.readlink(a.Arg1(), a.Arg2(), a.Arg3(), a.Arg4())
}

func (t *Thread) readlink(dirfd, path, buf, n uintptr) (uintptr, Errno) {
	if int32(n) <= 0 {
		return 0, EINVAL
	}
	p, f, err := t.place(dirfd, path, atSymlinkNofollow|atEmptyPath)
	if f != nil {
		defer f.Release()
	}
	if err != 0 {
		return 0, err
	}
	if p.Inode == nil || !fs.IsSymlink(p.Inode.Mode()) {
		var first [1]byte
		if t.CopyIn(first[:], path); first[0] == 0 { // the path is empty
			return 0, ENOENT
		}
		return 0, EINVAL
	}
	caller := t.caller()
	target, err := p.Inode.Readlink(&caller)
	if err != 0 {
		return 0, err
	}
	b := []byte(target)
	b = b[:min(len(b), int(int32(n)))]
	return uintptr(len(b)), t.CopyOut(buf, b)
}

// realCaller is c with the real ids, and the capabilities that they would have
// (access_override_creds, fs/open.c).
func (t *Thread) realCaller(c fs.Caller) fs.Caller {
	k := &t.proc.cred
	k.mu.Lock()
	defer k.mu.Unlock()
	c.UID, c.GID, c.Caps = k.uid.real, k.gid.real, 0
	if c.UID == 0 {
		c.Caps = k.permitted
	}
	return c
}

// caller is t as file systems know it, with its ids.
func (t *Thread) caller() fs.Caller {
	s := &t.proc.files
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.caller
	c.TID = t.tid
	return c
}

// statfs is struct statfs of x86-64 (statfs(2)).
type statfs struct {
	typ, bsize             int64
	blocks, bfree, bavail  uint64
	files, ffree           uint64
	_                      [2]int32 // fsid
	namelen, frsize, flags int64
	_                      [4]int64
}

func (t *Thread) statfsOf(u fs.Usage, buf uintptr) (uintptr, Errno) {
	const readOnly, valid = 1, 0x20
	s := statfs{typ: int64(u.Magic), bsize: pageSize, blocks: u.Blocks, bfree: u.Free, bavail: u.Free, files: u.Files,
		ffree: u.FilesFree, namelen: fs.MaxName, frsize: pageSize, flags: valid}
	if u.ReadOnly {
		s.flags |= readOnly
	}
	return 0, copyOut(t, buf, &s)
}

func sysStatfs(t *Thread, a *Args) (uintptr, Errno) {
	p, _, err := t.place(cwdFD, a.Arg1(), 0)
	if err != 0 {
		return 0, err
	}
	return t.statfsOf(p.Inode.FS().Usage(), a.Arg2())
}

func sysFstatfs(t *Thread, a *Args) (uintptr, Errno) {
	f, err := t.file(a.Arg1())
	if err != 0 {
		return 0, err
	}
	defer f.Release()
	return t.statfsOf(f.usage(), a.Arg2())
}

// usage is what there is to say of the file system that f is in.
func (f *File) usage() fs.Usage {
	if n := f.place.Inode; n != nil {
		return n.FS().Usage()
	}
	if o, ok := f.io.(*inodeFile); ok {
		return o.inode.FS().Usage()
	}
	if f.io.attr().Mode&fs.TypeMask == fs.FIFO {
		return fs.Usage{Magic: fs.MagicPipefs}
	}
	return anonymousFS{}.Usage()
}

// sysNameToHandleAt is name_to_handle_at(2).
func sysNameToHandleAt(t *Thread, a *Args) (uintptr, Errno) {
	flags := a.Arg5()
	if flags&^(atSymlinkFollow|atEmptyPath) != 0 {
		return 0, EINVAL
	}
	if flags&atSymlinkFollow == 0 {
		flags |= atSymlinkNofollow
	}
	_, f, err := t.place(a.Arg1(), a.Arg2(), flags)
	if err != 0 {
		return 0, err
	}
	if f != nil {
		f.Release()
	}
	return 0, EOPNOTSUPP
}
