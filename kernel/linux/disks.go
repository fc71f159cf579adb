package linux

import (
	"strconv"
	"sync"
	"sync/atomic"
	"unsafe"

	"gosv/kernel/block"
	"gosv/kernel/fs"
	"gosv/kernel/gotimer"
	"gosv/kernel/metal"
	"gosv/kernel/mm"
)

// disks are the disks of the system. Drivers add them; names, partitions and what
// programs see of them are made when somebody looks.
type disks struct {
	kernel *Kernel

	starting sync.Mutex
	offers   []func() // not started yet

	naming sync.Mutex // of nodes in /dev
	dev    fs.Inode   // its root, nil until somebody looks for a disk there

	frames atomic.Int64 // of memory that the caches have

	mu    sync.Mutex
	list  []*disk
	count [numDiskKinds]int
}

// DiskKind is what a disk's name begins with.
type DiskKind int

const (
	VirtioDisk DiskKind = iota
	SCSIDisk
	SCSICDROM
	numDiskKinds
)

// kinds: names and major numbers as Linux has them. Debian's kernel gives 254 to
// the first driver that wants any, which virtio's is.
var diskKinds = [numDiskKinds]struct {
	name   string
	major  uint32
	minors uint32 // of each disk: itself, and partitions
}{{"vd", 254, 16}, {"sd", 8, 16}, {"sr", 11, 1}}

// Partitions for which a disk has no minor are numbered under this major
// (BLOCK_EXT_MAJOR), 256 for each disk.
const extendedMajor = 259

// disk is one of them.
type disk struct {
	*block.Disk
	kind    DiskKind
	index   int // among those of its kind
	ordinal int // among all
	named   bool

	identify      sync.Once
	model, serial string
}

// AddDisk makes a disk of what a driver found.
func (k *Kernel) AddDisk(kind DiskKind, dev block.Device) *block.Disk {
	s := &k.disks
	s.mu.Lock()
	defer s.mu.Unlock()
	d := &disk{kind: kind, index: s.count[kind], ordinal: len(s.list)}
	s.count[kind]++
	name := diskKinds[kind].name
	if kind == SCSICDROM {
		name += strconv.Itoa(d.index)
	} else {
		name += letters(d.index)
	}
	d.Disk = block.NewDisk(name, dev, s)
	s.list = append(s.list, d)
	return d.Disk
}

// letters counts a, b, ..., z, aa, ab, ...
func letters(n int) string {
	s := string(rune('a' + n%26))
	for n = n/26 - 1; n >= 0; n = n/26 - 1 {
		s = string(rune('a'+n%26)) + s
	}
	return s
}

// RemoveDisk says that a disk has gone.
func (k *Kernel) RemoveDisk(b *block.Disk) {
	s := &k.disks
	b.Remove()
	var gone *disk
	s.mu.Lock()
	for i, d := range s.list {
		if d.Disk == b {
			// Others may be looking at the list.
			s.list = append(append(make([]*disk, 0, len(s.list)), s.list[:i]...), s.list[i+1:]...)
			gone = d
			break
		}
	}
	s.mu.Unlock()
	s.naming.Lock()
	defer s.naming.Unlock()
	if gone != nil && gone.named {
		s.dev.Unlink(gone.Name)
		s.unname(gone)
	}
}

// unname takes the nodes of d's partitions away; naming is held.
func (s *disks) unname(d *disk) {
	for n := 1; n <= maxPartitionNumber; n++ {
		s.dev.Unlink(d.partName(n))
	}
}

const maxPartitionNumber = 255

// partName is the name of a partition: a number, after a p if the disk's name ends with one.
func (d *disk) partName(n int) string {
	name := d.Name
	if c := name[len(name)-1]; c >= '0' && c <= '9' {
		name += "p"
	}
	return name + strconv.Itoa(n)
}

func (d *disk) nameOf(v *block.Volume) string {
	if v.Number == 0 {
		return d.Name
	}
	return d.partName(v.Number)
}

// rdev is the device number of a volume.
func (d *disk) rdev(v *block.Volume) uint32 {
	k := &diskKinds[d.kind]
	minors, n := k.minors, uint32(v.Number)
	switch {
	case n >= minors:
		return fs.Device(extendedMajor, uint32(d.ordinal)<<8|n)
	case d.kind == SCSIDisk && d.index >= 16: // 65 to 71 and 128 to 135 are for more of them
		major := uint32(d.index)/16 + 64
		if major > 71 {
			major += 128 - 72
		}
		return fs.Device(major, uint32(d.index)%16*minors|n)
	}
	return fs.Device(k.major, uint32(d.index)*minors+n)
}

// volumes calls f for the disk and its partitions.
func (d *disk) volumes(f func(v *block.Volume) bool) {
	if !f(d.Whole()) {
		return
	}
	if diskKinds[d.kind].minors == 1 {
		return
	}
	for _, v := range d.Partitions(new(sleeper)) {
		if !f(v) {
			return
		}
	}
}

// OfferDisks has start called when somebody looks for disks: it adds those that a device
// has. Only what FindDevices calls may use it.
func (k *Kernel) OfferDisks(start func()) { k.disks.offers = append(k.disks.offers, start) }

// found returns all disks, once they have been found.
func (s *disks) found() []*disk {
	s.kernel.NeedDevices()
	s.starting.Lock()
	for _, start := range s.offers {
		start()
	}
	s.offers = nil
	s.starting.Unlock()
	return s.known()
}

// known are those that have been found already.
func (s *disks) known() []*disk {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.list
}

// each calls f for all volumes of all disks.
func (s *disks) each(f func(d *disk, v *block.Volume)) {
	for _, d := range s.found() {
		d.volumes(func(v *block.Volume) bool { f(d, v); return true })
	}
}

// volume returns what has a device number, nil if nothing has.
func (s *disks) volume(rdev uint32) (dd *disk, found *block.Volume) {
	s.each(func(d *disk, v *block.Volume) {
		if found == nil && d.rdev(v) == rdev {
			dd, found = d, v
		}
	})
	return dd, found
}

// called returns what has a name in /dev, nil if nothing has.
func (s *disks) called(name string) (dd *disk, found *block.Volume) {
	s.each(func(d *disk, v *block.Volume) {
		if found == nil && d.nameOf(v) == name {
			dd, found = d, v
		}
	})
	return dd, found
}

// name makes nodes in dev, the root of /dev, for disks that have none.
func (s *disks) name(dev fs.Inode) {
	list := s.found()
	s.naming.Lock()
	defer s.naming.Unlock()
	s.dev = dev
	for _, d := range list {
		if !d.named && !d.Gone() {
			d.named = true
			d.volumes(func(v *block.Volume) bool {
				dev.Create(d.nameOf(v), fs.New{Mode: fs.Block | 0o600, Rdev: d.rdev(v)})
				return true
			})
		}
	}
}

// renumber is after a disk's partition table was read again.
func (s *disks) renumber(d *disk) {
	s.naming.Lock()
	dev := s.dev
	if d.named {
		s.unname(d)
		d.named = false
	}
	s.naming.Unlock()
	if dev != nil {
		s.name(dev)
	}
}

// sync writes everything back.
func (s *disks) sync() {
	for _, d := range s.known() {
		d.Sync(new(sleeper))
	}
}

// lastSync is sync for the end of the machine, which a disk that does not answer
// must not keep from ending.
func (s *disks) lastSync() {
	const patience = 30e9 // ns
	if len(s.known()) == 0 {
		return
	}
	var who sleeper
	var done, late atomic.Bool
	go func() {
		for _, d := range s.known() {
			d.Sync(block.NewSleeper())
		}
		done.Store(true)
		who.Wake()
	}()
	timer := gotimer.Start(patience, func() {
		late.Store(true)
		who.Wake()
	})
	for !done.Load() && !late.Load() {
		who.Park()
	}
	timer.Stop()
	if !done.Load() {
		s.kernel.log("gosv kernel: a disk does not answer: what was written last may be lost")
	}
}

// sleeper is a block.Sleeper: a thread of the application in the midst of something
// that does not know it.
type sleeper struct{ parker }

func (s *sleeper) Park() { s.park() }
func (s *sleeper) Wake() { s.wake() }

// Park and Wake make a thread a block.Sleeper: a signal does not end its wait.
func (t *Thread) Park() { t.park() }
func (t *Thread) Wake() { t.wake() }

// Memory for the caches. They may have what is free but for a quarter of all, and give
// back what they do not use when an eighth is left; but a little they have in any
// case.

const (
	cacheLeaves = 4
	cacheGives  = 8
	cacheHas    = 256 // pages
)

// Frames implements block.System.
func (s *disks) Frames(dst []uintptr) int {
	free, total := mm.FreeMemory()
	leaves := total / cacheLeaves
	most := uint64(len(dst))
	if have := s.frames.Load(); have < cacheHas && free < leaves {
		most, leaves = min(most, uint64(cacheHas-have)), total/32
	}
	n := metal.AllocFrames(dst[:min(most, (free-min(free, leaves))/pageSize)])
	s.frames.Add(int64(n))
	return n
}

// FreeFrames implements block.System.
func (s *disks) FreeFrames(src []uintptr) {
	metal.FreeFrames(src)
	s.frames.Add(-int64(len(src)))
}

// Reclaim implements block.System.
func (s *disks) Reclaim() bool { return s.giveBack(0, 1<<20) > 0 || s.reclaim() > 0 }

// Memory implements block.System.
func (s *disks) Memory(addr uintptr, n int) []byte {
	return unsafe.Slice((*byte)(metal.Phys(addr)), n)
}

// Later implements block.System.
func (s *disks) Later(ns uint64, f func()) { gotimer.Start(ns, f) }

// Forget implements block.System.
func (s *disks) Forget(c *block.Cache, lo, hi int64) {
	for _, p := range s.kernel.allProcesses() {
		p.forgetDisk(c, lo*pageSize, hi*pageSize)
	}
}

// giveBack has the caches give pages back if little memory is free; how many. It waits
// for nothing and takes no locks of address spaces.
func (s *disks) giveBack(free, total uint64) (n int) {
	const atOnce = 256
	if free >= total/cacheGives {
		return 0
	}
	for _, d := range s.known() {
		d.EachCache(func(c *block.Cache) {
			if n < atOnce {
				n += c.Shrink(atOnce - n)
			}
		})
	}
	return n
}

// reclaim is giveBack that takes mapped and changed pages, too. It blocks.
func (s *disks) reclaim() (n int) {
	const atOnce = 256
	for _, d := range s.known() {
		d.EachCache(func(c *block.Cache) {
			if n == 0 {
				n = c.Reclaim(new(sleeper), atOnce)
			}
		})
	}
	return n
}

// pages is how much memory the caches have, and how much of that is not yet on the
// disks, in bytes.
func (s *disks) pages() (all, dirty uint64) {
	for _, d := range s.known() {
		d.EachCache(func(c *block.Cache) {
			n, changed := c.Pages()
			all += uint64(n) * pageSize
			dirty += uint64(changed) * pageSize
		})
	}
	return all, dirty
}
