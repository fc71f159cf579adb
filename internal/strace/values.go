package strace

import (
	"bytes"
	"fmt"
	"math"
	"math/bits"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// enum is the name of v among a kind of numbers, or v with a hint.
func enum(v uint64, kind string) string {
	list := names(kind)
	for _, e := range list {
		if e.n == v || int64(e.n) < 0 && uint32(e.n) == uint32(v) {
			return e.name
		}
	}
	if len(list) == 0 {
		return hex(v)
	}
	prefix, _, _ := strings.Cut(list[0].name, "_")
	return fmt.Sprintf("%s /* %s_??? */", hex(v), prefix)
}

// flags are the names of the bits of v, after first unless that is empty.
func flags(v uint64, kind, first string) string {
	var set []string
	if first != "" {
		set = append(set, first)
	}
	list := names(kind)
	left := v
	for _, e := range list {
		if e.n == 0 && v == 0 && first == "" {
			return e.name
		}
		if e.n != 0 && left&e.n == e.n {
			set = append(set, e.name)
			left &^= e.n
		}
	}
	switch {
	case left != 0 && len(set) == 0 && len(list) > 0:
		prefix, _, _ := strings.Cut(list[0].name, "_")
		return fmt.Sprintf("%#x /* %s_??? */", left, prefix)
	case left != 0:
		set = append(set, fmt.Sprintf("%#x", left))
	case len(set) == 0:
		return "0"
	}
	return strings.Join(set, "|")
}

func openFlags(v uint64) string {
	const accessMode = 3
	return flags(v&^accessMode, "open", []string{"O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE"}[v&accessMode])
}

func cloneFlags(v uint64) string {
	const signalMask = 0xff
	sig := v & signalMask
	s := flags(v&^signalMask, "clone", "")
	switch {
	case sig == 0:
		return s
	case v == sig:
		return signalName(sig)
	}
	return s + "|" + signalName(sig)
}

func futexOp(v uint64) string {
	const private, realtime, last = 128, 256, 13
	if v&^(private|realtime)&math.MaxUint32 > last {
		return enum(v&math.MaxUint32, "futex")
	}
	s := enum(v&^(private|realtime)&math.MaxUint32, "futex")
	if v&private != 0 {
		s += "_PRIVATE"
	}
	if v&realtime != 0 {
		s += "|FUTEX_CLOCK_REALTIME"
	}
	return s
}

// ioctlName is a request's name, or what its number is made of (asm-generic/ioctl.h).
func ioctlName(v uint64) string {
	for _, e := range names("ioctl") {
		if e.n == v&math.MaxUint32 {
			return e.name
		}
	}
	dir := []string{"_IOC_NONE", "_IOC_WRITE", "_IOC_READ", "_IOC_READ|_IOC_WRITE"}[v>>30&3]
	return fmt.Sprintf("_IOC(%s, %s, %s, %s)", dir, hex(v>>8&0xff), hex(v&0xff), hex(v>>16&0x3fff))
}

func fileMode(mode uint64) string {
	return enum(mode&fileType, "filetype") + "|" + octal4(mode&^fileType)
}

// octal4 is v as the permissions of a file.
func octal4(v uint64) string { return fmt.Sprintf("0%03o", v) }

func device(v uint64) string {
	return fmt.Sprintf("makedev(%s, %s)", hex(uint64(unix.Major(v))), hex(uint64(unix.Minor(v))))
}

func limit(v uint64) string {
	switch {
	case v == math.MaxUint64:
		return "RLIM64_INFINITY"
	case v > 1024 && v%1024 == 0:
		return fmt.Sprintf("%d*1024", v/1024)
	}
	return fmt.Sprint(v)
}

func numbers(unit string, v ...int64) string {
	return fmt.Sprintf("{tv_sec=%d, %s=%d}", v[0], unit, v[1])
}

func timespec(b []byte) string { return numbers("tv_nsec", int64(u64(b)), int64(u64(b[8:]))) }
func timeval(b []byte) string  { return numbers("tv_usec", int64(u64(b)), int64(u64(b[8:]))) }

// touch is a time of utimensat.
func touch(b []byte) string {
	const now, omit = 1<<30 - 1, 1<<30 - 2
	switch u64(b[8:]) {
	case now:
		return "UTIME_NOW"
	case omit:
		return "UTIME_OMIT"
	}
	at := time.Unix(int64(u64(b)), int64(u64(b[8:])))
	form := "2006-01-02T15:04:05.000000000-0700"
	if at.Nanosecond() == 0 {
		form = "2006-01-02T15:04:05-0700"
	}
	return timespec(b) + " /* " + at.Format(form) + " */"
}

// fdSet is a set of descriptors below n.
func fdSet(b []byte, n uint64) string {
	var list []string
	for i := range min(uint64(len(b))*8, n) {
		if b[i/8]>>(i%8)&1 != 0 {
			list = append(list, fmt.Sprint(i))
		}
	}
	return "[" + strings.Join(list, " ") + "]"
}

// quote is b as a C string: in hexadecimal if asked for.
func quote(b []byte, hex bool) string {
	var s strings.Builder
	s.WriteByte('"')
	for i, c := range b {
		switch {
		case hex:
			fmt.Fprintf(&s, `\x%02x`, c)
		case c == '"' || c == '\\':
			s.WriteByte('\\')
			s.WriteByte(c)
		case c >= '\t' && c <= '\r':
			s.WriteByte('\\')
			s.WriteByte("tnvfr"[c-'\t'])
		case c >= ' ' && c < 0x7f:
			s.WriteByte(c)
		case i+1 < len(b) && b[i+1] >= '0' && b[i+1] <= '9':
			fmt.Fprintf(&s, `\%03o`, c)
		default:
			fmt.Fprintf(&s, `\%o`, c)
		}
	}
	s.WriteByte('"')
	return s.String()
}

// zeroEnd is b up to its first zero byte.
func zeroEnd(b []byte) []byte {
	s, _, _ := bytes.Cut(b, []byte{0})
	return s
}

// errorText is what a call that failed returned: number, name and words.
func errorText(errno int) string {
	switch errno {
	case 512:
		return "? ERESTARTSYS (To be restarted if SA_RESTART is set)"
	case 513:
		return "? ERESTARTNOINTR (To be restarted)"
	case 514:
		return "? ERESTARTNOHAND (To be restarted if no handler)"
	case 516:
		return "? ERESTART_RESTARTBLOCK (Interrupted by signal)"
	}
	e := syscall.Errno(errno)
	name := unix.ErrnoName(e)
	if name == "ENOTSUP" {
		name = "EOPNOTSUPP"
	}
	if name == "" {
		return fmt.Sprintf("-1 (errno %d)", errno)
	}
	words := e.Error() // of the C library, but for the first letter
	return "-1 " + name + " (" + strings.ToUpper(words[:1]) + words[1:] + ")"
}

// Signals.

const (
	sigRTMin = 32
	numSig   = 64
)

func signalName(sig uint64) string {
	switch {
	case sig == sigRTMin:
		return "SIGRTMIN"
	case sig > sigRTMin && sig <= numSig:
		return fmt.Sprintf("SIGRT_%d", sig-sigRTMin)
	case sig > 0 && sig < sigRTMin:
		return unix.SignalName(syscall.Signal(sig))
	}
	return fmt.Sprint(int32(sig))
}

// sigSet is a set of signals, or what is not in it if that is less.
func sigSet(set uint64) string {
	not := ""
	if bits.OnesCount64(set) >= numSig*2/3 {
		set, not = ^set, "~"
	}
	var list []string
	for ; set != 0; set &= set - 1 {
		list = append(list, strings.TrimPrefix(signalName(uint64(bits.TrailingZeros64(set)+1)), "SIG"))
	}
	return not + "[" + strings.Join(list, " ") + "]"
}

func handlerName(v uint64) string {
	switch v {
	case 0:
		return "SIG_DFL"
	case 1:
		return "SIG_IGN"
	}
	return fmt.Sprintf("%#x", v)
}

// sigInfo is the beginning of a siginfo_t.
func sigInfo(b []byte) string {
	sig, code := uint64(u32(b)), int32(u32(b[8:]))
	s := "{si_signo=" + signalName(sig) + ", si_code="
	kind := map[uint64]string{uint64(unix.SIGSEGV): "segv", uint64(unix.SIGBUS): "bus", uint64(unix.SIGFPE): "fpe",
		uint64(unix.SIGILL): "ill", uint64(unix.SIGTRAP): "trap", uint64(unix.SIGCHLD): "chld"}[sig]
	const siKernel, siQueue, siTimer = 0x80, -1, -2
	sent := kind == "" || code <= 0 || code >= siKernel
	if sent {
		kind = "sicode"
	}
	s += enum(uint64(code), kind)
	switch {
	case kind == "chld":
		s += fmt.Sprintf(", si_pid=%d, si_uid=%d, si_status=%d", int32(u32(b[16:])), u32(b[20:]), int32(u32(b[24:])))
	case !sent:
		s += ", si_addr=" + pointer(u64(b[16:]))
	case code == siTimer:
		s += fmt.Sprintf(", si_timerid=%#x, si_overrun=%d, si_value={int=%d, ptr=%s}", u32(b[16:]), int32(u32(b[20:])), int32(u32(b[24:])), pointer(u64(b[24:])))
	case code == siQueue:
		s += fmt.Sprintf(", si_pid=%d, si_uid=%d, si_value={int=%d, ptr=%s}", int32(u32(b[16:])), u32(b[20:]), int32(u32(b[24:])), pointer(u64(b[24:])))
	case code == siKernel && synchronous(sig):
		s += ", si_addr=NULL"
	case code != siKernel:
		s += fmt.Sprintf(", si_pid=%d, si_uid=%d", int32(u32(b[16:])), u32(b[20:]))
	}
	return s + "}"
}

// synchronous says whether a signal is about what the thread itself has done.
func synchronous(sig uint64) bool {
	switch syscall.Signal(sig) {
	case unix.SIGSEGV, unix.SIGBUS, unix.SIGFPE, unix.SIGILL, unix.SIGTRAP:
		return true
	}
	return false
}

// signalLine is what strace prints of a signal between dashes.
func signalLine(info []byte) string { return signalName(uint64(u32(info))) + " " + sigInfo(info) }

func waitStatus(v uint32) string {
	w := syscall.WaitStatus(v)
	switch {
	case w.Exited():
		return fmt.Sprintf("{WIFEXITED(s) && WEXITSTATUS(s) == %d}", w.ExitStatus())
	case w.Signaled() && w.CoreDump():
		return fmt.Sprintf("{WIFSIGNALED(s) && WTERMSIG(s) == %s && WCOREDUMP(s)}", signalName(uint64(w.Signal())))
	case w.Signaled():
		return fmt.Sprintf("{WIFSIGNALED(s) && WTERMSIG(s) == %s}", signalName(uint64(w.Signal())))
	}
	return hex(uint64(v))
}

func sockaddr(b []byte) string {
	if len(b) < 2 {
		return fmt.Sprintf("%q", b)
	}
	family, rest := u16(b), b[2:]
	port := func() int { return int(rest[0])<<8 | int(rest[1]) }
	s := "{sa_family=" + enum(uint64(family), "family")
	switch {
	case family == unix.AF_UNIX && len(rest) > 0 && rest[0] == 0:
		s += ", sun_path=@" + quote(rest[1:], false)
	case family == unix.AF_UNIX && len(rest) > 0:
		s += ", sun_path=" + quote(zeroEnd(rest), false)
	case family == unix.AF_INET && len(rest) >= 6:
		s += fmt.Sprintf(", sin_port=htons(%d), sin_addr=inet_addr(%q)", port(), netip.AddrFrom4([4]byte(rest[2:6])))
	case family == unix.AF_INET6 && len(rest) >= 26:
		s += fmt.Sprintf(", sin6_port=htons(%d), sin6_flowinfo=htonl(%d), inet_pton(AF_INET6, %q, &sin6_addr), sin6_scope_id=%d",
			port(), uint32(rest[2])<<24|uint32(rest[3])<<16|uint32(rest[4])<<8|uint32(rest[5]), netip.AddrFrom16([16]byte(rest[6:22])), u32(rest[22:]))
	case len(rest) > 0:
		s += ", sa_data=" + quote(rest, false)
	}
	return s + "}"
}
