package net

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"gosv/kernel/nic"
)

// largeSegment is a frame with a TCP segment whose checksum is that of its pseudo header.
func largeSegment(version, options int, data []byte, flags header.TCPFlags) (frame []byte, f nic.Frame) {
	ipLen := header.IPv4MinimumSize
	if version == 6 {
		ipLen = header.IPv6MinimumSize
	}
	tcpAt := header.EthernetMinimumSize + ipLen
	tcpLen := header.TCPMinimumSize + options
	frame = make([]byte, tcpAt+tcpLen, tcpAt+tcpLen+len(data))
	frame = append(frame, data...)
	eth, ip, tcp := header.Ethernet(frame), frame[header.EthernetMinimumSize:], header.TCP(frame[tcpAt:])
	var from, to tcpip.Address
	if version == 4 {
		from, to = tcpip.AddrFrom4([4]byte{10, 0, 0, 1}), tcpip.AddrFrom4([4]byte{10, 0, 0, 2})
		eth.Encode(&header.EthernetFields{Type: header.IPv4ProtocolNumber})
		header.IPv4(ip).Encode(&header.IPv4Fields{TotalLength: uint16(len(ip)), ID: 0xffff, TTL: 64, Protocol: uint8(header.TCPProtocolNumber), SrcAddr: from, DstAddr: to})
		header.IPv4(ip).SetChecksum(^header.IPv4(ip).CalculateChecksum())
		f.Segments = nic.TCP4
	} else {
		from, to = tcpip.AddrFrom16([16]byte{0xfe, 0x80, 15: 1}), tcpip.AddrFrom16([16]byte{0xfe, 0x80, 15: 2})
		eth.Encode(&header.EthernetFields{Type: header.IPv6ProtocolNumber})
		header.IPv6(ip).Encode(&header.IPv6Fields{PayloadLength: uint16(len(ip) - ipLen), TransportProtocol: header.TCPProtocolNumber, HopLimit: 64, SrcAddr: from, DstAddr: to})
		f.Segments = nic.TCP6
	}
	tcp.Encode(&header.TCPFields{SrcPort: 80, DstPort: 1234, SeqNum: 0xffff_f000, AckNum: 7, DataOffset: uint8(tcpLen), Flags: flags, WindowSize: 500})
	for i := range options {
		tcp[header.TCPMinimumSize+i] = header.TCPOptionNOP
	}
	tcp.SetChecksum(header.PseudoHeaderChecksum(header.TCPProtocolNumber, from, to, uint16(len(tcp))))
	f.NeedsChecksum, f.ChecksumStart, f.ChecksumOffset = true, uint16(tcpAt), header.TCPChecksumOffset
	f.HeaderLen = uint16(tcpAt + tcpLen)
	return frame, f
}

// TestSegments: what is cut has right checksums and sizes, and becomes what it was
// when it is put together again.
func TestSegments(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		version, options := 4+2*r.IntN(2), 4*r.IntN(11)
		data := make([]byte, 1+r.IntN(60000))
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		mss := max(len(data)/40, 1+r.IntN(1448))
		frame, f := largeSegment(version, options, data, header.TCPFlagAck|header.TCPFlagPsh)
		for left := frame; len(left) > 0; { // in parts of any size, but for the headers
			n := min(len(left), int(f.HeaderLen)+r.IntN(20000))
			f.Parts = append(f.Parts, left[:n])
			left = left[n:]
		}
		o := outgoing{can: nic.Offloads{Checksum: r.IntN(2) == 0}}
		o.cut(&f, mss)
		if want := (len(data) + mss - 1) / mss; len(o.frames) != want {
			t.Fatalf("%d bytes by %d are %d segments, not %d", len(data), mss, len(o.frames), want)
		}
		var got []byte
		in := incoming{deliver: func(v *buffer.View, _ bool) {
			if got != nil {
				t.Error("it is delivered in parts")
			}
			got = v.ToSlice()
		}}
		for i := range o.frames {
			s := &o.frames[i]
			b := bytes.Join(s.Parts, nil)
			if s.NeedsChecksum { // as a device does it
				xsum := b[s.ChecksumStart:]
				binary.BigEndian.PutUint16(xsum[s.ChecksumOffset:], ^checksum.Checksum(xsum, 0))
			}
			tcp := header.TCP(b[f.ChecksumStart:])
			if last := i == len(o.frames)-1; last != (tcp.Flags()&header.TCPFlagPsh != 0) {
				t.Error("PSH is not that of the last one")
			}
			if header.Ethernet(b).Type() == header.IPv4ProtocolNumber && header.IPv4(b[header.EthernetMinimumSize:]).ID() != uint16(0xffff+i) {
				t.Error("the identification does not count")
			}
			half := len(b)
			if r.IntN(2) == 0 {
				half = int(f.HeaderLen) + r.IntN(len(b)-int(f.HeaderLen)+1)
			}
			s.Parts = [][]byte{b[:half], append(b[half:len(b):len(b)], make([]byte, r.IntN(2)*60)...)} // and padding
			if len(s.Parts[1]) == 0 {
				s.Parts = s.Parts[:1]
			}
			var h headers
			if h.read(s); !h.checksumsRight(s) {
				t.Fatal("a checksum is wrong")
			}
			in.add(s, &h, true)
		}
		in.flush()
		clear(got[int(f.ChecksumStart)+header.TCPChecksumOffset:][:2])
		clear(frame[int(f.ChecksumStart)+header.TCPChecksumOffset:][:2])
		if !bytes.Equal(got, frame) {
			t.Fatalf("%d bytes in segments of %d become other ones", len(frame), mss)
		}
	}
}

// addTo adds a frame that the device swears to be right.
func addTo(in *incoming, frame []byte) {
	f := nic.Frame{Parts: [][]byte{frame}}
	var h headers
	h.read(&f)
	in.add(&f, &h, true)
}

// TestMerge: what belongs to another flow, does not follow or says more stays by itself, in order.
func TestMerge(t *testing.T) {
	segment := func(change func(tcp header.TCP), data string, flags header.TCPFlags) []byte {
		frame, f := largeSegment(4, 12, []byte(data), flags)
		tcp := header.TCP(frame[f.ChecksumStart:])
		le.PutUint32(tcp[header.TCPMinimumSize:], 0x0a080101) // a timestamp
		change(tcp)
		return frame
	}
	at := func(seq, ack uint32) func(header.TCP) {
		return func(tcp header.TCP) { tcp.SetSequenceNumber(seq); tcp.SetAckNumber(ack) }
	}
	const ack = header.TCPFlagAck
	for name, c := range map[string]struct {
		frames [][]byte
		want   []string // data
	}{
		"in a row":            {[][]byte{segment(at(5, 1), "ab", ack), segment(at(7, 1), "c", ack), segment(at(8, 1), "d", ack)}, []string{"abcd"}},
		"a gap":               {[][]byte{segment(at(5, 1), "ab", ack), segment(at(8, 1), "c", ack)}, []string{"ab", "c"}},
		"again":               {[][]byte{segment(at(5, 1), "ab", ack), segment(at(5, 1), "ab", ack)}, []string{"ab", "ab"}},
		"another answer":      {[][]byte{segment(at(5, 1), "ab", ack), segment(at(7, 2), "c", ack)}, []string{"ab", "c"}},
		"another time":        {[][]byte{segment(at(5, 1), "ab", ack), segment(func(t header.TCP) { at(7, 1)(t); t[27]++ }, "c", ack)}, []string{"ab", "c"}},
		"an end":              {[][]byte{segment(at(5, 1), "ab", ack), segment(at(7, 1), "c", ack|header.TCPFlagFin)}, []string{"ab", "c"}},
		"an urgent one":       {[][]byte{segment(at(5, 1), "ab", ack), segment(at(7, 1), "c", ack|header.TCPFlagUrg)}, []string{"ab", "c"}},
		"by turns":            {[][]byte{segment(at(5, 1), "a", ack), segment(func(t header.TCP) { at(5, 1)(t); t[1]++ }, "x", ack), segment(at(6, 1), "b", ack), segment(func(t header.TCP) { at(6, 1)(t); t[1]++ }, "y", ack)}, []string{"ab", "xy"}},
		"acknowledgements":    {[][]byte{segment(at(5, 1), "", ack), segment(at(5, 3), "", ack), segment(at(5, 4), "", ack)}, []string{""}},
		"the same one, twice": {[][]byte{segment(at(5, 1), "", ack), segment(at(5, 1), "", ack)}, []string{"", ""}},
		"before data":         {[][]byte{segment(at(5, 1), "", ack), segment(at(5, 1), "a", ack), segment(at(6, 1), "b", ack)}, []string{"ab"}},
		"before more":         {[][]byte{segment(at(5, 1), "", ack), segment(at(5, 3), "a", ack)}, []string{"a"}},
		"before old data":     {[][]byte{segment(at(5, 3), "", ack), segment(at(5, 1), "a", ack)}, []string{"", "a"}},
		"before later data":   {[][]byte{segment(at(5, 1), "", ack), segment(at(6, 1), "b", ack)}, []string{"", "b"}},
		"after data":          {[][]byte{segment(at(5, 1), "a", ack), segment(at(6, 2), "", ack)}, []string{"a", ""}},
		"with an option":      {[][]byte{segment(at(5, 1), "", ack), segment(func(t header.TCP) { at(5, 3)(t); t[22] = 5 }, "", ack)}, []string{"", ""}},
	} {
		var got []string
		var acks []uint32
		in := incoming{deliver: func(v *buffer.View, _ bool) {
			tcp := header.TCP(v.ToSlice()[34:])
			got, acks = append(got, string(tcp.Payload())), append(acks, tcp.AckNumber())
		}}
		for _, b := range c.frames {
			addTo(&in, b)
		}
		in.flush()
		if len(got) != len(c.want) {
			t.Errorf("%s: %q", name, got)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%s: %q", name, got)
			}
		}
		if name == "acknowledgements" && acks[0] != 4 {
			t.Error("it is not the last one that stays")
		}
	}
}

// TestManyFlows: more flows than are kept at once lose nothing.
func TestManyFlows(t *testing.T) {
	got := map[uint16][]byte{}
	in := incoming{deliver: func(v *buffer.View, _ bool) {
		tcp := header.TCP(v.ToSlice()[34:])
		got[tcp.SourcePort()] = append(got[tcp.SourcePort()], tcp.Payload()...)
	}}
	r := rand.New(rand.NewPCG(3, 4))
	want := map[uint16][]byte{}
	for range 3000 {
		port, data := uint16(r.IntN(20)), []byte{byte(r.Uint32())}
		frame, _ := largeSegment(4, 0, data, header.TCPFlagAck)
		tcp := header.TCP(frame[34:])
		tcp.SetSourcePort(port)
		tcp.SetSequenceNumber(uint32(len(want[port])))
		want[port] = append(want[port], data...)
		addTo(&in, frame)
	}
	in.flush()
	for port := range want {
		if !bytes.Equal(got[port], want[port]) {
			t.Errorf("port %d gets %d bytes of %d, or others", port, len(got[port]), len(want[port]))
		}
	}
}

// TestMergeMalformed: headers that are cut off or lie about lengths do no harm.
func TestMergeMalformed(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, version := range []int{4, 6} {
		good, _ := largeSegment(version, 12, []byte("data"), header.TCPFlagAck)
		in := incoming{deliver: func(v *buffer.View, _ bool) {}}
		for i := range len(good) + 1 {
			addTo(&in, good[:i])
		}
		for range 20000 {
			bad := bytes.Clone(good)
			for range 1 + r.IntN(3) {
				bad[12+r.IntN(len(bad)-12)] = byte(r.Uint32())
			}
			addTo(&in, bad)
		}
		in.flush()
	}
}
