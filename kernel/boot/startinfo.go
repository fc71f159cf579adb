package boot

// ParseStartInfo reads struct hvm_start_info at pa (Xen,
// xen/include/public/arch-x86/hvm/start_info.h).
func ParseStartInfo(mem Memory, pa uint64, info *Info) Status {
	const (
		magic      = 0x336ec578
		size       = 56
		version    = 4
		nrModules  = 12
		modlist    = 16
		cmdline    = 24
		rsdp       = 32
		memmap     = 40
		mapEntries = 48
		entrySize  = 24
	)
	info.Protocol = PVH
	if !mem.has(pa, size) {
		return badAddress
	}
	if v, _ := mem.U32(pa); v != magic {
		return badMagic
	}
	if v, _ := mem.U32(pa + version); v < 1 {
		return badVersion
	}
	at, _ := mem.U64(pa + memmap)
	n, _ := mem.U32(pa + mapEntries)
	if s := info.addMap(mem, at, uint64(n), entrySize); s != ok {
		return s
	}
	info.RSDP, _ = mem.U64(pa + rsdp)
	at, _ = mem.U64(pa + cmdline)
	if s := info.setCmdLine(mem, at); s != ok {
		return s
	}
	if n, _ := mem.U32(pa + nrModules); n == 0 {
		return ok
	}
	at, _ = mem.U64(pa + modlist)
	if !mem.has(at, 16) {
		return badInitrd
	}
	start, _ := mem.U64(at)
	length, _ := mem.U64(at + 8)
	return info.setInitrd(start, length)
}
