package vsock_test

import (
	"bytes"
	"encoding/binary"
	"maps"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gosv/kernel/virtio"
	"gosv/kernel/virtio/virtiotest"
	driver "gosv/kernel/virtio/vsock"
	"gosv/kernel/vsock"
)

// socket is a vsock.Receiver that answers each packet with its data, as soon as there
// is a buffer.
type socket struct {
	mu     sync.Mutex
	got    [][]byte // answers that wait for one
	rooms  int
	resets int
	keep   bool
	kept   [][]byte
}

func (s *socket) Receive(t vsock.Transport, h *vsock.Header, data []byte) (kept bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keep && t.MayKeep() {
		s.kept = append(s.kept, data)
		return true
	}
	s.got = append(s.got, bytes.Clone(data))
	s.answer(t)
	return false
}

func (s *socket) answer(t vsock.Transport) {
	for len(s.got) > 0 {
		if len(s.got[0]) == 0 {
			t.Send(&vsock.Header{Op: vsock.OpCreditUpdate}, nil)
		} else {
			b := t.Buffer(len(s.got[0]))
			if b == nil {
				return
			}
			n := copy(b, s.got[0])
			t.Send(&vsock.Header{Op: vsock.OpData, Len: uint32(n)}, b)
			if s.got[0] = s.got[0][n:]; len(s.got[0]) > 0 {
				continue
			}
		}
		s.got = s.got[1:]
	}
	t.Flush()
}

func (s *socket) Room(t vsock.Transport) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rooms++
	s.answer(t)
}

func (s *socket) Reset(vsock.Transport) {
	s.mu.Lock()
	s.resets++
	s.mu.Unlock()
}

// host is the device's side: it notes what is sent.
type host struct {
	*virtiotest.Device
	mu   sync.Mutex
	data []byte
	n    int
}

func newHost(features uint64, size int) *host {
	h := &host{}
	cid := make([]byte, 8)
	binary.LittleEndian.PutUint64(cid, 5)
	h.Device = virtiotest.New(virtio.TypeVsock, features, cid,
		virtiotest.Queue{Size: size},
		virtiotest.Queue{Size: size, Handle: func(c *virtiotest.Chain) {
			h.mu.Lock()
			h.n++
			h.data = append(h.data, c.Bytes()[vsock.HeaderSize:]...)
			h.mu.Unlock()
			c.Done()
		}},
		virtiotest.Queue{Size: size})
	return h
}

// packet is what a device writes for one.
func packet(op uint16, length uint32, data []byte) []byte {
	p := make([]byte, vsock.HeaderSize, vsock.HeaderSize+len(data))
	binary.LittleEndian.PutUint32(p[24:], length)
	binary.LittleEndian.PutUint16(p[28:], vsock.TypeStream)
	binary.LittleEndian.PutUint16(p[30:], op)
	return append(p, data...)
}

// give has the driver receive a packet, when it has a buffer for it.
func (h *host) give(t testing.TB, p []byte) {
	for range 10000 {
		if c := h.Take(0); c != nil {
			if n := c.Write(p); n != len(p) {
				t.Fatalf("there is room for %d bytes of %d", n, len(p))
			}
			c.Done()
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("the driver gives no buffers")
}

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for range 10000 {
		if is() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal(what)
}

func open(t testing.TB, h *host, to vsock.Receiver) *driver.Device {
	t.Helper()
	v, err := driver.New(h.Device.Device())
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Open(to); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestEcho(t *testing.T) {
	for _, features := range []uint64{0, virtio.FeatureEventIndex, virtio.FeatureEventIndex | virtio.FeatureIndirect} {
		for _, size := range []int{8, 128, 256} {
			h, s := newHost(features, size), &socket{}
			v := open(t, h, s)
			if v.CID() != 5 {
				t.Fatal(v.CID())
			}
			r := rand.New(rand.NewPCG(uint64(size), features))
			var want []byte
			for i := range 300 {
				data := make([]byte, r.IntN(1<<r.IntN(17)))
				for k := range data {
					data[k] = byte(k + i)
				}
				want = append(want, data...)
				h.give(t, packet(vsock.OpData, uint32(len(data)), data))
			}
			eventually(t, "not all is answered", func() bool {
				h.mu.Lock()
				defer h.mu.Unlock()
				return len(h.data) >= len(want) && v.Sent()
			})
			if !bytes.Equal(h.data, want) {
				t.Errorf("features %#x, queues of %d: what comes back is not what was sent", features, size)
			}
			t.Logf("features %#x, queues of %d: %d packets sent, %d notifications, %d interrupts, %d times without buffer", features, size, h.n, h.Notifications(), h.Interrupts(), s.rooms)
		}
	}
}

// TestKeep: a receiver never gets all buffers.
func TestKeep(t *testing.T) {
	h, s := newHost(0, 64), &socket{keep: true}
	v := open(t, h, s)
	for range 100 {
		h.give(t, packet(vsock.OpData, 5000, make([]byte, 5000)))
	}
	if len(s.kept) == 0 {
		t.Error("none was kept")
	}
	for _, b := range s.kept {
		v.Free(b)
	}
	for range 100 {
		h.give(t, packet(vsock.OpData, 5000, make([]byte, 5000)))
	}
}

// TestStuck: a host that takes nothing gets no more answers than fit, and they are all
// there when it goes on.
func TestStuck(t *testing.T) {
	h, s := newHost(0, 8), &socket{}
	handle := h.Queues[1].Handle
	h.Queues[1].Handle = nil
	v := open(t, h, s)
	given := 0
	for range 1000 {
		c := h.Take(0)
		if c == nil {
			break
		}
		c.Write(packet(vsock.OpCreditRequest, 0, nil))
		c.Done()
		given++
	}
	if given > 100 {
		t.Errorf("%d packets are answered", given)
	}
	if v.Sent() {
		t.Error("all is sent")
	}
	h.Queues[1].Handle = handle
	h.Notify(1)
	eventually(t, "the answers do not come", func() bool {
		for c := h.Take(0); c != nil; c = h.Take(0) { // it receives again
			c.Write(packet(vsock.OpCreditRequest, 0, nil))
			c.Done()
			given++
		}
		h.Notify(1)
		h.mu.Lock()
		defer h.mu.Unlock()
		return given > 200 && h.n >= 200
	})
}

// TestHostile: lengths that are lies end the device's use, and with it connections.
func TestHostile(t *testing.T) {
	lies := map[string]func(c *virtiotest.Chain){
		"a length beyond what is written": func(c *virtiotest.Chain) {
			c.Write(packet(vsock.OpData, 100, make([]byte, 99)))
			c.Done()
		},
		"a length beyond all": func(c *virtiotest.Chain) {
			c.Write(packet(vsock.OpData, 0xffffffff, make([]byte, 99)))
			c.Done()
		},
	}
	maps.Copy(lies, virtiotest.Lies)
	for name, lie := range lies {
		h, s := newHost(0, 64), &socket{}
		v := open(t, h, s)
		lie(h.Take(0))
		eventually(t, name+": nobody is told", func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.resets > 0
		})
		v.Send(&vsock.Header{}, nil) // goes nowhere
		v.Flush()
		if !v.Sent() {
			t.Error(name + ": the end waits for it")
		}
	}
}

// TestNeedsReset: of a device that needs a reset all connections are lost. Then it carries
// packets as before, all its buffers are there, and it has another CID.
func TestNeedsReset(t *testing.T) {
	for _, features := range []uint64{0, virtio.FeatureEventIndex | virtio.FeatureIndirect} {
		h, s := newHost(features, 16), &socket{}
		note := h.Queues[1].Handle
		var lost atomic.Int32
		var lose atomic.Bool
		h.Queues[1].Handle = func(c *virtiotest.Chain) {
			if lost.Add(1); !lose.Load() { // some are with the device then, and some wait
				note(c)
			}
		}
		v := open(t, h, s)
		for i := range 20 {
			lose.Store(true)
			before := lost.Load()
			for range 3 {
				h.give(t, packet(vsock.OpData, 9000, make([]byte, 9000)))
			}
			eventually(t, "no answers", func() bool { return lost.Load() > before })
			lose.Store(false)
			h.Device.Config[0] = byte(6 + i)
			h.NeedReset()
			eventually(t, "connections are not reset", func() bool {
				s.mu.Lock()
				defer s.mu.Unlock()
				return s.resets == i+1
			})
			if v.CID() != uint32(6+i) {
				t.Errorf("CID %d", v.CID())
			}
			h.mu.Lock()
			h.data = nil
			h.mu.Unlock()
			want := bytes.Repeat([]byte{byte(i)}, 5000)
			for range 40 { // more than there are buffers
				h.give(t, packet(vsock.OpData, 5000, want))
			}
			eventually(t, "not all is answered", func() bool {
				h.mu.Lock()
				defer h.mu.Unlock()
				return bytes.Count(h.data, want) >= 40 && v.Sent()
			})
			eventually(t, "no buffer for events", func() bool { return h.Take(2) != nil })
		}
	}
}

// TestReset: the machine moved, and has another CID.
func TestReset(t *testing.T) {
	h, s := newHost(0, 64), &socket{}
	v := open(t, h, s)
	for i := range 20 {
		h.SetConfig(0, []byte{byte(6 + i)})
		eventually(t, "no buffer for an event", func() bool {
			c := h.Take(2)
			if c == nil {
				return false
			}
			c.Write([]byte{0, 0, 0, 0})
			c.Done()
			return true
		})
		if v.CID() != uint32(6+i) || s.resets != i+1 {
			t.Errorf("CID %d, %d resets", v.CID(), s.resets)
		}
	}
}
