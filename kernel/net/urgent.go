package net

import (
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"gosv/kernel/errno"
	"gosv/kernel/socket"
)

// sendUrgent is send(2) with MSG_OOB: the last byte is the urgent one (tcp(7)).
func (e *endpoint) sendUrgent(m *socket.Message, opts tcpip.WriteOptions) (int, errno.Errno) {
	done := 0
	if all := m.Data.Len(); all > 1 {
		n, failed := e.ep().Write(&beginning{data{m}, all - 1}, opts)
		if done = int(n); done < all-1 {
			return done, e.sendError(failed)
		}
	} else if all == 0 {
		return 0, 0
	}
	failed := writeUrgent(e.ep().(*tcp.Endpoint), data{m})
	switch {
	case failed == nil:
		return done + 1, 0
	case done > 0: // it is tried again, or said the next time
		return done, 0
	}
	return 0, e.sendError(failed)
}

// receiveUrgent is recv(2) with MSG_OOB, which never waits.
func (e *endpoint) receiveUrgent(m *socket.Message) (int, errno.Errno) {
	if e.state() == tcpListen {
		return 0, errno.ENOTCONN
	}
	flags := m.Flags
	m.Flags &^= msgOOB | msgTrunc
	c, failed := readUrgent(e.ep().(*tcp.Endpoint), flags&msgPeek != 0)
	if failed != nil {
		return 0, errnoOf(failed)
	}
	m.Flags |= msgOOB
	switch {
	case m.Data.Len() == 0:
		m.Flags |= msgTrunc
		return 0, 0
	case flags&msgTrunc == 0:
		if _, err := m.Data.Write([]byte{c}); err != nil {
			return 0, errno.EFAULT
		}
	}
	return 1, 0
}

// AtMark implements Endpoint (sockatmark(3)).
func (e *endpoint) AtMark() (bool, errno.Errno) {
	if !e.isTCP {
		return false, errno.ENOTTY
	}
	return mark(e.ep().(*tcp.Endpoint)) == 0, 0
}
