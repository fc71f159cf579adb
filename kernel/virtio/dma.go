package virtio

import (
	"unsafe"

	"gosv/kernel/metal"
)

// RAM is the machine's memory. (The Go heap is none that a device can use: it
// is physically anywhere.)
type RAM struct{}

const frameSize = 4096

// Alloc implements Memory.
func (RAM) Alloc(n int) (Piece, error) {
	frames := (n + frameSize - 1) / frameSize
	addr := run(frames)
	if addr == 0 {
		return Piece{}, errNoMemory
	}
	for i := range frames {
		metal.ZeroFrame(addr + uintptr(i)*frameSize)
	}
	return Piece{uint64(addr), unsafe.Slice((*byte)(metal.Phys(addr)), n)}, nil
}

const errNoMemory Error = "there is too little memory for it"

// Free implements Memory.
func (RAM) Free(p Piece) {
	for at := 0; at < len(p.Bytes); at += frameSize {
		metal.FreeFrames([]uintptr{uintptr(p.Addr) + uintptr(at)})
	}
}

// run returns n frames in a row, or 0. Where all memory has been in use they
// are sought among the frames that came back.
func run(n int) uintptr {
	if n > 1 {
		if addr := metal.AllocRun(n); addr != 0 {
			return addr
		}
	}
	frames := make([]uintptr, 1)
	if n > 1 {
		// Not so many that the application would miss them.
		free, _ := metal.FreeMemory()
		frames = make([]uintptr, min(free/frameSize/2, 4096))
	}
	frames = frames[:metal.AllocFrames(frames)]
	Sort(frames)
	found := findRun(frames, n)
	if found < 0 {
		metal.FreeFrames(frames)
		return 0
	}
	addr := frames[found]
	metal.FreeFrames(frames[:found])
	metal.FreeFrames(frames[found+n:])
	return addr
}

// Sort sorts: package slices has what does it in twenty times as much code. It
// is Shell's method.
func Sort(a []uintptr) {
	gap := 1
	for gap < len(a)/3 {
		gap = 3*gap + 1
	}
	for ; gap > 0; gap /= 3 {
		for i := gap; i < len(a); i++ {
			for j := i; j >= gap && a[j] < a[j-gap]; j -= gap {
				a[j], a[j-gap] = a[j-gap], a[j]
			}
		}
	}
}

// findRun returns the index of the first n frames in a row in a sorted list,
// -1 if there are none.
func findRun(frames []uintptr, n int) int {
	start := 0
	for i, f := range frames {
		if f != frames[start]+uintptr(i-start)*frameSize {
			start = i
		}
		if i-start == n-1 {
			return start
		}
	}
	return -1
}
