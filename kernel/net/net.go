// Package net is the network: gVisor's netstack, and what makes of it what Linux
// programs expect of sockets. Only the kernel that is linked with it (package
// withnet) has one.
package net

import (
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/rand"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/loopback"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/raw"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"gosv/kernel/nic"
)

// Network implements linux.Network.
type Network struct {
	once  sync.Once
	stack *stack.Stack

	random       random
	memory       func() (free, kernel, total uint64)
	config       Config
	isAttached   chan struct{} // closed when the machine's devices are there
	isConfigured chan struct{} // closed when it is
	watched      atomic.Bool   // there is or was a packet socket
	callers      callers
	hold         hold
	lasts        lasts

	rtnl       sync.Mutex // held by who changes devices, addresses or routes, but for what netstack does of itself
	installing sync.Mutex // held while netstack gets the routes

	mu       sync.Mutex // guards what follows; who holds it calls nothing of netstack
	links    []*link    // by index, from 1 on; like the next two, another list after each change
	addrs    []*address
	fib      []*route
	netlinks []*netlinkSocket           // that are open
	ports    uint32                     // the last one of theirs that was given out
	cause    struct{ port, seq uint32 } // whose request it is that others are told of
	devices  []nic.Device
	dns      []string // addresses of name servers
	domain   string
	inodes   map[tcpip.Endpoint]uint64 // of sockets

	closes    closes
	collector collector
}

// New makes a network with the loopback device, which is set up when somebody needs
// it. Others come with Start. Random fills what it is given with random bytes; memory tells
// how many bytes are free, how many the kernel takes, and how many the machine has.
func New(random func(p []byte), memory func() (free, kernel, total uint64)) *Network {
	return &Network{random: random, memory: memory, isAttached: make(chan struct{}), isConfigured: make(chan struct{})}
}

// Numbers of network devices.
const loopbackNIC = 1

// defaultTTL is Linux's, of IPv4 and IPv6.
const defaultTTL = 64

// up sets the network up, the first time.
func (n *Network) up() {
	n.once.Do(func() {
		done := make(chan struct{})
		startingStackSize = deepestStack
		go func() {
			n.start()
			close(done)
		}()
		startingStackSize = deepStack
		<-done
	})
}

func (n *Network) start() {
	initPackages(n.random)
	announced := ipv6.DefaultNDPConfigurations()
	announced.AutoGenTempGlobalAddresses = false // as on Linux (use_tempaddr)
	version6 := ipv6.NewProtocolWithOptions(ipv6.Options{
		NDPConfigs:       announced,
		AutoGenLinkLocal: true,
		NDPDisp:          ndp{n},
	})
	n.stack = stack.New(stack.Options{
		NetworkProtocols:         []stack.NetworkProtocolFactory{n.newIPv4, version6, arp.NewProtocol},
		TransportProtocols:       []stack.TransportProtocolFactory{tcp.NewProtocolCUBIC, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
		RawFactory:               raw.EndpointFactory{},
		Clock:                    new(wheel),
		HandleLocal:              true,
		AllowPacketEndpointWrite: true,
		RandSource:               n.random,
		SecureRNG:                n.random,
	})
	n.tune()
	n.collector.relax()
	lo := &link{name: "lo", mtu: loopbackMTU, kind: arphrdLoopback, flags: iffUp | iffLoopback, mac: noMAC}
	n.addLink(lo, &loopbackDevice{LinkEndpoint: loopback.New(), net: n}, nil)
	n.addAddress(newAddress(lo, tcpip.AddressWithPrefix{Address: loopback4, PrefixLen: 8}))
	n.addAddress(newAddress(lo, tcpip.AddressWithPrefix{Address: header.IPv6Loopback, PrefixLen: 128}))
}

// newIPv4 makes IPv4, whose table of first identifications is 8 KiB of random numbers. They
// need not be the kernel's best, which cost nine instructions a byte.
func (n *Network) newIPv4(s *stack.Stack) stack.NetworkProtocol {
	q := quick(n.random.Uint64())
	rand.Reader = &q
	defer func() { rand.Reader = n.random }()
	return ipv4.NewProtocol(s)
}

// tune sets what Linux has other defaults for.
func (n *Network) tune() {
	ttl := tcpip.DefaultTTLOption(defaultTTL)
	n.stack.SetNetworkProtocolOption(ipv4.ProtocolNumber, &ttl)
	n.stack.SetNetworkProtocolOption(ipv6.ProtocolNumber, &ttl)
	// Linux's bounds are these on a machine with much memory, and else a 128th of it.
	const defaultReceive, defaultSend, share = 128 << 10, 256 << 10, 128
	_, _, total := n.memory()
	mostReceive, mostSend := min(max(int(total/share), defaultReceive), 6<<20), min(max(int(total/share), defaultSend), 4<<20)
	sack, moderate, nagle := tcpip.TCPSACKEnabled(true), tcpip.TCPModerateReceiveBufferOption(true), tcpip.TCPDelayEnabled(true)
	for _, o := range []tcpip.SettableTransportProtocolOption{
		&sack, &moderate, &nagle,
		&tcpip.TCPReceiveBufferSizeRangeOption{Min: leastReceiveBuf, Default: defaultReceive, Max: mostReceive}, // tcp_rmem
		&tcpip.TCPSendBufferSizeRangeOption{Min: leastSendBuf, Default: defaultSend, Max: mostSend},
	} {
		n.stack.SetTransportProtocolOption(tcp.ProtocolNumber, o)
	}
	const firstPort, lastPort = 32768, 60999 // ip_local_port_range
	n.stack.SetPortRange(firstPort, lastPort)
	n.stack.SetOption(tcpip.SendBufferSizeOption{Min: leastSendBuf, Default: defaultBuf, Max: 4 << 20})
	n.stack.SetOption(tcpip.ReceiveBufferSizeOption{Min: leastReceiveBuf, Default: defaultBuf, Max: 4 << 20})
}

// isLoopback says whether what goes to a stays on the machine whatever the network's
// configuration is.
func (n *Network) isLoopback(a tcpip.Address) bool {
	return header.IsV4LoopbackAddress(a) || a == header.IPv6Loopback ||
		a.Len() == 16 && header.IsV4LoopbackAddress(tcpip.AddrFrom4Slice(a.AsSlice()[12:])) && header.IsV4MappedAddress(a)
}

// random is the kernel's random numbers, as an io.Reader and as a source for package
// math/rand.
type random func(p []byte)

func (r random) Read(p []byte) (int, error) {
	r(p)
	return len(p), nil
}

func (r random) Uint64() uint64 {
	var b [8]byte
	r(b[:])
	return le.Uint64(b[:])
}

// quick is the random numbers of a generator that is not for secrets: Marsaglia's
// xorshift64.
type quick uint64

func (q *quick) Read(p []byte) (int, error) {
	x, b := uint64(*q)|1, p
	for ; len(b) >= 8; b = b[8:] {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		le.PutUint64(b, x)
	}
	for i := range b {
		b[i] = byte(x >> (i*8 + 3))
	}
	*q = quick(x)
	return len(p), nil
}

func (r random) Int63() int64 { return int64(r.Uint64() >> 1) }
func (random) Seed(int64)     {}
