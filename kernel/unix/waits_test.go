package unix_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"gosv/kernel/errno"
	"gosv/kernel/socket"
	"gosv/kernel/socket/sockettest"
	"gosv/kernel/unix"
)

// sockets is who makes calls that wait.
type sockets struct {
	t     *testing.T
	names *unix.Names
}

func newSockets(t *testing.T) *sockets { return &sockets{t, newOurs().names} }

func (s *sockets) pair(kind int32) (x, y *unix.Socket) {
	return s.names.Pair(kind, socket.Cred{PID: 1})
}

func (s *sockets) bound(kind int32, name string, backlog int) *unix.Socket {
	n, p := s.names.New(kind), sockettest.NewProgram()
	if err := n.Bind(p, abstract(name)); err != 0 {
		s.t.Fatal(err)
	}
	if kind != socket.Dgram {
		n.Listen(p, backlog)
	}
	return n
}

func abstract(name string) []byte { return append([]byte{socket.AFUnix, 0, 0}, name...) }

func send(p *sockettest.Program, s *unix.Socket, b []byte, flags uintptr, to []byte) (int, errno.Errno) {
	m := sockettest.Envelope(b, flags)
	m.Addr = to
	return s.Send(p, m)
}

func receive(p *sockettest.Program, s *unix.Socket, n int, flags uintptr) (string, errno.Errno) {
	b := make([]byte, n)
	n, err := s.Receive(p, sockettest.Envelope(b, flags))
	return string(b[:n]), err
}

// waits begins a call, sees that it waits, does what ends that, and returns its result.
func (s *sockets) waits(call func(p *sockettest.Program) string, end func()) string {
	p, result := sockettest.NewProgram(), make(chan string, 1)
	go func() { result <- call(p) }()
	select {
	case got := <-result:
		return "at once: " + got
	case <-p.Waits:
	}
	end()
	return <-result
}

// TestWaits: what each call waits for, and what it says then.
func TestWaits(t *testing.T) {
	for _, kind := range []int32{socket.Stream, socket.Dgram, socket.Seqpacket} {
		t.Run(fmt.Sprint("kind ", kind), func(t *testing.T) { testWaits(newSockets(t), kind) })
	}
}

func testWaits(s *sockets, kind int32) {
	receives := func(x *unix.Socket) func(*sockettest.Program) string {
		return func(p *sockettest.Program) string {
			got, err := receive(p, x, 100, 0)
			return fmt.Sprint(got, " ", said(err))
		}
	}
	sends := func(x *unix.Socket, to []byte) func(*sockettest.Program) string {
		return func(p *sockettest.Program) string {
			n, err := send(p, x, []byte("waited"), 0, to)
			return fmt.Sprint(n, " ", said(err), strings.Repeat(", SIGPIPE", p.Pipes))
		}
	}
	p := sockettest.NewProgram()
	fill := func(x *unix.Socket, to []byte) {
		for {
			if _, err := send(p, x, make([]byte, 4000), socket.MsgDontwait, to); err != 0 {
				return
			}
		}
	}
	check := func(what, got, want string) {
		s.t.Helper()
		if got != want {
			s.t.Errorf("%s: %q, want %q", what, got, want)
		}
	}

	x, y := s.pair(kind)
	check("received", s.waits(receives(x), func() { send(p, y, []byte("hello"), 0, nil) }), "hello ok")
	check("shut down", s.waits(receives(x), func() { x.Shutdown(socket.ShutRead) }), " ok")
	x, y = s.pair(kind)
	ended := map[int32]string{socket.Stream: " ok", socket.Seqpacket: " ok"}[kind]
	if kind != socket.Dgram { // who is gone may come back
		check("closed", s.waits(receives(x), y.Close), ended)
	}

	if kind == socket.Stream {
		x, y = s.pair(kind)
		for range 1000 { // who passes an urgent byte makes room
			if _, err := send(p, y, []byte("!"), socket.MsgOOB|socket.MsgDontwait, nil); err != 0 {
				s.t.Fatal(err)
			}
			receive(p, x, 10, socket.MsgDontwait)
		}
		check("after an urgent byte", s.waits(receives(x), func() {
			send(p, y, []byte("!"), socket.MsgOOB, nil)
			send(p, y, []byte("hello"), 0, nil)
		}), "hello ok")
	}

	x, y = s.pair(kind)
	fill(x, nil)
	check("room", s.waits(sends(x, nil), func() { receive(p, y, 1<<20, 0) }), "6 ok")
	x, y = s.pair(kind)
	fill(x, nil)
	gone := map[int32]string{socket.Stream: "0 ECONNRESET", socket.Dgram: "0 ECONNREFUSED", socket.Seqpacket: "0 ECONNRESET"}[kind]
	check("gone", s.waits(sends(x, nil), y.Close), gone)
	x, y = s.pair(kind)
	fill(x, nil)
	check("no more", s.waits(sends(x, nil), func() { x.Shutdown(socket.ShutWrite) }), "0 EPIPE")

	if kind == socket.Dgram {
		to := s.bound(kind, "to", 0)
		x = s.names.New(kind)
		for range 11 {
			send(p, x, nil, 0, abstract("to"))
		}
		check("a place", s.waits(sends(x, abstract("to")), func() { receive(p, to, 1, 0) }), "6 ok")
		check("gone", s.waits(sends(x, abstract("to")), to.Close), "0 ECONNREFUSED")
		// Whose buffer is full of what it has sent to many waits for any of them.
		var all []*unix.Socket
		for i := range 8 {
			all = append(all, s.bound(kind, fmt.Sprint(i), 0))
		}
		x = s.names.New(kind)
		for i := range all {
			for range 8 {
				send(p, x, make([]byte, 4000), socket.MsgDontwait, abstract(fmt.Sprint(i)))
			}
		}
		check("room of others", s.waits(sends(x, abstract("7")), func() { receive(p, all[0], 1, 0) }), "6 ok")
		return
	}
	listener := s.bound(kind, "listener", 0)
	accepts := func(p *sockettest.Program) string {
		_, err := listener.Accept(p, 0)
		return said(err)
	}
	connects := func(p *sockettest.Program) string {
		return said(s.names.New(kind).Connect(p, abstract("listener"), 0))
	}
	check("accepted", s.waits(accepts, func() { connects(p) }), "ok")
	connects(p)
	check("connected", s.waits(connects, func() { accepts(p) }), "ok")
	check("refused", s.waits(connects, listener.Close), "ECONNREFUSED")
}

// TestAtOnce: threads that make calls at the same time come to an end, and leave nothing.
func TestAtOnce(t *testing.T) {
	const threads, calls = 4, 20000
	first := newOurs()
	var wg sync.WaitGroup
	for i := range threads {
		wg.Go(func() {
			o := *first
			p := *first.Program
			o.Program, p.Memory = &p, make([]byte, len(p.Memory))
			r := &script{Rand: rand.New(rand.NewPCG(uint64(i), 2))}
			for range calls {
				r.call(&o)
			}
			for s := range slots {
				if r.kinds[s] != 0 {
					o.close(s)
				}
			}
		})
	}
	wg.Wait()
	if left := first.done(); left != "" {
		t.Error(left)
	}
}
