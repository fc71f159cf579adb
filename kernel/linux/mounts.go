package linux

import (
	"errors"

	"gosv/kernel/block"
	"gosv/kernel/fs"
	"gosv/kernel/fs/erofs"
	"gosv/kernel/fs/ext4"
	"gosv/kernel/fs/tmpfs"
	"gosv/kernel/mm"
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
	return tmpfs.Config{Device: device, Pages: &k.pages, Now: FileTime, Memory: mm.FreeMemory, Mode: mode}
}

// otherDevice is the first number for file systems that are mounted later and are on no disk.
const otherDevice = 32

// otherDevice returns a number of a device that nothing has.
func (k *Kernel) otherDevice() uint64 { return otherDevice + k.mounted.Add(1) }

// reader is how a file system reads a volume.
func reader(v *block.Volume) *block.Reader {
	return &block.Reader{Volume: v, Sleeper: func() block.Sleeper { return new(sleeper) }}
}

// fileSystem returns the root of the file system on a volume, and which it is: one of the given kind, or
// with "" any.
func fileSystem(kind string, v *block.Volume, device uint64, pages fs.PageAlloc) (fs.Inode, string, error) {
	r := reader(v)
	if kind == "" && ext4.Is(r) {
		kind = "ext4"
	}
	switch kind {
	case "ext4", "ext3", "ext2":
		f, err := ext4.Mount(r, device, pages)
		if err != nil {
			return nil, "", err
		}
		return f.Root(), kind, nil
	}
	f, err := erofs.MountDisk(r, device, pages)
	if err != nil {
		return nil, "", err
	}
	return f.Root(), "erofs", nil
}

// volume returns a disk that should be there.
func (k *Kernel) volume(name string) (*disk, *block.Volume, error) {
	d, v := k.disks.called(name)
	if v == nil {
		return nil, nil, errors.New("there is no disk " + name)
	}
	return d, v, nil
}

// RootDisk returns the root of the file system on a disk, for the root of all.
func (k *Kernel) RootDisk(disk string, device uint64) (fs.Inode, error) {
	_, v, err := k.volume(disk)
	if err != nil {
		return nil, err
	}
	root, _, err := fileSystem("", v, device, &k.pages)
	if err != nil {
		err = errors.New(disk + ": " + err.Error())
	}
	return root, err
}

// DiskReader returns how a disk is read.
func (k *Kernel) DiskReader(disk string) (*block.Reader, error) {
	_, v, err := k.volume(disk)
	if err != nil {
		return nil, err
	}
	return reader(v), nil
}

// MountDisk mounts the file system on a disk, and makes the directories that lead to path if need be. With
// overlay, what is written to it stays in memory.
func (k *Kernel) MountDisk(disk, path string, overlay bool) error {
	d, v, err := k.volume(disk)
	if err != nil {
		return err
	}
	root, kind, err := fileSystem("", v, uint64(d.rdev(v)), &k.pages)
	if err != nil {
		return errors.New(disk + ": " + err.Error())
	}
	if overlay {
		c := k.memory(k.otherDevice(), 0)
		c.Lower, c.Magic = root, fs.MagicOverlay
		root, kind = tmpfs.New(c).Root(), "overlay"
	}
	top := k.Root.Root()
	at := fs.At{Caller: &fs.Caller{Caps: allCapabilities}, Root: top, Base: top}
	e := Errno(0)
	for i := 1; i <= len(path) && (e == 0 || e == EEXIST); i++ {
		if i == len(path) || path[i] == '/' {
			e = at.Make(path[:i], fs.New{Mode: fs.Directory | 0o755})
		}
	}
	place, e := at.Lookup(path)
	if e == 0 {
		e = k.Root.Cover(place, "/dev/"+disk, kind, root)
	}
	if e != 0 {
		return errors.New(e.Error())
	}
	return nil
}

// Flags of mount(2) and umount2(2).
const (
	msRdonly   = 1
	msPlain    = 1<<1 | 1<<2 | 1<<3 | 1<<4 | 1<<10 | 1<<11 | 1<<15 | 1<<21 | 1<<24 | 1<<25 // how to, not what to do
	msMagic    = 0xffff0000                                                                // which all programs gave once
	msMagicVal = 0xc0ed0000

	mntForce    = 1
	mntDetach   = 2
	mntExpire   = 4
	umountNoFol = 8
)

// sysMount mounts file systems that are on disks, to be read, and those in memory. In the order in which
// Linux looks.
func sysMount(t *Thread, a *Args) (uintptr, Errno) {
	var kind, source string
	var err Errno
	if a.Arg3() != 0 {
		if kind, err = t.copyInPath(a.Arg3()); err != 0 {
			return 0, err
		}
	}
	if a.Arg1() != 0 {
		if source, err = t.copyInPath(a.Arg1()); err != 0 {
			return 0, err
		}
	}
	options := [1]byte{}
	if a.Arg5() != 0 {
		if err := t.CopyIn(options[:], a.Arg5()); err != 0 {
			return 0, err
		}
	}
	place, _, err := t.place(cwdFD, a.Arg2(), 0)
	if err != 0 {
		return 0, err
	}
	flags := a.Arg4()
	if flags&msMagic == msMagicVal {
		flags &^= msMagic
	}
	switch {
	case !t.can(capSysAdmin), flags&^(msRdonly|msPlain) != 0: // what is mounted stays as it is
		return 0, EPERM
	case kind == "", options[0] != 0:
		return 0, EINVAL
	}
	k := t.proc.kernel
	var root fs.Inode
	switch kind {
	case "tmpfs":
		if flags&msRdonly != 0 {
			return 0, EINVAL
		}
		root = tmpfs.New(k.memory(k.otherDevice(), fs.Sticky|0o777)).Root()
	case "ext4", "ext3", "ext2", "erofs":
		d, v, err := t.volumeAt(a.Arg1())
		switch {
		case err != 0:
			return 0, err
		case flags&msRdonly == 0 && v.ReadOnly():
			return 0, EACCES
		case flags&msRdonly == 0:
			return 0, EROFS
		}
		var bad error
		if root, _, bad = fileSystem(kind, v, uint64(d.rdev(v)), &k.pages); bad != nil {
			k.log(kind + ": " + d.nameOf(v) + ": " + bad.Error())
			return 0, EINVAL
		}
	default:
		return 0, ENODEV
	}
	return 0, k.Root.Cover(place, source, kind, root)
}

// volumeAt returns what a block device's node stands for that a path leads to.
func (t *Thread) volumeAt(path uintptr) (*disk, *block.Volume, Errno) {
	if path == 0 {
		return nil, nil, EINVAL
	}
	place, _, err := t.place(cwdFD, path, 0)
	if err != 0 {
		return nil, nil, err
	}
	a := place.Inode.Attr()
	if a.Mode&fs.TypeMask != fs.Block {
		return nil, nil, ENOTBLK
	}
	d, v := t.proc.kernel.disks.volume(a.Rdev)
	if v == nil {
		return nil, nil, ENXIO
	}
	return d, v, 0
}

func sysUmount2(t *Thread, a *Args) (uintptr, Errno) {
	how := a.Arg2()
	if how&^(mntForce|mntDetach|mntExpire|umountNoFol) != 0 {
		return 0, EINVAL
	}
	flags := uintptr(0)
	if how&umountNoFol != 0 {
		flags = atSymlinkNofollow
	}
	place, _, err := t.place(cwdFD, a.Arg1(), flags)
	if err != 0 {
		return 0, err
	}
	k, m := t.proc.kernel, place.Mount
	switch {
	case !place.Same(ptr(m.Place())):
		return 0, EINVAL
	case !t.can(capSysAdmin):
		return 0, EPERM
	case how&mntExpire != 0:
		return 0, EINVAL // nobody takes note of what has expired
	case !m.Added: // the system's own stay
		return 0, EBUSY
	case how&mntDetach == 0 && k.uses(m):
		return 0, EBUSY
	}
	return 0, k.Root.Unmount(m, how&mntDetach != 0)
}

// uses says whether some process has anything of m open, mapped, or as a directory of its own.
func (k *Kernel) uses(m *fs.Mount) bool {
	for _, p := range k.allProcesses() {
		f := &p.files
		f.mu.Lock()
		used := f.cwd.Mount == m || f.root.Mount == m
		for i := range f.fds {
			used = used || f.fds[i].file != nil && f.fds[i].file.place.Mount == m
		}
		f.mu.Unlock()
		p.space.View(func(all []*mm.VMA) {
			for _, v := range all {
				i, ok := v.File.(*inodePages)
				used = used || ok && i.inode.FS() == m.Root().FS()
			}
		})
		if used {
			return true
		}
	}
	return false
}
