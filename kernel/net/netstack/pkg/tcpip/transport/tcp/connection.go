//go:build netstack

package tcp

import (
	"encoding/binary"
	"time"

	"github.com/google/btree"
	"gvisor.dev/gvisor/pkg/sync"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	tcptime "gvisor.dev/gvisor/pkg/tcpip/internal/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/waiter"

	"gosv/kernel/net/siphash"
)

// A connection is a hundred objects of netstack's, and each of them is allocated, looked at
// by the collector, and swept. Here are those that there are in any connection, with the
// endpoint, and ways to what it needs of the protocol without an object for each question.

// parts are what an endpoint that is connected consists of, besides.
type parts struct {
	sender   sender
	receiver receiver
	cubic    cubicState
	recovery sackRecovery
	sacked   SACKScoreboard
	queue    waiter.Queue
}

// takeDefaults sets what a new endpoint has of the protocol's options.
func (e *Endpoint) takeDefaults() {
	if e.waiterQueue == nil {
		e.waiterQueue = &e.parts.queue
	}
	p := e.protocol
	p.mu.RLock()
	e.ops.SetSendBufferSize(int64(p.sendBufferSize.Default), false)
	e.ops.SetReceiveBufferSize(int64(p.recvBufferSize.Default), false)
	e.cc = tcpip.CongestionControlOption(p.congestionControl)
	e.RcvAutoParams.Disabled = !p.moderateReceiveBuffer
	if p.delayEnabled {
		e.ops.SetDelayOption(true)
	}
	e.tcpLingerTimeout = p.lingerTimeout
	e.maxSynRetries = p.synRetries
	p.mu.RUnlock()
}

// takeDefaults does that for a sender.
func (s *sender) takeDefaults() {
	p := s.ep.protocol
	p.mu.RLock()
	s.minRTO, s.maxRTO, s.maxRetries = p.minRTO, p.maxRTO, p.maxRetries
	p.mu.RUnlock()
}

// maxReceiveBufferSize is how large an endpoint's receive buffer may become.
func (e *Endpoint) maxReceiveBufferSize() int {
	e.protocol.mu.RLock()
	defer e.protocol.mu.RUnlock()
	return e.protocol.recvBufferSize.Max
}

// maybeEnableSACKPermitted takes note of the peer's SACK option.
func (e *Endpoint) maybeEnableSACKPermitted(o header.TCPSynOptions) {
	p := e.protocol
	p.mu.RLock()
	if p.sackEnabled && o.SACKPermitted {
		e.SACKPermitted, e.tcpRecovery = true, p.recovery
	}
	p.mu.RUnlock()
}

func (e *Endpoint) getTimeWaitDuration() time.Duration {
	e.protocol.mu.RLock()
	defer e.protocol.mu.RUnlock()
	return e.protocol.timeWaitTimeout
}

func (p *protocol) sacks() bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.sackEnabled
}

func (p *protocol) cookies() bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.alwaysUseSynCookies
}

// Lists of one network protocol, which nobody changes.
var only4, only6 = []tcpip.NetworkProtocolNumber{header.IPv4ProtocolNumber}, []tcpip.NetworkProtocolNumber{header.IPv6ProtocolNumber}

func only(p tcpip.NetworkProtocolNumber) []tcpip.NetworkProtocolNumber {
	switch p {
	case header.IPv4ProtocolNumber:
		return only4
	case header.IPv6ProtocolNumber:
		return only6
	}
	return []tcpip.NetworkProtocolNumber{p}
}

// noBlocks is the tree of SACK blocks of all connections that have none.
var noBlocks = btree.NewG(defaultBtreeDegree, sackBlockLess)

// initScoreboard makes e's scoreboard, of SACK blocks that come.
func (e *Endpoint) initScoreboard(mss uint16, iss seqnum.Value) {
	e.parts.sacked = SACKScoreboard{smss: mss, maxSACKED: iss, ranges: noBlocks}
	e.scoreboard = &e.parts.sacked
}

// Netstack's own list of what is to be sent has a map besides, to find mistakes. The list
// tells as well what is in it.

func (l *protectedWriteList) has(s *segment) bool {
	return s.Prev() != nil || l.writeList.Front() == s
}

func (l *protectedWriteList) Remove(s *segment) {
	if !l.has(s) {
		panic("segment not found write list")
	}
	l.writeList.Remove(s)
}

func (l *protectedWriteList) PushBack(s *segment) {
	if l.has(s) {
		panic("segment already in write list")
	}
	l.writeList.PushBack(s)
}

func (l *protectedWriteList) InsertAfter(before, s *segment) {
	if l.has(s) {
		panic("segment already in write list")
	}
	l.writeList.InsertAfter(before, s)
}

// handshakeExpired is called when a SYN is to be sent again.
func (e *Endpoint) handshakeExpired() {
	timerHandler(e, func() tcpip.Error {
		if e.h == nil { // established meanwhile
			return nil
		}
		return e.h.retransmitHandlerLocked()
	})()
}

// secret is a number that nobody shall guess who does not know the seed.
func secret(seed [16]byte, a, b tcpip.Address, ports ...uint16) uint32 {
	var room [16 + 16 + 16 + 4]byte
	m := append(room[:0], seed[:]...)
	m = append(m, a.AsSlice()...)
	m = append(m, b.AsSlice()...)
	for _, p := range ports {
		m = binary.LittleEndian.AppendUint16(m, p)
	}
	return uint32(siphash.Hash(m))
}

// generateSecureISN is the first sequence number of a connection (RFC 6528), with a clock of
// 64 ns, as on Linux (net/core/secure_seq.c).
func generateSecureISN(id stack.TransportEndpointID, clock tcpip.Clock, seed [16]byte) seqnum.Value {
	now := clock.NowMonotonic().Sub(tcpip.MonotonicTime{})
	return seqnum.Value(secret(seed, id.LocalAddress, id.RemoteAddress, id.LocalPort, id.RemotePort) + uint32(now>>6))
}

// tsOffset is what is added to timestamps (RFC 7323 section 5.4).
func (p *protocol) tsOffset(src, dst tcpip.Address) tcptime.TSOffset {
	return tcptime.NewTSOffset(secret(p.tsOffsetSecret, src, dst))
}

// lastRoute is the route to the peer of the last connection that came. Many come of the same
// peer, and to find it costs more than to answer. It is looked for again after a second,
// since there may be another one.
type lastRoute struct {
	mu        sync.Mutex
	route     *stack.Route
	nic       tcpip.NICID
	found     tcpip.MonotonicTime
	confirmed tcpip.MonotonicTime
}

func (l *lastRoute) find(s *stack.Stack, nic tcpip.NICID, local, remote tcpip.Address, network tcpip.NetworkProtocolNumber) (*stack.Route, tcpip.Error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := s.Clock().NowMonotonic()
	if r := l.route; r != nil && l.nic == nic && r.RemoteAddress() == remote && r.LocalAddress() == local && r.NetProto() == network &&
		now.Sub(l.found) < time.Second && r.TryAcquire() {
		return r, nil
	}
	r, err := s.FindRoute(nic, local, remote, network, false)
	if err != nil {
		return nil, err
	}
	if l.route != nil {
		l.route.Release()
		l.route = nil
	}
	if r.TryAcquire() {
		l.route, l.nic, l.found, l.confirmed = r, nic, now, tcpip.MonotonicTime{}
	}
	return r, nil
}

// confirm notes that who the route leads to answers, once a second.
func (l *lastRoute) confirm(r *stack.Route, now tcpip.MonotonicTime) {
	l.mu.Lock()
	known := l.route == r && now.Sub(l.confirmed) < time.Second
	if l.route == r && !known {
		l.confirmed = now
	}
	l.mu.Unlock()
	if !known {
		r.ConfirmReachable()
	}
}
