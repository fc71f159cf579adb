package boot

import (
	"encoding/binary"
	"slices"
	"testing"
)

func TestFindRSDP(t *testing.T) {
	const ebda = 0x9f800
	for _, pa := range []uint64{0xe0000, 0xe0010, 0xf1230, 0xfffe0, 0xfffd0} {
		m := make(image, 2<<20)
		m.rsdp(pa, 0x1000, 0)
		if got := FindRSDP(m.memory()); got != pa {
			t.Errorf("%#x, want %#x", got, pa)
		}
		m.put(pa+10, m[pa+10]+1)
		if got := FindRSDP(m.memory()); got != 0 {
			t.Errorf("%#x with a wrong checksum", got)
		}
	}
	for _, pa := range []uint64{ebda, ebda + 0x3f0} {
		m := make(image, 1<<20)
		m.u16(bdaEBDA, ebda>>4)
		m.rsdp(pa, 0x1000, 0)
		if got := FindRSDP(m.memory()); got != pa {
			t.Errorf("%#x, want %#x", got, pa)
		}
	}
	for _, pa := range []uint64{0xe0008, 0xdfff0, 0x100000, ebda, ebda + 0x400, 0xa0000} { // where it must not be found
		m := make(image, 2<<20)
		m.u16(bdaEBDA, ebda>>4)
		if pa == ebda {
			m.u16(bdaEBDA, 0)
		}
		m.rsdp(pa, 0x1000, 0)
		if got := FindRSDP(m.memory()); got != 0 {
			t.Errorf("%#x", got)
		}
	}
	for _, n := range []int{0, 0x40f, 0x410, 0xe0000, 0xe0007, 0xe0013, 0xfffff} { // memory that ends early
		m := make(image, 1<<20)
		m.u16(bdaEBDA, 0xffff)
		m.rsdp(0xe0000, 0, 0)
		if got := FindRSDP(m.memory()[:n]); got != 0 && n < 0xe0014 {
			t.Errorf("%#x in %#x bytes", got, n)
		}
	}
}

// madt has CPUs of all kinds in it; those to be found are 0, 3, 5 and 300.
func madt() []byte {
	b := binary.LittleEndian.AppendUint64(nil, 0xfee00000)
	lapic := func(id byte, flags uint32) { b = binary.LittleEndian.AppendUint32(append(b, 0, 8, 0, id), flags) }
	x2apic := func(id, flags uint32) {
		b = append(b, 9, 16, 0, 0)
		for _, v := range []uint32{id, flags, 0} {
			b = binary.LittleEndian.AppendUint32(b, v)
		}
	}
	lapic(0, 1)
	lapic(1, 0)                                  // not there
	lapic(2, 2)                                  // might come later
	b = append(b, 1, 12, 0, 0, 0, 0, 0, 0)       // an I/O APIC
	b = append(b, 0, 0, 0, 0)                    //
	lapic(3, 3)                                  // there
	lapic(0xff, 1)                               // broadcast
	b = append(b, 0x80, 2)                       // unknown, smallest
	x2apic(3, 1)                                 // the same once more
	b = append(b, 0, 7, 0, 9, 1, 0, 0)           // too short for its type
	b = append(b, 9, 8, 0, 0, 0x63, 0, 0, 0)     //
	b = append(b, 0, 10, 0, 5, 1, 0, 0, 0, 7, 7) // longer than it need be
	x2apic(300, 1)
	x2apic(301, 2)
	x2apic(0xffffffff, 1)
	return b
}

func TestMADT(t *testing.T) {
	want := []uint32{0, 3, 5, 300}
	var other []byte
	for name, c := range map[string]struct {
		want []uint32
		edit func(m image)
	}{
		"XSDT":                      {want, func(m image) { m.roots(0xe0000, 0, 0x3003, 0x1001, 0x2005) }},
		"RSDT":                      {want, func(m image) { m.roots(0xe0000, 0x3001, 0, 0x1001, 0x2005) }},
		"both":                      {want, func(m image) { m.roots(0xe0000, 0x3001, 0x4003, 0x1001, 0x2005) }},
		"RSDT for a bad XSDT":       {want, func(m image) { m.roots(0xe0000, 0x3001, 0x4003, 0x1001, 0x2005); m[0x4008] ^= 1 }},
		"RSDT for a far XSDT":       {want, func(m image) { m.roots(0xe0000, 0x3001, 0x4003, 0x2005); m.rsdp(0xe0000, 0x3001, 1<<40) }},
		"bad sum of the long RSDP":  {want, func(m image) { m.roots(0xe0000, 0x3001, 0x4003, 0x2005); m[0xe0023] ^= 1 }},
		"revision 0 with an XSDT":   {nil, func(m image) { m.roots(0xe0000, 0, 0x4003, 0x2005); m[0xe000f] = 0; m.sum(0xe0008, 0xe0000, 20) }},
		"bad RSDP":                  {nil, func(m image) { m.roots(0xe0000, 0x3001, 0x4003, 0x2005); m[0xe0010] ^= 1 }},
		"bad MADT":                  {nil, func(m image) { m.roots(0xe0000, 0x3001, 0x4003, 0x2005); m[0x2005+50] ^= 1 }},
		"MADT longer than memory":   {nil, func(m image) { m.roots(0xe0000, 0, 0x4003, 0x2005); m.u32(0x2009, top32) }},
		"MADT shorter than a head":  {nil, func(m image) { m.roots(0xe0000, 0, 0x4003, 0x2005); m.u32(0x2009, 35); m.sum(0x200e, 0x2005, 35) }},
		"MADT of a head only":       {nil, func(m image) { m.roots(0xe0000, 0, 0x4003, 0x2005); m.u32(0x2009, 36); m.sum(0x200e, 0x2005, 36) }},
		"tables out of reach":       {want, func(m image) { m.roots(0xe0000, 0, 0x4003, 0, top, top-3, 1<<20, 1<<63, 0x2005) }},
		"the root in itself":        {nil, func(m image) { m.roots(0xe0000, 0, 0x4003, 0x4003, 0x4003) }},
		"the root is the MADT":      {nil, func(m image) { m.rsdp(0xe0000, 0x2005, 0x2005) }},
		"the root is the RSDP":      {nil, func(m image) { m.rsdp(0xe0000, 0xe0000, 0xe0000) }},
		"half an entry in the XSDT": {nil, func(m image) { m.roots(0xe0000, 0, 0x4003, 0x2005); m.u32(0x4007, 40); m.sum(0x400c, 0x4003, 40) }},
		"an entry of no length": {nil, func(m image) {
			other = madt()
			other[9] = 0
			m.table(0x2005, "APIC", other)
			m.roots(0xe0000, 0, 0x4003, 0x2005)
		}},
		"an entry of length 1": {[]uint32{0}, func(m image) {
			other = madt()
			other[17] = 1
			m.table(0x2005, "APIC", other)
			m.roots(0xe0000, 0, 0x4003, 0x2005)
		}},
		"an entry beyond the end": {want, func(m image) { m.table(0x2005, "APIC", append(madt(), 0, 8)); m.roots(0xe0000, 0, 0x4003, 0x2005) }},
		"one more byte":           {want, func(m image) { m.table(0x2005, "APIC", append(madt(), 0)); m.roots(0xe0000, 0, 0x4003, 0x2005) }},
	} {
		m := make(image, 1<<20)
		m.table(0x1001, "FACP", nil)
		m.table(0x2005, "APIC", madt())
		c.edit(m)
		if got := cpus(m.memory(), 0xe0000); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
		if got := cpus(m.memory(), 0); !slices.Equal(got, c.want) {
			t.Errorf("%s, not handed over: %v, want %v", name, got, c.want)
		}
	}
}

func TestMADTOfManyCPUs(t *testing.T) {
	body := binary.LittleEndian.AppendUint64(nil, 0)
	for i := range byte(200) {
		body = append(body, 0, 8, 0, i/2, 1, 0, 0, 0)
	}
	m := make(image, 1<<20)
	m.table(0x2005, "APIC", body)
	m.roots(0xe0000, 0, 0x4003, 0x2005)
	got := cpus(m.memory(), 0)
	if len(got) != MaxCPUs || got[0] != 0 || got[MaxCPUs-1] != MaxCPUs-1 {
		t.Error(got)
	}
}

// With the MADT, its table ends where memory ends.
func TestTablesAtTheEndOfMemory(t *testing.T) {
	m := make(image, 1<<20)
	body := madt()
	at := uint64(len(m) - tableHeader - len(body))
	m.table(at, "APIC", body)
	m.roots(0xe0000, 0, 0x4003, at)
	if got := cpus(m.memory(), 0); len(got) != 4 {
		t.Error(got)
	}
	if got := cpus(m.memory()[:len(m)-1], 0); len(got) != 0 {
		t.Error(got)
	}
}

func TestDefinitions(t *testing.T) {
	m := make(image, 4<<20)
	m.table(0x1000, "DSDT", []byte{1})
	m.table(0x2001, "FACP", fadt(276, func(b []byte) { put64(b, fadtXDSDT, 0x1000) }))
	m.table(0x3000, "SSDT", []byte{2})
	m.table(0x3100, "SSDT", []byte{3})
	m[0x3100]++ // another signature
	m.table(0x3200, "SSDT", nil)
	m[0x3209]++ // a wrong sum
	m.roots(0xe0000, 0, 0x4003, 0x3000, 0x2001, 0x3100, 0x3200, 0x3000)
	var tables [4]Table
	n := Definitions(m.memory(), 0xe0000, tables[:])
	if want := []Table{{0x1000, 37}, {0x3000, 37}, {0x3000, 37}}; !slices.Equal(tables[:n], want) {
		t.Errorf("%x", tables[:n])
	}
	if n := Definitions(m.memory(), 0xe0000, tables[:1]); n != 1 {
		t.Errorf("%d in a table of one", n)
	}
	if n := Definitions(m.memory(), 0xe0000, nil); n != 0 {
		t.Errorf("%d in no table", n)
	}
	// A hundred thousand times a megabyte whose sum is wrong.
	m.table(1<<20, "SSDT", make([]byte, maxTable-tableHeader))
	m[1<<20+100]++
	roots := make([]uint64, 100_000)
	for i := range roots {
		roots[i] = 1 << 20
	}
	m.roots(0xe0000, 0, 2<<20, append(roots, 0x2001)...)
	if n := Definitions(m.memory(), 0xe0000, tables[:]); n != 1 {
		t.Errorf("%d", n)
	}
}
