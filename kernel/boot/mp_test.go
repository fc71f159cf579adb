package boot

import (
	"slices"
	"testing"
)

// mpAt writes an MP table of the given entries to 0x50001, and a pointer to it.
func (m image) mpAt(pointer uint64, entries ...[]byte) {
	const table = 0x50001
	m.text(pointer, "_MP_")
	m.u32(pointer+4, table)
	m.put(pointer+8, 1, 4)
	m.sum(pointer+10, pointer, 16)
	at := uint64(table + 44)
	for _, e := range entries {
		m.put(at, e...)
		at += uint64(len(e))
	}
	m.text(table, "PCMP")
	m.u16(table+4, uint16(at-table))
	m.sum(table+7, table, at-table)
}

func mpCPU(id, flags byte) []byte { return append([]byte{0, id, 0x14, flags}, make([]byte, 16)...) }

func TestMPTable(t *testing.T) {
	bus, lint := make([]byte, 8), make([]byte, 8)
	bus[0], lint[0] = 1, 4
	entries := [][]byte{mpCPU(0, 3), bus, mpCPU(4, 1), mpCPU(5, 0), mpCPU(4, 1), lint, mpCPU(0xff, 1), mpCPU(9, 1)}
	want := []uint32{0, 4, 9}
	const table = 0x50001
	for name, c := range map[string]struct {
		want []uint32
		edit func(m image)
	}{
		"at the usual place":        {want, func(m image) { m.mpAt(0x9fc00, entries...) }},
		"in the BIOS area":          {want, func(m image) { m.mpAt(0xf1230, entries...) }},
		"at the BIOS area's end":    {want, func(m image) { m.mpAt(0xffff0, entries...) }},
		"in the EBDA":               {want, func(m image) { m.u16(bdaEBDA, 0x9c00); m.mpAt(0x9c3f0, entries...) }},
		"below the base memory end": {want, func(m image) { m.u16(bdaBaseMem, 512); m.mpAt(0x7fc00, entries...) }},
		"elsewhere":                 {nil, func(m image) { m.mpAt(0x10000, entries...) }},
		"not aligned":               {nil, func(m image) { m.mpAt(0xf1238, entries...) }},
		"bad pointer":               {nil, func(m image) { m.mpAt(0x9fc00, entries...); m[0x9fc0f] ^= 1 }},
		"bad pointer, good one":     {want, func(m image) { m.mpAt(0x9fc00, entries...); m[0x9fc0f] ^= 1; m.mpAt(0xf0010, entries...) }},
		"bad table":                 {nil, func(m image) { m.mpAt(0x9fc00, entries...); m[table+60] ^= 1 }},
		"wrong magic":               {nil, func(m image) { m.mpAt(0x9fc00, entries...); m[table]++; m[table+7]-- }},
		"table out of reach":        {nil, func(m image) { m.mpAt(0x9fc00, entries...); m.u32(0x9fc04, top32-2); m.sum(0x9fc0a, 0x9fc00, 16) }},
		"table at memory's end": {nil, func(m image) {
			m.mpAt(0x9fc00, entries...)
			m.u32(0x9fc04, 0xffffc)
			m.sum(0x9fc0a, 0x9fc00, 16)
			m.text(0xffffc, "PCMP")
		}},
		"the entry count lies": {want, func(m image) { m.mpAt(0x9fc00, entries...); m.u16(table+34, 9999); m.sum(table+7, table, table16(m)) }},
		"no entries":           {nil, func(m image) { m.mpAt(0x9fc00) }},
		"length 0":             {nil, func(m image) { m.mpAt(0x9fc00, entries...); m.u16(table+4, 0) }},
		"cut in an entry":      {want[:2], func(m image) { m.mpAt(0x9fc00, append(entries[:7:7], mpCPU(9, 1)[:19])...) }},
		"an unknown entry":     {want[:2], func(m image) { m.mpAt(0x9fc00, entries[0], entries[2], []byte{5}, entries[7]) }},
		"no CPU is enabled":    {nil, func(m image) { m.mpAt(0x9fc00, entries[3]) }},
	} {
		m := make(image, 1<<20)
		c.edit(m)
		if got := cpus(m.memory(), 0); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func table16(m image) uint64 { v, _ := m.memory().U16(0x50001 + 4); return uint64(v) }

func TestCPUsWithoutMemory(t *testing.T) {
	for _, n := range []int{0, 1, 0x410, 0x415, 0x9fc00, 0x9fc0f} {
		m := make(image, n)
		if got := cpus(m.memory(), 0); len(got) != 0 {
			t.Errorf("%#x bytes: %v", n, got)
		}
	}
	m := make(image, 0x420)
	m.u16(bdaEBDA, 0xffff)
	m.u16(bdaBaseMem, 0xffff)
	if got := cpus(m.memory(), top); len(got) != 0 {
		t.Error(got)
	}
}
