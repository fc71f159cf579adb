package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"gosv/internal/vmm"
)

// What disk.c calls its measurements.
const (
	diskWrite    = "write"
	diskRead     = "read"
	diskRandom   = "random"
	diskRandom32 = "random32"
)

var (
	diskResult   = regexp.MustCompile(`disk (\w+) ([0-9.]+)$`)
	diskC        = program{"disk", "gcc", "bench/disk/disk.c"}
	linuxDisk    = program{"diskinit", "gcc", "bench/linux/diskinit.c"}
	linuxDrivers = []string{ // in the order in which they need each other
		"drivers/virtio/virtio_ring", "drivers/virtio/virtio", "drivers/virtio/virtio_mmio", "drivers/block/virtio_blk",
	}
)

// disk returns what a number that disk.c prints is on gosv, or on a Linux guest.
func (b *bench) disk(name string, linux bool) (float64, string, error) {
	return b.disks.get(name, linux, b.measureDisk)
}

// measureDisk takes minutes.
func (b *bench) measureDisk() (gosv, linux map[string][]float64, err error) {
	us, them, vmm, err := b.diskMachines()
	if err != nil {
		return nil, nil, err
	}
	script := b.makeDisk() + fmt.Sprintf("echo; echo gosv; %s; echo; echo linux; %s; exit 0", us, them)
	out, err := b.kvmbox([]string{"-t", "900"}, vmm, []string{"sh", "-c", script})
	if err != nil {
		return nil, nil, err
	}
	return parseRates(out, diskResult, 4, 1)
}

// diskImage is where the disk is in the box, makeDisk the shell command that makes it.
func (b *bench) diskImage() string { return filepath.Join(b.dir, "disk.raw") }
func (b *bench) makeDisk() string {
	return "dd if=/dev/zero bs=1M count=256 of=" + b.diskImage() + " 2>/dev/null; "
}

// diskMachines returns the commands that run disk.c with args on gosv and on Linux,
// quoted for a shell, and the VMM's path.
func (b *bench) diskMachines(args ...string) (us, them, path string, err error) {
	bin, err := b.compile(diskC)
	if err != nil {
		return "", "", "", err
	}
	img := bin + ".img"
	if _, err := command(b.gosv, append([]string{"build", "-o", img, bin, "/dev/vda"}, args...)...); err != nil {
		return "", "", "", err
	}
	modules, err := b.linuxModules(linuxDrivers)
	if err != nil {
		return "", "", "", err
	}
	linux, err := b.linuxMachine(append([]program{linuxDisk, diskC}, modules...)...)
	if err != nil {
		return "", "", "", err
	}
	if len(args) > 0 {
		linux.CmdLine += " -- " + strings.Join(args, " ")
	}
	var quoted [2]string
	for i, m := range []*vmm.Machine{b.machine(img, 1), linux} {
		m.Devices.Disks = []vmm.Disk{{Path: b.diskImage()}}
		m.Memory = 128
		argv, err := b.firecracker(m, "disk"+strconv.Itoa(i))
		if err != nil {
			return "", "", "", err
		}
		quoted[i], path = vmm.Quote(argv), argv[0]
	}
	return quoted[0], quoted[1], path, nil
}

// diskExits counts the VM exits of a hundred reads of 4 KiB when 32 are asked for at a
// time: those that more of them cause.
func (b *bench) diskExits(linux bool) (float64, string, error) {
	const few, many, depth = 20, 220, 32
	var total [2]float64
	for i, reads := range []int{few, many} {
		us, them, vmm, err := b.diskMachines(diskRandom32, strconv.Itoa(reads))
		if err != nil {
			return 0, "", err
		}
		if linux {
			us = them
		}
		out, err := b.kvmbox([]string{"-e"}, vmm, []string{"sh", "-c", b.makeDisk() + us + "; exit 0"})
		if err != nil {
			return 0, "", err
		}
		if !strings.Contains(out, "disk "+diskRandom32) {
			return 0, "", fmt.Errorf("no result in its output:\n%s", out)
		}
		if total[i], _, err = parseExits(out); err != nil {
			return 0, "", err
		}
	}
	return (total[1] - total[0]) / ((many - few) * depth) * 100, "", nil
}
