package fs

import (
	"cmp"
	"slices"
	"sync"

	"gosv/kernel/errno"
)

// Copies has those pages of a file system's mapped files that cannot be mapped where they are: the end of a file
// that something else follows, a page whose pieces lie apart. It has them as long as somebody maps the file.
type Copies struct {
	Alloc PageAlloc

	mu    sync.Mutex
	files map[uint64]*copies // by number of the inode
	hole  *[PageSize]byte    // nil until somebody maps one
}

// copies is what there is of one file.
type copies struct {
	maps  int
	pages []pageCopy // in the order of their numbers
}

type pageCopy struct {
	number int64 // in the file
	bytes  []byte
}

// find returns where a page is, or would be.
func (f *copies) find(number int64) (int, bool) {
	return slices.BinarySearchFunc(f.pages, number, func(p pageCopy, n int64) int { return cmp.Compare(p.number, n) })
}

// Map counts a mapping of a file.
func (c *Copies) Map(ino uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.files[ino]
	if f == nil {
		if c.files == nil {
			c.files = make(map[uint64]*copies)
		}
		f = &copies{}
		c.files[ino] = f
	}
	f.maps++
}

// Unmap is its end.
func (c *Copies) Unmap(ino uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.files[ino]
	if f == nil {
		return
	}
	if f.maps--; f.maps > 0 {
		return
	}
	delete(c.files, ino)
	for _, p := range f.pages {
		c.Alloc.Free(p.bytes)
	}
}

// Get returns the copy of a page, nil if there is none.
func (c *Copies) Get(ino uint64, page int64) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.files[ino]; f != nil {
		if i, ok := f.find(page); ok {
			return f.pages[i].bytes
		}
	}
	return nil
}

// Add makes a copy of a page that begins with b, unless there is one. EINVAL: nobody maps the file.
func (c *Copies) Add(ino uint64, page int64, b []byte) ([]byte, errno.Errno) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.files[ino]
	if f == nil {
		return nil, errno.EINVAL
	}
	i, ok := f.find(page)
	if ok {
		return f.pages[i].bytes, 0
	}
	p := c.Alloc.Alloc()
	if p == nil {
		return nil, errno.ENOMEM
	}
	copy(p, b)
	f.pages = slices.Insert(f.pages, i, pageCopy{page, p})
	return p, 0
}

// Hole returns the page that all holes in files are mapped as.
func (c *Copies) Hole() ([]byte, errno.Errno) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hole == nil {
		p := c.Alloc.Alloc()
		if p == nil {
			return nil, errno.ENOMEM
		}
		c.hole = (*[PageSize]byte)(p)
	}
	return c.hole[:], 0
}
