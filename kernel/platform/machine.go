package platform

import (
	"strconv"

	"gosv/kernel/boot"
)

// Machine is what the boot data and the firmware's tables say that there is:
// where, not whether it answers. Nothing in it was asked of the hardware.
type Machine struct {
	RAM     []boot.Range // as the loader said, sorted
	CPUs    []uint32     // local APIC ids; empty if no table tells
	IOAPICs []IOAPIC     // at least one, sorted by GSI
	ISA     [16]Line     // where the interrupts of the ISA bus go
	ACPI    bool         // there are tables

	MMIO []MMIO // virtio-mmio devices and slots for such, each address once

	ECAM    []ECAM       // PCI configuration space in memory
	NoPCI   bool         // the loader says that there is none
	Windows []boot.Range // for BARs, as the host bridge decodes them
	Links   []Line       // PCI interrupt links that have one GSI, by name: A, B, ...

	GenID GenID
	Clock VMClock
	SCI   SCI

	Warnings []string // of what was not believed
}

// Line is an input of the I/O APICs, by its global system interrupt number,
// and what its device makes of it.
type Line struct {
	GSI   uint32
	Level bool // triggers by level, not by edge
	Low   bool // is active low
}

// IOAPIC is an I/O APIC: its registers' physical address and which GSIs it has.
type IOAPIC struct {
	Addr uint64
	Base uint32 // GSI of pin 0
	Pins uint32
}

// MMIO is the registers of a virtio-mmio device, or a slot with none.
type MMIO struct {
	Addr, Size uint64 // bytes
	Line       Line
}

// ECAM is the configuration space of the buses First to Last of a PCI segment,
// 1 MiB for each bus (PCI Firmware Specification 3.3, 4.1.2).
type ECAM struct {
	Addr        uint64 // of bus 0, which need not be there
	Segment     uint16
	First, Last uint8
}

// GenID is the virtual machine generation id (Microsoft, "Virtual Machine
// Generation ID"): 16 bytes that differ after the machine was cloned or went
// back to a snapshot. Addr is 0 if there is none. The change is told by Line, or,
// if GPE says so, by a bit of the general purpose events' block 0.
type GenID struct {
	Addr    uint64
	Line    Line
	HasLine bool
	GPE     uint8
	HasGPE  bool
}

// VMClock is the page of a clock that the host keeps (ACPI id "AMZNC10C"). Addr is 0
// if there is none.
type VMClock struct {
	Addr, Size uint64
	Line       Line
	HasLine    bool
}

// SCI is ACPI's interrupt and the ports behind it (ACPI 6.5, 4.8). GPE0 is 0
// where the hardware is reduced.
type SCI struct {
	Line        Line
	GPE0        uint16 // port of the status bits, behind which the enable bits are
	GPE0Size    uint8  // bytes of both together
	SMICommand  uint16 // port that takes Enable; 0 if ACPI is always on
	Enable      uint8
	PM1aControl uint16
}

// legacyIOAPIC is where the only I/O APIC is if no table names one.
const legacyIOAPIC = 0xfec00000

// Bounds of what is believed, far above what any machine has.
const (
	maxIOAPICs     = 16
	maxMMIO        = 256
	maxECAM        = 16
	maxDefinitions = 16
	maxWarnings    = 16
)

// Discover reads the boot data at data, the tables that it leads to and the
// command line. What is missing or unsound is done without: at least there is a
// machine with one I/O APIC.
func Discover(mem boot.Memory, protocol boot.Protocol, data uint64) *Machine {
	m := new(Machine)
	var info boot.Info
	var status boot.Status
	if protocol == boot.PVH {
		status = boot.ParseStartInfo(mem, data, &info)
	} else {
		status = boot.ParseZeroPage(mem, data, &info)
	}
	if status != boot.OK {
		m.warn(status.String())
	}
	m.RAM = info.RAM[:info.NRAM]
	for i := range m.ISA {
		m.ISA[i].GSI = uint32(i)
	}
	rsdp := boot.RSDP(mem, info.RSDP)
	var ids [boot.MaxCPUs]uint32
	m.CPUs = append(m.CPUs, ids[:boot.CPUs(mem, rsdp, &ids)]...)
	if rsdp != 0 {
		m.ACPI = true
		m.readMADT(mem, rsdp)
	}
	if len(m.IOAPICs) == 0 {
		m.readMP(mem)
	}
	if len(m.IOAPICs) == 0 {
		m.IOAPICs = append(m.IOAPICs, IOAPIC{Addr: legacyIOAPIC})
	}
	m.countPins()
	if rsdp != 0 {
		m.readMCFG(mem, rsdp)
		m.readFADT(mem, rsdp)
		var tables [maxDefinitions]boot.Table
		for _, t := range tables[:boot.Definitions(mem, rsdp, tables[:])] {
			m.readAML(mem[t.Addr : t.Addr+t.Size])
		}
	}
	if l := info.CmdLine; l.Start < l.End && l.End <= uint64(len(mem)) {
		m.readWords(mem[l.Start:l.End])
	}
	return m
}

// String sums up where devices can be.
func (m *Machine) String() string {
	s := "no ACPI"
	if m.ACPI {
		s = "ACPI"
	}
	for _, a := range m.IOAPICs {
		s += "; I/O APIC at " + Hex(a.Addr) + ", GSI " + strconv.Itoa(int(a.Base)) + " to " + strconv.Itoa(int(a.Base+a.Pins-1))
	}
	if len(m.MMIO) > 0 {
		s += "; " + strconv.Itoa(len(m.MMIO)) + " virtio-mmio slots"
	}
	for _, e := range m.ECAM {
		s += "; PCI at " + Hex(e.Addr)
	}
	if m.NoPCI {
		s += "; pci=off"
	}
	if m.Clock.Addr != 0 {
		s += "; VM clock at " + Hex(m.Clock.Addr)
	}
	return s
}

// warn notes what is wrong with the machine.
func (m *Machine) warn(what string) {
	if len(m.Warnings) < maxWarnings {
		m.Warnings = append(m.Warnings, what)
	}
}

// IsRAM says whether any of the n bytes at pa are called RAM, or are no
// addresses at all.
func (m *Machine) IsRAM(pa, n uint64) bool {
	if pa+n < pa || n == 0 {
		return true
	}
	for _, r := range m.RAM {
		if r.Start < pa+n && pa < r.End {
			return true
		}
	}
	return false
}

// addMMIO notes a virtio-mmio device, unless it is known already: Firecracker
// announces each in the DSDT and on the command line.
func (m *Machine) addMMIO(d MMIO) {
	const registers = 0x100 // virtio 1.2 section 4.2.2: the configuration space follows
	if d.Size < registers || d.Addr%4 != 0 || m.IsRAM(d.Addr, d.Size) {
		m.warn("a virtio-mmio device where none can be, at " + Hex(d.Addr) + ": ignored")
		return
	}
	for _, o := range m.MMIO {
		if o.Addr == d.Addr {
			return
		}
		if o.Addr < d.Addr+d.Size && d.Addr < o.Addr+o.Size {
			m.warn("the virtio-mmio device at " + Hex(d.Addr) + " overlaps another: ignored")
			return
		}
	}
	if len(m.MMIO) == maxMMIO {
		m.warn("too many virtio-mmio devices: the one at " + Hex(d.Addr) + " is ignored")
		return
	}
	m.MMIO = append(m.MMIO, d)
}

// addIOAPIC notes an I/O APIC in the order of GSIs.
func (m *Machine) addIOAPIC(a IOAPIC) {
	const registers = 0x20
	if m.IsRAM(a.Addr, registers) || a.Addr%16 != 0 {
		m.warn("an I/O APIC where none can be, at " + Hex(a.Addr) + ": ignored")
		return
	}
	at := 0
	for i, o := range m.IOAPICs {
		if o.Addr == a.Addr || o.Base == a.Base {
			return
		}
		if o.Base < a.Base {
			at = i + 1
		}
	}
	if len(m.IOAPICs) == maxIOAPICs {
		return
	}
	m.IOAPICs = append(m.IOAPICs, IOAPIC{})
	copy(m.IOAPICs[at+1:], m.IOAPICs[at:])
	m.IOAPICs[at] = a
}

// countPins says how many pins each I/O APIC has: as many as there are GSIs up
// to the next one's, or else the usual 24.
func (m *Machine) countPins() {
	const usual, most = 24, 240
	for i := range m.IOAPICs {
		a := &m.IOAPICs[i]
		a.Pins = usual
		if i+1 < len(m.IOAPICs) {
			a.Pins = min(m.IOAPICs[i+1].Base-a.Base, most)
		}
	}
}

// Legacy is where an interrupt of the ISA bus, or one that is numbered as
// those are, goes.
func (m *Machine) Legacy(irq uint32) Line {
	if irq < uint32(len(m.ISA)) {
		return m.ISA[irq]
	}
	return Line{GSI: irq}
}

// Hex is v in hexadecimal digits, with 0x in front.
func Hex(v uint64) string { return "0x" + strconv.FormatUint(v, 16) }
