package block

import (
	"sync/atomic"

	"gosv/kernel/errno"
	"gosv/kernel/fs"
)

// direct is a read or write past the cache (O_DIRECT). The disk gets memory of the
// kernel's: a program may unmap its own while the disk writes to it.
type direct struct {
	requests []Request
	frames   []uintptr
	who      Sleeper
	left     atomic.Int32  // requests that have not ended
	err      atomic.Uint32 // of one that failed
	next     *direct       // of the cache's spare ones
}

// Completed implements Completer.
func (d *direct) Completed(err errno.Errno) {
	if err != 0 {
		d.err.Store(uint32(err))
	}
	who := d.who
	if d.left.Add(-1) == 0 {
		who.Wake()
	}
}

// keepFrames is how many frames a spare direct keeps.
const keepFrames = 4

// direct returns a direct with up to n frames, at least one.
func (c *Cache) direct(s Sleeper, n int) *direct {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.spareDirects
	if d == nil {
		d = new(direct)
	} else {
		c.spareDirects = d.next
	}
	for len(d.frames) < n {
		have := len(d.frames)
		for len(d.frames) < n {
			d.frames = append(d.frames, 0)
		}
		d.frames = d.frames[:have+c.alloc(d.frames[have:])]
		if len(d.frames) > 0 {
			break
		}
		if c.noMemory(s) != 0 {
			d.next, c.spareDirects = c.spareDirects, d
			return nil
		}
	}
	return d
}

func (c *Cache) putDirect(d *direct) {
	if len(d.frames) > keepFrames {
		c.disk.sys.FreeFrames(d.frames[keepFrames:])
		d.frames = d.frames[:keepFrames]
	}
	d.who = nil
	c.mu.Lock()
	d.next, c.spareDirects = c.spareDirects, d
	c.mu.Unlock()
}

// Direct reads n bytes from off on to dst, or writes them from src, whichever is not nil,
// past the cache. off and n are multiples of the disk's logical block.
func (c *Cache) Direct(s Sleeper, dst fs.Sink, src fs.Source, off int64, n int) (done int, err errno.Errno) {
	op := Read
	if src != nil {
		op = Write
	}
	for done < n && err == 0 {
		at, want := off+int64(done), min(n-done, maxRequest)
		lo, hi := at/PageSize, (at+int64(want)+PageSize-1)/PageSize
		if err = c.settle(s, lo, hi, op); err != 0 {
			break
		}
		d := c.direct(s, (want+PageSize-1)/PageSize)
		if d == nil {
			return done, errno.ENOMEM
		}
		want = min(want, len(d.frames)*PageSize)
		k := want
		if src != nil {
			k = d.fill(c, src, want) &^ (int(c.disk.limits.LogicalBlock) - 1)
		}
		if k > 0 {
			err = d.do(c, s, op, at, k)
		}
		if err == 0 && dst != nil {
			k = d.give(c, dst, k)
		}
		c.putDirect(d)
		if err != 0 {
			break
		}
		if op == Write {
			c.Invalidate(s, lo, hi, true)
		}
		done += k
		if k < want {
			break
		}
	}
	if done > 0 {
		err = 0
	}
	return done, err
}

// settle makes pages [lo, hi) of the disk what the cache has of them, and for a write
// takes them out of the cache.
func (c *Cache) settle(s Sleeper, lo, hi int64, op Op) errno.Errno {
	c.mu.Lock()
	pages, changed := c.pages, c.dirty+c.writing+c.shared
	seen := c.failures
	c.mu.Unlock()
	if changed > 0 {
		c.sync(s, lo, hi)
		if _, err := c.Failed(seen); err != 0 {
			return err
		}
	}
	if pages > 0 && op == Write {
		c.Invalidate(s, lo, hi, true)
	}
	return 0
}

// pieces calls f for the pieces of d's memory, up to n bytes, until it returns less
// than a piece has, and returns the sum.
func (d *direct) pieces(c *Cache, n int, f func(p []byte) int) (done int) {
	for i := 0; done < n; {
		k := 1
		for i+k < len(d.frames) && d.frames[i+k] == d.frames[i]+uintptr(k)*PageSize {
			k++
		}
		p := c.disk.sys.Memory(d.frames[i], k*PageSize)
		p = p[:min(len(p), n-done)]
		got := f(p)
		done += got
		if got < len(p) {
			break
		}
		i += k
	}
	return done
}

func (d *direct) fill(c *Cache, src fs.Source, n int) int { return d.pieces(c, n, src.Get) }
func (d *direct) give(c *Cache, dst fs.Sink, n int) int   { return d.pieces(c, n, dst.Put) }

// do has the disk read or write n bytes of d's memory, and waits.
func (d *direct) do(c *Cache, s Sleeper, op Op, off int64, n int) errno.Errno {
	list := d.requests[:0]
	sector := c.start + uint64(off)/SectorSize
	for i := 0; n > 0; i++ {
		k := uint32(min(n, PageSize))
		if len(list) == 0 || !addSegment(&list[len(list)-1], uint64(d.frames[i]), k, &c.disk.limits) {
			if len(list) < cap(list) {
				list = list[:len(list)+1]
			} else {
				list = append(list, Request{})
			}
			r := &list[len(list)-1]
			*r = Request{Op: op, Sector: sector, Segs: r.Segs[:0], Done: d}
			addSegment(r, uint64(d.frames[i]), k, &c.disk.limits)
		}
		sector += uint64(k / SectorSize)
		n -= int(k)
	}
	for i := range list[1:] {
		list[i].Next = &list[i+1]
	}
	d.requests = list
	d.who = s
	d.err.Store(0)
	d.left.Store(int32(len(list)))
	c.disk.submit(&list[0])
	for d.left.Load() != 0 {
		s.Park()
	}
	err := errno.Errno(d.err.Load())
	for i := range list {
		if err != 0 && list[i].Lost {
			d.frames = nil
		}
	}
	return err
}
