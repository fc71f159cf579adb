package net

import (
	"runtime"
	_ "unsafe" // go:linkname
)

// Netstack's goroutines, and the program's threads when they call it, need more stack
// than goroutines start with. To grow it where netstack is deep, step by step and with
// a look at the pointers of each frame, costs some 50,000 instructions each time.
const (
	deepStack    = 16 << 10
	deepestStack = 32 << 10 // for netstack's own start
	spare        = 11       // goroutines that a server comes to have until its first answer
)

// startingStackSize is what goroutines start with that run on what is left of one that has
// ended. (The first ones always start with the least.)
//
//go:linkname startingStackSize runtime.startingStackSize
var startingStackSize uint32

// deepen has goroutines start with deepStack from now on.
func deepen() {
	startingStackSize = deepStack
	for range spare {
		go func() {}()
	}
	runtime.Gosched()
}
