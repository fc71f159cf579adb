package erofs

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	goerofs "github.com/erofs/go-erofs"

	"gosv/kernel/errno"
	kfs "gosv/kernel/fs"
)

// heapPages is a fs.PageAlloc for tests that counts what is not given back.
type heapPages struct{ out, limit int }

func (h *heapPages) Alloc() []byte {
	if h.limit > 0 && h.out >= h.limit {
		return nil
	}
	h.out++
	return alignedCopy(nil, kfs.PageSize)
}

func (h *heapPages) Free(p []byte) { h.out-- }

// alignedCopy returns size bytes that begin on a page, with b at their start.
func alignedCopy(b []byte, size int) []byte {
	m := make([]byte, size+kfs.PageSize)
	skip := -uintptr(unsafe.Pointer(&m[0])) & (kfs.PageSize - 1)
	m = m[skip:][:size:size]
	copy(m, b)
	return m
}

func (*heapPages) Unmap(kfs.FileSystem, uint64, int64, int64, bool) {}

// tree makes a directory with some of everything below dir.
func tree(t testing.TB, dir string) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	write := func(name string, size int, mode os.FileMode) {
		b := make([]byte, size)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		must(t, os.WriteFile(filepath.Join(dir, name), b, mode))
		must(t, os.Chmod(filepath.Join(dir, name), mode))
	}
	for _, d := range []string{"bin", "empty", "many", "deep/er/still"} {
		must(t, os.MkdirAll(filepath.Join(dir, d), 0o755))
	}
	for _, size := range []int{0, 1, 100, 4000, 4095, 4096, 4097, 8192, 10000, 100001} {
		write(fmt.Sprintf("bin/size%d", size), size, 0o644)
	}
	for i := range 700 {
		write(fmt.Sprintf("many/%s%d", strings.Repeat("n", i%60), i), i%7, 0o600)
	}
	write("deep/er/still/x", 5, 0o4755)
	must(t, os.WriteFile(filepath.Join(dir, "zeros"), make([]byte, 1<<20), 0o644))
	must(t, os.Link(filepath.Join(dir, "bin/size100"), filepath.Join(dir, "deep/again")))
	must(t, os.Symlink("bin/size100", filepath.Join(dir, "link")))
	must(t, os.Symlink("/"+strings.Repeat("long/", 700), filepath.Join(dir, "longlink")))
	must(t, syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o640))
	if os.Getuid() == 0 {
		must(t, os.Chown(filepath.Join(dir, "bin/size1"), 1000, 70000))
		if err := syscall.Mknod(filepath.Join(dir, "null"), syscall.S_IFCHR|0o666, 1<<8|3); err != nil {
			t.Logf("device nodes are not tested: %v", err)
		}
	}
	must(t, os.Chtimes(filepath.Join(dir, "deep/er/still/x"), time.Time{}, time.Unix(1234567890, 987654321)))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// mkfs makes an image of dir by mkfs.erofs.
func mkfs(t testing.TB, dir string, args ...string) []byte {
	t.Helper()
	path, err := exec.LookPath("mkfs.erofs")
	if err != nil {
		t.Skip("mkfs.erofs is not installed (apt install erofs-utils)")
	}
	out := filepath.Join(t.TempDir(), "image")
	cmd := exec.Command(path, append(append([]string{"--quiet"}, args...), out, dir)...)
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("mkfs.erofs %v: %v\n%s", args, err, b)
	}
	b, err := os.ReadFile(out)
	must(t, err)
	return alignedCopy(b, len(b))
}

// gomkfs makes an image of dir by go-erofs.
func gomkfs(t testing.TB, dir string) []byte {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "image"))
	must(t, err)
	defer f.Close()
	w := goerofs.Create(f)
	must(t, w.CopyFrom(os.DirFS(dir)))
	must(t, w.Close())
	b, err := os.ReadFile(f.Name())
	must(t, err)
	return alignedCopy(b, (len(b)+4095)&^4095)
}

// compare checks that n and what is below it are like the host's path.
func compare(t *testing.T, n kfs.Inode, path string, times, nodes bool) {
	t.Helper()
	fi, err := os.Lstat(path)
	must(t, err)
	st := fi.Sys().(*syscall.Stat_t)
	a := n.Attr()
	if a.Mode != st.Mode || n.Mode() != st.Mode {
		t.Errorf("%s: mode %o, want %o", path, a.Mode, st.Mode)
	}
	if a.UID != st.Uid || a.GID != st.Gid {
		t.Errorf("%s: owner %d:%d, want %d:%d", path, a.UID, a.GID, st.Uid, st.Gid)
	}
	if nodes && !fi.IsDir() && uint64(a.Nlink) != st.Nlink {
		t.Errorf("%s: %d links, want %d", path, a.Nlink, st.Nlink)
	}
	if times && (a.Mtime.Sec != st.Mtim.Sec || int64(a.Mtime.Nsec) != st.Mtim.Nsec) {
		t.Errorf("%s: changed at %v, want %v", path, a.Mtime, st.Mtim)
	}
	switch fi.Mode().Type() {
	case 0:
		want, err := os.ReadFile(path)
		must(t, err)
		if a.Size != int64(len(want)) {
			t.Errorf("%s: size %d, want %d", path, a.Size, len(want))
		}
		got := make([]byte, len(want)+10)
		k, e := kfs.ReadFull(n, got, 0)
		if e != 0 || !bytes.Equal(got[:k], want) {
			t.Errorf("%s: read %d bytes, %v; want %d bytes", path, k, e, len(want))
		}
		pages(t, n, path, want)
	case fs.ModeSymlink:
		want, err := os.Readlink(path)
		must(t, err)
		if got, e := n.Readlink(nil); got != want || e != 0 {
			t.Errorf("%s: leads to %q, %v; want %q", path, got, e, want)
		}
		if a.Size != int64(len(want)) {
			t.Errorf("%s: size %d, want %d", path, a.Size, len(want))
		}
	case fs.ModeDir:
		compareDir(t, n, path, times, nodes)
	case fs.ModeDevice | fs.ModeCharDevice:
		if uint64(a.Rdev) != st.Rdev {
			t.Errorf("%s: device %#x, want %#x", path, a.Rdev, st.Rdev)
		}
	}
}

// pages checks that a file's pages hold what it holds, and zeros behind that.
func pages(t *testing.T, n kfs.Inode, path string, want []byte) {
	t.Helper()
	n.Map()
	defer n.Unmap()
	for off := int64(0); ; {
		p, e := n.Pages(off, 3, false)
		if e != 0 {
			t.Errorf("%s: pages at %d: %v", path, off, e)
			return
		}
		if len(p) == 0 {
			if off < int64(len(want)) {
				t.Errorf("%s: pages end at %d, want %d", path, off, len(want))
			}
			return
		}
		if len(p)%kfs.PageSize != 0 || len(p) > 3*kfs.PageSize || uintptr(unsafe.Pointer(&p[0]))%kfs.PageSize != 0 {
			t.Fatalf("%s: %d bytes of pages at %p", path, len(p), &p[0])
		}
		rest := want[off:]
		k := min(len(rest), len(p))
		if !bytes.Equal(p[:k], rest[:k]) || len(bytes.Trim(p[k:], "\x00")) > 0 {
			t.Errorf("%s: wrong page at %d", path, off)
		}
		off += int64(len(p))
	}
}

func compareDir(t *testing.T, n kfs.Inode, path string, times, nodes bool) {
	t.Helper()
	list, err := os.ReadDir(path)
	must(t, err)
	var want, got []string
	for _, e := range list {
		want = append(want, e.Name())
		c, e2 := n.Lookup(e.Name())
		if e2 != 0 {
			t.Errorf("%s/%s: %v", path, e.Name(), e2)
			continue
		}
		if up, e := c.Lookup(".."); e2 == 0 && kfs.IsDir(c.Mode()) && (e != 0 || up.Ino() != n.Ino()) {
			t.Errorf("%s/%s/..: %v, %v", path, e, up, e)
		}
		compare(t, c, filepath.Join(path, e.Name()), times, nodes)
	}
	for _, name := range []string{"nosuch", "\x01", "\xff", "a", "nnnnnn", strings.Repeat("x", 255)} {
		if _, e := n.Lookup(name); e != errno.ENOENT {
			t.Errorf("%s/%q: %v", path, name, e)
		}
	}
	// One entry a call, so that every position is used.
	for pos, more := int64(0), true; more; {
		more = false
		e := n.ReadDir(pos, func(e kfs.Dirent) bool {
			got = append(got, e.Name)
			c, err := n.Lookup(e.Name)
			if e.Name != "." && (err != 0 || c.Ino() != e.Ino || c.Mode()&kfs.TypeMask != e.Type) {
				t.Errorf("%s: entry %+v is not what Lookup finds", path, e)
			}
			pos, more = e.Next, true
			return false
		})
		if e != 0 {
			t.Fatalf("%s: list: %v", path, e)
		}
	}
	want = append(want, ".", "..")
	sort.Strings(want)
	sort.Strings(got)
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: entries %v\nwant %v", path, got, want)
	}
}

func TestImages(t *testing.T) {
	dir := t.TempDir()
	tree(t, dir)
	for _, c := range []struct {
		name  string
		image func() []byte
		times bool
		nodes bool
	}{
		{"compact", func() []byte { return mkfs(t, dir, "-T1", "--ignore-mtime") }, false, true},
		{"extended", func() []byte { return mkfs(t, dir, "-Eforce-inode-extended") }, true, true},
		{"noinline", func() []byte { return mkfs(t, dir, "-Enoinline_data", "-Eforce-inode-extended") }, true, true},
		{"chunks", func() []byte { return mkfs(t, dir, "--chunksize=4096", "-Eforce-inode-extended") }, true, true},
		{"chunks64k", func() []byte { return mkfs(t, dir, "--chunksize=65536", "-Eforce-inode-extended") }, true, true},
		{"blockmap", func() []byte { return mkfs(t, dir, "--chunksize=4096", "-T1", "--ignore-mtime") }, false, true},
		{"indexes", func() []byte { return mkfs(t, dir, "--chunksize=4096", "-Eforce-chunk-indexes") }, false, true},
		{"go-erofs", func() []byte { return gomkfs(t, dir) }, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			mem := &heapPages{}
			f, err := Mount(c.image(), 7, mem)
			must(t, err)
			compare(t, f.Root(), dir, c.times, c.nodes)
			if f.hole != nil {
				mem.out--
			}
			if mem.out != 0 {
				t.Errorf("%d pages are still in use", mem.out)
			}
			if up, e := f.Root().Lookup(".."); e != 0 || up.Ino() != f.Root().Ino() {
				t.Errorf("the root's parent is %v, %v", up, e)
			}
			if u := f.Usage(); u.Magic != kfs.MagicErofs || !u.ReadOnly || u.Files == 0 {
				t.Errorf("usage %+v", u)
			}
		})
	}
}

// A hole of a chunked file is found, and takes no memory of its own.
func TestHoles(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "sparse"), bytes.Repeat([]byte("x"), 100000), 0o644))
	mem := &heapPages{}
	v, err := Mount(mkfs(t, dir, "--chunksize=4096"), 1, mem)
	must(t, err)
	n, e := v.Root().Lookup("sparse")
	if e != 0 {
		t.Fatal(e)
	}
	// mkfs.erofs 1.5 makes no holes: make some.
	in := n.(*inode)
	if in.layout != layoutChunks || in.chunk != blockBits {
		t.Fatalf("layout %d, chunks of 2^%d bytes", in.layout, in.chunk)
	}
	entry := uint64(chunkEntry)
	if in.index {
		entry = chunkIndex
	}
	want := make([]byte, 100000)
	for i := range uint64(25) {
		if i == 10 {
			copy(want[i*4096:], bytes.Repeat([]byte("x"), 4096))
			continue
		}
		copy(v.image[in.extra+i*entry+entry-4:], "\xff\xff\xff\xff")
	}
	got := make([]byte, 100001)
	if k, e := kfs.ReadFull(n, got, 0); k != 100000 || e != 0 || !bytes.Equal(got[:k], want) {
		t.Errorf("read %d bytes, %v", k, e)
	}
	pages(t, n, "sparse", want)
	if mem.out != 1 {
		t.Errorf("%d pages for holes", mem.out)
	}
	for _, c := range []struct {
		off    int64
		whence int
		want   int64
		err    errno.Errno
	}{
		{0, kfs.SeekHole, 0, 0}, {0, kfs.SeekData, 40960, 0}, {40961, kfs.SeekData, 40961, 0},
		{40961, kfs.SeekHole, 45056, 0}, {45056, kfs.SeekData, 0, errno.ENXIO}, {99999, kfs.SeekHole, 99999, 0},
		{100000, kfs.SeekHole, 0, errno.ENXIO}, {-1, kfs.SeekData, 0, errno.ENXIO},
	} {
		got, e := n.SeekExtent(c.off, c.whence)
		if got != c.want || e != c.err {
			t.Errorf("seek %d, %d: %d, %v; want %d, %v", c.off, c.whence, got, e, c.want, c.err)
		}
	}
}

func TestRefused(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "x"), bytes.Repeat([]byte("abc"), 10000), 0o644))
	good := mkfs(t, dir)
	change := func(at int, b ...byte) []byte {
		c := alignedCopy(good, len(good))
		copy(c[at:], b)
		return c
	}
	for _, c := range []struct {
		image []byte
		want  string
	}{
		{nil, "too few"},
		{good[:1100], "too few"},
		{make([]byte, 8192), "not an EROFS image"},
		{change(superOffset+sbBlockBits, 9), "blocks of 2^9 bytes"},
		{change(superOffset+sbIncompat, 0x20), "feature 0x20 is not supported"},
		{change(superOffset+sbExtraDevice, 1), "several devices"},
		{change(superOffset+sbDirBlock, 1), "directory blocks"},
		{change(superOffset+sbRootNid, 0xff, 0xff), "damaged: EUCLEAN"},
		{good[:1152], "damaged: EUCLEAN"},
	} {
		if _, err := Mount(c.image, 1, &heapPages{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want an error with %q", err, c.want)
		}
	}
	f, err := Mount(mkfs(t, dir, "-zlz4"), 1, &heapPages{})
	if err != nil {
		return // an image made so is refused as a whole
	}
	if _, e := f.Root().Lookup("x"); e != errno.EOPNOTSUPP {
		t.Errorf("a compressed file: %v", e)
	}
}

// What an image holds is read-only.
func TestReadOnly(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "x"), []byte("x"), 0o644))
	f, err := Mount(mkfs(t, dir), 1, &heapPages{})
	must(t, err)
	r := f.Root()
	n, _ := r.Lookup("x")
	b := &kfs.Buffer{Bytes: []byte("y")}
	_, e1 := n.WriteAt(b, 0, 1)
	_, _, e2 := n.Append(b, 1)
	_, e3 := r.Create("y", kfs.New{})
	for i, e := range []errno.Errno{
		e1, e2, e3, n.Truncate(0), n.SetAttr(kfs.Change{}), r.Unlink("x"), r.Rmdir("x"), r.Link("y", n), r.Rename("x", r, "y", 0),
	} {
		if e != errno.EROFS {
			t.Errorf("change %d: %v", i, e)
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	dir := b.TempDir()
	tree(b, dir)
	f, err := Mount(mkfs(b, dir), 1, &heapPages{})
	must(b, err)
	n, _ := f.Root().Lookup("many")
	b.ReportAllocs()
	for b.Loop() {
		if _, e := n.Lookup("nnn3"); e != 0 {
			b.Fatal(e)
		}
	}
}
