package fs

// Watcher is told what happens to names, with no lock held.
type Watcher interface {
	// Created says that dir has a new name for n, which may have had others.
	Created(dir Inode, name string, n Inode, link bool)
	Deleted(dir Inode, name string, n Inode)
	// Renamed says that n's name moved, and that replaced, if not nil, lost its own.
	Renamed(n, dir Inode, name string, toDir Inode, toName string, replaced Inode)
}

func (at *At) created(dir Inode, name string, n Inode, link bool) {
	if at.Watcher != nil {
		at.Watcher.Created(dir, name, n, link)
	}
}

func (at *At) deleted(dir Inode, name string, n Inode) {
	if at.Watcher != nil {
		at.Watcher.Deleted(dir, name, n)
	}
}

func (at *At) renamed(n, dir Inode, name string, toDir Inode, toName string, replaced Inode) {
	if at.Watcher != nil {
		at.Watcher.Renamed(n, dir, name, toDir, toName, replaced)
	}
}

// Entry returns the directory that p was found in and p's name there; no
// directory if that is not known.
func (p *Place) Entry() (dir Inode, name string) { return p.dir, p.name }

// Renamed returns p as it is once n's name in dir has become another one. It
// returns false if that is none of p's concern.
func (p *Place) Renamed(n, dir Inode, name string, toDir Inode, toName string) (Place, bool) {
	if p.dir == nil || p.name != name || p.Inode.Ino() != n.Ino() || p.dir.Ino() != dir.Ino() || p.Inode.FS() != n.FS() {
		return Place{}, false
	}
	return Place{Mount: p.Mount, Inode: p.Inode, dir: toDir, name: toName}, true
}
