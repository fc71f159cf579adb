package linux

import (
	"sync"

	"gosv/kernel/console"
	"gosv/kernel/fs"
	"gosv/kernel/metal"
	"gosv/kernel/wait"
)

// terminal is the console as a terminal (termios(3), tty(4)): what the
// descriptors 0, 1 and 2 are when gosv run has one, and /dev/tty.
type terminal struct {
	noObject
	mu    sync.Mutex
	proc  *Process // gets the signals of keys; nil: it controls nobody
	pty   *pty     // nil: the console
	there bool     // of the console: gosv run has a terminal
	set   termios2
	flow
	discipline
	size  winsize
	excl  bool // TIOCEXCL: it cannot be opened again
	queue wait.Queue
}

var theTerminal terminal

// termios is struct termios of the kernel, winsize struct winsize: rows, columns,
// and the same in pixels.
type termios struct {
	iflag, oflag, cflag, lflag uint32
	_                          uint8 // line
	cc                         [19]uint8
}

type winsize [4]uint16

// Bits of termios (asm-generic/termbits.h), and indexes of its characters.
const (
	iParMrk = 0o10
	iStrip  = 0o40
	iNLCR   = 0o100
	iIgnCR  = 0o200
	iCRNL   = 0o400
	iUCLC   = 0o1000
	iXON    = 0o2000
	iUTF8   = 0o40000

	oPost  = 0o1
	oLCUC  = 0o2
	oNLCR  = 0o4
	oCRNL  = 0o10
	oNoCR  = 0o20
	oNLRet = 0o40
	oTabs  = 0o14000 // XTABS

	cLocal = 0o4000

	lISig    = 0o1
	lICanon  = 0o2
	lEcho    = 0o10
	lEchoE   = 0o20
	lEchoK   = 0o40
	lEchoNL  = 0o100
	lNoFlsh  = 0o200
	lEchoCtl = 0o1000
	lEchoKE  = 0o4000
	lIExten  = 0o100000

	vIntr, vQuit, vErase, vKill, vEOF, vTime, vMin = 0, 1, 2, 3, 4, 5, 6
	vSusp, vEOL, vReprint, vWErase, vLNext, vEOL2  = 10, 11, 12, 14, 15, 16
)

// plainTermios is what Linux begins with (tty_std_termios).
var plainTermios = termios2{termios: termios{
	iflag: iCRNL | iXON,
	oflag: oPost | oNLCR,
	cflag: 0o277, // 38400 baud, 8 bits, CREAD
	lflag: lISig | lICanon | lEcho | lEchoE | lEchoK | lEchoCtl | lEchoKE | lIExten,
	cc: [19]uint8{vIntr: 3, vQuit: 28, vErase: 127, vKill: 21, vEOF: 4, vMin: 1, vSusp: 26, vStart: 17, vStop: 19,
		vReprint: 18, 13: 15, vWErase: 23, vLNext: 22},
}, ispeed: 38400, ospeed: 38400}

// init makes the console a terminal of p's, of the given size (ROWSxCOLS).
func (y *terminal) init(p *Process, size string) {
	y.there = true
	p.control(y)
	y.set = plainTermios
	y.set.iflag |= iUTF8
	y.set.cflag |= 0o2000 // HUPCL
	rows, cols, _ := cut(size, 'x')
	r, _ := parseInt(rows)
	c, _ := parseInt(cols)
	y.size = winsize{uint16(r), uint16(c)}
	console.Listen(y, framed()) // also for who never reads: Ctrl-C must get through
}

// Room implements console.Receiver.
func (y *terminal) Room() int { return 4096 }

// EndOfInput implements console.Receiver: a terminal that hangs up.
func (y *terminal) EndOfInput() { y.signal(SIGHUP) }

// Resize implements console.Receiver.
func (y *terminal) Resize(rows, cols int) {
	y.mu.Lock()
	y.size[0], y.size[1] = uint16(rows), uint16(cols)
	y.mu.Unlock()
	y.signal(SIGWINCH)
}

func (y *terminal) signal(sig int) {
	y.mu.Lock()
	p := y.proc
	y.mu.Unlock()
	if p == nil {
		return
	}
	p.signal(nil, ptr(killInfo(sig, siKernel, 0)))
	if y.pty == nil && (sig == SIGINT || sig == SIGQUIT || sig == SIGHUP) {
		// No shell could continue a stopped program, for it to take that.
		p.sig.mu.Lock()
		p.resume()
		p.sig.mu.Unlock()
	}
}

// emit shows what was typed or written.
func (y *terminal) emit(p []byte) {
	if y.pty != nil {
		y.pty.show(p)
	} else {
		console.Write(metal.Stdout, p)
	}
}

const maxInput = 4096 // MAX_CANON and then some: bytes that nobody has read

// inputRoom is how much more may be typed: always some while no line is complete,
// but only its end counts then.
func (y *terminal) inputRoom() int {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.canon == 0 && y.set.lflag&lICanon != 0 {
		return maxInput
	}
	return maxInput - 1 - len(y.in) // put leaves the last place empty
}

// Input implements console.Receiver: the line discipline.
func (y *terminal) Input(p []byte) {
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
		y.queue.WakeFor(pollIn | pollRdNorm)
	}
	y.emit(echo)
}

func (y *terminal) read(t *Thread, f *File, u *userIO) (n int, err Errno) {
	if u.left == 0 {
		return 0, 0
	}
	deadline := uint64(never)
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
			case len(y.in) == 0 && (least > 0 || deadline != never),
				len(y.in) < min(least, u.left) && !f.nonblock(): // all of it, or for who does not wait some
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
	if f.nonblock() {
		return 0, EAGAIN
	}
	if err = t.Wait(&y.queue, deadline, ready); err == ETIMEDOUT {
		return 0, 0
	}
	return n, err
}

func (y *terminal) write(t *Thread, f *File, u *userIO) (done int, err Errno) {
	var buf [512]byte
	var few [2 * len(buf)]byte
	for u.left > 0 && !u.fault {
		gone := false
		if err = t.block(f, &y.queue, func() bool {
			y.mu.Lock()
			defer y.mu.Unlock()
			gone = y.hungUp()
			return gone || !y.full(len(few))
		}); err != 0 {
			break
		}
		if gone {
			err = EIO
			break
		}
		p := buf[:u.Get(buf[:])]
		done += len(p)
		out := few[:0]
		y.mu.Lock()
		for _, c := range p {
			out = y.output(out, c)
		}
		y.mu.Unlock()
		y.emit(out)
	}
	if done > 0 {
		err = 0
	}
	return done, err
}

// full says whether y takes no n bytes of output now; y.mu is held.
func (y *terminal) full(n int) bool {
	return y.stopped || y.pty != nil && len(y.pty.shown)+n > ptyBuffer
}

// hungUp says whether nobody is at the other end; y.mu is held.
func (y *terminal) hungUp() bool { return y.pty != nil && y.pty.noMaster }

func (y *terminal) poll(*File) (uint32, *wait.Queue) {
	y.mu.Lock()
	defer y.mu.Unlock()
	ready := uint32(pollOut | pollWrNorm)
	least := 1
	if y.set.cc[vTime] == 0 {
		least = max(int(y.set.cc[vMin]), 1)
	}
	if y.available(least) {
		ready |= pollIn | pollRdNorm
	}
	if y.hungUp() {
		ready |= pollIn | pollRdNorm | pollErr | pollHup
	} else if y.full(1) {
		ready &^= pollOut | pollWrNorm
	}
	return ready, &y.queue
}

func (y *terminal) attr() fs.Attr {
	return fs.Attr{Ino: 3, Mode: fs.Char | 0o620, Nlink: 1, Rdev: fs.Device(5, 1), BlockSize: 1024}
}

func (y *terminal) name() string { return "/dev/console" }

func (y *terminal) ioctl(t *Thread, f *File, req, arg uintptr) (uintptr, Errno) {
	const (
		tcGetS, tcSetS, tcSetSW, tcSetSF = 0x5401, 0x5402, 0x5403, 0x5404
		tcGetS2, tcSetS2, tcSetSF2       = 0x802c542a, 0x402c542b, 0x402c542d
		tcSBrk, tcXOnC                   = 0x5409, 0x540a
		tcOFlush, tcIOFlush              = 1, 2
		tiocSCTTY, tiocNOTTY             = 0x540e, 0x5422
		tiocSPgrp                        = 0x5410
		tiocOutQ                         = 0x5411
		tiocGetD                         = 0x5424
		tiocGWinSz, tiocSWinSz           = 0x5413, 0x5414
		tiocGSoftCar, tiocSSoftCar       = 0x5419, 0x541a
	)
	y.mu.Lock()
	gone := y.hungUp()
	y.mu.Unlock()
	if gone {
		return 0, EIO
	}
	second := req >= tcSetS2 && req <= tcSetSF2 // of termios2
	if second {
		req -= tcSetS2 - tcSetS
	}
	switch req {
	case tcGetS2:
		y.mu.Lock()
		s := y.set
		y.mu.Unlock()
		return 0, copyOut(t, arg, &s)
	case tcGetS:
		y.mu.Lock()
		s := y.set.termios
		y.mu.Unlock()
		return 0, copyOut(t, arg, &s)
	case tcSetS, tcSetSW, tcSetSF:
		y.mu.Lock()
		s := y.set // its speeds, where the new ones have none
		y.mu.Unlock()
		err := Errno(0)
		if second {
			err = copyIn(t, &s, arg)
		} else {
			err = copyIn(t, &s.termios, arg)
		}
		if err != 0 {
			return 0, err
		}
		s.setSpeeds()
		y.mu.Lock()
		y.change(&y.set, &s)
		if req == tcSetSF {
			y.forget()
			y.tellMaster(ptyFlushRead, 0)
		}
		if was, is := y.set.lflag&lICanon, s.lflag&lICanon; was != is { // what was typed is not lost
			y.switched(is != 0)
		}
		y.set = s
		y.mu.Unlock()
		y.flowed()
		return 0, 0
	case tcFlsh:
		if arg > tcIOFlush {
			return 0, EINVAL
		}
		y.mu.Lock()
		if arg != tcOFlush {
			y.forget()
		}
		y.mu.Unlock()
		if y.pty != nil {
			y.pty.flushed([...]byte{ptyFlushRead, ptyFlushWrite, ptyFlushRead | ptyFlushWrite}[arg])
		}
		return 0, 0
	case tcXOnC:
		return 0, y.tcflow(arg)
	case tcSBrk:
		return 0, 0
	case tiocSCTTY:
		t.proc.control(y)
		if t.proc.tty.Load() != y {
			return 0, EPERM
		}
		return 0, 0
	case tiocNOTTY:
		if !t.proc.tty.CompareAndSwap(y, nil) {
			return 0, ENOTTY
		}
		y.mu.Lock()
		y.proc = nil
		y.mu.Unlock()
		return 0, 0
	case tiocGPgrp, tiocGSID, tiocSPgrp:
		if t.proc.tty.Load() != y {
			return 0, ENOTTY
		}
		id := int32(t.proc.pid)
		if req == tiocSPgrp {
			if err := copyIn(t, &id, arg); err != 0 {
				return 0, err
			}
			if id != int32(t.proc.pid) {
				return 0, EPERM
			}
			return 0, 0
		}
		return 0, copyOut(t, arg, &id)
	case tiocOutQ, tiocGetD: // nothing waits, and the line discipline is N_TTY, 0
		var n int32
		return 0, copyOut(t, arg, &n)
	case fioNRead:
		y.mu.Lock()
		n := int32(y.readable())
		y.mu.Unlock()
		return 0, copyOut(t, arg, &n)
	case tiocExcl, tiocNXcl, tiocGExcl:
		return y.exclusive(t, &y.excl, req, arg)
	case tiocGSoftCar:
		y.mu.Lock()
		n := int32(y.set.cflag & cLocal / cLocal)
		y.mu.Unlock()
		return 0, copyOut(t, arg, &n)
	case tiocSSoftCar:
		var n int32
		if err := copyIn(t, &n, arg); err != 0 {
			return 0, err
		}
		y.mu.Lock()
		if y.set.cflag &^= cLocal; n != 0 {
			y.set.cflag |= cLocal
		}
		y.mu.Unlock()
		return 0, 0
	case tiocGWinSz:
		y.mu.Lock()
		w := y.size
		y.mu.Unlock()
		return 0, copyOut(t, arg, &w)
	case tiocSWinSz:
		var w winsize
		if err := copyIn(t, &w, arg); err != 0 {
			return 0, err
		}
		y.mu.Lock()
		changed := y.size != w
		y.size = w
		y.mu.Unlock()
		if changed {
			y.signal(SIGWINCH)
		}
		return 0, 0
	}
	return 0, ENOTTY
}

// Requests that the master of a pty answers otherwise (ioctl_tty(2)).
const (
	tcFlsh                        = 0x540b
	tiocGPgrp, tiocGSID           = 0x540f, 0x5429
	tiocExcl, tiocNXcl, tiocGExcl = 0x540c, 0x540d, 0x80045440
)

// exclusive sets or tells whether one end of a terminal may be opened again only by who
// has CAP_SYS_ADMIN.
func (y *terminal) exclusive(t *Thread, excl *bool, req, arg uintptr) (uintptr, Errno) {
	y.mu.Lock()
	if req != tiocGExcl {
		*excl = req == tiocExcl
	}
	is := int32(0)
	if *excl {
		is = 1
	}
	y.mu.Unlock()
	if req != tiocGExcl {
		return 0, 0
	}
	return 0, copyOut(t, arg, &is)
}
