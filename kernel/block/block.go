// Package block has what is common to disks: requests to their drivers,
// partitions, and the cache of pages that programs read, write and map.
//
// It is ordinary Go: what it needs of the machine is in System, and a disk is
// whatever implements Device.
package block

import "gosv/kernel/errno"

// SectorSize is the unit of places on a disk, whatever its blocks are.
const SectorSize = 512

// PageSize is the unit of the cache.
const PageSize = 4096

// Op is what a request does.
type Op uint8

const (
	Read Op = iota
	Write
	Flush       // what was written before is on the disk for good after it
	Discard     // the contents are not needed any more
	WriteZeroes // as Write, without data
)

// Segment is a piece of physical memory.
type Segment struct {
	Addr uint64
	Len  uint32
}

// Request is a job for a disk. The driver has it, and the memory, from Submit
// until it calls Done.
type Request struct {
	Op     Op
	Sector uint64
	Count  uint64    // sectors; for Read and Write as many as Segs have room for
	Segs   []Segment // of Read and Write
	Unmap  bool      // WriteZeroes may make a hole
	Lost   bool      // it failed, and the disk may write to its memory still: that must never be used again
	Done   Completer
	Next   *Request // of those given to Submit at once; then the driver's

	// The driver's: what becomes of it, and which disk it is for.
	Err  errno.Errno
	Disk Device
}

// Completer is told once that a request has ended: in Submit already, or on an
// interrupt's goroutine, where it must not block. EIO is a failure, EOPNOTSUPP
// that the disk does not know the operation, ENOSPC that it is full (one that
// is provisioned thinly), EREMOTEIO none of them.
type Completer interface{ Completed(err errno.Errno) }

// Limits is what a driver says of its disk.
type Limits struct {
	Sectors       uint64
	LogicalBlock  uint32 // what requests are multiples of, bytes: 512 to 4096
	PhysicalBlock uint32 // what it would rather have
	ReadOnly      bool
	Removable     bool
	Volatile      bool // it has a cache of its own: Flush is needed

	MaxSegments int    // of a request, at least 1
	MaxSegment  uint32 // bytes, at least PageSize
	MaxRequest  uint32 // bytes, at least PageSize; 0: as many as you like

	MaxDiscard   uint32 // sectors of a request; 0: it cannot
	DiscardAlign uint32 // bytes
	MaxZeroes    uint32 // sectors of a request; 0: it cannot
}

// Device is a disk as its driver offers it.
type Device interface {
	// Limits is asked once, before the first request.
	Limits() Limits

	// Submit starts the requests in the list r, without waiting for anything.
	// No lock is held that Done could want.
	Submit(r *Request)

	// Identity is what the disk calls itself, "" if it does not say. It may
	// have to ask it.
	Identity(s Sleeper) (model, serial string)
}

// Sleeper is who waits: a thread of the application, or a goroutine.
type Sleeper interface {
	Park() // until Wake, or for no reason. A Wake before counts.
	Wake()
}

// System is what disks need of the kernel around them.
type System interface {
	// Frames fills dst with physical pages (of undefined contents) as far as
	// the application can do without them, and returns how many it got.
	Frames(dst []uintptr) int
	FreeFrames(src []uintptr)

	// Reclaim has caches give frames back, also those that are mapped, and says whether any did. No
	// cache is locked meanwhile. It takes the locks of address spaces: who reads from a disk has none.
	Reclaim() bool

	// Memory is n bytes of physical memory.
	Memory(addr uintptr, n int) []byte

	// Forget makes all mappings of c's pages [lo, hi) ask for them again. It
	// takes the locks of address spaces.
	Forget(c *Cache, lo, hi int64)

	// Later calls f, on a goroutine of its own, in so many nanoseconds.
	Later(ns uint64, f func())
}

// sortFrames sorts frames, mostly few and nearly sorted, so that those that lie side by side
// become one segment (Shell's sort: slices.Sort is ten times as large).
func sortFrames(v []uintptr) {
	for gap := len(v) / 2; gap > 0; gap /= 2 {
		for i := gap; i < len(v); i++ {
			for j := i; j >= gap && v[j-gap] > v[j]; j -= gap {
				v[j-gap], v[j] = v[j], v[j-gap]
			}
		}
	}
}
