package linux

import (
	"unsafe"

	"gosv/kernel/socket"
)

// cmsgHdr is struct cmsghdr (cmsg(3)).
type cmsgHdr struct {
	len         uintptr
	level, kind int32
}

const (
	cmsgHdrSize    = unsafe.Sizeof(cmsgHdr{})
	scmRights      = 1
	scmCredentials = 2
	scmMaxFDs      = 253
	maxControl     = 20 << 10 // net.core.optmem_max
)

// readControl takes the control messages at addr into m.
func (t *Thread) readControl(m *socket.Envelope, addr, n uintptr) Errno {
	if n >= maxControl {
		return ENOBUFS
	}
	for end := addr + n; addr+cmsgHdrSize <= end; {
		var h cmsgHdr
		if err := copyIn(t, &h, addr); err != 0 {
			return err
		}
		if h.len < cmsgHdrSize || h.len > end-addr {
			return EINVAL
		}
		data, size := addr+cmsgHdrSize, h.len-cmsgHdrSize
		switch {
		case h.level != socket.SolSocket:
			c := socket.Control{Level: h.level, Kind: h.kind, Data: make([]byte, size)}
			if err := t.CopyIn(c.Data, data); err != 0 {
				return err
			}
			m.Control = append(m.Control, c)
		case h.kind == scmRights:
			fds := make([]int32, size/4)
			if len(fds)+len(m.Files) > scmMaxFDs {
				return EINVAL
			}
			if err := copyInSlice(t, fds, data); err != 0 {
				return err
			}
			for _, fd := range fds {
				f, err := t.file(uintptr(fd))
				if err != 0 {
					return err
				}
				m.Files = append(m.Files, f)
			}
		case h.kind == scmCredentials:
			if size != unsafe.Sizeof(m.From) {
				return EINVAL
			}
			var c socket.Cred
			if err := copyIn(t, &c, data); err != 0 {
				return err
			}
			uid, gid := t.ids()
			switch {
			case c.UID == noID || c.GID == noID:
				return EINVAL
			case int(c.PID) != t.proc.pid && !t.can(capSysAdmin),
				c.UID != uid.real && c.UID != uid.effective && c.UID != uid.saved && !t.can(capSetUID),
				c.GID != gid.real && c.GID != gid.effective && c.GID != gid.saved && !t.can(capSetGID):
				return EPERM
			case int(c.PID) != t.proc.pid && t.proc.kernel.process(int(c.PID)) == nil:
				return ESRCH
			}
			m.From, m.Given = c, true
		default:
			return EINVAL
		}
		addr += (h.len + 7) &^ 7
	}
	return 0
}

// writeControl writes what came with m into the n bytes at addr, makes descriptors of
// its files, and returns how many bytes it wrote. What cannot be written is left out, as
// Linux does it.
func (t *Thread) writeControl(m *socket.Envelope, addr, n uintptr, passCred bool) (done uintptr) {
	put := func(level, kind int32, data unsafe.Pointer, size uintptr) {
		if room := n - done - cmsgHdrSize; size > room { // a part of it comes
			m.Flags |= socket.MsgCtrunc
			size = room
		}
		h := cmsgHdr{cmsgHdrSize + size, level, kind}
		if copyOut(t, addr+done, &h) == 0 && t.space.WriteSome(addr+done+cmsgHdrSize, data, size) == size {
			done = min(done+(h.len+7)&^7, n)
		}
	}
	if passCred {
		if n < cmsgHdrSize {
			m.Flags |= socket.MsgCtrunc
		} else {
			put(socket.SolSocket, scmCredentials, unsafe.Pointer(&m.From), unsafe.Sizeof(m.From))
		}
	}
	for _, c := range m.Control {
		if n-done < cmsgHdrSize+uintptr(len(c.Data)) {
			m.Flags |= socket.MsgCtrunc
			break
		}
		put(c.Level, c.Kind, unsafe.Pointer(&c.Data[0]), uintptr(len(c.Data)))
	}
	if len(m.Files) == 0 {
		return done
	}
	room := 0
	if n > done+cmsgHdrSize {
		room = int(n-done-cmsgHdrSize) / 4
	}
	var fds []int32
	for len(fds) < room && len(m.Files) > 0 {
		fd, err := t.install(m.Files[0].(*File), 0, m.Flags&msgCmsgCloexec != 0)
		m.Files = m.Files[1:]
		if err != 0 {
			m.Flags |= socket.MsgCtrunc
			break
		}
		v := int32(fd)
		if copyOut(t, addr+done+cmsgHdrSize+4*uintptr(len(fds)), &v) != 0 {
			t.proc.files.take(fd).Release()
			m.Flags |= socket.MsgCtrunc
			break
		}
		fds = append(fds, v)
	}
	if len(m.Files) > 0 {
		m.Flags |= socket.MsgCtrunc
	}
	if len(fds) > 0 {
		put(socket.SolSocket, scmRights, unsafe.Pointer(&fds[0]), uintptr(len(fds))*4)
	}
	return done
}
