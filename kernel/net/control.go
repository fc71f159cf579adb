package net

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"gosv/kernel/errno"
	"gosv/kernel/socket"
)

// sendControl reads control messages (ip(7), ipv6(7), udp(7)) that go along with a packet.
// Segment is the size of the datagrams that it is to be cut into.
func sendControl(list []socket.Control, to *tcpip.SendableControlMessages, segment *int) errno.Errno {
	for _, c := range list {
		v := 0
		if len(c.Data) >= 4 {
			v = int(int32(le.Uint32(c.Data)))
		}
		switch {
		case c.Level == unix.SOL_IP && c.Kind == unix.IP_TTL && len(c.Data) == 4:
			if v < 1 || v > 255 {
				return errno.EINVAL
			}
			to.HasTTL, to.TTL = true, uint8(v)
		case c.Level == unix.SOL_IPV6 && (c.Kind == unix.IPV6_HOPLIMIT || c.Kind == unix.IPV6_2292HOPLIMIT) && len(c.Data) == 4:
			if v < -1 || v > 255 {
				return errno.EINVAL
			}
			if v >= 0 {
				to.HasHopLimit, to.HopLimit = true, uint8(v)
			}
		case c.Level == unix.SOL_IPV6 && (c.Kind == unix.IPV6_PKTINFO || c.Kind == unix.IPV6_2292PKTINFO) && len(c.Data) == 20:
			to.HasIPv6PacketInfo = true
			to.IPv6PacketInfo.NIC = tcpip.NICID(le.Uint32(c.Data[16:]))
			if a := [16]byte(c.Data); a != [16]byte{} {
				to.IPv6PacketInfo.Addr = tcpip.AddrFrom16(a)
			}
		case c.Level == unix.SOL_IP && c.Kind == unix.IP_PKTINFO && len(c.Data) == 12,
			c.Level == unix.SOL_IP && c.Kind == unix.IP_TOS,
			c.Level == unix.SOL_IPV6 && c.Kind == unix.IPV6_TCLASS:
			// The source is the route's in any case; the class is the socket's.
		case c.Level == unix.SOL_UDP && c.Kind == unix.UDP_SEGMENT:
			if len(c.Data) != 2 {
				return errno.EINVAL
			}
			*segment = int(le.Uint16(c.Data))
		case c.Level == unix.SOL_IP || c.Level == unix.SOL_IPV6:
			return errno.EINVAL
		}
	}
	return 0
}

// receivedControl makes control messages of what netstack tells of a packet.
func (e *endpoint) receivedControl(list []socket.Control, from *tcpip.ReceivableControlMessages) []socket.Control {
	put := func(level, kind int32, data []byte) {
		list = append(list, socket.Control{Level: level, Kind: kind, Data: data})
	}
	if e.opts.is(soTimestamp) {
		us := from.Timestamp.UnixMicro()
		put(unix.SOL_SOCKET, unix.SO_TIMESTAMP, binary.LittleEndian.AppendUint64(le.AppendUint64(nil, uint64(us/1e6)), uint64(us%1e6)))
	}
	if from.HasIPPacketInfo {
		b := int32Of(int(from.PacketInfo.NIC))
		b = append(b, addr4(from.PacketInfo.LocalAddr)...)
		put(unix.SOL_IP, unix.IP_PKTINFO, append(b, addr4(from.PacketInfo.DestinationAddr)...))
	}
	if from.HasTTL {
		put(unix.SOL_IP, unix.IP_TTL, int32Of(int(from.TTL)))
	}
	if from.HasTOS {
		put(unix.SOL_IP, unix.IP_TOS, []byte{from.TOS})
	}
	if from.HasOriginalDstAddress {
		if e.family == afInet6 {
			put(unix.SOL_IPV6, unix.IPV6_ORIGDSTADDR, formatAddr(e.family, from.OriginalDstAddress))
		} else {
			put(unix.SOL_IP, unix.IP_ORIGDSTADDR, formatAddr(e.family, from.OriginalDstAddress))
		}
	}
	if from.HasIPv6PacketInfo {
		a := from.IPv6PacketInfo.Addr
		if a.Len() == 4 {
			a = mapTo6(a.As4())
		}
		b := make([]byte, 16)
		copy(b, a.AsSlice())
		kind := int32(unix.IPV6_PKTINFO)
		if e.opts.is(oldPktinfo) {
			kind = unix.IPV6_2292PKTINFO
		}
		put(unix.SOL_IPV6, kind, append(b, int32Of(int(from.IPv6PacketInfo.NIC))...))
	}
	if from.HasHopLimit {
		kind := int32(unix.IPV6_HOPLIMIT)
		if e.opts.is(oldHopLimit) {
			kind = unix.IPV6_2292HOPLIMIT
		}
		put(unix.SOL_IPV6, kind, int32Of(int(from.HopLimit)))
	}
	if from.HasTClass {
		put(unix.SOL_IPV6, unix.IPV6_TCLASS, int32Of(int(from.TClass)))
	}
	return list
}

func addr4(a tcpip.Address) []byte {
	b := make([]byte, 4)
	copy(b, a.AsSlice())
	return b
}

// receiveError is recvmsg(2) with MSG_ERRQUEUE: a packet that came to nothing, and a
// struct sock_extended_err that says why (ip(7), IP_RECVERR).
func (e *endpoint) receiveError(m *socket.Message) (int, errno.Errno) {
	if c := e.copied.Swap(nil); c != nil {
		return e.tellCopied(m, c)
	}
	q := e.ep().SocketOptions().DequeueErr()
	if q == nil {
		return 0, errno.EAGAIN
	}
	room := m.Data.Len()
	w := packetWriter{m: m}
	if q.Payload != nil {
		w.Write(q.Payload.AsSlice())
	}
	n := room - m.Data.Len()
	m.Flags &^= msgTrunc
	if n < w.total {
		m.Flags |= msgTrunc
	}
	m.Addr = formatAddr(e.family, q.Dst)
	b := int32Of(int(errnoOf(q.Err)))
	b = append(b, byte(q.Cause.Origin()), q.Cause.Type(), q.Cause.Code(), 0)
	b = append(b, int32Of(int(q.Cause.Info()))...)
	b = append(b, int32Of(0)...)
	level, kind := int32(unix.SOL_IP), int32(unix.IP_RECVERR)
	if e.family == afInet6 && q.NetProto == header.IPv6ProtocolNumber {
		level, kind = unix.SOL_IPV6, unix.IPV6_RECVERR
	}
	m.Control = append(m.Control, socket.Control{Level: level, Kind: kind, Data: append(b, formatAddr(e.family, q.Offender)...)})
	return n, 0
}
