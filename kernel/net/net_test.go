package net

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"gosv/kernel/errno"
	"gosv/kernel/nic"
	"gosv/kernel/socket"
)

// cable is one end of a cable: a device whose frames go to a function.
type cable struct {
	mac  byte
	tso  bool
	send func(f nic.Frame)

	mu     sync.Mutex
	h      nic.Handler
	queued []nic.Frame
	wake   chan bool
	large  int // frames that were to be cut
}

func newCable(mac byte) *cable {
	c := &cable{mac: mac, wake: make(chan bool, 1)}
	go func() {
		for range c.wake {
			c.mu.Lock()
			frames := c.queued
			c.queued = nil
			c.mu.Unlock()
			if len(frames) > 0 {
				c.h.Receive(frames)
			}
		}
	}()
	return c
}

func (c *cable) MAC() [6]byte { return [6]byte{2, 0, 0, 0, 0, c.mac} }
func (c *cable) MTU() int     { return 1500 }
func (c *cable) LinkUp() bool { return true }
func (c *cable) Offloads() nic.Offloads {
	return nic.Offloads{Checksum: c.tso, TCP4: c.tso, TCP6: c.tso}
}
func (c *cable) Start(h nic.Handler) error {
	c.h = h
	return nil
}

func (c *cable) Flush() {}

func (c *cable) Send(frames []nic.Frame, _ bool) int {
	for _, f := range frames {
		var b []byte
		for _, p := range f.Parts {
			b = append(b, p...)
		}
		if f.Segments != nic.Whole {
			c.mu.Lock()
			c.large++
			c.mu.Unlock()
		} else if len(b) > 1514 {
			panic("a frame that is too long")
		}
		f.Parts = [][]byte{b}
		c.send(f)
	}
	return len(frames)
}

// receive lets a frame arrive, in two pieces.
func (c *cable) receive(f nic.Frame) {
	b := f.Parts[0]
	half := max(len(b)/2, min(len(b), 128)) // the headers are in the first
	f.Parts = [][]byte{b[:half], b[half:]}
	c.mu.Lock()
	if c.h != nil {
		c.queued = append(c.queued, f)
	}
	c.mu.Unlock()
	select {
	case c.wake <- true:
	default:
	}
}

// plenty of memory.
func plenty() (free, kernel, total uint64) { return 1 << 29, 0, 1 << 30 }

func start(t testing.TB, static string, devices ...nic.Device) *Network {
	n := New(func(p []byte) { rand.Read(p) }, plenty)
	n.Start(Config{
		FindDevices: func() {
			for _, d := range devices {
				n.Attach(d)
			}
		},
		Static: static,
		Log:    func(s string) { t.Log(s) },
	})
	return n
}

// user is who uses an endpoint, and is woken.
type user struct {
	t testing.TB
	Endpoint
	woken chan bool
}

func (s *user) wake(uint32) {
	select {
	case s.woken <- true:
	default:
	}
}

func open(t testing.TB, n *Network, family, kind int32) *user {
	s := &user{t: t, woken: make(chan bool, 1)}
	e, err := n.newEndpoint(family, kind, 0, 1, s.wake)
	if err != 0 {
		t.Fatal(err)
	}
	s.Endpoint = e
	return s
}

// await calls f until it returns something else than EAGAIN.
func (s *user) await(f func() errno.Errno) errno.Errno {
	for {
		err := f()
		if err != errno.EAGAIN {
			return err
		}
		select {
		case <-s.woken:
		case <-time.After(30 * time.Second):
			s.t.Fatal("nothing happens")
		}
	}
}

// accept returns the next connection.
func (s *user) accept() *user {
	s.t.Helper()
	c := &user{t: s.t, woken: make(chan bool, 1)}
	if err := s.await(func() (err errno.Errno) {
		c.Endpoint, err = s.Accept(2, c.wake)
		return err
	}); err != 0 {
		s.t.Fatal(err)
	}
	return c
}

// memory is a message's data.
type memory struct{ b []byte }

func (m *memory) Len() int { return len(m.b) }
func (m *memory) Read(p []byte) (int, error) {
	n := copy(p, m.b)
	m.b = m.b[n:]
	return n, nil
}
func (m *memory) Write(p []byte) (int, error) {
	n := copy(m.b, p)
	m.b = m.b[n:]
	if n < len(p) {
		return n, errno.EFAULT
	}
	return n, nil
}

func (s *user) sendAll(b []byte) {
	for len(b) > 0 {
		n := 0
		if err := s.await(func() (err errno.Errno) {
			n, err = s.Send(&socket.Message{Data: &memory{b}})
			return err
		}); err != 0 {
			s.t.Fatal(err)
		}
		b = b[n:]
	}
}

func (s *user) receiveAll(want int) []byte {
	var all []byte
	buf := make([]byte, 16<<10)
	for len(all) < want {
		n := 0
		if err := s.await(func() (err errno.Errno) {
			n, err = s.Receive(&socket.Message{Data: &memory{buf}})
			return err
		}); err != 0 || n == 0 {
			s.t.Fatalf("after %d bytes: %v", len(all), err)
		}
		all = append(all, buf[:n]...)
	}
	return all
}

func addr4Of(a, b, c, d byte, port uint16) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{afInet, 0}, port), a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0)
}

// TestCable: two machines with static addresses, a connection and a megabyte, with and
// without help by the devices.
func TestCable(t *testing.T) {
	for _, tso := range []bool{false, true} {
		a, b := newCable(1), newCable(2)
		a.tso, b.tso = tso, tso
		a.send, b.send = b.receive, a.receive
		server := start(t, "10.0.0.1/24,10.0.0.254,dns=10.0.0.53", a)
		client := start(t, "10.0.0.2/24,fd00::2/64", b)

		l := open(t, server, afInet, sockStream)
		if err := l.Bind(addr4Of(10, 0, 0, 1, 80)); err != 0 {
			t.Fatal(err)
		}
		if err := l.Listen(4); err != 0 {
			t.Fatal(err)
		}
		c := open(t, client, afInet, sockStream)
		if err := c.Connect(addr4Of(10, 0, 0, 1, 80)); err != errno.EINPROGRESS {
			t.Fatal(err)
		}
		s := l.accept()
		if peer, err := s.Address(true); err != 0 || string(peer[4:8]) != "\x0a\x00\x00\x02" {
			t.Errorf("the peer is %v, %v", peer, err)
		}
		data := make([]byte, 1<<20)
		for i := range data {
			data[i] = byte(i * i / 3)
		}
		c.sendAll(data[:1<<14])
		if n, err := c.Queued(true); err != 0 || n > 1<<14 {
			t.Errorf("%d bytes on the way, %v", n, err)
		}
		go c.sendAll(data[1<<14:])
		if got := s.receiveAll(len(data)); string(got) != string(data) {
			t.Error("other data came")
		}
		if (b.large > 0) != tso {
			t.Errorf("%d frames to be cut", b.large)
		}
		for i := 0; ; i++ { // until the last acknowledgement
			if n, err := c.Queued(true); err != 0 || i == 1000 {
				t.Fatalf("%d bytes on the way, %v", n, err)
			} else if n == 0 {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		s.Close()
		if err := c.await(func() (err errno.Errno) {
			_, err = c.Receive(&socket.Message{Data: &memory{make([]byte, 1)}})
			return err
		}); err != 0 {
			t.Error(err)
		}
		c.Close()
		l.Close()
		if got := server.Table("pnp"); got != "nameserver 10.0.0.53\n" {
			t.Errorf("pnp: %q", got)
		}
		if got := server.Table("route"); !strings.Contains(got, "eth0\t00000000\tFE00000A\t0003") || !strings.Contains(got, "eth0\t0000000A\t00000000\t0001") {
			t.Errorf("routes:\n%s", got)
		}
		const inet6 = "fd000000000000000000000000000002 02 40 00 80     eth0\n"
		if got := client.Table("if_inet6"); !strings.Contains(got, inet6) {
			t.Errorf("addresses:\n%s", got)
		}
		// Nobody has this address.
		u := open(t, client, afInet, sockStream)
		if err := u.Connect(addr4Of(10, 9, 9, 9, 1)); err != errno.ENETUNREACH {
			t.Errorf("connecting to where no way leads: %v", err)
		}
		u.Close()
	}
}

// TestBurst: of segments of many connections that come at once, none is left behind.
func TestBurst(t *testing.T) {
	a, b := newCable(1), newCable(2)
	a.send, b.send = b.receive, a.receive
	server, client := start(t, "10.0.0.1/24", a), start(t, "10.0.0.2/24", b)
	l := open(t, server, afInet, sockStream)
	l.Bind(addr4Of(10, 0, 0, 1, 80))
	l.Listen(100)
	const many = 60
	var wg sync.WaitGroup
	for i := range many {
		c := open(t, client, afInet, sockStream)
		if err := c.Connect(addr4Of(10, 0, 0, 1, 80)); err != errno.EINPROGRESS {
			t.Fatal(err)
		}
		wg.Go(func() { c.sendAll(bytes.Repeat([]byte{byte(i)}, 100_000)) })
	}
	for range many {
		s := l.accept()
		wg.Go(func() {
			got := s.receiveAll(100_000)
			if string(got) != strings.Repeat(string(got[:1]), 100_000) {
				t.Error("other data came")
			}
		})
	}
	wg.Wait()
}

// TestChecksums: of frames that the device knows nothing of, the wrong ones are lost.
func TestChecksums(t *testing.T) {
	right := func(frame []byte) bool { // or netstack's to judge
		h := headersOf(frame)
		return h.is(header.UDPProtocolNumber) && h.checksumsRight(&nic.Frame{Parts: [][]byte{frame}})
	}
	frame := datagram(1, 2, []byte("data"))
	if !right(frame) {
		t.Fatal("a good one is wrong")
	}
	for i := header.EthernetMinimumSize; i < len(frame); i++ {
		bad := bytes.Clone(frame)
		bad[i] ^= 0x10
		if right(bad) {
			t.Errorf("byte %d may be anything", i)
		}
	}
	for i := range frame { // cut anywhere
		if i >= header.EthernetMinimumSize {
			right(frame[:i])
		}
	}
}

// TestFragments: a datagram in fragments gets to the program if its checksum is right.
func TestFragments(t *testing.T) {
	c := newCable(1)
	c.send = func(nic.Frame) {}
	n := start(t, "10.0.0.1/24", c)
	s := open(t, n, afInet, sockDgram)
	s.Bind(addr4Of(10, 0, 0, 1, 81))
	const head = header.EthernetMinimumSize + header.IPv4MinimumSize
	for i, data := range []string{"a datagram in two fragments", "a datagram that is damaged..", "a datagram in two fragments"} {
		whole := datagram(1, 81, []byte(data))
		ip := header.IPv4(whole[header.EthernetMinimumSize:])
		src, dst := ip.SourceAddress(), tcpip.AddrFrom4(serverIP)
		udp := header.UDP(ip.Payload())
		udp.SetChecksum(0)
		udp.SetChecksum(^checksum.Checksum(udp, header.PseudoHeaderChecksum(header.UDPProtocolNumber, src, dst, udp.Length())))
		whole[len(whole)-1] ^= byte(i % 2)
		const cut = head + 16
		for k, payload := range [][]byte{whole[head:cut], whole[cut:]} {
			b := append(bytes.Clone(whole[:head]), payload...)
			copy(b, "\x02\x00\x00\x00\x00\x01")
			ip := header.IPv4(b[header.EthernetMinimumSize:])
			ip.SetDestinationAddress(dst)
			ip.SetTotalLength(uint16(len(ip)))
			ip.SetID(uint16(i))
			ip.SetFlagsFragmentOffset(uint8(1-k)*header.IPv4FlagMoreFragments, uint16(16*k))
			ip.SetChecksum(0)
			ip.SetChecksum(^ip.CalculateChecksum())
			c.receive(nic.Frame{Parts: [][]byte{b}})
		}
	}
	for range 2 {
		buf := make([]byte, 100)
		var k int
		if err := s.await(func() (err errno.Errno) {
			k, err = s.Receive(&socket.Message{Data: &memory{buf}})
			return err
		}); err != 0 || string(buf[:k]) != "a datagram in two fragments" {
			t.Errorf("%q, %v", buf[:k], err)
		}
	}
}

// dhcpServer answers a client at the other end of a cable.
type dhcpServer struct {
	c       *cable
	deaf    int // how many messages it does not hear
	options []byte
	refuse  bool

	mu   sync.Mutex
	seen []byte // kinds of messages
}

func (s *dhcpServer) receive(f nic.Frame) {
	eth := header.Ethernet(f.Parts[0])
	if eth.Type() != header.IPv4ProtocolNumber {
		return
	}
	ip := header.IPv4(eth[header.EthernetMinimumSize:])
	udp := header.UDP(ip.Payload())
	if ip.CalculateChecksum() != 0xffff || udp.DestinationPort() != dhcpServerPort {
		return
	}
	m := udp.Payload()
	kind := m[dhcpFixed+2]
	s.mu.Lock()
	s.seen = append(s.seen, kind)
	deaf := len(s.seen) <= s.deaf
	s.mu.Unlock()
	if deaf {
		return
	}
	answer := byte(dhcpOffer)
	if kind == dhcpAsk {
		if answer = dhcpAck; s.refuse {
			s.refuse = false
			answer = dhcpNak
		}
	}
	r := make([]byte, dhcpFixed)
	copy(r, m)
	r[0] = dhcpReply
	copy(r[16:], []byte{192, 168, 7, 9})
	r = append(r, optType, 1, answer, optServer, 4, 192, 168, 7, 1)
	r = append(r, s.options...)
	r = append(r, optEnd)
	s.c.receive(nic.Frame{Parts: [][]byte{datagram(dhcpServerPort, dhcpClientPort, r)}})
}

// datagram is a frame to all from 192.168.7.1.
func datagram(from, to uint16, b []byte) []byte {
	head := make([]byte, header.EthernetMinimumSize+header.IPv4MinimumSize+header.UDPMinimumSize)
	header.Ethernet(head).Encode(&header.EthernetFields{SrcAddr: "\x02\x00\x00\x00\x00\x07", DstAddr: header.EthernetBroadcastAddress, Type: header.IPv4ProtocolNumber})
	ip := header.IPv4(head[header.EthernetMinimumSize:])
	size := uint16(header.UDPMinimumSize + len(b))
	src := tcpip.AddrFrom4([4]byte{192, 168, 7, 1})
	ip.Encode(&header.IPv4Fields{TotalLength: header.IPv4MinimumSize + size, TTL: 64, Protocol: uint8(header.UDPProtocolNumber),
		SrcAddr: src, DstAddr: header.IPv4Broadcast})
	ip.SetChecksum(^ip.CalculateChecksum())
	udp := header.UDP(ip[header.IPv4MinimumSize:])
	udp.Encode(&header.UDPFields{SrcPort: from, DstPort: to, Length: size})
	udp.SetChecksum(^udp.CalculateChecksum(checksum.Checksum(b, header.PseudoHeaderChecksum(header.UDPProtocolNumber, src, header.IPv4Broadcast, size))))
	return append(head, b...)
}

// TestDHCP: what a server says is used; a lost message is sent again; a refusal
// starts anew.
func TestDHCP(t *testing.T) {
	c := newCable(1)
	s := &dhcpServer{c: c, deaf: 1, refuse: true, options: []byte{
		optMask, 4, 255, 255, 255, 0, optRouter, 8, 192, 168, 7, 1, 192, 168, 7, 2, optDNS, 8, 1, 1, 1, 1, 8, 8, 8, 8,
		0, 0, optDomain, 11, 'e', 'x', 'a', 'm', 'p', 'l', 'e', '.', 'o', 'r', 'g', optMTU, 2, 5, 0, optLease, 4, 0, 0, 14, 16}}
	c.send = s.receive
	n := start(t, "", c)
	if got := n.Table("pnp"); got != "search example.org\nnameserver 1.1.1.1\nnameserver 8.8.8.8\n" {
		t.Errorf("pnp: %q", got)
	}
	if want := string([]byte{dhcpDiscover, dhcpDiscover, dhcpAsk, dhcpDiscover, dhcpAsk}); string(s.seen) != want {
		t.Errorf("messages %v", s.seen)
	}
	if got := n.Table("route"); !strings.Contains(got, "eth0\t00000000\t0107A8C0\t0003") || !strings.Contains(got, "eth0\t0007A8C0\t00000000\t0001") {
		t.Errorf("routes:\n%s", got)
	}
	if got := n.Attribute("eth0", "mtu"); got != "1280\n" {
		t.Errorf("MTU %s", got)
	}
	if list := n.addresses(n.linkIndex("eth0")); len(list) == 0 || list[0].String() != "192.168.7.9/24" {
		t.Errorf("addresses %v", list)
	}
}

// TestDHCPGarbage: no message that a server may send does harm.
func TestDHCPGarbage(t *testing.T) {
	e := new(device)
	e.SetLinkAddress("\x02\x00\x00\x00\x00\x01")
	c := &dhcpClient{dev: e, id: 7, replies: make(chan dhcpMessage, 1)}
	good := make([]byte, dhcpFixed)
	good[0] = dhcpReply
	binary.BigEndian.PutUint32(good[4:], 7)
	copy(good[28:], e.mac())
	binary.BigEndian.PutUint32(good[236:], dhcpCookie)
	good = append(good, optType, 1, dhcpOffer, optRouter, 4, 1, 2, 3, 4, optEnd)
	frame := datagram(dhcpServerPort, dhcpClientPort, good)
	for i := range frame { // cut anywhere
		c.take(frame[:i])
	}
	for i := range len(good) {
		c.parse(good[:i])
	}
	if !c.take(frame) || len(c.replies) != 1 || !c.take(frame) || c.take(datagram(dhcpServerPort, dhcpClientPort, append([]byte{dhcpRequest}, good[1:]...))) {
		t.Error("a good one was not taken, or another was")
	}
	for _, options := range []string{"\x35", "\x35\x01", "\x35\x00\xff", "\x03\x03\x01\x02\x03\x35\x01\x02\xff", "\x35\x01\x02\x0f\xff\x00", "\x00\x00\x00"} {
		c.parse(append(good[:dhcpFixed:dhcpFixed], options...))
	}
}

// TestStatic: what is wrong with an address on the command line is said.
func TestStatic(t *testing.T) {
	for _, s := range []string{"x", "10.0.0.1", "10.0.0.1/33", "10.0.0.1/24,dns=x", "10.0.0.1/24,,"} {
		var mu sync.Mutex
		var said []string
		n := New(func(p []byte) { rand.Read(p) }, plenty)
		c := newCable(1)
		c.send = func(nic.Frame) {}
		n.Start(Config{FindDevices: func() { n.Attach(c) }, Static: s, Log: func(s string) {
			mu.Lock()
			said = append(said, s)
			mu.Unlock()
		}})
		n.configured()
		mu.Lock()
		if s != "10.0.0.1" && len(said) != 1 {
			t.Errorf("%s: %q", s, said)
		}
		mu.Unlock()
	}
}

// TestClock: the monotonic time is what it is taken for.
func TestClock(t *testing.T) {
	var zero tcpip.MonotonicTime
	before := time.Duration(nanotime())
	now := (&clock{}).NowMonotonic().Sub(zero)
	if after := time.Duration(nanotime()); now < before || now > after {
		t.Errorf("%v, between %v and %v", now, before, after)
	}
}

// TestMalformed: frames that make no sense, also such as the device swears to be right,
// do no harm, and what makes sense is answered afterwards.
func TestMalformed(t *testing.T) {
	c := newCable(1)
	var mu sync.Mutex
	var samples [][]byte
	c.send = func(f nic.Frame) {
		mu.Lock()
		samples = append(samples, f.Parts[0])
		mu.Unlock()
	}
	n := start(t, "10.0.0.1/24,fd00::1/64", c)
	for _, kind := range []int32{sockStream, sockDgram} { // frames of many kinds, to be sent back
		s := open(t, n, afInet, kind)
		s.Bind(addr4Of(10, 0, 0, 1, 80))
		s.Listen(4)
		d := open(t, n, afInet, kind)
		d.Connect(addr4Of(10, 0, 0, 9, 80))
		d.Send(&socket.Message{Data: &memory{[]byte("data")}})
	}
	r := mathrand.New(mathrand.NewPCG(1, 2))
	mu.Lock()
	list := append(slices.Clone(samples), datagram(1, 80, []byte("data")), datagram(dhcpServerPort, dhcpClientPort, make([]byte, 300)))
	mu.Unlock()
	e := c.h.(*device)
	for range 100_000 {
		var frames []nic.Frame
		for range 1 + r.IntN(4) {
			b := bytes.Clone(list[r.IntN(len(list))])
			copy(b, "\x02\x00\x00\x00\x00\x01") // to us
			for range r.IntN(6) {
				b[r.IntN(len(b))] = byte(r.Uint32())
			}
			if r.IntN(4) == 0 {
				b = b[:r.IntN(len(b))]
			}
			if r.IntN(8) == 0 {
				b = append(b, make([]byte, r.IntN(3000))...)
			}
			frames = append(frames, nic.Frame{Parts: [][]byte{b}, ChecksumValid: r.IntN(2) == 0})
		}
		e.Receive(frames)
	}
	s := open(t, n, afInet, sockDgram)
	s.Bind(addr4Of(10, 0, 0, 1, 81))
	c.receive(nic.Frame{Parts: [][]byte{to(datagram(1, 81, []byte("still")), [4]byte{10, 0, 0, 1})}, ChecksumValid: true})
	buf := make([]byte, 10)
	if err := s.await(func() (err errno.Errno) {
		_, err = s.Receive(&socket.Message{Data: &memory{buf}})
		return err
	}); err != 0 || string(buf[:5]) != "still" {
		t.Errorf("%q, %v", buf, err)
	}
}

// to gives a datagram another destination.
func to(frame []byte, addr [4]byte) []byte {
	copy(frame, "\x02\x00\x00\x00\x00\x01")
	copy(frame[30:], addr[:])
	return frame
}

// early is a cable that something waits at when it is plugged in.
type early struct {
	*cable
	frame []byte
}

func (e early) Start(h nic.Handler) error {
	e.cable.Start(h)
	e.receive(nic.Frame{Parts: [][]byte{e.frame}})
	return nil
}

// TestEarly: who asks for the address before the device has it gets an answer, and everybody
// is told.
func TestEarly(t *testing.T) {
	arp := func(to string, op header.ARPOp, mac, ip, target string) []byte {
		b := make([]byte, header.EthernetMinimumSize+header.ARPSize)
		header.Ethernet(b).Encode(&header.EthernetFields{SrcAddr: tcpip.LinkAddress(mac), DstAddr: tcpip.LinkAddress(to), Type: header.ARPProtocolNumber})
		h := header.ARP(b[header.EthernetMinimumSize:])
		h.SetIPv4OverEthernet()
		h.SetOp(op)
		copy(h.HardwareAddressSender(), mac)
		copy(h.ProtocolAddressSender(), ip)
		copy(h.ProtocolAddressTarget(), target)
		return b
	}
	const all, him, me = "\xff\xff\xff\xff\xff\xff", "\x02\x00\x00\x00\x00\x02", "\x02\x00\x00\x00\x00\x01"
	const hisIP, myIP = "\x0a\x00\x00\x02", "\x0a\x00\x00\x01"
	c := newCable(1)
	sent := make(chan []byte, 16)
	c.send = func(f nic.Frame) {
		if b := f.Parts[0]; header.Ethernet(b).Type() == header.ARPProtocolNumber {
			sent <- b
		}
	}
	start(t, "10.0.0.1/24", early{c, arp(all, header.ARPRequest, him, hisIP, myIP)})
	reply := arp(him, header.ARPReply, me, myIP, hisIP)
	copy(header.ARP(reply[header.EthernetMinimumSize:]).HardwareAddressTarget(), him)
	for _, want := range [][]byte{arp(all, header.ARPRequest, me, myIP, myIP), reply} {
		if b := <-sent; !bytes.Equal(b, want) {
			t.Errorf("sent % x, want % x", b, want)
		}
	}
}
