package net

import (
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// loopbackDevice is netstack's, whose packets packet sockets see, too: with an Ethernet header
// of zeros, when they go and when they come.
type loopbackDevice struct {
	stack.LinkEndpoint
	net        *Network
	dispatcher stack.NetworkDispatcher // set before it has packets
}

// Attach implements stack.LinkEndpoint.
func (l *loopbackDevice) Attach(d stack.NetworkDispatcher) {
	l.dispatcher = d
	l.LinkEndpoint.Attach(d)
}

// WritePackets implements stack.LinkEndpoint.
func (l *loopbackDevice) WritePackets(list stack.PacketBufferList) (int, tcpip.Error) {
	if l.net.watched.Load() && l.dispatcher != nil {
		for _, p := range list.AsSlice() {
			l.show(p, tcpip.PacketOutgoing)
			l.show(p, tcpip.PacketHost)
		}
	}
	return l.LinkEndpoint.WritePackets(list)
}

func (l *loopbackDevice) show(p *stack.PacketBuffer, kind tcpip.PacketType) {
	frame := stack.NewPacketBuffer(stack.PacketBufferOptions{ReserveHeaderBytes: header.EthernetMinimumSize, Payload: p.ToBuffer()})
	header.Ethernet(frame.LinkHeader().Push(header.EthernetMinimumSize)).Encode(&header.EthernetFields{Type: p.NetworkProtocolNumber})
	frame.PktType = kind
	l.dispatcher.DeliverLinkPacket(p.NetworkProtocolNumber, frame)
	frame.DecRef()
}
