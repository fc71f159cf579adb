// Package scsi drives SCSI host adapters (virtio 1.2 section 5.6), and the disks and
// CD-ROMs behind them (SPC-4, SBC-3, MMC-6).
package scsi

import (
	"sync"
	"unsafe"

	"gosv/kernel/block"
	"gosv/kernel/virtio"
)

// Features (section 5.6.3), as bits.
const (
	featureHotplug = 1 << 1
	featureChange  = 1 << 2
)

// The configuration's fields (section 5.6.4).
const (
	configSegMax     = 4
	configMaxSectors = 8
	configSenseSize  = 20
	configCDBSize    = 24
	configMaxTarget  = 30
	configMaxLUN     = 32

	cdbSize   = 32 // as they are unless the driver changes them
	senseSize = 96
)

// The queues.
const (
	controlQueue = iota
	eventQueue
	requestQueue
)

const (
	queueSize   = 128
	maxSegments = 62 // with header and response what still goes into a table of descriptors
)

// System is who wants to know of disks.
type System interface {
	// AddDisk is told of a disk, or CD-ROM, and returns it as the system has it.
	AddDisk(d block.Device, cd bool) *block.Disk
	RemoveDisk(d *block.Disk)
}

// Host is a host adapter.
type Host struct {
	dev    *virtio.Device
	system System
	events events

	maxTarget, maxLUN uint32
	limits            block.Limits // what the adapter says of all disks

	mu         sync.Mutex
	q          *virtio.Queue
	slots      []slot
	spare      []*slot
	head, tail *task // that the queue has no room for
	tasks      *task // spare ones
	out, in    []virtio.Buffer
	failed     bool
	units      []*unit

	scanning sync.Mutex
}

// slot is what a task in flight needs of memory that the device can reach.
type slot struct {
	memory *memory
	addr   uint64
	task   *task
}

// memory is the part of it that is shared.
type memory struct {
	request struct {
		lun  [8]byte
		id   [8]byte
		attr [3]byte // simple, no priority
		cdb  [cdbSize]byte
	}
	_        [13]byte
	response struct {
		senseLen  uint32
		residual  uint32
		_         uint16
		status    uint8
		response  uint8
		sense     [senseSize]byte
		_         [4]byte
		parameter [24]byte // of UNMAP
	}
	_ [56]byte
}

const (
	requestBytes  = 8 + 8 + 3 + cdbSize
	responseAt    = unsafe.Offsetof(memory{}.response)
	responseBytes = 12 + senseSize
	parameterAt   = responseAt + unsafe.Offsetof(memory{}.response.parameter)
	memoryBytes   = unsafe.Sizeof(memory{})
)

// task is a command for a logical unit.
type task struct {
	unit    *unit
	cdb     [16]byte
	out     []block.Segment // what the device reads,
	in      []block.Segment // and writes
	own     bool            // out is the slot's parameter
	param   [24]byte
	tries   int
	result  result
	lost    bool           // as block.Request.Lost
	request *block.Request // that it does, or
	waits   *call          // who waits for it
	next    *task
}

// call is a task that somebody waits for.
type call struct {
	who  block.Sleeper
	mu   sync.Mutex
	left int
}

// Start makes dev work and tells system of the disks that are there, and later of
// those that come and go.
func Start(dev *virtio.Device, system System, s block.Sleeper) error {
	h := &Host{dev: dev, system: system}
	if _, err := dev.Negotiate(featureHotplug | featureChange); err != nil {
		return err
	}
	if _, err := dev.NewQueue(controlQueue, 2, nil); err != nil {
		return err
	}
	var err error
	if h.events.q, err = dev.NewQueue(eventQueue, numEvents, h.eventUsed); err != nil {
		return err
	}
	if h.q, err = dev.NewQueue(requestQueue, queueSize, h.used); err != nil {
		return err
	}
	h.q.AnyLength() // QEMU counts what it read, too
	h.readLimits()
	n := h.q.Size()
	piece, err := dev.Memory().Alloc(n * int(memoryBytes))
	if err != nil {
		return err
	}
	shared := unsafe.Slice((*memory)(unsafe.Pointer(&piece.Bytes[0])), n)
	h.slots, h.spare = make([]slot, n), make([]*slot, n)
	for i := range h.slots {
		x := &h.slots[i]
		x.memory, x.addr = &shared[i], piece.Addr+uint64(i)*uint64(memoryBytes)
		h.spare[n-1-i] = x
	}
	if err := h.events.init(dev); err != nil {
		return err
	}
	dev.OnFail(h.fail)
	if err := dev.Start(); err != nil {
		return err
	}
	h.events.offer()
	h.scan(s)
	return nil
}

func (h *Host) readLimits() {
	const mostTargets, mostLUNs = 256, 16384
	l := &h.limits
	l.MaxSegments = int(max(min(h.dev.Config32(configSegMax), maxSegments), 1))
	l.MaxSegments = max(min(l.MaxSegments, h.q.Size()-2), 1)
	l.MaxSegment = 1 << 20
	l.MaxRequest = min(max(h.dev.Config32(configMaxSectors), block.PageSize/block.SectorSize), 2048) * block.SectorSize
	h.maxTarget = min(uint32(h.dev.Config16(configMaxTarget)), mostTargets-1)
	h.maxLUN = min(h.dev.Config32(configMaxLUN), mostLUNs-1)
}

// submit starts the tasks in the list t.
func (h *Host) submit(t *task) {
	last := t
	for last.next != nil {
		last = last.next
	}
	h.mu.Lock()
	h.enqueue(t, last)
	dead, notify := h.push()
	h.mu.Unlock()
	if notify {
		h.q.Notify()
	}
	h.end(dead)
}

// enqueue puts the list from first to last behind what waits for room. The caller
// holds h.mu.
func (h *Host) enqueue(first, last *task) {
	if h.head == nil {
		h.head = first
	} else {
		h.tail.next = first
	}
	h.tail = last
}

// push gives the device what there is room for. It returns the tasks that cannot be, and
// whether the device is to be notified.
func (h *Host) push() (dead *task, notify bool) {
	for h.head != nil && !h.failed && len(h.spare) > 0 {
		t, s := h.head, h.spare[len(h.spare)-1]
		next := t.next
		err := h.add(s, t)
		if err == virtio.ErrFull {
			break
		}
		if h.head = next; err != nil {
			t.result = result{response: responseFailure}
			t.next, dead = dead, t
			continue
		}
		h.spare = h.spare[:len(h.spare)-1]
	}
	if h.failed {
		for h.head != nil {
			t := h.head
			h.head = t.next
			t.result = result{response: responseFailure}
			t.next, dead = dead, t
		}
	}
	return dead, h.q.Publish()
}

// add puts t in the queue.
func (h *Host) add(s *slot, t *task) error {
	m := s.memory
	m.request.lun = t.unit.address()
	copy(m.request.cdb[:], t.cdb[:])
	m.response.response = responseNone
	h.out = append(h.out[:0], virtio.Buffer{Addr: s.addr, Len: uint32(requestBytes)})
	h.in = append(h.in[:0], virtio.Buffer{Addr: s.addr + uint64(responseAt), Len: uint32(responseBytes)})
	if t.own {
		m.response.parameter = t.param
		h.out = append(h.out, virtio.Buffer{Addr: s.addr + uint64(parameterAt), Len: uint32(len(t.param))})
	}
	for _, g := range t.out {
		h.out = append(h.out, virtio.Buffer(g))
	}
	for _, g := range t.in {
		h.in = append(h.in, virtio.Buffer(g))
	}
	s.task = t
	return h.q.Add(h.out, h.in, s)
}

// used is called when the device has done something.
func (h *Host) used() {
	var ended *task
	h.mu.Lock()
	for {
		token, _, more := h.q.Next()
		if !more {
			break
		}
		s := token.(*slot)
		t := s.task
		s.task = nil
		t.result = s.memory.result()
		h.spare = append(h.spare, s)
		if t.result.again() && t.tries < maxTries {
			t.tries++
			t.next = nil
			h.enqueue(t, t)
			continue
		}
		t.next, ended = ended, t
	}
	dead, notify := h.push()
	h.mu.Unlock()
	if notify {
		h.q.Notify()
	}
	h.end(ended)
	h.end(dead)
}

// end tells those who wait for tasks what became of them.
func (h *Host) end(t *task) {
	for t != nil {
		next := t.next
		t.next = nil
		if t.result.capacityChanged() {
			t.unit.changed()
		}
		if c := t.waits; c != nil {
			who := c.who
			c.mu.Lock()
			c.left--
			c.mu.Unlock()
			who.Wake()
		} else {
			r := t.request
			r.Lost = t.lost
			err := t.result.errno(r.Op)
			h.mu.Lock()
			t.next, h.tasks = h.tasks, t
			h.mu.Unlock()
			r.Done.Completed(err)
		}
		t = next
	}
}

// spareTask returns a task for u with nothing in it.
func (h *Host) spareTask(u *unit) *task {
	h.mu.Lock()
	t := h.tasks
	if t != nil {
		h.tasks = t.next
	}
	h.mu.Unlock()
	if t == nil {
		t = new(task)
	}
	*t = task{unit: u}
	return t
}

// do has tasks done, and waits.
func (h *Host) do(s block.Sleeper, tasks []*task) {
	c := &call{who: s, left: len(tasks)}
	for i, t := range tasks {
		t.waits = c
		if t.next = nil; i > 0 {
			tasks[i-1].next = t
		}
	}
	h.submit(tasks[0])
	for {
		c.mu.Lock()
		left := c.left
		c.mu.Unlock()
		if left == 0 {
			return
		}
		s.Park()
	}
}

// fail is called when the device has failed, so that nobody waits for ever.
func (h *Host) fail(error) {
	var ended *task
	h.mu.Lock()
	h.failed = true
	for i := range h.slots {
		if s := &h.slots[i]; s.task != nil {
			t := s.task
			s.task = nil
			t.lost, t.result = true, result{response: responseFailure}
			t.next, ended = ended, t
		}
	}
	dead, _ := h.push()
	h.mu.Unlock()
	h.end(ended)
	h.end(dead)
}
