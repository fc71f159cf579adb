package linux

import (
	"unsafe"

	"gosv/kernel/block"
	"gosv/kernel/fs"
	"gosv/kernel/metal"
)

// diskPages is a block device as a Backing. Its pages may have to be fetched, so a
// fault may have to wait, which it does without Space.mu (faultWait); and a page
// that is written to has to be known, so one is mapped for writing only when it
// is written.
type diskPages struct {
	volume *block.Volume
	node   fs.Inode
	path   string
}

// Pages implements Backing: EAGAIN if the page has to be fetched.
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

// fetch waits until the page at off is in memory.
func (p *diskPages) fetch(off int64) Errno {
	n := min(fileAround, int((p.volume.Size()-off+pageMask)/pageSize))
	return p.volume.Cache().Await(new(sleeper), (p.volume.Offset()+off)/pageSize, max(n, 1))
}

// Retain implements Backing.
func (p *diskPages) Retain() {
	p.volume.Use()
	p.volume.Cache().Map()
}

// Release implements Backing. What was written is written back in time.
func (p *diskPages) Release() {
	p.volume.Cache().Unmap()
	p.volume.Unuse()
}

// MapsName implements Backing.
func (p *diskPages) MapsName() (dev, ino uint64, path string) {
	return p.node.FS().Device(), p.node.Ino(), p.path
}

// fillDisk maps the page at va from the disk's cache, and those around it that are
// there, or asks for it to be fetched.
func (s *Space) fillDisk(v *vma, d *diskPages, va uintptr, e *uint64, a access) faultResult {
	write := a == accessWrite && v.writesFile()
	rights := v.fileRights()
	if !write {
		rights &^= pteWrite
	}
	first, err := d.Pages(v.offset(va), 1, write)
	switch {
	case err == EAGAIN:
		return s.waitFor(d, v.offset(va))
	case len(first) == 0:
		return faultBeyond
	}
	*e = uint64(metal.PhysOf(unsafe.Pointer(&first[0]))) | rights
	if write {
		return faultOK
	}
	const block = fileAround * pageSize
	for at, hi := max(va&^(block-1), v.lo), min(va&^(block-1)+block, v.hi); at < hi; at += pageSize {
		p := (*uint64)(unsafe.Add(unsafe.Pointer(e), (int(at)-int(va))>>9))
		if *p != 0 {
			continue
		}
		if b, _ := d.Pages(v.offset(at), 1, false); len(b) != 0 {
			*p = uint64(metal.PhysOf(unsafe.Pointer(&b[0]))) | rights
		}
	}
	return faultOK
}

// shareDisk makes the page at va, which is mapped for reading, one that can be written.
func (s *Space) shareDisk(v *vma, d *diskPages, va uintptr, e *uint64) faultResult {
	b, err := d.Pages(v.offset(va), 1, true)
	if err != 0 || len(b) == 0 {
		return faultBeyond
	}
	*e = uint64(metal.PhysOf(unsafe.Pointer(&b[0]))) | v.fileRights()
	return faultOK
}

// waitFor has the fault fetch a page of d's before it tries again.
func (s *Space) waitFor(d Backing, off int64) faultResult {
	d.Retain()
	s.wanted, s.wantedOff = d, off
	return faultWait
}

// fetchWanted fetches what waitFor named; s.mu is held before and after.
func (s *Space) fetchWanted() Errno {
	d, off := s.wanted, s.wantedOff
	s.wanted = nil
	s.mu.Unlock()
	err := d.fetch(off)
	d.Release()
	s.mu.Lock()
	return err
}

// forgetDisk drops the pages of a disk's cache from byte lo up to hi.
func (s *Space) forgetDisk(c *block.Cache, lo, hi int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.maps.v {
		if p, ok := v.file.(*inodePages); ok {
			// A file that is on the disk; where, the file system knows.
			if f, ok := p.inode.(fs.Fetcher); ok && f.Cached(c) {
				s.drop(v.lo, v.hi, false)
			}
			continue
		}
		d, ok := v.file.(*diskPages)
		if !ok || d.volume.Cache() != c {
			continue
		}
		off := v.off + d.volume.Offset()
		end := off + int64(v.hi-v.lo)
		if off >= hi || end <= lo {
			continue
		}
		s.drop(v.lo+uintptr(max(lo-off, 0)), v.hi-uintptr(max(end-hi, 0)), false)
	}
}

// syncMapped writes back what mappings of disks in [lo, hi) have changed.
func (s *Space) syncMapped(t *Thread, lo, hi uintptr) (err Errno) {
	for lo < hi {
		s.mu.Lock()
		i := s.maps.find(lo)
		if i == len(s.maps.v) || s.maps.v[i].lo >= hi {
			s.mu.Unlock()
			break
		}
		v := *s.maps.v[i]
		d, ok := v.file.(*diskPages)
		if ok = ok && v.flags&vmaShared != 0; ok {
			d.Retain()
		}
		s.mu.Unlock()
		if ok {
			from, to := max(lo, v.lo), min(hi, v.hi)
			seen, _ := d.volume.Cache().Failed(0)
			e := d.volume.Sync(t, v.offset(from), v.offset(from)+int64(to-from), true)
			if _, failed := d.volume.Cache().Failed(seen); failed != 0 {
				e = failed
			}
			if e != 0 {
				err = e
			}
			d.Release()
		}
		lo = v.hi
	}
	return err
}
