package linux

import (
	"strconv"

	"gosv/kernel/fs"
	"gosv/kernel/socket"
	"gosv/kernel/unix"
	"gosv/kernel/vsock"
	"gosv/kernel/wait"
)

// newSocket is where the families are known.
func (t *Thread) newSocket(family, kind, protocol int32) (socket.Socket, Errno) {
	switch family {
	case socket.AFUnix:
		kind, err := unix.Kind(kind, protocol)
		if err != 0 {
			return nil, err
		}
		return t.proc.kernel.unix.New(kind), 0
	case socket.AFVsock:
		s, err := t.proc.kernel.vsockets.New(kind, protocol)
		if err != 0 {
			return nil, err
		}
		return s, 0
	}
	if n := t.proc.kernel.Network; n != nil {
		return n.Socket(t, family, kind, protocol)
	}
	return nil, EAFNOSUPPORT
}

// message is what the call that t is in sends or receives.
func (t *Thread) message(u *userIO, flags uintptr) *socket.Envelope {
	t.msg = socket.Envelope{Buffer: u, Message: socket.Message{Flags: flags}}
	return &t.msg
}

// socketFile is a socket as an open file.
type socketFile struct{ socket socket.Socket }

// Socket implements socket.File.
func (f *File) Socket() (socket.Socket, int) {
	if s, ok := f.io.(*socketFile); ok {
		return s.socket, int(f.refs.Load())
	}
	return nil, 0
}

// dontWait is the flag that a call has by its file.
func (f *File) dontWait() uintptr {
	if f.nonblock() {
		return socket.MsgDontwait
	}
	return 0
}

func (s *socketFile) read(t *Thread, f *File, u *userIO) (int, Errno) {
	if c := s.socket.Common(); u.left == 0 && (!c.Network || c.Kind == socket.Stream) {
		return 0, 0
	}
	m := t.message(u, f.dontWait())
	n, err := s.socket.Receive(t, m)
	m.ReleaseFiles()
	return n, err
}

func (s *socketFile) write(t *Thread, f *File, u *userIO) (int, Errno) {
	m := t.message(u, f.dontWait())
	if s.socket.Common().Family == socket.AFUnix {
		m.From = t.Cred()
	}
	return s.socket.Send(t, m)
}

func (s *socketFile) poll(*File) (uint32, *wait.Queue) { return s.socket.Poll() }

func (s *socketFile) ioctl(t *Thread, f *File, req, arg uintptr) (uintptr, Errno) {
	const setOwn, setGroup, getOwn, getGroup = 0x8901, 0x8902, 0x8903, 0x8904 // FIOSETOWN, SIOCSPGRP, FIOGETOWN, SIOCGPGRP
	switch req {
	case setOwn, setGroup:
		var id int32
		if err := copyIn(t, &id, arg); err != 0 {
			return 0, err
		}
		return 0, t.setOwnerID(f, -1, id)
	case getOwn, getGroup:
		id := f.ownerID()
		return 0, copyOut(t, arg, &id)
	}
	n, err := s.socket.Ioctl(t, req, arg)
	if net := t.proc.kernel.Network; err == ENOTTY && net != nil {
		return 0, net.Ioctl(t, s.socket.Common().Family, req, arg)
	}
	return n, err
}

// attr is what fstat(2) shows of a socket.
func (s *socketFile) attr() fs.Attr {
	return fs.Attr{Ino: s.socket.Common().Ino, Mode: fs.Socket | 0o777, Nlink: 1, BlockSize: pageSize}
}

func (s *socketFile) name() string {
	return "socket:[" + strconv.FormatUint(s.socket.Common().Ino, 10) + "]"
}
func (s *socketFile) close(*File) { s.socket.Close() }

// What sockets need of a thread (socket.Caller), beside Wait and CopyOut.

// Can says whether t has a capability.
func (t *Thread) Can(capability uint) bool { return t.can(capability) }

// Cred is who t is to its peers.
func (t *Thread) Cred() socket.Cred {
	uid, gid := t.ids()
	return socket.Cred{PID: int32(t.proc.pid), UID: uid.effective, GID: gid.effective}
}

// BrokenPipe sends t SIGPIPE.
func (t *Thread) BrokenPipe() { t.brokenPipe() }

// At returns from where a path in a call without a directory is resolved.
func (t *Thread) At(path string) (fs.At, Errno) {
	here := atFDCWD
	return t.at(uintptr(here), path)
}

// Umask is what new files are not allowed.
func (t *Thread) Umask() uint32 { return t.umask() }

// AttachVsock gives the kernel the machine's device.
func (k *Kernel) AttachVsock(d vsock.Device) { k.vsockets.Attach(d) }

// What sockets of vsock(7) need of the kernel (vsock.System), beside NeedDevices.

// Warn writes to the kernel's message stream.
func (k *Kernel) Warn(msg string) { k.log("gosv kernel: " + msg) }

// NewSocketIno returns the inode number of a new socket.
func (k *Kernel) NewSocketIno() uint64 { return newSocketIno() }

func newSocketIno() uint64 { return 1000 + lastPipe.Add(1) }

// FillRandom fills p with random bytes.
func (k *Kernel) FillRandom(p []byte) { FillRandom(p) }
