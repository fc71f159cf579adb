package net

import (
	"bytes"
	"encoding/binary"
	"testing"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/header/parse"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"gosv/kernel/nic"
)

func headersOf(frame []byte) (h headers) {
	h.read(&nic.Frame{Parts: [][]byte{frame}})
	return h
}

// behind puts extension headers, the first of which is of kind first, between IPv6's header and
// what is in the frame.
func behind(frame []byte, first byte, extensions ...byte) []byte {
	const ip, payload = header.EthernetMinimumSize, header.EthernetMinimumSize + header.IPv6MinimumSize
	b := append(append(bytes.Clone(frame[:payload]), extensions...), frame[payload:]...)
	b[ip+next6At] = first
	binary.BigEndian.PutUint16(b[ip+length6At:], uint16(len(b)-payload))
	return b
}

// TestHeaders: what there is in frames, and what is nothing.
func TestHeaders(t *testing.T) {
	const tcp, udp, icmp = uint8(header.TCPProtocolNumber), uint8(header.UDPProtocolNumber), uint8(header.ICMPv4ProtocolNumber)
	const hopByHop, routing, fragmentHeader, options = 0, 43, 44, 60
	v4, _ := largeSegment(4, 12, []byte("data"), header.TCPFlagAck)
	v6, _ := largeSegment(6, 12, []byte("data"), header.TCPFlagAck)
	change := func(frame []byte, at int, v byte) []byte {
		b := bytes.Clone(frame)
		b[at] = v
		return b
	}
	optioned := append(append(bytes.Clone(v4[:34]), 1, 1, 1, 0), v4[34:]...)
	optioned[14], optioned[14+lengthAt+1] = 0x46, optioned[14+lengthAt+1]+4
	datagram := datagram(1, 2, []byte("data"))
	for name, c := range map[string]struct {
		frame []byte
		want  headers
	}{
		"IPv4":            {v4, headers{kind: whole, v4: true, bare: true, protocol: tcp, transport: 34, data: 66, end: 70}},
		"IPv4, padded":    {append(bytes.Clone(v4), make([]byte, 9)...), headers{kind: whole, v4: true, bare: true, protocol: tcp, transport: 34, data: 66, end: 70}},
		"IPv4, options":   {optioned, headers{kind: whole, v4: true, protocol: tcp, transport: 38, data: 70, end: 74}},
		"IPv6":            {v6, headers{kind: whole, bare: true, protocol: tcp, transport: 54, data: 86, end: 90}},
		"IPv6, extended":  {behind(v6, hopByHop, options, 0, 1, 4, 0, 0, 0, 0, routing, 0, 1, 4, 0, 0, 0, 0, tcp, 0, 0, 0, 0, 0, 0, 0), headers{kind: whole, protocol: tcp, transport: 78, data: 110, end: 114}},
		"UDP":             {datagram, headers{kind: whole, v4: true, bare: true, protocol: udp, transport: 34, data: 42, end: 46}},
		"a short UDP":     {change(datagram, 39, 11), headers{kind: whole, v4: true, bare: true, protocol: udp, transport: 34, data: 42, end: 45}},
		"ICMP":            {change(v4, 14+protocolAt, icmp), headers{kind: whole, v4: true, bare: true, protocol: icmp, transport: 34, end: 70}},
		"ARP":             {change(v4, 13, 6), headers{kind: other}},
		"a fragment":      {change(v4, 14+fragmentAt, 0x20), headers{kind: fragment, v4: true, bare: true, protocol: tcp, transport: 34, end: 70}},
		"the last one":    {change(v4, 14+fragmentAt+1, 1), headers{kind: fragment, v4: true, bare: true, protocol: tcp, transport: 34, end: 70}},
		"IPv6's fragment": {behind(v6, fragmentHeader, tcp, 0, 0, 1, 0, 0, 0, 7), headers{kind: fragment, bare: true, protocol: fragmentHeader, transport: 54, end: 98}},

		"nothing at all":                {nil, headers{}},
		"half an Ethernet header":       {v4[:13], headers{}},
		"half an IPv4 header":           {v4[:33], headers{}},
		"half an IPv6 header":           {v6[:53], headers{}},
		"half a TCP header":             {v4[:50], headers{}},
		"half a segment":                {v4[:69], headers{}},
		"half a segment over IPv6":      {v6[:89], headers{}},
		"half a UDP header":             {datagram[:41], headers{}},
		"IPv4 with another version":     {change(v4, 14, 0x65), headers{}},
		"IPv6 with another version":     {change(v6, 14, 0x40), headers{}},
		"too short an IPv4 header":      {change(v4, 14, 0x44), headers{}},
		"IPv4 shorter than its header":  {change(v4, 14+lengthAt+1, 19), headers{}},
		"IPv6 shorter than TCP":         {change(v6, 14+length6At+1, 31), headers{}},
		"too short a TCP header":        {change(v4, 34+header.TCPDataOffset, 0x40), headers{}},
		"too long a TCP header":         {change(v4, 34+header.TCPDataOffset, 0xa0), headers{}},
		"too short a UDP":               {change(datagram, 39, 7), headers{}},
		"too long a UDP":                {change(datagram, 39, 13), headers{}},
		"a late hop-by-hop header":      {behind(v6, options, hopByHop, 0, 1, 4, 0, 0, 0, 0, tcp, 0, 1, 4, 0, 0, 0, 0), headers{}},
		"a route that goes on":          {behind(v6, routing, tcp, 0, 0, 1, 0, 0, 0, 0), headers{}},
		"too long an extension":         {behind(v6, options, tcp, 9, 1, 4, 0, 0, 0, 0), headers{}},
		"a last extension that is none": {behind(v6[:54], options, options), headers{}},
	} {
		h := headersOf(c.frame)
		h.frame = nil
		if c.want.kind == malformed {
			h = headers{kind: h.kind}
		}
		if h.kind != c.want.kind || h.v4 != c.want.v4 || h.bare != c.want.bare || h.protocol != c.want.protocol ||
			h.transport != c.want.transport || h.data != c.want.data || h.end != c.want.end {
			t.Errorf("%s: %+v, want %+v", name, h, c.want)
		}
	}
}

// TestChecksummed: also what is behind extension headers, or in fragments, gets to the program only if
// its checksum is right; over IPv6 a datagram has one.
func TestChecksummed(t *testing.T) {
	const options = 60
	v6, _ := largeSegment(6, 0, []byte("data"), header.TCPFlagAck)
	v6 = behind(v6, options, uint8(header.TCPProtocolNumber), 0, 1, 4, 0, 0, 0, 0)
	const tcp = 62
	sum := v6[tcp:]
	binary.BigEndian.PutUint16(sum[header.TCPChecksumOffset:], ^checksum.Checksum(sum, 0))
	right := func(frame []byte) bool {
		f := nic.Frame{Parts: [][]byte{frame}}
		h := headersOf(frame)
		return h.checksumsRight(&f)
	}
	if !right(v6) {
		t.Error("a good segment is wrong")
	}
	v6[tcp+3] ^= 1
	if right(v6) {
		t.Error("a bad segment is right")
	}
	bare := datagram(1, 2, []byte("data"))
	clear(bare[40:42])
	if !right(bare) {
		t.Error("IPv4 may do without")
	}
	v6 = append(v6[:54:54], 0, 1, 0, 2, 0, 8, 0, 0)
	v6[14+next6At], v6[14+length6At+1] = uint8(header.UDPProtocolNumber), 8
	if right(v6) {
		t.Error("IPv6 may not do without")
	}
}

// FuzzHeaders: the offsets that are read of any frame, in parts that are cut anywhere, are in it, whoever
// relies on them does no harm, and netstack finds the same.
func FuzzHeaders(f *testing.F) {
	v6, _ := largeSegment(6, 12, []byte("data"), header.TCPFlagAck)
	v4, _ := largeSegment(4, 0, []byte("data"), header.TCPFlagSyn)
	for _, b := range append(rawFrames(), v4, v6, behind(v6, 60, 6, 0, 1, 4, 0, 0, 0, 0)) {
		f.Add(b, uint16(len(b)))
		f.Add(b, uint16(60))
	}
	f.Fuzz(func(t *testing.T, b []byte, cut uint16) {
		frame := nic.Frame{Parts: [][]byte{b}}
		if int(cut) < len(b) {
			frame.Parts = [][]byte{b[:cut:cut], b[cut:]}
		}
		var h headers
		h.read(&frame)
		if h.kind == whole || h.kind == fragment {
			if h.transport < header.EthernetMinimumSize+header.IPv4MinimumSize || h.transport > len(h.frame) || h.transport > h.end || h.end > len(b) {
				t.Fatalf("%+v of %d bytes", h, len(b))
			}
			h.addresses()
		}
		tcp, udp := h.is(header.TCPProtocolNumber), h.is(header.UDPProtocolNumber)
		checked := true
		if tcp || udp {
			if h.data < h.transport || h.data > len(h.frame) || h.data > h.end {
				t.Fatalf("%+v of %d bytes", h, len(b))
			}
			checked = h.checksumsRight(&frame)
			agree(t, &h, b)
		}
		h.isSYN()
		size := 0
		in := incoming{deliver: func(v *buffer.View, _ bool) { size += v.Size() }}
		in.add(&frame, &h, checked)
		in.add(&frame, &h, checked)
		if in.flush(); size > 2*len(b) {
			t.Errorf("%d bytes became %d", 2*len(b), size)
		}
	})
}

// agree says what netstack finds else in a packet of TCP's or UDP's.
func agree(t *testing.T, h *headers, b []byte) {
	p := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(b)})
	defer p.DecRef()
	p.LinkHeader().Consume(header.EthernetMinimumSize)
	var protocol tcpip.TransportProtocolNumber
	if h.v4 {
		if !parse.IPv4(p) {
			t.Fatalf("netstack has no IPv4 in %x", b)
		}
		ip := header.IPv4(p.NetworkHeader().Slice())
		if protocol = ip.TransportProtocol(); ip.More() || ip.FragmentOffset() != 0 {
			t.Errorf("netstack has a fragment in %x", b)
		}
	} else {
		var parts, ok bool
		var offset uint16
		protocol, _, offset, parts, ok = parse.IPv6(p)
		if !ok || parts || offset != 0 {
			t.Fatalf("netstack has no whole IPv6 packet in %x", b)
		}
	}
	at := header.EthernetMinimumSize + len(p.NetworkHeader().Slice())
	if uint8(protocol) != h.protocol || at != h.transport || at+p.Data().Size() < h.end {
		t.Errorf("%+v; netstack has protocol %d at %d, to %d, in %x", h, protocol, at, at+p.Data().Size(), b)
	}
}
