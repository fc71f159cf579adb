package mm

import (
	"math/rand/v2"
	"testing"

	"gosv/kernel/errno"
)

// testFile counts its references.
type testFile struct{ refs int }

func (f *testFile) Pages(off int64, max int, write bool) ([]byte, errno.Errno) { return nil, 0 }
func (f *testFile) Fetch(int64) errno.Errno                                    { return 0 }
func (f *testFile) Tracked() bool                                              { return false }
func (f *testFile) Retain()                                                    { f.refs++ }
func (f *testFile) Release()                                                   { f.refs-- }
func (f *testFile) MapsName() (dev, ino uint64, path string)                   { return }

// modelPage is what the model knows of a page.
type modelPage struct {
	mapped bool
	prot   uint8
	file   *testFile
	off    int64
}

const (
	modelPages = 200
	modelBase  = 0x7ffff7fff000 - modelPages*PageSize // so that gap finds what is free here first
)

// compare checks m against the model, page by page, and its own order.
func compare(t *testing.T, m *vmaSet, model *[modelPages]modelPage, files []*testFile) {
	t.Helper()
	refs := map[*testFile]int{}
	for i, v := range m.v {
		if v.Lo >= v.Hi || v.Lo&pageMask != 0 || v.Hi&pageMask != 0 {
			t.Fatalf("mapping [%#x, %#x)", v.Lo, v.Hi)
		}
		if i > 0 && m.v[i-1].Hi > v.Lo {
			t.Fatal("out of order")
		}
		if i > 0 && m.v[i-1].continues(v) {
			t.Fatalf("not joined at %#x", v.Lo)
		}
		if v.File != nil {
			refs[v.File.(*testFile)]++
		}
	}
	for _, f := range files {
		if f.refs != refs[f] {
			t.Fatalf("%d references, %d mappings", f.refs, refs[f])
		}
	}
	for i := range model {
		va := uintptr(modelBase + i*PageSize)
		v, want := m.at(va), model[i]
		if (v != nil) != want.mapped {
			t.Fatalf("page %d: mapped %v, want %v", i, v != nil, want.mapped)
		}
		if v == nil {
			continue
		}
		if v.Prot != want.prot {
			t.Fatalf("page %d: prot %d, want %d", i, v.Prot, want.prot)
		}
		if want.file == nil != (v.File == nil) || want.file != nil && (v.File != want.file || v.Offset(va) != want.off) {
			t.Fatalf("page %d: file %v+%d, want %v+%d", i, v.File, v.Offset(va), want.file, want.off)
		}
	}
}

// modelGap is where gap should find n pages: as high as possible.
func modelGap(model *[modelPages]modelPage, n int) int {
	free := 0
	for i := modelPages - 1; i >= 0; i-- {
		if model[i].mapped {
			free = 0
		} else if free++; free == n {
			return i
		}
	}
	return -1
}

func TestVMAsAgainstModel(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		files := []*testFile{{}, {}}
		var m vmaSet
		var model [modelPages]modelPage
		for range 1500 {
			lo := rnd.IntN(modelPages)
			hi := min(modelPages, lo+1+rnd.IntN(20))
			at := func(i int) uintptr { return uintptr(modelBase + i*PageSize) }
			switch rnd.IntN(5) {
			case 0, 1: // map
				p := modelPage{mapped: true, prot: uint8(rnd.IntN(3))}
				if k := rnd.IntN(4); k < len(files) {
					p.file, p.off = files[k], int64(lo)*PageSize // so that neighbours may join
				}
				if rnd.IntN(2) == 0 { // not at a fixed address
					if g := modelGap(&model, hi-lo); g >= 0 {
						if got := m.gap(uintptr(hi-lo) * PageSize); got != at(g) {
							t.Fatalf("seed %d: gap for %d pages at %#x, want %#x", seed, hi-lo, got, at(g))
						}
						lo, hi = g, g+hi-lo
					}
				}
				v := VMA{Lo: at(lo), Hi: at(hi), Prot: p.prot, Off: p.off}
				m.remove(v.Lo, v.Hi)
				if p.file != nil {
					p.file.Retain()
					v.File = p.file
				}
				m.insert(v)
				for i := lo; i < hi; i++ {
					model[i] = p
					p.off += PageSize
				}
			case 2: // unmap
				m.remove(at(lo), at(hi))
				for i := lo; i < hi; i++ {
					model[i] = modelPage{}
				}
			case 3, 4: // protect
				prot := uint8(rnd.IntN(3))
				first := m.split(at(lo))
				last := m.split(at(hi))
				for _, v := range m.v[first:last] {
					v.Prot = prot
				}
				m.join(first, last)
				for i := lo; i < hi; i++ {
					if model[i].mapped {
						model[i].prot = prot
					}
				}
			}
			compare(t, &m, &model, files)
			covered := true
			for i := lo; i < hi; i++ {
				covered = covered && model[i].mapped
			}
			if m.covered(at(lo), at(hi)) != covered {
				t.Fatalf("seed %d: covered is %v, want %v", seed, !covered, covered)
			}
		}
	}
}

func TestGapFrom(t *testing.T) {
	var m vmaSet
	m.insert(VMA{Lo: 0x10000, Hi: 0x20000})
	m.insert(VMA{Lo: 0x30000, Hi: 0x40000, Prot: 1})
	for _, c := range []struct{ lo, hi, n, want uintptr }{
		{0x8000, 0x50000, 0x8000, 0x8000},
		{0x8000, 0x50000, 0x9000, 0x20000},
		{0x10000, 0x50000, 0x10000, 0x20000},
		{0x10000, 0x50000, 0x11000, 0},
		{0x10000, 0x52000, 0x11000, 0x40000},
	} {
		if got := m.gapFrom(c.lo, c.hi, c.n); got != c.want {
			t.Errorf("gapFrom(%#x, %#x, %#x) = %#x, want %#x", c.lo, c.hi, c.n, got, c.want)
		}
	}
}

// BenchmarkManyMappings makes as many mappings as there may be, none of which
// can be joined, each where gap finds room.
func BenchmarkManyMappings(b *testing.B) {
	for b.Loop() {
		var m vmaSet
		for i := range MaxMappings {
			lo := m.gap(PageSize)
			m.insert(VMA{Lo: lo, Hi: lo + PageSize, Prot: uint8(i & 1)})
		}
	}
}
