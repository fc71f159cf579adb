package fs

import (
	"slices"

	"gosv/kernel/errno"
)

// Caller is who asks for a file: what its permissions are checked against.
type Caller struct {
	UID, GID uint32 // for file systems (setfsuid(2))
	Groups   []uint32
	Caps     uint64 // capabilities in effect, by number (capabilities(7))
	PID, TID int    // for /proc/self and thread-self
}

// The capabilities that matter to files.
const (
	CapChown         = 0
	CapDACOverride   = 1
	CapDACReadSearch = 2
	CapFowner        = 3
	CapFsetID        = 4
	CapMknod         = 27
)

// Can says whether c has a capability.
func (c *Caller) Can(capability uint) bool { return c.Caps>>capability&1 != 0 }

// InGroup says whether c is a member of a group.
func (c *Caller) InGroup(gid uint32) bool { return c.GID == gid || slices.Contains(c.Groups, gid) }

// What a Caller may want of an inode, as in access(2).
const (
	MayExec  = 1 // or search a directory
	MayWrite = 2
	MayRead  = 4
)

// Access checks that c may do what want says with n (path_resolution(7),
// "Permissions").
func (c *Caller) Access(n Inode, want uint32) errno.Errno {
	mode := n.Mode()
	if IsDir(mode) {
		if c.Can(CapDACOverride) || want&MayWrite == 0 && c.Can(CapDACReadSearch) {
			return 0
		}
	} else if c.Can(CapDACOverride) && (want&MayExec == 0 || mode&0o111 != 0) ||
		want == MayRead && c.Can(CapDACReadSearch) {
		return 0
	}
	a := n.Attr()
	switch {
	case a.UID == c.UID:
		mode >>= 6
	case c.InGroup(a.GID):
		mode >>= 3
	}
	if want&^(mode&7) != 0 {
		return errno.EACCES
	}
	return 0
}

// owns checks that c is the owner of what a describes, or as good as that.
func (c *Caller) owns(a *Attr) bool { return c.UID == a.UID || c.Can(CapFowner) }

// mayCreate checks that c may make an entry in dir, which may have been removed.
func (c *Caller) mayCreate(dir Inode) errno.Errno {
	err := c.Access(dir, MayWrite|MayExec)
	if err != 0 && dir.Attr().Nlink == 0 {
		err = errno.ENOENT
	}
	return err
}

// mayDelete checks that c may take the entry for n out of dir.
func (c *Caller) mayDelete(dir, n Inode) errno.Errno {
	if err := c.Access(dir, MayWrite|MayExec); err != 0 {
		return err
	}
	if dir.Mode()&Sticky == 0 || c.Can(CapFowner) {
		return 0
	}
	d, a := dir.Attr(), n.Attr()
	if c.UID != d.UID && c.UID != a.UID {
		return errno.EPERM
	}
	return 0
}

// mayLink says whether c may give n another name: not to what it could not write, or
// what is more than a file (proc_sys_fs(5), protected_hardlinks, which is set
// nearly everywhere).
func (c *Caller) mayLink(n Inode) bool {
	a := n.Attr()
	if c.owns(&a) {
		return true
	}
	special := a.Mode&SetUID != 0 || a.Mode&(SetGID|0o010) == SetGID|0o010
	return IsRegular(a.Mode) && !special && c.Access(n, MayRead|MayWrite) == 0
}
