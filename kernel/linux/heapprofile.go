package linux

import (
	"runtime"
	"unsafe"
)

// The Go runtime samples allocations while memProfileRate is not 0: on average one in so
// many bytes, with the stack that it came from.
//
//go:linkname memProfileRate runtime.MemProfileRate
var memProfileRate int

//go:linkname iterateMemProfile runtime.iterate_memprof
func iterateMemProfile(f func(bucket unsafe.Pointer, depth uintptr, stack *uintptr, size, allocs, frees uintptr))

const (
	heapRate   = 8 << 10 // bytes
	heapTables = 3 << 20 // what the runtime takes for it, at most about
)

func sampleHeap(on bool) {
	memProfileRate = 0
	if on {
		memProfileRate = heapRate
	}
}

// procHeap is /proc/gosv/heap, after a collection: what is in use in all ("heap BYTES RATE"),
// of each size ("size BYTES ALLOCATIONS FREES"), and what was sampled ("at SIZE
// ALLOCATIONS FREES" and the lower halves of the addresses on the stack).
func procHeap(s *subject, b *text) {
	runtime.GC()
	runtime.GC() // the first one's frees are counted with this one
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	line := func(what string, v ...uintptr) {
		b.str(what)
		for _, n := range v {
			b.str(" ")
			b.num(uint64(n))
		}
		b.str("\n")
	}
	line("heap", uintptr(m.HeapAlloc), heapRate)
	for i := range m.BySize {
		if c := &m.BySize[i]; c.Mallocs > 0 {
			line("size", uintptr(c.Size), uintptr(c.Mallocs), uintptr(c.Frees))
		}
	}
	// Nothing may be allocated while the runtime shows what it has.
	room := 0
	iterateMemProfile(func(_ unsafe.Pointer, depth uintptr, _ *uintptr, _, _, _ uintptr) { room += int(depth) + 4 })
	all := make([]uintptr, 0, room)
	iterateMemProfile(func(_ unsafe.Pointer, depth uintptr, stack *uintptr, size, allocs, frees uintptr) {
		if n := len(all) + int(depth) + 4; n <= cap(all) {
			all = append(append(all, depth+3, size, allocs, frees), unsafe.Slice(stack, depth)...)
		}
	})
	for len(all) > 0 {
		n := 1 + all[0]
		for i := 4; i < int(n); i++ {
			all[i] = uintptr(uint32(all[i]))
		}
		line("at", all[1:n]...)
		all = all[n:]
	}
}
