//go:build !netstack

package net

import _ "unsafe" // go:linkname

// nanotime is that of the host, where the tests run.
//
//go:linkname nanotime runtime.nanotime
func nanotime() int64
