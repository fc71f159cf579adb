package boot

// Memory is physical memory from address 0 on, as far as the caller can read
// it. Its accessors read little-endian values at any alignment (Firecracker
// packs its tables byte by byte) and report false for an address outside.
type Memory []byte

// within reports whether the n bytes at pa are in m.
func (m Memory) within(pa, n uint64) bool {
	size := uint64(len(m))
	return n <= size && pa <= size-n
}

// U8 reads the byte at pa.
func (m Memory) U8(pa uint64) (v uint8, ok bool) {
	if pa >= uint64(len(m)) {
		return 0, false
	}
	return m[pa], true
}

// U16 reads the two bytes at pa.
func (m Memory) U16(pa uint64) (v uint16, ok bool) {
	if !m.within(pa, 2) {
		return 0, false
	}
	b := m[pa : pa+2]
	return uint16(b[0]) | uint16(b[1])<<8, true
}

// U32 reads the four bytes at pa.
func (m Memory) U32(pa uint64) (v uint32, ok bool) {
	if !m.within(pa, 4) {
		return 0, false
	}
	b := m[pa : pa+4]
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24, true
}

// U64 reads the eight bytes at pa.
func (m Memory) U64(pa uint64) (v uint64, ok bool) {
	if !m.within(pa, 8) {
		return 0, false
	}
	b := m[pa : pa+8]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56, true
}

// sumsToZero reports whether the n bytes at pa are in m and add up to 0
// modulo 256, the checksum of ACPI and MP tables.
func (m Memory) sumsToZero(pa, n uint64) bool {
	if !m.within(pa, n) {
		return false
	}
	area := m[pa : pa+n]
	sums := uint64(0) // eight of them, each modulo 256
	for ; len(area) >= 8; area = area[8:] {
		const high = 0x8080808080808080
		v, _ := area.U64(0)
		sums = (sums&^high + v&^high) ^ (sums^v)&high
	}
	sum := uint8(0)
	for ; sums != 0; sums >>= 8 {
		sum += uint8(sums)
	}
	for _, b := range area {
		sum += b
	}
	return sum == 0
}
