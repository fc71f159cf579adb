package linux

import (
	"strconv"
	"sync"

	"gosv/kernel/fs"
	"gosv/kernel/fs/tmpfs"
	"gosv/kernel/wait"
)

// ptys are the pseudo-terminals there are (pty(7)), and their directory, devpts.
type ptys struct {
	mu   sync.Mutex
	all  []*pty // by number; nil: free
	root fs.Inode
}

const (
	maxPtys   = 4096 // /proc/sys/kernel/pty/max
	ptyMajor  = 136
	ptyBuffer = 64 << 10 // bytes that nobody has read from the master
)

// pty is a pair: a terminal, and the master, at which somebody plays the device
// behind it. The other end of the terminal's line discipline is the master.
type pty struct {
	terminal
	all    *ptys
	number int

	// Under terminal.mu:
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
	ptyFlushRead  = 1
	ptyFlushWrite = 2
)

// ptyMaster and ptySlave are the ends as open files.
type ptyMaster struct {
	*pty
	node fs.Inode // it was opened by
}

type ptySlave struct {
	*pty
	node fs.Inode
}

// devpts is the root of /dev/pts.
func (k *Kernel) devpts() fs.Inode {
	x := &k.ptys
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.root == nil {
		c := k.memory(ptsDevice, 0o755)
		c.Magic = fs.MagicDevpts
		x.root = tmpfs.New(c).Root()
		x.root.Create("ptmx", fs.New{Mode: fs.Char, Rdev: devPtmx})
	}
	return x.root
}

// count returns how many pairs there are.
func (x *ptys) count() (n uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, p := range x.all {
		if p != nil {
			n++
		}
	}
	return n
}

// openMaster makes a pair.
func (t *Thread) openMaster(d device) (object, Errno) {
	x := &t.proc.kernel.ptys
	root := t.proc.kernel.devpts()
	x.mu.Lock()
	defer x.mu.Unlock()
	n := 0
	for n < len(x.all) && x.all[n] != nil {
		n++
	}
	switch {
	case n == maxPtys:
		return nil, ENOSPC
	case n == len(x.all):
		x.all = append(x.all, nil)
	}
	p := &pty{all: x, number: n, locked: true}
	p.terminal.set = plainTermios
	p.terminal.pty = p
	c := t.caller()
	const ttyGroup = 5
	if _, err := root.Create(strconv.Itoa(n), fs.New{Mode: fs.Char | 0o620, UID: c.UID, GID: ttyGroup, Rdev: fs.Device(ptyMajor, uint32(n))}); err != 0 {
		return nil, err
	}
	x.all[n] = p
	return &ptyMaster{p, d.node}, 0
}

// openSlave opens the terminal of a pair.
func (t *Thread) openSlave(d device, number uint32, flags uint32) (object, Errno) {
	x := &t.proc.kernel.ptys
	x.mu.Lock()
	var p *pty
	if int(number) < len(x.all) {
		p = x.all[number]
	}
	x.mu.Unlock()
	if p == nil {
		return nil, EIO
	}
	p.mu.Lock()
	if p.locked || p.noMaster {
		p.mu.Unlock()
		return nil, EIO
	}
	if p.excl && p.slaves > 0 && !t.can(capSysAdmin) {
		p.mu.Unlock()
		return nil, EBUSY
	}
	p.slaves++
	p.opened = true
	p.mu.Unlock()
	if flags&oNoctty == 0 {
		t.proc.control(&p.terminal)
	}
	return &ptySlave{p, d.node}, 0
}

// control makes y p's controlling terminal if it has none; p leads its session.
func (p *Process) control(y *terminal) {
	if p.tty.CompareAndSwap(nil, y) {
		y.mu.Lock()
		y.proc = p
		y.mu.Unlock()
	}
}

// show takes what the terminal shows, with y.mu not held.
func (p *pty) show(b []byte) {
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
func (p *pty) flushed(status byte) {
	p.mu.Lock()
	p.flushLocked(status)
	p.mu.Unlock()
	p.out.Wake()
}

func (p *pty) flushLocked(status byte) {
	if status&ptyFlushWrite != 0 { // but for what the master's own queue has
		p.shown = p.shown[:min(len(p.shown), maxInput-1)]
	}
	if p.packets {
		p.status |= status
	}
}

func (m *ptyMaster) read(t *Thread, f *File, u *userIO) (n int, err Errno) {
	p := m.pty
	if u.left == 0 {
		return 0, 0
	}
	broken := false
	err = t.block(f, &p.out, func() bool {
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
			k := u.Put(p.shown)
			n += k
			if u.fault {
				k = min((k+ttyChunk)&^(ttyChunk-1), len(p.shown))
			}
			p.shown = p.shown[k:]
		default:
			broken = p.opened && p.slaves == 0
			return broken
		}
		return true
	})
	if broken {
		return 0, EIO
	}
	if n > 0 {
		p.queue.Wake() // who waits to write
	}
	return n, err
}

func (m *ptyMaster) write(t *Thread, f *File, u *userIO) (done int, err Errno) {
	p := m.pty
	for u.left > 0 && !u.fault && err == 0 {
		room := 0
		err = t.block(f, &p.out, func() bool {
			room = p.inputRoom()
			return room > 0
		})
		if err == 0 {
			var buf [256]byte
			k := u.Get(buf[:min(room, len(buf), u.left)])
			p.Input(buf[:k])
			done += k
		}
	}
	if done > 0 {
		err = 0
	}
	return done, err
}

func (m *ptyMaster) poll(*File) (ready uint32, q *wait.Queue) {
	p := m.pty
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.shown) > 0 || p.packets && p.status != 0 {
		ready = pollIn | pollRdNorm
	}
	if p.packets && p.status != 0 {
		ready |= pollPri
	}
	if p.opened && p.slaves == 0 {
		ready |= pollHup
	}
	return ready | pollOut | pollWrNorm, &p.out
}

func (m *ptyMaster) ioctl(t *Thread, f *File, req, arg uintptr) (uintptr, Errno) {
	const (
		tiocPkt, tiocGPkt                             = 0x5420, 0x80045438
		tiocGPtn, tiocSPtLck, tiocGPtLck, tiocGPtPeer = 0x80045430, 0x40045431, 0x80045439, 0x5441
	)
	p := m.pty
	flag := func(b *bool, set bool) (uintptr, Errno) {
		var v int32
		if set {
			if err := copyIn(t, &v, arg); err != 0 {
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
		return 0, copyOut(t, arg, &v)
	}
	switch req {
	case tiocGPtn:
		n := int32(p.number)
		return 0, copyOut(t, arg, &n)
	case tiocSPtLck:
		return flag(&p.locked, true)
	case tiocGPtLck:
		return flag(&p.locked, false)
	case tiocPkt:
		return flag(&p.packets, true)
	case tiocGPkt:
		return flag(&p.packets, false)
	case tiocGPtPeer:
		return t.openPeer(p, uint32(arg))
	case tcFlsh:
		if arg > 2 {
			return 0, EINVAL
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
		proc, id := p.proc, int32(0)
		p.mu.Unlock()
		if proc != nil {
			id = int32(proc.pid)
		} else if req == tiocGSID {
			return 0, ENOTTY
		}
		return 0, copyOut(t, arg, &id)
	case tiocExcl, tiocNXcl, tiocGExcl:
		return p.exclusive(t, &p.alone, req, arg)
	case fioNRead:
		p.mu.Lock()
		n := int32(len(p.shown))
		p.mu.Unlock()
		return 0, copyOut(t, arg, &n)
	}
	return p.terminal.ioctl(t, f, req, arg)
}

// openPeer opens the terminal, whatever /dev/pts is to the program.
func (t *Thread) openPeer(p *pty, flags uint32) (uintptr, Errno) {
	root := t.proc.kernel.Root.Root()
	at := fs.At{Caller: &fs.Caller{Caps: allCapabilities}, Root: root, Base: root}
	place, err := at.Lookup("/dev/pts/" + strconv.Itoa(p.number))
	if err != 0 {
		return 0, err
	}
	f, err := t.openPlace(place, flags)
	if err != 0 {
		return 0, err
	}
	f.flags.And(^uint32(oLarge) | flags)
	return t.install(f, 0, flags&oCloexec != 0)
}

func (m *ptyMaster) attr() fs.Attr { return m.node.Attr() }
func (m *ptyMaster) name() string  { return "" }

// close hangs the terminal up.
func (m *ptyMaster) close(*File) {
	p := m.pty
	p.mu.Lock()
	p.noMaster = true
	proc := p.proc
	p.mu.Unlock()
	x := p.all
	x.mu.Lock()
	x.all[p.number] = nil
	x.mu.Unlock()
	x.root.Unlink(strconv.Itoa(p.number))
	p.queue.Wake()
	if proc != nil {
		proc.tty.CompareAndSwap(&p.terminal, nil)
		p.signal(SIGHUP)
		p.signal(SIGCONT)
	}
}

func (s *ptySlave) read(t *Thread, f *File, u *userIO) (int, Errno) {
	n, err := s.terminal.read(t, f, u)
	if n > 0 {
		s.out.Wake() // who waits for room
	}
	return n, err
}

func (s *ptySlave) write(t *Thread, f *File, u *userIO) (int, Errno) {
	return s.terminal.write(t, f, u)
}
func (s *ptySlave) poll(f *File) (uint32, *wait.Queue) { return s.terminal.poll(f) }
func (s *ptySlave) attr() fs.Attr                      { return s.node.Attr() }
func (s *ptySlave) name() string                       { return "" }
func (s *ptySlave) ioctl(t *Thread, f *File, req, arg uintptr) (uintptr, Errno) {
	return s.terminal.ioctl(t, f, req, arg)
}

func (s *ptySlave) close(*File) {
	s.mu.Lock()
	s.slaves--
	s.mu.Unlock()
	s.out.Wake()
}
