package boot

import (
	"slices"
	"testing"

	"gosv/kernel/boot/boottest"
)

// What real machines (QEMU 7.2, Firecracker 1.17-dev) left in memory, and what
// must be read from it.
func TestCapturedMachines(t *testing.T) {
	low := Range{0, 0x9f000}
	microvmOff := Power{
		HWReduced: true, HasS5: true, S5Type: 5, SleepControl: Register{SystemMemory, 0xfea00200},
		Reset: Register{SystemMemory, 0xfea00202}, ResetValue: 0x42,
	}
	for _, c := range []struct {
		name    string
		ram     []Range
		cmdline string
		initrd  Range
		rsdp    uint64 // handed over
		found   uint64 // by FindRSDP
		cpus    []uint32
		power   Power
	}{
		// By PVH Firecracker does not say where its RSDP is, and its MP table's entry count is one too high.
		{"firecracker", []Range{low, {0x100000, 32 << 20}}, "one two=2 pci=off", Range{0x1fff000, 0x1fff458}, 0, 0xe0000,
			[]uint32{0, 1}, Power{HWReduced: true}},
		{"firecracker-linux64", []Range{low, {0x100000, 32 << 20}}, "one two=2 pci=off", Range{0x1fff000, 0x1fff380}, 0xe0000, 0xe0000,
			[]uint32{0}, Power{HWReduced: true}},
		// Its memory map has an entry of size 0 and type 0, and one of type 4.
		{"microvm", []Range{low, {0x100000, 32 << 20}}, "one two=2", Range{}, 0xf34d0, 0xf34d0, []uint32{0, 1}, microvmOff},
		{"microvm-noacpi", []Range{low, {0x100000, 32 << 20}}, "one two=2", Range{}, 0, 0, []uint32{0, 1, 2}, Power{}},
		// The PC machines' RSDP is of revision 0; boot data lies in RAM.
		{"pc", []Range{low, {0x100000, 0x1fe0000}}, "one two=2", Range{}, 0xf59d0, 0xf59d0, []uint32{0, 1},
			Power{HasS5: true, PM1aControl: 0x604}},
		// SeaBIOS lists one core of a socket only.
		{"pc-noacpi", []Range{low, {0x100000, 32 << 20}}, "one two=2", Range{}, 0, 0, []uint32{0}, Power{}},
		{"q35", []Range{low, {0x100000, 0x1fe0000}}, "one two=2", Range{0x1fd7000, 0x1fd7426}, 0xf59e0, 0xf59e0, []uint32{0, 1, 2, 3},
			Power{HasS5: true, PM1aControl: 0x604, Reset: Register{SystemIO, 0xcf9}, ResetValue: 0xf}},
		{"q35-devices", []Range{low, {0x100000, 0x1fde000}}, "one two=2", Range{}, 0xf59c0, 0xf59c0, []uint32{0},
			Power{HasS5: true, PM1aControl: 0x604, Reset: Register{SystemIO, 0xcf9}, ResetValue: 0xf, Panic: 0x505}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := captured(t, c.name)
			mem := m.mem.memory()
			var info Info
			if s := m.parse(mem, &info); s != OK {
				t.Fatal(s)
			}
			if info.Protocol != m.entry {
				t.Errorf("protocol %d, want %d", info.Protocol, m.entry)
			}
			if got := info.RAM[:info.NRAM]; !slices.Equal(got, c.ram) {
				t.Errorf("RAM %x, want %x", got, c.ram)
			}
			if got := string(mem[info.CmdLine.Start:info.CmdLine.End]); got != c.cmdline {
				t.Errorf("command line %q, want %q", got, c.cmdline)
			}
			if info.Initrd != c.initrd {
				t.Errorf("initrd %x, want %x", info.Initrd, c.initrd)
			}
			if info.RSDP != c.rsdp {
				t.Errorf("RSDP %#x, want %#x", info.RSDP, c.rsdp)
			}
			if got := FindRSDP(mem); got != c.found {
				t.Errorf("FindRSDP: %#x, want %#x", got, c.found)
			}
			for _, rsdp := range []uint64{info.RSDP, 0, 0x9fc00, 1 << 40} { // as handed over, not at all, wrong
				if got := cpus(mem, rsdp); !slices.Equal(got, c.cpus) {
					t.Errorf("CPUs with RSDP %#x: %v, want %v", rsdp, got, c.cpus)
				}
			}
			for _, rsdp := range []uint64{info.RSDP, 0} {
				if got := FindPower(mem, rsdp); got != c.power {
					t.Errorf("FindPower with RSDP %#x: %+v, want %+v", rsdp, got, c.power)
				}
			}
		})
	}
}

// Where the MADT is unusable the MP table must do.
func TestCapturedMPTables(t *testing.T) {
	for name, want := range map[string]int{"firecracker": 2, "pc": 1, "q35": 1} {
		m := captured(t, name)
		var info Info
		m.parse(m.mem.memory(), &info)
		m.mem.put(FindRSDP(m.mem.memory()), 'X')
		if got := cpus(m.mem.memory(), info.RSDP); len(got) != want {
			t.Errorf("%s: %v, want %d", name, got, want)
		}
	}
}

// Flipping any one captured byte may change what is found, but never breaks
// the promises.
func TestCapturedMachinesDamaged(t *testing.T) {
	for _, name := range boottest.Names() {
		m := captured(t, name)
		mem := m.mem.memory()
		for pa, b := range mem[:0x100000] {
			if b == 0 {
				continue
			}
			for _, flip := range []byte{0xff, 0x80, 1} {
				mem[pa] = b ^ flip
				var info Info
				checkInfo(t, mem, m.parse(mem, &info), &info)
				checkCPUs(t, mem, info.RSDP)
				FindPower(mem, info.RSDP)
				mem[pa] = b
			}
		}
	}
}

func cpus(mem Memory, rsdp uint64) []uint32 {
	var ids [MaxCPUs]uint32
	return ids[:CPUs(mem, rsdp, &ids)]
}

// checkInfo checks what Info promises of whatever was parsed.
func checkInfo(t testing.TB, mem Memory, s Status, info *Info) {
	t.Helper()
	if s.String() == "" || s > BadInitrd {
		t.Fatalf("status %d has no text", s)
	}
	if s != OK {
		return
	}
	if info.NRAM < 1 {
		t.Fatal("no RAM and no complaint")
	}
	checkRAM(t, info)
	if r := info.CmdLine; r.Start > r.End || r.End > uint64(len(mem)) || r.End-r.Start > maxCmdLine {
		t.Fatalf("command line %x", r)
	} else if slices.Contains(mem[r.Start:r.End], 0) {
		t.Fatalf("command line %q", mem[r.Start:r.End])
	}
	if r := info.Initrd; r != (Range{}) && (r.Start >= r.End || r.End > maxPhys) {
		t.Fatalf("initrd %x", r)
	}
}

// checkRAM checks that the ranges are sorted, whole pages and apart.
func checkRAM(t testing.TB, info *Info) {
	t.Helper()
	if info.NRAM < 0 || info.NRAM > MaxRanges {
		t.Fatalf("%d ranges", info.NRAM)
	}
	for i, r := range info.RAM[:info.NRAM] {
		if r.Start >= r.End || r.Start%pageSize != 0 || r.End%pageSize != 0 || r.End > maxPhys {
			t.Fatalf("range %x", r)
		}
		if i > 0 && r.Start <= info.RAM[i-1].End {
			t.Fatalf("range %x behind %x", r, info.RAM[i-1])
		}
	}
}

// checkCPUs checks that no CPU comes twice.
func checkCPUs(t testing.TB, mem Memory, rsdp uint64) {
	t.Helper()
	ids := cpus(mem, rsdp)
	slices.Sort(ids)
	if len(slices.Compact(ids)) != len(ids) || slices.Contains(ids, 0xffffffff) {
		t.Fatalf("CPUs %v", ids)
	}
}
