package block

import "gosv/kernel/errno"

// Map and Unmap count mappings.
func (c *Cache) Map() {
	c.mu.Lock()
	c.maps++
	c.mu.Unlock()
}

func (c *Cache) Unmap() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.maps--; c.maps > 0 || c.shared == 0 {
		return
	}
	c.each(0, c.pagesEnd(), func(g *group, s pageSet) { c.unshare(g, s) })
}

// unshare makes pages that mappings could write to changed ones.
func (c *Cache) unshare(g *group, s pageSet) {
	s &= g.shared
	c.shared -= s.count()
	g.shared &^= s
	c.mark(g, s)
}

// Mapped returns pages from the given one on for a mapping, up to max, where they are
// in memory: nothing if the first is not there, and Await fetches it. With write the
// mapping writes to them.
func (c *Cache) Mapped(page int64, max int, write bool) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.groups[page>>groupBits]
	i := int(page & (groupPages - 1))
	if g == nil || g.ready>>i&1 == 0 || page >= c.pagesEnd() {
		return nil
	}
	_, n := (g.ready >> i).first()
	n = g.adjacent(i, min(n, max, groupPages-i))
	c.touch(g)
	g.mapped |= run(i, n)
	if write {
		c.shared += (run(i, n) &^ g.shared).count()
		g.shared |= run(i, n)
	}
	return c.disk.sys.Memory(g.frame(i), n*PageSize)
}

// Await has page, and the count-1 after it, read if need be, and waits for the first.
func (c *Cache) Await(s Sleeper, page int64, count int) errno.Errno {
	g, _, err := c.ready(s, page, count, nil)
	if err == 0 {
		c.unpin(g)
	}
	return err
}

// unmap takes pages [lo, hi) away from all mappings.
func (c *Cache) unmap(lo, hi int64) { c.forget(lo, hi, func(g *group) pageSet { return g.mapped }) }

// protect makes those pages of [lo, hi) that mappings may write to changed ones,
// and the mappings ask again before they write more.
func (c *Cache) protect(lo, hi int64) { c.forget(lo, hi, func(g *group) pageSet { return g.shared }) }

// forget makes all mappings forget some pages of [lo, hi). While they do, the pages
// are neither written back nor given up.
func (c *Cache) forget(lo, hi int64, which func(g *group) pageSet) {
	first, end := hi, lo
	var groups []*group
	var sets []pageSet
	c.mu.Lock()
	if c.maps != 0 {
		c.each(lo, hi, func(g *group, in pageSet) {
			s := which(g) & in &^ g.forgetting
			if s == 0 {
				return
			}
			c.unshare(g, s)
			g.mapped &^= s
			g.forgetting |= s
			groups, sets = append(groups, g), append(sets, s)
			first, end = min(first, g.number<<groupBits), max(end, (g.number+1)<<groupBits)
		})
	}
	c.mu.Unlock()
	if len(groups) == 0 {
		return
	}
	c.disk.sys.Forget(c, max(first, lo), min(end, hi))
	c.mu.Lock()
	for i, g := range groups {
		g.forgetting &^= sets[i]
		c.wake(g.number<<groupBits, (g.number+1)<<groupBits)
	}
	c.mu.Unlock()
}

// Invalidate gives up pages [lo, hi), changed ones too unless keep is set, and waits
// for those that are in use.
func (c *Cache) Invalidate(s Sleeper, lo, hi int64, keep bool) {
	c.mu.Lock()
	none := c.pages == 0
	c.mu.Unlock()
	if none {
		return
	}
	c.unmap(lo, hi)
	c.mu.Lock()
	for {
		busy := int64(-1)
		var free []uintptr
		var empty []*group
		c.each(lo, hi, func(g *group, in pageSet) {
			if !keep {
				c.dirty -= (g.dirty & in).count()
				g.dirty &^= in
			}
			var dead [groupPages]uintptr
			n := c.drop(g, c.idle(g)&in, dead[:])
			free = append(free, dead[:n]...)
			if g.have == 0 {
				empty = append(empty, g)
			}
			if g.have&in&^(g.dirty|g.mapped|g.shared) != 0 {
				busy = g.number
			}
		})
		for _, g := range empty {
			c.leave(g)
		}
		c.disk.sys.FreeFrames(free)
		if busy < 0 {
			break
		}
		c.wait(s, busy<<groupBits, (busy+1)<<groupBits)
	}
	c.mu.Unlock()
}
