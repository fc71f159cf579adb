package platform

import "gosv/kernel/boot"

// Entries of the MADT (ACPI 6.5, 5.2.12.3 and 5.2.12.5).
const (
	madtIOAPIC     = 1
	madtIOAPICAddr = 4 // u32
	madtIOAPICBase = 8 // u32
	madtIOAPICSize = 12

	madtOverride      = 2
	madtOverrideIRQ   = 3
	madtOverrideGSI   = 4 // u32
	madtOverrideFlags = 8 // u16
	madtOverrideSize  = 10
)

// Flags of an interrupt in MADT and MP table. Both fields may say "as the bus
// does it", which for ISA is by edge and active high.
const (
	polarityMask, activeLow = 3, 3
	triggerMask, byLevel    = 3 << 2, 3 << 2
)

func lineOf(gsi uint32, flags uint16) Line {
	return Line{GSI: gsi, Level: flags&triggerMask == byLevel, Low: flags&polarityMask == activeLow}
}

// readMADT notes the I/O APICs and where the ISA bus's interrupts go.
func (m *Machine) readMADT(mem boot.Memory, rsdp uint64) {
	t, ok := boot.FindTable(mem, rsdp, boot.SigMADT)
	for off := uint64(boot.MADTEntries); ok; {
		kind, size := mem.MADTEntry(t, off)
		if size == 0 {
			break
		}
		switch {
		case kind == madtIOAPIC && size >= madtIOAPICSize:
			m.addIOAPIC(IOAPIC{Addr: uint64(mem.Field32(t, off+madtIOAPICAddr)), Base: mem.Field32(t, off+madtIOAPICBase)})
		case kind == madtOverride && size >= madtOverrideSize:
			irq, _ := mem.U8(t.Addr + off + madtOverrideIRQ)
			flags, _ := mem.U16(t.Addr + off + madtOverrideFlags)
			if int(irq) < len(m.ISA) {
				m.ISA[irq] = lineOf(mem.Field32(t, off+madtOverrideGSI), flags)
			}
		}
		off += size
	}
}

// readMCFG notes where PCI configuration space is (PCI Firmware Specification
// 3.3, table 4-3). That there is a table does not mean that there is PCI.
func (m *Machine) readMCFG(mem boot.Memory, rsdp uint64) {
	const header, size = 44, 16
	const segment, first, last = 8, 10, 11
	t, _ := boot.FindTable(mem, rsdp, boot.SigMCFG)
	for off := uint64(header); off+size <= t.Size && len(m.ECAM) < maxECAM; off += size {
		e := ECAM{Addr: mem.Field64(t, off)}
		e.Segment, _ = mem.U16(t.Addr + off + segment)
		e.First, _ = mem.U8(t.Addr + off + first)
		e.Last, _ = mem.U8(t.Addr + off + last)
		m.addECAM(e)
	}
}

// addECAM notes where PCI configuration space is.
func (m *Machine) addECAM(e ECAM) {
	const perBus = 1 << 20
	start, size := e.Addr+uint64(e.First)*perBus, (uint64(e.Last)-uint64(e.First)+1)*perBus
	if e.First > e.Last || e.Addr%perBus != 0 || start < e.Addr || m.IsRAM(start, size) {
		m.warn("PCI configuration space where none can be, at " + Hex(e.Addr) + ": ignored")
		return
	}
	m.ECAM = append(m.ECAM, e)
}

// readFADT notes how ACPI's events come in (ACPI 6.5, 5.2.9).
func (m *Machine) readFADT(mem boot.Memory, rsdp uint64) {
	const (
		sci           = 46  // u16
		smiCommand    = 48  // u32
		acpiEnable    = 52  // u8
		pm1aControl   = 64  // u32
		gpe0          = 80  // u32
		gpe0Size      = 92  // u8
		flags         = 112 // u32
		hwReduced     = 1 << 20
		usualSCI      = 9
		portSpaceSize = 1 << 16
	)
	t, ok := boot.FindTable(mem, rsdp, boot.SigFADT)
	if !ok || mem.Field32(t, flags)&hwReduced != 0 {
		return
	}
	irq := mem.Field32(t, sci) & 0xffff
	m.SCI.Line = m.Legacy(irq)
	if irq < uint32(len(m.ISA)) && m.SCI.Line == (Line{GSI: irq}) { // no override: as ACPI has it
		m.SCI.Line = Line{GSI: irq, Level: true, Low: true}
	}
	port := func(off uint64) uint16 {
		if v := mem.Field32(t, off); v < portSpaceSize {
			return uint16(v)
		}
		return 0
	}
	m.SCI.SMICommand = port(smiCommand)
	m.SCI.Enable = uint8(mem.Field32(t, acpiEnable))
	m.SCI.PM1aControl = port(pm1aControl)
	m.SCI.GPE0 = port(gpe0)
	m.SCI.GPE0Size = uint8(mem.Field32(t, gpe0Size))
}
