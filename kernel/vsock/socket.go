package vsock

import (
	"sync"

	"gosv/kernel/errno"
	"gosv/kernel/gotimer"
	"gosv/kernel/metal"
	"gosv/kernel/mm"
	"gosv/kernel/socket"
	"gosv/kernel/wait"
)

// Socket is a stream socket of vsock(7). What it does at each call and packet,
// and its errors, are those of Linux 6.1 (net/vmw_vsock/af_vsock.c,
// virtio_transport_common.c).
//
// Packets come on a goroutine that must not block, so s.mu is never held while user
// memory is touched. Packets go out with s.out held: what they say of the credit
// must not be older than what the packet before said.
type Socket struct {
	socket.Base
	all   *Sockets
	queue wait.Queue // woken when something comes, goes or ends
	out   sync.Mutex // above mu
	taker sync.Mutex // who takes bytes out of the received; above mu

	mu            sync.Mutex
	state         uint8
	phase         uint8 // of the program's view
	local, remote address
	via           Transport  // nil until it connects
	key           connection // of Sockets.connected
	shut, peer    uintptr    // socket.ShutRead, socket.ShutWrite: by the program, by the peer
	done          bool       // the peer has ended it
	dead          bool       // closed by the program
	backlog       int        // how many connections may wait
	accepts       []*Socket
	buffer        [3]uint64 // size, least and most
	patience      uint64    // ns
	timer         *gotimer.Timer

	// What has come, and the credit (virtio 1.2 section 5.10.6.3): numbers of bytes.
	first, last *piece
	spare       *piece // the last small one, to be used again
	size        uint32 // in pieces
	passed      uint32 // to the program, ever: fwd_cnt,
	told        uint32 // and what of that the peer knows
	sent        uint32 // to the peer, ever,
	peerPassed  uint32 // and what of that it passed on
	peerSize    uint32 // its buffer
}

// piece is a part of what has come.
type piece struct {
	data  []byte // what of it has not been read
	whole []byte // empty, with room for all: if the memory is ours
	from  Transport
	next  *piece
}

// States of a connection.
const (
	closed = iota
	listening
	connecting
	established
	closing // the peer is gone, all that came is read
)

// Phases: enum socket_state.
const (
	unconnected = iota
	inProgress
	connected
	disconnecting
)

// Pieces for what is copied out of a packet.
const pieceSize = 2 << 10

// grace is how long a socket that was closed waits for the peer to close, too.
const grace = 8 * second

// New returns a socket of that kind.
func (v *Sockets) New(kind, protocol int32) (*Socket, errno.Errno) {
	switch {
	case protocol != 0 && protocol != socket.AFVsock:
		return nil, errno.EPROTONOSUPPORT
	case kind == socket.Dgram: // virtio has none
		return nil, errno.ENODEV
	case kind != socket.Stream && kind != socket.Seqpacket:
		return nil, errno.ESOCKTNOSUPPORT
	}
	v.open()
	return v.socket(kind), 0
}

func (v *Sockets) socket(kind int32) *Socket {
	s := &Socket{
		all:   v,
		local: address{CIDAny, portAny}, remote: address{CIDAny, portAny},
		buffer:   [3]uint64{defaultBuffer, leastBuffer, defaultBuffer},
		patience: defaultPatience,
	}
	s.Init(socket.AFVsock, kind, 0, v.System.NewSocketIno())
	s.DefaultBuffers()
	return s
}

// Address implements socket.Socket.
func (s *Socket) Address(peer bool) ([]byte, errno.Errno) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !peer:
		return s.local.encode(), 0
	case s.phase != connected:
		return nil, errno.ENOTCONN
	}
	return s.remote.encode(), 0
}

// Bind implements socket.Socket.
func (s *Socket) Bind(c socket.Caller, addr []byte) errno.Errno {
	a, err := parseAddress(addr)
	if err != 0 {
		return err
	}
	return s.all.bind(c, s, a)
}

// Listen implements socket.Socket.
func (s *Socket) Listen(c socket.Caller, backlog int) errno.Errno {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != unconnected || s.local.port == portAny {
		return errno.EINVAL
	}
	s.state, s.backlog = listening, backlog
	return 0
}

// Listening says whether it takes connections.
func (s *Socket) Listening() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == listening
}

// Accept implements socket.Socket.
func (s *Socket) Accept(c socket.Caller, flags uintptr) (socket.Socket, errno.Errno) {
	if !s.Listening() {
		return nil, errno.EINVAL
	}
	var child *Socket
	err := s.Await(c, &s.queue, flags, socket.SoRcvtimeo, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.accepts) == 0 {
			return false
		}
		child = s.accepts[0]
		s.accepts = s.accepts[:copy(s.accepts, s.accepts[1:])]
		return true
	})
	if err != 0 {
		return nil, err
	}
	return child, 0
}

// Connect implements socket.Socket.
func (s *Socket) Connect(c socket.Caller, addr []byte, flags uintptr) errno.Errno {
	s.mu.Lock()
	phase, state := s.phase, s.state
	s.mu.Unlock()
	err := errno.EALREADY
	switch phase {
	case connected:
		return errno.EISCONN
	case disconnecting:
		return errno.EINVAL
	case unconnected:
		a, bad := parseAddress(addr)
		if state == listening || bad != 0 {
			return errno.EINVAL
		}
		if err := s.begin(c, a); err != 0 {
			return err
		}
		err = errno.EINPROGRESS
	}
	if flags&socket.MsgDontwait != 0 {
		return err
	}
	s.mu.Lock()
	patience := s.patience
	s.mu.Unlock()
	err = c.Wait(&s.queue, metal.Now()+patience, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.state != connecting
	})
	switch err {
	case errno.RestartSys: // the time is limited, so it does not restart (signal(7))
		err = errno.EINTR
	case 0:
		return s.TakeError()
	}
	s.giveUp(err, false)
	return err
}

// begin sends the request for a connection to a.
func (s *Socket) begin(c socket.Caller, a address) errno.Errno {
	via, cid := s.all.transport(a.cid)
	switch {
	case via == nil:
		return errno.ENODEV
	case s.Kind != socket.Stream: // no transport of ours has them
		return errno.ESOCKTNOSUPPORT
	}
	s.mu.Lock()
	bound := s.local.port != portAny
	s.mu.Unlock()
	if !bound {
		if err := s.all.bind(c, s, address{CIDAny, portAny}); err != 0 {
			return err
		}
	}
	s.all.disconnect(s) // of an attempt before
	if !s.all.connect(s, connection{cid, s.local.port, a.port}) {
		return errno.EADDRINUSE
	}
	s.mu.Lock()
	s.Err.Store(0)
	s.via, s.remote = via, a
	s.state, s.phase = connecting, inProgress
	s.later(s.patience, func() { s.giveUp(errno.ETIMEDOUT, true) })
	s.mu.Unlock()
	s.transmit(OpRequest, 0, nil)
	return 0
}

// giveUp ends an attempt to connect.
func (s *Socket) giveUp(err errno.Errno, report bool) {
	s.mu.Lock()
	failed := s.phase == inProgress
	if failed {
		s.state, s.phase = closed, unconnected
		if report {
			s.Err.Store(uint32(err))
		}
		s.stopTimer()
	}
	s.mu.Unlock()
	if failed {
		s.all.disconnect(s)
		s.queue.Wake()
	}
}

// transmit sends a packet; data is of the transport's Buffer.
func (s *Socket) transmit(op uint16, flags uint32, data []byte) {
	s.out.Lock()
	s.mu.Lock()
	h := Header{
		SrcCID: uint64(s.via.CID()), DstCID: uint64(s.remote.cid), SrcPort: s.local.port, DstPort: s.remote.port,
		Len: uint32(len(data)), Type: TypeStream, Op: op, Flags: flags,
		BufAlloc: s.bufAlloc(), FwdCnt: s.passed,
	}
	s.told = s.passed
	s.mu.Unlock()
	s.via.Send(&h, data)
	s.out.Unlock()
	s.via.Flush()
}

func (s *Socket) bufAlloc() uint32 { return uint32(min(s.buffer[bufferSize], 1<<32-1)) }

// credit is how much may be sent; s.mu is held.
func (s *Socket) credit() int {
	return max(int(s.peerSize)-int(s.sent-s.peerPassed), 0)
}

// packet takes what came for s.
func (s *Socket) packet(t Transport, h *Header, data []byte) (kept bool) {
	s.mu.Lock()
	if itself := s.state == connecting && h.SrcPort == s.remote.port && s.isAt(h.DstCID); h.Op == OpRequest && !itself {
		s.mu.Unlock()
		if !s.request(t, h) {
			refuse(t, h)
		}
		return false
	}
	answer := uint16(0)
	switch {
	case s.via != t || s.done || s.state != connecting && s.state != established:
		s.mu.Unlock()
		refuse(t, h)
		return false
	case h.Op != OpReset && int32(s.sent-h.FwdCnt) < 0 || h.Op == OpData && uint64(s.size)+uint64(len(data)) > uint64(s.bufAlloc()):
		// It has passed on what it has not got, or sent more than it may.
		answer = OpReset
		s.broken(errno.ECONNRESET)
	default:
		if h.Op != OpReset {
			s.peerSize, s.peerPassed = h.BufAlloc, h.FwdCnt
		}
		if s.state == connecting {
			answer = s.answered(h)
		} else {
			answer, kept = s.received(t, h, data)
		}
	}
	ended := s.done || s.state == closed
	s.mu.Unlock()
	if answer != 0 {
		s.transmit(answer, 0, nil)
	}
	if ended {
		s.all.disconnect(s)
	}
	s.queue.Wake()
	return kept
}

// isAt says whether s's address includes that CID.
func (s *Socket) isAt(cid uint64) bool {
	return s.local.cid == CIDAny || uint64(s.local.cid) == cid
}

// broken ends a connection with an error.
func (s *Socket) broken(err errno.Errno) {
	if s.state == connecting {
		s.state, s.phase = closed, unconnected
	} else {
		s.state, s.peer, s.done = closing, socket.ShutRead|socket.ShutWrite, true
	}
	s.Err.Store(uint32(err))
	s.stopTimer()
}

func (s *Socket) stopTimer() {
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
}

// request makes a connection for who asks for one, if s waits for it.
func (s *Socket) request(t Transport, h *Header) (ok bool) {
	s.mu.Lock()
	ok = s.room()
	child := s.all.socket(s.Kind)
	child.buffer, child.patience = s.buffer, s.patience
	s.mu.Unlock()
	const size = 1 << 10 // of a socket, with all that belongs to it
	if !ok || !mm.KernelRoom(size) {
		return false
	}
	child.state, child.phase = established, connected
	child.via = t
	child.local, child.remote = address{uint32(h.DstCID), h.DstPort}, address{uint32(h.SrcCID), h.SrcPort}
	child.peerSize = h.BufAlloc
	if !s.all.connect(child, connection{h.SrcCID, h.DstPort, h.SrcPort}) {
		return false
	}
	s.mu.Lock()
	if ok = s.room(); ok {
		s.accepts = append(s.accepts, child)
	}
	s.mu.Unlock()
	if !ok {
		s.all.disconnect(child)
		return false
	}
	child.transmit(OpResponse, 0, nil)
	s.queue.Wake()
	return true
}

// room says whether one more connection may wait; s.mu is held.
func (s *Socket) room() bool { return s.state == listening && len(s.accepts) <= s.backlog }

// answered is what a packet means for one who tries to connect.
func (s *Socket) answered(h *Header) (answer uint16) {
	switch h.Op {
	case OpResponse:
		s.state, s.phase = established, connected
		s.stopTimer()
	case OpReset:
		s.broken(errno.ECONNRESET)
	default:
		s.broken(errno.EPROTO)
		return OpReset
	}
	return 0
}

// received is what a packet means for one who is connected.
func (s *Socket) received(t Transport, h *Header, data []byte) (answer uint16, kept bool) {
	switch h.Op {
	case OpData:
		if s.dead || s.shut&socket.ShutRead != 0 { // nobody reads it any more
			s.passed += uint32(len(data))
			break
		}
		var ok bool
		if kept, ok = s.append(t, data); !ok {
			s.broken(errno.ENOMEM)
			return OpReset, false
		}
	case OpCreditRequest:
		return OpCreditUpdate, false
	case OpShutdown:
		if h.Flags&ShutReceive != 0 {
			s.peer |= socket.ShutRead
		}
		if h.Flags&ShutSend != 0 {
			s.peer |= socket.ShutWrite
		}
		if s.peer == socket.ShutRead|socket.ShutWrite && s.size == 0 {
			s.ended()
			return OpReset, false
		}
	case OpReset:
		s.ended()
	}
	return 0, kept
}

// ended is when the peer is gone.
func (s *Socket) ended() {
	s.done, s.peer = true, socket.ShutRead|socket.ShutWrite
	if s.size == 0 {
		s.state = closing
	}
	s.stopTimer()
}

// append puts data at the end of what has come. Much of it stays where it is, if that
// may be. It fails without memory.
func (s *Socket) append(t Transport, data []byte) (kept, ok bool) {
	n := len(data)
	if n >= pieceSize && t.MayKeep() {
		s.push(&piece{data: data, from: t})
		s.size += uint32(n)
		return true, true
	}
	for len(data) > 0 {
		p := s.last
		if p == nil || p.from != nil || len(p.data) == cap(p.data) {
			if p = s.spare; p == nil {
				size := max(len(data), pieceSize)
				if size > pieceSize && !mm.KernelRoom(size) {
					return false, false
				}
				p = &piece{data: make([]byte, 0, size)}
				p.whole = p.data
			}
			s.spare = nil
			s.push(p)
		}
		k := min(len(data), cap(p.data)-len(p.data))
		p.data = append(p.data, data[:k]...)
		data = data[k:]
	}
	s.size += uint32(n)
	return false, true
}

func (s *Socket) push(p *piece) {
	if s.first == nil {
		s.first = p
	} else {
		s.last.next = p
	}
	s.last = p
}

// pop takes the first piece out, whose data have been read.
func (s *Socket) pop(data []byte) {
	p := s.first
	if s.first = p.next; s.first == nil {
		s.last = nil
	}
	p.next = nil
	if p.from != nil {
		p.from.Free(data)
	} else if cap(p.whole) == pieceSize {
		p.data = p.whole
		s.spare = p
	}
}

// Receive implements socket.Socket.
func (s *Socket) Receive(c socket.Caller, m *socket.Envelope) (done int, err errno.Errno) {
	s.mu.Lock()
	over := true
	switch {
	case s.state != established && s.done:
		err = errno.Errno(s.Err.Load())
	case s.state != established:
		err = errno.ENOTCONN
	case m.Flags&socket.MsgOOB != 0:
		err = errno.EOPNOTSUPP
	case s.shut&socket.ShutRead != 0 || m.Len() == 0:
	case m.Flags&socket.MsgWaitall != 0 && uint64(m.Len()) >= s.buffer[bufferSize]:
		err = errno.ENOMEM
	default:
		over = false
	}
	s.mu.Unlock()
	if over {
		return 0, err
	}
	for {
		ended := false
		err = s.Await(c, &s.queue, m.Flags, socket.SoRcvtimeo, func() bool {
			n := s.take(m)
			done += n
			if n == 0 && !m.Fault() {
				s.mu.Lock()
				ended = s.size == 0 && (s.Err.Load() != 0 || s.shut&socket.ShutRead != 0 || s.peer&socket.ShutWrite != 0)
				s.mu.Unlock()
			}
			return n > 0 || m.Fault() || ended
		})
		if ended && done == 0 {
			return 0, errno.Errno(s.Err.Load())
		}
		if err != 0 || ended || m.Fault() || m.Len() == 0 || m.Flags&(socket.MsgWaitall|socket.MsgPeek) != socket.MsgWaitall {
			break
		}
	}
	if done > 0 {
		err = 0
	}
	return done, err
}

// take moves what has come to m, and tells the peer if it needs to know.
func (s *Socket) take(m *socket.Envelope) (done int) {
	s.taker.Lock()
	defer s.taker.Unlock()
	peek := m.Flags&socket.MsgPeek != 0
	s.mu.Lock()
	p := s.first
	for p != nil && m.Len() > 0 && !m.Fault() {
		data := p.data
		s.mu.Unlock()
		n := m.Put(data)
		done += n
		s.mu.Lock()
		if peek {
			p = p.next
			continue
		}
		s.size -= uint32(n)
		s.passed += uint32(n)
		if p.data = p.data[n:]; len(p.data) == 0 {
			s.pop(data)
		}
		p = s.first
	}
	// The peer is told when half of the buffer is free that it takes for full.
	tell := !s.done && s.state == established && s.passed-s.told >= s.bufAlloc()/2
	if s.done && s.size == 0 {
		s.state = closing
	}
	s.mu.Unlock()
	if tell {
		s.transmit(OpCreditUpdate, 0, nil)
	}
	return done
}

// cannotSend says why nothing can be sent, 0 if it can; s.mu is held.
func (s *Socket) cannotSend() errno.Errno {
	switch {
	case s.shut&socket.ShutWrite != 0 || s.peer&socket.ShutRead != 0:
		return errno.EPIPE // without a signal, until Linux 6.8
	case s.state != established:
		return errno.ENOTCONN
	}
	return 0
}

// Send implements socket.Socket.
func (s *Socket) Send(c socket.Caller, m *socket.Envelope) (done int, err errno.Errno) {
	s.mu.Lock()
	connected := s.phase == connected
	err = s.cannotSend()
	s.mu.Unlock()
	switch {
	case m.Flags&socket.MsgOOB != 0:
		return 0, errno.EOPNOTSUPP
	case len(m.Addr) > 0 && connected:
		return 0, errno.EISCONN
	case len(m.Addr) > 0:
		return 0, errno.EOPNOTSUPP
	case err != 0:
		return 0, err
	}
	for m.Len() > 0 && !m.Fault() {
		var buf []byte
		stop := errno.Errno(0)
		err = s.Await(c, &s.queue, m.Flags, socket.SoSndtimeo, func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			if stop = errno.Errno(s.Err.Load()); stop == 0 {
				stop = s.cannotSend()
			}
			if stop != 0 {
				return true
			}
			if n := min(s.credit(), m.Len(), MaxData); n > 0 {
				buf = s.via.Buffer(n)
				s.sent += uint32(len(buf)) // spoken for
			}
			return buf != nil
		})
		if err == 0 {
			err = stop
		}
		if err != 0 {
			break
		}
		n := m.Get(buf)
		if n < len(buf) {
			s.mu.Lock()
			s.sent -= uint32(len(buf) - n)
			s.mu.Unlock()
		}
		if n == 0 {
			s.via.Free(buf)
			break
		}
		s.transmit(OpData, 0, buf[:n])
		done += n
	}
	if done > 0 {
		err = 0
	}
	return done, err
}

// Shutdown implements socket.Socket.
func (s *Socket) Shutdown(how uintptr) errno.Errno {
	s.mu.Lock()
	if s.phase == unconnected {
		s.mu.Unlock()
		return errno.ENOTCONN
	}
	s.phase = disconnecting
	s.shut |= how
	tell := s.state == established
	s.mu.Unlock()
	if tell {
		s.transmit(OpShutdown, uint32(how), nil)
	}
	s.queue.Wake()
	return 0
}

// Close implements socket.Socket.
func (s *Socket) Close() {
	s.mu.Lock()
	s.dead = true
	waiting, unread := s.accepts, s.first
	s.accepts, s.first, s.last = nil, nil, nil
	s.size = 0
	op, flags := uint16(0), uint32(0)
	switch {
	case s.state != established || s.done:
		s.state = closed
	case s.peer == socket.ShutRead|socket.ShutWrite:
		op, s.state = OpReset, closed
	default:
		if s.shut != socket.ShutRead|socket.ShutWrite {
			op, flags = OpShutdown, ShutReceive|ShutSend
		}
		s.later(grace, s.end)
	}
	over := s.state == closed
	if over {
		s.stopTimer()
	}
	bound, connected := s.local.port != portAny, s.via != nil
	s.mu.Unlock()
	if op != 0 {
		s.transmit(op, flags, nil)
	}
	if bound {
		s.all.unbind(s)
	}
	if over && connected {
		s.all.disconnect(s)
	}
	for ; unread != nil; unread = unread.next {
		if unread.from != nil {
			unread.from.Free(unread.data)
		}
	}
	for _, c := range waiting {
		c.Close()
	}
}

// end is when the peer of a closed socket has not closed its own for long.
func (s *Socket) end() {
	s.mu.Lock()
	over := s.done
	s.done, s.state = true, closed
	s.mu.Unlock()
	if !over {
		s.transmit(OpReset, 0, nil)
		s.all.disconnect(s)
	}
}

// Poll implements socket.Socket.
func (s *Socket) Poll() (ready uint32, q *wait.Queue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Err.Load() != 0 {
		ready |= wait.Err
	}
	if s.shut == socket.ShutRead|socket.ShutWrite || s.shut&socket.ShutWrite != 0 && s.peer&socket.ShutWrite != 0 {
		ready |= wait.Hup
	}
	if s.shut&socket.ShutRead != 0 || s.peer&socket.ShutWrite != 0 {
		ready |= wait.RdHup | wait.In | wait.RdNorm
	}
	if s.size > 0 || len(s.accepts) > 0 {
		ready |= wait.In | wait.RdNorm
	}
	switch s.state {
	case established:
		if s.shut&socket.ShutWrite == 0 && s.credit() > 0 && s.via.Ready() {
			ready |= wait.Out | wait.WrNorm
		}
	case closed, closing:
		if s.shut&socket.ShutWrite == 0 {
			ready |= wait.Out | wait.WrNorm
		}
	}
	return ready, &s.queue
}

// Ioctl implements socket.Socket: there are no requests.
func (s *Socket) Ioctl(socket.Caller, uintptr, uintptr) (uintptr, errno.Errno) {
	return 0, errno.EOPNOTSUPP
}
