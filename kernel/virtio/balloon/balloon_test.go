package balloon

import (
	"encoding/binary"
	"runtime"
	"sync"
	"testing"
	"time"

	"gosv/kernel/virtio"
	"gosv/kernel/virtio/virtiotest"
)

// fakeMemory is a machine's memory: all of it came back once.
type fakeMemory struct {
	mu       sync.Mutex
	free     map[uintptr]bool // frames, and large pages
	huge     map[uintptr]bool
	total    int
	returned uint64
	cached   []uintptr // what Reclaim frees, a few at a time
}

// base is where virtiotest's memory begins.
const base = 0x7_0000_0000

// newMemory returns a memory of n large pages, from the second MiB of base on.
func newMemory(n int) *fakeMemory {
	m := &fakeMemory{free: map[uintptr]bool{}, huge: map[uintptr]bool{}, total: n * hugeSize}
	for i := range n {
		m.huge[base+uintptr(i+1)*huge] = true
	}
	return m
}

func take(m map[uintptr]bool) uintptr {
	for f := range m {
		delete(m, f)
		return f
	}
	return 0
}

func (m *fakeMemory) Alloc(dst []uintptr) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range dst {
		if len(m.free) == 0 {
			pa := take(m.huge)
			if pa == 0 {
				return i
			}
			for j := range hugeSize {
				m.free[pa+uintptr(j)*pageSize] = true
			}
		}
		dst[i] = take(m.free)
	}
	return len(dst)
}

func (m *fakeMemory) Free(src []uintptr) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range src {
		if m.free[f] || f%pageSize != 0 {
			panic("a frame is freed twice")
		}
		m.free[f] = true
	}
	m.returned += uint64(len(src))
}

func (m *fakeMemory) AllocReturned(dst []uintptr) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := 0
	for ; i < len(dst) && len(m.free) > 0; i++ {
		dst[i] = take(m.free)
	}
	return i
}

func (m *fakeMemory) AllocHuge() uintptr {
	m.mu.Lock()
	defer m.mu.Unlock()
	return take(m.huge)
}

func (m *fakeMemory) AllocReturnedHuge() uintptr { return m.AllocHuge() }

func (m *fakeMemory) FreeHuge(pa uintptr) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.huge[pa] || pa%huge != 0 {
		panic("a large page is freed twice")
	}
	m.huge[pa] = true
	m.returned += hugeSize
}

func (m *fakeMemory) Returned() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.returned
}

func (m *fakeMemory) Reclaim() bool {
	m.mu.Lock()
	n := min(len(m.cached), 100)
	some := m.cached[:n]
	m.cached = m.cached[n:]
	m.mu.Unlock()
	m.Free(some)
	return n > 0
}

func (m *fakeMemory) Hide(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.total -= n
}

func (m *fakeMemory) Size() (free, total uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return uint64(len(m.free)+len(m.huge)*hugeSize) * pageSize, uint64(m.total) * pageSize
}

// host is the device's side: what it has of the machine's memory.
type host struct {
	*virtiotest.Device
	mu       sync.Mutex
	has      map[uint32]bool
	reported int // large pages
	actual   chan uint32
}

func newHost(t *testing.T, features uint64) *host {
	h := &host{has: map[uint32]bool{}, actual: make(chan uint32, 100)}
	pages := func(in bool) func(c *virtiotest.Chain) {
		return func(c *virtiotest.Chain) {
			h.mu.Lock()
			b := c.Bytes()
			if len(b) > 4*batch {
				t.Errorf("%d pages at once", len(b)/4)
			}
			for ; len(b) > 0; b = b[4:] {
				n := binary.LittleEndian.Uint32(b)
				if h.has[n] == in {
					t.Errorf("page %#x goes the same way twice", n)
				}
				h.has[n] = in
			}
			h.mu.Unlock()
			c.Done()
		}
	}
	queues := []virtiotest.Queue{{Size: 128, Handle: pages(true)}, {Size: 128, Handle: pages(false)}}
	if features&featureStats != 0 {
		queues = append(queues, virtiotest.Queue{Size: 4})
	}
	if features&featureHints != 0 {
		queues = append(queues, virtiotest.Queue{Size: 4})
	}
	if features&featureReporting != 0 {
		queues = append(queues, virtiotest.Queue{Size: 64, Handle: func(c *virtiotest.Chain) {
			h.mu.Lock()
			for _, b := range c.In {
				if len(b) != huge {
					t.Errorf("%d bytes are reported", len(b))
				}
				h.reported++
			}
			h.mu.Unlock()
			c.Done()
		}})
	}
	h.Device = virtiotest.New(virtio.TypeBalloon, features, make([]byte, 16), queues...)
	h.Memory = virtiotest.NewMemory(64 << 20)
	h.Wrote = func(off, _ int, v uint32) {
		if off == configActual {
			h.actual <- v
		}
	}
	return h
}

// want tells the driver how many pages the host wants, and waits until it says
// that it has them.
func (h *host) want(n uint32) {
	h.SetConfig(configTarget, binary.LittleEndian.AppendUint32(nil, n))
	for <-h.actual != n {
	}
}

func (h *host) pages() (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, in := range h.has {
		if in {
			n++
		}
	}
	return n
}

func TestBalloon(t *testing.T) {
	for _, f := range []uint64{0, featureDeflateOnOOM, featureStats | featureHints | featureReporting | featureDeflateOnOOM} {
		h, m := newHost(t, f), newMemory(16)
		b, err := New(h.Device.Device(), m)
		if err != nil {
			t.Fatal(err)
		}
		total := 16 * hugeSize
		for _, n := range []int{1, 700, 2000, 100, 0, 5000, 3} {
			h.want(uint32(n))
			b.mu.Lock() // nothing is just being reported
			free, all := m.Size()
			b.mu.Unlock()
			if got := h.pages(); got != n || int(free/pageSize) != total-n {
				t.Errorf("features %#x: the host wants %d pages and has %d, of %d are %d free", f, n, got, total, free/pageSize)
			}
			if hidden := f&featureDeflateOnOOM == 0; hidden && int(all/pageSize) != total-n || !hidden && int(all/pageSize) != total {
				t.Errorf("features %#x: %d pages in the balloon, the machine has %d", f, n, all/pageSize)
			}
		}
	}
}

// The host gets no more than the program can spare, and that at least.
func TestGreedyHost(t *testing.T) {
	h, m := newHost(t, featureDeflateOnOOM), newMemory(4)
	m.cached = make([]uintptr, 1000)
	m.Alloc(m.cached)
	b, err := New(h.Device.Device(), m)
	if err != nil {
		t.Fatal(err)
	}
	h.SetConfig(configTarget, []byte{0xff, 0xff, 0xff, 0xff})
	n := <-h.actual
	free, total := m.Size()
	if least := spare(total); free < least || free > least+batch*pageSize || uint64(n) != (total-free)/pageSize {
		t.Errorf("the host has %d pages, %d of %d bytes are free, want %d", n, free, total, least)
	}
	// Somebody takes the rest, and wants more.
	frames := make([]uintptr, free/pageSize)
	m.Alloc(frames)
	if !b.Relieve() {
		t.Fatal("nothing is taken back")
	}
	if free, _ := m.Size(); free != batch*pageSize || h.pages() != int(n)-batch {
		t.Errorf("%d bytes are free, the host has %d pages", free, h.pages())
	}
	if told := <-h.actual; told != n-batch {
		t.Errorf("the host is told that it has %d pages, not %d", told, n-batch)
	}
	if !b.Relieve() { // there is memory
		t.Error("there is memory, but Relieve does not say so")
	}
	if free, _ := m.Size(); free != batch*pageSize {
		t.Error("more was taken back than was needed")
	}
}

func TestReport(t *testing.T) {
	h, m := newHost(t, featureReporting), newMemory(8)
	b, err := New(h.Device.Device(), m)
	if err != nil {
		t.Fatal(err)
	}
	// Three large pages become small ones, of which one is in use.
	frames := make([]uintptr, 3*hugeSize)
	m.Alloc(frames)
	m.Free(frames[1:])
	b.kick()
	for reported := 0; reported < 7; runtime.Gosched() {
		h.mu.Lock()
		if reported = h.reported; reported > 7 {
			t.Errorf("%d large pages are reported, want 7", reported)
		}
		h.mu.Unlock()
	}
	b.mu.Lock() // it has ended
	defer b.mu.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.huge) != 7 || len(m.free) != hugeSize-1 {
		t.Errorf("%d large pages and %d small ones are free", len(m.huge), len(m.free))
	}
}

// TestReportEarlier: what was freed before the balloon was there is reported, too.
func TestReportEarlier(t *testing.T) {
	h, m := newHost(t, featureReporting), newMemory(2)
	frames := make([]uintptr, hugeSize)
	m.Alloc(frames)
	m.Free(frames)
	if _, err := New(h.Device.Device(), m); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for reported := 0; reported < 2; runtime.Gosched() {
		h.mu.Lock()
		reported = h.reported
		h.mu.Unlock()
		if time.Now().After(deadline) {
			t.Fatalf("%d large pages are reported, want 2", reported)
		}
	}
}

func TestStats(t *testing.T) {
	h, m := newHost(t, featureStats), newMemory(8)
	if _, err := New(h.Device.Device(), m); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		var c *virtiotest.Chain
		for c == nil {
			c = h.Take(2)
		}
		b := c.Bytes()
		if len(b) != 30 || binary.LittleEndian.Uint16(b[10:]) != statTotal || binary.LittleEndian.Uint64(b[12:]) != 16<<20 {
			t.Errorf("statistics %x", b)
		}
		c.Done()
	}
}

// A device that lies is given up, and nobody waits for ever.
func TestHostile(t *testing.T) {
	for name, lie := range virtiotest.Lies {
		if name == "more than there is room for" { // there is none, and who reads may say what it likes
			continue
		}
		h, m := newHost(t, featureDeflateOnOOM), newMemory(8)
		b, err := New(h.Device.Device(), m)
		if err != nil {
			t.Fatal(err)
		}
		h.want(1000)
		h.Queues[1].Handle = lie
		frames := make([]uintptr, 8*hugeSize)
		m.Alloc(frames)
		if b.Relieve() {
			t.Error("a device that lies gives memory back: " + name)
		}
		if b.Relieve() {
			t.Error("a device that lied gives memory back: " + name)
		}
	}
}

// TestReset: a device that needs a reset, at any time, is told of the pages in the balloon, and
// none of them is lost.
func TestReset(t *testing.T) {
	const features = featureStats | featureDeflateOnOOM
	h, m := newHost(t, features), newMemory(16)
	count := 0
	for i := range 2 {
		h.Queues[i].Handle = func(c *virtiotest.Chain) {
			h.mu.Lock()
			if count++; count%23 == 0 { // it forgets the request, and all others
				clear(h.has)
				h.mu.Unlock()
				h.NeedReset()
				return
			}
			for p := c.Bytes(); len(p) > 0; p = p[4:] {
				h.has[binary.LittleEndian.Uint32(p)] = i == 0
			}
			h.mu.Unlock()
			c.Done()
		}
	}
	b, err := New(h.Device.Device(), m)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{700, 2000, 100, 5000, 0, 3} {
		h.want(uint32(n))
		settled := func() bool { // it may need one more at the end
			b.mu.Lock()
			defer b.mu.Unlock()
			free, _ := m.Size()
			return h.pages() == n && int(free/pageSize) == 16*hugeSize-n && !b.lost.Load()
		}
		for i := 0; !settled(); i++ {
			if i == 10_000 {
				free, _ := m.Size()
				t.Fatalf("the host wants %d pages and has %d, of %d are %d free", n, h.pages(), 16*hugeSize, free/pageSize)
			}
			time.Sleep(time.Millisecond)
		}
	}
	if h.Resets() < 2 {
		t.Errorf("%d resets", h.Resets())
	}
	// With nothing in flight but the statistics.
	h.want(1000)
	h.mu.Lock()
	clear(h.has)
	count = 0
	h.mu.Unlock()
	h.NeedReset()
	for n := range h.actual {
		if n == 1000 && h.pages() == 1000 {
			break
		}
	}
	for c := h.Take(2); c == nil; c = h.Take(2) {
		time.Sleep(time.Millisecond)
	}
}
