package linux

// Scheduling calls (sched(7)). Go's scheduler decides who runs; what is set
// here is kept and given back. Where a thread runs is in affinity.go.

// Policies.
const (
	schedOther = 0
	schedFIFO  = 1
	schedRR    = 2
	schedBatch = 3
	schedIdle  = 5

	schedResetOnFork = 0x40000000
	maxRTPriority    = 99
	niceMin, niceMax = -20, 19
)

// schedState is a thread's. It is only looked at by these calls, under Process.mu.
type schedState struct {
	policy   int32
	priority int32
	nice     int32
	flags    int32 // SCHED_RESET_ON_FORK
	io       int32 // class and level of ioprio_set(2)
}

func sysSchedYield(t *Thread, a *Args) (uintptr, Errno) {
	t.yield()
	return 0, 0
}

// schedThread returns the thread a call is about: 0 is the caller.
func (t *Thread) schedThread(tid uintptr) (*Thread, Errno) {
	switch id := int(int32(tid)); {
	case id < 0:
		return nil, EINVAL
	case id == 0:
		return t, 0
	default:
		if of := t.proc.kernel.thread(id); of != nil {
			return of, 0
		}
		return nil, ESRCH
	}
}

// validPolicy checks a policy with its priority.
func validPolicy(policy, priority int32) bool {
	switch policy {
	case schedFIFO, schedRR:
		return priority >= 1 && priority <= maxRTPriority
	case schedOther, schedBatch, schedIdle:
		return priority == 0
	}
	return false
}

func sysSchedSetscheduler(t *Thread, a *Args) (uintptr, Errno) {
	policy := int32(a.Arg2())
	if policy < 0 {
		return 0, EINVAL
	}
	return 0, t.setScheduler(a.Arg1(), a.Arg3(), policy)
}

func sysSchedSetparam(t *Thread, a *Args) (uintptr, Errno) {
	const keep = -1
	return 0, t.setScheduler(a.Arg1(), a.Arg2(), keep)
}

// setScheduler sets a thread's policy, unless that is negative, and the priority
// that the struct sched_param at param holds.
func (t *Thread) setScheduler(tid, param uintptr, policy int32) Errno {
	if param == 0 || int32(tid) < 0 {
		return EINVAL
	}
	var priority int32
	if err := copyIn(t, &priority, param); err != 0 {
		return err
	}
	of, err := t.schedThread(tid)
	if err != 0 {
		return err
	}
	of.proc.mu.Lock()
	defer of.proc.mu.Unlock()
	s, flags := &of.sched, of.sched.flags
	if policy < 0 {
		policy = s.policy
	} else {
		flags = policy & schedResetOnFork
		policy &^= schedResetOnFork
	}
	if !validPolicy(policy, priority) {
		return EINVAL
	}
	if most := t.proc.limit(rlimitRtprio); priority > 0 && (policy != s.policy && most == 0 || priority > s.priority && uint64(priority) > most) && !t.can(capSysNice) {
		return EPERM
	}
	s.policy, s.priority, s.flags = policy, priority, flags
	return 0
}

func sysSchedGetscheduler(t *Thread, a *Args) (uintptr, Errno) {
	of, err := t.schedThread(a.Arg1())
	if err != 0 {
		return 0, err
	}
	of.proc.mu.Lock()
	defer of.proc.mu.Unlock()
	return uintptr(of.sched.policy | of.sched.flags), 0
}

func sysSchedGetparam(t *Thread, a *Args) (uintptr, Errno) {
	if a.Arg2() == 0 {
		return 0, EINVAL
	}
	of, err := t.schedThread(a.Arg1())
	if err != 0 {
		return 0, err
	}
	of.proc.mu.Lock()
	priority := of.sched.priority
	of.proc.mu.Unlock()
	return 0, copyOut(t, a.Arg2(), &priority)
}

func sysSchedGetPriorityMax(t *Thread, a *Args) (uintptr, Errno) {
	return priorityBound(a.Arg1(), maxRTPriority)
}

func sysSchedGetPriorityMin(t *Thread, a *Args) (uintptr, Errno) {
	return priorityBound(a.Arg1(), 1)
}

// priorityBound is bound for real-time policies and 0 for the others.
func priorityBound(policy, bound uintptr) (uintptr, Errno) {
	switch int32(policy) {
	case schedFIFO, schedRR:
		return bound, 0
	case schedOther, schedBatch, schedIdle, 6: // SCHED_DEADLINE
		return 0, 0
	}
	return 0, EINVAL
}

// timeSlice is the Go runtime's: sysmon preempts a goroutine that has run for it.
const timeSlice = 10_000_000

func sysSchedRRGetInterval(t *Thread, a *Args) (uintptr, Errno) {
	of, err := t.schedThread(a.Arg1())
	if err != 0 {
		return 0, err
	}
	of.proc.mu.Lock()
	policy := of.sched.policy
	of.proc.mu.Unlock()
	ts := timespec{nsec: timeSlice}
	if policy == schedFIFO {
		ts.nsec = 0
	}
	return 0, copyOut(t, a.Arg2(), &ts)
}

// schedAttr is struct sched_attr, version 0.
type schedAttr struct {
	size, policy   uint32
	flags          uint64
	nice, priority int32
	_              [3]uint64 // of SCHED_DEADLINE
}

const schedAttrSize = 48

func sysSchedGetattr(t *Thread, a *Args) (uintptr, Errno) {
	if n := a.Arg3(); a.Arg2() == 0 || n < schedAttrSize || n > pageSize || a.Arg4() != 0 {
		return 0, EINVAL
	}
	of, err := t.schedThread(a.Arg1())
	if err != 0 {
		return 0, err
	}
	of.proc.mu.Lock()
	s := of.sched
	of.proc.mu.Unlock()
	v := schedAttr{size: schedAttrSize, policy: uint32(s.policy), nice: s.nice, priority: s.priority}
	if s.flags != 0 {
		v.flags = 1 // SCHED_FLAG_RESET_ON_FORK
	}
	return 0, copyOut(t, a.Arg2(), &v)
}

func sysSchedSetattr(t *Thread, a *Args) (uintptr, Errno) {
	if a.Arg2() == 0 || a.Arg3() != 0 {
		return 0, EINVAL
	}
	var v schedAttr
	if err := copyIn(t, &v, a.Arg2()); err != 0 {
		return 0, err
	}
	of, err := t.schedThread(a.Arg1())
	if err != 0 {
		return 0, err
	}
	if !validPolicy(int32(v.policy), v.priority) || v.nice < niceMin || v.nice > niceMax {
		return 0, EINVAL
	}
	of.proc.mu.Lock()
	defer of.proc.mu.Unlock()
	of.sched.policy, of.sched.priority, of.sched.nice = int32(v.policy), v.priority, v.nice
	of.sched.flags = 0
	if v.flags&1 != 0 {
		of.sched.flags = schedResetOnFork
	}
	return 0, 0
}

// getpriority(2): of a process, of a group or of a user's processes.
const (
	prioProcess = 0
	prioUser    = 2
)

func (t *Thread) niceThread(which, who uintptr) (*Thread, Errno) {
	switch {
	case which > prioUser:
		return nil, EINVAL
	case int32(who) < 0:
		return nil, ESRCH
	case which == prioProcess:
		return t.schedThread(who)
	case who != 0 && int(int32(who)) != t.proc.pid:
		return nil, ESRCH
	}
	return t, 0
}

func sysGetpriority(t *Thread, a *Args) (uintptr, Errno) {
	of, err := t.niceThread(a.Int1(), a.Arg2())
	if err != 0 {
		return 0, err
	}
	of.proc.mu.Lock()
	defer of.proc.mu.Unlock()
	return uintptr(20 - of.sched.nice), 0 // so that it is not negative
}

func sysSetpriority(t *Thread, a *Args) (uintptr, Errno) {
	of, err := t.niceThread(a.Int1(), a.Arg2())
	if err != 0 {
		return 0, err
	}
	of.proc.mu.Lock()
	defer of.proc.mu.Unlock()
	nice := min(max(int32(a.Arg3()), niceMin), niceMax)
	if nice < of.sched.nice && uint64(20-nice) > t.proc.limit(rlimitNice) && !t.can(capSysNice) {
		return 0, EACCES
	}
	of.sched.nice = nice
	return 0, 0
}

// ioprio_get(2) and ioprio_set(2), which count what they are about from 1 on: no
// I/O is queued by priority.

func sysIoprioGet(t *Thread, a *Args) (uintptr, Errno) {
	of, err := t.niceThread(a.Arg1()-1, a.Arg2())
	if err != 0 {
		return 0, err
	}
	of.proc.mu.Lock()
	defer of.proc.mu.Unlock()
	return uintptr(of.sched.io), 0
}

func sysIoprioSet(t *Thread, a *Args) (uintptr, Errno) {
	const none, realtime, idle = 0, 1, 3
	const classShift, maxLevel = 13, 7
	v := uint32(a.Arg3())
	class, level := v>>classShift, v&(1<<classShift-1)
	switch {
	case class > idle, class == none && level != 0, class != idle && level > maxLevel:
		return 0, EINVAL
	case class == realtime && !t.can(capSysNice) && !t.can(capSysAdmin):
		return 0, EPERM
	}
	of, err := t.niceThread(a.Arg1()-1, a.Arg2())
	if err != 0 {
		return 0, err
	}
	of.proc.mu.Lock()
	defer of.proc.mu.Unlock()
	of.sched.io = int32(v)
	return 0, 0
}
