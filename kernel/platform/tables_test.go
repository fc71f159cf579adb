package platform

import (
	"encoding/binary"
	"reflect"
	"testing"

	"gosv/kernel/boot"
	"gosv/kernel/boot/boottest"
)

// Addresses in the memory of TestACPITables.
const (
	tRSDP, tXSDT, tMADT, tMCFG = 0xe0000, 0x10001, 0x20003, 0x30005
)

// table writes an ACPI table.
func table(mem []byte, pa uint64, signature string, body []byte) {
	copy(mem[pa:], signature)
	binary.LittleEndian.PutUint32(mem[pa+4:], uint32(36+len(body)))
	copy(mem[pa+36:], body)
	sum(mem, pa+9, pa, uint64(36+len(body)))
}

// sum sets the checksum at at of n bytes at pa.
func sum(mem []byte, at, pa, n uint64) {
	mem[at] = 0
	s := byte(0)
	for _, b := range mem[pa : pa+n] {
		s += b
	}
	mem[at] = -s
}

// tables is a memory with an RSDP that leads to tables.
func tables(madt, mcfg []byte) []byte {
	mem := make([]byte, 1<<20)
	table(mem, tMADT, "APIC", append(make([]byte, 8), madt...))
	table(mem, tMCFG, "MCFG", append(make([]byte, 8), mcfg...))
	table(mem, tXSDT, "XSDT", binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, tMADT), tMCFG))
	copy(mem[tRSDP:], "RSD PTR ")
	mem[tRSDP+15] = 2
	binary.LittleEndian.PutUint64(mem[tRSDP+24:], tXSDT)
	sum(mem, tRSDP+8, tRSDP, 20)
	sum(mem, tRSDP+32, tRSDP, 36)
	return mem
}

func ioapic(addr, base uint32) []byte {
	b := []byte{1, 12, 0, 0}
	b = binary.LittleEndian.AppendUint32(b, addr)
	return binary.LittleEndian.AppendUint32(b, base)
}

func override(irq byte, gsi uint32, flags uint16) []byte {
	b := binary.LittleEndian.AppendUint32([]byte{2, 10, 0, irq}, gsi)
	return binary.LittleEndian.AppendUint16(b, flags)
}

func join(parts ...[]byte) (all []byte) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

func TestMADT(t *testing.T) {
	many := []byte{}
	for i := range uint32(40) {
		many = append(many, ioapic(0xfe000000+i*0x1000, i*24)...)
	}
	for name, c := range map[string]struct {
		madt []byte
		want []IOAPIC
		isa  [16]Line
	}{
		"in any order": {join(ioapic(ioapic1, 24), ioapic(ioapic0, 0)), []IOAPIC{{ioapic0, 0, 24}, {ioapic1, 24, 24}}, isa(nil)},
		"small and absurdly large": {join(ioapic(ioapic0, 0), ioapic(ioapic1, 8), ioapic(0xfec20000, 1<<31)),
			[]IOAPIC{{ioapic0, 0, 8}, {ioapic1, 8, 240}, {0xfec20000, 1 << 31, 24}}, isa(nil)},
		"twice":          {join(ioapic(ioapic0, 0), ioapic(ioapic0, 24), ioapic(ioapic1, 0)), []IOAPIC{{ioapic0, 0, 24}}, isa(nil)},
		"not aligned":    {join(ioapic(0xfec00001, 0), ioapic(ioapic1, 24)), []IOAPIC{{ioapic1, 24, 24}}, isa(nil)},
		"none":           {nil, []IOAPIC{{ioapic0, 0, 24}}, isa(nil)},
		"too short":      {[]byte{1, 11, 0, 0, 0, 0, 0xc1, 0xfe, 24, 0, 0}, []IOAPIC{{ioapic0, 0, 24}}, isa(nil)},
		"beyond the end": {join(ioapic(ioapic0, 0), []byte{1, 12, 0, 0}), []IOAPIC{{ioapic0, 0, 24}}, isa(nil)},
		"no length":      {join([]byte{9, 0}, ioapic(ioapic1, 24)), []IOAPIC{{ioapic0, 0, 24}}, isa(nil)},
		"overrides": {join(ioapic(ioapic0, 0), override(0, 2, 0), override(9, 20, 0xf), override(11, 11, 0xd), override(16, 3, 0), override(255, 3, 0)),
			[]IOAPIC{{ioapic0, 0, 24}}, isa(map[int]Line{0: edge(2), 9: {20, true, true}, 11: level(11)})},
	} {
		if m := Discover(tables(c.madt, nil), boot.PVH, 0); !reflect.DeepEqual(m.IOAPICs, c.want) || m.ISA != c.isa {
			t.Errorf("%s:\n got %+v, %+v\nwant %+v, %+v", name, m.IOAPICs, m.ISA, c.want, c.isa)
		}
	}
	if m := Discover(tables(many, nil), boot.PVH, 0); len(m.IOAPICs) != maxIOAPICs {
		t.Errorf("%d I/O APICs", len(m.IOAPICs))
	}
}

func TestMCFG(t *testing.T) {
	entry := func(addr uint64, segment uint16, first, last byte) []byte {
		b := binary.LittleEndian.AppendUint64(nil, addr)
		b = binary.LittleEndian.AppendUint16(b, segment)
		return append(b, first, last, 0, 0, 0, 0)
	}
	for name, c := range map[string]struct {
		mcfg []byte
		want []ECAM
	}{
		"one":              {entry(0xb0000000, 0, 0, 255), []ECAM{{0xb0000000, 0, 0, 255}}},
		"two":              {join(entry(0xb0000000, 0, 0, 9), entry(1<<40, 1, 16, 31)), []ECAM{{0xb0000000, 0, 0, 9}, {1 << 40, 1, 16, 31}}},
		"half":             {join(entry(0xb0000000, 0, 0, 9), make([]byte, 15)), []ECAM{{0xb0000000, 0, 0, 9}}},
		"backwards":        {entry(0xb0000000, 0, 9, 0), nil},
		"not aligned":      {entry(0xb0001000, 0, 0, 9), nil},
		"end of the world": {entry(^uint64(0)&^0xfffff, 0, 0, 0), nil},
	} {
		if m := Discover(tables(nil, c.mcfg), boot.PVH, 0); !reflect.DeepEqual(m.ECAM, c.want) {
			t.Errorf("%s: %+v, want %+v", name, m.ECAM, c.want)
		}
	}
	mem := tables(nil, entry(0xb0000000, 0, 0, 9))
	mem[tMCFG+50]++ // the sum is wrong
	if m := Discover(mem, boot.PVH, 0); m.ECAM != nil {
		t.Errorf("%+v", m.ECAM)
	}
}

// MP tables: the I/O APICs' ids are not in order, interrupts of other buses, of
// no bus, to no I/O APIC.
func TestMP(t *testing.T) {
	mem := make([]byte, 1<<20)
	body := join(
		[]byte{1, 7, 'I', 'S', 'A', ' ', ' ', ' '},
		[]byte{1, 8, 'P', 'C', 'I', ' ', ' ', ' '},
		[]byte{2, 5, 0x20, 1, 0, 0, 0xc0, 0xfe},
		[]byte{2, 3, 0x20, 0, 0, 0, 0xc2, 0xfe}, // not usable
		[]byte{2, 4, 0x20, 1, 0, 0, 0xc1, 0xfe},
		[]byte{3, 0, 0, 0, 7, 0, 5, 2},
		[]byte{3, 0, 0xf, 0, 7, 9, 4, 1},
		[]byte{3, 0, 0, 0, 7, 16, 4, 1},     // no ISA interrupt
		[]byte{3, 0, 0, 0, 8, 3, 4, 9},      // of PCI
		[]byte{3, 3, 0, 0, 7, 4, 4, 9},      // ExtINT
		[]byte{3, 0, 0, 0, 7, 6, 0xff, 200}, // a pin that there is not, of all I/O APICs
		[]byte{4, 3, 0, 0, 7, 0, 0xff, 0},
		[]byte{9, 9}, // unknown: the end
		[]byte{3, 0, 0, 0, 7, 1, 4, 9},
	)
	const pa = 0x9fc00
	copy(mem[pa:], "_MP_")
	binary.LittleEndian.PutUint32(mem[pa+4:], pa+16)
	mem[pa+8], mem[pa+9] = 1, 4
	sum(mem, pa+10, pa, 16)
	copy(mem[pa+16:], "PCMP")
	binary.LittleEndian.PutUint16(mem[pa+20:], uint16(44+len(body)))
	copy(mem[pa+16+44:], body)
	sum(mem, pa+16+7, pa+16, uint64(44+len(body)))
	m := Discover(mem, boot.PVH, 0)
	if want := []IOAPIC{{ioapic0, 0, 24}, {ioapic1, 24, 24}}; !reflect.DeepEqual(m.IOAPICs, want) {
		t.Errorf("%+v", m.IOAPICs)
	}
	if want := isa(map[int]Line{0: edge(2), 9: {25, true, true}, 6: edge(200)}); m.ISA != want {
		t.Errorf("%+v", m.ISA)
	}
}

// Device objects, as bytes.
func name(n string, data string) string { return "\x08" + n + data }
func str(s string) string               { return "\x0d" + s + "\x00" }
func object(n, inside string) string {
	size := len(n) + len(inside) + 2
	return "\x5b\x82" + string([]byte{0x40 | byte(size&15), byte(size >> 4)}) + n + inside
}
func crs(descriptors string) string {
	return name("_CRS", "\x11"+string([]byte{byte(len(descriptors) + 3)})+"\x0a"+string([]byte{byte(len(descriptors))})+descriptors)
}

const (
	memoryAt = "\x86\x09\x00\x00" // and an address and a size
	lineAt   = "\x89\x06\x00\x03\x01"
	endTag   = "\x79\x00"
)

func TestDSDT(t *testing.T) {
	virtio := name("_HID", str("LNRO0005"))
	good := crs(memoryAt + "\x00\x10\x00\xc0" + "\x00\x10\x00\x00" + lineAt + "\x05\x00\x00\x00" + endTag)
	device := []MMIO{{0xc0001000, 0x1000, edge(5)}}
	deep := virtio + good
	for range 20 {
		deep = object("DEEP", deep)
	}
	for what, c := range map[string]struct {
		aml  string
		want []MMIO
	}{
		"as it should be":            {object("V000", virtio+good), device},
		"after rubbish":              {"\x00\xff\x5b\x5b\x82\x10\x08" + object("V000", virtio+good), device},
		"in a scope":                 {"\x10\x05_SB_" + object("V000", virtio+good), device},
		"resources first":            {object("V000", good+virtio), device},
		"with a device in it":        {object("V000", virtio+object("CHLD", name("_HID", str("PNP0C01")))+good), device},
		"twice":                      {object("V000", virtio+good) + object("V001", virtio+good), device},
		"another id":                 {object("V000", name("_HID", str("LNRO0006"))+good), nil},
		"a longer id":                {object("V000", name("_HID", str("LNRO00055"))+good), nil},
		"an id that does not end":    {object("V000", good+"\x08_HID\x0dLNRO0005"), nil},
		"no resources":               {object("V000", virtio), nil},
		"no interrupt":               {object("V000", virtio+crs(memoryAt+"\x00\x10\x00\xc0"+"\x00\x10\x00\x00"+endTag)), nil},
		"no memory":                  {object("V000", virtio+crs(lineAt+"\x05\x00\x00\x00"+endTag)), nil},
		"end before the interrupt":   {object("V000", virtio+crs(memoryAt+"\x00\x10\x00\xc0"+"\x00\x10\x00\x00"+endTag+lineAt+"\x05\x00\x00\x00")), nil},
		"a descriptor beyond":        {object("V000", virtio+crs("\x86\xff\x00\x00")), nil},
		"a short descriptor":         {object("V000", virtio+crs("\x86\x03\x00\x00\x00\x10"+lineAt+"\x05\x00\x00\x00"+endTag)), nil},
		"a buffer that is larger":    {object("V000", virtio+name("_CRS", "\x11\x3f\x0a\x20")), nil},
		"a buffer of absurd length":  {object("V000", virtio+name("_CRS", "\x11\x0b\x0e\xff\xff\xff\xff\xff\xff\xff\xff\x86")), nil},
		"a buffer without a length":  {object("V000", virtio+name("_CRS", "\x11\x02\x70")), nil},
		"a device larger than all":   {"\x5b\x82\x7fV000" + virtio + good, nil},
		"a device of no size":        {"\x5b\x82\x00V000" + virtio + good, nil},
		"deep in each other":         {deep, nil},
		"in a method":                {"\x14" + object("MTHD", "\x00"+object("V000", virtio+good))[2:], nil},
		"a name with many segments":  {"\x08/\xffABCD", nil},
		"a name without an end":      {"\x08\\^^^", nil},
		"nothing behind the opcodes": {"\x5b", nil},
	} {
		m := &Machine{}
		m.readAML(append(make([]byte, 36), c.aml...))
		if !reflect.DeepEqual(m.MMIO, c.want) {
			t.Errorf("%s: %+v, want %+v", what, m.MMIO, c.want)
		}
	}
	m := &Machine{RAM: []boot.Range{{Start: 0, End: 3 << 30}, {Start: 0xc0000000, End: 0xd0000000}}}
	m.readAML(append(make([]byte, 36), object("V000", virtio+good)...))
	if m.MMIO != nil || len(m.Warnings) != 1 {
		t.Errorf("a device in RAM: %+v, %q", m.MMIO, m.Warnings)
	}
}

// What is there too often to be true costs no more than it must.
func TestDSDTOfAbsurdSize(t *testing.T) {
	fill := func(object string) []byte {
		table := make([]byte, 36, 1<<20)
		for len(table)+len(object) <= 1<<20 {
			table = append(table, object...)
		}
		return table
	}
	line := lineAt + "\x05\x00\x00\x00"
	window := memoryAt + "\x00\x10\x00\xc0" + "\x00\x10\x00\x00"
	m := &Machine{IOAPICs: []IOAPIC{{Addr: ioapic0, Pins: 24}}}
	for _, table := range [][]byte{
		fill(object("VGEN", name("_CID", str("VM_Gen_Counter")))),
		fill(object("VCLK", name("_CID", str("VMCLOCK")))),
		fill(object("GED_", name("_HID", str("ACPI0013"))+crs(line+line+line+line+endTag))),
		fill(object("PCI0", name("_HID", str("PNP0A08"))+crs(window+window+window+endTag))),
		fill(object("LNKA", name("_HID", str("PNP0C0F"))+crs(line+line+line+endTag))),
		fill(object("V000", name("_HID", str("LNRO0005"))+crs(window+line+endTag))),
		fill("\x5b\x82\x0fV000"), fill("\x08_HID\x0d"), fill("\x86VGEN"),
	} {
		m.readAML(table)
	}
	check(t, m)
	if len(m.Windows) != maxWindows || len(m.Links) != maxLinks || len(m.MMIO) != 1 {
		t.Errorf("%d windows, %d links, %d devices", len(m.Windows), len(m.Links), len(m.MMIO))
	}
}

func TestGenID(t *testing.T) {
	const (
		id   = "VM_Gen_Counter"
		gpe  = "\x14\x15\\._GPE_E05\x00\x86\\._SB_VGEN\x0a\x80"
		ged  = "\xa0\x12\x93\x68\x0a\x09\x86\\._SB_VGEN\x0a\x80"
		gedW = "\xa0\x14\x93\x68\x0b\x00\x01\x86\\._SB_VGEN\x0a\x80"
		addr = "\x12\x0c\x02\x0c\x00\x10\x00\x80\x0c\x02\x00\x00\x00"
	)
	vgen := func(inside string) string { return object("VGEN", name("_CID", str(id))+inside) }
	line := func(gsi uint32) GenID { return GenID{Addr: 0x280001000, Line: edge(gsi), HasLine: true} }
	for what, c := range map[string]struct {
		aml  string
		want GenID
	}{
		"by a GED":            {vgen(name("ADDR", addr)) + ged, line(9)},
		"by a GED, 16 bits":   {vgen(name("ADDR", addr)) + gedW, line(256)},
		"by a GPE":            {"\x08VGIA\x0c\x00\x10\x00\x00" + vgen("") + gpe, GenID{Addr: 0x1028, GPE: 5, HasGPE: true}},
		"QEMU's without page": {"\x08VGIA\x00" + vgen("") + gpe, GenID{GPE: 5, HasGPE: true}},
		"nobody tells":        {vgen(name("ADDR", addr)), GenID{Addr: 0x280001000}},
		"one number":          {vgen(name("ADDR", "\x12\x07\x01\x0c\x00\x10\x00\x80")), GenID{}},
		"a third is missing":  {vgen(name("ADDR", "\x12\x04\x02\x0a\x01")), GenID{}},
		"64 bits each":        {vgen(name("ADDR", "\x12\x0d\x02\x0e\xff\xff\xff\xff\xff\xff\xff\xff\x00")), GenID{}},
	} {
		m := &Machine{}
		m.readAML(append(make([]byte, 36), c.aml...))
		if m.GenID != c.want {
			t.Errorf("%s: %+v, want %+v", what, m.GenID, c.want)
		}
	}
}

// Cloud Hypervisor, as its sources have it: ACPI only, its root pointer at 0xa0000
// and handed over, its PCI segment with BARs high in the address space.
func TestCloudHypervisor(t *testing.T) {
	const startInfo, memMap, rsdp, dsdt, fadt = 0x6000, 0x7000, 0xa0000, 0x40007, 0x50009
	mcfg := []byte{0, 0, 0, 0xe8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	mem := tables(join(ioapic(ioapic0, 0), override(4, 4, 0)), mcfg)
	copy(mem[rsdp:], mem[tRSDP:tRSDP+36])
	clear(mem[tRSDP : tRSDP+36])
	window := "\x8a\x2b\x00\x00\x0c\x01" + "\x00\x00\x00\x00\x00\x00\x00\x00" + "\x00\x00\x00\x00\x00\x3f\x00\x00" +
		"\xff\xff\xfe\xff\xff\x3f\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00" + "\x00\x00\xff\xff\xff\x00\x00\x00"
	aml := object("PC00", name("_HID", "\x0c\x41\xd0\x0a\x08")+name("_CID", "\x0c\x41\xd0\x0a\x03")+crs(window+endTag))
	table(mem, dsdt, "DSDT", []byte(aml))
	body := make([]byte, 276-36)
	binary.LittleEndian.PutUint32(body[112-36:], 1<<20)
	binary.LittleEndian.PutUint64(body[140-36:], dsdt)
	table(mem, fadt, "FACP", body)
	table(mem, tXSDT, "XSDT", binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(
		binary.LittleEndian.AppendUint64(nil, fadt), tMADT), tMCFG))
	put := binary.LittleEndian.PutUint64
	binary.LittleEndian.PutUint32(mem[startInfo:], 0x336ec578)
	binary.LittleEndian.PutUint32(mem[startInfo+4:], 1)
	put(mem[startInfo+0x20:], rsdp)
	put(mem[startInfo+0x28:], memMap)
	binary.LittleEndian.PutUint32(mem[startInfo+0x30:], 3)
	for i, r := range [][3]uint64{{0, 0xa0000, 1}, {0x100000, 512 << 20, 1}, {0xe8000000, 256 << 20, 2}} {
		put(mem[memMap+i*24:], r[0])
		put(mem[memMap+i*24+8:], r[1])
		put(mem[memMap+i*24+16:], r[2])
	}
	m := Discover(mem, boot.PVH, startInfo)
	if want := []ECAM{{Addr: 0xe8000000}}; !reflect.DeepEqual(m.ECAM, want) {
		t.Errorf("%+v", m.ECAM)
	}
	if want := []boot.Range{{Start: 0x3f0000000000, End: 0x3fffffff0000}}; !reflect.DeepEqual(m.Windows, want) {
		t.Errorf("%x", m.Windows)
	}
	if len(m.RAM) != 2 || m.RAM[1].End != 0x20100000 || len(m.Warnings) != 0 || len(m.MMIO) != 0 || m.SCI != (SCI{}) {
		t.Errorf("%+v", m)
	}
}

// check checks what is true of all machines.
func check(t *testing.T, m *Machine) {
	t.Helper()
	if len(m.IOAPICs) == 0 || len(m.IOAPICs) > maxIOAPICs || len(m.MMIO) > maxMMIO || len(m.Links) > maxLinks || len(m.Warnings) > maxWarnings {
		t.Fatalf("%+v", m)
	}
	for i, a := range m.IOAPICs {
		if m.IsRAM(a.Addr, 0x20) || a.Pins == 0 || a.Pins > 240 || i > 0 && m.IOAPICs[i-1].Base+m.IOAPICs[i-1].Pins > a.Base {
			t.Fatalf("%+v", m.IOAPICs)
		}
	}
	for i, d := range m.MMIO {
		for _, o := range m.MMIO[:i] {
			if o.Addr < d.Addr+d.Size && d.Addr < o.Addr+o.Size {
				t.Fatalf("%+v", m.MMIO)
			}
		}
		if m.IsRAM(d.Addr, d.Size) || d.Size < 0x100 {
			t.Fatalf("%+v", d)
		}
	}
	for _, e := range m.ECAM {
		if m.IsRAM(e.Addr+uint64(e.First)<<20, (uint64(e.Last)-uint64(e.First)+1)<<20) {
			t.Fatalf("%+v", e)
		}
	}
	for _, w := range m.Windows {
		if m.IsRAM(w.Start, w.End-w.Start) {
			t.Fatalf("%+v", w)
		}
	}
}

// FuzzMachine damages real machines' tables, whose checksums it makes right.
func FuzzMachine(f *testing.F) {
	names := boottest.Names()
	for i := range names {
		f.Add(uint8(i), true, []byte{})
		f.Add(uint8(i), true, []byte{0x10, 0x00, 0xff, 0x34, 0x01, 0x00})
	}
	type piece struct{ at, n uint64 }
	var machines []boottest.Machine
	var places [][]piece // that tables of each lie in
	for _, name := range names {
		m := boottest.Captured(f, name)
		var p []piece
		for _, t := range acpiTables(m.Mem) {
			p = append(p, piece{t, uint64(binary.LittleEndian.Uint32(m.Mem[t+4:]))})
		}
		p = append(p, piece{0x9fc00, 0x200})
		machines, places = append(machines, m), append(places, p)
	}
	f.Fuzz(func(t *testing.T, which uint8, sums bool, edits []byte) {
		i := int(which) % len(machines)
		m, p := machines[i], places[i]
		var undo []func()
		set := func(pa uint64, v byte) {
			old := m.Mem[pa]
			undo = append(undo, func() { m.Mem[pa] = old })
			m.Mem[pa] = v
		}
		total := uint64(0)
		for _, s := range p {
			total += s.n
		}
		for e := edits; len(e) >= 3; e = e[3:] {
			off := (uint64(e[0]) | uint64(e[1])<<8) % total
			for _, s := range p {
				if off < s.n {
					set(s.at+off, e[2])
					break
				}
				off -= s.n
			}
		}
		for _, s := range p {
			n := uint64(binary.LittleEndian.Uint32(m.Mem[s.at+4:]))
			if sums && n >= 36 && s.at+n < uint64(len(m.Mem)) {
				sum := byte(0)
				for _, b := range m.Mem[s.at : s.at+n] {
					sum += b
				}
				set(s.at+9, m.Mem[s.at+9]-sum)
			}
		}
		check(t, discover(m))
		for i := len(undo) - 1; i >= 0; i-- {
			undo[i]()
		}
	})
}

// acpiTables returns the addresses of the tables in a real machine's memory.
func acpiTables(mem []byte) (at []uint64) {
	rsdp := boot.FindRSDP(mem)
	for _, signature := range []uint32{boot.SigMADT, boot.SigFADT, boot.SigMCFG} {
		if t, ok := boot.FindTable(mem, rsdp, signature); ok {
			at = append(at, t.Addr)
		}
	}
	var tables [maxDefinitions]boot.Table
	for _, t := range tables[:boot.Definitions(mem, rsdp, tables[:])] {
		at = append(at, t.Addr)
	}
	return at
}

func FuzzAML(f *testing.F) {
	for _, name := range boottest.Names() {
		m := boottest.Captured(f, name)
		var tables [maxDefinitions]boot.Table
		for _, t := range tables[:boot.Definitions(m.Mem, boot.FindRSDP(m.Mem), tables[:])] {
			f.Add(m.Mem[t.Addr : t.Addr+t.Size])
		}
	}
	f.Add(append(make([]byte, 36), object("V000", name("_HID", str("LNRO0005"))+crs(memoryAt))...))
	f.Fuzz(func(t *testing.T, b []byte) {
		m := &Machine{RAM: []boot.Range{{Start: 0, End: 1 << 31}}, IOAPICs: []IOAPIC{{Addr: ioapic0, Pins: 24}}}
		m.readAML(b)
		check(t, m)
	})
}

func FuzzWords(f *testing.F) {
	f.Add("one two=2 virtio_mmio.device=4K@0xc0001000:5 pci=off -- a virtio_mmio.device=512@0xfeb00e00:12:3")
	f.Add("virtio_mmio.device=17179869184G@0x1ffffffffffffffff:4294967296:")
	f.Fuzz(func(t *testing.T, line string) {
		m := &Machine{RAM: []boot.Range{{Start: 0, End: 1 << 31}}, IOAPICs: []IOAPIC{{Addr: ioapic0, Pins: 24}}}
		m.readWords([]byte(line))
		check(t, m)
	})
}
