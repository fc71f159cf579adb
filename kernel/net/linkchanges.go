package net

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"gosv/kernel/errno"
)

// What changes a device. Callers hold n.rtnl.

// replaceLink changes something of a device's and returns what it is then.
func (n *Network) replaceLink(id tcpip.NICID, change func(l *link)) *link {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := *n.links[id-1]
	change(&l)
	n.links = slices.Clone(n.links)
	n.links[id-1] = &l
	return &l
}

// Attributes of RTM_SETLINK that ask for what is not there.
const unsupportedLink = 1<<unix.IFLA_MAP | 1<<unix.IFLA_MASTER | 1<<unix.IFLA_NET_NS_PID | 1<<unix.IFLA_NET_NS_FD | 1<<unix.IFLA_AF_SPEC |
	1<<unix.IFLA_PROTINFO | 1<<unix.IFLA_VFINFO_LIST | 1<<unix.IFLA_PORT_SELF | 1<<unix.IFLA_XDP | 1<<unix.IFLA_BROADCAST

// setLink is RTM_SETLINK, or RTM_NEWLINK, which makes none.
func (n *Network) setLink(r *request, makes bool) refusal {
	l, no := n.requestedLink(r)
	switch {
	case makes && l == nil && no != badHeader && int32(le.Uint32(r.body[4:])) >= 0:
		if r.flags&unix.NLM_F_CREATE != 0 {
			return refusal{errno.EOPNOTSUPP, "Unknown device type"}
		}
		return refusal{errno.ENODEV, ""}
	case no.errno != 0:
		return no
	case makes && r.flags&unix.NLM_F_EXCL != 0:
		return refusal{errno.EEXIST, ""}
	case makes && r.flags&unix.NLM_F_REPLACE != 0, r.attrs[unix.IFLA_LINKINFO] != nil:
		return refusal{errno.EOPNOTSUPP, ""}
	case r.short(4, unix.IFLA_MTU, unix.IFLA_TXQLEN):
		return badAttribute
	case r.short(len(l.mac), unix.IFLA_ADDRESS):
		return refusal{errno.EINVAL, ""}
	}
	for kind, v := range r.attrs {
		if v != nil && uint64(unsupportedLink)>>kind&1 != 0 {
			return refusal{errno.EOPNOTSUPP, ""}
		}
	}
	if mac := r.attrs[unix.IFLA_ADDRESS]; mac != nil {
		no = n.setMAC(l, tcpip.LinkAddress(mac[:len(l.mac)]))
	}
	if no.errno == 0 && r.attrs[unix.IFLA_MTU] != nil {
		no = n.setMTU(l, r.number(unix.IFLA_MTU, 0))
	}
	if name := r.attrs[unix.IFLA_IFNAME]; no.errno == 0 && le.Uint32(r.body[4:]) != 0 && cstring(name) != "" {
		no = n.setName(l, cstring(name))
	}
	if no.errno != 0 {
		return no
	}
	flags, change := le.Uint32(r.body[8:]), le.Uint32(r.body[12:])
	if change != 0 || flags != 0 {
		if change == 0 {
			change = ^uint32(0)
		}
		n.setFlags(l, l.flags&^change|flags&change)
	}
	if r.attrs[unix.IFLA_TXQLEN] != nil {
		return n.setQueue(l, r.number(unix.IFLA_TXQLEN, 0))
	}
	return no
}

func (n *Network) setMAC(l *link, mac tcpip.LinkAddress) refusal {
	if mac == noMAC || header.IsMulticastEthernetAddress(mac) {
		return refusal{errno.EADDRNOTAVAIL, ""}
	}
	n.stack.SetNICAddress(l.index, mac)
	n.tellLink(n.replaceLink(l.index, func(l *link) { l.mac = mac }), 0)
	return refusal{}
}

func (n *Network) setMTU(l *link, mtu uint32) refusal {
	switch {
	case int32(mtu) < 0 || mtu < leastMTU && !l.lo():
		return refusal{errno.EINVAL, "mtu less than device minimum"}
	case !l.lo() && int(mtu) > l.dev.dev.MTU():
		return refusal{errno.EINVAL, "mtu greater than device maximum"}
	case int(mtu) == l.mtu:
		return refusal{}
	}
	n.stack.SetNICMTU(l.index, mtu)
	n.tellLink(n.replaceLink(l.index, func(l *link) { l.mtu = int(mtu) }), 0)
	return refusal{}
}

func (n *Network) setQueue(l *link, packets uint32) refusal {
	if int32(packets) < 0 {
		return refusal{errno.ERANGE, ""}
	}
	if int(packets) != l.queue {
		n.tellLink(n.replaceLink(l.index, func(l *link) { l.queue = int(packets) }), 0)
	}
	return refusal{}
}

func (n *Network) setName(l *link, name string) refusal {
	bad := len(name) >= unix.IFNAMSIZ || name == "" || name == "." || name == ".."
	for _, c := range []byte(name) {
		bad = bad || c == '/' || c == ':' || c == '%' || c == ' ' || c >= '\t' && c <= '\r'
	}
	switch {
	case name == l.name:
		return refusal{}
	case bad:
		return refusal{errno.EINVAL, ""}
	case n.byName(name) != nil:
		return refusal{errno.EEXIST, ""}
	}
	n.stack.SetNICName(l.index, name)
	n.tellLink(n.replaceLink(l.index, func(l *link) { l.name = name }), 0)
	for _, a := range n.addresses(l.index) {
		if a.v4() {
			b := *a
			b.label = name
			if _, alias, ok := strings.Cut(a.label, ":"); ok {
				b.label = name + ":" + alias
			}
			n.replaceAddress(a, &b)
		}
	}
	return refusal{}
}

// setFlags sets those that a program may, among them IFF_UP.
func (n *Network) setFlags(l *link, flags uint32) {
	const mask = iffSettable | iffUp
	flags = l.flags&^mask | flags&mask
	changed := flags ^ l.flags
	if changed == 0 {
		return
	}
	if changed&iffUp != 0 && flags&iffUp == 0 {
		n.down(l)
	}
	before := l.state()
	l = n.replaceLink(l.index, func(l *link) { l.flags = flags })
	if changed&iffUp != 0 && l.up() {
		n.enable(l)
	}
	n.tellLink(l, before^l.state())
}

// down takes a device out of use: nothing leads there any more, and its IPv6 addresses are gone.
func (n *Network) down(l *link) {
	for _, a := range n.addresses(l.index) {
		if !a.v4() {
			n.stack.RemoveAddress(l.index, a.Address)
		}
	}
	n.removeRoutes(false, func(r *route) bool { return r.link == l.index })
	n.installAll()
	n.stack.DisableNIC(l.index)
	if l.dev != nil {
		l.dev.disabled.Store(true)
	}
}

// enable takes it into use again.
func (n *Network) enable(l *link) {
	if l.dev != nil {
		l.dev.disabled.Store(false)
	}
	n.stack.EnableNIC(l.index)
	list := n.addresses(l.index)
	for _, a := range list {
		n.addConnected(l, a)
	}
	if l.lo() {
		n.addAddress(newAddress(l, tcpip.AddressWithPrefix{Address: header.IPv6Loopback, PrefixLen: 128}))
		if len(list) == 0 {
			n.addAddress(newAddress(l, tcpip.AddressWithPrefix{Address: loopback4, PrefixLen: 8}))
		}
	}
	n.installAll()
}
