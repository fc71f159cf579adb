// Package blocktest has disks in memory, for tests of what reads them.
package blocktest

import (
	"sync"
	"unsafe"

	"gosv/kernel/block"
	"gosv/kernel/errno"
)

// Disk is a disk of 512-byte sectors that is in memory. It answers on other goroutines.
type Disk struct {
	Data []byte

	// Bad says whether a read of count sectors fails; nil: none does.
	Bad func(sector, count uint64) bool

	mu     sync.Mutex
	memory []byte // which frames are addresses in
	free   []uintptr
}

// Reader returns how a file system reads d, through a cache of so many pages.
func (d *Disk) Reader(frames int) *block.Reader {
	d.memory = make([]byte, (frames+2)*block.PageSize)
	skip := -uintptr(unsafe.Pointer(&d.memory[0])) & (block.PageSize - 1)
	d.memory = d.memory[skip:]
	for i := frames; i > 0; i-- {
		d.free = append(d.free, uintptr(i)*block.PageSize)
	}
	return &block.Reader{Volume: block.NewDisk("vda", d, d).Whole(), Sleeper: block.NewSleeper}
}

// Limits implements block.Device.
func (d *Disk) Limits() block.Limits {
	return block.Limits{Sectors: uint64(len(d.Data)) / block.SectorSize, LogicalBlock: block.SectorSize, ReadOnly: true, MaxSegments: 4, MaxSegment: 1 << 20}
}

// Identity implements block.Device.
func (d *Disk) Identity(block.Sleeper) (model, serial string) { return "", "" }

// Submit implements block.Device.
func (d *Disk) Submit(r *block.Request) {
	for r != nil {
		q := r
		r = r.Next
		go func() { q.Done.Completed(d.do(q)) }()
	}
}

func (d *Disk) do(r *block.Request) errno.Errno {
	if r.Op != block.Read || d.Bad != nil && d.Bad(r.Sector, r.Count) {
		return errno.EIO
	}
	p := d.Data[r.Sector*block.SectorSize:]
	for _, s := range r.Segs {
		p = p[copy(d.Memory(uintptr(s.Addr), int(s.Len)), p):]
	}
	return 0
}

// Frames implements block.System.
func (d *Disk) Frames(dst []uintptr) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := copy(dst, d.free)
	d.free = d.free[n:]
	return n
}

// FreeFrames implements block.System.
func (d *Disk) FreeFrames(src []uintptr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.free = append(d.free, src...)
}

// Reclaim implements block.System.
func (d *Disk) Reclaim() bool { return false }

// Memory implements block.System.
func (d *Disk) Memory(addr uintptr, n int) []byte { return d.memory[addr:][:n:n] }

// Forget implements block.System.
func (d *Disk) Forget(*block.Cache, int64, int64) {}

// Later implements block.System.
func (d *Disk) Later(uint64, func()) {}
