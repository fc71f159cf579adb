package main

import (
	"encoding/binary"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

var (
	kinds = val(unix.SOCK_STREAM|unix.SOCK_NONBLOCK, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK)
	// Out of band data (MSG_OOB) has changed since 6.1.
	sendFlags    = bitsBut(unix.MSG_OOB|unix.MSG_ZEROCOPY|1<<27|1<<30, unix.MSG_DONTWAIT, unix.MSG_NOSIGNAL, unix.MSG_EOR, unix.MSG_MORE)
	receiveFlags = bitsBut(unix.MSG_OOB|unix.MSG_ERRQUEUE, unix.MSG_DONTWAIT, unix.MSG_PEEK, unix.MSG_TRUNC, unix.MSG_WAITALL, unix.MSG_CMSG_CLOEXEC)
)

// socketAddress is one to connect or send to: nobody has it.
func socketAddress(g *world) (uintptr, string, after) {
	if g.oneIn(20) {
		at, text := g.wild()
		return at, text, nil
	}
	b := g.buffer(128)
	clear(b)
	family := pick(g.source, unix.AF_UNIX, unix.AF_UNIX, unix.AF_UNSPEC, unix.AF_INET)
	name := pick(g.source, "nobody", "\x00nobody", "c", "")
	binary.LittleEndian.PutUint16(b, uint16(family))
	copy(b[2:], name)
	return addr(b), fmt.Sprintf("{%d %q}", family, name), nil
}

// connected is a descriptor, but not of a socket that is alone: what it is told when it
// sends has changed.
func connected(g *world) (uintptr, string, after) {
	v := g.fd()
	if _, err := unix.Getpeername(v); err == unix.ENOTCONN {
		v = -1
	}
	return uintptr(v), fmt.Sprint(v), nil
}

// roomFor is where a call puts something, as much as the length says that follows it.
func roomFor(g *world) (uintptr, string, after) {
	if g.n(3) == 0 {
		return 0, "NULL", nil
	}
	b := g.buffer(128)
	return addr(b), "out", nil
}

var room = given(func(g *world, v *int32) string {
	*v = int32(pick(g.source, 128, 128, 0, 1, 4, -1))
	return fmt.Sprintf("[%d]", *v)
})

// roomOut is room, and what is in it in the end.
func roomOut(g *world) (uintptr, string, after) {
	v, text, _ := room(g)
	if text[0] != '[' {
		return v, text, nil
	}
	return v, text, func(uintptr) string {
		n := *(*int32)(ptr(v))
		if n > 4 && n < 16 { // a socket that passes credentials gets a name of its own
			n = 2
		}
		return fmt.Sprintf(" size %d", n)
	}
}

// rights writes a control message that passes descriptors, or tries to.
func (g *world) control(b []byte) (n int, text string) {
	put := func(length, level, kind int, data ...int32) {
		at := b[n:]
		binary.LittleEndian.PutUint64(at, uint64(length))
		binary.LittleEndian.PutUint32(at[8:], uint32(level))
		binary.LittleEndian.PutUint32(at[12:], uint32(kind))
		for i, v := range data {
			binary.LittleEndian.PutUint32(at[16+4*i:], uint32(v))
		}
		n += (16 + 4*len(data) + 7) &^ 7
		text += fmt.Sprintf("(%d %d %d", length, level, kind)
		if kind == unix.SCM_RIGHTS {
			text += fmt.Sprint(data)
		}
		text += ")"
	}
	passed := func() (list []int32) {
		for range 1 + g.n(3) {
			// A socket in flight may belong to a cycle, and when it is found has changed.
			if v := g.fd(); g.is(unix.S_IFSOCK) {
				list = append(list, devFD)
			} else {
				list = append(list, int32(v))
			}
		}
		return list
	}
	pid := int32(unix.Getpid())
	switch g.n(10) {
	case 0, 1, 2, 3:
		list := passed()
		put(16+4*len(list), unix.SOL_SOCKET, unix.SCM_RIGHTS, list...)
	case 4:
		list := passed()
		put(16+4*len(list), unix.SOL_SOCKET, unix.SCM_RIGHTS, list...)
		list = passed()
		put(16+4*len(list), unix.SOL_SOCKET, unix.SCM_RIGHTS, list...)
	case 5:
		put(28, unix.SOL_SOCKET, unix.SCM_CREDENTIALS, pid, int32(pick(g.source, 0, 0, 1)), 0)
	case 6:
		put(pick(g.source, 0, 15, 16, 17, 18, 19, 1<<20), unix.SOL_SOCKET, unix.SCM_RIGHTS, passed()...)
	case 7:
		put(20, pick(g.source, unix.SOL_SOCKET, 77), pick(g.source, 1, 3, 77), devFD)
	}
	return n, text
}

// packets says whether the last descriptor is a socket that keeps messages apart and is
// connected. What is sent to one is never empty: since 6.16 an empty message that nobody
// has read is not noticed when its socket is closed.
func (g *world) packets() bool {
	kind, err := unix.GetsockoptInt(g.last, unix.SOL_SOCKET, unix.SO_TYPE)
	return err == nil && kind == unix.SOCK_SEQPACKET
}

// sent is the length of what is sent to the last descriptor.
func sent(list ...int) arg {
	return func(g *world) (uintptr, string, after) {
		v := pick(g.source, list...)
		if v == 0 && g.packets() {
			v = 1
		}
		return uintptr(v), fmt.Sprint(v), nil
	}
}

// fill makes h the header of a message: its parts, of which the first has least bytes or
// more, and room for what comes with it.
func (g *world) fill(h *unix.Msghdr, sends bool, parts, least int) (text string, show func(r uintptr) string) {
	parts = max(parts, least)
	iov := g.buffer(16 * max(parts, 1))
	var all [][]byte
	for i := range parts {
		n := pick(g.source, 0, 1, 7, 100, 1000)
		if i == 0 {
			n = max(n, least)
		}
		b := g.buffer(n)
		all = append(all, b)
		*(*unix.Iovec)(unsafe.Pointer(&iov[16*i])) = unix.Iovec{Base: (*byte)(ptr(addr(b))), Len: uint64(n)}
		text += fmt.Sprint(n, " ")
	}
	*h = unix.Msghdr{Iov: (*unix.Iovec)(ptr(addr(iov))), Iovlen: uint64(parts)}
	if g.oneIn(20) {
		h.Iovlen = 1025
	}
	control := g.buffer(256)
	clear(control)
	h.Control = &control[0]
	if sends {
		n, what := g.control(control)
		h.Controllen = uint64(n)
		text += what
		if g.oneIn(8) {
			at, what, _ := socketAddress(g)
			h.Name, h.Namelen = (*byte)(ptr(at)), 110
			text += what
		}
	} else {
		h.Controllen = uint64(pick(g.source, 0, 10, 16, 20, 24, 28, 32, 56, 256))
		text += fmt.Sprintf("room %d", h.Controllen)
		if g.n(3) == 0 {
			h.Name, h.Namelen = &g.buffer(128)[0], uint32(pick(g.source, 0, 1, 128))
			text += " name"
		}
	}
	return text, func(r uintptr) string {
		if sends {
			return ""
		}
		var got []byte
		for _, b := range all {
			got = append(got, b...)
		}
		if h.Namelen == 8 { // as in roomOut
			h.Namelen = 0
		}
		return fmt.Sprintf(" %s flags %#x name %d control %d %s", sum(got[:min(int(r), len(got))]), h.Flags, h.Namelen, h.Controllen, g.came(control[:min(int(h.Controllen), len(control))]))
	}
}

// came says what control messages a call has brought, and takes the descriptors.
func (g *world) came(b []byte) (text string) {
	for len(b) >= 16 {
		n, kind := int(binary.LittleEndian.Uint64(b)), binary.LittleEndian.Uint32(b[12:])
		if n < 16 || n > len(b) {
			return text + fmt.Sprintf("length %d", n)
		}
		text += fmt.Sprintf("(%d ", kind)
		for data := b[16:n]; len(data) >= 4; data = data[4:] {
			v := int32(binary.LittleEndian.Uint32(data))
			switch {
			case kind == unix.SCM_RIGHTS:
				g.opened(int(v))
			case int(v) == unix.Getpid():
				v = 1
			}
			text += fmt.Sprint(v, ",")
		}
		text += ")"
		b = b[min((n+7)&^7, len(b)):]
	}
	return text
}

// leastSent is how many bytes a message to the last descriptor has at least.
func (g *world) leastSent(sends bool) int {
	if sends && g.packets() {
		return 1
	}
	return 0
}

// header is a struct msghdr.
func header(sends bool) arg {
	return func(g *world) (uintptr, string, after) {
		if g.oneIn(30) {
			at, text := g.wild()
			return at, text, nil
		}
		b := g.buffer(int(unsafe.Sizeof(unix.Msghdr{})))
		text, show := g.fill((*unix.Msghdr)(unsafe.Pointer(&b[0])), sends, g.n(4), g.leastSent(sends))
		return addr(b), text, show
	}
}

// headers are two of struct mmsghdr.
func headers(sends bool) arg {
	return func(g *world) (uintptr, string, after) {
		type mmsghdr struct {
			h unix.Msghdr
			n uint32
			_ uint32
		}
		b := g.buffer(2 * int(unsafe.Sizeof(mmsghdr{})))
		h := (*[2]mmsghdr)(unsafe.Pointer(&b[0]))
		least := g.leastSent(sends)
		text1, show1 := g.fill(&h[0].h, sends, g.n(3), least)
		text2, show2 := g.fill(&h[1].h, sends, g.n(3), least)
		return addr(b), text1 + ", " + text2, func(r uintptr) (text string) {
			if r > 0 {
				text = fmt.Sprint(" ", h[0].n, show1(uintptr(h[0].n)))
			}
			if r > 1 {
				text += fmt.Sprint(" ", h[1].n, show2(uintptr(h[1].n)))
			}
			return text
		}
	}
}

// options of SOL_SOCKET that have not changed since 6.1.
var options = val(unix.SO_DEBUG, unix.SO_REUSEADDR, unix.SO_TYPE, unix.SO_ERROR, unix.SO_DONTROUTE, unix.SO_BROADCAST, unix.SO_KEEPALIVE,
	unix.SO_OOBINLINE, unix.SO_PASSCRED, unix.SO_PASSCRED, unix.SO_RCVLOWAT, unix.SO_RCVTIMEO_OLD, unix.SO_SNDTIMEO_OLD, unix.SO_ACCEPTCONN, unix.SO_PROTOCOL, unix.SO_DOMAIN, 200, -1)

// option is an option's value.
func option(g *world) (uintptr, string, after) {
	if g.oneIn(20) {
		at, text := g.wild()
		return at, text, nil
	}
	b := g.buffer(128)
	clear(b)
	v := pick(g.source, 0, 1, 1, 4096)
	binary.LittleEndian.PutUint32(b, uint32(v))
	return addr(b), fmt.Sprintf("[%d]", v), nil
}

// optionOut is where one comes.
func optionOut(g *world) (uintptr, string, after) {
	b := g.buffer(128)
	clear(b)
	return addr(b), "out", func(uintptr) string { return fmt.Sprintf(" %x", b[:16]) }
}

var socketCalls = []call{
	{"socketpair", unix.SYS_SOCKETPAIR, []arg{val(unix.AF_UNIX, unix.AF_UNIX, 46, -1), bitsBut(unix.SOCK_STREAM|unix.SOCK_DGRAM, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.SOCK_NONBLOCK), val(0, 0, 1, 7), twoFDs}, number},
	{"socketpair", unix.SYS_SOCKETPAIR, []arg{val(unix.AF_UNIX), kinds, val(0), twoFDs}, number},
	{"socketpair", unix.SYS_SOCKETPAIR, []arg{val(unix.AF_UNIX), kinds, val(0), twoFDs}, number},
	{"socket", unix.SYS_SOCKET, []arg{val(unix.AF_UNIX, unix.AF_UNIX, 46, -1), kinds, val(0, 0, 7)}, newFD},
	{"pipe2", unix.SYS_PIPE2, []arg{twoFDs, val(unix.O_NONBLOCK)}, number},
	{"connect", unix.SYS_CONNECT, []arg{fd, socketAddress, val(2, 9, 110, 110, 1, 0, 111, 128, 129, -1)}, number},
	{"sendto", unix.SYS_SENDTO, []arg{fd, in, sent(0, 1, 100, 4096), sendFlags, orNull(socketAddress), val(110, 110, 2, -1)}, number},
	{"sendto", unix.SYS_SENDTO, []arg{fd, in, sent(0, 1, 100, 1000), sendFlags, val(0), val(0)}, number},
	{"recvfrom", unix.SYS_RECVFROM, []arg{fd, out, val(0, 1, 100, 4096), receiveFlags, roomFor, roomOut}, number},
	{"recvfrom", unix.SYS_RECVFROM, []arg{fd, out, val(50, 4096), receiveFlags, val(0), val(0)}, number},
	{"sendmsg", unix.SYS_SENDMSG, []arg{fd, header(true), sendFlags}, number},
	{"sendmsg", unix.SYS_SENDMSG, []arg{fd, header(true), val(0)}, number},
	{"sendmsg", unix.SYS_SENDMSG, []arg{fd, header(true), val(0)}, number},
	{"recvmsg", unix.SYS_RECVMSG, []arg{fd, header(false), receiveFlags}, number},
	{"recvmsg", unix.SYS_RECVMSG, []arg{fd, header(false), val(0, 0, unix.MSG_PEEK)}, number},
	{"recvmsg", unix.SYS_RECVMSG, []arg{fd, header(false), val(0)}, number},
	{"sendmmsg", unix.SYS_SENDMMSG, []arg{fd, headers(true), val(0, 1, 2), sendFlags}, number},
	{"recvmmsg", unix.SYS_RECVMMSG, []arg{fd, headers(false), val(0, 1, 2), receiveFlags, val(0)}, number},
	{"read", unix.SYS_READ, []arg{fd, out, length}, number},
	{"write", unix.SYS_WRITE, []arg{fd, in, sent(0, 1, 7, 100, 1000)}, number},
	{"readv", unix.SYS_READV, []arg{fd, vector(true, 8, 100, 4096), val(1, 4)}, number},
	{"writev", unix.SYS_WRITEV, []arg{fd, vector(false, 0, 1, 8), val(1, 4)}, number},
	{"shutdown", unix.SYS_SHUTDOWN, []arg{connected, val(0, 1, 2, 3, -1)}, number},
	{"getsockopt", unix.SYS_GETSOCKOPT, []arg{fd, val(unix.SOL_SOCKET), options, optionOut, roomOut}, number},
	{"setsockopt", unix.SYS_SETSOCKOPT, []arg{fd, val(unix.SOL_SOCKET), options, option, val(4, 4, 8, 16, 3, 0, -1)}, number},
	{"setsockopt", unix.SYS_SETSOCKOPT, []arg{fd, val(unix.SOL_SOCKET), val(unix.SO_PASSCRED), option, val(4)}, number},
	{"getsockname", unix.SYS_GETSOCKNAME, []arg{fd, roomFor, roomOut}, number},
	{"getpeername", unix.SYS_GETPEERNAME, []arg{fd, roomFor, roomOut}, number},
	{"ioctl", unix.SYS_IOCTL, []arg{fd, val(unix.TIOCINQ), filled(func(v *int32) string { return fmt.Sprint(*v) })}, number},
	{"poll", unix.SYS_POLL, []arg{polled, val(1, 4), val(0)}, number},
	{"fstat", unix.SYS_FSTAT, []arg{fd, filled(func(s *unix.Stat_t) string { return fmt.Sprintf("%o", s.Mode) })}, number},
	{"fcntl", unix.SYS_FCNTL, []arg{fd, val(unix.F_GETFL, unix.F_GETFD), val(0)}, number},
	{"lseek", unix.SYS_LSEEK, []arg{fd, val(0), val(0, 1)}, number},
	{"close", unix.SYS_CLOSE, []arg{fd}, oldFD},
	{"dup", unix.SYS_DUP, []arg{fd}, newFD},
}
