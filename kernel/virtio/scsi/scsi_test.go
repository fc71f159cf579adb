package scsi

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

// system is a kernel with memory from the device's.
type system struct {
	*blocktest.System
	t    *testing.T
	mu   sync.Mutex
	list []*block.Disk
	cds  int
}

func (s *system) AddDisk(d block.Device, cd bool) *block.Disk {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := block.NewDisk("sd", d, s)
	s.list = append(s.list, b)
	if cd {
		s.cds++
	}
	return b
}

func (s *system) RemoveDisk(d *block.Disk) {
	d.Remove()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.list {
		if s.list[i] == d {
			s.list = append(s.list[:i:i], s.list[i+1:]...)
			break
		}
	}
}

func (s *system) disks() []*block.Disk {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.list
}

func (s *system) Reclaim() bool {
	for _, d := range s.disks() {
		if d.Whole().Cache().Shrink(50) > 0 {
			return true
		}
	}
	return false
}

// lun is a unit of the model.
type lun struct {
	kind     byte
	data     []byte
	block    uint32
	only10   bool // knows no READ CAPACITY(16)
	readOnly bool
	attend   int // unit attentions to come
	code     uint16
}

// model is an adapter with units behind it.
type model struct {
	*virtiotest.Device
	mu    sync.Mutex
	luns  map[[2]int]*lun
	odd   func(c *virtiotest.Chain) bool // does what it likes; true: that was it
	count map[byte]int
}

const targets = 100

func newModel(old bool) *model {
	config := make([]byte, 36)
	binary.LittleEndian.PutUint32(config[configSegMax:], 10)
	binary.LittleEndian.PutUint32(config[configMaxSectors:], 300)
	binary.LittleEndian.PutUint16(config[configMaxTarget:], targets)
	binary.LittleEndian.PutUint32(config[configMaxLUN:], 1000)
	m := &model{luns: map[[2]int]*lun{}, count: map[byte]int{}}
	m.Device = virtiotest.New(virtio.TypeSCSI, featureHotplug|featureChange|virtio.FeatureEventIndex, config,
		virtiotest.Queue{Size: 4}, virtiotest.Queue{Size: numEvents}, virtiotest.Queue{Size: 64, Handle: m.handle})
	m.Old = old
	return m
}

func (m *model) add(target, n, size int, block uint32) *lun {
	l := &lun{data: make([]byte, size), block: block}
	rand.New(rand.NewSource(int64(target))).Read(l.data)
	m.luns[[2]int{target, n}] = l
	return l
}

// answer ends a request: a response, data, and sense if there is any.
func answer(c *virtiotest.Chain, response byte, data []byte, key byte, code uint16) {
	r := make([]byte, responseBytes)
	room := c.Room() - len(r)
	binary.LittleEndian.PutUint32(r[4:], uint32(max(room-len(data), 0)))
	r[11] = response
	if key != 0 {
		r[10] = statusCheckCondition
		binary.LittleEndian.PutUint32(r, 18)
		r[12], r[14], r[24], r[25] = 0x70, key, byte(code>>8), byte(code)
	}
	c.Write(r)
	c.Write(data[:min(len(data), room)])
	c.Done()
}

func (m *model) handle(c *virtiotest.Chain) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.odd != nil && m.odd(c) {
		return
	}
	q := c.Bytes()
	cdb := q[19:]
	m.count[cdb[0]]++
	target, n := int(q[1]), int(get16(q[2:])&0x3fff)
	l := m.luns[[2]int{target, n}]
	if cdb[0] == opReportLUNs {
		list := make([]byte, 8)
		for k := range m.luns {
			if k[0] == target {
				list = append(list, byte(k[1]>>8), byte(k[1]), 0, 0, 0, 0, 0, 0)
				if k[1] > 255 {
					list[len(list)-8] |= 0x40
				}
			}
		}
		if len(list) > 8 {
			put32(list, uint32(len(list)-8))
			answer(c, responseOK, list, 0, 0)
			return
		}
	}
	if l == nil {
		answer(c, responseBadTarget, nil, 0, 0)
		return
	}
	if l.attend > 0 && cdb[0] != opInquiry {
		l.attend--
		answer(c, responseOK, nil, keyUnitAttention, l.code)
		return
	}
	blocks := uint64(len(l.data)) / uint64(l.block)
	data := make([]byte, 64)
	at, count := uint64(get32(cdb[2:])), uint64(get16(cdb[7:]))
	switch cdb[0] {
	case opInquiry:
		switch {
		case cdb[1] == 0:
			data[0] = l.kind
			copy(data[8:], "VENDOR  A MODEL         ")
		case cdb[2] == pageSerial:
			data[1], data[3] = pageSerial, 4
			copy(data[4:], "0042")
		case cdb[2] == pageBlockLimits:
			data[1] = pageBlockLimits
			put32(data[20:], 100)
			put32(data[24:], 1)
			put64(data[36:], 50)
		case cdb[2] == pageProvision:
			data[1], data[5] = pageProvision, 0x80
		}
	case opServiceIn16:
		if l.only10 {
			answer(c, responseOK, nil, keyIllegalRequest, 0x2000)
			return
		}
		put64(data, blocks-1)
		put32(data[8:], l.block)
		data[13], data[14] = 1, 0x80
	case opReadCapacity:
		put32(data, uint32(blocks-1))
		put32(data[4:], l.block)
	case opModeSense6:
		if l.readOnly {
			data[2] = 0x80
		}
		copy(data[4:], []byte{modeCaching, 18, 4})
		data[0] = 23
	case opRead16, opWrite16, opWriteSame16:
		at, count = get64(cdb[2:]), uint64(get32(cdb[10:]))
		fallthrough
	case opRead10, opWrite10:
		if at+count > blocks {
			answer(c, responseOK, nil, keyIllegalRequest, 0x2100)
			return
		}
		p := l.data[at*uint64(l.block):][:count*uint64(l.block)]
		switch cdb[0] {
		case opRead10, opRead16:
			data = p
		case opWriteSame16:
			for ; len(p) > 0; p = p[l.block:] {
				copy(p[:l.block], q[requestBytes:])
			}
		default:
			copy(p, q[requestBytes:])
		}
	case opUnmap:
		p := q[requestBytes:]
		clear(l.data[get64(p[8:])*uint64(l.block):][:get32(p[16:])*l.block])
	case opSyncCache:
	default:
		answer(c, responseOK, nil, keyIllegalRequest, 0x2000)
		return
	}
	answer(c, responseOK, data, 0, 0)
}

func (m *model) start(t *testing.T) *system {
	t.Helper()
	p, err := m.Memory.Alloc(200 * block.PageSize)
	if err != nil {
		t.Fatal(err)
	}
	s := &system{t: t}
	s.System = blocktest.NewSystem(uintptr(p.Addr), 200, func(addr uintptr, n int) []byte { return m.Memory.At(uint64(addr), uint32(n)) })
	if err := Start(m.Device.Device(), s, block.NewSleeper()); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestUnits(t *testing.T) {
	for _, old := range []bool{false, true} {
		m := newModel(old)
		m.add(0, 0, 1<<20, 512).attend = 2
		m.add(0, 300, 1<<19, 4096)
		m.add(70, 2, 1<<18, 512).only10 = true
		m.add(80, 0, 1<<18, 2048).kind = typeCDROM
		m.add(90, 0, 1<<18, 512).kind = typeAbsent
		m.add(91, 0, 1<<18, 520)
		m.add(targets, 0, 1<<18, 512).readOnly = true
		s := m.start(t)
		sizes := map[int64]block.Limits{}
		for _, d := range s.disks() {
			sizes[d.Whole().Size()<<8|int64(len(sizes))] = *d.Limits()
		}
		if len(s.list) != 5 || s.cds != 1 {
			t.Fatalf("%d disks, %d CD-ROMs", len(s.list), s.cds)
		}
		for _, d := range s.disks() {
			l := d.Limits()
			b := &fs.Buffer{Bytes: make([]byte, 0, d.Whole().Size())}
			if n, err := d.Whole().ReadAt(block.NewSleeper(), &block.Readahead{}, b, 0, cap(b.Bytes), false); n != cap(b.Bytes) || err != 0 {
				t.Fatal(n, err)
			}
			found := false
			for k, l := range m.luns {
				found = found || bytes.Equal(l.data, b.Bytes)
				_ = k
			}
			if !found || l.MaxRequest != 300*512&^4095 || l.LogicalBlock == 4096 && d.Whole().Size() != 1<<19 {
				t.Errorf("%+v", *l)
			}
			if model, serial := d.Device.Identity(block.NewSleeper()); model != "A MODEL" || serial != "0042" {
				t.Errorf("%q %q", model, serial)
			}
		}
	}
}

func TestReadAndWrite(t *testing.T) {
	for _, size := range []uint32{512, 4096} {
		m := newModel(false)
		l := m.add(3, 0, 1<<20, size)
		s := m.start(t)
		d := s.disks()[0]
		want := bytes.Clone(l.data)
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				r, s := rand.New(rand.NewSource(int64(w))), block.NewSleeper()
				lo, part := int64(w)*(256<<10), int64(256<<10)
				for range 100 {
					off, n := r.Int63n(part), 1+r.Intn(1<<uint(r.Intn(17)))
					direct := r.Intn(3) == 0
					if direct {
						off, n = off&^4095, (n+4095)&^4095
					}
					n = int(min(int64(n), part-off))
					switch r.Intn(3) {
					case 0:
						p := make([]byte, n)
						r.Read(p)
						copy(want[lo+off:], p)
						if k, err := d.Whole().WriteAt(s, &fs.Buffer{Bytes: p}, lo+off, n, direct); k != n || err != 0 {
							t.Error(k, err)
						}
					case 1:
						from, to := (lo+off+4095)&^4095, (lo+off+int64(n))&^4095
						if from < to {
							clear(want[from:to])
							if err := d.Whole().Zero(s, from, to, r.Intn(2) == 0); err != 0 {
								t.Error(err)
							}
						}
					default:
						b := &fs.Buffer{Bytes: make([]byte, 0, n)}
						if k, err := d.Whole().ReadAt(s, nil, b, lo+off, n, direct); k != n || err != 0 || !bytes.Equal(b.Bytes, want[lo+off:][:n]) {
							t.Error("read", k, err)
							return
						}
					}
				}
			})
		}
		wg.Wait()
		if err := d.Sync(block.NewSleeper()); err != 0 || !bytes.Equal(l.data, want) || m.count[opSyncCache] == 0 {
			t.Error("the disk differs", err)
		}
		if err := d.Whole().Discard(block.NewSleeper(), 0, 1<<20); err != 0 || m.count[opUnmap] < 3 || l.data[5] != 0 {
			t.Error(err, m.count[opUnmap])
		}
	}
}

func TestFailures(t *testing.T) {
	m := newModel(false)
	m.add(0, 0, 1<<20, 512)
	s := m.start(t)
	d, who := s.disks()[0], block.NewSleeper()
	fails := func(response, key byte, code uint16) func(c *virtiotest.Chain) bool {
		return func(c *virtiotest.Chain) bool { answer(c, response, nil, key, code); return true }
	}
	for _, c := range []struct {
		name string
		odd  func(c *virtiotest.Chain) bool
		want errno.Errno
	}{
		{"medium", fails(0, 3, 0x1100), errno.EIO},
		{"always attention", fails(0, keyUnitAttention, 0x2900), errno.EIO},
		{"recovered", fails(0, keyRecovered, 0x1700), 0},
		{"full", fails(0, keyDataProtect, senseNoSpace), errno.ENOSPC},
		{"protected", fails(0, keyDataProtect, 0x2700), errno.EIO},
		{"illegal", fails(0, keyIllegalRequest, 0x2400), errno.EIO},
		{"bad target", fails(responseBadTarget, 0, 0), errno.EIO},
		{"busy for ever", fails(responseBusy, 0, 0), errno.EIO},
		{"no answer", func(c *virtiotest.Chain) bool { c.Done(); return true }, errno.EIO},
		{"check condition without sense", func(c *virtiotest.Chain) bool {
			r := make([]byte, responseBytes)
			r[10] = statusCheckCondition
			c.Write(r)
			c.Done()
			return true
		}, errno.EIO},
	} {
		m.mu.Lock()
		m.odd = c.odd
		m.mu.Unlock()
		if _, err := d.Whole().WriteAt(who, &fs.Buffer{Bytes: make([]byte, 512)}, 0, 512, true); err != c.want {
			t.Errorf("%s: write: %v", c.name, err)
		}
	}
	m.mu.Lock()
	m.odd = nil
	m.luns[[2]int{0, 0}].attend, m.luns[[2]int{0, 0}].code = 3, 0x2900
	m.mu.Unlock()
	if n, err := d.Whole().WriteAt(who, &fs.Buffer{Bytes: make([]byte, 512)}, 0, 512, true); n != 512 || err != 0 {
		t.Errorf("after attentions: %v", err)
	}
}

// TestLies: whatever a device says, a request ends.
func TestLies(t *testing.T) {
	for name, lie := range virtiotest.Lies {
		m := newModel(false)
		m.add(0, 0, 1<<20, 512)
		d, who := m.start(t).disks()[0], block.NewSleeper()
		m.mu.Lock()
		m.odd = func(c *virtiotest.Chain) bool { lie(c); return true }
		m.mu.Unlock()
		for range 2 {
			if _, err := d.Whole().ReadAt(who, nil, &fs.Buffer{Bytes: make([]byte, 0, 512)}, 0, 512, true); err != errno.EIO {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// event tells the driver something.
func (m *model) event(what uint32, target, lun int, reason uint32) {
	c := m.Take(eventQueue)
	for ; c == nil; c = m.Take(eventQueue) { // it was reset just now
		time.Sleep(time.Millisecond)
	}
	b := binary.LittleEndian.AppendUint32(nil, what)
	b = append(b, 1, byte(target), byte(lun>>8)|0x40, byte(lun), 0, 0, 0, 0)
	c.Write(binary.LittleEndian.AppendUint32(b, reason))
	c.Done()
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for range 10_000 {
		if f() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal(what)
}

func TestHotplug(t *testing.T) {
	m := newModel(false)
	m.add(0, 0, 1<<20, 512)
	s := m.start(t)
	first := s.disks()[0]
	m.mu.Lock()
	m.add(9, 0, 1<<19, 512)
	m.mu.Unlock()
	m.event(eventTransport, 9, 0, reasonRescan)
	eventually(t, "the new disk is not found", func() bool { return len(s.disks()) == 2 })
	m.mu.Lock()
	m.luns[[2]int{0, 0}].data = make([]byte, 2<<20)
	m.mu.Unlock()
	m.event(eventChange, 0, 0, 0x2a|0x09<<8)
	eventually(t, "the size does not change", func() bool { return first.Whole().Size() == 2<<20 })
	m.mu.Lock()
	l := m.luns[[2]int{0, 0}]
	l.data, l.attend, l.code = make([]byte, 3<<20), 1, senseCapacityChanged
	m.mu.Unlock()
	first.Flush(block.NewSleeper())
	eventually(t, "the size does not change in passing", func() bool { return first.Whole().Size() == 3<<20 })
	m.mu.Lock()
	delete(m.luns, [2]int{0, 0})
	m.mu.Unlock()
	m.event(eventTransport, 0, 0, reasonRemoved)
	eventually(t, "the disk does not go", func() bool { return len(s.disks()) == 1 && first.Gone() })
	for i := range 100 {
		if i%2 == 0 {
			m.event(eventsMissed, 0, 0, 0)
		} else {
			m.event(0x77, 200, 77, 99)
		}
	}
}

// TestReset: an adapter that needs a reset gets it, and then goes on and tells of units.
func TestReset(t *testing.T) {
	m := newModel(false)
	m.add(0, 0, 1<<20, 512)
	s := m.start(t)
	d, who := s.disks()[0], block.NewSleeper()
	for i := range 20 {
		m.mu.Lock()
		first := true
		m.odd = func(c *virtiotest.Chain) bool {
			forgets := first
			if first = false; forgets {
				m.NeedReset()
			}
			return forgets
		}
		m.mu.Unlock()
		if n, err := d.Whole().WriteAt(who, &fs.Buffer{Bytes: make([]byte, 4096)}, 0, 4096, true); n != 4096 || err != 0 {
			t.Fatal(n, err)
		}
		m.mu.Lock()
		m.odd = nil
		m.luns[[2]int{0, 0}].data = make([]byte, 1<<20+i*4096)
		m.mu.Unlock()
		m.event(eventChange, 0, 0, 0x2a|0x09<<8)
		eventually(t, "the size does not change", func() bool { return d.Whole().Size() == int64(1<<20+i*4096) })
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add(make([]byte, 600), uint8(5))
	f.Fuzz(func(t *testing.T, noise []byte, every uint8) {
		m := newModel(false)
		binary.LittleEndian.PutUint16(m.Config[configMaxTarget:], 2)
		m.add(0, 0, 1<<16, 512)
		at := 0
		m.odd = func(c *virtiotest.Chain) bool {
			if at++; at%(1+int(every)) != 0 {
				return false
			}
			r := make([]byte, responseBytes)
			if at%2 == 0 {
				copy(r, noise)
			}
			c.Write(r)
			c.Write(noise[:min(len(noise), c.Room())])
			c.Done()
			return true
		}
		s := m.start(t)
		for _, d := range s.disks() {
			d.Whole().ReadAt(block.NewSleeper(), nil, &fs.Buffer{Bytes: make([]byte, 0, 4096)}, 0, 4096, false)
			d.Device.Identity(block.NewSleeper())
		}
	})
}
