package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"gosv/internal/vmm"
	"gosv/internal/vmm/firecracker"
	"gosv/tools/kvmbox"
)

// firecracker returns Firecracker's command line for m, whose configuration is
// in the directory name.
func (b *bench) firecracker(m *vmm.Machine, name string) ([]string, error) {
	dir := filepath.Join(b.dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	template := filepath.Join(dir, "cpu.json")
	if err := os.WriteFile(template, []byte(kvmbox.FirecrackerCPU), 0o644); err != nil {
		return nil, err
	}
	f, err := firecracker.New(template, nil, nil)
	if err != nil {
		return nil, skip(err.Error())
	}
	cmd, err := f.Command(m, dir)
	return cmd.Argv, err
}

// kvmbox runs a command in tools/kvmbox, where KVM works, and returns what it
// prints. The program vmm and the files that b has made are in there.
func (b *bench) kvmbox(flags []string, vmm string, argv []string) (string, error) {
	const cannot = 125 // its exit code when it lacks something
	flags = append(append([]string{"-t", "200"}, flags...), "-f", vmm, "-f", b.dir, "--")
	out, err := command("tools/kvmbox/kvmbox", append(flags, argv...)...)
	var ended *exec.ExitError
	if errors.As(err, &ended) && ended.ExitCode() == cannot {
		return "", skip(err.Error())
	}
	if err != nil {
		return "", fmt.Errorf("%w; its output:\n%s", err, out)
	}
	return out, nil
}

// firecrackerExits counts the VM exits of p's whole life on Firecracker, but for
// those that the host's own interrupts cause.
func (b *bench) firecrackerExits(p program, cpus int) (float64, string, error) {
	return b.exitsWith(p, cpus, vmm.Devices{})
}

// exitsWith is firecrackerExits of a VM with devices.
func (b *bench) exitsWith(p program, cpus int, d vmm.Devices) (float64, string, error) {
	img, err := b.image(p)
	if err != nil {
		return 0, "", err
	}
	m := b.machine(img, cpus)
	m.Devices = d
	argv, err := b.firecracker(m, "exits")
	if err != nil {
		return 0, "", err
	}
	out, err := b.kvmbox([]string{"-e"}, argv[0], argv)
	if err != nil {
		return 0, "", err
	}
	if !strings.Contains(out, helloLine) {
		return 0, "", fmt.Errorf("no line %q in its output:\n%s", helloLine, out)
	}
	return parseExits(out)
}

// parseExits sums kvmbox's lines "kvm-exits REASON COUNT", and lists them from
// the most frequent on. The first may follow the guest's output on its line.
func parseExits(out string) (total float64, reasons string, err error) {
	var list []string
	for _, m := range regexp.MustCompile(`kvm-exits (\S+) (\d+)`).FindAllStringSubmatch(out, -1) {
		if m[1] == "total" || m[1] == "interrupt" {
			continue
		}
		n, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			return 0, "", err
		}
		total += n
		list = append(list, m[1]+" "+m[2])
	}
	if list == nil {
		return 0, "", fmt.Errorf("no counts in kvmbox's output:\n%s", out)
	}
	return total, "by reason: " + strings.Join(list, ", "), nil
}
