package net

import (
	"bytes"
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"gosv/kernel/gotimer"
	"gosv/kernel/nic"
)

// callers keeps those who connect before the program listens: the network may be up a moment before that.
// Linux, which is up seconds before, refuses; here a client that cannot wait for its server's start
// would be refused, and ask again and again while the server, on the same CPU, tries to start.
type callers struct {
	over atomic.Bool // nobody is kept any more: the program has listened, or takes too long
	mu   sync.Mutex  // guards
	kept []keptSYN   // the last ones, oldest first
}

type keptSYN struct {
	dev   *device
	frame nic.Frame
}

const (
	mostKept = 4   // others ask again, after a second
	keptTime = 1e9 // ns, from the first one on
)

// keeps says whether a frame that e has received, with these headers, is kept for now.
func (s *callers) keeps(e *device, f *nic.Frame, h *headers) bool {
	if s.over.Load() || len(f.Parts) > 1 || !h.isSYN() {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.over.Load():
		return false
	case s.kept == nil:
		gotimer.Start(keptTime, s.end)
	case len(s.kept) == mostKept:
		s.kept = append(s.kept[:0], s.kept[1:]...)
	}
	k := keptSYN{e, *f}
	k.frame.Parts = [][]byte{bytes.Clone(f.Parts[0])}
	s.kept = append(s.kept, k)
	return true
}

// end delivers what was kept, first who has waited least, and is the likeliest still to wait.
func (s *callers) end() {
	if s.over.Load() {
		return
	}
	s.mu.Lock()
	s.over.Store(true)
	kept := s.kept
	s.kept = nil
	s.mu.Unlock()
	for i := len(kept) - 1; i >= 0; i-- {
		e := kept[i].dev
		e.receiving.Lock()
		var h headers
		h.read(&kept[i].frame)
		e.in.pass(&kept[i].frame, &h, true)
		e.receiving.Unlock()
	}
}

// isSYN says whether a frame asks for a TCP connection.
func (h *headers) isSYN() bool {
	return h.is(header.TCPProtocolNumber) && h.tcp().Flags()&(header.TCPFlagSyn|header.TCPFlagAck) == header.TCPFlagSyn
}
