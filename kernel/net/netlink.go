package net

import (
	"sync"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"gosv/kernel/errno"
	"gosv/kernel/socket"
)

// netlinkSocket is a socket of NETLINK_ROUTE (netlink(7), rtnetlink(7)), which tells of
// devices, addresses and routes, and changes none.
type netlinkSocket struct {
	net  *Network
	kind int32
	wake func(events uint32)

	mu      sync.Mutex
	port    uint32   // 0: it has none yet
	groups  uint32   // of which nothing ever comes
	replies [][]byte // a datagram each
}

const (
	sizeofNetlinkAddr = 12
	kernelPID         = 4000 // ports that are made up start behind
	dumpDatagram      = 8192 // bytes of replies that go together
)

func (n *Network) netlinkSocket(kind, protocol int32, wake func(events uint32)) (Endpoint, errno.Errno) {
	switch {
	case kind != sockRaw && kind != sockDgram:
		return nil, errno.ESOCKTNOSUPPORT
	case protocol < 0 || protocol >= 32:
		return nil, errno.EPROTONOSUPPORT
	case protocol != unix.NETLINK_ROUTE:
		return nil, errno.EPROTONOSUPPORT
	}
	return &netlinkSocket{net: n, kind: kind, wake: wake}, 0
}

func (s *netlinkSocket) parse(addr []byte) (port, groups uint32, err errno.Errno) {
	if len(addr) < sizeofNetlinkAddr {
		return 0, 0, errno.EINVAL
	}
	if le.Uint16(addr) != afNetlink {
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

// named gives s a port, if it has none; its lock is held.
func (s *netlinkSocket) named() {
	if s.port == 0 {
		s.net.mu.Lock()
		s.net.ports++
		s.port = kernelPID + s.net.ports
		s.net.mu.Unlock()
	}
}

// Bind implements Endpoint.
func (s *netlinkSocket) Bind(addr []byte) errno.Errno {
	port, groups, err := s.parse(addr)
	if err != 0 {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.port == 0 && port != 0:
		s.port = port
	case port != 0 && s.port != port:
		return errno.EINVAL
	}
	s.named()
	s.groups = groups
	return 0
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
	s.mu.Lock()
	s.named()
	s.mu.Unlock()
	return err
}

// Address implements Endpoint.
func (s *netlinkSocket) Address(peer bool) ([]byte, errno.Errno) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if peer {
		return netlinkAddr(0, 0), 0
	}
	return netlinkAddr(s.port, s.groups), 0
}

func (s *netlinkSocket) Listen(int) errno.Errno { return errno.EOPNOTSUPP }
func (s *netlinkSocket) Accept(uint64, func(uint32)) (Endpoint, errno.Errno) {
	return nil, errno.EOPNOTSUPP
}
func (s *netlinkSocket) Shutdown(read, write bool) errno.Errno { return errno.EOPNOTSUPP }
func (s *netlinkSocket) Close()                                {}
func (s *netlinkSocket) Queued(bool) (int, errno.Errno)        { return 0, errno.ENOTTY }

// Ready implements Endpoint.
func (s *netlinkSocket) Ready() uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.replies) > 0 {
		return pollIn | pollOut
	}
	return pollOut
}

// Option implements Endpoint.
func (s *netlinkSocket) Option(level, name int32, room int) ([]byte, errno.Errno) {
	switch level {
	case unix.SOL_SOCKET:
		switch name {
		case unix.SO_ERROR, unix.SO_PROTOCOL, unix.SO_ACCEPTCONN, unix.SO_REUSEADDR, unix.SO_BROADCAST, unix.SO_TIMESTAMP:
			return int32Of(0), 0
		case unix.SO_SNDBUF, unix.SO_RCVBUF:
			return int32Of(defaultBuf), 0
		}
	case unix.SOL_NETLINK:
		return int32Of(0), 0
	}
	return nil, errno.ENOPROTOOPT
}

// SetOption implements Endpoint.
func (s *netlinkSocket) SetOption(level, name int32, value []byte) errno.Errno {
	if level != unix.SOL_SOCKET && level != unix.SOL_NETLINK {
		return errno.ENOPROTOOPT
	}
	return 0
}

// Send implements Endpoint: it answers the requests at once.
func (s *netlinkSocket) Send(m *socket.Message) (int, errno.Errno) {
	if m.Flags&msgOOB != 0 {
		return 0, errno.EOPNOTSUPP
	}
	if m.Addr != nil {
		port, _, err := s.parse(m.Addr)
		switch {
		case err != 0:
			return 0, err
		case port != 0:
			return 0, errno.ECONNREFUSED
		}
	}
	b := make([]byte, m.Data.Len())
	if n, err := m.Data.Read(b); n < len(b) || err != nil {
		return 0, errno.EFAULT
	}
	s.mu.Lock()
	s.named()
	port := s.port
	s.mu.Unlock()
	for rest := b; len(rest) >= unix.SizeofNlMsghdr; {
		size := int(le.Uint32(rest))
		if size < unix.SizeofNlMsghdr || size > len(rest) {
			break
		}
		a := answer{net: s.net, port: port, seq: le.Uint32(rest[8:])}
		a.request(le.Uint16(rest[4:]), le.Uint16(rest[6:]), rest[:size])
		s.mu.Lock()
		s.replies = append(s.replies, a.datagrams...)
		s.mu.Unlock()
		rest = rest[min((size+3)&^3, len(rest)):]
	}
	s.wake(pollIn)
	return len(b), 0
}

// Receive implements Endpoint.
func (s *netlinkSocket) Receive(m *socket.Message) (int, errno.Errno) {
	if m.Flags&msgOOB != 0 {
		return 0, errno.EOPNOTSUPP
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.replies) == 0 {
		return 0, errno.EAGAIN
	}
	b := s.replies[0]
	if m.Flags&msgPeek == 0 {
		s.replies = s.replies[1:]
	}
	n := min(len(b), m.Data.Len())
	if _, err := m.Data.Write(b[:n]); err != nil {
		return 0, errno.EFAULT
	}
	all := m.Flags&msgTrunc != 0
	m.Flags &^= msgTrunc
	if n < len(b) {
		m.Flags |= msgTrunc
		if all {
			n = len(b)
		}
	}
	m.Addr = netlinkAddr(0, 0)
	return n, 0
}

// answer is what one request is answered.
type answer struct {
	net       *Network
	port, seq uint32
	flags     uint16
	datagrams [][]byte
	at        int // of the message that is being written, in the last datagram
}

// Requests of which there is no dump are refused.
func (a *answer) request(kind, flags uint16, message []byte) {
	const dump = unix.NLM_F_DUMP
	body := message[unix.SizeofNlMsghdr:]
	family := uint8(0)
	if len(body) > 0 {
		family = body[0]
	}
	if kind < unix.NLMSG_MIN_TYPE { // the protocol's own: nothing is asked
		if flags&unix.NLM_F_ACK != 0 {
			a.ack(message, 0)
		}
		return
	}
	a.net.up()
	a.net.configured()
	if flags&dump == dump {
		a.flags = unix.NLM_F_MULTI
		switch kind {
		case unix.RTM_GETLINK:
			for _, l := range a.net.all() {
				a.link(l)
			}
		case unix.RTM_GETADDR:
			a.addresses(family)
		case unix.RTM_GETROUTE:
			a.routes(family)
		case unix.RTM_GETNEIGH, unix.RTM_GETRULE, unix.RTM_GETQDISC:
		default:
			a.flags = 0
			a.ack(message, errno.EOPNOTSUPP)
			return
		}
		a.begin(unix.NLMSG_DONE)
		a.put(int32Of(0))
		a.end()
		return
	}
	err := errno.EOPNOTSUPP
	switch kind {
	case unix.RTM_GETLINK:
		if err = a.oneLink(body); err == 0 && flags&unix.NLM_F_ACK == 0 {
			return
		}
	case unix.RTM_GETROUTE:
		if err = a.oneRoute(body); err == 0 && flags&unix.NLM_F_ACK == 0 {
			return
		}
	case unix.RTM_NEWADDR, unix.RTM_DELADDR, unix.RTM_NEWROUTE, unix.RTM_DELROUTE, unix.RTM_NEWLINK, unix.RTM_DELLINK, unix.RTM_SETLINK:
		err = errno.EPERM
	}
	a.ack(message, err)
}

// begin starts a message, in a datagram with others if there is room.
func (a *answer) begin(kind uint16) {
	if n := len(a.datagrams); n == 0 || len(a.datagrams[n-1]) > dumpDatagram-2048 {
		a.datagrams = append(a.datagrams, nil)
	}
	b := &a.datagrams[len(a.datagrams)-1]
	a.at = len(*b)
	*b = append(*b, make([]byte, unix.SizeofNlMsghdr)...)
	h := (*b)[a.at:]
	le.PutUint16(h[4:], kind)
	le.PutUint16(h[6:], a.flags)
	le.PutUint32(h[8:], a.seq)
	le.PutUint32(h[12:], a.port)
}

// put adds bytes to the message, padded to whole words.
func (a *answer) put(p []byte) {
	b := &a.datagrams[len(a.datagrams)-1]
	*b = append(*b, p...)
	*b = append(*b, make([]byte, -len(*b)&3)...)
}

func (a *answer) end() {
	b := a.datagrams[len(a.datagrams)-1]
	le.PutUint32(b[a.at:], uint32(len(b)-a.at))
}

// attr adds a struct rtattr.
func (a *answer) attr(kind uint16, value []byte) {
	h := le.AppendUint16(nil, uint16(unix.SizeofRtAttr+len(value)))
	a.put(append(le.AppendUint16(h, kind), value...))
}

// ack ends the answer: NLMSG_ERROR, with 0 for success.
func (a *answer) ack(message []byte, err errno.Errno) {
	a.begin(unix.NLMSG_ERROR)
	a.put(int32Of(-int(err)))
	if err == 0 {
		message = message[:unix.SizeofNlMsghdr]
	}
	a.put(message)
	a.end()
}

func (a *answer) link(l *link) {
	a.begin(unix.RTM_NEWLINK)
	h := make([]byte, unix.SizeofIfInfomsg)
	le.PutUint16(h[2:], l.kind)
	le.PutUint32(h[4:], uint32(l.index))
	le.PutUint32(h[8:], l.state())
	a.put(h)
	a.attr(unix.IFLA_IFNAME, append([]byte(l.name), 0))
	a.attr(unix.IFLA_TXQLEN, int32Of(queueLength))
	const unknown, down, up = 0, 2, 6 // IF_OPER_UNKNOWN ...
	state := byte(up)
	if !l.up() {
		state = down
	}
	mac, all := []byte(l.mac), []byte(header.EthernetBroadcastAddress)
	if l.flags&iffLoopback != 0 {
		state = unknown
		mac = make([]byte, 6)
		all = mac
	}
	a.attr(unix.IFLA_OPERSTATE, []byte{state})
	a.attr(unix.IFLA_LINKMODE, []byte{0})
	a.attr(unix.IFLA_MTU, int32Of(l.mtu))
	a.attr(unix.IFLA_ADDRESS, mac)
	a.attr(unix.IFLA_BROADCAST, all)
	s := a.net.stack.NICInfo()[l.index].Stats
	stats := make([]byte, 25*8) // struct rtnl_link_stats64
	for i, v := range [...]*tcpip.StatCounter{s.Rx.Packets, s.Tx.Packets, s.Rx.Bytes, s.Tx.Bytes} {
		le.PutUint64(stats[i*8:], v.Value())
	}
	a.attr(unix.IFLA_STATS64, stats)
	a.end()
}

// oneLink answers for the device that a struct ifinfomsg or an attribute names.
func (a *answer) oneLink(body []byte) errno.Errno {
	if len(body) < unix.SizeofIfInfomsg {
		return errno.EINVAL
	}
	index, name := le.Uint32(body[4:]), ""
	eachAttr(body[unix.SizeofIfInfomsg:], func(kind uint16, value []byte) {
		if kind == unix.IFLA_IFNAME {
			name = cstring(value)
		}
	})
	for _, l := range a.net.all() {
		if uint32(l.index) == index || index == 0 && l.name == name {
			a.link(l)
			return 0
		}
	}
	return errno.ENODEV
}

func eachAttr(b []byte, f func(kind uint16, value []byte)) {
	for len(b) >= unix.SizeofRtAttr {
		n := int(le.Uint16(b))
		if n < unix.SizeofRtAttr || n > len(b) {
			return
		}
		f(le.Uint16(b[2:]), b[unix.SizeofRtAttr:n])
		b = b[min((n+3)&^3, len(b)):]
	}
}

// wants says whether a dump of that family has addresses of that length.
func wants(family uint8, size int) bool {
	return family == afUnspec || int(family) == afInet && size == header.IPv4AddressSize || int(family) == afInet6 && size == header.IPv6AddressSize
}

func familyOf(a tcpip.Address) byte {
	if a.Len() == header.IPv4AddressSize {
		return afInet
	}
	return afInet6
}

func (a *answer) addresses(family uint8) {
	for _, size := range [...]int{header.IPv4AddressSize, header.IPv6AddressSize} {
		if !wants(family, size) {
			continue
		}
		for _, l := range a.net.all() {
			for _, p := range a.net.addresses(l.index) {
				if p.Address.Len() == size {
					a.address(l, p)
				}
			}
		}
	}
}

func (a *answer) address(l *link, p tcpip.AddressWithPrefix) {
	a.begin(unix.RTM_NEWADDR)
	where := byte(unix.RT_SCOPE_UNIVERSE)
	switch {
	case header.IsV4LoopbackAddress(p.Address) || p.Address == header.IPv6Loopback:
		where = unix.RT_SCOPE_HOST
	case header.IsV6LinkLocalUnicastAddress(p.Address):
		where = unix.RT_SCOPE_LINK
	}
	h := []byte{familyOf(p.Address), byte(p.PrefixLen), unix.IFA_F_PERMANENT, where}
	a.put(append(h, int32Of(int(l.index))...))
	a.attr(unix.IFA_ADDRESS, p.Address.AsSlice())
	if p.Address.Len() == header.IPv4AddressSize {
		a.attr(unix.IFA_LOCAL, p.Address.AsSlice())
		if l.flags&iffLoopback == 0 {
			to := broadcast(l, p)
			a.attr(unix.IFA_BROADCAST, to.AsSlice())
		}
		a.attr(unix.IFA_LABEL, append([]byte(l.name), 0))
	}
	a.attr(unix.IFA_FLAGS, int32Of(unix.IFA_F_PERMANENT))
	forever := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0}
	a.attr(unix.IFA_CACHEINFO, forever)
	a.end()
}

func (a *answer) routes(family uint8) {
	for _, size := range [...]int{header.IPv4AddressSize, header.IPv6AddressSize} {
		if !wants(family, size) {
			continue
		}
		for _, r := range a.net.routesOf(size) {
			if r.NIC != loopbackNIC {
				a.route(r, r.Destination.ID(), r.Destination.Prefix(), tcpip.Address{})
			}
		}
	}
}

func (a *answer) route(r tcpip.Route, to tcpip.Address, bits int, from tcpip.Address) {
	a.begin(unix.RTM_NEWROUTE)
	where := byte(unix.RT_SCOPE_LINK)
	if r.Gateway.Len() != 0 || familyOf(to) == afInet6 {
		where = unix.RT_SCOPE_UNIVERSE
	}
	a.put([]byte{familyOf(to), byte(bits), 0, 0, unix.RT_TABLE_MAIN, unix.RTPROT_BOOT, where, unix.RTN_UNICAST, 0, 0, 0, 0})
	a.attr(unix.RTA_TABLE, int32Of(unix.RT_TABLE_MAIN))
	if bits > 0 {
		a.attr(unix.RTA_DST, to.AsSlice())
	}
	if r.Gateway.Len() != 0 {
		a.attr(unix.RTA_GATEWAY, r.Gateway.AsSlice())
	}
	if from.Len() != 0 {
		a.attr(unix.RTA_PREFSRC, from.AsSlice())
	}
	a.attr(unix.RTA_OIF, int32Of(int(r.NIC)))
	a.end()
}

// oneRoute answers how to get to the address in RTA_DST.
func (a *answer) oneRoute(body []byte) errno.Errno {
	if len(body) < unix.SizeofRtMsg {
		return errno.EINVAL
	}
	var to tcpip.Address
	eachAttr(body[unix.SizeofRtMsg:], func(kind uint16, value []byte) {
		if kind == unix.RTA_DST && (len(value) == header.IPv4AddressSize || len(value) == header.IPv6AddressSize) {
			to = tcpip.AddrFromSlice(value)
		}
	})
	if to.Len() == 0 {
		return errno.EINVAL
	}
	protocol := header.IPv4ProtocolNumber
	if to.Len() == header.IPv6AddressSize {
		protocol = header.IPv6ProtocolNumber
	}
	r, err := a.net.stack.FindRoute(0, tcpip.Address{}, to, protocol, false)
	if err != nil {
		return errno.ENETUNREACH
	}
	defer r.Release()
	a.route(tcpip.Route{NIC: r.NICID(), Gateway: nextHop(r, to)}, to, to.BitLen(), r.LocalAddress())
	return 0
}

// nextHop is the gateway on the way to an address, none if there is none.
func nextHop(r *stack.Route, to tcpip.Address) tcpip.Address {
	if hop := r.NextHop(); hop != to {
		return hop
	}
	return tcpip.Address{}
}
