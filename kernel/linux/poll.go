package linux

import (
	"math/bits"

	"gosv/kernel/metal"
	"gosv/kernel/wait"
)

// Events of poll(2) and epoll(7): the same bits.
const (
	pollIn     = wait.In
	pollPri    = wait.Pri
	pollOut    = wait.Out
	pollErr    = wait.Err
	pollHup    = wait.Hup
	pollNval   = wait.Nval
	pollRdNorm = wait.RdNorm
	pollRdBand = wait.RdBand
	pollWrNorm = wait.WrNorm
	pollWrBand = wait.WrBand
	pollRdHup  = wait.RdHup

	pollAlways = pollErr | pollHup | pollNval // reported asked for or not
)

// pollFD is struct pollfd.
type pollFD struct {
	fd              int32
	events, revents uint16
}

// pollWait calls look, which returns how many are ready, until that is not 0.
func (t *Thread) pollWait(files []*File, deadline uint64, look func() int) (int, Errno) {
	t.flush()
	n := look()
	if n > 0 || deadline == 0 {
		return n, 0
	}
	waiters := make([]wait.Waiter, len(files))
	queues := make([]*wait.Queue, len(files))
	for i, f := range files {
		if f == nil {
			continue
		}
		if _, q := f.io.poll(f); q != nil {
			waiters[i].Sleeper = t
			queues[i] = q
			q.Add(&waiters[i])
		}
	}
	var err Errno
	for n = look(); n == 0; n = look() {
		if err = t.pause(deadline); err != 0 {
			n = look()
			break
		}
	}
	for i, q := range queues {
		if q != nil {
			q.Remove(&waiters[i])
		}
	}
	if n > 0 || err == ETIMEDOUT {
		err = 0
	}
	return n, err
}

// pollFiles returns the files of descriptors with references; nil where there
// is none.
func (t *Thread) pollFiles(n int, fd func(i int) int32) []*File {
	files := make([]*File, n)
	for i := range files {
		if d := fd(i); d >= 0 {
			files[i], _ = t.ioFile(uintptr(d))
		}
	}
	return files
}

func releaseAll(files []*File) {
	for _, f := range files {
		if f != nil {
			f.Release()
		}
	}
}

func (t *Thread) doPoll(addr, n uintptr, deadline uint64) (uintptr, Errno) {
	if uint64(n) > t.proc.limit(rlimitNofile) {
		return 0, EINVAL
	}
	if !userRange(addr, 0) { // even if there are none
		return 0, EFAULT
	}
	fds := make([]pollFD, n)
	if err := copyInSlice(t, fds, addr); err != 0 {
		return 0, err
	}
	files := t.pollFiles(len(fds), func(i int) int32 { return fds[i].fd })
	defer releaseAll(files)
	ready, err := t.pollWait(files, deadline, func() (ready int) {
		for i := range fds {
			p := &fds[i]
			p.revents = 0
			switch {
			case p.fd < 0:
				continue
			case files[i] == nil:
				p.revents = pollNval
			default:
				mask, _ := files[i].io.poll(files[i])
				p.revents = uint16(mask) & (p.events | pollAlways)
			}
			if p.revents != 0 {
				ready++
			}
		}
		return ready
	})
	if err != 0 {
		return 0, err
	}
	return uintptr(ready), copyOutSlice(t, addr, fds)
}

// deadlineMS is the deadline of a timeout in milliseconds: negative means
// never, 0 not to wait.
func deadlineMS(ms int32) uint64 {
	switch {
	case ms < 0:
		return never
	case ms == 0:
		return 0
	}
	return metal.Now() + uint64(ms)*1e6
}

// deadlineTS reads a timeout of that long from now; 0 is never.
func (t *Thread) deadlineTS(addr uintptr) (uint64, Errno) {
	if addr == 0 {
		return never, 0
	}
	var ts timespec
	if err := copyIn(t, &ts, addr); err != 0 {
		return 0, err
	}
	if ts.sec < 0 || ts.nsec < 0 || ts.nsec >= 1e9 {
		return 0, EINVAL
	}
	if ts.sec == 0 && ts.nsec == 0 {
		return 0, 0
	}
	const forever = 1 << 33 // seconds: more than the clock has
	if ts.sec >= forever {
		return never, 0
	}
	return metal.Now() + uint64(ts.sec)*1e9 + uint64(ts.nsec), 0
}

// tellRest writes what is left of a timeout back, as ppoll and pselect do.
func (t *Thread) tellRest(addr uintptr, deadline uint64) {
	if addr == 0 || deadline == never {
		return
	}
	rest := deadline - min(deadline, metal.Now())
	copyOut(t, addr, &timespec{int64(rest / 1e9), int64(rest % 1e9)})
}

func sysPoll(t *Thread, a *Args) (uintptr, Errno) {
	return t.pollUntil(a.Arg1(), a.Int2(), deadlineMS(int32(a.Arg3())))
}

func (t *Thread) pollUntil(addr, n uintptr, deadline uint64) (uintptr, Errno) {
	ready, err := t.doPoll(addr, n, deadline)
	if err == eRestartSys {
		err = t.restartAs(func() (uintptr, Errno) { return t.pollUntil(addr, n, deadline) })
	}
	return ready, err
}

// withMask sets a temporary signal mask from user memory, if there is one.
func (t *Thread) withMask(addr, size uintptr) Errno {
	if addr == 0 {
		return 0
	}
	if size != 8 {
		return EINVAL
	}
	var mask sigSet
	if err := copyIn(t, &mask, addr); err != 0 {
		return err
	}
	t.setTempMask(mask)
	return 0
}

func sysPpoll(t *Thread, a *Args) (uintptr, Errno) {
	deadline, err := t.deadlineTS(a.Arg3())
	if err != 0 {
		return 0, err
	}
	if err := t.withMask(a.Arg4(), a.Arg5()); err != 0 {
		return 0, err
	}
	n, err := t.doPoll(a.Arg1(), a.Int2(), deadline)
	t.tellRest(a.Arg3(), deadline)
	if err == eRestartSys {
		err = eRestartNoHand
	}
	return n, err
}

// doSelect is select(2): three bit sets in user memory, each may be absent.
func (t *Thread) doSelect(nfds uintptr, sets [3]uintptr, deadline uint64) (uintptr, Errno) {
	n := int(int32(nfds))
	if n < 0 {
		return 0, EINVAL
	}
	s := &t.proc.files
	s.mu.Lock()
	n = min(n, s.slots()) // as on Linux: those beyond are nobody's
	s.mu.Unlock()
	words := (n + 63) / 64
	var in, out [3][]uint64
	for i, addr := range sets {
		in[i], out[i] = make([]uint64, words), make([]uint64, words)
		if addr != 0 {
			if err := copyInSlice(t, in[i], addr); err != 0 {
				return 0, err
			}
		}
	}
	var fds []int32
	for w := range words {
		for all := in[0][w] | in[1][w] | in[2][w]; all != 0; all &= all - 1 {
			if fd := w*64 + bits.TrailingZeros64(all); fd < n {
				fds = append(fds, int32(fd))
			}
		}
	}
	files := t.pollFiles(len(fds), func(i int) int32 { return fds[i] })
	defer releaseAll(files)
	for _, f := range files {
		if f == nil {
			return 0, EBADF
		}
	}
	means := [3]uint32{pollRdNorm | pollRdBand | pollIn | pollHup | pollErr, pollWrBand | pollWrNorm | pollOut | pollErr, pollPri}
	ready, err := t.pollWait(files, deadline, func() (ready int) {
		for i := range out {
			clear(out[i])
		}
		for i, fd := range fds {
			mask, _ := files[i].io.poll(files[i])
			w, bit := fd/64, uint64(1)<<(fd%64)
			for k := range sets {
				if in[k][w]&bit != 0 && mask&means[k] != 0 {
					out[k][w] |= bit
					ready++
				}
			}
		}
		return ready
	})
	if err != 0 {
		return 0, err
	}
	for i, addr := range sets {
		if addr != 0 {
			if err := copyOutSlice(t, addr, out[i]); err != 0 {
				return 0, err
			}
		}
	}
	return uintptr(ready), 0
}

func sysSelect(t *Thread, a *Args) (uintptr, Errno) {
	deadline := uint64(never)
	if p := a.Arg5(); p != 0 {
		var tv timeval
		if err := copyIn(t, &tv, p); err != 0 {
			return 0, err
		}
		if tv.sec < 0 || tv.usec < 0 {
			return 0, EINVAL
		}
		deadline = 0
		if ns := uint64(min(tv.sec, 1<<33))*1e9 + uint64(tv.usec)*1e3; ns != 0 {
			deadline = metal.Now() + ns
		}
	}
	n, err := t.doSelect(a.Arg1(), [3]uintptr{a.Arg2(), a.Arg3(), a.Arg4()}, deadline)
	if p := a.Arg5(); p != 0 {
		rest := deadline - min(deadline, metal.Now())
		copyOut(t, p, &timeval{int64(rest / 1e9), int64(rest % 1e9 / 1e3)})
	}
	if err == eRestartSys {
		err = eRestartNoHand
	}
	return n, err
}

func sysPselect6(t *Thread, a *Args) (uintptr, Errno) {
	deadline, err := t.deadlineTS(a.Arg5())
	if err != 0 {
		return 0, err
	}
	if p := a.Arg6(); p != 0 {
		var mask struct{ addr, size uintptr }
		if err := copyIn(t, &mask, p); err != 0 {
			return 0, err
		}
		if err := t.withMask(mask.addr, mask.size); err != 0 {
			return 0, err
		}
	}
	n, err := t.doSelect(a.Arg1(), [3]uintptr{a.Arg2(), a.Arg3(), a.Arg4()}, deadline)
	t.tellRest(a.Arg5(), deadline)
	if err == eRestartSys {
		err = eRestartNoHand
	}
	return n, err
}
