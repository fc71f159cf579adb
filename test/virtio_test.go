package test

import (
	"fmt"
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
	{"microvm's pci", qemuMachine("microvm,pcie=on"), "pci", nil, pciDevice + `[045].\), MSI-X`, version1},
	{"q35, transitional", qemuMachine("q35"), "pci", nil, pciDevice + `[05].\), MSI-X`, version1},
	{"q35, modern", qemuMachine("q35"), "pci", []string{"disable-legacy=on"}, pciDevice + `[456].\), MSI-X`, version1},
	{"q35, legacy", qemuMachine("q35"), "pci", []string{"disable-modern=on", "disable-legacy=off"}, "legacy " + pciDevice + `[05].\), MSI-X`, 0},
	{"q35, INTx", qemuMachine("q35"), "pci", []string{"vectors=0"}, pciDevice + `[05].\), INTx`, version1},
	{"q35, one vector", qemuMachine("q35"), "pci", []string{"vectors=1"}, pciDevice + `[05].\), MSI-X`, version1},
	{"pc, transitional", qemuMachine("pc"), "pci", nil, pciDevice + `[05].\), MSI-X`, version1},
	{"pc, modern", qemuMachine("pc"), "pci", []string{"disable-legacy=on"}, pciDevice + `[456].\), MSI-X`, version1},
	{"pc, modern, without ACPI", qemuMachine("pc,acpi=off"), "pci", []string{"disable-legacy=on"}, pciDevice + `[456].\), MSI-X`, version1},
	{"pc, legacy", qemuMachine("pc"), "pci", []string{"disable-modern=on"}, "legacy " + pciDevice + `[05].\), MSI-X`, 0},
	{"pc, legacy, INTx", qemuMachine("pc"), "pci", []string{"disable-modern=on", "vectors=0"}, "legacy " + pciDevice + `[05].\), INTx`, 0},
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

// eachTransport runs f for each transport that kernel/virtio knows, on one of its machines.
func eachTransport(t *testing.T, f func(t *testing.T, tr *transport, cpus string)) {
	cpus := map[string]string{"mmio": "1", "legacy mmio without ACPI": "4", "q35, modern": "4", "pc, legacy": "1"}
	for i := range transports {
		if tr := &transports[i]; cpus[tr.name] != "" {
			t.Run(tr.name, func(t *testing.T) {
				t.Parallel()
				f(t, tr, cpus[tr.name])
			})
		}
	}
}

// allKinds are the kinds of devices of TestDevices.
var allKinds = []string{"blk", "scsi", "net", "rng", "console", "vsock"}

// kinds are those that there are. Socket devices are newer than virtio 1.0, and QEMU has none
// that is PCI and knows only what was before.
func (tr *transport) kinds() []string {
	if tr.bus == "pci" && tr.feature == 0 {
		return allKinds[:len(allKinds)-1]
	}
	return allKinds
}

// TestDevices: on every transport, with one CPU and with four, a program writes by a device of
// each kind at once. When the VM has ended the host has what it wrote, and another VM
// gets it from there.
func TestDevices(t *testing.T) {
	t.Parallel()
	host, prog := devicesHost(t), cProgram(t, glibc, "devices")
	for i := range transports {
		tr := &transports[i]
		for _, cpus := range []string{"1", "4"} {
			t.Run(tr.name+", CPUs "+cpus, func(t *testing.T) {
				t.Parallel()
				argv := append([]string{host}, tr.devices(gosv, prog)...)
				r := command(t, nil, "", nil, append(append(argv, withNetwork(tr.machine)...), "-c", cpus)...)
				if want := strings.Join(tr.kinds(), " ") + "\n"; r.code != 0 || r.stdout != want {
					t.Errorf("%v\nwant: %s", r, want)
				}
				tr.check(t, r.stderr)
			})
		}
	}
}

// devicesHost is programs/devices, for which kernel packages are as in their host tests.
func devicesHost(t *testing.T) string {
	t.Helper()
	return build(t, "devices", "go", "build", "-ldflags=-checklinkname=0", "-o", filepath.Join(binDir, "devices"), filepath.Join(root, "test/programs/devices"))
}

// devices are programs/devices' arguments but for gosv's flags.
func (tr *transport) devices(gosv, prog string) []string {
	return []string{"-bus", tr.bus, "-options", strings.Join(tr.options, ","), "-kinds", strings.Join(tr.kinds(), ","), gosv, prog}
}

// check checks that the kernel has started the devices, where they are, and has nothing to
// say against them.
func (tr *transport) check(t *testing.T, log string) {
	t.Helper()
	for _, kind := range tr.kinds() {
		said := tr.started(kind).FindStringSubmatch(log)
		if said == nil {
			t.Errorf("the kernel does not say that it has started the %s device, which is at %q:\n%s", kind, tr.where, log)
		} else if f, err := strconv.ParseUint(said[2], 16, 64); err != nil || f&version1 != tr.feature {
			t.Errorf("%s: features %#x", kind, f)
		}
	}
	if bad := regexp.MustCompile("given up|cannot be used|needs a reset").FindString(log); bad != "" {
		t.Errorf("a device is %s:\n%s", bad, log)
	}
}

// TestDevicesKVM is a part of it by KVM, which has I/O APICs, and lines by level, of its
// own; make stress does all of it. The balloon is not named: QEMU has it by the transport's defaults.
func TestDevicesKVM(t *testing.T) {
	t.Parallel()
	b := newBox(t, "qemu-system-x86_64")
	host, prog := b.add(devicesHost(t)), b.add(cProgram(t, glibc, "devices"))
	kernel := b.add(filepath.Join(root, "internal", "image", "kernels", "gosv-net.elf"))
	cpus := map[string]string{"mmio": "4", "legacy mmio without ACPI": "1", "q35, INTx": "1"}
	var some []*transport
	var script strings.Builder
	for i := range transports {
		tr := &transports[i]
		n := cpus[tr.name]
		if n == "" {
			if n = "4"; !*stress {
				continue
			}
		}
		some = append(some, tr)
		argv := append(append([]string{host}, tr.devices("/box/gosv", prog)...), qemuKVM...)
		argv = append(append(argv, tr.machine[len(microvm):]...), "--kernel", kernel, "--balloon", "-c", n)
		fmt.Fprintf(&script, "echo '== %s'; %s 2>&1 </dev/null; echo ended with $?\n", tr.name, vmm.Quote(argv))
	}
	out := b.run(t, 120+60*len(some), script.String()+"exit 0\n")
	for _, tr := range some {
		_, said, _ := strings.Cut(out, "== "+tr.name+"\n")
		said, _, _ = strings.Cut(said, "== ")
		if !strings.HasSuffix(said, "\n"+strings.Join(tr.kinds(), " ")+"\nended with 0\n") {
			t.Errorf("%s: it does not go well:\n%s", tr.name, said)
		}
		tr.check(t, said)
		if !regexp.MustCompile("kernel: balloon: .*: started, features").MatchString(said) {
			t.Errorf("%s: no balloon is started:\n%s", tr.name, said)
		}
	}
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

// TestDevicesFirecracker: all devices that Firecracker has, at once, by MMIO and by PCI, with one CPU
// and four; frames are seen on the TAP device.
func TestDevicesFirecracker(t *testing.T) {
	t.Parallel()
	b := newBox(t, "firecracker")
	host, prog := b.add(devicesHost(t)), b.add(cProgram(t, glibc, "devices"))
	const kinds = "blk net rng vsock"
	where := map[string]string{"": `virtio-mmio at 0x[0-9a-f]+, GSI \d+`, "--vmm-arg=--enable-pci": `PCI 00:0.\.0 \(1af4:10[0-9a-f]{2}\), MSI-X`}
	script := "tunctl -t tap0 >/dev/null && ip link set tap0 up || exit 1\n"
	for pci := range where {
		for _, cpus := range []string{"1", "4"} {
			argv := append([]string{host, "-tap", "tap0", "-kinds", strings.ReplaceAll(kinds, " ", ","), "/box/gosv", prog}, firecracker...)
			script += fmt.Sprintf("echo '== %s %s'; %s %s </dev/null 2>&1; echo ended with $?\n", cpus, pci, vmm.Quote(append(argv, "--balloon", "-c", cpus)), pci)
		}
	}
	out := b.run(t, 300, script+"exit 0\n")
	for pci, at := range where {
		for _, cpus := range []string{"1", "4"} {
			_, said, _ := strings.Cut(out, "== "+cpus+" "+pci+"\n")
			said, _, _ = strings.Cut(said, "== ")
			if !strings.HasSuffix(said, "\n"+kinds+"\nended with 0\n") {
				t.Errorf("%s CPUs %s: it does not go well:\n%s", cpus, pci, said)
			}
			for _, kind := range strings.Fields(kinds + " balloon") {
				if !regexp.MustCompile("gosv kernel: " + kind + ": " + at + ": started, features 0x1[0-9a-f]{8}\n").MatchString(said) {
					t.Errorf("%s CPUs %s: the kernel does not say that it has started the %s device:\n%s", cpus, pci, kind, said)
				}
			}
		}
	}
}

// TestFirecrackerBalloon: the host takes half of the memory, the program sees that, and
// Firecracker itself ends with 0.
func TestFirecrackerBalloon(t *testing.T) {
	t.Parallel()
	b := newBox(t, "firecracker")
	image := filepath.Join(t.TempDir(), "image")
	if r := command(t, nil, "", nil, gosv, "build", "-o", image, cProgram(t, musl, "balloon"), "below", "70"); r.code != 0 {
		t.Fatal(r)
	}
	b.add(image)
	b.add(filepath.Join(root, "internal/image/kernels/gosv.elf"))
	script, want := "", ""
	for _, pci := range []string{"", "--enable-pci"} {
		for _, cpus := range []string{"1", "4"} {
			script += `echo '{"boot-source":{"kernel_image_path":"/box/gosv.elf","initrd_path":"/box/image","boot_args":"reboot=k"},"drives":[],
				"balloon":{"amount_mib":64,"deflate_on_oom":false},"machine-config":{"vcpu_count":` + cpus + `,"mem_size_mib":128},"cpu-config":"/box/cpu.json"}' >/tmp/vm.json
				firecracker --no-api --level Off --config-file /tmp/vm.json ` + pci + ` </dev/null; echo ended with $?
`
			want += "smaller\nended with 0\n"
		}
	}
	if got := b.run(t, 200, script+"exit 0\n"); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}
