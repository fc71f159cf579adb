// calls makes random system calls and prints what came of each, so that two
// kernels can be compared. It makes the same calls whenever it draws the same
// bytes and gets the same answers.
//
//	calls FAMILY FROM TO N         sequences of N calls, from seeds FROM to TO-1
//	calls replay FAMILY HEX ...    sequences whose choices are these bytes
//	calls sweep FAMILY ...         each call with everything that can be wrong
//
// Each sequence works in a directory of its own, made in the working directory,
// which is its root.
package main

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

func main() {
	runtime.LockOSThread()
	out := bufio.NewWriter(os.Stdout)
	err := run(out, os.Args[1:])
	out.Flush()
	if err != nil {
		fmt.Fprintln(os.Stderr, "calls:", err)
		os.Exit(1)
	}
}

func run(out *bufio.Writer, args []string) error {
	if len(args) < 2 || args[0] != "replay" && args[0] != "sweep" && len(args) != 4 {
		return fmt.Errorf("calls FAMILY FROM TO N, calls replay FAMILY HEX ..., or calls sweep FAMILY ...")
	}
	if err := outside(); err != nil {
		return err
	}
	if args[0] == "sweep" {
		for _, name := range args[1:] {
			if err := sweep(out, name, families[name]); err != nil {
				return err
			}
		}
		return nil
	}
	if args[0] == "replay" {
		for args = args[1:]; len(args) >= 2; args = args[2:] {
			choices, err := hex.DecodeString(args[1])
			if err != nil {
				return err
			}
			fmt.Fprintln(out, "seed", args[0], args[1])
			if err := sequence(out, args[0], &source{bytes: choices}, 0); err != nil {
				return err
			}
		}
		return nil
	}
	var n [3]int
	for i := range n {
		var err error
		if n[i], err = strconv.Atoi(args[i+1]); err != nil {
			return err
		}
	}
	for seed := n[0]; seed < n[1]; seed++ {
		fmt.Fprintln(out, "seed", seed)
		if err := sequence(out, args[0], &source{rand: rand.New(rand.NewPCG(uint64(seed), 0))}, n[2]); err != nil {
			return err
		}
	}
	return nil
}

// source gives the choices of a sequence, and notes them.
type source struct {
	rand  *rand.Rand
	bytes []byte // instead
	drawn []byte
}

// more says whether there is another choice.
func (s *source) more() bool { return s.rand != nil || len(s.bytes) > 0 }

// n returns a number below n, which is at most 256.
func (s *source) n(n int) int {
	var b byte
	if s.rand != nil {
		b = byte(s.rand.Uint32())
	} else if len(s.bytes) > 0 {
		b, s.bytes = s.bytes[0], s.bytes[1:]
	}
	s.drawn = append(s.drawn, b)
	return int(b) % n
}

// oneIn is true once in n times.
func (s *source) oneIn(n int) bool { return s.n(n) == n-1 }

// pick returns one of list.
func pick[T any](s *source, list ...T) T { return list[s.n(len(list))] }

// sequence makes n calls, or as many as there are choices for, and says of each what
// it was, what came of it, and by which bytes so far it was drawn.
func sequence(out *bufio.Writer, name string, s *source, n int) error {
	f, ok := families[name]
	if !ok {
		return fmt.Errorf("there is no family %q", name)
	}
	g, err := newWorld(s, f)
	if err != nil {
		return err
	}
	defer g.close()
	for i := 0; (n == 0 || i < n) && s.more(); i++ {
		c := &f.calls[s.n(len(f.calls))]
		text := g.make(c)
		fmt.Fprintf(out, "%s\t%x\n", text, s.drawn)
		s.drawn = s.drawn[:0]
		out.Flush() // should the next one be the last
	}
	return nil
}

// world is what the calls of a sequence work on.
type world struct {
	*source
	area   uintptr // areaPages pages for memory calls
	data   uintptr // buffers; the last page cannot be touched
	used   uintptr // how much of them this call has
	fds    []int   // that calls have returned
	last   int     // the descriptor drawn last
	extent uintptr

	edges        bool
	drawnBuffers int // of this call
	edge         edge

	cookies []uint32 // of inotify, in the order they came
	ptys    [][2]int // masters and slaves
	typed   uintptr  // length of what was typed last
	timers  []posixTimer
	ofCPU   bool // the last one's clock
	fires   bool // the last one may go off
	tells   bool // it sends nothing
}

const (
	pageSize   = 4096
	areaAt     = 0x2000_0000_0000
	areaPages  = 32
	dataAt     = areaAt + 1<<30
	dataPages  = 65
	stillAt    = dataAt + 1<<30
	stillPages = 2
)

// What is outside of the worlds: descriptors that no call gets.
const (
	outsideFD = 500 + iota // the directory they are in
	devFD                  // /dev
	mapsFD                 // /proc/self/maps
)

func outside() error {
	unix.CloseRange(3, 1<<30, 0) // whatever was inherited
	for i, name := range []string{".", "/dev", "/proc/self/maps"} {
		fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		if err := unix.Dup3(fd, outsideFD+i, unix.O_CLOEXEC); err != nil {
			return err
		}
		unix.Close(fd)
	}
	return nil
}

// leave goes outside.
func leave() error {
	if err := unix.Fchdir(outsideFD); err != nil {
		return err
	}
	return unix.Chroot(".")
}

// Package os would begin to wait for files in descriptors of its own.
func newWorld(s *source, f family) (*world, error) {
	unix.Umask(0)
	for _, enter := range []func() error{
		func() error { return unix.Mkdir("world", 0o755) },
		func() error { return unix.Chroot("world") },
		func() error { return unix.Mkdir("/home", 0o777) },
		func() error { return unix.Chdir("/home") },
	} {
		if err := enter(); err != nil {
			return nil, err
		}
	}
	g := &world{source: s, area: areaAt, data: dataAt, edges: f.edges}
	const fixed = unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_FIXED
	for _, m := range []struct {
		at    uintptr
		pages uintptr
		prot  uintptr
	}{{areaAt, areaPages, unix.PROT_READ | unix.PROT_WRITE}, {dataAt, dataPages, unix.PROT_READ | unix.PROT_WRITE}, {dataAt + (dataPages-1)*pageSize, 1, 0}, {stillAt, stillPages, unix.PROT_READ | unix.PROT_WRITE}} {
		if _, _, e := unix.RawSyscall6(unix.SYS_MMAP, m.at, m.pages*pageSize, m.prot, fixed, ^uintptr(0), 0); e != 0 {
			return nil, e
		}
	}
	for i, still := 0, unsafe.Slice((*byte)(ptr(stillAt)), stillPages*pageSize); i < len(still); i++ {
		still[i] = byte(i * 5 >> 2)
	}
	// Something for the first calls to work on.
	unix.Mkdir("a", 0o755)
	unix.Symlink("a", "b")
	fd, err := unix.Open("c", unix.O_RDWR|unix.O_CREAT, 0o666)
	if err != nil {
		return nil, err
	}
	unix.Write(fd, g.buffer(5000))
	g.opened(fd)
	unix.Umask(0o022)
	if f.begin != nil {
		f.begin(g)
	}
	return g, nil
}

// close undoes what a sequence has done, but for what it has written.
func (g *world) close() {
	unix.RawSyscall(unix.SYS_SETFSUID, 0, 0, 0)
	for _, fd := range g.fds {
		unix.Close(fd)
	}
	for _, t := range g.timers {
		unix.RawSyscall(unix.SYS_TIMER_DELETE, uintptr(t.id), 0, 0)
	}
	takeSignals()
	var none uint64
	unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&none)), 0, 8, 0, 0)
	unix.RawSyscall(unix.SYS_MUNMAP, areaAt, 2*areaPages*pageSize, 0)
	if leave() == nil {
		remove("world")
	}
}

// takeSignals takes those that are pending.
func takeSignals() {
	var now unix.Timespec
	for set, r := uint64(queued), uintptr(1); int(r) > 0; {
		r, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGTIMEDWAIT, uintptr(unsafe.Pointer(&set)), 0, uintptr(unsafe.Pointer(&now)), 8, 0, 0)
	}
}

// remove removes path and all beneath it.
func remove(path string) {
	if unix.Unlink(path) != unix.EISDIR {
		return
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return
	}
	b := make([]byte, 4096)
	for {
		n, err := unix.Getdents(fd, b)
		if err != nil || n == 0 {
			break
		}
		_, _, list := unix.ParseDirent(b[:n], -1, nil)
		for _, name := range list {
			remove(path + "/" + name)
		}
	}
	unix.Close(fd)
	unix.Rmdir(path)
}

// fd is the descriptor in a choice of those there are, or a wrong one.
func (g *world) fd() int {
	if len(g.fds) == 0 || g.oneIn(20) {
		g.last = pick(g.source, -1, 99, 1<<30, unix.AT_FDCWD)
	} else {
		g.last = g.fds[g.n(len(g.fds))]
	}
	if g.alone() {
		g.edge.nth = -1
	}
	return g.last
}

// anonymous says whether the last descriptor is for something like an eventfd, is
// whether it is for a kind of file, and able whether it is for one that can be read or
// written. Linux 6.1 checks some things in another order than 6.18 if not.
func (g *world) anonymous() bool { return g.is(0) }

func (g *world) is(kind uint32) bool {
	var st unix.Stat_t
	return unix.Fstat(g.last, &st) == nil && st.Mode&unix.S_IFMT == kind
}

func (g *world) able(access int) bool {
	flags, err := unix.FcntlInt(uintptr(g.last), unix.F_GETFL, 0)
	how := flags & unix.O_ACCMODE
	return err == nil && flags&unix.O_PATH == 0 && (how == access || how == unix.O_RDWR) && !g.anonymous()
}

// alone says whether the last descriptor is a socket that is not connected: Linux 6.1 says
// so before it looks at what is to be sent.
func (g *world) alone() bool {
	_, err := unix.Getpeername(g.last)
	return err == unix.ENOTCONN
}

func (g *world) opened(fd int) {
	if !slices.Contains(g.fds, fd) {
		g.fds = append(g.fds, fd)
	}
	if len(g.fds) > 12 {
		unix.Close(g.fds[0])
		g.closed(g.fds[0])
	}
}

func (g *world) closed(fd int) {
	if i := slices.Index(g.fds, fd); i >= 0 {
		g.fds = slices.Delete(g.fds, i, i+1)
	}
	g.ptys = slices.DeleteFunc(g.ptys, func(p [2]int) bool { return p[0] == fd || p[1] == fd })
}
