package pci

import (
	"errors"

	"gosv/kernel/interrupt"
	"gosv/kernel/platform"
)

var errNoPin = errors.New("it has no interrupt")

// Line returns the line that f interrupts by if it uses no messages.
//
// Where the firmware names the links' lines, a pin's is found as the machines
// wire it: QEMU's, whose _PRT, which is not interpreted, says the same. Elsewhere
// the BIOS has noted the ISA interrupt that it has chosen.
func (f *Function) Line() (platform.Line, error) {
	v := f.Config(regInterrupt)
	irq, pin := v&0xff, int(v>>8&0xff)-1
	if pin < 0 || pin > 3 {
		return platform.Line{}, errNoPin
	}
	root := f
	for root.bridge != nil { // PCI-to-PCI Bridge Architecture 1.2, table 9-1
		pin = (pin + root.Address.Device()) % 4
		root = root.bridge
	}
	slot := root.Address.Device()
	switch links := f.bus.machine.Links; {
	case len(links) == 8 && slot < 25: // q35: links E to H, and A to D for its own devices
		return links[4+(slot+pin)%4], nil
	case len(links) == 8:
		return links[pin], nil
	case len(links) == 4: // microvm
		return links[(slot+pin)%4], nil
	case irq == 0 || irq > 15:
		return platform.Line{}, errNoPin
	}
	l := f.bus.machine.Legacy(irq)
	l.Level = true
	return l, nil
}

// Connect has h called for interrupts of f's line, which other functions may
// share. Those that have no driver are kept from interrupting: one that did, and
// had nobody to quiet it, would keep the line active for ever.
func (f *Function) Connect(h interrupt.Handler) error {
	line, err := f.Line()
	if err != nil {
		return err
	}
	if !f.bus.silent {
		f.bus.silent = true
		for _, o := range f.bus.Functions {
			if o != f && !o.enabled {
				o.SetConfig(regCommand, o.Config(regCommand)&commandWritable|commandNoINTx)
			}
		}
	}
	return interrupt.Line(line, h)
}
