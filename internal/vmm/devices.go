package vmm

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"gosv/internal/network"
)

// Devices is what a machine has besides CPUs, memory and its console.
type Devices struct {
	Disks   []Disk
	Nets    []Net
	Vsock   *Vsock
	RNG     bool
	Console bool // a virtio console, at the VMM's descriptor ConsoleFD: see Run.Console
	Wire    bool // a user-mode network is to be ours (package network), not the VMM's
	Balloon bool // with free page reporting: memory the guest does not use goes back to the host
}

// ConsoleFD is the VMM's end of the connection to a virtio console. That of a network.Wire comes
// before it.
const ConsoleFD = network.StreamFD + 1

// Disk is a raw disk image, or a block device of the host.
type Disk struct {
	Path     string // absolute
	ReadOnly bool
	SCSI     bool // behind a SCSI controller, not a disk of its own
}

// Net is a network interface.
type Net struct {
	TAP      string // the host's interface; empty for a user-mode network
	MAC      string // empty for the VMM's choice
	Address  string // as docs/contracts.md has it for gosv.ip; empty for DHCP
	Forwards []network.Forward
}

// Vsock is the socket device between guest and host.
type Vsock struct {
	CID  uint32
	Path string // Firecracker's Unix socket, or that of a vhost-user device for QEMU; empty for the host's vhost
}

// UserAddress is the guest's Address in a user-mode network.
var UserAddress = fmt.Sprintf("%s,%s,dns=%s", network.Guest, network.Gateway, network.NameServer)

// UserNet returns the interface with a user-mode network, or nil; there is one at most.
func (d *Devices) UserNet() *Net {
	for i := range d.Nets {
		if d.Nets[i].TAP == "" {
			return &d.Nets[i]
		}
	}
	return nil
}

// TAPs are the names of the host's interfaces that it uses.
func (d *Devices) TAPs() (names []string) {
	for _, n := range d.Nets {
		if n.TAP != "" {
			names = append(names, n.TAP)
		}
	}
	return names
}

// AddDisk adds a disk on virtio, and returns what it is called in the VM.
func (d *Devices) AddDisk(disk Disk) (name string, err error) {
	n := 0
	for _, other := range d.Disks {
		if !other.SCSI {
			n++
		}
	}
	const letters = 26
	if n >= letters {
		return "", errors.New("too many disks")
	}
	d.Disks = append(d.Disks, disk)
	return "vd" + string(rune('a'+n)), nil
}

// Address is the guest's IPv4 address at the first of TAPs, if it is not a DHCP server's to
// know.
func (d *Devices) Address() (a netip.Addr) {
	if len(d.Nets) == 0 || d.Nets[0].TAP == "" {
		return a
	}
	for word := range strings.SplitSeq(d.Nets[0].Address, ",") {
		if p, err := netip.ParsePrefix(word); err == nil && p.Addr().Is4() {
			return p.Addr()
		}
	}
	return a
}

// ParseDisk reads FILE[,ro][,scsi], and checks that a VMM could take the file.
func ParseDisk(s string) (Disk, error) {
	name, options, _ := strings.Cut(s, ",")
	d := Disk{}
	for o := range strings.SplitSeq(options, ",") {
		switch o {
		case "":
		case "ro":
			d.ReadOnly = true
		case "scsi":
			d.SCSI = true
		default:
			return Disk{}, fmt.Errorf("--disk %s: there is no option %q: FILE[,ro][,scsi]", s, o)
		}
	}
	d.Path = name
	if err := d.Check(); err != nil {
		return Disk{}, fmt.Errorf("--disk %s: %w", name, err)
	}
	return d, nil
}

// Check checks that a VMM could take the disk's file, and makes its path absolute.
func (d *Disk) Check() error {
	name := d.Path
	var err error
	if d.Path, err = filepath.Abs(name); err != nil {
		return err
	}
	f, err := os.OpenFile(d.Path, d.openFlags(), 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	const sector = 512
	var head [4]byte
	f.ReadAt(head[:], 0)
	switch {
	case info.IsDir():
		return errors.New("a directory; -v puts a copy of one into the image")
	case !CanBeDisk(info.Mode()):
		return errors.New("neither a file nor a block device")
	case info.Mode().IsRegular() && (info.Size() == 0 || info.Size()%sector != 0):
		return fmt.Errorf("%d bytes are no disk: a raw image has a multiple of %d", info.Size(), sector)
	case string(head[:]) == "QFI\xfb":
		return fmt.Errorf("a qcow2 image; make a raw one of it: qemu-img convert -O raw %s disk.raw", name)
	}
	return nil
}

// CanBeDisk says whether what has that mode is a file or a block device.
func CanBeDisk(m os.FileMode) bool {
	return m.IsRegular() || m&(os.ModeDevice|os.ModeCharDevice) == os.ModeDevice
}

func (d *Disk) openFlags() int {
	if d.ReadOnly {
		return os.O_RDONLY
	}
	return os.O_RDWR
}

// Lock keeps other VMs of gosv off the disk while the file that it returns is
// open: two systems that write to one disk destroy what is on it.
func (d *Disk) Lock() (*os.File, error) {
	f, err := os.OpenFile(d.Path, d.openFlags(), 0)
	if err != nil {
		return nil, err
	}
	how := unix.LOCK_EX
	if d.ReadOnly {
		how = unix.LOCK_SH
	}
	if err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB); err != nil {
		f.Close()
		if err == unix.EWOULDBLOCK {
			err = fmt.Errorf("the disk %s: another VM uses it, and one of the two writes to it", d.Path)
		}
		return nil, err
	}
	return f, nil
}

// ParseVsock reads CID[,PATH].
func ParseVsock(s string) (*Vsock, error) {
	cid, path, _ := strings.Cut(s, ",")
	const first, last = 3, 0xfffffffe // the others have meanings of their own: man 7 vsock
	n, err := strconv.ParseUint(cid, 10, 32)
	if err != nil || n < first || n > last {
		return nil, fmt.Errorf("--vsock %s: the guest's CID is a number from %d on", s, first)
	}
	v := &Vsock{CID: uint32(n)}
	if path != "" {
		if v.Path, err = filepath.Abs(path); err != nil {
			return nil, err
		}
	}
	return v, nil
}
