package linux

import (
	"sync"
	"sync/atomic"

	"gosv/kernel/fs"
	"gosv/kernel/metal"
	"gosv/kernel/wait"
)

// RandomSource is a device that gives random bytes.
type RandomSource interface {
	// Read takes as many as there are. If there are none it has the device make
	// some, after which Kernel.RandomReady is called.
	Read(p []byte) (n int, err error)
}

// randomSource is the machine's RandomSource.
type randomSource struct {
	source RandomSource // nil: there is none
	queue  wait.Queue   // who waits for it

	mu   sync.Mutex
	seed seed
	have int         // bytes of seed
	want atomic.Bool // the generator is to be seeded as soon as that can be
}

// AddRandomSource gives the kernel a source, for /dev/hwrng and its generator. The
// first one counts.
func (k *Kernel) AddRandomSource(s RandomSource) {
	if r := &k.hardware.Load().random; r.source == nil {
		r.source = s
		k.addNode("hwrng", fs.New{Mode: fs.Char | 0o600, Rdev: devHWRNG})
	}
}

// RandomReady says that the source's Read would return something else now.
func (k *Kernel) RandomReady() {
	r := &k.hardware.Load().random
	if r.want.Load() {
		k.Reseed()
	}
	r.queue.Wake()
}

// Reseed has the generator seeded anew, now or when the source is ready.
func (k *Kernel) Reseed() { k.devices().random.want.Store(!k.reseed()) }

// reseed mixes what the source has into the generator, without waiting, and says
// whether it need not be called again: once RandomReady has been.
func (k *Kernel) reseed() bool {
	r := &k.devices().random
	if r.source == nil {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.have < len(r.seed) {
		n, err := r.source.Read(r.seed[r.have:])
		if n == 0 {
			return err != nil
		}
		r.have += n
	}
	random.mix(&r.seed)
	r.have = 0
	return true
}

// seeded waits until the generator is seeded: where the CPU has none of its own, by
// a device if there is one. A device that gives nothing is not waited for for ever.
func (t *Thread) seeded(nonblock bool) Errno {
	const patience = 1_000_000_000 // ns
	if cpuHasRandom() {
		return 0
	}
	random.mu.Lock()
	done := random.seeded
	random.mu.Unlock()
	if done {
		return 0
	}
	k := t.proc.kernel
	if nonblock {
		if k.reseed() {
			return 0
		}
		return EAGAIN
	}
	err := t.Wait(&k.devices().random.queue, metal.Now()+patience, k.reseed)
	if err != 0 && err != ETIMEDOUT {
		return err
	}
	random.mu.Lock()
	random.seeded = true
	random.mu.Unlock()
	return 0
}

// hwrng is /dev/hwrng.
type hwrng struct {
	device
	*randomSource
}

func (t *Thread) openHWRNG(d device, flags uint32) (object, Errno) {
	r := &t.proc.kernel.devices().random
	switch {
	case flags&oAccMode != oRdonly:
		return nil, EINVAL
	case r.source == nil:
		return nil, ENODEV
	}
	return &hwrng{d, r}, 0
}

func (h *hwrng) read(t *Thread, f *File, u *userIO) (done int, err Errno) {
	var buf [256]byte
	for u.left > 0 && !u.fault && err == 0 {
		p, n := buf[:min(u.left, len(buf))], 0
		err = t.block(f, &h.queue, func() bool {
			var failed error
			n, failed = h.source.Read(p)
			return n > 0 || failed != nil
		})
		if err == 0 && n == 0 {
			err = ENODEV
		}
		done += u.Put(p[:n])
	}
	if done > 0 {
		err = 0
	}
	return done, err
}

func (*hwrng) write(*Thread, *File, *userIO) (int, Errno) { return 0, EINVAL }
