package linux

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
)

// A clone of a machine, which has all of its state, gets other random numbers.
func TestGeneration(t *testing.T) {
	var id [2]uint64
	g := generator{entropy: func() uint64 { return 5 }, generation: &id}
	var a, b [32]byte
	g.fill(a[:])
	saved := *g.gen
	id[0]++
	before := g.gen
	g.fill(a[:])
	if g.gen == before {
		t.Error("the generator is not seeded anew")
	}
	before = g.gen
	g.fill(b[:])
	if g.gen != before || a == b {
		t.Error("the generator is seeded anew without need")
	}
	id[1]++
	g.gen = &saved
	g.fill(b[:])
	if a == b {
		t.Error("two clones get the same random numbers")
	}
}

// What is mixed in counts, and so does what was there before.
func TestMix(t *testing.T) {
	numbers := func(key byte, s seed) []byte {
		g := generator{entropy: func() uint64 { return 5 }, gen: rand.NewChaCha8(seed{key})}
		g.mix(&s)
		b := make([]byte, 32)
		g.fill(b)
		return b
	}
	a := numbers(1, seed{7})
	if !bytes.Equal(a, numbers(1, seed{7})) || bytes.Equal(a, numbers(2, seed{7})) || bytes.Equal(a, numbers(1, seed{8})) {
		t.Error("the key does not depend on the old one and on the seed")
	}
}

// slowSource is a device that has nothing at first, and then few bytes at a time.
type slowSource struct {
	reads int
	err   error
}

func (s *slowSource) Read(p []byte) (int, error) {
	s.reads++
	if s.reads%2 == 1 {
		return 0, s.err
	}
	return copy(p, "0123456"), nil
}

func TestSeedFromDevice(t *testing.T) {
	random.entropy = func() uint64 { return 5 }
	defer func() { random.entropy = entropy }()
	s := new(slowSource)
	k := &Kernel{FindDevices: func(k *Kernel) { k.AddRandomSource(s) }}
	before := random.gen
	k.StartDevices()
	for i := 0; random.gen == before; i++ {
		if i > 10 {
			t.Fatal("the generator is never seeded")
		}
		k.RandomReady()
	}
	reads := s.reads
	k.RandomReady()
	if s.reads != reads || reads != 10 { // five times seven bytes, and as often nothing
		t.Errorf("%d reads, and then %d more", reads, s.reads-reads)
	}

	s = &slowSource{err: errors.New("gone")}
	k = &Kernel{FindDevices: func(k *Kernel) { k.AddRandomSource(s) }}
	k.StartDevices()
	k.RandomReady()
	if s.reads != 1 {
		t.Errorf("a device that failed is asked %d times", s.reads)
	}
}
