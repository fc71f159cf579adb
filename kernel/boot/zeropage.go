package boot

// ParseZeroPage reads struct boot_params at pa (Linux,
// Documentation/arch/x86/zero-page.rst and boot.rst).
func ParseZeroPage(mem Memory, pa uint64, info *Info) Status {
	const (
		size          = 4096
		rsdp          = 0x70
		extImage      = 0xc0
		extSize       = 0xc4
		extCmdLine    = 0xc8
		e820Entries   = 0x1e8
		bootFlag      = 0x1fe
		headerMagic   = 0x202
		ramdiskImage  = 0x218
		ramdiskSize   = 0x21c
		cmdLinePtr    = 0x228
		e820Table     = 0x2d0
		e820EntrySize = 20
		e820Max       = 128
	)
	info.Protocol = Linux64
	if !mem.has(pa, size) {
		return badAddress
	}
	if v, _ := mem.U16(pa + bootFlag); v != 0xaa55 || !mem.is(pa+headerMagic, "HdrS") {
		return badHeader
	}
	n, _ := mem.U8(pa + e820Entries)
	if s := info.addMap(mem, pa+e820Table, min(uint64(n), e820Max), e820EntrySize); s != ok {
		return s
	}
	info.RSDP, _ = mem.U64(pa + rsdp)
	if s := info.setCmdLine(mem, wide(mem, pa+cmdLinePtr, pa+extCmdLine)); s != ok {
		return s
	}
	return info.setInitrd(wide(mem, pa+ramdiskImage, pa+extImage), wide(mem, pa+ramdiskSize, pa+extSize))
}

// wide joins a field's lower half at low and its later-added upper half.
func wide(mem Memory, low, high uint64) uint64 {
	l, _ := mem.U32(low)
	h, _ := mem.U32(high)
	return uint64(h)<<32 | uint64(l)
}
