package metal

// A profile samples each CPU whenever it was busy for a period: an interrupt of its timer
// looks at what it came in. A thread in ring 3 comes back with Sample, and looks
// for itself; of the kernel the addresses on the stack are noted.

// profile is guarded by the lock.
var profile struct {
	period uint64  // in ns, 0: there is none
	buf    uintptr // what Profile was given, room words of it,
	room   uintptr
	used   uintptr // of which so many are filled
	lost   uintptr // samples for which there was no room
}

// startProfile is Profile. The caller runs on c.
func startProfile(c *CPU, period uint64, buf, room uintptr) uintptr {
	p := &profile
	result := p.used | p.lost<<32
	if begins := p.period == 0 && period != 0; begins {
		for i := uintptr(0); i < ncpu; i++ {
			cpus[i].sampleAt, cpus[i].sampleLeft = 0, period
		}
		kickOthers(c) // to set their timers
	}
	p.period, p.buf, p.room, p.used, p.lost = period, buf, room, 0, 0
	setWant(c)
	return result
}

// wantSample is setWant for the next sample of c, whose timer is to fire at next, or not
// if that is 0. What is left of a period waits while c idles.
func wantSample(c *CPU, next uint64) uint64 {
	n := now()
	switch {
	case c.cur == c.idle:
		if c.sampleAt != 0 {
			c.sampleLeft, c.sampleAt = max(c.sampleAt, n+1)-n, 0
		}
		return next
	case c.sampleAt == 0:
		c.sampleAt = n + c.sampleLeft
	}
	if next == 0 || c.sampleAt < next {
		return c.sampleAt
	}
	return next
}

// sampleDue takes a sample if it is time: due, or later.
func sampleDue(c *CPU, due uint64) {
	if c.sampleAt == 0 || c.sampleAt > due {
		return
	}
	c.sampleAt = due + profile.period
	t := c.cur
	if t.IP == userReturnPC { // or another interrupt was already waiting there
		t.AX = Sample
		return
	}
	p := &profile
	const most = 48 // addresses
	if p.room-p.used <= most {
		p.lost++
		return
	}
	count := p.buf + p.used*8
	at := count + 8
	st(at, t.IP)
	for n, bp := 1, t.BP; n < most && bp&7 == 0 && onStack(bp); n++ {
		ip := ld(bp + 8)
		if ip < KernelBase {
			break
		}
		at += 8
		st(at, ip)
		bp = ld(bp)
	}
	st(count, (at-count)/8)
	p.used += (at-count)/8 + 1
}

// onStack says whether a frame may be at bp: in memory that the runtime got, or on the
// stack that it was started on.
func onStack(bp uintptr) bool {
	return (bp >= heapBase && bp < heapEnd || bp >= KernelBase && bp < ^uintptr(15)) && readable(bp) && readable(bp+8)
}
