// Package echo asks an address for an answer, as ping(8) does, by a stack of netstack's: the
// kernel's or the one of the host's user-mode network.
package echo

import (
	"bytes"
	"errors"
	"io"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// ErrNoAnswer is returned when no answer came in time.
var ErrNoAnswer = errors.New("no answer")

// Ping sends an ICMP echo request and returns after what time the answer came.
func Ping(s *stack.Stack, to tcpip.Address, patience time.Duration) (time.Duration, error) {
	request := make([]byte, 64)
	request[0] = byte(header.ICMPv4Echo)
	transport, network := icmp.ProtocolNumber4, ipv4.ProtocolNumber
	if to.Len() == header.IPv6AddressSize {
		request[0] = byte(header.ICMPv6EchoRequest)
		transport, network = icmp.ProtocolNumber6, ipv6.ProtocolNumber
	}
	var queue waiter.Queue
	news, come := waiter.NewChannelEntry(waiter.ReadableEvents | waiter.EventErr)
	queue.EventRegister(&news)
	ep, err := s.NewEndpoint(transport, network, &queue)
	if err != nil {
		return 0, errors.New(err.String())
	}
	defer ep.Close()
	if err := ep.Connect(tcpip.FullAddress{Addr: to}); err != nil {
		return 0, errors.New(err.String())
	}
	start := time.Now()
	if _, err := ep.Write(bytes.NewReader(request), tcpip.WriteOptions{}); err != nil {
		return 0, errors.New(err.String())
	}
	timeout := time.After(patience)
	for {
		switch _, err := ep.Read(io.Discard, tcpip.ReadOptions{}); err.(type) {
		case nil:
			return time.Since(start), nil
		case *tcpip.ErrWouldBlock:
		default:
			return 0, errors.New(err.String())
		}
		select {
		case <-come:
		case <-timeout:
			return 0, ErrNoAnswer
		}
	}
}
