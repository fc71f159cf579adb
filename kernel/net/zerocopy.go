package net

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"gosv/kernel/errno"
	"gosv/kernel/socket"
)

// zerocopied are calls of send(2) with MSG_ZEROCOPY, by number, whose data have been copied, as
// Linux does where it cannot do without, and whose sender has not been told that they are its
// own again (Documentation/networking/msg_zerocopy.rst).
type zerocopied struct{ first, last uint32 }

// Copied implements Endpoint.
func (e *endpoint) Copied() {
	if !e.opts.is(soZerocopy) {
		return
	}
	e.mu.Lock()
	c := &zerocopied{e.calls, e.calls}
	if old := e.copied.Load(); old != nil {
		c.first = old.first
	}
	e.calls++
	e.copied.Store(c)
	e.mu.Unlock()
	e.wake(pollErr)
}

// tellCopied makes m what tells of c.
func (e *endpoint) tellCopied(m *socket.Message, c *zerocopied) (int, errno.Errno) {
	b := make([]byte, 12, 16+sizeofInet6)
	b[4], b[6] = unix.SO_EE_ORIGIN_ZEROCOPY, unix.SO_EE_CODE_ZEROCOPY_COPIED
	le.PutUint32(b[8:], c.first)
	b = binary.LittleEndian.AppendUint32(b, c.last)
	level, kind, size := int32(unix.SOL_IP), int32(unix.IP_RECVERR), sizeofInet
	if e.family == afInet6 {
		level, kind, size = unix.SOL_IPV6, unix.IPV6_RECVERR, sizeofInet6
	}
	m.Flags &^= msgTrunc
	m.Control = append(m.Control, socket.Control{Level: level, Kind: kind, Data: b[:len(b)+size]}) // no address
	return 0, 0
}
