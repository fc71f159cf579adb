package test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// hvcMachines are those that differ in how a virtio console is reached.
var hvcMachines = map[string]machine{
	"microvm":         microvm,
	"microvm, legacy": append(microvm[:len(microvm):len(microvm)], "--vmm-arg=-global", "--vmm-arg=virtio-mmio.force-legacy=true"),
	"no ACPI":         append(microvm[:len(microvm):len(microvm)], "--machine", "microvm,acpi=off"),
	"q35, 4 CPUs":     append(microvm[:len(microvm):len(microvm)], "--machine", "q35", "-c", "4"),
	"pc, legacy PCI":  append(microvm[:len(microvm):len(microvm)], "--machine", "pc", "--vmm-arg=-global", "--vmm-arg=virtio-serial-pci.disable-modern=on"),
}

// TestVirtioConsole: the same comes out as by the serial port, and in order.
func TestVirtioConsole(t *testing.T) {
	t.Parallel()
	in := make([]byte, 1<<20)
	for i := range in {
		in[i] = byte(i * i >> 3)
	}
	for name, m := range hvcMachines {
		m := append(m[:len(m):len(m)], "--console", "hvc0")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := run(t, m, options{stdin: in}, busybox(t), "cat")
			if !bytes.Equal([]byte(r.stdout), in) || r.code != 0 || r.stderr != "" {
				t.Errorf("%d bytes in, %d out, equal: %v, exit code %d, stderr %s", len(in), len(r.stdout), r.stdout == string(in), r.code, r.stderr)
			}
		})
	}
	m := append(microvm[:len(microvm):len(microvm)], "--console", "hvc0")
	t.Run("input", func(t *testing.T) {
		t.Parallel()
		expect(t, run(t, m, options{stdin: in}, busybox(t), "sha256sum"), fmt.Sprintf("%x  -\n", sha256.Sum256(in)))
	})
	t.Run("streams", func(t *testing.T) {
		t.Parallel()
		prog := cProgram(t, glibc, "streams")
		compare(t, run(t, m, options{}, prog), runHost(t, options{}, prog))
	})
	t.Run("exit code", func(t *testing.T) {
		t.Parallel()
		prog := cProgram(t, musl, "end")
		compare(t, run(t, m, options{}, prog, "exit", "7"), runHost(t, options{}, prog, "exit", "7"))
	})
	t.Run("input ignored", func(t *testing.T) {
		t.Parallel()
		prog := cProgram(t, glibc, "hello")
		compare(t, run(t, m, options{stdin: in}, prog), runHost(t, options{}, prog))
	})
}

// TestHVC0: a virtio console that is not the console is a file.
func TestHVC0(t *testing.T) {
	t.Parallel()
	out := filepath.Join(t.TempDir(), "out")
	m := append(microvm[:len(microvm):len(microvm)], "--vmm-arg=-device", "--vmm-arg=virtio-serial-device",
		"--vmm-arg=-chardev", "--vmm-arg=file,id=hvc,path="+out, "--vmm-arg=-device", "--vmm-arg=virtconsole,chardev=hvc")
	expect(t, run(t, m, options{}, busybox(t), "dd", "if=/bin/busybox", "of=/dev/hvc0", "bs=100k", "count=3", "status=none"), "")
	want, err := os.ReadFile(busybox(t))
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(out)
	if err != nil || !bytes.Equal(got, want[:300<<10]) {
		t.Errorf("%d bytes come out, or others: %v", len(got), err)
	}
}
