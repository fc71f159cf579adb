//go:build netstack

package tcp

import (
	"time"

	"gvisor.dev/gvisor/pkg/sync"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	tcptime "gvisor.dev/gvisor/pkg/tcpip/internal/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/ports"
	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// timeWait is a connection in TIME-WAIT that the program has closed: what it takes to answer
// its peer (RFC 9293 section 3.10.7.4) and to tell an old segment from a new connection (RFC
// 6191). A server has thousands; an endpoint is ten times as much. Linux has such a record,
// too (struct tcp_timewait_sock).
type timeWait struct {
	protocol *protocol
	info     stack.TransportEndpointInfo
	device   tcpip.NICID // that it was bound to
	port     ports.Reservation
	next     seqnum.Value // the next number to be sent
	window   seqnum.Size
	offset   tcptime.TSOffset
	ttl, tos uint8
	df       bool
	stamps   bool // timestamps are in use

	mu        sync.Mutex // guards what follows
	expected  seqnum.Value
	recent    uint32              // the peer's last timestamp,
	stamped   tcpip.MonotonicTime // which came then
	timer     tcpip.Timer
	answering bool
	ended     bool
}

// retire puts a record in the place of e, which is closed then.
//
// +checklocks:e.mu
func (e *Endpoint) retire() {
	expected, window := e.rcv.getSendParams()
	t := &timeWait{
		protocol: e.protocol,
		info:     e.TransportEndpointInfo,
		device:   e.boundBindToDevice,
		port: ports.Reservation{
			Networks: e.effectiveNetProtos, Transport: ProtocolNumber,
			Addr: e.TransportEndpointInfo.ID.LocalAddress, Port: e.TransportEndpointInfo.ID.LocalPort,
			Flags: e.boundPortFlags, BindToDevice: e.boundBindToDevice, Dest: e.boundDest,
		},
		next: e.snd.SndNxt, window: window,
		offset: e.TSOffset, ttl: calculateTTL(e.route, e.ipv4TTL, e.ipv6HopLimit), tos: e.sendTOS,
		df:       e.pmtud == tcpip.PMTUDiscoveryWant || e.pmtud == tcpip.PMTUDiscoveryDo || e.pmtud == tcpip.PMTUDiscoveryProbe,
		stamps:   e.SendTSOk,
		expected: expected, recent: e.RecentTS, stamped: e.recentTSTime,
	}
	t.mu.Lock()
	e.stack.ReplaceTransportEndpoint(e.effectiveNetProtos, ProtocolNumber, t.info.ID, e, t, t.device)
	t.timer = e.stack.Clock().AfterFunc(e.getTimeWaitDuration(), t.end)
	t.mu.Unlock()
	e.isRegistered, e.isPortReserved = false, false
	e.transitionToStateCloseLocked()
}

// end forgets the connection.
func (t *timeWait) end() {
	t.mu.Lock()
	ended := t.ended
	t.ended = true
	t.timer.Stop()
	t.mu.Unlock()
	if !ended {
		s := t.protocol.stack
		s.UnregisterTransportEndpoint(t.port.Networks, ProtocolNumber, t.info.ID, t, t.port.Flags, t.device)
		s.ReleasePort(t.port)
	}
}

// makeWay ends it if a new connection from here may take its place (RFC 6191 section 2).
func (t *timeWait) makeWay() bool {
	t.mu.Lock()
	old := t.protocol.stack.Clock().NowMonotonic().Sub(t.stamped) >= time.Second
	t.mu.Unlock()
	if old {
		t.end()
	}
	return old
}

// receivePacket takes a segment that is yet to be looked at.
func (t *timeWait) receivePacket(id stack.TransportEndpointID, clock tcpip.Clock, p *stack.PacketBuffer) {
	s, err := newIncomingSegment(id, clock, p)
	if err != nil {
		return
	}
	if s.csumValid {
		t.receive(s)
	}
	s.DecRef()
}

// receive takes a segment, as Linux's tcp_timewait_state_process does, but for resets, which
// do not end it (RFC 1337). What is to be done for it is done by a goroutine, since the table
// of endpoints may be locked.
func (t *timeWait) receive(s *segment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	stamped := t.stamps && s.parsedOptions.TS
	newer := stamped && int32(s.parsedOptions.TSVal-t.recent) > 0
	older := stamped && int32(s.parsedOptions.TSVal-t.recent) < 0
	switch {
	case t.ended || s.flags.Contains(header.TCPFlagRst):
		return
	case s.flags.Contains(header.TCPFlagSyn) && !s.flags.Contains(header.TCPFlagAck) && !older && (t.expected.LessThan(s.sequenceNumber) || newer):
		s.IncRef()
		go t.reopen(s)
		return
	case !s.flags.Contains(header.TCPFlagAck) && !s.flags.Contains(header.TCPFlagSyn):
		return
	}
	if newer && s.sequenceNumber.LessThanEq(t.expected) {
		t.recent, t.stamped = s.parsedOptions.TSVal, t.protocol.stack.Clock().NowMonotonic()
	}
	if s.sequenceNumber == t.expected && s.logicalLen() == 0 {
		return
	}
	if s.flags.Contains(header.TCPFlagFin) && s.sequenceNumber.Add(s.logicalLen()) == t.expected { // its acknowledgement was lost
		t.protocol.mu.RLock()
		t.timer.Reset(t.protocol.timeWaitTimeout)
		t.protocol.mu.RUnlock()
	}
	if !t.answering {
		t.answering = true
		go t.answer(s.pkt.NICID)
	}
}

// reopen ends it for the connection that s begins, if somebody listens.
func (t *timeWait) reopen(s *segment) {
	defer s.DecRef()
	id := t.info.ID
	id.RemoteAddress, id.RemotePort = tcpip.Address{}, 0
	for _, p := range [...]tcpip.NetworkProtocolNumber{header.IPv4ProtocolNumber, header.IPv6ProtocolNumber} {
		l, ok := t.protocol.stack.FindTransportEndpoint(p, ProtocolNumber, id, s.pkt.NICID).(*Endpoint)
		if ok && l.EndpointState() == StateListen {
			t.end()
			if l.enqueueSegment(s) {
				l.notifyProcessor()
			}
			return
		}
	}
}

// answer acknowledges what came, by that device.
func (t *timeWait) answer(nic tcpip.NICID) {
	t.mu.Lock()
	t.answering = false
	expected, recent := t.expected, t.recent
	t.mu.Unlock()
	st, id := t.protocol.stack, t.info.ID
	network := header.IPv4ProtocolNumber
	if id.LocalAddress.Len() == header.IPv6AddressSize {
		network = header.IPv6ProtocolNumber
	}
	route, err := t.protocol.routes.find(st, nic, id.LocalAddress, id.RemoteAddress, network)
	if err != nil {
		return
	}
	defer route.Release()
	options := getOptions()
	defer putOptions(options)
	n := 0
	if t.stamps {
		n += header.EncodeNOP(options)
		n += header.EncodeNOP(options[n:])
		n += header.EncodeTSOption(t.offset.TSVal(st.Clock().NowMonotonic()), recent, options[n:])
	}
	p := stack.NewPacketBuffer(stack.PacketBufferOptions{ReserveHeaderBytes: header.TCPMinimumSize + int(route.MaxHeaderLength()) + n})
	defer p.DecRef()
	sendTCP(route, tcpFields{
		id: id, ttl: t.ttl, tos: t.tos, flags: header.TCPFlagAck,
		seq: t.next, ack: expected, rcvWnd: t.window, opts: options[:n], df: t.df,
	}, p, stack.GSO{}, nil)
}

// Info and State are for tables of connections.

func (t *timeWait) Info() tcpip.EndpointInfo {
	info := t.info
	return &info
}

func (t *timeWait) State() uint32 { return uint32(StateTimeWait) }

// Abort implements stack.TransportEndpoint.
func (t *timeWait) Abort() { t.end() }

// HandlePacket implements stack.TransportEndpoint. TCP's packets are queued instead.
func (*timeWait) HandlePacket(stack.TransportEndpointID, *stack.PacketBuffer) {}

// HandleError implements stack.TransportEndpoint: nothing is on its way any more.
func (*timeWait) HandleError(stack.TransportError, *stack.PacketBuffer) {}

// Wait implements stack.TransportEndpoint.
func (*timeWait) Wait() {}
