package main

import (
	"gosv/kernel/fs"
	"gosv/kernel/linux"
)

// nameFiles makes what C libraries and Go find addresses of names by, where the image
// has none: /etc/hosts, and a resolv.conf that leads to what the network is told
// by others. Who reads that waits until it is.
func nameFiles(k *linux.Kernel) {
	root := k.Root.Root()
	at := fs.At{Caller: &fs.Caller{Caps: ^uint64(0)}, Root: root, Base: root}
	at.Make("/etc", fs.New{Mode: fs.Directory | 0o755})
	if p, err := at.Lookup("/etc/resolv.conf"); err == 0 && p.Inode.Attr().Size == 0 {
		at.Unlink("/etc/resolv.conf")
	}
	at.Make("/etc/resolv.conf", fs.New{Mode: fs.Symlink | 0o777, Target: "/proc/net/pnp"})
	if at.Make("/etc/hosts", fs.New{Mode: fs.Regular | 0o644}) == 0 {
		hosts := "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
		if k.HostName != "" {
			hosts += "127.0.1.1\t" + k.HostName + "\n"
		}
		if p, err := at.Lookup("/etc/hosts"); err == 0 {
			p.Inode.WriteAt(&fs.Buffer{Bytes: []byte(hosts)}, 0, len(hosts))
		}
	}
}
