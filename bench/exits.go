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

	"gosv/internal/vmm/firecracker"
)

// kvmbox runs a command where KVM works.
const (
	kvmbox       = "tools/kvmbox/kvmbox"
	kvmboxCannot = 125 // its exit code when it lacks something
)

// noXSAVE is a CPU template for Firecracker in tools/kvmbox, whose emulated SVM
// cannot keep a guest's XCR0: it hides XSAVE, OSXSAVE and AVX (CPUID 1,
// ECX bits 26 to 28).
const noXSAVE = `{"cpuid_modifiers":[{"leaf":"0x1","subleaf":"0x0","flags":0,` +
	`"modifiers":[{"register":"ecx","bitmap":"0bxxx000xxxxxxxxxxxxxxxxxxxxxxxxxx"}]}]}`

// firecrackerExits counts the VM exits of p's whole life on Firecracker, with
// tools/kvmbox, without those for the host's own interrupts.
func (b *bench) firecrackerExits(p program) (float64, string, error) {
	template := filepath.Join(b.dir, "no-xsave.json")
	if err := os.WriteFile(template, []byte(noXSAVE), 0o644); err != nil {
		return 0, "", err
	}
	f, err := firecracker.New(template, nil)
	if err != nil {
		return 0, "", skip(err.Error())
	}
	img, err := b.image(p)
	if err != nil {
		return 0, "", err
	}
	argv, err := f.Command(b.machine(img), b.dir)
	if err != nil {
		return 0, "", err
	}
	args := append([]string{"-e", "-t", "120", "-f", argv[0], "-f", b.dir, "--"}, argv...)
	out, err := command(kvmbox, args...)
	var ended *exec.ExitError
	if errors.As(err, &ended) && ended.ExitCode() == kvmboxCannot {
		return 0, "", skip(err.Error())
	}
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
		n, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			return 0, "", err
		}
		switch m[1] {
		case "total", "interrupt":
		default:
			total += n
			list = append(list, m[1]+" "+m[2])
		}
	}
	if list == nil {
		return 0, "", fmt.Errorf("no counts in kvmbox's output:\n%s", out)
	}
	return total, "by reason: " + strings.Join(list, ", "), nil
}
