package linux

import "gosv/kernel/fs"

func sysGetdents64(t *Thread, a *Args) (uintptr, Errno) { return t.getdents(a, true) }
func sysGetdents(t *Thread, a *Args) (uintptr, Errno)   { return t.getdents(a, false) }

// getdents writes struct linux_dirent64: inode u64, offset of the next i64,
// length u16, type u8, name; struct linux_dirent has the type as its last
// byte instead (getdents(2)).
func (t *Thread) getdents(a *Args, is64 bool) (uintptr, Errno) {
	f, err := t.ioFile(a.Arg1())
	if err != 0 {
		return 0, err
	}
	defer f.Release()
	o, ok := f.io.(*inodeFile)
	if !ok || !fs.IsDir(o.inode.Mode()) {
		return 0, ENOTDIR
	}
	const chunk = 32 << 10 // what libcs ask for
	limit := min(int(int32(a.Arg3())), chunk)
	buf := make([]byte, 0, max(min(limit, 4096), 0))
	full := false
	f.mu.Lock()
	defer f.mu.Unlock()
	next := f.pos
	err = o.inode.ReadDir(f.pos, func(e fs.Dirent) bool {
		n := (8 + 8 + 2 + 1 + len(e.Name) + 1 + 7) &^ 7
		if len(buf)+n > limit {
			full = true
			return false
		}
		at := len(buf)
		buf = append(buf, make([]byte, n)...)
		b := buf[at:]
		putUint64(b, e.Ino)
		putUint64(b[8:], uint64(e.Next))
		b[16], b[17] = byte(n), byte(n>>8)
		typ := byte(e.Type >> 12) // DT_* is the type in a mode
		if is64 {
			b[18] = typ
			copy(b[19:], e.Name)
		} else {
			copy(b[18:], e.Name)
			b[n-1] = typ
		}
		next = e.Next
		return true
	})
	if err != 0 {
		return 0, err
	}
	if len(buf) == 0 && full {
		return 0, EINVAL
	}
	if err := t.CopyOut(a.Arg2(), buf); err != 0 {
		return 0, err
	}
	f.pos = next
	f.told(1, inAccess) // even at the end
	return uintptr(len(buf)), 0
}

func sysGetcwd(t *Thread, a *Args) (uintptr, Errno) {
	s := &t.proc.files
	s.mu.Lock()
	cwd, root := s.cwd, s.root
	s.mu.Unlock()
	path, err := cwd.Path(root)
	if err == 0 && cwd.Inode.Attr().Nlink == 0 {
		err = ENOENT
	}
	if err != 0 {
		return 0, err
	}
	n := uintptr(len(path) + 1)
	if a.Arg2() < n {
		return 0, ERANGE
	}
	return n, t.CopyOut(a.Arg1(), append([]byte(path), 0))
}

// changeDir makes p the working directory, or the root one.
func (t *Thread) changeDir(p fs.Place, which *fs.Place) (uintptr, Errno) {
	if p.Inode == nil || !fs.IsDir(p.Inode.Mode()) {
		return 0, ENOTDIR
	}
	s := &t.proc.files
	if err := s.caller.Access(p.Inode, fs.MayExec); err != 0 {
		return 0, err
	}
	if which == &s.root && !t.can(capSysChroot) {
		return 0, EPERM
	}
	s.mu.Lock()
	*which = p
	s.mu.Unlock()
	return 0, 0
}

func sysChdir(t *Thread, a *Args) (uintptr, Errno) {
	p, _, err := t.place(cwdFD, a.Arg1(), 0)
	if err != 0 {
		return 0, err
	}
	return t.changeDir(p, &t.proc.files.cwd)
}

func sysChroot(t *Thread, a *Args) (uintptr, Errno) {
	p, _, err := t.place(cwdFD, a.Arg1(), 0)
	if err != 0 {
		return 0, err
	}
	return t.changeDir(p, &t.proc.files.root)
}

func sysFchdir(t *Thread, a *Args) (uintptr, Errno) {
	f, err := t.file(a.Arg1())
	if err != 0 {
		return 0, err
	}
	defer f.Release()
	return t.changeDir(f.place, &t.proc.files.cwd)
}
