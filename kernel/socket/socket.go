// Package socket is what the sockets of all families have in common: what the calls of
// socket(2) want of them, how they wait, and the numbers in which programs speak of them.
package socket

import (
	"sync/atomic"

	"gosv/kernel/bpf"
	"gosv/kernel/errno"
	"gosv/kernel/fs"
	"gosv/kernel/metal"
	"gosv/kernel/wait"
)

// Socket is a socket of some family. A call that is not to wait has MsgDontwait among its
// flags.
type Socket interface {
	Common() *Base
	Bind(c Caller, addr []byte) errno.Errno
	Listen(c Caller, backlog int) errno.Errno
	Accept(c Caller, flags uintptr) (Socket, errno.Errno)
	Connect(c Caller, addr []byte, flags uintptr) errno.Errno
	Send(c Caller, m *Envelope) (int, errno.Errno)
	Receive(c Caller, m *Envelope) (int, errno.Errno)
	Shutdown(how uintptr) errno.Errno
	Address(peer bool) ([]byte, errno.Errno) // getsockname, getpeername
	Ioctl(c Caller, req, arg uintptr) (uintptr, errno.Errno)
	Close()

	// Poll returns which events of poll(2) are so now, and the queue that is woken
	// when that changes.
	Poll() (ready uint32, q *wait.Queue)

	// Options beyond those of SOL_SOCKET. The program has room for size bytes of
	// one that it asks for, and gets no more of them.
	Option(level int32, option uintptr, size int) ([]byte, errno.Errno)
	SetOption(level int32, option uintptr, v []byte) errno.Errno
}

// Caller is the thread that makes a call.
type Caller interface {
	// Wait blocks it in q until ready returns true. It returns errno.RestartSys if a
	// signal came first, errno.ETIMEDOUT when the deadline, of metal.Now, has passed.
	Wait(q *wait.Queue, deadline uint64, ready func() bool) errno.Errno

	// CopyIn reads its memory and CopyOut writes it: errno.EFAULT if that cannot be.
	CopyIn(dst []byte, addr uintptr) errno.Errno
	CopyOut(addr uintptr, src []byte) errno.Errno

	Can(capability uint) bool // capabilities(7)
	Cred() Cred
	BrokenPipe() // it gets the signal SIGPIPE

	// At returns from where a path is resolved, Umask what new files are not allowed.
	At(path string) (fs.At, errno.Errno)
	Umask() uint32
}

// What Caller.Can is asked for.
const (
	CapNetBind  = 10 // CAP_NET_BIND_SERVICE
	CapNetAdmin = 12
	CapNetRaw   = 13
)

// Cred is struct ucred (unix(7)).
type Cred struct {
	PID      int32
	UID, GID uint32
}

// Buffer is what a call reads to or writes from.
type Buffer interface {
	fs.Sink
	fs.Source
	Len() int    // bytes left
	Fault() bool // some could not be accessed
	Read(p []byte) (int, error)
	Write(p []byte) (int, error)
}

// File is an open file on its way from one process to another.
type File interface {
	Retain()
	Release()

	// Socket returns the socket that it is, or nil, and how many hold the file.
	Socket() (s Socket, holders int)
}

// Message is what one call sends or receives.
type Message struct {
	Data interface {
		Len() int
		Read(p []byte) (int, error)  // what is sent
		Write(p []byte) (int, error) // what is received
	}
	Flags   uintptr   // MSG_PEEK ... of the call, MSG_TRUNC ... of what was received
	Addr    []byte    // where it goes, nil for the one it is connected to; where it came from
	Control []Control // what goes along with it
	Admin   bool      // of AF_NETLINK: who sends it may change the network (CAP_NET_ADMIN)
}

// Control is a control message (cmsg(3)).
type Control struct {
	Level, Kind int32
	Data        []byte
}

// Envelope is what a call sends or receives, with what only some families know.
type Envelope struct {
	Buffer
	Message
	Files []File // SCM_RIGHTS
	From  Cred   // SCM_CREDENTIALS
	Given bool   // by the sender
	None  bool   // no message has come, not even an empty one: nobody sends any more, or it is an urgent byte
}

// ReleaseFiles is for who does not pass the files on.
func (m *Envelope) ReleaseFiles() {
	for _, f := range m.Files {
		f.Release()
	}
	m.Files = nil
}

// Base is what all sockets have.
type Base struct {
	Family, Kind, Protocol int32
	Network                bool // it stands on a Network
	Ino                    uint64

	Err      atomic.Uint32   // SO_ERROR: reported once
	receives atomic.Uint64   // SO_RCVTIMEO in ns, 0: none
	sends    atomic.Uint64   // SO_SNDTIMEO
	Switches atomic.Uint64   // options that are on or off, by number
	Buffers  [2]atomic.Int32 // SO_SNDBUF, SO_RCVBUF
	PeerCred Cred            // SO_PEERCRED; pid 0: it has no peer
	Filter   bpf.Slot        // of what does not stand on a Network
}

// Init makes c that of a new socket.
func (c *Base) Init(family, kind, protocol int32, ino uint64) {
	c.Family, c.Kind, c.Protocol, c.Ino = family, kind, protocol, ino
}

// DefaultBuffers sets the sizes that a socket has whose bytes are counted here.
func (c *Base) DefaultBuffers() {
	for i := range c.Buffers {
		c.Buffers[i].Store(DefaultBuffer)
	}
}

// Common implements Socket, for those that embed one.
func (c *Base) Common() *Base { return c }

// Option and SetOption are for families that have no options.
func (*Base) Option(int32, uintptr, int) ([]byte, errno.Errno) { return nil, errno.EOPNOTSUPP }

func (*Base) SetOption(int32, uintptr, []byte) errno.Errno { return errno.EOPNOTSUPP }

// Families and kinds (socket(2)), flags (send(2), recv(2)), and what shutdown(2) ends.
const (
	AFUnix    = 1
	AFInet    = 2
	AFInet6   = 10
	AFNetlink = 16
	AFPacket  = 17
	AFVsock   = 40

	Stream    = 1
	Dgram     = 2
	Raw       = 3
	Seqpacket = 5

	MsgOOB      = 0x1
	MsgPeek     = 0x2
	MsgCtrunc   = 0x8
	MsgTrunc    = 0x20
	MsgDontwait = 0x40
	MsgWaitall  = 0x100
	MsgErrqueue = 0x2000
	MsgMore     = 0x8000
	MsgNosignal = 0x4000
	MsgZerocopy = 0x4000000
	MsgFastopen = 0x20000000

	ShutRead  = 1
	ShutWrite = 2

	DefaultBuffer = 212992 // net.core.wmem_default

	Inq    = 0x541b // SIOCINQ
	Outq   = 0x5411 // SIOCOUTQ
	AtMark = 0x8905 // SIOCATMARK
)

// Options of SOL_SOCKET (socket(7)).
const (
	SolSocket = 1

	SoDebug      = 1
	SoReuseaddr  = 2
	SoType       = 3
	SoError      = 4
	SoDontroute  = 5
	SoBroadcast  = 6
	SoSndbuf     = 7
	SoRcvbuf     = 8
	SoKeepalive  = 9
	SoOOBinline  = 10
	SoLinger     = 13
	SoReuseport  = 15
	SoPasscred   = 16
	SoPeercred   = 17
	SoRcvlowat   = 18
	SoRcvtimeo   = 20
	SoSndtimeo   = 21
	SoTimestamp  = 29
	SoAcceptconn = 30
	SoProtocol   = 38
	SoDomain     = 39

	SoSwitches = 1<<SoDebug | 1<<SoReuseaddr | 1<<SoDontroute | 1<<SoBroadcast | 1<<SoKeepalive | 1<<SoOOBinline |
		1<<SoReuseport | 1<<SoPasscred | 1<<SoTimestamp
)

// Keeps says whether an option is answered by who makes the call, for all families alike. What
// stands on a Network has the rest.
func (c *Base) Keeps(level int32, option uintptr) bool {
	if level != SolSocket || !c.Network {
		return level == SolSocket
	}
	switch option {
	case SoDebug, SoType, SoDomain, SoDontroute, SoRcvlowat, SoRcvtimeo, SoSndtimeo, SoPasscred, SoPeercred:
		return true
	}
	return false
}

// Inherit takes over what a socket of a connection has of the one that listened.
func (c *Base) Inherit(from *Base) {
	c.receives.Store(from.receives.Load())
	c.sends.Store(from.sends.Load())
	c.Switches.Store(from.Switches.Load())
	for i := range c.Buffers {
		c.Buffers[i].Store(from.Buffers[i].Load())
	}
}

// Is says whether an option is on.
func (c *Base) Is(option uintptr) bool { return c.Switches.Load()>>option&1 != 0 }

// TakeError returns the pending error, which is reported once.
func (c *Base) TakeError() errno.Errno { return errno.Errno(c.Err.Swap(0)) }

// Timeout is SO_RCVTIMEO or SO_SNDTIMEO, in ns; 0 is none.
func (c *Base) Timeout(option uintptr) *atomic.Uint64 {
	if option == SoRcvtimeo {
		return &c.receives
	}
	return &c.sends
}

// Await waits for ready in q, as long as the flags of the call and the socket's timeout
// say.
func (c *Base) Await(t Caller, q *wait.Queue, flags, option uintptr, ready func() bool) errno.Errno {
	if ready() {
		return 0
	}
	if flags&MsgDontwait != 0 {
		return errno.EAGAIN
	}
	limit := c.Timeout(option).Load()
	if limit == 0 {
		return t.Wait(q, wait.Never, ready)
	}
	err := t.Wait(q, metal.Now()+limit, ready)
	switch err {
	case errno.ETIMEDOUT:
		err = errno.EAGAIN
	case errno.RestartSys:
		err = errno.EINTR
	}
	return err
}
