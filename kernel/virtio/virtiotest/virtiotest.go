// Package virtiotest has a device for tests of drivers on the host: it keeps
// to the rules, and does with buffers what the test says.
package virtiotest

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"

	"gosv/kernel/virtio"
)

// Memory is the memory of a machine that is not there.
type Memory struct {
	base  uint64 // its physical address
	mu    sync.Mutex
	bytes []byte
	next  int
}

// NewMemory returns a memory of n bytes. It does not begin at 0: what is taken for an
// address but is an offset shall be noticed.
func NewMemory(n int) *Memory { return &Memory{base: 0x7_0000_0000, bytes: make([]byte, n)} }

// MemoryOf returns the memory of a machine that is there, whose physical addresses
// begin at 0.
func MemoryOf(b []byte) *Memory { return &Memory{bytes: b} }

// Alloc is that of virtio.Memory.
func (m *Memory) Alloc(n int) (virtio.Piece, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	off := m.next
	if n > len(m.bytes)-off {
		return virtio.Piece{}, virtio.Error("no memory")
	}
	m.next += (n + 4095) &^ 4095
	return virtio.Piece{Addr: m.base + uint64(off), Bytes: m.bytes[off : off+n : off+n]}, nil
}

// Free is that of virtio.Memory. The memory is not used again.
func (m *Memory) Free(virtio.Piece) {}

// At returns what a device sees at addr. It panics outside of the memory.
func (m *Memory) At(addr uint64, n uint32) []byte {
	off := addr - m.base
	if addr < m.base || off > uint64(len(m.bytes)) || uint64(n) > uint64(len(m.bytes))-off {
		panic(fmt.Sprintf("virtiotest: the device is to use %d bytes at %#x, where there is no memory", n, addr))
	}
	return m.bytes[off : off+uint64(n) : off+uint64(n)]
}

// word is the 32-bit word at addr, for atomic access.
func (m *Memory) word(addr uint64) *uint32 {
	return (*uint32)(unsafe.Pointer(&m.At(addr, 4)[0]))
}

// Device is the device, and the virtio.Transport to it. Set the exported
// fields before it is used.
type Device struct {
	Memory  *Memory
	Kind    uint32 // virtio.TypeNet, ...
	Old     bool   // legacy
	Offered uint64 // features; virtio 1.0 is added where not Old
	Config  []byte // then: SetConfig
	Queues  []Queue
	Wrote   func(off, width int, v uint32) // the driver wrote to the configuration

	mu         sync.Mutex
	status     uint8
	accepted   uint64
	generation uint32
	queues     []*queue
	running    [mostQueues]sync.Mutex // a queue's Handle does not overlap, also after a reset
	resets     int
	notified   atomic.Int32
	interrupts atomic.Int32

	irq     sync.Mutex // interrupts do not overlap
	handler virtio.Handler
}

const mostQueues = 8

// Queue is a queue of a Device.
type Queue struct {
	Size int

	// Handle is called for each chain, in order, on a goroutine of the
	// device, and ends with c.Done, or arranges for that to be called later.
	// Without Handle chains wait until the test calls Take.
	Handle func(c *Chain)
}

type queue struct {
	virtio.Rings
	taken   uint16 // avail index
	usedIdx uint16
}

// New returns a device with a memory of 4 MiB of its own.
func New(kind uint32, features uint64, config []byte, queues ...Queue) *Device {
	return &Device{Memory: NewMemory(4 << 20), Kind: kind, Offered: features, Config: config, Queues: queues}
}

// Device returns d as its driver sees it.
func (d *Device) Device() *virtio.Device { return virtio.New(d, d.Memory) }

// Notifications and Interrupts count what a virtual machine pays for.
func (d *Device) Notifications() int { return int(d.notified.Load()) }
func (d *Device) Interrupts() int    { return int(d.interrupts.Load()) }

// Resets counts how often the device was reset.
func (d *Device) Resets() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.resets
}

// Accepted are the features that the driver accepted.
func (d *Device) Accepted() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.accepted
}

// SetConfig changes the configuration and lets the driver know.
func (d *Device) SetConfig(off int, p []byte) {
	d.mu.Lock()
	copy(d.Config[off:], p)
	d.generation++
	d.mu.Unlock()
	d.interruptConfig()
}

// NeedReset says that the device needs a reset. It takes nothing any more until then.
func (d *Device) NeedReset() {
	d.mu.Lock()
	d.status |= virtio.StatusNeedsReset
	d.mu.Unlock()
	d.interruptConfig()
}

func (d *Device) interruptConfig() {
	d.mu.Lock()
	h := d.handler
	d.mu.Unlock()
	d.irq.Lock()
	defer d.irq.Unlock()
	if h != nil {
		h.Changed()
	}
}

// Type and all that follow are those of virtio.Transport.
func (d *Device) Type() uint32   { return d.Kind }
func (d *Device) Open() error    { return nil }
func (d *Device) Legacy() bool   { return d.Old }
func (d *Device) String() string { return "virtiotest" }

func (d *Device) Status() uint8 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.status
}

// SetStatus is strict, as Firecracker is: one bit at a time, in order.
func (d *Device) SetStatus(s uint8) {
	d.mu.Lock()
	defer d.mu.Unlock()
	const ack, driver, driverOK, featuresOK = virtio.StatusAcknowledge, virtio.StatusDriver, virtio.StatusDriverOK, virtio.StatusFeaturesOK
	from := d.status &^ virtio.StatusNeedsReset
	switch {
	case s == 0:
		d.status, d.accepted, d.queues = 0, 0, nil
		d.resets++
		return
	case s&virtio.StatusFailed != 0:
	case from == 0 && s == ack,
		from == ack && s == ack|driver,
		!d.Old && from == ack|driver && s == ack|driver|featuresOK,
		!d.Old && from == ack|driver|featuresOK && s == ack|driver|featuresOK|driverOK,
		d.Old && from == ack|driver && s == ack|driver|driverOK:
	default:
		panic(fmt.Sprintf("virtiotest: status from %#x to %#x", from, s))
	}
	d.status = d.status&virtio.StatusNeedsReset | s
	if s&driverOK != 0 {
		for i := range d.Queues {
			if d.queue(i) == nil {
				d.status |= virtio.StatusNeedsReset // as Firecracker
			}
		}
	}
}

func (d *Device) Features() uint64 {
	if d.Old {
		return d.Offered
	}
	return d.Offered | virtio.FeatureVersion1
}

func (d *Device) SetFeatures(f uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f&^d.Features() != 0 || d.status != virtio.StatusAcknowledge|virtio.StatusDriver {
		panic(fmt.Sprintf("virtiotest: features %#x of %#x in status %#x", f, d.Features(), d.status))
	}
	d.accepted = f
}

func (d *Device) Generation() uint32 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.generation
}

func (d *Device) ReadConfig(off, width int) uint32 {
	d.mu.Lock()
	defer d.mu.Unlock()
	var b [4]byte
	copy(b[:width], d.Config[off:])
	return binary.LittleEndian.Uint32(b[:])
}

func (d *Device) WriteConfig(off, width int, v uint32) {
	d.mu.Lock()
	var b [4]byte
	binary.LittleEndian.PutUint32(b[:], v)
	copy(d.Config[off:], b[:width])
	d.mu.Unlock()
	if d.Wrote != nil {
		d.Wrote(off, width, v)
	}
}

func (d *Device) QueueSize(i, want int) int {
	if i >= len(d.Queues) {
		return 0
	}
	if d.Old {
		return d.Queues[i].Size
	}
	return min(want, d.Queues[i].Size)
}

func (d *Device) EnableQueue(i int, r virtio.Rings) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.Old && d.status != virtio.StatusAcknowledge|virtio.StatusDriver|virtio.StatusFeaturesOK {
		panic(fmt.Sprintf("virtiotest: queue %d is set up in status %#x", i, d.status))
	}
	if d.queues == nil {
		d.queues = make([]*queue, len(d.Queues))
	}
	d.Memory.At(r.Desc, uint32(16*r.Size))
	d.Memory.At(r.Avail, uint32(6+2*r.Size))
	d.Memory.At(r.Used, uint32(6+8*r.Size))
	d.queues[i] = &queue{Rings: r}
	return nil
}

func (d *Device) Connect(h virtio.Handler) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.handler = h
	return nil
}

func (d *Device) Notify(i int) {
	d.notified.Add(1)
	if d.Queues[i].Handle == nil {
		return
	}
	go func() {
		d.mu.Lock()
		q := d.queue(i)
		d.mu.Unlock()
		if q == nil {
			return
		}
		d.running[i].Lock()
		defer d.running[i].Unlock()
		for c := d.Take(i); c != nil; c = d.Take(i) {
			d.Queues[i].Handle(c)
		}
	}()
}

// queue returns queue i, nil if it is not there (any more).
func (d *Device) queue(i int) *queue {
	if i < len(d.queues) {
		return d.queues[i]
	}
	return nil
}

// Chain is a chain of buffers that the driver gave.
type Chain struct {
	Out, In [][]byte // what the device may read, and may write

	d       *Device
	q       *queue
	head    uint16
	written int
}

// Take takes the next chain of queue i, nil if there is none.
func (d *Device) Take(i int) *Chain {
	d.mu.Lock()
	defer d.mu.Unlock()
	q := d.queue(i)
	if q == nil || d.status&(virtio.StatusDriverOK|virtio.StatusNeedsReset) != virtio.StatusDriverOK {
		return nil
	}
	eventIndex := d.accepted&virtio.FeatureEventIndex != 0
	avail := func() uint16 { return uint16(atomic.LoadUint32(d.Memory.word(q.Avail)) >> 16) }
	if avail() == q.taken {
		if eventIndex {
			atomic.StoreUint32(d.Memory.word(q.Used+4+8*uint64(q.Size)), uint32(q.taken))
		}
		if avail() == q.taken {
			return nil
		}
	}
	if n := avail() - q.taken; int(n) > q.Size {
		panic("virtiotest: more chains are available than the queue has entries")
	}
	at := uint64(q.taken) & uint64(q.Size-1)
	q.taken++
	c := &Chain{d: d, q: q, head: binary.LittleEndian.Uint16(d.Memory.At(q.Avail+4+2*at, 2))}
	c.collect(q.Desc, q.Size, c.head)
	return c
}

// collect follows the descriptors from the i-th on of the table at addr.
func (c *Chain) collect(addr uint64, n int, i uint16) {
	const next, write, indirect = 1, 2, 4
	for range n {
		if int(i) >= n {
			panic("virtiotest: a descriptor's index is too large")
		}
		b := c.d.Memory.At(addr+16*uint64(i), 16)
		at, length := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint32(b[8:])
		flags := binary.LittleEndian.Uint16(b[12:])
		switch {
		case flags&indirect != 0:
			if c.d.accepted&virtio.FeatureIndirect == 0 || flags != indirect {
				panic("virtiotest: an indirect descriptor that is not allowed")
			}
			c.collect(at, int(length/16), 0)
			return
		case flags&write != 0:
			c.In = append(c.In, c.d.Memory.At(at, length))
		case c.In != nil:
			panic("virtiotest: a buffer to be read after one to be written")
		default:
			c.Out = append(c.Out, c.d.Memory.At(at, length))
		}
		if flags&next == 0 {
			return
		}
		i = binary.LittleEndian.Uint16(b[14:])
	}
	panic("virtiotest: a chain that goes round in circles")
}

// Bytes are those that the device may read, as one piece.
func (c *Chain) Bytes() []byte {
	var all []byte
	for _, b := range c.Out {
		all = append(all, b...)
	}
	return all
}

// Room is how many bytes Write can still write.
func (c *Chain) Room() int {
	n := -c.written
	for _, b := range c.In {
		n += len(b)
	}
	return n
}

// Write writes p, behind what was written before, and returns how much of it
// there was room for. A device that was reset meanwhile writes nothing any more.
func (c *Chain) Write(p []byte) int {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	if !slices.Contains(c.d.queues, c.q) {
		return 0
	}
	done, at := 0, c.written
	for _, b := range c.In {
		if at >= len(b) {
			at -= len(b)
			continue
		}
		n := copy(b[at:], p[done:])
		done += n
		at = 0
	}
	c.written += done
	return done
}

// Done gives the chain back to the driver.
func (c *Chain) Done() { c.DoneWith(uint32(c.head), uint32(c.written)) }

// DoneWith is Done with a head and a number of bytes that may be lies.
func (c *Chain) DoneWith(head, written uint32) {
	d, q := c.d, c.q
	d.mu.Lock()
	if !slices.Contains(d.queues, q) { // reset meanwhile
		d.mu.Unlock()
		return
	}
	old := q.usedIdx
	q.put(d.Memory, head, written)
	d.publish(q, old)
}

// Lies are what a device may say instead of Done that no driver must believe, of a chain
// that it can write to.
var Lies = map[string]func(c *Chain){
	"a head that it was not given": func(c *Chain) { c.DoneWith(uint32(c.q.Size-1), 0) },
	"a head beyond the queue":      func(c *Chain) { c.DoneWith(uint32(c.q.Size), 0) },
	"an absurd head":               func(c *Chain) { c.DoneWith(1<<31, 0) },
	"more than there is room for":  func(c *Chain) { c.DoneWith(uint32(c.head), 1<<30) },
	"an index that jumps":          func(c *Chain) { c.jump(1000) },
	"an index that goes back":      func(c *Chain) { c.jump(-2) },
}

// jump is Done with an index that is off by n, and in any case an interrupt.
func (c *Chain) jump(n int) {
	c.d.mu.Lock()
	c.q.usedIdx += uint16(n)
	c.d.mu.Unlock()
	c.Done()
	c.d.irq.Lock()
	c.d.handler.Used()
	c.d.irq.Unlock()
}

// DoneAll gives chains of one queue back to the driver, which sees them all at once.
func (d *Device) DoneAll(chains []*Chain) {
	d.mu.Lock()
	q := chains[0].q
	old := q.usedIdx
	for _, c := range chains {
		q.put(d.Memory, uint32(c.head), uint32(c.written))
	}
	d.publish(q, old)
}

// put writes the next element of the used ring.
func (q *queue) put(m *Memory, head, written uint32) {
	at := q.Used + 4 + 8*(uint64(q.usedIdx)&uint64(q.Size-1))
	atomic.StoreUint32(m.word(at), head)
	atomic.StoreUint32(m.word(at+4), written)
	q.usedIdx++
}

// publish makes the driver see what has been put since the index was old, and
// interrupts it if it wants that. d.mu is held before, and not after.
func (d *Device) publish(q *queue, old uint16) {
	atomic.StoreUint32(d.Memory.word(q.Used), uint32(q.usedIdx)<<16)
	avail := atomic.LoadUint32(d.Memory.word(q.Avail))
	interrupt := avail&1 == 0
	if d.accepted&virtio.FeatureEventIndex != 0 {
		event := uint16(atomic.LoadUint32(d.Memory.word(q.Avail + 4 + 2*uint64(q.Size))))
		interrupt = q.usedIdx-event-1 < q.usedIdx-old
	}
	h := d.handler
	d.mu.Unlock()
	if interrupt {
		d.interrupts.Add(1)
		d.irq.Lock()
		h.Used()
		d.irq.Unlock()
	}
}
