package net

import (
	_ "unsafe" // go:linkname

	"gosv/kernel/metal"
)

// The collector looks at the heap when it is twice what was alive the last time. Of a
// server's heap, connections that were closed are the most: each is some hundred objects,
// for a minute. So where there is memory, it looks later. The limit that follows what is
// free (package mm) holds nevertheless.
const (
	enoughMemory = 64 << 20 // bytes
	later        = 400      // percent of what was alive, instead of 100
)

func collectLater() {
	if _, total := metal.FreeMemory(); total >= enoughMemory {
		setGCPercent(later)
	}
}

//go:linkname setGCPercent runtime/debug.setGCPercent
func setGCPercent(percent int32) int32
