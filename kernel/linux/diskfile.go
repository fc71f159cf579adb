package linux

import (
	"sync"

	"gosv/kernel/block"
	"gosv/kernel/fs"
)

// diskFile is what an open block device has besides its inode (inodeFile).
type diskFile struct {
	disk   *disk
	volume *block.Volume

	mu    sync.Mutex
	ahead block.Readahead
	seen  uint32 // failures to write that fsync has told
}

// openDisk opens the block device that n stands for.
func (t *Thread) openDisk(n fs.Inode, flags uint32) (object, Errno) {
	d, v := t.proc.kernel.disks.volume(n.Attr().Rdev)
	if v == nil {
		return nil, ENXIO
	}
	if how := flags & oAccMode; how != oRdonly && d.kind != VirtioDisk && d.Limits().ReadOnly {
		return nil, EROFS
	}
	o := &diskFile{disk: d, volume: v}
	o.seen, _ = v.Cache().Failed(0)
	v.Use()
	return &inodeFile{inode: n, disk: o}, 0
}

// disk returns f's block device, nil if it is something else.
func (f *File) disk() *diskFile {
	if o, ok := f.io.(*inodeFile); ok {
		return o.disk
	}
	return nil
}

func (d *diskFile) close() {
	if d.volume.Unuse() {
		d.volume.Sync(new(sleeper), 0, d.volume.Size(), false)
	}
}

// aligned says whether O_DIRECT can do with u at off: places and lengths in logical
// blocks, addresses in what the devices' DMA wants, 512 bytes (open(2)).
func (d *diskFile) aligned(u *userIO, off int64) bool {
	const dma = 511
	block := uintptr(d.disk.Limits().LogicalBlock - 1)
	bits := uintptr(off)
	if u.kernel != nil {
		return (bits|uintptr(u.left))&block == 0
	}
	for _, p := range u.parts {
		if p.base&dma != 0 {
			return false
		}
		bits |= p.len
	}
	return bits&block == 0
}

func (d *diskFile) readAt(f *File, u *userIO, off int64) (int, Errno) {
	direct := f.flags.Load()&oDirect != 0
	if direct && !d.aligned(u, off) {
		return 0, EINVAL
	}
	if u.left == 0 {
		return 0, 0
	}
	var ra *block.Readahead
	if d.mu.TryLock() { // two reads at once are not sequential
		defer d.mu.Unlock()
		ra = &d.ahead
	}
	return d.volume.ReadAt(u.t, ra, u, off, u.left, direct)
}

func (d *diskFile) writeAt(f *File, u *userIO, off int64) (int, Errno) {
	flags := f.flags.Load()
	direct := flags&oDirect != 0
	switch {
	case d.volume.ReadOnly():
		return 0, EPERM
	case u.left == 0:
		return 0, 0
	case d.disk.Gone():
		return 0, EIO
	case off >= d.volume.Size():
		return 0, ENOSPC
	case direct && !d.aligned(u, off):
		return 0, EINVAL
	}
	n, err := d.volume.WriteAt(u.t, u, off, u.left, direct)
	if n > 0 && (flags&oDsync != 0 || u.durable) {
		if err := d.sync(u.t, off, off+int64(n)); err != 0 {
			return 0, err
		}
	}
	return n, err
}

// sync is fsync(2) of a part.
func (d *diskFile) sync(t *Thread, lo, hi int64) Errno {
	err := d.volume.Sync(t, lo, hi, true)
	d.mu.Lock()
	defer d.mu.Unlock()
	seen, failed := d.volume.Cache().Failed(d.seen)
	d.seen = seen
	if failed != 0 {
		err = failed
	}
	return err
}

// Requests of ioctl(2) for block devices (linux/fs.h).
const (
	blkROSet        = 0x125d
	blkROGet        = 0x125e
	blkRRPart       = 0x125f
	blkGetSize      = 0x1260
	blkFlsBuf       = 0x1261
	blkRASet        = 0x1262
	blkRAGet        = 0x1263
	blkFRASet       = 0x1264
	blkFRAGet       = 0x1265
	blkSectGet      = 0x1267
	blkSSZGet       = 0x1268
	blkBSZGet       = 0x80081270
	blkBSZSet       = 0x40081271
	blkGetSize64    = 0x80081272
	blkDiscard      = 0x1277
	blkIOMin        = 0x1278
	blkIOOpt        = 0x1279
	blkAlignOff     = 0x127a
	blkPBSZGet      = 0x127b
	blkDiscardZeros = 0x127c
	blkSecDiscard   = 0x127d
	blkRotational   = 0x127e
	blkZeroOut      = 0x127f
	blkGetDiskSeq   = 0x80081280

	readAheadSectors = 256
)

func (d *diskFile) ioctl(t *Thread, f *File, req, arg uintptr) (uintptr, Errno) {
	v, l := d.volume, d.disk.Limits()
	number := uint64(0)
	width := uintptr(4)
	switch req {
	case blkROGet:
		if v.ReadOnly() {
			number = 1
		}
	case blkGetSize:
		number, width = uint64(v.Size())/block.SectorSize, 8
	case blkGetSize64:
		number, width = uint64(v.Size()), 8
	case blkSSZGet:
		number = uint64(l.LogicalBlock)
	case blkPBSZGet, blkIOMin:
		number = uint64(l.PhysicalBlock)
	case blkBSZGet:
		number = d.blockSize()
	case blkIOOpt, blkAlignOff, blkDiscardZeros:
	case blkRotational:
		number, width = 1, 2
	case blkRAGet, blkFRAGet:
		number, width = readAheadSectors, 8
	case blkSectGet:
		number, width = maxSectors, 2
	case blkGetDiskSeq:
		number, width = uint64(d.disk.ordinal)+1, 8
	case blkFlsBuf, blkRRPart, blkROSet, blkRASet, blkFRASet, blkBSZSet:
		if c := t.caller(); !c.Can(capSysAdmin) {
			return 0, EACCES
		}
		return 0, d.admin(t, req, arg)
	case blkDiscard, blkSecDiscard, blkZeroOut:
		return 0, d.erase(t, f, req, arg)
	default:
		return 0, ENOTTY
	}
	var b [8]byte
	putUint64(b[:], number)
	return 0, t.CopyOut(arg, b[:width])
}

// blockSize is the largest that divides the disk, up to a page (set_init_blocksize, block/bdev.c).
func (d *diskFile) blockSize() uint64 {
	n := uint64(d.disk.Limits().LogicalBlock)
	for n < pageSize && uint64(d.volume.Size())&n == 0 {
		n *= 2
	}
	return n
}

const maxSectors = 1 << 20 / block.SectorSize

func (d *diskFile) admin(t *Thread, req, arg uintptr) Errno {
	v := d.volume
	switch req {
	case blkFlsBuf:
		v.Sync(t, 0, v.Size(), false)
		v.Drop(t, 0, v.Size())
		return 0
	case blkRRPart:
		if v.Number != 0 || diskKinds[d.disk.kind].minors == 1 {
			return EINVAL
		}
		v.Sync(t, 0, v.Size(), false)
		if err := d.disk.Rescan(t); err != 0 {
			return err
		}
		t.proc.kernel.disks.renumber(d.disk)
		return 0
	case blkBSZSet:
		var n int32
		if err := copyIn(t, &n, arg); err != 0 {
			return err
		}
		if n < int32(d.disk.Limits().LogicalBlock) || n > pageSize || n&(n-1) != 0 {
			return EINVAL
		}
		return 0
	case blkROSet:
		var on int32
		if err := copyIn(t, &on, arg); err != 0 {
			return err
		}
		v.Locked.Store(on != 0)
	}
	return 0 // readahead follows what is read
}

// erase is BLKDISCARD, BLKSECDISCARD and BLKZEROOUT.
func (d *diskFile) erase(t *Thread, f *File, req, arg uintptr) Errno {
	var r [2]uint64
	v, l := d.volume, d.disk.Limits()
	if !f.canWrite() {
		return EBADF
	}
	if req == blkSecDiscard || req == blkDiscard && l.MaxDiscard == 0 {
		return EOPNOTSUPP
	}
	if err := copyIn(t, &r, arg); err != 0 {
		return err
	}
	start, n := r[0], r[1]
	end := start + n
	switch {
	case (start|n)&(block.SectorSize-1) != 0, end < start, end > uint64(v.Size()):
		return EINVAL
	case v.ReadOnly():
		return EPERM
	case (start|n)&uint64(l.LogicalBlock-1) != 0:
		return EINVAL
	case n == 0:
		if req == blkZeroOut {
			return EINVAL
		}
		return 0
	case req == blkDiscard:
		return v.Discard(t, int64(start), int64(end))
	}
	return v.Zero(t, int64(start), int64(end), false)
}

// allocate is fallocate(2): ranges can become zero, with or without a hole.
func (d *diskFile) allocate(t *Thread, mode uint32, off, n int64) Errno {
	const zero = 0x10
	v, l := d.volume, d.disk.Limits()
	end, size := off+n, v.Size()
	if mode&^(fs.KeepSize|fs.PunchHole|zero) != 0 {
		return EOPNOTSUPP
	}
	if off >= size {
		return EINVAL
	}
	if end >= size || end < off {
		if mode&fs.KeepSize == 0 {
			return EINVAL
		}
		end = size
	}
	if (off|(end-off))&int64(l.LogicalBlock-1) != 0 {
		return EINVAL
	}
	switch {
	case mode&^fs.KeepSize == 0:
		return EOPNOTSUPP
	case v.ReadOnly():
		return EPERM
	}
	return v.Zero(t, off, end, mode&fs.PunchHole != 0)
}

// Advice of posix_fadvise(2).
const (
	fadvNormal     = 0
	fadvRandom     = 1
	fadvSequential = 2
	fadvWillNeed   = 3
	fadvDontNeed   = 4
)

// advise is posix_fadvise(2); n 0 stands for all that follows.
func (d *diskFile) advise(t *Thread, off, n int64, advice uint32) {
	end := off + n
	if size := d.volume.Size(); n == 0 || end < off || end > size {
		end = size
	}
	switch advice {
	case fadvNormal, fadvRandom, fadvSequential:
		d.mu.Lock()
		d.ahead.Off, d.ahead.Double = advice == fadvRandom, advice == fadvSequential
		d.mu.Unlock()
	case fadvWillNeed:
		d.volume.Fetch(off, end-off)
	case fadvDontNeed:
		d.volume.Sync(t, off, end, false)
		d.volume.Drop(t, off, end)
	}
}
