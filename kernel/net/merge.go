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
	head   []byte          // headers of the first with data, or of the last if none has any
	tcp    int             // where TCP's begins
	size   int             // of all data
	key    uint64          // of addresses and ports: that of others is nearly always another
	parts  [][]byte        // the data
	push   header.TCPFlags // PSH, if one has it
	joined bool            // there are several with data
}

const mostMerged = 65535 + header.EthernetMinimumSize // bytes of a frame

// add adds a frame with these headers; checked says whether its checksums are right. It may
// be kept until flush.
func (in *incoming) add(f *nic.Frame, h *headers, checked bool) {
	if !checked || !h.plainTCP() {
		in.flush() // which may have been sent before
		in.pass(f, h, checked)
		return
	}
	key, at := h.flowKey(), 0
	for at < in.n && !in.flows[at].same(h, key) {
		at++
	}
	fl := &in.flows[at%len(in.flows)]
	if h.tcp().Flags()&^header.TCPFlagPsh != header.TCPFlagAck { // it is no part of another
		if at < in.n { // which comes before it
			in.put(fl)
			in.n--
			in.flows[at], in.flows[in.n] = in.flows[in.n], in.flows[at]
		}
		in.pass(f, h, true)
		return
	}
	switch {
	case at < in.n && fl.follows(h):
		fl.join(h, key, f.Parts)
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
	fl.begin(h, key, f.Parts)
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
	in.passSegment(v, headers)
}

// pass delivers a frame by itself.
func (in *incoming) pass(f *nic.Frame, h *headers, checked bool) {
	size, segment := f.Size(), checked && h.plainTCP()
	if segment {
		size = h.end // without padding
	}
	v := buffer.NewView(size)
	for _, p := range f.Parts {
		p = p[:min(len(p), size)]
		v.Write(p)
		size -= len(p)
	}
	if segment {
		in.passSegment(v, h.data)
	} else {
		in.deliver(v, checked)
	}
}

// passSegment delivers a frame with a segment whose headers are so long.
func (in *incoming) passSegment(v *buffer.View, headers int) {
	if in.segment == nil || !in.segment(v, headers) {
		in.deliver(v, true)
	}
}

// plainTCP says whether a frame is a TCP segment whose IP header has neither options nor
// extensions.
func (h *headers) plainTCP() bool { return h.bare && h.is(header.TCPProtocolNumber) }

// flowKey is a segment's key.
func (h *headers) flowKey() uint64 {
	return le.Uint64(h.frame[h.transport-8:]) ^ uint64(le.Uint32(h.frame[h.transport:]))<<32
}

// same says whether a segment with that key is of the flow: its addresses and ports are.
func (fl *flow) same(h *headers, key uint64) bool {
	if fl.key != key || fl.tcp != h.transport {
		return false
	}
	from := fl.tcp - 2*header.IPv4AddressSize
	if !h.v4 {
		from = fl.tcp - 2*header.IPv6AddressSize
	}
	return bytes.Equal(fl.head[from:fl.tcp+4], h.frame[from:fl.tcp+4])
}

// follows says whether a segment can become a part of the flow's.
func (fl *flow) follows(h *headers) bool {
	a, b, size := header.TCP(fl.head[fl.tcp:]), h.tcp(), h.end-h.data
	if len(a) != len(b) {
		return false
	}
	if fl.size == 0 { // an acknowledgement: what comes next tells all of it, if it is one that acknowledges more, or data
		more := int32(b.AckNumber() - a.AckNumber())
		return plain(a) && a.SequenceNumber() == b.SequenceNumber() && (more > 0 && plain(b) || more >= 0 && size > 0)
	}
	return size > 0 && len(fl.head)+fl.size+size <= mostMerged &&
		b.SequenceNumber() == a.SequenceNumber()+uint32(fl.size) && a.AckNumber() == b.AckNumber() && a.WindowSize() == b.WindowSize() &&
		sameIP(fl.head[header.EthernetMinimumSize:], h.ip()) &&
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

// begin makes a segment, which is in these parts of a frame, the flow's first.
func (fl *flow) begin(h *headers, key uint64, parts [][]byte) {
	fl.head, fl.tcp, fl.size, fl.key = h.frame[:h.data:h.data], h.transport, h.end-h.data, key
	fl.data(h, parts)
}

// join adds a segment that follows.
func (fl *flow) join(h *headers, key uint64, parts [][]byte) {
	if fl.size == 0 {
		fl.begin(h, key, parts)
		return
	}
	fl.size += h.end - h.data
	fl.joined = true
	fl.data(h, parts)
}

func (fl *flow) data(h *headers, parts [][]byte) {
	fl.push |= h.tcp().Flags() & header.TCPFlagPsh
	skip, left := h.data, h.end-h.data
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
