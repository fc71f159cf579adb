package linux

import (
	"slices"
	"sync"
	"unsafe"

	"gosv/kernel/fs"
)

// Capabilities that calls here ask for (capabilities(7)).
const (
	capSetGID      = 6
	capSetUID      = 7
	capSetPCap     = 8
	capNetAdmin    = 12
	capIPCLock     = 14
	capSysChroot   = 18
	capSysAdmin    = 21
	capSysNice     = 23
	capSysResource = 24
	capSysTime     = 25

	lastCapability  = 40 // CAP_CHECKPOINT_RESTORE
	allCapabilities = 1<<(lastCapability+1) - 1

	// Those that follow the file system user id: CHOWN to FSETID,
	// LINUX_IMMUTABLE, MKNOD, MAC_OVERRIDE (CAP_FS_SET).
	fsCapabilities = 0x1f | 1<<9 | 1<<27 | 1<<32
)

// identity is a set of user ids, or of group ids (credentials(7)).
type identity struct{ real, effective, saved, fs uint32 }

// credentials say who a process is and what it may do. On Linux each thread has
// its own, but C libraries see to it that those of a process agree.
type credentials struct {
	mu       sync.Mutex
	uid, gid identity
	groups   []uint32 // never changed, only replaced

	permitted, effective, inheritable, bounding, ambient uint64

	keepCaps   bool // PR_SET_KEEPCAPS
	noNewPrivs bool // PR_SET_NO_NEW_PRIVS
}

// login makes c those of the first process, of which only root's has
// capabilities.
func (c *credentials) login(uid, gid uint32, groups []uint32) {
	c.permitted, c.effective, c.bounding = allCapabilities, allCapabilities, allCapabilities
	c.uid, c.gid = identity{uid, uid, uid, uid}, identity{gid, gid, gid, gid}
	c.groups = groups
	c.follow(identity{})
}

// can says whether c has a capability. The caller holds c.mu.
func (c *credentials) can(capability uint) bool { return c.effective>>capability&1 != 0 }

// can says whether t's process has a capability.
func (t *Thread) can(capability uint) bool {
	c := &t.proc.cred
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.can(capability)
}

// caller is who c is to file systems.
func (c *credentials) caller() fs.Caller {
	return fs.Caller{UID: c.uid.fs, GID: c.gid.fs, Groups: c.groups, Caps: c.effective}
}

// changeCreds changes the credentials of t's process, and lets its files know.
func (t *Thread) changeCreds(f func(c *credentials) Errno) (uintptr, Errno) {
	c := &t.proc.cred
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.uid
	if err := f(c); err != 0 {
		return 0, err
	}
	c.follow(before)
	t.proc.files.setCaller(c.caller())
	return 0, 0
}

// follow changes the capabilities as a change of user ids asks for
// (cap_task_fix_setuid, security/commoncap.c).
func (c *credentials) follow(old identity) {
	const root = 0
	wasRoot := old.real == root || old.effective == root || old.saved == root
	isRoot := c.uid.real == root || c.uid.effective == root || c.uid.saved == root
	if wasRoot && !isRoot {
		if !c.keepCaps {
			c.permitted, c.effective = 0, 0
		}
		c.ambient = 0
	}
	switch {
	case old.effective == root && c.uid.effective != root:
		c.effective = 0
	case old.effective != root && c.uid.effective == root:
		c.effective = c.permitted
	}
	switch {
	case old.fs == root && c.uid.fs != root:
		c.effective &^= fsCapabilities
	case old.fs != root && c.uid.fs == root:
		c.effective |= c.permitted & fsCapabilities
	}
}

const noID = 1<<32 - 1 // -1: leave it

// set is setuid(2) or setgid(2).
func (i *identity) set(id uint32, privileged bool) Errno {
	switch {
	case id == noID:
		return EINVAL
	case privileged:
		i.real, i.saved = id, id
	case id != i.real && id != i.saved:
		return EPERM
	}
	i.effective, i.fs = id, id
	return 0
}

// setRE is setreuid(2) or setregid(2).
func (i *identity) setRE(real, effective uint32, privileged bool) Errno {
	old := *i
	if real != noID {
		if !privileged && real != old.real && real != old.effective {
			return EPERM
		}
		i.real = real
	}
	if effective != noID {
		if !privileged && effective != old.real && effective != old.effective && effective != old.saved {
			*i = old
			return EPERM
		}
		i.effective = effective
	}
	if real != noID || effective != noID && effective != old.real {
		i.saved = i.effective
	}
	i.fs = i.effective
	return 0
}

// setRES is setresuid(2) or setresgid(2).
func (i *identity) setRES(real, effective, saved uint32, privileged bool) Errno {
	for _, id := range [...]uint32{real, effective, saved} {
		if id != noID && !privileged && id != i.real && id != i.effective && id != i.saved {
			return EPERM
		}
	}
	for _, s := range [...]struct {
		to *uint32
		id uint32
	}{{&i.real, real}, {&i.effective, effective}, {&i.saved, saved}} {
		if s.id != noID {
			*s.to = s.id
		}
	}
	i.fs = i.effective
	return 0
}

// setFS is setfsuid(2) or setfsgid(2), which return the old id and never fail.
func (i *identity) setFS(id uint32, privileged bool) (old uint32) {
	old = i.fs
	if id == i.real || id == i.effective || id == i.saved || id == i.fs || privileged && id != noID {
		i.fs = id
	}
	return old
}

func sysSetuid(t *Thread, a *Args) (uintptr, Errno) {
	return t.changeCreds(func(c *credentials) Errno { return c.uid.set(uint32(a.Arg1()), c.can(capSetUID)) })
}

func sysSetgid(t *Thread, a *Args) (uintptr, Errno) {
	return t.changeCreds(func(c *credentials) Errno { return c.gid.set(uint32(a.Arg1()), c.can(capSetGID)) })
}

func sysSetreuid(t *Thread, a *Args) (uintptr, Errno) {
	return t.changeCreds(func(c *credentials) Errno {
		return c.uid.setRE(uint32(a.Arg1()), uint32(a.Arg2()), c.can(capSetUID))
	})
}

func sysSetregid(t *Thread, a *Args) (uintptr, Errno) {
	return t.changeCreds(func(c *credentials) Errno {
		return c.gid.setRE(uint32(a.Arg1()), uint32(a.Arg2()), c.can(capSetGID))
	})
}

func sysSetresuid(t *Thread, a *Args) (uintptr, Errno) {
	return t.changeCreds(func(c *credentials) Errno {
		return c.uid.setRES(uint32(a.Arg1()), uint32(a.Arg2()), uint32(a.Arg3()), c.can(capSetUID))
	})
}

func sysSetresgid(t *Thread, a *Args) (uintptr, Errno) {
	return t.changeCreds(func(c *credentials) Errno {
		return c.gid.setRES(uint32(a.Arg1()), uint32(a.Arg2()), uint32(a.Arg3()), c.can(capSetGID))
	})
}

func sysSetfsuid(t *Thread, a *Args) (old uintptr, _ Errno) {
	t.changeCreds(func(c *credentials) Errno {
		old = uintptr(c.uid.setFS(uint32(a.Arg1()), c.can(capSetUID)))
		return 0
	})
	return old, 0
}

func sysSetfsgid(t *Thread, a *Args) (old uintptr, _ Errno) {
	t.changeCreds(func(c *credentials) Errno {
		old = uintptr(c.gid.setFS(uint32(a.Arg1()), c.can(capSetGID)))
		return 0
	})
	return old, 0
}

// ids returns t's process's user and group ids.
func (t *Thread) ids() (uid, gid identity) {
	c := &t.proc.cred
	c.mu.Lock()
	uid, gid = c.uid, c.gid
	c.mu.Unlock()
	return uid, gid
}

func sysGetuid(t *Thread, a *Args) (uintptr, Errno) {
	uid, _ := t.ids()
	return uintptr(uid.real), 0
}

func sysGetgid(t *Thread, a *Args) (uintptr, Errno) {
	_, gid := t.ids()
	return uintptr(gid.real), 0
}

func sysGeteuid(t *Thread, a *Args) (uintptr, Errno) {
	uid, _ := t.ids()
	return uintptr(uid.effective), 0
}

func sysGetegid(t *Thread, a *Args) (uintptr, Errno) {
	_, gid := t.ids()
	return uintptr(gid.effective), 0
}

func sysGetresuid(t *Thread, a *Args) (uintptr, Errno) {
	uid, _ := t.ids()
	return 0, t.copyOutIDs(a, &uid)
}

func sysGetresgid(t *Thread, a *Args) (uintptr, Errno) {
	_, gid := t.ids()
	return 0, t.copyOutIDs(a, &gid)
}

func (t *Thread) copyOutIDs(a *Args, i *identity) Errno {
	if err := copyOut(t, a.Arg1(), &i.real); err != 0 {
		return err
	}
	if err := copyOut(t, a.Arg2(), &i.effective); err != 0 {
		return err
	}
	return copyOut(t, a.Arg3(), &i.saved)
}

// maxGroups is NGROUPS_MAX.
const maxGroups = 65536

func sysGetgroups(t *Thread, a *Args) (uintptr, Errno) {
	c := &t.proc.cred
	c.mu.Lock()
	groups := c.groups
	c.mu.Unlock()
	n := int(int32(a.Arg1()))
	switch {
	case n < 0, n > 0 && n < len(groups):
		return 0, EINVAL
	case n == 0:
		return uintptr(len(groups)), 0
	}
	return uintptr(len(groups)), copyOutSlice(t, a.Arg2(), groups)
}

func sysSetgroups(t *Thread, a *Args) (uintptr, Errno) {
	if !t.can(capSetGID) {
		return 0, EPERM
	}
	n := uint32(a.Arg1())
	if n > maxGroups {
		return 0, EINVAL
	}
	groups := make([]uint32, n)
	if err := copyInSlice(t, groups, a.Arg2()); err != 0 {
		return 0, err
	}
	if slices.Contains(groups, noID) {
		return 0, EINVAL
	}
	sortIDs(groups)
	return t.changeCreds(func(c *credentials) Errno {
		c.groups = groups
		return 0
	})
}

// sortIDs is Shell's sort, a tenth of slices.Sort in size.
func sortIDs(ids []uint32) {
	gap := 1
	for gap < len(ids) {
		gap = 3*gap + 1
	}
	for ; gap > 0; gap /= 3 {
		for i := gap; i < len(ids); i++ {
			for j := i; j >= gap && ids[j-gap] > ids[j]; j -= gap {
				ids[j-gap], ids[j] = ids[j], ids[j-gap]
			}
		}
	}
}

// capget(2): versions 2 and 3 have two 32-bit words of each set.
type capHeader struct {
	version uint32
	pid     int32
}

type capData [2]struct{ effective, permitted, inheritable uint32 }

const (
	capVersion1 = 0x19980330
	capVersion2 = 0x20071026
	capVersion3 = 0x20080522
)

func sysCapget(t *Thread, a *Args) (uintptr, Errno) {
	h, words, err := t.capHeader(a.Arg1())
	if err != 0 || a.Arg2() == 0 {
		if a.Arg2() == 0 && (err == EINVAL || words != 0) {
			err = 0 // it only asked for the version, and so its end is not looked at
		}
		return 0, err
	}
	p := t.proc
	switch {
	case h.pid < 0:
		return 0, EINVAL
	case h.pid != 0:
		of := p.kernel.thread(int(h.pid))
		if of == nil {
			return 0, ESRCH
		}
		p = of.proc
	}
	c := &p.cred
	c.mu.Lock()
	var d capData
	for i := range d {
		shift := 32 * i
		d[i].effective, d[i].permitted = uint32(c.effective>>shift), uint32(c.permitted>>shift)
		d[i].inheritable = uint32(c.inheritable >> shift)
	}
	c.mu.Unlock()
	return 0, copyOutSlice(t, a.Arg2(), d[:words])
}

func sysCapset(t *Thread, a *Args) (uintptr, Errno) {
	h, words, err := t.capHeader(a.Arg1())
	if err != 0 {
		return 0, err
	}
	if h.pid != 0 && int(h.pid) != t.tid {
		return 0, EPERM
	}
	var d capData
	if err := copyInSlice(t, d[:words], a.Arg2()); err != 0 {
		return 0, err
	}
	var effective, permitted, inheritable uint64
	for i, w := range d {
		shift := 32 * i
		effective |= uint64(w.effective) << shift
		permitted |= uint64(w.permitted) << shift
		inheritable |= uint64(w.inheritable) << shift
	}
	effective, permitted, inheritable = effective&allCapabilities, permitted&allCapabilities, inheritable&allCapabilities
	return t.changeCreds(func(c *credentials) Errno {
		mayInherit := c.inheritable | c.bounding
		if !c.can(capSetPCap) {
			mayInherit = c.inheritable | c.permitted
		}
		if permitted&^c.permitted != 0 || effective&^permitted != 0 || inheritable&^mayInherit != 0 {
			return EPERM
		}
		c.effective, c.permitted, c.inheritable = effective, permitted, inheritable
		c.ambient &= permitted & inheritable
		return 0
	})
}

// capHeader reads the header of capget and capset. If the version is not one
// it knows it writes back the one it prefers.
func (t *Thread) capHeader(addr uintptr) (h capHeader, words int, err Errno) {
	if err = copyIn(t, &h.version, addr); err != 0 {
		return h, 0, err
	}
	switch h.version {
	case capVersion1, capVersion2, capVersion3:
		words = 2
		if h.version == capVersion1 {
			words = 1
		}
		return h, words, copyIn(t, &h.pid, addr+unsafe.Offsetof(h.pid))
	}
	prefer := uint32(capVersion3)
	if err = copyOut(t, addr, &prefer); err != 0 {
		return h, 0, err
	}
	return h, 0, EINVAL
}

// Operations of prctl(PR_CAP_AMBIENT).
const (
	ambientIsSet    = 1
	ambientRaise    = 2
	ambientLower    = 3
	ambientClearAll = 4
)

// ambientCaps is prctl(PR_CAP_AMBIENT).
func (t *Thread) ambientCaps(op, capability uintptr) (set uintptr, err Errno) {
	if op == ambientClearAll {
		if capability != 0 {
			return 0, EINVAL
		}
	} else if capability > lastCapability {
		return 0, EINVAL
	}
	bit := uint64(1) << (capability & 63)
	_, err = t.changeCreds(func(c *credentials) Errno {
		switch op {
		case ambientIsSet:
			set = uintptr(c.ambient >> capability & 1)
		case ambientRaise:
			if c.permitted&c.inheritable&bit == 0 {
				return EPERM
			}
			c.ambient |= bit
		case ambientLower:
			c.ambient &^= bit
		case ambientClearAll:
			c.ambient = 0
		default:
			return EINVAL
		}
		return 0
	})
	return set, err
}

// setCaller changes who the process is to file systems.
func (s *fileState) setCaller(c fs.Caller) {
	s.mu.Lock()
	c.PID = s.caller.PID
	s.caller = c
	s.mu.Unlock()
}
