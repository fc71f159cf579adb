package linux

import (
	"strconv"

	"gosv/kernel/block"
	"gosv/kernel/fs"
	"gosv/kernel/fs/kernfs"
)

// subject is what a file in /proc tells about: the kernel, and below /proc/PID a
// process, and below /proc/PID/task/TID a thread.
type subject struct {
	k *Kernel
	p *Process
	t *Thread

	disk   *disk // below /sys/block
	volume *block.Volume
	task   bool // it is t that is told about, not all of p
}

// procFile is a name in /proc or /sys. All of them are in tables, which cost a
// boot nothing.
type procFile struct {
	name  string
	mode  uint32
	text  string // what it always holds, or
	read  func(s *subject, b *text)
	write func(s *subject, v string) Errno
	link  func(s *subject) (string, Errno)
	jump  func(s *subject) (fs.Place, Errno)
	files []procFile
	dir   func(s *subject) kernfs.Directory
}

const (
	procRead    = fs.Regular | 0o444
	procWrite   = fs.Regular | 0o644
	procPrivate = fs.Regular | 0o400
	procLink    = fs.Symlink | 0o777
	procDir     = fs.Directory | 0o555
)

// entry is f as it is for s.
func (s *subject) entry(f *procFile) kernfs.Entry {
	e := kernfs.Entry{Name: f.name, Mode: f.mode}
	s.own(&e)
	if f.text != "" {
		e.Read = func(b []byte) []byte { return append(b, f.text...) }
	}
	if f.read != nil {
		e.Read = func(b []byte) []byte {
			x := text{b}
			f.read(s, &x)
			return x.b
		}
	}
	if f.write != nil {
		e.Write = func(p []byte) Errno { return f.write(s, trimSpace(string(p))) }
	}
	if f.link != nil {
		e.Link = func(*fs.Caller) (string, Errno) { return f.link(s) }
	}
	if f.jump != nil {
		e.Jump = func() (fs.Place, Errno) { return f.jump(s) }
	}
	switch {
	case f.dir != nil:
		e.Dir = f.dir(s)
	case f.mode == procDir:
		e.Dir = &procTable{s, f.files}
	}
	return e
}

// own makes a process's files its user's.
func (s *subject) own(e *kernfs.Entry) {
	if s.p != nil {
		c := &s.p.cred
		c.mu.Lock()
		e.UID, e.GID = c.uid.effective, c.gid.effective
		c.mu.Unlock()
	}
}

// procTable is a directory of the names in a table.
type procTable struct {
	*subject
	files []procFile
}

// Lookup implements kernfs.Directory.
func (d *procTable) Lookup(name string) (kernfs.Entry, Errno) {
	for i := range d.files {
		if d.files[i].name == name {
			return d.entry(&d.files[i]), 0
		}
	}
	return kernfs.Entry{}, ENOENT
}

// List implements kernfs.Directory.
func (d *procTable) List(from int64, emit func(e kernfs.Entry, next int64) bool) {
	for i := int(from); i < len(d.files); i++ {
		if !emit(d.entry(&d.files[i]), int64(i+1)) {
			return
		}
	}
}

// numbered is a directory with a name for each of some numbers: descriptors,
// thread and CPU numbers.
type numbered struct {
	prefix string
	has    func(n int) bool
	next   func(from int) (n int, ok bool) // the lowest that is not below from
	entry  func(n int) kernfs.Entry
}

// Lookup implements kernfs.Directory.
func (d *numbered) Lookup(name string) (kernfs.Entry, Errno) {
	if len(name) > len(d.prefix) && name[:len(d.prefix)] == d.prefix {
		if n, ok := number(name[len(d.prefix):]); ok && d.has(n) {
			return d.named(n), 0
		}
	}
	return kernfs.Entry{}, ENOENT
}

// List implements kernfs.Directory.
func (d *numbered) List(from int64, emit func(e kernfs.Entry, next int64) bool) {
	for {
		n, ok := d.next(int(from))
		if !ok || !emit(d.named(n), int64(n)+1) {
			return
		}
		from = int64(n) + 1
	}
}

func (d *numbered) named(n int) kernfs.Entry {
	e := d.entry(n)
	e.Name = d.prefix + strconv.Itoa(n)
	return e
}

// number returns the number that s is the usual way to write.
func number(s string) (int, bool) {
	n, ok := parseInt(s)
	return int(n), ok && n >= 0 && (s[0] != '0' || len(s) == 1)
}

// procRoot is the directory /proc: the names of procFiles, self, and the processes.
type procRoot struct {
	procTable
	procs numbered
}

// processes is the root of /proc.
func (k *Kernel) processes() fs.Inode {
	r := &procRoot{procTable: procTable{&subject{k: k}, procFiles[:]}}
	r.procs = numbered{
		has:  func(id int) bool { return k.process(id) != nil || k.thread(id) != nil }, // threads are there, but not listed
		next: k.nextProcess,
		entry: func(id int) kernfs.Entry {
			s := &subject{k: k, p: k.process(id)}
			if s.p != nil {
				s.t = s.p.leader()
			} else if s.t = k.thread(id); s.t != nil {
				s.p = s.t.proc
			}
			return s.directory(true)
		},
	}
	return kernfs.New(procDevice, fs.MagicProc, FileTime, r)
}

// directory is the one of a process or thread, empty if that has ended meanwhile.
func (s *subject) directory(process bool) kernfs.Entry {
	e := kernfs.Entry{Mode: procDir, Dir: &procTable{}}
	if s.t == nil {
		return e
	}
	s.own(&e)
	files := procTable{s, processFiles[:]}
	if e.Dir = &files; process {
		e.Dir = &processDir{files}
	}
	return e
}

// selfLinks are /proc/self and /proc/thread-self.
var selfLinks = [...]kernfs.Entry{
	{Name: "self", Mode: procLink, Link: func(c *fs.Caller) (string, Errno) { return strconv.Itoa(c.PID), 0 }},
	{Name: "thread-self", Mode: procLink, Link: func(c *fs.Caller) (string, Errno) {
		return strconv.Itoa(c.PID) + "/task/" + strconv.Itoa(c.TID), 0
	}},
}

// Lookup implements kernfs.Directory.
func (r *procRoot) Lookup(name string) (kernfs.Entry, Errno) {
	for i := range selfLinks {
		if name == selfLinks[i].Name {
			return selfLinks[i], 0
		}
	}
	if e, err := r.procs.Lookup(name); err == 0 {
		return e, 0
	}
	return r.procTable.Lookup(name)
}

// List implements kernfs.Directory: processes are at positions beyond the others.
func (r *procRoot) List(from int64, emit func(e kernfs.Entry, next int64) bool) {
	const procs = 1 << 32
	more := true
	if from < procs {
		const links = int64(len(selfLinks))
		for i := from; i < links && more; i++ {
			more = emit(selfLinks[i], i+1)
		}
		if more {
			r.procTable.List(max(from-links, 0), func(e kernfs.Entry, next int64) bool {
				more = emit(e, next+links)
				return more
			})
		}
		from = procs
	}
	if more {
		r.procs.List(from-procs, func(e kernfs.Entry, next int64) bool { return emit(e, next+procs) })
	}
}

// nextProcess returns the lowest pid from from on.
func (k *Kernel) nextProcess(from int) (pid int, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range k.procs {
		if p.pid >= from && (!ok || p.pid < pid) {
			pid, ok = p.pid, true
		}
	}
	return pid, ok
}

// leader returns p's first thread, or another if that has ended.
func (p *Process) leader() *Thread {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.threads) == 0 {
		return nil
	}
	return p.threads[0]
}
