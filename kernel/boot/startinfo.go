package boot

// Offsets in struct hvm_start_info, and in its first module.
const (
	siMagic         = 0x00
	siVersion       = 0x04
	siModules       = 0x0c // how many
	siModList       = 0x10
	siCmdLine       = 0x18
	siRSDP          = 0x20
	siMemMap        = 0x28 // since version 1
	siMemMapEntries = 0x30

	startInfoMagic   = 0x336ec578
	startInfoSize    = 0x28 // of version 0
	startInfo1Size   = 0x38
	memMapEntrySize  = 24
	maxMemMapEntries = 512

	moduleAddr = 0
	moduleSize = 8
)

// ParseStartInfo reads the hvm_start_info at pa into info. Its first module is
// taken as the initrd.
func ParseStartInfo(mem Memory, pa uint64, info *Info) Status {
	*info = Info{Protocol: PVH}
	magic, _ := mem.U32(pa + siMagic)
	if magic != startInfoMagic || !mem.within(pa, startInfoSize) {
		return BadStartInfo
	}
	info.Data[0] = Range{pa, pa + startInfoSize}
	info.RSDP, _ = mem.U64(pa + siRSDP)
	line, _ := mem.U64(pa + siCmdLine)
	if s := info.readCmdLine(mem, line); s != OK {
		return s
	}
	if n, _ := mem.U32(pa + siModules); n > 0 {
		list, _ := mem.U64(pa + siModList)
		addr, ok1 := mem.U64(list + moduleAddr)
		size, ok2 := mem.U64(list + moduleSize)
		if !ok1 || !ok2 {
			return BadInitrd
		}
		info.Data[1] = Range{list, list + moduleSize + 8}
		if s := info.setInitrd(addr, size); s != OK {
			return s
		}
	}
	version, _ := mem.U32(pa + siVersion)
	if version < 1 || !mem.within(pa, startInfo1Size) {
		return NoMemoryMap
	}
	info.Data[0].End = pa + startInfo1Size
	table, _ := mem.U64(pa + siMemMap)
	n, _ := mem.U32(pa + siMemMapEntries)
	if n > maxMemMapEntries {
		return BadMemoryMap
	}
	info.Data[2] = Range{table, table + uint64(n)*memMapEntrySize}
	return info.readMap(mem, memoryMap{table, uint64(n), memMapEntrySize})
}
