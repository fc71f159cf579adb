package net

import (
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"gosv/kernel/errno"
	"gosv/kernel/nic"
	"gosv/kernel/socket"
)

// link is a network device as Linux has it.
type link struct {
	index tcpip.NICID
	name  string
	kind  uint16 // ARPHRD_ ...
	flags uint32 // IFF_ ...
	mtu   int
	mac   tcpip.LinkAddress // none of lo
	dev   nic.Device        // nil of lo
}

// up says whether the cable is plugged in, and state the flags that go with it.
func (l *link) up() bool { return l.dev == nil || l.dev.LinkUp() }

func (l *link) state() uint32 {
	if l.up() {
		return l.flags
	}
	return l.flags &^ (iffRunning | iffLowerUp)
}

const (
	arphrdEther    = unix.ARPHRD_ETHER
	arphrdLoopback = unix.ARPHRD_LOOPBACK

	iffUp        = unix.IFF_UP
	iffLoopback  = unix.IFF_LOOPBACK
	iffRunning   = unix.IFF_RUNNING
	iffLowerUp   = unix.IFF_LOWER_UP
	iffBroadcast = unix.IFF_BROADCAST
	iffMulticast = unix.IFF_MULTICAST

	loopbackMTU = 65536
	queueLength = 1000 // packets: SIOCGIFTXQLEN
)

// addLink makes a device of what frames go through, by way of q if that is not nil.
func (n *Network) addLink(l *link, ep stack.LinkEndpoint, q stack.QueueingDiscipline) tcpip.Error {
	n.mu.Lock()
	l.index = tcpip.NICID(len(n.links) + 1)
	n.links = append(n.links, l)
	n.mu.Unlock()
	if err := n.stack.CreateNICWithOptions(l.index, ep, stack.NICOptions{Name: l.name, Disabled: true, QDisc: q}); err != nil {
		return err
	}
	if l.flags&iffLoopback == 0 {
		v6, err := n.stack.GetNetworkEndpoint(l.index, ipv6.ProtocolNumber)
		if d, ok := v6.(stack.DuplicateAddressDetector); err == nil && ok {
			d.SetDADConfigurations(stack.DADConfigurations{DupAddrDetectTransmits: 1, RetransmitTimer: time.Second})
		}
	}
	return n.stack.EnableNIC(l.index)
}

// addAddress gives a device an address, and the way to what its prefix has.
func (n *Network) addAddress(id tcpip.NICID, a tcpip.AddressWithPrefix) tcpip.Error {
	protocol := ipv4.ProtocolNumber
	if a.Address.Len() == header.IPv6AddressSize {
		protocol = ipv6.ProtocolNumber
	}
	err := n.stack.AddProtocolAddress(id, tcpip.ProtocolAddress{Protocol: protocol, AddressWithPrefix: a}, stack.AddressProperties{})
	if err == nil {
		n.stack.AddRoute(tcpip.Route{Destination: a.Subnet(), NIC: id})
	}
	return err
}

// all returns the devices, by index.
func (n *Network) all() []*link {
	n.up()
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.links
}

func (n *Network) byName(name string) *link {
	for _, l := range n.all() {
		if l.name == name {
			return l
		}
	}
	return nil
}

func (n *Network) linkName(id tcpip.NICID) string {
	if links := n.all(); id > 0 && int(id) <= len(links) {
		return links[id-1].name
	}
	return ""
}

// linkIndex is 0 where there is no such device.
func (n *Network) linkIndex(name string) tcpip.NICID {
	if l := n.byName(name); l != nil {
		return l.index
	}
	return 0
}

// addresses returns those of a device, IPv4's first.
func (n *Network) addresses(id tcpip.NICID) (list []tcpip.AddressWithPrefix) {
	all := n.stack.NICInfo()[id].ProtocolAddresses
	for _, protocol := range [...]tcpip.NetworkProtocolNumber{ipv4.ProtocolNumber, ipv6.ProtocolNumber} {
		for _, a := range all {
			if a.Protocol == protocol {
				list = append(list, a.AddressWithPrefix)
			}
		}
	}
	return list
}

// mtuTo is the largest packet that fits on the way from one address to another.
func (n *Network) mtuTo(from, to tcpip.Address) int {
	protocol := ipv4.ProtocolNumber
	if to.Len() == header.IPv6AddressSize {
		protocol = ipv6.ProtocolNumber
	}
	r, err := n.stack.FindRoute(0, from, to, protocol, false)
	if err != nil {
		return loopbackMTU
	}
	defer r.Release()
	head := header.IPv4MinimumSize
	if protocol == ipv6.ProtocolNumber {
		head = header.IPv6MinimumSize
	}
	return int(r.MTU()) + head
}

// Links implements linux.Network.
func (n *Network) Links() (names []string) {
	n.attached()
	for _, l := range n.all() {
		names = append(names, l.name)
	}
	return names
}

// ifreqUnion is where the part of struct ifreq is that depends on the request.
const ifreqUnion = unix.IFNAMSIZ

// Interface implements linux.Network.
func (n *Network) Interface(req uint32, r *[socket.IfreqSize]byte) errno.Errno {
	n.attached()
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
	l := n.byName(cstring(r[:ifreqUnion]))
	if l == nil {
		return errno.ENODEV
	}
	switch req {
	case unix.SIOCGIFADDR, unix.SIOCGIFDSTADDR, unix.SIOCGIFBRDADDR, unix.SIOCGIFNETMASK:
		n.configured()
	}
	var first *tcpip.AddressWithPrefix
	for _, a := range n.addresses(l.index) {
		if a.Address.Len() == header.IPv4AddressSize {
			first = &a
			break
		}
	}
	addr := func(a tcpip.Address) { copy(u[:16], formatAddr(afInet, tcpip.FullAddress{Addr: a})) }
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
		le.PutUint32(u, queueLength)
	case unix.SIOCGIFHWADDR:
		clear(u[:16])
		le.PutUint16(u, l.kind)
		copy(u[2:], l.mac)
	case unix.SIOCGIFADDR, unix.SIOCGIFDSTADDR, unix.SIOCGIFBRDADDR, unix.SIOCGIFNETMASK:
		switch {
		case first == nil:
			return errno.EADDRNOTAVAIL
		case req == unix.SIOCGIFNETMASK:
			subnet := first.Subnet()
			mask := subnet.Mask()
			addr(tcpip.AddrFromSlice(mask.AsSlice()))
		case req == unix.SIOCGIFBRDADDR:
			addr(broadcast(l, *first))
		default:
			addr(first.Address)
		}
	case unix.SIOCSIFFLAGS, unix.SIOCSIFADDR, unix.SIOCSIFMTU, unix.SIOCSIFNETMASK, unix.SIOCSIFHWADDR, unix.SIOCSIFTXQLEN:
		return errno.EPERM
	default:
		return errno.EOPNOTSUPP
	}
	return 0
}

// broadcast is the address of all in a's network; lo has none.
func broadcast(l *link, a tcpip.AddressWithPrefix) tcpip.Address {
	if l.flags&iffLoopback != 0 {
		return tcpip.AddrFrom4([4]byte{})
	}
	subnet := a.Subnet()
	return subnet.Broadcast()
}

// Interfaces implements linux.Network.
func (n *Network) Interfaces() (list []byte) {
	n.up()
	n.configured()
	for _, l := range n.all() {
		for _, a := range n.addresses(l.index) {
			if a.Address.Len() == header.IPv4AddressSize {
				var r [socket.IfreqSize]byte
				copy(r[:ifreqUnion], l.name)
				copy(r[ifreqUnion:], formatAddr(afInet, tcpip.FullAddress{Addr: a.Address}))
				list = append(list, r[:]...)
			}
		}
	}
	return list
}
