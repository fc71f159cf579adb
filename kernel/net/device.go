package net

import (
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/stack/gro"

	"gosv/kernel/nic"
)

// device is a network device as netstack has it: a stack.LinkEndpoint, and the
// nic.Handler of what comes.
type device struct {
	net *Network
	dev nic.Device
	mac tcpip.LinkAddress
	mtu atomic.Uint32

	link  *link
	lease tcpip.AddressWithPrefix // from a DHCP server; its client's business

	begun      chan struct{} // closed when there is somebody for what is received
	dispatcher atomic.Pointer[stack.NetworkDispatcher]
	dhcp       atomic.Pointer[dhcpClient] // gets its packets past netstack, which has no address yet

	receiving sync.Mutex // guards
	gro       gro.GRO    // what puts a burst's TCP segments together

	mu     sync.Mutex // guards what follows, which WritePackets fills
	frames []nic.Frame
	parts  [][]byte
}

func newDevice(n *Network, d nic.Device) *device {
	mac := d.MAC()
	e := &device{net: n, dev: d, mac: tcpip.LinkAddress(mac[:]), begun: make(chan struct{})}
	e.mtu.Store(uint32(d.MTU()))
	e.gro.Init(true)
	return e
}

// What netstack asks (stack.LinkEndpoint).
func (e *device) MTU() uint32                             { return e.mtu.Load() }
func (e *device) SetMTU(mtu uint32)                       { e.mtu.Store(min(mtu, uint32(e.dev.MTU()))) }
func (e *device) MaxHeaderLength() uint16                 { return header.EthernetMinimumSize }
func (e *device) LinkAddress() tcpip.LinkAddress          { return e.mac }
func (e *device) SetLinkAddress(tcpip.LinkAddress)        {}
func (e *device) IsAttached() bool                        { return e.dispatcher.Load() != nil }
func (e *device) Wait()                                   {}
func (e *device) Close()                                  {}
func (e *device) SetOnCloseAction(func())                 {}
func (e *device) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareEther }

// Capabilities implements stack.LinkEndpoint. Netstack either checks the checksums of all
// packets or of none: Receive does it, since the device may have said something, and
// since those of packets that were put together are not right any more.
func (e *device) Capabilities() stack.LinkEndpointCapabilities {
	return stack.CapabilityResolutionRequired | stack.CapabilityRXChecksumOffload
}

// GSOMaxSize and SupportedGSO implement stack.GSOEndpoint.
func (e *device) GSOMaxSize() uint32 {
	const most = 65535 - header.EthernetMinimumSize // an IP packet has no more
	return most
}

func (e *device) SupportedGSO() stack.SupportedGSO {
	if o := e.dev.Offloads(); o.Checksum && o.TCP4 && o.TCP6 {
		return stack.HostGSOSupported
	}
	return stack.GVisorGSOSupported
}

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
		SrcAddr: e.mac,
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
	e.mu.Lock()
	defer e.mu.Unlock()
	e.frames, e.parts = e.frames[:0], e.parts[:0]
	e.add(p)
	return e.send()
}

// WritePackets implements stack.LinkEndpoint.
func (e *device) WritePackets(list stack.PacketBufferList) (int, tcpip.Error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.frames, e.parts = e.frames[:0], e.parts[:0]
	for _, p := range list.AsSlice() {
		e.add(p)
	}
	if err := e.send(); err != nil {
		return 0, err
	}
	return list.Len(), nil
}

// add makes a frame of a packet; e.mu is held.
func (e *device) add(p *stack.PacketBuffer) {
	if e.net.watched.Load() {
		if d := e.dispatcher.Load(); d != nil {
			(*d).DeliverLinkPacket(p.NetworkProtocolNumber, p)
		}
	}
	first := len(e.parts)
	list, skip := p.AsViewList() // AsSlices would count references to each
	for v := list.Front(); v != nil; v = v.Next() {
		b := v.AsSlice()
		n := min(skip, len(b))
		if b, skip = b[n:], skip-n; len(b) > 0 {
			e.parts = append(e.parts, b)
		}
	}
	f := nic.Frame{Parts: e.parts[first:len(e.parts):len(e.parts)]}
	if o := &p.GSOOptions; o.Type == stack.GSOTCPv4 || o.Type == stack.GSOTCPv6 {
		f.HeaderLen = uint16(p.HeaderSize())
		if o.NeedsCsum {
			f.NeedsChecksum = true
			f.ChecksumStart, f.ChecksumOffset = header.EthernetMinimumSize+o.L3HdrLen, o.CsumOffset
		}
		if p.Data().Size() > int(o.MSS) {
			f.SegmentSize = o.MSS
			if f.Segments = nic.TCP4; o.Type == stack.GSOTCPv6 {
				f.Segments = nic.TCP6
			}
		}
	}
	e.frames = append(e.frames, f)
}

// send sends the frames; e.mu is held.
func (e *device) send() tcpip.Error {
	n := e.dev.Send(e.frames)
	clear(e.parts)
	if n == 0 && len(e.frames) > 0 {
		return &tcpip.ErrNoBufferSpace{}
	}
	return nil
}

// announce tells everybody on the network whose address a is (RFC 5227 section 2.3): who asked
// before the device was up, as QEMU's user network does for a client of the host's, need not
// ask again, which it would after seconds.
func (e *device) announce(a tcpip.Address) {
	b := make([]byte, header.EthernetMinimumSize+header.ARPSize)
	header.Ethernet(b).Encode(&header.EthernetFields{SrcAddr: e.mac, DstAddr: header.EthernetBroadcastAddress, Type: header.ARPProtocolNumber})
	h := header.ARP(b[header.EthernetMinimumSize:])
	h.SetIPv4OverEthernet()
	h.SetOp(header.ARPRequest)
	copy(h.HardwareAddressSender(), e.mac)
	copy(h.ProtocolAddressSender(), a.AsSlice())
	copy(h.ProtocolAddressTarget(), a.AsSlice())
	e.dev.Send([]nic.Frame{{Parts: [][]byte{b}}})
}

// Receive implements nic.Handler. What comes while the device is being set up is kept: a
// client of the host's may be there already, and who asked for an address asks again
// only after seconds.
func (e *device) Receive(frames []nic.Frame) {
	<-e.begun
	d := e.dispatcher.Load()
	if d == nil {
		return
	}
	e.receiving.Lock()
	defer e.receiving.Unlock()
	e.gro.Dispatcher = e
	for i := range frames {
		f := &frames[i]
		size := 0
		for _, part := range f.Parts {
			size += len(part)
		}
		if size < header.EthernetMinimumSize {
			continue
		}
		v := buffer.NewView(size)
		for _, part := range f.Parts {
			v.Write(part)
		}
		if c := e.dhcp.Load(); c != nil && c.take(v.AsSlice()) {
			v.Release()
			continue
		}
		if !f.ChecksumValid && !f.NeedsChecksum && !checksumsRight(v.AsSlice()) {
			v.Release()
			continue
		}
		p := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithView(v)})
		if e.linkHeader(p) {
			if len(frames) > 1 {
				e.gro.Enqueue(p)
			} else {
				e.DeliverNetworkPacket(p.NetworkProtocolNumber, p)
			}
		}
		p.DecRef()
	}
	if len(frames) > 1 {
		const bucket = 8 // packets; a flush takes one out of each of the buckets
		for range bucket {
			e.gro.Flush()
		}
	}
}

// DeliverNetworkPacket implements stack.NetworkDispatcher, for gro.
func (e *device) DeliverNetworkPacket(protocol tcpip.NetworkProtocolNumber, p *stack.PacketBuffer) {
	d := *e.dispatcher.Load()
	if e.net.watched.Load() {
		d.DeliverLinkPacket(protocol, p)
	}
	d.DeliverNetworkPacket(protocol, p)
}

// DeliverLinkPacket implements stack.NetworkDispatcher, for gro, which does not call it.
func (e *device) DeliverLinkPacket(tcpip.NetworkProtocolNumber, *stack.PacketBuffer) {}

// checksumsRight checks a frame's TCP or UDP and IPv4 checksums. What is malformed, in
// fragments or has extension headers is for others to judge.
func checksumsRight(frame []byte) bool {
	b := frame[header.EthernetMinimumSize:]
	var from, to tcpip.Address
	var protocol tcpip.TransportProtocolNumber
	var data []byte
	switch header.Ethernet(frame).Type() {
	case header.IPv4ProtocolNumber:
		ip := header.IPv4(b)
		if !ip.IsValid(len(b)) {
			return true
		}
		if !ip.IsChecksumValid() {
			return false
		}
		if ip.More() || ip.FragmentOffset() != 0 {
			return true
		}
		from, to, protocol, data = ip.SourceAddress(), ip.DestinationAddress(), ip.TransportProtocol(), ip.Payload()
	case header.IPv6ProtocolNumber:
		ip := header.IPv6(b)
		if !ip.IsValid(len(b)) {
			return true
		}
		from, to, protocol, data = ip.SourceAddress(), ip.DestinationAddress(), ip.TransportProtocol(), ip.Payload()
	default:
		return true
	}
	switch protocol {
	case header.TCPProtocolNumber:
	case header.UDPProtocolNumber:
		if len(data) >= header.UDPMinimumSize && header.UDP(data).Checksum() == 0 {
			return true // it has none
		}
	default:
		return true
	}
	const right = 0xffff
	return checksum.Checksum(data, header.PseudoHeaderChecksum(protocol, from, to, uint16(len(data)))) == right
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
	case to == e.mac:
		p.PktType = tcpip.PacketHost
	default:
		p.PktType = tcpip.PacketOtherHost
	}
	p.NetworkProtocolNumber = eth.Type()
	p.RXChecksumValidated = true
	return true
}

// LinkChanged implements nic.Handler.
func (e *device) LinkChanged() {}
