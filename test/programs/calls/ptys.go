package main

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Linux passes what is written to one end of a pseudo-terminal to the other in the
// background, but a read or poll that finds nothing waits for it. So there is never more
// than one write on its way: settle.

// pty is an end of a pseudo-terminal, most often.
func pty(g *world) (uintptr, string, after) {
	if len(g.ptys) == 0 || g.oneIn(20) {
		return fd(g)
	}
	g.last = g.ptys[g.n(len(g.ptys))][g.n(2)]
	return uintptr(g.last), fmt.Sprint(g.last), nil
}

// peer is the other end of the pseudo-terminal that fd is one of, or -1.
func (g *world) peer(fd int) int {
	for _, p := range g.ptys {
		switch fd {
		case p[0]:
			return p[1]
		case p[1]:
			return p[0]
		}
	}
	return -1
}

// settle waits until what was written to fd has arrived, and what that has echoed.
func (g *world) settle(fd int) {
	for _, fd := range []int{g.peer(fd), fd} {
		// A poll does not wait for the rest of what has arrived in part.
		for last := 0; fd >= 0; {
			unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
			now, _ := unix.IoctlGetInt(fd, unix.TIOCINQ)
			if now == last {
				break
			}
			last = now
			unix.Nanosleep(&unix.Timespec{Nsec: 50_000}, nil)
		}
	}
}

// typed is what somebody types, to be written to the last descriptor; before, its peer is
// read empty.
func typed(g *world) (uintptr, string, after) {
	text := ""
	for range 1 + g.n(4) {
		text += pick(g.source, "a", "hello", "two words ", "\n", "\n", "\r", "\x04", "\x7f", "\x15", "\x17", "\x16", "\x12", "\t", "\x03", "\x1a", "\x1c", "\xc3\xa4", "\xff", "\x00", "A\x01")
	}
	b := g.buffer(len(text))
	copy(b, text)
	last := g.last
	drained := ""
	for _, fd := range []int{last, g.peer(last)} {
		drained += g.drain(fd)
	}
	g.typed = uintptr(len(text))
	if _, err := unix.IoctlGetTermios(last, unix.TCGETS); err == nil && g.peer(last) < 0 {
		g.typed = 0 // nobody could wait until it has arrived
	}
	return addr(b), fmt.Sprintf("%q%s", text, drained), func(uintptr) string { g.settle(last); return "" }
}

func (g *world) drain(fd int) (text string) {
	if g.peer(fd) < 0 {
		return ""
	}
	b := make([]byte, 256)
	nothing := 0
	for nothing < 3 {
		n, err := unix.Read(fd, b)
		if err != nil {
			return text
		}
		if n == 0 {
			nothing++
		}
		text += fmt.Sprintf(" %d:%q", fd, b[:n])
	}
	return text
}

// textLength is the length of what was typed.
func textLength(g *world) (uintptr, string, after) { return g.typed, fmt.Sprint(g.typed), nil }

// newPty opens the other end, too.
func newPty(g *world) (uintptr, string, after) {
	return 0, "0", func(master uintptr) string {
		unix.IoctlSetPointerInt(int(master), unix.TIOCSPTLCK, 0)
		slave, _, err := unix.Syscall(unix.SYS_IOCTL, master, unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK)
		if err != 0 {
			return " " + err.Error()
		}
		g.opened(int(slave))
		g.ptys = append(g.ptys, [2]int{int(master), int(slave)})
		return fmt.Sprint(" ", int(slave))
	}
}

// attributes are the present ones of the last descriptor, with changes. Flow control is
// left alone.
func attributes(g *world) (uintptr, string, after) {
	if g.oneIn(20) {
		at, text := g.wild()
		return at, text, nil
	}
	b := g.buffer(int(unsafe.Sizeof(unix.Termios{})))
	clear(b)
	v := (*unix.Termios)(unsafe.Pointer(&b[0]))
	unix.Syscall(unix.SYS_IOCTL, uintptr(g.last), unix.TCGETS, addr(b))
	for range 1 + g.n(3) {
		switch g.n(4) {
		case 0:
			v.Iflag ^= uint32(pick(g.source, unix.ICRNL, unix.INLCR, unix.IGNCR, unix.ISTRIP, unix.IUCLC, unix.IUTF8))
		case 1:
			v.Oflag ^= uint32(pick(g.source, unix.OPOST, unix.ONLCR, unix.OCRNL, unix.ONOCR, unix.ONLRET, unix.OLCUC, unix.XTABS))
		case 2:
			v.Lflag ^= uint32(pick(g.source, unix.ICANON, unix.ICANON, unix.ECHO, unix.ECHOE, unix.ECHOK, unix.ECHONL, unix.ECHOCTL, unix.ECHOKE, unix.ISIG, unix.IEXTEN, unix.NOFLSH))
		case 3:
			switch g.n(3) {
			case 0:
				v.Cc[unix.VMIN] = byte(pick(g.source, 0, 1, 1, 3))
			case 1:
				v.Cc[unix.VEOL] = byte(pick(g.source, 0, 'l'))
			case 2:
				v.Cc[unix.VERASE] = byte(pick(g.source, 0, 0x7f, 'o'))
			}
		}
	}
	return addr(b), showAttributes(v), nil
}

func showAttributes(v *unix.Termios) string {
	return fmt.Sprintf("{%o %o %o %o %x}", v.Iflag, v.Oflag, v.Cflag, v.Lflag, v.Cc)
}

var attributesOut = filled(func(v *[36]byte) string { return fmt.Sprintf("%x", *v) })

var ptyNumber = filled(func(v *int32) string { return fmt.Sprint(*v) })

var ptyCalls = []call{
	{"openat", unix.SYS_OPENAT, []arg{val(devFD), deviceName("ptmx"), val(unix.O_RDWR | unix.O_NOCTTY | unix.O_NONBLOCK), newPty}, newFD},
	{"write", unix.SYS_WRITE, []arg{pty, typed, textLength}, number},
	{"write", unix.SYS_WRITE, []arg{pty, typed, textLength}, number},
	{"write", unix.SYS_WRITE, []arg{pty, typed, textLength}, number},
	{"write", unix.SYS_WRITE, []arg{pty, typed, textLength}, number},
	{"write", unix.SYS_WRITE, []arg{pty, typed, textLength}, number},
	{"read", unix.SYS_READ, []arg{pty, out, length}, number},
	{"read", unix.SYS_READ, []arg{pty, out, val(1, 3, 100)}, number},
	{"read", unix.SYS_READ, []arg{pty, out, val(100)}, number},
	{"readv", unix.SYS_READV, []arg{pty, vector(true, 1, 8, 100), val(1, 4)}, number},
	{"ioctl TCGETS", unix.SYS_IOCTL, []arg{pty, val(unix.TCGETS), attributesOut}, number},
	{"ioctl TCSETS", unix.SYS_IOCTL, []arg{pty, val(unix.TCSETS, unix.TCSETSW, unix.TCSETSF), attributes}, number},
	{"ioctl TCSETS", unix.SYS_IOCTL, []arg{pty, val(unix.TCSETS), attributes}, number},
	{"ioctl TCFLSH", unix.SYS_IOCTL, []arg{pty, val(unix.TCFLSH), val(0, 1, 2, 3, -1)}, number},
	{"ioctl", unix.SYS_IOCTL, []arg{pty, val(unix.TIOCINQ, unix.TIOCOUTQ, unix.TIOCGPTLCK, unix.TIOCGPKT, unix.TIOCGEXCL, unix.TIOCGETD, unix.TIOCGSID, unix.TIOCGPGRP, unix.TIOCMGET, unix.TIOCGSOFTCAR, 0x54ff), ptyNumber}, number},
	{"ioctl TIOCINQ", unix.SYS_IOCTL, []arg{pty, val(unix.TIOCINQ), ptyNumber}, number},
	{"ioctl TIOCPKT", unix.SYS_IOCTL, []arg{pty, val(unix.TIOCPKT), given(func(g *world, v *int32) string { *v = int32(g.n(2)); return fmt.Sprint(*v) })}, number},
	{"ioctl TIOCSWINSZ", unix.SYS_IOCTL, []arg{pty, val(unix.TIOCSWINSZ), given(func(g *world, v *[4]uint16) string {
		v[0], v[1], v[2] = 24, uint16(80+g.n(2)), 7
		return fmt.Sprint(*v)
	})}, number},
	{"ioctl TIOCGWINSZ", unix.SYS_IOCTL, []arg{pty, val(unix.TIOCGWINSZ), filled(func(v *[4]uint16) string { return fmt.Sprint(*v) })}, number},
	{"poll", unix.SYS_POLL, []arg{polled, val(1, 4), val(0)}, number},
	{"lseek", unix.SYS_LSEEK, []arg{pty, val(0), val(0, 1)}, number},
	{"pread64", unix.SYS_PREAD64, []arg{pty, out, val(1), val(0)}, number},
	{"fcntl", unix.SYS_FCNTL, []arg{pty, val(unix.F_GETFL), val(0)}, number},
	{"fstat", unix.SYS_FSTAT, []arg{pty, filled(func(s *unix.Stat_t) string { return fmt.Sprintf("%o", s.Mode&unix.S_IFMT) })}, number},
	{"ftruncate", unix.SYS_FTRUNCATE, []arg{pty, val(0)}, number},
	{"dup", unix.SYS_DUP, []arg{pty}, newFD},
	{"close", unix.SYS_CLOSE, []arg{fd}, oldFD},
}

// deviceName is the path of a device.
func deviceName(name string) arg {
	return func(g *world) (uintptr, string, after) {
		b := g.buffer(len(name) + 1)
		copy(b, name+"\x00")
		return addr(b), name, nil
	}
}
