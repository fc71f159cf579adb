//go:build netstack

package tcp

import (
	"encoding/binary"

	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// QueueSegment is QueuePacket for a segment over IPv4 whose checksum is right, with header h.
// What is queued is pkt itself, of which the caller uses nothing any more.
func (p *protocol) QueueSegment(to stack.TransportEndpoint, id *stack.TransportEndpointID, pkt *stack.PacketBuffer, h header.TCP) {
	e := to.(*Endpoint)
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
	s.pkt = pkt.IncRef()
	s.csumValid = true

	p.stack.Stats().TCP.ValidSegmentsReceived.Increment()
	e.stats.SegmentsReceived.Increment()
	if s.flags&header.TCPFlagRst != 0 {
		p.stack.Stats().TCP.ResetsReceived.Increment()
	}
	if e.enqueueSegment(s) && !e.isOwnedByUser() {
		p.dispatcher.selectProcessor(*id).queueEndpoint(e)
	}
	s.DecRef()
}

// parseOptions is header.ParseTCPOptions, which takes 120 instructions for what most have: a
// timestamp, as RFC 7323 appendix A recommends.
func parseOptions(b []byte) header.TCPOptions {
	const stamp = header.TCPOptionNOP<<24 | header.TCPOptionNOP<<16 | header.TCPOptionTS<<8 | header.TCPOptionTSLength
	if len(b) == 12 && binary.BigEndian.Uint32(b) == stamp {
		return header.TCPOptions{TS: true, TSVal: binary.BigEndian.Uint32(b[4:]), TSEcr: binary.BigEndian.Uint32(b[8:])}
	}
	return header.ParseTCPOptions(b)
}

// hash spreads connections over the processors. Netstack's own takes 200 instructions, and
// keeps peers from choosing a processor, of which there are no more than CPUs.
func (jenkinsHasher) hash(id stack.TransportEndpointID) uint32 {
	return (uint32(id.RemotePort)<<16 | uint32(id.LocalPort)) * 0x9e3779b1 >> 16
}
