package fs

import (
	"sync"
	"sync/atomic"

	"gosv/kernel/errno"
)

// Namespace is a tree of mounted file systems. Processes share it, or have one
// of their own.
type Namespace struct {
	root   *Mount
	mu     sync.Mutex // against other changes of mounts
	lastID uint64
}

// Mount is a file system in a Namespace's tree. It covers a directory's entry:
// that need not be there underneath.
type Mount struct {
	Source, Kind string // as /proc/mounts shows them
	Device       uint64 // of the file system, as FileSystem has it
	ID           uint64 // as /proc/self/mountinfo shows it; of the root 1
	Added        bool   // by Cover

	parent Place  // the directory whose entry it covers; no Inode for the root
	name   string // that entry
	below  atomic.Pointer[[]*Mount]

	once sync.Once
	open func() Inode
	top  Inode
}

// Place is an inode where a path led to it.
type Place struct {
	Mount *Mount
	Inode Inode // nil: no place

	dir  Inode  // where it was found, if that is known
	name string // its entry there
}

// NewNamespace returns a namespace of one file system.
func NewNamespace(source, kind string, root Inode) *Namespace {
	return &Namespace{root: &Mount{Source: source, Kind: kind, Device: root.FS().Device(), ID: 1, top: root}, lastID: 1}
}

// Root is the top of the tree.
func (ns *Namespace) Root() Place { return Place{Mount: ns.root, Inode: ns.root.top} }

// Mount puts a file system at the entry called name of the directory at. Its
// root is asked for when somebody goes there.
func (ns *Namespace) Mount(at Place, name, source, kind string, device uint64, root func() Inode) *Mount {
	m := &Mount{Source: source, Kind: kind, Device: device, parent: at, name: name, open: root}
	ns.add(m)
	return m
}

func (ns *Namespace) add(m *Mount) {
	at := &m.parent
	ns.mu.Lock()
	defer ns.mu.Unlock()
	ns.lastID++
	m.ID = ns.lastID
	var list []*Mount
	if old := at.Mount.below.Load(); old != nil {
		list = append(list, *old...)
	}
	list = append(list, m)
	at.Mount.below.Store(&list)
}

// Cover mounts a file system over a directory.
func (ns *Namespace) Cover(p Place, source, kind string, root Inode) errno.Errno {
	if !IsDir(p.Inode.Mode()) {
		return errno.ENOTDIR
	}
	at, name := p.Mount.parent, p.Mount.name // what is mounted already is covered, too
	if !p.isTop() {
		up, err := p.Inode.Lookup("..")
		if err == 0 {
			name, err = nameIn(up, p.Inode, p.name)
		}
		if err != 0 {
			return err
		}
		at = Place{Mount: p.Mount, Inode: up}
	}
	if at.Inode == nil {
		return errno.EBUSY // the root of all
	}
	ns.add(&Mount{Source: source, Kind: kind, Device: root.FS().Device(), parent: at, name: name, top: root, Added: true})
	return 0
}

// Unmount takes a file system out of the tree that nothing is mounted on, or with all
// what is.
func (ns *Namespace) Unmount(m *Mount, all bool) errno.Errno {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if list := m.below.Load(); list != nil && len(*list) > 0 && !all {
		return errno.EBUSY
	}
	old := m.parent.Mount.below.Load()
	list := make([]*Mount, 0, len(*old))
	for _, b := range *old {
		if b != m {
			list = append(list, b)
		}
	}
	m.parent.Mount.below.Store(&list)
	return 0
}

// Mounts calls f for all mounts, those that are below others after them. It asks
// for the roots of all, since some bring mounts with them.
func (ns *Namespace) Mounts(f func(m *Mount)) { ns.root.each(f) }

func (m *Mount) each(f func(m *Mount)) {
	f(m)
	m.Root()
	if list := m.below.Load(); list != nil {
		for _, b := range *list {
			b.each(f)
		}
	}
}

// Root is the top of the mounted file system.
func (m *Mount) Root() Inode {
	if m.open != nil {
		m.once.Do(func() { m.top = m.open() })
	}
	return m.top
}

// ParentID is the ID of the mount that m is mounted on, 0 for the root.
func (m *Mount) ParentID() uint64 {
	if m.parent.Mount == nil {
		return 0
	}
	return m.parent.Mount.ID
}

// Place is the top of the mounted file system as a place.
func (m *Mount) Place() Place {
	return Place{Mount: m, Inode: m.Root(), dir: m.parent.Inode, name: m.name}
}

// Path is where the file system is mounted, from root on. It does not ask for the
// file system's root.
func (m *Mount) Path(root Place) (string, errno.Errno) {
	if m.parent.Inode == nil {
		return "/", 0
	}
	dir, err := m.parent.Path(root)
	if dir == "/" {
		dir = ""
	}
	return dir + "/" + m.name, err
}

// mountAt returns what is mounted at an entry of a directory in m.
func (m *Mount) mountAt(dir Inode, name string) *Mount {
	list := m.below.Load()
	if list == nil {
		return nil
	}
	ino := dir.Ino()
	for i := len(*list) - 1; i >= 0; i-- { // the last one hides those before it
		if b := (*list)[i]; b.name == name && b.parent.Inode.Ino() == ino {
			return b
		}
	}
	return nil
}

// MountID is the ID of the mount that p is in; 0 for no place.
func (p *Place) MountID() uint64 {
	if p.Mount == nil {
		return 0
	}
	return p.Mount.ID
}

// Same says whether two places hold the same inode of the same mount.
func (p *Place) Same(q *Place) bool { return p.Mount == q.Mount && p.Inode.Ino() == q.Inode.Ino() }

// isTop says whether p is its mount's root.
func (p *Place) isTop() bool { return p.Inode.Ino() == p.Mount.Root().Ino() }
