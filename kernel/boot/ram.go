package boot

const pageSize = 4096

// maxPhys ends the memory that is used: the kernel's direct map reaches no
// further.
const maxPhys = 1 << 39

// memoryMap is the loader's memory map: n entries of {address u64, size u64,
// type u32}, each stride bytes from the last.
type memoryMap struct{ pa, n, stride uint64 }

// usableRAM is the type of a memory map entry that the kernel may use.
const usableRAM = 1

// readMap fills info.RAM. The map may be unsorted, have holes, empty entries
// and entries that overlap; what any entry calls not usable is not usable.
// info.Initrd must have been set.
func (info *Info) readMap(mem Memory, m memoryMap) Status {
	if m.n == 0 {
		return NoMemoryMap
	}
	if !mem.within(m.pa, m.n*m.stride) {
		return BadMemoryMap
	}
	for i := uint64(0); i < m.n; i++ {
		r, kind := m.entry(mem, i)
		if kind == usableRAM && r.Start < r.End && r.Start < maxPhys {
			info.add(Range{r.Start, min(r.End, maxPhys)})
		}
	}
	if !m.covers(mem, info.Initrd) {
		return BadInitrd
	}
	info.trim()
	for i := uint64(0); i < m.n; i++ {
		r, kind := m.entry(mem, i)
		if kind != usableRAM {
			if r.End < r.Start {
				r.End = ^uint64(0)
			}
			info.Reserve(r)
		}
	}
	if info.NRAM == 0 {
		return NoRAM
	}
	return OK
}

// covers reports whether all of r is in the map, as whatever. SeaBIOS keeps so much
// of a machine's memory for its disks that QEMU's place for an initrd is in it.
func (m memoryMap) covers(mem Memory, r Range) bool {
	at := r.Start
	for i := uint64(0); i < m.n && at < r.End; {
		if e, _ := m.entry(mem, i); e.Start <= at && at < e.End {
			at, i = e.End, 0
		} else {
			i++
		}
	}
	return at >= r.End && r.End <= maxPhys
}

// entry returns the map's entry i, with an End below its Start if the size
// overflows.
func (m memoryMap) entry(mem Memory, i uint64) (r Range, kind uint32) {
	pa := m.pa + i*m.stride
	start, _ := mem.U64(pa)
	size, _ := mem.U64(pa + 8)
	kind, _ = mem.U32(pa + 16)
	return Range{start, start + size}, kind
}

// Reserve takes every page that r touches out of info.RAM. If that splits a
// range and the table is full, the smaller part is given up.
func (info *Info) Reserve(r Range) {
	if r.Start >= r.End {
		return
	}
	start := r.Start &^ (pageSize - 1)
	end := r.End &^ (pageSize - 1)
	if end != r.End {
		end += pageSize
		if end == 0 {
			end = ^uint64(0)
		}
	}
	for i := 0; i < info.NRAM; {
		a := &info.RAM[i]
		switch {
		case end <= a.Start:
			return
		case a.End <= start:
			i++
		case start <= a.Start && a.End <= end:
			info.remove(i, 1)
		case start <= a.Start:
			a.Start = end
			return
		case a.End <= end:
			a.End = start
			i++
		case info.NRAM < MaxRanges:
			above := Range{end, a.End}
			a.End = start
			info.insert(i+1, above)
			return
		case start-a.Start < a.End-end:
			a.Start = end
			return
		default:
			a.End = start
			return
		}
	}
}

// add puts r into info.RAM, joined with the ranges it overlaps or touches. If
// the table is full, the smallest range is given up.
func (info *Info) add(r Range) {
	if info.NRAM == MaxRanges {
		least := 0
		for i := 1; i < info.NRAM; i++ {
			if info.RAM[i].size() < info.RAM[least].size() {
				least = i
			}
		}
		if r.size() <= info.RAM[least].size() && !info.touches(r) {
			return
		}
		if !info.touches(r) {
			info.remove(least, 1)
		}
	}
	at := 0
	for at < info.NRAM && info.RAM[at].End < r.Start {
		at++
	}
	joined := 0
	for at+joined < info.NRAM && info.RAM[at+joined].Start <= r.End {
		r.Start = min(r.Start, info.RAM[at+joined].Start)
		r.End = max(r.End, info.RAM[at+joined].End)
		joined++
	}
	if joined == 0 {
		info.insert(at, r)
		return
	}
	info.RAM[at] = r
	info.remove(at+1, joined-1)
}

func (r Range) size() uint64 { return r.End - r.Start }

// touches reports whether add would join r with a range that is there.
func (info *Info) touches(r Range) bool {
	for i := 0; i < info.NRAM; i++ {
		if info.RAM[i].Start <= r.End && r.Start <= info.RAM[i].End {
			return true
		}
	}
	return false
}

// trim cuts the ranges to whole pages.
func (info *Info) trim() {
	for i := 0; i < info.NRAM; {
		a := &info.RAM[i]
		a.Start = (a.Start + pageSize - 1) &^ (pageSize - 1)
		a.End &^= pageSize - 1
		if a.Start < a.End {
			i++
		} else {
			info.remove(i, 1)
		}
	}
}

// insert makes r the range i. The table must not be full.
func (info *Info) insert(i int, r Range) {
	for j := info.NRAM; j > i; j-- {
		info.RAM[j] = info.RAM[j-1]
	}
	info.RAM[i] = r
	info.NRAM++
}

// remove takes out n ranges from i on.
func (info *Info) remove(i, n int) {
	info.NRAM -= n
	for ; i < info.NRAM; i++ {
		info.RAM[i] = info.RAM[i+n]
	}
}
