package boot

import (
	"math/rand"
	"testing"
)

func TestMemory(t *testing.T) {
	m := Memory{1, 2, 3, 4, 5, 6, 7, 8, 9, 0x80}
	if v, ok := m.U8(9); v != 0x80 || !ok {
		t.Error(v, ok)
	}
	if v, ok := m.U16(1); v != 0x0302 || !ok {
		t.Error(v, ok)
	}
	if v, ok := m.U32(3); v != 0x07060504 || !ok {
		t.Error(v, ok)
	}
	if v, ok := m.U64(2); v != 0x8009080706050403 || !ok {
		t.Error(v, ok)
	}
	top := ^uint64(0)
	for _, m := range []Memory{m, {}, nil, m[:1]} {
		n := uint64(len(m))
		for _, pa := range []uint64{n - 7, n - 3, n - 1, n, n + 1, top - 8, top - 7, top - 3, top - 1, top} {
			for size, read := range map[uint64]func() bool{
				1: func() bool { _, ok := m.U8(pa); return ok },
				2: func() bool { _, ok := m.U16(pa); return ok },
				4: func() bool { _, ok := m.U32(pa); return ok },
				8: func() bool { _, ok := m.U64(pa); return ok },
			} {
				want := pa < n && n-pa >= size
				if read() != want {
					t.Errorf("%d of %d bytes at %#x: %v", size, n, pa, !want)
				}
			}
		}
	}
}

func TestSumsToZero(t *testing.T) {
	m := Memory{0xff, 1, 0x80, 0x80, 7}
	for _, c := range []struct {
		pa, n uint64
		want  bool
	}{{0, 4, true}, {0, 2, true}, {0, 5, false}, {2, 2, true}, {4, 1, false}, {4, 2, false}, {^uint64(0), 2, false}, {1, ^uint64(0), false}} {
		if got := m.sumsToZero(c.pa, c.n); got != c.want {
			t.Errorf("%d at %#x: %v", c.n, c.pa, got)
		}
	}
}

func TestSumsOfAnyLength(t *testing.T) {
	random := rand.New(rand.NewSource(1))
	for range 10000 {
		m := make(Memory, 1+random.Intn(100))
		for i := range m {
			m[i] = byte(random.Intn(256))
			if random.Intn(4) == 0 {
				m[i] = 0xff
			}
		}
		from := random.Intn(len(m))
		n := 1 + random.Intn(len(m)-from)
		image(m).sum(uint64(from+random.Intn(n)), uint64(from), uint64(n))
		if !m.sumsToZero(uint64(from), uint64(n)) {
			t.Fatalf("%d bytes at %d of %x", n, from, m)
		}
		m[from+random.Intn(n)] ^= 1 << random.Intn(8)
		if m.sumsToZero(uint64(from), uint64(n)) {
			t.Fatalf("%d bytes at %d of %x", n, from, m)
		}
	}
}
