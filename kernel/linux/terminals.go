package linux

import (
	"strconv"

	"gosv/kernel/fs"
	"gosv/kernel/fs/tmpfs"
	"gosv/kernel/tty"
	"gosv/kernel/wait"
)

// terminalEnd is what can be open of a terminal: the console, or an end of a pair.
type terminalEnd interface {
	Read(c tty.Caller, b tty.Buffer, nonblock bool) (int, Errno)
	Write(c tty.Caller, b tty.Buffer, nonblock bool) (int, Errno)
	Ioctl(c tty.Caller, req, arg uintptr) (uintptr, Errno)
	Poll() (ready uint32, q *wait.Queue)
	Close()
}

// terminalFile is it as an open file.
type terminalFile struct {
	end  terminalEnd
	node fs.Inode // it was opened by; nil: the console
}

func (y *terminalFile) read(t *Thread, f *File, u *userIO) (int, Errno) {
	return y.end.Read(t, u, f.nonblock())
}

func (y *terminalFile) write(t *Thread, f *File, u *userIO) (int, Errno) {
	return y.end.Write(t, u, f.nonblock())
}

func (y *terminalFile) poll(*File) (uint32, *wait.Queue) { return y.end.Poll() }

func (y *terminalFile) ioctl(t *Thread, f *File, req, arg uintptr) (uintptr, Errno) {
	const tiocGPtPeer = 0x5441
	if m, ok := y.end.(*tty.Master); ok && req == tiocGPtPeer {
		return t.openPeer(m, uint32(arg))
	}
	return y.end.Ioctl(t, req, arg)
}

func (y *terminalFile) attr() fs.Attr {
	if y.node == nil {
		return fs.Attr{Ino: 3, Mode: fs.Char | 0o620, Nlink: 1, Rdev: devConsole, BlockSize: 1024}
	}
	return y.node.Attr()
}

func (y *terminalFile) name() string {
	if y.node == nil {
		return "/dev/console"
	}
	return ""
}

func (y *terminalFile) close(*File) { y.end.Close() }

// Session implements tty.Caller.
func (t *Thread) Session() *tty.Session { return &t.proc.session }

// ID, Signal and Continue implement tty.Group: a process is one of its own.
func (p *Process) ID() int { return p.pid }

func (p *Process) Signal(sig int) { p.signal(nil, ptr(killInfo(sig, siKernel, 0))) }

func (p *Process) Continue() {
	p.sig.mu.Lock()
	p.resume()
	p.sig.mu.Unlock()
}

// devpts is the root of /dev/pts.
func (k *Kernel) devpts() fs.Inode {
	return k.ptys.Root(k.newDevpts)
}

func (k *Kernel) newDevpts() fs.Inode {
	c := k.memory(ptsDevice, 0o755)
	c.Magic = fs.MagicDevpts
	root := tmpfs.New(c).Root()
	root.Create("ptmx", fs.New{Mode: fs.Char, Rdev: devPtmx})
	return root
}

// openMaster makes a pair.
func (t *Thread) openMaster(d device) (object, Errno) {
	k := t.proc.kernel
	k.devpts()
	m, err := k.ptys.Open(t.caller().UID)
	if err != 0 {
		return nil, err
	}
	return &terminalFile{m, d.node}, 0
}

// openSlave opens the terminal of a pair.
func (t *Thread) openSlave(d device, number uint32, flags uint32) (object, Errno) {
	s, err := t.proc.kernel.ptys.OpenSlave(number, t.can(capSysAdmin))
	if err != 0 {
		return nil, err
	}
	if flags&oNoctty == 0 {
		t.proc.session.Take(s.Terminal())
	}
	return &terminalFile{s, d.node}, 0
}

// openPeer opens the terminal, whatever /dev/pts is to the program.
func (t *Thread) openPeer(m *tty.Master, flags uint32) (uintptr, Errno) {
	root := t.proc.kernel.Root.Root()
	at := fs.At{Caller: &fs.Caller{Caps: allCapabilities}, Root: root, Base: root}
	place, err := at.Lookup("/dev/pts/" + strconv.Itoa(m.Number()))
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
