//go:build netstack

package net

import (
	"io"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// What netstack as it is built for the kernel has a shorter way for.

// readStream reads from a connection, and says how much. If moderate is set, netstack
// thinks of its receive buffer's size.
func readStream(ep *tcp.Endpoint, w io.Writer, peek, moderate bool) (int, tcpip.Error) {
	return ep.ReadStream(w, peek, moderate)
}
