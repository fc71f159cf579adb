package test

import (
	"bytes"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"gosv/internal/vmm"
)

// transport is a way to reach virtio devices on QEMU.
type transport struct {
	name    string
	machine machine
	bus     string   // "device", or "pci"
	options []string // of each device
	where   string   // what the kernel says of where a device is and how it interrupts
	feature uint64   // that is accepted: FeatureVersion1, or 0 where legacy
}

const version1 = 1 << 32

// Where devices are.
const (
	gsi       = `at 0x[0-9a-f]+, GSI \d+`
	pciDevice = `PCI 0[0-9]:[0-9a-f]{2}\.[0-7] \(1af4:10`
)

// transports are all of them. Tests of each kind of device go through them.
var transports = []transport{
	{"mmio", qemuMachine("microvm"), "device", nil, "virtio-mmio " + gsi + " level", version1},
	{"mmio without ACPI", qemuMachine("microvm,acpi=off"), "device", nil, "virtio-mmio " + gsi + " level", version1},
	{"legacy mmio", legacyMMIO("microvm"), "device", nil, "legacy virtio-mmio " + gsi + " level", 0},
	{"legacy mmio without ACPI", legacyMMIO("microvm,acpi=off"), "device", nil, "legacy virtio-mmio " + gsi + " level", 0},
	{"microvm's pci", qemuMachine("microvm,pcie=on"), "pci", nil, pciDevice + `[04].\), MSI-X`, version1},
	{"q35, transitional", qemuMachine("q35"), "pci", nil, pciDevice + `0.\), MSI-X`, version1},
	{"q35, modern", qemuMachine("q35"), "pci", []string{"disable-legacy=on"}, pciDevice + `[456].\), MSI-X`, version1},
	{"q35, legacy", qemuMachine("q35"), "pci", []string{"disable-modern=on", "disable-legacy=off"}, "legacy " + pciDevice + `0.\), MSI-X`, 0},
	{"q35, INTx", qemuMachine("q35"), "pci", []string{"vectors=0"}, pciDevice + `0.\), INTx`, version1},
	{"q35, one vector", qemuMachine("q35"), "pci", []string{"vectors=1"}, pciDevice + `0.\), MSI-X`, version1},
	{"pc, transitional", qemuMachine("pc"), "pci", nil, pciDevice + `0.\), MSI-X`, version1},
	{"pc, modern, without ACPI", qemuMachine("pc,acpi=off"), "pci", []string{"disable-legacy=on"}, pciDevice + `[456].\), MSI-X`, version1},
	{"pc, legacy", qemuMachine("pc"), "pci", []string{"disable-modern=on"}, "legacy " + pciDevice + `0.\), MSI-X`, 0},
	{"pc, legacy, INTx", qemuMachine("pc"), "pci", []string{"disable-modern=on", "vectors=0"}, "legacy " + pciDevice + `0.\), INTx`, 0},
}

// qemuMachine is QEMU with that machine, whose virtio-mmio is that of virtio 1.0.
func qemuMachine(kind string) machine {
	return machine{"--vmm", "qemu", "--accel", "tcg", "--machine", kind, "--vmm-arg=-global", "--vmm-arg=virtio-mmio.force-legacy=off"}
}

// legacyMMIO is QEMU's own choice.
func legacyMMIO(kind string) machine {
	return machine{"--vmm", "qemu", "--accel", "tcg", "--machine", kind, "--vmm-arg=-global", "--vmm-arg=virtio-mmio.force-legacy=on"}
}

// with is the machine with a device: "rng" is virtio-rng-pci, or virtio-rng-device.
func (tr *transport) with(kind string, options ...string) machine {
	device := append([]string{"virtio-" + kind + "-" + tr.bus}, tr.options...)
	return append(tr.machine[:len(tr.machine):len(tr.machine)], "--vmm-arg=-device", "--vmm-arg="+strings.Join(append(device, options...), ","))
}

// started is what the kernel's log says of a device of that kind.
func (tr *transport) started(kind string) *regexp.Regexp {
	return regexp.MustCompile("gosv kernel: " + kind + ": (" + tr.where + "): started, features 0x([0-9a-f]+)\n")
}

// eachTransport runs f for each transport, with one CPU or four.
func eachTransport(t *testing.T, f func(t *testing.T, tr *transport, cpus string)) {
	for i := range transports {
		tr, cpus := &transports[i], []string{"1", "4"}[i%2]
		t.Run(tr.name, func(t *testing.T) {
			t.Parallel()
			f(t, tr, cpus)
		})
	}
}

// TestRNG: what the host has for the entropy device is what the program reads, in
// order, but for the kernel's own seed.
func TestRNG(t *testing.T) {
	t.Parallel()
	const n, seed = 3000, 32
	noise := make([]byte, 64<<10)
	rand.New(rand.NewSource(1)).Read(noise)
	file := filepath.Join(t.TempDir(), "noise")
	if err := os.WriteFile(file, noise, 0o644); err != nil {
		t.Fatal(err)
	}
	prog := cProgram(t, musl, "hwrng")
	eachTransport(t, func(t *testing.T, tr *transport, cpus string) {
		m := append(tr.with("rng", "rng=noise"), "--vmm-arg=-object", "--vmm-arg=rng-random,id=noise,filename="+file, "-c", cpus, "--verbose")
		r := run(t, m, options{}, prog, strconv.Itoa(n))
		got := []byte(r.stdout)
		same := 0
		for same < len(got) && got[same] == noise[same] {
			same++
		}
		if r.code != 0 || len(got) != n || !bytes.Equal(got[same:], noise[same+seed:][:n-same]) {
			t.Errorf("exit code %d, %d bytes, which are not the host's; %s", r.code, len(got), r.stderr)
		}
		said := tr.started("rng").FindStringSubmatch(r.stderr)
		if said == nil {
			t.Fatalf("the kernel does not say that it has started what is at %q:\n%s", tr.where, r.stderr)
		}
		if f, err := strconv.ParseUint(said[2], 16, 64); err != nil || f&version1 != tr.feature {
			t.Errorf("features %#x", f)
		}
		if strings.Contains(r.stderr, "random numbers") || strings.Contains(r.stderr, "/dev/hwrng") {
			t.Error(r.stderr)
		}
	})
}

// TestNoRDRAND: the first random numbers of a machine whose CPU has no generator
// are the device's, if there is one.
func TestNoRDRAND(t *testing.T) {
	t.Parallel()
	prog := cProgram(t, musl, "hwrng")
	for _, more := range []machine{{"--rng"}, {"--rng", "-m", "16"}} {
		m := append(append(machine{"--vmm", "qemu", "--accel", "tcg", "--vmm-arg=-cpu", "--vmm-arg=max,-rdrand,-rdseed"}, more...), "--verbose")
		r := run(t, m, options{}, prog, "100")
		if r.code != 0 || len(r.stdout) != 100 || strings.Contains(r.stderr, "random numbers") {
			t.Error(r)
		}
	}
	// Without one there is no /dev/hwrng, and random numbers all the same.
	m := machine{"--vmm", "qemu", "--accel", "tcg", "--vmm-arg=-cpu", "--vmm-arg=max,-rdrand,-rdseed"}
	r := run(t, m, options{}, prog, "100")
	want := result{stderr: fmt.Sprintf("/dev/hwrng: %s\n", "No such file or directory"), code: 1}
	compare(t, r, want)
}

// startedIn runs hwrng in a box, on each machine, and checks that the kernel says
// what it shall, that the program ends well, and that it reads no zeros.
func startedIn(t *testing.T, b *box, want map[string][]string, machines map[string]machine) {
	t.Helper()
	prog := b.add(cProgram(t, musl, "hwrng"))
	var script strings.Builder
	for name, m := range machines {
		fmt.Fprintf(&script, "/box/gosv run --verbose --timeout 60s %s %s 3000 </dev/null 2>/tmp/err >/tmp/out; echo '%s' ends with $?\n", vmm.Quote(m), prog, name)
		fmt.Fprintf(&script, "sed 's/^/%s: /' /tmp/err; echo '%s:' $(tr -d '\\0' </tmp/out | wc -c) bytes are not zero\n", name, name)
	}
	out := b.run(t, 60+20*len(machines), script.String())
	for name := range machines {
		for _, said := range want[name] {
			if !regexp.MustCompile(name + ": gosv kernel: " + said + "\n").MatchString(out) {
				t.Errorf("%s: the kernel does not say %s", name, said)
			}
		}
		if !strings.Contains(out, "\n"+name+" ends with 0\n") && !strings.HasPrefix(out, name+" ends with 0\n") {
			t.Errorf("%s does not end with 0", name)
		}
		m := regexp.MustCompile(name + `: (\d+) bytes are not zero`).FindStringSubmatch(out)
		if m == nil {
			t.Errorf("%s ends too soon", name)
		} else if n, _ := strconv.Atoi(m[1]); n < 2900 {
			t.Errorf("%s: of 3000 bytes %d are not zero", name, n)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
}

// TestFirecrackerDevices: entropy device and balloon on Firecracker, by MMIO and by
// PCI.
func TestFirecrackerDevices(t *testing.T) {
	t.Parallel()
	m := append(firecracker[:len(firecracker):len(firecracker)], "--rng", "--balloon", "-c", "2")
	startedIn(t, newBox(t, "firecracker"), map[string][]string{
		"mmio": {
			`rng: virtio-mmio at 0x[0-9a-f]+, GSI \d+: started, features 0x100000000`,
			`balloon: virtio-mmio at 0x[0-9a-f]+, GSI \d+: started, features 0x1000000..`,
		},
		"pci": {
			`rng: PCI 00:0.\.0 \(1af4:1044\), MSI-X: started, features 0x100000000`,
			`balloon: PCI 00:0.\.0 \(1af4:1045\), MSI-X: started, features 0x1000000..`,
		},
	}, map[string]machine{"mmio": m, "pci": append(m[:len(m):len(m)], "--vmm-arg=--enable-pci")})
}

// TestKVMDevices: lines of both I/O APICs, in KVM and in QEMU.
func TestKVMDevices(t *testing.T) {
	t.Parallel()
	m := append(qemuKVM[:len(qemuKVM):len(qemuKVM)], "--rng", "--balloon")
	with := func(more ...string) machine { return append(m[:len(m):len(m)], more...) }
	mmio := []string{`rng: virtio-mmio at 0x[0-9a-f]+, GSI \d+ level: started, features 0x130000000`}
	startedIn(t, newBox(t, "qemu-system-x86_64"), map[string][]string{"acpi": mmio, "noacpi": mmio, "q35": nil}, map[string]machine{
		"acpi":   with("-c", "2"),
		"noacpi": with("--machine", "microvm,acpi=off"),
		"q35":    with("--machine", "q35", "--vmm-arg=-global", "--vmm-arg=virtio-rng-pci.vectors=0"),
	})
}
