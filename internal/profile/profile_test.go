package profile

import (
	"bytes"
	"debug/elf"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"gosv/internal/trace"
)

// self is this test's own executable, which plays kernel and program.
func self(t *testing.T) []byte {
	b, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// addressOf is the address of a function of ours in the file.
func addressOf(t *testing.T, file []byte, name string) uint64 {
	s, err := readSymbols(file)
	if err != nil {
		t.Fatal(err)
	}
	f := s.goSym.LookupFunc(name)
	if f == nil {
		t.Fatalf("%s is not there", name)
	}
	return f.Entry
}

const here = "gosv/internal/profile.self"

func TestSymbols(t *testing.T) {
	file := self(t)
	s, err := readSymbols(file)
	if err != nil {
		t.Fatal(err)
	}
	at := addressOf(t, file, here)
	if name, source, line := s.name(at + 1); name != here || !strings.HasSuffix(source, "profile_test.go") || line == 0 {
		t.Errorf("%s %s:%d", name, source, line)
	}
	s.goSym = nil
	s.elf = []elf.Symbol{{Name: "a", Value: 0x100, Size: 0x10}, {Name: "b", Value: 0x110}, {Name: "c", Value: 0x200, Size: 1}, {Name: "_c", Value: 0x200, Size: 1}}
	for at, want := range map[uint64]string{0xff: "", 0x100: "a", 0x10f: "a", 0x110: "b", 0x150: "b", 0x200: "c", 0x201: ""} {
		if name, _, _ := s.name(at); name != want {
			t.Errorf("at %#x: %q, not %q", at, name, want)
		}
	}
	f, err := elf.NewFile(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	text := f.Section(".text")
	if addr, ok := s.address(text.Offset + 5); !ok || addr != text.Addr+5 {
		t.Errorf("%#x, %t", addr, ok)
	}
	if _, ok := s.address(1 << 60); ok {
		t.Error("an address far behind the file")
	}
	for _, bad := range [][]byte{nil, []byte("no ELF"), file[:100]} {
		if _, err := readSymbols(bad); err == nil {
			t.Errorf("%d bytes are taken for a program", len(bad))
		}
	}
}

// tops parses a profile and sums up its values, by stack.
func tops(t *testing.T, b []byte) map[string]string {
	t.Helper()
	p, err := profile.ParseData(b)
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string]string{}
	for _, s := range p.Sample {
		var names []string
		for _, l := range s.Location {
			name := fmt.Sprintf("%#x", l.Address)
			if len(l.Line) > 0 {
				name = l.Line[0].Function.Name
			}
			names = append(names, name)
		}
		sums[strings.Join(append(s.Label["thread"], names...), " ")] = fmt.Sprint(s.Value)
	}
	return sums
}

func TestCPU(t *testing.T) {
	file := self(t)
	low := func(name string) uint64 { return uint64(uint32(addressOf(t, file, name))) }
	// The kernel is this program, 2 MiB below the end of the addresses.
	kernel := bytes.Clone(file)
	program := addressOf(t, file, here)
	c := &CPU{Kernel: kernel, Program: ParseMaps("00400000-7f0000000000 r-xp 00000000 00:01 7 /bin/prog x\n7f0000000000-7f0000001000 r-xp 00000000 00:00 0 [vdso]\n00400000-00500000 rw-p 00000000 00:01 7 /bin/prog\n"),
		Began: time.Now(), Took: time.Second}
	if len(c.Program) != 1 || c.Program[0].File != "/bin/prog x" || c.Program[0].Start != 0x400000 {
		t.Fatalf("%+v", c.Program)
	}
	s, err := readSymbols(file)
	if err != nil {
		t.Fatal(err)
	}
	p := s.progs[0]
	c.Program[0].Start, c.Program[0].Offset, c.Program[0].ELF = p.Vaddr, p.Off, file
	other := addressOf(t, file, "gosv/internal/profile.tops")
	c.Samples = []trace.Sample{
		{TID: 7, PCs: []uint64{program + 2, other + 3, 0x10}}, // the last is no code: there was no frame pointer
		{TID: 7, PCs: []uint64{program + 2, other + 3}},
		{TID: 8, PCs: []uint64{0x7f0000000010, other + 3}},
		{TID: 0},
		{TID: 0, PCs: []uint64{low(here)}}, // nothing of the kernel's is there
	}
	b, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	ms := int64(10 * time.Millisecond)
	want := map[string]string{
		"7 " + here + " gosv/internal/profile.tops":   fmt.Sprint([]int64{2, 2 * ms}),
		"8 0x7f0000000010 gosv/internal/profile.tops": fmt.Sprint([]int64{1, ms}),
		"[not recorded]": fmt.Sprint([]int64{2, 2 * ms}),
	}
	if got := tops(t, b); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	c.Program[0].ELF = nil
	if b, err = c.Encode(); err != nil || tops(t, b)[fmt.Sprintf("7 %#x %#x", program+2, other+3)] == "" {
		t.Errorf("without names: %v, %v", tops(t, b), err)
	}
}

func TestHeap(t *testing.T) {
	b, err := Heap("heap 100000 8192\nsize 16 100 50\nsize 64 1000 10\nat 16 2 1 1\nat 1048576 3 3\n", self(t), time.Now(), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	got := tops(t, b)
	for name, want := range map[string]string{
		"[not sampled: up to 64 bytes]": "[0 0 990 63360]",
		"[not sampled: larger]":         "[0 0 0 28448]", // what the sampled ones stand for is not in it
	} {
		if got[name] != want {
			t.Errorf("%s: %s, not %s", name, got[name], want)
		}
	}
	for _, text := range []string{"heap x 1\n", "at 1 2 3 4\n", "what 1\n", "heap 1 1\nat 1\n", "heap 1 1\nat 0 1 0\n"} {
		if _, err := Heap(text, self(t), time.Now(), 0); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestGoroutines(t *testing.T) {
	const text = `goroutine 1 [runnable]:
linux.(*Thread).run(0xc0000, {0x1, 0x2})
	gosv/kernel/linux/thread.go:99 +0x12
main.main()
	?:0 +0x2d4

goroutine 7 [running]:
linux.(*Thread).run(...)
	gosv/kernel/linux/thread.go:99
created by linux.(*Thread).clone in goroutine 1
	gosv/kernel/linux/threads.go:12 +0x1

goroutine 8 [select]:
linux.(*Thread).run(...)
	gosv/kernel/linux/thread.go:99
created by linux.(*Thread).clone in goroutine 1
	gosv/kernel/linux/threads.go:12 +0x1
`
	b, err := Goroutines(text, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"kernel/linux.(*Thread).run kernel/main.main": "[1]", "kernel/linux.(*Thread).run kernel/linux.(*Thread).clone": "[2]"}
	if got := tops(t, b); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}
