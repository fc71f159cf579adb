// Package net drives the network device (virtio 1.2 section 5.1).
package net

import (
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"gosv/kernel/gotimer"
	"gosv/kernel/metal"
	"gosv/kernel/nic"
	"gosv/kernel/virtio"
)

// Features (section 5.1.3).
const (
	featureChecksum      = 1 << 0 // the device fills in checksums
	featureGuestChecksum = 1 << 1 // we take frames without
	featureMTU           = 1 << 3
	featureMAC           = 1 << 5
	featureGuestTCP4     = 1 << 7 // we take large TCP segments
	featureGuestTCP6     = 1 << 8
	featureTCP4          = 1 << 11 // the device cuts large TCP segments
	featureTCP6          = 1 << 12
	featureMergeable     = 1 << 15 // a frame may come in several buffers
	featureStatus        = 1 << 16

	featureLarge = featureGuestTCP4 | featureGuestTCP6
	features     = featureChecksum | featureGuestChecksum | featureMTU | featureMAC | featureLarge |
		featureTCP4 | featureTCP6 | featureMergeable | featureStatus
)

// The configuration (section 5.1.4), and the queues without multiqueue (5.1.2).
const (
	configMAC    = 0
	configStatus = 6
	configMTU    = 10

	statusLinkUp = 1

	rxQueue, txQueue = 0, 1
)

const (
	queueSize  = 256
	pageSize   = 4096
	chunkPages = 16  // that memory is taken in
	mostPages  = 256 // of frames that are sent
	fewBuffers = 32  // for received frames, at first
	leastGiven = 24  // buffers that the device has at least: room for the largest frame, and another one
	batch      = 64  // frames that are handed over at once
	turn       = 256 // buffers that are dealt with before others have their turn
	patience   = 1e9 // ns until a device that takes no frames is not waited for
	reminder   = 2e7 // ns until one that has taken none is notified again

	ethernetHeader, vlanTag = 14, 4
	defaultMTU, leastMTU    = 1500, 68
	mostFrame               = 65535 + ethernetHeader + vlanTag

	errFrame  virtio.Error = "it writes frames that make no sense"
	errMemory virtio.Error = "there is too little memory for it"
)

// header is struct virtio_net_hdr (section 5.1.6). Without its last field, which
// legacy devices have only with mergeable buffers, it is shorter.
type header struct {
	flags, segments               uint8
	headerLen, segmentSize        uint16
	checksumStart, checksumOffset uint16
	buffers                       uint16
}

const (
	shortHeader = 10
	longHeader  = 12

	needsChecksum = 1 // flags
	dataValid     = 2

	segmentsTCP4 = 1
	segmentsUDP  = 3
	segmentsTCP6 = 4
	segmentsECN  = 0x80 // besides
)

func (h *header) bytes() *[longHeader]byte { return (*[longHeader]byte)(unsafe.Pointer(h)) }

// Device is the device. It implements nic.Device.
type Device struct {
	dev       *virtio.Device
	headerLen int
	mergeable bool
	mac       [6]byte
	mtu       int
	handler   nic.Handler
	tx        sender
	rx        receiver

	mu sync.Mutex // guards
	up bool
}

// New returns the device with its features agreed on. It does not begin, and has no
// memory, before Start. random makes an address for one that has none.
func New(d *virtio.Device, random func(p []byte)) (*Device, error) {
	f, err := d.Negotiate(features)
	if err == nil && f&featureMergeable == 0 && f&featureLarge != 0 {
		// Each buffer would have to be for the largest.
		f, err = d.Negotiate(features &^ featureLarge)
	}
	if err != nil {
		return nil, err
	}
	n := &Device{dev: d, mergeable: f&featureMergeable != 0, mtu: defaultMTU, headerLen: longHeader}
	if d.Legacy() && !n.mergeable {
		n.headerLen = shortHeader
	}
	if f&featureMAC != 0 {
		d.ConfigBytes(configMAC, n.mac[:])
	}
	const multicast, local = 1, 2
	if n.mac == [6]byte{} || n.mac[0]&multicast != 0 {
		random(n.mac[:])
		n.mac[0] = n.mac[0]&^multicast | local
	}
	if f&featureMTU != 0 {
		if mtu := int(d.Config16(configMTU)); mtu >= leastMTU {
			n.mtu = mtu
		}
	}
	n.up = n.linkUp()
	return n, nil
}

// MAC, MTU, LinkUp and Offloads implement nic.Device.
func (n *Device) MAC() [6]byte { return n.mac }
func (n *Device) MTU() int     { return n.mtu }

func (n *Device) LinkUp() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.up
}

func (n *Device) Offloads() nic.Offloads {
	c := n.dev.Has(featureChecksum)
	return nic.Offloads{Checksum: c, TCP4: c && n.dev.Has(featureTCP4), TCP6: c && n.dev.Has(featureTCP6)}
}

func (n *Device) linkUp() bool {
	return !n.dev.Has(featureStatus) || n.dev.Config16(configStatus)&statusLinkUp != 0
}

// changed is called when the configuration did.
func (n *Device) changed() {
	up := n.linkUp()
	n.mu.Lock()
	news := n.up != up
	n.up = up
	n.mu.Unlock()
	if news {
		n.handler.LinkChanged()
	}
}

// Start implements nic.Device.
func (n *Device) Start(h nic.Handler) (err error) {
	n.handler = h
	n.rx.work, n.tx.room = make(chan struct{}, 1), make(chan struct{}, 1)
	if n.dev.Has(featureStatus) {
		n.dev.OnConfig(n.changed)
	}
	n.dev.OnFail(func(error) {
		signal(n.tx.room)
		signal(n.rx.work)
	})
	n.dev.OnReset(n.restart)
	if n.rx.q, err = n.dev.NewQueue(rxQueue, queueSize, n.come); err != nil {
		return err
	}
	if n.tx.q, err = n.dev.NewQueue(txQueue, queueSize, n.gone); err != nil {
		return err
	}
	if err = n.fill(); err != nil {
		return err
	}
	n.tx.init(n.dev.Memory())
	if err = n.dev.Start(); err != nil {
		return err
	}
	n.rx.q.Kick()
	go n.receive()
	return nil
}

// restart resets the device. Frames that it has not sent are lost.
func (n *Device) restart() error {
	n.rx.mu.Lock()
	n.tx.mu.Lock()
	err := n.dev.Reset(func(q *virtio.Queue, token any) {
		switch x := token.(type) {
		case *rxBuffer:
			n.add([]used{{rxBuffer: x}})
		case *txSlot:
			n.tx.sent(x)
		}
	})
	n.rx.unseen = 0
	n.rx.q.Kick()
	n.tx.mu.Unlock()
	n.rx.mu.Unlock()
	signal(n.tx.room)
	return err
}

// signal wakes who receives from c.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// receiver is where frames come in.
type receiver struct {
	size       int // of a buffer, in bytes
	made, most int // buffers

	mu     sync.Mutex // of what follows
	q      *virtio.Queue
	come   []used // in order
	unseen int    // buffers in the queue of which the device does not know yet

	work   chan struct{} // of receive: it may find something
	used   []used        // of a batch: what was taken of come,
	at     int           // how far it is dealt with,
	frames []nic.Frame
	parts  [][]byte
}

// used is a buffer with what the device has written to it.
type used struct {
	*rxBuffer
	written int
}

// rxBuffer is memory for a frame, or for a part of one.
type rxBuffer struct {
	in    [2]virtio.Buffer // header and frame, or both in one
	whole []byte           // with the header
}

// fill gives the device its first buffers. There come to be more, at most a 64th of the
// memory that is free now, when many are in use at once.
func (n *Device) fill() error {
	r := &n.rx
	r.size = pageSize
	if !n.mergeable {
		r.size = 2048
		for r.size < longHeader+n.mtu+ethernetHeader+vlanTag {
			r.size *= 2
		}
	}
	const share = 64
	free, _ := metal.FreeMemory()
	r.most = min(max(int(free/share)/r.size, fewBuffers), r.q.Size()/2)
	list := n.buffers(min(fewBuffers, r.most))
	if len(list) == 0 {
		return errMemory
	}
	n.add(list)
	return nil
}

// buffers makes count buffers, or as many as there is memory for.
func (n *Device) buffers(count int) (list []used) {
	r := &n.rx
	m := n.dev.Memory()
	made := make([]rxBuffer, count)
	for len(list) < count {
		chunk := max(chunkPages*pageSize, r.size)
		p, err := m.Alloc(chunk)
		if err != nil {
			break
		}
		for at := 0; at+r.size <= chunk && len(list) < count; at += r.size {
			b := &made[len(list)]
			b.whole = p.Bytes[at : at+r.size : at+r.size]
			if n.mergeable {
				b.in[0] = p.Buffer(at, r.size)
			} else { // legacy devices want the header by itself
				b.in = [2]virtio.Buffer{p.Buffer(at, n.headerLen), p.Buffer(at+n.headerLen, r.size-n.headerLen)}
			}
			list = append(list, used{rxBuffer: b})
		}
	}
	r.made += len(list)
	return list
}

// give gives the device buffers. Many a device wants to be notified of the first that it had
// not seen, each time: so they wait until it has but half of them.
func (n *Device) give(list []used) {
	r := &n.rx
	r.mu.Lock()
	n.add(list)
	r.unseen += len(list)
	notify := false
	if r.q.InFlight()-r.unseen < max(leastGiven, r.made/2) {
		r.unseen = 0
		notify = r.q.Publish()
	}
	r.mu.Unlock()
	if notify {
		r.q.Notify()
	}
}

func (n *Device) add(list []used) {
	for _, b := range list {
		in := b.in[:]
		if n.mergeable {
			in = in[:1]
		}
		n.rx.q.Add(nil, in, b.rxBuffer) // fails only when the device has
	}
}

// come is called when frames have come. There are no more interrupts until receive
// has dealt with them.
func (n *Device) come() {
	r := &n.rx
	r.mu.Lock()
	r.take()
	r.q.Interrupts(false)
	r.mu.Unlock()
	signal(r.work)
}

// take takes the buffers that the device has used; r.mu is held.
func (r *receiver) take() {
	for {
		token, written, ok := r.q.Next()
		if !ok {
			return
		}
		r.come = append(r.come, used{token.(*rxBuffer), int(written)})
	}
}

// receive hands frames to the handler, which may send some: so this goroutine may
// wait, where the interrupt's may not. While more and more come, nobody but itself would
// make it stop for the program, which they are for.
func (n *Device) receive() {
	dealt := 0
	for range n.rx.work {
		for n.collect() {
			if dealt += len(n.rx.used); dealt >= turn {
				dealt = 0
				runtime.Gosched()
			}
		}
		if n.dev.Err() != nil {
			return
		}
	}
}

// collect hands over what has come, and says whether there was any.
func (n *Device) collect() (any bool) {
	r := &n.rx
	r.mu.Lock()
	if r.take(); len(r.come) == 0 {
		r.q.Interrupts(true)
		if r.take(); len(r.come) > 0 {
			r.q.Interrupts(false)
		}
	}
	r.used, r.come, r.at = append(r.used[:0], r.come...), r.come[:0], 0
	r.mu.Unlock()
	if len(r.used) == 0 {
		return false
	}
	for r.at < len(r.used) && n.dev.Err() == nil {
		first := r.at
		r.frames, r.parts = r.frames[:0], r.parts[:0]
		for len(r.frames) < batch && r.at < len(r.used) {
			n.frame()
		}
		if len(r.frames) > 0 {
			n.handler.Receive(r.frames)
		}
		n.give(r.used[first:r.at])
	}
	if len(r.used) > r.made/4 && r.made < r.most {
		more := n.buffers(min(r.made, r.most-r.made))
		n.give(more)
		if len(more) == 0 { // there is no memory
			r.most = r.made
		}
	}
	return true
}

// frame adds the next frame to the batch. What the device wrote is copied before it is
// looked at.
func (n *Device) frame() {
	r := &n.rx
	b := r.used[r.at]
	r.at++
	var h header
	copy(h.bytes()[:n.headerLen], b.whole)
	count := 1
	if n.mergeable {
		count = int(h.buffers)
	}
	if b.written < n.headerLen || count > 1+len(r.used)-r.at {
		n.fail()
		return
	}
	first := len(r.parts)
	r.parts = append(r.parts, b.whole[n.headerLen:b.written])
	total := b.written - n.headerLen
	for i := 1; i < count; i++ {
		b := r.used[r.at]
		r.at++
		if total += b.written; total > mostFrame {
			n.fail()
			return
		}
		r.parts = append(r.parts, b.whole[:b.written])
	}
	f := nic.Frame{Parts: r.parts[first:len(r.parts):len(r.parts)]}
	if count > 0 && total >= ethernetHeader && n.describe(&h, &f, total) {
		r.frames = append(r.frames, f)
	}
}

// fail gives the device up, and what it has sent with this frame.
func (n *Device) fail() {
	n.dev.Fail(errFrame)
	n.rx.at = len(n.rx.used)
}

// describe takes over what a header says of a frame, if that can be.
func (n *Device) describe(h *header, f *nic.Frame, total int) bool {
	if !n.dev.Has(featureGuestChecksum) {
		return true
	}
	f.ChecksumValid = h.flags&dataValid != 0
	if f.NeedsChecksum = h.flags&needsChecksum != 0; f.NeedsChecksum {
		if int(h.checksumStart)+int(h.checksumOffset)+2 > total {
			return false
		}
		f.ChecksumStart, f.ChecksumOffset = h.checksumStart, h.checksumOffset
	}
	switch h.segments &^ segmentsECN {
	case segmentsTCP4:
		f.Segments = nic.TCP4
	case segmentsTCP6:
		f.Segments = nic.TCP6
	case segmentsUDP:
		f.Segments = nic.UDP
	default:
		return true
	}
	f.SegmentSize, f.HeaderLen = h.segmentSize, h.headerLen
	return f.SegmentSize > 0 && int(f.HeaderLen) <= total
}

// sender is where frames go out. They are copied into pages, each behind its header.
type sender struct {
	mu      sync.Mutex
	q       *virtio.Queue
	mem     virtio.Memory
	slots   []txSlot
	free    *txSlot
	pages   []virtio.Piece // free ones
	made    int
	room    chan struct{} // something was sent
	waiters int           // for room
	out     []virtio.Buffer
}

// txSlot is a frame on its way.
type txSlot struct {
	pages []virtio.Piece
	next  *txSlot
}

func (s *sender) init(m virtio.Memory) {
	s.mem = m
	s.slots = make([]txSlot, s.q.Size())
	for i := range s.slots {
		x := &s.slots[i]
		x.next, s.free = s.free, x
	}
	s.q.Interrupts(false)
}

// gone is called when frames were sent.
func (n *Device) gone() {
	n.tx.mu.Lock()
	n.tx.reap()
	n.tx.mu.Unlock()
	signal(n.tx.room)
}

// reap takes back what was sent.
func (s *sender) reap() {
	for {
		token, _, ok := s.q.Next()
		if !ok {
			return
		}
		s.sent(token.(*txSlot))
	}
}

// sent takes x back.
func (s *sender) sent(x *txSlot) {
	s.pages = append(s.pages, x.pages...)
	x.pages = x.pages[:0]
	x.next, s.free = s.free, x
}

// get makes n pages free, if there is memory.
func (s *sender) get(n int) bool {
	for len(s.pages) < n && s.made < mostPages {
		p, err := s.mem.Alloc(chunkPages * pageSize)
		if err != nil {
			if p, err = s.mem.Alloc(pageSize); err != nil {
				break
			}
		}
		for at := 0; at < len(p.Bytes); at += pageSize {
			s.pages = append(s.pages, virtio.Piece{Addr: p.Addr + uint64(at), Bytes: p.Bytes[at : at+pageSize : at+pageSize]})
			s.made++
		}
	}
	return len(s.pages) >= n
}

// Send implements nic.Device.
func (n *Device) Send(frames []nic.Frame, held bool) (done int) {
	s := &n.tx
	s.mu.Lock()
	for done < len(frames) && n.dev.Err() == nil && n.send(&frames[done]) {
		done++
	}
	notify := false
	if held {
		s.q.Show()
	} else {
		notify = s.q.Publish()
	}
	s.mu.Unlock()
	if notify {
		s.q.Notify()
	}
	return done
}

// Flush implements nic.Device.
func (n *Device) Flush() { n.Send(nil, false) }

// send puts a frame into the queue, when there is room.
func (n *Device) send(f *nic.Frame) bool {
	s := &n.tx
	total := f.Size()
	if total == 0 || total > mostFrame {
		return true // nobody would miss it
	}
	pages := (n.headerLen + total + pageSize - 1) / pageSize
	if s.free == nil || len(s.pages) < pages {
		s.reap()
	}
	for s.free == nil || !s.get(pages) || !s.add(n, f, pages) {
		if !n.await() {
			return false
		}
	}
	return true
}

// await waits until the device has sent something; s.mu is held before and after.
func (n *Device) await() bool {
	s := &n.tx
	if s.q.Publish() {
		s.q.Notify()
	}
	s.q.Interrupts(true)
	s.waiters++
	defer func() {
		if s.waiters--; s.waiters == 0 {
			s.q.Interrupts(false)
		}
	}()
	before := s.q.InFlight()
	if s.reap(); s.q.InFlight() < before {
		return true
	}
	if before == 0 { // there is no memory
		return false
	}
	var over atomic.Bool
	timer := gotimer.Start(reminder, func() { signal(s.room) })
	defer func() { timer.Stop() }()
	s.mu.Unlock()
	<-s.room
	s.mu.Lock()
	if s.reap(); s.q.InFlight() == before && n.dev.Err() == nil {
		// QEMU's forgets to go on when what it sends to was busy while it had a burst of frames
		// to send, until somebody tells it that there are some.
		s.q.Notify()
		timer = gotimer.Start(patience, func() {
			over.Store(true)
			signal(s.room)
		})
		s.mu.Unlock()
		<-s.room
		s.mu.Lock()
	}
	if s.waiters > 1 {
		signal(s.room)
	}
	return n.dev.Err() == nil && !over.Load()
}

// add copies a frame into pages and puts it into the queue, if that has room.
func (s *sender) add(n *Device, f *nic.Frame, count int) bool {
	x := s.free
	var h header
	if f.NeedsChecksum {
		h.flags, h.checksumStart, h.checksumOffset = needsChecksum, f.ChecksumStart, f.ChecksumOffset
	}
	switch f.Segments {
	case nic.TCP4:
		h.segments = segmentsTCP4
	case nic.TCP6:
		h.segments = segmentsTCP6
	}
	if h.segments != 0 {
		h.segmentSize, h.headerLen = f.SegmentSize, f.HeaderLen
	}
	taken := s.pages[len(s.pages)-count:]
	page, at := 0, copy(taken[0].Bytes, h.bytes()[:n.headerLen])
	s.out = s.out[:0]
	if n.dev.Legacy() { // which wants the header by itself
		s.out = append(s.out, taken[0].Buffer(0, at))
	}
	first := len(s.out) * n.headerLen // of what is not in s.out yet
	for _, p := range f.Parts {
		for len(p) > 0 {
			k := copy(taken[page].Bytes[at:], p)
			p = p[k:]
			if at += k; at == pageSize {
				s.out = append(s.out, taken[page].Buffer(first, pageSize-first))
				page, at, first = page+1, 0, 0
			}
		}
	}
	if at > 0 {
		s.out = append(s.out, taken[page].Buffer(first, at-first))
	}
	if s.q.Add(s.out, nil, x) != nil {
		return false
	}
	x.pages = append(x.pages, taken...)
	s.pages = s.pages[:len(s.pages)-count]
	s.free, x.next = x.next, nil
	return true
}
