package network

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/link/fdbased"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"gosv/internal/echo"
)

// This test binary plays the process that gosv starts in the namespace, and
// then the VMM with a guest in it.
func TestMain(m *testing.M) {
	switch os.Getenv("GOSV_TEST_ROLE") {
	case "enter":
		os.Setenv("GOSV_TEST_ROLE", "guest")
		fmt.Fprintln(os.Stderr, Enter(0, []string{os.Args[0], os.Args[1]}))
		os.Exit(1)
	case "guest":
		if err := guest(os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, "guest:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestParseForward(t *testing.T) {
	for s, want := range map[string]string{
		"8080:80":           "127.0.0.1:8080 to 80/tcp",
		"0:80/tcp":          "127.0.0.1:0 to 80/tcp",
		"0.0.0.0:8080:80":   "0.0.0.0:8080 to 80/tcp",
		"[::1]:5353:53/udp": "[::1]:5353 to 53/udp",
	} {
		f, err := ParseForward(s)
		if err != nil || f.String() != want {
			t.Errorf("%s: %v, %v; want %s", s, f, err, want)
		}
	}
	for _, s := range []string{"", "80", "80:", ":80", "80:0", "70000:80", "80:80:80", "x:80:80", "80:80/sctp", "-1:80"} {
		if f, err := ParseForward(s); err == nil || !strings.HasPrefix(err.Error(), "-p "+s+":") {
			t.Errorf("%q: %v, %v", s, f, err)
		}
	}
}

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f := Forward{"tcp", l.Addr().(*net.TCPAddr).AddrPort(), 80}
	if _, err := NewWire([]Forward{f}, false); !errors.Is(err, unix.EADDRINUSE) {
		t.Error(err)
	}
}

// connect starts a guest that does as told and returns its network.
func connect(t *testing.T, what string, forwards ...Forward) (*User, *exec.Cmd) {
	t.Helper()
	w, err := NewWire(forwards, false)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], what)
	cmd.Env = append(os.Environ(), "GOSV_TEST_ROLE=enter")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := w.Start(cmd); err != nil {
		w.Close()
		t.Skip(err)
	}
	u, err := w.Connect()
	if err != nil {
		cmd.Wait()
		if strings.Contains(err.Error(), "/dev/net/tun") {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		u.Close()
		cmd.Process.Kill()
		cmd.Wait()
	})
	return u, cmd
}

// freePort is one that nobody uses now.
func freePort(t *testing.T, network string) netip.AddrPort {
	t.Helper()
	f := Forward{Network: network, Host: netip.MustParseAddrPort("127.0.0.1:0")}
	l, err := f.listen()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if p, ok := l.(net.PacketConn); ok {
		return p.LocalAddr().(*net.UDPAddr).AddrPort()
	}
	return l.(net.Listener).Addr().(*net.TCPAddr).AddrPort()
}

// The guest's server is up later than its port on the host, gets all bytes and
// sees the end of them.
func TestIn(t *testing.T) {
	f := Forward{"tcp", freePort(t, "tcp"), 80}
	connect(t, "late-echo", f)
	// Less than the buffers take: a netstack that is not the kernel's comes to no end when
	// both ends' are full in both directions (cmd/mkkernel/netstack.go).
	data := bytes.Repeat([]byte("to the guest and back. "), 20_000)
	for range 2 {
		c, err := net.Dial("tcp", f.Host.String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		go func() {
			c.Write(data)
			c.(*net.TCPConn).CloseWrite()
		}()
		got, err := io.ReadAll(c)
		if err != nil || sha256.Sum256(got) != sha256.Sum256(data) {
			t.Errorf("%d bytes came back of %d: %v", len(got), len(data), err)
		}
	}
}

func TestInUDP(t *testing.T) {
	f := Forward{"udp", freePort(t, "udp"), 53}
	connect(t, "udp-echo", f)
	c, err := net.Dial("udp", f.Host.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	buf := make([]byte, 100)
	for range 100 { // until the guest is up
		c.Write([]byte("ping"))
		c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if n, err := c.Read(buf); err == nil && string(buf[:n]) == "ping" {
			return
		}
	}
	t.Error("no answer")
}

// The guest reaches the host's loopback, by TCP and by UDP; where nobody
// listens it is refused.
func TestOut(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(c, c)
				c.Close()
			}()
		}
	}()
	p, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := p.ReadFrom(buf)
			if err != nil {
				return
			}
			p.WriteTo(buf[:n], from)
		}
	}()
	closed := freePort(t, "tcp")
	_, cmd := connect(t, fmt.Sprintf("out %d %d %d", l.Addr().(*net.TCPAddr).Port, p.LocalAddr().(*net.UDPAddr).Port, closed.Port()))
	if err := cmd.Wait(); err != nil {
		t.Error("the guest: ", err)
	}
}

// TestNotUpYet: who connects before the guest has a network waits for the first that it sends. What would be
// sent to it before is lost, and is sent again only a second later.
func TestNotUpYet(t *testing.T) {
	link := channel.New(16, MTU, gatewayMAC)
	u, err := newUser(link)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	asks := make(chan struct{}, 1)
	to := tcpip.FullAddress{NIC: nic, Addr: tcpip.AddrFrom4(Guest.Addr().As4()), Port: 80}
	u.open.Go(func() { u.dialGuest(to, asks) })
	time.Sleep(100 * time.Millisecond)
	if n := link.NumQueued(); n != 0 {
		t.Errorf("%d frames for a guest that has sent none", n)
	}
	announcement := make(header.ARP, header.ARPSize)
	announcement.SetIPv4OverEthernet()
	announcement.SetOp(header.ARPRequest)
	copy(announcement.ProtocolAddressSender(), to.Addr.AsSlice())
	copy(announcement.ProtocolAddressTarget(), to.Addr.AsSlice())
	p := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(announcement)})
	defer p.DecRef()
	link.InjectInbound(arp.ProtocolNumber, p)
	syn := link.ReadContext(t.Context())
	defer syn.DecRef()
	if syn.NetworkProtocolNumber != ipv4.ProtocolNumber {
		t.Errorf("a packet of protocol %#x for the guest", syn.NetworkProtocolNumber)
	}
}

// guest is a machine at the other end of the TAP device.
func guest(what string) error {
	tun, err := unix.Open("/dev/net/tun", unix.O_RDWR, 0)
	if err != nil {
		return err
	}
	req, err := unix.NewIfreq(TAP)
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(tun, unix.TUNSETIFF, req); err != nil {
		return err
	}
	link, err := fdbased.New(&fdbased.Options{FDs: []int{tun}, MTU: MTU, EthernetHeader: true, Address: "\x02\x00\x00\x00\x00\x01"})
	if err != nil {
		return err
	}
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4},
	})
	if err := s.CreateNIC(1, link); err != nil {
		return errors.New(err.String())
	}
	own := tcpip.ProtocolAddress{Protocol: ipv4.ProtocolNumber, AddressWithPrefix: tcpip.AddressWithPrefix{Address: tcpip.AddrFrom4(Guest.Addr().As4()), PrefixLen: 24}}
	if err := s.AddProtocolAddress(1, own, stack.AddressProperties{}); err != nil {
		return errors.New(err.String())
	}
	gateway := tcpip.AddrFrom4(Gateway.As4())
	s.SetRouteTable([]tcpip.Route{{Destination: own.AddressWithPrefix.Subnet(), NIC: 1}, {Destination: header.IPv4EmptySubnet, Gateway: gateway, NIC: 1}})
	if addr, ok := strings.CutPrefix(what, "ping "); ok {
		a, err := netip.ParseAddr(addr)
		if err != nil {
			return err
		}
		_, err = echo.Ping(s, tcpip.AddrFrom4(a.As4()), 10*time.Second)
		return err
	}
	var tcpPort, udpPort, closed uint16
	switch _, err := fmt.Sscanf(what, "out %d %d %d", &tcpPort, &udpPort, &closed); {
	case err == nil:
		return out(s, gateway, tcpPort, udpPort, closed)
	case what == "udp-echo":
		c, err := gonet.DialUDP(s, &tcpip.FullAddress{Port: 53}, nil, ipv4.ProtocolNumber)
		if err != nil {
			return err
		}
		buf := make([]byte, 1500)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return err
			}
			c.WriteTo(buf[:n], from)
		}
	}
	if err := s.GetLinkAddress(1, gateway, own.AddressWithPrefix.Address, ipv4.ProtocolNumber, nil); err != nil {
		if _, asks := err.(*tcpip.ErrWouldBlock); !asks { // which is to be heard
			return errors.New(err.String())
		}
	}
	time.Sleep(100 * time.Millisecond) // late-echo: connections come before there is a listener
	l, err := gonet.ListenTCP(s, tcpip.FullAddress{Port: 80}, ipv4.ProtocolNumber)
	if err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			io.Copy(c, c)
			c.Close()
		}()
	}
}

// out talks to the host's echo servers.
func out(s *stack.Stack, gateway tcpip.Address, tcpPort, udpPort, closed uint16) error {
	c, err := gonet.DialTCP(s, tcpip.FullAddress{Addr: gateway, Port: tcpPort}, ipv4.ProtocolNumber)
	if err != nil {
		return err
	}
	data := bytes.Repeat([]byte("to the host and back. "), 200_000)
	go func() {
		c.Write(data)
		c.CloseWrite()
	}()
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, data) {
		return fmt.Errorf("TCP: %d bytes came back of %d: %v", len(got), len(data), err)
	}
	u, err := gonet.DialUDP(s, nil, &tcpip.FullAddress{Addr: gateway, Port: udpPort}, ipv4.ProtocolNumber)
	if err != nil {
		return err
	}
	u.Write([]byte("ping"))
	u.SetReadDeadline(time.Now().Add(10 * time.Second))
	buf := make([]byte, 100)
	if n, err := u.Read(buf); err != nil || string(buf[:n]) != "ping" {
		return fmt.Errorf("UDP: %q, %v", buf[:n], err)
	}
	if c, err := gonet.DialTCP(s, tcpip.FullAddress{Addr: gateway, Port: closed}, ipv4.ProtocolNumber); err == nil {
		c.Close()
		return errors.New("a connection to a port where nobody listens")
	}
	return nil
}
