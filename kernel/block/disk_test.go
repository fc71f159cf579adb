package block

import (
	"bytes"
	"math/rand"
	"sync"
	"testing"
	"time"

	"gosv/kernel/errno"
	"gosv/kernel/fs"
)

// testSystem has so many frames of memory, and mappings that are told to forget.
type testSystem struct {
	mu     sync.Mutex
	memory []byte
	free   []uintptr
	forget func(lo, hi int64)
	later  []func()
}

func newSystem(frames int) *testSystem {
	s := &testSystem{memory: make([]byte, (frames+1)*PageSize)}
	for i := frames; i > 0; i-- {
		s.free = append(s.free, uintptr(i)*PageSize)
	}
	return s
}

func (s *testSystem) Frames(dst []uintptr) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(len(dst), len(s.free))
	for i := range n {
		dst[i] = s.free[len(s.free)-1-i]
		rand.New(rand.NewSource(1)).Read(s.memory[dst[i]:][:8])
	}
	s.free = s.free[:len(s.free)-n]
	return n
}

func (s *testSystem) FreeFrames(src []uintptr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = append(s.free, src...)
}

func (s *testSystem) Reclaim() bool { return false }

func (s *testSystem) Memory(addr uintptr, n int) []byte { return s.memory[addr:][:n:n] }
func (s *testSystem) Later(ns uint64, f func())         { s.later = append(s.later, f) }
func (s *testSystem) Forget(c *Cache, lo, hi int64) {
	if s.forget != nil {
		s.forget(lo, hi)
	}
}

// testDevice is a disk in memory.
type testDevice struct {
	t      testing.TB
	sys    *testSystem
	limits Limits
	bad    func(r *Request) errno.Errno // what goes wrong
	mu     sync.Mutex
	data   []byte
	log    []Request
	slow   chan struct{} // what each request waits for; nil: nothing
}

func (d *testDevice) Limits() Limits                    { return d.limits }
func (d *testDevice) Identity(Sleeper) (string, string) { return "test", "0001" }

func (d *testDevice) Submit(r *Request) {
	for r != nil {
		q := r
		r = r.Next
		go func() {
			if d.slow != nil {
				<-d.slow
			}
			q.Done.Completed(d.do(q))
		}()
	}
}

func (d *testDevice) do(r *Request) errno.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.log = append(d.log, Request{Op: r.Op, Sector: r.Sector, Count: r.Count, Segs: bytes2(r.Segs)})
	if d.bad != nil {
		if err := d.bad(r); err != 0 {
			return err
		}
	}
	block := uint64(d.limits.LogicalBlock / SectorSize)
	if r.Sector%block != 0 || r.Count%block != 0 || (r.Sector+r.Count)*SectorSize > uint64(len(d.data)) {
		d.t.Errorf("request of sectors %d+%d", r.Sector, r.Count)
		return errno.EIO
	}
	p := d.data[r.Sector*SectorSize:][:r.Count*SectorSize]
	switch r.Op {
	case Read, Write:
		if len(r.Segs) > d.limits.MaxSegments {
			d.t.Errorf("%d segments", len(r.Segs))
		}
		for _, s := range r.Segs {
			if s.Len > d.limits.MaxSegment {
				d.t.Errorf("a segment of %d bytes", s.Len)
			}
			m := d.sys.Memory(uintptr(s.Addr), int(s.Len))
			if r.Op == Read {
				copy(m, p)
			} else {
				copy(p, m)
			}
			p = p[s.Len:]
		}
		if len(p) != 0 {
			d.t.Errorf("segments are %d bytes too short", len(p))
		}
	case WriteZeroes:
		clear(p)
	}
	return 0
}

func bytes2(s []Segment) []Segment { return append([]Segment(nil), s...) }

func newTestDisk(t testing.TB, size int, frames int, segments int) (*Disk, *testDevice) {
	sys := newSystem(frames)
	dev := &testDevice{t: t, sys: sys, data: make([]byte, size), limits: Limits{
		Sectors: uint64(size / SectorSize), LogicalBlock: 512, MaxSegments: segments, MaxSegment: 1 << 16,
		Volatile: true, MaxDiscard: 64, MaxZeroes: 64}}
	rand.New(rand.NewSource(7)).Read(dev.data)
	return NewDisk("vda", dev, sys), dev
}

func sleeper() Sleeper { return &goSleeper{make(chan struct{}, 1)} }

// frames checks that no page got lost.
func (d *testDevice) frames(t *testing.T, disk *Disk, all int) {
	t.Helper()
	have := len(d.sys.free)
	disk.EachCache(func(c *Cache) {
		n, _ := c.Pages()
		have += n
		for x := c.spareDirects; x != nil; x = x.next {
			have += len(x.frames)
		}
	})
	if have != all {
		t.Errorf("of %d frames there are %d", all, have)
	}
}

func readAll(t *testing.T, v *Volume, off int64, n int, direct bool) []byte {
	t.Helper()
	b := &fs.Buffer{Bytes: make([]byte, 0, n)}
	k, err := v.ReadAt(sleeper(), &Readahead{}, b, off, n, direct)
	if err != 0 || k != len(b.Bytes) {
		t.Fatalf("read at %d: %d, %v", off, k, err)
	}
	return b.Bytes
}

// TestRandom compares a disk with memory, with several readers and writers and
// much too little memory for all of it.
func TestRandom(t *testing.T) {
	const size, frames = 3<<20 + 1536, 400
	for _, segments := range []int{1, 3, 128} {
		d, dev := newTestDisk(t, size, frames, segments)
		want := bytes.Clone(dev.data)
		v := d.Whole()
		var wg sync.WaitGroup
		const workers = 4
		for w := range workers {
			lo, part := int64(w)*(size/workers)&^511, int64(size/workers)&^511
			wg.Add(1)
			go func() {
				defer wg.Done()
				r, s, ra := rand.New(rand.NewSource(int64(w))), sleeper(), &Readahead{}
				next := int64(0)
				for range 400 {
					direct := r.Intn(4) == 0
					off, n := r.Int63n(part), 1+r.Intn(1<<uint(r.Intn(18)))
					if r.Intn(2) == 0 {
						off = next
					}
					if direct {
						off, n = off&^511, (n+511)&^511
					}
					n = int(min(int64(n), part-off))
					next = (off + int64(n)) % part
					switch r.Intn(6) {
					case 0, 1, 2:
						b := &fs.Buffer{Bytes: make([]byte, 0, n)}
						if k, err := v.ReadAt(s, ra, b, lo+off, n, direct); err != 0 || k != n {
							t.Errorf("read: %d, %v", k, err)
						} else if !bytes.Equal(b.Bytes, want[lo+off:][:n]) {
							t.Errorf("read at %d of %d (direct: %v): wrong bytes", lo+off, n, direct)
							return
						}
					case 3, 4:
						p := make([]byte, n)
						r.Read(p)
						copy(want[lo+off:], p)
						if k, err := v.WriteAt(s, &fs.Buffer{Bytes: p}, lo+off, n, direct); err != 0 || k != n {
							t.Errorf("write: %d, %v", k, err)
						}
					case 5:
						if err := v.Sync(s, lo+off, lo+off+int64(n), r.Intn(2) == 0); err != 0 {
							t.Errorf("sync: %v", err)
						}
						v.Drop(s, lo+off, lo+off+int64(n))
					}
				}
			}()
		}
		wg.Wait()
		if err := d.Sync(sleeper()); err != 0 {
			t.Fatal(err)
		}
		if !bytes.Equal(dev.data, want) {
			t.Errorf("%d segments: the disk differs", segments)
		}
		if _, dirty := v.cache.Pages(); dirty != 0 || v.cache.dirty != 0 || v.cache.writing != 0 {
			t.Errorf("%d pages are dirty", dirty)
		}
		for v.cache.Shrink(frames); len(v.cache.groups) > 0 && !t.Failed(); v.cache.Shrink(frames) {
			time.Sleep(time.Millisecond) // until what is read ahead is there
		}
		if n, _ := v.cache.Pages(); n != 0 || len(v.cache.groups) != 0 {
			t.Errorf("%d pages in %d groups are left", n, len(v.cache.groups))
		}
		dev.frames(t, d, frames)
	}
}

func TestSequentialReadsAreLarge(t *testing.T) {
	d, dev := newTestDisk(t, 32<<20, 4096, 128)
	ra := &Readahead{}
	p := make([]byte, 64<<10)
	for off := 0; off < len(dev.data); off += len(p) {
		b := &fs.Buffer{Bytes: p[:0]}
		if n, err := d.Whole().ReadAt(sleeper(), ra, b, int64(off), len(p), false); n != len(p) || err != 0 || !bytes.Equal(p, dev.data[off:][:n]) {
			t.Fatal(off, n, err)
		}
	}
	if n := len(dev.log); n > 50 {
		t.Errorf("%d requests for 32 MiB", n)
	}
}

func TestBadSectorSpoilsOnePage(t *testing.T) {
	d, dev := newTestDisk(t, 1<<20, 300, 128)
	dev.bad = func(r *Request) errno.Errno {
		if r.Op == Read && r.Sector <= 805 && r.Sector+r.Count > 805 {
			return errno.EIO
		}
		return 0
	}
	v, s := d.Whole(), sleeper()
	b := &fs.Buffer{Bytes: make([]byte, 0, 1<<20)}
	n, err := v.ReadAt(s, &Readahead{}, b, 0, 1<<20, false)
	if n != 100*PageSize || err != 0 || !bytes.Equal(b.Bytes, dev.data[:n]) {
		t.Fatal(n, err)
	}
	if n, err := v.ReadAt(s, nil, b, 100*PageSize, 10, false); n != 0 || err != errno.EIO {
		t.Fatal(n, err)
	}
	if n, err := v.ReadAt(s, nil, b, 101*PageSize, 1<<20, false); n != 155*PageSize || err != 0 {
		t.Fatal(n, err)
	}
	dev.bad = nil
	if n, err := v.ReadAt(s, nil, &fs.Buffer{Bytes: make([]byte, 0, 10)}, 100*PageSize, 10, false); n != 10 || err != 0 {
		t.Fatal(n, err)
	}
	dev.frames(t, d, 300)
}

func TestFailedWriteIsToldOnce(t *testing.T) {
	d, dev := newTestDisk(t, 1<<20, 300, 128)
	dev.bad = func(r *Request) errno.Errno {
		if r.Op == Write {
			return errno.EIO
		}
		return 0
	}
	v, s := d.Whole(), sleeper()
	seen, _ := v.cache.Failed(0)
	if n, err := v.WriteAt(s, &fs.Buffer{Bytes: make([]byte, 5000)}, 0, 5000, false); n != 5000 || err != 0 {
		t.Fatal(n, err)
	}
	v.Sync(s, 0, v.Size(), true)
	seen, err := v.cache.Failed(seen)
	if err != errno.EIO {
		t.Fatal(err)
	}
	if _, err = v.cache.Failed(seen); err != 0 {
		t.Fatal(err)
	}
	if n, err := v.WriteAt(s, &fs.Buffer{Bytes: make([]byte, 4096)}, 0, 4096, true); n != 0 || err != errno.EIO {
		t.Fatal(n, err)
	}
}

// TestMapping writes through a mapping, as the kernel's page tables have it: what was
// given out stays in use until Forget.
func TestMapping(t *testing.T) {
	d, dev := newTestDisk(t, 1<<20, 300, 128)
	v, s := d.Whole(), sleeper()
	c := v.cache
	c.Map()
	if c.Mapped(3, 1, true) != nil {
		t.Fatal("a page that nobody read")
	}
	if err := c.Await(s, 3, 4); err != 0 {
		t.Fatal(err)
	}
	p := c.Mapped(3, 1, true)
	forgotten := false
	dev.sys.forget = func(lo, hi int64) {
		if lo > 3 || hi <= 3 {
			t.Errorf("pages from %d to %d are forgotten", lo, hi)
		}
		p[1] = 0x22 // written until then
		forgotten = true
	}
	p[0] = 0x11
	v.Sync(s, 0, v.Size(), true)
	if dev.data[3*PageSize] != 0x11 || dev.data[3*PageSize+1] != 0x22 || !forgotten {
		t.Error("what was written to the mapping is not on the disk")
	}
	if n := c.Shrink(300); n < 3 {
		t.Errorf("%d pages given up", n)
	}
	if err := c.Await(s, 5, 1); err != 0 {
		t.Fatal(err)
	}
	p = c.Mapped(5, 1, true)
	p[0] = 0x33
	c.Unmap()
	v.Sync(s, 0, v.Size(), true)
	if dev.data[5*PageSize] != 0x33 {
		t.Error("what was written before munmap is not on the disk")
	}
	c.Shrink(300)
	dev.frames(t, d, 300)
	if len(dev.sys.free) != 300 {
		t.Error("a page stays")
	}
}

func TestReclaimFromMappings(t *testing.T) {
	d, dev := newTestDisk(t, 1<<20, 20, 128)
	v, s := d.Whole(), sleeper()
	c := v.cache
	c.Map()
	for page := range int64(100) {
		for c.Mapped(page, 1, page%2 == 0) == nil {
			if err := c.Await(s, page, 1); err == errno.ENOMEM {
				if c.Reclaim(s, 10) == 0 {
					t.Fatal("nothing to reclaim")
				}
			} else if err != 0 {
				t.Fatal(err)
			}
		}
	}
	c.Unmap()
	v.Sync(s, 0, v.Size(), true)
	dev.frames(t, d, 20)
}

func TestDiscardAndZero(t *testing.T) {
	d, dev := newTestDisk(t, 1<<20, 300, 128)
	v, s := d.Whole(), sleeper()
	v.WriteAt(s, &fs.Buffer{Bytes: bytes.Repeat([]byte{9}, 20000)}, 0, 20000, false)
	if err := v.Zero(s, 512, 16384+512, true); err != 0 {
		t.Fatal(err)
	}
	got := readAll(t, v, 0, 20000, false)
	for i, c := range got {
		if want := byte(9); i >= 512 && i < 16384+512 && c != 0 || (i < 512 || i >= 16384+512) && c != want {
			t.Fatalf("byte %d is %d", i, c)
		}
	}
	dev.limits.MaxZeroes = 0
	d.limits.MaxZeroes = 0
	if err := v.Zero(s, 0, 1024, true); err != errno.EOPNOTSUPP {
		t.Fatal(err)
	}
	if err := v.Zero(s, 0, 1024, false); err != 0 || !bytes.Equal(readAll(t, v, 0, 1024, false), make([]byte, 1024)) {
		t.Fatal(err)
	}
	if err := v.Discard(s, 0, 1<<20); err != 0 {
		t.Fatal(err)
	}
	d.Sync(s)
	for _, r := range dev.log {
		if (r.Op == Discard || r.Op == WriteZeroes) && r.Count > 64 {
			t.Errorf("%v of %d sectors", r.Op, r.Count)
		}
	}
}

func TestResizeAndRemove(t *testing.T) {
	d, dev := newTestDisk(t, 1<<20, 300, 128)
	v, s := d.Whole(), sleeper()
	v.WriteAt(s, &fs.Buffer{Bytes: make([]byte, 1<<20)}, 0, 1<<20, false)
	d.Resize(1024)
	for range 10_000 {
		if n, _ := v.cache.Pages(); n == 128 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if n, err := v.WriteAt(s, &fs.Buffer{Bytes: make([]byte, 1<<20)}, 512<<10-100, 1<<20, false); n != 100 || err != 0 {
		t.Fatal(n, err)
	}
	dev.data = dev.data[:512<<10]
	if err := d.Sync(s); err != 0 {
		t.Fatal(err)
	}
	d.Remove()
	if _, err := v.ReadAt(s, nil, &fs.Buffer{}, 0, 10, false); err != errno.EIO {
		t.Fatal(err)
	}
	if err := d.Sync(s); err != errno.EIO {
		t.Fatal(err)
	}
	dev.frames(t, d, 300)
}

// faultySource ends in the middle, as a buffer does whose next page is not there.
type faultySource struct{ left int }

func (s *faultySource) Get(p []byte) int {
	n := min(len(p), s.left)
	for i := range p[:n] {
		p[i] = 5
	}
	s.left -= n
	return n
}

func TestShortSource(t *testing.T) {
	d, dev := newTestDisk(t, 1<<20, 300, 128)
	v, s := d.Whole(), sleeper()
	old := bytes.Clone(dev.data)
	if n, err := v.WriteAt(s, &faultySource{10000}, 4096, 1<<16, false); n != 10000 || err != 0 {
		t.Fatal(n, err)
	}
	if n, err := v.WriteAt(s, &faultySource{10000}, 1<<19, 1<<16, true); n != 9728 || err != 0 {
		t.Fatal(n, err)
	}
	d.Sync(s)
	for i := range 10000 {
		old[4096+i] = 5
	}
	for i := range 9728 {
		old[1<<19+i] = 5
	}
	if !bytes.Equal(old, dev.data) {
		t.Error("the disk differs")
	}
	dev.frames(t, d, 300)
}
