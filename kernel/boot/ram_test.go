package boot

import (
	"math/rand/v2"
	"slices"
	"testing"
)

const top = ^uint64(0)

// ramOf parses a memory map.
func ramOf(entries ...entry) (*Info, Status) {
	m := make(image, 16<<10)
	m.memoryMap(0, 24, entries...)
	info := new(Info)
	return info, info.readMap(m.memory(), memoryMap{0, uint64(len(entries)), 24})
}

func TestMemoryMaps(t *testing.T) {
	for name, c := range map[string]struct {
		entries []entry
		want    []Range
	}{
		"unsorted, with a hole":      {[]entry{{0x100000, 0x100000, 1}, {0, 0x9f000, 1}}, []Range{{0, 0x9f000}, {0x100000, 0x200000}}},
		"of no size":                 {[]entry{{0, 0x1000, 1}, {0x5000, 0, 1}, {0x6000, 0, 0}, {0x400, 0, 2}}, []Range{{0, 0x1000}}},
		"no whole page":              {[]entry{{0x1001, 0x1ffe, 1}, {0x8000, 0x1000, 1}}, []Range{{0x8000, 0x9000}}},
		"cut to pages":               {[]entry{{0x1, 0x3000, 1}}, []Range{{0x1000, 0x3000}}},
		"joined before they are cut": {[]entry{{0x1000, 0x800, 1}, {0x1800, 0x800, 1}}, []Range{{0x1000, 0x2000}}},
		"overlapping":                {[]entry{{0x1000, 0x3000, 1}, {0x6000, 0x1000, 1}, {0x2000, 0x5000, 1}}, []Range{{0x1000, 0x7000}}},
		"the same twice":             {[]entry{{0x1000, 0x1000, 1}, {0x1000, 0x1000, 1}}, []Range{{0x1000, 0x2000}}},
		"reserved in the middle":     {[]entry{{0x3800, 0x100, 2}, {0, 0x8000, 1}}, []Range{{0, 0x3000}, {0x4000, 0x8000}}},
		"reserved over the end":      {[]entry{{0, 0x8000, 1}, {0x7fff, 0x8000, 3}}, []Range{{0, 0x7000}}},
		"reserved over the start":    {[]entry{{0x2000, 0x8000, 1}, {0, 0x2001, 4}}, []Range{{0x3000, 0xa000}}},
		"reserved over several":      {[]entry{{0, 0x2000, 1}, {0x3000, 0x1000, 1}, {0x5000, 0x2000, 1}, {0x1000, 0x5000, 5}}, []Range{{0, 0x1000}, {0x6000, 0x7000}}},
		"type 0 with a size":         {[]entry{{0, 0x4000, 1}, {0x1000, 0x1000, 0}}, []Range{{0, 0x1000}, {0x2000, 0x4000}}},
		"RAM that wraps":             {[]entry{{0x1000, 0x1000, 1}, {0x5000, top - 0x4000, 1}, {0x4000, top, 1}}, []Range{{0x1000, 0x2000}}},
		"a reservation that wraps":   {[]entry{{0x1000, 0x9000, 1}, {0x5000, top, 2}}, []Range{{0x1000, 0x5000}}},
		"a reservation to the top":   {[]entry{{0x1000, 0x9000, 1}, {0x5800, top - 0x5800, 2}}, []Range{{0x1000, 0x5000}}},
		"beyond the direct map":      {[]entry{{0, 0x1000, 1}, {512 << 30, 1 << 30, 1}}, []Range{{0, 0x1000}}},
		"over the direct map's end":  {[]entry{{511 << 30, 2 << 30, 1}}, []Range{{511 << 30, 512 << 30}}},
		"above 4 GiB":                {[]entry{{4 << 30, 4 << 30, 1}, {0, 3 << 30, 1}, {0xeec00000, 256 << 20, 2}}, []Range{{0, 3 << 30}, {4 << 30, 8 << 30}}},
	} {
		info, s := ramOf(c.entries...)
		if s != OK {
			t.Errorf("%s: %v", name, s)
			continue
		}
		checkRAM(t, info)
		if got := info.RAM[:info.NRAM]; !slices.Equal(got, c.want) {
			t.Errorf("%s: %x, want %x", name, got, c.want)
		}
	}
	for name, entries := range map[string][]entry{
		"empty entries": {{0, 0, 1}, {0x1000, 0, 0}},
		"reserved only": {{0, 1 << 20, 2}},
		"all reserved":  {{0, 1 << 20, 1}, {0, 2 << 20, 2}},
	} {
		if info, s := ramOf(entries...); s != NoRAM {
			t.Errorf("%s: %v, %x", name, s, info.RAM[:info.NRAM])
		}
	}
	if _, s := ramOf(); s != NoMemoryMap {
		t.Error(s)
	}
	for _, m := range []memoryMap{{0, 2, 24}, {1, 1, 24}, {top - 3, 1, 24}, {0, 1 << 32, 24}} {
		if s := new(Info).readMap(make(Memory, 24), m); s != BadMemoryMap {
			t.Errorf("%v: %v", m, s)
		}
	}
}

// Of a map with too many ranges the largest are kept.
func TestFullTable(t *testing.T) {
	var entries []entry
	for i := range uint64(2 * MaxRanges) {
		pages := uint64(1)
		if i%2 == 1 {
			pages = 3
		}
		entries = append(entries, entry{i << 16, pages * pageSize, 1})
	}
	check := func(info *Info) {
		t.Helper()
		checkRAM(t, info)
		if info.NRAM != MaxRanges {
			t.Fatalf("%d ranges", info.NRAM)
		}
		for _, r := range info.RAM {
			if r.size() != 3*pageSize {
				t.Fatalf("%x was kept", r)
			}
		}
	}
	info, _ := ramOf(entries...)
	check(info)
	slices.Reverse(entries)
	info, _ = ramOf(entries...)
	check(info)

	// What joins two ranges needs no room.
	info, _ = ramOf(append(entries, entry{1<<16 + 3*pageSize, 2<<16 - 3*pageSize, 1})...)
	checkRAM(t, info)
	if want := (Range{1 << 16, 3<<16 + 3*pageSize}); info.RAM[0] != want || info.NRAM != MaxRanges-1 {
		t.Errorf("%x, %d ranges", info.RAM[0], info.NRAM)
	}

	// A reservation inside a range of a full table costs the smaller part.
	info, _ = ramOf(entries...)
	first := info.RAM[0]
	info.RAM[0].End += 0x4000 // 7 pages
	info.Reserve(Range{first.Start + 2*pageSize, first.Start + 3*pageSize})
	if want := (Range{first.Start + 3*pageSize, first.Start + 7*pageSize}); info.RAM[0] != want {
		t.Errorf("%x, want %x", info.RAM[0], want)
	}
	info.Reserve(Range{first.Start + 5*pageSize, first.Start + 6*pageSize})
	if want := (Range{first.Start + 3*pageSize, first.Start + 5*pageSize}); info.RAM[0] != want || info.NRAM != MaxRanges {
		t.Errorf("%x, want %x", info.RAM[0], want)
	}
}

func TestReserveNothing(t *testing.T) {
	info, _ := ramOf(entry{0, 0x4000, 1})
	for _, r := range []Range{{}, {0x1000, 0x1000}, {0x2000, 0x1000}, {top, 0}, {0x4000, top}, {top, top}} {
		info.Reserve(r)
	}
	if info.NRAM != 1 || info.RAM[0] != (Range{0, 0x4000}) {
		t.Errorf("%x", info.RAM[:info.NRAM])
	}
}

// Random maps against a model with a bit per quarter of a page.
func TestMemoryMapsAgainstModel(t *testing.T) {
	const quarter, pages = pageSize / 4, 64
	rng := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		var entries []entry
		var ram, reserved [pages * 4]bool
		for range 1 + rng.IntN(10) {
			start := rng.IntN(pages * 4)
			n := rng.IntN(min(40, pages*4-start) + 1)
			kind := uint32(1 + rng.IntN(3)/2)
			entries = append(entries, entry{uint64(start * quarter), uint64(n * quarter), kind})
			for i := start; i < start+n; i++ {
				if kind == 1 {
					ram[i] = true
				} else {
					reserved[i] = true
				}
			}
		}
		var want []Range
		for p := range uint64(pages) {
			q := p * 4
			if slices.Contains(ram[q:q+4], false) || slices.Contains(reserved[q:q+4], true) {
				continue
			}
			if n := len(want); n > 0 && want[n-1].End == p*pageSize {
				want[n-1].End += pageSize
			} else {
				want = append(want, Range{p * pageSize, (p + 1) * pageSize})
			}
		}
		info, s := ramOf(entries...)
		if got := info.RAM[:info.NRAM]; !slices.Equal(got, want) || (s == OK) != (len(want) > 0) {
			t.Fatalf("%x:\n got %x, %v\nwant %x", entries, got, s, want)
		}
	}
}
