package linux

import "gosv/kernel/fs"

// inodeFile is an open file or directory of a file system.
type inodeFile struct {
	noObject
	inode fs.Inode // what Open returned; a directory's place is File.pos too
}

func (o *inodeFile) read(t *Thread, f *File, u *userIO) (int, Errno) {
	f.mu.Lock()
	n, err := o.readAt(u, f.pos)
	f.pos += int64(n)
	f.mu.Unlock()
	return n, err
}

func (o *inodeFile) readAt(u *userIO, off int64) (n int, err Errno) {
	if fs.IsDir(o.inode.Mode()) {
		return 0, EISDIR
	}
	return o.inode.ReadAt(u, off, u.left)
}

func (o *inodeFile) write(t *Thread, f *File, u *userIO) (int, Errno) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, end, err := o.writeAt(t, u, f.pos, f.flags.Load()&oAppend != 0)
	if n > 0 {
		f.pos = end
	}
	return n, err
}

// writeAt writes at off, or at the file's end, and returns where what was
// written ends.
func (o *inodeFile) writeAt(t *Thread, u *userIO, off int64, atEnd bool) (n int, end int64, err Errno) {
	n = u.left
	if limit := t.proc.limit(rlimitFsize); limit < 1<<63 {
		if atEnd {
			off = o.inode.Attr().Size
		}
		if uint64(off) >= limit && n > 0 {
			t.proc.signal(t, ptr(killInfo(SIGXFSZ, siKernel, 0)))
			return 0, 0, EFBIG
		}
		n = int(min(uint64(n), limit-uint64(off)))
	}
	if atEnd {
		n, end, err = o.inode.Append(u, n)
	} else {
		n, err = o.inode.WriteAt(u, off, n)
		end = off + int64(n)
	}
	if n > 0 {
		t.proc.files.caller.Written(o.inode)
	}
	return n, end, err
}

func ptr[T any](v T) *T { return &v }

func (o *inodeFile) attr() fs.Attr { return o.inode.Attr() }

func (o *inodeFile) name() string { return "" }

func (o *inodeFile) ioctl(t *Thread, f *File, req, arg uintptr) (uintptr, Errno) {
	if req == fioNRead && fs.IsRegular(o.inode.Mode()) {
		n := int32(o.inode.Attr().Size - f.pos)
		return 0, copyOut(t, arg, &n)
	}
	return 0, ENOTTY
}

func (o *inodeFile) close(f *File) { o.inode.Close() }
