package linux

import (
	"runtime"
	"strings"
	"testing"
	"unsafe"
)

// traced returns what strace prints for a call.
func traced(t *testing.T, nr uintptr, result uintptr, err Errno, args ...uintptr) string {
	t.Helper()
	th := testThreads(1)[0]
	var out string
	k := th.proc.kernel
	k.Log = func(s string) { out += s }
	if name := k.Trace(""); name != "" {
		t.Fatal(name)
	}
	th.work.Store(workTrace)
	r := th.regs
	for i, p := range []*uintptr{&r.DI, &r.SI, &r.DX, &r.R10, &r.R8, &r.R9} {
		if i < len(args) {
			*p = args[i]
		}
	}
	th.nr, r.AX = nr, result
	if err != 0 {
		r.AX = err.Result()
	}
	th.trace(err)
	_, out, _ = strings.Cut(out, "] ")
	return strings.TrimSuffix(out, "\n")
}

func TestStrace(t *testing.T) {
	var pin runtime.Pinner
	defer pin.Unpin()
	at := func(p any, a unsafe.Pointer) uintptr { pin.Pin(p); return uintptr(a) }
	path := append([]byte("/etc/passwd"), 0)
	text := []byte("hello \"world\"\n\x01")
	long := []byte(strings.Repeat("x", 100))
	ts := &timespec{1, 5}
	act := &sigAction{handler: 1, flags: saRestart | saRestorer, mask: sigBit(SIGINT) | sigBit(SIGTERM)}
	iov := []iovec{{at(&text[0], unsafe.Pointer(&text[0])), 5}, {0, 0}}
	set := new(sigSet)
	*set = ^sigSet(0)
	minus := func(n int) uintptr { return uintptr(n) }
	pathAt, textAt, longAt := at(&path[0], unsafe.Pointer(&path[0])), at(&text[0], unsafe.Pointer(&text[0])), at(&long[0], unsafe.Pointer(&long[0]))

	for _, c := range []struct{ got, want string }{
		{traced(t, 257, 3, 0, minus(-100)&(1<<32-1), pathAt, 0o2000000), `openat(AT_FDCWD, "/etc/passwd", O_RDONLY|O_CLOEXEC) = 3`},
		{traced(t, 257, 0, ENOENT, minus(-100), pathAt, 0o101, 0o644), `openat(AT_FDCWD, "/etc/passwd", O_WRONLY|O_CREAT, 0644) = -1 ENOENT`},
		{traced(t, 1, 15, 0, 1, textAt, uintptr(len(text))), `write(1, "hello \"world\"\n\001", 15) = 15`},
		{traced(t, 0, 100, 0, 0, longAt, 200), `read(0, "` + strings.Repeat("x", 32) + `"..., 200) = 100`},
		{traced(t, 20, 5, 0, 1, at(&iov[0], unsafe.Pointer(&iov[0])), 2), `writev(1, [{iov_base="hello", iov_len=5}, {iov_base="", iov_len=0}], 2) = 5`},
		{traced(t, 9, 0x7ffff7000000, 0, 0, 4096, 3, 0x22, minus(-1), 0),
			`mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0x0) = 0x7ffff7000000`},
		{traced(t, 13, 0, 0, SIGINT, at(act, unsafe.Pointer(act)), 0, 8),
			`rt_sigaction(SIGINT, {sa_handler=SIG_IGN, sa_mask=[INT TERM], sa_flags=SA_RESTORER|SA_RESTART}, NULL, 8) = 0`},
		{traced(t, 14, 0, 0, 2, at(set, unsafe.Pointer(set)), 0, 8), `rt_sigprocmask(SIG_SETMASK, ~[], NULL, 8) = 0`},
		{traced(t, 202, 0, ETIMEDOUT, 0x1000, 128, 7, at(ts, unsafe.Pointer(ts))),
			`futex(0x1000, FUTEX_WAIT_PRIVATE, 7, {tv_sec=1, tv_nsec=5}, NULL, 0x0) = -1 ETIMEDOUT`},
		{traced(t, 39, 1, 0), `getpid() = 1`},
		{traced(t, 35, 0, eRestartBlock, 0, 0), `nanosleep(NULL, NULL) = ? ERESTART_RESTARTBLOCK`},
		{traced(t, 234, 0, 0, 1, 2, SIGURG), `tgkill(1, 2, SIGURG) = 0`},
		{traced(t, 1000, 0, ENOSYS, 1, 2, 3, 4, 5, 6), `syscall_1000(0x1, 0x2, 0x3, 0x4, 0x5, 0x6) = -1 ENOSYS`},
		{traced(t, 8, 1<<33, 0, 3, 1<<33, 1), `lseek(3, 8589934592, SEEK_CUR) = 0x200000000`},
		{traced(t, 10, 0, 0, 0x1000, 4096, 0), `mprotect(0x1000, 4096, PROT_NONE) = 0`},
	} {
		if c.got != c.want {
			t.Errorf("got  %s\nwant %s", c.got, c.want)
		}
	}
}

func TestTraceFilter(t *testing.T) {
	k := NewKernel()
	if name := k.Trace("open,nonsense"); name != "nonsense" {
		t.Errorf("accepted %q", name)
	}
	if name := k.Trace("openat,mmap"); name != "" {
		t.Fatal(name)
	}
	for nr, want := range map[uintptr]bool{257: true, 9: true, 0: false, 1: false, numCalls: true} {
		if k.traced.has(nr) != want {
			t.Errorf("call %d traced: %v", nr, !want)
		}
	}
}
