package requests

import (
	"encoding/binary"
	"sync"
	"testing"

	"gosv/kernel/block"
	"gosv/kernel/errno"
	"gosv/kernel/virtio"
	"gosv/kernel/virtio/virtiotest"
)

// driver has the device get a request's sector, and answer with what becomes of it.
type driver struct{ maxTries int }

func (d *driver) Encode(s *Slot, r *block.Request, out, in []virtio.Buffer) (_, _ []virtio.Buffer) {
	*(*uint64)(s.Memory) = r.Sector
	return append(out, virtio.Buffer{Addr: s.Addr, Len: 8}), append(in, virtio.Buffer{Addr: s.Addr + 8, Len: 1})
}

func (d *driver) Decode(s *Slot, r *block.Request) (err errno.Errno, again bool) {
	err = errno.Errno((*[9]byte)(s.Memory)[8])
	return err, err == errno.EAGAIN && s.Tries < d.maxTries
}

// newQueue returns a queue to a device that does handle with requests.
func newQueue(t *testing.T, size int, handle func(c *virtiotest.Chain)) (*Queue, *virtiotest.Device) {
	t.Helper()
	m := virtiotest.New(virtio.TypeBlock, virtio.FeatureEventIndex, nil, virtiotest.Queue{Size: size, Handle: handle})
	dev := m.Device()
	if _, err := dev.Negotiate(0); err != nil {
		t.Fatal(err)
	}
	q, err := New(dev, 0, size, 16, &driver{maxTries: 2})
	if err != nil {
		t.Fatal(err)
	}
	if err := dev.Start(); err != nil {
		t.Fatal(err)
	}
	return q, m
}

// nobody waits for a request.
type nobody struct{}

func (nobody) Completed(errno.Errno) {}

// TestDelay: while others could run, one notification does for several requests.
func TestDelay(t *testing.T) {
	q, m := newQueue(t, 64, nil)
	var turns []func()
	var now uint64
	crowded := true
	q.delay = delay{crowded: func() bool { return crowded }, now: func() uint64 { return now },
		later: func(f func()) { turns = append(turns, f) }}
	var chains []*virtiotest.Chain
	look := func() { // afterwards the device wants to be notified
		for c := m.Take(0); c != nil; c = m.Take(0) {
			chains = append(chains, c)
		}
	}
	check := func(what string, want int) {
		t.Helper()
		if n := m.Notifications(); n != want {
			t.Errorf("%s: %d notifications, want %d", what, n, want)
		}
	}
	submit := func(n int) {
		for range n {
			q.Submit(&block.Request{Done: nobody{}})
		}
	}
	turn := func(after uint64) {
		t.Helper()
		now += after
		if len(turns) != 1 {
			t.Fatalf("%d wait for their turn", len(turns))
		}
		f := turns[0]
		turns = nil
		f()
	}
	crowded = false
	submit(1)
	check("alone", 1)
	look()
	crowded = true
	submit(1)
	check("before it is known that turns are short", 2)
	look()
	turn(1)
	submit(mostHeld - 1)
	check("held", 2)
	submit(1)
	check("many", 3)
	look()
	submit(2)
	check("held again", 3)
	turn(1)
	check("a turn", 4)
	look()
	submit(1)
	now += patience + 1
	submit(1)
	check("for long", 5)
	look()
	turn(1)
	submit(1)
	m.DoneAll(chains)
	chains = nil
	check("an interrupt", 6)
	look()
	submit(1)
	look()
	turn(1)
	check("the device saw it", 6)
	submit(1)
	turn(patience)
	check("a long turn", 7)
	look()
	submit(1)
	check("after a long turn", 8)
	look()
	turn(1)
	submit(1)
	check("after a short turn", 8)
	turn(1)
	check("the last turn", 9)
	look()
	if len(q.spare) != q.Size()-len(chains) {
		t.Errorf("%d spare slots of %d, %d requests in flight", len(q.spare), q.Size(), len(chains))
	}
}

// TestAll: each request ends, whatever becomes of it, also those that there is no room for.
func TestAll(t *testing.T) {
	for _, crowded := range []bool{false, true} {
		q, m := newQueue(t, 8, func(c *virtiotest.Chain) {
			c.Write([]byte{byte(binary.LittleEndian.Uint64(c.Bytes()))})
			c.Done()
		})
		q.delay.crowded = func() bool { return crowded }
		q.delay.now = func() uint64 { return 0 }
		var wg sync.WaitGroup
		for range 32 {
			wg.Go(func() {
				s := block.NewSleeper()
				for i := range uint64(100) {
					var list [3]*block.Awaited
					for k := range list {
						list[k] = &block.Awaited{Request: block.Request{Sector: i % 4 * 11}} // one of them is EAGAIN
					}
					block.Await(s, q.Submit, list[:]...)
					for _, a := range list {
						if a.Err != errno.Errno(a.Sector) {
							t.Errorf("%d: %v", a.Sector, a.Err)
						}
					}
				}
			})
		}
		wg.Wait()
		t.Logf("crowded %v: %d notifications for 9600 requests", crowded, m.Notifications())
	}
}
