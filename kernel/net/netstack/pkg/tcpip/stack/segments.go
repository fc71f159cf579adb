//go:build netstack

package stack

import (
	"encoding/binary"
	"sync/atomic"
	"unsafe"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// Segments is a device's short way for whole TCP segments over IPv4 or IPv6 that are for this
// machine, from the device to the endpoint of their connection and back. It is past six maps.
type Segments struct {
	nic       *nic
	network   tcpip.NetworkProtocolNumber
	sizes     ipSizes
	addresses AddressableEndpoint
	endpoints *transportEndpoints
	tcp       segmentProtocol
	writer    SegmentWriter
	last      atomic.Pointer[addressPair] // that a connection was looked up for, since others will be
}

// addressPair is addresses between which segments for this machine come.
type addressPair struct {
	addresses string // as in known
	local     *addressState
}

// ipSizes are how many bytes a header has, and an address in it.
type ipSizes struct{ header, address int }

// segmentProtocol is TCP, as such segments have it.
type segmentProtocol interface {
	// QueueSegment is QueuePacket for a packet that is the caller's alone, and becomes TCP's,
	// and whose checksum is right.
	QueueSegment(ep TransportEndpoint, id *TransportEndpointID, pkt *PacketBuffer, h header.TCP)
}

// SegmentWriter is a device, as segments have it that a program sends.
type SegmentWriter interface {
	// WriteSegment sends a segment from and to r's addresses, the latter by way of link. TCP's
	// header is head's words, as many as it says itself, but for the checksum. The data are all of
	// pkt, which is the caller's, and a frame may have mss bytes of them. It returns false if
	// the segment has to go the long way.
	WriteSegment(r *Route, link tcpip.LinkAddress, ttl, tos uint8, head [15]uint32, pkt *PacketBuffer, mss uint16) (tcpip.Error, bool)
}

// Segments makes the short way of a device for a network protocol, or returns nil. What the
// program sends goes by way of w, a SegmentWriter.
func (s *Stack) Segments(id tcpip.NICID, network tcpip.NetworkProtocolNumber, w any) any {
	ids := protocolIDs{network, header.TCPProtocolNumber}
	tcp, ok := s.demux.queuedProtocols[ids].(segmentProtocol)
	s.mu.RLock()
	n := s.nics[id]
	s.mu.RUnlock()
	if !ok || n == nil || n.deliverLinkPackets {
		return nil
	}
	addresses, ok := n.getNetworkEndpoint(network).(AddressableEndpoint)
	writer, can := w.(SegmentWriter)
	if !ok || !can {
		return nil
	}
	eps := s.demux.protocol[ids]
	eps.mu.Lock()
	if eps.known == nil {
		eps.known = new(known)
	}
	eps.mu.Unlock()
	sizes := ipSizes{header.IPv4MinimumSize, header.IPv4AddressSize}
	if network == header.IPv6ProtocolNumber {
		sizes = ipSizes{header.IPv6MinimumSize, header.IPv6AddressSize}
	}
	short := &Segments{nic: n, network: network, sizes: sizes, addresses: addresses, endpoints: eps, tcp: tcp, writer: writer}
	*n.segments(network) = short
	return short
}

// segments is where the device has its short way for IPv4 or IPv6.
func (n *nic) segments(network tcpip.NetworkProtocolNumber) **Segments {
	if network == header.IPv4ProtocolNumber {
		return &n.segments4
	}
	return &n.segments6
}

// Deliver takes a frame that is a whole segment, with headers of so many bytes, of which IP's
// has neither options nor extensions, and whose checksums are right. It returns false if the
// frame has to go the long way.
func (s *Segments) Deliver(frame *buffer.View, headers int) bool {
	const ip, ports = header.EthernetMinimumSize, 4
	n, tcp := s.nic, ip+s.sizes.header
	b := frame.AsSlice()
	e, ok := s.lookUp(b[tcp-2*s.sizes.address : tcp+ports])
	if !ok || !n.Enabled() {
		return false
	}
	n.stats.rx.packets.Increment()
	n.stats.rx.bytes.IncrementBy(uint64(len(b) - ip))
	pkt := pkPool.Get().(*PacketBuffer)
	pkt.reset()
	pkt.buf = buffer.MakeWithView(frame)
	pkt.consumed = headers
	pkt.headers[linkHeader].length = ip
	pkt.headers[networkHeader] = headerInfo{ip, s.sizes.header}
	pkt.headers[transportHeader] = headerInfo{tcp, headers - tcp}
	pkt.NetworkProtocolNumber, pkt.TransportProtocolNumber = s.network, header.TCPProtocolNumber
	pkt.NICID, pkt.InputNICID = n.id, n.id
	pkt.RXChecksumValidated = true // and PktType is that of a packet to this machine
	pkt.InitRefs()
	if e != nil {
		s.tcp.QueueSegment(e.endpoint, &e.id, pkt, header.TCP(b[tcp:headers]))
		return true
	}
	n.DeliverRawPacket(header.TCPProtocolNumber, pkt)
	n.DeliverTransportPacket(header.TCPProtocolNumber, pkt)
	pkt.DecRef()
	return true
}

// WriteSegment sends a TCP segment on r the short way, or returns false if that does not work: for
// what it is given see SegmentWriter.
func (r *Route) WriteSegment(ttl, tos uint8, head *[15]uint32, pkt *PacketBuffer, mss uint16) (tcpip.Error, bool) {
	n := r.outgoingNIC
	s := *n.segments(r.routeInfo.NetProto)
	if s == nil || r.routeInfo.Loop != PacketOut || n.experimentIPOptionEnabled || r.localAddressNIC != n {
		return nil, false
	}
	r.mu.RLock()
	entry := r.neighborEntry
	from, _ := r.localAddressEndpoint.(*addressState)
	r.mu.RUnlock()
	if entry == nil || from == nil || !from.assigned() || !n.Enabled() {
		return nil, false
	}
	entry.mu.RLock()
	state, link := entry.mu.neigh.State, entry.mu.neigh.LinkAddr
	entry.mu.RUnlock()
	switch state {
	case Reachable, Static, Delay, Probe:
	default:
		return nil, false
	}
	err, ok := s.writer.WriteSegment(r, link, ttl, tos, *head, pkt, mss)
	if !ok {
		return nil, false
	}
	switch err.(type) {
	case nil:
		n.stats.tx.packets.Increment()
		n.stats.tx.bytes.IncrementBy(uint64(header.EthernetMinimumSize + s.sizes.header + int(head[3]>>28)*4 + pkt.Size()))
	case *tcpip.ErrNoBufferSpace:
		n.stats.txPacketsDroppedNoBufferSpace.Increment()
	}
	return err, true
}

// known are connections, by their hash: some of those that transportEndpoints has. What is
// written is written under its lock.
type known [256]atomic.Pointer[knownEndpoint]

type knownEndpoint struct {
	flow     string        // the addresses, the remote one first, and the ports, as in a header that comes
	local    *addressState // the local address
	id       TransportEndpointID
	endpoint TransportEndpoint
}

// at is where a connection with a remote address that ends so and that port has its place.
func (k *known) at(address []byte, port uint16) *atomic.Pointer[knownEndpoint] {
	remote := binary.BigEndian.Uint32(address[len(address)-4:]) ^ uint32(port)
	return &k[(remote^remote>>8)%uint32(len(k))]
}

// lookUp returns the endpoint of a connection, or nil if there is none, or what is sent to it
// is for others, too. ok says whether what comes between these addresses is for this machine, for sure.
func (s *Segments) lookUp(flow []byte) (e *knownEndpoint, ok bool) {
	size := s.sizes.address
	at := s.endpoints.known.at(flow[:size], binary.BigEndian.Uint16(flow[2*size:]))
	if e := at.Load(); e != nil && e.flow == string(flow) && e.local.assigned() {
		return e, true
	}
	return s.find(flow, at)
}

// find is lookUp for a connection that is not known yet; it will have its place at.
func (s *Segments) find(flow []byte, at *atomic.Pointer[knownEndpoint]) (e *knownEndpoint, ok bool) {
	eps, size := s.endpoints, s.sizes.address
	ports := binary.BigEndian.Uint32(flow[2*size:])
	id := TransportEndpointID{
		LocalPort: uint16(ports), LocalAddress: tcpip.AddrFromSlice(flow[size : 2*size]),
		RemotePort: uint16(ports >> 16), RemoteAddress: tcpip.AddrFromSlice(flow[:size]),
	}
	pair := s.last.Load()
	if pair == nil || pair.addresses != string(flow[:2*size]) || !pair.local.assigned() {
		local := s.own(id.LocalAddress)
		if local == nil || local.addr.Address != id.LocalAddress || !unicast(&id.RemoteAddress) || s.own(id.RemoteAddress) != nil {
			return nil, false
		}
		pair = &addressPair{string(flow[:2*size]), local}
		s.last.Store(pair)
	}
	eps.mu.RLock()
	defer eps.mu.RUnlock()
	by := eps.endpoints[id]
	if by == nil || len(eps.rawEndpoints) > 0 {
		return nil, true
	}
	by.mu.RLock()
	defer by.mu.RUnlock()
	multi := by.at(0)
	if multi == nil || by.devices() > 1 {
		return nil, true
	}
	multi.mu.RLock()
	defer multi.mu.RUnlock()
	if len(multi.endpoints) != 1 {
		return nil, true
	}
	e = &knownEndpoint{string(flow), pair.local, id, multi.endpoints[0]}
	at.Store(e)
	return e, true
}

// own returns the device's address that a is, or is everybody's in the subnet of, or nil.
func (s *Segments) own(a tcpip.Address) *addressState {
	own, _ := s.addresses.AcquireAssignedAddress(a, false, NeverPrimaryEndpoint, true).(*addressState)
	return own
}

// assigned is IsAssigned(false) without the lock: what kind an address is of is a word.
func (a *addressState) assigned() bool {
	kind := AddressKind(atomic.LoadInt64((*int64)(unsafe.Pointer(&a.kind))))
	return kind == Permanent || kind == Temporary
}

// unicast says whether a is one machine's address, elsewhere. Of IPv6's, those that begin with a
// zero byte have special meanings.
func unicast(a *tcpip.Address) bool {
	const loopback, multicast4, multicast6 = 127, 224, 255 // first bytes; and what is above is reserved
	first := a.AsSlice()[0]
	if a.Len() == header.IPv4AddressSize {
		return first != 0 && first != loopback && first < multicast4
	}
	return first != 0 && first != multicast6
}

// forget is called when the endpoints of id change; eps.mu is held.
func (eps *transportEndpoints) forget(id *TransportEndpointID) {
	if eps.known != nil && id.RemoteAddress.Len() != 0 {
		eps.known.at(id.RemoteAddress.AsSlice(), id.RemotePort).Store(nil)
	}
}

// forgetAll is called when there is a raw socket; eps.mu is held.
func (eps *transportEndpoints) forgetAll() {
	if eps.known != nil {
		for i := range eps.known {
			eps.known[i].Store(nil)
		}
	}
}

// Counters are Stats without their copy, of a kilobyte.
func (s *Stack) Counters() *tcpip.Stats { return &s.stats }
