package unix_test

import (
	"math/rand/v2"
	"runtime/debug"
	"sync/atomic"
	"testing"

	"gosv/kernel/socket"
	"gosv/kernel/socket/sockettest"
	"gosv/kernel/unix"
	"gosv/kernel/wait"
)

// file is a socket as an open file, which the test has some descriptors of.
type file struct {
	socket *unix.Socket
	fds    int
	refs   atomic.Int32
}

func (f *file) Retain() { f.refs.Add(1) }
func (f *file) Release() {
	if n := f.refs.Add(-1); n == 0 {
		f.socket.Close()
	} else if n < 0 {
		panic("released twice")
	}
}

// Socket implements socket.File.
func (f *file) Socket() (socket.Socket, int) { return f.socket, int(f.refs.Load()) }

func (f *file) close() {
	f.fds--
	f.Release()
}

// rights is files that are sent through each other.
type rights struct {
	*sockets
	*sockettest.Program
}

func newRights(t *testing.T) *rights { return &rights{newSockets(t), sockettest.NewProgram()} }

func (r *rights) pair() (x, y *file) {
	a, b := r.sockets.pair(socket.Stream)
	x, y = &file{socket: a, fds: 1}, &file{socket: b, fds: 1}
	x.refs.Store(1)
	y.refs.Store(1)
	return x, y
}

// send sends files over f, and says whether that went well.
func (r *rights) send(f *file, files ...socket.File) bool {
	m := sockettest.Envelope([]byte("x"), socket.MsgDontwait|socket.MsgNosignal)
	for _, f := range files {
		f.Retain()
		m.Files = append(m.Files, f)
	}
	_, err := f.socket.Send(r, m)
	m.ReleaseFiles()
	return err == 0
}

// receive makes descriptors of what comes from f.
func (r *rights) receive(f *file, flags uintptr) {
	m := sockettest.Envelope(make([]byte, 1), socket.MsgDontwait|flags)
	f.socket.Receive(r, m)
	for _, got := range m.Files {
		if x, ok := got.(*file); ok {
			x.fds++
		} else {
			got.Release()
		}
	}
}

// look closes a socket, after which no garbage is left.
func (r *rights) look() {
	x, y := r.pair()
	x.close()
	y.close()
}

// TestCircles: sockets that are held by messages to themselves only are closed, with all
// that came with those.
func TestCircles(t *testing.T) {
	r := newRights(t)
	var pipe token
	x, y := r.pair()
	r.send(y, x, &pipe)
	x.close()
	if y.close(); x.refs.Load() != 0 || pipe.count.Load() != 0 {
		t.Errorf("one that was sent to itself has %d references", x.refs.Load())
	}
	a, b := r.pair()
	c, d := r.pair()
	r.send(b, c)
	r.send(d, a, &pipe)
	a.close()
	if r.look(); a.refs.Load() == 0 {
		t.Error("one that can be received is closed")
	}
	c.close()
	r.look()
	if ready, _ := b.socket.Poll(); ready&wait.Hup == 0 {
		t.Error("the peer of one in a circle sees no end")
	}
	b.close()
	d.close()
	if a.refs.Load() != 0 || c.refs.Load() != 0 || pipe.count.Load() != 0 {
		t.Errorf("two in a circle have %d and %d references", a.refs.Load(), c.refs.Load())
	}
	// One in a connection that was not accepted.
	l := &file{socket: r.bound(socket.Stream, "listener", 1), fds: 1}
	l.refs.Store(1)
	z := &file{socket: r.names.New(socket.Stream), fds: 1}
	z.refs.Store(1)
	if err := z.socket.Connect(r, abstract("listener"), socket.MsgDontwait); err != 0 {
		t.Fatal(err)
	}
	r.send(z, l, &pipe)
	l.close()
	if z.close(); l.refs.Load() != 0 || pipe.count.Load() != 0 {
		t.Errorf("one that listens has %d references", l.refs.Load())
	}
	if n := r.names.InFlight(); n != 0 {
		t.Errorf("%d files are on their way", n)
	}
}

// TestDeep: one that holds another that holds another does not need a stack for all.
func TestDeep(t *testing.T) {
	defer debug.SetMaxStack(debug.SetMaxStack(1 << 20))
	r := newRights(t)
	const depth = 20000
	x, y := r.pair()
	for range depth {
		a, b := r.pair()
		r.send(b, x)
		x.close()
		b.close()
		x = a
	}
	if n := r.names.InFlight(); n != depth {
		t.Fatalf("%d files are on their way", n)
	}
	x.close()
	if n := r.names.InFlight(); n != 0 || y.socket.Listening() {
		t.Errorf("%d files are left", n)
	}
	y.close()
}

// TestRights: whatever is sent through whatever, in the end nothing is left, and nothing
// is closed before.
func TestRights(t *testing.T) {
	for seed := range uint64(200) {
		r, random := newRights(t), rand.New(rand.NewPCG(seed, 3))
		var all []*file
		var pipe token
		for range 4 {
			x, y := r.pair()
			all = append(all, x, y)
		}
		open := func() *file {
			for {
				if f := all[random.IntN(len(all))]; f.fds > 0 {
					return f
				}
			}
		}
		left := len(all)
		for range 300 {
			if left == 0 {
				break
			}
			switch f := open(); random.IntN(8) {
			case 0, 1, 2:
				r.send(f, open(), &pipe)
			case 3, 4:
				r.receive(f, 0)
			case 5:
				r.receive(f, socket.MsgPeek)
			case 6:
				r.look()
			default:
				f.close()
			}
			left = 0
			for i, f := range all {
				if left += f.fds; f.fds > 0 && f.refs.Load() <= 0 {
					t.Fatalf("seed %d: file %d is closed, of which there are %d descriptors", seed, i, f.fds)
				}
			}
		}
		for _, f := range all {
			for f.fds > 0 {
				f.close()
			}
		}
		r.look()
		for i, f := range all {
			if n := f.refs.Load(); n != 0 {
				t.Fatalf("seed %d: file %d is left with %d references", seed, i, n)
			}
		}
		if pipe.count.Load() != 0 || r.names.InFlight() != 0 {
			t.Fatalf("seed %d: what came along is left %d times, %d are on their way", seed, pipe.count.Load(), r.names.InFlight())
		}
	}
}
