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
	sigDSDT = 'D' | 'S'<<8 | 'D'<<16 | 'T'<<24
	sigSSDT = 'S' | 'S'<<8 | 'D'<<16 | 'T'<<24
)

// Signatures of the tables that FindTable is asked for.
const (
	SigMADT = 'A' | 'P'<<8 | 'I'<<16 | 'C'<<24
	SigFADT = 'F' | 'A'<<8 | 'C'<<16 | 'P'<<24
	SigMCFG = 'M' | 'C'<<8 | 'F'<<16 | 'G'<<24
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
		if c, _ := mem.U8(pa); c == rsdpMagic&0xff && mem.isRSDP(pa) {
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

// RSDP returns the address of ACPI's root pointer: that handed over, if it is
// sound, or else what is found; 0 if there is none.
func RSDP(mem Memory, handed uint64) uint64 {
	if handed != 0 && mem.isRSDP(handed) {
		return handed
	}
	return FindRSDP(mem)
}

func (m Memory) isRSDP(pa uint64) bool {
	magic, ok := m.U64(pa)
	return ok && magic == rsdpMagic && m.sumsToZero(pa, rsdpSize)
}

// Table is a table inside Memory, its checksum verified.
type Table struct{ Addr, Size uint64 }

// table returns the ACPI table at pa if it is a sound one with that signature.
func (m Memory) table(pa uint64, signature uint32) (t Table, ok bool) {
	if sig, ok := m.U32(pa); !ok || sig != signature {
		return Table{}, false
	}
	size, ok := m.U32(pa + tableLength)
	if !ok || size < tableHeader || size > maxTable || !m.sumsToZero(pa, uint64(size)) {
		return Table{}, false
	}
	return Table{pa, uint64(size)}, true
}

// FindTable returns the first table with that signature among those that the
// RSDP at rsdp leads to.
func FindTable(mem Memory, rsdp uint64, signature uint32) (t Table, ok bool) {
	root, width := mem.rootTable(rsdp)
	for off := uint64(tableHeader); off+width <= root.Size; off += width {
		pa := mem.rootEntry(root, off, width)
		if sig, ok := mem.U32(pa); ok && sig == signature {
			return mem.table(pa, signature)
		}
	}
	return Table{}, false
}

// Definitions fills tables with those that hold AML: the DSDT first, then the
// SSDTs, of which no more than len(tables) are looked at. It returns how many
// there are.
func Definitions(mem Memory, rsdp uint64, tables []Table) (n int) {
	if t, ok := mem.findDSDT(rsdp); ok && n < len(tables) {
		tables[n] = t
		n++
	}
	root, width := mem.rootTable(rsdp)
	seen := n
	for off := uint64(tableHeader); off+width <= root.Size && seen < len(tables); off += width {
		pa := mem.rootEntry(root, off, width)
		if sig, ok := mem.U32(pa); !ok || sig != sigSSDT {
			continue
		}
		seen++
		if t, ok := mem.table(pa, sigSSDT); ok {
			tables[n] = t
			n++
		}
	}
	return n
}

// rootTable returns the table of tables that the RSDP at rsdp names, and the
// width of its entries. Firecracker and microvm have the XSDT only, pc and q35
// the RSDT only.
func (m Memory) rootTable(rsdp uint64) (root Table, width uint64) {
	if !m.isRSDP(rsdp) {
		return Table{}, 4
	}
	if rev, ok := m.U8(rsdp + rsdpRevision); ok && rev >= 2 && m.sumsToZero(rsdp, rsdp2Size) {
		xsdt, _ := m.U64(rsdp + rsdpXSDT)
		if root, ok = m.table(xsdt, sigXSDT); ok {
			return root, 8
		}
	}
	rsdt, _ := m.U32(rsdp + rsdpRSDT)
	root, _ = m.table(uint64(rsdt), sigRSDT)
	return root, 4
}

// rootEntry is the address at off in a table of tables.
func (m Memory) rootEntry(root Table, off, width uint64) uint64 {
	if width == 8 {
		pa, _ := m.U64(root.Addr + off)
		return pa
	}
	pa, _ := m.U32(root.Addr + off)
	return uint64(pa)
}

// findDSDT returns the table that the FADT names.
func (m Memory) findDSDT(rsdp uint64) (Table, bool) {
	fadt, ok := FindTable(m, rsdp, SigFADT)
	if !ok {
		return Table{}, false
	}
	dsdt := uint64(m.Field32(fadt, fadtDSDT))
	if x := m.Field64(fadt, fadtXDSDT); x != 0 {
		dsdt = x
	}
	return m.table(dsdt, sigDSDT)
}

// Field32 reads a u32 of t, or 0 if t is too short to have it.
func (m Memory) Field32(t Table, off uint64) uint32 {
	if off+4 > t.Size {
		return 0
	}
	v, _ := m.U32(t.Addr + off)
	return v
}

// Field64 is Field32 for a u64.
func (m Memory) Field64(t Table, off uint64) uint64 {
	if off+8 > t.Size {
		return 0
	}
	v, _ := m.U64(t.Addr + off)
	return v
}
