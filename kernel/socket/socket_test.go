package socket_test

import (
	"testing"

	"gosv/kernel/errno"
	"gosv/kernel/socket"
	"gosv/kernel/socket/sockettest"
	"gosv/kernel/wait"
)

// waiter is a program whose waits end in a way of the test's.
type waiter struct {
	*sockettest.Program
	ends     errno.Errno
	waited   bool
	deadline bool
}

func (w *waiter) Wait(_ *wait.Queue, deadline uint64, ready func() bool) errno.Errno {
	w.waited, w.deadline = true, deadline != wait.Never
	return w.ends
}

// TestAwait: how a call ends that is not ready at once (socket(7), signal(7)).
func TestAwait(t *testing.T) {
	for _, c := range []struct {
		what           string
		ready          bool
		flags          uintptr
		limit          uint64
		ends, want     errno.Errno
		waits, limited bool
	}{
		{what: "ready", ready: true, flags: socket.MsgDontwait},
		{what: "MSG_DONTWAIT", flags: socket.MsgDontwait, limit: 1, want: errno.EAGAIN},
		{what: "done", waits: true},
		{what: "a signal", ends: errno.RestartSys, want: errno.RestartSys, waits: true},
		{what: "a signal, SO_RCVTIMEO", limit: 1, ends: errno.RestartSys, want: errno.EINTR, waits: true, limited: true},
		{what: "SO_RCVTIMEO", limit: 1, ends: errno.ETIMEDOUT, want: errno.EAGAIN, waits: true, limited: true},
	} {
		var s socket.Base
		s.Timeout(socket.SoRcvtimeo).Store(c.limit)
		w := &waiter{ends: c.ends}
		err := s.Await(w, new(wait.Queue), c.flags, socket.SoRcvtimeo, func() bool { return c.ready })
		if err != c.want || w.waited != c.waits || w.deadline != c.limited {
			t.Errorf("%s: %v, waits %v, with a deadline %v", c.what, err, w.waited, w.deadline)
		}
	}
}

// TestInherit: what an accepted connection has of the socket that listened, and what not.
func TestInherit(t *testing.T) {
	var from, to socket.Base
	from.Init(socket.AFUnix, socket.Stream, 0, 7)
	from.DefaultBuffers()
	from.Buffers[1].Store(5000)
	from.Timeout(socket.SoSndtimeo).Store(9)
	from.Switches.Or(1 << socket.SoPasscred)
	from.Err.Store(uint32(errno.ECONNRESET))
	to.Init(socket.AFUnix, socket.Stream, 0, 8)
	to.Inherit(&from)
	if to.Buffers[1].Load() != 5000 || to.Timeout(socket.SoSndtimeo).Load() != 9 || !to.Is(socket.SoPasscred) || to.Is(socket.SoKeepalive) {
		t.Error("an option is another's")
	}
	if err := to.TakeError(); err != 0 || to.Ino != 8 {
		t.Errorf("error %v, inode %d", err, to.Ino)
	}
	if first, then := from.TakeError(), from.TakeError(); first != errno.ECONNRESET || then != 0 {
		t.Errorf("SO_ERROR: %v and then %v", first, then)
	}
}
