package boot

// ACPI tables (ACPI 6.5 chapter 5). Firecracker packs them byte-aligned and has
// an XSDT only; SeaBIOS has an RSDT only.
const (
	biosStart, biosEnd = 0xe0000, 0x100000
	tableHeader        = 36
	maxTable           = 1 << 20 // of one table: real ones have some KiB
	maxTables          = 256
)

// validRSDP says whether an RSDP with a right checksum lies at pa.
func validRSDP(mem Memory, pa uint64) bool {
	return mem.is(pa, "RSD PTR ") && mem.sums(pa, 20)
}

// FindRSDP returns rsdp if there is one there, else looks for it in the BIOS
// area and the extended BIOS data area (ACPI 6.5, 5.2.5.1); 0 if there is none.
func FindRSDP(mem Memory, rsdp uint64) uint64 {
	if rsdp != 0 && validRSDP(mem, rsdp) {
		return rsdp
	}
	for pa := uint64(biosStart); pa < biosEnd; pa += 16 {
		if validRSDP(mem, pa) {
			return pa
		}
	}
	const ebdaPointer = 0x40e
	if seg, ok := mem.U16(ebdaPointer); ok && seg >= 0x8000 && seg < 0xa000 {
		for pa := uint64(seg) << 4; pa < uint64(seg)<<4+1024; pa += 16 {
			if validRSDP(mem, pa) {
				return pa
			}
		}
	}
	return 0
}

// table finds the table with a signature among those that the RSDP leads to:
// its address and length with its header, checked; n is 0 if it is not there.
func table(mem Memory, rsdp uint64, signature string) (pa, n uint64) {
	if !validRSDP(mem, rsdp) {
		return 0, 0
	}
	const revision, rsdt, xsdt = 15, 16, 24
	root, size := uint64(0), uint64(8)
	if rev, _ := mem.U8(rsdp + revision); rev >= 2 {
		root, _ = mem.U64(rsdp + xsdt)
	}
	if root == 0 {
		p, _ := mem.U32(rsdp + rsdt)
		root, size = uint64(p), 4
	}
	length := tableLength(mem, root)
	if length == 0 {
		return 0, 0
	}
	for i, at := 0, root+tableHeader; at+size <= root+length && i < maxTables; i, at = i+1, at+size {
		var p uint64
		if size == 8 {
			p, _ = mem.U64(at)
		} else {
			p32, _ := mem.U32(at)
			p = uint64(p32)
		}
		if mem.is(p, signature) {
			if n := tableLength(mem, p); n != 0 {
				return p, n
			}
		}
	}
	return 0, 0
}

// tableLength is the length of the table at pa, or 0 if it makes no sense.
func tableLength(mem Memory, pa uint64) uint64 {
	v, ok := mem.U32(pa + 4)
	n := uint64(v)
	if pa == 0 || !ok || n < tableHeader || n > maxTable || !mem.sums(pa, n) {
		return 0
	}
	return n
}

// madtCPUs lists the processors of the MADT (ACPI 6.5, 5.2.12) that are
// enabled; those that could be plugged in later do not count.
func madtCPUs(mem Memory, rsdp uint64, ids *[MaxCPUs]uint32) (n int) {
	const entries, localAPIC, localX2APIC, enabled = 44, 0, 9, 1
	pa, length := table(mem, rsdp, "APIC")
	for at := pa + entries; length > entries && at+2 <= pa+length; {
		kind, _ := mem.U8(at)
		size, _ := mem.U8(at + 1)
		if size < 2 || at+uint64(size) > pa+length {
			break
		}
		switch {
		case kind == localAPIC && size >= 8:
			if fl, _ := mem.U32(at + 4); fl&enabled != 0 {
				id, _ := mem.U8(at + 3)
				n = addCPU(ids, n, uint32(id))
			}
		case kind == localX2APIC && size >= 16:
			if fl, _ := mem.U32(at + 8); fl&enabled != 0 {
				id, _ := mem.U32(at + 4)
				n = addCPU(ids, n, id)
			}
		}
		at += uint64(size)
	}
	return n
}

// addCPU appends id if it is new and there is room.
func addCPU(ids *[MaxCPUs]uint32, n int, id uint32) int {
	for i := 0; i < n; i++ {
		if ids[i] == id {
			return n
		}
	}
	if n < MaxCPUs {
		ids[n] = id
		n++
	}
	return n
}

// CPUs lists the local APIC ids of the machine's processors, of the MADT or
// else the MP table, and returns how many: 0 if neither is there. It looks in
// the likely places first: the whole BIOS area takes longer than all the rest.
func CPUs(mem Memory, rsdp uint64, ids *[MaxCPUs]uint32) (n int) {
	if rsdp == 0 && validRSDP(mem, biosStart) { // Firecracker does not say where it put it
		rsdp = biosStart
	}
	if n = madtCPUs(mem, rsdp, ids); n != 0 {
		return n
	}
	if n = mpCPUs(mem, findMP(mem, 0x9fc00, 1024), ids); n != 0 {
		return n
	}
	if rsdp == 0 {
		if n = madtCPUs(mem, FindRSDP(mem, 0), ids); n != 0 {
			return n
		}
	}
	return mpCPUs(mem, findMP(mem, 0xf0000, 0x10000), ids)
}
