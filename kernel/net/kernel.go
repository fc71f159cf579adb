//go:build netstack && !host

package net

import "gosv/kernel/metal"

// nanotime is runtime.nanotime, without the way to it, which is made for clocks that
// need a stack of their own.
func nanotime() int64 { return int64(metal.Now()) }
