package main

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sort"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// family is a set of calls that are drawn together. In the corpus and by their seeds
// sequences are indexes into it, so new calls make a new family.
type family struct {
	calls []call
	edges bool           // their buffers lie at pages that may not be touched
	begin func(g *world) // makes the world ready
}

var families = map[string]family{
	"files":   {calls: fileFamily},
	"pipes":   {calls: pipeFamily},
	"memory":  {calls: memoryCalls},
	"signals": {calls: signalCalls},
	"process": {calls: processCalls},

	"sockets":     {calls: socketCalls},
	"watches":     {calls: slices.Concat(watchCalls, names1)},
	"ptys":        {calls: ptyCalls},
	"timers":      {calls: timerCalls, begin: (*world).blockQueued},
	"signalfds":   {calls: signalfdCalls, begin: (*world).blockQueued},
	"locks":       {calls: lockCalls},
	"futexes":     {calls: futexCalls, begin: futexWorld},
	"maps":        {calls: mapCalls},
	"epolls":      {calls: epollCalls},
	"directories": {calls: directoryCalls},
	"roots":       {calls: rootCalls},

	"edges-files":   {calls: fileFamily, edges: true},
	"edges-pipes":   {calls: pipeFamily, edges: true},
	"edges-process": {calls: processCalls, edges: true},
	"edges-sockets": {calls: socketCalls, edges: true},
	"edges-others":  {calls: slices.Concat(timerCalls, signalfdCalls, lockCalls, futexCalls), edges: true, begin: (*world).blockQueued},
}

var (
	fileFamily = slices.Concat(names1, fileCalls)
	pipeFamily = slices.Concat(pipeCalls, readiness)
)

var (
	mode     = val(0, 0o400, 0o644, 0o666, 0o700, 0o755, 0o777, 0o4755, 0o2755, 0o1777, 0o7777, -1)
	openMode = val(0, 0o644, 0o600, 0o4711)
	uid      = val(-1, 0, 1, 1000)
	atFlags  = bits(unix.AT_SYMLINK_NOFOLLOW, unix.AT_EMPTY_PATH, unix.AT_SYMLINK_FOLLOW)
	openHow  = bits(unix.O_RDWR, unix.O_RDWR, unix.O_WRONLY, unix.O_CREAT, unix.O_CREAT, unix.O_EXCL, unix.O_TRUNC, unix.O_APPEND, unix.O_DIRECTORY, unix.O_NOFOLLOW, unix.O_PATH, unix.O_CLOEXEC)
)

// openFlags never block: a FIFO may be what the name stands for.
func openFlags(g *world) (uintptr, string, after) {
	v, _, _ := openHow(g)
	if g.oneIn(20) {
		v |= unix.O_TMPFILE
	}
	v = v&^(unix.O_DIRECT|unix.O_ASYNC) | unix.O_NONBLOCK
	return v, fmt.Sprintf("%#x", v), nil
}

// whence is lseek's. What a directory's position is, is up to the file system.
func whence(g *world) (uintptr, string, after) {
	v := g.n(6)
	if v == unix.SEEK_CUR && g.is(unix.S_IFDIR) {
		v = unix.SEEK_SET
	}
	return uintptr(v), fmt.Sprint(v), nil
}

// linkFlags are those of linkat. Whom an empty path is allowed to has changed.
func linkFlags(g *world) (uintptr, string, after) {
	v, text, _ := atFlags(g)
	if uid, _ := unix.SetfsuidRetUid(-1); uid != 0 && v&unix.AT_EMPTY_PATH != 0 {
		return 0, "0", nil
	}
	return v, text, nil
}

// statxFlags are those of statx. Since 6.11 one that it does not know is not noticed with
// an empty path.
func statxFlags(g *world) (uintptr, string, after) {
	v, text, _ := atFlags(g)
	if v&unix.AT_EMPTY_PATH != 0 {
		return unix.AT_EMPTY_PATH, "AT_EMPTY_PATH", nil
	}
	return v, text, nil
}

func showStat(s *unix.Stat_t) string {
	size := s.Size
	if s.Mode&unix.S_IFMT == unix.S_IFDIR {
		size = 0
	}
	return fmt.Sprintf("{%o links=%d %d:%d dev=%#x size=%d blocks=%d}", s.Mode, s.Nlink, s.Uid, s.Gid, s.Rdev, size, blocks(s.Mode, s.Blocks))
}

// blocks are what a file system likes them to be, but for files.
func blocks(mode uint32, n int64) int64 {
	if mode&unix.S_IFMT != unix.S_IFREG {
		return 0
	}
	return n
}

func showStatx(s *unix.Statx_t) string {
	size := s.Size
	if s.Mode&unix.S_IFMT == unix.S_IFDIR {
		size = 0
	}
	const basic = unix.STATX_BASIC_STATS &^ (unix.STATX_MTIME | unix.STATX_CTIME) // 6.18 leaves these out unless asked for
	return fmt.Sprintf("{%o links=%d %d:%d size=%d mask=%#x}", s.Mode, s.Nlink, s.Uid, s.Gid, size, s.Mask&basic)
}

// entries prints a directory's names as getdents64 gives them, sorted.
func entries(g *world) (uintptr, string, after) {
	b := g.buffer(4096)
	return addr(b), "out", func(r uintptr) string {
		var list []string
		for b := b[:r]; len(b) >= 19; {
			n := binary.LittleEndian.Uint16(b[16:])
			name, _, _ := strings.Cut(string(b[19:n]), "\x00")
			list = append(list, fmt.Sprintf("%s %d", name, b[18]))
			b = b[n:]
		}
		sort.Strings(list)
		return fmt.Sprint(" ", list)
	}
}

var times = given(func(g *world, v *[2]unix.Timespec) string {
	for i := range v {
		v[i] = unix.Timespec{Sec: int64(pick(g.source, 0, 1, -1, 1<<33)), Nsec: int64(pick(g.source, 0, 5, 999999999, 1000000000, -1, unix.UTIME_NOW, unix.UTIME_OMIT))}
	}
	return fmt.Sprint(*v)
})

var how = given(func(g *world, v *unix.OpenHow) string {
	f, _, _ := openFlags(g)
	v.Flags = uint64(f)
	if f&unix.O_CREAT != 0 || g.oneIn(10) {
		v.Mode = uint64(pick(g.source, 0, 0o644, 0o777, 1<<20))
	}
	v.Resolve = uint64(pick(g.source, 0, 0, unix.RESOLVE_BENEATH, unix.RESOLVE_IN_ROOT, unix.RESOLVE_NO_SYMLINKS, unix.RESOLVE_NO_MAGICLINKS, unix.RESOLVE_NO_XDEV, 1<<30))
	return fmt.Sprintf("{%#x %o %#x}", v.Flags, v.Mode, v.Resolve)
})

// names1 are the calls on names.
var names1 = []call{
	{"openat", unix.SYS_OPENAT, []arg{where, path, openFlags, openMode}, newFD},
	{"openat", unix.SYS_OPENAT, []arg{where, path, openFlags, openMode}, newFD},
	{"openat", unix.SYS_OPENAT, []arg{where, path, val(unix.O_RDWR | unix.O_CREAT | unix.O_NONBLOCK), openMode}, newFD},
	{"openat2", unix.SYS_OPENAT2, []arg{where, path, how, val(24, 24, 24, 0, 23, 32, 1<<20)}, newFD},
	{"creat", unix.SYS_CREAT, []arg{noFIFO, openMode}, newFD},
	{"mkdirat", unix.SYS_MKDIRAT, []arg{where, path, mode}, number},
	{"mkdir", unix.SYS_MKDIR, []arg{path, mode}, number},
	{"mknodat", unix.SYS_MKNODAT, []arg{where, path, val(0o644, unix.S_IFREG|0o600, unix.S_IFIFO|0o644, unix.S_IFSOCK|0o755, unix.S_IFDIR|0o755, unix.S_IFLNK, unix.S_IFCHR|0o600), val(0x103)}, number},
	{"unlinkat", unix.SYS_UNLINKAT, []arg{where, path, bits(unix.AT_REMOVEDIR)}, number},
	{"rmdir", unix.SYS_RMDIR, []arg{path}, number},
	{"unlink", unix.SYS_UNLINK, []arg{path}, number},
	{"symlinkat", unix.SYS_SYMLINKAT, []arg{path, where, path}, number},
	{"linkat", unix.SYS_LINKAT, []arg{where, path, where, path, linkFlags}, number},
	{"renameat2", unix.SYS_RENAMEAT2, []arg{where, path, where, path, bits(unix.RENAME_NOREPLACE, unix.RENAME_EXCHANGE, unix.RENAME_WHITEOUT)}, number},
	{"rename", unix.SYS_RENAME, []arg{path, path}, number},
	{"readlinkat", unix.SYS_READLINKAT, []arg{where, path, out, length}, number},
	{"newfstatat", unix.SYS_NEWFSTATAT, []arg{where, realPath, filled(showStat), bitsBut(unix.AT_SYMLINK_FOLLOW, unix.AT_SYMLINK_NOFOLLOW, unix.AT_EMPTY_PATH)}, number},
	{"lstat", unix.SYS_LSTAT, []arg{path, filled(showStat)}, number},
	{"statx", unix.SYS_STATX, []arg{where, realPath, statxFlags, val(0, unix.STATX_BASIC_STATS, unix.STATX_ALL, 1<<31), filled(showStatx)}, number},
	{"faccessat2", unix.SYS_FACCESSAT2, []arg{where, path, val(0, 1, 2, 4, 7, 8, -1), bits(unix.AT_EACCESS, unix.AT_SYMLINK_NOFOLLOW, unix.AT_EMPTY_PATH)}, number},
	{"fchmodat", unix.SYS_FCHMODAT, []arg{where, path, mode}, number},
	{"fchownat", unix.SYS_FCHOWNAT, []arg{where, path, uid, uid, atFlags}, number},
	{"utimensat", unix.SYS_UTIMENSAT, []arg{where, path, orNull(times), atFlags}, number},
	{"truncate", unix.SYS_TRUNCATE, []arg{path, offset}, number},
	{"chdir", unix.SYS_CHDIR, []arg{path}, number},
	{"getcwd", unix.SYS_GETCWD, []arg{out, val(0, 1, 20, 4096)}, some},
	{"umask", unix.SYS_UMASK, []arg{val(0, 0o22, 0o77, -1)}, number},
	{"setfsuid", unix.SYS_SETFSUID, []arg{val(0, 0, 1000)}, number},
	{"setxattr", unix.SYS_SETXATTR, []arg{root, xattrName("nobody.a", "system.x", ""), in, length, val(0, 1, 2, 4)}, number},
	{"getxattr", unix.SYS_GETXATTR, []arg{root, xattrName("nobody.a", "system.x", ""), out, length}, number},
	{"listxattr", unix.SYS_LISTXATTR, []arg{path, out, length}, number},
}

// fileCalls are those on descriptors.
var fileCalls = []call{
	{"read", unix.SYS_READ, []arg{fd, out, length}, number},
	{"write", unix.SYS_WRITE, []arg{fd, in, length}, number},
	{"write", unix.SYS_WRITE, []arg{fd, in, length}, number},
	{"pread64", unix.SYS_PREAD64, []arg{fd, out, length, offset}, number},
	{"pwrite64", unix.SYS_PWRITE64, []arg{fd, in, length, offset}, number},
	{"readv", unix.SYS_READV, []arg{fd, vector(true, 0, 1, 100, 4096), parts}, number},
	{"writev", unix.SYS_WRITEV, []arg{fd, vector(false, 0, 1, 100, 4096), parts}, number},
	{"preadv2", unix.SYS_PREADV2, []arg{fd, vector(true, 0, 1, 100, 4096), val(0, 1, 4), offset, val(0), bitsBut(0x1e0, unix.RWF_HIPRI, unix.RWF_NOWAIT, unix.RWF_APPEND, 1<<20)}, number},
	{"pwritev2", unix.SYS_PWRITEV2, []arg{fd, vector(false, 0, 1, 100, 4096), val(0, 1, 4), offset, val(0), bitsBut(0x1e0, unix.RWF_DSYNC, unix.RWF_SYNC, unix.RWF_APPEND, 1<<20)}, number},
	{"lseek", unix.SYS_LSEEK, []arg{fd, offset, whence}, number},
	{"ftruncate", unix.SYS_FTRUNCATE, []arg{fd, offset}, number},
	{"fallocate", unix.SYS_FALLOCATE, []arg{fd, val(0, 0, unix.FALLOC_FL_KEEP_SIZE, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, unix.FALLOC_FL_PUNCH_HOLE, unix.FALLOC_FL_ZERO_RANGE, unix.FALLOC_FL_COLLAPSE_RANGE, 1<<10), val(0, 100, 4096, 5000, -1), val(0, 1, 4096, 10000, -1)}, number},
	{"fstat", unix.SYS_FSTAT, []arg{fd, filled(showStat)}, number},
	{"fchmod", unix.SYS_FCHMOD, []arg{fd, mode}, number},
	{"fchown", unix.SYS_FCHOWN, []arg{fd, uid, uid}, number},
	{"fsync", unix.SYS_FSYNC, []arg{fd}, number},
	{"fdatasync", unix.SYS_FDATASYNC, []arg{fd}, number},
	{"getdents64", unix.SYS_GETDENTS64, []arg{rewound, entries, val(4096)}, some},
	{"fchdir", unix.SYS_FCHDIR, []arg{fd}, number},
	{"close", unix.SYS_CLOSE, []arg{fd}, oldFD},
	{"dup", unix.SYS_DUP, []arg{fd}, newFD},
	{"dup3", unix.SYS_DUP3, []arg{fd, val(20, 21, -1, 1<<20), bits(unix.O_CLOEXEC)}, dupFD},
	{"fcntl", unix.SYS_FCNTL, []arg{fd, val(unix.F_GETFD, unix.F_GETFL, 77, unix.F_GETLEASE, unix.F_GET_SEALS, unix.F_GETPIPE_SZ), val(0)}, number},
	{"fcntl", unix.SYS_FCNTL, []arg{fd, val(unix.F_SETFD), val(0, 1, 3)}, number},
	{"fcntl", unix.SYS_FCNTL, []arg{fd, val(unix.F_SETFL), val(unix.O_NONBLOCK, unix.O_NONBLOCK|unix.O_APPEND, unix.O_NONBLOCK|unix.O_WRONLY)}, number},
	{"fcntl", unix.SYS_FCNTL, []arg{fd, val(unix.F_DUPFD, unix.F_DUPFD_CLOEXEC), val(0, 30, -1, 1<<20)}, newFD},
	{"fcntl", unix.SYS_FCNTL, []arg{fd, val(unix.F_SETLK, unix.F_GETLK, unix.F_OFD_SETLK), lock(unix.F_RDLCK, unix.F_WRLCK, unix.F_UNLCK, 9)}, number},
	{"fcntl", unix.SYS_FCNTL, []arg{fd, val(unix.F_OFD_GETLK), lock(unix.F_RDLCK, unix.F_WRLCK)}, number},
	{"flock", unix.SYS_FLOCK, []arg{fd, val(unix.LOCK_SH|unix.LOCK_NB, unix.LOCK_EX|unix.LOCK_NB, unix.LOCK_UN, 0, 16)}, number},
	{"copy_file_range", unix.SYS_COPY_FILE_RANGE, []arg{fd, offsetAt, fd, offsetAt, val(0, 1, 100, 4095, 4096, 5000, 12288), bits(1)}, number},
	{"sendfile", unix.SYS_SENDFILE, []arg{fd, otherFD, offsetAt, val(1, 7, 100, 512, 4095, 4096, 5000, 12288, -1)}, number},
	{"memfd_create", unix.SYS_MEMFD_CREATE, []arg{path, bitsBut(unix.MFD_HUGETLB|0x18, unix.MFD_CLOEXEC, unix.MFD_ALLOW_SEALING)}, newFD},
	{"fcntl", unix.SYS_FCNTL, []arg{fd, val(unix.F_ADD_SEALS), bitsBut(0x20, unix.F_SEAL_SEAL, unix.F_SEAL_SHRINK, unix.F_SEAL_GROW, unix.F_SEAL_WRITE)}, number},
	{"readahead", unix.SYS_READAHEAD, []arg{fd, offset, length}, number},
	{"fadvise64", unix.SYS_FADVISE64, []arg{fd, offset, length, val(0, 1, 2, 3, 4, 5, 6)}, number},
	{"sync_file_range", unix.SYS_SYNC_FILE_RANGE, []arg{fd, offset, length, bits(1, 2, 4)}, number},
	{"fgetxattr", unix.SYS_FGETXATTR, []arg{realFD, xattrName("nobody.a", "system.x"), out, length}, number},
	{"close_range", unix.SYS_CLOSE_RANGE, []arg{val(40, 30, 1000), val(41, 50, 29), bits(unix.CLOSE_RANGE_CLOEXEC, unix.CLOSE_RANGE_UNSHARE)}, number},
}

// lock is one of some types.
func lock(types ...int16) arg {
	return given(func(g *world, v *unix.Flock_t) string {
		*v = unix.Flock_t{Type: pick(g.source, types...), Whence: int16(pick(g.source, 0, 0, 1, 2, 3)),
			Start: int64(pick(g.source, 0, 10, 100, -5)), Len: int64(pick(g.source, 0, 5, 100, -5))}
		if v.Whence == unix.SEEK_END && g.is(unix.S_IFDIR) { // its size is up to the file system
			v.Whence = 0
		}
		return fmt.Sprint(*v)
	})
}

// twoFDs is where pipe and socketpair put theirs.
func twoFDs(g *world) (uintptr, string, after) {
	b := g.buffer(8)
	return addr(b), "out", func(uintptr) string {
		a, z := *(*int32)(unsafe.Pointer(&b[0])), *(*int32)(unsafe.Pointer(&b[4]))
		g.opened(int(a))
		g.opened(int(z))
		return fmt.Sprint(" ", a, z)
	}
}

// event is a struct epoll_event. Its member data is not aligned.
var event = given(func(g *world, v *unix.EpollEvent) string {
	v.Events = uint32(pick(g.source, 0, unix.EPOLLIN, unix.EPOLLOUT, unix.EPOLLIN|unix.EPOLLOUT|unix.EPOLLRDHUP, unix.EPOLLIN|unix.EPOLLET, unix.EPOLLIN|unix.EPOLLONESHOT,
		unix.EPOLLIN|unix.EPOLLEXCLUSIVE, unix.EPOLLIN|unix.EPOLLEXCLUSIVE|unix.EPOLLONESHOT))
	v.Fd = int32(g.n(100))
	return fmt.Sprintf("{%#x %d}", v.Events, v.Fd)
})

// events are what epoll_wait finds, in no order.
func events(g *world) (uintptr, string, after) {
	b := g.buffer(16 * 12)
	return addr(b), "out", func(r uintptr) string {
		var list []string
		for i := range min(int(r), 16) {
			list = append(list, fmt.Sprintf("%x:%x", b[i*12:i*12+4], b[i*12+4:i*12+12]))
		}
		sort.Strings(list)
		return fmt.Sprint(" ", list)
	}
}

var polled = func(g *world) (uintptr, string, after) {
	b := g.buffer(4 * 8)
	p := unsafe.Slice((*unix.PollFd)(unsafe.Pointer(&b[0])), 4)
	for i := range p {
		p[i] = unix.PollFd{Fd: int32(g.fd()), Events: int16(pick(g.source, 0, unix.POLLIN, unix.POLLOUT, unix.POLLIN|unix.POLLOUT|unix.POLLRDHUP|unix.POLLPRI))}
	}
	return addr(b), fmt.Sprint(p), func(uintptr) string { return fmt.Sprint(" ", p) }
}

// noTime is a timeout that is over, or none at all that is valid.
func noTime(g *world) (uintptr, string, after) {
	if v, text, _ := anyTime(g); v != 0 {
		return v, text, nil
	}
	return 8, "8", nil
}

var anyTime = given(func(g *world, v *unix.Timespec) string {
	*v = unix.Timespec{Sec: int64(pick(g.source, 0, 0, 0, -1)), Nsec: int64(pick(g.source, 0, 0, 1, 1000000000, -1))}
	return fmt.Sprint(*v)
})

var timer = given(func(g *world, v *[4]int64) string {
	*v = [4]int64{int64(pick(g.source, 0, 1000, -1)), int64(pick(g.source, 0, 1000000000)), int64(pick(g.source, 0, 2000, 1<<40)), int64(pick(g.source, 0, 999999999, -1))}
	if v[2] == 0 { // long, or never
		v[3] = min(v[3], 0)
	}
	return fmt.Sprint(*v)
})

func showTimer(v *[4]int64) string {
	return fmt.Sprint(v[0], v[1], v[2] > 0, v[3] > 0)
}

var pipeCalls = []call{
	{"pipe2", unix.SYS_PIPE2, []arg{twoFDs, val(unix.O_NONBLOCK, unix.O_NONBLOCK, unix.O_NONBLOCK|unix.O_DIRECT, unix.O_NONBLOCK|unix.O_CLOEXEC, 1<<20)}, number},
	{"pipe2", unix.SYS_PIPE2, []arg{twoFDs, val(unix.O_NONBLOCK)}, number},
	{"eventfd2", unix.SYS_EVENTFD2, []arg{val(0, 1, 7), val(unix.EFD_NONBLOCK, unix.EFD_NONBLOCK|unix.EFD_SEMAPHORE, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC, 1<<5)}, newFD},
	{"timerfd_create", unix.SYS_TIMERFD_CREATE, []arg{val(unix.CLOCK_MONOTONIC, unix.CLOCK_REALTIME, unix.CLOCK_BOOTTIME, 99, unix.CLOCK_PROCESS_CPUTIME_ID), val(unix.TFD_NONBLOCK, 1<<3)}, newFD},
	{"timerfd_settime", unix.SYS_TIMERFD_SETTIME, []arg{fd, val(0, 0, 8), timer, orNull(filled(showTimer))}, number},
	{"timerfd_gettime", unix.SYS_TIMERFD_GETTIME, []arg{fd, filled(showTimer)}, number},
	{"read", unix.SYS_READ, []arg{fd, out, length}, number},
	{"read", unix.SYS_READ, []arg{fd, out, val(8)}, number},
	{"write", unix.SYS_WRITE, []arg{fd, in, shortLength}, number},
	{"write", unix.SYS_WRITE, []arg{fd, in, val(8, 1)}, number},
	{"readv", unix.SYS_READV, []arg{fd, vector(true, 8, 100, 4096), val(1, 4)}, number},
	{"writev", unix.SYS_WRITEV, []arg{fd, vector(false, 0, 1, 8), val(1, 4)}, number},
	{"pread64", unix.SYS_PREAD64, []arg{fd, out, length, offset}, number},
	{"lseek", unix.SYS_LSEEK, []arg{fd, offset, val(0, 1)}, number},
	{"close", unix.SYS_CLOSE, []arg{fd}, oldFD},
	{"dup", unix.SYS_DUP, []arg{fd}, newFD},
	{"fstat", unix.SYS_FSTAT, []arg{fd, filled(func(s *unix.Stat_t) string { return fmt.Sprintf("%o", s.Mode) })}, number},
	{"fcntl", unix.SYS_FCNTL, []arg{fd, val(unix.F_GETFL, unix.F_GETFD, unix.F_GETPIPE_SZ), val(0)}, number},
	{"fcntl", unix.SYS_FCNTL, []arg{fd, val(unix.F_SETPIPE_SZ), val(0, 1, 4096, 10000, 65536, -1)}, number},
	{"ioctl", unix.SYS_IOCTL, []arg{named, val(unix.TIOCINQ, 0x5401, 0x1234), filled(func(v *int32) string { return fmt.Sprint(*v) })}, number},
	{"splice", unix.SYS_SPLICE, []arg{fd, val(0), fd, val(0), val(0, 1, 7, 100, 512, 4095, 4096, 5000, 12288), val(unix.SPLICE_F_NONBLOCK, unix.SPLICE_F_NONBLOCK, unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE, 1<<10|unix.SPLICE_F_NONBLOCK)}, number},
	{"tee", unix.SYS_TEE, []arg{fd, fd, length, val(unix.SPLICE_F_NONBLOCK, unix.SPLICE_F_NONBLOCK|1<<10)}, number},
	{"vmsplice", unix.SYS_VMSPLICE, []arg{fd, spliced, val(0, 1, 4), val(unix.SPLICE_F_NONBLOCK)}, number},
	{"ftruncate", unix.SYS_FTRUNCATE, []arg{fd, offset}, number},
	{"fsync", unix.SYS_FSYNC, []arg{fd}, number},
}

var readiness = []call{
	{"epoll_create1", unix.SYS_EPOLL_CREATE1, []arg{val(0, unix.EPOLL_CLOEXEC, 1)}, newFD},
	{"epoll_create", unix.SYS_EPOLL_CREATE, []arg{val(0, 1, -1)}, newFD},
	{"epoll_ctl", unix.SYS_EPOLL_CTL, []arg{fd, val(unix.EPOLL_CTL_ADD), fd, event}, number},
	{"epoll_ctl", unix.SYS_EPOLL_CTL, []arg{fd, val(unix.EPOLL_CTL_ADD), fd, event}, number},
	{"epoll_ctl", unix.SYS_EPOLL_CTL, []arg{fd, val(unix.EPOLL_CTL_MOD, unix.EPOLL_CTL_DEL, 0, 9), fd, event}, number},
	{"epoll_wait", unix.SYS_EPOLL_WAIT, []arg{fd, events, val(16, 16, 1), val(0)}, number},
	{"epoll_wait", unix.SYS_EPOLL_WAIT, []arg{fd, events, val(16), val(0)}, number},
	{"epoll_pwait2", unix.SYS_EPOLL_PWAIT2, []arg{fd, events, val(16), noTime, val(0), val(0, 8)}, number},
	{"poll", unix.SYS_POLL, []arg{polled, val(0, 1, 4), val(0)}, number},
	{"ppoll", unix.SYS_PPOLL, []arg{polled, val(0, 1, 4, -1), noTime, val(0), val(0, 8)}, number},
}

// address is one of the area's pages, or seldom not quite.
func address(g *world) (uintptr, string, after) {
	at := g.area + uintptr(g.n(areaPages))*pageSize
	if g.oneIn(30) {
		at += 100
	}
	if g.oneIn(40) {
		at = pick(g.source, uintptr(1<<47-4096), 1<<47, 0xffff800000000000, ^uintptr(0)-4095)
	}
	return at, fmt.Sprintf("%#x", at), nil
}

// extent is how many bytes from an address on: it may reach beyond the area, but
// nothing else is there.
func extent(g *world) (uintptr, string, after) {
	n := g.n(8) * pageSize
	if g.oneIn(12) {
		n += 1
	}
	if g.oneIn(60) {
		n = pick(g.source, -1, -4096)
	}
	g.extent = uintptr(n)
	return uintptr(n), fmt.Sprint(n), nil
}

// newExtent is another one than the last: since 6.17 several mappings may move at once.
func newExtent(g *world) (uintptr, string, after) {
	last := g.extent
	defer func() { g.extent = last }()
	v, _, _ := extent(g)
	if int(v) < 0 { // an error that has changed
		v = 0
	}
	if last != pageSize { // what grows may be several mappings, or one
		v = min(v, pageSize)
	}
	if (v+pageSize-1)&^(pageSize-1) == (last+pageSize-1)&^(pageSize-1) {
		v += pageSize
	}
	return v, fmt.Sprint(int(v)), nil
}

// moveFlags are mremap's. Before 6.17 a failed move to a fixed place may undo mappings: but
// what is one page cannot fail.
func moveFlags(g *world) (uintptr, string, after) {
	v := pick(g.source, unix.MREMAP_MAYMOVE|unix.MREMAP_FIXED, 0, unix.MREMAP_FIXED, unix.MREMAP_MAYMOVE|unix.MREMAP_FIXED|unix.MREMAP_DONTUNMAP, 64)
	if g.extent != pageSize {
		v &= 64
	}
	return uintptr(v), fmt.Sprint(v), nil
}

// pages prints what of the area can be read and written, and holds.
func pages(a arg) arg {
	return func(g *world) (uintptr, string, after) {
		v, text, _ := a(g)
		return v, text, func(uintptr) string { return g.look() }
	}
}

// look tells of each page of the area: absent, readable or writable, and a sum.
func (g *world) look() string {
	fd, err := unix.MemfdCreate("look", 0)
	if err != nil {
		return " " + err.Error()
	}
	defer unix.Close(fd)
	var b strings.Builder
	b.WriteByte(' ')
	for at := g.area; at < g.area+areaPages*pageSize; at += pageSize {
		page := unsafe.Slice((*byte)(ptr(at)), pageSize)
		if n, _ := unix.Pwrite(fd, page, 0); n != pageSize {
			b.WriteByte('-')
			continue
		}
		first := page[0]
		if _, err := unix.Pread(fd, page[:1], 0); err != nil {
			b.WriteByte('r')
		} else {
			b.WriteByte('w')
		}
		fmt.Fprintf(&b, "%02x", first)
	}
	return b.String()
}

// touch writes to a page by the kernel's hand.
func touch(g *world) (uintptr, string, after) {
	b := g.buffer(16)
	return addr(b), "in", nil
}

var (
	prot     = val(0, 1, 2, 3, 3, 3, 4, 5, 7, 8, 1<<10)
	mapFlags = val(unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_FIXED, unix.MAP_SHARED|unix.MAP_ANONYMOUS|unix.MAP_FIXED, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_FIXED_NOREPLACE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_FIXED|unix.MAP_NORESERVE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_FIXED|unix.MAP_POPULATE,
		unix.MAP_ANONYMOUS|unix.MAP_FIXED, unix.MAP_SHARED_VALIDATE|unix.MAP_ANONYMOUS|unix.MAP_FIXED|1<<28)
	fileFlags = val(unix.MAP_PRIVATE|unix.MAP_FIXED, unix.MAP_SHARED|unix.MAP_FIXED, unix.MAP_SHARED_VALIDATE|unix.MAP_FIXED, unix.MAP_PRIVATE|unix.MAP_FIXED_NOREPLACE)
	fileAt    = val(0, 0, 4096, 8192, 100, -4096)
)

var memoryCalls = []call{
	{"mmap", unix.SYS_MMAP, []arg{address, extent, prot, pages(mapFlags), val(-1, -1, 0), val(0, 4096)}, number},
	{"mmap", unix.SYS_MMAP, []arg{address, extent, prot, pages(fileFlags), fd, fileAt}, number},
	{"mmap", unix.SYS_MMAP, []arg{address, extent, prot, pages(fileFlags), fd, fileAt}, number},
	{"munmap", unix.SYS_MUNMAP, []arg{address, pages(extent)}, number},
	{"mprotect", unix.SYS_MPROTECT, []arg{address, pages(extent), prot}, number},
	{"mprotect", unix.SYS_MPROTECT, []arg{address, pages(extent), val(1, 3)}, number},
	{"mremap", unix.SYS_MREMAP, []arg{address, extent, newExtent, pages(moveFlags), address}, number},
	{"madvise", unix.SYS_MADVISE, []arg{address, pages(extent), val(unix.MADV_DONTNEED, unix.MADV_WILLNEED, unix.MADV_NORMAL, unix.MADV_RANDOM, unix.MADV_DONTFORK, unix.MADV_NOHUGEPAGE, unix.MADV_DONTDUMP, unix.MADV_POPULATE_READ, unix.MADV_POPULATE_WRITE, 77)}, number},
	{"msync", unix.SYS_MSYNC, []arg{address, extent, bits(1, 2, 4)}, number},
	{"mlock", unix.SYS_MLOCK, []arg{address, extent}, number},
	{"munlock", unix.SYS_MUNLOCK, []arg{address, extent}, number},
	{"mincore", unix.SYS_MINCORE, []arg{address, extent, in}, number},
	{"read from", unix.SYS_PREAD64, []arg{fd, pages(address), val(1, 100, 4096, 5000, 20000), val(0, 4096)}, number},
	{"write to", unix.SYS_PWRITE64, []arg{fd, pages(address), val(1, 100, 4096, 5000, 20000), val(0)}, number},
	{"memfd_create", unix.SYS_MEMFD_CREATE, []arg{path, val(0)}, newFD},
	{"openat", unix.SYS_OPENAT, []arg{val(unix.AT_FDCWD), path, val(unix.O_RDWR|unix.O_CREAT|unix.O_NONBLOCK, unix.O_RDONLY|unix.O_NONBLOCK, unix.O_WRONLY|unix.O_NONBLOCK), openMode}, newFD},
	{"ftruncate", unix.SYS_FTRUNCATE, []arg{fd, pages(val(0, 100, 4096, 8192, 20000))}, number},
	{"ftruncate", unix.SYS_FTRUNCATE, []arg{fd, val(8192, 20000, 40000)}, number},
	{"pwrite64", unix.SYS_PWRITE64, []arg{fd, touch, val(16), pages(val(0, 4096, 4090, 8192))}, number},
}

var set = given(func(g *world, v *uint64) string {
	*v = pick(g.source, 0, 1<<(34-1), 1<<(35-1), 1<<(40-1)|1<<(34-1), 3<<(40-1), ^uint64(0)&^(1<<(11-1)|1<<(8-1)|1<<(23-1)))
	return fmt.Sprintf("%#x", *v)
})

// queued are the signals that are sent.
const queued = 1<<(34-1) | 1<<(35-1) | 3<<(40-1)

var setOut = filled(func(v *uint64) string { return fmt.Sprintf("%#x", *v&queued) })

// rtSignal is one that Go's runtime is indifferent to; while it is drawn it is
// blocked, or else ignored.
var rtSignal = val(34, 35, 40, 41, 0, 65, -1)

var info = given(func(g *world, v *[128]byte) string {
	code := pick(g.source, int32(-1), -2, 0, 1)
	binary.LittleEndian.PutUint32(v[8:], uint32(code))
	v[24] = byte(g.n(5))
	return fmt.Sprintf("{code %d value %d}", code, v[24])
})

var infoOut = filled(func(v *[128]byte) string {
	return fmt.Sprintf("{%d %d value %d}", int32(binary.LittleEndian.Uint32(v[0:])), int32(binary.LittleEndian.Uint32(v[8:])), v[24])
})

func self(call func() int) arg {
	return func(g *world) (uintptr, string, after) { return uintptr(call()), "self", nil }
}

var (
	pid = self(unix.Getpid)
	tid = self(unix.Gettid)
)

var signalCalls = []call{
	{"rt_sigprocmask", unix.SYS_RT_SIGPROCMASK, []arg{val(unix.SIG_BLOCK, unix.SIG_BLOCK, unix.SIG_BLOCK, 9), orNull(set), orNull(setOut), val(8, 8, 8, 4)}, number},
	{"rt_sigpending", unix.SYS_RT_SIGPENDING, []arg{setOut, val(8, 8, 16)}, number},
	{"rt_sigtimedwait", unix.SYS_RT_SIGTIMEDWAIT, []arg{set, orNull(infoOut), noTime, val(8, 8, 8, 4)}, number},
	{"rt_sigtimedwait", unix.SYS_RT_SIGTIMEDWAIT, []arg{set, orNull(infoOut), noTime, val(8)}, number},
	{"block", unix.SYS_RT_SIGPROCMASK, []arg{val(unix.SIG_BLOCK), given(func(g *world, v *uint64) string { *v = queued; return "rt" }), val(0), val(8)}, number},
	{"tgkill", unix.SYS_TGKILL, []arg{pid, tid, val(0, 0, 65, -1)}, number},
	{"rt_sigqueueinfo", unix.SYS_RT_SIGQUEUEINFO, []arg{pid, val(0, 65, -1, 0), info}, number},
	{"rt_tgsigqueueinfo", unix.SYS_RT_TGSIGQUEUEINFO, []arg{pid, tid, val(0, 65, -1), info}, number},
	{"queue blocked", unix.SYS_RT_TGSIGQUEUEINFO, []arg{pid, tid, blocked, info}, number},
	{"signalfd4", unix.SYS_SIGNALFD4, []arg{val(-1, -1, 77), set, val(8, 8, 4), val(unix.SFD_NONBLOCK, unix.SFD_NONBLOCK|unix.SFD_CLOEXEC, 1<<5)}, newFD},
	{"read", unix.SYS_READ, []arg{fd, in, val(128, 128, 256, 100)}, number},
	{"poll", unix.SYS_POLL, []arg{polled, val(4), val(0)}, number},
	{"sigaltstack", unix.SYS_SIGALTSTACK, []arg{val(0), filled(func(v *[3]uint64) string { return "stack" })}, number},
	{"rt_sigaction", unix.SYS_RT_SIGACTION, []arg{val(9, 19, 0, 65, -1), val(0), in, val(8, 4)}, number},
	{"kill", unix.SYS_KILL, []arg{val(1<<22+1, 1<<30), rtSignal}, number},
}

// blocked is a signal that is blocked now: it stays where it is.
func blocked(g *world) (uintptr, string, after) {
	var mask uint64
	unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_BLOCK, 0, uintptr(unsafe.Pointer(&mask)), 8, 0, 0)
	sig := pick(g.source, 34, 35, 40, 41)
	if mask>>(sig-1)&1 == 0 {
		sig = 0
	}
	return uintptr(sig), fmt.Sprint(sig), nil
}

var rlimit = filled(func(v *unix.Rlimit) string { return "limit" })

var someLimit = given(func(g *world, v *unix.Rlimit) string {
	*v = unix.Rlimit{Cur: pick(g.source, 0, 100, 4096, 1<<40, ^uint64(0)), Max: 0} // to raise it again takes a capability
	return fmt.Sprint(*v)
})

var sched = given(func(g *world, v *[4]int32) string {
	v[0] = int32(pick(g.source, 0, 1, 50, 99, 100, -1))
	return fmt.Sprint(v[0])
})

var processCalls = []call{
	{"getpriority", unix.SYS_GETPRIORITY, []arg{val(0, 3, -1), val(0, 0, 1<<22+1)}, number},
	{"setpriority", unix.SYS_SETPRIORITY, []arg{val(0, 3), val(0, 1<<22+1), val(0, 5, 19, 40, -5, -40)}, number},
	{"sched_getscheduler", unix.SYS_SCHED_GETSCHEDULER, []arg{val(0, -1, 1<<22+1)}, number},
	{"sched_setscheduler", unix.SYS_SCHED_SETSCHEDULER, []arg{val(0, -1), val(0, 3, 5, 6, 9, -1), sched}, number},
	{"sched_getparam", unix.SYS_SCHED_GETPARAM, []arg{val(0, -1), filled(func(v *int32) string { return fmt.Sprint(*v) })}, number},
	{"sched_setparam", unix.SYS_SCHED_SETPARAM, []arg{val(0, -1), sched}, number},
	{"sched_get_priority_max", unix.SYS_SCHED_GET_PRIORITY_MAX, []arg{val(0, 1, 2, 3, 4, 5, 6, -1)}, number},
	{"sched_get_priority_min", unix.SYS_SCHED_GET_PRIORITY_MIN, []arg{val(0, 1, 2, 3, 4, 5, 6, -1)}, number},
	{"sched_rr_get_interval", unix.SYS_SCHED_RR_GET_INTERVAL, []arg{val(0, -1, 1<<22+1), filled(func(v *unix.Timespec) string { return "time" })}, number},
	{"getrlimit", unix.SYS_GETRLIMIT, []arg{val(0, 3, 7, 9, 15, 16, -1), rlimit}, number},
	{"prlimit64", unix.SYS_PRLIMIT64, []arg{val(0, 1<<22+1), val(10, 10, 16, -1), orNull(someLimit), orNull(rlimit)}, number},
	{"prctl", unix.SYS_PRCTL, []arg{val(unix.PR_GET_DUMPABLE, unix.PR_SET_DUMPABLE, unix.PR_GET_KEEPCAPS, unix.PR_GET_NO_NEW_PRIVS, unix.PR_GET_TIMERSLACK, unix.PR_SET_TIMERSLACK, unix.PR_GET_SECCOMP, unix.PR_GET_THP_DISABLE, 9999), val(0, 1, 2, 3), val(0), val(0), val(0)}, number},
	{"personality", unix.SYS_PERSONALITY, []arg{val(-1)}, number},
	{"getsid", unix.SYS_GETSID, []arg{val(-1, 1<<22+1)}, number},
	{"getpgid", unix.SYS_GETPGID, []arg{val(-1, 1<<22+1)}, number},
	{"clock_getres", unix.SYS_CLOCK_GETRES, []arg{val(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 99, -1, -6), orNull(filled(func(v *unix.Timespec) string { return "time" }))}, number},
	{"clock_gettime", unix.SYS_CLOCK_GETTIME, []arg{val(0, 1, 2, 3, 4, 5, 6, 7, 11, 99, -1), filled(func(v *unix.Timespec) string { return fmt.Sprint(v.Sec >= 0, v.Nsec < 1e9) })}, number},
	{"clock_nanosleep", unix.SYS_CLOCK_NANOSLEEP, []arg{val(0, 1, 4, 7, 99, 3), val(0, 0, 1, 2), noTime, val(0)}, number},
	{"nanosleep", unix.SYS_NANOSLEEP, []arg{noTime, val(0)}, number},
	{"timer_create", unix.SYS_TIMER_CREATE, []arg{val(0, 1, 7, 99, 5), val(8), filled(func(v *int32) string { return "timer" })}, number},
	{"getrandom", unix.SYS_GETRANDOM, []arg{in, length, bits(1, 2, 4)}, number},
	{"sched_getaffinity", unix.SYS_SCHED_GETAFFINITY, []arg{val(0, -1, 1<<22+1), val(0, 4, 7), out}, number},
	{"getcpu", unix.SYS_GETCPU, []arg{orNull(filled(func(v *int32) string { return "cpu" })), val(0), val(0)}, number},
	{"getrusage", unix.SYS_GETRUSAGE, []arg{val(0, 1, -1, 5), filled(func(v *unix.Rusage) string { return "usage" })}, number},
	{"sysinfo", unix.SYS_SYSINFO, []arg{filled(func(v *unix.Sysinfo_t) string { return fmt.Sprint(v.Unit) })}, number},
	{"getitimer", unix.SYS_GETITIMER, []arg{val(0, 1, 2, 3, -1), filled(func(v *[4]int64) string { return "timer" })}, number},
	{"futex", unix.SYS_FUTEX, []arg{given(func(g *world, v *[4]uint32) string { v[0] = 5; return "[5]" }), val(0, 128, 1, 129, 9, 137, 10, 138, 3, 4, 5, 77), val(5, 6, 1, 0, -1), noTime, val(0), val(0, 1, -1)}, number},
	{"membarrier", unix.SYS_MEMBARRIER, []arg{val(1<<30, 1<<20), val(0, 1)}, number},
	{"wait4", unix.SYS_WAIT4, []arg{val(-1, 0, 1<<22+1), val(0), val(0, 1, 1<<20), val(0)}, number},
	{"waitid", unix.SYS_WAITID, []arg{val(0, 1, 2, 9), val(1, 1<<22+1), val(0), val(4, 1, 0), val(0)}, number},
	{"getgroups", unix.SYS_GETGROUPS, []arg{val(-1), in}, number},
	{"setgroups", unix.SYS_SETGROUPS, []arg{val(-1, 70000), in}, number},
	{"capget", unix.SYS_CAPGET, []arg{given(func(g *world, v *[2]uint32) string {
		v[0] = pick(g.source, uint32(0x20080522), 0x19980330, 7)
		return fmt.Sprintf("%#x", v[0])
	}), val(0)}, number},
	{"arch_prctl", unix.SYS_ARCH_PRCTL, []arg{val(0x1003, 0x1004, 0x9999, 0x1011), filled(func(v *uint64) string { return "base" })}, number},
	{"sethostname", unix.SYS_SETHOSTNAME, []arg{in, val(-1, 65)}, number},
	{"seccomp", unix.SYS_SECCOMP, []arg{val(9), val(0), val(0)}, number},
}
