package linux

import (
	"unsafe"

	"gosv/kernel/bpf"
	"gosv/kernel/socket"
)

// The least that a buffer's size can be set to: SOCK_MIN_SNDBUF, SOCK_MIN_RCVBUF.
const (
	leastSendBuf    = 4608
	leastReceiveBuf = 2304
)

func sysGetsockopt(t *Thread, a *Args) (uintptr, Errno) {
	return t.withSocket(a.Arg1(), func(f *File, s socket.Socket) (int, Errno) {
		level, option := int32(a.Arg2()), uintptr(uint32(a.Arg3()))
		c := s.Common()
		if level != socket.SolSocket && c.Family == socket.AFUnix {
			return 0, EOPNOTSUPP
		}
		var size int32
		if err := copyIn(t, &size, a.Arg5()); err != 0 {
			return 0, err
		}
		if size < 0 {
			return 0, EINVAL
		}
		if !c.Keeps(level, option) {
			v, err := s.Option(level, option, int(size))
			if err != 0 {
				return 0, err
			}
			if size = min(size, int32(len(v))); size > 0 {
				if err := t.CopyOut(a.Arg4(), v[:size]); err != 0 {
					return 0, err
				}
			}
			return 0, copyOut(t, a.Arg5(), &size)
		}
		var v [2]uint64
		n := 4
		switch option {
		case socket.SoType:
			v[0] = uint64(c.Kind)
		case socket.SoDomain:
			v[0] = uint64(c.Family)
		case socket.SoProtocol:
			v[0] = uint64(c.Protocol)
		case socket.SoError:
			v[0] = uint64(c.TakeError())
		case socket.SoAcceptconn:
			if l, ok := s.(interface{ Listening() bool }); ok && l.Listening() {
				v[0] = 1
			}
		case socket.SoSndbuf, socket.SoRcvbuf:
			v[0] = uint64(c.Buffers[option-socket.SoSndbuf].Load())
		case socket.SoRcvlowat:
			v[0] = 1
		case socket.SoLinger:
			n = 8
		case socket.SoRcvtimeo, socket.SoSndtimeo:
			tv := toTimeval(c.Timeout(option).Load())
			v, n = [2]uint64{uint64(tv.sec), uint64(tv.usec)}, 16
		case bpf.SoLock:
			if c.Filter.Locked() {
				v[0] = 1
			}
		case socket.SoPeercred:
			peer := c.PeerCred
			if peer.PID == 0 {
				peer = socket.Cred{UID: noID, GID: noID}
			}
			*(*socket.Cred)(unsafe.Pointer(&v)) = peer
			n = int(unsafe.Sizeof(peer))
		default:
			if option > 63 || socket.SoSwitches>>option&1 == 0 {
				return 0, ENOPROTOOPT
			}
			if c.Is(option) {
				v[0] = 1
			}
		}
		n = min(n, int(size))
		if t.space.WriteSome(a.Arg4(), unsafe.Pointer(&v), uintptr(n)) != uintptr(n) {
			return 0, EFAULT
		}
		size = int32(n)
		return 0, copyOut(t, a.Arg5(), &size)
	})
}

// copyInFilter reads the program of a struct sock_fprog.
func (t *Thread) copyInFilter(addr uintptr, size int32) ([]byte, Errno) {
	var f struct {
		len     uint16
		_       [3]uint16
		program uintptr
	}
	if uintptr(size) != unsafe.Sizeof(f) {
		return nil, EINVAL
	}
	if err := copyIn(t, &f, addr); err != 0 {
		return nil, err
	}
	if f.program == 0 || f.len == 0 || f.len > bpf.Most {
		return nil, EINVAL
	}
	b := make([]byte, int(f.len)*bpf.Size)
	return b, t.CopyIn(b, f.program)
}

func sysSetsockopt(t *Thread, a *Args) (uintptr, Errno) {
	return t.withSocket(a.Arg1(), func(f *File, s socket.Socket) (int, Errno) {
		level, option, size := int32(a.Arg2()), uintptr(uint32(a.Arg3())), int32(a.Arg5())
		c := s.Common()
		switch {
		case size < 0:
			return 0, EINVAL
		case level != socket.SolSocket && c.Family == socket.AFUnix:
			return 0, EOPNOTSUPP
		case level == socket.SolSocket && (option == bpf.SoAttach || option == bpf.SoAttachGroup && c.Network):
			b, err := t.copyInFilter(a.Arg4(), size)
			if err != 0 {
				return 0, err
			}
			if c.Network {
				return 0, s.SetOption(level, option, b)
			}
			return 0, c.Filter.Set(option, b)
		case !c.Keeps(level, option):
			const most = 4096 // what is longer is none that we know
			b := make([]byte, min(size, most))
			if err := t.CopyIn(b, a.Arg4()); err != 0 {
				return 0, err
			}
			return 0, s.SetOption(level, option, b)
		case size < 4:
			return 0, EINVAL
		}
		var v int32
		if err := copyIn(t, &v, a.Arg4()); err != 0 {
			return 0, err
		}
		switch option {
		case bpf.SoDetach, bpf.SoLock:
			return 0, c.Filter.Set(option, []byte{byte(v), byte(v >> 8), byte(v >> 16), byte(v >> 24)})
		case socket.SoSndbuf, socket.SoRcvbuf: // twice, for what comes with the data
			least := [2]int32{leastSendBuf, leastReceiveBuf}[option-socket.SoSndbuf]
			c.Buffers[option-socket.SoSndbuf].Store(max(2*min(max(v, 0), socket.DefaultBuffer), least))
		case socket.SoRcvtimeo, socket.SoSndtimeo:
			var tv timeval
			if uintptr(size) < unsafe.Sizeof(tv) {
				return 0, EINVAL
			}
			if err := copyIn(t, &tv, a.Arg4()); err != 0 {
				return 0, err
			}
			if uint64(tv.usec) >= 1_000_000 {
				return 0, EDOM
			}
			c.Timeout(option).Store(timeval{max(tv.sec, 0), tv.usec}.ns())
		case socket.SoLinger:
			if size < 8 {
				return 0, EINVAL
			}
		case socket.SoRcvlowat:
		case socket.SoType, socket.SoDomain, socket.SoProtocol, socket.SoError, socket.SoAcceptconn, socket.SoPeercred:
			return 0, ENOPROTOOPT
		default:
			if option > 63 || socket.SoSwitches>>option&1 == 0 {
				return 0, ENOPROTOOPT
			}
			if option == socket.SoDebug && v != 0 && !t.can(capNetAdmin) {
				return 0, EACCES
			}
			if v != 0 {
				c.Switches.Or(1 << option)
			} else {
				c.Switches.And(^uint64(1 << option))
			}
		}
		return 0, 0
	})
}
