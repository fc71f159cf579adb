package linux

import (
	"sync"

	"gosv/kernel/gotimer"
	"gosv/kernel/metal"
	"gosv/kernel/mm"
	"gosv/kernel/vsock"
	"gosv/kernel/wait"
)

// vsockSocket is a stream socket of vsock(7). What it does at each call and packet,
// and its errors, are those of Linux 6.1 (net/vmw_vsock/af_vsock.c,
// virtio_transport_common.c).
//
// Packets come on a goroutine that must not block, so s.mu is never held while user
// memory is touched. Packets go out with s.out held: what they say of the credit
// must not be older than what the packet before said.
type vsockSocket struct {
	socketCommon
	all   *vsockets
	queue wait.Queue // woken when something comes, goes or ends
	out   sync.Mutex // above mu
	taker sync.Mutex // who takes bytes out of the received; above mu

	mu            sync.Mutex
	state         uint8
	phase         uint8 // of the program's view
	local, remote vsockAddr
	via           vsock.Transport // nil until it connects
	key           vsockKey        // of vsockets.connected
	shut, peer    uintptr         // shutRead, shutWrite: by the program, by the peer
	done          bool            // the peer has ended it
	dead          bool            // closed by the program
	backlog       int             // how many connections may wait
	accepts       []*vsockSocket
	buffer        [3]uint64 // size, least and most
	patience      uint64    // ns
	timer         *gotimer.Timer

	// What has come, and the credit (virtio 1.2 section 5.10.6.3): numbers of bytes.
	first, last *vsockPiece
	spare       *vsockPiece // the last small one, to be used again
	size        uint32      // in pieces
	passed      uint32      // to the program, ever: fwd_cnt,
	told        uint32      // and what of that the peer knows
	sent        uint32      // to the peer, ever,
	peerPassed  uint32      // and what of that it passed on
	peerSize    uint32      // its buffer
}

// vsockPiece is a part of what has come.
type vsockPiece struct {
	data  []byte // what of it has not been read
	whole []byte // empty, with room for all: if the memory is ours
	from  vsock.Transport
	next  *vsockPiece
}

// States of a connection.
const (
	vsockClosed = iota
	vsockListening
	vsockConnecting
	vsockEstablished
	vsockClosing // the peer is gone, all that came is read
)

// Phases: enum socket_state.
const (
	vsockUnconnected = iota
	vsockInProgress
	vsockConnected
	vsockDisconnecting
)

// Pieces for what is copied out of a packet.
const vsockPieceSize = 2 << 10

// vsockGrace is how long a socket that was closed waits for the peer to close, too.
const vsockGrace = 8 * second

func (t *Thread) newVsock(kind, protocol int32) (socket, Errno) {
	switch {
	case protocol != 0 && protocol != afVsock:
		return nil, EPROTONOSUPPORT
	case kind == sockDgram: // virtio has none
		return nil, ENODEV
	case kind != sockStream && kind != sockSeqpacket:
		return nil, ESOCKTNOSUPPORT
	}
	v := &t.proc.kernel.vsockets
	v.open()
	return v.socket(kind), 0
}

func (v *vsockets) socket(kind int32) *vsockSocket {
	s := &vsockSocket{
		all:   v,
		local: vsockAddr{vsock.CIDAny, vsockPortAny}, remote: vsockAddr{vsock.CIDAny, vsockPortAny},
		buffer:   [3]uint64{vsockDefaultBuffer, vsockLeastBuffer, vsockDefaultBuffer},
		patience: vsockPatience,
	}
	s.init(afVsock, kind, 0)
	s.defaultBuffers()
	return s
}

func (s *vsockSocket) address(peer bool) ([]byte, Errno) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !peer:
		return s.local.encode(), 0
	case s.phase != vsockConnected:
		return nil, ENOTCONN
	}
	return s.remote.encode(), 0
}

func (s *vsockSocket) bind(t *Thread, addr []byte) Errno {
	a, err := parseVsockAddr(addr)
	if err != 0 {
		return err
	}
	return s.all.bind(t, s, a)
}

func (s *vsockSocket) listen(t *Thread, backlog int) Errno {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != vsockUnconnected || s.local.port == vsockPortAny {
		return EINVAL
	}
	s.state, s.backlog = vsockListening, backlog
	return 0
}

func (s *vsockSocket) listening() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == vsockListening
}

func (s *vsockSocket) accept(t *Thread, f *File) (socket, Errno) {
	if !s.listening() {
		return nil, EINVAL
	}
	var child *vsockSocket
	err := s.await(t, f, &s.queue, 0, soRcvtimeo, func() bool {
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

func (s *vsockSocket) connect(t *Thread, f *File, addr []byte) Errno {
	s.mu.Lock()
	phase, state := s.phase, s.state
	s.mu.Unlock()
	err := EALREADY
	switch phase {
	case vsockConnected:
		return EISCONN
	case vsockDisconnecting:
		return EINVAL
	case vsockUnconnected:
		a, bad := parseVsockAddr(addr)
		if state == vsockListening || bad != 0 {
			return EINVAL
		}
		if err := s.begin(t, a); err != 0 {
			return err
		}
		err = EINPROGRESS
	}
	if f.nonblock() {
		return err
	}
	s.mu.Lock()
	patience := s.patience
	s.mu.Unlock()
	err = t.Wait(&s.queue, metal.Now()+patience, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.state != vsockConnecting
	})
	switch err {
	case eRestartSys: // the time is limited, so it does not restart (signal(7))
		err = EINTR
	case 0:
		return s.takeError()
	}
	s.giveUp(err, false)
	return err
}

// begin sends the request for a connection to a.
func (s *vsockSocket) begin(t *Thread, a vsockAddr) Errno {
	via, cid := s.all.transport(a.cid)
	switch {
	case via == nil:
		return ENODEV
	case s.kind != sockStream: // no transport of ours has them
		return ESOCKTNOSUPPORT
	}
	s.mu.Lock()
	bound := s.local.port != vsockPortAny
	s.mu.Unlock()
	if !bound {
		if err := s.all.bind(t, s, vsockAddr{vsock.CIDAny, vsockPortAny}); err != 0 {
			return err
		}
	}
	s.all.disconnect(s) // of an attempt before
	if !s.all.connect(s, vsockKey{cid, s.local.port, a.port}) {
		return EADDRINUSE
	}
	s.mu.Lock()
	s.err.Store(0)
	s.via, s.remote = via, a
	s.state, s.phase = vsockConnecting, vsockInProgress
	s.later(s.patience, func() { s.giveUp(ETIMEDOUT, true) })
	s.mu.Unlock()
	s.transmit(vsock.OpRequest, 0, nil)
	return 0
}

// giveUp ends an attempt to connect.
func (s *vsockSocket) giveUp(err Errno, report bool) {
	s.mu.Lock()
	failed := s.phase == vsockInProgress
	if failed {
		s.state, s.phase = vsockClosed, vsockUnconnected
		if report {
			s.err.Store(uint32(err))
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
func (s *vsockSocket) transmit(op uint16, flags uint32, data []byte) {
	s.out.Lock()
	s.mu.Lock()
	h := vsock.Header{
		SrcCID: uint64(s.via.CID()), DstCID: uint64(s.remote.cid), SrcPort: s.local.port, DstPort: s.remote.port,
		Len: uint32(len(data)), Type: vsock.TypeStream, Op: op, Flags: flags,
		BufAlloc: s.bufAlloc(), FwdCnt: s.passed,
	}
	s.told = s.passed
	s.mu.Unlock()
	s.via.Send(&h, data)
	s.out.Unlock()
	s.via.Flush()
}

func (s *vsockSocket) bufAlloc() uint32 { return uint32(min(s.buffer[vsockBufferSize], 1<<32-1)) }

// credit is how much may be sent; s.mu is held.
func (s *vsockSocket) credit() int {
	return max(int(s.peerSize)-int(s.sent-s.peerPassed), 0)
}

// packet takes what came for s.
func (s *vsockSocket) packet(t vsock.Transport, h *vsock.Header, data []byte) (kept bool) {
	s.mu.Lock()
	if itself := s.state == vsockConnecting && h.SrcPort == s.remote.port && s.isAt(h.DstCID); h.Op == vsock.OpRequest && !itself {
		s.mu.Unlock()
		if !s.request(t, h) {
			refuse(t, h)
		}
		return false
	}
	answer := uint16(0)
	switch {
	case s.via != t || s.done || s.state != vsockConnecting && s.state != vsockEstablished:
		s.mu.Unlock()
		refuse(t, h)
		return false
	case h.Op != vsock.OpReset && int32(s.sent-h.FwdCnt) < 0 || h.Op == vsock.OpData && uint64(s.size)+uint64(len(data)) > uint64(s.bufAlloc()):
		// It has passed on what it has not got, or sent more than it may.
		answer = vsock.OpReset
		s.broken(ECONNRESET)
	default:
		if h.Op != vsock.OpReset {
			s.peerSize, s.peerPassed = h.BufAlloc, h.FwdCnt
		}
		if s.state == vsockConnecting {
			answer = s.answered(h)
		} else {
			answer, kept = s.received(t, h, data)
		}
	}
	ended := s.done || s.state == vsockClosed
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
func (s *vsockSocket) isAt(cid uint64) bool {
	return s.local.cid == vsock.CIDAny || uint64(s.local.cid) == cid
}

// broken ends a connection with an error.
func (s *vsockSocket) broken(err Errno) {
	if s.state == vsockConnecting {
		s.state, s.phase = vsockClosed, vsockUnconnected
	} else {
		s.state, s.peer, s.done = vsockClosing, shutRead|shutWrite, true
	}
	s.err.Store(uint32(err))
	s.stopTimer()
}

func (s *vsockSocket) stopTimer() {
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
}

// request makes a connection for who asks for one, if s waits for it.
func (s *vsockSocket) request(t vsock.Transport, h *vsock.Header) (ok bool) {
	s.mu.Lock()
	ok = s.room()
	child := s.all.socket(s.kind)
	child.buffer, child.patience = s.buffer, s.patience
	s.mu.Unlock()
	const size = 1 << 10 // of a socket, with all that belongs to it
	if !ok || !mm.KernelRoom(size) {
		return false
	}
	child.state, child.phase = vsockEstablished, vsockConnected
	child.via = t
	child.local, child.remote = vsockAddr{uint32(h.DstCID), h.DstPort}, vsockAddr{uint32(h.SrcCID), h.SrcPort}
	child.peerSize = h.BufAlloc
	if !s.all.connect(child, vsockKey{h.SrcCID, h.DstPort, h.SrcPort}) {
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
	child.transmit(vsock.OpResponse, 0, nil)
	s.queue.Wake()
	return true
}

// room says whether one more connection may wait; s.mu is held.
func (s *vsockSocket) room() bool { return s.state == vsockListening && len(s.accepts) <= s.backlog }

// answered is what a packet means for one who tries to connect.
func (s *vsockSocket) answered(h *vsock.Header) (answer uint16) {
	switch h.Op {
	case vsock.OpResponse:
		s.state, s.phase = vsockEstablished, vsockConnected
		s.stopTimer()
	case vsock.OpReset:
		s.broken(ECONNRESET)
	default:
		s.broken(EPROTO)
		return vsock.OpReset
	}
	return 0
}

// received is what a packet means for one who is connected.
func (s *vsockSocket) received(t vsock.Transport, h *vsock.Header, data []byte) (answer uint16, kept bool) {
	switch h.Op {
	case vsock.OpData:
		if s.dead || s.shut&shutRead != 0 { // nobody reads it any more
			s.passed += uint32(len(data))
			break
		}
		var ok bool
		if kept, ok = s.append(t, data); !ok {
			s.broken(ENOMEM)
			return vsock.OpReset, false
		}
	case vsock.OpCreditRequest:
		return vsock.OpCreditUpdate, false
	case vsock.OpShutdown:
		if h.Flags&vsock.ShutReceive != 0 {
			s.peer |= shutRead
		}
		if h.Flags&vsock.ShutSend != 0 {
			s.peer |= shutWrite
		}
		if s.peer == shutRead|shutWrite && s.size == 0 {
			s.ended()
			return vsock.OpReset, false
		}
	case vsock.OpReset:
		s.ended()
	}
	return 0, kept
}

// ended is when the peer is gone.
func (s *vsockSocket) ended() {
	s.done, s.peer = true, shutRead|shutWrite
	if s.size == 0 {
		s.state = vsockClosing
	}
	s.stopTimer()
}

// append puts data at the end of what has come. Much of it stays where it is, if that
// may be. It fails without memory.
func (s *vsockSocket) append(t vsock.Transport, data []byte) (kept, ok bool) {
	n := len(data)
	if n >= vsockPieceSize && t.MayKeep() {
		s.push(&vsockPiece{data: data, from: t})
		s.size += uint32(n)
		return true, true
	}
	for len(data) > 0 {
		p := s.last
		if p == nil || p.from != nil || len(p.data) == cap(p.data) {
			if p = s.spare; p == nil {
				size := max(len(data), vsockPieceSize)
				if size > vsockPieceSize && !mm.KernelRoom(size) {
					return false, false
				}
				p = &vsockPiece{data: make([]byte, 0, size)}
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

func (s *vsockSocket) push(p *vsockPiece) {
	if s.first == nil {
		s.first = p
	} else {
		s.last.next = p
	}
	s.last = p
}

// pop takes the first piece out, whose data have been read.
func (s *vsockSocket) pop(data []byte) {
	p := s.first
	if s.first = p.next; s.first == nil {
		s.last = nil
	}
	p.next = nil
	if p.from != nil {
		p.from.Free(data)
	} else if cap(p.whole) == vsockPieceSize {
		p.data = p.whole
		s.spare = p
	}
}

func (s *vsockSocket) read(t *Thread, f *File, u *userIO) (int, Errno) {
	if u.left == 0 {
		return 0, 0
	}
	return s.receive(t, f, t.message(u))
}

func (s *vsockSocket) write(t *Thread, f *File, u *userIO) (int, Errno) {
	return s.send(t, f, t.message(u))
}

func (s *vsockSocket) receive(t *Thread, f *File, m *message) (done int, err Errno) {
	s.mu.Lock()
	over := true
	switch {
	case s.state != vsockEstablished && s.done:
		err = Errno(s.err.Load())
	case s.state != vsockEstablished:
		err = ENOTCONN
	case m.Flags&msgOOB != 0:
		err = EOPNOTSUPP
	case s.shut&shutRead != 0 || m.left == 0:
	case m.Flags&msgWaitall != 0 && uint64(m.left) >= s.buffer[vsockBufferSize]:
		err = ENOMEM
	default:
		over = false
	}
	s.mu.Unlock()
	if over {
		return 0, err
	}
	for {
		ended := false
		err = s.await(t, f, &s.queue, m.Flags, soRcvtimeo, func() bool {
			n := s.take(m)
			done += n
			if n == 0 && !m.fault {
				s.mu.Lock()
				ended = s.size == 0 && (s.err.Load() != 0 || s.shut&shutRead != 0 || s.peer&shutWrite != 0)
				s.mu.Unlock()
			}
			return n > 0 || m.fault || ended
		})
		if ended && done == 0 {
			return 0, Errno(s.err.Load())
		}
		if err != 0 || ended || m.fault || m.left == 0 || m.Flags&(msgWaitall|msgPeek) != msgWaitall {
			break
		}
	}
	if done > 0 {
		err = 0
	}
	return done, err
}

// take moves what has come to m, and tells the peer if it needs to know.
func (s *vsockSocket) take(m *message) (done int) {
	s.taker.Lock()
	defer s.taker.Unlock()
	peek := m.Flags&msgPeek != 0
	s.mu.Lock()
	p := s.first
	for p != nil && m.left > 0 && !m.fault {
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
	tell := !s.done && s.state == vsockEstablished && s.passed-s.told >= s.bufAlloc()/2
	if s.done && s.size == 0 {
		s.state = vsockClosing
	}
	s.mu.Unlock()
	if tell {
		s.transmit(vsock.OpCreditUpdate, 0, nil)
	}
	return done
}

// cannotSend says why nothing can be sent, 0 if it can; s.mu is held.
func (s *vsockSocket) cannotSend() Errno {
	switch {
	case s.shut&shutWrite != 0 || s.peer&shutRead != 0:
		return EPIPE // without a signal, until Linux 6.8
	case s.state != vsockEstablished:
		return ENOTCONN
	}
	return 0
}

func (s *vsockSocket) send(t *Thread, f *File, m *message) (done int, err Errno) {
	s.mu.Lock()
	connected := s.phase == vsockConnected
	err = s.cannotSend()
	s.mu.Unlock()
	switch {
	case m.Flags&msgOOB != 0:
		return 0, EOPNOTSUPP
	case len(m.Addr) > 0 && connected:
		return 0, EISCONN
	case len(m.Addr) > 0:
		return 0, EOPNOTSUPP
	case err != 0:
		return 0, err
	}
	for m.left > 0 && !m.fault {
		var buf []byte
		stop := Errno(0)
		err = s.await(t, f, &s.queue, m.Flags, soSndtimeo, func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			if stop = Errno(s.err.Load()); stop == 0 {
				stop = s.cannotSend()
			}
			if stop != 0 {
				return true
			}
			if n := min(s.credit(), m.left, vsock.MaxData); n > 0 {
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
		s.transmit(vsock.OpData, 0, buf[:n])
		done += n
	}
	if done > 0 {
		err = 0
	}
	return done, err
}

func (s *vsockSocket) shutdown(how uintptr) Errno {
	s.mu.Lock()
	if s.phase == vsockUnconnected {
		s.mu.Unlock()
		return ENOTCONN
	}
	s.phase = vsockDisconnecting
	s.shut |= how
	tell := s.state == vsockEstablished
	s.mu.Unlock()
	if tell {
		s.transmit(vsock.OpShutdown, uint32(how), nil)
	}
	s.queue.Wake()
	return 0
}

func (s *vsockSocket) close(*File) {
	s.mu.Lock()
	s.dead = true
	waiting, unread := s.accepts, s.first
	s.accepts, s.first, s.last = nil, nil, nil
	s.size = 0
	op, flags := uint16(0), uint32(0)
	switch {
	case s.state != vsockEstablished || s.done:
		s.state = vsockClosed
	case s.peer == shutRead|shutWrite:
		op, s.state = vsock.OpReset, vsockClosed
	default:
		if s.shut != shutRead|shutWrite {
			op, flags = vsock.OpShutdown, vsock.ShutReceive|vsock.ShutSend
		}
		s.later(vsockGrace, s.end)
	}
	over := s.state == vsockClosed
	if over {
		s.stopTimer()
	}
	bound, connected := s.local.port != vsockPortAny, s.via != nil
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
		c.close(nil)
	}
}

// end is when the peer of a closed socket has not closed its own for long.
func (s *vsockSocket) end() {
	s.mu.Lock()
	over := s.done
	s.done, s.state = true, vsockClosed
	s.mu.Unlock()
	if !over {
		s.transmit(vsock.OpReset, 0, nil)
		s.all.disconnect(s)
	}
}

func (s *vsockSocket) poll(*File) (ready uint32, q *wait.Queue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err.Load() != 0 {
		ready |= pollErr
	}
	if s.shut == shutRead|shutWrite || s.shut&shutWrite != 0 && s.peer&shutWrite != 0 {
		ready |= pollHup
	}
	if s.shut&shutRead != 0 || s.peer&shutWrite != 0 {
		ready |= pollRdHup | pollIn | pollRdNorm
	}
	if s.size > 0 || len(s.accepts) > 0 {
		ready |= pollIn | pollRdNorm
	}
	switch s.state {
	case vsockEstablished:
		if s.shut&shutWrite == 0 && s.credit() > 0 && s.via.Ready() {
			ready |= pollOut | pollWrNorm
		}
	case vsockClosed, vsockClosing:
		if s.shut&shutWrite == 0 {
			ready |= pollOut | pollWrNorm
		}
	}
	return ready, &s.queue
}

func (s *vsockSocket) ioctl(*Thread, *File, uintptr, uintptr) (uintptr, Errno) { return 0, EOPNOTSUPP }
