package virtio_test

import (
	"bytes"
	"runtime"
	"sync"
	"testing"

	"gosv/kernel/virtio"
	"gosv/kernel/virtio/virtiotest"
)

// client is a driver that sends requests and waits for the answers.
type client struct {
	t    testing.TB
	dev  *virtio.Device
	mu   sync.Mutex
	q    *virtio.Queue
	free chan *request
	mem  virtio.Piece
}

type request struct {
	off  int
	done chan uint32
}

const requestSize = 512

func start(t testing.TB, d *virtio.Device, size int) *client {
	t.Helper()
	c := &client{t: t, dev: d, free: make(chan *request, 64)}
	if _, err := d.Negotiate(0); err != nil {
		t.Fatal(err)
	}
	var err error
	if c.q, err = d.NewQueue(0, size, c.used); err != nil {
		t.Fatal(err)
	}
	if c.mem, err = d.Memory().Alloc(cap(c.free) * requestSize); err != nil {
		t.Fatal(err)
	}
	for i := range cap(c.free) {
		c.free <- &request{i * requestSize, make(chan uint32, 1)}
	}
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *client) used() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		token, n, ok := c.q.Next()
		if !ok {
			return
		}
		token.(*request).done <- n
	}
}

// call sends msg in pieces of the given sizes and returns the answer.
func (c *client) call(msg []byte, pieces int) ([]byte, error) {
	r := <-c.free
	defer func() { c.free <- r }()
	half := requestSize / 2
	copy(c.mem.Bytes[r.off:], msg)
	var out, in []virtio.Buffer
	for i := range pieces {
		from, to := i*len(msg)/pieces, (i+1)*len(msg)/pieces
		if from < to {
			out = append(out, c.mem.Buffer(r.off+from, to-from))
			in = append(in, c.mem.Buffer(r.off+half+from, to-from))
		}
	}
	for {
		c.mu.Lock()
		err := c.q.Add(out, in, r)
		if err == nil {
			c.q.Kick()
		}
		c.mu.Unlock()
		if err == nil {
			break
		}
		if err != virtio.ErrFull {
			return nil, err
		}
		runtime.Gosched()
	}
	n := <-r.done
	return bytes.Clone(c.mem.Bytes[r.off+half:][:n]), nil
}

// echo answers with what it gets, each byte plus one.
func echo(c *virtiotest.Chain) {
	b := c.Bytes()
	for i := range b {
		b[i]++
	}
	c.Write(b)
	c.Done()
}

func TestQueue(t *testing.T) {
	for _, f := range []uint64{0, virtio.FeatureIndirect, virtio.FeatureEventIndex, virtio.FeatureIndirect | virtio.FeatureEventIndex} {
		for _, old := range []bool{false, true} {
			m := virtiotest.New(virtio.TypeEntropy, f, nil, virtiotest.Queue{Size: 16, Handle: echo})
			m.Old = old
			c := start(t, m.Device(), 16)
			var wg sync.WaitGroup
			for g := range 8 {
				wg.Go(func() {
					for i := range 200 {
						msg := bytes.Repeat([]byte{byte(g), byte(i)}, 1+i%100)
						got, err := c.call(msg, 1+(i+g)%8)
						if err != nil {
							t.Error(err)
							return
						}
						for i := range msg {
							msg[i]++
						}
						if !bytes.Equal(got, msg) {
							t.Errorf("features %#x: got %v, want %v", f, got, msg)
							return
						}
					}
				})
			}
			wg.Wait()
			t.Logf("features %#x: %d notifications, %d interrupts for 1600 requests", f, m.Notifications(), m.Interrupts())
		}
	}
}
