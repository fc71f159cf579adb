package erofs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	kfs "gosv/kernel/fs"
)

// FuzzMount mounts what may be an image and does with it all that can be done,
// within bounds: it may fail, but not crash nor go on for ever.
func FuzzMount(f *testing.F) {
	dir := f.TempDir()
	must(f, os.WriteFile(filepath.Join(dir, "file"), []byte(strings.Repeat("contents", 600)), 0o644))
	must(f, os.MkdirAll(filepath.Join(dir, "a/b"), 0o755))
	must(f, os.Symlink("file", filepath.Join(dir, "link")))
	f.Add(gomkfs(f, dir))
	f.Fuzz(func(t *testing.T, image []byte) {
		if len(image) > 1<<20 {
			return
		}
		v, err := Mount(alignedCopy(image, len(image)), 1, &heapPages{limit: 100})
		if err != nil {
			return
		}
		(&visitor{left: 2000}).visit(v.Root())
	})
}

// visitor visits a limited number of inodes.
type visitor struct {
	left int
	buf  [8192]byte
}

func (v *visitor) visit(n kfs.Inode) {
	if v.left--; v.left < 0 {
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
		p, _ := n.Pages(off, 2, false)
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
			v.visit(c)
		}
	}
}
