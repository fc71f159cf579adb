package console_test

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"gosv/kernel/virtio"
	"gosv/kernel/virtio/console"
	"gosv/kernel/virtio/virtiotest"
)

// user is the console.Handler: it goes on when it can.
type user struct {
	readable, writable chan struct{}
	mu                 sync.Mutex
	sizes              [][2]int
}

func (u *user) Readable() { signal(u.readable) }
func (u *user) Writable() { signal(u.writable) }
func (u *user) Resized(rows, columns int) {
	u.mu.Lock()
	u.sizes = append(u.sizes, [2]int{rows, columns})
	u.mu.Unlock()
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// host is the device's side, which shows what it gets.
type host struct {
	*virtiotest.Device
	mu  sync.Mutex
	out bytes.Buffer
}

func open(t *testing.T, features uint64, config []byte) (*host, *console.Device, *user) {
	h := &host{}
	h.Device = virtiotest.New(virtio.TypeConsole, features, append(config, make([]byte, 12)...), virtiotest.Queue{Size: 64},
		virtiotest.Queue{Size: 64, Handle: func(c *virtiotest.Chain) {
			h.mu.Lock()
			h.out.Write(c.Bytes())
			h.mu.Unlock()
			c.Done()
		}})
	c, err := console.New(h.Device.Device())
	if err != nil {
		t.Fatal(err)
	}
	u := &user{readable: make(chan struct{}, 1), writable: make(chan struct{}, 1)}
	if err := c.Start(u); err != nil {
		t.Fatal(err)
	}
	return h, c, u
}

// writeAll writes p, and waits where there is no room.
func writeAll(c *console.Device, u *user, p []byte) {
	for len(p) > 0 {
		n := c.Write(p)
		if p = p[n:]; n == 0 {
			<-u.writable
		}
	}
}

// checkSent waits until all that was written is sent, and compares it.
func checkSent(t *testing.T, h *host, c *console.Device, want []byte) {
	t.Helper()
	for !c.Sent() {
		time.Sleep(time.Millisecond)
	}
	if !bytes.Equal(h.out.Bytes(), want) {
		t.Errorf("%d bytes come out of %d, or others", h.out.Len(), len(want))
	}
}

func TestOutput(t *testing.T) {
	for _, features := range []uint64{0, virtio.FeatureEventIndex} {
		h, c, u := open(t, features, nil)
		var want []byte
		for i := range 3000 {
			p := bytes.Repeat([]byte{byte(i)}, i*7%10000)
			want = append(want, p...)
			writeAll(c, u, p)
		}
		checkSent(t, h, c, want)
	}
}

func TestInput(t *testing.T) {
	h, c, u := open(t, 0, nil)
	want := make([]byte, 500_000)
	for i := range want {
		want[i] = byte(i * i >> 4)
	}
	go func() {
		for rest := want; len(rest) > 0; {
			chain := h.Take(0)
			if chain == nil {
				time.Sleep(100 * time.Microsecond)
				continue
			}
			n := min(len(rest), 1+len(rest)%5000)
			rest = rest[chain.Write(rest[:n]):]
			chain.Done()
		}
	}()
	var got []byte
	p := make([]byte, 1000)
	for len(got) < len(want) {
		n := c.Read(p[:1+len(got)%1000])
		if got = append(got, p[:n]...); n == 0 {
			<-u.readable
		}
	}
	if !bytes.Equal(got, want) {
		t.Error("something else comes")
	}
	if c.Waiting() != 0 {
		t.Error("more comes")
	}
}

func TestSize(t *testing.T) {
	h, c, u := open(t, 1, []byte{80, 0, 24, 0})
	if rows, columns := c.Size(); rows != 24 || columns != 80 {
		t.Error(rows, columns)
	}
	h.SetConfig(0, []byte{100, 0, 50, 0})
	for range 10_000 {
		u.mu.Lock()
		n := len(u.sizes)
		u.mu.Unlock()
		if n == 2 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if u.mu.Lock(); len(u.sizes) != 2 || u.sizes[1] != [2]int{50, 100} {
		t.Error(u.sizes)
	}
	u.mu.Unlock()
}

// TestHostile: whoever waits is not left waiting by a device that lies.
func TestHostile(t *testing.T) {
	for _, lie := range virtiotest.Lies {
		h, c, u := open(t, 0, nil)
		h.Queues[1].Handle = nil
		for c.Write([]byte("x")) > 0 {
		}
		lie(h.Take(0))
		<-u.writable
		if c.Write([]byte("x")) != 1 || !c.Sent() || c.Read(make([]byte, 10)) != 0 {
			t.Error("it is still used")
		}
	}
}

// TestReset: a device that needs a reset, at any time, loses no output and brings none out of
// order, and input goes on.
func TestReset(t *testing.T) {
	for _, features := range []uint64{0, virtio.FeatureEventIndex | virtio.FeatureIndirect} {
		h, c, u := open(t, features, nil)
		show := h.Queues[1].Handle
		count := 0
		h.Queues[1].Handle = func(chain *virtiotest.Chain) {
			if count++; count%40 == 0 {
				h.NeedReset()
				return
			}
			show(chain)
		}
		var want []byte
		for i := range 2000 {
			p := bytes.Repeat([]byte{byte(i), byte(i >> 8)}, 1+i*7%3000)
			want = append(want, p...)
			writeAll(c, u, p)
		}
		checkSent(t, h, c, want)
		if h.Resets() < 10 {
			t.Errorf("%d resets", h.Resets())
		}
		const inputs = 16 // as many as there are buffers
		var got []byte
		for i := range inputs {
			chain := h.Take(0)
			for ; chain == nil; chain = h.Take(0) {
				time.Sleep(time.Millisecond)
			}
			chain.Write([]byte{byte(i)})
			chain.Done()
			if i%5 == 4 { // what has come is not lost
				resets := h.Resets()
				h.NeedReset()
				for h.Resets() == resets {
					time.Sleep(time.Millisecond)
				}
			}
		}
		for p := make([]byte, 10); len(got) < inputs; {
			n := c.Read(p)
			if got = append(got, p[:n]...); n == 0 {
				<-u.readable
			}
		}
		for i, b := range got {
			if int(b) != i {
				t.Errorf("byte %d of the input is %d", i, b)
			}
		}
	}
}
