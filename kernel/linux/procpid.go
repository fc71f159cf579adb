package linux

import (
	"math/bits"
	"strconv"
	"unsafe"

	"gosv/kernel/fs"
	"gosv/kernel/fs/kernfs"
	"gosv/kernel/mm"
)

// The directory of a thread in /proc/PID/task (proc(5)). That of a process has the
// directory task, too.
var processFiles = [...]procFile{
	{name: "auxv", mode: procPrivate, read: procAuxv},
	{name: "cgroup", mode: procRead}, // in none: more would make every Go program read and parse mountinfo, too
	{name: "cmdline", mode: procRead, read: func(s *subject, b *text) { b.memory(s.p.space, s.p.begin.argLo, s.p.begin.argHi) }},
	{name: "comm", mode: procWrite, read: procComm, write: setComm},
	{name: "coredump_filter", mode: procRead, text: "00000033\n"},
	{name: "cwd", mode: procLink, link: placeName(procCwd), jump: procCwd},
	{name: "environ", mode: procPrivate, read: func(s *subject, b *text) { b.memory(s.p.space, s.p.begin.argHi, s.p.begin.envHi) }},
	{name: "exe", mode: procLink, link: func(s *subject) (string, Errno) { return s.p.exe, 0 }, jump: procExe},
	{name: "fd", mode: fs.Directory | 0o500, dir: procFDs},
	{name: "fdinfo", mode: procDir, dir: procFDInfo},
	{name: "io", mode: procPrivate, text: "rchar: 0\nwchar: 0\nsyscr: 0\nsyscw: 0\nread_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n"},
	{name: "limits", mode: procRead, read: procLimits},
	{name: "loginuid", mode: procRead, text: "4294967295"},
	{name: "maps", mode: procRead, read: procMaps},
	{name: "mountinfo", mode: procRead, read: procMountInfo},
	{name: "mounts", mode: procRead, read: procMounts},
	{name: "net", mode: procDir, dir: procNet},
	{name: "oom_score", mode: procRead, text: "0\n"},
	{name: "oom_score_adj", mode: procWrite, read: func(s *subject, b *text) { b.str(strconv.Itoa(int(s.p.oomScore.Load())), "\n") }, write: setOOMScore},
	{name: "personality", mode: procPrivate, read: func(s *subject, b *text) { b.hex(uint64(s.p.personality.Load()), 8); b.str("\n") }},
	{name: "root", mode: procLink, link: placeName(procRootDir), jump: procRootDir},
	{name: "smaps", mode: procRead, read: func(s *subject, b *text) { procSmaps(s.p.space, b, false) }},
	{name: "smaps_rollup", mode: procRead, read: func(s *subject, b *text) { procSmaps(s.p.space, b, true) }},
	{name: "stat", mode: procRead, read: procPIDStat},
	{name: "statm", mode: procRead, read: procStatm},
	{name: "status", mode: procRead, read: procStatus},
	{name: "wchan", mode: procRead, text: "0"},
}

// processDir is the directory of a process.
type processDir struct{ procTable }

// Lookup implements kernfs.Directory.
func (d *processDir) Lookup(name string) (kernfs.Entry, Errno) {
	if name == "task" {
		return d.task(), 0
	}
	return d.procTable.Lookup(name)
}

// List implements kernfs.Directory: task comes first.
func (d *processDir) List(from int64, emit func(e kernfs.Entry, next int64) bool) {
	if from > 0 || emit(d.task(), 1) {
		d.procTable.List(max(from-1, 0), func(e kernfs.Entry, next int64) bool { return emit(e, next+1) })
	}
}

func (d *processDir) task() kernfs.Entry {
	e := kernfs.Entry{Name: "task", Mode: procDir, Dir: procTasks(d.subject)}
	d.own(&e)
	return e
}

func procTasks(s *subject) kernfs.Directory {
	p := s.p
	return &numbered{
		has: func(tid int) bool { return p.thread(tid) != nil },
		next: func(from int) (tid int, ok bool) {
			p.eachThread(func(t *Thread) bool { // in order
				tid, ok = t.tid, t.tid >= from
				return !ok
			})
			return tid, ok
		},
		entry: func(tid int) kernfs.Entry {
			return (&subject{k: s.k, p: p, t: p.thread(tid), task: true}).directory(false)
		},
	}
}

// Descriptors.

// descriptors is a directory with a name for each of p's descriptors.
func descriptors(p *Process, entry func(fd int) kernfs.Entry) kernfs.Directory {
	s := &p.files
	return &numbered{
		has: func(fd int) bool { return s.peek(fd) != nil },
		next: func(from int) (int, bool) {
			s.mu.Lock()
			defer s.mu.Unlock()
			for fd := from; fd < len(s.fds); fd++ {
				if s.fds[fd].file != nil {
					return fd, true
				}
			}
			return 0, false
		},
		entry: entry,
	}
}

func procFDs(s *subject) kernfs.Directory {
	p := s.p
	return descriptors(p, func(fd int) kernfs.Entry {
		e := kernfs.Entry{Mode: fs.Symlink,
			Link: func(*fs.Caller) (string, Errno) { return p.describe(fd) },
			Jump: func() (fs.Place, Errno) { return p.placeOf(fd) },
		}
		if f := p.files.peek(fd); f != nil { // its permissions say what it is open for
			if f.canRead() {
				e.Mode |= 0o500
			}
			if f.canWrite() {
				e.Mode |= 0o300
			}
		}
		return e
	})
}

func procFDInfo(s *subject) kernfs.Directory {
	p := s.p
	return descriptors(p, func(fd int) kernfs.Entry {
		return kernfs.Entry{Mode: procRead, Read: func(b []byte) []byte {
			f := p.files.peek(fd)
			if f == nil {
				return b
			}
			x := text{b}
			f.mu.Lock()
			pos := f.pos
			f.mu.Unlock()
			flags := uint64(f.flags.Load())
			if p.files.closesOnExec(fd) {
				flags |= oCloexec
			}
			x.str("pos:\t", strconv.FormatInt(pos, 10), "\nflags:\t0", strconv.FormatUint(flags, 8), "\nmnt_id:\t")
			x.num(f.place.MountID())
			x.str("\nino:\t")
			x.num(f.io.attr().Ino)
			x.str("\n")
			if d, ok := f.io.(fileInfo); ok {
				d.info(&x)
			}
			return x.b
		}}
	})
}

// fileInfo is what has lines of its own in /proc/PID/fdinfo (proc(5)).
type fileInfo interface{ info(x *text) }

func (s *fileState) closesOnExec(fd int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fd < len(s.fds) && s.fds[fd].cloexec
}

// peek returns the file open as fd, without a reference: to look at.
func (s *fileState) peek(fd int) *File {
	s.mu.Lock()
	defer s.mu.Unlock()
	if fd >= len(s.fds) {
		return nil
	}
	return s.fds[fd].file
}

// describe is where /proc/PID/fd/N points to.
func (p *Process) describe(fd int) (string, Errno) {
	f := p.files.peek(fd)
	if f == nil {
		return "", ENOENT
	}
	if name := f.io.name(); name != "" {
		return name, 0
	}
	p.files.mu.Lock()
	root := p.files.root
	p.files.mu.Unlock()
	return f.at().Path(root)
}

// placeOf is where /proc/PID/fd/N leads to.
func (p *Process) placeOf(fd int) (fs.Place, Errno) {
	f := p.files.peek(fd)
	switch {
	case f == nil:
		return fs.Place{}, ENOENT
	case f.place.Inode != nil:
		return f.at(), 0
	}
	return fs.Place{Mount: p.files.root.Mount, Inode: &fileInode{file: f}}, 0
}

// fileInode stands for an open file that has no place in a file system, where
// /proc/PID/fd leads to one.
type fileInode struct {
	fs.Base
	file *File
}

// anonymousFS is what such files belong to.
type anonymousFS struct{}

func (anonymousFS) Device() uint64  { return anonymous }
func (anonymousFS) Usage() fs.Usage { return fs.Usage{Magic: fs.MagicAnon} }

func (n *fileInode) FS() fs.FileSystem       { return anonymousFS{} }
func (n *fileInode) Ino() uint64             { return n.file.io.attr().Ino }
func (n *fileInode) Mode() uint32            { return n.file.io.attr().Mode }
func (n *fileInode) Attr() fs.Attr           { return n.file.io.attr() }
func (n *fileInode) Open() (fs.Inode, Errno) { return nil, ENXIO }

// reopen opens such a file once more.
func (n *fileInode) reopen(flags uint32) (*File, Errno) {
	switch io := n.file.io.(type) {
	case *pipeEnd:
		return io.p.open(flags, nil), 0
	case *inodeFile: // of memfd_create
		again, err := io.inode.Open()
		if err != 0 {
			return nil, err
		}
		return newFile(&inodeFile{inode: again, memfd: io.memfd}, flags), 0
	case *consoleInput, *consoleOutput, *terminalFile:
		return newFile(io.(object), flags), 0
	}
	return nil, ENXIO
}

// Places.

func procCwd(s *subject) (fs.Place, Errno) {
	s.p.files.mu.Lock()
	defer s.p.files.mu.Unlock()
	return s.p.files.cwd, 0
}

func procRootDir(s *subject) (fs.Place, Errno) {
	s.p.files.mu.Lock()
	defer s.p.files.mu.Unlock()
	return s.p.files.root, 0
}

func procExe(s *subject) (fs.Place, Errno) {
	at := fs.At{Caller: &s.p.files.caller, Root: s.k.Root.Root(), Base: s.k.Root.Root()}
	return at.Lookup(s.p.exe)
}

// placeName is the path of a place.
func placeName(place func(s *subject) (fs.Place, Errno)) func(s *subject) (string, Errno) {
	return func(s *subject) (string, Errno) {
		at, err := place(s)
		if err != 0 {
			return "", err
		}
		root, _ := procRootDir(s)
		return at.Path(root)
	}
}

// What a process was started with.

// memory adds what is now in [lo, hi) of a process.
func (b *text) memory(s *mm.Space, lo, hi uintptr) {
	if lo >= hi || hi-lo > maxArgTotal {
		return
	}
	p := make([]byte, hi-lo)
	b.b = append(b.b, p[:s.ReadSome(unsafe.Pointer(&p[0]), lo, hi-lo)]...)
}

func procComm(s *subject, b *text) { b.str(s.t.comm(), "\n") }

func (t *Thread) comm() string {
	name, _, _ := cut(string(t.name[:]), 0)
	return name
}

func setComm(s *subject, v string) Errno {
	s.t.name = [16]byte{}
	copy(s.t.name[:15], v)
	s.t.reportName()
	return 0
}

// setOOMScore keeps a value that has no effect: the one process ends, or none does.
func setOOMScore(s *subject, v string) Errno {
	const most = 1000
	n, ok := parseInt(v)
	if !ok || n < -most || n > most {
		return EINVAL
	}
	s.p.oomScore.Store(int32(n))
	return 0
}

func procLimits(s *subject, b *text) {
	b.str("Limit                     Soft Limit           Hard Limit           Units     \n")
	for i, l := range [...]struct{ name, unit string }{
		{"Max cpu time", "seconds"}, {"Max file size", "bytes"}, {"Max data size", "bytes"}, {"Max stack size", "bytes"},
		{"Max core file size", "bytes"}, {"Max resident set", "bytes"}, {"Max processes", "processes"}, {"Max open files", "files"},
		{"Max locked memory", "bytes"}, {"Max address space", "bytes"}, {"Max file locks", "locks"}, {"Max pending signals", "signals"},
		{"Max msgqueue size", "bytes"}, {"Max nice priority", ""}, {"Max realtime priority", ""}, {"Max realtime timeout", "us"},
	} {
		line := len(b.b)
		v := s.p.limits.get(i)
		b.str(l.name)
		b.pad(line, 26)
		for k, n := range [...]uint64{v.soft, v.hard} {
			if n == unlimited {
				b.str("unlimited")
			} else {
				b.num(n)
			}
			b.pad(line, 26+21*(k+1))
		}
		b.str(l.unit)
		b.pad(line, 78)
		b.str("\n")
	}
}

func procStatm(s *subject, b *text) {
	u := usageOf(s.p.space)
	b.num(u.size)
	b.nums(int64(u.resident+u.file), int64(u.file), int64(u.code), 0, int64(u.data+u.stack), 0)
	b.str("\n")
}

// procPIDStat is /proc/PID/stat and /proc/PID/task/TID/stat.
func procPIDStat(s *subject, b *text) {
	t, p, u := s.t, s.p, usageOf(s.p.space)
	heap, _ := p.space.Heap()
	user, system := t.times()
	if !s.task {
		user, system = p.times()
	}
	p.sig.mu.Lock()
	pending, blocked := t.sig.pending.set|p.sig.pending.set, t.sig.mask
	ignored, caught := p.sig.dispositions()
	p.sig.mu.Unlock()
	b.num(uint64(t.tid))
	b.str(" (", t.comm(), ") ", t.state()[:1])
	b.nums(0, int64(p.pid), int64(p.pid), 0, -1, 0x400100, int64(u.faults), 0, 0, 0,
		int64(user/clockTick), int64(system/clockTick), 0, 0, 20+int64(t.sched.nice), int64(t.sched.nice), int64(p.countThreads()), 0, 0)
	b.str(" ")
	b.num(u.size * pageSize)
	b.nums(int64(u.resident))
	b.str(" ")
	b.num(p.limit(rlimitRSS))
	b.nums(1, 1, 0, 0, 0, int64(pending&(1<<31-1)), int64(blocked&(1<<31-1)), int64(ignored&(1<<31-1)), int64(caught&(1<<31-1)),
		0, 0, 0, SIGCHLD, 0, int64(t.sched.priority), int64(t.sched.policy), 0, 0, 0, 0, 0,
		int64(heap), int64(p.begin.argLo), int64(p.begin.argHi), int64(p.begin.argHi), int64(p.begin.envHi), 0)
	b.str("\n")
}

// dispositions returns which signals are ignored, and which are caught. The caller
// holds s.mu.
func (s *signalState) dispositions() (ignored, caught sigSet) {
	for sig := 1; sig <= numSig; sig++ {
		switch s.actions[sig].handler {
		case sigDefault:
		case sigIgnore:
			ignored |= sigBit(sig)
		default:
			caught |= sigBit(sig)
		}
	}
	return ignored, caught
}

// state is how proc(5) has it.
func (t *Thread) state() string {
	switch {
	case t.started.Load() != 0, t.ready.Load():
	case t.work.Load()&workStop != 0:
		return "T (stopped)"
	default:
		return "S (sleeping)"
	}
	return "R (running)"
}

func (p *Process) countThreads() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.threads)
}

func procStatus(s *subject, b *text) {
	t, p, u := s.t, s.p, usageOf(s.p.space)
	p.files.mu.Lock()
	umask, slots := p.files.umask, p.files.slots()
	p.files.mu.Unlock()
	b.str("Name:\t", t.comm(), "\nUmask:\t0", strconv.FormatUint(uint64(umask)|0o1000, 8)[1:], "\nState:\t", t.state())
	b.lineNumber("Tgid", uint64(p.pid))
	b.lineNumber("Ngid", 0)
	b.lineNumber("Pid", uint64(t.tid))
	b.lineNumber("PPid", 0)
	b.lineNumber("TracerPid", 0)

	c := &p.cred
	c.mu.Lock()
	uid, gid, groups := c.uid, c.gid, c.groups
	inheritable, permitted, effective, bounding, ambient, nnp := c.inheritable, c.permitted, c.effective, c.bounding, c.ambient, c.noNewPrivs
	c.mu.Unlock()
	b.lineIDs("Uid", uid)
	b.lineIDs("Gid", gid)
	b.lineNumber("FDSize", uint64(slots))
	b.line("Groups")
	for _, g := range groups {
		b.num(uint64(g))
		b.str(" ")
	}
	b.linePages("VmPeak", u.size)
	b.linePages("VmSize", u.size)
	b.linePages("VmLck", u.locked)
	b.linePages("VmPin", 0)
	b.linePages("VmHWM", u.peak+u.file)
	b.linePages("VmRSS", u.resident+u.file)
	b.linePages("RssAnon", u.resident)
	b.linePages("RssFile", u.file)
	b.linePages("RssShmem", 0)
	b.linePages("VmData", u.data)
	b.linePages("VmStk", u.stack)
	b.linePages("VmExe", u.code)
	b.linePages("VmLib", 0)
	b.linePages("VmPTE", 0)
	b.linePages("VmSwap", 0)
	b.lineNumber("Threads", uint64(p.countThreads()))

	p.sig.mu.Lock()
	queued, shared, own, blocked := len(t.sig.pending.queue)+len(p.sig.pending.queue), p.sig.pending.set, t.sig.pending.set, t.sig.mask
	ignored, caught := p.sig.dispositions()
	p.sig.mu.Unlock()
	b.line("SigQ")
	b.num(uint64(queued))
	b.str("/")
	b.num(p.limit(rlimitSigpending))
	b.lineMask("SigPnd", uint64(own))
	b.lineMask("ShdPnd", uint64(shared))
	b.lineMask("SigBlk", uint64(blocked))
	b.lineMask("SigIgn", uint64(ignored))
	b.lineMask("SigCgt", uint64(caught))
	b.lineMask("CapInh", inheritable)
	b.lineMask("CapPrm", permitted)
	b.lineMask("CapEff", effective)
	b.lineMask("CapBnd", bounding)
	b.lineMask("CapAmb", ambient)
	if b.line("NoNewPrivs"); nnp {
		b.str("1")
	} else {
		b.str("0")
	}
	b.lineNumber("Seccomp", 0)
	cpus := t.cpusAllowed()
	b.line("Cpus_allowed")
	b.hex(cpus, 1)
	b.line("Cpus_allowed_list")
	b.cpuList(cpus)
	b.str("\nMems_allowed:\t1\nMems_allowed_list:\t0")
	b.lineNumber("voluntary_ctxt_switches", t.waits.Load())
	b.lineNumber("nonvoluntary_ctxt_switches", t.yields.Load())
	b.str("\n")
}

// The lines of procStatus.

//go:noinline
func (x *text) line(name string) { x.str("\n", name, ":\t") }

//go:noinline
func (x *text) lineNumber(name string, n uint64) { x.line(name); x.num(n) }

//go:noinline
func (x *text) lineMask(name string, n uint64) { x.line(name); x.hex(n, 16) }

//go:noinline
func (x *text) linePages(name string, n uint64) {
	x.line(name)
	x.right(strconv.FormatUint(n*(pageSize/1024), 10), 8)
	x.str(" kB")
}

//go:noinline
func (x *text) lineIDs(name string, i identity) {
	x.lineNumber(name, uint64(i.real))
	for _, id := range [...]uint32{i.effective, i.saved, i.fs} {
		x.str("\t")
		x.num(uint64(id))
	}
}

// cpuList writes a set of CPUs, as in "0-3,5".
func (x *text) cpuList(set uint64) {
	for sep := ""; set != 0; sep = "," {
		first := bits.TrailingZeros64(set)
		n := bits.TrailingZeros64(^(set >> first))
		x.str(sep)
		x.num(uint64(first))
		if n > 1 {
			x.str("-")
			x.num(uint64(first + n - 1))
		}
		set &^= (1<<n - 1) << first
	}
}

func procMounts(s *subject, b *text) {
	root, _ := procRootDir(s)
	s.k.Root.Mounts(func(m *fs.Mount) {
		path, _ := m.Path(root)
		b.str(m.Source, " ", path, " ", m.Kind, " ", mountMode(m), ",relatime 0 0\n")
	})
}

func procMountInfo(s *subject, b *text) {
	root, _ := procRootDir(s)
	s.k.Root.Mounts(func(m *fs.Mount) {
		path, _ := m.Path(root)
		b.num(m.ID)
		b.str(" ")
		b.num(m.ParentID())
		b.str(" ")
		b.num(uint64(major(m.Device)))
		b.str(":")
		b.num(uint64(minor(m.Device)))
		b.str(" / ", path, " ", mountMode(m), ",relatime - ", m.Kind, " ", m.Source, " ", mountMode(m), "\n")
	})
}

// mountMode is whether m can be written to.
func mountMode(m *fs.Mount) string {
	if m.Root().FS().Usage().ReadOnly {
		return "ro"
	}
	return "rw"
}
