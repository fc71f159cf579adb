// Package network is the host's side of a VM's wire where the VMM has no
// user-mode network of its own: a TAP device in a network namespace that only
// the VMM lives in, and behind it a TCP/IP stack in this process that takes
// the guest's connections for its own and makes them anew on the host. It
// needs no root, no rules and no address of the host's, and ends with the VMM.
package network

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// The addresses are those of QEMU's user-mode network, so that a guest finds
// the same on every VMM: of the guest, of the gateway, behind which is the
// host's loopback, and of the name server, behind which is the host's.
var (
	Guest      = netip.MustParsePrefix("10.0.2.15/24")
	Gateway    = netip.MustParseAddr("10.0.2.2")
	NameServer = netip.MustParseAddr("10.0.2.3")
)

// MTU of the wire, in bytes.
const MTU = 1500

// Forward is a port of the host that leads to one of the guest.
type Forward struct {
	Network string // tcp or udp
	Host    netip.AddrPort
	Guest   uint16
}

// ParseForward reads [ADDR:]PORT:PORT[/udp]; without an address it is the
// host's loopback.
func ParseForward(s string) (f Forward, err error) {
	bad := func(why string) (Forward, error) {
		return Forward{}, fmt.Errorf("-p %s: %s; [ADDR:]HOSTPORT:GUESTPORT[/udp] is wanted", s, why)
	}
	ports, network, ok := strings.Cut(s, "/")
	f.Network = "tcp"
	if ok && network != "tcp" {
		f.Network = network
	}
	if f.Network != "tcp" && f.Network != "udp" {
		return bad("there are tcp and udp")
	}
	i := strings.LastIndexByte(ports, ':')
	if i < 0 {
		return bad("there is but one port")
	}
	guest, err := port(ports[i+1:])
	if err != nil || guest == 0 {
		return bad("the guest's port is none")
	}
	host, addr := ports[:i], netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if j := strings.LastIndexByte(host, ':'); j >= 0 {
		if addr, err = netip.ParseAddr(strings.Trim(host[:j], "[]")); err != nil {
			return bad("the host's address is none")
		}
		host = host[j+1:]
	}
	n, err := port(host)
	if err != nil {
		return bad("the host's port is none")
	}
	f.Host, f.Guest = netip.AddrPortFrom(addr, n), guest
	return f, nil
}

func port(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err
}

func (f Forward) String() string {
	return f.Host.String() + " to " + strconv.Itoa(int(f.Guest)) + "/" + f.Network
}

// closer is a net.Listener or a net.PacketConn.
type closer interface{ Close() error }

func (f Forward) listen() (l closer, err error) {
	if f.Network == "udp" {
		l, err = net.ListenPacket("udp", f.Host.String())
	} else {
		l, err = net.Listen("tcp", f.Host.String())
	}
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	if errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("%w (below net.ipv4.ip_unprivileged_port_start, 1024 if nobody has set that, ports are root's)", err)
	}
	if err != nil {
		return nil, fmt.Errorf("-p: port %s of the host cannot be had: %w", f.Host, err)
	}
	return l, nil
}
