package devices

import (
	"gosv/kernel/metal"
	"gosv/kernel/pci"
)

// panicDevice has a kernel that fails tell it to fn, if that is QEMU's pvpanic-pci
// (QEMU, docs/specs/pvpanic.txt), which Cloud Hypervisor has, too.
func (f *finder) panicDevice(fn *pci.Function) {
	const vendor, device = 0x1b36, 0x0011
	if fn.Vendor != vendor || fn.Device != device {
		return
	}
	fn.Enable(false)
	p, err := fn.Map(0, 0, 2)
	if err != nil {
		f.message(fn.String() + ": " + err.Error())
		return
	}
	metal.TellPanicAt(p)
	if f.log != nil {
		f.log("pvpanic: " + fn.String())
	}
}
