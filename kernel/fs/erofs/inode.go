package erofs

import (
	"unsafe"

	"gosv/internal/le"
	"gosv/kernel/block"
	"gosv/kernel/errno"
	"gosv/kernel/fs"
)

// On-disk inodes (struct erofs_inode_compact and _extended).
const (
	slotSize     = 32 // an inode's number counts these
	compactSize  = 32
	extendedSize = 64

	inFormat = 0
	inXattrs = 2
	inMode   = 4
	inUnion  = 16 // block address, device number or chunk format, by kind

	compactNlink = 6
	compactSize_ = 8
	compactUID   = 24
	compactGID   = 26

	extendedSize_ = 8
	extendedUID   = 24
	extendedGID   = 28
	extendedMtime = 32
	extendedNsec  = 40
	extendedNlink = 44
)

// Where a file's data is (i_format).
const (
	layoutPlain  = 0
	layoutInline = 2 // like plain, but what follows the last full block is behind the inode
	layoutChunks = 4
)

// Chunks (struct erofs_inode_chunk_info and _index).
const (
	chunkBitsMask  = 0x1f
	chunkIndexes   = 0x20
	chunkKnown     = chunkBitsMask | chunkIndexes
	noBlock        = 1<<32 - 1
	chunkEntry     = 4 // a block address
	chunkIndex     = 8
	chunkIndexDev  = 2
	chunkIndexAddr = 4
)

// inode is an inode of the image.
type inode struct {
	fs.Base
	fs     *FS
	nid    uint64
	raw    []byte // the inode itself
	size   uint64
	data   uint64 // of plain and inline: where the blocks are
	extra  uint64 // what follows the inode and its xattrs: tail, or list of chunks
	layout uint8
	chunk  uint8 // bits of a chunk's size
	index  bool  // chunks are listed by struct erofs_inode_chunk_index
	mode   uint32
	ahead  *block.Ahead // of what is on a disk
}

// inode returns the inode with a number that was read from the image.
func (f *FS) inode(nid uint64) (*inode, errno.Errno) {
	if nid > f.size/slotSize {
		return nil, errno.EUCLEAN
	}
	off := f.meta + nid*slotSize
	raw, err := f.span(off, compactSize)
	if err != 0 {
		return nil, err
	}
	format := le.U16(raw, inFormat)
	n := &inode{fs: f, nid: nid, raw: raw, mode: uint32(le.U16(raw, inMode)), layout: uint8(format >> 1 & 7)}
	if f.disk != nil {
		n.ahead = new(block.Ahead)
	}
	length := uint64(compactSize)
	if format&1 != 0 {
		length = extendedSize
		if n.raw, err = f.span(off, extendedSize); err != 0 {
			return nil, err
		}
		n.size = le.U64(n.raw, extendedSize_)
	} else {
		n.size = uint64(le.U32(raw, compactSize_))
	}
	if format>>4 != 0 || n.size > fs.MaxSize {
		return nil, errno.EUCLEAN
	}
	n.extra = off + length
	if x := uint64(le.U16(raw, inXattrs)); x > 0 {
		n.extra += 12 + (x-1)*4 // struct erofs_xattr_ibody_header, and as many words
	}
	switch n.mode & fs.TypeMask {
	case fs.Regular, fs.Directory, fs.Symlink:
		return n, n.locate()
	case fs.Char, fs.Block, fs.FIFO, fs.Socket:
		n.size = 0
		return n, 0
	}
	return nil, errno.EUCLEAN
}

// locate finds out where n's data is, and checks that it is in the image.
func (n *inode) locate() errno.Errno {
	f, union := n.fs, le.U32(n.raw, inUnion)
	var err errno.Errno
	switch n.layout {
	case layoutPlain, layoutInline:
		n.data = uint64(union) << blockBits
		blocks := n.size
		if n.layout == layoutInline {
			blocks = n.size &^ (blockSize - 1)
			// The tail does not go over a block's end.
			if n.size-blocks > blockSize-n.extra%blockSize {
				return errno.EUCLEAN
			}
			if err = f.inside(n.extra, n.size-blocks); err != 0 {
				return err
			}
		}
		if blocks > 0 {
			err = f.inside(n.data, blocks)
		}
	case layoutChunks:
		format := union & 0xffff
		n.chunk = blockBits + uint8(format&chunkBitsMask)
		if format&^chunkKnown != 0 || !fs.IsRegular(n.mode) {
			return errno.EUCLEAN
		}
		entry := uint64(chunkEntry)
		if n.index = format&chunkIndexes != 0; n.index {
			entry = chunkIndex
		}
		n.extra = (n.extra + entry - 1) &^ (entry - 1)
		if n.size > 0 {
			chunks := (n.size-1)>>n.chunk + 1
			if chunks > f.size {
				return errno.EUCLEAN
			}
			err = f.inside(n.extra, chunks*entry)
		}
	default: // compressed, or not known yet
		return errno.EOPNOTSUPP
	}
	return err
}

// FS implements fs.Inode.
func (n *inode) FS() fs.FileSystem { return n.fs }

// Ino implements fs.Inode. A number in the image may be 0, which programs take
// for no inode at all.
func (n *inode) Ino() uint64 { return n.nid + 1 }

// Mode implements fs.Inode.
func (n *inode) Mode() uint32 { return n.mode }

// Open implements fs.Inode.
func (n *inode) Open() (fs.Inode, errno.Errno) { return n, 0 }

// Attr implements fs.Inode.
func (n *inode) Attr() fs.Attr {
	a := fs.Attr{
		Ino:       n.Ino(),
		Mode:      n.mode,
		BlockSize: blockSize,
		Size:      int64(n.size),
		Blocks:    int64((n.size + blockSize - 1) / blockSize * (blockSize / 512)), // as if each file began a block
	}
	if len(n.raw) == extendedSize {
		a.Nlink = le.U32(n.raw, extendedNlink)
		a.UID, a.GID = le.U32(n.raw, extendedUID), le.U32(n.raw, extendedGID)
		a.Mtime = fs.Time{Sec: int64(le.U64(n.raw, extendedMtime)), Nsec: le.U32(n.raw, extendedNsec) % 1e9}
	} else {
		a.Nlink = uint32(le.U16(n.raw, compactNlink))
		a.UID, a.GID = uint32(le.U16(n.raw, compactUID)), uint32(le.U16(n.raw, compactGID))
		a.Mtime = n.fs.time
	}
	a.Atime, a.Ctime, a.Btime = a.Mtime, a.Mtime, a.Mtime
	if k := n.mode & fs.TypeMask; k == fs.Char || k == fs.Block {
		a.Rdev = le.U32(n.raw, inUnion)
	}
	return a
}

// Readlink implements fs.Inode.
func (n *inode) Readlink(*fs.Caller) (string, errno.Errno) {
	if !fs.IsSymlink(n.mode) {
		return "", errno.EINVAL
	}
	if n.size >= fs.MaxPath {
		return "", errno.EUCLEAN
	}
	b, err := n.piece(0)
	if err != 0 {
		return "", err
	}
	if uint64(len(b)) < n.size {
		return "", errno.EUCLEAN
	}
	return unsafe.String(unsafe.SliceData(b), n.size), 0 // the image stays as it is
}
