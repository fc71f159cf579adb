package net

import (
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// delayedACKs keeps acknowledgements back for a while (RFC 1122 section 4.2.3.2), as Linux does
// and netstack does not: what the program answers carries them, too. A server sends one packet
// for a request then, not two.
type delayedACKs struct {
	mu    sync.Mutex // guards what follows
	conns []ackState // by hash
	timer tcpip.Timer
	armed bool
}

// ackState is a connection.
type ackState struct {
	conn     connection
	sent     uint32 // the last acknowledgement that went out
	kept     uint32 // the one that did not,
	packet   *stack.PacketBuffer
	route    *stack.Route
	due      int64
	impolite int8 // how many will not be kept back: nobody answered the last one in time
}

// connection says which one it is. It is good enough for a device with one address.
type connection struct {
	peer         uint32
	local, there uint16 // ports
}

// Linux has the same times and numbers (TCP_DELACK_MIN, TCP_MAX_QUICKACKS).
const (
	ackDelay   = 40 * time.Millisecond
	quickACKs  = 16
	ackStates  = 512
	ackedAtOne = 1460 // more bytes than that, of a second segment, are acknowledged at once
)

// keptACK is one that is to go out after all.
type keptACK struct {
	packet *stack.PacketBuffer
	route  *stack.Route
}

// take takes the acknowledgement that is kept back.
func (s *ackState) take() (k keptACK) {
	k = keptACK{s.packet, s.route}
	s.packet, s.route = nil, nil
	return k
}

// drop is for one that another packet has made needless.
func (k keptACK) drop() {
	if k.packet != nil {
		k.packet.DecRef()
		k.route.Release()
	}
}

func (k keptACK) send(e *ipv4Endpoint) {
	if k.packet != nil {
		e.nic.WritePacket(k.route, k.packet)
		k.drop()
	}
}

// delay looks at a segment that e sends to a peer, and says whether it has kept it back.
func (d *delayedACKs) delay(e *ipv4Endpoint, r *stack.Route, p *stack.PacketBuffer, peer uint32) bool {
	const withTimestamps = header.TCPMinimumSize + 12
	tcp := header.TCP(p.TransportHeader().Slice())
	c := connection{peer, tcp.SourcePort(), tcp.DestinationPort()}
	ack, flags := tcp.AckNumber(), header.TCPFlags(tcp[tcpFlags])
	pure := flags == header.TCPFlagAck && len(tcp) <= withTimestamps && p.Data().Size() == 0

	d.mu.Lock()
	if d.conns == nil {
		d.conns = make([]ackState, ackStates)
	}
	s := &d.conns[(c.peer^c.peer>>16^uint32(c.local)*31^uint32(c.there))%ackStates]
	if s.conn != c {
		if pure {
			d.mu.Unlock()
			return false
		}
		old := s.take()
		*s = ackState{conn: c, sent: ack}
		d.mu.Unlock()
		old.send(e)
		return false
	}
	news := ack - s.sent
	if pure && news > 0 && news <= ackedAtOne && s.impolite == 0 && (s.packet == nil || ack != s.kept) {
		old := s.take()
		r.Acquire()
		s.packet, s.route, s.kept = p.IncRef(), r, ack
		if old.packet == nil {
			s.due = nanotime() + int64(ackDelay)
			d.arm(e, ackDelay)
		}
		d.mu.Unlock()
		old.drop()
		return true
	}
	old := s.take()
	s.sent = ack
	if pure && s.impolite > 0 {
		s.impolite--
	}
	if flags&(header.TCPFlagFin|header.TCPFlagRst) != 0 {
		s.conn = connection{} // nothing will carry what is acknowledged from now on
	}
	d.mu.Unlock()
	old.drop()
	return false
}

// arm lets the timer fire; d.mu is held.
func (d *delayedACKs) arm(e *ipv4Endpoint, in time.Duration) {
	if d.armed {
		return
	}
	d.armed = true
	if d.timer == nil {
		d.timer = clock{}.AfterFunc(in, func() { d.expire(e) })
	} else {
		d.timer.Reset(in)
	}
}

// expire sends what was kept back for long enough.
func (d *delayedACKs) expire(e *ipv4Endpoint) {
	var due []keptACK
	d.mu.Lock()
	d.armed = false
	now, next := nanotime(), int64(0)
	for i := range d.conns {
		switch s := &d.conns[i]; {
		case s.packet == nil:
		case s.due <= now:
			s.sent, s.impolite = s.kept, quickACKs
			due = append(due, s.take())
		case next == 0 || s.due < next:
			next = s.due
		}
	}
	if next != 0 {
		d.arm(e, time.Duration(next-now))
	}
	d.mu.Unlock()
	for _, k := range due {
		k.send(e)
	}
}
