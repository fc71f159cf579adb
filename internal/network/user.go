package network

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/link/fdbased"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// gatewayMAC is locally administered, and QEMU's gateway's too.
const gatewayMAC = tcpip.LinkAddress("\x52\x55\x0a\x00\x02\x02")

const nic = 1

// User is a running user-mode network.
type User struct {
	stack    *stack.Stack
	link     *captured
	resolver string // the host's name server
	ctx      context.Context
	cancel   context.CancelFunc
	open     sync.WaitGroup
	reached  atomic.Bool  // the guest has accepted a connection
	pings    atomic.Int32 // of the guest's, on their way

	connections atomic.Int64
}

// onTAP is the link to the guest at the other end of fd: a packet socket of the
// VMM's TAP device, with virtio-net headers. It owns fd.
func onTAP(fd int) (stack.LinkEndpoint, error) {
	link, err := fdbased.New(&fdbased.Options{
		FDs:                []int{fd},
		MTU:                MTU,
		EthernetHeader:     true,
		Address:            gatewayMAC,
		GSOMaxSize:         64 << 10,
		PacketDispatchMode: fdbased.RecvMMsg,
		RXChecksumOffload:  true, // the guest's packets never were on a wire
	})
	if err != nil {
		return nil, fmt.Errorf("user-mode network: %w", err)
	}
	return link, nil
}

// newUser serves the guest at the other end of link.
func newUser(link stack.LinkEndpoint) (*User, error) {
	u := &User{link: newCaptured(link), resolver: hostResolver()}
	u.ctx, u.cancel = context.WithCancel(context.Background())
	u.stack = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4},
	})
	sack := tcpip.TCPSACKEnabled(true)
	u.stack.SetTransportProtocolOption(tcp.ProtocolNumber, &sack)
	// Nothing is late on this wire, and who has many short connections would run out of ports, and of memory.
	shortly := tcpip.TCPTimeWaitTimeoutOption(time.Second)
	u.stack.SetTransportProtocolOption(tcp.ProtocolNumber, &shortly)
	u.share(0)
	const inFlight = 1024 // connections of the guest that the host has not answered yet
	u.stack.SetTransportProtocolHandler(tcp.ProtocolNumber, tcp.NewForwarder(u.stack, 0, inFlight, u.outTCP).HandlePacket)
	u.stack.SetTransportProtocolHandler(udp.ProtocolNumber, udp.NewForwarder(u.stack, u.outUDP).HandlePacket)
	u.stack.SetTransportProtocolHandler(icmp.ProtocolNumber4, u.forwardPings)
	if err := u.configure(); err != nil {
		return nil, errors.New("user-mode network: " + err.String())
	}
	return u, nil
}

// configure makes the stack answer for every address on the wire.
func (u *User) configure() tcpip.Error {
	if err := u.stack.CreateNIC(nic, u.link); err != nil {
		return err
	}
	for _, a := range []netip.Addr{Gateway, NameServer} {
		addr := tcpip.ProtocolAddress{
			Protocol:          ipv4.ProtocolNumber,
			AddressWithPrefix: tcpip.AddrFrom4(a.As4()).WithPrefix(),
		}
		if err := u.stack.AddProtocolAddress(nic, addr, stack.AddressProperties{}); err != nil {
			return err
		}
	}
	if err := u.stack.SetSpoofing(nic, true); err != nil {
		return err
	}
	if err := u.stack.SetPromiscuousMode(nic, true); err != nil {
		return err
	}
	net := Guest.Masked()
	subnet, err := tcpip.NewSubnet(tcpip.AddrFrom4(net.Addr().As4()), tcpip.MaskFromBytes([]byte{255, 255, 255, 0}))
	if err != nil {
		return &tcpip.ErrBadAddress{}
	}
	u.stack.SetRouteTable([]tcpip.Route{{Destination: subnet, NIC: nic}})
	return nil
}

// Close ends all connections.
func (u *User) Close() {
	u.cancel()
	u.stack.Close()
	u.open.Wait()
}

// outside is the host's address for what the guest calls addr:port.
func (u *User) outside(addr tcpip.Address, port uint16) string {
	a := netip.AddrFrom4(addr.As4())
	switch {
	case a == Gateway:
		a = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case a == NameServer && port == 53:
		return u.resolver
	}
	return netip.AddrPortFrom(a, port).String()
}

// outTCP makes a connection of the guest on the host.
func (u *User) outTCP(r *tcp.ForwarderRequest) {
	id := r.ID()
	var d net.Dialer
	far, err := d.DialContext(u.ctx, "tcp", u.outside(id.LocalAddress, id.LocalPort))
	if err != nil {
		r.Complete(true)
		return
	}
	var wq waiter.Queue
	ep, terr := r.CreateEndpoint(&wq)
	r.Complete(terr != nil)
	if terr != nil {
		far.Close()
		return
	}
	u.pump(far.(*net.TCPConn), gonet.NewTCPConn(&wq, ep))
}

// outUDP makes a socket on the host for one that the guest sends from.
func (u *User) outUDP(r *udp.ForwarderRequest) bool {
	id := r.ID()
	var wq waiter.Queue
	ep, terr := r.CreateEndpoint(&wq)
	if terr != nil {
		return true
	}
	near := gonet.NewUDPConn(&wq, ep)
	far, err := net.Dial("udp", u.outside(id.LocalAddress, id.LocalPort))
	if err != nil {
		near.Close()
		return true
	}
	u.open.Go(func() { u.pumpPackets(far, near) })
	return true
}

// duplex is a connection whose two directions end by themselves.
type duplex interface {
	net.Conn
	CloseRead() error
	CloseWrite() error
}

// share has the buffers of connections that are made from now on fit for n more or fewer of them: neither many nor
// those whose peers do not read are to take the host's memory. It returns a size for buffers to copy by.
func (u *User) share(n int64) int {
	const all, least, most, grown = 64 << 20, 16 << 10, 1 << 20, 8
	each := all / max(u.connections.Add(n), 1)
	size := int(min(max(each, least), most))
	receive := tcpip.TCPReceiveBufferSizeRangeOption{Min: 4 << 10, Default: size, Max: size * grown}
	u.stack.SetTransportProtocolOption(tcp.ProtocolNumber, &receive)
	send := tcpip.TCPSendBufferSizeRangeOption(receive)
	u.stack.SetTransportProtocolOption(tcp.ProtocolNumber, &send)
	return int(min(max(each/4, 2<<10), 32<<10))
}

// pump copies both ways until both have ended.
func (u *User) pump(a, b duplex) {
	u.open.Add(1)
	defer u.open.Done()
	size := u.share(1)
	defer u.share(-1)
	stop := context.AfterFunc(u.ctx, func() { a.Close(); b.Close() })
	defer stop()
	var both sync.WaitGroup
	one := func(to, from duplex) {
		// Without their own ReadFrom and WriteTo, which take no buffer.
		_, err := io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, make([]byte, size))
		if err != nil { // broken, not ended: nothing of it is to be waited for
			to.Close()
			from.Close()
			return
		}
		to.CloseWrite()
		from.CloseRead()
	}
	both.Go(func() { one(a, b) })
	one(b, a)
	both.Wait()
	a.Close()
	b.Close()
}

// idle is how long a UDP conversation lasts without a packet.
const idle = 90 * time.Second

// pumpPackets copies packets both ways until there are none for a while.
func (u *User) pumpPackets(a, b net.Conn) {
	stop := context.AfterFunc(u.ctx, func() { a.Close(); b.Close() })
	defer stop()
	var last atomic.Int64
	last.Store(time.Now().UnixNano())
	one := func(to, from net.Conn) {
		buf := make([]byte, 64<<10)
		for {
			from.SetReadDeadline(time.Now().Add(idle))
			n, err := from.Read(buf)
			var t interface{ Timeout() bool }
			switch {
			case err == nil:
				last.Store(time.Now().UnixNano())
				to.Write(buf[:n])
				continue
			case errors.As(err, &t) && t.Timeout() && time.Since(time.Unix(0, last.Load())) < idle:
				continue // the other direction lives
			}
			to.Close()
			from.Close()
			return
		}
	}
	var both sync.WaitGroup
	both.Go(func() { one(a, b) })
	one(b, a)
	both.Wait()
}

// serve leads what comes in at a port of the host to the guest.
func (u *User) serve(f Forward, l closer) {
	to := tcpip.FullAddress{NIC: nic, Addr: tcpip.AddrFrom4(Guest.Addr().As4()), Port: f.Guest}
	context.AfterFunc(u.ctx, func() { l.Close() })
	switch l := l.(type) {
	case net.Listener:
		asks := make(chan struct{}, 1)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			u.open.Go(func() { u.inTCP(c.(*net.TCPConn), to, asks) })
		}
	case net.PacketConn:
		u.inUDP(l, to)
	}
}

// inTCP makes a connection of the host to the guest.
func (u *User) inTCP(c *net.TCPConn, to tcpip.FullAddress, asks chan struct{}) {
	g, err := u.dialGuest(to, asks)
	if err != nil {
		c.SetLinger(0) // a reset, as the guest itself would have answered
		c.Close()
		return
	}
	u.pump(c, g)
}

// dialGuest connects to the guest. Until the guest has sent something it has no network yet, and what is sent
// to it is lost, to be sent again only after a second. Until it has accepted a first connection, it may
// not listen yet: it is asked again for a while, by one who has asks on behalf of all, or
// it would have nothing else to do than to refuse.
func (u *User) dialGuest(to tcpip.FullAddress, asks chan struct{}) (*gonet.TCPConn, error) {
	const patience, again = 10 * time.Second, 2 * time.Millisecond
	if !u.reached.Load() {
		select {
		case <-u.link.heard:
		case <-time.After(patience): // it may be one that only answers
		case <-u.ctx.Done():
		}
		asks <- struct{}{}
		if u.reached.Load() {
			<-asks
		} else {
			defer func() { <-asks }()
		}
	}
	begin := time.Now()
	for {
		// A guest that is busy may let SYNs drop for as long as TCP sends them anew.
		g, err := gonet.DialContextTCP(u.ctx, u.stack, to, ipv4.ProtocolNumber)
		if err == nil {
			u.reached.Store(true)
			return g, nil
		}
		if u.reached.Load() || u.ctx.Err() != nil || time.Since(begin) > patience {
			return nil, err
		}
		time.Sleep(again)
	}
}

// inUDP keeps a socket towards the guest for every peer of the host's.
func (u *User) inUDP(l net.PacketConn, to tcpip.FullAddress) {
	var mu sync.Mutex
	peers := map[string]*gonet.UDPConn{}
	buf := make([]byte, 64<<10)
	for {
		n, from, err := l.ReadFrom(buf)
		if err != nil {
			return
		}
		key := from.String()
		mu.Lock()
		g := peers[key]
		if g == nil {
			if g, err = gonet.DialUDP(u.stack, nil, &to, ipv4.ProtocolNumber); err != nil {
				mu.Unlock()
				continue
			}
			peers[key] = g
			u.open.Go(func() {
				defer func() {
					mu.Lock()
					delete(peers, key)
					mu.Unlock()
					g.Close()
				}()
				stop := context.AfterFunc(u.ctx, func() { g.Close() })
				defer stop()
				buf := make([]byte, 64<<10)
				for {
					g.SetReadDeadline(time.Now().Add(idle))
					n, err := g.Read(buf)
					if err != nil {
						return
					}
					if _, err := l.WriteTo(buf[:n], from); err != nil {
						return
					}
				}
			})
		}
		mu.Unlock()
		g.Write(buf[:n])
	}
}

// hostResolver is the address of the host's name server: the first of
// resolv.conf, or what the C library takes without one (man 5 resolv.conf).
func hostResolver() string {
	b, _ := os.ReadFile("/etc/resolv.conf")
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "nameserver" {
			if a, err := netip.ParseAddr(f[1]); err == nil {
				return netip.AddrPortFrom(a, 53).String()
			}
		}
	}
	return "127.0.0.1:53"
}
