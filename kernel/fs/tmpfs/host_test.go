package tmpfs_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"gosv/kernel/errno"
	"gosv/kernel/fs"
	"gosv/kernel/fs/erofs"
	"gosv/kernel/fs/tmpfs"
)

// The same random calls are made here and of the host's Linux, in a directory
// that is the root to both; their results and what they leave must be the same.

var seeds = flag.Int("seeds", 40, "how many sequences of calls to compare with the host's Linux")

// world is where calls are made.
type world interface {
	as(uid int) // 0 or another user, in no group but the one with the same number
	open(path string, flags, mode uint32) (file, errno.Errno)
	make(path string, mode, dev uint32) errno.Errno
	mkdir(path string, mode uint32) errno.Errno
	symlink(target, path string) errno.Errno
	link(from, to string, follow bool) errno.Errno
	unlink(path string) errno.Errno
	rmdir(path string) errno.Errno
	rename(from, to string, flags uint32) errno.Errno
	readlink(path string) (string, errno.Errno)
	stat(path string, follow bool) (string, errno.Errno)
	chmod(path string, mode uint32) errno.Errno
	chown(path string, uid, gid uint32, follow bool) errno.Errno
	truncate(path string, size int64) errno.Errno
	access(path string, mode uint32) errno.Errno
	list(path string) ([]string, errno.Errno)
	utimes(path string, now bool) errno.Errno
	path(path string) (string, errno.Errno) // of a directory, as getcwd would show it
}

type file interface {
	pread(off int64, n int) (string, errno.Errno)
	pwrite(off int64, b string) (int, errno.Errno)
	append(b string) (int, errno.Errno)
	truncate(size int64) errno.Errno
	allocate(mode uint32, off, n int64) errno.Errno
	seek(off int64, whence int) (int64, errno.Errno)
	stat() string
	link(path string) errno.Errno
	close()
}

func describe(mode, nlink, uid, gid uint32, rdev uint64, size int64) string {
	if fs.IsDir(mode) {
		size = 0 // Linux counts entries, in a way of its own
	}
	return fmt.Sprintf("%o links=%d %d:%d dev=%#x size=%d", mode, nlink, uid, gid, rdev, size)
}

// ours is the file system under test.
type ours struct{ at fs.At }

func newOurs(root fs.Inode) *ours {
	p := fs.NewNamespace("none", "tmpfs", root).Root()
	o := &ours{fs.At{Root: p, Base: p}}
	o.as(0)
	return o
}

func (o *ours) as(uid int) {
	o.at.Caller = &fs.Caller{UID: uint32(uid), GID: uint32(uid)}
	if uid == 0 {
		o.at.Caller.Caps = 1<<40 - 1
	}
}

func (o *ours) where(flags uint32) *fs.At {
	at := o.at
	at.Flags = flags
	return &at
}

func (o *ours) lookup(path string, follow bool) (fs.Place, errno.Errno) {
	if follow {
		return o.where(0).Lookup(path)
	}
	return o.where(fs.NoFollow).Lookup(path)
}

func (o *ours) open(path string, flags, mode uint32) (file, errno.Errno) {
	if err := fs.ValidOpen(flags); err != 0 {
		return nil, err
	}
	p, err := o.where(0).Open(path, flags, mode)
	if err != 0 {
		return nil, err
	}
	if a := p.Inode.Attr(); a.Mode&fs.TypeMask == fs.Char && a.Rdev == 0 && flags&fs.PathOnly == 0 {
		return nil, errno.ENXIO // a whiteout: there is no such device
	}
	n, err := p.Inode.Open()
	if err != 0 {
		return nil, err
	}
	return &oursFile{o, n, p, flags}, 0
}

func (o *ours) make(path string, mode, dev uint32) errno.Errno {
	return o.where(0).Make(path, fs.New{Mode: mode, Rdev: dev})
}
func (o *ours) mkdir(path string, mode uint32) errno.Errno { return o.make(path, fs.Directory|mode, 0) }
func (o *ours) symlink(target, path string) errno.Errno {
	return o.where(0).Make(path, fs.New{Mode: fs.Symlink | 0o777, Target: target})
}
func (o *ours) link(from, to string, follow bool) errno.Errno {
	p, err := o.lookup(from, follow)
	if err != 0 {
		return err
	}
	return o.where(0).Link(p, to)
}
func (o *ours) unlink(path string) errno.Errno { return o.where(0).Unlink(path) }
func (o *ours) rmdir(path string) errno.Errno  { return o.where(0).Rmdir(path) }
func (o *ours) rename(from, to string, flags uint32) errno.Errno {
	return o.where(0).Rename(from, o.where(0), to, flags)
}
func (o *ours) readlink(path string) (string, errno.Errno) {
	p, err := o.lookup(path, false)
	if err != 0 {
		return "", err
	}
	return p.Inode.Readlink(o.at.Caller)
}
func (o *ours) stat(path string, follow bool) (string, errno.Errno) {
	p, err := o.lookup(path, follow)
	if err != 0 {
		return "", err
	}
	return oursStat(p.Inode), 0
}
func oursStat(n fs.Inode) string {
	a := n.Attr()
	return describe(a.Mode, a.Nlink, a.UID, a.GID, uint64(a.Rdev), a.Size)
}
func (o *ours) chmod(path string, mode uint32) errno.Errno {
	p, err := o.lookup(path, true)
	if err != 0 {
		return err
	}
	return o.at.Caller.Chmod(p.Inode, mode)
}
func (o *ours) chown(path string, uid, gid uint32, follow bool) errno.Errno {
	p, err := o.lookup(path, follow)
	if err != 0 {
		return err
	}
	return o.at.Caller.Chown(p.Inode, uid, gid)
}
func (o *ours) truncate(path string, size int64) errno.Errno {
	p, err := o.lookup(path, true)
	if err != 0 {
		return err
	}
	return o.at.Caller.Truncate(p.Inode, size)
}
func (o *ours) access(path string, mode uint32) errno.Errno {
	p, err := o.lookup(path, true)
	if err != 0 {
		return err
	}
	return o.at.Caller.Access(p.Inode, mode)
}
func (o *ours) list(path string) ([]string, errno.Errno) {
	p, err := o.where(0).Open(path, fs.DirOnly, 0)
	if err != 0 {
		return nil, err
	}
	var names []string
	for pos, more := int64(0), true; more; {
		more = false
		err := p.Inode.ReadDir(pos, func(e fs.Dirent) bool {
			names = append(names, fmt.Sprintf("%s %o", e.Name, e.Type))
			pos, more = e.Next, true
			return len(names)%3 != 0
		})
		if err != 0 {
			return nil, err
		}
	}
	sort.Strings(names)
	return names, 0
}
func (o *ours) utimes(path string, now bool) errno.Errno {
	p, err := o.lookup(path, true)
	if err != 0 {
		return err
	}
	return o.at.Caller.SetTimes(p.Inode, fs.Change{Set: fs.SetMtime, Mtime: fs.Time{Sec: 1}}, now)
}
func (o *ours) path(path string) (string, errno.Errno) {
	if _, err := o.lookup(".", true); err != 0 { // the host has to come back here
		return "", err
	}
	p, err := o.where(fs.OnlyDir).Lookup(path)
	if err == 0 {
		err = o.at.Caller.Access(p.Inode, fs.MayExec) // chdir(2) wants that
	}
	if err != 0 {
		return "", err
	}
	return p.Path(o.at.Root)
}

type oursFile struct {
	o     *ours
	n     fs.Inode
	p     fs.Place
	flags uint32
}

func (f *oursFile) pread(off int64, n int) (string, errno.Errno) {
	b := make([]byte, n)
	k, err := fs.ReadFull(f.n, b, off)
	return string(b[:k]), err
}
func (f *oursFile) pwrite(off int64, b string) (int, errno.Errno) {
	f.o.at.Caller.Written(f.n)
	return f.n.WriteAt(&fs.Buffer{Bytes: []byte(b)}, off, len(b))
}
func (f *oursFile) append(b string) (int, errno.Errno) {
	f.o.at.Caller.Written(f.n)
	n, _, err := f.n.Append(&fs.Buffer{Bytes: []byte(b)}, len(b))
	return n, err
}
func (f *oursFile) truncate(size int64) errno.Errno {
	f.o.at.Caller.Written(f.n)
	return f.n.Truncate(size)
}
func (f *oursFile) allocate(mode uint32, off, n int64) errno.Errno {
	f.o.at.Caller.Written(f.n)
	return f.n.Allocate(mode, off, n)
}
func (f *oursFile) seek(off int64, whence int) (int64, errno.Errno) {
	return f.n.SeekExtent(off, whence)
}
func (f *oursFile) stat() string                 { return oursStat(f.n) }
func (f *oursFile) link(path string) errno.Errno { return f.o.where(0).Link(f.p, path) }
func (f *oursFile) close()                       { f.n.Close() }

// host is Linux, seen by a thread that has a root directory of its own.
type host struct{}

// newHost makes dir the root of the calling thread, which must be locked to its
// goroutine for good.
func newHost(t *testing.T, dir string) host {
	if os.Getuid() != 0 {
		t.Skip("only root can compare with the host in a chroot")
	}
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		t.Skip("no thread with its own root directory: ", err)
	}
	for _, err := range []error{unix.Chroot(dir), unix.Chdir("/")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	unix.Umask(0)
	unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0)
	return host{}
}

func code(err error) errno.Errno {
	if err == nil {
		return 0
	}
	return errno.Errno(err.(unix.Errno))
}

func (host) as(uid int) {
	unix.RawSyscall(unix.SYS_SETFSGID, uintptr(uid), 0, 0)
	unix.RawSyscall(unix.SYS_SETFSUID, uintptr(uid), 0, 0)
}
func (h host) open(path string, flags, mode uint32) (file, errno.Errno) {
	fd, err := unix.Openat(unix.AT_FDCWD, path, int(flags), mode)
	return hostFile(fd), code(err)
}
func (host) make(path string, mode, dev uint32) errno.Errno {
	return code(unix.Mknodat(unix.AT_FDCWD, path, mode, int(dev)))
}
func (host) mkdir(path string, mode uint32) errno.Errno {
	return code(unix.Mkdirat(unix.AT_FDCWD, path, mode))
}
func (host) symlink(target, path string) errno.Errno { return code(unix.Symlink(target, path)) }
func (host) link(from, to string, follow bool) errno.Errno {
	flags := 0
	if follow {
		flags = unix.AT_SYMLINK_FOLLOW
	}
	return code(unix.Linkat(unix.AT_FDCWD, from, unix.AT_FDCWD, to, flags))
}
func (host) unlink(path string) errno.Errno { return code(unix.Unlinkat(unix.AT_FDCWD, path, 0)) }
func (host) rmdir(path string) errno.Errno {
	return code(unix.Unlinkat(unix.AT_FDCWD, path, unix.AT_REMOVEDIR))
}
func (host) rename(from, to string, flags uint32) errno.Errno {
	return code(unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, uint(flags)))
}
func (host) readlink(path string) (string, errno.Errno) {
	b := make([]byte, 5000)
	n, err := unix.Readlinkat(unix.AT_FDCWD, path, b)
	return string(b[:max(n, 0)]), code(err)
}
func (host) stat(path string, follow bool) (string, errno.Errno) {
	flags := 0
	if !follow {
		flags = unix.AT_SYMLINK_NOFOLLOW
	}
	var st unix.Stat_t
	if err := unix.Fstatat(unix.AT_FDCWD, path, &st, flags); err != nil {
		return "", code(err)
	}
	return hostStat(&st), 0
}
func hostStat(st *unix.Stat_t) string {
	return describe(st.Mode, uint32(st.Nlink), st.Uid, st.Gid, st.Rdev, st.Size)
}
func (host) chmod(path string, mode uint32) errno.Errno {
	return code(unix.Fchmodat(unix.AT_FDCWD, path, mode, 0))
}
func (host) chown(path string, uid, gid uint32, follow bool) errno.Errno {
	flags := 0
	if !follow {
		flags = unix.AT_SYMLINK_NOFOLLOW
	}
	return code(unix.Fchownat(unix.AT_FDCWD, path, int(int32(uid)), int(int32(gid)), flags))
}
func (host) truncate(path string, size int64) errno.Errno { return code(unix.Truncate(path, size)) }
func (host) access(path string, mode uint32) errno.Errno {
	p, err := unix.BytePtrFromString(path)
	if err != nil {
		return errno.EINVAL
	}
	// The effective ids, as setfsuid(2) does not count for the real ones.
	_, _, e := unix.RawSyscall6(unix.SYS_FACCESSAT2, ^uintptr(99), uintptr(unsafe.Pointer(p)), uintptr(mode), unix.AT_EACCESS, 0, 0)
	return errno.Errno(e)
}
func (h host) list(path string) ([]string, errno.Errno) {
	fd, err := unix.Openat(unix.AT_FDCWD, path, unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, code(err)
	}
	defer unix.Close(fd)
	var names []string
	buf := make([]byte, 32768)
	for {
		n, err := unix.Getdents(fd, buf)
		if err != nil {
			return nil, code(err)
		}
		if n == 0 {
			sort.Strings(names)
			return names, 0
		}
		for b := buf[:n]; len(b) > 0; {
			length := int(b[16]) | int(b[17])<<8
			name, _, _ := strings.Cut(string(b[19:length]), "\x00")
			names = append(names, fmt.Sprintf("%s %o", name, int(b[18])<<12))
			b = b[length:]
		}
	}
}
func (host) utimes(path string, now bool) errno.Errno {
	ts := []unix.Timespec{{Nsec: unix.UTIME_NOW}, {Nsec: unix.UTIME_NOW}}
	if !now {
		ts = []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Sec: 1}}
	}
	return code(unix.UtimesNanoAt(unix.AT_FDCWD, path, ts, 0))
}
func (host) path(path string) (string, errno.Errno) {
	old, err := unix.Open(".", unix.O_PATH, 0)
	if err != nil {
		return "", code(err)
	}
	defer unix.Close(old)
	if err := unix.Chdir(path); err != nil {
		return "", code(err)
	}
	defer unix.Fchdir(old)
	b := make([]byte, 5000)
	n, err := unix.Getcwd(b)
	return string(b[:max(n-1, 0)]), code(err)
}

type hostFile int

func (f hostFile) pread(off int64, n int) (string, errno.Errno) {
	b := make([]byte, n)
	k, err := unix.Pread(int(f), b, off)
	return string(b[:max(k, 0)]), code(err)
}
func (f hostFile) pwrite(off int64, b string) (int, errno.Errno) {
	k, err := unix.Pwrite(int(f), []byte(b), off)
	return max(k, 0), code(err)
}
func (f hostFile) append(b string) (int, errno.Errno) {
	end, err := unix.Seek(int(f), 0, 2)
	if err != nil {
		return 0, code(err)
	}
	return f.pwrite(end, b)
}
func (f hostFile) truncate(size int64) errno.Errno { return code(unix.Ftruncate(int(f), size)) }
func (f hostFile) allocate(mode uint32, off, n int64) errno.Errno {
	return code(unix.Fallocate(int(f), mode, off, n))
}
func (f hostFile) seek(off int64, whence int) (int64, errno.Errno) {
	r, err := unix.Seek(int(f), off, whence)
	return max(r, 0), code(err)
}
func (f hostFile) stat() string {
	var st unix.Stat_t
	if err := unix.Fstat(int(f), &st); err != nil {
		return err.Error()
	}
	return hostStat(&st)
}
func (f hostFile) link(path string) errno.Errno {
	return code(unix.Linkat(int(f), "", unix.AT_FDCWD, path, unix.AT_EMPTY_PATH))
}
func (f hostFile) close() { unix.Close(int(f)) }

// script makes random calls.
type script struct {
	*rand.Rand
	holes bool // look for holes, and do not allocate: where Linux did it sees a hole until there is data
	files []openFile
	uid   int
}

type openFile struct {
	file
	flags uint32
}

func pick[T any](s *script, v ...T) T { return v[s.IntN(len(v))] }

func (s *script) path() string {
	var b strings.Builder
	if s.IntN(5) == 0 {
		b.WriteString(strings.Repeat("/", 1+s.IntN(2)))
	}
	for i := range 1 + s.IntN(3) {
		if i > 0 {
			b.WriteString(strings.Repeat("/", 1+s.IntN(8)/7))
		}
		switch s.IntN(16) {
		case 0:
			b.WriteString(".")
		case 1:
			b.WriteString("..")
		case 2:
			b.WriteString(pick(s, "", "nosuch", strings.Repeat("x", 255), strings.Repeat("x", 256)))
		default:
			b.WriteString(pick(s, "a", "b", "c", "d", "e"))
		}
	}
	if s.IntN(8) == 0 {
		b.WriteString("/")
	}
	return b.String()
}

func (s *script) mode() uint32 {
	return pick[uint32](s, 0o777, 0o755, 0o700, 0o644, 0o600, 0o444, 0o000, 0o1777, 0o2775, 0o4755, 0o6711, 0o2644)
}

func (s *script) size() int64 {
	return pick[int64](s, 0, 1, 100, 4095, 4096, 4097, 8192, 10000, 70000, 300000)
}

func (s *script) data() string {
	return strings.Repeat(string(rune('a'+s.IntN(26))), pick(s, 1, 10, 4096, 5000, 20000))
}

// call makes one call of w, and says what it was and what came of it.
func (s *script) call(w world) string {
	switch op := s.IntN(26); {
	case op < 4:
		path, mode := s.path(), s.mode()
		flags := pick[uint32](s, 0, fs.WriteOnly, fs.ReadWrite)
		for range s.IntN(3) {
			flags |= pick[uint32](s, fs.Creat, fs.Creat, fs.Excl, fs.Trunc, fs.NoLinks, fs.DirOnly, fs.PathOnly, fs.Tmpfile, fs.NoAtime)
		}
		f, err := w.open(path, flags|unix.O_NONBLOCK, mode)
		said := fmt.Sprintf("open %q %#o %o: %v", path, flags, mode, err)
		if err == 0 {
			said += " " + f.stat()
			s.files = append(s.files, openFile{f, flags})
		}
		return said
	case op < 6:
		path, mode := s.path(), s.mode()
		return fmt.Sprintf("mkdir %q %o: %v", path, mode, w.mkdir(path, mode))
	case op == 6:
		target, path := s.path(), s.path()
		if target == "" {
			return ""
		}
		return fmt.Sprintf("symlink %q %q: %v", target, path, w.symlink(target, path))
	case op == 7:
		if s.uid != 0 { // depends on fs.protected_hardlinks
			return ""
		}
		from, to, follow := s.path(), s.path(), s.IntN(2) == 0
		return fmt.Sprintf("link %q %q %v: %v", from, to, follow, w.link(from, to, follow))
	case op < 10:
		path := s.path()
		return fmt.Sprintf("unlink %q: %v", path, w.unlink(path))
	case op == 10:
		path := s.path()
		return fmt.Sprintf("rmdir %q: %v", path, w.rmdir(path))
	case op < 14:
		from, to, flags := s.path(), s.path(), pick[uint32](s, 0, 0, 0, 0, fs.NoReplace, fs.Exchange, fs.Whiteout, fs.Whiteout|fs.NoReplace, 3, 8)
		return fmt.Sprintf("rename %q %q %d: %v", from, to, flags, w.rename(from, to, flags))
	case op == 14:
		path := s.path()
		target, err := w.readlink(path)
		return fmt.Sprintf("readlink %q: %q %v", path, target, err)
	case op == 15:
		path, follow := s.path(), s.IntN(2) == 0
		st, err := w.stat(path, follow)
		return fmt.Sprintf("stat %q %v: %s %v", path, follow, st, err)
	case op == 16:
		path, mode := s.path(), s.mode()
		return fmt.Sprintf("chmod %q %o: %v", path, mode, w.chmod(path, mode))
	case op == 17:
		path, uid, gid, follow := s.path(), pick[uint32](s, 0, 1, 2, 1<<32-1), pick[uint32](s, 0, 1, 2, 1<<32-1), s.IntN(2) == 0
		return fmt.Sprintf("chown %q %d %d %v: %v", path, uid, gid, follow, w.chown(path, uid, gid, follow))
	case op == 18:
		path, size := s.path(), s.size()
		return fmt.Sprintf("truncate %q %d: %v", path, size, w.truncate(path, size))
	case op == 19:
		path := s.path()
		names, err := w.list(path)
		return fmt.Sprintf("list %q: %v %v", path, names, err)
	case op == 20:
		path, now := s.path(), s.IntN(2) == 0
		return fmt.Sprintf("utimes %q %v: %v", path, now, w.utimes(path, now))
	case op == 21:
		path, mode := s.path(), pick[uint32](s, 0, 1, 2, 4, 6, 7)
		return fmt.Sprintf("access %q %d: %v", path, mode, w.access(path, mode))
	case op == 22:
		path := s.path()
		got, err := w.path(path)
		return fmt.Sprintf("path %q: %q %v", path, got, err)
	case op == 23:
		path, mode := s.path(), s.mode()
		kind := pick[uint32](s, fs.Regular, fs.Socket, fs.Char)
		return fmt.Sprintf("mknod %q %o: %v", path, mode|kind, w.make(path, mode|kind, 1<<8|3))
	case op == 24:
		s.uid = pick(s, 0, 0, 0, 1, 2)
		w.as(s.uid)
		return fmt.Sprint("as ", s.uid)
	}
	if len(s.files) == 0 {
		return ""
	}
	i := s.IntN(len(s.files))
	f := s.files[i]
	said := fmt.Sprintf("file %d: ", i)
	st := f.stat()
	mode := uint32(0)
	fmt.Sscanf(st, "%o", &mode)
	if fs.IsRegular(mode) && f.flags&fs.PathOnly == 0 {
		// What a descriptor may do is not a file system's business.
		reads, writes := f.flags&fs.AccessMask != fs.WriteOnly, f.flags&fs.AccessMask != 0
		off := s.size()
		switch op := s.IntN(6); {
		case op == 0 && reads:
			b, err := f.pread(off, pick(s, 1, 4096, 100000))
			said += fmt.Sprintf("pread %d: %q %v", off, b, err)
		case op == 1 && writes:
			n, err := f.pwrite(off, s.data())
			said += fmt.Sprintf("pwrite %d: %d %v", off, n, err)
		case op == 2 && writes:
			n, err := f.append(s.data())
			said += fmt.Sprintf("append: %d %v", n, err)
		case op == 3 && writes:
			said += fmt.Sprintf("truncate %d: %v", off, f.truncate(off))
		case op == 4 && writes && !s.holes:
			n, mode := 1+s.size(), pick[uint32](s, 0, fs.KeepSize, fs.KeepSize|fs.PunchHole)
			said += fmt.Sprintf("allocate %d %d %d: %v", mode, off, n, f.allocate(mode, off, n))
		case op == 5 && s.holes:
			whence := pick(s, fs.SeekData, fs.SeekHole)
			pos, err := f.seek(off, whence)
			said += fmt.Sprintf("seek %d %d: %d %v", off, whence, pos, err)
		}
		said += " " + f.stat()
	}
	if s.uid == 0 && s.IntN(6) == 0 {
		path := s.path()
		said += fmt.Sprintf(" link %q: %v", path, f.link(path))
	}
	if len(s.files) > 4 || s.IntN(5) == 0 {
		f.close()
		s.files = append(s.files[:i], s.files[i+1:]...)
		said += " close"
	}
	return said
}

// dump describes all there is in w. It does not go through symbolic links: where
// they make circles its paths would lead through dozens, and Linux then says
// ELOOP now and then where it need not. A walk that it begins without locks and
// has to begin anew, because something was mounted meanwhile, goes on counting.
func dump(w world, path string, out *strings.Builder) {
	st, err := w.stat(path, false)
	fmt.Fprintf(out, "%s: %s %v\n", path, st, err)
	mode := uint32(0)
	fmt.Sscanf(st, "%o", &mode)
	switch mode & fs.TypeMask {
	case fs.Symlink:
		target, err := w.readlink(path)
		fmt.Fprintf(out, "to %q %v\n", target, err)
	case fs.Regular:
		f, err := w.open(path, 0, 0)
		if err != 0 {
			fmt.Fprintln(out, "not opened:", err)
			return
		}
		b, err := f.pread(0, 1<<20)
		fmt.Fprintf(out, "%d bytes %v %q\n", len(b), err, strings.ReplaceAll(b, "\x00", ""))
		f.close()
	case fs.Directory:
		names, err := w.list(path)
		fmt.Fprintln(out, names, err)
		for _, e := range names {
			if name, _, _ := strings.Cut(e, " "); name != "." && name != ".." {
				dump(w, path+"/"+name, out)
			}
		}
	}
}

// pages is a fs.PageAlloc that counts.
type pages struct{ out int }

func (p *pages) Alloc() []byte {
	p.out++
	return make([]byte, fs.PageSize)
}
func (p *pages) Free(b []byte) {
	p.out--
	for i := range b {
		b[i] = 0xdb // nobody should look at it any more
	}
}

func (*pages) Unmap(fs.FileSystem, uint64, int64, int64, bool) {}

// populate makes the lower file system's contents.
func populate(t *testing.T, dir string) {
	t.Helper()
	for _, p := range []string{"a/b/c", "a/d", "b/a", "c"} {
		if err := os.MkdirAll(filepath.Join(dir, p), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for i, p := range []string{"d", "a/a", "a/b/a", "b/b", "a/e"} {
		b := []byte(strings.Repeat(p, []int{0, 100, 2048, 5000, 50000}[i]))
		if err := os.WriteFile(filepath.Join(dir, p), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range [][2]string{{"a", "e"}, {"../b", "a/c"}, {"/a/b", "b/c"}, {"loop", "a/b/d"}} {
		if err := os.Symlink(l[0], filepath.Join(dir, l[1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(filepath.Join(dir, "a/a"), filepath.Join(dir, "b/d")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
}

func image(t *testing.T, dir string) fs.Inode {
	t.Helper()
	out := filepath.Join(t.TempDir(), "image")
	if b, err := exec.Command("mkfs.erofs", "--quiet", out, dir).CombinedOutput(); err != nil {
		t.Skipf("mkfs.erofs (apt install erofs-utils): %v\n%s", err, b)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	v, err := erofs.Mount(b, 1, &pages{})
	if err != nil {
		t.Fatal(err)
	}
	return v.Root()
}

func TestLikeHost(t *testing.T) { likeHost(t, false) }

func TestLikeHostOverLower(t *testing.T) { likeHost(t, true) }

func likeHost(t *testing.T, lower bool) {
	const calls = 400
	base := "/dev/shm" // a tmpfs, as ours is
	if _, err := os.Stat(base); err != nil {
		base = t.TempDir()
	}
	for seed := range *seeds {
		dir, err := os.MkdirTemp(base, "gosv-fs-")
		if err != nil {
			t.Fatal(err)
		}
		mem := &pages{}
		c := tmpfs.Config{Pages: mem, Now: func() fs.Time { return fs.Time{Sec: 100} }, Mode: 0o777, Device: 1}
		if lower {
			populate(t, dir)
			c.Lower = image(t, dir)
		}
		os.Chmod(dir, 0o777)
		done := make(chan bool)
		go func() {
			defer close(done)
			h := newHost(t, dir)
			o := newOurs(tmpfs.New(c).Root())
			hs := &script{Rand: rand.New(rand.NewPCG(uint64(seed), 1)), holes: !lower && seed%2 == 0}
			os := &script{Rand: rand.New(rand.NewPCG(uint64(seed), 1)), holes: !lower && seed%2 == 0}
			var log []string
			for range calls {
				want := hs.call(h)
				got := os.call(o)
				log = append(log, want)
				if got != want {
					t.Errorf("seed %d, after\n  %s\ngot  %.300s\nwant %.300s", seed, strings.Join(trim(log), "\n  "), got, want)
					return
				}
			}
			h.as(0)
			o.as(0)
			var want, got strings.Builder
			dump(h, ".", &want)
			dump(o, ".", &got)
			if want.String() != got.String() {
				w, g := strings.Split(want.String(), "\n"), strings.Split(got.String(), "\n")
				for i := range min(len(w), len(g)) {
					if w[i] != g[i] {
						t.Errorf("seed %d: got\n%.300s\nwant\n%.300s", seed, g[i], w[i])
						break
					}
				}
			}
			for i := range hs.files {
				hs.files[i].close()
				os.files[i].close()
			}
			clean(o, ".")
			if mem.out != 0 {
				t.Errorf("seed %d: %d pages are left when all files are gone", seed, mem.out)
			}
		}()
		<-done
		os.RemoveAll(dir)
		if t.Skipped() || t.Failed() {
			return
		}
	}
}

// clean removes all there is in o.
func clean(o *ours, path string) {
	names, err := o.list(path)
	for _, e := range names {
		if name, _, _ := strings.Cut(e, " "); name != "." && name != ".." && err == 0 {
			clean(o, path+"/"+name)
			o.unlink(path + "/" + name)
			o.rmdir(path + "/" + name)
		}
	}
}

func trim(log []string) []string {
	var out []string
	for _, l := range log[max(0, len(log)-60):] {
		if l != "" {
			out = append(out, fmt.Sprintf("%.120s", l))
		}
	}
	return out
}
