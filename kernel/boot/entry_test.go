package boot

import (
	"strings"
	"testing"
)

var (
	someRAM    = entry{0x100000, 31 << 20, 1}
	someInitrd = Range{0x200000, 0x300123}
)

func somePVH() image   { return firecracker(1, "one two", someInitrd, someRAM) }
func someLinux() image { return somePVH().byLinux(false) }

func TestStartInfo(t *testing.T) {
	m := somePVH()
	const si = fcStartInfo
	for name, c := range map[string]struct {
		want Status
		edit func(m image)
	}{
		"as it is":              {OK, func(m image) {}},
		"wrong magic":           {BadStartInfo, func(m image) { m.u32(si, 1) }},
		"version 0, no map":     {NoMemoryMap, func(m image) { m.u32(si+4, 0) }},
		"a later version":       {OK, func(m image) { m.u32(si+4, 7) }},
		"empty map":             {NoMemoryMap, func(m image) { m.u32(si+48, 0) }},
		"map of 4 G entries":    {BadMemoryMap, func(m image) { m.u32(si+48, top32) }},
		"map too long":          {BadMemoryMap, func(m image) { m.u32(si+48, maxMemMapEntries+1) }},
		"long map":              {OK, func(m image) { m.u32(si+48, maxMemMapEntries) }},
		"map out of reach":      {BadMemoryMap, func(m image) { m.u64(si+40, 4<<30) }},
		"map at the top":        {BadMemoryMap, func(m image) { m.u64(si+40, top-20) }},
		"map at memory's end":   {BadMemoryMap, func(m image) { m.u64(si+40, uint64(len(m))-4*24+1) }},
		"no command line":       {OK, func(m image) { m.u64(si+24, 0) }},
		"line out of reach":     {BadCmdLine, func(m image) { m.u64(si+24, uint64(len(m))) }},
		"line at the top":       {BadCmdLine, func(m image) { m.u64(si+24, top) }},
		"line over the end":     {BadCmdLine, func(m image) { m.u64(si+24, uint64(len(m))-2); m.text(uint64(len(m))-2, "xy") }},
		"initrd of no size":     {OK, func(m image) { m.u64(fcModules+8, 0) }},
		"initrd that wraps":     {BadInitrd, func(m image) { m.u64(fcModules+8, top) }},
		"initrd outside of RAM": {BadInitrd, func(m image) { m.u64(fcModules, 1<<30) }},
		"initrd in a hole":      {BadInitrd, func(m image) { m.u64(fcModules, 0xe0000); m.u64(fcModules+8, 16) }},
		"initrd in reserved":    {OK, func(m image) { m.u64(fcModules, 0x9f000); m.u64(fcModules+8, 0x2000) }},
		"initrd beyond RAM":     {BadInitrd, func(m image) { m.u64(fcModules+8, 32<<20) }},
		"module list at top":    {BadInitrd, func(m image) { m.u64(si+16, top-7) }},
		"module list too far":   {BadInitrd, func(m image) { m.u64(si+16, uint64(len(m))-8) }},
	} {
		mem := m.with(c.edit)
		var info Info
		s := ParseStartInfo(mem, si, &info)
		if s != c.want {
			t.Errorf("%s: %v, want %v", name, s, c.want)
		}
		checkInfo(t, mem, s, &info)
	}
	for _, pa := range []uint64{0, uint64(len(m)), top, top - 3, top - 0x37, 1 << 63} {
		if s := ParseStartInfo(m.memory(), pa, new(Info)); s != BadStartInfo {
			t.Errorf("at %#x: %v", pa, s)
		}
	}
	// At the very end of memory: of version 1 it must be all there.
	c := m.clone()
	copy(c[len(c)-0x38:], m[si:si+0x38])
	if s := ParseStartInfo(c.memory(), uint64(len(c))-0x38, new(Info)); s != OK {
		t.Error(s)
	}
	copy(c[len(c)-0x37:], m[si:si+0x37])
	if s := ParseStartInfo(c.memory(), uint64(len(c))-0x37, new(Info)); s != NoMemoryMap {
		t.Error(s)
	}
	if s := ParseStartInfo(nil, 0, new(Info)); s != BadStartInfo {
		t.Error(s)
	}
}

// What was in info before must not shine through.
func TestInfoIsReset(t *testing.T) {
	var info Info
	if s := ParseStartInfo(somePVH().memory(), fcStartInfo, &info); s != OK {
		t.Fatal(s)
	}
	m := firecracker(1, "", Range{}, entry{0x400000, 0x1000, 1})
	m.u64(fcStartInfo+24, 0)
	if s := ParseStartInfo(m.memory(), fcStartInfo, &info); s != OK {
		t.Fatal(s)
	}
	if info.NRAM != 2 || info.RAM[1] != (Range{0x400000, 0x401000}) || info.Initrd != (Range{}) || info.CmdLine != (Range{}) {
		t.Errorf("%+v", info)
	}
}

const top32 = 1<<32 - 1

func TestZeroPage(t *testing.T) {
	m := someLinux()
	const zp = fcZeroPage
	for name, c := range map[string]struct {
		want Status
		edit func(m image)
	}{
		"as it is":               {OK, func(m image) {}},
		"no header":              {BadZeroPage, func(m image) { m.u32(zp+0x202, 0) }},
		"no map":                 {NoMemoryMap, func(m image) { m.put(zp+0x1e8, 0) }},
		"255 entries, 128 slots": {OK, func(m image) { m.put(zp+0x1e8, 255) }},
		"cmdline_size 0":         {OK, func(m image) { m.u32(zp+0x238, 0) }},
		"no command line":        {OK, func(m image) { m.u32(zp+0x228, 0) }},
		"line far away":          {BadCmdLine, func(m image) { m.u32(zp+0xc8, 1) }},
		"line at 4 GiB - 1":      {BadCmdLine, func(m image) { m.u32(zp+0x228, top32) }},
		"no initrd":              {OK, func(m image) { m.u32(zp+0x21c, 0) }},
		"initrd of 4 GiB more":   {BadInitrd, func(m image) { m.u32(zp+0xc4, 1) }},
		"initrd 4 GiB higher":    {BadInitrd, func(m image) { m.u32(zp+0xc0, 1) }},
		"initrd that wraps":      {BadInitrd, func(m image) { m.u32(zp+0xc0, top32); m.u32(zp+0xc4, top32) }},
	} {
		mem := m.with(c.edit)
		var info Info
		s := ParseZeroPage(mem, zp, &info)
		if s != c.want {
			t.Errorf("%s: %v, want %v", name, s, c.want)
		}
		checkInfo(t, mem, s, &info)
	}
	for _, pa := range []uint64{0, uint64(len(m)), uint64(len(m)) - 4095, top, top - 4094, top - 0x201, 1 << 63} {
		if s := ParseZeroPage(m.memory(), pa, new(Info)); s != BadZeroPage {
			t.Errorf("at %#x: %v", pa, s)
		}
	}
	if s := ParseZeroPage(nil, 0, new(Info)); s != BadZeroPage {
		t.Error(s)
	}
}

// An initrd above 4 GiB needs the upper halves of its fields.
func TestZeroPageInitrdAbove4G(t *testing.T) {
	m := firecracker(1, "", Range{8 << 30, 14 << 30}, entry{0x100000, 3<<30 - 0x100000, 1}, entry{4 << 30, 12 << 30, 1}).byLinux(false)
	m.u32(fcZeroPage+0xc0, 2)
	m.u32(fcZeroPage+0xc4, 1)
	m.u32(fcZeroPage+0x21c, 2<<30)
	var info Info
	if s := ParseZeroPage(m.memory(), fcZeroPage, &info); s != OK || info.Initrd != (Range{8 << 30, 14 << 30}) {
		t.Errorf("%v, %x", s, info.Initrd)
	}
}

// A command line may have 64 KiB.
func TestLongCommandLines(t *testing.T) {
	for n, want := range map[int]Status{0: OK, 1: OK, 64<<10 - 1: OK, 64 << 10: OK, 64<<10 + 1: LongCmdLine, 100 << 10: LongCmdLine} {
		m := make(image, 1<<20)
		line := strings.Repeat("x", n)
		m.text(0x81003, line)
		m.u32(0, startInfoMagic)
		m.u32(siVersion, 1)
		m.u64(siCmdLine, 0x81003)
		m.u64(siMemMap, 0x1000)
		m.u32(siMemMapEntries, 1)
		m.memoryMap(0x1000, 24, entry{0, 1 << 20, 1})
		var info Info
		s := ParseStartInfo(m.memory(), 0, &info)
		if s != want || s == OK && string(m[info.CmdLine.Start:info.CmdLine.End]) != line {
			t.Errorf("%d bytes: %v, %x", n, s, info.CmdLine)
		}
	}
}

func TestStatusTexts(t *testing.T) {
	seen := map[string]Status{}
	for s := OK; s <= BadInitrd+1; s++ {
		if other, ok := seen[s.String()]; ok || s.String() == "" {
			t.Errorf("%d and %d: %q", s, other, s)
		}
		seen[s.String()] = s
	}
}
