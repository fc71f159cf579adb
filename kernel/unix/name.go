package unix

import (
	"slices"
	"sync"

	"gosv/kernel/errno"
	"gosv/kernel/fs"
	"gosv/kernel/socket"
)

// The names of unix(7) sockets: files, and the abstract ones, which start with a zero
// byte and are gone with their sockets.

// Names finds sockets by name.
type Names struct {
	NewIno func() uint64 // returns the inode number of a new socket

	mu    sync.Mutex
	names map[name]*Socket // nil until there is one
	auto  uint32           // the last name that was made up

	rights rights
}

// name is a key: a file or an abstract name, of which each kind of sockets has its own.
type name struct {
	fs       fs.FileSystem
	ino      uint64
	abstract string
	kind     int32
}

const (
	pathAt  = 2 // of sun_path in struct sockaddr_un
	pathMax = 108
)

func (n *Names) find(key name) *Socket {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.names[key]
}

// take gives s the name, if no other has it. A file's is always the last one's: the
// one before has lost it.
func (n *Names) take(s *Socket, key name) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.names[key] != nil && key.fs == nil {
		return false
	}
	if n.names == nil {
		n.names = map[name]*Socket{}
	}
	n.names[key] = s
	return true
}

func (n *Names) lose(s *Socket, key name) {
	n.mu.Lock()
	if n.names[key] == s {
		delete(n.names, key)
	}
	n.mu.Unlock()
}

// All returns the sockets that have names.
func (n *Names) All() (list []*Socket) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.names {
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b *Socket) int { return int(int64(a.Ino - b.Ino)) })
	return list
}

// unixAddr checks a struct sockaddr_un, and returns the path in it, or the abstract name.
func address(addr []byte) (path string, abstract bool, err errno.Errno) {
	if len(addr) <= pathAt || len(addr) > pathAt+pathMax || addr[0] != socket.AFUnix || addr[1] != 0 {
		return "", false, errno.EINVAL
	}
	if name := string(addr[pathAt:]); name[0] == 0 {
		return name, true, 0
	}
	bytes := addr[pathAt:]
	if end := slices.Index(bytes, 0); end >= 0 {
		bytes = bytes[:end]
	}
	return string(bytes), false, 0
}

// peer finds the socket of an address, which must be of that kind.
func (n *Names) peer(c socket.Caller, addr []byte, kind int32) (*Socket, errno.Errno) {
	path, abstract, err := address(addr)
	if err != 0 {
		return nil, err
	}
	var s *Socket
	if abstract {
		s = n.find(name{abstract: path, kind: kind})
	} else {
		at, err := c.At(path)
		if err != 0 {
			return nil, err
		}
		place, err := at.Lookup(path)
		if err != 0 {
			return nil, err
		}
		if err := at.Caller.Access(place.Inode, fs.MayWrite); err != 0 {
			return nil, err
		}
		s = n.find(name{fs: place.Inode.FS(), ino: place.Inode.Ino()})
	}
	switch {
	case s == nil:
		return nil, errno.ECONNREFUSED
	case s.Kind != kind:
		return nil, errno.EPROTOTYPE
	}
	return s, 0
}

// Bind implements socket.Socket.
func (s *Socket) Bind(c socket.Caller, addr []byte) errno.Errno {
	if len(addr) == pathAt && addr[0] == socket.AFUnix && addr[1] == 0 {
		return s.autobind()
	}
	path, abstract, err := address(addr)
	if err != 0 {
		return err
	}
	s.binding.Lock()
	defer s.binding.Unlock()
	bound := s.ownName() != nil
	if bound && abstract {
		return errno.EINVAL
	}
	key := name{abstract: path, kind: s.Kind}
	if !abstract {
		at, err := c.At(path)
		if err != 0 {
			return err
		}
		if err = at.Make(path, fs.New{Mode: fs.Socket | fs.PermMask&0o777&^c.Umask()}); err == errno.EEXIST {
			err = errno.EADDRINUSE
		}
		if err != 0 {
			return err
		}
		if bound {
			at.Unlink(path)
			return errno.EINVAL
		}
		place, err := at.Lookup(path)
		if err != 0 {
			return err
		}
		key = name{fs: place.Inode.FS(), ino: place.Inode.Ino()}
		addr = append([]byte{socket.AFUnix, 0}, path+"\x00"...)
	}
	if !s.names.take(s, key) {
		return errno.EADDRINUSE
	}
	s.named(key, slices.Clone(addr))
	return 0
}

// named notes the name that s has.
func (s *Socket) named(key name, addr []byte) {
	s.mu.Lock()
	s.key, s.addr = key, addr
	s.mu.Unlock()
}

// autobind gives s an abstract name of five digits, if it has none.
func (s *Socket) autobind() errno.Errno {
	const digits = "0123456789abcdef"
	s.binding.Lock()
	defer s.binding.Unlock()
	names := s.names
	for range 1 << 20 {
		if s.ownName() != nil {
			return 0
		}
		names.mu.Lock()
		names.auto++
		n := names.auto
		names.mu.Unlock()
		addr := []byte{socket.AFUnix, 0, 0}
		for shift := 16; shift >= 0; shift -= 4 {
			addr = append(addr, digits[n>>shift&15])
		}
		if key := (name{abstract: string(addr[pathAt:]), kind: s.Kind}); names.take(s, key) {
			s.named(key, addr)
		}
	}
	return errno.ENOSPC
}

// ownName returns the address that s is bound to, nil if it is not.
func (s *Socket) ownName() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr
}

// Listening says whether it takes connections.
func (s *Socket) Listening() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listens
}

// Listen implements socket.Socket.
func (s *Socket) Listen(c socket.Caller, backlog int) errno.Errno {
	if s.Kind == socket.Dgram {
		return errno.EOPNOTSUPP
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.addr == nil || s.peer != nil {
		return errno.EINVAL
	}
	s.listens, s.backlog = true, backlog
	s.PeerCred = c.Cred() // what those who connect see
	s.room.Wake()
	return 0
}

// Accept implements socket.Socket.
func (s *Socket) Accept(c socket.Caller, flags uintptr) (socket.Socket, errno.Errno) {
	if s.Kind == socket.Dgram {
		return nil, errno.EOPNOTSUPP
	}
	if !s.Listening() {
		return nil, errno.EINVAL
	}
	var n *Socket
	err := s.Await(c, &s.queue, flags, socket.SoRcvtimeo, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.pending) == 0 {
			return flags&socket.MsgDontwait == 0 && s.shut&socket.ShutRead != 0
		}
		n = s.pending[0]
		n.mu.Lock()
		n.embryo = false
		n.mu.Unlock()
		s.pending = s.pending[1:]
		return true
	})
	if err != 0 {
		return nil, err
	}
	if n == nil {
		return nil, errno.EINVAL
	}
	s.room.Wake()
	return n, 0
}

// Connect implements socket.Socket.
func (s *Socket) Connect(c socket.Caller, addr []byte, flags uintptr) errno.Errno {
	if s.Kind == socket.Dgram {
		return s.connectPackets(c, addr)
	}
	if _, _, err := address(addr); err != 0 {
		return err
	}
	if s.Is(socket.SoPasscred) {
		if err := s.autobind(); err != 0 {
			return err
		}
	}
	other, err := s.names.peer(c, addr, s.Kind)
	if err != 0 {
		return err
	}
	n := s.names.New(s.Kind)
	n.Inherit(&other.Base)
	n.peer, n.PeerCred, n.embryo = s, c.Cred(), true
	waited := s.Await(c, &other.room, flags, socket.SoSndtimeo, func() bool {
		other.mu.Lock()
		err = other.mayConnect()
		other.mu.Unlock()
		if err != 0 {
			return err != errno.EAGAIN
		}
		s.mu.Lock()
		switch {
		case s.listens:
			err = errno.EINVAL
		case s.peer != nil:
			err = errno.EISCONN
		default:
			s.peer = n
		}
		s.mu.Unlock()
		if err != 0 {
			return true
		}
		other.mu.Lock()
		if err = other.mayConnect(); err == 0 { // still
			n.addr = other.addr
			other.pending = append(other.pending, n)
		}
		cred := other.PeerCred
		other.mu.Unlock()
		s.mu.Lock()
		if err != 0 {
			s.peer = nil
		} else {
			s.PeerCred = cred
		}
		s.mu.Unlock()
		return err != errno.EAGAIN
	})
	if waited != 0 {
		return waited
	}
	if err == 0 {
		other.queue.Wake()
		s.queue.Wake()
	}
	return err
}

// mayConnect says why nobody can connect to s, EAGAIN if that may change; s.mu is held.
func (s *Socket) mayConnect() errno.Errno {
	switch {
	case !s.listens || s.deaf():
		return errno.ECONNREFUSED
	case len(s.pending) > s.backlog:
		return errno.EAGAIN
	}
	return 0
}

// connectPackets sets where the datagrams of s go, and from where it takes them;
// the family AF_UNSPEC ends that.
func (s *Socket) connectPackets(c socket.Caller, addr []byte) errno.Errno {
	var other *Socket
	if len(addr) < pathAt || addr[0] != 0 || addr[1] != 0 {
		if _, _, err := address(addr); err != 0 {
			return err
		}
		if s.Is(socket.SoPasscred) {
			if err := s.autobind(); err != 0 {
				return err
			}
		}
		var err errno.Errno
		if other, err = s.names.peer(c, addr, s.Kind); err != 0 {
			return err
		}
		if !s.maySend(other) {
			return errno.EPERM
		}
	}
	s.mu.Lock()
	old := s.peer
	s.peer = other
	var lost *parcel
	if old != nil && old != other { // what has come from it is lost
		lost = s.first
		s.first, s.last, s.count = nil, nil, 0
	}
	s.mu.Unlock()
	s.names.drop(lost)
	if other != nil {
		other.mu.Lock()
		other.senders = append(other.senders, s)
		other.mu.Unlock()
	}
	if old != nil && old != other {
		old.forget(s)
		old.mu.Lock()
		if lost != nil && !old.dead && old.peer == s {
			old.Err.Store(uint32(errno.ECONNRESET))
		}
		old.mu.Unlock()
		old.queue.Wake()
		old.room.Wake()
	}
	return 0
}

// forget ends that s's news are o's, too.
func (s *Socket) forget(o *Socket) {
	s.mu.Lock()
	if i := slices.Index(s.senders, o); i >= 0 {
		s.senders = slices.Delete(s.senders, i, i+1)
	}
	s.mu.Unlock()
}

// maySend says whether other takes datagrams of s: not if it is connected to a third.
func (s *Socket) maySend(other *Socket) bool {
	peer := other.other()
	return peer == nil || peer == s
}

// State returns the path of a socket that has a name, with its final zero byte, or its
// abstract name, and what it is about.
func (s *Socket) State() (path []byte, listens, connected bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr[pathAt:], s.listens, s.peer != nil
}
