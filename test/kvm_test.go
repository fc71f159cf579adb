package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"gosv/internal/vmm"
	"gosv/tools/kvmbox"
)

// Machines with KVM, in the box.
var (
	qemuKVM     = machine{"--vmm", "qemu", "--accel", "kvm", "--vmm-arg=-cpu", "--vmm-arg=host,-xsave"}
	firecracker = machine{"--vmm", "firecracker", "--firecracker-cpu-config", "/box/cpu.json"}
)

// A box is a Linux with a KVM that works (tools/kvmbox), to run gosv in.
type box struct {
	files  []string // of the host, and where they go in the box: HOST:BOX
	memory int      // in MiB
}

// newBox returns a box with gosv and a VMM's program in it, or skips the test.
func newBox(t *testing.T, program string) *box {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("SKIPPED: no %s on the PATH", program)
	}
	cpu := filepath.Join(t.TempDir(), "cpu.json")
	if err := os.WriteFile(cpu, []byte(kvmbox.FirecrackerCPU), 0o644); err != nil {
		t.Fatal(err)
	}
	b := &box{memory: 2048, files: []string{gosv + ":/box/gosv", cpu + ":/box/cpu.json", path + ":/usr/bin/" + program}}
	for _, pattern := range []string{"qemu/bios-microvm.bin", "qemu/qboot.rom", "qemu/pvh.bin", "qemu/linuxboot_dma.bin", "qemu/kvmvapic.bin", "seabios/bios-*.bin"} {
		firmware, err := filepath.Glob("/usr/share/" + pattern)
		if err != nil {
			t.Fatal(err)
		}
		b.files = append(b.files, firmware...)
	}
	return b
}

// add puts a file into the box and returns where it is there.
func (b *box) add(path string) string {
	at := "/box/" + filepath.Base(path)
	b.files = append(b.files, path+":"+at)
	return at
}

// run runs a shell script in the box, which takes so many seconds at most on a machine that has little else to do.
func (b *box) run(t *testing.T, seconds int, script string) string {
	t.Helper()
	seconds *= 4 // as others have
	file := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(file, []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
	argv := []string{filepath.Join(root, "tools", "kvmbox", "kvmbox"), "-t", strconv.Itoa(seconds), "-m", strconv.Itoa(b.memory)}
	for _, f := range append(b.files, file+":/box/script") {
		argv = append(argv, "-f", f)
	}
	const cannot = 125 // kvmbox's exit code when it lacks something
	r := commandWithin(t, time.Duration(seconds+30)*time.Second, nil, "", nil, append(argv, "--", "sh", "/box/script")...)
	switch {
	case r.code == cannot && strings.Contains(r.stderr, "apt-get install"):
		t.Skipf("SKIPPED: %s", strings.TrimSpace(r.stderr))
	case r.code != 0:
		t.Fatal(r)
	}
	return strings.ReplaceAll(r.stdout, "\r\n", "\n") // its console is a serial line
}

// A boxRun is gosv run in a box, and what a program leaves that goes well.
type boxRun struct {
	machine machine
	argv    []string // the program in the box, and its arguments
	want    result
}

// runAll does all runs, in one box: it takes longer to start than they.
func (b *box) runAll(t *testing.T, runs []boxRun) {
	t.Helper()
	var script strings.Builder
	for i, r := range runs {
		argv := append(append([]string{"/box/gosv", "run", "--timeout", "2m"}, r.machine...), r.argv...)
		fmt.Fprintf(&script, "%s </dev/null >/tmp/out 2>/tmp/err\necho run %d ended $?; sed 's/^/out: /' /tmp/out; sed 's/^/err: /' /tmp/err; echo run %d over\n", vmm.Quote(argv), i, i)
	}
	script.WriteString("exit 0\n")
	out := b.run(t, 120+30*len(runs), script.String())
	for i, r := range runs {
		name := strings.Join(append(r.machine, r.argv...), " ")
		t.Run(name, func(t *testing.T) {
			m := regexp.MustCompile(fmt.Sprintf(`(?s)run %d ended (\d+)\n(.*?)run %d over\n`, i, i)).FindStringSubmatch(out)
			if m == nil {
				t.Fatalf("it is not in the box's output:\n%s", abbreviate(out))
			}
			got := result{command: name}
			got.code, _ = strconv.Atoi(m[1])
			for _, line := range strings.SplitAfter(m[2], "\n") {
				if text, ok := strings.CutPrefix(line, "out: "); ok {
					got.stdout += text
				} else if text, ok := strings.CutPrefix(line, "err: "); ok {
					got.stderr += text
				}
			}
			compare(t, got, r.want)
		})
	}
}

// onKVM runs what says whether a VMM works, and more.
func onKVM(t *testing.T, b *box, machines []machine, runs ...boxRun) {
	t.Helper()
	hello, goHello, end := b.add(cProgram(t, musl, "hello")), b.add(goProgram(t, "examples/hello")), b.add(cProgram(t, musl, "end"))
	work := goProgram(t, "test/programs/work")
	workThere, workHere := b.add(work), runHost(t, options{}, work)
	now := b.add(goProgram(t, "test/programs/now"))
	for _, m := range machines {
		runs = append(runs,
			boxRun{m, []string{hello}, result{stdout: "hello, world\n"}},
			boxRun{m, []string{goHello}, result{stdout: "Hello from a microVM\n"}},
			boxRun{m, []string{end, "exit", "7"}, result{stdout: "about to exit 7\n", code: 7}},
			boxRun{m, []string{workThere}, workHere},
			boxRun{m, []string{now}, result{stdout: "backwards 0\n"}}) // the box's CPUs have TSCs that differ
	}
	b.runAll(t, runs)
}

// TestQEMUWithKVM also has a machine with CPUs whose APIC ids have no place in eight bits,
// which TCG has not.
func TestQEMUWithKVM(t *testing.T) {
	t.Parallel()
	b := newBox(t, "qemu-system-x86_64")
	loader := b.add(filepath.Join(root, "bin", "gosv-loader.elf"))
	with := func(more ...string) machine { return append(qemuKVM[:len(qemuKVM):len(qemuKVM)], more...) }
	x2APIC := with("--machine", "q35", "--vmm-arg=-smp", "--vmm-arg=1,sockets=288,cores=1,threads=1,maxcpus=288")
	for _, id := range []string{"287", "255", "254"} {
		x2APIC = append(x2APIC, "--vmm-arg=-device", "--vmm-arg=host-x86_64-cpu,core-id=0,thread-id=0,socket-id="+id)
	}
	onKVM(t, b, []machine{qemuKVM, with("-c", "4"), with("--kernel", loader, "--machine", "q35")},
		boxRun{x2APIC, []string{b.add(cProgram(t, glibc, "cpus"))}, result{stdout: "4 4 4\n"}},
		boxRun{x2APIC, []string{b.add(cProgram(t, glibc, "storm")), "1", "20"}, result{stdout: "done\n"}})
}

// TestFirecracker: by the PVH note and by the 64-bit entry, the only one that
// Firecrackers before 1.12 know.
func TestFirecracker(t *testing.T) {
	t.Parallel()
	b := newBox(t, "firecracker")
	linux64 := b.add(filepath.Join(root, "bin", "gosv-linux64.elf"))
	var machines []machine
	for _, cpus := range []string{"1", "4"} {
		m := append(firecracker[:len(firecracker):len(firecracker)], "-c", cpus)
		machines = append(machines, m, append(m[:len(m):len(m)], "--kernel", linux64))
	}
	onKVM(t, b, machines)
}

// TestSlowReader: a VMM that waits until its output is read does not run a CPU
// meanwhile, which is no hang of the kernel's.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	if !*stress {
		t.Skip("SKIPPED: it takes minutes: make stress runs it")
	}
	b := newBox(t, "firecracker")
	seq := []string{"/box/gosv", "run", "-c", "4", b.add(busybox(t)), "seq", "30000"}
	seq = append(append(seq[:2:2], firecracker...), seq[2:]...)
	out := b.run(t, 900, vmm.Quote(seq)+" </dev/null 2>&1 | (sleep 16; md5sum)")
	if want := runHost(t, options{}, "/bin/sh", "-c", "seq 30000 | md5sum").stdout; out != want {
		t.Errorf("%s, want %s", out, want)
	}
}

// TestPick: with KVM at work and Firecracker installed, gosv takes these.
func TestPick(t *testing.T) {
	t.Parallel()
	b := newBox(t, "firecracker")
	hello := b.add(cProgram(t, musl, "hello"))
	out := b.run(t, 60, strings.Join([]string{
		"/box/gosv run --verbose --firecracker-cpu-config /box/cpu.json " + hello + " 2>&1 </dev/null",
		// What it says itself is not the program's output.
		"/box/gosv run --vmm firecracker --firecracker-cpu-config " + hello + " " + hello + " 2>/err </dev/null; grep -o 'the VM ended .exit.*' /err; grep -c 'Failed to build' /err",
		// An old one is told by its version, when it does not know its arguments.
		"mkdir /old /left; cat >/old/firecracker <<'END'",
		"#!/bin/sh",
		`[ "$1" = --version ] && echo Firecracker v0.20.1 || { echo "error: Found argument '--no-api' which wasn't expected" >&2; exit 1; }`,
		"END",
		"chmod 755 /old/firecracker; TMPDIR=/left PATH=/old:$PATH /box/gosv run --vmm firecracker " + hello + " 2>&1 </dev/null; echo $?; ls /left",
	}, "\n"))
	if !strings.Contains(out, "running on Firecracker (kvm)\n") || !strings.Contains(out, "hello, world\nthe VM ended (exit status 1) without reporting an exit code, on Firecracker (kvm), which said:\n1\n") {
		t.Errorf("gosv says:\n%s", out)
	}
	if want := "\ngosv: Firecracker v0.20.1 is too old: version 1.0 or newer is needed; get a release from its GitHub page, and put the binary there\n125\n"; !strings.HasSuffix(out, want) {
		t.Errorf("gosv says:\n%s\nwant %s", out, want)
	}
}
