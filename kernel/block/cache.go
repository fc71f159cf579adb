package block

import (
	"math/bits"
	"sync"
	"sync/atomic"

	"gosv/kernel/errno"
)

// Cache has the pages of a disk, or of a partition that does not begin or end on
// a page of its disk, that are in memory.
//
// mu is never held while a program's memory is touched, a Sink or Source is called,
// a request is submitted or anything is waited for: a mapping asks for its pages
// with the lock of its address space held.
type Cache struct {
	disk  *Disk
	start uint64       // sector of the disk
	size  atomic.Int64 // bytes

	mu     sync.Mutex
	groups map[int64]*group
	newest *group // a ring of all groups, in the order of their last use

	pages   int      // in memory
	dirty   int      // of them changed
	writing int      // on their way to the disk
	reading int      // on their way from it
	shared  int      // mapped for writing
	maps    int      // mappings
	changed []*group // that have dirty pages
	waiters *waiter
	timer   bool // old pages are going to be written back

	// Spare ones: where memory is short garbage is expensive.
	spareIOs      *pageIO
	spareDirects  *direct
	spareGroups   *group // by older
	nspare        int
	spareWaiters  *waiter
	spareFetchers *fetcher

	// Failures of writes: how many there were, and the last.
	failures uint32
	failure  errno.Errno
}

const (
	groupBits  = 5
	groupPages = 1 << groupBits
)

// pageSet is a set of a group's pages.
type pageSet uint32

// group is groupPages pages of a disk that stand side by side.
type group struct {
	number int64              // of the group on the disk
	frames [groupPages]uint32 // physical addresses / PageSize, where have is set
	older  *group             // of the ring
	newer  *group
	pins   int32 // copies from or to pages that go on

	have       pageSet // that have a frame
	ready      pageSet // of them those that have their contents; the others are being read
	dirty      pageSet // changed since they were written
	writing    pageSet // on their way to the disk
	mapped     pageSet // that mappings were given,
	shared     pageSet // and may write to
	forgetting pageSet // that mappings are being taken
	listed     bool    // in Cache.changed
}

// span is the set of pages [lo, hi) of the disk as far as they are in the group.
func (g *group) span(lo, hi int64) pageSet {
	base := g.number << groupBits
	lo, hi = max(lo-base, 0), min(hi-base, groupPages)
	if lo >= hi {
		return 0
	}
	return pageSet((1<<uint64(hi) - 1) &^ (1<<uint64(lo) - 1))
}

// first returns a set's first page, and how many follow it without a gap, with it.
func (s pageSet) first() (i, n int) {
	i = bits.TrailingZeros32(uint32(s))
	return i, bits.TrailingZeros32(^uint32(s >> i))
}

func run(i, n int) pageSet { return pageSet(1<<uint(n)-1) << uint(i) }

func (s pageSet) count() int { return bits.OnesCount32(uint32(s)) }

func (g *group) frame(i int) uintptr { return uintptr(g.frames[i]) * PageSize }

// adjacent returns how many of pages [i, i+n) lie in one piece of memory from i on.
func (g *group) adjacent(i, n int) int {
	k := 1
	for k < n && g.frames[i+k] == g.frames[i]+uint32(k) {
		k++
	}
	return k
}

func newCache(d *Disk, start uint64, size int64) *Cache {
	c := &Cache{disk: d, start: start, groups: map[int64]*group{}}
	c.size.Store(size)
	return c
}

// pagesEnd is the number of the first page behind the end.
func (c *Cache) pagesEnd() int64 { return (c.size.Load() + PageSize - 1) / PageSize }

// touch makes g the one used last.
//
//go:noinline
func (c *Cache) touch(g *group) {
	if c.newest == g {
		return
	}
	if g.older != nil {
		g.older.newer, g.newer.older = g.newer, g.older
	}
	if c.newest == nil {
		g.older, g.newer = g, g
	} else {
		// In a ring what is newer than the newest is the oldest.
		g.older, g.newer = c.newest, c.newest.newer
		g.older.newer, g.newer.older = g, g
	}
	c.newest = g
}

// take returns the group that a page belongs to, made if need be.
func (c *Cache) take(page int64) *group {
	g := c.groups[page>>groupBits]
	if g == nil {
		if g = c.spareGroups; g != nil {
			c.spareGroups = g.older
			c.nspare--
		} else {
			g = new(group)
		}
		*g = group{number: page >> groupBits}
		c.groups[g.number] = g
	}
	c.touch(g)
	return g
}

// leave takes g, which has no pages, away.
func (c *Cache) leave(g *group) {
	if g.have != 0 || g.pins != 0 || g.forgetting != 0 || g.listed {
		return
	}
	delete(c.groups, g.number)
	if g.older == g {
		c.newest = nil
	} else {
		if c.newest == g {
			c.newest = g.older
		}
		g.older.newer, g.newer.older = g.newer, g.older
	}
	const most = 256
	if c.nspare < most {
		g.older, c.spareGroups = c.spareGroups, g
		c.nspare++
	}
}

// idle is which of g's pages could be given up now.
func (c *Cache) idle(g *group) pageSet {
	if g.pins != 0 {
		return 0
	}
	s := g.ready &^ (g.dirty | g.writing | g.shared | g.forgetting)
	if c.maps != 0 {
		s &^= g.mapped
	}
	return s
}

// drop takes pages out of g and hands their frames over; how many there are.
func (c *Cache) drop(g *group, s pageSet, dst []uintptr) (n int) {
	for ; s != 0 && n < len(dst); s &= s - 1 {
		i := bits.TrailingZeros32(uint32(s))
		dst[n] = g.frame(i)
		n++
		bit := pageSet(1) << i
		g.have &^= bit
		g.ready &^= bit
		g.mapped &^= bit
	}
	c.pages -= n
	return n
}

// shrink fills dst with the frames of pages that were not used for long.
func (c *Cache) shrink(dst []uintptr) (n int) {
	const most = 4096 // groups to look at
	if c.newest == nil {
		return 0
	}
	g, last := c.newest.newer, c.newest
	for range most {
		newer, end := g.newer, g == last
		if s := c.idle(g); s != 0 || g.have == 0 {
			n += c.drop(g, s, dst[n:])
			c.leave(g)
		}
		if end || n == len(dst) {
			break
		}
		g = newer
	}
	return n
}

// alloc fills dst with frames, in the order of their addresses, those of old
// pages if there are no others.
func (c *Cache) alloc(dst []uintptr) int {
	n := c.disk.sys.Frames(dst)
	if n < len(dst) {
		n += c.shrink(dst[n:])
	}
	sortFrames(dst[:n])
	return n
}

// Shrink gives up to n pages back to the system: those that are neither changed
// nor mapped. It waits for nothing.
func (c *Cache) Shrink(n int) (done int) {
	var dead [64]uintptr
	for done < n {
		c.mu.Lock()
		k := c.shrink(dead[:min(len(dead), n-done)])
		c.mu.Unlock()
		if k == 0 {
			break
		}
		c.disk.sys.FreeFrames(dead[:k])
		done += k
	}
	return done
}

// Reclaim is Shrink that also takes pages away from mappings and has changed ones
// written back first. It blocks.
func (c *Cache) Reclaim(s Sleeper, n int) (done int) {
	if done = c.Shrink(n); done > 0 {
		return done
	}
	c.mu.Lock()
	dirty, mapped := c.dirty+c.writing+c.shared, c.maps != 0
	c.mu.Unlock()
	if dirty > 0 {
		c.sync(s, 0, c.pagesEnd())
	}
	if mapped {
		c.unmap(0, c.pagesEnd())
	}
	return c.Shrink(n)
}

// Pages is how many pages are in memory, and how many of them are changed.
func (c *Cache) Pages() (all, dirty int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pages, c.dirty + c.writing
}

// each calls f for the groups that have pages in [lo, hi), with mu held.
func (c *Cache) each(lo, hi int64, f func(g *group, s pageSet)) {
	first, last := lo>>groupBits, (hi-1)>>groupBits
	if last-first < int64(len(c.groups)) {
		for i := first; i <= last; i++ {
			if g := c.groups[i]; g != nil {
				f(g, g.span(lo, hi))
			}
		}
		return
	}
	for _, g := range c.groups {
		if s := g.span(lo, hi); s != 0 {
			f(g, s)
		}
	}
}

// waiter is who waits for something to happen to pages [lo, hi).
type waiter struct {
	s          Sleeper
	lo, hi     int64
	next, prev *waiter
}

// wait lets s sleep until something happened to pages [lo, hi), or for no reason.
// mu is held before and after, and not meanwhile.
func (c *Cache) wait(s Sleeper, lo, hi int64) {
	w := c.spareWaiters
	if w != nil {
		c.spareWaiters = w.next
	} else {
		w = new(waiter)
	}
	*w = waiter{s: s, lo: lo, hi: hi, next: c.waiters}
	if w.next != nil {
		w.next.prev = w
	}
	c.waiters = w
	c.mu.Unlock()
	s.Park()
	c.mu.Lock()
	if w.next != nil {
		w.next.prev = w.prev
	}
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		c.waiters = w.next
	}
	w.s, w.next, w.prev = nil, c.spareWaiters, nil
	c.spareWaiters = w
}

// wake wakes who waits for pages [lo, hi).
func (c *Cache) wake(lo, hi int64) {
	for w := c.waiters; w != nil; w = w.next {
		if w.lo < hi && lo < w.hi {
			w.s.Wake()
		}
	}
}

// unpin ends the use of a group that ready gave.
func (c *Cache) unpin(g *group) {
	c.mu.Lock()
	c.unpinLocked(g)
	c.mu.Unlock()
}

func (c *Cache) unpinLocked(g *group) {
	if g.pins--; g.pins == 0 && c.waiters != nil {
		c.wake(g.number<<groupBits, (g.number+1)<<groupBits)
	}
}
