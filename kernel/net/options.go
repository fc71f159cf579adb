package net

import (
	"encoding/binary"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"gosv/kernel/bpf"
	"gosv/kernel/errno"
)

// Sizes of sockets' buffers, in bytes: rmem_default and wmem_default (socket(7)), and
// SOCK_MIN_RCVBUF and SOCK_MIN_SNDBUF.
const (
	defaultBuf      = 212992
	leastReceiveBuf = 2304
	leastSendBuf    = 4608
)

// Options that package unix does not have.
const (
	ipv6Flowinfo     = 11
	ipv6FlowinfoSend = 33
)

// Bits of options.
const (
	soTimestamp = 1 << iota
	ipFreebind
	ipTransparent
	udpGRO
	tcpFastopen // TCP_FASTOPEN_CONNECT
	oobInline
	soZerocopy
	oldPktinfo // IPV6_RECVPKTINFO and IPV6_RECVHOPLIMIT were asked for by their first names (RFC 2292)
	oldHopLimit
)

// options are those that netstack does not keep.
type options struct {
	switches atomic.Uint32
	fastopen atomic.Int32 // TCP_FASTOPEN's length of the queue: it is never used
	priority atomic.Int32
	lowat    atomic.Int32 // TCP_NOTSENT_LOWAT
	mtu      atomic.Int32 // IPV6_MTU_DISCOVER
	segment  atomic.Int32 // UDP_SEGMENT
}

func (o *options) is(bit uint32) bool { return o.switches.Load()&bit != 0 }

func (o *options) turn(bit uint32, on bool) {
	if on {
		o.switches.Or(bit)
	} else {
		o.switches.And(^bit)
	}
}

func (o *options) inherit(from *options) {
	o.switches.Store(from.switches.Load())
	o.priority.Store(from.priority.Load())
	o.lowat.Store(from.lowat.Load())
}

// toggle is an option that is on or off.
type toggle struct {
	level, name int
	get         func(*tcpip.SocketOptions) bool
	set         func(*tcpip.SocketOptions, bool)
}

type sockOpts = tcpip.SocketOptions

var toggles = [...]toggle{
	{unix.SOL_SOCKET, unix.SO_REUSEADDR, (*sockOpts).GetReuseAddress, (*sockOpts).SetReuseAddress},
	{unix.SOL_SOCKET, unix.SO_REUSEPORT, (*sockOpts).GetReusePort, (*sockOpts).SetReusePort},
	{unix.SOL_SOCKET, unix.SO_KEEPALIVE, (*sockOpts).GetKeepAlive, (*sockOpts).SetKeepAlive},
	{unix.SOL_SOCKET, unix.SO_BROADCAST, (*sockOpts).GetBroadcast, (*sockOpts).SetBroadcast},
	{unix.SOL_SOCKET, unix.SO_NO_CHECK, (*sockOpts).GetNoChecksum, (*sockOpts).SetNoChecksum},
	{unix.SOL_TCP, unix.TCP_NODELAY, func(o *sockOpts) bool { return !o.GetDelayOption() }, func(o *sockOpts, on bool) { o.SetDelayOption(!on) }},
	{unix.SOL_TCP, unix.TCP_CORK, (*sockOpts).GetCorkOption, (*sockOpts).SetCorkOption},
	{unix.SOL_TCP, unix.TCP_QUICKACK, (*sockOpts).GetQuickAck, (*sockOpts).SetQuickAck},
	{unix.SOL_IP, unix.IP_PKTINFO, (*sockOpts).GetReceivePacketInfo, (*sockOpts).SetReceivePacketInfo},
	{unix.SOL_IP, unix.IP_RECVTOS, (*sockOpts).GetReceiveTOS, (*sockOpts).SetReceiveTOS},
	{unix.SOL_IP, unix.IP_RECVTTL, (*sockOpts).GetReceiveTTL, (*sockOpts).SetReceiveTTL},
	{unix.SOL_IP, unix.IP_RECVERR, (*sockOpts).GetIPv4RecvError, (*sockOpts).SetIPv4RecvError},
	{unix.SOL_IP, unix.IP_RECVORIGDSTADDR, (*sockOpts).GetReceiveOriginalDstAddress, (*sockOpts).SetReceiveOriginalDstAddress},
	{unix.SOL_IP, unix.IP_MULTICAST_LOOP, (*sockOpts).GetMulticastLoop, (*sockOpts).SetMulticastLoop},
	{unix.SOL_IP, unix.IP_HDRINCL, (*sockOpts).GetHeaderIncluded, (*sockOpts).SetHeaderIncluded},
	{unix.SOL_IPV6, unix.IPV6_V6ONLY, (*sockOpts).GetV6Only, (*sockOpts).SetV6Only},
	{unix.SOL_IPV6, unix.IPV6_RECVPKTINFO, (*sockOpts).GetIPv6ReceivePacketInfo, (*sockOpts).SetIPv6ReceivePacketInfo},
	{unix.SOL_IPV6, unix.IPV6_RECVTCLASS, (*sockOpts).GetReceiveTClass, (*sockOpts).SetReceiveTClass},
	{unix.SOL_IPV6, unix.IPV6_RECVHOPLIMIT, (*sockOpts).GetReceiveHopLimit, (*sockOpts).SetReceiveHopLimit},
	{unix.SOL_IPV6, unix.IPV6_RECVERR, (*sockOpts).GetIPv6RecvError, (*sockOpts).SetIPv6RecvError},
	{unix.SOL_IPV6, unix.IPV6_RECVORIGDSTADDR, (*sockOpts).GetReceiveOriginalDstAddress, (*sockOpts).SetReceiveOriginalDstAddress},
	{unix.SOL_IPV6, unix.IPV6_MULTICAST_LOOP, (*sockOpts).GetMulticastLoop, (*sockOpts).SetMulticastLoop},
}

// number is an option with a value that netstack has as an int.
type number struct {
	level, name int
	opt         tcpip.SockOptInt
	least, most int
	unset       int // stands for the default
}

var numbers = [...]number{
	{unix.SOL_IP, unix.IP_TOS, tcpip.IPv4TOSOption, 0, 255, -1},
	{unix.SOL_IP, unix.IP_TTL, tcpip.IPv4TTLOption, 1, 255, -1},
	{unix.SOL_IP, unix.IP_MULTICAST_TTL, tcpip.MulticastTTLOption, 0, 255, -1},
	{unix.SOL_IP, unix.IP_MTU_DISCOVER, tcpip.MTUDiscoverOption, 0, 3, -1},
	{unix.SOL_IPV6, unix.IPV6_TCLASS, tcpip.IPv6TrafficClassOption, 0, 255, -1},
	{unix.SOL_IPV6, unix.IPV6_UNICAST_HOPS, tcpip.IPv6HopLimitOption, 0, 255, -1},
	{unix.SOL_IPV6, unix.IPV6_MULTICAST_HOPS, tcpip.MulticastTTLOption, 0, 255, -1},
	{unix.SOL_IPV6, unix.IPV6_CHECKSUM, tcpip.IPv6Checksum, -1, 1 << 16, 1 << 30},
	{unix.SOL_TCP, unix.TCP_MAXSEG, tcpip.MaxSegOption, 88, 32767, 0},
	{unix.SOL_TCP, unix.TCP_KEEPCNT, tcpip.KeepaliveCountOption, 1, 127, 1 << 30},
	{unix.SOL_TCP, unix.TCP_SYNCNT, tcpip.TCPSynCountOption, 1, 127, 1 << 30},
	{unix.SOL_TCP, unix.TCP_WINDOW_CLAMP, tcpip.TCPWindowClampOption, 0, 1 << 30, 1 << 30},
}

// A level is one that a socket of some kind has.
func (e *endpoint) knows(level int) bool {
	switch level {
	case unix.SOL_SOCKET:
		return true
	case unix.SOL_TCP:
		return e.isTCP
	case unix.SOL_UDP:
		return e.protocol == protoUDP && e.kind == sockDgram
	case unix.SOL_IP:
		return e.family == afInet || e.family == afInet6
	case unix.SOL_IPV6:
		return e.family == afInet6
	case unix.SOL_ICMPV6:
		return e.kind == sockRaw && e.family == afInet6
	case unix.SOL_RAW:
		return e.kind == sockRaw && e.family != afPacket
	case unix.SOL_PACKET:
		return e.family == afPacket
	}
	return false
}

// unknownLevel is the error when an option is asked for of a level that the socket
// does not have.
func (e *endpoint) unknownLevel() errno.Errno {
	if e.family == afInet {
		return errno.EOPNOTSUPP
	}
	return errno.ENOPROTOOPT
}

func int32Of(v int) []byte { return binary.LittleEndian.AppendUint32(nil, uint32(v)) }

func boolOf(on bool) []byte {
	if on {
		return int32Of(1)
	}
	return int32Of(0)
}

// Option implements Endpoint.
func (e *endpoint) Option(level32, name32 int32, room int) ([]byte, errno.Errno) {
	level, name := int(level32), int(name32)
	if !e.knows(level) {
		return nil, e.unknownLevel()
	}
	if e.isChecksum(level, name) {
		level = unix.SOL_IPV6
	}
	if level == unix.SOL_ICMPV6 || level == unix.SOL_RAW {
		return e.icmpFilter(level, name)
	}
	o := e.ep().SocketOptions()
	for i := range toggles {
		if t := &toggles[i]; t.level == level && t.name == name {
			return short(level, boolOf(t.get(o)), room), 0
		}
	}
	for i := range numbers {
		if n := &numbers[i]; n.level == level && n.name == name {
			v, err := e.ep().GetSockOptInt(n.opt)
			if err != nil {
				return nil, errnoOf(err)
			}
			return short(level, int32Of(effective(n.opt, v)), room), 0
		}
	}
	switch level {
	case unix.SOL_SOCKET:
		return e.socketOption(name, o)
	case unix.SOL_TCP:
		return e.tcpOption(name, room)
	case unix.SOL_IP:
		switch name {
		case unix.IP_MULTICAST_IF:
			var v tcpip.MulticastInterfaceOption
			if err := e.ep().GetSockOpt(&v); err != nil {
				return nil, errnoOf(err)
			}
			b := make([]byte, 4)
			copy(b, v.InterfaceAddr.AsSlice())
			return b, 0
		case unix.IP_FREEBIND:
			return short(level, boolOf(e.opts.is(ipFreebind)), room), 0
		case unix.IP_TRANSPARENT:
			return short(level, boolOf(e.opts.is(ipTransparent)), room), 0
		case unix.IP_OPTIONS, unix.IP_RECVOPTS, unix.IP_RETOPTS, unix.IP_MULTICAST_ALL, unix.IP_BIND_ADDRESS_NO_PORT:
			return short(level, boolOf(name == unix.IP_MULTICAST_ALL), room), 0
		case unix.IP_MTU:
			return e.pathMTU()
		}
	case unix.SOL_IPV6:
		switch name {
		case unix.IPV6_MTU_DISCOVER:
			return int32Of(int(e.opts.mtu.Load())), 0
		case unix.IPV6_MTU:
			return e.pathMTU()
		case unix.IPV6_MULTICAST_IF:
			v, err := e.ep().GetSockOptInt(tcpip.IPv6MulticastInterfaceOption)
			return int32Of(v), errnoOf(err)
		case unix.IPV6_2292PKTINFO:
			return boolOf(e.opts.is(oldPktinfo)), 0
		case unix.IPV6_2292HOPLIMIT:
			return boolOf(e.opts.is(oldHopLimit)), 0
		case unix.IPV6_FREEBIND:
			return boolOf(e.opts.is(ipFreebind)), 0
		case unix.IPV6_TRANSPARENT:
			return boolOf(e.opts.is(ipTransparent)), 0
		case unix.IPV6_RECVRTHDR, unix.IPV6_RECVHOPOPTS, unix.IPV6_RECVDSTOPTS, unix.IPV6_AUTOFLOWLABEL, ipv6Flowinfo, ipv6FlowinfoSend:
			return boolOf(name == unix.IPV6_AUTOFLOWLABEL), 0
		}
	case unix.SOL_UDP:
		switch name {
		case unix.UDP_SEGMENT:
			return int32Of(int(e.opts.segment.Load())), 0
		case unix.UDP_GRO:
			return boolOf(e.opts.is(udpGRO)), 0
		case unix.UDP_CORK:
			return int32Of(0), 0
		}
	}
	return nil, errno.ENOPROTOOPT
}

// pathMTU is the largest packet on the way to the peer.
func (e *endpoint) pathMTU() ([]byte, errno.Errno) {
	a, err := e.ep().GetRemoteAddress()
	if err != nil {
		return nil, errno.ENOTCONN
	}
	local, _ := e.ep().GetLocalAddress()
	return int32Of(e.net.mtuTo(local.Addr, a.Addr)), 0
}

// short gives an option of IP in a byte if there is room for no more (ip(7)).
func short(level int, v []byte, room int) []byte {
	if level == unix.SOL_IP && room < 4 && room > 0 {
		return v[:1]
	}
	return v
}

// effective is the value of an option that stands for a default.
func effective(opt tcpip.SockOptInt, v int) int {
	if opt == tcpip.IPv4TTLOption && v == tcpip.UseDefaultIPv4TTL || opt == tcpip.IPv6HopLimitOption && v == tcpip.UseDefaultIPv6HopLimit {
		return defaultTTL
	}
	return v
}

func (e *endpoint) socketOption(name int, o *tcpip.SocketOptions) ([]byte, errno.Errno) {
	switch name {
	case unix.SO_ERROR:
		return int32Of(int(e.takeError())), 0
	case unix.SO_PROTOCOL:
		return int32Of(int(e.protocol)), 0
	case unix.SO_ACCEPTCONN:
		return boolOf(e.isTCP && o.GetAcceptConn()), 0
	case unix.SO_SNDBUF:
		return int32Of(int(o.GetSendBufferSize())), 0
	case unix.SO_RCVBUF:
		return int32Of(int(o.GetReceiveBufferSize())), 0
	case unix.SO_LINGER:
		l := o.GetLinger()
		return append(boolOf(l.Enabled), int32Of(int(l.Timeout/time.Second))...), 0
	case unix.SO_TIMESTAMP:
		return boolOf(e.opts.is(soTimestamp)), 0
	case unix.SO_OOBINLINE:
		return boolOf(e.opts.is(oobInline)), 0
	case unix.SO_LOCK_FILTER:
		return boolOf(filterOf(e.ep()).Locked()), 0
	case unix.SO_PRIORITY:
		return int32Of(int(e.opts.priority.Load())), 0
	case unix.SO_MARK:
		return int32Of(int(o.GetMark())), 0
	case unix.SO_BINDTODEVICE:
		name := e.net.linkName(tcpip.NICID(o.GetBindToDevice()))
		if name == "" {
			return nil, 0
		}
		return append([]byte(name), 0), 0
	case unix.SO_BINDTOIFINDEX:
		return int32Of(int(o.GetBindToDevice())), 0
	case unix.SO_INCOMING_CPU:
		return int32Of(0), 0
	case unix.SO_ZEROCOPY:
		return boolOf(e.opts.is(soZerocopy)), 0
	case unix.SO_BUSY_POLL, unix.SO_RXQ_OVFL, unix.SO_TIMESTAMPNS, unix.SO_TIMESTAMPING:
		return int32Of(0), 0
	case unix.SO_COOKIE:
		return make([]byte, 8), 0
	}
	return nil, errno.ENOPROTOOPT
}

func (e *endpoint) tcpOption(name, room int) ([]byte, errno.Errno) {
	seconds := func(d time.Duration, err tcpip.Error) ([]byte, errno.Errno) {
		return int32Of(int(d / time.Second)), errnoOf(err)
	}
	switch name {
	case unix.TCP_KEEPIDLE:
		var v tcpip.KeepaliveIdleOption
		err := e.ep().GetSockOpt(&v)
		return seconds(time.Duration(v), err)
	case unix.TCP_KEEPINTVL:
		var v tcpip.KeepaliveIntervalOption
		err := e.ep().GetSockOpt(&v)
		return seconds(time.Duration(v), err)
	case unix.TCP_USER_TIMEOUT:
		var v tcpip.TCPUserTimeoutOption
		err := e.ep().GetSockOpt(&v)
		return int32Of(int(time.Duration(v) / time.Millisecond)), errnoOf(err)
	case unix.TCP_DEFER_ACCEPT:
		var v tcpip.TCPDeferAcceptOption
		err := e.ep().GetSockOpt(&v)
		return seconds(time.Duration(v), err)
	case unix.TCP_LINGER2:
		var v tcpip.TCPLingerTimeoutOption
		err := e.ep().GetSockOpt(&v)
		return seconds(time.Duration(v), err)
	case unix.TCP_CONGESTION:
		var v tcpip.CongestionControlOption
		if err := e.ep().GetSockOpt(&v); err != nil {
			return nil, errnoOf(err)
		}
		const nameMax = 16 // TCP_CA_NAME_MAX
		b := make([]byte, nameMax)
		copy(b, v)
		return b, 0
	case unix.TCP_FASTOPEN:
		return int32Of(int(e.opts.fastopen.Load())), 0
	case unix.TCP_NOTSENT_LOWAT:
		return int32Of(int(e.opts.lowat.Load())), 0
	case unix.TCP_FASTOPEN_CONNECT:
		return boolOf(e.opts.is(tcpFastopen)), 0
	case unix.TCP_FASTOPEN_NO_COOKIE, unix.TCP_THIN_LINEAR_TIMEOUTS, unix.TCP_REPAIR, unix.TCP_SAVE_SYN,
		unix.TCP_INQ, unix.TCP_TIMESTAMP:
		return int32Of(0), 0
	case unix.TCP_INFO:
		return e.tcpInfo()
	}
	return nil, errno.ENOPROTOOPT
}

// tcpInfo is struct tcp_info (linux/tcp.h), as far as netstack knows.
func (e *endpoint) tcpInfo() ([]byte, errno.Errno) {
	var v tcpip.TCPInfoOption
	if err := e.ep().GetSockOpt(&v); err != nil {
		return nil, errnoOf(err)
	}
	mss, _ := e.ep().GetSockOptInt(tcpip.MaxSegOption)
	b := make([]byte, 232)
	b[0] = e.state()
	b[1] = byte(v.CcState)
	const timestamps, sack, wscale = 1, 2, 4
	b[5] = timestamps | sack | wscale
	le.PutUint32(b[8:], uint32(v.RTO/time.Microsecond))
	le.PutUint32(b[16:], uint32(mss)) // tcpi_snd_mss, tcpi_rcv_mss
	le.PutUint32(b[20:], uint32(mss))
	le.PutUint32(b[68:], uint32(v.RTT/time.Microsecond))
	le.PutUint32(b[72:], uint32(v.RTTVar/time.Microsecond))
	le.PutUint32(b[76:], v.SndSsthresh)
	le.PutUint32(b[80:], v.SndCwnd)
	le.PutUint32(b[84:], uint32(mss))
	return b, 0
}

// state is e's, of TCP.
func (e *endpoint) state() uint8 { return tcpStates[e.ep().State()] }

// States that options ask for.
const (
	tcpClose  = 7
	tcpListen = 10
)

// tcpStates are the numbers of the states in /proc/net/tcp and TCP_INFO
// (net/tcp_states.h), by netstack's.
var tcpStates = [...]uint8{
	tcp.StateInitial:     7,
	tcp.StateBound:       7,
	tcp.StateConnecting:  2,
	tcp.StateError:       7,
	tcp.StateEstablished: 1,
	tcp.StateSynSent:     2,
	tcp.StateSynRecv:     3,
	tcp.StateFinWait1:    4,
	tcp.StateFinWait2:    5,
	tcp.StateTimeWait:    6,
	tcp.StateClose:       7,
	tcp.StateCloseWait:   8,
	tcp.StateLastAck:     9,
	tcp.StateListen:      10,
	tcp.StateClosing:     11,
}

// SetOption implements Endpoint.
func (e *endpoint) SetOption(level, name int32, b []byte) errno.Errno {
	err := e.apply(level, name, b)
	if err == 0 && e.isTCP {
		e.mu.Lock()
		e.note(setting{level, name, b})
		e.mu.Unlock()
	}
	return err
}

// note keeps an option that has been set; e.mu is held.
func (e *endpoint) note(s setting) {
	for i := range e.set {
		if e.set[i].level == s.level && e.set[i].name == s.name {
			e.set = slices.Delete(e.set, i, i+1) // the order is that in which they were set last
			break
		}
	}
	if e.set == nil {
		e.set = make([]setting, 0, usualSettings)
	}
	e.set = append(e.set, s)
}

// usualSettings is how many options a server sets of each connection: TCP_NODELAY, and
// SO_KEEPALIVE with its times.
const usualSettings = 5

// inherit gives a connection the options of the socket that it was accepted from.
func (e *endpoint) inherit(from *endpoint) {
	e.opts.inherit(&from.opts)
	from.mu.Lock()
	if n := len(from.set); n > 0 {
		e.set = append(make([]setting, 0, n+usualSettings), from.set...)
	}
	from.mu.Unlock()
	for _, s := range e.set {
		if s.level == unix.SOL_SOCKET || s.level == unix.SOL_TCP {
			e.apply(s.level, s.name, s.value)
		}
	}
}

func (e *endpoint) apply(level32, name32 int32, b []byte) errno.Errno {
	level, name := int(level32), int(name32)
	if !e.knows(level) {
		return errno.ENOPROTOOPT
	}
	switch { // options that are no numbers
	case level == unix.SOL_SOCKET && name == unix.SO_BINDTODEVICE:
		return e.bindToDevice(b)
	case level == unix.SOL_TCP && name == unix.TCP_CONGESTION:
		v := tcpip.CongestionControlOption(cstring(b))
		if failed := e.ep().SetSockOpt(&v); failed != nil {
			return errno.ENOENT
		}
		return 0
	case level == unix.SOL_SOCKET && bpf.IsOption(uintptr(name)):
		return filterOf(e.ep()).Set(uintptr(name), b)
	case level == unix.SOL_SOCKET && (name == bpf.SoAttachGroup || name == bpf.SoDetachGroup):
		return e.setGroup(uintptr(name), b)
	case level == unix.SOL_IP && (name == unix.IP_ADD_MEMBERSHIP || name == unix.IP_DROP_MEMBERSHIP):
		return e.membership4(name == unix.IP_ADD_MEMBERSHIP, b)
	case level == unix.SOL_IP && name == unix.IP_MULTICAST_IF:
		return e.multicastInterface(b)
	case level == unix.SOL_IPV6 && (name == unix.IPV6_JOIN_GROUP || name == unix.IPV6_LEAVE_GROUP):
		return e.membership6(name == unix.IPV6_JOIN_GROUP, b)
	case level == unix.SOL_IPV6 && name == unix.IPV6_MULTICAST_HOPS && e.isTCP:
		return errno.ENOPROTOOPT
	case e.isChecksum(level, name):
		if e.protocol == protoICMPv6 { // which always has one
			return 0
		}
		level = unix.SOL_IPV6
	case level == unix.SOL_ICMPV6 || level == unix.SOL_RAW:
		return e.setICMPFilter(level, name, b)
	}
	var v int
	switch {
	case len(b) >= 4:
		v = int(int32(le.Uint32(b)))
	case level == unix.SOL_IP && len(b) >= 1:
		v = int(b[0])
	default:
		return errno.EINVAL
	}
	o := e.ep().SocketOptions()
	for i := range toggles {
		if t := &toggles[i]; t.level == level && t.name == name {
			if level == unix.SOL_IPV6 && (name == unix.IPV6_V6ONLY && e.hasPort() || name == unix.IPV6_MULTICAST_LOOP && v != v&1) {
				return errno.EINVAL
			}
			t.set(o, v != 0)
			return 0
		}
	}
	for i := range numbers {
		n := &numbers[i]
		if n.level != level || n.name != name {
			continue
		}
		if n.opt == tcpip.MulticastTTLOption && e.isTCP {
			return errno.EINVAL
		}
		if n.opt == tcpip.IPv4TOSOption {
			v &= 255
		}
		if v == n.unset {
			switch n.opt {
			case tcpip.IPv4TTLOption:
				v = tcpip.UseDefaultIPv4TTL
			case tcpip.IPv6HopLimitOption:
				v = tcpip.UseDefaultIPv6HopLimit
			case tcpip.MulticastTTLOption:
				v = 1
			case tcpip.IPv6TrafficClassOption:
				v = 0
			case tcpip.MaxSegOption:
				return 0
			default:
				return errno.EINVAL
			}
		} else if v < n.least || v > n.most {
			return errno.EINVAL
		}
		if level == unix.SOL_IP && name == unix.IP_TOS && e.isTCP {
			const ecn = 3 // is TCP's own
			v &^= ecn
		}
		failed := e.ep().SetSockOptInt(n.opt, v)
		if _, ok := failed.(*tcpip.ErrNotSupported); ok && n.opt == tcpip.MTUDiscoverOption {
			return 0 // packets are never too big for the way
		}
		return errnoOf(failed)
	}
	switch level {
	case unix.SOL_SOCKET:
		return e.setSocketOption(name, v, b, o)
	case unix.SOL_TCP:
		return e.setTCPOption(name, v)
	case unix.SOL_IP:
		switch name {
		case unix.IP_FREEBIND:
			e.bindsAny(ipFreebind, v != 0)
			return 0
		case unix.IP_TRANSPARENT:
			e.bindsAny(ipTransparent, v != 0)
			return 0
		case unix.IP_OPTIONS, unix.IP_RECVOPTS, unix.IP_RETOPTS, unix.IP_MULTICAST_ALL,
			unix.IP_BIND_ADDRESS_NO_PORT, unix.IP_LOCAL_PORT_RANGE, unix.IP_ROUTER_ALERT:
			return 0
		}
	case unix.SOL_IPV6:
		switch name {
		case unix.IPV6_MULTICAST_IF:
			return errnoOf(e.ep().SetSockOptInt(tcpip.IPv6MulticastInterfaceOption, v))
		case unix.IPV6_MTU_DISCOVER:
			e.opts.mtu.Store(int32(v))
			return 0
		case unix.IPV6_2292PKTINFO:
			e.opts.turn(oldPktinfo, v != 0)
			o.SetIPv6ReceivePacketInfo(v != 0)
			return 0
		case unix.IPV6_2292HOPLIMIT:
			e.opts.turn(oldHopLimit, v != 0)
			o.SetReceiveHopLimit(v != 0)
			return 0
		case unix.IPV6_FREEBIND:
			e.bindsAny(ipFreebind, v != 0)
			return 0
		case unix.IPV6_TRANSPARENT:
			e.bindsAny(ipTransparent, v != 0)
			return 0
		case unix.IPV6_RECVRTHDR, unix.IPV6_RECVHOPOPTS, unix.IPV6_RECVDSTOPTS, unix.IPV6_AUTOFLOWLABEL, ipv6Flowinfo, ipv6FlowinfoSend, unix.IPV6_MTU:
			return 0
		}
	case unix.SOL_PACKET:
		if name != unix.PACKET_ADD_MEMBERSHIP && name != unix.PACKET_DROP_MEMBERSHIP {
			break
		}
		if len(b) < unix.SizeofPacketMreq {
			return errno.EINVAL
		}
		if e.net.linkName(tcpip.NICID(v)) == "" {
			return errno.ENODEV
		}
		return 0 // devices let all frames through
	case unix.SOL_UDP:
		switch name {
		case unix.UDP_SEGMENT:
			if v < 0 || v > 65535 {
				return errno.EINVAL
			}
			e.opts.segment.Store(int32(v))
			return 0
		case unix.UDP_GRO: // it allows to put datagrams together, which is not done
			e.opts.turn(udpGRO, v != 0)
			return 0
		case unix.UDP_CORK:
			if v == 0 {
				return 0
			}
		}
	}
	return errno.ENOPROTOOPT
}

func cstring(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}

// bindsAny turns one of the options that let a socket be bound to any address.
func (e *endpoint) bindsAny(bit uint32, on bool) {
	e.opts.turn(bit, on)
	setBindsAny(e.ep(), e.opts.is(ipFreebind|ipTransparent))
}

// isForeign says whether e is bound to an address that the machine has not, from which nothing
// is sent then: IP_FREEBIND is for who waits to get it, IP_TRANSPARENT for who takes another's place.
func (e *endpoint) isForeign() bool {
	if e.opts.switches.Load()&(ipFreebind|ipTransparent) != ipFreebind {
		return false
	}
	a, err := e.ep().GetLocalAddress()
	if err != nil || a.Addr.BitLen() == 0 {
		return false
	}
	return e.net.stack.CheckLocalAddress(0, protocolOf(a.Addr), a.Addr) == 0
}

// setGroup sets or removes the program that chooses among sockets with SO_REUSEPORT.
func (e *endpoint) setGroup(name uintptr, b []byte) errno.Errno {
	switch ep := e.ep(); {
	case !ep.SocketOptions().GetReusePort():
		return errno.EINVAL
	case name == bpf.SoDetachGroup:
		return groupOf(ep).Set(bpf.SoDetach, b)
	case filterOf(ep).Locked():
		return errno.EPERM
	default:
		return groupOf(ep).Set(bpf.SoAttach, b)
	}
}

// hasPort says whether the socket has a port.
func (e *endpoint) hasPort() bool {
	a, err := e.ep().GetLocalAddress()
	return err == nil && a.Port != 0
}

func (e *endpoint) bindToDevice(b []byte) errno.Errno {
	name := cstring(b)
	id := tcpip.NICID(0)
	if name != "" {
		if id = e.net.linkIndex(name); id == 0 {
			return errno.ENODEV
		}
	}
	return errnoOf(e.ep().SocketOptions().SetBindToDevice(int32(id)))
}

func (e *endpoint) setSocketOption(name, v int, b []byte, o *tcpip.SocketOptions) errno.Errno {
	switch name {
	case unix.SO_SNDBUF, unix.SO_SNDBUFFORCE: // twice, for what comes with the data
		o.SetSendBufferSize(int64(max(2*min(max(v, 0), defaultBuf), leastSendBuf)), true)
	case unix.SO_RCVBUF, unix.SO_RCVBUFFORCE:
		o.SetReceiveBufferSize(int64(max(2*min(max(v, 0), defaultBuf), leastReceiveBuf)), true)
	case unix.SO_LINGER:
		if len(b) < 8 {
			return errno.EINVAL
		}
		o.SetLinger(tcpip.LingerOption{Enabled: v != 0, Timeout: time.Duration(max(0, int32(le.Uint32(b[4:])))) * time.Second})
	case unix.SO_TIMESTAMP:
		e.opts.turn(soTimestamp, v != 0)
	case unix.SO_PRIORITY:
		e.opts.priority.Store(int32(v))
	case unix.SO_MARK:
		o.SetMark(uint32(v))
	case unix.SO_BINDTOIFINDEX:
		return errnoOf(o.SetBindToDevice(int32(v)))
	case unix.SO_OOBINLINE:
		e.opts.turn(oobInline, v != 0)
		if e.isTCP {
			setInline(e.ep().(*tcp.Endpoint), v != 0)
		}
	case unix.SO_INCOMING_CPU, unix.SO_BUSY_POLL, unix.SO_RXQ_OVFL, unix.SO_SELECT_ERR_QUEUE:
	case unix.SO_TYPE, unix.SO_ERROR, unix.SO_PROTOCOL, unix.SO_DOMAIN, unix.SO_ACCEPTCONN:
		return errno.ENOPROTOOPT
	case unix.SO_ZEROCOPY:
		switch {
		case !e.isTCP && (e.kind != sockDgram || e.protocol != protoUDP):
			return errno.EOPNOTSUPP
		case v != v&1:
			return errno.EINVAL
		}
		e.opts.turn(soZerocopy, v != 0)
	case unix.SO_TIMESTAMPNS, unix.SO_TIMESTAMPING:
		if v != 0 {
			return errno.EOPNOTSUPP
		}
	default:
		return errno.ENOPROTOOPT
	}
	return 0
}

func (e *endpoint) setTCPOption(name, v int) errno.Errno {
	const longest = 32767 // seconds: MAX_TCP_KEEPIDLE, MAX_TCP_KEEPINTVL
	var opt tcpip.SettableSocketOption
	switch name {
	case unix.TCP_KEEPIDLE, unix.TCP_KEEPINTVL:
		if v < 1 || v > longest {
			return errno.EINVAL
		}
		idle, interval := tcpip.KeepaliveIdleOption(v)*1e9, tcpip.KeepaliveIntervalOption(v)*1e9
		if opt = &idle; name == unix.TCP_KEEPINTVL {
			opt = &interval
		}
	case unix.TCP_USER_TIMEOUT:
		if v < 0 {
			return errno.EINVAL
		}
		o := tcpip.TCPUserTimeoutOption(v) * 1e6
		opt = &o
	case unix.TCP_DEFER_ACCEPT:
		o := tcpip.TCPDeferAcceptOption(max(v, 0)) * 1e9
		opt = &o
	case unix.TCP_LINGER2:
		o := tcpip.TCPLingerTimeoutOption(v) * 1e9
		opt = &o
	case unix.TCP_FASTOPEN:
		if s := e.state(); v < 0 || s != tcpClose && s != tcpListen {
			return errno.EINVAL
		}
		const somaxconn = 4096
		e.opts.fastopen.Store(int32(min(v, somaxconn)))
		return 0
	case unix.TCP_FASTOPEN_CONNECT: // connect(2) does not wait for data while no server is known that takes them early
		if v != v&1 || e.state() != tcpClose {
			return errno.EINVAL
		}
		e.opts.turn(tcpFastopen, v != 0)
		return 0
	case unix.TCP_NOTSENT_LOWAT:
		e.opts.lowat.Store(int32(v))
		return 0
	case unix.TCP_THIN_LINEAR_TIMEOUTS, unix.TCP_SAVE_SYN:
		return 0
	case unix.TCP_REPAIR, unix.TCP_INQ:
		if v == 0 {
			return 0
		}
		return errno.EOPNOTSUPP
	default:
		return errno.ENOPROTOOPT
	}
	return errnoOf(e.ep().SetSockOpt(opt))
}

// membership4 reads a struct ip_mreq or ip_mreqn.
func (e *endpoint) membership4(join bool, b []byte) errno.Errno {
	if len(b) < 8 {
		return errno.EINVAL
	}
	o := tcpip.MembershipOption{MulticastAddr: tcpip.AddrFrom4Slice(b[:4])}
	if len(b) >= 12 && le.Uint32(b[8:]) != 0 {
		o.NIC = tcpip.NICID(le.Uint32(b[8:]))
	} else if le.Uint32(b[4:]) != 0 {
		o.InterfaceAddr = tcpip.AddrFrom4Slice(b[4:8])
	}
	if !header.IsV4MulticastAddress(o.MulticastAddr) {
		return errno.EINVAL
	}
	return e.member(join, o)
}

// membership6 reads a struct ipv6_mreq.
func (e *endpoint) membership6(join bool, b []byte) errno.Errno {
	if len(b) < 20 {
		return errno.EINVAL
	}
	o := tcpip.MembershipOption{MulticastAddr: tcpip.AddrFrom16Slice(b[:16]), NIC: tcpip.NICID(le.Uint32(b[16:]))}
	if !header.IsV6MulticastAddress(o.MulticastAddr) {
		return errno.EINVAL
	}
	return e.member(join, o)
}

func (e *endpoint) member(join bool, o tcpip.MembershipOption) (err errno.Errno) {
	if join {
		v := tcpip.AddMembershipOption(o)
		err = errnoOf(e.ep().SetSockOpt(&v))
		if err == errno.EINVAL {
			err = errno.EADDRINUSE
		}
		return err
	}
	v := tcpip.RemoveMembershipOption(o)
	return errnoOf(e.ep().SetSockOpt(&v))
}

// multicastInterface reads a struct in_addr, ip_mreq or ip_mreqn.
func (e *endpoint) multicastInterface(b []byte) errno.Errno {
	var o tcpip.MulticastInterfaceOption
	switch {
	case len(b) >= 12:
		o.NIC = tcpip.NICID(le.Uint32(b[8:]))
		b = b[4:]
	case len(b) >= 8:
		b = b[4:]
	case len(b) < 4:
		return errno.EINVAL
	}
	if le.Uint32(b) != 0 {
		o.InterfaceAddr = tcpip.AddrFrom4Slice(b[:4])
	}
	return errnoOf(e.ep().SetSockOpt(&o))
}
