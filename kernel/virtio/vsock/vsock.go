// Package vsock drives the socket device (virtio 1.2 section 5.10), which carries
// packets of sockets to the host.
package vsock

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"gosv/kernel/metal"
	"gosv/kernel/virtio"
	"gosv/kernel/vsock"
)

// Device is the device. It implements vsock.Transport.
type Device struct {
	dev *virtio.Device
	to  vsock.Receiver
	cid atomic.Uint32
	tx  sender
	rx  receiver

	events *virtio.Queue // rx.mu is for it, too
	event  virtio.Piece
}

// Queues (section 5.10.2), and how large ours are at most.
const (
	rxQueue, txQueue, eventQueue = 0, 1, 2

	rxSize, txSize, eventSize = 64, 256, 8
)

const (
	slotSize   = 64 // for a header
	smallSize  = 4096
	largeSize  = vsock.MaxData
	mostSmall  = 64
	mostLarge  = 8
	eventBytes = 4

	transportReset = 0 // the id of an event
)

const errGarbage virtio.Error = "it sends packets that are longer than they are"

// New returns the device with its features agreed on. It does not begin, and has no
// memory, before Open.
func New(d *virtio.Device) (*Device, error) {
	if _, err := d.Negotiate(0); err != nil {
		return nil, err
	}
	v := &Device{dev: d}
	v.readCID()
	return v, nil
}

func (v *Device) readCID() { v.cid.Store(uint32(v.dev.Config64(0))) }

// Open lets the device begin: to gets what it sends.
func (v *Device) Open(to vsock.Receiver) (err error) {
	v.to = to
	v.dev.OnFail(func(error) { to.Reset(v) })
	v.dev.OnReset(v.restart)
	if v.rx.q, err = v.dev.NewQueue(rxQueue, rxSize, v.received); err != nil {
		return err
	}
	if v.tx.q, err = v.dev.NewQueue(txQueue, txSize, v.sent); err != nil {
		return err
	}
	if v.events, err = v.dev.NewQueue(eventQueue, eventSize, v.happened); err != nil {
		return err
	}
	if err = v.tx.init(v.dev.Memory()); err != nil {
		return err
	}
	if err = v.rx.init(v.dev.Memory()); err != nil {
		return err
	}
	if v.event, err = v.dev.Memory().Alloc(eventSize * eventBytes); err != nil {
		return err
	}
	for i := range min(eventSize, v.events.Size()) {
		v.awaitEvent(i)
	}
	if err = v.dev.Start(); err != nil {
		return err
	}
	v.rx.q.Kick()
	v.events.Kick()
	return nil
}

// restart resets the device, which then knows no connection any more.
func (v *Device) restart() error {
	v.rx.mu.Lock()
	v.tx.mu.Lock()
	v.tx.forget()
	err := v.dev.Reset(func(_ *virtio.Queue, token any) {
		switch x := token.(type) {
		case *rxSlot:
			v.rx.add(x)
		case *slot:
			v.tx.done(x)
		case int:
			v.awaitEvent(x)
		}
	})
	v.tx.mu.Unlock()
	v.rx.mu.Unlock()
	if err != nil {
		return err
	}
	v.moved()
	v.to.Room(v)
	v.rx.mu.Lock()
	v.rx.q.Kick()
	v.events.Kick()
	v.rx.mu.Unlock()
	return nil
}

// moved is when all connections are lost, and the CID may be another.
func (v *Device) moved() {
	v.readCID()
	v.to.Reset(v)
}

// CID implements vsock.Transport.
func (v *Device) CID() uint32 { return v.cid.Load() }

// sender is what packets leave by. Each takes a slot for its header; slots suffice
// for as many packets as the queue holds.
type sender struct {
	mu      sync.Mutex
	q       *virtio.Queue
	mem     virtio.Memory
	headers virtio.Piece
	slots   []slot
	free    *slot
	small   buffers
	large   buffers
	waiting []waiting // packets for which there was no slot
	starved bool      // a Buffer was wanted, and there was none
}

type slot struct {
	header virtio.Buffer
	bytes  []byte
	data   *buffer
	next   *slot
}

// buffer is memory for the data of a packet.
type buffer struct {
	virtio.Piece
	of   *buffers // those that it belongs to, nil for one that is received
	next *buffer
}

// buffers are those of one size. They are made when they are needed.
type buffers struct {
	size, most int
	free       *buffer
	all        []*buffer
}

type waiting struct {
	h    vsock.Header
	data *buffer
}

func (s *sender) init(m virtio.Memory) (err error) {
	n := s.q.Size() / 2
	s.mem = m
	s.small, s.large = buffers{size: smallSize, most: min(mostSmall, n)}, buffers{size: largeSize, most: min(mostLarge, n)}
	if s.headers, err = m.Alloc(n * slotSize); err != nil {
		return err
	}
	s.slots = make([]slot, n)
	for i := range s.slots {
		x := &s.slots[i]
		x.header, x.bytes = s.headers.Buffer(i*slotSize, vsock.HeaderSize), s.headers.Bytes[i*slotSize:]
		x.next, s.free = s.free, x
	}
	s.q.Interrupts(false)
	return nil
}

// take returns a free buffer, nil if there is none.
func (b *buffers) take(m virtio.Memory) *buffer {
	if b.free == nil && len(b.all) < b.most {
		p, err := m.Alloc(b.size)
		if err != nil {
			b.most = len(b.all)
			return nil
		}
		b.free = &buffer{Piece: p, of: b}
		b.all = append(b.all, b.free)
	}
	x := b.free
	if x != nil {
		b.free, x.next = x.next, nil
	}
	return x
}

func (b *buffers) give(x *buffer) { x.next, b.free = b.free, x }

// find returns the one that data is in.
func (b *buffers) find(data []byte) *buffer {
	at := uintptr(unsafe.Pointer(unsafe.SliceData(data)))
	for _, x := range b.all {
		if at-uintptr(unsafe.Pointer(unsafe.SliceData(x.Bytes))) < uintptr(b.size) {
			return x
		}
	}
	return nil
}

// Buffer implements vsock.Transport.
func (v *Device) Buffer(n int) []byte {
	s := &v.tx
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.buffer(n)
	if x == nil {
		s.reap()
		if x = s.buffer(n); x == nil {
			s.starve()
			x = s.buffer(n)
		}
	}
	if x == nil {
		return nil
	}
	s.starved = false
	return x.Bytes[:min(n, x.of.size)]
}

func (s *sender) buffer(n int) *buffer {
	var x *buffer
	if n > smallSize && s.large.most > 0 {
		x = s.large.take(s.mem)
	}
	if x == nil && (n <= smallSize || s.large.most == 0) {
		x = s.small.take(s.mem)
	}
	return x
}

// starve has the interrupt tell when something was sent.
func (s *sender) starve() {
	s.starved = true
	s.q.Interrupts(true)
	s.reap()
}

// Ready implements vsock.Transport.
func (v *Device) Ready() bool {
	s := &v.tx
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ready() {
		if s.reap(); !s.ready() {
			s.starve()
		}
	}
	return s.ready()
}

func (s *sender) ready() bool {
	return (s.small.free != nil || len(s.small.all) < s.small.most) && (s.large.free != nil || len(s.large.all) < s.large.most || s.large.most == 0)
}

// reap takes back what was sent.
func (s *sender) reap() {
	for {
		token, _, ok := s.q.Next()
		if !ok {
			return
		}
		s.done(token.(*slot))
	}
}

// done is when a packet has left, or is given up.
func (s *sender) done(x *slot) {
	if x.data != nil {
		x.data.of.give(x.data)
	}
	x.data, x.next, s.free = nil, s.free, x
}

// forget gives up the packets that wait.
func (s *sender) forget() {
	for _, w := range s.waiting {
		if w.data != nil {
			w.data.of.give(w.data)
		}
	}
	s.waiting, s.starved = nil, false
}

// Send implements vsock.Transport.
func (v *Device) Send(h *vsock.Header, data []byte) {
	s := &v.tx
	s.mu.Lock()
	defer s.mu.Unlock()
	var x *buffer
	if data != nil {
		if x = s.small.find(data); x == nil {
			x = s.large.find(data)
		}
	}
	if len(s.waiting) > 0 || !s.add(h, x) {
		s.waiting = append(s.waiting, waiting{*h, x})
		s.q.Interrupts(true)
		s.drain()
	}
}

// add puts a packet into the queue, if there is room.
func (s *sender) add(h *vsock.Header, data *buffer) bool {
	if s.free == nil {
		if s.reap(); s.free == nil {
			return false
		}
	}
	x := s.free
	copy(x.bytes, (*[vsock.HeaderSize]byte)(unsafe.Pointer(h))[:])
	out := [2]virtio.Buffer{x.header}
	n := 1
	if data != nil {
		out[1] = data.Buffer(0, int(h.Len))
		n = 2
	}
	if s.q.Add(out[:n], nil, x) != nil { // the device failed
		return true
	}
	s.free, x.next, x.data = x.next, nil, data
	return true
}

// drain sends what waits.
func (s *sender) drain() {
	n := 0
	for n < len(s.waiting) && s.add(&s.waiting[n].h, s.waiting[n].data) {
		n++
	}
	s.waiting = s.waiting[:copy(s.waiting, s.waiting[n:])]
}

// Flush implements vsock.Transport.
func (v *Device) Flush() {
	v.tx.mu.Lock()
	notify := v.tx.q.Publish()
	v.tx.mu.Unlock()
	if notify {
		v.tx.q.Notify()
	}
}

// sent is called when packets have left.
func (v *Device) sent() {
	s := &v.tx
	s.mu.Lock()
	s.reap()
	blocked := len(s.waiting) > mostWaiting
	s.drain()
	room := s.starved && s.ready()
	if room {
		s.starved = false
	}
	if !s.starved && len(s.waiting) == 0 {
		s.q.Interrupts(false)
	}
	resume := blocked && len(s.waiting) <= mostWaiting
	s.mu.Unlock()
	v.Flush()
	if room {
		v.to.Room(v)
	}
	if resume {
		v.received()
	}
}

// Sent waits, not for long, until the device has taken all packets: before the
// machine ends.
func (v *Device) Sent() (all bool) {
	s := &v.tx
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reap()
	s.drain()
	return v.dev.Err() != nil || s.q.InFlight() == 0
}

// mostWaiting is how many packets may wait to be sent before no more are received:
// answers must not pile up.
const mostWaiting = 64

// receiver is where packets come in.
type receiver struct {
	mu      sync.Mutex
	q       *virtio.Queue
	headers virtio.Piece
	slots   []rxSlot
	data    buffers
	kept    int // how many buffers a socket has
}

// rxSlot is a buffer that the device writes to, with the header's place.
type rxSlot struct {
	header virtio.Buffer
	bytes  []byte
	data   *buffer
}

func (r *receiver) init(m virtio.Memory) (err error) {
	// A 64th of the memory that there is, but enough for one connection's credit.
	const least, most = 5, rxSize / 2
	free, _ := metal.FreeMemory()
	n := min(max(int(free/64/largeSize), least), most, r.q.Size()/2)
	if r.headers, err = m.Alloc(n * slotSize); err != nil {
		return err
	}
	r.data = buffers{size: largeSize, most: n}
	r.slots = make([]rxSlot, n)
	for i := range r.slots {
		x := &r.slots[i]
		x.header, x.bytes = r.headers.Buffer(i*slotSize, vsock.HeaderSize), r.headers.Bytes[i*slotSize:]
		if x.data = r.data.take(m); x.data == nil {
			if r.slots = r.slots[:i]; i == 0 {
				return virtio.Error("there is too little memory for it")
			}
			break
		}
	}
	for i := range r.slots {
		r.add(&r.slots[i])
	}
	return nil
}

// add gives the device a buffer to write to.
func (r *receiver) add(x *rxSlot) {
	r.q.Add(nil, []virtio.Buffer{x.header, x.data.Buffer(0, largeSize)}, x) // fails only when the device has
}

// next takes a packet that came, nil if there is none.
func (v *Device) next() (*rxSlot, uint32) {
	v.rx.mu.Lock()
	defer v.rx.mu.Unlock()
	token, n, ok := v.rx.q.Next()
	if !ok {
		return nil, 0
	}
	return token.(*rxSlot), n
}

// received is called when packets have come. What the device wrote is copied before
// it is looked at.
func (v *Device) received() {
	for !v.blocked() {
		x, n := v.next()
		if x == nil {
			break
		}
		var h vsock.Header
		copy((*[vsock.HeaderSize]byte)(unsafe.Pointer(&h))[:], x.bytes)
		switch {
		case n < vsock.HeaderSize: // nothing: some devices give a buffer back so when they change their mind
			v.replenish(x)
			continue
		case h.Op != vsock.OpData:
			h.Len = 0
		case h.Len > n-vsock.HeaderSize:
			v.dev.Fail(errGarbage)
			return
		}
		if v.to.Receive(v, &h, x.data.Bytes[:h.Len]) {
			v.rx.mu.Lock()
			v.rx.kept++
			v.rx.mu.Unlock()
		} else {
			v.replenish(x)
		}
	}
}

// replenish gives the device a buffer again.
func (v *Device) replenish(x *rxSlot) {
	v.rx.mu.Lock()
	v.rx.add(x)
	notify := v.rx.q.Publish()
	v.rx.mu.Unlock()
	if notify {
		v.rx.q.Notify()
	}
}

func (v *Device) blocked() bool {
	v.tx.mu.Lock()
	defer v.tx.mu.Unlock()
	return len(v.tx.waiting) > mostWaiting
}

// MayKeep implements vsock.Transport: half of the buffers are always for the device.
func (v *Device) MayKeep() bool {
	v.rx.mu.Lock()
	defer v.rx.mu.Unlock()
	return v.rx.kept < len(v.rx.slots)/2
}

// Free implements vsock.Transport.
func (v *Device) Free(data []byte) {
	v.rx.mu.Lock()
	x := v.rx.data.find(data)
	if x != nil {
		v.rx.kept--
	}
	v.rx.mu.Unlock()
	for i := range v.rx.slots {
		if v.rx.slots[i].data == x && x != nil {
			v.replenish(&v.rx.slots[i])
			return
		}
	}
	s := &v.tx
	s.mu.Lock()
	defer s.mu.Unlock()
	if x = s.small.find(data); x == nil {
		x = s.large.find(data)
	}
	x.of.give(x)
}

func (v *Device) awaitEvent(i int) {
	v.events.Add(nil, []virtio.Buffer{v.event.Buffer(i*eventBytes, eventBytes)}, i)
}

// happened is called when the device has an event: the one that there is says that
// the machine moved, and with it perhaps its CID.
func (v *Device) happened() {
	moved := false
	v.rx.mu.Lock()
	for {
		token, n, ok := v.events.Next()
		if !ok {
			break
		}
		i := token.(int)
		moved = moved || n >= eventBytes && *(*uint32)(unsafe.Pointer(&v.event.Bytes[i*eventBytes])) == transportReset
		v.awaitEvent(i)
	}
	v.rx.mu.Unlock()
	if moved {
		v.moved()
	}
	v.rx.mu.Lock()
	v.events.Kick()
	v.rx.mu.Unlock()
}
