package ext4

import (
	"gosv/internal/le"
	"gosv/kernel/errno"
	"gosv/kernel/fs"
)

// run is a piece of a file: blocks that lie side by side on the disk, or a hole.
type run struct {
	first uint64 // block of the file
	count uint64
	at    uint64 // block of the disk; 0 is a hole
}

// endOfFile is more blocks than a file can have.
const endOfFile = 1 << 32

// run returns the piece of the file that block i is in. With now it does not wait for the disk: EAGAIN.
func (n *inode) run(i uint64, now bool) (run, errno.Errno) {
	if r := n.last.Load(); r != nil && i-r.first < r.count {
		return *r, 0
	}
	find := n.indirect
	if n.flags&flagExtents != 0 {
		find = n.extent
	}
	r, err := find(i, now)
	if err == 0 && r.at != 0 && !n.fs.has(r.at, r.count) {
		err = errno.EUCLEAN
	}
	if err != 0 {
		return run{}, err
	}
	n.last.Store(&r)
	return r, 0
}

// Extents (struct ext4_extent_header, ext4_extent and ext4_extent_idx). A node is a header and entries,
// which begin with the block of the file.
const (
	extentMagic = 0xf30a
	extentSize  = 12 // of header and entries
	maxDepth    = 5

	ehEntries = 2
	ehMax     = 4
	ehDepth   = 6

	eeLength    = 4
	eeStartHigh = 6
	eeStart     = 8

	eiLeaf     = 4
	eiLeafHigh = 8

	maxExtent = 1 << 15 // longer ones are reserved only, and read as zeros
)

// extent finds a run in a tree of extents.
func (n *inode) extent(i uint64, now bool) (run, errno.Errno) {
	b := n.raw[inBlock:inBlockEnd]
	next := uint64(endOfFile) // where the next extent begins
	for depth := -1; ; {
		entries, most, d := int(le.U16(b, ehEntries)), int(le.U16(b, ehMax)), int(le.U16(b, ehDepth))
		if le.U16(b, 0) != extentMagic || entries > most || extentSize*(1+most) > len(b) || d > maxDepth || depth >= 0 && d != depth-1 {
			return run{}, errno.EUCLEAN
		}
		depth = d
		// The last entry that does not begin behind i.
		lo, hi := 0, entries
		for lo < hi {
			if mid := (lo + hi) / 2; uint64(le.U32(b, extentSize*(1+mid))) <= i {
				lo = mid + 1
			} else {
				hi = mid
			}
		}
		if lo < entries {
			next = min(next, uint64(le.U32(b, extentSize*(1+lo))))
		}
		hole := run{first: i, count: max(next, i+1) - i}
		if lo == 0 {
			return hole, 0
		}
		e := b[extentSize*lo:]
		first := uint64(le.U32(e, 0))
		if depth == 0 {
			length, at := uint64(le.U16(e, eeLength)), uint64(le.U32(e, eeStart))|uint64(le.U16(e, eeStartHigh))<<32
			written := length <= maxExtent
			if !written {
				length -= maxExtent
			}
			switch {
			case i >= first+length:
				return hole, 0
			case at == 0 || first+length > next:
				return run{}, errno.EUCLEAN
			case !written:
				at = 0
			}
			return run{first, length, at}, 0
		}
		leaf := uint64(le.U32(e, eiLeaf)) | uint64(le.U16(e, eiLeafHigh))<<32
		var err errno.Errno
		if b, err = n.fs.block(leaf, now); err != 0 {
			return run{}, err
		}
		err = n.fs.verify(leaf, func() bool {
			tail := extentSize * (1 + int(le.U16(b, ehMax)))
			return tail+4 <= len(b) && n.fs.sum(n.seed, b[:tail]) == le.U32(b, tail)
		})
		if err != 0 {
			return run{}, err
		}
	}
}

// indirect finds a run in the tables of blocks that ext2 and ext3 have.
func (n *inode) indirect(i uint64, now bool) (run, errno.Errno) {
	const direct = 12
	per := n.fs.blockSize / 4
	table := n.raw[inBlock : inBlock+4*direct]
	k, size := i, uint64(1) // entry of the table, and how many blocks it stands for
	if i >= direct {
		k -= direct
		level := 1
		for size = per; k >= size && level < 3; level++ {
			k -= size
			size *= per
		}
		if k >= size {
			return run{first: i, count: endOfFile}, 0
		}
		at := uint64(le.U32(n.raw, inBlock+4*(direct-1+level)))
		for ; level > 0; level-- {
			if at == 0 {
				return run{first: i, count: size - k}, 0
			}
			var err errno.Errno
			if table, err = n.fs.block(at, now); err != 0 {
				return run{}, err
			}
			size /= per
			if level > 1 {
				at = uint64(le.U32(table, int(4*(k/size))))
				k %= size
			}
		}
	}
	r := run{first: i, at: uint64(le.U32(table, int(4*k)))}
	for ; k < uint64(len(table))/4; k++ {
		want := r.at
		if r.at != 0 {
			want += r.count
		}
		if uint64(le.U32(table, int(4*k))) != want {
			break
		}
		r.count++
	}
	return r, 0
}

// ReadAt implements fs.Inode.
func (n *inode) ReadAt(dst fs.Sink, off int64, count int) (int, errno.Errno) {
	if !fs.IsRegular(n.mode) {
		return n.Base.ReadAt(dst, off, count)
	}
	done, err := n.read(dst, uint64(off), count)
	if done > 0 {
		err = 0
	}
	return done, err
}

// read gives dst up to count bytes of the contents from off on.
func (n *inode) read(dst fs.Sink, off uint64, count int) (done int, err errno.Errno) {
	f := n.fs
	for done < count && off < n.size {
		want, got := int(min(uint64(count-done), n.size-off)), 0
		if n.flags&flagInline != 0 {
			b, at := n.inline[0], off
			if at >= uint64(len(b)) {
				b, at = n.inline[1], at-uint64(len(b))
			}
			if at >= uint64(len(b)) { // of a file that is longer than that the rest are zeros
				b, at = fs.Zeros[:], 0
			}
			want = min(want, len(b[at:]))
			got = dst.Put(b[at:][:want])
		} else {
			var r run
			if r, err = n.run(off>>f.blockBits, false); err != 0 {
				break
			}
			skip, length := off-r.first<<f.blockBits, r.count<<f.blockBits
			want = int(min(uint64(want), length-skip))
			if r.at != 0 {
				at := r.at << f.blockBits
				got, err = f.disk.ReadAt(&n.ahead, dst, int64(at+skip), int64(at+length), want)
			} else {
				for got < want {
					k := min(want-got, len(fs.Zeros))
					put := dst.Put(fs.Zeros[:k])
					if got += put; put < k {
						break
					}
				}
			}
		}
		done += got
		off += uint64(got)
		if got < want || err != 0 {
			break
		}
	}
	return done, err
}

// WriteAt implements fs.Inode.
func (n *inode) WriteAt(fs.Source, int64, int) (int, errno.Errno) { return 0, errno.EROFS }

// Append implements fs.Inode.
func (n *inode) Append(fs.Source, int) (int, int64, errno.Errno) { return 0, 0, errno.EROFS }

// SeekExtent implements fs.Inode.
func (n *inode) SeekExtent(off int64, whence int) (int64, errno.Errno) {
	if !fs.IsRegular(n.mode) {
		return n.Base.SeekExtent(off, whence)
	}
	if off < 0 || uint64(off) >= n.size {
		return 0, errno.ENXIO
	}
	pos := uint64(off)
	for n.flags&flagInline == 0 && pos < n.size {
		r, err := n.run(pos>>n.fs.blockBits, false)
		if err != 0 {
			return 0, err
		}
		if (r.at == 0) == (whence == fs.SeekHole) {
			return int64(pos), 0
		}
		pos = (r.first + r.count) << n.fs.blockBits
	}
	switch {
	case whence == fs.SeekHole:
		return int64(n.size), 0
	case n.flags&flagInline != 0:
		return off, 0
	}
	return 0, errno.ENXIO
}

// Map implements fs.Inode.
func (n *inode) Map() {
	n.fs.copies.Map(uint64(n.ino))
	n.fs.disk.Map()
}

// Unmap implements fs.Inode.
func (n *inode) Unmap() {
	n.fs.copies.Unmap(uint64(n.ino))
	n.fs.disk.Unmap()
}

// whole returns where on the disk the whole pages from off on lie in one piece, and how many bytes
// they are; none if not even one does. A hole is at 0.
func (n *inode) whole(off uint64, now bool) (at, length uint64, err errno.Errno) {
	if n.flags&flagInline != 0 {
		return 0, 0, 0
	}
	bits := n.fs.blockBits
	r, err := n.run(off>>bits, now)
	if err != 0 {
		return 0, 0, err
	}
	skip := off - r.first<<bits
	length = min(r.count<<bits-skip, (n.size-off+fs.PageSize-1)&^(fs.PageSize-1))
	if r.at == 0 {
		if end := n.size - off; length < fs.PageSize && length >= end { // the hole goes on behind the file's end
			length = fs.PageSize
		}
		return 0, length &^ (fs.PageSize - 1), 0
	}
	if at = r.at<<bits + skip; at%fs.PageSize != 0 {
		length = 0
	}
	return at, length &^ (fs.PageSize - 1), 0
}

// Pages implements fs.Inode.
func (n *inode) Pages(off int64, limit int, write bool) ([]byte, errno.Errno) {
	if !fs.IsRegular(n.mode) {
		return n.Base.Pages(off, limit, write)
	}
	if off < 0 || uint64(off) >= n.size {
		return nil, 0
	}
	at, length, err := n.whole(uint64(off), true)
	switch {
	case err != 0:
		return nil, err
	case length != 0 && at == 0:
		return n.fs.copies.Hole()
	case length != 0:
		b := n.fs.disk.Pages(int64(at), min(int(length/fs.PageSize), limit))
		if b == nil {
			return nil, errno.EAGAIN
		}
		end := n.size - uint64(off)
		if end >= uint64(len(b)) || isZero(b[end:]) {
			return b, 0
		}
		if len(b) > fs.PageSize {
			return b[:len(b)-fs.PageSize], 0
		}
	}
	if p := n.fs.copies.Get(uint64(n.ino), off/fs.PageSize); p != nil {
		return p, 0
	}
	return nil, errno.EAGAIN
}

// Fetch implements fs.Fetcher.
func (n *inode) Fetch(off int64) errno.Errno {
	at, length, err := n.whole(uint64(off), false)
	if err != 0 || length != 0 && at == 0 {
		return err
	}
	b := make([]byte, fs.PageSize)
	end := min(n.size-uint64(off), fs.PageSize)
	if length != 0 {
		if err = n.fs.disk.Await(int64(at), int64(min(length, fs.FetchAround))); err != 0 {
			return err
		}
		// Behind the file's end there should be zeros.
		if err = n.fs.disk.Read(b[end:], int64(at+end)); err != 0 || isZero(b[end:]) {
			return err
		}
		clear(b[end:])
	}
	k, err := n.read(&fs.Buffer{Bytes: b[:0:end]}, uint64(off), int(end))
	if err == 0 && uint64(k) < end {
		err = errno.EIO
	}
	if err == 0 {
		_, err = n.fs.copies.Add(uint64(n.ino), off/fs.PageSize, b)
	}
	return err
}

// Cached implements fs.Fetcher.
func (n *inode) Cached(cache any) bool { return n.fs.disk.Is(cache) }

func isZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
