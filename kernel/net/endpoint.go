package net

import (
	"io"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/raw"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"

	"gosv/kernel/errno"
	"gosv/kernel/socket"
)

// Kinds, protocols and flags of sockets (socket(2), ip(7), recv(2)).
const (
	sockStream = 1
	sockDgram  = 2
	sockRaw    = 3

	protoIP     = 0
	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58
	protoRaw    = 255
	protoMax    = 263

	msgOOB      = 0x1
	msgPeek     = 0x2
	msgTrunc    = 0x20
	msgErrqueue = 0x2000
	msgMore     = 0x8000
)

// Events of poll(2), which netstack has the same numbers for.
const (
	pollIn  = uint32(waiter.EventIn)
	pollOut = uint32(waiter.EventOut)
	pollErr = uint32(waiter.EventErr)
)

// endpoint is an endpoint of netstack's, as Linux has them.
type endpoint struct {
	net                    *Network
	current                atomic.Pointer[tcpip.Endpoint] // another than the first after a connection has failed
	first                  tcpip.Endpoint
	wake                   func(events uint32)
	watching               *watching
	watched                watching // the first one
	ino                    uint64
	family, kind, protocol int32
	isTCP                  bool

	failed atomic.Bool   // an error came and has not been fetched
	err    atomic.Uint32 // SO_ERROR: reported once
	opts   options
	copied atomic.Pointer[zerocopied] // nil: nothing that has not been told

	reading sync.Mutex // held for a look at what there is and the read after it
	done    bool       // under reading: an error that stays has been reported

	mu    sync.Mutex         // guards what follows, of TCP
	bound *tcpip.FullAddress // what bind(2) asked for
	set   []setting          // what setsockopt(2) set
	calls uint32             // with MSG_ZEROCOPY, of any protocol
}

// watching is how an endpoint of netstack's tells of events.
type watching struct {
	queue *waiter.Queue
	entry waiter.Entry
}

// setting is an option that a program has set.
type setting struct {
	level, name int32
	value       []byte
}

func (e *endpoint) ep() tcpip.Endpoint { return *e.current.Load() }

// newEndpoint makes an endpoint for a socket with that inode number. wake is called
// when the events of poll(2) that it is given may have come; it does not block.
func (n *Network) newEndpoint(family, kind, protocol int32, ino uint64, wake func(events uint32)) (Endpoint, errno.Errno) {
	switch family {
	case afInet, afInet6:
	case afPacket:
		n.attached()
	case afNetlink:
		n.attached()
		return n.netlinkSocket(kind, protocol, wake)
	default:
		return nil, errno.EAFNOSUPPORT
	}
	n.up()
	e := &endpoint{net: n, family: family, kind: kind, protocol: protocol, ino: ino, wake: wake}
	if err := e.make(); err != 0 {
		return nil, err
	}
	return e, 0
}

// make makes what e stands on.
func (e *endpoint) make() errno.Errno {
	wq := new(waiter.Queue)
	e.watch(wq)
	ep, err := e.net.endpoint(e, wq)
	if err == 0 {
		e.current.Store(&ep)
		e.net.known(ep, e.ino)
	}
	return err
}

// endpoint makes what e stands on, and sets the protocol that is meant by 0.
func (n *Network) endpoint(e *endpoint, wq *waiter.Queue) (ep tcpip.Endpoint, err errno.Errno) {
	var failed tcpip.Error
	network, ping := ipv4.ProtocolNumber, int32(protoICMP)
	if e.family == afInet6 {
		network, ping = ipv6.ProtocolNumber, protoICMPv6
	}
	switch {
	case e.family == afPacket && (e.kind == sockRaw || e.kind == sockDgram):
		// The protocol is that of the link layer, in network order.
		p := uint16(e.protocol)
		n.watched.Store(true)
		ep, failed = n.stack.NewPacketEndpoint(e.kind == sockDgram, tcpip.NetworkProtocolNumber(p<<8|p>>8), wq)
	case e.family == afPacket:
		return nil, errno.ESOCKTNOSUPPORT
	case e.protocol < 0 || e.protocol >= protoMax:
		return nil, errno.EINVAL
	case e.kind == sockStream && (e.protocol == protoIP || e.protocol == protoTCP):
		e.protocol, e.isTCP = protoTCP, true
		ep, failed = n.stack.NewEndpoint(tcp.ProtocolNumber, network, wq)
	case e.kind == sockDgram && (e.protocol == protoIP || e.protocol == protoUDP):
		e.protocol = protoUDP
		ep, failed = n.stack.NewEndpoint(udp.ProtocolNumber, network, wq)
	case e.kind == sockDgram && e.protocol == ping && ping == protoICMP:
		ep, failed = n.stack.NewEndpoint(icmp.ProtocolNumber4, network, wq)
	case e.kind == sockDgram && e.protocol == ping:
		ep, failed = n.stack.NewEndpoint(icmp.ProtocolNumber6, network, wq)
	case e.kind == sockRaw && e.protocol == protoRaw: // which only sends
		ep, failed = n.stack.NewRawEndpoint(protoRaw, network, wq, false)
	case e.kind == sockRaw && e.protocol != protoIP:
		ep, failed = raw.NewEndpoint(n.stack, network, tcpip.TransportProtocolNumber(e.protocol), wq)
	case e.kind == sockStream || e.kind == sockDgram || e.kind == sockRaw:
		return nil, errno.EPROTONOSUPPORT
	default:
		return nil, errno.ESOCKTNOSUPPORT
	}
	return ep, errnoOf(failed)
}

const everything = waiter.EventIn | waiter.EventOut | waiter.EventHUp | waiter.EventRdHUp | waiter.EventErr | waiter.EventPri

// watch lets wake be called when something happens.
func (e *endpoint) watch(wq *waiter.Queue) {
	w := &e.watched
	if w.queue != nil { // it is another's, that may still tell of something
		w = new(watching)
	}
	w.queue = wq
	w.entry.Init((*listener)(e), everything)
	wq.EventRegister(&w.entry)
	e.watching = w
}

// listener is an endpoint as its queue has it.
type listener endpoint

// NotifyEvent implements waiter.EventListener.
func (e *listener) NotifyEvent(mask waiter.EventMask) {
	if mask&waiter.EventErr != 0 {
		e.failed.Store(true)
	}
	e.wake(uint32(mask))
}

// unwatch ends that: netstack keeps an endpoint for a minute after its connection has
// ended, and the collector would have the socket to look at, too.
func (e *endpoint) unwatch() { e.watching.queue.EventUnregister(&e.watching.entry) }

// fetchError takes note of an error that netstack has for the socket.
func (e *endpoint) fetchError() {
	if e.failed.Load() || e.isTCP && tcp.EndpointState(e.ep().State()) == tcp.StateError {
		e.failed.Store(false)
		if err := errnoOf(e.ep().LastError()); err != 0 {
			e.err.CompareAndSwap(0, uint32(err))
		}
	}
}

// takeError returns the pending error, which is reported once.
func (e *endpoint) takeError() errno.Errno {
	e.fetchError()
	return errno.Errno(e.err.Swap(0))
}

// Ready implements Endpoint.
func (e *endpoint) Ready() uint32 {
	e.fetchError()
	mask := waiter.EventIn | waiter.EventOut | waiter.EventHUp | waiter.EventRdHUp
	events := e.ep().Readiness(mask)
	if e.isTCP {
		events = urges(e.ep().(*tcp.Endpoint), events)
	}
	ready := uint32(events)
	if e.err.Load() != 0 || e.copied.Load() != nil || e.ep().SocketOptions().PeekErr() != nil {
		ready |= pollErr
	}
	if e.isTCP {
		switch tcp.EndpointState(e.ep().State()) {
		case tcp.StateInitial, tcp.StateBound:
			ready |= pollOut
		}
	}
	return ready
}

// Bind implements Endpoint.
func (e *endpoint) Bind(addr []byte) errno.Errno {
	if e.family == afInet && len(addr) >= sizeofInet && le.Uint32(addr[4:]) == 0 && le.Uint16(addr) == afUnspec {
		addr = append([]byte{afInet, 0}, addr[2:]...) // as old programs do
	}
	a, err := e.parseAddr(addr)
	if err != 0 {
		return err
	}
	if a.Addr.BitLen() != 0 && !e.net.isLoopback(a.Addr) {
		e.net.configured()
	}
	failed := e.ep().Bind(a)
	if _, ok := failed.(*tcpip.ErrNoPortAvailable); ok {
		return errno.EADDRINUSE
	}
	if failed == nil && e.isTCP {
		e.mu.Lock()
		e.bound = &a
		e.mu.Unlock()
	}
	return errnoOf(failed)
}

// Listen implements Endpoint.
func (e *endpoint) Listen(backlog int) errno.Errno {
	if !e.isTCP {
		return errno.EOPNOTSUPP
	}
	err := e.ep().Listen(e.net.backlog(backlog))
	e.net.callers.end()
	return errnoOf(err)
}

// Accept implements Endpoint.
func (e *endpoint) Accept(ino uint64, wake func(events uint32)) (Endpoint, errno.Errno) {
	if !e.isTCP {
		return nil, errno.EOPNOTSUPP
	}
	ep, wq, err := e.ep().Accept(nil)
	if err != nil {
		return nil, errnoOf(err)
	}
	n := &endpoint{net: e.net, ino: ino, wake: wake, family: e.family, kind: e.kind, protocol: e.protocol, isTCP: true}
	n.first = ep
	n.current.Store(&n.first)
	n.net.known(ep, ino)
	n.inherit(e)
	n.watch(wq)
	return n, 0
}

// Connect implements Endpoint.
func (e *endpoint) Connect(addr []byte) errno.Errno {
	if len(addr) < 2 {
		return errno.EINVAL
	}
	if le.Uint16(addr) == afUnspec {
		return e.disconnect()
	}
	if e.family == afPacket {
		return errno.EOPNOTSUPP
	}
	a, err := e.parseAddr(addr)
	if err != 0 {
		return err
	}
	a = e.toPeer(a)
	if e.isTCP {
		if err := e.failedConnect(); err != 0 {
			return err
		}
		if isMulticast(a.Addr) {
			return errno.ENETUNREACH
		}
	}
	if !e.net.isLoopback(a.Addr) {
		e.net.configured()
	}
	if e.isForeign() {
		return errno.ENETUNREACH
	}
	switch failed := e.ep().Connect(a).(type) {
	case *tcpip.ErrHostUnreachable: // no route
		return errno.ENETUNREACH
	case *tcpip.ErrInvalidEndpointState:
		if e.isTCP && tcp.EndpointState(e.ep().State()) == tcp.StateListen {
			return errno.EISCONN
		}
		return errno.EINVAL
	default:
		return errnoOf(failed)
	}
}

// failedConnect is what the next connect(2) says after one that has come to
// nothing, and makes the one after that possible.
func (e *endpoint) failedConnect() errno.Errno {
	err := e.takeError()
	if tcp.EndpointState(e.ep().State()) != tcp.StateError {
		return err
	}
	if err == 0 { // SO_ERROR has told it
		err = errno.ECONNABORTED
	}
	e.disconnect()
	return err
}

// disconnect is connect(2) with the family AF_UNSPEC. Netstack's TCP endpoints
// are good for one connection: there is another then, with the same options, bound to
// the same address.
func (e *endpoint) disconnect() errno.Errno {
	if !e.isTCP {
		return errnoOf(e.ep().Disconnect())
	}
	old := e.ep()
	state := tcp.EndpointState(old.State())
	switch state {
	case tcp.StateInitial, tcp.StateBound:
		return 0
	}
	if err := e.make(); err != 0 {
		return err
	}
	e.net.known(old, 0)
	old.Abort()
	e.reading.Lock()
	e.done = false
	e.reading.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range e.set {
		e.apply(s.level, s.name, s.value)
	}
	if e.bound != nil {
		e.ep().Bind(*e.bound)
	}
	switch state {
	case tcp.StateError, tcp.StateClose, tcp.StateTimeWait, tcp.StateListen:
	default: // what was on the way is lost
		e.err.Store(uint32(errno.ECONNRESET))
	}
	return 0
}

func isMulticast(a tcpip.Address) bool {
	return header.IsV4MulticastAddress(a) || header.IsV6MulticastAddress(a)
}

// Address implements Endpoint.
func (e *endpoint) Address(peer bool) ([]byte, errno.Errno) {
	get := e.ep().GetLocalAddress
	if peer {
		if e.family == afPacket {
			return nil, errno.EOPNOTSUPP
		}
		if e.isTCP {
			switch tcp.EndpointState(e.ep().State()) {
			case tcp.StateSynSent, tcp.StateTimeWait, tcp.StateClose, tcp.StateError:
				return nil, errno.ENOTCONN
			}
		}
		get = e.ep().GetRemoteAddress
	}
	a, err := get()
	if err != nil {
		return nil, errnoOf(err)
	}
	if e.family == afPacket {
		return e.net.linkAddr(a), 0
	}
	if e.kind == sockRaw {
		a.Port = 0
		if !peer {
			a.Port = uint16(e.protocol)
		}
	}
	return formatAddr(e.family, a), 0
}

// Send implements Endpoint.
func (e *endpoint) Send(m *socket.Message) (int, errno.Errno) {
	urgent := m.Flags&msgOOB != 0
	if urgent && !e.isTCP && e.family != afPacket {
		return 0, errno.EOPNOTSUPP
	}
	opts := tcpip.WriteOptions{More: m.Flags&msgMore != 0, Atomic: !e.isTCP}
	if m.Addr != nil && !e.isTCP {
		to, err := e.parseAddr(m.Addr)
		if err != 0 {
			return 0, err
		}
		to = e.toPeer(to)
		if to.Port == 0 && e.protocol == protoUDP && e.kind == sockDgram {
			return 0, errno.EINVAL
		}
		if e.family != afPacket && !e.net.isLoopback(to.Addr) {
			e.net.configured()
		}
		if e.isForeign() {
			return 0, errno.ENETUNREACH
		}
		opts.To = &to
	}
	segment := int(e.opts.segment.Load())
	if m.Control != nil {
		if err := sendControl(m.Control, &opts.ControlMessages, &segment); err != 0 {
			return 0, err
		}
	}
	if err := e.takeError(); err != 0 {
		return 0, err
	}
	if e.isTCP && e.net.supply() != enough {
		if o := e.ep().SocketOptions(); o.GetSendBufferSize() > scarceSend {
			o.SetSendBufferSize(scarceSend, false)
		}
	}
	if segment > 0 && m.Data.Len() > segment && e.protocol == protoUDP && e.kind == sockDgram {
		return e.sendSegments(m.Data, segment, opts)
	}
	if urgent && e.isTCP {
		return e.sendUrgent(m, opts)
	}
	n, failed := e.ep().Write(data{m}, opts)
	return int(n), e.sendError(failed)
}

// sendError is why nothing, or not all, was sent.
func (e *endpoint) sendError(failed tcpip.Error) errno.Errno {
	switch failed.(type) {
	case *tcpip.ErrHostUnreachable:
		return errno.ENETUNREACH
	case *tcpip.ErrConnectionReset, *tcpip.ErrConnectionRefused, *tcpip.ErrTimeout, *tcpip.ErrConnectionAborted:
		if e.isTCP { // it has been reported
			return errno.EPIPE
		}
	}
	return errnoOf(failed)
}

// data are a message's. To make another kind of interface of them would cost a search for
// its methods.
type data struct{ *socket.Message }

func (d data) Len() int                    { return d.Data.Len() }
func (d data) Read(p []byte) (int, error)  { return d.Data.Read(p) }
func (d data) Write(p []byte) (int, error) { return d.Data.Write(p) }

// sendSegments sends data in datagrams of so many bytes, the last of which may be smaller
// (udp(7), UDP_SEGMENT).
func (e *endpoint) sendSegments(data tcpip.Payloader, size int, opts tcpip.WriteOptions) (int, errno.Errno) {
	const most = 64 // UDP_MAX_SEGMENTS
	longest := 65535 - header.UDPMinimumSize - header.IPv4MinimumSize
	to, _ := e.ep().GetRemoteAddress()
	if opts.To != nil {
		to = *opts.To
	}
	head := header.UDPMinimumSize + header.IPv4MinimumSize
	if to.Addr.Len() == header.IPv6AddressSize && !header.IsV4MappedAddress(to.Addr) {
		head = header.UDPMinimumSize + header.IPv6MinimumSize
		longest = 65535 - header.UDPMinimumSize
	}
	local, _ := e.ep().GetLocalAddress()
	switch {
	case data.Len() > longest:
		return 0, errno.EMSGSIZE
	case data.Len() > most*size || head+size > e.net.mtuTo(local.Addr, to.Addr):
		return 0, errno.EINVAL
	}
	all := 0
	for data.Len() > 0 {
		n, failed := e.ep().Write(&beginning{data, min(size, data.Len())}, opts)
		if failed != nil {
			if all == 0 {
				return 0, errnoOf(failed)
			}
			return all + data.Len(), 0 // the rest got lost, as datagrams do
		}
		all += int(n)
	}
	return all, 0
}

// beginning is the first bytes of what is sent.
type beginning struct {
	tcpip.Payloader
	left int
}

func (b *beginning) Len() int { return b.left }
func (b *beginning) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	n, err := b.Payloader.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// Receive implements Endpoint.
func (e *endpoint) Receive(m *socket.Message) (int, errno.Errno) {
	if m.Flags&msgErrqueue != 0 {
		return e.receiveError(m)
	}
	if m.Flags&msgOOB != 0 {
		switch {
		case e.isTCP:
			return e.receiveUrgent(m)
		case e.family == afPacket:
			return 0, errno.EINVAL
		case e.protocol != protoUDP:
			return 0, errno.EOPNOTSUPP
		}
		m.Flags &^= msgOOB
	}
	if e.isTCP {
		return e.receiveStream(m)
	}
	if err := e.takeError(); err != 0 {
		return 0, err
	}
	room := m.Data.Len()
	w := packetWriter{m: m}
	res, failed := e.ep().Read(&w, tcpip.ReadOptions{Peek: m.Flags&msgPeek != 0, NeedRemoteAddr: true, NeedLinkPacketInfo: e.family == afPacket})
	if failed != nil {
		if _, ok := failed.(*tcpip.ErrClosedForReceive); ok {
			return 0, 0
		}
		return 0, errnoOf(failed)
	}
	n := room - m.Data.Len()
	whole := max(w.total, res.Total)
	wantsAll := m.Flags&msgTrunc != 0
	m.Flags &^= msgTrunc
	if n < whole {
		m.Flags |= msgTrunc
		if wantsAll {
			n = whole
		}
	}
	if e.kind == sockRaw && e.family != afPacket {
		res.RemoteAddr.Port = 0
	}
	m.Addr = formatAddr(e.family, res.RemoteAddr)
	if e.family == afPacket {
		le.PutUint16(m.Addr[2:], uint16(res.LinkPacketInfo.Protocol>>8|res.LinkPacketInfo.Protocol<<8))
		m.Addr[10] = packetTypes[res.LinkPacketInfo.PktType]
	}
	m.Control = e.receivedControl(m.Control, &res.ControlMessages)
	return n, 0
}

// packetWriter takes a packet, and what there is no room for, too.
type packetWriter struct {
	m     *socket.Message
	total int
}

func (w *packetWriter) Write(p []byte) (int, error) {
	w.total += len(p)
	if n := min(len(p), w.m.Data.Len()); n > 0 {
		if _, err := w.m.Data.Write(p[:n]); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

func (e *endpoint) receiveStream(m *socket.Message) (int, errno.Errno) {
	room := m.Data.Len()
	if room == 0 {
		return 0, 0
	}
	e.reading.Lock()
	defer e.reading.Unlock()
	if m.Flags&msgMore != 0 && mark(e.ep().(*tcp.Endpoint)) == 0 {
		return 0, 0
	}
	w := io.Writer(data{m})
	if m.Flags&msgTrunc != 0 { // what is read is thrown away (tcp(7))
		w = &tcpip.LimitedWriter{W: io.Discard, N: int64(room)}
	}
	peek := m.Flags&msgPeek != 0
	n, failed := readStream(e.ep().(*tcp.Endpoint), w, peek, !peek && e.net.supply() == enough)
	m.Flags &^= msgTrunc
	switch failed.(type) {
	case nil:
		if e.opts.is(soTimestamp) {
			m.Control = e.receivedControl(m.Control, &tcpip.ReceivableControlMessages{})
		}
		return n, 0
	case *tcpip.ErrWouldBlock:
		return 0, errno.EAGAIN
	case *tcpip.ErrNotConnected:
		if e.done { // the connection has been there
			return 0, 0
		}
		return 0, errno.ENOTCONN
	case *tcpip.ErrBadBuffer:
		return 0, errno.EFAULT
	}
	// It has ended: with an error, which is told once, and then without.
	if err := e.takeError(); err != 0 {
		e.done = true
		return 0, err
	}
	if e.done {
		return 0, 0
	}
	e.done = true
	return 0, errnoOf(failed)
}

// Shutdown implements Endpoint.
func (e *endpoint) Shutdown(read, write bool) errno.Errno {
	if e.family == afPacket {
		return errno.EOPNOTSUPP
	}
	var how tcpip.ShutdownFlags
	if read {
		how |= tcpip.ShutdownRead
	}
	if write {
		how |= tcpip.ShutdownWrite
	}
	return errnoOf(e.ep().Shutdown(how))
}

// Queued implements Endpoint.
func (e *endpoint) Queued(sent bool) (int, errno.Errno) {
	if e.isTCP && tcp.EndpointState(e.ep().State()) == tcp.StateListen {
		return 0, errno.EINVAL
	}
	if sent {
		return unacknowledged(e.ep()), 0
	}
	v, err := e.ep().GetSockOptInt(tcpip.ReceiveQueueSizeOption)
	if e.isTCP && !e.opts.is(oobInline) {
		if n := mark(e.ep().(*tcp.Endpoint)); n >= 0 {
			v = min(v, n)
		}
	}
	return v, errnoOf(err)
}

// unacknowledged is how much an endpoint has to send, or has sent, that its peer has
// not acknowledged. Netstack does not tell, but it counts it.
func unacknowledged(ep tcpip.Endpoint) int {
	t, ok := ep.(*tcp.Endpoint)
	if !ok {
		return 0 // what is sent is gone
	}
	used := reflect.ValueOf(t).Elem().FieldByName("sndQueueInfo").FieldByName("SndBufUsed")
	return max(0, int(used.Int()))
}

// Close implements Endpoint.
func (e *endpoint) Close() {
	ep := e.ep()
	e.net.known(ep, 0)
	if e.isTCP && e.orphan(ep) {
		return
	}
	e.unwatch()
	ep.Close()
}

// Linger implements Endpoint.
func (e *endpoint) Linger() time.Duration {
	if l := e.ep().SocketOptions().GetLinger(); e.isTCP && l.Enabled {
		switch tcp.EndpointState(e.ep().State()) {
		case tcp.StateFinWait1, tcp.StateClosing, tcp.StateLastAck:
			return l.Timeout
		}
	}
	return 0
}

// known notes the inode number of an endpoint's socket; 0 is for one that has none any
// more.
func (n *Network) known(ep tcpip.Endpoint, ino uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if ino == 0 {
		delete(n.inodes, ep)
		return
	}
	if n.inodes == nil {
		n.inodes = map[tcpip.Endpoint]uint64{}
	}
	n.inodes[ep] = ino
}
