package linux

import (
	"gosv/kernel/fs"
)

// inodePages is an inode as an mm.Backing. It embeds none: the wrappers of 24 methods
// that nobody calls would be eleven kilobytes.
type inodePages struct {
	inode fs.Inode
	path  string // that it was found by
	memfd *memfd

	anonymous bool // what MAP_SHARED|MAP_ANONYMOUS made
}

// Pages implements mm.Backing.
func (p *inodePages) Pages(off int64, max int, write bool) ([]byte, Errno) {
	pages, err := p.inode.Pages(off, max, write)
	if err == ENOSPC && p.anonymous {
		err = ENOMEM
	}
	return pages, err
}

// Punch implements mm.Puncher.
func (p *inodePages) Punch(off, n int64) Errno {
	if err := p.memfd.mayWrite(); err != 0 {
		return err
	}
	return p.inode.Allocate(fs.PunchHole|fs.KeepSize, off, n)
}

// Fetch implements mm.Backing.
func (p *inodePages) Fetch(off int64) Errno {
	if f, ok := p.inode.(fs.Fetcher); ok {
		return f.Fetch(off)
	}
	return EIO
}

// Tracked implements mm.Backing.
func (p *inodePages) Tracked() bool { return false }

func (p *inodePages) Retain()  { p.inode.Map() }
func (p *inodePages) Release() { p.inode.Unmap() }

func (p *inodePages) MapsName() (dev, ino uint64, path string) {
	return p.inode.FS().Device(), p.inode.Ino(), p.path
}
