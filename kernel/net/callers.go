package net

import (
	"bytes"
	"encoding/binary"
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

// keeps says whether a frame that e has received is kept for now.
func (s *callers) keeps(e *device, f *nic.Frame) bool {
	if s.over.Load() || !isSYN(f) {
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
		e.in.add(&kept[i].frame)
		e.in.flush()
		e.receiving.Unlock()
	}
}

// isSYN says whether a frame asks for a TCP connection: over IPv4, or over IPv6 without
// extension headers.
func isSYN(f *nic.Frame) bool {
	const ip = header.EthernetMinimumSize
	b := f.Parts[0]
	if len(f.Parts) > 1 || len(b) < ip+header.IPv4MinimumSize {
		return false
	}
	protocol, tcp := b[ip+9], ip+int(b[ip]&0xf)*4
	switch binary.BigEndian.Uint16(b[ip-2:]) {
	case uint16(header.IPv4ProtocolNumber):
	case uint16(header.IPv6ProtocolNumber):
		protocol, tcp = b[ip+6], ip+header.IPv6MinimumSize
	default:
		return false
	}
	const flags = 13 // RFC 9293 section 3.1
	return protocol == uint8(header.TCPProtocolNumber) && len(b) > tcp+flags &&
		header.TCPFlags(b[tcp+flags])&(header.TCPFlagSyn|header.TCPFlagAck) == header.TCPFlagSyn
}
