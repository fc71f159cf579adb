package main

import (
	"bytes"
	"slices"
	"testing"
)

func TestPointerMask(t *testing.T) {
	for _, c := range []struct {
		prog []byte
		size uint64
		want mask
	}{
		{[]byte{0}, 0, mask{0, []byte{0}}},
		{[]byte{3, 0b101, 0}, 64, mask{3, []byte{0b101, 0}}},
		{[]byte{2, 0b01, 0x82, 3, 1, 1, 0}, 72, mask{9, []byte{0b01010101, 1, 0}}},
		{[]byte{1, 0, 0x80, 1, 12, 0}, 8 * 13, mask{13, []byte{0, 0, 0}}},
		{[]byte{10, 0xff, 2, 0x80, 10, 1, 0}, 8 * 20, mask{20, []byte{0xff, 0xfe, 0xb, 0}}},
	} {
		m, err := pointerMask(c.prog, c.size)
		if err != nil || m.bits != c.want.bits || !bytes.Equal(m.bytes, c.want.bytes) {
			t.Errorf("% x: %d bits, % x, %v; want %d, % x", c.prog, m.bits, m.bytes, err, c.want.bits, c.want.bytes)
		}
	}
	for _, prog := range [][]byte{{3, 7, 0}, {1}, {2, 1}, {0x81, 1, 0}, {}} {
		if _, err := pointerMask(prog, 16); err == nil {
			t.Errorf("% x: no error", prog)
		}
	}
}

// TestItabTable looks for each itab as runtime.itabTableType.find does.
func TestItabTable(t *testing.T) {
	linked, err := linkedKernel()
	if err != nil {
		t.Fatal(err)
	}
	img, err := openImage(linked)
	if err != nil {
		t.Fatal(err)
	}
	list := img.at(le.Uint64(img.md[mdItabLinks:]))[:8*le.Uint64(img.md[mdItabLinks+8:])]
	if img.itabTable(list) != nil {
		t.Error("a table for few itabs")
	}
	many := bytes.Repeat(list, 1+firstItabs*8/len(list))
	table := img.itabTable(many)
	size := le.Uint64(table)
	if n := le.Uint64(table[8:]); int(n) != len(many)/8 || n*2 > size || size&(size-1) != 0 || len(table) != int(2+size)*8 {
		t.Fatalf("%d itabs of %d, room for %d, %d bytes", n, len(many)/8, size, len(table))
	}
	for itab := range slices.Chunk(list, 8) {
		b := img.at(le.Uint64(itab))
		h := uint64(le.Uint32(img.at(le.Uint64(b))[16:])^le.Uint32(img.at(le.Uint64(b[8:]))[16:])) & (size - 1)
		for i := uint64(1); ; i++ {
			at := table[(2+h)*8:][:8]
			if bytes.Equal(at, itab) {
				break
			}
			if le.Uint64(at) == 0 {
				t.Fatalf("%#x is not found", le.Uint64(itab))
			}
			h = (h + i) & (size - 1)
		}
	}
}
