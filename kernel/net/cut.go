package net

import (
	"encoding/binary"

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
}

// reset forgets what was made.
func (o *outgoing) reset() {
	clear(o.parts)
	o.frames, o.parts, o.headers = o.frames[:0], o.parts[:0], o.headers[:0]
}

// add adds a packet.
func (o *outgoing) add(p *stack.PacketBuffer) {
	first := len(o.parts)
	views, skip := p.AsViewList()
	for v := views.Front(); v != nil; v = v.Next() {
		b := v.AsSlice()
		k := min(skip, len(b))
		if skip -= k; k < len(b) {
			o.parts = append(o.parts, b[k:])
		}
	}
	f := nic.Frame{Parts: o.parts[first:len(o.parts):len(o.parts)]}
	gso := &p.GSOOptions
	if gso.Type == stack.GSONone || !gso.NeedsCsum {
		o.frames = append(o.frames, f)
		return
	}
	f.NeedsChecksum = true
	f.ChecksumStart, f.ChecksumOffset = header.EthernetMinimumSize+gso.L3HdrLen, gso.CsumOffset
	f.HeaderLen = uint16(p.HeaderSize())
	able := o.can.Checksum
	size := p.Data().Size()
	if size > int(gso.MSS) {
		size = int(gso.MSS)
		f.SegmentSize = gso.MSS
		if f.Segments = nic.TCP4; gso.Type == stack.GSOTCPv6 {
			f.Segments = nic.TCP6
		}
		able = able && (o.can.TCP4 && f.Segments == nic.TCP4 || o.can.TCP6 && f.Segments == nic.TCP6)
	}
	if able {
		o.frames = append(o.frames, f)
		return
	}
	o.cut(&f, size)
}

// cut adds segments, with size bytes of data each but for the last, that make up f. It is
// what a device does (virtio 1.2 section 5.1.6.2.1).
func (o *outgoing) cut(f *nic.Frame, size int) {
	rest := pieces(f.Parts)
	large := make([]byte, 0, 128)
	for _, p := range rest.take(nil, int(f.HeaderLen)) {
		large = append(large, p...)
	}
	for i := 0; ; i++ {
		first := len(o.parts)
		o.headers = append(o.headers, large...)
		h := o.headers[len(o.headers)-len(large) : len(o.headers) : len(o.headers)]
		o.parts = rest.take(append(o.parts, h), size)
		s := nic.Frame{Parts: o.parts[first:len(o.parts):len(o.parts)]}
		o.finish(&s, int(f.ChecksumStart), i, i*size, len(rest) == 0)
		o.frames = append(o.frames, s)
		if len(rest) == 0 {
			return
		}
	}
}

// finish makes the headers of a segment right: the i-th, whose data begin at an offset in
// the large one's.
func (o *outgoing) finish(f *nic.Frame, tcpStart, i, offset int, last bool) {
	const lengthAt, idAt, sumAt = 2, 4, 10 // in an IPv4 header
	h := f.Parts[0]
	ip, tcp := h[header.EthernetMinimumSize:tcpStart], h[tcpStart:]
	length := len(tcp)
	for _, p := range f.Parts[1:] {
		length += len(p)
	}
	if ip[0]>>4 == header.IPv4Version {
		binary.BigEndian.PutUint16(ip[lengthAt:], uint16(len(ip)+length))
		binary.BigEndian.PutUint16(ip[idAt:], binary.BigEndian.Uint16(ip[idAt:])+uint16(i))
		le.PutUint16(ip[sumAt:], 0)
		var c onesSum
		c.add(ip)
		le.PutUint16(ip[sumAt:], ^c.folded())
	} else {
		header.IPv6(ip).SetPayloadLength(uint16(length))
	}
	t := header.TCP(tcp)
	t.SetSequenceNumber(t.SequenceNumber() + uint32(offset))
	if !last {
		t.SetFlags(uint8(t.Flags() &^ (header.TCPFlagFin | header.TCPFlagPsh)))
	}
	var c onesSum
	c.addPseudo(ip, uint8(header.TCPProtocolNumber), length)
	sum := tcp[header.TCPChecksumOffset:]
	if o.can.Checksum {
		le.PutUint16(sum, c.folded())
		f.NeedsChecksum, f.ChecksumStart, f.ChecksumOffset = true, uint16(tcpStart), header.TCPChecksumOffset
		return
	}
	le.PutUint16(sum, 0)
	c.add(tcp)
	for _, p := range f.Parts[1:] {
		c.add(p)
	}
	le.PutUint16(sum, ^c.folded())
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
