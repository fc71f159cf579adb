package metal

import "gosv/kernel/boot"

// Found says how the kernel was entered, which local APIC and timer there are, and
// where the TSC's rate is from.
func Found() (entry, apic, rate string) {
	entry, apic, rate = "the Linux 64-bit entry", "xAPIC", "CPUID"
	if bootInfo.Protocol == boot.PVH {
		entry = "PVH"
	}
	switch {
	case x2apic && tscDeadline:
		apic = "x2APIC with TSC deadlines"
	case x2apic:
		apic = "x2APIC"
	case tscDeadline:
		apic = "xAPIC with TSC deadlines"
	}
	switch {
	case perCPU != 0:
		rate = "KVM's clocks, which differ by CPU"
	case kvmClock.present:
		rate = "KVM's clock"
	case calibration.tsc != 0:
		rate = "calibration"
	}
	return entry, apic, rate
}
