package linux

import (
	"gosv/kernel/fs"
	"gosv/kernel/wait"
)

// Signals when a file gets ready (fcntl(2), "Managing signals"): a file with O_ASYNC stands
// in its own queue, and so does a socket with an owner, who is told of urgent data.

const (
	siSigIO = -5 // code, with a signal that has codes of its own

	// Codes of SIGIO and of F_SETSIG's signal (sigaction(2)).
	codePollIn  = 1
	codePollOut = 2
	codePollPri = 5
)

// asyncFile is what such a file has in its queue.
type asyncFile struct {
	file   *File
	kernel *Kernel
	fd     int32 // by which it was asked for
	queue  *wait.Queue
	waiter wait.Waiter
}

// setAsync makes f send signals, or not any more, as its flags say.
func (t *Thread) setAsync(f *File, fd int32, on bool) {
	if old := f.async.Swap(nil); old != nil {
		old.queue.Remove(&old.waiter)
	}
	_, q := f.io.poll(f)
	if _, ok := f.io.(*socketFile); !on && (!ok || f.owner.Load() == nil) || q == nil {
		return
	}
	if on && f.isTerminal() {
		f.owner.CompareAndSwap(nil, &fileOwner{ownerProcess, int32(t.proc.pid)})
	}
	a := &asyncFile{file: f, kernel: t.proc.kernel, fd: fd, queue: q}
	a.waiter.Notify = a.ready
	if f.async.CompareAndSwap(nil, a) {
		q.Add(&a.waiter)
	}
}

// ready sends the signal. It is called with the file's queue locked.
func (a *asyncFile) ready(_ *wait.Waiter, events uint32) bool {
	f := a.file
	o := f.owner.Load()
	if o == nil || o.id == 0 {
		return false
	}
	if events == pollPri {
		a.send(o, &sigInfo{signo: SIGURG, code: siKernel})
	}
	if f.flags.Load()&oAsync == 0 {
		return false
	}
	info := sigInfo{signo: SIGIO, code: siKernel}
	if sig := f.signal.Load(); sig != 0 {
		code, band := int32(codePollIn), uint64(pollIn|pollRdNorm)
		if events == pollPri {
			code, band = codePollPri, pollPri|pollRdBand
		} else if !f.canRead() || events&pollIn == 0 {
			code, band = codePollOut, pollOut|pollWrNorm|pollWrBand
		}
		if synchronous.has(int(sig)) || sig == SIGCHLD {
			code = siSigIO
		}
		info = sigInfo{signo: int32(sig), code: code}
		info.field[0], info.field[1] = band, uint64(uint32(a.fd))
	}
	if a.send(o, &info) != 0 { // too many are queued
		a.send(o, &sigInfo{signo: SIGIO, code: siKernel})
	}
	return true
}

// send sends a file's owner a signal.
func (a *asyncFile) send(o *fileOwner, info *sigInfo) Errno {
	if o.kind == ownerThread {
		if t := a.kernel.thread(int(o.id)); t != nil {
			return t.proc.signal(t, info)
		}
	} else if p := a.kernel.process(int(o.id)); p != nil {
		return p.signal(nil, info)
	}
	return 0
}

// canAsync says whether f is of a kind that sends signals when it gets ready.
func (f *File) canAsync() bool {
	if _, ok := f.io.(*inotify); ok || f.isTerminal() {
		return true
	}
	switch f.io.attr().Mode & fs.TypeMask {
	case fs.FIFO, fs.Socket:
		return true
	}
	return false
}

func (f *File) isTerminal() bool {
	_, ok := f.io.(*terminalFile)
	return ok
}
