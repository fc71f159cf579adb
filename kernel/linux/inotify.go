package linux

import (
	"sync"
	"sync/atomic"

	"gosv/kernel/fs"
	"gosv/kernel/wait"
)

// Events and flags of inotify(7).
const (
	inAccess       = 0x1
	inModify       = 0x2
	inAttrib       = 0x4
	inCloseWrite   = 0x8
	inCloseNowrite = 0x10
	inOpen         = 0x20
	inMovedFrom    = 0x40
	inMovedTo      = 0x80
	inCreate       = 0x100
	inDelete       = 0x200
	inDeleteSelf   = 0x400
	inMoveSelf     = 0x800
	inAllEvents    = 0xfff

	inOverflow   = 0x4000
	inIgnored    = 0x8000
	inOnlyDir    = 0x1000000
	inDontFollow = 0x2000000
	inExclUnlink = 0x4000000
	inMaskCreate = 0x10000000
	inMaskAdd    = 0x20000000
	inIsDir      = 0x40000000
	inOneshot    = 0x80000000

	inKnown = inAllEvents | 0x2000 | inOverflow | inIgnored | inOnlyDir | inDontFollow | inExclUnlink | inMaskCreate | inMaskAdd | inIsDir | inOneshot
)

// What /proc/sys/fs/inotify says.
const (
	inotifyEvents    = 16384 // max_queued_events
	inotifyInstances = 128   // max_user_instances
	inotifyWatches   = 65536 // max_user_watches
)

// inotifyTable knows what is watched.
type inotifyTable struct {
	inUse     atomic.Bool // whether anything ever was
	cookie    atomic.Uint32
	mu        sync.Mutex // guards what follows, and all watches; taken before inotify.mu
	instances int
	watches   int
	marks     map[inodeKey][]*watch
}

// watch is a file or directory that an instance watches.
type watch struct {
	in   *inotify
	id   int32
	mask uint32
	key  inodeKey
}

// inotify is an instance.
type inotify struct {
	noObject
	all     *inotifyTable
	watches map[int32]*watch // under all.mu
	lastID  int32

	mu     sync.Mutex
	events []inotifyEvent
	bytes  int // of all events, as read gives them
	queue  wait.Queue
}

type inotifyEvent struct {
	id           int32
	mask, cookie uint32
	name         string
}

// inotifyHeader is the size of struct inotify_event; names are padded to a
// multiple of it.
const inotifyHeader = 16

func (e *inotifyEvent) size() int {
	if e.name == "" {
		return inotifyHeader
	}
	return inotifyHeader + (len(e.name)+inotifyHeader)&^(inotifyHeader-1)
}

func sysInotifyInit(t *Thread, a *Args) (uintptr, Errno) { return t.inotifyInit(0) }
func sysInotifyInit1(t *Thread, a *Args) (uintptr, Errno) {
	return t.inotifyInit(a.Int1())
}

func (t *Thread) inotifyInit(flags uintptr) (uintptr, Errno) {
	if flags&^(oNonblock|oCloexec) != 0 {
		return 0, EINVAL
	}
	all := &t.proc.kernel.inotify
	all.mu.Lock()
	tooMany := all.instances == inotifyInstances
	if !tooMany {
		all.instances++
	}
	all.mu.Unlock()
	if tooMany {
		return 0, EMFILE
	}
	in := &inotify{all: all, watches: map[int32]*watch{}}
	return t.install(newFile(in, uint32(flags)&oNonblock), 0, flags&oCloexec != 0)
}

// inotifyFile calls f with the instance open as fd.
func (t *Thread) inotifyFile(fd uintptr, f func(in *inotify) (int, Errno)) (uintptr, Errno) {
	return t.withFile(fd, func(file *File) (int, Errno) {
		in, ok := file.io.(*inotify)
		if !ok {
			return 0, EINVAL
		}
		return f(in)
	})
}

func sysInotifyAddWatch(t *Thread, a *Args) (uintptr, Errno) {
	mask := uint32(a.Arg3())
	if mask&inKnown == 0 || mask&^inKnown != 0 {
		return 0, EINVAL
	}
	return t.inotifyFile(a.Arg1(), func(in *inotify) (int, Errno) {
		if mask&(inMaskAdd|inMaskCreate) == inMaskAdd|inMaskCreate {
			return 0, EINVAL
		}
		path, err := t.copyInPath(a.Arg2())
		if err != 0 {
			return 0, err
		}
		at, err := t.at(cwdFD, path)
		if err != 0 {
			return 0, err
		}
		if mask&inDontFollow != 0 {
			at.Flags |= fs.NoFollow
		}
		if mask&inOnlyDir != 0 {
			at.Flags |= fs.OnlyDir
		}
		p, err := at.Lookup(path)
		if err == 0 {
			err = at.Caller.Access(p.Inode, fs.MayRead)
		}
		if err != 0 {
			return 0, err
		}
		return in.all.add(in, inodeKey{p.Inode.FS(), p.Inode.Ino()}, mask)
	})
}

func (all *inotifyTable) add(in *inotify, key inodeKey, mask uint32) (int, Errno) {
	all.mu.Lock()
	defer all.mu.Unlock()
	all.inUse.Store(true)
	keep := mask & (inAllEvents | inExclUnlink | inOneshot)
	for _, w := range all.marks[key] {
		if w.in != in {
			continue
		}
		if mask&inMaskCreate != 0 {
			return 0, EEXIST
		}
		if mask&inMaskAdd != 0 {
			keep |= w.mask
		}
		w.mask = keep
		return int(w.id), 0
	}
	if all.watches == inotifyWatches {
		return 0, ENOSPC
	}
	in.lastID++
	w := &watch{in: in, id: in.lastID, mask: keep, key: key}
	if all.marks == nil {
		all.marks = map[inodeKey][]*watch{}
	}
	all.marks[key] = append(all.marks[key], w)
	in.watches[w.id] = w
	all.watches++
	return int(w.id), 0
}

func sysInotifyRmWatch(t *Thread, a *Args) (uintptr, Errno) {
	return t.inotifyFile(a.Arg1(), func(in *inotify) (int, Errno) {
		in.all.mu.Lock()
		defer in.all.mu.Unlock()
		w := in.watches[int32(a.Arg2())]
		if w == nil {
			return 0, EINVAL
		}
		in.all.end(w)
		return 0, 0
	})
}

// end ends a watch; all.mu is held.
func (all *inotifyTable) end(w *watch) {
	all.forget(w)
	w.in.put(inotifyEvent{id: w.id, mask: inIgnored})
}

func (all *inotifyTable) forget(w *watch) {
	old := all.marks[w.key] // somebody may be going through it
	var list []*watch
	for _, o := range old {
		if o != w {
			list = append(list, o)
		}
	}
	if all.marks[w.key] = list; list == nil {
		delete(all.marks, w.key)
	}
	delete(w.in.watches, w.id)
	all.watches--
}

// send tells those who watch the inode n.
func (all *inotifyTable) send(n fs.Inode, mask, cookie uint32, name string, isDir bool) {
	all.sendOf(nil, n, mask, cookie, name, isDir)
}

// sendOf is send for what happened to p, which may have no name any more.
func (all *inotifyTable) sendOf(p *fs.Place, n fs.Inode, mask, cookie uint32, name string, isDir bool) {
	if isDir {
		mask |= inIsDir
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	for _, w := range all.marks[inodeKey{n.FS(), n.Ino()}] {
		if w.mask&mask&inAllEvents == 0 || w.mask&inExclUnlink != 0 && p != nil && p.Unlinked() {
			continue
		}
		w.in.put(inotifyEvent{id: w.id, mask: mask, cookie: cookie, name: name})
		if w.mask&inOneshot != 0 {
			all.end(w)
		}
	}
}

// put adds an event, unless it is the same as the one before.
func (in *inotify) put(e inotifyEvent) {
	in.mu.Lock()
	n := len(in.events)
	switch {
	case n > 0 && in.events[n-1] == e, n > inotifyEvents:
		in.mu.Unlock()
		return
	case n == inotifyEvents:
		e = inotifyEvent{id: -1, mask: inOverflow}
	}
	in.events = append(in.events, e)
	in.bytes += e.size()
	in.mu.Unlock()
	in.queue.Wake()
}

// happened tells those who watch p's inode, or the directory it was found in,
// in the order of Linux.
func (all *inotifyTable) happened(p *fs.Place, mask uint32) {
	if p.Inode == nil || !all.inUse.Load() {
		return
	}
	isDir := fs.IsDir(p.Inode.Mode())
	if dir, name := p.Entry(); dir != nil {
		all.sendOf(p, dir, mask, 0, name, isDir)
	}
	all.sendOf(p, p.Inode, mask, 0, "", isDir)
}

// Created implements fs.Watcher.
func (k *Kernel) Created(dir fs.Inode, name string, n fs.Inode, link bool) {
	all := &k.inotify
	if !all.inUse.Load() {
		return
	}
	if link {
		all.send(n, inAttrib, 0, "", false)
	}
	all.send(dir, inCreate, 0, name, fs.IsDir(n.Mode()))
}

// Deleted implements fs.Watcher.
func (k *Kernel) Deleted(dir fs.Inode, name string, n fs.Inode) {
	all := &k.inotify
	if !all.inUse.Load() {
		return
	}
	isDir := fs.IsDir(n.Mode())
	if !isDir {
		all.send(n, inAttrib, 0, "", false)
	}
	all.gone(n)
	all.send(dir, inDelete, 0, name, isDir)
}

// Renamed implements fs.Watcher: open files know by which name they were opened.
func (k *Kernel) Renamed(n, dir fs.Inode, name string, toDir fs.Inode, toName string, replaced fs.Inode) {
	for _, p := range k.allProcesses() {
		p.files.renamed(n, dir, name, toDir, toName)
	}
	all := &k.inotify
	if !all.inUse.Load() {
		return
	}
	isDir, cookie := fs.IsDir(n.Mode()), all.cookie.Add(1)
	all.send(dir, inMovedFrom, cookie, name, isDir)
	all.send(toDir, inMovedTo, cookie, toName, isDir)
	if replaced != nil {
		all.send(replaced, inAttrib, 0, "", fs.IsDir(replaced.Mode()))
	}
	all.send(n, inMoveSelf, 0, "", false)
	if replaced != nil {
		all.gone(replaced)
	}
}

func (s *fileState) renamed(n, dir fs.Inode, name string, toDir fs.Inode, toName string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.fds {
		if d.file == nil {
			continue
		}
		at := d.file.at()
		if to, ok := at.Renamed(n, dir, name, toDir, toName); ok {
			d.file.moved.Store(&to)
		}
	}
}

// at is where f is now.
func (f *File) at() fs.Place {
	if to := f.moved.Load(); to != nil {
		return *to
	}
	return f.place
}

// gone ends the watches of n if it is there no more.
func (all *inotifyTable) gone(n fs.Inode) {
	if g, ok := n.(interface{ Gone() bool }); !ok || !g.Gone() {
		return
	}
	all.send(n, inDeleteSelf, 0, "", false)
	all.mu.Lock()
	defer all.mu.Unlock()
	for _, w := range all.marks[inodeKey{n.FS(), n.Ino()}] {
		all.end(w)
	}
}

// tell is happened for an open file.
func (f *File) tell(mask uint32) {
	if f.inotify != nil && f.inotify.inUse.Load() {
		at := f.at()
		f.inotify.happened(&at, mask)
	}
}

// told is tell for a call that read or wrote n bytes, which only counts in files
// and directories.
func (f *File) told(n int, mask uint32) {
	if n > 0 && f.inotify != nil && f.inotify.inUse.Load() {
		if m := f.place.Inode.Mode(); fs.IsRegular(m) || fs.IsDir(m) {
			f.tell(mask)
		}
	}
}

func (in *inotify) read(t *Thread, f *File, u *userIO) (n int, err Errno) {
	small, broken := false, false
	err = t.block(f, &in.queue, func() bool {
		in.mu.Lock()
		defer in.mu.Unlock()
		for len(in.events) > 0 {
			e := &in.events[0]
			size := e.size()
			if size > u.left {
				small = n == 0
				return true
			}
			b := make([]byte, size)
			putUint64(b, uint64(uint32(e.id))|uint64(e.mask)<<32)
			putUint64(b[8:], uint64(e.cookie)|uint64(size-inotifyHeader)<<32)
			copy(b[inotifyHeader:], e.name)
			k := u.Put(b)
			n += k
			in.bytes -= size
			in.events = in.events[1:]
			if broken = k < size; broken {
				return true
			}
		}
		return n > 0
	})
	switch {
	case small:
		err = EINVAL
	case broken: // though others have come
		return 0, EFAULT
	}
	return n, err
}

func (in *inotify) poll(*File) (ready uint32, q *wait.Queue) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.events) > 0 {
		ready = pollIn | pollRdNorm
	}
	return ready, &in.queue
}

func (in *inotify) ioctl(t *Thread, f *File, req, arg uintptr) (uintptr, Errno) {
	if req != fioNRead {
		return 0, ENOTTY
	}
	in.mu.Lock()
	n := int32(in.bytes)
	in.mu.Unlock()
	return 0, copyOut(t, arg, &n)
}

// info implements fileInfo.
func (in *inotify) info(x *text) {
	in.all.mu.Lock()
	defer in.all.mu.Unlock()
	for _, w := range in.watches {
		x.str("inotify wd:")
		x.hex(uint64(w.id), 1)
		x.str(" ino:")
		x.hex(w.key.ino, 1)
		x.str(" sdev:")
		x.hex(w.key.fs.Device(), 1)
		x.str(" mask:")
		x.hex(uint64(w.mask), 1)
		x.str(" ignored_mask:0 \n")
	}
}

func (in *inotify) name() string { return "anon_inode:inotify" }

func (in *inotify) close(*File) {
	in.all.mu.Lock()
	defer in.all.mu.Unlock()
	for _, w := range in.watches {
		in.all.forget(w)
	}
	in.all.instances--
}
