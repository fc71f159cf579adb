package net

import (
	"slices"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"gosv/kernel/errno"
)

// refusal is why something is not done; if that has no number, it is. The text is for those who have asked for
// more than the number (netlink(7), NETLINK_EXT_ACK).
type refusal struct {
	errno errno.Errno
	text  string
}

// answer is what one request is answered, or others are told: messages of rtnetlink(7).
type answer struct {
	net       *Network
	port, seq uint32
	switches  uint32 // the socket's options
	admin     bool   // who asks may change things
	full      bool   // who asks has not read what there is
	flags     uint16
	datagrams [][]byte
	at        int // of the message that is being written, in the last datagram
}

// request is what is asked: the message without its header.
type request struct {
	flags uint16
	body  []byte            // a structure of the kind of request,
	attrs [mostAttrs][]byte // and attributes, nil where there is none
}

const (
	mostAttrs    = 64
	dumpDatagram = 3776 // bytes that go together: a C library's buffer is a page
	attrType     = 0x3fff
)

// parse finds the attributes behind a structure of that size.
func (r *request) parse(size int) bool {
	if len(r.body) < size {
		return false
	}
	eachAttr(r.body[(size+3)&^3:], func(kind uint16, value []byte) {
		if kind &= attrType; int(kind) < len(r.attrs) {
			r.attrs[kind] = value
		}
	})
	return true
}

func eachAttr(b []byte, f func(kind uint16, value []byte)) {
	for len(b) >= unix.SizeofRtAttr {
		n := int(le.Uint16(b))
		if n < unix.SizeofRtAttr || n > len(b) {
			return
		}
		f(le.Uint16(b[2:]), b[unix.SizeofRtAttr:n:n])
		b = b[min((n+3)&^3, len(b)):]
	}
}

// short says whether one of some attributes is shorter than so many bytes.
func (r *request) short(size int, kinds ...uint16) bool {
	for _, k := range kinds {
		if r.attrs[k] != nil && len(r.attrs[k]) < size {
			return true
		}
	}
	return false
}

// number is an attribute's that is not short, or another if there is none.
func (r *request) number(kind uint16, otherwise uint32) uint32 {
	if b := r.attrs[kind]; len(b) >= 4 {
		return le.Uint32(b)
	}
	return otherwise
}

// ip is the address of that size in an attribute that is not short.
func (r *request) ip(kind uint16, size int) (a tcpip.Address) {
	if b := r.attrs[kind]; len(b) >= size {
		a = tcpip.AddrFromSlice(b[:size])
	}
	return a
}

var (
	badHeader    = refusal{errno.EINVAL, "Invalid header length"}
	badAttribute = refusal{errno.ERANGE, "Attribute failed policy validation"}
)

// sizeOf is how many bytes an address of a family has, 0 if it is none of IP's.
func sizeOf(family uint8) int {
	switch int(family) {
	case afInet:
		return header.IPv4AddressSize
	case afInet6:
		return header.IPv6AddressSize
	}
	return 0
}

func familyOf(a tcpip.Address) byte {
	if a.Len() == header.IPv4AddressSize {
		return afInet
	}
	return afInet6
}

func protocolOf(a tcpip.Address) tcpip.NetworkProtocolNumber {
	if a.Len() == header.IPv4AddressSize {
		return ipv4.ProtocolNumber
	}
	return ipv6.ProtocolNumber
}

// to answers a message.
func (a *answer) to(message []byte) {
	kind, flags := le.Uint16(message[4:]), le.Uint16(message[6:])
	a.seq = le.Uint32(message[8:])
	no := refusal{}
	if flags&unix.NLM_F_REQUEST != 0 && kind >= unix.NLMSG_MIN_TYPE { // others are the protocol's own
		r := request{flags: flags, body: message[unix.SizeofNlMsghdr:]}
		switch {
		case kind > lastRequest:
			no.errno = errno.EOPNOTSUPP
		case len(r.body) == 0:
		case kind&3 != getRequest && !a.admin:
			no.errno = errno.EPERM
		default:
			a.net.up()
			if kind != unix.RTM_GETLINK {
				a.net.configured()
			}
			if kind&3 == getRequest && flags&unix.NLM_F_DUMP != 0 {
				if no = a.dump(kind, &r); no.errno == 0 {
					return
				}
			} else {
				no = a.request(kind, &r)
			}
		}
	}
	if no.errno != 0 || flags&unix.NLM_F_ACK != 0 {
		a.ack(message, no)
	}
}

const (
	getRequest  = 2   // the last two bits of those that only ask
	lastRequest = 123 // RTM_MAX
)

// dump lists all of a kind.
func (a *answer) dump(kind uint16, r *request) refusal {
	if a.full { // or many requests at once would be a lot of work for nothing
		return refusal{errno.EBUSY, ""}
	}
	a.flags = unix.NLM_F_MULTI
	family := r.body[0]
	switch kind {
	case unix.RTM_GETLINK:
		infos := a.net.stack.NICInfo()
		for _, l := range a.net.all() {
			a.link(unix.RTM_NEWLINK, l, infos[l.index].Stats, 0)
		}
	case unix.RTM_GETADDR:
		for _, size := range [...]int{header.IPv4AddressSize, header.IPv6AddressSize} {
			for _, l := range a.net.all() {
				for _, p := range a.net.addresses(l.index) {
					if p.Address.Len() == size && (sizeOf(family) == 0 || sizeOf(family) == size) {
						a.address(unix.RTM_NEWADDR, p)
					}
				}
			}
		}
	case unix.RTM_GETROUTE:
		if len(r.body) >= unix.SizeofRtMsg && le.Uint32(r.body[8:])&unix.RTM_F_CLONED != 0 {
			break // those are in a cache, which is empty
		}
		for _, t := range slices.Concat(a.net.routes(), a.net.localRoutes()) {
			if sizeOf(family) == 0 || sizeOf(family) == t.to.Address.Len() {
				a.route(unix.RTM_NEWROUTE, t)
			}
		}
	case unix.RTM_GETNEIGH:
		for _, l := range a.net.all() {
			for _, e := range a.net.neighbors(l) {
				if sizeOf(family) == 0 || sizeOf(family) == e.Addr.Len() {
					a.neighbor(unix.RTM_NEWNEIGH, l, e)
				}
			}
		}
	case unix.RTM_GETRULE, unix.RTM_GETQDISC: // there are none
	default:
		return refusal{errno.EOPNOTSUPP, ""}
	}
	a.begin(unix.NLMSG_DONE)
	a.put(int32Of(0))
	a.end()
	return refusal{}
}

// request answers one that is about one thing.
func (a *answer) request(kind uint16, r *request) refusal {
	if kind&3 != getRequest {
		a.net.rtnl.Lock()
		defer a.net.rtnl.Unlock()
		a.net.blame(a.port, a.seq)
		defer a.net.blame(0, 0)
	}
	switch kind {
	case unix.RTM_GETLINK:
		l, no := a.net.requestedLink(r)
		if no.errno == 0 {
			info, _ := a.net.stack.SingleNICInfo(l.index)
			a.link(unix.RTM_NEWLINK, l, info.Stats, 0)
		}
		return no
	case unix.RTM_GETROUTE:
		return a.oneRoute(r)
	case unix.RTM_NEWADDR:
		return a.net.newAddr(r)
	case unix.RTM_DELADDR:
		return a.net.delAddr(r)
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		return a.net.routeRequest(r, kind == unix.RTM_NEWROUTE)
	case unix.RTM_NEWLINK, unix.RTM_SETLINK:
		return a.net.setLink(r, kind == unix.RTM_NEWLINK)
	case unix.RTM_DELLINK:
		_, no := a.net.requestedLink(r)
		if no.errno == 0 {
			no = refusal{errno.EOPNOTSUPP, ""}
		}
		return no
	case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
		return a.net.neighborRequest(r, kind == unix.RTM_NEWNEIGH)
	}
	return refusal{errno.EOPNOTSUPP, ""}
}

// begin starts a message.
func (a *answer) begin(kind uint16) {
	if len(a.datagrams) == 0 {
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

// end ends the message. It is the first of another datagram if there is not enough room in this one.
func (a *answer) end() {
	last := &a.datagrams[len(a.datagrams)-1]
	b := *last
	le.PutUint32(b[a.at:], uint32(len(b)-a.at))
	if len(b) > dumpDatagram && a.at > 0 {
		*last = b[:a.at:a.at]
		a.datagrams = append(a.datagrams, append([]byte(nil), b[a.at:]...))
	}
}

// attr adds a struct rtattr.
func (a *answer) attr(kind uint16, value []byte) {
	h := le.AppendUint16(nil, uint16(unix.SizeofRtAttr+len(value)))
	a.put(append(le.AppendUint16(h, kind), value...))
}

func (a *answer) text(kind uint16, s string) { a.attr(kind, append([]byte(s), 0)) }

// ip adds an address, if there is one.
func (a *answer) ip(kind uint16, ip tcpip.Address) {
	if ip.Len() != 0 {
		a.attr(kind, ip.AsSlice())
	}
}

// ack is the last answer: NLMSG_ERROR, with 0 for success.
func (a *answer) ack(message []byte, no refusal) {
	const capped, explained = 0x100, 0x200 // NLM_F_CAPPED, NLM_F_ACK_TLVS
	a.flags = 0
	if no.errno == 0 || a.switches>>unix.NETLINK_CAP_ACK&1 != 0 {
		message = message[:unix.SizeofNlMsghdr]
		a.flags |= capped
	}
	if a.switches>>unix.NETLINK_EXT_ACK&1 == 0 {
		no.text = ""
	}
	if no.text != "" {
		a.flags |= explained
	}
	a.datagrams = append(a.datagrams, nil)
	a.begin(unix.NLMSG_ERROR)
	a.put(int32Of(-int(no.errno)))
	a.put(message)
	if no.text != "" {
		const attrMsg = 1 // NLMSGERR_ATTR_MSG
		a.text(attrMsg, no.text)
	}
	a.end()
}

func (a *answer) link(kind uint16, l *link, s tcpip.NICStats, changed uint32) {
	a.begin(kind)
	h := make([]byte, unix.SizeofIfInfomsg)
	le.PutUint16(h[2:], l.kind)
	le.PutUint32(h[4:], uint32(l.index))
	le.PutUint32(h[8:], l.state())
	le.PutUint32(h[12:], changed)
	a.put(h)
	a.text(unix.IFLA_IFNAME, l.name)
	a.attr(unix.IFLA_TXQLEN, int32Of(l.queue))
	state, _ := l.operState()
	a.attr(unix.IFLA_OPERSTATE, []byte{state})
	a.attr(unix.IFLA_LINKMODE, []byte{0})
	a.attr(unix.IFLA_MTU, int32Of(l.mtu))
	a.attr(unix.IFLA_GROUP, int32Of(0))
	a.text(unix.IFLA_QDISC, l.qdisc())
	carrier := byte(0)
	if l.plugged() {
		carrier = 1
	}
	a.attr(unix.IFLA_CARRIER, []byte{carrier})
	a.attr(unix.IFLA_ADDRESS, []byte(l.mac))
	a.attr(unix.IFLA_BROADCAST, []byte(l.broadcastMAC()))
	stats, stats64 := make([]byte, 24*4), make([]byte, 25*8) // struct rtnl_link_stats, struct rtnl_link_stats64
	for i, v := range [...]*tcpip.StatCounter{s.Rx.Packets, s.Tx.Packets, s.Rx.Bytes, s.Tx.Bytes} {
		le.PutUint32(stats[i*4:], uint32(v.Value()))
		le.PutUint64(stats64[i*8:], v.Value())
	}
	a.attr(unix.IFLA_STATS64, stats64)
	a.attr(unix.IFLA_STATS, stats)
	a.end()
}

// tellLink tells others of a device, some flags of which have changed.
func (n *Network) tellLink(l *link, changed uint32) {
	n.tell(unix.RTNLGRP_LINK, func(m *answer) {
		info, _ := n.stack.SingleNICInfo(l.index)
		m.link(unix.RTM_NEWLINK, l, info.Stats, changed)
	})
}

// requestedLink is the device that a struct ifinfomsg or an attribute names.
func (n *Network) requestedLink(r *request) (*link, refusal) {
	if !r.parse(unix.SizeofIfInfomsg) {
		return nil, badHeader
	}
	var l *link
	index := int32(le.Uint32(r.body[4:]))
	name := r.attrs[unix.IFLA_IFNAME]
	if name == nil {
		name = r.attrs[unix.IFLA_ALT_IFNAME]
	}
	switch {
	case index < 0 || index == 0 && name == nil:
		return nil, refusal{errno.EINVAL, ""}
	case index > 0:
		l = n.link(tcpip.NICID(index))
	default:
		l = n.byName(cstring(name))
	}
	if l == nil {
		return nil, refusal{errno.ENODEV, ""}
	}
	return l, refusal{}
}

func (a *answer) address(kind uint16, p *address) {
	a.begin(kind)
	h := []byte{familyOf(p.Address), byte(p.PrefixLen), byte(p.state()), p.scope}
	a.put(append(h, int32Of(int(p.link))...))
	a.ip(unix.IFA_ADDRESS, p.peer)
	if p.v4() || p.peer != p.Address {
		a.ip(unix.IFA_LOCAL, p.Address)
	}
	if p.v4() {
		a.ip(unix.IFA_BROADCAST, p.broadcast)
		a.text(unix.IFA_LABEL, p.label)
	}
	if p.metric != 0 {
		a.attr(unix.IFA_RT_PRIORITY, int32Of(int(p.metric)))
	}
	a.attr(unix.IFA_FLAGS, int32Of(int(p.state())))
	const hundredth = 1e7                     // ns
	info := int32Of(int(p.left(p.preferred))) // struct ifa_cacheinfo
	for _, v := range [...]uint64{uint64(p.left(p.valid)), p.made / hundredth, p.told / hundredth} {
		info = le.AppendUint32(info, uint32(v))
	}
	a.attr(unix.IFA_CACHEINFO, info)
	a.end()
}

// lifetimes reads a struct ifa_cacheinfo.
func (p *address) lifetimes(r *request) refusal {
	if b := r.attrs[unix.IFA_CACHEINFO]; b != nil {
		p.preferred, p.valid = le.Uint32(b), le.Uint32(b[4:])
		if p.valid == 0 || p.preferred > p.valid {
			return refusal{errno.EINVAL, "Invalid lifetime"}
		}
		if p.valid != forever {
			p.flags &^= unix.IFA_F_PERMANENT
		}
	}
	return refusal{}
}

// newAddr is RTM_NEWADDR.
func (n *Network) newAddr(r *request) refusal {
	if !r.parse(unix.SizeofIfAddrmsg) {
		return badHeader
	}
	family, bits := r.body[0], int(r.body[1])
	size := sizeOf(family)
	switch {
	case size == 0:
		return refusal{errno.EOPNOTSUPP, ""}
	case r.short(size, unix.IFA_ADDRESS, unix.IFA_LOCAL, unix.IFA_BROADCAST) || r.short(4, unix.IFA_FLAGS, unix.IFA_RT_PRIORITY) || r.short(16, unix.IFA_CACHEINFO):
		return badAttribute
	case bits > size*8:
		return refusal{errno.EINVAL, "Invalid prefix length"}
	}
	local, peer := r.ip(unix.IFA_LOCAL, size), r.ip(unix.IFA_ADDRESS, size)
	if local.Len() == 0 && size == header.IPv6AddressSize {
		local = peer
	}
	switch {
	case local.Len() == 0:
		return refusal{errno.EINVAL, "Local address is not supplied"}
	case local == header.IPv4Any:
		return refusal{}
	}
	l := n.link(tcpip.NICID(le.Uint32(r.body[4:])))
	if l == nil {
		return refusal{errno.ENODEV, "Device not found"}
	}
	a := newAddress(l, tcpip.AddressWithPrefix{Address: local, PrefixLen: bits})
	if peer.Len() != 0 {
		a.peer = peer
	}
	a.broadcast = r.ip(unix.IFA_BROADCAST, size)
	a.flags |= r.number(unix.IFA_FLAGS, uint32(r.body[2])) & unix.IFA_F_NOPREFIXROUTE
	a.metric = r.number(unix.IFA_RT_PRIORITY, 0)
	if a.v4() {
		a.scope = r.body[3]
		if b := r.attrs[unix.IFA_LABEL]; b != nil {
			a.label = cstring(b)
		}
		if len(a.label) >= unix.IFNAMSIZ {
			return badAttribute
		}
	} else if isMulticast(local) || local == header.IPv6Any || !l.lo() && local == header.IPv6Loopback {
		return refusal{errno.EADDRNOTAVAIL, "Cannot assign requested address"}
	}
	if no := a.lifetimes(r); no.errno != 0 {
		return no
	}
	old := n.findAddress(l.index, local)
	if old == nil {
		return n.addAddress(a)
	}
	if r.flags&unix.NLM_F_EXCL != 0 || r.flags&unix.NLM_F_REPLACE == 0 {
		return refusal{errno.EEXIST, "Address already assigned"}
	}
	b := *old
	b.flags = old.flags&^unix.IFA_F_PERMANENT | a.flags
	b.preferred, b.valid = a.preferred, a.valid
	n.replaceAddress(old, &b)
	return refusal{}
}

// delAddr is RTM_DELADDR.
func (n *Network) delAddr(r *request) refusal {
	if !r.parse(unix.SizeofIfAddrmsg) {
		return badHeader
	}
	size, bits := sizeOf(r.body[0]), int(r.body[1])
	switch {
	case size == 0:
		return refusal{errno.EOPNOTSUPP, ""}
	case r.short(size, unix.IFA_ADDRESS, unix.IFA_LOCAL):
		return badAttribute
	}
	local, peer := r.ip(unix.IFA_LOCAL, size), r.ip(unix.IFA_ADDRESS, size)
	if size == header.IPv6AddressSize {
		if local.Len() == 0 {
			local = peer
		}
		if local.Len() == 0 {
			return refusal{errno.EINVAL, ""}
		}
		peer = tcpip.Address{}
	}
	id := tcpip.NICID(le.Uint32(r.body[4:]))
	if n.link(id) == nil {
		return refusal{errno.ENODEV, ""}
	}
	for _, a := range n.addresses(id) {
		if a.Address.Len() != size || local.Len() != 0 && a.Address != local || size == header.IPv6AddressSize && a.PrefixLen != bits ||
			peer.Len() != 0 && (a.PrefixLen != bits || !contains(a.network(), peer)) ||
			a.v4() && r.attrs[unix.IFA_LABEL] != nil && cstring(r.attrs[unix.IFA_LABEL]) != a.label {
			continue
		}
		n.removeAddress(a)
		return refusal{}
	}
	return refusal{errno.EADDRNOTAVAIL, "Address not found"}
}

func (a *answer) route(kind uint16, r *route) {
	a.begin(kind)
	h := []byte{familyOf(r.to.Address), byte(r.to.PrefixLen), 0, r.tos, r.table, r.protocol, r.scope, r.kind}
	a.put(le.AppendUint32(h, r.flags))
	a.attr(unix.RTA_TABLE, int32Of(int(r.table)))
	if r.to.PrefixLen > 0 {
		a.ip(unix.RTA_DST, r.to.Address)
	}
	if r.metric != 0 || !r.v4() {
		a.attr(unix.RTA_PRIORITY, int32Of(int(r.metric)))
	}
	a.ip(unix.RTA_GATEWAY, r.gateway)
	a.ip(unix.RTA_PREFSRC, r.source)
	a.attr(unix.RTA_OIF, int32Of(int(r.link)))
	if r.mtu != 0 {
		mtu := le.AppendUint16(le.AppendUint16(nil, unix.SizeofRtAttr+4), unix.RTAX_MTU)
		a.attr(unix.RTA_METRICS, append(mtu, int32Of(int(r.mtu))...))
	}
	if !r.v4() {
		a.attr(unix.RTA_CACHEINFO, make([]byte, 32)) // struct rta_cacheinfo
		a.attr(unix.RTA_PREF, []byte{0})             // ICMPV6_ROUTER_PREF_MEDIUM
	}
	a.end()
}

const rtaNextHop = 30 // RTA_NH_ID

// routeRequest is RTM_NEWROUTE or RTM_DELROUTE.
func (n *Network) routeRequest(r *request, add bool) refusal {
	if !r.parse(unix.SizeofRtMsg) {
		return badHeader
	}
	size, bits := sizeOf(r.body[0]), int(r.body[1])
	switch {
	case size == 0:
		return refusal{errno.EOPNOTSUPP, ""}
	case r.short(size, unix.RTA_GATEWAY, unix.RTA_PREFSRC) || r.short(4, unix.RTA_OIF, unix.RTA_PRIORITY, unix.RTA_TABLE) ||
		r.short(size, unix.RTA_DST) && size == header.IPv4AddressSize:
		return badAttribute
	case bits > size*8 || r.body[2] != 0 || r.short((bits+7)/8, unix.RTA_DST):
		return refusal{errno.EINVAL, "Invalid prefix length"}
	case r.attrs[unix.RTA_MULTIPATH] != nil:
		return refusal{errno.EINVAL, "Multipath support not enabled in kernel"}
	case r.attrs[unix.RTA_VIA] != nil || r.attrs[unix.RTA_ENCAP] != nil || r.attrs[rtaNextHop] != nil || r.attrs[unix.RTA_SRC] != nil:
		return refusal{errno.EOPNOTSUPP, ""}
	}
	to := make([]byte, size)
	copy(to, r.attrs[unix.RTA_DST])
	table := r.number(unix.RTA_TABLE, uint32(r.body[4]))
	if table == unix.RT_TABLE_UNSPEC {
		table = unix.RT_TABLE_MAIN
	}
	w := route{
		to:       tcpip.AddressWithPrefix{Address: tcpip.AddrFromSlice(to), PrefixLen: bits},
		link:     tcpip.NICID(r.number(unix.RTA_OIF, 0)),
		gateway:  r.ip(unix.RTA_GATEWAY, size),
		source:   r.ip(unix.RTA_PREFSRC, size),
		metric:   r.number(unix.RTA_PRIORITY, 0),
		flags:    le.Uint32(r.body[8:]) & unix.RTNH_F_ONLINK,
		table:    uint8(min(table, 255)),
		protocol: r.body[5], scope: r.body[6], kind: r.body[7], tos: r.body[3],
	}
	if isAny(w.gateway) {
		w.gateway = tcpip.Address{}
	}
	if table > 255 {
		w.table = unix.RT_TABLE_COMPAT
	}
	if !add {
		if !w.v4() {
			w.kind = 0
		}
		w.to = prefix(w.to.Address, bits)
		return n.deleteRoute(w)
	}
	if !w.v4() {
		w.scope, w.tos = unix.RT_SCOPE_UNIVERSE, 0
		if w.metric == 0 {
			w.metric = metricUser
		}
		if w.kind == 0 {
			w.kind = unix.RTN_UNICAST
		}
	}
	eachAttr(r.attrs[unix.RTA_METRICS], func(kind uint16, value []byte) {
		if kind == unix.RTAX_MTU && len(value) >= 4 {
			w.mtu = le.Uint32(value)
		}
	})
	return n.changeRoute(w, r.flags)
}

// isAny says whether an address is all zeros.
func isAny(a tcpip.Address) bool { return a == header.IPv4Any || a == header.IPv6Any }

// localRoutes are those to the machine's own addresses, which netstack needs none for.
func (n *Network) localRoutes() (list []*route) {
	for _, a := range n.addressList() {
		l := n.link(a.link)
		if !l.up() {
			continue
		}
		r := route{to: prefix(a.Address, a.Address.BitLen()), link: a.link, table: unix.RT_TABLE_LOCAL, protocol: unix.RTPROT_KERNEL, kind: unix.RTN_LOCAL}
		if !a.v4() {
			list = append(list, &r)
			continue
		}
		r.scope, r.source = unix.RT_SCOPE_HOST, a.Address
		list = append(list, &r)
		if a.broadcast.Len() != 0 && a.PrefixLen < 31 || l.lo() {
			b := r
			subnet := a.Subnet()
			b.to, b.scope, b.kind = prefix(subnet.Broadcast(), 32), unix.RT_SCOPE_LINK, unix.RTN_BROADCAST
			list = append(list, &b)
		}
	}
	return list
}

// oneRoute answers how to get to the address in RTA_DST.
func (a *answer) oneRoute(r *request) refusal {
	if !r.parse(unix.SizeofRtMsg) {
		return badHeader
	}
	size := sizeOf(r.body[0])
	if size == 0 {
		return refusal{errno.EOPNOTSUPP, ""}
	}
	if r.short(size, unix.RTA_DST, unix.RTA_SRC) || r.short(4, unix.RTA_OIF) {
		return badAttribute
	}
	to, from, id := r.ip(unix.RTA_DST, size), r.ip(unix.RTA_SRC, size), tcpip.NICID(r.number(unix.RTA_OIF, 0))
	if to.Len() == 0 {
		to = tcpip.AddrFromSlice(make([]byte, size))
	}
	if id != 0 && a.net.link(id) == nil {
		return refusal{errno.ENODEV, ""}
	}
	w := route{to: prefix(to, size*8), table: unix.RT_TABLE_MAIN, kind: unix.RTN_UNICAST, flags: unix.RTM_F_CLONED}
	if own := a.net.owner(to); own != nil && id == 0 {
		const local = 1 << 31 // RTCF_LOCAL
		w.kind, w.link, w.source = unix.RTN_LOCAL, loopbackNIC, own.Address
		w.flags |= local
		if from.Len() != 0 {
			w.source = from
		}
	} else {
		found, err := a.net.stack.FindRoute(id, from, to, protocolOf(to), false)
		if err != nil {
			return refusal{errno.ENETUNREACH, ""}
		}
		w.link, w.source = found.NICID(), found.LocalAddress()
		if hop := found.NextHop(); hop != to {
			w.gateway = hop
		}
		found.Release()
	}
	a.route(unix.RTM_NEWROUTE, &w)
	return refusal{}
}

// neighbors returns what is known of who is on a device's link.
func (n *Network) neighbors(l *link) (list []stack.NeighborEntry) {
	if l.lo() {
		return nil
	}
	for _, protocol := range [...]tcpip.NetworkProtocolNumber{ipv4.ProtocolNumber, ipv6.ProtocolNumber} {
		some, _ := n.stack.Neighbors(l.index, protocol)
		list = append(list, some...)
	}
	return list
}

// neighborStates are Linux's names of netstack's states.
var neighborStates = [...]uint8{
	stack.Incomplete:  unix.NUD_INCOMPLETE,
	stack.Reachable:   unix.NUD_REACHABLE,
	stack.Stale:       unix.NUD_STALE,
	stack.Delay:       unix.NUD_DELAY,
	stack.Probe:       unix.NUD_PROBE,
	stack.Static:      unix.NUD_PERMANENT,
	stack.Unreachable: unix.NUD_FAILED,
}

func (a *answer) neighbor(kind uint16, l *link, e stack.NeighborEntry) {
	a.begin(kind)
	h := make([]byte, unix.SizeofNdMsg)
	h[0] = familyOf(e.Addr)
	le.PutUint32(h[4:], uint32(l.index))
	le.PutUint16(h[8:], uint16(neighborStates[e.State]))
	h[11] = unix.RTN_UNICAST
	a.put(h)
	a.ip(unix.NDA_DST, e.Addr)
	if e.LinkAddr != "" {
		a.attr(unix.NDA_LLADDR, []byte(e.LinkAddr))
	}
	a.end()
}

// neighborRequest is RTM_NEWNEIGH or RTM_DELNEIGH.
func (n *Network) neighborRequest(r *request, add bool) refusal {
	if !r.parse(unix.SizeofNdMsg) {
		return badHeader
	}
	size := sizeOf(r.body[0])
	id, state := tcpip.NICID(le.Uint32(r.body[4:])), le.Uint16(r.body[8:])
	l := n.link(id)
	dst, mac := r.attrs[unix.NDA_DST], r.attrs[unix.NDA_LLADDR]
	switch {
	case dst == nil:
		return refusal{errno.EINVAL, "Network address not specified"}
	case id != 0 && l == nil:
		return refusal{errno.ENODEV, ""}
	case add && l != nil && mac != nil && len(mac) < header.EthernetAddressSize:
		return refusal{errno.EINVAL, "Invalid link address"}
	case size == 0:
		return refusal{errno.EAFNOSUPPORT, ""}
	case len(dst) < size:
		return refusal{errno.EINVAL, "Invalid network address"}
	case l == nil:
		return refusal{errno.EINVAL, "Device not specified"}
	case r.body[10]&unix.NTF_PROXY != 0 || l.lo():
		return refusal{errno.EOPNOTSUPP, ""}
	}
	ip := tcpip.AddrFromSlice(dst[:size])
	old := n.neighbor(l, ip)
	if !add {
		if old == nil {
			return refusal{errno.ENOENT, ""}
		}
		return n.removeNeighbor(l, *old)
	}
	switch {
	case old == nil && r.flags&unix.NLM_F_CREATE == 0:
		return refusal{errno.ENOENT, ""}
	case old != nil && r.flags&unix.NLM_F_EXCL != 0:
		return refusal{errno.EEXIST, ""}
	case mac == nil && old != nil:
		mac = []byte(old.LinkAddr)
	}
	if len(mac) < header.EthernetAddressSize {
		return refusal{errno.EINVAL, "No link address"}
	}
	return n.setNeighbor(l, ip, tcpip.LinkAddress(mac[:header.EthernetAddressSize]), state&(unix.NUD_PERMANENT|unix.NUD_NOARP) != 0)
}

// neighbor returns what is known of an address on a device's link, nil if that is nothing.
func (n *Network) neighbor(l *link, ip tcpip.Address) *stack.NeighborEntry {
	for _, e := range n.neighbors(l) {
		if e.Addr == ip {
			return &e
		}
	}
	return nil
}

// setNeighbor says which link address an address has: for good, or until it is heard of.
func (n *Network) setNeighbor(l *link, ip tcpip.Address, mac tcpip.LinkAddress, permanent bool) refusal {
	if n.supply() != enough {
		return refusal{errno.ENOBUFS, ""}
	}
	old := n.neighbor(l, ip)
	if permanent {
		if err := n.stack.AddStaticNeighbor(l.index, protocolOf(ip), ip, mac); err != nil {
			return refusal{errnoOf(err), ""}
		}
	} else {
		if old != nil && old.State == stack.Static {
			n.stack.RemoveNeighbor(l.index, protocolOf(ip), ip)
		}
		nic, err := n.stack.GetNICByID(l.index)
		if err == nil {
			err = nic.HandleNeighborProbe(protocolOf(ip), ip, mac)
		}
		if err != nil {
			return refusal{errnoOf(err), ""}
		}
	}
	if e := n.neighbor(l, ip); e != nil && (old == nil || e.State != old.State || e.LinkAddr != old.LinkAddr) {
		n.tell(unix.RTNLGRP_NEIGH, func(m *answer) { m.neighbor(unix.RTM_NEWNEIGH, l, *e) })
	}
	return refusal{}
}

func (n *Network) removeNeighbor(l *link, e stack.NeighborEntry) refusal {
	if err := n.stack.RemoveNeighbor(l.index, protocolOf(e.Addr), e.Addr); err != nil {
		return refusal{errno.ENOENT, ""}
	}
	e.State, e.LinkAddr = stack.Unreachable, ""
	for _, kind := range [...]uint16{unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH} { // it has changed, and it goes
		n.tell(unix.RTNLGRP_NEIGH, func(m *answer) { m.neighbor(kind, l, e) })
	}
	return refusal{}
}
