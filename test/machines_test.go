package test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestMachines: QEMU's machines by TCG, with firmware tables and without, with
// memory below and above the hole at 4 GiB.
func TestMachines(t *testing.T) {
	t.Parallel()
	var machines []machine
	for _, kind := range []string{"microvm", "microvm,acpi=off", "pc", "pc,acpi=off", "q35"} {
		for _, memory := range []string{"16", "128", "3G", "6G"} {
			for _, cpus := range []string{"1", "4"} {
				machines = append(machines, machine{"--machine", kind, "-m", memory, "-c", cpus})
			}
		}
	}
	// The other entry, of the Linux 64-bit boot protocol, by way of a boot loader.
	loader := machine{"--kernel", filepath.Join(root, "bin", "gosv-loader.elf")}
	for _, m := range []machine{
		{"--machine", "microvm"},
		{"--machine", "microvm,acpi=off", "-c", "4"},
		{"--machine", "pc", "-m", "6G", "-c", "4"},
		{"--machine", "q35", "-m", "16"},
	} {
		machines = append(machines, append(m, loader...))
	}
	for _, m := range machines {
		t.Run(strings.Join(m, " "), func(t *testing.T) {
			t.Parallel()
			onMachine(t, append(machine{"--vmm", "qemu", "--accel", "tcg"}, m...), memoryOf(m))
		})
	}
}

// TestDirtyMemory: no memory is taken for zero.
func TestDirtyMemory(t *testing.T) {
	t.Parallel()
	garbage := filepath.Join(t.TempDir(), "garbage")
	if err := os.WriteFile(garbage, bytes.Repeat([]byte("\xa5\x5a\xff\x01"), 25<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	// From behind the kernel to where QEMU puts the image.
	dirty := "--vmm-arg=loader,addr=0x1000000,force-raw=on,file=" + garbage
	for _, kernel := range []string{"", "gosv-loader.elf"} {
		m := append(microvm[:len(microvm):len(microvm)], "-m", "128", "--vmm-arg=-device", dirty)
		if kernel != "" {
			m = append(m, "--kernel", filepath.Join(root, "bin", kernel))
		}
		onMachine(t, m, 128)
	}
}

// onMachine runs what says whether a machine with so many MiB works.
func onMachine(t *testing.T, m machine, mib int) {
	t.Helper()
	expect(t, run(t, m, options{}, cProgram(t, glibc, "hello")), "hello, world\n")
	touch := min(mib/4, 200)
	r := run(t, m, options{}, cProgram(t, musl, "memory"), strconv.Itoa(touch))
	var total int
	if _, err := fmt.Sscanf(r.stdout, "total %d\nsound\n", &total); err != nil || r.stderr != "" || r.code != 7 {
		t.Errorf("%v\nwant its total memory, \"sound\", and exit code 7", r)
	}
	if total > mib || total < mib*9/10-3 { // the kernel, the image and what firmware keeps are missing
		t.Errorf("the program sees %d of %d MiB", total, mib)
	}
	if mib < 64 { // too little for work
		expect(t, run(t, m, options{}, goProgram(t, "examples/hello")), "Hello from a microVM\n")
		return
	}
	work := goProgram(t, "test/programs/work")
	compare(t, run(t, m, options{}, work), runHost(t, options{}, work))
}

// memoryOf returns the MiB that a machine's flags ask for.
func memoryOf(m machine) int {
	for i, f := range m {
		if f == "-m" {
			if gib, ok := strings.CutSuffix(m[i+1], "G"); ok {
				n, _ := strconv.Atoi(gib)
				return n << 10
			}
			n, _ := strconv.Atoi(m[i+1])
			return n
		}
	}
	return 128
}

// TestManyCPUs: as many as there may be, and local APIC ids with holes.
func TestManyCPUs(t *testing.T) {
	t.Parallel()
	prog := cProgram(t, glibc, "cpus")
	for want, m := range map[string]machine{
		"32 32 32\n": {"-c", "32"},
		"12 12 12\n": {"--machine", "q35", "-c", "12", "--vmm-arg", "-smp", "--vmm-arg", "12,sockets=2,cores=3,threads=2"},
		"9 7 7\n": { // with a firmware whose MP table knows nothing of holes
			"--machine", "microvm,acpi=off", "-c", "9", "--vmm-arg", "-smp", "--vmm-arg", "9,sockets=3,cores=3,threads=1",
		},
	} {
		t.Run(strings.Join(m, " "), func(t *testing.T) {
			t.Parallel()
			expect(t, run(t, append(machine{"--vmm", "qemu", "--accel", "tcg"}, m...), options{}, prog), want)
		})
	}
}
