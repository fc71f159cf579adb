// Package sockettest is who calls sockets, and with what, in tests of them on the host.
package sockettest

import (
	"time"

	"gosv/kernel/errno"
	"gosv/kernel/fs"
	"gosv/kernel/metal"
	"gosv/kernel/socket"
	"gosv/kernel/wait"
)

// Program is a socket.Caller: a thread of a program.
type Program struct {
	Who    socket.Cred
	May    func(capability uint) bool // nil: everything
	Files  fs.At                      // where its paths are resolved
	Memory []byte                     // from address 0 on
	Pipes  int                        // how many SIGPIPE it got
	Waits  chan struct{}              // gets one when it begins to wait, unless there is one

	token chan struct{}
}

// NewProgram returns one that may do everything.
func NewProgram() *Program {
	return &Program{Waits: make(chan struct{}, 1), token: make(chan struct{}, 1)}
}

// Wake implements wait.Sleeper.
func (p *Program) Wake() { tell(p.token) }

func tell(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Wait implements socket.Caller. No signal comes.
func (p *Program) Wait(q *wait.Queue, deadline uint64, ready func() bool) errno.Errno {
	w := &wait.Waiter{Sleeper: p}
	q.Add(w)
	defer q.Remove(w)
	var late <-chan time.Time
	if deadline != wait.Never {
		late = time.After(time.Duration(deadline - metal.Now()))
	}
	for !ready() {
		tell(p.Waits)
		select {
		case <-p.token:
		case <-late:
			return errno.ETIMEDOUT
		}
	}
	return 0
}

// CopyIn implements socket.Caller.
func (p *Program) CopyIn(dst []byte, addr uintptr) errno.Errno {
	if len(p.Memory) < int(addr)+len(dst) {
		return errno.EFAULT
	}
	copy(dst, p.Memory[addr:])
	return 0
}

// CopyOut implements socket.Caller.
func (p *Program) CopyOut(addr uintptr, src []byte) errno.Errno {
	if len(p.Memory) < int(addr)+len(src) {
		return errno.EFAULT
	}
	copy(p.Memory[addr:], src)
	return 0
}

// Can implements socket.Caller.
func (p *Program) Can(capability uint) bool { return p.May == nil || p.May(capability) }

// Cred implements socket.Caller.
func (p *Program) Cred() socket.Cred { return p.Who }

// BrokenPipe implements socket.Caller.
func (p *Program) BrokenPipe() { p.Pipes++ }

// At implements socket.Caller.
func (p *Program) At(string) (fs.At, errno.Errno) { return p.Files, 0 }

// Umask implements socket.Caller.
func (*Program) Umask() uint32 { return 0o022 }

// Buffer is a socket.Buffer of the test's own memory: what of it is left.
type Buffer struct{ Left []byte }

func (b *Buffer) move(to, from []byte) int {
	n := copy(to, from)
	b.Left = b.Left[n:]
	return n
}

// Put implements fs.Sink.
func (b *Buffer) Put(p []byte) int { return b.move(b.Left, p) }

// Get implements fs.Source.
func (b *Buffer) Get(p []byte) int { return b.move(p, b.Left) }

// Len implements socket.Buffer, and so do the others.
func (b *Buffer) Len() int                    { return len(b.Left) }
func (b *Buffer) Fault() bool                 { return false }
func (b *Buffer) Read(p []byte) (int, error)  { return b.Get(p), nil }
func (b *Buffer) Write(p []byte) (int, error) { return b.Put(p), nil }

// Envelope returns what a call with these flags sends or receives.
func Envelope(b []byte, flags uintptr) *socket.Envelope {
	return &socket.Envelope{Buffer: &Buffer{b}, Message: socket.Message{Flags: flags}}
}
