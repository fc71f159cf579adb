package linux

import (
	"math/rand/v2"
	"sync"

	"gosv/kernel/metal"
)

// generator makes random numbers: ChaCha8, whose key is replaced with every
// block, so that what was given out cannot be found again. It is seeded when it is
// first asked, and again by what comes from a device.
type generator struct {
	entropy func() uint64

	mu     sync.Mutex
	gen    *rand.ChaCha8
	seeded bool // by something better than time stamps, or there is nothing better

	// The machine's generation id, which differs in a copy of the machine, or after
	// it went back to a snapshot, and what of it the generator knows.
	generation     *[2]uint64
	lastGeneration [2]uint64
}

// random is the machine's generator.
var random = generator{entropy: entropy}

var bootUUID struct {
	once sync.Once
	id   [16]byte // for /proc/sys/kernel/random/boot_id
}

// FillRandom fills b with random bytes.
func FillRandom(b []byte) { random.fill(b) }

func (g *generator) fill(b []byte) {
	g.mu.Lock()
	if g.gen == nil || g.generation != nil && *g.generation != g.lastGeneration {
		g.reseed(&seed{})
	}
	g.gen.Read(b)
	g.mu.Unlock()
}

// WatchGeneration mixes the machine's generation id into the generator, now and
// whenever it is found changed before something is given out: two copies of a
// machine shall not do so the same.
func (k *Kernel) WatchGeneration(id *[2]uint64) {
	random.mu.Lock()
	random.generation = id
	random.mu.Unlock()
}

type seed [32]byte

// mix makes s part of the generator's key.
func (g *generator) mix(s *seed) {
	g.mu.Lock()
	g.reseed(s)
	g.seeded = true
	g.mu.Unlock()
}

// reseed makes a new key of the old one, if there is one, of s, of the machine's
// entropy and of the generation id. Who does not know one of them does not know
// the key.
func (g *generator) reseed(s *seed) {
	var old seed
	if g.gen != nil {
		g.gen.Read(old[:])
	}
	if g.generation != nil {
		g.lastGeneration = *g.generation
	}
	for i := 0; i < len(s); i += 8 {
		putUint64(s[i:], getUint64(s[i:])^getUint64(old[i:])^g.lastGeneration[i/8%2]^g.entropy())
	}
	g.gen = rand.NewChaCha8(*s)
	clear(s[:])
}

// cpuHasRandom says whether the CPU has a generator (RDRAND).
func cpuHasRandom() bool {
	c1, _, _ := metal.CPUFeatures()
	return c1>>30&1 != 0
}

// entropy returns a number that nobody can know: the CPU's, or else
// what the time stamp counter shows of the machine's unsteadiness.
func entropy() uint64 {
	if v, ok := metal.Random64(); ok {
		return v
	}
	// Each round adds the jitter of a cache line's way to memory and of the
	// virtual machine's interruptions; rounds are many as each adds little.
	h := metal.TSC()
	for range 1024 {
		h = (h ^ metal.TSC()) * 0x9e3779b97f4a7c15
		h ^= h >> 29
	}
	return h
}

func putUint64(b []byte, v uint64) {
	_ = b[7] // one check, one store
	b[0], b[1], b[2], b[3] = byte(v), byte(v>>8), byte(v>>16), byte(v>>24)
	b[4], b[5], b[6], b[7] = byte(v>>32), byte(v>>40), byte(v>>48), byte(v>>56)
}

func getUint64(b []byte) uint64 {
	_ = b[7]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}

// getrandom(2).
const (
	grndNonblock = 1
	grndRandom   = 2
	grndInsecure = 4
)

func sysGetrandom(t *Thread, a *Args) (uintptr, Errno) {
	addr, n, flags := a.Arg1(), a.Arg2(), uint32(a.Arg3())
	if flags&^(grndNonblock|grndRandom|grndInsecure) != 0 || flags&(grndRandom|grndInsecure) == grndRandom|grndInsecure {
		return 0, EINVAL
	}
	n = min(n, maxRW)
	if !userRange(addr, n) {
		return 0, EFAULT
	}
	if flags&grndInsecure == 0 {
		if err := t.seeded(flags&grndNonblock != 0); err != 0 {
			return 0, err
		}
	}
	var buf [256]byte
	for done := uintptr(0); done < n; {
		chunk := buf[:min(n-done, uintptr(len(buf)))]
		FillRandom(chunk)
		k := uintptr(t.CopyOutSome(addr+done, chunk))
		if done += k; k < uintptr(len(chunk)) {
			if done == 0 {
				return 0, EFAULT
			}
			return done, 0
		}
		if t.interrupted() && done < n {
			return done, 0
		}
	}
	return n, 0
}

// Requests of ioctl(2) on /dev/random (random(4)).
const (
	rndGetEntCnt   = 0x80045200
	rndAddToEntCnt = 0x40045201
	rndAddEntropy  = 0x40085203
	rndZapEntCnt   = 0x5204
	rndClearPool   = 0x5206
	rndReseedCRNG  = 0x5207
)

// ioctl: the generator never lacks entropy, so what is to change that changes
// nothing.
func (randomDevice) ioctl(t *Thread, f *File, req, arg uintptr) (uintptr, Errno) {
	n := int32(256)
	switch req {
	case rndGetEntCnt:
		return 0, copyOut(t, arg, &n)
	case rndAddToEntCnt, rndAddEntropy: // both begin with a count of bits
		if err := copyIn(t, &n, arg); err != 0 {
			return 0, err
		}
		if n < 0 {
			return 0, EINVAL
		}
		return 0, 0
	case rndZapEntCnt, rndClearPool, rndReseedCRNG:
		return 0, 0
	}
	return 0, EINVAL
}
