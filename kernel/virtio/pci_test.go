package virtio

import (
	"errors"
	"testing"
	"unsafe"

	"gosv/kernel/interrupt"
	"gosv/kernel/pci"
)

// fakeFunction is a function's configuration space; all its BARs are ports.
type fakeFunction struct {
	config [256]byte
	caps   []pci.Capability
}

func (f *fakeFunction) Config(off int) (v uint32) {
	for i := range 4 {
		v |= uint32(f.config[(off+i)&0xff]) << (8 * i)
	}
	return v
}

func (f *fakeFunction) String() string                      { return "a fake" }
func (f *fakeFunction) Capabilities(uint8) []pci.Capability { return f.caps }
func (f *fakeFunction) Enable(bool)                         {}
func (f *fakeFunction) IsIO(bar int) bool                   { return bar < 6 }
func (f *fakeFunction) Connect(interrupt.Handler) error     { return nil }
func (f *fakeFunction) MSIX(most int) (*pci.MSIX, error)    { return nil, errors.New("none") }
func (f *fakeFunction) Ports(bar, n int) (uint16, error)    { return 0xc000, nil }
func (f *fakeFunction) Map(bar int, off, n uint64) (unsafe.Pointer, error) {
	return nil, errors.New("no such BAR")
}

// add appends a vendor capability.
func (f *fakeFunction) add(kind, bar byte, off, length, multiplier uint32) {
	at := 0x40 + 20*len(f.caps)
	copy(f.config[at:], []byte{9, 0, 20, kind, bar})
	f.caps = append(f.caps, pci.Capability{Off: at, Word: f.Config(at)})
	for i, v := range []uint32{off, length, multiplier} {
		for j := range 4 {
			f.config[at+8+4*i+j] = byte(v >> (8 * j))
		}
	}
}

func TestModernCapabilities(t *testing.T) {
	type c struct {
		kind, bar               byte
		off, length, multiplier uint32
	}
	good := []c{{1, 4, 0, 0x38, 0}, {3, 4, 0x1000, 1, 0}, {4, 4, 0x2000, 0x40, 0}, {2, 4, 0x3000, 0x1000, 4}}
	for _, test := range []struct {
		name string
		caps []c
		ok   bool
	}{
		{"good", good, true},
		{"several of a type, the first ones too short", append([]c{{1, 0, 0, 4, 0}, {2, 0, 0, 0, 0}}, good...), true},
		{"no configuration", append([]c{}, good[0], good[1], good[3]), true},
		{"none", nil, false},
		{"no common structure", good[1:], false},
		{"no notifications", good[:3], false},
		{"in no BAR", append([]c{{1, 7, 0, 0x38, 0}}, good[1:]...), false},
		{"beyond all ports", append([]c{{1, 0, 0xffffffff, 0x38, 0}}, good[1:]...), false},
	} {
		f := &fakeFunction{}
		for _, c := range test.caps {
			f.add(c.kind, c.bar, c.off, c.length, c.multiplier)
		}
		r, err := openModern(f)
		if (err == nil) != test.ok {
			t.Errorf("%s: %v", test.name, err)
		}
		if m, ok := r.(*modernPCI); ok && err == nil {
			if off := m.deviceLen; m.ReadConfig(off, 1) != 0 || m.ReadConfig(off-1, 4) != 0 {
				t.Errorf("%s: what is beyond the configuration is read", test.name)
			}
		}
	}
}

// scratch are registers that keep what is written.
type scratch map[int]uint32

func (s scratch) Read(off, width int) uint32     { return s[off] }
func (s scratch) Write(off, width int, v uint32) { s[off] = v }

// Where to notify, and whether messages are sent, is the device's to say.
func TestModernQueue(t *testing.T) {
	for _, c := range []struct {
		off, multiplier uint32
		want            error
	}{{0, 0, nil}, {3, 4, nil}, {7, 2, nil}, {4, 4, errNotify}, {0xffff, 0xffffffff, errNotify}} {
		m := &modernPCI{common: scratch{commonQueueNotifyOff: c.off}, notifyLen: 16, multiplier: c.multiplier, queueVector: noVector}
		if err := m.EnableQueue(0, Rings{}); err != c.want {
			t.Errorf("offset %#x, multiplier %#x: %v", c.off, c.multiplier, err)
		}
	}
	m := &modernPCI{common: readOnly{noVector}}
	if err := m.setVectors(0, 1); err != errVector {
		t.Error(err)
	}
}

// After a reset the device is told again which messages to send.
func TestConnectAgain(t *testing.T) {
	m := &modernPCI{common: scratch{commonConfigVector: noVector}, queueVector: noVector}
	p := &pciTransport{pciRegisters: m, handler: New(nil, nil), vectors: [2]uint16{0, 1}}
	if err := p.Connect(p.handler); err != nil || m.common.Read(commonConfigVector, 2) != 0 || m.queueVector != 1 {
		t.Error(err, m.common, m.queueVector)
	}
}

// readOnly are registers that all read as this.
type readOnly [1]uint32

func (r readOnly) Read(int, int) uint32   { return r[0] }
func (r readOnly) Write(int, int, uint32) {}

func FuzzModernCapabilities(f *testing.F) {
	f.Add([]byte{9, 0, 20, 1, 4, 0, 0, 0, 0, 0, 0, 0, 0x38, 0, 0, 0, 9, 0, 20, 2, 4}, byte(5))
	f.Fuzz(func(t *testing.T, config []byte, n byte) {
		fn := &fakeFunction{}
		copy(fn.config[:], config)
		for i := range int(n) {
			off := (i * 16) & 0xfc
			fn.caps = append(fn.caps, pci.Capability{Off: off, Word: fn.Config(off)})
		}
		if r, err := openModern(fn); err == nil {
			r.ReadConfig(maxDevice, 4)
			r.ReadConfig(1<<20, 4)
		}
	})
}
