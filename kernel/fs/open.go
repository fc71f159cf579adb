package fs

import (
	"strconv"

	"gosv/kernel/errno"
)

// Flags of open(2), as x86-64 has them.
const (
	AccessMask = 3
	WriteOnly  = 1
	ReadWrite  = 2
	Creat      = 0o100
	Excl       = 0o200
	Trunc      = 0o1000
	DirOnly    = 0o200000
	NoLinks    = 0o400000 // O_NOFOLLOW
	NoAtime    = 0o1000000
	PathOnly   = 0o10000000
	Tmpfile    = 0o20000000 | DirOnly
)

// ValidOpen says whether flags go together, which open(2) looks at before all else.
func ValidOpen(flags uint32) errno.Errno {
	noName := flags&(Tmpfile&^DirOnly) != 0
	if flags&PathOnly == 0 && (noName && (flags&(Tmpfile|Creat) != Tmpfile || flags&AccessMask == 0) || flags&(DirOnly|Creat) == DirOnly|Creat) {
		return errno.EINVAL
	}
	return 0
}

// Open finds the file that path leads to for open(2), makes it first if flags
// say so (ValidOpen), with the permissions mode, and checks that the caller may open it so.
// Of a regular file it throws away the contents if asked to. It does not call
// Inode.Open.
func (at *At) Open(path string, flags, mode uint32) (Place, errno.Errno) {
	w := walk{At: at, mode: Directory}
	if flags&NoLinks != 0 {
		at.Flags |= NoFollow
	}
	if flags&PathOnly != 0 {
		flags &= PathOnly | DirOnly | NoLinks
	}
	if err := w.start(path); err != 0 {
		return Place{}, err
	}
	if flags&(Tmpfile&^DirOnly) != 0 {
		return w.tmpfile(path, flags, mode)
	}
	if flags&Creat != 0 {
		return w.create(path, flags, mode)
	}
	if flags&DirOnly != 0 {
		at.Flags |= OnlyDir
	}
	if err := w.to(path, false); err != 0 {
		return Place{}, err
	}
	return w.opened(flags)
}

// create is Open with Creat.
func (w *walk) create(path string, flags, mode uint32) (Place, errno.Errno) {
	for {
		if err := w.to(path, true); err != 0 {
			return Place{}, err
		}
		switch {
		case w.last == "" || w.last == "." || w.last == "..":
			switch {
			case flags&Excl != 0:
				return Place{}, errno.EEXIST
			case IsDir(w.mode):
				return Place{}, errno.EISDIR
			}
			return w.opened(flags) // a link led to a place that is not a directory
		case w.slash:
			return Place{}, errno.EISDIR
		}
		dir := w.place
		err := w.step(w.last)
		if err == errno.ENOENT {
			var n Inode
			if n, err = w.make(dir.Inode, w.last, New{Mode: Regular | mode&PermMask}); err == 0 {
				w.created(dir.Inode, w.last, n, false)
				return Place{Mount: dir.Mount, Inode: n, dir: dir.Inode, name: w.last}, 0
			}
			if err == errno.EEXIST && flags&Excl == 0 { // somebody was faster
				w.place, w.mode = dir, Directory
				path = w.last
				continue
			}
		}
		if err != 0 {
			return Place{}, err
		}
		if flags&Excl != 0 {
			return Place{}, errno.EEXIST
		}
		if !IsSymlink(w.mode) || w.Flags&NoFollow != 0 {
			if IsDir(w.mode) {
				return Place{}, errno.EISDIR
			}
			return w.opened(flags)
		}
		// A file is made where a dangling link leads to.
		if path, err = w.follow(dir); err != 0 {
			return Place{}, err
		}
		w.last = ""
	}
}

// make makes an inode with a name in dir for w's caller.
func (w *walk) make(dir Inode, name string, a New) (Inode, errno.Errno) {
	if err := w.Caller.mayCreate(dir); err != 0 {
		return nil, err
	}
	switch a.Mode & TypeMask {
	case Char, Block:
		if !w.Caller.Can(CapMknod) {
			return nil, errno.EPERM
		}
	default:
		a.Rdev = 0
	}
	w.own(dir, &a)
	return dir.Create(name, a)
}

// own decides whose a new inode in dir is (inode(7), "The set-group-ID bit").
func (w *walk) own(dir Inode, a *New) {
	c := w.Caller
	a.UID, a.GID = c.UID, c.GID
	if dir.Mode()&SetGID == 0 {
		return
	}
	a.GID = dir.Attr().GID
	if IsDir(a.Mode) {
		a.Mode |= SetGID
	} else if a.Mode&(SetGID|0o010) == SetGID|0o010 && !c.InGroup(a.GID) && !c.Can(CapFsetID) {
		a.Mode &^= SetGID
	}
}

// tmpfile is Open with Tmpfile: a file without a name.
func (w *walk) tmpfile(path string, flags, mode uint32) (Place, errno.Errno) {
	w.Flags |= OnlyDir
	if err := w.to(path, false); err != 0 {
		return Place{}, err
	}
	n, err := w.make(w.place.Inode, "", New{Mode: Regular | mode&PermMask, Private: flags&Excl != 0})
	if err != 0 {
		return Place{}, err
	}
	return Place{Mount: w.place.Mount, Inode: n, dir: w.place.Inode, name: "#" + strconv.FormatUint(n.Ino(), 10)}, 0
}

// opened checks that what w came to may be opened, and empties it if asked to.
func (w *walk) opened(flags uint32) (Place, errno.Errno) {
	n := w.place.Inode
	if flags&PathOnly != 0 {
		return w.place, 0
	}
	var want uint32
	switch flags & AccessMask {
	case 0:
		want = MayRead
	case WriteOnly:
		want = MayWrite
	default:
		want = MayRead | MayWrite
	}
	if flags&Trunc != 0 {
		want |= MayWrite
	}
	switch {
	case IsSymlink(w.mode):
		return Place{}, errno.ELOOP
	case IsDir(w.mode) && want&MayWrite != 0:
		return Place{}, errno.EISDIR
	case flags&DirOnly != 0 && !IsDir(w.mode):
		return Place{}, errno.ENOTDIR
	}
	if err := w.Caller.Access(n, want); err != 0 {
		return Place{}, err
	}
	if flags&NoAtime != 0 {
		if a := n.Attr(); !w.Caller.owns(&a) {
			return Place{}, errno.EPERM
		}
	}
	if w.mode&TypeMask == Socket {
		return Place{}, errno.ENXIO
	}
	if IsRegular(w.mode) {
		if want&MayWrite != 0 && n.FS().Usage().ReadOnly {
			return Place{}, errno.EROFS
		}
		if flags&Trunc != 0 {
			if err := n.Truncate(0); err != 0 {
				return Place{}, err
			}
			w.Emptied = true
			w.Caller.Written(n)
		}
	}
	return w.place, 0
}
