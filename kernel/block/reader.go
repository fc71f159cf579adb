package block

import (
	"sync"

	"gosv/kernel/errno"
	"gosv/kernel/fs"
)

// Reader is a volume as a file system on it reads it, through the cache. Places are in bytes.
type Reader struct {
	Volume  *Volume
	Sleeper func() Sleeper // who waits
}

// Read fills p with what is at off.
func (r *Reader) Read(p []byte, off int64) errno.Errno {
	if r.Peek(p, off) {
		return 0
	}
	if off < 0 {
		return errno.EIO
	}
	n, err := r.Volume.ReadAt(r.Sleeper(), nil, &fs.Buffer{Bytes: p[:0:len(p)]}, off, len(p), false)
	if err == 0 && n < len(p) {
		err = errno.EIO // the disk ends, or was given up
	}
	return err
}

// ReadAt gives dst up to n bytes from off on, where a piece of a file lies that ends at end. Two reads at
// once with the same a are not sequential.
func (r *Reader) ReadAt(a *Ahead, dst fs.Sink, off, end int64, n int) (int, errno.Errno) {
	var ra *Readahead
	if a.mu.TryLock() {
		defer a.mu.Unlock()
		ra = &a.ra
		ra.Limit = (r.Volume.off + end + PageSize - 1) / PageSize
	}
	return r.Volume.ReadAt(r.Sleeper(), ra, dst, off, n, false)
}

// Ahead is the Readahead of an open file.
type Ahead struct {
	mu sync.Mutex
	ra Readahead
}

// Peek is Read, if all that is asked for is in memory.
func (r *Reader) Peek(p []byte, off int64) bool {
	return off >= 0 && int64(len(p)) <= r.Volume.Size()-off && r.Volume.cache.peek(p, r.Volume.off+off)
}

// Pages returns up to count pages from off on, where they are in memory in one piece; nil if the first is
// not, or off is not where a page of the cache begins.
func (r *Reader) Pages(off int64, count int) []byte {
	if off += r.Volume.off; off%PageSize != 0 {
		return nil
	}
	return r.Volume.cache.Mapped(off/PageSize, count, false)
}

// Await has n bytes from off on read, and waits for the first.
func (r *Reader) Await(off, n int64) errno.Errno {
	if r.Volume.Disk.Gone() {
		return errno.EIO
	}
	off += r.Volume.off
	return r.Volume.cache.Await(r.Sleeper(), off/PageSize, int((off%PageSize+n+PageSize-1)/PageSize))
}

// Map and Unmap count mappings of what Pages returns.
func (r *Reader) Map()   { r.Volume.cache.Map() }
func (r *Reader) Unmap() { r.Volume.cache.Unmap() }

// Is says whether that cache is the one that r reads through.
func (r *Reader) Is(cache any) bool { return cache == any(r.Volume.cache) }

// peek copies what is at off to p, if it is in memory.
func (c *Cache) peek(p []byte, off int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(p) > 0 {
		page := off / PageSize
		g, i := c.groups[page>>groupBits], int(page&(groupPages-1))
		if g == nil || g.ready>>i&1 == 0 || page >= c.pagesEnd() {
			return false
		}
		c.touch(g)
		n := copy(p, c.disk.sys.Memory(g.frame(i), PageSize)[off%PageSize:])
		p, off = p[n:], off+int64(n)
	}
	return true
}
