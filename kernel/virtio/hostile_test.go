package virtio_test

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"gosv/kernel/virtio"
	"gosv/kernel/virtio/virtiotest"
)

// hostile is a device that does with the memory it was given what it likes.
type hostile struct {
	*virtiotest.Device
	rings      virtio.Rings
	restless   bool // the configuration changes with each look
	generation uint32
	stuck      uint8 // bits of the status that never go away
}

func (h *hostile) EnableQueue(i int, r virtio.Rings) error {
	h.rings = r
	return h.Device.EnableQueue(i, r)
}

func (h *hostile) Generation() uint32 {
	if h.restless {
		h.generation++
	}
	return h.generation
}

func (h *hostile) SetStatus(s uint8) {
	if s == 0 || h.stuck == 0 {
		h.Device.SetStatus(s)
	}
}

func (h *hostile) Status() uint8 { return h.Device.Status() | h.stuck }

func (h *hostile) put16(addr uint64, v uint16) {
	binary.LittleEndian.PutUint16(h.Memory.At(addr, 2), v)
}

// use says that the n-th chain that was ever used is id.
func (h *hostile) use(n uint16, id, written uint32) {
	at := h.rings.Used + 4 + 8*(uint64(n)&uint64(h.rings.Size-1))
	binary.LittleEndian.PutUint32(h.Memory.At(at, 4), id)
	binary.LittleEndian.PutUint32(h.Memory.At(at+4, 4), written)
}

func (h *hostile) setUsed(idx uint16) { h.put16(h.rings.Used+2, idx) }

func newHostile(t testing.TB, features uint64) (*hostile, *virtio.Device, *virtio.Queue) {
	t.Helper()
	h := &hostile{Device: virtiotest.New(virtio.TypeBlock, features, make([]byte, 64), virtiotest.Queue{Size: 8})}
	d := virtio.New(h, h.Memory)
	if _, err := d.Negotiate(0); err != nil {
		t.Fatal(err)
	}
	q, err := d.NewQueue(0, 8, func() {})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	return h, d, q
}

// Every lie has its error, and a device that lied is left alone.
func TestLies(t *testing.T) {
	out, in := []virtio.Buffer{{Addr: 1, Len: 16}}, []virtio.Buffer{{Addr: 2, Len: 100}, {Addr: 3, Len: 28}}
	for _, c := range []struct {
		name, want string
		lie        func(h *hostile)
	}{
		{"index jumps", "its used index jumps", func(h *hostile) { h.setUsed(3) }},
		{"index goes back", "its used index jumps", func(h *hostile) { h.setUsed(0xffff) }},
		{"head never offered", "it returns buffers that it was not given", func(h *hostile) { h.use(0, 5, 0); h.setUsed(1) }},
		{"inside of a chain", "it returns buffers that it was not given", func(h *hostile) { h.use(0, 1, 0); h.setUsed(1) }},
		{"head beyond the queue", "it returns buffers that it was not given", func(h *hostile) { h.use(0, 8, 0); h.setUsed(1) }},
		{"head of 32 bits", "it returns buffers that it was not given", func(h *hostile) { h.use(0, 1<<16, 0); h.setUsed(1) }},
		{"twice", "it returns buffers that it was not given", func(h *hostile) { h.use(0, 0, 0); h.use(1, 0, 0); h.setUsed(2) }},
		{"too much written", "it claims to have written more than there was room for", func(h *hostile) { h.use(0, 0, 129); h.setUsed(1) }},
		{"needs reset", "it needs a reset", func(h *hostile) { h.NeedReset() }},
		{"configuration never steady", "its configuration never stays the same", func(h *hostile) { h.restless = true }},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, d, q := newHostile(t, 0)
			failed := make(chan error, 1)
			d.OnFail(func(err error) { failed <- err })
			for range 2 {
				if err := q.Add(out, in, "token"); err != nil {
					t.Fatal(err)
				}
			}
			q.Kick()
			c.lie(h)
			if h.restless {
				d.Config64(0)
			}
			for i := 0; ; i++ {
				if _, _, ok := q.Next(); !ok {
					break
				} else if i == 2 {
					t.Fatal("more comes back than was added")
				}
			}
			if err := <-failed; err.Error() != c.want {
				t.Errorf("failed with %q, want %q", err, c.want)
			}
			if err := q.Add(out, in, nil); err == nil || err.Error() != c.want {
				t.Errorf("Add after that: %v, want %q", err, c.want)
			}
			if s := h.Status(); s != 0 {
				t.Errorf("status %#x, want the device reset", s)
			}
			h.setUsed(0x1234)
			if _, _, ok := q.Next(); ok {
				t.Error("Next after that takes more")
			}
			n := h.Notifications()
			if q.Kick(); h.Notifications() != n {
				t.Error("Kick after that notifies the device")
			}
		})
	}
}

// What old devices say of how much they wrote is not to be relied on.
func TestLegacyLength(t *testing.T) {
	h := &hostile{Device: virtiotest.New(virtio.TypeBlock, 0, nil, virtiotest.Queue{Size: 8})}
	h.Old = true
	d := virtio.New(h, h.Memory)
	if _, err := d.Negotiate(0); err != nil {
		t.Fatal(err)
	}
	q, err := d.NewQueue(0, 8, func() {})
	if err != nil {
		t.Fatal(err)
	}
	q.Add(nil, []virtio.Buffer{{Addr: 1, Len: 10}}, "token")
	q.Kick()
	h.use(0, 0, 4096)
	h.setUsed(1)
	if token, n, ok := q.Next(); token != "token" || n != 10 || !ok {
		t.Errorf("Next: %v, %d, %v; want as much as there was room for", token, n, ok)
	}
}

// torn changes its configuration, which is a number whose halves are equal, after so many reads.
type torn struct {
	*virtiotest.Device
	reads int
}

func (d *torn) ReadConfig(off, width int) uint32 {
	if d.reads--; d.reads >= -20 && d.reads%2 == 0 {
		for i := range d.Config {
			d.Config[i]++
		}
		if !d.Old {
			d.SetConfig(0, nil) // another generation
		}
	}
	return d.Device.ReadConfig(off, width)
}

// A configuration that changes while it is read is read again.
func TestConfigChanges(t *testing.T) {
	for _, old := range []bool{false, true} {
		for reads := range 12 {
			h := &torn{virtiotest.New(virtio.TypeBlock, 0, make([]byte, 8)), reads}
			h.Old = old
			d := virtio.New(h, h.Memory)
			if _, err := d.Negotiate(0); err != nil {
				t.Fatal(err)
			}
			if v := d.Config64(0); uint32(v) != uint32(v>>32) {
				t.Errorf("legacy: %v, a change at read %d: %#x", old, reads, v)
			}
			h.reads = reads
			var p [8]byte
			if d.ConfigBytes(0, p[:]); bytes.Count(p[:], p[:1]) != 8 {
				t.Errorf("legacy: %v, a change at read %d: %x", old, reads, p)
			}
			if err := d.Err(); err != nil {
				t.Error(err)
			}
		}
	}
}

// The size of a legacy device's queue is the device's to say, but not anything.
func TestLegacyQueueSize(t *testing.T) {
	for size, ok := range map[int]bool{8: true, 1: true, 12: false, 1 << 15: false, 0: false} {
		m := virtiotest.New(virtio.TypeBlock, 0, nil, virtiotest.Queue{Size: size})
		m.Old = true
		d := m.Device()
		if _, err := d.Negotiate(0); err != nil {
			t.Fatal(err)
		}
		q, err := d.NewQueue(0, 64, nil)
		if (err == nil) != ok || ok && q.Size() != size {
			t.Errorf("%d entries: %v", size, err)
		}
	}
}

func TestNoReset(t *testing.T) {
	h := &hostile{Device: virtiotest.New(virtio.TypeBlock, 0, nil), stuck: virtio.StatusDriver}
	if _, err := virtio.New(h, h.Memory).Negotiate(0); err == nil {
		t.Error("a device that does not reset is taken")
	}
}

// FuzzHostile plays driver and device, in an order and with lies that are
// chosen by the input, and checks that the driver gets back what it gave,
// once, or an error.
func FuzzHostile(f *testing.F) {
	f.Add([]byte{0, 3, 0, 1, 1, 2, 0, 0, 3})
	f.Add([]byte{0, 0xff, 0, 0x11, 1, 4, 2, 9, 200, 5, 1, 3, 3})
	f.Add([]byte{0x80, 7, 0, 7, 0, 7, 1, 6, 0, 2, 0, 5, 3, 2, 5, 5, 3})
	f.Fuzz(func(t *testing.T, ops []byte) {
		if len(ops) == 0 {
			return
		}
		h, d, q := newHostile(t, uint64(ops[0]&3)<<28)
		next := func() (b byte) {
			if len(ops) > 0 {
				b, ops = ops[0], ops[1:]
			}
			return b
		}
		next()
		writable := map[int]uint64{} // of chains in flight
		added := 0
		usedIdx := uint16(0)
		deadline := time.Now().Add(10 * time.Second)
		for len(ops) > 0 {
			switch op := next(); op % 8 {
			case 0:
				n, m := int(next()%6), int(next()%6)
				out, in := make([]virtio.Buffer, n), make([]virtio.Buffer, m)
				sum := uint64(0)
				for i := range in {
					in[i].Len = uint32(next()) << (next() % 32)
					sum += uint64(in[i].Len)
				}
				if err := q.Add(out, in, added); err == nil {
					writable[added] = sum
					added++
				} else if d.Err() == nil && err != virtio.ErrFull && err != virtio.ErrTooLong {
					t.Fatal(err)
				}
			case 1:
				q.Kick()
			case 2: // an honest answer, perhaps
				h.use(usedIdx, uint32(next()%8), uint32(next()))
				usedIdx++
				h.setUsed(usedIdx)
			case 3:
				token, written, ok := q.Next()
				if ok {
					room, inFlight := writable[token.(int)]
					if !inFlight || uint64(written) > room {
						t.Fatalf("chain %v comes back with %d bytes: in flight: %v, room %d", token, written, inFlight, room)
					}
					delete(writable, token.(int))
				}
			case 4:
				h.use(uint16(next()), uint32(next())<<(next()%32), uint32(next())<<(next()%32))
			case 5:
				h.setUsed(uint16(next()) | uint16(next())<<8)
			case 6: // descriptors, rings: all of the memory
				size := uint64(len(h.Memory.At(h.rings.Desc, uint32(h.rings.Used-h.rings.Desc)))) + 8 + 8*uint64(h.rings.Size)
				h.Memory.At(h.rings.Desc+(uint64(next())|uint64(next())<<8)%size, 1)[0] = next()
			case 7:
				q.Interrupts(op&8 != 0)
			}
			if q.InFlight() != len(writable) {
				t.Fatalf("%d chains in flight, want %d", q.InFlight(), len(writable))
			}
			if time.Now().After(deadline) {
				t.Fatal("hangs")
			}
		}
	})
}
