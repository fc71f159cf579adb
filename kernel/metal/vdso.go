package metal

import (
	"sync/atomic"
	"unsafe"
)

// clockPage is what the code of VDSO reads, in the page before it: the values
// that Now and the wall clock are made of.
type clockPage struct {
	tsc0, mult uint64
	boot, wall uint64 // what Now and the wall clock were at tsc0; 0: the vDSO asks the kernel
}

// clockShown is the page that ring 3 sees, nil before ShowClock.
var clockShown atomic.Pointer[clockPage]

// ShowClock makes a page of zeros the one that tells ring 3 the time. It tells
// nothing where the CPUs' TSCs differ.
func ShowClock(page unsafe.Pointer) {
	if perCPU != 0 {
		return
	}
	p := (*clockPage)(page)
	p.tsc0, p.mult, p.boot = tsc0, tscMult, 1
	clockShown.Store(p)
	showWall()
}

// showWall tells ring 3 the wall clock, if it is known by now.
func showWall() {
	p := clockShown.Load()
	if p == nil {
		return
	}
	for w := uint64(0); w != atomic.LoadUint64(&wallBase); { // until no one has set it meanwhile
		w = atomic.LoadUint64(&wallBase)
		atomic.StoreUint64(&p.wall, w+1)
	}
}
