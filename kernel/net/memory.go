package net

import (
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// What comes is kept until the program reads it, and what it sends until its peers have
// taken it. Each socket has a bound for both, but how many sockets there are is for the
// peers to say, too. So when the kernel has come to take much of the machine's memory, or
// little is left, each socket gets only as much as all of them need to go on: as on Linux
// beyond the bounds of tcp_mem (tcp(7)).

// supply is how much memory there is for packets.
type supply int

const (
	enough supply = iota
	scarce        // a socket gets its least
	little        // a socket gets a segment or datagram when it has none, and connections are made one by one
	none          // a few of the program's sockets get that, and nothing else that would be kept is taken
)

const (
	leastQueue   = 4 << 10 // received bytes that each connection may have waiting
	leastSegment = 2 << 10 // longer ones are let go: their sender cuts them when it sends them again
	scarceSend   = 8 << 10 // bytes that may be on the way to each peer

	kernelOwn = 3 << 19 // bytes that the kernel takes when nobody sends anything
)

func (n *Network) supply() supply {
	free, kernel, total := n.memory()
	s := scarce
	switch {
	case free == 0:
		s = none
	case free < total/32:
		s = little
	case free >= total/16 && kernel <= total/4+kernelOwn:
		return enough
	}
	n.collector.hurry()
	return s
}

// admits says whether a frame of that device's, with these headers, is taken when there is not
// enough memory for all.
func (n *Network) admits(h *headers, device tcpip.NICID, s supply) bool {
	isTCP, isUDP := h.is(header.TCPProtocolNumber), h.is(header.UDPProtocolNumber)
	size := h.end - h.data
	switch {
	case h.kind == malformed, h.kind == fragment, isTCP && size > leastSegment:
		return false
	case isTCP && h.isSYN():
		return true // it is answered with a cookie
	case isTCP && (size > 0 || s >= little):
		ep := n.find(h, device)
		if s == scarce {
			return queued(ep) < leastQueue
		}
		if l, ok := ep.(*tcp.Endpoint); ok && l.EndpointState() == tcp.StateListen { // who has got a cookie
			return s == little && l.Readiness(waiter.ReadableEvents) == 0
		}
		return size == 0 || n.keeps(ep, s)
	case isUDP:
		ep := n.find(h, device)
		return queued(ep) == 0 && (s == scarce || n.keeps(ep, s))
	}
	return true // what a segment without data acknowledges makes room
}

// keeps says whether a socket, or nobody, gets what comes for it when there is little memory, or none.
func (n *Network) keeps(ep tcpip.Endpoint, s supply) bool {
	switch {
	case ep == nil:
		return true // and answered
	case queued(ep) > 0:
		return false
	case s == little:
		return n.lasts.next(ep)
	}
	n.mu.Lock()
	_, accepted := n.inodes[ep]
	n.mu.Unlock()
	return accepted && n.lasts.take(ep)
}

// find returns whom a whole segment or datagram is for, or nil.
func (n *Network) find(h *headers, device tcpip.NICID) tcpip.Endpoint {
	network := header.IPv6ProtocolNumber
	if h.v4 {
		network = header.IPv4ProtocolNumber
	}
	ports := header.UDP(h.frame[h.transport:]) // which are in the same place as TCP's
	id := stack.TransportEndpointID{RemotePort: ports.SourcePort(), LocalPort: ports.DestinationPort()}
	id.RemoteAddress, id.LocalAddress = h.addresses()
	ep, _ := n.stack.FindTransportEndpoint(network, tcpip.TransportProtocolNumber(h.protocol), id, device).(tcpip.Endpoint)
	return ep
}

// queued is how much waits for the program to read it; nil is for nobody's packets.
func queued(ep tcpip.Endpoint) int {
	if ep == nil {
		return 0
	}
	size, _ := ep.GetSockOptInt(tcpip.ReceiveQueueSizeOption)
	return size
}

// lasts are the sockets that got something when there was little memory, or none. A program waits for its
// peers, and may well have taken the memory itself: if it heard nothing until there is some, it
// would wait for ever. So what it has read of must go on, but no more than there is reserved
// memory for: few sockets, each with what one packet has.
type lasts struct {
	needed atomic.Bool // there is not enough memory

	mu      sync.Mutex // guards
	burst   uint32     // packets of one do not see each other in their sockets' queues
	last    tcpip.Endpoint
	sockets [16]struct {
		ep    tcpip.Endpoint
		burst uint32
	}
}

// begin begins a burst of packets, with that much memory.
func (l *lasts) begin(n *Network, s supply) {
	needed := s != enough
	if !needed && !l.needed.Load() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.burst++
	l.last = nil
	if l.needed.Swap(needed) != needed {
		clear(l.sockets[:])
		cookies := tcpip.TCPAlwaysUseSynCookies(needed) // else each SYN takes 4 KB
		n.stack.SetTransportProtocolOption(tcp.ProtocolNumber, &cookies)
	}
}

// next says whether a packet for ep is not another of those for it that follow each other in the burst.
func (l *lasts) next(ep tcpip.Endpoint) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := l.last != ep
	l.last = ep
	return first
}

// take says whether ep, which has nothing to be read, is one of those that get a packet.
func (l *lasts) take(ep tcpip.Endpoint) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	free := -1
	for i := range l.sockets {
		switch s := &l.sockets[i]; {
		case s.ep == ep && s.burst == l.burst:
			return false
		case s.ep == ep:
			s.burst = l.burst
			return true
		case s.ep == nil || s.burst != l.burst && queued(s.ep) == 0:
			free = i
		}
	}
	if free < 0 {
		return false
	}
	l.sockets[free].ep, l.sockets[free].burst = ep, l.burst
	return true
}

// backlog is how many connections may wait to be accepted, and how many to be
// established (before SYN cookies are used, which take no memory), when a program asks
// for that many.
func (n *Network) backlog(asked int) int {
	_, _, total := n.memory()
	const least = 128
	return min(asked, max(int(total/perConnection), least))
}

// perConnection is how much of the machine's memory there is to be for each connection
// that the program does not have, yet or any more. It takes a tenth of that.
const perConnection = 64 << 10

// closes counts the connections that the program has closed.
type closes struct {
	count atomic.Uint32
	since atomic.Int64 // the monotonic time at the last sample's end, in ns
}

// timeWait is called for each connection that is closed. It lets them be in TIME-WAIT, and
// wait for their peer to close, too, as long as they shall (RFC 9293 section 3.6) if there is
// memory for as many as come to be in that time, and else for as long as there is. Linux
// forgets them at once then (tcp_max_tw_buckets, tcp(7)).
func (n *Network) timeWait() {
	const sample = 128
	if n.closes.count.Add(1)%sample != 0 {
		return
	}
	if n.collector.sooner.Load() && n.supply() == enough {
		go n.collector.relax()
	}
	_, _, total := n.memory()
	now := nanotime()
	passed := now - n.closes.since.Swap(now)
	wait := min(time.Duration(passed/sample*int64(total/perConnection)), tcp.DefaultTCPTimeWaitTimeout)
	timeWait, linger := tcpip.TCPTimeWaitTimeoutOption(wait), tcpip.TCPLingerTimeoutOption(wait)
	n.stack.SetTransportProtocolOption(tcp.ProtocolNumber, &timeWait)
	n.stack.SetTransportProtocolOption(tcp.ProtocolNumber, &linger)
}

// orphanPatience is how long what a program has sent before it closed a connection
// is offered to a peer that does not take it.
const orphanPatience = 2 * time.Minute

// orphan bounds what a connection that the program is about to close will take. It says
// whether the connection has been reset, for there is no memory for what its peer does
// not take.
func (e *endpoint) orphan(ep tcpip.Endpoint) (reset bool) {
	e.net.timeWait()
	if e.net.supply() != enough && unacknowledged(ep) > leastQueue {
		ep.Abort()
		return true
	}
	var timeout tcpip.TCPUserTimeoutOption
	if ep.GetSockOpt(&timeout) == nil && timeout == 0 {
		timeout = tcpip.TCPUserTimeoutOption(orphanPatience)
		ep.SetSockOpt(&timeout)
	}
	return false
}
