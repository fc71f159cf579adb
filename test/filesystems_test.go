package test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gosv/internal/vmm"
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
	if want.code != 0 || strings.Count(want.stdout, "\n") < 100 {
		t.Fatal(want)
	}
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
	if want.code != 0 {
		t.Fatal(want)
	}
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

// rootMachines are machines with the root file system on a disk.
var rootMachines = map[string]machine{
	"microvm":                     {"--machine", "microvm"},
	"legacy microvm without ACPI": {"--machine", "microvm,acpi=off", "--vmm-arg=-global", "--vmm-arg=virtio-mmio.force-legacy=true"},
	"q35, 4 CPUs":                 {"--machine", "q35", "-c", "4"},
	"little memory":               {"--machine", "microvm", "-m", "14"},
}

// TestRootDisk: a program sees the same whether the image came as initrd or is on a disk, also of what
// it changes.
func TestRootDisk(t *testing.T) {
	t.Parallel()
	dir := fileTree(t)
	os.Remove(filepath.Join(dir, "null")) // -v copies no devices
	prog := cProgram(t, glibc, "walk")
	flags := options{flags: []string{"-v", dir + ":/top", "--disk", noiseDisk(t, 1<<20) + ",ro"}} // which is /dev/vda in any case
	same, changed := run(t, microvm, flags, prog, "/top"), run(t, microvm, flags, prog, "/top", "change")
	if same.code != 0 || changed.code != 0 {
		t.Fatal(same, changed)
	}
	for name, m := range rootMachines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m = append(machine{"--vmm", "qemu", "--accel", "tcg", "--root", "disk"}, m...)
			compare(t, run(t, m, flags, prog, "/top"), same)
			compare(t, run(t, m, flags, prog, "/top", "change"), changed)
		})
	}
	// A large image is on a disk unasked, or it would not fit.
	big := options{flags: []string{"-m", "10", "-v", noiseDisk(t, 24<<20) + ":/noise"}}
	r := run(t, microvm, big, busybox(t), "sha1sum", "/noise")
	compare(t, r, run(t, microvm, options{flags: []string{"-m", "64", "--root", "initrd", "-v", big.flags[3]}}, busybox(t), "sha1sum", "/noise"))
	if len(r.stdout) != 40+len("  /noise\n") {
		t.Error(r)
	}
}

// TestRootDiskByHand: without an initrd, and what the kernel says of disks without an image.
func TestRootDiskByHand(t *testing.T) {
	t.Parallel()
	prog := cProgram(t, musl, "hello")
	noInitrd := func(word string) func(string) string {
		return func(line string) string {
			return regexp.MustCompile(` -initrd \S+`).ReplaceAllString(strings.Replace(line, "gosv.report=", word+" gosv.report=", 1), "")
		}
	}
	at := func(off int, b string) func([]byte) []byte {
		return func(img []byte) []byte {
			if off < 0 {
				off += len(img)
			}
			copy(img[off:], b)
			return img
		}
	}
	for name, c := range map[string]struct {
		image  func([]byte) []byte
		edit   func(string) string
		code   int
		output string
	}{
		"gosv.root":       {nil, noInitrd("gosv.root=vda"), 0, "hello, world\n"},
		"root":            {nil, noInitrd("root=/dev/vda ro"), 0, "hello, world\n"},
		"no disk":         {nil, noInitrd("gosv.root=vdb"), 125, "gosv kernel: there is no disk vdb\n"},
		"nothing":         {nil, noInitrd("root=PARTUUID=1"), 125, "gosv kernel: there is no disk PARTUUID=1\n"},
		"cut short":       {func(b []byte) []byte { return b[:32<<10] }, noInitrd("gosv.root=vda"), 125, "gosv kernel: vda: no application image"},
		"configuration":   {at(-100, "x"), nil, 0, "hello, world\n"}, // gosv run brings its own
		"no config":       {at(-32, "x"), noInitrd("gosv.root=vda"), 125, "gosv kernel: vda: no application image"},
		"wrong config":    {at(-12, "x"), noInitrd("gosv.root=vda"), 125, "gosv kernel: vda: a corrupt application image"},
		"superblock":      {at(1024, "x"), nil, 125, "gosv kernel: root file system: vda: not an EROFS image\n"},
		"short":           {func(b []byte) []byte { return b[:8<<10] }, nil, 125, "gosv kernel: root file system: vda: the disk has 8192 bytes of the "},
		"no such feature": {at(1024+80, "\x00\x00\x00\x80"), nil, 125, "gosv kernel: root file system: vda: EROFS feature 0x80000000 is not supported"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := byHandFrom(t, "root.img", append(microvm[:len(microvm):len(microvm)], "--root", "disk"), prog, c.image, c.edit)
			if r.report != c.code || !strings.HasPrefix(strings.ReplaceAll(r.output, "\r", ""), c.output) || strings.Count(r.output, "\n") != 1 {
				t.Errorf("the kernel reported %d, want %d and %q: %v", r.report, c.code, c.output, r.result)
			}
		})
	}
}

// TestRootDiskFails: a disk that cannot be read any more.
func TestRootDiskFails(t *testing.T) {
	t.Parallel()
	img := filepath.Join(t.TempDir(), "app.img")
	if r := command(t, nil, "", nil, gosv, "build", "-v", noiseDisk(t, 1<<20)+":/noise", "-o", img, busybox(t), "sha1sum", "/noise"); r.code != 0 {
		t.Fatal(r)
	}
	b, err := os.ReadFile(img)
	mustDo(t, err)
	noise, err := os.ReadFile(noiseDisk(t, 1<<20))
	mustDo(t, err)
	sector := bytes.Index(b, noise[:4096])/512 + 1024
	drive := `{"driver": "raw", "node-name": "d", "read-only": true, "file": {"driver": "blkdebug", "image": {"driver": "file", "filename": "` + img + `"},
		"inject-error": [{"event": "read_aio", "iotype": "read", "sector": ` + strconv.Itoa(sector) + `}]}}`
	m := withDrive(drive, "virtio-blk-device,drive=d")
	r := byHandFrom(t, "app.img", m, busybox(t), nil, func(line string) string {
		return regexp.MustCompile(` -initrd \S+`).ReplaceAllString(strings.Replace(line, "gosv.report=", "gosv.root=vda gosv.report=", 1), "")
	})
	if want := "sha1sum: /noise: I/O error\n"; r.report != 1 || strings.ReplaceAll(r.output, "\r", "") != want && !strings.Contains(r.output, "Input/output error") {
		t.Errorf("the kernel reported %d: %v", r.report, r.result)
	}
}

// TestRootDiskOnFirecracker: with gosv run, and by hand as Firecracker's root device.
func TestRootDiskOnFirecracker(t *testing.T) {
	t.Parallel()
	b := newBox(t, "firecracker")
	img := filepath.Join(t.TempDir(), "app.img")
	if r := command(t, nil, "", nil, gosv, "build", "-o", img, cProgram(t, musl, "hello")); r.code != 0 {
		t.Fatal(r)
	}
	there := b.add(img)
	b.add(filepath.Join(root, "internal/image/kernels/gosv.elf"))
	out := b.run(t, 60, vmm.Quote(append(append([]string{"/box/gosv", "run", "--timeout", "30s", "--root", "disk"}, firecracker...), there))+` </dev/null
echo '{"boot-source":{"kernel_image_path":"/box/gosv.elf","boot_args":""},
	"drives":[{"drive_id":"root","path_on_host":"`+there+`","is_root_device":true,"is_read_only":true}],
	"machine-config":{"vcpu_count":1,"mem_size_mib":32},"cpu-config":"/box/cpu.json"}' >/tmp/vm.json
timeout 30 firecracker --level Off --no-api --config-file /tmp/vm.json </dev/null
exit 0
`)
	if strings.Count(out, "hello, world") != 2 {
		t.Error(out)
	}
}
