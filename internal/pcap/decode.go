package pcap

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// decoded is what is to be known of a packet, as far as it was captured.
type decoded struct {
	kind     tcpip.NetworkProtocolNumber // EtherType, without VLAN tags
	src, dst netip.Addr                  // of IP, and of ARP's sender and target
	proto    tcpip.TransportProtocolNumber
	fragment bool   // not the first, so without a header of the transport
	payload  []byte // of IP or ARP, as far as it was captured
	size     int    // what it was: as IP says

	hasPorts         bool
	srcPort, dstPort uint16
}

var be = binary.BigEndian

func decode(p *Packet) (d decoded) {
	b := p.Bytes
	if len(b) < header.EthernetMinimumSize {
		return d
	}
	d.kind = tcpip.NetworkProtocolNumber(be.Uint16(b[12:]))
	b = b[header.EthernetMinimumSize:]
	const vlan, vlanService = 0x8100, 0x88a8
	for (d.kind == vlan || d.kind == vlanService) && len(b) >= 4 {
		d.kind = tcpip.NetworkProtocolNumber(be.Uint16(b[2:]))
		b = b[4:]
	}
	switch d.kind {
	case header.ARPProtocolNumber:
		d.payload, d.size = b, len(b)
		if len(b) >= header.ARPSize {
			a := header.ARP(b)
			d.src, _ = netip.AddrFromSlice(a.ProtocolAddressSender())
			d.dst, _ = netip.AddrFromSlice(a.ProtocolAddressTarget())
		}
	case header.IPv4ProtocolNumber:
		ip := header.IPv4(b)
		if len(b) < header.IPv4MinimumSize || int(ip.HeaderLength()) < header.IPv4MinimumSize || len(b) < int(ip.HeaderLength()) {
			return d
		}
		d.src, d.dst = netip.AddrFrom4(ip.SourceAddress().As4()), netip.AddrFrom4(ip.DestinationAddress().As4())
		d.proto, d.fragment = ip.TransportProtocol(), ip.FragmentOffset() != 0
		d.cut(b[ip.HeaderLength():], int(ip.TotalLength())-int(ip.HeaderLength()))
	case header.IPv6ProtocolNumber:
		ip := header.IPv6(b)
		if len(b) < header.IPv6MinimumSize {
			return d
		}
		d.src, d.dst = netip.AddrFrom16(ip.SourceAddress().As16()), netip.AddrFrom16(ip.DestinationAddress().As16())
		d.proto = ip.TransportProtocol()
		d.cut(b[header.IPv6MinimumSize:], int(ip.PayloadLength()))
		d.skipExtensions()
	}
	if d.proto == header.TCPProtocolNumber || d.proto == header.UDPProtocolNumber {
		if d.hasPorts = !d.fragment && len(d.payload) >= 4; d.hasPorts {
			d.srcPort, d.dstPort = be.Uint16(d.payload), be.Uint16(d.payload[2:])
		}
	}
	return d
}

// cut sets the payload without what Ethernet filled the frame up with.
func (d *decoded) cut(b []byte, size int) {
	d.size = max(size, 0)
	d.payload = b[:min(len(b), d.size)]
}

// skipExtensions leads over IPv6's extension headers (RFC 8200 section 4).
func (d *decoded) skipExtensions() {
	const hopByHop, routing, fragment, options = 0, 43, 44, 60
	for len(d.payload) >= 8 {
		size := 8
		switch d.proto {
		case hopByHop, routing, options:
			size = 8 + int(d.payload[1])*8
		case fragment:
			d.fragment = be.Uint16(d.payload[2:])&^7 != 0
		default:
			return
		}
		if size > len(d.payload) {
			return
		}
		d.proto = tcpip.TransportProtocolNumber(d.payload[0])
		d.payload = d.payload[size:]
		d.size -= size
	}
}

// String is what tcpdump -n prints of a packet, roughly: without its time.
func (p *Packet) String() string {
	d := decode(p)
	switch d.kind {
	case header.ARPProtocolNumber:
		return d.arp()
	case header.IPv4ProtocolNumber, header.IPv6ProtocolNumber:
		name := "IP "
		if d.kind == header.IPv6ProtocolNumber {
			name = "IP6 "
		}
		if !d.src.IsValid() {
			return name + "[cut off]"
		}
		return name + d.endpoint(d.src, d.srcPort) + " > " + d.endpoint(d.dst, d.dstPort) + ": " + d.transport()
	}
	if len(p.Bytes) < header.EthernetMinimumSize {
		return fmt.Sprintf("[cut off], length %d", p.Size)
	}
	return fmt.Sprintf("%v > %v, ethertype %#04x, length %d", net.HardwareAddr(p.Bytes[6:12]), net.HardwareAddr(p.Bytes[:6]), uint16(d.kind), p.Size)
}

func (d *decoded) endpoint(a netip.Addr, port uint16) string {
	if d.hasPorts {
		return fmt.Sprintf("%s.%d", a, port)
	}
	return a.String()
}

func (d *decoded) arp() string {
	if !d.src.IsValid() {
		return "ARP, [cut off]"
	}
	a := header.ARP(d.payload)
	switch a.Op() {
	case header.ARPRequest:
		return fmt.Sprintf("ARP, Request who-has %s tell %s, length %d", d.dst, d.src, d.size)
	case header.ARPReply:
		return fmt.Sprintf("ARP, Reply %s is-at %v, length %d", d.src, net.HardwareAddr(a.HardwareAddressSender()), d.size)
	}
	return fmt.Sprintf("ARP, operation %d, length %d", a.Op(), d.size)
}

func (d *decoded) transport() string {
	b := d.payload
	switch {
	case d.fragment:
		return fmt.Sprintf("fragment, length %d", d.size)
	case d.proto == header.TCPProtocolNumber && len(b) >= header.TCPMinimumSize:
		return d.tcp(header.TCP(b))
	case d.proto == header.UDPProtocolNumber && len(b) >= header.UDPMinimumSize:
		return fmt.Sprintf("UDP, length %d", d.size-header.UDPMinimumSize)
	case d.proto == header.ICMPv4ProtocolNumber && len(b) >= header.ICMPv4MinimumSize:
		h := header.ICMPv4(b)
		what, ok := map[header.ICMPv4Type]string{header.ICMPv4Echo: "echo request", header.ICMPv4EchoReply: "echo reply",
			header.ICMPv4DstUnreachable: "unreachable", header.ICMPv4TimeExceeded: "time exceeded", header.ICMPv4Redirect: "redirect"}[h.Type()]
		return icmp("ICMP", what, ok, byte(h.Type()), byte(h.Code()), h.Ident(), h.Sequence(), d.size)
	case d.proto == header.ICMPv6ProtocolNumber && len(b) >= header.ICMPv6MinimumSize:
		h := header.ICMPv6(b)
		what, ok := map[header.ICMPv6Type]string{header.ICMPv6EchoRequest: "echo request", header.ICMPv6EchoReply: "echo reply",
			header.ICMPv6DstUnreachable: "unreachable", header.ICMPv6PacketTooBig: "packet too big", header.ICMPv6TimeExceeded: "time exceeded",
			header.ICMPv6RouterSolicit: "router solicitation", header.ICMPv6RouterAdvert: "router advertisement",
			header.ICMPv6NeighborSolicit: "neighbor solicitation", header.ICMPv6NeighborAdvert: "neighbor advertisement"}[h.Type()]
		var id, seq uint16
		if len(b) >= header.ICMPv6EchoMinimumSize {
			id, seq = be.Uint16(b[4:]), be.Uint16(b[6:])
		}
		return icmp("ICMP6", what, ok, byte(h.Type()), byte(h.Code()), id, seq, d.size)
	}
	return fmt.Sprintf("protocol %d, length %d", d.proto, d.size)
}

func icmp(name, what string, known bool, kind, code byte, id, seq uint16, size int) string {
	switch {
	case strings.HasPrefix(what, "echo"):
		return fmt.Sprintf("%s %s, id %d, seq %d, length %d", name, what, id, seq, size)
	case known:
		return fmt.Sprintf("%s %s, code %d, length %d", name, what, code, size)
	}
	return fmt.Sprintf("%s type %d, code %d, length %d", name, kind, code, size)
}

func (d *decoded) tcp(h header.TCP) string {
	var b strings.Builder
	b.WriteString("Flags [")
	any := false
	for i, c := range "FSRP.UEW" { // of which tcpdump has the ACK, the dot, last
		if c != '.' && h.Flags()&(1<<i) != 0 {
			b.WriteRune(c)
			any = true
		}
	}
	ack := h.Flags()&header.TCPFlagAck != 0
	switch {
	case ack:
		b.WriteByte('.')
	case !any:
		b.WriteString("none")
	}
	data := max(d.size-int(h.DataOffset()), 0)
	seq := h.SequenceNumber()
	if data > 0 {
		fmt.Fprintf(&b, "], seq %d:%d", seq, seq+uint32(data))
	} else {
		fmt.Fprintf(&b, "], seq %d", seq)
	}
	if ack {
		fmt.Fprintf(&b, ", ack %d", h.AckNumber())
	}
	fmt.Fprintf(&b, ", win %d, length %d", h.WindowSize(), data)
	return b.String()
}
