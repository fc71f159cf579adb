package network

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"sync"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// frames is a link over a stream, as QEMU's -netdev socket and stream have it:
// each frame behind its length (u32, big endian). Of channel.Endpoint it has what
// is the same for every link.
type frames struct {
	*channel.Endpoint
	conn net.Conn
	mu   sync.Mutex // held to write
}

// maxFrame is what no frame is longer than: QEMU's limit.
const maxFrame = 4<<10 + 64<<10

// newFrames makes a link of conn, whose other end is the VMM's. Frames that come
// are read by serve.
func newFrames(conn net.Conn) (stack.LinkEndpoint, *frames) {
	f := &frames{Endpoint: channel.New(0, MTU, gatewayMAC), conn: conn}
	return ethernet.New(f), f
}

// Capabilities implements stack.LinkEndpoint: what comes never was on a wire.
func (f *frames) Capabilities() stack.LinkEndpointCapabilities {
	return stack.CapabilityRXChecksumOffload | stack.CapabilityResolutionRequired
}

// WritePackets implements stack.LinkEndpoint. It waits for the guest to take
// what it has: nothing gets lost.
func (f *frames) WritePackets(packets stack.PacketBufferList) (int, tcpip.Error) {
	var out net.Buffers
	all := packets.AsSlice()
	for _, p := range all {
		var length [4]byte
		binary.BigEndian.PutUint32(length[:], uint32(p.Size()))
		out = append(append(out, length[:]), p.AsSlices()...)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := out.WriteTo(f.conn); err != nil {
		return 0, &tcpip.ErrClosedForSend{}
	}
	return len(all), nil
}

// serve hands the frames that come to the stack until there are no more.
func (f *frames) serve() {
	r := bufio.NewReaderSize(f.conn, 256<<10)
	for {
		var length [4]byte
		if _, err := io.ReadFull(r, length[:]); err != nil {
			return
		}
		n := binary.BigEndian.Uint32(length[:])
		if n > maxFrame {
			return // and the stream is of no use any more
		}
		frame := make([]byte, n)
		if _, err := io.ReadFull(r, frame); err != nil {
			return
		}
		p := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(frame)})
		f.InjectInbound(0, p) // whose protocol the Ethernet header tells
		p.DecRef()
	}
}
