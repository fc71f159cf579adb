package net

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"gosv/kernel/bpf"
	"gosv/kernel/errno"
	"gosv/kernel/socket"
)

// netlinkSocket is a socket of NETLINK_ROUTE (netlink(7)). What is asked by it, and what is told, is
// rtnetlink's: see rtnetlink.go.
type netlinkSocket struct {
	net    *Network
	wake   func(events uint32)
	groups atomic.Uint64 // of which it is told: bit 0 is group 1
	port   uint32        // 0: it has none yet; net.mu guards it

	filter bpf.Slot

	mu        sync.Mutex // guards what follows
	switches  uint32     // options that are on, by number
	room      int        // SO_RCVBUF
	queue     []netlinkMessage
	queued    int  // bytes that the queue takes
	congested bool // something was lost, and the rest has not been read yet
	lost      bool // which is still to be reported
}

// netlinkMessage is what one call receives.
type netlinkMessage struct {
	b     []byte
	group uint32 // that was told; 0: it is an answer
}

const (
	sizeofNetlinkAddr = 12
	kernelPID         = 4000 // ports that are made up start behind
	bookkeeping       = 768  // bytes that a datagram takes besides its own, as on Linux
	lastGroup         = 36   // RTNLGRP_STATS
)

func (n *Network) netlinkSocket(kind, protocol int32, wake func(events uint32)) (Endpoint, errno.Errno) {
	switch {
	case kind != sockRaw && kind != sockDgram:
		return nil, errno.ESOCKTNOSUPPORT
	case protocol != unix.NETLINK_ROUTE:
		return nil, errno.EPROTONOSUPPORT
	}
	s := &netlinkSocket{net: n, wake: wake, room: defaultBuf}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.netlinks = append(n.netlinks, s)
	return s, 0
}

func (s *netlinkSocket) parse(addr []byte) (port, groups uint32, err errno.Errno) {
	if len(addr) < sizeofNetlinkAddr || le.Uint16(addr) != afNetlink {
		return 0, 0, errno.EINVAL
	}
	return le.Uint32(addr[4:]), le.Uint32(addr[8:]), 0
}

func netlinkAddr(port, groups uint32) []byte {
	b := make([]byte, sizeofNetlinkAddr)
	le.PutUint16(b, afNetlink)
	le.PutUint32(b[4:], port)
	le.PutUint32(b[8:], groups)
	return b
}

// named gives s a port, if it has none; 0 is any.
func (s *netlinkSocket) named(port uint32) errno.Errno {
	n := s.net
	n.mu.Lock()
	defer n.mu.Unlock()
	taken := func() bool {
		return slices.ContainsFunc(n.netlinks, func(o *netlinkSocket) bool { return o.port == port })
	}
	switch {
	case s.port != 0:
		return 0
	case port != 0 && taken():
		return errno.EADDRINUSE
	}
	for port == 0 || taken() {
		n.ports++
		port = kernelPID + n.ports
	}
	s.port = port
	return 0
}

// name is s's port, or 0.
func (s *netlinkSocket) name() uint32 {
	s.net.mu.Lock()
	defer s.net.mu.Unlock()
	return s.port
}

// Bind implements Endpoint.
func (s *netlinkSocket) Bind(addr []byte) errno.Errno {
	port, groups, err := s.parse(addr)
	if now := s.name(); err == 0 && now != 0 && now != port {
		err = errno.EINVAL
	}
	if err == 0 {
		err = s.named(port)
	}
	if err == 0 {
		const named = 32 // groups that the address has bits for
		s.groups.Store(s.groups.Load()>>named<<named | uint64(groups))
	}
	return err
}

// Connect implements Endpoint.
func (s *netlinkSocket) Connect(addr []byte) errno.Errno {
	if len(addr) >= 2 && le.Uint16(addr) == afUnspec {
		return 0
	}
	port, _, err := s.parse(addr)
	if err == 0 && port != 0 {
		err = errno.ECONNREFUSED
	}
	if err == 0 {
		err = s.named(0)
	}
	return err
}

// Address implements Endpoint.
func (s *netlinkSocket) Address(peer bool) ([]byte, errno.Errno) {
	if peer {
		return netlinkAddr(0, 0), 0
	}
	return netlinkAddr(s.name(), uint32(s.groups.Load())), 0
}

func (s *netlinkSocket) Listen(int) errno.Errno { return errno.EOPNOTSUPP }
func (s *netlinkSocket) Accept(uint64, func(uint32)) (Endpoint, errno.Errno) {
	return nil, errno.EOPNOTSUPP
}
func (s *netlinkSocket) Shutdown(read, write bool) errno.Errno { return errno.EOPNOTSUPP }
func (s *netlinkSocket) Queued(bool) (int, errno.Errno)        { return 0, errno.ENOTTY }
func (s *netlinkSocket) Copied()                               {}
func (s *netlinkSocket) Linger() time.Duration                 { return 0 }
func (s *netlinkSocket) AtMark() (bool, errno.Errno)           { return false, errno.ENOTTY }

// Close implements Endpoint.
func (s *netlinkSocket) Close() {
	n := s.net
	n.mu.Lock()
	defer n.mu.Unlock()
	n.netlinks = slices.DeleteFunc(n.netlinks, func(o *netlinkSocket) bool { return o == s })
}

// Ready implements Endpoint.
func (s *netlinkSocket) Ready() uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	ready := pollOut
	if len(s.queue) > 0 {
		ready |= pollIn
	}
	if s.lost {
		ready |= pollErr
	}
	return ready
}

// Options of SOL_NETLINK that are on or off.
const netlinkSwitches = 1<<unix.NETLINK_PKTINFO | 1<<unix.NETLINK_BROADCAST_ERROR | 1<<unix.NETLINK_NO_ENOBUFS |
	1<<unix.NETLINK_LISTEN_ALL_NSID | 1<<unix.NETLINK_CAP_ACK | 1<<unix.NETLINK_EXT_ACK | 1<<unix.NETLINK_GET_STRICT_CHK

func isSwitch(name int32) bool { return name >= 0 && name < 32 && netlinkSwitches>>name&1 != 0 }

// Option implements Endpoint.
func (s *netlinkSocket) Option(level, name int32, room int) ([]byte, errno.Errno) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case level == unix.SOL_NETLINK && name == unix.NETLINK_LIST_MEMBERSHIPS:
		return le.AppendUint64(nil, s.groups.Load()), 0
	case level == unix.SOL_NETLINK && isSwitch(name):
		return int32Of(int(s.switches >> name & 1)), 0
	case level != unix.SOL_SOCKET:
		return nil, errno.ENOPROTOOPT
	}
	switch name {
	case unix.SO_ERROR:
		if s.lost {
			s.lost = false
			return int32Of(int(errno.ENOBUFS)), 0
		}
		return int32Of(0), 0
	case unix.SO_PROTOCOL, unix.SO_ACCEPTCONN, unix.SO_REUSEADDR, unix.SO_BROADCAST, unix.SO_TIMESTAMP:
		return int32Of(0), 0
	case unix.SO_LOCK_FILTER:
		return boolOf(s.filter.Locked()), 0
	case unix.SO_SNDBUF:
		return int32Of(defaultBuf), 0
	case unix.SO_RCVBUF:
		return int32Of(s.room), 0
	}
	return nil, errno.ENOPROTOOPT
}

// SetOption implements Endpoint.
func (s *netlinkSocket) SetOption(level, name int32, value []byte) errno.Errno {
	v := 0
	if len(value) >= 4 {
		v = int(int32(le.Uint32(value)))
	} else if level == unix.SOL_NETLINK {
		return errno.EINVAL
	}
	switch {
	case level == unix.SOL_SOCKET && bpf.IsOption(uintptr(name)):
		return s.filter.Set(uintptr(name), value)
	case level == unix.SOL_NETLINK && (name == unix.NETLINK_ADD_MEMBERSHIP || name == unix.NETLINK_DROP_MEMBERSHIP):
		if v < 1 || v > lastGroup {
			return errno.EINVAL
		}
		if bit := uint64(1) << (v - 1); name == unix.NETLINK_ADD_MEMBERSHIP {
			s.groups.Or(bit)
		} else {
			s.groups.And(^bit)
		}
		return 0
	case level == unix.SOL_NETLINK && isSwitch(name):
		s.mu.Lock()
		defer s.mu.Unlock()
		s.switches &^= 1 << name
		if v != 0 {
			s.switches |= 1 << name
		}
		return 0
	case level != unix.SOL_SOCKET:
		return errno.ENOPROTOOPT
	}
	if name == unix.SO_RCVBUF || name == unix.SO_RCVBUFFORCE {
		s.mu.Lock()
		s.room = max(2*min(max(v, 0), defaultBuf), leastReceiveBuf)
		s.mu.Unlock()
	}
	return 0
}

// Send implements Endpoint: it answers the requests at once.
func (s *netlinkSocket) Send(m *socket.Message) (int, errno.Errno) {
	if m.Flags&msgOOB != 0 {
		return 0, errno.EOPNOTSUPP
	}
	if m.Addr != nil {
		port, groups, err := s.parse(m.Addr)
		switch {
		case err != 0:
			return 0, err
		case port != 0:
			return 0, errno.ECONNREFUSED
		case groups != 0 && !m.Admin:
			return 0, errno.EPERM
		}
	}
	if m.Data.Len() > defaultBuf {
		return 0, errno.EMSGSIZE
	}
	b := make([]byte, m.Data.Len())
	if n, err := m.Data.Read(b); n < len(b) || err != nil {
		return 0, errno.EFAULT
	}
	s.named(0)
	port := s.name()
	for rest := b; len(rest) >= unix.SizeofNlMsghdr; {
		size := int(le.Uint32(rest))
		if size < unix.SizeofNlMsghdr || size > len(rest) {
			break
		}
		s.mu.Lock()
		a := answer{net: s.net, port: port, switches: s.switches, admin: m.Admin, full: s.congested || s.queued > s.room}
		s.mu.Unlock()
		a.to(rest[:size])
		s.put(0, a.datagrams)
		rest = rest[min((size+3)&^3, len(rest)):]
	}
	return len(b), 0
}

// put has a message received. If there is no room for it, it is lost, and so is what comes before
// the program has read all that there is (netlink(7), ENOBUFS). The last one may be larger than the room: a whole
// answer to one question.
func (s *netlinkSocket) put(group uint32, list [][]byte) {
	if p := s.filter.Program(); p != nil {
		list = filtered(*p, list)
	}
	if len(list) == 0 {
		return
	}
	s.mu.Lock()
	events := pollIn
	if s.congested || s.queued > s.room {
		if !s.congested && s.switches>>unix.NETLINK_NO_ENOBUFS&1 == 0 {
			s.congested, s.lost = true, true
			events = pollErr
		}
	} else {
		for _, b := range list {
			s.queue = append(s.queue, netlinkMessage{b, group})
			s.queued += len(b) + bookkeeping
		}
	}
	s.mu.Unlock()
	s.wake(events)
}

// filtered is what a socket's filter leaves of datagrams.
func filtered(p bpf.Program, list [][]byte) (kept [][]byte) {
	const fromKernel = 7 // PACKET_KERNEL
	for _, b := range list {
		if n := p.Run(&bpf.Packet{Data: b, Type: fromKernel}); n > 0 {
			kept = append(kept, b[:min(uint64(n), uint64(len(b)))])
		}
	}
	return kept
}

// Receive implements Endpoint.
func (s *netlinkSocket) Receive(m *socket.Message) (int, errno.Errno) {
	if m.Flags&msgOOB != 0 {
		return 0, errno.EOPNOTSUPP
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost {
		s.lost = false
		return 0, errno.ENOBUFS
	}
	if len(s.queue) == 0 {
		return 0, errno.EAGAIN
	}
	d := s.queue[0]
	if m.Flags&msgPeek == 0 {
		s.queue[0] = netlinkMessage{}
		s.queue = s.queue[1:]
		s.queued -= len(d.b) + bookkeeping
		if len(s.queue) == 0 {
			s.queue, s.congested = nil, false
		}
	}
	n := min(len(d.b), m.Data.Len())
	if _, err := m.Data.Write(d.b[:n]); err != nil {
		return 0, errno.EFAULT
	}
	all := m.Flags&msgTrunc != 0
	m.Flags &^= msgTrunc
	if n < len(d.b) {
		m.Flags |= msgTrunc
		if all {
			n = len(d.b)
		}
	}
	mask := uint32(0)
	if d.group > 0 && d.group <= 32 {
		mask = 1 << (d.group - 1)
	}
	m.Addr = netlinkAddr(0, mask)
	if s.switches>>unix.NETLINK_PKTINFO&1 != 0 {
		m.Control = append(m.Control, socket.Control{Level: unix.SOL_NETLINK, Kind: unix.NETLINK_PKTINFO, Data: int32Of(int(d.group))})
	}
	return n, 0
}

// tell sends a message to the sockets that are told of a group. It may be called with netstack's
// locks held, as long as what writes the message needs none of them.
func (n *Network) tell(group uint32, write func(m *answer)) {
	var to []*netlinkSocket
	n.mu.Lock()
	for _, s := range n.netlinks {
		if s.groups.Load()>>(group-1)&1 != 0 {
			to = append(to, s)
		}
	}
	m := answer{net: n, port: n.cause.port, seq: n.cause.seq}
	n.mu.Unlock()
	if len(to) == 0 {
		return
	}
	write(&m)
	for _, s := range to {
		s.put(group, m.datagrams)
	}
}

// blame says whose request is the cause of what is told from now on: 0, 0 is nobody's.
func (n *Network) blame(port, seq uint32) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cause.port, n.cause.seq = port, seq
}
