package test

import (
	"path/filepath"
	"strings"
	"testing"

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
