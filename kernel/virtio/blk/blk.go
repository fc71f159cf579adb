// Package blk drives disks (virtio 1.2 section 5.2).
package blk

import (
	"math"
	"sync"
	"unsafe"

	"gosv/kernel/block"
	"gosv/kernel/errno"
	"gosv/kernel/virtio"
)

// Features (section 5.2.3), as bits.
const (
	featureSizeMax     = 1 << 1
	featureSegMax      = 1 << 2
	featureReadOnly    = 1 << 5
	featureBlockSize   = 1 << 6
	featureFlush       = 1 << 9
	featureTopology    = 1 << 10
	featureDiscard     = 1 << 13
	featureWriteZeroes = 1 << 14

	features = featureSizeMax | featureSegMax | featureReadOnly | featureBlockSize | featureFlush | featureTopology |
		featureDiscard | featureWriteZeroes
)

// The configuration's fields (section 5.2.4).
const (
	configCapacity         = 0 // in 512 bytes, whatever the block size
	configSizeMax          = 8
	configSegMax           = 12
	configBlockSize        = 20
	configPhysicalExponent = 24
	configMaxDiscard       = 36
	configDiscardAlign     = 44
	configMaxZeroes        = 48
)

// Kinds of requests, and what becomes of them (section 5.2.6).
const (
	kindIn          = 0
	kindOut         = 1
	kindFlush       = 4
	kindGetID       = 8
	kindDiscard     = 11
	kindWriteZeroes = 13

	statusOK          = 0
	statusUnsupported = 2
	statusNone        = 0xff // the device wrote none

	flagUnmap = 1
)

// opGetID is a request of the driver's own.
const opGetID block.Op = 200

// idSize is how long an identity is.
const idSize = 20

const (
	queueSize = 256

	// With header and status what still goes into a table of descriptors.
	maxSegments = 62
)

// Disk is one, as block.Device.
type Disk struct {
	dev    *virtio.Device
	limits block.Limits
	disk   *block.Disk // nil until it is known

	mu      sync.Mutex
	q       *virtio.Queue
	slots   []slot
	spare   []*slot
	head    *block.Request // those that the queue has no room for
	tail    *block.Request
	out, in []virtio.Buffer // of the request that is being added
	failed  bool
}

// slot is what a request in flight needs of memory that the device can reach.
type slot struct {
	memory  *memory
	addr    uint64
	request *block.Request
}

// memory is the part of it that is shared.
type memory struct {
	kind, _ uint32
	sector  uint64

	// Of Discard and WriteZeroes.
	first uint64
	count uint32
	flags uint32

	status uint8
	_      [31]byte
}

// Start makes dev work. add is given the disk, and returns it as the system has it.
func Start(dev *virtio.Device, add func(block.Device) *block.Disk) error {
	d := &Disk{dev: dev}
	if _, err := dev.Negotiate(features); err != nil {
		return err
	}
	var err error
	if d.q, err = dev.NewQueue(0, queueSize, d.used); err != nil {
		return err
	}
	d.readLimits()
	n := d.q.Size()
	piece, err := dev.Memory().Alloc(n * int(unsafe.Sizeof(memory{})))
	if err != nil {
		return err
	}
	d.slots = make([]slot, n)
	d.spare = make([]*slot, n)
	shared := unsafe.Slice((*memory)(unsafe.Pointer(&piece.Bytes[0])), n)
	for i := range d.slots {
		s := &d.slots[i]
		s.memory, s.addr = &shared[i], piece.Addr+uint64(i)*uint64(unsafe.Sizeof(memory{}))
		d.spare[n-1-i] = s
	}
	dev.OnFail(d.fail)
	dev.OnConfig(d.changed)
	if err := dev.Start(); err != nil {
		return err
	}
	disk := add(d)
	d.mu.Lock()
	d.disk = disk
	d.mu.Unlock()
	return nil
}

// readLimits reads the configuration, and takes no nonsense from it.
func (d *Disk) readLimits() {
	l := &d.limits
	l.Sectors = d.capacity()
	l.ReadOnly = d.dev.Has(featureReadOnly)
	l.Volatile = d.dev.Has(featureFlush)
	l.LogicalBlock = block.SectorSize
	if d.dev.Has(featureBlockSize) {
		if n := d.dev.Config32(configBlockSize); n >= block.SectorSize && n <= block.PageSize && n&(n-1) == 0 {
			l.LogicalBlock = n
		}
	}
	l.PhysicalBlock = l.LogicalBlock
	if d.dev.Has(featureTopology) {
		if e := d.dev.Config8(configPhysicalExponent); e < 16 {
			l.PhysicalBlock <<= e
		}
	}
	l.MaxSegments = 1
	if d.dev.Has(featureSegMax) {
		l.MaxSegments = int(max(min(d.dev.Config32(configSegMax), maxSegments), 1))
	}
	l.MaxSegments = max(min(l.MaxSegments, d.q.Size()-2), 1)
	l.MaxSegment = math.MaxInt32 &^ (block.PageSize - 1)
	if d.dev.Has(featureSizeMax) {
		if n := d.dev.Config32(configSizeMax); n >= block.PageSize {
			l.MaxSegment = min(l.MaxSegment, n&^(block.PageSize-1))
		}
	}
	if d.dev.Has(featureDiscard) {
		l.MaxDiscard = d.dev.Config32(configMaxDiscard)
		l.DiscardAlign = d.dev.Config32(configDiscardAlign) * block.SectorSize
	}
	if d.dev.Has(featureWriteZeroes) {
		l.MaxZeroes = d.dev.Config32(configMaxZeroes)
	}
}

// capacity is in sectors; no disk is larger than a file can be.
func (d *Disk) capacity() uint64 {
	return min(d.dev.Config64(configCapacity), math.MaxInt64/block.SectorSize)
}

// Limits implements block.Device.
func (d *Disk) Limits() block.Limits { return d.limits }

// Submit implements block.Device.
func (d *Disk) Submit(r *block.Request) {
	last := r
	for last.Next != nil {
		last = last.Next
	}
	d.mu.Lock()
	if d.head == nil {
		d.head = r
	} else {
		d.tail.Next = r
	}
	d.tail = last
	dead, notify := d.push()
	d.mu.Unlock()
	if notify {
		d.q.Notify()
	}
	end(dead, errno.EIO)
}

// push gives the device what there is room for. It returns the requests that cannot
// be, and whether the device is to be notified.
func (d *Disk) push() (dead *block.Request, notify bool) {
	for d.head != nil && !d.failed {
		r := d.head
		if len(d.spare) == 0 {
			break
		}
		s := d.spare[len(d.spare)-1]
		next := r.Next
		err := d.add(s, r)
		if err == virtio.ErrFull {
			break
		}
		if d.head = next; err != nil {
			r.Next, dead = dead, r
			continue
		}
		d.spare = d.spare[:len(d.spare)-1]
	}
	if d.failed && d.head != nil {
		d.tail.Next, dead = dead, d.head
		d.head = nil
	}
	return dead, d.q.Publish()
}

// add puts r in the queue: a header, data, and a byte for the status.
func (d *Disk) add(s *slot, r *block.Request) error {
	const header, detail, status = unsafe.Offsetof(memory{}.first), 16, unsafe.Offsetof(memory{}.status)
	m := s.memory
	m.kind, m.sector, m.status = kindIn, r.Sector, statusNone
	d.out = append(d.out[:0], virtio.Buffer{Addr: s.addr, Len: uint32(header)})
	d.in = d.in[:0]
	switch r.Op {
	case block.Write:
		m.kind = kindOut
		for _, g := range r.Segs {
			d.out = append(d.out, virtio.Buffer(g))
		}
	case block.Flush:
		m.kind, m.sector = kindFlush, 0
	case block.Discard, block.WriteZeroes:
		m.kind, m.sector = kindDiscard, 0
		m.first, m.count, m.flags = r.Sector, uint32(r.Count), 0
		if r.Op == block.WriteZeroes {
			if m.kind = kindWriteZeroes; r.Unmap {
				m.flags = flagUnmap
			}
		}
		d.out = append(d.out, virtio.Buffer{Addr: s.addr + uint64(header), Len: detail})
	case opGetID:
		m.kind, m.sector = kindGetID, 0
		fallthrough
	case block.Read:
		for _, g := range r.Segs {
			d.in = append(d.in, virtio.Buffer(g))
		}
	}
	d.in = append(d.in, virtio.Buffer{Addr: s.addr + uint64(status), Len: 1})
	s.request = r
	return d.q.Add(d.out, d.in, s)
}

// used is called when the device has done something.
func (d *Disk) used() {
	var ok, bad, unsupported *block.Request
	d.mu.Lock()
	for {
		token, _, more := d.q.Next()
		if !more {
			break
		}
		s := token.(*slot)
		r := s.request
		s.request = nil
		d.spare = append(d.spare, s)
		list := &bad
		switch s.memory.status {
		case statusOK:
			list = &ok
		case statusUnsupported:
			list = &unsupported
		}
		r.Next, *list = *list, r
	}
	dead, notify := d.push()
	d.mu.Unlock()
	if notify {
		d.q.Notify()
	}
	end(ok, 0)
	end(bad, errno.EIO)
	end(unsupported, errno.EOPNOTSUPP)
	end(dead, errno.EIO)
}

// end tells those who wait for the requests in r what became of them.
func end(r *block.Request, err errno.Errno) {
	for r != nil {
		next := r.Next
		r.Next = nil
		r.Done.Completed(err)
		r = next
	}
}

// fail is called when the device has failed, so that nobody waits for ever.
func (d *Disk) fail(error) {
	var lost *block.Request
	d.mu.Lock()
	d.failed = true
	for i := range d.slots {
		if s := &d.slots[i]; s.request != nil {
			s.request.Lost = true
			s.request.Next, lost = lost, s.request
			s.request = nil
		}
	}
	dead, _ := d.push()
	d.mu.Unlock()
	end(lost, errno.EIO)
	end(dead, errno.EIO)
}

// changed is called when the configuration has changed: the disk has another size.
func (d *Disk) changed() {
	d.mu.Lock()
	disk := d.disk
	d.mu.Unlock()
	if disk != nil {
		disk.Resize(d.capacity())
	}
}

// identity is a request for it.
type identity struct {
	block.Request
	who  block.Sleeper
	mu   sync.Mutex
	done bool
	err  errno.Errno
}

// Completed implements block.Completer.
func (i *identity) Completed(err errno.Errno) {
	who := i.who
	i.mu.Lock()
	i.done, i.err = true, err
	i.mu.Unlock()
	who.Wake()
}

// Identity implements block.Device: the disk has a serial number, or not.
func (d *Disk) Identity(s block.Sleeper) (model, serial string) {
	piece, err := d.dev.Memory().Alloc(idSize)
	if err != nil {
		return "", ""
	}
	i := &identity{who: s}
	i.Request = block.Request{Op: opGetID, Segs: []block.Segment{{Addr: piece.Addr, Len: idSize}}, Done: i}
	d.Submit(&i.Request)
	for {
		i.mu.Lock()
		done := i.done
		i.mu.Unlock()
		if done {
			break
		}
		s.Park()
	}
	if i.err == 0 {
		b := make([]byte, 0, idSize)
		for _, c := range piece.Bytes[:idSize] {
			if c == 0 {
				break
			}
			b = append(b, c)
		}
		serial = string(b)
	}
	if !i.Lost {
		d.dev.Memory().Free(piece)
	}
	return "", serial
}
