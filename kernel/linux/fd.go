package linux

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"gosv/kernel/fs"
	"gosv/kernel/mm"
	"gosv/kernel/wait"
)

// File is an open file description: what descriptors refer to (open(2)).
type File struct {
	refs    atomic.Int32
	flags   atomic.Uint32 // access mode and status flags of open(2)
	io      object
	place   fs.Place                 // where it was opened; without an Inode if that is nowhere
	inotify *inotifyTable            // who is told of what happens to it; nil: nobody
	moved   atomic.Pointer[fs.Place] // where it went since; nil: nowhere

	mu  sync.Mutex // guards pos, and makes reads and writes at it one after the other
	pos int64

	watchers []*epollItem              // under mu
	locks    atomic.Pointer[lockTable] // nil: it never had any
	owner    atomic.Pointer[fileOwner] // nil: nobody
	signal   atomic.Uint32             // F_SETSIG
	async    atomic.Pointer[asyncFile] // nil without O_ASYNC
}

// object is what a file description is about. Calls that wait look at the
// file's O_NONBLOCK.
type object interface {
	read(t *Thread, f *File, u *userIO) (int, Errno)
	write(t *Thread, f *File, u *userIO) (int, Errno)
	attr() fs.Attr
	ioctl(t *Thread, f *File, req, arg uintptr) (uintptr, Errno)

	// poll returns which of pollIn ... are so now, and the queue that is woken
	// when that changes, nil if it never does.
	poll(f *File) (ready uint32, q *wait.Queue)

	name() string // for /proc/self/fd, where there is no path
	close(f *File)
}

// noObject is what most kinds of objects have in common.
type noObject struct{}

func (*noObject) read(*Thread, *File, *userIO) (int, Errno)               { return 0, EINVAL }
func (*noObject) write(*Thread, *File, *userIO) (int, Errno)              { return 0, EINVAL }
func (*noObject) ioctl(*Thread, *File, uintptr, uintptr) (uintptr, Errno) { return 0, ENOTTY }
func (*noObject) poll(*File) (uint32, *wait.Queue) {
	return pollIn | pollOut | pollRdNorm | pollWrNorm, nil
}
func (*noObject) close(*File)   {}
func (*noObject) attr() fs.Attr { return fs.Attr{Mode: 0o600, Nlink: 1, BlockSize: pageSize} }

// Flags of open(2) that stay with a description.
const (
	oAccMode  = 3
	oRdonly   = 0
	oWronly   = 1
	oRdwr     = 2
	oCreat    = 0o100
	oExcl     = 0o200
	oNoctty   = 0o400
	oTrunc    = 0o1000
	oAppend   = 0o2000
	oNonblock = 0o4000
	oDsync    = 0o10000
	oAsync    = 0o20000
	oDirect   = 0o40000
	oLarge    = 0o100000
	oDir      = 0o200000
	oNofollow = 0o400000
	oNoatime  = 0o1000000
	oCloexec  = 0o2000000
	oSync     = 0o4010000
	oPath     = 0o10000000
	oTmpfile  = 0o20000000 | oDir

	oKnown = oAccMode | oCreat | oExcl | oNoctty | oTrunc | oAppend | oNonblock | oSync | oAsync | oDirect | oLarge | oDir | oNofollow |
		oNoatime | oCloexec | oPath | oTmpfile

	oSettable = oAppend | oDirect | oNoatime | oNonblock // by F_SETFL
)

func newFile(io object, flags uint32) *File {
	f := &File{io: io}
	f.refs.Store(1)
	f.flags.Store(flags)
	return f
}

// canRead and canWrite: the fourth access mode, 3, allows neither (open(2)).
func (f *File) canRead() bool {
	how := f.flags.Load() & (oAccMode | oPath)
	return how == oRdonly || how == oRdwr
}

func (f *File) canWrite() bool {
	how := f.flags.Load() & (oAccMode | oPath)
	return how == oWronly || how == oRdwr
}

func (f *File) nonblock() bool { return f.flags.Load()&oNonblock != 0 }

// Retain and Release count references.
func (f *File) Retain() { f.refs.Add(1) }
func (f *File) Release() {
	if f.refs.Add(-1) == 0 {
		f.end()
	}
}

// end closes f for good.
func (f *File) end() {
	f.mu.Lock()
	watchers := f.watchers
	f.watchers = nil
	f.mu.Unlock()
	for _, w := range watchers {
		w.ep.remove(w)
	}
	if a := f.async.Load(); a != nil {
		a.queue.Remove(&a.waiter)
	}
	if x := f.locks.Load(); x != nil {
		x.drop(func(l *fileLock) bool { return l.owner == any(f) })
	}
	if f.inotify != nil && f.inotify.inUse.Load() {
		f.closeWatched()
		return
	}
	f.io.close(f)
}

// closeWatched tells of the end of f, and perhaps of the file.
func (f *File) closeWatched() {
	mask := uint32(inCloseNowrite)
	if f.canWrite() {
		mask = inCloseWrite
	}
	f.tell(mask)
	f.io.close(f)
	if n := f.place.Inode; n != nil {
		f.inotify.gone(n)
	}
}

// fileState is what a process's threads share of files: descriptors,
// directories, umask.
type fileState struct {
	mu     sync.Mutex
	fds    []descriptor
	unused int // no descriptor below is free
	umask  uint32
	cwd    fs.Place
	root   fs.Place
	caller fs.Caller
}

type descriptor struct {
	file    *File // nil: not open
	cloexec bool
}

// slots is how many descriptors the table has room for, as Linux lets it grow;
// s.mu is held.
func (s *fileState) slots() int {
	n := 64
	for ; n < len(s.fds); n *= 2 {
		n = max(n, 128)
	}
	return n
}

// room says why there would be no descriptor for a file, before anything is done for it: none is free below
// the limit, or there is no memory.
func (s *fileState) room(limit uint64) Errno {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.unused < len(s.fds) && s.fds[s.unused].file != nil {
		s.unused++
	}
	switch {
	case uint64(s.unused) >= limit:
		return EMFILE
	case !s.roomFor(s.unused, 16): // also when that takes some memory
		return ENFILE
	}
	return 0
}

// file returns the file open as fd with a reference, for Release.
func (t *Thread) file(fd uintptr) (*File, Errno) {
	s := &t.proc.files
	var f *File
	s.mu.Lock()
	if fd := uint64(uint32(fd)); fd < uint64(len(s.fds)) {
		if f = s.fds[fd].file; f != nil {
			f.Retain()
		}
	}
	s.mu.Unlock()
	if f == nil {
		return nil, EBADF
	}
	return f, 0
}

// ioFile is file for calls that O_PATH does not allow.
func (t *Thread) ioFile(fd uintptr) (*File, Errno) {
	f, err := t.file(fd)
	if err == 0 && f.flags.Load()&oPath != 0 {
		f.Release()
		return nil, EBADF
	}
	return f, err
}

// install makes f, whose reference it takes, the lowest free descriptor from
// min on.
func (t *Thread) install(f *File, min int, cloexec bool) (uintptr, Errno) {
	s := &t.proc.files
	limit := int(t.proc.limit(rlimitNofile))
	s.mu.Lock()
	defer s.mu.Unlock()
	fd := max(min, s.unused)
	for fd < len(s.fds) && s.fds[fd].file != nil {
		fd++
	}
	if fd >= limit {
		f.Release()
		return 0, EMFILE
	}
	if !s.roomFor(fd, 1) {
		f.Release()
		return 0, ENFILE
	}
	for len(s.fds) <= fd {
		s.fds = append(s.fds, descriptor{})
	}
	s.fds[fd] = descriptor{f, cloexec}
	if min <= s.unused {
		s.unused = fd + 1
	}
	return uintptr(fd), 0
}

// fewFiles are descriptors that a program gets though it has taken nearly all memory. A server would never have
// some again otherwise: those who wait to be accepted take it, though they may have gone.
const fewFiles = 64

// roomFor says whether there is memory for so many more files, the first as descriptor fd.
func (s *fileState) roomFor(fd, files int) bool {
	const file = 512 // and what it stands for
	table := 0
	if fd >= cap(s.fds) {
		table = int(unsafe.Sizeof(descriptor{})) * (fd + fd/4)
	}
	if fd < fewFiles {
		return mm.LastRoom(files*file + table)
	}
	return mm.KernelRoom(files*file + table)
}

// take closes fd's entry and returns its file with the table's reference.
func (s *fileState) take(fd uintptr) *File {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := uint64(uint32(fd))
	if n >= uint64(len(s.fds)) || s.fds[n].file == nil {
		return nil
	}
	f := s.fds[n].file
	s.fds[n] = descriptor{}
	s.unused = min(s.unused, int(n))
	return f
}

func sysClose(t *Thread, a *Args) (uintptr, Errno) {
	f := t.proc.files.take(a.Arg1())
	if f == nil {
		return 0, EBADF
	}
	t.closed(f)
	return 0, 0
}

func sysCloseRange(t *Thread, a *Args) (uintptr, Errno) {
	const unshare, cloexec = 2, 4
	first, last, flags := uint32(a.Arg1()), uint32(a.Arg2()), a.Arg3()
	if first > last || flags&^(unshare|cloexec) != 0 {
		return 0, EINVAL
	}
	s := &t.proc.files
	s.mu.Lock()
	end := uint32(min(uint64(last)+1, uint64(len(s.fds))))
	if flags&cloexec != 0 {
		for fd := first; fd < end; fd++ {
			s.fds[fd].cloexec = true
		}
	}
	s.mu.Unlock()
	for fd := first; fd < end && flags&cloexec == 0; fd++ {
		if f := s.take(uintptr(fd)); f != nil {
			t.closed(f)
		}
	}
	return 0, 0
}

func sysDup(t *Thread, a *Args) (uintptr, Errno) {
	f, err := t.file(a.Arg1())
	if err != 0 {
		return 0, err
	}
	return t.install(f, 0, false)
}

func sysDup2(t *Thread, a *Args) (uintptr, Errno) {
	if a.Arg1() == a.Arg2() {
		f, err := t.file(a.Arg1())
		if err != 0 {
			return 0, err
		}
		f.Release()
		return a.Arg2(), 0
	}
	return t.dupTo(a.Arg1(), a.Arg2(), false)
}

func sysDup3(t *Thread, a *Args) (uintptr, Errno) {
	if a.Arg3()&^oCloexec != 0 || uint32(a.Arg1()) == uint32(a.Arg2()) {
		return 0, EINVAL
	}
	return t.dupTo(a.Arg1(), a.Arg2(), a.Arg3() != 0)
}

// dupTo makes to refer to what from does, instead of what it referred to.
func (t *Thread) dupTo(from, to uintptr, cloexec bool) (uintptr, Errno) {
	f, err := t.file(from)
	if err != 0 {
		return 0, err
	}
	n := uint64(uint32(to))
	if n >= t.proc.limit(rlimitNofile) {
		f.Release()
		return 0, EBADF
	}
	s := &t.proc.files
	s.mu.Lock()
	if !s.roomFor(int(n), 1) {
		s.mu.Unlock()
		f.Release()
		return 0, ENFILE
	}
	for uint64(len(s.fds)) <= n {
		s.fds = append(s.fds, descriptor{})
	}
	old := s.fds[n].file
	s.fds[n] = descriptor{f, cloexec}
	s.mu.Unlock()
	if old != nil {
		t.closed(old)
	}
	return uintptr(n), 0
}

// backing returns the file that fd is open for as mmap(2) needs it, with a
// reference for the caller, and what it is open for; nil stands for zero pages.
func (f *fileState) backing(fd int32) (b mm.Backing, canRead, canWrite bool, err Errno) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fd < 0 || int(fd) >= len(f.fds) || f.fds[fd].file == nil {
		return nil, false, false, EBADF
	}
	file := f.fds[fd].file
	switch io := file.io.(type) {
	case *inodeFile:
		path := io.name()
		if path == "" {
			at := file.at()
			path, _ = at.Path(f.root)
		}
		if io.disk != nil {
			p := &diskPages{volume: io.disk.volume, node: io.inode, path: path}
			p.Retain()
			return p, file.canRead(), file.canWrite(), 0
		}
		if magic := io.inode.FS().Usage().Magic; !fs.IsRegular(io.inode.Mode()) || magic == fs.MagicProc || magic == fs.MagicSysfs {
			return nil, file.canRead(), file.canWrite(), ENODEV
		}
		m := &inodePages{inode: io.inode, path: path, memfd: io.memfd}
		m.Retain()
		return m, file.canRead(), file.canWrite(), 0
	case *zeroDevice:
		return nil, file.canRead(), file.canWrite(), 0
	}
	if file.flags.Load()&oPath != 0 {
		return nil, false, false, EBADF
	}
	return nil, file.canRead(), file.canWrite(), ENODEV
}
