// Package vmm starts virtual machines: one interface, implemented by the
// packages beneath it, and the life of a run.
package vmm

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// Machine is what a virtual machine is made of.
type Machine struct {
	Name    string
	Kernel  string // paths
	Image   string
	CmdLine string
	Memory  int // MiB
	CPUs    int
	Devices Devices

	// Debugger is a socket, to be made, where the machine waits for gdb before its
	// first instruction; "" for none. QEMU only.
	Debugger string
}

// VMM is a program that runs machines.
type VMM interface {
	// Command returns the command that runs m with the guest's console
	// on standard input and output. Files that it refers to besides
	// m's are written to dir.
	Command(m *Machine, dir string) (Command, error)

	// String names the VMM and how it will run, for messages.
	String() string
}

// Command is how to start a VMM.
type Command struct {
	Argv []string

	// Stream says that the VMM wants a network.Wire that is a stream.
	Stream bool

	// OwnNetwork says that the VMM has no user-mode network: it is to run
	// behind network.Enter, with a network.Wire to us.
	OwnNetwork bool

	// Jailed says that the VMM becomes another user, Owner: it would outlive us,
	// were it not alone with its parent in a namespace of processes (Keep).
	Jailed bool
	Owner  int
}

// ErrNoVMM is returned where none is installed.
var ErrNoVMM = errors.New("no VMM found: install QEMU (Debian: apt-get install qemu-system-x86) or put firecracker on the PATH")

// NoVMM is the error where no VMM can be used: none is installed, or only Firecracker is, on a
// machine whose KVM has a fault.
func NoVMM(firecracker bool, kvm error) error {
	if !firecracker || kvm == nil {
		return ErrNoVMM
	}
	return fmt.Errorf("no VMM can be used: Firecracker needs KVM, but %w; QEMU, which does not, is not installed (Debian: apt-get install qemu-system-x86)", kvm)
}

// Find returns the path of a VMM's program, or an error that says how to get it.
func Find(program, how string) (string, error) {
	p, err := exec.LookPath(program)
	if err != nil {
		return "", fmt.Errorf("%s is not on the PATH: %s", program, how)
	}
	return p, nil
}

// Quote writes a command line as a shell would take it.
func Quote(argv []string) string {
	var b strings.Builder
	for i, a := range argv {
		if i > 0 {
			b.WriteByte(' ')
		}
		if a != "" && !strings.ContainsFunc(a, func(r rune) bool {
			return !strings.ContainsRune("-_=+,.:/@%", r) && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
		}) {
			b.WriteString(a)
			continue
		}
		b.WriteString("'" + strings.ReplaceAll(a, "'", `'\''`) + "'")
	}
	return b.String()
}

// kvmDevice is what a VMM opens to use KVM.
const kvmDevice = "/dev/kvm"

// CheckKVM says why KVM cannot be used on this machine, or nil.
func CheckKVM() error {
	f, err := os.OpenFile(kvmDevice, os.O_RDWR, 0)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return errors.New("there is no /dev/kvm: this machine has no KVM, or it is switched off in its firmware or hypervisor")
	case errors.Is(err, os.ErrPermission):
		return errors.New("no access to /dev/kvm: add yourself to its group (usermod -aG kvm $USER, and log in again)")
	case err != nil:
		return err
	}
	defer f.Close()
	if err := probeKVM(f); err != nil {
		return fmt.Errorf("/dev/kvm cannot run our kernel: %w", err)
	}
	return nil
}
