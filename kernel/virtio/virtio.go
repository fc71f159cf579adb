// Package virtio drives the devices of a virtual machine: OASIS Virtual I/O
// Device (VIRTIO) 1.2, to whose sections the comments refer, and the interface
// from before version 1.0, which the specification calls legacy.
//
// A driver (package blk, net, rng, ...) knows a Device and its Queues, never
// how they are reached. That is a Transport's business:
//
//	driver  ->  Device, Queue  ->  Transport: mmio, modern PCI, legacy PCI
//
// What legacy changes is in legacy.go.
//
// A device is not trusted. What it writes is read once and then checked; one
// that lies is told that it has failed and not spoken to again, see
// Device.Fail. Nothing is read back from memory that it could have changed.
//
// The life of a driver:
//
//	features, err := d.Negotiate(wanted)
//	q, err := d.NewQueue(0, 128, q0used)   // all queues that the device has
//	d.OnFail(wakeEverybody)
//	d.OnReset(resetAndGoOn)                // if it can
//	err = d.Start()
//	q.Add(out, in, request)                // a chain of buffers
//	q.Kick()
//	...                                    // q0used is called, and calls
//	request, written, ok := q.Next()       // until !ok
package virtio

import "strconv"

// Error is a constant error.
type Error string

func (e Error) Error() string { return string(e) }

// Device types (section 5).
const (
	TypeNet     = 1
	TypeBlock   = 2
	TypeConsole = 3
	TypeEntropy = 4
	TypeBalloon = 5
	TypeSCSI    = 8
	TypeVsock   = 19
)

// TypeName is what a type of device is called.
func TypeName(kind uint32) string {
	switch kind {
	case TypeNet:
		return "net"
	case TypeBlock:
		return "blk"
	case TypeConsole:
		return "console"
	case TypeEntropy:
		return "rng"
	case TypeBalloon:
		return "balloon"
	case TypeSCSI:
		return "scsi"
	case TypeVsock:
		return "vsock"
	}
	return "virtio device of type " + strconv.Itoa(int(kind))
}

// Device status (section 2.1).
const (
	StatusAcknowledge = 1
	StatusDriver      = 2
	StatusDriverOK    = 4
	StatusFeaturesOK  = 8
	StatusNeedsReset  = 64
	StatusFailed      = 128
)

// Features that are not of one device type (section 6), as bits. Drivers need
// not care for them: Negotiate does.
const (
	FeatureIndirect       = 1 << 28 // chains in tables of their own
	FeatureEventIndex     = 1 << 29 // each side says when it wants to hear of the other
	FeatureVersion1       = 1 << 32 // not legacy
	FeatureAccessPlatform = 1 << 33 // addresses are the platform's, which has no IOMMU that we know of
)

// Transport is how a device is reached. Its methods are called with the
// Device's lock held, but for Notify.
type Transport interface {
	Type() uint32   // of device
	String() string // says what and where the transport is, and its interrupt

	// Open is called before all that follows.
	Open() error

	Legacy() bool // speaks the interface from before virtio 1.0

	Status() uint8
	SetStatus(uint8) // 0 resets

	Features() uint64                 // offered
	SetFeatures(uint64)               // accepted
	Generation() uint32               // of the configuration space; constant where legacy
	ReadConfig(off, width int) uint32 // width 1, 2 or 4
	WriteConfig(off, width int, v uint32)

	// QueueSize returns how many entries queue i gets where want are asked
	// for, not necessarily a power of two; 0 if there is no such queue.
	QueueSize(i, want int) int

	// EnableQueue tells the device where queue i is, the last whose QueueSize was asked.
	EnableQueue(i int, r Rings) error

	// Notify tells the device that queue i has news for it.
	Notify(i int)

	// Connect has the device's interrupts call h. It is called before
	// EnableQueue, also after a reset.
	Connect(h Handler) error
}

// Handler is whom a Transport's interrupts call: a Device. Calls never overlap.
type Handler interface {
	// Used is called when the device may have used buffers, and says whether
	// it has, and whether somebody heeds changes of the configuration.
	Used() (news, heeds bool)

	// Changed is called when the configuration or the status may have changed.
	Changed()

	// Fail gives the device up.
	Fail(err error)
}

// Rings says where in physical memory the parts of a queue are.
type Rings struct {
	Size              int
	Desc, Avail, Used uint64
}

// Memory is where queues and buffers can be: memory that devices reach.
type Memory interface {
	// Alloc returns n bytes of zeros, contiguous also for the device, at a
	// multiple of 4096.
	Alloc(n int) (Piece, error)
	Free(Piece)
}

// Piece is a piece of Memory.
type Piece struct {
	Addr  uint64 // physical
	Bytes []byte
}

// Buffer returns n bytes of p from off on as a buffer.
func (p Piece) Buffer(off, n int) Buffer {
	_ = p.Bytes[off : off+n]
	return Buffer{p.Addr + uint64(off), uint32(n)}
}

// Buffer is memory that a device reads or writes, contiguous for it.
type Buffer struct {
	Addr uint64 // physical
	Len  uint32
}
