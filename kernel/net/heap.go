package net

import (
	"sync/atomic"
	_ "unsafe" // go:linkname

	"gosv/kernel/metal"
)

// The collector looks at the heap when it is twice what was alive the last time. Of a
// server's heap, connections that were closed are the most: each is some objects, for a
// minute. So where there is memory, it looks later. The limit that follows what is
// free (package mm) holds nevertheless. Where there is not enough for all sockets, what is
// garbage is better given to them: then it looks sooner, until there is again.
const (
	enoughMemory = 64 << 20 // bytes
	later        = 400      // percent of what was alive,
	usual        = 100
	sooner       = 25
)

// collector is when the collector looks.
type collector struct{ sooner atomic.Bool }

func (c *collector) relax() {
	c.sooner.Store(false)
	if _, total := metal.FreeMemory(); total >= enoughMemory {
		setGCPercent(later)
	} else {
		setGCPercent(usual)
	}
}

func (c *collector) hurry() {
	if c.sooner.CompareAndSwap(false, true) {
		go setGCPercent(sooner) // which waits for the collector
	}
}

//go:linkname setGCPercent runtime/debug.setGCPercent
func setGCPercent(percent int32) int32
