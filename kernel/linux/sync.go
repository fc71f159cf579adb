package linux

import "gosv/kernel/fs"

// Calls about where a file's bytes are: all but disks is in memory for good, so
// that they mostly only check what they are given.

// sysSync is sync(2).
func sysSync(t *Thread, a *Args) (uintptr, Errno) {
	t.proc.kernel.disks.sync()
	return 0, 0
}

// sysSyncfs is syncfs(2): of any file.
func sysSyncfs(t *Thread, a *Args) (uintptr, Errno) {
	return t.withFile(a.Arg1(), func(f *File) (int, Errno) { return 0, 0 })
}

// sysFsync is fsync(2) and fdatasync(2).
func sysFsync(t *Thread, a *Args) (uintptr, Errno) {
	return t.withFile(a.Arg1(), func(f *File) (int, Errno) {
		if _, ok := f.io.(*inodeFile); !ok {
			return 0, EINVAL
		}
		if d := f.disk(); d != nil {
			return 0, d.sync(t, 0, d.volume.Size())
		}
		return 0, 0
	})
}

// sysSyncFileRange is sync_file_range(2).
func sysSyncFileRange(t *Thread, a *Args) (uintptr, Errno) {
	const known = 7
	off, n := int64(a.Arg2()), int64(a.Arg3())
	return t.withFile(a.Arg1(), func(f *File) (int, Errno) {
		if a.Int4()&^known != 0 || off < 0 || n < 0 || off+n < 0 {
			return 0, EINVAL
		}
		if _, ok := f.io.(*inodeFile); !ok {
			return 0, ESPIPE
		}
		if d := f.disk(); d != nil {
			if n == 0 {
				n = fs.MaxSize - off
			}
			return 0, d.volume.Sync(t, off, off+n, false)
		}
		return 0, 0
	})
}

// sysReadahead is readahead(2).
func sysReadahead(t *Thread, a *Args) (uintptr, Errno) {
	return t.withFile(a.Arg1(), func(f *File) (int, Errno) {
		if !f.canRead() {
			return 0, EBADF
		}
		d := f.disk()
		if _, ok := f.regular(); !ok && d == nil || int64(a.Arg3()) < 0 {
			return 0, EINVAL
		}
		if off := int64(a.Arg2()); d != nil && off >= 0 {
			d.volume.Fetch(off, int64(a.Arg3()))
		}
		return 0, 0
	})
}

// sysFadvise64 is posix_fadvise(2).
func sysFadvise64(t *Thread, a *Args) (uintptr, Errno) {
	const last = 5 // POSIX_FADV_NOREUSE
	return t.withFile(a.Arg1(), func(f *File) (int, Errno) {
		if f.io.attr().Mode&fs.TypeMask == fs.FIFO {
			return 0, ESPIPE
		}
		if int64(a.Arg3()) < 0 || uint32(a.Arg4()) > last {
			return 0, EINVAL
		}
		if d := f.disk(); d != nil && int64(a.Arg2()) >= 0 {
			d.advise(t, int64(a.Arg2()), int64(a.Arg3()), uint32(a.Arg4()))
		}
		return 0, 0
	})
}

// sysUringEnter is io_uring_enter(2) and io_uring_register(2), of what is no ring.
func sysUringEnter(t *Thread, a *Args) (uintptr, Errno) {
	return t.withFile(a.Arg1(), func(*File) (int, Errno) { return 0, EOPNOTSUPP })
}
