package linux

// The stack that a program starts with (System V ABI for x86-64, 3.4.1; Linux's
// create_elf_tables), from its top down:
//
//	8 zero bytes
//	path of the executable, environment strings, argument strings
//	platform string, 16 random bytes
//	auxiliary vector, environment and argument pointers, argument count   <- SP

const (
	maxArgString = 128 << 10 // MAX_ARG_STRLEN, with the final zero byte
	maxArgTotal  = 6 << 20   // three quarters of _STK_LIM

	platform = "x86_64"
)

// Tags of the auxiliary vector (getauxval(3)).
const (
	atNull         = 0
	atPHDR         = 3
	atPHEnt        = 4
	atPHNum        = 5
	atPageSize     = 6
	atBase         = 7
	atFlags        = 8
	atEntry        = 9
	atUID          = 11
	atEUID         = 12
	atGID          = 13
	atEGID         = 14
	atPlatform     = 15
	atHWCap        = 16
	atClkTck       = 17
	atSecure       = 23
	atRandom       = 25
	atHWCap2       = 26
	atExecFn       = 31
	atSysinfoEHDR  = 33
	atMinSigStack  = 51
	hwcap2FSGSBase = 2
)

// startInfo is what a program is told.
type startInfo struct {
	path       string
	argv, envp []string
	random     [16]byte

	phdr, phnum, entry uintptr
	vdso               uintptr
	hwcap              uint32
	uid, gid           uint32
	minSigStack        uintptr
}

// startAddrs is where a process found things when it began, for /proc and core dumps.
type startAddrs struct {
	sp                  uintptr
	argLo, argHi, envHi uintptr // the strings of arguments and environment
}

// startStack is the contents of a stack from SP up.
type startStack struct {
	startAddrs
	bytes []byte
}

// build lays out the stack below top. It fails with E2BIG if it would take
// more than limit bytes or a string is too long.
func (si *startInfo) build(top, limit uintptr) (st startStack, err Errno) {
	strings := uintptr(len(si.path) + 1)
	argBytes, envBytes := uintptr(0), uintptr(0)
	for _, s := range si.argv {
		argBytes += uintptr(len(s) + 1)
		strings = max(strings, uintptr(len(s)+1))
	}
	for _, s := range si.envp {
		envBytes += uintptr(len(s) + 1)
		strings = max(strings, uintptr(len(s)+1))
	}
	if strings > maxArgString {
		return st, E2BIG
	}

	path := top - 8 - uintptr(len(si.path)+1)
	st.envHi = path
	st.argHi = st.envHi - envBytes
	st.argLo = st.argHi - argBytes
	plat := st.argLo&^15 - uintptr(len(platform)+1)
	rnd := plat - uintptr(len(si.random))

	aux := [...][2]uintptr{
		{atSysinfoEHDR, si.vdso},
		{atMinSigStack, si.minSigStack},
		{atHWCap, uintptr(si.hwcap)},
		{atPageSize, pageSize},
		{atClkTck, second / clockTick},
		{atPHDR, si.phdr},
		{atPHEnt, phdrSize},
		{atPHNum, si.phnum},
		{atBase, 0},
		{atFlags, 0},
		{atEntry, si.entry},
		{atUID, uintptr(si.uid)},
		{atEUID, uintptr(si.uid)},
		{atGID, uintptr(si.gid)},
		{atEGID, uintptr(si.gid)},
		{atSecure, 0},
		{atRandom, rnd},
		{atHWCap2, hwcap2FSGSBase},
		{atExecFn, path},
		{atPlatform, plat},
		{atNull, 0},
	}
	words := uintptr(1 + len(si.argv) + 1 + len(si.envp) + 1 + 2*len(aux))
	if argBytes+envBytes+words*8 > limit {
		return st, E2BIG
	}
	st.sp = (rnd - words*8) &^ 15
	st.bytes = make([]byte, top-st.sp)

	at := uintptr(0)
	word := func(v uintptr) {
		putUint64(st.bytes[at:], uint64(v))
		at += 8
	}
	list := func(list []string, addr uintptr) {
		for _, s := range list {
			word(addr)
			addr += uintptr(copy(st.bytes[addr-st.sp:], s) + 1)
		}
		word(0)
	}
	word(uintptr(len(si.argv)))
	list(si.argv, st.argLo)
	list(si.envp, st.argHi)
	for _, a := range aux {
		word(a[0])
		word(a[1])
	}
	copy(st.bytes[rnd-st.sp:], si.random[:])
	copy(st.bytes[plat-st.sp:], platform)
	copy(st.bytes[path-st.sp:], si.path)
	return st, 0
}

const phdrSize = 56 // of an Elf64_Phdr
