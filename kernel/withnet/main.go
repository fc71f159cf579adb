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

func main() { guest.Main(&guest.Network{Start: start, Attach: attach}) }

// start gives k a network, which configures itself while the program runs.
func start(k *linux.Kernel, log func(string)) {
	static, _ := boot.Option(metal.CmdLine(), "gosv.ip")
	n := net.New(linux.FillRandom, memory)
	k.Network = n
	n.Start(net.Config{FindDevices: k.NeedDevices, HostName: k.HostName, Static: static, Log: log, Busy: metal.Busy})
	nameFiles(k)
}

func memory() (free, kernel, total uint64) {
	free, total = mm.FreeMemory()
	return free, metal.KernelMemory(), total
}

// attach adds a device to the network.
func attach(k *linux.Kernel, d *virtio.Device) error {
	n, err := driver.New(d, linux.FillRandom)
	if err == nil {
		k.Network.Attach(n)
	}
	return err
}
