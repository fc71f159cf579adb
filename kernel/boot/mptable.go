package boot

// The MP configuration table (Intel MultiProcessor Specification 1.4, chapter 4).

// findMP looks for the MP floating pointer structure in n bytes from pa on and
// returns where the table lies that it points to, or 0.
func findMP(mem Memory, pa, n uint64) uint64 {
	for end := pa + n; pa < end; pa += 16 {
		if mem.is(pa, "_MP_") && mem.sums(pa, 16) {
			at, _ := mem.U32(pa + 4)
			return uint64(at)
		}
	}
	return 0
}

// mpCPUs lists the enabled processors of the MP table at pa. It is walked by
// its length: the entry count of Firecracker's is one too many.
func mpCPUs(mem Memory, pa uint64, ids *[MaxCPUs]uint32) (n int) {
	const header, processor, processorSize, otherSize, lastKind = 44, 0, 20, 8, 4
	length16, _ := mem.U16(pa + 4)
	length := uint64(length16)
	if pa == 0 || !mem.is(pa, "PCMP") || length < header || !mem.sums(pa, length) {
		return 0
	}
	for at := pa + header; at < pa+length; {
		kind, _ := mem.U8(at)
		if kind > lastKind {
			break
		}
		if kind != processor {
			at += otherSize
			continue
		}
		if at+processorSize > pa+length {
			break
		}
		const enabled = 1
		if fl, _ := mem.U8(at + 3); fl&enabled != 0 {
			id, _ := mem.U8(at + 1)
			n = addCPU(ids, n, uint32(id))
		}
		at += processorSize
	}
	return n
}
