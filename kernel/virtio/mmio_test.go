package virtio_test

import (
	"bytes"
	"sync/atomic"
	"testing"
	"time"

	"gosv/kernel/virtio"
	"gosv/kernel/virtio/virtiotest"
)

// mmioModel has a device behind the registers of virtio-mmio (section 4.2.2;
// version 1: 4.2.4), and an interrupt line.
type mmioModel struct {
	*virtiotest.Device
	version uint32
	level   bool
	line    func() bool
	sticky  uint32 // causes that cannot be acknowledged

	sel, driverSel, deviceSel uint32
	features                  uint64
	rings                     virtio.Rings
	pageSize, align           uint32
	accesses                  atomic.Int32
	status                    atomic.Uint32 // of the interrupt
}

// Used is called by the device model in place of the driver.
func (m *mmioModel) Used() (news, heeds bool) { m.interrupt(1); return true, true }
func (m *mmioModel) Changed()                 { m.interrupt(2) }
func (m *mmioModel) Fail(error)               {}

func (m *mmioModel) interrupt(cause uint32) {
	if old := m.status.Or(cause); !m.level || old == 0 {
		m.line()
	}
}

func (m *mmioModel) Read(off, width int) uint32 {
	m.accesses.Add(1)
	if off >= 0x100 {
		return m.ReadConfig(off-0x100, width)
	}
	if width != 4 {
		panic("a register is read by parts")
	}
	switch off {
	case 0x00:
		return 0x74726976
	case 0x04:
		return m.version
	case 0x08:
		return m.Type()
	case 0x10:
		return uint32(m.Features() >> (32 * m.deviceSel))
	case 0x34:
		return uint32(m.QueueSize(int(m.sel), 1<<15))
	case 0x60:
		return m.status.Load() | m.sticky
	case 0x70:
		return uint32(m.Status())
	case 0xfc:
		return m.Generation()
	}
	panic("a register that is not there is read")
}

func (m *mmioModel) Write(off, width int, v uint32) {
	m.accesses.Add(1)
	if off >= 0x100 {
		m.WriteConfig(off-0x100, width, v)
		return
	}
	if width != 4 {
		panic("a register is written by parts")
	}
	half := func(p *uint64, shift int) { *p = *p&^(0xffffffff<<shift) | uint64(v)<<shift }
	if modern := off == 0x44 || off >= 0x80; modern != (m.version == 2) && (modern || off == 0x28 || off == 0x3c || off == 0x40) {
		panic("a register of the other version is written")
	}
	switch off {
	case 0x14:
		m.deviceSel = v
	case 0x20:
		half(&m.features, 32*int(m.driverSel))
		if m.version == 1 || m.driverSel == 1 {
			m.SetFeatures(m.features)
		}
	case 0x24:
		m.driverSel = v
	case 0x28:
		m.pageSize = v
	case 0x30:
		m.sel = v
	case 0x38:
		m.rings.Size = int(v)
	case 0x3c:
		m.align = v
	case 0x40:
		n := uint64(m.rings.Size)
		r := virtio.Rings{Size: int(n), Desc: uint64(v) * uint64(m.pageSize)}
		r.Avail = r.Desc + 16*n
		r.Used = (r.Avail + 6 + 2*n + uint64(m.align) - 1) &^ (uint64(m.align) - 1)
		m.EnableQueue(int(m.sel), r)
	case 0x44:
		m.EnableQueue(int(m.sel), m.rings)
	case 0x50:
		m.Notify(int(v))
	case 0x64:
		m.status.And(^v)
	case 0x70:
		m.SetStatus(uint8(v))
	case 0x80, 0x84:
		half(&m.rings.Desc, 8*(off-0x80))
	case 0x90, 0x94:
		half(&m.rings.Avail, 8*(off-0x90))
	case 0xa0, 0xa4:
		half(&m.rings.Used, 8*(off-0xa0))
	default:
		panic("a register that is not there is written")
	}
}

func newMMIO(t *testing.T, version uint32, level bool) (*mmioModel, *virtio.Device) {
	t.Helper()
	m := &mmioModel{version: version, level: level, Device: virtiotest.New(virtio.TypeBlock,
		virtio.FeatureEventIndex|virtio.FeatureIndirect, []byte{1, 2, 3, 4, 5, 6, 7, 8}, virtiotest.Queue{Size: 256, Handle: echo})}
	m.Old = version == 1
	m.Device.Connect(m)
	transport, err := virtio.NewMMIO(m, virtio.Line{
		Connect: func(f func() bool) error { m.line = f; return nil },
		Level:   level,
		Name:    "GSI 5",
	}, "0xfeb00000")
	if err != nil {
		t.Fatal(err)
	}
	return m, virtio.New(transport, m.Memory)
}

func TestMMIO(t *testing.T) {
	for version := uint32(1); version <= 2; version++ {
		for _, level := range []bool{false, true} {
			m, d := newMMIO(t, version, level)
			changed := make(chan bool, 8)
			d.OnConfig(func() { changed <- true })
			c := start(t, d, 64)
			begin := m.accesses.Load()
			for i := range 100 {
				msg := bytes.Repeat([]byte{byte(i)}, 40)
				got, err := c.call(msg, 1+i%3)
				if err != nil {
					t.Fatal(err)
				}
				if want := bytes.Repeat([]byte{byte(i + 1)}, 40); !bytes.Equal(got, want) {
					t.Fatalf("version %d: got %v, want %v", version, got, want)
				}
			}
			t.Logf("%v: %d accesses at the start, %d for 100 requests", d, begin, m.accesses.Load()-begin)
			m.SetConfig(0, []byte{9, 8})
			<-changed
			if v := d.Config64(0); v != 0x0807060504030809 || d.Config16(2) != 0x0403 || d.Config32(4) != 0x08070605 || d.Config8(1) != 8 {
				t.Errorf("version %d: configuration %#x", version, v)
			}
			if s := m.status.Load(); s != 0 && level {
				t.Errorf("causes %#x are left", s)
			}
		}
	}
}

// A line that does not get quiet ends in an error, not in a kernel that hangs.
func TestStorm(t *testing.T) {
	m, d := newMMIO(t, 2, true)
	failed := make(chan error, 1)
	d.OnFail(func(err error) { failed <- err })
	start(t, d, 8)
	m.sticky = 2
	m.line()
	t.Log(<-failed)
}

// A driver may leave what was used for later.
func TestLeftForLater(t *testing.T) {
	for _, level := range []bool{false, true} {
		m, d := newMMIO(t, 2, level)
		if _, err := d.Negotiate(0); err != nil {
			t.Fatal(err)
		}
		later := true
		var q *virtio.Queue
		called, taken := make(chan bool, 1), 0
		q, err := d.NewQueue(0, 8, func() {
			if later {
				called <- true
				return
			}
			for _, _, ok := q.Next(); ok; _, _, ok = q.Next() {
				taken++
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Start(); err != nil {
			t.Fatal(err)
		}
		mem, _ := d.Memory().Alloc(8)
		q.Add(nil, []virtio.Buffer{mem.Buffer(0, 8)}, nil)
		q.Kick()
		for quiet := false; !quiet; { // the interrupt's handler has returned
			select {
			case <-called:
			case <-time.After(20 * time.Millisecond):
				quiet = true
			}
		}
		if later = false; d.Err() != nil || level && m.status.Load() != 0 {
			t.Errorf("by level %v: %v, causes %#x are left", level, d.Err(), m.status.Load())
		}
		if d.Used(); taken != 1 {
			t.Error("it is not there later")
		}
	}
}

func TestNoMMIO(t *testing.T) {
	m := &mmioModel{Device: virtiotest.New(0, 0, nil), version: 2}
	if tr, err := virtio.NewMMIO(m, virtio.Line{}, "0"); tr != nil || err != nil {
		t.Errorf("an empty place: %v, %v", tr, err)
	}
	m.Kind, m.version = 1, 3
	if _, err := virtio.NewMMIO(m, virtio.Line{}, "0"); err == nil {
		t.Error("version 3 is taken")
	}
}
