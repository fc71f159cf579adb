package linux

import "unsafe"

// vma is a mapping: pages [lo, hi) with the same rights and source.
type vma struct {
	lo, hi uintptr
	prot   uint8
	flags  vmaFlags
	file   Backing // nil: anonymous memory
	off    int64   // of lo in file
}

// Protection, as in mmap(2).
const (
	protRead  = 1
	protWrite = 2
	protExec  = 4
)

type vmaFlags uint16

const (
	vmaShared    vmaFlags = 1 << iota // MAP_SHARED
	vmaGrowsDown                      // MAP_GROWSDOWN: grows towards lower addresses on a fault
	vmaStack                          // MAP_STACK, no effect
	vmaLocked                         // mlock(2)
	vmaNoReserve
	vmaMayWrite // a shared mapping of a file that is open for writing
	vmaDontFork
	vmaDontDump
	vmaWipeOnFork
	vmaHuge   // MADV_HUGEPAGE
	vmaNoHuge // MADV_NOHUGEPAGE
)

// endOff is the offset in the file where v ends.
func (v *vma) endOff() int64 { return v.off + int64(v.hi-v.lo) }

// offset is that of address a, which is in v.
func (v *vma) offset(a uintptr) int64 { return v.off + int64(a-v.lo) }

// isData says whether v is private memory that can be written to, but no stack: what
// RLIMIT_DATA and overcommitment are about (is_data_mapping, mm/vma.h).
func (v *vma) isData() bool {
	return v.prot&protWrite != 0 && v.flags&(vmaShared|vmaGrowsDown) == 0
}

// writesFile says whether what is written to v, if its rights are changed to
// allow it, goes to its file.
func (v *vma) writesFile() bool { return v.flags&(vmaShared|vmaMayWrite) == vmaShared|vmaMayWrite }

// fileRights are those of v's file's pages: a private mapping copies one when
// it is written to.
func (v *vma) fileRights() uint64 {
	r := pteRights(v.prot) | pteFile
	if !v.writesFile() {
		r &^= pteWrite
	}
	return r
}

// continues says whether w, which begins where v ends, is more of the same.
func (v *vma) continues(w *vma) bool {
	return v.hi == w.lo && v.prot == w.prot && v.flags == w.flags && v.file == w.file &&
		(v.file == nil || v.endOff() == w.off)
}

// floor is the address that other mappings are kept below.
func (v *vma) floor() uintptr {
	if v.flags&vmaGrowsDown != 0 {
		return v.lo - min(v.lo, stackGap)
	}
	return v.lo
}

// release gives up v's reference to its file.
func (v *vma) release() {
	if v.file != nil {
		v.file.Release()
	}
}

// vmas is the set of mappings of a space, sorted and without overlap. A slice
// of pointers stays fast enough with 65,530 of them: a lookup takes 16 steps, and
// a change moves the shorter side, which is short: mmap goes downwards, so what
// is new lies just above the program and its heap.
type vmas struct {
	v     []*vma // a part of all, which has room before and behind it
	all   []*vma
	front int     // room before v
	spare []vma   // not yet used
	first [10]vma // the first spare ones: enough for a C program
	slots [24]*vma

	// For gap: every hole above top is smaller than hole.
	top, hole uintptr
}

// maxMappings is vm.max_map_count's default (proc(5)).
const maxMappings = 65530

// canAdd says whether there may be n mappings more.
func (m *vmas) canAdd(n int) bool {
	need := n * int(unsafe.Sizeof(vma{}))
	if len(m.v)+n > len(m.all)-len(m.v) { // perhaps makeRoom
		need += len(m.v) * 3 * int(unsafe.Sizeof(m))
	}
	return len(m.v)+n <= maxMappings && (len(m.v) < len(m.slots) || kernelRoom(need))
}

// find returns the index of the first mapping that ends after a.
func (m *vmas) find(a uintptr) int {
	i, j := 0, len(m.v)
	for i < j {
		h := int(uint(i+j) >> 1)
		if m.v[h].hi <= a {
			i = h + 1
		} else {
			j = h
		}
	}
	return i
}

// at returns the mapping that a lies in, or nil.
func (m *vmas) at(a uintptr) *vma {
	if i := m.find(a); i < len(m.v) && m.v[i].lo <= a {
		return m.v[i]
	}
	return nil
}

// taken says whether a mapping overlaps [lo, hi).
func (m *vmas) taken(lo, hi uintptr) bool {
	i := m.find(lo)
	return i < len(m.v) && m.v[i].lo < hi
}

// covered says whether mappings cover all of [lo, hi).
func (m *vmas) covered(lo, hi uintptr) bool {
	for i := m.find(lo); lo < hi; i++ {
		if i == len(m.v) || m.v[i].lo > lo {
			return false
		}
		lo = m.v[i].hi
	}
	return true
}

// insert adds a copy of v, which must not overlap another, joining it with
// its neighbours where they continue each other. The set takes over the
// reference to v.file.
func (m *vmas) insert(v vma) {
	i := m.find(v.lo)
	switch {
	case i > 0 && m.v[i-1].continues(&v):
		m.v[i-1].hi = v.hi
		v.release()
		m.join(i, i)
	case i < len(m.v) && v.continues(m.v[i]):
		m.v[i].lo, m.v[i].off = v.lo, v.off
		v.release()
	default:
		p := m.alloc()
		*p = v
		m.put(i, p)
	}
}

// split makes a a border between mappings and returns the index of the first
// one at or after it.
func (m *vmas) split(a uintptr) int {
	i := m.find(a)
	if i == len(m.v) || m.v[i].lo >= a {
		return i
	}
	low := m.v[i]
	high := m.alloc()
	*high = *low
	high.lo, low.hi = a, a
	if high.file != nil {
		high.off += int64(a - low.lo)
		high.file.Retain()
	}
	m.put(i+1, high)
	return i + 1
}

// join undoes borders that have become needless: those of mappings i to j,
// both included.
func (m *vmas) join(i, j int) {
	for k := min(j+1, len(m.v)-1); k >= max(i, 1); k-- {
		if a, b := m.v[k-1], m.v[k]; a.continues(b) {
			a.hi = b.hi
			b.release()
			m.cut(k, k+1)
		}
	}
}

// cut takes mappings i to j-1 out of the set.
func (m *vmas) cut(i, j int) {
	n := j - i
	if i < len(m.v)-j {
		copy(m.v[n:j], m.v[:i])
		clear(m.v[:n])
		m.front += n
		m.v = m.v[n:]
		return
	}
	copy(m.v[i:], m.v[j:])
	clear(m.v[len(m.v)-n:])
	m.v = m.v[:len(m.v)-n]
}

// put makes v the mapping with index i.
func (m *vmas) put(i int, v *vma) {
	n := len(m.v)
	low := i < n-i // what is below moves down
	if low && m.front == 0 || !low && m.front+n == len(m.all) {
		m.makeRoom()
	}
	if low {
		m.front--
	}
	m.v = m.all[m.front : m.front+n+1]
	if low {
		copy(m.v[:i], m.v[1:])
	} else {
		copy(m.v[i+1:], m.v[i:])
	}
	m.v[i] = v
}

// makeRoom makes room on both sides of v.
func (m *vmas) makeRoom() {
	n := len(m.v)
	if m.all == nil {
		m.all = m.slots[:]
	} else {
		m.all = make([]*vma, 2*n+16)
	}
	m.front = (len(m.all) - n) / 2
	copy(m.all[m.front:], m.v)
	m.v = m.all[m.front : m.front+n]
}

// remove takes all mappings out of [lo, hi), cutting those that stick out.
func (m *vmas) remove(lo, hi uintptr) {
	i := m.split(lo)
	j := m.split(hi)
	if i == j {
		return
	}
	for _, v := range m.v[i:j] {
		v.release()
	}
	m.cut(i, j)
	below, above := uintptr(0), m.mapTop()
	if i > 0 {
		below = m.v[i-1].hi
	}
	if i < len(m.v) {
		above = min(above, m.v[i].lo)
	}
	if above > m.top && above > below { // a hole that gap should look at again
		m.hole = max(m.hole, above-below+1)
	}
}

func (m *vmas) alloc() *vma {
	if len(m.spare) == 0 {
		if m.all == nil {
			m.spare = m.first[:]
		} else {
			m.spare = make([]vma, 32)
		}
	}
	v := &m.spare[0]
	m.spare = m.spare[1:]
	return v
}

// mapTop is where the search for free addresses begins: below the stack's
// greatest extent (mmap_base with randomization off).
func (m *vmas) mapTop() uintptr { return 0x7ffff7fff000 }

// mapBottom is the lowest address that a mapping gets without being asked for
// it: page 0 stays free, and so do those that null pointers with an offset
// reach (vm.mmap_min_addr).
const mapBottom = 64 << 10

// gap returns the highest address below which n bytes are free, or 0. It
// starts where it left off, unless a hole above there may be large enough.
func (m *vmas) gap(n uintptr) uintptr {
	hi := m.top
	if hi == 0 || n < m.hole {
		hi, m.hole = m.mapTop(), 1
	}
	for i := m.find(hi) - 1; ; i-- {
		if i+1 < len(m.v) {
			hi = min(hi, m.v[i+1].floor())
		}
		lo := uintptr(mapBottom)
		if i >= 0 {
			lo = max(lo, m.v[i].hi)
		}
		if hi >= lo && hi-lo >= n {
			m.top = hi
			return hi - n
		}
		if hi > lo {
			m.hole = max(m.hole, hi-lo+1)
		}
		if i < 0 {
			m.top = hi
			return 0
		}
	}
}

// gapFrom returns the lowest address in [lo, hi) from which on n bytes are free, or 0.
func (m *vmas) gapFrom(lo, hi, n uintptr) uintptr {
	for i := m.find(lo); i < len(m.v) && m.v[i].floor() < lo+n; i++ {
		lo = m.v[i].hi
	}
	if lo > hi || n > hi-lo {
		return 0
	}
	return lo
}
