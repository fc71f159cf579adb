package erofs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gosv/kernel/block/blocktest"
	"gosv/kernel/fs/fstest"
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
		if v, err := Mount(fstest.AlignedCopy(image, len(image)), 1, &fstest.HeapPages{Limit: 100}); err == nil {
			(&fstest.Visitor{Left: 2000}).Visit(v.Root())
		}
		disk := &blocktest.Disk{Data: image[:len(image)&^511]}
		if v, err := MountDisk(disk.Reader(16), 1, &fstest.HeapPages{Limit: 100}); err == nil {
			(&fstest.Visitor{Left: 500}).Visit(v.Root())
		}
	})
}
