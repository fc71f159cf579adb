package fs

import (
	"sync"

	"gosv/kernel/errno"
)

// Copies has those pages of a file system's mapped files that cannot be mapped where they are: the end of a file
// that something else follows, a page whose pieces lie apart. It has them as long as somebody maps the file.
type Copies struct {
	Alloc PageAlloc

	mu    sync.Mutex
	files map[uint64]*copies // by number of the inode
	hole  []byte             // nil until somebody maps one
}

// copies is what there is of one file.
type copies struct {
	maps  int
	pages map[int64][]byte // by number in the file
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
		c.Alloc.Free(p)
	}
}

// Get returns the copy of a page, nil if there is none.
func (c *Copies) Get(ino uint64, page int64) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.files[ino]; f != nil {
		return f.pages[page]
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
	if p := f.pages[page]; p != nil {
		return p, 0
	}
	p := c.Alloc.Alloc()
	if p == nil {
		return nil, errno.ENOMEM
	}
	copy(p, b)
	if f.pages == nil {
		f.pages = make(map[int64][]byte)
	}
	f.pages[page] = p
	return p, 0
}

// Hole returns the page that all holes in files are mapped as.
func (c *Copies) Hole() ([]byte, errno.Errno) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hole == nil {
		if c.hole = c.Alloc.Alloc(); c.hole == nil {
			return nil, errno.ENOMEM
		}
	}
	return c.hole, 0
}
