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
	freeHuges  uintptr // 2 MiB each, aligned, that came back whole: see popHuge

	framesFree   uintptr // in ranges and list
	framesTotal  uintptr
	framesGiven  uintptr // by AllocFrames and not yet back
	framesBack   uintptr // that ever came back
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
	if f := popHuge(); f != 0 { // the ranges are used up: it is one
		ramAt = nram - 1
		ram[ramAt].next, ram[ramAt].end = f+4096, f+pageSize2M
		framesFree--
		return f
	}
	return 0
}

// takeReturned is AllocReturned.
func takeReturned(dst, n uintptr) uintptr {
	i := uintptr(0)
	for ; i < n && freeFrames != 0 && framesFree > frameReserve; i++ {
		st(dst+i*8, frame())
	}
	framesGiven += i
	return i
}

// takeReturnedHuge is AllocReturnedHuge.
func takeReturnedHuge() uintptr {
	if freeHuges == 0 {
		return 0
	}
	return takeHuge()
}

// Large pages that came back are not linked through themselves, as frames are: the
// host may have taken their memory (package balloon), and would have to give 2 MiB
// for each that is written to. One in 512 has the addresses of those that came
// after it, in its first frame: that of the one before it of its kind, how many there
// are, and these.
const (
	hugesCount = 8
	hugesFirst = 16
	hugesMost  = (4096 - hugesFirst) / 8
)

// pushHuge adds f to the large pages that came back.
func pushHuge(f uintptr) {
	if at := directMap + freeHuges; freeHuges != 0 {
		if n := ld(at + hugesCount); n < hugesMost {
			st(at+hugesFirst+n*8, f)
			st(at+hugesCount, n+1)
			return
		}
	}
	st(directMap+f, freeHuges)
	st(directMap+f+hugesCount, 0)
	freeHuges = f
}

// popHuge takes one away and returns it, or 0.
func popHuge() uintptr {
	f, at := freeHuges, directMap+freeHuges
	if f == 0 {
		return 0
	}
	n := ld(at + hugesCount)
	if n == 0 {
		freeHuges = ld(at)
		return f
	}
	st(at+hugesCount, n-1)
	return ld(at + hugesFirst + (n-1)*8)
}

// hide is Hide.
func hide(n uintptr) {
	framesTotal -= n
	framesGiven -= n
}

// takeHuge is AllocHuge. Large pages come from the top of the ranges, small ones
// from the bottom.
func takeHuge() uintptr {
	const frames = pageSize2M / 4096
	if framesFree < frameReserve+frames {
		return 0
	}
	f := popHuge()
	for i := nram - 1; i >= ramAt && f == 0; i-- {
		r := &ram[i]
		top := r.end &^ (pageSize2M - 1)
		if top < r.next+pageSize2M {
			continue
		}
		for r.end > top { // what lies above is for small ones
			r.end -= 4096
			freeFrame(r.end)
			framesFree-- // it was counted
		}
		r.end -= pageSize2M
		f = r.end
	}
	if f != 0 {
		framesFree -= frames
		framesGiven += frames
	}
	return f
}

// takeRun is AllocRun. What is behind the end of a range is in use; what is before
// it is not, unless it came back and is in a list, where nobody looks for runs.
func takeRun(n uintptr) uintptr {
	if framesFree < frameReserve+n {
		return 0
	}
	for i := nram - 1; i >= ramAt; i-- {
		if r := &ram[i]; r.end-r.next >= n<<12 {
			r.end -= n << 12
			framesFree -= n
			framesGiven += n
			return r.end
		}
	}
	return 0
}

// giveHuge is FreeHuge.
func giveHuge(f uintptr) {
	pushHuge(f)
	framesFree += pageSize2M / 4096
	framesGiven -= pageSize2M / 4096
	framesBack += pageSize2M / 4096
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
