package test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gosv/kernel/fs/fstest"
)

// fileTree makes a directory with some of everything, as mke2fs copies it: with times in seconds. (What /tmp is on
// this machine may know fewer.)
func fileTree(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "top")
	mustDo(t, os.Mkdir(dir, 0o755))
	fstest.Tree(t, dir)
	mustDo(t, os.Remove(filepath.Join(dir, "longlink"))) // longer than a block of 1 KiB
	noise, err := os.ReadFile(noiseDisk(t, 6<<20+1234))
	mustDo(t, err)
	mustDo(t, os.WriteFile(filepath.Join(dir, "large"), noise, 0o640))
	f, err := os.Create(filepath.Join(dir, "sparse"))
	mustDo(t, err)
	for i := range 200 {
		if _, err := f.WriteAt(noise[:3000+i*7], int64(i)*16384); err != nil {
			t.Fatal(err)
		}
	}
	mustDo(t, f.Close())
	mustDo(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
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
	return dir
}

func mustDo(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// diskOf makes a file system of a directory.
func diskOf(t *testing.T, dir string, command ...string) string {
	t.Helper()
	img := filepath.Join(t.TempDir(), command[0]+".img")
	args := append(command[1:len(command):len(command)], "-q", "-F", "-d", dir, img, "32M")
	if command[0] == "mkfs.erofs" {
		args = append(command[1:len(command):len(command)], "--quiet", img, dir)
	}
	path, err := exec.LookPath(command[0])
	if err != nil { // it may be for root only
		path = "/sbin/" + command[0]
	}
	if out, err := exec.Command(path, args...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", command, err, out)
	}
	return img
}

// TestFileSystems compares what a program finds on a disk with the directory that it was made of.
func TestFileSystems(t *testing.T) {
	t.Parallel()
	dir := fileTree(t)
	prog := cProgram(t, glibc, "walk")
	want := runHost(t, options{}, prog, dir)
	for name, c := range map[string]struct {
		command, at string
		flags       []string
	}{
		"ext4":           {"mke2fs -t ext4 -b 4096", "/data/top", nil},
		"ext4 1k":        {"mke2fs -t ext4 -b 1024 -O inline_data", "/data/top", []string{"-c", "4"}},
		"ext3":           {"mke2fs -t ext3 -b 2048", "/data/top", nil},
		"ext2":           {"mke2fs -t ext2 -b 4096", "/deep/below/top", []string{"--machine", "q35"}},
		"erofs":          {"mkfs.erofs", "/data", nil},
		"erofs chunks":   {"mkfs.erofs --chunksize=4096", "/data", []string{"-c", "4"}},
		"little memory":  {"mke2fs -t ext4 -b 4096", "/data/top", []string{"-m", "14"}},
		"erofs overlay":  {"mkfs.erofs", "/data", []string{"overlay"}},
		"overlay 4 CPUs": {"mke2fs -t ext4 -b 4096", "/data/top", []string{"-c", "4", "-m", "14", "overlay"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from := filepath.Dir(dir)
			if strings.HasPrefix(c.command, "mkfs.erofs") {
				from = dir
			}
			volume := diskOf(t, from, strings.Fields(c.command)...) + ":" + strings.TrimSuffix(c.at, "/top")
			flags := c.flags
			if n := len(flags); n > 0 && flags[n-1] == "overlay" {
				flags, volume = flags[:n-1], volume+":overlay"
			}
			compare(t, run(t, microvm, options{flags: append(flags[:len(flags):len(flags)], "-v", volume)}, prog, c.at), want)
		})
	}
}

// TestOverlay: with memory on top of a disk a program can change everything, and the disk stays as it is.
func TestOverlay(t *testing.T) {
	t.Parallel()
	dir := fileTree(t)
	prog := cProgram(t, glibc, "walk")
	img := diskOf(t, filepath.Dir(dir), "mke2fs", "-t", "ext4")
	erofs := diskOf(t, dir, "mkfs.erofs")
	before, err := os.ReadFile(img)
	mustDo(t, err)
	want := runHost(t, options{}, prog, dir, "change") // of its own directory
	compare(t, run(t, microvm, options{flags: []string{"-v", img + ":/data:overlay"}}, prog, "/data/top", "change"), want)
	compare(t, run(t, microvm, options{flags: []string{"-v", erofs + ":/data:overlay", "-c", "4"}}, prog, "/data", "change"), want)
	if after, err := os.ReadFile(img); err != nil || !bytes.Equal(after, before) {
		t.Errorf("%v; it is another disk now", err)
	}
	r := run(t, microvm, options{flags: []string{"-v", img + ":/data:ro"}}, busybox(t), "touch", "/data/x")
	if r.code != 1 || !strings.Contains(r.stderr, "Read-only file system") {
		t.Error(r)
	}
}

// TestFileSystemsOnFirecracker: by MMIO and by PCI.
func TestFileSystemsOnFirecracker(t *testing.T) {
	t.Parallel()
	b := newBox(t, "firecracker")
	dir := fileTree(t)
	prog := cProgram(t, glibc, "walk")
	want := runHost(t, options{}, prog, dir, "sum") // printing is slow there
	ext4, erofs := b.add(diskOf(t, filepath.Dir(dir), "mke2fs", "-t", "ext4")), b.add(diskOf(t, dir, "mkfs.erofs"))
	there := b.add(prog)
	var runs []boxRun
	for _, m := range []machine{{"-v", ext4 + ":/data"}, {"-v", erofs + ":/data/top", "-c", "4", "--vmm-arg=--enable-pci"}} {
		runs = append(runs, boxRun{append(firecracker[:len(firecracker):len(firecracker)], m...), []string{there, "/data/top", "sum"}, want})
	}
	b.runAll(t, runs)
}

// TestMount: what mount(2) and umount2(2) say is what Linux 6.1 does.
func TestMount(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mustDo(t, os.MkdirAll(filepath.Join(dir, "sub"), 0o755))
	mustDo(t, os.WriteFile(filepath.Join(dir, "sub/x"), []byte("text\n"), 0o644))
	want, err := os.ReadFile(filepath.Join("testdata", "mounts.txt"))
	mustDo(t, err)
	r := run(t, microvm, options{flags: []string{"--disk", diskOf(t, dir, "mke2fs", "-t", "ext4") + ",ro"}}, cProgram(t, glibc, "mounts"), "/dev/vda")
	r.stderr = "" // what is wrong with a disk
	compare(t, r, result{stdout: string(want)})
}

// TestBadFileSystems: what is said of disks that cannot be mounted.
func TestBadFileSystems(t *testing.T) {
	t.Parallel()
	good, err := os.ReadFile(diskOf(t, t.TempDir(), "mke2fs", "-t", "ext4", "-O", "^metadata_csum"))
	mustDo(t, err)
	changed := func(at int, b string) string {
		img := bytes.Clone(good)
		copy(img[at:], b)
		name := filepath.Join(t.TempDir(), "bad.ext4")
		mustDo(t, os.WriteFile(name, img, 0o644))
		return name
	}
	short := filepath.Join(t.TempDir(), "short.ext4")
	mustDo(t, os.WriteFile(short, good[:1<<20], 0o644))
	for _, c := range []struct{ img, want string }{
		{changed(1024+0x60, "\xc6"), "not unmounted"},
		{changed(1024+0x62, "\x01"), "ext4 with encrypt is not supported"},
		{changed(1024+0x20, "\x00\x00\x00\x00"), "the superblock of the ext4 file system is damaged"},
		{short, "the disk has 1048576 bytes of the 33554432"},
	} {
		r := run(t, microvm, options{flags: []string{"-v", c.img + ":/data"}}, cProgram(t, musl, "hello"))
		if r.code != 125 || !strings.Contains(r.stderr, "gosv kernel: /data: vda: ") || !strings.Contains(r.stderr, c.want) || r.stdout != "" {
			t.Errorf("%v, want %q", r, c.want)
		}
	}
}
