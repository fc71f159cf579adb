// Package fs has what all file systems share: inodes, mounts, and the way from a
// path to an inode. File systems are ordinary Go on bytes: they know of no
// machine and no system call, and their tests run anywhere.
//
// # Locks
//
// A file system's locks may be held while a file's bytes are handed to a Sink
// or fetched from a Source, which may in turn ask any file for its Pages: so
// Pages takes only locks under which no Sink or Source is called.
package fs

import "gosv/kernel/errno"

// Inode is a file, a directory or whatever else has a place in a file system.
//
// An Inode is a handle: two of them stand for the same file if their FS and Ino
// are equal. Names never are empty, "." or longer than MaxName; ".." is only
// ever asked of Lookup. Permissions are the Namespace's business.
//
// Most kinds implement a part of it and embed Base, which refuses the rest.
type Inode interface {
	FS() FileSystem
	Ino() uint64
	Mode() uint32 // type and permissions, as st_mode; its type never changes
	Attr() Attr
	SetAttr(c Change) errno.Errno

	// Open returns what the file's bytes are read and written through until
	// Close: itself, or something that belongs to this open only. ENOENT says
	// that the file was removed between its Lookup and now.
	Open() (Inode, errno.Errno)
	Close()

	// Of directories. ReadDir calls emit for the entries from pos on (0 is the
	// start, others are a Dirent's Next) until that returns false.
	Lookup(name string) (Inode, errno.Errno)
	ReadDir(pos int64, emit func(e Dirent) bool) errno.Errno
	Create(name string, a New) (Inode, errno.Errno) // with name "": one that has no name, for O_TMPFILE
	Link(name string, target Inode) errno.Errno
	Unlink(name string) errno.Errno
	Rmdir(name string) errno.Errno
	Rename(name string, to Inode, toName string, flags uint32) errno.Errno

	// Of symbolic links. What some lead to depends on who asks.
	Readlink(c *Caller) (string, errno.Errno)

	// Of files. ReadAt gives dst up to n bytes from off on, WriteAt takes up to
	// n of src; both stop early where dst or src does. Append writes at the
	// end, and returns where that is then.
	ReadAt(dst Sink, off int64, n int) (int, errno.Errno)
	WriteAt(src Source, off int64, n int) (int, errno.Errno)
	Append(src Source, n int) (int, int64, errno.Errno)
	Truncate(size int64) errno.Errno
	Allocate(mode uint32, off, n int64) errno.Errno             // fallocate(2)
	SeekExtent(off int64, whence int) (int64, errno.Errno)      // SeekData or SeekHole
	Pages(off int64, max int, write bool) ([]byte, errno.Errno) // see below
	Map()                                                       // before Pages' first call for a mapping
	Unmap()                                                     // the mapping is gone
}

// About Inode.Pages: it returns the file's contents from off on, a multiple of
// PageSize, where they are in memory: one or more whole pages that lie in one
// piece, at most max; nothing if off is at or beyond the end. What follows the
// end in the last page is zero. The memory stays until Unmap, or until
// PageAlloc.Unmap takes it back. With write it may be written, and shows what is
// written to the file later; without, it may go on to show what a file of a
// lower, read-only file system held (as in Linux's overlayfs).

// Fetcher is an Inode whose contents may be on a disk. Pages, which must not wait, returns EAGAIN
// for what is not in memory.
type Fetcher interface {
	// Fetch waits until the page at off is in memory, with some that follow.
	Fetch(off int64) errno.Errno

	// Cached says whether that cache may be where Pages' memory comes from.
	Cached(cache any) bool
}

// FetchAround is how many bytes Fetch asks for at most.
const FetchAround = 128 << 10

const (
	PageSize = 4096
	MaxName  = 255       // NAME_MAX
	MaxPath  = 4096      // PATH_MAX, with the final zero byte
	MaxSize  = 1<<63 - 1 // MAX_LFS_FILESIZE
)

// The type in a mode (inode(7)).
const (
	TypeMask  = 0o170000
	Socket    = 0o140000
	Symlink   = 0o120000
	Regular   = 0o100000
	Block     = 0o060000
	Directory = 0o040000
	Char      = 0o020000
	FIFO      = 0o010000
)

// The other bits of a mode.
const (
	SetUID   = 0o4000
	SetGID   = 0o2000
	Sticky   = 0o1000
	PermMask = 0o7777
)

// IsDir and its siblings test the type in a mode.
func IsDir(mode uint32) bool     { return mode&TypeMask == Directory }
func IsRegular(mode uint32) bool { return mode&TypeMask == Regular }
func IsSymlink(mode uint32) bool { return mode&TypeMask == Symlink }

// Whence of Inode.SeekExtent.
const (
	SeekData = 3
	SeekHole = 4
)

// Modes of Inode.Allocate (fallocate(2)).
const (
	KeepSize  = 1
	PunchHole = 2
)

// Flags of Inode.Rename (rename(2)).
const (
	NoReplace = 1
	Exchange  = 2
	Whiteout  = 4 // a device 0:0 takes the place of what is renamed
)

// Time is a point in time since 1970.
type Time struct {
	Sec  int64
	Nsec uint32
}

// Before says whether t is earlier than u.
func (t Time) Before(u Time) bool { return t.Sec < u.Sec || t.Sec == u.Sec && t.Nsec < u.Nsec }

// Attr is what stat(2) tells of an inode, besides the device.
type Attr struct {
	Ino       uint64
	Mode      uint32
	Nlink     uint32
	UID, GID  uint32
	Rdev      uint32 // as the low half of st_rdev: see Device
	BlockSize uint32
	Size      int64
	Blocks    int64 // of 512 bytes
	Atime     Time
	Mtime     Time
	Ctime     Time
	Btime     Time
}

// Device makes a device number of its two parts, as st_rdev has it.
func Device(major, minor uint32) uint32 { return minor&0xff | major<<8 | minor&^0xff<<12 }

// New describes an inode to be made.
type New struct {
	Mode     uint32
	UID, GID uint32
	Rdev     uint32
	Target   string // of a symbolic link
	Private  bool   // made without a name: it never gets one
}

// Change says which attributes to set: those whose bits are in Set.
type Change struct {
	Set          uint32
	Mode         uint32 // permissions only
	UID, GID     uint32
	Atime, Mtime Time
}

const (
	SetMode = 1 << iota
	SetOwner
	SetGroup
	SetAtime
	SetMtime
)

// Dirent is an entry of a directory.
type Dirent struct {
	Name string
	Ino  uint64
	Type uint32 // as in a mode
	Next int64  // where the entries after it begin
}

// FileSystem is what an inode belongs to.
type FileSystem interface {
	Device() uint64 // st_dev
	Usage() Usage
}

// Usage is what statfs(2) tells of a file system.
type Usage struct {
	Magic     uint64
	Blocks    uint64 // of PageSize
	Free      uint64
	Files     uint64
	FilesFree uint64
	ReadOnly  bool
}

// Numbers that statfs(2) tells a file system's kind by (linux/magic.h).
const (
	MagicTmpfs = 0x01021994
	MagicErofs = 0xe0f5e1e2
	MagicProc  = 0x9fa0
	MagicSysfs = 0x62656572

	MagicOverlay = 0x794c7630
	MagicPipefs  = 0x50495045
	MagicDevpts  = 0x1cd1
	MagicAnon    = 0x09041934
)
