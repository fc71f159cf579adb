//go:build netstack

package tcp

import (
	"encoding/binary"
	"io"
	"math"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// QueueSegment is QueuePacket for a segment whose checksum is right, with header h.
// It takes the packet, whose only reference is the caller's.
func (p *protocol) QueueSegment(to stack.TransportEndpoint, id *stack.TransportEndpointID, pkt *stack.PacketBuffer, h header.TCP) {
	s := newSegment()
	s.id = *id
	s.options = h[header.TCPMinimumSize:]
	s.parsedOptions = parseOptions(s.options)
	s.sequenceNumber = seqnum.Value(h.SequenceNumber())
	s.ackNumber = seqnum.Value(h.AckNumber())
	s.flags = h.Flags()
	s.window = seqnum.Size(h.WindowSize())
	s.rcvdTime = p.stack.Clock().NowMonotonic()
	s.dataMemSize = pkt.MemSize()
	s.pkt = pkt
	s.csumValid = true

	stats := &p.stack.Counters().TCP
	stats.ValidSegmentsReceived.Increment()
	if s.flags&header.TCPFlagRst != 0 {
		stats.ResetsReceived.Increment()
	}
	if e, ok := to.(*Endpoint); !ok {
		to.(*timeWait).receive(s)
	} else {
		e.stats.SegmentsReceived.Increment()
		if e.passes(pkt) && e.enqueueSegment(s) && !e.isOwnedByUser() {
			p.dispatcher.selectProcessor(*id).queueEndpoint(e)
		}
	}
	s.DecRef()
}

// A timestamp as an option, with what RFC 7323 appendix A puts before it.
const (
	stamp     = header.TCPOptionNOP<<24 | header.TCPOptionNOP<<16 | header.TCPOptionTS<<8 | header.TCPOptionTSLength
	stampSize = 12
)

// parseOptions is header.ParseTCPOptions, which takes 120 instructions
// for what most have: a timestamp.
func parseOptions(b []byte) header.TCPOptions {
	if len(b) == stampSize && binary.BigEndian.Uint32(b) == stamp {
		return header.TCPOptions{TS: true, TSVal: binary.BigEndian.Uint32(b[4:]), TSEcr: binary.BigEndian.Uint32(b[8:])}
	}
	return header.ParseTCPOptions(b)
}

// hash spreads connections over the processors. Netstack's own takes 200 instructions, and
// keeps peers from choosing a processor, of which there are no more than CPUs.
func (jenkinsHasher) hash(id stack.TransportEndpointID) uint32 {
	return (uint32(id.RemotePort)<<16 | uint32(id.LocalPort)) * 0x9e3779b1 >> 16
}

// sendSegmentFromPacketBuffer sends a segment with the data of pkt, which may have to be
// sent again. Netstack's own has to clone it, to put headers before the data.
//
// +checklocks:s.ep.mu
func (s *sender) sendSegmentFromPacketBuffer(pkt *stack.PacketBuffer, flags header.TCPFlags, seq seqnum.Value) tcpip.Error {
	s.LastSendTime = s.ep.stack.Clock().NowMonotonic()
	if seq == s.RTTMeasureSeqNum {
		s.RTTMeasureTime = s.LastSendTime
	}
	ack, window := s.ep.rcv.getSendParams()
	s.MaxSentAck = ack
	if err, ok := s.ep.sendQuick(pkt, flags, seq, ack, window); ok {
		return err
	}
	pkt = pkt.Clone()
	defer pkt.DecRef()
	return s.ep.sendAny(pkt, flags, seq, ack, window)
}

// sendRaw sends a segment whose packet is only for that.
//
// +checklocks:e.mu
func (e *Endpoint) sendRaw(pkt *stack.PacketBuffer, flags header.TCPFlags, seq, ack seqnum.Value, window seqnum.Size) tcpip.Error {
	if err, ok := e.sendQuick(pkt, flags, seq, ack, window); ok {
		return err
	}
	return e.sendAny(pkt, flags, seq, ack, window)
}

// sendQuick sends a segment with the data of pkt, or returns false if it has to go the long
// way, by sendAny. That asks for each what is the same for all of a connection, or nearly all.
//
// +checklocks:e.mu
func (e *Endpoint) sendQuick(pkt *stack.PacketBuffer, flags header.TCPFlags, seq, ack seqnum.Value, window seqnum.Size) (tcpip.Error, bool) {
	if !e.EndpointState().connected() || e.rcv.pendingRcvdSegments.Len() > 0 || e.pmtud == tcpip.PMTUDiscoveryDont || e.ipv6HopLimit == 0 {
		return nil, false
	}
	ttl := e.ipv4TTL
	if e.ipv6HopLimit > 0 && e.route.NetProto() == header.IPv6ProtocolNumber {
		ttl = uint8(e.ipv6HopLimit)
	}
	id := &e.TransportEndpointInfo.ID
	h := headerWords{uint32(id.LocalPort)<<16 | uint32(id.RemotePort), uint32(seq), uint32(ack)}
	size := header.TCPMinimumSize
	if e.SendTSOk {
		size += stampSize
		h[5], h[6], h[7] = stamp, e.tsValNow(), e.recentTimestamp()
	}
	h.finish(size, flags, window)
	err, ok := h.write(e.route, ttl, e.sendTOS, pkt, &e.gso)
	switch {
	case !ok:
	case err != nil:
		e.stats.SendErrors.SegmentSendToNetworkFailed.Increment()
	default:
		e.stats.SegmentsSent.Increment()
	}
	return err, ok
}

// sendTCP sends a segment: the short way if it may not become fragments, and else by sendLong.
func sendTCP(r *stack.Route, f tcpFields, pkt *stack.PacketBuffer, gso stack.GSO, owner tcpip.PacketOwner) tcpip.Error {
	if f.ttl != 0 && (f.df || r.NetProto() == header.IPv6ProtocolNumber) {
		h := headerWords{uint32(f.id.LocalPort)<<16 | uint32(f.id.RemotePort), uint32(f.seq), uint32(f.ack)}
		for i, o := 5, f.opts; len(o) >= 4; i, o = i+1, o[4:] {
			h[i] = binary.BigEndian.Uint32(o)
		}
		h.finish(header.TCPMinimumSize+len(f.opts), f.flags, f.rcvWnd)
		if err, ok := h.write(r, f.ttl, f.tos, pkt, &gso); ok {
			return err
		}
	}
	return sendLong(r, f, pkt, gso, owner)
}

// headerWords are a TCP header (RFC 9293 section 3.1).
type headerWords [header.TCPHeaderMaximumSize / 4]uint32

// finish puts in what there is besides ports, numbers and options, with which it has size bytes.
func (h *headerWords) finish(size int, flags header.TCPFlags, window seqnum.Size) {
	h[3] = uint32(size/4)<<28 | uint32(flags)<<16 | uint32(min(window, math.MaxUint16))
	h[4] = uint32(urgentPointer(flags))
}

// write sends a segment with this header and the data of pkt on r the short way. It returns
// false if the segment has to go the long way.
func (h *headerWords) write(r *stack.Route, ttl, tos uint8, pkt *stack.PacketBuffer, gso *stack.GSO) (tcpip.Error, bool) {
	const most = math.MaxUint16 - header.IPv6MinimumSize - header.TCPHeaderMaximumSize // bytes of data
	if pkt.HeaderSize() != 0 || pkt.Size() > most || pkt.Size() > 0 && !gso.NeedsCsum {
		return nil, false
	}
	err, ok := r.WriteSegment(ttl, tos, (*[len(h)]uint32)(h), pkt, gso.MSS)
	if !ok {
		return nil, false
	}
	stats := r.Stats()
	if err != nil {
		stats.TCP.SegmentSendErrors.Increment()
		return err, true
	}
	stats.TCP.SegmentsSent.Increment()
	if h[3]>>16&uint32(header.TCPFlagRst) != 0 {
		stats.TCP.ResetsSent.Increment()
	}
	return nil, true
}

// readFromPayloader copies what is to be sent. Netstack's own, readFromAny, does that by
// io.Copy and three readers.
//
// +checklocks:e.mu
// +checklocks:e.sndQueueInfo.sndQueueMu
func (e *Endpoint) readFromPayloader(p tcpip.Payloader, opts tcpip.WriteOptions, room int) (buffer.Buffer, tcpip.Error) {
	n := min(p.Len(), room)
	if n == 0 || n > buffer.MaxChunkSize || opts.Atomic {
		if e.limRdr == nil {
			e.limRdr = new(io.LimitedReader)
		}
		return e.readFromAny(p, opts, room)
	}
	e.sndQueueInfo.sndQueueMu.Unlock() // the copy may take a page fault
	e.UnlockUser()
	v := buffer.NewViewSize(n)
	var err error
	for b := v.AsSlice(); len(b) > 0 && err == nil; {
		var k int
		k, err = p.Read(b)
		b = b[k:]
	}
	e.LockUser()
	e.sndQueueInfo.sndQueueMu.Lock()
	if err != nil {
		v.Release()
		return buffer.Buffer{}, &tcpip.ErrBadBuffer{}
	}
	return buffer.MakeWithView(v), nil
}

// ReadStream is Read, whose result takes longer to copy than what was read. If moderate is set,
// what ModerateRecvBuf does is done, too.
func (e *Endpoint) ReadStream(dst io.Writer, peek, moderate bool) (int, tcpip.Error) {
	e.rcvQueueMu.Lock()
	nothing := e.RcvBufUsed == 0 && !e.RcvClosed && e.EndpointState() == StateEstablished
	e.rcvQueueMu.Unlock()
	if nothing {
		return 0, &tcpip.ErrWouldBlock{}
	}
	n, err := e.read(dst, tcpip.ReadOptions{Peek: peek})
	if err == nil && moderate {
		e.ModerateRecvBuf(n)
	}
	return n, err
}

func (e *Endpoint) read(dst io.Writer, opts tcpip.ReadOptions) (int, tcpip.Error) {
	e.LockUser()
	defer e.UnlockUser()
	if u := e.urgent.Load(); u != nil {
		return e.readUrgent(u, dst, opts)
	}
	return e.readLocked(dst, opts)
}

// Read implements tcpip.Endpoint.
func (e *Endpoint) Read(dst io.Writer, opts tcpip.ReadOptions) (tcpip.ReadResult, tcpip.Error) {
	n, err := e.read(dst, opts)
	return tcpip.ReadResult{Count: n, Total: n}, err
}
