//go:build netstack

package hash

import (
	"unsafe"

	"gvisor.dev/gvisor/pkg/rand"
)

// RandN32 makes n random numbers in place.
func RandN32(n int) []uint32 {
	r := make([]uint32, n)
	if _, err := rand.Read(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(r))), 4*n)); err != nil {
		panic("no random numbers: " + err.Error())
	}
	return r
}
