package linux

import (
	"strconv"
	"unsafe"

	"gosv/kernel/errno"
)

// Tracing: every system call as strace(1) prints it, when it is over, and every
// signal. What the words in the descriptions of table.go stand for is in
// argument, the names of flags and numbers are in names.go.

// callSet is a set of system call numbers.
type callSet [(numCalls + 63) / 64]uint64

func (s *callSet) has(nr uintptr) bool { return nr >= numCalls || s[nr/64]>>(nr%64)&1 != 0 }

// Trace turns tracing on for processes that are started later: of the calls in
// list, names with commas between them, or of all if it is empty. It returns the
// first name that is no system call's.
func (k *Kernel) Trace(list string) (unknown string) {
	k.traced = new(callSet)
	if list == "" {
		for i := range k.traced {
			k.traced[i] = ^uint64(0)
		}
		return ""
	}
	for list != "" {
		var name string
		name, list, _ = cut(list, ',')
		nr := k.callNumber(name)
		if nr < 0 {
			return name
		}
		k.traced[nr/64] |= 1 << (nr % 64)
	}
	return ""
}

func (k *Kernel) callNumber(name string) int {
	for nr := range k.calls {
		if n, _, _ := cut(k.calls[nr].desc, '('); n == name && n != "" {
			return nr
		}
	}
	return -1
}

// trace prints the call t made last, whose handler returned err.
func (t *Thread) trace(err Errno) {
	if !t.proc.kernel.traced.has(t.nr) {
		return
	}
	w := t.traceCall(err)
	w.str(" = ")
	v := t.regs.AX
	switch {
	case err >= eRestartSys:
		w.str("? ")
		w.str(err.Error())
	case err != 0:
		w.str("-1 ")
		w.str(err.Error())
	case v >= 1<<32 || w.addressResult():
		w.hex(v)
	default:
		w.dec(int64(v))
	}
	w.flush()
}

// traceExit prints a call that does not return.
func (t *Thread) traceExit() {
	if t.work.Load()&workTrace != 0 && t.proc.kernel.traced.has(t.nr) {
		w := t.traceCall(0)
		w.str(" = ?")
		w.flush()
	}
}

// traceCall starts a line with the name and arguments of a call.
func (t *Thread) traceCall(err Errno) *traceLine {
	w := t.newLine()
	desc, args := "", ""
	if t.nr < numCalls {
		desc = t.calls[t.nr].desc
	}
	name, rest, ok := cut(desc, '(')
	if ok {
		args, _, _ = cut(rest, ')')
	} else {
		name, args = "syscall_"+strconv.Itoa(int(t.nr)), "x,x,x,x,x,x"
	}
	w.str(name)
	w.str("(")
	a := (*Args)(t.regs)
	w.args = [7]uintptr{a.Arg1(), a.Arg2(), a.Arg3(), a.Arg4(), a.Arg5(), a.Arg6(), 0}
	w.result, w.err = t.regs.AX, err
	n := 0
	for args != "" {
		var kind string
		kind, args, _ = cut(args, ',')
		if n > 0 {
			if kind == "mode" && !w.creates(n) {
				break
			}
			w.str(", ")
		}
		w.argument(kind, n)
		n++
	}
	w.str(")")
	return w
}

// traceSignal prints a signal that t is about to handle.
func (t *Thread) traceSignal(info *sigInfo) {
	if t.work.Load()&workTrace == 0 {
		return
	}
	w := t.newLine()
	w.str("--- ")
	w.signal(int(info.signo))
	w.str(" {si_signo=")
	w.signal(int(info.signo))
	w.str(", si_code=")
	w.sigCode(info)
	switch {
	case info.code == siUser || info.code == siTKill || info.code == siQueue:
		w.str(", si_pid=")
		w.dec(int64(uint32(info.field[0])))
		w.str(", si_uid=")
		w.dec(int64(info.field[0] >> 32))
	case info.code != siKernel && synchronous.has(int(info.signo)):
		w.str(", si_addr=")
		w.ptr(uintptr(info.field[0]))
	}
	w.str("} ---")
	w.flush()
}

// traceText prints a remark.
func (t *Thread) traceText(s string) {
	if t.work.Load()&workTrace != 0 {
		w := t.newLine()
		w.str("+++ ")
		w.str(s)
		w.str(" +++")
		w.flush()
	}
}

// traceLine is a line being made.
type traceLine struct {
	t      *Thread
	buf    []byte
	args   [7]uintptr
	result uintptr
	err    Errno
}

func (t *Thread) newLine() *traceLine {
	w := &traceLine{t: t, buf: make([]byte, 0, 256)}
	w.str("[")
	w.dec(int64(t.tid))
	w.str("] ")
	return w
}

func (w *traceLine) flush()        { w.t.proc.kernel.log(string(w.buf)) }
func (w *traceLine) str(s string)  { w.buf = append(w.buf, s...) }
func (w *traceLine) dec(v int64)   { w.buf = strconv.AppendInt(w.buf, v, 10) }
func (w *traceLine) hex(v uintptr) { w.str("0x"); w.buf = strconv.AppendUint(w.buf, uint64(v), 16) }
func (w *traceLine) oct(v uint64)  { w.str("0"); w.buf = strconv.AppendUint(w.buf, v, 8) }

func (w *traceLine) ptr(v uintptr) {
	if v == 0 {
		w.str("NULL")
	} else {
		w.hex(v)
	}
}

// creates says whether the flags before argument n make open look at its mode.
func (w *traceLine) creates(n int) bool {
	const oCreat, oTmpfile = 0o100, 0o20000000
	name, _, _ := cut(w.t.calls[w.t.nr].desc, '(')
	return name != "open" && name != "openat" || w.args[n-1]&(oCreat|oTmpfile) != 0
}

// addressResult says whether the call returns an address.
func (w *traceLine) addressResult() bool {
	const mmap, brk, mremap, shmat = 9, 12, 25, 30
	nr := w.t.nr
	return nr == mmap || nr == brk || nr == mremap || nr == shmat
}

// argument prints argument i. Those that the kernel fills in are printed as pointers
// if the call failed.
func (w *traceLine) argument(kind string, i int) {
	v := w.args[i]
	switch kind {
	case "fd":
		w.dec(int64(int32(v)))
	case "d": // an int, in whose upper half there may be anything, or an offset
		if v>>32 == 0 || v>>32 == 1<<32-1 {
			w.dec(int64(int32(v)))
		} else {
			w.dec(int64(v))
		}
	case "u":
		w.buf = strconv.AppendUint(w.buf, uint64(v), 10)
	case "x":
		w.hex(v)
	case "mode":
		w.oct(uint64(v) & 0o7777777)
	case "at":
		const atFDCWD = -100
		if int32(v) == atFDCWD {
			w.str("AT_FDCWD")
		} else {
			w.dec(int64(int32(v)))
		}
	case "path", "str":
		w.cString(v)
	case "strv":
		w.pointers(v)
	case "in":
		w.data(v, w.args[i+1])
	case "open":
		w.openFlags(v)
	case "sig":
		w.signal(int(int32(v)))
	case "out", "iovout", "stat", "fds", "uname", "epevs", "ots", "otv", "oitv", "oitspec", "osigset", "osigact", "orlimit":
		if w.err != 0 || v == 0 {
			w.ptr(v)
		} else {
			w.structure(kind, v, i)
		}
	case "iov", "ts", "tv", "itv", "itspec", "sigset", "sigact", "rlimit", "pollfds", "epev":
		if v == 0 {
			w.ptr(v)
		} else {
			w.structure(kind, v, i)
		}
	case "futexts":
		if cmd := w.args[1] & 127; v != 0 && (cmd == futexWait || cmd == futexWaitBitset) {
			w.structure("ts", v, i)
		} else {
			w.ptr(v)
		}
	case "fcntl", "ioctl", "prctl", "whence", "sighow", "sched", "rlim", "clock", "itimer", "epop", "arch_prctl", "madvise":
		w.enum(v, names(kind))
	case "futex":
		w.enum(v&127, names(kind))
		if v&futexPrivate != 0 {
			w.str("_PRIVATE")
		}
		if v&futexRealtime != 0 {
			w.str("|FUTEX_CLOCK_REALTIME")
		}
	case "map":
		w.enum(v&mapTypeMask, "1 MAP_SHARED 2 MAP_PRIVATE 3 MAP_SHARED_VALIDATE")
		if v &^= mapTypeMask; v != 0 {
			w.str("|")
			w.flags(v, names(kind))
		}
	default:
		if list := names(kind); list != "" {
			w.flags(v, list)
		} else {
			w.ptr(v)
		}
	}
}

// structure prints what is at v; i is the number of the argument.
func (w *traceLine) structure(kind string, v uintptr, i int) {
	switch kind {
	case "out":
		w.data(v, w.result)
	case "fds":
		var fd [2]int32
		if w.load(unsafe.Pointer(&fd), v, unsafe.Sizeof(fd)) {
			w.fields("[", "", int64(fd[0]), "", int64(fd[1]))
			w.str("]")
		}
	case "iov", "iovout":
		w.iovecs(v, w.args[i+1], kind == "iovout")
	case "ts", "ots":
		var ts timespec
		if w.load(unsafe.Pointer(&ts), v, unsafe.Sizeof(ts)) {
			w.timespec(ts)
		}
	case "tv", "otv":
		var tv timeval
		if w.load(unsafe.Pointer(&tv), v, unsafe.Sizeof(tv)) {
			w.timeval(tv)
		}
	case "itv", "oitv":
		var tv [2]timeval
		if w.load(unsafe.Pointer(&tv), v, unsafe.Sizeof(tv)) {
			w.str("{it_interval=")
			w.timeval(tv[0])
			w.str(", it_value=")
			w.timeval(tv[1])
			w.str("}")
		}
	case "itspec", "oitspec":
		var ts itimerSpec
		if w.load(unsafe.Pointer(&ts), v, unsafe.Sizeof(ts)) {
			w.str("{it_interval=")
			w.timespec(ts.interval)
			w.str(", it_value=")
			w.timespec(ts.value)
			w.str("}")
		}
	case "sigset", "osigset":
		var set sigSet
		if w.load(unsafe.Pointer(&set), v, unsafe.Sizeof(set)) {
			w.sigSet(set)
		}
	case "sigact", "osigact":
		var act sigAction
		if w.load(unsafe.Pointer(&act), v, unsafe.Sizeof(act)) {
			w.str("{sa_handler=")
			switch act.handler {
			case sigDefault:
				w.str("SIG_DFL")
			case sigIgnore:
				w.str("SIG_IGN")
			default:
				w.hex(act.handler)
			}
			w.str(", sa_mask=")
			w.sigSet(act.mask)
			w.str(", sa_flags=")
			w.flags(act.flags, names("sa"))
			w.str("}")
		}
	case "rlimit", "orlimit":
		var l rlimit
		if w.load(unsafe.Pointer(&l), v, unsafe.Sizeof(l)) {
			w.str("{rlim_cur=")
			w.limit(l.soft)
			w.str(", rlim_max=")
			w.limit(l.hard)
			w.str("}")
		}
	case "uname":
		var u utsname
		if w.load(unsafe.Pointer(&u), v, unsafe.Sizeof(u)) {
			w.str("{sysname=")
			w.quote(u[0][:], true, false)
			w.str(", nodename=")
			w.quote(u[1][:], true, false)
			w.str(", ...}")
		}
	case "stat":
		var st [18]uint64 // struct stat: mode is half of word 3, size is word 6
		if w.load(unsafe.Pointer(&st), v, unsafe.Sizeof(st)) {
			w.str("{st_mode=")
			w.enum(uintptr(st[3]&0o170000), names("stat"))
			w.str("|")
			w.oct(st[3] & 0o7777)
			w.fields(", ", "st_size=", int64(st[6]))
			w.str(", ...}")
		}
	case "pollfds":
		w.pollFDs(v, w.args[i+1])
	case "epev":
		w.epollEvents(v, 1)
	case "epevs":
		w.str("[")
		w.epollEvents(v, w.result)
		w.str("]")
	}
}

// load reads a structure, or prints its address.
func (w *traceLine) load(p unsafe.Pointer, addr, n uintptr) bool {
	if w.t.space.readSome(p, addr, n) != n {
		w.ptr(addr)
		return false
	}
	return true
}

// fields prints name and value pairs after a prefix.
func (w *traceLine) fields(prefix string, pairs ...any) {
	w.str(prefix)
	for i := 0; i < len(pairs); i += 2 {
		if i > 0 {
			w.str(", ")
		}
		w.str(pairs[i].(string))
		w.dec(pairs[i+1].(int64))
	}
}

func (w *traceLine) timespec(ts timespec) {
	w.fields("{", "tv_sec=", ts.sec, "tv_nsec=", ts.nsec)
	w.str("}")
}

func (w *traceLine) timeval(tv timeval) {
	w.fields("{", "tv_sec=", tv.sec, "tv_usec=", tv.usec)
	w.str("}")
}

func (w *traceLine) limit(v uint64) {
	if v == unlimited {
		w.str("RLIM64_INFINITY")
	} else {
		w.buf = strconv.AppendUint(w.buf, v, 10)
	}
}

const (
	maxShown  = 32 // bytes of a string or buffer, as strace does
	maxListed = 16 // elements of a list
)

// data prints the n bytes at addr, or the first of them.
func (w *traceLine) data(addr, n uintptr) {
	var b [maxShown]byte
	k := w.t.CopyInSome(b[:min(n, maxShown)], addr)
	if k == 0 && n > 0 {
		w.ptr(addr)
		return
	}
	w.quote(b[:k], false, n > uintptr(k))
}

// cString prints the string at addr.
func (w *traceLine) cString(addr uintptr) {
	s, err := w.t.copyInPath(addr)
	if err != 0 {
		w.ptr(addr)
		return
	}
	w.quote([]byte(s), false, false)
}

// quote prints b as a C string, to its first zero byte if zero is set, with
// dots after it if there is more.
func (w *traceLine) quote(b []byte, zero, more bool) {
	w.str(`"`)
	for _, c := range b {
		switch {
		case c == 0 && zero:
			w.str(`"`)
			return
		case c == '\n':
			w.str(`\n`)
		case c == '\t':
			w.str(`\t`)
		case c == '\r':
			w.str(`\r`)
		case c == '"' || c == '\\':
			w.buf = append(w.buf, '\\', c)
		case c < ' ' || c >= 0x7f:
			w.buf = append(w.buf, '\\', '0'+c>>6, '0'+c>>3&7, '0'+c&7)
		default:
			w.buf = append(w.buf, c)
		}
	}
	w.str(`"`)
	if more {
		w.str("...")
	}
}

// pointers prints a list of strings that ends with a null pointer.
func (w *traceLine) pointers(addr uintptr) {
	w.str("[")
	for i := range uintptr(maxListed) {
		var p uintptr
		if copyIn(w.t, &p, addr+i*8) != 0 || p == 0 {
			break
		}
		if i > 0 {
			w.str(", ")
		}
		w.cString(p)
	}
	w.str("]")
}

// iovecs prints n of them; after reading only what the call has filled.
func (w *traceLine) iovecs(addr, n uintptr, read bool) {
	w.str("[")
	left := w.result
	for i := range min(n, maxListed) {
		var v iovec
		if copyIn(w.t, &v, addr+i*16) != 0 {
			break
		}
		if i > 0 {
			w.str(", ")
		}
		w.str("{iov_base=")
		shown := v.len
		if read {
			shown = min(shown, left)
			left -= shown
		}
		w.data(v.base, shown)
		w.fields("", ", iov_len=", int64(v.len))
		w.str("}")
	}
	w.str("]")
}

func (w *traceLine) pollFDs(addr, n uintptr) {
	w.str("[")
	for i := range min(n, maxListed) {
		var p struct {
			fd              int32
			events, revents uint16
		}
		if copyIn(w.t, &p, addr+i*8) != 0 {
			break
		}
		if i > 0 {
			w.str(", ")
		}
		w.fields("{", "fd=", int64(p.fd))
		w.str(", events=")
		w.flags(uintptr(p.events), names("poll"))
		if w.err == 0 && p.revents != 0 {
			w.str(", revents=")
			w.flags(uintptr(p.revents), names("poll"))
		}
		w.str("}")
	}
	w.str("]")
}

func (w *traceLine) epollEvents(addr, n uintptr) {
	for i := range min(n, maxListed) {
		var e struct{ events, data, high uint32 } // packed
		if copyIn(w.t, &e, addr+i*12) != 0 {
			break
		}
		if i > 0 {
			w.str(", ")
		}
		w.str("{events=")
		w.flags(uintptr(e.events), names("epoll"))
		w.str(", data=")
		w.hex(uintptr(e.high)<<32 | uintptr(e.data))
		w.str("}")
	}
}

func (w *traceLine) openFlags(v uintptr) {
	const accessMode = 3
	w.enum(v&accessMode, "0 O_RDONLY 1 O_WRONLY 2 O_RDWR 3 O_ACCMODE")
	if v &^= accessMode; v != 0 {
		w.str("|")
		w.flags(v, names("open"))
	}
}

func (w *traceLine) signal(sig int) {
	switch name := errno.Word(signalNames, sig); {
	case name != "":
		w.str("SIG")
		w.str(name)
	case sig >= sigRTMin && sig <= numSig:
		w.str("SIGRT_")
		w.dec(int64(sig - sigRTMin))
	default:
		w.dec(int64(sig))
	}
}

// sigSet prints a set, or what is not in it if that is less.
func (w *traceLine) sigSet(set sigSet) {
	if set == ^sigSet(0) {
		w.str("~[]")
		return
	}
	w.str("[")
	for first := true; set != 0; set &= set - 1 {
		if !first {
			w.str(" ")
		}
		first = false
		sig := set.first()
		if name := errno.Word(signalNames, sig); name != "" {
			w.str(name)
		} else {
			w.str("RT_")
			w.dec(int64(sig - sigRTMin))
		}
	}
	w.str("]")
}

func (w *traceLine) sigCode(info *sigInfo) {
	list := "0 SI_USER -1 SI_QUEUE -2 SI_TIMER -6 SI_TKILL 128 SI_KERNEL"
	if info.code > 0 && info.code < siKernel {
		switch info.signo {
		case SIGSEGV:
			list = "1 SEGV_MAPERR 2 SEGV_ACCERR"
		case SIGBUS:
			list = "1 BUS_ADRALN 2 BUS_ADRERR"
		case SIGFPE:
			list = "1 FPE_INTDIV 3 FPE_FLTDIV 4 FPE_FLTOVF 5 FPE_FLTUND 6 FPE_FLTRES 7 FPE_FLTINV"
		case SIGILL:
			list = "2 ILL_ILLOPN"
		case SIGTRAP:
			list = "1 TRAP_BRKPT 2 TRAP_TRACE"
		}
	}
	w.enum(uintptr(info.code), list)
}

// enum prints the name of v in a list of numbers and names, or v.
func (w *traceLine) enum(v uintptr, list string) {
	for list != "" {
		var n uintptr
		var name string
		n, name, list = nextName(list)
		if n == v {
			w.str(name)
			return
		}
	}
	if int64(v) < 0 || v < 10 {
		w.dec(int64(v))
	} else {
		w.hex(v)
	}
}

// flags prints the names of the bits in v; 0 prints as it is or as the name that
// the list has for it.
func (w *traceLine) flags(v uintptr, list string) {
	whole, sep := v, ""
	for list != "" {
		var n uintptr
		var name string
		n, name, list = nextName(list)
		if n == 0 && whole == 0 {
			w.str(name)
			return
		}
		if n != 0 && v&n == n {
			w.str(sep)
			w.str(name)
			sep = "|"
			v &^= n
		}
	}
	switch {
	case v != 0:
		w.str(sep)
		w.hex(v)
	case whole == 0:
		w.str("0")
	}
}

// nextName takes a number and a name off a list.
func nextName(list string) (n uintptr, name, rest string) {
	num, rest, _ := cut(list, ' ')
	name, rest, _ = cut(rest, ' ')
	v, _ := strconv.ParseInt(num, 0, 64)
	return uintptr(v), name, rest
}
