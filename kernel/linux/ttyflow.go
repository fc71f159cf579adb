package linux

// Flow control of a terminal's output: the keys that stop and start it (termios(3), IXON),
// tcflow(3), and what packet mode tells of that; and its speed, which is only kept.

const (
	iXAny = 0o4000

	vStart, vStop = 8, 9

	// Status bytes of packet mode, besides those of flushing (ioctl_tty(2)).
	ptyStop   = 4
	ptyStart  = 8
	ptyNoStop = 16
	ptyDoStop = 32
)

// flow is the state of a terminal's output, under its mu.
type flow struct {
	stopped bool
	byCall  bool // TCOOFF did it: no key starts it again
}

// stop and start change whether y's output is stopped; y.mu is held.
func (y *terminal) stop() {
	if !y.stopped {
		y.stopped = true
		y.tellMaster(ptyStop, ptyStart)
	}
}

func (y *terminal) start() {
	if y.stopped && !y.byCall {
		y.stopped = false
		y.tellMaster(ptyStart, ptyStop)
	}
}

// tellMaster changes the status that a master in packet mode reads next.
func (y *terminal) tellMaster(set, clear byte) {
	if y.pty != nil && y.pty.packets {
		y.pty.status = y.pty.status&^clear | set
	}
}

// flowed shows what was held back if y has been started, and tells those who wait.
func (y *terminal) flowed() {
	y.mu.Lock()
	held := y.echoed()
	y.mu.Unlock()
	y.emit(held)
	y.queue.Wake()
	if y.pty != nil {
		y.pty.out.Wake()
	}
}

// flowKey handles a key that stops or starts the output, if c is one.
func (y *terminal) flowKey(c byte) bool {
	s := &y.set
	switch {
	case s.iflag&iXON == 0 || c == 0:
	case c == s.cc[vStart]:
		y.start()
		return true
	case c == s.cc[vStop]:
		y.stop()
		return true
	case s.iflag&iXAny != 0:
		y.start()
	}
	return false
}

// tcflow is TCXONC.
func (y *terminal) tcflow(how uintptr) Errno {
	const outOff, outOn, inOff, inOn = 0, 1, 2, 3
	y.mu.Lock()
	var send byte
	switch how {
	case outOff:
		y.byCall = true
		y.stop()
	case outOn:
		if y.byCall {
			y.byCall = false
			y.start()
		}
	case inOff:
		send = y.set.cc[vStop]
	case inOn:
		send = y.set.cc[vStart]
	default:
		y.mu.Unlock()
		return EINVAL
	}
	y.mu.Unlock()
	if send != 0 {
		y.emit([]byte{send})
	}
	y.flowed()
	return 0
}

// termios2 is struct termios2, with speeds in baud.
type termios2 struct {
	termios
	ispeed, ospeed uint32
}

// bauds are the speeds that a number in cflag stands for: B0 to B38400, B57600 to B4000000.
var bauds = [...]uint32{0, 50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19200, 38400,
	57600, 115200, 230400, 460800, 500000, 576000, 921600, 1000000, 1152000, 1500000, 2000000, 2500000, 3000000, 3500000, 4000000}

// setSpeeds finds out the speeds that cflag asks for (tty_termios_baud_rate).
func (s *termios2) setSpeeds() {
	const mask, extended, other, inShift = 0o10017, 0o10000, 0o10000, 16
	baud := func(bits, given uint32) uint32 {
		switch bits &= mask; {
		case bits == other:
			return given
		case bits&extended != 0:
			bits = bits&^extended + 15
		}
		return bauds[bits]
	}
	in := s.ispeed
	s.ospeed = baud(s.cflag, s.ospeed)
	s.ispeed = s.ospeed
	if bits := s.cflag >> inShift & mask; bits != 0 {
		s.ispeed = baud(bits, in)
	}
}

// change is what else goes with new settings: flow control by keys may end, or begin.
// y.mu is held.
func (y *terminal) change(old, s *termios2) {
	const charSize, parity, eightBits, read = 0o60, 0o400, 0o60, 0o200
	if y.pty != nil {
		s.cflag = s.cflag&^(charSize|parity) | eightBits | read
	}
	keys := func(s *termios2) bool { return s.iflag&iXON != 0 && s.cc[vStop] == 19 && s.cc[vStart] == 17 }
	switch {
	case keys(old) == keys(s):
	case keys(s):
		y.tellMaster(ptyDoStop, ptyNoStop)
	default:
		y.tellMaster(ptyNoStop, ptyDoStop)
	}
	if old.iflag&iXON != 0 && s.iflag&iXON == 0 {
		y.start()
	}
}
