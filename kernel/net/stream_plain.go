//go:build !netstack

package net

import (
	"io"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"gosv/kernel/bpf"
)

func readStream(ep *tcp.Endpoint, w io.Writer, peek, moderate bool) (int, tcpip.Error) {
	res, err := ep.Read(w, tcpip.ReadOptions{Peek: peek})
	if err == nil && moderate {
		ep.ModerateRecvBuf(res.Count)
	}
	return res.Count, err
}

// There are no urgent data in netstack as it is.

func writeUrgent(*tcp.Endpoint, tcpip.Payloader) tcpip.Error         { return &tcpip.ErrNotSupported{} }
func readUrgent(*tcp.Endpoint, bool) (byte, tcpip.Error)             { return 0, &tcpip.ErrInvalidEndpointState{} }
func mark(*tcp.Endpoint) int                                         { return -1 }
func urges(_ *tcp.Endpoint, ready waiter.EventMask) waiter.EventMask { return ready }
func setInline(*tcp.Endpoint, bool)                                  {}

// Nor does it look at a socket's filter.
func filterOf(tcpip.Endpoint) *bpf.Slot { return new(bpf.Slot) }

func icmpTypes(tcpip.Endpoint) *atomic.Uint32 { return new(atomic.Uint32) }

func setBindsAny(tcpip.Endpoint, bool) {}

func groupOf(tcpip.Endpoint) *bpf.Slot { return new(bpf.Slot) }
