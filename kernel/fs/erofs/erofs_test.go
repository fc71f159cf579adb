package erofs

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	goerofs "github.com/erofs/go-erofs"

	"gosv/kernel/block/blocktest"
	"gosv/kernel/errno"
	kfs "gosv/kernel/fs"
	"gosv/kernel/fs/fstest"
)

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
	return fstest.AlignedCopy(b, len(b))
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
	return fstest.AlignedCopy(b, (len(b)+4095)&^4095)
}

func TestImages(t *testing.T) {
	dir := t.TempDir()
	fstest.Tree(t, dir)
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
			img := c.image()
			for _, where := range []string{"memory", "disk", "small"} {
				mem := &fstest.HeapPages{}
				f, err := Mount(img, 7, mem)
				disk := &blocktest.Disk{Data: img}
				switch where {
				case "disk":
					f, err = MountDisk(disk.Reader(10000), 7, mem)
				case "small":
					f, err = MountDisk(disk.Reader(300), 7, mem)
				}
				must(t, err)
				fstest.Compare(t, f.Root(), dir, c.times, c.nodes)
				f.copies.Hole() // is not given back
				if mem.Out != 1 {
					t.Errorf("%d pages are still in use", mem.Out)
				}
				if up, e := f.Root().Lookup(".."); e != 0 || up.Ino() != f.Root().Ino() {
					t.Errorf("the root's parent is %v, %v", up, e)
				}
				if u := f.Usage(); u.Magic != kfs.MagicErofs || !u.ReadOnly || u.Files == 0 {
					t.Errorf("usage %+v", u)
				}
			}
		})
	}
}

// A hole of a chunked file is found, and takes no memory of its own.
func TestHoles(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "sparse"), bytes.Repeat([]byte("x"), 100000), 0o644))
	mem := &fstest.HeapPages{}
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
	fstest.Pages(t, n, "sparse", want)
	if mem.Out != 1 {
		t.Errorf("%d pages for holes", mem.Out)
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
		c := fstest.AlignedCopy(good, len(good))
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
		if _, err := Mount(c.image, 1, &fstest.HeapPages{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want an error with %q", err, c.want)
		}
	}
	f, err := Mount(mkfs(t, dir, "-zlz4"), 1, &fstest.HeapPages{})
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
	f, err := Mount(mkfs(t, dir), 1, &fstest.HeapPages{})
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
	fstest.Tree(b, dir)
	f, err := Mount(mkfs(b, dir), 1, &fstest.HeapPages{})
	must(b, err)
	n, _ := f.Root().Lookup("many")
	b.ReportAllocs()
	for b.Loop() {
		if _, e := n.Lookup("nnn3"); e != 0 {
			b.Fatal(e)
		}
	}
}
