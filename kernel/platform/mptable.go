package platform

import "gosv/kernel/boot"

// Entries of the MP table (MultiProcessor Specification 1.4, 4.3).
const (
	mpBus     = 1
	mpBusID   = 1
	mpBusName = 2 // six letters

	mpIOAPIC      = 2
	mpIOAPICID    = 1
	mpIOAPICFlags = 3
	mpIOAPICAddr  = 4 // u32

	mpInterrupt      = 3
	mpInterruptType  = 1 // 0: a vectored interrupt
	mpInterruptFlags = 2 // u16
	mpInterruptBus   = 4
	mpInterruptIRQ   = 5
	mpInterruptAPIC  = 6 // 0xff: all of them
	mpInterruptPin   = 7

	mpEnabled  = 1
	mpAllAPICs = 0xff
)

// readMP notes the I/O APICs and where the ISA bus's interrupts go, which the
// table tells by pin: the I/O APICs' GSIs follow each other, 24 each.
func (m *Machine) readMP(mem boot.Memory) {
	const pins = 24
	t, ok := boot.FindMP(mem)
	if !ok {
		return
	}
	var base [256]uint32 // first GSI, by the I/O APIC's id
	var isa [256]bool    // by bus
	next := uint32(0)
	for off := uint64(boot.MPEntries); ; {
		kind, size := mem.MPEntry(t, off)
		if size == 0 {
			break
		}
		e := mem[t.Addr+off : t.Addr+off+size]
		switch {
		case kind == mpBus:
			isa[e[mpBusID]] = string(e[mpBusName:mpBusName+3]) == "ISA"
		case kind == mpIOAPIC && e[mpIOAPICFlags]&mpEnabled != 0 && next < maxIOAPICs*pins:
			base[e[mpIOAPICID]] = next
			m.addIOAPIC(IOAPIC{Addr: uint64(mem.Field32(t, off+mpIOAPICAddr)), Base: next})
			next += pins
		case kind == mpInterrupt && e[mpInterruptType] == 0 && isa[e[mpInterruptBus]] && int(e[mpInterruptIRQ]) < len(m.ISA):
			gsi := uint32(e[mpInterruptPin])
			if e[mpInterruptAPIC] != mpAllAPICs {
				gsi += base[e[mpInterruptAPIC]]
			}
			flags := uint16(e[mpInterruptFlags]) | uint16(e[mpInterruptFlags+1])<<8
			m.ISA[e[mpInterruptIRQ]] = lineOf(gsi, flags)
		}
		off += size
	}
}
