package net

import (
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"gosv/kernel/errno"
	"gosv/kernel/nic"
	"gosv/kernel/socket"
)

// message is one of netlink's: a structure, and attributes that put adds.
func message(kind, flags uint16, body []byte, put func(m *answer)) []byte {
	m := answer{flags: unix.NLM_F_REQUEST | flags, seq: 7}
	m.begin(kind)
	m.put(body)
	if put != nil {
		put(&m)
	}
	m.end()
	return m.datagrams[0]
}

func addrRequest(kind, flags uint16, link tcpip.NICID, ip tcpip.Address, bits int) []byte {
	return message(kind, flags, append([]byte{familyOf(ip), byte(bits), 0, 0}, int32Of(int(link))...), func(m *answer) { m.ip(unix.IFA_LOCAL, ip) })
}

func routeMessage(kind, flags uint16, to tcpip.AddressWithPrefix, link tcpip.NICID, gateway tcpip.Address) []byte {
	body := []byte{familyOf(to.Address), byte(to.PrefixLen), 0, 0, unix.RT_TABLE_MAIN, unix.RTPROT_BOOT, 0, unix.RTN_UNICAST, 0, 0, 0, 0}
	return message(kind, flags, body, func(m *answer) {
		m.ip(unix.RTA_DST, to.Address)
		m.ip(unix.RTA_GATEWAY, gateway)
		m.attr(unix.RTA_OIF, int32Of(int(link)))
	})
}

// request sends a message, as root.
func (s *user) request(b []byte) {
	s.t.Helper()
	if _, err := s.Send(&socket.Message{Data: &memory{b}, Admin: true}); err != 0 {
		s.t.Fatal(err)
	}
}

// next receives what is there, or waits for it.
func (s *user) next() (kind uint16, body []byte) {
	s.t.Helper()
	b := make([]byte, 4096)
	var n int
	if err := s.await(func() (err errno.Errno) {
		n, err = s.Receive(&socket.Message{Data: &memory{b}, Flags: msgTrunc})
		return err
	}); err != 0 {
		s.t.Fatal(err)
	}
	if n > len(b) {
		s.t.Fatalf("%d bytes do not fit in a page", n)
	}
	return le.Uint16(b[4:]), b[unix.SizeofNlMsghdr:n]
}

// acknowledged sends a message and returns what is answered.
func (s *user) acknowledged(b []byte) errno.Errno {
	s.t.Helper()
	le.PutUint16(b[6:], le.Uint16(b[6:])|unix.NLM_F_ACK)
	s.request(b)
	kind, body := s.next()
	if kind != unix.NLMSG_ERROR {
		s.t.Fatalf("message %d for an answer", kind)
	}
	return errno.Errno(-int32(le.Uint32(body)))
}

// join has s told of a group.
func (s *user) join(group int) {
	s.t.Helper()
	if err := s.SetOption(unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, int32Of(group)); err != 0 {
		s.t.Fatal(err)
	}
}

// TestToldOfLease: what a DHCP server says is told to those who listen.
func TestToldOfLease(t *testing.T) {
	c := newCable(1)
	s := &dhcpServer{c: c, deaf: 1, options: []byte{optMask, 4, 255, 255, 255, 0, optRouter, 4, 192, 168, 7, 1}}
	c.send = s.receive
	n := start(t, "", c)
	u := open(t, n, afNetlink, sockRaw)
	u.join(unix.RTNLGRP_IPV4_IFADDR)
	u.join(unix.RTNLGRP_IPV4_ROUTE)
	for _, want := range []struct {
		kind, bits byte
	}{{unix.RTM_NEWADDR, 24}, {unix.RTM_NEWROUTE, 24}, {unix.RTM_NEWROUTE, 0}} {
		if kind, body := u.next(); kind != uint16(want.kind) || body[1] != want.bits {
			t.Errorf("message %d of a prefix of %d bits, not %v", kind, body[1], want)
		}
	}
	n.configured()
	eth := n.byName("eth0")
	root := open(t, n, afNetlink, sockRaw)
	if err := root.acknowledged(addrRequest(unix.RTM_DELADDR, 0, eth.index, tcpip.AddrFrom4([4]byte{192, 168, 7, 9}), 24)); err != 0 {
		t.Error(err)
	}
	if !eth.dev.others() {
		t.Error("the lease is renewed though the program has removed the address")
	}
}

// TestDHCPOfProgram: who configures a device itself is left alone, and hears servers.
func TestDHCPOfProgram(t *testing.T) {
	c := newCable(1)
	s := &dhcpServer{c: c, deaf: 1e9}
	c.send = s.receive
	n := start(t, "", c)
	n.attached()
	l := n.byName("eth0")
	n.rtnl.Lock()
	no := n.addAddress(newAddress(l, tcpip.AddressWithPrefix{Address: tcpip.AddrFrom4([4]byte{10, 0, 0, 1}), PrefixLen: 8}))
	n.rtnl.Unlock()
	if no.errno != 0 {
		t.Fatal(no)
	}
	n.configured()
	l.dev.use(&dhcpMessage{addr: [4]byte{192, 168, 7, 9}})
	if list := n.addresses(l.index); len(list) == 0 || list[0].String() != "10.0.0.1/8" || len(list) > 1 && list[1].v4() {
		t.Errorf("addresses %v", list)
	}
	udp := open(t, n, afInet, sockDgram)
	if err := udp.Bind(addr4Of(0, 0, 0, 0, dhcpClientPort)); err != 0 {
		t.Fatal(err)
	}
	m := make([]byte, dhcpSmallest) // of somebody else's exchange
	m[0] = dhcpReply
	c.receive(nic.Frame{Parts: [][]byte{datagram(dhcpServerPort, dhcpClientPort, m)}})
	udp.receiveAll(len(m))
}

// plug is a cable that can be pulled out.
type plug struct {
	*cable
	out atomic.Bool
}

func (p *plug) LinkUp() bool { return !p.out.Load() }

// TestToldOfLink: a cable that is pulled out, and an address that a device gives itself, are told, too.
func TestToldOfLink(t *testing.T) {
	p := &plug{cable: newCable(1)}
	p.send = func(nic.Frame) {}
	n := start(t, "10.0.0.1/24", p)
	u := open(t, n, afNetlink, sockRaw)
	u.join(unix.RTNLGRP_LINK)
	n.configured()
	for _, out := range []bool{true, false} {
		p.out.Store(out)
		p.h.LinkChanged()
		kind, body := u.next()
		if flags, changed := le.Uint32(body[8:]), le.Uint32(body[12:]); kind != unix.RTM_NEWLINK || flags&iffUp == 0 || (flags&iffRunning == 0) != out || changed != iffRunning|iffLowerUp {
			t.Errorf("message %d, flags %#x, of which %#x changed", kind, flags, changed)
		}
	}
	v6 := open(t, n, afNetlink, sockRaw)
	v6.join(unix.RTNLGRP_IPV6_IFADDR)
	if a := n.findAddress(2, header.LinkLocalAddr(n.link(2).mac)); a == nil || a.flags&unix.IFA_F_TENTATIVE != 0 {
		if kind, body := v6.next(); kind != unix.RTM_NEWADDR || body[0] != afInet6 || body[1] != 64 {
			t.Errorf("message %d: %x", kind, body)
		}
	}
}

// silent is a cable with nobody at its other end.
func silent(t testing.TB) (*Network, *link) {
	c := newCable(1)
	c.send = func(nic.Frame) {}
	n := start(t, "10.0.0.1/24", c)
	n.configured()
	return n, n.byName("eth0")
}

// TestOverflow: who does not read loses messages, and is told that once.
func TestOverflow(t *testing.T) {
	n, l := silent(t)
	u, root := open(t, n, afNetlink, sockRaw), open(t, n, afNetlink, sockRaw)
	u.join(unix.RTNLGRP_IPV4_ROUTE)
	u.SetOption(unix.SOL_SOCKET, unix.SO_RCVBUF, int32Of(4096))
	const many = 1000
	to := func(i int) tcpip.AddressWithPrefix {
		return tcpip.AddressWithPrefix{Address: tcpip.AddrFrom4([4]byte{192, byte(i >> 8), byte(i), 1}), PrefixLen: 32}
	}
	for i := range many {
		if err := root.acknowledged(routeMessage(unix.RTM_NEWROUTE, unix.NLM_F_CREATE, to(i), l.index, tcpip.Address{})); err != 0 {
			t.Fatal(err)
		}
	}
	receive := func() errno.Errno {
		_, err := u.Receive(&socket.Message{Data: &memory{make([]byte, 4096)}})
		return err
	}
	if err := receive(); err != errno.ENOBUFS {
		t.Errorf("%v, not that something was lost", err)
	}
	got := 0
	for receive() == 0 {
		got++
	}
	if got == 0 || got > 20 {
		t.Errorf("%d messages were kept", got)
	}
	root.acknowledged(routeMessage(unix.RTM_DELROUTE, 0, to(0), l.index, tcpip.Address{}))
	if kind, _ := u.next(); kind != unix.RTM_DELROUTE {
		t.Errorf("message %d after that", kind)
	}

	// All of them, a page at a time.
	root.request(message(unix.RTM_GETROUTE, unix.NLM_F_DUMP, make([]byte, unix.SizeofRtMsg), nil))
	listed := 0
	for over := false; !over; {
		b := make([]byte, 4096)
		size, err := root.Receive(&socket.Message{Data: &memory{b}, Flags: msgTrunc})
		if err != 0 || size > len(b) {
			t.Fatal(size, err)
		}
		for b = b[:size]; len(b) > 0; b = b[le.Uint32(b):] {
			if le.Uint16(b[4:]) == unix.NLMSG_DONE {
				over = true
			} else {
				listed++
			}
		}
	}
	if listed < many {
		t.Errorf("%d routes were listed", listed)
	}
}

// TestRoutesCompete: of those to the same network the one with the lowest metric is taken, and the
// next when that is gone.
func TestRoutesCompete(t *testing.T) {
	n, l := silent(t)
	root := open(t, n, afNetlink, sockRaw)
	to := tcpip.AddressWithPrefix{Address: tcpip.AddrFrom4([4]byte{192, 0, 2, 0}), PrefixLen: 24}
	peer := tcpip.AddrFrom4([4]byte{192, 0, 2, 7})
	add := func(gateway byte, metric int) {
		b := routeMessage(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, to, l.index, tcpip.AddrFrom4([4]byte{10, 0, 0, gateway}))
		b = append(b, message(0, 0, nil, func(m *answer) { m.attr(unix.RTA_PRIORITY, int32Of(metric)) })[unix.SizeofNlMsghdr:]...)
		le.PutUint32(b, uint32(len(b)))
		if err := root.acknowledged(b); err != 0 {
			t.Fatal(err)
		}
	}
	expect := func(want byte) {
		t.Helper()
		r, err := n.stack.FindRoute(0, tcpip.Address{}, peer, header.IPv4ProtocolNumber, false)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Release()
		if hop := r.NextHop(); hop != tcpip.AddrFrom4([4]byte{10, 0, 0, want}) {
			t.Errorf("by way of %v, not %d", hop, want)
		}
	}
	to.PrefixLen = 25 // one that nothing competes with is replaced, by the same and by others
	for _, by := range []struct {
		link    tcpip.NICID
		gateway byte
	}{{l.index, 5}, {l.index, 5}, {l.index, 6}, {loopbackNIC, 0}, {l.index, 7}} {
		gateway := tcpip.AddrFrom4([4]byte{10, 0, 0, by.gateway})
		if by.gateway == 0 {
			gateway = tcpip.Address{}
		}
		if err := root.acknowledged(routeMessage(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, to, by.link, gateway)); err != 0 {
			t.Fatal(err)
		}
		var found []tcpip.Route
		for _, r := range n.stack.GetRouteTable() {
			if r.Destination == to.Subnet() {
				found = append(found, r)
			}
		}
		if len(found) != 1 || found[0].NIC != by.link || found[0].Gateway != gateway {
			t.Errorf("%v after %v", found, by)
		}
	}
	if err := root.acknowledged(routeMessage(unix.RTM_DELROUTE, 0, to, 0, tcpip.Address{})); err != 0 {
		t.Fatal(err)
	}
	to.PrefixLen = 24
	add(20, 20)
	add(10, 10)
	add(30, 30)
	expect(10)
	for _, want := range []byte{20, 30} {
		if err := root.acknowledged(routeMessage(unix.RTM_DELROUTE, 0, to, l.index, tcpip.Address{})); err != 0 {
			t.Fatal(err)
		}
		expect(want)
	}
}

// FuzzNetlink: no message does harm, whoever sends it.
func FuzzNetlink(f *testing.F) {
	ip, ip6 := tcpip.AddrFrom4([4]byte{10, 0, 0, 9}), tcpip.AddrFrom16([16]byte{0xfd, 15: 9})
	link := append(make([]byte, 4), append(int32Of(2), make([]byte, 8)...)...)
	to := tcpip.AddressWithPrefix{Address: tcpip.AddrFrom4([4]byte{192, 0, 2, 0}), PrefixLen: 24}
	for _, b := range [][]byte{
		addrRequest(unix.RTM_NEWADDR, unix.NLM_F_ACK, 2, ip, 24),
		addrRequest(unix.RTM_DELADDR, 0, 2, ip, 24),
		addrRequest(unix.RTM_NEWADDR, unix.NLM_F_REPLACE, 2, ip6, 64),
		routeMessage(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_APPEND, to, 2, ip),
		routeMessage(unix.RTM_DELROUTE, 0, to, 2, tcpip.Address{}),
		routeMessage(unix.RTM_GETROUTE, unix.NLM_F_DUMP, to, 2, tcpip.Address{}),
		message(unix.RTM_GETLINK, unix.NLM_F_DUMP, link, nil),
		message(unix.RTM_SETLINK, 0, link, func(m *answer) {
			m.text(unix.IFLA_IFNAME, "wan")
			m.attr(unix.IFLA_ADDRESS, []byte{2, 0, 0, 0, 0, 1})
			m.attr(unix.IFLA_MTU, int32Of(1400))
		}),
		message(unix.RTM_NEWNEIGH, unix.NLM_F_CREATE, append([]byte{afInet, 0, 0, 0}, append(int32Of(2), 0x80, 0, 0, 1)...), func(m *answer) {
			m.ip(unix.NDA_DST, ip)
			m.attr(unix.NDA_LLADDR, []byte{2, 0, 0, 0, 0, 9})
		}),
		message(unix.RTM_GETNEIGH, unix.NLM_F_DUMP, link, nil),
	} {
		f.Add(b)
	}
	n, _ := silent(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		u, told := open(t, n, afNetlink, sockRaw), open(t, n, afNetlink, sockRaw)
		for group := range lastGroup {
			told.join(group + 1)
		}
		u.SetOption(unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, int32Of(1))
		u.request(b)
		for _, s := range []*user{u, told} {
			defer s.Close()
			for {
				m := make([]byte, 1<<16)
				size, err := s.Receive(&socket.Message{Data: &memory{m}})
				if err != 0 {
					break
				}
				for m = m[:size]; len(m) > 0; m = m[min(len(m), int(le.Uint32(m)+3)&^3):] {
					if len(m) < unix.SizeofNlMsghdr || int(le.Uint32(m)) > len(m) || le.Uint32(m) < unix.SizeofNlMsghdr {
						t.Fatalf("a malformed answer: %x", m)
					}
				}
			}
		}
		for _, file := range []string{"route", "ipv6_route", "if_inet6", "arp", "dev"} {
			n.Table(file)
		}
	})
}

// TestSmallMTU: whatever a device's MTU is, its packets do no harm; with the old one all is as it was.
func TestSmallMTU(t *testing.T) {
	n, eth := silent(t)
	lo := n.link(loopbackNIC)
	listener := open(t, n, afInet, sockStream)
	if err := listener.Bind(addr4Of(127, 0, 0, 1, 4000)); err != 0 {
		t.Fatal(err)
	}
	if err := listener.Listen(100); err != 0 {
		t.Fatal(err)
	}
	for mtu := range uint32(100) {
		n.rtnl.Lock()
		n.setMTU(lo, mtu)
		if no := n.setMTU(eth, mtu); (no.errno == 0) != (mtu >= leastMTU) {
			t.Errorf("an MTU of %d: %v", mtu, no)
		}
		n.rtnl.Unlock()
		for _, to := range [][]byte{addr4Of(127, 0, 0, 1, 4000), addr4Of(10, 0, 0, 7, 4000)} {
			tcp, udp := open(t, n, afInet, sockStream), open(t, n, afInet, sockDgram)
			tcp.Connect(to)
			tcp.Send(&socket.Message{Data: &memory{make([]byte, 1000)}})
			udp.Send(&socket.Message{Data: &memory{make([]byte, 1000)}, Addr: to})
			tcp.Close()
			udp.Close()
		}
	}
	n.rtnl.Lock()
	n.setMTU(lo, loopbackMTU)
	n.rtnl.Unlock()
	again := open(t, n, afInet, sockDgram)
	if err := again.Bind(addr4Of(127, 0, 0, 1, 4001)); err != 0 {
		t.Fatal(err)
	}
	if _, err := again.Send(&socket.Message{Data: &memory{make([]byte, 5000)}, Addr: addr4Of(127, 0, 0, 1, 4001)}); err != 0 {
		t.Fatal(err)
	}
	again.receiveAll(5000)
}

// TestDownAndUp: a device that is out of use sends and receives nothing; later it has its IPv4
// address and that of its link again, though the program has brought that one itself.
func TestDownAndUp(t *testing.T) {
	c := newCable(1)
	sent := make(chan bool, 1000)
	c.send = func(nic.Frame) { sent <- true }
	n := start(t, "10.0.0.1/24,10.0.0.2", c)
	n.configured()
	l := n.byName("eth0")
	root := open(t, n, afNetlink, sockRaw)
	link := func(flags uint32) {
		t.Helper()
		body := append(append(append(make([]byte, 4), int32Of(int(l.index))...), int32Of(int(flags))...), int32Of(iffUp)...)
		if err := root.acknowledged(message(unix.RTM_NEWLINK, 0, body, nil)); err != 0 {
			t.Fatal(err)
		}
	}
	udp := open(t, n, afInet, sockDgram)
	send := func() errno.Errno {
		_, err := udp.Send(&socket.Message{Data: &memory{[]byte("x")}, Addr: addr4Of(10, 0, 0, 7, 4000)})
		return err
	}
	for range 3 {
		link(0)
		for len(sent) > 0 {
			<-sent
		}
		if err := send(); err != errno.ENETUNREACH {
			t.Errorf("%v, though the device is down", err)
		}
		own := header.LinkLocalAddr(l.mac)
		if err := root.acknowledged(addrRequest(unix.RTM_NEWADDR, 0, l.index, own, 64)); err != 0 {
			t.Error(err)
		}
		c.receive(nic.Frame{Parts: [][]byte{datagram(1, 2, []byte("to all"))}})
		if len(sent) > 0 {
			t.Error("a device that is down sends")
		}
		link(iffUp)
		if n.findAddress(l.index, own) == nil {
			t.Error("no address of the link")
		}
		if err := send(); err != 0 {
			t.Error(err)
		}
		<-sent
	}
	if got := n.Table("route"); len(got) < 200 {
		t.Errorf("routes:\n%s", got)
	}
}

// TestManyRequests: lists that nobody reads are not made, whatever the number of requests for them.
func TestManyRequests(t *testing.T) {
	n, l := silent(t)
	u := open(t, n, afNetlink, sockRaw)
	u.SetOption(unix.SOL_SOCKET, unix.SO_RCVBUF, int32Of(4096))
	var all []byte
	for range 1000 {
		all = append(all, message(unix.RTM_GETLINK, unix.NLM_F_DUMP, make([]byte, unix.SizeofIfInfomsg), nil)...)
	}
	ip := tcpip.AddrFrom4([4]byte{10, 7, 0, 1})
	all = append(all, addrRequest(unix.RTM_NEWADDR, 0, l.index, ip, 24)...) // which is heard nevertheless
	u.request(all)
	if n.findAddress(l.index, ip) == nil {
		t.Error("a change behind them was not made")
	}
	s := u.Endpoint.(*netlinkSocket)
	if s.queued > 32<<10 {
		t.Errorf("%d bytes wait to be read", s.queued)
	}
}
