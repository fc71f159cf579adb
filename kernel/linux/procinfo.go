package linux

import (
	"strconv"

	"gosv/kernel/metal"
)

// The files of /proc that are about the machine (proc(5)).
var procFiles = [...]procFile{
	{name: "cmdline", mode: procRead, read: func(s *subject, b *text) { b.str(metal.CmdLine(), "\n") }},
	{name: "cgroups", mode: procRead, text: "#subsys_name\thierarchy\tnum_cgroups\tenabled\n"},
	{name: "cpuinfo", mode: procRead, read: procCPUInfo},
	{name: "devices", mode: procRead, read: procDevices},
	{name: "diskstats", mode: procRead, read: procDiskstats},
	{name: "filesystems", mode: procRead, text: "nodev\tsysfs\nnodev\ttmpfs\nnodev\tproc\nnodev\tdevtmpfs\nnodev\toverlay\n\terofs\n\text3\n\text2\n\text4\n"},
	{name: "gosv", mode: procDir, files: gosvFiles[:]},
	{name: "interrupts", mode: procRead, read: procInterrupts},
	{name: "loadavg", mode: procRead, read: procLoadavg},
	{name: "meminfo", mode: procRead, read: procMeminfo},
	{name: "mounts", mode: procLink, link: func(*subject) (string, Errno) { return "self/mounts", 0 }},
	{name: "net", mode: procLink, link: func(*subject) (string, Errno) { return "self/net", 0 }},
	{name: "partitions", mode: procRead, read: procPartitions},
	{name: "stat", mode: procRead, read: procStat},
	{name: "swaps", mode: procRead, text: "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"},
	{name: "sys", mode: procDir, files: sysctls[:]},
	{name: "uptime", mode: procRead, read: func(s *subject, b *text) {
		b.hundredths(metal.Now())
		b.str(" ")
		b.hundredths(s.k.idle())
		b.str("\n")
	}},
	{name: "vmstat", mode: procRead, read: procVmstat},
	{name: "version", mode: procRead, read: func(s *subject, b *text) {
		b.str(utsSystem, " version ", utsRelease, " (gosv) (go) ", utsVersion, "\n")
	}},
}

// times are the user and system time of all processes.
func (k *Kernel) times() (user, system uint64) {
	for _, p := range k.allProcesses() {
		u, s := p.times()
		user += u
		system += s
	}
	return user, system
}

// idle is the time that the CPUs have not run processes.
func (k *Kernel) idle() uint64 {
	all := metal.Now() * uint64(metal.CPUs())
	user, system := k.times()
	return all - min(all, user+system)
}

// procLoadavg: the load is not averaged over time, it shows what runs now.
func procLoadavg(s *subject, b *text) {
	running, threads := s.k.countRunning(), s.k.countThreads()
	for range 3 {
		b.num(uint64(running))
		b.str(".00 ")
	}
	b.num(uint64(running))
	b.str("/")
	b.num(uint64(threads))
	s.k.mu.Lock()
	b.nums(int64(s.k.lastID))
	s.k.mu.Unlock()
	b.str("\n")
}

func (k *Kernel) countRunning() (n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range k.procs {
		p.eachThread(func(t *Thread) bool {
			if t.started.Load() != 0 {
				n++
			}
			return true
		})
	}
	return n
}

func procMeminfo(s *subject, b *text) {
	free, total := metal.FreeMemory()
	buffers, dirty := s.k.disks.pages()
	used, anon := total-free-buffers, s.k.resident()
	const vmalloc = 1 << 45
	for _, l := range [...]struct {
		name string
		n    uint64
	}{
		{"MemTotal", total}, {"MemFree", free}, {"MemAvailable", free + buffers - dirty}, {"Buffers", buffers}, {"Cached", 0}, {"SwapCached", 0}, {"Active", anon},
		{"Inactive", 0}, {"SwapTotal", 0}, {"SwapFree", 0}, {"Dirty", dirty}, {"Writeback", 0}, {"AnonPages", anon}, {"Mapped", 0}, {"Shmem", 0},
		{"KReclaimable", 0}, {"Slab", used - min(used, anon)}, {"SReclaimable", 0}, {"SUnreclaim", used - min(used, anon)}, {"PageTables", 0},
		{"CommitLimit", total}, {"Committed_AS", used}, {"VmallocTotal", vmalloc}, {"VmallocUsed", 0}, {"AnonHugePages", 0},
	} {
		b.str(l.name, ":")
		b.right(strconv.FormatUint(l.n>>10, 10), 23-len(l.name))
		b.str(" kB\n")
	}
	b.str("HugePages_Total:       0\nHugePages_Free:        0\nHugePages_Rsvd:        0\nHugePages_Surp:        0\nHugepagesize:       2048 kB\n")
}

func procVmstat(s *subject, b *text) {
	free, _ := metal.FreeMemory()
	faults := uint64(0)
	for _, p := range s.k.allProcesses() {
		faults += p.space.Stats().Faults
	}
	for _, l := range [...]struct {
		name string
		n    uint64
	}{
		{"nr_free_pages", free / pageSize}, {"nr_anon_pages", s.k.resident() / pageSize}, {"nr_mapped", 0}, {"nr_file_pages", 0}, {"nr_dirty", 0},
		{"nr_writeback", 0}, {"pgpgin", 0}, {"pgpgout", 0}, {"pswpin", 0}, {"pswpout", 0}, {"pgfault", faults}, {"pgmajfault", 0}, {"oom_kill", 0},
	} {
		b.str(l.name, " ")
		b.num(l.n)
		b.str("\n")
	}
}

// procInterrupts has no counts: they are not kept.
func procInterrupts(s *subject, b *text) {
	b.str("     ")
	for i := range metal.CPUs() {
		b.str("       CPU")
		b.num(uint64(i))
	}
	b.str("\n")
}

// resident is how many bytes of memory the processes have.
func (k *Kernel) resident() (n uint64) {
	for _, p := range k.allProcesses() {
		n += uint64(p.space.Stats().Resident) * pageSize
	}
	return n
}

func procStat(s *subject, b *text) {
	cpus := metal.CPUs()
	user, system := s.k.times()
	idle := s.k.idle()
	line := func(n uint64) {
		b.nums(int64(user/clockTick/n), 0, int64(system/clockTick/n), int64(idle/clockTick/n), 0, 0, 0, 0, 0, 0)
		b.str("\n")
	}
	b.str("cpu ")
	line(1)
	for i := range cpus { // the time of each is not kept
		b.str("cpu")
		b.num(uint64(i))
		line(uint64(cpus))
	}
	b.str("intr 0\nctxt 0\nbtime ")
	b.num(metal.WallBase() / second)
	s.k.mu.Lock()
	b.str("\nprocesses ")
	b.num(uint64(s.k.lastID))
	s.k.mu.Unlock()
	b.str("\nprocs_running ")
	b.num(uint64(s.k.countRunning()))
	b.str("\nprocs_blocked 0\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n")
}

// The names of CPU features by their bits, from 0 on (Intel SDM vol. 2A, CPUID;
// arch/x86/include/asm/cpufeatures.h): of leaf 1 EDX and ECX, 7 EBX, 0x80000001 EDX
// and ECX. A dash has no name.
var cpuFlags = [...]struct {
	leaf, reg uint32
	names     string
}{
	{1, 3, "fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat pse36 pn clflush - dts acpi mmx fxsr sse sse2 ss ht tm ia64 pbe"},
	{1, 2, "pni pclmulqdq dtes64 monitor ds_cpl vmx smx est tm2 ssse3 cid sdbg fma cx16 xtpr pdcm - pcid dca sse4_1 sse4_2 x2apic movbe popcnt tsc_deadline_timer aes xsave - avx f16c rdrand hypervisor"},
	{7, 1, "fsgsbase tsc_adjust sgx bmi1 hle avx2 - smep bmi2 erms invpcid rtm cqm - mpx rdt_a avx512f avx512dq rdseed adx smap avx512ifma - clflushopt clwb intel_pt avx512pf avx512er avx512cd sha_ni avx512bw avx512vl"},
	{0x80000001, 3, "- - - - - - - - - - - syscall - - - - - - - mp nx - mmxext - - fxsr_opt pdpe1gb rdtscp - lm 3dnowext 3dnow"},
	{0x80000001, 2, "lahf_lm cmp_legacy svm extapic cr8_legacy abm sse4a misalignsse 3dnowprefetch osvw ibs xop skinit wdt - lwp fma4 tce - nodeid_msr - tbm topoext"},
}

func procCPUInfo(s *subject, b *text) {
	top, bx, cx, dx := metal.CPUID(0, 0)
	vendor := registers(bx, dx, cx)
	sig, misc, _, _ := metal.CPUID(1, 0)
	family, model := sig>>8&15, sig>>4&15
	if family == 15 {
		family += sig >> 20 & 255
	}
	if family >= 6 {
		model += sig >> 16 & 15 << 4
	}
	brand := ""
	for leaf := uint32(0x80000002); leaf <= 0x80000004; leaf++ {
		a, bb, c, d := metal.CPUID(leaf, 0)
		brand += registers(a, bb, c, d)
	}
	brand, _, _ = cut(brand, 0)
	cpus := metal.CPUs()
	for i := range cpus {
		b.fieldNumber("processor\t", uint64(i))
		b.field("vendor_id\t", vendor)
		b.fieldNumber("cpu family\t", uint64(family))
		b.fieldNumber("model\t\t", uint64(model))
		b.field("model name\t", trimSpace(brand))
		b.fieldNumber("stepping\t", uint64(sig&15))
		khz := metal.TSCHz() / 1000
		b.field("cpu MHz\t\t", strconv.FormatUint(khz/1000, 10)+"."+strconv.FormatUint(1000+khz%1000, 10)[1:])
		b.field("cache size\t", "512 KB")
		b.fieldNumber("physical id\t", 0)
		b.fieldNumber("siblings\t", uint64(cpus))
		b.fieldNumber("core id\t\t", uint64(i))
		b.fieldNumber("cpu cores\t", uint64(cpus))
		b.fieldNumber("apicid\t\t", uint64(i))
		b.field("fpu\t\t", "yes")
		b.field("fpu_exception\t", "yes")
		b.fieldNumber("cpuid level\t", uint64(top))
		b.field("wp\t\t", "yes")
		b.str("flags\t\t:")
		for _, f := range cpuFlags {
			a, bb, c, d := metal.CPUID(f.leaf, 0)
			bits := [...]uint32{a, bb, c, d}[f.reg]
			for names := f.names; names != ""; bits >>= 1 {
				var name string
				if name, names, _ = cut(names, ' '); bits&1 != 0 && name != "-" {
					b.str(" ", name)
				}
			}
		}
		b.str("\n")
		b.field("bogomips\t", strconv.FormatUint(2*khz/1000, 10)+".00")
		b.fieldNumber("clflush size\t", uint64(misc>>8&255)*8)
		b.field("address sizes\t", "46 bits physical, 48 bits virtual")
		b.str("power management:\n\n")
	}
}

// The lines of procCPUInfo.

//go:noinline
func (x *text) field(name, value string) { x.str(name, ": ", value, "\n") }

//go:noinline
func (x *text) fieldNumber(name string, n uint64) { x.field(name, strconv.FormatUint(n, 10)) }

// registers are the characters that CPUID leaves in registers.
func registers(regs ...uint32) string {
	var b []byte
	for _, r := range regs {
		b = append(b, byte(r), byte(r>>8), byte(r>>16), byte(r>>24))
	}
	return string(b)
}
