package linux

import (
	"sync"
	"unsafe"

	"gosv/kernel/metal"
	"gosv/kernel/mm"
)

// The vDSO (vdso(7)) and, in the page before it, what it reads. They are the
// machine's, as metal's clock is.
var (
	vvarPage = machinePage{name: "[vvar]", fill: metal.ShowClock}
	vdsoPage = machinePage{name: "[vdso]", fill: copyVDSO}
)

// mapVDSO maps both and returns the vDSO's address.
func mapVDSO(s *mm.Space) (uintptr, Errno) {
	lo := s.Gap(2 * pageSize)
	if lo == 0 {
		return 0, ENOMEM
	}
	if err := s.Place(&mm.VMA{Lo: lo, Hi: lo + pageSize, Prot: mm.Read, File: &vvarPage}); err != 0 {
		return 0, err
	}
	return lo + pageSize, s.Place(&mm.VMA{Lo: lo + pageSize, Hi: lo + 2*pageSize, Prot: mm.Read | mm.Exec, File: &vdsoPage})
}

func copyVDSO(page unsafe.Pointer) { copy((*[pageSize]byte)(page)[:], metal.VDSO) }

// machinePage is a page that all processes see, made when the first one looks
// at it.
type machinePage struct {
	name string
	fill func(page unsafe.Pointer)
	mu   sync.Mutex
	page *[pageSize]byte
}

// Pages implements mm.Backing.
func (p *machinePage) Pages(off int64, max int, write bool) ([]byte, Errno) {
	if off != 0 {
		return nil, 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.page == nil {
		var f [1]uintptr
		if metal.AllocFrames(f[:]) == 0 {
			return nil, ENOMEM
		}
		metal.ZeroFrame(f[0])
		p.page = (*[pageSize]byte)(metal.Phys(f[0]))
		p.fill(unsafe.Pointer(p.page))
	}
	return p.page[:], 0
}

func (p *machinePage) Fetch(int64) Errno { return 0 }
func (p *machinePage) Tracked() bool     { return false }

func (p *machinePage) Retain()  {}
func (p *machinePage) Release() {}

func (p *machinePage) MapsName() (dev, ino uint64, path string) { return 0, 0, p.name }
