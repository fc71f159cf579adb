package pci

import (
	"encoding/binary"
	"math/rand"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"gosv/kernel/boot"
	"gosv/kernel/platform"
)

// model is a configuration space: for each function 256 bytes, and what of
// them can be written.
type model struct {
	functions map[Address]*modelFunction
	nothing   uint32 // what is read where there is none
	reads     int
}

type modelFunction struct {
	words [64]uint32
	mask  [64]uint32
}

func (m *model) Read(a Address, off int) uint32 {
	m.reads++
	if f := m.functions[a]; f != nil {
		return f.words[off/4]
	}
	return m.nothing
}

func (m *model) Write(a Address, off int, v uint32) {
	if f := m.functions[a]; f != nil {
		mask := f.mask[off/4]
		f.words[off/4] = f.words[off/4]&^mask | v&mask
	}
}

// add adds a function whose command register can be written.
func (m *model) add(bus, device, function int, id uint32) *modelFunction {
	f := new(modelFunction)
	f.words[regID/4] = id
	f.mask[regCommand/4] = 0xffff
	m.functions[at(bus, device, function)] = f
	return f
}

func (f *modelFunction) set(off int, v uint32) *modelFunction { f.words[off/4] = v; return f }

func newModel() *model {
	m := &model{functions: map[Address]*modelFunction{}, nothing: 0xffffffff}
	m.add(0, 0, 0, 0x29c08086)
	return m
}

func (m *model) scan(t *testing.T, machine *platform.Machine) (*Bus, []string) {
	t.Helper()
	if machine == nil {
		machine = new(platform.Machine)
	}
	var messages []string
	b := Scan(m, 256, machine, func(s string) { messages = append(messages, s) })
	return b, messages
}

func names(b *Bus) (s []string) {
	for _, f := range b.Functions {
		s = append(s, f.Address.String())
	}
	return s
}

const virtio = 0x10411af4

func TestScan(t *testing.T) {
	m := newModel()
	m.add(0, 3, 0, virtio)
	m.add(0, 3, 1, virtio)                             // is not looked at: the device has one function
	m.add(0, 4, 0, virtio).set(regHeader, 0x80<<16)    // has several,
	m.add(0, 4, 5, virtio)                             // with a gap
	m.add(0, 5, 0, 0x00000000)                         // nothing, as Firecracker says it
	port := m.add(0, 31, 0, 0x000c1b36)                // a root port
	port.set(regHeader, 1<<16).set(regBuses, 0x020100) // to bus 1
	port.set(regCommand, statusHasCaps).set(regCapability, 0x40).set(0x40, capabilityPCIe|4<<20)
	m.add(1, 0, 0, virtio)
	m.add(1, 1, 0, virtio) // is not looked at: a port has one device behind it
	bridge := m.add(0, 30, 0, 0x00011b36)
	bridge.set(regHeader, 1<<16).set(regBuses, 0x030300)
	m.add(3, 17, 0, virtio)
	b, messages := m.scan(t, nil)
	want := []string{"00:00.0", "00:03.0", "00:04.0", "00:04.5", "00:1e.0", "03:11.0", "00:1f.0", "01:00.0"}
	if got := names(b); !slices.Equal(got, want) || messages != nil {
		t.Errorf("found %v, want %v; %q", got, want, messages)
	}
	if s := b.Functions[1].String(); s != "PCI 00:03.0 (1af4:1041)" {
		t.Error(s)
	}
}

// Bridges that lead to themselves, back, to nowhere, and all to the same bus.
func TestBridgesInCircles(t *testing.T) {
	m := newModel()
	for device, secondary := range []uint32{0, 1, 1, 2, 0, 200, 255} {
		if device > 0 {
			m.add(0, device, 0, 0x000c1b36).set(regHeader, 1<<16).set(regBuses, secondary<<8|0xff0000)
		}
	}
	m.add(1, 0, 0, 0x000c1b36).set(regHeader, 1<<16).set(regBuses, 0<<8)
	m.add(1, 1, 0, 0x000c1b36).set(regHeader, 1<<16).set(regBuses, 1<<8)
	m.add(2, 0, 0, 0x000c1b36).set(regHeader, 1<<16).set(regBuses, 1<<8)
	m.add(200, 0, 0, virtio)
	b, messages := m.scan(t, nil)
	if got := names(b); len(got) != 1+6+2+1+1 {
		t.Errorf("found %v", got)
	}
	if len(messages) != 5 || !strings.Contains(messages[0], "leads nowhere") {
		t.Errorf("%q", messages)
	}

	// All functions of all buses.
	m = newModel()
	full := new(modelFunction).set(regID, 0x000c1b36).set(regHeader, 0x81<<16)
	for a := range 0x10000 {
		f := *full
		f.set(regBuses, uint32(a>>8+1)&0xff<<8)
		m.functions[Address(a)] = &f
	}
	if b, _ := m.scan(t, nil); len(b.Functions) > maxFunctions {
		t.Errorf("%d functions", len(b.Functions))
	}
}

func TestCapabilities(t *testing.T) {
	for _, c := range []struct {
		name  string
		links map[int]uint32 // offset: id, next
		first uint32
		want  []int // of id 9
	}{
		{"none", nil, 0, nil},
		{"in the header", map[int]uint32{0x10: 9}, 0x10, nil},
		{"three", map[int]uint32{0x40: 9 | 0x50<<8, 0x50: 0x11 | 0x60<<8, 0x60: 9}, 0x40, []int{0x40, 0x60}},
		{"backwards", map[int]uint32{0xfc: 9 | 0x40<<8, 0x40: 9}, 0xfc, []int{0xfc, 0x40}},
		{"reserved bits", map[int]uint32{0x40: 9 | 0x53<<8, 0x50: 9}, 0x43, []int{0x40, 0x50}},
		{"loop to itself", map[int]uint32{0x40: 9 | 0x40<<8}, 0x40, []int{0x40}},
		{"loop", map[int]uint32{0x40: 9 | 0x50<<8, 0x50: 9 | 0x60<<8, 0x60: 9 | 0x50<<8}, 0x40, []int{0x40, 0x50, 0x60}},
		{"to the header", map[int]uint32{0x40: 9 | 0x3c<<8}, 0x40, []int{0x40}},
		{"gone", map[int]uint32{0x40: 9 | 0x50<<8, 0x50: 0xffffffff}, 0x40, []int{0x40}},
	} {
		m := newModel()
		f := m.add(0, 1, 0, virtio).set(regCommand, statusHasCaps).set(regCapability, c.first)
		for off, v := range c.links {
			f.set(off, v)
		}
		b, _ := m.scan(t, nil)
		b.Functions[1].Enable(false)
		m.reads = 0
		var got []int
		for _, c := range b.Functions[1].Capabilities(9) {
			got = append(got, c.Off)
			if c.Word != f.words[c.Off/4] {
				t.Errorf("%#x: %#x, want %#x", c.Off, c.Word, f.words[c.Off/4])
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %x, want %x", c.name, got, c.want)
		}
		if most := 1 + len(c.links); m.reads > most { // each is a VM exit
			t.Errorf("%s: %d reads, want %d at most", c.name, m.reads, most)
		}
		f.set(regCommand, 0)
		b, _ = m.scan(t, nil)
		if got := b.Functions[1].Capabilities(9); got != nil {
			t.Errorf("%s: %x, but there is no list", c.name, got)
		}
	}
}

// mapped notes what would be mapped instead of the mapping.
func mapped(t *testing.T) *[]boot.Range {
	var got []boot.Range
	old := mapDevice
	mapDevice = func(pa, n uintptr) unsafe.Pointer {
		got = append(got, boot.Range{Start: uint64(pa), End: uint64(pa + n)})
		return unsafe.Pointer(new([64]byte))
	}
	t.Cleanup(func() { mapDevice = old })
	return &got
}

// A table may name a configuration space where there is none.
func TestOpen(t *testing.T) {
	memory := make([]uint32, 1<<18)
	old := mapDevice
	defer func() { mapDevice = old }()
	mapDevice = func(pa, n uintptr) unsafe.Pointer {
		if pa != 0xeec00000 || n != 1<<20 {
			t.Errorf("%#x bytes at %#x would be mapped", n, pa)
		}
		return unsafe.Pointer(&memory[0])
	}
	m := &platform.Machine{ECAM: []platform.ECAM{{Addr: 1 << 40, Segment: 1}, {Addr: 1 << 41, First: 1, Last: 9}, {Addr: 0xeec00000}}}
	for _, nothing := range []uint32{0, 0xffffffff} {
		memory[0] = nothing
		if s, _ := Open(m); s != nil {
			t.Errorf("%#x is a host bridge", nothing)
		}
	}
	memory[0], memory[3] = 0x0d578086, 0x80<<16
	memory[5<<12/4] = virtio // 00:00.5
	s, buses := Open(m)
	if s == nil || buses != 1 {
		t.Fatal(s, buses)
	}
	memory[31<<15/4] = virtio
	if got := names(Scan(s, buses, m, nil)); !slices.Equal(got, []string{"00:00.0", "00:00.5", "00:1f.0"}) {
		t.Error(got)
	}
	m.NoPCI = true
	if s, _ := Open(m); s != nil {
		t.Error("pci=off is ignored")
	}
	mapDevice = func(pa, n uintptr) unsafe.Pointer { return nil } // no memory
	m.NoPCI = false
	if s, _ := Open(m); s != nil {
		t.Error("a space that cannot be mapped")
	}
}

func TestMap(t *testing.T) {
	got := mapped(t)
	machine := &platform.Machine{RAM: []boot.Range{{Start: 0, End: 0x80000000}, {Start: 4 << 30, End: 6 << 30}}}
	m := newModel()
	f := m.add(0, 1, 0, virtio)
	f.set(regBAR, 0xfe000000).set(regBAR+4, 0xc041)                          // memory, ports
	f.set(regBAR+8, 0x0000000c).set(regBAR+12, 0x40)                         // 64 bits, prefetchable: 256 GiB
	f.set(regBAR+16, 0x1000).set(regBAR+20, 0x4|0xfe100000)                  // in RAM; 64 bits, but there is no second half
	m.add(0, 2, 0, virtio).set(regBAR, 0xff).set(regBAR+4, 1)                // ports that are none
	m.add(0, 3, 0, virtio).set(regBAR, 4).set(regBAR+4, 1)                   // in RAM above 4 GiB
	m.add(0, 4, 0, virtio).set(regBAR, 0xfffff004).set(regBAR+4, 0xffffffff) // at the end of all addresses
	b, _ := m.scan(t, machine)
	for _, c := range []struct {
		function, bar int
		off, n        uint64
		want          uint64 // address; 0: an error
	}{
		{1, 0, 0, 0x1000, 0xfe000000},
		{1, 0, 0x3000, 4, 0xfe003000},
		{1, 1, 0, 4, 0},
		{1, 2, 0x8000, 0x10, 0x4000008000},
		{1, 3, 0, 4, 0}, // the second half of another
		{1, 4, 0, 4, 0},
		{1, 5, 0, 4, 0},
		{1, 6, 0, 4, 0},
		{1, 7, 0, 4, 0},
		{1, 0, 0, 0, 0},
		{1, 0, 1 << 31, 4, 0},
		{1, 0, 0, 1 << 31, 0},
		{1, 0, ^uint64(0), 4, 0},
		{2, 0, 0, 4, 0},
		{3, 0, 0, 4, 0},
		{4, 0, 0xff0, 0x20, 0},
	} {
		*got = nil
		p, err := b.Functions[c.function].Map(c.bar, c.off, c.n)
		want := []boot.Range{{Start: c.want, End: c.want + c.n}}
		if c.want == 0 {
			want = nil
		}
		if (err == nil) != (c.want != 0) || (p == nil) != (c.want == 0) || !slices.Equal(*got, want) {
			t.Errorf("%+v: %x, %v", c, *got, err)
		}
	}
	if port, err := b.Functions[1].Ports(1, 32); port != 0xc040 || err != nil {
		t.Errorf("port %#x, %v", port, err)
	}
	for _, bad := range []struct{ function, bar int }{{1, 0}, {2, 1}, {1, 6}, {0, 0}} {
		if port, err := b.Functions[bad.function].Ports(bad.bar, 32); err == nil {
			t.Errorf("%v: port %#x", bad, port)
		}
	}
}

// Which registers are the second halves of others, whatever is in them.
func TestHalves(t *testing.T) {
	const wide, narrow = 0xfe00000c, 0xfe000000
	for _, c := range []struct {
		bars [6]uint32
		want [6]bool
	}{
		{[6]uint32{narrow, narrow, 1, narrow, narrow, narrow}, [6]bool{true, true, true, true, true, true}},
		{[6]uint32{wide, 0, wide, 0, wide, 0}, [6]bool{true, false, true, false, true, false}},
		{[6]uint32{wide, wide, wide, wide, wide, wide}, [6]bool{true, false, true, false, true, false}},
		{[6]uint32{narrow, wide, wide, narrow, wide, wide}, [6]bool{true, true, false, true, true, false}},
		{[6]uint32{narrow, narrow, wide, wide, narrow, wide}, [6]bool{true, true, true, false, true, false}},
		{[6]uint32{wide, 0xd, wide, narrow, narrow, wide}, [6]bool{true, false, true, false, true, false}},
	} {
		m := newModel()
		f := m.add(0, 1, 0, virtio)
		for i, v := range c.bars {
			f.set(regBAR+i*4, v)
		}
		var got [6]bool
		for i := range got {
			b, _ := m.scan(t, nil) // which has read nothing yet
			got[i] = b.Functions[1].isBAR(i)
		}
		if got != c.want {
			t.Errorf("%x: %v, want %v", c.bars, got, c.want)
		}
	}
}

// microvm's firmware sets no BAR.
func TestAssign(t *testing.T) {
	got := mapped(t)
	machine := &platform.Machine{
		RAM:     []boot.Range{{Start: 0, End: 0x20000000}},
		Windows: []boot.Range{{Start: 0xc0000000, End: 0xc0100000}, {Start: 0xc000000000, End: 0xc100000000}},
		MMIO:    []platform.MMIO{{Addr: 0xc0000000, Size: 0x1000}},
		ECAM:    []platform.ECAM{{Addr: 0xc000000000, Last: 0}},
	}
	m := newModel()
	for device := 1; device <= 3; device++ {
		f := m.add(0, device, 0, virtio).set(regCommand, statusHasCaps)
		f.mask[regBAR/4] = 0xfffff000 // 4 KiB
		f.set(regBAR+8, 0xc)          // 64 bits
		f.mask[regBAR/4+2], f.mask[regBAR/4+3] = 0xfff80000, 0xffffffff
	}
	m.add(0, 4, 0, virtio).set(regBAR, 0xc0002000) // was set
	b, _ := m.scan(t, machine)
	for _, c := range []struct {
		function, bar int
		want          uint64
	}{
		{1, 0, 0xc0001000}, {1, 0, 0xc0001000}, {1, 2, 0xc0080000}, {2, 0, 0}, {2, 2, 0xc000100000},
		{4, 0, 0xc0002000}, {1, 1, 0}, {3, 2, 0xc000180000}, {3, 3, 0}, {3, 2, 0xc000180000}} {
		*got = nil
		_, err := b.Functions[c.function].Map(c.bar, 0, 0x100)
		if (err == nil) != (c.want != 0) || c.want != 0 && (*got)[0].Start != c.want {
			t.Errorf("%+v: %x, %v", c, *got, err)
		}
	}
	for device := 1; device <= 3; device++ {
		if c := m.functions[at(0, device, 0)].words[regCommand/4]; c != statusHasCaps {
			t.Errorf("command register %#x", c)
		}
	}
}

func TestLines(t *testing.T) {
	var isa [16]platform.Line
	for i := range isa {
		isa[i].GSI = uint32(i)
	}
	isa[10].GSI = 20
	links := func(n int) (l []platform.Line) {
		for i := range n {
			l = append(l, platform.Line{GSI: 16 + uint32(i), Level: true})
		}
		return l
	}
	for _, c := range []struct {
		name           string
		links          int
		bridge, device int
		intr           uint32
		want           uint32
		none           bool
	}{
		{"pc", 0, 0, 3, 0x010b, 11, false},
		{"pc, moved", 0, 0, 3, 0x010a, 20, false},
		{"pc, none", 0, 0, 3, 0x01ff, 0, true},
		{"no pin", 8, 0, 3, 0x000b, 0, true},
		{"bad pin", 8, 0, 3, 0x050b, 0, true},
		{"q35", 8, 0, 2, 0x010a, 22, false}, // -device in slot 2, INTA: G
		{"q35, INTB", 8, 0, 2, 0x020a, 23, false},
		{"q35, its own", 8, 0, 31, 0x010a, 16, false},
		{"q35, behind a port", 8, 3, 0, 0x010a, 23, false},
		{"q35, second device behind a bridge", 8, 3, 1, 0x010a, 20, false},
		{"microvm", 4, 0, 1, 0x0100, 17, false},
		{"microvm, INTD", 4, 0, 3, 0x0400, 18, false},
	} {
		m := newModel()
		bus := 0
		if c.bridge != 0 {
			bus = 1
			m.add(0, c.bridge, 0, 0x000c1b36).set(regHeader, 1<<16).set(regBuses, 0x010100)
		}
		m.add(bus, c.device, 0, virtio).set(regInterrupt, c.intr)
		b, _ := m.scan(t, &platform.Machine{ISA: isa, Links: links(c.links)})
		l, err := b.Functions[len(b.Functions)-1].Line()
		if (err != nil) != c.none || !c.none && l != (platform.Line{GSI: c.want, Level: true}) {
			t.Errorf("%s: %+v, %v", c.name, l, err)
		}
	}
}

func TestEnable(t *testing.T) {
	m := newModel()
	f := m.add(0, 1, 0, virtio).set(regCommand, 0xffff0000|0x400)
	b, _ := m.scan(t, nil)
	b.Functions[1].Enable(true)
	if got := uint16(f.words[regCommand/4]); got != commandIO|commandMemory|commandMaster {
		t.Errorf("%#x", got)
	}
	b.Functions[1].Enable(false)
	if got := uint16(f.words[regCommand/4]); got != commandIO|commandMemory|commandMaster|commandNoINTx {
		t.Errorf("%#x", got)
	}
}

// A configuration space of random bytes: nothing loops, nothing maps RAM.
func FuzzConfig(f *testing.F) {
	f.Add(int64(1), []byte{0x34 / 4, 0x40, 0x40 / 4, 9, 0x10 / 4, 4})
	f.Add(int64(2), []byte{0x0c / 4, 0x81, 0x18 / 4, 1})
	f.Fuzz(func(t *testing.T, seed int64, edits []byte) {
		got := mapped(t)
		random := rand.New(rand.NewSource(seed))
		m := newModel()
		for bus := range 4 {
			for device := range 4 {
				c := m.add(bus, device, 0, virtio)
				for i := 1; i < 64; i++ {
					c.words[i], c.mask[i] = random.Uint32(), random.Uint32()
					if random.Intn(3) == 0 {
						c.words[i] &= 0x0303
					}
				}
				c.words[regHeader/4] &= 0x81 << 16
				for i := 0; i+5 < len(edits); i += 6 {
					c.words[edits[i]&63] = binary.LittleEndian.Uint32(edits[i+1:])
				}
			}
		}
		machine := &platform.Machine{
			RAM:     []boot.Range{{Start: 0, End: 1 << 31}, {Start: 4 << 30, End: 5 << 30}},
			Windows: []boot.Range{{Start: 0xc0000000, End: 0xc1000000}, {Start: 1 << 40, End: 1<<40 + 1<<32}},
		}
		b, _ := m.scan(t, machine)
		for _, f := range b.Functions {
			f.Capabilities(9)
			f.Line()
			f.Enable(true)
			for i := range 8 {
				f.Map(i, uint64(random.Uint32()), uint64(random.Uint32()))
				f.Ports(i, 32)
			}
		}
		for _, r := range *got {
			if machine.IsRAM(r.Start, r.End-r.Start) {
				t.Fatalf("%x would be mapped", r)
			}
		}
		if m.reads > 1<<20 {
			t.Fatalf("%d reads", m.reads)
		}
	})
}
