package linux

import (
	"gosv/kernel/fs"
	"gosv/kernel/fs/tmpfs"
)

// Device numbers of the file systems that are made here, in the order of their
// mounts; those of the root are below.
const (
	procDevice = 4 + iota
	sysDevice
	devDevice
	anonDevice
	shmDevice
	tmpDevice
	ptsDevice
)

// Namespace is a tree with root at its top, and /dev, /proc and /sys, which cost
// nothing until somebody goes there.
func (k *Kernel) Namespace(root fs.Inode) *fs.Namespace {
	ns := fs.NewNamespace("overlay", "overlay", root)
	top := ns.Root()
	var dev *fs.Mount
	dev = ns.Mount(top, "dev", "devtmpfs", "devtmpfs", devDevice, func() fs.Inode { return k.devtmpfs(ns, dev) })
	ns.Mount(top, "proc", "proc", "proc", procDevice, k.processes)
	ns.Mount(top, "sys", "sysfs", "sysfs", sysDevice, k.system)
	ns.Mount(top, "tmp", "tmpfs", "tmpfs", tmpDevice, func() fs.Inode { return k.temporary(root) })
	return ns
}

// temporary is the root of /tmp, on top of what the image has there.
func (k *Kernel) temporary(root fs.Inode) fs.Inode {
	c := k.memory(tmpDevice, fs.Sticky|0o777)
	if n, err := root.Lookup("tmp"); err == 0 && fs.IsDir(n.Mode()) {
		c.Lower = n
	}
	return tmpfs.New(c).Root()
}

// memory is how a file system in memory is made.
func (k *Kernel) memory(device uint64, mode uint32) tmpfs.Config {
	return tmpfs.Config{Device: device, Pages: &k.pages, Now: FileTime, Memory: FreeMemory, Mode: mode}
}

// Mounts stay as they are.

func sysMount(t *Thread, a *Args) (uintptr, Errno) {
	for _, p := range [...]uintptr{a.Arg3(), a.Arg1()} { // the type, the source
		if p != 0 {
			if _, err := t.copyInPath(p); err != 0 {
				return 0, err
			}
		}
	}
	if _, _, err := t.place(cwdFD, a.Arg2(), 0); err != 0 {
		return 0, err
	}
	return 0, EPERM
}

func sysUmount2(t *Thread, a *Args) (uintptr, Errno) {
	const nofollow, known = 8, 15
	if a.Arg2()&^known != 0 {
		return 0, EINVAL
	}
	flags := uintptr(0)
	if a.Arg2()&nofollow != 0 {
		flags = atSymlinkNofollow
	}
	if _, _, err := t.place(cwdFD, a.Arg1(), flags); err != 0 {
		return 0, err
	}
	return 0, EPERM
}
