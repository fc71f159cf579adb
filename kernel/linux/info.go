package linux

import (
	"gosv/kernel/metal"
)

// What uname(2) says. Programs look at the release to know what they can expect:
// 6.1 is the oldest Linux that has all calls that are here and the most widely
// deployed one whose behaviour we compare with.
const (
	utsSystem    = "Linux"
	utsRelease   = "6.1.0-gosv"
	utsRelease26 = "2.6.61-gosv" // with UNAME26
	utsVersion   = "#1 SMP"
	utsMachine   = "x86_64"
)

type utsname [6][65]byte

func sysUname(t *Thread, a *Args) (uintptr, Errno) {
	k := t.proc.kernel
	var u utsname
	copy(u[0][:], utsSystem)
	k.mu.Lock()
	copy(u[1][:64], k.HostName)
	copy(u[5][:64], noneOr(k.domainName))
	k.mu.Unlock()
	copy(u[2][:], utsRelease)
	if t.proc.personality.Load()&uname26 != 0 {
		copy(u[2][:], utsRelease26)
	}
	copy(u[3][:], utsVersion)
	copy(u[4][:], utsMachine)
	if t.proc.personality.Load()&perMask == perLinux32 {
		u[4] = [65]byte{'i', '6', '8', '6'}
	}
	return 0, copyOut(t, a.Arg1(), &u)
}

func sysSethostname(t *Thread, a *Args) (uintptr, Errno) {
	k := t.proc.kernel
	return 0, t.copyInHost(&k.HostName, a)
}

func sysSetdomainname(t *Thread, a *Args) (uintptr, Errno) {
	k := t.proc.kernel
	return 0, t.copyInHost(&k.domainName, a)
}

func (t *Thread) copyInHost(name *string, a *Args) Errno {
	if !t.can(capSysAdmin) {
		return EPERM
	}
	var buf [64]byte
	n := int32(a.Arg2())
	if n < 0 || int(n) > len(buf) {
		return EINVAL
	}
	if err := t.CopyIn(buf[:n], a.Arg1()); err != 0 {
		return err
	}
	k := t.proc.kernel
	k.mu.Lock()
	*name = string(buf[:n])
	k.mu.Unlock()
	return 0
}

// sysinfo is struct sysinfo, with memory in bytes.
type sysinfo struct {
	uptime      int64
	_           [3]uint64 // loads
	total, free uint64
	_           uint64 // shared
	buffer      uint64
	_           [2]uint64 // swap, free swap
	procs, _    uint16
	_           uint32
	_           [2]uint64 // high, free high
	unit        uint32
	_           uint32
}

func sysSysinfo(t *Thread, a *Args) (uintptr, Errno) {
	free, total := metal.FreeMemory()
	buffers, _ := t.proc.kernel.disks.pages()
	v := sysinfo{
		uptime: int64((metal.Now() + second - 1) / second),
		total:  total,
		free:   free,
		buffer: buffers,
		procs:  uint16(min(t.proc.kernel.countThreads(), 1<<16-1)),
		unit:   1,
	}
	return 0, copyOut(t, a.Arg1(), &v)
}

// countThreads returns how many threads there are in all processes.
func (k *Kernel) countThreads() (n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range k.procs {
		p.mu.Lock()
		n += len(p.threads)
		p.mu.Unlock()
	}
	return n
}

// Process groups and sessions: the process is the leader of its own.

func sysGetpgrp(t *Thread, a *Args) (uintptr, Errno) { return uintptr(t.proc.pid), 0 }

func sysGetpgid(t *Thread, a *Args) (uintptr, Errno) {
	if pid := int(int32(a.Arg1())); pid != 0 && t.proc.kernel.process(pid) == nil {
		return 0, ESRCH
	}
	return uintptr(t.proc.pid), 0
}

func sysSetpgid(t *Thread, a *Args) (uintptr, Errno) {
	pid, group := int(int32(a.Arg1())), int(int32(a.Arg2()))
	switch {
	case group < 0:
		return 0, EINVAL
	case pid != 0 && pid != t.proc.pid:
		return 0, ESRCH
	}
	return 0, EPERM // it leads a session
}

func sysSetsid(t *Thread, a *Args) (uintptr, Errno) { return 0, EPERM } // it leads a group already

// Options of wait4(2) and waitid(2).
const (
	waitNoHang    = 1
	waitStopped   = 2 // WUNTRACED of wait4
	waitExited    = 4
	waitContinued = 8
	waitNoWait    = 0x01000000
	waitThreads   = 0xe0000000 // __WNOTHREAD, __WALL, __WCLONE
)

// sysWait4 and sysWaitid: there are no children.
func sysWait4(t *Thread, a *Args) (uintptr, Errno) {
	if uint32(a.Arg3())&^uint32(waitNoHang|waitStopped|waitContinued|waitThreads) != 0 {
		return 0, EINVAL
	}
	if int32(a.Arg1()) == -1<<31 { // no group has that number
		return 0, ESRCH
	}
	return 0, ECHILD
}

func sysWaitid(t *Thread, a *Args) (uintptr, Errno) {
	err := t.waitid(a)
	if p := a.Arg3(); p != 0 { // whatever the error is; but for what its first words are padded with
		for _, at := range [2]uintptr{p, p + 16} {
			if err := copyOut(t, at, &[3]int32{}); err != 0 {
				return 0, err
			}
		}
	}
	return 0, err
}

func (t *Thread) waitid(a *Args) Errno {
	const all, one, group, pidfd = 0, 1, 2, 3
	options := uint32(a.Arg4())
	if options&^uint32(waitNoHang|waitNoWait|waitExited|waitStopped|waitContinued|waitThreads) != 0 ||
		options&(waitExited|waitStopped|waitContinued) == 0 {
		return EINVAL
	}
	id := int32(a.Arg2())
	switch int32(a.Arg1()) {
	case all:
	case one:
		if id <= 0 {
			return EINVAL
		}
	case group:
		if id < 0 {
			return EINVAL
		}
	case pidfd:
		if id < 0 {
			return EINVAL
		}
		if _, err := t.pidfd(uintptr(id)); err != 0 {
			return err
		}
	default:
		return EINVAL
	}
	return ECHILD
}

func sysPersonality(t *Thread, a *Args) (uintptr, Errno) {
	const query = 0xffffffff
	p := &t.proc.personality
	if v := uint32(a.Arg1()); v != query {
		return uintptr(p.Swap(v)), 0
	}
	return uintptr(p.Load()), 0
}

// Of personality(2), what counts for a program that runs.
const (
	perMask         = 0xff
	perLinux32      = 8
	uname26         = 0x20000
	readImpliesExec = 0x400000 // READ_IMPLIES_EXEC
)

// readsExecute says whether what p maps to be read can be executed, too.
func (p *Process) readsExecute() bool { return p.personality.Load()&readImpliesExec != 0 }

// syslog(2).
const (
	syslogClose      = 0
	syslogOpen       = 1
	syslogRead       = 2
	syslogReadAll    = 3
	syslogReadClear  = 4
	syslogClear      = 5
	syslogLevel      = 8
	syslogSizeUnread = 9
	syslogSizeBuffer = 10
)

// sysSyslog shows an empty kernel log: the kernel's messages go to the host.
func sysSyslog(t *Thread, a *Args) (uintptr, Errno) {
	switch op := int32(a.Arg1()); op {
	case syslogRead:
		for t.pause(never) == 0 { // until there is a message
		}
		return 0, eRestartSys
	case syslogReadAll, syslogReadClear:
		if a.Arg2() == 0 || int32(a.Arg3()) < 0 {
			return 0, EINVAL
		}
		return 0, 0
	default:
		if op < syslogClose || op > syslogSizeBuffer {
			return 0, EINVAL
		}
		return 0, 0
	}
}

// What Linux answers where a facility was not built in or is switched off.

func sysDenied(t *Thread, a *Args) (uintptr, Errno)      { return 0, EPERM }
func sysNotBuilt(t *Thread, a *Args) (uintptr, Errno)    { return 0, ENOSYS }
func sysUnsupported(t *Thread, a *Args) (uintptr, Errno) { return 0, EOPNOTSUPP }

// sysSeccomp: prctl(PR_GET_SECCOMP) and this call are there on every Linux, but
// filters are not on one built without them.
func sysSeccomp(t *Thread, a *Args) (uintptr, Errno) { return 0, EINVAL }
