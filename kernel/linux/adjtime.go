package linux

import "unsafe"

// timex is struct timex (adjtimex(2)).
type timex struct {
	modes                uint32
	_                    uint32
	_                    [2]int64 // offset, freq
	maxError, estError   int64    // us
	status, _            int32
	constant             int64
	precision, tolerance int64
	time                 timeval
	tick                 int64 // us
	_                    [8]int64
	_                    int32 // tai
	_                    [11]int32
}

const _ = 208 - unsafe.Sizeof(timex{}) // and so not larger than Linux's

// Modes and status of adjtimex(2).
const (
	adjSetOffset  = 0x0100
	adjNano       = 0x2000
	adjTick       = 0x4000
	adjAdjtime    = 0x8000 // with another bit: adjtime(3)
	adjReadOnly   = 0x2000 // with adjAdjtime
	adjSingleShot = 0x0001

	staUnsync = 0x40
	timeError = 5 // what the call returns for a clock that nobody keeps right

	userHZ = 100
)

func sysAdjtimex(t *Thread, a *Args) (uintptr, Errno) { return t.adjtime(clockRealtime, a.Arg1()) }

func sysClockAdjtime(t *Thread, a *Args) (uintptr, Errno) {
	return t.adjtime(int32(a.Arg1()), a.Arg2())
}

// adjtime tells that the clock runs as the host's does. It can be set by an
// offset; what would change its rate is checked and has no effect.
func (t *Thread) adjtime(clock int32, addr uintptr) (uintptr, Errno) {
	var x timex
	if err := copyIn(t, &x, addr); err != 0 {
		return 0, err
	}
	if clock != clockRealtime {
		if _, err := t.readClock(clock); err != 0 {
			return 0, err
		}
		return 0, EOPNOTSUPP
	}
	if x.modes&adjAdjtime != 0 {
		if x.modes&adjSingleShot == 0 {
			return 0, EINVAL
		}
		if x.modes&adjReadOnly == 0 && !t.can(capSysTime) {
			return 0, EPERM
		}
	} else {
		if x.modes != 0 && !t.can(capSysTime) {
			return 0, EPERM
		}
		if x.modes&adjTick != 0 && (x.tick < 900000/userHZ || x.tick > 1100000/userHZ) {
			return 0, EINVAL
		}
		if x.modes&adjSetOffset != 0 {
			ns := x.time.usec
			if x.modes&adjNano == 0 {
				ns *= 1000
			}
			if uint64(ns) >= second {
				return 0, EINVAL
			}
			if err := t.setWall(realtime() + uint64(x.time.sec*second+ns)); err != 0 {
				return 0, err
			}
		}
	}
	const unknown = 16_000_000 // us
	x = timex{modes: x.modes, maxError: unknown, estError: unknown, status: staUnsync, constant: 2, precision: 1,
		tolerance: 32768000, time: toTimeval(realtime()), tick: 1_000_000 / userHZ}
	return timeError, copyOut(t, addr, &x)
}
