// Package platform decides how to use what this machine is. Its decisions are
// pure functions of what package boot found; metal carries them out.
package platform

import "gosv/kernel/boot"

// Kind is what a Step does. The zero Kind is no step.
type Kind uint8

const (
	// WritePort writes Value to the I/O port Addr.
	WritePort Kind = iota + 1

	// WriteLivePort is WritePort, but the end is not worth waiting for if the
	// port then reads 0xff, as one does behind which there is no device.
	WriteLivePort

	// WriteMemory writes Value to the physical address Addr.
	WriteMemory

	// TripleFault empties the IDT and executes UD2. (INT3 would do on a real
	// machine, but nested KVM stumbles over it.)
	TripleFault
)

// Step is one attempt to end the machine.
type Step struct {
	Kind  Kind
	Width uint8 // of what is written, in bytes
	Addr  uint64
	Value uint16
}

// The sleep registers of ACPI 6.5, 4.8.3.7 and 4.8.3.2.1.
const (
	sleepControlType   = 2 // shift of SLP_TYP
	sleepControlEnable = 1 << 5
	pm1ControlType     = 10
	pm1ControlEnable   = 1 << 13
)

// The i8042's command port, and the command that pulses the reset line.
const (
	i8042Command = 0x64
	i8042Reset   = 0xfe
)

// PowerOff returns the steps that end a machine, best first: ACPI's state S5
// by the register the machine has, ACPI's reset register, the keyboard
// controller, a triple fault. The last step always is the triple fault.
//
// A VMM ends at its leisure while the CPU runs on: after every write wait for
// about a second before the next step. Firecracker, which has nothing but the
// keyboard controller, otherwise sees the triple fault first and exits with 1.
// A step whose address is out of reach is to be skipped.
//
// PowerOff does not allocate: a dying kernel may call it.
func PowerOff(p boot.Power) (steps [4]Step) {
	n := 0
	if s, ok := sleep(p); ok {
		steps[n] = s
		n++
	}
	if p.Reset.Addr != 0 {
		steps[n] = writeByte(p.Reset, p.ResetValue)
		n++
	}
	steps[n] = Step{Kind: WriteLivePort, Width: 1, Addr: i8042Command, Value: i8042Reset}
	steps[n+1] = Step{Kind: TripleFault}
	return steps
}

// sleep is the step into S5, if ACPI tells how.
func sleep(p boot.Power) (s Step, ok bool) {
	switch {
	case !p.HasS5:
		return Step{}, false
	case p.HWReduced && p.SleepControl.Addr != 0:
		return writeByte(p.SleepControl, p.S5Type<<sleepControlType|sleepControlEnable), true
	case !p.HWReduced && p.PM1aControl != 0:
		value := uint16(p.S5Type)<<pm1ControlType | pm1ControlEnable
		return Step{Kind: WritePort, Width: 2, Addr: uint64(p.PM1aControl), Value: value}, true
	}
	return Step{}, false
}

func writeByte(r boot.Register, value uint8) Step {
	kind := WriteMemory
	if r.Space == boot.SystemIO {
		kind = WritePort
	}
	return Step{Kind: kind, Width: 1, Addr: r.Addr, Value: uint16(value)}
}
