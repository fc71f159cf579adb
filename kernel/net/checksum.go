package net

import (
	"encoding/binary"
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

// addPseudo adds the pseudo header of a segment with so many bytes in an IP packet.
func (c *onesSum) addPseudo(ip []byte, protocol uint8, length int) {
	if ip[0]>>4 == header.IPv4Version {
		c.add(ip[12:20])
	} else {
		c.add(ip[8:40])
	}
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

// checksumsRight checks a frame's TCP or UDP and IPv4 checksums. What is malformed, in
// fragments or has extension headers is for others to judge.
func checksumsRight(f *nic.Frame) bool {
	if right, ok := plainRight(f); ok {
		return right
	}
	frame, size := f.Parts[0], f.Size()
	const right = 0xffff
	at := header.EthernetMinimumSize
	if len(frame) < at {
		return true
	}
	b := frame[at:]
	var length int // of what the checksum is of
	var protocol uint8
	switch header.Ethernet(frame).Type() {
	case header.IPv4ProtocolNumber:
		ip := header.IPv4(b)
		if len(b) < header.IPv4MinimumSize || !ip.IsValid(size-at) || int(ip.HeaderLength()) > len(b) {
			return true
		}
		var c onesSum
		if c.add(b[:ip.HeaderLength()]); c.folded() != right {
			return false
		}
		if ip.More() || ip.FragmentOffset() != 0 {
			return true
		}
		at += int(ip.HeaderLength())
		protocol, length = ip.Protocol(), int(ip.PayloadLength())
	case header.IPv6ProtocolNumber:
		ip := header.IPv6(b)
		if len(b) < header.IPv6MinimumSize || !ip.IsValid(size-at) {
			return true
		}
		at += header.IPv6MinimumSize
		protocol, length = ip.NextHeader(), int(ip.PayloadLength())
	default:
		return true
	}
	switch protocol {
	case uint8(header.TCPProtocolNumber):
	case uint8(header.UDPProtocolNumber):
		if len(frame) >= at+header.UDPMinimumSize && header.UDP(frame[at:]).Checksum() == 0 {
			return true // it has none
		}
	default:
		return true
	}
	var c onesSum
	c.addPseudo(b, protocol, length)
	for _, p := range f.Parts {
		if skip := min(at, len(p)); skip > 0 {
			p, at = p[skip:], at-skip
		}
		p = p[:min(length, len(p))]
		c.add(p)
		length -= len(p)
	}
	return c.folded() == right
}

// plainRight is checksumsRight for a whole TCP segment over IPv4, without options, in one
// part: nearly all that comes. ok says whether f is one.
func plainRight(f *nic.Frame) (right, ok bool) {
	const ip, tcp = header.EthernetMinimumSize, header.EthernetMinimumSize + header.IPv4MinimumSize
	b := f.Parts[0]
	if len(b) < tcp+header.TCPMinimumSize || header.Ethernet(b).Type() != header.IPv4ProtocolNumber ||
		b[ip] != plainHeader || b[ip+9] != uint8(header.TCPProtocolNumber) || binary.BigEndian.Uint16(b[ip+6:])&fragmentMask != 0 {
		return false, false
	}
	end := ip + int(binary.BigEndian.Uint16(b[ip+2:]))
	if end < tcp+header.TCPMinimumSize || end > len(b) {
		return false, false
	}
	addresses := uint64(le.Uint32(b[ip+12:])) + uint64(le.Uint32(b[ip+16:]))
	head := addresses + uint64(le.Uint32(b[ip:])) + uint64(le.Uint32(b[ip+4:])) + uint64(le.Uint32(b[ip+8:]))
	sum := onesSum{sum: addresses + uint64(header.TCPProtocolNumber)<<8 + uint64(bits.ReverseBytes16(uint16(end-tcp)))}
	sum.add(b[tcp:end])
	return fold(head) == 0xffff && sum.folded() == 0xffff, true
}
