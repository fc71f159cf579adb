package tty

// A terminal's settings (termios(3)), and its size. Its speed is only kept.

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
