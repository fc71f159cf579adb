package block

import (
	"gosv/kernel/errno"
	"gosv/kernel/fs"
)

// Size is in bytes.
func (v *Volume) Size() int64 { return int64(v.sectors.Load()) * SectorSize }

// Cache is where its pages are, from byte Offset on.
func (v *Volume) Cache() *Cache { return v.cache }
func (v *Volume) Offset() int64 { return v.off }

// Use and Unuse count who has it open or mapped; Unuse says whether that was the last.
func (v *Volume) Use()        { v.uses.Add(1) }
func (v *Volume) Unuse() bool { return v.uses.Add(-1) == 0 }

// ReadOnly says whether nothing may be written to it.
func (v *Volume) ReadOnly() bool { return v.Disk.limits.ReadOnly || v.Locked.Load() }

// within returns how many of n bytes from off on there are.
func (v *Volume) within(off int64, n int) int { return int(max(min(int64(n), v.Size()-off), 0)) }

// ReadAt gives dst up to n bytes from off on: past the cache with direct, when all are
// multiples of the logical block.
func (v *Volume) ReadAt(s Sleeper, ra *Readahead, dst fs.Sink, off int64, n int, direct bool) (int, errno.Errno) {
	if v.Disk.Gone() {
		return 0, errno.EIO
	}
	if n = v.within(off, n); direct {
		return v.cache.Direct(s, dst, nil, v.off+off, n)
	}
	return v.cache.Read(s, ra, dst, v.off+off, n)
}

// WriteAt takes up to n bytes from src for off on.
func (v *Volume) WriteAt(s Sleeper, src fs.Source, off int64, n int, direct bool) (int, errno.Errno) {
	if v.Disk.Gone() {
		return 0, errno.EIO
	}
	if n = v.within(off, n); direct {
		return v.cache.Direct(s, nil, src, v.off+off, n)
	}
	return v.cache.Write(s, src, v.off+off, n)
}

// Fetch has bytes [off, off+n) read ahead.
func (v *Volume) Fetch(off, n int64) {
	if n = min(n, v.Size()-off); n > 0 {
		v.cache.Fetch((v.off+off)/PageSize, (v.off+off+n+PageSize-1)/PageSize)
	}
}

// Sync writes what was changed of bytes [lo, hi) to the disk, and with flush makes the disk
// keep it.
func (v *Volume) Sync(s Sleeper, lo, hi int64, flush bool) errno.Errno {
	if hi = min(hi, v.Size()); lo < hi {
		v.cache.sync(s, (v.off+lo)/PageSize, (v.off+hi+PageSize-1)/PageSize)
	}
	if flush {
		return v.Disk.Flush(s)
	}
	return 0
}

// Drop gives up what is in memory of bytes [lo, hi), but changes.
func (v *Volume) Drop(s Sleeper, lo, hi int64) {
	if hi = min(hi, v.Size()); lo < hi {
		v.cache.Invalidate(s, (v.off+lo+PageSize-1)/PageSize, (v.off+hi)/PageSize, true)
	}
}

// Discard tells the disk that bytes [lo, hi), multiples of its logical block, are not needed.
func (v *Volume) Discard(s Sleeper, lo, hi int64) errno.Errno {
	l := &v.Disk.limits
	if l.MaxDiscard == 0 {
		return errno.EOPNOTSUPP
	}
	v.displace(s, lo, hi)
	return v.each(lo, hi, uint64(l.MaxDiscard), func(sector, n uint64) errno.Errno {
		return v.Disk.command(s, Request{Op: Discard, Sector: sector, Count: n})
	})
}

// Zero makes bytes [lo, hi), multiples of the disk's logical block, zero, with hole only if
// the disk can do that itself, and perhaps take back what they are stored in.
func (v *Volume) Zero(s Sleeper, lo, hi int64, hole bool) (err errno.Errno) {
	l := &v.Disk.limits
	if l.MaxZeroes != 0 {
		v.displace(s, lo, hi)
		err = v.each(lo, hi, uint64(l.MaxZeroes), func(sector, n uint64) errno.Errno {
			return v.Disk.command(s, Request{Op: WriteZeroes, Sector: sector, Count: n, Unmap: hole})
		})
		if err != errno.EOPNOTSUPP {
			return err
		}
	}
	if hole {
		return errno.EOPNOTSUPP
	}
	for lo < hi && err == 0 {
		var n int
		n, err = v.cache.Direct(s, nil, zeros{}, v.off+lo, int(min(hi-lo, maxRequest)))
		lo += int64(n)
	}
	return err
}

// displace writes the pages at the edges of [lo, hi) back, and gives all in it up.
func (v *Volume) displace(s Sleeper, lo, hi int64) {
	lo, hi = lo+v.off, hi+v.off
	first, last := lo/PageSize, (hi+PageSize-1)/PageSize
	v.cache.sync(s, first, first+1)
	v.cache.sync(s, last-1, last)
	v.cache.Invalidate(s, first, last, false)
}

// each calls f for pieces of [lo, hi) of at most so many sectors.
func (v *Volume) each(lo, hi int64, most uint64, f func(sector, n uint64) errno.Errno) (err errno.Errno) {
	sector, end := v.Start+uint64(lo)/SectorSize, v.Start+uint64(hi)/SectorSize
	if most > 8 {
		most &^= 7 // so that blocks of 4 KiB stay whole
	}
	for sector < end && err == 0 {
		n := min(end-sector, most)
		err = f(sector, n)
		sector += n
	}
	return err
}

// zeros is a Source of zeros.
type zeros struct{}

func (zeros) Get(p []byte) int {
	clear(p)
	return len(p)
}
