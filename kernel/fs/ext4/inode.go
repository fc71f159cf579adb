package ext4

import (
	"slices"
	"sync/atomic"

	"gosv/internal/le"
	"gosv/kernel/block"
	"gosv/kernel/errno"
	"gosv/kernel/fs"
)

// Group descriptors (struct ext4_group_desc).
const (
	gdInodeTable     = 0x8
	gdChecksum       = 0x1e
	gdInodeTableHigh = 0x28
)

// Inodes (struct ext4_inode).
const (
	inMode         = 0x0
	inUID          = 0x2
	inSize         = 0x4
	inAtime        = 0x8
	inCtime        = 0xc
	inMtime        = 0x10
	inGID          = 0x18
	inLinks        = 0x1a
	inBlocks       = 0x1c
	inFlags        = 0x20
	inBlock        = 0x28 // to
	inBlockEnd     = 0x64
	inGeneration   = 0x64
	inSizeHigh     = 0x6c
	inBlocksHigh   = 0x74
	inUIDHigh      = 0x78
	inGIDHigh      = 0x7a
	inChecksum     = 0x7c
	inOldSize      = 0x80 // of an inode without what follows
	inExtra        = 0x80
	inChecksumHigh = 0x82
	inCtimeExtra   = 0x84
	inMtimeExtra   = 0x88
	inAtimeExtra   = 0x8c
	inBtime        = 0x90
	inBtimeExtra   = 0x94
)

// Flags (i_flags).
const (
	flagIndex   = 1 << 12
	flagHuge    = 1 << 18 // i_blocks counts blocks, not sectors
	flagExtents = 1 << 19
	flagInline  = 1 << 28
)

// inode is an inode of the disk.
type inode struct {
	fs.Base
	fs     *FS
	ino    uint32
	raw    []byte // the inode itself
	mode   uint32
	size   uint64
	flags  uint32
	seed   uint32    // of the checksums of what belongs to it
	inline [2][]byte // the contents, with flagInline
	last   atomic.Pointer[run]
	ahead  block.Ahead
}

// inode reads the inode with a number that was read from the disk.
func (f *FS) inode(ino uint32) (*inode, errno.Errno) {
	if ino > f.inodes || ino < f.firstInode && ino != rootInode {
		return nil, errno.EUCLEAN
	}
	group := uint64((ino - 1) / f.inodesPer)
	desc := make([]byte, f.descSize)
	if err := f.read(desc, f.descriptor(group), false); err != 0 {
		return nil, err
	}
	err := f.verify(1<<63|group, func() bool {
		want := le.U16(desc, gdChecksum)
		desc[gdChecksum], desc[gdChecksum+1] = 0, 0
		return uint16(f.sum(f.sum32(f.seed, uint32(group)), desc)) == want
	})
	if err != 0 {
		return nil, err
	}
	table := uint64(le.U32(desc, gdInodeTable))
	if len(desc) >= 64 {
		table |= uint64(le.U32(desc, gdInodeTableHigh)) << 32
	}
	at := uint64((ino-1)%f.inodesPer) * f.inodeSize
	if !f.has(table, at>>f.blockBits+1) {
		return nil, errno.EUCLEAN
	}
	n := &inode{fs: f, ino: ino, raw: make([]byte, f.inodeSize)}
	if err := f.read(n.raw, table<<f.blockBits+at, false); err != 0 {
		return nil, err
	}
	n.seed = f.sum32(f.sum32(f.seed, ino), le.U32(n.raw, inGeneration))
	if err := f.verify(1<<62|uint64(ino), n.right); err != 0 {
		return nil, err
	}
	return n, n.decode()
}

// right says whether the inode's checksum is.
func (n *inode) right() bool {
	want, mask := uint32(le.U16(n.raw, inChecksum)), uint32(0xffff)
	b := slices.Clone(n.raw)
	b[inChecksum], b[inChecksum+1] = 0, 0
	if n.extends(inChecksumHigh + 2) {
		mask = 1<<32 - 1
		want |= uint32(le.U16(b, inChecksumHigh)) << 16
		b[inChecksumHigh], b[inChecksumHigh+1] = 0, 0
	}
	return n.fs.sum(n.seed, b)&mask == want
}

// extends says whether the inode has fields up to end.
func (n *inode) extends(end int) bool {
	return len(n.raw) > inOldSize && inOldSize+int(le.U16(n.raw, inExtra)) >= end
}

// decode checks the inode, and reads from it what is needed often.
func (n *inode) decode() errno.Errno {
	f := n.fs
	n.mode, n.flags = uint32(le.U16(n.raw, inMode)), le.U32(n.raw, inFlags)
	n.size = uint64(le.U32(n.raw, inSize))
	if fs.IsRegular(n.mode) || f.incompat&largeDir != 0 {
		n.size |= uint64(le.U32(n.raw, inSizeHigh)) << 32
	}
	most := uint64(0)
	switch n.mode & fs.TypeMask {
	case fs.Regular:
		most = 1 << (32 + f.blockBits)
	case fs.Directory:
		most = f.blocks << f.blockBits // it has no holes
	case fs.Symlink:
		most = min(fs.MaxPath-1, f.blockSize)
	case fs.Char, fs.Block, fs.FIFO, fs.Socket:
		n.size = 0
		return 0
	default:
		return errno.EUCLEAN
	}
	if n.size > most || le.U16(n.raw, inLinks) == 0 {
		return errno.EUCLEAN
	}
	if n.flags&flagInline == 0 {
		return 0
	}
	if f.incompat&inlineData == 0 {
		return errno.EUCLEAN
	}
	n.inline = [2][]byte{n.raw[inBlock:inBlockEnd], n.inlineRest()}
	return 0
}

// inlineRest returns what does not fit into i_block of the contents of an inode that has them in
// itself: the value of its attribute system.data.
func (n *inode) inlineRest() []byte {
	const (
		magic  = 0xea020000
		system = 7 // the prefix "system."
		entry  = 16
		name   = "data"
	)
	start := inOldSize
	if len(n.raw) > inOldSize {
		start += int(le.U16(n.raw, inExtra))
	}
	if start+4 > len(n.raw) || le.U32(n.raw, start) != magic {
		return nil
	}
	b := n.raw[start+4:]
	for e := b; len(e) >= entry && le.U32(e, 0) != 0; {
		length := int(e[0])
		if entry+length > len(e) {
			return nil
		}
		if e[1] == system && string(e[entry:entry+length]) == name {
			off, size := int(le.U16(e, 2)), uint64(le.U32(e, 8))
			if le.U32(e, 4) != 0 || off > len(b) || size > uint64(len(b)-off) {
				return nil
			}
			return b[off : off+int(size)]
		}
		e = e[min((entry+length+3)&^3, len(e)):]
	}
	return nil
}

// FS implements fs.Inode.
func (n *inode) FS() fs.FileSystem { return n.fs }

// Ino implements fs.Inode.
func (n *inode) Ino() uint64 { return uint64(n.ino) }

// Mode implements fs.Inode.
func (n *inode) Mode() uint32 { return n.mode }

// Open implements fs.Inode.
func (n *inode) Open() (fs.Inode, errno.Errno) { return n, 0 }

// Attr implements fs.Inode.
func (n *inode) Attr() fs.Attr {
	half := func(low, high int) uint32 { return uint32(le.U16(n.raw, low)) | uint32(le.U16(n.raw, high))<<16 }
	a := fs.Attr{
		Ino:       uint64(n.ino),
		Mode:      n.mode,
		Nlink:     uint32(le.U16(n.raw, inLinks)),
		UID:       half(inUID, inUIDHigh),
		GID:       half(inGID, inGIDHigh),
		BlockSize: uint32(n.fs.blockSize),
		Size:      int64(n.size),
		Blocks:    int64(le.U32(n.raw, inBlocks)),
		Atime:     n.time(inAtime, inAtimeExtra),
		Mtime:     n.time(inMtime, inMtimeExtra),
		Ctime:     n.time(inCtime, inCtimeExtra),
	}
	if n.extends(inBtimeExtra + 4) {
		a.Btime = n.time(inBtime, inBtimeExtra)
	}
	if n.fs.roCompat&roHugeFile != 0 {
		a.Blocks |= int64(le.U16(n.raw, inBlocksHigh)) << 32
		if n.flags&flagHuge != 0 {
			a.Blocks <<= n.fs.blockBits - 9
		}
	}
	if k := n.mode & fs.TypeMask; k == fs.Char || k == fs.Block {
		// The first word is for numbers that fit in it as they were once.
		if a.Rdev = le.U32(n.raw, inBlock); a.Rdev == 0 {
			a.Rdev = le.U32(n.raw, inBlock+4)
		}
	}
	return a
}

// time returns a time stamp: seconds, and, if the inode has it, the word with two more bits of them and
// nanoseconds.
func (n *inode) time(at, extra int) fs.Time {
	t := fs.Time{Sec: int64(int32(le.U32(n.raw, at)))}
	if n.extends(extra + 4) {
		e := le.U32(n.raw, extra)
		t.Sec += int64(e&3) << 32
		t.Nsec = e >> 2 % 1e9
	}
	return t
}

// Readlink implements fs.Inode.
func (n *inode) Readlink(*fs.Caller) (string, errno.Errno) {
	if !fs.IsSymlink(n.mode) {
		return "", errno.EINVAL
	}
	b := make([]byte, n.size)
	if n.flags&(flagInline|flagExtents) == 0 && n.size < inBlockEnd-inBlock {
		copy(b, n.raw[inBlock:]) // a fast one
		return string(b), 0
	}
	done, err := n.read(&fs.Buffer{Bytes: b[:0]}, 0, len(b))
	if err == 0 && done < len(b) {
		err = errno.EUCLEAN
	}
	return string(b), err
}
