package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gosv/internal/vmm"
)

// TestVsockLoopback: sockets of AF_VSOCK within a machine, compared with Linux 6.1,
// in the box: the host's kernel seldom has them.
func TestVsockLoopback(t *testing.T) {
	t.Parallel()
	prog := cProgram(t, glibc, "vsocks")
	b := newBox(t, "busybox") // it needs no VMM
	script := ""
	for _, m := range []string{"vsock", "vmw_vsock_virtio_transport_common", "vsock_loopback"} {
		all, err := filepath.Glob("/lib/modules/*-cloud-amd64/kernel/net/vmw_vsock/" + m + ".ko")
		if err != nil || len(all) == 0 {
			t.Skip("SKIPPED: no " + m + ".ko of linux-image-cloud-amd64")
		}
		script += "insmod " + b.add(all[len(all)-1]) + "\n"
	}
	want := b.run(t, 120, script+b.add(prog)+" && echo ended well\n")
	if !strings.Contains(want, "ended well\n") {
		t.Fatal(want)
	}
	vm := run(t, microvm, options{}, prog)
	vm.stdout += "ended well\n"
	compare(t, vm, result{stdout: want})
}

// TestVsockFirecracker: a host's program talks with one in a guest, who connects and
// who waits for it.
func TestVsockFirecracker(t *testing.T) {
	t.Parallel()
	b := newBox(t, "firecracker")
	peer, host := b.add(cProgram(t, glibc, "vsockpeer")), b.add(goProgram(t, "test/programs/vsockhost"))
	script := host + " serve /tmp/vsock_1024 &\n"
	run := vmm.Quote(append([]string{"/box/gosv", "run", "--timeout", "60s", "--vsock", "3,/tmp/vsock"}, firecracker...))
	kinds := []string{"-c 1", "-c 4 --vmm-arg=--enable-pci"}
	for _, kind := range kinds {
		run := run + " " + kind + " " + peer
		script += "echo " + kind + "; rm -f /tmp/vsock; " + run + " connect 2 1024 3 100 2>/tmp/err </dev/null; echo $?; grep -v /s /tmp/err\n" +
			"rm -f /tmp/vsock; " + run + " listen 5000 </dev/null >/tmp/out 2>&1 &\n" +
			host + " echo /tmp/vsock 5000 1000000; wait $!; echo $?; cat /tmp/out\n"
	}
	want := ""
	for _, kind := range kinds {
		want += kind + "\nwell\n0\nall came back\n0\nlistening\nover\n"
	}
	if got := b.run(t, 120, script+"exit 0\n"); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

// TestVsockMoves: the connections of a Firecracker snapshot are lost, and new ones made.
func TestVsockMoves(t *testing.T) {
	t.Parallel()
	b := newBox(t, "firecracker")
	image := filepath.Join(t.TempDir(), "image")
	if r := command(t, nil, "", nil, gosv, "build", "-o", image, cProgram(t, glibc, "vsockpeer"), "move", "2", "1024", "5000"); r.code != 0 {
		t.Fatal(r)
	}
	b.add(image)
	b.add(filepath.Join(root, "internal/image/kernels/gosv.elf"))
	tools := "ask=" + b.add(cProgram(t, musl, "ask")) + "; host=" + b.add(goProgram(t, "test/programs/vsockhost"))
	got := b.run(t, 120, tools+`
cd /tmp
echo '{"boot-source":{"kernel_image_path":"/box/gosv.elf","initrd_path":"/box/image","boot_args":"reboot=k"},"drives":[],"vsock":{"guest_cid":3,"uds_path":"vsock"},
	"machine-config":{"vcpu_count":1,"mem_size_mib":32},"cpu-config":"/box/cpu.json"}' >vm.json
wait_for() { # wait_for FILE PATTERN
	i=0
	while ! grep -qs "$2" $1 && [ $i -lt 300 ]; do i=$((i+1)); sleep 0.1; done
}
$host serve vsock_1024 &
sleep 1
firecracker --level Off --api-sock first --config-file vm.json >first.out 2>&1 &
wait_for first.out connected
$ask first PATCH /vm '{"state":"Paused"}' >/dev/null || exit 1
$ask first PUT /snapshot/create '{"snapshot_path":"state","mem_file_path":"memory"}' >/dev/null || exit 1
kill $!
rm vsock
firecracker --level Off --api-sock second >second.out 2>&1 &
i=0; while [ ! -S second ] && [ $i -lt 300 ]; do i=$((i+1)); sleep 0.1; done
$ask second PUT /snapshot/load '{"snapshot_path":"state","mem_backend":{"backend_type":"File","backend_path":"memory"},"resume_vm":true}' >/dev/null || exit 1
wait_for second.out listening
$host echo vsock 5000 100000
wait_for second.out over
cat first.out second.out
exit 0
`)
	if want := "all came back\nconnected\nread: Connection reset by peer\nlistening\nover\n"; got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

// TestVsockQEMU: the same on every transport. The device is a process of its own,
// vhost-device-vsock of rust-vmm.
func TestVsockQEMU(t *testing.T) {
	t.Parallel()
	device, err := exec.LookPath("vhost-device-vsock")
	if err != nil {
		t.Skip("SKIPPED: no vhost-device-vsock on the PATH (cargo install vhost-device-vsock)")
	}
	peer, host := cProgram(t, glibc, "vsockpeer"), goProgram(t, "test/programs/vsockhost")
	eachTransport(t, func(t *testing.T, tr *transport, cpus string) {
		if tr.feature != version1 {
			t.Skip("the device has no legacy interface")
		}
		dir, err := os.MkdirTemp("", "vsock") // without commas, and short
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		control, ports := filepath.Join(dir, "control"), filepath.Join(dir, "ports")
		daemon(t, device, "--guest-cid", "3", "--socket", control, "--uds-path", ports)
		daemon(t, host, "serve", ports+"_1024")
		for _, path := range []string{control, ports + "_1024"} {
			for deadline := time.Now().Add(bound); ; time.Sleep(10 * time.Millisecond) {
				if _, err := os.Stat(path); err == nil {
					break
				} else if time.Now().After(deadline) {
					t.Fatal(err)
				}
			}
		}
		m := append(tr.machine[:len(tr.machine):len(tr.machine)], "-c", cpus,
			"--vmm-arg=-object", "--vmm-arg=memory-backend-memfd,id=memory,size=128M,share=on", "--vmm-arg=-machine", "--vmm-arg=memory-backend=memory",
			"--vmm-arg=-chardev", "--vmm-arg=socket,id=vsock,path="+control,
			"--vmm-arg=-device", "--vmm-arg="+strings.Join(append([]string{"vhost-user-vsock-" + tr.bus, "chardev=vsock"}, tr.options...), ","))
		if r := run(t, m, options{}, peer, "connect", "2", "1024", "3", "100"); r.stdout != "well\n" || r.code != 0 {
			t.Error(r)
		}
	})
}

// daemon runs a command until the test ends.
func daemon(t *testing.T, argv ...string) {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
}
