package tty

import (
	"unsafe"

	"gosv/kernel/errno"
)

// Ioctl is ioctl(2): the requests of ioctl_tty(2).
func (y *Terminal) Ioctl(c Caller, req, arg uintptr) (uintptr, errno.Errno) {
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
		return 0, errno.EIO
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
		return 0, copyOut(c, arg, &s)
	case tcGetS:
		y.mu.Lock()
		s := y.set.termios
		y.mu.Unlock()
		return 0, copyOut(c, arg, &s)
	case tcSetS, tcSetSW, tcSetSF:
		y.mu.Lock()
		s := y.set // its speeds, where the new ones have none
		y.mu.Unlock()
		err := errno.Errno(0)
		if second {
			err = copyIn(c, &s, arg)
		} else {
			err = copyIn(c, &s.termios, arg)
		}
		if err != 0 {
			return 0, err
		}
		s.setSpeeds()
		y.mu.Lock()
		y.change(&y.set, &s)
		if req == tcSetSF {
			y.forget()
			y.tellMaster(pktFlushRead, 0)
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
			return 0, errno.EINVAL
		}
		y.mu.Lock()
		if arg != tcOFlush {
			y.forget()
		}
		y.mu.Unlock()
		if y.pty != nil {
			y.pty.flushed([...]byte{pktFlushRead, pktFlushWrite, pktFlushRead | pktFlushWrite}[arg])
		}
		return 0, 0
	case tcXOnC:
		return 0, y.tcflow(arg)
	case tcSBrk:
		return 0, 0
	case tiocSCTTY:
		c.Session().Take(y)
		if c.Session().Terminal() != y {
			return 0, errno.EPERM
		}
		return 0, 0
	case tiocNOTTY:
		if !c.Session().terminal.CompareAndSwap(y, nil) {
			return 0, errno.ENOTTY
		}
		y.mu.Lock()
		y.session = nil
		y.mu.Unlock()
		return 0, 0
	case tiocGPgrp, tiocGSID, tiocSPgrp:
		if c.Session().Terminal() != y {
			return 0, errno.ENOTTY
		}
		id := int32(c.Session().Group.ID())
		if req == tiocSPgrp {
			if err := copyIn(c, &id, arg); err != 0 {
				return 0, err
			}
			if id != int32(c.Session().Group.ID()) {
				return 0, errno.EPERM
			}
			return 0, 0
		}
		return 0, copyOut(c, arg, &id)
	case tiocOutQ, tiocGetD: // nothing waits, and the line discipline is N_TTY, 0
		var n int32
		return 0, copyOut(c, arg, &n)
	case fioNRead:
		y.mu.Lock()
		n := int32(y.readable())
		y.mu.Unlock()
		return 0, copyOut(c, arg, &n)
	case tiocExcl, tiocNXcl, tiocGExcl:
		return y.exclusive(c, &y.excl, req, arg)
	case tiocGSoftCar:
		y.mu.Lock()
		n := int32(y.set.cflag & cLocal / cLocal)
		y.mu.Unlock()
		return 0, copyOut(c, arg, &n)
	case tiocSSoftCar:
		var n int32
		if err := copyIn(c, &n, arg); err != 0 {
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
		return 0, copyOut(c, arg, &w)
	case tiocSWinSz:
		var w winsize
		if err := copyIn(c, &w, arg); err != 0 {
			return 0, err
		}
		y.mu.Lock()
		changed := y.size != w
		y.size = w
		y.mu.Unlock()
		if changed {
			y.signal(sigWinch)
		}
		return 0, 0
	}
	return 0, errno.ENOTTY
}

// Requests that the master of a pty answers otherwise (ioctl_tty(2)).
const (
	fioNRead                      = 0x541b // TIOCINQ
	tcFlsh                        = 0x540b
	tiocGPgrp, tiocGSID           = 0x540f, 0x5429
	tiocExcl, tiocNXcl, tiocGExcl = 0x540c, 0x540d, 0x80045440
)

// exclusive sets or tells whether one end of a terminal may be opened again only by who
// has CAP_SYS_ADMIN.
func (y *Terminal) exclusive(c Caller, excl *bool, req, arg uintptr) (uintptr, errno.Errno) {
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
	return 0, copyOut(c, arg, &is)
}

// copyIn reads a T, which must hold no pointers, from the caller's memory; copyOut
// writes one.
func copyIn[T any](c Caller, v *T, addr uintptr) errno.Errno { return c.CopyIn(bytesOf(v), addr) }

func copyOut[T any](c Caller, addr uintptr, v *T) errno.Errno { return c.CopyOut(addr, bytesOf(v)) }

func bytesOf[T any](v *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))
}
