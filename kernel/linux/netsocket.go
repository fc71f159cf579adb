package linux

import (
	"gosv/kernel/nic"
	"gosv/kernel/socket"
	"gosv/kernel/wait"
)

// Network is the protocols behind sockets that are not of AF_UNIX: package net has
// them, in the kernel that is linked with it. What it takes and gives has the form of
// Linux's structures.
type Network interface {
	// Socket makes an endpoint for a socket with that inode number. wake is called
	// when the events of poll(2) that it is given may have come; it does not block.
	Socket(family, kind, protocol int32, ino uint64, wake func(events uint32)) (Endpoint, Errno)

	// Attach adds a device. It is called while the machine's devices are looked for.
	Attach(d nic.Device)

	// Flush has the devices send what they hold back for more to be sent at once. A thread
	// calls it before it waits, asks what to wait for, or has used up its turn.
	Flush()

	// Interface does what an ioctl of netdevice(7) asks of a struct ifreq.
	Interface(req uint32, ifreq *[IfreqSize]byte) Errno

	// Interfaces returns a struct ifreq for each IPv4 address, as SIOCGIFCONF does.
	Interfaces() []byte

	// Table returns what a file of /proc/net is to show; of ping/ADDRESS, after how
	// many ns that address has answered, or why it has not.
	Table(name string) string

	// Links returns the names of the network devices, and Attribute what a file of
	// their directories in /sys/class/net is to show.
	Links() []string
	Attribute(link, name string) string
}

// IfreqSize is the size of struct ifreq.
const IfreqSize = 40

// Endpoint is what a socket stands on. None of its methods waits but Close: EAGAIN says
// that there is nothing yet, or no room, and wake will be called.
type Endpoint interface {
	Bind(addr []byte) Errno
	Listen(backlog int) Errno
	Accept(ino uint64, wake func(events uint32)) (Endpoint, Errno)

	// Connect returns EINPROGRESS if that takes time: then Ready tells when it is
	// done, and the option SO_ERROR how it went.
	Connect(addr []byte) Errno
	Address(peer bool) ([]byte, Errno)
	Send(m *Message) (int, Errno)
	Receive(m *Message) (int, Errno)
	Shutdown(read, write bool) Errno
	Ready() (events uint32) // of poll(2)

	// Queued returns how many bytes can be received, SIOCINQ, or have been sent
	// and not been acknowledged, SIOCOUTQ.
	Queued(sent bool) (int, Errno)
	Option(level, name int32, room int) ([]byte, Errno)
	SetOption(level, name int32, value []byte) Errno
	Close() // waits as SO_LINGER says
}

// Message is what one call sends or receives, Control a control message of it.
type (
	Message = socket.Message
	Control = socket.Control
)

// netSocket is a socket on the network.
type netSocket struct {
	socket.Base
	queue wait.Queue
	net   Network
	end   Endpoint
}

func newNetSocket(n Network, family, kind, protocol int32) *netSocket {
	s := &netSocket{net: n}
	s.Network = true
	s.Init(family, kind, protocol, newSocketIno())
	return s
}

func (t *Thread) netSocket(family, kind, protocol int32) (socket.Socket, Errno) {
	n := t.proc.kernel.Network
	if n == nil {
		return nil, EAFNOSUPPORT
	}
	if (kind == socket.Raw || family == socket.AFPacket) && !t.can(capNetRaw) {
		return nil, EPERM
	}
	s := newNetSocket(n, family, kind, protocol)
	end, err := n.Socket(family, kind, protocol, s.Ino, s.queue.WakeFor)
	if err != 0 {
		return nil, err
	}
	s.end = end
	if v, err := end.Option(socket.SolSocket, socket.SoProtocol, 4); err == 0 {
		s.Protocol = int32(v[0]) // what stands for 0
	}
	return s, 0
}

func (s *netSocket) Close() { s.end.Close() }

func (s *netSocket) Poll() (uint32, *wait.Queue) {
	ready := s.end.Ready()
	if ready&pollIn != 0 {
		ready |= pollRdNorm
	}
	if ready&pollOut != 0 {
		ready |= pollWrNorm
		if s.Kind != socket.Stream {
			ready |= pollWrBand
		}
	}
	return ready, &s.queue
}

func (s *netSocket) Bind(c socket.Caller, addr []byte) Errno {
	const privileged = 1024 // ports below (ip(7))
	if inet := s.Family == socket.AFInet || s.Family == socket.AFInet6; inet && s.Kind != socket.Raw && len(addr) >= 4 {
		if port := int(addr[2])<<8 | int(addr[3]); port != 0 && port < privileged && !c.Can(capNetBind) {
			return EACCES
		}
	}
	return s.end.Bind(addr)
}

func (s *netSocket) Listen(c socket.Caller, backlog int) Errno { return s.end.Listen(backlog) }

func (s *netSocket) Accept(c socket.Caller, flags uintptr) (socket.Socket, Errno) {
	n := newNetSocket(s.net, s.Family, s.Kind, s.Protocol)
	var err Errno
	if waited := s.Await(c, &s.queue, flags, socket.SoRcvtimeo, func() bool {
		n.end, err = s.end.Accept(n.Ino, n.queue.WakeFor)
		return err != EAGAIN
	}); waited != 0 {
		return nil, waited
	}
	if err != 0 {
		return nil, err
	}
	n.Inherit(&s.Base)
	return n, 0
}

func (s *netSocket) Connect(c socket.Caller, addr []byte, flags uintptr) Errno {
	waits := flags&socket.MsgDontwait == 0
	err := s.end.Connect(addr)
	if err == EALREADY && waits {
		err = EINPROGRESS // it waits for the one that is on the way
	}
	if err != EINPROGRESS || !waits {
		return err
	}
	err = s.Await(c, &s.queue, 0, socket.SoSndtimeo, func() bool { return s.end.Ready()&(pollOut|pollErr|pollHup) != 0 })
	switch err {
	case 0:
		if err = s.takeError(); err == 0 {
			s.end.Connect(addr) // which takes note of that it was told
		} else {
			unspecified := [2]byte{} // AF_UNSPEC: it is as if it had not been tried
			s.end.Connect(unspecified[:])
		}
	case EAGAIN: // SO_SNDTIMEO
		err = EINPROGRESS
	}
	return err
}

// connectFirst is MSG_FASTOPEN (tcp(7)) where no server is known that takes data with the
// first segment: the data follow when there is a connection.
func (s *netSocket) connectFirst(c socket.Caller, m *socket.Envelope) Errno {
	if len(m.Addr) >= 2 && m.Addr[0]|m.Addr[1] == 0 { // AF_UNSPEC
		return EOPNOTSUPP
	}
	if len(m.Addr) == 0 {
		if _, err := s.Address(true); err == 0 {
			return EISCONN
		}
	}
	return s.Connect(c, m.Addr, m.Flags)
}

// takeError returns SO_ERROR, and clears it.
func (s *netSocket) takeError() Errno {
	v, err := s.end.Option(socket.SolSocket, socket.SoError, 4)
	if err == 0 {
		err = Errno(v[0]) | Errno(v[1])<<8
	}
	return err
}

func (s *netSocket) Option(level int32, option uintptr, size int) ([]byte, Errno) {
	return s.end.Option(level, int32(option), size)
}

func (s *netSocket) SetOption(level int32, option uintptr, v []byte) Errno {
	return s.end.SetOption(level, int32(option), v)
}

func (s *netSocket) Address(peer bool) ([]byte, Errno) { return s.end.Address(peer) }

func (s *netSocket) Shutdown(how uintptr) Errno {
	return s.end.Shutdown(how&socket.ShutRead != 0, how&socket.ShutWrite != 0)
}

func (s *netSocket) Send(c socket.Caller, m *socket.Envelope) (done int, err Errno) {
	m.Data = m.Buffer
	if len(m.Files) > 0 {
		return 0, EINVAL
	}
	if m.Flags&socket.MsgFastopen != 0 && s.Kind == socket.Stream {
		if err := s.connectFirst(c, m); err != 0 {
			return 0, err
		}
	}
	for {
		var sent int
		if sent, err = s.end.Send(&m.Message); err == EAGAIN {
			sent, err = s.await(c, m, m.Flags, socket.SoSndtimeo, Endpoint.Send)
		}
		done += sent
		if err != 0 || s.Kind != socket.Stream || m.Len() == 0 || m.Fault() {
			break
		}
	}
	if done > 0 {
		return done, 0
	}
	if err == EPIPE && s.Kind == socket.Stream && m.Flags&socket.MsgNosignal == 0 {
		c.BrokenPipe()
	}
	return 0, err
}

func (s *netSocket) Receive(c socket.Caller, m *socket.Envelope) (done int, err Errno) {
	m.Data = m.Buffer
	flags := m.Flags
	if flags&socket.MsgErrqueue != 0 {
		flags |= socket.MsgDontwait
	}
	for {
		var got int
		if got, err = s.end.Receive(&m.Message); err == EAGAIN {
			got, err = s.await(c, m, flags, socket.SoRcvtimeo, Endpoint.Receive)
		}
		done += got
		if err != 0 || got == 0 || s.Kind != socket.Stream || m.Len() == 0 || m.Fault() || flags&(socket.MsgWaitall|socket.MsgPeek) != socket.MsgWaitall {
			break
		}
	}
	if done > 0 {
		err = 0
	}
	return done, err
}

// await does what was EAGAIN until it is not, as long as a call with these flags waits. It is
// not where that is done first, since what it needs is on the heap.
func (s *netSocket) await(c socket.Caller, m *socket.Envelope, flags, timeout uintptr, do func(Endpoint, *Message) (int, Errno)) (int, Errno) {
	if flags&socket.MsgDontwait != 0 {
		return 0, EAGAIN
	}
	var n int
	var failed Errno
	if err := s.Await(c, &s.queue, flags, timeout, func() bool {
		n, failed = do(s.end, &m.Message)
		return failed != EAGAIN
	}); err != 0 {
		return n, err
	}
	return n, failed
}

// Requests of ioctl(2) about network devices (netdevice(7)): those between read or
// set what a struct ifreq is about, SIOCGIFCONF lists.
const (
	siocFirst   = 0x8910 // SIOCGIFNAME
	siocGIFConf = 0x8912
	siocLast    = 0x8970
	siocAtMark  = 0x8905
)

func (s *netSocket) Ioctl(c socket.Caller, req, arg uintptr) (uintptr, Errno) {
	switch {
	case req == fioNRead || req == fioOutQ:
		n, err := s.end.Queued(req == fioOutQ)
		if err != 0 {
			return 0, err
		}
		return 0, c.CopyOut(arg, []byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)})
	case req == siocAtMark:
		return 0, c.CopyOut(arg, make([]byte, 4))
	}
	return 0, ENOTTY
}

// deviceIoctl is ioctl(2) of any socket about network devices.
func (t *Thread) deviceIoctl(req, arg uintptr) (uintptr, Errno) {
	net := t.proc.kernel.Network
	if net == nil || req < siocFirst || req > siocLast {
		return 0, ENOTTY
	}
	if req == siocGIFConf {
		return 0, t.interfaces(net.Interfaces(), arg)
	}
	var ifreq [IfreqSize]byte
	if err := copyIn(t, &ifreq, arg); err != 0 {
		return 0, err
	}
	if err := net.Interface(uint32(req), &ifreq); err != 0 {
		return 0, err
	}
	return 0, copyOut(t, arg, &ifreq)
}

// interfaces answers SIOCGIFCONF.
func (t *Thread) interfaces(list []byte, arg uintptr) Errno {
	var conf struct {
		len int32
		_   int32
		buf uintptr
	}
	if err := copyIn(t, &conf, arg); err != 0 {
		return err
	}
	if conf.buf != 0 {
		list = list[:min(len(list), max(0, int(conf.len))/IfreqSize*IfreqSize)]
		if err := t.CopyOut(conf.buf, list); err != 0 {
			return err
		}
	}
	conf.len = int32(len(list))
	return copyOut(t, arg, &conf)
}
