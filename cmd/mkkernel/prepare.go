package main

import (
	"encoding/binary"
	"fmt"
)

// The runtime makes tables of constants when it starts. Here they are made
// beforehand.

// mask is the bitmap of a segment's words that are pointers (a runtime.bitvector):
// what runtime.progToPointerMask makes of the linker's program. Where there is one
// already, the runtime does not add the segment's size to what its garbage collector
// counts on to scan; it is little beside the smallest heap.
type mask struct {
	bits  int
	bytes []byte
}

// pointerMask runs the program prog (see runtime.runGCProg) for size bytes of variables.
func pointerMask(prog []byte, size uint64) (m mask, err error) {
	words := int(size+7) / 8
	m.bytes = make([]byte, (words+7)/8+1)
	emit := func(bit bool) {
		if m.bits == words {
			panic("more bits than words")
		}
		if bit {
			m.bytes[m.bits/8] |= 1 << (m.bits % 8)
		}
		m.bits++
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: the program of pointers: %v", errTables, r)
		}
	}()
	varint := func() int {
		v, n := binary.Uvarint(prog)
		prog = prog[n:]
		return int(v)
	}
	for {
		n, repeat := int(prog[0]&0x7f), prog[0]&0x80 != 0
		prog = prog[1:]
		switch {
		case repeat:
			if n == 0 {
				n = varint()
			}
			for range n * varint() {
				at := m.bits - n
				emit(m.bytes[at/8]>>(at%8)&1 != 0)
			}
		case n == 0:
			return m, nil
		default:
			for i := range n {
				emit(prog[i/8]>>(i%8)&1 != 0)
			}
			prog = prog[(n+7)/8:]
		}
	}
}

// masks returns those of the segments .data and .bss.
func (img *image) masks() (data, bss mask, err error) {
	word := func(field int) uint64 { return le.Uint64(img.md[field:]) }
	if data, err = pointerMask(img.at(word(mdGCData)), word(mdDataEnd)-word(mdData)); err == nil {
		bss, err = pointerMask(img.at(word(mdGCBSS)), word(mdBSSEnd)-word(mdBSS))
	}
	return data, bss, err
}

// The runtime's hash table of itabs (runtime.itabTableType) starts with room for 512,
// and takes three quarters.
const firstItabs = 512 * 3 / 4

// itabTable is that table with the itabs at the addresses that are in list, or nil if
// they are so few that it need not grow.
func (img *image) itabTable(list []byte) []byte {
	n := len(list) / 8
	if n <= firstItabs {
		return nil
	}
	size := uint64(512)
	for uint64(n)*2 > size { // others come
		size *= 2
	}
	const head, hash = 2, 16 // words in front; the offset in a type
	t := make([]byte, (head+size)*8)
	le.PutUint64(t, size)
	le.PutUint64(t[8:], uint64(n))
	for i := range n {
		itab := le.Uint64(list[i*8:])
		b := img.at(itab)
		h := uint64(le.Uint32(img.at(le.Uint64(b))[hash:]) ^ le.Uint32(img.at(le.Uint64(b[8:]))[hash:]))
		for step := uint64(1); ; step++ { // as runtime.itabTableType.add
			slot := t[(head+h&(size-1))*8:]
			if le.Uint64(slot) == 0 {
				le.PutUint64(slot, itab)
				break
			}
			h += step
		}
	}
	return t
}
