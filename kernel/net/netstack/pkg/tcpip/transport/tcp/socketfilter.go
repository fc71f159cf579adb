//go:build netstack

package tcp

import "gvisor.dev/gvisor/pkg/tcpip/stack"

// passes says whether a packet is for e by its filter, and takes off what that does not leave.
func (e *Endpoint) passes(pkt *stack.PacketBuffer) bool {
	if e.ops.FilterProgram() == nil {
		return true
	}
	kept := pkt.Filter(&e.ops, stack.FromTransport, pkt.NICID, pkt.NetworkProtocolNumber)
	if kept > 0 {
		pkt.Keep(kept)
	}
	return kept > 0
}
