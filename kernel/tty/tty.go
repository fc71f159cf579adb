// Package tty is terminals (termios(3), tty(4)): the machine's console, if gosv run has a
// terminal, and pseudo-terminals (pty(7)), with the line discipline that both have.
//
// A terminal's lock is held while a call's Buffer is read or written, so it stands above an
// address space's; not while a queue is woken or a Group gets a signal.
package tty

import (
	"sync/atomic"

	"gosv/kernel/errno"
	"gosv/kernel/fs"
	"gosv/kernel/wait"
)

// Caller is the thread that makes a call.
type Caller interface {
	// Wait blocks it in q until ready returns true. It returns errno.RestartSys if a
	// signal came first, ETIMEDOUT when the deadline, of metal.Now, has passed.
	Wait(q *wait.Queue, deadline uint64, ready func() bool) errno.Errno

	// CopyIn and CopyOut read and write its memory: EFAULT if that cannot be.
	CopyIn(dst []byte, addr uintptr) errno.Errno
	CopyOut(addr uintptr, src []byte) errno.Errno

	Session() *Session
}

// Buffer is what a call reads to or writes from. Put and Get take or give less than they could
// only where memory cannot be accessed.
type Buffer interface {
	fs.Sink
	fs.Source
	Len() int // bytes left
}

// Session is a session (credentials(7)), and which terminal controls it.
type Session struct {
	Group    Group // the one that it consists of, in the foreground therefore
	terminal atomic.Pointer[Terminal]
}

// Group is a process group.
type Group interface {
	ID() int

	// Signal sends it a signal from the kernel, Continue lets it go on if it is stopped.
	Signal(sig int)
	Continue()
}

// Terminal returns the one that controls s, or nil.
func (s *Session) Terminal() *Terminal { return s.terminal.Load() }

// Take makes y s's controlling terminal if it has none; the caller leads s.
func (s *Session) Take(y *Terminal) {
	if s.terminal.CompareAndSwap(nil, y) {
		y.mu.Lock()
		y.session = s
		y.mu.Unlock()
	}
}

// Signals that terminals send (signal(7)).
const (
	sigHup   = 1
	sigInt   = 2
	sigQuit  = 3
	sigCont  = 18
	sigTStp  = 20
	sigWinch = 28
)
