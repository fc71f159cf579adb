package linux

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"gosv/kernel/fs"
	"gosv/kernel/mm"
	"gosv/kernel/socket"
	"gosv/kernel/wait"
)

// inodeKey tells files apart.
type inodeKey struct {
	fs  fs.FileSystem
	ino uint64
}

// key is which file f is open for.
func (f *File) key() inodeKey {
	if n := f.inode(); n != nil {
		return inodeKey{n.FS(), n.Ino()}
	}
	return inodeKey{anonymousFS{}, f.io.attr().Ino}
}

// inode is what f is open for, nil if that is in no file system of ours.
func (f *File) inode() fs.Inode {
	if n := f.place.Inode; n != nil {
		return n
	}
	if o, ok := f.io.(*inodeFile); ok {
		return o.inode
	}
	return nil
}

// lockTable has the locks on files that are held: on records (fcntl(2)) and on
// whole files (flock(2)). Record locks of one process never conflict with each
// other; those of open file descriptions, and flock's, do.
type lockTable struct {
	used  atomic.Bool // whether there ever were any
	mu    sync.Mutex
	held  lockList
	queue wait.Queue
}

type lockList []fileLock

//go:noinline
func (l *lockList) add(h fileLock) { *l = append(*l, h) }

type fileLock struct {
	key        inodeKey
	owner      any // *Process or *File
	write      bool
	whole      bool  // flock's: another kind
	start, end int64 // end is the first byte behind
}

const lockToEnd = 1<<63 - 1 // the end of a lock that has none

// flockArg is struct flock.
type flockArg struct {
	typ, whence int16
	start, len  int64
	pid         int32
}

// span is the range that a describes of f's file.
func (a *flockArg) span(f *File) (start, end int64, err Errno) {
	const most = 1<<63 - 1
	base := int64(0)
	switch a.whence {
	case 0:
	case 1:
		f.mu.Lock()
		base = f.pos
		f.mu.Unlock()
	case 2:
		base = f.io.attr().Size
	default:
		return 0, 0, EINVAL
	}
	if a.start > most-base {
		return 0, 0, EOVERFLOW
	}
	start = base + a.start
	switch {
	case start < 0:
		return 0, 0, EINVAL
	case a.len == 0:
		return start, lockToEnd, 0
	case a.len > 0 && a.len-1 > most-start:
		return 0, 0, EOVERFLOW
	case a.len > 0:
		return start, start + min(a.len, most-start), 0
	case start+a.len < 0:
		return 0, 0, EINVAL
	}
	return start + a.len, start, 0
}

// recordLock is fcntl(2)'s F_GETLK (query), F_SETLK and F_SETLKW (wait).
func (t *Thread) recordLock(f *File, owner any, query, wait bool, addr uintptr) (uintptr, Errno) {
	const rdlck, wrlck, unlck = 0, 1, 2
	var fl flockArg
	if err := copyIn(t, &fl, addr); err != 0 {
		return 0, err
	}
	if _, ofd := owner.(*File); ofd && fl.pid != 0 {
		return 0, EINVAL
	}
	l := fileLock{key: f.key(), owner: owner, write: fl.typ == wrlck}
	if query && fl.typ == unlck {
		return 0, EINVAL
	}
	var err Errno
	if l.start, l.end, err = fl.span(f); err != 0 {
		return 0, err
	}
	switch {
	case fl.typ != rdlck && fl.typ != wrlck && fl.typ != unlck:
		return 0, EINVAL
	case !query:
		if fl.typ == rdlck && !f.canRead() || fl.typ == wrlck && !f.canWrite() {
			return 0, EBADF
		}
		return 0, t.lock(f, l, fl.typ == unlck, wait)
	}
	all := &t.proc.kernel.locks
	all.mu.Lock()
	c := all.conflict(&l)
	if fl.typ = unlck; c != nil {
		fl = flockArg{typ: rdlck, start: c.start, pid: -1}
		if p, ok := c.owner.(*Process); ok {
			fl.pid = int32(p.pid)
		}
		if c.write {
			fl.typ = wrlck
		}
		if c.end != lockToEnd {
			fl.len = c.end - c.start
		}
	}
	all.mu.Unlock()
	return 0, copyOut(t, addr, &fl)
}

// conflict returns the first lock of another owner that l cannot be held beside.
func (x *lockTable) conflict(l *fileLock) *fileLock {
	for i := range x.held {
		h := &x.held[i]
		if h.start < l.end && l.start < h.end && h.key == l.key && h.whole == l.whole && h.owner != l.owner && (h.write || l.write) {
			return h
		}
	}
	return nil
}

// beside says whether h is of l's kind, file and owner.
func (h *fileLock) beside(l *fileLock) bool {
	return h.owner == l.owner && h.key == l.key && h.whole == l.whole
}

// take gives l's owner what l covers. The locks of an owner stand together, by their
// starts, and the owners in the order in which they came: F_GETLK shows the first.
func (x *lockTable) take(l fileLock) {
	at := x.release(&l, true)
	if at < 0 {
		for at = 0; at < len(x.held) && !x.held[at].beside(&l); {
			at++
		}
	}
	for at < len(x.held) && x.held[at].start < l.start && x.held[at].beside(&l) {
		at++
	}
	x.held.add(l)
	copy(x.held[at+1:], x.held[at:])
	x.held[at] = l
}

// release takes what l covers from its owner; with merge, l becomes as large as
// it is together with those of its kind that it touches. It returns where the first was
// that it touched, -1 if it touched none.
func (x *lockTable) release(l *fileLock, merge bool) int {
	apart := func(h *fileLock) bool { return h.start > l.end || l.start > h.end || !h.beside(l) }
	n := 0
	for n < len(x.held) && apart(&x.held[n]) {
		n++
	}
	if n == len(x.held) {
		return -1 // mostly
	}
	kept := append(lockList(nil), x.held[:n]...)
	for _, h := range x.held[n:] {
		switch {
		case apart(&h):
			kept.add(h)
		case merge && h.write == l.write:
			l.start, l.end = min(l.start, h.start), max(l.end, h.end)
		default:
			if h.start < l.start {
				before := h
				before.end = min(h.end, l.start)
				kept.add(before)
			}
			if h.end > l.end {
				after := h
				after.start = max(h.start, l.end)
				kept.add(after)
			}
		}
	}
	x.held = kept
	return n
}

// lock takes l through f, or gives what lies in its range back.
func (t *Thread) lock(f *File, l fileLock, unlock, wait bool) Errno {
	all := &t.proc.kernel.locks
	all.used.Store(true)
	f.locks.Store(all)
	all.mu.Lock()
	n := len(all.held) + 2
	all.mu.Unlock()
	if !unlock && !mm.KernelRoom(n*3*int(unsafe.Sizeof(l))) { // release copies them
		return ENOLCK
	}
	try := func() bool {
		all.mu.Lock()
		defer all.mu.Unlock()
		if l.whole { // the old one is lost, whether there is a new one or not
			all.release(&l, false)
		}
		switch {
		case unlock:
			all.release(&l, false)
			return true
		case all.conflict(&l) != nil:
			return false
		}
		all.take(l)
		return true
	}
	if !try() {
		all.queue.Wake() // for what is lost
		if !wait {
			return EAGAIN
		}
		if err := t.Wait(&all.queue, never, try); err != 0 {
			return err
		}
	}
	all.queue.Wake()
	return 0
}

// drop gives back the locks that gone says.
func (x *lockTable) drop(gone func(l *fileLock) bool) {
	x.mu.Lock()
	n := 0
	for i := range x.held {
		if l := &x.held[i]; !gone(l) {
			x.held[n] = *l
			n++
		}
	}
	some := n < len(x.held)
	clear(x.held[n:])
	x.held = x.held[:n]
	x.mu.Unlock()
	if some {
		x.queue.Wake()
	}
}

// closed is called when t closes one of its process's descriptors for f: the
// locks on that file are gone then, whatever other descriptors it has.
func (t *Thread) closed(f *File) {
	p := t.proc
	if x := &p.kernel.locks; x.used.Load() {
		k := f.key()
		x.drop(func(l *fileLock) bool { return l.owner == any(p) && l.key == k })
	}
	f.Release()
	if s, ok := f.io.(*socketFile); ok && f.refs.Load() == 0 {
		if s, ok := s.socket.(interface{ Linger(socket.Caller) }); ok {
			s.Linger(t)
		}
	}
}

func sysFlock(t *Thread, a *Args) (uintptr, Errno) {
	const shared, exclusive, nonblock, unlock, mandatory = 1, 2, 4, 8, 32
	op := uint32(a.Arg2())
	kind := op &^ nonblock
	if op&mandatory != 0 {
		return 0, 0 // there are none any more, but nobody is told
	}
	if kind != shared && kind != exclusive && kind != unlock {
		return 0, EINVAL
	}
	f, err := t.ioFile(a.Arg1())
	if err != 0 {
		return 0, err
	}
	defer f.Release()
	l := fileLock{key: f.key(), owner: f, whole: true, write: kind == exclusive, end: lockToEnd}
	return 0, t.lock(f, l, kind == unlock, op&nonblock == 0)
}
