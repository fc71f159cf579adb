package net

import (
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// link is a network device as Linux has it. It is never changed: a device that something changes of
// is another one then.
type link struct {
	index tcpip.NICID
	name  string
	kind  uint16 // ARPHRD_ ...
	flags uint32 // IFF_ ...
	mtu   int
	queue int               // how many packets it may have: SIOCGIFTXQLEN
	mac   tcpip.LinkAddress // of lo, too
	dev   *device           // nil of lo
}

// lo says whether l is the loopback device.
func (l *link) lo() bool { return l.dev == nil }

// up says whether the device may be used, as the program has it; plugged, whether its cable is
// plugged in.
func (l *link) up() bool      { return l.flags&iffUp != 0 }
func (l *link) plugged() bool { return l.dev == nil || l.dev.dev.LinkUp() }

// state is the flags with those that depend on the cable.
func (l *link) state() uint32 {
	if l.up() && l.plugged() {
		return l.flags | iffRunning | iffLowerUp
	}
	return l.flags
}

// operState is the state that RFC 2863 speaks of, as a number and a word.
func (l *link) operState() (byte, string) {
	const unknown, down, up = 0, 2, 6 // IF_OPER_UNKNOWN ...
	switch {
	case !l.up() || !l.plugged():
		return down, "down"
	case l.lo():
		return unknown, "unknown"
	}
	return up, "up"
}

// broadcastMAC is to whom a frame is for all; lo has nobody.
func (l *link) broadcastMAC() tcpip.LinkAddress {
	if l.lo() {
		return noMAC
	}
	return header.EthernetBroadcastAddress
}

// qdisc is the name of the queue that packets go through on their way to the device.
func (l *link) qdisc() string {
	switch {
	case !l.up():
		return "noop"
	case l.lo():
		return "noqueue"
	}
	return "pfifo_fast"
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

	// What a program may set and clear besides.
	iffSettable = unix.IFF_DEBUG | unix.IFF_NOTRAILERS | unix.IFF_NOARP | unix.IFF_PROMISC | unix.IFF_ALLMULTI |
		unix.IFF_MULTICAST | unix.IFF_PORTSEL | unix.IFF_AUTOMEDIA | unix.IFF_DYNAMIC

	loopbackMTU = 65536
	leastMTU    = 68   // RFC 791
	queueLength = 1000 // packets
	noMAC       = tcpip.LinkAddress("\x00\x00\x00\x00\x00\x00")
)

// addLink makes a device of what frames go through, by way of q if that is not nil.
func (n *Network) addLink(l *link, ep stack.LinkEndpoint, q stack.QueueingDiscipline) tcpip.Error {
	n.mu.Lock()
	l.index = tcpip.NICID(len(n.links) + 1)
	l.queue = queueLength
	n.links = append(n.links, l)
	if !l.lo() {
		l.dev.index = l.index
	}
	n.mu.Unlock()
	if err := n.stack.CreateNICWithOptions(l.index, ep, stack.NICOptions{Name: l.name, Disabled: true, QDisc: q}); err != nil {
		return err
	}
	if !l.lo() {
		n.detectDuplicates(l.index, 1)
	}
	return n.stack.EnableNIC(l.index)
}

// all returns the devices, by index.
func (n *Network) all() []*link {
	n.up()
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.links
}

// link returns the device with that index, nil if there is none.
func (n *Network) link(id tcpip.NICID) *link {
	n.mu.Lock()
	defer n.mu.Unlock()
	if id > 0 && int64(id) <= int64(len(n.links)) {
		return n.links[id-1]
	}
	return nil
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
	if l := n.link(id); l != nil {
		return l.name
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

// linkAddr is what a packet socket is bound to: a device, with its address, or all (packet(7)).
func (n *Network) linkAddr(a tcpip.FullAddress) []byte {
	kind := uint16(0)
	if l := n.link(a.NIC); l != nil {
		a.LinkAddr, kind = l.mac, l.kind
	}
	b := formatAddr(afPacket, a)
	le.PutUint16(b[8:], kind)
	return b[:sizeofPacket-hardwareAddrLen+len(a.LinkAddr)]
}

// mtuTo is the largest packet that fits on the way from one address to another.
func (n *Network) mtuTo(from, to tcpip.Address) int {
	r, err := n.stack.FindRoute(0, from, to, protocolOf(to), false)
	if err != nil {
		return loopbackMTU
	}
	defer r.Release()
	head := header.IPv4MinimumSize
	if to.Len() == header.IPv6AddressSize {
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
