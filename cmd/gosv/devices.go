package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"gosv/internal/network"
	"gosv/internal/vmm"
)

// deviceFlags say what devices the machine has.
type deviceFlags struct {
	disks   []string
	nets    []string
	ports   []string
	vsock   string
	console string
	rng     bool
	balloon bool
}

func (f *deviceFlags) add(fl *pflag.FlagSet) {
	fl.StringArrayVar(&f.disks, "disk", nil, "a disk, /dev/vda and so on: FILE[,ro][,scsi], a raw image or a block device")
	fl.StringArrayVar(&f.nets, "net", nil, "a network interface: user, which needs no rights, or tap=NAME; with ,mac=MAC, and for tap ,ip=ADDR/LEN ,gw=ADDR ,dns=ADDR unless there is a DHCP server. lo: no other than the VM's own")
	fl.StringArrayVarP(&f.ports, "publish", "p", nil, "lead a port of the host to one of the VM: [ADDR:]HOSTPORT:VMPORT[/udp]; implies --net user")
	fl.StringVar(&f.vsock, "vsock", "", "sockets to the host: CID[,PATH], with the path of Firecracker's socket, or of a vhost-user device's for QEMU")
	fl.StringVar(&f.console, "console", "", "hvc0: a virtio console for input and output, faster than the serial port")
	fl.BoolVar(&f.rng, "rng", false, "a virtio entropy device")
	fl.BoolVar(&f.balloon, "balloon", false, "a memory balloon: unused memory goes back to the host")
}

// devices reads the flags.
func (f *deviceFlags) devices() (vmm.Devices, error) {
	d := vmm.Devices{RNG: f.rng, Balloon: f.balloon}
	for _, s := range f.disks {
		disk, err := vmm.ParseDisk(s)
		if err != nil {
			return d, err
		}
		d.Disks = append(d.Disks, disk)
	}
	for _, s := range f.nets {
		if s == "lo" {
			continue
		}
		n, err := parseNet(s)
		if err != nil {
			return d, err
		}
		d.Nets = append(d.Nets, n)
	}
	if err := f.publish(&d); err != nil {
		return d, err
	}
	switch f.console {
	case "":
	case "hvc0":
		d.Console = true
	default:
		return d, fmt.Errorf("--console %s: there is hvc0", f.console)
	}
	if f.vsock != "" {
		var err error
		if d.Vsock, err = vmm.ParseVsock(f.vsock); err != nil {
			return d, err
		}
	}
	return d, nil
}

// network says whether the VM's kernel needs a network.
func (f *deviceFlags) network() bool { return len(f.nets) > 0 || len(f.ports) > 0 }

// publish adds -p to the user-mode network, and makes sure that there is but one.
func (f *deviceFlags) publish(d *vmm.Devices) error {
	users := 0
	for _, n := range d.Nets {
		if n.TAP == "" {
			users++
		}
	}
	if users > 1 {
		return errors.New("--net user: one is enough")
	}
	if len(f.ports) > 0 && users == 0 {
		d.Nets = append(d.Nets, vmm.Net{Address: vmm.UserAddress})
	}
	for _, s := range f.ports {
		forward, err := network.ParseForward(s)
		if err != nil {
			return err
		}
		n := d.UserNet()
		n.Forwards = append(n.Forwards, forward)
	}
	return nil
}

func parseNet(s string) (n vmm.Net, err error) {
	var address []string
	for i, o := range strings.Split(s, ",") {
		switch k, v, _ := strings.Cut(o, "="); {
		case i == 0 && o == "user":
		case i == 0 && k == "tap" && v != "":
			n.TAP = v
		case i > 0 && k == "mac" && v != "":
			n.MAC = v
		case i > 0 && n.TAP != "" && k == "ip" && v != "":
			address = append([]string{v}, address...)
		case i > 0 && n.TAP != "" && k == "gw" && v != "":
			address = append(address, v)
		case i > 0 && n.TAP != "" && k == "dns" && v != "":
			address = append(address, o)
		default:
			return n, fmt.Errorf("--net %s: there are lo, user and tap=NAME, with ,mac=MAC, and for tap ,ip=ADDR/LEN ,gw=ADDR ,dns=ADDR", s)
		}
	}
	n.Address = strings.Join(address, ",")
	if n.TAP == "" {
		n.Address = vmm.UserAddress
	}
	return n, nil
}

// lockDisks keeps other VMs of gosv off the disks until release is called.
func lockDisks(disks []vmm.Disk) (release func(), err error) {
	var locks []*os.File
	release = func() {
		for _, f := range locks {
			f.Close()
		}
	}
	for i := range disks {
		f, err := disks[i].Lock()
		if err != nil {
			release()
			return nil, err
		}
		locks = append(locks, f)
	}
	return release, nil
}

// jailCommand is what gosv starts a VMM behind that is in a jail.
func jailCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "jail VMM [ARG...]",
		Hidden: true,
		Args:   cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			code, err := vmm.Keep(args)
			if err == nil && code != 0 {
				err = &exitError{code: code}
			}
			return err
		},

		DisableFlagParsing: true,
	}
}

// netnsCommand is what gosv starts a VMM behind that gets its network from us.
func netnsCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "netns UID VMM [ARG...]",
		Hidden: true,
		Args:   cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			uid, err := strconv.Atoi(args[0])
			if err != nil {
				return err
			}
			return network.Enter(uid, args[1:])
		},

		DisableFlagParsing: true,
	}
}
