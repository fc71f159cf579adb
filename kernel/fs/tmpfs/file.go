package tmpfs

import (
	"sync"
	"sync/atomic"

	"gosv/kernel/errno"
	"gosv/kernel/fs"
)

// file is a regular file's contents: its own pages, below those the lower
// file's up to baseEnd, and zeros where neither is.
//
// rw is held while bytes go in or out, which may have to wait for a page of
// another file, or of this one: so index, which is all that Pages takes, is
// only held to look pages up and put them in.
type file struct {
	rw   sync.RWMutex
	size atomic.Int64 // changes with rw locked

	index   sync.Mutex
	pages   pageIndex
	base    fs.Inode // nil if there is no lower file
	baseEnd int64    // changes with rw locked, too
	baseAll int64    // what it was
}

// blocks returns how much memory the file takes, in 512 bytes.
func (f *file) blocks() int64 {
	f.index.Lock()
	defer f.index.Unlock()
	return max(f.pages.count, (f.baseEnd+fs.PageSize-1)/fs.PageSize) * (fs.PageSize / 512)
}

// read gives dst up to count bytes from off on, as far as they are in one place,
// with rw locked.
func (f *file) read(dst fs.Sink, off int64, count int) (int, errno.Errno) {
	i := off / fs.PageSize
	f.index.Lock()
	p := f.pages.get(i)
	if p == nil && off < f.baseEnd {
		if next := f.pages.next(i); next > 0 {
			count = int(min(int64(count), next*fs.PageSize-off))
		}
		count = int(min(int64(count), f.baseEnd-off))
		f.index.Unlock()
		return f.base.ReadAt(dst, off, count)
	}
	f.index.Unlock()
	if p == nil {
		p = &fs.Zeros
	}
	b := p[off%fs.PageSize:]
	return dst.Put(b[:min(len(b), count)]), 0
}

// own returns page i as the file's own, made if need be, with rw locked. What is not
// locked meanwhile is index: the lower file's page may have to be waited for.
func (f *file) own(i int64, mem fs.PageAlloc) ([]byte, errno.Errno) {
	f.index.Lock()
	p := f.pages.get(i)
	if p != nil {
		f.pages.setClean(i, false)
	}
	f.index.Unlock()
	if p != nil {
		return p[:], 0
	}
	b := mem.Alloc()
	if b == nil {
		return nil, errno.ENOSPC
	}
	if off := i * fs.PageSize; off < f.baseEnd {
		n := min(f.baseEnd-off, fs.PageSize)
		if k, err := fs.ReadFull(f.base, b[:n], off); err != 0 || int64(k) < n {
			mem.Free(b)
			return nil, errno.EIO
		}
	}
	f.index.Lock()
	defer f.index.Unlock()
	if p := f.pages.get(i); p != nil { // a mapping was faster
		mem.Free(b)
		return p[:], 0
	}
	f.pages.set(i, (*page)(b))
	return b, 0
}

// ownNow is own for a mapping, with index locked: EAGAIN if the lower file's page has to be
// waited for.
func (f *file) ownNow(i int64, mem fs.PageAlloc) ([]byte, errno.Errno) {
	if p := f.pages.get(i); p != nil {
		f.pages.setClean(i, false)
		return p[:], 0
	}
	var base []byte
	if off := i * fs.PageSize; off < f.baseEnd {
		p, err := f.base.Pages(off, 1, false)
		if err != 0 {
			return nil, err
		}
		base = p[:min(f.baseEnd-off, int64(len(p)))]
	}
	b := mem.Alloc()
	if b == nil {
		return nil, errno.ENOSPC
	}
	copy(b, base)
	f.pages.set(i, (*page)(b))
	return b, 0
}

// ReadAt implements fs.Inode.
func (n *node) ReadAt(dst fs.Sink, off int64, count int) (int, errno.Errno) {
	s := n.ours()
	if s == nil {
		return n.lower.ReadAt(dst, off, count)
	}
	f := s.file
	if f == nil {
		return 0, errno.EINVAL
	}
	done, err := 0, errno.Errno(0)
	f.rw.RLock()
	count = int(min(int64(count), f.size.Load()-off))
	for done < count {
		var k int
		if k, err = f.read(dst, off+int64(done), count-done); k == 0 || err != 0 {
			break
		}
		done += k
	}
	f.rw.RUnlock()
	if done > 0 {
		err = 0
		s.accessed()
	}
	return done, err
}

// accessed keeps atime as mounts do by default (relatime, mount(8)).
func (s *inode) accessed() {
	s.attr.Lock()
	defer s.attr.Unlock()
	if !s.mtime.Before(s.atime) || !s.ctime.Before(s.atime) {
		s.atime = s.vol.Now()
	}
}

// WriteAt implements fs.Inode.
func (n *node) WriteAt(src fs.Source, off int64, count int) (int, errno.Errno) {
	s, err := n.take()
	if err != 0 {
		return 0, err
	}
	if s.file == nil {
		return 0, errno.EINVAL
	}
	s.file.rw.Lock()
	done, err := s.write(src, off, count)
	s.file.rw.Unlock()
	return done, err
}

// Append implements fs.Inode.
func (n *node) Append(src fs.Source, count int) (int, int64, errno.Errno) {
	s, err := n.take()
	if err != 0 {
		return 0, 0, err
	}
	if s.file == nil {
		return 0, 0, errno.EINVAL
	}
	s.file.rw.Lock()
	off := s.file.size.Load()
	done, err := s.write(src, off, count)
	s.file.rw.Unlock()
	return done, off + int64(done), err
}

// write writes with rw locked.
func (s *inode) write(src fs.Source, off int64, count int) (int, errno.Errno) {
	if off == fs.MaxSize && count > 0 {
		return 0, errno.EFBIG
	}
	f, done, err := s.file, 0, errno.Errno(0)
	count = int(min(int64(count), fs.MaxSize-off))
	for done < count {
		var b []byte
		if b, err = f.own(off/fs.PageSize, s.vol.Pages); err != 0 {
			break
		}
		b = b[off%fs.PageSize:]
		b = b[:min(len(b), count-done)]
		k := src.Get(b)
		done += k
		off += int64(k)
		if k > 0 && off > f.size.Load() { // at once: src may be a mapping of f
			f.size.Store(off)
		}
		if k < len(b) {
			break
		}
	}
	if done == 0 {
		return 0, err
	}
	s.touch()
	return done, 0
}

// Truncate implements fs.Inode.
func (n *node) Truncate(size int64) errno.Errno {
	s, err := n.take()
	if err != 0 {
		return err
	}
	f := s.file
	if f == nil {
		return errno.EINVAL
	}
	f.rw.Lock()
	defer f.rw.Unlock()
	old := f.size.Swap(size) // first: from then on, Pages returns nothing behind it
	if size <= old {         // there may be pages behind the end, too
		last := size / fs.PageSize
		s.cut((size+fs.PageSize-1)/fs.PageSize, fs.MaxSize, size)
		f.index.Lock()
		p := f.pages.get(last)
		if p != nil {
			clear(p[size%fs.PageSize:])
		}
		f.index.Unlock()
		if p == nil && f.base != nil { // the lower file's page goes on behind the end
			s.unmap(last, last+1, false)
		}
	}
	s.touch()
	return 0
}

// zero clears [lo, hi), which lies in one page.
func (f *file) zero(lo, hi int64, mem fs.PageAlloc) errno.Errno {
	if lo >= hi {
		return 0
	}
	i := lo / fs.PageSize
	f.index.Lock()
	p := f.pages.get(i)
	f.index.Unlock()
	if p != nil {
		clear(p[lo-i*fs.PageSize : hi-i*fs.PageSize])
		return 0
	}
	if i*fs.PageSize >= f.baseEnd { // a hole
		return 0
	}
	b, err := f.own(i, mem)
	if err == 0 {
		clear(b[lo-i*fs.PageSize : hi-i*fs.PageSize])
	}
	return err
}

// cut takes pages [lo, hi) away, and the lower file's contents from baseEnd on.
func (s *inode) cut(lo, hi, baseEnd int64) {
	f := s.file
	var mapped []*page // to be freed when no mapping has them any more
	f.index.Lock()
	isMapped := s.mapped() // if not yet, whoever maps it finds the pages gone
	f.baseEnd = min(f.baseEnd, baseEnd)
	f.pages.remove(lo, hi, func(p *page) {
		if isMapped {
			mapped = append(mapped, p)
		} else {
			s.vol.Pages.Free(p[:])
		}
	})
	f.index.Unlock()
	if isMapped {
		// Private copies go with the end of the file, but not for a hole.
		s.vol.Pages.Unmap(s.vol, s.ino, lo, hi, baseEnd < fs.MaxSize)
	}
	for _, p := range mapped {
		s.vol.Pages.Free(p[:])
	}
}

// unmap makes mappings forget pages [lo, hi).
func (s *inode) unmap(lo, hi int64, copies bool) {
	if s.mapped() {
		s.vol.Pages.Unmap(s.vol, s.ino, lo, hi, copies)
	}
}

func (s *inode) mapped() bool {
	s.attr.Lock()
	defer s.attr.Unlock()
	return s.maps > 0
}

// drop gives all pages of a file back that is neither open nor mapped.
func (f *file) drop(mem fs.PageAlloc) {
	f.index.Lock()
	defer f.index.Unlock()
	f.size.Store(0)
	f.baseEnd = 0
	f.pages.remove(0, fs.MaxSize, func(p *page) { mem.Free(p[:]) })
}

// Allocate implements fs.Inode.
func (n *node) Allocate(mode uint32, off, length int64) errno.Errno {
	s, err := n.take()
	if err != 0 {
		return err
	}
	f := s.file
	if f == nil {
		return errno.ENODEV
	}
	f.rw.Lock()
	defer f.rw.Unlock()
	end := off + length
	switch mode {
	case fs.PunchHole | fs.KeepSize:
		err = s.punch(off, min(end, fs.MaxSize-fs.PageSize))
	case 0, fs.KeepSize:
		if err = s.fill(off/fs.PageSize, (end-1)/fs.PageSize+1); err == 0 && mode == 0 && end > f.size.Load() {
			f.size.Store(end)
		}
	default:
		return errno.EOPNOTSUPP
	}
	if err == 0 {
		s.touch()
	}
	return err
}

// fill makes all of pages [lo, hi) the file's own, or none.
func (s *inode) fill(lo, hi int64) errno.Errno {
	f := s.file
	if s.vol.Memory != nil {
		if free, _ := s.vol.Memory(); uint64(hi-lo) > free/fs.PageSize {
			return errno.ENOSPC
		}
	}
	var made []int64
	for i := lo; i < hi; i++ {
		f.index.Lock()
		had := f.pages.get(i) != nil
		f.index.Unlock()
		if _, err := f.own(i, s.vol.Pages); err != 0 {
			for _, j := range made {
				s.cut(j, j+1, fs.MaxSize)
			}
			return err
		}
		if had { // and who allocates a page again counts as its writer, as on Linux
			continue
		}
		f.index.Lock()
		f.pages.setClean(i, i*fs.PageSize >= f.baseEnd)
		f.index.Unlock()
		made = append(made, i)
	}
	return 0
}

// punch makes [lo, hi) a hole.
func (s *inode) punch(lo, hi int64) errno.Errno {
	f, mem := s.file, s.vol.Pages
	if lo >= hi {
		return 0
	}
	first := (lo + fs.PageSize - 1) &^ (fs.PageSize - 1)
	last := hi &^ (fs.PageSize - 1)
	if err := f.zero(lo, min(first, hi), mem); err != 0 {
		return err
	}
	if last >= first && last < hi {
		if err := f.zero(last, hi, mem); err != 0 {
			return err
		}
	}
	if first >= last {
		return 0
	}
	// A hole in what is still the lower file's has to be a page of zeros.
	for off := first; off < min(last, f.baseEnd); off += fs.PageSize {
		if err := f.zero(off, off+fs.PageSize, mem); err != 0 {
			return err
		}
	}
	covered := (f.baseEnd + fs.PageSize - 1) / fs.PageSize
	s.cut(max(first/fs.PageSize, covered), last/fs.PageSize, fs.MaxSize)
	return 0
}

// SeekExtent implements fs.Inode.
func (n *node) SeekExtent(off int64, whence int) (int64, errno.Errno) {
	s := n.ours()
	if s == nil {
		return n.lower.SeekExtent(off, whence)
	}
	f := s.file
	if f == nil {
		return 0, errno.EINVAL
	}
	f.rw.RLock()
	defer f.rw.RUnlock()
	f.index.Lock()
	defer f.index.Unlock()
	size := f.size.Load()
	if off < 0 || off >= size {
		return 0, errno.ENXIO
	}
	if whence == fs.SeekData {
		if off < f.baseEnd {
			return off, 0
		}
		i := f.pages.next(off / fs.PageSize)
		for i >= 0 && f.pages.isClean(i) { // as on Linux that is a hole yet
			i = f.pages.next(i + 1)
		}
		if i < 0 || i*fs.PageSize >= size {
			return 0, errno.ENXIO
		}
		return max(off, i*fs.PageSize), 0
	}
	off = max(off, min(f.baseEnd, size))
	i := off / fs.PageSize
	for f.pages.get(i) != nil && !f.pages.isClean(i) {
		i++
	}
	return min(max(off, i*fs.PageSize), size), 0
}

// Map implements fs.Inode.
func (n *node) Map() { n.countMaps(1) }

// Unmap implements fs.Inode.
func (n *node) Unmap() { n.countMaps(-1) }

func (n *node) countMaps(d int) {
	if n.lower != nil {
		if d > 0 {
			n.lower.Map() // for its pages may be what is mapped
		} else {
			n.lower.Unmap()
		}
	}
	if s := n.use(0, d); s != nil {
		s.attr.Lock()
		s.maps += d
		s.attr.Unlock()
		s.reap()
	}
}

// Pages implements fs.Inode.
func (n *node) Pages(off int64, limit int, write bool) ([]byte, errno.Errno) {
	s := n.ours()
	if s == nil {
		if !write {
			return n.lower.Pages(off, limit, false)
		}
		var err errno.Errno
		if s, err = n.take(); err != 0 {
			return nil, err
		}
	}
	f := s.file
	if f == nil {
		return nil, errno.ENODEV
	}
	f.index.Lock()
	defer f.index.Unlock()
	if off < 0 || off >= f.size.Load() {
		return nil, 0
	}
	i := off / fs.PageSize
	if !write {
		if run := f.basePages(i, limit); run > 0 {
			return f.base.Pages(off, run, false)
		}
	}
	// A hole is filled in any case: what is written there later must be seen.
	return f.ownNow(i, s.vol.Pages)
}

// Fetch implements fs.Fetcher: what can be missing is the lower file's.
func (n *node) Fetch(off int64) errno.Errno {
	base := n.lower
	if s := n.ours(); s != nil && s.file != nil {
		base = s.file.base
	}
	if f, ok := base.(fs.Fetcher); ok {
		return f.Fetch(off)
	}
	return 0
}

// Cached implements fs.Fetcher.
func (n *node) Cached(cache any) bool {
	f, ok := n.lower.(fs.Fetcher)
	return ok && f.Cached(cache)
}

// basePages returns how many pages from i on, at most limit, are the lower
// file's just as they are there, with index locked.
func (f *file) basePages(i int64, limit int) int {
	end := f.baseEnd / fs.PageSize
	if f.baseEnd == f.baseAll {
		end = (f.baseEnd + fs.PageSize - 1) / fs.PageSize
	}
	if next := f.pages.next(i); next >= 0 {
		end = min(end, next)
	}
	return int(min(end-i, int64(limit)))
}
