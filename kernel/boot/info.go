package boot

// Info is what the loader says of the machine.
type Info struct {
	Protocol Protocol
	RAM      [MaxRanges]Range // usable, sorted, disjoint, whole pages, nothing reserved in it
	NRAM     int
	CmdLine  Range // without its final zero byte
	Initrd   Range // empty if there is none
	RSDP     uint64
}

const (
	MaxRanges = 64
	MaxCPUs   = 64

	// maxPhys bounds what is taken for memory: the direct map's 512 GiB.
	maxPhys = 1 << 39

	// maxCmdLine is the longest command line that is read.
	maxCmdLine = 64 << 10

	// A memory map of more entries is cut: Linux's own limits are lower.
	maxEntries = 1024
)

// Protocol is how the kernel was entered.
type Protocol uint8

const (
	Linux64 Protocol = 1 // Linux 64-bit boot protocol, with a zero page
	PVH     Protocol = 2 // with an hvm_start_info
)

// Status says what is wrong with boot parameters; 0 is nothing.
type Status uint8

const (
	ok Status = iota
	badAddress
	badMagic
	badVersion
	badHeader
	badMap
	noRAM
	badCmdLine
	badInitrd
)

func (s Status) String() string {
	switch s {
	case ok:
		return "boot parameters are fine"
	case badAddress:
		return "the boot parameters lie outside the first GiB of memory"
	case badMagic:
		return "the boot parameters do not begin with the magic of hvm_start_info"
	case badVersion:
		return "hvm_start_info has version 0, which has no memory map"
	case badHeader:
		return "the zero page has no setup header (boot_flag, HdrS)"
	case badMap:
		return "the memory map lies outside the first GiB of memory"
	case noRAM:
		return "the memory map names no usable memory"
	case badCmdLine:
		return "the kernel command line lies outside the first GiB of memory, or does not end within 64 KiB"
	case badInitrd:
		return "the initrd's address and size make no sense"
	}
	return "the boot parameters are malformed"
}

// ramType is the type of a usable entry in both kinds of memory map.
const ramType = 1

// addMap reads a memory map of n entries of the given size at pa: address u64,
// length u64, type u32. Usable entries are added first, then all others taken
// out: they may overlap, and are in no order.
func (info *Info) addMap(mem Memory, pa, n, size uint64) Status {
	n = min(n, maxEntries)
	if !mem.has(pa, n*size) {
		return badMap
	}
	for pass := 0; pass < 2; pass++ {
		for i := uint64(0); i < n; i++ {
			start, _ := mem.U64(pa + i*size)
			length, _ := mem.U64(pa + i*size + 8)
			kind, _ := mem.U32(pa + i*size + 16)
			switch {
			case length == 0:
			case pass == 0 && kind == ramType:
				info.addRAM(start, length)
			case pass == 1 && kind != ramType:
				end := start + length
				if end < start {
					end = ^uint64(0)
				}
				info.Reserve(Range{start, end})
			}
		}
	}
	if info.NRAM == 0 {
		return noRAM
	}
	return ok
}

// setCmdLine finds the end of the command line at pa.
func (info *Info) setCmdLine(mem Memory, pa uint64) Status {
	if pa == 0 {
		return ok
	}
	for n := uint64(0); n <= maxCmdLine; n++ {
		b, there := mem.U8(pa + n)
		if !there {
			break
		}
		if b == 0 {
			info.CmdLine = Range{pa, pa + n}
			return ok
		}
	}
	return badCmdLine
}

// setInitrd notes the initrd.
func (info *Info) setInitrd(pa, size uint64) Status {
	if size == 0 {
		return ok
	}
	if pa == 0 || pa >= maxPhys || size > maxPhys-pa {
		return badInitrd
	}
	info.Initrd = Range{pa, pa + size}
	return ok
}
