package boot

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
)

// Where Firecracker puts things (its src/vmm/src/arch/x86_64/layout.rs).
const (
	fcStartInfo = 0x6000
	fcModules   = 0x6040
	fcMemMap    = 0x7000 // by PVH
	fcZeroPage  = 0x7000 // by the Linux protocol
	fcCmdLine   = 0x20000
	fcMPTable   = 0x9fc00
	fcRSDP      = 0xe0000
)

// firecracker builds the first 2 MiB of one of Firecracker's machines.
func firecracker(cpus int, cmdline string, initrd Range, ram ...entry) image {
	m := make(image, 2<<20)
	m.text(fcCmdLine, cmdline)
	memMap := append([]entry{{0, 0x9fc00, 1}, {0x9fc00, 0x40400, 2}, {0xeec00000, 256 << 20, 2}}, ram...)
	m.memoryMap(fcMemMap, 24, memMap...)
	m.u32(fcStartInfo, 0x336ec578)
	m.u32(fcStartInfo+4, 1)
	m.u64(fcStartInfo+24, fcCmdLine)
	m.u64(fcStartInfo+40, fcMemMap)
	m.u32(fcStartInfo+48, uint32(len(memMap)))
	if initrd.size() != 0 {
		m.u32(fcStartInfo+12, 1)
		m.u64(fcStartInfo+16, fcModules)
		m.u64(fcModules, initrd.Start)
		m.u64(fcModules+8, initrd.size())
	}
	at := m.fcMP(cpus)
	m.fcACPI(at, cpus)
	return m
}

// byLinux replaces the PVH boot data by a zero page; an old one, of Firecracker
// before 1.8, does not name the RSDP.
func (m image) byLinux(old bool) image {
	c := m.clone()
	clear(c[fcStartInfo : fcStartInfo+0x2000])
	n := binary.LittleEndian.Uint32(m[fcStartInfo+48:])
	for i := range uint64(n) {
		c.put(fcZeroPage+0x2d0+i*20, m[fcMemMap+i*24:fcMemMap+i*24+20]...)
	}
	c.put(fcZeroPage+0x1e8, byte(n))
	c.u16(fcZeroPage+0x1fe, 0xaa55)
	c.text(fcZeroPage+0x202, "HdrS")
	c.put(fcZeroPage+0x210, 0xff)
	if m[fcStartInfo+12] != 0 {
		c.put(fcZeroPage+0x218, m[fcModules:fcModules+4]...)
		c.put(fcZeroPage+0x21c, m[fcModules+8:fcModules+12]...)
	}
	c.u32(fcZeroPage+0x228, fcCmdLine)
	c.u32(fcZeroPage+0x230, 1<<24)
	c.u32(fcZeroPage+0x238, uint32(bytes.IndexByte(m[fcCmdLine:], 0))+1)
	if !old {
		c.u64(fcZeroPage+0x70, fcRSDP)
	}
	return c
}

// fcMP writes the MP table and returns the address behind it.
func (m image) fcMP(cpus int) uint64 {
	const table = fcMPTable + 16
	m.text(fcMPTable, "_MP_")
	m.u32(fcMPTable+4, table)
	m.put(fcMPTable+8, 1, 4)
	m.sum(fcMPTable+10, fcMPTable, 16)
	at := uint64(table + MPEntries)
	add := func(b ...byte) { m.put(at, b...); at += uint64(len(b)) }
	for i := range cpus {
		flags := byte(1)
		if i == 0 {
			flags = 3
		}
		add(mpProcessor, byte(i), 0x14, flags, 0, 6, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	}
	ioapic := byte(cpus + 1)
	add(1, 0, 'I', 'S', 'A', ' ', ' ', ' ')
	add(2, ioapic, 0x14, 1, 0, 0, 0xc0, 0xfe)
	for i := range byte(24) {
		add(3, 0, 0, 0, 0, i, ioapic, i)
	}
	add(4, 3, 0, 0, 0, 0, 0, 0)
	add(4, 1, 0, 0, 0, 0, 0xff, 1)
	m.text(table, "PCMP")
	m.u16(table+4, uint16(at-table))
	m.put(table+6, 4)
	m.text(table+8, "FC      000000000000")
	entries := cpus + 1 + 1 + 24 + 2
	m.u16(table+34, uint16(entries+1)) // the floating pointer counts as one, in Firecracker
	m.u32(table+36, 0xfee00000)
	m.sum(table+7, table, at-table)
	return at
}

// fcACPI writes the ACPI tables from at on, one right behind the other, at
// whatever alignment, and the RSDP.
func (m image) fcACPI(at uint64, cpus int) {
	dsdt := at
	at = m.table(dsdt, "DSDT", []byte("\x5b\x82\x45\x04V000\x08_HID\x0dLNRO0005\x00"))
	fadt := make([]byte, 276-tableHeader)
	binary.LittleEndian.PutUint32(fadt[fadtFlags-tableHeader:], 1<<20|1<<5|1<<4)
	binary.LittleEndian.PutUint64(fadt[fadtXDSDT-tableHeader:], dsdt)
	fadtAt := at
	at = m.table(fadtAt, "FACP", fadt)
	madt := binary.LittleEndian.AppendUint64(nil, 0xfee00000)
	madt = append(madt, 1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0)
	for i := range cpus {
		madt = append(madt, madtLAPIC, 8, byte(i), byte(i), 1, 0, 0, 0)
	}
	madtAt := at
	at = m.table(madtAt, "APIC", madt)
	mcfg := at
	at = m.table(mcfg, "MCFG", make([]byte, 24))
	m.roots(fcRSDP, 0, at, fadtAt, madtAt, mcfg)
}

// The builder writes what Firecracker wrote.
func TestFirecrackerAsBuilt(t *testing.T) {
	compare := func(built image, name string, ranges ...Range) {
		t.Helper()
		real := captured(t, name).mem
		for _, r := range ranges {
			for pa := r.Start; pa < r.End; pa++ {
				if built[pa] != real[pa] {
					t.Errorf("%s at %#x: %#x, not %#x", name, pa, built[pa], real[pa])
				}
			}
		}
	}
	compare(firecracker(2, "one two=2 pci=off", Range{0x1fff000, 0x1fff458}, entry{0x100000, 31 << 20, 1}), "firecracker",
		Range{fcStartInfo, fcStartInfo + 0x60}, Range{fcMemMap, fcMemMap + 4*24}, Range{fcCmdLine, fcCmdLine + 32},
		Range{fcMPTable, fcMPTable + 16 + 0x134})
	compare(firecracker(1, "one two=2 pci=off", Range{0x1fff000, 0x1fff380}, entry{0x100000, 31 << 20, 1}).byLinux(false),
		"firecracker-linux64", Range{fcZeroPage, fcZeroPage + 4096}, Range{fcMPTable, fcMPTable + 16 + 0x120})
}

// Firecracker's largest machines: 32 CPUs, RAM on both sides of both holes.
func TestFirecrackerLarge(t *testing.T) {
	var want []uint32
	for i := range uint32(32) {
		want = append(want, i)
	}
	initrd := Range{3<<30 - 8192, 3<<30 - 1}
	m := firecracker(32, "a", initrd, entry{0x100000, 3<<30 - 0x100000, 1}, entry{4 << 30, 252 << 30, 1}, entry{512 << 30, 1 << 30, 1})
	ram := []Range{{0, 0x9f000}, {0x100000, 3 << 30}, {4 << 30, 256 << 30}}
	for name, parse := range map[string]func(info *Info) (Memory, Status){
		"pvh": func(info *Info) (Memory, Status) { return m.memory(), ParseStartInfo(m.memory(), fcStartInfo, info) },
		"linux64": func(info *Info) (Memory, Status) {
			c := m.byLinux(false).memory()
			return c, ParseZeroPage(c, fcZeroPage, info)
		},
		"old": func(info *Info) (Memory, Status) {
			c := m.byLinux(true).memory()
			return c, ParseZeroPage(c, fcZeroPage, info)
		},
	} {
		var info Info
		mem, s := parse(&info)
		if s != OK || info.Initrd != initrd || !slices.Equal(info.RAM[:info.NRAM], ram) {
			t.Errorf("%s: %v, %+v", name, s, info)
		}
		if got := cpus(mem, info.RSDP); !slices.Equal(got, want) {
			t.Errorf("%s: CPUs %v", name, got)
		}
		if got := FindPower(mem, info.RSDP); got != (Power{HWReduced: true}) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	// Before 1.8 there was no ACPI.
	clear(m[fcRSDP : fcRSDP+64])
	if got := cpus(m.memory(), 0); !slices.Equal(got, want) {
		t.Errorf("by MP table: %v", got)
	}
}
