package devices

import (
	"errors"

	"gosv/kernel/gotimer"
	"gosv/kernel/interrupt"
	"gosv/kernel/metal"
	"gosv/kernel/platform"
)

var errNoGPE = errors.New("there is no such event")

// generationID has the kernel look at the machine's generation id, if it has one,
// and begin its random numbers anew when it changes.
func (f *finder) generationID(m *platform.Machine) {
	const size = 16
	g := &m.GenID
	if g.Addr == 0 || g.Addr%8 != 0 || m.IsRAM(g.Addr, size) {
		return
	}
	p := metal.MapDevice(uintptr(g.Addr), size)
	if p == nil {
		return
	}
	id := (*[2]uint64)(p)
	f.k.WatchGeneration(id)
	last := *id
	changed := func() bool {
		now := *id
		if now == last {
			return false
		}
		last = now
		go func() {
			if f.log != nil {
				f.log("this machine is a copy, or went back in time: random numbers begin anew")
			}
			f.k.Reseed()
		}()
		return true
	}
	var err error
	switch {
	case g.HasLine:
		err = interrupt.Line(g.Line, changed)
	case g.HasGPE:
		err = onGPE(&m.SCI, int(g.GPE), changed)
	}
	if err != nil {
		f.message("the generation id's changes are not told: " + err.Error())
	} else if f.log != nil {
		f.log("generation id at " + platform.Hex(g.Addr))
	}
}

// onGPE has f called when ACPI's general purpose event n happens: when bit n of
// block 0 is set (ACPI 6.5, 4.8.4.1).
func onGPE(sci *platform.SCI, n int, f interrupt.Handler) error {
	half := int(sci.GPE0Size) / 2
	if sci.GPE0 == 0 || n/8 >= half || int(sci.GPE0)+2*half > 0x10000 {
		return errNoGPE
	}
	status, enable, bit := sci.GPE0+uint16(n/8), sci.GPE0+uint16(half+n/8), uint8(1)<<(n%8)
	const on = 1 // bit SCI_EN of PM1 control
	if sci.SMICommand != 0 && sci.PM1aControl != 0 && metal.In16(sci.PM1aControl)&on == 0 {
		metal.Out8(sci.SMICommand, sci.Enable)
		const patience = 100
		for i := 0; i < patience && metal.In16(sci.PM1aControl)&on == 0; i++ {
			gotimer.Sleep(1e6)
		}
	}
	err := interrupt.Line(sci.Line, func() bool {
		if metal.In8(status)&bit == 0 {
			return false
		}
		metal.Out8(status, bit)
		f()
		return true
	})
	if err == nil {
		metal.Out8(status, bit)
		metal.Out8(enable, metal.In8(enable)|bit)
	}
	return err
}
