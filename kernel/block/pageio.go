package block

import "gosv/kernel/errno"

// pageIO is a request for pages of a cache that stand side by side.
type pageIO struct {
	Request
	cache *Cache
	first int64
	pages int64
	by    *fetcher // who asked for them, nil if nobody waits
	next  *pageIO  // of the cache's spare ones
}

// fetcher is who had pages read, to learn what became of the one that it waits for.
type fetcher struct {
	page  int64
	err   errno.Errno
	alone bool // it asked for nothing else
	asked bool
	next  *fetcher // of the cache's spare ones
}

// maxRequest is how many bytes the cache asks for at once.
const maxRequest = 1 << 20

// ioList is requests to be submitted when the cache is no longer locked.
type ioList struct {
	head, tail *pageIO
}

// add makes a page part of the last request, or of a new one.
func (l *ioList) add(c *Cache, op Op, page int64, frame uintptr, by *fetcher) {
	n := uint32(PageSize)
	if rest := c.size.Load() - page*PageSize; rest < PageSize {
		n = uint32(rest) &^ (SectorSize - 1)
	}
	if io := l.tail; io != nil && io.Op == op && io.first+io.pages == page && addSegment(&io.Request, uint64(frame), n, &c.disk.limits) {
		io.pages++
		return
	}
	io := c.spareIOs
	if io != nil {
		c.spareIOs = io.next
	} else {
		io = new(pageIO)
	}
	*io = pageIO{Request: Request{Op: op, Sector: c.start + uint64(page)*(PageSize/SectorSize), Segs: io.Segs[:0]}, cache: c, first: page, pages: 1, by: by}
	io.Done = io
	addSegment(&io.Request, uint64(frame), n, &c.disk.limits)
	if l.tail != nil {
		l.tail.Next = &io.Request
	} else {
		l.head = io
	}
	l.tail = io
}

// addSegment adds n bytes of memory to r; false if the disk cannot take so much at once.
func addSegment(r *Request, addr uint64, n uint32, l *Limits) bool {
	k := len(r.Segs)
	if k > 0 && r.Count*SectorSize+uint64(n) > uint64(l.MaxRequest) {
		return false
	}
	if k > 0 {
		if s := &r.Segs[k-1]; s.Addr+uint64(s.Len) == addr && s.Len+n <= l.MaxSegment {
			s.Len += n
			r.Count += uint64(n / SectorSize)
			return true
		}
	}
	if k == l.MaxSegments && k > 0 {
		return false
	}
	r.Segs = append(r.Segs, Segment{addr, n})
	r.Count += uint64(n / SectorSize)
	return true
}

// submit starts the requests; the cache is not locked.
func (l *ioList) submit(d *Disk) {
	if l.head != nil {
		d.submit(&l.head.Request)
	}
}

// Completed implements Completer.
func (io *pageIO) Completed(err errno.Errno) {
	c := io.cache
	var dead [groupPages]uintptr
	c.mu.Lock()
	lo, hi := io.first, io.first+io.pages
	if f := io.by; f != nil && err != 0 && lo <= f.page && f.page < hi {
		f.err = err
	}
	for page := lo; page < hi; page = (page>>groupBits + 1) << groupBits {
		g := c.groups[page>>groupBits]
		s := g.span(page, hi)
		switch {
		case io.Op == Write:
			g.writing &^= s
			c.writing -= s.count()
		case err == 0:
			g.ready |= s
			c.reading -= s.count()
		default:
			c.reading -= s.count()
			n := c.drop(g, s, dead[:])
			c.leave(g)
			if !io.Lost {
				c.disk.sys.FreeFrames(dead[:n])
			}
		}
	}
	if io.Op == Write && err != 0 {
		c.failures++
		c.failure = err
	}
	io.by = nil
	io.next, c.spareIOs = c.spareIOs, io
	c.wake(lo, hi)
	c.mu.Unlock()
}
