package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"gosv/internal/network"
	"gosv/internal/state"
	"gosv/internal/vmm"
	"gosv/internal/vmm/firecracker"
)

// A finding is what doctor says of one thing.
type finding struct {
	what string
	err  error  // what is wrong, and how to mend it; nil if all is well
	ok   string // what there is
	need bool   // nothing runs without it
}

func doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Say what this machine has for gosv, what is missing, and how to get it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
			sound := true
			for _, f := range examine() {
				switch {
				case f.err == nil:
					fmt.Fprintf(w, "ok\t%s\t%s\n", f.what, f.ok)
				case f.need:
					sound = false
					fmt.Fprintf(w, "MISSING\t%s\t%v\n", f.what, f.err)
				default:
					fmt.Fprintf(w, "no\t%s\t%v\n", f.what, f.err)
				}
			}
			if err := w.Flush(); err != nil {
				return err
			}
			if !sound {
				return errors.New("nothing can be run here yet")
			}
			return nil
		},
	}
}

func examine() []finding {
	qemu, qemuErr := version("qemu-system-x86_64", "apt-get install qemu-system-x86")
	fc, fcErr := version("firecracker", "get a release from its GitHub page, and put the binary on the PATH")
	if fcErr == nil {
		fcErr = firecracker.CheckVersion(fc)
	}
	jail, jailErr := version("jailer", "only for --jailer: it comes with Firecracker's releases")
	if jailErr == nil && os.Geteuid() != 0 {
		jailErr = errors.New("--jailer needs root")
	}
	kvm := vmm.CheckKVM()
	some := finding{what: "a VMM", need: true, ok: "gosv run picks QEMU, without KVM"}
	switch {
	case qemuErr != nil && (fcErr != nil || kvm != nil):
		some.err = vmm.NoVMM(fcErr == nil, kvm)
	case kvm == nil && fcErr == nil:
		some.ok = "gosv run picks Firecracker"
	case kvm == nil:
		some.ok = "gosv run picks QEMU, with KVM"
	}
	goVersion, goErr := version("go", "only for gosv run PACKAGE: https://go.dev/dl")
	_, storeErr := state.Open()
	return []finding{
		some,
		{what: "KVM", err: kvm, ok: "/dev/kvm runs our kernel"},
		{what: "QEMU", err: qemuErr, ok: qemu},
		{what: "Firecracker", err: fcErr, ok: fc},
		{what: "Firecracker's jailer", err: jailErr, ok: jail},
		{what: "network for Firecracker", err: network.Check(), ok: "-p and --net user need no rights"},
		{what: "vsock for QEMU", err: usable("/dev/vhost-vsock", "modprobe vhost_vsock"), ok: "/dev/vhost-vsock"},
		{what: "Go", err: goErr, ok: goVersion},
		{what: "a place for VMs in the background", err: storeErr, ok: "gosv run -d"},
	}
}

// version returns the first line that a program says of its version.
func version(program, how string) (string, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		return "", errors.New("not on the PATH: " + how)
	}
	flag := "--version"
	if program == "go" {
		flag = "version"
	}
	out, err := exec.Command(path, flag).Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", path, flag, err)
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return line, nil
}

// usable says why a device cannot be opened.
func usable(device, how string) error {
	f, err := os.OpenFile(device, os.O_RDWR, 0)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("there is no %s: %s", device, how)
	case err != nil:
		return err
	}
	return f.Close()
}
