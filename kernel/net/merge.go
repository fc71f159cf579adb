package net

import (
	"bytes"
	"encoding/binary"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"gosv/kernel/nic"
)

// incoming copies frames, which this is the only time for. TCP segments of a burst that
// follow each other become one, as by Linux's GRO: a packet takes netstack many
// instructions, whatever its size.
type incoming struct {
	deliver func(frame *buffer.View, checked bool)             // checked: its checksums are right
	segment func(frame *buffer.View, headers int) (taken bool) // takes segments, if not nil
	flows   [8]flow
	n       int // flows in use
	next    int // which has to make room for another
}

// flow is segments that follow each other.
type flow struct {
	segment                 // the first with data, with the size of all; or the last if none has any
	parts   [][]byte        // their data
	push    header.TCPFlags // PSH, if one has it
	joined  bool            // there are several with data
}

// segment is a TCP segment in a frame, whose IP header has neither options nor extensions.
type segment struct {
	head  []byte // headers
	tcp   int    // where TCP's begins
	size  int    // of the data
	key   uint64 // of addresses and ports: that of others is nearly always another
	alone bool   // no part of another: it has flags besides ACK and PSH
}

const mostMerged = 65535 + header.EthernetMinimumSize // bytes of a frame

// add adds a frame with these headers; checked says whether its checksums are right. It may
// be kept until flush.
func (in *incoming) add(f *nic.Frame, h *headers, checked bool) {
	var s segment
	if !checked || !s.of(h) {
		in.flush() // which may have been sent before
		in.deliver(copied(f), checked)
		return
	}
	at := 0
	for at < in.n && !in.flows[at].same(&s) {
		at++
	}
	fl := &in.flows[at%len(in.flows)]
	if s.alone {
		if at < in.n { // which comes before it
			in.put(fl)
			in.n--
			in.flows[at], in.flows[in.n] = in.flows[in.n], in.flows[at]
		}
		in.pass(copied(f), len(s.head))
		return
	}
	switch {
	case at < in.n && fl.follows(&s):
		fl.join(&s, f.Parts)
		return
	case at < in.n:
		in.put(fl)
	case at < len(in.flows):
		in.n++
	default:
		fl = &in.flows[in.next]
		in.next = (in.next + 1) % len(in.flows)
		in.put(fl)
	}
	fl.begin(&s, f.Parts)
}

// flush delivers what was kept.
func (in *incoming) flush() {
	for i := range in.n {
		in.put(&in.flows[i])
	}
	in.n = 0
}

// put delivers a flow's segments, and makes it empty.
func (in *incoming) put(fl *flow) {
	v := buffer.NewView(len(fl.head) + fl.size)
	v.Write(fl.head)
	for _, p := range fl.parts {
		v.Write(p)
	}
	if fl.joined {
		fl.finish(v.AsSlice())
	}
	headers := len(fl.head)
	clear(fl.parts)
	*fl = flow{parts: fl.parts[:0]}
	in.pass(v, headers)
}

// pass delivers a frame with a segment whose headers are so long.
func (in *incoming) pass(v *buffer.View, headers int) {
	if in.segment == nil || !in.segment(v, headers) {
		in.deliver(v, true)
	}
}

// copied copies a frame.
func copied(f *nic.Frame) *buffer.View {
	v := buffer.NewView(f.Size())
	for _, p := range f.Parts {
		v.Write(p)
	}
	return v
}

// of finds the segment in a frame; ok says whether there is one that may follow others.
func (s *segment) of(h *headers) (ok bool) {
	if !h.bare || !h.is(header.TCPProtocolNumber) {
		return false
	}
	s.head, s.tcp, s.size = h.frame[:h.data:h.data], h.transport, h.end-h.data
	t := s.head[s.tcp:]
	s.alone = header.TCP(t).Flags()&^header.TCPFlagPsh != header.TCPFlagAck
	s.key = le.Uint64(s.head[s.tcp-8:]) ^ uint64(le.Uint32(t))<<32
	return true
}

// same says whether a segment is of the flow: its addresses and ports are.
func (fl *flow) same(s *segment) bool {
	if fl.key != s.key || fl.tcp != s.tcp {
		return false
	}
	from := fl.tcp - 2*header.IPv4AddressSize
	if fl.tcp != header.EthernetMinimumSize+header.IPv4MinimumSize {
		from = fl.tcp - 2*header.IPv6AddressSize
	}
	return bytes.Equal(fl.head[from:fl.tcp+4], s.head[from:fl.tcp+4])
}

// follows says whether s can become a part of the flow's segments.
func (fl *flow) follows(s *segment) bool {
	a, b := header.TCP(fl.head[fl.tcp:]), header.TCP(s.head[s.tcp:])
	if len(a) != len(b) {
		return false
	}
	if fl.size == 0 { // an acknowledgement: what comes next tells all of it, if it is one that acknowledges more, or data
		more := int32(b.AckNumber() - a.AckNumber())
		return plain(a) && a.SequenceNumber() == b.SequenceNumber() && (more > 0 && plain(b) || more >= 0 && s.size > 0)
	}
	return s.size > 0 && len(fl.head)+fl.size+s.size <= mostMerged &&
		b.SequenceNumber() == a.SequenceNumber()+uint32(fl.size) && a.AckNumber() == b.AckNumber() && a.WindowSize() == b.WindowSize() &&
		sameIP(fl.head[header.EthernetMinimumSize:], s.head[header.EthernetMinimumSize:]) &&
		bytes.Equal(a[header.TCPMinimumSize:], b[header.TCPMinimumSize:])
}

// plain says whether a segment has no flag but ACK, and no options but a timestamp.
func plain(t header.TCP) bool {
	const stamp = header.TCPOptionNOP<<24 | header.TCPOptionNOP<<16 | header.TCPOptionTS<<8 | header.TCPOptionTSLength
	return t.Flags() == header.TCPFlagAck && (len(t) == header.TCPMinimumSize ||
		len(t) == header.TCPMinimumSize+12 && binary.BigEndian.Uint32(t[header.TCPMinimumSize:]) == stamp)
}

// sameIP says whether the service and the time to live are the same in two headers.
func sameIP(a, b []byte) bool {
	if a[0]>>4 == header.IPv4Version {
		return a[1] == b[1] && a[fragmentAt] == b[fragmentAt] && a[ttlAt] == b[ttlAt]
	}
	return le.Uint32(a) == le.Uint32(b) && a[hops6At] == b[hops6At]
}

// begin makes s, which is in these parts of a frame, the flow's first segment.
func (fl *flow) begin(s *segment, parts [][]byte) {
	fl.segment = *s
	fl.data(s, parts)
}

// join adds s, which follows.
func (fl *flow) join(s *segment, parts [][]byte) {
	if fl.size == 0 {
		fl.begin(s, parts)
		return
	}
	fl.size += s.size
	fl.joined = true
	fl.data(s, parts)
}

func (fl *flow) data(s *segment, parts [][]byte) {
	fl.push |= header.TCP(s.head[s.tcp:]).Flags() & header.TCPFlagPsh
	skip, left := len(s.head), s.size
	for _, p := range parts {
		p = p[skip:min(len(p), skip+left)]
		skip, left = 0, left-len(p)
		if len(p) > 0 {
			fl.parts = append(fl.parts, p)
		}
	}
}

// finish makes the headers of what was put together right.
func (fl *flow) finish(frame []byte) {
	ip, tcp := frame[header.EthernetMinimumSize:fl.tcp], frame[fl.tcp:]
	if ip[0]>>4 == header.IPv4Version {
		binary.BigEndian.PutUint16(ip[lengthAt:], uint16(len(ip)+len(tcp)))
		le.PutUint16(ip[sumAt:], 0)
		le.PutUint16(ip[sumAt:], ^fold(sumOf(ip)))
	} else {
		binary.BigEndian.PutUint16(ip[length6At:], uint16(len(tcp)))
	}
	t := header.TCP(tcp)
	t.SetFlags(uint8(t.Flags() | fl.push))
}
