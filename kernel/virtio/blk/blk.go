// Package blk drives disks (virtio 1.2 section 5.2).
package blk

import (
	"math"
	"sync/atomic"
	"unsafe"

	"gosv/kernel/block"
	"gosv/kernel/errno"
	"gosv/kernel/virtio"
	"gosv/kernel/virtio/requests"
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
	*requests.Queue
	dev    *virtio.Device
	limits block.Limits
	disk   atomic.Pointer[block.Disk] // nil until it is known

}

// memory is what a request needs besides its data of what the device can reach.
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
	if d.Queue, err = requests.New(dev, 0, queueSize, unsafe.Sizeof(memory{}), d); err != nil {
		return err
	}
	d.readLimits()
	dev.OnConfig(d.changed)
	dev.OnReset(func() error { return d.Restart(nil) })
	if err := dev.Start(); err != nil {
		return err
	}
	d.disk.Store(add(d))
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
	l.MaxSegments = max(min(l.MaxSegments, d.Size()-2), 1)
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

// Encode implements requests.Driver: a header, data, and a byte for the status.
func (d *Disk) Encode(s *requests.Slot, r *block.Request, out, in []virtio.Buffer) (_, _ []virtio.Buffer) {
	const header, detail, status = unsafe.Offsetof(memory{}.first), 16, unsafe.Offsetof(memory{}.status)
	m := (*memory)(s.Memory)
	m.kind, m.sector, m.status = kindIn, r.Sector, statusNone
	out = append(out, virtio.Buffer{Addr: s.Addr, Len: uint32(header)})
	switch r.Op {
	case block.Write:
		m.kind = kindOut
		for _, g := range r.Segs {
			out = append(out, virtio.Buffer(g))
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
		out = append(out, virtio.Buffer{Addr: s.Addr + uint64(header), Len: detail})
	case opGetID:
		m.kind, m.sector = kindGetID, 0
		fallthrough
	case block.Read:
		for _, g := range r.Segs {
			in = append(in, virtio.Buffer(g))
		}
	}
	return out, append(in, virtio.Buffer{Addr: s.Addr + uint64(status), Len: 1})
}

// Decode implements requests.Driver.
func (d *Disk) Decode(s *requests.Slot, _ *block.Request) (err errno.Errno, again bool) {
	switch (*memory)(s.Memory).status {
	case statusOK:
		return 0, false
	case statusUnsupported:
		return errno.EOPNOTSUPP, false
	}
	return errno.EIO, false
}

// changed is called when the configuration has changed: the disk has another size.
func (d *Disk) changed() {
	if disk := d.disk.Load(); disk != nil {
		disk.Resize(d.capacity())
	}
}

// Identity implements block.Device: the disk has a serial number, or not.
func (d *Disk) Identity(s block.Sleeper) (model, serial string) {
	piece, err := d.dev.Memory().Alloc(idSize)
	if err != nil {
		return "", ""
	}
	id := block.Awaited{Request: block.Request{Op: opGetID, Segs: []block.Segment{{Addr: piece.Addr, Len: idSize}}}}
	block.Await(s, d.Submit, &id)
	if id.Err == 0 {
		b := make([]byte, 0, idSize)
		for _, c := range piece.Bytes[:idSize] {
			if c == 0 {
				break
			}
			b = append(b, c)
		}
		serial = string(b)
	}
	if !id.Lost {
		d.dev.Memory().Free(piece)
	}
	return "", serial
}
