package vsock

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"gosv/kernel/errno"
	"gosv/kernel/socket"
	"gosv/kernel/socket/sockettest"
	"gosv/kernel/wait"
)

// testHost is a transport whose other end is the test.
type testHost struct {
	to      Receiver
	mu      sync.Mutex
	packets []packet
	full    bool // Buffer has none
	keep    bool
	freed   int
}

type packet struct {
	Header
	data string
}

func (h *testHost) Open(to Receiver) error {
	h.to = to
	return nil
}
func (h *testHost) Sent() bool  { return true }
func (h *testHost) CID() uint32 { return 5 }
func (h *testHost) Buffer(n int) []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.full {
		return nil
	}
	return make([]byte, min(n, 1000))
}
func (h *testHost) Ready() bool { return !h.full }
func (h *testHost) Send(p *Header, data []byte) {
	h.mu.Lock()
	h.packets = append(h.packets, packet{*p, string(data)})
	h.mu.Unlock()
}
func (h *testHost) Flush()        {}
func (h *testHost) MayKeep() bool { return h.keep }
func (h *testHost) Free([]byte)   { h.freed++ }

// next returns what was sent, in short.
func (h *testHost) next() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.packets) == 0 {
		return "nothing"
	}
	p := h.packets[0]
	h.packets = h.packets[1:]
	s := [...]string{"0", "request", "response", "reset", "shutdown", "data", "update", "ask"}[p.Op]
	switch p.Op {
	case OpShutdown:
		s += fmt.Sprint(" ", p.Flags)
	case OpData:
		s += fmt.Sprint(" ", len(p.data))
	case OpCreditUpdate:
		s += fmt.Sprint(" ", p.FwdCnt, " of ", p.BufAlloc)
	}
	return s
}

// give sends a packet to the socket at port.
func (h *testHost) give(op uint16, port uint32, data string, fwd uint32) {
	h.to.Receive(h, &Header{
		SrcCID: CIDHost, DstCID: 5, SrcPort: 1000, DstPort: port, Len: uint32(len(data)),
		Type: TypeStream, Op: op, BufAlloc: 3000, FwdCnt: fwd,
	}, []byte(data))
}

func (h *testHost) want(t *testing.T, all ...string) {
	t.Helper()
	for _, w := range append(all, "nothing") {
		if got := h.next(); got != w {
			t.Fatalf("it sends %s, not %s", got, w)
		}
	}
}

// program is who calls.
type program struct{ *sockettest.Program }

// machine is a System.
type machine struct{}

func (machine) NeedDevices()         {}
func (machine) Warn(string)          {}
func (machine) NewSocketIno() uint64 { return 0 }
func (machine) FillRandom([]byte)    {}

// newSockets returns the sockets of a machine with a host, or without.
func newSockets(host bool) (*Sockets, *program, *testHost) {
	v := &Sockets{System: machine{}, port: 5000} // there are no random numbers
	h := &testHost{}
	if host {
		v.Attach(h)
	}
	return v, &program{sockettest.NewProgram()}, h
}

func (v *Sockets) stream() *Socket {
	s, _ := v.New(socket.Stream, 0)
	return s
}

func at(cid, port uint32) []byte { return address{cid, port}.encode() }

// listener returns a socket that listens at port.
func (v *Sockets) listener(p *program, port uint32, backlog int) *Socket {
	s := v.stream()
	s.Bind(p, at(CIDAny, port))
	s.Listen(p, backlog)
	return s
}

func (p *program) accept(t *testing.T, l *Socket) *Socket {
	t.Helper()
	s, err := l.Accept(p, 0)
	if err != 0 {
		t.Fatal(err)
	}
	return s.(*Socket)
}

func (p *program) send(s *Socket, b []byte, flags uintptr) (int, errno.Errno) {
	return s.Send(p, sockettest.Envelope(b, flags))
}

func (p *program) receive(s *Socket, n int, flags uintptr) (string, errno.Errno) {
	b := make([]byte, n)
	n, err := s.Receive(p, sockettest.Envelope(b, flags))
	return string(b[:n]), err
}

// TestHost: a connection that the host makes, its credit and its end.
func TestHost(t *testing.T) {
	v, p, h := newSockets(true)
	l := v.listener(p, 1234, 0)
	h.give(OpRequest, 1235, "", 0)
	h.want(t, "reset") // nobody there
	h.give(OpData, 1234, "x", 0)
	h.want(t, "reset")
	h.give(OpRequest, 1234, "", 0)
	h.want(t, "response")
	s := p.accept(t, l)
	if a, _ := s.Address(true); !bytes.Equal(a, at(2, 1000)) {
		t.Error("the peer's address: ", a)
	}
	if a, _ := s.Address(false); !bytes.Equal(a, at(5, 1234)) {
		t.Error("the address: ", a)
	}
	for _, k := range []int{1000, 1000, 1000} {
		if n, err := p.send(s, make([]byte, k), socket.MsgDontwait); n != k || err != 0 {
			t.Fatal(n, err)
		}
	}
	h.want(t, "data 1000", "data 1000", "data 1000")
	if ready, _ := s.Poll(); ready&wait.Out != 0 {
		t.Error("writable without credit")
	}
	if _, err := p.send(s, make([]byte, 1), socket.MsgDontwait); err != errno.EAGAIN {
		t.Error("without credit:", err)
	}
	h.give(OpCreditUpdate, 1234, "", 2500)
	if n, err := p.send(s, make([]byte, 4000), socket.MsgDontwait); n != 2500 || err != 0 {
		t.Error("with new credit:", n, err)
	}
	h.want(t, "data 1000", "data 1000", "data 500")
	h.give(OpCreditRequest, 1234, "", 2500)
	h.want(t, "update 0 of 262144")
	h.give(OpData, 1234, "hello, ", 5500)
	h.give(OpData, 1234, "world", 5500)
	if got, err := p.receive(s, 100, socket.MsgDontwait); got != "hello, world" {
		t.Error(got, err)
	}
	if _, err := p.receive(s, 100, socket.MsgDontwait); err != errno.EAGAIN {
		t.Error(err)
	}
	h.want(t)
	for range 2 {
		h.give(OpData, 1234, string(make([]byte, 65536)), 5500)
	}
	p.receive(s, 65536, socket.MsgDontwait)
	h.want(t)
	p.receive(s, 65536, socket.MsgDontwait)
	h.want(t, "update 131084 of 262144")
	s.Close()
	h.want(t, "shutdown 3")
	h.give(OpReset, 1234, "", 5500)
	h.give(OpData, 1234, "", 5500)
	h.want(t, "reset")
	l.Close()
	if len(v.bound)+len(v.connected) != 0 {
		t.Errorf("%d addresses and %d connections are left", len(v.bound), len(v.connected))
	}
}

// TestLies: what a host may not do ends its connection, nothing else.
func TestLies(t *testing.T) {
	for name, lie := range map[string]func(h *testHost){
		"more than its credit": func(h *testHost) {
			for range 5 {
				h.give(OpData, 1234, string(make([]byte, 65536)), 0)
			}
		},
		"passed on what it never got": func(h *testHost) { h.give(OpCreditUpdate, 1234, "", 1) },
	} {
		v, p, h := newSockets(true)
		l := v.listener(p, 1234, 0)
		h.give(OpRequest, 1234, "", 0)
		s := p.accept(t, l)
		h.next()
		lie(h)
		h.want(t, "reset")
		total := 0
		for {
			got, err := p.receive(s, 65536, 0)
			if total += len(got); got == "" {
				if err != errno.ECONNRESET {
					t.Errorf("%s: the reader gets %v", name, err)
				}
				break
			}
		}
		if total > defaultBuffer {
			t.Errorf("%s: %d bytes", name, total)
		}
		if _, err := p.send(s, []byte("x"), 0); err != errno.EPIPE {
			t.Errorf("%s: the writer gets %v", name, err)
		}
		s.Close()
		h.want(t)
	}
	// Garbage, also in the state in which it matters most.
	v, p, h := newSockets(true)
	l := v.listener(p, 1234, 3)
	r := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		h.to.Receive(h, &Header{
			SrcCID: r.Uint64N(4), DstCID: r.Uint64N(7), SrcPort: r.Uint32N(2), DstPort: 1234 + r.Uint32N(2),
			Type: uint16(r.Uint32N(3)), Op: uint16(r.Uint32N(9)), Flags: r.Uint32N(4),
			BufAlloc: r.Uint32(), FwdCnt: r.Uint32N(2),
		}, make([]byte, r.IntN(10)))
		if r.IntN(50) == 0 {
			l.mu.Lock()
			waiting := len(l.accepts)
			l.mu.Unlock()
			if waiting > 0 {
				s := p.accept(t, l)
				p.receive(s, 100, socket.MsgDontwait)
				p.send(s, []byte("x"), socket.MsgDontwait)
				s.Close()
			}
		}
		h.packets = nil
	}
}

// TestConnect: a program connects to the host.
func TestConnect(t *testing.T) {
	v, p, h := newSockets(true)
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
	s := v.stream()
	answer(OpReset)
	if err := s.Connect(p, at(2, 1000), 0); err != errno.ECONNRESET {
		t.Error("refused:", err)
	}
	answer(OpResponse)
	if err := s.Connect(p, at(2, 1000), 0); err != 0 {
		t.Error("again:", err)
	}
	if err := s.Connect(p, at(2, 1000), 0); err != errno.EISCONN {
		t.Error("connected:", err)
	}
	s.Close()
	h.want(t, "shutdown 3")

	s = v.stream()
	if err := s.Connect(p, at(2, 1000), socket.MsgDontwait); err != errno.EINPROGRESS {
		t.Error("nonblocking:", err)
	}
	if err := s.Connect(p, at(2, 1000), socket.MsgDontwait); err != errno.EALREADY {
		t.Error("nonblocking:", err)
	}
	if ready, _ := s.Poll(); ready != 0 {
		t.Errorf("ready: %#x", ready)
	}
	h.give(OpResponse, s.local.port, "", 0)
	if ready, _ := s.Poll(); ready != wait.Out|wait.WrNorm {
		t.Errorf("ready: %#x", ready)
	}
	h.next()
	h.give(OpShutdown, s.local.port, "", 0)
	if err := s.Shutdown(socket.ShutWrite); err != 0 {
		t.Error(err)
	}
	h.want(t, "shutdown 2")
	h.give(OpData, s.local.port, "still", 0)
	if got, err := p.receive(s, 10, socket.MsgDontwait); got != "still" || err != 0 {
		t.Error(got, err)
	}
	if _, err := p.send(s, []byte("x"), socket.MsgDontwait); err != errno.EPIPE {
		t.Error(err)
	}
	h.to.Reset(h)
	if ready, _ := s.Poll(); ready&wait.Err == 0 {
		t.Errorf("after the machine moved: %#x", ready)
	}
	s.Close()

	s = v.stream()
	s.SetOption(socket.AFVsock, timeout, []byte{0, 0, 0, 0, 0, 0, 0, 0, 16, 39, 0, 0, 0, 0, 0, 0})
	if err := s.Connect(p, at(2, 1000), 0); err != errno.ETIMEDOUT {
		t.Error("no answer:", err)
	}
	s.Close()
}

// TestReset: when the machine moved, or its device was reset, who is connected and who tries
// to be learns of it, and may try again; who listens goes on.
func TestReset(t *testing.T) {
	v, p, h := newSockets(true)
	l := v.listener(p, 1234, 3)
	defer l.Close()
	accept := func() *Socket {
		h.give(OpRequest, 1234, "", 0)
		h.want(t, "response")
		return p.accept(t, l)
	}
	connected := accept()
	trying := v.stream()
	defer trying.Close()
	if err := trying.Connect(p, at(2, 1000), socket.MsgDontwait); err != errno.EINPROGRESS {
		t.Error(err)
	}
	h.want(t, "request")
	h.to.Reset(h)
	if ready, _ := connected.Poll(); ready&wait.Err == 0 {
		t.Errorf("ready: %#x", ready)
	}
	if _, err := p.send(connected, []byte("x"), 0); err == 0 {
		t.Error("it is still connected")
	}
	connected.Close()
	h.packets = nil
	if err := trying.TakeError(); err != errno.ECONNRESET {
		t.Error(err)
	}
	if err := trying.Connect(p, at(2, 1000), socket.MsgDontwait); err != errno.EINPROGRESS {
		t.Error("once more:", err)
	}
	h.want(t, "request")
	s := accept()
	h.give(OpData, 1234, "still", 0)
	if got, err := p.receive(s, 10, 0); got != "still" || err != 0 {
		t.Error(got, err)
	}
	s.Close()
}

// TestErrors: those that need no peer.
func TestErrors(t *testing.T) {
	v, p, _ := newSockets(false)
	s := v.stream()
	if err := s.Connect(p, at(3, 1), 0); err != errno.ENODEV {
		t.Error("no device:", err)
	}
	for _, c := range []struct{ cid, port uint32 }{{CIDLocal, 1}, {CIDHost, 1}} {
		if err := s.Connect(p, at(c.cid, c.port), 0); err != errno.ECONNRESET {
			t.Errorf("nobody at %v: %v", c, err)
		}
	}
	if err := s.Bind(p, at(7, 1)); err != errno.EADDRNOTAVAIL && err != errno.EINVAL {
		t.Error(err)
	}
	a, b := v.stream(), v.stream()
	if err := a.Listen(p, 1); err != errno.EINVAL {
		t.Error("no address:", err)
	}
	if err := a.Bind(p, at(CIDLocal, 99999)); err != 0 {
		t.Error(err)
	}
	if err := a.Bind(p, at(CIDLocal, 99998)); err != errno.EINVAL {
		t.Error("twice:", err)
	}
	if err := b.Bind(p, at(CIDAny, 99999)); err != errno.EADDRINUSE {
		t.Error(err)
	}
	if err := b.Bind(p, at(CIDAny, 99999)[:15]); err != errno.EINVAL {
		t.Error(err)
	}
	if err := b.Shutdown(socket.ShutRead); err != errno.ENOTCONN {
		t.Error(err)
	}
	if _, err := b.Address(true); err != errno.ENOTCONN {
		t.Error(err)
	}
	if _, err := p.send(b, []byte("x"), 0); err != errno.ENOTCONN {
		t.Error(err)
	}
	if _, err := p.receive(b, 1, 0); err != errno.ENOTCONN {
		t.Error(err)
	}
	for _, k := range []struct {
		kind, protocol int32
		err            errno.Errno
	}{{socket.Dgram, 0, errno.ENODEV}, {socket.Raw, 0, errno.ESOCKTNOSUPPORT}, {socket.Stream, 1, errno.EPROTONOSUPPORT}, {socket.Stream, socket.AFVsock, 0}} {
		if _, err := v.New(k.kind, k.protocol); err != k.err {
			t.Errorf("%v: %v", k, err)
		}
	}
}

// TestLoopback moves random amounts of bytes both ways at once.
func TestLoopback(t *testing.T) {
	v, p, _ := newSockets(false)
	l := v.listener(p, 1234, 10)
	c := v.stream()
	if err := c.Connect(p, at(CIDLocal, 1234), 0); err != 0 {
		t.Fatal(err)
	}
	s := p.accept(t, l)
	const total = 5 << 20
	want := make([]byte, total)
	for i := range want {
		want[i] = byte(i * i >> 5)
	}
	var wg sync.WaitGroup
	for i, ends := range [][2]*Socket{{c, s}, {s, c}} {
		seed := uint64(i)
		wg.Go(func() {
			p, r := &program{sockettest.NewProgram()}, rand.New(rand.NewPCG(seed, 1))
			for left := want; len(left) > 0; {
				n := min(len(left), 1+r.IntN(1<<r.IntN(19)))
				k, err := p.send(ends[0], left[:n], 0)
				if err != 0 {
					t.Error(err)
					return
				}
				left = left[k:]
			}
			ends[0].Shutdown(socket.ShutWrite)
		})
		wg.Go(func() {
			p, r := &program{sockettest.NewProgram()}, rand.New(rand.NewPCG(seed, 2))
			var got []byte
			for {
				s, err := p.receive(ends[1], 1+r.IntN(1<<r.IntN(19)), 0)
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
	for _, s := range []*Socket{c, s, l} {
		s.Close()
	}
	if len(v.bound)+len(v.connected) != 0 {
		t.Errorf("%d addresses and %d connections are left", len(v.bound), len(v.connected))
	}
}
