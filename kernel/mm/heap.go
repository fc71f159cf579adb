package mm

import (
	"sync"
	"sync/atomic"
	_ "unsafe" // for linkname

	"gosv/kernel/metal"
)

// The kernel's Go heap and the application live on the same memory. The heap
// cannot be refused any: if there is none, the machine ends. So the collector
// is told a limit that follows what is free, and nothing is made for the
// application that it could have any number of when little is (KernelRoom).

var heap kernelHeap

type kernelHeap struct {
	mu        sync.Mutex
	low, high atomic.Uint64 // room between them needs no other limit; bytes
	others    Others        // who can give some back, or nil; set with the first space

	collecting sync.Mutex // guards
	next       uint64     // when it is worth it to collect again
	least      uint64     // what the kernel took when the first space was made, in bytes
}

const (
	heapSlack  = 1 << 20   // what the collector keeps of its limit for itself,
	heapPerCPU = 256 << 10 // and for each CPU but one: stacks and caches that it counts though they are hardly touched

	// What is free for more objects of the kernel is free memory less this, but
	// on small machines.
	kernelReserve = 1 << 20

	heapSmall = 16 << 10 // what is worth a collection
)

// allocFrames is metal.AllocFrames, which gets frames from others, too.
func (s *Space) allocFrames(dst []uintptr) int {
	n := metal.AllocFrames(dst)
	free, total := FreeMemory()
	if s.others == nil {
		return n
	}
	if s.others.GiveBack(free, total) > 0 && n == 0 {
		n = metal.AllocFrames(dst)
	}
	if n == 0 && s.others.Relieve() {
		n = metal.AllocFrames(dst)
	}
	return n
}

// Collect gives the kernel's garbage back, before the program is refused something small for it.
// It takes milliseconds, so it may take a tenth of the time; and some memory itself. It returns what is free then.
func Collect() (free uint64) {
	const takes, share = 256 << 10, 10
	h := &heap
	h.collecting.Lock()
	defer h.collecting.Unlock()
	free, _ = metal.FreeMemory()
	reserve, _ := metal.Reserve()
	if begin := metal.Now(); free+reserve >= takes && begin >= h.next {
		freeOSMemory()
		end := metal.Now()
		h.next = end + share*(end-begin)
	}
	free, _ = FreeMemory()
	return free
}

// collectLast is Collect for a program that is going to be ended else, so it takes the time, if the kernel has come to
// take so much that there may be garbage; and the memory that it takes is of the kernel's reserve. It says whether that
// was worth it.
func collectLast() bool {
	h := &heap
	h.collecting.Lock()
	defer h.collecting.Unlock()
	if metal.KernelMemory() < h.least+heapSlack {
		return false
	}
	before, _ := metal.FreeMemory()
	freeOSMemory()
	after, _ := metal.FreeMemory()
	return after >= before+heapSmall
}

// FreeMemory is metal.FreeMemory, for those who are about to take some: it adapts the
// collector's limit, which costs little when there is no need.
func FreeMemory() (free, total uint64) {
	free, total = metal.FreeMemory()
	h := &heap
	if high := h.high.Load(); high == 0 { // the first time: the limit is metal's, a quarter
		h.low.Store(total / 8 * 7) // well before the collector is busy with that
		h.high.Store(total)
	} else if room := free + reserveRoom(2); (room < h.low.Load() || room > high) && h.mu.TryLock() {
		setMemoryLimit(int64(metal.KernelMemory() + heapSlack + uint64(metal.CPUs()-1)*heapPerCPU + room/2))
		h.low.Store(room / 2) // what the collector is to look at first: with a new limit each time it would not come to that
		h.high.Store(room/2*3 + heapSlack)
		h.mu.Unlock()
	}
	return free, total
}

// reserveRoom is how many bytes the kernel may take of the reserve if so many quarters of that are to be left.
func reserveRoom(quarters uint64) uint64 {
	left, all := metal.Reserve()
	return left - min(left, all/4*quarters)
}

// Spare returns how many bytes the kernel may take for others than the program, a quarter of the reserve among them,
// and all that the machine has. There is LastRoom besides.
func Spare() (spare, total uint64) {
	free, total := FreeMemory()
	if spare = spareOf(free); spare == 0 {
		spare = spareOf(Collect())
	}
	return spare, total
}

func spareOf(free uint64) uint64 { return free + reserveRoom(3) }

// LastRoom is KernelRoom for a program that has few things of a kind: it needs them to go on, and to let go of
// what takes the memory. So it may have them of the reserve, too.
func LastRoom(n int) bool { return KernelRoom(n) || reserveRoom(2) >= uint64(n)*2 }

// KernelRoom says whether the kernel may keep n bytes more for the application. Memory
// that others need less goes first.
func KernelRoom(n int) bool {
	free, total := FreeMemory()
	need := uint64(n)*2 + min(total/32, kernelReserve)
	if free >= need || total == 0 { // in tests on the host
		return true
	}
	if o := heap.others; o != nil && o.GiveBack(0, total) > 0 {
		if free, _ = FreeMemory(); free >= need {
			return true
		}
	}
	if n > heapSmall {
		return false
	}
	return Collect() >= need
}

// setMemoryLimit is debug.SetMemoryLimit. It stops the world for a moment.
//
//go:linkname setMemoryLimit runtime/debug.setMemoryLimit
func setMemoryLimit(limit int64) int64

// freeOSMemory is debug.FreeOSMemory: it collects, and the heap gives back what it has for later.
//
//go:linkname freeOSMemory runtime/debug.freeOSMemory
func freeOSMemory()
