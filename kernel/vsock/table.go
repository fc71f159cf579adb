package vsock

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"gosv/kernel/errno"
	"gosv/kernel/gotimer"
	"gosv/kernel/metal"
	"gosv/kernel/mm"
	"gosv/kernel/socket"
)

const second = 1_000_000_000 // ns

// System is what sockets need of the kernel around them.
type System interface {
	NeedDevices() // returns when the machine's devices are found
	Warn(msg string)
	NewSocketIno() uint64 // the inode number of a new one
	FillRandom(p []byte)
}

// Sockets are the sockets of vsock(7), by their addresses. Packets come in
// from the host, and from sockets of this machine.
type Sockets struct {
	System    System
	found     Device // of the machine, nil: none
	opened    sync.Once
	mu        sync.Mutex // a socket's is taken below it
	device    Device     // found, once it is used
	local     loopback
	bound     map[uint32][]*Socket   // by port
	connected map[connection]*Socket // and those that try to be
	port      uint32                 // the next one to give out
}

// connection is what tells connections apart. A local peer's CID is CIDLocal,
// whatever it is called.
type connection struct {
	cid              uint64
	port, remotePort uint32
}

// sockaddrVM is struct sockaddr_vm.
type sockaddrVM struct {
	family, _ uint16
	port, cid uint32
	flags     uint8
	_         [3]uint8
}

// address is where a socket is.
type address struct{ cid, port uint32 }

const (
	portAny      = 0xffffffff // VMADDR_PORT_ANY
	lastReserved = 1023
	flagToHost   = 1
)

func (a address) encode() []byte {
	sa := sockaddrVM{family: socket.AFVsock, port: a.port, cid: a.cid}
	return append([]byte(nil), unsafe.Slice((*byte)(unsafe.Pointer(&sa)), unsafe.Sizeof(sa))...)
}

func parseAddress(b []byte) (address, errno.Errno) {
	if uintptr(len(b)) < unsafe.Sizeof(sockaddrVM{}) {
		return address{}, errno.EINVAL
	}
	var sa sockaddrVM
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&sa)), unsafe.Sizeof(sa)), b)
	if sa.family != socket.AFVsock || sa.flags&^flagToHost != 0 {
		return address{}, errno.EINVAL
	}
	return address{sa.cid, sa.port}, 0
}

// Device carries packets to the host.
type Device interface {
	Transport

	// Open lets it begin, when the first program wants a socket.
	Open(Receiver) error

	// Sent says whether all packets have left.
	Sent() bool
}

// Attach gives v the machine's device.
func (v *Sockets) Attach(d Device) { v.found = d }

// open returns the machine's device, which can be used then, or nil. Whoever uses
// v calls it first.
func (v *Sockets) open() Device {
	v.opened.Do(func() {
		v.local.all = v
		v.System.NeedDevices()
		d := v.found
		if d == nil {
			return
		}
		if err := d.Open(v); err != nil {
			v.System.Warn("the vsock device: " + err.Error())
			return
		}
		v.mu.Lock()
		v.device = d
		v.mu.Unlock()
	})
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.device
}

// Drain waits until all that was sent has left, but not for long: the machine ends.
func (v *Sockets) Drain() {
	const (
		longest = second
		pause   = second / 10000
	)
	v.mu.Lock()
	d := v.device
	v.mu.Unlock()
	if d == nil {
		return
	}
	for end := metal.Now() + longest; !d.Sent() && metal.Now() < end; {
		gotimer.Sleep(pause)
	}
}

// transport returns who carries packets to cid, nil if nobody does, and that
// peer's CID as connections have it.
func (v *Sockets) transport(cid uint32) (Transport, uint64) {
	device := v.open()
	switch {
	case cid == CIDLocal, device == nil && cid == CIDHost, device != nil && cid == device.CID():
		return &v.local, CIDLocal
	case device == nil:
		return nil, 0
	}
	return device, uint64(cid)
}

// LocalCID is what IOCTL_VM_SOCKETS_GET_LOCAL_CID tells.
func (v *Sockets) LocalCID() uint32 {
	device := v.open()
	if device == nil {
		return CIDAny
	}
	return device.CID()
}

// bind gives s an address, if that is free.
func (v *Sockets) bind(c socket.Caller, s *Socket, a address) errno.Errno {
	if a.cid != CIDAny && a.cid != CIDLocal && a.cid != v.LocalCID() {
		return errno.EADDRNOTAVAIL
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.local.port != portAny:
		return errno.EINVAL
	case a.port != portAny:
		if a.port <= lastReserved && !c.Can(socket.CapNetBind) {
			return errno.EACCES
		}
		if v.taken(a) {
			return errno.EADDRINUSE
		}
	default:
		const tries = 24 // MAX_PORT_RETRIES
		if v.port == 0 {
			var b [4]byte
			v.System.FillRandom(b[:])
			v.port = *(*uint32)(unsafe.Pointer(&b))
		}
		for i := 0; ; i++ {
			if i == tries {
				return errno.EADDRNOTAVAIL
			}
			if v.port <= lastReserved || v.port == portAny {
				v.port = lastReserved + 1
			}
			a.port = v.port
			v.port++
			if !v.taken(a) {
				break
			}
		}
	}
	if v.bound == nil {
		v.bound = map[uint32][]*Socket{}
	}
	v.bound[a.port] = append(v.bound[a.port], s)
	s.local = a
	return 0
}

// taken says whether some socket's address is a, or includes it; v.mu is held.
func (v *Sockets) taken(a address) bool {
	for _, s := range v.bound[a.port] {
		if s.local.cid == a.cid || s.local.cid == CIDAny || a.cid == CIDAny {
			return true
		}
	}
	return false
}

// unbind and disconnect take s's addresses away from it.
func (v *Sockets) unbind(s *Socket) {
	v.mu.Lock()
	defer v.mu.Unlock()
	port := s.local.port
	all := v.bound[port]
	for i, o := range all {
		if o == s {
			all[i] = all[len(all)-1]
			all[len(all)-1] = nil
			if all = all[:len(all)-1]; len(all) > 0 {
				v.bound[port] = all
			} else {
				delete(v.bound, port)
			}
			return
		}
	}
}

func (v *Sockets) disconnect(s *Socket) {
	v.mu.Lock()
	if v.connected[s.key] == s {
		delete(v.connected, s.key)
	}
	v.mu.Unlock()
}

// connect makes s the one that packets for key are for; !ok if there is one.
func (v *Sockets) connect(s *Socket, key connection) (ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.connected[key] != nil {
		return false
	}
	if v.connected == nil {
		v.connected = map[connection]*Socket{}
	}
	v.connected[key] = s
	s.key = key
	return true
}

// find returns the socket that a packet is for: one that is connected, or one
// that listens; nil if there is none.
func (v *Sockets) find(t Transport, h *Header) *Socket {
	local := t == &v.local
	if !local && h.SrcCID == CIDLocal {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if s := v.connected[connection{h.SrcCID, h.DstPort, h.SrcPort}]; s != nil {
		return s
	}
	for _, s := range v.bound[h.DstPort] {
		if s.isAt(h.DstCID) {
			return s
		}
	}
	return nil
}

// Receive implements Receiver.
func (v *Sockets) Receive(t Transport, h *Header, data []byte) (kept bool) {
	var s *Socket
	if h.Type == TypeStream {
		s = v.find(t, h)
	}
	if s == nil || s.Kind != socket.Stream {
		refuse(t, h)
		return false
	}
	return s.packet(t, h, data)
}

// refuse answers a packet that nobody wants.
func refuse(t Transport, h *Header) {
	if h.Op == OpReset {
		return
	}
	t.Send(&Header{
		SrcCID: h.DstCID, DstCID: h.SrcCID, SrcPort: h.DstPort, DstPort: h.SrcPort,
		Type: h.Type, Op: OpReset,
	}, nil)
	t.Flush()
}

// Room implements Receiver: who waits to send goes on.
func (v *Sockets) Room(t Transport) {
	v.each(t, func(s *Socket) { s.queue.Wake() })
}

// Reset implements Receiver.
func (v *Sockets) Reset(t Transport) {
	v.each(t, func(s *Socket) {
		s.mu.Lock()
		s.state = closed
		if s.phase == inProgress {
			s.phase = unconnected
			s.stopTimer()
		}
		s.Err.Store(uint32(errno.ECONNRESET))
		s.mu.Unlock()
		s.queue.Wake()
	})
}

// each calls f for the sockets that t carries the packets of.
func (v *Sockets) each(t Transport, f func(s *Socket)) {
	v.mu.Lock()
	list := make([]*Socket, 0, len(v.connected))
	for _, s := range v.connected {
		if s.via == t {
			list = append(list, s)
		}
	}
	v.mu.Unlock()
	for _, s := range list {
		f(s)
	}
}

// loopback carries packets between sockets of this machine. Send puts them
// in line, and Flush delivers them, with no locks held.
type loopback struct {
	all     *Sockets
	mu      sync.Mutex
	packets []loopPacket
	busy    bool // somebody delivers
	starved atomic.Bool
}

type loopPacket struct {
	h    Header
	data []byte
}

func (l *loopback) CID() uint32   { return CIDLocal }
func (l *loopback) MayKeep() bool { return true }

func (l *loopback) Buffer(n int) []byte {
	if n = min(n, MaxData); n > pieceSize && !l.Ready() {
		return nil
	}
	return make([]byte, n)
}

func (l *loopback) Ready() bool {
	if mm.KernelRoom(MaxData) {
		return true
	}
	l.starved.Store(true)
	return false
}

func (l *loopback) Free([]byte) {
	if l.starved.CompareAndSwap(true, false) {
		go l.all.Room(l) // who frees holds a socket's lock
	}
}

func (l *loopback) Send(h *Header, data []byte) {
	l.mu.Lock()
	l.packets = append(l.packets, loopPacket{*h, data})
	l.mu.Unlock()
}

func (l *loopback) Flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy {
		return
	}
	l.busy = true
	for len(l.packets) > 0 {
		list := l.packets
		l.packets = nil
		l.mu.Unlock()
		for i := range list {
			l.all.Receive(l, &list[i].h, list[i].data)
		}
		l.mu.Lock()
	}
	l.busy = false
}

// Options of vsock(7).
const (
	bufferSize      = 0
	bufferMin       = 1
	bufferMax       = 2
	peerHost        = 3
	trusted         = 5
	timeoutOld      = 6
	timeout         = 8
	defaultBuffer   = 256 << 10
	leastBuffer     = 128
	defaultPatience = 2 * second // for a connection to be made
)

// Option implements socket.Socket.
func (s *Socket) Option(level int32, option uintptr, size int) ([]byte, errno.Errno) {
	if level != socket.AFVsock {
		return nil, errno.ENOPROTOOPT
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var v [2]uint64
	n := 8
	switch option {
	case bufferSize, bufferMin, bufferMax:
		v[0] = s.buffer[option]
	case timeout, timeoutOld:
		v, n = [2]uint64{s.patience / second, s.patience % second / 1000}, 16
	default:
		return nil, errno.ENOPROTOOPT
	}
	if size < n {
		return nil, errno.EINVAL
	}
	return append([]byte(nil), unsafe.Slice((*byte)(unsafe.Pointer(&v)), n)...), 0
}

// SetOption implements socket.Socket.
func (s *Socket) SetOption(level int32, option uintptr, b []byte) errno.Errno {
	if level != socket.AFVsock {
		return errno.ENOPROTOOPT
	}
	var v [2]uint64
	n := copy(unsafe.Slice((*byte)(unsafe.Pointer(&v)), unsafe.Sizeof(v)), b)
	switch option {
	case bufferSize, bufferMin, bufferMax:
		if n < 8 {
			return errno.EINVAL
		}
		s.setBuffer(option, v[0])
		return 0
	case timeout, timeoutOld:
		switch sec, usec := v[0], v[1]; { // struct timeval
		case n < 16:
			return errno.EINVAL
		case sec > 1<<33 || usec >= 1_000_000:
			return errno.ERANGE
		default:
			s.mu.Lock()
			if s.patience = sec*second + usec*1000; s.patience == 0 {
				s.patience = defaultPatience
			}
			s.mu.Unlock()
		}
		return 0
	}
	return errno.ENOPROTOOPT
}

// setBuffer sets how much the socket takes before the program reads it, or the
// least or most that this can be.
func (s *Socket) setBuffer(option uintptr, v uint64) {
	s.mu.Lock()
	before := s.buffer[bufferSize]
	s.buffer[option] = v
	size := max(s.buffer[bufferSize], s.buffer[bufferMin])
	s.buffer[bufferSize] = min(size, s.buffer[bufferMax])
	tell := s.state == established && s.buffer[bufferSize] != before
	s.mu.Unlock()
	if tell {
		s.transmit(OpCreditUpdate, 0, nil)
	}
}

// later calls f in ns from now, if s does not connect or end before.
func (s *Socket) later(ns uint64, f func()) {
	if s.timer != nil {
		s.timer.Stop()
	}
	s.timer = gotimer.Start(ns, f)
}
