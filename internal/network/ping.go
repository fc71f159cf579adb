package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"gosv/internal/echo"
)

// Ping asks the guest for an answer and returns after what time it came.
func (i *Interfaces) Ping(patience time.Duration) (time.Duration, error) {
	switch {
	case i.User != nil:
		return echo.Ping(i.User.stack, tcpip.AddrFrom4(Guest.Addr().As4()), patience)
	case len(i.TAPs) == 0:
		return 0, ErrNone
	case !i.Address.Is4():
		return 0, errors.New("gosv does not know the VM's IPv4 address, which comes from a DHCP server: ping it yourself")
	}
	start := time.Now()
	_, err := hostPing(i.Address, 1, make([]byte, 56), patience)
	return time.Since(start), err
}

// forwardPings makes the guest's echo requests to others than ourselves on the host, as
// far as that lets us.
func (u *User) forwardPings(id stack.TransportEndpointID, p *stack.PacketBuffer) bool {
	h := header.ICMPv4(p.TransportHeader().Slice())
	to := netip.AddrFrom4(id.LocalAddress.As4())
	if len(h) < header.ICMPv4MinimumSize || h.Type() != header.ICMPv4Echo || to == Gateway || to == NameServer {
		return false
	}
	const atOnce = 64
	if u.pings.Add(1) > atOnce {
		u.pings.Add(-1)
		return true
	}
	ident, seq, data := h.Ident(), h.Sequence(), p.Data().AsRange().ToSlice()
	u.open.Go(func() {
		defer u.pings.Add(-1)
		const patience = 5 * time.Second
		if answer, err := hostPing(to, seq, data, patience); err == nil && u.ctx.Err() == nil {
			u.answerPing(id.LocalAddress, id.RemoteAddress, ident, seq, answer)
		}
	})
	return true
}

// answerPing sends the guest an echo reply.
func (u *User) answerPing(from, to tcpip.Address, ident, seq uint16, data []byte) {
	r, err := u.stack.FindRoute(nic, from, to, ipv4.ProtocolNumber, false)
	if err != nil {
		return
	}
	defer r.Release()
	p := stack.NewPacketBuffer(stack.PacketBufferOptions{
		ReserveHeaderBytes: header.ICMPv4MinimumSize + int(r.MaxHeaderLength()),
		Payload:            buffer.MakeWithData(data),
	})
	defer p.DecRef()
	h := header.ICMPv4(p.TransportHeader().Push(header.ICMPv4MinimumSize))
	h.SetType(header.ICMPv4EchoReply)
	h.SetIdent(ident)
	h.SetSequence(seq)
	h.SetChecksum(^checksum.Checksum(h, checksum.Checksum(data, 0)))
	p.TransportProtocolNumber = header.ICMPv4ProtocolNumber
	r.WritePacket(stack.NetworkHeaderParams{Protocol: header.ICMPv4ProtocolNumber, TTL: 64}, p)
}

// hostPing sends an echo request from the host, and returns the data of the answer. It
// takes a socket that the host gives who is in net.ipv4.ping_group_range (man 7 icmp), or
// root.
func hostPing(to netip.Addr, seq uint16, data []byte, patience time.Duration) ([]byte, error) {
	raw := false
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMP)
	if err != nil {
		raw = true
		fd, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMP)
	}
	if err != nil {
		return nil, fmt.Errorf("no socket for ping (net.ipv4.ping_group_range): %w", err)
	}
	defer unix.Close(fd)
	end := time.Now().Add(patience)
	request := make([]byte, header.ICMPv4MinimumSize, header.ICMPv4MinimumSize+len(data))
	h := header.ICMPv4(request)
	h.SetType(header.ICMPv4Echo)
	ident := uint16(fd)<<8 ^ uint16(end.UnixNano()) // of a socket that has none of its own
	h.SetIdent(ident)
	h.SetSequence(seq)
	request = append(request, data...)
	h.SetChecksum(^checksum.Checksum(request, 0))
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrInet4{Addr: to.As4()}); err != nil {
		return nil, err
	}
	buf := make([]byte, 64<<10)
	for {
		left := time.Until(end)
		if left <= 0 {
			return nil, echo.ErrNoAnswer
		}
		tv := unix.NsecToTimeval(max(int64(left), int64(time.Microsecond)))
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv)
		n, _, err := unix.Recvfrom(fd, buf, 0)
		switch err {
		case nil:
		case unix.EAGAIN, unix.EINTR:
			continue
		default:
			return nil, err
		}
		b := buf[:n]
		if raw { // with IP's header
			if len(b) < header.IPv4MinimumSize || len(b) < int(header.IPv4(b).HeaderLength()) || header.IPv4(b).SourceAddress() != tcpip.AddrFrom4(to.As4()) {
				continue
			}
			b = b[header.IPv4(b).HeaderLength():]
		}
		if len(b) < header.ICMPv4MinimumSize || header.ICMPv4(b).Type() != header.ICMPv4EchoReply ||
			binary.BigEndian.Uint16(b[6:]) != seq || raw && header.ICMPv4(b).Ident() != ident {
			continue
		}
		return b[header.ICMPv4MinimumSize:], nil
	}
}
