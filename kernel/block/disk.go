package block

import (
	"sync"
	"sync/atomic"

	"gosv/kernel/errno"
)

// Disk is a disk of the system.
type Disk struct {
	Name   string // sda
	Device Device
	Stats  Stats

	sys    System
	limits Limits
	gone   atomic.Bool

	mu     sync.Mutex
	whole  *Volume
	parts  []*Volume // by number
	parsed bool
}

// Stats count what a disk was asked for, by Op.
type Stats struct {
	Requests, Sectors [WriteZeroes + 1]atomic.Uint64
	InFlight          atomic.Int64
}

// Volume is a disk or one of its partitions.
type Volume struct {
	Disk   *Disk
	Number int    // of the partition; 0 is the whole disk
	Start  uint64 // sectors
	Part   Partition
	Locked atomic.Bool // somebody made it read-only, which the disk is not

	sectors atomic.Uint64
	cache   *Cache
	off     int64 // of the volume in the cache, bytes
	uses    atomic.Int32
}

// NewDisk returns a disk of the given name. Nothing of it is read yet.
func NewDisk(name string, dev Device, sys System) *Disk {
	d := &Disk{Name: name, Device: dev, sys: sys, limits: dev.Limits()}
	l := &d.limits
	l.LogicalBlock = max(l.LogicalBlock, SectorSize)
	if l.MaxRequest == 0 {
		l.MaxRequest = maxRequest
	}
	l.MaxRequest = min(l.MaxRequest, maxRequest) &^ (PageSize - 1)
	l.PhysicalBlock = max(l.PhysicalBlock, l.LogicalBlock)
	d.whole = &Volume{Disk: d, cache: newCache(d, 0, int64(l.Sectors)*SectorSize)}
	d.whole.sectors.Store(l.Sectors)
	return d
}

// Limits is what the disk's driver said of it.
func (d *Disk) Limits() *Limits { return &d.limits }

// Whole is all of the disk.
func (d *Disk) Whole() *Volume { return d.whole }

// submit gives requests to the driver.
func (d *Disk) submit(r *Request) {
	n := int64(0)
	for q := r; q != nil; q = q.Next {
		d.Stats.Requests[q.Op].Add(1)
		d.Stats.Sectors[q.Op].Add(q.Count)
		n++
	}
	if d.gone.Load() {
		for r != nil {
			next := r.Next
			r.Done.Completed(errno.EIO)
			r = next
		}
		return
	}
	d.Device.Submit(r)
}

// Remove says that the disk is no longer there: whatever is asked of it fails.
func (d *Disk) Remove() { d.gone.Store(true) }

// Gone says whether Remove was called.
func (d *Disk) Gone() bool { return d.gone.Load() }

// Resize is told by the driver that the disk has another size now.
func (d *Disk) Resize(sectors uint64) {
	c := d.whole.cache
	c.mu.Lock()
	was := c.pagesEnd()
	size := int64(sectors) * SectorSize
	shrunk := size < c.size.Load()
	c.size.Store(size)
	d.whole.sectors.Store(sectors)
	lo := c.pagesEnd()
	c.mu.Unlock()
	if shrunk {
		// Not on the goroutine of the driver's interrupt: it waits for requests.
		go c.Invalidate(NewSleeper(), lo, was, false)
	}
}

// NewSleeper returns a Sleeper for a goroutine.
func NewSleeper() Sleeper { return &goSleeper{make(chan struct{}, 1)} }

// goSleeper is a goroutine of the kernel's that waits.
type goSleeper struct{ c chan struct{} }

func (s *goSleeper) Park() { <-s.c }
func (s *goSleeper) Wake() {
	select {
	case s.c <- struct{}{}:
	default:
	}
}

// Awaited is a request that somebody waits for.
type Awaited struct {
	Request
	who  Sleeper
	done atomic.Bool
}

// Completed implements Completer.
func (a *Awaited) Completed(err errno.Errno) {
	who := a.who
	a.Err = err
	a.done.Store(true)
	who.Wake()
}

// Await submits requests, all at once, and waits until they have ended.
func Await(s Sleeper, submit func(*Request), list ...*Awaited) {
	for i, a := range list {
		if a.who = s; a.Done == nil {
			a.Done = a
		}
		if i > 0 {
			list[i-1].Next = &a.Request
		}
	}
	submit(&list[0].Request)
	for _, a := range list {
		for !a.done.Load() {
			s.Park()
		}
	}
}

func (d *Disk) command(s Sleeper, r Request) errno.Errno {
	a := &Awaited{Request: r}
	Await(s, d.submit, a)
	return a.Err
}

// Flush makes the disk keep for good what was written to it.
func (d *Disk) Flush(s Sleeper) errno.Errno {
	if !d.limits.Volatile {
		if d.Gone() {
			return errno.EIO
		}
		return 0
	}
	return d.command(s, Request{Op: Flush})
}

// Sync writes what was changed of the disk and its partitions back.
func (d *Disk) Sync(s Sleeper) errno.Errno {
	d.EachCache(func(c *Cache) { c.sync(s, 0, c.pagesEnd()) })
	return d.Flush(s)
}

// EachCache calls f for the disk's caches.
func (d *Disk) EachCache(f func(c *Cache)) {
	d.mu.Lock()
	parts := d.parts
	d.mu.Unlock()
	f(d.whole.cache)
	for _, v := range parts {
		if v.cache != d.whole.cache {
			f(v.cache)
		}
	}
}
