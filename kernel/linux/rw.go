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
	u, err := t.buffer(a.Arg2(), a.Arg3())
	n := 0
	if err == 0 {
		n, err = t.readFile(f, u)
	}
	f.Release()
	return uintptr(n), err
}

func sysWrite(t *Thread, a *Args) (uintptr, Errno) {
	f, err := t.ioFile(a.Arg1())
	if err != 0 {
		return 0, err
	}
	u, err := t.buffer(a.Arg2(), a.Arg3())
	n := 0
	if err == 0 {
		n, err = t.writeFile(f, u)
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
		return t.readFile(f, u)
	})
}

func sysWritev(t *Thread, a *Args) (uintptr, Errno) {
	return t.withFile(a.Arg1(), func(f *File) (int, Errno) {
		u, err := t.vector(a.Arg2(), a.Arg3())
		if err != 0 {
			return 0, err
		}
		return t.writeFile(f, u)
	})
}

func (t *Thread) readFile(f *File, u *userIO) (int, Errno) {
	if !f.canRead() {
		return 0, EBADF
	}
	return u.result(f.io.read(t, f, u))
}

func (t *Thread) writeFile(f *File, u *userIO) (int, Errno) {
	if !f.canWrite() {
		return 0, EBADF
	}
	return u.result(f.io.write(t, f, u))
}

// positioned is for the calls that name an offset.
func (t *Thread) positioned(f *File, u *userIO, off int64, write bool) (int, Errno) {
	io, ok := f.io.(*inodeFile)
	switch {
	case off < 0:
		return 0, EINVAL
	case write && !f.canWrite() || !write && !f.canRead():
		return 0, EBADF
	case !ok:
		if _, seekable := f.io.(seeker); !seekable {
			return 0, ESPIPE
		}
		if write {
			return t.writeFile(f, u)
		}
		return t.readFile(f, u)
	case write: // as Linux has it: pwrite appends, too, to what is open for that
		n, _, err := io.writeAt(t, u, off, f.flags.Load()&oAppend != 0)
		return u.result(n, err)
	}
	return u.result(io.readAt(u, off))
}

func sysPread(t *Thread, a *Args) (uintptr, Errno) {
	return t.withFile(a.Arg1(), func(f *File) (int, Errno) {
		u, err := t.buffer(a.Arg2(), a.Arg3())
		if err != 0 {
			return 0, err
		}
		return t.positioned(f, u, int64(a.Arg4()), false)
	})
}

func sysPwrite(t *Thread, a *Args) (uintptr, Errno) {
	return t.withFile(a.Arg1(), func(f *File) (int, Errno) {
		u, err := t.buffer(a.Arg2(), a.Arg3())
		if err != 0 {
			return 0, err
		}
		return t.positioned(f, u, int64(a.Arg4()), true)
	})
}

func sysPreadv(t *Thread, a *Args) (uintptr, Errno)  { return t.vectorAt(a, false, 0) }
func sysPwritev(t *Thread, a *Args) (uintptr, Errno) { return t.vectorAt(a, true, 0) }

func sysPreadv2(t *Thread, a *Args) (uintptr, Errno)  { return t.vectorAt(a, false, a.Arg6()) }
func sysPwritev2(t *Thread, a *Args) (uintptr, Errno) { return t.vectorAt(a, true, a.Arg6()) }

// vectorAt is preadv and its kin; the offset's upper half in the fifth argument means
// nothing on 64-bit machines.
func (t *Thread) vectorAt(a *Args, write bool, flags uintptr) (uintptr, Errno) {
	const rwfKnown = 0x1f // HIPRI, DSYNC, SYNC, NOWAIT, APPEND: hints but for the last
	const rwfAppend = 0x10
	return t.withFile(a.Arg1(), func(f *File) (int, Errno) {
		if flags&^rwfKnown != 0 {
			return 0, EOPNOTSUPP
		}
		u, err := t.vector(a.Arg2(), a.Arg3())
		if err != 0 {
			return 0, err
		}
		off := int64(a.Arg4())
		if v2 := t.nr == 327 || t.nr == 328; v2 && off == -1 { // the file's position
			if write {
				return t.writeFile(f, u)
			}
			return t.readFile(f, u)
		}
		if io, ok := f.io.(*inodeFile); ok && write && flags&rwfAppend != 0 && f.canWrite() {
			n, _, err := io.writeAt(t, u, 0, true)
			return u.result(n, err)
		}
		return t.positioned(f, u, off, write)
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
	off, whence := int64(a.Arg2()), int(a.Arg3())
	io, ok := f.io.(*inodeFile)
	if !ok {
		if _, seekable := f.io.(seeker); seekable {
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
		off += io.inode.Attr().Size
	case fs.SeekData, fs.SeekHole:
		if off, err = io.inode.SeekExtent(off, whence); err != 0 {
			return 0, err
		}
	default:
		return 0, EINVAL
	}
	if off < 0 {
		return 0, EINVAL
	}
	f.pos = off
	return uintptr(off), 0
}

// pump copies up to n bytes from in to out through a buffer of the kernel:
// sendfile, copy_file_range and splice.
func (t *Thread) pump(out, in *File, outOff, inOff *int64, n int) (done int, err Errno) {
	var buf [pageSize]byte
	for done < n {
		b := &fs.Buffer{Bytes: buf[:0:min(n-done, len(buf))]}
		src, ok := in.io.(*inodeFile)
		if !ok {
			return done, EINVAL
		}
		off := &in.pos
		if inOff != nil {
			off = inOff
		}
		k, rerr := src.inode.ReadAt(b, *off, cap(b.Bytes))
		if k == 0 || rerr != 0 {
			return done, rerr
		}
		w, werr := t.writeKernel(out, b.Bytes, outOff)
		*off += int64(w)
		done += w
		if werr != 0 || w < k {
			if done > 0 {
				werr = 0
			}
			return done, werr
		}
	}
	return done, 0
}

// writeKernel writes bytes of the kernel to a file.
func (t *Thread) writeKernel(f *File, p []byte, off *int64) (int, Errno) {
	switch io := f.io.(type) {
	case *inodeFile:
		b := &fs.Buffer{Bytes: p}
		if off != nil {
			n, err := io.inode.WriteAt(b, *off, len(p))
			*off += int64(n)
			return n, err
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		n, err := io.inode.WriteAt(b, f.pos, len(p))
		f.pos += int64(n)
		return n, err
	case kernelWriter:
		return io.writeBytes(t, f, p)
	}
	return 0, EINVAL
}

// kernelWriter is an object that takes bytes of the kernel.
type kernelWriter interface {
	writeBytes(t *Thread, f *File, p []byte) (int, Errno)
}

func sysSendfile(t *Thread, a *Args) (uintptr, Errno) {
	out, err := t.ioFile(a.Arg1())
	if err != 0 {
		return 0, err
	}
	defer out.Release()
	in, err := t.ioFile(a.Arg2())
	if err != 0 {
		return 0, err
	}
	defer in.Release()
	if !in.canRead() || !out.canWrite() {
		return 0, EBADF
	}
	var off *int64
	if p := a.Arg3(); p != 0 {
		off = new(int64)
		if err := copyIn(t, off, p); err != 0 {
			return 0, err
		}
		if *off < 0 {
			return 0, EINVAL
		}
		defer copyOut(t, p, off)
	}
	n, err := t.pump(out, in, nil, off, int(min(a.Arg4(), maxRW)))
	return uintptr(n), err
}

func sysCopyFileRange(t *Thread, a *Args) (uintptr, Errno) {
	if a.Arg6() != 0 {
		return 0, EINVAL
	}
	in, err := t.ioFile(a.Arg1())
	if err != 0 {
		return 0, err
	}
	defer in.Release()
	out, err := t.ioFile(a.Arg3())
	if err != 0 {
		return 0, err
	}
	defer out.Release()
	files, inodes := [2]*File{in, out}, [2]fs.Inode{}
	for i, f := range files {
		io, ok := f.io.(*inodeFile)
		switch {
		case ok && fs.IsDir(io.inode.Mode()):
			return 0, EISDIR
		case !ok || !fs.IsRegular(io.inode.Mode()):
			return 0, EINVAL
		}
		inodes[i] = io.inode
	}
	if !in.canRead() || !out.canWrite() || out.flags.Load()&oAppend != 0 {
		return 0, EBADF
	}
	if inodes[0].FS() != inodes[1].FS() {
		return 0, EXDEV
	}
	var offs [2]*int64
	var at [2]uint64
	for i, p := range []uintptr{a.Arg2(), a.Arg4()} {
		if p == 0 {
			files[i].mu.Lock()
			at[i] = uint64(files[i].pos)
			files[i].mu.Unlock()
			continue
		}
		offs[i] = new(int64)
		if err := copyIn(t, offs[i], p); err != 0 {
			return 0, err
		}
		if *offs[i] < 0 {
			return 0, EINVAL
		}
		at[i] = uint64(*offs[i])
		defer copyOut(t, p, offs[i])
	}
	n := uint64(a.Arg5())
	if size := uint64(inodes[0].Attr().Size); at[0] < size {
		n = min(n, size-at[0])
	} else {
		n = 0
	}
	if inodes[0].Ino() == inodes[1].Ino() && at[1]+n > at[0] && at[1] < at[0]+n {
		return 0, EINVAL
	}
	done, err := t.pump(out, in, offs[1], offs[0], int(min(n, maxRW)))
	return uintptr(done), err
}
