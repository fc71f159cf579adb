package main

import (
	"encoding/binary"
	"io"
	"net"
	"path/filepath"
	"sync"
	"time"

	"gosv/kernel/virtio"
	"gosv/kernel/virtio/virtiotest"
	"gosv/kernel/vsock"
)

// vsock is a socket device whose other end is this process. Each connection that a machine
// makes is a stream.
func (h *host) vsock() (has, error) {
	s := &stream{h: h, pieces: 4, size: 100 << 10}
	if h.tap != "" { // Firecracker has it
		_, err := h.listen(ports+"_1024", func(c *net.UnixConn) { s.serve(c) })
		h.flags = append(h.flags, "--vsock", "3,"+filepath.Join(h.dir, ports))
		return s.has, err
	}
	path, err := h.listen("vsock", func(c *net.UnixConn) {
		cid := binary.LittleEndian.AppendUint64(nil, 3)
		v := &vsockHost{stream: s}
		v.Device = virtiotest.New(virtio.TypeVsock, virtio.FeatureEventIndex|virtio.FeatureIndirect, cid, virtiotest.Queue{}, virtiotest.Queue{Handle: v.packet})
		serveVhostUser(c, v.Device)
		v.end()
	})
	h.add("-object", "memory-backend-memfd,id=memory,size=128M,share=on", "-machine", "memory-backend=memory", "-chardev", "socket,id=vsock,path="+path)
	h.device("vhost-user-vsock", "chardev=vsock")
	return s.has, err
}

// ports is the socket of Firecracker's device; with _PORT is what leads to a port here.
const ports = "ports"

// vsockHost is the host's end of all sockets of one machine, which has one at a time.
type vsockHost struct {
	*virtiotest.Device
	stream *stream

	mu    sync.Mutex
	conn  *vsockConn
	ended bool
}

// vsockConn is a connection; vsockHost.mu is for all of it.
type vsockConn struct {
	v           *vsockHost
	news        sync.Cond
	peer        vsock.Header // the last that came
	in          []byte
	over        bool // nothing more comes
	sent, taken uint32
}

const window = 64 << 10 // bytes that may come before they are read

// packet takes what the machine sends.
func (v *vsockHost) packet(c *virtiotest.Chain) {
	p := c.Bytes()
	c.Done()
	var h vsock.Header
	if n, err := binary.Decode(p, binary.LittleEndian, &h); err != nil || n != vsock.HeaderSize || int(h.Len) != len(p)-n {
		panic("devices: a packet that is none")
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case h.Op == vsock.OpRequest:
		v.conn = &vsockConn{v: v, peer: h}
		v.conn.news.L = &v.mu
		go v.serve(v.conn)
	case v.conn != nil && h.SrcPort == v.conn.peer.SrcPort:
		v.conn.peer = h
		v.conn.in = append(v.conn.in, p[vsock.HeaderSize:]...)
		if len(v.conn.in) > window {
			panic("devices: more comes than may")
		}
		v.conn.over = v.conn.over || h.Op == vsock.OpShutdown || h.Op == vsock.OpReset
		v.conn.news.Broadcast()
	}
}

func (v *vsockHost) serve(c *vsockConn) {
	c.send(vsock.OpResponse, nil)
	v.stream.serve(c)
	io.Copy(io.Discard, c)
	c.send(vsock.OpReset, nil)
}

// end lets all who wait go.
func (v *vsockHost) end() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.ended = true; v.conn != nil {
		v.conn.over = true
		v.conn.news.Broadcast()
	}
}

// Read implements io.Reader.
func (c *vsockConn) Read(p []byte) (n int, err error) {
	c.v.mu.Lock()
	for len(c.in) == 0 && !c.over {
		c.news.Wait()
	}
	n = copy(p, c.in)
	c.in = c.in[n:]
	c.taken += uint32(n)
	c.v.mu.Unlock()
	if n == 0 {
		return 0, io.EOF
	}
	c.send(vsock.OpCreditUpdate, nil)
	return n, nil
}

// Write implements io.Writer.
func (c *vsockConn) Write(p []byte) (done int, err error) {
	const most = 20000
	for done < len(p) {
		c.v.mu.Lock()
		credit := func() int { return int(c.peer.BufAlloc) - int(c.sent-c.peer.FwdCnt) }
		for credit() <= 0 && !c.v.ended {
			c.news.Wait()
		}
		n := min(credit(), len(p)-done, most)
		c.sent += uint32(max(n, 0))
		c.v.mu.Unlock()
		if n <= 0 {
			return done, io.ErrClosedPipe
		}
		c.send(vsock.OpData, p[done:done+n])
		done += n
	}
	return done, nil
}

// send sends a packet, when there is a buffer for it.
func (c *vsockConn) send(op uint16, data []byte) {
	c.v.mu.Lock()
	defer c.v.mu.Unlock()
	h := vsock.Header{
		SrcCID: c.peer.DstCID, DstCID: c.peer.SrcCID, SrcPort: c.peer.DstPort, DstPort: c.peer.SrcPort,
		Len: uint32(len(data)), Type: vsock.TypeStream, Op: op, BufAlloc: window, FwdCnt: c.taken,
	}
	p, err := binary.Append(nil, binary.LittleEndian, &h)
	if err != nil {
		panic(err)
	}
	for !c.v.ended {
		if chain := c.v.Take(0); chain != nil {
			chain.Write(append(p, data...))
			chain.Done()
			return
		}
		c.v.mu.Unlock()
		time.Sleep(time.Millisecond)
		c.v.mu.Lock()
	}
}
