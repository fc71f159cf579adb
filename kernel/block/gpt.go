package block

import "gosv/internal/le"

// A GUID partition table (UEFI specification 2.10, chapter 5).

const (
	gptEntrySize   = 128
	maxGPTEntries  = 1024
	gptHeaderBytes = 92
)

// gpt reads the table at the disk's start, or if that is damaged the one at its end.
func (t *table) gpt() []Partition {
	blocks := t.sectors / uint64(t.block/SectorSize)
	if blocks < 3 {
		return nil
	}
	list, ok := t.gptAt(1, blocks)
	if !ok {
		list, _ = t.gptAt(blocks-1, blocks)
	}
	return list
}

// gptAt reads the table whose header is in the given logical block.
func (t *table) gptAt(lba, blocks uint64) ([]Partition, bool) {
	scale := uint64(t.block / SectorSize)
	h := make([]byte, t.block)
	if !t.read(lba*scale, h) || string(h[:8]) != "EFI PART" {
		return nil, false
	}
	size := le.U32(h, 12)
	if size < gptHeaderBytes || size > t.block || le.U64(h, 24) != lba {
		return nil, false
	}
	sum := le.U32(h, 16)
	copy(h[16:20], []byte{0, 0, 0, 0})
	first, last := le.U64(h, 40), le.U64(h, 48)
	at, n := le.U64(h, 72), le.U32(h, 80)
	if crc32(h[:size]) != sum || last >= blocks || first > last || le.U32(h, 84) != gptEntrySize || n == 0 || n > maxGPTEntries || at >= blocks {
		return nil, false
	}
	// Blocks, whole.
	per := t.block / gptEntrySize
	entries := make([]byte, uint64((n+per-1)/per)*uint64(t.block))
	if !t.read(at*scale, entries) || crc32(entries[:n*gptEntrySize]) != le.U32(h, 88) {
		return nil, false
	}
	var list []Partition
	for i := range int(min(n, maxPartitions)) {
		e := entries[i*gptEntrySize:][:gptEntrySize]
		from, to := le.U64(e, 32), le.U64(e, 40)
		if le.U64(e, 0)|le.U64(e, 8) == 0 || from < first || to > last || from > to {
			continue
		}
		list = t.add(list, Partition{Number: i + 1, Start: from * scale, Sectors: (to - from + 1) * scale, UUID: guid(e[16:32]), Label: utf16(e[56:128])})
	}
	return list, true
}

// guid is a GUID as it is written: the first three groups are little-endian numbers.
func guid(p []byte) string {
	b := appendHex(nil, uint64(le.U32(p, 0)), 8)
	for _, at := range [...]int{4, 6} {
		b = appendHex(append(b, '-'), uint64(le.U16(p, at)), 4)
	}
	for i, c := range p[8:16] {
		if i == 0 || i == 2 {
			b = append(b, '-')
		}
		b = appendHex(b, uint64(c), 2)
	}
	return string(b)
}

// utf16 is a name: what is not ASCII becomes an exclamation mark, as Linux has it.
func utf16(p []byte) string {
	var b []byte
	for i := 0; i+1 < len(p); i += 2 {
		c := p[i]
		if c == 0 && p[i+1] == 0 {
			break
		}
		if c < ' ' || c > '~' || p[i+1] != 0 {
			c = '!'
		}
		b = append(b, c)
	}
	return string(b)
}

// crcNibbles is what four bits do to a CRC-32 (polynomial 0xedb88320).
var crcNibbles = [16]uint32{
	0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
	0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
}

// crc32 is hash/crc32's ChecksumIEEE, without its tables of 10 KB.
func crc32(p []byte) uint32 {
	c := ^uint32(0)
	for _, b := range p {
		c ^= uint32(b)
		c = crcNibbles[c&15] ^ c>>4
		c = crcNibbles[c&15] ^ c>>4
	}
	return ^c
}
