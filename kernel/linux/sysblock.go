package linux

import (
	"strconv"

	"gosv/kernel/block"
	"gosv/kernel/errno"
	"gosv/kernel/fs"
	"gosv/kernel/fs/kernfs"
)

// What /proc and /sys tell of disks (Linux, Documentation/ABI/stable/sysfs-block).

// entries is a directory whose names are known.
type entries []kernfs.Entry

// Lookup implements kernfs.Directory.
func (l entries) Lookup(name string) (kernfs.Entry, Errno) {
	for _, e := range l {
		if e.Name == name {
			return e, 0
		}
	}
	return kernfs.Entry{}, ENOENT
}

// List implements kernfs.Directory.
func (l entries) List(from int64, emit func(e kernfs.Entry, next int64) bool) {
	for i := int(from); i < len(l); i++ {
		if !emit(l[i], int64(i+1)) {
			return
		}
	}
}

// sysDiskFiles are of disks and partitions, sysWholeFiles of disks, sysPartFiles of partitions only.
var sysDiskFiles = [...]procFile{
	{name: "alignment_offset", mode: procRead, text: "0\n"},
	{name: "dev", mode: procRead, read: func(s *subject, b *text) { b.device(s.disk.rdev(s.volume)); b.str("\n") }},
	{name: "discard_alignment", mode: procRead, text: "0\n"},
	{name: "inflight", mode: procRead, text: "       0        0\n"},
	{name: "ro", mode: procRead, read: func(s *subject, b *text) { b.flag(s.volume.ReadOnly()) }},
	{name: "size", mode: procRead, read: func(s *subject, b *text) { b.line64(uint64(s.volume.Size()) / block.SectorSize) }},
	{name: "stat", mode: procRead, read: func(s *subject, b *text) { b.diskStats(s, 8); b.str("\n") }},
	{name: "uevent", mode: procRead, read: sysDiskEvent},
}

var sysWholeFiles = [...]procFile{
	{name: "diskseq", mode: procRead, read: func(s *subject, b *text) { b.line64(uint64(s.disk.ordinal) + 1) }},
	{name: "hidden", mode: procRead, text: "0\n"},
	{name: "queue", mode: procDir, files: sysQueueFiles[:]},
	{name: "range", mode: procRead, read: func(s *subject, b *text) { b.line64(uint64(diskKinds[s.disk.kind].minors)) }},
	{name: "removable", mode: procRead, read: func(s *subject, b *text) { b.flag(s.disk.Limits().Removable) }},
	{name: "serial", mode: procRead, read: func(s *subject, b *text) { b.str(s.disk.identity().serial, "\n") }},
	{name: "device", mode: procDir, files: []procFile{
		{name: "model", mode: procRead, read: func(s *subject, b *text) { b.str(s.disk.identity().model, "\n") }},
	}},
}

var sysPartFiles = [...]procFile{
	{name: "partition", mode: procRead, read: func(s *subject, b *text) { b.line64(uint64(s.volume.Number)) }},
	{name: "start", mode: procRead, read: func(s *subject, b *text) { b.line64(s.volume.Start) }},
}

var sysQueueFiles = [...]procFile{
	{name: "discard_granularity", mode: procRead, read: func(s *subject, b *text) {
		l := s.disk.Limits()
		if l.MaxDiscard == 0 {
			l = &block.Limits{}
		}
		b.line64(uint64(max(l.DiscardAlign, l.LogicalBlock)))
	}},
	{name: "discard_max_bytes", mode: procRead, read: func(s *subject, b *text) { b.line64(uint64(s.disk.Limits().MaxDiscard) * block.SectorSize) }},
	{name: "fua", mode: procRead, text: "0\n"},
	{name: "hw_sector_size", mode: procRead, read: sysLogicalBlock},
	{name: "logical_block_size", mode: procRead, read: sysLogicalBlock},
	{name: "max_sectors_kb", mode: procRead, text: "1024\n"},
	{name: "max_segments", mode: procRead, read: func(s *subject, b *text) { b.line64(uint64(s.disk.Limits().MaxSegments)) }},
	{name: "minimum_io_size", mode: procRead, read: sysPhysicalBlock},
	{name: "nr_requests", mode: procRead, text: "256\n"},
	{name: "optimal_io_size", mode: procRead, text: "0\n"},
	{name: "physical_block_size", mode: procRead, read: sysPhysicalBlock},
	{name: "read_ahead_kb", mode: procRead, text: "128\n"},
	{name: "rotational", mode: procRead, text: "1\n"},
	{name: "scheduler", mode: procRead, text: "[none]\n"},
	{name: "write_cache", mode: procRead, read: func(s *subject, b *text) {
		if s.disk.Limits().Volatile {
			b.str("write back\n")
		} else {
			b.str("write through\n")
		}
	}},
	{name: "write_zeroes_max_bytes", mode: procRead, read: func(s *subject, b *text) { b.line64(uint64(s.disk.Limits().MaxZeroes) * block.SectorSize) }},
}

func sysLogicalBlock(s *subject, b *text)  { b.line64(uint64(s.disk.Limits().LogicalBlock)) }
func sysPhysicalBlock(s *subject, b *text) { b.line64(uint64(s.disk.Limits().PhysicalBlock)) }

// line64 writes a line with a number.
func (x *text) line64(n uint64) {
	x.num(n)
	x.str("\n")
}

func (x *text) flag(on bool) {
	if on {
		x.str("1\n")
	} else {
		x.str("0\n")
	}
}

// device writes a device number.
func (x *text) device(rdev uint32) {
	x.num(uint64(major(uint64(rdev))))
	x.str(":")
	x.num(uint64(minor(uint64(rdev))))
}

func sysDiskEvent(s *subject, b *text) {
	rdev := uint64(s.disk.rdev(s.volume))
	kind := "disk"
	if s.volume.Number != 0 {
		kind = "partition"
	}
	b.str("MAJOR=")
	b.num(uint64(major(rdev)))
	b.str("\nMINOR=")
	b.num(uint64(minor(rdev)))
	b.str("\nDEVNAME=", s.disk.nameOf(s.volume), "\nDEVTYPE=", kind, "\nDISKSEQ=")
	b.num(uint64(s.disk.ordinal) + 1)
	if s.volume.Number != 0 {
		b.str("\nPARTN=")
		b.num(uint64(s.volume.Number))
		if p := &s.volume.Part; p.Label != "" {
			b.str("\nPARTNAME=", p.Label)
		}
	}
	b.str("\n")
}

// diskStats writes the counts of iostats (Linux, Documentation/admin-guide/iostats.rst):
// those of the disk; times are not kept, nor what partitions were asked for.
func (x *text) diskStats(s *subject, width int) {
	var n [17]uint64
	if s.volume.Number == 0 {
		st := &s.disk.Stats
		for op, at := range [...]int{block.Read: 0, block.Write: 4, block.Discard: 11, block.Flush: 15} {
			n[at] = st.Requests[op].Load()
			if block.Op(op) != block.Flush {
				n[at+2] = st.Sectors[op].Load()
			}
		}
	}
	for i, v := range n {
		if i > 0 {
			x.str(" ")
		}
		x.right(strconv.FormatUint(v, 10), width)
	}
}

// identity is what the disk calls itself.
func (d *disk) identity() *disk {
	d.identify.Do(func() { d.model, d.serial = d.Device.Identity(new(sleeper)) })
	return d
}

func procPartitions(s *subject, b *text) {
	b.str("major minor  #blocks  name\n\n")
	s.k.disks.each(func(d *disk, v *block.Volume) {
		b.diskNumbers(d, v)
		b.right(strconv.FormatInt(v.Size()>>10, 10), 11)
		b.str(" ", d.nameOf(v), "\n")
	})
}

// diskNumbers writes a device number in columns.
func (x *text) diskNumbers(d *disk, v *block.Volume) {
	rdev := uint64(d.rdev(v))
	x.right(strconv.Itoa(int(major(rdev))), 4)
	x.right(strconv.Itoa(int(minor(rdev))), 9)
}

func procDiskstats(s *subject, b *text) {
	s.k.disks.each(func(d *disk, v *block.Volume) {
		rdev := uint64(d.rdev(v))
		b.right(strconv.Itoa(int(major(rdev))), 4)
		b.right(strconv.Itoa(int(minor(rdev))), 8)
		b.str(" ", d.nameOf(v), " ")
		b.diskStats(&subject{disk: d, volume: v}, 0)
		b.str("\n")
	})
}

func procDevices(s *subject, b *text) {
	b.str("Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n136 pts\n\nBlock devices:\n")
	var seen [numDiskKinds]bool
	for _, d := range s.k.disks.found() {
		seen[d.kind] = true
	}
	for _, k := range [...]struct {
		kind DiskKind
		line string
	}{{SCSIDisk, "  8 sd\n"}, {SCSICDROM, " 11 sr\n"}, {VirtioDisk, "254 virtblk\n"}} {
		if seen[k.kind] {
			b.str(k.line)
		}
	}
	b.str("259 blkext\n")
}

// sysBlockTop is where the disks' own directories are, below /sys.
const sysBlockTop = "devices/platform/block/"

// sysDisks is that directory.
func sysDisks(s *subject) kernfs.Directory {
	var l entries
	for _, d := range s.k.disks.found() {
		l = append(l, kernfs.Entry{Name: d.Name, Mode: procDir, Dir: s.volumeDir(d, d.Whole())})
	}
	return l
}

// volumeDir is the directory of a disk or partition.
func (s *subject) volumeDir(d *disk, v *block.Volume) kernfs.Directory {
	about := &subject{k: s.k, disk: d, volume: v}
	l := about.entries(nil, sysDiskFiles[:])
	if v.Number != 0 {
		return about.entries(l, sysPartFiles[:])
	}
	l = about.entries(l, sysWholeFiles[:])
	d.volumes(func(p *block.Volume) bool {
		if p.Number != 0 {
			l = append(l, kernfs.Entry{Name: d.nameOf(p), Mode: procDir, Dir: s.volumeDir(d, p)})
		}
		return true
	})
	return append(l, link("subsystem", "../../../../class/block"))
}

// entries appends those of a table.
func (s *subject) entries(l entries, files []procFile) entries {
	for i := range files {
		l = append(l, s.entry(&files[i]))
	}
	return l
}

func link(name, target string) kernfs.Entry {
	return kernfs.Entry{Name: name, Mode: procLink, Link: func(*fs.Caller) (string, errno.Errno) { return target, 0 }}
}

// sysBlock is /sys/block: links to disks.
func sysBlock(s *subject) kernfs.Directory {
	var l entries
	for _, d := range s.k.disks.found() {
		l = append(l, link(d.Name, "../"+sysBlockTop+d.Name))
	}
	return l
}

// sysClassBlock is /sys/class/block: links to disks and partitions.
func sysClassBlock(s *subject) kernfs.Directory {
	return s.volumeLinks(func(d *disk, v *block.Volume) string { return d.nameOf(v) })
}

// sysDevBlock is /sys/dev/block: the same by number.
func sysDevBlock(s *subject) kernfs.Directory {
	return s.volumeLinks(func(d *disk, v *block.Volume) string {
		var x text
		x.device(d.rdev(v))
		return string(x.b)
	})
}

func (s *subject) volumeLinks(name func(d *disk, v *block.Volume) string) (l entries) {
	s.k.disks.each(func(d *disk, v *block.Volume) {
		target := "../../" + sysBlockTop + d.Name
		if v.Number != 0 {
			target += "/" + d.nameOf(v)
		}
		l = append(l, link(name(d, v), target))
	})
	return l
}
