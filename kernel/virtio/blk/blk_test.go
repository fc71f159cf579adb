package blk

import (
	"bytes"
	"encoding/binary"
	"math/rand"
	"sync"
	"testing"
	"time"

	"gosv/kernel/block"
	"gosv/kernel/block/blocktest"
	"gosv/kernel/errno"
	"gosv/kernel/fs"
	"gosv/kernel/virtio"
	"gosv/kernel/virtio/virtiotest"
)

// newSystem gives disks frames of the device's memory.
func newSystem(t *testing.T, m *virtiotest.Memory, frames int) *blocktest.System {
	p, err := m.Alloc(frames * block.PageSize)
	if err != nil {
		t.Fatal(err)
	}
	return blocktest.NewSystem(uintptr(p.Addr), frames, func(addr uintptr, n int) []byte { return m.At(uint64(addr), uint32(n)) })
}

// model is a disk as virtio has it.
type model struct {
	*virtiotest.Device
	t    *testing.T
	data []byte
	most int                            // data descriptors that it takes
	odd  func(c *virtiotest.Chain) bool // does what it likes; true: that was it
	kind map[uint32]int
}

func (m *model) handle(c *virtiotest.Chain) {
	if m.odd != nil && m.odd(c) {
		return
	}
	h := c.Out[0]
	kind, sector := binary.LittleEndian.Uint32(h), binary.LittleEndian.Uint64(h[8:])
	m.kind[kind]++
	status := c.In[len(c.In)-1]
	if len(h) != 16 || len(status) != 1 || len(c.In)-1 > m.most || len(c.Out)-1 > m.most {
		m.t.Errorf("a request of %d + %d descriptors, the first of %d bytes", len(c.Out), len(c.In), len(h))
	}
	result := byte(0)
	switch kind {
	case kindIn:
		n := c.Room() - 1
		if sector*512+uint64(n) > uint64(len(m.data)) {
			result = 1
			c.Write(make([]byte, n))
		} else {
			c.Write(m.data[sector*512:][:n])
		}
	case kindOut:
		copy(m.data[sector*512:], c.Bytes()[16:])
	case kindFlush:
	case kindGetID:
		c.Write(append([]byte("serial-1234567890-20"), 0)[:c.Room()-1])
	case kindDiscard, kindWriteZeroes:
		p := c.Bytes()[16:]
		clear(m.data[binary.LittleEndian.Uint64(p)*512:][:binary.LittleEndian.Uint32(p[8:])*512])
	default:
		result = 2
	}
	c.Write([]byte{result})
	c.Done()
}

const segmentsOffered = 6

func newModel(t *testing.T, features uint64, old bool, size int) *model {
	config := make([]byte, 60)
	binary.LittleEndian.PutUint64(config, uint64(size/512))
	binary.LittleEndian.PutUint32(config[configSizeMax:], 3*4096+100)
	binary.LittleEndian.PutUint32(config[configSegMax:], segmentsOffered)
	binary.LittleEndian.PutUint32(config[configBlockSize:], 512)
	config[configPhysicalExponent] = 3
	binary.LittleEndian.PutUint32(config[configMaxDiscard:], 1000)
	binary.LittleEndian.PutUint32(config[configMaxZeroes:], 1000)
	m := &model{t: t, data: make([]byte, size), most: 1, kind: map[uint32]int{}}
	if features&featureSegMax != 0 {
		m.most = segmentsOffered
	}
	rand.New(rand.NewSource(3)).Read(m.data)
	m.Device = virtiotest.New(virtio.TypeBlock, features, config, virtiotest.Queue{Size: 16, Handle: m.handle})
	m.Old = old
	return m
}

func (m *model) start(t *testing.T) (*block.Disk, *blocktest.System) {
	t.Helper()
	sys := newSystem(t, m.Memory, 500)
	var d *block.Disk
	if err := Start(m.Device.Device(), func(dev block.Device) *block.Disk {
		d = block.NewDisk("vda", dev, sys)
		return d
	}); err != nil {
		t.Fatal(err)
	}
	return d, sys
}

func TestReadAndWrite(t *testing.T) {
	const size = 1<<20 + 512
	for _, f := range []uint64{0, featureSegMax, featureSizeMax | featureSegMax | featureFlush | virtio.FeatureEventIndex,
		features | virtio.FeatureIndirect} {
		for _, old := range []bool{false, true} {
			m := newModel(t, f, old, size)
			d, _ := m.start(t)
			want := bytes.Clone(m.data)
			var wg sync.WaitGroup
			for w := range 4 {
				wg.Go(func() {
					r, s, ra := rand.New(rand.NewSource(int64(w))), block.NewSleeper(), &block.Readahead{}
					lo, part := int64(w)*(256<<10), int64(256<<10)
					for range 100 {
						off, n := r.Int63n(part), 1+r.Intn(1<<uint(r.Intn(17)))
						direct := r.Intn(3) == 0
						if direct {
							off, n = off&^511, (n+511)&^511
						}
						n = int(min(int64(n), part-off))
						if r.Intn(2) == 0 {
							p := make([]byte, n)
							r.Read(p)
							copy(want[lo+off:], p)
							if k, err := d.Whole().WriteAt(s, &fs.Buffer{Bytes: p}, lo+off, n, direct); k != n || err != 0 {
								t.Error(k, err)
							}
							continue
						}
						b := &fs.Buffer{Bytes: make([]byte, 0, n)}
						if k, err := d.Whole().ReadAt(s, ra, b, lo+off, n, direct); k != n || err != 0 || !bytes.Equal(b.Bytes, want[lo+off:][:n]) {
							t.Error("read", k, err)
							return
						}
					}
				})
			}
			wg.Wait()
			if err := d.Sync(block.NewSleeper()); err != 0 || !bytes.Equal(m.data, want) {
				t.Errorf("features %#x: the disk differs, %v", f, err)
			}
			if flushed := m.kind[kindFlush] > 0; flushed != (f&featureFlush != 0) {
				t.Errorf("features %#x: flushed: %v", f, flushed)
			}
		}
	}
}

func TestLimits(t *testing.T) {
	m := newModel(t, features, false, 1<<20)
	d, _ := m.start(t)
	want := block.Limits{Sectors: 2048, LogicalBlock: 512, PhysicalBlock: 4096, ReadOnly: true, Volatile: true,
		MaxSegments: segmentsOffered, MaxSegment: 3 * 4096, MaxRequest: 1 << 20, MaxDiscard: 1000, MaxZeroes: 1000}
	if *d.Limits() != want {
		t.Errorf("%+v", *d.Limits())
	}
	if _, serial := d.Device.Identity(block.NewSleeper()); serial != "serial-1234567890-20" {
		t.Errorf("serial %q", serial)
	}
	s := block.NewSleeper()
	if err := d.Whole().Discard(s, 0, 1<<20); err != 0 || m.kind[kindDiscard] != 3 {
		t.Error(err, m.kind)
	}
	if err := d.Whole().Zero(s, 512, 1024, true); err != 0 || m.kind[kindWriteZeroes] != 1 {
		t.Error(err, m.kind)
	}
	m.SetConfig(0, binary.LittleEndian.AppendUint64(nil, 4096))
	for i := 0; d.Whole().Size() != 4096*512; i++ {
		if i == 10_000 {
			t.Fatal("it does not grow")
		}
		time.Sleep(time.Millisecond)
	}
}

// TestNonsense: a configuration that says what no disk is like.
func TestNonsense(t *testing.T) {
	m := newModel(t, features, false, 1<<20)
	for i := range m.Config {
		m.Config[i] = 0xff
	}
	d, _ := m.start(t)
	l := d.Limits()
	if l.LogicalBlock != 512 || l.PhysicalBlock != 512 || l.MaxSegments > 14 || l.MaxSegment < 4096 || d.Whole().Size() < 0 {
		t.Errorf("%+v", *l)
	}
	b := &fs.Buffer{Bytes: make([]byte, 0, 4096)}
	if _, err := d.Whole().ReadAt(block.NewSleeper(), nil, b, d.Whole().Size()-4096, 4096, false); err != errno.EIO {
		t.Error(err)
	}
	clear(m.Config)
	m = newModel(t, features, false, 1<<20)
	clear(m.Config)
	if d, _ = m.start(t); d.Whole().Size() != 0 || d.Limits().MaxSegments != 1 || d.Limits().MaxSegment < 4096 {
		t.Errorf("%+v", *d.Limits())
	}
}

// TestBadDevices: whatever they do, a request ends.
func TestBadDevices(t *testing.T) {
	status := func(v byte) func(c *virtiotest.Chain) bool {
		return func(c *virtiotest.Chain) bool {
			c.In[len(c.In)-1][0] = v
			c.Done()
			return true
		}
	}
	bad := map[string]func(c *virtiotest.Chain) bool{
		"status 1": status(1), "status 2": status(2), "status 77": status(77),
		"no status": func(c *virtiotest.Chain) bool { c.Done(); return true },
	}
	for name, lie := range virtiotest.Lies {
		bad[name] = func(c *virtiotest.Chain) bool {
			c.Write(make([]byte, c.Room()))
			lie(c)
			return true
		}
	}
	for name, odd := range bad {
		t.Run(name, func(t *testing.T) {
			m := newModel(t, featureFlush|featureDiscard, false, 1<<20)
			d, _ := m.start(t)
			m.odd = odd
			s := block.NewSleeper()
			want := errno.EIO
			if name == "status 2" {
				want = errno.EOPNOTSUPP
			}
			b := &fs.Buffer{Bytes: make([]byte, 0, 4096)}
			if n, err := d.Whole().ReadAt(s, nil, b, 0, 4096, false); n != 0 || err != want {
				t.Error("read:", n, err)
			}
			if n, err := d.Whole().ReadAt(s, nil, b, 0, 4096, true); n != 0 || err != want {
				t.Error("direct read:", n, err)
			}
			if n, err := d.Whole().WriteAt(s, &fs.Buffer{Bytes: make([]byte, 4096)}, 0, 4096, true); n != 0 || err != want {
				t.Error("direct write:", n, err)
			}
			if err := d.Flush(s); err != want {
				t.Error("flush:", err)
			}
			d.Device.Identity(s)
		})
	}
}
