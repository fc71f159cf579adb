package net

import (
	"math/bits"
	"strings"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"gosv/kernel/errno"
	"gosv/kernel/socket"
)

// ifreqUnion is where the part of struct ifreq is that depends on the request.
const ifreqUnion = unix.IFNAMSIZ

// Sizes of what requests are about: struct ifreq, in6_ifreq, rtentry, in6_rtmsg, arpreq.
const (
	sizeofIfreq    = 40
	sizeofIn6Ifreq = 24
	sizeofRtentry  = 120
	sizeofIn6Rtmsg = 80
	sizeofArpreq   = 68
)

// ioctl is a kind of requests.
type ioctl struct {
	size    int   // of what they are about
	changes bool  // something, which takes CAP_NET_ADMIN
	answers bool  // the program gets the structure back
	family  int32 // of the sockets that have it: IPv4, which those of packets count as, or IPv6; 0 is all
	do      func(n *Network, req uint32, arg []byte) errno.Errno
}

var (
	linkAsked      = ioctl{sizeofIfreq, false, true, 0, (*Network).getLink}
	linkChange     = ioctl{sizeofIfreq, true, false, 0, (*Network).changeLink}
	addressAsked   = ioctl{sizeofIfreq, false, true, afInet, (*Network).getAddress}
	addressChange  = ioctl{sizeofIfreq, true, false, afInet, (*Network).setAddress}
	addressChange6 = ioctl{sizeofIn6Ifreq, true, false, afInet6, (*Network).setAddress6}
	routeChange    = ioctl{sizeofRtentry + unix.IFNAMSIZ, true, false, afInet, (*Network).routeIoctl}
	routeChange6   = ioctl{sizeofIn6Rtmsg, true, false, afInet6, (*Network).routeIoctl6}
	arpAsked       = ioctl{sizeofArpreq, false, true, afInet, (*Network).arpIoctl}
	arpChange      = ioctl{sizeofArpreq, true, false, afInet, (*Network).arpIoctl}
)

// ioctlOf is the kind of a request by a socket of a family, nil if there is no such request.
func ioctlOf(family int32, req uint32) (k *ioctl) {
	v6 := family == afInet6
	switch req {
	case unix.SIOCGIFNAME, unix.SIOCGIFFLAGS, unix.SIOCGIFINDEX, unix.SIOCGIFMTU, unix.SIOCGIFMETRIC, unix.SIOCGIFTXQLEN, unix.SIOCGIFHWADDR, unix.SIOCGIFMAP:
		return &linkAsked
	case unix.SIOCSIFFLAGS, unix.SIOCSIFMTU, unix.SIOCSIFHWADDR, unix.SIOCSIFMETRIC, unix.SIOCADDMULTI, unix.SIOCDELMULTI, unix.SIOCSIFHWBROADCAST, sifName, sifTxqlen:
		return &linkChange
	case unix.SIOCGIFADDR, unix.SIOCGIFDSTADDR, unix.SIOCGIFBRDADDR, unix.SIOCGIFNETMASK:
		k = &addressAsked
	case unix.SIOCSIFADDR, unix.SIOCSIFDSTADDR:
		if k = &addressChange; v6 {
			k = &addressChange6
		}
	case unix.SIOCDIFADDR:
		k = &addressChange6
	case unix.SIOCSIFBRDADDR, unix.SIOCSIFNETMASK:
		k = &addressChange
	case unix.SIOCADDRT, unix.SIOCDELRT:
		if k = &routeChange; v6 {
			k = &routeChange6
		}
	case unix.SIOCGARP:
		k = &arpAsked
	case unix.SIOCSARP, unix.SIOCDARP:
		k = &arpChange
	default:
		return nil
	}
	if family == afPacket {
		family = afInet
	}
	if k.family != family {
		return nil
	}
	return k
}

// Ioctl implements linux.Network.
func (n *Network) Ioctl(c socket.Caller, family int32, req, arg uintptr) errno.Errno {
	if req == unix.SIOCGIFCONF {
		return n.interfaces(c, arg)
	}
	k := ioctlOf(family, uint32(req))
	if k == nil || uintptr(uint32(req)) != req {
		return errno.ENOTTY
	}
	if k.changes && !c.Can(socket.CapNetAdmin) {
		return errno.EPERM
	}
	b := make([]byte, k.size)
	read := b
	if k == &routeChange {
		read = b[:sizeofRtentry]
	}
	if err := c.CopyIn(read, arg); err != 0 {
		return err
	}
	if k == &routeChange {
		const device = 88 // where rt_dev is, the address of a name
		if at := le.Uint64(b[device:]); at != 0 {
			if err := c.CopyIn(b[sizeofRtentry:][:unix.IFNAMSIZ-1], uintptr(at)); err != 0 {
				return err
			}
		}
	}
	n.attached()
	n.up()
	if k.changes || k == &addressAsked {
		n.configured()
	}
	if k.changes {
		n.rtnl.Lock()
		defer n.rtnl.Unlock()
	}
	err := k.do(n, uint32(req), b)
	if err == 0 && k.answers {
		err = c.CopyOut(arg, b)
	}
	return err
}

// Requests that package unix has no names for.
const (
	sifName   = 0x8923 // SIOCSIFNAME
	sifTxqlen = 0x8943 // SIOCSIFTXQLEN
)

// interfaces answers SIOCGIFCONF: a struct ifreq for each IPv4 address.
func (n *Network) interfaces(c socket.Caller, arg uintptr) errno.Errno {
	var conf [16]byte // struct ifconf: a length, an address
	if err := c.CopyIn(conf[:], arg); err != 0 {
		return err
	}
	n.attached()
	n.up()
	n.configured()
	var list []byte
	for _, l := range n.all() {
		for _, a := range n.addresses(l.index) {
			if a.v4() {
				var r [sizeofIfreq]byte
				copy(r[:ifreqUnion], a.label)
				copy(r[ifreqUnion:], formatAddr(afInet, tcpip.FullAddress{Addr: a.Address}))
				list = append(list, r[:]...)
			}
		}
	}
	if at := le.Uint64(conf[8:]); at != 0 {
		room := max(0, int(int32(le.Uint32(conf[:]))))
		list = list[:min(len(list), room/sizeofIfreq*sizeofIfreq)]
		if err := c.CopyOut(uintptr(at), list); err != 0 {
			return err
		}
	}
	le.PutUint32(conf[:], uint32(len(list)))
	return c.CopyOut(arg, conf[:])
}

// getLink tells of a device what struct ifreq has no socket's family for.
func (n *Network) getLink(req uint32, r []byte) errno.Errno {
	u := r[ifreqUnion:]
	if req == unix.SIOCGIFNAME {
		name := n.linkName(tcpip.NICID(le.Uint32(u)))
		if name == "" {
			return errno.ENODEV
		}
		clear(r[:ifreqUnion])
		copy(r[:ifreqUnion], name)
		return 0
	}
	l, _ := n.named(r)
	if l == nil {
		return errno.ENODEV
	}
	switch req {
	case unix.SIOCGIFFLAGS:
		le.PutUint16(u, uint16(l.state()))
	case unix.SIOCGIFINDEX:
		le.PutUint32(u, uint32(l.index))
	case unix.SIOCGIFMTU:
		le.PutUint32(u, uint32(l.mtu))
	case unix.SIOCGIFMETRIC:
		le.PutUint32(u, 0)
	case unix.SIOCGIFTXQLEN:
		le.PutUint32(u, uint32(l.queue))
	case unix.SIOCGIFHWADDR:
		clear(u[:sizeofInet])
		le.PutUint16(u, l.kind)
		copy(u[2:], l.mac)
	default: // SIOCGIFMAP: where the device is in memory
		clear(u[:24])
	}
	return 0
}

// named is the device that a struct ifreq is about, and the label of its address, which may have
// more behind a colon.
func (n *Network) named(r []byte) (l *link, label string) {
	label = cstring(r[:ifreqUnion-1])
	name, _, _ := strings.Cut(label, ":")
	return n.byName(name), label
}

// labelled is the device's IPv4 address with a label.
func (n *Network) labelled(l *link, label string) *address {
	for _, a := range n.addresses(l.index) {
		if a.v4() && a.label == label {
			return a
		}
	}
	return nil
}

// getAddress tells one of IPv4's. A program may say which one, in the request.
func (n *Network) getAddress(req uint32, r []byte) errno.Errno {
	l, label := n.named(r)
	if l == nil {
		return errno.ENODEV
	}
	u := r[ifreqUnion:][:sizeofInet]
	a := n.labelled(l, label)
	if le.Uint16(u) == afInet {
		if b := n.findAddress(l.index, tcpip.AddrFromSlice(u[4:8])); b != nil && b.label == label {
			a = b
		}
	}
	if a == nil {
		return errno.EADDRNOTAVAIL
	}
	ip := a.Address
	switch req {
	case unix.SIOCGIFDSTADDR:
		ip = a.peer
	case unix.SIOCGIFBRDADDR:
		ip = a.broadcast
	case unix.SIOCGIFNETMASK:
		subnet := a.Subnet()
		mask := subnet.Mask()
		ip = tcpip.AddrFromSlice(mask.AsSlice())
	}
	copy(u, formatAddr(afInet, tcpip.FullAddress{Addr: ip}))
	return 0
}

// classBits is how long the prefix of an address's network is where nobody says it (RFC 791
// section 3.2), negative if it is no host's.
func classBits(ip tcpip.Address) int {
	switch b := ip.As4(); {
	case b == [4]byte{} || ip == header.IPv4Broadcast:
		return 0
	case b[0] < 128:
		return 8
	case b[0] < 192:
		return 16
	case b[0] < 224:
		return 24
	case b[0] < 240:
		return -1
	}
	return 32
}

// broadcastOf is the address of all in a's network.
func broadcastOf(a *address) tcpip.Address {
	subnet := a.Subnet()
	return subnet.Broadcast()
}

// setAddress changes a device's address, or something of it, as devinet_ioctl does.
func (n *Network) setAddress(req uint32, r []byte) errno.Errno {
	u := r[ifreqUnion:]
	if le.Uint16(u) != afInet {
		return errno.EINVAL
	}
	l, label := n.named(r)
	if l == nil {
		return errno.ENODEV
	}
	ip := tcpip.AddrFromSlice(u[4:8])
	old := n.labelled(l, label)
	if old == nil && req != unix.SIOCSIFADDR {
		return errno.EADDRNOTAVAIL
	}
	var a address
	if old != nil {
		a = *old
	}
	broadcasts := func() bool { return l.flags&iffBroadcast != 0 && a.PrefixLen < 31 }
	switch req {
	case unix.SIOCSIFADDR:
		size := classBits(ip)
		if size < 0 {
			return errno.EINVAL
		}
		if old != nil && old.Address == ip {
			return 0
		}
		a = *newAddress(l, tcpip.AddressWithPrefix{Address: ip, PrefixLen: size})
		a.label = label
		if broadcasts() {
			a.broadcast = broadcastOf(&a)
		}
	case unix.SIOCSIFBRDADDR:
		a.broadcast = ip
	case unix.SIOCSIFDSTADDR:
		if classBits(ip) < 0 {
			return errno.EINVAL
		}
		a.peer = ip
	case unix.SIOCSIFNETMASK:
		mask := address4(ip)
		if mask != ^uint32(0)<<(32-bits.OnesCount32(mask)) {
			return errno.EINVAL
		}
		follows := broadcasts() && a.broadcast == broadcastOf(&a)
		a.PrefixLen = bits.OnesCount32(mask)
		if follows && broadcasts() {
			a.broadcast = broadcastOf(&a)
		}
	}
	if old != nil && *old == a {
		return 0
	}
	if old != nil {
		n.removeAddress(old)
	}
	if isAny(a.Address) {
		return 0
	}
	return n.addAddress(&a).errno
}

// setAddress6 takes a struct in6_ifreq: SIOCSIFADDR adds an address, SIOCDIFADDR removes one.
func (n *Network) setAddress6(req uint32, r []byte) errno.Errno {
	ip, size, id := tcpip.AddrFromSlice(r[:16]), le.Uint32(r[16:]), tcpip.NICID(le.Uint32(r[20:]))
	l := n.link(id)
	switch {
	case req == unix.SIOCSIFDSTADDR:
		return errno.EINVAL
	case size > 128:
		return errno.EINVAL
	case l == nil:
		return errno.ENODEV
	}
	a := n.findAddress(id, ip)
	switch {
	case req == unix.SIOCSIFADDR && (isMulticast(ip) || isAny(ip) || ip == header.IPv6Loopback && !l.lo()):
		return errno.EADDRNOTAVAIL
	case req == unix.SIOCSIFADDR:
		return n.addAddress(newAddress(l, tcpip.AddressWithPrefix{Address: ip, PrefixLen: int(size)})).errno
	case a == nil || a.PrefixLen != int(size):
		return errno.EADDRNOTAVAIL
	}
	n.removeAddress(a)
	return 0
}

// changeLink changes a device.
func (n *Network) changeLink(req uint32, r []byte) errno.Errno {
	u := r[ifreqUnion:]
	l, label := n.named(r)
	if l == nil {
		return errno.ENODEV
	}
	switch req {
	case unix.SIOCSIFFLAGS:
		flags := uint32(le.Uint16(u))
		if label != l.name { // an alias goes
			a := n.labelled(l, label)
			switch {
			case a == nil:
				return errno.EADDRNOTAVAIL
			case flags&iffUp == 0:
				n.removeAddress(a)
			}
			return 0
		}
		n.setFlags(l, l.flags&^0xffff|flags)
		return 0
	case unix.SIOCSIFMTU:
		return n.setMTU(l, le.Uint32(u)).errno
	case unix.SIOCSIFHWADDR:
		if le.Uint16(u) != l.kind {
			return errno.EINVAL
		}
		return n.setMAC(l, tcpip.LinkAddress(u[2:2+len(l.mac)])).errno
	case sifTxqlen:
		if int32(le.Uint32(u)) < 0 {
			return errno.EINVAL
		}
		return n.setQueue(l, le.Uint32(u)).errno
	case sifName:
		return n.setName(l, cstring(u[:unix.IFNAMSIZ-1])).errno
	}
	return errno.EOPNOTSUPP
}

// Flags of routes (linux/route.h).
const (
	rtfUp      = 0x1
	rtfGateway = 0x2
	rtfHost    = 0x4
	rtfReject  = 0x200
	rtfMTU     = 0x40
)

// routeIoctl takes a struct rtentry, and behind it the name of its device.
func (n *Network) routeIoctl(req uint32, r []byte) errno.Errno {
	const to, gateway, mask, flags, metric, mtu = 8, 24, 40, 56, 80, 96 // offsets
	set := le.Uint16(r[flags:])
	w := route{table: unix.RT_TABLE_MAIN, scope: unix.RT_SCOPE_NOWHERE, kind: unix.RTN_UNICAST}
	if le.Uint16(r[to:]) != afInet {
		return errno.EAFNOSUPPORT
	}
	w.to = tcpip.AddressWithPrefix{Address: tcpip.AddrFromSlice(r[to+4:][:4]), PrefixLen: 32}
	if set&rtfHost == 0 {
		m := address4(tcpip.AddrFromSlice(r[mask+4:][:4]))
		if le.Uint16(r[mask:]) != afInet && (m != 0 || le.Uint16(r[mask:]) != 0) {
			return errno.EAFNOSUPPORT
		}
		w.to.PrefixLen = bits.OnesCount32(m)
		if m != ^uint32(0)<<(32-w.to.PrefixLen) || w.to != prefix(w.to.Address, w.to.PrefixLen) {
			return errno.EINVAL
		}
	}
	if v := le.Uint16(r[metric:]); v != 0 {
		w.metric = uint32(int32(int16(v)) - 1)
	}
	if name := cstring(r[sizeofRtentry:]); name != "" {
		if w.link = n.linkIndex(name); w.link == 0 {
			return errno.ENODEV
		}
	}
	if a := tcpip.AddrFromSlice(r[gateway+4:][:4]); le.Uint16(r[gateway:]) == afInet && !isAny(a) {
		w.gateway = a
		if set&rtfGateway != 0 && n.owner(a) == nil {
			w.scope = unix.RT_SCOPE_UNIVERSE
		}
	}
	switch {
	case set&rtfReject != 0:
		return errno.EOPNOTSUPP
	case req == unix.SIOCDELRT:
		return n.deleteRoute(w).errno
	case set&rtfGateway != 0 && w.gateway.Len() == 0:
		return errno.EINVAL
	case w.scope == unix.RT_SCOPE_NOWHERE:
		w.scope = unix.RT_SCOPE_LINK
	}
	w.protocol = unix.RTPROT_BOOT
	if set&rtfMTU != 0 {
		w.mtu = le.Uint32(r[mtu:])
	}
	return n.changeRoute(w, unix.NLM_F_CREATE).errno
}

// routeIoctl6 takes a struct in6_rtmsg.
func (n *Network) routeIoctl6(req uint32, r []byte) errno.Errno {
	const gateway, size, metric, flags, index = 32, 52, 56, 72, 76 // offsets
	w := route{table: unix.RT_TABLE_MAIN, link: tcpip.NICID(le.Uint32(r[index:])), metric: le.Uint32(r[metric:])}
	n6 := int(le.Uint16(r[size:]))
	if n6 > 128 {
		return errno.EINVAL
	}
	w.to = prefix(tcpip.AddrFromSlice(r[:16]), n6)
	if a := tcpip.AddrFromSlice(r[gateway:][:16]); le.Uint32(r[flags:])&rtfGateway != 0 && !isAny(a) {
		w.gateway = a
	}
	if req == unix.SIOCDELRT {
		return n.deleteRoute(w).errno
	}
	w.protocol, w.kind = unix.RTPROT_BOOT, unix.RTN_UNICAST
	if w.metric == 0 {
		w.metric = metricUser
	}
	return n.changeRoute(w, unix.NLM_F_CREATE|unix.NLM_F_EXCL).errno
}

// Flags of struct arpreq (arp(7)).
const (
	atfComplete  = 0x2
	atfPermanent = 0x4
	atfPublish   = 0x8
	atfNetmask   = 0x20
	atfDontPub   = 0x40
)

// arpIoctl takes a struct arpreq.
func (n *Network) arpIoctl(req uint32, r []byte) errno.Errno {
	const hardware, flags, device = 16, 32, 52 // offsets
	set := le.Uint32(r[flags:])
	switch {
	case le.Uint16(r) != afInet:
		return errno.EPFNOSUPPORT
	case set&atfPublish == 0 && set&(atfNetmask|atfDontPub) != 0:
		return errno.EINVAL
	case set&atfPublish != 0 && req == unix.SIOCDARP: // nobody else's address is answered for
		return errno.ENOENT
	case set&atfPublish != 0:
		return errno.EOPNOTSUPP
	}
	ip := tcpip.AddrFromSlice(r[4:8])
	var l *link
	if name := cstring(r[device:][:unix.IFNAMSIZ-1]); name != "" {
		l = n.byName(name)
	} else if req != unix.SIOCGARP {
		way := n.lookup(ip, 0, unix.RT_SCOPE_LINK)
		if way == nil {
			return errno.ENETUNREACH
		}
		l = n.link(way.link)
	}
	if l == nil {
		return errno.ENODEV
	}
	family := le.Uint16(r[hardware:])
	if req == unix.SIOCSARP && family != 0 && family != l.kind {
		return errno.EINVAL
	}
	e := n.neighbor(l, ip)
	switch {
	case req == unix.SIOCSARP && l.lo():
		return errno.EINVAL
	case req == unix.SIOCSARP:
		return n.setNeighbor(l, ip, tcpip.LinkAddress(r[hardware+2:][:header.EthernetAddressSize]), set&atfPermanent != 0).errno
	case e == nil:
		return errno.ENXIO
	case req == unix.SIOCDARP:
		return n.removeNeighbor(l, *e).errno
	}
	le.PutUint16(r[hardware:], l.kind)
	copy(r[hardware+2:], e.LinkAddr)
	le.PutUint32(r[flags:], arpFlags(*e))
	copy(r[device:][:unix.IFNAMSIZ], l.name)
	return 0
}

func arpFlags(e stack.NeighborEntry) uint32 {
	switch e.State {
	case stack.Static:
		return atfComplete | atfPermanent
	case stack.Reachable, stack.Stale, stack.Delay, stack.Probe:
		return atfComplete
	}
	return 0
}
