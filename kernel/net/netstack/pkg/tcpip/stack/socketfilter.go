//go:build netstack

package stack

import (
	"math"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"gosv/kernel/bpf"
)

// From where on a socket sees a packet, and so does its filter.
const (
	FromLink = iota
	FromNetwork
	FromTransport
	FromData
)

// packetTypes are PACKET_HOST ... (packet(7)) by netstack's kinds.
const packetTypes = "\x00\x03\x04\x01\x02"

// Filter returns how many bytes of a packet a socket takes by its filter: 0 is none of it. The
// packet came by, or goes by, the device nic, as one of that protocol.
func (pk *PacketBuffer) Filter(o *tcpip.SocketOptions, from int, nic tcpip.NICID, protocol tcpip.NetworkProtocolNumber) int {
	p := o.FilterProgram()
	if p == nil {
		return math.MaxInt
	}
	return int(pk.filter(*p, from, nic, protocol))
}

// FilterRaw is Filter for a raw socket of that protocol, which has one by ICMP's types, too.
func (pk *PacketBuffer) FilterRaw(o *tcpip.SocketOptions, protocol tcpip.TransportProtocolNumber) int {
	if pk.NetworkProtocolNumber == header.IPv6ProtocolNumber {
		return pk.Filter(o, FromTransport, pk.NICID, pk.NetworkProtocolNumber)
	}
	if h := pk.TransportHeader().Slice(); protocol == header.ICMPv4ProtocolNumber && len(h) > 0 && o.DeniesICMP(h[0]) {
		return 0
	}
	return pk.Filter(o, FromNetwork, pk.NICID, pk.NetworkProtocolNumber)
}

func (pk *PacketBuffer) filter(p bpf.Program, from int, nic tcpip.NICID, protocol tcpip.NetworkProtocolNumber) uint32 {
	views, start := pk.AsViewList()
	v := views.Front()
	if v == nil || v.Next() != nil {
		v, start = pk.ToView(), 0
		defer v.Release()
	}
	b := v.AsSlice()[start:]
	network := len(pk.VirtioNetHeader().Slice()) + len(pk.LinkHeader().Slice())
	at := [...]int{0, network, network + len(pk.NetworkHeader().Slice()), len(b) - pk.Data().Size()}
	const ethernet, loopback = 1, 772 // ARPHRD_ETHER, ARPHRD_LOOPBACK
	k := bpf.Packet{
		Data: b[at[from]:], Network: b[network:], Link: b,
		Protocol: uint16(protocol), Type: packetTypes[pk.PktType], Interface: uint32(nic), Hardware: ethernet, Mark: pk.Mark, CPU: thisCPU(),
	}
	if nic == 1 {
		k.Hardware = loopback
	}
	return p.Run(&k)
}

// groupMember returns which of several endpoints a packet is for, if one of them has a program
// that says so: otherwise nil.
func (ep *multiPortEndpoint) groupMember(p *PacketBuffer) TransportEndpoint {
	ep.mu.RLock()
	defer ep.mu.RUnlock()
	if len(ep.endpoints) == 1 {
		return nil
	}
	for _, e := range ep.endpoints {
		e, ok := e.(interface {
			SocketOptions() *tcpip.SocketOptions
		})
		if !ok {
			continue
		}
		if program := e.SocketOptions().GroupProgram(); program != nil {
			if n := p.filter(*program, FromData, p.NICID, p.NetworkProtocolNumber); int(n) < len(ep.endpoints) {
				return ep.endpoints[n]
			}
			break
		}
	}
	return nil
}

// CloneUpTo is Clone of what a filter has left of a packet, counted from its transport header.
func (pk *PacketBuffer) CloneUpTo(kept int) *PacketBuffer {
	c := pk.Clone()
	c.Keep(kept)
	return c
}

// Keep takes off what a filter has not left.
func (pk *PacketBuffer) Keep(kept int) {
	if headers := len(pk.TransportHeader().Slice()); kept < headers+pk.Data().Size() {
		pk.Data().CapLength(max(kept-headers, 0))
	}
}
