package linux

import (
	"strconv"

	"gosv/kernel/fs"
	"gosv/kernel/fs/kernfs"
	"gosv/kernel/metal"
)

// The directory /sys: as much as runtimes look at.
var sysFiles = [...]procFile{
	{name: "block", mode: procDir, dir: sysBlock},
	{name: "class", mode: procDir, files: []procFile{
		{name: "block", mode: procDir, dir: sysClassBlock},
		{name: "net", mode: procDir, dir: sysClassNet},
	}},
	{name: "dev", mode: procDir, files: []procFile{{name: "block", mode: procDir, dir: sysDevBlock}}},
	{name: "devices", mode: procDir, files: []procFile{
		{name: "platform", mode: procDir, files: []procFile{{name: "block", mode: procDir, dir: sysDisks}}},
		{name: "system", mode: procDir, files: []procFile{
			{name: "cpu", mode: procDir, dir: sysCPUs},
			{name: "node", mode: procDir, files: []procFile{
				{name: "online", mode: procRead, text: "0\n"},
				{name: "possible", mode: procRead, text: "0\n"},
				{name: "node0", mode: procDir, files: []procFile{
					{name: "cpulist", mode: procRead, read: sysCPUList},
					{name: "meminfo", mode: procRead, read: sysNodeMeminfo},
				}},
			}},
		}},
	}},
	{name: "kernel", mode: procDir, files: []procFile{
		{name: "mm", mode: procDir, files: []procFile{
			{name: "transparent_hugepage", mode: procDir, files: []procFile{
				{name: "enabled", mode: procRead, text: "always [madvise] never\n"},
				{name: "defrag", mode: procRead, text: "always defer defer+madvise [madvise] never\n"},
				{name: "hpage_pmd_size", mode: procRead, text: "2097152\n"},
			}},
		}},
	}},
}

// The files of /sys/devices/system/cpu beside the CPUs' own directories.
var cpuFiles = [...]procFile{
	{name: "kernel_max", mode: procRead, text: "63\n"},
	{name: "offline", mode: procRead, text: "\n"},
	{name: "online", mode: procRead, read: sysCPUList},
	{name: "possible", mode: procRead, read: sysCPUList},
	{name: "present", mode: procRead, read: sysCPUList},
}

func sysCPUList(s *subject, b *text) {
	b.cpuList(allCPUs())
	b.str("\n")
}

// system is the root of /sys.
func (k *Kernel) system() fs.Inode {
	return kernfs.New(sysDevice, fs.MagicSysfs, FileTime, &procTable{&subject{k: k}, sysFiles[:]})
}

// cpuDir is /sys/devices/system/cpu: a directory for each CPU, and files.
type cpuDir struct {
	numbered
	files procTable
}

func sysCPUs(s *subject) kernfs.Directory {
	return &cpuDir{
		numbered: numbered{
			prefix: "cpu",
			has:    func(n int) bool { return n < metal.CPUs() },
			next:   func(from int) (int, bool) { return from, from < metal.CPUs() },
			entry:  func(n int) kernfs.Entry { return kernfs.Entry{Mode: procDir, Dir: &procTable{s, sysCPU(n)}} },
		},
		files: procTable{s, cpuFiles[:]},
	}
}

// cacheFiles are of a cache like those that most CPUs have: programs want to know
// how long its lines are.
var cacheFiles = [...]procFile{{name: "index0", mode: procDir, files: []procFile{
	{name: "coherency_line_size", mode: procRead, text: "64\n"},
	{name: "level", mode: procRead, text: "1\n"},
	{name: "size", mode: procRead, text: "32K\n"},
	{name: "type", mode: procRead, text: "Data\n"},
}}}

func sysNodeMeminfo(s *subject, b *text) {
	free, total := metal.FreeMemory()
	for _, l := range [...]struct {
		name string
		n    uint64
	}{{"MemTotal", total}, {"MemFree", free}, {"MemUsed", total - free}} {
		b.str("Node 0 ", l.name, ":")
		b.right(strconv.FormatUint(l.n>>10, 10), 23-len(l.name))
		b.str(" kB\n")
	}
}

// sysCPU is the directory of CPU n: cores of one package, without siblings.
func sysCPU(n int) []procFile {
	own := func(s *subject, b *text) { b.num(uint64(n)); b.str("\n") }
	return []procFile{{name: "cache", mode: procDir, files: cacheFiles[:]}, {name: "topology", mode: procDir, files: []procFile{
		{name: "core_id", mode: procRead, read: own},
		{name: "core_siblings_list", mode: procRead, read: sysCPUList},
		{name: "physical_package_id", mode: procRead, text: "0\n"},
		{name: "thread_siblings", mode: procRead, read: func(s *subject, b *text) { b.hex(1<<n, 1); b.str("\n") }},
		{name: "thread_siblings_list", mode: procRead, read: own},
	}}}
}

// Lookup implements kernfs.Directory.
func (d *cpuDir) Lookup(name string) (kernfs.Entry, Errno) {
	if e, err := d.numbered.Lookup(name); err == 0 {
		return e, 0
	}
	return d.files.Lookup(name)
}

// List implements kernfs.Directory: the files come first.
func (d *cpuDir) List(from int64, emit func(e kernfs.Entry, next int64) bool) {
	cpus := int64(len(d.files.files))
	more := true
	d.files.List(from, func(e kernfs.Entry, next int64) bool {
		more = emit(e, next)
		return more
	})
	if more {
		d.numbered.List(max(from-cpus, 0), func(e kernfs.Entry, next int64) bool { return emit(e, next+cpus) })
	}
}
