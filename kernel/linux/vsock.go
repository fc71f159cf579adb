package linux

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"gosv/kernel/gotimer"
	"gosv/kernel/metal"
	"gosv/kernel/mm"
	"gosv/kernel/vsock"
)

// vsockets are the sockets of vsock(7), by their addresses. Packets come in
// from the host, and from sockets of this machine.
type vsockets struct {
	kernel    *Kernel
	found     VsockDevice // of the machine, nil: none
	opened    sync.Once
	mu        sync.Mutex  // a socket's is taken below it
	device    VsockDevice // found, once it is used
	local     vsockLoopback
	bound     map[uint32][]*vsockSocket // by port
	connected map[vsockKey]*vsockSocket // and those that try to be
	port      uint32                    // the next one to give out
}

// vsockKey is what tells connections apart. A local peer's CID is CIDLocal,
// whatever it is called.
type vsockKey struct {
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

// vsockAddr is where a socket is.
type vsockAddr struct{ cid, port uint32 }

const (
	vsockPortAny      = 0xffffffff // VMADDR_PORT_ANY
	vsockLastReserved = 1023
	vsockFlagToHost   = 1
)

func (a vsockAddr) encode() []byte {
	sa := sockaddrVM{family: afVsock, port: a.port, cid: a.cid}
	return append([]byte(nil), unsafe.Slice((*byte)(unsafe.Pointer(&sa)), unsafe.Sizeof(sa))...)
}

func parseVsockAddr(b []byte) (vsockAddr, Errno) {
	if uintptr(len(b)) < unsafe.Sizeof(sockaddrVM{}) {
		return vsockAddr{}, EINVAL
	}
	var sa sockaddrVM
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&sa)), unsafe.Sizeof(sa)), b)
	if sa.family != afVsock || sa.flags&^vsockFlagToHost != 0 {
		return vsockAddr{}, EINVAL
	}
	return vsockAddr{sa.cid, sa.port}, 0
}

// VsockDevice carries packets to the host.
type VsockDevice interface {
	vsock.Transport

	// Open lets it begin, when the first program wants a socket.
	Open(vsock.Receiver) error

	// Sent says whether all packets have left.
	Sent() bool
}

// AttachVsock gives the kernel the machine's device.
func (k *Kernel) AttachVsock(d VsockDevice) { k.vsockets.found = d }

// open returns the machine's device, which can be used then, or nil. Whoever uses
// v calls it first.
func (v *vsockets) open() VsockDevice {
	v.opened.Do(func() {
		v.local.all = v
		v.kernel.NeedDevices()
		d := v.found
		if d == nil {
			return
		}
		if err := d.Open(v); err != nil {
			v.kernel.Log("gosv kernel: the vsock device: " + err.Error() + "\n")
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

// drain waits until all that was sent has left, but not for long: the machine ends.
func (v *vsockets) drain() {
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
func (v *vsockets) transport(cid uint32) (vsock.Transport, uint64) {
	device := v.open()
	switch {
	case cid == vsock.CIDLocal, device == nil && cid == vsock.CIDHost, device != nil && cid == device.CID():
		return &v.local, vsock.CIDLocal
	case device == nil:
		return nil, 0
	}
	return device, uint64(cid)
}

// localCID is what IOCTL_VM_SOCKETS_GET_LOCAL_CID tells.
func (v *vsockets) localCID() uint32 {
	device := v.open()
	if device == nil {
		return vsock.CIDAny
	}
	return device.CID()
}

// bind gives s an address, if that is free.
func (v *vsockets) bind(t *Thread, s *vsockSocket, a vsockAddr) Errno {
	if a.cid != vsock.CIDAny && a.cid != vsock.CIDLocal && a.cid != v.localCID() {
		return EADDRNOTAVAIL
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.local.port != vsockPortAny:
		return EINVAL
	case a.port != vsockPortAny:
		if a.port <= vsockLastReserved && !t.can(capNetBind) {
			return EACCES
		}
		if v.taken(a) {
			return EADDRINUSE
		}
	default:
		const tries = 24 // MAX_PORT_RETRIES
		if v.port == 0 {
			var b [4]byte
			FillRandom(b[:])
			v.port = *(*uint32)(unsafe.Pointer(&b))
		}
		for i := 0; ; i++ {
			if i == tries {
				return EADDRNOTAVAIL
			}
			if v.port <= vsockLastReserved || v.port == vsockPortAny {
				v.port = vsockLastReserved + 1
			}
			a.port = v.port
			v.port++
			if !v.taken(a) {
				break
			}
		}
	}
	if v.bound == nil {
		v.bound = map[uint32][]*vsockSocket{}
	}
	v.bound[a.port] = append(v.bound[a.port], s)
	s.local = a
	return 0
}

// taken says whether some socket's address is a, or includes it; v.mu is held.
func (v *vsockets) taken(a vsockAddr) bool {
	for _, s := range v.bound[a.port] {
		if s.local.cid == a.cid || s.local.cid == vsock.CIDAny || a.cid == vsock.CIDAny {
			return true
		}
	}
	return false
}

// unbind and disconnect take s's addresses away from it.
func (v *vsockets) unbind(s *vsockSocket) {
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

func (v *vsockets) disconnect(s *vsockSocket) {
	v.mu.Lock()
	if v.connected[s.key] == s {
		delete(v.connected, s.key)
	}
	v.mu.Unlock()
}

// connect makes s the one that packets for key are for; !ok if there is one.
func (v *vsockets) connect(s *vsockSocket, key vsockKey) (ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.connected[key] != nil {
		return false
	}
	if v.connected == nil {
		v.connected = map[vsockKey]*vsockSocket{}
	}
	v.connected[key] = s
	s.key = key
	return true
}

// find returns the socket that a packet is for: one that is connected, or one
// that listens; nil if there is none.
func (v *vsockets) find(t vsock.Transport, h *vsock.Header) *vsockSocket {
	local := t == &v.local
	if !local && h.SrcCID == vsock.CIDLocal {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if s := v.connected[vsockKey{h.SrcCID, h.DstPort, h.SrcPort}]; s != nil {
		return s
	}
	for _, s := range v.bound[h.DstPort] {
		if s.isAt(h.DstCID) {
			return s
		}
	}
	return nil
}

// Receive implements vsock.Receiver.
func (v *vsockets) Receive(t vsock.Transport, h *vsock.Header, data []byte) (kept bool) {
	var s *vsockSocket
	if h.Type == vsock.TypeStream {
		s = v.find(t, h)
	}
	if s == nil || s.kind != sockStream {
		refuse(t, h)
		return false
	}
	return s.packet(t, h, data)
}

// refuse answers a packet that nobody wants.
func refuse(t vsock.Transport, h *vsock.Header) {
	if h.Op == vsock.OpReset {
		return
	}
	t.Send(&vsock.Header{
		SrcCID: h.DstCID, DstCID: h.SrcCID, SrcPort: h.DstPort, DstPort: h.SrcPort,
		Type: h.Type, Op: vsock.OpReset,
	}, nil)
	t.Flush()
}

// Room implements vsock.Receiver: who waits to send goes on.
func (v *vsockets) Room(t vsock.Transport) {
	v.each(t, func(s *vsockSocket) { s.queue.Wake() })
}

// Reset implements vsock.Receiver.
func (v *vsockets) Reset(t vsock.Transport) {
	v.each(t, func(s *vsockSocket) {
		s.mu.Lock()
		s.state = vsockClosed
		if s.phase == vsockInProgress {
			s.phase = vsockUnconnected
			s.stopTimer()
		}
		s.err.Store(uint32(ECONNRESET))
		s.mu.Unlock()
		s.queue.Wake()
	})
}

// each calls f for the sockets that t carries the packets of.
func (v *vsockets) each(t vsock.Transport, f func(s *vsockSocket)) {
	v.mu.Lock()
	list := make([]*vsockSocket, 0, len(v.connected))
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

// vsockLoopback carries packets between sockets of this machine. Send puts them
// in line, and Flush delivers them, with no locks held.
type vsockLoopback struct {
	all     *vsockets
	mu      sync.Mutex
	packets []loopPacket
	busy    bool // somebody delivers
	starved atomic.Bool
}

type loopPacket struct {
	h    vsock.Header
	data []byte
}

func (l *vsockLoopback) CID() uint32   { return vsock.CIDLocal }
func (l *vsockLoopback) MayKeep() bool { return true }

func (l *vsockLoopback) Buffer(n int) []byte {
	if n = min(n, vsock.MaxData); n > vsockPieceSize && !l.Ready() {
		return nil
	}
	return make([]byte, n)
}

func (l *vsockLoopback) Ready() bool {
	if mm.KernelRoom(vsock.MaxData) {
		return true
	}
	l.starved.Store(true)
	return false
}

func (l *vsockLoopback) Free([]byte) {
	if l.starved.CompareAndSwap(true, false) {
		go l.all.Room(l) // who frees holds a socket's lock
	}
}

func (l *vsockLoopback) Send(h *vsock.Header, data []byte) {
	l.mu.Lock()
	l.packets = append(l.packets, loopPacket{*h, data})
	l.mu.Unlock()
}

func (l *vsockLoopback) Flush() {
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

// The device /dev/vsock.
type vsockDevice struct{ device }

func (*vsockDevice) read(*Thread, *File, *userIO) (int, Errno)  { return 0, EINVAL }
func (*vsockDevice) write(*Thread, *File, *userIO) (int, Errno) { return 0, EINVAL }

func (d *vsockDevice) ioctl(t *Thread, f *File, req, arg uintptr) (uintptr, Errno) {
	const getLocalCID = 0x7b9 // IOCTL_VM_SOCKETS_GET_LOCAL_CID
	if req != getLocalCID {
		return 0, ENOTTY
	}
	cid := t.proc.kernel.vsockets.localCID()
	return 0, copyOut(t, arg, &cid)
}

// Options of vsock(7).
const (
	vsockBufferSize    = 0
	vsockBufferMin     = 1
	vsockBufferMax     = 2
	vsockPeerHost      = 3
	vsockTrusted       = 5
	vsockTimeoutOld    = 6
	vsockTimeout       = 8
	vsockDefaultBuffer = 256 << 10
	vsockLeastBuffer   = 128
	vsockPatience      = 2 * second // for a connection to be made
)

func (s *vsockSocket) getOption(t *Thread, level int32, option uintptr, size int) ([]byte, Errno) {
	if level != afVsock {
		return nil, ENOPROTOOPT
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var v [2]uint64
	n := 8
	switch option {
	case vsockBufferSize, vsockBufferMin, vsockBufferMax:
		v[0] = s.buffer[option]
	case vsockTimeout, vsockTimeoutOld:
		tv := toTimeval(s.patience)
		v, n = [2]uint64{uint64(tv.sec), uint64(tv.usec)}, 16
	default:
		return nil, ENOPROTOOPT
	}
	if size < n {
		return nil, EINVAL
	}
	return append([]byte(nil), unsafe.Slice((*byte)(unsafe.Pointer(&v)), n)...), 0
}

func (s *vsockSocket) setOption(t *Thread, level int32, option uintptr, b []byte) Errno {
	if level != afVsock {
		return ENOPROTOOPT
	}
	var v [2]uint64
	n := copy(unsafe.Slice((*byte)(unsafe.Pointer(&v)), unsafe.Sizeof(v)), b)
	switch option {
	case vsockBufferSize, vsockBufferMin, vsockBufferMax:
		if n < 8 {
			return EINVAL
		}
		s.setBuffer(option, v[0])
		return 0
	case vsockTimeout, vsockTimeoutOld:
		switch tv := (timeval{int64(v[0]), int64(v[1])}); {
		case n < 16:
			return EINVAL
		case tv.sec < 0 || uint64(tv.usec) >= 1_000_000 || tv.sec > 1<<33:
			return ERANGE
		default:
			s.mu.Lock()
			if s.patience = tv.ns(); s.patience == 0 {
				s.patience = vsockPatience
			}
			s.mu.Unlock()
		}
		return 0
	}
	return ENOPROTOOPT
}

// setBuffer sets how much the socket takes before the program reads it, or the
// least or most that this can be.
func (s *vsockSocket) setBuffer(option uintptr, v uint64) {
	s.mu.Lock()
	before := s.buffer[vsockBufferSize]
	s.buffer[option] = v
	size := max(s.buffer[vsockBufferSize], s.buffer[vsockBufferMin])
	s.buffer[vsockBufferSize] = min(size, s.buffer[vsockBufferMax])
	tell := s.state == vsockEstablished && s.buffer[vsockBufferSize] != before
	s.mu.Unlock()
	if tell {
		s.transmit(vsock.OpCreditUpdate, 0, nil)
	}
}

// later calls f in ns from now, if s does not connect or end before.
func (s *vsockSocket) later(ns uint64, f func()) {
	if s.timer != nil {
		s.timer.Stop()
	}
	s.timer = gotimer.Start(ns, f)
}
