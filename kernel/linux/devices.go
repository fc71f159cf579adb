package linux

import (
	"gosv/kernel/console"
	"gosv/kernel/fs"
	"gosv/kernel/fs/tmpfs"
	"gosv/kernel/metal"
	"gosv/kernel/tty"
	"gosv/kernel/wait"
)

// Device numbers (Linux, Documentation/admin-guide/devices.txt).
var (
	devNull    = fs.Device(1, 3)
	devZero    = fs.Device(1, 5)
	devFull    = fs.Device(1, 7)
	devRandom  = fs.Device(1, 8)
	devURandom = fs.Device(1, 9)
	devTTY     = fs.Device(5, 0)
	devConsole = fs.Device(5, 1)
	devPtmx    = fs.Device(5, 2)
	devVsock   = fs.Device(10, 121)
	devHVC     = fs.Device(229, 0)
	devHWRNG   = fs.Device(10, 183)
)

// openDevice returns what a character device's node stands for.
func (t *Thread) openDevice(n fs.Inode, flags uint32) (object, Errno) {
	d := device{node: n}
	rdev := n.Attr().Rdev
	switch rdev {
	case devNull:
		return &nullDevice{d}, 0
	case devZero:
		return &zeroDevice{d}, 0
	case devFull:
		return &fullDevice{zeroDevice{d}}, 0
	case devRandom, devURandom:
		return &randomDevice{d}, 0
	case devTTY:
		y := t.proc.session.Terminal()
		if y == nil {
			return nil, ENXIO
		}
		if n, ok := y.Pair(); ok {
			return t.openSlave(d, n, flags)
		}
		return &terminalFile{end: y}, 0
	case devPtmx:
		return t.openMaster(d)
	case devVsock:
		return &vsockDevice{d}, 0
	case devHWRNG:
		return t.openHWRNG(d, flags)
	case devHVC:
		if !console.Preferred() {
			return t.openHVC(d)
		}
		fallthrough
	case devConsole:
		if y := t.proc.kernel.console; y != nil {
			return &terminalFile{end: y}, 0
		}
		return &consoleOutput{stream: metal.Stdout}, 0
	}
	if major(uint64(rdev)) == tty.Major {
		return t.openSlave(d, minor(uint64(rdev)), flags)
	}
	return nil, ENXIO
}

// device is what all of them share.
type device struct{ node fs.Inode }

func (d *device) attr() fs.Attr                                         { return d.node.Attr() }
func (*device) name() string                                            { return "" }
func (*device) close(*File)                                             {}
func (*device) seekable()                                               {}
func (*device) ioctl(*Thread, *File, uintptr, uintptr) (uintptr, Errno) { return 0, ENOTTY }
func (*device) poll(*File) (uint32, *wait.Queue) {
	return pollIn | pollOut | pollRdNorm | pollWrNorm, nil
}

// swallow takes all bytes without looking at them, as Linux's null does.
func swallow(u *userIO) (int, Errno) {
	n := u.left
	u.left = 0
	return n, 0
}

type nullDevice struct{ device }

func (*nullDevice) read(*Thread, *File, *userIO) (int, Errno)        { return 0, 0 }
func (*nullDevice) write(t *Thread, f *File, u *userIO) (int, Errno) { return swallow(u) }

type zeroDevice struct{ device }

func (*zeroDevice) read(t *Thread, f *File, u *userIO) (done int, err Errno) {
	for u.left > 0 && !u.fault {
		done += u.Put(fs.Zeros[:min(u.left, len(fs.Zeros))])
		if t.interrupted() {
			break
		}
	}
	return done, 0
}
func (*zeroDevice) write(t *Thread, f *File, u *userIO) (int, Errno) { return swallow(u) }

type fullDevice struct{ zeroDevice }

func (*fullDevice) write(t *Thread, f *File, u *userIO) (int, Errno) { return 0, ENOSPC }

type randomDevice struct{ device }

func (d *randomDevice) read(t *Thread, f *File, u *userIO) (done int, err Errno) {
	if d.node.Attr().Rdev == devRandom {
		if err := t.seeded(f.nonblock()); err != 0 {
			return 0, err
		}
	}
	var buf [256]byte
	for u.left > 0 && !u.fault {
		p := buf[:min(u.left, len(buf))]
		FillRandom(p)
		done += u.Put(p)
		if t.interrupted() {
			break
		}
	}
	return done, 0
}

// write: what a program offers as entropy is not needed.
func (*randomDevice) write(t *Thread, f *File, u *userIO) (int, Errno) { return swallow(u) }

// vsockDevice is /dev/vsock.
type vsockDevice struct{ device }

func (*vsockDevice) read(*Thread, *File, *userIO) (int, Errno)  { return 0, EINVAL }
func (*vsockDevice) write(*Thread, *File, *userIO) (int, Errno) { return 0, EINVAL }

func (d *vsockDevice) ioctl(t *Thread, f *File, req, arg uintptr) (uintptr, Errno) {
	const getLocalCID = 0x7b9 // IOCTL_VM_SOCKETS_GET_LOCAL_CID
	if req != getLocalCID {
		return 0, ENOTTY
	}
	cid := t.proc.kernel.vsockets.LocalCID()
	return 0, copyOut(t, arg, &cid)
}

// devtmpfs is the root of /dev, mounted as dev, with what is mounted below it.
func (k *Kernel) devtmpfs(ns *fs.Namespace, dev *fs.Mount) fs.Inode {
	c := k.memory(devDevice, 0o755)
	c.Complete = k.completeDev()
	root := tmpfs.New(c).Root()
	makeNodes(root, []deviceNode{
		{"null", fs.New{Mode: fs.Char | 0o666, Rdev: devNull}},
		{"zero", fs.New{Mode: fs.Char | 0o666, Rdev: devZero}},
		{"full", fs.New{Mode: fs.Char | 0o666, Rdev: devFull}},
		{"random", fs.New{Mode: fs.Char | 0o666, Rdev: devRandom}},
		{"urandom", fs.New{Mode: fs.Char | 0o666, Rdev: devURandom}},
		{"tty", fs.New{Mode: fs.Char | 0o666, Rdev: devTTY}},
		{"ptmx", fs.New{Mode: fs.Char | 0o666, Rdev: devPtmx}},
		{"vsock", fs.New{Mode: fs.Char | 0o666, Rdev: devVsock}},
		{"console", fs.New{Mode: fs.Char | 0o600, Rdev: devConsole}},
		{"shm", fs.New{Mode: fs.Directory | fs.Sticky | 0o777}},
		{"pts", fs.New{Mode: fs.Directory | 0o755}},
		{"fd", fs.New{Mode: fs.Symlink | 0o777, Target: "/proc/self/fd"}},
		{"stdin", fs.New{Mode: fs.Symlink | 0o777, Target: "/proc/self/fd/0"}},
		{"stdout", fs.New{Mode: fs.Symlink | 0o777, Target: "/proc/self/fd/1"}},
		{"stderr", fs.New{Mode: fs.Symlink | 0o777, Target: "/proc/self/fd/2"}},
	})
	ns.Mount(fs.Place{Mount: dev, Inode: root}, "pts", "devpts", "devpts", ptsDevice, k.devpts)
	ns.Mount(fs.Place{Mount: dev, Inode: root}, "shm", "tmpfs", "tmpfs", shmDevice, func() fs.Inode {
		return tmpfs.New(k.memory(shmDevice, fs.Sticky|0o777)).Root()
	})
	return root
}

// anonymous returns a file without a name, for memfd_create.
func (k *Kernel) anonymous(n fs.New) (fs.Inode, Errno) {
	k.mu.Lock()
	if k.anon == nil {
		k.anon = tmpfs.New(k.memory(anonDevice, 0))
	}
	k.mu.Unlock()
	return k.anon.File(n)
}
