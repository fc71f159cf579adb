package linux

import (
	"sync"
	"unsafe"

	"gosv/kernel/metal"
)

// FilePages gives file systems memory for contents: frames like the
// application's, so that they can be mapped where they are.
type FilePages struct {
	mu     sync.Mutex
	frames [16]uintptr
	n      int
}

// Alloc implements fs.PageAlloc.
func (p *FilePages) Alloc() []byte {
	p.mu.Lock()
	if p.n == 0 {
		p.n = metal.AllocFrames(p.frames[:])
	}
	if p.n == 0 {
		p.mu.Unlock()
		return nil
	}
	p.n--
	f := p.frames[p.n]
	p.mu.Unlock()
	metal.ZeroFrame(f)
	return unsafe.Slice((*byte)(metal.Phys(f)), pageSize)
}

// Free implements fs.PageAlloc.
func (p *FilePages) Free(page []byte) {
	f := [1]uintptr{metal.PhysOf(unsafe.Pointer(&page[0]))}
	metal.FreeFrames(f[:])
}
