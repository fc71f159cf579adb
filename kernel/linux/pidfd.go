package linux

import "gosv/kernel/wait"

// pidFD is a process as a descriptor (pidfd_open(2)).
type pidFD struct {
	noObject
	proc *Process
}

func sysPidfdOpen(t *Thread, a *Args) (uintptr, Errno) {
	pid, flags := int(int32(a.Arg1())), uint32(a.Arg2())
	if flags&^oNonblock != 0 || pid <= 0 {
		return 0, EINVAL
	}
	p := t.proc.kernel.process(pid)
	switch {
	case p != nil:
		return t.install(newFile(&pidFD{proc: p}, oRdwr|flags), 0, true)
	case t.proc.kernel.thread(pid) != nil:
		return 0, EINVAL
	}
	return 0, ESRCH
}

// pidfd returns the process that fd stands for.
func (t *Thread) pidfd(fd uintptr) (*Process, Errno) {
	f, err := t.ioFile(fd)
	if err != 0 {
		return nil, err
	}
	defer f.Release()
	if d, ok := f.io.(*pidFD); ok {
		return d.proc, 0
	}
	return nil, EBADF
}

func sysPidfdSendSignal(t *Thread, a *Args) (uintptr, Errno) {
	if uint32(a.Arg4()) != 0 {
		return 0, EINVAL
	}
	p, err := t.pidfd(a.Arg1())
	if err != 0 {
		return 0, err
	}
	sig := int32(a.Arg2())
	info := t.killInfo(int(sig), siUser)
	if addr := a.Arg3(); addr != 0 {
		switch err := copyIn(t, &info, addr); {
		case err != 0:
			return 0, err
		case info.signo != sig:
			return 0, EINVAL
		case (info.code >= 0 || info.code == siTKill) && p != t.proc:
			return 0, EPERM
		}
	}
	switch {
	case !validSignal(uintptr(sig)):
		return 0, EINVAL
	case sig == 0:
		return 0, 0
	}
	return 0, p.signal(nil, &info)
}

func sysPidfdGetfd(t *Thread, a *Args) (uintptr, Errno) {
	if uint32(a.Arg3()) != 0 {
		return 0, EINVAL
	}
	p, err := t.pidfd(a.Arg1())
	if err != 0 {
		return 0, err
	}
	s, fd := &p.files, uint64(uint32(a.Arg2()))
	s.mu.Lock()
	var f *File
	if fd < uint64(len(s.fds)) && s.fds[fd].file != nil {
		f = s.fds[fd].file
		f.Retain()
	}
	s.mu.Unlock()
	if f == nil {
		return 0, EBADF
	}
	return t.install(f, 0, true)
}

// poll: it becomes readable when the process ends, which the only one never sees.
func (*pidFD) poll(*File) (uint32, *wait.Queue) { return 0, nil }

func (*pidFD) name() string { return "anon_inode:[pidfd]" }

// info implements fileInfo.
func (d *pidFD) info(x *text) {
	for _, name := range [...]string{"Pid:\t", "NSpid:\t"} {
		x.str(name)
		x.num(uint64(d.proc.pid))
		x.str("\n")
	}
}
