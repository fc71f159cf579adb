package balloon

import "gosv/kernel/metal"

// Machine is the Memory of this machine. Caches is Memory.Reclaim.
type Machine struct{ Caches func() bool }

func (Machine) Alloc(dst []uintptr) int         { return metal.AllocFrames(dst) }
func (Machine) Free(src []uintptr)              { metal.FreeFrames(src) }
func (Machine) AllocHuge() uintptr              { return metal.AllocHuge() }
func (Machine) Returned() uint64                { return metal.Returned() }
func (Machine) AllocReturned(dst []uintptr) int { return metal.AllocReturned(dst) }
func (Machine) AllocReturnedHuge() uintptr      { return metal.AllocReturnedHuge() }
func (Machine) FreeHuge(pa uintptr)             { metal.FreeHuge(pa) }
func (m Machine) Reclaim() bool                 { return m.Caches() }
func (Machine) Hide(n int)                      { metal.Hide(n) }
func (Machine) Size() (free, total uint64)      { return metal.FreeMemory() }
