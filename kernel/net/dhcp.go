package net

import (
	"encoding/binary"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"gosv/kernel/nic"
)

// dhcpClient gets a device's configuration from a DHCP server (RFC 2131). It makes
// and takes whole frames: netstack neither sends from no address nor receives for one
// that it does not have.
type dhcpClient struct {
	dev      *device
	hostName string
	id       uint32
	replies  chan dhcpMessage
}

// Ports, operations and options (RFC 2131, RFC 2132).
const (
	dhcpServerPort = 67
	dhcpClientPort = 68

	dhcpRequest  = 1
	dhcpReply    = 2
	dhcpCookie   = 0x63825363
	dhcpFixed    = 240 // bytes before the options
	dhcpSmallest = 300 // bytes that a message has at least, for old relays

	optMask      = 1
	optRouter    = 3
	optDNS       = 6
	optHostName  = 12
	optDomain    = 15
	optMTU       = 26
	optRequested = 50
	optLease     = 51
	optType      = 53
	optServer    = 54
	optWanted    = 55
	optRenewal   = 58
	optEnd       = 255

	dhcpDiscover = 1
	dhcpOffer    = 2
	dhcpAsk      = 3 // DHCPREQUEST
	dhcpAck      = 5
	dhcpNak      = 6
)

// dhcpMessage is what a server says.
type dhcpMessage struct {
	kind    byte
	addr    [4]byte
	server  [4]byte
	mask    [4]byte
	routers [][4]byte
	dns     [][4]byte
	domain  string
	mtu     int
	lease   time.Duration // 0: for ever
	renewal time.Duration
}

// run configures the device and keeps the lease, until the program configures it itself. configured
// is called when there is a first one, and then.
func (c *dhcpClient) run(configured func()) {
	defer configured()
	const first, longest = 250 * time.Millisecond, 16 * time.Second
	c.id = uint32(c.dev.net.random.Uint64())
	for wait := time.Duration(first); !c.dev.others(); wait = min(2*wait, longest) {
		offer, ok := c.ask(dhcpDiscover, nil, wait)
		if !ok {
			continue
		}
		lease, ok := c.ask(dhcpAsk, &offer, wait)
		if !ok {
			continue
		}
		c.dev.use(&lease)
		configured()
		c.keep(&lease)
		wait = first
	}
}

// keep renews a lease until that is refused, or it is over.
func (c *dhcpClient) keep(lease *dhcpMessage) {
	const least = time.Minute // between two tries
	for lease.lease != 0 {
		end := time.Now().Add(lease.lease)
		renewal := lease.renewal
		if renewal == 0 || renewal > lease.lease {
			renewal = lease.lease / 2
		}
		time.Sleep(max(renewal, least))
		for {
			if c.dev.others() {
				return
			}
			l, ok := c.ask(dhcpAsk, lease, 4*time.Second)
			if ok {
				lease = &l
				break
			}
			if time.Now().After(end) {
				c.dev.unuse()
				return
			}
			time.Sleep(max(time.Until(end)/2, least))
		}
		c.dev.use(lease)
	}
	select {}
}

// ask sends a message and waits for the answer: an offer for a discovery, an
// acknowledgement for a request.
func (c *dhcpClient) ask(kind byte, about *dhcpMessage, wait time.Duration) (dhcpMessage, bool) {
	c.dev.dhcp.Store(c)
	c.dev.dev.Send([]nic.Frame{{Parts: [][]byte{c.frame(kind, about)}}}, false)
	timeout := time.NewTimer(wait)
	defer timeout.Stop()
	for {
		select {
		case m := <-c.replies:
			switch {
			case kind == dhcpDiscover && m.kind == dhcpOffer, kind == dhcpAsk && m.kind == dhcpAck:
				return m, true
			case kind == dhcpAsk && m.kind == dhcpNak:
				return m, false
			}
		case <-timeout.C:
			return dhcpMessage{}, false
		}
	}
}

// frame makes a message to all on the link.
func (c *dhcpClient) frame(kind byte, about *dhcpMessage) []byte {
	b := make([]byte, dhcpFixed)
	b[0] = dhcpRequest
	b[1], b[2] = arphrdEther, header.EthernetAddressSize
	binary.BigEndian.PutUint32(b[4:], c.id)
	const broadcast = 0x8000
	binary.BigEndian.PutUint16(b[10:], broadcast)
	copy(b[28:], c.dev.mac())
	binary.BigEndian.PutUint32(b[236:], dhcpCookie)
	b = append(b, optType, 1, kind)
	if about != nil {
		b = append(append(b, optRequested, 4), about.addr[:]...)
		b = append(append(b, optServer, 4), about.server[:]...)
	}
	if n := len(c.hostName); n > 0 && n < 256 {
		b = append(append(b, optHostName, byte(n)), c.hostName...)
	}
	b = append(b, optWanted, 7, optMask, optRouter, optDNS, optDomain, optMTU, optLease, optRenewal, optEnd)
	b = append(b, make([]byte, max(0, dhcpSmallest-len(b)))...)

	head := make([]byte, header.EthernetMinimumSize+header.IPv4MinimumSize+header.UDPMinimumSize)
	header.Ethernet(head).Encode(&header.EthernetFields{SrcAddr: c.dev.mac(), DstAddr: header.EthernetBroadcastAddress, Type: header.IPv4ProtocolNumber})
	ip := header.IPv4(head[header.EthernetMinimumSize:])
	size := header.UDPMinimumSize + len(b)
	none, all := tcpip.AddrFrom4([4]byte{}), header.IPv4Broadcast
	ip.Encode(&header.IPv4Fields{TotalLength: uint16(header.IPv4MinimumSize + size), TTL: defaultTTL, Protocol: uint8(header.UDPProtocolNumber), SrcAddr: none, DstAddr: all})
	ip.SetChecksum(^ip.CalculateChecksum())
	udp := header.UDP(ip[header.IPv4MinimumSize:])
	udp.Encode(&header.UDPFields{SrcPort: dhcpClientPort, DstPort: dhcpServerPort, Length: uint16(size)})
	sum := header.PseudoHeaderChecksum(header.UDPProtocolNumber, none, all, uint16(size))
	udp.SetChecksum(^udp.CalculateChecksum(checksum.Checksum(b, sum)))
	return append(head, b...)
}

// take keeps a frame from netstack if it is a server's message to this client. Others may be for
// one of the program's own.
func (c *dhcpClient) take(frame []byte) bool {
	var h headers
	h.read(&nic.Frame{Parts: [][]byte{frame}})
	if !h.v4 || !h.is(header.UDPProtocolNumber) {
		return false
	}
	udp := header.UDP(frame[h.transport:])
	if udp.DestinationPort() != dhcpClientPort || udp.SourcePort() != dhcpServerPort {
		return false
	}
	m, ok := c.parse(frame[h.data:h.end])
	if ok {
		select {
		case c.replies <- m:
		default: // a flood of them
		}
	}
	return ok
}

// parse reads a message. What is malformed or for others is none.
func (c *dhcpClient) parse(b []byte) (m dhcpMessage, ok bool) {
	if len(b) < dhcpFixed || b[0] != dhcpReply || binary.BigEndian.Uint32(b[4:]) != c.id ||
		string(b[28:28+header.EthernetAddressSize]) != string(c.dev.mac()) || binary.BigEndian.Uint32(b[236:]) != dhcpCookie {
		return m, false
	}
	m.addr = [4]byte(b[16:])
	m.mask = [4]byte{255, 255, 255, 0}
	for o := b[dhcpFixed:]; len(o) > 0 && o[0] != optEnd; {
		if o[0] == 0 { // padding
			o = o[1:]
			continue
		}
		if len(o) < 2 || len(o) < 2+int(o[1]) {
			return m, false
		}
		v := o[2 : 2+int(o[1])]
		switch kind := o[0]; {
		case kind == optType && len(v) == 1:
			m.kind = v[0]
		case kind == optServer && len(v) == 4:
			m.server = [4]byte(v)
		case kind == optMask && len(v) == 4:
			m.mask = [4]byte(v)
		case kind == optRouter || kind == optDNS:
			var list [][4]byte
			for a := v; len(a) >= 4; a = a[4:] {
				list = append(list, [4]byte(a))
			}
			if kind == optDNS {
				m.dns = list
			} else {
				m.routers = list
			}
		case kind == optDomain:
			m.domain = cstring(v)
		case kind == optMTU && len(v) == 2:
			m.mtu = int(binary.BigEndian.Uint16(v))
		case kind == optLease && len(v) == 4:
			if s := binary.BigEndian.Uint32(v); s != 1<<32-1 {
				m.lease = time.Duration(s) * time.Second
			}
		case kind == optRenewal && len(v) == 4:
			m.renewal = time.Duration(binary.BigEndian.Uint32(v)) * time.Second
		}
		o = o[2+len(v):]
	}
	return m, m.kind != 0
}
