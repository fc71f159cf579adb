package linux

import (
	"gosv/kernel/nic"
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

// Message is what one call sends or receives.
type Message struct {
	Data interface {
		Len() int
		Read(p []byte) (int, error)  // what is sent
		Write(p []byte) (int, error) // what is received
	}
	Flags   uintptr   // MSG_PEEK ... of the call, MSG_TRUNC ... of what was received
	Addr    []byte    // where it goes, nil for the one it is connected to; where it came from
	Control []Control // what goes along with it
}

// Control is a control message (cmsg(3)).
type Control struct {
	Level, Kind int32
	Data        []byte
}

// netSocket is a socket on the network.
type netSocket struct {
	socketCommon
	queue wait.Queue
	net   Network
	end   Endpoint
}

func newNetSocket(n Network, family, kind, protocol int32) *netSocket {
	s := &netSocket{net: n}
	s.network = true
	s.init(family, kind, protocol)
	return s
}

func (t *Thread) netSocket(family, kind, protocol int32) (socket, Errno) {
	n := t.proc.kernel.Network
	if n == nil {
		return nil, EAFNOSUPPORT
	}
	if (kind == sockRaw || family == afPacket) && !t.can(capNetRaw) {
		return nil, EPERM
	}
	s := newNetSocket(n, family, kind, protocol)
	end, err := n.Socket(family, kind, protocol, s.ino, s.queue.WakeFor)
	if err != 0 {
		return nil, err
	}
	s.end = end
	if v, err := end.Option(solSocket, soProtocol, 4); err == 0 {
		s.protocol = int32(v[0]) // what stands for 0
	}
	return s, 0
}

func (s *netSocket) close(*File) { s.end.Close() }

func (s *netSocket) poll(*File) (uint32, *wait.Queue) {
	ready := s.end.Ready()
	if ready&pollIn != 0 {
		ready |= pollRdNorm
	}
	if ready&pollOut != 0 {
		ready |= pollWrNorm
		if s.kind != sockStream {
			ready |= pollWrBand
		}
	}
	return ready, &s.queue
}

func (s *netSocket) bind(t *Thread, addr []byte) Errno {
	const privileged = 1024 // ports below (ip(7))
	if inet := s.family == afInet || s.family == afInet6; inet && s.kind != sockRaw && len(addr) >= 4 {
		if port := int(addr[2])<<8 | int(addr[3]); port != 0 && port < privileged && !t.can(capNetBind) {
			return EACCES
		}
	}
	return s.end.Bind(addr)
}

func (s *netSocket) listen(t *Thread, backlog int) Errno { return s.end.Listen(backlog) }

func (s *netSocket) accept(t *Thread, f *File) (socket, Errno) {
	n := newNetSocket(s.net, s.family, s.kind, s.protocol)
	var err Errno
	if waited := s.await(t, f, &s.queue, 0, soRcvtimeo, func() bool {
		n.end, err = s.end.Accept(n.ino, n.queue.WakeFor)
		return err != EAGAIN
	}); waited != 0 {
		return nil, waited
	}
	if err != 0 {
		return nil, err
	}
	n.inherit(&s.socketCommon)
	return n, 0
}

func (s *netSocket) connect(t *Thread, f *File, addr []byte) Errno {
	err := s.end.Connect(addr)
	if err == EALREADY && !f.nonblock() {
		err = EINPROGRESS // it waits for the one that is on the way
	}
	if err != EINPROGRESS || f.nonblock() {
		return err
	}
	err = s.await(t, f, &s.queue, 0, soSndtimeo, func() bool { return s.end.Ready()&(pollOut|pollErr|pollHup) != 0 })
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

// takeError returns SO_ERROR, and clears it.
func (s *netSocket) takeError() Errno {
	v, err := s.end.Option(solSocket, soError, 4)
	if err == 0 {
		err = Errno(v[0]) | Errno(v[1])<<8
	}
	return err
}

func (s *netSocket) getOption(t *Thread, level int32, option uintptr, size int) ([]byte, Errno) {
	return s.end.Option(level, int32(option), size)
}

func (s *netSocket) setOption(t *Thread, level int32, option uintptr, v []byte) Errno {
	return s.end.SetOption(level, int32(option), v)
}

func (s *netSocket) address(peer bool) ([]byte, Errno) { return s.end.Address(peer) }

func (s *netSocket) shutdown(how uintptr) Errno {
	return s.end.Shutdown(how&shutRead != 0, how&shutWrite != 0)
}

func (s *netSocket) read(t *Thread, f *File, u *userIO) (int, Errno) {
	if u.left == 0 && s.kind == sockStream {
		return 0, 0
	}
	return s.receive(t, f, t.message(u))
}

func (s *netSocket) write(t *Thread, f *File, u *userIO) (int, Errno) {
	return s.send(t, f, t.message(u))
}

func (s *netSocket) send(t *Thread, f *File, m *message) (done int, err Errno) {
	m.Data = m.userIO
	if len(m.files) > 0 {
		return 0, EINVAL
	}
	for {
		var sent int
		var failed Errno
		err = s.await(t, f, &s.queue, m.Flags, soSndtimeo, func() bool {
			sent, failed = s.end.Send(&m.Message)
			return failed != EAGAIN
		})
		done += sent
		if err == 0 {
			err = failed
		}
		if err != 0 || s.kind != sockStream || m.left == 0 || m.fault {
			break
		}
	}
	if done > 0 {
		return done, 0
	}
	if err == EPIPE && s.kind == sockStream && m.Flags&msgNosignal == 0 {
		t.brokenPipe()
	}
	return 0, err
}

func (s *netSocket) receive(t *Thread, f *File, m *message) (done int, err Errno) {
	m.Data = m.userIO
	flags := m.Flags
	if flags&msgErrqueue != 0 {
		flags |= msgDontwait
	}
	for {
		var got int
		var failed Errno
		err = s.await(t, f, &s.queue, flags, soRcvtimeo, func() bool {
			got, failed = s.end.Receive(&m.Message)
			return failed != EAGAIN
		})
		done += got
		if err == 0 {
			err = failed
		}
		if err != 0 || got == 0 || s.kind != sockStream || m.left == 0 || m.fault || flags&(msgWaitall|msgPeek) != msgWaitall {
			break
		}
	}
	if done > 0 {
		err = 0
	}
	return done, err
}

// Requests of ioctl(2) about network devices (netdevice(7)): those between read or
// set what a struct ifreq is about, SIOCGIFCONF lists.
const (
	siocFirst   = 0x8910 // SIOCGIFNAME
	siocGIFConf = 0x8912
	siocLast    = 0x8970
	siocAtMark  = 0x8905
)

func (s *netSocket) ioctl(t *Thread, f *File, req, arg uintptr) (uintptr, Errno) {
	switch {
	case req == fioNRead || req == fioOutQ:
		n, err := s.end.Queued(req == fioOutQ)
		if err != 0 {
			return 0, err
		}
		v := int32(n)
		return 0, copyOut(t, arg, &v)
	case req == siocAtMark:
		return 0, copyOut(t, arg, new(int32))
	}
	return t.deviceIoctl(req, arg)
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
