// Package firecracker runs machines on Firecracker.
package firecracker

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"gosv/internal/network"
	"gosv/internal/vmm"
)

// Firecracker is how to start firecracker.
type Firecracker struct {
	CPUConfig string   // path of a custom CPU template, or empty
	Extra     []string // further arguments
	Jail      *Jail    // nil: none
}

const (
	program = "firecracker"
	how     = "get a release from its GitHub page, and put the binary there"
)

// New returns a Firecracker, or an error that says how to get one.
func New(cpuConfig string, extra []string, jail *Jail) (*Firecracker, error) {
	if _, err := vmm.Find(program, how); err != nil {
		return nil, err
	}
	return &Firecracker{cpuConfig, extra, jail}, nil
}

// A version is Firecracker's, without what is after the second number.
type version struct{ major, minor int }

func (v version) before(w version) bool {
	return v.major < w.major || v.major == w.major && v.minor < w.minor
}

// What is the oldest that has all that gosv uses, and what came later.
var (
	oldest        = version{1, 0}
	withTemplates = version{1, 4} // and entropy devices
	withReporting = version{1, 14}
)

// CheckVersion says what is wrong with the first line that firecracker prints of its version,
// or nil.
func CheckVersion(line string) error { return newEnough(line, oldest, "") }

func newEnough(line string, needed version, what string) error {
	var v version
	if _, err := fmt.Sscanf(line, "Firecracker v%d.%d", &v.major, &v.minor); err != nil || !v.before(needed) {
		return nil // or one that we know nothing of
	}
	return fmt.Errorf("%s is too old%s: version %d.%d or newer is needed; %s", line, what, needed.major, needed.minor, how)
}

// Outdated says that the firecracker which could not run m is too old for it, or returns nil.
func (f *Firecracker) Outdated(m *vmm.Machine) error {
	path, err := vmm.Find(program, how)
	if err != nil {
		return err
	}
	out, err := exec.Command(path, "--version").Output()
	if err != nil {
		return nil
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	for _, n := range []struct {
		needed version
		what   string
		by     bool
	}{
		{oldest, "", true},
		{withTemplates, " for --rng", m.Devices.RNG},
		{withTemplates, " for a CPU template", f.CPUConfig != ""},
		{withReporting, " for --balloon", m.Devices.Balloon},
	} {
		if err := newEnough(line, n.needed, n.what); n.by && err != nil {
			return err
		}
	}
	return nil
}

func (f *Firecracker) String() string {
	if f.Jail != nil {
		return "Firecracker (kvm, in a jail)"
	}
	return "Firecracker (kvm)"
}

// config is Firecracker's configuration file, as far as it is used.
type config struct {
	BootSource struct {
		Kernel   string `json:"kernel_image_path"`
		Initrd   string `json:"initrd_path"`
		BootArgs string `json:"boot_args"`
	} `json:"boot-source"`
	Drives  []drive   `json:"drives"`
	Nets    []netIf   `json:"network-interfaces,omitempty"`
	Vsock   *vsock    `json:"vsock,omitempty"`
	Entropy *struct{} `json:"entropy,omitempty"`
	Balloon *balloon  `json:"balloon,omitempty"`
	Machine struct {
		CPUs   int `json:"vcpu_count"`
		Memory int `json:"mem_size_mib"`
	} `json:"machine-config"`
	CPUConfig string `json:"cpu-config,omitempty"`
}

type drive struct {
	ID       string `json:"drive_id"`
	Path     string `json:"path_on_host"`
	Root     bool   `json:"is_root_device"`
	ReadOnly bool   `json:"is_read_only"`
	Cache    string `json:"cache_type"`
}

type netIf struct {
	ID  string `json:"iface_id"`
	TAP string `json:"host_dev_name"`
	MAC string `json:"guest_mac,omitempty"`
}

type vsock struct {
	CID  uint32 `json:"guest_cid"`
	Path string `json:"uds_path"`
}

type balloon struct {
	MiB       int  `json:"amount_mib"`
	OnOOM     bool `json:"deflate_on_oom"`
	Reporting bool `json:"free_page_reporting"` // since 1.14
}

// devices adds the machine's to its configuration.
func (c *config) devices(d *vmm.Devices) error {
	for i, disk := range d.Disks {
		if disk.SCSI {
			return fmt.Errorf("--disk %s,scsi: Firecracker has no SCSI controller", disk.Path)
		}
		// Writeback is what offers the guest a flush at all.
		c.Drives = append(c.Drives, drive{ID: "disk" + strconv.Itoa(i), Path: disk.Path, ReadOnly: disk.ReadOnly, Cache: "Writeback"})
	}
	for i, n := range d.Nets {
		tap := n.TAP
		if tap == "" {
			tap = network.TAP
		}
		c.Nets = append(c.Nets, netIf{ID: "eth" + strconv.Itoa(i), TAP: tap, MAC: n.MAC})
	}
	if v := d.Vsock; v != nil {
		if v.Path == "" {
			return fmt.Errorf("--vsock %d: Firecracker needs a path for its socket: --vsock %d,PATH", v.CID, v.CID)
		}
		c.Vsock = &vsock{v.CID, v.Path}
	}
	if d.Console {
		return fmt.Errorf("--console hvc0: Firecracker has no virtio console")
	}
	if d.RNG {
		c.Entropy = &struct{}{}
	}
	if d.Balloon {
		c.Balloon = &balloon{OnOOM: true, Reporting: true}
	}
	return nil
}

// Command implements vmm.VMM.
func (f *Firecracker) Command(m *vmm.Machine, dir string) (vmm.Command, error) {
	path, err := vmm.Find(program, how)
	if err != nil {
		return vmm.Command{}, err
	}
	c := config{Drives: []drive{}, CPUConfig: f.CPUConfig}
	if err := c.devices(&m.Devices); err != nil {
		return vmm.Command{}, err
	}
	c.BootSource.Kernel, c.BootSource.Initrd, c.BootSource.BootArgs = m.Kernel, m.Image, m.CmdLine
	c.Machine.CPUs, c.Machine.Memory = m.CPUs, m.Memory
	var in *cell
	if f.Jail != nil {
		if in, err = f.imprison(&c, &m.Devices, dir, path); err != nil {
			return vmm.Command{}, fmt.Errorf("--jailer: %w", err)
		}
	}
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return vmm.Command{}, err
	}
	file := filepath.Join(dir, configFile)
	if err := os.WriteFile(file, append(b, '\n'), 0o644); err != nil {
		return vmm.Command{}, err
	}
	command := vmm.Command{OwnNetwork: m.Devices.UserNet() != nil}
	if in != nil {
		if file, err = in.take(file, configFile); err != nil {
			return vmm.Command{}, fmt.Errorf("--jailer: %w", err)
		}
		command.Jailed, command.Owner = true, f.Jail.UID
	}
	args := append([]string{"--no-api", "--config-file", file, "--level", "Error"}, f.Extra...)
	if in != nil {
		command.Argv = in.command(args)
	} else {
		// Its own messages come by standard output otherwise, which is the guest's. In a jail that
		// is the only one that it can open.
		args = append([]string{"--log-path", "/proc/self/fd/2"}, args...)
		command.Argv = append([]string{path}, args...)
	}
	return command, nil
}

const configFile = "firecracker.json"

// imprison puts what the configuration names into a cell, disks by the names of their devices.
func (f *Firecracker) imprison(c *config, d *vmm.Devices, dir, path string) (*cell, error) {
	if d.Vsock != nil {
		return nil, errors.New("not with --vsock: its socket is outside")
	}
	in, err := f.Jail.cell(dir, path)
	if err != nil {
		return nil, err
	}
	for _, name := range []*string{&c.BootSource.Kernel, &c.BootSource.Initrd, &c.CPUConfig} {
		if *name == "" {
			continue
		}
		if *name, err = in.take(*name, filepath.Base(*name)); err != nil {
			return nil, err
		}
	}
	for i := range c.Drives {
		d := &c.Drives[i]
		if !d.ReadOnly {
			return nil, fmt.Errorf("not with a disk that is written to, for in a jail there are copies: --disk %s,ro is possible", d.Path)
		}
		if d.Path, err = in.take(d.Path, d.ID); err != nil {
			return nil, err
		}
	}
	return in, nil
}
