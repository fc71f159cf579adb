package linux

import "sync"

func sysFcntl(t *Thread, a *Args) (uintptr, Errno) {
	const (
		dupFD, getFD, setFD, getFL, setFL = 0, 1, 2, 3, 4
		getLK, setLK, setLKW              = 5, 6, 7
		setOwn, getOwn                    = 8, 9
		ofdGetLK, ofdSetLK, ofdSetLKW     = 36, 37, 38
		dupFDCloexec                      = 1030
		setPipeSize, getPipeSize          = 1031, 1032
		addSeals, getSeals                = 1033, 1034
		fdCloexec                         = 1
	)
	fd, cmd, arg := a.Arg1(), a.Arg2(), a.Arg3()
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
		for {
			old := f.flags.Load()
			if f.flags.CompareAndSwap(old, old&^oSettable|uint32(arg)&oSettable) {
				return 0, 0
			}
		}
	case getLK, setLK, setLKW, ofdGetLK, ofdSetLK, ofdSetLKW:
		var owner any = t.proc
		if cmd >= ofdGetLK {
			owner, cmd = f, cmd-ofdGetLK+getLK
		}
		return t.recordLock(f, owner, cmd == getLK, cmd == setLKW, arg)
	case setOwn:
		f.owner = int32(arg)
		return 0, 0
	case getOwn:
		return uintptr(f.owner), 0
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
		n, err := e.p.setSize(int(int32(arg)))
		return uintptr(n), err
	}
	return 0, EINVAL
}

// Locks on files: records (fcntl(2)) and whole files (flock(2)). Record locks
// of one process never conflict with each other, so that with one process only
// those of open file descriptions can.
type fileLock struct {
	key        fifoKey // which file
	owner      any     // *Process or *File
	write      bool
	start, end int64 // end is the first byte behind
	whole      bool  // flock's: another kind
}

// locks are all that are held.
var locks struct {
	mu    sync.Mutex
	held  lockList
	queue Queue
}

type lockList []fileLock

//go:noinline
func (l *lockList) add(h fileLock) { *l = append(*l, h) }

// flockArg is struct flock.
type flockArg struct {
	typ, whence int16
	start, len  int64
	pid         int32
}

func (t *Thread) recordLock(f *File, owner any, query, wait bool, addr uintptr) (uintptr, Errno) {
	const rdlck, wrlck, unlck = 0, 1, 2
	var fl flockArg
	if err := copyIn(t, &fl, addr); err != 0 {
		return 0, err
	}
	o, ok := f.regular()
	if !ok {
		return 0, EINVAL
	}
	l := fileLock{key: fifoKey{o.inode.FS(), o.inode.Ino()}, owner: owner, write: fl.typ == wrlck, start: fl.start}
	switch fl.whence {
	case 0:
	case 1:
		l.start += f.pos
	case 2:
		l.start += o.inode.Attr().Size
	default:
		return 0, EINVAL
	}
	l.end = l.start + fl.len
	if fl.len == 0 {
		l.end = 1<<63 - 1
	} else if fl.len < 0 {
		l.start, l.end = l.end, l.start
	}
	if l.start < 0 || l.end < l.start {
		return 0, EINVAL
	}
	switch {
	case fl.typ != rdlck && fl.typ != wrlck && (fl.typ != unlck || query):
		return 0, EINVAL
	case !query && (fl.typ == rdlck && !f.canRead() || fl.typ == wrlck && !f.canWrite()):
		return 0, EBADF
	case query:
		locks.mu.Lock()
		c := l.conflict()
		locks.mu.Unlock()
		fl.typ = unlck
		if c != nil {
			fl = flockArg{typ: rdlck, start: c.start, pid: -1}
			if c.write {
				fl.typ = wrlck
			}
			if c.end != 1<<63-1 {
				fl.len = c.end - c.start
			}
		}
		return 0, copyOut(t, addr, &fl)
	}
	return 0, t.setLock(l, fl.typ == unlck, wait)
}

// conflict returns a lock of another owner that l cannot be held beside; locks.mu is held.
func (l *fileLock) conflict() *fileLock {
	for i := range locks.held {
		h := &locks.held[i]
		if h.key == l.key && h.whole == l.whole && h.owner != l.owner && (h.write || l.write) && h.start < l.end && l.start < h.end {
			return h
		}
	}
	return nil
}

// setLock takes l, or gives what lies in its range back.
func (t *Thread) setLock(l fileLock, unlock, wait bool) Errno {
	try := func() bool {
		locks.mu.Lock()
		defer locks.mu.Unlock()
		if !unlock && l.conflict() != nil {
			return false
		}
		var kept lockList
		for _, h := range locks.held {
			if h.key != l.key || h.whole != l.whole || h.owner != l.owner || h.start >= l.end || l.start >= h.end {
				kept.add(h)
				continue
			}
			if before := h; h.start < l.start {
				before.end = l.start
				kept.add(before)
			}
			if after := h; h.end > l.end {
				after.start = l.end
				kept.add(after)
			}
		}
		if !unlock {
			kept.add(l)
		}
		locks.held = kept
		return true
	}
	var err Errno
	if wait {
		err = t.Wait(&locks.queue, never, try)
	} else if !try() {
		err = EAGAIN
	}
	if err == 0 {
		locks.queue.Wake()
	}
	return err
}

// dropLocks gives back what a descriptor that is closed had locked: a
// process's records on that file, and with the last reference the description's own.
func (t *Thread) dropLocks(f *File) {
	locks.mu.Lock()
	if len(locks.held) == 0 {
		locks.mu.Unlock()
		return
	}
	var key fifoKey
	if o, ok := f.regular(); ok {
		key = fifoKey{o.inode.FS(), o.inode.Ino()}
	}
	last := f.refs.Load() == 1
	var kept lockList
	for _, h := range locks.held {
		if h.owner == any(t.proc) && h.key == key || last && h.owner == any(f) {
			continue
		}
		kept.add(h)
	}
	locks.held = kept
	locks.mu.Unlock()
	locks.queue.Wake()
}

func sysFlock(t *Thread, a *Args) (uintptr, Errno) {
	const shared, exclusive, nonblock, unlock = 1, 2, 4, 8
	op := a.Arg2()
	f, err := t.ioFile(a.Arg1())
	if err != 0 {
		return 0, err
	}
	defer f.Release()
	if f.place.Inode == nil {
		return 0, EBADF
	}
	l := fileLock{key: fifoKey{f.place.Inode.FS(), f.place.Inode.Ino()}, owner: f, whole: true, end: 1<<63 - 1}
	switch op &^ nonblock {
	case shared:
	case exclusive:
		l.write = true
	case unlock:
		return 0, t.setLock(l, true, false)
	default:
		return 0, EINVAL
	}
	return 0, t.setLock(l, false, op&nonblock == 0)
}
