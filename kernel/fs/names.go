package fs

import "gosv/kernel/errno"

// Make makes a directory, a symbolic link, a device node or another file at
// path for mkdir(2), symlink(2) and mknod(2).
func (at *At) Make(path string, a New) errno.Errno {
	w, err := at.toName(path)
	if err != 0 {
		return err
	}
	if w.last == "" || w.last == "." || w.last == ".." {
		return errno.EEXIST
	}
	if err := w.vacant(IsDir(a.Mode)); err != 0 {
		return err
	}
	if IsDir(a.Mode) {
		a.Mode &^= SetUID | SetGID // a directory inherits the latter, or not
	}
	n, err := w.make(w.place.Inode, w.last, a)
	if err == 0 {
		at.created(w.place.Inode, w.last, n, false)
	}
	return err
}

// Link makes another name for the inode of target at path, for link(2).
func (at *At) Link(target Place, path string) errno.Errno {
	w, err := at.toName(path)
	if err != 0 {
		return err
	}
	if w.last == "" || w.last == "." || w.last == ".." {
		return errno.EEXIST
	}
	if err := w.vacant(false); err != 0 {
		return err
	}
	if w.place.Mount != target.Mount {
		return errno.EXDEV
	}
	if !at.Caller.mayLink(target.Inode) {
		return errno.EPERM
	}
	if err := at.Caller.mayCreate(w.place.Inode); err != 0 {
		return err
	}
	if IsDir(target.Inode.Mode()) {
		return errno.EPERM
	}
	if err := w.place.Inode.Link(w.last, target.Inode); err != 0 {
		return err
	}
	at.created(w.place.Inode, w.last, target.Inode, true)
	return 0
}

// Unlink takes a name away, for unlink(2).
func (at *At) Unlink(path string) errno.Errno {
	w, err := at.toName(path)
	if err != 0 {
		return err
	}
	if w.last == "" || w.last == "." || w.last == ".." {
		return errno.EISDIR
	}
	dir := w.place.Inode
	mounted := w.place.Mount.mountAt(dir, w.last) != nil
	if err := w.step(w.last); err != 0 {
		return err
	}
	if w.slash {
		if IsDir(w.mode) {
			return errno.EISDIR
		}
		return errno.ENOTDIR
	}
	if err := at.Caller.mayDelete(dir, w.place.Inode); err != 0 {
		return err
	}
	if IsDir(w.mode) {
		return errno.EISDIR
	}
	if mounted {
		return errno.EBUSY
	}
	if err := dir.Unlink(w.last); err != 0 {
		return err
	}
	at.deleted(dir, w.last, w.place.Inode)
	return 0
}

// Rmdir takes an empty directory away, for rmdir(2).
func (at *At) Rmdir(path string) errno.Errno {
	w, err := at.toName(path)
	if err != 0 {
		return err
	}
	switch w.last {
	case "":
		return errno.EBUSY
	case ".":
		return errno.EINVAL
	case "..":
		return errno.ENOTEMPTY
	}
	dir := w.place.Inode
	mounted := w.place.Mount.mountAt(dir, w.last) != nil
	if err := w.step(w.last); err != 0 {
		return err
	}
	if err := at.Caller.mayDelete(dir, w.place.Inode); err != 0 {
		return err
	}
	if !IsDir(w.mode) {
		return errno.ENOTDIR
	}
	if mounted {
		return errno.EBUSY
	}
	if err := dir.Rmdir(w.last); err != 0 {
		return err
	}
	at.deleted(dir, w.last, w.place.Inode)
	return 0
}

// Rename moves what from's path leads to, for renameat2(2).
func (at *At) Rename(path string, to *At, toPath string, flags uint32) errno.Errno {
	if flags&^(NoReplace|Exchange|Whiteout) != 0 || flags&Exchange != 0 && flags != Exchange {
		return errno.EINVAL
	}
	w, err := at.toName(path)
	if err != 0 {
		return err
	}
	v, err := to.toName(toPath)
	if err != 0 {
		return err
	}
	if w.place.Mount != v.place.Mount {
		return errno.EXDEV
	}
	if w.last == "" || w.last == "." || w.last == ".." {
		return errno.EBUSY
	}
	if v.last == "" || v.last == "." || v.last == ".." {
		if flags&NoReplace != 0 {
			return errno.EEXIST
		}
		return errno.EBUSY
	}
	dir, toDir := w.place, v.place
	if err := w.step(w.last); err != 0 {
		return err
	}
	err = v.step(v.last)
	exists := err == 0
	switch {
	case err != 0 && err != errno.ENOENT:
		return err
	case exists && flags&NoReplace != 0:
		return errno.EEXIST
	case !exists && flags&Exchange != 0:
		return errno.ENOENT
	}
	if !IsDir(w.mode) && (w.slash || v.slash && flags&Exchange == 0) || exists && flags&Exchange != 0 && v.slash && !IsDir(v.mode) {
		return errno.ENOTDIR
	}
	// The file system will look again, but permissions come after this.
	if IsDir(w.mode) && toDir.below(w.place.Inode) {
		return errno.EINVAL
	}
	if exists {
		if IsDir(v.mode) && dir.below(v.place.Inode) {
			if flags&Exchange != 0 {
				return errno.EINVAL
			}
			return errno.ENOTEMPTY
		}
		if w.place.Same(&v.place) {
			return 0
		}
	}
	c := at.Caller
	if err := c.mayDelete(dir.Inode, w.place.Inode); err != 0 {
		return err
	}
	if exists {
		err = c.mayDelete(toDir.Inode, v.place.Inode)
	} else {
		err = c.mayCreate(toDir.Inode)
	}
	if err != 0 {
		return err
	}
	if exists && flags&Exchange == 0 && IsDir(w.mode) != IsDir(v.mode) {
		if IsDir(v.mode) {
			return errno.EISDIR
		}
		return errno.ENOTDIR
	}
	// A directory that moves to another one gets another "..".
	if IsDir(w.mode) && dir.Inode.Ino() != toDir.Inode.Ino() {
		if err := c.Access(w.place.Inode, MayWrite); err != 0 {
			return err
		}
	}
	if dir.Mount.mountAt(dir.Inode, w.last) != nil || dir.Mount.mountAt(toDir.Inode, v.last) != nil {
		return errno.EBUSY
	}
	if err := dir.Inode.Rename(w.last, toDir.Inode, v.last, flags); err != 0 {
		return err
	}
	switch {
	case flags&Exchange != 0:
		at.renamed(w.place.Inode, dir.Inode, w.last, toDir.Inode, v.last, nil)
		at.renamed(v.place.Inode, toDir.Inode, v.last, dir.Inode, w.last, nil)
	case exists:
		at.renamed(w.place.Inode, dir.Inode, w.last, toDir.Inode, v.last, v.place.Inode)
	default:
		at.renamed(w.place.Inode, dir.Inode, w.last, toDir.Inode, v.last, nil)
	}
	if flags&Whiteout == 0 {
		return 0
	}
	white := New{Mode: Char}
	w.own(dir.Inode, &white)
	_, err = dir.Inode.Create(w.last, white)
	return err
}

// toName goes to the directory that holds, or shall hold, path's last component.
func (at *At) toName(path string) (walk, errno.Errno) {
	w := walk{At: at, mode: Directory}
	if err := w.start(path); err != 0 {
		return w, err
	}
	return w, w.to(path, true)
}

// vacant checks that there is nothing by the name w stopped at. Only the name
// of a directory may have slashes behind it.
func (w *walk) vacant(dir bool) errno.Errno {
	at := w.place
	err := w.step(w.last)
	w.place, w.mode = at, Directory
	switch {
	case err == 0:
		return errno.EEXIST
	case err != errno.ENOENT:
		return err
	case w.slash && !dir:
		return errno.ENOENT
	}
	return 0
}
