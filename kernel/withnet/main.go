// The guest kernel with a network: the other one (package gosv/kernel), and what
// package net brings.
package main

import (
	"gosv/kernel/boot"
	"gosv/kernel/guest"
	"gosv/kernel/linux"
	"gosv/kernel/metal"
	"gosv/kernel/mm"
	"gosv/kernel/net"
	"gosv/kernel/virtio"
	driver "gosv/kernel/virtio/net"
)

func main() {
	n := net.New(linux.FillRandom, memory)
	guest.Main(&guest.Network{
		Start:  func(k *linux.Kernel, log func(string)) { start(n, k, log) },
		Attach: func(d *virtio.Device) error { return attach(n, d) },
	})
}

// start gives k the network, which configures itself while the program runs.
func start(n *net.Network, k *linux.Kernel, log func(string)) {
	static, _ := boot.Option(metal.CmdLine(), "gosv.ip")
	k.Network = n
	n.Start(net.Config{FindDevices: k.NeedDevices, HostName: k.HostName, Static: static, Log: log, NewIno: k.NewSocketIno, Busy: metal.Busy})
	nameFiles(k)
}

func memory() (free, kernel, total uint64) {
	free, total = mm.Spare()
	return free, metal.KernelMemory(), total
}

// attach adds a device to the network.
func attach(n *net.Network, d *virtio.Device) error {
	dev, err := driver.New(d, linux.FillRandom)
	if err == nil {
		n.Attach(dev)
	}
	return err
}
