package strace

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	"gosv/internal/trace"
)

// arguments returns what to print of a call, in the order in which strace does.
func (l *line) arguments() (list []argument) {
	words := l.abi.Args
	add := func(n int) {
		for i, w := range words[:min(n, len(words))] {
			list = append(list, argument{word: w, index: i, onExit: l.onExit(i)})
		}
	}
	v := func(i int) uint64 {
		if i < len(l.Args) {
			return l.Args[i]
		}
		return 0
	}
	const oCreat, oTmpfile = 0o100, 0o20000000
	switch name := l.abi.Name; name {
	case "open", "openat":
		n := len(words)
		if v(n-2)&oCreat == 0 && v(n-2)&oTmpfile != oTmpfile {
			n--
		}
		add(n)
	case "fcntl":
		switch v(1) {
		case fGetFD, fGetFL, fGetOwn, fGetSig, fGetPipeSize, fGetSeals, fGetLease:
			add(2)
		default:
			add(3)
		}
	case "futex":
		switch v(1) & 127 {
		case futexWait:
			add(4)
		case futexWake, futexUnlockPI, futexTrylockPI:
			add(3)
		case futexWaitBitset:
			add(4)
			list = append(list, argument{word: "futexbits", index: 5})
		case futexWakeBitset:
			add(3)
			list = append(list, argument{word: "futexbits", index: 5})
		default:
			add(6)
		}
	case "prctl":
		add(1)
		switch v(0) {
		case prSetName:
			list = append(list, argument{word: "prctlarg", index: 1})
		case prGetName:
			list = append(list, argument{word: "prctlarg", index: 1, onExit: true})
		case prGetDumpable, prGetKeepCaps, prGetSeccomp, prGetTimerSlack, prGetTiming, prGetSecurebits:
		case prSetDumpable, prSetKeepCaps, prSetTimerSlack, prSetPDeathSig, prGetPDeathSig, prCapBSetRead, prCapBSetDrop:
			list = append(list, argument{word: "prctlnum", index: 1})
		default:
			word := "x"
			for i := 1; i < len(words); i++ {
				if i == 1 && v(0) == prSetNoNewPrivs {
					word = "u"
				}
				list = append(list, argument{word: word, index: i})
				word = "x"
			}
		}
	case "preadv2", "pwritev2": // without the upper half of the offset, which there is for 32-bit programs
		add(4)
		list = append(list, argument{word: words[5], index: 5})
	case "mknod", "mknodat":
		n := len(words)
		if t := v(n-2) & fileType; t != charDevice && t != blockDevice {
			n--
		}
		add(n)
	case "mremap":
		const fixed, dontUnmap = 2, 4
		if v(3)&(fixed|dontUnmap) != 0 {
			add(5)
		} else {
			add(4)
		}
	case "clone":
		flags := v(0)
		list = append(list, argument{label: "child_stack=", word: "p", index: 1}, argument{label: "flags=", word: "clone", index: 0})
		if flags&cloneParentSetTID != 0 {
			list = append(list, argument{label: "parent_tid=", word: "otid", index: 2, onExit: true})
		}
		if flags&cloneSetTLS != 0 {
			list = append(list, argument{label: "tls=", word: "p", index: 4})
		}
		if flags&(cloneChildSetTID|cloneChildClearTID) != 0 {
			list = append(list, argument{label: "child_tidptr=", word: "p", index: 3})
		}
	default:
		add(len(words))
	}
	return list
}

// Types of files, in their mode.
const fileType, charDevice, blockDevice = 0o170000, 0o020000, 0o060000

// Commands that change what a call's other arguments are.
const (
	fDupFD, fGetFD, fSetFD, fGetFL, fSetFL, fGetLk, fSetLk, fSetLkw = 0, 1, 2, 3, 4, 5, 6, 7
	fGetOwn, fGetSig                                                = 9, 11
	fOFDGetLk, fOFDSetLkw                                           = 36, 38
	fGetLease, fDupFDCloexec, fGetPipeSize, fGetSeals               = 1025, 1030, 1032, 1034

	futexWait, futexWake                                            = 0, 1
	futexUnlockPI, futexTrylockPI, futexWaitBitset, futexWakeBitset = 7, 8, 9, 10

	prSetPDeathSig, prGetPDeathSig, prGetDumpable, prSetDumpable = 1, 2, 3, 4
	prGetKeepCaps, prSetKeepCaps, prGetTiming                    = 7, 8, 13
	prSetName, prGetName, prGetSeccomp                           = 15, 16, 21
	prCapBSetRead, prCapBSetDrop, prGetSecurebits                = 23, 24, 27
	prSetTimerSlack, prGetTimerSlack, prSetNoNewPrivs            = 29, 30, 38

	cloneSetTLS        = 0x80000
	cloneParentSetTID  = 0x100000
	cloneChildClearTID = 0x200000
	cloneChildSetTID   = 0x1000000
)

func (l *line) str(s string)                   { l.b.WriteString(s) }
func (l *line) printf(format string, a ...any) { fmt.Fprintf(&l.b, format, a...) }
func (l *line) ptr(v uint64)                   { l.str(pointer(v)) }

func pointer(v uint64) string {
	if v == 0 {
		return "NULL"
	}
	return fmt.Sprintf("%#x", v)
}

// hex is v as strace prints a number in hexadecimal.
func hex(v uint64) string {
	if v == 0 {
		return "0"
	}
	return fmt.Sprintf("%#x", v)
}

// octal is v as a mode.
func octal(v uint64) string { return fmt.Sprintf("0%02o", v) }

// arg prints argument i, which word describes.
func (l *line) arg(word string, i int) {
	v := l.Args[i]
	switch word {
	case "fd", "d":
		if v>>32 == 0 || v>>32 == math.MaxUint32 { // an int: there may be anything in its upper half
			l.printf("%d", int32(v))
		} else {
			l.printf("%d", int64(v))
		}
	case "at":
		const atFDCWD = -100
		if int32(v) == atFDCWD {
			l.str("AT_FDCWD")
		} else {
			l.printf("%d", int32(v))
		}
	case "u":
		l.printf("%d", v)
	case "x":
		l.str(hex(v))
	case "p":
		l.ptr(v)
	case "mode":
		l.str(octal(v & 0o7777777))
	case "filemode":
		if v&fileType != 0 {
			l.str(fileMode(v & 0o177777))
		} else {
			l.str(octal4(v))
		}
	case "dev":
		l.str(device(v))
	case "sig":
		l.str(signalName(v & math.MaxUint32))
	case "open":
		l.str(openFlags(v))
	case "oflags":
		l.str(flags(v, "open", ""))
	case "map":
		const typeMask = 15
		l.str(flags(v&^typeMask, "map", enum(v&typeMask, "maptype")))
	case "futex":
		l.str(futexOp(v))
	case "futexbits":
		if uint32(v) == math.MaxUint32 {
			l.str("FUTEX_BITSET_MATCH_ANY")
		} else {
			l.str(hex(v & math.MaxUint32))
		}
	case "futexts":
		if cmd := l.Args[1] & 127; cmd == futexWait || cmd == futexWaitBitset {
			l.memory("ts", v, l.data(i, false))
		} else {
			l.str(hex(v))
		}
	case "clone":
		l.str(cloneFlags(v))
	case "socktype":
		const typeMask = 15
		l.str(flags(v&^typeMask&math.MaxUint32, "sockflags", enum(v&typeMask, "socktype")))
	case "statxflags":
		const syncMask = 0x6000
		sync := enum(v&syncMask, "statxsync")
		l.str(flags(v&^syncMask, "atflags", sync))
	case "otid":
		if l.failed() {
			l.ptr(v)
		} else {
			l.printf("[%d]", int64(l.Result))
		}
	case "prctlnum":
		switch l.Args[0] {
		case prSetDumpable:
			l.str(enum(v, "dumpable"))
		case prSetPDeathSig:
			l.str(signalName(v))
		case prCapBSetRead, prCapBSetDrop:
			l.str(enum(v, "cap"))
		default:
			l.printf("%d", v)
		}
	case "fcntlarg":
		l.fcntl(v, i)
	case "ioctlarg":
		l.ioctl(v, i)
	case "archarg":
		const getFS, getGS = 0x1003, 0x1004
		if d := l.data(i, true); !l.failed() && (l.Args[0] == getFS || l.Args[0] == getGS) && len(d.Bytes) == 8 {
			l.printf("[%#x]", u64(d.Bytes))
		} else {
			l.ptr(v)
		}
	case "prctlarg":
		l.memory("str", v, l.data(i, l.Args[0] == prGetName))
	case "frame":
		d := l.data(i, false)
		if len(d.Bytes) == sigFrame {
			l.str("{mask=" + sigSet(u64(d.Bytes[sigFrame-8:])) + "}")
		}
	case "rem":
		const eintr, restartBlock = 4, 516
		if l.Errno == eintr || l.Errno == restartBlock {
			l.memory("ts", v, l.data(i, true))
		} else {
			l.ptr(v)
		}
	case "seltv", "fdset", "pollfds":
		l.memory(word, v, l.data(i, false))
	case "off":
		before, after := l.data(i, false).Bytes, l.data(i, true).Bytes
		if v == 0 || len(before) != 8 {
			l.ptr(v)
			break
		}
		l.printf("[%d]", int64(u64(before)))
		if l.abi.Name == "sendfile" && len(after) == 8 && u64(before) != u64(after) {
			l.printf(" => [%d]", int64(u64(after)))
		}
	case "osockaddr":
		if d := l.data(i, true); l.failed() {
			l.ptr(v)
		} else {
			l.memory("sockaddr", v, d)
		}
	default:
		if word == "ioctl" && names(word) != nil {
			l.str(ioctlName(v))
			return
		}
		if list := names(word); list != nil {
			if slices.Contains(enums, word) {
				l.str(enum(v, word))
			} else {
				l.str(flags(v, word, ""))
			}
			return
		}
		onExit := l.onExit(i)
		if onExit && l.failed() {
			l.ptr(v)
			return
		}
		l.memory(word, v, l.data(i, onExit))
	}
}

// enums are those kinds of numbers that are no sets of bits.
var enums = strings.Fields("fcntl ioctl prctl whence sighow sched rlim clock itimer epop arch_prctl madvise fadvise idtype rusage prio " +
	"membarrier family shut dumpable")

// memory prints what is at v, of which d was captured.
func (l *line) memory(word string, v uint64, d trace.Data) {
	if v == 0 || !d.OK {
		l.ptr(v)
		return
	}
	b := d.Bytes
	if n := max(structs[word], results[word]); len(b) < n { // it ends in a page that is not there
		l.ptr(v)
		return
	}
	switch word {
	case "path", "ostr":
		l.str(quote(b, false))
		if len(b) == maxPath {
			l.str("...")
		}
	case "str":
		l.str(quote(b[:min(len(b), maxShown)], false))
		if len(b) > maxShown {
			l.str("...")
		}
	case "in":
		l.buffer(b, l.length(v, word), false)
	case "out":
		l.buffer(b, l.Result, false)
	case "ohex":
		l.buffer(b, l.Result, true)
	case "iov", "iovout":
		l.vector(d, word == "iovout")
	case "strv":
		l.str("[")
		for n, p := range d.Parts {
			if n > 0 {
				l.str(", ")
			}
			l.memory("str", p.Base, trace.Data{OK: p.OK, Bytes: p.Bytes})
		}
		l.str("]")
	case "ts", "ots":
		l.str(timespec(b))
	case "seltv":
		if l.abi.Name == "select" {
			l.str(timeval(b))
		} else {
			l.str(timespec(b))
		}
	case "tv", "otv":
		l.str(timeval(b))
	case "itv", "oitv":
		l.str("{it_interval=" + timeval(b) + ", it_value=" + timeval(b[16:]) + "}")
	case "itspec", "oitspec":
		l.str("{it_interval=" + timespec(b) + ", it_value=" + timespec(b[16:]) + "}")
	case "ts2":
		l.str("[" + touch(b) + ", " + touch(b[16:]) + "]")
	case "tv2":
		l.str("[" + timeval(b) + ", " + timeval(b[16:]) + "]")
	case "utimbuf":
		l.printf("{actime=%d, modtime=%d}", int64(u64(b)), int64(u64(b[8:])))
	case "sigset", "osigset":
		l.str(sigSet(u64(b)))
	case "sigact", "osigact":
		l.sigaction(b)
	case "sigstack", "osigstack":
		l.printf("{ss_sp=%s, ss_flags=%s, ss_size=%d}", pointer(u64(b)), flags(uint64(u32(b[8:])), "ss", ""), u64(b[16:]))
	case "sigmask":
		l.printf("{sigmask=%s, sigsetsize=%d}", pointer(u64(b)), u64(b[8:]))
	case "siginfo", "osiginfo":
		l.str(sigInfo(b))
	case "sigev":
		l.printf("{sigev_signo=%s, sigev_notify=%s}", signalName(uint64(u32(b[8:]))), enum(uint64(u32(b[12:])), "sigev"))
	case "rlimit", "orlimit":
		l.str("{rlim_cur=" + limit(u64(b)) + ", rlim_max=" + limit(u64(b[8:])) + "}")
	case "orusage":
		l.str("{ru_utime=" + timeval(b) + ", ru_stime=" + timeval(b[16:]) + ", ...}")
	case "osysinfo":
		f := func(at int) uint64 { return u64(b[at:]) }
		l.printf("{uptime=%d, loads=[%d, %d, %d], totalram=%d, freeram=%d, sharedram=%d, bufferram=%d, totalswap=%d, freeswap=%d, procs=%d, totalhigh=%d, freehigh=%d, mem_unit=%d}",
			f(0), f(8), f(16), f(24), f(32), f(40), f(48), f(56), f(64), f(72), u16(b[80:]), f(88), f(96), u32(b[104:]))
	case "otms":
		l.printf("{tms_utime=%d, tms_stime=%d, tms_cutime=%d, tms_cstime=%d}", u64(b), u64(b[8:]), u64(b[16:]), u64(b[24:]))
	case "wstatus":
		l.printf("[%s]", waitStatus(u32(b)))
	case "oint", "schedparam", "oschedparam":
		l.printf("[%d]", int32(u32(b)))
	case "fds":
		l.printf("[%d, %d]", int32(u32(b)), int32(u32(b[4:])))
	case "groups", "ogroups":
		l.list(b, 4, func(e []byte) { l.printf("%d", u32(e)) })
	case "cpuset", "ocpuset":
		l.cpus(b)
	case "uname":
		const field = 65
		l.str("{sysname=" + quote(zeroEnd(b[:field]), false) + ", nodename=" + quote(zeroEnd(b[field:2*field]), false) + ", ...}")
	case "stat":
		l.stat(b)
	case "statx":
		mode := uint64(u16(b[28:]))
		l.printf("{stx_mask=%s, stx_attributes=%s, stx_mode=%s, stx_size=%d, ...}", flags(uint64(u32(b)), "statxmask", ""),
			hex(u64(b[8:])), fileMode(mode), u64(b[40:]))
	case "statfs":
		f := func(at int) uint64 { return u64(b[at:]) }
		l.printf("{f_type=%s, f_bsize=%d, f_blocks=%d, f_bfree=%d, f_bavail=%d, f_files=%d, f_ffree=%d, f_fsid={val=[%s, %s]}, f_namelen=%d, f_frsize=%d, f_flags=%s}",
			enum(f(0), "fstype"), f(8), f(16), f(24), f(32), f(40), f(48), hex(uint64(u32(b[56:]))), hex(uint64(u32(b[60:]))), f(64), f(72), flags(f(80), "st", ""))
	case "pollfds":
		l.list(b, 8, func(e []byte) {
			l.printf("{fd=%d", int32(u32(e)))
			if int32(u32(e)) >= 0 {
				l.str(", events=" + flags(uint64(u16(e[4:])), "poll", ""))
			}
			l.str("}")
		})
	case "fdset":
		l.str(fdSet(b, l.Args[0]))
	case "epev", "epevs":
		event := func(e []byte) {
			data := u64(e[4:])
			l.printf("{events=%s, data={u32=%d, u64=%d}}", flags(uint64(u32(e)), "epoll", ""), uint32(data), data)
		}
		if word == "epev" {
			event(b)
		} else {
			l.list(b, 12, event)
		}
	case "dents", "dents64":
		n := 0
		for r := b; len(r) >= 18; n++ {
			size := int(u16(r[16:]))
			if size == 0 || size > len(r) {
				break
			}
			r = r[size:]
		}
		l.printf("%#x /* %d entries */", v, n)
	case "openhow":
		l.printf("{flags=%s, mode=%s, resolve=%s}", openFlags(u64(b)), octal(u64(b[8:])), hex(u64(b[16:])))
	case "cloneargs":
		l.clone3(v, b)
	case "sockaddr":
		l.str(sockaddr(b))
	case "caphead":
		l.printf("{version=%s, pid=%d}", enum(uint64(u32(b)), "capversion"), int32(u32(b[4:])))
	case "capdata", "ocapdata":
		set := func(at int) string { return hex(uint64(u32(b[at:])) | uint64(u32(b[at+12:]))<<32) }
		l.printf("{effective=%s, permitted=%s, inheritable=%s}", set(0), set(4), set(8))
	default:
		l.ptr(v)
	}
}

// length is how many bytes a buffer has that is at v.
func (l *line) length(v uint64, word string) uint64 {
	for i, w := range l.abi.Args {
		if w == word && l.Args[i] == v && i+1 < len(l.Args) {
			return l.Args[i+1]
		}
	}
	return 0
}

// buffer prints the beginning of a buffer that has n bytes.
func (l *line) buffer(b []byte, n uint64, hex bool) {
	l.str(quote(b, hex))
	if n > uint64(len(b)) {
		l.str("...")
	}
}

// list prints elements of the given size.
func (l *line) list(b []byte, size int, element func(e []byte)) {
	l.str("[")
	for n := 0; len(b) >= size; n++ {
		if n > 0 {
			l.str(", ")
		}
		element(b[:size])
		b = b[size:]
	}
	l.str("]")
}

func (l *line) vector(d trace.Data, read bool) {
	left := uint64(math.MaxUint64)
	if read {
		left = l.Result
	}
	l.str("[")
	for n, p := range d.Parts {
		if n > 0 {
			l.str(", ")
		}
		l.str("{iov_base=")
		shown := min(p.Len, left)
		left -= shown
		if p.OK && p.Base != 0 {
			l.buffer(p.Bytes, shown, false)
		} else {
			l.ptr(p.Base)
		}
		l.printf(", iov_len=%d}", p.Len)
	}
	if n := l.Args[2]; len(d.Parts) > 0 && n > uint64(len(d.Parts)) {
		l.str(", ...")
	}
	l.str("]")
}

func (l *line) sigaction(b []byte) {
	const saRestorer = 0x04000000
	handler, fl := u64(b), u64(b[8:])
	l.str("{sa_handler=" + handlerName(handler) + ", sa_mask=" + sigSet(u64(b[24:])) + ", sa_flags=" + flags(fl, "sa", ""))
	if fl&saRestorer != 0 {
		l.str(", sa_restorer=" + pointer(u64(b[16:])))
	}
	l.str("}")
}

func (l *line) stat(b []byte) {
	mode := uint64(u32(b[24:]))
	l.str("{st_mode=" + fileMode(mode))
	if t := mode & fileType; t == charDevice || t == blockDevice {
		l.str(", st_rdev=" + device(u64(b[40:])))
	} else {
		l.printf(", st_size=%d", int64(u64(b[48:])))
	}
	l.str(", ...}")
}

func (l *line) cpus(b []byte) {
	l.str("[")
	sep := ""
	for i := range len(b) * 8 {
		if b[i/8]>>(i%8)&1 != 0 {
			l.printf("%s%d", sep, i)
			sep = " "
		}
	}
	l.str("]")
}

func (l *line) clone3(v uint64, b []byte) {
	if len(b) < 64 {
		l.ptr(v)
		return
	}
	f := func(i int) uint64 { return u64(b[8*i:]) }
	l.str("{flags=" + flags(f(0), "clone", ""))
	if f(0)&(cloneChildSetTID|cloneChildClearTID) != 0 {
		l.printf(", child_tid=%#x", f(2))
	}
	if f(0)&cloneParentSetTID != 0 {
		l.printf(", parent_tid=%#x", f(3))
	}
	l.printf(", exit_signal=%s, stack=%s, stack_size=%s", signalName(f(4)), pointer(f(5)), hex(f(6)))
	if f(0)&cloneSetTLS != 0 {
		l.printf(", tls=%#x", f(7))
	}
	l.str("}")
	if f(0)&cloneParentSetTID != 0 && l.Over && !l.failed() {
		l.printf(" => {parent_tid=[%d]}", l.Result)
	}
}

// fcntl prints the third argument of fcntl.
func (l *line) fcntl(v uint64, i int) {
	switch cmd := l.Args[1]; {
	case cmd == fSetFD:
		l.str(flags(v, "fdflags", ""))
	case cmd == fSetFL:
		l.str(openFlags(v))
	case cmd >= fGetLk && cmd <= fSetLkw, cmd >= fOFDGetLk && cmd <= fOFDSetLkw:
		d := l.data(i, cmd == fGetLk || cmd == fOFDGetLk)
		if b := d.Bytes; len(b) == structFD {
			l.printf("{l_type=%s, l_whence=%s, l_start=%d, l_len=%d", enum(uint64(u16(b)), "lock"), enum(uint64(u16(b[2:])), "whence"), int64(u64(b[8:])), int64(u64(b[16:])))
			if cmd == fGetLk || cmd == fOFDGetLk {
				l.printf(", l_pid=%d", int32(u32(b[24:])))
			}
			l.str("}")
		} else {
			l.ptr(v)
		}
	default:
		l.printf("%d", int64(v))
	}
}

// ioctl prints the third argument of ioctl.
func (l *line) ioctl(v uint64, i int) {
	const tiocgwinsz, tiocswinsz, tiocgpgrp, tiocspgrp, fionread, fionbio = 0x5413, 0x5414, 0x540f, 0x5410, 0x541b, 0x5421
	set := l.Args[1] == tiocswinsz || l.Args[1] == tiocspgrp || l.Args[1] == fionbio
	b := l.data(i, !set).Bytes
	switch cmd := l.Args[1]; {
	case l.failed() && !set || len(b) < 8:
		l.ptr(v)
	case cmd == tiocgwinsz || cmd == tiocswinsz:
		l.printf("{ws_row=%d, ws_col=%d, ws_xpixel=%d, ws_ypixel=%d}", u16(b), u16(b[2:]), u16(b[4:]), u16(b[6:]))
	case cmd == tiocgpgrp || cmd == tiocspgrp || cmd == fionread || cmd == fionbio:
		l.printf("[%d]", int32(u32(b)))
	default:
		l.ptr(v)
	}
}

// note returns what strace says of a result, or what it prints instead of it.
func (l *line) note() (note, whole string) {
	v := l.Result
	switch l.abi.Name {
	case "poll", "ppoll":
		if v == 0 {
			return "Timeout", ""
		}
		var list []string
		for b := l.data(0, true).Bytes; len(b) >= 8; b = b[8:] {
			if revents := u16(b[6:]); revents != 0 {
				list = append(list, fmt.Sprintf("{fd=%d, revents=%s}", int32(u32(b)), flags(uint64(revents), "poll", "")))
			}
		}
		note = "[" + strings.Join(list, ", ") + "]"
		if b := l.data(2, true).Bytes; l.abi.Name == "ppoll" && len(b) == 16 {
			note += ", left " + timespec(b)
		}
		return note, ""
	case "select", "pselect6":
		if v == 0 {
			return "Timeout", ""
		}
		var list []string
		for i, name := range []string{"", "in", "out", "except"} {
			if i == 0 || l.Args[i] == 0 {
				continue
			}
			if b := l.data(i, true).Bytes; len(b) > 0 && fdSet(b, l.Args[0]) != "[]" {
				list = append(list, name+" "+fdSet(b, l.Args[0]))
			}
		}
		if b := l.data(4, true).Bytes; l.Args[4] != 0 && len(b) == 16 && l.abi.Name == "select" {
			list = append(list, "left "+timeval(b))
		} else if l.Args[4] != 0 && len(b) == 16 {
			list = append(list, "left "+timespec(b))
		}
		return strings.Join(list, ", "), ""
	case "fcntl":
		switch {
		case l.Args[1] == fGetFL:
			return "", fmt.Sprintf("%s (flags %s)", hex(v), openFlags(v))
		case l.Args[1] == fGetFD && v != 0:
			return "", fmt.Sprintf("%#x (flags %s)", v, flags(v, "fdflags", ""))
		}
	case "prctl":
		if l.Args[0] == prGetDumpable {
			return enum(v, "dumpable"), ""
		}
	}
	return "", ""
}

func u16(b []byte) uint16 { return binary.LittleEndian.Uint16(b) }
func u32(b []byte) uint32 { return binary.LittleEndian.Uint32(b) }
func u64(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }
