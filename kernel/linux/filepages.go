package linux

import (
	"sync"
	"unsafe"

	"gosv/kernel/fs"
	"gosv/kernel/metal"
	"gosv/kernel/mm"
)

// FilePages gives file systems memory for contents: frames like the
// application's, so that they can be mapped where they are.
type FilePages struct {
	kernel *Kernel

	mu     sync.Mutex
	frames [16]uintptr
	n      int
}

const fileReserve = 8 << 20

// Alloc implements fs.PageAlloc.
func (p *FilePages) Alloc() []byte {
	p.mu.Lock()
	if p.n == 0 {
		// Whoever finds a file system full must have memory left to cope.
		free, total := mm.FreeMemory()
		if p.kernel != nil && p.kernel.disks.giveBack(free, total) > 0 {
			free, total = mm.FreeMemory()
		}
		reserve := min(total/32, fileReserve)
		if free <= reserve {
			free = mm.Collect()
		}
		if free > reserve {
			p.n = metal.AllocFrames(p.frames[:])
		}
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

// FilePages returns the memory that files are to be made of.
func (k *Kernel) FilePages() *FilePages { return &k.pages }

// Unmap implements fs.PageAlloc.
func (p *FilePages) Unmap(of fs.FileSystem, ino uint64, lo, hi int64, copies bool) {
	const last = fs.MaxSize / pageSize
	lo, hi = lo*pageSize, min(hi, last)*pageSize
	which := func(b mm.Backing) (int64, int64) {
		if f, ok := b.(*inodePages); ok && f.inode.FS() == of && f.inode.Ino() == ino {
			return lo, hi
		}
		return 0, 0
	}
	for _, proc := range p.kernel.allProcesses() {
		proc.space.Forget(which, copies)
	}
}
