package net

import (
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"gosv/kernel/nic"
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

// admits says whether a frame of that device's is taken when there is not enough memory
// for all.
func (n *Network) admits(f *nic.Frame, device tcpip.NICID, s supply) bool {
	size := f.Size()
	frame := f.Parts[0] // all headers are there, or it is none that anybody needs now
	if len(frame) < header.EthernetMinimumSize {
		return false
	}
	b := frame[header.EthernetMinimumSize:]
	size -= header.EthernetMinimumSize
	var id stack.TransportEndpointID
	var protocol uint8
	network := header.Ethernet(frame).Type()
	switch network {
	case header.IPv4ProtocolNumber:
		ip := header.IPv4(b)
		if len(b) < header.IPv4MinimumSize || !ip.IsValid(size) || int(ip.HeaderLength()) > len(b) || ip.More() || ip.FragmentOffset() != 0 {
			return false
		}
		id.RemoteAddress, id.LocalAddress, protocol = ip.SourceAddress(), ip.DestinationAddress(), ip.Protocol()
		b, size = b[ip.HeaderLength():], int(ip.PayloadLength())
	case header.IPv6ProtocolNumber:
		ip := header.IPv6(b)
		if len(b) < header.IPv6MinimumSize || !ip.IsValid(size) || ip.NextHeader() == uint8(header.IPv6FragmentExtHdrIdentifier) {
			return false
		}
		id.RemoteAddress, id.LocalAddress, protocol = ip.SourceAddress(), ip.DestinationAddress(), ip.NextHeader()
		b, size = b[header.IPv6MinimumSize:], int(ip.PayloadLength())
	default:
		return true
	}
	queued := func() int {
		ep, ok := n.stack.FindTransportEndpoint(network, tcpip.TransportProtocolNumber(protocol), id, device).(tcpip.Endpoint)
		if !ok {
			return 0
		}
		size, _ := ep.GetSockOptInt(tcpip.ReceiveQueueSizeOption)
		return size
	}
	switch protocol {
	case uint8(header.TCPProtocolNumber):
		if len(b) < header.TCPMinimumSize {
			return false
		}
		h := header.TCP(b)
		id.RemotePort, id.LocalPort = h.SourcePort(), h.DestinationPort()
		size -= int(h.DataOffset())
		switch {
		case h.Flags()&(header.TCPFlagSyn|header.TCPFlagAck) == header.TCPFlagSyn:
			return s == scarce
		case size <= 0:
			return true // what it acknowledges makes room
		}
		return s == scarce && size <= leastSegment && queued() < leastQueue
	case uint8(header.UDPProtocolNumber):
		if len(b) < header.UDPMinimumSize {
			return false
		}
		h := header.UDP(b)
		id.RemotePort, id.LocalPort = h.SourcePort(), h.DestinationPort()
		return s == scarce && queued() == 0
	}
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
