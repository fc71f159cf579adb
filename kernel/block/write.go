package block

import (
	"gosv/kernel/errno"
	"gosv/kernel/fs"
)

const (
	// So many changed pages are too many to have before anything is written back,
	// and so many too many for a program to go on writing.
	backgroundDirty = 4 << 20 / PageSize
	mostDirty       = 64 << 20 / PageSize

	dirtyAge = 5e9 // ns, after which pages are written back
)

// Write takes up to n bytes from src for off on. They are in memory then: Sync
// writes them to the disk.
func (c *Cache) Write(s Sleeper, src fs.Source, off int64, n int) (done int, err errno.Errno) {
	n = int(min(int64(n), c.size.Load()-off))
	end := off + int64(n)
	for off < end {
		c.throttle(s)
		page, in := off/PageSize, int(off%PageSize)
		var k, want int
		if whole := (end - off) / PageSize; in == 0 && whole > 0 {
			pages := int(min(whole, groupPages-page%groupPages))
			k, want, err = c.writePages(s, src, page, pages)
		} else {
			want = int(min(PageSize-int64(in), end-off))
			k, err = c.change(s, page, func(p []byte) int { return src.Get(p[in : in+want]) })
		}
		done += k
		off += int64(k)
		if err != 0 || k < want {
			break
		}
	}
	if done > 0 {
		err = 0
	}
	return done, err
}

// change lets f write to a page that has its contents.
func (c *Cache) change(s Sleeper, page int64, f func(p []byte) int) (int, errno.Errno) {
	g, _, err := c.ready(s, page, 1, nil)
	if err != 0 {
		return 0, err
	}
	i := int(page & (groupPages - 1))
	n := f(c.disk.sys.Memory(g.frame(i), PageSize))
	c.changedPages(g, run(i, 1))
	return n, 0
}

// changedPages takes note that pages of g, which was pinned, have been written to.
func (c *Cache) changedPages(g *group, s pageSet) {
	var l ioList
	c.mu.Lock()
	c.mark(g, s)
	c.unpinLocked(g)
	if c.dirty >= backgroundDirty {
		c.writeAll(&l)
	}
	c.mu.Unlock()
	l.submit(c.disk)
}

// mark makes pages of g changed ones.
func (c *Cache) mark(g *group, s pageSet) {
	c.dirty += (s &^ g.dirty).count()
	g.dirty |= s
	if !g.listed && s != 0 {
		g.listed = true
		c.changed = append(c.changed, g)
	}
	if !c.timer {
		c.timer = true
		c.disk.sys.Later(dirtyAge, c.writeOld)
	}
}

// writeOld is called some time after a page was changed first.
func (c *Cache) writeOld() {
	var l ioList
	c.mu.Lock()
	c.timer = false
	c.writeAll(&l)
	c.mu.Unlock()
	l.submit(c.disk)
}

// writePages fills count pages of one group, from page on, and returns how many bytes it
// got and how many it wanted.
func (c *Cache) writePages(s Sleeper, src fs.Source, page int64, count int) (n, want int, err errno.Errno) {
	i := int(page & (groupPages - 1))
	var frames [groupPages]uintptr
	c.mu.Lock()
	g := c.take(page)
	for {
		here := g.have >> i
		if here&1 == 0 {
			_, free := (^here).first()
			count = min(count, free)
			break
		}
		if g.ready>>i&1 != 0 { // they are in memory, to be written over
			_, there := (g.ready >> i).first()
			count = min(count, there)
			g.pins++
			c.mu.Unlock()
			n, want = c.fill(g.frames[i:i+count], src)
			c.changedPages(g, run(i, (n+PageSize-1)/PageSize))
			return n, want, 0
		}
		c.wait(s, page, page+1)
		g = c.take(page)
	}
	g.pins++ // so that it stays
	got := c.alloc(frames[:count])
	if got == 0 {
		c.unpinLocked(g)
		err = c.noMemory(s)
		c.mu.Unlock()
		return 0, 0, err
	}
	c.mu.Unlock()
	// Nobody else knows the frames while src is asked: it may be a mapping of the
	// very page.
	var numbers [groupPages]uint32
	for k, f := range frames[:got] {
		numbers[k] = uint32(f / PageSize)
	}
	n, want = c.fill(numbers[:got], src)
	whole := n / PageSize
	c.mu.Lock()
	used := pageSet(0)
	for k := 0; k < whole; k++ {
		bit := run(i+k, 1)
		for g.have&bit != 0 && g.ready&bit == 0 {
			c.wait(s, page+int64(k), page+int64(k)+1)
		}
		if g.have&bit != 0 { // somebody was faster
			copy(c.disk.sys.Memory(g.frame(i+k), PageSize), c.disk.sys.Memory(frames[k], PageSize))
		} else {
			if rest := c.size.Load() - (page+int64(k))*PageSize; rest < PageSize { // it shrank
				whole, n = k, k*PageSize
				break
			}
			g.frames[i+k] = numbers[k]
			g.have |= bit
			g.ready |= bit
			c.pages++
			used |= run(k, 1)
		}
		c.mark(g, bit)
	}
	c.mu.Unlock()
	if tail := n - whole*PageSize; tail > 0 {
		rest := c.disk.sys.Memory(frames[whole], PageSize)[:tail]
		if _, err = c.change(s, page+int64(whole), func(p []byte) int { return copy(p, rest) }); err != 0 {
			n -= tail
		}
	}
	spare := frames[:0]
	for k, f := range frames[:got] {
		if used>>k&1 == 0 {
			spare = append(spare, f)
		}
	}
	c.disk.sys.FreeFrames(spare)
	c.changedPages(g, 0)
	return n, want, err
}

// fill fills frames from src, and returns how many bytes there were and had room.
func (c *Cache) fill(frames []uint32, src fs.Source) (n, want int) {
	for len(frames) > 0 && n == want {
		k := 1
		for k < len(frames) && frames[k] == frames[0]+uint32(k) {
			k++
		}
		n += src.Get(c.disk.sys.Memory(uintptr(frames[0])*PageSize, k*PageSize))
		want += k * PageSize
		frames = frames[k:]
	}
	return n, want
}

// noMemory waits until there may be memory again, or says that there is none. mu is
// held before and after.
func (c *Cache) noMemory(s Sleeper) errno.Errno {
	if c.dirty+c.writing+c.reading == 0 {
		c.mu.Unlock()
		ok := c.disk.sys.Reclaim()
		c.mu.Lock()
		if !ok {
			return errno.ENOMEM
		}
		return 0
	}
	var l ioList
	c.writeAll(&l)
	c.mu.Unlock()
	l.submit(c.disk)
	c.mu.Lock()
	if c.writing+c.reading > 0 {
		c.wait(s, 0, c.pagesEnd())
	}
	return 0
}

// throttle lets who writes faster than the disk wait.
func (c *Cache) throttle(s Sleeper) {
	c.mu.Lock()
	for c.writing+c.dirty >= mostDirty {
		var l ioList
		c.writeAll(&l)
		c.mu.Unlock()
		l.submit(c.disk)
		c.mu.Lock()
		if c.writing == 0 {
			break
		}
		c.wait(s, 0, c.pagesEnd())
	}
	c.mu.Unlock()
}

func (c *Cache) writeAll(l *ioList) { c.writeBack(l, 0, c.pagesEnd()) }

// writeBack makes requests of the changed pages of [lo, hi) that are not on their way to
// the disk already.
func (c *Cache) writeBack(l *ioList, lo, hi int64) {
	sortGroups(c.changed)
	left := c.changed[:0]
	for _, g := range c.changed {
		for s := g.dirty & g.span(lo, hi) &^ (g.writing | g.forgetting); s != 0; {
			i, n := s.first()
			for k := range n {
				l.add(c, Write, g.number<<groupBits+int64(i+k), g.frame(i+k), nil)
			}
			g.dirty &^= run(i, n)
			g.writing |= run(i, n)
			c.dirty -= n
			c.writing += n
			s &^= run(i, n)
		}
		if g.listed = g.dirty != 0; g.listed {
			left = append(left, g)
		} else {
			c.leave(g)
		}
	}
	clear(c.changed[len(left):])
	c.changed = left
}

// sortGroups sorts groups, mostly nearly sorted, by number.
func sortGroups(v []*group) {
	for gap := len(v) / 2; gap > 0; gap /= 2 {
		for i := gap; i < len(v); i++ {
			for j := i; j >= gap && v[j-gap].number > v[j].number; j -= gap {
				v[j-gap], v[j] = v[j], v[j-gap]
			}
		}
	}
}

// sync writes the changed pages of [lo, hi) to the disk and waits for them.
func (c *Cache) sync(s Sleeper, lo, hi int64) {
	c.protect(lo, hi)
	// What was changed again while on its way, or is being taken from mappings, takes
	// a second time.
	for again := true; again; {
		again = false
		var l ioList
		c.mu.Lock()
		c.writeBack(&l, lo, hi)
		var busy []int64
		c.each(lo, hi, func(g *group, in pageSet) {
			if in &= g.writing | g.forgetting&g.dirty; in != 0 {
				busy = append(busy, g.number)
				again = again || g.dirty&in != 0
			}
		})
		c.mu.Unlock()
		l.submit(c.disk)
		c.mu.Lock()
		for _, number := range busy {
			for {
				g := c.groups[number]
				if g == nil || (g.writing|g.forgetting)&g.span(lo, hi) == 0 {
					break
				}
				c.wait(s, max(lo, number<<groupBits), min(hi, (number+1)<<groupBits))
			}
		}
		c.mu.Unlock()
	}
}

// Failed returns the last failure to write if there was one since seen, and what to
// call it with next time.
func (c *Cache) Failed(seen uint32) (uint32, errno.Errno) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failures == seen {
		return seen, 0
	}
	return c.failures, c.failure
}
