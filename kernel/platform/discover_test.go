package platform

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"gosv/kernel/boot"
	"gosv/kernel/boot/boottest"
)

// Where Firecracker puts things (its src/vmm/src/arch/x86_64/layout.rs).
const (
	fcCmdLine = 0x20000
	fcMP      = 0x9fc00
	fcRSDP    = 0xe0000
)

var fcDevices = []MMIO{{0xc0001000, 0x1000, edge(5)}, {0xc0002000, 0x1000, edge(6)}, {0xc0003000, 0x1000, edge(7)}}

// Firecracker with less than it offers today: without ACPI as before 1.8, without
// what it has deprecated, without both.
func TestFirecrackerWithLess(t *testing.T) {
	const deviceOnLine = "virtio_mmio.device=4K@0xc0001000:5 virtio_mmio.device=4K@0xc0002000:6 virtio_mmio.device=4K@0xc0003000:7"
	noACPI := func(m []byte) { clear(m[fcRSDP : fcRSDP+36]) }
	noMP := func(m []byte) { clear(m[fcMP : fcMP+16]) }
	noWords := func(m []byte) { clear(m[fcCmdLine : fcCmdLine+2048]) }
	for name, c := range map[string]struct {
		edits []func(m []byte)
		want  func(m *Machine)
	}{
		"all there is":   {nil, func(m *Machine) { m.NoPCI = true }},
		"no words":       {[]func([]byte){noWords}, func(m *Machine) {}},
		"no MP table":    {[]func([]byte){noMP}, func(m *Machine) { m.NoPCI = true }},
		"no ACPI":        {[]func([]byte){noACPI}, func(m *Machine) { *m = Machine{NoPCI: true} }},
		"only the words": {[]func([]byte){noACPI, noMP}, func(m *Machine) { *m = Machine{NoPCI: true, CPUs: []uint32{}} }},
		"nothing":        {[]func([]byte){noACPI, noMP, noWords}, func(m *Machine) { *m = Machine{CPUs: []uint32{}, MMIO: []MMIO{}} }},
	} {
		b := boottest.Captured(t, "firecracker-devices")
		if line := string(b.Mem[fcCmdLine:][:bytes.IndexByte(b.Mem[fcCmdLine:], 0)]); !strings.HasSuffix(line, deviceOnLine) {
			t.Fatalf("the command line is %q", line)
		}
		// The count of the MP table's entries is one too high: 1 CPU, 1 bus, 1 I/O APIC, 24 and 2 interrupts.
		if n := binary.LittleEndian.Uint16(b.Mem[fcMP+16+34:]); n != 1+1+1+24+2+1 {
			t.Fatalf("%d entries in the MP table", n)
		}
		for _, edit := range c.edits {
			edit(b.Mem)
		}
		want := Machine{ACPI: true, ECAM: []ECAM{{Addr: 0xeec00000}}, GenID: GenID{Addr: 0xdfff0, Line: edge(8), HasLine: true},
			Clock: VMClock{Addr: 0xde000, Size: 4096, Line: edge(9), HasLine: true}}
		c.want(&want)
		want.RAM = []boot.Range{{Start: 0, End: 0x9f000}, {Start: 0x100000, End: 32 << 20}}
		want.IOAPICs = []IOAPIC{{Addr: ioapic0, Pins: 24}}
		want.ISA = isa(nil)
		if want.CPUs == nil {
			want.CPUs = []uint32{0}
		} else {
			want.CPUs = nil
		}
		if want.MMIO == nil {
			for _, d := range fcDevices {
				d.Line.Level = !want.ACPI // the words do not say
				want.MMIO = append(want.MMIO, d)
			}
		} else {
			want.MMIO = nil
		}
		if got := discover(b); !reflect.DeepEqual(*got, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", name, *got, want)
		}
	}
}

func TestWords(t *testing.T) {
	machine := func() *Machine {
		m := &Machine{RAM: []boot.Range{{Start: 0, End: 1 << 30}}, ISA: isa(map[int]Line{11: {20, false, true}})}
		return m
	}
	for _, c := range []struct {
		line     string
		want     []MMIO
		warnings int
	}{
		{"", nil, 0},
		{"virtio_mmio.device=4K@0xd0000000:5", []MMIO{{0xd0000000, 4096, level(5)}}, 0},
		{"a=b virtio_mmio.device=512@0xfeb00e00:12 c", []MMIO{{0xfeb00e00, 512, level(12)}}, 0},
		{"x  virtio_mmio.device=0x200@0xfeb00e00:0xc:3\tvirtio_mmio.device=1k@4276092928:010:0", []MMIO{{0xfeb00e00, 512, level(12)}, {0xfee00000, 1024, level(8)}}, 0},
		{"virtio_mmio.device=1M@0xd0000000:11", []MMIO{{0xd0000000, 1 << 20, Line{20, true, true}}}, 0}, // where the ISA interrupt goes
		{"virtio_mmio.device=1G@0x100000000:99", []MMIO{{1 << 32, 1 << 30, level(99)}}, 0},
		{"program -- args virtio_mmio.device=512@0xfeb00e00:12", []MMIO{{0xfeb00e00, 512, level(12)}}, 0}, // QEMU appends
		{"virtio_mmio.device=4K@0xd0000000:5 virtio_mmio.device=4K@0xd0000000:6", []MMIO{{0xd0000000, 4096, level(5)}}, 0},
		{"virtio_mmio.device=4K@0xd0000000:5 virtio_mmio.device=4K@0xd0000800:6", []MMIO{{0xd0000000, 4096, level(5)}}, 1},
		{"Xvirtio_mmio.device=4K@0xd0000000:5 virtio_mmio.devices=1 virtio_mmio.device", nil, 0},
		{"virtio_mmio.device=4K@0x10000000:5", nil, 1},              // in RAM
		{"virtio_mmio.device=4K@0xfffffffffffff000:5", nil, 1},      // the end of all addresses
		{"virtio_mmio.device=0@0xd0000000:5", nil, 1},               // of no size
		{"virtio_mmio.device=0xff@0xd0000000:5", nil, 1},            // too small
		{"virtio_mmio.device=4K@0xd0000002:5", nil, 1},              // not aligned
		{"virtio_mmio.device=17179869184G@0xd0000000:5", nil, 1},    // 1<<64 bytes
		{"virtio_mmio.device=4K@0x1ffffffffffffffff:5", nil, 1},     // more than 64 bits
		{"virtio_mmio.device=4K@0xd0000000:4294967296", nil, 1},     // more than 32 bits
		{"virtio_mmio.device=4K@0xd0000000:5:", nil, 1},             // no id
		{"virtio_mmio.device=4K@0xd0000000:5:x", nil, 1},            // no number
		{"virtio_mmio.device=4K@0xd0000000", nil, 1},                // no interrupt
		{"virtio_mmio.device=4K@:5", nil, 1},                        // no address
		{"virtio_mmio.device=@0xd0000000:5", nil, 1},                // no size
		{"virtio_mmio.device=K@0xd0000000:5", nil, 1},               // no number
		{"virtio_mmio.device=-4@0xd0000000:5", nil, 1},              // no number
		{"virtio_mmio.device=4K@0xd000g000:5", nil, 1},              // no number
		{"virtio_mmio.device=4K@0xd0000000:09", nil, 1},             // no octal digit
		{"virtio_mmio.device=4K@d0000000:5", nil, 1},                // no prefix
		{"virtio_mmio.device=4Q@0xd0000000:5 a", nil, 1},            // no suffix
		{"virtio_mmio.device= virtio_mmio.device=:@:@", nil, 1},     // an empty one is none
		{"virtio_mmio.device=" + strings.Repeat("4", 9999), nil, 1}, // a long one
	} {
		m := machine()
		m.readWords([]byte(c.line))
		if !reflect.DeepEqual(m.MMIO, c.want) || len(m.Warnings) != c.warnings {
			t.Errorf("%.99s:\n got %+v, %q\nwant %+v and %d warnings", c.line, m.MMIO, m.Warnings, c.want, c.warnings)
		}
	}
	m := machine()
	for i := range 2 * maxMMIO {
		m.readWords(fmt.Appendf(nil, "virtio_mmio.device=4K@%#x:5", 0xd0000000+i*4096))
	}
	if len(m.MMIO) != maxMMIO || len(m.Warnings) != maxWarnings {
		t.Errorf("%d devices, %d warnings", len(m.MMIO), len(m.Warnings))
	}
	for line, want := range map[string]bool{"pci=off": true, "a pci=off b": true, "pci=noacpi": false, "xpci=off": false, "pci=offx": false} {
		m := machine()
		m.readWords([]byte(line))
		if m.NoPCI != want {
			t.Errorf("%s: %v", line, m.NoPCI)
		}
	}
}
