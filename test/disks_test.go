package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// noiseDisk makes the image of a disk, full of noise that is always the same.
func noiseDisk(t *testing.T, size int) string {
	t.Helper()
	p := make([]byte, size)
	rand.New(rand.NewSource(5)).Read(p)
	path := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(path, p, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestDisk compares what a program sees of a disk, whose end is not that of a page,
// with what it saw in a VM with Linux 6.1.
func TestDisk(t *testing.T) {
	t.Parallel()
	want, err := os.ReadFile(filepath.Join("testdata", "disk.txt"))
	if err != nil {
		t.Fatal(err)
	}
	prog := cProgram(t, glibc, "disk")
	for _, c := range []struct {
		flags []string
		disk  string
	}{{[]string{"-m", "16"}, "vda"}, {[]string{"-c", "4"}, "vda"}, {nil, "sda"}} {
		img := noiseDisk(t, 8<<20+3*512)
		flags := append(c.flags, "--disk", img)
		if c.disk == "sda" {
			flags[len(flags)-1] += ",scsi"
		}
		r := run(t, microvm, options{flags: flags}, prog, "/dev/"+c.disk)
		compare(t, r, result{stdout: string(want)})
		// And it is on the disk.
		sum := runHost(t, options{}, prog, img, "sum").stdout
		if !strings.HasSuffix(r.stdout, sum) {
			t.Errorf("the host reads %s", sum)
		}
	}
}

// TestDiskOfTheKilled: what a program wrote is not lost with it.
func TestDiskOfTheKilled(t *testing.T) {
	t.Parallel()
	prog := cProgram(t, glibc, "diskwork")
	img := noiseDisk(t, 4<<20)
	r := run(t, microvm, options{flags: []string{"--disk", img}}, prog, "/dev/vda", "write", "77", "die")
	host := runHost(t, options{}, prog, img, "read")
	if host.code = 128 + int(syscall.SIGKILL); r.code == host.code {
		host.stderr = r.stderr // gosv's, of how it ended
	}
	compare(t, r, host)
}

// withDrive is a machine with a disk of options of QEMU's own, which the devices are for.
func withDrive(drive string, devices ...string) machine {
	m := append(qemuMachine("microvm"), "--vmm-arg=-blockdev", "--vmm-arg="+drive)
	for _, d := range devices {
		m = append(m, "--vmm-arg=-device", "--vmm-arg="+d)
	}
	return m
}

// TestDiskErrors: QEMU's blkdebug makes sectors bad.
func TestDiskErrors(t *testing.T) {
	t.Parallel()
	img := noiseDisk(t, 8<<20)
	drive := `{"driver": "raw", "node-name": "d", "file": {"driver": "blkdebug", "image": {"driver": "file", "filename": "` + img + `"},
		"inject-error": [{"event": "read_aio", "iotype": "read", "sector": 2049}, {"event": "write_aio", "iotype": "write", "sector": 4100}]}}`
	want, err := os.ReadFile(filepath.Join("testdata", "diskfails.txt"))
	if err != nil {
		t.Fatal(err)
	}
	prog := cProgram(t, glibc, "diskfails")
	compare(t, run(t, withDrive(drive, "virtio-blk-device,drive=d"), options{}, prog, "/dev/vda"), result{stdout: string(want)})
	compare(t, run(t, withDrive(drive, "virtio-scsi-device,id=scsi", "scsi-hd,bus=scsi.0,drive=d"), options{}, prog, "/dev/sda"), result{stdout: string(want)})
}

// TestDiskVanishes: requests fail when what the disk is stored in has gone, or the disk
// itself.
func TestDiskVanishes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, disk, remove string }{
		{"vda", noiseDisk(t, 1<<20), "drive_del disk0"},
		{"sda", noiseDisk(t, 1<<20) + ",scsi", "device_del /machine/peripheral-anon/device[0]"},
	} {
		monitor, err := net.Listen("unix", filepath.Join(t.TempDir(), "monitor"))
		mustDo(t, err)
		gone := make(chan error, 1)
		go func() { gone <- tellMonitor(monitor, c.remove) }()
		m := append(microvm[:len(microvm):len(microvm)], "--disk", c.disk, "--vmm-arg=-qmp", "--vmm-arg=unix:"+monitor.Addr().String())
		r := run(t, m, options{}, cProgram(t, glibc, "diskfails"), "/dev/"+c.name, "wait")
		monitor.Close()
		if err := <-gone; err != nil {
			t.Fatal(err)
		}
		expect(t, r, "reads\nread fails: 1\nwrite fails: 1\nfsync(fd): EIO\n")
	}
}

// tellMonitor gives a command to the QEMU that connects to monitor, once the guest has
// begun to read its disk.
func tellMonitor(monitor net.Listener, line string) error {
	c, err := monitor.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	answers := json.NewDecoder(c)
	var greeting map[string]any
	if err := answers.Decode(&greeting); err != nil {
		return err
	}
	ask := func(q string) (any, error) {
		fmt.Fprintln(c, q)
		var answer map[string]any
		for answer["return"] == nil { // not an event
			clear(answer)
			if err := answers.Decode(&answer); err != nil || answer["error"] != nil {
				return nil, fmt.Errorf("QEMU answers %v, %v", answer, err)
			}
		}
		return answer["return"], nil
	}
	if _, err := ask(`{"execute": "qmp_capabilities"}`); err != nil {
		return err
	}
	for { // or until the machine ends
		stats, err := ask(`{"execute": "query-blockstats"}`)
		if err != nil {
			return err
		}
		disk, _ := stats.([]any)[0].(map[string]any)
		counts, _ := disk["stats"].(map[string]any)
		if reads, _ := counts["rd_operations"].(float64); reads > 100 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	said, err := ask(`{"execute": "human-monitor-command", "arguments": {"command-line": "` + line + `"}}`)
	if err == nil && said != "" {
		err = fmt.Errorf("QEMU says %v", said)
	}
	return err
}

// TestReadOnlyDisk: nobody writes to it.
func TestReadOnlyDisk(t *testing.T) {
	t.Parallel()
	img := noiseDisk(t, 1<<20)
	before, err := os.ReadFile(img)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(filepath.Join("testdata", "diskro.txt"))
	if err != nil {
		t.Fatal(err)
	}
	compare(t, run(t, microvm, options{flags: []string{"--disk", img + ",ro"}}, cProgram(t, glibc, "diskro"), "/dev/vda"), result{stdout: string(want)})
	if after, err := os.ReadFile(img); err != nil || !bytes.Equal(after, before) {
		t.Errorf("%v; it is another disk now", err)
	}
}

// TestDiscard: what a program does not need takes no room on the host.
func TestDiscard(t *testing.T) {
	t.Parallel()
	img := noiseDisk(t, 8<<20)
	r := run(t, microvm, options{flags: []string{"--disk", img}}, busybox(t), "blkdiscard", "-o", "1048576", "-l", "4194304", "/dev/vda")
	expect(t, r, "")
	st, err := os.Stat(img)
	if err != nil {
		t.Fatal(err)
	}
	if blocks := st.Sys().(*syscall.Stat_t).Blocks; blocks > 4<<20/512+64 {
		t.Errorf("%d blocks of 512 bytes are left of 8 MiB", blocks)
	}
}

// TestPartitions: what tools find.
func TestPartitions(t *testing.T) {
	t.Parallel()
	img := noiseDisk(t, 4<<20)
	f, err := os.OpenFile(img, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	mbr := make([]byte, 512)
	for i, p := range [][3]uint32{{0x83, 2048, 4096}, {0x82, 6200, 1000}} {
		e := mbr[446+16*i:]
		e[4] = byte(p[0])
		copy(e[1:], [][]byte{{32, 33, 0}, {98, 27, 0}}[i]) // head, sector and cylinder, too
		copy(e[5:], [][]byte{{97, 33, 0}, {114, 18, 0}}[i])
		for k := range 4 {
			e[8+k], e[12+k] = byte(p[1]>>(8*k)), byte(p[2]>>(8*k))
		}
	}
	mbr[510], mbr[511] = 0x55, 0xaa
	if _, err := f.WriteAt(mbr, 0); err != nil {
		t.Fatal(err)
	}
	part := make([]byte, 4096*512)
	if _, err := f.ReadAt(part, 2048*512); err != nil {
		t.Fatal(err)
	}
	f.Close()
	flags := options{flags: []string{"--disk", img, "--disk", noiseDisk(t, 1<<20) + ",ro"}}
	for _, c := range []struct{ line, want string }{
		{"cat /proc/partitions", "major minor  #blocks  name\n\n 254        0       4096 vda\n 254        1       2048 vda1\n 254        2        500 vda2\n 254       16       1024 vdb\n"},
		{"ls /sys/block /sys/class/block /sys/dev/block", "/sys/block:\nvda\nvdb\n\n/sys/class/block:\nvda\nvda1\nvda2\nvdb\n\n/sys/dev/block:\n254:0\n254:1\n254:16\n254:2\n"},
		{"cat /sys/block/vda/size /sys/class/block/vda1/start /sys/block/vda/vda2/size /sys/block/vdb/ro /sys/dev/block/254:1/uevent", "8192\n2048\n1000\n1\nMAJOR=254\nMINOR=1\nDEVNAME=vda1\nDEVTYPE=partition\nDISKSEQ=1\nPARTN=1\n"},
		{"blockdev --getsize64 /dev/vda2", "512000\n"},
		{"blockdev --getro /dev/vdb", "1\n"},
		{"blockdev --rereadpt /dev/vda", ""},
		{"fdisk -l -u /dev/vda", "Unknown value(s) for: cylinders (settable in the extra functions menu)\nDisk /dev/vda: 4 MB, 4194304 bytes, 8192 sectors\n0 cylinders, 255 heads, 63 sectors/track\nUnits: sectors of 1 * 512 = 512 bytes\n\n" +
			"Device  Boot StartCHS    EndCHS        StartLBA     EndLBA    Sectors  Size Id Type\n" +
			"/dev/vda1    0,32,33     0,97,33           2048       6143       4096 2048K 83 Linux\n" +
			"/dev/vda2    0,98,27     0,114,18          6200       7199       1000  500K 82 Linux swap\n"},
	} {
		expect(t, run(t, microvm, flags, busybox(t), strings.Fields(c.line)...), c.want)
	}
	r := run(t, microvm, flags, busybox(t), "cat", "/dev/vda1")
	expect(t, r, string(part))
}

// TestDiskMemory: what the cache has is the program's when it wants it.
func TestDiskMemory(t *testing.T) {
	t.Parallel()
	prog := cProgram(t, glibc, "diskmemory")
	img := noiseDisk(t, 64<<20)
	expect(t, run(t, microvm, options{flags: []string{"-m", "48", "--disk", img}}, prog, "/dev/vda"), "1 1 1\n")
	expect(t, run(t, microvm, options{flags: []string{"-m", "48", "-c", "4", "--disk", img + ",scsi"}}, prog, "/dev/sda"), "1 1 1\n")
}

// TestCDROM: behind an adapter, and only to be read.
func TestCDROM(t *testing.T) {
	t.Parallel()
	img := noiseDisk(t, 1<<20)
	want, err := os.ReadFile(img)
	if err != nil {
		t.Fatal(err)
	}
	m := append(microvm[:len(microvm):len(microvm)], "--vmm-arg=-drive", "--vmm-arg=if=none,id=cd,format=raw,readonly=on,file="+img,
		"--vmm-arg=-device", "--vmm-arg=virtio-scsi-device,id=scsi", "--vmm-arg=-device", "--vmm-arg=scsi-cd,bus=scsi.0,drive=cd")
	expect(t, run(t, m, options{}, busybox(t), "cat", "/dev/sr0"), string(want))
	r := run(t, m, options{}, busybox(t), "dd", "if=/dev/zero", "of=/dev/sr0", "count=1")
	if !strings.Contains(r.stderr, "Read-only file system") || r.code != 1 {
		t.Error(r)
	}
}
