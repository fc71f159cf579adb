package net

import (
	"slices"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"gosv/kernel/errno"
)

// address is one of a device's, with what Linux knows of it besides netstack. It is never
// changed: another one takes its place. A device has an address once.
type address struct {
	tcpip.AddressWithPrefix
	link      tcpip.NICID
	peer      tcpip.Address // whose network is at the other end; mostly the address itself
	broadcast tcpip.Address // may be none
	label     string
	scope     uint8  // RT_SCOPE_ ...
	flags     uint32 // IFA_F_ ...
	metric    uint32 // of the route to its network

	made, told       uint64 // ns: when it came, and when it was last changed
	preferred, valid uint32 // seconds after told
}

// forever is a time in seconds.
const forever = 1<<32 - 1

func (a *address) v4() bool { return a.Address.Len() == header.IPv4AddressSize }

// network is what is reached without a gateway because of a.
func (a *address) network() tcpip.AddressWithPrefix {
	return prefix(a.peer, a.PrefixLen)
}

// prefix is an address without the bits behind the first so many.
func prefix(a tcpip.Address, bits int) tcpip.AddressWithPrefix {
	subnet := tcpip.AddressWithPrefix{Address: a, PrefixLen: bits}.Subnet()
	return tcpip.AddressWithPrefix{Address: subnet.ID(), PrefixLen: bits}
}

func contains(p tcpip.AddressWithPrefix, a tcpip.Address) bool {
	return a.Len() == p.Address.Len() && prefix(a, p.PrefixLen).Address == p.Address
}

// sameNetwork says whether two IPv4 addresses of a device have the same network: all but the
// first are secondary then.
func (a *address) sameNetwork(b *address) bool {
	return a.link == b.link && a.v4() && b.v4() && a.PrefixLen == b.PrefixLen && a.network() == b.network()
}

func (a *address) secondary() bool { return a.v4() && a.flags&unix.IFA_F_SECONDARY != 0 }

// scopeOf is where an address is valid that nobody has said it of.
func scopeOf(a tcpip.Address) uint8 {
	switch {
	case header.IsV4LoopbackAddress(a) || a == header.IPv6Loopback:
		return unix.RT_SCOPE_HOST
	case header.IsV6LinkLocalUnicastAddress(a):
		return unix.RT_SCOPE_LINK
	}
	return unix.RT_SCOPE_UNIVERSE
}

// newAddress is an address as it is if nothing more is said.
func newAddress(l *link, p tcpip.AddressWithPrefix) *address {
	return &address{AddressWithPrefix: p, link: l.index, peer: p.Address, label: l.name, scope: scopeOf(p.Address),
		flags: unix.IFA_F_PERMANENT, preferred: forever, valid: forever}
}

// addressList returns all addresses, those of a device in Linux's order.
func (n *Network) addressList() []*address {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.addrs
}

// addresses returns those of a device, IPv4's first.
func (n *Network) addresses(id tcpip.NICID) (list []*address) {
	all := n.addressList()
	for _, v4 := range [...]bool{true, false} {
		for _, a := range all {
			if a.link == id && a.v4() == v4 {
				list = append(list, a)
			}
		}
	}
	return list
}

func (n *Network) findAddress(id tcpip.NICID, ip tcpip.Address) *address {
	for _, a := range n.addressList() {
		if a.link == id && a.Address == ip {
			return a
		}
	}
	return nil
}

// owner returns the address that ip is on some device, nil if it is not the machine's.
func (n *Network) owner(ip tcpip.Address) *address {
	for _, a := range n.addressList() {
		if a.Address == ip || a.link == loopbackNIC && a.v4() && contains(a.network(), ip) {
			return a
		}
	}
	return nil
}

// place is where a comes among the others.
func place(list []*address, a *address) int {
	at := 0
	for i, b := range list {
		switch {
		case b.link != a.link || b.v4() != a.v4():
		case a.v4() && (a.secondary() || !b.secondary() && a.scope <= b.scope):
			at = i + 1
		case !a.v4() && b.scope < a.scope:
			at = i + 1
		}
	}
	return at
}

// exchange puts an address in the place of another. The first may be nil: the second comes as
// well then; and the second, too: the first goes. Whether it was there is the answer.
func (n *Network) exchange(old, a *address) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	i := slices.Index(n.addrs, old)
	list := slices.Clone(n.addrs)
	switch {
	case old == nil:
		list = slices.Insert(list, place(list, a), a)
	case i < 0:
		return false
	case a == nil:
		list = slices.Delete(list, i, i+1)
	default:
		list[i] = a
	}
	n.addrs = list
	return true
}

// addAddress gives a device an address, and the way to what its network has. The caller holds
// n.rtnl.
func (n *Network) addAddress(a *address) refusal {
	l := n.link(a.link)
	if n.findAddress(a.link, a.Address) != nil {
		return refusal{errno.EEXIST, "Address already assigned"}
	}
	if n.supply() != enough {
		return refusal{errno.ENOBUFS, ""}
	}
	if a.v4() {
		a.flags &^= unix.IFA_F_SECONDARY
		for _, b := range n.addresses(a.link) {
			if !a.sameNetwork(b) {
				continue
			}
			if a.scope != b.scope {
				return refusal{errno.EINVAL, "Invalid scope value"}
			}
			a.flags |= unix.IFA_F_SECONDARY
		}
	}
	a.made = uint64(nanotime())
	a.told = a.made
	n.exchange(nil, a)
	bits := a.PrefixLen
	if a.peer != a.Address {
		bits = a.Address.BitLen()
	}
	properties := stack.AddressProperties{}
	if !a.v4() {
		properties.Disp = &addressEvents{n, a.link, a.Address}
	}
	err := n.stack.AddProtocolAddress(a.link, tcpip.ProtocolAddress{Protocol: protocolOf(a.Address),
		AddressWithPrefix: tcpip.AddressWithPrefix{Address: a.Address, PrefixLen: bits}}, properties)
	if err != nil {
		n.exchange(a, nil)
		return refusal{errnoOf(err), ""}
	}
	if a.v4() {
		n.tellAddress(unix.RTM_NEWADDR, a)
	}
	if l.up() {
		n.addConnected(l, a)
	}
	n.installAll()
	n.expire(a)
	return refusal{}
}

// addConnected adds the route to an address's network.
func (n *Network) addConnected(l *link, a *address) {
	alone := a.PrefixLen == a.Address.BitLen() && a.peer == a.Address
	if a.secondary() || a.flags&unix.IFA_F_NOPREFIXROUTE != 0 || alone && (a.v4() || a.Address == header.IPv6Loopback) {
		return
	}
	r := route{to: a.network(), link: a.link, metric: a.metric, table: unix.RT_TABLE_MAIN, protocol: unix.RTPROT_KERNEL,
		scope: unix.RT_SCOPE_LINK, kind: unix.RTN_UNICAST, source: a.Address}
	if !a.v4() {
		r.scope, r.source = unix.RT_SCOPE_UNIVERSE, tcpip.Address{}
		if r.metric == 0 {
			r.metric = metricKernel
		}
	}
	if l.lo() && a.v4() {
		r.table, r.scope, r.kind = unix.RT_TABLE_LOCAL, unix.RT_SCOPE_HOST, unix.RTN_LOCAL
	}
	n.addRoute(r, unix.NLM_F_CREATE|unix.NLM_F_APPEND)
}

// removeAddress takes an address from a device, with the secondary ones of its network, and the
// routes that are because of it. The caller holds n.rtnl.
func (n *Network) removeAddress(a *address) {
	if !a.v4() { // the rest comes with the event
		n.stack.RemoveAddress(a.link, a.Address)
		n.installAll()
		return
	}
	list := n.addresses(a.link)
	slices.Reverse(list) // the first one goes last
	for _, b := range list {
		if b == a || b.secondary() && !a.secondary() && a.sameNetwork(b) {
			n.stack.RemoveAddress(b.link, b.Address)
			n.addressGone(b)
		}
	}
	n.installAll()
}

// addressGone takes note of that an address is not there any more. It may be called with
// netstack's locks held, and so calls nothing of netstack.
func (n *Network) addressGone(a *address) {
	if !n.exchange(a, nil) {
		return
	}
	n.tellAddress(unix.RTM_DELADDR, a)
	left, sameNetwork := false, false
	for _, b := range n.addresses(a.link) {
		if b.v4() == a.v4() {
			left = true
			sameNetwork = sameNetwork || b.network() == a.network() && b.PrefixLen == a.PrefixLen
		}
	}
	n.removeRoutes(true, func(r *route) bool {
		return r.protocol == unix.RTPROT_KERNEL && r.link == a.link && r.to == a.network() && r.gateway.Len() == 0 && !sameNetwork
	})
	if a.v4() {
		n.removeRoutes(true, func(r *route) bool { return r.source == a.Address })
		n.removeRoutes(false, func(r *route) bool { return !left && r.v4() && r.link == a.link })
	}
}

// expire removes an address when its time is over.
func (n *Network) expire(a *address) {
	if a.valid == forever {
		return
	}
	time.AfterFunc(time.Duration(a.valid)*time.Second, func() {
		n.rtnl.Lock()
		defer n.rtnl.Unlock()
		if a := n.findAddress(a.link, a.Address); a != nil && a.left(a.valid) == 0 {
			n.removeAddress(a)
		}
	})
}

// replaceAddress changes what is known of an address: its flags, and how long it is valid. The
// caller holds n.rtnl.
func (n *Network) replaceAddress(old, a *address) {
	a.made, a.told = old.made, uint64(nanotime())
	if !n.exchange(old, a) {
		return
	}
	n.tellAddress(unix.RTM_NEWADDR, a)
	n.expire(a)
}

// tellAddress tells others of an address that has come, changed or gone.
func (n *Network) tellAddress(kind uint16, a *address) {
	group := uint32(unix.RTNLGRP_IPV6_IFADDR)
	if a.v4() {
		group = unix.RTNLGRP_IPV4_IFADDR
	}
	n.tell(group, func(m *answer) { m.address(kind, a) })
}

// left is how many seconds a time of an address's is still.
func (a *address) left(seconds uint32) uint32 {
	if seconds == forever {
		return forever
	}
	return seconds - uint32(min(uint64(seconds), (uint64(nanotime())-a.told)/1e9))
}

// state is a's flags, as they are now.
func (a *address) state() uint32 {
	if a.preferred != forever && a.left(a.preferred) == 0 {
		return a.flags | unix.IFA_F_DEPRECATED
	}
	return a.flags
}

// addressEvents takes what happens to an IPv6 address (stack.AddressDispatcher), with netstack's
// locks held.
type addressEvents struct {
	net  *Network
	link tcpip.NICID
	ip   tcpip.Address
}

// OnChanged implements stack.AddressDispatcher. Others are told of an address when nobody else
// on the link has it.
func (e *addressEvents) OnChanged(t stack.AddressLifetimes, state stack.AddressAssignmentState) {
	n := e.net
	old := n.findAddress(e.link, e.ip)
	if old == nil {
		return
	}
	a := *old
	now := n.stack.Clock().NowMonotonic()
	if until := t.ValidUntil; until != (tcpip.MonotonicTime{}) && until != tcpip.MonotonicTimeInfinite() && a.flags&unix.IFA_F_PERMANENT == 0 {
		a.told = uint64(nanotime())
		a.valid = uint32(max(0, until.Sub(now)/time.Second))
		a.preferred = uint32(max(0, t.PreferredUntil.Sub(now)/time.Second))
	}
	a.flags &^= unix.IFA_F_TENTATIVE
	if state == stack.AddressTentative {
		a.flags |= unix.IFA_F_TENTATIVE
	}
	if n.exchange(old, &a) && state == stack.AddressAssigned {
		n.tellAddress(unix.RTM_NEWADDR, &a)
	}
}

// OnRemoved implements stack.AddressDispatcher.
func (e *addressEvents) OnRemoved(stack.AddressRemovalReason) {
	if a := e.net.findAddress(e.link, e.ip); a != nil {
		e.net.addressGone(a)
		e.net.installLater()
	}
}

// OnAutoGenAddress implements ipv6.NDPDispatcher: netstack has made an address.
func (d ndp) OnAutoGenAddress(id tcpip.NICID, p tcpip.AddressWithPrefix) stack.AddressDispatcher {
	l := d.net.link(id)
	a := newAddress(l, p)
	a.made = uint64(nanotime())
	a.told = a.made
	if a.scope == unix.RT_SCOPE_LINK {
		d.net.addConnected(l, a)
		d.net.installLater()
	} else {
		a.flags = unix.IFA_F_MANAGETEMPADDR | unix.IFA_F_NOPREFIXROUTE
	}
	d.net.exchange(nil, a)
	return &addressEvents{d.net, id, p.Address}
}
