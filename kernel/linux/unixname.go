package linux

import (
	"slices"
	"sync"

	"gosv/kernel/fs"
)

// The names of unix(7) sockets: files, and the abstract ones, which start with a zero
// byte and are gone with their sockets.

// unixNames finds sockets by name.
type unixNames struct {
	mu    sync.Mutex
	names map[unixName]*unixSocket // nil until there is one
	auto  uint32                   // the last name that was made up
}

// unixName is a key: a file or an abstract name.
type unixName struct {
	fs       fs.FileSystem
	ino      uint64
	abstract string
}

const (
	unixPathAt  = 2 // of sun_path in struct sockaddr_un
	unixPathMax = 108
)

func (n *unixNames) find(key unixName) *unixSocket {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.names[key]
}

// take gives s the name, if no other has it. A file's is always the last one's: the
// one before has lost it.
func (n *unixNames) take(s *unixSocket, key unixName) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.names[key] != nil && key.fs == nil {
		return false
	}
	if n.names == nil {
		n.names = map[unixName]*unixSocket{}
	}
	n.names[key] = s
	return true
}

func (n *unixNames) drop(s *unixSocket, key unixName) {
	n.mu.Lock()
	if n.names[key] == s {
		delete(n.names, key)
	}
	n.mu.Unlock()
}

// all returns the sockets that have names.
func (n *unixNames) all() (list []*unixSocket) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.names {
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b *unixSocket) int { return int(int64(a.ino - b.ino)) })
	return list
}

// unixAddr checks a struct sockaddr_un, and returns the path in it, or the abstract name.
func unixAddr(addr []byte) (path string, abstract bool, err Errno) {
	if len(addr) <= unixPathAt || len(addr) > unixPathAt+unixPathMax || addr[0] != afUnix || addr[1] != 0 {
		return "", false, EINVAL
	}
	if name := string(addr[unixPathAt:]); name[0] == 0 {
		return name, true, 0
	}
	path, _, _ = cut(string(addr[unixPathAt:]), 0)
	return path, false, 0
}

// unixPeer finds the socket of an address, which must be of that kind.
func (t *Thread) unixPeer(addr []byte, kind int32) (*unixSocket, Errno) {
	path, abstract, err := unixAddr(addr)
	if err != 0 {
		return nil, err
	}
	names := &t.proc.kernel.unix
	var s *unixSocket
	if abstract {
		s = names.find(unixName{abstract: path})
	} else {
		here := atFDCWD
		at, err := t.at(uintptr(here), path)
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
		s = names.find(unixName{fs: place.Inode.FS(), ino: place.Inode.Ino()})
	}
	switch {
	case s == nil:
		return nil, ECONNREFUSED
	case s.kind != kind:
		return nil, EPROTOTYPE
	}
	return s, 0
}

func (s *unixSocket) bind(t *Thread, addr []byte) Errno {
	if len(addr) == unixPathAt && addr[0] == afUnix && addr[1] == 0 {
		return s.autobind(t)
	}
	path, abstract, err := unixAddr(addr)
	if err != 0 {
		return err
	}
	s.binding.Lock()
	defer s.binding.Unlock()
	if s.ownName() != nil {
		return EINVAL
	}
	key := unixName{abstract: path}
	if !abstract {
		here := atFDCWD
		at, err := t.at(uintptr(here), path)
		if err != 0 {
			return err
		}
		if err = at.Make(path, fs.New{Mode: fs.Socket | fs.PermMask&0o777&^t.umask()}); err == EEXIST {
			err = EADDRINUSE
		}
		if err != 0 {
			return err
		}
		place, err := at.Lookup(path)
		if err != 0 {
			return err
		}
		key = unixName{fs: place.Inode.FS(), ino: place.Inode.Ino()}
		addr = append([]byte{afUnix, 0}, path+"\x00"...)
	}
	if !t.proc.kernel.unix.take(s, key) {
		return EADDRINUSE
	}
	s.named(t.proc.kernel, key, slices.Clone(addr))
	return 0
}

// named notes the name that s has.
func (s *unixSocket) named(k *Kernel, key unixName, addr []byte) {
	s.mu.Lock()
	s.kernel, s.key, s.addr = k, key, addr
	s.mu.Unlock()
}

// autobind gives s an abstract name of five digits, if it has none.
func (s *unixSocket) autobind(t *Thread) Errno {
	const digits = "0123456789abcdef"
	s.binding.Lock()
	defer s.binding.Unlock()
	names := &t.proc.kernel.unix
	for range 1 << 20 {
		if s.ownName() != nil {
			return 0
		}
		names.mu.Lock()
		names.auto++
		n := names.auto
		names.mu.Unlock()
		addr := []byte{afUnix, 0, 0}
		for shift := 16; shift >= 0; shift -= 4 {
			addr = append(addr, digits[n>>shift&15])
		}
		if key := (unixName{abstract: string(addr[unixPathAt:])}); names.take(s, key) {
			s.named(t.proc.kernel, key, addr)
		}
	}
	return ENOSPC
}

// ownName returns the address that s is bound to, nil if it is not.
func (s *unixSocket) ownName() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr
}

func (s *unixSocket) listening() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listens
}

func (s *unixSocket) listen(t *Thread, backlog int) Errno {
	if s.kind == sockDgram {
		return EOPNOTSUPP
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.addr == nil || s.peer != nil {
		return EINVAL
	}
	s.listens, s.backlog = true, backlog
	s.peerCred = t.ucred() // what those who connect see
	s.room.Wake()
	return 0
}

func (s *unixSocket) accept(t *Thread, f *File) (socket, Errno) {
	if s.kind == sockDgram {
		return nil, EOPNOTSUPP
	}
	if !s.listening() {
		return nil, EINVAL
	}
	var n *unixSocket
	err := s.await(t, f, &s.queue, 0, soRcvtimeo, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.pending) == 0 {
			return s.shut&shutRead != 0
		}
		n = s.pending[0]
		s.pending = s.pending[1:]
		return true
	})
	if err != 0 {
		return nil, err
	}
	if n == nil {
		return nil, EINVAL
	}
	s.room.Wake()
	return n, 0
}

func (s *unixSocket) connect(t *Thread, f *File, addr []byte) Errno {
	if s.kind == sockDgram {
		return s.connectPackets(t, addr)
	}
	if _, _, err := unixAddr(addr); err != 0 {
		return err
	}
	if s.is(soPasscred) {
		if err := s.autobind(t); err != 0 {
			return err
		}
	}
	other, err := t.unixPeer(addr, s.kind)
	if err != 0 {
		return err
	}
	n := newUnixSocket(s.kind)
	n.inherit(&other.socketCommon)
	n.peer, n.peerCred = s, t.ucred()
	waited := s.await(t, f, &other.room, 0, soSndtimeo, func() bool {
		s.mu.Lock()
		switch {
		case s.listens:
			err = EINVAL
		case s.peer != nil:
			err = EISCONN
		default:
			s.peer = n
		}
		s.mu.Unlock()
		if err != 0 {
			return true
		}
		other.mu.Lock()
		full := len(other.pending) > other.backlog
		switch {
		case !other.listens || other.dead || other.shut&shutRead != 0:
			err = ECONNREFUSED
		case !full:
			n.addr = other.addr
			other.pending = append(other.pending, n)
		}
		cred := other.peerCred
		other.mu.Unlock()
		s.mu.Lock()
		if err != 0 || full {
			s.peer = nil
		} else {
			s.peerCred = cred
		}
		s.mu.Unlock()
		return err != 0 || !full
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

// connectPackets sets where the datagrams of s go, and from where it takes them;
// the family AF_UNSPEC ends that.
func (s *unixSocket) connectPackets(t *Thread, addr []byte) Errno {
	var other *unixSocket
	if len(addr) < unixPathAt || addr[0] != 0 || addr[1] != 0 {
		if _, _, err := unixAddr(addr); err != 0 {
			return err
		}
		if s.is(soPasscred) {
			if err := s.autobind(t); err != 0 {
				return err
			}
		}
		var err Errno
		if other, err = t.unixPeer(addr, s.kind); err != 0 {
			return err
		}
		if !s.maySend(other) {
			return EPERM
		}
	}
	s.mu.Lock()
	old, lost := s.peer, s.first != nil
	s.peer = other
	if old != nil && old != other { // what has come from it is lost
		for p := s.first; p != nil; p = p.next {
			releaseAll(p.files)
		}
		s.first, s.last, s.size, s.count = nil, nil, 0, 0
	}
	s.mu.Unlock()
	if other != nil {
		other.mu.Lock()
		other.senders = append(other.senders, s)
		other.mu.Unlock()
	}
	if old != nil && old != other {
		old.forget(s)
		old.mu.Lock()
		if lost && !old.dead && old.peer == s {
			old.err.Store(uint32(ECONNRESET))
		}
		old.mu.Unlock()
		old.queue.Wake()
		old.room.Wake()
	}
	return 0
}

// forget ends that s's news are o's, too.
func (s *unixSocket) forget(o *unixSocket) {
	s.mu.Lock()
	if i := slices.Index(s.senders, o); i >= 0 {
		s.senders = slices.Delete(s.senders, i, i+1)
	}
	s.mu.Unlock()
}

// maySend says whether other takes datagrams of s: not if it is connected to a third.
func (s *unixSocket) maySend(other *unixSocket) bool {
	peer := other.other()
	return peer == nil || peer == s
}

// unixTable is /proc/net/unix: of sockets that have names.
func unixTable(sub *subject, b *text) {
	b.str("Num       RefCount Protocol Flags    Type St Inode Path\n")
	for _, s := range sub.k.unix.all() {
		s.mu.Lock()
		addr, flags, state := s.addr, uint64(0), uint64(1)
		switch {
		case s.listens:
			flags = 0x10000
		case s.peer != nil:
			state = 3
		}
		s.mu.Unlock()
		b.str("0000000000000000: 00000002 00000000 ")
		b.hex(flags, 8)
		b.str(" ")
		b.hex(uint64(s.kind), 4)
		b.str(" ")
		b.hex(state, 2)
		b.str(" ")
		b.num(s.ino)
		b.str(" ")
		path := addr[unixPathAt:]
		if path[0] == 0 {
			b.str("@")
			path = path[1:]
		} else {
			path = path[:len(path)-1]
		}
		for _, c := range path {
			if c == 0 {
				c = '@'
			}
			b.str(string(rune(c)))
		}
		b.str("\n")
	}
}
