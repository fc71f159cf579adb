package main

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
)

// The linker's tables that say of each function where its frames, pointers,
// lines and inlined calls are (runtime/symtab.go, cmd/link/internal/ld/pcln.go)
// are a third of a kernel. The runtime reaches them by way of its moduledata
// only, so they can be written anew after the link.

var le = binary.LittleEndian

// Offsets in runtime.moduledata. A slice takes three words.
const (
	mdPCHeader    = 0
	mdFuncNames   = 8
	mdCUs         = 32
	mdFiles       = 56
	mdPCTab       = 80
	mdFuncs       = 104
	mdFuncTab     = 128
	mdFindFunc    = 152
	mdMinPC       = 160
	mdMaxPC       = 168
	mdText        = 176
	mdData        = 208
	mdDataEnd     = 216
	mdBSS         = 224
	mdBSSEnd      = 232
	mdNoPtrBSS    = 240
	mdNoPtrBSSEnd = 248
	mdGCData      = 280
	mdGCBSS       = 288
	mdTypes       = 296
	mdTypesEnd    = 304
	mdFuncData    = 320
	mdEnd         = 328 // epclntab
	mdTextSects   = 336
	mdTypeLinks   = 360
	mdItabLinks   = 384
	mdPluginTable = 408
	mdInitTasks   = 472
	mdDataMask    = 544 // a bitvector: a length of 32 bits, a pointer
	mdBSSMask     = 560
)

const (
	pclntabMagic = 0xfffffff1 // abi.Go120PCLnTabMagic
	pcHeaderSize = 72
	funcSize     = 44         // runtime._func without its arrays
	absent       = ^uint32(0) // funcdata that is not there
)

// Indices of a function's PCDATA and FUNCDATA (internal/abi/symtab.go).
const (
	pcUnsafePoint   = 0
	pcStackMapIndex = 1
	pcInlTreeIndex  = 2
	pcArgLiveIndex  = 3
	pcPanicBounds   = 4
	pcdataKinds     = 5

	fdArgsPointerMaps    = 0
	fdLocalsPointerMaps  = 1
	fdStackObjects       = 2
	fdInlTree            = 3
	fdOpenCodedDeferInfo = 4
	funcdataKinds        = 5
	allFuncdata          = 8 // with what is not read: ArgInfo, ArgLiveInfo, WrapInfo
)

// function is what the tables say of a function: runtime._func with all that
// it refers to. Tables and blobs that are not there are nil.
type function struct {
	entry             uint32 // offset in the text
	name              string
	args, deferreturn uint32
	startLine         uint32
	id, flag          byte
	sp, file, line    []byte // encoded by pc: see runtime.step
	pcdata            [pcdataKinds][]byte
	funcdata          [funcdataKinds][]byte
	inlined           []inlinedCall // instead of funcdata[fdInlTree]
	unit              uint32        // of compilation
	files             []string      // of the unit, by the values of the table file; only those that are in it
}

// inlinedCall is runtime.inlinedCall.
type inlinedCall struct {
	id                  byte
	name                string
	parentPC, startLine uint32
}

// module is what the runtime knows of the image's functions.
type module struct {
	funcs    []function
	end      uint32 // of the last function, an offset in the text
	findFunc []byte // runtime.findfuncbucket array: indices into funcs by address
}

// tables are the parts of .gopclntab, at their addresses.
type tables struct {
	names, cus, files, pctab, funcs, funcData, findFunc []byte
}

var errTables = errors.New("malformed function tables")

// readModule decodes the tables that the moduledata md leads to. at returns
// the image from an address on.
func readModule(md []byte, at func(addr uint64) []byte) (m *module, err error) {
	defer func() {
		if r := recover(); r != nil { // an offset that leads out of its table
			m, err = nil, fmt.Errorf("%w: %v", errTables, r)
		}
	}()
	slice := func(field, size int) []byte {
		return at(le.Uint64(md[field:]))[:le.Uint64(md[field+8:])*uint64(size)]
	}
	header := at(le.Uint64(md[mdPCHeader:]))[:pcHeaderSize]
	if le.Uint32(header) != pclntabMagic || header[6] != 1 || header[7] != 8 {
		return nil, fmt.Errorf("%w: header % x", errTables, header[:8])
	}
	if le.Uint64(md[mdTextSects+8:]) != 1 || le.Uint64(md[mdPluginTable+8:]) != 0 || le.Uint64(md[mdMinPC:]) != le.Uint64(md[mdText:]) {
		return nil, fmt.Errorf("%w: more than one text section, or plugins", errTables)
	}
	t := tables{names: slice(mdFuncNames, 1), cus: slice(mdCUs, 4), files: slice(mdFiles, 1), pctab: slice(mdPCTab, 1),
		funcs: slice(mdFuncs, 1)}
	end := le.Uint64(md[mdEnd:])
	t.funcData = at(le.Uint64(md[mdFuncData:]))[:end-le.Uint64(md[mdFuncData:])]
	t.findFunc = at(le.Uint64(md[mdFindFunc:]))[:end-le.Uint64(md[mdFindFunc:])]
	ftab := slice(mdFuncTab, 8)
	n := len(ftab)/8 - 1
	if uint64(n) != le.Uint64(header[8:]) {
		return nil, fmt.Errorf("%w: %d functions, and %d in the header", errTables, n, le.Uint64(header[8:]))
	}
	m = &module{funcs: make([]function, n), end: le.Uint32(ftab[n*8:])}
	for i := range m.funcs {
		entry, off := le.Uint32(ftab[i*8:]), le.Uint32(ftab[i*8+4:])
		if m.funcs[i], err = t.function(t.funcs[off:]); err != nil {
			return nil, err
		}
		if m.funcs[i].entry != entry {
			return nil, fmt.Errorf("%w: a function at %#x and %#x", errTables, entry, m.funcs[i].entry)
		}
		// What runtime.moduledataverify1 checks, so that metal can spare the boot that.
		if next := le.Uint32(ftab[i*8+8:]); next < entry {
			return nil, fmt.Errorf("%w: not sorted at %#x", errTables, entry)
		}
	}
	if m.funcs[0].entry != 0 || le.Uint64(md[mdText:])+uint64(m.end) != le.Uint64(md[mdMaxPC:]) {
		return nil, fmt.Errorf("%w: they are not of all the text", errTables)
	}
	m.findFunc = t.findFunc
	return m, nil
}

// function decodes the runtime._func r.
func (t *tables) function(r []byte) (f function, err error) {
	word := func(i int) uint32 { return le.Uint32(r[i*4:]) }
	npcdata, nfuncdata := int(word(7)), int(r[funcSize-1])
	if npcdata > pcdataKinds || nfuncdata > allFuncdata || r[42] != 0 {
		return f, fmt.Errorf("%w: a function with %d pcdata, %d funcdata", errTables, npcdata, nfuncdata)
	}
	f = function{entry: word(0), args: word(2), deferreturn: word(3), unit: word(8), startLine: word(9), id: r[40], flag: r[41]}
	if off := word(1); off != 0 {
		f.name = cstring(t.names[off:])
	}
	table := func(off uint32) []byte {
		if off == 0 {
			return nil
		}
		return t.pctab[off:][:pcTableLen(t.pctab[off:])]
	}
	f.sp, f.file, f.line = table(word(4)), table(word(5)), table(word(6))
	for i := range npcdata {
		f.pcdata[i] = table(word(11 + i))
	}
	for i := range min(nfuncdata, funcdataKinds) {
		off := word(11 + npcdata + i)
		if off == absent {
			continue
		}
		if i == fdInlTree {
			f.inlined = t.inlTree(t.funcData[off:], f.pcdata[pcInlTreeIndex])
			continue
		}
		b := t.funcData[off:]
		f.funcdata[i] = b[:funcDataLen(i, b)]
	}
	for run := range pcRuns(f.file) {
		for int(run.value) >= len(f.files) {
			f.files = append(f.files, "")
		}
		if off := le.Uint32(t.cus[(f.unit+uint32(run.value))*4:]); off != absent {
			f.files[run.value] = cstring(t.files[off:])
		}
	}
	return f, nil
}

// inlTree decodes the inlined calls of a function, of which there are as many
// as the table of their indices by pc names.
func (t *tables) inlTree(b, indices []byte) (calls []inlinedCall) {
	n := 0
	for run := range pcRuns(indices) {
		n = max(n, int(run.value)+1)
	}
	for i := range n {
		r := b[i*inlinedSize:]
		c := inlinedCall{id: r[0], parentPC: le.Uint32(r[8:]), startLine: le.Uint32(r[12:])}
		if off := le.Uint32(r[4:]); off != 0 {
			c.name = cstring(t.names[off:])
		}
		calls = append(calls, c)
	}
	return calls
}

// funcDataLen returns the length of the funcdata of that kind that b starts with.
func funcDataLen(kind int, b []byte) int {
	switch kind {
	case fdArgsPointerMaps, fdLocalsPointerMaps: // runtime.stackmap
		return 8 + int(le.Uint32(b))*((int(le.Uint32(b[4:]))+7)/8)
	case fdStackObjects: // a count, and runtime.stackObjectRecord
		return 8 + int(le.Uint64(b))*16
	case fdOpenCodedDeferInfo: // the bits' offset and the slots'
		_, n := binary.Uvarint(b)
		_, m := binary.Uvarint(b[n:])
		return n + m
	}
	panic(fmt.Sprintf("funcdata %d", kind))
}

// pcRun is a stretch of code, up to end from the function's entry, that has
// the same value in a table.
type pcRun struct {
	value int32
	end   uint32
}

// pcRuns decodes a table, as runtime.pcvalue does.
func pcRuns(table []byte) iter.Seq[pcRun] {
	return func(yield func(pcRun) bool) {
		r := pcRun{value: -1}
		for first := true; len(table) > 0 && (first || table[0] != 0); first = false {
			dv, n := binary.Uvarint(table)
			dpc, m := binary.Uvarint(table[n:])
			table = table[n+m:]
			r.value += int32(-(dv & 1) ^ dv>>1)
			r.end += uint32(dpc)
			if !yield(r) {
				return
			}
		}
	}
}

// pcTable encodes the values of code that starts with a function's entry.
func pcTable(values []int32) (table []byte) {
	last := int32(-1)
	for i := 0; i < len(values); {
		n := i
		for n < len(values) && values[n] == values[i] {
			n++
		}
		delta := values[i] - last
		table = binary.AppendUvarint(table, uint64(uint32(delta<<1^delta>>31)))
		table = binary.AppendUvarint(table, uint64(n-i))
		last, i = values[i], n
	}
	return append(table, 0)
}

// pcValues is the inverse of pcTable.
func pcValues(table []byte) (values []int32) {
	for run := range pcRuns(table) {
		for uint32(len(values)) < run.end {
			values = append(values, run.value)
		}
	}
	return values
}

// pcTableLen returns the length of the table that b starts with.
func pcTableLen(b []byte) int {
	at := 0
	for first := true; first || b[at] != 0; first = false {
		for range 2 {
			for b[at] >= 0x80 {
				at++
			}
			at++
		}
	}
	return at + 1
}

func cstring(b []byte) string { return string(b[:bytes.IndexByte(b, 0)]) }

// write encodes the module's tables, and numbers its units as they are there.
func (m *module) write() tables {
	var names, files, pctab, data pool
	for i := range m.funcs {
		f := &m.funcs[i]
		names.add(f.name+"\x00", 1)
		for _, c := range f.inlined {
			names.add(c.name+"\x00", 1)
		}
		for _, name := range f.files {
			if name != "" {
				files.add(name+"\x00", 1)
			}
		}
		for _, table := range append([][]byte{f.sp, f.file, f.line}, f.pcdata[:]...) {
			pctab.add(string(table), 1)
		}
	}
	// Offset zero means none in these two.
	names.pack("\x00")
	pctab.pack("\x00")
	files.pack("")
	for i := range m.funcs {
		f := &m.funcs[i]
		for kind, b := range f.funcdata {
			data.add(string(b), funcDataAlign(kind))
		}
		data.add(string(f.inlTree(&names)), 4)
	}
	data.pack("")

	units := map[uint32][]string{}
	for i := range m.funcs {
		f := &m.funcs[i]
		u := units[f.unit]
		u = append(u, make([]string, max(0, len(f.files)-len(u)))...)
		for j, name := range f.files {
			if name != "" {
				u[j] = name
			}
		}
		units[f.unit] = u
	}
	var cus []byte
	unitAt := map[uint32]uint32{}
	for _, unit := range slices.Sorted(maps.Keys(units)) {
		unitAt[unit] = uint32(len(cus) / 4)
		for _, name := range units[unit] {
			off := absent
			if name != "" {
				off = files.offset(name + "\x00")
			}
			cus = le.AppendUint32(cus, off)
		}
	}
	head := (len(m.funcs)*2 + 1) * 4
	var ftab, records []byte
	for i := range m.funcs {
		f := &m.funcs[i]
		f.unit = unitAt[f.unit]
		ftab = le.AppendUint32(ftab, f.entry)
		ftab = le.AppendUint32(ftab, uint32(head+len(records)))
		npcdata, nfuncdata := 0, 0
		for kind, table := range f.pcdata {
			if table != nil {
				npcdata = kind + 1
			}
		}
		fd := f.funcdata
		fd[fdInlTree] = f.inlTree(&names)
		for kind, b := range fd {
			if b != nil {
				nfuncdata = kind + 1
			}
		}
		for _, v := range []uint32{f.entry, names.offset(f.name + "\x00"), f.args, f.deferreturn, pctab.offset(string(f.sp)),
			pctab.offset(string(f.file)), pctab.offset(string(f.line)), uint32(npcdata), f.unit, f.startLine} {
			records = le.AppendUint32(records, v)
		}
		records = append(records, f.id, f.flag, 0, byte(nfuncdata))
		for _, table := range f.pcdata[:npcdata] {
			records = le.AppendUint32(records, pctab.offset(string(table)))
		}
		for _, b := range fd[:nfuncdata] {
			off := absent
			if b != nil {
				off = data.offset(string(b))
			}
			records = le.AppendUint32(records, off)
		}
	}
	ftab = le.AppendUint32(ftab, m.end)
	return tables{names: names.bytes, cus: cus, files: files.bytes, pctab: pctab.bytes, funcs: append(ftab, records...),
		funcData: data.bytes, findFunc: m.findFunc}
}

func funcDataAlign(kind int) int {
	return [...]int{4, 4, 8, 4, 1}[kind]
}

const inlinedSize = 16

func (f *function) inlTree(names *pool) (b []byte) {
	for _, c := range f.inlined {
		b = append(b, c.id, 0, 0, 0)
		b = le.AppendUint32(b, names.offset(c.name+"\x00"))
		b = le.AppendUint32(b, c.parentPC)
		b = le.AppendUint32(b, c.startLine)
	}
	return b
}

// pool lays byte strings out so that equal ones, and those that another has in
// it, take no place of their own.
type pool struct {
	items map[string]int // alignments
	at    map[string]uint32
	bytes []byte
}

func (p *pool) add(s string, align int) {
	if s == "" {
		return
	}
	if p.items == nil {
		p.items = map[string]int{}
	}
	p.items[s] = max(align, p.items[s])
}

// pack fills bytes, which start with prefix. Of strings that need no alignment,
// one that another ends with lies in that.
func (p *pool) pack(prefix string) {
	list := slices.Collect(maps.Keys(p.items))
	slices.SortFunc(list, func(a, b string) int {
		if c := cmp.Compare(p.items[b], p.items[a]); c != 0 {
			return c
		}
		return -compareReversed(a, b) // a string comes right behind those that end with it
	})
	p.bytes = []byte(prefix)
	p.at = make(map[string]uint32, len(list))
	for _, s := range list {
		align := p.items[s]
		if align > 1 || !strings.HasSuffix(string(p.bytes[max(0, len(p.bytes)-len(s)):]), s) || len(p.at) == 0 {
			p.bytes = append(pad(p.bytes, align), s...)
		}
		p.at[s] = uint32(len(p.bytes) - len(s))
	}
}

// compareReversed compares the strings from their ends.
func compareReversed(a, b string) int {
	for i := 1; i <= min(len(a), len(b)); i++ {
		if c := cmp.Compare(a[len(a)-i], b[len(b)-i]); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}

func pad(b []byte, align int) []byte {
	return append(b, make([]byte, -len(b)&(align-1))...)
}

// offset returns where the string lies, zero for the empty one.
func (p *pool) offset(s string) uint32 {
	if s == "" {
		return 0
	}
	at, ok := p.at[s]
	if !ok {
		panic("not in the pool: " + s)
	}
	return at
}
