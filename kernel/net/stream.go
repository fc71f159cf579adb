//go:build netstack

package net

import (
	"io"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"gosv/kernel/bpf"
)

// What netstack as it is built for the kernel has a shorter way for.

// readStream reads from a connection, and says how much. If moderate is set, netstack
// thinks of its receive buffer's size.
func readStream(ep *tcp.Endpoint, w io.Writer, peek, moderate bool) (int, tcpip.Error) {
	return ep.ReadStream(w, peek, moderate)
}

// Urgent data of TCP (netstack/.../tcp/urgent.go).

func writeUrgent(ep *tcp.Endpoint, p tcpip.Payloader) tcpip.Error     { return ep.WriteUrgent(p) }
func readUrgent(ep *tcp.Endpoint, peek bool) (byte, tcpip.Error)      { return ep.ReadUrgent(peek) }
func mark(ep *tcp.Endpoint) int                                       { return ep.Mark() }
func urges(ep *tcp.Endpoint, ready waiter.EventMask) waiter.EventMask { return ep.Urges(ready) }
func setInline(ep *tcp.Endpoint, on bool)                             { ep.SetOutOfBandInline(on) }

// filterOf is where a socket's filter is.
func filterOf(ep tcpip.Endpoint) *bpf.Slot { return ep.SocketOptions().Filter() }

// icmpTypes is where a raw socket has the types of ICMP messages that it does not take.
func icmpTypes(ep tcpip.Endpoint) *atomic.Uint32 { return ep.SocketOptions().ICMPTypes() }

// setBindsAny lets a socket be bound to addresses that the machine has not.
func setBindsAny(ep tcpip.Endpoint, on bool) { ep.SocketOptions().SetBindsAny(on) }

// groupOf is where the program is that chooses among a socket and others of the same port.
func groupOf(ep tcpip.Endpoint) *bpf.Slot { return ep.SocketOptions().Group() }
