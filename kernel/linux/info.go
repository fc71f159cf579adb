package linux

import (
	"gosv/kernel/metal"
)

// What uname(2) says. Programs look at the release to know what they can expect:
// 6.1 is the oldest Linux that has all calls that are here and the most widely
// deployed one whose behaviour we compare with.
const (
	utsSystem  = "Linux"
	utsRelease = "6.1.0-gosv"
	utsVersion = "#1 SMP"
	utsMachine = "x86_64"
)

type utsname [6][65]byte

func sysUname(t *Thread, a *Args) (uintptr, Errno) {
	k := t.proc.kernel
	var u utsname
	copy(u[0][:], utsSystem)
	k.mu.Lock()
	copy(u[1][:64], k.HostName)
	copy(u[5][:64], k.domainName)
	k.mu.Unlock()
	copy(u[2][:], utsRelease)
	copy(u[3][:], utsVersion)
	copy(u[4][:], utsMachine)
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
	uptime              int64
	loads               [3]uint64
	total, free, shared uint64
	buffers             uint64
	swap, swapFree      uint64
	procs, _            uint16
	_                   uint32
	high, highFree      uint64
	unit                uint32
	_                   uint32
}

func sysSysinfo(t *Thread, a *Args) (uintptr, Errno) {
	free, total := metal.FreeMemory()
	v := sysinfo{
		uptime: int64((metal.Now() + second - 1) / second),
		total:  total,
		free:   free,
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

// Everything runs as root, with all capabilities: the machine belongs to the
// program.

func sysGetID(t *Thread, a *Args) (uintptr, Errno) { return 0, 0 }

// sysSetID accepts the one id there is, or -1 for no change where a call
// knows that.
func sysSetID(t *Thread, a *Args) (uintptr, Errno) {
	if int32(a.Arg1()) == 0 {
		return 0, 0
	}
	return 0, EPERM
}

func sysSetIDs(t *Thread, a *Args) (uintptr, Errno) {
	n := 2
	if t.nr == nrSetresuid || t.nr == nrSetresgid {
		n = 3
	}
	ids := [3]uintptr{a.Arg1(), a.Arg2(), a.Arg3()}
	for _, id := range ids[:n] {
		if id := int32(id); id != 0 && id != -1 {
			return 0, EPERM
		}
	}
	return 0, 0
}

const (
	nrSetresuid = 117
	nrSetresgid = 119
)

func sysGetresID(t *Thread, a *Args) (uintptr, Errno) {
	var id uint32
	for _, p := range [3]uintptr{a.Arg1(), a.Arg2(), a.Arg3()} {
		if err := copyOut(t, p, &id); err != 0 {
			return 0, err
		}
	}
	return 0, 0
}

// sysGetgroups: there are no supplementary groups.
func sysGetgroups(t *Thread, a *Args) (uintptr, Errno) {
	if int32(a.Arg1()) < 0 {
		return 0, EINVAL
	}
	return 0, 0
}

func sysSetgroups(t *Thread, a *Args) (uintptr, Errno) {
	const max = 65536
	switch n := uint32(a.Arg1()); {
	case n > max:
		return 0, EINVAL
	case n > 0:
		return 0, EPERM
	}
	return 0, 0
}

// sysFilesystemID is setfsuid and setfsgid, which return the old one and do
// not fail.
func sysFilesystemID(t *Thread, a *Args) (uintptr, Errno) { return 0, 0 }

// capget(2): version 3 has two 32-bit words of each set.
type capHeader struct {
	version uint32
	pid     int32
}
type capData [2]struct{ effective, permitted, inheritable uint32 }

const (
	allCapabilities = 1<<(lastCapability+1) - 1

	capVersion1 = 0x19980330
	capVersion2 = 0x20071026
	capVersion3 = 0x20080522
)

func sysCapget(t *Thread, a *Args) (uintptr, Errno) {
	h, words, err := t.capHeader(a.Arg1())
	if err != 0 || a.Arg2() == 0 {
		if err == EINVAL && a.Arg2() == 0 {
			err = 0 // it only asked for the version
		}
		return 0, err
	}
	if h.pid < 0 {
		return 0, EINVAL
	}
	if h.pid != 0 && t.proc.kernel.thread(int(h.pid)) == nil {
		return 0, ESRCH
	}
	var d capData
	for i := range d {
		bits := uint32(uint64(allCapabilities) >> (32 * i))
		d[i].effective, d[i].permitted = bits, bits
	}
	return 0, copyOutSlice(t, a.Arg2(), d[:words])
}

// sysCapset accepts any set: capabilities are not looked at.
func sysCapset(t *Thread, a *Args) (uintptr, Errno) {
	h, words, err := t.capHeader(a.Arg1())
	if err != 0 {
		return 0, err
	}
	if h.pid != 0 && int(h.pid) != t.tid {
		return 0, EPERM
	}
	var d capData
	return 0, copyInSlice(t, d[:words], a.Arg2())
}

// capHeader reads the header of capget and capset. If the version is not one
// it knows it writes back the one it prefers.
func (t *Thread) capHeader(addr uintptr) (h capHeader, words int, err Errno) {
	if err = copyIn(t, &h, addr); err != 0 {
		return h, 0, err
	}
	switch h.version {
	case capVersion1:
		return h, 1, 0
	case capVersion2, capVersion3:
		return h, 2, 0
	}
	prefer := uint32(capVersion3)
	if err = copyOut(t, addr, &prefer); err != 0 {
		return h, 0, err
	}
	return h, 0, EINVAL
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

// sysWait is wait4(2) and waitid(2): there are no children.
func sysWait(t *Thread, a *Args) (uintptr, Errno) { return 0, ECHILD }

func sysPersonality(t *Thread, a *Args) (uintptr, Errno) {
	const query = 0xffffffff
	p := t.proc
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.personality
	if v := uint32(a.Arg1()); v != query {
		p.personality = v
	}
	return uintptr(old), 0
}

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

// sysGetcpu tells the CPU the thread runs on; there is one memory node.
func sysGetcpu(t *Thread, a *Args) (uintptr, Errno) {
	cpu, node := uint32(metal.ThisCPU()), uint32(0)
	if p := a.Arg1(); p != 0 {
		if err := copyOut(t, p, &cpu); err != 0 {
			return 0, err
		}
	}
	if p := a.Arg2(); p != 0 {
		return 0, copyOut(t, p, &node)
	}
	return 0, 0
}

// What Linux answers where a facility was not built in or is switched off.

func sysDenied(t *Thread, a *Args) (uintptr, Errno)      { return 0, EPERM }
func sysNotBuilt(t *Thread, a *Args) (uintptr, Errno)    { return 0, ENOSYS }
func sysUnsupported(t *Thread, a *Args) (uintptr, Errno) { return 0, EOPNOTSUPP }

// sysSeccomp: prctl(PR_GET_SECCOMP) and this call are there on every Linux, but
// filters are not on one built without them.
func sysSeccomp(t *Thread, a *Args) (uintptr, Errno) { return 0, EINVAL }
