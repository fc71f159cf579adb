package metal

import (
	"math/bits"
	"unsafe"
)

// Time is the time stamp counter since boot, times its period: a 64-bit fixed
// point number of nanoseconds with 32 fractional bits.
var (
	tsc0     uint64 // at the kernel's first instruction
	tscMult  uint64 // ns a tick, << 32
	tscHz    uint64
	wallBase uint64 // ns since 1970 at tsc0, for vdsoClock; 0 until WallBase

	vdsoClockSym uintptr // address of the runtime's pointer to its clock
	kvmClock     struct {
		present bool
		stable  bool   // all CPUs' TSCs show the same
		tsc, ns uint64 // a TSC value and the host's time then
	}

	// perCPU is set if each CPU must ask KVM's clock of its own: cpuNow, which counts
	// from kvmBoot on, and never shows less than it did (lastNow).
	perCPU           uint32
	kvmBoot, lastNow uint64
)

func now() uint64 {
	if perCPU != 0 {
		return leaves.cpuNow()
	}
	return nsOf(rdtsc()-tsc0) + 1
}

// nsOf is the length of ticks of the TSC in nanoseconds.
func nsOf(ticks uint64) uint64 {
	hi, lo := bits.Mul64(ticks, tscMult)
	return hi<<32 | lo>>32
}

// tscAt is the value of this CPU's TSC at time t.
func tscAt(t uint64) uint64 {
	from := tsc0
	if perCPU != 0 {
		from = rdtsc()
		t -= min(t, now())
	}
	hi, lo := t>>32, t<<32
	if hi >= tscMult {
		return ^uint64(0)
	}
	q, _ := bits.Div64(hi, lo, tscMult)
	return from + q
}

func setRate(hz uint64) {
	tscHz = hz
	tscMult = 1e9 << 32 / hz
}

// initClock finds or starts to find the TSC's rate: KVM's clock knows it, CPUID may, and else the
// local APIC's timer serves as reference.
func initClock() {
	base := uintptr(0x40000000)
	_, b, cx, d := cpuid(base, 0)
	switch {
	case b == 0x4b4d564b && cx == 0x564b4d56 && d == 0x4d: // KVMKVMKVM
		offers, _, _, _ := cpuid(base+1, 0)
		pvEOIOffered = offers>>6&1 != 0
		enablePVEOI(&cpu0)
		if offers>>3&1 != 0 && kvmRate() {
			return
		}
	case b == 0x54474354 && cx == 0x43544743 && d == 0x47435447: // TCGTCGTCGTCG: no leaf tells
		startCalibration()
		return
	}
	if hz := cpuidRate(); hz != 0 {
		setRate(hz)
		return
	}
	startCalibration()
}

// cpuidRate is the TSC's rate in Hz from CPUID leaf 0x15 or the hypervisor's
// leaf 0x40000010, or 0.
func cpuidRate() uint64 {
	if top, _, _, _ := cpuid(0, 0); top >= 0x15 {
		if den, num, hz, _ := cpuid(0x15, 0); den != 0 && num != 0 && hz != 0 {
			return uint64(hz) * uint64(num) / uint64(den)
		}
	}
	if top, _, _, _ := cpuid(0x40000000, 0); top >= 0x40000010 && top < 0x40000100 {
		if khz, _, _, _ := cpuid(0x40000010, 0); khz != 0 {
			return uint64(khz) * 1000
		}
	}
	return 0
}

// kvmRate asks KVM's clock, once if the TSC may be read instead from then on.
func kvmRate() bool {
	f := zeroFrame()
	if f == 0 {
		return false
	}
	p := (*pvclock)(unsafe.Pointer(directMap + f))
	p.enable(f)
	mult, shift := uint64(p.mult), p.shift
	k := &kvmClock
	k.tsc, k.ns, k.stable = p.tsc, p.ns, p.flags&pvclockStable != 0
	if mult == 0 || shift < -31 || shift > 31 {
		p.enable(0)
		freeFrame(f)
		return false
	}
	k.present = true
	if shift < 0 {
		tscMult = mult >> uint(-shift)
	} else {
		tscMult = mult << uint(shift)
	}
	tscHz = 1e9 << 32 / tscMult
	if tsc0 >= k.tsc { // the kernel's first instruction may lie on either side of it
		kvmBoot = k.ns + nsOf(tsc0-k.tsc)
	} else {
		kvmBoot = k.ns - nsOf(k.tsc-tsc0)
	}
	if k.stable {
		p.enable(0)
		freeFrame(f)
	} else {
		cpu0.clock = p
	}
	return true
}

// pvclock is KVM's clock of a CPU: struct pvclock_vcpu_time_info (Linux,
// Documentation/virt/kvm/x86/msr.rst).
type pvclock struct {
	version uint32 // odd while the others change
	_       uint32
	tsc, ns uint64 // a TSC value and the time then
	mult    uint32
	shift   int8
	flags   uint8
}

const pvclockStable = 1 // PVCLOCK_TSC_STABLE_BIT

// enable makes KVM keep the clock of this CPU in frame f, or stop with 0.
func (*pvclock) enable(f uintptr) {
	const msrSystemTime, enabled = 0x4b564d01, 1
	if f != 0 {
		f |= enabled
	}
	wrmsr(msrSystemTime, f)
}

// splitClock makes each CPU use its own clock, before a second one runs, if their
// TSCs cannot be trusted to agree.
func splitClock() {
	if kvmClock.present && !kvmClock.stable && ncpu > 1 {
		lastNow, perCPU = now(), 1
	}
}

// Calibration compares the TSC with the local APIC's timer, which ticks once a
// nanosecond on QEMU. It starts early in the boot and ends late, so that the
// window is mostly filled with work.
const calibrationWindow = 5_000 // ns, at least

var calibration struct {
	running bool
	tsc     uint64
	count   uint32
	width   uint64
}

func startCalibration() {
	apicWrite(apicLVTTimer, lvtMasked|vecTimer)
	apicWrite(apicTimerDiv, divideBy1)
	apicWrite(apicTimerCount, 0xffffffff)
	k := &calibration
	k.running = true
	k.tsc, k.count, k.width = apicReading()
}

// endCalibration sets the rate. Readings that took long, since the virtual CPU
// was descheduled in them, make a longer window.
func endCalibration() {
	k := &calibration
	if !k.running {
		return
	}
	const (
		tries    = 256
		accuracy = 100 // the error is at most a hundredth
	)
	for i := uint32(1); i <= tries; i++ {
		for k.count-apicRead(apicTimerNow) < calibrationWindow*i {
		}
		tsc, count, width := apicReading()
		if k.width+width <= (tsc-k.tsc)/accuracy || i == tries {
			setRate((tsc - k.tsc) * 1e9 / uint64(k.count-count))
			break
		}
	}
	apicWrite(apicTimerCount, 0)
	setTimerMode()
}

// apicReading is the TSC when the timer's count was read, and how long that
// took in ticks of it.
func apicReading() (tsc uint64, count uint32, width uint64) {
	a := rdtsc()
	count = apicRead(apicTimerNow)
	b := rdtsc()
	return a + (b-a)/2, count, b - a
}
