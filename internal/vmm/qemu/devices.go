package qemu

import (
	"fmt"
	"strconv"
	"strings"

	"gosv/internal/network"
	"gosv/internal/vmm"
)

// devices appends the machine's devices. On microvm they are virtio-mmio, by
// the interface of virtio 1 (QEMU's default there is the one before), else
// virtio-pci.
func (q *QEMU) devices(argv []string, m *vmm.Machine) []string {
	d := &m.Devices
	kind, _, _ := strings.Cut(q.Machine, ",")
	bus := "-pci"
	if kind == "microvm" {
		bus = "-device"
		argv = append(argv, "-global", "virtio-mmio.force-legacy=false")
	}
	device := func(parts ...string) { argv = append(argv, "-device", strings.Join(parts, ",")) }
	controller := false
	for i, disk := range d.Disks {
		id := "disk" + strconv.Itoa(i)
		drive := "if=none,format=raw,discard=unmap,id=" + id + ",file=" + quote(disk.Path)
		if disk.ReadOnly {
			drive += ",readonly=on"
		}
		argv = append(argv, "-drive", drive)
		if !disk.SCSI {
			device("virtio-blk"+bus, "drive="+id)
			continue
		}
		if !controller {
			controller = true
			device("virtio-scsi"+bus, "id=scsi")
		}
		device("scsi-hd", "bus=scsi.0", "drive="+id)
	}
	for i, n := range d.Nets {
		id := "net" + strconv.Itoa(i)
		netdev := "user,id=" + id
		if n.TAP == "" && d.Wire {
			netdev = "socket,id=" + id + ",fd=" + strconv.Itoa(network.StreamFD)
			n.Forwards = nil // lead through us
		}
		for _, f := range n.Forwards {
			netdev += fmt.Sprintf(",hostfwd=%s:%s-:%d", f.Network, f.Host, f.Guest)
		}
		if n.TAP != "" {
			netdev = "tap,id=" + id + ",ifname=" + quote(n.TAP) + ",script=no,downscript=no"
		}
		argv = append(argv, "-netdev", netdev)
		nic := []string{"virtio-net" + bus, "netdev=" + id}
		if n.MAC != "" {
			nic = append(nic, "mac="+n.MAC)
		}
		device(nic...)
	}
	if v := d.Vsock; v != nil && v.Path == "" {
		device("vhost-vsock"+bus, "guest-cid="+strconv.FormatUint(uint64(v.CID), 10))
	} else if v != nil {
		// The device's process reads and writes the guest's memory.
		argv = append(argv, "-object", fmt.Sprintf("memory-backend-memfd,id=memory,size=%dM,share=on", m.Memory),
			"-machine", "memory-backend=memory", "-chardev", "socket,id=vsock,path="+quote(v.Path))
		device("vhost-user-vsock"+bus, "chardev=vsock")
	}
	if d.Console {
		argv = append(argv, "-chardev", "socket,id=hvc,fd="+strconv.Itoa(vmm.ConsoleFD))
		device("virtio-serial" + bus)
		device("virtconsole", "chardev=hvc")
	}
	if d.RNG {
		device("virtio-rng" + bus)
	}
	if d.Balloon {
		device("virtio-balloon"+bus, "deflate-on-oom=on", "free-page-reporting=on")
	}
	return argv
}

// quote makes s a value in an option: a comma ends one, two stand for one.
func quote(s string) string { return strings.ReplaceAll(s, ",", ",,") }
