package linux

import (
	"math/rand/v2"
	"testing"
)

// TestLockTable compares the locks that three owners take and give back with one
// for each byte.
func TestLockTable(t *testing.T) {
	const size = 40
	owners := []*File{{}, {}, {}}
	for seed := range uint64(40) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		var x lockTable
		var want [size]map[*File]bool // who holds it, for writing or not
		for i := range want {
			want[i] = map[*File]bool{}
		}
		for range 300 {
			o := owners[rnd.IntN(len(owners))]
			start := int64(rnd.IntN(size))
			end := start + 1 + int64(rnd.IntN(size-int(start)))
			l := fileLock{owner: o, write: rnd.IntN(2) == 0, start: start, end: end}
			if rnd.IntN(3) == 0 {
				x.release(&l, false)
				for i := start; i < end; i++ {
					delete(want[i], o)
				}
				continue
			}
			conflicts := false
			for i := start; i < end; i++ {
				for other, write := range want[i] {
					conflicts = conflicts || other != o && (write || l.write)
				}
			}
			c := x.conflict(&l)
			if (c != nil) != conflicts {
				t.Fatalf("seed %d: a conflict: %v, want %v", seed, c, conflicts)
			}
			if conflicts {
				continue
			}
			x.release(&l, true)
			x.held.add(l)
			for i := start; i < end; i++ {
				want[i][o] = l.write
			}
			// Of one owner's locks no two overlap, nor touch if they are of one kind.
			for i, a := range x.held {
				for _, b := range x.held[:i] {
					if a.owner == b.owner && (a.start < b.end && b.start < a.end || a.write == b.write && (a.start == b.end || b.start == a.end)) {
						t.Fatalf("seed %d: %v beside %v", seed, a, b)
					}
				}
			}
			for i := range int64(size) {
				for _, o := range owners {
					write, held := want[i][o]
					found := false
					for _, h := range x.held {
						found = found || h.owner == any(o) && h.start <= i && i < h.end && h.write == write
					}
					if found != held {
						t.Fatalf("seed %d: byte %d is held: %v, want %v", seed, i, found, held)
					}
				}
			}
		}
		x.drop(func(l *fileLock) bool { return l.owner != any(owners[1]) })
		for _, h := range x.held {
			if h.owner != any(owners[1]) {
				t.Fatalf("seed %d: %v was not dropped", seed, h)
			}
		}
	}
}

// TestLockSpan: struct flock's ranges (fcntl(2)).
func TestLockSpan(t *testing.T) {
	f := &File{io: &consoleOutput{}}
	f.pos = 100
	const most = 1<<63 - 1
	for _, c := range []struct {
		a          flockArg
		start, end int64
		err        Errno
	}{
		{flockArg{}, 0, lockToEnd, 0},
		{flockArg{start: 5, len: 3}, 5, 8, 0},
		{flockArg{start: 5, len: -3}, 2, 5, 0},
		{flockArg{start: 5, len: -6}, 0, 0, EINVAL},
		{flockArg{whence: 1, start: -10, len: 1}, 90, 91, 0},
		{flockArg{whence: 1, start: -101}, 0, 0, EINVAL},
		{flockArg{whence: 1, start: most}, 0, 0, EOVERFLOW},
		{flockArg{whence: 2, start: 1}, 1, lockToEnd, 0},
		{flockArg{whence: 3}, 0, 0, EINVAL},
		{flockArg{start: most, len: 1}, most, most, 0},
		{flockArg{start: most, len: 2}, 0, 0, EOVERFLOW},
	} {
		if start, end, err := c.a.span(f); start != c.start || end != c.end || err != c.err {
			t.Errorf("%+v: %d %d %v, want %d %d %v", c.a, start, end, err, c.start, c.end, c.err)
		}
	}
}
