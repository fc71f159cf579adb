package erofs

import (
	"unsafe"

	"gosv/internal/le"
	"gosv/kernel/errno"
	"gosv/kernel/fs"
)

// Directory entries (struct erofs_dirent). A block begins with them; their
// names follow in the same order, each up to where the next one begins. Both
// blocks and entries are sorted by name.
const (
	direntSize = 12
	deNid      = 0
	deNameOff  = 8
	deType     = 10
)

// dirBlock is a block of a directory.
type dirBlock struct {
	b []byte
	n int // entries
}

// block returns a directory's block.
func (n *inode) block(i uint64) (dirBlock, errno.Errno) {
	b, err := n.piece(i << blockBits)
	if err != 0 {
		return dirBlock{}, err
	}
	b = b[:min(len(b), blockSize)]
	if len(b) < direntSize {
		return dirBlock{}, errno.EUCLEAN
	}
	first := int(le.U16(b, deNameOff)) // the entries end where the first name begins
	if first < direntSize || first%direntSize != 0 || first > len(b) {
		return dirBlock{}, errno.EUCLEAN
	}
	return dirBlock{b, first / direntSize}, 0
}

// entry returns an entry's number of an inode and name.
func (d dirBlock) entry(i int) (nid uint64, name []byte, err errno.Errno) {
	e := d.b[i*direntSize:]
	start, end := int(le.U16(e, deNameOff)), len(d.b)
	last := i+1 == d.n
	if !last {
		end = int(le.U16(e, direntSize+deNameOff))
	}
	if start > end || end > len(d.b) {
		return 0, nil, errno.EUCLEAN
	}
	name = d.b[start:end]
	if last { // the block's rest is zeros
		for j, c := range name {
			if c == 0 {
				name = name[:j]
				break
			}
		}
	}
	if len(name) == 0 || len(name) > fs.MaxName {
		return 0, nil, errno.EUCLEAN
	}
	return le.U64(e, deNid), name, 0
}

// text makes a string of a name without copying: the image stays as it is.
func text(name []byte) string { return unsafe.String(unsafe.SliceData(name), len(name)) }

// Lookup implements fs.Inode.
func (n *inode) Lookup(name string) (fs.Inode, errno.Errno) {
	if !fs.IsDir(n.mode) {
		return nil, errno.ENOTDIR
	}
	nid, err := n.find(name)
	if err != 0 {
		return nil, err
	}
	c, err := n.fs.inode(nid)
	if err != 0 {
		return nil, err
	}
	return c, 0
}

// find returns the number of the inode that a directory has under a name: it
// looks for the last block whose first name is not greater, and there for the
// entry.
func (n *inode) find(name string) (uint64, errno.Errno) {
	var d dirBlock
	lo, hi := uint64(0), (n.size+blockSize-1)>>blockBits
	for lo < hi {
		mid := lo + (hi-lo)/2
		m, err := n.block(mid)
		if err != 0 {
			return 0, err
		}
		nid, first, err := m.entry(0)
		if err != 0 {
			return 0, err
		}
		if text(first) == name {
			return nid, 0
		}
		if text(first) < name {
			d, lo = m, mid+1
		} else {
			hi = mid
		}
	}
	for lo, hi := 1, d.n; lo < hi; {
		mid := lo + (hi-lo)/2
		nid, e, err := d.entry(mid)
		if err != 0 {
			return 0, err
		}
		if text(e) == name {
			return nid, 0
		}
		if text(e) < name {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return 0, errno.ENOENT
}

// ReadDir implements fs.Inode. A position is that of an entry: the block's
// number in front of the entry's.
func (n *inode) ReadDir(pos int64, emit func(fs.Dirent) bool) errno.Errno {
	if !fs.IsDir(n.mode) {
		return errno.ENOTDIR
	}
	if pos < 0 {
		return errno.EINVAL
	}
	const perBlock = 512 // more than a block can have
	i, j := uint64(pos)/perBlock, int(pos%perBlock)
	for blocks := (n.size + blockSize - 1) >> blockBits; i < blocks; i, j = i+1, 0 {
		d, err := n.block(i)
		if err != 0 {
			return err
		}
		for ; j < d.n; j++ {
			nid, name, err := d.entry(j)
			if err != 0 {
				return err
			}
			next := int64(i*perBlock) + int64(j) + 1
			if j+1 == d.n {
				next = int64((i + 1) * perBlock)
			}
			if !emit(fs.Dirent{Name: text(name), Ino: nid + 1, Type: direntType(d.b[j*direntSize+deType]), Next: next}) {
				return 0
			}
		}
	}
	return 0
}

// direntType returns the type as in a mode for one of a directory entry
// (EROFS_FT_*, which are those of other file systems).
func direntType(t uint8) uint32 {
	const modes = "\x00\x08\x04\x02\x06\x01\x0c\x0a"
	if int(t) < len(modes) {
		return uint32(modes[t]) << 12
	}
	return 0
}
