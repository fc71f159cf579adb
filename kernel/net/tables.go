package net

import (
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

// Table implements linux.Network (proc(5), /proc/net).
func (n *Network) Table(name string) string {
	if addr, ok := strings.CutPrefix(name, "ping/"); ok {
		return n.ping(addr)
	}
	n.attached()
	n.up()
	var b strings.Builder
	switch name {
	case "pnp":
		return n.resolver()
	case "tcp":
		n.sockets(&b, tcp.ProtocolNumber, ipv4.ProtocolNumber)
	case "tcp6":
		n.sockets(&b, tcp.ProtocolNumber, ipv6.ProtocolNumber)
	case "udp":
		n.sockets(&b, udp.ProtocolNumber, ipv4.ProtocolNumber)
	case "udp6":
		n.sockets(&b, udp.ProtocolNumber, ipv6.ProtocolNumber)
	case "dev":
		n.deviceTable(&b)
	case "route":
		n.routeTable(&b)
	case "ipv6_route":
		n.routeTable6(&b)
	case "if_inet6":
		n.addressTable6(&b)
	case "tcp_rmem":
		var v tcpip.TCPReceiveBufferSizeRangeOption
		n.stack.TransportProtocolOption(tcp.ProtocolNumber, &v)
		fmt.Fprintf(&b, "%d\t%d\t%d\n", v.Min, v.Default, v.Max)
	case "tcp_wmem":
		var v tcpip.TCPSendBufferSizeRangeOption
		n.stack.TransportProtocolOption(tcp.ProtocolNumber, &v)
		fmt.Fprintf(&b, "%d\t%d\t%d\n", v.Min, v.Default, v.Max)
	case "arp":
		n.neighborTable(&b)
	}
	return b.String()
}

// sockets writes the sockets of a protocol that have ports.
func (n *Network) sockets(b *strings.Builder, transport tcpip.TransportProtocolNumber, network tcpip.NetworkProtocolNumber) {
	size := 4
	head := "local_address rem_address  "
	if network == ipv6.ProtocolNumber {
		size = 16
		head = "local_address                         remote_address                       "
	}
	head = "  sl  " + head + " st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
	width, tail := 149, " 1 0000000000000000 100 0 0 10 0"
	if transport == udp.ProtocolNumber {
		width, tail = 127, " 2 0000000000000000 0"
		head = head + " ref pointer drops"
		if size == 4 {
			head = " " + head
		}
	}
	if size == 16 {
		width = 0 // those lines are as long as they are
	}
	fmt.Fprintf(b, "%-*s\n", width, head)
	n.mu.Lock()
	inodes := maps.Clone(n.inodes)
	n.mu.Unlock()
	seen := map[stack.TransportEndpoint]bool{}
	for _, t := range n.stack.RegisteredEndpoints() {
		// What is in TIME-WAIT is no tcpip.Endpoint any more.
		tells, ok := t.(interface {
			Info() tcpip.EndpointInfo
			State() uint32
		})
		if !ok || seen[t] {
			continue
		}
		seen[t] = true
		info, ok := tells.Info().(*stack.TransportEndpointInfo)
		if !ok || info.TransProto != transport || info.NetProto != network {
			continue
		}
		state, in, sent := uint8(7), 0, 0
		e, _ := t.(tcpip.Endpoint)
		if e != nil {
			in, _ = e.GetSockOptInt(tcpip.ReceiveQueueSizeOption)
		}
		switch {
		case transport == tcp.ProtocolNumber:
			state = tcpStates[min(int(tells.State()), len(tcpStates)-1)]
			if e != nil {
				sent = unacknowledged(e)
			}
		case info.ID.RemotePort != 0:
			state = 1
		}
		line := fmt.Sprintf("%4d: %s:%04X %s:%04X %02X %08X:%08X 00:00000000 00000000 %5d %8d %d", len(seen)-1,
			words(info.ID.LocalAddress, size), info.ID.LocalPort, words(info.ID.RemoteAddress, size), info.ID.RemotePort,
			state, max(sent, 0), max(in, 0), 0, 0, inodes[e])
		if transport == udp.ProtocolNumber {
			line = " " + line
		}
		fmt.Fprintf(b, "%-*s\n", width, line+tail)
	}
}

// words is an address as 32-bit numbers in the CPU's order, as these tables have it.
func words(a tcpip.Address, size int) string {
	b := make([]byte, size)
	if size == 16 && a.Len() == 4 {
		a = mapTo6(a.As4())
	}
	copy(b, a.AsSlice())
	s := ""
	for ; len(b) > 0; b = b[4:] {
		s += fmt.Sprintf("%08X", le.Uint32(b))
	}
	return s
}

func (n *Network) deviceTable(b *strings.Builder) {
	fmt.Fprint(b, "Inter-|   Receive                                                |  Transmit\n"+
		" face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n")
	infos := n.stack.NICInfo()
	for _, l := range n.all() {
		s := infos[l.index].Stats
		fmt.Fprintf(b, "%6s: %7d %7d %4d %4d %4d %5d %10d %9d %8d %7d %4d %4d %4d %5d %7d %10d\n", l.name,
			s.Rx.Bytes.Value(), s.Rx.Packets.Value(), 0, 0, 0, 0, 0, 0, s.Tx.Bytes.Value(), s.Tx.Packets.Value(), 0, 0, 0, 0, 0, 0)
	}
}

// Flags of routes that netlink has no word for (linux/ipv6_route.h).
const (
	rtfNonexthop = 0x200000
	rtfLocal     = 0x80000000
)

func (r *route) rtf() uint32 {
	flags := uint32(rtfUp)
	if r.gateway.Len() != 0 {
		flags |= rtfGateway
	}
	switch {
	case r.kind == unix.RTN_LOCAL:
		flags |= rtfNonexthop | rtfLocal
	case r.v4() && r.to.PrefixLen == 32:
		flags |= rtfHost
	}
	return flags
}

func (n *Network) routeTable(b *strings.Builder) {
	const width = 127
	fmt.Fprintf(b, "%-*s\n", width, "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT")
	for _, r := range n.routes() {
		if !r.v4() || r.table != unix.RT_TABLE_MAIN {
			continue
		}
		subnet := r.to.Subnet()
		mask := subnet.Mask()
		fmt.Fprintf(b, "%-*s\n", width, fmt.Sprintf("%s\t%s\t%s\t%04X\t%d\t%d\t%d\t%08X\t%d\t%d\t%d", n.linkName(r.link),
			words(r.to.Address, 4), words(r.gateway, 4), r.rtf(), 0, 0, r.metric, le.Uint32(mask.AsSlice()), 0, 0, 0))
	}
}

func (n *Network) routeTable6(b *strings.Builder) {
	for _, r := range slices.Concat(n.routes(), n.localRoutes()) {
		if !r.v4() {
			fmt.Fprintf(b, "%s %02x %s 00 %s %08x %08x %08x %08x %8s\n", hex6(r.to.Address), r.to.PrefixLen, hex6(tcpip.Address{}),
				hex6(r.gateway), r.metric, 1, 0, r.rtf(), n.linkName(r.link))
		}
	}
}

func hex6(a tcpip.Address) string {
	var b [16]byte
	copy(b[:], a.AsSlice())
	return hex.EncodeToString(b[:])
}

func (n *Network) addressTable6(b *strings.Builder) {
	for _, l := range n.all() {
		for _, a := range n.addresses(l.index) {
			if !a.v4() {
				fmt.Fprintf(b, "%s %02x %02x %02x %02x %8s\n", hex6(a.Address), l.index, a.PrefixLen, scope(a.Address), uint8(a.state()), l.name)
			}
		}
	}
}

func (n *Network) neighborTable(b *strings.Builder) {
	fmt.Fprintln(b, "IP address       HW type     Flags       HW address            Mask     Device")
	for _, l := range n.all() {
		for _, e := range n.neighbors(l) {
			if e.Addr.Len() != header.IPv4AddressSize {
				continue
			}
			mac := e.LinkAddr
			if mac == "" {
				mac = noMAC
			}
			fmt.Fprintf(b, "%-16s 0x%-10x0x%-10x%s     *        %s\n", e.Addr, l.kind, arpFlags(e), mac, l.name)
		}
	}
}

// scope is where an IPv6 address is valid: IPV6_ADDR_LOOPBACK, IPV6_ADDR_LINKLOCAL or
// everywhere.
func scope(a tcpip.Address) int {
	switch {
	case a == header.IPv6Loopback:
		return 0x10
	case header.IsV6LinkLocalUnicastAddress(a):
		return 0x20
	}
	return 0
}

// Attribute implements linux.Network.
func (n *Network) Attribute(name, file string) string {
	l := n.byName(name)
	if l == nil {
		return ""
	}
	s := n.stack.NICInfo()[l.index].Stats
	switch file {
	case "address":
		return l.mac.String() + "\n"
	case "broadcast":
		return l.broadcastMAC().String() + "\n"
	case "addr_len":
		return "6\n"
	case "carrier":
		if !l.plugged() {
			return "0\n"
		}
		return "1\n"
	case "flags":
		const sysfs = iffUp | iffBroadcast | iffLoopback | iffMulticast | iffSettable // those that Linux shows there
		return fmt.Sprintf("%#x\n", l.flags&sysfs)
	case "ifindex", "iflink":
		return fmt.Sprintln(l.index)
	case "mtu":
		return fmt.Sprintln(l.mtu)
	case "operstate":
		_, state := l.operState()
		return state + "\n"
	case "tx_queue_len":
		return fmt.Sprintln(l.queue)
	case "type":
		return fmt.Sprintln(l.kind)
	case "collisions", "multicast", "rx_dropped", "rx_errors", "tx_dropped", "tx_errors": // are not counted
		return "0\n"
	case "rx_bytes":
		return fmt.Sprintln(s.Rx.Bytes.Value())
	case "rx_packets":
		return fmt.Sprintln(s.Rx.Packets.Value())
	case "tx_bytes":
		return fmt.Sprintln(s.Tx.Bytes.Value())
	case "tx_packets":
		return fmt.Sprintln(s.Tx.Packets.Value())
	}
	return ""
}
