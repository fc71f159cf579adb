package boot

import (
	"encoding/binary"
	"strings"
	"testing"
)

// fuzzSize is how much memory there is in front of the parsers of boot data:
// the input, then zeros.
const fuzzSize = 16 << 10

func fuzzMemory(data []byte) Memory {
	m := make(Memory, fuzzSize)
	copy(m, data)
	return m
}

// checkMap checks info.RAM against the memory map it was made of: all pages
// of it are called RAM by some entries and not called anything else by any.
func checkMap(t testing.TB, mem Memory, m memoryMap, info *Info) {
	t.Helper()
	page := func(pa uint64) bool { // is it RAM?
		at := pa
		for grown := true; grown && at < pa+pageSize; {
			grown = false
			for i := range m.n {
				r, kind := m.entry(mem, i)
				if kind == usableRAM && r.Start <= at && at < r.End {
					at, grown = r.End, true
				}
			}
		}
		return at >= pa+pageSize
	}
	for _, ram := range info.RAM[:info.NRAM] {
		if !page(ram.Start) || !page(ram.End-pageSize) {
			t.Fatalf("%x is not all RAM", ram)
		}
		for i := range m.n {
			r, kind := m.entry(mem, i)
			if r.End < r.Start {
				r.End = top
			}
			if kind != usableRAM && r.Start < r.End && r.Start < ram.End && ram.Start < r.End {
				t.Fatalf("%x has reserved memory in it: %x", ram, r)
			}
		}
	}
}

// checkReserve reserves the initrd and looks whether it is gone.
func checkReserve(t testing.TB, info *Info) {
	t.Helper()
	r := info.Initrd
	info.Reserve(r)
	checkRAM(t, info)
	for _, ram := range info.RAM[:info.NRAM] {
		if r.Start < r.End && r.Start < ram.End && ram.Start < r.End {
			t.Fatalf("%x has the initrd in it, %x", ram, r)
		}
	}
}

func FuzzZeroPage(f *testing.F) {
	real := captured(f, "firecracker-linux64")
	zp := image(real.mem[real.data : real.data+pageSize]).clone()
	zp.u32(zpCmdLinePtr, 0x400)
	zp.text(0x400, "one two=2 pci=off")
	f.Add(uint64(0), []byte(zp))
	shifted := make(image, 3)
	f.Add(uint64(3), []byte(append(shifted, zp...)))
	full := zp.clone()
	full.put(zpE820Entries, maxE820)
	for i := range uint64(maxE820) {
		full.u64(zpE820Table+i*20, (maxE820-i)<<20)
		full.u64(zpE820Table+i*20+8, 0x8000+i)
		full.u32(zpE820Table+i*20+16, 1+uint32(i%5/4))
	}
	f.Add(uint64(0), []byte(full))
	f.Fuzz(func(t *testing.T, pa uint64, data []byte) {
		mem := fuzzMemory(data)
		var info Info
		s := ParseZeroPage(mem, pa, &info)
		checkInfo(t, mem, s, &info)
		if s != OK {
			return
		}
		n, _ := mem.U8(pa + zpE820Entries)
		checkMap(t, mem, memoryMap{pa + zpE820Table, min(uint64(n), maxE820), e820EntrySize}, &info)
		checkReserve(t, &info)
	})
}

func FuzzStartInfo(f *testing.F) {
	const memMap, modules, line = 0x40, 0x800, 0x900
	for _, name := range []string{"firecracker", "microvm", "q35"} {
		real := captured(f, name)
		m := make(image, 0x940)
		m.put(0, real.mem[real.data:real.data+startInfo1Size]...)
		mem := real.mem.memory()
		for to, field := range map[uint64]uint64{memMap: siMemMap, modules: siModList, line: siCmdLine} {
			from, _ := mem.U64(real.data + field)
			m.put(to, mem[from:from+0x40]...)
			if to == memMap {
				m.put(to, mem[from:from+9*24]...)
			}
			m.u64(field, to)
		}
		f.Add(uint64(0), []byte(m))
	}
	f.Fuzz(func(t *testing.T, pa uint64, data []byte) {
		mem := fuzzMemory(data)
		var info Info
		s := ParseStartInfo(mem, pa, &info)
		checkInfo(t, mem, s, &info)
		if s != OK {
			return
		}
		table, _ := mem.U64(pa + siMemMap)
		n, _ := mem.U32(pa + siMemMapEntries)
		checkMap(t, mem, memoryMap{table, uint64(n), memMapEntrySize}, &info)
		checkReserve(t, &info)
	})
}

// signatures of what has a checksum: where it is, and the length it covers or
// where that length is.
var signatures = []struct {
	magic           string
	sum, fixed, len uint64
}{
	{"DSDT", 9, 0, 4}, {"APIC", 9, 0, 4}, {"FACP", 9, 0, 4}, {"RSDT", 9, 0, 4}, {"XSDT", 9, 0, 4},
	{"RSD PTR ", 8, 20, 0}, {"RSD PTR ", 32, 36, 0}, {"PCMP", 7, 0, 4}, {"_MP_", 10, 16, 0},
}

// fuzzTables is a memory of 1 MiB with data at its start and in the BIOS area,
// its checksums made right if asked: few inputs would get past them.
func fuzzTables(data []byte, sums bool) Memory {
	m := make(image, 1<<20)
	data = data[:min(len(data), 16<<10)]
	for _, at := range []uint64{biosStart, 0} {
		area := m[at : at+uint64(len(data))]
		copy(area, data)
		for _, s := range signatures {
			text := string(area)
			for i := strings.Index(text, s.magic); sums && i >= 0; {
				pa := at + uint64(i)
				n := s.fixed
				if n == 0 && s.magic == "PCMP" {
					v, _ := m.memory().U16(pa + s.len)
					n = uint64(v)
				} else if n == 0 {
					v, _ := m.memory().U32(pa + s.len)
					n = uint64(v)
				}
				if n > s.sum && m.memory().within(pa, n) {
					m.sum(pa+s.sum, pa, n)
				}
				next := strings.Index(text[i+1:], s.magic)
				if next < 0 {
					break
				}
				i += 1 + next
			}
		}
	}
	return m.memory()
}

// tablesAt0 is RSDP, XSDT, RSDT, FADT, DSDT and MADT, packed.
func tablesAt0(revision byte) image {
	m := make(image, 1<<20)
	aml := []byte("\x5b\x82\x45\x04V000" + s5AML)
	at := uint64(rsdp2Size + 1)
	dsdt := at
	at = m.table(dsdt, "DSDT", aml)
	fadtAt := at
	at = m.table(fadtAt, "FACP", fadt(276, func(b []byte) {
		put32(b, fadtFlags, fadtHWReduced|fadtResetSupported)
		put64(b, fadtXDSDT, dsdt)
		putGAS(b, fadtSleepControl, SystemMemory, 8, 0xfea00200)
		putGAS(b, fadtReset, SystemIO, 8, 0xcf9)
	}))
	madtAt := at
	at = m.table(madtAt, "APIC", madt())
	rsdt := at
	xsdt := rsdt + tableHeader + 8
	m.roots(0, rsdt, xsdt, fadtAt, madtAt)
	if revision == 0 {
		m.rsdp(0, rsdt, 0)
		m.put(rsdpRevision, 0)
		m.sum(8, 0, rsdpSize)
	}
	return m[:xsdt+tableHeader+16]
}

func FuzzACPI(f *testing.F) {
	for _, revision := range []byte{0, 2} {
		f.Add(uint64(0), true, []byte(tablesAt0(revision)))
		f.Add(uint64(biosStart), false, []byte(tablesAt0(revision)))
	}
	f.Fuzz(func(t *testing.T, rsdp uint64, sums bool, data []byte) {
		mem := fuzzTables(data, sums)
		checkCPUs(t, mem, rsdp)
		if at := FindRSDP(mem); at != 0 && !mem.isRSDP(at) {
			t.Fatalf("no RSDP at %#x", at)
		}
		for _, rsdp := range []uint64{rsdp, 0} {
			p := FindPower(mem, rsdp)
			checkRegister(t, p.SleepControl)
			checkRegister(t, p.Reset)
			if p.S5Type > 7 || !p.HasS5 && p.S5Type != 0 || p.HWReduced && p.PM1aControl != 0 {
				t.Fatalf("%+v", p)
			}
		}
	})
}

func checkRegister(t testing.TB, r Register) {
	t.Helper()
	if r.Space > SystemIO || r.Space == SystemIO && r.Addr > 0xffff {
		t.Fatalf("%+v", r)
	}
}

func FuzzMPTable(f *testing.F) {
	real := captured(f, "firecracker")
	m := image(real.mem[fcMPTable : fcMPTable+0x144]).clone()
	m.u32(mpPointerTable, biosStart+16)
	f.Add(uint16(0), true, []byte(m))
	m.u32(mpPointerTable, 16)
	f.Add(uint16(0x9c00), true, append(binary.LittleEndian.AppendUint64(nil, 0), m...))
	f.Fuzz(func(t *testing.T, ebda uint16, sums bool, data []byte) {
		mem := fuzzTables(data, sums)
		image(mem).u16(bdaEBDA, ebda)
		image(mem).u16(bdaBaseMem, ebda)
		for _, at := range []int{usualMP, mpBIOSStart} {
			copy(mem[at:], mem[:min(len(data), 0x400)])
			checkCPUs(t, mem, 0)
		}
		var ids [MaxCPUs]uint32
		for pa := range uint64(64) {
			if t, ok := mem.mpTable(pa); ok {
				mem.mpCPUs(t, &ids)
			}
		}
	})
}

func FuzzOption(f *testing.F) {
	f.Add("gosv.strace=open,mmap pci=off gosv.report=aB3d", "gosv.report")
	f.Add("a a=1  b=2 ", "a")
	f.Add("=", "")
	f.Fuzz(func(t *testing.T, cmdline, key string) {
		value, ok := Option(cmdline, key)
		want, found := "", false
		for _, word := range strings.Split(cmdline, " ") {
			name, v, _ := strings.Cut(word, "=")
			if key == "" || strings.ContainsAny(key, " =") {
				return // no key that we have
			}
			if name == key {
				want, found = v, true
			}
		}
		if value != want || ok != found {
			t.Fatalf("Option(%q, %q) = %q, %v; want %q, %v", cmdline, key, value, ok, want, found)
		}
	})
}
