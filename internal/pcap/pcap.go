// Package pcap is captured network packets: files of them, what tcpdump would print of
// them, and expressions that choose some.
package pcap

import (
	"encoding/binary"
	"io"
	"time"
)

// Packet is an Ethernet frame that was captured.
type Packet struct {
	Time  time.Time
	Size  int    // of the frame, in bytes
	Bytes []byte // its beginning
}

// MaxSnapLen is more than any frame has, and what tcpdump takes of each by default.
const MaxSnapLen = 262144

// Writer writes a file in the pcap format (draft-ietf-opsawg-pcap), with nanoseconds.
type Writer struct{ w io.Writer }

// NewWriter begins a file with packets of up to snapLen bytes.
func NewWriter(w io.Writer, snapLen int) (*Writer, error) {
	const (
		magic    = 0xa1b23c4d // times are in ns
		ethernet = 1
	)
	b := binary.LittleEndian.AppendUint32(nil, magic)
	b = binary.LittleEndian.AppendUint16(b, 2)
	b = binary.LittleEndian.AppendUint16(b, 4)
	for _, v := range []uint32{0, 0, uint32(snapLen), ethernet} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	_, err := w.Write(b)
	return &Writer{w}, err
}

// Write adds a packet.
func (w *Writer) Write(p *Packet) error {
	b := make([]byte, 0, 16+len(p.Bytes))
	for _, v := range []uint32{uint32(p.Time.Unix()), uint32(p.Time.Nanosecond()), uint32(len(p.Bytes)), uint32(p.Size)} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	_, err := w.w.Write(append(b, p.Bytes...))
	return err
}
