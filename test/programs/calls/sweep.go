package main

import (
	"bufio"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A sweep makes each call of a family with each argument wrong in each way, on descriptors
// of all kinds; what is not wrong is what is drawn when nothing is chosen.

// kept are what a sweep leaves alone, by call and argument (-1: all of it), and why.
var kept = map[string]int{
	"kill":              -1, // other processes
	"tgkill":            -1,
	"tkill":             -1,
	"rt_sigqueueinfo":   -1,
	"rt_tgsigqueueinfo": -1,
	"queue":             -1,
	"queue blocked":     -1,
	"sethostname":       -1, // the host's
	"close":             -1, // standard output
	"close_range":       -1,
	"dup3":              -1,
	"alarm":             -1, // SIGALRM
	"setitimer":         -1,
	"personality":       -1, // is kept
	"seccomp":           -1, // 0 is strict mode
	"chroot":            -1,
	"prlimit64":         1,  // limits that bind
	"fallocate":         -1, // all the memory there is

	"futex lock_pi":         -1, // would wait, and the word could not be written
	"futex unlock_pi":       -1,
	"futex requeue_pi":      -1,
	"futex wait_requeue_pi": -1,

	"rt_sigtimedwait": 2, // would wait
	"ppoll":           2,
	"poll":            2,
	"epoll_wait":      3,
	"epoll_pwait":     3,
	"epoll_pwait2":    3,
	"nanosleep":       0,
	"clock_nanosleep": 2,
	"futex":           3,
	"futex wait":      3,
}

// ends are descriptors of all kinds.
var ends = []struct {
	name string
	open func() (int, error)
}{
	{"file", func() (int, error) { return unix.Open("c", unix.O_RDWR|unix.O_CREAT, 0o644) }},
	{"file to read", func() (int, error) { return unix.Open("c", unix.O_RDONLY, 0) }},
	{"file to write", func() (int, error) { return unix.Open("c", unix.O_WRONLY, 0) }},
	{"path", func() (int, error) { return unix.Open("c", unix.O_PATH, 0) }},
	{"directory", func() (int, error) { return unix.Open("a", unix.O_RDONLY|unix.O_DIRECTORY, 0) }},
	{"pipe to read", func() (int, error) { return pipe(0) }},
	{"pipe to write", func() (int, error) { return pipe(1) }},
	{"stream", func() (int, error) { return pair(unix.SOCK_STREAM) }},
	{"datagrams", func() (int, error) { return pair(unix.SOCK_DGRAM) }},
	{"eventfd", func() (int, error) { return unix.Eventfd(1, unix.EFD_NONBLOCK) }},
	{"timerfd", func() (int, error) { return unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK) }},
	{"epoll", func() (int, error) { return unix.EpollCreate1(0) }},
	{"inotify", func() (int, error) { return unix.InotifyInit1(unix.IN_NONBLOCK) }},
	{"memfd", func() (int, error) { return unix.MemfdCreate("m", unix.MFD_ALLOW_SEALING) }},
}

// The other ends are left open: nobody closes what a sweep has, but the next kind.
func pipe(end int) (int, error) {
	var p [2]int
	err := unix.Pipe2(p[:], unix.O_NONBLOCK)
	return p[end], err
}

func pair(kind int) (int, error) {
	p, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_NONBLOCK, 0)
	return p[0], err
}

// wrong are values that are no good argument of most calls.
func (g *world) wrong() []uintptr {
	guard := g.data + (dataPages-1)*pageSize
	readOnly := g.area
	return []uintptr{0, g.data + 1, guard, guard - 1, guard - 4, readOnly, readOnly + 1, 1<<47 - 8, 1 << 47, 1 << 63, 0xffff800000000000,
		^uintptr(0), ^uintptr(4095), 1 << 30, 1<<31 - 1, 1 << 31, 1<<32 - 1, 1 << 62}
}

func sweep(out *bufio.Writer, name string, f family) error {
	// Standard input is one of the wrong descriptors: it must not be a file that matters.
	input, err := pipe(0)
	if err != nil {
		return err
	}
	if err := unix.Dup3(input, 0, 0); err != nil {
		return err
	}
	usesFD := func(c *call) bool {
		g := &world{source: &source{}, fds: []int{0}, data: dataAt}
		g.last = -7
		for _, a := range c.args {
			a(g)
		}
		return g.last != -7
	}
	done := map[string]bool{}
	for i := range f.calls {
		c := &f.calls[i]
		if n := fmt.Sprint(c.name, len(c.args)); kept[c.name] < 0 || done[n] {
			continue
		} else {
			done[n] = true
		}
		if err := sweepCall(out, f, c, usesFD); err != nil {
			return err
		}
	}
	return nil
}

func sweepCall(out *bufio.Writer, f family, c *call, usesFD func(c *call) bool) error {
	g, err := newWorld(&source{}, f)
	if err != nil {
		return err
	}
	defer func() {
		unix.CloseRange(3, outsideFD-1, 0)
		g.close()
	}()
	unix.RawSyscall(unix.SYS_MPROTECT, g.area, pageSize, unix.PROT_READ)
	for _, end := range ends {
		fd, err := end.open()
		if err != nil {
			return err
		}
		g.fds = []int{fd}
		for i := range c.args {
			if at, ok := kept[c.name]; ok && at == i {
				continue
			}
			var results []string
			for _, w := range g.wrong() {
				results = append(results, g.try(c, i, w, fd))
			}
			fmt.Fprintf(out, "%s of %s, argument %d: %s\n", c.name, end.name, i, strings.Join(results, " "))
			out.Flush()
		}
		if !usesFD(c) {
			break
		}
	}
	return nil
}

// try makes c with its argument at being v.
func (g *world) try(c *call, at int, v uintptr, fd int) string {
	g.used = 0
	var args [6]uintptr
	for i, a := range c.args {
		args[i], _, _ = a(g)
	}
	args[at] = v
	r, _, err := unix.Syscall6(c.nr, args[0], args[1], args[2], args[3], args[4], args[5])
	if err != 0 {
		return strings.TrimPrefix(unix.ErrnoName(err), "E")
	}
	if c.result == newFD && int(r) != fd && !slices.Contains([]int{0, 1, 2, outsideFD, devFD, mapsFD}, int(r)) {
		unix.Close(int(r))
	}
	return "ok"
}
