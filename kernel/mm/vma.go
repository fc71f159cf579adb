package mm

import "unsafe"

// VMA is a mapping: pages [Lo, Hi) with the same rights and source.
type VMA struct {
	Lo, Hi uintptr
	Prot   uint8
	Flags  Flags
	File   Backing // nil: anonymous memory
	Off    int64   // of Lo in File
}

// Protection, as in mmap(2).
const (
	Read  = 1
	Write = 2
	Exec  = 4
)

// Flags of a mapping.
type Flags uint16

const (
	Shared    Flags = 1 << iota // MAP_SHARED
	GrowsDown                   // MAP_GROWSDOWN: grows towards lower addresses on a fault
	Stack                       // MAP_STACK, no effect
	Locked                      // mlock(2)
	NoReserve
	MayWrite // a shared mapping of a file that is open for writing
	dontFork
	dontDump
	wipeOnFork
	huge   // MADV_HUGEPAGE
	noHuge // MADV_NOHUGEPAGE
)

// endOff is the offset in the file where v ends.
func (v *VMA) endOff() int64 { return v.Off + int64(v.Hi-v.Lo) }

// Offset is that of address a, which is in v.
func (v *VMA) Offset(a uintptr) int64 { return v.Off + int64(a-v.Lo) }

// isData says whether v is private memory that can be written to, but no stack: what
// RLIMIT_DATA and overcommitment are about (is_data_mapping, mm/vma.h).
func (v *VMA) isData() bool {
	return v.Prot&Write != 0 && v.Flags&(Shared|GrowsDown) == 0
}

// WritesFile says whether what is written to v, if its rights are changed to
// allow it, goes to its file.
func (v *VMA) WritesFile() bool { return v.Flags&(Shared|MayWrite) == Shared|MayWrite }

// fileRights are those of v's file's pages: a private mapping copies one when
// it is written to.
func (v *VMA) fileRights() uint64 {
	r := pteRights(v.Prot) | pteFile
	if !v.WritesFile() {
		r &^= pteWrite
	}
	return r
}

// continues says whether w, which begins where v ends, is more of the same.
func (v *VMA) continues(w *VMA) bool {
	return v.Hi == w.Lo && v.Prot == w.Prot && v.Flags == w.Flags && v.File == w.File &&
		(v.File == nil || v.endOff() == w.Off)
}

// floor is the address that other mappings are kept below.
func (v *VMA) floor() uintptr {
	if v.Flags&GrowsDown != 0 {
		return v.Lo - min(v.Lo, stackGap)
	}
	return v.Lo
}

// release gives up v's reference to its file.
func (v *VMA) release() {
	if v.File != nil {
		v.File.Release()
	}
}

// vmaSet is the set of mappings of a space, sorted and without overlap. A slice
// of pointers stays fast enough with 65,530 of them: a lookup takes 16 steps, and
// a change moves the shorter side, which is short: mmap goes downwards, so what
// is new lies just above the program and its heap.
type vmaSet struct {
	v     []*VMA // a part of all, which has room before and behind it
	all   []*VMA
	front int     // room before v
	spare []VMA   // not yet used
	first [10]VMA // the first spare ones: enough for a C program
	slots [24]*VMA

	// For gap: every hole above top is smaller than hole.
	top, hole uintptr
}

// MaxMappings is vm.max_map_count's default (proc(5)).
const MaxMappings = 65530

// canAdd says whether there may be n mappings more.
func (m *vmaSet) canAdd(n int) bool {
	need := n * int(unsafe.Sizeof(VMA{}))
	if len(m.v)+n > len(m.all)-len(m.v) { // perhaps makeRoom
		need += len(m.v) * 3 * int(unsafe.Sizeof(m))
	}
	return len(m.v)+n <= MaxMappings && (len(m.v) < len(m.slots) || KernelRoom(need))
}

// find returns the index of the first mapping that ends after a.
func (m *vmaSet) find(a uintptr) int {
	i, j := 0, len(m.v)
	for i < j {
		h := int(uint(i+j) >> 1)
		if m.v[h].Hi <= a {
			i = h + 1
		} else {
			j = h
		}
	}
	return i
}

// at returns the mapping that a lies in, or nil.
func (m *vmaSet) at(a uintptr) *VMA {
	if i := m.find(a); i < len(m.v) && m.v[i].Lo <= a {
		return m.v[i]
	}
	return nil
}

// taken says whether a mapping overlaps [lo, hi).
func (m *vmaSet) taken(lo, hi uintptr) bool {
	i := m.find(lo)
	return i < len(m.v) && m.v[i].Lo < hi
}

// covered says whether mappings cover all of [lo, hi).
func (m *vmaSet) covered(lo, hi uintptr) bool {
	for i := m.find(lo); lo < hi; i++ {
		if i == len(m.v) || m.v[i].Lo > lo {
			return false
		}
		lo = m.v[i].Hi
	}
	return true
}

// insert adds a copy of v, which must not overlap another, joining it with
// its neighbours where they continue each other. The set takes over the
// reference to v.file.
func (m *vmaSet) insert(v VMA) {
	i := m.find(v.Lo)
	switch {
	case i > 0 && m.v[i-1].continues(&v):
		m.v[i-1].Hi = v.Hi
		v.release()
		m.join(i, i)
	case i < len(m.v) && v.continues(m.v[i]):
		m.v[i].Lo, m.v[i].Off = v.Lo, v.Off
		v.release()
	default:
		p := m.alloc()
		*p = v
		m.put(i, p)
	}
}

// split makes a a border between mappings and returns the index of the first
// one at or after it.
func (m *vmaSet) split(a uintptr) int {
	i := m.find(a)
	if i == len(m.v) || m.v[i].Lo >= a {
		return i
	}
	low := m.v[i]
	high := m.alloc()
	*high = *low
	high.Lo, low.Hi = a, a
	if high.File != nil {
		high.Off += int64(a - low.Lo)
		high.File.Retain()
	}
	m.put(i+1, high)
	return i + 1
}

// join undoes borders that have become needless: those of mappings i to j,
// both included.
func (m *vmaSet) join(i, j int) {
	for k := min(j+1, len(m.v)-1); k >= max(i, 1); k-- {
		if a, b := m.v[k-1], m.v[k]; a.continues(b) {
			a.Hi = b.Hi
			b.release()
			m.cut(k, k+1)
		}
	}
}

// cut takes mappings i to j-1 out of the set.
func (m *vmaSet) cut(i, j int) {
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
func (m *vmaSet) put(i int, v *VMA) {
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
func (m *vmaSet) makeRoom() {
	n := len(m.v)
	if m.all == nil {
		m.all = m.slots[:]
	} else {
		m.all = make([]*VMA, 2*n+16)
	}
	m.front = (len(m.all) - n) / 2
	copy(m.all[m.front:], m.v)
	m.v = m.all[m.front : m.front+n]
}

// remove takes all mappings out of [lo, hi), cutting those that stick out.
func (m *vmaSet) remove(lo, hi uintptr) {
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
		below = m.v[i-1].Hi
	}
	if i < len(m.v) {
		above = min(above, m.v[i].Lo)
	}
	if above > m.top && above > below { // a hole that gap should look at again
		m.hole = max(m.hole, above-below+1)
	}
}

func (m *vmaSet) alloc() *VMA {
	if len(m.spare) == 0 {
		if m.all == nil {
			m.spare = m.first[:]
		} else {
			m.spare = make([]VMA, 32)
		}
	}
	v := &m.spare[0]
	m.spare = m.spare[1:]
	return v
}

// mapTop is where the search for free addresses begins: below the stack's
// greatest extent (mmap_base with randomization off).
func (m *vmaSet) mapTop() uintptr { return 0x7ffff7fff000 }

// MapBottom is the lowest address that a mapping gets without being asked for
// it: page 0 stays free, and so do those that null pointers with an offset
// reach (vm.mmap_min_addr).
const MapBottom = 64 << 10

// gap returns the highest address below which n bytes are free, or 0. It
// starts where it left off, unless a hole above there may be large enough.
func (m *vmaSet) gap(n uintptr) uintptr {
	hi := m.top
	if hi == 0 || n < m.hole {
		hi, m.hole = m.mapTop(), 1
	}
	for i := m.find(hi) - 1; ; i-- {
		if i+1 < len(m.v) {
			hi = min(hi, m.v[i+1].floor())
		}
		lo := uintptr(MapBottom)
		if i >= 0 {
			lo = max(lo, m.v[i].Hi)
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
func (m *vmaSet) gapFrom(lo, hi, n uintptr) uintptr {
	for i := m.find(lo); i < len(m.v) && m.v[i].floor() < lo+n; i++ {
		lo = m.v[i].Hi
	}
	if lo > hi || n > hi-lo {
		return 0
	}
	return lo
}
