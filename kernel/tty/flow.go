package tty

import "gosv/kernel/errno"

// Flow control of a terminal's output: the keys that stop and start it (termios(3), IXON),
// tcflow(3), and what packet mode tells of that.

const (
	iXAny = 0o4000

	vStart, vStop = 8, 9

	// Status bytes of packet mode, besides those of flushing (ioctl_tty(2)).
	pktStop   = 4
	pktStart  = 8
	pktNoStop = 16
	pktDoStop = 32
)

// flow is the state of a terminal's output, under its mu.
type flow struct {
	stopped bool
	byCall  bool // TCOOFF did it: no key starts it again
}

// stop and start change whether y's output is stopped; y.mu is held.
func (y *Terminal) stop() {
	if !y.stopped {
		y.stopped = true
		y.tellMaster(pktStop, pktStart)
	}
}

func (y *Terminal) start() {
	if y.stopped && !y.byCall {
		y.stopped = false
		y.tellMaster(pktStart, pktStop)
	}
}

// tellMaster changes the status that a master in packet mode reads next.
func (y *Terminal) tellMaster(set, clear byte) {
	if y.pty != nil && y.pty.packets {
		y.pty.status = y.pty.status&^clear | set
	}
}

// flowed shows what was held back if y has been started, and tells those who wait.
func (y *Terminal) flowed() {
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
func (y *Terminal) flowKey(c byte) bool {
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
func (y *Terminal) tcflow(how uintptr) errno.Errno {
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
		return errno.EINVAL
	}
	y.mu.Unlock()
	if send != 0 {
		y.emit([]byte{send})
	}
	y.flowed()
	return 0
}

// change is what else goes with new settings: flow control by keys may end, or begin.
// y.mu is held.
func (y *Terminal) change(old, s *termios2) {
	const charSize, parity, eightBits, read = 0o60, 0o400, 0o60, 0o200
	if y.pty != nil {
		s.cflag = s.cflag&^(charSize|parity) | eightBits | read
	}
	keys := func(s *termios2) bool { return s.iflag&iXON != 0 && s.cc[vStop] == 19 && s.cc[vStart] == 17 }
	switch {
	case keys(old) == keys(s):
	case keys(s):
		y.tellMaster(pktDoStop, pktNoStop)
	default:
		y.tellMaster(pktNoStop, pktDoStop)
	}
	if old.iflag&iXON != 0 && s.iflag&iXON == 0 {
		y.start()
	}
}
