package siphash

import (
	"encoding/binary"
	"testing"
)

// TestVectors: the paper's, of the bytes 0, 1, 2, ... with the key 0, 1, ..., 15
// (appendix A, and its reference implementation), written in two pieces each.
func TestVectors(t *testing.T) {
	message := make([]byte, 64)
	for i := range message {
		message[i] = byte(i)
	}
	for n, want := range map[int]uint64{0: 0x726fdb47dd0e0e31, 1: 0x74f839c593dc67fd, 15: 0xa129ca6149be45e5, 63: 0x958a324ceb064572} {
		for first := range n + 1 {
			d := &digest{k: [2]uint64{0x0706050403020100, 0x0f0e0d0c0b0a0908}}
			d.Reset()
			d.Write(message[:first])
			d.Write(message[first:n])
			for range 2 { // Sum changes nothing
				if got := binary.LittleEndian.Uint64(d.Sum(nil)); got != want {
					t.Errorf("%d bytes, %d of them first: %#x, not %#x", n, first, got, want)
				}
			}
		}
	}
}
