// Package boot parses what loaders and firmware left in memory: boot
// parameters, memory maps, ACPI and MP tables, the command line. All of it is
// bytes from outside, of which nothing is trusted.
//
// It runs before there is a heap: nothing here allocates, and nothing panics.
package boot

// Memory is physical memory from address 0 on, as far as it can be read.
type Memory []byte

// has says whether [pa, pa+n) can be read.
func (m Memory) has(pa, n uint64) bool {
	return pa <= uint64(len(m)) && n <= uint64(len(m))-pa
}

// U8 to U64 read a little-endian value at pa, aligned or not; !ok if it is not
// all there.
func (m Memory) U8(pa uint64) (v uint8, ok bool) {
	if !m.has(pa, 1) {
		return 0, false
	}
	return m[pa], true
}

func (m Memory) U16(pa uint64) (v uint16, ok bool) {
	if !m.has(pa, 2) {
		return 0, false
	}
	return uint16(m[pa]) | uint16(m[pa+1])<<8, true
}

func (m Memory) U32(pa uint64) (v uint32, ok bool) {
	if !m.has(pa, 4) {
		return 0, false
	}
	b := m[pa : pa+4 : pa+4]
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24, true
}

func (m Memory) U64(pa uint64) (v uint64, ok bool) {
	if !m.has(pa, 8) {
		return 0, false
	}
	b := m[pa : pa+8 : pa+8]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56, true
}

// is says whether the bytes at pa are s.
func (m Memory) is(pa uint64, s string) bool {
	return m.has(pa, uint64(len(s))) && string(m[pa:pa+uint64(len(s))]) == s
}

// sums says whether the n bytes at pa add up to 0, as every firmware table
// does.
func (m Memory) sums(pa, n uint64) bool {
	if n == 0 || !m.has(pa, n) {
		return false
	}
	sum := byte(0)
	for _, b := range m[pa : pa+n] {
		sum += b
	}
	return sum == 0
}

// Range is the addresses from Start up to, not including, End.
type Range struct{ Start, End uint64 }

const pageSize = 4096

// addRAM adds usable memory to the map, whole pages of it, keeping it sorted,
// merged and disjoint. What does not fit into a full map is left unused.
func (info *Info) addRAM(start, size uint64) {
	end := start + size
	if end < start {
		end = ^uint64(0)
	}
	if start > ^uint64(0)-pageSize {
		return
	}
	start = (start + pageSize - 1) &^ (pageSize - 1)
	end = min(end&^(pageSize-1), maxPhys)
	if start >= end {
		return
	}
	i := 0 // the first range that touches or follows
	for i < info.NRAM && info.RAM[i].End < start {
		i++
	}
	j := i // the first one wholly behind
	for j < info.NRAM && info.RAM[j].Start <= end {
		start, end = min(start, info.RAM[j].Start), max(end, info.RAM[j].End)
		j++
	}
	if i == j { // a new one
		if info.NRAM == MaxRanges {
			return
		}
		copy(info.RAM[i+1:info.NRAM+1], info.RAM[i:info.NRAM])
		info.NRAM++
	} else {
		copy(info.RAM[i+1:], info.RAM[j:info.NRAM])
		info.NRAM -= j - i - 1
	}
	info.RAM[i] = Range{start, end}
}

// Reserve takes r, rounded to whole pages, out of the usable memory. Where that
// makes two ranges of one and the map is full, the smaller is given up.
func (info *Info) Reserve(r Range) {
	if r.Start >= r.End {
		return
	}
	start := r.Start &^ (pageSize - 1)
	end := r.End
	if end > ^uint64(0)-pageSize {
		end = ^uint64(0) &^ (pageSize - 1)
	}
	end = (end + pageSize - 1) &^ (pageSize - 1)
	for i := 0; i < info.NRAM; {
		m := &info.RAM[i]
		switch {
		case m.End <= start || m.Start >= end:
			i++
		case m.Start >= start && m.End <= end: // all of it
			copy(info.RAM[i:], info.RAM[i+1:info.NRAM])
			info.NRAM--
		case m.Start >= start:
			m.Start = end
			i++
		case m.End <= end:
			m.End = start
			i++
		case info.NRAM == MaxRanges:
			if start-m.Start < m.End-end {
				m.Start = end
			} else {
				m.End = start
			}
			i++
		default:
			copy(info.RAM[i+1:info.NRAM+1], info.RAM[i:info.NRAM])
			info.NRAM++
			info.RAM[i].End = start
			info.RAM[i+1].Start = end
			return
		}
	}
}
