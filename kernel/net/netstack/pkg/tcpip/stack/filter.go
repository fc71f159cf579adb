//go:build netstack

package stack

import (
	"math/rand"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// Nobody sets rules of a packet filter, so there is none: every packet passes. With it
// goes what follows connections for it.

// DefaultTables makes a filter without rules.
func DefaultTables(tcpip.Clock, *rand.Rand) *IPTables { return &IPTables{} }

func (*IPTables) CheckPrerouting(*PacketBuffer, AddressableEndpoint, string) bool { return true }
func (*IPTables) CheckInput(*PacketBuffer, string) bool                           { return true }
func (*IPTables) CheckForward(*PacketBuffer, string, string) bool                 { return true }
func (*IPTables) CheckOutput(*PacketBuffer, *Route, string) bool                  { return true }
func (*IPTables) CheckPostrouting(*PacketBuffer, *Route, AddressableEndpoint, string) bool {
	return true
}

// OriginalDst says where a connection went before a rule changed that.
func (*IPTables) OriginalDst(TransportEndpointID, tcpip.NetworkProtocolNumber, tcpip.TransportProtocolNumber) (tcpip.Address, uint16, tcpip.Error) {
	return tcpip.Address{}, 0, &tcpip.ErrNotConnected{}
}
