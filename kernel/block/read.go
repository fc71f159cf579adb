package block

import (
	"gosv/kernel/errno"
	"gosv/kernel/fs"
)

// Readahead is what an open file remembers of its reads, to have pages read before
// they are wanted. The zero value expects the disk to be read from its start.
type Readahead struct {
	next   int64 // the page after the last read
	window int64 // pages to have in advance; 0 while reads come from anywhere
	end    int64 // pages before have been asked for
	Off    bool  // POSIX_FADV_RANDOM
	Double bool  // POSIX_FADV_SEQUENTIAL
	Limit  int64 // pages from this one on are not wanted; 0: all are
}

const (
	firstWindow = 128 << 10 / PageSize
	lastWindow  = 4 << 20 / PageSize
)

// begin takes note of a read of pages [lo, hi).
func (r *Readahead) begin(lo, hi int64) {
	if lo != r.next && lo != r.next-1 || r.Off {
		r.window, r.end = 0, 0
	} else if most := int64(lastWindow); r.window < most {
		r.window = min(max(r.window*2, firstWindow, hi-lo), most)
		if r.Double {
			r.window = most
		}
	}
	r.next = hi
}

// more returns which pages are to be asked for when page has been found in memory.
func (r *Readahead) more(page int64) (lo, hi int64) {
	if r.window == 0 || r.end == 0 || r.end-page > r.window/2 {
		return 0, 0
	}
	lo = max(r.end, page+1)
	r.end = r.until(lo + r.window/2)
	return lo, r.end
}

// until is hi, or the limit before it.
func (r *Readahead) until(hi int64) int64 {
	if r.Limit != 0 {
		hi = min(hi, r.Limit)
	}
	return hi
}

// read makes requests of what is missing of pages [lo, hi), as far as there is memory,
// and returns the first page for which there was none.
func (c *Cache) read(l *ioList, lo, hi int64, by *fetcher) int64 {
	hi = min(hi, c.pagesEnd())
	for page := lo; page < hi; {
		g := c.groups[page>>groupBits]
		base := page &^ (groupPages - 1)
		missing := (&group{number: page >> groupBits}).span(page, hi)
		if g != nil {
			missing &^= g.have
		}
		if missing == 0 {
			page = base + groupPages
			continue
		}
		i, n := missing.first()
		page = base + int64(i)
		var frames [groupPages]uintptr
		got := c.alloc(frames[:n])
		if got == 0 {
			return page
		}
		g = c.take(page)
		for k, f := range frames[:got] {
			g.frames[i+k] = uint32(f / PageSize)
			if rest := c.size.Load() - (page+int64(k))*PageSize; rest < PageSize {
				clear(c.disk.sys.Memory(f, PageSize)[rest:])
			}
			l.add(c, Read, page+int64(k), f, by)
		}
		g.have |= run(i, got)
		c.pages += got
		c.reading += got
		page += int64(got)
		if got < n {
			return page
		}
	}
	return hi
}

// ready returns a group, pinned, whose page of the given number has its contents, and
// how many pages from there on have, at most count. ra, if there is one, says what to
// read besides.
func (c *Cache) ready(s Sleeper, page int64, count int, ra *Readahead) (*group, int, errno.Errno) {
	c.mu.Lock()
	defer c.mu.Unlock()
	by := c.fetcher(page)
	defer c.spare(by)
	for {
		i := int(page & (groupPages - 1))
		g := c.groups[page>>groupBits]
		var l ioList
		switch {
		case page >= c.pagesEnd():
			return nil, 0, errno.EIO // the disk has shrunk, or is gone
		case g != nil && g.ready>>i&1 != 0:
			_, n := (g.ready >> i).first()
			g.pins++
			c.touch(g)
			if ra != nil {
				if lo, hi := ra.more(page); lo < hi {
					c.read(&l, lo, hi, nil)
					c.submit(&l)
				}
			}
			return g, min(n, count, groupPages-i), 0
		case g != nil && g.have>>i&1 != 0:
			c.wait(s, page, page+1)
			continue
		}
		hi := page + int64(count)
		switch {
		case !by.asked:
			by.asked = true
			if ra != nil && ra.window > 0 {
				hi = max(hi, ra.until(page+ra.window))
				ra.end = hi
			}
		case by.err == 0: // it was read, and given up again before we came to it
		case !by.alone: // one bad sector does not spoil the others
			by.alone, by.err = true, 0
			hi, count = page+1, 1
		default:
			return nil, 0, by.err
		}
		if c.read(&l, page, hi, by) == page {
			if err := c.noMemory(s); err != 0 {
				return nil, 0, err
			}
			by.asked = false
			continue
		}
		c.submit(&l)
	}
}

// fetcher returns one that waits for page, and spare takes it back. Requests that
// still know it then tell whoever has it next, at worst, of a failure
// that is not his: he tries again, alone.
func (c *Cache) fetcher(page int64) *fetcher {
	f := c.spareFetchers
	if f != nil {
		c.spareFetchers = f.next
	} else {
		f = new(fetcher)
	}
	*f = fetcher{page: page}
	return f
}

func (c *Cache) spare(f *fetcher) { f.next, c.spareFetchers = c.spareFetchers, f }

// submit starts requests; mu is held before and after, and not meanwhile.
func (c *Cache) submit(l *ioList) {
	c.mu.Unlock()
	l.submit(c.disk)
	c.mu.Lock()
}

// Read gives dst up to n bytes from off on.
func (c *Cache) Read(s Sleeper, ra *Readahead, dst fs.Sink, off int64, n int) (done int, err errno.Errno) {
	n = int(min(int64(n), c.size.Load()-off))
	if n <= 0 {
		return 0, 0
	}
	end := off + int64(n)
	lastPage := (end + PageSize - 1) / PageSize
	if ra != nil {
		ra.begin(off/PageSize, lastPage)
	}
	for off < end {
		page := off / PageSize
		g, pages, err := c.ready(s, page, int(min(lastPage-page, lastWindow)), ra)
		if err != 0 {
			if done > 0 {
				err = 0
			}
			return done, err
		}
		i := int(page & (groupPages - 1))
		more := true
		for pages > 0 && more {
			k := g.adjacent(i, pages)
			from := off % PageSize
			p := c.disk.sys.Memory(g.frame(i), k*PageSize)[from:]
			p = p[:min(int64(len(p)), end-off)]
			got := dst.Put(p)
			done += got
			off += int64(got)
			more = got == len(p)
			i, pages = i+k, pages-k
		}
		c.unpin(g)
		if !more {
			break
		}
	}
	return done, 0
}

// Fetch asks for pages [lo, hi) without waiting for them.
func (c *Cache) Fetch(lo, hi int64) {
	var l ioList
	c.mu.Lock()
	c.read(&l, lo, hi, nil)
	c.mu.Unlock()
	l.submit(c.disk)
}
