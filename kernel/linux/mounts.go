package linux

import "gosv/kernel/fs"

// Device numbers of the file systems that are made here, in the order of their
// mounts; those of the root are below.
const (
	procDevice = 4 + iota
	sysDevice
	devDevice
	anonDevice
)

// Namespace is a tree with root at its top, and /dev, /proc and /sys, which cost
// nothing until somebody goes there.
func (k *Kernel) Namespace(root fs.Inode) *fs.Namespace {
	ns := fs.NewNamespace("overlay", "overlay", root)
	top := ns.Root()
	ns.Mount(top, "dev", "devtmpfs", "devtmpfs", devDevice, devices)
	ns.Mount(top, "proc", "proc", "proc", procDevice, k.processes)
	ns.Mount(top, "sys", "sysfs", "sysfs", sysDevice, k.system)
	return ns
}
