package net

import (
	"encoding/binary"
	"slices"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// ipv4Protocol is netstack's IPv4 with a short way for what nearly all packets are: whole
// TCP segments, without options, from and to an address of the device's. Netstack's own looks at
// all that a packet could be besides, which costs more than its TCP.
type ipv4Protocol struct{ stack.NetworkProtocol }

// NewEndpoint implements stack.NetworkProtocol.
func (p ipv4Protocol) NewEndpoint(nic stack.NetworkInterface, d stack.TransportDispatcher) stack.NetworkEndpoint {
	inner := p.NetworkProtocol.NewEndpoint(nic, d)
	long, ok := inner.(longWay)
	if !ok || nic.IsLoopback() {
		return inner
	}
	e := &ipv4Endpoint{longWay: long, nic: nic, dispatcher: d}
	if s, ok := d.(interface{ Segments(writer any) any }); ok {
		e.segments, _ = s.Segments(e).(segments)
	}
	return e
}

// segments is netstack's Segments, which the module as it is has not: where nothing is put in
// its place, in tests on the host.
type segments interface {
	// Deliver takes a frame that is a whole segment, with headers of so many bytes, to its
	// endpoint. What that does not work for, it returns.
	Deliver(frame *buffer.View, headers int) (rest *stack.PacketBuffer)

	// Sent counts a frame of so many bytes that has been sent or dropped.
	Sent(bytes int, ok bool)
}

// longWay is all that netstack's IPv4 is asked for.
type longWay interface {
	stack.MulticastForwardingNetworkEndpoint
	stack.AddressableEndpoint
	stack.GroupAddressableEndpoint
	stack.LinkResolvableNetworkEndpoint
}

// ipv4Endpoint is IPv4 of one device.
type ipv4Endpoint struct {
	longWay
	nic        stack.NetworkInterface
	dispatcher stack.TransportDispatcher
	segments   segments
	device     atomic.Pointer[device]
	local      atomic.Pointer[[]subnet] // the device's addresses
}

// subnet is an address of the device's, and who else may be reached without a gateway.
type subnet struct{ addr, mask uint32 }

// broadcast is everybody's address, or s's own where there are no more than two (RFC 3021).
func (s subnet) broadcast() uint32 {
	if ^s.mask <= 1 {
		return s.addr
	}
	return s.addr | ^s.mask
}

// AddAndAcquirePermanentAddress implements stack.AddressableEndpoint.
func (e *ipv4Endpoint) AddAndAcquirePermanentAddress(a tcpip.AddressWithPrefix, p stack.AddressProperties) (stack.AddressEndpoint, tcpip.Error) {
	defer e.readdressed()
	return e.longWay.AddAndAcquirePermanentAddress(a, p)
}

// RemovePermanentAddress implements stack.AddressableEndpoint.
func (e *ipv4Endpoint) RemovePermanentAddress(a tcpip.Address) tcpip.Error {
	defer e.readdressed()
	return e.longWay.RemovePermanentAddress(a)
}

func (e *ipv4Endpoint) readdressed() {
	var list []subnet
	for _, a := range e.PermanentAddresses() {
		list = append(list, subnet{address4(a.Address), ^uint32(0) << (32 - a.PrefixLen)})
	}
	e.local.Store(&list)
}

// address4 is an IPv4 address as a number.
func address4(a tcpip.Address) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

// mine says whether a packet between these addresses is for this machine and may be.
func (e *ipv4Endpoint) mine(from, to uint32) bool {
	const loopback, multicast = 127, 224 // first bytes; and what is above is reserved
	if first := from >> 24; first == 0 || first == loopback || first >= multicast {
		return false
	}
	list := e.local.Load()
	if list == nil {
		return false
	}
	mine := false
	for _, s := range *list {
		switch {
		case from == s.addr, from == s.broadcast():
			return false
		case to == s.addr:
			mine = true
		case to == s.broadcast():
			return false
		}
	}
	return mine
}

// The IPv4 header (RFC 791 section 3.1), and the part of TCP's that matters here.
const (
	plainHeader  = 0x45 // version 4, five words
	fragmentMask = 0x3fff
	dontFragment = 0x4000

	tcpDataOffset = 12
)

// HandlePacket implements stack.NetworkEndpoint. The packet's checksums are right: see
// device.Receive.
func (e *ipv4Endpoint) HandlePacket(p *stack.PacketBuffer) {
	const ip, tcp = header.IPv4MinimumSize, header.TCPMinimumSize
	data := p.Data()
	b, ok := data.PullUp(ip + tcp)
	if !ok || b[0] != plainHeader || b[9] != uint8(header.TCPProtocolNumber) {
		e.longWay.HandlePacket(p)
		return
	}
	be := binary.BigEndian
	total, words := int(be.Uint16(b[2:])), int(b[ip+tcpDataOffset]>>4)*4
	if be.Uint16(b[6:])&fragmentMask != 0 || words < tcp || ip+words > total || total > data.Size() ||
		!e.mine(be.Uint32(b[12:]), be.Uint32(b[16:])) {
		e.longWay.HandlePacket(p)
		return
	}
	data.CapLength(total) // an Ethernet frame may be padded
	p.NetworkHeader().Consume(ip)
	p.TransportHeader().Consume(words)
	p.NetworkProtocolNumber, p.TransportProtocolNumber = header.IPv4ProtocolNumber, header.TCPProtocolNumber
	p.NICID = e.nic.ID()
	p.InputNICID = p.NICID
	e.deliver(p)
}

func (e *ipv4Endpoint) deliver(p *stack.PacketBuffer) {
	e.dispatcher.DeliverRawPacket(header.TCPProtocolNumber, p)
	e.dispatcher.DeliverTransportPacket(header.TCPProtocolNumber, p)
}

// take takes a frame that has a whole segment, all headers of which are of so many bytes, if
// it is for this machine.
func (e *ipv4Endpoint) take(frame *buffer.View, headers int) bool {
	const ip = header.EthernetMinimumSize
	b := frame.AsSlice()
	if !e.mine(binary.BigEndian.Uint32(b[ip+12:]), binary.BigEndian.Uint32(b[ip+16:])) {
		return false
	}
	if rest := e.segments.Deliver(frame, headers); rest != nil {
		e.deliver(rest)
		rest.DecRef()
	}
	return true
}

// WritePacket implements stack.NetworkEndpoint.
func (e *ipv4Endpoint) WritePacket(r *stack.Route, params stack.NetworkHeaderParams, p *stack.PacketBuffer) tcpip.Error {
	const ip = header.IPv4MinimumSize
	size := ip + p.Size()
	if params.Protocol != header.TCPProtocolNumber || !params.DF || params.ExperimentOptionValue != 0 || r.Loop() != stack.PacketOut ||
		size > int(e.nic.MTU()) && p.GSOOptions.Type != stack.GSOTCPv4 || size > 0xffff {
		return e.longWay.WritePacket(r, params, p)
	}
	putIPv4(p.NetworkHeader().Push(ip), size, address4(r.LocalAddress()), address4(r.RemoteAddress()), params.TTL, params.TOS)
	p.NetworkProtocolNumber = header.IPv4ProtocolNumber
	return e.nic.WritePacket(r, p)
}

// WriteSegment implements netstack's SegmentWriter.
func (e *ipv4Endpoint) WriteSegment(from, to uint32, ttl, tos uint8, link tcpip.LinkAddress, head [8]uint32, p *stack.PacketBuffer, mss uint16) (tcpip.Error, bool) {
	d := e.device.Load()
	if d == nil || d.net.watched.Load() || !e.has(from) {
		return nil, false
	}
	if ttl == 0 {
		ttl = e.DefaultTTL()
	}
	const ip, tcp = header.EthernetMinimumSize, header.EthernetMinimumSize + header.IPv4MinimumSize
	words := int(head[tcpDataOffset/4] >> 28)
	d.sending.Lock()
	h := d.out.head[:tcp+4*words]
	copy(h, link)
	copy(h[len(link):], d.mac())
	binary.BigEndian.PutUint16(h[ip-2:], uint16(header.IPv4ProtocolNumber))
	putIPv4(h[ip:tcp], len(h)-ip+p.Size(), from, to, ttl, tos)
	for i, w := range head[:words] {
		binary.BigEndian.PutUint32(h[tcp+4*i:], w)
	}
	d.out.addSegment(h, p, int(mss))
	err := d.send()
	d.sending.Unlock()
	e.segments.Sent(len(h)+p.Size(), err == nil)
	return err, true
}

// has says whether a is an address of the device's.
func (e *ipv4Endpoint) has(a uint32) bool {
	list := e.local.Load()
	return list != nil && slices.ContainsFunc(*list, func(s subnet) bool { return s.addr == a })
}

// putIPv4 makes the header of a segment, which has size bytes with it.
func putIPv4(b []byte, size int, from, to uint32, ttl, tos uint8) {
	h := [...]uint32{
		plainHeader<<24 | uint32(tos)<<16 | uint32(size),
		dontFragment, // and no identification: RFC 6864 section 4.1
		uint32(ttl)<<24 | uint32(header.TCPProtocolNumber)<<16,
		from,
		to,
	}
	sum := uint64(h[0]) + uint64(h[1]) + uint64(h[2]) + uint64(h[3]) + uint64(h[4])
	sum = sum>>32 + sum&0xffffffff
	sum = sum>>16 + sum&0xffff
	sum = sum>>16 + sum&0xffff
	sum = sum>>16 + sum&0xffff
	h[2] |= uint32(^uint16(sum))
	b = b[:4*len(h)]
	for i, v := range h {
		binary.BigEndian.PutUint32(b[4*i:], v)
	}
}
