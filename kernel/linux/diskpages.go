package linux

import (
	"gosv/kernel/block"
	"gosv/kernel/fs"
	"gosv/kernel/mm"
	"math"
)

// diskPages is a block device as an mm.Backing.
type diskPages struct {
	volume *block.Volume
	node   fs.Inode
	path   string
}

// Pages implements mm.Backing: EAGAIN if the page has to be fetched.
func (p *diskPages) Pages(off int64, max int, write bool) ([]byte, Errno) {
	size := p.volume.Size()
	if off < 0 || off >= size {
		return nil, 0
	}
	max = min(max, int((size-off+pageMask)/pageSize))
	if b := p.volume.Cache().Mapped((p.volume.Offset()+off)/pageSize, max, write); b != nil {
		return b, 0
	}
	return nil, EAGAIN
}

// Fetch implements mm.Backing.
func (p *diskPages) Fetch(off int64) Errno {
	n := min(mm.FileAround, int((p.volume.Size()-off+pageMask)/pageSize))
	return p.volume.Cache().Await(new(sleeper), (p.volume.Offset()+off)/pageSize, max(n, 1))
}

// Tracked implements mm.Backing.
func (p *diskPages) Tracked() bool { return true }

// Retain implements mm.Backing.
func (p *diskPages) Retain() {
	p.volume.Use()
	p.volume.Cache().Map()
}

// Release implements mm.Backing. What was written is written back in time.
func (p *diskPages) Release() {
	p.volume.Cache().Unmap()
	p.volume.Unuse()
}

// MapsName implements mm.Backing.
func (p *diskPages) MapsName() (dev, ino uint64, path string) {
	return p.node.FS().Device(), p.node.Ino(), p.path
}

// forgetDisk drops the pages of a disk's cache from byte lo up to hi.
func (p *Process) forgetDisk(c *block.Cache, lo, hi int64) {
	p.space.Forget(func(b mm.Backing) (int64, int64) {
		switch b := b.(type) {
		case *diskPages:
			if b.volume.Cache() == c {
				return lo - b.volume.Offset(), hi - b.volume.Offset()
			}
		case *inodePages:
			// A file that is on the disk; where, the file system knows.
			if f, ok := b.inode.(fs.Fetcher); ok && f.Cached(c) {
				return 0, math.MaxInt64
			}
		}
		return 0, 0
	}, false)
}

// syncMapped writes back what mappings of disks in [lo, hi) have changed.
func (t *Thread) syncMapped(lo, hi uintptr) (err Errno) {
	for v, ok := t.space.Next(lo, hi); ok; v, ok = t.space.Next(v.Hi, hi) {
		if d, ok := v.File.(*diskPages); ok && v.Flags&mm.Shared != 0 {
			from, to := max(lo, v.Lo), min(hi, v.Hi)
			seen, _ := d.volume.Cache().Failed(0)
			e := d.volume.Sync(t, v.Offset(from), v.Offset(from)+int64(to-from), true)
			if _, failed := d.volume.Cache().Failed(seen); failed != 0 {
				e = failed
			}
			if e != 0 {
				err = e
			}
		}
		if v.File != nil {
			v.File.Release()
		}
	}
	return err
}
