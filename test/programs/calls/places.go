package main

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapped prints what of the area can be read and written, and its mappings.
func mapped(a arg) arg {
	return func(g *world) (uintptr, string, after) {
		v, text, _ := a(g)
		return v, text, func(uintptr) string { return g.look() + g.maps() }
	}
}

var mapsText [1 << 16]byte // nobody collects garbage

// maps are the area's lines of /proc/self/maps, but for what tells files apart. Neighbours
// that are alike are one: when Linux makes them one is its own affair.
func (g *world) maps() string {
	n := 0
	for {
		k, err := unix.Pread(mapsFD, mapsText[n:], int64(n))
		if k <= 0 || err != nil {
			break
		}
		n += k
	}
	type mapping struct {
		from, to, offset uint64
		what             string
	}
	var list []mapping
	for line := range strings.Lines(unsafe.String(&mapsText[0], n)) {
		f := strings.Fields(line)
		if len(f) < 5 {
			return " ?" + line
		}
		from, to, _ := strings.Cut(f[0], "-")
		m := mapping{what: f[1]}
		m.from, _ = strconv.ParseUint(from, 16, 64)
		m.to, _ = strconv.ParseUint(to, 16, 64)
		m.offset, _ = strconv.ParseUint(f[2], 16, 64)
		if m.to <= areaAt || m.from >= areaAt+2*areaPages*pageSize {
			continue
		}
		if f[4] == "0" {
			m.offset = m.from // it has none
		} else {
			m.what += "f"
		}
		if n := len(list); n > 0 && list[n-1].to == m.from && list[n-1].what == m.what && list[n-1].offset+(m.from-list[n-1].from) == m.offset {
			list[n-1].to = m.to
			continue
		}
		list = append(list, m)
	}
	text := ""
	for _, m := range list {
		text += fmt.Sprintf(" %d-%d %s", (int64(m.from)-areaAt)/pageSize, (int64(m.to)-areaAt)/pageSize, m.what)
		if strings.HasSuffix(m.what, "f") {
			text += fmt.Sprintf("@%x", m.offset)
		}
	}
	return text
}

// sameExtent is the extent before: since 6.17 several mappings may move at once, so it is
// one page, of which there is one.
func sameExtent(g *world) (uintptr, string, after) {
	return g.extent, fmt.Sprint(int(g.extent)), nil
}

// onePage is an extent that never is more than one mapping.
func onePage(g *world) (uintptr, string, after) {
	n := pick(g.source, 1, pageSize, pageSize, pageSize)
	g.extent = uintptr(n)
	return uintptr(n), fmt.Sprint(n), nil
}

var mapCalls = []call{
	{"mmap", unix.SYS_MMAP, []arg{address, extent, prot, mapped(mapFlags), val(-1), val(0, 4096)}, number},
	{"mmap", unix.SYS_MMAP, []arg{address, extent, val(3), mapped(mapFlags), val(-1), val(0)}, number},
	{"mmap", unix.SYS_MMAP, []arg{address, extent, prot, mapped(fileFlags), fd, fileAt}, number},
	{"mmap", unix.SYS_MMAP, []arg{address, extent, val(1, 3), mapped(fileFlags), fd, fileAt}, number},
	{"mmap", unix.SYS_MMAP, []arg{address, extent, prot, val(unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_32BIT, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_STACK|unix.MAP_NORESERVE), val(-1), val(0)}, some},
	{"munmap", unix.SYS_MUNMAP, []arg{address, mapped(extent)}, number},
	{"mprotect", unix.SYS_MPROTECT, []arg{address, mapped(extent), prot}, number},
	{"mprotect", unix.SYS_MPROTECT, []arg{address, mapped(extent), val(0, 1, 3, 1<<24, 1<<25, 3<<24, 1<<24|3)}, number},
	{"pkey_mprotect", unix.SYS_PKEY_MPROTECT, []arg{address, mapped(extent), val(1, 3), val(-1)}, number},
	{"mremap", unix.SYS_MREMAP, []arg{address, onePage, sameExtent, mapped(val(unix.MREMAP_MAYMOVE|unix.MREMAP_FIXED, unix.MREMAP_MAYMOVE|unix.MREMAP_FIXED|unix.MREMAP_DONTUNMAP, unix.MREMAP_FIXED, 0)), address}, number},
	{"mremap", unix.SYS_MREMAP, []arg{address, onePage, val(4096, 8192, 12288, 1), mapped(val(0)), val(0)}, number},
	{"madvise", unix.SYS_MADVISE, []arg{address, mapped(extent), val(unix.MADV_DONTNEED, unix.MADV_DONTNEED, unix.MADV_DOFORK, unix.MADV_SEQUENTIAL, unix.MADV_HUGEPAGE, unix.MADV_DODUMP, unix.MADV_REMOVE, unix.MADV_COLD, unix.MADV_PAGEOUT, unix.MADV_DONTNEED_LOCKED, unix.MADV_POPULATE_READ, unix.MADV_POPULATE_WRITE, unix.MADV_WIPEONFORK, unix.MADV_KEEPONFORK, -1)}, number},
	{"msync", unix.SYS_MSYNC, []arg{address, extent, bits(1, 2, 4)}, number},
	{"mlock", unix.SYS_MLOCK, []arg{address, mapped(extent)}, number},
	{"mlock2", unix.SYS_MLOCK2, []arg{address, mapped(extent), val(0, 1, 2)}, number},
	{"munlock", unix.SYS_MUNLOCK, []arg{address, extent}, number},
	{"munlockall", unix.SYS_MUNLOCKALL, nil, number},
	{"mincore", unix.SYS_MINCORE, []arg{address, extent, in}, number},
	{"memfd_create", unix.SYS_MEMFD_CREATE, []arg{path, val(0, unix.MFD_ALLOW_SEALING)}, newFD},
	{"fcntl", unix.SYS_FCNTL, []arg{fd, val(unix.F_ADD_SEALS), val(unix.F_SEAL_SHRINK, unix.F_SEAL_GROW, unix.F_SEAL_WRITE, unix.F_SEAL_FUTURE_WRITE, unix.F_SEAL_SEAL)}, number},
	{"openat", unix.SYS_OPENAT, []arg{val(unix.AT_FDCWD), path, val(unix.O_RDWR|unix.O_CREAT|unix.O_NONBLOCK, unix.O_RDONLY|unix.O_NONBLOCK, unix.O_WRONLY|unix.O_NONBLOCK), openMode}, newFD},
	{"ftruncate", unix.SYS_FTRUNCATE, []arg{fd, mapped(val(0, 100, 4096, 8192, 20000))}, number},
	{"ftruncate", unix.SYS_FTRUNCATE, []arg{fd, mapped(val(8192, 20000, 40000))}, number},
	{"fallocate", unix.SYS_FALLOCATE, []arg{fd, mapped(val(0, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE)), val(0, 4096, 100), val(4096, 8192, 100)}, number},
	{"pwrite64", unix.SYS_PWRITE64, []arg{fd, touch, val(16), mapped(val(0, 4096, 4090, 8192))}, number},
	{"read from", unix.SYS_PREAD64, []arg{fd, mapped(address), val(1, 100, 4096, 5000, 20000), val(0, 4096)}, number},
	{"write to", unix.SYS_PWRITE64, []arg{fd, mapped(address), val(1, 100, 4096, 5000, 20000), val(0)}, number},
	{"close", unix.SYS_CLOSE, []arg{fd}, oldFD},
}

// inOrder are the events that epoll_wait finds, in its order.
func inOrder(g *world) (uintptr, string, after) {
	b := g.buffer(16 * 12)
	return addr(b), "out", func(r uintptr) (text string) {
		for i := range min(int(r), 16) {
			text += fmt.Sprintf(" %#x:%d", binary.LittleEndian.Uint32(b[i*12:]), b[i*12+4])
		}
		return text
	}
}

// interest is an event to wait for, and lone one that wakes only one of those that wait.
var interest = given(func(g *world, v *unix.EpollEvent) string {
	v.Events = uint32(pick(g.source, unix.EPOLLIN, unix.EPOLLIN, unix.EPOLLOUT, unix.EPOLLIN|unix.EPOLLOUT, 0)) |
		uint32(pick(g.source, 0, 0, unix.EPOLLET, unix.EPOLLONESHOT, unix.EPOLLET|unix.EPOLLONESHOT, unix.EPOLLRDHUP, unix.EPOLLWAKEUP))
	v.Fd = int32(g.n(100))
	return fmt.Sprintf("{%#x %d}", v.Events, v.Fd)
})

var lone = given(func(g *world, v *unix.EpollEvent) string {
	v.Events = unix.EPOLLEXCLUSIVE | uint32(pick(g.source, unix.EPOLLIN, unix.EPOLLIN, unix.EPOLLOUT, unix.EPOLLIN|unix.EPOLLOUT, 0)) |
		uint32(pick(g.source, 0, 0, unix.EPOLLET, unix.EPOLLWAKEUP, unix.EPOLLERR, unix.EPOLLHUP, unix.EPOLLONESHOT, unix.EPOLLRDHUP, unix.EPOLLPRI))
	v.Fd = int32(g.n(100))
	return fmt.Sprintf("{%#x %d}", v.Events, v.Fd)
})

var epollCalls = []call{
	{"epoll_create1", unix.SYS_EPOLL_CREATE1, []arg{val(0)}, newFD},
	{"epoll_create1", unix.SYS_EPOLL_CREATE1, []arg{val(0)}, newFD},
	{"pipe2", unix.SYS_PIPE2, []arg{twoFDs, val(unix.O_NONBLOCK)}, number},
	{"socketpair", unix.SYS_SOCKETPAIR, []arg{val(unix.AF_UNIX), kinds, val(0), twoFDs}, number},
	{"eventfd2", unix.SYS_EVENTFD2, []arg{val(0, 1, 7), val(unix.EFD_NONBLOCK, unix.EFD_NONBLOCK|unix.EFD_SEMAPHORE)}, newFD},
	{"epoll_ctl", unix.SYS_EPOLL_CTL, []arg{fd, val(unix.EPOLL_CTL_ADD), fd, interest}, number},
	{"epoll_ctl", unix.SYS_EPOLL_CTL, []arg{fd, val(unix.EPOLL_CTL_ADD), fd, interest}, number},
	{"epoll_ctl", unix.SYS_EPOLL_CTL, []arg{fd, val(unix.EPOLL_CTL_ADD), fd, interest}, number},
	{"epoll_ctl", unix.SYS_EPOLL_CTL, []arg{fd, val(unix.EPOLL_CTL_MOD), fd, interest}, number},
	{"epoll_ctl", unix.SYS_EPOLL_CTL, []arg{fd, val(unix.EPOLL_CTL_DEL), fd, interest}, number},
	{"epoll_wait", unix.SYS_EPOLL_WAIT, []arg{fd, inOrder, val(16, 16, 1, 2), val(0)}, number},
	{"epoll_wait", unix.SYS_EPOLL_WAIT, []arg{fd, inOrder, val(16), val(0)}, number},
	{"epoll_wait", unix.SYS_EPOLL_WAIT, []arg{fd, inOrder, val(16), val(0)}, number},
	{"epoll_pwait", unix.SYS_EPOLL_PWAIT, []arg{fd, inOrder, val(16, 1), val(0), val(0), val(0, 8)}, number},
	{"read", unix.SYS_READ, []arg{fd, out, val(8, 1, 100)}, number},
	{"write", unix.SYS_WRITE, []arg{fd, in, val(8, 1)}, number},
	{"write", unix.SYS_WRITE, []arg{fd, in, val(8, 1)}, number},
	{"shutdown", unix.SYS_SHUTDOWN, []arg{fd, val(0, 1, 2)}, number},
	{"poll", unix.SYS_POLL, []arg{polled, val(4), val(0)}, number},
	{"dup", unix.SYS_DUP, []arg{fd}, newFD},
	{"close", unix.SYS_CLOSE, []arg{fd}, oldFD},
	{"epoll_ctl", unix.SYS_EPOLL_CTL, []arg{fd, val(unix.EPOLL_CTL_ADD), fd, lone}, number},
	{"epoll_ctl", unix.SYS_EPOLL_CTL, []arg{fd, val(unix.EPOLL_CTL_ADD, unix.EPOLL_CTL_MOD, unix.EPOLL_CTL_DEL, 9), fd, lone}, number},
}

// shortNames are one byte long, so that their entries of a directory are of one size.
var shortNames = pathOf("a", "b", "c", "d", "e", "f")

// fewEntries are some: the order is up to the file system, so only their number is told.
func fewEntries(g *world) (uintptr, string, after) {
	b := g.buffer(4096)
	return addr(b), "out", nil
}

// allEntries are a directory's entries, one at a time.
func allEntries(g *world) (uintptr, string, after) {
	b := g.buffer(4096)
	last := g.last
	return addr(b), "out", func(r uintptr) string {
		var list []string
		for {
			for b := b[:r]; len(b) >= 19; {
				n := binary.LittleEndian.Uint16(b[16:])
				name, _, _ := strings.Cut(string(b[19:n]), "\x00")
				list = append(list, fmt.Sprintf("%s %d", name, b[18]))
				b = b[n:]
			}
			n, err := unix.Getdents(last, b[:24])
			if n <= 0 {
				sort.Strings(list)
				return fmt.Sprint(" ", list, err)
			}
			r = uintptr(n)
		}
	}
}

var directoryCalls = []call{
	{"openat", unix.SYS_OPENAT, []arg{val(unix.AT_FDCWD), pathOf(".", "a", "..", "/", "b"), val(unix.O_RDONLY|unix.O_DIRECTORY, unix.O_PATH), val(0)}, newFD},
	{"openat", unix.SYS_OPENAT, []arg{val(unix.AT_FDCWD), pathOf("."), val(unix.O_RDONLY), val(0)}, newFD},
	{"getdents64", unix.SYS_GETDENTS64, []arg{rewound, fewEntries, val(0, 1, 23, 24, 25, 47, 48, 49, 100, 4096, -1)}, number},
	{"getdents64", unix.SYS_GETDENTS64, []arg{rewound, allEntries, val(24, 48)}, some},
	{"getdents64", unix.SYS_GETDENTS64, []arg{rewound, allEntries, val(4096, 72)}, some},
	{"getdents64", unix.SYS_GETDENTS64, []arg{fd, fewEntries, val(24, 4096)}, some},
	{"getdents", unix.SYS_GETDENTS, []arg{rewound, fewEntries, val(0, 23, 24, 25, 31, 32, 33, 100, 4096)}, number},
	{"lseek", unix.SYS_LSEEK, []arg{fd, val(0, -1), val(0, 7)}, number},
	{"openat", unix.SYS_OPENAT, []arg{val(unix.AT_FDCWD), shortNames, val(unix.O_RDWR | unix.O_CREAT | unix.O_NONBLOCK), val(0o644)}, newFD},
	{"mkdir", unix.SYS_MKDIR, []arg{shortNames, val(0o755)}, number},
	{"symlinkat", unix.SYS_SYMLINKAT, []arg{shortNames, val(unix.AT_FDCWD), shortNames}, number},
	{"mknodat", unix.SYS_MKNODAT, []arg{val(unix.AT_FDCWD), shortNames, val(unix.S_IFIFO|0o644, unix.S_IFSOCK|0o644), val(0)}, number},
	{"unlinkat", unix.SYS_UNLINKAT, []arg{val(unix.AT_FDCWD), shortNames, val(0, unix.AT_REMOVEDIR)}, number},
	{"rename", unix.SYS_RENAME, []arg{shortNames, shortNames}, number},
	{"fstat", unix.SYS_FSTAT, []arg{fd, filled(showStat)}, number},
	{"close", unix.SYS_CLOSE, []arg{fd}, oldFD},
}

// inside is whether the working directory lies in the root directory. If it does not, ".."
// leads out of the world.
func inside() bool {
	dir, err := unix.Getwd()
	return err == nil && strings.HasPrefix(dir, "/")
}

// tamed is a path that does not lead out of the world.
func tamed(g *world) (uintptr, string, after) {
	list := names
	if !inside() {
		list = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return strings.Contains(name, "..") })
	}
	return pathOf(list...)(g)
}

var ahead = pathOf("a", "b", "c", "d", "a/x", ".", "a/b", "/", "/home", "/home/a")

// cwd prints the working directory.
func cwd(g *world) (uintptr, string, after) {
	b := g.buffer(4096)
	return addr(b), "out", func(r uintptr) string {
		name := string(b[:max(int(r), 1)-1])
		if i := strings.Index(name, "/world"); strings.HasPrefix(name, "(unreachable)") && i >= 0 {
			name = "(unreachable)" + name[i:] // where the world is, is not the same everywhere
		}
		return fmt.Sprintf(" %q", name)
	}
}

var resolved = given(func(g *world, v *unix.OpenHow) string {
	v.Flags = uint64(pick(g.source, unix.O_RDONLY, unix.O_PATH, unix.O_RDONLY|unix.O_DIRECTORY, unix.O_RDWR|unix.O_CREAT)) | unix.O_NONBLOCK
	if v.Flags&unix.O_PATH != 0 {
		v.Flags = unix.O_PATH
	}
	if v.Flags&unix.O_CREAT != 0 {
		v.Mode = 0o644
	}
	v.Resolve = uint64(pick(g.source, 0, unix.RESOLVE_BENEATH, unix.RESOLVE_IN_ROOT, unix.RESOLVE_NO_SYMLINKS, unix.RESOLVE_NO_MAGICLINKS, unix.RESOLVE_NO_XDEV))
	return fmt.Sprintf("{%#x %o %#x}", v.Flags, v.Mode, v.Resolve)
})

var rootCalls = []call{
	{"chroot", unix.SYS_CHROOT, []arg{tamed}, number},
	{"chdir", unix.SYS_CHDIR, []arg{tamed}, number},
	{"chdir", unix.SYS_CHDIR, []arg{tamed}, number},
	{"chdir", unix.SYS_CHDIR, []arg{pathOf("/", "/home", "/a")}, number},
	{"fchdir", unix.SYS_FCHDIR, []arg{fd}, number},
	{"getcwd", unix.SYS_GETCWD, []arg{cwd, val(4096)}, some},
	{"getcwd", unix.SYS_GETCWD, []arg{cwd, val(1, 2, 3, 6, 7)}, some},
	{"openat", unix.SYS_OPENAT, []arg{val(unix.AT_FDCWD), tamed, val(unix.O_RDONLY|unix.O_DIRECTORY, unix.O_PATH), val(0)}, newFD},
	{"openat", unix.SYS_OPENAT, []arg{fd, ahead, val(unix.O_RDONLY|unix.O_NONBLOCK, unix.O_PATH, unix.O_PATH|unix.O_NOFOLLOW), val(0)}, newFD},
	{"openat2", unix.SYS_OPENAT2, []arg{fd, ahead, resolved, val(24)}, newFD},
	{"mkdir", unix.SYS_MKDIR, []arg{tamed, val(0o755)}, number},
	{"mkdirat", unix.SYS_MKDIRAT, []arg{fd, ahead, val(0o755)}, number},
	{"symlinkat", unix.SYS_SYMLINKAT, []arg{pathOf("a", "/home", "/", "b"), val(unix.AT_FDCWD), tamed}, number},
	{"rename", unix.SYS_RENAME, []arg{tamed, tamed}, number},
	{"rmdir", unix.SYS_RMDIR, []arg{tamed}, number},
	{"newfstatat", unix.SYS_NEWFSTATAT, []arg{fd, ahead, filled(func(s *unix.Stat_t) string { return fmt.Sprintf("%o %d", s.Mode, s.Nlink) }), val(0)}, number},
	{"readlink", unix.SYS_READLINK, []arg{tamed, out, val(100)}, number},
	{"close", unix.SYS_CLOSE, []arg{fd}, oldFD},
	{"dup", unix.SYS_DUP, []arg{fd}, newFD},
}
