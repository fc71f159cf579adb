package elf

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
)

// program is what tests change before it becomes a file.
type program struct {
	class, data byte
	typ, mach   uint16
	entry       uint64
	segments    []ph
	cut         int // bytes to take off the end
}

type ph struct {
	typ, flags                uint32
	off, vaddr, filesz, memsz uint64
}

func sound() *program {
	return &program{2, 1, typeExec, machineX86_64, 0x401010, []ph{
		{ptLoad, Read | Execute, 0, 0x400000, 0x2000, 0x2000},
		{ptLoad, Read | Write, 0x2000, 0x402000, 0x100, 0x5000},
	}, 0}
}

func (p *program) bytes() []byte {
	var b bytes.Buffer
	le := binary.LittleEndian
	b.Write([]byte{0x7f, 'E', 'L', 'F', p.class, p.data, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	for _, v := range []any{p.typ, p.mach, uint32(1), p.entry, uint64(64), uint64(0), uint32(0),
		uint16(64), uint16(56), uint16(len(p.segments)), uint16(64), uint16(0), uint16(0)} {
		binary.Write(&b, le, v)
	}
	for _, s := range p.segments {
		for _, v := range []any{s.typ, s.flags, s.off, s.vaddr, s.vaddr, s.filesz, s.memsz, uint64(0x1000)} {
			binary.Write(&b, le, v)
		}
	}
	img := append(b.Bytes(), make([]byte, 0x2100-b.Len())...)
	copy(img[0x1f00:], "/lib64/ld-linux-x86-64.so.2\x00")
	return img[:len(img)-p.cut]
}

func TestCheck(t *testing.T) {
	img := sound().bytes()
	f, err := Check(img, int64(len(img)))
	if err != nil {
		t.Fatal(err)
	}
	if f.PIE || f.Entry != 0x401010 || f.Phdr != 0x400040 || f.NLoads != 2 || f.Low != 0x400000 || f.High != 0x407000 {
		t.Errorf("%+v", f)
	}
}

func TestBad(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(p *program)
		want   string
	}{
		{"32 bit", func(p *program) { p.class = 1 }, "32-bit"},
		{"big endian", func(p *program) { p.data = 2 }, "big-endian"},
		{"ARM64", func(p *program) { p.mach = 183 }, "ARM64"},
		{"object", func(p *program) { p.typ = 1 }, "not an executable"},
		{"no segments", func(p *program) { p.segments = nil }, "without program headers"},
		{"truncated", func(p *program) { p.cut = 0x80 }, "truncated"},
		{"headers cut", func(p *program) { p.cut = 0x2100 - 80 }, "truncated"},
		{"overlap", func(p *program) { p.segments[1].vaddr = 0x401000 }, "overlap"},
		{"out of order", func(p *program) { p.segments[0], p.segments[1] = p.segments[1], p.segments[0] }, "overlap"},
		{"kernel's half", func(p *program) { p.segments[1].vaddr = 0xffffffff80002000 }, "half of the address space"},
		{"wraps", func(p *program) { p.segments[1].memsz = ^uint64(0) }, "half of the address space"},
		{"file larger", func(p *program) { p.segments[1].memsz = 1 }, "larger in the file"},
		{"misaligned", func(p *program) { p.segments[1].vaddr += 8 }, "same place in a page"},
		{"page 0", func(p *program) { p.segments[0].vaddr = 0 }, "first page"},
		{"entry", func(p *program) { p.entry = 0x402000 }, "entry point"},
		{"interpreter", func(p *program) {
			p.segments = append(p.segments, ph{ptInterp, Read, 0x1f00, 0x401f00, 28, 28})
		}, "/lib64/ld-linux-x86-64.so.2"},
		{"lying interpreter", func(p *program) {
			p.segments = append(p.segments, ph{ptInterp, Read, ^uint64(0), 0, 28, 28})
		}, "dynamic"},
	} {
		p := sound()
		c.change(p)
		img := p.bytes()
		if _, err := Check(img, int64(len(img))); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want something about %q", c.name, err, c.want)
		}
	}
	for _, s := range []string{"", "#!/bin/sh\n", "\x7fELF", "\x7fELF\x02\x01\x01"} {
		if _, err := Check([]byte(s), int64(len(s))); err == nil {
			t.Errorf("%q was taken for a program", s)
		}
	}
}

// What is accepted can be mapped: in order, apart, in the file, in our half.
func FuzzCheck(f *testing.F) {
	f.Add(sound().bytes())
	pie := sound()
	pie.typ = typeDyn
	pie.segments = append(pie.segments, ph{ptDynamic, Read, 0x2000, 0x402000, 16, 16})
	f.Add(pie.bytes())
	f.Fuzz(func(t *testing.T, img []byte) {
		file, err := Check(img, int64(len(img)))
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without a message")
			}
			return
		}
		end := uint64(0)
		for _, s := range file.Loads[:file.NLoads] {
			if s.Vaddr&^(pageSize-1) < end || s.Vaddr+s.MemSize > UserTop || s.FileSize > s.MemSize ||
				s.FileSize > 0 && s.Offset+s.FileSize > uint64(len(img)) {
				t.Errorf("segment %+v of %+v", s, file)
			}
			end = (s.Vaddr + s.MemSize + pageSize - 1) &^ (pageSize - 1)
		}
		if file.High != end || file.Low > file.High {
			t.Errorf("bounds of %+v", file)
		}
	})
}
