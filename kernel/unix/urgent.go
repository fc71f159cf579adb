package unix

import (
	"gosv/kernel/errno"
	"gosv/kernel/socket"
)

// Urgent data of streams (send(2), MSG_OOB). There is one urgent byte, the last one that was sent:
// those before it have become bytes like others. It is a parcel of its own, and so is the mark: when
// the byte has been read, the parcel stays and is empty.

// urgent says whether what is left of m to be sent is an urgent byte.
func urgent(m *socket.Envelope) bool { return m.Flags&socket.MsgOOB != 0 && m.Len() == 1 }

// fromMark returns from where to read on at p: after an urgent byte, which is passed for good unless m
// only looks or has such bytes in line (SO_OOBINLINE). It returns nil if there is nothing, or if it is
// the mark and some bytes have been read, which is where a read ends. s.mu is held.
func (s *Socket) fromMark(p *parcel, m *socket.Envelope, some bool) *parcel {
	looks := m.Flags&socket.MsgPeek != 0
	if p != nil && len(p.data) == 0 { // the byte was read
		if some && s.urgent == nil {
			return nil
		}
		p = s.pass(p, looks)
	}
	switch {
	case p == nil || p != s.urgent:
		return p
	case some:
		return nil
	case !looks:
		s.urgent = nil
	}
	if !s.Is(socket.SoOOBinline) {
		p = s.pass(p, looks)
	}
	return p
}

// pass returns the packet after p, which is the first one and goes unless m only looks.
func (s *Socket) pass(p *parcel, looks bool) *parcel {
	next := p.next
	if !looks {
		s.unlink(&s.first)
	}
	return next
}

// unlink takes the packet at at out, to be dropped by unlockDrop.
func (s *Socket) unlink(at **parcel) {
	p := *at
	if *at = p.next; *at == nil {
		s.last = nil
	}
	s.count--
	p.next, s.passed = s.passed, p
}

// unlockDrop unlocks s.mu, and drops what was passed.
func (s *Socket) unlockDrop() {
	passed := s.passed
	s.passed = nil
	s.mu.Unlock()
	if passed != nil {
		s.names.drop(passed)
	}
}

// receiveUrgent is recv(2) with MSG_OOB: it never waits, and leaves the files that came with the byte,
// and who sent it, where they are.
func (s *Socket) receiveUrgent(m *socket.Envelope) (int, errno.Errno) {
	m.Flags &^= socket.MsgTrunc
	m.None = true
	s.mu.Lock()
	p := s.urgent
	if p == nil || s.Is(socket.SoOOBinline) {
		s.mu.Unlock()
		return 0, errno.EINVAL
	}
	m.Put(p.data)
	if m.Flags&socket.MsgPeek == 0 { // even if it could not be put anywhere
		s.urgent = nil
		p.data = p.data[1:]
		p.sender.sent.Add(-1)
		for at := &s.first; *at != p; at = &(*at).next {
			if before := *at; before.next == p && len(before.data) == 0 { // two marks are one
				s.unlink(at)
				break
			}
		}
	}
	s.unlockDrop()
	if m.Fault() {
		return 0, errno.EFAULT
	}
	return 1, 0 // even if there was no room for it
}

// atMark says whether the mark is next, SIOCATMARK.
func (s *Socket) atMark() int32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.first
	if p != nil && (p == s.urgent || len(p.data) == 0 && (s.urgent == nil || p.next == s.urgent)) {
		return 1
	}
	return 0
}
