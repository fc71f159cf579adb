//go:build netstack

package stack

import (
	"encoding/binary"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// Segments is a device's short way for whole TCP segments over IPv4 that are for this
// machine, from the device to the endpoint of their connection. It is past six maps.
type Segments struct {
	nic       *nic
	endpoints *transportEndpoints
	tcp       segmentProtocol
}

// segmentProtocol is TCP, as such segments have it.
type segmentProtocol interface {
	// QueueSegment is QueuePacket for a packet that is the caller's alone, and becomes TCP's,
	// and whose checksum is right.
	QueueSegment(ep TransportEndpoint, id *TransportEndpointID, pkt *PacketBuffer, h header.TCP)
}

// Segments returns n's. What the program sends goes by way of w, a SegmentWriter.
func (n *nic) Segments(w any) any {
	d := n.stack.demux
	ids := protocolIDs{header.IPv4ProtocolNumber, header.TCPProtocolNumber}
	tcp, ok := d.queuedProtocols[ids].(segmentProtocol)
	if !ok || n.deliverLinkPackets {
		return nil
	}
	eps := d.protocol[ids]
	eps.mu.Lock()
	defer eps.mu.Unlock()
	if eps.known == nil {
		eps.known = new(known)
	}
	n.segmentWriter, _ = w.(SegmentWriter)
	return &Segments{n, eps, tcp}
}

// Deliver takes a frame that is a whole segment, with headers of so many bytes, and whose
// checksums are right. What has to go on the long way, from IPv4 up, it returns.
func (s *Segments) Deliver(frame *buffer.View, headers int) (rest *PacketBuffer) {
	const ip, tcp, addressesAt = header.EthernetMinimumSize, header.EthernetMinimumSize + header.IPv4MinimumSize, 12
	n := s.nic
	b := frame.AsSlice()
	stats := &n.stats.rx
	if !n.Enabled() {
		stats = &n.stats.disabledRx
	}
	stats.packets.Increment()
	stats.bytes.IncrementBy(uint64(len(b) - ip))
	if !n.Enabled() {
		frame.Release()
		return nil
	}
	pkt := pkPool.Get().(*PacketBuffer)
	pkt.reset()
	pkt.buf = buffer.MakeWithView(frame)
	pkt.consumed = headers
	pkt.headers[linkHeader].length = ip
	pkt.headers[networkHeader] = headerInfo{ip, header.IPv4MinimumSize}
	pkt.headers[transportHeader] = headerInfo{tcp, headers - tcp}
	pkt.NetworkProtocolNumber, pkt.TransportProtocolNumber = header.IPv4ProtocolNumber, header.TCPProtocolNumber
	pkt.NICID, pkt.InputNICID = n.id, n.id
	pkt.RXChecksumValidated = true // and PktType is that of a packet to this machine
	pkt.InitRefs()
	e := s.endpoints.lookUp(binary.BigEndian.Uint64(b[ip+addressesAt:]), binary.BigEndian.Uint32(b[tcp:]))
	if e == nil {
		return pkt
	}
	s.tcp.QueueSegment(e.endpoint, &e.id, pkt, header.TCP(b[tcp:headers]))
	return nil
}

// known are connections over IPv4, by their hash: some of those that transportEndpoints
// has. What is written is written under its lock.
type known [256]atomic.Pointer[knownEndpoint]

type knownEndpoint struct {
	addresses uint64 // the remote one's, and the local one's, as in a header that comes
	ports     uint32
	id        TransportEndpointID
	endpoint  TransportEndpoint
}

func (k *known) at(addresses uint64, ports uint32) *atomic.Pointer[knownEndpoint] {
	remote := ports>>16 ^ uint32(addresses>>32)
	return &k[(remote^remote>>8)%uint32(len(k))]
}

// lookUp returns the endpoint of a connection, or nil if there is none, or what is sent to it
// is for others, too.
func (eps *transportEndpoints) lookUp(addresses uint64, ports uint32) *knownEndpoint {
	at := eps.known.at(addresses, ports)
	if e := at.Load(); e != nil && e.addresses == addresses && e.ports == ports {
		return e
	}
	var local, remote [4]byte
	binary.BigEndian.PutUint32(local[:], uint32(addresses))
	binary.BigEndian.PutUint32(remote[:], uint32(addresses>>32))
	id := TransportEndpointID{
		LocalPort: uint16(ports), LocalAddress: tcpip.AddrFrom4(local),
		RemotePort: uint16(ports >> 16), RemoteAddress: tcpip.AddrFrom4(remote),
	}
	eps.mu.RLock()
	defer eps.mu.RUnlock()
	by := eps.endpoints[id]
	if by == nil || len(eps.rawEndpoints) > 0 {
		return nil
	}
	by.mu.RLock()
	defer by.mu.RUnlock()
	multi := by.at(0)
	if multi == nil || by.devices() > 1 {
		return nil
	}
	multi.mu.RLock()
	defer multi.mu.RUnlock()
	if len(multi.endpoints) != 1 {
		return nil
	}
	e := &knownEndpoint{addresses, ports, id, multi.endpoints[0]}
	at.Store(e)
	return e
}

// forget is called when the endpoints of id change; eps.mu is held.
func (eps *transportEndpoints) forget(id *TransportEndpointID) {
	if eps.known == nil || id.LocalAddress.Len() != header.IPv4AddressSize || id.RemoteAddress.Len() != header.IPv4AddressSize {
		return
	}
	remote, local := id.RemoteAddress.As4(), id.LocalAddress.As4()
	addresses := uint64(binary.BigEndian.Uint32(remote[:]))<<32 | uint64(binary.BigEndian.Uint32(local[:]))
	eps.known.at(addresses, uint32(id.RemotePort)<<16|uint32(id.LocalPort)).Store(nil)
}

// forgetAll is called when there is a raw socket; eps.mu is held.
func (eps *transportEndpoints) forgetAll() {
	if eps.known != nil {
		for i := range eps.known {
			eps.known[i].Store(nil)
		}
	}
}

// SegmentWriter is a device's IPv4, as segments have it that a program sends.
type SegmentWriter interface {
	// WriteSegment sends a segment from and to these addresses, the latter by way of link. TCP's
	// header is head's words, as many as it says itself; the checksum in it is that of the pseudo
	// header. The data are all of pkt, which is the caller's, and a frame may have mss bytes of
	// them. A ttl of 0 is the default. It returns false if the segment has to go the long way.
	WriteSegment(from, to uint32, ttl, tos uint8, link tcpip.LinkAddress, head [8]uint32, pkt *PacketBuffer, mss uint16) (tcpip.Error, bool)
}

// Sent counts a frame of so many bytes that has been sent or dropped.
func (s *Segments) Sent(bytes int, ok bool) {
	if !ok {
		s.nic.stats.txPacketsDroppedNoBufferSpace.Increment()
		return
	}
	s.nic.stats.tx.packets.Increment()
	s.nic.stats.tx.bytes.IncrementBy(uint64(bytes))
}

// SegmentWriter returns who sends segments on r over IPv4, and where they go next. It is nil
// if r is another route, or it has to be found out where they go.
func (r *Route) SegmentWriter() (SegmentWriter, tcpip.LinkAddress) {
	n := r.outgoingNIC
	if n.segmentWriter == nil || r.routeInfo.NetProto != header.IPv4ProtocolNumber || r.routeInfo.Loop != PacketOut ||
		n.experimentIPOptionEnabled || r.localAddressNIC != n {
		return nil, ""
	}
	r.mu.RLock()
	entry := r.neighborEntry
	r.mu.RUnlock()
	if entry == nil {
		return nil, ""
	}
	entry.mu.RLock()
	state, link := entry.mu.neigh.State, entry.mu.neigh.LinkAddr
	entry.mu.RUnlock()
	switch state {
	case Reachable, Static, Delay, Probe:
		return n.segmentWriter, link
	}
	return nil, ""
}

// Counters are Stats without their copy, of a kilobyte.
func (s *Stack) Counters() *tcpip.Stats { return &s.stats }
