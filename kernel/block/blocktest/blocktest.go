// Package blocktest has disks in memory, for tests of what reads them.
package blocktest

import (
	"math/rand/v2"
	"sync"
	"unsafe"

	"gosv/kernel/block"
	"gosv/kernel/errno"
)

// System has the memory of disks' caches. It implements block.System.
type System struct {
	at   func(addr uintptr, n int) []byte
	mu   sync.Mutex
	free []uintptr
}

// NewSystem returns a system with so many frames from base on, in no order; at is what is there.
func NewSystem(base uintptr, frames int, at func(addr uintptr, n int) []byte) *System {
	s := &System{at: at}
	for _, i := range rand.New(rand.NewPCG(1, 2)).Perm(frames) {
		s.free = append(s.free, base+uintptr(i)*block.PageSize)
	}
	return s
}

// Frames implements block.System.
func (s *System) Frames(dst []uintptr) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := copy(dst, s.free)
	s.free = s.free[n:]
	return n
}

// FreeFrames implements block.System.
func (s *System) FreeFrames(src []uintptr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = append(s.free, src...)
}

// Reclaim implements block.System.
func (s *System) Reclaim() bool { return false }

// Memory implements block.System.
func (s *System) Memory(addr uintptr, n int) []byte { return s.at(addr, n) }

// Forget implements block.System.
func (s *System) Forget(*block.Cache, int64, int64) {}

// Later implements block.System.
func (s *System) Later(uint64, func()) {}

// Disk is a disk of 512-byte sectors that is in memory. It answers on other goroutines.
type Disk struct {
	Data []byte

	// Bad says whether a read of count sectors fails; nil: none does.
	Bad func(sector, count uint64) bool

	sys *System
}

// Reader returns how a file system reads d, through a cache of so many pages.
func (d *Disk) Reader(frames int) *block.Reader {
	memory := make([]byte, (frames+2)*block.PageSize)
	skip := -uintptr(unsafe.Pointer(&memory[0])) & (block.PageSize - 1)
	memory = memory[skip:]
	d.sys = NewSystem(block.PageSize, frames, func(addr uintptr, n int) []byte { return memory[addr:][:n:n] })
	return &block.Reader{Volume: block.NewDisk("vda", d, d.sys).Whole(), Sleeper: block.NewSleeper}
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
		p = p[copy(d.sys.Memory(uintptr(s.Addr), int(s.Len)), p):]
	}
	return 0
}
