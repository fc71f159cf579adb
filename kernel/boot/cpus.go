package boot

// MaxCPUs is how many CPUs are looked at.
const MaxCPUs = 64

// Where the entries of a MADT and of an MP table begin.
const (
	MADTEntries = 44
	MPEntries   = 44
)

// Offsets in the MADT (ACPI 6.5, 5.2.12).
const (
	madtLAPIC      = 0 // processor local APIC
	madtLAPICID    = 3
	madtLAPICFlags = 4
	madtLAPICSize  = 8

	madtX2APIC      = 9 // processor local x2APIC
	madtX2APICID    = 4
	madtX2APICFlags = 8
	madtX2APICSize  = 16

	// A CPU that is not enabled but "online capable" could be plugged in
	// later: nobody is there now to answer a SIPI.
	madtEnabled = 1
)

// Offsets in the MP floating pointer and configuration table (MultiProcessor
// Specification 1.4, chapter 4).
const (
	mpPointerMagic = '_' | 'M'<<8 | 'P'<<16 | '_'<<24
	mpPointerTable = 4 // u32
	mpPointerSize  = 16

	mpTableMagic  = 'P' | 'C'<<8 | 'M'<<16 | 'P'<<24
	mpTableLength = 4 // u16

	mpProcessor      = 0
	mpProcessorID    = 1
	mpProcessorFlags = 3
	mpProcessorSize  = 20
	mpOtherSize      = 8 // bus, I/O APIC, interrupt, local interrupt
	mpLastType       = 4
	mpEnabled        = 1

	usualMP     = 0x9fc00 // Firecracker, qboot
	mpBIOSStart = 0xf0000
)

// CPUs fills ids with the local APIC ids of the machine's CPUs, each once, and
// returns their number: at most MaxCPUs, and 0 if no table tells. The MADT
// goes before the MP table. rsdp may be 0; the places where tables usually
// are come before the long searches.
func CPUs(mem Memory, rsdp uint64, ids *[MaxCPUs]uint32) (n int) {
	if rsdp == 0 {
		rsdp = usualRSDP
	}
	if n = mem.madtCPUs(rsdp, ids); n > 0 {
		return n
	}
	if t, ok := mem.mpTable(usualMP); ok {
		if n = mem.mpCPUs(t, ids); n > 0 {
			return n
		}
	}
	if n = mem.madtCPUs(FindRSDP(mem), ids); n > 0 {
		return n
	}
	if t, ok := FindMP(mem); ok {
		n = mem.mpCPUs(t, ids)
	}
	return n
}

// FindMP returns the MP configuration table. The place where Firecracker and
// qboot have it comes before the long searches.
func FindMP(mem Memory) (t Table, ok bool) {
	if t, ok = mem.mpTable(usualMP); ok {
		return t, true
	}
	if t, ok = mem.searchMP(mem.ebda(), searchBytes); ok {
		return t, true
	}
	kib, _ := mem.U16(bdaBaseMem)
	if top := uint64(kib) << 10; top >= searchBytes && top <= baseMemEnd {
		if t, ok = mem.searchMP(top-searchBytes, searchBytes); ok {
			return t, true
		}
	}
	return mem.searchMP(mpBIOSStart, biosEnd-mpBIOSStart)
}

// addCPU appends id to the n ids there are, unless it is one of them.
func addCPU(ids *[MaxCPUs]uint32, n int, id uint32) int {
	for i := 0; i < n; i++ {
		if ids[i] == id {
			return n
		}
	}
	if n < MaxCPUs {
		ids[n] = id
		n++
	}
	return n
}

// madtCPUs is CPUs for the MADT that the RSDP at rsdp leads to.
func (m Memory) madtCPUs(rsdp uint64, ids *[MaxCPUs]uint32) (n int) {
	t, ok := FindTable(m, rsdp, SigMADT)
	if !ok {
		return 0
	}
	for off := uint64(MADTEntries); n < MaxCPUs; {
		kind, size := m.MADTEntry(t, off)
		if size == 0 {
			break
		}
		id, flags := uint32(0xffffffff), uint32(0)
		switch {
		case kind == madtLAPIC && size >= madtLAPICSize:
			id8, _ := m.U8(t.Addr + off + madtLAPICID)
			flags, _ = m.U32(t.Addr + off + madtLAPICFlags)
			if id8 != 0xff { // the broadcast id
				id = uint32(id8)
			}
		case kind == madtX2APIC && size >= madtX2APICSize:
			id, _ = m.U32(t.Addr + off + madtX2APICID)
			flags, _ = m.U32(t.Addr + off + madtX2APICFlags)
		}
		if flags&madtEnabled != 0 && id != 0xffffffff {
			n = addCPU(ids, n, id)
		}
		off += size
	}
	return n
}

// MADTEntry returns the kind and the size of the entry at off of a MADT, the
// first of which is at MADTEntries; size is 0 at the end, or where sizes lie.
func (m Memory) MADTEntry(t Table, off uint64) (kind uint8, size uint64) {
	if off+2 > t.Size {
		return 0, 0
	}
	kind, _ = m.U8(t.Addr + off)
	size8, _ := m.U8(t.Addr + off + 1)
	size = uint64(size8)
	if size < 2 || size > t.Size-off {
		return 0, 0
	}
	return kind, size
}

// searchMP is mpTable for the first floating pointer that leads somewhere in
// the size bytes at pa.
func (m Memory) searchMP(pa, size uint64) (t Table, ok bool) {
	for end := pa + size; pa < end && !ok; pa += 16 {
		if c, _ := m.U8(pa); c == mpPointerMagic&0xff {
			t, ok = m.mpTable(pa)
		}
	}
	return t, ok
}

// mpCPUs is CPUs for an MP table.
func (m Memory) mpCPUs(t Table, ids *[MaxCPUs]uint32) (n int) {
	for off := uint64(MPEntries); ; {
		kind, size := m.MPEntry(t, off)
		if size == 0 {
			return n
		}
		if kind == mpProcessor {
			id, _ := m.U8(t.Addr + off + mpProcessorID)
			flags, _ := m.U8(t.Addr + off + mpProcessorFlags)
			if flags&mpEnabled != 0 && id != 0xff {
				n = addCPU(ids, n, uint32(id))
			}
		}
		off += size
	}
}

// mpTable returns the configuration table that the MP floating pointer at pa
// leads to, if both are sound.
func (m Memory) mpTable(pa uint64) (t Table, ok bool) {
	if magic, ok := m.U32(pa); !ok || magic != mpPointerMagic || !m.sumsToZero(pa, mpPointerSize) {
		return Table{}, false
	}
	table, _ := m.U32(pa + mpPointerTable)
	if magic, ok := m.U32(uint64(table)); !ok || magic != mpTableMagic {
		return Table{}, false
	}
	size, _ := m.U16(uint64(table) + mpTableLength)
	return Table{uint64(table), uint64(size)}, m.sumsToZero(uint64(table), uint64(size))
}

// MPEntry returns the kind and the size of the entry at off of an MP table, the
// first of which is at MPEntries; size is 0 at the end. The table's entry count
// is not asked: Firecracker's is one too high.
func (m Memory) MPEntry(t Table, off uint64) (kind uint8, size uint64) {
	kind, _ = m.U8(t.Addr + off)
	switch {
	case kind == mpProcessor:
		size = mpProcessorSize
	case kind <= mpLastType:
		size = mpOtherSize
	}
	if off >= t.Size || size > t.Size-off {
		return 0, 0
	}
	return kind, size
}
