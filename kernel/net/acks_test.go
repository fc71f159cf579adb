package net

import (
	"sync/atomic"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"gosv/kernel/errno"
	"gosv/kernel/nic"
)

// TestDelayedACKs: an answer acknowledges the request, and what is not answered is
// acknowledged nevertheless.
func TestDelayedACKs(t *testing.T) {
	a, b := newCable(1), newCable(2)
	var bare atomic.Int32
	a.send = func(f nic.Frame) {
		const headers = header.EthernetMinimumSize + header.IPv4MinimumSize
		frame := f.Parts[0]
		if header.Ethernet(frame).Type() == header.IPv4ProtocolNumber {
			ip := header.IPv4(frame[header.EthernetMinimumSize:])
			tcp := header.TCP(frame[headers:])
			if ip.Protocol() == uint8(header.TCPProtocolNumber) && tcp.Flags() == header.TCPFlagAck && int(ip.PayloadLength()) == int(tcp.DataOffset()) {
				bare.Add(1)
			}
		}
		b.receive(f)
	}
	b.send = a.receive
	server, client := start(t, "10.0.0.1/24", a), start(t, "10.0.0.2/24", b)
	l := open(t, server, afInet, sockStream)
	l.Bind(addr4Of(10, 0, 0, 1, 80))
	l.Listen(1)
	c := open(t, client, afInet, sockStream)
	if err := c.Connect(addr4Of(10, 0, 0, 1, 80)); err != errno.EINPROGRESS {
		t.Fatal(err)
	}
	s := &socket{t: t, woken: make(chan bool, 1)}
	if err := l.await(func() (err errno.Errno) {
		s.Endpoint, err = l.Accept(2, s.wake)
		return err
	}); err != 0 {
		t.Fatal(err)
	}
	const rounds = 400
	for range rounds {
		c.sendAll([]byte("question"))
		s.receiveAll(len("question"))
		s.sendAll([]byte("answer"))
		c.receiveAll(len("answer"))
	}
	if n := bare.Load(); n > rounds/2 { // a machine that is busy answers late
		t.Errorf("%d acknowledgements without an answer in %d rounds", n, rounds)
	}
	for i := range quickACKs {
		c.sendAll([]byte("no question"))
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
			if n, err := c.Queued(true); err != 0 || time.Now().After(deadline) {
				t.Fatalf("%d: %d bytes on the way, %v", i, n, err)
			} else if n == 0 {
				break
			}
		}
	}
	s.Close()
	c.Close()
	l.Close()
}

// TestMine: for which packets the short way is.
func TestMine(t *testing.T) {
	e := &ipv4Endpoint{}
	if e.mine(0x0a000002, 0x0a000001) {
		t.Error("without an address")
	}
	e.local.Store(&[]subnet{{0x0a000001, 0xffffff00}, {0xc0a80001, 0xfffffffe}, {0xac100001, 0xffffffff}})
	for _, c := range []struct {
		from, to uint32
		mine     bool
	}{
		{0x0a000002, 0x0a000001, true},
		{0x08080808, 0x0a000001, true},
		{0x08080808, 0xc0a80001, true},
		{0x08080808, 0xac100001, true},
		{0x08080808, 0x0a000002, false}, // another's
		{0x0a000001, 0x0a000001, false}, // from ourselves
		{0xac100001, 0x0a000001, false},
		{0x0a0000ff, 0x0a000001, false}, // from everybody
		{0x08080808, 0x0a0000ff, false}, // to everybody
		{0x7f000001, 0x0a000001, false},
		{0xe0000001, 0x0a000001, false},
		{0xffffffff, 0x0a000001, false},
		{0, 0x0a000001, false},
	} {
		if got := e.mine(c.from, c.to); got != c.mine {
			t.Errorf("from %#x to %#x: %v", c.from, c.to, got)
		}
	}
}
