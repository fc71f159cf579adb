package net

import (
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"gosv/kernel/nic"
)

// device is a network device as netstack has it: a stack.LinkEndpoint, and the
// nic.Handler of what comes.
type device struct {
	net *Network
	dev nic.Device
	hw  atomic.Pointer[tcpip.LinkAddress]
	mtu atomic.Uint32

	index    tcpip.NICID
	disabled atomic.Bool // the program has taken it out of use
	lease    *address    // from a DHCP server; n.rtnl guards it, and
	leased   bool        // that there was one

	begun      chan struct{} // closed when there is somebody for what is received
	dispatcher atomic.Pointer[stack.NetworkDispatcher]
	dhcp       atomic.Pointer[dhcpClient] // gets its packets past netstack, which has no address yet

	segments4, segments6 segments // nil if there is no short way

	receiving sync.Mutex // guards
	in        incoming
	unchecked atomic.Bool // what is being delivered has checksums that nobody has looked at

	sending sync.Mutex // guards
	out     outgoing
}

func newDevice(n *Network, d nic.Device) *device {
	mac := d.MAC()
	e := &device{net: n, dev: d, begun: make(chan struct{})}
	e.SetLinkAddress(tcpip.LinkAddress(mac[:]))
	e.mtu.Store(uint32(d.MTU()))
	e.in.deliver, e.in.segment = e.received, e.segment
	e.out.can = d.Offloads()
	return e
}

// mac is the device's address, as it is now.
func (e *device) mac() tcpip.LinkAddress { return *e.hw.Load() }

// What netstack asks (stack.LinkEndpoint).
func (e *device) MTU() uint32                             { return e.mtu.Load() }
func (e *device) SetMTU(mtu uint32)                       { e.mtu.Store(min(mtu, uint32(e.dev.MTU()))) }
func (e *device) MaxHeaderLength() uint16                 { return header.EthernetMinimumSize }
func (e *device) LinkAddress() tcpip.LinkAddress          { return e.mac() }
func (e *device) SetLinkAddress(a tcpip.LinkAddress)      { e.hw.Store(&a) }
func (e *device) IsAttached() bool                        { return e.dispatcher.Load() != nil }
func (e *device) Wait()                                   {}
func (e *device) Close()                                  {}
func (e *device) SetOnCloseAction(func())                 {}
func (e *device) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareEther }

// Capabilities implements stack.LinkEndpoint. Netstack asks for each packet whether its checksums
// are right: Receive knows that of nearly all, since the device may have said something, and
// since those of packets that were put together are not right any more.
func (e *device) Capabilities() stack.LinkEndpointCapabilities {
	if e.unchecked.Load() {
		return stack.CapabilityResolutionRequired
	}
	return stack.CapabilityResolutionRequired | stack.CapabilityRXChecksumOffload
}

// GSOMaxSize and SupportedGSO implement stack.GSOEndpoint. Segments that the device does
// not cut, outgoing does.
func (e *device) GSOMaxSize() uint32 {
	const most = 65535 - header.EthernetMinimumSize // an IP packet has no more
	return most
}

func (e *device) SupportedGSO() stack.SupportedGSO { return stack.HostGSOSupported }

// Attach implements stack.LinkEndpoint.
func (e *device) Attach(d stack.NetworkDispatcher) {
	if d == nil {
		e.dispatcher.Store(nil)
		return
	}
	e.dispatcher.Store(&d)
}

// AddHeader implements stack.LinkEndpoint.
func (e *device) AddHeader(p *stack.PacketBuffer) {
	header.Ethernet(p.LinkHeader().Push(header.EthernetMinimumSize)).Encode(&header.EthernetFields{
		SrcAddr: e.mac(),
		DstAddr: p.EgressRoute.RemoteLinkAddress,
		Type:    p.NetworkProtocolNumber,
	})
}

// ParseHeader implements stack.LinkEndpoint.
func (e *device) ParseHeader(p *stack.PacketBuffer) bool {
	_, ok := p.LinkHeader().Consume(header.EthernetMinimumSize)
	return ok
}

// WritePacket implements stack.QueueingDiscipline: there is no queue.
func (e *device) WritePacket(p *stack.PacketBuffer) tcpip.Error {
	e.sending.Lock()
	defer e.sending.Unlock()
	e.add(p)
	return e.send()
}

// WritePackets implements stack.LinkEndpoint.
func (e *device) WritePackets(list stack.PacketBufferList) (int, tcpip.Error) {
	e.sending.Lock()
	defer e.sending.Unlock()
	for _, p := range list.AsSlice() {
		e.add(p)
	}
	if err := e.send(); err != nil {
		return 0, err
	}
	return list.Len(), nil
}

// add makes frames of a packet; e.sending is held.
func (e *device) add(p *stack.PacketBuffer) {
	if e.net.watched.Load() {
		if d := e.dispatcher.Load(); d != nil {
			(*d).DeliverLinkPacket(p.NetworkProtocolNumber, p)
		}
	}
	e.out.add(p)
}

// send sends the frames; e.sending is held.
func (e *device) send() tcpip.Error {
	if e.disabled.Load() {
		e.out.reset()
		return &tcpip.ErrNetworkUnreachable{}
	}
	size := 0
	for i := range e.out.frames {
		size += e.out.frames[i].Size()
	}
	n := e.dev.Send(e.out.frames, e.net.hold.sent(size))
	all := len(e.out.frames)
	e.out.reset()
	if n == 0 && all > 0 {
		return &tcpip.ErrNoBufferSpace{}
	}
	return nil
}

// announce tells everybody on the network whose address a is (RFC 5227 section 2.3): who asked
// before the device was up, as QEMU's user network does for a client of the host's, need not
// ask again, which it would after seconds.
func (e *device) announce(a tcpip.Address) {
	b := make([]byte, header.EthernetMinimumSize+header.ARPSize)
	header.Ethernet(b).Encode(&header.EthernetFields{SrcAddr: e.mac(), DstAddr: header.EthernetBroadcastAddress, Type: header.ARPProtocolNumber})
	h := header.ARP(b[header.EthernetMinimumSize:])
	h.SetIPv4OverEthernet()
	h.SetOp(header.ARPRequest)
	copy(h.HardwareAddressSender(), e.mac())
	copy(h.ProtocolAddressSender(), a.AsSlice())
	copy(h.ProtocolAddressTarget(), a.AsSlice())
	e.dev.Send([]nic.Frame{{Parts: [][]byte{b}}}, false)
}

// Receive implements nic.Handler. What comes while the device is being set up is kept: a
// client of the host's may be there already, and who asked for an address asks again
// only after seconds.
func (e *device) Receive(frames []nic.Frame) {
	<-e.begun
	if e.disabled.Load() {
		return
	}
	e.receiving.Lock()
	defer e.receiving.Unlock()
	supply := e.net.supply()
	e.net.lasts.begin(e.net, supply)
	for i := range frames {
		f := &frames[i]
		var h headers
		h.read(f)
		checked := f.ChecksumValid || f.NeedsChecksum
		if !checked && (h.is(header.TCPProtocolNumber) || h.is(header.UDPProtocolNumber)) {
			if checked = h.checksumsRight(f); !checked {
				continue
			}
		}
		if (supply == enough || e.net.admits(&h, e.index, supply)) && !e.net.callers.keeps(e, f, &h) {
			if len(frames) == 1 {
				e.in.pass(f, &h, checked)
			} else {
				e.in.add(f, &h, checked)
			}
		}
	}
	e.in.flush()
}

// received takes a frame that came, in memory of its own. If nobody has checked its checksums
// netstack does, for fragments when they are put together.
func (e *device) received(v *buffer.View, checked bool) {
	if !checked {
		e.unchecked.Store(true)
		defer e.unchecked.Store(false)
	}
	c := e.dhcp.Load()
	taken := c != nil && c.take(v.AsSlice())
	p := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithView(v)})
	if d := e.dispatcher.Load(); d != nil && e.linkHeader(p) {
		if e.net.watched.Load() {
			(*d).DeliverLinkPacket(p.NetworkProtocolNumber, p)
		}
		if !taken {
			(*d).DeliverNetworkPacket(p.NetworkProtocolNumber, p)
		}
	}
	p.DecRef()
}

// linkHeader takes the Ethernet header off a packet and notes what is in it.
func (e *device) linkHeader(p *stack.PacketBuffer) bool {
	b, ok := p.LinkHeader().Consume(header.EthernetMinimumSize)
	if !ok {
		return false
	}
	eth := header.Ethernet(b)
	switch to := eth.DestinationAddress(); {
	case to == header.EthernetBroadcastAddress:
		p.PktType = tcpip.PacketBroadcast
	case header.IsMulticastEthernetAddress(to):
		p.PktType = tcpip.PacketMulticast
	case to == e.mac():
		p.PktType = tcpip.PacketHost
	default:
		p.PktType = tcpip.PacketOtherHost
	}
	p.NetworkProtocolNumber = eth.Type()
	return true
}

// LinkChanged implements nic.Handler.
func (e *device) LinkChanged() {
	if l := e.net.link(e.index); l != nil && l.up() {
		go e.net.tellLink(l, iffRunning|iffLowerUp)
	}
}
