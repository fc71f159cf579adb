package boot

// Space is ACPI's address space id of a register.
type Space uint8

const (
	SystemMemory Space = 0
	SystemIO     Space = 1
)

// Register is a register one byte wide. Addr is 0 if there is none.
type Register struct {
	Space Space
	Addr  uint64 // physical address, or port
}

// Power is what ACPI says of ending the machine. The zero value says nothing.
type Power struct {
	HWReduced    bool     // the PM1 registers do not exist
	HasS5        bool     // the machine has the state "off"
	S5Type       uint8    // SLP_TYP of S5, 0 to 7
	SleepControl Register // of HW-reduced machines (ACPI 6.5, 4.8.3.7)
	PM1aControl  uint16   // port of the 16-bit PM1a control register (4.8.3.2.1); 0 if there is none
	Reset        Register // 4.8.3.6
	ResetValue   uint8
	Panic        uint16 // port of QEMU's pvpanic device; 0 if there is none
}

// Offsets in the FADT (ACPI 6.5, 5.2.9).
const (
	fadtDSDT         = 40  // u32
	fadtPM1aControl  = 64  // u32
	fadtFlags        = 112 // u32
	fadtReset        = 116 // these four since revision 2 or later
	fadtResetValue   = 128
	fadtXDSDT        = 140 // u64
	fadtXPM1aControl = 172
	fadtSleepControl = 244

	fadtResetSupported = 1 << 10
	fadtHWReduced      = 1 << 20
)

// Offsets in a generic address structure (ACPI 6.5, 5.2.3.2).
const (
	gasBits = 1 // register width
	gasAddr = 4 // u64
	gasSize = 12
)

// FindPower reads the FADT, and from the DSDT the package \_S5. rsdp may be 0.
func FindPower(mem Memory, rsdp uint64) Power {
	if rsdp == 0 {
		rsdp = FindRSDP(mem)
	}
	fadt, ok := FindTable(mem, rsdp, SigFADT)
	if !ok {
		return Power{}
	}
	var p Power
	flags := mem.Field32(fadt, fadtFlags)
	p.HWReduced = flags&fadtHWReduced != 0
	if flags&fadtResetSupported != 0 && fadt.Size > fadtResetValue {
		p.Reset = mem.byteRegister(fadt, fadtReset)
		p.ResetValue, _ = mem.U8(fadt.Addr + fadtResetValue)
	}
	if p.HWReduced {
		p.SleepControl = mem.byteRegister(fadt, fadtSleepControl)
	} else {
		p.PM1aControl = mem.pm1a(fadt)
	}
	if t, ok := mem.findDSDT(rsdp); ok {
		p.S5Type, p.HasS5 = mem.s5Type(t)
		p.Panic = mem.panicPort(t)
	}
	return p
}

// pm1a returns the port of the PM1a control register, or 0.
func (m Memory) pm1a(fadt Table) uint16 {
	port := uint64(m.Field32(fadt, fadtPM1aControl))
	space, addr := m.gas(fadt, fadtXPM1aControl)
	if addr != 0 {
		if space != SystemIO {
			return 0
		}
		port = addr
	}
	if port > 0xffff {
		return 0
	}
	return uint16(port)
}

// gas reads a generic address structure of t; addr is 0 if there is none.
func (m Memory) gas(t Table, off uint64) (space Space, addr uint64) {
	if off+gasSize > t.Size {
		return 0, 0
	}
	s, _ := m.U8(t.Addr + off)
	return Space(s), m.Field64(t, off+gasAddr)
}

// byteRegister reads a generic address structure of t that can only describe
// a register of 8 bits.
func (m Memory) byteRegister(t Table, off uint64) Register {
	space, addr := m.gas(t, off)
	if addr == 0 {
		return Register{}
	}
	bits, _ := m.U8(t.Addr + off + gasBits)
	usable := space == SystemMemory || space == SystemIO && addr <= 0xffff
	if bits != 8 || !usable {
		return Register{}
	}
	return Register{space, addr}
}

// AML, the byte code in the DSDT (ACPI 6.5, 20.2).
const (
	amlZero    = 0x00
	amlOne     = 0x01
	amlName    = 0x08
	amlByte    = 0x0a
	amlWord    = 0x0b
	amlDWord   = 0x0c
	amlPackage = 0x12
	amlRoot    = '\\'

	nameS5 = '_' | 'S'<<8 | '5'<<16 | '_'<<24
)

// s5Type looks in the DSDT for Name (_S5, Package {SLP_TYPa, ...}), by its
// bytes: there is no need to interpret the AML around it.
func (m Memory) s5Type(dsdt Table) (slpTyp uint8, ok bool) {
	end := dsdt.Addr + dsdt.Size
	for pa := dsdt.Addr + tableHeader + 1; pa+4 <= end; pa++ {
		if name, _ := m.U32(pa); name != nameS5 {
			continue
		}
		before, _ := m.U8(pa - 1)
		if before == amlRoot {
			before, _ = m.U8(pa - 2)
		}
		if before != amlName {
			continue
		}
		if slpTyp, ok = m.firstElement(pa+4, end); ok {
			return slpTyp, true
		}
	}
	return 0, false
}

// panicPort looks in the DSDT for the device QEMU0001 (QEMU, docs/specs/pvpanic.txt)
// and, in the buffer of its resources, for a descriptor of ports (6.4.2.5).
func (m Memory) panicPort(dsdt Table) uint16 {
	const (
		id         = 'Q' | 'E'<<8 | 'M'<<16 | 'U'<<24 | '0'<<32 | '0'<<40 | '0'<<48 | '1'<<56
		behind     = 48   // bytes in which the resources come
		ports      = 0x47 // the descriptor's tag,
		decodes16  = 0x01 // and its first byte
		descriptor = ports | decodes16<<8
	)
	end := dsdt.Addr + dsdt.Size
	for pa := dsdt.Addr + tableHeader; pa+8 <= end; pa++ {
		if v, _ := m.U64(pa); v != id {
			continue
		}
		for at := pa + 8; at < pa+behind && at+4 <= end; at++ {
			if v, _ := m.U32(at); v&0xffff == descriptor {
				return uint16(v >> 16)
			}
		}
	}
	return 0
}

// firstElement decodes the first element, a number up to 7, of the AML package
// at pa, which must end by end.
func (m Memory) firstElement(pa, end uint64) (v uint8, ok bool) {
	op, _ := m.U8(pa)
	lead, _ := m.U8(pa + 1)
	pa += 2 + uint64(lead>>6) // the package's length, and more bytes of it
	elements, _ := m.U8(pa)
	kind, _ := m.U8(pa + 1)
	pa += 2
	if op != amlPackage || elements == 0 || pa > end {
		return 0, false
	}
	size := uint64(0)
	switch kind {
	case amlZero:
		return 0, true
	case amlOne:
		return 1, true
	case amlByte:
		size = 1
	case amlWord:
		size = 2
	case amlDWord:
		size = 4
	default:
		return 0, false
	}
	if pa+size > end {
		return 0, false
	}
	v, _ = m.U8(pa)
	for i := uint64(1); i < size; i++ {
		if b, _ := m.U8(pa + i); b != 0 {
			return 0, false
		}
	}
	return v, v <= 7
}
