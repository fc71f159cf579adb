package linux

import (
	"sync/atomic"

	"gosv/kernel/mm"
)

// Resource limits (getrlimit(2)).
const (
	rlimitCPU = iota
	rlimitFsize
	rlimitData
	rlimitStack
	rlimitCore
	rlimitRSS
	rlimitNproc
	rlimitNofile
	rlimitMemlock
	rlimitAS
	rlimitLocks
	rlimitSigpending
	rlimitMsgqueue
	rlimitNice
	rlimitRtprio
	rlimitRttime
	numLimits
)

const unlimited = 1<<64 - 1

// rlimit is struct rlimit64.
type rlimit struct{ soft, hard uint64 }

// limits are a process's. They are read far more often than set.
type limits [numLimits]struct{ soft, hard atomic.Uint64 }

// init sets what Linux starts its first process with (INIT_RLIMITS), and for
// processes and descriptors what systems usually set.
func (l *limits) init() {
	for i := range l {
		v := rlimit{unlimited, unlimited}
		switch i {
		case rlimitStack:
			v.soft = 8 << 20
		case rlimitCore:
			v.soft = 0
		case rlimitNofile:
			v = rlimit{1024, 1 << 20}
		case rlimitMemlock:
			v = rlimit{8 << 20, 8 << 20}
		case rlimitSigpending:
			v = rlimit{maxPending, maxPending}
		case rlimitNproc:
			v = rlimit{maxThreads, maxThreads}
		case rlimitMsgqueue:
			v = rlimit{819200, 819200}
		case rlimitNice, rlimitRtprio:
			v = rlimit{0, 0}
		}
		l.set(i, v)
	}
}

func (l *limits) get(i int) rlimit { return rlimit{l[i].soft.Load(), l[i].hard.Load()} }

func (l *limits) set(i int, v rlimit) {
	l[i].soft.Store(v.soft)
	l[i].hard.Store(v.hard)
}

// limit returns the one of p's limits that binds.
func (p *Process) limit(i int) uint64 { return p.limits[i].soft.Load() }

// setLimit changes a limit of p for t.
func (t *Thread) setLimit(p *Process, i int, v rlimit) Errno {
	if v.soft > v.hard {
		return EINVAL
	}
	if i == rlimitNofile && v.hard > maxOpenFiles || v.hard > p.limits.get(i).hard && !t.can(capSysResource) {
		return EPERM
	}
	p.limits.set(i, v)
	if i == rlimitCPU {
		p.limitCPU(v)
	}
	if i == rlimitStack || i == rlimitAS || i == rlimitData {
		p.space.SetLimits(p.limits.memory())
	}
	return 0
}

// memory is what limits a process's.
func (l *limits) memory() mm.Limits {
	soft := func(i int) uintptr { return uintptr(l[i].soft.Load()) }
	return mm.Limits{Stack: soft(rlimitStack), AS: soft(rlimitAS), Data: soft(rlimitData)}
}

// limitCPU has p signalled every second from the soft limit on, and killed at the
// hard one, in seconds of CPU time.
func (p *Process) limitCPU(v rlimit) {
	const most = unlimited / second
	at := func(limit uint64) uint64 {
		if limit > most {
			return 0 // never
		}
		return max(limit, 1) * second
	}
	p.itimer(cpuLimitSoft).set(at(v.soft), second, false)
	p.itimer(cpuLimitHard).set(at(v.hard), 0, false)
}

// maxOpenFiles is fs.nr_open's default: no limit can be above it.
const maxOpenFiles = 1 << 20

func sysGetrlimit(t *Thread, a *Args) (uintptr, Errno) {
	if a.Int1() >= numLimits {
		return 0, EINVAL
	}
	v := t.proc.limits.get(int(a.Int1()))
	return 0, copyOut(t, a.Arg2(), &v)
}

func sysSetrlimit(t *Thread, a *Args) (uintptr, Errno) {
	if a.Int1() >= numLimits {
		return 0, EINVAL
	}
	var v rlimit
	if err := copyIn(t, &v, a.Arg2()); err != 0 {
		return 0, err
	}
	return 0, t.setLimit(t.proc, int(a.Int1()), v)
}

func sysPrlimit(t *Thread, a *Args) (uintptr, Errno) {
	var v rlimit
	if a.Arg3() != 0 {
		if err := copyIn(t, &v, a.Arg3()); err != 0 {
			return 0, err
		}
	}
	p := t.proc
	if pid := int(int32(a.Arg1())); pid != 0 {
		if p = t.proc.kernel.process(pid); p == nil {
			return 0, ESRCH
		}
	}
	i := a.Arg2()
	if i >= numLimits {
		return 0, EINVAL
	}
	old := p.limits.get(int(i))
	if a.Arg3() != 0 {
		if err := t.setLimit(p, int(i), v); err != 0 {
			return 0, err
		}
	}
	if a.Arg4() != 0 {
		return 0, copyOut(t, a.Arg4(), &old)
	}
	return 0, 0
}
