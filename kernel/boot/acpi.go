package boot

// Where firmware leaves tables on a PC.
const (
	bdaEBDA     = 0x40e // u16, segment of the extended BIOS data area
	bdaBaseMem  = 0x413 // u16, KiB of base memory
	usualRSDP   = 0xe0000
	biosStart   = 0xe0000
	biosEnd     = 0x100000
	baseMemEnd  = 0xa0000
	searchBytes = 1024 // of the EBDA, and of the top of base memory
)

const (
	rsdpMagic = 'R' | 'S'<<8 | 'D'<<16 | ' '<<24 | 'P'<<32 | 'T'<<40 | 'R'<<48 | ' '<<56

	sigRSDT = 'R' | 'S'<<8 | 'D'<<16 | 'T'<<24
	sigXSDT = 'X' | 'S'<<8 | 'D'<<16 | 'T'<<24
	sigMADT = 'A' | 'P'<<8 | 'I'<<16 | 'C'<<24
	sigFADT = 'F' | 'A'<<8 | 'C'<<16 | 'P'<<24
	sigDSDT = 'D' | 'S'<<8 | 'D'<<16 | 'T'<<24
)

// Offsets in the RSDP (ACPI 6.5, 5.2.5.3) and in every table's header (5.2.6).
const (
	rsdpRevision = 15
	rsdpRSDT     = 16 // u32
	rsdpXSDT     = 24 // u64, since revision 2
	rsdpSize     = 20
	rsdp2Size    = 36

	tableLength = 4
	tableHeader = 36
)

// maxTable bounds a table's length in bytes, so that a lie in it costs little.
const maxTable = 1 << 20

// FindRSDP searches the places firmware uses for ACPI's root pointer and
// returns its physical address, or 0. The first place of the BIOS area, where
// Firecracker has it, comes first; all of the area, 8,192 places, last.
func FindRSDP(mem Memory) uint64 {
	if mem.isRSDP(usualRSDP) {
		return usualRSDP
	}
	if ebda := mem.ebda(); ebda != 0 {
		for pa := ebda; pa < ebda+searchBytes; pa += 16 {
			if mem.isRSDP(pa) {
				return pa
			}
		}
	}
	for pa := uint64(biosStart); pa < biosEnd; pa += 16 {
		if mem.isRSDP(pa) {
			return pa
		}
	}
	return 0
}

// ebda returns the address of the extended BIOS data area, or 0.
func (m Memory) ebda() uint64 {
	segment, _ := m.U16(bdaEBDA)
	pa := uint64(segment) << 4
	if pa < bdaBaseMem || pa >= baseMemEnd {
		return 0
	}
	return pa
}

func (m Memory) isRSDP(pa uint64) bool {
	magic, ok := m.U64(pa)
	return ok && magic == rsdpMagic && m.sumsToZero(pa, rsdpSize)
}

// table is an ACPI table inside Memory, its checksum verified.
type table struct{ pa, size uint64 }

// table returns the table at pa if it is a sound one with that signature.
func (m Memory) table(pa uint64, signature uint32) (t table, ok bool) {
	if sig, ok := m.U32(pa); !ok || sig != signature {
		return table{}, false
	}
	size, ok := m.U32(pa + tableLength)
	if !ok || size < tableHeader || size > maxTable || !m.sumsToZero(pa, uint64(size)) {
		return table{}, false
	}
	return table{pa, uint64(size)}, true
}

// findTable returns the first table with that signature among those that the
// RSDP at rsdp leads to.
func (m Memory) findTable(rsdp uint64, signature uint32) (t table, ok bool) {
	if !m.isRSDP(rsdp) {
		return table{}, false
	}
	root, width := table{}, uint64(8)
	// Firecracker and microvm have the XSDT only, pc and q35 the RSDT only.
	if rev, ok := m.U8(rsdp + rsdpRevision); ok && rev >= 2 && m.sumsToZero(rsdp, rsdp2Size) {
		xsdt, _ := m.U64(rsdp + rsdpXSDT)
		root, _ = m.table(xsdt, sigXSDT)
	}
	if root.size == 0 {
		rsdt, _ := m.U32(rsdp + rsdpRSDT)
		root, _ = m.table(uint64(rsdt), sigRSDT)
		width = 4
	}
	for off := uint64(tableHeader); off+width <= root.size; off += width {
		low, _ := m.U32(root.pa + off)
		pa := uint64(low)
		if width == 8 {
			pa, _ = m.U64(root.pa + off)
		}
		if sig, ok := m.U32(pa); ok && sig == signature {
			return m.table(pa, signature)
		}
	}
	return table{}, false
}
