package linux

// Requests of ioctl(2) that many kinds of files know (ioctl_list(2)).
const (
	fioNClex = 0x5450
	fioClex  = 0x5451
	fioNBIO  = 0x5421
	fioAsync = 0x5452
	fioNRead = 0x541b // TIOCINQ too
	fioOutQ  = 0x5411 // TIOCOUTQ
	fioQSize = 0x5460
)

func sysIoctl(t *Thread, a *Args) (uintptr, Errno) {
	fd, req, arg := a.Arg1(), uintptr(uint32(a.Arg2())), a.Arg3()
	f, err := t.ioFile(fd)
	if err != 0 {
		return 0, err
	}
	defer f.Release()
	switch req {
	case fioClex, fioNClex:
		s := &t.proc.files
		s.mu.Lock()
		if n := uint64(uint32(fd)); n < uint64(len(s.fds)) {
			s.fds[n].cloexec = req == fioClex
		}
		s.mu.Unlock()
		return 0, 0
	case fioNBIO, fioAsync:
		var on int32
		if err := copyIn(t, &on, arg); err != 0 {
			return 0, err
		}
		bit := uint32(oNonblock)
		if req == fioAsync {
			bit = oAsync
		}
		for {
			old := f.flags.Load()
			if bit == oAsync && (old&oAsync != 0) != (on != 0) && !f.canAsync() {
				return 0, ENOTTY
			}
			flags := old &^ bit
			if on != 0 {
				flags |= bit
			}
			if f.flags.CompareAndSwap(old, flags) {
				if (old^flags)&oAsync != 0 {
					t.setAsync(f, int32(fd), on != 0)
				}
				return 0, 0
			}
		}
	}
	return f.io.ioctl(t, f, req, arg)
}
