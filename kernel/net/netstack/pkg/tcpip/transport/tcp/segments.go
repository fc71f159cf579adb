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

// QueueSegment is QueuePacket for a segment over IPv4 whose checksum is right, with header h.
// It takes the packet, whose only reference is the caller's.
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
	s.pkt = pkt
	s.csumValid = true

	stats := &p.stack.Counters().TCP
	stats.ValidSegmentsReceived.Increment()
	e.stats.SegmentsReceived.Increment()
	if s.flags&header.TCPFlagRst != 0 {
		stats.ResetsReceived.Increment()
	}
	if e.enqueueSegment(s) && !e.isOwnedByUser() {
		p.dispatcher.selectProcessor(*id).queueEndpoint(e)
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

// sendRaw sends a segment. Netstack's own, sendAny, asks for each what is the same for all of
// a connection, or nearly all.
//
// +checklocks:e.mu
func (e *Endpoint) sendRaw(pkt *stack.PacketBuffer, flags header.TCPFlags, seq, ack seqnum.Value, window seqnum.Size) tcpip.Error {
	w, link := e.route.SegmentWriter()
	if w == nil || e.EndpointState() != StateEstablished || e.rcv.pendingRcvdSegments.Len() > 0 ||
		e.gso.Type != stack.GSOTCPv4 || !e.gso.NeedsCsum || e.pmtud == tcpip.PMTUDiscoveryDont {
		return e.sendAny(pkt, flags, seq, ack, window)
	}
	const link4 = header.EthernetMinimumSize + header.IPv4MinimumSize
	size := header.TCPMinimumSize
	if e.SendTSOk {
		size += stampSize
	}
	length := size + pkt.Data().Size()
	if header.IPv4MinimumSize+length > math.MaxUint16 {
		return e.sendAny(pkt, flags, seq, ack, window)
	}
	id := &e.TransportEndpointInfo.ID
	from, to := address4(&id.LocalAddress), address4(&id.RemoteAddress)
	pkt.ReserveHeaderBytes(link4 + size)
	be, h := binary.BigEndian, pkt.TransportHeader().Push(size)
	be.PutUint32(h, uint32(id.LocalPort)<<16|uint32(id.RemotePort))
	be.PutUint32(h[4:], uint32(seq))
	be.PutUint32(h[8:], uint32(ack))
	be.PutUint32(h[12:], uint32(size/4)<<28|uint32(flags)<<16|uint32(min(window, math.MaxUint16)))
	sum := uint64(from) + uint64(to) + uint64(header.TCPProtocolNumber) + uint64(length) // of the pseudo header
	sum = sum>>32 + sum&math.MaxUint32
	sum = sum>>16 + sum&math.MaxUint16
	sum = sum>>16 + sum&math.MaxUint16
	be.PutUint32(h[16:], uint32(sum>>16+sum)<<16)
	if e.SendTSOk {
		be.PutUint32(h[20:], stamp)
		be.PutUint32(h[24:], e.tsValNow())
		be.PutUint32(h[28:], e.recentTimestamp())
	}
	pkt.TransportProtocolNumber = ProtocolNumber
	pkt.GSOOptions, pkt.Hash, pkt.Owner = e.gso, e.txHash, e.owner
	stats := &e.stack.Counters().TCP
	err, ok := w.WriteSegment(from, to, e.ipv4TTL, e.sendTOS, link, pkt)
	if !ok {
		err = &tcpip.ErrInvalidEndpointState{}
	}
	if err != nil {
		stats.SegmentSendErrors.Increment()
		e.stats.SendErrors.SegmentSendToNetworkFailed.Increment()
		return err
	}
	stats.SegmentsSent.Increment()
	if flags&header.TCPFlagRst != 0 {
		stats.ResetsSent.Increment()
	}
	e.stats.SegmentsSent.Increment()
	return nil
}

func address4(a *tcpip.Address) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

// readFromPayloader copies what is to be sent. Netstack's own, readFromAny, does that by
// io.Copy and three readers.
//
// +checklocks:e.mu
// +checklocks:e.sndQueueInfo.sndQueueMu
func (e *Endpoint) readFromPayloader(p tcpip.Payloader, opts tcpip.WriteOptions, room int) (buffer.Buffer, tcpip.Error) {
	n := min(p.Len(), room)
	if n == 0 || n > buffer.MaxChunkSize || opts.Atomic {
		return e.readFromAny(p, opts, room)
	}
	e.sndQueueInfo.sndQueueMu.Unlock() // the copy may take a page fault
	e.UnlockUser()
	v := buffer.NewViewSize(n)
	_, err := io.ReadFull(p, v.AsSlice())
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

// Read implements tcpip.Endpoint.
func (e *Endpoint) Read(dst io.Writer, opts tcpip.ReadOptions) (tcpip.ReadResult, tcpip.Error) {
	n, err := e.read(dst, opts)
	return tcpip.ReadResult{Count: n, Total: n}, err
}
