//go:build netstack

package raw

import (
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// longest returns how long what is written may be: a packet is sent in fragments if need be, unless it
// comes with its header. mtu is without the header.
func longest(network tcpip.NetworkProtocolNumber, mtu uint32, hasHeader bool) int {
	switch {
	case hasHeader:
		return int(mtu) + header.IPv4MinimumSize
	case network == header.IPv4ProtocolNumber:
		return header.DatagramMaximumSize - header.IPv4MinimumSize
	}
	return header.IPv6MaximumPayloadSize
}
