package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"gosv/internal/vmm"
)

// What vsockpeer.c prints in front of its numbers.
const (
	vsockToHost   = "to the host MB/s"
	vsockFromHost = "from the host MB/s"
	vsockRounds   = "round trips/s"
)

var (
	vsockResult = regexp.MustCompile(`(` + vsockToHost + `|` + vsockFromHost + `|` + vsockRounds + `) ([0-9.]+)$`)
	vsockPeer   = program{"vsockpeer", "gcc", "test/programs/c/vsockpeer.c"}
	linuxVsock  = program{"vsockinit", "gcc", "bench/linux/vsockinit.c"}
	linuxVsocks = []string{ // its modules, in the order in which they need each other
		"drivers/virtio/virtio_ring", "drivers/virtio/virtio", "drivers/virtio/virtio_mmio", "net/vmw_vsock/vsock",
		"net/vmw_vsock/vmw_vsock_virtio_transport_common", "net/vmw_vsock/vmw_vsock_virtio_transport",
	}
)

// vsock returns what a number that vsockpeer prints is on gosv, or on a Linux guest.
func (b *bench) vsock(name string, linux bool) (float64, string, error) {
	return b.vsocks.get(name, linux, b.measureVsock)
}

// measureVsock returns the rates of some runs.
func (b *bench) measureVsock() (gosv, linux map[string][]float64, err error) {
	const megabytes, rounds, runs = 32, 1000, 3
	us, them, vmm, err := b.vsockMachines(megabytes, rounds)
	if err != nil {
		return nil, nil, err
	}
	script := b.vsockHost() + fmt.Sprintf("for i in $(seq %d); do rm -f %s; echo; echo gosv; %s; rm -f %s; echo; echo linux; %s; done; exit 0",
		runs, b.vsockPath(), us, b.vsockPath(), them)
	out, err := b.kvmbox(nil, vmm, []string{"sh", "-c", script})
	if err != nil {
		return nil, nil, err
	}
	return parseRates(out, vsockResult, 3, runs)
}

// vsockPath is where the guests' sockets are in the box, vsockHost the shell command
// that starts who answers there.
func (b *bench) vsockPath() string { return filepath.Join(b.dir, "vsock") }
func (b *bench) vsockHost() string {
	return fmt.Sprintf("%s serve %s_1024 & sleep 1; ", filepath.Join(b.dir, "vsockhost"), b.vsockPath())
}

// vsockMachines returns the commands that run vsockpeer on gosv and on Linux, quoted
// for a shell, and the VMM's path.
func (b *bench) vsockMachines(megabytes, rounds int) (us, them, path string, err error) {
	if _, err := command("env", "CGO_ENABLED=0", "go", "build", "-o", filepath.Join(b.dir, "vsockhost"), "./test/programs/vsockhost"); err != nil {
		return "", "", "", err
	}
	args := []string{"connect", "2", "1024", strconv.Itoa(megabytes), strconv.Itoa(rounds)}
	bin, err := b.compile(vsockPeer)
	if err != nil {
		return "", "", "", err
	}
	img := bin + ".img"
	if _, err := command(b.gosv, append([]string{"build", "-o", img, bin}, args...)...); err != nil {
		return "", "", "", err
	}
	modules, err := b.linuxModules(linuxVsocks)
	if err != nil {
		return "", "", "", err
	}
	linux, err := b.linuxMachine(append([]program{linuxVsock, vsockPeer}, modules...)...)
	if err != nil {
		return "", "", "", err
	}
	linux.CmdLine += " -- " + strings.Join(args, " ")
	gosv := b.machine(img, 1)
	var quoted [2]string
	for i, m := range []*vmm.Machine{gosv, linux} {
		m.Devices.Vsock = &vmm.Vsock{CID: 3, Path: b.vsockPath()}
		m.Memory = 128
		argv, err := b.firecracker(m, "vsock"+strconv.Itoa(i))
		if err != nil {
			return "", "", "", err
		}
		quoted[i], path = vmm.Quote(argv), argv[0]
	}
	return quoted[0], quoted[1], path, nil
}

// vsockExits counts the VM exits of a round trip: those that more of them cause.
func (b *bench) vsockExits(linux bool) (float64, string, error) {
	const few, many = 100, 1100
	var total [2]float64
	for i, rounds := range []int{few, many} {
		us, them, vmm, err := b.vsockMachines(1, rounds)
		if err != nil {
			return 0, "", err
		}
		if linux {
			us = them
		}
		out, err := b.kvmbox([]string{"-e"}, vmm, []string{"sh", "-c", b.vsockHost() + us + "; exit 0"})
		if err != nil {
			return 0, "", err
		}
		if !strings.Contains(out, vsockRounds) {
			return 0, "", fmt.Errorf("no %s in its output:\n%s", vsockRounds, out)
		}
		if total[i], _, err = parseExits(out); err != nil {
			return 0, "", err
		}
	}
	return (total[1] - total[0]) / (many - few), "", nil
}
