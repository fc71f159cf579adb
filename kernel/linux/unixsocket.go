package linux

import (
	"slices"
	"sync"

	"gosv/kernel/wait"
)

// unixSocket is a unix(7) socket.
type unixSocket struct {
	socketCommon
	queue wait.Queue // woken when something comes, goes or ends here or at the peer

	room wait.Queue // woken when there is room in the queue of those that came, or of connections

	binding sync.Mutex // held while it gets its name, and above mu

	mu   sync.Mutex // guards what follows; a peer's is not taken below it
	peer *unixSocket
	shut uintptr // shutRead, shutWrite
	dead bool    // closed

	// What has come: in a stream, bytes without borders but for those that
	// came with files.
	first, last *parcel
	size        int // what it takes of the sender's buffer
	count       int // of packets

	kernel  *Kernel // of its name:
	key     unixName
	addr    []byte        // struct sockaddr_un, nil if it has none; of a connection that was accepted the listener's
	senders []*unixSocket // datagram sockets that are connected to it

	listens bool
	backlog int
	pending []*unixSocket // connections to accept
}

// parcel is a message, or a part of a stream.
type parcel struct {
	data   []byte // what has not been read of it
	files  []*File
	from   ucred
	sender *unixSocket
	next   *parcel
}

const (
	shutRead  = 1
	shutWrite = 2

	// What a message takes of the sender's buffer besides its data: of how many an
	// skb is made on Linux.
	parcelOverhead = 767
	streamPiece    = 4 << 10 // small writes to a stream share a packet of this size
	streamWrite    = 32 << 10

	datagramsMost = 10 // /proc/sys/net/unix/max_dgram_qlen
)

// unixKind returns what kind of socket a program gets that asks for kind.
func unixKind(kind, protocol int32) (int32, Errno) {
	switch {
	case protocol != 0 && protocol != afUnix:
		return 0, EPROTONOSUPPORT
	case kind == sockRaw: // as on BSD
		return sockDgram, 0
	case kind != sockStream && kind != sockDgram && kind != sockSeqpacket:
		return 0, ESOCKTNOSUPPORT
	}
	return kind, 0
}

func newUnixSocket(kind int32) *unixSocket {
	s := new(unixSocket)
	s.init(afUnix, kind, 0)
	s.defaultBuffers()
	return s
}

func (s *unixSocket) address(peer bool) ([]byte, Errno) {
	if peer {
		if s = s.other(); s == nil {
			return nil, ENOTCONN
		}
	}
	if addr := s.ownName(); addr != nil {
		return addr, 0
	}
	return []byte{afUnix, 0}, 0
}

// other returns the peer, nil if there is none.
func (s *unixSocket) other() *unixSocket {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peer
}

func (s *unixSocket) read(t *Thread, f *File, u *userIO) (int, Errno) {
	if u.left == 0 {
		return 0, 0
	}
	m := message{userIO: u}
	n, err := s.receive(t, f, &m)
	releaseAll(m.files)
	return n, err
}

func (s *unixSocket) write(t *Thread, f *File, u *userIO) (int, Errno) {
	return s.send(t, f, &message{userIO: u, from: t.ucred()})
}

// ready is what sockets of SOCK_SEQPACKET look at first when they send.
func (s *unixSocket) ready() Errno {
	if s.kind != sockSeqpacket {
		return 0
	}
	err := s.takeError()
	if err == 0 && s.other() == nil {
		err = ENOTCONN
	}
	return err
}

func (s *unixSocket) send(t *Thread, f *File, m *message) (int, Errno) {
	if err := s.ready(); err != 0 {
		return 0, err
	}
	peer := s.other()
	switch {
	case m.Flags&msgOOB != 0:
		return 0, EOPNOTSUPP
	case m.Addr != nil && s.kind == sockStream:
		if peer != nil {
			return 0, EISCONN
		}
		return 0, EOPNOTSUPP
	case m.Addr != nil && s.kind == sockDgram:
		if _, _, err := unixAddr(m.Addr); err != 0 {
			return 0, err
		}
	case peer == nil:
		return 0, ENOTCONN
	}
	if s.kind == sockStream {
		s.introduce(peer, m)
		return s.sendStream(t, f, peer, m)
	}
	return s.sendPacket(t, f, peer, m)
}

// introduce leaves out who sends m if nobody asked for that, unless the peer may be one
// that is not accepted yet.
func (s *unixSocket) introduce(peer *unixSocket, m *message) {
	if !m.given && !s.is(soPasscred) && !peer.is(soPasscred) && peer.ownName() == nil {
		m.from = ucred{0, noUser, noUser}
	}
}

// hasRoom says whether s may put something into the queue of its peer, whose lock is held.
func (s *unixSocket) hasRoom(peer *unixSocket) bool { return peer.size < int(s.buffers[0].Load()) }

// broken says whether nothing can be sent any more.
func (s *unixSocket) broken(peer *unixSocket) bool {
	s.mu.Lock()
	shut := s.shut
	s.mu.Unlock()
	if shut&shutWrite != 0 {
		return true
	}
	peer.mu.Lock()
	defer peer.mu.Unlock()
	return peer.shut&shutRead != 0 || peer.dead
}

func (s *unixSocket) sendStream(t *Thread, f *File, peer *unixSocket, m *message) (done int, err Errno) {
	for {
		broken, moved, failed := false, 0, Errno(0)
		err = s.await(t, f, &s.queue, m.Flags, soSndtimeo, func() bool {
			if broken = s.broken(peer); broken || m.left == 0 {
				return true
			}
			if failed = s.takeError(); failed != 0 {
				return true
			}
			peer.mu.Lock()
			defer peer.mu.Unlock()
			if !s.hasRoom(peer) {
				return false
			}
			moved = peer.append(m, s)
			return true
		})
		done += moved
		if moved > 0 {
			peer.queue.Wake()
		}
		switch {
		case broken:
			err = EPIPE
		case failed != 0:
			err = failed
		}
		if err != 0 || m.left == 0 || m.fault {
			break
		}
	}
	if err == EPIPE && done == 0 && m.Flags&msgNosignal == 0 {
		t.brokenPipe()
	}
	if done > 0 {
		err = 0
	}
	return done, err
}

// append adds bytes of a stream to what has come to s from sender.
func (s *unixSocket) append(m *message, sender *unixSocket) int {
	p := s.last
	if p == nil || len(p.files) > 0 || len(m.files) > 0 || p.from != m.from || cap(p.data)-len(p.data) < m.left {
		p = &parcel{from: m.from, files: m.files, sender: sender}
		if n := min(m.left, streamWrite); n >= streamPiece {
			p.data = make([]byte, 0, n)
		} else {
			p.data = make([]byte, 0, min(streamPiece, 16*n))
		}
	}
	old := len(p.data)
	n := m.Get(p.data[old:min(cap(p.data), old+m.left)])
	if n == 0 || m.fault { // a part that ends early is none
		return 0
	}
	p.data = p.data[:old+n]
	s.size += n
	if p != s.last {
		m.files = nil
		s.push(p)
	}
	return n
}

// push adds a packet to what has come.
func (s *unixSocket) push(p *parcel) {
	if s.first == nil {
		s.first = p
	} else {
		s.last.next = p
	}
	s.last = p
	s.size += parcelOverhead
	s.count++
}

// pop takes the first packet out.
func (s *unixSocket) pop() {
	p := s.first
	if s.first = p.next; s.first == nil {
		s.last = nil
	}
	s.size -= parcelOverhead + len(p.data)
	s.count--
}

func (s *unixSocket) sendPacket(t *Thread, f *File, peer *unixSocket, m *message) (int, Errno) {
	if s.is(soPasscred) {
		if err := s.autobind(t); err != 0 {
			return 0, err
		}
	}
	const spare = 32
	n := m.left
	if n > int(s.buffers[0].Load())-spare {
		return 0, EMSGSIZE
	}
	if s.kind == sockDgram {
		if err := s.takeError(); err != 0 {
			return 0, err
		}
	}
	s.mu.Lock()
	shut := s.shut&shutWrite != 0
	s.mu.Unlock()
	if shut {
		return 0, EPIPE
	}
	p := &parcel{data: make([]byte, n), files: m.files, sender: s}
	if m.Get(p.data) < n {
		return 0, EFAULT
	}
	if s.kind == sockDgram {
		if m.Addr != nil {
			var err Errno
			if peer, err = t.unixPeer(m.Addr, s.kind); err != 0 {
				return 0, err
			}
		}
		if !s.maySend(peer) {
			return 0, EPERM
		}
	}
	s.introduce(peer, m)
	p.from = m.from
	gone, broken := false, false
	queue, pair := &s.queue, s.kind != sockDgram || peer.other() == s
	if !pair {
		queue = &peer.room
	}
	err := s.await(t, f, queue, m.Flags, soSndtimeo, func() bool {
		peer.mu.Lock()
		gone = peer.dead && s.kind == sockDgram
		peer.mu.Unlock()
		if broken = s.broken(peer); gone || broken {
			return true
		}
		peer.mu.Lock()
		defer peer.mu.Unlock()
		if pair && !s.hasRoom(peer) || !pair && peer.count > datagramsMost {
			return false
		}
		peer.push(p)
		peer.size += n
		return true
	})
	switch {
	case err != 0:
		return 0, err
	case gone:
		if s.other() == peer {
			s.connectPackets(t, []byte{0, 0}) // to nobody
		}
		return 0, ECONNREFUSED
	case broken:
		return 0, EPIPE
	}
	m.files = nil
	peer.queue.Wake()
	return n, 0
}

func (s *unixSocket) receive(t *Thread, f *File, m *message) (int, Errno) {
	switch {
	case m.Flags&msgOOB != 0 && s.kind == sockStream:
		return 0, EINVAL
	case m.Flags&msgOOB != 0:
		return 0, EOPNOTSUPP
	case s.kind != sockDgram && s.other() == nil:
		if s.kind == sockStream {
			return 0, EINVAL
		}
		return 0, ENOTCONN
	case s.kind == sockStream:
		return s.receiveStream(t, f, m)
	}
	return s.receivePacket(t, f, m)
}

// taken tells the peer that there is room.
func (s *unixSocket) taken(m *message) {
	if m.Flags&msgPeek != 0 {
		return
	}
	if peer := s.other(); peer != nil {
		peer.queue.Wake()
	}
	if s.kind == sockDgram {
		s.tellSenders()
	}
}

// tellSenders wakes those who wait for room in s's queue.
func (s *unixSocket) tellSenders() {
	s.mu.Lock()
	senders := slices.Clone(s.senders)
	s.mu.Unlock()
	s.room.Wake()
	for _, o := range senders {
		o.queue.Wake()
	}
}

func (s *unixSocket) receiveStream(t *Thread, f *File, m *message) (done int, err Errno) {
	m.Flags &^= msgTrunc // means nothing here
	for {
		ended := false
		var sender *unixSocket
		err = s.await(t, f, &s.queue, m.Flags, soRcvtimeo, func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.first == nil {
				ended = s.shut&shutRead != 0 || s.err.Load() != 0
				return ended
			}
			sender = s.first.sender
			done += s.takeStream(m)
			return true
		})
		if sender != nil {
			m.Addr = sender.ownName()
		}
		if ended && done == 0 {
			return 0, s.takeError()
		}
		s.taken(m)
		if err != 0 || ended || m.fault || m.left == 0 || m.files != nil || m.Flags&(msgWaitall|msgPeek) != msgWaitall {
			break
		}
	}
	if done > 0 {
		err = 0
	}
	return done, err
}

// takeStream moves bytes that have come to m: those of one sender, and up to the
// end of what came with files.
func (s *unixSocket) takeStream(m *message) (done int) {
	m.from = s.first.from
	p := s.first
	// Files come even to who has no room for a byte.
	for first := true; p != nil && (p.from == m.from || !s.is(soPasscred)) && (m.left > 0 || first); first = false {
		n := m.Put(p.data)
		if m.fault { // a part that does not get there whole stays
			break
		}
		done += n
		files := p.files
		if m.Flags&msgPeek != 0 {
			for _, f := range files {
				f.Retain()
			}
			m.files = files
			p = p.next
		} else {
			m.files, p.files = files, nil
			s.size -= n
			if p.data = p.data[n:]; len(p.data) == 0 {
				s.pop()
			}
			p = s.first
		}
		if files != nil {
			break
		}
	}
	return done
}

func (s *unixSocket) receivePacket(t *Thread, f *File, m *message) (n int, err Errno) {
	var p *parcel
	ends := s.kind == sockSeqpacket || m.Flags&msgDontwait == 0 && !f.nonblock() // at a shutdown
	err = s.await(t, f, &s.queue, m.Flags, soRcvtimeo, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		if p = s.first; s.err.Load() != 0 {
			p = nil
			return true
		}
		switch {
		case p == nil:
			return ends && s.shut&shutRead != 0
		case m.Flags&msgPeek == 0:
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
		m.none = true
		m.Flags &^= msgTrunc
		return 0, s.takeError()
	}
	s.taken(m)
	m.from, m.files, m.Addr = p.from, p.files, p.sender.ownName()
	whole := len(p.data)
	wanted := min(whole, m.left)
	if n = m.Put(p.data[:wanted]); n < wanted {
		return 0, EFAULT
	}
	if n < whole {
		if m.Flags&msgTrunc != 0 {
			n = whole
		}
		m.Flags |= msgTrunc
	} else {
		m.Flags &^= msgTrunc
	}
	return n, 0
}

func (s *unixSocket) shutdown(how uintptr) Errno {
	s.mu.Lock()
	s.shut |= how
	peer := s.peer
	s.mu.Unlock()
	if peer != nil {
		if s.kind != sockDgram {
			peer.mu.Lock()
			peer.shut |= how>>1&shutRead | how<<1&shutWrite // what one does not write the other cannot read
			peer.mu.Unlock()
		}
		peer.queue.Wake()
	}
	s.queue.Wake()
	return 0
}

func (s *unixSocket) close(*File) {
	s.mu.Lock()
	s.dead = true
	unread, peer, pending := s.first, s.peer, s.pending
	s.first, s.last, s.pending = nil, nil, nil
	kernel, key := s.kernel, s.key
	s.mu.Unlock()
	if kernel != nil {
		kernel.unix.drop(s, key)
	}
	for _, n := range pending {
		client := n.other()
		n.close(nil)
		client.err.Store(uint32(ECONNRESET))
		client.queue.Wake()
	}
	if s.kind == sockDgram {
		s.tellSenders()
		if peer != nil {
			peer.forget(s)
		}
	} else {
		s.room.Wake()
	}
	if peer != nil {
		if s.kind != sockDgram {
			peer.mu.Lock()
			peer.shut = shutRead | shutWrite
			peer.mu.Unlock()
			if unread != nil {
				peer.err.Store(uint32(ECONNRESET))
			}
		}
		peer.queue.Wake()
	}
	for ; unread != nil; unread = unread.next {
		releaseAll(unread.files)
	}
}

func (s *unixSocket) poll(*File) (ready uint32, q *wait.Queue) {
	s.mu.Lock()
	shut, come, peer, listens := s.shut, s.first != nil || len(s.pending) > 0, s.peer, s.listens
	s.mu.Unlock()
	if s.err.Load() != 0 {
		ready |= pollErr
	}
	if shut&shutRead != 0 {
		ready |= pollRdHup | pollIn | pollRdNorm
	}
	if shut == shutRead|shutWrite || s.kind != sockDgram && peer == nil && !listens {
		ready |= pollHup
	}
	if come {
		ready |= pollIn | pollRdNorm
	}
	const share = 4 // of the buffer may be in use
	writable := !listens
	if peer != nil {
		peer.mu.Lock()
		if s.kind == sockDgram && peer.peer != s {
			writable = peer.count <= datagramsMost
		} else {
			writable = peer.size*share <= int(s.buffers[0].Load())
		}
		peer.mu.Unlock()
	}
	if writable {
		ready |= pollOut | pollWrNorm | pollWrBand
	}
	return ready, &s.queue
}

// ioctl tells how many bytes there are to be read, or have been sent and not been read.
func (s *unixSocket) ioctl(t *Thread, f *File, req, arg uintptr) (uintptr, Errno) {
	n := int32(0)
	switch req {
	case fioNRead:
		s.mu.Lock()
		for p := s.first; p != nil; p = p.next {
			n += int32(len(p.data))
			if s.kind == sockDgram {
				break
			}
		}
		s.mu.Unlock()
	case fioOutQ:
		if peer := s.other(); peer != nil {
			peer.mu.Lock()
			n = int32(peer.size)
			peer.mu.Unlock()
		}
	default:
		return t.deviceIoctl(req, arg)
	}
	return 0, copyOut(t, arg, &n)
}
