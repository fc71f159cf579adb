// Package nic is what network devices and the network know of each other.
package nic

// Device is a network device for Ethernet frames. Its driver implements it.
type Device interface {
	// MAC is the device's address. A driver whose device has none makes one up.
	MAC() [6]byte

	// MTU is how long a frame may be, without its Ethernet header, in bytes.
	MTU() int

	// LinkUp says whether the cable is plugged in.
	LinkUp() bool

	// Offloads says what Send leaves to the device.
	Offloads() Offloads

	// Start lets frames come: h gets them from now on. It is called once, before
	// Send.
	Start(h Handler) error

	// Send sends frames in order and returns how many. Where the device has no
	// room it waits for some, but not for a device that takes nothing any more.
	// It may be called by several goroutines at once. The frames' memory is the
	// caller's again when it returns. If they are held the device need not begin
	// before others are sent that are not, or Flush is called.
	Send(frames []Frame, held bool) int

	// Flush has the device send what is held.
	Flush()
}

// Handler is what a Device calls, on goroutines of its own.
type Handler interface {
	// Receive is handed frames, whose memory is the device's again when it
	// returns: they are copied, once.
	Receive(frames []Frame)

	// LinkChanged is called when the answer of LinkUp is another.
	LinkChanged()
}

// Offloads are what a device can do besides sending.
type Offloads struct {
	Checksum bool // it fills in checksums
	TCP4     bool // it cuts TCP segments, over IPv4,
	TCP6     bool // over IPv6
}

// Frame is an Ethernet frame.
type Frame struct {
	// Parts are one after the other, from the Ethernet header on, without the FCS.
	// There is at least one, and the headers are in the first.
	Parts [][]byte

	// NeedsChecksum: the checksum of what starts at ChecksumStart, in bytes from
	// the frame's start, is to be put ChecksumOffset behind that, where there is
	// that of the pseudo header already. A received frame has been sent on the same
	// machine then, and has nothing that could be wrong.
	NeedsChecksum                 bool
	ChecksumStart, ChecksumOffset uint16

	// ChecksumValid: of a received frame, the device says that its checksum is
	// right.
	ChecksumValid bool

	// Segments: the frame is one large TCP segment that is to be cut, or was put
	// together, of ones with SegmentSize bytes of data. Its headers, Ethernet's
	// to TCP's, take HeaderLen bytes.
	Segments    Segments
	SegmentSize uint16
	HeaderLen   uint16
}

// Size is how many bytes the frame has.
func (f *Frame) Size() (n int) {
	for _, p := range f.Parts {
		n += len(p)
	}
	return n
}

// Segments says of what a large frame consists.
type Segments uint8

const (
	Whole Segments = iota // it is not large
	TCP4                  // TCP segments over IPv4
	TCP6                  // TCP segments over IPv6
	UDP                   // UDP datagrams; only received
)
