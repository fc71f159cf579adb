package main

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// compact writes the tables of a linked kernel anew, and moves what follows
// them in the file. Addresses stay: the next segment's are behind a hole.
func compact(linked []byte, network bool) ([]byte, error) {
	img, err := openImage(linked)
	if err != nil {
		return nil, err
	}
	m, err := img.module()
	if err != nil {
		return nil, err
	}
	reflects := false
	for _, f := range m.funcs {
		reflects = reflects || strings.HasPrefix(f.name, "reflect.")
	}
	if reflects && !network {
		return nil, errors.New("package reflect is linked, which needs the list of types")
	}
	m.slim()
	out, err := img.replace(m.write(), reflects)
	if err != nil {
		return nil, err
	}
	// What the runtime will read must be what was meant.
	if img, err = openImage(out); err != nil {
		return nil, err
	}
	if again, err := img.module(); err != nil || !reflect.DeepEqual(again, m) {
		return nil, fmt.Errorf("%w: what was written reads otherwise (%v)", errTables, err)
	}
	return out, nil
}

// image is a linked kernel.
type image struct {
	bytes  []byte
	file   *elf.File
	tables int // the index of the section of the tables; those of types and itabs follow, and end the segment
	ro, rw int // the indices of that segment's program header and the next one's
	md     []byte
}

// openImage finds its way in a kernel, and checks that nothing but moduledata
// leads to the tables.
func openImage(b []byte) (*image, error) {
	f, err := elf.NewFile(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	img := &image{bytes: b, file: f, tables: -1, ro: -1}
	for i, s := range f.Sections {
		switch s.Name {
		case ".gopclntab":
			img.tables = i
		case ".go.module":
			img.md = b[s.Offset : s.Offset+s.Size]
		}
	}
	t := img.tables
	if t < 0 || img.md == nil || t+2 >= len(f.Sections) || f.Sections[t+1].Name != ".typelink" || f.Sections[t+2].Name != ".itablink" {
		return nil, errors.New("not the sections of a Go program")
	}
	start, end := f.Sections[t].Addr, f.Sections[t+2].Addr+f.Sections[t+2].Size
	for i, p := range f.Progs[:len(f.Progs)-1] {
		if p.Type == elf.PT_LOAD && p.Vaddr <= start && p.Vaddr+p.Filesz == end && p.Memsz == p.Filesz {
			img.ro, img.rw = i, i+1
		}
	}
	if img.ro < 0 || f.Progs[img.rw].Type != elf.PT_LOAD || f.Progs[img.rw].Off < f.Progs[img.ro].Off+f.Progs[img.ro].Filesz {
		return nil, errors.New("not the segments of a Go program")
	}
	for _, s := range f.Sections {
		if s.Type != elf.SHT_PROGBITS || s.Addr == 0 || s.Flags&elf.SHF_EXECINSTR != 0 || s.Name == ".go.module" || s.Addr >= start && s.Addr < end {
			continue
		}
		for at := s.Offset; at+8 <= s.Offset+s.Size; at += 8 {
			if v := le.Uint64(b[at:]); v >= start && v < end {
				return nil, fmt.Errorf("a pointer to %#x, in the function tables, at %#x in %s", v, s.Addr+at-s.Offset, s.Name)
			}
		}
	}
	return img, nil
}

// at returns what lies at an address, up to the end of its segment.
func (img *image) at(addr uint64) []byte {
	for _, p := range img.file.Progs {
		if p.Type == elf.PT_LOAD && addr >= p.Vaddr && addr < p.Vaddr+p.Filesz {
			return img.bytes[p.Off+addr-p.Vaddr : p.Off+p.Filesz]
		}
	}
	panic(fmt.Sprintf("nothing at %#x", addr))
}

func (img *image) module() (*module, error) { return readModule(img.md, img.at) }

// replace returns the image with other tables and without .typelink, the list of
// types, unless package reflect is there to read it. What the runtime would make of
// constants when it starts is among them.
func (img *image) replace(t tables, reflects bool) ([]byte, error) {
	sections := img.file.Sections[img.tables:]
	addr := sections[0].Addr
	md := bytes.Clone(img.md)
	old := img.at(addr)
	b := bytes.Clone(old[:pcHeaderSize])
	put := func(part []byte, align, field int) (offset uint64) {
		b = pad(b, align)
		offset = uint64(len(b))
		le.PutUint64(md[field:], addr+offset)
		b = append(b, part...)
		return offset
	}
	count := func(field, n int) {
		le.PutUint64(md[field+8:], uint64(n))
		le.PutUint64(md[field+16:], uint64(n))
	}
	for i, part := range []struct {
		bytes       []byte
		field, size int
	}{{t.names, mdFuncNames, 1}, {t.cus, mdCUs, 4}, {t.files, mdFiles, 1}, {t.pctab, mdPCTab, 1}, {t.funcs, mdFuncs, 1}} {
		offset := put(part.bytes, 8, part.field) // makes another b
		le.PutUint64(b[32+i*8:], offset)
		count(part.field, len(part.bytes)/part.size)
	}
	le.PutUint64(b[16:], uint64(bytes.Count(t.files, []byte{0})))
	le.PutUint64(md[mdFuncTab:], le.Uint64(md[mdFuncs:]))
	data, bss, err := img.masks()
	if err != nil {
		return nil, err
	}
	put(data.bytes, 8, mdDataMask+8)
	put(bss.bytes, 8, mdBSSMask+8)
	le.PutUint32(md[mdDataMask:], uint32(data.bits))
	le.PutUint32(md[mdBSSMask:], uint32(bss.bits))
	put(t.funcData, 8, mdFuncData)
	put(t.findFunc, 8, mdFindFunc)
	end := len(b)
	le.PutUint64(md[mdEnd:], addr+uint64(end))
	var types []byte
	if reflects {
		types = img.at(sections[1].Addr)[:sections[1].Size]
	}
	typesAt := put(types, 8, mdTypeLinks)
	count(mdTypeLinks, len(types)/4)
	itabs := img.at(sections[2].Addr)[:sections[2].Size]
	if le.Uint64(md[mdItabLinks:]) != sections[2].Addr || le.Uint64(md[mdItabLinks+8:])*8 != sections[2].Size {
		return nil, errors.New("the itabs are not where they should be")
	}
	itabsLen := len(itabs) / 8
	table := img.itabTable(itabs)
	if table != nil {
		// The list is empty, but has the table in its capacity: see metal's useItabs.
		itabs, itabsLen = table, 0
	}
	itabsAt := put(itabs, 8, mdItabLinks)
	le.PutUint64(md[mdItabLinks+8:], uint64(itabsLen))
	le.PutUint64(md[mdItabLinks+16:], uint64(len(itabs)/8))
	if len(b) > len(old) {
		return nil, fmt.Errorf("the function tables grew from %d to %d bytes", len(old), len(b))
	}

	ro, rw := img.file.Progs[img.ro], img.file.Progs[img.rw]
	from := sections[0].Offset
	out := append(bytes.Clone(img.bytes[:from]), b...)
	size := uint64(len(out)) - ro.Off
	out = pad(out, pageSize)
	moved := rw.Off - uint64(len(out))
	out = append(out, img.bytes[rw.Off:]...)
	mdAt := bytes.Index(out, img.md)
	copy(out[mdAt:], md)

	phoff, shoff := le.Uint64(out[32:]), le.Uint64(out[40:])
	if shoff > pageSize {
		return nil, errors.New("its section headers are not in the header page")
	}
	for i, p := range img.file.Progs {
		h := out[phoff+uint64(i)*56:]
		if i == img.ro {
			le.PutUint64(h[32:], size)
			le.PutUint64(h[40:], size)
		} else if p.Off >= rw.Off {
			le.PutUint64(h[8:], p.Off-moved)
		}
	}
	for i, s := range img.file.Sections {
		h := out[shoff+uint64(i)*64:]
		place := func(offset uint64, size int) {
			le.PutUint64(h[16:], addr+offset)
			le.PutUint64(h[24:], from+offset)
			le.PutUint64(h[32:], uint64(size))
		}
		switch i - img.tables {
		case 0:
			place(0, end)
		case 1:
			place(typesAt, len(types))
		case 2:
			place(itabsAt, len(itabs))
		default:
			if s.Offset >= rw.Off {
				le.PutUint64(h[24:], s.Offset-moved)
			}
		}
	}
	return out, nil
}
