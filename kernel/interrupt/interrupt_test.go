package interrupt

import (
	"sync/atomic"
	"testing"
	"time"

	"gosv/kernel/platform"
)

// The sharers of a line are asked until none has news: one that asserts the line
// while another still does makes no edge.
func TestSharedLine(t *testing.T) {
	news := [3]int{0, 2, 1} // how often each will have some
	var asked [3]int
	l := &line{}
	for i := range news {
		l.sharers = append(l.sharers, func() bool {
			asked[i]++
			if i == 1 && asked[i] == 2 {
				news[2]++ // as it is served, another one has something again
			}
			news[i]--
			return news[i] >= 0
		})
	}
	if !l.handle() || asked != [3]int{3, 3, 3} {
		t.Errorf("asked %v", asked)
	}
	if l.handle() {
		t.Error("news, but there were none")
	}
	// One that always has news is not asked for ever, one alone once.
	n := 0
	always := func() bool { n++; return true }
	l.sharers = []Handler{always, func() bool { return false }}
	if !l.handle() || n != passes {
		t.Errorf("asked %d times", n)
	}
	l.sharers, n = []Handler{always}, 0
	if !l.handle() || n != 1 {
		t.Errorf("asked %d times", n)
	}
}

func TestStorm(t *testing.T) {
	said := make(chan string, 10)
	Use(ioapics, func(s string) { said <- s })
	var masked int
	var asked atomic.Int32
	s := &source{handle: func() bool { asked.Add(1); return false }, mask: func() { masked++ }}
	now := uint64(1e9)
	for range storm - 1 {
		now += pause / 2
		s.nobody(now)
	}
	now += pause + 1 // a rest: it was no storm
	for range storm - 1 {
		s.nobody(now)
	}
	if masked != 0 {
		t.Fatal("masked too early")
	}
	for range 3 * storm {
		s.nobody(now)
	}
	if masked != 1 || len(<-said) == 0 || len(said) != 0 {
		t.Errorf("masked %d times", masked)
	}
	for deadline := time.Now().Add(time.Minute); asked.Load() < 2; time.Sleep(pause / 10) {
		if time.Now().After(deadline) {
			t.Fatal("nobody asks the device any more")
		}
	}
	s = &source{}
	for range 2 * storm { // nothing can be done about it
		s.nobody(now)
	}
}

func TestNoSuchLine(t *testing.T) {
	Use([]platform.IOAPIC{{Addr: 1 << 31, Pins: 24}, {Addr: 1 << 31, Base: 32, Pins: 8}}, func(string) {})
	for _, gsi := range []uint32{24, 31, 40, 1<<32 - 1} {
		if Line(platform.Line{GSI: gsi}, func() bool { return false }) == nil {
			t.Errorf("GSI %d", gsi)
		}
	}
}
