package boot

import (
	"bytes"
	"encoding/binary"
	"testing"

	"gosv/kernel/boot/boottest"
)

// image is memory under construction. A write past its end is a test's bug
// and panics.
type image []byte

func (m image) put(pa uint64, b ...byte)       { copy(m[pa:pa+uint64(len(b))], b) }
func (m image) text(pa uint64, s string)       { m.put(pa, []byte(s)...) }
func (m image) u16(pa uint64, v uint16)        { binary.LittleEndian.PutUint16(m[pa:], v) }
func (m image) u32(pa uint64, v uint32)        { binary.LittleEndian.PutUint32(m[pa:], v) }
func (m image) u64(pa uint64, v uint64)        { binary.LittleEndian.PutUint64(m[pa:], v) }
func (m image) clone() image                   { return bytes.Clone(m) }
func (m image) memory() Memory                 { return Memory(m) }
func (m image) with(edit func(m image)) Memory { c := m.clone(); edit(c); return c.memory() }
func (m image) sum(at uint64, pa uint64, n uint64) { // set the checksum byte at `at` of the n bytes at pa
	m[at] = 0
	s := byte(0)
	for _, b := range m[pa : pa+n] {
		s += b
	}
	m[at] = -s
}

// table writes an ACPI table with its header and checksum, and returns the
// address behind it.
func (m image) table(pa uint64, signature string, body []byte) uint64 {
	n := uint64(tableHeader + len(body))
	m.text(pa, signature)
	m.u32(pa+4, uint32(n))
	m.put(pa+tableHeader, body...)
	m.sum(pa+9, pa, n)
	return pa + n
}

// rsdp writes an RSDP: of revision 2 if there is an XSDT.
func (m image) rsdp(pa, rsdt, xsdt uint64) {
	m.text(pa, "RSD PTR ")
	m.u32(pa+16, uint32(rsdt))
	if xsdt != 0 {
		m.put(pa+15, 2)
		m.u32(pa+20, rsdp2Size)
		m.u64(pa+24, xsdt)
	}
	m.sum(pa+8, pa, rsdpSize)
	if xsdt != 0 {
		m.sum(pa+32, pa, rsdp2Size)
	}
}

// roots writes RSDP, XSDT and RSDT, whichever addresses are not 0, for tables.
func (m image) roots(rsdp, rsdt, xsdt uint64, tables ...uint64) {
	var short, long []byte
	for _, t := range tables {
		short = binary.LittleEndian.AppendUint32(short, uint32(t))
		long = binary.LittleEndian.AppendUint64(long, t)
	}
	if rsdt != 0 {
		m.table(rsdt, "RSDT", short)
	}
	if xsdt != 0 {
		m.table(xsdt, "XSDT", long)
	}
	m.rsdp(rsdp, rsdt, xsdt)
}

type entry struct {
	start, size uint64
	kind        uint32
}

func (m image) memoryMap(pa, stride uint64, entries ...entry) {
	for i, e := range entries {
		at := pa + uint64(i)*stride
		m.u64(at, e.start)
		m.u64(at+8, e.size)
		m.u32(at+16, e.kind)
	}
}

// machine is a captured machine.
type machine struct {
	entry Protocol
	data  uint64 // address of hvm_start_info or the zero page
	mem   image
}

func (m machine) parse(mem Memory, info *Info) Status {
	if m.entry == Linux64 {
		return ParseZeroPage(mem, m.data, info)
	}
	return ParseStartInfo(mem, m.data, info)
}

// captured loads testdata/<name>.mem.
func captured(t testing.TB, name string) machine {
	t.Helper()
	c := boottest.Captured(t, name)
	m := machine{entry: PVH, data: c.Data, mem: c.Mem}
	if c.Linux64 {
		m.entry = Linux64
	}
	return m
}
