package platform

import (
	"testing"

	"gosv/kernel/boot"
)

var (
	i8042 = Step{WriteLivePort, 1, 0x64, 0xfe}
	fault = Step{Kind: TripleFault}
)

func TestPowerOff(t *testing.T) {
	mmio := func(pa uint64) boot.Register { return boot.Register{Space: boot.SystemMemory, Addr: pa} }
	port := func(port uint64) boot.Register { return boot.Register{Space: boot.SystemIO, Addr: port} }
	for name, c := range map[string]struct {
		power boot.Power
		want  [4]Step
	}{
		"no ACPI":     {boot.Power{}, [4]Step{i8042, fault}},
		"Firecracker": {boot.Power{HWReduced: true}, [4]Step{i8042, fault}},
		"microvm": {
			boot.Power{HWReduced: true, HasS5: true, S5Type: 5, SleepControl: mmio(0xfea00200), Reset: mmio(0xfea00202), ResetValue: 0x42},
			[4]Step{{WriteMemory, 1, 0xfea00200, 0x34}, {WriteMemory, 1, 0xfea00202, 0x42}, i8042, fault},
		},
		"q35": {
			boot.Power{HasS5: true, PM1aControl: 0x604, Reset: port(0xcf9), ResetValue: 0xf},
			[4]Step{{WritePort, 2, 0x604, 0x2000}, {WritePort, 1, 0xcf9, 0xf}, i8042, fault},
		},
		"pc": {boot.Power{HasS5: true, PM1aControl: 0x604}, [4]Step{{WritePort, 2, 0x604, 0x2000}, i8042, fault}},
		"Cloud Hypervisor": {
			boot.Power{HWReduced: true, HasS5: true, S5Type: 5, SleepControl: port(0x600)},
			[4]Step{{WritePort, 1, 0x600, 0x34}, i8042, fault},
		},
		"a register but no S5":       {boot.Power{HWReduced: true, SleepControl: port(0x600)}, [4]Step{i8042, fault}},
		"S5 but no register":         {boot.Power{HasS5: true, S5Type: 7}, [4]Step{i8042, fault}},
		"PM1a does not exist":        {boot.Power{HWReduced: true, HasS5: true, PM1aControl: 0x604}, [4]Step{i8042, fault}},
		"sleep control is not there": {boot.Power{HasS5: true, SleepControl: port(0x600)}, [4]Step{i8042, fault}},
		"the highest type":           {boot.Power{HasS5: true, S5Type: 7, PM1aControl: 1}, [4]Step{{WritePort, 2, 1, 0x3c00}, i8042, fault}},
	} {
		if got := PowerOff(c.power); got != c.want {
			t.Errorf("%s:\n got %v\nwant %v", name, got, c.want)
		}
	}
}

var sink [4]Step

func TestPowerOffDoesNotAllocate(t *testing.T) {
	p := boot.Power{HasS5: true, PM1aControl: 0x604}
	if n := testing.AllocsPerRun(10, func() { sink = PowerOff(p) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
