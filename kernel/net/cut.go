package net

import (
	"encoding/binary"
	"math/bits"

	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"gosv/kernel/nic"
)

// outgoing makes frames of packets. Netstack hands over TCP segments of up to 64 KiB and
// leaves the checksums to others, since a packet takes it many instructions, whatever its
// size. What the device does not do of that is done here, at the last moment.
type outgoing struct {
	can     nic.Offloads
	frames  []nic.Frame
	parts   [][]byte
	headers []byte // of segments
	head    [mostHeaders]byte
}

// reset forgets what was made.
func (o *outgoing) reset() {
	clear(o.parts)
	o.frames, o.parts, o.headers = o.frames[:0], o.parts[:0], o.headers[:0]
}

// add adds a packet.
func (o *outgoing) add(p *stack.PacketBuffer) {
	f := nic.Frame{Parts: o.partsOf(len(o.parts), p)}
	gso := &p.GSOOptions
	if gso.Type == stack.GSONone || !gso.NeedsCsum {
		o.frames = append(o.frames, f)
		return
	}
	f.ChecksumStart, f.ChecksumOffset = header.EthernetMinimumSize+gso.L3HdrLen, gso.CsumOffset
	f.HeaderLen = uint16(p.HeaderSize())
	if f.Segments = nic.TCP4; gso.Type == stack.GSOTCPv6 {
		f.Segments = nic.TCP6
	}
	o.segment(&f, p.Data().Size(), int(gso.MSS))
}

// addSegment adds a segment with these headers, in which TCP's begins at tcp, and the data
// that is all of p.
func (o *outgoing) addSegment(headers []byte, tcp int, p *stack.PacketBuffer, mss int) {
	first := len(o.parts)
	o.parts = append(o.parts, headers)
	f := nic.Frame{Parts: o.partsOf(first, p), ChecksumStart: uint16(tcp), ChecksumOffset: header.TCPChecksumOffset, HeaderLen: uint16(len(headers)), Segments: nic.TCP4}
	if headers[header.EthernetMinimumSize]>>4 != header.IPv4Version {
		f.Segments = nic.TCP6
	}
	o.segment(&f, p.Size(), mss)
}

// partsOf adds a packet's parts, and returns the parts from the first on.
func (o *outgoing) partsOf(first int, p *stack.PacketBuffer) [][]byte {
	views, skip := p.AsViewList()
	for v := views.Front(); v != nil; v = v.Next() {
		b := v.AsSlice()
		k := min(skip, len(b))
		if skip -= k; k < len(b) {
			o.parts = append(o.parts, b[k:])
		}
	}
	return o.parts[first:len(o.parts):len(o.parts)]
}

// segment adds a TCP segment with size bytes of data, of which frames may have mss. Its
// checksum is that of the pseudo header.
func (o *outgoing) segment(f *nic.Frame, size, mss int) {
	f.NeedsChecksum = true
	able := o.can.Checksum
	if size > mss {
		size = mss
		f.SegmentSize = uint16(mss)
		able = able && (o.can.TCP4 && f.Segments == nic.TCP4 || o.can.TCP6 && f.Segments == nic.TCP6)
	} else {
		f.Segments = nic.Whole
	}
	if able || f.Segments == nic.Whole && complete(f) {
		o.frames = append(o.frames, *f)
		return
	}
	o.cut(f, size)
}

// complete fills in the checksum of a frame as a device does. It says whether it could:
// whether it is in the first part, which the headers make up, and this packet's alone.
func complete(f *nic.Frame) bool {
	h, start, at := f.Parts[0], int(f.ChecksumStart), int(f.ChecksumStart+f.ChecksumOffset)
	if len(h) < at+2 {
		return false
	}
	var sum onesSum
	sum.add(h[start:])
	for _, p := range f.Parts[1:] {
		sum.add(p)
	}
	le.PutUint16(h[at:], ^sum.folded())
	*f = nic.Frame{Parts: f.Parts}
	return true
}

// cut adds segments, with size bytes of data each but for the last, that make up f. It is
// what a device does (virtio 1.2 section 5.1.6.2.1).
func (o *outgoing) cut(f *nic.Frame, size int) {
	rest := pieces(f.Parts)
	var c cutter
	for _, p := range rest.take(nil, int(f.HeaderLen)) {
		c.large = append(c.large, p...)
	}
	c.init(int(f.ChecksumStart))
	for offset := 0; ; offset += size {
		first := len(o.parts)
		o.headers = append(o.headers, c.large...)
		h := o.headers[len(o.headers)-len(c.large) : len(o.headers) : len(o.headers)]
		o.parts = rest.take(append(o.parts, h), size)
		s := nic.Frame{Parts: o.parts[first:len(o.parts):len(o.parts)]}
		if o.can.Checksum {
			s.NeedsChecksum, s.ChecksumStart, s.ChecksumOffset = true, f.ChecksumStart, f.ChecksumOffset
		}
		c.finish(&s, offset, len(rest) == 0)
		o.frames = append(o.frames, s)
		if len(rest) == 0 {
			return
		}
	}
}

// cutter makes the headers of a large segment's parts.
type cutter struct {
	large         []byte // the large one's, but for what is another in each
	tcp           int    // where TCP's begins
	v4            bool
	ipSum, tcpSum uint64 // of large, with the pseudo header
	id            uint16
	sequence      uint32
	flags         header.TCPFlags
}

func (c *cutter) init(tcp int) {
	c.tcp = tcp
	ip, t := c.large[header.EthernetMinimumSize:tcp], header.TCP(c.large[tcp:])
	c.sequence, c.flags = t.SequenceNumber(), t.Flags()
	t.SetSequenceNumber(0)
	t.SetFlags(0)
	t.SetChecksum(0)
	var sum onesSum
	sum.addPseudo(ip, uint8(header.TCPProtocolNumber), 0)
	sum.add(t)
	c.tcpSum = sum.sum
	if c.v4 = ip[0]>>4 == header.IPv4Version; c.v4 {
		c.id = binary.BigEndian.Uint16(ip[idAt:])
		le.PutUint16(ip[lengthAt:], 0)
		le.PutUint16(ip[idAt:], 0)
		le.PutUint16(ip[sumAt:], 0)
		c.ipSum = sumOf(ip)
	}
}

// finish makes the headers of a segment right whose data begin at an offset in the large
// one's.
func (c *cutter) finish(f *nic.Frame, offset int, last bool) {
	h := f.Parts[0]
	ip, t := h[header.EthernetMinimumSize:c.tcp], header.TCP(h[c.tcp:])
	length := len(t)
	for _, p := range f.Parts[1:] {
		length += len(p)
	}
	if c.v4 {
		binary.BigEndian.PutUint16(ip[lengthAt:], uint16(len(ip)+length))
		binary.BigEndian.PutUint16(ip[idAt:], c.id)
		le.PutUint16(ip[sumAt:], ^fold(c.ipSum+uint64(le.Uint16(ip[lengthAt:]))+uint64(le.Uint16(ip[idAt:]))))
		c.id++
	} else {
		binary.BigEndian.PutUint16(ip[length6At:], uint16(length))
	}
	t.SetSequenceNumber(c.sequence + uint32(offset))
	flags := c.flags
	if !last {
		flags &^= header.TCPFlagFin | header.TCPFlagPsh
	}
	t.SetFlags(uint8(flags))
	sum := onesSum{sum: uint64(bits.ReverseBytes16(uint16(length)))}
	if f.NeedsChecksum { // of the pseudo header only
		sum.addPseudo(ip, uint8(header.TCPProtocolNumber), 0)
		le.PutUint16(t[header.TCPChecksumOffset:], sum.folded())
		return
	}
	sum.sum += c.tcpSum + uint64(le.Uint32(t[header.TCPSeqNumOffset:])) + uint64(t[header.TCPFlagsOffset])<<8
	for _, p := range f.Parts[1:] {
		sum.add(p)
	}
	le.PutUint16(t[header.TCPChecksumOffset:], ^sum.folded())
}

// pieces are what is left of a frame.
type pieces [][]byte

// take appends the next n bytes, or what is left, to list.
func (p *pieces) take(list [][]byte, n int) [][]byte {
	for n > 0 && len(*p) > 0 {
		b := (*p)[0]
		if n < len(b) {
			(*p)[0] = b[n:]
			return append(list, b[:n:n])
		}
		list = append(list, b)
		n -= len(b)
		*p = (*p)[1:]
	}
	return list
}
