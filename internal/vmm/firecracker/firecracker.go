// Package firecracker runs machines on Firecracker.
package firecracker

import (
	"encoding/json"
	"os"
	"path/filepath"

	"gosv/internal/vmm"
)

// Firecracker is how to start firecracker.
type Firecracker struct {
	CPUConfig string   // path of a custom CPU template, or empty
	Extra     []string // further arguments
}

const (
	program = "firecracker"
	how     = "get a release from its GitHub page, and put the binary there"
)

// New returns a Firecracker, or an error that says how to get one.
func New(cpuConfig string, extra []string) (*Firecracker, error) {
	if _, err := vmm.Find(program, how); err != nil {
		return nil, err
	}
	return &Firecracker{cpuConfig, extra}, nil
}

func (f *Firecracker) String() string { return "Firecracker (kvm)" }

// config is Firecracker's configuration file, as far as it is used.
type config struct {
	BootSource struct {
		Kernel   string `json:"kernel_image_path"`
		Initrd   string `json:"initrd_path"`
		BootArgs string `json:"boot_args"`
	} `json:"boot-source"`
	Drives  []struct{} `json:"drives"`
	Machine struct {
		CPUs   int `json:"vcpu_count"`
		Memory int `json:"mem_size_mib"`
	} `json:"machine-config"`
	CPUConfig string `json:"cpu-config,omitempty"`
}

// Command implements vmm.VMM.
func (f *Firecracker) Command(m *vmm.Machine, dir string) ([]string, error) {
	path, err := vmm.Find(program, how)
	if err != nil {
		return nil, err
	}
	c := config{Drives: []struct{}{}, CPUConfig: f.CPUConfig}
	c.BootSource.Kernel, c.BootSource.Initrd, c.BootSource.BootArgs = m.Kernel, m.Image, m.CmdLine
	c.Machine.CPUs, c.Machine.Memory = m.CPUs, m.Memory
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "firecracker.json")
	if err := os.WriteFile(file, append(b, '\n'), 0o644); err != nil {
		return nil, err
	}
	return append([]string{path, "--no-api", "--config-file", file, "--level", "Error"}, f.Extra...), nil
}
