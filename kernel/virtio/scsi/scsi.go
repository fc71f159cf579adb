// Package scsi drives SCSI host adapters (virtio 1.2 section 5.6), and the disks and
// CD-ROMs behind them (SPC-4, SBC-3, MMC-6).
package scsi

import (
	"sync"
	"unsafe"

	"gosv/kernel/block"
	"gosv/kernel/errno"
	"gosv/kernel/virtio"
	"gosv/kernel/virtio/requests"
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

	requests *requests.Queue

	mu    sync.Mutex
	units []*unit

	scanning sync.Mutex
}

// memory is what a request needs besides its data of what the device can reach.
type memory struct {
	request struct {
		lun  [8]byte
		id   [8]byte
		attr [3]byte // simple, no priority
		cdb  [cdbSize]byte
	}
	_        [13]byte
	response struct {
		senseLen uint32
		residual uint32
		_        uint16
		status   uint8
		response uint8
		sense    [senseSize]byte
	}
	_         [4]byte
	parameter [parameterBytes]byte // of UNMAP
	_         [56]byte
}

const (
	parameterBytes = 24 // a header, and one range

	requestBytes  = 8 + 8 + 3 + cdbSize
	responseAt    = unsafe.Offsetof(memory{}.response)
	responseBytes = 12 + senseSize
	parameterAt   = unsafe.Offsetof(memory{}.parameter)
)

// command is a request of the driver's own: to a unit, with an answer.
type command struct {
	block.Awaited
	cdb    [16]byte
	result result
}

// opCommand is what it does.
const opCommand block.Op = 200

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
	if h.requests, err = requests.New(dev, requestQueue, queueSize, unsafe.Sizeof(memory{}), h); err != nil {
		return err
	}
	h.requests.AnyLength() // QEMU counts what it read, too
	h.readLimits()
	dev.OnReset(h.restart)
	if err := h.events.init(dev); err != nil {
		return err
	}
	if err := dev.Start(); err != nil {
		return err
	}
	h.events.offer()
	h.scan(s)
	return nil
}

// restart resets the adapter.
func (h *Host) restart() error {
	h.events.mu.Lock()
	defer h.events.mu.Unlock()
	err := h.requests.Restart(func(_ *virtio.Queue, token any) { h.events.give(token.(int)) })
	h.events.q.Kick()
	return err
}

func (h *Host) readLimits() {
	const mostTargets, mostLUNs = 256, 16384
	l := &h.limits
	l.MaxSegments = int(max(min(h.dev.Config32(configSegMax), maxSegments), 1))
	l.MaxSegments = max(min(l.MaxSegments, h.requests.Size()-2), 1)
	l.MaxSegment = 1 << 20
	l.MaxRequest = min(max(h.dev.Config32(configMaxSectors), block.PageSize/block.SectorSize), 2048) * block.SectorSize
	h.maxTarget = min(uint32(h.dev.Config16(configMaxTarget)), mostTargets-1)
	h.maxLUN = min(h.dev.Config32(configMaxLUN), mostLUNs-1)
}

// Encode implements requests.Driver: a request, a response, data, and what UNMAP has of those.
func (h *Host) Encode(s *requests.Slot, r *block.Request, out, in []virtio.Buffer) (_, _ []virtio.Buffer) {
	m := (*memory)(s.Memory)
	u := r.Disk.(*unit)
	m.request.lun = u.address()
	m.response.response = responseNone
	out = append(out, virtio.Buffer{Addr: s.Addr, Len: uint32(requestBytes)})
	in = append(in, virtio.Buffer{Addr: s.Addr + uint64(responseAt), Len: uint32(responseBytes)})
	if r.Op == opCommand {
		copy(m.request.cdb[:], r.Done.(*command).cdb[:])
	} else {
		cdb := u.command(r)
		copy(m.request.cdb[:], cdb[:])
	}
	switch r.Op {
	case block.Read, opCommand:
		for _, g := range r.Segs {
			in = append(in, virtio.Buffer(g))
		}
	case block.Write:
		for _, g := range r.Segs {
			out = append(out, virtio.Buffer(g))
		}
	case block.Discard:
		m.parameter = [parameterBytes]byte{1: parameterBytes - 2, 3: parameterBytes - 8}
		put64(m.parameter[8:], r.Sector>>u.shift)
		put32(m.parameter[16:], uint32(r.Count>>u.shift))
		out = append(out, virtio.Buffer{Addr: s.Addr + uint64(parameterAt), Len: parameterBytes})
	case block.WriteZeroes:
		out = append(out, u.zeros.Buffer(0, int(u.limits.LogicalBlock)))
	}
	return out, in
}

// Decode implements requests.Driver.
func (h *Host) Decode(s *requests.Slot, r *block.Request) (err errno.Errno, again bool) {
	result := (*memory)(s.Memory).result()
	if result.capacityChanged() {
		r.Disk.(*unit).changed()
	}
	if result.again() && s.Tries < maxTries {
		return 0, true
	}
	if c, ok := r.Done.(*command); ok {
		c.result = result
	}
	return result.errno(r.Op), false
}
