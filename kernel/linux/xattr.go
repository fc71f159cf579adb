package linux

import "gosv/kernel/fs"

// Extended attributes (xattr(7)): as on Linux 6.1's tmpfs without them. What is
// wrong with a call is told all the same, and the list of them is empty.

const (
	maxXattrName  = 255
	maxXattrValue = 64 << 10
)

func sysSetxattr(t *Thread, a *Args) (uintptr, Errno) { return t.xattr(a, 0, true, true) }
func sysLsetxattr(t *Thread, a *Args) (uintptr, Errno) {
	return t.xattr(a, atSymlinkNofollow, true, true)
}
func sysGetxattr(t *Thread, a *Args) (uintptr, Errno) { return t.xattr(a, 0, false, false) }
func sysLgetxattr(t *Thread, a *Args) (uintptr, Errno) {
	return t.xattr(a, atSymlinkNofollow, false, false)
}
func sysRemovexattr(t *Thread, a *Args) (uintptr, Errno) { return t.xattr(a, 0, true, false) }
func sysLremovexattr(t *Thread, a *Args) (uintptr, Errno) {
	return t.xattr(a, atSymlinkNofollow, true, false)
}

const onDescriptor = ^uintptr(0) // instead of flags: the first argument is no path

func sysFsetxattr(t *Thread, a *Args) (uintptr, Errno) { return t.xattr(a, onDescriptor, true, true) }
func sysFgetxattr(t *Thread, a *Args) (uintptr, Errno) { return t.xattr(a, onDescriptor, false, false) }
func sysFremovexattr(t *Thread, a *Args) (uintptr, Errno) {
	return t.xattr(a, onDescriptor, true, false)
}

// xattr is the calls that name an attribute; sets says that they come with a
// value. In the order in which Linux looks.
func (t *Thread) xattr(a *Args, flags uintptr, changes, sets bool) (uintptr, Errno) {
	var n fs.Inode    // nil: of no file system of ours
	mode := uint32(0) // of the file
	if flags == onDescriptor {
		f, err := t.ioFile(a.Arg1())
		if err != 0 {
			return 0, err
		}
		n, mode = f.inode(), f.io.attr().Mode
		f.Release()
	}
	const create, replace = 1, 2
	if sets && a.Int5()&^(create|replace) != 0 {
		return 0, EINVAL
	}
	name, err := t.copyInString(a.Arg2(), maxXattrName+1, ERANGE)
	switch {
	case err != 0:
		return 0, err
	case name == "":
		return 0, ERANGE
	case sets && a.Arg4() > maxXattrValue:
		return 0, E2BIG
	}
	if sets {
		if err := t.CopyIn(make([]byte, a.Arg4()), a.Arg3()); err != 0 {
			return 0, err
		}
	}
	if flags != onDescriptor {
		p, _, err := t.place(cwdFD, a.Arg1(), flags)
		if err != 0 {
			return 0, err
		}
		n, mode = p.Inode, p.Inode.Mode()
	}
	want, refused := uint32(fs.MayRead), ENODATA
	if changes {
		want, refused = fs.MayWrite, EPERM
	}
	switch kind, _, _ := cut(name, '.'); {
	case kind == "user" && !fs.IsRegular(mode) && !fs.IsDir(mode):
		return 0, refused
	case n == nil, kind == "system", kind == "security":
		return 0, EOPNOTSUPP
	}
	c := t.caller()
	if err := c.Access(n, want); err != 0 {
		return 0, err
	}
	return 0, EOPNOTSUPP
}

func sysListxattr(t *Thread, a *Args) (uintptr, Errno) {
	_, _, err := t.place(cwdFD, a.Arg1(), 0)
	return 0, err
}
func sysLlistxattr(t *Thread, a *Args) (uintptr, Errno) {
	_, _, err := t.place(cwdFD, a.Arg1(), atSymlinkNofollow)
	return 0, err
}
func sysFlistxattr(t *Thread, a *Args) (uintptr, Errno) {
	return t.withFile(a.Arg1(), func(*File) (int, Errno) { return 0, 0 })
}
