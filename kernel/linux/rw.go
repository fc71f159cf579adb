package linux

import "gosv/kernel/fs"

// withFile calls f with the file open as fd.
func (t *Thread) withFile(fd uintptr, f func(f *File) (int, Errno)) (uintptr, Errno) {
	file, err := t.ioFile(fd)
	if err != 0 {
		return 0, err
	}
	n, err := f(file)
	file.Release()
	return uintptr(n), err
}

func sysRead(t *Thread, a *Args) (uintptr, Errno) {
	f, err := t.ioFile(a.Arg1())
	if err != 0 {
		return 0, err
	}
	n := 0
	if u, uerr := t.buffer(a.Arg2(), a.Arg3()); uerr == 0 || !f.canRead() {
		n, err = t.readFile(f, u)
	} else if err = f.refuses(false); err == 0 {
		err = uerr
	}
	f.Release()
	return uintptr(n), err
}

func sysWrite(t *Thread, a *Args) (uintptr, Errno) {
	f, err := t.ioFile(a.Arg1())
	if err != 0 {
		return 0, err
	}
	n := 0
	if u, uerr := t.buffer(a.Arg2(), a.Arg3()); uerr == 0 || !f.canWrite() {
		n, err = t.writeFile(f, u)
	} else if err = f.refuses(true); err == 0 {
		err = uerr
	}
	f.Release()
	return uintptr(n), err
}

func sysReadv(t *Thread, a *Args) (uintptr, Errno) {
	return t.withFile(a.Arg1(), func(f *File) (int, Errno) {
		u, err := t.vector(a.Arg2(), a.Arg3())
		if err != 0 {
			return 0, err
		}
		if u.left == 0 && f.canRead() {
			return 0, f.refuses(false)
		}
		return t.readFile(f, u)
	})
}

func sysWritev(t *Thread, a *Args) (uintptr, Errno) {
	return t.withFile(a.Arg1(), func(f *File) (int, Errno) {
		u, err := t.vector(a.Arg2(), a.Arg3())
		if err != 0 {
			return 0, err
		}
		if u.left == 0 && f.canWrite() {
			return 0, f.refuses(true)
		}
		return t.writeFile(f, u)
	})
}

// refuses says whether f is of a kind that cannot be read, or written, at all: Linux
// tells that before it looks at the buffers.
func (f *File) refuses(write bool) Errno {
	switch f.io.(type) {
	case *epoll:
		return EINVAL
	case *timerFD, *inotify:
		if write {
			return EINVAL
		}
	}
	return 0
}

func (t *Thread) readFile(f *File, u *userIO) (int, Errno) {
	if !f.canRead() {
		return 0, EBADF
	}
	n, err := u.result(f.io.read(t, f, u))
	f.told(n, inAccess)
	return n, err
}

func (t *Thread) writeFile(f *File, u *userIO) (int, Errno) {
	if !f.canWrite() {
		return 0, EBADF
	}
	n, err := u.result(f.io.write(t, f, u))
	f.told(n, inModify)
	return n, err
}

// hasPosition says whether f is of a kind that is read and written at offsets.
func (f *File) hasPosition() bool {
	_, ok := f.io.(*inodeFile)
	_, seekable := f.io.(seeker)
	return ok || seekable
}

// mayPosition says whether f can be read, or written, at an offset.
func (f *File) mayPosition(write bool) Errno {
	switch {
	case !f.hasPosition():
		return ESPIPE
	case write && !f.canWrite() || !write && !f.canRead():
		return EBADF
	}
	return 0
}

// positioned is for the calls that name an offset. With atEnd it is written at the
// end instead.
func (t *Thread) positioned(f *File, u *userIO, off int64, write, atEnd bool) (n int, err Errno) {
	if err := f.mayPosition(write); err != 0 {
		return 0, err
	}
	io, ok := f.io.(*inodeFile)
	switch {
	case !ok && write:
		return t.writeFile(f, u)
	case !ok:
		return t.readFile(f, u)
	case write: // as Linux has it: pwrite appends too, where write does
		n, _, err = io.writeAt(t, f, u, off, atEnd || f.flags.Load()&oAppend != 0)
		f.told(n, inModify)
	default:
		n, err = io.readAt(f, u, off)
		f.told(n, inAccess)
	}
	return u.result(n, err)
}

func sysPread(t *Thread, a *Args) (uintptr, Errno)  { return t.bufferAt(a, false) }
func sysPwrite(t *Thread, a *Args) (uintptr, Errno) { return t.bufferAt(a, true) }

// bufferAt is pread and pwrite.
func (t *Thread) bufferAt(a *Args, write bool) (uintptr, Errno) {
	off := int64(a.Arg4())
	if off < 0 {
		return 0, EINVAL
	}
	return t.withFile(a.Arg1(), func(f *File) (int, Errno) {
		u, uerr := t.buffer(a.Arg2(), a.Arg3())
		if err := f.mayPosition(write); err != 0 {
			return 0, err
		}
		if uerr != 0 {
			return 0, uerr
		}
		return t.positioned(f, u, off, write, false)
	})
}

func sysPreadv(t *Thread, a *Args) (uintptr, Errno)  { return t.vectorAt(a, false, false, 0) }
func sysPwritev(t *Thread, a *Args) (uintptr, Errno) { return t.vectorAt(a, true, false, 0) }

func sysPreadv2(t *Thread, a *Args) (uintptr, Errno)  { return t.vectorAt(a, false, true, a.Int6()) }
func sysPwritev2(t *Thread, a *Args) (uintptr, Errno) { return t.vectorAt(a, true, true, a.Int6()) }

// vectorAt is preadv and its kin; the offset's upper half in the fifth argument means
// nothing on 64-bit machines. The second versions take -1 for the file's position,
// and flags.
func (t *Thread) vectorAt(a *Args, write, second bool, flags uintptr) (uintptr, Errno) {
	const (
		rwfHipri  = 0x01
		rwfDsync  = 0x02
		rwfSync   = 0x04
		rwfNowait = 0x08
		rwfAppend = 0x10
		rwfKnown  = 0x1f
	)
	off := int64(a.Arg4())
	here := second && off == -1
	if off < 0 && !here {
		return 0, EINVAL
	}
	return t.withFile(a.Arg1(), func(f *File) (int, Errno) {
		if !here && !f.hasPosition() {
			return 0, ESPIPE
		}
		u, err := t.vector(a.Arg2(), a.Arg3())
		if err != 0 {
			return 0, err
		}
		u.durable = flags&(rwfDsync|rwfSync) != 0
		io, isInode := f.io.(*inodeFile)
		_, isPipe := f.io.(*pipeEnd)
		switch {
		case write && !f.canWrite() || !write && !f.canRead():
			return 0, EBADF
		case u.left == 0 && (here || isInode):
			return 0, f.refuses(write)
		case !here && !isInode:
			return t.positioned(f, u, off, write, false)
		case flags&^rwfKnown != 0, flags&rwfNowait != 0 && !isPipe, flags&^rwfHipri != 0 && isInode && fs.IsDir(io.inode.Mode()):
			return 0, EOPNOTSUPP // tmpfs and devices cannot promise not to wait
		case !here:
			return t.positioned(f, u, off, write, flags&rwfAppend != 0)
		case isInode && write && flags&rwfAppend != 0:
			f.mu.Lock()
			defer f.mu.Unlock()
			n, end, err := io.writeAt(t, f, u, f.pos, true)
			if n > 0 {
				f.pos = end
			}
			f.told(n, inModify)
			return u.result(n, err)
		}
		if flags&rwfNowait != 0 {
			f = &File{io: f.io, place: f.place} // the same, but not waiting
			f.flags.Store(oRdwr | oNonblock)
		}
		if write {
			return t.writeFile(f, u)
		}
		return t.readFile(f, u)
	})
}

// seeker is an object that has no position but allows to set one.
type seeker interface{ seekable() }

func sysLseek(t *Thread, a *Args) (uintptr, Errno) {
	const set, cur, end = 0, 1, 2
	f, err := t.ioFile(a.Arg1())
	if err != 0 {
		return 0, err
	}
	defer f.Release()
	off, whence := int64(a.Arg2()), int(uint32(a.Arg3()))
	if uint(whence) > fs.SeekHole {
		return 0, EINVAL
	}
	io, ok := f.io.(*inodeFile)
	if ok && whence >= end && fs.IsDir(io.inode.Mode()) {
		return 0, EINVAL
	}
	if !ok {
		// What has no position but lets one be set: devices, and files of no
		// type, such as eventfd's.
		if _, seekable := f.io.(seeker); seekable || f.io.attr().Mode&fs.TypeMask == 0 {
			return 0, 0
		}
		return 0, ESPIPE
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch whence {
	case set:
	case cur:
		off += f.pos
	case end:
		off += io.size()
	case fs.SeekData, fs.SeekHole:
		if io.disk != nil {
			return 0, EINVAL
		}
		if off, err = io.inode.SeekExtent(off, whence); err != 0 {
			return 0, err
		}
	}
	if off < 0 || io.disk != nil && off > io.size() {
		return 0, EINVAL
	}
	f.pos = off
	return uintptr(off), 0
}
