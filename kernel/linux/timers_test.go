package linux

import (
	"math/rand/v2"
	"testing"
)

func init() { onHost = true }

func TestTimerHeap(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var h timerHeap
	armed := map[*timer]bool{}
	pool := make([]timer, 64)
	for range 20_000 {
		tm := &pool[rnd.IntN(len(pool))]
		if armed[tm] {
			h.remove(tm)
			delete(armed, tm)
			if tm.index != 0 {
				t.Fatal("removed, but still has an index")
			}
		} else {
			tm.when = uint64(rnd.IntN(50))
			h.add(tm)
			armed[tm] = true
		}
		if len(h) != len(armed) {
			t.Fatalf("%d in the heap, want %d", len(h), len(armed))
		}
		for i, tm := range h {
			if tm.index != i+1 {
				t.Fatalf("index %d at %d", tm.index, i+1)
			}
			if i > 0 && h[(i-1)/2].when > tm.when {
				t.Fatal("not a heap")
			}
		}
	}
}
