package net

import (
	"bytes"
	"encoding/binary"
	"sync/atomic"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"gosv/kernel/errno"
	"gosv/kernel/nic"
	"gosv/kernel/socket"
)

// These tests are of netstack as it is, where segments have no short way, and of the kernel's, where
// they have: mkkernel -test.

// ends are two networks at a cable, and a connection over IPv4 or IPv6 from the client to a
// port of the server's.
type ends struct {
	t            *testing.T
	version      int
	server       *Network
	a, b         *cable // the server's and the client's
	listener     *user
	s, c         *user
	last         atomic.Pointer[[]byte] // frame with data that the client has sent
	network      tcpip.NetworkProtocolNumber
	address      tcpip.Address // the server's
	clientAddr   tcpip.Address
	segmentsSent atomic.Int32 // by the server, without options of IP's
}

const testedPort = 80

func newEnds(t *testing.T, version int, tso bool) *ends {
	x := &ends{t: t, version: version, a: newCable(1), b: newCable(2), network: header.IPv4ProtocolNumber,
		address: tcpip.AddrFrom4(serverIP), clientAddr: tcpip.AddrFrom4(clientIP)}
	x.a.tso, x.b.tso = tso, tso
	x.a.send = func(f nic.Frame) {
		if h := headersOf(f.Parts[0]); h.is(header.TCPProtocolNumber) && h.bare {
			x.segmentsSent.Add(1)
		}
		x.b.receive(f)
	}
	x.b.send = func(f nic.Frame) {
		if h := headersOf(f.Parts[0]); h.is(header.TCPProtocolNumber) && h.end > h.data {
			b := bytes.Clone(f.Parts[0])
			x.last.Store(&b)
		}
		x.a.receive(f)
	}
	x.server = start(t, "10.0.0.1/24,fd00::1/64", x.a)
	client := start(t, "10.0.0.2/24,fd00::2/64", x.b)
	if version == 6 {
		x.network = header.IPv6ProtocolNumber
		x.address, x.clientAddr = tcpip.AddrFrom16([16]byte{0xfd, 15: 1}), tcpip.AddrFrom16([16]byte{0xfd, 15: 2})
	}
	x.listener = open(t, x.server, x.family(), sockStream)
	if err := x.listener.Bind(x.sockaddr(x.address)); err != 0 {
		t.Fatal(err)
	}
	x.listener.Listen(4)
	x.c, x.s = x.connect(client)
	return x
}

func (x *ends) family() int32 {
	if x.version == 6 {
		return afInet6
	}
	return afInet
}

func (x *ends) sockaddr(a tcpip.Address) []byte {
	return formatAddr(x.family(), tcpip.FullAddress{Addr: a, Port: testedPort})
}

// connect connects to the server from a network.
func (x *ends) connect(from *Network) (c, s *user) {
	c = open(x.t, from, x.family(), sockStream)
	if err := c.Connect(x.sockaddr(x.address)); err != errno.EINPROGRESS {
		x.t.Fatal(err)
	}
	s = x.listener.accept()
	return c, s
}

// port is the one that c is bound to.
func (x *ends) port(c *user) uint16 {
	b, err := c.Address(false)
	if err != 0 {
		x.t.Fatal(err)
	}
	return binary.BigEndian.Uint16(b[2:])
}

// received is how many segments the server's end of a connection has been given.
func (x *ends) received(remote tcpip.Address, port uint16) uint64 {
	id := stack.TransportEndpointID{LocalPort: testedPort, LocalAddress: x.address, RemotePort: port, RemoteAddress: remote}
	ep, ok := x.server.stack.FindTransportEndpoint(x.network, tcp.ProtocolNumber, id, 2).(*tcp.Endpoint)
	if !ok {
		x.t.Fatal("there is no such connection")
	}
	return ep.Stats().(*tcp.Stats).SegmentsReceived.Value()
}

// forge lets a segment arrive that is like the client's last one with data, but for its source.
func (x *ends) forge(from tcpip.Address, port uint16) {
	b := bytes.Clone(*x.last.Load())
	h := headersOf(b)
	at := addressesAt
	if x.version == 6 {
		at = addresses6At
	}
	copy(h.ip()[at:], from.AsSlice())
	h.tcp().SetSourcePort(port)
	x.a.h.(*device).Receive([]nic.Frame{{Parts: [][]byte{b}, ChecksumValid: true}})
}

// TestTransfer: a megabyte each way, over IPv4 and IPv6, with and without help by the devices.
func TestTransfer(t *testing.T) {
	data := make([]byte, 1<<20)
	for i := range data {
		data[i] = byte(i * i / 3)
	}
	for _, version := range []int{4, 6} {
		for _, tso := range []bool{false, true} {
			x := newEnds(t, version, tso)
			go x.c.sendAll(data)
			if got := x.s.receiveAll(len(data)); !bytes.Equal(got, data) {
				t.Errorf("IPv%d: other data came to the server", version)
			}
			go x.s.sendAll(data)
			if got := x.c.receiveAll(len(data)); !bytes.Equal(got, data) {
				t.Errorf("IPv%d: other data came to the client", version)
			}
			for _, c := range []*cable{x.a, x.b} {
				c.mu.Lock()
				if (c.large > 0) != tso {
					t.Errorf("IPv%d: %d frames to be cut", version, c.large)
				}
				c.mu.Unlock()
			}
			if x.segmentsSent.Load() < 20 {
				t.Errorf("IPv%d: %d segments", version, x.segmentsSent.Load())
			}
			x.s.Close()
			if err := x.c.await(func() (err errno.Errno) {
				_, err = x.c.Receive(&socket.Message{Data: &memory{make([]byte, 1)}})
				return err
			}); err != 0 {
				t.Error(err)
			}
			x.c.Close()
		}
	}
}

// TestPadded: what an Ethernet frame is padded with is no data, also not that of a segment that ends a connection.
func TestPadded(t *testing.T) {
	for _, version := range []int{4, 6} {
		for _, flags := range []header.TCPFlags{header.TCPFlagAck, header.TCPFlagAck | header.TCPFlagFin} {
			x := newEnds(t, version, false)
			x.c.sendAll([]byte("hello"))
			x.s.receiveAll(5)
			b := bytes.Clone(*x.last.Load())
			h := headersOf(b)
			h.tcp().SetSequenceNumber(h.tcp().SequenceNumber() + 5)
			h.tcp().SetFlags(uint8(flags))
			copy(b[h.data:], "lo") // of which the first byte is data
			if version == 4 {
				header.IPv4(h.ip()).SetTotalLength(uint16(h.data + 1 - header.EthernetMinimumSize))
			} else {
				header.IPv6(h.ip()).SetPayloadLength(uint16(h.data + 1 - h.transport))
			}
			x.a.h.(*device).Receive([]nic.Frame{{Parts: [][]byte{b}, ChecksumValid: true}})
			n := 0
			if err := x.s.await(func() (err errno.Errno) {
				n, err = x.s.Receive(&socket.Message{Data: &memory{make([]byte, 10)}})
				return err
			}); err != 0 || n != 1 {
				t.Errorf("IPv%d: %d bytes, %v", version, n, err)
			}
		}
	}
}

// TestForged: a connection gets what comes between its addresses while they are this machine's and
// another's.
func TestForged(t *testing.T) {
	for _, version := range []int{4, 6} {
		x := newEnds(t, version, false)
		x.c.sendAll([]byte("hello"))
		x.s.receiveAll(5)
		own, _ := x.connect(x.server)
		port, ownPort := x.port(x.c), x.port(own)
		for range 2 { // the first makes it known
			before := x.received(x.clientAddr, port)
			x.forge(x.clientAddr, port)
			if got := x.received(x.clientAddr, port); got == before {
				t.Errorf("IPv%d: a segment was lost", version)
			}
			before = x.received(x.address, ownPort)
			x.forge(x.address, ownPort)
			if got := x.received(x.address, ownPort); got != before {
				t.Errorf("IPv%d: a segment from outside came from here", version)
			}
		}
		before := x.received(x.clientAddr, port)
		if err := x.server.stack.RemoveAddress(2, x.address); err != nil {
			t.Fatal(err)
		}
		x.forge(x.clientAddr, port)
		if got := x.received(x.clientAddr, port); got != before {
			t.Errorf("IPv%d: a segment came to an address that is gone", version)
		}
		sent := x.segmentsSent.Load()
		x.s.Send(&socket.Message{Data: &memory{[]byte("still")}})
		if time.Sleep(20 * time.Millisecond); x.segmentsSent.Load() != sent {
			t.Errorf("IPv%d: a segment went from an address that is gone", version)
		}
	}
}
