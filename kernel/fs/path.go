package fs

import "gosv/kernel/errno"

// maxDepth bounds how many directories are between one and its root: in an image
// made with ill intent they may stand in a circle.
const maxDepth = MaxPath

// Path returns p's absolute path from root on. Linux remembers the names on the
// way; here they are looked for, which costs nothing until somebody asks.
//
// As on Linux " (deleted)" follows the name of what has none any more, and
// "(unreachable)" stands before a path that does not lead to root.
func (p Place) Path(root Place) (string, errno.Errno) {
	tail := "" // what stands behind the directories still to come
	if p.Inode != nil && !IsDir(p.Inode.Mode()) {
		if p.dir == nil {
			return "", errno.ENOENT
		}
		name, err := nameIn(p.dir, p.Inode, p.name)
		if err != 0 {
			name = p.name + " (deleted)"
		}
		tail = "/" + name
		p = Place{Mount: p.Mount, Inode: p.dir}
	}
	for range maxDepth {
		if p.Same(&root) {
			if tail == "" {
				tail = "/"
			}
			return tail, 0
		}
		if p.isTop() {
			if p.Mount.parent.Inode == nil {
				return "(unreachable)" + tail, 0
			}
			tail = "/" + p.Mount.name + tail
			p = p.Mount.parent
			continue
		}
		up, err := p.Inode.Lookup("..")
		if err != 0 {
			return "", err
		}
		name, err := nameIn(up, p.Inode, p.name)
		if err != 0 {
			return "", err
		}
		if tail = "/" + name + tail; len(tail) >= MaxPath {
			return "", errno.ENAMETOOLONG
		}
		p = Place{Mount: p.Mount, Inode: up}
	}
	return "", errno.ELOOP
}

// below says whether the directory p is n, or anywhere below it.
func (p *Place) below(n Inode) bool {
	ino := n.Ino()
	for d, depth := p.Inode, 0; depth < maxDepth; depth++ {
		if d.Ino() == ino {
			return true
		}
		up, err := d.Lookup("..")
		if err != 0 || up.Ino() == d.Ino() || d.Ino() == p.Mount.Root().Ino() {
			return false
		}
		d = up
	}
	return false
}

// Unlinked says whether p's name is gone from the directory that it was found in.
func (p *Place) Unlinked() bool {
	if p.dir == nil {
		return false
	}
	n, err := p.dir.Lookup(p.name)
	return err != 0 || n.Ino() != p.Inode.Ino()
}

// nameIn returns n's name in dir, of which guess is the likeliest.
func nameIn(dir, n Inode, guess string) (string, errno.Errno) {
	ino := n.Ino()
	if guess != "" {
		if g, err := dir.Lookup(guess); err == 0 && g.Ino() == ino {
			return guess, 0
		}
	}
	name := ""
	err := dir.ReadDir(0, func(e Dirent) bool {
		if e.Ino == ino && e.Name != "." && e.Name != ".." {
			name = e.Name
		}
		return name == ""
	})
	if err == 0 && name == "" {
		err = errno.ENOENT
	}
	return name, err
}
