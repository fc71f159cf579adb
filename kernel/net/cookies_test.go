//go:build netstack

package net

import (
	"sync/atomic"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"gosv/kernel/nic"
)

// TestCookies: connections that are made by SYN cookies, as when memory is scarce, leave nothing in the listening
// socket, whose receive buffer would be full then for those whose first data come with the acknowledgement.
func TestCookies(t *testing.T) {
	near, far := newCable(1), newCable(2)
	answers := make(chan header.TCP, 99)
	near.send = func(f nic.Frame) {
		const tcpAt = header.EthernetMinimumSize + header.IPv4MinimumSize
		if b := f.Parts[0]; header.Ethernet(b).Type() == header.IPv4ProtocolNumber {
			if s := header.TCP(b[tcpAt:]); s.Flags() == header.TCPFlagSyn|header.TCPFlagAck {
				answers <- s
			}
			return
		}
		far.receive(f)
	}
	far.send = near.receive
	const total = 1 << 30
	var have atomic.Uint64
	have.Store(total / 2)
	server := startWith(t, func() (free, kernel, all uint64) { return have.Load(), 0, total }, "10.0.0.1/8", near)
	startWith(t, plenty, "10.0.0.2/8", far)
	l := listen(t, server, 80, 10)
	have.Store(total / 20)
	send := func(port uint16, flags header.TCPFlags, seq, ack uint32, data []byte) {
		near.receive(nic.Frame{Parts: [][]byte{tcpFrame(clientIP, port, 80, flags, seq, ack, data)}, ChecksumValid: true})
	}
	data := make([]byte, 1000)
	for i := range uint16(500) {
		port := 5000 + i
		send(port, header.TCPFlagSyn, 1, 0, nil)
		var cookie uint32
		select {
		case s := <-answers:
			cookie = s.SequenceNumber()
		case <-time.After(10 * time.Second):
			t.Fatalf("connection %d: no answer", i)
		}
		if n := len(server.stack.RegisteredEndpoints()); n > 1 {
			t.Fatalf("connection %d: %d endpoints", i, n)
		}
		send(port, header.TCPFlagAck, 2, cookie+1, data)
		s := l.accept()
		s.receiveAll(len(data))
		send(port, header.TCPFlagRst, 2+uint32(len(data)), 0, nil)
		s.Close()
		for wait := time.Now(); len(server.stack.RegisteredEndpoints()) > 1 && time.Since(wait) < 10*time.Second; {
			time.Sleep(time.Millisecond)
		}
	}
}
