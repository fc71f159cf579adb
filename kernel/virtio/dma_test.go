package virtio

import (
	"slices"
	"testing"
)

func TestFindRun(t *testing.T) {
	frames := []uintptr{0x1000, 0x3000, 0x4000, 0x6000, 0x7000, 0x8000, 0x20000}
	for n, want := range []int{1: 0, 2: 1, 3: 3, 4: -1} {
		if n == 0 {
			continue
		}
		if got := findRun(frames, n); got != want {
			t.Errorf("%d frames in a row: at %d, want %d", n, got, want)
		}
	}
	shuffled := []uintptr{0x20000, 0x4000, 0x8000, 0x1000, 0x7000, 0x3000, 0x6000}
	if Sort(shuffled); !slices.Equal(shuffled, frames) {
		t.Errorf("sorted: %#x", shuffled)
	}
	if got := findRun(nil, 2); got != -1 {
		t.Errorf("none at all: at %d", got)
	}
}

func TestLayout(t *testing.T) {
	// Section 2.7.2's formula for legacy devices.
	for n := 1; n <= maxQueue; n *= 2 {
		up := func(x int) int { return (x + 4095) &^ 4095 }
		avail, used, size := layout(n, legacyAlign)
		if avail != 16*n || used != up(16*n+6+2*n) || up(size) > used+up(6+8*n) {
			t.Errorf("%d entries: available ring at %d, used at %d, %d bytes", n, avail, used, size)
		}
	}
}
