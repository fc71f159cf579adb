package fs

import "gosv/kernel/errno"

// Chmod sets p's permissions for chmod(2).
func (c *Caller) Chmod(n Inode, mode uint32) errno.Errno {
	a := n.Attr()
	if IsSymlink(a.Mode) {
		return errno.EOPNOTSUPP
	}
	if !c.owns(&a) {
		return errno.EPERM
	}
	mode &= PermMask
	if !c.InGroup(a.GID) && !c.Can(CapFsetID) {
		mode &^= SetGID
	}
	return n.SetAttr(Change{Set: SetMode, Mode: mode})
}

// noID in a call of Chown leaves that id as it is.
const noID = 1<<32 - 1

// Chown sets n's owner and group for chown(2), each unless it is -1.
func (c *Caller) Chown(n Inode, uid, gid uint32) errno.Errno {
	a := n.Attr()
	ch := Change{UID: uid, GID: gid}
	if uid != noID {
		ch.Set |= SetOwner
		if !c.Can(CapChown) && (c.UID != a.UID || uid != a.UID) {
			return errno.EPERM
		}
	}
	if gid != noID {
		ch.Set |= SetGroup
		if !c.Can(CapChown) && (c.UID != a.UID || gid != a.GID && !c.InGroup(gid)) {
			return errno.EPERM
		}
	}
	if !IsDir(a.Mode) {
		if m := a.Mode & PermMask &^ c.privileged(&a); m != a.Mode&PermMask {
			if !c.owns(&a) { // even if nothing else changes
				return errno.EPERM
			}
			ch.Set |= SetMode
			ch.Mode = m
		}
	}
	return n.SetAttr(ch)
}

// privileged returns the bits of a mode that go when c gives the file another
// owner or other contents. SetGID without execute permission meant something
// else once, and may stay where c could set it.
func (c *Caller) privileged(a *Attr) uint32 {
	bits := uint32(SetUID)
	if a.Mode&0o010 != 0 || !c.InGroup(a.GID) && !c.Can(CapFsetID) {
		bits |= SetGID
	}
	return bits
}

// Written takes the set-user-ID and set-group-ID bits away from a file whose
// contents c changed, unless it is privileged. It says whether it did.
func (c *Caller) Written(n Inode) bool {
	if c.Can(CapFsetID) || n.Mode()&(SetUID|SetGID) == 0 {
		return false
	}
	a := n.Attr()
	m := a.Mode & PermMask &^ c.privileged(&a)
	if m == a.Mode&PermMask {
		return false
	}
	n.SetAttr(Change{Set: SetMode, Mode: m})
	return true
}

// SetTimes sets n's times for utimensat(2). now says that they are the present
// time: whoever may write the file may do that.
func (c *Caller) SetTimes(n Inode, ch Change, now bool) errno.Errno {
	a := n.Attr()
	if !c.owns(&a) {
		if !now {
			return errno.EPERM
		}
		if err := c.Access(n, MayWrite); err != 0 {
			return err
		}
	}
	return n.SetAttr(ch)
}

// Truncate sets the size of a file that is not open, for truncate(2).
func (c *Caller) Truncate(n Inode, size int64) errno.Errno {
	switch mode := n.Mode(); {
	case IsDir(mode):
		return errno.EISDIR
	case !IsRegular(mode):
		return errno.EINVAL
	}
	if err := c.Access(n, MayWrite); err != 0 {
		return err
	}
	if err := n.Truncate(size); err != 0 {
		return err
	}
	c.Written(n)
	return 0
}
