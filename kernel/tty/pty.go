package tty

import (
	"strconv"
	"sync"

	"gosv/kernel/errno"
	"gosv/kernel/fs"
	"gosv/kernel/wait"
)

// Pairs are the pseudo-terminals there are (pty(7)), and their directory, devpts.
type Pairs struct {
	mu   sync.Mutex
	all  []*pair // by number; nil: free
	root fs.Inode
}

const (
	Major      = 136      // of the terminals' device numbers; the minor one is that of the pair
	MaxPairs   = 4096     // /proc/sys/kernel/pty/max
	pairBuffer = 64 << 10 // bytes that nobody has read from the master
)

// pair is a pseudo-terminal: a terminal, and the master, at which somebody plays the device
// behind it. The other end of the terminal's line discipline is the master.
type pair struct {
	Terminal
	all    *Pairs
	number int

	// Under Terminal.mu:
	shown    []byte // for the master to read
	status   byte   // of packet mode, 0: nothing new
	packets  bool   // TIOCPKT
	locked   bool   // TIOCSPTLCK
	slaves   int    // open
	opened   bool   // a slave ever was, and none has gone since the last
	noMaster bool
	alone    bool // TIOCEXCL for the master

	out wait.Queue // of the master
}

// Status bytes of packet mode (ioctl_tty(2), "Packet mode").
const (
	pktFlushRead  = 1
	pktFlushWrite = 2
)

// Master and Slave are the ends as open files.
type Master struct{ pair *pair }

type Slave struct{ pair *pair }

// Root returns the root of /dev/pts: what create returns to the first one who asks.
func (x *Pairs) Root(create func() fs.Inode) fs.Inode {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.root == nil {
		x.root = create()
	}
	return x.root
}

// Count returns how many pairs there are.
func (x *Pairs) Count() (n uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, p := range x.all {
		if p != nil {
			n++
		}
	}
	return n
}

// Open makes a pair, of a terminal that belongs to a user. Somebody has asked for Root before.
func (x *Pairs) Open(uid uint32) (*Master, errno.Errno) {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := 0
	for n < len(x.all) && x.all[n] != nil {
		n++
	}
	switch {
	case n == MaxPairs:
		return nil, errno.ENOSPC
	case n == len(x.all):
		x.all = append(x.all, nil)
	}
	p := &pair{all: x, number: n, locked: true}
	p.Terminal.set = plainTermios
	p.Terminal.pty = p
	const ttyGroup = 5
	if _, err := x.root.Create(strconv.Itoa(n), fs.New{Mode: fs.Char | 0o620, UID: uid, GID: ttyGroup, Rdev: fs.Device(Major, uint32(n))}); err != 0 {
		return nil, err
	}
	x.all[n] = p
	return &Master{p}, 0
}

// OpenSlave opens the terminal of a pair, even one that is exclusive for who is
// privileged.
func (x *Pairs) OpenSlave(number uint32, privileged bool) (*Slave, errno.Errno) {
	x.mu.Lock()
	var p *pair
	if int(number) < len(x.all) {
		p = x.all[number]
	}
	x.mu.Unlock()
	if p == nil {
		return nil, errno.EIO
	}
	p.mu.Lock()
	if p.locked || p.noMaster {
		p.mu.Unlock()
		return nil, errno.EIO
	}
	if p.excl && p.slaves > 0 && !privileged {
		p.mu.Unlock()
		return nil, errno.EBUSY
	}
	p.slaves++
	p.opened = true
	p.mu.Unlock()
	return &Slave{p}, 0
}

// show takes what the terminal shows, with y.mu not held.
func (p *pair) show(b []byte) {
	if len(b) == 0 {
		return
	}
	p.mu.Lock()
	p.shown = append(p.shown, b...)
	p.mu.Unlock()
	p.out.Wake()
}

// flushed throws away what the master has not read if status says so, and tells it
// in packet mode which queues of the terminal were emptied.
func (p *pair) flushed(status byte) {
	p.mu.Lock()
	p.flushLocked(status)
	p.mu.Unlock()
	p.out.Wake()
}

func (p *pair) flushLocked(status byte) {
	if status&pktFlushWrite != 0 { // but for what the master's own queue has
		p.shown = p.shown[:min(len(p.shown), maxInput-1)]
	}
	if p.packets {
		p.status |= status
	}
}

// Read is read(2); with nonblock it does not wait.
func (m *Master) Read(c Caller, u Buffer, nonblock bool) (n int, err errno.Errno) {
	p := m.pair
	if u.Len() == 0 {
		return 0, 0
	}
	broken := false
	err = block(c, nonblock, &p.out, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		switch {
		case p.packets && p.status != 0:
			n = u.Put([]byte{p.status})
			p.status = 0
		case len(p.shown) > 0:
			if p.packets {
				n = u.Put([]byte{0})
			}
			most := min(len(p.shown), u.Len())
			k := u.Put(p.shown)
			n += k
			if k < most {
				k = min((k+chunk)&^(chunk-1), len(p.shown))
			}
			p.shown = p.shown[k:]
		default:
			broken = p.opened && p.slaves == 0
			return broken
		}
		return true
	})
	if broken {
		return 0, errno.EIO
	}
	if n > 0 {
		p.queue.Wake() // who waits to write
	}
	return n, err
}

// Write is write(2); with nonblock it does not wait.
func (m *Master) Write(c Caller, u Buffer, nonblock bool) (done int, err errno.Errno) {
	p := m.pair
	for fault := false; u.Len() > 0 && !fault && err == 0; {
		room := 0
		err = block(c, nonblock, &p.out, func() bool {
			room = p.inputRoom()
			return room > 0
		})
		if err == 0 {
			var buf [256]byte
			most := min(room, len(buf), u.Len())
			k := u.Get(buf[:most])
			fault = k < most
			p.Input(buf[:k])
			done += k
		}
	}
	if done > 0 {
		err = 0
	}
	return done, err
}

// Poll is Terminal.Poll for the master.
func (m *Master) Poll() (ready uint32, q *wait.Queue) {
	p := m.pair
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.shown) > 0 || p.packets && p.status != 0 {
		ready = wait.In | wait.RdNorm
	}
	if p.packets && p.status != 0 {
		ready |= wait.Pri
	}
	if p.opened && p.slaves == 0 {
		ready |= wait.Hup
	}
	return ready | wait.Out | wait.WrNorm, &p.out
}

// Ioctl is ioctl(2): the requests of ioctl_tty(2), but for TIOCGPTPEER.
func (m *Master) Ioctl(c Caller, req, arg uintptr) (uintptr, errno.Errno) {
	const (
		tiocPkt, tiocGPkt                = 0x5420, 0x80045438
		tiocGPtn, tiocSPtLck, tiocGPtLck = 0x80045430, 0x40045431, 0x80045439
	)
	p := m.pair
	flag := func(b *bool, set bool) (uintptr, errno.Errno) {
		var v int32
		if set {
			if err := copyIn(c, &v, arg); err != 0 {
				return 0, err
			}
		}
		p.mu.Lock()
		if set {
			if b == &p.packets && !*b {
				p.status = 0
			}
			*b = v != 0
		} else if *b {
			v = 1
		}
		p.mu.Unlock()
		if set {
			return 0, 0
		}
		return 0, copyOut(c, arg, &v)
	}
	switch req {
	case tiocGPtn:
		n := int32(p.number)
		return 0, copyOut(c, arg, &n)
	case tiocSPtLck:
		return flag(&p.locked, true)
	case tiocGPtLck:
		return flag(&p.locked, false)
	case tiocPkt:
		return flag(&p.packets, true)
	case tiocGPkt:
		return flag(&p.packets, false)
	case tcFlsh:
		if arg > 2 {
			return 0, errno.EINVAL
		}
		if arg != 1 { // its own input
			p.mu.Lock()
			p.shown = nil
			p.mu.Unlock()
			p.queue.Wake()
		}
		return 0, 0
	case tiocGPgrp, tiocGSID: // the terminal's, whoever asks
		p.mu.Lock()
		s, id := p.session, int32(0)
		p.mu.Unlock()
		if s != nil {
			id = int32(s.Group.ID())
		} else if req == tiocGSID {
			return 0, errno.ENOTTY
		}
		return 0, copyOut(c, arg, &id)
	case tiocExcl, tiocNXcl, tiocGExcl:
		return p.exclusive(c, &p.alone, req, arg)
	case fioNRead:
		p.mu.Lock()
		n := int32(len(p.shown))
		p.mu.Unlock()
		return 0, copyOut(c, arg, &n)
	}
	return p.Terminal.Ioctl(c, req, arg)
}

// Number is the pair's.
func (m *Master) Number() int { return m.pair.number }

// Close hangs the terminal up.
func (m *Master) Close() {
	p := m.pair
	p.mu.Lock()
	p.noMaster = true
	s := p.session
	p.mu.Unlock()
	x := p.all
	x.mu.Lock()
	x.all[p.number] = nil
	x.mu.Unlock()
	x.root.Unlink(strconv.Itoa(p.number))
	p.queue.Wake()
	if s != nil {
		s.terminal.CompareAndSwap(&p.Terminal, nil)
		p.signal(sigHup)
		p.signal(sigCont)
	}
}

// Terminal is the one that s has open.
func (s *Slave) Terminal() *Terminal { return &s.pair.Terminal }

// Read is Terminal.Read.
func (s *Slave) Read(c Caller, u Buffer, nonblock bool) (int, errno.Errno) {
	n, err := s.Terminal().Read(c, u, nonblock)
	if n > 0 {
		s.pair.out.Wake() // who waits for room
	}
	return n, err
}

// Write, Ioctl and Poll are Terminal's.
func (s *Slave) Write(c Caller, u Buffer, nonblock bool) (int, errno.Errno) {
	return s.Terminal().Write(c, u, nonblock)
}

func (s *Slave) Ioctl(c Caller, req, arg uintptr) (uintptr, errno.Errno) {
	return s.Terminal().Ioctl(c, req, arg)
}

func (s *Slave) Poll() (uint32, *wait.Queue) { return s.Terminal().Poll() }

// Close is the end of one of those who have the terminal open.
func (s *Slave) Close() {
	p := s.pair
	p.mu.Lock()
	p.slaves--
	p.mu.Unlock()
	p.out.Wake()
}
