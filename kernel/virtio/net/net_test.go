package net_test

import (
	"bytes"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"gosv/kernel/nic"
	"gosv/kernel/virtio"
	"gosv/kernel/virtio/net"
	"gosv/kernel/virtio/virtiotest"
)

const (
	checksum, guestChecksum, mtu, mac = 1 << 0, 1 << 1, 1 << 3, 1 << 5
	guestTCP4, tcp4, tcp6             = 1 << 7, 1 << 11, 1 << 12
	mergeable, status                 = 1 << 15, 1 << 16
	eventIndex                        = virtio.FeatureEventIndex
)

// network is the nic.Handler, and remembers.
type network struct {
	mu      sync.Mutex
	frames  []nic.Frame // their parts as one, copied
	changes int
}

func (n *network) Receive(frames []nic.Frame) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, f := range frames {
		f.Parts = [][]byte{bytes.Join(f.Parts, nil)}
		n.frames = append(n.frames, f)
	}
}

func (n *network) LinkChanged() {
	n.mu.Lock()
	n.changes++
	n.mu.Unlock()
}

func (n *network) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.frames)
}

// wire is the device's side: what is sent, with its header.
type wire struct {
	*virtiotest.Device
	mu   sync.Mutex
	sent [][]byte
}

func newWire(features uint64, legacy bool, config []byte) *wire {
	w := &wire{}
	w.Device = virtiotest.New(virtio.TypeNet, features, append(config, make([]byte, 12-len(config))...),
		virtiotest.Queue{Size: 256},
		virtiotest.Queue{Size: 256, Handle: func(c *virtiotest.Chain) {
			w.mu.Lock()
			w.sent = append(w.sent, c.Bytes())
			w.mu.Unlock()
			c.Done()
		}})
	w.Old = legacy
	return w
}

func (w *wire) open(t testing.TB) (*net.Device, *network) {
	t.Helper()
	d, err := net.New(w.Device.Device(), func(p []byte) { copy(p, "\xff\xfe\xfd\xfc\xfb\xfa") })
	if err != nil {
		t.Fatal(err)
	}
	n := &network{}
	if err := d.Start(n); err != nil {
		t.Fatal(err)
	}
	return d, n
}

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for range 5000 {
		if is() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal(what)
}

// give gives the driver a frame that one buffer has room for.
func (w *wire) give(t testing.TB, header, frame []byte) {
	t.Helper()
	var c *virtiotest.Chain
	eventually(t, "there are no buffers", func() bool { c = w.Take(0); return c != nil })
	if len(header) == 12 {
		header[10] = 1
	}
	c.Write(header)
	if n := c.Write(frame); n != len(frame) {
		t.Fatalf("there is room for %d bytes of %d", n, len(frame))
	}
	c.Done()
}

func random(r *rand.Rand, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return p
}

func TestFrames(t *testing.T) {
	for _, c := range []struct {
		name     string
		features uint64
		legacy   bool
		header   int
		largest  int
	}{
		{"modern", mac, false, 12, 1514},
		{"modern, no large ones without mergeable buffers", mac | guestChecksum | guestTCP4, false, 12, 1514},
		{"modern, mergeable", mac | mergeable | guestChecksum | guestTCP4, false, 12, 4084},
		{"legacy", mac, true, 10, 1514},
		{"legacy, mergeable", mac | mergeable, true, 12, 4084},
		{"jumbo", mac | mtu, false, 12, 9014},
	} {
		w := newWire(c.features, c.legacy, []byte{2, 1, 2, 3, 4, 5, 0, 0, 0, 0, 9000 & 255, 9000 >> 8})
		d, n := w.open(t)
		if d.MAC() != [6]byte{2, 1, 2, 3, 4, 5} {
			t.Error(d.MAC())
		}
		if w.Accepted()&guestTCP4 != 0 && c.features&mergeable == 0 {
			t.Error("large frames are accepted where there is no room for them")
		}
		r := rand.New(rand.NewPCG(1, 2))
		var want [][]byte
		for range 300 {
			f := random(r, 14+r.IntN(c.largest-13))
			want = append(want, f)
			w.give(t, make([]byte, c.header), f)
		}
		eventually(t, c.name+": not all frames come", func() bool { return n.count() == len(want) })
		for i, f := range n.frames {
			if !bytes.Equal(f.Parts[0], want[i]) {
				t.Fatalf("%s: frame %d of %d bytes has %d, or others", c.name, i, len(want[i]), len(f.Parts[0]))
			}
		}
		// And back, in parts.
		for _, f := range want {
			a, b := r.IntN(len(f)), 0
			b = a + r.IntN(len(f)-a)
			if d.Send([]nic.Frame{{Parts: [][]byte{f[:a], f[a:b], f[b:]}}}, false) != 1 {
				t.Fatal("not sent")
			}
		}
		eventually(t, c.name+": not all frames leave", func() bool { w.mu.Lock(); defer w.mu.Unlock(); return len(w.sent) == len(want) })
		for i, f := range w.sent {
			if !bytes.Equal(f[:c.header], make([]byte, c.header)) || !bytes.Equal(f[c.header:], want[i]) {
				t.Fatalf("%s: frame %d is not what was sent", c.name, i)
			}
		}
	}
}

// TestLarge: a segment that the device is to cut, and its checksum to fill in.
func TestLarge(t *testing.T) {
	w := newWire(mac|mergeable|checksum|guestChecksum|guestTCP4|tcp4|tcp6, false, []byte{2, 0, 0, 0, 0, 9})
	d, _ := w.open(t)
	if o := d.Offloads(); o != (nic.Offloads{Checksum: true, TCP4: true, TCP6: true}) {
		t.Error(o)
	}
	frame := random(rand.New(rand.NewPCG(3, 4)), 65000)
	f := nic.Frame{Parts: [][]byte{frame}, NeedsChecksum: true, ChecksumStart: 34, ChecksumOffset: 16, Segments: nic.TCP6, SegmentSize: 1440, HeaderLen: 74}
	if d.Send([]nic.Frame{f, {Parts: [][]byte{frame[:100]}}}, false) != 2 {
		t.Error("not sent")
	}
	eventually(t, "it does not leave", func() bool { w.mu.Lock(); defer w.mu.Unlock(); return len(w.sent) == 2 })
	if h := w.sent[0][:12]; !bytes.Equal(h, []byte{1, 4, 74, 0, 0xa0, 5, 34, 0, 16, 0, 0, 0}) || !bytes.Equal(w.sent[0][12:], frame) {
		t.Error(h)
	}
}

func TestMergeable(t *testing.T) {
	w := newWire(mac|mergeable|guestChecksum|guestTCP4, false, []byte{2, 0, 0, 0, 0, 9})
	_, n := w.open(t)
	frame := random(rand.New(rand.NewPCG(5, 6)), 65000)
	header := []byte{1, 1, 54, 0, 0xb4, 5, 34, 0, 16, 0, 16, 0}
	var chains []*virtiotest.Chain
	for rest := append(header, frame...); len(rest) > 0; {
		c := w.Take(0)
		rest = rest[c.Write(rest):]
		chains = append(chains, c)
	}
	w.DoneAll(chains)
	eventually(t, "it does not come", func() bool { return n.count() == 1 })
	f := n.frames[0]
	if !bytes.Equal(f.Parts[0], frame) || !f.NeedsChecksum || f.ChecksumStart != 34 || f.ChecksumOffset != 16 ||
		f.Segments != nic.TCP4 || f.SegmentSize != 1460 || f.HeaderLen != 54 {
		t.Error(len(f.Parts[0]), f.NeedsChecksum, f.ChecksumStart, f.ChecksumOffset, f.Segments, f.SegmentSize, f.HeaderLen)
	}
}

// TestGiven: a device that wants to hear of each buffer, and keeps room for the largest frame, hears of many
// at once, and always has that room.
func TestGiven(t *testing.T) {
	w := newWire(mac|mergeable|eventIndex, false, []byte{2, 0, 0, 0, 0, 9})
	_, n := w.open(t)
	var has []*virtiotest.Chain
	take := func() {
		for c := w.Take(0); c != nil; c = w.Take(0) {
			has = append(has, c)
		}
	}
	take()
	before := w.Notifications()
	const frames = 200
	for i := range frames {
		if take(); len(has) < 17 {
			t.Fatalf("after %d frames the device has %d buffers", i, len(has))
		}
		has[0].Write([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0})
		has[0].Write(make([]byte, 60))
		has[0].Done()
		has = has[1:]
		eventually(t, "a frame does not come", func() bool { return n.count() == i+1 })
	}
	if got := w.Notifications() - before; got > frames/8+1 {
		t.Errorf("%d notifications of %d frames", got, frames)
	}
}

// TestStuck: a device that takes nothing is waited for, but not for ever.
func TestStuck(t *testing.T) {
	w := newWire(mac, false, []byte{2, 0, 0, 0, 0, 9})
	handle := w.Queues[1].Handle
	w.Queues[1].Handle = nil
	d, _ := w.open(t)
	frame := []nic.Frame{{Parts: [][]byte{make([]byte, 1000)}}}
	sent := 0
	for d.Send(frame, false) == 1 {
		if sent++; sent > 1000 {
			t.Fatal("it takes everything")
		}
	}
	done := make(chan int)
	go func() { done <- d.Send(frame, false) }()
	time.Sleep(10 * time.Millisecond)
	w.Queues[1].Handle = handle
	w.Notify(1)
	if n := <-done; n != 1 {
		t.Error("not sent when there is room again")
	}
	eventually(t, "some get lost", func() bool { w.mu.Lock(); defer w.mu.Unlock(); return len(w.sent) == sent+1 })
}

// TestReset: a device that needs a reset gets it, and frames come and go as before.
func TestReset(t *testing.T) {
	for _, legacy := range []bool{false, true} {
		w := newWire(mac|mergeable, legacy, []byte{2, 0, 0, 0, 0, 9})
		d, n := w.open(t)
		frame := make([]byte, 60)
		for i := range 10 {
			w.mu.Lock()
			w.sent = nil
			w.mu.Unlock()
			was := w.Resets()
			w.NeedReset()
			eventually(t, "it is not reset", func() bool { return w.Resets() > was && w.Status()&virtio.StatusDriverOK != 0 })
			w.give(t, make([]byte, 12), frame)
			eventually(t, "nothing comes", func() bool { return n.count() == i+1 })
			if d.Send([]nic.Frame{{Parts: [][]byte{frame}}}, false) != 1 {
				t.Fatal("not sent")
			}
			eventually(t, "nothing leaves", func() bool { w.mu.Lock(); defer w.mu.Unlock(); return len(w.sent) == 1 })
		}
	}
}

// TestForgetful: a device that has forgotten what it was told of is told again.
func TestForgetful(t *testing.T) {
	w := newWire(mac, false, []byte{2, 0, 0, 0, 0, 9})
	handle := w.Queues[1].Handle
	w.Queues[1].Handle = nil
	d, _ := w.open(t)
	frame := []nic.Frame{{Parts: [][]byte{make([]byte, 1000)}}}
	for d.Send(frame, false) == 1 {
	}
	w.Queues[1].Handle = handle
	if n := d.Send(frame, false); n != 1 {
		t.Error("it was not told")
	}
}

func TestLink(t *testing.T) {
	w := newWire(mac|status, false, []byte{0, 0, 0, 0, 0, 0, 1, 0})
	d, n := w.open(t)
	if d.MAC() != [6]byte{0xfe, 0xfe, 0xfd, 0xfc, 0xfb, 0xfa} {
		t.Error(d.MAC())
	}
	if !d.LinkUp() {
		t.Error("down")
	}
	w.SetConfig(6, []byte{0, 0})
	eventually(t, "nobody is told", func() bool { n.mu.Lock(); defer n.mu.Unlock(); return n.changes == 1 })
	if d.LinkUp() {
		t.Error("up")
	}
}

// TestHostile: frames that make no sense do no harm.
func TestHostile(t *testing.T) {
	frame := make([]byte, 60)
	for name, lie := range virtiotest.Lies {
		w := newWire(mac|mergeable, false, []byte{2, 0, 0, 0, 0, 9})
		d, _ := w.open(t)
		lie(w.Take(0))
		eventually(t, name+": the device is still used", func() bool { return d.Send([]nic.Frame{{Parts: [][]byte{frame}}}, false) == 0 })
	}
	for name, c := range map[string]struct {
		header []byte
		n      int // of the frame
		failed bool
	}{
		"no buffers":                  {[]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 60, false},
		"buffers that do not come":    {[]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0}, 60, true},
		"65,535 buffers":              {[]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255}, 60, true},
		"less than a header":          {[]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 0, true},
		"less than an address":        {[]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0}, 13, false},
		"a checksum beyond":           {[]byte{1, 0, 0, 0, 0, 0, 50, 0, 9, 0, 1, 0}, 60, false},
		"a checksum far beyond":       {[]byte{1, 0, 0, 0, 0, 0, 255, 255, 255, 255, 1, 0}, 60, false},
		"segments without size":       {[]byte{0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0}, 60, false},
		"headers longer than a frame": {[]byte{0, 1, 61, 0, 1, 0, 0, 0, 0, 0, 1, 0}, 60, false},
	} {
		w := newWire(mac|mergeable|guestChecksum|guestTCP4, false, []byte{2, 0, 0, 0, 0, 9})
		d, n := w.open(t)
		chain := w.Take(0)
		chain.Write(c.header)
		chain.Write(frame[:c.n])
		chain.Done()
		if c.failed {
			eventually(t, name+": the device is still used", func() bool { return d.Send([]nic.Frame{{Parts: [][]byte{frame}}}, false) == 0 })
			continue
		}
		good := w.Take(0)
		good.Write([]byte{2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0})
		good.Write(frame)
		good.Done()
		eventually(t, name+": the next frame is lost", func() bool { return n.count() > 0 })
		if n.count() != 1 || !n.frames[0].ChecksumValid {
			t.Errorf("%s: %d frames", name, n.count())
		}
	}
}
