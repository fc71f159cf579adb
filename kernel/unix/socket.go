// Package unix is sockets within the machine, and pairs of them (unix(7)).
package unix

import (
	"slices"
	"sync"
	"sync/atomic"

	"gosv/kernel/bpf"
	"gosv/kernel/errno"
	"gosv/kernel/metal"
	"gosv/kernel/socket"
	"gosv/kernel/wait"
)

// Socket is a unix(7) socket.
type Socket struct {
	socket.Base
	queue wait.Queue // woken when something comes, goes or ends here or at the peer

	room wait.Queue // woken when there is room in the queue of those that came, or of connections

	sent    atomic.Int64 // what nobody has read yet of what it sent takes of its buffer
	binding sync.Mutex   // held while it gets its name, and above mu

	mu   sync.Mutex // guards what follows; a peer's is not taken below it
	peer *Socket
	shut uintptr // socket.ShutRead, socket.ShutWrite
	dead bool    // closed

	// What has come: in a stream, bytes without borders but for those that
	// came with files.
	first, last *parcel
	count       int
	urgent      *parcel // the one of these that is an urgent byte which nobody has read or passed
	passed      *parcel // what is gone of them, as long as mu is held

	names   *Names
	embryo  bool      // it waits to be accepted
	key     name      // zero if it has none
	addr    []byte    // struct sockaddr_un, nil if it has none; of a connection that was accepted the listener's
	senders []*Socket // datagram sockets that are connected to it

	listens bool
	backlog int
	pending []*Socket // connections to accept

	// Under the lock of names.rights, if it is a file that is on its way: in how many
	// messages, in how many of sockets that are not garbage, and where it is in the list.
	file                socket.File
	flying, outside, at int
}

// parcel is a message, or a part of a stream.
type parcel struct {
	data   []byte // what has not been read of it
	files  []socket.File
	from   socket.Cred
	sender *Socket
	next   *parcel
}

// noUser is who sent what nobody asked the sender of (overflowuid).
const noUser = 65534

const (
	// What a message takes of the sender's buffer besides its data: of how many an
	// skb is made on Linux.
	parcelOverhead = 767
	streamPiece    = 4 << 10 // small writes to a stream share a packet of this size
	streamWrite    = 32 << 10

	datagramsMost = 10 // /proc/sys/net/unix/max_dgram_qlen
)

// Kind returns what kind of socket a program gets that asks for kind.
func Kind(kind, protocol int32) (int32, errno.Errno) {
	switch {
	case protocol != 0 && protocol != socket.AFUnix:
		return 0, errno.EPROTONOSUPPORT
	case kind == socket.Raw: // as on BSD
		return socket.Dgram, 0
	case kind != socket.Stream && kind != socket.Dgram && kind != socket.Seqpacket:
		return 0, errno.ESOCKTNOSUPPORT
	}
	return kind, 0
}

// New returns a socket that gets its name, if any, among names.
func (names *Names) New(kind int32) *Socket {
	s := &Socket{names: names}
	s.Init(socket.AFUnix, kind, 0, names.NewIno())
	s.DefaultBuffers()
	return s
}

// Pair returns two that are connected, made by who has cred.
func (names *Names) Pair(kind int32, cred socket.Cred) (x, y *Socket) {
	x, y = names.New(kind), names.New(kind)
	x.peer, y.peer = y, x
	x.PeerCred, y.PeerCred = cred, cred
	return x, y
}

// Address implements socket.Socket.
func (s *Socket) Address(peer bool) ([]byte, errno.Errno) {
	if peer {
		if s = s.other(); s == nil {
			return nil, errno.ENOTCONN
		}
	}
	if addr := s.ownName(); addr != nil {
		return addr, 0
	}
	return []byte{socket.AFUnix, 0}, 0
}

// other returns the peer, nil if there is none.
func (s *Socket) other() *Socket {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peer
}

// Ready is what sockets of SOCK_SEQPACKET look at first when they send.
func (s *Socket) Ready() errno.Errno {
	if s.Kind != socket.Seqpacket {
		return 0
	}
	err := s.TakeError()
	if err == 0 && s.other() == nil {
		err = errno.ENOTCONN
	}
	return err
}

// Send implements socket.Socket.
func (s *Socket) Send(c socket.Caller, m *socket.Envelope) (int, errno.Errno) {
	if err := s.Ready(); err != 0 {
		return 0, err
	}
	peer := s.other()
	switch {
	case m.Flags&socket.MsgOOB != 0 && (s.Kind != socket.Stream || m.Len() == 0):
		return 0, errno.EOPNOTSUPP
	case m.Addr != nil && s.Kind == socket.Stream:
		if peer != nil {
			return 0, errno.EISCONN
		}
		return 0, errno.EOPNOTSUPP
	case m.Addr != nil && s.Kind == socket.Dgram:
		if _, _, err := address(m.Addr); err != 0 {
			return 0, err
		}
	case peer == nil:
		return 0, errno.ENOTCONN
	}
	if s.Kind == socket.Stream {
		s.introduce(peer, m)
		return s.sendStream(c, peer, m)
	}
	return s.sendPacket(c, peer, m)
}

// introduce leaves out who sends m if nobody asked for that, unless who will accept the
// peer may ask.
func (s *Socket) introduce(peer *Socket, m *socket.Envelope) {
	if m.Given || s.Is(socket.SoPasscred) || peer.Is(socket.SoPasscred) {
		return
	}
	peer.mu.Lock()
	if !peer.embryo {
		m.From = socket.Cred{UID: noUser, GID: noUser}
	}
	peer.mu.Unlock()
}

// hasRoom says whether there is room in s's buffer.
func (s *Socket) hasRoom() bool { return s.sent.Load() < int64(s.Buffers[0].Load()) }

// mute says whether s has been shut down for writing.
func (s *Socket) mute() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shut&socket.ShutWrite != 0
}

// deaf says whether nothing comes to s any more; s.mu is held.
func (s *Socket) deaf() bool { return s.dead || s.shut&socket.ShutRead != 0 }

// cannotSend says why s cannot send, 0 if it can or only waits for room.
func (s *Socket) cannotSend() errno.Errno {
	err := s.TakeError()
	if err == 0 && s.mute() {
		err = errno.EPIPE
	}
	return err
}

func (s *Socket) sendStream(c socket.Caller, peer *Socket, m *socket.Envelope) (done int, err errno.Errno) {
	broken, files := s.mute(), m.Files
	s.names.rights.depart(files)
	for !broken && err == 0 && m.Len() > 0 && !m.Fault() {
		moved, failed := 0, errno.Errno(0)
		err = s.Await(c, &s.queue, m.Flags, socket.SoSndtimeo, func() bool {
			if failed = s.cannotSend(); failed != 0 {
				return true
			}
			peer.mu.Lock()
			defer peer.mu.Unlock()
			if peer.deaf() {
				if broken = !urgent(m); !broken { // no signal for an urgent byte
					failed = errno.EPIPE
				}
				return true
			}
			if !s.hasRoom() {
				return false
			}
			moved = peer.append(m, s)
			return true
		})
		done += moved
		if moved > 0 {
			if m.Flags&socket.MsgOOB != 0 && m.Len() == 0 {
				peer.queue.WakeFor(wait.Pri)
			}
			peer.queue.Wake()
		}
		if err == 0 {
			err = failed
		}
	}
	if m.Files != nil { // nothing took them
		s.names.rights.arrive(files)
	}
	if broken {
		if err = errno.EPIPE; done == 0 && m.Flags&socket.MsgNosignal == 0 {
			c.BrokenPipe()
		}
	}
	if done > 0 {
		err = 0
	}
	return done, err
}

// append adds bytes of a stream to what has come to s from sender.
func (s *Socket) append(m *socket.Envelope, sender *Socket) int {
	p, all, oob := s.last, m.Len(), urgent(m)
	if m.Flags&socket.MsgOOB != 0 && !oob {
		all-- // the last byte is by itself
	}
	if p == nil || oob || len(p.files) > 0 || len(m.Files) > 0 || p.from != m.From || cap(p.data)-len(p.data) < all {
		p = &parcel{from: m.From, files: m.Files, sender: sender}
		if n := min(all, streamWrite); n >= streamPiece || oob {
			p.data = make([]byte, 0, n)
		} else {
			p.data = make([]byte, 0, min(streamPiece, 16*n))
		}
	}
	old := len(p.data)
	n := m.Get(p.data[old:min(cap(p.data), old+all)])
	if n == 0 || m.Fault() { // a part that ends early is none
		return 0
	}
	if oob {
		s.urgent = p
	}
	p.data = p.data[:old+n]
	sender.sent.Add(int64(n))
	if p != s.last {
		m.Files = nil
		s.push(p)
	}
	return n
}

// push adds a packet to what has come.
func (s *Socket) push(p *parcel) {
	if s.first == nil {
		s.first = p
	} else {
		s.last.next = p
	}
	s.last = p
	s.count++
	p.sender.sent.Add(parcelOverhead)
}

// pop takes the first packet out.
func (s *Socket) pop() {
	p := s.first
	if s.first = p.next; s.first == nil {
		s.last = nil
	}
	s.count--
	p.sender.sent.Add(-parcelOverhead - int64(len(p.data)))
}

// drop forgets the packets from p on, which nobody will read.
func (names *Names) drop(p *parcel) {
	var files []socket.File
	for ; p != nil; p = p.next {
		p.sender.sent.Add(-parcelOverhead - int64(len(p.data)))
		p.sender.queue.Wake()
		files = append(files, p.files...)
	}
	names.rights.release(files)
}

func (s *Socket) sendPacket(c socket.Caller, peer *Socket, m *socket.Envelope) (int, errno.Errno) {
	if s.Is(socket.SoPasscred) {
		if err := s.autobind(); err != 0 {
			return 0, err
		}
	}
	const spare = 32
	n := m.Len()
	if n > int(s.Buffers[0].Load())-spare {
		return 0, errno.EMSGSIZE
	}
	failed := errno.Errno(0)
	err := s.Await(c, &s.queue, m.Flags, socket.SoSndtimeo, func() bool {
		failed = s.cannotSend()
		return failed != 0 || s.hasRoom()
	})
	if err == 0 {
		err = failed
	}
	if err != 0 {
		return 0, err
	}
	p := &parcel{data: make([]byte, n), files: m.Files, sender: s}
	if m.Get(p.data) < n {
		return 0, errno.EFAULT
	}
	if s.Kind == socket.Dgram {
		if m.Addr != nil {
			if peer, err = s.names.peer(c, m.Addr, s.Kind); err != 0 {
				return 0, err
			}
		}
		if !s.maySend(peer) {
			return 0, errno.EPERM
		}
	}
	if f := peer.Filter.Program(); f != nil {
		kept := f.Run(&bpf.Packet{Data: p.data, CPU: uint32(metal.ThisCPU())})
		if kept == 0 { // nobody is told
			return n, 0
		}
		p.data = p.data[:min(len(p.data), int(kept))]
	}
	s.introduce(peer, m)
	p.from = m.From
	s.names.rights.depart(m.Files)
	gone, broken := false, false
	bounded := s.Kind == socket.Dgram && peer != s && peer.other() != s
	err = s.Await(c, &peer.room, m.Flags, socket.SoSndtimeo, func() bool {
		broken = s.mute()
		peer.mu.Lock()
		defer peer.mu.Unlock()
		gone = peer.dead && s.Kind == socket.Dgram
		if broken = broken || peer.deaf(); gone || broken {
			return true
		}
		if bounded && peer.count > datagramsMost {
			return false
		}
		peer.push(p)
		s.sent.Add(int64(len(p.data)))
		return true
	})
	if err != 0 || gone || broken {
		s.names.rights.arrive(m.Files)
	}
	switch {
	case err != 0:
		return 0, err
	case gone:
		if s.other() == peer {
			s.connectPackets(c, []byte{0, 0}) // to nobody
		}
		return 0, errno.ECONNREFUSED
	case broken:
		return 0, errno.EPIPE
	}
	m.Files = nil
	peer.queue.Wake()
	return n, 0
}

// Receive implements socket.Socket.
func (s *Socket) Receive(c socket.Caller, m *socket.Envelope) (int, errno.Errno) {
	switch {
	case s.Kind != socket.Dgram && s.other() == nil:
		if s.Kind == socket.Stream {
			return 0, errno.EINVAL
		}
		return 0, errno.ENOTCONN
	case m.Flags&socket.MsgOOB != 0 && s.Kind == socket.Stream:
		return s.receiveUrgent(m)
	case m.Flags&socket.MsgOOB != 0:
		return 0, errno.EOPNOTSUPP
	case s.Kind == socket.Stream:
		return s.receiveStream(c, m)
	}
	return s.receivePacket(c, m)
}

// taken tells who sent it that there is room, unless m only looked.
func (s *Socket) taken(m *socket.Envelope, sender *Socket) {
	if m.Flags&socket.MsgPeek != 0 {
		return
	}
	s.names.rights.arrive(m.Files)
	sender.queue.Wake()
	if s.Kind == socket.Dgram {
		s.tellSenders()
	}
}

// tellSenders wakes those who wait for room in s's queue.
func (s *Socket) tellSenders() {
	s.mu.Lock()
	senders := slices.Clone(s.senders)
	s.mu.Unlock()
	s.room.Wake()
	for _, o := range senders {
		o.queue.Wake()
	}
}

func (s *Socket) receiveStream(c socket.Caller, m *socket.Envelope) (done int, err errno.Errno) {
	m.Flags &^= socket.MsgTrunc // means nothing here
	for {
		ended := false
		var sender *Socket
		err = s.Await(c, &s.queue, m.Flags, socket.SoRcvtimeo, func() bool {
			s.mu.Lock()
			first := s.first
			p := s.fromMark(first, m, done > 0)
			switch {
			case p != nil && (done == 0 || s.glues(p, m)):
				sender = p.sender
				done = s.takeStream(m, p, done)
			case first == nil || done == 0: // nothing has come
				ended = s.shut&socket.ShutRead != 0 || s.Err.Load() != 0
			}
			s.unlockDrop()
			return p != nil || ended || first != nil && done > 0
		})
		if sender != nil {
			m.Addr = sender.ownName()
			s.taken(m, sender)
		}
		if ended {
			if lost := s.TakeError(); done == 0 {
				return 0, lost
			}
		}
		if sender == nil || m.Fault() || m.Len() == 0 || m.Files != nil || m.Flags&(socket.MsgWaitall|socket.MsgPeek) != socket.MsgWaitall {
			break
		}
	}
	if done > 0 {
		err = 0
	}
	return done, err
}

// glues says whether p's bytes can be read with those that m has got: not if who asks for their sender
// would take them for another's.
func (s *Socket) glues(p *parcel, m *socket.Envelope) bool {
	return p.from == m.From || !s.Is(socket.SoPasscred)
}

// takeStream moves bytes that have come to m, from p on: those of one sender, and up to the mark
// or the end of what came with files. It returns how many m has got, which were done before.
func (s *Socket) takeStream(m *socket.Envelope, p *parcel, done int) int {
	if done == 0 {
		m.From = p.from
	}
	peek := m.Flags&socket.MsgPeek != 0
	// Files come even to who has no room for a byte, and who only looks sees the next ones.
	for p != nil && s.glues(p, m) {
		n := m.Put(p.data)
		if m.Fault() { // a part that does not get there whole stays
			break
		}
		done += n
		files := p.files
		if peek {
			for _, f := range files {
				f.Retain()
			}
			m.Files = files
			p = p.next
		} else {
			m.Files, p.files = files, nil
			p.sender.sent.Add(int64(-n))
			if p.data = p.data[n:]; len(p.data) == 0 {
				s.pop()
			}
			p = s.first
		}
		if files != nil || !peek && m.Len() == 0 {
			break
		}
		p = s.fromMark(p, m, done > 0)
	}
	return done
}

func (s *Socket) receivePacket(c socket.Caller, m *socket.Envelope) (n int, err errno.Errno) {
	var p *parcel
	ends := s.Kind == socket.Seqpacket || m.Flags&socket.MsgDontwait == 0 // at a shutdown
	err = s.Await(c, &s.queue, m.Flags, socket.SoRcvtimeo, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		if p = s.first; s.Err.Load() != 0 {
			p = nil
			return true
		}
		switch {
		case p == nil:
			return ends && s.shut&socket.ShutRead != 0
		case m.Flags&socket.MsgPeek == 0:
			s.pop()
		default:
			for _, f := range p.files {
				f.Retain()
			}
		}
		return true
	})
	if err != 0 {
		return 0, err
	}
	if p == nil {
		m.None = true
		m.Flags &^= socket.MsgTrunc
		return 0, s.TakeError()
	}
	m.From, m.Files, m.Addr = p.from, p.files, p.sender.ownName()
	s.taken(m, p.sender)
	whole := len(p.data)
	wanted := min(whole, m.Len())
	if n = m.Put(p.data[:wanted]); n < wanted {
		return 0, errno.EFAULT
	}
	if n < whole {
		if m.Flags&socket.MsgTrunc != 0 {
			n = whole
		}
		m.Flags |= socket.MsgTrunc
	} else {
		m.Flags &^= socket.MsgTrunc
	}
	return n, 0
}

// Shutdown implements socket.Socket.
func (s *Socket) Shutdown(how uintptr) errno.Errno {
	s.mu.Lock()
	s.shut |= how
	peer := s.peer
	s.mu.Unlock()
	if peer != nil {
		if s.Kind != socket.Dgram {
			peer.mu.Lock()
			peer.shut |= how>>1&socket.ShutRead | how<<1&socket.ShutWrite // what one does not write the other cannot read
			peer.mu.Unlock()
		}
		peer.queue.Wake()
	}
	s.queue.Wake()
	return 0
}

// Close implements socket.Socket.
func (s *Socket) Close() {
	s.mu.Lock()
	s.dead = true
	unread, peer, pending := s.first, s.peer, s.pending
	s.first, s.last, s.urgent, s.pending = nil, nil, nil, nil
	s.count, s.peer = 0, nil
	key := s.key
	s.mu.Unlock()
	if key != (name{}) {
		s.names.lose(s, key)
	}
	for _, n := range pending {
		client := n.other()
		n.Close()
		client.Err.Store(uint32(errno.ECONNRESET))
		client.queue.Wake()
	}
	if s.Kind == socket.Dgram {
		s.tellSenders()
		if peer != nil {
			peer.forget(s)
		}
	} else {
		s.room.Wake()
	}
	if peer != nil {
		if s.Kind != socket.Dgram {
			peer.mu.Lock()
			peer.shut = socket.ShutRead | socket.ShutWrite
			peer.mu.Unlock()
			lost := unread
			if lost != nil && len(lost.data) == 0 { // Linux looks at what comes after what is empty
				lost = lost.next
			}
			if lost != nil {
				peer.Err.Store(uint32(errno.ECONNRESET))
			}
		}
		peer.queue.Wake()
	}
	s.names.drop(unread)
}

// Poll implements socket.Socket.
func (s *Socket) Poll() (ready uint32, q *wait.Queue) {
	s.mu.Lock()
	shut, come, urgent, peer, listens := s.shut, s.first != nil || len(s.pending) > 0, s.urgent != nil, s.peer, s.listens
	s.mu.Unlock()
	if s.Err.Load() != 0 {
		ready |= wait.Err
	}
	if shut&socket.ShutRead != 0 {
		ready |= wait.RdHup | wait.In | wait.RdNorm
	}
	if shut == socket.ShutRead|socket.ShutWrite || s.Kind != socket.Dgram && peer == nil && !listens {
		ready |= wait.Hup
	}
	if come {
		ready |= wait.In | wait.RdNorm
	}
	if urgent {
		ready |= wait.Pri
	}
	const share = 4 // of the buffer may be in use
	writable := !listens && s.sent.Load()*share <= int64(s.Buffers[0].Load())
	if peer != nil && s.Kind == socket.Dgram {
		peer.mu.Lock()
		writable = writable && (peer.peer == s || peer.count <= datagramsMost)
		peer.mu.Unlock()
	}
	if writable {
		ready |= wait.Out | wait.WrNorm | wait.WrBand
	}
	return ready, &s.queue
}

// Ioctl tells how many bytes there are to be read, or have been sent and not been read, and
// whether the mark is next.
func (s *Socket) Ioctl(c socket.Caller, req, arg uintptr) (uintptr, errno.Errno) {
	n := int32(0)
	switch req {
	case socket.Inq:
		if s.Listening() {
			return 0, errno.EINVAL
		}
		s.mu.Lock()
		for p := s.first; p != nil; p = p.next {
			n += int32(len(p.data))
			if s.Kind == socket.Dgram {
				break
			}
		}
		s.mu.Unlock()
	case socket.Outq:
		n = int32(s.sent.Load())
	case socket.AtMark:
		if s.Kind != socket.Stream {
			return 0, errno.EOPNOTSUPP
		}
		n = s.atMark()
	default:
		return 0, errno.ENOTTY
	}
	return 0, c.CopyOut(arg, []byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)})
}
