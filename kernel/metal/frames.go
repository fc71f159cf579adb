package metal

import "gosv/kernel/boot"

// Physical memory in 4 KiB frames: usable ranges, given out from the bottom,
// and a list of those that came back, linked through themselves. Their
// contents are undefined. All under the lock.
var (
	ram        [boot.MaxRanges]struct{ next, end uintptr }
	nram       int
	ramAt      int // ranges below are used up
	freeFrames uintptr

	framesFree   uintptr // in ranges and list
	framesTotal  uintptr
	framesGiven  uintptr // by AllocFrames and not yet back
	frameReserve uintptr // that only the kernel itself may use

	directMap uintptr // DirectMap, or 0 on the boot page tables
)

func initFrames(info *boot.Info) {
	for i := 0; i < info.NRAM; i++ {
		r := info.RAM[i]
		ram[nram].next, ram[nram].end = uintptr(r.Start), uintptr(r.End)
		framesFree += uintptr(r.End-r.Start) >> 12
		nram++
	}
	framesTotal = framesFree
	// What the kernel needs to say "out of memory", and to run its garbage
	// collector before.
	frameReserve = min(max(framesTotal/32, 96), 8192)
}

// frame returns the physical address of a frame, or 0.
func frame() uintptr {
	if f := freeFrames; f != 0 {
		freeFrames = ld(directMap + f)
		framesFree--
		return f
	}
	for ; ramAt < nram; ramAt++ {
		if r := &ram[ramAt]; r.next < r.end {
			f := r.next
			r.next += 4096
			framesFree--
			return f
		}
	}
	return 0
}

func freeFrame(f uintptr) {
	st(directMap+f, freeFrames)
	freeFrames = f
	framesFree++
}

// zeroFrame returns a frame filled with zeros, or 0.
func zeroFrame() uintptr {
	f := frame()
	if f != 0 {
		zeroPage(directMap + f)
	}
	return f
}

// takeFrames is AllocFrames.
func takeFrames(dst, n uintptr) uintptr {
	i := uintptr(0)
	for ; i < n && framesFree > frameReserve; i++ {
		f := frame()
		if f == 0 {
			break
		}
		st(dst+i*8, f)
	}
	framesGiven += i
	return i
}
