package net

import (
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
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
	none          // nothing that would be kept is taken any more
)

const (
	leastQueue   = 4 << 10  // received bytes that each connection may have waiting
	leastSegment = 2 << 10  // longer ones are let go: their sender cuts them when it sends them again
	scarceSend   = 16 << 10 // bytes that may be on the way to each peer
)

func (n *Network) supply() supply {
	free, kernel, total := n.memory()
	switch {
	case free < total/32:
		n.collector.hurry()
		return none
	case free < total/16 || kernel > total/8*3:
		n.collector.hurry()
		return scarce
	}
	return enough
}

// admits says whether a frame of that device's, with these headers, is taken when there is not
// enough memory for all.
func (n *Network) admits(h *headers, device tcpip.NICID, s supply) bool {
	tcp, udp := h.is(header.TCPProtocolNumber), h.is(header.UDPProtocolNumber)
	switch {
	case h.kind == malformed, h.kind == fragment:
		return false
	case tcp && h.isSYN():
		return s == scarce
	case tcp && h.end > h.data:
		return s == scarce && h.end-h.data <= leastSegment && n.queued(h, device) < leastQueue
	case udp:
		return s == scarce && n.queued(h, device) == 0
	}
	return true // what a segment without data acknowledges makes room
}

// queued is how many bytes wait to be read where a whole segment or datagram would go.
func (n *Network) queued(h *headers, device tcpip.NICID) int {
	network := header.IPv6ProtocolNumber
	if h.v4 {
		network = header.IPv4ProtocolNumber
	}
	ports := header.UDP(h.frame[h.transport:]) // which are in the same place as TCP's
	id := stack.TransportEndpointID{RemotePort: ports.SourcePort(), LocalPort: ports.DestinationPort()}
	id.RemoteAddress, id.LocalAddress = h.addresses()
	ep, ok := n.stack.FindTransportEndpoint(network, tcpip.TransportProtocolNumber(h.protocol), id, device).(tcpip.Endpoint)
	if !ok {
		return 0
	}
	size, _ := ep.GetSockOptInt(tcpip.ReceiveQueueSizeOption)
	return size
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
