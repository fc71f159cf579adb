// Package fstest compares a file system with the directory that it was made of, for tests of
// file systems.
package fstest

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"gosv/kernel/errno"
	kfs "gosv/kernel/fs"
)

// HeapPages is a fs.PageAlloc for tests that counts what is not given back.
type HeapPages struct{ Out, Limit int }

func (h *HeapPages) Alloc() []byte {
	if h.Limit > 0 && h.Out >= h.Limit {
		return nil
	}
	h.Out++
	return AlignedCopy(nil, kfs.PageSize)
}

func (h *HeapPages) Free(p []byte) { h.Out-- }

// AlignedCopy returns size bytes that begin on a page, with b at their start.
func AlignedCopy(b []byte, size int) []byte {
	m := make([]byte, size+kfs.PageSize)
	skip := -uintptr(unsafe.Pointer(&m[0])) & (kfs.PageSize - 1)
	m = m[skip:][:size:size]
	copy(m, b)
	return m
}

func (*HeapPages) Unmap(kfs.FileSystem, uint64, int64, int64, bool) {}

// Tree makes a directory with some of everything below dir.
func Tree(t testing.TB, dir string) {
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

// Compare checks that n and what is below it are like the host's path.
func Compare(t *testing.T, n kfs.Inode, path string, times, nodes bool) {
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
		Pages(t, n, path, want)
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

// Pages checks that a file's pages hold what it holds, and zeros behind that.
func Pages(t *testing.T, n kfs.Inode, path string, want []byte) {
	t.Helper()
	n.Map()
	defer n.Unmap()
	for off := int64(0); ; {
		p, e := n.Pages(off, 3, false)
		for e == errno.EAGAIN {
			if e = n.(kfs.Fetcher).Fetch(off); e == 0 {
				p, e = n.Pages(off, 3, false)
			}
		}
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
		Compare(t, c, filepath.Join(path, e.Name()), times, nodes)
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
			if e.Name != "." && (err != 0 || c.Ino() != e.Ino || e.Type != 0 && c.Mode()&kfs.TypeMask != e.Type) {
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

// Visitor visits inodes, at most Left, and does with them all that can be done.
type Visitor struct {
	Left int
	buf  [8192]byte
}

// Visit visits n and what is below it.
func (v *Visitor) Visit(n kfs.Inode) {
	if v.Left--; v.Left < 0 {
		return
	}
	a := n.Attr()
	n.Readlink(nil)
	for _, off := range []int64{0, 5000, a.Size - 1, a.Size, kfs.MaxSize} {
		kfs.ReadFull(n, v.buf[:], max(off, 0))
		n.SeekExtent(off, kfs.SeekData)
		n.SeekExtent(off, kfs.SeekHole)
	}
	n.Map()
	for _, off := range []int64{0, 4096, (a.Size - 1) &^ 4095} {
		p, e := n.Pages(off, 2, false)
		if f, ok := n.(kfs.Fetcher); ok && e == errno.EAGAIN && f.Fetch(off) == 0 {
			p, _ = n.Pages(off, 2, false)
		}
		if len(p) > 0 && (len(p)%kfs.PageSize != 0 || uintptr(unsafe.Pointer(&p[0]))%kfs.PageSize != 0) {
			panic("not whole pages")
		}
		sum := byte(0)
		for _, c := range p {
			sum += c
		}
		v.buf[0] = sum
	}
	n.Unmap()
	if !kfs.IsDir(n.Mode()) {
		return
	}
	var names []string
	n.ReadDir(0, func(e kfs.Dirent) bool {
		names = append(names, strings.Clone(e.Name))
		return len(names) < 1000
	})
	for _, name := range append(names, "..", "file", "nosuch") {
		if c, err := n.Lookup(name); err == 0 && name != "." && name != ".." {
			v.Visit(c)
		}
	}
}
