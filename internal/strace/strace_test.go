package strace

import (
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"gosv/internal/abi"
	"gosv/internal/trace"
)

// call makes an event of a call by name.
func call(t *testing.T, tid int, name string, args ...uint64) *trace.Call {
	t.Helper()
	c, ok := abi.Find(name)
	if !ok {
		t.Fatalf("no %s", name)
	}
	e := &trace.Call{TID: tid, NR: c.Number, Args: make([]uint64, len(c.Args)), Over: true, Duration: 1500 * time.Millisecond}
	copy(e.Args, args)
	e.Data = make([]trace.Data, len(callPlan(&c).Captures))
	return e
}

func printed(t *testing.T, events ...trace.Event) string {
	t.Helper()
	plan, err := Select("all")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	p := NewPrinter(&b, plan)
	for _, e := range events {
		p.Event(e)
	}
	p.Close()
	return b.String()
}

// Calls that wait are told apart where others come in between.
func TestUnfinished(t *testing.T) {
	waits := func(tid int) *trace.Call {
		c := call(t, tid, "read", 5, 4096, 10)
		c.Waited, c.Over = true, false
		return c
	}
	ends := func(tid int) *trace.Call {
		c := call(t, tid, "read", 5, 4096, 10)
		c.Waited, c.Result, c.Data[0] = true, 2, trace.Data{OK: true, Bytes: []byte("hi")}
		return c
	}
	exit := call(t, 1, "exit_group", 3)
	exit.Waited, exit.Over = true, false
	for _, c := range []struct {
		name   string
		events []trace.Event
		want   string
	}{
		{"alone", []trace.Event{trace.Thread{TID: 1}, waits(1), ends(1)},
			"read(5, \"hi\", 10)                       = 2 <1.500000>\n"},
		{"another between", []trace.Event{trace.Thread{TID: 1}, trace.Thread{TID: 2}, waits(1), call(t, 2, "getpid"), ends(1)},
			"[pid     1] read(5,  <unfinished ...>\n" +
				"[pid     2] getpid()                                = 0 <1.500000>\n" +
				"[pid     1] <... read resumed>\"hi\", 10)             = 2 <1.500000>\n"},
		{"never", []trace.Event{trace.Thread{TID: 1}, waits(1)}, "read(5,  <unfinished ...>\n"},
		{"exit", []trace.Event{trace.Thread{TID: 1}, exit, trace.End{TID: 1, Status: 3}},
			"exit_group(3)                           = ?\n+++ exited with 3 +++\n"},
		{"killed", []trace.Event{trace.Thread{TID: 1}, trace.End{TID: 1, Status: 139, Signal: 11, Core: true}},
			"+++ killed by SIGSEGV (core dumped) +++\n"},
	} {
		if got := printed(t, c.events...); got != c.want {
			t.Errorf("%s:\n%s\nwant:\n%s", c.name, got, c.want)
		}
	}
}

func TestSignals(t *testing.T) {
	info := func(signo, code int32, a, b uint64) (e trace.Signal) {
		e.TID = 1
		binary.LittleEndian.PutUint32(e.Info[0:], uint32(signo))
		binary.LittleEndian.PutUint32(e.Info[8:], uint32(code))
		binary.LittleEndian.PutUint64(e.Info[16:], a)
		binary.LittleEndian.PutUint64(e.Info[24:], b)
		return e
	}
	for _, c := range []struct {
		e    trace.Signal
		want string
	}{
		{info(11, 1, 0x18, 0), "SIGSEGV {si_signo=SIGSEGV, si_code=SEGV_MAPERR, si_addr=0x18}"},
		{info(11, 0x80, 0, 0), "SIGSEGV {si_signo=SIGSEGV, si_code=SI_KERNEL, si_addr=NULL}"},
		{info(11, 0, 7, 0), "SIGSEGV {si_signo=SIGSEGV, si_code=SI_USER, si_pid=7, si_uid=0}"},
		{info(14, 0x80, 0, 0), "SIGALRM {si_signo=SIGALRM, si_code=SI_KERNEL}"},
		{info(35, -1, 1, 42), "SIGRT_3 {si_signo=SIGRT_3, si_code=SI_QUEUE, si_pid=1, si_uid=0, si_value={int=42, ptr=0x2a}}"},
		{info(8, 1, 0x401000, 0), "SIGFPE {si_signo=SIGFPE, si_code=FPE_INTDIV, si_addr=0x401000}"},
	} {
		if got := printed(t, c.e); got != "--- "+c.want+" ---\n" {
			t.Errorf("got %swant %s", got, c.want)
		}
	}
}

func TestValues(t *testing.T) {
	in4 := []byte{2, 0, 0x1f, 0x90, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}
	in6 := append([]byte{10, 0, 0, 80, 0, 0, 0, 0, 15: 0}, make([]byte, 12)...)
	in6[23] = 1
	for _, c := range []struct{ got, want string }{
		{quote([]byte("a\x001\x00b\xff\v"), false), `"a\0001\0b\377\v"`},
		{sigSet(0), "[]"}, {sigSet(^uint64(0)), "~[]"}, {sigSet(1<<31 | 1<<33), "[RTMIN RT_2]"}, {sigSet(^uint64(1)), "~[HUP]"},
		{flags(0, "prot", ""), "PROT_NONE"}, {flags(0x40000001, "prot", ""), "PROT_READ|0x40000000"}, {flags(0, "atflags", ""), "0"},
		{flags(0x80000, "memfd", ""), "0x80000 /* MFD_??? */"},
		{openFlags(0o2000), "O_RDONLY|O_APPEND"}, {openFlags(0o4010001), "O_WRONLY|O_SYNC"},
		{limit(1 << 20), "1024*1024"}, {limit(1023), "1023"}, {limit(^uint64(0)), "RLIM64_INFINITY"},
		{cloneFlags(17), "SIGCHLD"}, {cloneFlags(0x100 | 17), "CLONE_VM|SIGCHLD"},
		{errorText(2), "-1 ENOENT (No such file or directory)"}, {errorText(95), "-1 EOPNOTSUPP (Operation not supported)"}, {errorText(11), "-1 EAGAIN (Resource temporarily unavailable)"},
		{errorText(999), "-1 (errno 999)"},
		{sockaddr(in4), `{sa_family=AF_INET, sin_port=htons(8080), sin_addr=inet_addr("127.0.0.1")}`},
		{sockaddr(in6), `{sa_family=AF_INET6, sin6_port=htons(80), sin6_flowinfo=htonl(0), inet_pton(AF_INET6, "::1", &sin6_addr), sin6_scope_id=0}`},
		{sockaddr([]byte("\x01\x00/run/x\x00")), `{sa_family=AF_UNIX, sun_path="/run/x"}`},
		{waitStatus(0x300), "{WIFEXITED(s) && WEXITSTATUS(s) == 3}"}, {waitStatus(0x8b), "{WIFSIGNALED(s) && WTERMSIG(s) == SIGSEGV && WCOREDUMP(s)}"},
		{futexOp(128), "FUTEX_WAIT_PRIVATE"}, {futexOp(9 | 256), "FUTEX_WAIT_BITSET|FUTEX_CLOCK_REALTIME"},
	} {
		if c.got != c.want {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
	}
}

func TestSelect(t *testing.T) {
	number := func(name string) int { c, _ := abi.Find(name); return c.Number }
	for list, c := range map[string]struct{ in, out string }{
		"open,mmap":    {"open mmap", "read openat"},
		"%file":        {"open openat stat unlink execve getcwd", "read mmap getpid"},
		"%desc":        {"read write openat poll epoll_ctl pipe2", "getpid brk"},
		"%memory,read": {"mmap brk read", "write"},
		"%signal":      {"rt_sigaction kill", "read"},
		"!read":        {"write open", "read"},
		"!%memory":     {"read", "mmap brk"},
		"all":          {"read mmap fork", ""},
	} {
		plan, err := Select(list)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range strings.Fields(c.in) {
			if _, ok := plan[number(name)]; !ok {
				t.Errorf("%s without %s", list, name)
			}
		}
		for _, name := range strings.Fields(c.out) {
			if _, ok := plan[number(name)]; ok {
				t.Errorf("%s with %s", list, name)
			}
		}
	}
	for list, want := range map[string]string{"opne": "open", "read,": "", "%fiel": "%file", "": "", "!nothing_like_it": "gosv abi"} {
		if _, err := Select(list); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", list, err)
		}
	}
}

// Whatever the kernel reports can be printed.
func FuzzPrinter(f *testing.F) {
	plan, err := Select("all")
	if err != nil {
		f.Fatal(err)
	}
	for _, c := range abi.Calls() { // a call with captures of zeros, each
		body := []byte{'c', 1}
		body = binary.AppendUvarint(body, uint64(c.Number))
		body = append(body, make([]byte, 20)...)
		f.Add(append(binary.AppendUvarint(nil, uint64(len(body))), body...))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var b strings.Builder
		p := NewPrinter(&b, plan)
		r := trace.NewReader(&trace.Plan{Calls: plan}, p.Event)
		r.Write(in)
		p.Close()
	})
}

// Every call's captures can have any size: what was cut is printed as an address.
func TestShortCaptures(t *testing.T) {
	sizes := []int{64, 88, 112, 120, 144, 255, 256, 303, 304, 390}
	for size := range 41 {
		sizes = append(sizes, size)
	}
	for _, c := range abi.Calls() {
		for _, size := range sizes {
			for _, ok := range []bool{false, true} {
				for cmd := range uint64(2) { // what fcntl, prctl and the like do with the rest
					e := call(t, 1, c.Name, 1, cmd*9+1, cmd*0x540f+1, 1, 1, 1)
					for i := range e.Data {
						e.Data[i] = trace.Data{OK: ok, Bytes: make([]byte, size)}
					}
					printed1(t, e)
				}
			}
		}
	}
}

func printed1(t *testing.T, c *trace.Call) {
	a := abi.Calls()
	i := 0
	for a[i].Number != c.NR {
		i++
	}
	l := &line{Call: c, abi: &a[i], plan: callPlan(&a[i])}
	before, after := l.format()
	if s := before + after + ")" + l.result(); !strings.HasPrefix(s, a[i].Name+"(") {
		t.Error(s)
	}
}
