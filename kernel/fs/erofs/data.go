package erofs

import (
	"gosv/internal/le"
	"gosv/kernel/errno"
	"gosv/kernel/fs"
)

// hole is where a piece of a file is that is nowhere: it reads as zeros.
const hole = 1<<64 - 1

// where returns the offset in the image of the file's bytes from off on, which
// must be before its end, and how many of them lie in one piece there. With now it
// does not wait for a disk: EAGAIN.
func (n *inode) where(off uint64, now bool) (at, length uint64, err errno.Errno) {
	full := n.size
	switch n.layout {
	case layoutInline:
		if full &^= blockSize - 1; off >= full {
			return n.extra + off%blockSize, n.size - off, 0
		}
		fallthrough
	case layoutPlain:
		return n.data + off, full - off, 0
	}
	addr, err := n.chunkAt(off>>n.chunk, now)
	skip := off & (1<<n.chunk - 1)
	length = min(1<<n.chunk-skip, n.size-off)
	if addr == noBlock {
		return hole, length, err
	}
	at = addr<<blockBits + skip
	if err == 0 {
		err = n.fs.inside(at, length)
	}
	return at, length, err
}

// piece returns the file's bytes from off on as far as they lie in one piece: of
// those on a disk, a block at most.
func (n *inode) piece(off uint64) ([]byte, errno.Errno) {
	at, length, err := n.where(off, false)
	if err != 0 {
		return nil, err
	}
	if at == hole {
		return fs.Zeros[:min(length, fs.PageSize)], 0
	}
	if n.fs.disk != nil {
		length = min(length, blockSize)
	}
	return n.fs.span(at, length)
}

// chunkAt returns the block at which a chunk begins, noBlock for a hole.
func (n *inode) chunkAt(i uint64, now bool) (uint64, errno.Errno) {
	size := uint64(chunkEntry)
	if n.index {
		size = chunkIndex
	}
	off := n.extra + i*size
	var b []byte
	err := errno.EAGAIN
	if n.fs.disk == nil || !now {
		b, err = n.fs.span(off, size)
	} else if b = make([]byte, size); n.fs.disk.Peek(b, int64(off)) {
		err = 0
	}
	if err != 0 {
		return 0, err
	}
	if !n.index {
		return uint64(le.U32(b, 0)), 0
	}
	addr := uint64(le.U32(b, chunkIndexAddr))
	if addr != noBlock && le.U16(b, chunkIndexDev) != 0 {
		return 0, errno.EUCLEAN
	}
	return addr, 0
}

// ReadAt implements fs.Inode.
func (n *inode) ReadAt(dst fs.Sink, off int64, count int) (int, errno.Errno) {
	if !fs.IsRegular(n.mode) {
		return n.Base.ReadAt(dst, off, count)
	}
	if n.fs.disk != nil {
		return n.readDisk(dst, uint64(off), count)
	}
	done, pos := 0, uint64(off)
	for done < count && pos < n.size {
		b, err := n.piece(pos)
		if err != 0 {
			if done > 0 {
				break
			}
			return 0, err
		}
		b = b[:min(len(b), count-done)]
		k := dst.Put(b)
		done += k
		pos += uint64(k)
		if k < len(b) {
			break
		}
	}
	return done, 0
}

// readDisk is ReadAt of a file on a disk.
func (n *inode) readDisk(dst fs.Sink, pos uint64, count int) (done int, err errno.Errno) {
	for done < count && pos < n.size {
		var at, length uint64
		if at, length, err = n.where(pos, false); err != 0 {
			break
		}
		k, want := 0, int(min(length, uint64(count-done)))
		if at == hole {
			want = min(want, fs.PageSize)
			k = dst.Put(fs.Zeros[:want])
		} else {
			k, err = n.fs.disk.ReadAt(n.ahead, dst, int64(at), int64(at+length), want)
		}
		done += k
		pos += uint64(k)
		if k < want || err != 0 {
			break
		}
	}
	if done > 0 {
		err = 0
	}
	return done, err
}

// WriteAt implements fs.Inode.
func (n *inode) WriteAt(fs.Source, int64, int) (int, errno.Errno) { return 0, errno.EROFS }

// Append implements fs.Inode.
func (n *inode) Append(fs.Source, int) (int, int64, errno.Errno) { return 0, 0, errno.EROFS }

// SeekExtent implements fs.Inode.
func (n *inode) SeekExtent(off int64, whence int) (int64, errno.Errno) {
	if off < 0 || uint64(off) >= n.size {
		return 0, errno.ENXIO
	}
	if n.layout != layoutChunks {
		if whence == fs.SeekHole {
			return int64(n.size), 0
		}
		return off, 0
	}
	for i, last := uint64(off)>>n.chunk, (n.size-1)>>n.chunk; i <= last; i++ {
		addr, err := n.chunkAt(i, false)
		if err != 0 {
			return 0, err
		}
		if (addr == noBlock) == (whence == fs.SeekHole) {
			return max(off, int64(i<<n.chunk)), 0
		}
	}
	if whence == fs.SeekHole {
		return int64(n.size), 0
	}
	return 0, errno.ENXIO
}

// hasTail says whether n's end is behind its inode: its last page cannot be
// mapped where it is.
func (n *inode) hasTail() bool { return n.layout == layoutInline && n.size%blockSize != 0 }

// Map implements fs.Inode.
func (n *inode) Map() {
	if n.hasTail() {
		n.fs.copies.Map(n.nid)
	}
	if n.fs.disk != nil {
		n.fs.disk.Map()
	}
}

// Unmap implements fs.Inode.
func (n *inode) Unmap() {
	if n.hasTail() {
		n.fs.copies.Unmap(n.nid)
	}
	if n.fs.disk != nil {
		n.fs.disk.Unmap()
	}
}

// Pages implements fs.Inode.
func (n *inode) Pages(off int64, limit int, write bool) ([]byte, errno.Errno) {
	if !fs.IsRegular(n.mode) {
		return n.Base.Pages(off, limit, write)
	}
	if off < 0 || uint64(off) >= n.size {
		return nil, 0
	}
	at, length, err := n.where(uint64(off), true)
	switch {
	case err != 0:
		return nil, err
	case at == hole:
		return n.fs.copies.Hole()
	case at%fs.PageSize != 0:
		return n.tailPage(off/fs.PageSize, at, length)
	}
	// The file's last block is all there: zeros fill it up.
	pages := min((length-1)/fs.PageSize+1, uint64(limit))
	if n.fs.disk == nil {
		return n.fs.span(at, pages*fs.PageSize)
	}
	if b := n.fs.disk.Pages(int64(at), int(pages)); b != nil {
		return b, 0
	}
	return nil, errno.EAGAIN
}

// tailPage returns a copy of the file's end, which is somewhere in the middle
// of a block.
func (n *inode) tailPage(page int64, at, length uint64) ([]byte, errno.Errno) {
	if p := n.fs.copies.Get(n.nid, page); p != nil {
		return p, 0
	}
	if n.fs.disk != nil {
		return nil, errno.EAGAIN
	}
	b, err := n.fs.span(at, length)
	if err != 0 {
		return nil, err
	}
	return n.fs.copies.Add(n.nid, page, b)
}

// Fetch implements fs.Fetcher.
func (n *inode) Fetch(off int64) errno.Errno {
	at, length, err := n.where(uint64(off), false)
	if err != 0 || at == hole || n.fs.disk == nil {
		return err
	}
	if at%fs.PageSize == 0 {
		return n.fs.disk.Await(int64(at), int64(min(length, fs.FetchAround)))
	}
	b, err := n.fs.span(at, length)
	if err == 0 {
		_, err = n.fs.copies.Add(n.nid, off/fs.PageSize, b)
	}
	return err
}

// Cached implements fs.Fetcher.
func (n *inode) Cached(cache any) bool { return n.fs.disk != nil && n.fs.disk.Is(cache) }
