package boot

// Step is one way to end the machine, in the order in which they are tried.
type Step struct {
	Kind  StepKind
	Addr  uint64
	Width uint8 // in bytes, of what is written
	Value uint32
}

// StepKind says what a Step does.
type StepKind uint8

const (
	NoStep StepKind = iota
	WritePort
	WriteMemory
	Halt // a second, for a VMM that ends asynchronously
	TripleFault
)

// PowerOff returns how this machine is switched off. ACPI's S5 comes first,
// where the tables offer it: a sleep control register (ACPI 6.5, 4.8.3.7) or the
// PM1a control block (4.8.3.2). Then the keyboard controller's reset line, which
// ends Firecracker, though only after a moment; and then a triple fault.
func PowerOff(mem Memory, rsdp uint64) (steps [4]Step) {
	n := 0
	if s, ok := acpiPowerOff(mem, FindRSDP(mem, rsdp)); ok {
		steps[n] = s
		n++
	}
	const keyboardCommand, resetLine = 0x64, 0xfe
	steps[n] = Step{WritePort, keyboardCommand, 1, resetLine}
	steps[n+1] = Step{Kind: Halt}
	if n+2 < len(steps) {
		steps[n+2] = Step{Kind: TripleFault}
	}
	return steps
}

func acpiPowerOff(mem Memory, rsdp uint64) (s Step, ok bool) {
	const (
		dsdt32, pm1aControl, flags = 40, 64, 112
		dsdt64, sleepControl       = 140, 244
		gasAddress                 = 4
		hwReduced                  = 1 << 20
		spaceMemory, spaceIO       = 0, 1
	)
	fadt, n := table(mem, rsdp, "FACP")
	if n < flags+4 {
		return s, false
	}
	dsdt := uint64(0)
	if n >= dsdt64+8 {
		dsdt, _ = mem.U64(fadt + dsdt64)
	}
	if dsdt == 0 {
		d, _ := mem.U32(fadt + dsdt32)
		dsdt = uint64(d)
	}
	s5, ok := findS5(mem, dsdt)
	if !ok {
		return s, false
	}
	fl, _ := mem.U32(fadt + flags)
	if fl&hwReduced != 0 {
		if n < sleepControl+12 {
			return s, false
		}
		const sleepEnable, typeShift = 1 << 5, 2
		space, _ := mem.U8(fadt + sleepControl)
		addr, _ := mem.U64(fadt + sleepControl + gasAddress)
		s = Step{WriteMemory, addr, 1, uint32(s5&7)<<typeShift | sleepEnable}
		if space == spaceIO {
			s.Kind = WritePort
		}
		return s, addr != 0 && (space == spaceIO || space == spaceMemory)
	}
	const sleepEnable, typeShift = 1 << 13, 10
	port, _ := mem.U32(fadt + pm1aControl)
	return Step{WritePort, uint64(port), 2, uint32(s5&7)<<typeShift | sleepEnable}, port != 0 && port < 1<<16
}

// findS5 finds the sleep type of the package \_S5 in the DSDT by its bytes: the
// name, PackageOp, PkgLength, NumElements, and a first element that is a
// small constant (ACPI 6.5, 20.2).
func findS5(mem Memory, dsdt uint64) (typ uint8, ok bool) {
	const packageOp, zeroOp, oneOp, bytePrefix = 0x12, 0x00, 0x01, 0x0a
	if !mem.is(dsdt, "DSDT") {
		return 0, false
	}
	n := tableLength(mem, dsdt)
	for at, end := dsdt+tableHeader, dsdt+n; n != 0 && at+8 < end; at++ {
		if mem[at] != '_' || !mem.is(at, "_S5_") {
			continue
		}
		if op, _ := mem.U8(at + 4); op != packageOp {
			continue
		}
		lead, _ := mem.U8(at + 5)
		p := at + 5 + 1 + uint64(lead>>6) + 1 // PkgLength, its further bytes, NumElements
		op, _ := mem.U8(p)
		switch op {
		case zeroOp, oneOp:
			return op, p < end
		case bytePrefix:
			typ, ok = mem.U8(p + 1)
			return typ, ok && p+1 < end
		}
	}
	return 0, false
}
