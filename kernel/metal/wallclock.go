package metal

import (
	"sync/atomic"

	"gosv/kernel/boot"
)

// WallBase is the time at boot in nanoseconds since 1970: add it to Now for
// CLOCK_REALTIME. It is found out when it is first asked for: from KVM's
// clock; else from the CMOS clock, which has whole seconds, made finer by the
// host's time on the command line where that one agrees with it.
func WallBase() uint64 {
	if w := atomic.LoadUint64(&wallBase); w != 0 {
		return w
	}
	w := kvmWallClock()
	if w == 0 {
		w = cmosWallClock()
		if host := hostTime(); w == 0 || host+5e9 > w && host < w+5e9 {
			w = host
		}
	}
	SetWallBase(w)
	return w
}

// SetWallBase sets the wall clock.
func SetWallBase(w uint64) {
	atomic.StoreUint64(&wallBase, w)
	showWall()
}

// kvmWallClock asks MSR_KVM_WALL_CLOCK_NEW (Linux, Documentation/virt/kvm/x86/
// msr.rst); 0 without KVM.
func kvmWallClock() uint64 {
	const msrWallClock = 0x4b564d00
	var f [1]uintptr
	if !kvmClock.present || AllocFrames(f[:]) == 0 {
		return 0
	}
	wrmsr(msrWallClock, f[0])
	p := DirectMap + f[0]
	wall := uint64(ld32(p+4))*1e9 + uint64(ld32(p+8)) // when KVM's clock was 0
	FreeFrames(f[:])
	return wall + kvmBoot
}

// hostTime is the time on the command line (gosv.time), in ns, or 0.
func hostTime() (ns uint64) {
	s, _ := boot.Option(CmdLine(), "gosv.time")
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0
		}
		ns = ns*10 + uint64(c-'0')
	}
	return ns
}

// cmosWallClock reads the MC146818's time of day and returns that of boot, or
// 0 if there is no such clock.
func cmosWallClock() uint64 {
	const (
		index, data                 = 0x70, 0x71
		seconds, minutes, hours     = 0, 2, 4
		day, month, year, century   = 7, 8, 9, 0x32
		statusA, updating           = 0x0a, 0x80
		statusB, binary, twentyFour = 0x0b, 4, 2
		tries                       = 100_000 // an update takes 2 ms
	)
	read := func(reg uint8) uint64 {
		Out8(index, reg)
		return uint64(In8(data))
	}
	if b := read(statusB); b == 0xff || b&twentyFour == 0 {
		return 0 // no clock, or one that nobody's firmware sets so any more
	}
	var v, last [6]uint64
	for i := 0; i < tries; i++ {
		if read(statusA)&updating != 0 {
			continue
		}
		for j, reg := range [...]uint8{seconds, minutes, hours, day, month, year} {
			v[j] = read(reg)
		}
		if v == last { // twice the same: not torn by an update
			break
		}
		last = v
	}
	cent := read(century)
	if read(statusB)&binary == 0 {
		for i := range v {
			v[i] = v[i]>>4*10 + v[i]&15
		}
		cent = cent>>4*10 + cent&15
	}
	if cent < 19 || cent > 29 {
		cent = 20
	}
	t := uint64(daysSince1970(cent*100+v[5], v[4], v[3]))*86400 + v[2]*3600 + v[1]*60 + v[0]
	if now := Now(); t*1e9 > now {
		return t*1e9 - now
	}
	return 0
}

// daysSince1970 counts the days of the Gregorian calendar; y from 1970 on, m
// and d from 1 on.
func daysSince1970(y, m, d uint64) uint64 {
	if m <= 2 { // years begin in March: the leap day is their last
		y--
		m += 12
	}
	return y*365 + y/4 - y/100 + y/400 + (m*153-457)/5 + d - 719469
}
