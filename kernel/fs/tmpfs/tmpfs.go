// Package tmpfs is a file system in memory, for itself or on top of a read-only
// one.
//
// On top of another, an inode is the lower one until it is changed; from then on
// it is ours, under the number it always had. Contents are taken over page by
// page as they are written, and a directory remembers only in what it differs
// from the lower one: so a change costs the same however large a file or a
// directory is, and renames move directories with all that is below them.
package tmpfs

import (
	"sync"
	"sync/atomic"

	"gosv/kernel/errno"
	"gosv/kernel/fs"
)

// Config says what a file system is made of.
type Config struct {
	Device uint64                      // st_dev
	Pages  fs.PageAlloc                // holds the files' contents
	Now    func() fs.Time              // for time stamps
	Memory func() (free, total uint64) // bytes, for statfs(2); nil: unknown
	Mode   uint32                      // permissions of the root directory, if it has no lower one
	Magic  uint64                      // for statfs(2); 0: tmpfs's
	Inodes int64                       // how many there may be, 0: as many as fit in memory
	Lower  fs.Inode                    // root of what it is put on top of, or nil

	// Complete, if there is one, is called whenever somebody lists the root
	// directory or misses something there, and may add to it.
	Complete func(root fs.Inode)
}

// FS is a file system.
//
// Locks, from the outermost: tree, inode.data, inode.index; inode.attr and FS.mu
// may be taken under any of them, in this order.
type FS struct {
	Config
	root    *node
	lastIno atomic.Uint64
	inodes  atomic.Int64 // that are ours and still have a name or are open

	tree sync.RWMutex // what directories hold, and link counts

	mu      sync.Mutex
	taken   map[uint64]*inode // what is no longer the lower file system's, by number
	open    []*node           // handles of lower files that are open or mapped
	changed atomic.Bool       // whether taken has any
}

// firstIno is the number of the first inode made on top of others: above any
// that an image has.
const firstIno = 1 << 32

// New returns a file system.
func New(c Config) *FS {
	if c.Magic == 0 {
		c.Magic = fs.MagicTmpfs
	}
	f := &FS{Config: c}
	if c.Lower != nil {
		f.lastIno.Store(firstIno - 1)
		f.root = f.wrap(c.Lower)
	} else {
		f.root = f.node(fs.New{Mode: fs.Directory | c.Mode&fs.PermMask})
		f.root.own.Load().nlink = 2
		f.root.own.Load().dir.parent = f.root
	}
	return f
}

// Root returns the root directory.
func (f *FS) Root() fs.Inode { return f.root }

// Device implements fs.FileSystem.
func (f *FS) Device() uint64 { return f.Config.Device }

// Usage implements fs.FileSystem.
func (f *FS) Usage() fs.Usage {
	u := fs.Usage{Magic: f.Magic}
	if f.Memory != nil {
		free, total := f.Memory()
		u.Free, u.Blocks = free/fs.PageSize, total/fs.PageSize
	}
	limit := f.Inodes
	if limit == 0 {
		limit = int64(u.Blocks / 2) // what Linux gives a tmpfs; here it is no limit
	}
	u.Files, u.FilesFree = uint64(limit), uint64(max(limit-f.inodes.Load(), 0))
	return u
}

// File returns a file without a name, for memfd_create(2).
func (f *FS) File(a fs.New) (fs.Inode, errno.Errno) {
	if f.full() {
		return nil, errno.ENOSPC
	}
	return f.node(a), 0
}

// full says whether there are as many inodes as there may be, or as memory allows.
func (f *FS) full() bool {
	if f.Inodes > 0 && f.inodes.Load() >= f.Inodes {
		return true
	}
	if f.Memory == nil {
		return false
	}
	free, total := f.Memory()
	return free < min(total/32, 1<<20)
}

// node is a handle of an inode: ours, or the lower file system's as long as
// nobody has changed it through this handle or another.
type node struct {
	vol   *FS
	lower fs.Inode // nil if it was made here
	own   atomic.Pointer[inode]

	// While it is the lower one's: under FS.mu.
	opens, maps int
	slot        int // its place in FS.open
}

// inode is an inode of ours.
type inode struct {
	vol    *FS
	ino    uint64
	rdev   uint32
	target string // of a symbolic link
	dir    *dir   // of a directory
	file   *file  // of a regular file

	attr        sync.Mutex
	mode        uint32
	nlink       uint32 // changes under tree, too
	uid, gid    uint32
	atime       fs.Time
	mtime       fs.Time
	ctime       fs.Time
	btime       fs.Time
	opens, maps int
	dead        bool // no name, neither open nor mapped: the contents are gone
	noName      bool // made without a name, and may still get one
}

// wrap returns a handle of an inode of the lower file system.
func (f *FS) wrap(lower fs.Inode) *node { return &node{vol: f, lower: lower} }

// node makes an inode.
func (f *FS) node(a fs.New) *node {
	now := f.Now()
	s := &inode{
		vol: f, ino: f.lastIno.Add(1), mode: a.Mode, uid: a.UID, gid: a.GID, rdev: a.Rdev, target: a.Target,
		atime: now, mtime: now, ctime: now, btime: now,
	}
	switch a.Mode & fs.TypeMask {
	case fs.Directory:
		s.dir = &dir{}
	case fs.Regular:
		s.file = &file{}
	}
	f.inodes.Add(1)
	n := &node{vol: f}
	n.own.Store(s)
	return n
}

// ours returns the inode if it is ours, nil if it is still the lower one's.
func (n *node) ours() *inode {
	if s := n.own.Load(); s != nil {
		return s
	}
	f := n.vol
	if !f.changed.Load() {
		return nil
	}
	f.mu.Lock()
	s := f.taken[n.lower.Ino()]
	f.mu.Unlock()
	if s != nil {
		n.own.Store(s)
	}
	return s
}

// take makes the inode ours, because it is about to change.
func (n *node) take() (*inode, errno.Errno) {
	if s := n.ours(); s != nil {
		return s, 0
	}
	f, a := n.vol, n.lower.Attr()
	s := &inode{
		vol: f, ino: a.Ino, mode: a.Mode, nlink: a.Nlink, uid: a.UID, gid: a.GID, rdev: a.Rdev,
		atime: a.Atime, mtime: a.Mtime, ctime: a.Ctime, btime: a.Btime,
	}
	switch a.Mode & fs.TypeMask {
	case fs.Directory:
		s.dir = &dir{lower: n.lower}
	case fs.Regular:
		s.file = &file{base: n.lower, baseEnd: a.Size, baseAll: a.Size}
		s.file.size.Store(a.Size)
	case fs.Symlink:
		var err errno.Errno
		if s.target, err = n.lower.Readlink(nil); err != 0 {
			return nil, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if t := f.taken[s.ino]; t != nil { // somebody was faster
		s = t
	} else {
		if f.taken == nil {
			f.taken = make(map[uint64]*inode)
		}
		f.taken[s.ino] = s
		f.inodes.Add(1)
		f.changed.Store(true)
		f.adopt(s)
	}
	n.own.Store(s)
	return s, 0
}

// adopt makes the handles of open and mapped lower files that stand for s stand for it.
func (f *FS) adopt(s *inode) {
	for i := len(f.open) - 1; i >= 0; i-- {
		if n := f.open[i]; n.lower.Ino() == s.ino {
			s.opens += n.opens
			s.maps += n.maps
			n.own.Store(s)
			f.forget(n)
		}
	}
}

// forget takes a handle out of the list of those in use.
func (f *FS) forget(n *node) {
	last := len(f.open) - 1
	f.open[n.slot] = f.open[last]
	f.open[n.slot].slot = n.slot
	f.open[last] = nil
	f.open = f.open[:last]
}

// FS implements fs.Inode.
func (n *node) FS() fs.FileSystem { return n.vol }

// Ino implements fs.Inode.
func (n *node) Ino() uint64 {
	if n.lower != nil {
		return n.lower.Ino()
	}
	return n.own.Load().ino
}

// Mode implements fs.Inode.
func (n *node) Mode() uint32 {
	s := n.ours()
	if s == nil {
		return n.lower.Mode()
	}
	s.attr.Lock()
	defer s.attr.Unlock()
	return s.mode
}

// Attr implements fs.Inode.
func (n *node) Attr() fs.Attr {
	s := n.ours()
	if s == nil {
		return n.lower.Attr()
	}
	s.attr.Lock()
	a := fs.Attr{
		Ino: s.ino, Mode: s.mode, Nlink: s.nlink, UID: s.uid, GID: s.gid, Rdev: s.rdev, BlockSize: fs.PageSize,
		Atime: s.atime, Mtime: s.mtime, Ctime: s.ctime, Btime: s.btime,
	}
	s.attr.Unlock()
	switch {
	case s.file != nil:
		a.Size = s.file.size.Load()
		a.Blocks = s.file.blocks()
	case s.dir != nil:
		a.Size = fs.PageSize
	default:
		a.Size = int64(len(s.target))
	}
	return a
}

// SetAttr implements fs.Inode.
func (n *node) SetAttr(c fs.Change) errno.Errno {
	s, err := n.take()
	if err != 0 {
		return err
	}
	now := n.vol.Now()
	s.attr.Lock()
	defer s.attr.Unlock()
	if c.Set&fs.SetMode != 0 {
		s.mode = s.mode&fs.TypeMask | c.Mode&fs.PermMask
	}
	if c.Set&fs.SetOwner != 0 {
		s.uid = c.UID
	}
	if c.Set&fs.SetGroup != 0 {
		s.gid = c.GID
	}
	if c.Set&fs.SetAtime != 0 {
		s.atime = c.Atime
	}
	if c.Set&fs.SetMtime != 0 {
		s.mtime = c.Mtime
	}
	s.ctime = now
	return 0
}

// Readlink implements fs.Inode.
func (n *node) Readlink(c *fs.Caller) (string, errno.Errno) {
	s := n.ours()
	if s == nil {
		return n.lower.Readlink(c)
	}
	if s.target == "" {
		return "", errno.EINVAL
	}
	return s.target, 0
}

// Open implements fs.Inode.
func (n *node) Open() (fs.Inode, errno.Errno) {
	if s := n.ours(); s != nil {
		return n, s.opened()
	}
	if s := n.use(1, 0); s != nil {
		return n, s.opened()
	}
	return n, 0
}

// use counts opens and mappings of a lower file, as long as it is one; else it
// returns the inode of ours that counts them.
func (n *node) use(opens, maps int) *inode {
	f := n.vol
	f.mu.Lock()
	defer f.mu.Unlock()
	s := n.own.Load()
	if s == nil { // somebody may have changed the file meanwhile
		s = f.taken[n.lower.Ino()]
	}
	if s != nil {
		n.own.Store(s)
		return s
	}
	if n.opens+n.maps == 0 {
		n.slot = len(f.open)
		f.open = append(f.open, n)
	}
	n.opens += opens
	n.maps += maps
	if n.opens+n.maps == 0 {
		f.forget(n)
	}
	return nil
}

func (s *inode) opened() errno.Errno {
	s.attr.Lock()
	defer s.attr.Unlock()
	if s.dead && s.dir == nil { // a directory may be somebody's working directory
		return errno.ENOENT
	}
	s.opens++
	return 0
}

// Close implements fs.Inode.
func (n *node) Close() {
	if s := n.use(-1, 0); s != nil {
		s.attr.Lock()
		s.opens--
		s.attr.Unlock()
		s.reap()
	}
}

// Gone says whether n has no name and is neither open nor mapped: nothing will happen to it any
// more.
func (n *node) Gone() bool {
	s := n.ours()
	if s == nil {
		return false
	}
	s.attr.Lock()
	defer s.attr.Unlock()
	return s.dead
}

// reap gives the contents back of what has no name and is neither open nor mapped.
func (s *inode) reap() {
	s.attr.Lock()
	dead := s.nlink == 0 && s.opens == 0 && s.maps == 0 && !s.dead
	s.dead = s.dead || dead
	s.attr.Unlock()
	if !dead {
		return
	}
	s.vol.inodes.Add(-1)
	if s.file != nil {
		s.file.drop(s.vol.Pages)
	}
}

// touch marks that s's contents changed, and its attributes with them.
func (s *inode) touch() {
	now := s.vol.Now()
	s.attr.Lock()
	s.mtime, s.ctime = now, now
	s.attr.Unlock()
}
