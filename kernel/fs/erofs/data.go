package erofs

import (
	"gosv/kernel/errno"
	"gosv/kernel/fs"
)

// hole is where a piece of a file is that is nowhere: it reads as zeros.
const hole = 1<<64 - 1

// where returns the offset in the image of the file's bytes from off on, which
// must be before its end, and how many of them lie in one piece there.
func (n *inode) where(off uint64) (at, length uint64, err errno.Errno) {
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
	addr, err := n.chunkAt(off >> n.chunk)
	skip := off & (1<<n.chunk - 1)
	at = addr<<blockBits + skip
	if addr == noBlock {
		at = hole
	}
	return at, min(1<<n.chunk-skip, n.size-off), err
}

// piece returns the file's bytes from off on as far as they lie in one piece.
func (n *inode) piece(off uint64) ([]byte, errno.Errno) {
	at, length, err := n.where(off)
	if err != 0 {
		return nil, err
	}
	if at == hole {
		return fs.Zeros[:min(length, fs.PageSize)], 0
	}
	return n.fs.span(at, length)
}

// chunkAt returns the block at which a chunk begins, noBlock for a hole.
func (n *inode) chunkAt(i uint64) (uint64, errno.Errno) {
	if !n.index {
		b, err := n.fs.span(n.extra+i*chunkEntry, chunkEntry)
		if err != 0 {
			return 0, err
		}
		return uint64(le32(b, 0)), 0
	}
	b, err := n.fs.span(n.extra+i*chunkIndex, chunkIndex)
	if err != 0 {
		return 0, err
	}
	addr := uint64(le32(b, chunkIndexAddr))
	if addr != noBlock && le16(b, chunkIndexDev) != 0 {
		return 0, errno.EUCLEAN
	}
	return addr, 0
}

// ReadAt implements fs.Inode.
func (n *inode) ReadAt(dst fs.Sink, off int64, count int) (int, errno.Errno) {
	if !fs.IsRegular(n.mode) {
		return n.Base.ReadAt(dst, off, count)
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
		addr, err := n.chunkAt(i)
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

// tail is the last page of a mapped file whose end is behind its inode: that
// can not be mapped where it is.
type tail struct {
	maps int
	page []byte // nil until somebody wants it
}

// hasTail says whether n's end is behind its inode.
func (n *inode) hasTail() bool { return n.layout == layoutInline && n.size%blockSize != 0 }

// Map implements fs.Inode.
func (n *inode) Map() {
	if !n.hasTail() {
		return
	}
	f := n.fs
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.tails[n.nid]
	if t == nil {
		if f.tails == nil {
			f.tails = make(map[uint64]*tail)
		}
		t = &tail{}
		f.tails[n.nid] = t
	}
	t.maps++
}

// Unmap implements fs.Inode.
func (n *inode) Unmap() {
	if !n.hasTail() {
		return
	}
	f := n.fs
	f.mu.Lock()
	defer f.mu.Unlock()
	if t := f.tails[n.nid]; t != nil {
		if t.maps--; t.maps == 0 {
			delete(f.tails, n.nid)
			if t.page != nil {
				f.pages.Free(t.page)
			}
		}
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
	pos := uint64(off)
	at, length, err := n.where(pos)
	switch {
	case err != 0:
		return nil, err
	case at == hole:
		return n.fs.holePage()
	case at%fs.PageSize != 0:
		return n.tailPage(at, length)
	}
	// The file's last block is all there: zeros fill it up.
	pages := min((length-1)/fs.PageSize+1, uint64(limit))
	return n.fs.span(at, pages*fs.PageSize)
}

// tailPage returns a copy of the file's end, which is somewhere in the middle
// of a block.
func (n *inode) tailPage(at, length uint64) ([]byte, errno.Errno) {
	f := n.fs
	b, err := f.span(at, length)
	if err != 0 {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.tails[n.nid]
	if t == nil {
		return nil, errno.EINVAL // not without Map
	}
	if t.page == nil {
		if t.page = f.pages.Alloc(); t.page == nil {
			return nil, errno.ENOMEM
		}
		copy(t.page, b)
	}
	return t.page, 0
}

// holePage returns the page that all holes in files are mapped as.
func (f *FS) holePage() ([]byte, errno.Errno) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.hole == nil {
		if f.hole = f.pages.Alloc(); f.hole == nil {
			return nil, errno.ENOMEM
		}
	}
	return f.hole, 0
}
