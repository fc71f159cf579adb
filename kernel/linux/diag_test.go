package linux

import (
	"errors"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"gosv/internal/strace"
	"gosv/internal/trace"
	"gosv/kernel/wait"
)

// reported returns what the host prints of a call that returns result or err, and has
// these arguments.
func reported(t *testing.T, nr uintptr, result uintptr, err Errno, args ...uintptr) string {
	t.Helper()
	th := testThreads(1)[0]
	k := th.proc.kernel
	fake := *k.calls
	fake[nr].run = func(*Thread, *Args) (uintptr, Errno) { return result, err }
	k.calls = &fake
	calls, serr := strace.Select("all")
	if serr != nil {
		t.Fatal(serr)
	}
	plan := trace.Plan{Calls: calls}
	var out strings.Builder
	p := strace.NewPrinter(&out, calls)
	reader := trace.NewReader(&plan, p.Event)
	if !k.Diagnose(plan.Encode(), func(r []byte) { reader.Write(r) }) {
		t.Fatal("the kernel does not take the plan")
	}
	th.reported()
	r := th.regs
	for i, p := range []*uintptr{&r.DI, &r.SI, &r.DX, &r.R10, &r.R8, &r.R9} {
		if i < len(args) {
			*p = args[i]
		}
	}
	th.nr = nr
	if v, e := th.calls[nr].run(th, (*Args)(r)); v != result || e != err {
		t.Errorf("call %d returns %d, %v when it is reported, not %d, %v", nr, v, e, result, err)
	}
	if err := reader.Err(); err != nil {
		t.Fatal(err)
	}
	s, _, _ := strings.Cut(out.String(), " <")
	return strings.Join(strings.Fields(s), " ")
}

// What the kernel reports of a call is what the host prints.
func TestReportedCalls(t *testing.T) {
	var pin runtime.Pinner
	defer pin.Unpin()
	at := func(p any, a unsafe.Pointer) uintptr { pin.Pin(p); return uintptr(a) }
	path := append([]byte("/etc/passwd"), 0)
	text := []byte("hello \"world\"\n\x01")
	long := []byte(strings.Repeat("x", 100))
	longPath := append([]byte(strings.Repeat("/long", 200)), 0)
	ts := &timespec{1, 5}
	act := &sigAction{handler: 1, flags: saRestart | saRestorer, restorer: 0x1234, mask: sigBit(SIGINT) | sigBit(SIGTERM)}
	iov := []iovec{{at(&text[0], unsafe.Pointer(&text[0])), 5}, {0, 0}}
	many := make([]iovec, 100)
	set := new(sigSet)
	*set = ^sigSet(0)
	minus := func(n int) uintptr { return uintptr(n) }
	pathAt, textAt, longAt := at(&path[0], unsafe.Pointer(&path[0])), at(&text[0], unsafe.Pointer(&text[0])), at(&long[0], unsafe.Pointer(&long[0]))
	argv := []uintptr{pathAt, textAt, 0}
	const bad = 1 << 63

	for _, c := range []struct{ got, want string }{
		{reported(t, 257, 3, 0, minus(-100)&(1<<32-1), pathAt, 0o2000000), `openat(AT_FDCWD, "/etc/passwd", O_RDONLY|O_CLOEXEC) = 3`},
		{reported(t, 257, 0, ENOENT, minus(-100), pathAt, 0o101, 0o644), `openat(AT_FDCWD, "/etc/passwd", O_WRONLY|O_CREAT, 0644) = -1 ENOENT (No such file or directory)`},
		{reported(t, 257, 0, EFAULT, minus(-100), bad, 0), `openat(AT_FDCWD, 0x8000000000000000, O_RDONLY) = -1 EFAULT (Bad address)`},
		{reported(t, 80, 0, 0, at(&longPath[0], unsafe.Pointer(&longPath[0]))), `chdir("` + strings.Repeat("/long", 200) + `") = 0`},
		{reported(t, 1, 15, 0, 1, textAt, uintptr(len(text))), `write(1, "hello \"world\"\n\1", 15) = 15`},
		{reported(t, 1, 0, EFAULT, 1, bad, 15), `write(1, 0x8000000000000000, 15) = -1 EFAULT (Bad address)`},
		{reported(t, 1, 0, EINVAL, 1, longAt, minus(-1)), `write(1, "` + strings.Repeat("x", 32) + `"..., 18446744073709551615) = -1 EINVAL (Invalid argument)`},
		{reported(t, 0, 100, 0, 0, longAt, 200), `read(0, "` + strings.Repeat("x", 32) + `"..., 200) = 100`},
		{reported(t, 0, 0, EAGAIN, 0, longAt, 200), `read(0, 0x`}, // and its address
		{reported(t, 20, 5, 0, 1, at(&iov[0], unsafe.Pointer(&iov[0])), 2), `writev(1, [{iov_base="hello", iov_len=5}, {iov_base=NULL, iov_len=0}], 2) = 5`},
		{reported(t, 20, 0, 0, 1, at(&many[0], unsafe.Pointer(&many[0])), 100), `writev(1, [` + strings.Repeat("{iov_base=NULL, iov_len=0}, ", 16) + `...], 100) = 0`},
		{reported(t, 20, 0, EFAULT, 1, bad, 2), `writev(1, 0x8000000000000000, 2) = -1 EFAULT (Bad address)`},
		{reported(t, 20, 0, 0, 1, 0x1000, 0), `writev(1, [], 0) = 0`},
		{reported(t, 59, 0, ENOSYS, pathAt, at(&argv[0], unsafe.Pointer(&argv[0])), 0), `execve("/etc/passwd", ["/etc/passwd", "hello \"world\"\n\1"], NULL) = -1 ENOSYS (Function not implemented)`},
		{reported(t, 9, 0x7ffff7000000, 0, 0, 4096, 3, 0x22, minus(-1), 0),
			`mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7ffff7000000`},
		{reported(t, 13, 0, 0, SIGINT, at(act, unsafe.Pointer(act)), 0, 8),
			`rt_sigaction(SIGINT, {sa_handler=SIG_IGN, sa_mask=[INT TERM], sa_flags=SA_RESTORER|SA_RESTART, sa_restorer=0x1234}, NULL, 8) = 0`},
		{reported(t, 14, 0, 0, 2, at(set, unsafe.Pointer(set)), 0, 8), `rt_sigprocmask(SIG_SETMASK, ~[], NULL, 8) = 0`},
		{reported(t, 202, 0, ETIMEDOUT, 0x1000, 128, 7, at(ts, unsafe.Pointer(ts))),
			`futex(0x1000, FUTEX_WAIT_PRIVATE, 7, {tv_sec=1, tv_nsec=5}) = -1 ETIMEDOUT (Connection timed out)`},
		{reported(t, 39, 1, 0), `getpid() = 1`},
		{reported(t, 35, 0, eRestartBlock, 0, 0), `nanosleep(NULL, NULL) = ? ERESTART_RESTARTBLOCK (Interrupted by signal)`},
		{reported(t, 234, 0, 0, 1, 2, SIGURG), `tgkill(1, 2, SIGURG) = 0`},
		{reported(t, 8, 1<<33, 0, 3, 1<<33, 1), `lseek(3, 8589934592, SEEK_CUR) = 8589934592`},
		{reported(t, 10, 0, 0, 0x1000, 4096, 0), `mprotect(0x1000, 4096, PROT_NONE) = 0`},
		{reported(t, 231, 0, 0, 7), `exit_group(7) = ?`},
	} {
		if c.got != c.want && (!strings.HasSuffix(c.want, "0x") || !strings.HasPrefix(c.got, c.want)) {
			t.Errorf("got  %s\nwant %s", c.got, c.want)
		}
	}
}

// A call that waits is reported before its end, and whole.
func TestReportedWait(t *testing.T) {
	th := testThreads(1)[0]
	k := th.proc.kernel
	fake := *k.calls
	fake[0].run = func(t *Thread, a *Args) (uintptr, Errno) {
		t.stopClock()
		t.startClock()
		t.stopClock()
		t.startClock()
		return 0, EINTR
	}
	k.calls = &fake
	calls, _ := strace.Select("read")
	plan := trace.Plan{Calls: calls}
	var events []trace.Event
	reader := trace.NewReader(&plan, func(e trace.Event) { events = append(events, e) })
	if !k.Diagnose(plan.Encode(), func(r []byte) { reader.Write(r) }) {
		t.Fatal("the kernel does not take the plan")
	}
	th.reported()
	th.calls[0].run(th, (*Args)(th.regs))
	th.reportSignal(&sigInfo{signo: SIGINT})
	var waits, over int
	for _, e := range events {
		switch e := e.(type) {
		case *trace.Call:
			if e.Over {
				over++
				if waits != 1 || !e.Waited || Errno(e.Errno) != EINTR {
					t.Errorf("%+v", e)
				}
			} else {
				waits++
			}
		}
	}
	if err := reader.Err(); err != nil || waits != 1 || over != 1 {
		t.Errorf("%v; reported %d times that it waits, %d that it is over", err, waits, over)
	}
	if s, ok := events[len(events)-1].(trace.Signal); !ok || s.Info[0] != SIGINT {
		t.Errorf("%+v is no signal", events[len(events)-1])
	}
}

// A thread that waits in a call when the host begins to look says so, to all who look, and
// how it ends.
func TestReportedWaiting(t *testing.T) {
	th := testThreads(1)[0]
	k := th.proc.kernel
	fake := *k.calls
	waiting, goOn := make(chan bool), make(chan bool)
	fake[0].run = func(t *Thread, a *Args) (uintptr, Errno) {
		ended := false
		var q wait.Queue
		go func() { waiting <- true; <-goOn; ended = true; q.Wake() }()
		return 7, t.Wait(&q, never, func() bool { return ended })
	}
	k.calls, th.calls = &fake, &fake
	calls, _ := strace.Select("read")
	plan := trace.Plan{Calls: calls}
	events := make(chan *trace.Call, 10)
	watch := func() *trace.Reader {
		return trace.NewReader(&plan, func(e trace.Event) {
			if c, ok := e.(*trace.Call); ok {
				events <- c
			}
		})
	}
	var readers []*trace.Reader
	send := func(record []byte) {
		for _, r := range readers {
			r.Write(record)
		}
	}
	look := func() {
		readers = append(readers, watch())
		if !k.Diagnose(plan.Encode(), send) {
			t.Error("the kernel does not take the plan")
		}
		th.work.Or(workReport | workWaiting)
		th.wake()
	}
	returned := make(chan Errno)
	go func() {
		th.startClock()
		th.nr, th.regs.DI, th.regs.DX = 0, 5, 100
		v, err := th.calls[0].run(th, (*Args)(th.regs))
		th.regs.AX = v
		th.leaveCall(err)
		returned <- err
	}()
	<-waiting
	look()
	if c := <-events; c.Over || c.NR != 0 || c.Args[0] != 5 || c.Args[2] != 100 {
		t.Errorf("%+v", c)
	}
	look()
	if c := <-events; c.Over || c.Args[0] != 5 { // the second one's: to the first it is no news
		t.Errorf("%+v", c)
	}
	goOn <- true
	<-returned
	for range 2 {
		if c := <-events; !c.Over || c.Result != 7 || c.Errno != 0 {
			t.Errorf("%+v", c)
		}
	}
	if err := errors.Join(readers[0].Err(), readers[1].Err()); err != nil || len(events) > 0 || th.work.Load() != 0 {
		t.Errorf("%v, %d events more, work %#x", err, len(events), th.work.Load())
	}
}

// A plan is checked: an image may be anybody's.
func FuzzDiagnose(f *testing.F) {
	calls, err := strace.Select("all")
	if err != nil {
		f.Fatal(err)
	}
	f.Add((&trace.Plan{Calls: calls, Schedule: true}).Encode())
	f.Add([]byte{})
	f.Add([]byte{0, 0, 0, 6, 0, 1, 5, 2, 0, 1, 0, 1, 0})
	f.Fuzz(func(t *testing.T, plan []byte) {
		th := testThreads(1)[0]
		k := th.proc.kernel
		fake := [numCalls]call{}
		k.calls = &fake
		if !k.Diagnose(plan, func(r []byte) {}) {
			return
		}
		th.reported()
		for nr := range th.calls {
			if th.calls[nr].run != nil {
				th.nr = uintptr(nr)
				th.calls[nr].run(th, (*Args)(th.regs))
			}
		}
	})
}

// What is not zero of a page is sent, and little else.
func TestCorePage(t *testing.T) {
	for name, c := range map[string]struct {
		fill func(p *corePage)
		most int // bytes of records
	}{
		"zero":  {func(p *corePage) {}, 0},
		"first": {func(p *corePage) { p[0] = 1 }, 24},
		"last":  {func(p *corePage) { p[511] = 1 }, 24},
		"all": {func(p *corePage) {
			for i := range p {
				p[i] = ^uint64(0)
			}
		}, 4096 + 16},
		"every 2nd": {func(p *corePage) {
			for i := 0; i < len(p); i += 2 {
				p[i] = 1
			}
		}, 4096 + 16},
		"every 16th": {func(p *corePage) {
			for i := 0; i < len(p); i += 16 {
				p[i] = 1
			}
		}, 32 * 24},
		"two far": {func(p *corePage) { p[100], p[300] = 1, 2 }, 48},
	} {
		var page, got corePage
		c.fill(&page)
		const at = 0x7ffff7ff0000
		sent := 0
		reader := trace.NewReader(&trace.Plan{}, func(e trace.Event) {
			d := e.(trace.CoreData)
			copy(unsafe.Slice((*byte)(unsafe.Pointer(&got)), pageSize)[d.Addr-at:], d.Bytes)
		})
		d := diagnosis{send: func(r []byte) { sent += len(r); reader.Write(r) }}
		var r record
		d.corePage(&r, at, &page)
		if reader.Err() != nil || got != page || sent > c.most {
			t.Errorf("%s: %v, the same: %v, with %d bytes", name, reader.Err(), got == page, sent)
		}
	}
}
