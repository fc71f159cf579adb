package main

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gosv/internal/vmm"
)

// disk makes a raw image of one sector.
func disk(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(name, make([]byte, 512), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestDevicesOnQEMU(t *testing.T) {
	dir := fakeQEMU(t, "")
	tests := []struct {
		machine string
		flags   []string
		want    []string
	}{
		{"microvm", []string{"--rng"}, []string{"-global virtio-mmio.force-legacy=false", "-device virtio-rng-device"}},
		{"q35", []string{"--rng"}, []string{"-device virtio-rng-pci"}},
		{"microvm,acpi=off", []string{"--net", "user"}, []string{"-netdev user,id=net0", "-device virtio-net-device,netdev=net0"}},
		{"pc", []string{"--net", "tap=tap7,mac=02:00:00:00:00:01"},
			[]string{"-netdev tap,id=net0,ifname=tap7,script=no,downscript=no", "-device virtio-net-pci,netdev=net0,mac=02:00:00:00:00:01"}},
		{"microvm", []string{"-p", "8080:80", "-p", "0.0.0.0:53:53/udp"},
			[]string{"-netdev user,id=net0,hostfwd=tcp:127.0.0.1:8080-:80,hostfwd=udp:0.0.0.0:53-:53 -device virtio-net-device,netdev=net0"}},
		{"microvm", []string{"-p", "8080:80"}, []string{" gosv.ip=10.0.2.15/24,10.0.2.2,dns=10.0.2.3"}},
		{"microvm", []string{"--net", "tap=t,gw=10.1.0.1,ip=10.1.0.2/24,dns=9.9.9.9"}, []string{" gosv.ip=10.1.0.2/24,10.1.0.1,dns=9.9.9.9"}},
		{"microvm", []string{"--vsock", "3"}, []string{"-device vhost-vsock-device,guest-cid=3"}},
		{"q35", []string{"--vsock", "3,/run/v"}, []string{"-chardev socket,id=vsock,path=/run/v", "-device vhost-user-vsock-pci,chardev=vsock", "share=on"}},
		{"microvm", []string{"--balloon"}, []string{"-device virtio-balloon-device,deflate-on-oom=on,free-page-reporting=on"}},
	}
	for _, tt := range tests {
		args := append([]string{"run", "--dry-run", "--vmm", "qemu", "--accel", "tcg", "--machine", tt.machine}, tt.flags...)
		o := gosv(t, dir, "", append(args, program(t))...)
		for _, w := range tt.want {
			if o.code != 0 || !strings.Contains(o.stdout, w) {
				t.Errorf("%v: no %q in %q, %q", tt.flags, w, o.stdout, o.stderr)
			}
		}
	}
}

func TestDisksOnQEMU(t *testing.T) {
	dir, d := fakeQEMU(t, ""), disk(t)
	o := gosv(t, dir, "", "run", "--dry-run", "--accel", "tcg", "--vmm", "qemu", "--disk", d+",ro", "--disk", d+",scsi", program(t))
	for _, w := range []string{
		"-drive if=none,format=raw,discard=unmap,id=disk0,file=" + d + ",readonly=on -device virtio-blk-device,drive=disk0",
		"-drive if=none,format=raw,discard=unmap,id=disk1,file=" + d + " -device virtio-scsi-device,id=scsi -device scsi-hd,bus=scsi.0,drive=disk1",
	} {
		if !strings.Contains(o.stdout, w) {
			t.Errorf("no %q in %q, %q", w, o.stdout, o.stderr)
		}
	}
}

func TestDevicesOnFirecracker(t *testing.T) {
	dir, d := t.TempDir(), disk(t)
	if err := os.WriteFile(filepath.Join(dir, "firecracker"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	run := []string{"run", "--dry-run", "--vmm", "firecracker"}
	o := gosv(t, dir, "", append(run, "--disk", d+",ro", "--net", "tap=tap7", "-p", "8080:80", "--vsock", "3,/run/v", "--rng", "--balloon", program(t))...)
	_, file, _ := strings.Cut(o.stdout, "--config-file ")
	file, _, _ = strings.Cut(file, " ")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err, o)
	}
	var c map[string]any
	if err := json.Unmarshal(b, &c); err != nil {
		t.Fatal(err)
	}
	got, _ := json.Marshal([]any{c["drives"], c["network-interfaces"], c["vsock"], c["entropy"], c["balloon"]})
	want := `[[{"cache_type":"Writeback","drive_id":"disk0","is_read_only":true,"is_root_device":false,"path_on_host":"` + d + `"}],` +
		`[{"host_dev_name":"tap7","iface_id":"eth0"},{"host_dev_name":"tap0","iface_id":"eth1"}],{"guest_cid":3,"uds_path":"/run/v"},{},` +
		`{"amount_mib":0,"deflate_on_oom":true,"free_page_reporting":true}]`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for _, flags := range [][]string{{"--disk", d + ",scsi"}, {"--vsock", "3"}} {
		if o := gosv(t, dir, "", append(append(run, flags...), program(t))...); o.code != vmm.ExitGosv || !strings.Contains(o.stderr, flags[0]) {
			t.Errorf("%v: %+v", flags, o)
		}
	}
}

func TestBadDevices(t *testing.T) {
	dir, d := fakeQEMU(t, ""), disk(t)
	qcow := filepath.Join(t.TempDir(), "q.img")
	if err := os.WriteFile(qcow, append([]byte("QFI\xfb"), make([]byte, 508)...), 0o644); err != nil {
		t.Fatal(err)
	}
	odd := filepath.Join(t.TempDir(), "odd.img")
	if err := os.WriteFile(odd, make([]byte, 511), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ flag, value, want string }{
		{"--disk", "/nowhere.img", "no such file"},
		{"--disk", d + ",rw", `no option "rw"`},
		{"--disk", dir, "directory"},
		{"--disk", "/dev/null", "neither a file nor a block device"},
		{"--disk", qcow, "qemu-img convert"},
		{"--disk", odd, "multiple of 512"},
		{"--net", "bridge", "there are lo, user and tap=NAME"},
		{"--net", "tap=", "there are lo, user and tap=NAME"},
		{"--net", "user,ip=1.2.3.4/8", "there are lo, user and tap=NAME"},
		{"--net", "user,mtu=9000", "there are lo, user and tap=NAME"},
		{"-p", "80", "there is but one port"},
		{"-p", "8080:80/sctp", "there are tcp and udp"},
		{"--vsock", "2", "from 3 on"},
		{"--vsock", "host", "from 3 on"},
	} {
		o := gosv(t, dir, "", "run", "--vmm", "qemu", "--accel", "tcg", tt.flag, tt.value, program(t))
		if o.code != vmm.ExitGosv || !strings.Contains(o.stderr, tt.want) {
			t.Errorf("%s %s: %+v", tt.flag, tt.value, o)
		}
	}
}

// fileSystem makes what looks like a disk with an ext4 file system.
func fileSystem(t *testing.T, size int) string {
	t.Helper()
	b := make([]byte, size)
	copy(b[1024+56:], "\x53\xef")
	name := filepath.Join(t.TempDir(), "data.ext4")
	if err := os.WriteFile(name, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestMountedDisks: a file system of -v is a disk behind the others, and not in the image.
func TestMountedDisks(t *testing.T) {
	dir, d, data := fakeQEMU(t, ""), disk(t), fileSystem(t, 1<<20)
	app := filepath.Join(t.TempDir(), "app.img")
	if o := gosv(t, dir, "", "build", "-o", app, program(t)); o.code != 0 {
		t.Fatal(o)
	}
	for _, prog := range []string{program(t), app} {
		for _, flags := range [][]string{{"-v", data + ":/data"}, {"-v", data + ":/a/b:ro"}, {"-v", data + ":/data:overlay", "--root", "disk"}} {
			args := append([]string{"run", "--dry-run", "--accel", "tcg", "--vmm", "qemu", "--disk", d}, flags...)
			o := gosv(t, dir, "", append(args, prog)...)
			for _, w := range []string{"id=disk0,file=" + d + " ", "id=disk1,file=" + data + ",readonly=on -device virtio-blk-device,drive=disk1"} {
				if o.code != 0 || !strings.Contains(o.stdout, w) {
					t.Errorf("%v: no %q in %+v", flags, w, o)
				}
			}
			if len(flags) > 2 && !strings.Contains(o.stdout, "id=disk2,file=") {
				t.Errorf("%v: no disk for the image in %+v", flags, o)
			}
		}
	}
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"build", "-o", app, "-v", data + ":/data", program(t)}, "give it to gosv run"},
		{[]string{"run", "-v", d + ":/data:ro", program(t)}, ":ro is for the image of a file system"},
		{[]string{"run", "-v", dir + ":/data:overlay", program(t)}, ":overlay is for the image of a file system"},
		{[]string{"run", "-v", data + ":/", program(t)}, "the root directory is the image's"},
		{[]string{"run", "-v", data + ":data", program(t)}, "absolute path"},
		{[]string{"run", "-v", fileSystem(t, 1<<20+1) + ":/data", program(t)}, "multiple of 512"},
		{[]string{"run", "--root", "net", program(t)}, "there are initrd and disk"},
	} {
		if o := gosv(t, dir, "", tt.args...); o.code != vmm.ExitGosv || !strings.Contains(o.stderr, tt.want) {
			t.Errorf("%v: %+v, want %q", tt.args, o, tt.want)
		}
	}
}

// Two VMs may read a disk, but not if one of them writes.
func TestDiskInUse(t *testing.T) {
	dir, d := fakeQEMU(t, "say x"), disk(t)
	for _, tt := range []struct {
		first, second string
		code          int
	}{{"", "", vmm.ExitGosv}, {",ro", "", vmm.ExitGosv}, {"", ",ro", vmm.ExitGosv}, {",ro", ",ro", 0}} {
		held, err := vmm.ParseDisk(d + tt.first)
		if err != nil {
			t.Fatal(err)
		}
		lock, err := held.Lock()
		if err != nil {
			t.Fatal(err)
		}
		o := gosv(t, dir, "", "run", "--vmm", "qemu", "--accel", "tcg", "--disk", d+tt.second, program(t))
		if o.code != tt.code || tt.code != 0 && !strings.Contains(o.stderr, "another VM uses it") {
			t.Errorf("%q, then %q: %+v", tt.first, tt.second, o)
		}
		lock.Close()
	}
}

func TestBadTAP(t *testing.T) {
	for name, want := range map[string]string{"nosuchtap0": "no such interface", "lo": "no TAP device"} {
		o := gosv(t, fakeQEMU(t, "say x"), "", "run", "--vmm", "qemu", "--accel", "tcg", "--net", "tap="+name, program(t))
		if o.code != vmm.ExitGosv || !strings.Contains(o.stderr, "--net tap="+name+": ") || !strings.Contains(o.stderr, want) {
			t.Errorf("%+v", o)
		}
	}
}

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	o := gosv(t, fakeQEMU(t, "say x"), "", "run", "--vmm", "qemu", "--accel", "tcg", "-p", l.Addr().String()+":80", program(t))
	if o.code != vmm.ExitGosv || !strings.Contains(o.stderr, "cannot be had: bind: address already in use") {
		t.Errorf("%+v", o)
	}
}
