package linux

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"gosv/kernel/vsock"
)

// vsockHost is a transport whose other end is the test.
type vsockHost struct {
	to      vsock.Receiver
	mu      sync.Mutex
	packets []vsockPacket
	full    bool // Buffer has none
	keep    bool
	freed   int
}

type vsockPacket struct {
	vsock.Header
	data string
}

func (h *vsockHost) Open(to vsock.Receiver) error {
	h.to = to
	return nil
}
func (h *vsockHost) Sent() bool  { return true }
func (h *vsockHost) CID() uint32 { return 5 }
func (h *vsockHost) Buffer(n int) []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.full {
		return nil
	}
	return make([]byte, min(n, 1000))
}
func (h *vsockHost) Ready() bool { return !h.full }
func (h *vsockHost) Send(p *vsock.Header, data []byte) {
	h.mu.Lock()
	h.packets = append(h.packets, vsockPacket{*p, string(data)})
	h.mu.Unlock()
}
func (h *vsockHost) Flush()        {}
func (h *vsockHost) MayKeep() bool { return h.keep }
func (h *vsockHost) Free([]byte)   { h.freed++ }

// next returns what was sent, in short.
func (h *vsockHost) next() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.packets) == 0 {
		return "nothing"
	}
	p := h.packets[0]
	h.packets = h.packets[1:]
	s := [...]string{"0", "request", "response", "reset", "shutdown", "data", "update", "ask"}[p.Op]
	switch p.Op {
	case vsock.OpShutdown:
		s += fmt.Sprint(" ", p.Flags)
	case vsock.OpData:
		s += fmt.Sprint(" ", len(p.data))
	case vsock.OpCreditUpdate:
		s += fmt.Sprint(" ", p.FwdCnt, " of ", p.BufAlloc)
	}
	return s
}

// give sends a packet to the socket at port.
func (h *vsockHost) give(op uint16, port uint32, data string, fwd uint32) {
	h.to.Receive(h, &vsock.Header{
		SrcCID: vsock.CIDHost, DstCID: 5, SrcPort: 1000, DstPort: port, Len: uint32(len(data)),
		Type: vsock.TypeStream, Op: op, BufAlloc: 3000, FwdCnt: fwd,
	}, []byte(data))
}

func (h *vsockHost) want(t *testing.T, all ...string) {
	t.Helper()
	for _, w := range append(all, "nothing") {
		if got := h.next(); got != w {
			t.Fatalf("it sends %s, not %s", got, w)
		}
	}
}

// vsockTest is a thread with a host, or none.
func vsockTest(host bool) (*Thread, *vsockHost) {
	t := testThreads(1)[0]
	t.proc.cred.login(0, 0, nil)
	t.proc.kernel.vsockets.port = 5000 // there are no random numbers
	h := &vsockHost{}
	if host {
		t.proc.kernel.AttachVsock(h)
	}
	return t, h
}

// open returns a socket and its file.
func (t *Thread) openVsock(flags uint32) (*vsockSocket, *File) {
	s, _ := t.newVsock(sockStream, 0)
	return s.(*vsockSocket), newFile(s, oRdwr|flags)
}

func at(cid, port uint32) []byte { return vsockAddr{cid, port}.encode() }

// listening returns a socket that listens at port.
func (t *Thread) listenVsock(port uint32, backlog int) (*vsockSocket, *File) {
	s, f := t.openVsock(0)
	s.bind(t, at(vsock.CIDAny, port))
	s.listen(t, backlog)
	return s, f
}

func (t *Thread) sendBytes(f *File, p []byte) (int, Errno) {
	return f.io.write(t, f, t.kernelIO(p))
}
func (t *Thread) receiveBytes(f *File, n int) (string, Errno) {
	b := make([]byte, n)
	n, err := f.io.read(t, f, t.kernelIO(b))
	return string(b[:n]), err
}

// TestVsockHost: a connection that the host makes, its credit and its end.
func TestVsockHost(t *testing.T) {
	th, h := vsockTest(true)
	l, lf := th.listenVsock(1234, 0)
	h.give(vsock.OpRequest, 1235, "", 0)
	h.want(t, "reset") // nobody there
	h.give(vsock.OpData, 1234, "x", 0)
	h.want(t, "reset")
	h.give(vsock.OpRequest, 1234, "", 0)
	h.want(t, "response")
	s, err := l.accept(th, lf)
	if err != 0 {
		t.Fatal(err)
	}
	f := newFile(s, oRdwr|oNonblock)
	if a, _ := s.address(true); !bytes.Equal(a, at(2, 1000)) {
		t.Error("the peer's address: ", a)
	}
	if a, _ := s.address(false); !bytes.Equal(a, at(5, 1234)) {
		t.Error("the address: ", a)
	}
	for _, k := range []int{1000, 1000, 1000} {
		if n, err := th.sendBytes(f, make([]byte, k)); n != k || err != 0 {
			t.Fatal(n, err)
		}
	}
	h.want(t, "data 1000", "data 1000", "data 1000")
	if ready, _ := s.poll(f); ready&pollOut != 0 {
		t.Error("writable without credit")
	}
	if _, err := th.sendBytes(f, make([]byte, 1)); err != EAGAIN {
		t.Error("without credit:", err)
	}
	h.give(vsock.OpCreditUpdate, 1234, "", 2500)
	if n, err := th.sendBytes(f, make([]byte, 4000)); n != 2500 || err != 0 {
		t.Error("with new credit:", n, err)
	}
	h.want(t, "data 1000", "data 1000", "data 500")
	h.give(vsock.OpCreditRequest, 1234, "", 2500)
	h.want(t, "update 0 of 262144")
	h.give(vsock.OpData, 1234, "hello, ", 5500)
	h.give(vsock.OpData, 1234, "world", 5500)
	if got, err := th.receiveBytes(f, 100); got != "hello, world" {
		t.Error(got, err)
	}
	if _, err := th.receiveBytes(f, 100); err != EAGAIN {
		t.Error(err)
	}
	h.want(t)
	for range 2 {
		h.give(vsock.OpData, 1234, string(make([]byte, 65536)), 5500)
	}
	th.receiveBytes(f, 65536)
	h.want(t)
	th.receiveBytes(f, 65536)
	h.want(t, "update 131084 of 262144")
	f.Release()
	h.want(t, "shutdown 3")
	h.give(vsock.OpReset, 1234, "", 5500)
	h.give(vsock.OpData, 1234, "", 5500)
	h.want(t, "reset")
	lf.Release()
	v := &th.proc.kernel.vsockets
	if len(v.bound)+len(v.connected) != 0 {
		t.Errorf("%d addresses and %d connections are left", len(v.bound), len(v.connected))
	}
}

// TestVsockLies: what a host may not do ends its connection, nothing else.
func TestVsockLies(t *testing.T) {
	for name, lie := range map[string]func(h *vsockHost){
		"more than its credit": func(h *vsockHost) {
			for range 5 {
				h.give(vsock.OpData, 1234, string(make([]byte, 65536)), 0)
			}
		},
		"passed on what it never got": func(h *vsockHost) { h.give(vsock.OpCreditUpdate, 1234, "", 1) },
	} {
		th, h := vsockTest(true)
		l, lf := th.listenVsock(1234, 0)
		h.give(vsock.OpRequest, 1234, "", 0)
		s, _ := l.accept(th, lf)
		f := newFile(s, oRdwr)
		h.next()
		lie(h)
		h.want(t, "reset")
		total := 0
		for {
			got, err := th.receiveBytes(f, 65536)
			if total += len(got); got == "" {
				if err != ECONNRESET {
					t.Errorf("%s: the reader gets %v", name, err)
				}
				break
			}
		}
		if total > vsockDefaultBuffer {
			t.Errorf("%s: %d bytes", name, total)
		}
		if _, err := th.sendBytes(f, []byte("x")); err != EPIPE {
			t.Errorf("%s: the writer gets %v", name, err)
		}
		f.Release()
		h.want(t)
	}
	// Garbage, also in the state in which it matters most.
	th, h := vsockTest(true)
	l, lf := th.listenVsock(1234, 3)
	r := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		h.to.Receive(h, &vsock.Header{
			SrcCID: r.Uint64N(4), DstCID: r.Uint64N(7), SrcPort: r.Uint32N(2), DstPort: 1234 + r.Uint32N(2),
			Type: uint16(r.Uint32N(3)), Op: uint16(r.Uint32N(9)), Flags: r.Uint32N(4),
			BufAlloc: r.Uint32(), FwdCnt: r.Uint32N(2),
		}, make([]byte, r.IntN(10)))
		if r.IntN(50) == 0 {
			l.mu.Lock()
			waiting := len(l.accepts)
			l.mu.Unlock()
			if waiting > 0 {
				s, _ := l.accept(th, lf)
				f := newFile(s, oRdwr|oNonblock)
				th.receiveBytes(f, 100)
				th.sendBytes(f, []byte("x"))
				f.Release()
			}
		}
		h.packets = nil
	}
}

// TestVsockConnect: a program connects to the host.
func TestVsockConnect(t *testing.T) {
	th, h := vsockTest(true)
	answer := func(op uint16) {
		go func() {
			for {
				h.mu.Lock()
				var port uint32
				if len(h.packets) > 0 {
					port = h.packets[0].SrcPort
				}
				h.mu.Unlock()
				if port != 0 {
					h.next()
					h.give(op, port, "", 0)
					return
				}
				time.Sleep(time.Millisecond)
			}
		}()
	}
	s, f := th.openVsock(0)
	answer(vsock.OpReset)
	if err := s.connect(th, f, at(2, 1000)); err != ECONNRESET {
		t.Error("refused:", err)
	}
	answer(vsock.OpResponse)
	if err := s.connect(th, f, at(2, 1000)); err != 0 {
		t.Error("again:", err)
	}
	if err := s.connect(th, f, at(2, 1000)); err != EISCONN {
		t.Error("connected:", err)
	}
	f.Release()
	h.want(t, "shutdown 3")

	s, f = th.openVsock(oNonblock)
	if err := s.connect(th, f, at(2, 1000)); err != EINPROGRESS {
		t.Error("nonblocking:", err)
	}
	if err := s.connect(th, f, at(2, 1000)); err != EALREADY {
		t.Error("nonblocking:", err)
	}
	if ready, _ := s.poll(f); ready != 0 {
		t.Errorf("ready: %#x", ready)
	}
	h.give(vsock.OpResponse, s.local.port, "", 0)
	if ready, _ := s.poll(f); ready != pollOut|pollWrNorm {
		t.Errorf("ready: %#x", ready)
	}
	h.next()
	h.give(vsock.OpShutdown, s.local.port, "", 0)
	if err := s.shutdown(shutWrite); err != 0 {
		t.Error(err)
	}
	h.want(t, "shutdown 2")
	h.give(vsock.OpData, s.local.port, "still", 0)
	if got, err := th.receiveBytes(f, 10); got != "still" || err != 0 {
		t.Error(got, err)
	}
	if _, err := th.sendBytes(f, []byte("x")); err != EPIPE {
		t.Error(err)
	}
	h.to.Reset(h)
	if ready, _ := s.poll(f); ready&pollErr == 0 {
		t.Errorf("after the machine moved: %#x", ready)
	}
	f.Release()

	s, f = th.openVsock(0)
	s.setOption(th, afVsock, vsockTimeout, []byte{0, 0, 0, 0, 0, 0, 0, 0, 16, 39, 0, 0, 0, 0, 0, 0})
	if err := s.connect(th, f, at(2, 1000)); err != ETIMEDOUT {
		t.Error("no answer:", err)
	}
	f.Release()
}

// TestVsockReset: when the machine moved, or its device was reset, who is connected and who tries
// to be learns of it, and may try again; who listens goes on.
func TestVsockReset(t *testing.T) {
	th, h := vsockTest(true)
	l, lf := th.listenVsock(1234, 3)
	defer lf.Release()
	accept := func() (*vsockSocket, *File) {
		h.give(vsock.OpRequest, 1234, "", 0)
		h.want(t, "response")
		s, err := l.accept(th, lf)
		if err != 0 {
			t.Fatal(err)
		}
		return s.(*vsockSocket), newFile(s, oRdwr)
	}
	_, connected := accept()
	trying, f := th.openVsock(oNonblock)
	defer f.Release()
	if err := trying.connect(th, f, at(2, 1000)); err != EINPROGRESS {
		t.Error(err)
	}
	h.want(t, "request")
	h.to.Reset(h)
	if ready, _ := connected.io.(*vsockSocket).poll(connected); ready&pollErr == 0 {
		t.Errorf("ready: %#x", ready)
	}
	if _, err := th.sendBytes(connected, []byte("x")); err == 0 {
		t.Error("it is still connected")
	}
	connected.Release()
	h.packets = nil
	if err := trying.takeError(); err != ECONNRESET {
		t.Error(err)
	}
	if err := trying.connect(th, f, at(2, 1000)); err != EINPROGRESS {
		t.Error("once more:", err)
	}
	h.want(t, "request")
	_, f = accept()
	h.give(vsock.OpData, 1234, "still", 0)
	if got, err := th.receiveBytes(f, 10); got != "still" || err != 0 {
		t.Error(got, err)
	}
	f.Release()
}

// TestVsockErrors: those that need no peer.
func TestVsockErrors(t *testing.T) {
	th, _ := vsockTest(false)
	s, f := th.openVsock(0)
	if err := s.connect(th, f, at(3, 1)); err != ENODEV {
		t.Error("no device:", err)
	}
	for _, c := range []struct{ cid, port uint32 }{{vsock.CIDLocal, 1}, {vsock.CIDHost, 1}} {
		if err := s.connect(th, f, at(c.cid, c.port)); err != ECONNRESET {
			t.Errorf("nobody at %v: %v", c, err)
		}
	}
	if err := s.bind(th, at(7, 1)); err != EADDRNOTAVAIL && err != EINVAL {
		t.Error(err)
	}
	a, _ := th.openVsock(0)
	b, _ := th.openVsock(0)
	if err := a.listen(th, 1); err != EINVAL {
		t.Error("no address:", err)
	}
	if err := a.bind(th, at(vsock.CIDLocal, 99999)); err != 0 {
		t.Error(err)
	}
	if err := a.bind(th, at(vsock.CIDLocal, 99998)); err != EINVAL {
		t.Error("twice:", err)
	}
	if err := b.bind(th, at(vsock.CIDAny, 99999)); err != EADDRINUSE {
		t.Error(err)
	}
	if err := b.bind(th, at(vsock.CIDAny, 99999)[:15]); err != EINVAL {
		t.Error(err)
	}
	if err := b.shutdown(shutRead); err != ENOTCONN {
		t.Error(err)
	}
	if _, err := b.address(true); err != ENOTCONN {
		t.Error(err)
	}
	if _, err := b.send(th, f, &message{userIO: th.kernelIO([]byte("x"))}); err != ENOTCONN {
		t.Error(err)
	}
	if _, err := b.receive(th, f, &message{userIO: th.kernelIO(make([]byte, 1))}); err != ENOTCONN {
		t.Error(err)
	}
	for _, k := range []struct {
		kind, protocol int32
		err            Errno
	}{{sockDgram, 0, ENODEV}, {sockRaw, 0, ESOCKTNOSUPPORT}, {sockStream, 1, EPROTONOSUPPORT}, {sockStream, afVsock, 0}} {
		if _, err := th.newVsock(k.kind, k.protocol); err != k.err {
			t.Errorf("%v: %v", k, err)
		}
	}
}

// TestVsockLoopback moves random amounts of bytes both ways at once.
func TestVsockLoopback(t *testing.T) {
	threads := testThreads(4)
	server, client := threads[0], threads[1]
	server.proc.kernel.vsockets.port = 5000
	l, lf := server.listenVsock(1234, 10)
	c, cf := client.openVsock(0)
	if err := c.connect(client, cf, at(vsock.CIDLocal, 1234)); err != 0 {
		t.Fatal(err)
	}
	s, err := l.accept(server, lf)
	if err != 0 {
		t.Fatal(err)
	}
	sf := newFile(s, oRdwr)
	const total = 5 << 20
	want := make([]byte, total)
	for i := range want {
		want[i] = byte(i * i >> 5)
	}
	var wg sync.WaitGroup
	for i, ends := range [][2]*File{{cf, sf}, {sf, cf}} {
		seed := uint64(i)
		wg.Go(func() {
			th, r := threads[i], rand.New(rand.NewPCG(seed, 1))
			for p := want; len(p) > 0; {
				n := min(len(p), 1+r.IntN(1<<r.IntN(19)))
				k, err := th.sendBytes(ends[0], p[:n])
				if err != 0 {
					t.Error(err)
					return
				}
				p = p[k:]
			}
			ends[0].io.(socket).shutdown(shutWrite)
		})
		wg.Go(func() {
			th, r := threads[2+i], rand.New(rand.NewPCG(seed, 2))
			var got []byte
			for {
				s, err := th.receiveBytes(ends[1], 1+r.IntN(1<<r.IntN(19)))
				if err != 0 {
					t.Error(err)
				}
				if s == "" {
					break
				}
				got = append(got, s...)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%d bytes arrive, %v of %d", len(got), bytes.HasPrefix(want, got), len(want))
			}
		})
	}
	wg.Wait()
	for _, f := range []*File{cf, sf, lf} {
		f.Release()
	}
	if v := &server.proc.kernel.vsockets; len(v.bound)+len(v.connected) != 0 {
		t.Errorf("%d addresses and %d connections are left", len(v.bound), len(v.connected))
	}
}
