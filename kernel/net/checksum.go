package net

import (
	"math/bits"
	"unsafe"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"gosv/kernel/nic"
)

// onesSum is an Internet checksum that is being added up (RFC 1071). Words are taken in
// the machine's byte order, which makes no difference but to the sum's own.
type onesSum struct {
	sum uint64
	odd bool // there were an odd number of bytes
}

func (c *onesSum) add(b []byte) {
	var s, carry uint64
	begin, at, n := unsafe.Pointer(unsafe.SliceData(b)), 0, len(b)
	for ; at+64 <= n; at += 64 { // what the compiler makes of slices is twice as long
		w := (*[8]uint64)(unsafe.Add(begin, at))
		s, carry = bits.Add64(s, w[0], 0)
		s, carry = bits.Add64(s, w[1], carry)
		s, carry = bits.Add64(s, w[2], carry)
		s, carry = bits.Add64(s, w[3], carry)
		s, carry = bits.Add64(s, w[4], carry)
		s, carry = bits.Add64(s, w[5], carry)
		s, carry = bits.Add64(s, w[6], carry)
		s, carry = bits.Add64(s, w[7], carry)
		s += carry // which cannot overflow again
	}
	s = s>>32 + s&0xffff_ffff
	for ; at+8 <= n; at += 8 {
		w := *(*uint64)(unsafe.Add(begin, at))
		s += w>>32 + w&0xffff_ffff
	}
	b = b[at:]
	if len(b) >= 4 {
		s += uint64(le.Uint32(b))
		b = b[4:]
	}
	if len(b) >= 2 {
		s += uint64(le.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		s += uint64(b[0])
	}
	f := fold(s)
	if c.odd {
		f = bits.ReverseBytes16(f)
	}
	c.sum += uint64(f)
	c.odd = c.odd != (len(b) == 1)
}

// sumOf is the sum of a header, whose length is a multiple of four: what add takes as long to
// begin with.
func sumOf(b []byte) (sum uint64) {
	i := 0
	for ; i+8 <= len(b); i += 8 {
		w := le.Uint64(b[i:])
		sum += w>>32 + w&0xffff_ffff
	}
	if i < len(b) {
		sum += uint64(le.Uint32(b[i:]))
	}
	return sum
}

// addPseudo adds the pseudo header of a segment with so many bytes in an IP packet.
func (c *onesSum) addPseudo(ip []byte, protocol uint8, length int) {
	addresses := ip[addressesAt:header.IPv4MinimumSize]
	if ip[0]>>4 != header.IPv4Version {
		addresses = ip[addresses6At:header.IPv6MinimumSize]
	}
	c.sum += sumOf(addresses)
	c.sum += uint64(bits.ReverseBytes16(uint16(protocol))) + uint64(bits.ReverseBytes16(uint16(length)))
}

// folded is the sum in 16 bits, to be stored in the machine's byte order, complemented.
func (c *onesSum) folded() uint16 { return fold(c.sum) }

func fold(s uint64) uint16 {
	s = s>>32 + s&0xffff_ffff
	s = s>>32 + s&0xffff_ffff
	s = s>>16 + s&0xffff
	return uint16(s>>16 + s)
}

// checksumsRight checks the checksums of a frame with a whole TCP segment or UDP datagram.
func (h *headers) checksumsRight(f *nic.Frame) bool {
	const right = 0xffff
	if h.v4 && fold(sumOf(h.ip())) != right {
		return false
	}
	if h.protocol == uint8(header.UDPProtocolNumber) && header.UDP(h.frame[h.transport:]).Checksum() == 0 {
		return h.v4 // where it has none then (RFC 8200 section 8.1)
	}
	var sum onesSum
	sum.addPseudo(h.ip(), h.protocol, h.end-h.transport)
	if h.end <= len(h.frame) { // nearly always
		sum.add(h.frame[h.transport:h.end])
		return sum.folded() == right
	}
	skip, left := h.transport, h.end-h.transport
	for _, p := range f.Parts {
		p = p[skip:min(len(p), skip+left)]
		skip, left = 0, left-len(p)
		sum.add(p)
	}
	return sum.folded() == right
}
