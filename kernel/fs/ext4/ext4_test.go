package ext4

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gosv/internal/le"
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

// mkfs makes the image of a disk of dir, or of nothing if that is "".
func mkfs(t testing.TB, dir, size string, args ...string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "image")
	if dir != "" {
		args = append(args, "-d", dir)
	}
	tool(t, "mke2fs", append(append([]string{"-q", "-F"}, args...), out, size)...)
	b, err := os.ReadFile(out)
	must(t, err)
	return b
}

// tool runs one of e2fsprogs, which a user's PATH need not have.
func tool(t testing.TB, name string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		path = "/sbin/" + name
	}
	b, err := exec.Command(path, args...).CombinedOutput()
	if err != nil && b == nil {
		t.Skip(name + " is not installed (apt install e2fsprogs)")
	}
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, b)
	}
	return string(b)
}

// debugfs changes an image.
func debugfs(t testing.TB, img []byte, requests ...string) []byte {
	t.Helper()
	name := filepath.Join(t.TempDir(), "image")
	must(t, os.WriteFile(name, img, 0o644))
	script := filepath.Join(t.TempDir(), "script")
	must(t, os.WriteFile(script, []byte(strings.Join(requests, "\n")), 0o644))
	tool(t, "debugfs", "-w", "-f", script, name)
	img, err := os.ReadFile(name)
	must(t, err)
	return img
}

func mount(t testing.TB, img []byte, frames int) *FS {
	t.Helper()
	f, err := Mount((&blocktest.Disk{Data: img}).Reader(frames), 1, &fstest.HeapPages{})
	must(t, err)
	return f
}

func lookup(t testing.TB, n kfs.Inode, path string) kfs.Inode {
	t.Helper()
	for name := range strings.SplitSeq(path, "/") {
		c, err := n.Lookup(name)
		if err != 0 {
			t.Fatalf("%s: %v", path, err)
		}
		n = c
	}
	return n
}

// sparse writes a file with holes, so large that its map has some depth.
func sparse(t *testing.T, name string) {
	f, err := os.Create(name)
	must(t, err)
	defer f.Close()
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range 300 {
		b := make([]byte, 1+rng.IntN(5000))
		for j := range b {
			b[j] = byte(rng.Uint32())
		}
		_, err := f.WriteAt(b, int64(i)*12288)
		must(t, err)
	}
	_, err = f.WriteAt([]byte("end"), 5<<20) // mke2fs forgets a hole that is the last
	must(t, err)
}

func TestImages(t *testing.T) {
	above := t.TempDir()
	dir := filepath.Join(above, "top") // of the root mke2fs copies no attributes
	must(t, os.Mkdir(dir, 0o750))
	fstest.Tree(t, dir)
	sparse(t, filepath.Join(dir, "sparse"))
	must(t, os.Remove(filepath.Join(dir, "longlink")))               // no longer than a block
	for _, size := range []int{55, 59, 60, 61, 80, 150, 200, 1000} { // in the inode and around
		must(t, os.WriteFile(filepath.Join(dir, fmt.Sprint("small", size)), bytes.Repeat([]byte("s"), size), 0o644))
		must(t, os.Symlink(strings.Repeat("l", size), filepath.Join(dir, fmt.Sprint("link", size))))
	}
	wholeSeconds(t, dir)
	for _, c := range []struct{ name, args string }{
		{"ext2", "-t ext2"},
		{"ext2 1k", "-t ext2 -b 1024"},
		{"ext2 as it was", "-t ext2 -r 0 -b 1024 -O none"},
		{"ext3", "-t ext3"},
		{"ext3 1k", "-t ext3 -b 1024"},
		{"ext3 2k", "-t ext3 -b 2048 -I 128"},
		{"ext4", "-t ext4"},
		{"ext4 1k", "-t ext4 -b 1024"},
		{"ext4 2k", "-t ext4 -b 2048"},
		{"ext4 of today", "-t ext4 -O orphan_file,metadata_csum_seed"},
		{"no checksums", "-t ext4 -O ^metadata_csum,uninit_bg"},
		{"32 bits", "-t ext4 -O ^64bit"},
		{"large inodes", "-t ext4 -I 1024 -O inline_data"},
		{"inline", "-t ext4 -O inline_data"},
		{"inline 1k", "-t ext4 -b 1024 -O inline_data"},
		{"inline indirect", "-t ext4 -O inline_data,^extents,^64bit"},
		{"meta_bg", "-t ext4 -b 1024 -O meta_bg,^resize_inode -g 1024"},
		{"meta_bg sparse_super2", "-t ext4 -b 1024 -O meta_bg,^resize_inode,sparse_super2 -g 1024"},
		{"no flex_bg", "-t ext4 -b 1024 -O ^flex_bg -g 1024"},
		{"bigalloc", "-t ext4 -O bigalloc -C 16384"},
		{"mmp ea_inode large_dir", "-t ext4 -O mmp,ea_inode,large_dir,quota,project"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			img := mkfs(t, above, "24M", strings.Fields(c.args)...)
			mem := &fstest.HeapPages{}
			f, err := Mount((&blocktest.Disk{Data: img}).Reader(2000), 7, mem)
			must(t, err)
			top := lookup(t, f.Root(), "top")
			fstest.Compare(t, top, dir, true, true)
			f.copies.Hole()
			if mem.Out != 1 {
				t.Errorf("%d pages are still in use", mem.Out)
			}
			if up, e := f.Root().Lookup(".."); e != 0 || up.Ino() != f.Root().Ino() {
				t.Errorf("the root's parent is %v, %v", up, e)
			}
			if u := f.Usage(); u.Magic != superMagic || !u.ReadOnly || u.Files == 0 || u.Free == 0 || u.Free > u.Blocks {
				t.Errorf("usage %+v", u)
			}
			holes(t, top, filepath.Join(dir, "sparse"))
		})
	}
}

// wholeSeconds sets the times of dir and what is in it to what mke2fs copies.
func wholeSeconds(t *testing.T, dir string) {
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		at := unix.NsecToTimespec(info.ModTime().Truncate(time.Second).UnixNano())
		return unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW)
	}))
}

// holes checks that where a file has none of the host's data, it has none at all.
func holes(t *testing.T, dir kfs.Inode, path string) {
	want, err := os.ReadFile(path)
	must(t, err)
	n := lookup(t, dir, filepath.Base(path))
	at, data := int64(0), int64(0)
	for at < int64(len(want)) {
		from, err := n.SeekExtent(at, kfs.SeekData)
		if err == errno.ENXIO {
			from = int64(len(want))
		}
		if !isZero(want[at:from]) {
			t.Errorf("no data are in [%d, %d)", at, from)
		}
		if err == errno.ENXIO {
			break
		}
		to, err := n.SeekExtent(from, kfs.SeekHole)
		if err != 0 || to <= from {
			t.Fatalf("a hole from %d on at %d, %v", from, to, err)
		}
		data += to - from
		at = to
	}
	if data > int64(len(want))*3/4 || data == 0 {
		t.Errorf("%d of %d bytes are data", data, len(want))
	}
}

// TestFragmented reads a file whose extents are a tree of some depth, a file that is reserved only, and
// a directory with a hash tree.
func TestFragmented(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "many"), 0o755))
	for i := range 1500 {
		must(t, os.WriteFile(filepath.Join(dir, "many", fmt.Sprintf("a file of number %d", i)), nil, 0o644))
	}
	sparse(t, filepath.Join(dir, "sparse"))
	img := mkfs(t, dir, "16M", "-t", "ext4", "-b", "1024")
	name := filepath.Join(t.TempDir(), "image")
	must(t, os.WriteFile(name, img, 0o644))
	if path, err := exec.LookPath("e2fsck"); err == nil {
		exec.Command(path, "-f", "-y", "-D", name).Run() // 1 is that it changed something
	}
	img, err := os.ReadFile(name)
	must(t, err)
	img = debugfs(t, img, "fallocate sparse 2000 6000", "set_inode_field sparse size 7000000")
	f := mount(t, img, 3000)
	want, err := os.ReadFile(filepath.Join(dir, "sparse"))
	must(t, err)
	want = append(want, make([]byte, 7000000-len(want))...)
	n := lookup(t, f.Root(), "sparse").(*inode)
	if depth := le.U16(n.raw, inBlock+ehDepth); depth == 0 {
		t.Error("the tree of extents has no depth")
	}
	got := make([]byte, len(want))
	if k, err := kfs.ReadFull(n, got, 0); k != len(want) || err != 0 || !bytes.Equal(got, want) {
		t.Errorf("read %d bytes, %v", k, err)
	}
	fstest.Pages(t, n, "sparse", want)
	many := lookup(t, f.Root(), "many").(*inode)
	if many.flags&flagIndex == 0 {
		t.Error("the directory has no index")
	}
	seen := map[string]bool{}
	if err := many.ReadDir(0, func(e kfs.Dirent) bool { seen[e.Name] = true; return true }); err != 0 || len(seen) != 1502 {
		t.Errorf("%d entries, %v", len(seen), err)
	}
	for i := range 1500 {
		lookup(t, many, fmt.Sprintf("a file of number %d", i))
	}
}

// TestLarge: sizes, times and numbers that need all their bits.
func TestLarge(t *testing.T) {
	img := debugfs(t, mkfs(t, "", "8M", "-t", "ext4"), "write /dev/null dev", "set_inode_field dev mode 060644", "set_inode_field dev block[0] 0", fmt.Sprintf("set_inode_field dev block[1] %d", kfs.Device(300, 70000)), "write /dev/null big", "set_inode_field big size 0x100000000ff",
		"set_inode_field big mtime 1", "set_inode_field big mtime_extra 7", "set_inode_field big uid 131072", "set_inode_field big crtime 1",
		"set_inode_field big atime 0x80000000", "set_inode_field big atime_extra 0")
	f := mount(t, img, 100)
	a := lookup(t, f.Root(), "big").Attr()
	if a.Size != 0x100000000ff || a.Mtime != (kfs.Time{Sec: 3<<32 + 1, Nsec: 1}) || a.UID != 2<<16 || a.Btime.Sec != 1 || a.Atime.Sec != -1<<31 {
		t.Errorf("%+v", a)
	}
	if a := lookup(t, f.Root(), "dev").Attr(); a.Rdev != kfs.Device(300, 70000) {
		t.Errorf("device %#x", a.Rdev)
	}
	b := []byte{1, 2, 3}
	if k, err := kfs.ReadFull(lookup(t, f.Root(), "big"), b, 0x100000000fd); k != 2 || err != 0 || b[0]|b[1] != 0 {
		t.Errorf("read %d, %v", k, err)
	}
}

// TestEnd: what follows a file's end in its last block is not what a mapping shows.
func TestEnd(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "x"), bytes.Repeat([]byte("Q"), 10000), 0o644))
	img := mkfs(t, dir, "2M", "-t", "ext4", "-b", "4096")
	f := mount(t, img, 100)
	n := lookup(t, f.Root(), "x").(*inode)
	r, e := n.run(2, false)
	if e != 0 {
		t.Fatal(e)
	}
	for i := 10000; i < 12288; i++ {
		img[int(r.at+2-r.first)<<12+i-8192] = 'Z'
	}
	fstest.Pages(t, n, "x", bytes.Repeat([]byte("Q"), 10000))
}

// TestRefused: what is said of a file system that cannot be read.
func TestRefused(t *testing.T) {
	plain := mkfs(t, "", "2M", "-t", "ext4", "-O", "^metadata_csum")
	sums := mkfs(t, "", "2M", "-t", "ext4")
	put32 := func(img []byte, at int, v uint32) []byte {
		b := bytes.Clone(img)
		binary.LittleEndian.PutUint32(b[superOffset+at:], v)
		return b
	}
	incompat := le.U32(plain, superOffset+sbIncompat)
	for _, c := range []struct {
		img  []byte
		want string
	}{
		{make([]byte, 1<<20), "not an ext2, ext3 or ext4"},
		{make([]byte, 1024), "cannot be read"},
		{plain[:1<<20], "1048576 bytes of the 2097152"},
		{put32(plain, sbIncompat, incompat|1<<16|1<<17|1<<30), "ext4 with encrypt casefold FEATURE_I30 is not supported"},
		{put32(plain, sbIncompat, incompat|recover_), "not unmounted"},
		{put32(plain, sbBlockBits, 6), "blocks of 65536 bytes"},
		{put32(plain, sbBlockBits, 1<<31), "superblock of the ext4 file system is damaged"},
		{put32(plain, sbBlocksPerGroup, 0), "damaged"},
		{put32(plain, sbInodesPerGroup, 0), "damaged"},
		{put32(plain, sbInodes, 1<<31), "damaged"},
		{put32(plain, sbInodeSize, 100), "damaged"},
		{put32(plain, sbFirstBlock, 1<<31), "damaged"},
		{put32(plain, sbBlocksHigh, 1<<31), "damaged"},
		{put32(sums, sbInodes, 1000), "its checksum is wrong"},
		{mkfs(t, "", "2M", "-t", "ext4", "-O", "journal_dev", "-b", "1024"), "journal_dev"},
	} {
		_, err := Mount((&blocktest.Disk{Data: c.img}).Reader(100), 1, &fstest.HeapPages{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}

// TestChecksums: a bit that is wrong in what is checksummed is found.
func TestChecksums(t *testing.T) {
	dir := t.TempDir()
	sparse(t, filepath.Join(dir, "sparse"))
	must(t, os.Mkdir(filepath.Join(dir, "dir"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "dir/entry"), []byte("x"), 0o644))
	img := mkfs(t, dir, "16M", "-t", "ext4", "-b", "1024")
	f := mount(t, img, 100)
	sparseFile, in := lookup(t, f.Root(), "sparse").(*inode), lookup(t, f.Root(), "dir").(*inode)
	leaf := int(le.U32(sparseFile.raw, inBlock+extentSize+eiLeaf)) << f.blockBits
	block, err := in.run(0, false)
	if err != 0 {
		t.Fatal(err)
	}
	for _, at := range []int{
		2*1024 + gdInodeTable + 24,  // the descriptor of the first group
		leaf + 40,                   // an extent
		int(block.at)*1024 + 24 + 9, // a name
		bytes.Index(img, sparseFile.raw) + 0x10,
		bytes.Index(img, in.raw) + 0x8,
	} {
		bad := bytes.Clone(img)
		bad[at] ^= 4
		f, err := Mount((&blocktest.Disk{Data: bad}).Reader(100), 1, &fstest.HeapPages{})
		if err != nil {
			continue
		}
		n, e := f.Root().Lookup("sparse")
		if e == 0 {
			_, e = n.SeekExtent(0, kfs.SeekHole)
		}
		if e == 0 {
			if n, e = f.Root().Lookup("dir"); e == 0 {
				_, e = n.Lookup("entry")
			}
		}
		if e != errno.EUCLEAN {
			t.Errorf("with byte %#x changed: %v", at, e)
		}
	}
}

// TestLoops: trees of extents and directories that contain themselves.
func TestLoops(t *testing.T) {
	dir := t.TempDir()
	sparse(t, filepath.Join(dir, "sparse"))
	must(t, os.MkdirAll(filepath.Join(dir, "a/b"), 0o755))
	img := mkfs(t, dir, "16M", "-t", "ext4", "-b", "1024", "-O", "^metadata_csum")
	f := mount(t, img, 100)
	n := lookup(t, f.Root(), "sparse").(*inode)
	leaf := int(le.U32(n.raw, inBlock+extentSize+eiLeaf)) << f.blockBits
	for _, depth := range []uint16{1, 2, 0xffff} { // the leaf becomes a node above itself
		bad := bytes.Clone(img)
		binary.LittleEndian.PutUint16(bad[leaf+ehDepth:], depth)
		for e := leaf + extentSize; e < leaf+1024-extentSize; e += extentSize {
			binary.LittleEndian.PutUint32(bad[e+eiLeaf:], uint32(leaf>>f.blockBits))
			binary.LittleEndian.PutUint32(bad[e+eiLeafHigh:], 0)
		}
		if _, err := kfs.ReadFull(lookup(t, mount(t, bad, 100).Root(), "sparse"), make([]byte, 100), 0); err != errno.EUCLEAN {
			t.Errorf("depth %d: %v", depth, err)
		}
	}
	// a/b is a.
	a, b := lookup(t, f.Root(), "a").(*inode), lookup(t, f.Root(), "a/b")
	r, err := a.run(0, false)
	if err != 0 {
		t.Fatal(err)
	}
	bad := bytes.Clone(img)
	block := bad[r.at<<f.blockBits:][:1024]
	at := bytes.Index(block, []byte{byte(b.Ino()), byte(b.Ino() >> 8), 0, 0})
	binary.LittleEndian.PutUint32(block[at:], a.ino)
	again := lookup(t, mount(t, bad, 100).Root(), "a"+strings.Repeat("/b", 1000))
	if again.Ino() != a.Ino() {
		t.Errorf("a thousand times b in a is %d, want %d", again.Ino(), a.Ino())
	}
}

// TestBadSectors: what cannot be read is EIO, and nothing else is.
func TestBadSectors(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "x"), bytes.Repeat([]byte("Q"), 100000), 0o644))
	must(t, os.Mkdir(filepath.Join(dir, "dir"), 0o755))
	img := mkfs(t, dir, "2M", "-t", "ext4", "-b", "4096")
	disk := &blocktest.Disk{Data: img}
	f, err := Mount(disk.Reader(100), 1, &fstest.HeapPages{})
	must(t, err)
	n := lookup(t, f.Root(), "x").(*inode)
	r, e := n.run(10, false)
	if e != 0 {
		t.Fatal(e)
	}
	at := (r.at + 10 - r.first) * 8
	disk.Bad = func(sector, count uint64) bool { return sector <= at && at < sector+count }
	b := make([]byte, 100000)
	if k, err := kfs.ReadFull(n, b, 0); k != 40960 || err != errno.EIO {
		t.Errorf("read %d bytes, %v", k, err)
	}
	if k, err := kfs.ReadFull(n, b[:40000], 45056); k != 40000 || err != 0 {
		t.Errorf("read %d bytes, %v", k, err)
	}
	n.Map()
	defer n.Unmap()
	if err := n.Fetch(40960); err != errno.EIO {
		t.Errorf("fetched: %v", err)
	}
	disk.Bad = func(sector, count uint64) bool { return true }
	if _, err := f.Root().Lookup("nosuch"); err != errno.ENOENT { // it was read already
		t.Errorf("look up: %v", err)
	}
	if _, err := lookup(t, f.Root(), "dir").Lookup("y"); err != errno.EIO {
		t.Errorf("look up: %v", err)
	}
}

// TestReadOnly: nothing can be changed.
func TestReadOnly(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "x"), []byte("abc"), 0o644))
	r := mount(t, mkfs(t, dir, "2M", "-t", "ext4"), 100).Root()
	n := lookup(t, r, "x")
	_, e1 := n.WriteAt(&kfs.Buffer{Bytes: []byte("y")}, 0, 1)
	_, _, e2 := n.Append(&kfs.Buffer{Bytes: []byte("y")}, 1)
	_, e3 := r.Create("y", kfs.New{})
	for i, e := range []errno.Errno{
		e1, e2, e3, n.Truncate(0), n.SetAttr(kfs.Change{}), r.Unlink("x"), r.Rmdir("x"), r.Link("y", n), r.Rename("x", r, "y", 0),
	} {
		if e != errno.EROFS {
			t.Errorf("%d: %v", i, e)
		}
	}
}
