// Package devices finds the machine's devices and hands them to their drivers,
// and these to the kernel.
package devices

import (
	"strconv"

	"gosv/kernel/block"
	"gosv/kernel/interrupt"
	"gosv/kernel/linux"
	"gosv/kernel/metal"
	"gosv/kernel/pci"
	"gosv/kernel/platform"
	"gosv/kernel/virtio"
	"gosv/kernel/virtio/balloon"
	"gosv/kernel/virtio/blk"
	"gosv/kernel/virtio/console"
	"gosv/kernel/virtio/rng"
	"gosv/kernel/virtio/scsi"
	"gosv/kernel/virtio/vsock"
)

// Find finds the machine's devices and adds them to k; network devices by nic, nil in a
// kernel that has no use for them. log gets a line for each, and is nil if nobody
// wants to know; message what a user should know in any case.
func Find(k *linux.Kernel, nic func(d *virtio.Device) error, log, message func(string)) {
	m := platform.Discover(metal.BootData())
	for _, w := range m.Warnings {
		message(w)
	}
	if log != nil {
		log(m.String())
	}
	interrupt.Use(m.IOAPICs, message)
	f := finder{k, nic, log, message}
	f.generationID(m)
	for i := range m.MMIO {
		f.mmio(&m.MMIO[i])
	}
	if space, buses := pci.Open(m); space != nil {
		for _, fn := range pci.Scan(space, buses, m, message).Functions {
			if t := virtio.NewPCI(fn); t != nil {
				f.virtio(virtio.New(t, virtio.RAM{}))
			}
			f.panicDevice(fn)
		}
	}
}

type finder struct {
	k            *linux.Kernel
	nic          func(d *virtio.Device) error
	log, message func(string)
}

// mmio looks whether there is a device at d.
func (f *finder) mmio(d *platform.MMIO) {
	where := platform.Hex(d.Addr)
	regs := metal.MapDevice(uintptr(d.Addr), uintptr(d.Size))
	if regs == nil {
		return
	}
	line := d.Line
	t, err := virtio.NewMMIO(virtio.InMemory{At: regs}, virtio.Line{
		Connect: func(f func() bool) error { return interrupt.Line(line, f) },
		Level:   line.Level,
		Name:    lineName(line),
	}, where)
	switch {
	case err != nil:
		f.message(where + ": " + err.Error())
	case t != nil:
		f.virtio(virtio.New(t, virtio.RAM{}))
	}
}

// lineName is "GSI 5", with what is unusual about it.
func lineName(l platform.Line) string {
	s := "GSI " + strconv.Itoa(int(l.GSI))
	if l.Level {
		s += " level"
	}
	if l.Low {
		s += " low"
	}
	return s
}

// virtio gives a device to its driver.
func (f *finder) virtio(d *virtio.Device) {
	d.Log, d.Warn = f.log, f.message
	if f.log != nil {
		f.log(virtio.TypeName(d.Type()) + ": " + d.String())
	}
	switch d.Type() {
	case virtio.TypeBlock:
		f.k.OfferDisks(func() {
			err := blk.Start(d, func(b block.Device) *block.Disk { return f.k.AddDisk(linux.VirtioDisk, b) })
			if err != nil {
				d.Refuse(err)
			}
		})
	case virtio.TypeNet:
		if f.nic == nil {
			return
		}
		if err := f.nic(d); err != nil {
			d.Refuse(err)
		}
	case virtio.TypeSCSI:
		f.k.OfferDisks(func() {
			if err := scsi.Start(d, scsiDisks{f.k}, block.NewSleeper()); err != nil {
				d.Refuse(err)
			}
		})
	case virtio.TypeBalloon:
		f.k.OnStart(func() {
			b, err := balloon.New(d, balloon.Machine{Caches: f.k.ReclaimCaches})
			if err != nil {
				d.Refuse(err)
				return
			}
			f.k.AddBalloon(b)
		})
	case virtio.TypeEntropy:
		f.k.AddRandomSource(rng.New(d, f.k.RandomReady))
	case virtio.TypeConsole:
		c, err := console.New(d)
		if err == nil {
			err = f.k.AttachConsole(c)
		}
		if err != nil {
			d.Refuse(err)
		}
	case virtio.TypeVsock:
		v, err := vsock.New(d)
		if err != nil {
			d.Refuse(err)
			return
		}
		f.k.AttachVsock(v)
	}
}

// scsiDisks is the kernel as it looks to SCSI adapters.
type scsiDisks struct{ *linux.Kernel }

// AddDisk implements scsi.System.
func (k scsiDisks) AddDisk(d block.Device, cd bool) *block.Disk {
	if cd {
		return k.Kernel.AddDisk(linux.SCSICDROM, d)
	}
	return k.Kernel.AddDisk(linux.SCSIDisk, d)
}
