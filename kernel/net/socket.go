package net

import (
	"time"

	"gosv/kernel/errno"
	"gosv/kernel/socket"
	"gosv/kernel/wait"
)

// Socket is a socket on the network. It waits for what its endpoint does not.
type Socket struct {
	socket.Base
	queue wait.Queue
	net   *Network
	end   Endpoint
}

// Endpoint is what a socket stands on. None of its methods waits: EAGAIN says
// that there is nothing yet, or no room, and wake will be called.
type Endpoint interface {
	Bind(addr []byte) errno.Errno
	Listen(backlog int) errno.Errno
	Accept(ino uint64, wake func(events uint32)) (Endpoint, errno.Errno)

	// Connect returns EINPROGRESS if that takes time: then Ready tells when it is
	// done, and the option SO_ERROR how it went.
	Connect(addr []byte) errno.Errno
	Address(peer bool) ([]byte, errno.Errno)
	Send(m *socket.Message) (int, errno.Errno)
	Receive(m *socket.Message) (int, errno.Errno)

	// Copied is called after a call with MSG_ZEROCOPY, whose data are the program's again.
	Copied()
	Shutdown(read, write bool) errno.Errno
	Ready() (events uint32) // of poll(2)

	// Queued returns how many bytes can be received, SIOCINQ, or have been sent
	// and not been acknowledged, SIOCOUTQ.
	Queued(sent bool) (int, errno.Errno)

	// AtMark says whether urgent data are next, SIOCATMARK.
	AtMark() (bool, errno.Errno)
	Option(level, name int32, room int) ([]byte, errno.Errno)
	SetOption(level, name int32, value []byte) errno.Errno
	Close()

	// Linger returns how long who has closed it is to wait for its peer to take what was
	// sent (SO_LINGER): 0 when it has.
	Linger() time.Duration
}

// Socket implements linux.Network.
func (n *Network) Socket(c socket.Caller, family, kind, protocol int32) (socket.Socket, errno.Errno) {
	raw := kind == socket.Raw && (family == socket.AFInet || family == socket.AFInet6)
	if (raw || family == socket.AFPacket) && !c.Can(socket.CapNetRaw) {
		return nil, errno.EPERM
	}
	s := n.newSocket(family, kind, protocol)
	end, err := n.newEndpoint(family, kind, protocol, s.Ino, s.queue.WakeFor)
	if err != 0 {
		return nil, err
	}
	s.end = end
	if v, err := end.Option(socket.SolSocket, socket.SoProtocol, 4); err == 0 {
		s.Protocol = int32(v[0]) // what stands for 0
	}
	return s, 0
}

func (n *Network) newSocket(family, kind, protocol int32) *Socket {
	s := &Socket{net: n}
	s.Network = true
	s.Init(family, kind, protocol, n.config.NewIno())
	return s
}

// Close implements socket.Socket.
func (s *Socket) Close() { s.end.Close() }

// Linger waits for the peer to have taken all, once s is closed, or for a signal.
func (s *Socket) Linger(c socket.Caller) {
	const look = 4_000_000 // ns: netstack tells nobody
	done := func() bool { return s.end.Linger() == 0 }
	limit := s.end.Linger()
	for end := uint64(nanotime()) + uint64(limit); limit > 0 && !done(); {
		now := uint64(nanotime())
		if now >= end || c.Wait(&s.queue, min(end, now+look), done) != errno.ETIMEDOUT {
			break
		}
	}
}

// Poll implements socket.Socket.
func (s *Socket) Poll() (uint32, *wait.Queue) {
	ready := s.end.Ready()
	if ready&wait.In != 0 {
		ready |= wait.RdNorm
	}
	if ready&wait.Out != 0 {
		ready |= wait.WrNorm
		if s.Kind != socket.Stream {
			ready |= wait.WrBand
		}
	}
	return ready, &s.queue
}

// Bind implements socket.Socket.
func (s *Socket) Bind(c socket.Caller, addr []byte) errno.Errno {
	const privileged = 1024 // ports below (ip(7))
	if inet := s.Family == socket.AFInet || s.Family == socket.AFInet6; inet && s.Kind != socket.Raw && len(addr) >= 4 {
		if port := int(addr[2])<<8 | int(addr[3]); port != 0 && port < privileged && !c.Can(socket.CapNetBind) {
			return errno.EACCES
		}
	}
	return s.end.Bind(addr)
}

// Listen implements socket.Socket.
func (s *Socket) Listen(c socket.Caller, backlog int) errno.Errno { return s.end.Listen(backlog) }

// Accept implements socket.Socket.
func (s *Socket) Accept(c socket.Caller, flags uintptr) (socket.Socket, errno.Errno) {
	n := s.net.newSocket(s.Family, s.Kind, s.Protocol)
	var err errno.Errno
	if waited := s.Await(c, &s.queue, flags, socket.SoRcvtimeo, func() bool {
		n.end, err = s.end.Accept(n.Ino, n.queue.WakeFor)
		return err != errno.EAGAIN
	}); waited != 0 {
		return nil, waited
	}
	if err != 0 {
		return nil, err
	}
	n.Inherit(&s.Base)
	return n, 0
}

// Connect implements socket.Socket.
func (s *Socket) Connect(c socket.Caller, addr []byte, flags uintptr) errno.Errno {
	waits := flags&socket.MsgDontwait == 0
	err := s.end.Connect(addr)
	if err == errno.EALREADY && waits {
		err = errno.EINPROGRESS // it waits for the one that is on the way
	}
	if err != errno.EINPROGRESS || !waits {
		return err
	}
	err = s.Await(c, &s.queue, 0, socket.SoSndtimeo, func() bool { return s.end.Ready()&(wait.Out|wait.Err|wait.Hup) != 0 })
	switch err {
	case 0:
		if err = s.takeError(); err == 0 {
			s.end.Connect(addr) // which takes note of that it was told
		} else {
			unspecified := [2]byte{} // AF_UNSPEC: it is as if it had not been tried
			s.end.Connect(unspecified[:])
		}
	case errno.EAGAIN: // SO_SNDTIMEO
		err = errno.EINPROGRESS
	}
	return err
}

// connectFirst is MSG_FASTOPEN (tcp(7)) where no server is known that takes data with the
// first segment: the data follow when there is a connection.
func (s *Socket) connectFirst(c socket.Caller, m *socket.Envelope) errno.Errno {
	if len(m.Addr) >= 2 && m.Addr[0]|m.Addr[1] == 0 { // AF_UNSPEC
		return errno.EOPNOTSUPP
	}
	if len(m.Addr) == 0 {
		if _, err := s.Address(true); err == 0 {
			return errno.EISCONN
		}
	}
	return s.Connect(c, m.Addr, m.Flags)
}

// takeError returns SO_ERROR, and clears it.
func (s *Socket) takeError() errno.Errno {
	v, err := s.end.Option(socket.SolSocket, socket.SoError, 4)
	if err == 0 {
		err = errno.Errno(v[0]) | errno.Errno(v[1])<<8
	}
	return err
}

// Option implements socket.Socket.
func (s *Socket) Option(level int32, option uintptr, size int) ([]byte, errno.Errno) {
	return s.end.Option(level, int32(option), size)
}

// SetOption implements socket.Socket.
func (s *Socket) SetOption(level int32, option uintptr, v []byte) errno.Errno {
	return s.end.SetOption(level, int32(option), v)
}

// Address implements socket.Socket.
func (s *Socket) Address(peer bool) ([]byte, errno.Errno) { return s.end.Address(peer) }

// Shutdown implements socket.Socket.
func (s *Socket) Shutdown(how uintptr) errno.Errno {
	return s.end.Shutdown(how&socket.ShutRead != 0, how&socket.ShutWrite != 0)
}

// Send implements socket.Socket.
func (s *Socket) Send(c socket.Caller, m *socket.Envelope) (done int, err errno.Errno) {
	m.Data = m.Buffer
	if len(m.Files) > 0 {
		return 0, errno.EINVAL
	}
	m.Admin = s.Family == socket.AFNetlink && c.Can(socket.CapNetAdmin)
	if m.Flags&socket.MsgFastopen != 0 && s.Kind == socket.Stream {
		if err := s.connectFirst(c, m); err != 0 {
			return 0, err
		}
	}
	for {
		var sent int
		if sent, err = s.end.Send(&m.Message); err == errno.EAGAIN {
			sent, err = s.await(c, m, m.Flags, socket.SoSndtimeo, Endpoint.Send)
		}
		done += sent
		if err != 0 || s.Kind != socket.Stream || m.Len() == 0 || m.Fault() {
			break
		}
	}
	if m.Flags&socket.MsgZerocopy != 0 && (done > 0 || err == 0 && s.Kind != socket.Stream) {
		s.end.Copied()
	}
	if done > 0 {
		return done, 0
	}
	if err == errno.EPIPE && s.Kind == socket.Stream && m.Flags&socket.MsgNosignal == 0 {
		c.BrokenPipe()
	}
	return 0, err
}

// Receive implements socket.Socket.
func (s *Socket) Receive(c socket.Caller, m *socket.Envelope) (done int, err errno.Errno) {
	m.Data = m.Buffer
	m.Flags &^= socket.MsgMore // says below that there is some already, so urgent data are the end
	flags := m.Flags
	if flags&(socket.MsgErrqueue|socket.MsgOOB) != 0 {
		flags |= socket.MsgDontwait
	}
	for {
		var got int
		if got, err = s.end.Receive(&m.Message); err == errno.EAGAIN {
			got, err = s.await(c, m, flags, socket.SoRcvtimeo, Endpoint.Receive)
		}
		done += got
		m.Flags |= socket.MsgMore
		if err != 0 || got == 0 || s.Kind != socket.Stream || m.Len() == 0 || m.Fault() || flags&(socket.MsgWaitall|socket.MsgPeek) != socket.MsgWaitall {
			break
		}
	}
	if done > 0 {
		err = 0
	}
	return done, err
}

// await does what was errno.EAGAIN until it is not, as long as a call with these flags waits. It is
// not where that is done first, since what it needs is on the heap.
func (s *Socket) await(c socket.Caller, m *socket.Envelope, flags, timeout uintptr, do func(Endpoint, *socket.Message) (int, errno.Errno)) (int, errno.Errno) {
	if flags&socket.MsgDontwait != 0 {
		return 0, errno.EAGAIN
	}
	var n int
	var failed errno.Errno
	if err := s.Await(c, &s.queue, flags, timeout, func() bool {
		n, failed = do(s.end, &m.Message)
		return failed != errno.EAGAIN
	}); err != 0 {
		return n, err
	}
	return n, failed
}

// Ioctl tells how many bytes there are to be read, or have been sent and not been
// acknowledged, and whether urgent data are next.
func (s *Socket) Ioctl(c socket.Caller, req, arg uintptr) (uintptr, errno.Errno) {
	switch {
	case req == socket.Inq || req == socket.Outq:
		n, err := s.end.Queued(req == socket.Outq)
		if err != 0 {
			return 0, err
		}
		return 0, c.CopyOut(arg, []byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)})
	case req == socket.AtMark:
		at, err := s.end.AtMark()
		if err != 0 {
			return 0, err
		}
		return 0, c.CopyOut(arg, boolOf(at))
	}
	return 0, errno.ENOTTY
}
