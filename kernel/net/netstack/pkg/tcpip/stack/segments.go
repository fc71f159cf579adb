//go:build netstack

package stack

import (
	"encoding/binary"
	"sync/atomic"

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
	// QueueSegment is QueuePacket, but what is queued is pkt itself, and its checksum is
	// right.
	QueueSegment(ep TransportEndpoint, id *TransportEndpointID, pkt *PacketBuffer, h header.TCP)
}

// Segments returns n's.
func (n *nic) Segments() any {
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
	return &Segments{n, eps, tcp}
}

// Deliver takes a segment whose headers b are, from IPv4's on, and have been taken off its
// packet. It returns false if that has to go on the long way, from IPv4 up.
func (s *Segments) Deliver(pkt *PacketBuffer, b []byte) bool {
	const ip, addressesAt = header.IPv4MinimumSize, 12
	stats := &s.nic.stats.rx
	if !s.nic.Enabled() {
		stats = &s.nic.stats.disabledRx
	}
	stats.packets.Increment()
	stats.bytes.IncrementBy(uint64(len(b) + pkt.Data().Size()))
	if !s.nic.Enabled() {
		return true
	}
	e := s.endpoints.lookUp(binary.BigEndian.Uint64(b[addressesAt:]), binary.BigEndian.Uint32(b[ip:]))
	if e == nil {
		return false
	}
	s.tcp.QueueSegment(e.endpoint, &e.id, pkt, header.TCP(b[ip:]))
	return true
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
	var a [8]byte
	binary.BigEndian.PutUint64(a[:], addresses)
	id := TransportEndpointID{
		LocalPort: uint16(ports), LocalAddress: tcpip.AddrFrom4Slice(a[4:]),
		RemotePort: uint16(ports >> 16), RemoteAddress: tcpip.AddrFrom4Slice(a[:4]),
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
