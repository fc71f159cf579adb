package boot

// MaxCPUs is how many CPUs are looked at.
const MaxCPUs = 64

// Offsets in the MADT (ACPI 6.5, 5.2.12).
const (
	madtEntries = 44

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

	mpTableMagic   = 'P' | 'C'<<8 | 'M'<<16 | 'P'<<24
	mpTableLength  = 4 // u16
	mpTableEntries = 44

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
	if n = mem.mpCPUs(usualMP, ids); n > 0 {
		return n
	}
	if n = mem.madtCPUs(FindRSDP(mem), ids); n > 0 {
		return n
	}
	if n = mem.searchMP(mem.ebda(), searchBytes, ids); n > 0 {
		return n
	}
	kib, _ := mem.U16(bdaBaseMem)
	if top := uint64(kib) << 10; top >= searchBytes && top <= baseMemEnd {
		if n = mem.searchMP(top-searchBytes, searchBytes, ids); n > 0 {
			return n
		}
	}
	return mem.searchMP(mpBIOSStart, biosEnd-mpBIOSStart, ids)
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
	t, ok := m.findTable(rsdp, sigMADT)
	if !ok {
		return 0
	}
	for off := uint64(madtEntries); off+2 <= t.size && n < MaxCPUs; {
		kind, _ := m.U8(t.pa + off)
		size8, _ := m.U8(t.pa + off + 1)
		size := uint64(size8)
		if size < 2 || size > t.size-off {
			break
		}
		id, flags := uint32(0xffffffff), uint32(0)
		switch {
		case kind == madtLAPIC && size >= madtLAPICSize:
			id8, _ := m.U8(t.pa + off + madtLAPICID)
			flags, _ = m.U32(t.pa + off + madtLAPICFlags)
			if id8 != 0xff { // the broadcast id
				id = uint32(id8)
			}
		case kind == madtX2APIC && size >= madtX2APICSize:
			id, _ = m.U32(t.pa + off + madtX2APICID)
			flags, _ = m.U32(t.pa + off + madtX2APICFlags)
		}
		if flags&madtEnabled != 0 && id != 0xffffffff {
			n = addCPU(ids, n, id)
		}
		off += size
	}
	return n
}

// searchMP is mpCPUs for the first floating pointer that leads somewhere in
// the size bytes at pa.
func (m Memory) searchMP(pa, size uint64, ids *[MaxCPUs]uint32) (n int) {
	for end := pa + size; pa < end && n == 0; pa += 16 {
		n = m.mpCPUs(pa, ids)
	}
	return n
}

// mpCPUs is CPUs for the MP floating pointer at pa.
func (m Memory) mpCPUs(pa uint64, ids *[MaxCPUs]uint32) (n int) {
	if magic, ok := m.U32(pa); !ok || magic != mpPointerMagic || !m.sumsToZero(pa, mpPointerSize) {
		return 0
	}
	table32, _ := m.U32(pa + mpPointerTable)
	table := uint64(table32)
	if magic, ok := m.U32(table); !ok || magic != mpTableMagic {
		return 0
	}
	size16, _ := m.U16(table + mpTableLength)
	size := uint64(size16)
	if !m.sumsToZero(table, size) {
		return 0
	}
	// The table's entry count is not asked: Firecracker's is one too high.
	for off := uint64(mpTableEntries); off < size; {
		kind, _ := m.U8(table + off)
		if kind > mpLastType {
			break
		}
		if kind != mpProcessor {
			off += mpOtherSize
			continue
		}
		if size-off < mpProcessorSize {
			break
		}
		id, _ := m.U8(table + off + mpProcessorID)
		flags, _ := m.U8(table + off + mpProcessorFlags)
		if flags&mpEnabled != 0 && id != 0xff {
			n = addCPU(ids, n, uint32(id))
		}
		off += mpProcessorSize
	}
	return n
}
