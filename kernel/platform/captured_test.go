package platform

import (
	"reflect"
	"testing"

	"gosv/kernel/boot"
	"gosv/kernel/boot/boottest"
)

const (
	ioapic0 = 0xfec00000
	ioapic1 = 0xfec10000
)

func discover(m boottest.Machine) *Machine {
	p := boot.PVH
	if m.Linux64 {
		p = boot.Linux64
	}
	return Discover(m.Mem, p, m.Data)
}

func edge(gsi uint32) Line  { return Line{GSI: gsi} }
func level(gsi uint32) Line { return Line{GSI: gsi, Level: true} }

// isa is the ISA bus's lines: each its own number's, but for these.
func isa(other map[int]Line) (lines [16]Line) {
	for i := range lines {
		lines[i] = edge(uint32(i))
	}
	for i, l := range other {
		lines[i] = l
	}
	return lines
}

// What real machines (QEMU 7.2, Firecracker 1.17-dev) say of themselves.
func TestCapturedMachines(t *testing.T) {
	ram := []boot.Range{{Start: 0, End: 0x9f000}, {Start: 0x100000, End: 32 << 20}}
	pcRAM := func(end uint64) []boot.Range { return []boot.Range{ram[0], {Start: 0x100000, End: end}} }
	one := []IOAPIC{{Addr: ioapic0, Pins: 24}}
	two := []IOAPIC{{Addr: ioapic0, Pins: 24}, {Addr: ioapic1, Base: 24, Pins: 24}}
	pcISA := isa(map[int]Line{0: edge(2), 5: level(5), 9: level(9), 10: level(10), 11: level(11)})
	timer := isa(map[int]Line{0: edge(2)})
	links := func(from, to uint32) (l []Line) {
		for ; from <= to; from++ {
			l = append(l, level(from))
		}
		return l
	}
	pcSCI := SCI{Line: level(9), GPE0: 0xafe0, GPE0Size: 4, SMICommand: 0xb2, Enable: 0xf1, PM1aControl: 0x604}
	q35SCI := SCI{Line: level(9), GPE0: 0x620, GPE0Size: 16, SMICommand: 0xb2, Enable: 2, PM1aControl: 0x604}
	qemuGenID := GenID{Addr: 0x1fff028, GPE: 5, HasGPE: true}
	fcMachine := func(cpus []uint32, gsi uint32) Machine {
		return Machine{RAM: ram, CPUs: cpus, IOAPICs: one, ISA: isa(nil), ACPI: true,
			GenID: GenID{Addr: 0xdfff0, Line: edge(gsi), HasLine: true},
			Clock: VMClock{Addr: 0xde000, Size: 4096, Line: edge(gsi + 1), HasLine: true}}
	}
	fc := func(cpus []uint32, gsi uint32, edit func(m *Machine)) Machine {
		m := fcMachine(cpus, gsi)
		edit(&m)
		return m
	}
	fcECAM := []ECAM{{Addr: 0xeec00000}}
	for name, want := range map[string]Machine{
		"microvm": {RAM: ram, CPUs: []uint32{0, 1}, IOAPICs: two, ISA: isa(nil), ACPI: true},
		// The first -device takes the last slot.
		"microvm-devices": {RAM: ram, CPUs: []uint32{0}, IOAPICs: two, ISA: isa(nil), ACPI: true, MMIO: []MMIO{
			{0xfeb02e00, 0x200, level(47)}, {0xfeb02c00, 0x200, level(46)}, {0xfeb02a00, 0x200, level(45)}}},
		"microvm-noacpi": {RAM: ram, CPUs: []uint32{0, 1, 2}, IOAPICs: one, ISA: timer},
		"microvm-noacpi-devices": {RAM: ram, CPUs: []uint32{0}, IOAPICs: one, ISA: timer, MMIO: []MMIO{
			{0xfeb00e00, 0x200, level(12)}, {0xfeb00c00, 0x200, level(11)}, {0xfeb00a00, 0x200, level(10)}}},
		// There is no MCFG: a method says where the configuration space is.
		"microvm-pcie": {RAM: ram, CPUs: []uint32{0}, IOAPICs: two, ISA: isa(nil), ACPI: true,
			ECAM: []ECAM{{Addr: 0xe0000000, Last: 0xff}}, Links: links(16, 19),
			Windows: []boot.Range{{Start: 0xc0000000, End: 0xe0000000}, {Start: 0xc000000000, End: 0x10000000000}}},
		"pc":        {RAM: pcRAM(0x1fe0000), CPUs: []uint32{0, 1}, IOAPICs: one, ISA: pcISA, ACPI: true, SCI: pcSCI},
		"pc-noacpi": {RAM: ram, CPUs: []uint32{0}, IOAPICs: one, ISA: timer},
		"pc-devices": {RAM: pcRAM(0x1fde000), CPUs: []uint32{0}, IOAPICs: one, ISA: pcISA, ACPI: true, SCI: pcSCI,
			GenID: qemuGenID},
		"q35": {RAM: pcRAM(0x1fe0000), CPUs: []uint32{0, 1, 2, 3}, IOAPICs: one, ISA: pcISA, ACPI: true, SCI: q35SCI,
			ECAM: []ECAM{{Addr: 0xb0000000, Last: 0xff}}, Links: links(16, 23)},
		"q35-devices": {RAM: pcRAM(0x1fde000), CPUs: []uint32{0}, IOAPICs: one, ISA: pcISA, ACPI: true, SCI: q35SCI,
			ECAM: []ECAM{{Addr: 0xb0000000, Last: 0xff}}, Links: links(16, 23), GenID: qemuGenID},
		// Without PCI there is a MCFG all the same. Devices are announced twice.
		"firecracker":         fc([]uint32{0, 1}, 5, func(m *Machine) { m.NoPCI, m.ECAM = true, fcECAM }),
		"firecracker-linux64": fc([]uint32{0}, 5, func(m *Machine) { m.NoPCI, m.ECAM = true, fcECAM }),
		"firecracker-devices": fc([]uint32{0}, 8, func(m *Machine) {
			m.NoPCI, m.ECAM = true, fcECAM
			m.MMIO = []MMIO{{0xc0001000, 0x1000, edge(5)}, {0xc0002000, 0x1000, edge(6)}, {0xc0003000, 0x1000, edge(7)}}
		}),
		"firecracker-pci": fc([]uint32{0}, 5, func(m *Machine) {
			m.ECAM = fcECAM
			m.Windows = []boot.Range{{Start: 0xeec00000, End: 0xeed00000}, {Start: 0xc0001000, End: 0xeec00000}, {Start: 0x4000000000, End: 0x8000000000}}
		}),
	} {
		got := discover(boottest.Captured(t, name))
		if !reflect.DeepEqual(*got, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", name, *got, want)
		}
		if name == "firecracker-devices" {
			const want = "ACPI; I/O APIC at 0xfec00000, GSI 0 to 23; 3 virtio-mmio slots; PCI at 0xeec00000; pci=off; VM clock at 0xde000"
			if s := got.String(); s != want {
				t.Errorf("%q, want %q", s, want)
			}
		}
	}
}
