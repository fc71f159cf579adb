// Package vsock is sockets of a virtual machine and its host (vsock(7)), the packets
// in which they talk (virtio 1.2 section 5.10.6), and who carries those.
package vsock

// Header is what a packet begins with. All numbers are little-endian.
type Header struct {
	SrcCID, DstCID   uint64
	SrcPort, DstPort uint32
	Len              uint32 // of the data that follows
	Type, Op         uint16
	Flags            uint32
	BufAlloc, FwdCnt uint32 // the sender's buffer, and how much it has passed on: its credit
}

// HeaderSize is the size of a Header in a packet.
const HeaderSize = 44

// TypeStream is the type of sockets that there are.
const TypeStream = 1

// Operations.
const (
	OpRequest       = 1
	OpResponse      = 2
	OpReset         = 3
	OpShutdown      = 4
	OpData          = 5
	OpCreditUpdate  = 6
	OpCreditRequest = 7
)

// Flags of OpShutdown: what its sender will not do any more.
const (
	ShutReceive = 1
	ShutSend    = 2
)

// MaxData is the most data that a packet has.
const MaxData = 64 << 10

// Context identifiers: who is at an end.
const (
	CIDLocal = 1
	CIDHost  = 2
	CIDAny   = 0xffffffff
)

// Transport carries packets to where they go. None of its methods blocks.
type Transport interface {
	// CID is that of this machine.
	CID() uint32

	// Buffer returns memory to put a packet's data in: n bytes, or fewer. It is
	// nil if there is none, and then Receiver.Room is called when there is some
	// again. Ready says whether Buffer would return any, and is like it if not.
	Buffer(n int) []byte
	Ready() bool

	// Send sends a packet, with h.Len bytes of data that are the beginning of
	// what Buffer returned; nil if there are none. It takes the buffer. The
	// packet need not leave before Flush.
	Send(h *Header, data []byte)
	Flush()

	// MayKeep says whether a packet's receiver may keep its data, for Free, so that
	// they need not be copied. Free takes also what Buffer returned and was not sent.
	MayKeep() bool
	Free(data []byte)
}

// Receiver is who gets the packets that a Transport brings. None of its methods
// blocks.
type Receiver interface {
	// Receive takes a packet. It says whether it keeps the data, for Transport.Free;
	// if not they are not valid after it.
	Receive(t Transport, h *Header, data []byte) (kept bool)

	// Room says that there is a Buffer again.
	Room(t Transport)

	// Reset says that all connections are lost: this machine moved.
	Reset(t Transport)
}
