package net

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	mathrand "math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"gosv/kernel/errno"
	"gosv/kernel/nic"
	"gosv/kernel/socket"
)

// Addresses on the cables of these tests.
var serverIP, clientIP = [4]byte{10, 0, 0, 1}, [4]byte{10, 0, 0, 2}

// startWith is start on a machine with that memory.
func startWith(t *testing.T, memory func() (free, kernel, total uint64), static string, device nic.Device) *Network {
	n := New(func(p []byte) { rand.Read(p) }, memory)
	n.Start(Config{FindDevices: func() { n.Attach(device) }, Static: static, Log: func(s string) { t.Log(s) }})
	n.configured()
	return n
}

// pair is a server and a client at the ends of a cable; outside passes frames to the server.
func pair(t *testing.T, memory func() (free, kernel, total uint64)) (server, client *Network, outside func(frame []byte)) {
	a, b := newCable(1), newCable(2)
	a.send, b.send = b.receive, a.receive
	server, client = startWith(t, memory, "10.0.0.1/8", a), startWith(t, plenty, "10.0.0.2/8", b)
	return server, client, func(frame []byte) {
		a.h.Receive([]nic.Frame{{Parts: [][]byte{frame}, ChecksumValid: true}})
	}
}

// listen opens a port of the server's.
func listen(t *testing.T, n *Network, port uint16, backlog int) *user {
	l := open(t, n, afInet, sockStream)
	if err := l.Bind(addr4Of(0, 0, 0, 0, port)); err != 0 {
		t.Fatal(err)
	}
	if err := l.Listen(backlog); err != 0 {
		t.Fatal(err)
	}
	return l
}

// dial connects to the server, and returns both ends.
func dial(t *testing.T, client *Network, l *user, port uint16) (c, s *user) {
	c = open(t, client, afInet, sockStream)
	if err := c.Connect(addr4Of(10, 0, 0, 1, port)); err != errno.EINPROGRESS {
		t.Fatal(err)
	}
	s = l.accept()
	return c, s
}

// tcpFrame is a frame to the server with a TCP segment.
func tcpFrame(from [4]byte, port, to uint16, flags header.TCPFlags, seq, ack uint32, data []byte) []byte {
	b := make([]byte, header.EthernetMinimumSize+header.IPv4MinimumSize+header.TCPMinimumSize, 1514)
	header.Ethernet(b).Encode(&header.EthernetFields{SrcAddr: "\x02\x00\x00\x00\x00\x02", DstAddr: "\x02\x00\x00\x00\x00\x01", Type: header.IPv4ProtocolNumber})
	ip := header.IPv4(b[header.EthernetMinimumSize:])
	ip.Encode(&header.IPv4Fields{TotalLength: uint16(header.IPv4MinimumSize + header.TCPMinimumSize + len(data)), TTL: 64,
		Protocol: uint8(header.TCPProtocolNumber), SrcAddr: tcpip.AddrFrom4(from), DstAddr: tcpip.AddrFrom4(serverIP)})
	ip.SetChecksum(^ip.CalculateChecksum())
	header.TCP(ip[header.IPv4MinimumSize:]).Encode(&header.TCPFields{SrcPort: port, DstPort: to, SeqNum: seq, AckNum: ack,
		DataOffset: header.TCPMinimumSize, Flags: flags, WindowSize: 65535})
	return append(b, data...)
}

// heap is how many bytes of objects there are.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestSYNFlood: of connections that nobody wants to establish there are as many half
// open as may wait, and who means it is served meanwhile.
func TestSYNFlood(t *testing.T) {
	server, client, outside := pair(t, func() (free, kernel, total uint64) { return 1 << 29, 0, 8 << 20 })
	l := listen(t, server, 80, 4096) // of which there may be 128
	before := heap()
	for i := range uint32(50_000) {
		outside(tcpFrame([4]byte{10, 1, byte(i >> 8), byte(i)}, uint16(1024+i>>16), 80, header.TCPFlagSyn, i, 0, nil))
	}
	if n := len(server.stack.RegisteredEndpoints()); n > 1000 { // some more, where netstack's goroutines are late
		t.Errorf("%d endpoints", n)
	}
	for i := 0; heap() > before+16<<20; i++ { // half-open, they would take 150 MiB
		if i == 300 {
			t.Fatalf("%d bytes more", heap()-before)
		}
		time.Sleep(100 * time.Millisecond)
	}
	c, s := dial(t, client, l, 80)
	c.sendAll([]byte("hello"))
	if got := s.receiveAll(5); string(got) != "hello" {
		t.Errorf("%q", got)
	}
	c.Close()
	s.Close()
	l.Close()
}

// TestScarce: when there is little memory, each connection gets its least and new ones
// are still made; when there is none, nothing more is kept; and all goes on when
// there is some again.
func TestScarce(t *testing.T) {
	var have atomic.Uint64
	const total = 1 << 30
	have.Store(total / 2)
	server, client, outside := pair(t, func() (free, kernel, all uint64) { return have.Load(), 0, total })
	l := listen(t, server, 80, 10)

	c, s := dial(t, client, l, 80)
	have.Store(total / 20)
	data := bytes.Repeat([]byte("data"), 64<<10)
	sent := make(chan bool)
	go func() {
		c.sendAll(data)
		close(sent)
	}()
	time.Sleep(300 * time.Millisecond)
	if n, _ := s.Queued(false); n > 8*leastQueue { // a burst's segments do not see each other
		t.Errorf("%d bytes wait to be read", n)
	}
	c2, s2 := dial(t, client, l, 80)
	c2.sendAll([]byte("small"))
	if got := s2.receiveAll(5); string(got) != "small" {
		t.Errorf("%q", got)
	}
	n := 0 // which a peer does not read
	for {
		k, err := s2.Send(&socket.Message{Data: &memory{make([]byte, 1<<20)}})
		if err != 0 {
			break
		}
		if n += k; n > 2<<20 {
			break
		}
	}
	if have := n - 1<<17; have > 2*scarceSend { // what the peer's window takes
		t.Errorf("%d bytes are on their way", n)
	}

	have.Store(total / 40)
	endpoints := len(server.stack.RegisteredEndpoints())
	for i := range byte(10) {
		outside(tcpFrame([4]byte{10, 0, 0, 3 + i}, 1000, 80, header.TCPFlagSyn, 1, 0, nil))
	}
	time.Sleep(50 * time.Millisecond)
	if now := len(server.stack.RegisteredEndpoints()); now != endpoints {
		t.Errorf("connections were begun without memory: %d and then %d endpoints", endpoints, now)
	}

	have.Store(total / 2)
	if got := s.receiveAll(len(data)); !bytes.Equal(got, data) {
		t.Error("other data came")
	}
	<-sent
}

// TestNone: without memory the program still gets what it waits for, by connections that it has and by
// new ones: it may be what takes the memory. What it does not read is bounded.
func TestNone(t *testing.T) {
	var have atomic.Uint64
	const total = 1 << 30
	have.Store(total / 2)
	server, client, _ := pair(t, func() (free, kernel, all uint64) { return have.Load(), 0, total })
	l := listen(t, server, 80, 100)
	var there, here [40]*user
	for i := range there {
		there[i], here[i] = dial(t, client, l, 80)
	}
	have.Store(total / 40)
	for round := range 3 {
		for i := range there {
			there[i].sendAll([]byte("request"))
			if got := here[i].receiveAll(7); string(got) != "request" {
				t.Fatalf("round %d, connection %d: %q", round, i, got)
			}
		}
	}
	for range 5 {
		c, s := dial(t, client, l, 80)
		c.sendAll([]byte("new"))
		if got := s.receiveAll(3); string(got) != "new" {
			t.Fatalf("%q by a new connection", got)
		}
	}
	const each = 10_000
	for range each / 1000 {
		for i := range there {
			there[i].sendAll(make([]byte, 1000))
		}
	}
	time.Sleep(300 * time.Millisecond)
	n := 0
	for _, s := range here {
		queued, _ := s.Queued(false)
		n += queued
	}
	if n == 0 || n > 4*len(server.lasts.sockets)*leastSegment { // what netstack's goroutines have yet to queue is not seen
		t.Errorf("%d bytes wait to be read", n)
	}
	have.Store(total / 2)
	for _, s := range here {
		s.receiveAll(each)
	}
}

// TestNoneWaiting: without any memory, what comes for connections that the program has yet to accept is not in the way
// of what it has: it may have to end some of those first.
func TestNoneWaiting(t *testing.T) {
	var have atomic.Uint64
	const total = 1 << 30
	have.Store(total / 2)
	server, client, _ := pair(t, func() (free, kernel, total uint64) { return have.Load(), 0, 1 << 30 })
	l := listen(t, server, 80, 100)
	c, s := dial(t, client, l, 80)
	waiting := make([]*user, 2*len(server.lasts.sockets))
	for i := range waiting {
		w := open(t, client, afInet, sockStream)
		if err := w.Connect(addr4Of(10, 0, 0, 1, 80)); err != errno.EINPROGRESS {
			t.Fatal(err)
		}
		waiting[i] = w
	}
	for _, w := range waiting {
		w.await(func() errno.Errno {
			if w.Ready()&pollOut == 0 {
				return errno.EAGAIN
			}
			return 0
		})
	}
	have.Store(0)
	for _, w := range waiting {
		w.sendAll([]byte("early"))
	}
	time.Sleep(50 * time.Millisecond)
	c.sendAll([]byte("request"))
	if got := s.receiveAll(7); string(got) != "request" {
		t.Errorf("%q", got)
	}
	have.Store(total / 2)
	for range waiting {
		s := l.accept()
		if got := s.receiveAll(5); string(got) != "early" {
			t.Errorf("%q", got)
		}
		s.Close()
	}
}

// TestTimeWait: connections are remembered for a minute, or less when there are so many
// that they would take too much memory.
func TestTimeWait(t *testing.T) {
	const total = 16 << 20 // 256 connections
	server, client, _ := pair(t, func() (free, kernel, all uint64) { return total, 0, total })
	l := listen(t, server, 80, 10)
	wait := func() time.Duration {
		var v tcpip.TCPTimeWaitTimeoutOption
		server.stack.TransportProtocolOption(tcp.ProtocolNumber, &v)
		return time.Duration(v)
	}
	if wait() != time.Minute {
		t.Errorf("%v at first", wait())
	}
	for range 1000 {
		c, s := dial(t, client, l, 80)
		s.Close() // who closes first has to wait
		c.await(func() errno.Errno {
			_, err := c.Receive(&socket.Message{Data: &memory{make([]byte, 1)}})
			return err
		})
		c.Close()
	}
	if wait() > 20*time.Second {
		t.Errorf("%v after a thousand", wait())
	}
	for i := 0; ; i++ { // until they have been forgotten
		if n := len(server.stack.RegisteredEndpoints()); n < 600 {
			break
		} else if i == 600 {
			t.Fatalf("%d endpoints", n)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// rawFrames are frames of many kinds to the server, for tests to break.
func rawFrames() (all [][]byte) {
	eth := func(kind tcpip.NetworkProtocolNumber) []byte {
		b := make([]byte, header.EthernetMinimumSize)
		header.Ethernet(b).Encode(&header.EthernetFields{SrcAddr: "\x02\x00\x00\x00\x00\x02", DstAddr: "\x02\x00\x00\x00\x00\x01", Type: kind})
		return b
	}
	for _, flags := range []header.TCPFlags{header.TCPFlagSyn, header.TCPFlagAck, header.TCPFlagSyn | header.TCPFlagAck, header.TCPFlagRst, header.TCPFlagFin | header.TCPFlagAck, 0, 0xff} {
		all = append(all, tcpFrame(clientIP, 1000, 80, flags, 1, 1, nil), tcpFrame(clientIP, 1001, 80, flags, 1, 1, []byte("GET / HTTP/1.1\r\n\r\n")))
	}
	for i, f := range []uint16{1 << 13, 1<<13 | 100, 8191, 1} { // fragments
		b := tcpFrame(clientIP, 1000, 80, header.TCPFlagAck, 1, 1, make([]byte, 800))
		ip := header.IPv4(b[header.EthernetMinimumSize:])
		binary.BigEndian.PutUint16(ip[4:], uint16(i/2))
		binary.BigEndian.PutUint16(ip[6:], f)
		ip.SetChecksum(0)
		ip.SetChecksum(^ip.CalculateChecksum())
		all = append(all, b)
	}
	me, him := tcpip.AddrFrom16([16]byte{0xfd, 15: 1}), tcpip.AddrFrom16([16]byte{0xfd, 15: 2})
	v6 := func(next uint8, payload ...byte) []byte {
		b := append(eth(header.IPv6ProtocolNumber), make([]byte, header.IPv6MinimumSize)...)
		header.IPv6(b[header.EthernetMinimumSize:]).Encode(&header.IPv6Fields{PayloadLength: uint16(len(payload)),
			TransportProtocol: tcpip.TransportProtocolNumber(next), HopLimit: 255, SrcAddr: him, DstAddr: me})
		return append(b, payload...)
	}
	icmp := func(kind, code byte, rest ...byte) []byte {
		b := append([]byte{kind, code, 0, 0}, rest...)
		sum := checksum.Checksum(b, header.PseudoHeaderChecksum(header.ICMPv6ProtocolNumber, him, me, uint16(len(b))))
		binary.BigEndian.PutUint16(b[2:], ^sum)
		return b
	}
	const hopByHop, routing, fragment, noNext, options, icmpv6 = 0, 43, 44, 59, 60, 58
	ping := icmp(128, 0, 0, 1, 0, 1)
	router := icmp(134, 0, append([]byte{64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 2, 5, 1, 0, 0, 0, 0, 5, 220, 3, 4, 64, 0xc0,
		0, 0, 7, 8, 0, 0, 7, 8, 0, 0, 0, 0, 0xfd, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 25, 3, 0, 0, 0, 0, 7, 8, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5)...)
	neighbor := icmp(135, 0, append(append([]byte{0, 0, 0, 0}, me.AsSlice()...), 1, 1, 2, 0, 0, 0, 0, 2)...)
	tooBig := icmp(2, 0, append([]byte{0, 0, 5, 0}, v6(6, make([]byte, 40)...)[14:]...)...)
	all = append(all, v6(icmpv6, ping...), v6(icmpv6, router...), v6(icmpv6, neighbor...), v6(icmpv6, tooBig...), v6(noNext),
		v6(hopByHop, append([]byte{icmpv6, 0, 5, 2, 0, 0, 1, 0}, ping...)...),
		v6(hopByHop, append([]byte{icmpv6, 0, 0xc2, 4, 0, 1, 0, 0}, ping...)...), // a jumbogram
		v6(options, append([]byte{icmpv6, 0, 1, 4, 0, 0, 0, 0}, ping...)...),
		v6(routing, append([]byte{icmpv6, 2, 0, 1, 0, 0, 0, 0, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9}, ping...)...),
		v6(fragment, append([]byte{icmpv6, 0, 0, 1, 0, 0, 0, 1}, ping...)...),
		v6(fragment, append([]byte{icmpv6, 0, 0, 8, 0, 0, 0, 1}, ping...)...),
		v6(fragment, append([]byte{icmpv6, 0, 0xff, 0xf8, 0, 0, 0, 2}, ping...)...),
		v6(hopByHop, append([]byte{hopByHop, 0, 1, 4, 0, 0, 0, 0, icmpv6, 0, 1, 4, 0, 0, 0, 0}, ping...)...))
	arp := append(eth(header.ARPProtocolNumber), make([]byte, header.ARPSize)...)
	h := header.ARP(arp[header.EthernetMinimumSize:])
	h.SetIPv4OverEthernet()
	h.SetOp(header.ARPRequest)
	copy(h.HardwareAddressSender(), "\x02\x00\x00\x00\x00\x02")
	copy(h.ProtocolAddressSender(), clientIP[:])
	copy(h.ProtocolAddressTarget(), serverIP[:])
	return append(all, arp, to(datagram(1, 80, []byte("data")), serverIP), to(datagram(dhcpServerPort, dhcpClientPort, make([]byte, 300)), serverIP))
}

// TestBrokenFrames: no frame does harm, whatever is wrong with it and whatever the device
// swears; what they leave is bounded; and what makes sense is answered afterwards.
func TestBrokenFrames(t *testing.T) {
	a, b := newCable(1), newCable(2)
	a.send, b.send = b.receive, a.receive
	server, client := startWith(t, plenty, "10.0.0.1/24,fd00::1/64", a), startWith(t, plenty, "10.0.0.2/24", b)
	l := listen(t, server, 80, 10)
	e := a.h.(*device)
	list := rawFrames()
	r := mathrand.New(mathrand.NewPCG(3, 4))
	before := heap()
	for range 100_000 {
		f := bytes.Clone(list[r.IntN(len(list))])
		for range r.IntN(4) {
			f[12+r.IntN(len(f)-12)] = []byte{0, 1, 0x7f, 0xff, byte(r.Uint32())}[r.IntN(5)]
		}
		switch r.IntN(6) {
		case 0:
			f = f[:r.IntN(len(f)+1)]
		case 1:
			f = append(f, make([]byte, r.IntN(2000))...)
		}
		if len(f) > 34 && f[12] == 8 && f[13] == 0 && r.IntN(2) == 0 { // or nobody looks at what is behind it
			if ip := header.IPv4(f[14:]); int(ip.HeaderLength()) >= header.IPv4MinimumSize && int(ip.HeaderLength()) <= len(ip) {
				ip.SetChecksum(0)
				ip.SetChecksum(^ip.CalculateChecksum())
			}
		}
		e.Receive([]nic.Frame{{Parts: [][]byte{f}, ChecksumValid: r.IntN(4) > 0}})
	}
	if after := heap(); after > before+32<<20 {
		t.Errorf("%d bytes more", after-before)
	}
	c, s := dial(t, client, l, 80)
	c.sendAll([]byte("still"))
	if got := s.receiveAll(5); string(got) != "still" {
		t.Errorf("%q", got)
	}
}
