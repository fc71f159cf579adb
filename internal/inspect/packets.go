package inspect

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"net/url"
	"strconv"
	"time"

	"gosv/internal/pcap"
)

// Each packet of a capture is sent behind three numbers, little endian: its time (ns
// since 1970, u64), its size and how many bytes of it follow (u32). Packets that
// nobody took come as their number in place of the size, with packetsLost behind.
const (
	packetHeader = 16
	packetsLost  = 1<<32 - 1
)

func packetHead(b []byte, at time.Time, size, follow int) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(at.UnixNano()))
	b = binary.LittleEndian.AppendUint32(b, uint32(size))
	return binary.LittleEndian.AppendUint32(b, uint32(follow))
}

// capture writes to w the packets of vm's network, up to snapLen bytes of each, until
// ctx or the VM ends. When it begins it calls started, and flush after each piece.
func (vm *VM) capture(ctx context.Context, snapLen int, w io.Writer, started, flush func()) error {
	q := newQueue(func(b []byte, n int) []byte { return packetHead(b, time.Time{}, n, packetsLost) })
	stop, err := vm.Net.Capture(func(at time.Time, size int, parts ...[]byte) {
		take := min(size, snapLen)
		head := packetHead(make([]byte, 0, packetHeader), at, size, take)
		message := [][]byte{head}
		for _, p := range parts {
			p = p[:min(len(p), take)]
			message = append(message, p)
			take -= len(p)
		}
		q.put(message...)
	})
	if err != nil {
		return err
	}
	defer stop()
	over := make(chan struct{})
	defer close(over)
	go func() {
		select {
		case <-vm.done:
			q.end()
		case <-over:
		}
	}()
	started()
	return q.copyTo(ctx, w, flush)
}

// Capture is one of a VM's network.
type Capture struct {
	SnapLen int
	Started func()
	Packet  func(p *pcap.Packet) error // an error ends the capture, and is returned
	Lost    func(n int)                // packets, for they were not taken fast enough
	Idle    func() error               // there is no other packet yet
}

// Packets captures until ctx or the VM ends.
func (c *Client) Packets(ctx context.Context, k *Capture) error {
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := k.take(r)
		r.CloseWithError(err)
		done <- err
	}()
	err := c.stream(ctx, packetsPath, url.Values{"snaplen": {strconv.Itoa(k.SnapLen)}}, w, k.Started)
	w.CloseWithError(io.EOF)
	if taken := <-done; taken != nil {
		return taken
	}
	return err
}

// take reads what the server sends. One packet that is not complete at the end is none.
func (k *Capture) take(from io.Reader) error {
	r := bufio.NewReaderSize(from, 1<<20)
	for {
		var head [packetHeader]byte
		if r.Buffered() < packetHeader {
			if err := k.Idle(); err != nil {
				return err
			}
		}
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return nil
		}
		size, follow := binary.LittleEndian.Uint32(head[8:]), binary.LittleEndian.Uint32(head[12:])
		if follow == packetsLost {
			k.Lost(int(size))
			continue
		}
		p := &pcap.Packet{Time: time.Unix(0, int64(binary.LittleEndian.Uint64(head[:]))), Size: int(size), Bytes: make([]byte, follow)}
		if _, err := io.ReadFull(r, p.Bytes); err != nil {
			return nil
		}
		if err := k.Packet(p); err != nil {
			return err
		}
	}
}
