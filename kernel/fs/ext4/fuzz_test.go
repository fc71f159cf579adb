package ext4

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gosv/internal/le"
	"gosv/kernel/block/blocktest"
	"gosv/kernel/fs/fstest"
)

// small makes a small image with some of everything.
func small(t testing.TB, args string) []byte {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "file"), []byte(strings.Repeat("contents", 600)), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "tiny"), []byte(strings.Repeat("tiny", 30)), 0o644))
	must(t, os.MkdirAll(filepath.Join(dir, "a/b"), 0o755))
	must(t, os.Symlink("file", filepath.Join(dir, "link")))
	must(t, os.Symlink(strings.Repeat("f", 70), filepath.Join(dir, "long")))
	f, err := os.Create(filepath.Join(dir, "sparse"))
	must(t, err)
	for i := range 40 {
		f.WriteAt([]byte("x"), int64(i)*4096)
	}
	must(t, f.Close())
	return mkfs(t, dir, "256k", append(strings.Fields(args), "-N", "32", "-b", "1024")...)
}

// FuzzMount mounts what may be an image and does with it all that can be done,
// within bounds: it may fail, but not crash nor go on for ever.
func FuzzMount(f *testing.F) {
	f.Add(small(f, "-t ext2"))
	f.Add(small(f, "-t ext4 -O ^metadata_csum,^has_journal"))
	f.Add(small(f, "-t ext4 -O ^metadata_csum,^has_journal,inline_data,meta_bg,^resize_inode"))
	f.Fuzz(func(t *testing.T, image []byte) {
		if len(image) > 1<<20 {
			return
		}
		visit(image)
	})
}

func visit(image []byte) {
	disk := &blocktest.Disk{Data: image[:len(image)&^511]}
	if v, err := Mount(disk.Reader(64), 1, &fstest.HeapPages{Limit: 100}); err == nil {
		v.Usage()
		(&fstest.Visitor{Left: 200}).Visit(v.Root())
	}
}

// TestDamaged is a little of FuzzMount, where it hurts: in the metadata, with numbers that are special.
func TestDamaged(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, args := range []string{"-t ext2", "-t ext4 -O ^metadata_csum,^has_journal", "-t ext4 -O ^metadata_csum,^has_journal,inline_data"} {
		img := small(t, args)
		f := mount(t, img, 100)
		root, err := f.root.run(0, false)
		if err != 0 {
			t.Fatal(err)
		}
		table := make([]byte, f.descSize)
		f.read(table, f.descriptor(0), false)
		// The superblock, the descriptors, the inodes that are used, the root directory.
		places := [][2]int{{superOffset, 400}, {2048, 64}, {int(le.U32(table, gdInodeTable)) << f.blockBits, 24 * int(f.inodeSize)}, {int(root.at) << f.blockBits, 300}}
		for range 1000 {
			bad := append([]byte(nil), img...)
			for range 1 + rng.IntN(3) {
				p := places[rng.IntN(len(places))]
				at := p[0] + rng.IntN(p[1])&^1
				v := []uint32{0, 1, 0xffff, 0xffffffff, 0x80000000, rng.Uint32() & 0xff, rng.Uint32()}[rng.IntN(7)]
				if rng.IntN(2) == 0 {
					binary.LittleEndian.PutUint16(bad[at:], uint16(v))
				} else {
					binary.LittleEndian.PutUint32(bad[at:], v)
				}
			}
			visit(bad)
		}
	}
}
