package linux

import (
	"unsafe"

	"gosv/kernel/wait"
)

// signalFD is signalfd(2): signals as something to read.
type signalFD struct {
	noObject
	proc *Process // that made it: whose signals poll sees
	mask sigSet   // under proc.sig.mu
}

func sysSignalfd(t *Thread, a *Args) (uintptr, Errno) {
	return t.signalfd(int32(a.Arg1()), a.Arg2(), a.Arg3(), 0)
}

func sysSignalfd4(t *Thread, a *Args) (uintptr, Errno) {
	return t.signalfd(int32(a.Arg1()), a.Arg2(), a.Arg3(), a.Int4())
}

func (t *Thread) signalfd(fd int32, addr, size, flags uintptr) (uintptr, Errno) {
	mask, err := t.copyInSigSet(addr, size)
	if err != 0 {
		return 0, err
	}
	mask &^= unblockable
	if flags&^(oNonblock|oCloexec) != 0 {
		return 0, EINVAL
	}
	if fd == -1 {
		s := &signalFD{proc: t.proc, mask: mask}
		return t.install(newFile(s, oRdwr|uint32(flags)&oNonblock), 0, flags&oCloexec != 0)
	}
	f, err := t.ioFile(uintptr(fd))
	if err != 0 {
		return 0, err
	}
	defer f.Release()
	s, ok := f.io.(*signalFD)
	if !ok {
		return 0, EINVAL
	}
	sig := &s.proc.sig
	sig.mu.Lock()
	s.mask = mask
	sig.mu.Unlock()
	sig.queue.Wake() // there may be one now
	return uintptr(fd), 0
}

// signalRecord is struct signalfd_siginfo.
type signalRecord struct {
	signo, errno, code      int32
	pid, uid, fd, tid, band uint32
	overrun, trapno         uint32
	status, value           int32
	pointer                 uint64
	userTime, systemTime    uint64
	addr                    uint64
	_                       [6]uint64
}

// record is what a signalfd tells of a signal (signalfd_copyinfo, fs/signalfd.c).
func (i *sigInfo) record() signalRecord {
	r := signalRecord{signo: i.signo, errno: i.errno, code: i.code}
	low, high := uint32(i.field[0]), uint32(i.field[0]>>32)
	switch {
	case i.code == siTimer:
		r.tid, r.overrun = low, high
	case i.code > siUser && i.code < siKernel && synchronous.has(int(i.signo)):
		r.addr = i.field[0]
		return r
	case i.code > siUser && i.code < siKernel || i.code == siSigIO: // of a file
		r.band, r.fd = low, uint32(i.field[1])
		return r
	default:
		r.pid, r.uid = low, high
	}
	if i.code < 0 {
		r.value, r.pointer = int32(i.field[1]), i.field[1]
	}
	return r
}

func (s *signalFD) read(t *Thread, f *File, u *userIO) (n int, err Errno) {
	const size = int(unsafe.Sizeof(signalRecord{}))
	if u.left < size {
		return 0, EINVAL
	}
	sig := &t.proc.sig
	var info sigInfo
	next := func() (ok bool) {
		sig.mu.Lock()
		defer sig.mu.Unlock()
		if ok = t.nextSignal(s.mask, &info); ok {
			t.review()
		}
		return ok
	}
	for err = t.block(f, &sig.queue, next); err == 0; {
		r := info.record()
		if u.Put((*[size]byte)(unsafe.Pointer(&r))[:]) < size {
			break
		}
		n += size
		if u.left < size || !next() {
			break
		}
	}
	return n, err
}

func (s *signalFD) poll(*File) (ready uint32, q *wait.Queue) {
	p := s.proc
	p.sig.mu.Lock()
	defer p.sig.mu.Unlock()
	set := p.sig.pending.set
	p.eachThread(func(t *Thread) bool {
		set |= t.sig.pending.set
		return true
	})
	if set&s.mask != 0 {
		ready = pollIn | pollRdNorm
	}
	return ready, &p.sig.queue
}

// info implements fileInfo.
func (s *signalFD) info(x *text) {
	s.proc.sig.mu.Lock()
	mask := s.mask
	s.proc.sig.mu.Unlock()
	x.str("sigmask:\t")
	x.hex(uint64(mask), 16)
	x.str("\n")
}

func (s *signalFD) seekable() {} // to 0, and nowhere else

func (s *signalFD) name() string { return "anon_inode:[signalfd]" }
