package linux

import (
	"errors"
	"unsafe"

	"gosv/internal/elf"
	"gosv/kernel/fs"
	"gosv/kernel/metal"
	"gosv/kernel/mm"
)

// Where things go in the address space, as on Linux with randomization off.
const (
	stackTop   = userTop
	stackExtra = 128 << 10      // mapped below the strings from the start
	pieBase    = 0x555555554000 // ELF_ET_DYN_BASE, for static-PIE programs
	headPages  = 16             // of the file, at least, that the program headers are in
)

// Program says what the first process is to run.
type Program struct {
	Path       string // absolute
	Argv, Envp []string
	Dir        string // to start in, absolute; "" for the root directory
	UID, GID   uint32
	Groups     []uint32
}

// StartError says why a program could not be started.
type StartError struct {
	NotFound bool // there is no such file; else it cannot be executed
	What     string
}

func (e *StartError) Error() string { return e.What }

// Start makes the first process.
func (k *Kernel) Start(prog *Program) (*Process, error) {
	exe, size, err := k.executable(prog.Path)
	if err != nil {
		return nil, err
	}
	return k.start(exe, size, prog)
}

func (k *Kernel) start(exe mm.Backing, size int64, prog *Program) (*Process, error) {
	p := &Process{kernel: k, pid: k.newID(), exe: prog.Path}
	p.session.Group = p
	p.limits.init()
	p.cred.login(prog.UID, prog.GID, prog.Groups)
	if err := p.initFiles(prog.Dir); err != nil {
		return nil, err
	}
	if p.space = mm.New(k, p.outOfMemory); p.space == nil {
		return nil, errNoMemory
	}
	p.space.SetLimits(p.limits.memory())
	p.space.Activate()
	t := p.newThread(p.pid)
	if err := t.load(exe, size, prog); err != nil {
		return nil, err
	}
	t.reported()
	t.reportName()
	p.offerCore()
	p.link(t)
	k.procs = append(k.procs, p)
	k.init = p
	return p, nil
}

// executable returns the file at path, which must be one that may be executed,
// and its size.
func (k *Kernel) executable(path string) (*inodePages, int64, error) {
	root := k.Root.Root()
	at := fs.At{Caller: &fs.Caller{Caps: allCapabilities}, Root: root, Base: root}
	place, e := at.Lookup(path)
	if e != 0 {
		return nil, 0, &StartError{e == ENOENT, path + " in the image: " + e.Error()}
	}
	mode := place.Inode.Mode()
	if !fs.IsRegular(mode) {
		return nil, 0, &StartError{What: path + " in the image is not a file"}
	}
	if at.Caller.Access(place.Inode, fs.MayExec) != 0 {
		return nil, 0, &StartError{What: path + " in the image has no permission to be executed (chmod +x)"}
	}
	inode, e := place.Inode.Open()
	if e != 0 {
		return nil, 0, &StartError{What: path + " in the image: " + e.Error()}
	}
	return &inodePages{inode: inode, path: path}, place.Inode.Attr().Size, nil
}

// Run runs p's first thread on the calling goroutine and does not return.
func (p *Process) Run() {
	metal.Runnable(1)
	p.threads[0].run()
	select {} // the other threads go on
}

var errNoMemory = errors.New("there is too little memory; give the machine more (-m)")

// load makes t, of a process without mappings, run the program in exe.
func (t *Thread) load(exe mm.Backing, size int64, p *Program) error {
	s := t.space
	head, e := exe.Pages(0, headPages, false)
	for e == EAGAIN {
		if e = exe.Fetch(0); e == 0 {
			head, e = exe.Pages(0, headPages, false)
		}
	}
	if e != 0 {
		return &StartError{What: p.Path + ": " + e.Error()}
	}
	prog, err := elf.Check(head[:min(int64(len(head)), size)], size)
	if err != nil {
		return &StartError{What: p.Path + ": " + err.Error()}
	}
	bias := uintptr(0)
	if prog.PIE {
		bias = pieBase - uintptr(prog.Low)
	}
	for i := range prog.NLoads {
		if e := loadSegment(s, exe, &prog.Loads[i], bias); e != 0 {
			return loadError(e)
		}
	}
	s.StartBreak(uintptr(prog.High) + bias)

	vdso, e := mapVDSO(s)
	if e != 0 {
		return loadError(e)
	}
	_, hwcap, _ := metal.CPUFeatures()
	si := startInfo{
		path:        p.Path,
		argv:        p.Argv,
		envp:        p.Envp,
		phdr:        uintptr(prog.Phdr) + bias,
		phnum:       uintptr(prog.Phnum),
		entry:       uintptr(prog.Entry) + bias,
		vdso:        vdso,
		hwcap:       hwcap,
		uid:         p.UID,
		gid:         p.GID,
		minSigStack: sigFrameMax(metal.FPSize()),
	}
	putUint64(si.random[:], entropy())
	putUint64(si.random[8:], entropy())
	st, e := si.build(stackTop, min(uintptr(t.proc.limit(rlimitStack))/4, maxArgTotal))
	if e != 0 {
		return &StartError{What: "the arguments and the environment are too large: at most 6 MiB, and 128 KiB each"}
	}
	stack := mm.VMA{Lo: st.sp&^pageMask - stackExtra, Hi: stackTop, Prot: mm.Read | mm.Write, Flags: mm.GrowsDown | mm.Stack}
	if e := s.Place(&stack); e != 0 {
		return loadError(e)
	}
	if e := t.CopyOut(st.sp, st.bytes); e != 0 {
		return errNoMemory
	}
	t.proc.begin = st.startAddrs

	r := t.regs
	r.SP, r.IP, r.Full = st.sp, si.entry, 1
	copy(t.name[:15], baseName(p.Path))
	t.sig.stack.flags = ssDisable
	return nil
}

func loadError(e Errno) error {
	if e == ENOMEM {
		return errNoMemory
	}
	return &StartError{What: "the program's segments cannot be mapped: " + e.Error()}
}

// loadSegment maps a segment: its file's pages where they are, and zeros behind them.
func loadSegment(s *mm.Space, file mm.Backing, seg *elf.Segment, bias uintptr) Errno {
	va := uintptr(seg.Vaddr) + bias
	skew := va & pageMask
	fileEnd, end := va+uintptr(seg.FileSize), va+uintptr(seg.MemSize)
	lo, mid, hi := va-skew, mm.PageUp(fileEnd), mm.PageUp(end)
	prot := uint8(0)
	if seg.Flags&elf.Read != 0 {
		prot |= mm.Read
	}
	if seg.Flags&elf.Write != 0 {
		prot |= mm.Write
	}
	if seg.Flags&elf.Execute != 0 {
		prot |= mm.Exec
	}
	if seg.FileSize == 0 {
		mid = lo
	} else if err := s.Place(&mm.VMA{Lo: lo, Hi: mid, Prot: prot, File: file, Off: int64(seg.Offset) - int64(skew)}); err != 0 {
		return err
	}
	if mid < hi {
		if err := s.Place(&mm.VMA{Lo: mid, Hi: hi, Prot: prot}); err != 0 {
			return err
		}
	}
	// The rest of the last page of the file belongs to something else. A segment
	// that cannot be written keeps it, as on Linux.
	if n := mid - fileEnd; seg.MemSize > seg.FileSize && seg.FileSize > 0 && seg.Flags&elf.Write != 0 && n > 0 &&
		s.WriteSome(fileEnd, unsafe.Pointer(&zeros), n) != n {
		return ENOMEM
	}
	return 0
}

// outOfMemory ends p because there is no memory for a page that it may touch.
func (p *Process) outOfMemory() {
	_, total := metal.FreeMemory()
	p.kernel.log("out of memory: " + p.exe + " has " + mib(uint64(p.space.Stats().Resident)*pageSize) + " of the machine's " + mib(total) +
		" and wants more; give the machine more (-m)")
	p.exit(128+SIGKILL, SIGKILL)
}
