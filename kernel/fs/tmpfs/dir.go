package tmpfs

import (
	"slices"

	"gosv/kernel/errno"
	"gosv/kernel/fs"
)

// dir is what a directory of ours holds: all of it, or in what it differs from
// a lower one. Everything here is under FS.tree.
type dir struct {
	lower   fs.Inode // nil if there is none
	parent  *node    // nil: the lower one's parent
	entries map[string]*entry
	list    []*entry // by pos; some may be gone
	gone    int      // how many
	nextPos int64
}

// entry is a name in a directory, or stands for one of the lower directory's
// that is there no more.
type entry struct {
	name string
	node *node // nil: no such name
	pos  int64 // for ReadDir
	gone bool  // taken out of entries
}

// ownEntries is the position that ReadDir gives the first of a directory's own
// entries: above any of a lower directory's.
const ownEntries = 1 << 62

// child returns what name stands for in n, whose own directory is d.
func (n *node) child(d *dir, name string) (*node, errno.Errno) {
	if e := d.entries[name]; e != nil {
		if e.node == nil {
			return nil, errno.ENOENT
		}
		return e.node, 0
	}
	if d.lower == nil {
		return nil, errno.ENOENT
	}
	return n.vol.lowerChild(d.lower, name)
}

func (f *FS) lowerChild(dir fs.Inode, name string) (*node, errno.Errno) {
	l, err := dir.Lookup(name)
	if err != 0 {
		return nil, err
	}
	return f.wrap(l), 0
}

// put makes name stand for c, nil for nothing.
func (d *dir) put(name string, c *node) {
	if e := d.entries[name]; e != nil {
		d.remove(e)
	}
	if c == nil {
		if d.lower == nil {
			return
		}
		if _, err := d.lower.Lookup(name); err == errno.ENOENT {
			return
		}
	}
	if d.entries == nil {
		d.entries = make(map[string]*entry)
	}
	e := &entry{name: name, node: c, pos: ownEntries + d.nextPos}
	d.nextPos++
	d.entries[name] = e
	if c != nil {
		d.list = append(d.list, e)
	}
}

// remove takes an entry out.
func (d *dir) remove(e *entry) {
	delete(d.entries, e.name)
	e.gone = true
	if e.node == nil {
		return
	}
	if d.gone++; d.gone > 16 && d.gone > len(d.list)/2 {
		d.list = slices.DeleteFunc(d.list, func(e *entry) bool { return e.gone })
		d.gone = 0
	}
}

// empty says whether a directory has no entries.
func (d *dir) empty() (bool, errno.Errno) {
	if len(d.list) > d.gone {
		return false, 0
	}
	if d.lower == nil {
		return true, 0
	}
	empty := true
	err := d.lower.ReadDir(0, func(e fs.Dirent) bool {
		if e.Name != "." && e.Name != ".." && d.entries[e.Name] == nil {
			empty = false
		}
		return empty
	})
	return empty, err
}

// Lookup implements fs.Inode.
func (n *node) Lookup(name string) (fs.Inode, errno.Errno) {
	c, err := n.lookup(name)
	if err == errno.ENOENT && n == n.vol.root && n.vol.Complete != nil {
		n.vol.Complete(n)
		c, err = n.lookup(name)
	}
	if err != 0 {
		return nil, err
	}
	return c, 0
}

func (n *node) lookup(name string) (*node, errno.Errno) {
	s := n.ours()
	if s == nil {
		return n.vol.lowerChild(n.lower, name)
	}
	if s.dir == nil {
		return nil, errno.ENOTDIR
	}
	n.vol.tree.RLock()
	defer n.vol.tree.RUnlock()
	if name == ".." {
		return n.parent(s.dir)
	}
	return n.child(s.dir, name)
}

// parent returns the directory that n is in, with tree locked.
func (n *node) parent(d *dir) (*node, errno.Errno) {
	if d.parent != nil {
		return d.parent, 0
	}
	return n.vol.lowerChild(d.lower, "..")
}

// ReadDir implements fs.Inode.
func (n *node) ReadDir(pos int64, emit func(e fs.Dirent) bool) errno.Errno {
	s := n.ours()
	if s == nil {
		return n.lower.ReadDir(pos, emit)
	}
	d := s.dir
	if d == nil {
		return errno.ENOTDIR
	}
	if n == n.vol.root && n.vol.Complete != nil {
		n.vol.Complete(n)
	}
	n.vol.tree.RLock()
	defer n.vol.tree.RUnlock()
	if s.nlink == 0 {
		return errno.ENOENT
	}
	if pos < ownEntries {
		more, err := n.readLower(d, pos, emit)
		if !more || err != 0 {
			return err
		}
	}
	i, _ := slices.BinarySearchFunc(d.list, max(pos, ownEntries), func(e *entry, pos int64) int {
		if e.pos < pos {
			return -1
		} else if e.pos > pos {
			return 1
		}
		return 0
	})
	for ; i < len(d.list); i++ {
		e := d.list[i]
		if !e.gone && !emit(fs.Dirent{Name: e.name, Ino: e.node.Ino(), Type: e.node.kind(), Next: e.pos + 1}) {
			return 0
		}
	}
	return 0
}

// readLower lists a directory's "." and "..", and what it still has of the
// lower one. It returns false if emit did.
func (n *node) readLower(d *dir, pos int64, emit func(e fs.Dirent) bool) (bool, errno.Errno) {
	up := n
	if p, err := n.parent(d); err == 0 {
		up = p
	}
	if d.lower == nil {
		return (pos > 0 || emit(fs.Dirent{Name: ".", Ino: n.Ino(), Type: fs.Directory, Next: 1})) &&
			(pos > 1 || emit(fs.Dirent{Name: "..", Ino: up.Ino(), Type: fs.Directory, Next: ownEntries})), 0
	}
	more := true
	err := d.lower.ReadDir(pos, func(e fs.Dirent) bool {
		if e.Name == ".." {
			e.Ino = up.Ino()
		} else if d.entries[e.Name] != nil {
			return true
		}
		more = emit(e)
		return more
	})
	return more, err
}

// kind returns the type of an inode, which never changes.
func (n *node) kind() uint32 {
	if n.lower != nil {
		return n.lower.Mode() & fs.TypeMask
	}
	return n.Mode() & fs.TypeMask
}

// change locks the tree for a change of the directory n, which must still be
// there.
func (n *node) change() (*inode, errno.Errno) {
	s, err := n.take()
	if err != 0 {
		return nil, err
	}
	if s.dir == nil {
		return nil, errno.ENOTDIR
	}
	n.vol.tree.Lock()
	if s.nlink == 0 { // only with tree locked does it change
		n.vol.tree.Unlock()
		return nil, errno.ENOENT
	}
	return s, 0
}

// links changes how many names c has.
func (c *inode) links(d int) {
	now := c.vol.Now()
	c.attr.Lock()
	c.nlink = uint32(max(int(c.nlink)+d, 0))
	c.ctime = now
	c.attr.Unlock()
}

// Create implements fs.Inode.
func (n *node) Create(name string, a fs.New) (fs.Inode, errno.Errno) {
	s, err := n.change()
	if err != 0 {
		return nil, err
	}
	defer n.vol.tree.Unlock()
	if n.vol.full() {
		return nil, errno.ENOSPC
	}
	if name == "" {
		c := n.vol.node(a)
		c.own.Load().noName = !a.Private
		return c, 0
	}
	if _, err := n.child(s.dir, name); err != errno.ENOENT {
		return nil, exists(err)
	}
	c := n.vol.node(a)
	o := c.own.Load()
	if o.nlink = 1; o.dir != nil {
		o.nlink = 2
		o.dir.parent = n
		s.links(1)
	}
	s.dir.put(name, c)
	s.touch()
	return c, 0
}

// exists is what a lookup says to somebody who wants the name for something new.
func exists(err errno.Errno) errno.Errno {
	if err == 0 {
		return errno.EEXIST
	}
	return err
}

// Link implements fs.Inode.
func (n *node) Link(name string, target fs.Inode) errno.Errno {
	c, ok := target.(*node)
	if !ok || c.vol != n.vol {
		return errno.EXDEV
	}
	o, err := c.take()
	if err != 0 {
		return err
	}
	s, err := n.change()
	if err != 0 {
		return err
	}
	defer n.vol.tree.Unlock()
	switch {
	case o.dir != nil:
		return errno.EPERM
	case o.nlink == 0 && !o.noName:
		return errno.ENOENT
	}
	if _, err := n.child(s.dir, name); err != errno.ENOENT {
		return exists(err)
	}
	o.noName = false
	o.links(1)
	s.dir.put(name, c)
	s.touch()
	return 0
}

// Unlink implements fs.Inode.
func (n *node) Unlink(name string) errno.Errno {
	o, err := n.drop(name, false)
	if err == 0 {
		o.reap()
	}
	return err
}

// Rmdir implements fs.Inode.
func (n *node) Rmdir(name string) errno.Errno {
	o, err := n.drop(name, true)
	if err == 0 {
		o.reap()
	}
	return err
}

// drop takes a name of a directory, or of something else, away, and returns
// what had it.
func (n *node) drop(name string, isDir bool) (*inode, errno.Errno) {
	s, err := n.change()
	if err != 0 {
		return nil, err
	}
	defer n.vol.tree.Unlock()
	c, err := n.child(s.dir, name)
	if err != 0 {
		return nil, err
	}
	o, err := c.take()
	if err != 0 {
		return nil, err
	}
	switch {
	case isDir && o.dir == nil:
		return nil, errno.ENOTDIR
	case !isDir && o.dir != nil:
		return nil, errno.EISDIR
	}
	if err := s.lose(o); err != 0 {
		return nil, err
	}
	s.dir.put(name, nil)
	s.touch()
	return o, 0
}

// lose makes the directory s one whose entry for o is about to go.
func (s *inode) lose(o *inode) errno.Errno {
	if o.dir == nil {
		o.links(-1)
		return 0
	}
	if ok, err := o.dir.empty(); err != 0 || !ok {
		if err == 0 {
			err = errno.ENOTEMPTY
		}
		return err
	}
	o.links(-int(o.nlink))
	s.links(-1)
	return 0
}

// Rename implements fs.Inode.
func (n *node) Rename(name string, to fs.Inode, toName string, flags uint32) errno.Errno {
	dst, ok := to.(*node)
	if !ok || dst.vol != n.vol {
		return errno.EXDEV
	}
	if _, err := dst.take(); err != 0 {
		return err
	}
	s, err := n.change()
	if err != 0 {
		return err
	}
	replaced, err := n.rename(s, name, dst, dst.ours(), toName, flags)
	n.vol.tree.Unlock()
	if replaced != nil {
		replaced.reap()
	}
	return err
}

// rename is Rename with tree locked. It returns what lost its name.
func (n *node) rename(s *inode, name string, dst *node, t *inode, toName string, flags uint32) (*inode, errno.Errno) {
	switch {
	case t.dir == nil:
		return nil, errno.ENOTDIR
	case t.nlink == 0:
		return nil, errno.ENOENT
	}
	a, err := n.child(s.dir, name)
	if err != 0 {
		return nil, err
	}
	x, err := a.take()
	if err != 0 {
		return nil, err
	}
	var y *inode
	b, err := dst.child(t.dir, toName)
	switch {
	case err == 0 && flags&fs.NoReplace != 0:
		return nil, errno.EEXIST
	case err == 0:
		if y, err = b.take(); err != 0 {
			return nil, err
		}
	case err != errno.ENOENT:
		return nil, err
	case flags&fs.Exchange != 0:
		return nil, errno.ENOENT
	}
	if x == y {
		return nil, 0
	}
	if err := dst.inside(x); err != 0 {
		return nil, err
	}
	if y != nil {
		if err := n.inside(y); err != 0 {
			if err == errno.EINVAL && flags&fs.Exchange == 0 {
				err = errno.ENOTEMPTY
			}
			return nil, err
		}
	}
	if flags&fs.Exchange != 0 {
		s.dir.put(name, b)
		t.dir.put(toName, a)
		moved(y, s, t, n)
		moved(x, t, s, dst)
		y.links(0)
	} else {
		if y != nil {
			switch {
			case x.dir != nil && y.dir == nil:
				return nil, errno.ENOTDIR
			case x.dir == nil && y.dir != nil:
				return nil, errno.EISDIR
			}
			if err := t.lose(y); err != 0 {
				return nil, err
			}
		}
		s.dir.put(name, nil)
		t.dir.put(toName, a)
		moved(x, t, s, dst)
	}
	x.links(0)
	s.touch()
	t.touch()
	return y, 0
}

// moved notes that x went into the directory to out of from.
func moved(x, to, from *inode, parent *node) {
	if x.dir != nil {
		x.dir.parent = parent
		from.links(-1)
		to.links(1)
	}
}

// inside returns EINVAL if n is the directory x or anywhere below it.
func (n *node) inside(x *inode) errno.Errno {
	if x.dir == nil {
		return 0
	}
	const limit = 1 << 16 // a lower file system made with ill intent may have circles
	for range limit {
		if n.Ino() == x.ino {
			return errno.EINVAL
		}
		if n.Ino() == n.vol.root.Ino() {
			return 0
		}
		var up *node
		var err errno.Errno
		if s := n.ours(); s != nil {
			up, err = n.parent(s.dir)
		} else {
			up, err = n.vol.lowerChild(n.lower, "..")
		}
		if err != 0 {
			return err
		}
		n = up
	}
	return errno.ELOOP
}
