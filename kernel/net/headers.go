package net

import (
	"encoding/binary"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"gosv/kernel/nic"
)

// headers is what the headers of a received frame say, Ethernet's to TCP's or UDP's. Nothing in a frame
// can be trusted, so this is the only place where the kernel follows the lengths in it before netstack
// does. Offsets are in bytes from the frame's start, and none is beyond its end unless it is malformed.
type headers struct {
	frame     []byte // the frame's first part, which has all headers
	kind      kind
	v4        bool  // the packet is IPv4's, else IPv6's
	bare      bool  // the IP header has neither options nor extensions
	protocol  uint8 // what is in a whole packet,
	transport int   // where the header of that begins,
	data      int   // where what is behind that begins, of TCP and UDP,
	end       int   // and where all ends: a frame may be padded
}

// kind is what a frame is.
type kind uint8

const (
	malformed kind = iota // nothing, since lengths in it lie, or nothing that can be told here: netstack is to judge
	other                 // no IP packet
	fragment              // a part of a packet
	whole                 // a packet
)

// Where fields of IP's headers are (RFC 791 section 3.1, RFC 8200 section 3), and what is in them.
const (
	lengthAt, idAt, fragmentAt, ttlAt, protocolAt, sumAt, addressesAt = 2, 4, 6, 8, 9, 10, 12
	length6At, next6At, hops6At, addresses6At                         = 4, 6, 7, 8

	plainHeader  = header.IPv4Version<<4 | header.IPv4MinimumSize/4 // version and length, without options
	fragmentMask = 0x3fff                                           // an offset, or more to come
	dontFragment = 0x4000
)

// read reads a frame's headers.
func (h *headers) read(f *nic.Frame) {
	const ip = header.EthernetMinimumSize
	b := f.Parts[0]
	*h = headers{frame: b}
	if len(b) < ip {
		return
	}
	switch header.Ethernet(b).Type() {
	case header.IPv4ProtocolNumber:
		if len(b) < ip+header.IPv4MinimumSize || b[ip]>>4 != header.IPv4Version {
			return
		}
		size := int(b[ip]&0xf) * 4
		h.v4, h.bare, h.protocol = true, b[ip] == plainHeader, b[ip+protocolAt]
		h.transport, h.end = ip+size, ip+int(binary.BigEndian.Uint16(b[ip+lengthAt:]))
		if size < header.IPv4MinimumSize {
			return
		}
		h.kind = whole
		if binary.BigEndian.Uint16(b[ip+fragmentAt:])&fragmentMask != 0 {
			h.kind = fragment
		}
	case header.IPv6ProtocolNumber:
		if len(b) < ip+header.IPv6MinimumSize || b[ip]>>4 != header.IPv6Version {
			return
		}
		h.bare, h.protocol = true, b[ip+next6At]
		h.transport = ip + header.IPv6MinimumSize
		h.end = h.transport + int(binary.BigEndian.Uint16(b[ip+length6At:]))
		h.kind = whole
		if h.protocol != uint8(header.TCPProtocolNumber) {
			h.extensions()
		}
	default:
		h.kind = other
		return
	}
	most := min(h.end, len(b))
	switch {
	case h.transport > most || h.end > len(b) && h.end > f.Size():
		h.kind = malformed
	case h.kind != whole:
	case h.protocol == uint8(header.TCPProtocolNumber):
		if h.data = h.transport + header.TCPMinimumSize; h.data <= most {
			h.data = h.transport + int(header.TCP(b[h.transport:]).DataOffset())
		}
		if h.data < h.transport+header.TCPMinimumSize || h.data > most {
			h.kind = malformed
		}
	case h.protocol == uint8(header.UDPProtocolNumber):
		if h.data = h.transport + header.UDPMinimumSize; h.data > most {
			h.kind = malformed
			return
		}
		end := h.transport + int(header.UDP(b[h.transport:]).Length())
		if end < h.data || end > h.end {
			h.kind = malformed
			return
		}
		h.end = end
	}
}

// extensions goes past IPv6's extension headers (RFC 8200 section 4).
func (h *headers) extensions() {
	const hopByHop, routing, fragmented, options = header.IPv6HopByHopOptionsExtHdrIdentifier, header.IPv6RoutingExtHdrIdentifier,
		header.IPv6FragmentExtHdrIdentifier, header.IPv6DestinationOptionsExtHdrIdentifier
	for first := true; ; first = false {
		next := header.IPv6ExtensionHeaderIdentifier(h.protocol)
		switch {
		case next == fragmented:
			h.kind = fragment
			return
		case next == hopByHop && first, next == routing, next == options:
		case next == hopByHop:
			h.kind = malformed
			return
		default:
			return
		}
		const unit, segmentsLeft = 8, 3
		if h.transport+unit > min(h.end, len(h.frame)) {
			h.kind = malformed
			return
		}
		b := h.frame[h.transport:]
		if next == routing && b[segmentsLeft] != 0 { // it is for somebody else
			h.kind = malformed
			return
		}
		h.bare = false
		h.protocol = b[0]
		h.transport += (1 + int(b[1])) * unit
	}
}

// is says whether a frame is a whole packet of a protocol.
func (h *headers) is(protocol tcpip.TransportProtocolNumber) bool {
	return h.kind == whole && h.protocol == uint8(protocol)
}

// tcp is TCP's header, with its options.
func (h *headers) tcp() header.TCP { return header.TCP(h.frame[h.transport:h.data]) }

// ip is IPv4's header, with its options, or IPv6's with its extensions.
func (h *headers) ip() []byte { return h.frame[header.EthernetMinimumSize:h.transport] }

// addresses are the source's and the destination's.
func (h *headers) addresses() (from, to tcpip.Address) {
	ip := h.ip()
	if h.v4 {
		return tcpip.AddrFrom4Slice(ip[addressesAt:][:4]), tcpip.AddrFrom4Slice(ip[addressesAt+4:][:4])
	}
	return tcpip.AddrFrom16Slice(ip[addresses6At:][:16]), tcpip.AddrFrom16Slice(ip[addresses6At+16:][:16])
}
