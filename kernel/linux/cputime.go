package linux

import (
	"math/bits"
	"sync"
	"sync/atomic"

	"gosv/kernel/metal"
)

// CPU time is measured exactly as a whole, for the clocks; how much of it was in ring 3
// and how much in the kernel is sampled by metal's ticks, as Linux does it
// (kernel/sched/cputime.c), for that costs a system call nothing.

// cpuTicks counts the ticks that hit a thread, or threads.
type cpuTicks struct{ user, system atomic.Uint32 }

// countTicks notes the ticks that have passed since t looked last. The last of them found
// it in ring 3, if inUser, for a tick brings a thread out of there. The others, and all if
// not, found it in the kernel.
func (t *Thread) countTicks(inUser bool) {
	all, last := metal.Ticks()
	n := all - t.ticksSeen.Load()
	if n == 0 {
		return
	}
	t.ticksSeen.Store(all)
	if inUser {
		last = min(last, n)
		t.ticks.user.Add(last)
		n -= last
	}
	t.ticks.system.Add(n)
}

// cpuSplit is what was told of user and system time: neither ever gets less.
type cpuSplit struct {
	mu           sync.Mutex
	user, system uint64
}

// of divides ran, in ns, as ticks are divided (cputime_adjust).
func (c *cpuSplit) of(ran uint64, user, system uint32) (u, s uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.user+c.system < ran {
		s = 0
		if system != 0 {
			hi, lo := bits.Mul64(ran, uint64(system))
			s, _ = bits.Div64(hi, lo, uint64(user)+uint64(system))
		}
		s = max(s, c.system)
		u = max(ran-s, c.user)
		c.user, c.system = u, ran-u
	}
	return c.user, c.system
}

// hits are t's ticks. Those that it has not looked at yet are taken for the kernel's: it
// soon looks at one that found it in ring 3.
func (t *Thread) hits() (user, system uint32) {
	user, system = t.ticks.user.Load(), t.ticks.system.Load()
	if t.started.Load() != 0 {
		all, _ := metal.Ticks()
		system += all - t.ticksSeen.Load()
	}
	return user, system
}

// times are t's user and system time in ns.
func (t *Thread) times() (user, system uint64) {
	u, s := t.hits()
	return t.split.of(t.ran(), u, s)
}

// times are those of p's threads, dead ones too.
func (p *Process) times() (user, system uint64) {
	u, s := p.deadTicks.user.Load(), p.deadTicks.system.Load()
	p.eachThread(func(t *Thread) bool {
		user, system := t.hits()
		u += user
		s += system
		return true
	})
	return p.split.of(p.ran(), u, s)
}
