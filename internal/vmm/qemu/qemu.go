// Package qemu runs machines on QEMU.
package qemu

import (
	"strconv"

	"gosv/internal/vmm"
)

// QEMU is how to start qemu-system-x86_64.
type QEMU struct {
	Accel   string   // kvm or tcg
	Machine string   // -M; empty for microvm
	Extra   []string // further arguments
}

const program = "qemu-system-x86_64"

// New returns a QEMU, or an error that says how to get one.
func New(accel, machine string, extra []string) (*QEMU, error) {
	if _, err := vmm.Find(program, "install it (Debian: apt-get install qemu-system-x86)"); err != nil {
		return nil, err
	}
	if machine == "" {
		machine = "microvm"
	}
	return &QEMU{accel, machine, extra}, nil
}

func (q *QEMU) String() string { return "QEMU (" + q.Machine + ", " + q.Accel + ")" }

// Command implements vmm.VMM.
func (q *QEMU) Command(m *vmm.Machine, dir string) (vmm.Command, error) {
	path, err := vmm.Find(program, "install it (Debian: apt-get install qemu-system-x86)")
	if err != nil {
		return vmm.Command{}, err
	}
	cpu := "max"
	if q.Accel == "kvm" {
		cpu = "host"
	}
	argv := []string{path,
		"-M", q.Machine, "-accel", q.Accel, "-cpu", cpu,
		"-m", strconv.Itoa(m.Memory), "-smp", strconv.Itoa(m.CPUs),
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
		"-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
		"-kernel", m.Kernel, "-initrd", m.Image, "-append", m.CmdLine}
	if m.Name != "" {
		argv = append(argv, "-name", m.Name)
	}
	if m.Debugger != "" {
		argv = append(argv, "-S", "-chardev", "socket,id=gdb,server=on,wait=off,path="+quote(m.Debugger), "-gdb", "chardev:gdb")
	}
	argv = q.devices(argv, m)
	stream := m.Devices.Wire && m.Devices.UserNet() != nil
	return vmm.Command{Argv: append(argv, q.Extra...), Stream: stream}, nil
}
