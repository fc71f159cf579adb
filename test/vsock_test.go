package test

import (
	"path/filepath"
	"strings"
	"testing"
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
