package boot

// Offsets in the zero page, struct boot_params. The setup header with what
// the loader filled in starts at 0x1f1.
const (
	zpRSDP            = 0x70 // acpi_rsdp_addr
	zpExtRamdiskImage = 0xc0 // the upper halves of three 32-bit fields below
	zpExtRamdiskSize  = 0xc4
	zpExtCmdLinePtr   = 0xc8
	zpE820Entries     = 0x1e8
	zpHeader          = 0x202
	zpRamdiskImage    = 0x218
	zpRamdiskSize     = 0x21c
	zpCmdLinePtr      = 0x228
	zpE820Table       = 0x2d0

	headerMagic   = 'H' | 'd'<<8 | 'r'<<16 | 'S'<<24
	e820EntrySize = 20
	maxE820       = 128 // slots in the zero page
)

// ParseZeroPage reads the Linux boot parameters at pa into info.
func ParseZeroPage(mem Memory, pa uint64, info *Info) Status {
	*info = Info{Protocol: Linux64}
	magic, ok := mem.U32(pa + zpHeader)
	if !ok || magic != headerMagic || !mem.within(pa, pageSize) {
		return BadZeroPage
	}
	info.Data[0] = Range{pa, pa + pageSize}
	info.RSDP, _ = mem.U64(pa + zpRSDP)
	if s := info.readCmdLine(mem, mem.split(pa+zpCmdLinePtr, pa+zpExtCmdLinePtr)); s != OK {
		return s
	}
	image := mem.split(pa+zpRamdiskImage, pa+zpExtRamdiskImage)
	size := mem.split(pa+zpRamdiskSize, pa+zpExtRamdiskSize)
	if s := info.setInitrd(image, size); s != OK {
		return s
	}
	n, _ := mem.U8(pa + zpE820Entries)
	return info.readMap(mem, memoryMap{pa + zpE820Table, min(uint64(n), maxE820), e820EntrySize})
}

// split reads a value whose lower 32 bits are at low and upper ones at high.
func (m Memory) split(low, high uint64) uint64 {
	l, _ := m.U32(low)
	h, _ := m.U32(high)
	return uint64(h)<<32 | uint64(l)
}
