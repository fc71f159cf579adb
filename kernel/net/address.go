package net

import (
	"encoding/binary"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"gosv/kernel/errno"
)

var le = binary.LittleEndian

// Families (address_families(7)).
const (
	afUnspec  = 0
	afInet    = 2
	afInet6   = 10
	afNetlink = 16
	afPacket  = 17
)

// Sizes of socket addresses: struct sockaddr_in, sockaddr_in6 (and without its
// sin6_scope_id, as in RFC 2133), sockaddr_ll.
const (
	sizeofInet      = 16
	sizeofInet6     = 28
	sizeofInet6Old  = 24
	sizeofPacket    = 20
	hardwareAddrLen = 8
)

var (
	loopback4 = tcpip.AddrFrom4([4]byte{127, 0, 0, 1})
	mapped4   = [12]byte{10: 0xff, 11: 0xff} // what ::ffff:0:0/96 starts with
)

// parseAddr reads the address that a socket of a family is given.
func (e *endpoint) parseAddr(b []byte) (a tcpip.FullAddress, err errno.Errno) {
	if len(b) < 2 {
		return a, errno.EINVAL
	}
	family := int32(le.Uint16(b))
	switch e.family {
	case afInet:
		if len(b) < sizeofInet {
			return a, errno.EINVAL
		}
		if family != afInet {
			return a, errno.EAFNOSUPPORT
		}
	case afInet6:
		switch {
		case family == afInet && e.kind == sockDgram && len(b) >= sizeofInet && !e.ep().SocketOptions().GetV6Only():
		case len(b) < sizeofInet6Old:
			return a, errno.EINVAL
		case family != afInet6:
			return a, errno.EAFNOSUPPORT
		}
	case afPacket:
		if len(b) < sizeofPacket {
			return a, errno.EINVAL
		}
		if family != afPacket {
			return a, errno.EINVAL
		}
		a.Port = uint16(b[3]) | uint16(b[2])<<8
		a.NIC = tcpip.NICID(le.Uint32(b[4:]))
		a.LinkAddr = tcpip.LinkAddress(b[12 : 12+min(int(b[11]), hardwareAddrLen)])
		return a, 0
	}
	a.Port = binary.BigEndian.Uint16(b[2:])
	if family == afInet {
		if ip := [4]byte(b[4:8]); ip != [4]byte{} {
			a.Addr = tcpip.AddrFrom4(ip)
		}
		if e.family == afInet6 {
			a.Addr = mapTo6([4]byte(b[4:8]))
		}
		return a, 0
	}
	if ip := [16]byte(b[8:24]); ip != [16]byte{} {
		a.Addr = tcpip.AddrFrom16(ip)
		if len(b) >= sizeofInet6 && (header.IsV6LinkLocalUnicastAddress(a.Addr) || header.IsV6LinkLocalMulticastAddress(a.Addr)) {
			a.NIC = tcpip.NICID(le.Uint32(b[24:]))
		}
	}
	return a, 0
}

func mapTo6(ip [4]byte) tcpip.Address {
	var b [16]byte
	copy(b[:], mapped4[:])
	copy(b[12:], ip[:])
	return tcpip.AddrFrom16(b)
}

// toPeer is where something goes that is sent to a: to the machine itself, if that
// is no address.
func (e *endpoint) toPeer(a tcpip.FullAddress) tcpip.FullAddress {
	switch {
	case a.Addr.BitLen() == 0 && e.family == afInet:
		a.Addr = loopback4
	case a.Addr.BitLen() == 0 && e.family == afInet6:
		a.Addr = header.IPv6Loopback
	case e.family == afInet6 && a.Addr == mapTo6([4]byte{}):
		a.Addr = mapTo6(loopback4.As4())
	}
	return a
}

// packetTypes are PACKET_HOST ... (packet(7)) by the kinds of packets that netstack knows.
const packetTypes = "\x00\x03\x04\x01\x02"

// formatAddr is a as a socket of that family shows it.
func formatAddr(family int32, a tcpip.FullAddress) []byte {
	switch family {
	case afInet:
		b := make([]byte, sizeofInet)
		le.PutUint16(b, afInet)
		binary.BigEndian.PutUint16(b[2:], a.Port)
		copy(b[4:], a.Addr.AsSlice())
		return b
	case afInet6:
		b := make([]byte, sizeofInet6)
		le.PutUint16(b, afInet6)
		binary.BigEndian.PutUint16(b[2:], a.Port)
		if a.Addr.Len() == 4 {
			a.Addr = mapTo6(a.Addr.As4())
		}
		copy(b[8:], a.Addr.AsSlice())
		if header.IsV6LinkLocalUnicastAddress(a.Addr) {
			le.PutUint32(b[24:], uint32(a.NIC))
		}
		return b
	}
	b := make([]byte, sizeofPacket)
	le.PutUint16(b, afPacket)
	binary.BigEndian.PutUint16(b[2:], a.Port)
	le.PutUint32(b[4:], uint32(a.NIC))
	le.PutUint16(b[8:], arphrdEther)
	if a.NIC == loopbackNIC {
		le.PutUint16(b[8:], arphrdLoopback)
	}
	b[11] = byte(len(a.LinkAddr))
	copy(b[12:], a.LinkAddr)
	return b
}

// address4 is an IPv4 address as a number.
func address4(a tcpip.Address) uint32 { return binary.BigEndian.Uint32(a.AsSlice()) }
