// Package kernfs is file systems whose files are made when they are looked at:
// /proc and /sys.
package kernfs

import (
	"sync"

	"gosv/kernel/errno"
	"gosv/kernel/fs"
)

// Entry describes what a name in a Directory stands for.
type Entry struct {
	Name string
	Mode uint32 // type and permissions

	UID, GID uint32

	// Of a file: Read appends what it holds now to b, Write takes what is
	// written to it. A file without Read is empty.
	Read  func(b []byte) []byte
	Write func(p []byte) errno.Errno

	// Of a symbolic link. With Jump, it leads to a place, and Link only tells
	// what to call it.
	Link func(c *fs.Caller) (string, errno.Errno)
	Jump func() (fs.Place, errno.Errno)

	Dir Directory
}

// Directory is a directory's contents.
type Directory interface {
	Lookup(name string) (Entry, errno.Errno)

	// List calls emit for the entries from position from on until it returns
	// false; next is the position after the entry.
	List(from int64, emit func(e Entry, next int64) bool)
}

// FS is such a file system.
type FS struct {
	device, magic uint64
	now           func() fs.Time
}

// New returns the root of a file system; now dates its files.
func New(device, magic uint64, now func() fs.Time, root Directory) fs.Inode {
	const rootIno = 1
	return &node{vol: &FS{device, magic, now}, ino: rootIno, entry: Entry{Mode: fs.Directory | 0o555, Dir: root}}
}

// Device implements fs.FileSystem.
func (f *FS) Device() uint64 { return f.device }

// Usage implements fs.FileSystem.
func (f *FS) Usage() fs.Usage { return fs.Usage{Magic: f.magic} }

// node is an inode.
type node struct {
	fs.Base
	vol    *FS
	ino    uint64
	parent *node // nil: of the root
	entry  Entry
}

// magicLink is a node with Jump.
type magicLink struct{ node }

// Jump implements fs.Jumper.
func (n *magicLink) Jump() (fs.Place, errno.Errno) { return n.entry.Jump() }

func (n *node) FS() fs.FileSystem { return n.vol }
func (n *node) Ino() uint64       { return n.ino }
func (n *node) Mode() uint32      { return n.entry.Mode }

func (n *node) Attr() fs.Attr {
	now := n.vol.now()
	a := fs.Attr{Ino: n.ino, Mode: n.entry.Mode, Nlink: 1, BlockSize: 1024, Atime: now, Mtime: now, Ctime: now, Btime: now}
	a.UID, a.GID = n.entry.UID, n.entry.GID
	switch {
	case n.entry.Dir != nil:
		a.Nlink = 2
	case n.vol.magic == fs.MagicSysfs && fs.IsRegular(a.Mode):
		a.Size = fs.PageSize // the most that one holds
	}
	return a
}

// Nothing here can be changed, made or removed.

func (n *node) SetAttr(fs.Change) errno.Errno { return errno.EPERM }
func (n *node) Truncate(int64) errno.Errno    { return 0 } // as open(2) with O_TRUNC wants it
func (n *node) Create(_ string, a fs.New) (fs.Inode, errno.Errno) {
	switch {
	case n.vol.magic != fs.MagicSysfs:
		return nil, errno.ENOENT
	case fs.IsRegular(a.Mode):
		return nil, errno.EACCES
	}
	return nil, errno.EPERM
}
func (n *node) Link(string, fs.Inode) errno.Errno { return errno.EPERM }
func (n *node) Unlink(string) errno.Errno         { return errno.EPERM }
func (n *node) Rmdir(string) errno.Errno          { return errno.EPERM }
func (n *node) Rename(_ string, to fs.Inode, name string, _ uint32) errno.Errno {
	if _, err := to.Lookup(name); err != 0 {
		return err
	}
	return errno.EPERM
}

// child makes the inode of an entry. Numbers are made of names, so that they stay
// the same: FNV-1a over the directory's number and the name.
func (n *node) child(e Entry) fs.Inode {
	const prime = 1099511628211
	h := n.ino ^ 14695981039346656037
	for i := range len(e.Name) {
		h = (h ^ uint64(e.Name[i])) * prime
	}
	c := node{vol: n.vol, ino: h >> 1, parent: n, entry: e}
	if e.Jump != nil {
		return &magicLink{c}
	}
	return &c
}

func (n *node) up() *node {
	if n.parent == nil {
		return n
	}
	return n.parent
}

// Lookup implements fs.Inode.
func (n *node) Lookup(name string) (fs.Inode, errno.Errno) {
	if n.entry.Dir == nil {
		return nil, errno.ENOTDIR
	}
	if name == ".." {
		return n.up(), 0
	}
	e, err := n.entry.Dir.Lookup(name)
	if err != 0 {
		return nil, err
	}
	return n.child(e), 0
}

// ReadDir implements fs.Inode.
func (n *node) ReadDir(pos int64, emit func(e fs.Dirent) bool) errno.Errno {
	if n.entry.Dir == nil {
		return errno.ENOTDIR
	}
	const dots = 2
	if pos < 1 && !emit(fs.Dirent{Name: ".", Ino: n.ino, Type: fs.Directory, Next: 1}) ||
		pos < dots && !emit(fs.Dirent{Name: "..", Ino: n.up().ino, Type: fs.Directory, Next: dots}) {
		return 0
	}
	n.entry.Dir.List(max(pos-dots, 0), func(e Entry, next int64) bool {
		return emit(fs.Dirent{Name: e.Name, Ino: n.child(e).Ino(), Type: e.Mode & fs.TypeMask, Next: next + dots})
	})
	return 0
}

// Readlink implements fs.Inode.
func (n *node) Readlink(c *fs.Caller) (string, errno.Errno) {
	if n.entry.Link == nil {
		return "", errno.EINVAL
	}
	return n.entry.Link(c)
}

// Open implements fs.Inode.
func (n *node) Open() (fs.Inode, errno.Errno) {
	if n.entry.Dir != nil {
		return n, 0
	}
	return &opened{node: *n}, 0
}

// opened is an open file. What it holds is made when it is read from the start,
// and stays the same for those who read it in pieces.
type opened struct {
	node
	mu   sync.Mutex
	text []byte
	made bool
}

// ReadAt implements fs.Inode.
func (o *opened) ReadAt(dst fs.Sink, off int64, n int) (int, errno.Errno) {
	o.mu.Lock()
	if (off == 0 || !o.made) && o.entry.Read != nil {
		o.text, o.made = o.entry.Read(nil), true
	}
	text := o.text // which is never changed, only replaced
	o.mu.Unlock()
	if off >= int64(len(text)) {
		return 0, 0
	}
	text = text[off:]
	return dst.Put(text[:min(n, len(text))]), 0
}

// WriteAt implements fs.Inode: each write is a value.
func (o *opened) WriteAt(src fs.Source, off int64, n int) (int, errno.Errno) {
	if o.entry.Write == nil {
		return 0, errno.EIO
	}
	var buf [256]byte
	if n > len(buf) {
		return 0, errno.EINVAL
	}
	k := src.Get(buf[:n])
	if err := o.entry.Write(buf[:k]); err != 0 {
		return 0, err
	}
	return k, 0
}

// Append implements fs.Inode.
func (o *opened) Append(src fs.Source, n int) (int, int64, errno.Errno) {
	k, err := o.WriteAt(src, 0, n)
	return k, 0, err
}
