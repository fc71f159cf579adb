//go:build !netstack || host

package net

import _ "unsafe" // go:linkname

//go:linkname nanotime runtime.nanotime
func nanotime() int64
