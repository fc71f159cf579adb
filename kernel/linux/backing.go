package linux

import "gosv/kernel/fs"

// Backing is an open file as memory sees it: something whose pages can be
// mapped where they are.
//
// The memory that Pages returned stays what it is, even if the file is
// truncated or removed meanwhile, as long as somebody holds a reference.
type Backing interface {
	// Pages returns the file's contents from off on, a multiple of 4096, as
	// memory in the direct map that begins on a page: a multiple of 4096 bytes,
	// at least one page and at most max pages, as many as lie in one piece.
	// Beyond the file's end the last page is zero. It returns nothing if off
	// is at or beyond the end. With write, the pages are about to be written
	// through a shared mapping: holes must be filled first.
	//
	// It is called with Space.mu held, so it must not touch user memory, nor
	// take a lock under which user memory is touched. EAGAIN: the first page is on a disk.
	Pages(off int64, max int, write bool) ([]byte, Errno)

	// fetch waits until the page at off, for which Pages returned EAGAIN, is in memory.
	fetch(off int64) Errno

	// Retain and Release count the references to it by mappings.
	Retain()
	Release()

	// MapsName describes it for /proc/PID/maps.
	MapsName() (dev, ino uint64, path string)
}

// inodePages is an inode as a Backing. It embeds none: the wrappers of 24 methods
// that nobody calls would be eleven kilobytes.
type inodePages struct {
	inode fs.Inode
	path  string // that it was found by
	memfd *memfd

	anonymous bool // what MAP_SHARED|MAP_ANONYMOUS made
}

func (p *inodePages) Pages(off int64, max int, write bool) ([]byte, Errno) {
	return p.inode.Pages(off, max, write)
}

func (p *inodePages) fetch(off int64) Errno {
	if f, ok := p.inode.(fs.Fetcher); ok {
		return f.Fetch(off)
	}
	return EIO
}

func (p *inodePages) Retain()  { p.inode.Map() }
func (p *inodePages) Release() { p.inode.Unmap() }

func (p *inodePages) MapsName() (dev, ino uint64, path string) {
	return p.inode.FS().Device(), p.inode.Ino(), p.path
}
