package linux

import "gosv/kernel/fs"

// inodeFile is an open file or directory of a file system.
type inodeFile struct {
	noObject
	inode fs.Inode  // what Open returned; a directory's place is File.pos too
	memfd *memfd    // nil for what has or had a name
	disk  *diskFile // nil for what is no block device
}

func (o *inodeFile) read(t *Thread, f *File, u *userIO) (int, Errno) {
	f.mu.Lock()
	n, err := o.readAt(f, u, f.pos)
	f.pos += int64(n)
	f.mu.Unlock()
	return n, err
}

func (o *inodeFile) readAt(f *File, u *userIO, off int64) (n int, err Errno) {
	if off+int64(u.left) < 0 {
		return 0, EINVAL
	}
	if o.disk != nil {
		return o.disk.readAt(f, u, off)
	}
	if fs.IsDir(o.inode.Mode()) {
		return 0, EISDIR
	}
	return o.inode.ReadAt(u, off, u.left)
}

func (o *inodeFile) write(t *Thread, f *File, u *userIO) (int, Errno) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, end, err := o.writeAt(t, f, u, f.pos, f.flags.Load()&oAppend != 0)
	if n > 0 {
		f.pos = end
	}
	return n, err
}

// writeAt writes at off, or with atEnd at the file's end, and returns where it
// came to.
func (o *inodeFile) writeAt(t *Thread, f *File, u *userIO, off int64, atEnd bool) (n int, end int64, err Errno) {
	n = u.left
	switch {
	case off+int64(n) < 0:
		return 0, off, EINVAL
	case o.disk != nil:
		n, err = o.disk.writeAt(f, u, off)
		return n, off + int64(n), err
	case n == 0:
		return 0, off, 0
	}
	at := off
	if limit := t.proc.limit(rlimitFsize); limit < 1<<63 || o.memfd != nil {
		size := o.inode.Attr().Size
		if atEnd {
			at = size
		}
		if uint64(at) >= limit {
			return 0, off, t.tooLarge()
		}
		n = int(min(uint64(n), limit-uint64(at)))
		if err = o.memfd.mayWrite(); err != 0 {
			return 0, off, err
		}
		if at+int64(n) > size && o.memfd.sealed(sealGrow) { // it is written page by page
			if n = int(size&^pageMask - at); n <= 0 {
				return 0, off, EPERM
			}
		}
	}
	t.proc.files.caller.Written(o.inode)
	if atEnd {
		return o.inode.Append(u, n)
	}
	n, err = o.inode.WriteAt(u, off, n)
	return n, off + int64(n), err
}

// tooLarge tells t's process that RLIMIT_FSIZE is in its way.
func (t *Thread) tooLarge() Errno {
	t.proc.signal(t, ptr(killInfo(SIGXFSZ, siKernel, 0)))
	return EFBIG
}

// resize sets the size of a file for truncate(2) and its kin.
func (t *Thread) resize(size int64, m *memfd, n fs.Inode, truncate func(size int64) Errno) Errno {
	was := n.Attr().Size
	if size > was && uint64(size) > t.proc.limit(rlimitFsize) {
		return t.tooLarge()
	}
	if err := m.mayResize(was, size); err != 0 {
		return err
	}
	return truncate(size)
}

func ptr[T any](v T) *T { return &v }

func (o *inodeFile) attr() fs.Attr { return o.inode.Attr() }

func (o *inodeFile) name() string { return o.memfd.path() }

func (o *inodeFile) ioctl(t *Thread, f *File, req, arg uintptr) (uintptr, Errno) {
	if o.disk != nil {
		return o.disk.ioctl(t, f, req, arg)
	}
	if req == fioNRead && fs.IsRegular(o.inode.Mode()) {
		n := int32(o.inode.Attr().Size - f.pos)
		return 0, copyOut(t, arg, &n)
	}
	return 0, ENOTTY
}

func (o *inodeFile) close(f *File) {
	if o.disk != nil {
		o.disk.close()
		return
	}
	o.inode.Close()
}

// size is where the file ends.
func (o *inodeFile) size() int64 {
	if o.disk != nil {
		return o.disk.volume.Size()
	}
	return o.inode.Attr().Size
}
