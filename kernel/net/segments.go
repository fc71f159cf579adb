package net

import (
	"encoding/binary"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// segments is netstack's Segments: a short way for what nearly all packets are, whole TCP segments
// without options of IP's or extensions, from and to an address of the device's. Netstack's own IP
// looks at all that a packet could be besides, which costs more than its TCP. The module as it is has
// none: where nothing is put in its place, in tests on the host.
type segments interface {
	// Deliver takes a frame that is a whole segment, with headers of so many bytes. It returns
	// false if the frame has to go the long way.
	Deliver(frame *buffer.View, headers int) bool
}

// shorten finds the short way of segments, over IPv4 and IPv6.
func (e *device) shorten() {
	s, ok := any(e.net.stack).(interface {
		Segments(device tcpip.NICID, network tcpip.NetworkProtocolNumber, writer any) any
	})
	if ok {
		e.segments4, _ = s.Segments(e.index, header.IPv4ProtocolNumber, e).(segments)
		e.segments6, _ = s.Segments(e.index, header.IPv6ProtocolNumber, e).(segments)
	}
}

// segment takes a frame with a whole TCP segment the short way, if it is for this machine and
// nobody else looks at it.
func (e *device) segment(v *buffer.View, headers int) bool {
	b := v.AsSlice()
	s := e.segments4
	if b[header.EthernetMinimumSize]>>4 != header.IPv4Version {
		s = e.segments6
	}
	return s != nil && string(b[:header.EthernetAddressSize]) == string(e.mac()) && !e.net.watched.Load() && s.Deliver(v, headers)
}

// mostHeaders is how long the headers of a segment may be.
const mostHeaders = header.EthernetMinimumSize + header.IPv6MinimumSize + header.TCPHeaderMaximumSize

// WriteSegment implements netstack's SegmentWriter: it sends a segment from and to r's addresses, the
// latter by way of link. TCP's header is head's words, as many as it says itself, but for the checksum.
// The data are all of p, and a frame may have mss bytes of them. A ttl of 0 is the default.
func (e *device) WriteSegment(r *stack.Route, link tcpip.LinkAddress, ttl, tos uint8, head [15]uint32, p *stack.PacketBuffer, mss uint16) (tcpip.Error, bool) {
	if e.net.watched.Load() {
		return nil, false
	}
	if ttl == 0 {
		ttl = defaultTTL
	}
	const ip = header.EthernetMinimumSize
	from, to := r.LocalAddress(), r.RemoteAddress()
	words := int(head[header.TCPDataOffset/4] >> 28)
	length := 4*words + p.Size()
	e.sending.Lock()
	h := &e.out.head
	copy(h[:], link)
	copy(h[len(link):], e.mac())
	binary.BigEndian.PutUint16(h[ip-2:], uint16(r.NetProto()))
	tcp := ip + header.IPv4MinimumSize
	if from.Len() == header.IPv4AddressSize {
		putIPv4(h[ip:tcp], length, &from, &to, ttl, tos)
	} else {
		tcp = ip + header.IPv6MinimumSize
		putIPv6(h[ip:tcp], length, &from, &to, ttl, tos)
	}
	for i, w := range head[:words] {
		binary.BigEndian.PutUint32(h[tcp+4*i:], w)
	}
	var sum onesSum
	sum.addPseudo(h[ip:tcp], uint8(header.TCPProtocolNumber), length)
	le.PutUint16(h[tcp+header.TCPChecksumOffset:], sum.folded())
	e.out.addSegment(h[:tcp+4*words], tcp, p, int(mss))
	err := e.send()
	e.sending.Unlock()
	return err, true
}

// putIPv4 makes the header (RFC 791 section 3.1) of a TCP segment of so many bytes.
func putIPv4(b []byte, length int, from, to *tcpip.Address, ttl, tos uint8) {
	be := binary.BigEndian
	b = b[:header.IPv4MinimumSize]
	be.PutUint32(b, plainHeader<<24|uint32(tos)<<16|uint32(header.IPv4MinimumSize+length))
	be.PutUint32(b[idAt:], dontFragment) // and no identification: RFC 6864 section 4.1
	be.PutUint32(b[ttlAt:], uint32(ttl)<<24|uint32(header.TCPProtocolNumber)<<16)
	le.PutUint32(b[addressesAt:], le.Uint32(from.AsSlice()))
	le.PutUint32(b[addressesAt+4:], le.Uint32(to.AsSlice()))
	le.PutUint16(b[sumAt:], ^fold(sumOf(b)))
}

// putIPv6 makes the header (RFC 8200 section 3) of a TCP segment of so many bytes.
func putIPv6(b []byte, length int, from, to *tcpip.Address, hops, class uint8) {
	b = b[:header.IPv6MinimumSize]
	binary.BigEndian.PutUint32(b, header.IPv6Version<<28|uint32(class)<<20)
	binary.BigEndian.PutUint32(b[length6At:], uint32(length)<<16|uint32(header.TCPProtocolNumber)<<8|uint32(hops))
	copy(b[8:], from.AsSlice())
	copy(b[24:], to.AsSlice())
}
