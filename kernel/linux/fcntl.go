package linux

import "gosv/kernel/fs"

func sysFcntl(t *Thread, a *Args) (uintptr, Errno) {
	const (
		dupFD, getFD, setFD, getFL, setFL = 0, 1, 2, 3, 4
		getLK, setLK, setLKW              = 5, 6, 7
		setOwn, getOwn, setSig, getSig    = 8, 9, 10, 11
		ofdGetLK, ofdSetLK, ofdSetLKW     = 36, 37, 38
		setOwnEx, getOwnEx                = 15, 16
		getLease                          = 1025
		dupFDCloexec                      = 1030
		setPipeSize, getPipeSize          = 1031, 1032
		addSeals, getSeals                = 1033, 1034
		fdCloexec                         = 1
	)
	fd, cmd, arg := a.Arg1(), a.Int2(), a.Arg3()
	f, err := t.file(fd)
	if err != 0 {
		return 0, err
	}
	s := &t.proc.files
	switch cmd {
	case dupFD, dupFDCloexec:
		if uint64(arg) >= t.proc.limit(rlimitNofile) {
			f.Release()
			return 0, EINVAL
		}
		return t.install(f, int(arg), cmd == dupFDCloexec)
	}
	defer f.Release()
	switch cmd {
	case getFD, setFD:
		s.mu.Lock()
		defer s.mu.Unlock()
		if n := uint64(uint32(fd)); n < uint64(len(s.fds)) {
			if cmd == setFD {
				s.fds[n].cloexec = arg&fdCloexec != 0
			} else if s.fds[n].cloexec {
				return fdCloexec, 0
			}
		}
		return 0, 0
	case getFL:
		return uintptr(f.flags.Load()), 0
	}
	if f.flags.Load()&oPath != 0 {
		return 0, EBADF
	}
	switch cmd {
	case setFL:
		return 0, t.setFlags(f, int32(fd), uint32(arg))
	case getLK, setLK, setLKW, ofdGetLK, ofdSetLK, ofdSetLKW:
		var owner any = t.proc
		if cmd >= ofdGetLK {
			owner, cmd = f, cmd-ofdGetLK+getLK
		}
		return t.recordLock(f, owner, cmd == getLK, cmd == setLKW, arg)
	case setOwn:
		return 0, t.setOwnerID(f, int32(fd), int32(arg))
	case getOwn:
		return uintptr(f.ownerID()), 0
	case setOwnEx:
		var o fileOwner
		if err := copyIn(t, &o, arg); err != 0 {
			return 0, err
		}
		return 0, t.setOwner(f, int32(fd), o)
	case getOwnEx:
		o := f.owner.Load()
		if o == nil {
			o = &fileOwner{}
		}
		return 0, copyOut(t, arg, o)
	case setSig:
		if arg > numSig {
			return 0, EINVAL
		}
		f.signal.Store(uint32(arg))
		return 0, 0
	case getSig:
		return uintptr(f.signal.Load()), 0
	case getLease:
		const none = 2 // F_UNLCK
		return none, 0
	case addSeals:
		return 0, t.addSeals(f, uint32(arg))
	case getSeals:
		return sealsOf(f)
	case setPipeSize, getPipeSize:
		e, ok := f.io.(*pipeEnd)
		if !ok {
			return 0, EBADF
		}
		if cmd == getPipeSize {
			e.p.mu.Lock()
			defer e.p.mu.Unlock()
			return uintptr(e.p.size), 0
		}
		n, err := t.setPipeSize(e.p, int(int32(arg)))
		return uintptr(n), err
	}
	return 0, EINVAL
}

// fileOwner is whom signals about a file are sent to: struct f_owner_ex.
type fileOwner struct{ kind, id int32 }

const (
	ownerThread = iota
	ownerProcess
	ownerGroup
)

// setOwnerID takes the number of a process, or of a group, negated.
func (t *Thread) setOwnerID(f *File, fd, id int32) Errno {
	if id < 0 {
		return t.setOwner(f, fd, fileOwner{ownerGroup, -id})
	}
	return t.setOwner(f, fd, fileOwner{ownerProcess, id})
}

// ownerID is that of f's owner, 0 if it has none.
func (f *File) ownerID() int32 {
	o := f.owner.Load()
	switch {
	case o == nil:
		return 0
	case o.kind == ownerGroup:
		return -o.id
	}
	return o.id
}

func (t *Thread) setOwner(f *File, fd int32, o fileOwner) Errno {
	k, id := t.proc.kernel, int(o.id)
	switch {
	case o.kind < ownerThread || o.kind > ownerGroup:
		return EINVAL
	case o.id != 0 && (o.kind == ownerThread && k.thread(id) == nil || o.kind != ownerThread && k.process(id) == nil):
		return ESRCH
	}
	f.owner.Store(&o)
	if f.async.Load() == nil {
		t.setAsync(f, fd, f.flags.Load()&oAsync != 0)
	}
	return 0
}

// setFlags is F_SETFL.
func (t *Thread) setFlags(f *File, fd int32, flags uint32) Errno {
	o, isInode := f.io.(*inodeFile)
	_, isPipe := f.io.(*pipeEnd)
	if flags&oDirect != 0 && !isPipe && !(isInode && (o.disk != nil || fs.IsRegular(o.inode.Mode()))) {
		return EINVAL
	}
	if flags&^f.flags.Load()&oNoatime != 0 && isInode {
		if c, a := t.caller(), o.inode.Attr(); c.UID != a.UID && !c.Can(fs.CapFowner) {
			return EPERM
		}
	}
	settable := uint32(oSettable)
	if f.canAsync() {
		settable |= oAsync
	}
	for {
		old := f.flags.Load()
		now := old&^settable | flags&settable
		if f.flags.CompareAndSwap(old, now) {
			if (old^now)&oAsync != 0 {
				t.setAsync(f, fd, now&oAsync != 0)
			}
			return 0
		}
	}
}
