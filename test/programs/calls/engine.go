package main

import (
	"fmt"
	"hash/crc32"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// call describes a system call: how to draw its arguments, and what to make of
// its result.
type call struct {
	name   string
	nr     uintptr
	args   []arg
	result result
}

// arg draws an argument: its value, how to print it, and what to look at when the
// call has succeeded, if anything.
type arg func(g *world) (v uintptr, text string, after after)

// after prints what a call that returned r has left.
type after func(r uintptr) string

type result int

const (
	number result = iota // the same on every kernel
	newFD                // a descriptor
	oldFD                // 0; the first argument is closed
	some                 // not the same everywhere
	dupFD                // the second argument is open now
)

// make makes a call and says what came of it.
func (g *world) make(c *call) string {
	var v [6]uintptr
	var texts []string
	var afters []after
	g.used, g.drawnBuffers, g.edge = 0, 0, edge{nth: -1}
	if g.edges {
		g.edge.nth = g.n(6)
	}
	for i, a := range c.args {
		var text string
		var f after
		v[i], text, f = a(g)
		texts = append(texts, text)
		if f != nil {
			afters = append(afters, f)
		}
	}
	g.edge.forbid()
	r, _, err := unix.Syscall6(c.nr, v[0], v[1], v[2], v[3], v[4], v[5])
	g.edge.allow()
	line := c.name + "(" + strings.Join(texts, ", ") + ")" + g.edge.text + " = "
	if err != 0 {
		return line + unix.ErrnoName(err)
	}
	switch c.result {
	case newFD, dupFD:
		g.opened(int(r))
	case oldFD:
		g.closed(int(v[0]))
	}
	if c.result == some {
		line += "some"
	} else {
		line += fmt.Sprint(int(r))
	}
	for _, f := range afters {
		line += f(r)
	}
	return line
}

// edge is where a buffer meets pages that may not be touched, while its call is made.
type edge struct {
	nth  int // the buffer of the call
	at   uintptr
	size uintptr // 0: none
	prot uintptr

	least uintptr // bytes that can be touched
	text  string
}

func (e *edge) forbid() { e.protect(e.prot) }
func (e *edge) allow()  { e.protect(unix.PROT_READ | unix.PROT_WRITE) }

func (e *edge) protect(prot uintptr) {
	if e.size > 0 {
		unix.RawSyscall(unix.SYS_MPROTECT, e.at, e.size, prot)
	}
}

// place puts a buffer of n bytes somewhere in the data pages: with edges that is seldom
// where it is convenient.
func (g *world) place(n uintptr) (at uintptr) {
	at = g.data + g.used
	nth := g.drawnBuffers
	g.drawnBuffers++
	if g.edges && nth == g.edge.nth && n > 0 {
		e := &g.edge
		cut := min(max(pick(g.source, 0, 1, 4, 8, n/2, n-1, n, 4096), e.least), n)
		e.at = (at + cut + pageSize - 1) &^ (pageSize - 1)
		e.size = max((n-cut+pageSize-1)&^(pageSize-1), pageSize)
		e.prot = pick(g.source, uintptr(0), 0, unix.PROT_READ)
		e.text = fmt.Sprintf("{%d of buffer %d, then prot %d}", cut, nth, e.prot)
		g.used = e.at + e.size - g.data
		return e.at - cut
	}
	if g.edges && g.oneIn(4) {
		at += 1
	}
	g.used = (at + n - g.data + 15) &^ 15
	return at
}

// buffer is n bytes of the data pages, filled with something.
func (g *world) buffer(n int) []byte {
	at := g.place(uintptr(n))
	if g.used > (dataPages-1)*pageSize {
		panic("a call's buffers are too large")
	}
	b := unsafe.Slice((*byte)(ptr(at)), n)
	for i := range b {
		b[i] = byte(i*7 + n)
	}
	return b
}

// ptr is for addresses outside Go's memory.
func ptr(at uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&at)) }

func addr(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }

// wild is an address that is not to be used.
func (g *world) wild() (uintptr, string) {
	end := g.data + (dataPages-1)*pageSize
	at := pick(g.source, 0, 8, end, 1<<63-4096, 0xffff800000000000, 0xffffffff80100000, ^uintptr(0)-7)
	return at, fmt.Sprintf("%#x", at)
}

// sum shortens what is in memory.
func sum(b []byte) string { return fmt.Sprintf("%08x", crc32.ChecksumIEEE(b)) }

// val is one of some values.
func val(list ...int) arg {
	return func(g *world) (uintptr, string, after) {
		v := pick(g.source, list...)
		return uintptr(v), fmt.Sprint(v), nil
	}
}

// bits are flags: some of list, seldom one that does not exist.
func bits(list ...int) arg { return bitsBut(0, list...) }

// bitsBut are bits, but for those of new, which Linux 6.1 did not know yet.
func bitsBut(new int, list ...int) arg {
	return func(g *world) (uintptr, string, after) {
		v := 0
		for range g.n(3) {
			v |= pick(g.source, list...)
		}
		if g.oneIn(24) {
			v |= 1 << g.n(31) &^ new
		}
		return uintptr(v), fmt.Sprintf("%#x", v), nil
	}
}

// fd is a descriptor.
func fd(g *world) (uintptr, string, after) {
	v := g.fd()
	return uintptr(v), fmt.Sprint(v), nil
}

// named is a descriptor but for epoll's and its like: they have got calls of ioctl since 6.1.
func named(g *world) (uintptr, string, after) {
	v, text, _ := fd(g)
	if g.anonymous() {
		return ^uintptr(0), "-1", nil
	}
	return v, text, nil
}

// realFD is one that cannot mean the working directory, as calls on attributes take it
// since 6.13.
func realFD(g *world) (uintptr, string, after) {
	v := max(g.fd(), -1)
	g.edge.nth = -1 // whether the name or the descriptor is looked at first has changed, too
	return uintptr(v), fmt.Sprint(v), nil
}

// rewound is a descriptor that is read from its start: where new entries of a directory
// show up has changed.
func rewound(g *world) (uintptr, string, after) {
	v := g.fd()
	unix.Seek(v, 0, 0)
	return uintptr(v), fmt.Sprint(v), nil
}

// otherFD is a descriptor of another file than the last one: what comes of overlapping
// copies is not told.
func otherFD(g *world) (uintptr, string, after) {
	var last, st unix.Stat_t
	unix.Fstat(g.last, &last)
	v := g.fd()
	if unix.Fstat(v, &st) == nil && st.Ino == last.Ino && st.Dev == last.Dev {
		v, g.last = -1, -1
	}
	return uintptr(v), fmt.Sprint(v), nil
}

// where is the directory that paths are relative to.
func where(g *world) (uintptr, string, after) {
	if g.n(4) > 0 {
		at := unix.AT_FDCWD
		return uintptr(at), "AT_FDCWD", nil
	}
	return fd(g)
}

// names are few, so that calls meet each other's.
var names = []string{"a", "b", "c", "d", "a/x", "b/x", "a/b", ".", "..", "", "/", "a/", "a/../b", "./c", "d/x/y", "nobody/x"}

// root is a path that is always there: since 6.13 other arguments than the path are looked
// at first.
func root(g *world) (uintptr, string, after) {
	b := g.buffer(2)
	copy(b, "/\x00")
	return addr(b), "/", nil
}

// path is a name.
func path(g *world) (uintptr, string, after) {
	if g.oneIn(40) {
		at, text := g.wild()
		return at, text, nil
	}
	name := pick(g.source, names...)
	if name == "" && g.anonymous() { // what an eventfd and its like are asked for has changed
		name = "a"
	}
	if g.oneIn(60) {
		name = strings.Repeat(pick(g.source, "n", "d/"), pick(g.source, 255, 256, 2100))
	}
	b := g.buffer(len(name) + 1)
	copy(b, name)
	b[len(name)] = 0
	if len(name) > 20 {
		return addr(b), fmt.Sprintf("%.4q...%d", name, len(name)), nil
	}
	return addr(b), fmt.Sprintf("%q", name), nil
}

// realPath is not NULL, which was a mistake before 6.11.
func realPath(g *world) (uintptr, string, after) {
	v, text, _ := path(g)
	if v == 0 {
		return 8, "0x8", nil
	}
	return v, text, nil
}

// noFIFO is a path of which open does not wait.
func noFIFO(g *world) (uintptr, string, after) {
	v, text, _ := path(g)
	var st unix.Stat_t
	_, _, err := unix.Syscall(unix.SYS_STAT, v, uintptr(unsafe.Pointer(&st)), 0)
	if err == 0 && st.Mode&unix.S_IFMT == unix.S_IFIFO {
		return 8, "0x8", nil
	}
	return v, text, nil
}

// xattrName is the name of an attribute, of kinds that no tmpfs ever knew.
func xattrName(names ...string) arg {
	return func(g *world) (uintptr, string, after) {
		b := g.buffer(32)
		name := pick(g.source, names...)
		copy(b, name+"\x00")
		return addr(b), fmt.Sprintf("%q", name), nil
	}
}

// sizes of buffers.
var sizes = []int{0, 1, 7, 100, 512, 4095, 4096, 5000, 12288}

// in is a buffer to read from, and out one that the call fills; both are followed
// by their length.
func in(g *world) (uintptr, string, after) {
	if g.oneIn(40) && !g.is(unix.S_IFREG) && !g.alone() { // a write of nothing has got effects since 6.1
		at, text := g.wild()
		return at, text, nil
	}
	g.writes()
	return addr(g.buffer(sizes[len(sizes)-1])), "in", nil
}

// writes leaves a byte of each buffer that can be written to the last descriptor: a write
// of nothing makes a file longer since 6.16.
func (g *world) writes() {
	if g.is(unix.S_IFREG) {
		g.edge.least = 1
	}
}

func out(g *world) (uintptr, string, after) {
	if g.oneIn(40) {
		at, text := g.wild()
		return at, text, nil
	}
	b := g.buffer(sizes[len(sizes)-1])
	return addr(b), "out", func(r uintptr) string { return " " + sum(b[:min(int(r), len(b))]) }
}

func length(g *world) (uintptr, string, after) {
	n := pick(g.source, sizes...)
	if g.oneIn(40) {
		n = -1
	}
	return uintptr(n), fmt.Sprint(n), nil
}

// shortLength is a length; what it writes an eventfd is no more than 6.18 takes.
func shortLength(g *world) (uintptr, string, after) {
	n, _, _ := length(g)
	if g.anonymous() {
		n = min(n, 8)
	}
	return n, fmt.Sprint(int(n)), nil
}

// offset is a place in a file.
func offset(g *world) (uintptr, string, after) {
	n := pick(g.source, 0, 1, 100, 4095, 4096, 4097, 8192, 20000, 1<<20, -1, 1<<62)
	return uintptr(n), fmt.Sprint(n), nil
}

// offsetAt is a pointer to an offset, or none.
func offsetAt(g *world) (uintptr, string, after) {
	switch g.n(4) {
	case 0, 1:
		return 0, "NULL", nil
	case 2:
		if g.oneIn(8) {
			at, text := g.wild()
			return at, text, nil
		}
	}
	n, _, _ := offset(g)
	b := g.buffer(8)
	*(*uintptr)(unsafe.Pointer(&b[0])) = n
	return addr(b), fmt.Sprintf("[%d]", int(n)), func(uintptr) string { return fmt.Sprintf(" off %d", *(*int64)(unsafe.Pointer(&b[0]))) }
}

// vector is an iovec array for a call that reads or fills it, with parts of some of
// lens; it is followed by its length.
func vector(fills bool, lens ...int) arg {
	access := unix.O_WRONLY
	if fills {
		access = unix.O_RDONLY
	}
	return func(g *world) (uintptr, string, after) {
		able := g.able(access)
		if !able { // the error that comes first has changed
			g.edge.nth = -1
		}
		if !fills {
			g.writes()
		}
		if able && g.oneIn(40) {
			at, text := g.wild()
			return at, text, nil
		}
		v := g.buffer(4 * 16)
		iov := unsafe.Slice((*unix.Iovec)(unsafe.Pointer(&v[0])), 4)
		var all [][]byte
		text := "["
		for i := range iov {
			n := pick(g.source, lens...)
			b := g.buffer(n)
			all = append(all, b)
			at := g.data
			if n > 0 {
				at = addr(b)
			}
			iov[i] = unix.Iovec{Base: (*byte)(ptr(at)), Len: uint64(n)}
			if able && g.oneIn(60) {
				iov[i].Len = 1 << 63
				n = -1
			}
			text += fmt.Sprint(n, " ")
		}
		return addr(v), text + "]", func(r uintptr) string {
			if !fills {
				return ""
			}
			var got []byte
			for _, b := range all {
				got = append(got, b...)
			}
			return " " + sum(got[:min(int(r), len(got))])
		}
	}
}

// spliced is a vector for vmsplice. What it puts into a pipe is memory that nobody changes
// later: Linux copies nothing.
func spliced(g *world) (uintptr, string, after) {
	if !g.able(unix.O_WRONLY) {
		return vector(true, 8, 100, 4096)(g)
	}
	v := g.buffer(4 * 16)
	text := "still ["
	for i := range unsafe.Slice((*unix.Iovec)(unsafe.Pointer(&v[0])), 4) {
		n, from := pick(g.source, 0, 1, 100, 4096), pick(g.source, 0, 1, 4000)
		text += fmt.Sprintf("%d@%d ", n, from)
		*(*unix.Iovec)(unsafe.Pointer(&v[i*16])) = unix.Iovec{Base: (*byte)(ptr(stillAt + uintptr(from))), Len: uint64(n)}
	}
	return addr(v), text + "]", nil
}

// parts is a vector's length, most often a right one.
func parts(g *world) (uintptr, string, after) {
	n := pick(g.source, 0, 1, 4)
	if g.oneIn(20) && g.able(unix.O_RDWR) {
		n = pick(g.source, -1, 1025)
	}
	return uintptr(n), fmt.Sprint(n), nil
}

// filled is a structure that a successful call fills, and what of it is the same
// everywhere.
func filled[T any](show func(v *T) string) arg {
	return func(g *world) (uintptr, string, after) {
		if g.oneIn(20) {
			at, text := g.wild()
			return at, text, nil
		}
		var v T
		b := g.buffer(int(unsafe.Sizeof(v)))
		return addr(b), "out", func(uintptr) string { return " " + show((*T)(unsafe.Pointer(&b[0]))) }
	}
}

// given is a structure that a call reads, or seldom NULL or nothing.
func given[T any](draw func(g *world, v *T) string) arg {
	return func(g *world) (uintptr, string, after) {
		if g.oneIn(20) {
			at, text := g.wild()
			return at, text, nil
		}
		var v T
		b := g.buffer(int(unsafe.Sizeof(v)))
		p := (*T)(unsafe.Pointer(&b[0]))
		*p = v
		text := draw(g, p)
		return addr(b), text, nil
	}
}

// orNull is a, or NULL.
func orNull(a arg) arg {
	return func(g *world) (uintptr, string, after) {
		if g.n(3) == 0 {
			return 0, "NULL", nil
		}
		return a(g)
	}
}
