//go:build netstack

package net

import (
	"io"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"gosv/kernel/metal"
)

// What the kernel has a shorter way for than the host, where the tests run and netstack is
// as it is.

// nanotime is runtime.nanotime, without the way to it, which is made for clocks that
// need a stack of their own.
func nanotime() int64 { return int64(metal.Now()) }

// readStream reads from a connection, and says how much. If moderate is set, netstack
// thinks of its receive buffer's size.
func readStream(ep *tcp.Endpoint, w io.Writer, peek, moderate bool) (int, tcpip.Error) {
	return ep.ReadStream(w, peek, moderate)
}
