package linux

import (
	"unsafe"

	"gosv/kernel/metal"
	"gosv/kernel/socket"
	"gosv/kernel/unix"
)

// Numbers of the calls of socket(2) that only they need.
const (
	sockNonblock = oNonblock
	sockCloexec  = oCloexec
	sockKind     = 0xf

	maxFamily = 46 // AF_MAX
	maxKind   = 11 // SOCK_MAX

	msgCmsgCloexec = 0x40000000
	msgCmsgCompat  = 0x80000000 // of the kernel's own
	sockAddrMost   = 128        // sizeof(struct sockaddr_storage)
)

// socketArgs takes what socket(2) and socketpair(2) have in common apart.
func socketArgs(a *Args) (family, kind, protocol int32, flags uint32, err Errno) {
	family, protocol = int32(a.Arg1()), int32(a.Arg3())
	kind, flags = int32(a.Arg2()&sockKind), uint32(a.Arg2())&^sockKind
	switch {
	case flags&^(sockNonblock|sockCloexec) != 0:
		err = EINVAL
	case uint32(family) >= maxFamily:
		err = EAFNOSUPPORT
	case kind >= maxKind:
		err = EINVAL
	}
	return family, kind, protocol, flags, err
}

func sysSocket(t *Thread, a *Args) (uintptr, Errno) {
	family, kind, protocol, flags, err := socketArgs(a)
	if err != 0 {
		return 0, err
	}
	s, err := t.newSocket(family, kind, protocol)
	if err != 0 {
		return 0, err
	}
	return t.install(newFile(&socketFile{s}, oRdwr|flags&oNonblock), 0, flags&sockCloexec != 0)
}

func sysSocketpair(t *Thread, a *Args) (uintptr, Errno) {
	family, kind, protocol, flags, err := socketArgs(a)
	if flags&^(sockNonblock|sockCloexec) == 0 { // where they go is looked at before what they are
		if err := copyOut(t, a.Arg4(), &[2]int32{}); err != 0 {
			return 0, err
		}
	}
	if err != 0 {
		return 0, err
	}
	if family != socket.AFUnix {
		s, err := t.newSocket(family, kind, protocol)
		if err == 0 {
			s.Close()
			err = EOPNOTSUPP
		}
		return 0, err
	}
	if kind, err = unix.Kind(kind, protocol); err != 0 {
		return 0, err
	}
	x, y := t.proc.kernel.unix.Pair(kind, t.Cred())
	files := [2]*File{newFile(&socketFile{x}, oRdwr|flags&oNonblock), newFile(&socketFile{y}, oRdwr|flags&oNonblock)}
	var fds [2]int32
	n := 0
	for err == 0 && n < len(files) {
		var fd uintptr
		if fd, err = t.install(files[n], 0, flags&sockCloexec != 0); err == 0 {
			fds[n] = int32(fd)
		}
		n++
	}
	if err == 0 {
		if err = copyOut(t, a.Arg4(), &fds); err == 0 {
			return 0, 0
		}
		t.proc.files.take(uintptr(fds[1])).Release()
	}
	releaseAll(files[n:]) // install has released the one that it did not take
	if fds[0] != 0 || n == len(files) {
		t.proc.files.take(uintptr(fds[0])).Release()
	}
	return 0, err
}

// withSocket calls do with the socket open as fd.
func (t *Thread) withSocket(fd uintptr, do func(f *File, s socket.Socket) (int, Errno)) (uintptr, Errno) {
	f, err := t.ioFile(fd)
	if err != 0 {
		return 0, err
	}
	n, err := 0, ENOTSOCK
	if s, ok := f.io.(*socketFile); ok {
		n, err = do(f, s.socket)
	}
	f.Release()
	return uintptr(n), err
}

// copyInAddr reads a socket address, nil if there is none.
func (t *Thread) copyInAddr(addr, n uintptr) ([]byte, Errno) {
	if n = uintptr(uint32(n)); n > sockAddrMost {
		return nil, EINVAL
	}
	b := make([]byte, uint32(n))
	if n == 0 {
		return b, 0
	}
	return b, t.CopyIn(b, addr)
}

// copyOutAddr writes as much of an address as there is room for, and its length.
func (t *Thread) copyOutAddr(b []byte, addr, size uintptr) Errno {
	var room int32
	if err := copyIn(t, &room, size); err != 0 {
		return err
	}
	if room < 0 {
		return EINVAL
	}
	if err := t.CopyOut(addr, b[:min(int(room), len(b))]); err != 0 {
		return err
	}
	n := int32(len(b))
	return copyOut(t, size, &n)
}

func sysConnect(t *Thread, a *Args) (uintptr, Errno) {
	f, err := t.ioFile(a.Arg1())
	if err != 0 {
		return 0, err
	}
	defer f.Release()
	addr, err := t.copyInAddr(a.Arg2(), a.Arg3())
	if err != 0 {
		return 0, err
	}
	s, ok := f.io.(*socketFile)
	if !ok {
		return 0, ENOTSOCK
	}
	return 0, s.socket.Connect(t, addr, f.dontWait())
}

func sysBind(t *Thread, a *Args) (uintptr, Errno) {
	return t.withSocket(a.Arg1(), func(f *File, s socket.Socket) (int, Errno) {
		addr, err := t.copyInAddr(a.Arg2(), a.Arg3())
		if err != 0 {
			return 0, err
		}
		return 0, s.Bind(t, addr)
	})
}

func sysListen(t *Thread, a *Args) (uintptr, Errno) {
	return t.withSocket(a.Arg1(), func(f *File, s socket.Socket) (int, Errno) {
		const most = 4096 // /proc/sys/net/core/somaxconn
		return 0, s.Listen(t, int(min(uint32(a.Arg2()), most)))
	})
}

func sysAccept(t *Thread, a *Args) (uintptr, Errno) { return t.accept(a, 0) }
func sysAccept4(t *Thread, a *Args) (uintptr, Errno) {
	return t.accept(a, uint32(a.Arg4()))
}

func (t *Thread) accept(a *Args, flags uint32) (fd uintptr, err Errno) {
	if flags&^(sockNonblock|sockCloexec) != 0 {
		return 0, EINVAL
	}
	_, err = t.withSocket(a.Arg1(), func(f *File, s socket.Socket) (int, Errno) {
		if err := t.proc.files.room(t.proc.limit(rlimitNofile)); err != 0 {
			return 0, err
		}
		s, err := s.Accept(t, f.dontWait())
		if err != 0 {
			return 0, err
		}
		if a.Arg2() != 0 {
			addr, err := s.Address(true)
			if err != 0 { // it was reset already
				err = ECONNABORTED
			} else {
				err = t.copyOutAddr(addr, a.Arg2(), a.Arg3())
			}
			if err != 0 {
				s.Close()
				return 0, err
			}
		}
		fd, err = t.install(newFile(&socketFile{s}, oRdwr|flags&oNonblock), 0, flags&sockCloexec != 0)
		return 0, err
	})
	return fd, err
}

func sysShutdown(t *Thread, a *Args) (uintptr, Errno) {
	return t.withSocket(a.Arg1(), func(f *File, s socket.Socket) (int, Errno) {
		how := uintptr(uint32(a.Arg2()))
		if how > 2 {
			return 0, EINVAL
		}
		return 0, s.Shutdown(how + 1)
	})
}

func sysGetsockname(t *Thread, a *Args) (uintptr, Errno) { return t.socketAddr(a, false) }
func sysGetpeername(t *Thread, a *Args) (uintptr, Errno) { return t.socketAddr(a, true) }

func (t *Thread) socketAddr(a *Args, peer bool) (uintptr, Errno) {
	return t.withSocket(a.Arg1(), func(f *File, s socket.Socket) (int, Errno) {
		addr, err := s.Address(peer)
		if err != 0 {
			return 0, err
		}
		return 0, t.copyOutAddr(addr, a.Arg2(), a.Arg3())
	})
}

func sysSendto(t *Thread, a *Args) (uintptr, Errno) {
	u, err := t.buffer(a.Arg2(), min(a.Arg3(), maxRW))
	if err != 0 {
		return 0, err
	}
	return t.withSocket(a.Arg1(), func(f *File, s socket.Socket) (int, Errno) {
		m := t.message(u, uintptr(uint32(a.Arg4()))|f.dontWait())
		m.From = t.Cred()
		if a.Arg5() != 0 && a.Arg6() != 0 {
			if m.Addr, err = t.copyInAddr(a.Arg5(), a.Arg6()); err != 0 {
				return 0, err
			}
		}
		return u.result(s.Send(t, m))
	})
}

func sysRecvfrom(t *Thread, a *Args) (uintptr, Errno) {
	u, err := t.buffer(a.Arg2(), min(a.Arg3(), maxRW))
	if err != 0 {
		return 0, err
	}
	return t.withSocket(a.Arg1(), func(f *File, s socket.Socket) (int, Errno) {
		m := t.message(u, uintptr(uint32(a.Arg4()))|f.dontWait())
		n, err := u.result(s.Receive(t, m))
		m.ReleaseFiles() // nowhere to put them
		if err == 0 && a.Arg5() != 0 {
			err = t.copyOutAddr(m.Addr, a.Arg5(), a.Arg6())
		}
		return n, err
	})
}

// msgHdr is struct msghdr.
type msgHdr struct {
	name       uintptr
	nameLen    uint32
	_          uint32
	iov, niov  uintptr
	control    uintptr
	controlLen uintptr
	flags      uint32
	_          uint32
}

// copyInMsg reads the struct msghdr at addr, and makes its buffers u. The address in it is
// read to name, unless that is nil.
func (t *Thread) copyInMsg(addr uintptr, name *[]byte) (h msgHdr, u *userIO, err Errno) {
	if err = copyIn(t, &h, addr); err != 0 {
		return h, nil, err
	}
	if h.name != 0 && int32(h.nameLen) < 0 {
		return h, nil, EINVAL
	}
	if name != nil && h.name != 0 && h.nameLen != 0 {
		*name = make([]byte, min(h.nameLen, sockAddrMost))
		if err = t.CopyIn(*name, h.name); err != 0 {
			return h, nil, err
		}
	}
	if h.niov > maxIOV {
		return h, nil, EMSGSIZE
	}
	u, err = t.vector(h.iov, h.niov)
	return h, u, err
}

func sysSendmsg(t *Thread, a *Args) (uintptr, Errno) {
	if a.Int3()&msgCmsgCompat != 0 {
		return 0, EINVAL
	}
	return t.withSocket(a.Arg1(), func(f *File, s socket.Socket) (int, Errno) {
		return t.sendMessage(f, s, a.Arg2(), uintptr(uint32(a.Arg3())))
	})
}

func (t *Thread) sendMessage(f *File, s socket.Socket, addr, flags uintptr) (int, Errno) {
	m := &socket.Envelope{Message: socket.Message{Flags: flags | f.dontWait()}, From: t.Cred()}
	h, u, err := t.copyInMsg(addr, &m.Addr)
	if err != 0 {
		return 0, err
	}
	m.Buffer = u
	if x, ok := s.(*unix.Socket); ok {
		err = x.Ready()
	}
	if err == 0 {
		err = t.readControl(m, h.control, h.controlLen)
	}
	if err == 0 && len(m.Files) > 0 && t.proc.kernel.unix.InFlight() > int(t.proc.limit(rlimitNofile)) && !t.can(capSysResource) && !t.can(capSysAdmin) {
		err = ETOOMANYREFS
	}
	n := 0
	if err == 0 {
		n, err = u.result(s.Send(t, m))
	}
	m.ReleaseFiles() // a stream takes none without a byte
	return n, err
}

func sysRecvmsg(t *Thread, a *Args) (uintptr, Errno) {
	if a.Int3()&msgCmsgCompat != 0 {
		return 0, EINVAL
	}
	return t.withSocket(a.Arg1(), func(f *File, s socket.Socket) (int, Errno) {
		return t.receiveMessage(f, s, a.Arg2(), uintptr(uint32(a.Arg3())))
	})
}

func (t *Thread) receiveMessage(f *File, s socket.Socket, addr, flags uintptr) (int, Errno) {
	h, u, err := t.copyInMsg(addr, nil)
	if err != 0 {
		return 0, err
	}
	m := t.message(u, flags&^socket.MsgCtrunc|f.dontWait())
	n, err := u.result(s.Receive(t, m))
	if err != 0 {
		m.ReleaseFiles()
		return 0, err
	}
	h.controlLen = t.writeControl(m, h.control, h.controlLen, s.Common().Is(socket.SoPasscred) && !m.None)
	m.ReleaseFiles()
	if h.name != 0 {
		if err := t.CopyOut(h.name, m.Addr[:min(len(m.Addr), int(h.nameLen))]); err != 0 {
			return 0, err
		}
		h.nameLen = uint32(len(m.Addr))
	}
	h.flags = uint32(m.Flags&(socket.MsgOOB|socket.MsgTrunc|socket.MsgCtrunc|socket.MsgErrqueue)) | uint32(flags&msgCmsgCloexec)
	size := unsafe.Offsetof(h.flags) + unsafe.Sizeof(h.flags) // what lies behind need not be writable
	if t.space.WriteSome(addr, unsafe.Pointer(&h), size) != size {
		return 0, EFAULT
	}
	return n, 0
}

// mmsgHdr is struct mmsghdr.
type mmsgHdr struct {
	_   msgHdr
	len uint32
	_   uint32
}

func sysSendmmsg(t *Thread, a *Args) (uintptr, Errno) {
	if a.Int4()&msgCmsgCompat != 0 {
		return 0, EINVAL
	}
	return t.withSocket(a.Arg1(), func(f *File, s socket.Socket) (int, Errno) {
		n, err := t.eachMessage(a, func(at uintptr) (int, Errno) { return t.sendMessage(f, s, at, uintptr(uint32(a.Arg4()))) })
		if n > 0 {
			err = 0
		}
		return n, err
	})
}

func sysRecvmmsg(t *Thread, a *Args) (uintptr, Errno) {
	if a.Int4()&msgCmsgCompat != 0 {
		return 0, EINVAL
	}
	const waitForOne = 0x10000
	deadline, err := t.deadlineTS(a.Arg5())
	if err != 0 {
		return 0, err
	}
	return t.withSocket(a.Arg1(), func(f *File, s socket.Socket) (int, Errno) {
		if err := s.Common().TakeError(); err != 0 {
			return 0, err
		}
		flags := uintptr(uint32(a.Arg4()))
		n, err := t.eachMessage(a, func(at uintptr) (int, Errno) {
			if at != a.Arg2() && deadline != never && metal.Now() >= deadline {
				return 0, EAGAIN
			}
			n, err := t.receiveMessage(f, s, at, flags&^waitForOne)
			if flags&waitForOne != 0 {
				flags |= socket.MsgDontwait
			}
			return n, err
		})
		if n > 0 && err != 0 && err != EAGAIN { // the next call reports it
			s.Common().Err.Store(uint32(err))
		}
		if n > 0 {
			err = 0
		}
		return n, err
	})
}

// eachMessage calls one for the headers of sendmmsg(2) or recvmmsg(2), up to the first
// that fails, and returns how many did not, and why it failed.
func (t *Thread) eachMessage(a *Args, one func(at uintptr) (int, Errno)) (int, Errno) {
	at := a.Arg2()
	count := min(int(uint32(a.Arg3())), maxIOV)
	for i := range count {
		n, err := one(at)
		if err == 0 {
			size := uint32(n)
			err = copyOut(t, at+unsafe.Offsetof(mmsgHdr{}.len), &size)
		}
		if err != 0 {
			return i, err
		}
		at += unsafe.Sizeof(mmsgHdr{})
	}
	return count, 0
}
