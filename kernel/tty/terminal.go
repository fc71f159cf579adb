package tty

import (
	"sync"

	"gosv/kernel/console"
	"gosv/kernel/errno"
	"gosv/kernel/metal"
	"gosv/kernel/wait"
)

// Terminal is the console as a terminal: what the descriptors 0, 1 and 2 are when
// gosv run has one, and /dev/tty. Or it is one of a pair.
type Terminal struct {
	mu      sync.Mutex
	session *Session // gets the signals of keys; nil: it controls nobody
	pty     *pair    // nil: the console
	set     termios2
	flow
	discipline
	size  winsize
	excl  bool // TIOCEXCL: it cannot be opened again
	queue wait.Queue
}

// NewConsole returns the console as a terminal of that size.
func NewConsole(rows, cols uint16) *Terminal {
	y := &Terminal{set: plainTermios, size: winsize{rows, cols}}
	y.set.iflag |= iUTF8
	y.set.cflag |= 0o2000 // HUPCL
	return y
}

// Room implements console.Receiver.
func (y *Terminal) Room() int { return 4096 }

// EndOfInput implements console.Receiver: a terminal that hangs up.
func (y *Terminal) EndOfInput() { y.signal(sigHup) }

// Resize implements console.Receiver.
func (y *Terminal) Resize(rows, cols int) {
	y.mu.Lock()
	y.size[0], y.size[1] = uint16(rows), uint16(cols)
	y.mu.Unlock()
	y.signal(sigWinch)
}

func (y *Terminal) signal(sig int) {
	y.mu.Lock()
	s := y.session
	y.mu.Unlock()
	if s == nil {
		return
	}
	s.Group.Signal(sig)
	if y.pty == nil && (sig == sigInt || sig == sigQuit || sig == sigHup) {
		// No shell could continue a stopped program, for it to take that.
		s.Group.Continue()
	}
}

// emit shows what was typed or written.
func (y *Terminal) emit(p []byte) {
	if y.pty != nil {
		y.pty.show(p)
	} else {
		console.Write(metal.Stdout, p)
	}
}

const maxInput = 4096 // MAX_CANON and then some: bytes that nobody has read

// inputRoom is how much more may be typed: always some while no line is complete,
// but only its end counts then.
func (y *Terminal) inputRoom() int {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.canon == 0 && y.set.lflag&lICanon != 0 {
		return maxInput
	}
	return maxInput - 1 - len(y.in) // put leaves the last place empty
}

// Input implements console.Receiver: the line discipline.
func (y *Terminal) Input(p []byte) {
	y.mu.Lock()
	wasStopped := y.stopped
	var signals [4]int
	n := 0
	for _, c := range p {
		if sig := y.key(c); sig != 0 && n < len(signals) {
			signals[n] = sig
			n++
		}
	}
	readable := y.available(1)
	echo := y.echoed()
	if wasStopped != y.stopped {
		defer y.flowed()
	}
	y.mu.Unlock()
	for _, sig := range signals[:n] {
		y.signal(sig)
	}
	if readable {
		y.queue.WakeFor(wait.In | wait.RdNorm)
	}
	y.emit(echo)
}

// Read is read(2); with nonblock it does not wait.
func (y *Terminal) Read(c Caller, u Buffer, nonblock bool) (n int, err errno.Errno) {
	if u.Len() == 0 {
		return 0, 0
	}
	deadline := uint64(wait.Never)
	y.mu.Lock()
	if y.set.lflag&lICanon == 0 && y.set.cc[vTime] > 0 && y.set.cc[vMin] == 0 {
		deadline = metal.Now() + uint64(y.set.cc[vTime])*100e6
	}
	y.mu.Unlock()
	ready := func() bool {
		y.mu.Lock()
		defer y.mu.Unlock()
		if y.hungUp() { // what nobody has read is lost
			return true
		}
		if y.set.lflag&lICanon == 0 {
			least := int(y.set.cc[vMin])
			switch {
			case len(y.in) == 0 && (least > 0 || deadline != wait.Never),
				len(y.in) < min(least, u.Len()) && !nonblock: // all of it, or for who does not wait some
				return false
			}
		} else if y.canon == 0 {
			return false
		}
		n = y.readInput(u)
		return true
	}
	if ready() {
		return n, 0
	}
	if nonblock {
		return 0, errno.EAGAIN
	}
	if err = c.Wait(&y.queue, deadline, ready); err == errno.ETIMEDOUT {
		return 0, 0
	}
	return n, err
}

// Write is write(2); with nonblock it does not wait.
func (y *Terminal) Write(c Caller, u Buffer, nonblock bool) (done int, err errno.Errno) {
	var buf [512]byte
	var few [2 * len(buf)]byte
	for fault := false; u.Len() > 0 && !fault; {
		gone := false
		if err = block(c, nonblock, &y.queue, func() bool {
			y.mu.Lock()
			defer y.mu.Unlock()
			gone = y.hungUp()
			return gone || !y.full(len(few))
		}); err != 0 {
			break
		}
		if gone {
			err = errno.EIO
			break
		}
		p := buf[:min(len(buf), u.Len())]
		n := u.Get(p)
		fault = n < len(p)
		done += n
		out := few[:0]
		y.mu.Lock()
		for _, b := range p[:n] {
			out = y.output(out, b)
		}
		y.mu.Unlock()
		y.emit(out)
	}
	if done > 0 {
		err = 0
	}
	return done, err
}

// block waits in q until ready, or not at all with nonblock.
func block(c Caller, nonblock bool, q *wait.Queue, ready func() bool) errno.Errno {
	if ready() {
		return 0
	}
	if nonblock {
		return errno.EAGAIN
	}
	return c.Wait(q, wait.Never, ready)
}

// full says whether y takes no n bytes of output now; y.mu is held.
func (y *Terminal) full(n int) bool {
	return y.stopped || y.pty != nil && len(y.pty.shown)+n > pairBuffer
}

// hungUp says whether nobody is at the other end; y.mu is held.
func (y *Terminal) hungUp() bool { return y.pty != nil && y.pty.noMaster }

// Poll returns the events of poll(2) that there are now, and the queue that is woken when
// that changes.
func (y *Terminal) Poll() (uint32, *wait.Queue) {
	y.mu.Lock()
	defer y.mu.Unlock()
	ready := uint32(wait.Out | wait.WrNorm)
	least := 1
	if y.set.cc[vTime] == 0 {
		least = max(int(y.set.cc[vMin]), 1)
	}
	if y.available(least) {
		ready |= wait.In | wait.RdNorm
	}
	if y.hungUp() {
		ready |= wait.In | wait.RdNorm | wait.Err | wait.Hup
	} else if y.full(1) {
		ready &^= wait.Out | wait.WrNorm
	}
	return ready, &y.queue
}

// Close has nothing to do: the console stays.
func (y *Terminal) Close() {}

// Pair says whether y is one of a pair, and that one's number.
func (y *Terminal) Pair() (number uint32, ok bool) {
	if y.pty == nil {
		return 0, false
	}
	return uint32(y.pty.number), true
}
