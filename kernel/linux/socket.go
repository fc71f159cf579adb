package linux

import (
	"strconv"
	"sync/atomic"
	"unsafe"

	"gosv/kernel/fs"
	"gosv/kernel/metal"
	"gosv/kernel/wait"
)

// socket is an object that the calls of socket(2) are for. What they have in common
// for all families is here. socketCommon has methods for what a family lacks.
type socket interface {
	object
	bind(t *Thread, addr []byte) Errno
	listen(t *Thread, backlog int) Errno
	accept(t *Thread, f *File) (socket, Errno)
	send(t *Thread, f *File, m *message) (int, Errno)
	receive(t *Thread, f *File, m *message) (int, Errno)
	connect(t *Thread, f *File, addr []byte) Errno
	shutdown(how uintptr) Errno
	address(peer bool) ([]byte, Errno) // getsockname, getpeername
	common() *socketCommon

	// Options beyond those of SOL_SOCKET. The program has room for size bytes of
	// one that it asks for, and gets no more of them.
	getOption(t *Thread, level int32, option uintptr, size int) ([]byte, Errno)
	setOption(t *Thread, level int32, option uintptr, v []byte) Errno
}

// message is what a call sends or receives.
type message struct {
	*userIO
	Message
	files []*File // SCM_RIGHTS
	from  ucred   // SCM_CREDENTIALS
	given bool    // by the sender
	none  bool    // nothing has come, not even an empty message: nobody sends any more
}

// message is what the read or write call that t is in takes or gives.
func (t *Thread) message(u *userIO) *message {
	t.msg = message{userIO: u}
	return &t.msg
}

// noUser is who sent what nobody asked the sender of (overflowuid).
const noUser = 65534

// ucred is struct ucred (unix(7)).
type ucred struct {
	pid      int32
	uid, gid uint32
}

// socketCommon is what all sockets have.
type socketCommon struct {
	family, kind, protocol int32
	network                bool // it is a netSocket
	ino                    uint64

	err      atomic.Uint32 // SO_ERROR: reported once
	receives atomic.Uint64 // SO_RCVTIMEO in ns, 0: none
	sends    atomic.Uint64 // SO_SNDTIMEO
	switches atomic.Uint64 // options that are on or off, by number
	buffers  [2]atomic.Int32
	peerCred ucred // SO_PEERCRED; pid 0: it has no peer
}

// init makes c that of a new socket.
func (c *socketCommon) init(family, kind, protocol int32) {
	c.family, c.kind, c.protocol, c.ino = family, kind, protocol, newSocketIno()
}

// defaultBuffers sets the sizes that a socket has whose bytes are counted here.
func (c *socketCommon) defaultBuffers() {
	for i := range c.buffers {
		c.buffers[i].Store(defaultSockBuf)
	}
}

func (c *socketCommon) common() *socketCommon { return c }
func (c *socketCommon) name() string          { return "socket:[" + strconv.FormatUint(c.ino, 10) + "]" }
func (c *socketCommon) attr() fs.Attr         { return socketAttr(c.ino) }

func (*socketCommon) getOption(*Thread, int32, uintptr, int) ([]byte, Errno) {
	return nil, EOPNOTSUPP
}
func (*socketCommon) setOption(*Thread, int32, uintptr, []byte) Errno { return EOPNOTSUPP }

// Families, kinds and flags (socket(2)).
const (
	afUnix   = 1
	afInet   = 2
	afInet6  = 10
	afPacket = 17
	afVsock  = 40

	sockStream    = 1
	sockDgram     = 2
	sockRaw       = 3
	sockSeqpacket = 5
	sockNonblock  = oNonblock
	sockCloexec   = oCloexec
	sockKind      = 0xf

	maxFamily = 46 // AF_MAX
	maxKind   = 11 // SOCK_MAX

	msgOOB          = 0x1
	msgPeek         = 0x2
	msgCtrunc       = 0x8
	msgTrunc        = 0x20
	msgDontwait     = 0x40
	msgWaitall      = 0x100
	msgErrqueue     = 0x2000
	msgNosignal     = 0x4000
	msgCmsgCloexec  = 0x40000000
	msgCmsgCompat   = 0x80000000 // of the kernel's own
	sockAddrMost    = 128        // sizeof(struct sockaddr_storage)
	defaultSockBuf  = 212992
	leastSockBuf    = 4608 // SOCK_MIN_SNDBUF
	leastReceiveBuf = 2304
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
	return t.install(newFile(s, oRdwr|flags&oNonblock), 0, flags&sockCloexec != 0)
}

// newSocket is where the families are known.
func (t *Thread) newSocket(family, kind, protocol int32) (socket, Errno) {
	switch family {
	case afUnix:
		kind, err := unixKind(kind, protocol)
		if err != 0 {
			return nil, err
		}
		return newUnixSocket(kind), 0
	case afVsock:
		return t.newVsock(kind, protocol)
	}
	return t.netSocket(family, kind, protocol)
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
	if family != afUnix {
		s, err := t.newSocket(family, kind, protocol)
		if err == 0 {
			newFile(s, oRdwr).Release()
			err = EOPNOTSUPP
		}
		return 0, err
	}
	if kind, err = unixKind(kind, protocol); err != 0 {
		return 0, err
	}
	x, y := newUnixSocket(kind), newUnixSocket(kind)
	x.peer, y.peer = y, x
	x.peerCred = t.ucred()
	y.peerCred = x.peerCred
	files := [2]*File{newFile(x, oRdwr|flags&oNonblock), newFile(y, oRdwr|flags&oNonblock)}
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

// newSocketIno returns the inode number of a new socket.
func newSocketIno() uint64 { return 1000 + lastPipe.Add(1) }

// ucred is who t is to its peers.
func (t *Thread) ucred() ucred {
	uid, gid := t.ids()
	return ucred{int32(t.proc.pid), uid.effective, gid.effective}
}

// withSocket calls do with the socket open as fd.
func (t *Thread) withSocket(fd uintptr, do func(f *File, s socket) (int, Errno)) (uintptr, Errno) {
	f, err := t.ioFile(fd)
	if err != 0 {
		return 0, err
	}
	n, err := 0, ENOTSOCK
	if s, ok := f.io.(socket); ok {
		n, err = do(f, s)
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
	s, ok := f.io.(socket)
	if !ok {
		return 0, ENOTSOCK
	}
	return 0, s.connect(t, f, addr)
}

func sysBind(t *Thread, a *Args) (uintptr, Errno) {
	return t.withSocket(a.Arg1(), func(f *File, s socket) (int, Errno) {
		addr, err := t.copyInAddr(a.Arg2(), a.Arg3())
		if err != 0 {
			return 0, err
		}
		return 0, s.bind(t, addr)
	})
}

func sysListen(t *Thread, a *Args) (uintptr, Errno) {
	return t.withSocket(a.Arg1(), func(f *File, s socket) (int, Errno) {
		const most = 4096 // /proc/sys/net/core/somaxconn
		return 0, s.listen(t, int(min(uint32(a.Arg2()), most)))
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
	_, err = t.withSocket(a.Arg1(), func(f *File, s socket) (int, Errno) {
		if t.proc.files.full(t.proc.limit(rlimitNofile)) {
			return 0, EMFILE
		}
		s, err := s.accept(t, f)
		if err != 0 {
			return 0, err
		}
		if a.Arg2() != 0 {
			addr, err := s.address(true)
			if err != 0 { // it was reset already
				err = ECONNABORTED
			} else {
				err = t.copyOutAddr(addr, a.Arg2(), a.Arg3())
			}
			if err != 0 {
				s.close(nil)
				return 0, err
			}
		}
		fd, err = t.install(newFile(s, oRdwr|flags&oNonblock), 0, flags&sockCloexec != 0)
		return 0, err
	})
	return fd, err
}

func sysShutdown(t *Thread, a *Args) (uintptr, Errno) {
	return t.withSocket(a.Arg1(), func(f *File, s socket) (int, Errno) {
		how := uintptr(uint32(a.Arg2()))
		if how > 2 {
			return 0, EINVAL
		}
		return 0, s.shutdown(how + 1)
	})
}

func sysGetsockname(t *Thread, a *Args) (uintptr, Errno) { return t.socketAddr(a, false) }
func sysGetpeername(t *Thread, a *Args) (uintptr, Errno) { return t.socketAddr(a, true) }

func (t *Thread) socketAddr(a *Args, peer bool) (uintptr, Errno) {
	return t.withSocket(a.Arg1(), func(f *File, s socket) (int, Errno) {
		addr, err := s.address(peer)
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
	return t.withSocket(a.Arg1(), func(f *File, s socket) (int, Errno) {
		m := message{userIO: u, Message: Message{Flags: uintptr(uint32(a.Arg4()))}, from: t.ucred()}
		if a.Arg5() != 0 && a.Arg6() != 0 {
			if m.Addr, err = t.copyInAddr(a.Arg5(), a.Arg6()); err != 0 {
				return 0, err
			}
		}
		return u.result(s.send(t, f, &m))
	})
}

func sysRecvfrom(t *Thread, a *Args) (uintptr, Errno) {
	u, err := t.buffer(a.Arg2(), min(a.Arg3(), maxRW))
	if err != 0 {
		return 0, err
	}
	return t.withSocket(a.Arg1(), func(f *File, s socket) (int, Errno) {
		m := message{userIO: u, Message: Message{Flags: uintptr(uint32(a.Arg4()))}}
		n, err := u.result(s.receive(t, f, &m))
		releaseAll(m.files) // nowhere to put them
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
	return t.withSocket(a.Arg1(), func(f *File, s socket) (int, Errno) {
		return t.sendMessage(f, s, a.Arg2(), uintptr(uint32(a.Arg3())))
	})
}

func (t *Thread) sendMessage(f *File, s socket, addr, flags uintptr) (int, Errno) {
	m := message{Message: Message{Flags: flags}, from: t.ucred()}
	h, u, err := t.copyInMsg(addr, &m.Addr)
	if err != 0 {
		return 0, err
	}
	m.userIO = u
	if x, ok := s.(*unixSocket); ok {
		err = x.ready()
	}
	if err == 0 {
		err = t.readControl(&m, h.control, h.controlLen)
	}
	n := 0
	if err == 0 {
		n, err = u.result(s.send(t, f, &m))
	}
	releaseAll(m.files) // a stream takes none without a byte
	return n, err
}

func sysRecvmsg(t *Thread, a *Args) (uintptr, Errno) {
	if a.Int3()&msgCmsgCompat != 0 {
		return 0, EINVAL
	}
	return t.withSocket(a.Arg1(), func(f *File, s socket) (int, Errno) {
		return t.receiveMessage(f, s, a.Arg2(), uintptr(uint32(a.Arg3())))
	})
}

func (t *Thread) receiveMessage(f *File, s socket, addr, flags uintptr) (int, Errno) {
	h, u, err := t.copyInMsg(addr, nil)
	if err != 0 {
		return 0, err
	}
	m := message{userIO: u, Message: Message{Flags: flags &^ msgCtrunc}}
	n, err := u.result(s.receive(t, f, &m))
	if err != 0 {
		releaseAll(m.files)
		return 0, err
	}
	h.controlLen = t.writeControl(&m, h.control, h.controlLen, s.common().is(soPasscred) && !m.none)
	releaseAll(m.files)
	if h.name != 0 {
		if err := t.CopyOut(h.name, m.Addr[:min(len(m.Addr), int(h.nameLen))]); err != 0 {
			return 0, err
		}
		h.nameLen = uint32(len(m.Addr))
	}
	h.flags = uint32(m.Flags&(msgTrunc|msgCtrunc|msgErrqueue)) | uint32(flags&msgCmsgCloexec)
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
	return t.withSocket(a.Arg1(), func(f *File, s socket) (int, Errno) {
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
	return t.withSocket(a.Arg1(), func(f *File, s socket) (int, Errno) {
		if err := s.common().takeError(); err != 0 {
			return 0, err
		}
		flags := uintptr(uint32(a.Arg4()))
		n, err := t.eachMessage(a, func(at uintptr) (int, Errno) {
			if at != a.Arg2() && deadline != never && metal.Now() >= deadline {
				return 0, EAGAIN
			}
			n, err := t.receiveMessage(f, s, at, flags&^waitForOne)
			if flags&waitForOne != 0 {
				flags |= msgDontwait
			}
			return n, err
		})
		if n > 0 && err != 0 && err != EAGAIN { // the next call reports it
			s.common().err.Store(uint32(err))
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

// cmsgHdr is struct cmsghdr (cmsg(3)).
type cmsgHdr struct {
	len         uintptr
	level, kind int32
}

const (
	cmsgHdrSize    = unsafe.Sizeof(cmsgHdr{})
	solSocket      = 1
	scmRights      = 1
	scmCredentials = 2
	scmMaxFDs      = 253
	maxControl     = 64 << 10
)

// readControl takes the control messages at addr into m.
func (t *Thread) readControl(m *message, addr, n uintptr) Errno {
	if n > maxControl {
		return ENOBUFS
	}
	for end := addr + n; addr+cmsgHdrSize <= end; {
		var h cmsgHdr
		if err := copyIn(t, &h, addr); err != 0 {
			return err
		}
		if h.len < cmsgHdrSize || h.len > end-addr {
			return EINVAL
		}
		data, size := addr+cmsgHdrSize, h.len-cmsgHdrSize
		switch {
		case h.level != solSocket:
			c := Control{Level: h.level, Kind: h.kind, Data: make([]byte, size)}
			if err := t.CopyIn(c.Data, data); err != 0 {
				return err
			}
			m.Control = append(m.Control, c)
		case h.kind == scmRights:
			fds := make([]int32, size/4)
			if len(fds)+len(m.files) > scmMaxFDs {
				return EINVAL
			}
			if err := copyInSlice(t, fds, data); err != 0 {
				return err
			}
			for _, fd := range fds {
				f, err := t.ioFile(uintptr(fd))
				if err != 0 {
					return err
				}
				m.files = append(m.files, f)
			}
		case h.kind == scmCredentials:
			if size != unsafe.Sizeof(m.from) {
				return EINVAL
			}
			var c ucred
			if err := copyIn(t, &c, data); err != 0 {
				return err
			}
			uid, gid := t.ids()
			switch {
			case int(c.pid) != t.proc.pid && !t.can(capSysAdmin),
				c.uid != uid.real && c.uid != uid.effective && c.uid != uid.saved && !t.can(capSetUID),
				c.gid != gid.real && c.gid != gid.effective && c.gid != gid.saved && !t.can(capSetGID):
				return EPERM
			case int(c.pid) != t.proc.pid && t.proc.kernel.process(int(c.pid)) == nil:
				return ESRCH
			}
			m.from, m.given = c, true
		default:
			return EINVAL
		}
		addr += (h.len + 7) &^ 7
	}
	return 0
}

// writeControl writes what came with m into the n bytes at addr, makes descriptors of
// its files, and returns how many bytes it wrote. What cannot be written is left out, as
// Linux does it.
func (t *Thread) writeControl(m *message, addr, n uintptr, passCred bool) (done uintptr) {
	put := func(level, kind int32, data unsafe.Pointer, size uintptr) {
		if room := n - done - cmsgHdrSize; size > room { // a part of it comes
			m.Flags |= msgCtrunc
			size = room
		}
		h := cmsgHdr{cmsgHdrSize + size, level, kind}
		if copyOut(t, addr+done, &h) == 0 && t.space.WriteSome(addr+done+cmsgHdrSize, data, size) == size {
			done = min(done+(h.len+7)&^7, n)
		}
	}
	if passCred {
		if n < cmsgHdrSize {
			m.Flags |= msgCtrunc
		} else {
			put(solSocket, scmCredentials, unsafe.Pointer(&m.from), unsafe.Sizeof(m.from))
		}
	}
	for _, c := range m.Control {
		if n-done < cmsgHdrSize+uintptr(len(c.Data)) {
			m.Flags |= msgCtrunc
			break
		}
		put(c.Level, c.Kind, unsafe.Pointer(&c.Data[0]), uintptr(len(c.Data)))
	}
	if len(m.files) == 0 {
		return done
	}
	room := 0
	if n > done+cmsgHdrSize {
		room = int(n-done-cmsgHdrSize) / 4
	}
	var fds []int32
	for len(fds) < room && len(m.files) > 0 {
		fd, err := t.install(m.files[0], 0, m.Flags&msgCmsgCloexec != 0)
		m.files = m.files[1:]
		if err != 0 {
			m.Flags |= msgCtrunc
			break
		}
		v := int32(fd)
		if copyOut(t, addr+done+cmsgHdrSize+4*uintptr(len(fds)), &v) != 0 {
			t.proc.files.take(fd).Release()
			m.Flags |= msgCtrunc
			break
		}
		fds = append(fds, v)
	}
	if len(m.files) > 0 {
		m.Flags |= msgCtrunc
	}
	if len(fds) > 0 {
		put(solSocket, scmRights, unsafe.Pointer(&fds[0]), uintptr(len(fds))*4)
	}
	return done
}

// Options of SOL_SOCKET (socket(7)).
const (
	soDebug      = 1
	soReuseaddr  = 2
	soType       = 3
	soError      = 4
	soDontroute  = 5
	soBroadcast  = 6
	soSndbuf     = 7
	soRcvbuf     = 8
	soKeepalive  = 9
	soOOBinline  = 10
	soLinger     = 13
	soReuseport  = 15
	soPasscred   = 16
	soPeercred   = 17
	soRcvlowat   = 18
	soRcvtimeo   = 20
	soSndtimeo   = 21
	soTimestamp  = 29
	soAcceptconn = 30
	soProtocol   = 38
	soDomain     = 39

	soSwitches = 1<<soDebug | 1<<soReuseaddr | 1<<soDontroute | 1<<soBroadcast | 1<<soKeepalive | 1<<soOOBinline |
		1<<soReuseport | 1<<soPasscred | 1<<soTimestamp
)

// keepsOption says whether an option is answered here, for all families alike. What
// stands on a Network has the rest.
func (c *socketCommon) keepsOption(level int32, option uintptr) bool {
	if level != solSocket || !c.network {
		return level == solSocket
	}
	switch option {
	case soDebug, soType, soDomain, soDontroute, soRcvlowat, soRcvtimeo, soSndtimeo, soPasscred, soPeercred:
		return true
	}
	return false
}

// inherit takes over what a socket of a connection has of the one that listened.
func (c *socketCommon) inherit(from *socketCommon) {
	c.receives.Store(from.receives.Load())
	c.sends.Store(from.sends.Load())
	c.switches.Store(from.switches.Load())
	for i := range c.buffers {
		c.buffers[i].Store(from.buffers[i].Load())
	}
}

func (c *socketCommon) is(option uintptr) bool { return c.switches.Load()>>option&1 != 0 }

// takeError returns the pending error, which is reported once.
func (c *socketCommon) takeError() Errno { return Errno(c.err.Swap(0)) }

func sysGetsockopt(t *Thread, a *Args) (uintptr, Errno) {
	return t.withSocket(a.Arg1(), func(f *File, s socket) (int, Errno) {
		level, option := int32(a.Arg2()), uintptr(uint32(a.Arg3()))
		c := s.common()
		if level != solSocket && c.family == afUnix {
			return 0, EOPNOTSUPP
		}
		var size int32
		if err := copyIn(t, &size, a.Arg5()); err != 0 {
			return 0, err
		}
		if size < 0 {
			return 0, EINVAL
		}
		if !c.keepsOption(level, option) {
			v, err := s.getOption(t, level, option, int(size))
			if err != 0 {
				return 0, err
			}
			if size = min(size, int32(len(v))); size > 0 {
				if err := t.CopyOut(a.Arg4(), v[:size]); err != 0 {
					return 0, err
				}
			}
			return 0, copyOut(t, a.Arg5(), &size)
		}
		var v [2]uint64
		n := 4
		switch option {
		case soType:
			v[0] = uint64(c.kind)
		case soDomain:
			v[0] = uint64(c.family)
		case soProtocol:
			v[0] = uint64(c.protocol)
		case soError:
			v[0] = uint64(c.takeError())
		case soAcceptconn:
			if l, ok := s.(interface{ listening() bool }); ok && l.listening() {
				v[0] = 1
			}
		case soSndbuf, soRcvbuf:
			v[0] = uint64(c.buffers[option-soSndbuf].Load())
		case soRcvlowat:
			v[0] = 1
		case soLinger:
			n = 8
		case soRcvtimeo, soSndtimeo:
			tv := toTimeval(c.timeout(option).Load())
			v, n = [2]uint64{uint64(tv.sec), uint64(tv.usec)}, 16
		case soPeercred:
			peer := c.peerCred
			if peer.pid == 0 {
				peer = ucred{0, noID, noID}
			}
			*(*ucred)(unsafe.Pointer(&v)) = peer
			n = int(unsafe.Sizeof(peer))
		default:
			if option > 63 || soSwitches>>option&1 == 0 {
				return 0, ENOPROTOOPT
			}
			if c.is(option) {
				v[0] = 1
			}
		}
		n = min(n, int(size))
		if t.space.WriteSome(a.Arg4(), unsafe.Pointer(&v), uintptr(n)) != uintptr(n) {
			return 0, EFAULT
		}
		size = int32(n)
		return 0, copyOut(t, a.Arg5(), &size)
	})
}

func (c *socketCommon) timeout(option uintptr) *atomic.Uint64 {
	if option == soRcvtimeo {
		return &c.receives
	}
	return &c.sends
}

func sysSetsockopt(t *Thread, a *Args) (uintptr, Errno) {
	return t.withSocket(a.Arg1(), func(f *File, s socket) (int, Errno) {
		level, option, size := int32(a.Arg2()), uintptr(uint32(a.Arg3())), int32(a.Arg5())
		c := s.common()
		switch {
		case size < 0:
			return 0, EINVAL
		case level != solSocket && c.family == afUnix:
			return 0, EOPNOTSUPP
		case !c.keepsOption(level, option):
			const most = 4096 // what is longer is none that we know
			b := make([]byte, min(size, most))
			if err := t.CopyIn(b, a.Arg4()); err != 0 {
				return 0, err
			}
			return 0, s.setOption(t, level, option, b)
		case size < 4:
			return 0, EINVAL
		}
		var v int32
		if err := copyIn(t, &v, a.Arg4()); err != 0 {
			return 0, err
		}
		switch option {
		case soSndbuf, soRcvbuf: // twice, for what comes with the data
			least := [2]int32{leastSockBuf, leastReceiveBuf}[option-soSndbuf]
			c.buffers[option-soSndbuf].Store(max(2*min(max(v, 0), defaultSockBuf), least))
		case soRcvtimeo, soSndtimeo:
			var tv timeval
			if uintptr(size) < unsafe.Sizeof(tv) {
				return 0, EINVAL
			}
			if err := copyIn(t, &tv, a.Arg4()); err != 0 {
				return 0, err
			}
			if uint64(tv.usec) >= 1_000_000 {
				return 0, EDOM
			}
			c.timeout(option).Store(timeval{max(tv.sec, 0), tv.usec}.ns())
		case soLinger:
			if size < 8 {
				return 0, EINVAL
			}
		case soRcvlowat:
		case soType, soDomain, soProtocol, soError, soAcceptconn, soPeercred:
			return 0, ENOPROTOOPT
		default:
			if option > 63 || soSwitches>>option&1 == 0 {
				return 0, ENOPROTOOPT
			}
			if option == soDebug && v != 0 && !t.can(capNetAdmin) {
				return 0, EACCES
			}
			if v != 0 {
				c.switches.Or(1 << option)
			} else {
				c.switches.And(^uint64(1 << option))
			}
		}
		return 0, 0
	})
}

// await waits for ready in q, as long as the flags of the call, the file and the
// socket's timeout say.
func (c *socketCommon) await(t *Thread, f *File, q *wait.Queue, flags, option uintptr, ready func() bool) Errno {
	if ready() {
		return 0
	}
	if flags&msgDontwait != 0 || f.nonblock() {
		return EAGAIN
	}
	limit := c.timeout(option).Load()
	if limit == 0 {
		return t.Wait(q, never, ready)
	}
	err := t.Wait(q, metal.Now()+limit, ready)
	switch err {
	case ETIMEDOUT:
		err = EAGAIN
	case eRestartSys:
		err = EINTR
	}
	return err
}

// socketAttr is what fstat(2) shows of a socket.
func socketAttr(ino uint64) fs.Attr {
	return fs.Attr{Ino: ino, Mode: fs.Socket | 0o777, Nlink: 1, BlockSize: pageSize}
}
